"""Section 4: where Adam drifts on periodic linear losses.

For every β1 < √β2 there are some on which it goes to the wrong end (slopes p, −1, …, −1, period p); on
each of them (slopes g_1, …, g_P) it goes the right way for β2 close to 1.  The slopes do not depend on
x, so neither do m and v, and they alone decide where x goes.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import sympy as sp

from .catalogue import claim, grid
from .convergence import FAMILY, ZERO, nonnegative
from .interval import Interval
from .records import Case, Expr, Ground, Holds, Identity, Point, Run, Runs, Step
from .roles import Average, Quotient, first_moment, quotient, same, second_moment
from .rule import Rule
from .sources import RKK18, ZC22
from .symbols import alpha, beta1, beta2, eps, g, ge, gt, symbol, t, x

A, p, k = symbol("A", "positive"), symbol("p", "natural"), symbol("k", "positive")
DOMAINS = {"A": "positive", "p": "natural", "k": "positive", "j": "natural"}


def plain_adam(rule: Rule) -> tuple[Average, Average, Quotient] | None:
    """Return m, v and the quotient of Adam with both moments corrected, or neither; no decay, no L2."""
    q, m, v = quotient(rule), first_moment(rule), second_moment(rule)
    if q is None or m is None or v is None or q.kept != x or m.input != g:
        return None
    bare = q.denominator.subs(eps, 0)
    inside = v.new / (1 - v.beta**t) if q.corrected else v.new
    return (m, v, q) if same(rule, bare, sp.sqrt(inside)) else None


def _move(rule: Rule, m: Average, v: Average, q: Quotient) -> Step:
    """The rule's line of x at ε = 0 and α_t = α/√t."""
    inside, above = (v.new / (1 - v.beta**t), m.new / (1 - m.beta**t)) if q.corrected else (v.new, m.new)
    moved = rule.late.new["x"].subs(alpha, alpha / sp.sqrt(t)).subs(eps, 0) - x
    return Step("x_(t+1) − x_t = (α/√t)·u_t, u_t = " + ("−m̂_t/√v̂_t" if q.corrected else "−m_t/√v_t"),
                Identity(moved, -alpha / sp.sqrt(t) * above / sp.sqrt(inside),
                         {v.new.name: "nonnegative"}), "the rule's line of x at ε = 0")  # fmt: skip


def drift_of(run: Run, rule: Rule, point: Point, slopes: list[Fraction], periods: int) -> list[Interval]:
    """Return (x_{t+1} − x_t)/√t over the last period of a run at the constant rate 1, ε = 0."""
    full = {**rule.fill(point), "alpha": Fraction(1), "eps": ZERO, "lambda_": ZERO}
    xs = run(full, slopes * periods, ZERO).x
    last = range(len(slopes) * (periods - 1) + 1, len(slopes) * periods + 1)
    return [(xs[i] - xs[i - 1]) / Interval.of(i).sqrt() for i in last]


#: What the theorem of Zhang et al. speaks of, for both claims; it is quoted, and not proved here.
_OTHER_CLASS = (
    "Zhang et al. (2022) speak of another class, quoted and not proved here: unconstrained smooth "
    "finite sums, bounded below, the mean of the squared gradients of the terms at most affine in the "
    "squared gradient of the sum; there, with β2 chosen after the problem and close enough to 1, β1 < "
    "√β2, Adam comes into a neighbourhood of critical points."
)

# -- every beta1 < sqrt(beta2): a problem on which Adam fails --------------------------------------


def _gap(beta_1: Fraction, beta_2: Fraction) -> Interval:
    """Return Z = (1−β1)√(1−β2)(1−β1/√β2)."""
    return (1 - beta_1) * Interval.of(1 - beta_2).sqrt() * (1 - beta_1 / Interval.of(beta_2).sqrt())


def period_for(beta_1: Fraction, beta_2: Fraction) -> int | None:
    """Return the period p = 6k of the losses on which Adam fails, or None unless β1 < √β2."""
    if not 0 <= beta_1**2 < beta_2 < 1:
        return None
    s = 1 / beta_2 - 1
    least = 4 / ((1 - beta_1) * _gap(beta_1, beta_2))
    return 6 * max(ceil(36 * (1 + s) / s**4), ceil(least.hi))


#: Runs longer than this are not made.
LONGEST_PERIOD = 36


