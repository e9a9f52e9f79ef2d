"""RAdam's rectifier: where its length ρ_t comes from, how r_t grows, and from which step it is used."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .lemmas import correction_rate, times_power_vanishes
from .records import Case, Expr, Ground, Holds, Identity, Point, Run, Runs, Step
from .roles import Average, first_moment, same, second_moment
from .rule import Rule
from .sources import FOLKLORE, HERE, L20
from .symbols import alpha, eps, ge, gt, symbol, t, x

FAMILY = "relatives"
ZERO = Fraction(0)
#: The customary β2 at which the first rectified step is computed.
CUSTOMARY = Fraction(999, 1000)


@dataclass(frozen=True)
class Rectified:
    """A rule that multiplies the adaptive step by r_t where ρ_t exceeds a threshold."""

    m: Average
    v: Average
    threshold: int
    waits: bool  # up to the threshold x stands still

    @property
    def before(self) -> Expr:
        """What becomes of x up to the threshold."""
        return x if self.waits else x - alpha * self.m_hat

    @property
    def told(self) -> str:
        """The same in words."""
        return "x' = x" if self.waits else "x' = x − α·m̂_t"

    @property
    def m_hat(self) -> Expr:
        """The corrected first moment."""
        return self.m.new / (1 - self.m.beta**t)


def rho_limit(b: Expr) -> Expr:
    """Return ρ_∞ = 2/(1−β) − 1."""
    return 2 / (1 - b) - 1


def rho_at(b: Expr, k: Expr) -> Expr:
    """Return ρ_k = ρ_∞ − 2kβ^k/(1−β^k), for numbers too."""
    return rho_limit(b) - 2 * k * b**k / (1 - b**k)


def shape(r: Expr) -> Expr:
    """Return q(ρ) = (ρ−4)(ρ−2)/ρ, to which r_t² is proportional."""
    return (r - 4) * (r - 2) / r


def rectifier(b: Expr) -> Expr:
    """Return r_t = √((ρ_t−4)(ρ_t−2)ρ_∞/((ρ_∞−4)(ρ_∞−2)ρ_t))."""
    now, last = rho_at(b, t), rho_limit(b)
    return sp.sqrt((now - 4) * (now - 2) * last / ((last - 4) * (last - 2) * now))


@cache
def rectified(rule: Rule) -> Rectified | None:
    """Recognise RAdam: a branch on ρ_t > k, with r_t and β2's average behind it."""
    m, v = first_moment(rule), second_moment(rule)
    if m is None or v is None or len(rule.regimes) != 2 or len(rule.late.when) != 1:
        return None
    (condition,) = rule.late.when
    if not isinstance(condition, sp.Gt):
        return None
    above = condition.lhs - condition.rhs
    threshold = 1 - above.subs({v.beta: sp.Rational(1, 2), t: 1})  # ρ_1 = 1
    if not threshold.is_Integer or not same(rule, above, rho_at(v.beta, t) - threshold):
        return None
    return Rectified(m, v, int(threshold), rule.regimes[0].new["x"] == x)


def rises(b: Expr) -> tuple[Step, ...]:
    """ρ_t is strictly increasing, below ρ_∞, and tends to it, for 0 < β < 1."""

    def h(k: Expr) -> Expr:
        return k - (k + 1) * b + b ** (k + 1)

    gap = 2 * b**t * h(t) / ((1 - b**t) * (1 - b ** (t + 1)))
    z = symbol("z", "nonnegative")
    return (
        Step("h(t) := t − (t+1)β + β^(t+1);  h(1) = (1−β)²",
             Identity(h(sp.Integer(1)), (1 - b) ** 2), "t = 1"),
        Step("h(t+1) − h(t) = (1−β)(1−β^(t+1))",
             Identity(h(t + 1) - h(t), (1 - b) * (1 - b ** (t + 1))), "one step"),
        Step("which is > 0, so h(t) ≥ h(1) > 0", Holds(gt((1 - b) * (1 - b ** (t + 1)), 0)), "β < 1"),
        Step("ρ_(t+1) − ρ_t = 2β^t·h(t)/((1−β^t)(1−β^(t+1)))",
             Identity(rho_at(b, t + 1) - rho_at(b, t), gap), "so ρ_t is strictly increasing for β > 0"),
        Step("ρ_∞ − ρ_t = 2tβ^t/(1−β^t) ≤ 2z/(1−β), z = t·β^t",
             Holds(ge(2 * z / (1 - b), 2 * z / (1 - b**t)), (), {"z": "nonnegative"}),
             "β^t ≤ β; and it is > 0 for β > 0"),
        *times_power_vanishes(),
    )  # fmt: skip


