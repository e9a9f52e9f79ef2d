"""NAdam on a constant gradient: the weights of one step, which do not sum to 1."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .lemmas import power_vanishes
from .records import Case, Expr, Ground, Holds, Identity, Point, Run, Runs, Step
from .roles import Average, first_moment, same, second_moment
from .rule import Rule
from .sources import D16, HERE
from .symbols import alpha, beta1, eps, g, ge, gt, new, old, psi, symbol, t, x

FAMILY = "relatives"
ZERO = Fraction(0)
#: The base of the frameworks' momentum schedule, and their default ψ.
BASE, USUAL_PSI = sp.Rational(96, 100), sp.Rational(4, 1000)


@dataclass(frozen=True)
class Lookahead:
    """A step along (1−μ_t)·g/(1−M_t) + μ_(t+1)·m_t/(1−M_(t+1)), M_t the product of μ_1 … μ_t."""

    m: Average
    v: Average
    mu: Expr  # μ_t
    product: str  # the state entry of M_t; none when μ is constant
    own: bool = False  # m averages with μ_t too, as Dozat has it, and not with β1

    @property
    def after(self) -> Expr:
        """μ_(t+1)."""
        return self.mu.subs(t, t + 1)

    @property
    def whole(self) -> Expr:
        """M_t."""
        return new(self.product) if self.product else self.m.beta**t

    @property
    def kept(self) -> Expr:
        """1 minus the sum of the weights in m_t."""
        return self.whole if self.own else self.m.beta**t


def weight(mu: Expr, after: Expr, whole: Expr, kept: Expr) -> Expr:
    """Return the sum of the weights, W = (1−μ_t)/(1−M_t) + μ_(t+1)·(1−β1^t)/(1−M_t·μ_(t+1))."""
    return (1 - mu) / (1 - whole) + after * (1 - kept) / (1 - whole * after)


@cache
def lookahead(rule: Rule) -> Lookahead | None:
    """Recognise NAdam by its parameter's line."""
    m, v = first_moment(rule), second_moment(rule)
    if v is None or rule.only is None:
        return None
    products = [n for n, start in rule.initial.items() if start == 1]
    mu, own = m.beta if m else beta1, m is None
    if products:
        mu = mu * (1 - BASE ** (t * psi) / 2)
        if not same(rule, rule.late.new[products[0]], old(products[0]) * mu):
            return None
        m = m or _own_average(rule, mu)
    if m is None or m.input != g:
        return None
    found = Lookahead(m, v, mu, products[0] if products else "", own)
    whole, after = found.whole, found.after
    along = (1 - mu) * g / (1 - whole) + after * m.new / (1 - whole * after)
    told = x - alpha * along / (sp.sqrt(v.new / (1 - v.beta**t)) + eps)
    return found if same(rule, rule.late.new["x"], told) else None


def _own_average(rule: Rule, mu: Expr) -> Average | None:
    """Return the average of the gradient with μ_t = β1·(…), from a zero start."""
    names = (n for n, start in rule.initial.items() if start == 0)
    fits = (n for n in names if same(rule, rule.late.new[n], mu * old(n) + (1 - mu) * g))
    name = next(fits, None)
    return Average(name, beta1, g) if name else None


def _steps_length(run: Run, p: Point, last: int) -> Interval:
    trace = run(p, [p["g1"]] * last, ZERO)
    return abs(trace.x[last] - trace.x[last - 1])


@claim("nadam-bias", family=FAMILY, source=D16("Algorithm 2"),
       says="NAdam is unbiased on a constant gradient.",
       statement="On a constant gradient every step is α long (ε = 0): the weights of the gradients "
                 "in m̄_t sum to 1 for every t.",
       repaired_by="nadam-weight-sum")  # fmt: skip
def nadam_bias(rule: Rule) -> Case | None:
    """The look-ahead is corrected as if the next gradient had come already."""
    if lookahead(rule) is None:
        return None
    over = grid(g1="1 2", beta1="1/2 3/4", alpha="1", eps="0")
    return Case(runs=Runs(lambda run, p: abs(_steps_length(run, p, 1) - p["alpha"]), over))


