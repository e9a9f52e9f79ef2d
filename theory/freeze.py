"""Section 7, bfloat16: which stored v can still change, and how large a gradient it takes."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import sympy as sp

from .catalogue import claim, grid
from .floats import BFLOAT16, ORDERS, holds_at, mul_addcmul, stored
from .interval import Interval
from .precision import BETA2S, FAMILY
from .records import Case, Ground, Identity, Point, Run, Runs, Step
from .roles import Average, second_moment
from .rule import Rule
from .sources import FOLKLORE, HERE
from .symbols import ge

DEFAULT, HALF, ZERO, ONE = BETA2S[2], Fraction(1, 2), Fraction(0), Fraction(1)
#: The smallest normal number: below it the numbers are not denser than above.
EDGE = Fraction(1, 2**126)
#: A binade above it; then the lowest, which shares its spacing with the subnormals before it.
ABOVE = [Fraction(m) for m in BFLOAT16.significands()]
LOWEST = [m * BFLOAT16.tiny for m in range(1, 256)]
VALUES = [*ABOVE, *LOWEST]
NORMAL = [v for v in VALUES if v > EDGE]
NAMES = list(ORDERS)
MUL, FOREACH, LERP, PRODUCTS = NAMES
NUDGE = Fraction(1, 2**20)
#: What float32 on the way moves, in units of v: beta2·v, and the sum that is rounded next.
MOVED, SUMMED = sp.Rational(1, 2**16), sp.Rational(1, 2**14)


def units(v: Fraction) -> Fraction:
    """Return M, the number in units of its distance to the next one."""
    return v / BFLOAT16.spacing(v)


def _below(v: Fraction) -> Fraction:
    """Return h, half of the distance to the number below in units of v: a binade below is denser."""
    return HALF / 2 if units(v) == 128 and v > EDGE else HALF


def _stays(p: Point) -> bool:
    """Whether a zero gradient leaves v alone, at 1 − β2 = c."""
    return BFLOAT16.round((1 - p["c"]) * p["v"]) == p["v"]


def _even(m: Fraction) -> bool:
    return m % 2 == 0


# -- a zero gradient -------------------------------------------------------------------------------


def threshold(v: Fraction) -> Fraction:
    """Return the 1 − β2 from which on v decays (at it: when M is odd)."""
    return _below(v) / units(v)


def _beta_rounded(p: Point) -> bool:
    """Whether a normal v stays exactly where β2 becomes 1, and 2^−126 where it becomes 255/256 too."""
    beta2 = BFLOAT16.round(1 - p["c"])
    alone = beta2 == 1 if p["v"] > EDGE else beta2 >= Fraction(255, 256)
    known = (beta2 == 1) == (p["c"] <= Fraction(1, 512))
    return known and (BFLOAT16.round(beta2 * p["v"]) == p["v"]) == alone


def _around(c: Fraction) -> tuple[Fraction, ...]:
    return c * (1 - NUDGE), c, c * (1 + NUDGE)


def _scaled() -> Step:
    """What is decided in one binade is decided in all, but in the lowest."""
    powers = [Fraction(2) ** e for e in range(-132, 121)]
    return Step("from 2^−125 on rounding does not see the exponent", holds_at(
        "bfloat16(2^e·y) = 2^e·bfloat16(y) for y ≥ 64 and e ≥ −132", lambda p: BFLOAT16.round(p["u"]
        * p["y"]) == p["u"] * BFLOAT16.round(p["y"]), *({"y": m * c, "u": u} for m in ABOVE[::9]
        for u in powers for c in (DEFAULT, HALF + NUDGE))), "in every binade: the v above the lowest "
        "are decided by M; in the lowest, 2^−126 ≤ v < 2^−125, and among the subnormal numbers all 255 "
        "are tried below")  # fmt: skip


@cache
def _without_gradient() -> tuple[Step, ...]:
    """Which v are frozen for which β2, and that torch's arithmetic agrees."""
    around = [{"v": v, "c": c} for v in VALUES for c in _around(threshold(v))]
    least, greatest = min(map(threshold, NORMAL)), max(map(threshold, NORMAL))
    last, edge = next(v for v in NORMAL if threshold(v) == greatest), threshold(EDGE)

    def stored_again(p: Point, betas: tuple[Fraction, ...]) -> set[Fraction]:
        return {order(BFLOAT16, p["v"], ZERO, b) for order in ORDERS.values() for b in betas}

    def alone(p: Point) -> bool:
        c, at = p["c"], threshold(p["v"])
        return _stays(p) == (c < at or (c == at and _even(units(p["v"]))))

    return (
        _scaled(),
        Step("a zero gradient leaves v = M·2^e alone iff 1−β2 < h/M, at equality iff M is even; "
             "h = 1/2, but 1/4 for the powers of two above 2^−126", holds_at("bfloat16(β2·v) = v iff "
             "1−β2 < h/M", alone, *around), "β2·v is nearest to v while it is within half the distance "
             "to the number below; at, just under and just over the bound; rounding keeps the order"),
        Step(f"no v decays iff 1−β2 ≤ {least}", holds_at(f"at 1−β2 = {least} every v stays, just "
             "above it M = 128 does not", lambda p: _stays(p) == (p["c"] == least),
             *({"v": v, "c": least} for v in VALUES), {"v": ABOVE[0], "c": least * (1 + NUDGE)}),
             "the least of these bounds, that of M = 128"),
        Step(f"every v > 2^−126 decays iff 1−β2 ≥ {greatest}", holds_at(f"at 1−β2 = {greatest} none "
             f"of them stays, just below it M = {last} does", lambda p: _stays(p)
             == (p["c"] < greatest), *({"v": v, "c": greatest} for v in NORMAL),
             {"v": last, "c": greatest * (1 - NUDGE)}), "the greatest of them"),
        Step(f"and 2^−126 itself iff 1−β2 > {edge}", holds_at(f"at 1−β2 = {edge} it stays, just above "
             "it does not", lambda p: _stays(p) == (p["c"] <= edge),
             *({"v": EDGE, "c": c} for c in _around(edge))), "M = 128 with h = 1/2; even, so it stays "
             "at the bound"),
        Step(f"where β2 itself is rounded to bfloat16 ({FOREACH}), no v decays iff 1−β2 ≤ {least}, and "
             "else every v > 2^−126 does; 2^−126 iff bfloat16(β2) < 255/256",
             holds_at(f"bfloat16(β2) = 1 iff 1−β2 ≤ {least}; the next β2 lowers every v > 2^−126, the "
                      "one after it 2^−126 too", _beta_rounded, *({"v": v, "c": c}
                      for v in (EDGE, *NORMAL) for k in (1, 2, 3) for c in _around(k * least))),
             "there v is summed without any decay"),
        Step("so at β2 = 0.999 and 0.9999 a zero gradient changes no v in any order of operations",
             holds_at("the stored new v is v", lambda p: stored_again(p, BETA2S[2:]) == {p["v"]},
             *({"v": v} for v in VALUES)), "operations in float32, every significand, the lowest "
             "binade and the subnormal numbers"),
        Step("and at β2 = 0.9 and 0.99 it changes every normal one", holds_at("the stored new v is "
             "not v", lambda p: p["v"] not in stored_again(p, BETA2S[:2]), *({"v": v}
             for v in (EDGE, *NORMAL))), "the same"),
    )  # fmt: skip


