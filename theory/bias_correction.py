"""Section 1: what the moving averages hold, and what dividing by 1 - beta^t does to them."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .lemmas import power_vanishes, times_power_vanishes
from .records import Analysis, Case, Ground, Holds, Identity, Point, Run, Runs, Step
from .roles import Average, averages, first_moment, quotient, same, second_moment
from .rule import Rule
from .sources import FOLKLORE, HERE, KB15, Z20
from .symbols import beta1, beta2, eps, eq, g, ge, gt, new, old, symbol, t, x

FAMILY = "bias correction"
DEFAULTS = {"beta1": Fraction(9, 10), "beta2": Fraction(999, 1000)}
GRADIENTS = grid(g1="1 2 -1 1/2", g2="1 -1 0 2", g3="1 0 -2", beta1="1/2 1/4", beta2="3/4 1/2")


def _weights(rule: Rule, a: Average) -> tuple[Step, ...]:
    i, b = symbol("i", "natural"), a.beta
    return (
        Step(f"{a.name}_t = β·{a.name}_(t−1) + (1−β)·input_t with β = {b}, input = {a.input}",
             Identity(rule.late.new[a.name], b * a.old + (1 - b) * a.input),
             "the line of the rule itself"),
        Step("the weight of input_i at step i is 1−β = (1−β)·β^(i−i)",
             Identity((1 - b) * b ** (i - i), 1 - b), "it has just entered"),
        Step("each further step multiplies it by β: β·(1−β)·β^(t−1−i) = (1−β)·β^(t−i)",
             Identity(b * (1 - b) * b ** (t - 1 - i), (1 - b) * b ** (t - i)), "induction on t"),
        Step("the weights sum to W_1 = 1−β¹", Identity(1 - b, 1 - b**1), "one weight"),
        Step("W_t = β·W_(t−1) + (1−β) = 1−β^t",
             Identity(b * (1 - b ** (t - 1)) + (1 - b), 1 - b**t), "induction on t"),
    )  # fmt: skip


@claim("ema-unrolled", family=FAMILY, source=KB15("section 3, eq. (1)"),
       says="m_t is a weighted sum of past gradients.",
       statement="m_t = (1−β) Σ_{i≤t} β^(t−i) g_i for every t, and the weights sum to 1−β^t.",
       hypotheses="0 ≤ β < 1, a zero start; g_i is what enters the average (L2 included).")  # fmt: skip
def ema_unrolled(rule: Rule) -> Case | None:
    """Each moving average of the rule, by induction on its own transition."""
    kept = averages(rule)
    if not kept:
        return None
    a = next((k for k in kept if k.input == g), None)

    def excess(run: Run, p: Point) -> Interval:
        gs = [p["g1"], p["g2"], p["g3"]]
        trace, b = run(p, gs, Fraction(0)), p[a.beta.name] if a else Fraction(0)
        told = sum(((1 - b) * b ** (3 - i) * gs[i - 1] for i in (1, 2, 3)), Fraction(0))
        return abs(trace.state[a.name][3] - told) if a else Interval.of(0)

    return Case(
        steps=tuple(step for k in kept for step in _weights(rule, k)),
        control=Identity(1 - kept[0].beta ** t, sp.Integer(1)),
        runs=Runs(excess, GRADIENTS) if a and rule.only else None,
    )


@claim("bias-correction-unbiased", family=FAMILY, source=KB15("section 3, eq. (4)"),
       says="Dividing by 1−β^t removes the bias.",
       statement="E g_i = μ for all i implies E m_t/(1−β^t) = μ for every t; same for v with E g².",
       hypotheses="every E g_i (resp. E g_i²) is the same; zero start; 0 ≤ β < 1.")  # fmt: skip
def bias_correction_unbiased(rule: Rule) -> Case | None:
    """The average is linear in what enters, so its expectation obeys the same recursion."""
    found = (first_moment(rule), second_moment(rule))
    kept = [a for a in found if a and a.input in (g, g**2)]  # an L2 penalty would enter, and stay
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
    m = first_moment(rule)

    def excess(run: Run, p: Point) -> Interval:
        assert m is not None
        trace = run(p, [p["g1"]] * 3, Fraction(0))
        return abs(trace.state[m.name][3] / (1 - p[m.beta.name] ** 3) - p["g1"])

    plain = m is not None and m.input == g and rule.only is not None
    return Case(tuple(steps), control=Identity(mean * (1 - kept[0].beta ** t), mean),
                runs=Runs(excess, GRADIENTS[:60]) if plain else None)  # fmt: skip


@claim("bias-correction-nonstationary", family=FAMILY, source=KB15("section 3, ζ in eq. (4)"),
       says="The correction needs stationarity.",
       statement="E m̂_t − E g_t = Σ w_i (E g_i − E g_t), w_i = (1−β)β^(t−i)/(1−β^t); for a drift "
                 "E g_i = a + c·i it is −c·(β/(1−β) − t·β^t/(1−β^t)), not 0 for t ≥ 2 and c ≠ 0.",
       hypotheses="0 < β < 1; what enters the average is the gradient alone.")  # fmt: skip
def bias_correction_nonstationary(rule: Rule) -> Case | None:
    """The mean age of what the average holds, by induction."""
    m = first_moment(rule)
    if m is None or m.input != g:
        return None
    b, held = m.beta, symbol("L", "nonnegative")
    w, mean_i, mean_t = symbol("w"), symbol("mean_i"), symbol("mean_t")

    def lag(k: sp.Expr) -> sp.Expr:
        return b * (1 - b**k) / (1 - b) - k * b**k

    return Case(
        (*_weights(rule, m),
         Step("w_i·E g_i − w_i·E g_t = w_i·(E g_i − E g_t), and Σ w_i = 1",
              Identity(w * mean_i - w * mean_t, w * (mean_i - mean_t)), "term by term"),
         Step("L_t := Σ (1−β)β^(t−i)(t−i) = β(1−β^t)/(1−β) − tβ^t;  L_1 = 0",
              Identity(lag(sp.Integer(1)), 0), "the newest gradient has age 0"),
         Step("every age grows by 1 and every weight shrinks by β: L_t = β·(L_(t−1) + 1−β^(t−1))",
              Identity(b * (lag(t - 1) + 1 - b ** (t - 1)), lag(t)), "induction on t"),
         Step("E m̂_t − E g_t = −c·L_t/(1−β^t) = −c·(β/(1−β) − tβ^t/(1−β^t))",
              Identity(lag(t) / (1 - b**t), b / (1 - b) - t * b**t / (1 - b**t)), "linear drift"),
         Step("L_(t+1) = β·(L_t + 1−β^t) > 0 for L_t ≥ 0, t ≥ 1",
              Holds(gt(b * (held + 1 - b**t), 0), (gt(b, 0),), {"L": "nonnegative"}),
              "so it vanishes for no t ≥ 2: stationarity is needed")),
        control=Identity(lag(t), b * (1 - b**t) / (1 - b)),
    )  # fmt: skip


def _ratio_squared(k: int) -> sp.Rational:
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


@claim("bias-correction-fades", family=FAMILY, source=KB15("section 3"), about="mathematics",
       says="The correction becomes negligible as t grows.",
       statement="1−β^t tends to 1 monotonically; r_t = (1−β1^t)/√(1−β2^t) tends to 1, but at the "
                 "default β = (0.9, 0.999) not monotonically, and stays within 1 % from exactly the "
                 "step that the derivation computes.",
       hypotheses="0 < β < 1.")  # fmt: skip
def bias_correction_fades(rule: Rule) -> Case | None:
    """Bernoulli's inequality for the limit; exact rationals for the step from which 1 % holds."""
    one_percent = Fraction(101, 100) ** 2
    b2 = DEFAULTS["beta2"]
    late = _first(lambda k: 1 / (1 - b2**k) <= one_percent, 1, 1 << 13)
    bound = 1 / (1 - b2**late)
    p, q, r = (symbol(n, "unit") for n in ("p", "q", "r"))
    units = dict.fromkeys("pqr", "unit")
    return Case(
        (Step("1−β^(t+1) ≥ 1−β^t", Holds(ge(1 - beta1 ** (t + 1), 1 - beta1**t)), "β < 1"),
         *power_vanishes(),
         Step("so r_t → 1: (1−p)² ≤ (1−p)²/(1−q) ≤ 1/(1−q) for p = β1^t, q = β2^t",
              Holds(ge(1 / (1 - q), (1 - p) ** 2 / (1 - q)), (), units), "both ends tend to 1"),
         Step("and from below", Holds(ge((1 - p) ** 2 / (1 - q), (1 - p) ** 2), (), units), "q ≥ 0"),
         Step("at the default betas r_2 > r_1: it rises first",
              Ground(gt(_ratio_squared(2), _ratio_squared(1))), "exact rationals"),
         Step("and r_1 > 1, so it must fall later", Ground(gt(_ratio_squared(1), 1)), "limit 1"),
         Step(f"r_t ≤ 1/√(1−β2^t) ≤ 1.01 for every t ≥ {late}",
              Ground(ge(sp.Rational(one_percent.numerator, one_percent.denominator),
                        sp.Rational(bound.numerator, bound.denominator))),
              "1/(1−β2^t) is non-increasing in t"),
         Step("1/(1−q) ≥ 1/(1−r) for q ≥ r", Holds(ge(1 / (1 - q), 1 / (1 - r)), (ge(q, r),), units),
              "the monotonicity just used"),
         Step(f"r_{late - 1} > 1.01", Ground(gt(_ratio_squared(late - 1),
              sp.Rational(one_percent.numerator, one_percent.denominator))), f"so {late} is sharp"),
         Step("r_t ≥ 1−β1^t ≥ 0.99 from t = 44 on", Ground(ge(1 - sp.Rational(9, 10) ** 44,
              sp.Rational(99, 100))), "from below it is within 1 % much earlier")),
        control=Ground(gt(_ratio_squared(1), _ratio_squared(2))),
    )  # fmt: skip


