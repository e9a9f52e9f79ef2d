"""Section 4: the regret of AMSGrad, with constants.

Online learning on an interval of width Δ (on a box: one coordinate at a time): convex losses f_t with
slopes |g_t| <= G at x_t, rates α_t = α/√t, and after each step the nearest point of the interval.  As
f_t(x_t) − f_t(x*) <= g_t (x_t − x*), it is enough to bound Σ g_t (x_t − x*).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import sympy as sp

from .amsgrad import adam_gamma_indefinite, maximum
from .catalogue import claim, grid
from .convergence import FAMILY, ZERO, nonnegative, scheduled_line, telescoped
from .interval import Interval
from .records import Case, Expr, Holds, Identity, Point, Run, Runs, Step, Trace
from .roles import Quotient, first_moment, quotient, second_moment
from .rule import Rule
from .sources import A20, RKK18
from .step_size import cauchy_schwarz, closed_bound
from .symbols import alpha, beta1, beta2, eps, g, ge, new, old, symbol, t, x

WIDTH = Fraction(2)  # of [-1, 1], where the runs are


def keeps_maximum(rule: Rule) -> Quotient | None:
    """Return the quotient of AMSGrad, in any order of maximum and correction, without decay."""
    q, m = quotient(rule), first_moment(rule)
    if q is None or m is None or maximum(rule) is None:
        return None
    return q if q.kept == x and m.input == g else None


# -- runs ------------------------------------------------------------------------------------------


def played(trace: Trace) -> list[Interval]:
    """Return x_1, x_2, … on [-1, 1] from 0 at rates α/√t, from a run at the constant rate α.

    The state knows neither x nor α, so a step at rate α/√t is the run's own step over √t.
    """
    xs = [Interval.of(0)]
    for k in range(1, len(trace.x)):
        moved = xs[-1] + (trace.x[k] - trace.x[k - 1]) / Interval.of(k).sqrt()
        xs.append(-(-moved.maximum(-1)).maximum(-1))
    return xs


def linear_regret(gradients: Sequence[Fraction], xs: Sequence[Interval]) -> Interval:
    """Return the regret of linear losses against the best point of [-1, 1]."""
    losses = sum((k * v for k, v in zip(gradients, xs, strict=False)), Interval.of(0))
    return losses + abs(sum(gradients, ZERO))


#: Four slopes that pull to and fro; β1² < β2.
SLOPES = grid(g1="1 1/8 2", g2="-1 2 1/4", g3="-1 2 1/4", g4="1 -2", beta1="1/2 0 3/4", beta2="3/4 7/8",
              eps="0 1", alpha="1 1/2")  # fmt: skip


def watch(run: Run, rule: Rule, p: Point) -> tuple[list[Fraction], Trace, Point]:
    """Return the slopes of a point, the run with them, and the point with nothing left out."""
    gradients = [p[n] for n in ("g1", "g2", "g3", "g4")]
    full = {**rule.fill(p), "lambda_": ZERO}
    return gradients, run(full, gradients, ZERO), full


def step_bound_squared(beta1: Fraction, beta2: Fraction) -> Fraction:
    """Return B², B the largest |m_t| over its denominator (`step_size`), for β1² < β2."""
    return (1 - beta1) ** 2 * beta2 / ((1 - beta2) * (beta2 - beta1**2))


def bound_of(p: Point, gradients: Sequence[Fraction]) -> Interval:
    """Return the bound of ``amsgrad-regret`` on [-1, 1] for a number of slopes."""
    b1, a, largest = p["beta1"], p["alpha"], max(map(abs, gradients))
    step = Interval.of(step_bound_squared(b1, p["beta2"])).sqrt()
    root = Interval.of(len(gradients)).sqrt()
    slow = WIDTH**2 * (largest + p["eps"]) / (2 * a)
    return root * (slow + step * a * largest * (1 + b1) / (1 - b1)) + b1 * WIDTH * largest / (1 - b1)


# -- constant beta1 --------------------------------------------------------------------------------


@claim("amsgrad-regret", family=FAMILY,
       source=RKK18(f"Theorem 4, by the method of {A20}, on constant β1"),
       says="AMSGrad's regret is O(√T).",
       statement="With constant β1, R_T ≤ √T·(Δ²(G+ε)/(2α) + αGB(1+β1)/(1−β1)) + β1ΔG/(1−β1), "
                 "B = (1−β1)√β2/√((1−β2)(β2−β1²)), in each order of maximum and correction.",
       hypotheses="convex f_t, |g_t| ≤ G, an interval of width Δ, α_t = α/√t, nearest point after each "
                  "step; β1² < β2; D_t > 0 (where v̂_t = 0 nothing moves).  Theorem 4 itself "
                  "(amsgrad-regret-schedule has it, and what of it is proved) is of order T^{3/2} for "
                  "constant β1, for its sum of β1t·√t·D_t; its Corollary 1 is about β1t = "
                  "β1·λ^{t−1}.")  # fmt: skip
def amsgrad_regret(rule: Rule) -> Case | None:
    """Constant β1 by moving the momentum along x, as Alacaoglu et al. do."""
    q, gamma = keeps_maximum(rule), adam_gamma_indefinite(rule)
    if q is None or gamma is None:
        return None

    def excess(run: Run, p: Point) -> Interval:
        if p["beta1"] ** 2 >= p["beta2"]:
            return Interval.of(-1)
        gradients, trace, full = watch(run, rule, p)
        return linear_regret(gradients, played(trace)) - bound_of(full, gradients)

    steps = (
        scheduled_line(rule, q),
        *gamma.steps,
        *_weights_grow(q),
        *one_step(),
        *telescoped(),
        *_momentum(rule),
        *_moves_are_short(rule, q),
        *_bounded(rule, q),
        *sum_of_rates(),
        *_assembled(),
    )
    return Case(steps, control=_without_momentum(rule), runs=Runs(excess, SLOPES))


def _weights_grow(q: Quotient) -> tuple[Step, ...]:
    """N_t w_t with N_t = 1 − β1^t where m is corrected: the step is m_t over that."""
    if not q.corrected:
        return ()
    (w, e, c), domains = nonnegative("w", "e", "c")
    n = symbol("n", "nonnegative")
    return (
        Step("N_t = 1 − β1^t grows", Holds(ge(1 - beta1 ** (t + 1), 1 - beta1**t)), "β1 < 1"),
        Step("so W_t = N_t·√t·D_t/α grows too, and the step is m_t/W_t",
             Holds(ge((n + e) * (w + c), n * w), (), {**domains, "n": "nonnegative"}),
             "both factors are ≥ 0 and non-decreasing"),
        Step("W_t = (1−β1^t)·w_t ≤ w_t", Holds(ge(w, (1 - beta1**t) * w), (), domains),
             "w_t = √t·D_t/α; so the bound of w_T is one of W_T"),
    )  # fmt: skip


def one_step() -> tuple[Step, ...]:
    """What one step of length m/W gains on x*, and that the nearest point of an interval gains more."""
    z, m, w, w_next = symbol("z"), symbol("m"), symbol("W", "positive"), symbol("W'", "positive")
    a, a_next = symbol("a'", "nonnegative"), symbol("a''", "nonnegative")
    (d, e, f), domains = nonnegative("d", "e", "f")
    there = x - m / w
    return (
        Step("m·(x−x*) = W/2·((x−x*)² − (x−m/W−x*)²) + m²/(2W)",
             Identity(m * (x - z), w / 2 * ((x - z) ** 2 - (there - z) ** 2) + m**2 / (2 * w),
                      {"W": "positive"}), "expand the square"),
        Step("the nearest point of the interval is no farther from x*",
             Holds(ge((d + e) ** 2, e**2), (), domains),
             "beyond an end by d, x* inside by e; so x − m/W may be replaced by x_(t+1)"),
        Step("and x_t itself moves by at most |m|/W:  m·(x_t − x_(t+1)) ≤ m²/W",
             Holds(ge(m**2 / w, (1 / (1 + f)) * m**2 / w), (), {**domains, "W": "positive"}),
             "x_(t+1) lies between x_t and x_t − m/W, at the fraction 1/(1+f)"),
        Step("Σ W_t(a_t − a_(t+1)) + W_T·a_(T+1) = Σ a_t(W_t − W_(t−1)), a_t = (x_t−x*)²",
             Identity(w_next * (a - a_next) + w_next * a_next - w * a, a * (w_next - w),
                      {"W": "positive", "W'": "positive", "a'": "nonnegative", "a''": "nonnegative"}),
             "summation by parts: from T to T + 1 both sides grow by as much"),
    )  # fmt: skip


def _momentum(rule: Rule) -> tuple[Step, ...]:
    """(1 − β1) Σ g_t (x_t − x*) in terms of p_t = m_t (x_t − x*), from the rule's line for m."""
    m = first_moment(rule)
    assert m is not None
    z, at, then = symbol("z"), symbol("x_T"), symbol("x_U")
    line, b = rule.late.new[m.name], m.beta
    p, p_next = m.old * (at - z), m.new * (then - z)
    total = symbol("Σp")

    def told(sum_of_p: Expr, last: Expr) -> Expr:
        return (1 - b) * sum_of_p + b * last

    return (
        Step("(1−β1)·g_t·(x_t−x*) = m_t·(x_t−x*) − β1·m_(t−1)·(x_t−x*)",
             Identity((1 - b) * g * (x - z), line * (x - z) - b * m.old * (x - z)),
             "the rule's line for m"),
        Step("(1−β1)·Σ g_t(x_t−x*) = (1−β1)·Σ p_t + β1·p_T + β1·Σ_(t<T) m_t(x_t−x_(t+1)), "
             "p_t = m_t(x_t−x*)",
             Identity(told(total + p_next, p_next) - told(total, p) + b * m.old * (at - then),
                      p_next - b * m.old * (then - z)),
             "induction: from T to T + 1 both sides grow by p_(T+1) − β1·m_T(x_(T+1)−x*)"),
        Step("at T = 1 both sides are p_1", Identity(told(p, p), p), "m_0 = 0"),
    )  # fmt: skip


