"""A changed line changes a verdict: mutation tests of our own optimizers."""

import importlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import adamproof.optimizers
from adamproof.optimizers import Base
from adamproof.proofs_check import ledger
from adamproof.proofs_check.build import Recipe
from adamproof.proofs_check.judge import Judge
from adamproof.proofs_check.lift import lift
from adamproof.proofs_check.subjects import Subject, builtin
from adamproof.proofs_check.symbolic import LiftError
from adamproof.theory.catalogue import claims
from adamproof.theory.records import Finding, Verdict

from .mutants import MUTANTS, Mutant, load

FAITHFUL = "code-is-paper"
#: It multiplies all of a group's gradients, and decides by the result: no rule of one coordinate.
NO_SUBJECT = {"SWATS", "SWATSReference"}
#: Of each class the subject with the most mutants.
CHANGED = {of.partition("(")[0]: of for of, _ in reversed(Counter(m.of for m in MUTANTS).most_common())}


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which packages can be imported, and are forgotten."""
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("mutated_"):
            del sys.modules[name]


def judged(judge: Judge, claim: str, subject: Subject) -> Finding:
    return judge.finding(claims()[claim], subject)


def recorded(claim: str, mutant: Mutant) -> str:
    """Return the verdict for the original, which the ledger's own tests judge afresh."""
    row = ledger.load()[claim].get(mutant.original.id)
    return str(row["verdict"]) if row else str(Verdict.NOT_APPLICABLE)


def test_the_mutants_cover_every_rule_in_both_forms() -> None:
    named = {name: getattr(adamproof.optimizers, name) for name in adamproof.optimizers.__all__}
    rules = {name for name, cls in named.items() if isinstance(cls, type) and issubclass(cls, Base)}
    assert CHANGED.keys() == rules - {"Base", "Reference"} - NO_SUBJECT
    assert len(MUTANTS) >= 200
    assert min(Counter(mutant.of.partition("(")[0] for mutant in MUTANTS).values()) >= 3
    assert len({str(mutant) for mutant in MUTANTS}) >= len(MUTANTS) - 1  # one in base, one in sgd
    assert sum(bool(mutant.also) for mutant in MUTANTS) >= 120


@pytest.mark.parametrize("name", sorted(NO_SUBJECT))
def test_what_has_no_mutants_cannot_be_lifted(name: str) -> None:
    cls = getattr(adamproof.optimizers, name)
    assert not any(subject.recipe and subject.recipe.cls is cls for subject in builtin().values())
    with pytest.raises(LiftError, match="outside of the state that the lifter follows"):
        lift(Recipe(cls))


@pytest.mark.parametrize("old", ["no such line", "torch"])
def test_a_snippet_that_is_gone_or_ambiguous_fails(folder: Path, old: str) -> None:
    with pytest.raises(AssertionError, match=r"times in adam\.py"):
        load(MUTANTS[0].original, folder, "adam", old, "")


@pytest.mark.parametrize("of", CHANGED.values())
def test_an_unchanged_copy_has_the_verdicts_of_the_original(judge: Judge, folder: Path, of: str) -> None:
    mutants = [mutant for mutant in MUTANTS if mutant.of == of]
    copy = load(mutants[0].original, folder)
    assert copy.recipe is not None
    assert copy.recipe.cls.__module__.startswith("mutated_")
    assert judged(judge, FAITHFUL, copy).verdict is Verdict.PROVED
    for claim in {claim for mutant in mutants for claim in mutant.also}:
        assert judged(judge, claim, copy).verdict == recorded(claim, mutants[0]), claim


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_mutant_is_killed(judge: Judge, folder: Path, mutant: Mutant) -> None:
    """With ``-s`` it prints the witness and the claims whose verdict changes."""
    subject = mutant.load(folder)
    found = judged(judge, FAITHFUL, subject)
    told = [f"{mutant}: {found.verdict}", found.reason]
    if found.witness is not None:
        at = ", ".join(f"{name} = {value}" for name, value in found.witness.point.items())
        told.append(f"at {at}: off by {found.witness.excess}, replayed {found.witness.replayed}")
    assert found.verdict != recorded(FAITHFUL, mutant), "it survives"
    for claim in mutant.also:
        before, after = recorded(claim, mutant), judged(judge, claim, subject).verdict
        told.append(f"{claim}: {before} -> {after}")
        assert after != before, told[-1]
    print("\n    ".join(line for line in told if line))
    if mutant.shown:
        assert found.verdict is Verdict.REFUTED, found.reason
        assert found.witness is not None
        assert found.witness.replayed
