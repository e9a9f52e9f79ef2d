"""The update rules of Adam's relatives, line by line, in let form.

Each function returns a `Rule`; where a paper and the code of its authors or of the frameworks disagree
the variant is a named argument.
"""

from __future__ import annotations

from typing import Literal

import sympy as sp
from sympy import Max, Min, Rational, sqrt

from .lines import ZERO, moments, news, olds, single
from .rule import Regime, Rule
from .symbols import alpha, alpha_final, beta1, beta2, eps, g, gamma, psi, rho, t, x


def adabelief(*, accumulated: bool = True) -> Rule:
    """AdaBelief (Zhuang et al. 2020, Algorithm 2): epsilon inside the average and beside the root.

    ``accumulated=False`` leaves out the epsilon that is added to the average in every step.
    """
    m, s = olds("exp_avg", "exp_avg_var")
    m_t, s_t = news("exp_avg", "exp_avg_var")
    return single(
        "adabelief" if accumulated else "adabelief-eps-outside",
        {"exp_avg": ZERO, "exp_avg_var": ZERO},
        {
            "exp_avg": beta1 * m + (1 - beta1) * g,
            "exp_avg_var": beta2 * s + (1 - beta2) * (g - m_t) ** 2 + (eps if accumulated else 0),
            "x": x - alpha * (m_t / (1 - beta1**t)) / (sqrt(s_t / (1 - beta2**t)) + eps),
        },
    )


def nadam(*, average: Literal["beta1", "mu"] = "beta1") -> Rule:
    """NAdam (Dozat 2016, ICLR workshop, Algorithm 2): as PyTorch and Keras run it, or as he writes it.

    mu_t = beta1 (1 - 0.96^(t psi) / 2), the schedule of his experiments; M_t is the product of
    mu_1 … mu_t.  His m_t averages with ``mu`` too; the frameworks average with ``beta1``, but look ahead
    and correct with mu_t.  His Algorithm 2 multiplies n̂_t by another ν (β2), which no implementation
    has: it is left away in both.
    """
    m, prod = olds("exp_avg", "mu_product")
    m_t, v_t, prod_t = news("exp_avg", "exp_avg_sq", "mu_product")
    base = Rational(96, 100)
    mu_t = beta1 * (1 - base ** (t * psi) / 2)
    mu_next = beta1 * (1 - base ** ((t + 1) * psi) / 2)
    averages = moments(g)
    if average == "mu":
        averages["exp_avg"] = mu_t * m + (1 - mu_t) * g
    step = (1 - mu_t) * g / (1 - prod_t) + mu_next * m_t / (1 - prod_t * mu_next)
    return single(
        "nadam" if average == "beta1" else "nadam-dozat",
        {"mu_product": sp.Integer(1), "exp_avg": ZERO, "exp_avg_sq": ZERO},
        {
            "mu_product": prod * mu_t,
            **averages,
            "x": x - alpha * step / (sqrt(v_t / (1 - beta2**t)) + eps),
        },
    )


def nadam_constant() -> Rule:
    """NAdam at a constant momentum, mu_t = beta1 for every t.

    There the form of the frameworks and that of Dozat (2016), which averages with mu_t, have the same
    numerator; v is corrected as in Adam.
    """
    m_t, v_t = news("exp_avg", "exp_avg_sq")
    step = (1 - beta1) * g / (1 - beta1**t) + beta1 * m_t / (1 - beta1 ** (t + 1))
    return single(
        "nadam-constant",
        {"exp_avg": ZERO, "exp_avg_sq": ZERO},
        {**moments(g), "x": x - alpha * step / (sqrt(v_t / (1 - beta2**t)) + eps)},
    )


