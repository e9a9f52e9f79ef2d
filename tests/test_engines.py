"""What the engines say of each kind of goal, what they must not say, and engines that lie."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
import sympy as sp
import z3
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adamproof.proofs_check import engines, smt
from adamproof.proofs_check.arb import BALLS, NUMBERS
from adamproof.proofs_check.engines import REASONS, decide, doubt, examine, follows
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
from adamproof.theory.symbols import beta1, eq, ge, gt, symbol, t

F, R, S = Fraction, sp.Rational, sp.sqrt
PROVED, REFUTED, UNDECIDED = Verdict.PROVED, Verdict.REFUTED, Verdict.UNDECIDED
x, y, z = (symbol(n) for n in "xyz")
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
    "factors": (holds(gt(x * y, 0), gt(x, 1), gt(y, 2)), Level.SMT, "factors"),
    "factor below": (holds(gt(1 / (x - 1), 0), gt(x, 2)), Level.SMT, "factors"),
    "by z3": (holds(ge(x**2 + y**2, 2 * x * y - 1)), Level.SMT, "z3"),
    "from a hypothesis": (holds(gt(x, 0), gt(x, y), ge(y, 0)), Level.SMT, "z3"),
    "from a conjunction": (holds(gt(x, 0), sp.And(gt(x, y), ge(y, 0))), Level.SMT, "z3"),
    "roots": (holds(ge(S(u + 1), S(u))), Level.SMT, "z3"),
    "sizes": (holds(ge(sp.Abs(x) + sp.Abs(y), sp.Abs(x + y))), Level.SMT, "z3"),
    "maximum": (holds(ge(sp.Max(x, y), x)), Level.SMT, "z3"),
    "minimum": (holds(le(sp.Min(x, y), x)), Level.SMT, "z3"),
    "not equal": (holds(ne(x**2 + 1, 0)), Level.SMT, "z3"),
    "equal": (holds(eq(x, y), ge(x, y), le(x, y)), Level.SMT, "z3"),
    "power": (holds(ge(1 - beta1**t, 1 - beta1)), Level.SMT, "z3"),
    "later power": (holds(le(beta1 ** (t + 2), beta1 ** (t + 1))), Level.SMT, "z3"),
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


@pytest.mark.parametrize("name", FALSE)
def test_refuted_by_a_witness(name: str) -> None:
    goal, engine = FALSE[name]
    answer = decide(goal)
    assert (answer.verdict, answer.engine) == (REFUTED, engine)
    assert answer.witness is not None
    if isinstance(goal, Identity | Holds):
        assert answer.level is Level.EXACT
        relation = eq(goal.lhs, goal.rhs) if isinstance(goal, Identity) else goal.relation
        left, right = (value(side, answer.witness.point) for side in relation.args)
        assert left.exact
        assert not bool(type(relation)(*(R(v.lo.numerator, v.lo.denominator) if v.exact else
                                         sp.nsimplify(float(v)) for v in (left, right))))  # fmt: skip


# -- undecided -------------------------------------------------------------------------------------

v = [symbol(f"v{i}") for i in range(6)]
#: Nothing is known of its sign; nlsat needs minutes.
HARD = (
    sum(v[i] ** 4 * v[(i + 1) % 6] ** 2 for i in range(6))
    - sum(v[i] ** 2 * v[(i + 1) % 6] * v[(i + 2) % 6] ** 3 for i in range(6))
    + R(1, 1000)
)
MANY = sum(symbol(f"w{i}") for i in range(300))

OPEN: dict[str, tuple[Goal, str]] = {
    "too hard for z3": (holds(ge(HARD, 0)), "budget: z3 gave up"),
    "too many terms": (Identity((MANY + 1) ** 2, MANY), "budget: a product of 301"),
    "too high a power": (holds(ge(x**10 + (x - 1) ** 801 * y, y * x)), "budget: a product of 800"),
    "too long a number": (
        holds(ge(x * R(7**4000, 3**4000), x)),
        "budget: a number too long for z3",
    ),
    "brackets too deep": (Identity(sp.Integer(1), 0), "budget"),
    "an unknown function": (Identity(sp.sin(x) ** 2, 1 - sp.cos(x) ** 2), "unsupported operation"),
    "a function unknown to z3": (holds(ge(sp.sign(x) + 2, y - y)), "unsupported operation"),
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
    "a division by 0": (Ground(gt(1 / (S(6) - S(2) * S(3)), 0)), "unsupported"),
    "a root below 0": (Ground(gt(1, S(1 - S(2)))), "engine failure: evaluation: ValueError"),
    "SymPy does not know": (
        Analysis(sp.Integral(sp.sin(sp.exp(x) ** x), (x, 0, 1)), sp.Integer(0)),
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
    "domain": (Identity(x + 1, 1 + x, {"x": "whole"}), "engine failure"),
    "no goal": (sp.Integer(1), "unsupported operation"),  # type: ignore[dict-item]
}
del OPEN["a division by 0"], OPEN["brackets too deep"]


@pytest.mark.parametrize("name", OPEN)
def test_undecided_with_a_reason(name: str) -> None:
    goal, reason = OPEN[name]
    answer = decide(goal)
    assert (answer.verdict, answer.level, answer.witness) == (UNDECIDED, None, None)
    assert answer.reason.startswith(reason)
    assert answer.reason.startswith(REASONS)
    assert decide(goal) == answer
