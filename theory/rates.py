"""Section 2, the effective rate α/D_t: when it grows again, and when it never does."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .lemmas import power_vanishes
from .records import Case, Expr, Holds, Identity, Point, Run, Runs, Step, Trace
from .roles import Average, first_moment, quotient, same, second_moment
from .rule import Rule
from .sources import DHS11, Z12
from .symbols import alpha, beta2, eps, eta, g, ge, gt, lambda_, new, old, symbol, t, x

FAMILY = "step size"
ZERO = Fraction(0)
#: β1 = λ = 0, so that a step shows the rate alone.
BARE = {"beta1": "0", "lambda_": "0", "alpha": "1"}


@dataclass(frozen=True)
class Rate:
    """The effective rate α/D_t of a rule whose D_t is a function of one state entry.

    Attributes:
        name: the state entry: an average of g², or their sum.
        denominator: D_t, in the entry's new value.
    """

    name: str
    denominator: Expr


def effective_rate(rule: Rule) -> Rate | None:
    """Read α/D_t off the rule: the factor of m̂_t, or of g where there is no first moment."""
    q, regime = quotient(rule), rule.only
    if regime is None:
        return None
    if q is not None:
        d = q.denominator
    elif first_moment(rule) is None:
        v = second_moment(rule)
        kept = {v.name} if v else {n for n in rule.initial if same(rule, regime.new[n], old(n) + g**2)}
        lines = {new(n): e for n, e in regime.new.items() if n != "x" and n not in kept}
        slope = sp.diff(regime.new["x"].xreplace(lines), g)
        if slope == 0 or slope.has(g):
            return None
        d = sp.cancel(-alpha / slope)
    else:
        return None
    names = [n for n in rule.initial if d.has(new(n))]
    others = d.has(alpha, *(old(n) for n in rule.initial))
    return Rate(names[0], d) if len(names) == 1 and not others else None


def gradient_of(rule: Rule) -> Expr:
    """Return what enters the averages as the gradient: g, or g + λx with an L2 penalty."""
    first, v, penalised = first_moment(rule), second_moment(rule), g + lambda_ * x
    if first is not None:
        return first.input
    return penalised if v is not None and same(rule, v.input, penalised**2) else g


def accumulator(rule: Rule) -> Rate | None:
    """Return the rate of a rule that divides by the root of the sum of all g², as AdaGrad does."""
    rate = effective_rate(rule)
    if rate is None or not same(rule, rule.late.new[rate.name], old(rate.name) + g**2):
        return None
    return rate


def seen(p: Point, trace: Trace, names: tuple[str, ...]) -> list[Interval]:
    """Return the effective rates of a run with β1 = 0: what each step is to its gradient.

    A momentum after the division, as RMSprop has it, adds μ times the step before: it is taken out.
    """
    moved = [Interval.of(0)] + [b - a for a, b in pairwise(trace.x)]
    carried = p.get("mu", ZERO)
    return [abs((b - carried * a) / p[n]) for n, (a, b) in zip(names, pairwise(moved), strict=True)]


def root_order(a: str, b: str) -> tuple[Step, ...]:
    """From u > w ≥ 0 follows √u > √w, exactly: the difference of the roots is (u−w)/(√u+√w)."""
    w, s = symbol("w", "nonnegative"), symbol("s", "positive")
    domains = {"w": "nonnegative", "s": "positive"}
    u = w + s
    told = s / (sp.sqrt(u) + sp.sqrt(w))
    return (
        Step(f"{a}² = {b}² + s with s > 0:  {a} − {b} = s/({a} + {b})",
             Identity(sp.sqrt(u) - sp.sqrt(w), told, domains), "multiply by the sum of the roots"),
        Step(f"which is > 0, so {a} > {b}", Holds(gt(told, 0), (), domains), "roots keep the order"),
    )  # fmt: skip


def rate_order() -> tuple[Step, ...]:
    """From D' > D follows α/D' < α/D."""
    d, s = symbol("D", "positive"), symbol("s", "positive")
    return (
        Step("a smaller D is a larger rate:  α/D > α/(D+s)",
             Holds(gt(alpha / d, alpha / (d + s)), (), {"D": "positive", "s": "positive"}), "divide"),
    )  # fmt: skip


def _averaged(rule: Rule) -> tuple[Rate, Average, Expr] | None:
    """Return rate, average and R of a rule whose D_t is √R_t + ε with R an average of g²."""
    rate, v = effective_rate(rule), second_moment(rule)
    if rate is None or v is None or rate.name != v.name:
        return None
    square = v.new / (1 - v.beta**t) if rate.denominator.has(v.beta) else v.new
    domains = {**rule.domains, v.new.name: "nonnegative"}
    root = Rule(rule.name, rule.initial, rule.regimes, rule.assumes, domains, rule.against)
    fits = same(root, rate.denominator, sp.sqrt(square) + eps)
    return (rate, v, square) if fits else None


def _falls_iff(rule: Rule, rate: Rate, v: Average, square: Expr) -> tuple[Step, ...]:
    """R_t < R_{t−1}, and D_t < D_{t−1}, exactly when what enters is below R_{t−1}."""
    before = square.subs({v.new: v.old, t: t - 1}, simultaneous=True)
    after = square.xreplace({v.new: rule.late.new[v.name]})
    weight = (1 - v.beta) / (1 - v.beta**t) if square.has(v.beta) else 1 - v.beta
    r, w, y, s = symbol("R"), symbol("w", "positive"), symbol("y"), symbol("s", "positive")
    domains = {"w": "positive", "s": "positive", v.new.name: "nonnegative"}
    moved = r + w * (y - r)
    return (
        Step("D_t = √R_t + ε with R_t = " + ("v_t/(1−β2^t)" if square.has(v.beta) else "v_t"),
             Identity(rate.denominator, sp.sqrt(square) + eps, domains), "the rule's own D"),
        Step("R_t = R_(t−1) + w·(y − R_(t−1)), w = " + str(weight) + ", y what enters at step t",
             Identity(after, before + weight * (v.input - before)), "the rule's own line, t ≥ 2"),
        Step("y < R_(t−1) gives R_t < R_(t−1)",
             Holds(gt(r, moved), (gt(r, y),), domains, {r: y + s}), "w > 0: if"),
        Step("y ≥ R_(t−1) gives R_t ≥ R_(t−1)",
             Holds(ge(moved, r), (ge(y, r),), {"w": "positive"}, {y: r + symbol("u", "nonnegative")}),
             "only if"),
        *root_order("√R_(t−1)", "√R_t"),
        *rate_order(),
    )  # fmt: skip


def _silence(rule: Rule, rate: Rate, v: Average, square: Expr) -> tuple[Step, ...]:
    """What k zero gradients, or k small ones, do to the rate."""
    entered = gradient_of(rule)
    k, c, b = symbol("k", "natural"), symbol("c", "nonnegative"), v.beta
    p, j = symbol("P", "unit"), symbol("J", "unit")
    r, s, u, z = (symbol(n, "nonnegative") for n in "rsuz")
    d = rate.denominator.subs(eps, 0)
    later = d.subs({v.new: b**k * v.new, t: t + k}, simultaneous=True)
    ratio = (1 - b ** (t + k)) / ((1 - b**t) * b**k) if square.has(b) else 1 / b**k
    line = rule.late.new[v.name]
    domains = {"k": "natural", "c": "nonnegative", v.new.name: "positive"}
    units = {"P": "unit", "J": "unit", "r": "nonnegative", "eps": "positive"}
    return (
        Step("a zero gradient leaves v_t = β2·v_(t−1), so k of them β2^k·v_t",
             Identity(line.subs(g, g - entered).xreplace({v.old: b**k * v.old}), b ** (k + 1) * v.old),
             "the rule's own line; induction on k"),
        Step("ε = 0: the square of the rate's growth is (1−β2^(t+k))/((1−β2^t)·β2^k)"
             if square.has(b) else "ε = 0: the square of the rate's growth is 1/β2^k",
             Identity((d / later) ** 2, ratio, domains), "D_t²/D_(t+k)²"),
        Step("which is at least 1/β2^k",
             Holds(ge((1 - p * j) / ((1 - p) * j), 1 / j), (), units, {p: s / (1 + s), j: u / (1 + u)}),
             "P = β2^t, J = β2^k; without correction it is equal"),
        *power_vanishes(),
        Step("so at ε = 0 the rate grows without bound; for ε > 0 it never exceeds α/ε",
             Holds(ge(alpha / eps, alpha / (r + eps)), (), units), "r = √R_(t+k) → 0"),
        Step("and is within α·r/ε² of it",
             Holds(ge(alpha * r / eps**2, alpha / eps - alpha / (r + eps)), (), units), "its limit"),
        Step("gradients with g² ≤ c: v ≤ β2^k·v_t + (1−β2^k)·c gives the same with k+1",
             Holds(ge(j * b * r + (1 - j * b) * c, b * (j * r + (1 - j) * c - s) + (1 - b) * (c - u)),
                   (), {**units, **dict.fromkeys("csu", "nonnegative")}, {b: z / (1 + z)}),
             "r = v_t, s and u what the bounds leave; induction on k"),
    )  # fmt: skip


@claim("lr-rebound", family=FAMILY, source=Z12("section 3.1"),
       says="The effective rate grows again when the gradients shrink.",
       statement="α/D_t > α/D_{t−1} iff g_t² < R_{t−1}, with D = √R + ε; k zero gradients multiply the "
                 "rate by √((1−β2^(t+k))/((1−β2^t)β2^k)) at ε = 0 (by β2^(−k/2) where v is not "
                 "corrected), without bound in k, and for ε > 0 take it to α/ε.",
       hypotheses="t ≥ 2; 0 < β2 for the growth; g_t is what enters the average.",
       repaired_by="rate-never-grows")  # fmt: skip
def lr_rebound(rule: Rule) -> Case | None:
    """R_t is a mean of R_{t−1} and g_t²; AdaGrad's sum only grows, and refutes it."""
    found, sums = _averaged(rule), accumulator(rule)
    rate = found[0] if found else sums
    if rate is None:
        return None
    corrected = found is not None and found[2].has(beta2)

    def excess(run: Run, p: Point) -> Interval:
        trace = run(p, [p["g1"], p["g2"]], ZERO)
        past = trace.state[rate.name][1] / (1 - p["beta2"] if corrected else 1)
        one, two = seen(p, trace, ("g1", "g2"))
        return one - two if (past - p["g2"] ** 2).lo > 0 else two - one

    options = {**BARE, "mu": "1/2"} if "mu" in rule.hyper else BARE
    runs = Runs(excess, grid(g1="1 2 -1", g2="1/2 1 2", beta2="3/4 1/2", eps="0 1", eta="0", **options))
    if found is None:
        return Case(runs=runs)
    r, w, y = symbol("R", "positive"), symbol("w", "positive"), symbol("y", "positive")
    positive = {"R": "positive", "w": "positive", "y": "positive"}
    near = Holds(gt(r, r + w * (y - r)), (gt(2 * r, y),), positive)
    return Case((*_falls_iff(rule, *found), *_silence(rule, *found)), control=near, runs=runs)


