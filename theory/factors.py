"""Section 7b: factors on the gradient: clipping, loss scaling, the sum or the mean of the loss."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .invariance import FAMILY, SCALE, changed, lines, scaled
from .records import Case, Holds, Identity, Point, Run, Runs, Step
from .roles import Average, first_moment, quotient, same, second_moment
from .rule import Rule
from .scale import Scaling, scaling
from .sources import FOLKLORE, HERE
from .symbols import eps, g, gt, lambda_, symbol

ONE, THREE = Fraction(1), Fraction(3)


def penalty(rule: Rule) -> Scaling | None:
    """Return how a rule scales, if only with the strength of its L2 penalty."""
    found = scaling(rule)
    return found if found is not None and lambda_ in found.along else None


@claim("constant-factor-harmless", family=FAMILY, source=FOLKLORE,
       says="The sum or the mean of the loss, a loss scale: a fixed factor on the gradient is nothing "
            "to Adam.",
       statement="A factor c > 0 on the gradient of the loss that is the same at every step (sum or "
                 "mean, a fixed loss scale, clipping that acts by the same factor every time) leaves "
                 "every x_t unchanged at ε = 0.",
       hypotheses="the steps are defined (no 0/0).",
       repaired_by="loss-scale-is-penalty")  # fmt: skip
def constant_factor_harmless(rule: Rule) -> Case | None:
    """Homogeneity; an L2 penalty does not grow with the loss, and its weight beside it falls."""
    factors = scaled(rule)
    if "eps" not in rule.hyper or (factors is None and penalty(rule) is None):
        return None

    def excess(run: Run, p: Point) -> Interval:
        gs = [p["g1"], p["g2"]]
        return abs(run(p, gs, ONE).x[2] - run(p, [THREE * k for k in gs], ONE).x[2])

    runs = Runs(excess, grid(g1="1 2", g2="1 -1 3", lambda_="1/2 1/4", eps="0"))
    if factors is None:
        return Case(runs=runs)
    whole, change = rule.transition()["x"], {g: SCALE * g, eps: SCALE * eps}
    alone = whole.xreplace(changed({g: SCALE * g}, factors))
    return Case(
        lines(rule, change, factors, sp.Integer(1), "g and ε times c",
              "induction from the start: a zero takes any factor, and ε = 0 stays 0"),
        control=Identity(alone, whole, {**rule.domains, "c": "positive"}),
        runs=runs,
    )  # fmt: skip


@claim("loss-scale-is-penalty", family=FAMILY, source=HERE,
       says="What a factor on the loss does to a rule with an L2 penalty.",
       statement="A factor c > 0 on the gradient of the loss gives the x_t that λ/c and ε/c give "
                 "without it, for every t: at ε = 0 it is the L2 penalty, and no more, that it changes.",
       hypotheses="the penalty λx is added after the factor, as the frameworks do.")  # fmt: skip
def loss_scale_is_penalty(rule: Rule) -> Case | None:
    """Each state entry takes its power of c if g, λ and ε are all multiplied by c."""
    found = penalty(rule)
    if found is None:
        return None
    whole = rule.transition()["x"]
    short = {s: SCALE**k * s for s, k in found.along.items() if s != lambda_}
    alone = whole.xreplace(changed({g: SCALE * g, **short}, found.factors))

    def excess(run: Run, p: Point) -> Interval:
        gs, less = [p["g1"], p["g2"]], {n: p[n] / THREE for n in ("lambda_", "eps")}
        one, two = run(p, [THREE * k for k in gs], ONE), run({**p, **less}, gs, ONE)
        return abs(one.x[1] - two.x[1]).maximum(abs(one.x[2] - two.x[2]))

    return Case(
        lines(found.rule, found.change, found.factors, sp.Integer(1), "g, λ and ε times c",
              "induction from the start; with λ/c and ε/c for λ and ε: c on g alone"),
        control=Identity(alone, whole, {**rule.domains, "c": "positive"}),
        runs=Runs(excess, grid(g1="1 2", g2="1 -1", lambda_="1/2 1/4", eps="1 1/2")),
    )  # fmt: skip


@claim("clipping-is-harmless", family=FAMILY, source=FOLKLORE,
       says="Clipping the gradients does not matter to Adam, which divides their size away.",
       statement="Clipping every gradient to |g_t| ≤ 1 leaves every x_t unchanged at ε = 0.",
       repaired_by="constant-factor-harmless")  # fmt: skip
def clipping_is_harmless(rule: Rule) -> Case | None:
    """One clipped gradient after one that is not: their weights in the averages change."""
    if scaled(rule) is None or "eps" not in rule.hyper:
        return None

    def excess(run: Run, p: Point) -> Interval:
        gradients, gap = [p["g1"], p["g2"]], Interval.of(0)
        for steps in (1, 2):
            raw = gradients[:steps]
            clipped = [v * min(ONE, 1 / abs(v)) for v in raw]
            gap = abs(run(p, raw).x[-1] - run(p, clipped).x[-1])
            if gap.lo > Fraction(1, 1 << 20):
                break
        return gap

    return Case(runs=Runs(excess, grid(g1="1 2", g2="1 2 3", eps="0", alpha="1")))


def _first_change(m: Average, v: Average, rule: Rule) -> tuple[tuple[Step, ...], Identity]:
    """Where the factor first changes, by κ: the squares of the two moves, and a large h."""
    h, k, mo, vo = (symbol(n, "positive") for n in ("h", "κ", "mo", "vo"))
    a, lead, side, low = (symbol(n, "positive") for n in "ALSW")
    b1, b2, held = m.beta, v.beta, {m.old: mo, v.old: vo}
    ms, vs = ([rule.late.new[n].subs({**held, g: at}) for at in (h, k * h)] for n in (m.name, v.name))
    parts = {
        a: (k + 1) * (b1 * mo) ** 2 * (1 - b2),
        lead: 2 * b1 * mo * (1 - b1) * (1 - b2) * k,
        side: (k + 1) * (1 - b1) ** 2 * b2 * vo,
        low: 2 * b1 * mo * (1 - b1) * b2 * vo,
    }
    bracket = a * h + lead * h**2 - side * h - low
    cross = ms[0] ** 2 * vs[1] - ms[1] ** 2 * vs[0]
    e = symbol("e", "nonnegative")
    steps = (
        Step("the factor is 1 up to t−1 and κ at t; m, v > 0 there and g_t = h:  m_t²·v_t' − m_t'²·v_t "
             "= (κ−1)·h·(A·h + L·h² − S·h − W)",
             Identity(cross, (k - 1) * h * bracket.xreplace(parts)),
             "the rule's own lines, at h and at κ·h; A, L, S, W > 0 for 0 < β1, β2"),
        Step("the bracket is > 0 at h = 1 + (S+W)/L + e, e ≥ 0",
             Holds(gt(bracket.subs(h, 1 + (side + low) / lead + e), 0)),
             "so for κ ≠ 1 a large h moves x elsewhere: only if (for m < 0 take −h)"),
    )  # fmt: skip
    return steps, Identity(cross, sp.Integer(0))


@claim("clipping-harmless-iff", family=FAMILY, source=HERE,
       says="Which factors on the gradient are harmless.",
       statement="At ε = 0 factors c_t > 0 on the gradients leave every x_t unchanged, for every "
                 "gradient sequence, iff c_t is the same for every t (sum or mean of the loss, a "
                 "fixed loss scale; clipping only where it acts by the same factor at every step). The "
                 "first step takes any.",
       hypotheses="0 < β1, 0 < β2 for “only if”; D_t² is v_t times a function of t; the "
                  "steps are defined (no 0/0 at gradients that are all 0).")  # fmt: skip
def clipping_harmless_iff(rule: Rule) -> Case | None:
    """Homogeneity one way; at the first change of factor, a large gradient the other way."""
    q, m, v, factors = quotient(rule), first_moment(rule), second_moment(rule), scaled(rule)
    if q is None or m is None or v is None or factors is None:
        return None
    square = q.denominator.subs(eps, 0) ** 2
    ahead = sp.cancel(square / v.new)
    if ahead.has(v.new) or not same(rule, square, ahead * v.new):
        return None
    steps, near = _first_change(m, v, rule)
    g1, shrunk = symbol("g1"), symbol("c1", "positive")
    first = rule.unrolled(1)["x"].subs(eps, 0)

    def excess(run: Run, p: Point) -> Interval:
        pair, factor = [p["g1"], p["g2"]], abs(p["g2"] / p["g1"])
        constant = abs(run(p, pair).x[2] - run(p, [3 * k for k in pair]).x[2])
        alone = abs(run(p, [p["g1"]]).x[1] - run(p, [factor * p["g1"]]).x[1])
        return constant.maximum(alone)

    return Case(
        (*lines(rule, {g: SCALE * g, eps: SCALE * eps}, factors, sp.Integer(1), "g and ε times c",
                 "induction from the start: a constant factor changes no x_t at ε = 0"),
         Step("the first step is the same for c_1·g_1 at ε = 0",
              Identity(first.subs(g1, shrunk * g1), first), "it sees the sign alone"),
         Step("the move is −α·(m_t or m̂_t)/D_t, and D_t² at ε = 0 is v_t times a function of t",
              Identity(square, ahead * v.new, {v.new.name: "nonnegative"}), "the rule's own D"),
         *steps),
        control=near,
        runs=Runs(excess, grid(g1="1 2", g2="1 -1 3", eps="0", alpha="1")),
    )  # fmt: skip
