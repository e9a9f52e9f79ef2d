"""Section 1: what the moving averages hold, and what dividing by 1 - beta^t does to them."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .lemmas import power_vanishes
from .records import Case, Ground, Holds, Identity, Point, Run, Runs, Step
from .roles import Average, averages, first_moment, quotient, second_moment
from .rule import Rule
from .sources import FOLKLORE, HERE, KB15
from .symbols import beta1, beta2, eps, eq, g, ge, gt, symbol, t, x

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