def centre_of_mass(rule: Rule, v: Average) -> tuple[Step, ...]:
    """The mean age of the weights of v_t, and the simple moving average that has the same."""
    b, n = v.beta, symbol("n", "natural")

    def lag(k: Expr) -> Expr:
        return b * (1 - b**k) / (1 - b) - k * b**k

    return (
        Step("v_t = β2·v_(t−1) + (1−β2)·input: older weights shrink by β2, the newest is 1−β2",
             Identity(rule.late.new[v.name], b * v.old + (1 - b) * v.input), "the rule's own line"),
        Step("W_t := sum of the weights = 1−β2^t: β2·W_(t−1) + 1−β2 = W_t, W_0 = 0",
             Identity(b * (1 - b ** (t - 1)) + 1 - b, 1 - b**t), "induction on t"),
        Step("L_t := Σ weight·age = β2(1−β2^t)/(1−β2) − tβ2^t: L_t = β2·(L_(t−1) + W_(t−1)), L_1 = 0",
             Identity(b * (lag(t - 1) + 1 - b ** (t - 1)), lag(t)),
             "every age grows by 1, every weight shrinks by β2; the newest has age 0"),
        Step("ages 0 … n−1 add up to n(n−1)/2: n equal weights have the mean age (n−1)/2",
             Identity(n * (n - 1) / 2 + n, (n + 1) * n / 2, {"n": "natural"}), "induction on n"),
        Step("(ρ−1)/2 = L_t/W_t is solved by ρ_t = ρ_∞ − 2tβ2^t/(1−β2^t), ρ_∞ = 2/(1−β2) − 1",
             Identity(2 * lag(t) / (1 - b**t) + 1, rho_at(b, t)), "linear in ρ, so by it alone"),
        Step("ρ_1 = 1", Identity(rho_at(b, sp.Integer(1)), 1), "one gradient"),
    )  # fmt: skip


@claim("radam-rho", family=FAMILY, source=L20("section 4.1"),
       says="RAdam's ρ_t = ρ_∞ − 2tβ2^t/(1−β2^t) is the length of the simple moving average that "
            "the exponential one amounts to.",
       statement="The simple moving average with the mean age of v_t's weights has the length ρ_t; "
                 "ρ_1 = 1, and ρ_t increases strictly to ρ_∞ = 2/(1−β2) − 1.",
       hypotheses="0 < β2 < 1 for the increase; a length that is no whole number is meant by the "
                  "formula (ρ−1)/2 of the mean age.")  # fmt: skip
def radam_rho(rule: Rule) -> Case | None:
    """Centres of mass by induction; equal variance would be another length, which is the control."""
    found = rectified(rule)
    if found is None:
        return None
    b, name = found.v.beta, found.v.name
    condition = rule.late.when[0]
    sample_size = (1 + b) * (1 - b**t) / ((1 - b) * (1 + b**t))

    def excess(run: Run, p: Point) -> Interval:
        last, full = 3, {**p, "eps": Fraction(1)}  # 0/0 in torch's lists after a zero gradient
        spikes = [[p["g1"] * (i == k) for i in range(last)] for k in range(last)]
        weights = [run(full, spike, ZERO).state[name][last] for spike in spikes]
        total = sum(weights, Interval.of(0))
        moment = sum(((last - 1 - k) * w for k, w in enumerate(weights)), Interval.of(0))
        told: Fraction = rho_at(p[b.name], Fraction(last))
        return abs(2 * moment / total + 1 - told)

    return Case(
        (*centre_of_mass(rule, found.v),
         Step(f"the rule rectifies where ρ_t > {found.threshold}",
              Identity(condition.lhs - condition.rhs, rho_at(b, t) - found.threshold),
              "its own branch"),
         *rises(b)),
        control=Identity(rho_at(b, t), sample_size),
        runs=Runs(excess, grid(g1="1 2", beta2="1/2 3/4 9/10")),
    )  # fmt: skip


def _lines(rule: Rule, found: Rectified) -> tuple[Step, ...]:
    """What the two branches do."""
    b = found.v.beta
    adaptive = sp.sqrt(1 - b**t) / (sp.sqrt(found.v.new) + eps)
    return (
        Step(f"where ρ_t ≤ {found.threshold} the rule is {found.told}",
             Identity(rule.regimes[0].new["x"], found.before),
             "it stands still" if found.waits else "bias-corrected momentum"),
        Step(f"where ρ_t > {found.threshold} it is x' = x − r_t·α·m̂_t·√(1−β2^t)/(√v_t + ε), "
             "r_t² = q(ρ_t)/q(ρ_∞)",
             Identity(rule.late.new["x"], x - alpha * found.m_hat * rectifier(b) * adaptive,
                      {found.v.new.name: "nonnegative"}), "q(ρ) = (ρ−4)(ρ−2)/ρ"),
    )  # fmt: skip