@claim("adam-any-beta-fails", family=FAMILY, source=RKK18("Theorem 2"),
       says="For every β1 < √β2 there is a problem on which Adam fails.",
       statement="On [−1, 1] let f_t(x) = p·x if t mod p = 1, else −x, with p = 6k, "
                 "k ≥ 36β2³/(1−β2)⁴ and k ≥ 4/((1−β1)Z), Z = (1−β1)√(1−β2)(1−β1/√β2).  Adam tends to "
                 "+1, where each period costs 2 more than at −1: R_T/T → 2/p.",
       hypotheses="β1 < √β2 < 1, ε = 0, k a natural number, α_t = α/√t, nearest point of [−1, 1] "
                  "after each step, any x_1.  The losses are chosen after β1 and β2.  "
                  + _OTHER_CLASS)  # fmt: skip
def adam_any_beta_fails(rule: Rule) -> Case | None:
    """One large slope, forgotten by v before the period ends; all later steps are small and upwards."""
    parts = plain_adam(rule)
    if parts is None:
        return None
    m, v, q = parts

    def excess(run: Run, p: Point) -> Interval:
        period = period_for(p["beta1"], p["beta2"])
        if period is None or period > LONGEST_PERIOD:
            return Interval.of(-1)
        slopes = [Fraction(period)] + [Fraction(-1)] * (period - 1)
        climbed = sum(drift_of(run, rule, p, slopes, 2), Interval.of(0))
        return 4 / (_gap(p["beta1"], p["beta2"]) * Interval.of(period + 1).sqrt()) - climbed

    steps = (_move(rule, m, v, q), *_followed(rule, m, v), *_spike_part(), *_up(q), *_down(),
             *_forgotten(), *_a_period_climbs(), *_stays_near_the_top(), *_regret())  # fmt: skip
    runs = Runs(excess, grid(beta1="0 1/32", beta2="1/4 1/16"))
    return Case(steps, control=_without_forgetting(), runs=runs)


def _followed(rule: Rule, m: Average, v: Average) -> tuple[Step, ...]:
    """m_t = −(1−β1^t) + (A+1)e_t and v_t = 1−β2^t + (A²−1)f_t, from the rule's lines."""
    e, f = symbol("e"), symbol("f")
    first, second = rule.late.new[m.name], rule.late.new[v.name]

    def low(n: Expr, part: Expr) -> Expr:
        return -(1 - beta1**n) + (A + 1) * part

    def size(n: Expr, part: Expr) -> Expr:
        return 1 - beta2**n + (A**2 - 1) * part

    out = []
    for slope, gain, name in ((sp.Integer(-1), 0, "−1"), (A, 1, "A")):
        out += [
            Step(f"the slope {name}: m_t = −(1−β1^t) + (A+1)·e_t with e_t = β1·e_(t−1)"
                 + (" + 1−β1" if gain else ""),
                 Identity(first.xreplace({m.old: low(t, e), g: slope}),
                          low(t + 1, beta1 * e + gain * (1 - beta1)), DOMAINS),
                 "the rule's line for m; e_t is what the large slopes have left"),
            Step(f"the slope {name}: v_t = 1−β2^t + (A²−1)·f_t with f_t = β2·f_(t−1)"
                 + (" + 1−β2" if gain else ""),
                 Identity(second.xreplace({v.old: size(t, f), g: slope}),
                          size(t + 1, beta2 * f + gain * (1 - beta2)), DOMAINS),
                 "the rule's line for v"),
        ]  # fmt: skip
    return tuple(out)


def _spike_part() -> tuple[Step, ...]:
    """(1−β)β^{j−1} <= e_j <= β^{j−1} at the j-th slope of a period, for either β."""
    j = symbol("j", "natural")
    (e, w), domains = nonnegative("e", "w")
    b = beta1

    def top(place: Expr) -> Expr:
        return (1 - b) * b ** (place - 1) / (1 - b**p)

    return (
        Step("top_j := (1−β)β^(j−1)/(1−β^p) falls by β at a slope −1",
             Identity(b * top(j), top(j + 1), DOMAINS), "as e_j does"),
        Step("and the large slope takes top_p to top_1",
             Identity(b * top(p) + (1 - b), top(sp.Integer(1)), DOMAINS),
             "so e_j ≤ top_j in every period: e_1 = 1−β in the first"),
        Step("1−β ≤ 1−β^p, so top_j ≤ β^(j−1)",
             Holds(ge(1 - b * (1 - w), 1 - b), (), {**DOMAINS, **domains}),
             "β^p = β·β^(p−1) = β·(1−w); so e_j ≤ β^(j−1)"),
        Step("e_1 ≥ 1−β, so e_j ≥ (1−β)β^(j−1)",
             Holds(ge(b * e + (1 - b), 1 - b), (), {**DOMAINS, **domains}),
             "the newest large slope alone; f_j likewise, with β2"),
    )  # fmt: skip


