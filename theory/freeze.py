"""Section 7, bfloat16: which stored v can still change, and how large a gradient it takes."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

from .catalogue import claim, grid
from .floats import BFLOAT16, ORDERS, holds_at, stored
from .interval import Interval
from .precision import BETA2S, FAMILY
from .records import Case, Identity, Point, Run, Runs, Step
from .roles import Average, second_moment
from .rule import Rule
from .sources import FOLKLORE, HERE

DEFAULT, HALF, ZERO, ONE = BETA2S[2], Fraction(1, 2), Fraction(0), Fraction(1)
#: v = M·2^e: the significands of normal numbers, and some subnormal numbers.
NORMAL = [Fraction(m) for m in BFLOAT16.significands()]
SUBNORMAL = [m * BFLOAT16.tiny for m in (1, 2, 63, 64, 127)]
LEAST, MOST = NORMAL[0], NORMAL[-1]
NAMES = list(ORDERS)
MUL, FOREACH, LERP, PRODUCTS = NAMES
NUDGE = Fraction(1, 2**20)


def _below(m: Fraction) -> Fraction:
    """Return half of the distance to the number below: binades are twice as dense below."""
    return HALF / 2 if m == LEAST else HALF


def _stays(p: Point) -> bool:
    """Whether a zero gradient leaves the significand alone, at 1 − β2 = c."""
    return BFLOAT16.round((1 - p["c"]) * p["M"]) == p["M"]


def _beta_rounded(p: Point) -> bool:
    """Whether the significand stays exactly where beta2 becomes 1."""
    beta2 = BFLOAT16.round(1 - p["c"])
    stays = BFLOAT16.round(beta2 * p["M"]) == p["M"]
    return stays == (beta2 == 1) == (p["c"] <= Fraction(1, 512))


def _even(m: Fraction) -> bool:
    return m % 2 == 0


# -- a zero gradient -------------------------------------------------------------------------------


def _threshold(m: Fraction) -> Fraction:
    """Return the 1 − β2 from which on v = M·2^e decays (at it: when M is odd)."""
    return _below(m) / m


@cache
def _without_gradient() -> tuple[Step, ...]:
    """Which significands are frozen for which β2, and that torch's arithmetic agrees."""
    around = [{"M": m, "c": _threshold(m) * (1 + k * NUDGE)} for m in NORMAL for k in (-1, 0, 1)]
    least, greatest = min(map(_threshold, NORMAL)), max(map(_threshold, NORMAL))
    last = next(m for m in NORMAL if _threshold(m) == greatest)

    def stored_again(p: Point, betas: tuple[Fraction, ...]) -> set[Fraction]:
        return {order(BFLOAT16, p["v"], ZERO, b) for order in ORDERS.values() for b in betas}

    def alone(p: Point) -> bool:
        c, at = p["c"], _threshold(p["M"])
        return _stays(p) == (c < at or (c == at and _even(p["M"])))

    return (
        Step("a zero gradient leaves v = M·2^e alone iff 1−β2 < h_M/M, at equality iff M is even; "
             "h_M = 1/2, but 1/4 for M = 128", holds_at("bfloat16(β2·M) = M iff 1−β2 < h_M/M",
             alone, *around), "β2·M is nearest to M while it is within half the distance to the number "
             "below; at, just under and just over the bound; rounding keeps the order"),
        Step(f"no v decays iff 1−β2 ≤ {least}", holds_at(f"at 1−β2 = {least} every v stays, just "
             "above it M = 128 does not", lambda p: _stays(p) == (p["c"] == least),
             *({"M": m, "c": least} for m in (*NORMAL, *SUBNORMAL)),
             {"M": LEAST, "c": least * (1 + NUDGE)}), "the least of these bounds, that of M = 128"),
        Step(f"every normal v decays iff 1−β2 ≥ {greatest}", holds_at(f"at 1−β2 = {greatest} no "
             f"normal v stays, just below it M = {last} does",
             lambda p: _stays(p) == (p["c"] < greatest), *({"M": m, "c": greatest} for m in NORMAL),
             {"M": last, "c": greatest * (1 - NUDGE)}), "the greatest of them"),
        Step(f"where β2 itself is rounded to bfloat16 ({FOREACH}), no v decays iff 1−β2 ≤ {least}, and "
             "else every normal v does", holds_at(f"bfloat16(β2) = 1 iff 1−β2 ≤ {least}; the next β2 "
             "lowers every M", _beta_rounded, *({"M": m, "c": least * k} for m in NORMAL
             for k in (1, 1 + NUDGE))), "there v is summed without any decay"),
        Step("so at β2 = 0.999 and 0.9999 a zero gradient changes no v in any order of operations",
             holds_at("the stored new v is v", lambda p: stored_again(p, BETA2S[2:]) == {p["v"]},
             *({"v": v} for v in (*NORMAL, *SUBNORMAL))), "operations in float32, every significand, "
             "and subnormal numbers"),
        Step("and at β2 = 0.9 and 0.99 it changes every normal one", holds_at("the stored new v is "
             "not v", lambda p: p["v"] not in stored_again(p, BETA2S[:2]), *({"v": v} for v in NORMAL)),
             "the same"),
    )  # fmt: skip


# -- a gradient ------------------------------------------------------------------------------------


def _ends(m: Fraction, c: Fraction) -> tuple[Fraction, Fraction]:
    """Return between which (1 − β2)·g² the significand stays, when β2·v is stored first."""
    decayed = BFLOAT16.round((1 - c) * m)
    return m - _below(m) - decayed, m + HALF - decayed


