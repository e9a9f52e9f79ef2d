"""What the engines say of each kind of goal, what they must not say, and engines that lie."""

import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
import sympy as sp
import z3
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adamproof.proofs_check import engines, points, shifts, smt
from adamproof.proofs_check.arb import BALLS, NUMBERS
from adamproof.proofs_check.engines import REASONS, decide, doubt, follows
from adamproof.proofs_check.points import examine
from adamproof.theory.evaluate import value
from adamproof.theory.identity import Checker, Unsupported
from adamproof.theory.interval import Interval
from adamproof.theory.records import (
    Analysis,
    Answer,
    Goal,
    Ground,
    Holds,
    Identity,
    Level,
    Verdict,
    Witness,
)
from adamproof.theory.symbols import beta1, beta2, eq, ge, gt, symbol, t

F, R, S = Fraction, sp.Rational, sp.sqrt
PROVED, REFUTED, UNDECIDED = Verdict.PROVED, Verdict.REFUTED, Verdict.UNDECIDED
x, y, z = (symbol(n) for n in "xyz")
b = beta1
u, s = symbol("u", "nonnegative"), symbol("s", "nonnegative")
p, q = symbol("p", "positive"), symbol("q", "positive")
k = symbol("k", "natural")
DOMAINS = {"u": "nonnegative", "s": "nonnegative", "p": "positive", "q": "positive", "k": "natural"}
e = sp.E


def holds(relation: Any, *given: Any, shift: Any = None, **domains: str) -> Holds:
    return Holds(relation, given, {**DOMAINS, **domains}, shift or {})


def le(a: Any, b: Any) -> Any:
    return sp.Le(a, b, evaluate=False)


def lt(a: Any, b: Any) -> Any:
    return sp.Lt(a, b, evaluate=False)


def ne(a: Any, b: Any) -> Any:
    return sp.Ne(a, b, evaluate=False)


# -- proved ----------------------------------------------------------------------------------------

SHOWN: dict[str, tuple[Goal, Level, str]] = {
    "identity": (Identity((x + y) ** 2, x**2 + 2 * x * y + y**2), Level.EXACT, "identity"),
    "identity of numbers": (Identity(sp.Integer(4), 4), Level.EXACT, "identity"),
    "square": (holds(ge((x - y) ** 2, 0)), Level.EXACT, "certificate"),
    "turned over": (holds(le(0, (x - y) ** 2)), Level.EXACT, "certificate"),
    "strict": (holds(gt(p + u, 0)), Level.EXACT, "certificate"),
    "strict, turned over": (holds(lt(-p, u)), Level.EXACT, "certificate"),
    "shifted": (holds(ge(x**2 - 2 * x, 0), ge(x, 2), shift={x: 2 + u}), Level.EXACT, "certificate"),
    "from a hypothesis": (holds(gt(x, 0), gt(x, y), ge(y, 0)), Level.EXACT, "certificate"),
    "from several": (holds(gt(x * y, 0), gt(x, 1), gt(y, 2)), Level.EXACT, "certificate"),
    "from one below": (holds(gt(1 / (x - 1), 0), gt(x, 2)), Level.EXACT, "certificate"),
    "in [0, 1)": (holds(ge(1 / (1 - b), 1 / (1 - b**2))), Level.EXACT, "certificate"),
    "a natural number": (holds(ge(k**2 + x**2, k)), Level.EXACT, "certificate"),
    "later power": (holds(le(beta1 ** (t + 2), beta1 ** (t + 1))), Level.EXACT, "certificate"),
    "roots": (holds(ge(S(u + 1), S(u))), Level.EXACT, "order"),
    "maximum": (holds(ge(sp.Max(x, y), x)), Level.EXACT, "order"),
    "a sum of roots": (holds(ge(z + S(u), S(s) + z), ge(u, s)), Level.EXACT, "order"),
    "under a root": (holds(ge(u, s), ge(S(u), S(s))), Level.EXACT, "order"),
    "factors": (holds(gt(x * y, 0), gt(x**3, 1), gt(y, 2)), Level.SMT, "factors"),
    "factor below": (holds(gt(1 / (x - 1), 0), gt(x**3, 8)), Level.SMT, "factors"),
    "by z3": (holds(ge(x**2 + y**2, 2 * x * y - 1)), Level.SMT, "z3"),
    "from a conjunction": (holds(gt(x, 0), sp.And(gt(x, y), ge(y, 0))), Level.SMT, "z3"),
    "roots under roots": (holds(ge(S(u) + S(s), S(u + s))), Level.SMT, "z3"),
    "sizes": (holds(ge(sp.Abs(x) + sp.Abs(y), sp.Abs(x + y))), Level.SMT, "z3"),
    "maxima": (holds(ge(sp.Max(x, y), (x + y) / 2)), Level.SMT, "z3"),
    "minimum": (holds(le(sp.Min(x, y), x)), Level.SMT, "z3"),
    "not equal": (holds(ne(x**2 + 1, 0)), Level.SMT, "z3"),
    "equal": (holds(eq(x, y), ge(x, y), le(x, y)), Level.SMT, "z3"),
    "power": (holds(ge(1 - beta1**t, 1 - beta1)), Level.SMT, "z3"),
    "where it is defined": (holds(gt(x * (1 / x) + u, 0)), Level.EXACT, "certificate"),
    "numbers": (Ground(gt(R(1, 3), R(1, 4))), Level.EXACT, "evaluation"),
    "equal numbers": (Ground(eq(R(1, 3) + R(1, 6), R(1, 2))), Level.EXACT, "evaluation"),
    "different numbers": (Ground(ne(R(1, 3), R(1, 2))), Level.EXACT, "evaluation"),
    "roots of numbers": (Ground(lt(S(2), R(142, 100))), Level.INTERVAL, "evaluation"),
    "exponentials": (Ground(gt(sp.exp(-1), R(36, 100))), Level.INTERVAL, "evaluation"),
    "limit": (Analysis(sp.Limit(sp.sin(x) / x, x, 0), sp.Integer(1)), Level.CAS, "sympy"),
    "sum": (Analysis(sp.Sum(1 / k**2, (k, 1, sp.oo)), sp.pi**2 / 6), Level.CAS, "sympy"),
    "integral": (Analysis(sp.Integral(x**2, (x, 0, y)), y**3 / 3), Level.CAS, "sympy"),
}


