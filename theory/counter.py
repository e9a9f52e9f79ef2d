"""The step counter in float32: it stays at 2^24, and what each rule then still knows of t."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .bounds import Bounded, bounded
from .catalogue import claim, grid
from .evaluate import EXACT, compiled, value
from .floats import FLOAT32, FLOAT64, holds_at
from .interval import Interval
from .lemmas import bernoulli
from .nadam import lookahead
from .precision import FAMILY
from .records import Case, Expr, Goal, Ground, Holds, Identity, Point, Run, Runs, Step
from .roles import Quotient, first_moment, quotient
from .rule import Rule, expand
from .sources import FOLKLORE, HERE
from .symbols import DOMAINS, alpha, beta2, eq, eta, gamma, ge, gt, new, symbol, t, x

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


def _without_bound(scale: Expr) -> tuple[Step, ...]:
    """A schedule 1/√t stays at 1/√T."""
    k, stop, domains = symbol("K", "positive"), symbol("T", "positive"), {"K": "positive",
                                                                          "T": "positive"}  # fmt: skip
    return (
        Step("the schedule at T over the one at t is √(t/T)",
             Identity(scale.subs(t, stop) / scale, sp.sqrt(t) / sp.sqrt(stop), domains), "its own line"),
        Step("t/T > K² for every t > K²·T", Holds(gt(t / stop, k**2), (gt(t, k**2 * stop),), domains),
             "K is arbitrary, and the clipped rates are within k: too long by every factor"),
    )  # fmt: skip


def _clipped(found: Bounded) -> tuple[Step, ...]:
    """AdaBound's rate at both counts is between the bounds at T, which are near each other."""
    stop, k, d = symbol("T", "positive"), symbol("k", "positive"), symbol("d", "nonnegative")
    r, other, low = (symbol(n, "positive") for n in ("r", "q", "l"))
    domains = {**DOMAINS, "gamma_": "positive", **dict.fromkeys("Tkrql", "positive"),
               "d": "nonnegative"}  # fmt: skip
    lower, upper = found.lower.subs(t, stop), found.upper.subs(t, stop)
    later = {stop: stop + d}
    steps = (
        Step("the lower bound at t ≥ T is not below the one at T: t = T + d",
             Holds(ge(lower.xreplace(later), lower), (), domains), "the rule's own"),
        Step("nor the upper bound above", Holds(ge(upper, upper.xreplace(later)), (), domains),
             "so the rates at T and at t both lie between the bounds at T"),
        Step("these are in the ratio (1 + 1/(γT))²",
             Identity(upper / lower, (1 + 1 / (gamma * stop)) ** 2, domains), "k = (1 + 1/(γT))²"),
        Step("r ≤ k·l and l ≤ q give r ≤ k·q", Holds(ge(k * other, r), (ge(k * low, r),
             ge(other, low)), domains), "either rate is at most k times the other"),
        Step("k ≤ 1.00012 at the authors' γ = 0.001 and T = 2^24", Ground(ge(
             1 + sp.Rational(12, 10**5), (1 + sp.Rational(1000, STALL)) ** 2)), "exact rationals"),
    )  # fmt: skip
    return steps if found.scale == 1 else (*steps, *_without_bound(found.scale))


def _rectified(rule: Rule) -> tuple[Step, ...]:
    """RAdam's rho holds t·beta2^t."""
    s, q, p = symbol("s", "positive"), symbol("q", "positive"), beta2**t
    domains = {"s": "positive", "q": "positive"}
    rho, last = rule.late.when[0].gts, 2 / (1 - beta2) - 1
    return (
        Step("ρ_∞ − ρ_t = 2t·β2^t/(1−β2^t) with ρ_∞ = 2/(1−β2) − 1",
             Identity(last - rho, 2 * t * p / (1 - p)), "the rule's own condition"),
        Step("(t+1)·β^(t+1) ≤ t·β^t for t·s ≥ 1: with β^(t+1) = β^t/(1+s)",
             Holds(ge(t * q, (t + 1) * q / (1 + s)), (ge(t * s, 1),), domains), "so t·β^t falls, from "
             "T·s ≥ 1 on"),
        Step("2·2^24·β^T/(1−β^T) ≤ 2^−28", Ground(ge(sp.Rational(1, 2**28),
             sp.Rational(2 * STALL, 2**LOST - 1))), "β^T ≤ 2^−54: ρ_T and all later ρ_t are that near"),
    )  # fmt: skip


def _scheduled(rule: Rule) -> tuple[Step, ...]:
    """NAdam's momentum holds 0.96^(t·psi)."""
    found, p = lookahead(rule), symbol("P", "unit")
    if found is None or not found.product:
        return ()
    b = found.m.beta
    (power,) = powers(found.mu)
    half = sp.Rational(1, 2**LOST)
    return (
        Step("β1 − μ_t = β1·P/2 with P = 0.96^(ψt)",
             Identity(b - found.mu.xreplace({power: p}), b * p / 2, {"P": "unit"}), "its own schedule"),
        Step("0.96 = 1/(1 + 1/24), and (1 + 1/24)^24 ≥ 1 + 24/24 = 2",
             Ground(eq(SCHEDULE, 1 / (1 + sp.Rational(1, 24)))), "Bernoulli"),
        Step("ψ·2^24 ≥ 24·54 at ψ = 0.004, so P ≤ 2^−54 from T on", Ground(ge(PSI * STALL, 24 * LOST)),
             "the default ψ"),
        Step("then β1 − μ_t ≤ 2^−54", Holds(ge(half, b * p / 2), (ge(half, p),), {"P": "unit"}),
             "NAdam's momentum is β1 by then"),
    )  # fmt: skip


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
    q, m, clip = quotient(rule), first_moment(rule), bounded(rule)
    three = {"g1": "1 2 -1", "g2": "1 -1 2", "g3": "1 -2", "beta1": "1/2 1/4", "beta2": "3/4 1/2",
             "eps": "0 1/2"}  # fmt: skip
    if _elsewhere(_line(rule)).has(eta):
        return Runs(lambda run, p: _rate_falls(rule, run, p),
                    grid(g1="1 2 -1", g2="1 -2", eta="1/2 1", eps="0 1/2"))  # fmt: skip
    if clip is not None:
        return Runs(lambda run, p: _rates_apart(rule, clip, run, p),
                    grid(**three, gamma_="1 1/4", alpha_final="1 1/4"))  # fmt: skip
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

    return Runs(excess, grid(**three))


