"""The orbit on which the moments of Adam settle when the gradients are periodic, and its drift.

Losses that are linear in x have gradients g_1 … g_p, g_1 … that do not depend on x.  A moving
average of them settles on

    m_j = N_j(β)/S(β),   N_j = Σ_{i<p} β^i g_{j−i},   S = Σ_{i<p} β^i

(indices modulo p), which is (1 − β)N_j/(1 − β^p) without its hole at β = 1.  In a period, x goes down
by α_t times the *drift* D = Σ_j m_j/(√v_j + ε), the bias corrections being 1 by then.  With rates
α_t whose sum diverges the sign of D decides at which end a projected Adam ends
(``beta_phase_diagram_proof``).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from .outward import Ball, Vector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: Precisions at which Arb is asked for a sign, one after the other.
BITS = (128, 512, 2048)
#: The largest gradient: its square, times a period, is a float64.
LARGEST = Fraction(10**150)


@dataclass(frozen=True)
class Pattern:
    """One period of gradients, and ε.

    Raises:
        ValueError: there is no gradient, one is 0 or too large, or ε is negative.
    """

    gradients: tuple[Fraction, ...]
    eps: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        if not self.gradients or not all(self.gradients):
            raise ValueError("a pattern needs gradients other than 0: at β2 = 0 their roots divide")
        if max(map(abs, self.gradients)) > LARGEST:
            raise ValueError(f"a gradient beyond {float(LARGEST):g} has a square that is no float64")
        if self.eps < 0:
            raise ValueError(f"ε must not be negative, got {self.eps}")

    @property
    def total(self) -> Fraction:
        """The sum of the gradients: where it is positive, the low end is the best point."""
        return sum(self.gradients, Fraction(0))


def number(value: Fraction) -> Vector:
    """Return the floats around a rational."""
    near = float(value)
    if Fraction(near) == value:
        return Vector.of(np.array([near]))
    return Vector(np.array([np.nextafter(near, -np.inf)]), np.array([np.nextafter(near, np.inf)]))


def _stack(columns: list[Vector]) -> Vector:
    return Vector(np.stack([c.lo for c in columns], 1), np.stack([c.hi for c in columns], 1))


def averages(inputs: list[Vector], beta: Vector) -> tuple[Vector, Vector]:
    """Return m_j and dm_j/dβ, for each of the β in a row and j = 1 … p in its columns."""
    one = Vector.of(np.ones(1))
    n = dn = s = ds = Vector.of(np.zeros_like(beta.lo))
    power, period = Vector.of(np.ones_like(beta.lo)), len(inputs)
    slope = power  # β^(p−1)
    for g in inputs:  # Horner
        dn, n = beta * dn + n, beta * n + g
        ds, s = beta * ds + s, beta * s + one
        slope, power = power, power * beta
    slope = slope * Vector.of(np.array([float(period)]))
    values, slopes = [], []
    for g in inputs:
        dn, n = n + beta * dn - slope * g, beta * n + (one - power) * g
        value = n.over(s)
        values.append(value)
        slopes.append((dn - value * ds).over(s))
    return _stack(values), _stack(slopes)


@dataclass(frozen=True)
class Rows:
    """What a β in each of several intervals makes of a moment: at its middle, and all over it.

    ``at`` is the quantity (m_j, or 1/(√v_j + ε)) at the middle, ``over`` on the whole interval,
    ``slope`` its derivative there; one row for each interval, one column for each place j.
    """

    at: Ball
    over: Ball
    slope: Ball
    radius: Floats

    def pick(self, rows: NDArray[np.int64]) -> Rows:
        """Return some of the rows."""
        return Rows(self.at.pick(rows), self.over.pick(rows), self.slope.pick(rows), self.radius[rows])


def middle_of(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return a float in each interval, and how far it is from the farther end, rounded up."""
    middle = low / 2 + high / 2
    return middle, np.nextafter(np.maximum(high - middle, middle - low), np.inf)


@dataclass(frozen=True)
class _Averages:
    at: Vector
    over: Vector
    slope: Vector
    radius: Floats


def _averaged(inputs: list[Vector], low: Floats, high: Floats) -> _Averages:
    middle, radius = middle_of(low, high)
    at, _ = averages(inputs, Vector.of(middle))
    naive, slope = averages(inputs, Vector(low, high))
    about = Vector(-radius[:, None], radius[:, None])
    least = min(float(g.lo[0]) for g in inputs)
    most = max(float(g.hi[0]) for g in inputs)
    mean = Vector(np.full_like(naive.lo, least), np.full_like(naive.hi, most))
    return _Averages(at.within(mean), naive.within(at + slope * about).within(mean), slope, radius)


def first(pattern: Pattern, low: Floats, high: Floats) -> Rows:
    """Return m_j for β1 in intervals of [0, 1]."""
    m = _averaged([number(g) for g in pattern.gradients], low, high)
    return Rows(m.at.ball(), m.over.ball(), m.slope.ball(), m.radius)


def second(pattern: Pattern, low: Floats, high: Floats) -> Rows:
    """Return 1/(√v_j + ε) for β2 in intervals of [0, 1]."""
    v = _averaged([number(g * g) for g in pattern.gradients], low, high)
    eps, one, half = (number(n) for n in (pattern.eps, Fraction(1), Fraction(1, 2)))
    at, over = (one.over(of.root() + eps) for of in (v.at, v.over))
    slope = -(half * v.slope * over * over).over(v.over.root())
    return Rows(at.ball(), over.ball(), slope.ball(), v.radius)


def drift_ball(
    pattern: Pattern, beta1: Fraction, beta2: Fraction, bits: int
) -> tuple[Fraction, Fraction]:
    """Return two rationals between which the drift lies, by Arb at that precision."""
    import flint

    ctx = flint.ctx
    before, ctx.prec = ctx.prec, bits
    try:

        def exact(value: Fraction) -> flint.arb:
            return flint.arb(flint.fmpq(value.numerator, value.denominator))

        def settled(inputs: list[Fraction], beta: Fraction) -> list[flint.arb]:
            ball, n, s = exact(beta), flint.arb(0), flint.arb(0)
            for g in inputs:
                n, s = n * ball + exact(g), s * ball + 1
            rest, out = 1 - ball ** len(inputs), []
            for g in inputs:
                n = n * ball + rest * exact(g)
                out.append(n / s)
            return out

        m = settled(list(pattern.gradients), beta1)
        v = settled([g * g for g in pattern.gradients], beta2)
        eps = exact(pattern.eps)
        total = sum((a / (b.sqrt() + eps) for a, b in zip(m, v, strict=True)), flint.arb(0))
        ends = (total.lower(), total.upper())
        low, high = (Fraction(int(q.p), int(q.q)) for q in (e.fmpq() for e in ends))
        return low, high
    finally:
        ctx.prec = before


def sign(pattern: Pattern, beta1: Fraction, beta2: Fraction) -> int:
    """Return the sign of the drift at a point, or 0 where 2048 bits do not tell it from 0."""
    for bits in BITS:
        low, high = drift_ball(pattern, beta1, beta2, bits)
        if low > 0 or high < 0:
            return 1 if low > 0 else -1
    return 0