def _uncorrected(rule: Rule) -> bool:
    q, v = quotient(rule), second_moment(rule)
    return q is not None and not q.corrected and v is not None and q.kept == x


def _default_first_step(run: Run, p: Point) -> Interval:
    return abs(run(p, [p["g1"]], Fraction(0)).x[1])


AT_DEFAULTS = grid(g1="1", alpha="1", beta1="9/10", beta2="999/1000")


@claim("uncorrected-steps-tiny", family=FAMILY, source=FOLKLORE,
       says="Without correction the first steps are very small.",
       statement="Without correction |x_1 − x_0| ≤ α at β = (0.9, 0.999), ε = 0.",
       repaired_by="uncorrected-first-step")  # fmt: skip
def uncorrected_steps_tiny(rule: Rule) -> Case | None:
    """One step with a unit gradient at the default betas."""
    if not _uncorrected(rule):
        return None
    return Case(runs=Runs(lambda run, p: _default_first_step(run, p) - p["alpha"], AT_DEFAULTS))


@claim("uncorrected-thirty-times", family=FAMILY, source=FOLKLORE,
       says="Without correction the first step is about 30 times too large.",
       statement="Without any correction |x_1 − x_0| ≥ 30 α at β = (0.9, 0.999), ε = 0.",
       repaired_by="uncorrected-first-step")  # fmt: skip
