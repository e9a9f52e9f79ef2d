"""Section 2: how far one step can go, and what the scale of the gradient has to do with it."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .lemmas import power_vanishes
from .records import Case, Expr, Holds, Identity, Point, Run, Runs, Step
from .roles import Quotient, first_moment, quotient, same, second_moment
from .rule import Rule
from .sources import HERE, KB15
from .symbols import alpha, beta1, beta2, eps, g, ge, gt, new, old, symbol, t

FAMILY = "step size"
ZERO = Fraction(0)
#: Short runs on which a step can be seen to exceed a bound: few steps, small denominators.
SHORT = grid(g1="1", g2="1 2 3 1/2", beta1="1/2 1/4 3/4 0", beta2="3/4 1/2 15/16",
             eps="0", lambda_="0")  # fmt: skip


def adam_like(rule: Rule) -> Quotient | None:
    """Return the quotient of a rule x' = x − α m̂/D, both moments corrected and no decay."""
    q = quotient(rule)
    if q is None or second_moment(rule) is None:
        return None
    m = first_moment(rule)
    return q if q.corrected and m is not None and m.input == g else None


def last_move(run: Run, p: Point, x0: Fraction = ZERO) -> Interval:
    """Return |x_T − x_{T−1}| of the run with gradients g1, g2, … of the point."""
    gradients = [p[n] for n in ("g1", "g2", "g3") if n in p]
    trace = run(p, gradients, x0)
    return abs(trace.x[-1] - trace.x[-2])


@claim("first-step-sign", family=FAMILY, source=KB15("section 2.1"),
       says="The first step is α·sign(g).",
       statement="x_1 − x_0 = −α·sign(g_1) for every g_1 ≠ 0 and every ε ≥ 0.",
       repaired_by="first-step-exact")  # fmt: skip
def first_step_sign(rule: Rule) -> Case | None:
    """With ε > 0 the step is shorter."""
    q = adam_like(rule)
    if q is None:
        return None

    def excess(run: Run, p: Point) -> Interval:
        return abs(run(p, [p["g1"]], ZERO).x[1] + p["alpha"])  # every g1 below is > 0

    return Case(runs=Runs(excess, grid(g1="1 2", alpha="1", eps="0 1 1/2")))


@claim("first-step-exact", family=FAMILY, source=HERE,
       says="What the first step is.",
       statement="x_1 − x_0 = −α·g_1/(|g_1| + ε): α·sign(g_1) iff ε = 0 or g_1 = 0 (decay aside).",
       hypotheses="both moments corrected, zero start.")  # fmt: skip
def first_step_exact(rule: Rule) -> Case | None:
    """The rule at t = 1; the corrections cancel."""
    q = adam_like(rule)
    if q is None or sp.diff(q.denominator, eps) != 1:  # another ε would be another step
        return None
    g1, first = symbol("g1"), rule.unrolled(1)["x"]
    move = first - q.kept
    return Case(
        (Step("x_1 = kept − α·g_1/(|g_1|+ε)", Identity(move, -alpha * g1 / (sp.Abs(g1) + eps)),
              "m̂_1 = g_1, √v̂_1 = |g_1|"),
         Step("|g_1|/(|g_1|+ε) < 1 for ε > 0",
              Holds(gt(1, sp.Abs(g1) / (sp.Abs(g1) + eps)), (), {"eps": "positive"}),
              "so never α exactly")),
        control=Identity(move, -alpha * g1 / sp.sqrt(g1**2 + eps)),
        runs=Runs(lambda run, p: abs(run(p, [p["g1"]], ZERO).x[1]
                                     + p["alpha"] * p["g1"] / (abs(p["g1"]) + p["eps"])),
                  grid(g1="1 -2 1/2", alpha="1", eps="0 1")),
    )  # fmt: skip


@claim("step-at-most-lr", family=FAMILY, source=KB15("section 2.1"),
       says="Adam never moves a parameter by more than α.",
       statement="|x_t − x_{t−1}| ≤ α for every gradient sequence and every t.",
       repaired_by="step-at-most-lr-iff")  # fmt: skip