def _up(q: Quotient) -> tuple[Step, ...]:
    """Bounds of a step's numerator and of the square under it, for either order of correction.

    N_t is 1−β1^t, or 1−β2^t, where the rule corrects, and 1 else.  a stands for A²−1.
    """
    (d, e, h, r, s, w, a, y), domains = nonnegative("d", "e", "h", "r", "s", "w", "a", "y")
    c, low = symbol("c", "positive"), symbol("l", "nonnegative")
    domains |= {"c": "positive", "l": "nonnegative", "A": "positive"}
    most = ge((e + d) / c, e / (c + h)) if q.corrected else ge((e + d) * (1 + s), e)
    return (
        Step("e_t/N_t ≤ y/(1−β1) with y = β1^(j−1), and f_t/N_t ≤ y/(1−β2) with y = β2^(j−1)",
             Holds(most, (), domains), "e_t = e, y = e + d; 1−β = c, N_t = c + h" if q.corrected else
             "N_t = 1: e_t = e, y = e + d, 1−β = 1/(1+s)"),
        Step("so −m_t/N_t ≥ (1−β1) − (A+1)·y/(1−β1), y = β1^(j−1)",
             Holds(ge((c + h) - (A + 1) * (y - w), c - (A + 1) * y), (), domains),
             "its first term is 1 or 1−β1^t, which is c + h; here y is over 1−β1, and w is spare"),
        Step("v_t/N_t ≤ 1 + A²·y/(1−β2), y = β2^(j−1)",
             Holds(ge(1 + (a + 1) * y, (1 - r) + a * (y - w)), (), domains),
             "its first term is 1 or 1−β2^t, which is 1 − r; a = A²−1, y over 1−β2"),
        Step("v_t/N_t ≥ (A²−1)(1−β2)·β2^(j−1)",
             Holds(ge(r + a * (low + w), a * low), (), domains),
             "N_t ≤ 1, and f_t ≥ (1−β2)β2^(j−1), which is l"),
    )  # fmt: skip


def _down() -> tuple[Step, ...]:
    """The downward part of a step is at most K γ^{j−1}; in a period they add up to K/(1−γ)."""
    j, (s, total), domains = symbol("j", "natural"), *nonnegative("s", "Σ")
    ratio = symbol("γ", "unit")
    pull = ((A + 1) * beta1 ** (j - 1) / (1 - beta1)) ** 2
    under = (A**2 - 1) * (1 - beta2) * beta2 ** (j - 1)
    power = (beta1**2) ** (j - 1) / beta2 ** (j - 1)  # γ^{2(j−1)}
    return (
        Step("((A+1)β1^(j−1)/(1−β1))² / v_t = (A+1)/(A−1)·γ^(2(j−1))/((1−β1)²(1−β2)) at the least v_t, "
             "γ = β1/√β2",
             Identity(pull / under,
                      (A + 1) / (A - 1) * power / ((1 - beta1) ** 2 * (1 - beta2)), DOMAINS),
             "what pulls down, squared; the other part, (1−β1)/√v̂_t, is never negative"),
        Step("(A+1)/(A−1) ≤ 3 for A ≥ 2", Holds(ge(3, (A + 1) / (A - 1)), (ge(A, 2),),
             {**DOMAINS, **domains}, {A: 2 + s}),
             "so u_t ≥ −K·γ^(j−1), K = √3/((1−β1)√(1−β2))"),
        Step("Σ ≤ 1/(1−γ) gives 1 + γ·Σ ≤ 1/(1−γ)",
             Holds(ge(1 / (1 - ratio), 1 + ratio * (1 / (1 - ratio) - total)), (),
                   {**domains, "γ": "unit"}, {ratio: s / (1 + s)}),
             "Σ is 1/(1−γ) less what is spared: the downward parts of a period add up to at most "
             "√3/Z, at rates of at most α/√n, n its first step"),
    )  # fmt: skip