def uncorrected_thirty_times(rule: Rule) -> Case | None:
    """The same step; thirty times holds only when m is corrected and v is not."""
    if not _uncorrected(rule):
        return None
    return Case(runs=Runs(lambda run, p: 30 * p["alpha"] - _default_first_step(run, p), AT_DEFAULTS))


@claim("uncorrected-first-step", family=FAMILY, source=HERE,
       says="How large the first uncorrected step is.",
       statement="|x_1 − x_0| = α·r_1 with r_1 = (1−β1)/√(1−β2) (ε = 0), below α iff (1−β1)² < 1−β2; "
                 "with m corrected and v not it is α/√(1−β2), between 31 and 32 α at β2 = 0.999; r_t "
                 "peaks at the default betas where the derivation computes it.",
       hypotheses="ε = 0, g_1 ≠ 0.")  # fmt: skip
def uncorrected_first_step(rule: Rule) -> Case | None:
    """Read off the rule at t = 1; where r_t peaks at the default betas, by exact rationals."""
    if not _uncorrected(rule):
        return None
    r1 = (1 - beta1) / sp.sqrt(1 - beta2)
    peak = max(range(1, 200), key=_ratio_squared)
    second = max((k for k in range(1, 200) if k != peak), key=_ratio_squared)
    first = rule.unrolled(1)["x"].subs(eps, 0)
    tail = 1 / (1 - DEFAULTS["beta2"] ** 200)
    return Case(
        (Step("x_1 = x_0 − α·r_1·g/|g|", Identity(first, x - symbol("alpha") * r1 * symbol("g1")
              / sp.Abs(symbol("g1"))), "the rule at t = 1, ε = 0"),
         Step("r_1² < 1 if (1−β1)² < 1−β2", Holds(gt(1, r1**2), (gt(1 - beta2, (1 - beta1) ** 2),)),
              "the exact condition"),
         Step("and only then", Holds(gt(1 - beta2, (1 - beta1) ** 2), (gt(1, r1**2),)), "converse"),
         Step("m corrected, v not: the ratio is 1/√(1−β2)",
              Identity(r1 / (1 - beta1), 1 / sp.sqrt(1 - beta2)), "divide by 1−β1"),
         Step("at β2 = 0.999 it is below 32: 32² > 1000",
              Ground(gt(sp.Integer(32) ** 2, 1 / (1 - sp.Rational(999, 1000)))), "hence “thirty”"),
         Step("and above 31: 1000 > 31²",
              Ground(gt(1 / (1 - sp.Rational(999, 1000)), sp.Integer(31) ** 2)), ""),
         Step("while r_1 < 4 at the default betas", Ground(gt(16, _ratio_squared(1))), "not thirty"),
         Step(f"r_t peaks at t = {peak} with r_t ≈ {float(_ratio_squared(peak)) ** 0.5:.4f}",
              Ground(gt(_ratio_squared(peak), _ratio_squared(second))),
              f"the largest of t < 200 by Python's exact rationals; next is t = {second}"),
         Step("from t = 200 on r_t² ≤ 1/(1−β2^200), which is smaller",
              Ground(gt(_ratio_squared(peak), sp.Rational(tail.numerator, tail.denominator))),
              "as in bias-correction-fades")),
        control=Holds(gt(1, r1**2)),
    )  # fmt: skip


