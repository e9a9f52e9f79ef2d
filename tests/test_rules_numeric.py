"""The claims and the papers' rules against real optimizers, at random points."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
from hypothesis import Phase, assume, given, reject, settings
from hypothesis import strategies as st

from adamproof.proofs_check import ledger
from adamproof.proofs_check.arb import BALLS
from adamproof.proofs_check.judge import MAX_RUNS, SAME_RULE, excess_at
from adamproof.proofs_check.replay import NotReplayed, Replay
from adamproof.proofs_check.subjects import Subject, builtin
from adamproof.theory.catalogue import claims
from adamproof.theory.faithful import paper_of
from adamproof.theory.interval import Interval
from adamproof.theory.records import Case, Point, Run
from adamproof.theory.roles import first_moment, second_moment
from adamproof.theory.rule import ExactTrace, Rule

pytestmark = pytest.mark.usefixtures("double")

SUBJECTS = {
    name: subject for name, subject in builtin().items() if subject.recipe and not subject.compiled
}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]

#: Per claim and subject; there are hundreds of pairs.  Points are plain enough without shrinking,
#: which takes minutes for each test that fails.
EXAMPLES = settings(max_examples=6, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])


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
    "alpha_final": ratios(1, 64, 32),
    "gamma_": ratios(1, 64, 32),
    **dict.fromkeys("xy", ratios(-64, 64, 8).filter(bool)),
    **dict.fromkeys(("beta1", "beta2", "mu", "tau", "rho"), UNIT),
}
GRADIENT = ratios(-64, 64, 8).filter(bool)
ZERO = Fraction(0)


def points_like(over: Sequence[Point]) -> st.SearchStrategy[dict[str, Fraction]]:
    """Points with the same names; 0 where the claim has it, and nowhere else."""
    kinds = {}
    for name in over[0]:
        values = {point[name] for point in over}
        kind = KINDS.get(name, GRADIENT)  # g1, g2, …
        kinds[name] = st.just(ZERO) if values == {0} else kind | st.just(ZERO) if 0 in values else kind
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
        return 2**-36 * ((self.size / self.move) ** 2 if divided else self.size)


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
    """A fresh test for each pair: Hypothesis chains the settings of one, and breaks after 950."""
    case = case_of(claim, SUBJECTS[name].against)
    assert case is not None
    assert case.runs is not None
    excess_of, divided = case.runs.excess, claims()[claim].family == "AMSGrad"  # D_t, off the step

    @given(point=points_like(list(itertools.islice(case.runs.over, MAX_RUNS))))
    @EXAMPLES
    def holds(point: Point) -> None:
        run = Watched(replay(SUBJECTS[name], device))
        try:
            excess = excess_of(run, point)
        except (
            NotReplayed
        ):  # 0/0, such as ε = 0 where the decay takes the gradient away: the paper's too
            assert excess_at(excess_of, paper_of(SUBJECTS[name].against).run, point) is None
            reject()
        assume(not divided or run.move * 2**10 > run.size)  # else it reads rounding off the step
        assert float(excess) <= run.rounding(divided=divided)

    holds()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("claim", "name"), REFUTED)
def test_the_code_violates_what_is_refuted(claim: str, name: str, device: str) -> None:
    """By as much as the exact run does, at the first point where that one does."""
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


# -- claims that look at no run by themselves ------------------------------------------------------
#
# Each function returns what must not be positive; a point holds every hyper-parameter, four
# gradients and a start.


def size(value: Interval | Fraction) -> Interval:
    return abs(Interval.of(value))


def gradients(p: Point) -> list[Fraction]:
    return [p[f"g{k}"] for k in (1, 2, 3, 4)]


def sign(value: Fraction) -> int:
    return (value > 0) - (value < 0)


def stationary(run: Run, rule: Rule, p: Point) -> Interval:
    m = first_moment(rule) or second_moment(rule)
    assert m is not None
    enters = p["g1"] if first_moment(rule) else p["g1"] ** 2
    kept = run(p, [p["g1"]] * 3, p["x"]).state[m.name][3]
    return size(kept / (1 - p[m.beta.name] ** 3) - enters)


def second_moments(run: Run, rule: Rule, p: Point) -> Interval:
    """The expectation over all sequences of three gradients μ ± σ."""
    v = second_moment(rule)
    assert v is not None
    mean, sigma = p["g1"], p["g2"]
    ends = [
        run(p, [mean + s * sigma for s in signs], p["x"]).state[v.name][3]
        for signs in itertools.product((-1, 1), repeat=3)
    ]
    expected = sum(ends, Interval.of(0)) / len(ends) / (1 - p[v.beta.name] ** 3)
    return size(expected - (mean**2 + sigma**2))


def first_step(run: Run, rule: Rule, p: Point) -> Interval:
    moved = run({**p, "lambda_": ZERO}, [p["g1"]], p["x"]).x[1] - p["x"]
    root = Interval.of(1 - p["beta2"]).sqrt() if rule.against == "adam-eps-hat" else Interval.of(1)
    return size(moved + p["alpha"] * p["g1"] / (abs(p["g1"]) + p["eps"] / root))


def maximising(p: Point, t: int) -> list[Fraction]:
    """Gradients proportional to (β1/β2)^(t−i), the largest of them 1."""
    r = p["beta1"] / p["beta2"]
    return [r ** (t - i) / max(1, r ** (t - 1)) for i in range(1, t + 1)]


def tight(run: Run, rule: Rule, p: Point) -> Interval:
    """The maximising sequence reaches the bound."""
    b1, b2, t = p["beta1"], p["beta2"], 4
    q = b1**2 / b2
    trace = run({**p, "eps": ZERO, "lambda_": ZERO}, maximising(p, t))
    square = (1 - b1) ** 2 * sum(q**k for k in range(t)) / (1 - b2)
    bound = p["alpha"] * Interval.of(square * (1 - b2**t)).sqrt() / (1 - b1**t)
    return size(size(trace.x[t] - trace.x[t - 1]) - bound)


def at_most_the_rate(run: Run, rule: Rule, p: Point) -> Interval:
    """Equal betas never step beyond α; others do, along the maximising sequence."""
    b2, t = p["beta2"], 4
    equal = run({**p, "beta1": b2, "lambda_": ZERO}, gradients(p), p["x"])
    worst = run({**p, "eps": ZERO, "lambda_": ZERO}, maximising(p, t))
    longest = max(float(size(b - a)) for a, b in itertools.pairwise(equal.x))
    within = Interval.of(Fraction(longest)) - p["alpha"]
    beyond = p["alpha"] - size(worst.x[t] - worst.x[t - 1])
    return within.maximum(beyond)


def eps_hats(run: Run, rule: Rule, p: Point) -> Interval:
    """At β2 = 3/4 and t = 1 the root of 1 − β2^t is 1/2."""
    at = {**p, "beta2": Fraction(3, 4)}
    halved = paper_of("adam-eps-hat").run({**at, "eps": p["eps"] / 2}, [p["g1"]], p["x"])
    return size(run(at, [p["g1"]], p["x"]).x[1] - halved.x[1])


def momentum_parts(run: Run, rule: Rule, p: Point) -> Interval:
    at = {**p, "lambda_": p["alpha"] * p["lambda_"]}
    decay = paper_of("sgd+momentum+decay").run(at, gradients(p)[:2], p["x"])
    l2 = run(p, gradients(p)[:2], p["x"])
    gap = l2.x[2] - decay.x[2] + p["alpha"] * p["mu"] * p["lambda_"] * p["x"]
    return size(l2.x[1] - decay.x[1]).maximum(size(gap))


def l2_first_step(run: Run, rule: Rule, p: Point) -> Interval:
    total = p["g1"] + p["lambda_"] * p["x"]
    assume(total != 0)
    x = run({**p, "eps": ZERO}, [p["g1"]], p["x"]).x[1]
    return size(x - p["x"] + p["alpha"] * sign(total))


def l2_average(run: Run, rule: Rule, p: Point) -> Interval:
    """m is the average of the gradients plus λ times that of the parameters."""
    m = first_moment(rule)
    assert m is not None
    b, trace, told = p[m.beta.name], run(p, gradients(p), p["x"]), Interval.of(0)
    for g, x in zip(gradients(p), trace.x, strict=False):
        told = b * told + (1 - b) * (g + p["lambda_"] * x)
    return size(trace.state[m.name][4] - told)


def kept(rule: Rule, p: Point) -> Fraction:
    return 1 - p["lambda_"] * (1 if rule.name.endswith("uncoupled") else p["alpha"])


def uniform(run: Run, rule: Rule, p: Point) -> Interval:
    one, two = (run(p, gradients(p), start) for start in (p["x"], p["x"] + 1))
    return size(two.x[4] - one.x[4] - kept(rule, p) ** 4)


def converted(run: Run, rule: Rule, p: Point) -> Interval:
    """Without a gradient the code does what the paper's rule does with λ = α·λ of the code."""
    there = {**p, "lambda_": p["alpha"] * p["lambda_"]}
    told = paper_of("adamw-uncoupled").run(there, [ZERO] * 4, p["x"])
    return size(run(p, [ZERO] * 4, p["x"]).x[4] - told.x[4])


