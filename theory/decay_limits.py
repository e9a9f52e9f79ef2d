"""Section 3: where decay and L2 lead: the box of AdamW, fixed points, and what can be a limit."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .amsgrad import maximum
from .catalogue import claim, grid
from .interval import Interval
from .lemmas import power_vanishes
from .records import Case, Expr, Holds, Identity, Point, Run, Runs, Step
from .roles import Average, first_moment, quotient, same, second_moment
from .rule import Rule
from .sources import FOLKLORE, HERE, XL24
from .step_size import cauchy_schwarz, closed_bound, denominator_step, dominates, root_of
from .symbols import alpha, eps, g, ge, gt, lambda_, new, old, symbol, t, x
from .weight_decay import decayed

FAMILY = "weight decay"
ONE, ZERO = Fraction(1), Fraction(0)


def shrinkage(rule: Rule) -> Expr | None:
    """Return s, where what is kept of x is (1−s)·x: αλ in the frameworks, λ in the paper."""
    q = decayed(rule)
    if q is None or not q.corrected:
        return None
    s = sp.expand(1 - q.kept.xreplace({x: sp.Integer(1)}))
    return s if s in (lambda_, alpha * lambda_) else None


def _shrinkage_at(s: Expr, p: Point) -> Fraction:
    return p["lambda_"] * (p["alpha"] if s.has(alpha) else ONE)


# -- a box -----------------------------------------------------------------------------------------


@claim("adamw-box", family=FAMILY, source=XL24("where β1 = β2 gives B = 1"),
       says="AdamW keeps parameters inside a box.",
       statement="|x_t| ≤ max(|x_0|, αB/s) for every t, s = αλ in the frameworks (so αB/s = B/λ), s = λ "
                 "in the paper, B = (1−β1)√β2/√((1−β2)(β2−β1²)); B = 1 at β1 = β2.",
       hypotheses="0 < s ≤ 1, β1² < β2, ε ≥ 0, the steps defined; α and λ constant.")  # fmt: skip
def adamw_box(rule: Rule) -> Case | None:
    """The tight step bound, then a convex combination."""
    q, s = decayed(rule), shrinkage(rule)
    if q is None or s is None or not dominates(rule, q):
        return None
    big, bound, u = symbol("M", "nonnegative"), symbol("B", "positive"), symbol("u")
    a, b = symbol("a", "unit"), symbol("b", "unit")
    domains = {"M": "nonnegative", "B": "positive", "a": "unit"}
    given = (ge(big, x), ge(bound, -u), ge((1 - a) * big, bound))

    def excess(run: Run, p: Point) -> Interval:
        b1, b2, rate = p["beta1"], p["beta2"], _shrinkage_at(s, p)
        if b1**2 >= b2 or rate > 1:
            return Interval.of(0)
        box = Interval.of((1 - b1) ** 2 * b2 / ((1 - b2) * (b2 - b1**2))).sqrt() * (p["alpha"] / rate)
        places = run(p, [p["g1"], p["g2"], p["g3"]], ONE).x
        largest = abs(places[1]).maximum(abs(places[2])).maximum(abs(places[3]))
        return largest - box.maximum(1)

    return Case(
        (*cauchy_schwarz(rule), *denominator_step(rule, q), *closed_bound(),
         Step("at β1 = β2 = β the bound B² = (1−β)²β/((1−β)(β−β²)) is 1",
              Identity((1 - b) ** 2 * b / ((1 - b) * (b - b**2)), sp.Integer(1), {"b": "unit"}),
              "so B = 1"),
         Step("the rule is x' = (1−s)x − αu, |u| ≤ B", Identity(q.kept, (1 - s) * x), "u = m̂/D"),
         Step("a = 1−s ≥ 0, x ≤ M, −αu ≤ αB and s·M ≥ αB give a·x − αu ≤ M",
              Holds(ge(big, a * x - u), given, domains),
              "u and B stand for αu and αB; M = max(|x_0|, αB/s); induction"),
         Step("a·(−x) − α(−u) = −(a·x − αu)", Identity(a * -x - -u, -(a * x - u), domains),
              "so x' ≥ −M too")),
        control=Holds(ge(big, a * x - u), given[:2], domains),
        runs=Runs(excess, grid(g1="1 -1", g2="1 2", g3="1 4", beta1="1/2 1/4", beta2="3/4 1/2",
                               lambda_="1 1/2", alpha="1 1/2", eps="0")),
    )  # fmt: skip


# -- fixed points ----------------------------------------------------------------------------------


@claim("l2-fixed-points", family=FAMILY, source=FOLKLORE,
       says="L2 and decay converge to the same points.",
       statement="A run that starts at x = −g/λ (stationary for g·x + λx²/2) with constant gradient g "
                 "stays there.",
       hypotheses="fresh state, λ > 0, ε > 0 (0/0 otherwise).  What else can be a limit under L2: "
                  "l2-limits-stationary.",
       repaired_by="adamw-fixed-point")  # fmt: skip
def l2_fixed_points(rule: Rule) -> Case | None:
    """True for L2, whose gradient vanishes there; false for decoupled decay."""
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


def _constant(rule: Rule, m: Average, v: Average) -> tuple[tuple[Step, ...], dict[Expr, Expr]]:
    """The state under a constant gradient, for every t: the steps, and its symbols as formulas."""
    held = {m.new: g * (1 - m.beta**t), v.new: g**2 * (1 - v.beta**t)}
    before = {m.old: g * (1 - m.beta ** (t - 1)), v.old: g**2 * (1 - v.beta ** (t - 1))}
    steps = [
        Step("m_t = g(1−β1^t): β1·g(1−β1^(t−1)) + (1−β1)g",
             Identity(rule.late.new[m.name].xreplace(before), held[m.new]), "induction"),
        Step("v_t = g²(1−β2^t)", Identity(rule.late.new[v.name].xreplace(before), held[v.new]),
             "induction"),
    ]  # fmt: skip
    if name := maximum(rule):
        rise = g**2 * (1 - v.beta**t) - g**2 * (1 - v.beta ** (t - 1))
        steps += [
            Step("v_t − v_(t−1) = g²·β2^(t−1)·(1−β2)",
                 Identity(rise, g**2 * v.beta ** (t - 1) * (1 - v.beta)), "what a step adds"),
            Step("which is ≥ 0", Holds(ge(g**2 * v.beta ** (t - 1) * (1 - v.beta), 0)),
                 "so the largest v so far is v_t itself: u_t = v_t"),
        ]  # fmt: skip
        held[new(name)] = held[v.new]
    return tuple(steps), held


@claim("adamw-fixed-point", family=FAMILY, source=HERE,
       says="Where AdamW converges with a constant gradient.",
       statement="x_t → −αg/((|g|+ε)s) for constant g ≠ 0 and 0 < s < 2, s = αλ in the frameworks (so "
                 "−g/((|g|+ε)λ)), s = λ in the paper; x_t − x* = (1−s)^t·(x_0 − x*).",
       hypotheses="constant gradient g ≠ 0; 0 < s < 2; α and λ constant.")  # fmt: skip
def adamw_fixed_point(rule: Rule) -> Case | None:
    """m̂ = g and v̂ = g² at every t, then a contraction."""
    q, m, v, s = decayed(rule), first_moment(rule), second_moment(rule), shrinkage(rule)
    if q is None or m is None or v is None or s is None:
        return None
    steps, held = _constant(rule, m, v)
    line = rule.late.new["x"].subs(held, simultaneous=True)
    fixed = -alpha * g / ((sp.Abs(g) + eps) * s)
    if q.denominator.has(*(old(n) for n in rule.initial)) or not same(
        rule, q.denominator.subs(held, simultaneous=True), sp.Abs(g) + eps):  # fmt: skip
        return None
    y, a = symbol("y"), symbol("a", "positive")
    domains = {"lambda_": "positive", "a": "positive"}

    def excess(run: Run, p: Point) -> Interval:
        rate, last = _shrinkage_at(s, p), 3
        told = -p["alpha"] * p["g1"] / ((abs(p["g1"]) + p["eps"]) * rate)
        return abs(run(p, [p["g1"]] * last, ONE).x[last] - told - (1 - rate) ** last * (1 - told))

    return Case(
        (*steps,
         Step("x* = −αg/((|g|+ε)s):  x_t − x* = (1−s)(x_(t−1) − x*)",
              Identity(line - fixed, (1 - s) * (x - fixed), domains), "for every t"),
         Step("1 − (1−a)² = a(2−a)", Identity(1 - (1 - a) ** 2, a * (2 - a), domains), "a = s"),
         Step("a(2−a) > 0 for 0 < a < 2", Holds(gt(a * (2 - a), 0), (gt(2, a),), domains),
              "so |1−s| < 1"),
         *power_vanishes(),
         Step("so |x_t − x*| = |1−s|^t·|x_0 − x*| → 0", Identity(sp.Abs((1 - a) * y),
              sp.Abs(1 - a) * sp.Abs(y), domains), "a geometric sequence")),
        control=Identity(line - fixed, (1 - 2 * s) * (x - fixed), domains),
        runs=Runs(excess, grid(g1="1 -2", lambda_="1/2 1/4", alpha="1 1/2", eps="1 0")),
    )  # fmt: skip


# -- limits under L2 -------------------------------------------------------------------------------


def _average_follows(rule: Rule, m: Average) -> tuple[Step, ...]:
    """If u_t → c, then m̂_t → c, from the rule's own line."""
    c, e, u, d, p = symbol("c"), symbol("e"), symbol("u"), symbol("d", "nonnegative"), symbol(
        "p", "nonnegative")  # fmt: skip
    b = m.beta
    line = rule.late.new[m.name].xreplace({m.old: c * (1 - b ** (t - 1)) + e})
    domains = {"d": "nonnegative", "p": "nonnegative"}
    return (
        Step("m_(t−1) = c(1−β1^(t−1)) + e gives m_t = c(1−β1^t) + β1·e + (1−β1)(u_t − c)",
             Identity(line, c * (1 - b**t) + b * e + (1 - b) * (m.input - c)),
             "the rule's own line; u_t = g_t + λx_(t−1)"),
        Step("e ≤ p + d and u − c ≤ d give β1·e + (1−β1)(u−c) ≤ β1·p + d",
             Holds(ge(b * p + d, b * e + (1 - b) * (u - c)), (ge(p + d, e), ge(d, u - c)), domains),
             "and the same for −e, c−u; so from any N on |e_t| ≤ β1^(t−N)·|e_N| + d, d = sup |u_i − c|"),
        *power_vanishes(),
        Step("(1 − β1^(t+1)) − (1 − β1) = β1(1 − β1^t)",
             Identity(1 - b ** (t + 1) - (1 - b), b * (1 - b**t)), "what 1 − β1^t grows by from t = 1"),
        Step("which is ≥ 0", Holds(ge(b * (1 - b**t), 0)), "so m̂_t − c = e_t/(1−β1^t) → 0 as well"),
    )  # fmt: skip


