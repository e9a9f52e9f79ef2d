"""The derivation behind ``fp16_nan``: which ε and which v survive is ``theory.precision``'s."""

from __future__ import annotations

from fractions import Fraction

from ..theory import symbols as sym
from ..theory.floats import FLOAT16, holds_at
from ..theory.records import Goal, Holds, Identity, Point, Step
from ..theory.rules import adam
from .fp16_nan import ENOUGH, EPS, GRADIENTS
from .halves import Halves
from .theorems import theorem


def _first(gradient: Fraction, eps: Fraction = EPS) -> Halves:
    """Return Adam after one step in float16 from 0."""
    found = Halves(FLOAT16, Fraction(0), eps=float(eps))
    found.step(gradient)
    return found


def steps() -> tuple[Step, ...]:
    """Return which ε survive, which v_1 do, then the three parameters, rounded and exactly."""
    return (
        *theorem("eps-fp16-survives", "adam").steps,
        *theorem("fp16-underflow", "adam").steps,
        *_rounded(),
        *_exactly(),
    )


def _rounded() -> tuple[Step, ...]:
    zero, small, one = ({"g": g} for g in GRADIENTS)

    def no_number(p: Point) -> bool:
        found = _first(p["g"])
        return found.x is None and found.m == found.v == found.divisor == 0

    def infinite(p: Point) -> bool:
        found = _first(p["g"])
        return found.x is None and found.m > 0 == found.v == found.divisor

    def near(p: Point) -> bool:
        found = _first(p["g"])
        return found.x is not None and abs(found.x * 1000 + 1) <= Fraction(1, 1000)

    def finite(p: Point) -> bool:
        return _first(p["g"], ENOUGH).x is not None

    return (
        Step("g = 0: m_1 = v_1 = 0 and D_1 = √0 + float16(1e-8) = 0, so x_1 = 0 - α·0/0",
             holds_at("m_1 = v_1 = D_1 = 0", no_number, zero),
             "torch.optim.Adam's operations, each with its roundings: IEEE 754 makes 0/0 NaN, and "
             "what is computed with NaN is NaN"),
        Step("g = 1/1024: v_1 = D_1 = 0 and m_1 > 0, so x_1 = 0 - α m_1/0",
             holds_at("v_1 = D_1 = 0 < m_1", infinite, small),
             "the same: minus infinity, as the rate is positive, and at every later step"),
        Step("g = 1: x_1 is a number within a thousandth of -α",
             holds_at("|1000·x_1 + 1| <= 1/1000", near, one), "the same"),
        Step("with ε = 1e-7 all three are numbers",
             holds_at("x_1 is a number", finite, zero, small, one), "D_1 is at least 2^-24"),
    )  # fmt: skip


def _exactly() -> tuple[Step, ...]:
    first, g = adam().unrolled(1)["x"], sym.symbol("g1")
    size = sym.symbol("h", "positive")
    domains = {**sym.DOMAINS, "h": "positive"}
    step = (sym.x - first.subs(g, size)) / sym.alpha
    return (
        Step("without rounding a zero gradient leaves x alone, for every ε > 0",
             Identity(first.subs({g: 0, sym.eps: size}), sym.x, domains), "one step of the rule"),
        Step("and the first step with a gradient h > 0 is h/(h + ε) of α",
             Identity(step, size / (size + sym.eps), domains), "the same"),
        Step("which is at most α",
             Holds(sym.ge(1 - size / (size + sym.eps), 0), (), domains), "as ε >= 0"),
    )  # fmt: skip


def control() -> Goal:
    """Return that ε = 1e-7 is rounded to 0 as well, where it becomes 2^-23."""
    return holds_at("float16(ε) = 0", lambda p: FLOAT16.round(p["eps"]) == 0, {"eps": ENOUGH})
