"""The derivation behind ``reddi_stochastic``: the expected step of Adam, at every t, is upwards.

A slope is C with probability p = (1 + δ)/(C + 1), else -1; slopes are independent.  A slope that came
i steps ago has the weight (1 - β1) β1^i in m_t and its square (1 - β2) β2^i in v_t, from m_0 = v_0 = 0.

* If it is C, then v_t >= (1 - β2) β2^i C² for its sake alone, so it moves x down by no more than
  (1 - β1) γ^i/√(1 - β2), with γ = β1/√β2: with probability p each, that is rare when C is large.
* If it is -1, it moves x up by (1 - β1) β1^i/√v_t, whose mean is at least that at the mean of v_t,
  as 1/√v is convex; and the mean of v_t is at most M = E g², which grows like C, not like C².

So E[-m_t/√v_t] >= (1 - β1) ((1 - p)/√M - p/√κ), with κ = (1 - β2)(1 - γ)², for every t >= 1.
"""

from __future__ import annotations

from fractions import Fraction

import sympy as sp
from sympy import Rational, sqrt

from ..theory import symbols as sym
from ..theory.records import Expr, Goal, Ground, Holds, Identity, Step
from ..theory.rules import adam
from .reddi_period_proof import line
from .reddi_stochastic import BETAS, DELTA, RUN_BETAS, SLOPE, instance

C, delta = sym.symbol("C", "positive"), sym.symbol("δ", "positive")
M, K, R = (sym.symbol(name, "positive") for name in "MKR")
a, d, e, k, w = (sym.symbol(name, "nonnegative") for name in "adekw")
G, P = sym.symbol("G", "nonnegative"), sym.symbol("P", "positive")
r, rho = sym.symbol("r", "positive"), sym.symbol("ρ", "positive")
weight, rest, then = sym.symbol("W"), sym.symbol("Y"), sym.symbol("h")
gamma, x = sym.symbol("γ", "unit"), sym.symbol("x", "unit")
DOMAINS = dict.fromkeys(("C", "δ", "M", "K", "R", "P", "r", "ρ"), "positive")
DOMAINS |= dict.fromkeys(("a", "d", "e", "k", "w", "G"), "nonnegative") | {"γ": "unit", "x": "unit"}

chance = (1 + delta) / (C + 1)
#: E g²: what the mean of v never exceeds.
mean = 1 + (1 + delta) * (C - 1)


def steps() -> tuple[Step, ...]:
    """Return the bound on the expected step, for which C it is positive, and instances."""
    return (*_slopes(), *_large(), *_small(), *_sum(), *_which(), *_corrected(), *_instances())


def _slopes() -> tuple[Step, ...]:
    return (
        Step("p C - (1 - p) = δ: the expected slope is δ > 0, and -1 is the best point",
             Identity(chance * C - (1 - chance), delta, DOMAINS), "p = (1 + δ)/(C + 1)"),
        Step("p < 1 for C > δ",
             Holds(sym.gt(1 - chance, 0), (sym.gt(C, delta),), DOMAINS, {C: delta + r}),
             "p is a chance"),
        Step("p C² + (1 - p) = M = 1 + (1 + δ)(C - 1)",
             Identity(chance * C**2 + (1 - chance), mean, DOMAINS), "E g²"),
        Step("a step multiplies by β1 the weight that an older slope has in m",
             Identity(line("exp_avg", weight * then + rest, sym.g),
                      sym.beta1 * weight * then + (sym.beta1 * rest + (1 - sym.beta1) * sym.g)),
             "the rule's line for m; the newest has 1 - β1, so one that came i steps ago (1 - β1) β1^i"),
        Step("and by β2 the weight that its square has in v",
             Identity(line("exp_avg_sq", weight * then**2 + rest, sym.g),
                      sym.beta2 * weight * then**2 + (sym.beta2 * rest + (1 - sym.beta2) * sym.g**2)),
             "the rule's line for v; the newest has 1 - β2"),
    )  # fmt: skip


