"""Section 7b: whether v is a curvature, and whether unbiased averages make an unbiased step."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .records import Case, Expr, Identity, Point, Run, Runs, Step
from .roles import Average, quotient, second_moment
from .rule import Rule
from .sources import HERE, KB15, KHB19
from .step_size import adam_like, is_adams
from .symbols import alpha, eps, g, symbol, t, x

FAMILY = "bias correction"
ZERO = Fraction(0)
HALF, QUARTER = Fraction(1, 2), Fraction(1, 4)


def _squares(rule: Rule) -> Average | None:
    """Return v, if it averages g² alone."""
    v = second_moment(rule)
    return v if v is not None and v.input == g**2 else None


def _v_hat(run: Run, p: Point, v: Average, gradients: list[Fraction]) -> Interval:
    steps = len(gradients)
    return run(p, gradients).state[v.name][steps] / (1 - p[v.beta.name] ** steps)


# -- v as a curvature ------------------------------------------------------------------------------


@claim("v-is-curvature", family=FAMILY, source=KB15("section 5, on natural gradient"),
       says="v̂ approximates the diagonal of the Hessian or Fisher matrix, so Adam is second-order.",
       statement="On f(x) = x²/2, whose second derivative is 1 everywhere, v̂_1 is the same wherever "
                 "it is taken.",
       repaired_by="v-is-fisher-when")  # fmt: skip
def v_is_curvature(rule: Rule) -> Case | None:
    """The gradient at x is x: v̂_1 = x², at one point four times what it is at another."""
    v = _squares(rule)
    if v is None:
        return None
    return Case(
        runs=Runs(
            lambda run, p: abs(_v_hat(run, p, v, [p["g1"]]) - _v_hat(run, p, v, [p["g2"]])),
            grid(g1="1 2", g2="1 2", eps="1", **{v.beta.name: "1/2"}),
        )
    )


def _finite_labels() -> tuple[Step, ...]:
    """E score = 0 and E score² = E second derivative of −log p, over the model's own labels."""
    p, p1, p2 = symbol("p", "positive"), symbol("p1"), symbol("p2")
    theta = symbol("θ")
    label = sp.Function("label", positive=True)(theta)
    first, second = (-sp.diff(sp.log(label), theta, n) for n in (1, 2))
    at = {sp.diff(label, theta, 2): p2, sp.diff(label, theta): p1, label: p}
    score, curvature = first.subs(at), second.subs(at)
    return (
        Step("label with probability p(θ): p·(−log p)'' = p·((−log p)')² − p''",
             Identity(p * curvature, p * score**2 - p2), "derivatives in θ; over all labels Σp = 1, so "
             "Σp'' = 0 and E (−log p)'' = E score²: both are the Fisher information F"),
        Step("p·(−log p)' = −p'", Identity(p * score, -p1), "Σp' = 0, so E score = 0"),
    )  # fmt: skip


def _gaussian() -> tuple[Step, ...]:
    """Least squares: a label h(θ) + n with any mean h, E n = 0 and E n² = s²."""
    theta, s, n, y = symbol("θ"), symbol("s", "positive"), symbol("n"), symbol("y")
    h, h1, h2 = symbol("h"), symbol("h1"), symbol("h2")
    mean = sp.Function("mean", real=True)(theta)
    loss = (y - mean) ** 2 / (2 * s**2)
    at = {sp.diff(mean, theta, 2): h2, sp.diff(mean, theta): h1, mean: h}
    score, curvature = (sp.diff(loss, theta, k).subs(at).subs(y, h + n) for k in (1, 2))
    return (
        Step("Gaussian label y = h(θ) + n, variance s²: score = −n·h'/s²",
             Identity(score, -n * h1 / s**2), "derivative of (y−h(θ))²/(2s²)"),
        Step("the second derivative is h'²/s² − n·h''/s²",
             Identity(curvature, h1**2 / s**2 - n * h2 / s**2), "E n = 0: its mean is h'²/s²"),
        Step("score² = n²·h'²/s⁴, with mean h'²/s²",
             Identity(sp.expand(score**2).subs(n**2, s**2), h1**2 / s**2), "E n² = s²: the same"),
    )  # fmt: skip


