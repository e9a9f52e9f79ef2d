"""Floating-point numbers as rationals: formats, rounding to nearest even, and updates of v in them.

IEEE 754-2019, binary formats: a finite number is M·2^e with an integer significand M of at most
``precision`` bits, and numbers below the smallest normal one keep its spacing (subnormals).

The model of a half type is that of torch: each operation is computed in float32 from the stored
numbers and rounded once more when it is stored; numbers from Python become float32 first.  Torch's
CPU makes two exceptions, for numbers that it rounds to the half type before: an added one (epsilon),
and beta in ``_foreach_mul_``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property

from .records import Every, Point


@dataclass(frozen=True)
class Format:
    """A binary floating-point format.

    Attributes:
        name: as torch calls it.
        precision: bits of the significand, the leading one included.
        emin: exponent of the smallest normal number, 2^emin.
        emax: exponent of the largest binade.
    """

    name: str
    precision: int
    emin: int
    emax: int

    @cached_property
    def tiny(self) -> Fraction:
        """The smallest positive number: the spacing of the subnormals."""
        return _power(self.emin - self.precision + 1)

    @cached_property
    def largest(self) -> Fraction:
        """The largest finite number."""
        return Fraction(2**self.precision - 1) * _power(self.emax - self.precision + 1)

    def spacing(self, x: Fraction) -> Fraction:
        """Return the distance of neighbours in the binade of x (of the subnormals at 0)."""
        return _power(max(_exponent(abs(x)) if x else self.emin, self.emin) - self.precision + 1)

    def round(self, x: Fraction) -> Fraction:
        """Return the nearest number, of two the one with an even significand.

        It keeps the order: of x <= y, x is not rounded above what y is rounded to.

        Raises:
            OverflowError: IEEE 754 rounds it to infinity.
        """
        if not x:
            return x
        unit = max(_exponent(abs(x)), self.emin) - self.precision + 1
        over, under = x.numerator << max(-unit, 0), x.denominator << max(unit, 0)
        nearest, rest = divmod(over, under)
        if 2 * rest > under or (2 * rest == under and nearest % 2):
            nearest += 1
        rounded = Fraction(nearest << max(unit, 0), 1 << max(-unit, 0))
        if abs(rounded) > self.largest:
            raise OverflowError(f"{self.name} rounds {float(x):.6g} to infinity")
        return rounded

    def holds(self, x: Fraction) -> bool:
        """Return whether x is a number of the format."""
        return abs(x) <= self.largest and x % self.spacing(x) == 0

    def number(self, index: int) -> Fraction:
        """Return the number at an index: 0 at 0, the next larger at 1, …; the bits, read as one."""
        high, low = divmod(index, 2 ** (self.precision - 1))
        significand = low + (2 ** (self.precision - 1) if high else 0)
        return Fraction(significand) * _power(self.emin - self.precision + max(high, 1))

    @property
    def count(self) -> int:
        """How many finite numbers are not negative."""
        return (self.emax - self.emin + 2) << (self.precision - 1)

    def last(self, holds: Callable[[Fraction], bool]) -> Fraction:
        """Return the largest number with a property that 0 has, and that is lost once."""
        low, high = 0, self.count
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if holds(self.number(middle)) else (low, middle)
        return self.number(low)

    def above(self, x: Fraction) -> Fraction:
        """Return the next larger number, for a number x >= 0."""
        return x + self.spacing(x)

    def significands(self) -> Iterator[int]:
        """Yield the significands of normal numbers, 2^(precision-1) … 2^precision - 1."""
        yield from range(2 ** (self.precision - 1), 2**self.precision)


def _power(exponent: int) -> Fraction:
    return Fraction(2**exponent) if exponent >= 0 else Fraction(1, 2**-exponent)


def _exponent(x: Fraction) -> int:
    """Return floor(log2 x) for x > 0."""
    guess = x.numerator.bit_length() - x.denominator.bit_length()
    up, down = max(guess, 0), max(-guess, 0)
    return guess if x.numerator << down >= x.denominator << up else guess - 1


FLOAT16 = Format("float16", 11, -14, 15)
BFLOAT16 = Format("bfloat16", 8, -126, 127)
FLOAT32 = Format("float32", 24, -126, 127)
FLOAT64 = Format("float64", 53, -1022, 1023)


# -- v' = beta v + (1 - beta) g², in the orders in which code computes it --------------------------

#: (format, v, g, beta) -> the stored new v.
Order = Callable[[Format, Fraction, Fraction, Fraction], Fraction]


def stored(form: Format, x: Fraction) -> Fraction:
    """Return the exact result of one operation as it is stored: float32, then the format."""
    return form.round(FLOAT32.round(x))


@cache
def scalars(beta: Fraction) -> tuple[Fraction, Fraction]:
    """Return beta and 1 - beta as the operations see them: Python floats, then float32."""
    python = FLOAT64.round(beta)
    return FLOAT32.round(python), FLOAT32.round(FLOAT64.round(1 - python))


def mul_addcmul(form: Format, v: Fraction, g: Fraction, beta: Fraction) -> Fraction:
    """``v.mul_(beta).addcmul_(g, g, value=1 - beta)``: v is rounded twice, g² not at all."""
    keep, enter = scalars(beta)
    decayed = stored(form, keep * v)
    return stored(form, decayed + FLOAT32.round(FLOAT32.round(enter * g) * g))


def rounded_mul_addcmul(form: Format, v: Fraction, g: Fraction, beta: Fraction) -> Fraction:
    """``_foreach_mul_([v], beta)`` on the CPU, then addcmul: beta is rounded to the format too."""
    keep, enter = form.round(scalars(beta)[0]), scalars(beta)[1]
    decayed = stored(form, keep * v)
    return stored(form, decayed + FLOAT32.round(FLOAT32.round(enter * g) * g))


def lerp(form: Format, v: Fraction, g: Fraction, beta: Fraction) -> Fraction:
    """``v.lerp_(g.square(), 1 - beta)``, 1 - beta < 1/2: v is rounded once, g² before it enters."""
    _, enter = scalars(beta)
    return stored(form, v + enter * FLOAT32.round(stored(form, g * g) - v))


def products(form: Format, v: Fraction, g: Fraction, beta: Fraction) -> Fraction:
    """``beta * v + (1 - beta) * g**2``: every operation is rounded."""
    keep, enter = scalars(beta)
    return stored(form, stored(form, keep * v) + stored(form, enter * stored(form, g * g)))


ORDERS: dict[str, Order] = {
    "mul_, addcmul_": mul_addcmul,
    "_foreach_mul_, addcmul_": rounded_mul_addcmul,
    "lerp_": lerp,
    "β·v + (1−β)·g²": products,
}


# -- statements about finitely many numbers --------------------------------------------------------


def holds_at(says: str, holds: Callable[[Point], bool], *points: Point) -> Every:
    """Return the goal that a condition holds at each of the points; it is decided once for each."""
    known, found = {id(p): p for p in points}, dict[int, Fraction]()

    def excess(p: Point) -> Fraction:
        if known.get(id(p)) is not p:
            return Fraction(not holds(p))
        if id(p) not in found:
            found[id(p)] = Fraction(not holds(p))
        return found[id(p)]

    return Every(says, excess, points)
