"""Section 2, the tight bound on one step: Cauchy–Schwarz, the sequence that reaches it, when it is α."""

from __future__ import annotations

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .lemmas import power_vanishes
from .records import Case, Expr, Holds, Identity, Point, Run, Runs, Step
from .roles import Quotient, first_moment, second_moment
from .rule import Rule
from .sources import HERE
from .step_size import (
    FAMILY,
    ZERO,
    cauchy_schwarz,
    closed_bound,
    denominator_step,
    dominates,
    is_adams,
    last_move,
    plain_numbers,
    short_steps,
)
from .symbols import beta1, beta2, eps, g, ge, gt, symbol, t


def bound(p: Point, k: int) -> Interval:
    """Return B_k, the largest step k over α, at the betas of a point."""
    b1, b2 = p["beta1"], p["beta2"]
    total = sum(((b1**2 / b2) ** i for i in range(k)), ZERO) * (1 - b1) ** 2 / (1 - b2)
    return Interval.of(total * (1 - b2**k)).sqrt() / (1 - b1**k)


def _within(rule: Rule) -> Runs:
    """Runs of three steps, the last of them against the bound."""

    def excess(run: Run, p: Point) -> Interval:
        return last_move(run, p) - bound(p, 3) * p["alpha"]

    return Runs(excess, grid(g1="1 2", g2="1 2 -1", g3="1 3", beta1="1/2 1/4 3/4", beta2="3/4 1/2",
                             **plain_numbers(rule)))  # fmt: skip


#: The near-miss of the bound: without the sum in C_t.
_TOO_SMALL = Holds(ge((1 - beta1) ** 2 / (1 - beta2),
                      (1 - beta1) ** 2 / (1 - beta2) * (1 - (beta1**2 / beta2) ** 2)
                      / (1 - beta1**2 / beta2)))  # fmt: skip


@claim("step-bound", family=FAMILY, source=HERE,
       says="How far one step can go.",
       statement="|x_t − x_{t−1}| ≤ α·B_t for every gradient sequence, B_t = √(C_t(1−β2^t))/(1−β1^t), "
                 "C_t = (1−β1)²/(1−β2)·Σ_{k<t} q^k, q = β1²/β2. B_t = 1 if β1 = β2 or t = 1; for q < 1 "
                 "B_t ≤ (1−β1)√β2/√((1−β2)(β2−β1²)) for every t.",
       hypotheses="both moments corrected, D_t at least √v̂_t; the step without decay; 0 < β2, "
                  "ε ≥ 0, the steps defined.")  # fmt: skip
def step_bound(rule: Rule) -> Case | None:
    """Cauchy–Schwarz by induction on the lifted lines; a maximum in D_t only shortens the step."""
    q = short_steps(rule)
    if q is None or not dominates(rule, q):
        return None
    first = (1 - beta1) ** 2 / (1 - beta2)
    c, e, s = (symbol(n, "nonnegative") for n in "ces")
    d, n = symbol("D", "positive"), symbol("N", "positive")
    domains = dict.fromkeys("ces", "nonnegative") | {"D": "positive", "N": "positive"}
    total = first * (1 - q_of(1) ** t) / (1 - q_of(1))
    return Case(
        (*cauchy_schwarz(rule), *denominator_step(rule, q),
         Step("m² ≤ C·v and v ≤ E·D² give (m/(N·D))² ≤ C·E/N²",
              Holds(ge(c * e / n**2, (c * (e * d**2 - s)) / (n * d) ** 2), (), domains),
              "E = 1−β2^t, N = 1−β1^t, v = E·D² − s with s ≥ 0: the square of the step over α²"),
         *closed_bound(),
         Step("β1 = β2 = β: q = β, so C_t(1−β^t) = (1−β^t)²",
              Identity((total * (1 - beta2**t)).subs(beta1, beta2), (1 - beta2**t) ** 2), "B_t = 1"),
         Step("t = 1: C_1(1−β2)/(1−β1)² = 1", Identity(first * (1 - beta2) / (1 - beta1) ** 2, 1),
              "B_1 = 1")),
        control=_TOO_SMALL,
        runs=_within(rule),
    )  # fmt: skip