@pytest.mark.parametrize("name", SHOWN)
def test_proved(name: str) -> None:
    goal, level, engine = SHOWN[name]
    answer = decide(goal)
    assert (answer.verdict, answer.level, answer.engine) == (PROVED, level, engine)
    assert not answer.reason


# -- refuted ---------------------------------------------------------------------------------------

FALSE: dict[str, tuple[Goal, str]] = {
    "identity": (Identity((x + y) ** 2, x**2 + y**2), "search"),
    "identity at one sign": (Identity(sp.Abs(x), x), "search"),
    "identity with roots": (Identity(S(x**2 + 1), sp.Abs(x) + 1), "search"),
    "polynomial": (holds(ge(x**2, x)), "z3"),
    "strict": (holds(gt(x**2, 0)), "z3"),
    "strict, turned over": (holds(lt(-(x**2), 0)), "z3"),
    "hypothesis": (holds(gt(x, 1), ge(x, 1)), "z3"),
    "equal": (holds(eq(x, y), ge(x, y)), "z3"),
    "a sign may be 0": (holds(ge(sp.Abs(sp.sign(x)), 1)), "z3"),
    "a sign of a sum": (holds(eq(sp.sign(x + y), sp.sign(x)), gt(x, 0)), "z3"),
    "not equal": (holds(ne(x, y)), "z3"),
    "an end of the domain": (holds(gt(beta1, 0)), "z3"),
    "odd power of what may be negative": (holds(ge(x**t, 0)), "search"),
    "any power of what may be negative": (holds(ge(x ** (2 * t - 1), 0)), "search"),
    "first power": (holds(lt(beta1 ** (t - 1), 1)), "search"),
    "power": (holds(ge(beta1 ** (t + 1), beta1**t)), "search"),
    "numbers": (Ground(lt(R(1, 3), R(1, 4))), "evaluation"),
    "equal numbers": (Ground(eq(S(2), R(141, 100))), "evaluation"),
    "exponentials": (Ground(lt(sp.exp(-1), R(36, 100))), "evaluation"),
    "limit": (Analysis(sp.Limit(sp.sin(x) / x, x, 0), sp.Integer(2)), "sympy"),
}


def fails(relation: Any, point: Any) -> bool:
    left, right = (value(side, point) for side in relation.args)
    gap = left - right
    return {
        sp.Ge: gap.hi < 0, sp.Gt: gap.hi <= 0, sp.Le: gap.lo > 0, sp.Lt: gap.lo >= 0,
        sp.Eq: gap.lo > 0 or gap.hi < 0, sp.Ne: gap.lo == gap.hi == 0,
    }[type(relation)]  # fmt: skip