def _other_labels() -> tuple[Step, ...]:
    """A batch mean, and labels that the model did not draw."""
    f, b = symbol("F", "positive"), symbol("B", "natural")
    p, r, root = symbol("p", "unit"), symbol("r", "unit"), symbol("√F", "positive")
    seen = r * (p - 1) ** 2 + (1 - r) * p**2
    return (
        Step("S_B a sum of B independent scores, E S_B² = B·F: the mean of B+1 has E g² = F/(B+1)",
             Identity((b * f + f) / (b + 1) ** 2, f / (b + 1)),
             "E (S_B + score)² = B·F + F as E score = 0; induction: F/B for batches of B"),
        Step("label 1 with probability r, model p (score p − y): E g² − p(1−p) = (r−p)(1−2p)",
             Identity(seen - p * (1 - p), (r - p) * (1 - 2 * p)),
             "data instead of the model's labels: not F unless r = p (or p = 1/2)"),
        Step("1/√F − 1/F = (√F − 1)/F",
             Identity(1 / root - 1 / root**2, (root - 1) / root**2, {"√F": "positive"}),
             "0 only for F = 1; √v̂ is in the denominator: even with v̂ = F it is no Newton's step"),
    )  # fmt: skip


@claim("v-is-fisher-when", family=FAMILY, source=KHB19("on the empirical Fisher"),
       says="When v̂ estimates the Fisher information.",
       statement="At a fixed parameter E v̂_t = F, the Fisher information and expected second "
                 "derivative of the loss, for every t, if each gradient is of one sample whose label "
                 "the model draws; F/B for means over batches of B; with the data's labels in general "
                 "neither. The step divides by √v̂, not by v̂.",
       hypotheses="loss −log p(label) of a twice differentiable model, with finitely many labels or a "
                  "Gaussian one of fixed variance around h(θ); i.i.d. samples.")  # fmt: skip
def v_is_fisher_when(rule: Rule) -> Case | None:
    """The information identity for each model, then v's own recursion in expectation."""
    v = _squares(rule)
    if v is None:
        return None
    f = symbol("F", "positive")
    line = rule.late.new[v.name].xreplace({v.old: f * (1 - v.beta ** (t - 1)), g**2: f})

    def excess(run: Run, p: Point) -> Interval:
        """Logistic model, label 1 with probability 1/4, feature z = g1: E v̂_2 over both labels."""
        told = Interval.of(0)
        for labels in product((0, 1), repeat=2):
            weight = (QUARTER if labels[0] else 1 - QUARTER) * (QUARTER if labels[1] else 1 - QUARTER)
            told = told + _v_hat(run, p, v, [(QUARTER - y) * p["g1"] for y in labels]) * weight
        return abs(told - QUARTER * (1 - QUARTER) * p["g1"] ** 2)

    return Case(
        (*_finite_labels(), *_gaussian(),
         Step("E v_t = F·(1−β2^t) when it was so at t−1",
              Identity(line, f * (1 - v.beta**t), {"F": "positive"}),
              "the rule's line is linear in v and g², E g² = F; so E v̂_t = F"),
         *_other_labels()),
        control=Identity(line, f, {"F": "positive"}),
        runs=Runs(excess, grid(g1="1 2 -1", eps="1", **{v.beta.name: "1/2 3/4"})),
    )  # fmt: skip


# -- the step as an estimate -----------------------------------------------------------------------


def _unbiased(rule: Rule) -> bool:
    q = adam_like(rule)
    return q is not None and q.kept == x and is_adams(rule, q)


def _expected_move(run: Run, p: Point, likely: Fraction = HALF) -> Interval:
    """E (x_1 − x_0)/α for a gradient that is g1 with the given probability, else g2."""
    one, two = (run(p, [p[n]]).x[1] for n in ("g1", "g2"))
    return (one * likely + two * (1 - likely)) / p["alpha"]