def _constant_gradient(rule: Rule, found: Lookahead) -> tuple[Step, ...]:
    """m̂_t = g and v̂_t = g², and the step with W_t in it, from the rule's own lines."""
    m, v, lines = found.m, found.v, rule.late.new
    held = {m.new: g * (1 - found.kept), v.new: g**2 * (1 - v.beta**t)}
    before, after = m.beta ** (t - 1), found.kept
    if found.own:
        before, after = old(found.product), lines[found.product]
    told = weight(found.mu, found.after, found.whole, found.kept)
    move = lines["x"].subs(held, simultaneous=True) - x
    return (
        Step(f"m_t = g(1−{'M_t' if found.own else 'β1^t'})",
             Identity(lines[m.name].xreplace({m.old: g * (1 - before)}), g * (1 - after)),
             "induction, constant g"),
        Step("v_t = g²(1−β2^t)", Identity(
             lines[v.name].xreplace({v.old: g**2 * (1 - v.beta ** (t - 1))}), held[v.new]), "induction"),
        Step("x_t − x_(t−1) = −α·W_t·g/(|g|+ε), "
             f"W_t = (1−μ_t)/(1−M_t) + μ_(t+1)(1−{'M_t' if found.own else 'β1^t'})/(1−M_(t+1))",
             Identity(move, -alpha * told * g / (sp.Abs(g) + eps)), "the rule's own line"),
    )  # fmt: skip


def _first_and_last(found: Lookahead) -> tuple[Step, ...]:
    """W_1 > 1 and W_t → 1, for any momenta 0 < μ_t ≤ μ_(t+1) < 1 with M_t ≤ q = β1^t."""
    a, b, q, d = (symbol(n, "unit") for n in "abqd")
    f = symbol("f", "positive")
    domains = {**dict.fromkeys("abqd", "unit"), "f": "positive"}
    whole = q * d
    return (
        Step("W_1 − 1 = μ_2(1−β1)/(1−μ_1·μ_2) > 0  (a = μ_1 = M_1, b = μ_2, q = β1)",
             Holds(gt(weight(a, b, a, q) - 1, 0), (gt(b, 0),), domains), "the first step is too long"),
        Step("W_t − 1 = (μ_(t+1)−μ_t) + (1−μ_t)M_t/(1−M_t) − μ_(t+1)(q − M_(t+1))/(1−M_(t+1))",
             Identity(weight(a, b, whole, q) - 1, (b - a) + (1 - a) * whole / (1 - whole)
                      - b * (q - whole * b) / (1 - whole * b), domains),
             "a = μ_t, b = μ_(t+1), M_t = d·q, q = β1^t"),
        Step("q/(1−q) − dq/(1−dq) = q(1−d)/((1−q)(1−dq))",
             Identity(q / (1 - q) - whole / (1 - whole), q * (1 - d) / ((1 - q) * (1 - whole)), domains),
             "so both fractions lie between 0 and q/(1−q), as 0 ≤ q − M_(t+1) ≤ q"),
        *power_vanishes(),
        Step("with q = 1/(1+f) it is q/(1−q) = 1/f, small as q is",
             Identity((1 / (1 + f)) / (1 - 1 / (1 + f)), 1 / f, domains), "q = β1^t → 0"),
    )  # fmt: skip


def _own_weights() -> tuple[Step, ...]:
    """W_t > 1 and W_t → 1 where m averages with μ_t: any momenta 0 < μ_t ≤ μ_(t+1) < 1."""
    a, b, whole = (symbol(n, "unit") for n in ("a", "b", "M"))
    units = dict.fromkeys(("a", "b", "M"), "unit")
    first = whole * (1 - a) ** 2 / ((1 - whole) * (1 - a * whole))
    second = (1 - whole) * (b - a) / ((1 - a * whole) * (1 - b * whole))
    given = (ge(b, a),)
    return (
        Step("W_t − 1 = M(1−a)²/((1−M)(1−aM)) + (1−M)(b−a)/((1−aM)(1−bM))",
             Identity(weight(a, b, whole, whole) - 1, first + second, units),
             "a = μ_t, b = μ_(t+1), M = M_t; common denominator"),
        Step("the first is > 0 for M > 0", Holds(gt(first, 0), (gt(whole, 0),), units), "0 < β1"),
        Step("the second is ≥ 0 for b ≥ a", Holds(ge(second, 0), given, units), "μ_t never falls"),
        Step("the first is at most M/(1−M)²", Holds(ge(whole / (1 - whole) ** 2, first), (), units),
             "which tends to 0 with M ≤ β1^t"),
        Step("the second at most (b−a)/(1−M)", Holds(ge((b - a) / (1 - whole), second), given, units),
             "μ_(t+1) − μ_t → 0: W_t → 1"),
        *power_vanishes(),
    )  # fmt: skip


def _not_above() -> Holds:
    """The near-miss of it, at any momenta."""
    a, b, whole = (symbol(n, "unit") for n in ("a", "b", "M"))
    return Holds(gt(1, weight(a, b, whole, whole)), (), dict.fromkeys(("a", "b", "M"), "unit"))