@claim("raw-v1-factor", family=FAMILY, source=KB15("section 3"),
       says="v_1 underestimates g² by a factor of 1000 (β2 = 0.999).",
       statement="v_1 = (1−β2) g_1²: the factor is exactly 1/(1−β2).")  # fmt: skip
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


@claim("ema-window", family=FAMILY, source=FOLKLORE, about="mathematics",
       says="β1 = 0.9 averages the last 10 gradients, β2 = 0.999 the last 1000.",
       statement="The effective number of gradients averaged, 1/Σ w_i², is 1/(1−β) for t → ∞.",
       repaired_by="ema-window-measures")  # fmt: skip
def ema_window(rule: Rule) -> Case | None:
    """1/(1−β) is the mean age counted from 1; the variance says (1+β)/(1−β), almost twice that."""
    b = beta1
    return Case(statement=Identity((1 + b) / (1 - b), 1 / (1 - b)))


@claim("ema-window-measures", family=FAMILY, source=HERE, about="mathematics",
       says="How long a moving average remembers: four different numbers.",
       statement="Time constant −1/ln β, half-life ln(1/2)/ln β, mean age β/(1−β), effective sample "
                 "size (1+β)/(1−β); Var m̂_t = σ²(1−β)(1+β^t)/((1+β)(1−β^t)) for i.i.d. gradients.",
       hypotheses="0 < β < 1; t → ∞ for the first four.")  # fmt: skip
