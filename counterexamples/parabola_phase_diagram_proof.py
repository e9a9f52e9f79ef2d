"""The derivation behind ``parabola_phase_diagram``: where D is not 0, no run has a limit point.

For losses of period p with gradients g_k(x) = a_k x + s_k on [lo, hi], 0 ≤ a_k ≤ a and |g_k| ≤ G;
rates α_t = α/√t; β1 and β2 in [0, 1); ε > 0; with or without bias correction.  u_t is what a step
takes times the rate, D(x) = Σ_j m_j(x)/(√v_j(x) + ε) its sum over a period in which x stands still.

The argument: |u_t| ≤ G/ε (before long), so steps tend to 0, and m and v to those of a run that stands
still.  Let D ≥ d > 0 on [y, z].  From some t on, a period that begins there ends lower by α_t d/2 at
least, and a period cannot leap over it; as Σ α_t diverges, x leaves [y, z] downwards for good, or
never comes in.  So no limit point lies inside.  D < 0 is the same upside down.
"""

from __future__ import annotations

from dataclasses import replace

import sympy as sp
from sympy import Rational, sqrt

from ..theory import symbols as sym
from ..theory.records import Expr, Goal, Ground, Holds, Identity, Step
from .beta_phase_diagram_proof import approach, diverges, orbit
from .parabola_phase_diagram import BETAS, EPS, TARGETS

a, s, x, y = (sym.symbol(name) for name in ("a", "s", "x", "y"))
i, p = sym.symbol("i", "natural"), sym.symbol("p", "natural")
beta, power = sym.symbol("B", "unit"), sym.symbol("P", "unit")
low, over, rate, top = (sym.symbol(name, "nonnegative") for name in ("L", "q", "r", "u"))
SIGNS = dict.fromkeys(("L", "q", "r", "u"), "nonnegative")


def steps() -> tuple[Step, ...]:
    """Return the orbit at a standstill, how far a moving x is from it, the clamp, and signs of D."""
    (rates,) = diverges()
    unbounded = replace(rates, why="√n = b, √(n+1) = b + a: the sum of the rates has no bound")
    return (*orbit(), *approach()[:2], *_moving(), *_clamp(), unbounded, *_at_the_minimiser())


def _moving() -> tuple[Step, ...]:
    """A step is at most U: what i steps have moved x, on the average of a moment."""

    def tail(k: Expr) -> Expr:
        return k + beta / (1 - beta)

    domains = {"B": "unit", "i": "natural", "P": "unit"}
    root, more = sym.symbol("b", "nonnegative"), sym.symbol("c", "nonnegative")
    return (
        Step("(a y + s) − (a x + s) = a (y − x)",
             Identity((a * y + s) - (a * x + s), a * (y - x)),
             "a gradient taken i steps before is off by a·i·U at most, U the longest step since"),
        Step("(a y + s)² − (a x + s)² = a (y − x)((a y + s) + (a x + s))",
             Identity((a * y + s) ** 2 - (a * x + s) ** 2, a * (y - x) * ((a * y + s) + (a * x + s))),
             "its square by 2 G a·i·U at most"),
        Step("(1−β) β^i i = β^i (i + β/(1−β)) − β^(i+1) (i + 1 + β/(1−β))",
             Identity((1 - beta) * power * i, power * tail(i) - beta * power * tail(i + 1), domains),
             "P stands for β^i.  So Σ_i (1−β) β^i i = β/(1−β), and with p steps of the period more: m "
             "is within a U (β1/(1−β1) + p) of the standstill, v within 2 G a U (β2/(1−β2) + p)"),
        Step("(√b' − √b)² ≤ b' − b for b' ≥ b ≥ 0",
             Holds(sym.ge(((root + more) ** 2 - root**2) - more**2, 0), (),
                   {"b": "nonnegative", "c": "nonnegative"}),
             "√b is b, √b' is b + c: so √v + ε is as near as it must be, and u_t too, as ε > 0.  With "
             "U = α_t G/ε → 0 a period takes α_t (D(x) + o(1)) off x, uniformly in x"),
    )  # fmt: skip


def _clamp() -> tuple[Step, ...]:
    return (
        Step("a clamp at hi leads lower than the step would",
             Holds(sym.ge((top + over) - top, 0), (), SIGNS),
             "x = hi + q becomes hi: where D ≥ d, a period without a clamp at lo ends at most at "
             "x − α_t d/2, from some t on, clamped or not"),
        Step("a clamp at lo leads to lo, and the rest of the period to lo + r at most",
             Holds(sym.ge((low + rate + over) - (low + rate), 0), (), SIGNS),
             "r = p α_t G/ε → 0: no period leaps over [y, z]"),
    )  # fmt: skip


def drift(beta1: Expr, beta2: Expr, at: Expr) -> Expr:
    """Return D for the losses of the counterexample, unevaluated."""
    inputs = [at - Rational(b.numerator, b.denominator) for b in TARGETS]

    def settled(values: list[Expr], beta: Expr) -> list[Expr]:
        count, size = len(values), sum(beta**k for k in range(len(values)))
        return [sum(beta**k * values[(j - k) % count] for k in range(count)) / size
                for j in range(count)]  # fmt: skip

    eps = Rational(EPS.numerator, EPS.denominator)
    firsts, seconds = settled(inputs, beta1), settled([g * g for g in inputs], beta2)
    return sp.Add(*(m / (sqrt(v) + eps) for m, v in zip(firsts, seconds, strict=True)), evaluate=False)


def _at_the_minimiser() -> tuple[Step, ...]:
    mean = Rational(sum(TARGETS).numerator, sum(TARGETS).denominator) / len(TARGETS)
    out = [
        Step("Σ_k (x − b_k) = 0 at x = −1/4",
             Identity(sum(mean - Rational(b.numerator) for b in TARGETS), sp.Integer(0)),
             "the minimiser of the sum"),
    ]  # fmt: skip
    for beta1, beta2 in BETAS:
        b1, b2 = (Rational(b.numerator, b.denominator) for b in (beta1, beta2))
        value = drift(b1, b2, mean)
        sign = -1 if sp.N(value, 30) < 0 else 1  # a guess, which the engine then proves
        out.append(
            Step(f"D(−1/4) {'<' if sign < 0 else '>'} 0 at β = ({beta1}, {beta2})",
                 Ground(sym.gt(sp.Mul(sign, value, evaluate=False), 0)),
                 "four roots enclosed: D is continuous, so no run has a limit point at −1/4 or near it")
        )  # fmt: skip
    return tuple(out)


def control() -> Goal:
    """Return the sign of D at the minimiser turned over, at β = (0, 1/10)."""
    beta1, beta2 = (Rational(b.numerator, b.denominator) for b in BETAS[0])
    return Ground(sym.gt(drift(beta1, beta2, Rational(-1, 4)), 0))
