"""Section 7b: AdaGrad and AdaMax as Adam with another average of the squares."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .kinship import m_hat, plain, same_lines
from .records import Case, Expr, Holds, Identity, Point, Run, Runs, Step
from .roles import Average
from .rule import Rule
from .rules import named
from .sources import KB15
from .symbols import alpha, beta1, beta2, eps, eta, g, ge, new, old, symbol, t, x

FAMILY = "relatives"
ZERO = Fraction(0)


def _gradients(p: Point) -> list[Fraction]:
    return [p[n] for n in ("g1", "g2", "g3")]


def _as_adagrad(line: Expr, epsilon: Expr) -> Expr:
    """Return Adam's uncorrected line of x at β1 = 0 with v = G/t and rate α/√t (decayed by η)."""
    adam, total = named("adam-uncorrected").late.new, new("sum")
    rate = alpha / (1 + (t - 1) * eta) / sp.sqrt(t)
    gone = {new("exp_avg"): adam["exp_avg"].subs(beta1, 0), new("exp_avg_sq"): total / t}
    return line.xreplace(gone).subs({alpha: rate, eps: epsilon}, simultaneous=True)


@claim("adagrad-as-adam", family=FAMILY, source=KB15("section 5, on AdaGrad"),
       says="AdaGrad is Adam with β1 = 0, β2,t = 1 − 1/t and rate α/√t.",
       statement="With β1 = 0, β2,t = 1 − 1/t, rate α/√t and ε/√t Adam takes AdaGrad's steps, for "
                 "every t: v_t is the mean of the squares. With a constant ε it is AdaGrad with ε√t: "
                 "the same for every t and gradient only at ε = 0.",
       hypotheses="correction by 1 − ∏β2,i, which is 1 (β2,1 = 0); a rate decay η is kept.")  # fmt: skip
def adagrad_as_adam(rule: Rule) -> Case | None:
    """t·v_t obeys AdaGrad's line; then the lines of x agree."""
    if not same_lines(rule, named("adagrad")):
        return None
    adam, v = named("adam-uncorrected").late.new, old("exp_avg_sq")
    mean = adam["exp_avg_sq"].xreplace({beta2: 1 - 1 / t})
    line, domains = rule.late.new["x"], {new("sum").name: "nonnegative"}
    other, root = adam["x"], sp.sqrt(new("sum"))

    def excess(run: Run, p: Point) -> Interval:
        here, square = Interval.of(0), Interval.of(0)
        for k, gradient in enumerate(_gradients(p), start=1):
            square = square * (1 - Fraction(1, k)) + gradient**2 / k
            scale = Interval.of(k).sqrt()
            rate = p["alpha"] / (1 + (k - 1) * p["eta"])
            here = here - rate * gradient / scale / (square.sqrt() + p["eps"] / scale)
        return abs(run(p, _gradients(p)).x[3] - here)

    return Case(
        (Step("t·v_t = (t−1)·v_(t−1) + g_t²: what AdaGrad's line does to its sum",
              Identity(t * mean, rule.late.new["sum"].xreplace({old("sum"): (t - 1) * v})),
              "β2,t = 1 − 1/t; induction from 0·v_0 = 0: t·v_t = G_t = Σ g_i²"),
         Step("the line of x with v_t = G_t/t, rate α/√t and ε/√t is AdaGrad's",
              Identity(_as_adagrad(other, eps / sp.sqrt(t)), line, domains), "√t cancels"),
         Step("with ε itself it is AdaGrad's with ε·√t",
              Identity(_as_adagrad(other, eps), line.subs(eps, eps * sp.sqrt(t)), domains),
              "ε's place: a constant ε grows in AdaGrad's terms"),
         Step("at t = 4 and g ≠ 0 that is (√G+ε)/(√G+2ε) times AdaGrad's step",
              Identity((x - line.subs(eps, 2 * eps)) * (root + 2 * eps), (x - line) * (root + eps),
                       domains), "1 only at ε = 0; at t = 1 and at g = 0 they agree for every ε")),
        control=Identity(_as_adagrad(other, eps), line, domains),
        runs=Runs(excess, grid(g1="1 -2", g2="1 -1 3", g3="1 1/2", eps="0 1", alpha="1", eta="0 1")),
    )  # fmt: skip