# -- a gradient ------------------------------------------------------------------------------------


def _ends(v: Fraction, c: Fraction) -> tuple[Fraction, Fraction]:
    """Return between which (1 − β2)·g², in units of v, v stays, when β2·v is stored first."""
    unit = BFLOAT16.spacing(v)
    decayed = BFLOAT16.round((1 - c) * v) / unit
    return units(v) - _below(v) - decayed, units(v) + HALF - decayed


def _within(p: Point) -> bool:
    """Whether v stays exactly while (1 − β2)·g² = y is between the ends, and rises above them."""
    v, (low, high), unit = p["v"], _ends(p["v"], p["c"]), BFLOAT16.spacing(p["v"])
    decayed, even = BFLOAT16.round((1 - p["c"]) * v), _even(units(v))
    tried = [max(end + k, ZERO) for end in (low, high) for k in (-NUDGE, ZERO, NUDGE)]
    after = [(y, BFLOAT16.round(decayed + y * unit)) for y in tried]
    return all((low < y < high or (even and y in (low, high))) == (new == v)
               and (y > high or (y == high and not even)) == (new > v) for y, new in after)  # fmt: skip


def _multiple(v: Fraction, beta2: Fraction) -> Fraction:
    """Return k_M, the multiple of v that g² must exceed for v to rise."""
    return _ends(v, 1 - beta2)[1] / ((1 - beta2) * units(v))


def unchanged(order: str, v: Fraction, g: Fraction, beta2: Fraction = DEFAULT) -> bool:
    """Return whether v does not rise, by the bound of that order of operations, at 1 − β2 ≤ 1/512."""
    unit, c = BFLOAT16.spacing(v), 1 - beta2
    enters = c * g * g
    if order == LERP:
        enters = c * (stored(BFLOAT16, g * g) - v)
    elif order == PRODUCTS:
        enters = stored(BFLOAT16, c * stored(BFLOAT16, g * g))
    return enters < unit / 2 or (enters == unit / 2 and _even(v / unit))


