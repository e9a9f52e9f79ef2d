"""Section 2, the variance of the adaptive rate at the start, and what it does to a step."""

from __future__ import annotations

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .records import Case, Ground, Holds, Identity, Point, Run, Runs, Step
from .roles import Average, Quotient, second_moment
from .rule import Rule
from .sources import L20
from .sparse import plain_adam, shifted
from .step_size import ZERO
from .symbols import alpha, beta2, eps, g, ge, gt, symbol, t

FAMILY = "step size"


def _between(rule: Rule, q: Quotient, v: Average) -> tuple[Step, ...]:
    """v_t between two multiples of N_t = Σ g_i², from the rule's own line."""
    n, s, p = symbol("N", "nonnegative"), symbol("s", "nonnegative"), symbol("P", "unit")
    domains = {"N": "nonnegative", "s": "nonnegative", "P": "unit", v.new.name: "nonnegative"}
    line, top, after = rule.late.new[v.name], (1 - beta2) * n, n + g**2
    high, low = line.xreplace({v.old: top - s}), line.xreplace({v.old: top * p + s})
    return (
        Step("v_1 = (1−β2)·g_1²", Identity(line.xreplace({v.old: sp.Integer(0)}), (1 - beta2) * g**2),
             "zero start; N_t := Σ_{i≤t} g_i²"),
        Step("v_t ≤ (1−β2)·N_t:  with v_(t−1) = (1−β2)·N_(t−1) − s",
             Holds(ge((1 - beta2) * after, high), (), domains, shifted(beta2)), "induction, s ≥ 0"),
        Step("v_t ≥ (1−β2)·β2^(t−1)·N_t:  with v_(t−1) = (1−β2)·P·N_(t−1) + s, P = β2^(t−2)",
             Holds(ge(low, (1 - beta2) * beta2 * p * after), (), domains, shifted(beta2, p)),
             "induction; t = 1 is the first line"),
        Step("at ε = 0 the rate is α·ψ_t with ψ_t² = (1−β2^t)/v_t",
             Identity(1 / q.denominator.subs(eps, 0) ** 2, (1 - beta2**t) / v.new, domains),
             "so ψ_t² is N_t^(−1) up to factors > 0 (β2 > 0): E ψ_t^p is finite iff E N_t^(−p/2) is"),
    )  # fmt: skip


def _diverges() -> tuple[Step, ...]:
    """Each dyadic shell r/2 < √N ≤ r adds as much as any other: E N^(−p/2) = ∞ for p = t."""
    names = ("a", "b", "c", "d", "f", "q", "w", "y")
    a, b, c, d, f, q, w, y = (symbol(n, "positive") for n in names)
    s, u, z = (symbol(n, "nonnegative") for n in "suz")
    domains = dict.fromkeys(names, "positive") | dict.fromkeys("suz", "nonnegative")
    return (
        Step("t = 1: the shell r/2 < |g| ≤ r has P = a·r, a ≥ f, and there 1/|g| = b/r, b ≥ 1: it adds "
             "a·b ≥ f to E ψ_1",
             Holds(ge(a * b, f), (ge(a, f), ge(b, 1)), domains, {a: f + s, b: 1 + u}),
             "f ≤ density on [−1, 1]; for each of r = 1, 1/2, 1/4, …, so E 1/|g_1| = ∞"),
        Step("ψ² = 2ψ − 1 + (ψ−1)²", Identity(y**2, 2 * y - 1 + (y - 1) ** 2, domains),
             "so E ψ_1² = ∞ too; without a mean there is no variance"),
        Step("t = 2: |g_1|, |g_2| in (q/2, q] with q = r/√2 gives N ≤ 2q² = r²",
             Holds(ge(q**2, w**2), (ge(q, w),), domains, {q: w + s}), "each square, w = |g_i|"),
        Step("and N > r²/4", Holds(gt(w**2, q**2 / 4), (gt(w, q / 2),), {**domains, "s": "positive"},
             {w: q / 2 + symbol("s", "positive")}), "each square; so the shells do not meet"),
        Step("P = a·d·r² with a, d ≥ c := f/√2, and 1/N = b/r², b ≥ 1: it adds a·d·b ≥ f²/2 to E N^(−1)",
             Holds(ge(a * d * b, c**2), (ge(a, c), ge(d, c), ge(b, 1)), domains,
                   {a: c + s, d: c + u, b: 1 + z}),
             "independent gradients; for every r, so E ψ_2² = ∞"),
    )  # fmt: skip