def _grows() -> tuple[Step, ...]:
    """Above 4 q is positive and strictly increasing, so 0 < r_t < 1 grows; and r_t → 1."""
    u, d, c = symbol("u", "nonnegative"), symbol("d", "positive"), symbol("c", "unit")
    r, s = symbol("r", "unit"), symbol("s", "nonnegative")
    near, far = 4 + u, 4 + u + d
    unit, below = {"r": "unit", "c": "unit"}, {c: s / (1 + s)}
    return (
        Step("q(σ) − q(ρ) = (σ−ρ)(1 − 8/(ρσ))",
             Identity(shape(far) - shape(near), d * (1 - 8 / (near * far))), "ρ = 4+u, σ = 4+u+d"),
        Step("q(σ) > q(ρ) for σ > ρ ≥ 4", Holds(gt(shape(far), shape(near))), "ρσ > 16"),
        Step("q > 0 above 4", Holds(gt(shape(4 + d), 0)),
             "with ρ_t < ρ_(t+1) < ρ_∞: 0 < r_t < r_(t+1) < 1"),
        Step("1 − r_t² = 1 − q(ρ)/q(σ) ≤ (σ−ρ)/q(σ), ρ = ρ_t, σ = ρ_∞",
             Holds(ge(d / shape(far), 1 - shape(near) / shape(far))), "8/(ρσ) ≥ 0"),
        Step("1 − r ≤ 1 − r² for 0 ≤ r < 1", Holds(ge(1 - r**2, 1 - r), (), unit, {r: s / (1 + s)}),
             "so |1 − r_t| ≤ (ρ_∞−ρ_t)/q(ρ_∞) → 0"),
        Step("between 2 and 4 q ≤ 0: no root", Holds(ge(0, shape(2 + 2 * c)), (), unit, below),
             "ρ = 2 + 2c"),
        Step("below 2, as at ρ_1 = 1, q > 0: a root that means nothing",
             Holds(gt(shape(1 + c), 0), (), unit, below),
             "ρ = 1 + c; below 4 the variance that r_t² compares is not finite"),
    )  # fmt: skip


@claim("radam-rectifier", family=FAMILY, source=L20("section 4.2"),
       says="RAdam's r_t grows to 1.",
       statement="Wherever 4 < ρ_t, 0 < r_t < r_(t+1) < 1, and r_t → 1.",
       hypotheses="ρ_∞ > 4; 0 < β2 < 1.  At ρ_1 = 1 the formula has a real root too, which the rule "
                  "must not use.")  # fmt: skip
def radam_rectifier(rule: Rule) -> Case | None:
    """ρ_t grows, and q grows above 4; not above 2, which is the control."""
    found = rectified(rule)
    if found is None or found.threshold < 4:
        return None
    b, k = found.v.beta, found.threshold
    u, d = symbol("u", "nonnegative"), symbol("d", "positive")

    def excess(run: Run, p: Point) -> Interval:
        b1, b2, last = p[found.m.beta.name], p[b.name], 8
        if rho_at(b2, Fraction(last - 1)) <= k:
            return Interval.of(0)
        trace, seen = run(p, [p["g1"]] * last, ZERO), []
        for i in (last - 1, last):
            root = trace.state[found.v.name][i].sqrt() + p["eps"]
            m_hat = trace.state[found.m.name][i] / (1 - b1**i)
            moved = (trace.x[i - 1] - trace.x[i]) / p["alpha"]
            seen.append(moved * root / (m_hat * Interval.of(1 - b2**i).sqrt()))
        return (seen[0] - seen[1]).maximum(seen[1] - 1)

    return Case(
        (*_lines(rule, found), *rises(b), *_grows()),
        control=Holds(gt(shape(2 + u + d), shape(2 + u))),
        runs=Runs(excess, grid(g1="1 -2", beta2="15/16 7/8 3/4", beta1="1/2 3/4", alpha="1", eps="1 0")),
    )  # fmt: skip


