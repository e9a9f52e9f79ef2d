"""Section 7b: which known rule Adam is, contains or tends to; and which it only resembles."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .catalogue import claim, grid
from .evaluate import value
from .interval import Interval
from .records import Case, Expr, Holds, Identity, Point, Run, Runs, Step, Trace
from .roles import Average, Quotient, first_moment, quotient, same, second_moment
from .rule import Regime, Rule
from .rules import named
from .sources import C19, KB15
from .symbols import alpha, beta1, beta2, eps, g, ge, mu, new, old, symbol, t, x

FAMILY = "relatives"


def plain(rule: Rule) -> tuple[Quotient, Average, Average] | None:
    """Return the parts of x' = x − α·(m_t or m̂_t)/(R_t + ε), R_t a function of v_t and t alone."""
    q, m, v = quotient(rule), first_moment(rule), second_moment(rule)
    if q is None or m is None or v is None or q.kept != x or m.input != g:
        return None
    root = q.denominator.subs(eps, 0)
    alone = root.free_symbols <= {v.new, v.beta, t}
    return (q, m, v) if alone and same(rule, q.denominator, root + eps) else None


def m_hat(q: Quotient, m: Average) -> Expr:
    """Return what stands over the denominator: m̂_t, or m_t where it is not corrected."""
    return m.new / (1 - m.beta**t) if q.corrected else m.new


def held(p: Point, trace: Trace, k: int) -> dict[str, Fraction | Interval]:
    """Return the values of the symbols of step k: the point, the new state, t."""
    return {**p, **{new(n).name: s[k] for n, s in trace.state.items()}, "t": Fraction(k)}


# -- a large epsilon -------------------------------------------------------------------------------


def _bounded(m: Average, v: Average, rule: Rule) -> tuple[Step, ...]:
    """|g_i| ≤ G for all i gives |m_t| ≤ G(1−β1^t) and v_t ≤ G²(1−β2^t), from the rule's lines."""
    top, e, f = symbol("G", "positive"), symbol("e", "nonnegative"), symbol("f", "nonnegative")

    def told(a: Average, bound: Expr, enters: Expr) -> Expr:
        line = rule.late.new[a.name].xreplace({a.old: bound * (1 - a.beta ** (t - 1)) - e})
        return bound * (1 - a.beta**t) - line.xreplace({a.input: enters - f})

    return (
        Step("m_(t−1) = G(1−β1^(t−1)) − e and g_t = G − f give m_t = G(1−β1^t) − β1·e − (1−β1)·f",
             Identity(told(m, top, top), m.beta * e + (1 - m.beta) * f),
             "e, f ≥ 0; and the same for −m_t: |m_t| ≤ G(1−β1^t) by induction"),
        Step("v_(t−1) = G²(1−β2^(t−1)) − e and g_t² = G² − f give v_t = G²(1−β2^t) − β2·e − (1−β2)·f",
             Identity(told(v, top**2, top**2), v.beta * e + (1 - v.beta) * f),
             "so v_t ≤ G²(1−β2^t), and |m̂_t|·R_t ≤ G²"),
    )  # fmt: skip