def _momenta(rule: Rule, found: Lookahead) -> tuple[Step, ...]:
    """M_t ≤ β1^t, and μ_(t+1) − μ_t → 0."""
    b, mu = found.m.beta, found.mu
    if not found.product:
        return ()
    c, d, q = symbol("c", "unit"), symbol("d", "unit"), symbol("q", "unit")
    units = dict.fromkeys("cdq", "unit")
    line = rule.late.new[found.product]
    return (
        Step("M_t = M_(t−1)·μ_t, μ_t = β1(1 − 0.96^(tψ)/2)",
             Identity(line, old(found.product) * mu), "the rule's own line"),
        Step("μ ≤ β1 keeps M_t ≤ β1^t: β1·q − β1(1−c/2)·(d·q) ≥ 0 for d < 1, c < 1",
             Holds(ge(b * q - b * (1 - c / 2) * (d * q), 0), (), units), "induction, c = 0.96^(tψ)"),
        Step("μ_(t+1) − μ_t = β1(c^t − c^(t+1))/2, c = 0.96^ψ",
             Identity(b * (1 - c ** (t + 1) / 2) - b * (1 - c**t / 2), b * (c**t - c ** (t + 1)) / 2,
                      units), "0 at ψ = 0; else c^t → 0 with t"),
    )  # fmt: skip


@claim("nadam-weight-sum", family=FAMILY, source=HERE,
       says="How long NAdam's steps are on a constant gradient.",
       statement="On a constant gradient x_t − x_(t−1) = −α·W_t·g/(|g|+ε) with "
                 "W_t = (1−μ_t)/(1−M_t) + μ_(t+1)(1−β1^t)/(1−M_(t+1)), M_t = μ_1⋯μ_t; where m averages "
                 "with μ_t, as Dozat has it, M_t stands for β1^t; W_1 > 1, W_t → 1.",
       hypotheses="0 < β1; g ≠ 0.")  # fmt: skip
def nadam_weight_sum(rule: Rule) -> Case | None:
    """Induction for m and v; then W_t by itself."""
    found = lookahead(rule)
    if found is None:
        return None
    b = found.m.beta

    def excess(run: Run, p: Point) -> Interval:
        last, beta = 3, p[b.name]
        mu = beta / 2 if found.product else beta  # ψ = 0
        told: Fraction = weight(mu, mu, mu**last, (mu if found.own else beta) ** last)
        return abs(_steps_length(run, p, last) - p["alpha"] * told)

    sums = _own_weights() if found.own else _first_and_last(found)
    return Case(
        (*_constant_gradient(rule, found), *_momenta(rule, found), *sums),
        control=Identity(weight(found.mu, found.after, found.whole, found.kept), 1),
        runs=Runs(excess, grid(g1="1 -2", beta1="1/2 3/4", beta2="3/4 1/2", alpha="1", eps="0")),
    )


@claim("nadam-never-short", family=FAMILY, source=D16("Algorithm 2"),
       says="NAdam's look-ahead makes its steps longer than Adam's.",
       statement="On a constant gradient no step is shorter than α (ε = 0), so W_t ≥ 1 for every t.",
       repaired_by="nadam-weight-sign")  # fmt: skip
def nadam_never_short(rule: Rule) -> Case | None:
    """True where m averages with μ_t, or β1 is μ_t; not where it averages with β1 > μ_t."""
    found = lookahead(rule)
    if found is None:
        return None

    def excess(run: Run, p: Point) -> Interval:
        first = p["alpha"] - _steps_length(run, p, 2)
        return first if first.lo > 0 else p["alpha"] - _steps_length(run, p, 3)

    over = grid(g1="1 2", beta1="1/2 3/4 7/8", alpha="1", eps="0")
    if found.own:
        steps = (*_constant_gradient(rule, found), *_momenta(rule, found), *_own_weights())
        return Case(steps, control=_not_above(), runs=Runs(excess, over))
    if found.product:
        return Case(runs=Runs(excess, over))
    return Case((*_constant_gradient(rule, found), *_above(found.m.beta)),
                control=Identity(weight(found.mu, found.after, found.whole, found.m.beta**t), 1),
                runs=Runs(excess, over))  # fmt: skip


def _above(b: Expr) -> tuple[Step, ...]:
    """W_t − 1 = β^t(1−β)²/((1−β^t)(1−β^(t+1))) at the constant momentum β = β1."""
    excess = b**t * (1 - b) ** 2 / ((1 - b**t) * (1 - b ** (t + 1)))
    return (
        Step("W_t − 1 = β1^t(1−β1)²/((1−β1^t)(1−β1^(t+1)))",
             Identity(weight(b, b, b**t, b**t) - 1, excess), "μ_t = β1, M_t = β1^t"),
        Step("which is ≥ 0", Holds(ge(excess, 0)), "a product of what is ≥ 0; > 0 for β1 > 0"),
    )  # fmt: skip


