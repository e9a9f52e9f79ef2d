"""Section 1: what the moving averages hold, and what dividing by 1 - beta^t does to them."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import sympy as sp

from .catalogue import claim, grid
from .evaluate import EXACT, compiled
from .interval import Interval
from .lemmas import power_vanishes
from .records import Case, Expr, Ground, Holds, Identity, Point, Run, Runs, Step, Trace
from .roles import Average, averages, first_moment, second_moment
from .rule import Rule
from .sources import FOLKLORE, KB15
from .symbols import beta1, eq, g, ge, gt, symbol, t

FAMILY = "bias correction"
#: The defaults of Kingma & Ba (2015).
DEFAULTS = {"beta1": Fraction(9, 10), "beta2": Fraction(999, 1000)}


def _entered(rule: Rule, a: Average, plain: bool) -> Expr:
    """Return what enters an average, or a buffer b_t = μ b_{t−1} + n_t whose n_t is not averaged."""
    return a.input if plain else rule.late.new[a.name].xreplace({a.old: sp.Integer(0)})


def _averages(a: Average) -> bool:
    """Whether it averages what enters: 1 − β is no part of that."""
    return not a.input.has(a.beta)


def _unrolled(rule: Rule, a: Average) -> tuple[Step, ...]:
    i, b, plain = symbol("i", "natural"), a.beta, _averages(a)
    entered, weight = _entered(rule, a, plain), 1 - b if plain else sp.Integer(1)
    factor, total = ("(1−β)·", "1−β^t") if plain else ("", "(1−β^t)/(1−β)")

    def whole(k: Expr) -> Expr:
        return weight * (1 - b**k) / (1 - b)

    return (
        Step(f"{a.name}_t = β·{a.name}_(t−1) + {factor}n_t with β = {b}, n = {entered}",
             Identity(rule.late.new[a.name], b * a.old + weight * entered),
             "the line of the rule itself"),
        Step(f"the weight of n_i at step i is {factor}β^(i−i)",
             Identity(weight * b ** (i - i), weight), "it has just entered"),
        Step(f"each further step multiplies it by β, to {factor}β^(t−i)",
             Identity(b * weight * b ** (t - 1 - i), weight * b ** (t - i)), "induction on t"),
        Step(f"the weights sum to W_t = {total}: W_1 is the one weight",
             Identity(weight, whole(sp.Integer(1))), "t = 1"),
        Step("W_t = β·W_(t−1) + the newest weight",
             Identity(b * whole(t - 1) + weight, whole(t)), "induction on t"),
    )  # fmt: skip


#: What the hyper-parameters are in short runs; with ε > 0 a gradient may be 0.
CHOICES = {"beta1": "1/2 1/4", "beta2": "3/4 1/2", "mu": "1/2 1/4", "tau": "1/4 1/2", "rho": "1/2 3/4",
           "lambda_": "1/4 1", "eps": "1"}  # fmt: skip


def _runs(rule: Rule, names: Iterable[str], **gradients: str) -> list[Point]:
    """Return short runs, with choices for the named hyper-parameters that the rule has."""
    chosen = {n: CHOICES[n] for n in (*names, "eps") if n in CHOICES and n in rule.hyper}
    return grid(**gradients, **chosen)


@claim("ema-unrolled", family=FAMILY, source=KB15("section 3, eq. (1)"),
       says="m_t is a weighted sum of past gradients.",
       statement="An average m_t = β·m_{t−1} + (1−β)·n_t is (1−β) Σ_{i≤t} β^(t−i) n_i, with weights "
                 "that sum to 1−β^t; a buffer b_t = β·b_{t−1} + n_t, as heavy ball has it, is "
                 "Σ_{i≤t} β^(t−i) n_i, with weights that sum to (1−β^t)/(1−β), for every t.",
       hypotheses="0 ≤ β < 1, a zero start; n_i is what enters: the gradient (an L2 penalty or a "
                  "dampening included), its square, or what the steps name.")  # fmt: skip
def ema_unrolled(rule: Rule) -> Case | None:
    """Each average and each buffer of the rule, by induction on its own transition."""
    kept = averages(rule)
    if not kept:
        return None
    known = {"g", "x", *rule.hyper}
    entries = [(a, _averages(a), _entered(rule, a, _averages(a))) for a in kept]
    seen = [(a, plain, compiled({"n": e}, EXACT)) for a, plain, e in entries
            if {s.name for s in e.free_symbols} <= known]  # fmt: skip

    def excess(run: Run, p: Point) -> Interval:
        gs, out = [p["g1"], p["g2"], p["g3"]], Interval.of(0)
        trace, at = run(p, gs), {n: Interval.of(v) for n, v in rule.fill(p).items()}
        for a, plain, enters in seen:
            b, told = at[a.beta.name], Interval.of(0)
            for i in (1, 2, 3):
                n = enters({**at, "g": Interval.of(gs[i - 1]), "x": trace.x[i - 1]})["n"]
                told = told + b.power(3 - i) * n
            told = told * (1 - b) if plain else told
            out = out.maximum(abs(trace.state[a.name][3] - told))
        return out

    b = kept[0].beta
    points = _runs(rule, rule.hyper, g1="1 2 -1 1/2", g2="1 -1 0 2", g3="1 0 -2")
    return Case(
        steps=tuple(step for a in kept for step in _unrolled(rule, a)),
        control=Identity(1 - b**t if _averages(kept[0]) else (1 - b**t) / (1 - b), sp.Integer(1)),
        runs=Runs(excess, points) if seen and rule.only else None,
    )


def _plain(rule: Rule) -> list[Average]:
    """Return the averages of g and of g²: no L2 penalty enters, and stays."""
    found = (first_moment(rule), second_moment(rule))
    return [a for a in found if a and a.input in (g, g**2)]


@claim("bias-correction-unbiased", family=FAMILY, source=KB15("section 3, eq. (4)"),
       says="Dividing by 1−β^t removes the bias.",
       statement="E g_i = μ for all i implies E m_t/(1−β^t) = μ for every t; same for v with E g².",
       hypotheses="every E g_i (resp. E g_i²) is the same; zero start; 0 ≤ β < 1.")  # fmt: skip
def bias_correction_unbiased(rule: Rule) -> Case | None:
    """The average is linear in what enters, so its expectation obeys the same recursion."""
    kept = _plain(rule)
    if not kept:
        return None
    mean, steps = symbol("mean"), []
    for a in kept:
        b = a.beta
        line = b * a.old + (1 - b) * a.input
        steps += [
            Step(f"{a.name} is linear in its old value and its input",
                 Identity(rule.late.new[a.name], line), "so E may be taken on both sides"),
            Step("E at t = 1: (1−β)·μ = μ·(1−β¹)", Identity((1 - b) * mean, mean * (1 - b**1)),
                 "zero start"),
            Step("β·μ·(1−β^(t−1)) + (1−β)·μ = μ·(1−β^t)",
                 Identity(b * mean * (1 - b ** (t - 1)) + (1 - b) * mean, mean * (1 - b**t)),
                 "induction on t; so dividing by 1−β^t > 0 leaves μ"),
        ]  # fmt: skip

    def excess(run: Run, p: Point) -> Interval:
        return _off(kept, run(p, [p["g1"]] * 3), p, [p["g1"]] * 3)

    points = _runs(rule, [a.beta.name for a in kept], g1="1 2 -1 1/2")
    return Case(tuple(steps), control=Identity(mean * (1 - kept[0].beta ** t), mean),
                runs=Runs(excess, points) if rule.only else None)  # fmt: skip


def _off(
    kept: list[Average], trace: Trace, p: Point, gs: list[Fraction], *, aged: bool = False
) -> Interval:
    """Return by how much a corrected average of a run misses what entered last.

    With ``aged`` that is first moved by Σ w_i (y_i − y_t), the bias that the weights give.
    """
    last, out = len(gs), Interval.of(0)
    for a in kept:
        b, ys = p[a.beta.name], [v if a.input == g else v**2 for v in gs]
        weights = [(1 - b) * b ** (last - i) / (1 - b**last) for i in range(1, last + 1)]
        told = ys[-1]
        if aged:
            told += sum((w * (y - ys[-1]) for w, y in zip(weights, ys, strict=True)), Fraction(0))
        out = out.maximum(abs(trace.state[a.name][last] / (1 - b**last) - told))
    return out


@claim("bias-correction-always", family=FAMILY, source=FOLKLORE,
       says="m̂ and v̂ are unbiased estimates.",
       statement="E m̂_t = E g_t and E v̂_t = E g_t² for every t, however the gradients are distributed.",
       repaired_by="bias-correction-nonstationary")  # fmt: skip
def bias_correction_always(rule: Rule) -> Case | None:
    """Gradients that are certain, 1 and then 2, at β = 1/2: m̂_2 = 5/3 falls short by 1/3."""
    kept = _plain(rule)
    if not kept or rule.only is None:
        return None

    def excess(run: Run, p: Point) -> Interval:
        gs = [p["g1"], p["g2"]]
        return _off(kept[:1], run(p, gs), p, gs)

    name = kept[0].beta.name
    return Case(runs=Runs(excess, grid(g1="1 2", g2="2 1", **{name: "1/2 1/4"})))


def _ages(b: Expr) -> tuple[Step, ...]:
    """What a linear drift makes of the bias: the mean age of what the average holds, by induction."""
    held = symbol("L", "nonnegative")
    return (
        Step("L_t := Σ (1−β)β^(t−i)(t−i) = β(1−β^t)/(1−β) − tβ^t;  L_1 = 0",
             Identity(_lag(b, sp.Integer(1)), 0), "what is newest has age 0"),
        Step("every age grows by 1 and every weight shrinks by β: L_t = β·(L_(t−1) + 1−β^(t−1))",
             Identity(b * (_lag(b, t - 1) + 1 - b ** (t - 1)), _lag(b, t)), "induction on t"),
        Step("E ŷ_t − E y_t = −c·L_t/(1−β^t) = −c·(β/(1−β) − tβ^t/(1−β^t))",
             Identity(_lag(b, t) / (1 - b**t), b / (1 - b) - t * b**t / (1 - b**t)), "linear drift"),
        Step("L_(t+1) = β·(L_t + 1−β^t) > 0 for L_t ≥ 0, t ≥ 1",
             Holds(gt(b * (held + 1 - b**t), 0), (gt(b, 0),), {"L": "nonnegative"}),
             "so it vanishes for no t ≥ 2: stationarity is needed"),
    )  # fmt: skip


def _lag(b: Expr, k: Expr) -> Expr:
    return b * (1 - b**k) / (1 - b) - k * b**k


@claim("bias-correction-nonstationary", family=FAMILY, source=KB15("section 3, ζ in eq. (4)"),
       says="The correction needs stationarity.",
       statement="With y = g for m and y = g² for v: E ŷ_t − E y_t = Σ w_i (E y_i − E y_t), "
                 "w_i = (1−β)β^(t−i)/(1−β^t), which is ζ/(1−β^t); for a drift E y_i = a + c·i it is "
                 "−c·(β/(1−β) − t·β^t/(1−β^t)), not 0 for t ≥ 2 and c ≠ 0.",
       hypotheses="0 < β < 1, a zero start; what enters the average is g or g² alone.")  # fmt: skip
def bias_correction_nonstationary(rule: Rule) -> Case | None:
    """Both averages are sums over what entered, so E goes inside; then the mean age."""
    kept = _plain(rule)
    if not kept:
        return None
    w, mean_i, mean_t = symbol("w"), symbol("mean_i"), symbol("mean_t")

    def excess(run: Run, p: Point) -> Interval:
        gs = [p["g1"] + p["g2"] * i for i in range(1, 5)]
        trace = run(p, gs)
        out = _off(kept, trace, p, gs, aged=True)
        for a in kept:
            if a.input == g:
                b = p[a.beta.name]
                told = gs[-1] - p["g2"] * (b / (1 - b) - 4 * b**4 / (1 - b**4))
                out = out.maximum(abs(trace.state[a.name][4] / (1 - b**4) - told))
        return out

    points = _runs(rule, [a.beta.name for a in kept], g1="1 2 -1 1/2", g2="1 -2 1/2")
    return Case(
        (*(step for a in kept for step in _unrolled(rule, a)),
         Step("w_i·E y_i − w_i·E y_t = w_i·(E y_i − E y_t), and Σ w_i = 1",
              Identity(w * mean_i - w * mean_t, w * (mean_i - mean_t)), "term by term"),
         *(step for a in kept for step in _ages(a.beta))),
        control=Identity(_lag(kept[0].beta, t), kept[0].beta * (1 - kept[0].beta ** t)
                         / (1 - kept[0].beta)),
        runs=Runs(excess, points) if rule.only else None,
    )  # fmt: skip


def ratio_squared(k: int) -> sp.Rational:
    """r_t² at the default betas, r_t = (1−β1^t)/√(1−β2^t), exactly."""
    b1, b2 = DEFAULTS["beta1"], DEFAULTS["beta2"]
    value = (1 - b1**k) ** 2 / (1 - b2**k)
    return sp.Rational(value.numerator, value.denominator)


def _first(holds: object, low: int, high: int) -> int:
    """Return the first k in (low, high] with holds(k), for a condition that switches once."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)  # type: ignore[operator]
    return high


