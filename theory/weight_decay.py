"""Section 3: L2 in the gradient against decay of the parameter."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .lemmas import power_vanishes
from .records import Case, Holds, Identity, Point, Run, Runs, Step
from .roles import Quotient, first_moment, quotient, second_moment
from .rule import Rule
from .rules import named
from .sources import FOLKLORE, HERE, LH19, XL24
from .step_size import cauchy_schwarz, closed_bound, denominator_step, dominates
from .symbols import alpha, eps, g, ge, gt, lambda_, mu, old, symbol, t, x

FAMILY = "weight decay"
ONE, ZERO = Fraction(1), Fraction(0)


def _plain_l2(rule: Rule) -> bool:
    line = rule.late.new["x"]
    return not rule.initial and "lambda_" in rule.hyper and sp.diff(line, x).has(alpha)


def _momentum_l2(rule: Rule) -> bool:
    return (
        tuple(rule.initial) == ("momentum_buffer",)
        and "lambda_" in rule.hyper
        and rule.late.new["momentum_buffer"].has(lambda_)
        and "tau" not in rule.hyper
        and rule.only is not None
    )


def _l2(rule: Rule) -> Quotient | None:
    """Return the quotient of an adaptive rule whose gradient carries λx."""
    q, m = quotient(rule), first_moment(rule)
    return q if q and m and m.input.has(x) and q.kept == x and q.corrected else None


def _decayed(rule: Rule) -> Quotient | None:
    """Return the quotient of a rule that shrinks x apart from the gradient."""
    q = quotient(rule)
    return q if q is not None and q.kept != x else None


@claim("sgd-l2-equals-decay", family=FAMILY, source=LH19("Proposition 1"),
       says="For SGD, L2 and weight decay are the same.",
       statement="x' = x − α(g + λx) = (1−αλ)x − αg for every t: L2 with λ is decay by λ' = αλ.",
       hypotheses="plain SGD; α constant, or λ' following α (else λ·α_t = λ' fixes α_t).")  # fmt: skip
def sgd_l2_equals_decay(rule: Rule) -> Case | None:
    """One transition, hence every t."""
    if not _plain_l2(rule):
        return None
    line, decay = rule.late.new["x"], named("sgd+decay")
    told = decay.late.new["x"].subs(lambda_, alpha * lambda_)
    second, fixed = symbol("alpha2", "positive"), symbol("lambda2", "nonnegative")

    def excess(run: Run, p: Point) -> Interval:
        gs = [p["g1"], p["g2"]]
        other = decay.run({**p, "lambda_": p["alpha"] * p["lambda_"]}, gs, ONE)
        return abs(run(p, gs, ONE).x[2] - other.x[2])

    return Case(
        (Step("x − α(g + λx) = (1−αλ)x − αg", Identity(line, told), "the same transition"),
         Step("with another rate α₂ the same λ' needs λ·α₂ = λ·α, so α₂ = α if λ > 0",
              Holds(ge(0, (second - alpha) ** 2), (sp.Eq(fixed * second, fixed * alpha), gt(fixed, 0)),
                    {"alpha2": "positive", "lambda2": "nonnegative"}),
              "hence constant α, or a coupled schedule")),
        control=Identity(line, decay.late.new["x"]),
        runs=Runs(excess, grid(g1="1 -1", g2="1 2", alpha="1 1/2", lambda_="1/2 1")),
    )  # fmt: skip


@claim("momentum-l2-equals-decay", family=FAMILY, source=FOLKLORE,
       says="With momentum too, L2 and weight decay are the same.",
       statement="Momentum SGD with L2 gives the same x_t as with decay by αλ, for every t.",
       repaired_by="momentum-l2-first-difference")  # fmt: skip
def momentum_l2_equals_decay(rule: Rule) -> Case | None:
    """They agree at t = 1, which fixes λ' = αλ, and part at t = 2."""
    if not _momentum_l2(rule) or rule.late.new["x"].has(mu):
        return None
    decay = named("sgd+momentum+decay")

    def excess(run: Run, p: Point) -> Interval:
        gs = [p["g1"], p["g2"]]
        other = decay.run({**p, "lambda_": p["alpha"] * p["lambda_"]}, gs, ONE)
        return abs(run(p, gs, ONE).x[2] - other.x[2])

    return Case(runs=Runs(excess, grid(g1="1", g2="1", alpha="1", lambda_="1 1/2", mu="1/2")))