def _without_momentum(rule: Rule) -> Identity:
    """The momentum identity with m_T(x_T − x_(T+1)) forgotten, at x* = 0, x_T = 2, x_(T+1) = 1."""
    m = first_moment(rule)
    assert m is not None
    return Identity(m.new - 2 * m.beta * m.old, m.new - m.beta * m.old)


def least_square(rule: Rule, q: Quotient) -> Expr:
    """Return v_t, or v̂_t where D_t is corrected: the square of what D_t is at least."""
    v = second_moment(rule)
    assert v is not None
    return v.new / (1 - beta2**t) if corrects(rule, q) else v.new


def corrects(rule: Rule, q: Quotient) -> bool:
    """Whether the second moment is bias-corrected, before or after the maximum."""
    u = maximum(rule)
    assert u is not None
    return bool(q.denominator.has(beta2) or rule.late.new[u].has(beta2**t))


def in_full(rule: Rule, q: Quotient) -> tuple[Expr, dict[Expr, Expr], dict[str, str]]:
    """Return D_t with the maximum written out, and P for β2^t."""
    u, v = maximum(rule), second_moment(rule)
    assert u is not None
    assert v is not None
    power = {beta2**t: symbol("P", "unit")}
    d = q.denominator.xreplace({new(u): rule.late.new[u]}).subs(power)
    names = (old(u).name, v.new.name)
    return d, power, {**dict.fromkeys(names, "nonnegative"), "P": "unit"}