ONE_PERCENT = Fraction(101, 100) ** 2
#: From this step on 1/√(1−β2^t), which falls, is at most 1.01.
LATE = _first(lambda k: 1 / (1 - DEFAULTS["beta2"] ** k) <= ONE_PERCENT, 1, 1 << 13)


@claim("bias-correction-fades", family=FAMILY, source=KB15("section 3"), about="mathematics",
       says="The correction becomes negligible as t grows.",
       statement="1−β^t tends to 1 monotonically; r_t = (1−β1^t)/√(1−β2^t) tends to 1, but at the "
                 "default β = (0.9, 0.999) not monotonically: there |r_t − 1| ≤ 0.01 for every "
                 f"t ≥ {LATE}, and not at t = {LATE - 1}.",
       hypotheses="0 < β < 1.")  # fmt: skip
def bias_correction_fades(rule: Rule) -> Case | None:
    """Bernoulli's inequality for the limit; exact rationals for the step from which 1 % holds."""
    most = sp.Rational(ONE_PERCENT.numerator, ONE_PERCENT.denominator)
    late, bound = LATE, 1 / (1 - sp.Rational(999, 1000) ** LATE)
    p, q, r = (symbol(n, "unit") for n in ("p", "q", "r"))
    units = dict.fromkeys("pqr", "unit")
    return Case(
        (Step("1−β^(t+1) ≥ 1−β^t", Holds(ge(1 - beta1 ** (t + 1), 1 - beta1**t)), "β < 1"),
         *power_vanishes(),
         Step("so r_t → 1: (1−p)² ≤ (1−p)²/(1−q) ≤ 1/(1−q) for p = β1^t, q = β2^t",
              Holds(ge(1 / (1 - q), (1 - p) ** 2 / (1 - q)), (), units), "both ends tend to 1"),
         Step("and from below", Holds(ge((1 - p) ** 2 / (1 - q), (1 - p) ** 2), (), units), "q ≥ 0"),
         Step("at the default betas r_2 > r_1: it rises first",
              Ground(gt(ratio_squared(2), ratio_squared(1))), "exact rationals"),
         Step("and r_1 > 1, so it must fall later", Ground(gt(ratio_squared(1), 1)), "limit 1"),
         Step(f"r_t ≤ 1/√(1−β2^t) ≤ 1.01 for every t ≥ {late}",
              Ground(ge(most, bound)), "1/(1−β2^t) is non-increasing in t"),
         Step("1/(1−q) ≥ 1/(1−r) for q ≥ r", Holds(ge(1 / (1 - q), 1 / (1 - r)), (ge(q, r),), units),
              "the monotonicity just used"),
         Step(f"r_{late - 1} > 1.01", Ground(gt(ratio_squared(late - 1), most)),
              f"so {late} is sharp"),
         Step("r_t ≥ 1−β1^t ≥ 0.99 from t = 44 on", Ground(ge(1 - sp.Rational(9, 10) ** 44,
              sp.Rational(99, 100))), "from below it is within 1 % much earlier")),
        control=Ground(gt(ratio_squared(1), ratio_squared(2))),
    )  # fmt: skip


