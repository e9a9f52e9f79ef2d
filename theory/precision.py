"""Section 7, float16: what becomes of epsilon, of g² and of v when they are stored in 16 bits."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import sympy as sp

from .catalogue import claim, grid
from .floats import FLOAT16, FLOAT32, FLOAT64, ORDERS, holds_at, stored
from .interval import Interval
from .records import Case, Expr, Holds, Identity, Point, Run, Runs, Step
from .roles import second_moment
from .rule import Rule, expand
from .sources import FOLKLORE, HERE
from .symbols import DOMAINS, eps, g, ge, gt, new, old, symbol

FAMILY = "precision"
#: Half of the smallest positive float16: what is not above it rounds to 0.
TIE = FLOAT16.tiny / 2
#: Half a unit of float32 above the tie: what is not above it becomes the tie on the way.
FLOAT32_TIE = TIE + FLOAT32.spacing(TIE) / 2
EPSILON, BETA1 = Fraction(1, 10**8), Fraction(9, 10)
BETA2S = tuple(map(Fraction, ("9/10", "99/100", "999/1000", "9999/10000")))
#: Zero gradients after which every rule divides; RAdam does so once it rectifies.
SILENCES = (1, 8)


def rational(x: Fraction) -> sp.Rational:
    """Return the number as SymPy's."""
    return sp.Rational(x.numerator, x.denominator)


# -- epsilon ---------------------------------------------------------------------------------------


def denominators(rule: Rule) -> list[Expr]:
    """Return what x is divided by that epsilon keeps from 0; nothing where the quotient is clipped."""
    for line in (rule.late.new["x"], expand(rule.late.new)["x"]):
        inside = [p for c in line.atoms(sp.Min, sp.Max) for p in c.atoms(sp.Pow)]
        bases = {
            factor
            for p in line.atoms(sp.Pow) - set(inside)
            if p.exp.is_negative
            for factor in sp.Mul.make_args(p.base)
            if factor.has(eps)
        }
        if bases:
            return sorted(bases, key=str)
    return []


def _silence(run: Run, p: Point, count: int, held: Fraction) -> Interval:
    """Return how far zero gradients move x from 0, with epsilon as it is held."""
    trace = run({**p, "eps": held}, [Fraction(0)] * count, Fraction(0))
    return abs(trace.x[count])


def _no_number(run: Run, p: Point) -> Interval:
    """Return 1 where zero gradients have a result for epsilon = 1, and none for epsilon as float16."""
    for count in SILENCES:
        _silence(run, p, count, Fraction(1))
        try:
            _silence(run, p, count, FLOAT16.round(p["eps"]))
        except Exception:  # 0/0: exactly, or the NaN of a real optimizer
            return Interval.of(1)
    return Interval.of(0)


@claim("eps-fp16", family=FAMILY, source=FOLKLORE,
       says="ε = 1e-8 is fine in half precision.",
       statement="With ε = 1e-8 held in float16, a parameter that has had only zero gradients stays a "
                 "number.",
       hypotheses="The run is exact, on the real optimizer in float64, with ε rounded to float16 here; "
                  "the tests repeat it on optimizers whose tensors are float16.",
       repaired_by="eps-fp16-survives")  # fmt: skip
def eps_fp16(rule: Rule) -> Case | None:
    """ε rounds to 0, and 0/0 is no number; run with the rounded ε."""
    if not denominators(rule):
        return None
    return Case(runs=Runs(_no_number, grid(eps=str(EPSILON))))


def _vanishes(p: Point) -> bool:
    """Whether the float16 of epsilon is 0 when it should be: directly, and through float32."""
    direct = FLOAT16.round(p["eps"]) == 0
    through = FLOAT16.round(FLOAT32.round(p["eps"])) == 0
    return direct == (p["eps"] <= TIE) and through == (p["eps"] <= FLOAT32_TIE)


