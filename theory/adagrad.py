"""Section 2, AdaGrad: when its rate tends to 0, and how far it still goes then."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .rates import ZERO, Rate, accumulator
from .records import Case, Expr, Holds, Identity, Point, Run, Runs, Step
from .rule import Rule
from .sources import HERE, Z12
from .symbols import alpha, eps, eta, g, ge, gt, new, old, symbol, t, x

FAMILY = "step size"


def lengths(run: Run, p: Point, gradients: list[Fraction]) -> list[Interval]:
    """Return |x_t − x_{t−1}| for every step of a run from 0."""
    return [abs(b - a) for a, b in pairwise(run(p, gradients, ZERO).x)]


@claim("adagrad-dies", family=FAMILY, source=Z12("section 2.2.2"),
       says="AdaGrad's rate shrinks to zero and training stops.",
       statement="Where the rate tends to 0 the movement dies out with it: under a constant gradient "
                 "the rate halves from step n to step 4n (ε = 0), and x moves no further in steps "
                 "n+1 … 4n than in steps 1 … n.",
       hypotheses="no rate decay (η = 0).", repaired_by="adagrad-path")  # fmt: skip
def adagrad_dies(rule: Rule) -> Case | None:
    """The rate does tend to 0; the distance in such a block grows with n instead: n = 1 shows it."""
    if accumulator(rule) is None:
        return None

    def excess(run: Run, p: Point) -> Interval:
        first, *later = lengths(run, p, [p["g1"]] * 4)
        return sum(later, Interval.of(0)) - first

    return Case(runs=Runs(excess, grid(g1="1 2", alpha="1", eps="0 1", eta="0")))


def _lines(rule: Rule, rate: Rate, *, decay: bool = False) -> tuple[Step, ...]:
    """One step of AdaGrad, and |g_t| ≤ √G_t."""
    s, s_t = old(rate.name), new(rate.name)
    a, h = symbol("a", "nonnegative"), symbol("h", "nonnegative")
    domains = {s_t.name: "nonnegative", "a": "nonnegative", "h": "nonnegative"}
    moved, slower = rule.late.new["x"] - x, 1 + (t - 1) * eta if decay else sp.Integer(1)
    moved = moved if decay else moved.subs(eta, 0)
    root = sp.sqrt(h + a**2)
    return (
        Step("|x_t − x_(t−1)| = α|g_t|/((1+(t−1)η)(√G_t+ε))" if decay
             else "η = 0:  |x_t − x_(t−1)| = α|g_t|/(√G_t + ε)",
             Identity(moved, -alpha * g / (slower * (sp.sqrt(s_t) + eps)), domains), "the rule's line"),
        Step("G_t = G_(t−1) + g_t²", Identity(rule.late.new[rate.name] - s, g**2), "its other line"),
        Step("√(h + a²) − a = h/(√(h + a²) + a), with h = G_(t−1), a = |g_t|",
             Identity(root - a, h / (root + a), domains), "multiply by the sum"),
        Step("which is ≥ 0: |g_t| ≤ √G_t", Holds(ge(h / (root + a), 0), (), domains), "signs"),
    )  # fmt: skip


def _blocks() -> tuple[Step, ...]:
    """G → ∞ makes the path infinite: Abel and Dini's argument, in blocks."""
    names = ("a", "r", "c", "d", "h", "e")
    a, r, c, d, h, e = (symbol(n, "positive") for n in names)
    domains = dict.fromkeys(names, "positive")
    u = symbol("u", "nonnegative")
    rest = d * (h - c) / (h * (h + d))
    return (
        Step("|g_t|/√G_t ≥ g_t²/G_t", Holds(ge(a / r, a**2 / r**2), (ge(r, a),), domains, {r: a + u}),
             "a = |g_t| ≤ r = √G_t"),
        Step("for G_n = c ≤ G_(N) = h and g_(N+1)² = d:  d/(h+d) = (1 − c/(h+d)) − (1 − c/h) + "
             "d(h−c)/(h(h+d))",
             Identity(d / (h + d), (1 - c / (h + d)) - (1 - c / h) + rest, domains),
             "one more term of Σ_{n<t≤N} g_t²/G_t"),
        Step("the last part is ≥ 0, so Σ_{n<t≤N} g_t²/G_t ≥ 1 − G_n/G_N",
             Holds(ge(rest, 0), (ge(h, c),), domains, {h: c + u}),
             "induction on N; at N = n both sides are 0"),
        Step("a block from n on with G_N ≥ 2·G_n has a sum of at least 1/2",
             Holds(ge(1 - c / h, sp.Rational(1, 2)), (ge(h, 2 * c),), domains, {h: 2 * c + u}),
             "if G → ∞ each n has such an N: there are infinitely many blocks"),
        Step("as soon as √G_t ≥ ε:  α|g_t|/(√G_t+ε) ≥ (α/2)·|g_t|/√G_t",
             Holds(ge(alpha * a / (r + e), alpha / 2 * (a / r)), (ge(r, e),), domains, {r: e + u}),
             "so each late block is at least α/4 long (α/2 at ε = 0): the path is infinite"),
    )  # fmt: skip


