"""A run of Adam on parabolas, enclosed: after T steps x lies between these two rationals.

Every operation is one of Arb, which rounds outward.  Balls know nothing of each other, so the width of
x grows by a factor a step, though the run itself contracts; more bits at the start are what pays for
that, and ``enclosed`` doubles them until the end is narrow enough.
"""

from __future__ import annotations

from fractions import Fraction

from .parabolas import Parabolas, Stretch

#: Bits at first, and where the search for enough of them is given up.
FIRST, LAST = 128, 1 << 14


def run(
    losses: Parabolas, beta1: Fraction, beta2: Fraction, rate: Fraction, start: Fraction,
    steps: int, bits: int,
) -> Stretch:  # fmt: skip
    """Return where Adam is after some steps, corrected and clamped: rates α/√t, or α if it is constant.

    Args:
        losses: the losses; a positive ``alpha`` is the constant rate.
        beta1: β1.
        beta2: β2.
        rate: α of α/√t.
        start: x before the first step.
        steps: how many.
        bits: Arb's precision.
    """
    import flint

    ctx = flint.ctx
    before, ctx.prec = ctx.prec, bits
    try:

        def ball(value: Fraction) -> flint.arb:
            return flint.arb(flint.fmpq(value.numerator, value.denominator))

        b1, b2, eps, low, high, x = map(ball, (beta1, beta2, losses.eps, losses.low, losses.high, start))
        period = [(ball(a), ball(s)) for a, s in zip(losses.curvatures, losses.slopes, strict=True)]
        size = ball(losses.alpha or rate)
        m = v = flint.arb(0)
        power1 = power2 = flint.arb(1)
        for t in range(1, steps + 1):
            a, s = period[(t - 1) % len(period)]
            g = a * x + s
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
            power1, power2 = power1 * b1, power2 * b2
            step = size if losses.alpha else size / flint.arb(t).sqrt()
            x = x - step * m / (1 - power1) / ((v.max(flint.arb(0)) / (1 - power2)).sqrt() + eps)
            x = x.max(low).min(high)
            if not x.is_finite():  # nothing is known but the clamp
                return Stretch(losses.low, losses.high)
        low_end, high_end = (Fraction(int(q.p), int(q.q))
                             for q in (end.fmpq() for end in (x.lower(), x.upper())))  # fmt: skip
        return Stretch(low_end, high_end)
    finally:
        ctx.prec = before


def enclosed(
    losses: Parabolas, beta1: Fraction, beta2: Fraction, rate: Fraction, start: Fraction,
    steps: int, width: Fraction,
) -> tuple[Stretch, int] | None:  # fmt: skip
    """Return the enclosure and the bits that made it so narrow, or None where 2^14 bits do not."""
    bits = FIRST
    while bits <= LAST:
        found = run(losses, beta1, beta2, rate, start, steps, bits)
        if found.high - found.low <= width:
            return found, bits
        bits *= 2
    return None