def _converges() -> tuple[Step, ...]:
    """For t > p the shells add up: E N^(−p/2) ≤ 1 + 2·(4F)^p·(2F)^(t−p)."""
    r, h, big = symbol("r", "positive"), symbol("h", "positive"), symbol("F", "positive")
    a, b, y, s, u = (symbol(n, "nonnegative") for n in "abysu")
    domains = dict.fromkeys(("r", "h", "F"), "positive") | dict.fromkeys("abysu", "nonnegative")
    return (
        Step("N ≤ r² needs every |g_i| ≤ r, P(|g_i| ≤ r) = a·r with a ≤ 2F; on the shell 1/√N = b/r, "
             "b ≤ 2: each of the p factors 1/√N with one of the t probabilities is a·b ≤ 4F",
             Holds(ge(4 * big, a * b), (ge(big, a / 2), ge(2, b)), domains, {big: a / 2 + s, b: 2 - u}),
             "F ≥ density on [−1, 1]; independent gradients"),
        Step("a further probability is at most 2F·r, and all others, as r ≤ 1, at most 2F",
             Holds(ge(2 * big, a * r), (ge(big, a / 2), ge(1, r)), domains, {big: a / 2 + s, r: 1 - u}),
             "t > p: so the shell adds at most (4F)^p·(2F)^(t−p)·r"),
        Step("r = 1, 1/2, …, h add to at most 2 − h; the next r is h/2, and y + h/2 ≤ 2 − h/2",
             Holds(ge(2 - h / 2, y + h / 2), (ge(2 - h, y),), domains, {y: 2 - h - s}),
             "induction from 1 = 2 − 1: never more than 2"),
        Step("E ψ² − (E ψ)² ≤ E ψ²", Holds(ge(y, y - u**2), (), domains),
             "y = E ψ², u = E ψ: with N > 1 adding at most 1, p = 1 and 2: the mean is finite from "
             "t = 2, the variance from t = 3 on"),
    )  # fmt: skip


def _yet(rule: Rule, q: Quotient) -> tuple[Step, ...]:
    """The step that the rate makes, and what ε does to the rate."""
    g1, top, y = symbol("g1"), symbol("M", "positive"), symbol("y", "nonnegative")
    s = symbol("s", "nonnegative")
    domains = {"M": "positive", "y": "nonnegative", "s": "nonnegative", "eps": "positive"}
    r = symbol("r", "nonnegative")
    move = rule.unrolled(1)["x"] - q.kept
    size = sp.Abs(g1) / (sp.Abs(g1) + eps)
    return (
        Step("yet x_1 − x_0 = −α·g_1/(|g_1|+ε), which is −α·sign(g_1) at ε = 0",
             Identity(move, -alpha * g1 / (sp.Abs(g1) + eps)), "m̂_1 = g_1; decay aside"),
        Step("never longer than α", Holds(ge(1, size)), "so its variance is at most α²"),
        Step("for ε > 0 the rate is at most α/ε",
             Holds(ge(1 / eps, 1 / (r + eps)), (), {**domains, "r": "nonnegative"}), "r = √v̂"),
        Step("a value y in [0, M] has y² ≤ M·y", Holds(ge(top * y, y**2), (ge(top, y),), domains,
             {top: y + s}), "so E ψ² ≤ M·E ψ"),
        Step("M·y − y² = M²/4 − (M/2 − y)²", Identity(top * y - y**2, top**2 / 4 - (top / 2 - y) ** 2,
             domains), "y = E ψ: the variance is at most M²/4 = 1/(4ε²), at every t"),
    )  # fmt: skip


@claim("zero-correction-step-variance", family=FAMILY, source=L20("section 3.1"),
       says="The variance of the adaptive rate is unbounded at the start.",
       statement="For independent gradients with a density between f > 0 and F on [−1, 1], as normal "
                 "ones have, ψ_t = 1/√v̂_t has E ψ_1 = ∞ (so no variance), E ψ_2 < ∞ = E ψ_2² (an "
                 "infinite variance), and a finite variance from t = 3 on; yet |x_1 − x_0| ≤ α. For "
                 "ε > 0 the variance of 1/(√v̂_t+ε) is at most 1/(4ε²) at every t.",
       hypotheses="0 < β2 < 1 (at β2 = 0 every t is as t = 1); ε = 0 in ψ_t; a weight "
                  "decay aside in x_1 − x_0.")  # fmt: skip
def zero_correction_step_variance(rule: Rule) -> Case | None:
    """v̂_t is Σ g_i² up to a factor, whose density near 0 is of order r^(t−1)."""
    q, v = plain_adam(rule), second_moment(rule)
    if q is None or v is None:
        return None
    a, b, f = (symbol(n, "positive") for n in "abf")

    def excess(run: Run, p: Point) -> Interval:
        trace, b2 = run(p, [p["g1"], p["g2"], p["g3"]], ZERO), p["beta2"]
        total = p["g1"] ** 2 + p["g2"] ** 2 + p["g3"] ** 2
        held = trace.state[v.name][3]
        outside = (held - (1 - b2) * total).maximum((1 - b2) * b2**2 * total - held)
        return outside.maximum(abs(trace.x[1] - trace.x[0]) - p["alpha"])

    return Case(
        (*_between(rule, q, v), *_diverges(), *_converges(),
         Step("a standard normal density is between F/2 and F on [−1, 1], F = 1/√(2π)",
              Ground(gt(sp.exp(-sp.Rational(1, 2)), sp.Rational(1, 2))), "e^(−x²/2) ≥ e^(−1/2) there"),
         *_yet(rule, q)),
        control=Holds(ge(a * b, 2 * f), (ge(a, f), ge(b, 1))),
        runs=Runs(excess, grid(g1="1 2 1/2", g2="1 -1", g3="1 1/2", beta2="3/4 1/2", eps="0 1",
                               alpha="1", lambda_="0")),
    )  # fmt: skip
