"""Section 1, what the averages estimate: variance, second moment, generating functions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .lemmas import power_vanishes, times_power_vanishes
from .records import Analysis, Case, Expr, Holds, Identity, Point, Run, Runs, Step
from .roles import first_moment, same, second_moment
from .rule import Rule
from .sources import FOLKLORE, HERE, KB15, Z20
from .symbols import beta1, beta2, eps, g, ge, gt, old, symbol, t, x

FAMILY = "bias correction"


@claim("v-is-variance", family=FAMILY, source=FOLKLORE,
       says="v̂ estimates the variance of the gradient.",
       statement="For gradients that are constant (variance 0), v̂_t = 0.",
       repaired_by="v-is-second-moment")  # fmt: skip
def v_is_variance(rule: Rule) -> Case | None:
    """A constant gradient has no variance, and v̂ is its square."""
    v = second_moment(rule)
    if v is None or v.input != g**2:
        return None

    def excess(run: Run, p: Point) -> Interval:
        trace = run(p, [p["g1"]] * 2, Fraction(0))
        return trace.state[v.name][2] / (1 - p[v.beta.name] ** 2)

    return Case(runs=Runs(excess, grid(g1="1 2", **{v.beta.name: "1/2"})))


@claim("v-is-second-moment", family=FAMILY, source=KB15("section 3"),
       says="What v̂ estimates.",
       statement="E v̂_t = σ² + μ² for every t; it is the variance iff μ = 0.",
       hypotheses="gradients with common mean μ and variance σ².")  # fmt: skip
def v_is_second_moment(rule: Rule) -> Case | None:
    """The expectation obeys v's own recursion."""
    v = second_moment(rule)
    if v is None or v.input != g**2:
        return None
    mean, var, b = symbol("mean"), symbol("var", "nonnegative"), v.beta
    domains = {"var": "nonnegative"}
    second = var + mean**2
    return Case(
        (Step("v_t = β2·v_(t−1) + (1−β2)·g²",
              Identity(rule.late.new[v.name], b * v.old + (1 - b) * g**2), "linear in v and g²"),
         Step("β2·(σ²+μ²)(1−β2^(t−1)) + (1−β2)(σ²+μ²) = (σ²+μ²)(1−β2^t)",
              Identity(b * second * (1 - b ** (t - 1)) + (1 - b) * second, second * (1 - b**t),
                       domains), "induction, E g² = σ²+μ²"),
         Step("it exceeds σ² by μ²", Identity(second - var, mean**2, domains), "zero iff μ = 0")),
        control=Identity(second, var, domains),
    )  # fmt: skip


@dataclass(frozen=True)
class Belief:
    """An average of (g − m_t)², as AdaBelief keeps it.

    Attributes:
        name: the state entry.
        beta: β1, of m.
        added: what every step adds to the average: ε or 0.
    """

    name: str
    beta: sp.Symbol
    added: Expr


def belief(rule: Rule) -> Belief | None:
    """Return the average of (g − m_t)² that a rule keeps, if it does."""
    m = first_moment(rule)
    if m is None or m.input != g or m.beta != beta1 or rule.only is None:
        return None
    for name in rule.initial:
        told = beta2 * old(name) + (1 - beta2) * (g - m.new) ** 2
        for added in (eps, sp.Integer(0)):
            if same(rule, rule.only.new[name], told + added):
                return Belief(name, m.beta, added)
    return None


def _belief_factor(b: sp.Expr) -> sp.Expr:
    return 2 * b**2 / (1 + b)


@claim("adabelief-is-variance", family=FAMILY, source=Z20("section 2"),
       says="AdaBelief's s estimates the variance of the gradient.",
       statement="For i.i.d. gradients E (g_t − m_t)², and with it E ŝ_t, tends to σ².",
       hypotheses="σ² > 0.", repaired_by="adabelief-factor")  # fmt: skip