def _around(*numbers: Fraction) -> list[Point]:
    """Return the numbers, and their neighbours in float64."""
    return [{"eps": n + k * FLOAT64.spacing(n)} for n in numbers for k in (-1, 0, 1)]


def _at_least_epsilon(rule: Rule) -> tuple[Step, ...]:
    states = {s.name: "nonnegative" for n in rule.initial for s in (old(n), new(n))}
    for name in rule.initial:  # averages of gradients have a sign; what a root is taken of has none
        if expand(rule.late.new)[name].diff(g).subs(g, 0) != 0:
            states |= {old(name).name: "real", new(name).name: "real"}
    domains = {**DOMAINS, **rule.domains, **states}
    return tuple(
        Step(f"{d} ≥ ε", Holds(ge(d, eps), (), domains), "what it is added to is a root, or not "
             "negative: with ε > 0 a zero numerator gives 0, not 0/0") for d in denominators(rule)
    )  # fmt: skip


@claim("eps-fp16-survives", family=FAMILY, source=HERE,
       says="The smallest ε that survives in float16.",
       statement="ε > 0 rounds to 0 in float16 iff ε ≤ 2^−25, and iff ε ≤ 2^−25(1 + 2^−24) where it "
                 "becomes float32 first (torch); else it is at least 2^−24, no denominator is 0, and "
                 "zero gradients leave x = 0 alone.",
       hypotheses="Rounding to nearest, ties to even; the state is not negative where a root is taken "
                  "of it; the numerator is divided, not 1 (torch's RAdam forms √(1−β2^t)/D first, which "
                  "overflows for small D).")  # fmt: skip
def eps_fp16_survives(rule: Rule) -> Case | None:
    """The nearest multiple of 2^−24, the tie and the tie on the way; then D ≥ ε of the rule."""
    if not denominators(rule):
        return None
    e, w = symbol("e", "positive"), symbol("w", "positive")
    unit, tie, domains = rational(FLOAT16.tiny), rational(TIE), {"e": "positive", "w": "positive"}
    return Case(
        (Step("the float16 numbers next to 0 are the multiples of 2^−24",
              holds_at("number k is k·2^−24", lambda p: FLOAT16.number(int(p["k"]))
                       == p["k"] * Fraction(1, 2**24), *({"k": Fraction(k)} for k in range(4))),
              "subnormals"),
         Step("ε > 2^−25 is farther from 0 than from 2^−24: ε > 2^−24 − ε",
              Holds(gt(e, unit - e), (gt(e, tie),), domains, {e: tie + w}), "so it survives"),
         Step("ε < 2^−25 is nearer to 0", Holds(gt(unit - e, e), (gt(tie, e),), domains,
              {e: tie - w}), "so it is lost"),
         Step("at 2^−25 the tie goes to 0, which is even; through float32 so does all up to "
              "2^−25(1 + 2^−24), itself a tie", holds_at("float16(ε) = 0 iff ε ≤ 2^−25; float16("
              "float32(ε)) = 0 iff ε ≤ 2^−25(1 + 2^−24)", _vanishes, *_around(TIE, FLOAT32_TIE)),
              "at both ties and the float64 numbers on either side; rounding keeps the order"),
         Step("1e-8 is lost", holds_at("float16(ε) = 0", lambda p: FLOAT16.round(p["eps"]) == 0,
              {"eps": EPSILON}), "hence eps-fp16"),
         *_at_least_epsilon(rule)),
        control=holds_at("2^−25 survives", lambda p: FLOAT16.round(p["eps"]) > 0, {"eps": TIE}),
        runs=Runs(lambda run, p: _silence(run, p, SILENCES[-1], FLOAT16.round(p["eps"])),
                  grid(eps="1/10000 1/10000000 3/67108864")),
    )  # fmt: skip


# -- g² and v --------------------------------------------------------------------------------------


