"""Formats and bands: for each element of a tensor, the lowest and the highest number it may be.

Arrays of float64, which holds every number of every format.  Rounding is to nearest, ties to even.
What is here rounds nothing else: `rounding` says what an operation may return.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..theory import floats

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Format:
    """A binary floating-point format, as `theory.floats` describes it, on arrays.

    Attributes:
        exact: the format in rationals.
        native: NumPy's type, where it has one.
    """

    exact: floats.Format
    native: Any = None

    @property
    def name(self) -> str:
        """What torch calls it."""
        return self.exact.name

    @property
    def digits(self) -> int:
        """The bits p of a significand."""
        return self.exact.precision

    @property
    def least(self) -> int:
        """The exponent of the least positive number."""
        return self.exact.emin - self.exact.precision + 1

    @cached_property
    def unit(self) -> float:
        """The unit roundoff u = 2^−p: the largest relative error in the normal range."""
        return float(2.0**-self.digits)

    @cached_property
    def tiny(self) -> float:
        """Half the least positive number: the largest absolute error of rounding below that range."""
        return float(max(2.0 ** (self.least - 1), 2.0**-1074))

    @cached_property
    def largest(self) -> float:
        """The largest finite number."""
        return float(self.exact.largest)

    def nearest(self, x: Array) -> Array:
        """Round to nearest, ties to even, beyond the largest number to infinity."""
        if self.native is not None:
            with np.errstate(over="ignore"):  # to infinity, as it should
                rounded: Array = x.astype(self.native).astype(np.float64)
            return rounded
        step = np.maximum(np.frexp(x)[1] - self.digits, self.least)
        y = np.ldexp(np.rint(np.ldexp(x, -step)), step)
        rounded = np.where(np.abs(y) > self.largest, np.copysign(np.inf, x), y)
        return rounded

    def spacing(self, x: Array) -> Array:
        """Return the distance between the numbers of the format around x (an ulp)."""
        out: Array = np.ldexp(1.0, np.maximum(np.frexp(np.abs(x))[1] - self.digits, self.least))
        return out


FLOAT64 = Format(floats.FLOAT64, np.float64)
FLOAT32 = Format(floats.FLOAT32, np.float32)
FLOAT16 = Format(floats.FLOAT16, np.float16)
BFLOAT16 = Format(floats.BFLOAT16)
FORMATS = {f.name: f for f in (FLOAT64, FLOAT32, FLOAT16, BFLOAT16)}


@dataclass(frozen=True, eq=False)
class Band:
    """For each element the lowest and the highest value it may have, and whether it may be NaN."""

    lo: Array
    hi: Array
    nan: Mask

    @staticmethod
    def point(x: Any) -> Band:
        """Return the band of known numbers."""
        values = np.asarray(x, dtype=np.float64)
        nan = np.isnan(values)
        return made(values, values, nan)

    def shaped(self, shape: tuple[int, ...]) -> Band:
        """Return the band for a tensor of that shape."""
        if np.shape(self.lo) == shape == np.shape(self.nan):
            return self
        lo, hi = np.broadcast_to(self.lo, shape), np.broadcast_to(self.hi, shape)
        return Band(lo, hi, np.broadcast_to(self.nan, shape))

    def holds(self, x: Array) -> Mask:
        """Whether each number is in the band."""
        inside: Mask = np.where(np.isnan(x), self.nan, (self.lo <= x) & (x <= self.hi))
        return inside

    @property
    def finite(self) -> Mask:
        """Where the band is bounded and holds no NaN."""
        known: Mask = np.isfinite(self.lo) & np.isfinite(self.hi) & ~self.nan
        return known

    @property
    def zero(self) -> Mask:
        """Where the band holds 0."""
        inside: Mask = (self.lo <= 0) & (self.hi >= 0)
        return inside

    @property
    def infinite(self) -> Mask:
        """Where the band holds an infinity."""
        inside: Mask = np.isinf(self.lo) | np.isinf(self.hi)
        return inside


def made(lo: Array, hi: Array, nan: Mask) -> Band:
    """Return a band, everything where an end is NaN."""
    lost = np.isnan(lo) | np.isnan(hi)
    if lost.any():
        lo, hi, nan = np.where(lost, -np.inf, lo), np.where(lost, np.inf, hi), nan | lost
    return Band(lo, hi, nan)


def hull(a: Band, b: Band) -> Band:
    """Return the band of what is in either."""
    return Band(np.minimum(a.lo, b.lo), np.maximum(a.hi, b.hi), a.nan | b.nan)


def meet(a: Band, b: Band) -> Band:
    """Return the band of what is in both."""
    return Band(np.maximum(a.lo, b.lo), np.minimum(a.hi, b.hi), a.nan & b.nan)


def negated(a: Band) -> Band:
    """Return −a."""
    return Band(-a.hi, -a.lo, a.nan)


def magnitude(a: Band) -> Band:
    """Return the absolute value of a."""
    low = np.where(a.zero, 0.0, np.minimum(np.abs(a.lo), np.abs(a.hi)))
    return Band(low, np.maximum(np.abs(a.lo), np.abs(a.hi)), a.nan)


def direction(a: Band) -> Band:
    """Return sign(a); of a NaN kernels make NaN or 0."""
    lo, hi = np.sign(a.lo), np.sign(a.hi)
    lo, hi = (np.where(a.nan, side(x, 0.0), x) for side, x in ((np.minimum, lo), (np.maximum, hi)))
    return Band(lo, hi, a.nan)


def chosen(truth: Band, a: Band, b: Band) -> Band:
    """Return a where the truth is 1, b where it is 0, and either where it may be both."""
    first, second, both = truth.lo == 1, truth.hi == 0, hull(a, b)
    return Band(np.where(first, a.lo, np.where(second, b.lo, both.lo)),
                np.where(first, a.hi, np.where(second, b.hi, both.hi)),
                np.where(first, a.nan, np.where(second, b.nan, both.nan)))  # fmt: skip


def larger(a: Band, b: Band) -> Band:
    """Return max(a, b), NaN where either is."""
    return Band(np.maximum(a.lo, b.lo), np.maximum(a.hi, b.hi), a.nan | b.nan)


def smaller(a: Band, b: Band) -> Band:
    """Return min(a, b), NaN where either is."""
    return Band(np.minimum(a.lo, b.lo), np.minimum(a.hi, b.hi), a.nan | b.nan)