def _accumulated(m: Average, rule: Rule) -> tuple[Step, ...]:
    """What the gap of one step grows to, when the gradients depend on x with Lipschitz constant L."""
    c, r, ex, em, lip, h = (symbol(n, "nonnegative") for n in ("c", "r", "ex", "em", "L", "h"))
    top, p, q, o = symbol("r1", "nonnegative"), *(symbol(n, "nonnegative") for n in "pqo")
    m2, g2 = symbol("m_2"), symbol("g_2")
    line = rule.late.new[m.name]
    other = line.xreplace({m.old: m2, g: g2})
    after = (1 + lip) * c
    return (
        Step("the two averages differ by β1·(m−m₂) + (1−β1)·(g−g₂)",
             Identity(line - other, m.beta * (m.old - m2) + (1 - m.beta) * (g - g2)),
             "linear; |g−g₂| ≤ L·|x−y|"),
        Step("|x−y| ≤ c and |m−m₂| ≤ c before the step: β1·|m−m₂| + (1−β1)·L·|x−y| ≤ (1+L)·c",
             Holds(ge(after, m.beta * em + (1 - m.beta) * lip * ex), (ge(c, ex), ge(c, em)), {},
                   {ex: c - p, em: c - q, m.beta: o / (1 + o)}), "the averages after it"),
        Step("and |x−y| after it is at most (1+L)(1+r₁)·c + h, h = γG²/ε, r₁ = γ/(1−β1)",
             Holds(ge((1 + lip) * (1 + top) * c + h, ex + r * em + h),
                   (ge(c, ex), ge(after, em), ge(top, r)), {}, {ex: c - p, em: after - q, top: r + o}),
             "r = γ/(1−β1^t) ≤ r₁; induction from c = 0: after t steps c is 1/ε times what is free "
             "of ε"),
    )  # fmt: skip


@claim("large-epsilon-is-momentum", family=FAMILY, source=C19("section 3"),
       says="With ε → ∞ and α/ε fixed, Adam becomes SGD with momentum.",
       statement="With α = γε each step is within γ|m̂_t|R_t/ε ≤ γG²/ε of −γm̂_t (R_t = D_t − ε): SGD "
                 "with EMA momentum at rate γ (m̂ = m/(1−β1^t) where it is corrected); x_t is within "
                 "C_t/ε of that run, C_t = γG²t for given gradients.",
       hypotheses="|g_t| ≤ G; for gradients that depend on x, L-Lipschitz, C_{t+1} = "
                  "(1+L)(1+γ/(1−β1))C_t + γG².")  # fmt: skip
def large_epsilon_is_momentum(rule: Rule) -> Case | None:
    """The rule's own line with α = γε; heavy ball is the same average without its (1−β1)."""
    found = plain(rule)
    if found is None:
        return None
    q, m, v = found
    rate, b, r, h = symbol("γ", "positive"), old("momentum_buffer"), symbol("R"), symbol("h")
    domains = {"eps": "positive", "γ": "positive", "R": "nonnegative", "h": "nonnegative"}
    root, hat = q.denominator.subs(eps, 0), m_hat(q, m)
    line = rule.late.new["x"].subs(alpha, rate * eps)
    ball = named("sgd+momentum").late.new["momentum_buffer"].xreplace({mu: m.beta})
    limit, away = x - rate * hat, rate * h * r / (r + eps)

    def excess(run: Run, p: Point) -> Interval:
        trace = run(p, [p["g1"], p["g2"]])
        env = held({**rule.fill(p), **p}, trace, 2)
        over, size, ratio = value(hat, env), value(root, env), p["alpha"] / p["eps"]
        return abs(trace.x[2] - trace.x[1] + over * ratio) - abs(over) * size * ratio / p["eps"]

    return Case(
        (Step("x_t = (x_(t−1) − γ·m̂_t) + γ·m̂_t·R/(R+ε)",
              Identity(line, limit + away.xreplace({h: hat, r: root}), domains), "α = γε"),
         Step("γ·h·R/(R+ε) ≤ γ·h·R/ε", Holds(ge(rate * h * r / eps, away), (), domains),
              "h = |m̂_t|: the rate of approach"),
         *_bounded(m, v, rule), *_accumulated(m, rule),
         Step("m_t = (1−β1)·b_t with the buffer b_t = β1·b_(t−1) + g_t of SGD with momentum",
              Identity(rule.late.new[m.name].xreplace({m.old: (1 - m.beta) * b}), (1 - m.beta) * ball),
              "so the limit is heavy ball at rate γ(1−β1), over 1−β1^t where m is corrected")),
        control=Identity(limit.xreplace({m.new: (1 - m.beta) * ball}), x - rate * ball),
        runs=Runs(excess, grid(g1="1 -2", g2="1 -1 3", eps="1 2 1/2", alpha="1 1/2")),
    )  # fmt: skip


# -- RMSprop with momentum -------------------------------------------------------------------------


