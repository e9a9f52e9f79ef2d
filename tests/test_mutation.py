"""A sample of the mutants that `mutation.py` makes: each is killed, or is no change at all."""

import random
import re
from pathlib import Path

import pytest

from . import mutation
from .mutation import EXPLAINED, KINDS, Mutant

PAGE = Path(__file__).parents[1] / "docs" / "mutation.md"
#: How many of each kind are judged here; `python tests/mutation.py` judges all.
SAMPLE = {"code": 12, "rule": 24, "step": 60}
#: The row of the page that tells of a kind.
ROWS = {"code": "optimizers", "rule": "the papers' rules", "step": "steps of derivations"}


@pytest.fixture(scope="module")
def made() -> dict[str, list[Mutant]]:
    return {kind: list(make()) for kind, make in KINDS.items()}


def counts(kind: str) -> list[int]:
    """Return made, killed, same, unexplained, as the page has them."""
    text = PAGE.read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| {ROWS[kind]} \|(.*)\|$", text, re.MULTILINE)
    return [int(cell) for cell in row.split("|")]


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_tells_of_every_mutant(made: dict[str, list[Mutant]], kind: str) -> None:
    all_, killed, same, unexplained = counts(kind)
    assert all_ == len(made[kind]) == killed + same
    assert all_ > 100
    assert unexplained == 0


@pytest.mark.parametrize("kind", KINDS)
def test_mutants_of_a_sample_are_killed(made: dict[str, list[Mutant]], kind: str) -> None:
    for mutant in random.Random(5).sample(made[kind], SAMPLE[kind]):
        assert not mutant.survives() or str(mutant) in EXPLAINED or mutant.same(), str(mutant)


def test_what_is_explained_is_made(made: dict[str, list[Mutant]]) -> None:
    names = {str(mutant) for mutants in made.values() for mutant in mutants}
    assert EXPLAINED.keys() <= names


def test_a_mutant_that_changes_nothing_survives(made: dict[str, list[Mutant]]) -> None:
    """The judge does not call everything refuted: without a change all is proved."""
    rule = next(m for m in made["rule"] if isinstance(m.survives, mutation._RuleCheck))
    check = rule.survives
    assert isinstance(check, mutation._RuleCheck)
    assert mutation._RuleCheck(mutation.paper_of(check.rule.against))()