@cache
def edges(order: str) -> list[Point]:
    """Return for each significand the last gradient that leaves v as it is.

    In two binades, for v·4 and g·2 go together; and in those where (1 − β2)·g² may be subnormal in
    float32, with the subnormal v.
    """
    out: list[Point] = []
    scales = [Fraction(2) ** e for e in (0, 1, *range(-132, -125))]
    for v in (*(m * scale for scale in scales for m in ABOVE), *LOWEST):
        last = BFLOAT16.last(lambda g, v=v: g**2 < 1024 * v and unchanged(order, v, g))  # type: ignore[misc]
        out.append({"order": Fraction(NAMES.index(order)), "v": v, "g": last})
    return out


def _through_float32() -> tuple[Step, ...]:
    """How far operations in float32 move what is rounded to bfloat16, in units of v."""
    half, once = sp.Rational(1, 2**17), sp.Rational(1, 2**24)  # of a float32 unit below 256; relative
    c = (1 - 4 * NUDGE) / 512
    near = {"v": Fraction(129), "g": Fraction(16), "beta2": 1 - c}

    def moved(p: Point) -> bool:
        under = (1 - p["beta2"]) * p["g"] ** 2 < _ends(p["v"], 1 - p["beta2"])[1]
        return under and mul_addcmul(BFLOAT16, p["v"], p["g"], p["beta2"]) > p["v"]

    return (
        Step("float32 moves β2·v by at most 2^−25·256 + 2^−17 = 2^−16 units",
             Ground(ge(MOVED, 256 * once / 2 + half)), "β2 < 1 is within 2^−25, v < 256 units; the "
             "product is rounded once, also where float32 is subnormal"),
        Step("and the sum by at most 2^−14: three relative roundings of (1−β2)g² ≤ 129 units, one of "
             "a product that is subnormal, one of the sum",
             Ground(ge(SUMMED, 129 * ((1 + once) ** 3 - 1) + 2 * half)), "at the bound M + 1/2 < 256; "
             "a_M ≥ M/2 − 1/4 as β2 > 1/2"),
        Step("and it does: M = 129 rises to 130 at g = 16, 1−β2 = (1 − 2^−18)/512, where "
             "(1−β2)g² < 1/2", holds_at("below the bound, yet the stored new v is larger", moved, near),
             "129 + 1/2 − 2^−19 is 129 + 1/2 in float32, and that goes to even"),
    )  # fmt: skip


@cache
def _with_gradient() -> tuple[Step, ...]:
    """How large a gradient must be to change v; then by torch's arithmetic."""
    most, least = _multiple(ABOVE[0], DEFAULT), _multiple(ABOVE[-1], DEFAULT)

    def computed(p: Point) -> bool:
        order = NAMES[int(p["order"])]
        last, first = (ORDERS[order](BFLOAT16, p["v"], value, DEFAULT)
                       for value in (p["g"], BFLOAT16.above(p["g"])))  # fmt: skip
        return last == p["v"] < first

    orders = "; ".join((f"{MUL} and {FOREACH}: (1−β2)g²", f"{LERP}: (1−β2)(g² − v), g² rounded",
                        f"{PRODUCTS}: (1−β2)g², rounded twice"))  # fmt: skip
    return (
        Step("stored again, v = M·2^e stays iff M − h ≤ a_M + (1−β2)g² ≤ M + 1/2 in units 2^e, "
             "a_M = bfloat16(β2·v); at an end iff M is even; above the upper it rises",
             holds_at("v stays iff M − h − a_M ≤ (1−β2)g² ≤ M + 1/2 − a_M", _within,
             *({"v": v, "c": 1 - b} for v in VALUES for b in BETA2S)), "both ends, and both sides of "
             "each, at β2 = 0.9, 0.99, 0.999, 0.9999: so v rises iff g² > k_M·v, "
             "k_M = (M + 1/2 − a_M)/((1−β2)·M), at equality iff M is odd"),
        Step(f"at β2 = 0.999 a_M = M: k_M = 1/(2(1−β2)M), from {float(least):.3f} at M = 255 to "
             f"{float(most):.3f} at M = 128", holds_at("k_M = 500/M", lambda p: 500 / units(p["v"])
             == _multiple(p["v"], DEFAULT), *({"v": v} for v in VALUES)), "and v falls for no g²"),
        *_through_float32(),
        Step(f"what must exceed half a unit of v, by order of operations — {orders}",
             holds_at("the stored new v is v at the last g that does not, larger at the next", computed,
             *(p for order in NAMES for p in edges(order))), "operations in float32, every significand "
             "in two binades (v·4 and g·2 go together), in the lowest eight, and subnormal v"),
    )  # fmt: skip


