"""Section 1, what the averages estimate: variance, second moment, generating functions."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .lemmas import power_vanishes
from .records import Analysis, Case, Holds, Identity, Point, Run, Runs, Step
from .roles import first_moment, same, second_moment
from .rule import Rule
from .sources import FOLKLORE, HERE, KB15, Z20
from .symbols import beta1, beta2, eps, g, gt, new, old, symbol, t, x

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


def _is_belief(rule: Rule) -> tuple[sp.Symbol, sp.Expr] | None:
    """Return beta1 and the input of the variance entry when it is (g − m_t)², else None."""
    m = first_moment(rule)
    if m is None or m.input != g or rule.only is None:
        return None
    entered = (g - m.new) ** 2
    for name in rule.initial:
        told = beta2 * old(name) + (1 - beta2) * entered
        if any(same(rule, rule.only.new[name], told + k) for k in (eps, sp.Integer(0))):
            return m.beta, entered
    return None


def _belief_factor(b: sp.Expr) -> sp.Expr:
    return 2 * b**2 / (1 + b)


@claim("adabelief-is-variance", family=FAMILY, source=Z20("section 2"),
       says="AdaBelief's s estimates the variance of the gradient.",
       statement="For i.i.d. gradients E (g_t − m_t)² tends to σ².",
       repaired_by="adabelief-factor")  # fmt: skip
def adabelief_is_variance(rule: Rule) -> Case | None:
    """The stationary factor is 2β1²/(1+β1), below 1."""
    if _is_belief(rule) is None:
        return None
    return Case(statement=Identity(_belief_factor(beta1), sp.Integer(1)))


@claim("adabelief-factor", family=FAMILY, source=HERE,
       says="What AdaBelief's s estimates.",
       statement="For i.i.d. gradients with variance σ², E (g_t − m_t)² → σ²·2β1²/(1+β1) < σ².",
       hypotheses="0 ≤ β1 < 1; t → ∞; ε aside.")  # fmt: skip
def adabelief_factor(rule: Rule) -> Case | None:
    """g_t − m_t = β1 (g_t − m_{t−1}), and g_t is independent of m_{t−1}."""
    found, m = _is_belief(rule), first_moment(rule)
    if found is None or m is None:
        return None
    b, entered = found
    var = symbol("var", "nonnegative")
    domains = {"var": "nonnegative"}
    line = m.beta * m.old + (1 - m.beta) * g
    return Case(
        (Step("(g_t − m_t)² = β1²·(g_t − m_(t−1))²",
              Identity(entered.xreplace({new(m.name): line}), b**2 * (g - m.old) ** 2),
              "the rule's own lines"),
         Step("Var m_t = β1²·Var m_(t−1) + (1−β1)²·σ² has the fixed point σ²(1−β1)/(1+β1)",
              Identity(b**2 * var * (1 - b) / (1 + b) + (1 - b) ** 2 * var,
                       var * (1 - b) / (1 + b), domains), "reached as β1^(2t) → 0"),
         *power_vanishes(),
         Step("β1²·(σ² + σ²(1−β1)/(1+β1)) = σ²·2β1²/(1+β1)",
              Identity(b**2 * (var + var * (1 - b) / (1 + b)), var * _belief_factor(b), domains),
              "independence; equal means cancel"),
         Step("2β1²/(1+β1) < 1", Holds(gt(1, _belief_factor(b))), "2β1² < 1+β1 on [0, 1)")),
        control=Holds(gt(sp.Rational(1, 2), _belief_factor(b))),
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
       statement="M'(0) = E X and M''(0) = E X² for Gaussian, centred Laplace, uniform on [0, a] and "
                 "gamma variables, and for every distribution with finite support (Bernoulli too).",
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
    gauss = known["Gaussian"][1]
    return Case(tuple(steps), control=Analysis(sp.Limit(sp.diff(gauss, s, 2), s, 0), b**2))