def _entered(order: str, p: Point) -> Fraction | None:
    """Return v_1 as it is stored, None for infinity."""
    try:
        return ORDERS[order](FLOAT16, Fraction(0), p["g"], p["beta2"])
    except OverflowError:
        return None


@cache
def largest(order: str, beta2: Fraction, lost: bool) -> Fraction:
    """Return the largest float16 gradient with v_1 = 0 (``lost``), or with a finite v_1."""

    def still(value: Fraction) -> bool:
        entered = _entered(order, {"g": value, "beta2": beta2})
        return entered == 0 if lost else entered is not None

    return FLOAT16.last(still)


def _edges(order: str, lost: bool) -> list[Point]:
    """Return the gradients at which v_1 begins to be positive (infinite), and their neighbours."""
    lasts = [(b, largest(order, b, lost)) for b in BETA2S]
    return [{"beta2": b, "g": value} for b, last in lasts for value in (last, FLOAT16.above(last))]


def _underflows(order: str) -> Step:
    def holds(p: Point) -> bool:
        square = stored(FLOAT16, p["g"] ** 2) if order.startswith("β") else p["g"] ** 2
        return (_entered(order, p) == 0) == ((1 - p["beta2"]) * square <= TIE)

    form = "(1−β2)·float16(g²)" if order.startswith("β") else "(1−β2)·g²"
    at = ", ".join(f"{float(largest(order, b, True)):.4g} at {float(b):g}" for b in BETA2S)
    return Step(f"computed by {order}: v_1 = 0 iff {form} ≤ 2^−25, that is for |g| up to {at}",
                holds_at(f"v_1 = 0 iff {form} ≤ 2^−25", holds, *_edges(order, True)),
                "the last gradient that is lost and the first that is not; each operation keeps the "
                "order, so the two decide for all")  # fmt: skip


def _overflows(order: str) -> Step:
    def holds(p: Point) -> bool:
        square = 1 if order.startswith("β") else 1 - p["beta2"]
        top = FLOAT16.largest + FLOAT16.spacing(FLOAT16.largest) / 2
        return (_entered(order, p) is None) == (square * p["g"] ** 2 >= top)

    form = "g²" if order.startswith("β") else "(1−β2)·g²"
    at = ", ".join(f"{float(largest(order, b, False)):.6g} at {float(b):g}" for b in BETA2S)
    return Step(f"computed by {order}: v_1 is finite iff {form} < 65520, for |g| up to {at}",
                holds_at(f"v_1 is infinite iff {form} ≥ 65520", holds, *_edges(order, False)),
                "65520 is half a unit above the largest float16 number")  # fmt: skip


@cache
def infinite_steps() -> tuple[Fraction, Fraction]:
    """Return between which gradients m_1 is not 0 and v_1 is, at the default betas."""
    first = FLOAT16.above(FLOAT16.last(lambda value: (1 - BETA1) * value <= TIE))
    return first, largest("mul_, addcmul_", BETA2S[2], True)


def _lost_steps() -> tuple[Step, ...]:
    """Return what a lost v_1 does to Adam's quotient, with m_1 and without."""
    beta2 = BETA2S[2]
    first, lost = infinite_steps()
    before = FLOAT16.number(int(first / FLOAT16.tiny) - 1)  # both are subnormal

    def holds(p: Point) -> bool:
        nothing = _entered("mul_, addcmul_", p) == FLOAT16.round(EPSILON) == 0
        survives = stored(FLOAT16, FLOAT32.round(1 - BETA1) * p["g"]) > 0
        return nothing and survives == ((1 - BETA1) * p["g"] > TIE) == bool(p["m"])

    return (
        Step(f"for |g| from {float(first):.3g} to {float(lost):.4g} at β1 = 0.9, β2 = 0.999: m_1 ≠ 0 "
             "and D = √0 + float16(1e-8) = 0", holds_at("float16((1−β1)·g) > 0 = v_1 = float16(ε), "
             "and (1−β1)·g > 2^−25", holds, *({"g": value, "beta2": beta2, "m": Fraction(1)}
             for value in (first, lost))), "a number that is not 0 over 0: Adam's first step is infinite"
             ),
        Step(f"for |g| up to {float(before):.3g} m_1 = 0 too", holds_at("float16((1−β1)·g) = 0 = v_1 = "
             "float16(ε), and (1−β1)·g ≤ 2^−25", holds, *({"g": value, "beta2": beta2, "m": Fraction(0)}
             for value in (Fraction(0), FLOAT16.tiny, before))), "0/0: it is no number"),
    )  # fmt: skip