def step_at_most_lr(rule: Rule) -> Case | None:
    """Two steps suffice."""
    if adam_like(rule) is None:
        return None
    return Case(runs=Runs(lambda run, p: last_move(run, p) - p["alpha"],
                          [{**p, "alpha": Fraction(1)} for p in SHORT]))  # fmt: skip


@claim("kb-step-bound", family=FAMILY, source=KB15("section 2.1"),
       says="Adam's step is at most α(1−β1)/√(1−β2) if (1−β1) > √(1−β2), and at most α otherwise.",
       statement="|x_t − x_{t−1}| ≤ α·max(1, (1−β1)/√(1−β2)) for every gradient sequence.",
       repaired_by="step-bound-tight")  # fmt: skip
def kb_step_bound(rule: Rule) -> Case | None:
    """The bound holds for one gradient after zeros; gradients that grow as (β1/β2)^(t−i) beat it.

    The first of its two cases is looked at first.
    """
    if adam_like(rule) is None:
        return None
    large = grid(g1="1", g2="1 2 1/2", g3="1 2 4", beta1="1/4 1/2 0", beta2="1/2 15/16 3/4",
                 alpha="1", eps="0", lambda_="0")  # fmt: skip
    first_case = [p for p in large if (1 - p["beta1"]) ** 2 > 1 - p["beta2"]]

    def excess(run: Run, p: Point) -> Interval:
        ratio = Interval.of((1 - p["beta1"]) ** 2 / (1 - p["beta2"])).sqrt()
        return last_move(run, p) - ratio.maximum(1) * p["alpha"]

    return Case(runs=Runs(excess, first_case))


def cauchy_schwarz(rule: Rule) -> tuple[Step, ...]:
    """m_t² ≤ C_t v_t with C_t = β1²/β2·C_{t−1} + (1−β1)²/(1−β2), C_0 = 0, from the rule's lines."""
    m, v = first_moment(rule), second_moment(rule)
    assert m is not None
    assert v is not None
    c = symbol("C", "positive")
    domains = {"C": "positive"}
    following = beta1**2 / beta2 * c + (1 - beta1) ** 2 / (1 - beta2)
    m_new, v_new = rule.late.new[m.name], rule.late.new[v.name]
    lower = v_new.xreplace({v.old: m.old**2 / c})
    square = (beta1 * (1 - beta2) * c * g - (1 - beta1) * beta2 * m.old) ** 2
    excess = square / (c * beta2 * (1 - beta2))
    first = (1 - beta1) ** 2 / (1 - beta2)
    entered = m.input
    at = {g: entered}
    return (
        Step("t = 1:  m_1² = C_1·v_1 with C_1 = (1−β1)²/(1−β2)",
             Identity(m_new.xreplace({m.old: sp.Integer(0)}) ** 2,
                      first * v_new.xreplace({v.old: sp.Integer(0)}), domains), "one gradient"),
        Step("C_(t+1)·v_(t+1) − m_(t+1)² with v_t = m_t²/C_t is a square over C·β2·(1−β2)",
             Identity(following * lower - m_new**2, excess.xreplace(at), domains),
             "Cauchy–Schwarz, written as the square that it leaves"),
        Step("which is ≥ 0", Holds(ge(excess, 0), (), domains), "a square over what is > 0"),
        Step("and v_(t+1) grows with v_t, so m_t² ≤ C_t·v_t for every t",
             Identity(v_new - lower, beta2 * (v.old - m.old**2 / c), domains), "v_t ≥ m_t²/C_t"),
    )  # fmt: skip


