"""Section 2, warmup: how far the first steps can go, and what a schedule changes about it."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .catalogue import claim, grid
from .conventions import moves
from .interval import Interval
from .records import Analysis, Case, Expr, Holds, Identity, Point, Run, Runs, Step
from .roles import Quotient, first_moment, second_moment
from .rule import Rule
from .sources import G17, HERE, LH17
from .step_size import SHORT, ZERO, adam_like, cauchy_schwarz, denominator_step, is_adams
from .symbols import alpha, ge, symbol

FAMILY = "step size"
#: β1 = ρσ, β2 = σ², R = ρ^t, S = σ^t: the bound is a plain fraction of these.
RHO, SIGMA = symbol("ρ", "nonnegative"), symbol("σ", "unit")
R, S = symbol("R", "nonnegative"), symbol("S", "unit")
ROOTS = {"ρ": "nonnegative", "σ": "unit", "R": "nonnegative", "S": "unit"}


def scheduled(rule: Rule) -> Quotient | None:
    """Return the quotient of a rule x' = kept − α m̂/D, D ≥ √v̂, whose state does not know α."""
    q, lines = adam_like(rule), rule.late.new
    knows = any(lines[n].has(alpha) for n in rule.initial)
    return q if q and is_adams(rule, q) and not knows else None


def bound(p: Point, k: int) -> Interval:
    """Return B_k, the tight bound on step k over its rate, at the betas of a point."""
    b1, b2 = p["beta1"], p["beta2"]
    total = sum(((b1**2 / b2) ** i for i in range(k)), ZERO) * (1 - b1) ** 2 / (1 - b2)
    return Interval.of(total * (1 - b2**k)).sqrt() / (1 - b1**k)


@claim("warmup-bounds-first-steps", family=FAMILY, source=G17("section 2.2, where warmup is proposed"),
       says="Without warmup the first steps are the wild ones.",
       statement="At a constant rate no step is longer than the first: |x_t − x_{t−1}| ≤ |x_1 − x_0| "
                 "for every gradient sequence (ε = 0).",
       repaired_by="warmup-exact")  # fmt: skip
def warmup_bounds_first_steps(rule: Rule) -> Case | None:
    """The first step is exactly α long, and the largest possible step grows from there."""
    if scheduled(rule) is None:
        return None

    def excess(run: Run, p: Point) -> Interval:
        x = run(p, [p["g1"], p["g2"]], ZERO).x
        return abs(x[2] - x[1]) - abs(x[1] - x[0])

    return Case(runs=Runs(excess, [{**p, "alpha": Fraction(1)} for p in SHORT]))


def _u(power: int = 0) -> Expr:
    """Return u_t = Σ ρ^i σ^(t−1−i), `power` steps later."""
    return (R * RHO**power - S * SIGMA**power) / (RHO - SIGMA)


def _e(power: int = 0) -> Expr:
    """Return e_t = Σ (ρσ)^i, `power` steps later."""
    return (1 - R * S * (RHO * SIGMA) ** power) / (1 - RHO * SIGMA)


def _square(power: int = 0) -> Expr:
    """Return B_t² = Σ ρ^(2i)·Σ σ^(2i)/e_t², `power` steps later."""
    r, s = R * RHO**power, S * SIGMA**power
    return (1 - r**2) / (1 - RHO**2) * (1 - s**2) / (1 - SIGMA**2) / _e(power) ** 2


def _monotone() -> tuple[Step, ...]:
    """B_1 = 1 and B_t is non-decreasing in t."""
    later = _u(1) * _e(2) - _u(2) * _e(1)
    gap, factor = _u() * _e(1) - _u(1) * _e(), (1 - RHO) * (1 - SIGMA)
    first = {R: RHO, S: SIGMA}
    a, b, w, z = (symbol(n, "nonnegative") for n in "abwz")
    signs = dict.fromkeys("abwz", "nonnegative")
    rise = (RHO - SIGMA) ** 2 / ((1 + RHO) * (1 + SIGMA)) * (gap / factor)
    return (
        Step("with β1 = ρσ, β2 = σ², R = ρ^t, S = σ^t:  Σ_{i<t} ρ^(2i) = (1−R²)/(1−ρ²)",
             Identity((1 - R**2) / (1 - RHO**2) + R**2, (1 - (R * RHO) ** 2) / (1 - RHO**2), ROOTS),
             "geometric sum: 1 at t = 1, and one more term; ρ² = q, and σ for ρ the same"),
        Step("e_t := Σ_{i<t} (ρσ)^i = (1−RS)/(1−ρσ), so B_t² = C_t(1−β2^t)/(1−β1^t)² = "
             "Σ ρ^(2i)·Σ σ^(2i)/e_t², and B_1 = 1",
             Identity(_e() + R * S, _e(1), ROOTS), "the same; (1−β)·Σ β^i = 1−β^t for both betas"),
        Step("u_t := Σ_{i<t} ρ^i σ^(t−1−i) obeys u_(t+1) = ρ·u_t + σ^t, u_1 = 1, so u_t ≥ 0",
             Identity(_u(1), RHO * _u() + S, ROOTS), "its closed form is (R−S)/(ρ−σ)"),
        Step("D_t := u_t·e_(t+1) − u_(t+1)·e_t;  D_1 = (1−ρ)(1−σ)",
             Identity(gap.xreplace(first), factor, ROOTS), "t = 1"),
        Step("D_(t+1) = ρσ·D_t + (1−ρ)(1−σ)·u_(t+1)·e_(t+1)",
             Identity(later, RHO * SIGMA * gap + factor * _u(1) * _e(1), ROOTS), "closed forms"),
        Step("so Q_t := D_t/((1−ρ)(1−σ)) stays ≥ 0: a·w + b·z ≥ 0",
             Holds(ge(a * w + b * z, 0), (), signs), "induction: a = ρσ, w = Q_t, b·z = u·e"),
        Step("B_(t+1)² − B_t² = (ρ−σ)²/((1+ρ)(1+σ))·Q_t·(u_t·e_(t+1) + u_(t+1)·e_t)/(e_t·e_(t+1))²",
             Identity(_square(1) - _square(),
                      rise * (_u() * _e(1) + _u(1) * _e()) / (_e() * _e(1)) ** 2, ROOTS),
             "for each t both sides are fractions of polynomials, defined also where a closed form is "
             "0/0; no part is negative, so B_t never falls, and ρ = σ is β1 = β2"),
    )  # fmt: skip


