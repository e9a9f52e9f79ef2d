"""The derivation behind ``reddi_online``: an induction over the periods.

Everything starts from the rule's own two lines (``theory.rules.adam`` without correction): the new
v, and the new x as a function of it.  A period begins at step n = 3k + 1, at x = 1, with any v that
is not negative.

Only T2 + T3 >= T1 has to be shown, where T1 is the step down and T2, T3 are the two steps up.  By
(T2 + T3)² >= 4 T2 T3 it is enough that 16 T2² T3² >= T1⁴, which is free of roots; cleared of its
denominators, that is a polynomial in q = C², V and k with a visible sign.
"""

from __future__ import annotations

import sympy as sp
from sympy import Rational, sqrt

from ..theory import symbols as sym
from ..theory.records import Expr, Goal, Holds, Identity, Step
from ..theory.rules import adam

C, alpha = sym.symbol("C", "positive"), sym.alpha
k, V = sym.symbol("k", "nonnegative"), sym.symbol("V", "nonnegative")
c, d, e = (sym.symbol(name, "nonnegative") for name in "cde")
DOMAINS = {"C": "positive", "k": "nonnegative", "V": "nonnegative", "M": "positive"}
DOMAINS |= dict.fromkeys("cde", "nonnegative") | dict.fromkeys(("T1", "T2", "T3"), "positive")

q, n = C**2, 3 * k + 1


def _numerators(q: Expr) -> tuple[Expr, Expr, Expr]:
    return V + q**2, V + 2 * q**2 + q, V + q**3 + 4 * q**2 + 2 * q


def _spare(q: Expr, n: Expr, b1: Expr, b2: Expr, b3: Expr) -> Expr:
    """Return 16 T2² T3² - T1⁴, written so that its sign is visible."""
    inner = (
        V**2 * (16 * q**3 + 42 * q**2 + 48 * q + 16)
        + 2 * V * q**2 * (13 * q**3 + 30 * q**2 + 39 * q + 16)
        + 2 * q**4 * ((q - 1) ** 2 * (2 * q + 1) + 1)
    )
    above = alpha**4 * (1 + q) ** 2 * (n**2 * inner + 3 * k * (5 * n + 2) * q**2 * b2 * b3)
    return above / (n**2 * (n + 1) * (n + 2) * b1**2 * b2 * b3)


B1, B2, B3 = _numerators(q)
#: v after the three steps of a period that begins with V.
AFTER = (B1 / (1 + q), B2 / (1 + q) ** 2, B3 / (1 + q) ** 3)
SPARE = _spare(q, n, B1, B2, B3)


def _shown(e: Expr) -> str:
    return str(e).replace("**", "^").replace("*", " ").replace("alpha", "α")


def _rule() -> dict[str, Expr]:
    """Return the rule's lines at β1 = 0, ε = 0, β2 = 1/(1 + C²)."""
    (regime,) = adam(corrected=False).regimes
    at = {sym.beta1: 0, sym.eps: 0, sym.beta2: 1 / (1 + q)}
    return {name: line.subs(at) for name, line in regime.new.items()}


def new_v(old: Expr, gradient: Expr) -> Expr:
    """Return the rule's v after a gradient."""
    at = {sym.old("exp_avg_sq"): old, sym.g: gradient}
    return _rule()["exp_avg_sq"].subs(at, simultaneous=True)


def moves() -> tuple[Expr, Expr, Expr]:
    """Return how far the rule's x goes down, up and up in a period, before clamping: T1, T2, T3."""
    line, out = _rule()["x"], []
    for i, gradient in enumerate((C, -1, -1)):
        at = {sym.new("exp_avg_sq"): AFTER[i], sym.new("exp_avg"): gradient}
        out.append((line - sym.x).subs(at).subs(alpha, alpha / sqrt(n + i)))
    return -out[0], out[1], out[2]


def _fourth(t1: Expr, t2: Expr, t3: Expr) -> Expr:
    return 16 * t2**2 * t3**2 - t1**4


def _gap(t1: Expr, t2: Expr, t3: Expr, spare: Expr) -> Expr:
    """Return T2 + T3 - T1 by way of the fourth powers, given 16 T2² T3² - T1⁴."""
    up = t2 + t3
    return ((t2 - t3) ** 2 * (up**2 + 4 * t2 * t3) + spare) / ((up + t1) * (up**2 + t1**2))


def _holds(relation: Expr, **shift: Expr) -> Holds:
    named = {"C": C, "alpha": alpha, "V": V}
    return Holds(relation, (), DOMAINS, {named[name]: value for name, value in shift.items()})


def steps() -> tuple[Step, ...]:
    """Return the induction, then the regret, the bias correction, and other starts."""
    return (*a_period_returns(), *regret_grows(), *_corrected(), *_other_starts())