def ema_window_measures(rule: Rule) -> Case | None:
    """Sums of squared weights and of ages, by induction; then each number at β = 0.9."""
    b = beta1

    def square(k: sp.Expr) -> sp.Expr:
        return (1 - b) * (1 - b ** (2 * k)) / (1 + b)

    nine, z = sp.Rational(9, 10), symbol("z", "nonnegative")
    variance = (1 - b) * (1 + b**t) / ((1 + b) * (1 - b**t))
    return Case(
        (Step("S_t := Σ w_i² (uncorrected) = (1−β)(1−β^(2t))/(1+β);  S_1 = (1−β)²",
              Identity(square(sp.Integer(1)), (1 - b) ** 2), "one weight"),
         Step("S_t = β²·S_(t−1) + (1−β)²",
              Identity(b**2 * square(t - 1) + (1 - b) ** 2, square(t)), "induction on t"),
         Step("Var m̂_t/σ² = S_t/(1−β^t)² = (1−β)(1+β^t)/((1+β)(1−β^t))",
              Identity(square(t) / (1 - b**t) ** 2, variance), "independent gradients"),
         *power_vanishes(),
         *times_power_vanishes(),
         Step("the mean age is β/(1−β) − z/(1−β^t), z = t·β^t, within z/(1−β) of β/(1−β)",
              Holds(ge(z / (1 - b), z / (1 - b**t)), (), {"z": "nonnegative"}),
              "see bias-correction-nonstationary; z → 0"),
         Step("with β^t → 0 its reciprocal tends to (1+β)/(1−β)",
              Identity(1 / variance.subs(b**t, 0), (1 + b) / (1 - b)), "effective sample size"),
         Step("19 at β = 0.9, not 10", Ground(eq((1 + nine) / (1 - nine), 19)), "exact"),
         Step("the mean age β/(1−β) is 9", Ground(eq(nine / (1 - nine), 9)), "exact"),
         Step("the half-life lies between 6 and 7", Ground(gt(nine**6, sp.Rational(1, 2))), "0.9⁶"),
         Step("and", Ground(gt(sp.Rational(1, 2), nine**7)), "0.9⁷ < 1/2"),
         Step("the time constant lies between 9 and 10: 0.9⁹ > 1/e",
              Ground(gt(nine**9, sp.exp(-1))), "Arb"),
         Step("and 0.9^10 < 1/e", Ground(gt(sp.exp(-1), nine**10)), "Arb")),
        control=Identity(square(t) / (1 - b**t) ** 2, (1 - b) / (1 + b)),
    )  # fmt: skip


@claim("high-beta-forgets", family=FAMILY, source=FOLKLORE, about="mathematics",
       says="Betas that are too high lose history.",
       statement="A larger β has a smaller effective sample size (1+β)/(1−β).",
       repaired_by="window-grows-with-beta")  # fmt: skip
def high_beta_forgets(rule: Rule) -> Case | None:
    """It is backwards."""
    b, c = symbol("b", "unit"), symbol("c", "unit")
    less = gt((1 + b) / (1 - b), (1 + c) / (1 - c))
    return Case(statement=Holds(less, (gt(c, b),), {"b": "unit", "c": "unit"}))