@pytest.mark.parametrize("name", FALSE)
def test_refuted_by_a_witness(name: str) -> None:
    goal, engine = FALSE[name]
    answer = decide(goal)
    assert (answer.verdict, answer.engine) == (REFUTED, engine)
    assert answer.witness is not None
    if isinstance(goal, Identity | Holds):
        assert answer.level is Level.EXACT
        relation = eq(goal.lhs, goal.rhs) if isinstance(goal, Identity) else goal.relation
        assert fails(relation, answer.witness.point)


# -- undecided -------------------------------------------------------------------------------------

v = [symbol(f"v{i}") for i in range(6)]
#: Nothing is known of its sign; nlsat needs minutes.
HARD = (
    sum(v[i] ** 4 * v[(i + 1) % 6] ** 2 for i in range(6))
    - sum(v[i] ** 2 * v[(i + 1) % 6] * v[(i + 2) % 6] ** 3 for i in range(6))
    + R(1, 1000)
)


def deep(wrap: Any, times: int) -> Any:
    out = x**2 + 1
    for _ in range(times):
        out = wrap(out + 1)
    return out


OPEN: dict[str, tuple[Goal, str]] = {
    "too hard for z3": (holds(ge(HARD, 0)), "budget: z3 gave up"),
    "too high a power": (holds(ge(x**130 + 1, x)), "budget: a product of 129"),
    "too long a number": (
        holds(ge(x**2 + 1, x * R(7**4000, 7**4000 + 1))),
        "budget: a number too long for z3",
    ),
    "too many brackets": (Identity(deep(S, 110), deep(S, 110)), "budget"),
    "an unknown function": (Identity(sp.sin(x) ** 2, 1 - sp.cos(x) ** 2), "unsupported operation"),
    "a function unknown to z3": (holds(ge(sp.exp(x) + 2, y - y)), "unsupported operation"),
    "cube root": (holds(ge(sp.cbrt(p) + x**2 - x, 0)), "unsupported operation"),
    "disjunction": (holds(sp.Or(gt(x, -1), lt(x, 1))), "unsupported operation"),
    "roots that agree only in sum": (
        Identity(S(5 + 2 * S(6)), S(2) + S(3)),
        "incompleteness: the difference does not cancel",
    ),
    "powers are only powers": (
        holds(ge(1 - beta1 ** (2 * t), 1 - beta1**t)),
        "incompleteness: a counterexample only with beta",
    ),
    "whole numbers": (
        holds(ge((k - R(3, 2)) ** 2, R(1, 4))),
        "incompleteness: z3's counterexample was not confirmed",
    ),
    "numbers that may be equal": (
        Ground(eq(S(5 + 2 * S(6)), S(2) + S(3))),
        "incompleteness: the enclosure does not decide",
    ),
    "numbers with symbols": (Ground(gt(x, 0)), "unsupported operation"),
    "numbers not known": (Ground(gt(sp.pi, 3)), "unsupported operation"),
    "a division by 0": (
        Ground(gt(1 / (S(5 + 2 * S(6)) - S(2) - S(3)), 0)),
        "engine failure: evaluation: ZeroDivisionError",
    ),
    "a root below 0": (Ground(gt(1, S(1 - S(2)))), "engine failure: evaluation: ValueError"),
    "SymPy does not know": (
        Analysis(sp.Limit(sp.Function("f")(x), x, 0), sp.Integer(0)),
        "incompleteness: SymPy leaves",
    ),
    "SymPy decided": (Holds(sp.Ge(x**2, 0)), "unsupported operation: SymPy decided"),
    "SymPy decided otherwise": (Holds(ge(x, 0), (sp.Lt(x**2, 0),)), "unsupported operation: SymPy"),
    "SymPy decided numbers": (Ground(sp.Gt(2, 1)), "unsupported operation: SymPy decided"),
    "SymPy assumes more": (Identity(sp.Abs(p), p, {"p": "real"}), "unsupported operation: SymPy"),
    "SymPy assumes otherwise": (
        Holds(ge(sp.Symbol("n", negative=True), 0)),
        "unsupported operation: SymPy assumes",
    ),
    "SymPy assumes more of one": (
        Identity(sp.Abs(p) + 0 * x, sp.Symbol("p", real=True)),
        "unsupported operation: SymPy assumes",
    ),
    "dummy": (Identity(sp.Dummy("x"), x), "unsupported operation: the dummy symbol"),
    "dummy for z3": (holds(ge(sp.Dummy("x"), x)), "unsupported operation: the dummy symbol"),
    "domain": (Identity(x + 1, 1 + x, {"x": "whole"}), "engine failure"),
    "no goal": (sp.Integer(1), "unsupported operation"),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("name", OPEN)
def test_undecided_with_a_reason(name: str) -> None:
    goal, reason = OPEN[name]
    answer = decide(goal)
    assert (answer.verdict, answer.level, answer.witness) == (UNDECIDED, None, None)
    assert answer.reason.startswith(reason)
    assert answer.reason.startswith(REASONS)
    assert decide(goal) == answer


def test_a_polynomial_past_the_budget_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    goal = Identity((x + y) ** 9, sp.expand((x + y) ** 9))
    assert decide(goal).verdict is PROVED
    monkeypatch.setattr("adamproof.theory.identity.MAX_TERMS", 10)
    answer = decide(goal)
    assert answer.verdict is UNDECIDED
    assert answer.reason.startswith("budget: a product of ")


def test_z3s_budget_is_its_own_and_not_the_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    goal = holds(ge(x**2 + y**2, 2 * x * y - 1))
    monkeypatch.setattr(smt, "RLIMIT", 10)
    answer = decide(goal)
    assert answer.verdict is UNDECIDED
    assert answer.reason.startswith("budget: z3 gave up after 10 units")


# -- what it is about ------------------------------------------------------------------------------


def test_a_goal_that_says_nothing_is_not_proved() -> None:
    nowhere = (
        holds(ge(S(-1 - x**2), 5)),
        holds(ge(x, y), gt(x, y), gt(y, x)),
        holds(ge(x, 0), eq(x**2, -1)),
        holds(ge(k, 0), eq(2 * k, 3)),  # z3 suggests k = 3/2
        holds(ge(x, x), sp.And(gt(x, 0), lt(x, 0))),
        Identity(S(-1 - x**2) + 1, 1 + S(-1 - x**2)),
        Identity(x / (S(5 + 2 * S(6)) - S(2) - S(3)), x / (S(5 + 2 * S(6)) - S(2) - S(3))),
    )
    for goal in nowhere:
        answer = decide(goal)
        assert answer.verdict is UNDECIDED
        assert answer.reason.startswith("vacuous")
        assert examine(goal).points == 0


def test_points_that_are_far_out_are_found_by_z3() -> None:
    goal = holds(gt(x, 0), gt(x, 1000), eq(x * y, 7))
    assert decide(goal).verdict is PROVED
    assert examine(goal).points == 1
    assert examine(holds(gt(S(x - 1000), -1))).points == 1


def test_examine_finds_the_failure_and_counts_the_points() -> None:
    failure = examine(Identity(x**2, x)).fails_at
    assert failure is not None
    assert failure["x"] ** 2 != failure["x"]
    # as many generic points as plain ones
    assert examine(holds(ge(x, 0), ge(x, y), ge(y, 0)), enough=3) == points.Examined(6)
    assert examine(holds(ge(x, 0), ge(x, y), ge(y, 0)), enough=7).points == 14
    # at the points where the root is irrational the enclosure does not tell, but it is defined
    assert examine(Identity(S(x) ** 3, x * S(x))).points == 8 + 5


def test_a_difference_that_shows_at_generic_points_only_is_seen() -> None:
    # at the plain points two numbers of one domain are often equal, or 1
    mixed, other = b * x + (1 - b) * y, beta2 * x + (1 - beta2) * y
    liar = Answer(PROVED, Level.EXACT, "liar")
    assert decide(Identity(mixed, other), lambda _: liar).verdict is UNDECIDED


def test_a_hypothesis_that_is_not_certain_is_none() -> None:
    goal = holds(gt(x, 0), ge(S(5 + 2 * S(6)), S(2) + S(3)))  # they are equal
    assert examine(goal) == points.Examined(0)


def test_counterexamples_are_in_the_domains_of_the_hypotheses_too() -> None:
    # over the reals k = 3/2, x = -1/2 would do
    goal = holds(ge(x, 0), eq(2 * k, 3 + 0 * x), ge(x, k - 2))
    assert decide(goal).verdict is UNDECIDED


def test_undefined_sides_refute_nothing() -> None:
    # the two sides differ by x - 1, and are defined at x = 1 only
    goal = Identity(S(x - 1) + S(1 - x) + x, S(x - 1) + S(1 - x) + 1)
    assert decide(goal).verdict is UNDECIDED
    assert points.examine(goal).fails_at is None


def test_symbols_without_a_domain_are_as_sympy_assumes() -> None:
    assert decide(Identity(sp.Abs(sp.Symbol("n", positive=True)), sp.Symbol("n", positive=True))) == (
        Answer(PROVED, Level.EXACT, "identity")
    )
    goal = Holds(ge(sp.Symbol("m", integer=True, positive=True), 1))
    assert decide(goal).verdict is PROVED
    assert points.domains_of(goal)["m"] == "natural"
    both = Identity(sp.Symbol("n", real=True) + sp.Symbol("n", positive=True), sp.Integer(0))
    assert points.domains_of(both)["n"] == "real"
    assert decide(both).reason.startswith("unsupported operation: SymPy assumes")


def test_follows() -> None:
    assert follows(gt(x, 0), (gt(x, 1),), {})
    assert not follows(gt(x, 1), (gt(x, 0),), {})


# -- shifts ----------------------------------------------------------------------------------------

w = symbol("w", "nonnegative")
ONTO: dict[str, tuple[Any, tuple[Any, ...], dict[Any, Any], dict[str, str]]] = {
    "x = a + s from a hypothesis": (x - 1, (ge(x, 1),), {x: 1 + u}, {}),
    "x = a + s, turned over": (x - 1, (le(1, x),), {x: 1 + u}, {}),
    "x = a + s from a stronger one": (x - 1, (gt(x, 1),), {x: 1 + u}, {}),
    "x = a + s, s > 0": (x - 1, (gt(x, 1),), {x: 1 + p}, {}),
    "x = a - s": (y**2 - x, (le(x, y**2),), {x: y**2 - u}, {}),
    "a natural number": (t - 1, (), {t: 1 + u}, {}),
    "a non-negative number": (u, (), {u: s}, {}),
    "a positive number": (q, (), {q: s}, {}),
    "a positive number, s > 0": (q, (), {q: p}, {}),
    "[0, 1)": (1 - b, (), {b: s / (1 + s)}, {}),
    "(0, 1)": (1 - b, (gt(b, 0),), {b: 1 / (1 + s)}, {}),
    "(0, 1]": (1 - x, (gt(x, 0), le(x, 1)), {x: 1 / (1 + s)}, {}),
    "two of them": (x * y - 2, (ge(x, 1), ge(y, 2)), {x: 1 + u, y: 2 + s}, {}),
}


@pytest.mark.parametrize("name", ONTO)
def test_a_shift_onto_the_domain_is_taken(name: str) -> None:
    least, given_, shift, domains = ONTO[name]
    goal = holds(ge(least, 0), *given_, shift=shift, **domains)
    assert shifts.fresh(goal)
    assert decide(goal).engine == "certificate"


INTO: dict[str, tuple[tuple[Any, ...], dict[Any, Any], dict[str, str]]] = {
    "a real number": ((), {x: s}, {}),
    "no hypothesis": ((), {x: 1 + s}, {}),
    "another hypothesis": ((ge(x, 0),), {x: 1 + s}, {}),
    "the other side": ((ge(x, 1),), {x: 1 - s}, {}),
    "a disjunction": ((sp.Or(ge(x, 1), ge(y, 1)),), {x: 1 + s}, {}),
    "a natural number from 2 on": ((), {k: 2 + s}, {}),
    "a sum of two": ((ge(x, 1),), {x: 1 + s + u}, {}),
    "a multiple that misses none, not recognised": ((ge(x, 1),), {x: 1 + 2 * s}, {}),
    "a square": ((), {u: s**2 - s}, {}),
    "[0, 1) without 0": ((), {b: 1 / (1 + s)}, {}),
    "(0, 1] where there may be more": ((gt(x, 0),), {x: 1 / (1 + s)}, {}),
    "[0, 1) where there may be 1": ((ge(x, 0), le(x, 1)), {x: s / (1 + s)}, {}),
    "s > 0 at a closed end": ((ge(x, 1),), {x: 1 + p}, {}),
    "s > 0 at 0": ((), {u: p}, {}),
    "SymPy takes s for positive": ((ge(x, 1),), {x: 1 + p}, {"p": "nonnegative"}),
    "s in [0, 1)": ((ge(x, 1),), {x: 1 + s}, {"s": "unit"}),
    "s natural": ((ge(x, 1),), {x: 1 + s}, {"s": "natural"}),
    "one s for two": ((ge(x, 1), ge(y, 1)), {x: 1 + s, y: 1 + s}, {}),
    "an old symbol": ((ge(x, 1),), {x: 1 + y}, {}),
    "a hypothesis's symbol": ((ge(x, 1), ge(s, 1)), {x: 1 + s}, {}),
    "no symbol": ((ge(x, 1),), {x: sp.Integer(1)}, {}),
    "no polynomial": ((ge(x, 1 / y), gt(y, 0)), {x: 1 / y + s}, {}),
    "an expression": ((ge(x**2, 1),), {x**2: 1 + s}, {}),
}


@pytest.mark.parametrize("name", INTO)
def test_a_shift_that_may_miss_a_point_is_refused(name: str) -> None:
    given_, shift, domains = INTO[name]
    for relation in (ge(x + y**2, 7), gt(x * b + k * u, y)):
        goal = holds(relation, *given_, shift=shift, **domains)
        with pytest.raises(Unsupported, match="may not reach every value"):
            shifts.fresh(goal)
        assert decide(goal).verdict is not PROVED


def test_a_shift_that_misses_the_failure_proves_nothing() -> None:
    # false at b != c alone, where 1/(1+s) for both does not come
    goal = holds(ge(0, (b - symbol("beta2")) ** 2), shift={b: 1 / (1 + s), symbol("beta2"): 1 / (1 + s)})
    assert decide(goal).verdict is REFUTED
    assert decide(holds(gt(b, 0), shift={b: 1 / (1 + s)})).verdict is REFUTED


# -- engines that lie or fail ----------------------------------------------------------------------


def test_a_lying_z3_proves_nothing_false(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smt, "ask", lambda *_: ("proved", {}))
    answer = decide(holds(ge(x**3, x)))
    assert answer.verdict is UNDECIDED
    assert answer.reason.startswith("engines disagree: proved, yet it fails at x = ")


def test_a_lying_z3_refutes_nothing_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smt, "ask", lambda *_: ("counterexample", {"x": F(1), "y": F(1)}))
    answer = decide(holds(ge(x**2 + y**2, 2 * x * y - 1)))
    assert answer.verdict is UNDECIDED
    assert answer.reason.startswith("incompleteness: z3's counterexample was not confirmed")


