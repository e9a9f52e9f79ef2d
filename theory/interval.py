"""Exact rationals, and rational enclosures where a root is irrational.

The number type of every replay.  A value is a closed interval with `Fraction` ends; it is *exact*
when both ends agree.  Roots of perfect squares stay exact, all others are enclosed by the integer
square root with outward rounding, so a comparison that comes out certain is a proof.

Needs nothing beyond the standard library: this file and ``identity`` are what a verdict of level
``exact`` asks the reader to believe.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import isqrt

#: Enclosures are rounded outward to multiples of 2**-BITS, so that long runs stay short.
BITS = 256
#: Exact rationals longer than this many bits are enclosed too.
EXACT_BITS = 4096


def _outward(lo: Fraction, hi: Fraction) -> Interval:
    scale = 1 << BITS
    return Interval(
        Fraction((lo.numerator * scale) // lo.denominator, scale),
        Fraction(-((-hi.numerator * scale) // hi.denominator), scale),
    )


def _build(lo: Fraction, hi: Fraction) -> Interval:
    if lo == hi and lo.denominator.bit_length() <= EXACT_BITS:
        return Interval(lo, hi)
    return _outward(lo, hi)


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval [lo, hi] of reals with rational ends, known to hold the true value."""

    lo: Fraction
    hi: Fraction

    @staticmethod
    def of(value: Interval | Fraction | float) -> Interval:
        """Return the exact interval of a rational, integer or (binary) float."""
        if isinstance(value, Interval):
            return value
        exact = Fraction(value)
        return Interval(exact, exact)

    @property
    def exact(self) -> bool:
        """Whether the value is known exactly."""
        return self.lo == self.hi

    def __add__(self, other: Interval | Fraction | int) -> Interval:
        other = Interval.of(other)
        return _build(self.lo + other.lo, self.hi + other.hi)

    __radd__ = __add__

    def __neg__(self) -> Interval:
        return Interval(-self.hi, -self.lo)

    def __sub__(self, other: Interval | Fraction | int) -> Interval:
        return self + (-Interval.of(other))

    def __rsub__(self, other: Interval | Fraction | int) -> Interval:
        return Interval.of(other) + (-self)

    def __mul__(self, other: Interval | Fraction | int) -> Interval:
        other = Interval.of(other)
        if self.lo == self.hi and other.lo == other.hi:
            product = self.lo * other.lo
            return _build(product, product)
        ends = (self.lo * other.lo, self.lo * other.hi, self.hi * other.lo, self.hi * other.hi)
        return _build(min(ends), max(ends))

    __rmul__ = __mul__

    def reciprocal(self) -> Interval:
        """Return 1/value.

        Raises:
            ZeroDivisionError: the interval holds 0.
        """
        if self.lo <= 0 <= self.hi:
            raise ZeroDivisionError("division by an interval that holds 0")
        return _build(1 / self.hi, 1 / self.lo)

    def __truediv__(self, other: Interval | Fraction | int) -> Interval:
        return self * Interval.of(other).reciprocal()

    def __rtruediv__(self, other: Interval | Fraction | int) -> Interval:
        return Interval.of(other) * self.reciprocal()

    def __abs__(self) -> Interval:
        if self.lo >= 0:
            return self
        if self.hi <= 0:
            return -self
        return Interval(Fraction(0), max(-self.lo, self.hi))

    def power(self, exponent: int) -> Interval:
        """Return value**exponent for an integer exponent (0**0 is 1, as in Python)."""
        if exponent < 0:
            return self.power(-exponent).reciprocal()
        if self.lo == self.hi:
            return _build(self.lo**exponent, self.lo**exponent)
        if exponent % 2 == 0:
            magnitude = abs(self)
            return _build(magnitude.lo**exponent, magnitude.hi**exponent)
        return _build(self.lo**exponent, self.hi**exponent)

    def sqrt(self) -> Interval:
        """Return the non-negative root, exact for perfect squares, else enclosed.

        Raises:
            ValueError: the interval reaches below 0.
        """
        if self.lo < 0:
            raise ValueError("square root of an interval that reaches below 0")
        return Interval(_root(self.lo, up=False), _root(self.hi, up=True))

    def maximum(self, other: Interval | Fraction | int) -> Interval:
        """Return max(self, other)."""
        other = Interval.of(other)
        return Interval(max(self.lo, other.lo), max(self.hi, other.hi))

    def certainly_positive(self) -> bool:
        """Whether the value is proved to be > 0."""
        return self.lo > 0

    def __float__(self) -> float:
        return float((self.lo + self.hi) / 2)

    def __str__(self) -> str:
        # by bits: Python refuses to write numbers of thousands of digits
        if self.exact and max(n.bit_length() for n in self.lo.as_integer_ratio()) <= 80:
            return str(self.lo)
        middle = (self.lo + self.hi) / 2
        try:
            shown = f"{float(middle):.12g}"
        except OverflowError:
            shown = f"{Decimal(middle.numerator) / middle.denominator:.12g}"
        return f"{'' if self.exact else '≈ '}{shown}"


def _root(value: Fraction, *, up: bool) -> Fraction:
    p, q = value.numerator, value.denominator
    rp, rq = isqrt(p), isqrt(q)
    if rp * rp == p and rq * rq == q:
        return Fraction(rp, rq)
    scaled = (p << (2 * BITS)) // q
    root = isqrt(scaled)
    return Fraction(root + 1 if up else root, 1 << BITS)
