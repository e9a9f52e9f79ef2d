"""The step counter in float32: it stays at 2^24, and what each rule then still knows of t."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .catalogue import claim, grid
from .evaluate import EXACT, compiled
from .floats import FLOAT32, FLOAT64, holds_at
from .interval import Interval
from .lemmas import bernoulli
from .precision import FAMILY
from .records import Case, Expr, Ground, Holds, Identity, Point, Run, Runs, Step
from .roles import Quotient, first_moment, quotient
from .rule import Rule, expand
from .sources import FOLKLORE, HERE
from .symbols import DOMAINS, alpha, eta, ge, gt, new, symbol, t, x

#: Where a float32 counter stays, and the power of 1/2 that is lost beside 1 in float64.
STALL, LOST = 2**FLOAT32.precision, FLOAT64.precision + 1
#: 2^24 steps are LOST times so many.
STRIDE = STALL // LOST
#: A power of NAdam's schedule: 0.96 and the default of its decay.
SCHEDULE, PSI = sp.Rational(96, 100), sp.Rational(4, 1000)


def powers(line: Expr) -> list[Expr]:
    """Return the powers in a formula whose exponent holds t."""
    return sorted((p for p in line.atoms(sp.Pow) if p.exp.has(t)), key=str)


def _line(rule: Rule) -> Expr:
    return expand(rule.late.new)["x"]


def _elsewhere(line: Expr) -> Expr:
    """Return the formula with 0 for every power: what is left of t is not in an exponent."""
    return line.xreplace(dict.fromkeys(powers(line), sp.Integer(0)))


def _stall() -> Step:
    last = Fraction(STALL)
    return Step("float32(2^24 + 1) = 2^24, and every whole number before has its successor",
                holds_at("float32(n + 1) = n + 1 iff n < 2^24", lambda p: (FLOAT32.round(p["n"] + 1)
                         == p["n"] + 1) == (p["n"] < last), *({"n": n} for n in (Fraction(0),
                         last / 2 - 1, last / 2, last - 1, last))),
                "up to 2^24 whole numbers have at most 24 bits; 2^24 + 1 is a tie, and goes to even"
                )  # fmt: skip


def _powers_are_lost() -> tuple[Step, ...]:
    """beta^t <= 2^-54 for t >= 2^24 and beta = 1/(1+s), s >= 1/STRIDE; and beside 1 it is lost."""
    s, k = symbol("s", "nonnegative"), symbol("k", "natural")
    q, r, d = (symbol(n, "positive") for n in ("q", "r", "d"))
    y, p = symbol("y", "unit"), symbol("P", "unit")
    half = sp.Rational(1, 2**LOST)
    domains = {"s": "nonnegative", "q": "positive", "r": "positive", "d": "positive",
               "y": "unit", "P": "unit", "k": "natural"}  # fmt: skip
    return (
        *bernoulli(),
        Step(f"β = 1/(1+s): (1+s)^{STRIDE} ≥ 1 + {STRIDE}·s ≥ 2 for s ≥ 1/{STRIDE}",
             Holds(ge(1 + STRIDE * s, 2), (ge(s, sp.Rational(1, STRIDE)),), domains), "Bernoulli"),
        Step(f"q ≥ 2 and r ≥ d give q·r ≥ 2·d, {LOST} times over: (1+s)^({LOST}·{STRIDE}) ≥ 2^{LOST}",
             Holds(ge(q * r, 2 * d), (ge(q, 2), ge(r, d)), domains, {q: 2 + symbol("w", "nonnegative"),
                   r: d + symbol("u", "nonnegative")}), "induction on the number of factors"),
        Step(f"2^24 ≥ {LOST}·{STRIDE}, so β^t ≤ 2^−{LOST} for t ≥ 2^24",
             Ground(ge(sp.Integer(STALL), LOST * STRIDE)), "powers of 1+s ≥ 1 do not fall"),
        Step("β = 0.9999, hence 0.999 and 0.9, is among these: s = 1/9999",
             Ground(ge(sp.Rational(1, 9999), sp.Rational(1, STRIDE))), "the defaults"),
        Step("such a power is nearer to 0 than to the next number below 1, or in the middle",
             Holds(ge(2 * half - p, p), (ge(half, p),), domains), "2^−53 is the spacing below 1"),
        Step("1 − 2^−54 is a tie and rounds to 1, which is even; above 2^−54 it does not",
             holds_at("float64(1 − P) = 1 iff P ≤ 2^−54", lambda z: (FLOAT64.round(1 - z["P"]) == 1)
                      == (z["P"] <= Fraction(1, 2**LOST)), *({"P": Fraction(1, 2**LOST)
                      * (1 + Fraction(j, 2**20))} for j in (-1, 0, 1))), "so 1 − β^t is 1 for "
             "all t ≥ 2^24"),
        Step("β = 1 − 1e-6 is too close to 1: (1−y)·q ≥ 1 − (k+1)·y for q ≥ 1 − k·y",
             Holds(ge((1 - y) * q, 1 - (k + 1) * y), (ge(q, 1 - k * y),), domains),
             "so (1−y)^k ≥ 1 − k·y, which is 1/2 for y = 1e-6 and k = 500000"),
        Step("2^24 ≤ 34·500000: its power is at least 2^−34 when the counter stops",
             Ground(ge(34 * 500000, sp.Integer(STALL))), "not lost: there the stalled correction shows"),
    )  # fmt: skip


def _denominator(rule: Rule, q: Quotient) -> Expr:
    """Return D_t with the state lines that hold t themselves put in."""
    lines = {new(n): e for n, e in rule.late.new.items() if n != "x" and e.has(t)}
    return q.denominator.xreplace(lines)


def _factor(rule: Rule, q: Quotient) -> tuple[Step, ...]:
    """The stalled step over the true one, for an earlier power P and a later one Q <= P."""
    m = first_moment(rule)
    d = _denominator(rule, q)
    p, later, low = symbol("P", "unit"), symbol("Q", "unit"), symbol("W", "nonnegative")
    held = powers(d)
    states = {s.name: "nonnegative" for s in d.free_symbols if s.name not in DOMAINS}
    domains = {**rule.all_domains, **states, "P": "unit", "Q": "unit", "W": "nonnegative"}
    early, late = d.xreplace(dict.fromkeys(held, p)), d.xreplace(dict.fromkeys(held, later))
    assert m is not None
    steps: tuple[Step, ...] = ()
    if held:
        steps = (
            Step("D falls with the power it is corrected by: D(Q) ≤ D(P), P = β2^T ≥ Q = β2^t",
                 Holds(ge(early, late), (ge(p, later),), domains), "the rule's own denominator"),
            Step("and D(Q) ≥ √(1−P)·D(P)", Holds(ge(late, sp.sqrt(1 - p) * early), (ge(p, later),),
                 domains), "the correction is at most 1"),
        )  # fmt: skip
    if q.corrected:
        steps += (
            Step("1 ≤ (1−Q)/(1−P) ≤ 1/(1−P) for β1, P = β1^T ≥ Q = β1^t",
                 Holds(ge((1 - later) / (1 - p), 1), (ge(p, later),), domains, {p: later + low}),
                 "the correction of m"),
            Step("the second of these", Holds(ge(1 / (1 - p), (1 - later) / (1 - p)), (), domains),
                 "Q ≥ 0"),
        )  # fmt: skip
    return steps


def _linear(rule: Rule) -> tuple[Step, ...]:
    """AdaGrad's rate stays, while the true one falls below every fraction of it."""
    k, big = symbol("K", "positive"), sp.Integer(STALL)
    step = x - rule.late.new["x"]
    bound = 1 + k * (1 + (big - 1) * eta) / eta
    domains = {**rule.all_domains, "K": "positive"}
    return (
        Step("the step is 1/(1 + (t−1)·η) of what it is for t = 1 and the same state",
             Identity(step * (1 + (t - 1) * eta), step.subs(t, 1)), "the rule's own line"),
        Step("1 + (t−1)·η > K·(1 + (2^24−1)·η) for every t > 1 + K·(1 + (2^24−1)·η)/η",
             Holds(gt(1 + (t - 1) * eta, k * (1 + (big - 1) * eta)), (gt(t, bound), gt(eta, 0)),
                   domains), "K is arbitrary: the stalled step is too long by every factor"),
    )  # fmt: skip