def _limits() -> tuple[Step, ...]:
    """When the rate tends to 0, and when the path is finite."""
    names = ("δ", "c", "b", "s")
    delta, c, b, s = (symbol(n, "positive") for n in names)
    r, a, u, w = (symbol(n, "nonnegative") for n in "rauw")
    domains = dict.fromkeys(names, "positive") | dict.fromkeys("rauw", "nonnegative")
    return (
        Step("δ·√G_t > α gives α/(√G_t+ε) < δ",
             Holds(gt(delta, alpha / (r + eps)), (gt(delta * r, alpha),), domains,
                   {alpha: delta * r - s}), "the rate tends to 0 if G → ∞"),
        Step("√G_t ≤ b gives α/(√G_t+ε) ≥ α/(b+ε) > 0",
             Holds(ge(alpha / (r + eps), alpha / (b + eps)), (ge(b, r),), domains, {b: r + u}),
             "and only then"),
        Step("if the path is finite, G is bounded by b², and |g_t| ≤ |x_t − x_(t−1)|·(b+ε)/α",
             Holds(ge(alpha * a / (r + eps) * (b + eps) / alpha, a), (ge(b, r),), domains, {b: r + u}),
             "so Σ|g_t| < ∞"),
        Step("from the first g_t ≠ 0 on, c = its size:  α|g_t|/(√G_t+ε) ≤ α|g_t|/(c+ε)",
             Holds(ge(alpha * a / (c + eps), alpha * a / (r + eps)), (ge(r, c),), domains, {r: c + u}),
             "so Σ|g_t| < ∞ makes the path finite"),
        Step("(w + a)² ≥ w² + a², so √G_t ≤ Σ_{i≤t} |g_i|",
             Holds(ge((w + a) ** 2, w**2 + a**2), (), domains),
             "induction: then the rate is at least α/(Σ|g_i| + ε)"),
    )  # fmt: skip


@claim("adagrad-path", family=FAMILY, source=HERE,
       says="When AdaGrad's rate tends to zero, and when it stops.",
       statement="The rate tends to 0 iff Σ g_t² = ∞, and then the path Σ |x_t − x_{t−1}| is infinite; "
                 "the path is finite iff Σ |g_t| < ∞, and then the rate is at least α/(Σ|g_t| + ε).",
       hypotheses="no rate decay (η = 0); ε ≥ 0; some g_t ≠ 0.")  # fmt: skip
def adagrad_path(rule: Rule) -> Case | None:
    """Divergence in blocks in which G doubles; the two halves of the belief exclude each other."""
    rate = accumulator(rule)
    if rate is None:
        return None
    c, h = symbol("c", "positive"), symbol("h", "positive")

    def excess(run: Run, p: Point) -> Interval:
        gradients = [p[n] for n in ("g1", "g2", "g3")]
        walked = sum(lengths(run, p, gradients)[1:], Interval.of(0))
        total: Fraction = sum((v**2 for v in gradients), ZERO)
        return p["alpha"] * (1 - p["g1"] ** 2 / total) - walked

    return Case(
        (*_lines(rule, rate), *_blocks(), *_limits()),
        control=Holds(ge(1 - c / h, sp.Rational(1, 2)), (ge(h, c),)),
        runs=Runs(excess, grid(g1="1 2", g2="1 -1 1/2", g3="1 4", alpha="1", eps="0", eta="0")),
    )