def test_a_lying_checker_proves_nothing_false(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Checker, "equal", lambda *_: True)
    monkeypatch.setattr(Checker, "certify", lambda *_: "positive")
    for goal in (Identity(x, x + y), holds(gt(x - y, 0))):
        answer = decide(goal)
        assert answer.verdict is UNDECIDED
        assert answer.reason.startswith("engines disagree: proved")


@pytest.mark.parametrize("error", [z3.Z3Exception("out of memory"), ZeroDivisionError(), KeyError("x")])
def test_a_failing_z3_knows_nothing(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(z3.Solver, "check", fail)
    answer = decide(holds(ge(x**2 + y**2, 2 * x * y - 1)))
    assert answer.verdict is UNDECIDED
    assert answer.reason.startswith(("incompleteness: z3 does not know", "engine failure: z3"))


def test_what_the_first_solver_fails_at_is_left_to_the_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check, calls = z3.Solver.check, [0]

    def fail_once(solver: Any) -> Any:
        calls[0] += 1
        if calls[0] == 1:
            raise z3.Z3Exception("no tactic for that")
        return check(solver)

    monkeypatch.setattr(z3.Solver, "check", fail_once)
    assert decide(holds(ge(x**2 + y**2, 2 * x * y - 1))).engine == "z3"
    assert calls == [2]


def test_a_failing_engine_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(Checker, "certify", fail)
    assert decide(holds(ge(x**2 + y**2, 2 * x * y - 1))).engine == "z3"
    monkeypatch.setattr(smt, "ask", fail)
    answer = decide(holds(ge(x**2 + y**2, 2 * x * y - 1)))
    assert answer.verdict is UNDECIDED
    assert answer.reason.startswith("engine failure: certificate: RuntimeError: no")


def test_doubt() -> None:
    goal = holds(ge(x, 0), ge(x, -1))
    fails_at = Witness({"x": F(-1)}, "1")
    assert not doubt(goal, Answer(REFUTED, Level.EXACT, witness=fails_at))
    assert not doubt(goal, Answer(UNDECIDED))
    for wrong in (Witness({"x": F(1)}, "1"), Witness({"x": F(-2)}, "2"), Witness({}, "1")):
        told = doubt(goal, Answer(REFUTED, Level.EXACT, witness=wrong))
        assert told.startswith("engines disagree: refuted")
    assert doubt(goal, Answer(REFUTED, Level.EXACT)).startswith("engines disagree")
    assert doubt(Ground(gt(1, 2)), Answer(REFUTED)).startswith("engines disagree")
    assert doubt(goal, Answer(PROVED, Level.EXACT)).startswith("engines disagree: proved")


def test_sympy_alone_is_never_more_than_cas(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = sp.Limit(sp.sin(x) / x, x, 0)
    for rhs in (sp.Integer(1), sp.Integer(2)):
        assert decide(Analysis(limit, rhs)).level is Level.CAS
    # the points at which it refutes are in the domains
    goal = Analysis(sp.Limit(sp.cos(2 * sp.pi * k) * y, y, 1), sp.Integer(1))
    assert decide(goal).verdict is not REFUTED
    answer = decide(Analysis(sp.Limit(k * y, y, 1), sp.Integer(2)))
    assert answer.verdict is UNDECIDED or answer.witness != Witness({"k": F(1, 2)}, "-3/2")
    monkeypatch.setattr(sp, "simplify", lambda *_: sp.Integer(0))
    answer = decide(Analysis(limit, sp.Integer(2)))
    assert answer.reason.startswith("engines disagree: proved, yet Arb sees [1.0000000")


# -- balls -----------------------------------------------------------------------------------------


def test_a_ball_below_0_has_no_root_unless_by_rounding() -> None:
    below = NUMBERS.number(F(-1, 10**90))
    assert not below.contains(0)
    for arithmetic in (NUMBERS, BALLS):
        with pytest.raises(Unsupported):
            arithmetic.sqrt(below)
    touching = NUMBERS.exp(NUMBERS.number(F(1))) - NUMBERS.exp(NUMBERS.number(F(1)))
    assert touching.contains(0)
    with pytest.raises(Unsupported):
        NUMBERS.sqrt(touching)
    assert BALLS.sqrt(touching).contains(0)
    tiny = sp.exp(2) - sp.Rational(str(sp.N(sp.exp(2), 120))) - R(1, 10**90)
    assert decide(Ground(gt(1, S(tiny)))).verdict is UNDECIDED


@given(st.fractions(min_value=-6, max_value=6, max_denominator=9), st.integers(-4, 5))
def test_balls_hold_the_exact_value(number: Fraction, exponent: int) -> None:
    ball = NUMBERS.number(number)
    exact = Interval.of(number)
    parts = [(NUMBERS.maximum([ball, ball / 3]), exact.maximum(number / 3)), (abs(ball), abs(exact))]
    if number or exponent > 0:
        parts.append((NUMBERS.power(ball, NUMBERS.number(F(exponent))), exact.power(exponent)))
    if number >= 0:
        parts.append((NUMBERS.sqrt(ball), exact.sqrt()))
    for found, told in parts:
        middle = NUMBERS.number((told.lo + told.hi) / 2)
        assert abs(found - middle) < NUMBERS.number(F(1, 10**60))
    assert NUMBERS.sign(ball) == (number > 0) - (number < 0)


# -- random goals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "lo", "hi", "told"), [
    (sp.Ge, 0, 1, True), (sp.Ge, -1, 0, None), (sp.Ge, -2, -1, False),
    (sp.Gt, 1, 2, True), (sp.Gt, 0, 1, None), (sp.Gt, -1, 0, False),
    (sp.Le, -1, 0, True), (sp.Le, 0, 1, None), (sp.Le, 1, 2, False),
    (sp.Lt, -2, -1, True), (sp.Lt, -1, 0, None), (sp.Lt, 0, 1, False),
    (sp.Eq, 0, 0, True), (sp.Eq, -1, 1, None), (sp.Eq, 1, 1, False), (sp.Eq, -2, -1, False),
    (sp.Ne, 0, 0, False), (sp.Ne, 0, 1, None), (sp.Ne, 1, 2, True), (sp.Ne, -2, -1, True),
])  # fmt: skip
def test_compare(kind: type, lo: int, hi: int, told: bool | None) -> None:
    assert points.compare(kind, lo, hi) is told