def _between(v: Average, rule: Rule) -> tuple[Step, ...]:
    """P·A ≤ V ≤ A for V = Σ β2^(t−i)·g_i² and A = Σ g_i²; so v̂_t = V/S is within P of the mean."""
    big, a, p, d, e, f, h = (symbol(n, "nonnegative") for n in ("V", "A", "P", "d", "e", "f", "h"))
    b, line, shift = v.beta, rule.late.new[v.name], {v.beta: e / (1 + e)}
    s, low = symbol("S", "positive"), symbol("T", "positive")
    return (
        Step("v = (1−β2)·V:  V_t = β2·V_(t−1) + g_t²",
             Identity(line.xreplace({v.old: (1 - b) * big}), (1 - b) * (b * big + g**2)),
             "V_t = Σ β2^(t−i)·g_i²"),
        Step("with A = Σ g_i²:  V_t ≤ A_t", Holds(ge(a + h, b * big + h), (ge(a, big),), {},
             {a: big + f, **shift}), "h = g_t²; induction, β2 < 1"),
        Step("and V_t ≥ P_t·A_t, P_t = β2·P_(t−1)", Holds(ge(b * (p * a + f) + h,
             b * p * (a + h)), (ge(1, p),), {}, {p: 1 - d, **shift}),
             "V = P·A + f at t−1; P_t = β2^(t−1); induction from V_1 = A_1, P_1 = 1"),
        Step("1−β2^(t+1) = (1−β2)·S_(t+1) with S_(t+1) = β2·S_t + 1",
             Identity(1 - b ** (t + 1), (1 - b) * (b * (1 - b**t) / (1 - b) + 1)),
             "V for g = 1, so t·P_t ≤ S_t ≤ t, and v̂_t = V_t/S_t"),
        Step("P·A ≤ V, S ≤ t give P·A/t ≤ V/S", Holds(ge((p * a + f) / s, p * a / (s + d))),
             "V = P·A + f, t = S + d: the lower bound P·M"),
        Step("V ≤ A, t·P ≤ S give V/S ≤ A/(t·P)", Holds(ge((big + f) / low, big / (low + d))),
             "A = V + f, S = T + d with T = t·P: the upper bound M/P"),
    )  # fmt: skip


@claim("adagrad-limit-of-adam", family=FAMILY, source=KB15("section 5, on AdaGrad"),
       says="AdaGrad is Adam with β1 = 0 and β2 → 1.",
       statement="P·M ≤ v̂_t ≤ M/P with M = (g_1² + … + g_t²)/t and P = β2^(t−1) ≥ 1 − (t−1)(1−β2): "
                 "for each t, v̂_t → M as β2 → 1, so at β1 = 0, rate α/√t and ε = 0 the step tends to "
                 "AdaGrad's.",
       hypotheses="0 < β2 < 1; t fixed; M > 0, as it is once a gradient is not 0; v corrected (without "
                  "it the limit is 0).")  # fmt: skip
