"""RAdam as a warmup schedule: what its first steps do, and how far r_t is from a linear warmup."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .records import Case, Every, Expr, Holds, Identity, Point, Run, Runs, Step
from .rectifier import (
    CUSTOMARY,
    FAMILY,
    ZERO,
    first_rectified,
    rectified,
    rectifier,
    rho_at,
    rho_limit,
    rises,
    shape,
)
from .rule import Rule
from .rules import named
from .sources import L20, MY21
from .symbols import ge, gt, new, symbol, t, x

#: Steps of the linear warmup at the customary β2: 2/(1−β2).
LINEAR = int(2 / (1 - CUSTOMARY))
#: Where the sum of 1 − r_t is cut off, its cells relative to t, and the resolution of a bracket.
LAST, FINENESS, PER_MILLE = 5 * LINEAR, 100, 1000


@claim("radam-is-warmup", family=FAMILY, source=L20("section 1"),
       says="RAdam fixes warmup automatically.",
       statement="The first step of RAdam is no longer than Adam's can be: |x_1 − x_0| ≤ α for every "
                 "gradient.",
       repaired_by="radam-warmup-schedule")  # fmt: skip
def radam_is_warmup(rule: Rule) -> Case | None:
    """Before the first rectified step RAdam is momentum at the full rate, unless it waits for that."""
    found = rectified(rule)
    if found is None:
        return None

    def excess(run: Run, p: Point) -> Interval:
        return abs(run(p, [p["g1"]], ZERO).x[1]) - p["alpha"]

    steps = (
        Step(f"where ρ_t ≤ {found.threshold} nothing moves", Identity(rule.regimes[0].new["x"], x),
             "its own branch"),
        Step("ρ_1 = 1, below the threshold", Identity(rho_at(found.v.beta, sp.Integer(1)), 1),
             "so x_1 = x_0"),
    ) if found.waits else ()  # fmt: skip
    return Case(steps, control=Identity(rule.late.new["x"], x) if steps else None,
                runs=Runs(excess, grid(g1="1 2 3", alpha="1 1/2", eps="0 1")))  # fmt: skip


@cache
def factor(k: int) -> Interval:
    """Return r_k at the customary β2, enclosed; 0 at steps with ρ_k ≤ 4."""
    power, last = Interval.of(CUSTOMARY).power(k), rho_limit(CUSTOMARY)
    rho = last - 2 * k * power / (1 - power)
    square = (rho - 4) * (rho - 2) / rho / shape(last)
    return square.sqrt() if rho.lo > 4 else Interval.of(0)


def linear(k: int) -> Fraction:
    """Return the linear warmup min(1, (1−β2)k/2) at the customary β2."""
    return min(Fraction(1), Fraction(k, LINEAR))


@cache
def widest(first: int) -> tuple[int, Fraction]:
    """Return a step at which r_t and the linear warmup are far apart, and how far.

    The step is found in floating point; the distance is rounded down to a multiple of 1/1000.
    """
    b, last = float(CUSTOMARY), float(rho_limit(CUSTOMARY))

    def apart(k: int) -> float:
        r: float = abs(shape(rho_at(b, k)) / shape(last)) ** 0.5
        return abs(r - k / LINEAR)

    where = max(range(first, LINEAR + 1), key=apart)
    exact = abs(factor(where) - linear(where))
    return where, Fraction(int(exact.lo * PER_MILLE), PER_MILLE)


def within(start: int, end: int) -> Interval:
    """Return a bound of |r_t − linear(t)| for start ≤ t ≤ end: both are non-decreasing."""
    return (factor(end) - linear(start)).maximum(linear(end) - factor(start))


def cells(first: int, high: Fraction) -> tuple[Point, ...]:
    """Cut the steps from first to `LINEAR` into pieces on which the bound is at most high."""
    out, start = list[Point](), first
    while start < LINEAR:
        width = LINEAR // 4
        while width > 1 and (start + width > LINEAR or within(start, start + width).hi > high):
            width //= 2
        out.append({"from": Fraction(start), "to": Fraction(start + width)})
        start += width
    return tuple(out)


def _distance(first: int) -> tuple[Step, ...]:
    """The largest |r_t − linear(t)| over the rectified steps, to 2/1000."""
    where, low = widest(first)
    high = low + Fraction(2, PER_MILLE)
    u, d = symbol("u", "nonnegative"), symbol("d", "positive")

    def beyond(p: Point) -> Interval:
        return within(int(p["from"]), int(p["to"])) - high

    def short(p: Point) -> Interval:
        return low - abs(factor(int(p["t"])) - linear(int(p["t"])))

    return (
        Step("q(σ) > q(ρ) for σ > ρ ≥ 4: r_t increases", Holds(gt(shape(4 + u + d), shape(4 + u))),
             "ρ_t does, and r_t² = q(ρ_t)/q(ρ_∞)"),
        Step(f"β2 = {float(CUSTOMARY)}: |r_t − t/{LINEAR}| ≤ {float(high)} for {first} ≤ t ≤ {LINEAR}",
             Every(f"r_to − from/{LINEAR} and to/{LINEAR} − r_from are ≤ {high}", beyond,
                   cells(first, high)),
             f"piece by piece, both being monotone; from t = {LINEAR} on 1 − r_t only falls"),
        Step(f"and ≥ {float(low)} at t = {where}, where r_t ≈ {float(factor(where)):.3f}",
             Every(f"|r_t − t/{LINEAR}| ≥ {low}", short, ({"t": Fraction(where)},)),
             "so the two schedules are that far apart"),
    )  # fmt: skip


def _moment_sum(b: Expr, k: Expr) -> Expr:
    """F(k) = β^k(k − (k−1)β)/(1−β)², which is the sum of iβ^i over i ≥ k."""
    return b**k * (k - (k - 1) * b) / (1 - b) ** 2


@cache
def period(first: int) -> tuple[Interval, Fraction]:
    """Return Σ (1 − r_t), enclosed, and Σ (1 − linear(t)) over t ≥ first at the customary β2."""
    total, k, b = Interval.of(0), first, CUSTOMARY
    while k < LAST:
        after = k + max(1, k // FINENESS)
        low, high = 1 - factor(after), 1 - factor(k)
        total, k = total + Interval(low.lo, high.hi) * (after - k), after
    power = Interval.of(b).power(k)
    kept = power * (k - (k - 1) * b) / (1 - b) ** 2  # F(k)
    tail = 2 * kept / ((1 - power) * shape(rho_limit(b)))
    plain = sum((1 - linear(i) for i in range(first, LINEAR + 1)), ZERO)
    return Interval(total.lo, (total + tail).hi), plain


def _periods(first: int, b: Expr) -> tuple[Step, ...]:
    """The quotient of the effective warmup periods Σ (1 − ω_t) of the two schedules."""
    ours, plain = period(first)
    quotient = ours / plain
    low, high = Fraction(int(quotient.lo * 100), 100), Fraction(int(quotient.hi * 100) + 1, 100)
    u, d = symbol("u", "nonnegative"), symbol("d", "positive")
    far = 4 + u + d
    return (
        Step("1 − r_t ≤ 1 − r_t² ≤ (ρ_∞−ρ_t)/q(ρ_∞)",
             Holds(ge(d / shape(far), 1 - shape(4 + u) / shape(far))), "for the sum's tail"),
        Step("F(t) − F(t+1) = tβ^t for F(t) = β^t(t−(t−1)β)/(1−β)²",
             Identity(_moment_sum(b, t) - _moment_sum(b, t + 1), t * b**t),
             "ρ_∞ − ρ_t ≤ 2tβ^t/(1−β^N) for t ≥ N, so the tail from N on is at most "
             "2F(N)/((1−β^N)q(ρ_∞)): F → 0 with tβ^t"),
        Step(f"the effective warmup period Σ (1−ω_t) is {float(low)} to {float(high)} times that of "
             f"linear warmup over {LINEAR} steps",
             Every("low ≤ quotient ≤ high",
                   lambda p: (low - quotient).maximum(quotient - high), ({},)),
             f"rectified steps t ≥ {first}, in cells on which r_t is monotone"),
    )  # fmt: skip


@claim("radam-warmup-schedule", family=FAMILY, source=MY21("section 3"),
       says="RAdam is Adam with a warmup that is fixed beforehand.",
       statement="Up to its threshold RAdam is bias-corrected momentum at the full rate α, or stands "
                 "still where it waits.  Every later "
                 "step is r_t times that of Adam with ε beside the raw root, and r_t depends on t and "
                 "β2 alone.  At β2 = 0.999 its largest distance from linear warmup over 2/(1−β2) steps, "
                 "and the quotient of their effective warmup periods, are what the derivation computes.",
       hypotheses="0 < β2 < 1; the last sentence for the rectified steps.")  # fmt: skip
def radam_warmup_schedule(rule: Rule) -> Case | None:
    """Read off the two branches; then the schedule against the linear one, in enclosures."""
    found = rectified(rule)
    if found is None:
        return None
    b, first = found.v.beta, first_rectified(CUSTOMARY, found.threshold)
    adam, names = named("adam-eps-hat"), {"exp_avg": found.m, "exp_avg_sq": found.v}
    same_state = {new(n): average.new for n, average in names.items()}
    step = adam.late.new["x"].xreplace(same_state) - x
    domains = {found.v.new.name: "nonnegative"}
    plain = rule.regimes[0].new["x"]

    def excess(run: Run, p: Point) -> Interval:
        """The first branch is linear in the gradients."""
        one, two = (run(p, [c * p["g1"], c * p["g2"]], ZERO).x[2] for c in (1, 2))
        return abs(two - 2 * one)

    return Case(
        (Step(f"the first branch is {found.told}: neither v_t nor ε nor a factor below 1",
              Identity(plain, found.before),
              "nothing moves" if found.waits else "momentum, as long as the gradients are"),
         Step("the second is x' = x + r_t·(Adam's step)",
              Identity(rule.late.new["x"] - x, rectifier(b) * step, domains),
              "r_t is written with t and β2 only: no gradient decides on the warmup"),
         *rises(b), *_distance(first), *_periods(first, b)),
        control=Identity(rule.late.new["x"] - x, sp.sqrt(rho_at(b, t) / rho_limit(b)) * step, domains),
        runs=Runs(excess, grid(g1="1 -2", g2="1/2 3", eps="0 1", beta1="1/2 3/4", beta2="3/4 15/16")),
    )  # fmt: skip