def adabelief_is_variance(rule: Rule) -> Case | None:
    """E (g_t − m_t)² is L − c·β1^(2t): its limit L is read off two steps, over all signs at once."""
    told = belief(rule)
    if told is None:
        return None

    def mean(run: Run, p: Point, steps: int) -> Interval:
        """E (g_t − m_t)² for gradients ±1, at ε = 0."""
        total = Interval.of(0)
        for signs in product((1, -1), repeat=steps):
            s = run(p, [Fraction(sign) for sign in signs], Fraction(0)).state[told.name]
            total = total + (s[steps] - p["beta2"] * s[steps - 1]) / (1 - p["beta2"])
        average: Interval = total / 2**steps
        return average

    def excess(run: Run, p: Point) -> Interval:
        square = p["beta1"] ** 2
        limit = (mean(run, p, 3) - square * mean(run, p, 2)) / (1 - square)
        return abs(1 - limit)

    return Case(runs=Runs(excess, grid(beta1="1/2 3/4", beta2="3/4", eps="0")))


def _deviation(b: Expr, mean: Expr, var: Expr, k: Expr) -> Expr:
    """Return E (g_k − m_k)²."""
    return var * _belief_factor(b) + (mean**2 - var * (1 - b) / (1 + b)) * b ** (2 * k)


def _expected(rule: Rule) -> tuple[Step, ...]:
    """E (g_t − m_t)², at every t, from the rule's own lines."""
    m = first_moment(rule)
    assert m is not None
    b, mean, var = m.beta, symbol("mean"), symbol("var", "nonnegative")
    domains = {"var": "nonnegative"}

    def spread(k: Expr) -> Expr:
        return var * (1 - b) * (1 - b ** (2 * k)) / (1 + b)

    def mean_of(k: Expr) -> Expr:
        return mean * (1 - b**k)

    return (
        Step("(g_t − m_t)² = β1²·(g_t − m_(t−1))²",
             Identity((g - rule.late.new[m.name]) ** 2, b**2 * (g - m.old) ** 2),
             "the rule's own line for m"),
        Step("E m_t = μ(1−β1^t)", Identity(b * mean_of(t - 1) + (1 - b) * mean, mean_of(t)),
             "induction from 0"),
        Step("Var m_t = σ²(1−β1)(1−β1^(2t))/(1+β1)",
             Identity(b**2 * spread(t - 1) + (1 - b) ** 2 * var, spread(t), domains),
             "induction from 0: Var m_t = β1²·Var m_(t−1) + (1−β1)²·σ²"),
        Step("β1²·(μ − E m_(t−1))² = μ²·β1^(2t)",
             Identity(b**2 * (mean - mean_of(t - 1)) ** 2, mean**2 * b ** (2 * t)),
             "m_(t−1) is not corrected: the means do not cancel"),
        Step("E (g_t − m_t)² = β1²·(σ² + Var m_(t−1) + (μ − E m_(t−1))²) = L + "
             "(μ² − σ²(1−β1)/(1+β1))·β1^(2t)",
             Identity(b**2 * (var + spread(t - 1) + (mean - mean_of(t - 1)) ** 2),
                      _deviation(b, mean, var, t), domains), "g_t is independent of m_(t−1)"),
    )  # fmt: skip


