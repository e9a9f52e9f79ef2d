"""Vectors of float64 intervals, every operation rounded outward: enclosures at NumPy's speed.

IEEE 754 rounds +, −, ×, ÷ and √ of float64 correctly, so the exact result lies between the floats
below and above the computed one.  Arb does the same for one number at a time, and more precisely.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Vector:
    """Intervals [lo, hi], elementwise."""

    lo: Floats
    hi: Floats

    @classmethod
    def of(cls, values: Floats) -> Vector:
        """Return the floats as they are."""
        return cls(values, values)

    @classmethod
    def _out(cls, lo: Floats, hi: Floats) -> Vector:
        return cls(np.nextafter(lo, -np.inf), np.nextafter(hi, np.inf))

    def __add__(self, other: Vector) -> Vector:
        return self._out(self.lo + other.lo, self.hi + other.hi)

    def __neg__(self) -> Vector:
        return Vector(-self.hi, -self.lo)

    def __sub__(self, other: Vector) -> Vector:
        return self + -other

    def __mul__(self, other: Vector) -> Vector:
        ends = [a * b for a in (self.lo, self.hi) for b in (other.lo, other.hi)]
        return self._out(np.minimum.reduce(ends), np.maximum.reduce(ends))

    def over(self, positive: Vector) -> Vector:
        """Return the quotient by intervals that are known to be positive."""
        ends = [a / b for a in (self.lo, self.hi) for b in (positive.lo, positive.hi)]
        return self._out(np.minimum.reduce(ends), np.maximum.reduce(ends))

    def root(self) -> Vector:
        """Return the square root of intervals that are known not to be negative."""
        root = self._out(np.sqrt(np.maximum(self.lo, 0)), np.sqrt(np.maximum(self.hi, 0)))
        return Vector(np.maximum(root.lo, 0), root.hi)

    def within(self, other: Vector) -> Vector:
        """Return the common part of two enclosures of the same numbers."""
        return Vector(np.maximum(self.lo, other.lo), np.minimum(self.hi, other.hi))

    def ball(self) -> Ball:
        """Return a float in each interval, and how far it is at most from what is enclosed."""
        middle = self.lo / 2 + self.hi / 2
        return Ball(middle, np.nextafter(np.maximum(self.hi - middle, middle - self.lo), np.inf))


@dataclass(frozen=True)
class Ball:
    """Numbers within ``radius`` of ``middle``, elementwise."""

    middle: Floats
    radius: Floats

    def pick(self, rows: NDArray[np.int64]) -> Ball:
        """Return some of the rows."""
        return Ball(self.middle[rows], self.radius[rows])


def product(a: Ball, b: Ball) -> tuple[Floats, Floats]:
    """Return Σ_j a_j b_j along the last axis: a float, and at most how far off it is.

    Of n terms in any order, fused or not, the rounding is at most γ_n Σ|a_j b_j| with
    γ_n = nu/(1 − nu), u = 2^-53 (Higham 2002, *Accuracy and Stability*, section 3.1).  The bound is
    itself a sum of positive floats; the last factor covers what that loses.
    """
    n = a.middle.shape[-1]
    gamma = (n + 2) * 2.0**-53 / (1 - (n + 2) * 2.0**-53)
    value = np.einsum("...j,...j->...", a.middle, b.middle)
    am, bm = np.abs(a.middle), np.abs(b.middle)
    # γ|a||b| + |a|r_b + r_a(|b| + r_b)
    off = np.einsum("...j,...j->...", am, gamma * bm + b.radius)
    off += np.einsum("...j,...j->...", a.radius, bm + b.radius)
    return value, off * (1 + (n + 8) * 2.0**-51) + n * 1e-300