@claim("corrected-step-unbiased", family=FAMILY, source=KB15("section 3"),
       says="With m̂ and v̂ unbiased, the step is unbiased.",
       statement="E (x_1 − x_0) = −α·E m̂_1/√(E v̂_1) at ε = 0 for a gradient that takes two values "
                 "with equal probability.",
       repaired_by="corrected-step-bias")  # fmt: skip
def corrected_step_unbiased(rule: Rule) -> Case | None:
    """The quotient of two unbiased estimates, which depend on one another, is not one."""
    if not _unbiased(rule):
        return None

    def excess(run: Run, p: Point) -> Interval:
        mean, square = (p["g1"] + p["g2"]) / 2, (p["g1"] ** 2 + p["g2"] ** 2) / 2
        return abs(_expected_move(run, p) + mean / Interval.of(square).sqrt())

    return Case(runs=Runs(excess, grid(g1="1 3", g2="1 -1 2", eps="0", alpha="1")))


@claim("corrected-step-bias", family=FAMILY, source=HERE,
       says="How biased the first step is.",
       statement="For g = a with probability p, else −b (a, b > 0), E (x_1 − x_0) = −α(2p−1) at ε = 0, "
                 "and (2p−1)²E g² − μ² = −p(1−p)(a−b)((4p−1)a − (3−4p)b): at p = 1/2 no bias only for "
                 "a = b; and it goes uphill, against μ, whenever p > 1/2 and pa < (1−p)b.",
       hypotheses="ε = 0, t = 1.")  # fmt: skip
def corrected_step_bias(rule: Rule) -> Case | None:
    """The first step sees the sign alone."""
    q = quotient(rule)
    if not _unbiased(rule) or q is None:
        return None
    a, b, p, g1 = symbol("a", "positive"), symbol("b", "positive"), symbol("p", "unit"), symbol("g1")
    first = rule.unrolled(1)["x"].subs(eps, 0) - x
    mean, square = p * a - (1 - p) * b, p * a**2 + (1 - p) * b**2
    expected = p * first.subs(g1, a) + (1 - p) * first.subs(g1, -b)
    rest, s, e = p * (1 - p) * (a - b), symbol("s", "positive"), symbol("e", "positive")

    def gap(likely: Expr) -> Expr:
        return ((2 * p - 1) ** 2 * square - mean**2).subs(p, likely)

    def excess(run: Run, point: Point) -> Interval:
        signs = [Fraction(1 if point[n] > 0 else -1) for n in ("g1", "g2")]
        told = QUARTER * signs[0] + (1 - QUARTER) * signs[1]
        return abs(_expected_move(run, point, QUARTER) + told)

    return Case(
        (Step("E (x_1 − x_0) = −α·(2p−1)", Identity(expected, -alpha * (2 * p - 1)),
              "the rule at t = 1, ε = 0: −α·g/|g|"),
         Step("(2p−1)²·E g² − μ² = −p(1−p)(a−b)((4p−1)a − (3−4p)b), μ = pa − (1−p)b",
              Identity(gap(p), -rest * ((4 * p - 1) * a - (3 - 4 * p) * b)),
              "without bias it would be 0: −αμ/√(E g²) squared"),
         Step("at p = 1/2 it is −(a−b)²/4", Identity(gap(sp.Rational(1, 2)), -((a - b) ** 2) / 4),
              "0 only for a = b, when |g| is constant"),
         Step("p = 1/2 + s with b > pa/(1−p): E (x_1 − x_0) = −2αs",
              Identity(expected.subs(p, sp.Rational(1, 2) + s), -2 * alpha * s, {"s": "positive"}),
              "it goes down"),
         Step("while μ = pa − (1−p)·(pa/(1−p) + e) = −(1−p)·e < 0",
              Identity(mean.subs(b, p * a / (1 - p) + e), -(1 - p) * e), "so it should go up: uphill")),
        control=Identity(gap(p), sp.Integer(0)),
        runs=Runs(excess, grid(g1="1 3 -2", g2="1 -1 2", eps="0", alpha="1 1/2")),
    )  # fmt: skip
