"""Arb balls as an arithmetic for formulas: rigorous enclosures where exact rationals do not reach.

python-flint rather than mpmath's intervals: correctly rounded balls, about fifty times quicker.
"""

from __future__ import annotations

from fractions import Fraction

from flint import arb, ctx, fmpq

from ..theory.identity import Unsupported

#: Bits of every ball; the context is process-wide, so it is set once, here.
PRECISION = 256
ctx.prec = PRECISION


class Balls:
    """Ball arithmetic at 256 bits.

    Args:
        clip: take the root of a ball that reaches below 0 from 0 on.  Right for a value that is known
            to be >= 0 and is below by rounding alone, as in a run; wrong where that is the question.
    """

    def __init__(self, *, clip: bool = False) -> None:
        self.clip = clip

    def number(self, value: Fraction) -> arb:
        """Return the thinnest ball around a rational."""
        return arb(fmpq(value.numerator, value.denominator))

    def sqrt(self, value: arb) -> arb:
        """Return the root.

        Raises:
            Unsupported: the ball reaches below 0 (with ``clip``: lies below 0).
        """
        if not (value >= 0) and not (self.clip and value.contains(0)):
            raise Unsupported("the square root of a ball that reaches below 0")
        return value.nonnegative_part().sqrt()

    def power(self, base: arb, exponent: arb) -> arb:
        """Return base**exponent."""
        return base**exponent

    def maximum(self, values: list[arb]) -> arb:
        """Return the largest value."""
        out = values[0]
        for value in values[1:]:
            out = out.max(value)
        return out

    def sign(self, value: arb) -> arb:
        """Return the sign.

        Raises:
            Unsupported: it is not certain.
        """
        if value > 0:
            return arb(1)
        if value < 0:
            return arb(-1)
        if value == 0:
            return arb(0)
        raise Unsupported("the sign of a ball that holds 0")

    def exp(self, value: arb) -> arb:
        """Return e**value."""
        return value.exp()


#: For runs.
BALLS = Balls(clip=True)
#: For closed numbers.
NUMBERS = Balls()