def _moves_are_short(rule: Rule, q: Quotient) -> tuple[Step, ...]:
    """|m_t| ≤ B N_t D_t: Cauchy–Schwarz, and D_t at least the root of v_t or v̂_t."""
    d, power, domains = in_full(rule, q)
    (c, e, s, lost), free = nonnegative("c", "e", "s", "lost")
    ratio, far, first = symbol("q", "unit"), symbol("Q", "unit"), symbol("F", "positive")
    square, scale = symbol("D2", "nonnegative"), symbol("E", "positive")
    uncorrected = (
        Step("C_t = F·(1−q^t)/(1−q) ≤ F/(1−q) = B², F = (1−β1)²/(1−β2), q = β1²/β2 < 1",
             Holds(ge(first / (1 - ratio), first * (1 - far) / (1 - ratio)), (),
                   {"q": "unit", "Q": "unit", "F": "positive"}, {ratio: s / (1 + s)}),
             "a geometric sum, Q = q^t"),
    )  # fmt: skip
    return (
        *cauchy_schwarz(rule),
        Step("D_t ≥ the root of " + ("v̂_t" if corrects(rule, q) else "v_t"),
             Holds(ge(d, sp.sqrt(least_square(rule, q)).subs(power)), (), domains),
             "the maximum is at least its newest argument, and ε ≥ 0"),
        *(closed_bound() if q.corrected else uncorrected),
        Step("m_t² ≤ C_t·v_t, v_t ≤ E_t·D_t² and C_t·E_t ≤ B²·N_t² give m_t² ≤ (B·N_t·D_t)²",
             Holds(ge((c * scale + lost) * square, c * (scale * square - e) - s), (),
                   {**free, "D2": "nonnegative", "E": "positive"}),
             "E_t = 1−β2^t and N_t = 1−β1^t where corrected, else 1: so m_t²/W_t ≤ α·B·|m_t|/√t"),
    )  # fmt: skip


