"""Section 5: what AdaBelief's ε adds up to, RMSprop's ε inside or outside the root, SWATS' rate."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import isqrt

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .records import Case, Expr, Ground, Holds, Identity, Point, Run, Runs, Step
from .roles import first_moment, quotient, same, second_moment
from .rule import Rule
from .rules import rmsprop
from .sources import FOLKLORE, HERE, KS17, Z20
from .step_size import adam_like
from .symbols import alpha, beta1, eps, eq, g, ge, gt, new, old, symbol, t, x

FAMILY = "relatives"
ZERO = Fraction(0)


# -- AdaBelief -------------------------------------------------------------------------------------


@cache
def accumulated(rule: Rule) -> tuple[str, sp.Symbol, Expr] | None:
    """Return a state entry with s' = β s + (1−β) input + ε: its name, β and the input."""
    for name in rule.initial if rule.only is not None else ():
        line, s = sp.expand(rule.late.new[name]), old(name)
        b, without = sp.diff(line, s), line.subs({s: 0, eps: 0})
        if not isinstance(b, sp.Symbol) or sp.diff(line, eps) != 1:
            continue
        entered = sp.factor(sp.cancel(without / (1 - b)))
        if not entered.has(s) and same(rule, rule.late.new[name], b * s + (1 - b) * entered + eps):
            return name, b, entered
    return None


def _added(run: Run, p: Point, name: str, b: str, steps: int) -> Interval:
    """Return by how much ε raises the corrected average after some steps."""
    gradients = [p[f"g{k}"] for k in range(1, steps + 1)]
    ends = [run({**p, "eps": e}, gradients, ZERO).state[name][steps] for e in (p["eps"], ZERO)]
    return (ends[0] - ends[1]) / (1 - p[b] ** steps)


@claim("adabelief-epsilon", family=FAMILY, source=Z20("Algorithm 2"),
       says="AdaBelief's ε is a tiny constant.",
       statement="ε raises the corrected average ŝ_t by no more than ε.",
       repaired_by="adabelief-epsilon-sum")  # fmt: skip
def adabelief_epsilon(rule: Rule) -> Case | None:
    """It enters in every step, and is corrected for a zero start that it does not have."""
    found = accumulated(rule)
    if found is None:
        return None
    name, b, _ = found

    def excess(run: Run, p: Point) -> Interval:
        return _added(run, p, name, b.name, 1) - p["eps"]

    return Case(runs=Runs(excess, grid(g1="1 2", eps="1 1/2", beta1="1/2", beta2="1/2 3/4", alpha="1")))


def _floor(rule: Rule, name: str, b: sp.Symbol) -> tuple[Step, ...]:
    """D_t = √(r + ε/(1−β2)) + ε with r the ŝ_t as at ε = 0, and its least value."""
    m, s0, c = first_moment(rule), symbol("ŝ", "nonnegative"), symbol("c", "nonnegative")
    assert m is not None
    entry = s0 * (1 - b**t) + eps * (1 - b**t) / (1 - b)
    d = sp.sqrt(new(name) / (1 - b**t)) + eps
    domains = {"ŝ": "nonnegative", "c": "nonnegative", new(name).name: "nonnegative"}
    tiny, customary = sp.Rational(1, 10**16), sp.Rational(999, 1000)  # the authors' defaults
    adams = sp.Rational(1, 10**8)
    times = isqrt(int(tiny / (1 - customary) / adams**2) - 1)
    return (
        Step("x' = x − α·m̂_t/D_t with D_t = √ŝ_t + ε, ŝ_t = s_t/(1−β2^t)",
             Identity(rule.late.new["x"], x - alpha * m.new / (1 - m.beta**t) / d, domains),
             "the rule's own line"),
        Step("ŝ_t = r_t + ε/(1−β2), r_t the corrected average at ε = 0",
             Identity(entry / (1 - b**t), s0 + eps / (1 - b), domains), "the sum just found"),
        Step("(√(ŝ+c) − √c)(√(ŝ+c) + √c) = ŝ ≥ 0",
             Identity((sp.sqrt(s0 + c) - sp.sqrt(c)) * (sp.sqrt(s0 + c) + sp.sqrt(c)), s0, domains),
             "so D_t ≥ √(ε/(1−β2)) + ε, reached while every gradient equals its average"),
        Step(f"at the authors' ε = 1e-16 and β2 = 0.999 that is over {times} times Adam's usual 1e-8",
             Ground(gt(tiny / (1 - customary), (times * adams) ** 2)), "squared, exact rationals"),
    )  # fmt: skip