@claim("momentum-l2-first-difference", family=FAMILY, source=HERE,
       says="Where momentum with L2 and with decay part.",
       statement="With λ' = αλ they agree at t = 1 and differ by α·μ·λ·x_0 at t = 2.",
       hypotheses="heavy ball, no dampening.")  # fmt: skip
def momentum_l2_first_difference(rule: Rule) -> Case | None:
    """Both rules unrolled."""
    if not _momentum_l2(rule) or rule.late.new["x"].has(mu):
        return None
    decay = named("sgd+momentum+decay")
    at = {lambda_: alpha * lambda_}
    gaps = [rule.unrolled(k)["x"] - decay.unrolled(k)["x"].subs(at) for k in (1, 2)]
    return Case(
        (Step("t = 1: no difference", Identity(gaps[0], sp.Integer(0)), "unrolled; fixes λ' = αλ"),
         Step("t = 2: x − x^decay = −α·μ·λ·x_0", Identity(gaps[1], -alpha * mu * lambda_ * x),
              "the buffer remembers the penalty; decay does not")),
        control=Identity(gaps[1], sp.Integer(0)),
    )  # fmt: skip


@claim("adam-l2-equals-decay", family=FAMILY, source=LH19("Proposition 2"),
       says="Adam with L2 is AdamW.",
       statement="Adam with λx added to the gradient takes the steps of AdamW with decay λ.",
       repaired_by="adam-l2-first-step")  # fmt: skip
def adam_l2_equals_decay(rule: Rule) -> Case | None:
    """One coordinate, one step, ε = 0."""
    if _l2(rule) is None:
        return None
    decay = named("adamw")

    def excess(run: Run, p: Point) -> Interval:
        return abs(run(p, [p["g1"]], ONE).x[1] - decay.run(p, [p["g1"]], ONE).x[1])

    return Case(runs=Runs(excess, grid(g1="1 2", alpha="1 1/2", lambda_="1 1/2", eps="0")))


@claim("adam-l2-first-step", family=FAMILY, source=LH19("Proposition 2"),
       says="What L2 does under Adam.",
       statement="At ε = 0 the first step of Adam + L2 is −α·sign(g_1+λx_0), no decay at all, so no "
                 "λ' > 0 makes it AdamW; and with a frozen preconditioner no λ' fits two coordinates "
                 "with different D.",
       hypotheses="ε = 0, g_1+λx_0 ≠ 0; x_0 ≠ 0 and λ > 0 for what no λ' does.")  # fmt: skip
def adam_l2_first_step(rule: Rule) -> Case | None:
    """The rule at t = 1; two coordinates of a diagonal preconditioner."""
    if _l2(rule) is None:
        return None
    g1, first = symbol("g1"), rule.unrolled(1)["x"].subs(eps, 0)
    d1, d2, other = (symbol(n, "positive") for n in ("d1", "d2", "lambda2"))
    s = symbol("u")
    total = g1 + lambda_ * x
    return Case(
        (Step("x_1 = x_0 − α·(g_1+λx_0)/|g_1+λx_0|",
              Identity(first, x - alpha * total / sp.Abs(total)), "the rule at t = 1, ε = 0"),
         Step("AdamW's first step from the same point moves α·sign(g_1) and αλ'x_0 more",
              Identity(named("adamw").unrolled(1)["x"].subs(eps, 0),
                       x - alpha * g1 / sp.Abs(g1) - alpha * lambda_ * x),
              "at equal signs they agree only if λ'x_0 = 0"),
         Step("the two agree at equal signs u only if λ'x_0 = 0",
              Holds(ge(0, (other * x) ** 2),
                    (sp.Eq(x - alpha * s, (1 - alpha * other) * x - alpha * s),),
                    {"lambda2": "positive"}), "so no λ' > 0 makes it AdamW unless x_0 = 0"),
         Step("(x_1−x_0)² = α² whatever λ is: the λ-derivative of the first step vanishes",
              Identity((first - x) ** 2, alpha**2), "v̂ is not frozen: it takes λ up as m̂ does"),
         Step("λ/D₁ = λ' and λ/D₂ = λ' force D₁ = D₂",
              Holds(ge(0, (d1 - d2) ** 2), (sp.Eq(lambda_ / d1, other), sp.Eq(lambda_ / d2, other),
                                            gt(lambda_, 0)),
                    {"d1": "positive", "d2": "positive", "lambda2": "positive"}),
              "L2 decays coordinate i by αλx/D_i, decay by αλ'x")),
        control=Identity(first, (1 - alpha * lambda_) * x - alpha * g1 / sp.Abs(g1)),
    )  # fmt: skip