def test_points_are_in_their_domains_and_not_too_many() -> None:
    kinds = ("real", "nonnegative", "positive", "unit", "natural", "real", "unit")
    for count in range(1, len(kinds) + 1):
        names = tuple(f"v{i}" for i in range(count))
        domains = dict(zip(names, kinds, strict=False))
        seen = list(points.points(names, domains))
        assert 0 < len(seen) <= points.MAX_POINTS
        assert all(points.in_domain(at[n], domains[n]) for at in seen for n in names)


NUMBERS_AT = {"x": "-2 -1 0 1/2 3", "y": "-1 0 1 2/3", "u": "0 1 5", "p": "1/3 1 4",
              "beta1": "0 1/4 9/10",
              "t": "1 2 3 7"}  # fmt: skip
AT = st.fixed_dictionaries({
    n: st.sampled_from([F(f) for f in told.split()]) for n, told in NUMBERS_AT.items()
})
TERMS = st.recursive(
    st.sampled_from([x, y, u, p, b, b**t, b ** (t - 1), x**t, x ** (t + 1), b ** (2 * t + 1), p**y,
                     sp.Integer(1), R(-1, 2)]),
    lambda parts: st.one_of(
        st.builds(lambda f, g: f + g, parts, parts),
        st.builds(lambda f, g: f - g, parts, parts),
        st.builds(lambda f, g: f * g, parts, parts),
        st.builds(lambda f, g: f / g if g != 0 else f, parts, parts),
        st.builds(lambda f: f**2, parts),
        st.builds(lambda f: S(f), parts),
        st.builds(lambda f: sp.Abs(f), parts),
        st.builds(lambda f, g: sp.Max(f, g, evaluate=False), parts, parts),
        st.builds(lambda f, g: sp.Min(f, g, evaluate=False), parts, parts),
    ),
    max_leaves=5,
).filter(lambda f: not f.has(sp.zoo, sp.nan, sp.oo, sp.I))  # fmt: skip


