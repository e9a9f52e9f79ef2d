"""Section 2: how far one step can go, and what the scale of the gradient has to do with it."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .records import Case, Expr, Holds, Identity, Point, Run, Runs, Step
from .roles import Quotient, first_moment, quotient, same, second_moment
from .rule import Rule
from .sources import HERE, KB15
from .symbols import alpha, beta1, beta2, eps, g, ge, gt, new, old, symbol, t, x

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


def short_steps(rule: Rule) -> Quotient | None:
    """As `adam_like`, also where an L2 penalty enters both averages with the gradient."""
    q, m, v = quotient(rule), first_moment(rule), second_moment(rule)
    if q is None or m is None or v is None or not q.corrected:
        return None
    penalised = q.kept == x and sp.diff(m.input, g) == 1 and same(rule, v.input, m.input**2)
    return q if m.input == g or penalised else None


def last_move(run: Run, p: Point, x0: Fraction = ZERO) -> Interval:
    """Return |x_T − x_{T−1}| of the run with gradients g1, g2, … of the point."""
    gradients = [p[n] for n in ("g1", "g2", "g3") if n in p]
    trace = run(p, gradients, x0)
    return abs(trace.x[-1] - trace.x[-2])


def plain_numbers(rule: Rule) -> dict[str, str]:
    """Return choices for α, ε and λ: no decay, but a penalty where the rule has one."""
    m = first_moment(rule)
    return {"alpha": "1", "eps": "0", "lambda_": "1" if m and m.input.has(x) else "0"}


@claim("first-step-sign", family=FAMILY, source=KB15("section 2.1"),
       says="The first step is α·sign(g).",
       statement="x_1 − x_0 = −α·sign(g_1) for every g_1 ≠ 0 and every ε ≥ 0.",
       repaired_by="first-step-exact")  # fmt: skip
def first_step_sign(rule: Rule) -> Case | None:
    """With ε > 0 the step is shorter."""
    q = short_steps(rule)
    if q is None:
        return None

    def excess(run: Run, p: Point) -> Interval:
        return abs(run(p, [p["g1"]], ZERO).x[1] + p["alpha"])  # every g1 below is > 0

    return Case(runs=Runs(excess, grid(g1="1 2", alpha="1", eps="0 1 1/2")))


@claim("first-step-exact", family=FAMILY, source=HERE,
       says="What the first step is.",
       statement="x_1 − x_0 = −α·g_1/(|g_1| + e) with e = ε, or e = ε/√(1−β2) where ε is added to the "
                 "root before v is corrected; it is −α·sign(g_1) iff ε = 0 or g_1 = 0.",
       hypotheses="both moments corrected, zero start; g_1 and ε are not both 0; decay aside; with an "
                  "L2 penalty g_1 stands for g_1 + λx_0.")  # fmt: skip
def first_step_exact(rule: Rule) -> Case | None:
    """The rule at t = 1; the corrections cancel."""
    q, m = short_steps(rule), first_moment(rule)
    if q is None or m is None:
        return None
    slope = sp.diff(q.denominator.subs(t, 1), eps)
    before = same(rule, slope, 1 / sp.sqrt(1 - beta2))
    if not before and not same(rule, slope, sp.Integer(1)):  # another ε would be another step
        return None
    e = eps / sp.sqrt(1 - beta2) if before else eps
    g1, c = m.input.xreplace({g: symbol("g1")}), symbol("c")
    move = rule.unrolled(1)["x"] - q.kept

    def excess(run: Run, p: Point) -> Interval:
        told = p["eps"] / Interval.of(1 - p["beta2"]).sqrt() if before else p["eps"]
        return abs(run(p, [p["g1"]], ZERO).x[1] + p["alpha"] * p["g1"] / (abs(p["g1"]) + told))

    return Case(
        (Step("x_1 = kept − α·g_1/(|g_1|+e), e = " + ("ε/√(1−β2)" if before else "ε"),
              Identity(move, -alpha * g1 / (sp.Abs(g1) + e)), "m̂_1 = g_1, √v̂_1 = |g_1|"),
         Step("at ε = 0 it is −α·g_1/|g_1|",
              Identity(move.subs(eps, 0), -alpha * g1 / sp.Abs(g1)), "g_1 ≠ 0: if; 0 at g_1 = 0"),
         Step("|g_1|/(|g_1|+e) < 1 for e > 0",
              Holds(gt(1, sp.Abs(c) / (sp.Abs(c) + eps)), (), {"eps": "positive"}),
              "so never α in size: only if")),
        control=Identity(move, -alpha * g1 / sp.sqrt(g1**2 + eps)),
        runs=Runs(excess, grid(g1="1 -2 1/2", alpha="1", eps="0 1", beta2="3/4 1/2")),
    )  # fmt: skip


@claim("step-at-most-lr", family=FAMILY, source=KB15("section 2.1"),
       says="Adam never moves a parameter by more than α.",
       statement="|x_t − x_{t−1}| ≤ α for every gradient sequence and every t.",
       repaired_by="step-bound")  # fmt: skip
def step_at_most_lr(rule: Rule) -> Case | None:
    """Two steps suffice: at β = (1/2, 0), ε = 0 the gradients 2, 1 move x by 4/3·α."""
    if short_steps(rule) is None:
        return None
    pairs = grid(beta2="0 1/2 3/4", beta1="0 1/2 1/4", g1="1 2", g2="1 2 3", **plain_numbers(rule))
    return Case(runs=Runs(lambda run, p: last_move(run, p) - p["alpha"], pairs))


@claim("kb-step-bound", family=FAMILY, source=KB15("section 2.1"),
       says="Adam's step is at most α(1−β1)/√(1−β2) if (1−β1) > √(1−β2), and at most α otherwise.",
       statement="|x_t − x_{t−1}| ≤ α·max(1, (1−β1)/√(1−β2)) for every gradient sequence.",
       repaired_by="step-bound")  # fmt: skip
def kb_step_bound(rule: Rule) -> Case | None:
    """The bound holds for one gradient after zeros; gradients that grow as (β1/β2)^(t−i) beat it.

    Only its first case is looked at, where it allows more than α (`step_at_most_lr` is the other).
    """
    if short_steps(rule) is None:
        return None
    betas = "1/2 1/3 1/4 1/5"
    pairs = grid(beta1=betas, beta2=f"{betas} 2/5 3/5", g1="1", g2="1 2 3", **plain_numbers(rule))

    def excess(run: Run, p: Point) -> Interval:
        square = (1 - p["beta1"]) ** 2 / (1 - p["beta2"])
        if square <= 1:
            return Interval.of(-1)
        return last_move(run, p) - Interval.of(square).sqrt() * p["alpha"]

    return Case(runs=Runs(excess, pairs))


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
    kept = [n for n in rule.initial if rule.late.new[n].has(sp.Max)]
    power = {beta2**t: symbol("P", "unit")} if kept else {}  # no engine need know what beta2**t is
    d, root = q.denominator.subs(power), root_of(v.new).subs(power)
    names = {v.new.name, *(old(n).name for n in rule.initial), *(new(n).name for n in kept)}
    domains = {**dict.fromkeys(names, "nonnegative"), "P": "unit"}
    extra, why = eps * sp.diff(d, eps), "ε ≥ 0" + (", P = β2^t" if kept else "")
    text = "D_t ≥ √(v_t/(1−β2^t)), so |x_t − x_(t−1)| ≤ α·|m̂_t|/√v̂_t (decay aside)"
    if sp.diff(d, eps, 2):
        return (Step(text, Holds(ge(d, root), (), domains), why),)
    if not kept:
        return (
            Step("D_t = √(v_t/(1−β2^t)) + what ε adds", Identity(d, root + extra, domains),
                 "the rule's own D_t"),
            Step(text, Holds(ge(extra, 0), (), domains), why),
        )  # fmt: skip
    lines = {new(n): rule.late.new[n].subs(power) for n in kept}
    newest = {u: e for u, line in lines.items() for e in line.args if e.has(v.new)}
    above, square = tuple(ge(u, e) for u, e in newest.items()), v.new / (1 - symbol("P", "unit"))
    return (
        *(Step("a maximum is at least its newest argument: u_t ≥ " + ("v_t" if e == v.new else "v̂_t"),
               Holds(ge(lines[u], e), (), domains), "its own line") for u, e in newest.items()),
        Step("so D_t ≥ √(v_t/(1−β2^t)) at ε = 0",
             Holds(ge(d.subs(eps, 0), sp.sqrt(square)), above, domains), "roots keep the order"),
        Step("D_t is that and what ε adds", Identity(d, d.subs(eps, 0) + extra, domains), "ε = 0 apart"),
        Step(text, Holds(ge(extra, 0), (), domains), why),
    )  # fmt: skip