def radam(*, threshold: int = 5, before: Literal["momentum", "nothing"] = "momentum") -> Rule:
    """RAdam (Liu et al. 2020, Algorithm 2), epsilon added to the root, as in the authors' code.

    The paper rectifies from rho_t > 4; the authors' code and torch from rho_t > 5.  Up to the threshold
    it is bias-corrected momentum (the paper, torch), or ``nothing`` moves but the averages (the authors'
    code with ``degenerated_to_sgd=False``).
    """
    m_t, v_t = news("exp_avg", "exp_avg_sq")
    rho_inf = 2 / (1 - beta2) - 1
    rho_t = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
    rect = sqrt((rho_t - 4) * (rho_t - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho_t))
    m_hat = m_t / (1 - beta1**t)
    adaptive = sqrt(1 - beta2**t) / (sqrt(v_t) + eps)
    plain = {**moments(g), "x": x - alpha * m_hat if before == "momentum" else x}
    rectified = {**moments(g), "x": x - alpha * m_hat * rect * adaptive}
    name = ("radam" if threshold == 5 else f"radam-{threshold}") + "-idle" * (before == "nothing")
    return Rule(
        name,
        {"exp_avg": ZERO, "exp_avg_sq": ZERO},
        (Regime(plain, (rho_t <= threshold,)), Regime(rectified, (rho_t > threshold,))),
    )


def adabound(*, maximum: bool = False, schedule: Literal["constant", "sqrt"] = "constant") -> Rule:
    """AdaBound (Luo et al. 2019, Algorithm 2) with the bound functions of its section 5.

    The lower bound is alpha* (1 - 1/(gamma t + 1)), the upper one alpha* (1 + 1/(gamma t)).
    ``constant`` is the authors' code: Adam's rate is clipped with its corrections and epsilon, and
    multiplies the raw m_t.  ``sqrt`` is the paper: alpha over the raw root is clipped, then divided by
    the root of t.  ``maximum`` is AMSBound: v_t replaced by its running maximum.
    """
    (u,) = olds("max_exp_avg_sq")
    m_t, v_t, u_t = news("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    lower, upper = alpha_final * (1 - 1 / (gamma * t + 1)), alpha_final * (1 + 1 / (gamma * t))
    root, state = sqrt(v_t), {"exp_avg": ZERO, "exp_avg_sq": ZERO}
    lines = moments(g)
    if maximum:
        root, state = sqrt(u_t), {**state, "max_exp_avg_sq": ZERO}
        lines["max_exp_avg_sq"] = Max(u, v_t)
    rate = alpha * sqrt(1 - beta2**t) / ((1 - beta1**t) * (root + eps))
    if schedule == "sqrt":
        rate = alpha / root
    clipped = Min(Max(rate, lower), upper)
    if schedule == "sqrt":
        clipped = clipped / sqrt(t)
    tail = "-sqrt" if schedule == "sqrt" else ""
    name = ("amsbound" if maximum else "adabound") + tail
    regime = Regime({**lines, "x": x - clipped * m_t})
    return Rule(name, state, (regime,))


def adamax() -> Rule:
    """AdaMax (Kingma & Ba 2015, Algorithm 2), epsilon added to |g| inside the maximum (torch)."""
    m, u = olds("exp_avg", "exp_inf")
    m_t, u_t = news("exp_avg", "exp_inf")
    return single(
        "adamax",
        {"exp_avg": ZERO, "exp_inf": ZERO},
        {
            "exp_avg": beta1 * m + (1 - beta1) * g,
            "exp_inf": Max(beta2 * u, sp.Abs(g) + eps),
            "x": x - alpha * m_t / ((1 - beta1**t) * u_t),
        },
    )


def adadelta() -> Rule:
    """AdaDelta (Zeiler 2012, Algorithm 1), times a rate alpha that is 1 in the paper."""
    v, d = olds("square_avg", "acc_delta")
    (v_t,) = news("square_avg")
    delta = sqrt(d + eps) / sqrt(v_t + eps) * g
    return single(
        "adadelta",
        {"square_avg": ZERO, "acc_delta": ZERO},
        {
            "square_avg": rho * v + (1 - rho) * g**2,
            "acc_delta": rho * d + (1 - rho) * delta**2,
            "x": x - alpha * delta,
        },
    )