@claim("frozen-preconditioner", family=FAMILY, source=LH19("Proposition 3"),
       says="For a fixed preconditioner AdamW is a rescaled L2.",
       statement="x' = kept − α·g/d equals x − α·(g + c·d·x)/d with a constant c (λ in the frameworks, "
                 "λ/α in the paper): L2 with a strength proportional to d.",
       hypotheses="D_t = d fixed in time, β1 = 0.")  # fmt: skip
def frozen_preconditioner(rule: Rule) -> Case | None:
    """The rule's own kept part, with D frozen."""
    q = _decayed(rule)
    if q is None:
        return None
    d = symbol("d", "positive")
    domains = {"d": "positive"}
    factor = q.kept.xreplace({x: sp.Integer(1)})
    if factor.free_symbols - {alpha, lambda_}:
        return None
    strength = (1 - factor) / alpha
    left = q.kept - alpha * g / d
    return Case(
        (Step("kept − α·g/d = x − α·(g + c·d·x)/d",
              Identity(left, x - alpha * (g + strength * d * x) / d, domains), "collect x"),
         Step(f"kept = ({factor})·x, so c = {strength} depends on α and λ alone",
              Identity(q.kept, factor * x), "an L2 penalty c·d·x²/2, scaled by d")),
        control=Identity(left, x - alpha * (g + strength * x) / d, domains),
    )  # fmt: skip


@claim("l2-decay-per-parameter", family=FAMILY, source=LH19("section 2"),
       says="Under Adam + L2 the decay of a parameter is αλ/(√v̂+ε).",
       statement="x_t with L2 − x_t without it = −αλx_{t−1}/(√v̂_t+ε).",
       repaired_by="l2-decay-frozen")  # fmt: skip
def l2_decay_per_parameter(rule: Rule) -> Case | None:
    """At t = 1, ε = 0, both steps are ±α: the λ-part vanishes."""
    if _l2(rule) is None:
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
    q, m = _l2(rule), first_moment(rule)
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


@claim("adamw-uniform-decay", family=FAMILY, source=LH19("section 2"),
       says="AdamW shrinks every parameter by the same factor.",
       statement="x' = factor·x − α m̂/D with a factor (1−αλ in the frameworks, 1−λ in the paper) "
                 "that does not depend on gradients or state.",
       hypotheses="schedule multiplier 1.")  # fmt: skip
def adamw_uniform_decay(rule: Rule) -> Case | None:
    """The part of x' without m, and the part with it."""
    q = _decayed(rule)
    if q is None or rule.only is None:
        return None
    factor = q.kept.xreplace({x: sp.Integer(1)})
    if factor.free_symbols - {alpha, lambda_}:
        return None
    moved = rule.transition()["x"] - q.kept
    if moved.has(x):
        return None
    return Case(
        (Step(f"kept = ({factor})·x", Identity(q.kept, factor * x), "linear in x; no g, no state"),
         Step("the rest of x', written out in the old state, does not speak of x",
              Identity(moved.subs(x, 2 * x), moved), "the same for every x")),
        control=Identity(q.kept, x - alpha * lambda_ * x / q.denominator),
    )  # fmt: skip


@claim("adamw-lr-coupling", family=FAMILY, source=LH19("Algorithm 2"),
       says="Weight decay in AdamW is decoupled from the learning rate.",
       statement="While all gradients are zero, x_t does not depend on α.",
       repaired_by="adamw-lambda-conversion")  # fmt: skip
def adamw_lr_coupling(rule: Rule) -> Case | None:
    """True for the paper's rule; the frameworks multiply λ by the rate."""
    q = _decayed(rule)
    if q is None:
        return None
    double = Identity(q.kept.subs(alpha, 2 * alpha), q.kept)

    def excess(run: Run, p: Point) -> Interval:
        one, two = (run({**p, "alpha": a}, [ZERO], ONE).x[1] for a in (ONE, ONE / 2))
        return abs(one - two)

    return Case(
        (Step("kept with 2α = kept with α", double, "no gradient: m = 0"),),
        control=Identity(q.kept, x),
        runs=Runs(excess, grid(lambda_="1/2", eps="1")),
    )