def step_momentum() -> Rule:
    """RMSprop with a momentum of its steps, averaged as in Adam and with both corrections.

    The nearest to Adam that momentum on the step comes; torch's RMSprop(momentum) is the same
    without corrections and without the factor 1 − mu.
    """
    v, b, v_t, b_t = old("square_avg"), old("momentum_buffer"), new("square_avg"), new("momentum_buffer")
    step = g / (sp.sqrt(v_t / (1 - beta2**t)) + eps)
    lines = {
        "square_avg": beta2 * v + (1 - beta2) * g**2,
        "momentum_buffer": beta1 * b + (1 - beta1) * step,
        "x": x - alpha * b_t / (1 - beta1**t),
    }
    zero = sp.Integer(0)
    return Rule("rmsprop-step-momentum", {"square_avg": zero, "momentum_buffer": zero}, (Regime(lines),))


def _twin(rule: Rule) -> tuple[Rule, dict[sp.Symbol, Expr]] | None:
    """Return the rule with the other kind of momentum, and what its symbols are."""
    if same_lines(rule, named("rmsprop+momentum")):
        return named("adam-uncorrected"), {beta1: mu, alpha: alpha / (1 - mu)}
    if same_lines(rule, named("adam-uncorrected")):
        return named("rmsprop+momentum"), {mu: beta1, alpha: alpha * (1 - beta1)}
    return (step_momentum(), {}) if same_lines(rule, named("adam")) else None


def same_lines(rule: Rule, paper: Rule) -> bool:
    """Whether a rule has the paper's lines, by the same names."""
    if set(rule.initial) != set(paper.initial) or rule.only is None:
        return False
    mine, theirs = rule.transition(), paper.transition()
    return all(same(rule, mine[n], theirs[n]) for n in mine)


def _compared(run: Run, rule: Rule, twin: tuple[Rule, dict[sp.Symbol, Expr]], p: Point) -> Interval:
    """Return x_2 of the rule minus x_2 of the twin."""
    known = {n: Interval.of(k) for n, k in {**rule.fill(p), **p}.items()}
    at = {**{n: k.lo for n, k in known.items()},
          **{s.name: value(e, known).lo for s, e in twin[1].items()}}  # fmt: skip
    gradients = [p["g1"], p["g2"]]
    return run(p, gradients).x[2] - twin[0].run(at, gradients).x[2]


@claim("adam-is-rmsprop-momentum", family=FAMILY, source=KB15("section 5, on RMSProp"),
       says="Adam is RMSprop plus momentum plus bias correction.",
       statement="Momentum on RMSprop's steps, as the frameworks' RMSprop has it, gives the x_t of "
                 "Adam's momentum on the gradient once rates and corrections are matched.",
       repaired_by="adam-is-rmsprop-gradient-momentum")  # fmt: skip
def adam_is_rmsprop_momentum(rule: Rule) -> Case | None:
    """Two steps, between which the denominator changes."""
    twin = _twin(rule)
    if twin is None:
        return None
    return Case(runs=Runs(lambda run, p: abs(_compared(run, rule, twin, p)),
                          grid(g1="1", g2="1 2", alpha="1", eps="0 1")))  # fmt: skip


def _v_hat(rule: Rule, v: Expr, k: Expr) -> Expr:
    """Return v̂ at step k, or v where the rule does not correct it."""
    q = quotient(rule)
    return v / (1 - beta2**k) if q is not None and q.corrected else v


def _which_momentum(rule: Rule) -> Step:
    """Where RMSprop's step stands in the rule: under an average, or with averages put into it."""
    rms = named("rmsprop").late.new["x"]
    m, v, q = first_moment(rule), second_moment(rule), quotient(rule)
    assert v is not None
    here = rms.xreplace({new("square_avg"): _v_hat(rule, v.new, t)})
    if m is None or q is None:
        line, b = rule.late.new["momentum_buffer"], old("momentum_buffer")
        return Step("b_t = μ·b_(t−1) + RMSprop's step", Identity(line, mu * b + (x - here) / alpha),
                    "here the momentum is of the steps")  # fmt: skip
    return Step("x_t is RMSprop's line with m̂_t for g_t and v̂_t for v_t",
                Identity(rule.late.new["x"], here.xreplace({g: m_hat(q, m)})),
                "m_t averages gradients, not steps")  # fmt: skip