@claim("radam-becomes-adaptive", family=FAMILY, source=FOLKLORE,
       says="After its first steps RAdam is an adaptive method.",
       statement="At step 20 a doubling of all gradients lengthens RAdam's step by less than a half, "
                 "for every β2 ≥ 1/2 (ε = 0; Adam's step stays as it is).",
       hypotheses="RAdam as momentum up to its threshold; where it waits instead, see "
                  "scale-covariance.",
       repaired_by="radam-first-step")  # fmt: skip
def radam_becomes_adaptive(rule: Rule) -> Case | None:
    """For small β2 no step is ever rectified: RAdam is then momentum for good."""
    found = rectified(rule)
    if found is None or found.waits:
        return None

    def excess(run: Run, p: Point) -> Interval:
        traces = [run(p, [c * p["g1"]] * 20, ZERO).x for c in (1, 2)]
        single, double = (abs(x[20] - x[19]) for x in traces)
        return double - single * Fraction(3, 2)

    return Case(runs=Runs(excess, grid(g1="1 2", beta2="1/2 3/4 9/10", alpha="1", eps="0")))


def first_rectified(b: Fraction, threshold: int) -> int:
    """Return the first t with ρ_t > threshold, for a β2 that has one."""
    k = 1
    while rho_at(b, Fraction(k)) <= threshold:
        k += 1
    return k


def at_most_age(b: Expr) -> tuple[Step, ...]:
    """ρ_t < t for t ≥ 2: an average that prefers the young is shorter than the plain one."""

    def k(n: Expr) -> Expr:
        return n - 1 - (n + 1) * b + b**n * (n + 1 - (n - 1) * b)

    return (
        *correction_rate(b),
        Step("t − ρ_t = k(t)/((1−β)(1−β^t)), k(t) := t−1−(t+1)β + β^t(t+1−(t−1)β)",
             Identity(t - rho_at(b, t), k(t) / ((1 - b) * (1 - b**t))), "common denominator"),
        Step("k(1) = 0 and k(t+1) − k(t) = (1−β)·h(t)",
             Identity(k(t + 1) - k(t), (1 - b) * (1 - b**t - t * b**t * (1 - b))),
             "h(t) ≥ h(1) = (1−β)² > 0, so k(t) > 0 and ρ_t < t for t ≥ 2"),
    )  # fmt: skip


@claim("radam-first-step", family=FAMILY, source=HERE,
       says="From which step RAdam adapts.",
       statement="With threshold k some step is rectified iff ρ_∞ > k, that is β2 > (k−1)/(k+1), and "
                 "then all later ones are; none is before step k+1, which is the first one at "
                 "β2 = 0.999.  Otherwise RAdam is bias-corrected momentum for every t, or stands "
                 "still for good where it waits for the threshold.",
       hypotheses="0 < β2 < 1 (at β2 = 0 ρ_t = 1 for every t).")  # fmt: skip
def radam_first_step(rule: Rule) -> Case | None:
    """ρ_t rises to ρ_∞, and stays below t."""
    found = rectified(rule)
    if found is None:
        return None
    b, k = found.v.beta, found.threshold
    least, first = sp.Rational(k - 1, k + 1), first_rectified(CUSTOMARY, k)
    exact = [rho_at(CUSTOMARY, Fraction(i)) for i in (first - 1, first)]
    before, after = (sp.Rational(v.numerator, v.denominator) for v in exact)

    def excess(run: Run, p: Point) -> Interval:
        never = p[b.name] <= Fraction(k - 1, k + 1)
        steps = 3 * k if never else k
        told = ZERO if found.waits else -p["alpha"] * p["g1"] * steps  # m̂ is a constant gradient
        return abs(run(p, [p["g1"]] * steps, ZERO).x[steps] - told)

    return Case(
        (*_lines(rule, found)[:1], *rises(b),
         Step(f"ρ_∞ − {k} = ({k + 1}·β2 − {k - 1})/(1−β2)",
              Identity(rho_limit(b) - k, ((k + 1) * b - (k - 1)) / (1 - b)),
              f"ρ_t > {k} for some t iff ρ_∞ > {k}, iff β2 > {least}"),
         *at_most_age(b),
         Step(f"at β2 = {float(CUSTOMARY)}: ρ_{first} > {k}", Ground(gt(after, k)),
              f"while ρ_{k} < {k}, so step {first} is the first rectified one"),
         Step(f"and ρ_{first - 1} ≤ {k}", Ground(ge(k, before)), "exact rationals")),
        control=Holds(gt(rho_limit(b), k), (ge(b, sp.Rational(1, 2)),)),
        runs=Runs(excess, grid(g1="1 -2", beta2="1/2 3/4 1/4", beta1="1/2 3/4", alpha="1", eps="0 1")),
    )  # fmt: skip