# -- the claims ------------------------------------------------------------------------------------


def _states(run: Run, p: Point, v: Average, gradients: list[Fraction]) -> list[Fraction]:
    trace = run({**p, "lambda_": ZERO}, gradients, ZERO)
    return [value.lo for value in trace.state[v.name]]


@claim("bf16-freeze", family=FAMILY, source=FOLKLORE,
       says="Storing v in bfloat16 is fine.",
       statement="At β2 = 0.999 a v > 0 stored in bfloat16 is smaller after a zero gradient.",
       hypotheses="The run is exact, on the real optimizer in float64, and rounded to bfloat16 here; "
                  "the tests repeat it on optimizers whose tensors are bfloat16.",
       repaired_by="bf16-freeze-threshold")  # fmt: skip
def bf16_freeze(rule: Rule) -> Case | None:
    """Rounded, β2·v is v again; v_1 and the factor are read off a run."""
    v = second_moment(rule)
    if v is None:
        return None

    def excess(run: Run, p: Point) -> Interval:
        _, one, two = _states(run, p, v, [p["g1"], ZERO])
        kept = BFLOAT16.round(one)
        units = (BFLOAT16.round(kept * two / one) - kept) / BFLOAT16.spacing(kept)
        return Interval.of(1 + units)  # at most 0 once it falls by a unit

    return Case(runs=Runs(excess, grid(g1="1 2 1/2", **{v.beta.name: str(DEFAULT)})))


@claim("bf16-freeze-threshold", family=FAMILY, source=HERE,
       says="When a v stored in bfloat16 can change.",
       statement="Write v = M·2^e, 2^e its distance to the next number: 128 ≤ M ≤ 255, less only "
                 "for subnormal v.  A zero gradient leaves v alone iff (1−β2)·M < h (β2 as it is "
                 "held: rounded to bfloat16 in lists), at equality iff M is even; h = 1/2, but "
                 "1/4 for the powers of two above 2^−126.  So it lowers no v iff 1−β2 ≤ 1/512, "
                 "every v > 2^−126 iff 1−β2 ≥ 1/258 (> 1/512 where β2 is rounded to bfloat16), "
                 "and 2^−126, below which numbers are not denser, iff 1−β2 > 1/256 (where β2 is "
                 "rounded iff bfloat16(β2) < 255/256).  By mul_ and addcmul_ v rises iff g² > "
                 "k_M·v, at equality iff M is odd; k_M = (M + 1/2 − a_M)/((1−β2)·M), a_M = "
                 "2^−e·bfloat16(β2·v).  At β2 = 0.999 no v falls, k_M = 1/(2(1−β2)·M); lerp_ "
                 "needs 1 + 1/(2(1−β2)·M).",
       hypotheses="Rounding to nearest, ties to even; no overflow; 1−β2 < 1/2; v computed in one of the "
                  "orders named in the steps; β2·v, g² in lerp_, and the sum rounded to bfloat16 once.  "
                  "torch forms them in float32 first, which moves β2·v by at most 2^−16 and the sum by "
                  "at most 2^−14 of the unit 2^e.  With an L2 penalty g stands for g + λx.")  # fmt: skip
def bf16_freeze_threshold(rule: Rule) -> Case | None:
    """The rule's own line of v, then the rounding rule for every significand."""
    v = second_moment(rule)
    if v is None:
        return None
    b = v.beta

    def excess(run: Run, p: Point) -> Interval:
        _, one, two = _states(run, p, v, [p["g1"], p["g2"]])
        return Interval.of(abs(two - (p[b.name] * one + (1 - p[b.name]) * p["g2"] ** 2)))

    return Case(
        (Step("v_t = β2·v_(t−1) + (1−β2)·input, the squared gradient",
              Identity(rule.late.new[v.name], b * v.old + (1 - b) * v.input),
              "the line of the rule; what is stored is this, rounded"),
         *_without_gradient(), *_with_gradient()),
        control=holds_at("at 1−β2 = 1/258 every v ≥ 2^−126 decays", lambda p: not _stays(p),
                         *({"v": v, "c": Fraction(1, 258)} for v in (EDGE, *NORMAL))),
        runs=Runs(excess, grid(g1="1 2 -1 1/2", g2="0 1 -2", **{b.name: "3/4 1/2"})),
    )  # fmt: skip