def _sums() -> tuple[Step, ...]:
    """From one step to k, and what linear warmup makes of the sum of rates."""
    d, y, a, b, big = (symbol(n) for n in ("d", "y", "a", "b", "B"))
    k, w = symbol("k", "natural"), symbol("w", "natural")
    m = symbol("m")

    def warm(n: Expr) -> Expr:
        return alpha * n * (n + 1) / (2 * w)

    return (
        Step("|x_k − x_0| ≤ d and |x_(k+1) − x_k| ≤ a give |x_(k+1) − x_0| ≤ d + a",
             Holds(ge(d + a, y + m), (ge(d, y), ge(a, m))),
             "and the same for −y, −m; with a = α_t·B_t: |x_k − x_0| ≤ Σ_{t≤k} α_t·B_t by induction"),
        Step("α_t·B_t ≤ α_t·B_k for t ≤ k",
             Holds(ge(alpha * big, alpha * b), (ge(big, b),), {}, {big: b + symbol("s", "nonnegative")}),
             "so the sum is at most B_k·Σ α_t"),
        Step("α_t = α·t/w:  Σ_{t≤k} α_t = α·k(k+1)/(2w), the fraction (k+1)/(2w) of α·k",
             Identity(warm(k) + alpha * (k + 1) / w, warm(k + 1), {"k": "natural", "w": "natural"}),
             "linear warmup over w steps: α/w at k = 1; induction on k ≤ w"),
        Step("a whole warmup takes α·(w−1)/2 off the sum of rates",
             Identity(alpha * w - warm(w), alpha * (w - 1) / 2, {"w": "natural"}), "k = w"),
    )  # fmt: skip


@claim("step-bound-grows", family=FAMILY, source=HERE, about="mathematics",
       says="The longest possible step grows with t.",
       statement="B_t = √(C_t(1−β2^t))/(1−β1^t), the tight bound on step t over its rate, is 1 at t = 1 "
                 "and non-decreasing in t; at β1 = β2 it is 1 throughout.",
       hypotheses="0 < β1, 0 < β2; C_t as in step-bound-tight.")  # fmt: skip
def step_bound_grows(rule: Rule) -> Case | None:
    """B_t² is Σ ρ^(2i)·Σ σ^(2i)/(Σ (ρσ)^i)²; what it gains in a step is a product of what is ≥ 0."""
    return Case(_monotone(), control=Identity(_square(1), _square(), ROOTS))


@claim("warmup-exact", family=FAMILY, source=HERE,
       says="How far the first steps can go, and what warmup changes.",
       statement="Step t is at most α_t·B_t, B_t the tight bound, 1 at t = 1 and smallest there "
                 "(step-bound-grows). For any rates α_t ≥ 0 x moves at most Σ α_t·B_t ≤ B_k·Σ α_t in k "
                 "steps; linear warmup over w ≥ k steps makes Σ α_t the fraction (k+1)/(2w) of what it "
                 "is at a constant rate, and leaves m_t and v_t as they are.",
       hypotheses="0 < β1, 0 < β2; ε ≥ 0; the step without decay; gradients as given.")  # fmt: skip