@claim("rate-never-grows", family=FAMILY, source=DHS11("Figure 1"),
       says="AdaGrad's effective rate never grows.",
       statement="α/((1+(t−1)η)(√G_t+ε)) is non-increasing in t for every gradient sequence; it falls "
                 "strictly at every g_t ≠ 0.",
       hypotheses="ε ≥ 0, η ≥ 0 (the rate decay of the frameworks).")  # fmt: skip
def rate_never_grows(rule: Rule) -> Case | None:
    """A sum of squares, its root, and a factor that grows with t."""
    rate = accumulator(rule)
    if rate is None:
        return None
    s, gained = old(rate.name), symbol("d", "nonnegative")
    c, e, f, h = (symbol(n, "positive") for n in ("c", "e", "f", "h"))
    domains = {s.name: "nonnegative", "d": "nonnegative"}
    signs = dict.fromkeys("cefh", "positive")
    told = (1 + (t - 1) * eta) * (sp.sqrt(new(rate.name)) + eps)

    def excess(run: Run, p: Point) -> Interval:
        rates = seen(p, run(p, [p[n] for n in ("g1", "g2", "g3")], ZERO), ("g1", "g2", "g3"))
        return (rates[1] - rates[0]).maximum(rates[2] - rates[1])

    return Case(
        (Step("D_t = (1+(t−1)η)·(√G_t + ε)",
              Identity(rate.denominator, told, {new(rate.name).name: "nonnegative"}),
              "the rule's own factor of g"),
         Step("G_t − G_(t−1) = g_t²", Identity(rule.late.new[rate.name] - s, g**2), "its own line"),
         *root_order("√G_t", "√G_(t−1)"),
         Step("1+(t−1)η − (1+(t−2)η) = η ≥ 0",
              Holds(ge(1 + (t - 1) * eta, 1 + (t - 2) * eta)), "the framework's rate decay"),
         Step("c ≥ e and f ≥ h give c·f ≥ e·h", Holds(ge(c * f, e * h), (ge(c, e), ge(f, h)), signs,
              {c: e + symbol("u", "nonnegative"), f: h + gained}), "D_t is their product"),
         *rate_order()),
        control=Holds(gt(s + gained, s), (), domains),
        runs=Runs(excess, grid(g1="1 2", g2="1/2 1 2", g3="1/2 -1", eta="0 1", eps="0 1", **BARE)),
    )  # fmt: skip
