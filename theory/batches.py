"""Section 7b: what a larger batch does to the moments and the steps, and the square-root rule."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .invariance import FAMILY, answer, changed, scaled
from .records import Case, Expr, Holds, Identity, Point, Run, Runs, Step
from .roles import first_moment, same, second_moment
from .rule import Rule
from .sources import FOLKLORE, M21
from .symbols import alpha, eps, g, ge, gt, lambda_, symbol, t, x

#: √B, the root of the batch size.
W = symbol("w", "positive")


def _adaptive(rule: Rule) -> bool:
    """Whether the move does not change when g and ε are scaled, and v averages g²."""
    v = second_moment(rule)
    return v is not None and v.input == g**2 and "lambda_" not in rule.hyper and scaled(rule) is not None


@claim("sqrt-batch-scaling", family=FAMILY, source=FOLKLORE,
       says="When the batch grows, scale α with its square root, and nothing else.",
       statement="For i.i.d. gradients, one step on a batch of 4 with 2α gives the same E x as four "
                 "steps on batches of 1 with α (ε = 0, the same betas).",
       repaired_by="sqrt-batch-scaling-noise")  # fmt: skip
def sqrt_batch_scaling(rule: Rule) -> Case | None:
    """Gradients μ ± σ with equal probability, all 16 sequences; with μ = 0 both are 0."""
    if not _adaptive(rule):
        return None

    def excess(run: Run, p: Point) -> Interval:
        small, large = Interval.of(0), Interval.of(0)
        for signs in product((1, -1), repeat=4):
            sample = [p["g1"] + sign * p["g2"] for sign in signs]
            batch = sum(sample, Fraction(0)) / 4
            small = small + run(p, sample).x[4] / 16
            large = large + run({**p, "alpha": 2 * p["alpha"]}, [batch]).x[1] / 16
        return abs(small - large)

    return Case(runs=Runs(excess, grid(g1="1 2", g2="1/2 1/4", alpha="1", eps="0")))


def _moments_of_a_batch(rule: Rule) -> tuple[Step, ...]:
    """E g² of a mean of B, and E v̂_t of the rule, each by induction."""
    v = second_moment(rule)
    assert v is not None
    n, mean = symbol("B", "natural"), symbol("mean")
    var, second = symbol("var", "nonnegative"), symbol("e", "nonnegative")
    domains = {"var": "nonnegative", "e": "nonnegative"}

    def square(k: Expr) -> Expr:
        return k * var + k**2 * mean**2

    line = rule.late.new[v.name].xreplace({v.old: second * (1 - v.beta ** (t - 1)), g**2: second})
    return (
        Step("S_B = g_1 + … + g_B: E S_(B+1)² = E S_B² + 2·E S_B·E g + E g², independent",
             Identity(square(n) + 2 * n * mean * mean + var + mean**2, square(n + 1), domains),
             "induction from E g² = σ² + μ²: E S_B² = B·σ² + B²·μ²"),
         Step("so the batch mean has E (S_B/B)² = μ² + σ²/B",
              Identity(square(n) / n**2, mean**2 + var / n, domains), "divide by B²"),
         Step("E v_t = (E g²)·(1−β2^t) when it was so at t−1",
              Identity(line, second * (1 - v.beta**t), domains), "the rule's line is linear in v and "
              "g²; induction from v_0 = 0: E v̂_t = μ² + σ²/B for every t"),
    )  # fmt: skip


def _drift() -> tuple[Step, ...]:
    """What a step is worth per sample, with the root of E v̂ under m̂."""
    a, size, k, b = symbol("a", "positive"), W**2, symbol("k", "positive"), symbol("b", "unit")
    mean, m2, var = symbol("mean"), symbol("M", "positive"), symbol("var", "positive")
    domains = {"w": "positive", "var": "positive"}

    def drift(rate: Expr) -> Expr:
        return rate * mean / sp.sqrt(mean**2 + var / size) / size

    def kept(batch: Expr) -> Expr:
        return var / (var + batch * m2)

    larger, smaller = kept((1 + k) * size), kept(size)
    return (
        Step("B = w²: per sample the mean moves x by a·√B·μ/√(μ²+σ²/B)/B = a·μ/√(σ²+B·μ²)",
             Identity(drift(a * W), a * mean / sp.sqrt(var + size * mean**2), domains),
             "m̂ over the root of E v̂"),
        Step("its square is (a·μ/σ)²·σ²/(σ²+B·μ²)",
             Identity(drift(a * W) ** 2, (a * mean) ** 2 / var * kept(size).subs(m2, mean**2), domains),
             "the last factor is 1 at μ = 0"),
        Step("over what it is at B = 1, the square is (σ²+μ²)/(σ²+B·μ²)",
             Identity(drift(a * W) ** 2, drift(a * W).subs(W, 1) ** 2
                      * (var + mean**2) / (var + size * mean**2), domains),
             "1 for B > 1 only at μ = 0"),
        Step("a batch (1+k) times larger: the factor falls",
             Holds(gt(smaller, larger), (), domains), "M = μ² > 0: no rule α = a·√B is exact"),
        Step("but by no more than k·B·μ²/σ² of itself",
             Holds(ge(larger, smaller * (1 - k * size * m2 / var)), (), domains),
             "so it holds as far as noise dominates, k·B·μ² ≪ σ²"),
        Step("with α = a·B the square of the drift per sample is a² − a²·σ²/(σ²+B·μ²)",
             Identity(drift(a * size) ** 2, a**2 - a**2 * kept(size).subs(m2, mean**2), domains),
             "without noise that is the exact rule: every step is as long, and there are fewer"),
        Step("an average reaches back 1/(1−β) steps, B/(1−β) samples; with κB for B and 1−κ(1−β) for β "
             "it is as many",
             Identity(k * size / (1 - (1 - k * (1 - b))), size / (1 - b), {**domains, "b": "unit"}),
             "k = κ: why Malladi et al. change the betas too; with the same ones it is κ times as many"),
    )  # fmt: skip


@claim("sqrt-batch-scaling-noise", family=FAMILY, source=M21("the square root scaling rule"),
       says="When the square root is right.",
       statement="E v̂_t = μ² + σ²/B for batches of B. If the gradient is noise alone and shrinks as "
                 "1/√B in law, as Gaussian noise does, then α ∝ √B and ε ∝ 1/√B keep the law of "
                 "(x_t − x_{t−1})²/B for every t.",
       hypotheses="i.i.d. gradients, σ² > 0. The betas stay, and only what a step "
                  "does is proved. Malladi et al. also take 1−β to κ(1−β) for batches κ times as "
                  "large (α to √κ·α, ε to ε/√κ) and compare at equal numbers of samples, t·B fixed, as "
                  "approximations of one SDE: small steps, and noise that dominates.")  # fmt: skip
def sqrt_batch_scaling_noise(rule: Rule) -> Case | None:
    """Moments by induction; the noise by homogeneity with c = 1/√B."""
    if not _adaptive(rule) or "eps" not in rule.hyper or rule.only is None:
        return None
    factors = answer(rule, {g: g / W, eps: eps / W, alpha: alpha * W}, (1 / W, 1 / W**2, sp.Integer(1)))
    if factors is None:
        return None
    up = changed({g: g / W, eps: eps / W, alpha: alpha * W}, factors)
    new, domains = rule.only.new, {**rule.domains, "w": "positive"}
    noise = tuple(
        Step(f"g and ε over √B, α times √B: {n} takes the factor {f}, w = √B",
             Identity(new[n].xreplace(up), f * new[n], domains), "induction from a zero start")
        for n, f in factors.items()
    )  # fmt: skip
    moved = new["x"] - x

    def excess(run: Run, p: Point) -> Interval:
        gs = [p["g1"], p["g2"], p["g3"]]
        one = run(p, gs).x
        four = run({**p, "alpha": 2 * p["alpha"], "eps": p["eps"] / 2}, [k / 2 for k in gs]).x
        return abs(four[3] - four[2] - 2 * (one[3] - one[2]))

    return Case(
        (*_moments_of_a_batch(rule), *noise,
         Step("and each move takes the factor √B, whatever the noise was",
              Identity(moved.xreplace(up), W * moved, domains),
              "so (x_t − x_(t−1))²/B is the same function of the noise for every B")),
        control=Identity(moved.xreplace(up), moved, domains),
        runs=Runs(excess, grid(g1="1 -2", g2="1 -1", g3="2 1/2", eps="1 1/2", alpha="1 1/2")),
    )  # fmt: skip


def _divided_by_root(rule: Rule) -> tuple[Expr, Expr] | None:
    """Return the line of x at ε = 0 and as m̂_t (or g_t) over √v̂_t (or √v_t); None for other rules."""
    m, v = first_moment(rule), second_moment(rule)
    assert v is not None
    line = rule.late.new["x"].subs(eps, 0)
    tops = (g,) if m is None else (m.new, m.new / (1 - m.beta**t))
    told = (kept - alpha * top / sp.sqrt(square)
            for kept in (x, x - alpha * lambda_ * x, x - lambda_ * x) for top in tops
            for square in (v.new, v.new / (1 - v.beta**t)))  # fmt: skip
    return next(((line, e) for e in told if same(rule, line, e)), None)


@claim("sqrt-batch-scaling-drift", family=FAMILY, source=M21("the square root scaling rule"),
       says="What α ∝ √B does to the drift.",
       statement="With α = a√B and a mean μ the drift per sample is aμ/√(σ²+Bμ²): from batches of 1 to "
                 "batches of B it falls by √((σ²+μ²)/(σ²+Bμ²)), and stays only at μ = 0; with α = a·B "
                 "it rises towards a·sign(μ).",
       hypotheses="i.i.d. gradients, σ² > 0; ε = 0, and in place of m̂_t and √v̂_t their mean and "
                  "√(E v̂_t), for late t. For a rule that divides by √v̂_t: centered RMSprop "
                  "divides by about σ/√B, and its drift aμ/σ per sample does not fall.")  # fmt: skip
def sqrt_batch_scaling_drift(rule: Rule) -> Case | None:
    """Algebra on the moments of a batch."""
    if not _adaptive(rule) or rule.only is None or (pair := _divided_by_root(rule)) is None:
        return None
    a, mean, var = symbol("a", "positive"), symbol("mean"), symbol("var", "positive")
    domains = {"w": "positive", "var": "positive"}
    at = a**2 * mean**2 / (var + W**2 * mean**2)
    return Case(
        (Step("at ε = 0 the rule divides the mean gradient by the root of v̂_t",
              Identity(*pair, rule.domains), "its own line"),
         *_moments_of_a_batch(rule), *_drift()),
        control=Identity(at, at.subs(W, 1) * var / (var + W**2 * mean**2), domains),
    )  # fmt: skip