def warmup_exact(rule: Rule) -> Case | None:
    """Cauchy–Schwarz on the rule's own lines, the triangle inequality, and a sum of rates."""
    q = scheduled(rule)
    if q is None:
        return None
    m, v, c = first_moment(rule), second_moment(rule), symbol("c", "positive")
    assert m is not None
    assert v is not None
    moved, domains = rule.late.new["x"] - q.kept, {"c": "positive", v.new.name: "nonnegative"}

    def excess(run: Run, p: Point) -> Interval:
        rates = [p["alpha"] * k / 3 for k in (1, 2, 3)]
        walked = moves(run, p, rates, [p["g1"], p["g2"], p["g3"]])
        total = sum((abs(step) for step in walked), Interval.of(0))
        return total - sum((rate * bound(p, k + 1) for k, rate in enumerate(rates)), Interval.of(0))

    return Case(
        (*cauchy_schwarz(rule), *denominator_step(rule, q),
         Step("a rate of c·α makes a step c times as long, and leaves the state alone",
              Identity(moved.subs(alpha, c * alpha), c * moved, domains),
              "the rule's own line; decay aside"),
         *_sums()),
        control=Identity(moved.subs(alpha, c * alpha), moved, domains),
        runs=Runs(excess, grid(g1="1 2", g2="1 2 -1", g3="1 4", beta1="1/2 1/4", beta2="3/4 1/2",
                               alpha="1", eps="0", lambda_="0")),
    )  # fmt: skip


def _cosine() -> tuple[Step, ...]:
    """What is used of the cosine, read as cos y = 1 − ∫ sin from 0 to y."""
    y, z = symbol("y"), symbol("z")
    because = "the sine has no algebraic form; SymPy integrates it, and Arb sees the same numbers"

    def area(end: Expr) -> Expr:
        return sp.Integral(sp.sin(z), (z, 0, end))

    return (
        Step("cos y = 1 − ∫ sin from 0 to y: cos 0 = 1, and cos π = 1 − 2 = −1",
             Analysis(area(sp.pi), sp.Integer(2), because), "the ends of the cosine part"),
        Step("cos y + cos(π−y) = 2 − ∫ from 0 to y − ∫ from 0 to π−y = 0",
             Analysis(area(y) + area(sp.pi - y), sp.Integer(2), because), "so cos(π−y) = −cos y"),
    )  # fmt: skip


def cosine_rate(cosine: Expr, low: Expr) -> Expr:
    """Return the rate between α and low at which the cosine has the given value."""
    return low + (alpha - low) * (1 + cosine) / 2


@claim("warmup-cosine", family=FAMILY, source=LH17("eq. (5)"), about="mathematics",
       says="Linear warmup and a cosine make one continuous schedule that spends half the rate.",
       statement="α_t = α·t/w up to w, then a + (α−a)(1+cos(π(t−w)/(T−w)))/2 up to T: both are α at "
                 "t = w; the cosine part is a mean of α and a, falls from α to a at T, and sums over "
                 "w … T to (T−w+1)(α+a)/2, the warmup to α(w+1)/2.",
       hypotheses="0 ≤ a ≤ α; 1 ≤ w < T; cos y = 1 − ∫ sin from 0 to y, and sin ≥ 0 on [0, π], so that "
                  "the cosine falls there.")  # fmt: skip
def warmup_cosine(rule: Rule) -> Case | None:
    """In the value c of the cosine everything is linear."""
    c, d, low = symbol("c"), symbol("d"), symbol("a", "nonnegative")
    k, w = symbol("k", "natural"), symbol("w", "natural")
    s, u = symbol("s", "nonnegative"), symbol("u", "nonnegative")
    domains = {"a": "nonnegative", "k": "natural", "w": "natural", "s": "nonnegative"}

    def rate(cosine: Expr) -> Expr:
        return cosine_rate(cosine, low)

    return Case(
        (*_cosine(),
         Step("α_t = α·(1+c)/2 + a·(1−c)/2 with c = cos(π(t−w)/(T−w))",
              Identity(rate(c), alpha * (1 + c) / 2 + low * (1 - c) / 2, domains),
              "c = 1 at t = w: α, the end of the warmup α·w/w; c = −1 at t = T: a"),
         Step("c ≤ d gives α_t(c) ≤ α_t(d)",
              Holds(ge(rate(d), rate(c)), (ge(d, c), ge(alpha, low)), domains,
                    {d: c + s, alpha: low + u}),
              "the cosine falls on [0, π], so the rate falls from α to a"),
         Step("t and w+T−t have cosines c and −c: their rates add to α + a",
              Identity(rate(c) + rate(-c), alpha + low, domains), "cos(π−y) = −cos y"),
         Step("so twice the sum over T−w+1 steps is (T−w+1)(α+a): k+1 pairs from k",
              Identity(k * (alpha + low) + rate(c) + rate(-c), (k + 1) * (alpha + low), domains),
              "the sum, added to itself backwards; induction on the number of steps"),
         Step("k steps of the warmup add α·k(k+1)/(2w), α(w+1)/2 at k = w: one more adds α·(k+1)/w",
              Identity(alpha * (k + 1) * (k + 2) / (2 * w) - alpha * k * (k + 1) / (2 * w),
                       alpha * (k + 1) / w, domains), "induction from α/w")),
        control=Identity(rate(c) + rate(-c), 2 * alpha, domains),
    )  # fmt: skip