def _averaged(rule: Rule, found: Belief) -> tuple[Step, ...]:
    """E ŝ_t is a weighted average of those, and what is left over L dies out in it."""
    big, gone, p = symbol("M", "unit"), symbol("c", "nonnegative"), symbol("P", "nonnegative")
    s, n, k = symbol("s", "nonnegative"), symbol("n", "natural"), symbol("κ")
    limit, h, rest = (symbol(name, "nonnegative") for name in "LhQ")
    domains = dict.fromkeys(("c", "P", "s", "L", "h"), "nonnegative") | {"M": "unit", "n": "natural"}
    b, m = found.beta, first_moment(rule)
    assert m is not None
    square = (g - m.new) ** 2
    held = beta2 * (limit * (1 - beta2 ** (t - 1)) + k * h) + (1 - beta2) * (limit + k * b ** (2 * t))
    return (
        Step("s_t = β2·s_(t−1) + (1−β2)·(g_t − m_t)²" + (" + ε" if found.added else ""),
             Identity(rule.late.new[found.name],
                      beta2 * old(found.name) + (1 - beta2) * square + found.added),
             "so E s_t is Σ (1−β2)β2^(t−i)·E (g_i − m_i)²" + (", ε aside" if found.added else "")),
        Step("E s_t = L·(1−β2^t) + κ·h_t, h_t = β2·h_(t−1) + (1−β2)·β1^(2t), κ the factor of β1^(2t)",
             Identity(held, limit * (1 - beta2**t) + k * (beta2 * h + (1 - beta2) * b ** (2 * t)),
                      domains), "induction from 0, linear in what enters"),
        Step("h_t ≤ (1−β2)·t·M^t with M = max(β2, β1²) gives the same at t+1",
             Holds(ge((1 - beta2) * (n + 1) * big * p,
                      beta2 * ((1 - beta2) * n * p - s) + (1 - beta2) * gone),
                   (ge(big, beta2), ge(big * p, gone)), domains),
             "P = M^t, n = t, c = β1^(2t+2) ≤ M^(t+1), s what the bound leaves; h_0 = 0"),
        *times_power_vanishes(),
        Step("1−β2^t = 1−β2·Q ≥ 1−β2, so h_t/(1−β2^t) ≤ t·M^t → 0",
             Holds(ge(1 - beta2 * rest, 1 - beta2), (ge(1, rest),), {"Q": "nonnegative"}),
             "Q = β2^(t−1) ≤ 1: E ŝ_t = L + κ·h_t/(1−β2^t) → L"),
    )  # fmt: skip


@claim("adabelief-factor", family=FAMILY, source=HERE,
       says="What AdaBelief's s estimates.",
       statement="For i.i.d. gradients with mean μ and variance σ², E (g_t − m_t)² = L + (μ² − "
                 "σ²(1−β1)/(1+β1))·β1^(2t) with L = σ²·2β1²/(1+β1), which is below σ² if σ² > 0; "
                 "E (g_t − m_t)² → L and E ŝ_t → L.",
       hypotheses="0 ≤ β1, β2 < 1, a zero start; an ε inside the average adds ε/(1−β2) to ŝ_t "
                  "(adabelief-epsilon).")  # fmt: skip
def adabelief_factor(rule: Rule) -> Case | None:
    """g_t − m_t = β1 (g_t − m_{t−1}), and g_t is independent of m_{t−1}."""
    found, m = belief(rule), first_moment(rule)
    if found is None or m is None:
        return None
    b, var = found.beta, symbol("var", "nonnegative")

    def excess(run: Run, p: Point) -> Interval:
        """Over all sequences of three gradients μ ± σ, for the last deviation and for ŝ_3."""
        mean, var, b2 = p["g1"], p["g2"] ** 2, p["beta2"]
        last, held, total = Interval.of(0), Interval.of(0), Interval.of(0)
        for signs in product((-1, 1), repeat=3):
            gs = [mean + s * p["g2"] for s in signs]
            trace = run(p, gs)
            gap: Interval = gs[2] - trace.state[m.name][3]
            last += gap * gap / 8
            held += trace.state[found.name][3] / 8
        told = [_deviation(p["beta1"], mean, var, k) for k in (1, 2, 3)]
        for e in told:
            total = b2 * total + (1 - b2) * e + (p["eps"] if found.added else 0)
        off: Interval = abs(last - told[2]).maximum(abs(held - total))
        return off

    return Case(
        (*_expected(rule), *power_vanishes(), *_averaged(rule, found),
         Step("2β1²/(1+β1) < 1", Holds(gt(1, _belief_factor(b))), "2β1² < 1+β1 on [0, 1)")),
        control=Identity(b**2 * (var + var * (1 - b) / (1 + b)), var * b**2 / (1 + b)),
        runs=Runs(excess, grid(g1="1 2 1/2", g2="1 1/2", beta1="1/2 1/4", beta2="3/4 1/2", eps="1")),
    )  # fmt: skip


_BY_SYMPY = "integrals of densities with e^x and Γ: no other engine here has a calculus of them"
Piece = tuple[sp.Expr, tuple[object, object]]