def admits(term: Any, at: dict[str, Fraction]) -> bool | None:
    """Whether the translation allows a term its true value; None where that is not a rational."""
    try:
        told = value(term, at)
        translation = smt.Translation({**DOMAINS, "beta1": "unit", "t": "natural"})
        translation.scan(term)
        translated = translation.term(term)
    except (ZeroDivisionError, ValueError, Unsupported):
        return None
    if not told.exact:
        return None
    solver = z3.Solver()
    solver.set("rlimit", 2_000_000)
    solver.add(*translation.conditions, translated == z3.Q(*told.lo.as_integer_ratio()))
    solver.add(*(v == z3.Q(*at[n].as_integer_ratio()) for n, v in translation.symbols.items()))
    return bool(solver.check() != z3.unsat)


@given(TERMS, AT)
def test_no_value_of_a_term_is_lost_on_z3(term: Any, at: dict[str, Fraction]) -> None:
    """Else "no solution" would prove nothing."""
    told = admits(term, at)
    assume(told is not None)
    assert told


@pytest.mark.parametrize(
    "term",
    [
        x, u, p, b, t, x + y, x - y, x * y, x / y, 1 / (x * y), y / S(u), (x + 1) ** -3, S(u),
        S(u + 1) ** 3, S(x**2 * p**2), sp.Abs(x), sp.Max(x, y, u), sp.Min(x, y, u),
        b**t, b ** (t - 1), b ** (t + 2),
        b ** (2 * t - 1), b ** (3 - t), b**t + b ** (t - 1), b**u, b**y, p**t, p ** (1 - t), u**t,
        u ** (t - 1), x**t, x ** (t - 1) * x ** (t + 1), (x - y) ** t, (x / (y - 2)) ** (2 * t), p**x,
    ],
    ids=str,
)  # fmt: skip
def test_no_value_is_lost_on_z3(term: Any) -> None:
    names = sorted(f.name for f in term.free_symbols)
    grid = itertools.product(*([F(f) for f in NUMBERS_AT[n].split()] for n in names))
    told = [admits(term, dict(zip(names, at, strict=True))) for at in grid]
    assert True in told
    assert False not in told