def decay_before(run: Run, rule: Rule, p: Point) -> Interval:
    """The step is the one without decay, and what decays is x_(t−1)."""
    with_decay, without = (
        run({**p, "lambda_": rate}, gradients(p), p["x"]).x for rate in (p["lambda_"], ZERO)
    )
    step = without[4] - without[3]
    return size(with_decay[4] - kept(rule, p) * with_decay[3] - step)


def rebound(run: Run, rule: Rule, p: Point) -> Interval:
    """A spike, then silence: D_4/D_1, read off the steps."""
    m = first_moment(rule)
    assert m is not None
    b1, b2 = p["beta1"], p["beta2"]
    trace = run({**p, "eps": ZERO, "lambda_": ZERO}, [p["g1"], ZERO, ZERO, ZERO])
    first, last = (trace.state[m.name][t] / (1 - b1**t) / (trace.x[t - 1] - trace.x[t]) for t in (1, 4))
    return size(last / first - Interval.of((1 - b2) / (1 - b2**4)).sqrt())


STATEMENTS: dict[str, Callable[[Run, Rule, Point], Interval]] = {
    "bias-correction-unbiased": stationary,
    "v-is-second-moment": second_moments,
    "first-step-exact": first_step,
    "step-bound-tight": tight,
    "step-at-most-lr-iff": at_most_the_rate,
    "eps-hat-conversion": eps_hats,
    "momentum-l2-first-difference": momentum_parts,
    "adam-l2-first-step": l2_first_step,
    "l2-decay-frozen": l2_average,
    "adamw-uniform-decay": uniform,
    "adamw-lambda-conversion": converted,
    "adamw-order": decay_before,
    "amsgrad-rebound-factor": rebound,
}

