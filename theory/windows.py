"""Section 1, how far back a moving average reaches: windows, ages, effective sample sizes."""

from __future__ import annotations

import sympy as sp

from .catalogue import claim
from .lemmas import power_vanishes, times_power_vanishes
from .records import Case, Expr, Ground, Holds, Identity, Step
from .rule import Rule
from .sources import FOLKLORE, HERE
from .symbols import beta1, eq, ge, gt, symbol, t

FAMILY = "bias correction"


@claim("ema-window", family=FAMILY, source=FOLKLORE, about="mathematics",
       says="β1 = 0.9 averages the last 10 gradients, β2 = 0.999 the last 1000.",
       statement="The effective number of gradients averaged, 1/Σ w_i², is 1/(1−β) for t → ∞.",
       repaired_by="ema-window-measures")  # fmt: skip
def ema_window(rule: Rule) -> Case | None:
    """1/(1−β) is the mean age counted from 1; the variance says (1+β)/(1−β), almost twice that."""
    b = beta1
    return Case(statement=Identity((1 + b) / (1 - b), 1 / (1 - b)))


def _sizes(b: Expr) -> tuple[Step, ...]:
    """Sums of squared weights and of ages, by induction, and what they tend to."""
    z, rest = symbol("z", "nonnegative"), symbol("Q", "nonnegative")

    def square(k: Expr) -> Expr:
        return (1 - b) * (1 - b ** (2 * k)) / (1 + b)

    variance = _sample(b)
    return (
        Step("S_t := Σ w_i² (uncorrected) = (1−β)(1−β^(2t))/(1+β);  S_1 = (1−β)²",
             Identity(square(sp.Integer(1)), (1 - b) ** 2), "one weight"),
        Step("S_t = β²·S_(t−1) + (1−β)²",
             Identity(b**2 * square(t - 1) + (1 - b) ** 2, square(t)), "induction on t"),
        Step("Var m̂_t/σ² = S_t/(1−β^t)² = (1−β)(1+β^t)/((1+β)(1−β^t))",
             Identity(square(t) / (1 - b**t) ** 2, variance), "independent gradients"),
        *power_vanishes(),
        *times_power_vanishes(),
        Step("the mean age is β/(1−β) − z/(1−β^t), z = t·β^t, within z/(1−β) of β/(1−β)",
             Holds(ge(z / (1 - b), z / (1 - b * rest)), (ge(1, rest),),
                   dict.fromkeys("zQ", "nonnegative")),
             "see bias-correction-nonstationary; β^t = β·Q, Q ≤ 1, z → 0"),
        Step("with β^t → 0 its reciprocal tends to (1+β)/(1−β)",
             Identity(1 / variance.subs(b**t, 0), (1 + b) / (1 - b)), "effective sample size"),
    )  # fmt: skip


