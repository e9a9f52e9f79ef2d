"""The update rules as the papers write them, line by line, in let form.

Each function returns a `Rule`; where the paper and the frameworks disagree the variant is a named
argument.  State entries carry the names that torch gives them, so that a lifted rule and a paper's
rule can be compared; ``exp_avg`` is m, ``exp_avg_sq`` is v.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import sympy as sp
from sympy import Max, sqrt

from .lines import ZERO, moments, news, olds, single
from .rule import Regime, Rule
from .rules_decay import FORMS, with_decay
from .rules_relatives import (
    adabelief,
    adabound,
    adadelta,
    adamax,
    nadam,
    nadam_constant,
    radam,
)
from .rules_signs import lion, sign_descent
from .symbols import alpha, beta1, beta2, eps, eta, g, lambda_, mu, t, tau, x

Correction = Literal["none", "after_max", "before_max"]


def sgd(*, momentum: bool = False, nesterov: bool = False, dampening: bool = False,
        l2: bool = False, decay: Literal["", "uncoupled", "coupled"] = "") -> Rule:  # fmt: skip
    """Stochastic gradient descent; heavy ball b_t = mu b_{t-1} + (1 - tau) g_t (Polyak 1964).

    Nesterov's form is the one of Sutskever et al. (2013) as rewritten by the frameworks:
    x -= alpha (g + mu b_t).  ``l2`` adds lambda x to the gradient; an ``uncoupled`` decay shrinks x by
    lambda itself (Loshchilov & Hutter 2019, Algorithm 1, with schedule multiplier 1), a ``coupled`` one
    by alpha lambda, as the frameworks do for Adam.
    """
    grad = g + lambda_ * x if l2 else g
    kept = x - {"": 0, "uncoupled": lambda_, "coupled": alpha * lambda_}[decay] * x
    name = "sgd" + "".join(
        f"+{n}" for n, on in [("momentum", momentum), ("nesterov", nesterov),
                              ("dampening", dampening), ("l2", l2),
                              ("decay", decay == "uncoupled"),
                              ("decay-coupled", decay == "coupled")] if on
    )  # fmt: skip
    undamped = 1 - tau if dampening else sp.Integer(1)
    if not momentum:
        return single(name, {}, {"x": kept - alpha * undamped * grad})
    (b,), (b_t,) = olds("momentum_buffer"), news("momentum_buffer")
    buffer = mu * b + undamped * grad
    direction = grad + mu * b_t if nesterov else b_t
    return single(
        name, {"momentum_buffer": ZERO}, {"momentum_buffer": buffer, "x": kept - alpha * direction}
    )


def sgd_dampened_late() -> Rule:
    """Momentum SGD as torch runs it: the dampening is not applied to the first gradient."""
    (b,), (b_t,) = olds("momentum_buffer"), news("momentum_buffer")
    step = x - alpha * b_t
    return Rule(
        "sgd+momentum+late-dampening",
        {"momentum_buffer": ZERO},
        (
            Regime({"momentum_buffer": g, "x": step}, (sp.Eq(t, 1),)),
            Regime({"momentum_buffer": mu * b + (1 - tau) * g, "x": step}, (t > 1,)),
        ),
    )


def sgd_averaged() -> Rule:
    """Momentum SGD whose buffer is an average: b_t = mu b_{t-1} + (1 - mu) g_t, x -= alpha b_t."""
    (b,), (b_t,) = olds("momentum_buffer"), news("momentum_buffer")
    lines = {"momentum_buffer": mu * b + (1 - mu) * g, "x": x - alpha * b_t}
    return single("sgd+ema", {"momentum_buffer": ZERO}, lines)


def adagrad(*, l2: bool = False) -> Rule:
    """AdaGrad, diagonal form (Duchi, Hazan & Singer 2011, Figure 1), with torch's rate decay eta.

    ``l2`` adds lambda x to the gradient, as it does in the rules below.
    """
    grad = g + lambda_ * x if l2 else g
    (s,), (s_t,) = olds("sum"), news("sum")
    rate = alpha / (1 + (t - 1) * eta)
    name, lines = "adagrad" + ("+l2" if l2 else ""), {"sum": s + grad**2}
    return single(name, {"sum": ZERO}, {**lines, "x": x - rate * grad / (sqrt(s_t) + eps)})


def rmsprop(*, centered: bool = False, momentum: bool = False, inside: bool = False,
            l2: bool = False) -> Rule:  # fmt: skip
    """RMSprop (Tieleman & Hinton 2012); centered as in Graves (2013), eq. 40; beta2 smooths.

    ``inside`` adds epsilon under the root, as Graves and TensorFlow do; torch adds it to the root.
    """
    grad = g + lambda_ * x if l2 else g
    (v, a, b) = olds("square_avg", "grad_avg", "momentum_buffer")
    (v_t, a_t, b_t) = news("square_avg", "grad_avg", "momentum_buffer")
    formulas = {"square_avg": beta2 * v + (1 - beta2) * grad**2}
    square = v_t
    if centered:
        formulas["grad_avg"] = beta2 * a + (1 - beta2) * grad
        square = v_t - a_t**2
    step = grad / (sqrt(square + eps) if inside else sqrt(square) + eps)
    if momentum:
        formulas["momentum_buffer"] = mu * b + step
        step = b_t
    initial = dict.fromkeys(formulas, ZERO)
    name = "rmsprop" + ("+centered" if centered else "") + ("+momentum" if momentum else "")
    name += ("+eps-inside" if inside else "") + ("+l2" if l2 else "")
    return single(name, initial, {**formulas, "x": x - alpha * step})


def adam(*, l2: bool = False, corrected: bool = True) -> Rule:
    """Adam (Kingma & Ba 2015, Algorithm 1); ``l2`` adds lambda x to the gradient.

    Without the correction it is the first half of Algorithm 1 alone.
    """
    grad = g + lambda_ * x if l2 else g
    m_t, v_t = news("exp_avg", "exp_avg_sq")
    m_hat, v_hat = (m_t / (1 - beta1**t), v_t / (1 - beta2**t)) if corrected else (m_t, v_t)
    name = "adam" + ("+l2" if l2 else "") + ("" if corrected else "-uncorrected")
    return single(
        name,
        {"exp_avg": ZERO, "exp_avg_sq": ZERO},
        {**moments(grad), "x": x - alpha * m_hat / (sqrt(v_hat) + eps)},
    )


def adam_eps_hat() -> Rule:
    """Adam in the order of Kingma & Ba (2015), end of section 2: epsilon hat beside the raw root."""
    m_t, v_t = news("exp_avg", "exp_avg_sq")
    rate = alpha * sqrt(1 - beta2**t) / (1 - beta1**t)
    return single(
        "adam-eps-hat",
        {"exp_avg": ZERO, "exp_avg_sq": ZERO},
        {**moments(g), "x": x - rate * m_t / (sqrt(v_t) + eps)},
    )


def adamw(*, decay: Literal["coupled", "uncoupled"] = "coupled") -> Rule:
    """AdamW (Loshchilov & Hutter 2019, Algorithm 2, schedule multiplier 1).

    ``uncoupled`` is the paper: x shrinks by lambda.  ``coupled`` is the frameworks: by alpha lambda.
    """
    m_t, v_t = news("exp_avg", "exp_avg_sq")
    m_hat, v_hat = m_t / (1 - beta1**t), v_t / (1 - beta2**t)
    shrink = alpha * lambda_ if decay == "coupled" else lambda_
    return single(
        "adamw" if decay == "coupled" else "adamw-uncoupled",
        {"exp_avg": ZERO, "exp_avg_sq": ZERO},
        {**moments(g), "x": x - alpha * m_hat / (sqrt(v_hat) + eps) - shrink * x},
    )


def amsgrad(*, correction: Correction = "none", l2: bool = False, decay: bool = False) -> Rule:
    """AMSGrad (Reddi, Kale & Kumar 2018, Algorithm 2) and its two bias-corrected readings.

    ``none`` is the paper.  ``after_max`` takes the maximum of the raw v_t and corrects it after
    (torch); ``before_max`` takes the maximum of the corrected v_t (optax).
    """
    grad = g + lambda_ * x if l2 else g
    (u,) = olds("max_exp_avg_sq")
    m_t, v_t, u_t = news("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    corrected = v_t / (1 - beta2**t) if correction == "before_max" else v_t
    m_hat = m_t if correction == "none" else m_t / (1 - beta1**t)
    root = sqrt(u_t / (1 - beta2**t)) if correction == "after_max" else sqrt(u_t)
    kept = x - alpha * lambda_ * x if decay else x
    tail = ("+l2" if l2 else "") + ("+decay" if decay else "")
    return single(
        ("amsgrad" if correction == "none" else f"amsgrad-{correction.replace('_', '-')}") + tail,
        {"exp_avg": ZERO, "exp_avg_sq": ZERO, "max_exp_avg_sq": ZERO},
        {
            **moments(grad),
            "max_exp_avg_sq": Max(u, corrected),
            "x": kept - alpha * m_hat / (root + eps),
        },
    )


#: Rules by the name that ``--against`` takes.
RULES: dict[str, Callable[[], Rule]] = {
    "sgd": sgd,
    "sgd+l2": lambda: sgd(l2=True),
    "sgd+decay": lambda: sgd(decay="uncoupled"),
    "sgd+decay-coupled": lambda: sgd(decay="coupled"),
    "sgd+dampening": lambda: sgd(dampening=True),
    "sgd+momentum": lambda: sgd(momentum=True),
    "sgd+momentum+l2": lambda: sgd(momentum=True, l2=True),
    "sgd+momentum+decay": lambda: sgd(momentum=True, decay="uncoupled"),
    "sgd+momentum+decay-coupled": lambda: sgd(momentum=True, decay="coupled"),
    "sgd+momentum+nesterov": lambda: sgd(momentum=True, nesterov=True),
    "sgd+momentum+dampening": lambda: sgd(momentum=True, dampening=True),
    "sgd+momentum+late-dampening": sgd_dampened_late,
    "sgd+ema": sgd_averaged,
    "sign": sign_descent,
    "sign+momentum": lambda: sign_descent(momentum=True),
    "lion": lion,
    "lion-undecayed": lambda: lion(decay=False),
    "adagrad": adagrad,
    "adagrad+l2": lambda: adagrad(l2=True),
    "rmsprop": rmsprop,
    "rmsprop+l2": lambda: rmsprop(l2=True),
    "rmsprop+centered": lambda: rmsprop(centered=True),
    "rmsprop+momentum": lambda: rmsprop(momentum=True),
    "rmsprop+centered+momentum": lambda: rmsprop(centered=True, momentum=True),
    "rmsprop+eps-inside": lambda: rmsprop(inside=True),
    "adam": adam,
    "adam+l2": lambda: adam(l2=True),
    "adam-eps-hat": adam_eps_hat,
    "adam-uncorrected": lambda: adam(corrected=False),
    "adamw": adamw,
    "adamw-uncoupled": lambda: adamw(decay="uncoupled"),
    "amsgrad": amsgrad,
    "amsgrad+l2": lambda: amsgrad(l2=True),
    "amsgrad-after-max": lambda: amsgrad(correction="after_max"),
    "amsgrad-before-max": lambda: amsgrad(correction="before_max"),
    "amsgrad-after-max+decay": lambda: amsgrad(correction="after_max", decay=True),
    "nadam": nadam,
    "nadam-constant": nadam_constant,
    "nadam-dozat": lambda: nadam(average="mu"),
    "radam": radam,
    "radam-4": lambda: radam(threshold=4),
    "radam-idle": lambda: radam(before="nothing"),
    "adamax": adamax,
    "adadelta": adadelta,
    "adabelief": adabelief,
    "adabelief-eps-outside": lambda: adabelief(accumulated=False),
    "adabound": adabound,
    "adabound-sqrt": lambda: adabound(schedule="sqrt"),
    "amsbound": lambda: adabound(maximum=True),
}


def named(name: str) -> Rule:
    """Return the paper's rule of that name, or a rule with weight decay: ``nadam+decay``.

    A name that is not in `RULES` is that of a rule without decay and one of `rules_decay.FORMS`.  A
    plain ``+decay`` is refused for SGD, where the paper's own rules mean the uncoupled one by it.

    Raises:
        KeyError: there is no such rule; the message says why.
    """
    if name in RULES:
        return RULES[name]()
    base, plus, form = name.rpartition("+")
    if base not in RULES or plus + form not in FORMS:
        raise KeyError(f"there is no rule {name!r}")
    if base.startswith("sgd") and form == "decay":
        told = f"write {base}+decay-coupled (x loses αλx) or {base}+decay-uncoupled (x loses λx)"
        raise KeyError(f"{name!r} could be two rules; {told}")
    try:
        return with_decay(RULES[base](), plus + form)
    except ValueError as error:
        raise KeyError(f"there is no rule {name!r}: {error}") from None


def known(name: str) -> bool:
    """Return whether `named` has a rule of that name."""
    try:
        named(name)
    except KeyError:
        return False
    return True
