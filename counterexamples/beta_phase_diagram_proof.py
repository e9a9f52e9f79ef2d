"""The derivation behind ``beta_phase_diagram``: the sign of the drift decides where Adam ends.

For losses g_t x on [lo, hi] with gradients of period p, none of them 0; rates α/√t; β1 and β2 in
[0, 1); ε ≥ 0; with or without bias correction.  u_t = m̂_t/(√v̂_t + ε) is what a step takes times
the rate, u*_j its value on the orbit, D = Σ_j u*_j.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import sympy as sp
from sympy import Rational, sqrt

from ..theory import symbols as sym
from ..theory.records import Expr, Goal, Ground, Holds, Identity, Step
from ..theory.rules import adam
from .beta_phase_diagram import PROVED, SLOPES

p, t = sym.symbol("p", "natural"), sym.t
n, before, v0, delta = (sym.symbol(name) for name in ("N", "M", "w", "δ"))
a, b, c, high, low, over, y, gain = (
    sym.symbol(name, "nonnegative") for name in ("a", "b", "c", "H", "L", "s", "y", "q")
)
DOMAINS = {"p": "natural"}
SIGNS = dict.fromkeys(("a", "b", "H", "L", "s", "y", "q"), "nonnegative") | {"c": "positive"}


def _line(name: str, old: Expr) -> Expr:
    """Return the rule's own line for a moment."""
    return adam(corrected=False).transition()[name].subs({sym.old(name): old}, simultaneous=True)


def steps() -> tuple[Step, ...]:
    """Return the orbit, the way to it, the drift, the clamp, and the signs at betas and for slopes."""
    return (*decides(), *_ends(), *_every_slope(), *_repaired())


def decides() -> tuple[Step, ...]:
    """Return why the sign of D decides where Adam ends, whatever the gradients are."""
    return (*orbit(), *approach(), *_drift(), *_clamp(), *diverges())


def orbit() -> tuple[Step, ...]:
    """Return the moments under periodic gradients, in closed form."""
    total = (1 - sym.beta1**p) / (1 - sym.beta1)  # S
    shifted = sym.beta1 * before + (1 - sym.beta1**p) * sym.g
    three = [sym.symbol(f"g{i}") for i in (1, 2, 3)]
    sums = [sum(sym.beta1**i * three[(j - i) % 3] for i in range(3)) for j in range(3)]
    return (
        Step("N_j = β N_(j−1) + (1−β^p) g_j for N_j = Σ_{i<p} β^i g_(j−i), here p = 3",
             Identity(sums[1], sym.beta1 * sums[0] + (1 - sym.beta1**3) * three[1]),
             "β N_(j−1) is the sum moved on by one; what falls out at the end is β^p g_(j−p) = β^p g_j"),
        Step("so m_j = N_j/S with S = (1−β^p)/(1−β) is carried to m_(j+1) by the rule",
             Identity(_line("exp_avg", before / total), shifted / total, DOMAINS),
             "the rule's line for m, at N_j = M; that for v is the same with g²"),
        Step("Σ_j N_j = S·Σ_j g_j, here p = 3",
             Identity(sum(sums), sum(three) * (1 + sym.beta1 + sym.beta1**2)),
             "every gradient meets every power once"),
    )  # fmt: skip


def approach() -> tuple[Step, ...]:
    """Return how a run comes to that orbit."""
    eps = sym.symbol("ε", "nonnegative")
    signs = {"a": "positive", "b": "positive", "ε": "nonnegative"}
    return (
        Step("a distance δ of m from the orbit becomes β1 δ",
             Identity(_line("exp_avg", n + delta) - _line("exp_avg", n), sym.beta1 * delta),
             "so m_t approaches the orbit like β1^t, and 1/(1−β1^t) approaches 1 like β1^t"),
        Step("a distance δ of v from the orbit becomes β2 δ",
             Identity(_line("exp_avg_sq", v0 + delta) - _line("exp_avg_sq", v0), sym.beta2 * delta),
             "likewise like β2^t"),
        Step("1/(a+ε) − 1/(b+ε) = (b²−a²)/((a+b)(a+ε)(b+ε)) for a = √v̂_t, b = √v*",
             Identity(1 / (a + eps) - 1 / (b + eps),
                      (b**2 - a**2) / ((a + b) * (a + eps) * (b + eps)), signs),
             "with bias correction v̂_t is a mean of squares of gradients, so at least the least of "
             "them, c² > 0; without, at least c²/2 from some t on: u_t − u*_j falls geometrically"),
    )  # fmt: skip