def _large() -> tuple[Step, ...]:
    held = K * P * C**2
    return (
        Step("C² β1^{2i}/v_t <= γ^{2i}/(1 - β2) when the slope of i steps ago is C",
             Holds(sym.ge(G / K - C**2 * G * P / (held + w), 0), (), DOMAINS),
             "v_t = (1 - β2) β2^i C² + w with w >= 0; P is β2^i, G is γ^{2i}, K is 1 - β2.  Its share "
             "of -m_t/√v_t is at least -(1 - β1) γ^i/√(1 - β2)"),
        Step("γ^i = (1 - γ^{i+1})/(1 - γ) - (1 - γ^i)/(1 - γ)",
             Identity((1 - gamma * x) / (1 - gamma) - (1 - x) / (1 - gamma), x, DOMAINS),
             "x stands for γ^i: a geometric sum"),
        Step("(1 - γ^t)/(1 - γ) <= 1/(1 - γ)",
             Holds(sym.ge(1 / (1 - gamma) - (1 - x) / (1 - gamma), 0), (), DOMAINS,
                   {gamma: d / (1 + d), x: e / (1 + e)}),
             "each with probability p: such slopes contribute at least -(1 - β1) p/√κ to E[-m_t/√v_t], "
             "√κ = √(1 - β2) (1 - γ).  Here β1 < √β2 is needed"),
    )  # fmt: skip


def _small() -> tuple[Step, ...]:
    new = line("exp_avg_sq", M - d, sym.g).subs(sym.g, sqrt(M - e))
    tangent = 1 / rho - (r**2 - rho**2) / (2 * rho**3)
    slack = (r - rho) ** 2 * (r + 2 * rho) / (2 * r * rho**3)
    at_mean = tangent.subs(r, rho * sqrt(1 - d / (1 + d)))  # E v_t = M - M d/(1 + d)
    return (
        Step("if the means of v and of g² are at most M, so is that of the next v",
             Identity(M - new, sym.beta2 * d + (1 - sym.beta2) * e, DOMAINS),
             "the rule's line is linear in v and g², so it holds for the means: M - d, M - e"),
        Step("1 <= M for C >= 1: the mean of v_t stays below M when one slope is known to be -1",
             Holds(sym.ge(mean.subs(C, 1 + a) - 1, 0), (), DOMAINS),
             "that g² is then 1 instead of M in the mean; the others do not depend on it"),
        Step("1/r = 1/ρ - (r² - ρ²)/(2 ρ³) + (r - ρ)² (r + 2ρ)/(2 r ρ³)",
             Identity(1 / r, tangent + slack, DOMAINS), "1/√v and its tangent at M: r = √v, ρ = √M"),
        Step("the last part is >= 0",
             Holds(sym.ge(slack, 0), (), DOMAINS), "so 1/√v_t >= 1/√M - (v_t - M)/(2 M^{3/2})"),
        Step("if the mean of v_t is at most M, that of 1/√v_t is at least 1/√M",
             Holds(sym.ge(at_mean - 1 / rho, 0), (), DOMAINS),
             "the mean of both sides; E v_t = M - M d/(1 + d).  A slope -1 of i steps ago contributes "
             "at least (1 - p)(1 - β1) β1^i/√M"),
    )  # fmt: skip


def _sum() -> tuple[Step, ...]:
    ratio = sym.beta1
    return (
        Step("(1 - β1) β1^i = (1 - β1^{i+1}) - (1 - β1^i)",
             Identity((1 - ratio * x) - (1 - x), (1 - ratio) * x, DOMAINS),
             "x stands for β1^i: the weights add up to 1 - β1^t"),
        Step("1 - β1^t >= 1 - β1",
             Holds(sym.ge((1 - ratio * x) - (1 - ratio), 0), (), DOMAINS, {x: d / (1 + d)}),
             "β1^t = β1 x.  So E[-m_t/√v_t] >= (1 - β1)((1 - p)/√M - p/√κ) for every t >= 1"),
    )  # fmt: skip