def _forgotten() -> tuple[Step, ...]:
    """v̂_t ≤ 2 in the second half of a period: β2^{3k} (6k)² ≤ 1 − β2, with β2 = 1/(1+s)."""
    s, power = symbol("s", "positive"), symbol("q", "positive")
    (e, i), domains = nonnegative("e", "i")
    domains |= {"s": "positive", "q": "positive", "k": "positive"}
    spare = k**2 / s * (k * s**4 - 36 * (1 + s))
    return (
        Step("(1+s)^i ≥ 1 + i·s gives (1+s)^(i+1) ≥ 1 + (i+1)·s",
             Holds(ge((1 + s) * (1 + i * s + e), 1 + (i + 1) * s), (), domains),
             "Bernoulli's inequality by induction, (1+s)^i = 1 + i·s + e; at i = 1 an equality"),
        Step("(1+s)^(3k) ≥ (k·s)³",
             Holds(ge(power**3, (k * s) ** 3), (ge(power, 1 + k * s),), domains,
                   {power: 1 + k * s + e}), "q = (1+s)^k, 1+s = 1/β2"),
        Step("(k·s)³ − 36k²(1+s)/s = k²/s·(k·s⁴ − 36(1+s))",
             Identity((k * s) ** 3 - 36 * k**2 * (1 + s) / s, spare, domains),
             "k ≥ 36(1+s)/s⁴ = 36β2³/(1−β2)⁴ makes it ≥ 0"),
        Step("so A²·β2^(j−1)/(1−β2) ≤ 1 for j > 3k, with A = p = 6k: v_t/N_t ≤ 2",
             Holds(ge(1, 36 * k**2 * (1 + s) / s / (36 * k**2 * (1 + s) / s + e)), (), domains),
             "β2^(j−1) ≤ β2^(3k) ≤ 1/(k·s)³, and 1/(1−β2) = (1+s)/s"),
    )  # fmt: skip


def _a_period_climbs() -> tuple[Step, ...]:
    (c, i, e), domains = nonnegative("c", "i", "e")
    n, z = symbol("n", "positive"), symbol("Z", "positive")
    domains |= {"n": "positive", "Z": "positive", "k": "positive"}
    rate = (c / sp.sqrt(2)) / sp.sqrt(2 * n)
    return (
        Step("n + i ≤ 2n for i < p < n: from the second period on no rate is below α/√(2n)",
             Holds(ge(2 * n, n + i), (ge(n, i),), domains, {n: i + e}), "n is the period's first step"),
        Step("3k steps of at least (1−β1)/√2 at rates of at least α/√(2n): 3k(1−β1)/2·α/√n",
             Identity(3 * k * rate, 3 * k * c / 2 / sp.sqrt(n), domains), "c = 1−β1; v_t/N_t ≤ 2"),
        Step("3k(1−β1)/2 − √3/Z ≥ (6−√3)/Z where k(1−β1)Z ≥ 4",
             Holds(ge(3 * ((4 + e) / z) / 2 - sp.sqrt(3) / z, (6 - sp.sqrt(3)) / z), (), domains),
             "k(1−β1) = (4+e)/Z"),
        Step("2² > 3: √3 < 2 and 6 − √3 > 4", Ground(gt(sp.Integer(2) ** 2, sp.Integer(3))),
             "so a period that does not meet +1 ends higher by at least 4α/(Z√n); the clamp at −1 "
             "only raises x"),
    )  # fmt: skip


def _stays_near_the_top() -> tuple[Step, ...]:
    """With L_n = √3 α/(Z√n), the most that a period takes down."""
    (i, e), domains = nonnegative("i", "e")
    n = symbol("n", "positive")
    domains |= {"n": "positive"}
    root, later = sp.sqrt(n), sp.sqrt(n + p)
    return (
        Step("p − 2√n(√(n+p) − √n) = (√(n+p) − √n)²",
             Identity(p - 2 * root * (later - root), (later - root) ** 2, {**DOMAINS, "n": "positive"}),
             "1/√n ≥ (2/p)(√(n+p) − √n): the climbs have no finite sum, so some period meets +1"),
        Step("4n ≥ n + i for i ≤ n: 2L_(n+p) ≥ L_n",
             Holds(ge(4 * n, n + i), (ge(n, i),), domains, {n: i + e}),
             "after +1 is met a period takes down at most L_n, and ends at or above 1 − L_n ≥ "
             "1 − 2L_(n+p)"),
        Step("4² > (2√3)²", Ground(gt(sp.Integer(4) ** 2, (2 * sp.sqrt(3)) ** 2)),
             "from 1 − 2L_n a climb of 4α/(Z√n) would lead beyond 1: so the next period meets +1 too, "
             "and x never falls below 1 − 3L_n again"),
    )  # fmt: skip