def _distributions(s: sp.Symbol) -> dict[str, tuple[list[Piece], sp.Expr]]:
    """Return each distribution's pieces (density, where) and its moment generating function."""
    k, y = symbol("k", "positive"), symbol("y")
    a, b = symbol("a", "positive"), symbol("b", "positive")
    bell = sp.exp(-((x - y) ** 2) / (2 * b**2)) / (b * sp.sqrt(2 * sp.pi))
    gamma = x ** (k - 1) * sp.exp(-x / b) / (b**k * sp.gamma(k))
    half, other = sp.exp(-x / b) / (2 * b), sp.exp(x / b) / (2 * b)
    everywhere, right, left = (-sp.oo, sp.oo), (0, sp.oo), (-sp.oo, 0)
    return {
        "Gaussian": ([(bell, everywhere)], sp.exp(y * s + b**2 * s**2 / 2)),
        "uniform on [0, a]": ([(1 / a, (0, a))], (sp.exp(a * s) - 1) / (a * s)),
        "gamma(k, b)": ([(gamma, right)], (1 - b * s) ** (-k)),
        "Laplace(b)": ([(half, right), (other, left)], 1 / (1 - b**2 * s**2)),
    }


@claim("moments-from-mgf", family=FAMILY, source=FOLKLORE, about="mathematics",
       says="Slope and curvature of the moment generating function at 0 are the first two moments.",
       statement="M'(0) = E X and M''(0) = E X² for Gaussian, Laplace, uniform and gamma variables, "
                 "wherever they are centred or start, and for every distribution with finite support "
                 "(Bernoulli too).",
       hypotheses="proper parameters; M and the limit are taken from s > 0.")  # fmt: skip
def moments_from_mgf(rule: Rule) -> Case | None:
    """Finite support by linearity, exactly; the others by SymPy's integrals and limits."""
    s, c, p, y = symbol("s", "positive"), symbol("c", "positive"), symbol("p", "unit"), symbol("y")
    b, known = symbol("b", "positive"), _distributions(symbol("s", "positive"))
    atom = p * sp.exp(s * y)
    steps = [
        Step("finite support, each atom: d/ds p·e^(s·y) at 0 is p·y",
             Identity(sp.diff(atom, s).subs(s, 0), p * y, {"p": "unit"}), "sums of such terms"),
        Step("and the second derivative is p·y²",
             Identity(sp.diff(atom, s, 2).subs(s, 0), p * y**2, {"p": "unit"}), "Bernoulli too"),
    ]  # fmt: skip
    for name, (pieces, mgf) in known.items():
        near = {b: 1 / (s + c)} if name in ("gamma(k, b)", "Laplace(b)") else {}
        total = sum(
            sp.Integral(sp.simplify((sp.exp(s * x) * f).subs(near)), (x, *on)) for f, on in pieces
        )
        steps.append(
            Step(
                f"{name}: M(s) = E e^(sX)",
                Analysis(total, mgf.subs(near), _BY_SYMPY),
                "s < 1/b written as 1/b = s + c" if near else "for every s > 0",
            )
        )
        for n, word in ((1, "slope"), (2, "curvature")):
            moment = sum(sp.Integral(x**n * f, (x, *on)) for f, on in pieces).doit()
            steps.append(Step(f"{name}: the {word} of M at 0 is E X^{n}",
                              Analysis(sp.Limit(sp.diff(mgf, s, n), s, 0), sp.simplify(moment),
                                       _BY_SYMPY),
                              "the moment by integration"))  # fmt: skip
    gauss, first, second = known["Gaussian"][1], symbol("a"), symbol("d")
    moved = sp.exp(s * y) * (1 + first * s + second * s**2 / 2)  # M up to s², which is all that is seen
    steps += [
        Step("X + c: M(s) becomes e^(cs)·M(s), and its slope at 0 is E X + c",
             Identity(sp.diff(moved, s).subs(s, 0), first + y), "product rule, M(0) = 1"),
        Step("and its curvature is E X² + 2c·E X + c² = E (X+c)²",
             Identity(sp.diff(moved, s, 2).subs(s, 0), second + 2 * y * first + y**2),
             "so each of these may be moved: Laplace, uniform on [c, a+c]"),
    ]  # fmt: skip
    return Case(tuple(steps), control=Analysis(sp.Limit(sp.diff(gauss, s, 2), s, 0), b**2))