def _which() -> tuple[Step, ...]:
    kappa, up, down = (
        sym.symbol("κ", "positive"),
        sym.symbol("A", "positive"),
        sym.symbol("B", "positive"),
    )
    margin = kappa * (C - delta) ** 2 - (1 + delta) ** 2 * M
    domains = {**DOMAINS, "κ": "positive", "A": "positive", "B": "positive"}
    at = 1 / (1 + k)  # κ, at most 1
    far = delta + 2 * (1 + delta) ** 3 / at + w
    told = at * (far - delta) ** 2 - (1 + delta) ** 2 * mean.subs(C, far)
    return (
        Step("(1 - p)²/M - p²/κ = (κ (C - δ)² - (1 + δ)² M)/((C + 1)² κ M)",
             Identity((1 - chance) ** 2 / M - chance**2 / kappa, margin / ((C + 1) ** 2 * kappa * M),
                      domains), "p = (1 + δ)/(C + 1), 1 - p = (C - δ)/(C + 1)"),
        Step("A - B = (A² - B²)/(A + B)",
             Identity(up - down, (up**2 - down**2) / (up + down), domains),
             "A = (1 - p)/√M, B = p/√κ: the expected step is upwards when κ (C - δ)² > (1 + δ)² M"),
        Step("which holds for C >= δ + 2 (1 + δ)³/κ, whatever 0 < κ <= 1 and δ > 0 are",
             Holds(sym.gt(told, 0), (), DOMAINS),
             "κ = 1/(1 + k), C = δ + 2 (1 + δ)³/κ + w.  So there is such a C for all 0 <= β1 < √β2 < 1"),
    )  # fmt: skip


def _corrected() -> tuple[Step, ...]:
    at = {sym.eps: 0}
    raw, corrected = ((adam(corrected=on).transition()["x"] - sym.x).subs(at) for on in (False, True))
    ratio = (1 - sym.beta2**sym.t) / (1 - sym.beta1**sym.t) ** 2
    return (
        Step("the bias correction multiplies the square of each step by (1 - β2^t)/(1 - β1^t)²",
             Identity(corrected**2, raw**2 * ratio, DOMAINS),
             "a positive number that knows no slope: the expected step keeps its sign"),
    )  # fmt: skip


def bound(beta1: Fraction, beta2: Fraction, slope: Fraction, excess: Fraction) -> Expr:
    """Return (1 - β1)((1 - p)/√M - p/√κ), unevaluated, for numbers."""
    first, second, large, more = (
        Rational(n.numerator, n.denominator) for n in (beta1, beta2, slope, excess)
    )
    p, top = (1 + more) / (large + 1), 1 + (1 + more) * (large - 1)
    root = sp.Pow(second, Rational(1, 2), evaluate=False)
    kappa = sp.Mul(sp.Pow(1 - second, Rational(1, 2), evaluate=False),
                   sp.Add(1, -first / root, evaluate=False), evaluate=False)  # fmt: skip
    up = sp.Mul(1 - p, sp.Pow(top, Rational(-1, 2), evaluate=False), evaluate=False)
    down = sp.Mul(-p, sp.Pow(kappa, -1, evaluate=False), evaluate=False)
    return sp.Mul(1 - first, sp.Add(up, down, evaluate=False), evaluate=False)


def _instances() -> tuple[Step, ...]:
    others = [(*betas, Fraction(instance(*betas, DELTA))) for betas in BETAS]
    return tuple(
        Step(f"(1 - β1)((1 - p)/√M - p/√κ) > 0 at β = ({beta1}, {beta2}), δ = {DELTA}, C = {slope}",
             Ground(sym.gt(bound(beta1, beta2, slope, DELTA), 0)), "numbers, with enclosed roots")
        for beta1, beta2, slope in ((*RUN_BETAS, SLOPE), *others)
    )  # fmt: skip


def control() -> Goal:
    """Return the bound of the runs at a C that is ten times smaller, where it is negative."""
    return Ground(sym.gt(bound(*RUN_BETAS, SLOPE / 10, DELTA), 0))
