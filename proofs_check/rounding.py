"""The rounding model: which numbers a floating-point operation may return.

A *band* holds, for each element of a tensor, a lowest and a highest number, and whether it may be
NaN.  Three models carry bands through the same operations:

- `Nearest`: every primitive (+, −, ×, ÷) is rounded to nearest, ties to even, a product that is
  added is fused or not, and a root is one of the two numbers beside it.  What a machine returns.
- `Standard`: fl(a ∘ b) = (a ∘ b)(1 + δ) + η with |δ| <= u, |η| <= half the least number, ηδ = 0,
  η = 0 for sums (Higham 2002, eq. 2.8), and 2u for roots.  δ = η = 0 is allowed, so these bands
  hold what a machine returns *and* the exact value, and products that are fused.
- `Real`: no rounding at all.

Half types are computed in float32 and rounded once more when they are stored.  Nothing is flushed
to zero.  A primitive is monotone in its exact value, so its values at the ends of a band bound it.
Bands are float64 arrays.  Where float64 is exact, or rounding twice is the same as once (+, −, ×, ÷
on float32), nothing is added; elsewhere the ends move outwards by a unit in the last place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .bands import FLOAT64, Array, Band, Format, Mask, hull, made, magnitude, negated


def _residue(a: Array, b: Array) -> Array:
    """Return (a + b) − fl(a + b), which is a double (Knuth's TwoSum)."""
    total = a + b
    back = total - a
    out: Array = (a - (total - back)) + (b - back)
    return out


class Model:
    """What the models share: operations on bands, in the format that a kernel computes in.

    Args:
        form: that format.
        kept: the format of the tensor that the result is stored in.
        device: what runs the kernels.
    """

    name = ""
    outward = True  # the ends move outwards by a unit in the last place of float64

    def __init__(self, form: Format, kept: Format, device: str = "cpu") -> None:
        self.form, self.kept, self.device = form, kept, device

    def settle(
        self, lo: Array, hi: Array, nan: Mask, form: Format, *, units: int = 1, tiny: bool = True
    ) -> Band:
        """Return what numbers between two ends may be rounded to.

        Args:
            lo: lower ends of the exact values.
            hi: upper ends.
            nan: whether they may be NaN.
            form: the format that they are rounded to.
            units: the largest relative error, in u.
            tiny: whether there is an absolute error below the normal range; sums have none.
        """
        raise NotImplementedError

    @property
    def error(self) -> tuple[float, float]:
        """The relative and the absolute error of a primitive."""
        return self.form.unit, self.form.tiny

    def store(self, a: Band) -> Band:
        """Return what is kept of a value in the format of its tensor."""
        if self.kept.digits >= self.form.digits:
            return a
        return self.settle(a.lo, a.hi, a.nan, self.kept)

    def number(self, value: float) -> Band:
        """Return a Python number as a kernel sees it."""
        x = Band.point(value)
        return self.settle(x.lo, x.hi, x.nan, self.form)

    # -- exact values, outwards ----------------------------------------------------------------

    def _ends(self, lo: Array, hi: Array, exact: Any = False) -> tuple[Array, Array]:
        """Move computed ends outwards, unless they are exact."""
        if not self.outward:
            return lo, hi
        return (np.where(exact | np.isinf(lo), lo, np.nextafter(lo, -np.inf)),
                np.where(exact | np.isinf(hi), hi, np.nextafter(hi, np.inf)))  # fmt: skip

    def _corners(self, what: Callable[[Array, Array], Array], a: Band, b: Band) -> tuple[Array, Array]:
        ends = [what(x, y) for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
        if not self.outward:
            return np.minimum.reduce(ends), np.maximum.reduce(ends)
        sides = [(x, y) for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
        moved = [
            self._ends(z, z, (z == 0) & ((x == 0) | (y == 0)))
            for z, (x, y) in zip(ends, sides, strict=True)
        ]
        return np.minimum.reduce([m[0] for m in moved]), np.maximum.reduce([m[1] for m in moved])

    # -- primitives ----------------------------------------------------------------------------

    def add(self, a: Band, b: Band) -> Band:
        """Return a + b."""
        lo, hi = a.lo + b.lo, a.hi + b.hi
        clash = (a.hi == np.inf) & (b.lo == -np.inf) | (a.lo == -np.inf) & (b.hi == np.inf)
        zeros = (a.lo + b.lo == 0, a.hi + b.hi == 0)  # a sum of doubles is 0 only if it is exactly
        down, up = self._ends(lo, hi)
        lo, hi = np.where(zeros[0], lo, down), np.where(zeros[1], hi, up)
        return self.settle(lo, hi, a.nan | b.nan | clash, self.form, tiny=False)

    def sub(self, a: Band, b: Band) -> Band:
        """Return a − b."""
        return self.add(a, negated(b))

    def mul(self, a: Band, b: Band) -> Band:
        """Return a · b; a · a where they are one band."""
        if a is b:
            a = b = magnitude(a)
        lo, hi = self._corners(np.multiply, a, b)
        nan = a.nan | b.nan | (a.zero & b.infinite) | (a.infinite & b.zero)
        return self.settle(lo, hi, nan, self.form)

    def div(self, a: Band, b: Band) -> Band:
        """Return a / b; anything where b may be 0, which may have either sign."""
        lo, hi = self._corners(np.divide, a, b)
        nan = a.nan | b.nan | b.zero | (a.infinite & b.infinite)
        return self.settle(np.where(b.zero, -np.inf, lo), np.where(b.zero, np.inf, hi), nan, self.form)

    def over(self, a: Band, value: float) -> Band:
        """Return a divided by a Python number; the sign of a zero counts."""
        b = self.number(value)
        if not b.zero:
            return self.div(a, b)
        ends = np.where(a.zero, np.nan, np.copysign(np.inf, a.lo * math.copysign(1, value)))
        return made(ends, ends, a.nan)

    def sqrt(self, a: Band) -> Band:
        """Return the root of a; NaN where a may be negative."""
        lo, hi = np.sqrt(np.maximum(a.lo, 0)), np.sqrt(np.where(a.hi < 0, np.nan, a.hi))
        lo, hi = self._ends(lo, hi)
        lo = np.where(a.lo <= 0, 0.0, lo)
        hi = np.where(a.hi == 0, 0.0, hi)
        return self.settle(lo, hi, a.nan | (a.lo < 0), self.form, units=2, tiny=False)

    def muladd(self, a: Band, b: Band, c: Band) -> Band:
        """Return a · b + c, whether it is fused or not."""
        return self.add(self.mul(a, b), c)

    def lerp(self, a: Band, b: Band, w: Band) -> Band:
        """Return a + w (b − a) for a number w, as torch computes it: from the nearer end.

        That expression holds a twice, so its band is too wide.  It is cut with the exact value
        (1 − w) a + w b, which holds everything once, widened by the errors of difference and product.
        """
        d = self.sub(b, a)
        if abs(self.form.nearest(w.lo)) < 0.5:
            start, factor = a, w
        else:
            start, factor = b, self.sub(w, Band.point(1.0))
        plain = self.muladd(factor, d, start)
        if not (w.lo >= 0 and w.hi <= 1):
            return plain
        lo = np.minimum(*((1 - z) * a.lo + z * b.lo for z in (w.lo, w.hi)))
        hi = np.maximum(*((1 - z) * a.hi + z * b.hi for z in (w.lo, w.hi)))
        unit, tiny = self.error
        size = np.maximum(np.abs(d.lo), np.abs(d.hi)) * np.maximum(np.abs(factor.lo), np.abs(factor.hi))
        largest = [np.maximum(np.abs(c.lo), np.abs(c.hi)) for c in (a, b)]
        # e₁ u |w d| of the difference, as much of the product, and the float64 arithmetic of this line
        slack = 1.001 * (unit * size + np.maximum(unit * size, tiny)) + 2.0**-48 * sum(largest)
        centred = self.settle(lo - slack, hi + slack, plain.nan, self.form)
        cut = plain.finite & np.isfinite(lo - slack) & np.isfinite(hi + slack)
        return Band(np.where(cut, np.maximum(plain.lo, centred.lo), plain.lo),
                    np.where(cut, np.minimum(plain.hi, centred.hi), plain.hi), plain.nan)  # fmt: skip


class Nearest(Model):
    """Every primitive rounded to nearest; a product that is added fused or not; roots either way."""

    name, outward = "nearest", False

    def settle(
        self, lo: Array, hi: Array, nan: Mask, form: Format, *, units: int = 1, tiny: bool = True
    ) -> Band:
        """Round the ends: rounding is monotone."""
        return made(form.nearest(lo), form.nearest(hi), nan)

    def sqrt(self, a: Band) -> Band:
        """Return the numbers beside the root: libraries return either one."""
        lo, hi = np.maximum(a.lo, 0), np.where(a.hi < 0, np.nan, a.hi)
        return made(self._beside(lo, -1), self._beside(hi, 1), a.nan | (a.lo < 0))

    def _beside(self, x: Array, side: int) -> Array:
        """Return the last number on that side of the root, or the root itself."""
        root = self.form.nearest(np.sqrt(x))
        if self.form is FLOAT64:  # whether its square is exact is known only for short roots
            exact = (root == root.astype(np.float32)) & (root * root == x)
            passed = exact
        else:
            passed = (root * root - x) * side >= 0  # float64 holds the square exactly
        beyond = np.nextafter(root.astype(self.form.native), self.form.native(side * np.inf))
        return np.where(passed | np.isinf(x), root, beyond.astype(np.float64))

    def muladd(self, a: Band, b: Band, c: Band) -> Band:
        """Return a · b + c, rounded twice or, fused, once."""
        product = self._corners(np.multiply, a, b)
        apart = self.add(self.settle(*product, a.nan | b.nan, self.form), c)
        nan = apart.nan | (a.zero & b.infinite) | (a.infinite & b.zero)
        lo, hi = (self._sum(p, end, side) for p, end, side in
                  zip(product, (c.lo, c.hi), (-1, 1), strict=True))  # fmt: skip
        return hull(Band(apart.lo, apart.hi, nan), self.settle(lo, hi, nan, self.form))

    def _sum(self, p: Array, c: Array, side: int) -> Array:
        """Return p + c such that rounding it again is like rounding the exact sum."""
        total = p + c
        if self.form is FLOAT64:  # the product was rounded: outwards twice
            return np.nextafter(np.nextafter(p, side * np.inf) + c, side * np.inf)
        left = _residue(p, c)  # rounding to odd (Boldo & Melquiond 2008)
        even = (total.view(np.int64) & 1) == 0
        odd = np.nextafter(total, np.copysign(np.inf, left))
        return np.where(even & (left != 0) & np.isfinite(left), odd, total)


class Standard(Model):
    """(1 + δ) and η, or exact: holds what any machine of the standard returns, and the real number."""

    name = "standard"

    def settle(
        self, lo: Array, hi: Array, nan: Mask, form: Format, *, units: int = 1, tiny: bool = True
    ) -> Band:
        """Widen by the error; rounding keeps the sign, and 0."""
        ends = []
        for x, side in ((lo, -1), (hi, 1)):
            error = units * form.unit * np.abs(x)
            if tiny:
                error = np.maximum(error, form.tiny)
            moved = np.nextafter(x + side * error, side * np.inf)
            moved = np.where(x * side < 0, side * np.minimum(side * moved, 0), moved)
            moved = np.where((x == 0) | np.isinf(x), x, moved)
            ends.append(np.where(side * moved > form.largest, side * np.inf, moved))
        return made(ends[0], ends[1], nan)

    def add(self, a: Band, b: Band) -> Band:
        """Return a + b; the sum itself of two known numbers if the format has it, as of counters."""
        out, total = super().add(a, b), a.lo + b.lo
        known = (a.lo == a.hi) & (b.lo == b.hi) & (_residue(a.lo, b.lo) == 0)
        known &= self.form.nearest(total) == total
        return Band(np.where(known, total, out.lo), np.where(known, total, out.hi), out.nan)

    def number(self, value: float) -> Band:
        """Return a Python number, or what it becomes in the format."""
        x = Band.point(value)
        return hull(x, Band.point(self.form.nearest(x.lo)))


class Real(Model):
    """Exact arithmetic, enclosed."""

    name = "real"

    @property
    def error(self) -> tuple[float, float]:
        """None."""
        return 0.0, 0.0

    def settle(
        self, lo: Array, hi: Array, nan: Mask, form: Format, *, units: int = 1, tiny: bool = True
    ) -> Band:
        """Leave the ends alone."""
        return made(lo, hi, nan)