@claim("nadam-weight-sign", family=FAMILY, source=HERE,
       says="When NAdam's steps are too long, and when too short.",
       statement="At a constant momentum β1, and with any ψ where m averages with μ_t too, as Dozat has "
                 "it, W_t > 1 for every t.  In the frameworks' form at ψ = 0, "
                 "with μ = β1/2, W_t < 1 iff 2^t·μ(1−μ^t) > 1−μ+μ²−μ^(t+1): at β1 = 0.9 for every t ≥ "
                 "2, and the shortest step is shorter than 3/4 α, at their default ψ too.",
       hypotheses="0 < β1; ε = 0; constant gradient.")  # fmt: skip
def nadam_weight_sign(rule: Rule) -> Case | None:
    """W_t − 1 over a common denominator."""
    found = lookahead(rule)
    if found is None:
        return None
    runs = Runs(lambda run, p: _wrong_side(run, p, found),
                grid(g1="1 -2", beta1="1/2 3/4 1/4", beta2="3/4 1/2", alpha="1", eps="0"))  # fmt: skip
    if found.own:
        steps = (*_constant_gradient(rule, found), *_momenta(rule, found), *_own_weights())
        return Case(steps, _not_above(), runs)
    if not found.product:
        near = Holds(gt(1, weight(found.mu, found.mu, found.whole, found.whole)))
        return Case((*_constant_gradient(rule, found), *_above(found.m.beta)), near, runs)
    mu, p, q = symbol("a", "unit"), symbol("P", "unit"), symbol("q", "unit")
    units = {"a": "unit", "P": "unit", "q": "unit"}
    numerator = p * (1 - mu + mu**2 - mu * p) - mu * q * (1 - p)
    n, two = symbol("n", "positive"), sp.Integer(2)
    at = sp.Rational(9, 10) / 2
    return Case(
        (*_constant_gradient(rule, found),
         Step("W_t − 1 = (P(1−μ+μ²−μP) − μq(1−P))/((1−P)(1−μP)), P = μ^t, q = β1^t",
              Identity(weight(mu, mu, p, q) - 1, numerator / ((1 - p) * (1 - mu * p)), units),
              "common denominator, μ = a; at ψ = 0 μ_t = β1/2"),
         Step("with q = 2^t·P the numerator is P·((1−μ+μ²−μP) − 2^t·μ(1−P))  (n = 2^t)",
              Identity(numerator.subs(q, n * p), p * ((1 - mu + mu**2 - mu * p) - n * mu * (1 - p)),
                       {**units, "n": "positive"}), "β1 = 2μ: the condition"),
         Step("at β1 = 0.9 it holds at t = 2: 4μ(1−μ²) > 1−μ+μ²",
              Ground(gt(two**2 * at * (1 - at**2), 1 - at + at**2)),
              "2^t and 1−μ^t grow with t and the right side is at most 1−μ+μ²: for every t ≥ 2"),
         *_shortest()),
        control=Ground(gt(weight(at, at, at**2, (2 * at) ** 2), 1)),
        runs=runs,
    )  # fmt: skip


def _wrong_side(run: Run, p: Point, found: Lookahead) -> Interval:
    """Return by how much the third step is on the other side of α than the condition says (ψ = 0)."""
    last, mu = 3, p[found.m.beta.name] / 2
    short = 2**last * mu * (1 - mu**last) > 1 - mu + mu**2 - mu ** (last + 1)
    apart = _steps_length(run, p, last) - p["alpha"]
    return apart if short and found.product and not found.own else -apart


def _shortest() -> tuple[Step, ...]:
    """The shortest step at β1 = 0.9, exactly for ψ = 0 and in Arb for the default ψ."""
    beta = sp.Rational(9, 10)

    def sum_at(k: int, value: Expr) -> Expr:
        mu = [beta * (1 - BASE ** (i * value) / 2) for i in range(1, k + 2)]
        return weight(mu[k - 1], mu[k], sp.prod(mu[:k]), beta**k)

    where = min(range(1, 30), key=lambda k: sum_at(k, sp.Integer(0)))
    known = sum_at(where, sp.Integer(0))
    return (
        Step(f"at t = {where} W_t ≈ {float(known):.3f} < 3/4 (ψ = 0)",
             Ground(gt(sp.Rational(3, 4), known)), "exact rationals; the least of t < 30"),
        Step(f"and at ψ = {float(USUAL_PSI)} too",
             Ground(gt(sp.Rational(3, 4), sum_at(where, USUAL_PSI))), "Arb"),
    )  # fmt: skip