def _extra(rule: Rule) -> tuple[Step, ...]:
    """What else of t two rules know: RAdam's t beta^t, NAdam's schedule."""
    line = _line(rule)
    steps: tuple[Step, ...] = ()
    s, q = symbol("s", "positive"), symbol("q", "positive")
    domains = {"s": "positive", "q": "positive"}
    if line.xreplace(dict.fromkeys(powers(line), symbol("P", "unit"))).has(t):
        steps += (
            Step("(t+1)·β^(t+1) ≤ t·β^t for t·s ≥ 1: with β^(t+1) = β^t/(1+s)",
                 Holds(ge(t * q, (t + 1) * q / (1 + s)), (ge(t * s, 1),), domains), "so t·β^t falls"),
            Step("2·2^24·β^t/(1−β^t) ≤ 2^−28 beside ρ_∞ ≥ 1",
                 Ground(ge(sp.Rational(1, 2**28), sp.Rational(2 * STALL, 2**LOST - 1))),
                 "ρ_t is that near to ρ_∞"),
        )  # fmt: skip
    if any(p.base == SCHEDULE for p in powers(line)):
        steps += (
            Step("0.96^(ψ·2^24) ≤ 2^−54 at ψ = 0.004: 0.96 = 1/(1 + 1/24), (1 + 1/24)^24 ≥ 2",
                 Ground(ge(PSI * STALL, 24 * LOST)), "NAdam's momentum is β1 by then"),
        )  # fmt: skip
    return steps