def _drift() -> tuple[Step, ...]:
    root, after = sqrt(t), sqrt(t + p)
    return (
        Step("within a period 1/√t falls by p/(√t √(t+p) (√t + √(t+p)))",
             Identity(1 / root - 1 / after, p / (root * after * (root + after)), DOMAINS),
             "at most p/(2 t^{3/2}): without a clamp a period takes α_t (D + o(1)) off x"),
        Step("… which is at most p/(2 t√t)",
             Holds(sym.ge(1 / (2 * b**3) - 1 / (b * (b + a) * (2 * b + a)), 0), (),
                   {"a": "nonnegative", "b": "positive"}), "√t = b, √(t+p) = b + a"),
    )  # fmt: skip


def _clamp() -> tuple[Step, ...]:
    return (
        Step("D > 0: a clamp at hi only lowers x, and later steps keep the order",
             Holds(sym.ge((high + over - y) - (high - y), 0), (), SIGNS),
             "x = hi + s becomes hi: a period without a clamp at lo ends at most at y − α_t D/2, from "
             "some t on"),
        Step("… and one with a clamp at lo ends at most at lo + p α_t U, U ≥ |u|",
             Holds(sym.ge((low + a + b) - (low + a), 0), (), SIGNS),
             "after the clamp at most p steps, of α_t U at most: y' ≤ max(y − α_t D/2, lo + p α_t U)"),
    )  # fmt: skip


def diverges() -> tuple[Step, ...]:
    """Return that the sum of the rates has no bound."""
    return (
        Step("Σ_{t≤T} 1/√t ≥ √T: √(n+1) − √n ≤ 1/√(n+1)",
             Holds(sym.ge(1 / (b + a) - ((b + a) ** 2 - b**2) / (2 * b + a), 0),
                   (sym.eq((b + a) ** 2 - b**2, 1),), {"a": "nonnegative", "b": "positive"}),
             "√n = b, √(n+1) = b + a: the sum diverges, so x reaches lo + p α_t U, and α_t → 0: "
             "x_t → lo.  D < 0: the same upside down, x_t → hi"),
    )  # fmt: skip


def drift(beta1: Expr, beta2: Expr, gradients: Sequence[Fraction] = SLOPES) -> Expr:
    """Return D for some gradients, unevaluated."""
    slopes = [Rational(g.numerator, g.denominator) for g in gradients]

    def settled(inputs: list[Expr], beta: Expr) -> list[Expr]:
        value, size = sp.Integer(0), sp.Integer(0)
        for g in inputs:
            value, size = value * beta + g, size * beta + 1
        out = []
        for g in inputs:
            value = value * beta + (1 - beta ** len(inputs)) * g
            out.append(value / size)
        return out

    first, second = settled(slopes, beta1), settled([g * g for g in slopes], beta2)
    terms = []
    for m, v in zip(first, second, strict=True):
        # unevaluated: SymPy would look for squares in numbers of a thousand digits
        terms.append(sp.Mul(m, sp.Pow(v, Rational(-1, 2), evaluate=False), evaluate=False))
    return sp.Add(*terms, evaluate=False)


def _ends() -> tuple[Step, ...]:
    out = []
    for beta1, beta2, sign in PROVED:
        value = drift(*(Rational(x.numerator, x.denominator) for x in (beta1, beta2)))
        relation = sym.gt(value, 0) if sign > 0 else sym.gt(sp.Mul(-1, value, evaluate=False), 0)
        end = "the best point" if sign > 0 else "the worst"
        out.append(Step(f"D {'>' if sign > 0 else '<'} 0 at β = ({beta1}, {beta2})", Ground(relation),
                        f"101 roots enclosed between rationals: Adam ends at {end}"))  # fmt: skip
    return tuple(out)