#: What no optimizer runs: a preconditioner that stands still, a mean; and what other tests simulate.
NO_RUN = {"frozen-preconditioner", "adam-two-cycle-stability", "sqrt-batch-scaling-drift"}

BY_HAND = [
    (claim, name)
    for claim in STATEMENTS
    for name in SUBJECTS
    if ledger.load()[claim].get(name, {}).get("verdict") == "proved"
]

WHOLE = st.fixed_dictionaries(
    {name: KINDS[name] for name in ("alpha", "beta1", "beta2", "eps", "lambda_", "mu", "rho")}
    | dict.fromkeys(("g1", "g2", "g3", "g4", "x"), GRADIENT)
)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("claim", "name"), BY_HAND)
@given(p=WHOLE)
@EXAMPLES
def test_the_code_does_what_is_proved(claim: str, name: str, device: str, p: Point) -> None:
    subject = SUBJECTS[name]
    run = Watched(replay(subject, device))
    excess = STATEMENTS[claim](run, paper_of(subject.against), p)
    assert float(excess) <= run.rounding(divided=False)


def test_every_claim_about_code_is_seen_on_code() -> None:
    rows = ledger.load()
    proved = {c for c in rows if any(rows[c].get(n, {}).get("verdict") == "proved" for n in SUBJECTS)}
    assert proved - {claim for claim, _ in (*PROVED, *BY_HAND)} == NO_RUN


# -- rules -----------------------------------------------------------------------------------------

STEPS = 20


def hyper_parameters(rule: Rule) -> st.SearchStrategy[dict[str, Fraction]]:
    return st.fixed_dictionaries({name: KINDS[name] for name in rule.hyper})


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", SUBJECTS)
@given(data=st.data(), g=st.lists(GRADIENT | st.just(ZERO), min_size=STEPS, max_size=STEPS), x=GRADIENT)
@EXAMPLES
def test_the_code_follows_the_rule_of_the_paper(
    name: str, device: str, data: Any, g: list[Fraction], x: Fraction
) -> None:
    """In the parameter and in the state, at every step, to the rounding of float64."""
    rule = paper_of(SUBJECTS[name].against)
    assume("'sqrt'" not in name or g[0] != 0)  # the paper's AdaBound has no ε: it divides by |g| then
    point = data.draw(hyper_parameters(rule))
    real = replay(SUBJECTS[name], device)(point, g, x)
    told = rule.run_in(BALLS, point, g, x)
    lines = {"x": (real.x, told.x)}
    lines |= {entry: (real.state[entry], told.state[entry]) for entry in rule.initial}
    for entry, (code, paper) in lines.items():
        assert len(code) == len(paper) == STEPS + 1
        size = max(1.0, *(abs(float(ball.mid())) for ball in paper))
        for t, (number, ball) in enumerate(zip(code, paper, strict=True)):
            assert abs(float(number) - float(ball.mid())) <= 2**-36 * size, f"{entry} at step {t}"


def test_every_code_has_a_paper() -> None:
    assert {name for name, subject in SUBJECTS.items() if subject.against} == set(SUBJECTS)
    assert set(ledger.load()[SAME_RULE]) == set(SUBJECTS)