@claim("adabelief-epsilon-sum", family=FAMILY, source=HERE,
       says="What AdaBelief's ε adds up to.",
       statement="ε raises ŝ_t by exactly ε/(1−β2) at every t, so that D_t ≥ √(ε/(1−β2)) + ε.",
       hypotheses="ε inside the average, added in every step; the same gradients.")  # fmt: skip
def adabelief_epsilon_sum(rule: Rule) -> Case | None:
    """The average is linear in ε; a geometric sum."""
    found = accumulated(rule)
    if found is None or quotient(rule) is None:
        return None
    name, b, entered = found
    line, s, extra = rule.late.new[name], old(name), symbol("e", "nonnegative")

    def told(k: Expr) -> Expr:
        return eps * (1 - b**k) / (1 - b)

    def excess(run: Run, p: Point) -> Interval:
        return abs(_added(run, p, name, b.name, 3) - p["eps"] / (1 - p[b.name]))

    return Case(
        (Step("s_t = β2·s_(t−1) + (1−β2)·(g_t − m_t)² + ε, and m_t does not hold ε",
              Identity(line, b * s + (1 - b) * entered + eps), "the rule's own line"),
         Step("s + e at ε against s at 0: e_t = β2·e_(t−1) + ε",
              Identity(line.xreplace({s: s + extra}) - line.subs(eps, 0), b * extra + eps,
                       {"e": "nonnegative"}), "the input is the same"),
         Step("e_t = ε(1−β2^t)/(1−β2): β2·ε(1−β2^(t−1))/(1−β2) + ε = ε(1−β2^t)/(1−β2)",
              Identity(b * told(t - 1) + eps, told(t)), "induction on t from e_1 = ε"),
         *_floor(rule, name, b)),
        control=Identity(told(t) / (1 - b**t), eps / (1 - b**t)),
        runs=Runs(excess, grid(g1="1 2", g2="-1 1/2", g3="1", eps="1 1/2", beta1="1/2 3/4",
                               beta2="1/2 3/4", alpha="1")),
    )  # fmt: skip


# -- RMSprop ---------------------------------------------------------------------------------------


@cache
def rooted(rule: Rule) -> tuple[Expr, bool] | None:
    """Return R and whether ε is inside, for x' = x − α g/(√R + ε) or x − α g/√(R + ε)."""
    v, a = second_moment(rule), first_moment(rule)
    if v is None or v.input != g**2 or rule.only is None:
        return None
    for square in (v.new, v.new - a.new**2) if a is not None and a.beta == v.beta else (v.new,):
        for inside, d in ((False, sp.sqrt(square) + eps), (True, sp.sqrt(square + eps))):
            if same(rule, rule.late.new["x"], x - alpha * g / d):
                return square, inside
    return None


@claim("rmsprop-epsilon", family=FAMILY, source=FOLKLORE,
       says="It does not matter whether ε stands inside or outside the root.",
       statement="x_t is the same with √v_t + ε and with √(v_t + ε) under the gradient.",
       repaired_by="rmsprop-epsilon-ratio")  # fmt: skip
def rmsprop_epsilon(rule: Rule) -> Case | None:
    """One step tells them apart."""
    found = rooted(rule)
    if found is None:
        return None
    other = rmsprop(centered=first_moment(rule) is not None, inside=not found[1])

    def excess(run: Run, p: Point) -> Interval:
        return abs(run(p, [p["g1"]], ZERO).x[1] - other.run(p, [p["g1"]]).x[1])

    return Case(runs=Runs(excess, grid(g1="1 2", eps="1 1/2", beta2="3/4 1/2", alpha="1")))


def _between(w: sp.Symbol, e: sp.Symbol) -> tuple[Step, ...]:
    """√(w²+e²) lies between its parts, and what that says of the ratio at both ends."""
    inside, outside = w**2 + e**2, w + e**2
    domains = {"w": "nonnegative", "e": "positive"}
    far = {"w": "positive", "e": "positive"}
    return (
        Step("e² ≤ w² + e²", Holds(ge(inside, e**2), (), domains), "ε = e²: √ε ≤ √(v+ε)"),
        Step("w² ≤ w² + e² ≤ (w+e)²", Holds(ge((w + e) ** 2, inside), (), domains),
             "√v ≤ √(v+ε) ≤ √v + √ε"),
        Step("1/e − e/(w+e²) ≤ w/e³", Holds(ge(w / e**3, 1 / e - e / outside), (), domains),
             "the ratio is at least e/(w+e²)"),
        Step("(w+e)/(w+e²) − 1/e ≤ w/e²", Holds(ge(w / e**2, (w + e) / outside - 1 / e), (), domains),
             "and at most (w+e)/(w+e²): so it tends to 1/√ε as v → 0"),
        Step("1 − w/(w+e²) ≤ e²/w", Holds(ge(e**2 / w, 1 - w / outside), (), far),
             "the ratio is at least w/(w+e²)"),
        Step("(w+e)/(w+e²) − 1 ≤ e/w", Holds(ge(e / w, (w + e) / outside - 1), (), far),
             "so it tends to 1 as v → ∞"),
    )  # fmt: skip