@claim("fp16-underflow", family=FAMILY, source=HERE,
       says="What underflows first in float16 is (1−β2)·g².",
       statement="v_1 = 0 in float16 iff (1−β2)·g² ≤ 2^−25 (g² rounded, where it is formed first): for "
                 "gradients 1/√(1−β2) times as large as those whose g² underflows.  Adam's m̂/(√v̂ + ε) "
                 "at β1 = 0.9, β2 = 0.999 and ε = 1e-8 is then infinite for the gradients whose m_1 "
                 "survives, 0.1·|g| > 2^−25, and no number for smaller ones.  v_1 overflows for "
                 "(1−β2)·g² ≥ 65520 where the product begins with 1−β2, and for g² ≥ 65520 where g² is "
                 "formed first.",
       hypotheses="β2 = 0.9, 0.99, 0.999 or 0.9999; v computed in one of the orders named in the steps, "
                  "each operation in float32, then rounded to float16; for Adam's quotient by mul_ and "
                  "addcmul_.")  # fmt: skip
def fp16_underflow(rule: Rule) -> Case | None:
    """The rule's own line of v; its orders of operation at every threshold."""
    v = second_moment(rule)
    if v is None or v.input != g**2:
        return None
    b, c, h = v.beta, symbol("c", "positive"), symbol("h", "nonnegative")

    def excess(run: Run, p: Point) -> Interval:
        one = run({**p, "lambda_": Fraction(0)}, [p["g1"]], Fraction(0)).state[v.name][1]
        lost = FLOAT16.round(one.lo) == 0
        return Interval.of(Fraction(lost != ((1 - p[b.name]) * p["g1"] ** 2 <= TIE)))

    square = FLOAT16.last(lambda value: value**2 <= TIE)
    steps = tuple(_underflows(order) for order in ("mul_, addcmul_", "β·v + (1−β)·g²"))
    return Case(
        (Step("v_1 = (1−β2)·g²", Identity(rule.late.new[v.name].xreplace({v.old: sp.Integer(0)}),
              (1 - b) * g**2), "the line of the rule at v_0 = 0"),
         Step("c·g² is non-decreasing in |g|", Holds(ge(c * (h + symbol("w", "nonnegative")) ** 2,
              c * h**2), (), {"c": "positive", "h": "nonnegative", "w": "nonnegative"}),
              "so there is one threshold"),
         Step(f"g² itself is lost only for |g| up to {float(square):.4g}",
              holds_at("float16(g²) = 0 iff g² ≤ 2^−25", lambda p: (stored(FLOAT16, p["g"] ** 2) == 0)
                       == (p["g"] ** 2 <= TIE), {"g": square}, {"g": FLOAT16.above(square)}), "later"),
         *steps,
         *(_overflows(order) for order in ("mul_, addcmul_", "β·v + (1−β)·g²")),
         *_lost_steps()),
        control=holds_at("v_1 = 0 iff g² ≤ 2^−25", lambda p: (_entered("mul_, addcmul_", p) == 0)
                         == (p["g"] ** 2 <= TIE), *_edges("mul_, addcmul_", True)),
        runs=Runs(excess, grid(g1=f"1 {largest('mul_, addcmul_', BETA2S[2], True)} 1/100 1/1000",
                               **{b.name: "999/1000 3/4 1/2"})),
    )  # fmt: skip