@claim("adamw-lambda-conversion", family=FAMILY, source=HERE,
       says="How the two λ of AdamW convert.",
       statement="The frameworks' factor 1−αλ is the paper's 1−λ with λ_paper = α·λ_code.",
       hypotheses="constant α; a schedule η_t multiplies both.")  # fmt: skip
def adamw_lambda_conversion(rule: Rule) -> Case | None:
    """Substitute λ/α into the coupled form."""
    q = _decayed(rule)
    if q is None or not q.kept.has(alpha):
        return None
    paper = (1 - lambda_) * x
    return Case(
        (
            Step(
                "(1−α·(λ/α))·x = (1−λ)·x",
                Identity(q.kept.subs(lambda_, lambda_ / alpha), paper),
                "λ_code = λ_paper/α",
            ),
        ),
        control=Identity(q.kept, paper),
    )


@claim("adamw-order", family=FAMILY, source=FOLKLORE,
       says="Decay before or after the adaptive step makes no difference.",
       statement="(x − αλx) − αu = (x − αu) − αλx when the decay is taken from x_{t−1} both times.",
       hypotheses="exact arithmetic; u does not depend on x. Decaying the moved parameter differs by "
                  "α²λu: that is the control.")  # fmt: skip
def adamw_order(rule: Rule) -> Case | None:
    """The lifted line against both orders."""
    q, m = _decayed(rule), first_moment(rule)
    if q is None or m is None or rule.only is None:
        return None
    u = symbol("u")
    factor = q.kept.xreplace({x: sp.Integer(1)})
    step = alpha * m.new * (1 / (1 - m.beta**t) if q.corrected else 1) / q.denominator
    line = rule.only.new["x"]
    return Case(
        (Step("the rule is (decayed x) − step", Identity(line, factor * x - step), "before"),
         Step("and (x − step) − decay of x_(t−1)", Identity(line, (x - step) - (x - factor * x)),
              "after"),
         Step("decaying the moved x instead leaves (1−factor)·αu more",
              Identity(factor * (x - alpha * u) - (factor * x - alpha * u), (1 - factor) * alpha * u),
              "the order that is not the same")),
        control=Identity(factor * (x - alpha * u), factor * x - alpha * u),
    )  # fmt: skip


@claim("adamw-box", family=FAMILY, source=XL24("where β1 = β2 gives B = 1"),
       says="AdamW keeps parameters inside a box.",
       statement="|x_t| ≤ max(|x_0|, B/λ) for every t, B = (1−β1)√β2/√((1−β2)(β2−β1²)); "
                 "B = 1 at β1 = β2.",
       hypotheses="0 ≤ αλ ≤ 1, λ > 0, β1² < β2, ε ≥ 0; decay coupled to the rate.")  # fmt: skip
def adamw_box(rule: Rule) -> Case | None:
    """The tight step bound, then a convex combination."""
    q = _decayed(rule)
    if q is None or not q.corrected or not dominates(rule, q) or not q.kept.has(alpha):
        return None
    big, bound, u = symbol("M", "nonnegative"), symbol("B", "positive"), symbol("u")
    a = symbol("a", "nonnegative")
    domains = {"M": "nonnegative", "B": "positive", "a": "nonnegative"}
    given = (ge(1, a), ge(big, sp.Abs(x)), ge(bound, sp.Abs(u)), ge(lambda_ * big, bound),
             sp.Eq(a, alpha * lambda_))  # fmt: skip
    after = (1 - a) * x - alpha * u
    b = symbol("b", "unit")
    return Case(
        (*cauchy_schwarz(rule), *denominator_step(rule, q), *closed_bound(),
         Step("at β1 = β2 = β the bound B² = (1−β)²β/((1−β)(β−β²)) is 1",
              Identity((1 - b) ** 2 * b / ((1 - b) * (b - b**2)), sp.Integer(1), {"b": "unit"}), ""),
         Step("the rule is x' = (1−αλ)x − αu, |u| ≤ B",
              Identity(q.kept, (1 - alpha * lambda_) * x), "u = m̂/D"),
         Step("|x| ≤ M and λM ≥ B give x' ≤ M", Holds(ge(big, after), given, domains), "induction"),
         Step("and x' ≥ −M", Holds(ge(after, -big), given, domains), "M = max(|x_0|, B/λ)")),
        control=Holds(ge(big, after), given[:2] + given[3:], domains),
    )  # fmt: skip