def _regret() -> tuple[Step, ...]:
    (low,), domains = nonnegative("L")
    j = symbol("j", "natural")
    return (
        Step("the first j slopes of a period add up to p − (j−1) > 0",
             Holds(gt(p - (j - 1), 0), (ge(p, j),), {**DOMAINS, **domains}, {p: j + low}),
             "j ≤ p, and 1 for a whole period: −1 is the best fixed point"),
        Step("a period costs at least p(2−3L) − 2(p−1) = 2 − 3p·L more than at −1",
             Identity(p * (2 - 3 * low) - (p - 1) * 2, 2 - 3 * p * low, {**DOMAINS, **domains}),
             "1 − 3L ≤ x_t ≤ 1; L → 0, so R_T/T tends to 2/p"),
    )  # fmt: skip


def _without_forgetting() -> Holds:
    """The spike is forgotten in half a period, whatever its length."""
    s = symbol("s", "positive")
    return Holds(ge((k * s) ** 3, 36 * k**2 * (1 + s) / s), (), {"k": "positive", "s": "positive"})


# -- one problem, beta2 close to 1 -----------------------------------------------------------------


@claim("adam-large-beta2", family=FAMILY,
       source=ZC22("the theorem on convergence for β2 close to 1, on another class of problems"),
       says="Given the problem, a β2 close enough to 1 makes Adam go the right way.",
       statement="Slopes of period P, S their sum, G the largest |g|, Q > 0 the mean of g²: on the "
                 "orbit of m and v, |√Q·Σ m_t/√v_t − S| < δ over a period if 1−β2 < min(δ/(2P²G), "
                 "1/(2P)).  So for 1−β2 < |S|/(2P²G) the drift is downhill.",
       hypotheses="linear losses with periodic slopes; ε = 0; every β1; δ > 0 (S ≠ 0 for the drift); β2 "
                  "is chosen after the slopes.  " + _OTHER_CLASS)  # fmt: skip
def adam_large_beta2(rule: Rule) -> Case | None:
    """Within a period v changes by a factor of at most β2^P, so Σ m/√v is nearly Σ m, which is S."""
    parts = plain_adam(rule)
    if parts is None:
        return None
    m, v, q = parts

    def excess(run: Run, p: Point) -> Interval:
        slopes = [p["g1"], p["g2"]]
        total, largest = sum(slopes, ZERO), max(map(abs, slopes))
        near = 1 - p["beta2"] >= abs(total) / (32 * largest)  # four times closer: the orbit is not
        if near or p["beta1"] > Fraction(1, 2):  # yet reached
            return Interval.of(-1)
        return sum(drift_of(run, rule, p, slopes, 20), Interval.of(0)) * (1 if total > 0 else -1)

    steps = (_move(rule, m, v, q), *_orbit(rule, m, v), *_nearly_constant(rule, v), *_drift())
    runs = Runs(excess, grid(g1="2 -2", g2="-1 1", beta1="1/2", beta2="127/128"))
    return Case(steps, control=_not_close(), runs=runs)