def _bounded(rule: Rule, q: Quotient) -> tuple[Step, ...]:
    """|m_t| ≤ G and D_t ≤ G + ε, from the rule's lines."""
    m = first_moment(rule)
    assert m is not None
    (c, e), domains = nonnegative("c", "e")
    most = symbol("G", "positive")
    return (
        Step("|m_(t−1)| ≤ G gives m_t ≤ G (and −m_t ≤ G)",
             Identity(most - rule.late.new[m.name].xreplace({m.old: most - c, g: most - e}),
                      beta1 * c + (1 - beta1) * e, {**domains, "G": "positive"}),
             "an average of slopes; c, e ≥ 0"),
        *bounded_denominator(rule, q),
    )  # fmt: skip


def bounded_denominator(rule: Rule, q: Quotient) -> tuple[Step, ...]:
    """|g_t| ≤ G gives D_t ≤ G + ε, from the rule's lines for v and its maximum."""
    v, u = second_moment(rule), maximum(rule)
    assert v is not None
    assert u is not None
    (c, e), domains = nonnegative("c", "e")
    most, power = symbol("G", "positive"), symbol("P", "unit")
    domains |= {"G": "positive", "P": "unit"}

    def so_far(k: Expr) -> Expr:
        return most**2 * (1 - beta2**k)

    line = rule.late.new[v.name].xreplace({v.old: so_far(t) - c, g: sp.sqrt(most**2 - e)})
    flat = rule.late.new[u].has(beta2**t)  # the maximum is over v̂_t
    cap = most**2 if flat else so_far(t).subs(beta2**t, power)
    kept = rule.late.new[u].subs(beta2**t, power)
    kept = kept.xreplace({v.new: so_far(t).subs(beta2**t, power) - c, old(u): cap - e})
    d = q.denominator.subs(beta2**t, power)
    grows = (
        Step("G²(1−β2^t) ≤ G²(1−β2^(t+1))", Holds(ge(so_far(t + 1), so_far(t)), (), domains),
             "what bounds u_(t−1) is at most what bounds u_t"),
    )  # fmt: skip
    return (
        Step("v_t ≤ G²(1−β2^t) gives the same at t + 1",
             Identity(so_far(t + 1) - line, beta2 * c + (1 - beta2) * e, domains),
             "v_t = G²(1−β2^t) − c, g² = G² − e; v_1 likewise"),
        *(() if flat else grows),
        Step("so the stored maximum is at most " + ("G²" if flat else "G²(1−β2^t)"),
             Holds(ge(cap, kept), (), domains), "P = β2^t; a maximum of what is below"),
        Step("and D_t ≤ G + ε", Holds(ge(most + eps, d.xreplace({new(u): cap - e})), (), domains),
             "the rule's own D; so w_T ≤ √T·(G+ε)/α"),
    )  # fmt: skip


def sum_of_rates() -> tuple[Step, ...]:
    """Σ 1/√t ≤ 2√T."""
    r, s = sp.sqrt(t), sp.sqrt(t + 1)
    return (
        Step("2√(T+1) − 2√T − 1/√(T+1) = (√(T+1)−√T)²/√(T+1)",
             Identity(2 * s - 2 * r - 1 / s, (s - r) ** 2 / s),
             "not negative, so Σ_(t≤T) 1/√t ≤ 2√T by induction, and Σ m_t²/W_t ≤ 2αBG√T"),
    )  # fmt: skip


def _assembled() -> tuple[Step, ...]:
    (width, a, b, c, e, s), domains = nonnegative("Δ", "a", "b", "c", "e", "s")
    most, step, r = symbol("G", "positive"), symbol("B", "positive"), symbol("r", "positive")
    domains |= dict.fromkeys("GBr", "positive")
    last = r * (most + eps) / alpha - a  # w_T
    moves = 2 * alpha * step * most * r - b  # Σ m_t²/W_t
    told = r * (
        width**2 * (most + eps) / (2 * alpha) + alpha * most * step * (1 + beta1) / (1 - beta1)
    ) + beta1 * width * most / (1 - beta1)
    found = (width**2 * last + moves) / 2 + beta1 * (most * width - c + moves - e) / (1 - beta1)
    return (
        Step("Σ p_t ≤ (Δ²·w_T + Σ m_t²/W_t)/2, p_T ≤ G·Δ, and the rest ≤ Σ m_t²/W_t: the bound",
             Holds(ge(told, found), (), domains, {beta1: s / (1 + s)}),
             "r = √T, w_T = r(G+ε)/α − a, Σ m_t²/W_t = 2αBGr − b with a, b, c, e ≥ 0"),
    )  # fmt: skip