def _within(p: Point) -> bool:
    """Whether v stays exactly while (1 − β2)·g² = y is between the ends, tried at and around them."""
    m, (low, high) = p["M"], _ends(p["M"], p["c"])
    decayed = BFLOAT16.round((1 - p["c"]) * m)
    tried = [max(end + k, ZERO) for end in (low, high) for k in (-NUDGE, ZERO, NUDGE)]
    return all(
        (low < y < high or (_even(m) and y in (low, high))) == (BFLOAT16.round(decayed + y) == m)
        for y in tried
    )


def _multiple(m: Fraction, beta2: Fraction) -> Fraction:
    """Return k_M, the multiple of v that g² must exceed for v to rise."""
    return _ends(m, 1 - beta2)[1] / ((1 - beta2) * m)


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
    """Return for each significand, in two binades, the last gradient that leaves v as it is."""
    out: list[Point] = []
    for e in (0, 1):  # v·4 and g·2 go together, so two binades stand for all
        for m in NORMAL:
            v = m * 2**e
            last = BFLOAT16.last(lambda g, v=v: g**2 < 16 * v and unchanged(order, v, g))  # type: ignore[misc]
            out.append({"order": Fraction(NAMES.index(order)), "v": v, "g": last})
    return out


@cache
def _with_gradient() -> tuple[Step, ...]:
    """How large a gradient must be to change v; then by torch's arithmetic."""
    most, least = _multiple(LEAST, DEFAULT), _multiple(MOST, DEFAULT)

    def computed(p: Point) -> bool:
        order = NAMES[int(p["order"])]
        last, first = (ORDERS[order](BFLOAT16, p["v"], value, DEFAULT)
                       for value in (p["g"], BFLOAT16.above(p["g"])))  # fmt: skip
        return last == p["v"] < first

    orders = "; ".join((f"{MUL} and {FOREACH}: (1−β2)g²", f"{LERP}: (1−β2)(g² − v), g² rounded",
                        f"{PRODUCTS}: (1−β2)g², rounded twice"))  # fmt: skip
    return (
        Step("stored again, v = M·2^e stays iff M − h_M ≤ a_M + (1−β2)g² ≤ M + 1/2 in units 2^e, "
             "a_M = bfloat16(β2·M); at an end iff M is even", holds_at("v stays iff M − h_M − a_M ≤ "
             "(1−β2)g² ≤ M + 1/2 − a_M", _within,
             *({"M": m, "c": 1 - b} for m in NORMAL for b in BETA2S)), "both ends, and both sides of "
             "each, at β2 = 0.9, 0.99, 0.999, 0.9999: so v rises only if g² > k_M·v, "
             "k_M = (M + 1/2 − a_M)/((1−β2)·M)"),
        Step(f"at β2 = 0.999 a_M = M: k_M = 1/(2(1−β2)M), from {float(least):.3f} at M = 255 to "
             f"{float(most):.3f} at M = 128", holds_at("k_M = 500/M", lambda p: 500 / p["M"]
             == _multiple(p["M"], DEFAULT), *({"M": m} for m in NORMAL)), "and v falls for no g²"),
        Step(f"what must exceed half a unit of v, by order of operations — {orders}",
             holds_at("the stored new v is v at the last g that does not, larger at the next", computed,
             *(p for order in NAMES for p in edges(order))), "operations in float32, every significand "
             "in two binades: v·4 and g·2 go together"),
    )  # fmt: skip


# -- the claims ------------------------------------------------------------------------------------


def _states(run: Run, p: Point, v: Average, gradients: list[Fraction]) -> list[Fraction]:
    trace = run({**p, "lambda_": ZERO}, gradients, ZERO)
    return [value.lo for value in trace.state[v.name]]


@claim("bf16-freeze", family=FAMILY, source=FOLKLORE,
       says="Storing v in bfloat16 is fine.",
       statement="At β2 = 0.999 a v > 0 stored in bfloat16 is smaller after a zero gradient.",
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
       statement="Write v = M·2^e, 128 ≤ M ≤ 255.  By mul_ and addcmul_ v rises only if g² > k_M·v, "
                 "k_M = (M + 1/2 − a_M)/((1−β2)·M), a_M = bfloat16(β2·M).  A zero gradient lowers no v "
                 "iff 1−β2 ≤ 1/512, and every normal v iff 1−β2 ≥ 1/258 (> 1/512 where β2 is rounded to "
                 "bfloat16).  At β2 = 0.999 v never falls, "
                 "k_M = 1/(2(1−β2)·M); lerp_ needs 1 + 1/(2(1−β2)·M).",
       hypotheses="Rounding to nearest, ties to even (at g² = k_M·v v stays iff M is even); no "
                  "overflow; 1−β2 < 1/2.")  # fmt: skip
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
         Step("rounding does not see the exponent", holds_at("bfloat16(2^e·M·β2) = 2^e·bfloat16(M·β2)",
              lambda p: BFLOAT16.round(p["u"] * p["M"] * DEFAULT) == p["u"]
              * BFLOAT16.round(p["M"] * DEFAULT), *({"M": m, "u": u} for m in NORMAL[::9]
              for u in (Fraction(1, 2**90), Fraction(2**90)))), "so v = M·2^e is decided by M"),
         *_without_gradient(), *_with_gradient()),
        control=holds_at("at 1−β2 = 1/511 every v stays", _stays,
                         *({"M": m, "c": Fraction(1, 511)} for m in NORMAL)),
        runs=Runs(excess, grid(g1="1 2 -1 1/2", g2="0 1 -2", **{b.name: "3/4 1/2"})),
    )  # fmt: skip
