"""The derivation behind ``bf16_freeze``.

Which v can change is ``theory.freeze``'s.  That this x and this v never do is an exact run up to the
step at which m no longer changes either; from there on only the corrections do, and between their
extremes no rounding changes the order.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache

from ..theory import symbols as sym
from ..theory.floats import BFLOAT16, ORDERS, holds_at
from ..theory.records import Goal, Holds, Identity, Point, Step
from ..theory.rules import adam
from .bf16_freeze import ALPHA, BETAS, FROZEN, LATER, SPIKE, START, gradient
from .halves import Halves
from .theorems import theorem

#: By this step m, too, is as it stays.
SETTLED = 60
#: Half of the distance between 1 and the number below.
HALF = Fraction(1, 512)
MUL, *_, PRODUCTS = ORDERS


@cache
def run() -> tuple[Halves, tuple[tuple[Fraction | None, Fraction], ...]]:
    """Return Adam at the step at which it has settled, and x and v after each step up to there."""
    adam, seen = Halves(BFLOAT16, Fraction(START)), []
    for t in range(1, SETTLED + 1):
        adam.step(Fraction(gradient(t)))
        seen.append((adam.x, adam.v))
    return adam, tuple(seen)


def steps() -> tuple[Step, ...]:
    """Return which v can change at all, then the object in bfloat16, then the object exactly."""
    return (*theorem("bf16-freeze-threshold", "adam").steps, *_in_bfloat16(), *_exactly())


def _stays_put(p: Point) -> bool:
    return (BFLOAT16.round(START - p["s"]) == START) == (p["s"] <= HALF)


def _in_bfloat16() -> tuple[Step, ...]:
    near = tuple({"s": HALF * (1 + k * Fraction(1, 2**20))} for k in (-1, 0, 1))
    times = tuple({"t": Fraction(t)} for t in range(1, SETTLED + 1))

    def kept(p: Point) -> bool:
        return run()[1][int(p["t"]) - 1] == (Fraction(START), FROZEN)

    def settled(p: Point) -> bool:
        before, _ = run()
        after = Halves(BFLOAT16, before.x, m=before.m, v=before.v, t=before.t)
        after.averages(p["g"])
        return (after.m, after.v) == (before.m, before.v)

    def within(p: Point) -> bool:
        before, _ = run()
        after = Halves(BFLOAT16, before.x, m=before.m, v=before.v, t=before.t)
        after.move(float(p["rate"]), float(p["correction"]))
        return after.x == START

    def alone(p: Point) -> bool:
        return {ORDERS[name](BFLOAT16, FROZEN, p["g"], BETAS[1]) for name in (MUL, PRODUCTS)} == {FROZEN}

    extremes = tuple({"rate": k * ALPHA, "correction": Fraction(1)} for k in (0, 1, 2))
    return (
        Step("v = 131/32 stays for a gradient of 0 and of 1, hence for every one between",
             holds_at("the stored new v is v", alone, {"g": Fraction(0)}, {"g": Fraction(LATER)}),
             "one application of what is above; every operation keeps the order"),
        Step("a step of 2^-9 or less, downwards, leaves x = 1 alone; a longer one does not",
             holds_at("bfloat16(1 - s) = 1 iff s <= 2^-9", _stays_put, *near),
             "half of the distance to the number below 1, and rounding keeps the order"),
        Step(f"x = 1 and v = 131/32 after each of the first {SETTLED} steps",
             holds_at("x_t = 1 and v_t = 131/32", kept, *times),
             "torch.optim.Adam's operations, each with its roundings"),
        Step(f"by then m no longer changes either: m = {run()[0].m}",
             holds_at("the stored new m and v are m and v", settled, {"g": Fraction(LATER)}),
             "so the state is the same at every later step"),
        Step("with that state x stays for every rate from 0 to 2α and every correction up to 1",
             holds_at("the stored new x is 1", within, *extremes),
             "the step grows with the rate α/(1 - β1^t), which is below 2α by then, and with the "
             "correction √(1 - β2^t), below 1: every operation keeps the order.  So x = 1 for ever"),
    )  # fmt: skip


def _exactly() -> tuple[Step, ...]:
    lines = adam().only.new  # type: ignore[union-attr]
    m, v, low = sym.old("exp_avg"), sym.old("exp_avg_sq"), sym.symbol("d", "nonnegative")
    more, p, q = sym.symbol("h", "nonnegative"), sym.symbol("P", "unit"), sym.symbol("Q", "unit")
    e = sym.symbol("e", "nonnegative")
    domains = {**sym.DOMAINS, "d": "nonnegative", "h": "nonnegative", "P": "unit", "Q": "unit",
               "e": "nonnegative"}  # fmt: skip
    return (
        Step("without rounding the distance of v from 1 becomes β2 times as large",
             Identity(lines["exp_avg_sq"].subs({sym.g: LATER}) - 1, sym.beta2 * (v - 1)),
             "the rule's line for v with the gradient 1: v tends to 1"),
        Step("and m >= 1 - β1^t, so that m/(1 - β1^t) >= 1",
             Holds(sym.ge(lines["exp_avg"].subs({m: 1 - p + low, sym.g: 1 + more})
                          - (1 - sym.beta1 * p), 0), (), domains),
             "P = β1^(t-1); every gradient is at least 1"),
        Step("and v <= 64² (1 - β2^t), so that √(v/(1 - β2^t)) <= 64",
             Identity(SPIKE**2 * (1 - sym.beta2 * q)
                      - lines["exp_avg_sq"].subs({v: SPIKE**2 * (1 - q) - low,
                                                  sym.g: sym.symbol("g")}),
                      sym.beta2 * low + (1 - sym.beta2) * (SPIKE**2 - sym.g**2), domains),
             "Q = β2^(t-1); no gradient is above 64, so what is left is >= 0"),
        Step("so each step is at least α/(64 + ε): x <= 1 - t α/65",
             Holds(sym.ge((1 + more) / (SPIKE / (1 + low) + e) - 1 / (SPIKE + e), 0), (), domains),
             "m̂ = 1 + h, √v̂ = 64/(1 + d), ε = e <= 1: past every bound"),
    )  # fmt: skip


def control() -> Goal:
    """Return that v = 131/32 stays at β2 = 99/100 too, where it falls to 130/32."""
    return holds_at("at β2 = 0.99 the stored new v is v",
                    lambda p: ORDERS[MUL](BFLOAT16, FROZEN, p["g"], Fraction(99, 100)) == FROZEN,
                    {"g": Fraction(0)})  # fmt: skip