def _logarithms(b: Expr) -> tuple[Step, ...]:
    """What a logarithm adds: β = e^(−r), and e^y lies above its tangent 1 + y."""
    r, y, n = symbol("r", "positive"), symbol("y", "nonnegative"), symbol("n", "natural")
    ln2, h, w = (symbol(k, "positive") for k in "ℓhw")
    q, e, s = (symbol(k, "nonnegative") for k in "qes")
    domains = dict.fromkeys("rhwℓ", "positive") | dict.fromkeys("yqes", "nonnegative") | {"n": "natural"}
    return (
        Step("r := −ln β > 0, so the weight left after h steps is β^h = e^(−r·h), which falls in h; it "
             "is 1/e where r·h = 1, at h = 1/r", Identity(r * h - 1, r * (h - 1 / r), domains),
             "time constant"),
        Step("and 1/2 where r·h = ln 2, at h = ln 2/r",
             Identity(r * h - ln2, r * (h - ln2 / r), domains), "half-life; ℓ = ln 2"),
        Step("1/e < 1/2", Ground(gt(sp.Rational(1, 2), sp.exp(-1))),
             "so ln 2 < 1: the half-life is the shorter"),
        Step("(1+y/n)^n ≥ 1 + y + y²(n−1)/(2n), as in the lemma with s = y/n",
             Identity(n * (n - 1) / 2 * (y / n) ** 2, y**2 * (n - 1) / (2 * n), domains),
             "e^y is the limit in n: e^y ≥ 1 + y + y²/2 > 1 + y for y > 0"),
        Step("(1−y/n)^n ≥ 1 − y for n ≥ y: from q ≥ 1 − k·h follows q·(1−h) ≥ 1 − (k+1)·h, h = y/n ≤ 1",
             Holds(ge(q * (1 - h), 1 - (n + 1) * h), (ge(q, 1 - n * h), ge(1, h)), domains,
                   {q: 1 - n * h + e, h: 1 / (1 + s)}),
             "induction on k, n = k; n → ∞: e^(−y) ≥ 1 − y"),
        Step("(1−y/2)² = 1 − y + y²/4", Identity((1 - y / 2) ** 2, 1 - y + y**2 / 4, domains),
             "e^(−y) = (e^(−y/2))², so e^(−y) > 1 − y for y > 0 (plain for y ≥ 2)"),
        Step("1/β = e^r > 1 + r, so w := (1−β)/β > r, and the mean age 1/w is below 1/r",
             Holds(gt(1 / r, 1 / w), (gt(w, r),), domains), "the time constant"),
        Step("β = e^(−r) > 1 − r, so r > 1−β, and 1/r < 1/(1−β)",
             Holds(gt(1 / (1 - b), 1 / r), (gt(r, 1 - b),), domains),
             "time constant < mean age counted from 1"),
        Step("1/(1−β) < (1+β)/(1−β) for β > 0",
             Holds(gt((1 + b) / (1 - b), 1 / (1 - b)), (gt(b, 0),)), "effective sample size"),
    )  # fmt: skip


def _crossing() -> tuple[Step, ...]:
    """Half-life against mean age: 2^z against 1 + z with z = (1−β)/β, which cross at z = 1 only."""
    z, u, s = symbol("z", "positive"), symbol("z", "unit"), symbol("s", "nonnegative")
    ln2, e = symbol("ℓ", "positive"), symbol("e", "nonnegative")
    domains = {"z": "positive", "ℓ": "positive", "e": "nonnegative", "s": "nonnegative"}
    half, one = sp.Rational(1, 2), sp.Integer(1)
    return (
        Step("β = 1/2: the mean age β/(1−β) is 1", Ground(eq(half / (1 - half), 1)), "z = 1"),
        Step("and so is the half-life: β^1 = 1/2", Ground(eq(half**1, half)), "they are equal there"),
        Step("1/e > 1/4", Ground(gt(sp.exp(-1), sp.Rational(1, 4))), "so ln 2 > 1/2"),
        Step("z > 1: 2^z = 2·e^((z−1)ℓ) ≥ 2·(1+(z−1)ℓ) > 1+z, ℓ = ln 2",
             Holds(gt(2 * (1 + (z - 1) * ln2), 1 + z), (gt(z, 1), gt(ln2, half)), domains),
             "β < 1/2: z·ln 2 > ln(1+z) = r, so half-life ln 2/r > mean age 1/z"),
        Step("z ≤ 1/ℓ − 1: 2^z = 1/e^(−zℓ) < 1/(1−zℓ) ≤ 1+z",
             Holds(ge(1 + z, 1 / (1 - z * ln2)), (ge(1 / (1 + z), ln2),), domains,
                   {ln2: 1 / (1 + z) - e}),
             "β > 1/2, first part: z < 1"),
        Step("1/ℓ − 1 ≤ z < 1: 2^z = 2/e^((1−z)ℓ) < 2/(1+(1−z)ℓ) ≤ 1+z",
             Holds(ge(1 + u, 2 / (1 + (1 - u) * ln2)), (ge(ln2, 1 / (1 + u)),),
                   {**domains, "z": "unit"}, {ln2: 1 / (1 + u) + e, u: s / (1 + s)}),
             "second part: half-life < mean age"),
        Step("for instance at β = 1/4: the half-life is 1/2", Ground(eq(sp.sqrt(one / 4), half)),
             "√(1/4) = 1/2"),
        Step("and the mean age 1/3", Ground(eq((one / 4) / (1 - one / 4), one / 3)), "shorter"),
    )  # fmt: skip