def adagrad_limit_of_adam(rule: Rule) -> Case | None:
    """The sums with weights β2^(t−i) and with weights 1, by induction; the correction is one too."""
    found = plain(rule)
    if found is None or not found[0].corrected:
        return None
    q, average, v = found
    big, m, lines = symbol("V", "nonnegative"), symbol("M", "positive"), rule.late.new
    d, k, b = symbol("d", "nonnegative"), symbol("k", "nonnegative"), v.beta
    line = lines[v.name].xreplace({v.old: (1 - b) * big})

    def excess(run: Run, point: Point) -> Interval:
        gs, low = _gradients(point), point["beta2"] ** 2
        trace = run({**point, "beta1": ZERO, "eps": ZERO}, gs)
        mean = sum((k * k for k in gs), ZERO) / 3
        v_hat = trace.state[v.name][3] / (1 - point["beta2"] ** 3)
        ratio = ((trace.x[2] - trace.x[3]) / (point["alpha"] * gs[2])).power(2) * mean
        apart = (low - ratio).maximum(ratio - 1 / low)
        return (mean * low - v_hat).maximum(v_hat - mean / low).maximum(apart)

    return Case(
        (*_between(v, rule),
         Step("(1−d)·(1−k·d) = 1−(k+1)·d + k·d²: P ≥ 1−(t−1)(1−β2)",
              Identity((1 - d) * (1 - k * d), 1 - (k + 1) * d + k * d**2),
              "Bernoulli's inequality with d = 1−β2: P → 1 as β2 → 1"),
         Step("at β1 = 0 the step is along g_t: m̂_t = g_t",
              Identity(m_hat(q, average).xreplace({average.new: lines[average.name]}).subs(beta1, 0), g),
              "the rule's own line of m"),
         Step("at ε = 0, α/√t over √M is α over √(t·M) = √A",
              Identity(alpha / sp.sqrt(t) * g / sp.sqrt(m), alpha * g / sp.sqrt(t * m)),
              "AdaGrad's step; √v̂ is between √P and 1/√P times √M > 0")),
        control=Identity(line, (1 - b) * (big + g**2)),
        runs=Runs(excess, grid(g1="1 -2", g2="1 -1 3", g3="1 1/2", beta2="1/2 3/4", alpha="1 1/2")),
    )  # fmt: skip


# -- AdaMax ----------------------------------------------------------------------------------------


def _sums() -> tuple[Step, ...]:
    """U ≤ S ≤ t·U with U = u_t^p and S = Σ (β2^(t−i) a_i)^p, in both cases of the maximum."""
    u, s, a, n, e, f = (symbol(k, "nonnegative") for k in ("U", "S", "A", "n", "e", "f"))
    b, unit = symbol("B", "unit"), {"B": "unit"}
    grown = b * s
    below, above = ge(s, u), ge(n * u, s)
    first, other = ge(a, b * u), ge(b * u, a)
    why = "n = t−1; A = (|g|+ε)^p, B = β2^p; induction from 0"
    return (
        Step("S_t = B·S_(t−1) + A; if A ≥ B·U the new maximum is A: B·S + A ≥ A",
             Holds(ge(grown + a, a), (first,), unit, {a: b * u + e}), why),
        Step("and (n+1)·A ≥ B·S + A", Holds(ge((n + 1) * a, grown + a), (first, above), unit,
             {a: b * u + e, s: n * u - f}), why),
        Step("if B·U ≥ A it is B·U: B·S + A ≥ B·U",
             Holds(ge(grown + a, b * u), (below,), unit, {s: u + e}), why),
        Step("and (n+1)·B·U ≥ B·S + A", Holds(ge((n + 1) * b * u, grown + a), (other, above), unit,
             {a: b * u - e, s: n * u - f}), why + ": U ≤ S ≤ t·U for every t"),
    )  # fmt: skip


