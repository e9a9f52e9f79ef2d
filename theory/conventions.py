"""Section 2, the conventions of momentum: where the rate stands, and what enters with which weight."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .records import Case, Expr, Identity, Point, Run, Runs, Step
from .roles import same
from .rule import Regime, Rule
from .rules import named
from .sources import FOLKLORE, HERE, S13
from .symbols import alpha, g, mu, new, old, symbol, t, tau, x

FAMILY = "step size"
ZERO = Fraction(0)
BUFFER = "momentum_buffer"


def rate_inside() -> Rule:
    """Return momentum with the rate in the buffer: u_t = μ u_{t−1} + α_t g_t, x_t = x_{t−1} − u_t.

    The form of Sutskever et al. (2013), eq. (1) and (2), with u = −v.
    """
    line = mu * old(BUFFER) + alpha * g
    return Rule("sgd+momentum+rate-inside", {BUFFER: sp.Integer(0)},
                (Regime({BUFFER: line, "x": x - new(BUFFER)}),))  # fmt: skip


def averaged() -> Rule:
    """Return momentum as a moving average: m_t = μ m_{t−1} + (1−μ) g_t, x_t = x_{t−1} − α m_t."""
    rule = named("sgd+momentum+dampening")
    lines = {n: e.subs(tau, mu) for n, e in rule.late.new.items()}
    return Rule("sgd+momentum+average", rule.initial, (Regime(lines),))


def heavy_ball(rule: Rule) -> str | None:
    """Return the buffer of a rule b_t = μ b_{t−1} + g_t, x_t = x_{t−1} − α b_t, if it is one."""
    names = list(rule.initial)
    if rule.only is None or len(names) != 1:
        return None
    b, lines = names[0], rule.only.new
    fits = same(rule, lines[b], mu * old(b) + g) and same(rule, lines["x"], x - alpha * new(b))
    return b if fits else None


def dampened(rule: Rule) -> str | None:
    """Return the buffer of a rule that moves by α b_t, b_t = μ b_{t−1} + (1−τ) g_t at late steps."""
    names = list(rule.initial)
    if len(names) != 1 or "tau" not in rule.hyper:
        return None
    b, lines = names[0], rule.late.new
    fits = same(rule, lines[b], mu * old(b) + (1 - tau) * g)
    return b if fits and same(rule, lines["x"], x - alpha * new(b)) else None


def moves(run: Run, p: Point, rates: list[Fraction], gradients: list[Fraction]) -> list[Interval]:
    """Return the moves of a run whose rate changes, for a rule whose state does not know the rate."""
    out = []
    for k, rate in enumerate(rates):
        trace = run({**p, "alpha": rate, "lambda_": ZERO}, gradients[: k + 1], ZERO)
        out.append(trace.x[k + 1] - trace.x[k])
    return out


def inside(p: Point, rates: list[Fraction], gradients: list[Fraction]) -> list[Fraction]:
    """Return the moves with the rate inside the buffer."""
    out, u = [], ZERO
    for rate, gradient in zip(rates, gradients, strict=True):
        u = p["mu"] * u + rate * gradient
        out.append(-u)
    return out


def at_rates(p: Point, *parts: int) -> tuple[list[Fraction], list[Fraction]]:
    """Return the rates α/parts and as many gradients of the point."""
    return [p["alpha"] / k for k in parts], [p[f"g{k + 1}"] for k in range(len(parts))]


@claim("momentum-conventions", family=FAMILY, source=S13("where eq. (1) is introduced"),
       says="Heavy ball, momentum as a moving average and momentum with the rate inside the buffer are "
            "the same.",
       statement="Heavy ball (b = μb + g, x −= α_t·b) takes the steps of the form with the rate inside "
                 "(u = μu + α_t·g, x −= u), for every schedule α_t and gradient sequence.",
       repaired_by="momentum-conventions-exact")  # fmt: skip
def momentum_conventions(rule: Rule) -> Case | None:
    """Halve the rate at the second step: one buffer is halved with it, the other is not."""
    if heavy_ball(rule) is None:
        return None

    def excess(run: Run, p: Point) -> Interval:
        rates, gradients = at_rates(p, 1, 2)
        outside = moves(run, p, rates, gradients)
        return abs(outside[1] - inside(p, rates, gradients)[1])

    return Case(runs=Runs(excess, grid(g1="1", g2="1 0", mu="1/2", alpha="1")))


def _conversion(rule: Rule, b: str) -> tuple[Step, ...]:
    """The three forms at a constant rate, as maps between their states."""
    mean, held, lines = averaged().late.new, rate_inside().late.new, rule.late.new
    scaled = {old(BUFFER): (1 - mu) * old(b), new(BUFFER): (1 - mu) * new(b)}
    multiplied = {old(BUFFER): alpha * old(b), new(BUFFER): alpha * new(b)}
    return (
        Step("m = (1−μ)·b is kept: μ·(1−μ)b + (1−μ)g = (1−μ)(μb + g)",
             Identity(mean[BUFFER].xreplace(scaled), (1 - mu) * lines[b]), "zero start; induction"),
        Step("and the average at rate α/(1−μ) moves x as heavy ball at α does, also when α changes",
             Identity(mean["x"].subs(alpha, alpha / (1 - mu)).xreplace(scaled), lines["x"]),
             "the state does not speak of α"),
        Step("u = α·b is kept while α is constant: μ·αb + αg = α(μb + g)",
             Identity(held[BUFFER].xreplace(multiplied), alpha * lines[b]), "zero start; induction"),
        Step("and moves x the same", Identity(held["x"].xreplace(multiplied), lines["x"]),
             "so at a constant rate all three agree"),
    )  # fmt: skip


@claim("momentum-conventions-exact", family=FAMILY, source=HERE,
       says="When the conventions of momentum agree.",
       statement="Heavy ball at α_t is the moving average at α_t/(1−μ) for every schedule, and the form "
                 "with the rate inside for a constant one. Else E_t = α_t·b_t − u_t, by which their "
                 "moves differ, obeys E_t = μE_{t−1} + μ(α_t − α_{t−1})b_{t−1}, E_1 = 0; so they part "
                 "first at t = 2 after a change of rate, by μ(α_2 − α_1)g_1.",
       hypotheses="μ constant; zero buffers; no dampening in heavy ball.")  # fmt: skip
def momentum_conventions_exact(rule: Rule) -> Case | None:
    """Maps between the buffers, and what is left of them when the rate changes."""
    b = heavy_ball(rule)
    if b is None:
        return None
    before, e, g1 = symbol("a", "positive"), symbol("E"), symbol("g1")
    line, held = rule.late.new[b], rate_inside().late.new[BUFFER]
    inside_u = held.xreplace({old(BUFFER): before * old(b) - e})
    gap, told = alpha * line - inside_u, mu * e + mu * (alpha - before) * old(b)
    start = {old(b): sp.Integer(0), old(BUFFER): sp.Integer(0)}

    def excess(run: Run, p: Point) -> Interval:
        rates, gradients = at_rates(p, 1, 2, 3)
        outside, within = moves(run, p, rates, gradients), inside(p, rates, gradients)
        parted = p["mu"] * (rates[1] - rates[0]) * p["g1"]
        buffer = p["mu"] * p["g1"] + p["g2"]
        later = p["mu"] * parted + p["mu"] * (rates[2] - rates[1]) * buffer
        return abs(within[1] - outside[1] - parted).maximum(abs(within[2] - outside[2] - later))

    return Case(
        (*_conversion(rule, b),
         Step("t = 1: α·b_1 = u_1 = α·g_1, so E_1 = 0",
              Identity((alpha * line - held).xreplace(start), sp.Integer(0)), "zero start"),
         Step("with u = a·b − E and a the rate before:  α·b' − u' = μ·E + μ(α−a)·b",
              Identity(gap, told, {"a": "positive"}), "one step of either buffer"),
         Step("t = 2: E_2 = μ(α_2−α_1)·g_1",
              Identity(gap.xreplace({e: sp.Integer(0), old(b): line.xreplace(start).xreplace({g: g1})}),
                       mu * (alpha - before) * g1, {"a": "positive"}),
              "b_1 = g_1; not 0 if μ > 0, the rate changed and g_1 ≠ 0")),
        control=Identity(told, mu * e, {"a": "positive"}),
        runs=Runs(excess, grid(g1="1 2", g2="1 -1", g3="1 1/2", mu="1/2 1/4", alpha="1 1/2")),
    )  # fmt: skip


@claim("dampening-is-average", family=FAMILY, source=FOLKLORE,
       says="Momentum with dampening equal to the momentum is a moving average of the gradients.",
       statement="At τ = μ the buffer is b_t = (1−μ) Σ μ^(t−i) g_i for every gradient sequence.",
       repaired_by="late-dampening-excess")  # fmt: skip
def dampening_is_average(rule: Rule) -> Case | None:
    """True where every gradient is dampened; torch leaves out the first."""
    b = dampened(rule)
    if b is None:
        return None
    line = rule.late.new[b].subs(tau, mu)

    def excess(run: Run, p: Point) -> Interval:
        m, gs = p["mu"], [p["g1"], p["g2"], p["g3"]]
        trace = run({**p, "tau": m}, gs, ZERO)
        told = [(1 - m) * sum((m ** (k - 1 - i) * gs[i] for i in range(k)), ZERO) for k in (1, 2, 3)]
        gaps = [abs(trace.state[b][k] - told[k - 1]) for k in (1, 2, 3)]
        return gaps[0].maximum(gaps[1]).maximum(gaps[2])

    k = symbol("k", "natural")
    first = rule.regimes[0].new[b].subs({old(b): sp.Integer(0), tau: mu, t: sp.Integer(1)})
    return Case(
        (Step("b_1 = (1−μ)·g_1", Identity(first, (1 - mu) * g), "the rule at t = 1"),
         Step("b_t = μ·b_(t−1) + (1−μ)·g_t", Identity(line, mu * old(b) + (1 - mu) * g), "at τ = μ"),
         Step("the weight of g_i gains a factor μ: μ·(1−μ)μ^(t−1−i) = (1−μ)μ^(t−i), k = i",
              Identity(mu * (1 - mu) * mu ** (t - 1 - k), (1 - mu) * mu ** (t - k)), "induction on t")),
        control=Identity(line, mu * old(b) + g),
        runs=Runs(excess, grid(g1="1 2", g2="1 -1", g3="1 1/2", mu="1/2 1/4")),
    )  # fmt: skip


@claim("late-dampening-excess", family=FAMILY, source=HERE,
       says="What torch's dampening leaves out.",
       statement="With the first gradient undampened and τ = μ the buffer is the moving average plus "
                 "μ^t·g_1, the weights of which sum to 1.",
       hypotheses="τ = μ < 1.")  # fmt: skip
def late_dampening_excess(rule: Rule) -> Case | None:
    """b_1 = g_1 = (1−μ)g_1 + μ·g_1, and the excess shrinks by μ from then on."""
    b = dampened(rule)
    if b is None or len(rule.regimes) != 2 or not same(rule, rule.regimes[0].new[b], g):
        return None
    mean, first = symbol("mean"), symbol("g1")
    line = rule.late.new[b].subs(tau, mu).xreplace({old(b): mean + mu ** (t - 1) * first})
    told: Expr = mu * mean + (1 - mu) * g + mu**t * first

    def excess(run: Run, p: Point) -> Interval:
        m, gs = p["mu"], [p["g1"], p["g2"], p["g3"]]
        held = run({**p, "tau": m}, gs, ZERO).state[b][3]
        average = (1 - m) * sum((m ** (2 - i) * gs[i] for i in range(3)), ZERO)
        return abs(held - average - m**3 * p["g1"])

    return Case(
        (Step("b_1 = (1−μ)·g_1 + μ·g_1", Identity(rule.regimes[0].new[b], (1 - mu) * g + mu * g),
              "the first regime"),
         Step("b_t = average + μ^t·g_1 from b_(t−1) = average + μ^(t−1)·g_1", Identity(line, told),
              "the late regime at τ = μ; induction"),
         Step("the average's weights sum to S = 1−μ^t:  μ(1−μ^(t−1)) + (1−μ) = 1−μ^t",
              Identity(mu * (1 - mu ** (t - 1)) + (1 - mu), 1 - mu**t),
              "so with μ^t they sum to 1: a moving average that starts at g_1, not at 0")),
        control=Identity(line, mu * mean + (1 - mu) * g),
        runs=Runs(excess, grid(g1="1 2", g2="1 -1", g3="1 1/2", mu="1/2 1/4")),
    )  # fmt: skip