@claim("l2-fixed-points", family=FAMILY, source=FOLKLORE,
       says="L2 and decay converge to the same points.",
       statement="A run that starts at x = −g/λ (stationary for g·x + λx²/2) with constant gradient g "
                 "stays there.",
       hypotheses="fresh state, λ > 0, ε > 0 (0/0 otherwise).",
       repaired_by="adamw-fixed-point")  # fmt: skip
def l2_fixed_points(rule: Rule) -> Case | None:
    """True for L2, whose gradient vanishes there; false for decoupled decay.

    Convergence needs more; that no other point can be a limit is what is judged here.
    """
    q, m = quotient(rule), first_moment(rule)
    if q is None or m is None or "lambda_" not in rule.hyper or not rule.only or not q.corrected:
        return None
    fresh = {old(n): v for n, v in rule.initial.items()} | {x: -g / lambda_}
    first = rule.transition()["x"].subs(fresh, simultaneous=True)

    def excess(run: Run, p: Point) -> Interval:
        start = -p["g1"] / p["lambda_"]
        return abs(run(p, [p["g1"]], start).x[1] - start)

    entered = m.input.subs({x: -g / lambda_})
    steps = (
        Step("at x = −g/λ nothing enters m", Identity(entered, sp.Integer(0)), "g + λx = 0"),
        Step("so x stays, from a fresh state", Identity(first, -g / lambda_), "m = v = 0"),
    )
    return Case(steps, control=Identity(m.input.subs({x: g / lambda_}), sp.Integer(0)),
                runs=Runs(excess, grid(g1="2 1", lambda_="1 1/2", eps="1", alpha="1/2")))  # fmt: skip


@claim("adamw-fixed-point", family=FAMILY, source=HERE,
       says="Where AdamW converges with a constant gradient.",
       statement="x_t → −g/((|g|+ε)λ) for constant g ≠ 0 and 0 < αλ < 2.",
       hypotheses="constant gradient g ≠ 0; 0 < αλ < 2; decay coupled to the rate.")  # fmt: skip
def adamw_fixed_point(rule: Rule) -> Case | None:
    """m̂ = g and v̂ = g² at every t, then a contraction."""
    q, m, v = _decayed(rule), first_moment(rule), second_moment(rule)
    if q is None or m is None or v is None or not q.corrected or not q.kept.has(alpha):
        return None
    if not q.denominator.has(v.new):
        return None
    held = {m.new: g * (1 - m.beta**t), v.new: g**2 * (1 - v.beta**t)}
    line = rule.late.new["x"].subs(held, simultaneous=True)
    fixed = -g / ((sp.Abs(g) + eps) * lambda_)
    y, a = symbol("y"), symbol("a", "positive")
    domains = {"lambda_": "positive", "a": "positive"}
    return Case(
        (Step("m_t = g(1−β1^t): β1·g(1−β1^(t−1)) + (1−β1)g", Identity(
             rule.late.new[m.name].xreplace({m.old: g * (1 - m.beta ** (t - 1))}), held[m.new]),
             "induction"),
         Step("v_t = g²(1−β2^t)", Identity(rule.late.new[v.name].xreplace(
             {v.old: g**2 * (1 - v.beta ** (t - 1))}), held[v.new]), "induction"),
         Step("x* = −g/((|g|+ε)λ):  x_t − x* = (1−αλ)(x_(t−1) − x*)",
              Identity(line - fixed, (1 - alpha * lambda_) * (x - fixed), domains), "for every t"),
         Step("|1−a| < 1 for 0 < a < 2", Holds(gt(1, sp.Abs(1 - a)), (gt(2, a),), domains),
              "a = αλ"),
         *power_vanishes(),
         Step("so |x_t − x*| = |1−αλ|^t·|x_0 − x*| → 0", Identity(sp.Abs((1 - a) * y),
              sp.Abs(1 - a) * sp.Abs(y), domains), "a geometric sequence")),
        control=Identity(line - fixed, (1 - alpha) * (x - fixed), domains),
    )  # fmt: skip