@claim("step-bound-tight", family=FAMILY, source=HERE,
       says="The tight bound on a step.",
       statement="sup |x_t − x_{t−1}| = α·√(C_t(1−β2^t))/(1−β1^t), C_t = (1−β1)²/(1−β2)·Σ_{k<t} q^k, "
                 "q = β1²/β2, for every ε ≥ 0; at ε = 0 it is reached, at g_i = (β1/β2)^(t−i); for "
                 "q < 1 it is at most α(1−β1)√β2/√((1−β2)(β2−β1²)) for every t, its limit; for q ≥ 1 "
                 "unbounded in t.",
       hypotheses="the step without decay; 0 < β1, 0 < β2; with an L2 penalty g_i stands for "
                  "g_i + λx_(i−1).")  # fmt: skip
def step_bound_tight(rule: Rule) -> Case | None:
    """Cauchy–Schwarz by induction on the lifted lines, equality at the maximising sequence."""
    q = short_steps(rule)
    if q is None or not is_adams(rule, q):
        return None
    first = (1 - beta1) ** 2 / (1 - beta2)
    c, n = symbol("C", "positive"), symbol("n", "positive")
    domains = {"C": "positive", "n": "positive"}
    a, b, p1 = symbol("a", "unit"), symbol("b", "unit"), symbol("X", "unit")
    units = {"a": "unit", "b": "unit", "X": "unit"}
    return Case(
        (*cauchy_schwarz(rule), *denominator_step(rule, q), *closed_bound(),
         *power_vanishes(),
         Step("(1−a)(1−b) ≤ (1−a)(1−b)/(1−X)² with a = q^t, b = β2^t, X = β1^t: with the last lines "
              "the square of the bound lies between (1−a)(1−b) and 1 times its limit",
              Holds(ge((1 - a) * (1 - b) / (1 - p1) ** 2, (1 - a) * (1 - b)), (), units),
              "a, b → 0 for q < 1, so it tends to the limit"),
         *maximiser(rule), *scaled_up(rule, q),
         Step("if q ≥ 1 then C_t ≥ t·(1−β1)²/(1−β2): unbounded",
              Holds(ge(n * c + first, (t + 1) * first), (ge(n, 1), ge(c, t * first)), domains),
              "induction, n = q; with (1−β2^t) ≥ 1−β2 no bound holds for all t")),
        control=_TOO_SMALL,
        runs=_within(rule),
    )  # fmt: skip


def scaled_up(rule: Rule, q: Quotient) -> tuple[Step, ...]:
    """C times the gradients at ε take the step of the gradients at ε/c: ε > 0 leaves the supremum."""
    m, v = first_moment(rule), second_moment(rule)
    assert m is not None
    assert v is not None
    c, y, e = symbol("c", "positive"), symbol("y"), symbol("e", "nonnegative")
    r, domains = symbol("r", "positive"), {"c": "positive", v.new.name: "nonnegative"}
    d = q.denominator
    return (
        Step("c times what enters gives c·m_t and c²·v_t",
             Identity(m.beta * c * m.old + (1 - m.beta) * c * y,
                      c * (m.beta * m.old + (1 - m.beta) * y), domains), "averages of y; v of y²"),
        Step("and D_t(c²·v, ε) = c·D_t(v, ε/c)",
             Identity(d.xreplace({v.new: c**2 * v.new}), c * d.subs(eps, eps / c), domains),
             "so it takes the step that ε/c would"),
        Step("1/(r+e) ≥ (1 − e/r)/r",
             Holds(ge(1 / (r + e), (1 - e / r) / r), (), {"r": "positive", "e": "nonnegative"}),
             "r = D_t at ε = 0, e → 0 with ε/c: the step at ε = 0 is approached, for every ε ≥ 0"),
    )  # fmt: skip


def maximiser(rule: Rule) -> tuple[Step, ...]:
    """Along g_i = (β1/β2)^(t−i) Cauchy–Schwarz is an equality, from the rule's own lines."""
    m, v = first_moment(rule), second_moment(rule)
    assert m is not None
    assert v is not None
    total, r = symbol("Σ", "positive"), beta1 / beta2
    domains = {"Σ": "positive"}
    held = {m.old: r * (1 - beta1) * total, v.old: r**2 * (1 - beta2) * total, g: 1 + g - m.input}
    longer, first = q_of(1) * total + 1, (1 - beta1) ** 2 / (1 - beta2)
    return (
        Step("the sequence g_i = (β1/β2)^(t−i): one step later the old state is scaled by β1/β2 "
             "and a 1 enters; with Σ = Σ q^k, m = (1−β1)·Σ gains a term",
             Identity(rule.late.new[m.name].xreplace(held), (1 - beta1) * longer, domains),
             "β1·(β1/β2) = q"),
        Step("and so does v = (1−β2)·Σ",
             Identity(rule.late.new[v.name].xreplace(held), (1 - beta2) * longer, domains),
             "β2·(β1/β2)² = q"),
        Step("so m_t² = C_t·v_t with C_t = (1−β1)²/(1−β2)·Σ: the bound is reached (ε = 0)",
             Identity(((1 - beta1) * total) ** 2, first * total * (1 - beta2) * total, domains),
             "equality in Cauchy–Schwarz"),
    )  # fmt: skip