def _telescope() -> tuple[Step, ...]:
    """Σ_{t≥2} 1/(√t(1+(t−1)η)) ≤ 4/η, by differences of 1/√t."""
    p = symbol("p", "positive")
    domains = {"p": "positive", "eta": "positive"}
    r = sp.sqrt(p**2 + 1)
    fall: Expr = 1 / p - 1 / r
    u = symbol("u", "nonnegative")
    return (
        Step("t − 1 ≥ t/2 for t ≥ 2, so 1+(t−1)η ≥ η·t/2",
             Holds(ge(1 + (t - 1) * eta, eta * t / 2), (ge(t, 2),), domains, {t: 2 + u}), "shift"),
        Step("with p² = t−1, r² = t:  1/p − 1/r = 1/(p·r·(p+r))",
             Identity(fall, 1 / (p * r * (p + r)), domains), "r² − p² = 1"),
        Step("1/(p·r·(p+r)) = 1/(2r³) + (2r² − p·r − p²)/(2·p·r³·(p+r))",
             Identity(1 / (p * r * (p + r)), 1 / (2 * r**3) + (2 * r**2 - p * r - p**2)
                      / (2 * p * r**3 * (p + r)), domains), "put 1/(2r³) aside"),
        Step("2r² − p·r − p² = (r − p)(2r + p) = (2r + p)/(r + p)",
             Identity(2 * r**2 - p * r - p**2, (2 * r + p) / (r + p), domains), "r − p = 1/(r+p)"),
        Step("which is > 0, so 1/(t√t) ≤ 2/√(t−1) − 2/√t, and the sum over t ≥ 2 is at most 2",
             Holds(gt((2 * r + p) / (r + p), 0), (), domains), "the differences telescope"),
    )  # fmt: skip


@claim("adagrad-decay-stops", family=FAMILY, source=HERE,
       says="With the frameworks' rate decay AdaGrad does stop.",
       statement="For η > 0 and gradients with c ≤ |g_t| ≤ C the path is at most α·(C/c)·(1 + 4/η), "
                 "whatever the number of steps.",
       hypotheses="η > 0, 0 < c ≤ |g_t| ≤ C, ε ≥ 0.")  # fmt: skip
def adagrad_decay_stops(rule: Rule) -> Case | None:
    """The sum of 1/(t√t) converges."""
    rate = accumulator(rule)
    if rate is None or not rate.denominator.has(eta):
        return None
    c, a, n, r, big = (symbol(k, "positive") for k in ("c", "a", "n", "r", "C"))
    u, w, h = symbol("u", "nonnegative"), symbol("w", "nonnegative"), symbol("h", "positive")
    domains = dict.fromkeys(("c", "a", "n", "r", "C", "h"), "positive")

    def excess(run: Run, p: Point) -> Interval:
        gradients = [p[k] for k in ("g1", "g2", "g3")]
        low, high = min(map(abs, gradients)), max(map(abs, gradients))
        walked = sum(lengths(run, p, gradients), Interval.of(0))
        return walked * p["eta"] - p["alpha"] * high / low * (p["eta"] + 4)

    return Case(
        (*_lines(rule, rate, decay=True),
         Step("G_t ≥ c²·t gives G_(t+1) ≥ c²·(t+1)",
              Holds(ge(h + a**2, c**2 * (n + 1)), (ge(h, c**2 * n), ge(a, c)), domains,
                    {h: c**2 * n + u, a: c + w}), "induction, n = t; so √G_t ≥ c·√t"),
         Step("so a step is at most α(C/c)/(√t·(1+(t−1)η))",
              Holds(ge(alpha * big / (c * r * n), alpha * a / (n * (h + eps))),
                    (ge(h, c * r), ge(big, a)), domains, {h: c * r + u, big: a + w}),
              "a = |g_t| ≤ C, h = √G_t, r = √t, n = 1+(t−1)η; the first is at most α·C/c"),
         *_telescope(),
         Step("1/(√t·(1+(t−1)η)) ≤ (2/η)/(t√t): the sum over t ≥ 2 is at most 4/η",
              Holds(ge(2 / (eta * r**3), 1 / (r * n)), (ge(n, eta * r**2 / 2),),
                    {**domains, "eta": "positive"}, {n: eta * r**2 / 2 + u}), "with the last lines")),
        control=Holds(ge(2 / (eta * r**3), 1 / (r * n)), (ge(n, 1),), {**domains, "eta": "positive"}),
        runs=Runs(excess, grid(g1="1 2", g2="1 -1", g3="1 1/2", eta="1 2 1/2", alpha="1", eps="0 1")),
    )  # fmt: skip