def _root_bounded(rule: Rule, v: Average) -> tuple[Step, ...]:
    """u_i² ≤ K² for all i gives v̂_t ≤ K²."""
    top, e, f = symbol("K", "positive"), symbol("e", "nonnegative"), symbol("f", "nonnegative")
    line = rule.late.new[v.name].xreplace({v.old: top**2 * (1 - v.beta ** (t - 1)) - e})
    entered = sp.expand(line) - sp.expand((1 - v.beta) * v.input)
    told = top**2 * (1 - v.beta**t) - (entered + (1 - v.beta) * (top**2 - f))
    return (
        Step("v_(t−1) = K²(1−β2^(t−1)) − e and u_t² = K² − f give v_t = K²(1−β2^t) − β2·e − (1−β2)·f",
             Identity(told, v.beta * e + (1 - v.beta) * f), "e, f ≥ 0: v̂_t ≤ K² for every t"),
    )  # fmt: skip


@claim("l2-limits-stationary", family=FAMILY, source=HERE,
       says="Where Adam + L2 can converge.",
       statement="If x_t → x* and g_t → f'(x*), then f'(x*) + λx* = 0: only stationary points of "
                 "f + λx²/2 are limits. For if u_t = g_t + λx_{t−1} → c ≠ 0, the steps are from some "
                 "t on at least α|c|/(2(K+ε)) long, K = sup |u_t|; with u_t = c throughout each is "
                 "−αc/(|c|+ε).",
       hypotheses="α and λ constant; f' continuous at x*; K < ∞, as u_t converges.")  # fmt: skip