def q_of(power: int) -> Expr:
    """Return (β1²/β2)^power."""
    return (beta1**2 / beta2) ** power


def _weighted() -> tuple[Step, ...]:
    """The square of the bound is Σ w²/u with the two normalised weights; 1 iff they agree."""
    w, u, b, c = symbol("w"), symbol("u", "positive"), symbol("b", "unit"), symbol("c", "unit")
    k, first = symbol("k", "natural"), (1 - beta1) ** 2 / (1 - beta2)
    sb, sc = symbol("Sb", "positive"), symbol("Sc", "positive")
    domains = {"u": "positive", "b": "unit", "c": "unit", "Sb": "positive", "Sc": "positive"}

    def weight(beta: Expr) -> Expr:
        return (1 - beta) * beta**k / (1 - beta**t)

    return (
        Step("C_t(1−β2^t)/(1−β1^t)² is the sum over k of w²/u",
             Identity(first * beta1 ** (2 * k) / beta2**k * (1 - beta2**t) / (1 - beta1**t) ** 2,
                      weight(beta1) ** 2 / weight(beta2), {"k": "natural"}),
             "term by term: w = (1−β1)β1^k/(1−β1^t), u the same with β2"),
        Step("w²/u = (w−u)²/u + 2w − u, and Σ w = Σ u = 1: Σ w²/u = 1 + Σ (w−u)²/u",
             Identity(w**2 / u, (w - u) ** 2 / u + 2 * w - u, domains),
             "so the square of the bound is 1 iff every w = u, as at β1 = β2 or t = 1: if"),
        Step("the newest weight is 1/S_t, S_t = 1 + β + … + β^(t−1): (1−β)·(1+β·S) = 1−β + β(1−β)S",
             Identity((1 - b) * (1 + b * sb), 1 - b + b * (1 - b) * sb, domains),
             "geometric sum, for either β"),
        Step("S_t is strictly increasing in β for t ≥ 2",
             Holds(gt(1 + c * sc, 1 + b * sb), (gt(c, b), ge(sc, sb)), domains),
             "induction; so w_t ≠ u_t when β1 ≠ β2, and the bound exceeds 1: only if"),
    )  # fmt: skip


@claim("step-at-most-lr-iff", family=FAMILY, source=HERE,
       says="When a step is at most α.",
       statement="The supremum of |x_t − x_{t−1}| over all gradient sequences is α if β1 = β2 or t = 1, "
                 "and larger otherwise, for every ε ≥ 0; at ε = 0 it is reached.",
       hypotheses="the step without decay; 0 < β1, 0 < β2; with an L2 penalty g_i + λx_(i−1) takes "
                  "the place of g_i.")  # fmt: skip
def step_at_most_lr_iff(rule: Rule) -> Case | None:
    """The tight bound squared is Σ w_i²/u_i with the two normalised weights; 1 iff they agree."""
    q = short_steps(rule)
    if q is None or not is_adams(rule, q):
        return None
    two = (1 + q_of(1)) * (1 + beta2) / (1 + beta1) ** 2

    def excess(run: Run, p: Point) -> Interval:
        return last_move(run, {**p, "beta2": p["beta1"]}) - p["alpha"]

    return Case(
        (*cauchy_schwarz(rule), *denominator_step(rule, q),
         *maximiser(rule), *scaled_up(rule, q), *_weighted(),
         Step("for t = 2 the excess is (β1−β2)²/(β2(1+β1)²)",
              Identity(two - 1, (beta1 - beta2) ** 2 / (beta2 * (1 + beta1) ** 2)), "plainly > 0")),
        control=Identity(two, sp.Integer(1)),
        runs=Runs(excess, grid(g1="1 2 -1", g2="1 2", g3="1 3 -1", beta1="1/2 3/4",
                               **plain_numbers(rule))),
    )  # fmt: skip
