"""Section 4: the regret of AMSGrad with β1t that changes: the theorem of Reddi et al., corrected."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import sympy as sp

from .amsgrad import adam_gamma_indefinite, maximum
from .catalogue import claim
from .convergence import FAMILY, nonnegative, scheduled_line, telescoped
from .interval import Interval
from .records import Case, Holds, Identity, Point, Run, Runs, Step, Trace
from .regret import (
    SLOPES,
    WIDTH,
    bounded_denominator,
    corrects,
    in_full,
    keeps_maximum,
    least_square,
    linear_regret,
    one_step,
    played,
    sum_of_rates,
    watch,
)
from .roles import Quotient, first_moment, second_moment
from .rule import Rule
from .sources import TP19
from .symbols import alpha, beta1, beta2, eps, g, ge, symbol, t, x


@claim("amsgrad-regret-schedule", family=FAMILY, source=TP19("section 1, Theorem A, which is Theorem 4 "
                                                             "of Reddi et al."),
       says="AMSGrad's regret bound with β1t: R_T ≤ Δ²√T·D_T/(α(1−β1)) + Δ²/(2(1−β1))·Σ β1t·√t·D_t/α + "
            "α√(1+ln T)·‖g_{1:T}‖_2/((1−β1)²(1−γ)√(1−β2)), corrected.",
       statement="For any β1t in [0, β1]: R_T ≤ Δ²√T·D_T/(2α) + Δ²/(1−β1)·Σ β1t·√t·D_t/α + "
                 "α(1+β1)√H_T·‖g_{1:T}‖_2/(2(1−β1)^{3/2}√((1−β2)(1−γ²))), H_T = Σ 1/t ≤ 1 + k for "
                 "T ≤ 2^k, γ = β1/√β2.  If |g_t| ≤ G then D_t ≤ G+ε, and the last term may be replaced "
                 "by α(1+β1)G√T/((1−β1)√((1−β2)(1−γ²))): no logarithm; for β1t = β1/t the sum is then "
                 "at most 2β1(G+ε)√T/α, and the bound O(√T).",
       hypotheses="convex f_t, an interval of width Δ, α_t = α/√t, nearest point after each step; "
                  "β1² < β2; D_t > 0; no bias correction.  Not decided: whether the bound of Reddi et "
                  "al., whose proof fails (amsgrad-proof-gap), is true as it stands; what is proved has "
                  "(1−β1)/2 of its first term, twice its second, and less than its third, with H_T for "
                  "1 + ln T.")  # fmt: skip
def amsgrad_regret_schedule(rule: Rule) -> Case | None:
    """The coefficient 1/(1−β1t) = 1 + β1t/(1−β1t) is taken apart before anything telescopes."""
    q, gamma = keeps_maximum(rule), adam_gamma_indefinite(rule)
    if q is None or gamma is None or q.corrected or corrects(rule, q):
        return None

    def excess(run: Run, p: Point) -> Interval:
        if p["beta1"] ** 2 >= p["beta2"]:
            return Interval.of(-1)
        gradients, trace, full = watch(run, rule, p)
        regret = linear_regret(gradients, played(trace))
        told = [scheduled_bound(rule, full, gradients, trace, bounded=b) for b in (False, True)]
        return (regret - told[0]).maximum(regret - told[1])

    steps = (scheduled_line(rule, q), *gamma.steps, *one_step(), *telescoped(), *_taken_apart(rule),
             *_moves_in_sum(rule, q), *_harmonic(), *_against_theirs(), *_of_bounded_slopes(rule, q),
             *bounded_denominator(rule, q), *sum_of_rates()[:1])  # fmt: skip
    return Case(steps, control=_not_apart(), runs=Runs(excess, SLOPES))


def scheduled_bound(
    rule: Rule, p: Point, gradients: Sequence[Fraction], trace: Trace, *, bounded: bool
) -> Interval:
    """Return that bound on [-1, 1] for β1t = β1, with the D_t of a run; ``bounded``: with G instead."""
    u, b1, b2, a = maximum(rule), p["beta1"], p["beta2"], p["alpha"]
    assert u is not None
    last, most = len(gradients), max(map(abs, gradients))
    roots = [trace.state[u][k].sqrt() + p["eps"] for k in range(1, last + 1)]
    if bounded:
        roots = [Interval.of(most + p["eps"])] * last
    weights = [Interval.of(k).sqrt() * d / a for k, d in enumerate(roots, start=1)]
    squares = sum(k**2 for k in gradients) * sum(Fraction(1, k) for k in range(1, last + 1))
    squares = 4 * most**2 * last * (1 - b1) if bounded else squares
    below = (1 - b1) ** 3 * (1 - b2) * (1 - b1**2 / b2)
    third = Interval.of(squares / below).sqrt() * (a * (1 + b1) / 2)
    second = sum(weights, Interval.of(0)) * (b1 * WIDTH**2 / (1 - b1))
    return weights[-1] * (WIDTH**2 / 2) + second + third


def _taken_apart(rule: Rule) -> tuple[Step, ...]:
    m = first_moment(rule)
    assert m is not None
    z, moment, b = symbol("z"), symbol("m"), symbol("b", "unit")
    (c, e, w, to), domains = nonnegative("c", "e", "w", "a'")
    most, y, weight = symbol("A", "positive"), symbol("y", "positive"), symbol("W", "positive")
    domains |= {"A": "positive", "y": "positive", "W": "positive", "b": "unit"}
    line = rule.late.new[m.name].subs(m.beta, b)
    here = most - c
    return (
        Step("(1−b)·g_t·(x_t−x*) = m_t·(x_t−x*) − b·m_(t−1)·(x_t−x*), b = β1t",
             Identity((1 - b) * g * (x - z), line * (x - z) - b * m.old * (x - z), domains),
             "the rule's line for m"),
        Step("m²/(2w) + w(x−x*)²/2 + m(x−x*) = (m + w(x−x*))²/(2w)",
             Identity(moment**2 / (2 * weight) + weight * (x - z) ** 2 / 2 + moment * (x - z),
                      (moment + weight * (x - z)) ** 2 / (2 * weight), domains),
             "Young: −m_(t−1)(x_t−x*) ≤ m_(t−1)²/(2w_(t−1)) + w_t(x_t−x*)²/2, w = w_(t−1) ≤ w_t"),
        Step("w(a−a')/(2(1−b)) = w(a−a')/2 + b·w(a−a')/(2(1−b)), a = (x_t−x*)², a' = (x_(t+1)−x*)²",
             Identity(w * (here - to) / (2 * (1 - b)),
                      w * (here - to) / 2 + b * w * (here - to) / (2 * (1 - b)), domains),
             "the first part telescopes, whatever β1t does"),
        Step("b·w(a−a')/(2(1−b)) ≤ b·w·Δ²/(2(1−β1))",
             Holds(ge(b * w * most / (2 * y), b * w * (here - to) / (2 * (y + e))), (), domains),
             "1−β1 = y, 1−b = y + e, a = Δ² − c, A = Δ²"),
        Step("and so is b·w·a/(2(1−b)): together Δ²/(1−β1)·Σ β1t·w_t",
             Holds(ge(b * w * most / (2 * y), b * w * here / (2 * (y + e))), (), domains),
             "the part of Young's inequality in (x_t−x*)²"),
        Step("m_t²/(2(1−b)w_t) + b·m_(t−1)²/(2(1−b)w_(t−1)): at most (1+β1)/(2(1−β1))·Σ m_t²/w_t",
             Holds(ge((w + (b + e) * to) / (2 * y), (w + b * to) / (2 * (y + c))), (), domains),
             "w and a' stand for the two sums, the second the shorter one; β1 = b + e"),
    )  # fmt: skip


def _not_apart() -> Holds:
    """The step that Tran & Phong object to: 1/(1−β1t) replaced by 1/(1−β1) under w(a − a')."""
    (e, w, here, to), domains = nonnegative("e", "w", "a", "a'")
    y = symbol("y", "positive")
    return Holds(ge(w * (here - to) / (2 * y), w * (here - to) / (2 * (y + e))), (),
                 {**domains, "y": "positive"})  # fmt: skip


def _moves_in_sum(rule: Rule, q: Quotient) -> tuple[Step, ...]:
    """Σ m_t²/w_t for β1t ≤ β1: m_t² ≤ K v_t, Σ m_t² ≤ Σ g_t²/(1−β1), and Cauchy–Schwarz."""
    m, v = first_moment(rule), second_moment(rule)
    assert m is not None
    assert v is not None
    b, gam = symbol("b", "unit"), symbol("γ", "unit")
    (a, n, k, e, f, s), domains = nonnegative("a", "n", "k", "e", "f", "s")
    y = symbol("y", "positive")
    domains |= {"b": "unit", "γ": "unit", "y": "positive"}
    line, square = rule.late.new[m.name].subs(m.beta, b), rule.late.new[v.name]
    held = 1 / ((1 - beta2) * (1 - gam**2))
    alone = {m.old: sp.Abs(m.old), g: sp.Abs(g)}
    d, power, extra = in_full(rule, q)
    return (
        Step("with K = 1/((1−β2)(1−γ²)):  K·v_t = β2·K·v_(t−1) + g²/(1−γ²)",
             Identity(held * square, beta2 * held * v.old + g**2 / (1 - gam**2), domains),
             "the rule's line for v"),
        Step("|m_t| ≤ b|m_(t−1)| + (1−b)|g|: the squares differ by 2b(1−b)(|m·g| − m·g)",
             Identity(line.xreplace(alone) ** 2 - line**2,
                      2 * b * (1 - b) * (sp.Abs(m.old) * sp.Abs(g) - m.old * g), domains),
             "the rule's line for m"),
        Step("|m|·|g| ≥ m·g", Holds(ge(sp.Abs(m.old) * sp.Abs(g), m.old * g)), "signs"),
        Step("b|m| + (1−b)|g| ≤ γ·n + |g| with n = √β2·|m| and b = k·√β2, k ≤ γ",
             Holds(ge((k + e) * n + a, k * n + (1 / (1 + f)) * a), (), domains),
             "k = β1t/√β2, γ = k + e, 1−b = 1/(1+f)"),
        Step("n² + a²/(1−γ²) − (γ·n + a)² = ((1−γ²)n − γ·a)²/(1−γ²)",
             Identity(n**2 + a**2 / (1 - gam**2) - (gam * n + a) ** 2,
                      ((1 - gam**2) * n - gam * a) ** 2 / (1 - gam**2), domains),
             "n² ≤ β2·K·v_(t−1) by induction, a = |g|: so m_t² ≤ K·v_t"),
        Step("D_t ≥ √v_t, so m_t²/w_t ≤ α·√K·|m_t|/√t",
             Holds(ge(d, sp.sqrt(least_square(rule, q)).subs(power)), (), extra),
             "the maximum is at least its newest argument"),
        Step("b·m² + (1−b)·g² − m_t² = b(1−b)(m−g)²",
             Identity(b * m.old**2 + (1 - b) * g**2 - line**2, b * (1 - b) * (m.old - g) ** 2, domains),
             "so m_t² ≤ β1·m_(t−1)² + g_t²"),
        Step("S + β1/(1−β1)·m² ≤ Q/(1−β1) is kept: S = Σ m_t², Q = Σ g_t²",
             Identity(s + n + (1 - y) / y * n + (((1 - y) * k + a - n) / y),
                      s + (1 - y) / y * k + a / y, domains),
             "y = 1−β1, n = m_t², k = m_(t−1)², a = g_t²; what is added is ≥ 0: Σ m_t² ≤ Q/(1−β1)"),
        Step("(H + r²)(S + a²) − (√H·√S + a·r)² = (√H·a − r·√S)²",
             Identity((n**2 + k**2) * (s**2 + a**2) - (n * s + a * k) ** 2, (n * a - k * s) ** 2,
                      domains), "n = √H, k = r: Σ |m_t|/√t ≤ √(H_T·Σ m_t²), as in adam-proof-lemma"),
    )  # fmt: skip


def _harmonic() -> tuple[Step, ...]:
    """H_T ≤ 1 + k for T ≤ 2^k."""
    n, (i,), domains = symbol("n", "natural"), *nonnegative("i")
    (h, k), more = nonnegative("h", "k")
    domains |= {"n": "natural", **more}
    return (
        Step("1/(n+i) ≤ 1/n", Holds(ge(1 / n, 1 / (n + i)), (), domains),
             "H_(2n) − H_n has n terms of at most 1/n each"),
        Step("n terms of at most 1/n: H_n ≤ 1 + k gives H_(2n) ≤ 2 + k",
             Holds(ge(2 + k, h + n * (1 / n)), (ge(1 + k, h),), domains),
             "H_1 = 1; H grows, so H_T ≤ 1 + k for T ≤ 2^k, by induction over k"),
    )  # fmt: skip


def _of_bounded_slopes(rule: Rule, q: Quotient) -> tuple[Step, ...]:
    """|g_t| ≤ G: Σ |m_t|/√t without Cauchy–Schwarz, and the sum over β1/t."""
    m, b = first_moment(rule), symbol("b", "unit")
    assert m is not None
    (c, e, r, rest, s), domains = nonnegative("c", "e", "r", "R", "s")
    most, y, held = symbol("G", "positive"), symbol("y", "positive"), symbol("K", "positive")
    domains |= {"G": "positive", "b": "unit", "y": "positive", "K": "positive"}
    line = rule.late.new[m.name].subs(m.beta, b)
    moves = 2 * alpha * held * most * r - rest  # Σ m_t²/w_t
    return (
        Step("|m_(t−1)| ≤ G gives m_t ≤ G (and −m_t ≤ G), whatever β1t is",
             Identity(most - line.xreplace({m.old: most - c, g: most - e}), b * c + (1 - b) * e,
                      domains), "an average of slopes; c, e ≥ 0"),
        Step("Σ m_t²/w_t ≤ α·√K·Σ |m_t|/√t ≤ 2α√K·G√T, times (1+β1)/(2(1−β1)): α(1+β1)√K·G√T/(1−β1)",
             Holds(ge(alpha * (2 - y) * held * most * r / y, (2 - y) / (2 * y) * moves), (ge(1, y),),
                   domains, {y: 1 / (1 + s)}),
             "K in the formula is √K, r = √T, y = 1−β1 ≤ 1, R what is spared"),
        Step("β1t = β1/t:  β1t·√t·D_t/α ≤ β1(G+ε)/(α√t)",
             Holds(ge(beta1 * (most + eps) / (alpha * sp.sqrt(t)),
                      beta1 / t * sp.sqrt(t) * (most + eps) / (1 + c) / alpha), (), domains),
             "D_t = (G+ε)/(1+c); so their sum is at most 2β1(G+ε)√T/α, as Σ 1/√t ≤ 2√T"),
    )  # fmt: skip


def _against_theirs() -> tuple[Step, ...]:
    """The third term, squared, beside that of Reddi et al."""
    b, gam = symbol("b", "unit"), symbol("γ", "unit")
    (s, r), domains = nonnegative("s", "r")
    theirs = 1 / ((1 - b) ** 4 * (1 - gam) ** 2)
    ours = (1 + b) ** 2 / (4 * (1 - b) ** 3 * (1 - gam**2))
    return (
        Step("the third term is at most α√H_T·‖g‖/((1−β1)²(1−γ)√(1−β2)), the one of Theorem 4 but for "
             "H_T in the place of 1 + ln T",
             Holds(ge(theirs, ours), (), {**domains, "b": "unit", "γ": "unit"},
                   {b: s / (1 + s), gam: r / (1 + r)}), "squares, over α²·H_T·‖g‖²/(1−β2)"),
    )  # fmt: skip
