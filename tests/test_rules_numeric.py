"""The claims and the papers' rules against real optimizers, at random points."""

import itertools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache

import pytest
import torch
from hypothesis import assume, given, seed, settings
from hypothesis import strategies as st

from adamproof.proofs_check import ledger
from adamproof.proofs_check.arb import BALLS
from adamproof.proofs_check.judge import MAX_RUNS, SAME_RULE, excess_at
from adamproof.proofs_check.replay import Replay
from adamproof.proofs_check.subjects import Subject, builtin
from adamproof.theory.catalogue import claims
from adamproof.theory.faithful import paper_of
from adamproof.theory.interval import Interval
from adamproof.theory.records import Case, Point
from adamproof.theory.rule import ExactTrace, Rule

SUBJECTS = {name: subject for name, subject in builtin().items() if subject.recipe is not None}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]

#: Per claim and subject; there are some three hundred pairs.
EXAMPLES = settings(max_examples=6, deadline=None)


@cache
def case_of(claim: str, against: str) -> Case | None:
    """Return what a claim says of a paper's rule."""
    return claims()[claim].judge(paper_of(against))


def pairs(verdict: str) -> list[tuple[str, str]]:
    """Return the claims that can be seen on runs, with the code they have that verdict for."""
    out = []
    for claim, rows in ledger.load().items():
        for name in SUBJECTS.keys() & rows.keys():
            case = case_of(claim, SUBJECTS[name].against)
            if rows[name]["verdict"] == verdict and case is not None and case.runs is not None:
                out.append((claim, name))
    return sorted(out)


PROVED, REFUTED = pairs("proved"), pairs("refuted")


# -- points ----------------------------------------------------------------------------------------


def ratios(low: int, high: int, over: int) -> st.SearchStrategy[Fraction]:
    """Rationals that a float holds exactly, so that the two sides get the same numbers."""
    return st.integers(low, high).map(lambda k: Fraction(k, over))


UNIT = ratios(1, 63, 64)
KINDS: dict[str, st.SearchStrategy[Fraction]] = {
    "alpha": ratios(1, 64, 32),
    "eps": ratios(1, 64, 32),
    "lambda_": ratios(1, 32, 64),
    "eta": ratios(0, 32, 32),
    "psi": ratios(1, 16, 256),
    **dict.fromkeys(("beta1", "beta2", "mu", "tau", "rho"), UNIT),
}
GRADIENT = ratios(-64, 64, 8).filter(bool)
ZERO = st.just(Fraction(0))


def points_like(over: Sequence[Point]) -> st.SearchStrategy[dict[str, Fraction]]:
    """Points with the same names; 0 where the claim has it, and nowhere else."""
    kinds = {}
    for name in over[0]:
        values = {point[name] for point in over}
        kind = GRADIENT if name.startswith("g") else KINDS[name]
        kinds[name] = ZERO if values == {0} else kind | ZERO if 0 in values else kind
    return st.fixed_dictionaries(kinds)


@dataclass
class Watched:
    """A run of the real optimizer that notes how large its numbers are, and how small its steps."""

    run: Replay
    size: float = 1.0
    move: float = field(default=float("inf"))

    def __call__(
        self, point: Point, g: Sequence[Fraction | Interval], x: Fraction = Fraction(0), /
    ) -> ExactTrace:
        trace = self.run(point, g, x)
        numbers = itertools.chain(trace.x, *trace.state.values(), point.values())
        self.size = max(self.size, *(abs(float(number)) for number in numbers))
        for a, b in itertools.pairwise(trace.x):
            self.move = min(self.move, abs(float(b) - float(a)))
        return trace

    def rounding(self, *, divided: bool) -> float:
        """Return what rounding can do: to the numbers, or to a quotient by a step."""
        return 2**-40 * (self.size / self.move if divided else self.size) ** 2


def replay(subject: Subject, device: str) -> Replay:
    assert subject.recipe is not None
    return Replay(subject.recipe, paper_of(subject.against), device=device)


# -- claims ----------------------------------------------------------------------------------------


def test_there_are_pairs() -> None:
    for pairs_of, least in ((PROVED, 200), (REFUTED, 150)):
        assert len(pairs_of) >= least
        assert {SUBJECTS[name].kind for _, name in pairs_of} == {"torch", "ours"}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("claim", "name"), PROVED)
def test_no_run_of_the_code_violates_what_is_proved(claim: str, name: str, device: str) -> None:
    case = case_of(claim, SUBJECTS[name].against)
    assert case is not None
    assert case.runs is not None
    excess_of, over = case.runs.excess, list(itertools.islice(case.runs.over, MAX_RUNS))
    divided = claims()[claim].family == "AMSGrad"  # it reads D_t off the step

    @seed(zlib.crc32(f"{claim} {name}".encode()))
    @EXAMPLES
    @given(points_like(over))
    def holds(point: dict[str, Fraction]) -> None:
        run = Watched(replay(SUBJECTS[name], device))
        excess = excess_of(run, point)
        assume(not divided or run.move * 2**10 > run.size)  # else it reads rounding off the step
        assert float(excess.lo) <= run.rounding(divided=divided)

    holds()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("claim", "name"), REFUTED)
def test_the_code_violates_what_is_refuted(claim: str, name: str, device: str) -> None:
    subject = SUBJECTS[name]
    case = case_of(claim, subject.against)
    assert case is not None
    assert case.runs is not None
    for point in itertools.islice(case.runs.over, MAX_RUNS):
        exact = excess_at(case.runs.excess, paper_of(subject.against).run, point)
        if exact is not None and exact.certainly_positive():
            break
    else:
        pytest.fail("no witness")
    real = case.runs.excess(replay(subject, device), point)
    assert float(real) == pytest.approx(float(exact), rel=1e-9)


# -- rules -----------------------------------------------------------------------------------------

STEPS = 20


@pytest.fixture
def double() -> Iterator[None]:
    """All in float64: torch's NAdam keeps its product of momenta in the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def hyper_parameters(rule: Rule) -> st.SearchStrategy[dict[str, Fraction]]:
    return st.fixed_dictionaries({name: KINDS[name] for name in rule.hyper})


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.usefixtures("double")
def test_the_code_follows_the_rule_of_the_paper(name: str, device: str) -> None:
    """At every step and in every state, to the rounding of float64."""
    rule = paper_of(SUBJECTS[name].against)

    @seed(zlib.crc32(name.encode()))
    @EXAMPLES
    @given(
        point=hyper_parameters(rule),
        g=st.lists(GRADIENT | ZERO, min_size=STEPS, max_size=STEPS),
        x=GRADIENT,
    )
    def follows(point: dict[str, Fraction], g: list[Fraction], x: Fraction) -> None:
        real = replay(SUBJECTS[name], device)(point, g, x)
        told = rule.run_in(BALLS, point, g, x)
        lines = {"x": (real.x, told.x)}
        lines |= {entry: (real.state[entry], told.state[entry]) for entry in rule.initial}
        for entry, (code, paper) in lines.items():
            assert len(code) == len(paper) == STEPS + 1
            size = max(1.0, *(abs(float(ball.mid())) for ball in paper))
            for t, (number, ball) in enumerate(zip(code, paper, strict=True)):
                gap = abs(float(number) - float(ball.mid()))
                assert gap <= 2**-36 * size, f"{entry} at step {t}"

    follows()


def test_the_rules_cover_every_paper_that_code_claims_to_run() -> None:
    rows = ledger.load()[SAME_RULE]
    assert set(rows) == set(SUBJECTS)