def _weight(rule: Rule) -> Expr:
    """Return w, the weight of g_1 in the momentum of step 2, as x sees it."""
    q, step = quotient(rule), mu
    if q is None:
        return -step
    return beta1 / (1 + beta1) if q.corrected else beta1 * (1 - beta1)


def _difference(rule: Rule, twin: tuple[Rule, dict[sp.Symbol, Expr]]) -> Identity:
    """x_2 of both kinds of momentum, from both rules unrolled."""
    v = second_moment(rule)
    assert v is not None
    roots = [sp.sqrt(_v_hat(rule, rule.unrolled(k)[v.name], sp.Integer(k))) + eps for k in (1, 2)]
    other = twin[0].unrolled(2)["x"].subs(twin[1], simultaneous=True)
    told = alpha * _weight(rule) * symbol("g1") * (1 / roots[0] - 1 / roots[1])
    return Identity(rule.unrolled(2)["x"] - other, told)


@claim("adam-is-rmsprop-gradient-momentum", family=FAMILY, source=KB15("section 5, on RMSProp"),
       says="Which momentum makes RMSprop Adam.",
       statement="Adam is RMSprop with m̂_t for g_t and v̂_t for v_t in its step: momentum on the "
                 "gradient, before the division. With momentum on the steps x_2 differs by "
                 "α·w·g_1·(1/D_1 − 1/D_2), w = β1/(1+β1) (β1(1−β1) uncorrected): only a D that "
                 "stands still makes them equal.",
       hypotheses="rates and corrections matched; zero start; g_1 ≠ 0 < β1 for “only”.")  # fmt: skip
def adam_is_rmsprop_gradient_momentum(rule: Rule) -> Case | None:
    """The line of x (or of the buffer) against RMSprop's step; both kinds of momentum to t = 2."""
    twin, v = _twin(rule), second_moment(rule)
    if twin is None or v is None:
        return None
    w, m, d, d2 = symbol("w", "unit"), symbol("m"), symbol("d", "positive"), symbol("d2", "positive")
    parted, second = _difference(rule, twin), {symbol("g2"): 2}

    def excess(run: Run, p: Point) -> Interval:
        at = {n: Interval.of(k) for n, k in {**rule.fill(p), **p}.items()}
        trace = run(p, [p["g1"], p["g2"]])
        d_1, d_2 = (
            value(sp.sqrt(_v_hat(rule, v.new, sp.Integer(k))) + eps, {**at, **held(p, trace, k)})
            for k in (1, 2)
        )
        told = value(alpha * _weight(rule), at) * p["g1"] * (1 / d_1 - 1 / d_2)
        return abs(_compared(run, rule, twin, p) - told)

    return Case(
        (_which_momentum(rule),
         Step("x_2 − x_2 of the other kind = α·w·g_1·(1/D_1 − 1/D_2)", parted,
              "both unrolled; at t = 1 they agree"),
         Step("1/D_1 − 1/D_2 = (D_2 − D_1)/(D_1·D_2)",
              Identity(1 / d - 1 / d2, (d2 - d) / (d * d2)), "0 only if D_1 = D_2"),
         Step("with one d for all t, b_(t−1) = m_(t−1)/d gives β·b_(t−1) + (1−β)·g/d = m_t/d",
              Identity(w * (m / d) + (1 - w) * g / d, (w * m + (1 - w) * g) / d),
              "induction: then the two agree for every t")),
        control=Identity(parted.lhs.subs(second), 2 * parted.rhs.subs(second)),
        runs=Runs(excess, grid(g1="1 -2", g2="1 2 -3", alpha="1 1/2", eps="1 1/2")),
    )  # fmt: skip