def _every_slope() -> tuple[Step, ...]:
    """For Cx, −x, −x (Reddi et al., Theorem 1) at β1 = 0: three times their β2 is as bad."""
    q, beta = sym.symbol("q", "positive"), sym.beta2  # q = C²
    given = (sym.ge(3 - beta * (1 + q), 0), sym.ge(q, 4))
    first, second, third = q + beta + beta**2, 1 + beta * q + beta**2, 1 + beta + beta**2 * q
    size, signs = 1 + beta + beta**2, {"q": "positive"}
    line = _line("exp_avg_sq", third / size).subs(sym.g, sqrt(q))
    return (
        Step("slopes C, −1, −1, β1 = 0: v_1, v_2, v_3 on the orbit are C²+β2+β2², 1+β2C²+β2², "
             "1+β2+β2²C², each over 1+β2+β2²",
             Identity(line, first / size, signs), "the rule's line takes v_3 to v_1; q = C²"),
        Step("C/√v_1 ≤ S for S = √(1+β2+β2²)",
             Holds(sym.ge(first - q, 0), (), signs), "v_1 S² ≥ C²"),
        Step("1/√v_2 ≥ S/2 for β2 ≤ 3/(1+C²)", Holds(sym.ge(4 - second, 0), given, signs),
             "v_2 S² ≤ 4"),
        Step("1/√v_3 ≥ S·5/√76 besides, for C ≥ 2",
             Holds(sym.ge(Rational(76, 25) - third, 0), given, signs),
             "v_3 S² ≤ 76/25, as β2 ≤ 3/5"),
        Step("1/2 + 5/√76 > 1",
             Ground(sym.gt(Rational(1, 2) + 5 / sqrt(sp.Integer(76)) - 1, 0)),
             "so D = C/√v_1 − 1/√v_2 − 1/√v_3 < 0: for every C ≥ 2 and every β2 ≤ 3/(1+C²) Adam tends "
             "to +1, which is the worst point for C > 2; the paper has β2 = 1/(1+C²)"),
    )  # fmt: skip


def _repaired() -> tuple[Step, ...]:
    """For every periodic gradient with Σ g > 0, whatever β1, a β2 near enough to 1 repairs Adam."""
    power, size, count, last = (sym.symbol(n, "positive") for n in ("B", "S", "p", "b"))
    r, w, most, total, away = (sym.symbol(n, "positive") for n in ("r", "w", "G", "T", "d"))
    signs = dict.fromkeys(("B", "S", "p", "b", "r", "w", "G", "T", "d"), "positive")
    return (
        Step("β2^i/S ≥ β2^(p−1)/p",
             Holds(sym.ge(power * count - last * size, 0), (sym.ge(count, size), sym.ge(power, last)),
                   signs), "B = β2^i ≥ b = β2^(p−1), S ≤ p: so v_j ≥ β2^(p−1)·v for the mean v of g²"),
        Step("β2^i/S ≤ 1/(p β2^(p−1))",
             Holds(sym.ge(size - count * last * power, 0),
                   (sym.ge(size, count * last), sym.ge(1, power)), signs),
             "S ≥ p b, B ≤ 1: so v_j ≤ v/β2^(p−1)"),
        Step("(r − 1) − (1 − 1/r) = (r−1)²/r",
             Identity((r - 1) - (1 - 1 / r), (r - 1) ** 2 / r, signs),
             "so 1/√v_j is within (r−1)/√v of 1/√v, r = β2^(−(p−1)/2)"),
        Step("w (T − p G (r−1)) > 0 for r < 1 + T/(p G)",
             Holds(sym.gt(w * (total - count * most * (r - 1)), 0),
                   (sym.eq(r, 1 + total / (count * most) - away), ), signs,
                   {r: 1 + total / (count * most) - away}),
             "|m_j| ≤ G, Σ m_j = Σ g_j = T, w = 1/√v: so D ≥ w(T − pG(r−1)) > 0 for each β1 and "
             "each β2 > (1 + T/(pG))^(−2/(p−1)): raising β2 repairs Adam on every such loss"),
    )  # fmt: skip


def control() -> Goal:
    """Return the sign at β = (9/10, 99/100) as the belief has it."""
    return Ground(sym.gt(drift(Rational(9, 10), Rational(99, 100)), 0))