@claim("rmsprop-epsilon-ratio", family=FAMILY, source=HERE,
       says="What it matters whether ε stands inside or outside the root.",
       statement="The step with ε outside is √(v+ε)/(√v+ε) times the one with ε inside: 1 only if "
                 "ε = 0 or 2√v + ε = 1, towards 1/√ε as v → 0 (as g → 0 from a fresh state), towards 1 "
                 "as v → ∞.",
       hypotheses="v is under the root (v_t − a_t² if centered); ε > 0 for the limits.")  # fmt: skip
def rmsprop_epsilon_ratio(rule: Rule) -> Case | None:
    """With w = √v and e = √ε everything is rational but one root, which lies between w and w + e."""
    found = rooted(rule)
    if found is None:
        return None
    (square, within), mean, average = found, first_moment(rule), second_moment(rule)
    assert average is not None
    b = average.beta
    w, e = symbol("w", "nonnegative"), symbol("e", "positive")
    domains = {"w": "nonnegative"}
    d = sp.sqrt(square + eps) if within else sp.sqrt(square) + eps
    fresh = {old(n): v for n, v in rule.initial.items()}
    first = square.xreplace({new(n): rule.late.new[n].xreplace(fresh) for n in rule.initial})
    small = sp.Rational(1, 10**8)

    def excess(run: Run, p: Point) -> Interval:
        trace = run(p, [p["g1"]], ZERO)
        v = trace.state[average.name][1]
        v = v - trace.state[mean.name][1].power(2) if mean else v
        told = (v + p["eps"]).sqrt() if within else v.sqrt() + p["eps"]
        return abs(p["alpha"] * p["g1"] / (trace.x[0] - trace.x[1]) - told)

    gap = eps * (2 * w + eps - 1)
    return Case(
        (Step("x' = x − α·g/D with " + ("D = √(v+ε)" if within else "D = √v + ε"),
              Identity(rule.late.new["x"], x - alpha * g / d), "the rule's own line"),
         Step("(√v+ε)² − (v+ε) = ε(2√v + ε − 1), w = √v",
              Identity((w + eps) ** 2 - (w**2 + eps), gap, domains),
              "zero iff ε = 0 or 2√v + ε = 1; above it ε outside makes the smaller step"),
         *_between(w, e),
         Step("at t = 1 v is a multiple of g²", Identity(first, (b if mean else 1) * (g**2 - b * g**2)),
              "so g → 0 is v → 0"),
         Step("at ε = 1e-8 the limit 1/√ε is 10000", Ground(eq(1 / sp.sqrt(small), 10**4)), "exact")),
        control=Identity((w + eps) ** 2 - (w**2 + eps), eps * (2 * w + eps), domains),
        runs=Runs(excess, grid(g1="1 -2", eps="1 1/2", beta2="3/4 1/2", alpha="1")),
    )  # fmt: skip


# -- SWATS -----------------------------------------------------------------------------------------


@claim("swats-projection", family=FAMILY, source=KS17("section 3"),
       says="Switching from Adam to SGD, the projected rate is the right one.",
       statement="γ_t = p·p/(−p·g), p = x_t − x_(t−1), g = g_t, is positive wherever p·g ≠ 0, as a "
                 "learning rate has to be.",
       repaired_by="swats-projection-exact")  # fmt: skip
def swats_projection(rule: Rule) -> Case | None:
    """Momentum may carry Adam uphill; then γ_t is negative.  In one coordinate γ_t = −p/g."""
    q = adam_like(rule)
    if q is None or q.kept != x:
        return None

    def excess(run: Run, p: Point) -> Interval:
        trace = run(p, [p["g1"], p["g2"]], ZERO)
        return (trace.x[2] - trace.x[1]) / p["g2"]

    return Case(runs=Runs(excess, grid(g1="1 2", g2="1 -1 -1/2 -1/4", beta1="1/2", beta2="3/4",
                                       eps="0 1", alpha="1")))  # fmt: skip