def _rate_falls(rule: Rule, run: Run, p: Point) -> Interval:
    """Return how far a second step is from α·g/((1 + η)(√G + ε)), g with the penalty if there is one."""
    at = rule.fill(p)
    trace = run(at, [p["g1"], p["g2"]], Fraction(0))
    entered = trace.x[1] * at.get("lambda_", Fraction(0)) + p["g2"]
    told = at["alpha"] * entered / ((1 + at["eta"]) * (trace.state["sum"][2].sqrt() + at["eps"]))
    return abs(trace.x[1] - trace.x[2] - told)


def _rates_apart(rule: Rule, clip: Bounded, run: Run, p: Point) -> Interval:
    """Return by how much AdaBound's rates at the counts 2 and 3 are farther apart than (1+1/(2γ))²."""
    at = rule.fill(p)
    trace = run(at, [p["g1"], p["g2"], p["g3"]], Fraction(0))
    env = {n: Interval.of(v) for n, v in at.items()} | {"t": Interval.of(2)}
    env |= {new(n).name: trace.state[n][3] for n in rule.initial}
    stalled = value(clip.clipped, env) * abs(trace.state[clip.m.name][3])
    true = abs(trace.x[3] - trace.x[2]) / value(clip.scale, {"t": Interval.of(3)})
    most = (1 + 1 / (2 * at["gamma_"])) ** 2
    return (stalled - true * most).maximum(true - stalled * most)


@claim("step-counter-effect", family=FAMILY, source=HERE,
       says="What a step counter in float32 does when it stops.",
       statement="It stays at T = 2^24.  By rule, with the same state: every correction 1−β^t is 1 in "
                 f"float64 by then for β ≤ 1 − 1/{STRIDE + 1}, but not for β = 1 − 1e-6.  The adaptive "
                 "part of Adam's step (AdamW's decay apart) is the true one times a factor from "
                 "√(1−β2^T) to 1/(1−β1^T).  RAdam's ρ_T and every later ρ_t are within 2^−28 of ρ_∞, "
                 "NAdam's μ_T and every later μ_t at ψ = 0.004 within 2^−54 of β1.  AdaBound's rate is "
                 "within a factor (1 + 1/(γT))² of the true one, but with the schedule 1/√t it is too "
                 "large by a factor without bound.  So is AdaGrad's, which stays α/(1 + (T−1)η), for "
                 "η > 0.",
       hypotheses="The counter alone is in float32; the same state at both counts; for RAdam "
                  f"β2 ≤ 1 − 1/{STRIDE + 1}.")  # fmt: skip
def step_counter_effect(rule: Rule) -> Case | None:
    """The counter, the powers beside 1, and the rule's own use of t."""
    line, q, clip = _line(rule), quotient(rule), bounded(rule)
    rest = _elsewhere(line)
    if not line.has(t):
        return None
    if rest.has(eta):
        return Case((_stall(), *_linear(rule)), control=_linear_control(), runs=_runs(rule))
    lost = _powers_are_lost() if powers(line) else ()
    if clip is not None:
        return Case((_stall(), *lost, *_clipped(clip)), control=_clip_control(clip), runs=_runs(rule))
    if rest.has(t):
        return None
    with_t = line.xreplace(dict.fromkeys(powers(line), symbol("P", "unit"))).has(t)
    own = _factor(rule, q) if q else _rectified(rule) if with_t else _scheduled(rule)
    return Case((_stall(), *lost, *own), control=_lost_control(), runs=_runs(rule))


def _lost_control() -> Goal:
    """Return the near-miss: a power of a whole unit below 1 is lost."""
    edge = Fraction(1, 2**LOST)
    return holds_at("float64(1 − P) = 1 iff P ≤ 2^−53", lambda z: (FLOAT64.round(1 - z["P"]) == 1)
                    == (z["P"] <= 2 * edge), *({"P": edge * (1 + Fraction(j, 2**20))}
                    for j in (-1, 0, 1)))  # fmt: skip


def _clip_control(clip: Bounded) -> Goal:
    """Return the near-miss: the bounds at t are within a factor 1 + 1/(γt)."""
    domains = {**DOMAINS, "gamma_": "positive"}
    return Holds(ge((1 + 1 / (gamma * t)) * clip.lower, clip.upper), (), domains)


def _linear_control() -> Goal:
    """Return the near-miss: the rate is too large by a factor of at most 2."""
    return Holds(ge(2 * (1 + (STALL - 1) * eta), 1 + (t - 1) * eta), (), {alpha.name: "positive"})