@claim("ema-window-measures", family=FAMILY, source=HERE, about="mathematics",
       says="How long a moving average remembers: four measures.",
       statement="Time constant τ = −1/ln β, half-life τ·ln 2, mean age β/(1−β), effective sample size "
                 "(1+β)/(1−β); half-life and mean age are below τ, and τ < 1/(1−β) < (1+β)/(1−β). The "
                 "half-life is longer than the mean age for β < 1/2, equal at β = 1/2 (both are 1) and "
                 "shorter for β > 1/2. For i.i.d. gradients Var m̂_t = σ²(1−β)(1+β^t)/((1+β)(1−β^t)).",
       hypotheses="0 < β < 1; t → ∞ for mean age and sample size.")  # fmt: skip
def ema_window_measures(rule: Rule) -> Case | None:
    """Sums of squared weights and of ages, by induction; e^y above its tangent; then β = 0.9."""
    nine = sp.Rational(9, 10)
    return Case(
        (*_sizes(beta1), *_logarithms(beta1), *_crossing(),
         Step("at β = 0.9 the sample size is 19, not 10", Ground(eq((1 + nine) / (1 - nine), 19)),
              "exact"),
         Step("the mean age β/(1−β) is 9", Ground(eq(nine / (1 - nine), 9)), "exact"),
         Step("the half-life lies between 6 and 7", Ground(gt(nine**6, sp.Rational(1, 2))), "0.9⁶"),
         Step("and", Ground(gt(sp.Rational(1, 2), nine**7)), "0.9⁷ < 1/2"),
         Step("the time constant lies between 9 and 10: 0.9⁹ > 1/e",
              Ground(gt(nine**9, sp.exp(-1))), "Arb"),
         Step("and 0.9^10 < 1/e", Ground(gt(sp.exp(-1), nine**10)), "Arb")),
        control=Identity(_sample(beta1), (1 - beta1) / (1 + beta1)),
    )  # fmt: skip


def _sample(b: Expr) -> Expr:
    """Return Var m̂_t/σ²; its limit is the near-miss that is refuted."""
    return (1 - b) * (1 + b**t) / ((1 + b) * (1 - b**t))


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
       statement="Effective sample size, mean age, the weight left after h ≥ 1 steps, time constant "
                 "and half-life are strictly increasing in β.",
       hypotheses="0 ≤ b < c < 1; 0 < b for time constant and half-life.")  # fmt: skip
def window_grows_with_beta(rule: Rule) -> Case | None:
    """Inequalities between two betas; the power by induction on h, the logarithm by what it is."""
    b, c = symbol("b", "unit"), symbol("c", "unit")
    u, w = symbol("u", "positive"), symbol("w", "nonnegative")
    f, r, s, ln2 = symbol("f", "positive"), *(symbol(n, "positive") for n in "rsℓ")
    domains = {"b": "unit", "c": "unit", "u": "positive", "w": "nonnegative"}
    signs = dict.fromkeys("frsℓ", "positive") | {"b": "unit"}
    less = (gt(c, b),)
    return Case(
        (Step("(1+c)/(1−c) > (1+b)/(1−b)",
              Holds(gt((1 + c) / (1 - c), (1 + b) / (1 - b)), less, domains), "sample size"),
         Step("c/(1−c) > b/(1−b)", Holds(gt(c / (1 - c), b / (1 - b)), less, domains), "mean age"),
         Step("c^h > b^h gives c^(h+1) > b^(h+1)",
              Holds(gt(c * u, b * w), (*less, gt(u, w)), domains),
              "weight left after h steps; at h = 1 it is the hypothesis"),
         Step("−ln falls: −ln c ≥ −ln b would give c = b·f with f = e^(−(ln b − ln c)) ≤ 1, so c ≤ b",
              Holds(ge(b, b * f), (ge(1, f),), signs), "so r := −ln c < s := −ln b"),
         Step("0 < r < s gives 1/r > 1/s", Holds(gt(1 / r, 1 / s), (gt(s, r),), signs),
              "time constant"),
         Step("and ln 2/r > ln 2/s", Holds(gt(ln2 / r, ln2 / s), (gt(s, r),), signs), "half-life")),
        control=Holds(gt(c / (1 - c), (1 + b) / (1 - b)), less, domains),
    )  # fmt: skip
