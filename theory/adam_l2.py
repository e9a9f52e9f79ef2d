"""Section 3: what an L2 penalty does under Adam: the first step, and the decay of a parameter."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .invariance import SIGN
from .records import Case, Expr, Holds, Identity, Point, Run, Runs, Step
from .roles import Quotient, first_moment, quotient, same, second_moment
from .rule import Rule
from .rules import named
from .sources import HERE, LH19
from .step_size import root_of
from .symbols import alpha, eps, g, gt, lambda_, symbol, t, x

FAMILY = "weight decay"
ONE, ZERO = Fraction(1), Fraction(0)


def penalised(rule: Rule) -> Quotient | None:
    """Return the quotient of an adaptive rule whose gradient carries λx."""
    q, m = quotient(rule), first_moment(rule)
    return q if q and m and m.input.has(x) and q.kept == x and q.corrected else None


@claim("adam-l2-equals-decay", family=FAMILY, source=LH19("Proposition 2"),
       says="Adam with L2 is AdamW.",
       statement="Adam with λx added to the gradient takes the steps of AdamW with decay λ.",
       repaired_by="adam-l2-first-step")  # fmt: skip
def adam_l2_equals_decay(rule: Rule) -> Case | None:
    """One coordinate, one step, ε = 0."""
    if penalised(rule) is None:
        return None
    decay = named("adamw")

    def excess(run: Run, p: Point) -> Interval:
        return abs(run(p, [p["g1"]], ONE).x[1] - decay.run(p, [p["g1"]], ONE).x[1])

    return Case(runs=Runs(excess, grid(g1="1 2", alpha="1 1/2", lambda_="1 1/2", eps="0")))


@claim("adam-l2-first-step", family=FAMILY, source=LH19("Proposition 2"),
       says="What L2 does under Adam.",
       statement="At ε = 0 the first step of Adam + L2 is −α·sign(g_1+λx_0), no decay at all. No single "
                 "λ' > 0 makes it AdamW for every g_1: where g_1 has the sign of g_1+λx_0, AdamW moves "
                 "αλ'x_0 more; where it has not, λ' = 2/|x_0| happens to fit. With a frozen "
                 "preconditioner no λ' fits two coordinates with different D.",
       hypotheses="ε = 0, g_1 ≠ 0, g_1+λx_0 ≠ 0; x_0 ≠ 0 and λ > 0 for what no λ' does.")  # fmt: skip
def adam_l2_first_step(rule: Rule) -> Case | None:
    """The rule at t = 1; two coordinates of a diagonal preconditioner."""
    if penalised(rule) is None:
        return None
    g1, first = symbol("g1"), rule.unrolled(1)["x"].subs(eps, 0)
    d1, d2, other = (symbol(n, "positive") for n in ("d1", "d2", "lambda2"))
    domains = dict.fromkeys(("d1", "d2", "lambda2", "a"), "positive")
    a, total, sign = symbol("a", "positive"), g1 + lambda_ * x, SIGN
    decay = named("adamw").unrolled(1)["x"].subs({eps: 0, lambda_: other})
    change = x / sp.Abs(total) - total * (2 * total * x) / (2 * sp.Abs(total) ** 3)

    def excess(run: Run, p: Point) -> Interval:
        start, plus = ONE, p["g1"] + p["lambda_"]
        told = start - (p["alpha"] if plus > 0 else -p["alpha"]) if plus else ZERO
        here = run(p, [p["g1"]], start).x[1] if plus else Interval.of(0)
        apart = named("adamw").run(p, [p["g1"]], start).x[1] - here + p["alpha"] * p["lambda_"]
        return abs(here - told).maximum(abs(apart) if plus * p["g1"] > 0 else Interval.of(0))

    return Case(
        (Step("x_1 = x_0 − α·(g_1+λx_0)/|g_1+λx_0|",
              Identity(first, x - alpha * total / sp.Abs(total)), "the rule at t = 1, ε = 0"),
         Step("u/√(u²) has the λ-derivative u'/|u| − u·(2uu')/(2|u|³) = 0, u = g_1+λx_0, u' = x_0",
              Identity(change, sp.Integer(0)), "v̂ is not frozen: it takes λ up as m̂ does"),
         Step("where g_1 has the sign e = k/|k| of g_1+λx_0: x_1^AdamW − x_1 = −αλ'·x_0",
              Identity(decay.subs(g1, a * sign) - (x - alpha * sign), -alpha * other * x, domains),
              "not 0 for λ' > 0, x_0 ≠ 0"),
         Step("which is so for g_1 = x_0: x_0·(x_0+λx_0) = (1+λ)·x_0² > 0",
              Identity(x * (x + lambda_ * x), (1 + lambda_) * x**2), "so no λ' fits every g_1"),
         Step("where g_1 = −a·e, e = x_0/|x_0| the sign of g_1+λx_0: λ' = 2/|x_0| fits that g_1",
              Identity(decay.subs({g1: -a * x / sp.Abs(x), other: 2 / sp.Abs(x)}),
                       x - alpha * x / sp.Abs(x), domains), "α = 1/4, x_0 = 1, g_1 = −1, λ = 2 = λ'"),
         Step("λ/D₁ − λ/D₂ = λ(D₂−D₁)/(D₁D₂)",
              Identity(lambda_ / d1 - lambda_ / d2, lambda_ * (d2 - d1) / (d1 * d2), domains),
              "L2 decays coordinate i by αλx/D_i, decay by αλ'x: λ' = λ/D₁ = λ/D₂ only if D₁ = D₂")),
        control=Identity(first, (1 - alpha * lambda_) * x - alpha * g1 / sp.Abs(g1)),
        runs=Runs(excess, grid(g1="1 -2 2", alpha="1 1/2", lambda_="1 1/2", eps="0")),
    )  # fmt: skip


@claim("l2-decay-per-parameter", family=FAMILY, source=LH19("section 2"),
       says="Under Adam + L2 the decay of a parameter is αλ/(√v̂+ε).",
       statement="x_t with L2 − x_t without it = −αλx_{t−1}/(√v̂_t+ε).",
       repaired_by="l2-decay-frozen")  # fmt: skip
def l2_decay_per_parameter(rule: Rule) -> Case | None:
    """At t = 1, ε = 0, both steps are ±α: the λ-part vanishes."""
    if penalised(rule) is None:
        return None
    v = second_moment(rule)
    assert v is not None

    def excess(run: Run, p: Point) -> Interval:
        with_l2, without = run(p, [p["g1"]], ONE), run({**p, "lambda_": ZERO}, [p["g1"]], ONE)
        root = (with_l2.state[v.name][1] / (1 - p["beta2"])).sqrt()
        return abs(with_l2.x[1] - without.x[1] + p["alpha"] * p["lambda_"] / (root + p["eps"]))

    return Case(runs=Runs(excess, grid(g1="1 2", alpha="1", beta2="3/4", lambda_="1", eps="0")))


@claim("l2-decay-frozen", family=FAMILY, source=HERE,
       says="When the decay under Adam + L2 is αλx/D.",
       statement="With D frozen and β1 = 0 it is αλx/D, decreasing in D; with momentum it is "
                 "αλ·(bias-corrected average of x)/D.",
       hypotheses="D fixed (not a function of λ).")  # fmt: skip
def l2_decay_frozen(rule: Rule) -> Case | None:
    """M splits into a gradient part and λ times an average of x."""
    q, m = penalised(rule), first_moment(rule)
    if q is None or m is None:
        return None
    d, d2, mg, mx = (symbol("d", "positive"), symbol("d2", "positive"), symbol("mg"), symbol("mx"))
    domains = {"d": "positive", "d2": "positive"}
    line = rule.late.new[m.name]
    b = m.beta
    c = symbol("c", "positive")
    return Case(
        (Step("m' with m = m^g + λ·m^x is (β1 m^g + (1−β1)g) + λ(β1 m^x + (1−β1)x)",
              Identity(line.xreplace({m.old: mg + lambda_ * mx}),
                       b * mg + (1 - b) * g + lambda_ * (b * mx + (1 - b) * x)),
              "so the λ-part of m is λ times the average of x, for every t"),
         Step("divided by 1−β1^t: m̂ = m̂^g + λ·m̂^x, the bias-corrected averages",
              Identity((mg + lambda_ * mx) / (1 - b**t), mg / (1 - b**t) + lambda_ * (mx / (1 - b**t))),
              "so the decay is αλ·m̂^x/D"),
         Step("β1 = 0: the step is −α(g+λx)/d, and its λ-part is −αλx/d",
              Identity((-alpha * line / d).subs(b, 0), -alpha * g / d - alpha * lambda_ * x / d,
                       domains), "frozen D"),
         Step("c/d decreases in d", Holds(gt(c / d, c / d2), (gt(d2, d),),
                                          {**domains, "c": "positive"}), "c = αλ|x| > 0")),
        control=Identity((-alpha * line / d).subs(b, 0), -alpha * g / d - alpha * lambda_ * x, domains),
    )  # fmt: skip


def _split(rule: Rule) -> tuple[Step, ...]:
    """Write v as a quadratic in λ, whose parts are averages, from the rule's own line."""
    v = second_moment(rule)
    assert v is not None
    a, p, q = symbol("va"), symbol("vp"), symbol("vq")
    b, line = v.beta, rule.late.new[v.name]
    parts = [b * s + (1 - b) * e for s, e in ((a, g**2), (p, g * x), (q, x**2))]
    told = parts[0] + 2 * lambda_ * parts[1] + lambda_**2 * parts[2]
    return (
        Step("v' with v = a + 2λ·p + λ²·q has the averages of g², g·x and x² for a, p and q",
             Identity(line.xreplace({v.old: a + 2 * lambda_ * p + lambda_**2 * q}), told),
             "so for every t; and m = m^g + λ·m^x (l2-decay-frozen)"),
    )  # fmt: skip