def closed_bound() -> tuple[Step, ...]:
    """C_t (1−β2^t)/(1−β1^t)² ≤ (1−β1)²β2/((1−β2)(β2−β1²)) for every t, if β1² < β2."""
    q = beta1**2 / beta2
    first = (1 - beta1) ** 2 / (1 - beta2)

    def c(k: Expr) -> Expr:
        return first * (1 - beta1 ** (2 * k) / beta2**k) / (1 - q)

    bx, by = symbol("X", "unit"), symbol("Y", "positive")
    left = (1 - bx) ** 2 - (1 - bx**2 / by) * (1 - by)
    return (
        Step("C_1 = (1−β1)²/(1−β2) fits C_t = (1−β1)²(1−q^t)/((1−β2)(1−q)), q = β1²/β2",
             Identity(c(sp.Integer(1)), first), "geometric sum"),
        Step("C_t = q·C_(t−1) + (1−β1)²/(1−β2)", Identity(q * c(t - 1) + first, c(t)), "induction"),
        Step("with X = β1^t, Y = β2^t:  (1−X)² − (1−X²/Y)(1−Y) = (X−Y)²/Y",
             Identity(left, (bx - by) ** 2 / by, {"X": "unit", "Y": "positive"}),
             "so (1−q^t)(1−β2^t) ≤ (1−β1^t)²"),
        Step("(X−Y)²/Y ≥ 0", Holds(ge((bx - by) ** 2 / by, 0), (), {"X": "unit", "Y": "positive"}),
             "a square over Y > 0"),
        Step("so the bound is (1−β1)²/((1−β2)(1−q)) = (1−β1)²β2/((1−β2)(β2−β1²))",
             Identity(first / (1 - q), (1 - beta1) ** 2 * beta2 / ((1 - beta2) * (beta2 - beta1**2))),
             "uniform in t"),
    )  # fmt: skip


@claim("step-bound-tight", family=FAMILY, source=HERE,
       says="The tight bound on a step.",
       statement="sup |x_t − x_{t−1}| = α·√(C_t(1−β2^t))/(1−β1^t), C_t = (1−β1)²/(1−β2)·Σ_{k<t} q^k, "
                 "q = β1²/β2; reached at g_i = (β1/β2)^(t−i); for q < 1 at most "
                 "α(1−β1)√β2/√((1−β2)(β2−β1²)) for every t, its limit; for q ≥ 1 unbounded in t.",
       hypotheses="the step without decay; 0 < β1, 0 < β2; ε = 0 where it is reached.")  # fmt: skip
def step_bound_tight(rule: Rule) -> Case | None:
    """Cauchy–Schwarz by induction on the lifted lines, equality at the maximising sequence."""
    q = adam_like(rule)
    if q is None or not is_adams(rule, q):
        return None
    first = (1 - beta1) ** 2 / (1 - beta2)
    c, n = symbol("C", "positive"), symbol("n", "positive")
    domains = {"C": "positive", "n": "positive"}
    a, b, p1 = symbol("a", "unit"), symbol("b", "unit"), symbol("X", "unit")
    units = {"a": "unit", "b": "unit", "X": "unit"}

    def excess(run: Run, p: Point) -> Interval:
        ratio, b1, b2 = p["beta1"] ** 2 / p["beta2"], p["beta1"], p["beta2"]
        c2 = (1 - b1) ** 2 / (1 - b2) * (1 + ratio)
        bound = Interval.of(c2 * (1 - b2**2)).sqrt() / (1 - b1**2)
        return last_move(run, p) - bound * p["alpha"]

    return Case(
        (*cauchy_schwarz(rule), *denominator_step(rule, q), *closed_bound(),
         *power_vanishes(),
         Step("(1−a)(1−b) ≤ (1−a)(1−b)/(1−X)² with a = q^t, b = β2^t, X = β1^t: with the last lines "
              "the square of the bound lies between (1−a)(1−b) and 1 times its limit",
              Holds(ge((1 - a) * (1 - b) / (1 - p1) ** 2, (1 - a) * (1 - b)), (), units),
              "a, b → 0 for q < 1, so it tends to the limit"),
         *maximiser(rule),
         Step("if q ≥ 1 then C_t ≥ t·(1−β1)²/(1−β2): unbounded",
              Holds(ge(n * c + first, (t + 1) * first), (ge(n, 1), ge(c, t * first)), domains),
              "induction, n = q; with (1−β2^t) ≥ 1−β2 no bound holds for all t")),
        control=Holds(ge(first, first * (1 - q_of(2)) / (1 - q_of(1)))),
        runs=Runs(excess, [{**p, "alpha": Fraction(1)} for p in SHORT if p["beta1"]]),
    )  # fmt: skip