def _roots() -> tuple[Step, ...]:
    """From U ≤ S ≤ t·U to the p-th root within a factor 1+d of u, for every large p."""
    a, b, e, f, s = (symbol(n, "nonnegative") for n in ("a", "b", "e", "f", "S"))
    hi, lo, c = symbol("P", "nonnegative"), symbol("Q", "nonnegative"), symbol("c", "nonnegative")
    big, d = symbol("B", "unit"), symbol("d", "positive")
    shift = {beta2: f / (1 + f)}
    k, q = symbol("k", "positive"), symbol("q", "positive")
    late, early = (t - 1) / d + e, beta2 / ((1 - beta2) * d) + e
    return (
        Step("a ≥ b ≥ 0 and a^p ≥ b^p give a^(p+1) ≥ b^(p+1)",
             Holds(ge(a * hi, b * lo), (ge(a, b), ge(hi, lo)), {}, {a: b + e, hi: lo + f}),
             "so the maximum to the power p is the maximum of the powers, and roots keep the order"),
        Step("v_t = (1−B)·S, v̂_t = v_t/(1−B^t): (1−B)·S ≤ v̂_t ≤ S",
             Holds(ge(s, (1 - big) * s / (1 - big * c)), (ge(1, c),), {"B": "unit"},
                   {big: f / (1 + f), c: 1 - e}), "B^t = B·c: corrected or not, v is in [(1−B)·U, t·U]"),
        Step("(1+d)^p ≥ 1 + p·d gives (1+d)^(p+1) ≥ 1 + (p+1)·d",
             Holds(ge((1 + d) * q, 1 + (k + 1) * d), (ge(q, 1 + k * d),), {}, {q: 1 + k * d + e}),
             "Bernoulli's inequality, k = p; at p = 1 an equality"),
        Step("(1+d)^p ≥ 1 + p·d ≥ t for p ≥ (t−1)/d", Holds(ge(1 + late * d, t)),
             "so v ≤ t·u^p ≤ ((1+d)·u)^p"),
        Step("1−B ≥ 1−β2 ≥ 1/(1 + p·d) ≥ (1+d)^(−p) for p ≥ β2/((1−β2)·d)",
             Holds(ge(1 - beta2, 1 / (1 + early * d)), (), {}, shift),
             "so v ≥ (1−B)·u^p ≥ (u/(1+d))^p: v^(1/p) is within a factor 1+d of u"),
        Step("then 1/v^(1/p) is within d/u of 1/u: 1/(1+d) ≥ 1−d",
             Holds(ge(1 / (1 + d), 1 - d)), "d > 0 is arbitrary: the steps tend to AdaMax's"),
    )  # fmt: skip


@claim("adamax-limit", family=FAMILY, source=KB15("section 7.1"),
       says="AdaMax is Adam with the L^p norm in place of the L² norm, p → ∞.",
       statement="With v_t = β2^p·v_{t−1} + (1−β2^p)·(|g_t|+ε)^p, corrected or not, u_t/(1+d) ≤ "
                 "v_t^(1/p) ≤ (1+d)·u_t for every p ≥ max(t−1, β2/(1−β2))/d: v_t^(1/p) → u_t. ε stands "
                 "inside the norm, not beside the root as in Adam.",
       hypotheses="p a natural number, d > 0, t fixed; the paper itself has ε = 0.")  # fmt: skip
def adamax_limit(rule: Rule) -> Case | None:
    """The largest term of a sum of t against the sum, for every t; explicit p for every d."""
    if not same_lines(rule, named("adamax")):
        return None
    name, m = "exp_inf", new("exp_avg")
    u, k = old(name), symbol("k", "positive")
    line, lines = rule.late.new[name], rule.late.new
    up = {u: k * u, g: k * g, eps: k * eps}
    w = symbol("w", "positive")

    def excess(run: Run, p: Point) -> Interval:
        trace, b, power = run(p, _gradients(p)), p["beta2"], 4
        terms = [(b ** (3 - i) * (abs(v) + p["eps"])) ** power
                 for i, v in enumerate(_gradients(p), start=1)]  # fmt: skip
        ratio = sum(terms, ZERO) / trace.state[name][3].power(power)
        return (1 - ratio).maximum(ratio - 3)

    return Case(
        (Step("u_t = max(β2·u_(t−1), |g_t| + ε), homogeneous as a norm is",
              Identity(line.xreplace(up), k * sp.Max(beta2 * u, sp.Abs(g) + eps), {"k": "positive"}),
              "the rule's own line: the largest of β2^(t−i)·(|g_i|+ε)"),
         Step("the move is −α·m̂_t over u_t, which is not corrected and takes no other ε",
              Identity((x - lines["x"]) * w / alpha, m / (1 - beta1**t) * w / new(name)),
              "w = v^(1/p): the two steps are in the ratio w/u_t"),
         *_sums(), *_roots()),
        control=Identity(line.xreplace({u: u + eps}), sp.Max(beta2 * u, sp.Abs(g)) + eps),
        runs=Runs(excess, grid(g1="1 -2", g2="1 -1 3", g3="1 1/2", beta2="1/2 3/4", eps="0 1")),
    )  # fmt: skip