def a_period_returns() -> tuple[Step, ...]:
    """Return why x is 1 again after a period that began at 1."""
    t1, t2, t3 = moves()
    s1, s2, s3 = (sym.symbol(f"T{i}", "positive") for i in (1, 2, 3))
    olds, gradients = (V, *AFTER[:2]), (C, -1, -1)
    followed = tuple(
        Step(f"(1 + q)^{i + 1} v, after step 3k + {i + 1}, is B{i + 1} = "
             + _shown(_numerators(sp.Symbol("q"))[i]),
             Identity(new_v(olds[i], sp.sympify(gradients[i])), AFTER[i], DOMAINS),
             f"the rule's line for v, with the gradient {gradients[i]}; q = C², and V is v before")
        for i in range(3)
    )  # fmt: skip
    return (
        *followed,
        Step("16 T2² T3² - T1⁴ = " + _shown(_spare(*sp.symbols("q n B1 B2 B3"))),
             Identity(_fourth(t1, t2, t3), SPARE, DOMAINS),
             "T1 (down), T2, T3 (up) from the rule's line for x; n = 3k + 1"),
        Step("16 T2² T3² > T1⁴ for every C > 0, V >= 0 and k >= 0",
             _holds(sym.gt(SPARE, 0)),
             "every term of the last line is >= 0, and one is > 0"),
        Step("T2 + T3 - T1 = ((T2 - T3)²((T2 + T3)² + 4 T2 T3) + 16 T2² T3² - T1⁴)"
             " / ((T2 + T3 + T1)((T2 + T3)² + T1²))",
             Identity(s2 + s3 - s1, _gap(s1, s2, s3, _fourth(s1, s2, s3)), DOMAINS),
             "(T2 + T3)² = 4 T2 T3 + (T2 - T3)², squared"),
        Step("T2 + T3 > T1",
             _holds(sym.gt(_gap(t1, t2, t3, SPARE), 0)),
             "the last three lines together"),
        Step("if the second step up starts below 1, it would lead to 1 or beyond",
             _holds(sym.ge(sp.Max(d, s1 + d - 2, evaluate=False), 0)),
             "x_{3k+2} = max(1 - T1, -1), so it leads to 1 + max(d, T1 + d - 2), d = T2 + T3 - T1"),
        Step("if it starts at 1, it would lead beyond 1",
             _holds(sym.gt(t3, 0)),
             "x_{3k+3} = min(x_{3k+2} + T2, 1): there is no third case.  So x_{3k+4} = 1"),
    )  # fmt: skip


def regret_grows() -> tuple[Step, ...]:
    """Return what a period from 1 costs."""
    a, b = d, e  # how far x_{3k+2} and x_{3k+3} are below 1
    adam_loses = C * 1 - (1 - a) - (1 - b)
    best_loses = C * (-1) - (-1) - (-1)
    return (
        Step("a period costs 2(C - 2) + (1 - x_{3k+2}) + (1 - x_{3k+3}) more than staying at -1",
             Identity(adam_loses - best_loses, 2 * (C - 2) + a + b, DOMAINS),
             "Adam plays 1, x_{3k+2}, x_{3k+3}; the slopes are C, -1, -1"),
        Step("that is more than 0, and at least 2(C - 2), when C > 2",
             Holds(sym.gt(2 * (C - 2) + a + b, 0), (sym.gt(C, 2),), {**DOMAINS, "c": "positive"},
                   {C: 2 + sym.symbol("c", "positive")}),
             "no iterate lies above 1.  So R(3K) >= 2(C - 2) K, and R(T)/T does not tend to 0"),
    )  # fmt: skip


def _corrected() -> tuple[Step, ...]:
    zero = {sym.beta1: 0, sym.eps: 0}
    raw, corrected = ((adam(corrected=on).transition()["x"] - sym.x).subs(zero)
                      for on in (False, True))  # fmt: skip
    beta, power = 1 / (1 + c), 1 / (1 + d)
    factors = (1 - beta * power) * (1 - beta**2 * power) - (1 - power) ** 2
    return (
        Step("the bias correction multiplies the square of each step by 1 - β2^t",
             Identity(corrected**2, raw**2 * (1 - sym.beta2**sym.t), DOMAINS),
             "β1 = 0, so m needs none"),
        Step("(1 - β2^{n+1})(1 - β2^{n+2}) >= (1 - β2^n)², so 16 T2² T3² > T1⁴ survives it",
             Holds(sym.ge(factors, 0), (), DOMAINS),
             "β2 = 1/(1 + c), β2^n = 1/(1 + d).  Adam with its correction returns to 1 as well"),
    )  # fmt: skip


def _other_starts() -> tuple[Step, ...]:
    t1, t2, t3 = moves()
    M, v = sym.symbol("M", "positive"), sym.old("exp_avg_sq")
    after = adam().only.new["exp_avg_sq"].subs({v: M - d, sym.g: sqrt(M - e)})  # type: ignore[union-attr]
    here, there = sqrt(n), sqrt(n + 3)
    return (
        Step("T2 + T3 >= (51/50) T1 for C >= 2",
             Holds(sym.ge(16 * t2**2 * t3**2 - Rational(51, 50) ** 4 * t1**4, 0), (sym.ge(C, 2),),
                   DOMAINS, {C: 2 + c}),
             "4 T2 T3 >= (51/50)² T1², and (T2 + T3)² >= 4 T2 T3"),
        Step("v never exceeds M = max(v_0, C²)",
             Identity(M - after, sym.beta2 * d + (1 - sym.beta2) * e, DOMAINS),
             "v = M - d and g² = M - e with d, e >= 0"),
        Step("T1 >= α C/√(n M), so a period that ends below 1 ends higher by α C/(50 √(n M))",
             _holds(sym.ge(alpha**2 * q / n * (1 / AFTER[0] - 1 / (AFTER[0] + d)), 0)),
             "T1² = α² C²/(n v), and M = v + d; the clamp at -1 only raises x"),
        Step("2 √n (√(n+3) - √n) <= 3, so the sum of 1/√n over n = 1, 4, 7, … is unbounded",
             Identity(3 - 2 * here * (there - here), (there - here) ** 2, DOMAINS),
             "1/√n >= (2/3)(√(n+3) - √n).  From any x_1, Adam arrives at 1, and stays as above"),
    )  # fmt: skip


def control() -> Goal:
    """Return the key inequality with a tenth to spare: false at C = 1, V = 0, k = 0."""
    t1, t2, t3 = moves()
    return _holds(sym.ge(16 * t2**2 * t3**2 - Rational(11, 10) * t1**4, 0))