def _projected() -> tuple[Step, ...]:
    """γ from the orthogonality condition, in coordinates and in a = p·p, b = −p·g."""
    p, q = ([symbol(f"{name}{i}") for i in (1, 2, 3)] for name in "pg")
    a, b, c = symbol("a", "positive"), symbol("b"), symbol("γ")
    aa, bb = sum(i * i for i in p), -sum(i * j for i, j in zip(p, q, strict=True))
    left = sum(i * (-c * j - i) for i, j in zip(p, q, strict=True))
    signs = {"a": "positive"}
    return (
        Step("p·(−γg − p) = γ·b − a with a = p·p, b = −p·g", Identity(left, c * bb - aa),
             "−γg projects onto p as p itself iff what is left over is orthogonal to p; written for "
             "three coordinates, the same for any number"),
        Step("γ·b − a = b·(γ − a/b) for b ≠ 0: zero at γ = a/b only",
             Identity(c * b - a, b * (c - a / b), signs), "the rate γ_t"),
        Step("for b = 0 it is γ·b − a = −a < 0 for every γ",
             Holds(gt(0, (c * b - a).subs(b, 0)), (), signs), "p ≠ 0 is orthogonal to g: no rate"),
        Step("a/b > 0 if b > 0", Holds(gt(a / b, 0), (gt(b, 0),), signs), "p goes downhill"),
        Step("a/b < 0 if b < 0", Holds(gt(0, a / b), (gt(0, b),), signs), "p goes uphill"),
    )  # fmt: skip


def _averaged() -> tuple[Step, ...]:
    """With p_i = −r_i g_i γ is the average of the rates r_i with weights r_i g_i²."""
    r1, r2, w, low, s = (symbol(name, "positive") for name in ("r1", "r2", "w", "low", "s"))
    g1, g2, d = symbol("g1"), symbol("g2"), symbol("d", "nonnegative")
    domains = {**dict.fromkeys(("r1", "r2", "w", "low", "s"), "positive"), "d": "nonnegative"}
    mean = (s * low + w * (low + d)) / (s + w)
    rate = (r1**2 * g1**2 + r2**2 * g2**2) / (r1 * g1**2 + r2 * g2**2)
    return (
        Step("p_i = −r_i·g_i: γ = Σ w_i·r_i/Σ w_i, w_i = r_i·g_i²; of two "
             "γ − r_1 = (r_2−r_1)·w_2/(w_1+w_2)",
             Identity(rate - r1, (r2 - r1) * r2 * g2**2 / (r1 * g1**2 + r2 * g2**2), domains),
             "p·p = Σ r_i²g_i², −p·g = Σ r_i·g_i²"),
        Step("an average of low and low + d is ≥ low", Holds(ge(mean, low), (), domains),
             "one coordinate after the other: γ is at least the smallest rate"),
        Step("and ≤ low + d", Holds(ge(low + d, mean), (), domains), "and at most the largest"),
    )  # fmt: skip


@claim("swats-projection-exact", family=FAMILY, source=KS17("section 3, eq. (4)"),
       says="What the projected rate of SWATS is.",
       statement="γ_t = p·p/(−p·g) is the only rate with which SGD's step projects orthogonally onto "
                 "Adam's p as p; it exists iff p·g ≠ 0 and is positive iff p·g < 0.  Without momentum "
                 "it is an average of the coordinates' effective rates α/D, so it lies between them.",
       hypotheses="p ≠ 0; the last sentence for β1 = 0 and g ≠ 0.")  # fmt: skip
def swats_projection_exact(rule: Rule) -> Case | None:
    """Linear in γ; then the rule at β1 = 0."""
    q, m = adam_like(rule), first_moment(rule)
    if q is None or m is None or q.kept != x:
        return None
    alone = rule.late.new["x"].xreplace({m.new: g}).subs(beta1, 0)

    def excess(run: Run, p: Point) -> Interval:
        """Two coordinates with gradients g1, g2 and g3, g4."""
        at, moves = {**p, "beta1": ZERO}, []
        for gs in ([p["g1"], p["g2"]], [p["g3"], p["g4"]]):
            trace = run(at, gs, ZERO)
            moves.append((trace.x[2] - trace.x[1], gs[1]))
        rates = [-move / gradient for move, gradient in moves]
        square = sum((move * move for move, _ in moves), Interval.of(0))
        rate = square / -sum((move * gradient for move, gradient in moves), Interval.of(0))
        low = -(-rates[0]).maximum(-rates[1])
        return (low - rate).maximum(rate - rates[0].maximum(rates[1]))

    return Case(
        (*_projected(),
         Step("at β1 = 0 the rule is x' = x − (α/D_t)·g",
              Identity(alone, x - alpha / q.denominator.subs(beta1, 0) * g), "m̂_t = g_t: r = α/D_t"),
         *_averaged()),
        control=Holds(gt(1 / symbol("b"), 0), (sp.Ne(symbol("b"), 0),)),  # γ > 0 where it exists
        runs=Runs(excess, grid(g1="1 2", g2="1 -1/2", g3="-1 3", g4="2 1", beta2="3/4 1/2",
                               eps="0 1", alpha="1")),
    )  # fmt: skip