@claim("raw-v1-factor", family=FAMILY, source=KB15("section 3"),
       says="v_1 underestimates g² by a factor of 1000 (β2 = 0.999).",
       statement="v_1 = (1−β2) g_1²: the factor is exactly 1/(1−β2).",
       hypotheses="a zero start; g_1 ≠ 0.")  # fmt: skip
def raw_v1_factor(rule: Rule) -> Case | None:
    """The line of v at v_0 = 0."""
    v = second_moment(rule)
    if v is None or v.input != g**2:
        return None
    first = rule.late.new[v.name].xreplace({v.old: sp.Integer(0)})

    def excess(run: Run, p: Point) -> Interval:
        one = run(p, [p["g1"]], Fraction(0)).state[v.name][1]
        return abs(one - (1 - p[v.beta.name]) * p["g1"] ** 2)

    return Case(
        (Step("v_1 = (1−β2)·g_1²", Identity(first, (1 - v.beta) * g**2), "v_0 = 0"),
         Step("g_1²/v_1 = 1/(1−β2)", Identity(g**2 / first, 1 / (1 - v.beta)), "divide"),
         Step("which is 1000 at β2 = 0.999", Ground(eq(1 / (1 - sp.Rational(999, 1000)), 1000)),
              "exact rationals")),
        control=Identity(g**2 / first, 1 / v.beta),
        runs=Runs(excess, grid(g1="1 2 -1 1/2", **{v.beta.name: "1/2 3/4"})),
    )  # fmt: skip