def _orbit(rule: Rule, m: Average, v: Average) -> tuple[Step, ...]:
    (c, e), domains = nonnegative("c", "e")
    total, mean, gap = symbol("S"), symbol("Q", "positive"), symbol("δ")
    all_m, mean_v, most = symbol("M"), symbol("V"), symbol("G", "positive")
    domains |= {"Q": "positive", "G": "positive"}
    first, second = rule.late.new[m.name], rule.late.new[v.name]

    def at(line: Expr, old: Expr, slope: Expr, value: Expr) -> Expr:
        return line.xreplace({old: value, g: slope})

    return (
        Step("a distance δ of m from its orbit becomes β1·δ",
             Identity(at(first, m.old, g, m.old + gap) - first, beta1 * gap), "linear; β1^t → 0"),
        Step("and one of v becomes β2·δ",
             Identity(at(second, v.old, g, v.old + gap) - second, beta2 * gap),
             "so from every start m and v approach the orbit, and 1−β^t approaches 1"),
        Step("summed over a period, the line for m is β1·M + (1−β1)·S; less M: (1−β1)(S − M)",
             Identity(at(first, m.old, total, all_m) - all_m, (1 - beta1) * (total - all_m)),
             "on the orbit the sum M returns: M = S"),
        Step("and the mean of v, V, returns: V = Q",
             Identity(at(second, v.old, sp.sqrt(mean), mean_v) - mean_v, (1 - beta2) * (mean - mean_v),
                      domains), "the line for v is linear in v and g²; Q is the mean of g²"),
        Step("m_t ≤ G (and −m_t ≤ G)",
             Identity(most - at(first, m.old, most - e, most - c), beta1 * c + (1 - beta1) * e, domains),
             "an average of slopes"),
    )  # fmt: skip


def _nearly_constant(rule: Rule, v: Average) -> tuple[Step, ...]:
    (b, c, e, n), domains = nonnegative("b", "c", "e", "n")
    mean, second = symbol("Q", "positive"), rule.late.new[v.name]
    domains |= {"Q": "positive"}
    return (
        Step("v_t ≥ β2·v_(t−1)", Holds(ge(second, beta2 * v.old)),
             "so going round, any two of a period have v_i ≥ β2^P·v_j"),
        Step("v_i ≥ β2^P·max v and max v ≥ Q give v_i ≥ β2^P·Q (likewise v_i ≤ Q/β2^P)",
             Holds(ge(b * (mean + c) + e, b * mean), (), domains), "a mean lies between the extremes"),
        Step("β2^n ≥ 1 − n(1−β2) gives the same at n + 1",
             Identity(beta2 * (1 - n * (1 - beta2) + c) - (1 - (n + 1) * (1 - beta2)),
                      n * (1 - beta2) ** 2 + beta2 * c, domains),
             "Bernoulli; what is left is ≥ 0, and n = 1 is an equality"),
    )  # fmt: skip


def _drift() -> tuple[Step, ...]:
    (c, d, e), domains = nonnegative("c", "d", "e")
    rho, most, far = symbol("ρ", "positive"), symbol("G", "positive"), symbol("δ", "positive")
    less, total = symbol("f", "positive"), symbol("S", "positive")
    domains |= dict.fromkeys("ρGδfS", "positive") | {"p": "natural"}
    part = 1 / (2 + c)  # P(1−β2) ≤ 1/2
    near = 2 * p**2 * most
    return (
        Step("with ρ = β2^P, r = √(Q/v_t) is in [ρ, 1/ρ]; where r = 1 + e:  |m·r − m| ≤ G(1/ρ − 1)",
             Holds(ge((most + c) * (e + d), most * e), (), domains),
             "√ρ ≥ ρ; |m| is written G and its bound G + c; 1/ρ − 1 = e + d"),
        Step("where r = 1 − e, e ≤ 1 − ρ ≤ 1/ρ − 1", Identity((1 / rho - 1) - (1 - rho),
             (1 - rho) ** 2 / rho, domains), "the same bound"),
        Step("1/ρ − 1 ≤ 2P(1−β2) if P(1−β2) ≤ 1/2",
             Holds(ge(2 * part, 1 / (1 - part + d) - 1), (), domains),
             "P(1−β2) = 1/(2+c), ρ = 1 − P(1−β2) + d"),
        Step("P terms: |√Q·Σ m_t/√v_t − Σ m_t| ≤ P·G·2P(1−β2) < δ",
             Holds(gt(far, near * (far / near - less)), (), domains), "1−β2 = δ/(2P²G) − f"),
        Step("|S| ≤ P·G, so δ = |S| asks for no more than 1−β2 < 1/(2P)",
             Holds(ge(1 / (2 * p), total / (2 * p**2 * ((total + c) / p))), (), domains),
             "G = (|S| + c)/P; then √Q·Σ m_t/√v_t has the sign of S: downhill"),
    )  # fmt: skip


def _not_close() -> Holds:
    """The bound of 1/ρ − 1 without P(1−β2) ≤ 1/2."""
    part = symbol("c", "positive")
    return Holds(ge(2 * part, 1 / (1 - part) - 1), (gt(1, part),), {"c": "positive"})
