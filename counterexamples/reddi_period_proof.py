"""The derivation behind ``reddi_period``: an orbit in closed form, and the sign of a sum along it.

The gradients do not depend on x, so neither do m and v: linear recurrences with periodic input,
which forget their beginning at the rate β^t.  On the orbit, m_j and v_j are those after the j-th
gradient of a period, j = 1 … p.  Everything but the last sign is proved for any spike A, any
other slope -B, any period p and any betas.
"""

from __future__ import annotations

import sympy as sp
from sympy import Rational, sqrt

from ..theory import symbols as sym
from ..theory.records import Expr, Goal, Ground, Holds, Identity, Step
from ..theory.rules import adam
from .reddi_period import BETAS, EPS, OTHER, PERIOD, SPIKE

A, B = sym.symbol("A", "positive"), sym.symbol("B", "positive")
p, j, t = sym.symbol("p", "natural"), sym.symbol("j", "natural"), sym.t
delta, excess = sym.symbol("delta"), sym.symbol("s", "positive")
DOMAINS = {"A": "positive", "B": "positive", "p": "natural", "j": "natural", "s": "positive"}
DOMAINS |= {"k": "nonnegative"}


def orbit(other: Expr, spike: Expr, beta: Expr, index: Expr, period: Expr = p) -> Expr:
    """Return a moving average of a periodic input at a place in its period."""
    return other + (spike - other) * (1 - beta) * beta ** (index - 1) / (1 - beta**period)


def m(index: Expr) -> Expr:
    """Return the first moment on the orbit."""
    return orbit(-B, A, sym.beta1, index)


def v(index: Expr) -> Expr:
    """Return the second moment on the orbit."""
    return orbit(B**2, A**2, sym.beta2, index)


def summed(index: Expr) -> Expr:
    """Return m_1 + … + m_j."""
    return -B * index + (A + B) * (1 - sym.beta1**index) / (1 - sym.beta1**p)


def climb(beta2: Expr, eps: Expr) -> Expr:
    """Return the sum of -m_j/(√v_j + ε) over a period, with the numbers of the counterexample."""
    spike, other, beta1 = (Rational(x.numerator, x.denominator) for x in (SPIKE, OTHER, BETAS[0]))
    terms = []
    for place in range(1, PERIOD + 1):
        first = orbit(other, spike, beta1, sp.Integer(place), sp.Integer(PERIOD))
        second = orbit(other**2, spike**2, beta2, sp.Integer(place), sp.Integer(PERIOD))
        # unevaluated: SymPy would look for squares in numbers of a thousand digits
        root = sp.Pow(second, Rational(1, 2), evaluate=False)
        below = sp.Pow(sp.Add(root, eps, evaluate=False), -1, evaluate=False)
        terms.append(sp.Mul(-first, below, evaluate=False))
    return sp.Add(*terms, evaluate=False)


def line(name: str, old: Expr, gradient: Expr) -> Expr:
    """Return the rule's own line for a moment."""
    line = adam(corrected=False).transition()[name]
    return line.subs({sym.old(name): old, sym.g: gradient}, simultaneous=True)


def steps() -> tuple[Step, ...]:
    """Return the orbit, then Adam's drift along it, then AMSGrad's."""
    return (*settling(), *_adam(), *sum_of_moments())


def settling() -> tuple[Step, ...]:
    """Return the orbit, how the moments approach it, and why the drift along it decides."""
    return (
        Step("a slope -B takes m from m_j = -B + (A + B)(1 - β1) β1^{j-1}/(1 - β1^p) to m_{j+1}",
             Identity(line("exp_avg", m(j), -B), m(j + 1), DOMAINS), "the rule's line for m"),
        Step("the slope A takes m from m_p to m_1",
             Identity(line("exp_avg", m(p), A), m(sp.Integer(1)), DOMAINS),
             "the rule's line for m"),
        Step("the same for v_j = B² + (A² - B²)(1 - β2) β2^{j-1}/(1 - β2^p)",
             Identity(line("exp_avg_sq", v(j), -B), v(j + 1), DOMAINS), "the rule's line for v"),
        Step("… which the slope A takes from v_p to v_1",
             Identity(line("exp_avg_sq", v(p), A), v(sp.Integer(1)), DOMAINS),
             "the rule's line for v"),
        Step("a distance δ of m from the orbit becomes β1 δ",
             Identity(line("exp_avg", m(j) + delta, -B) - m(j + 1), sym.beta1 * delta, DOMAINS),
             "linear: from any beginning, m_t approaches the orbit like β1^t"),
        Step("a distance δ of v from the orbit becomes β2 δ",
             Identity(line("exp_avg_sq", v(j) + delta, -B) - v(j + 1), sym.beta2 * delta, DOMAINS),
             "linear: v_t approaches the orbit like β2^t, and 1 - β^t approaches 1 like β^t"),
        Step("within a period 1/√t changes by 1/√t - 1/√(t+p) = p/(√t √(t+p) (√t + √(t+p)))",
             Identity(1 / sqrt(t) - 1 / sqrt(t + p),
                      p / (sqrt(t) * sqrt(t + p) * (sqrt(t) + sqrt(t + p))), DOMAINS),
             "at most p/(2 t^{3/2}), which has a finite sum, while the sum of 1/√t has none: in "
             "the long run the sign of the drift decides"),
    )  # fmt: skip


def _adam() -> tuple[Step, ...]:
    beta2, eps = Rational(str(BETAS[1])), Rational(str(EPS))
    why = "101 roots enclosed between rationals; per period x moves by α/√t times this: x_t → +1"
    return (
        Step("Adam: Σ -m_j/√v_j > 0 over a period, at β = (9/10, 99/100)",
             Ground(sym.gt(climb(beta2, sp.Integer(0)), 0)), why),
        Step("Adam: Σ -m_j/(√v_j + ε) > 0 as well, at ε = 10^-8",
             Ground(sym.gt(climb(beta2, eps), 0)), why),
        Step("Adam: Σ -m_j/√v_j > 0 at the default β = (9/10, 999/1000) too",
             Ground(sym.gt(climb(Rational(999, 1000), sp.Integer(0)), 0)), why),
    )  # fmt: skip


def sum_of_moments() -> tuple[Step, ...]:
    """Return why AMSGrad drifts the way of the sum of the slopes."""
    return (
        Step("m_j is the difference of S_j = -B j + (A + B)(1 - β1^j)/(1 - β1^p) and S_{j-1}",
             Identity(summed(j) - summed(j - 1), m(j), DOMAINS), "a geometric sum, telescoped"),
        Step("S_p - S_0 = A - (p - 1) B: over a period, Σ m_j is the sum of the slopes",
             Identity(summed(p) - summed(sp.Integer(0)), A - (p - 1) * B, DOMAINS), "above"),
        Step("AMSGrad: that is positive when A > (p - 1) B, as in 1010 > 100 · 10",
             Holds(sym.gt(A - (p - 1) * B, 0), (sym.gt(A, (p - 1) * B),), DOMAINS,
                   {A: (p - 1) * B + excess}),
             "the stored maximum never falls and never exceeds A², so it tends to a constant U, in "
             "each order: per period x moves down by α/√t times Σ m_j/√U, so x_t → -1"),
    )  # fmt: skip


def control() -> Goal:
    """Return the sign of Adam's climb at β2 = 0.9999, where it is the other way."""
    return Ground(sym.gt(climb(Rational(9999, 10000), sp.Integer(0)), 0))
