"""The derivation behind ``fused_sgd_half``: what any order of operations must give.

What the kernel gives instead is for the runs to show; it has no formula.
"""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from ..theory import symbols as sym
from ..theory.floats import BFLOAT16, FLOAT16, Format, holds_at
from ..theory.records import Goal, Holds, Identity, Point, Step
from ..theory.rules import sgd
from .fused_sgd_half import ALPHA, LONGEST, SLOPE, START, after


def _exact(form: Format, alpha: Fraction, steps: int) -> bool:
    """Return whether α, α g, and x after each step are numbers of the format."""
    return all(map(form.holds, (alpha, alpha * SLOPE, START - steps * alpha * SLOPE)))


def steps() -> tuple[Step, ...]:
    """Return the rule's line, that nothing is rounded, and how far rounding could go at all."""
    line = sgd().transition()["x"]
    d, w, u = sym.symbol("d"), sym.symbol("w"), sym.symbol("u", "nonnegative")
    p, q, h = (sym.symbol(n, "nonnegative") for n in "pqh")
    domains = {**sym.DOMAINS, **dict.fromkeys("upqh", "nonnegative")}
    x, a, g = (sp.Rational(z.numerator, z.denominator) for z in (START, ALPHA, SLOPE))
    times: tuple[Point, ...] = tuple({"t": Fraction(t)} for t in range(1, LONGEST + 1))
    rounded = (x - a * g * (1 + d)) * (1 + w)
    # |δ| <= u is δ = -u + p with 0 <= p <= 2u, and 0 < u <= 1/8 is u = 1/(8 + h)
    at, small = {d: -u + p, w: u - q}, 1 / (8 + h)
    return (
        Step("the rule's step takes x to x - α g",
             Identity(line, sym.x - sym.alpha * sym.g, sym.DOMAINS), "its only line"),
        *(Step(f"{form.name}: α, α g and 1 - t/4 are numbers of the format, t = 1 … {LONGEST}",
               holds_at("α, α·g and 1 - t·α·g are in the format",
                        lambda z, form=form: _exact(form, ALPHA, int(z["t"]))  # type: ignore[misc]
                        and after(int(z["t"])) == START - z["t"] / 4, *times),
               "so no operation, and no fused pair of them, rounds anything: x_t = 1 - t/4 in any order")
          for form in (FLOAT16, BFLOAT16)),
        Step("even if it did: (1 - 1/4 (1 + δ))(1 + δ') <= (3/4 + u/4)(1 + u) for |δ|, |δ'| <= u <= 1",
             Identity((x - a * g * (1 - u)) * (1 + u) - rounded.subs(at),
                      a * g * p * (1 + u) + q * (x - a * g * (1 - u + p)), domains),
             "δ = -u + p, δ' = u - q: what is left is >= 0, as u <= 1 and p <= 2u keep the last bracket "
             ">= 0"),
        Step("which is below 1 for every u <= 1/8; float16 has 2^-11, bfloat16 2^-8",
             Holds(sym.gt(1 - ((x - a * g * (1 - small)) * (1 + small)), 0), (), domains),
             "so a parameter that is 1 after the first step is outside of the band of fused-kernel"),
    )  # fmt: skip


def control() -> Goal:
    """Return that nothing is rounded in bfloat16 at α = 1/1024 either."""
    return holds_at("α, α·g and 1 - α·g are in the format",
                    lambda z: _exact(BFLOAT16, Fraction(1, 1024), int(z["t"])),
                    {"t": Fraction(1)})  # fmt: skip