def _slope() -> tuple[Step, ...]:
    """The λ-derivative of the step, at t = 1 in full, and what of it falls in v̂."""
    m, mx, a, p, q = (symbol(n) for n in ("M", "X", "A", "P", "Q"))
    u, root, more, over = symbol("u"), *(symbol(n, "positive") for n in ("r", "r2", "W"))
    c = symbol("c", "nonnegative")
    domains = {"r": "positive", "r2": "positive", "W": "positive", "c": "nonnegative"}
    hat, square = m + lambda_ * mx, a + 2 * lambda_ * p + lambda_**2 * q
    step = -alpha * hat / (sp.sqrt(square) + eps)

    def told(top: Expr, part: Expr, below: Expr, of: Expr) -> Expr:
        """Return the derivative: m̂, average of x, √v̂, and half the derivative of v̂."""
        return -alpha * (part / (below + eps) - top * of / (below * (below + eps) ** 2))

    return (
        Step("the λ-derivative of −α·m̂/(√v̂+ε), m̂ = M + λX, v̂ = A + 2λP + λ²Q, is "
             "−α·(X/D − m̂·(P+λQ)/(√v̂·D²))",
             Identity(sp.diff(step, lambda_), told(hat, mx, sp.sqrt(square), p + lambda_ * q)),
             "quotient rule; D = √v̂ + ε"),
        Step("t = 1, u = g_1+λx_0: it is −α·x_0·ε/(|u|+ε)²",
             Identity(told(u, x, sp.Abs(u), u * x), -alpha * x * eps / (sp.Abs(u) + eps) ** 2),
             "0 at ε = 0: no decay; M, X, A, P, Q are g_1, x_0, g_1², g_1·x_0, x_0²"),
        Step("W/D + c/(√v̂·D²) falls in √v̂",
             Holds(gt(over / (root + eps) + c / (root * (root + eps) ** 2),
                      over / (more + eps) + c / (more * (more + eps) ** 2)), (gt(more, root),), domains),
             "W = |X| > 0 and c = |m̂·(P+λQ)|, if m̂·(P+λQ) has not the sign of X"),
        Step("if it has, the size need not: at X = 1 = m̂·(P+λQ), ε = 0 it is α(v̂−1)/(√v̂·v̂)",
             Identity(told(sp.Integer(1), sp.Integer(1), root, sp.Integer(1)).subs(eps, 0),
                      -alpha * (root**2 - 1) / root**3, domains), "0 at v̂ = 1, larger at v̂ = 2"),
    )  # fmt: skip