GIVEN = st.lists(st.builds(lambda f, g: ge(f, g), TERMS, TERMS), max_size=2)
RELATIONS = st.builds(lambda r, f, g: r(f, g), st.sampled_from([ge, gt, le, lt, eq, ne]), TERMS, TERMS)


@settings(max_examples=40)
@given(st.one_of(RELATIONS, st.builds(lambda f, g: ge(f, f - g**2), TERMS, TERMS)), GIVEN,
       st.lists(AT, min_size=5, max_size=5))  # fmt: skip
def test_what_the_engines_prove_holds(relation: Any, told: list[Any], at: list[Any]) -> None:
    goal = holds(relation, *told)
    engines_say: Iterator[Answer | None] = (e(goal) for e in _quietly(goal))
    for answer in engines_say:
        if answer is None or answer.verdict is not PROVED:
            continue
        for point in at:
            try:
                if all(fails(sp.Not(r), point) for r in told):
                    assert not fails(relation, point)
            except (ZeroDivisionError, ValueError, Unsupported):
                continue


def _quietly(goal: Holds) -> Iterator[Any]:
    """Yield the engines one by one, without the exact points that decide() holds them against."""
    for engine in engines._ENGINES[Holds]:

        def asked(goal: Holds, engine: Any = engine) -> Answer | None:
            try:
                found: Answer | None = engine(goal)
            except Exception:
                return None
            return found

        yield asked