def l2_limits_stationary(rule: Rule) -> Case | None:
    """The averages follow what enters; the denominator is bounded, so the steps do not vanish."""
    q, m, v = quotient(rule), first_moment(rule), second_moment(rule)
    if q is None or m is None or v is None or not m.input.has(x) or q.kept != x or not q.corrected:
        return None
    if not same(rule, q.denominator, root_of(v.new) + eps):
        return None
    c, top, hat, root = (symbol(n, "positive") for n in ("c", "K", "h", "R"))
    u, domains = symbol("u"), dict.fromkeys(("c", "K", "h", "R"), "positive")
    held = {m.new: u * (1 - m.beta**t), v.new: u**2 * (1 - v.beta**t)}
    line, steady = rule.late.new["x"], x - alpha * u / (sp.Abs(u) + eps)

    def excess(run: Run, p: Point) -> Interval:
        """Keep what enters at c = g1, in a closed loop."""
        gs, c, end = list[Fraction](), p["g1"], Interval.of(ONE)
        for _ in range(3):
            gs.append(c - p["lambda_"] * end.lo)
            trace = run(p, gs, ONE)
            end = Interval.of(trace.x[-1])
        return abs(trace.x[3] - trace.x[2] + p["alpha"] * c / (abs(c) + p["eps"]))

    return Case(
        (*_average_follows(rule, m), *_root_bounded(rule, v),
         Step("m̂_t ≥ c/2 and √v̂_t ≤ K give α·m̂_t/(√v̂_t+ε) ≥ α·c/(2(K+ε)), c > 0",
              Holds(ge(alpha * hat / (root + eps), alpha * (c / 2) / (top + eps)),
                    (ge(hat, c / 2), ge(top, root)), domains),
              "so once |m̂_t − c| ≤ c/2; for c < 0 all signs change. The steps of a sequence that "
              "converges vanish: c = 0"),
         Step("u_t = c for all t: x_t = x_(t−1) − αc/(|c|+ε)",
              Identity(line.subs(held, simultaneous=True), steady), "m̂ = c, v̂ = c²")),
        control=Identity(line.subs(held, simultaneous=True), x - alpha * u / (sp.Abs(u) + 2 * eps + 1)),
        runs=Runs(excess, grid(g1="1 -2", lambda_="1/2 1/4", alpha="1 1/2", eps="1 1/2")),
    )  # fmt: skip
