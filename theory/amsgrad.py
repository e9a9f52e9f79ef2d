"""Section 4: the effective denominator D_t (the number under m̂_t, ε included) and its rate."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .lemmas import correction_rate, power_vanishes
from .records import Case, Expr, Goal, Holds, Identity, Point, Run, Runs, Step, Trace
from .roles import Average, Quotient, first_moment, quotient, second_moment
from .rule import Rule
from .sources import HERE, RKK18
from .symbols import beta2, eps, g, ge, gt, new, old, symbol, t, x

FAMILY = "AMSGrad"
#: Spikes and silences; β1 = 0 lets the denominator be seen alone.
SPIKES = grid(g1="1 2", g2="1/2 1 2", g3="1 1/2", beta1="0 1/2", beta2="3/4 1/2", eps="0")


def maximum(rule: Rule) -> str | None:
    """Return the state entry that keeps a running maximum of the second moment, if there is one."""
    v = second_moment(rule)
    return next((n for n in rule.initial if v is not None and rule.late.new[n].has(sp.Max)), None)


def observed(rule: Rule, q: Quotient, p: Point, trace: Trace, k: int) -> Interval:
    """Return D_k as a run shows it: α m̂_k / (kept − x_k), whatever the code did inside."""
    m = first_moment(rule)
    assert m is not None
    b = p[m.beta.name]
    m_hat = trace.state[m.name][k] / (1 - b**k) if q.corrected else trace.state[m.name][k]
    factor = q.kept.xreplace({x: sp.Integer(1)})
    shrink = factor.subs({s: sp.Rational(str(p.get(s.name, 0))) for s in factor.free_symbols})
    kept = trace.x[k - 1] * Fraction(shrink.p, shrink.q)
    return m_hat * p["alpha"] / (kept - trace.x[k])


def hidden(rule: Rule, trace: Trace) -> bool:
    """Whether some step of a run does not show its D, because m is 0 there."""
    m = first_moment(rule)
    assert m is not None
    return any(held.lo <= 0 <= held.hi for held in trace.state[m.name][1:])


def _case(
    rule: Rule, q: Quotient, steps: tuple[Step, ...], control: Goal | None, *, schedule: bool
) -> Case:
    """D_t (or with ``schedule`` √t·D_t) must not fall along any run."""

    def excess(run: Run, p: Point) -> Interval:
        base = {**rule.fill(p), "alpha": Fraction(1), "lambda_": Fraction(0)}
        for last in (2, 3):  # the fewest steps that show it
            trace = run(base, [p[f"g{k}"] for k in range(1, last + 1)], Fraction(0))
            if hidden(rule, trace):
                return Interval.of(-1)
            d = [observed(rule, q, base, trace, k) for k in (last - 1, last)]
            if schedule:
                d = [v * Interval.of(last - 1 + k).sqrt() for k, v in enumerate(d)]
            if (d[0] - d[1]).lo > 0:
                break
        return d[0] - d[1]

    return Case(steps, control=control, runs=Runs(excess, SPIKES))


def _growth(rule: Rule, q: Quotient) -> tuple[Step, ...]:
    """u_t ≥ u_{t−1}, and D as the rule has it at t and at t − 1, compared."""
    name = maximum(rule)
    if name is None:
        return ()
    u, u_t = old(name), new(name)
    before = q.denominator.subs({u_t: u, t: t - 1}, simultaneous=True)
    v = second_moment(rule)
    assert v is not None
    domains = {u.name: "nonnegative", u_t.name: "nonnegative", v.new.name: "nonnegative"}
    line = rule.late.new[name]
    return (
        Step("the stored maximum never falls: u_t ≥ u_(t−1)",
             Holds(ge(line.subs(beta2**t, symbol("P", "unit")), u), (), {**domains, "P": "unit"}),
             "a maximum is at least each of its arguments"),
        Step("so D_t ≥ D_(t−1)", Holds(ge(q.denominator, before), (ge(u_t, u), ge(t, 2)), domains),
             "D as the rule computes it, at t and at t−1"),
    )  # fmt: skip


@claim("amsgrad-denominator-monotone", family=FAMILY, source=RKK18("section 4"),
       says="AMSGrad's second moment never decreases.",
       statement="The effective denominator D_t is non-decreasing in t for every gradient sequence.",
       hypotheses="ε ≥ 0, any start that the rule has.",
       repaired_by="amsgrad-rebound-factor")  # fmt: skip
def amsgrad_denominator_monotone(rule: Rule) -> Case | None:
    """By induction where the correction does not come after the maximum; else a spike refutes it."""
    q = quotient(rule)
    if q is None or maximum(rule) is None:
        return None
    u = maximum(rule)
    assert u is not None
    near = Holds(ge(q.denominator.subs(t, 2), 2 * q.denominator.subs({new(u): old(u), t: 1})),
                 (ge(new(u), old(u)),),
                 {old(u).name: "nonnegative", new(u).name: "nonnegative"})  # fmt: skip
    return _case(rule, q, _growth(rule, q), near, schedule=False)


#: Spikes, and no silence in which D_t could not be read off the step.
AFTER_A_SPIKE = grid(g1="1 2", g2="0 1 1/2", g3="0 2", beta1="1/2 3/4", beta2="3/4 1/2")


@claim("amsgrad-rebound-factor", family=FAMILY, source=HERE,
       says="By how much AMSGrad's denominator can fall when the maximum is corrected afterwards.",
       statement="D_t/D_s ≥ √((1−β2^s)/(1−β2^t)) ≥ √(1−β2) for s ≤ t and every gradient sequence.  The "
                 "first is an equality while the maximum stays; it is reached from step 1 on at g = "
                 "(1, 0, 0, …): D_t/D_1 = √((1−β2)/(1−β2^t)), which falls towards √(1−β2).",
       hypotheses="ε = 0; D_s > 0.")  # fmt: skip
def amsgrad_rebound_factor(rule: Rule) -> Case | None:
    """The same maximum, or a larger one, under a growing correction."""
    q, name = quotient(rule), maximum(rule)
    if q is None or name is None or not q.denominator.has(beta2):
        return None

    def excess(run: Run, p: Point) -> Interval:
        base = {**rule.fill(p), "alpha": Fraction(1), "lambda_": Fraction(0), "eps": Fraction(0)}
        slopes, b2 = [p["g1"], p["g2"], p["g3"]], p[beta2.name]
        trace = run(base, slopes, Fraction(0))
        if hidden(rule, trace):
            return Interval.of(-1)
        d = {k: observed(rule, q, base, trace, k) for k in (1, 2, 3)}
        worst = Interval.of(-1)
        for i, k in ((1, 2), (1, 3), (2, 3)):
            told = d[i] * Interval.of((1 - b2**i) / (1 - b2**k)).sqrt()
            reached = not any(slopes[i:k]) and i == 1
            worst = worst.maximum(abs(told - d[k]) if reached else told - d[k])
        return worst

    ratio, told = _rebound_ratio(q, name)
    return Case(
        (*_growth(rule, q)[:1], *_rebound_floor(q, name), *_silence(rule, name),
         Step("D_t/D_1 = √((1−β2)/(1−β2^t)) where u stays", Identity(ratio, told, {new(name).name:
              "positive"}), "u cancels"),
         Step("it is at most 1", Holds(ge(1 - beta2**t, 1 - beta2)), "β2^t ≤ β2"),
         Step("and non-increasing", Holds(ge(1 - beta2 ** (t + 1), 1 - beta2**t)), "β2 < 1"),
         *power_vanishes(),
         Step("1 ≥ √(1−β2^t) ≥ 1−β2^t", Holds(ge(sp.sqrt(1 - power), 1 - power), (), {"P": "unit"}),
              "P = β2^t → 0: so √(1−β2^t) → 1 and the ratio tends to √(1−β2)")),
        control=Identity(ratio, 1 / told, {new(name).name: "positive"}),
        runs=Runs(excess, AFTER_A_SPIKE),
    )  # fmt: skip


#: β2^t where only its range matters.
power = symbol("P", "unit")


def _rebound_ratio(q: Quotient, name: str) -> tuple[Expr, Expr]:
    """Return D_t/D_1 at ε = 0 for one maximum, and what it is."""
    d = q.denominator.subs(eps, 0)
    return d / d.subs(t, 1), sp.sqrt(1 - beta2) / sp.sqrt(1 - beta2**t)


def _rebound_floor(q: Quotient, name: str) -> tuple[Step, ...]:
    """D_t ≥ D_s √((1−β2^s)/(1−β2^t)), from u_t ≥ u_s."""
    u, early = new(name), symbol("s", "natural")
    more, now, then = symbol("e", "nonnegative"), symbol("Q", "unit"), symbol("P", "unit")
    domains = {u.name: "positive", "e": "nonnegative", "Q": "unit", "P": "unit", "s": "natural"}
    square = (q.denominator.subs(eps, 0)) ** 2
    return (
        Step("D_t² = u_t/(1−β2^t) at ε = 0", Identity(square, u / (1 - beta2**t), domains),
             "the rule's own D"),
        Step("u_t ≥ u_s gives D_t²/D_s² = (u_t/u_s)·(1−β2^s)/(1−β2^t) ≥ (1−β2^s)/(1−β2^t)",
             Holds(ge((u + more) / (1 - now) / (u / (1 - then)), (1 - then) / (1 - now)), (), domains),
             "u_t = u_s + e, P = β2^s, Q = β2^t; roots keep the order; equality at e = 0"),
        Step("(1−β2^s)/(1−β2^t) ≥ 1−β2",
             Holds(ge((1 - beta2**early) / (1 - beta2**t), 1 - beta2), (), domains),
             "β2^s ≤ β2 and β2^t ≥ 0"),
    )  # fmt: skip


def _silence(rule: Rule, name: str) -> tuple[Step, ...]:
    """Without a gradient v falls, and the maximum stays."""
    v, u = second_moment(rule), old(name)
    assert v is not None
    zero = {g: sp.Integer(0), x: sp.Integer(0)}
    domains = {u.name: "nonnegative", v.old.name: "nonnegative", v.new.name: "nonnegative"}
    faded = rule.late.new[v.name].xreplace(zero)
    return (
        Step("without a gradient v_t = β2·v_(t−1) ≤ v_(t−1)", Holds(ge(v.old, faded), (), domains),
             "the rule's line for v, from v_1 = u_1"),
        Step("so the maximum stays: u_t ≤ u_(t−1) where v_t ≤ u_(t−1)",
             Holds(ge(u, rule.late.new[name]), (ge(u, v.new),), domains), "and it never falls"),
    )  # fmt: skip


@claim("amsgrad-rate-monotone", family=FAMILY, source=RKK18("section 4"),
       says="So AMSGrad's effective rate never increases.",
       statement="α_t/D_t is non-increasing for every gradient sequence and non-increasing α_t > 0.",
       hypotheses="D_t > 0.", repaired_by="amsgrad-rate-sqrt-schedule")  # fmt: skip
def amsgrad_rate_monotone(rule: Rule) -> Case | None:
    """A smaller rate over a larger denominator; with a constant rate a rebound refutes it."""
    q = quotient(rule)
    if q is None or maximum(rule) is None:
        return None
    a, b, d, e = (symbol(n, "positive") for n in ("a", "b", "d", "e"))
    domains = dict.fromkeys("abde", "positive")
    last = Step("α_t ≤ α_(t−1) and D_t ≥ D_(t−1) > 0 give α_t/D_t ≤ α_(t−1)/D_(t−1)",
                Holds(ge(b / d, a / e), (ge(b, a), ge(e, d)), domains), "divide")  # fmt: skip
    near = Holds(ge(b / d, a / e), (ge(b, a),), domains)  # without D_t ≥ D_(t−1)
    return _case(rule, q, (*_growth(rule, q), last), near, schedule=False)


def _with_schedule(rule: Rule, q: Quotient) -> tuple[Step, ...]:
    """√t·D_t is non-decreasing: each part of D_t² t is a non-decreasing factor times u."""
    name = maximum(rule)
    if name is None:
        return ()
    u = new(name)
    domains = {u.name: "nonnegative"}
    root = (q.denominator - eps).subs(eps, 0)
    factor = sp.powdenest(root / sp.sqrt(u))
    a, b, c, d = (symbol(n, "nonnegative") for n in ("a", "b", "c", "d"))
    signs = dict.fromkeys("abcd", "nonnegative")
    after = q.denominator.has(beta2)
    squared = t / (1 - beta2**t) if after else t
    growth = correction_rate(beta2) if after else (
        Step("t + 1 ≥ t", Holds(ge(t + 1, t)), "the schedule alone"),
    )  # fmt: skip
    return (
        _growth(rule, q)[0],
        Step("t·(D_t − ε)² = c_t·u_t with c_t = " + ("t/(1−β2^t)" if after else "t"),
             Identity(t * (factor * sp.sqrt(u)) ** 2, squared * u, domains), "square the root"),
        Step("D_t = (D_t − ε) + ε", Identity(q.denominator, factor * sp.sqrt(u) + eps, domains), ""),
        *growth,
        Step("c_t ≥ c_(t−1) and u_t ≥ u_(t−1) give c_t·u_t ≥ c_(t−1)·u_(t−1)",
             Holds(ge(a * b, c * d), (ge(a, c), ge(b, d)), signs), "products of what is ≥ 0"),
        Step("roots keep the order, and √t·ε grows too",
             Holds(ge(sp.sqrt(a) + b, sp.sqrt(c) + d), (ge(a, c), ge(b, d)), signs),
             "so √t·D_t ≥ √(t−1)·D_(t−1), and α/(√t·D_t) is non-increasing"),
    )  # fmt: skip


#: The near-miss of the schedule: even √t/(1−β2^t) would be non-decreasing, squared.
_TOO_FAST = Holds(ge((t + 1) * (1 - beta2**t) ** 2, t * (1 - beta2 ** (t + 1)) ** 2))


@claim("amsgrad-rate-sqrt-schedule", family=FAMILY, source=HERE,
       says="With α_t = α/√t AMSGrad's effective rate never increases, in any order of maximum "
            "and correction.",
       statement="α/(√t·D_t) is non-increasing for every gradient sequence.",
       hypotheses="D_t > 0.")  # fmt: skip
def amsgrad_rate_sqrt_schedule(rule: Rule) -> Case | None:
    """t/(1−β2^t) is non-decreasing, which makes up for the correction."""
    q = quotient(rule)
    if q is None or maximum(rule) is None:
        return None
    return _case(rule, q, _with_schedule(rule, q), _TOO_FAST, schedule=True)


@claim("adam-gamma-indefinite", family=FAMILY, source=RKK18("section 3, eq. (2)"),
       says="Γ_t = D_t/α_t − D_{t−1}/α_{t−1} is never negative, as the convergence proof of Adam needs.",
       statement="√t·D_t − √(t−1)·D_{t−1} ≥ 0 for every gradient sequence (α_t = α/√t).",
       repaired_by="adam-gamma-condition")  # fmt: skip
def adam_gamma_indefinite(rule: Rule) -> Case | None:
    """False for Adam: a large gradient, then small ones.  AMSGrad is the repair."""
    q = quotient(rule)
    if q is None or second_moment(rule) is None:
        return None
    return _case(rule, q, _with_schedule(rule, q), _TOO_FAST, schedule=True)


@claim("adam-gamma-condition", family=FAMILY, source=HERE,
       says="When Adam's Γ_t is not negative.",
       statement="With w = (1−β2)/(1−β2^t) where v is corrected and w = 1−β2 where not: Γ_t ≥ 0 iff "
                 "t·D_t² ≥ (t−1)·D_{t−1}² iff g_t² ≥ (1 − 1/(t·w))·D_{t−1}².  So without correction "
                 "Γ_t ≥ 0 on every gradient sequence while t ≤ 1/(1−β2), and after that it can be "
                 "negative; with it t·w > 1, and Γ_t can be negative, at every t ≥ 2.",
       hypotheses="ε = 0, α_t = α/√t, t ≥ 2; with an L2 penalty g_t stands for g_t + λx.  AMSGrad's Γ_t "
                  "is the business of amsgrad-rate-sqrt-schedule.")  # fmt: skip
def adam_gamma_condition(rule: Rule) -> Case | None:
    """D_t² is an average of D_{t−1}² and g_t² with the weight w."""
    q, v = quotient(rule), second_moment(rule)
    if q is None or v is None or not q.denominator.has(v.new):
        return None
    corrected = q.denominator.has(beta2)

    def excess(run: Run, p: Point) -> Interval:
        base = {**rule.fill(p), "alpha": Fraction(1), "lambda_": Fraction(0), "eps": Fraction(0)}
        slopes, b2, worst = [p["g1"], p["g2"], p["g3"]], p[beta2.name], Interval.of(-1)
        trace = run(base, slopes, Fraction(0))
        if hidden(rule, trace):
            return Interval.of(-1)
        d = [observed(rule, q, base, trace, k).power(2) for k in (1, 2, 3)]
        for k in (2, 3):
            w = (1 - b2) / (1 - b2**k if corrected else 1)
            told = k * w * (slopes[k - 1] ** 2 - (1 - 1 / (k * w)) * d[k - 2])
            worst = worst.maximum(abs(d[k - 1] * k - d[k - 2] * (k - 1) - told))
        return worst

    a, b = symbol("a", "nonnegative"), symbol("b", "nonnegative")
    signs = {"a": "nonnegative", "b": "nonnegative"}
    roots = ge(sp.sqrt(a), sp.sqrt(b))
    return Case(
        (Step("√a ≥ √b gives a ≥ b", Holds(ge(a, b), (roots,), signs),
              "a = t·D_t², b = (t−1)·D_(t−1)²: Γ_t ≥ 0 only if"),
         Step("a ≥ b gives √a ≥ √b", Holds(roots, (ge(a, b),), signs), "and if"),
         *_averaged(rule, v, q.denominator), *_room(corrected=corrected)),
        control=Holds(roots, (), signs),
        runs=Runs(excess, SPIKES),
    )  # fmt: skip


def _averaged(rule: Rule, v: Average, denominator: Expr) -> tuple[Step, ...]:
    """D_t² = (1−w)·D_{t−1}² + w·g², and t·D_t² − (t−1)·D_{t−1}²."""
    held, square = symbol("V", "nonnegative"), symbol("S", "nonnegative")
    corrected = denominator.has(beta2)
    n, before = (1 - beta2**t, 1 - beta2 ** (t - 1)) if corrected else (sp.Integer(1), sp.Integer(1))
    weight, w = (1 - beta2) / n, symbol("w", "positive")
    domains = {v.new.name: "nonnegative", "V": "nonnegative", "S": "nonnegative", "w": "positive"}
    now = (1 - w) * held + w * square
    following = rule.late.new[v.name].xreplace({v.old: held * before}) / n
    return (
        Step("D_t² = v_t" + ("/(1−β2^t)" if corrected else ""),
             Identity(denominator.subs(eps, 0) ** 2, v.new / n, domains), "the rule's own D at ε = 0"),
        Step("D_t² = (1−w)·D_(t−1)² + w·g_t², w = (1−β2)" + ("/(1−β2^t)" if corrected else ""),
             Identity(following, (1 - weight) * held + weight * v.input, domains),
             "the rule's line for v from v_(t−1) = D_(t−1)²" + ("·(1−β2^(t−1))" if corrected else "")
             + "; V = D_(t−1)²"),
        Step("t·D_t² − (t−1)·D_(t−1)² = t·w·(g_t² − (1 − 1/(t·w))·D_(t−1)²)",
             Identity(t * now - (t - 1) * held, t * w * (square - (1 - 1 / (t * w)) * held), domains),
             "t·w > 0: so Γ_t ≥ 0 iff the bracket is ≥ 0"),
    )  # fmt: skip


def _room(*, corrected: bool) -> tuple[Step, ...]:
    """Whether 1 − 1/(t·w) is positive."""
    held, more, less = symbol("V", "positive"), symbol("s", "positive"), symbol("r", "nonnegative")
    domains = {"V": "positive", "s": "positive", "r": "nonnegative"}
    fails = Step("t·w > 1 and D_(t−1) > 0 make (1 − 1/(t·w))·D_(t−1)² > 0",
                 Holds(gt((1 - 1 / (1 + more)) * held, 0), (), domains),
                 "t·w = 1 + s: any smaller g_t² makes Γ_t < 0")  # fmt: skip
    if not corrected:
        return (
            Step("t·w ≤ 1 makes (1 − 1/(t·w))·D_(t−1)² ≤ 0",
                 Holds(ge(0, (1 - (1 + less)) * held), (), domains),
                 "1/(t·w) = 1 + r; w = 1−β2, so t ≤ 1/(1−β2): no g_t² is below it"),
            fails,
        )  # fmt: skip

    def gap(k: Expr) -> Expr:
        return k * (1 - beta2) - (1 - beta2**k)

    return (
        Step("t·w > 1 says t(1−β2) − (1−β2^t) > 0; at t = 2 that is (1−β2)²",
             Identity(gap(sp.Integer(2)), (1 - beta2) ** 2), "which is > 0"),
        Step("and it grows by (1−β2)(1−β2^t)",
             Identity(gap(t + 1) - gap(t), (1 - beta2) * (1 - beta2**t)), "from t to t + 1"),
        Step("which is ≥ 0", Holds(ge((1 - beta2) * (1 - beta2**t), 0)), "so t·w > 1 for every t ≥ 2"),
        fails,
    )  # fmt: skip