@claim("step-counter-float32", family=FAMILY, source=FOLKLORE,
       says="A float32 step counter is harmless.",
       statement="The step that the code takes when its counter has stopped is the step of the true t, "
                 "at the subject's own hyper-parameters.",
       repaired_by="step-counter-effect")  # fmt: skip
def step_counter_float32(rule: Rule) -> Case | None:
    """Tried on the code: a counter at 2^24 beside one that goes on."""
    return Case(trial="step-counter") if _line(rule).has(t) else None


def _runs(rule: Rule) -> Runs | None:
    """Runs of the factor's bounds, for a counter that stopped at 2 where t is 3."""
    q, m = quotient(rule), first_moment(rule)
    if _elsewhere(_line(rule)).has(eta):
        return Runs(_rate_falls, grid(g1="1 2 -1", g2="1 -2", eta="1/2 1", eps="0 1/2"))
    if q is None or m is None or not q.corrected:
        return None
    denominator = compiled({"D": _denominator(rule, q)}, EXACT)

    def excess(run: Run, p: Point) -> Interval:
        at = {**rule.fill(p), "lambda_": Fraction(0)}
        trace = run(at, [p["g1"], p["g2"], p["g3"]], Fraction(0))
        env = {n: Interval.of(v) for n, v in at.items()} | {"t": Interval.of(2)}
        env |= {new(n).name: trace.state[n][3] for n in rule.initial}
        env |= {n: trace.state[n][2] for n in rule.initial}
        first, second = (1 - at[b] ** 2 for b in (m.beta.name, "beta2"))
        true = abs(trace.x[2] - trace.x[3])
        whole: Interval = denominator(env)["D"] * first
        stalled = abs(trace.state[m.name][3]) * at["alpha"] / whole
        least, most = true * Interval.of(second).sqrt(), true / first
        return (least - stalled).maximum(stalled - most)

    return Runs(excess, grid(g1="1 2 -1", g2="1 -1 2", g3="1 -2", beta1="1/2 1/4", beta2="3/4 1/2",
                             eps="0 1/2"))  # fmt: skip


def _rate_falls(run: Run, p: Point) -> Interval:
    """Return how far a second step is from α g/((1 + η)(√G + ε))."""
    trace = run(p, [p["g1"], p["g2"]], Fraction(0))
    alpha_, eps_ = p.get("alpha", Fraction(1)), p["eps"]
    told = alpha_ * p["g2"] / ((1 + p["eta"]) * (trace.state["sum"][2].sqrt() + eps_))
    return abs(trace.x[1] - trace.x[2] - told)


@claim("step-counter-effect", family=FAMILY, source=HERE,
       says="What a step counter in float32 does when it stops.",
       statement="It stays at T = 2^24.  Adam's step is then the true one times a factor from "
                 "√(1−β2^T) to 1/(1−β1^T); every correction 1−β^t is 1 in float64 by then for "
                 f"β ≤ 1 − 1/{STRIDE + 1}, but not for β = 1 − 1e-6.  AdaGrad's α/(1 + (t−1)η) stays, "
                 "and is too large by a factor without bound.",
       hypotheses="The counter alone is in float32; the factor: the same state at both counts."
       )  # fmt: skip
def step_counter_effect(rule: Rule) -> Case | None:
    """The counter, the powers beside 1, and the rule's own use of t."""
    line, q = _line(rule), quotient(rule)
    rest = _elsewhere(line)
    if not line.has(t) or rest.has(t) != rest.has(eta):
        return None
    if rest.has(eta):
        return Case((_stall(), *_linear(rule)), control=_linear_control(), runs=_runs(rule))
    p = symbol("P", "unit")
    steps = (_stall(), *_powers_are_lost(), *(_factor(rule, q) if q else ()), *_extra(rule))
    return Case(steps, control=Holds(ge(sp.Rational(1, 2**LOST), 1 - p), (), {"P": "unit"}),
                runs=_runs(rule))  # fmt: skip


def _linear_control() -> Holds:
    """Return the near-miss: the rate is too large by a factor of at most 2."""
    return Holds(ge(2 * (1 + (STALL - 1) * eta), 1 + (t - 1) * eta), (), {alpha.name: "positive"})
