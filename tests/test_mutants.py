"""A changed line changes a verdict: mutation tests of our own optimizers."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import adamproof.optimizers
from adamproof.proofs_check.judge import Judge
from adamproof.proofs_check.subjects import Subject
from adamproof.theory.catalogue import claims
from adamproof.theory.records import Finding, Verdict

from .mutants import MUTANTS, Mutant, load

FAITHFUL = "code-is-paper"
CHANGED = sorted({mutant.of for mutant in MUTANTS})


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


def test_the_mutants_cover_every_rule_in_both_forms() -> None:
    changed = {mutant.of.partition("(")[0] for mutant in MUTANTS}
    forms = {name for name in adamproof.optimizers.__all__ if name[0].isupper()} - {"Base", "Reference"}
    assert changed == forms
    assert len(MUTANTS) >= 40
    assert len({str(mutant) for mutant in MUTANTS}) >= len(MUTANTS) - 1  # one in base, one in sgd
    assert sum(bool(mutant.also) for mutant in MUTANTS) >= 10


@pytest.mark.parametrize("old", ["no such line", "torch"])
def test_a_snippet_that_is_gone_or_ambiguous_fails(folder: Path, old: str) -> None:
    with pytest.raises(AssertionError, match=r"times in adam\.py"):
        load(MUTANTS[0].original, folder, "adam", old, "")


@pytest.mark.parametrize("of", CHANGED)
def test_an_unchanged_copy_has_the_verdicts_of_the_original(judge: Judge, folder: Path, of: str) -> None:
    mutants = [mutant for mutant in MUTANTS if mutant.of == of]
    original = mutants[0].original
    copy = load(original, folder)
    assert copy.recipe is not None
    assert original.recipe is not None
    assert copy.recipe.cls is not original.recipe.cls
    for claim in {FAITHFUL, *(c for mutant in mutants for c in mutant.also)}:
        expected, found = judged(judge, claim, original), judged(judge, claim, copy)
        assert (found.verdict, found.level) == (expected.verdict, expected.level), claim
        assert found.verdict is not Verdict.UNDECIDED, found.reason
    assert judged(judge, FAITHFUL, copy).verdict is Verdict.PROVED


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_mutant_is_killed(judge: Judge, folder: Path, mutant: Mutant) -> None:
    """With ``-s`` it prints the witness and the claims whose verdict changes."""
    subject = mutant.load(folder)
    found = judged(judge, FAITHFUL, subject)
    told = [f"{mutant}: {found.verdict}"]
    if found.witness is not None:
        at = ", ".join(f"{name} = {value}" for name, value in found.witness.point.items())
        told.append(f"at {at}, off by {found.witness.excess}, replayed {found.witness.replayed}")
    told.append(found.reason)
    assert found.verdict is not judged(judge, FAITHFUL, mutant.original).verdict, "it survives"
    for claim in mutant.also:
        before = judged(judge, claim, mutant.original).verdict
        after = judged(judge, claim, subject).verdict
        told.append(f"{claim}: {before} -> {after}")
        assert after is not before, told[-1]
    print("\n    ".join(line for line in told if line))
    if mutant.shown:
        assert found.verdict is Verdict.REFUTED, found.reason
        assert found.witness is not None
        assert found.witness.replayed