@claim("window-grows-with-beta", family=FAMILY, source=HERE, about="mathematics",
       says="A larger β remembers longer, by every measure.",
       statement="Effective sample size, mean age and the weight left after h steps (hence half-life "
                 "and time constant) are strictly increasing in β.",
       hypotheses="0 ≤ b < c < 1.")  # fmt: skip
def window_grows_with_beta(rule: Rule) -> Case | None:
    """Three inequalities between two betas; the power by induction on h."""
    b, c = symbol("b", "unit"), symbol("c", "unit")
    u, w = symbol("u", "positive"), symbol("w", "nonnegative")
    domains = {"b": "unit", "c": "unit", "u": "positive", "w": "nonnegative"}
    less = (gt(c, b),)
    return Case(
        (Step("(1+c)/(1−c) > (1+b)/(1−b)",
              Holds(gt((1 + c) / (1 - c), (1 + b) / (1 - b)), less, domains), "sample size"),
         Step("c/(1−c) > b/(1−b)", Holds(gt(c / (1 - c), b / (1 - b)), less, domains), "mean age"),
         Step("c^h > b^h gives c^(h+1) > b^(h+1)",
              Holds(gt(c * u, b * w), (*less, gt(u, w)), domains),
              "weight left after h steps; at h = 1 it is the hypothesis")),
        control=Holds(gt(c / (1 - c), (1 + b) / (1 - b)), less, domains),
    )  # fmt: skip


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


@claim("moments-from-mgf", family=FAMILY, source=FOLKLORE, about="mathematics",
       says="Slope and curvature of the moment generating function at 0 are the first two moments.",
       statement="M'(0) = E X and M''(0) = E X² for Gaussian, centred Laplace, uniform on [0, a] and "
                 "gamma variables, and for every distribution with finite support (Bernoulli too).",
       hypotheses="proper parameters; M and the limit are taken from s > 0.")  # fmt: skip
def moments_from_mgf(rule: Rule) -> Case | None:
    """Finite support by linearity, exactly; the others by SymPy's integrals and limits."""
    s, c, k = symbol("s", "positive"), symbol("c", "positive"), symbol("k", "positive")
    p, y = symbol("p", "unit"), symbol("y")
    a, b = symbol("a", "positive"), symbol("b", "positive")
    bell = sp.exp(-((x - y) ** 2) / (2 * b**2)) / (b * sp.sqrt(2 * sp.pi))
    gamma = x ** (k - 1) * sp.exp(-x / b) / (b**k * sp.gamma(k))
    half, other = sp.exp(-x / b) / (2 * b), sp.exp(x / b) / (2 * b)
    everywhere, right, left = (-sp.oo, sp.oo), (0, sp.oo), (-sp.oo, 0)
    # distribution: its pieces (density, where), and the moment generating function
    known = {
        "Gaussian": ([(bell, everywhere)], sp.exp(y * s + b**2 * s**2 / 2)),
        "uniform on [0, a]": ([(1 / a, (0, a))], (sp.exp(a * s) - 1) / (a * s)),
        "gamma(k, b)": ([(gamma, right)], (1 - b * s) ** (-k)),
        "Laplace(b)": ([(half, right), (other, left)], 1 / (1 - b**2 * s**2)),
    }
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
                Analysis(total, mgf.subs(near)),
                "s < 1/b written as 1/b = s + c" if near else "for every s > 0",
            )
        )
        for n, word in ((1, "slope"), (2, "curvature")):
            moment = sum(sp.Integral(x**n * f, (x, *on)) for f, on in pieces).doit()
            steps.append(Step(f"{name}: the {word} of M at 0 is E X^{n}",
                              Analysis(sp.Limit(sp.diff(mgf, s, n), s, 0), sp.simplify(moment)),
                              "the moment by integration"))  # fmt: skip
    gauss = known["Gaussian"][1]
    return Case(tuple(steps), control=Analysis(sp.Limit(sp.diff(gauss, s, 2), s, 0), b**2))
