"""Section 1, how far back a moving average reaches: windows, ages, effective sample sizes."""

from __future__ import annotations

import sympy as sp

from .catalogue import claim
from .lemmas import power_vanishes, times_power_vanishes
from .records import Case, Ground, Holds, Identity, Step
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