@claim("l2-decay-derivative", family=FAMILY, source=HERE,
       says="What λ does to a step of Adam + L2 when v̂ is not frozen.",
       statement="The λ-derivative of step t is −α·(X/D_t − m̂_t·R/(√v̂_t·D_t²)), X the bias-corrected "
                 "average of x with β1, R that of (g+λx)·x with β2. At t = 1 it is "
                 "−α·x_0·ε/(|g_1+λx_0|+ε)², which vanishes at ε = 0. Its size falls in v̂_t if m̂_t·R has "
                 "not the sign of X, and may rise in v̂_t if it has.",
       hypotheses="the gradients and the parameters before the step are held fixed; v̂_t > 0; X, R and "
                  "m̂_t fixed where v̂_t varies.")  # fmt: skip
def l2_decay_derivative(rule: Rule) -> Case | None:
    """Averages linear and quadratic in λ, for every t; then the quotient rule."""
    q, m, v = penalised(rule), first_moment(rule), second_moment(rule)
    if q is None or m is None or v is None or not same(rule, q.denominator, root_of(v.new) + eps):
        return None
    wrong = rule.late.new[v.name].xreplace({g: sp.Integer(0)})

    def excess(run: Run, p: Point) -> Interval:
        low, high = p["g1"] + p["lambda_"], p["g1"] + 2 * p["lambda_"]
        if low * high <= 0:  # of one sign, the change of the first step is known in full
            return Interval.of(0)
        one, two = (run({**p, "lambda_": k * p["lambda_"]}, [p["g1"], p["g2"]], ONE) for k in (1, 2))
        told = -p["alpha"] * p["eps"] * p["lambda_"] / ((abs(low) + p["eps"]) * (abs(high) + p["eps"]))
        entered = one.x[1] * p["lambda_"] + p["g2"]
        weight = 1 - p["beta2"]
        kept = entered * entered * weight + p["beta2"] * weight * low**2
        return abs(two.x[1] - one.x[1] - told).maximum(abs(one.state[v.name][2] - kept))

    return Case(
        (*_split(rule), *_slope()),
        control=Identity(rule.late.new[v.name], wrong + (1 - v.beta) * g**2),
        runs=Runs(excess, grid(g1="1 -2", g2="1 -1", alpha="1 1/2", beta2="3/4 1/2", lambda_="1/2 1/4",
                               eps="1 0")),
    )  # fmt: skip