def maximiser(rule: Rule) -> tuple[Step, ...]:
    """Along g_i = (β1/β2)^(t−i) Cauchy–Schwarz is an equality, from the rule's own lines."""
    m, v = first_moment(rule), second_moment(rule)
    assert m is not None
    assert v is not None
    total, r = symbol("Σ", "positive"), beta1 / beta2
    domains = {"Σ": "positive"}
    held = {m.old: r * (1 - beta1) * total, v.old: r**2 * (1 - beta2) * total, g: sp.Integer(1)}
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


def is_adams(rule: Rule, q: Quotient) -> bool:
    """Whether D_t at ε = 0 is √v̂_t itself, not the root of a maximum."""
    v = second_moment(rule)
    assert v is not None
    return same(rule, q.denominator.subs(eps, 0), root_of(v.new))


def dominates(rule: Rule, q: Quotient) -> bool:
    """Whether D_t is √v̂_t + ε, or the root of a maximum that is at least v̂_t, + ε."""
    return is_adams(rule, q) or any(e.has(sp.Max) for e in rule.late.new.values())


def root_of(v: Expr) -> Expr:
    """Return √v̂_t for the new second moment v."""
    return sp.sqrt(v) / sp.sqrt(1 - beta2**t)


def denominator_step(rule: Rule, q: Quotient) -> tuple[Step, ...]:
    """D_t ≥ √(v_t/(1−β2^t)), from the rule's own denominator."""
    v = second_moment(rule)
    assert v is not None
    lines = {new(n): rule.late.new[n] for n in rule.initial
             if rule.late.new[n].has(sp.Max)}  # fmt: skip
    d, root = q.denominator.xreplace(lines), root_of(v.new)
    domains = {v.new.name: "nonnegative", **{old(n).name: "nonnegative" for n in rule.initial}}
    if lines:  # z3 knows what a maximum is; it need not know what beta2**t is
        power = {beta2**t: symbol("P", "unit")}
        d, root, domains = d.subs(power), root.subs(power), {**domains, "P": "unit"}
    return (
        Step("D_t ≥ √(v_t/(1−β2^t)), so |x_t − x_(t−1)| ≤ α·|m̂_t|/√v̂_t (decay aside)",
             Holds(ge(d, root), (), domains), "ε ≥ 0" + (", P = β2^t" if lines else "")),
    )  # fmt: skip


@claim("step-at-most-lr-iff", family=FAMILY, source=HERE,
       says="When a step is at most α.",
       statement="The largest |x_t − x_{t−1}| over all gradient sequences is α if β1 = β2 or t = 1, "
                 "and more than α otherwise.",
       hypotheses="the step without decay; ε = 0 for “only if”; 0 < β1, 0 < β2 < 1.")  # fmt: skip
def step_at_most_lr_iff(rule: Rule) -> Case | None:
    """The tight bound squared is Σ w_i²/u_i with the two normalised weights; 1 iff they agree."""
    q = adam_like(rule)
    if q is None or not is_adams(rule, q):
        return None
    w, u, b, c = symbol("w"), symbol("u", "positive"), symbol("b", "unit"), symbol("c", "unit")
    k, first = symbol("k", "natural"), (1 - beta1) ** 2 / (1 - beta2)

    def weight(beta: Expr) -> Expr:
        return (1 - beta) * beta**k / (1 - beta**t)

    sb, sc = symbol("Sb", "positive"), symbol("Sc", "positive")
    domains = {"u": "positive", "b": "unit", "c": "unit", "Sb": "positive", "Sc": "positive"}
    two = (1 + q_of(1)) * (1 + beta2) / (1 + beta1) ** 2
    return Case(
        (*cauchy_schwarz(rule), *denominator_step(rule, q),
         *maximiser(rule),
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
         Step("for t = 2 the excess is (β1−β2)²/(β2(1+β1)²)",
              Identity(two - 1, (beta1 - beta2) ** 2 / (beta2 * (1 + beta1) ** 2)), "plainly > 0")),
        control=Identity(two, sp.Integer(1)),
    )  # fmt: skip
