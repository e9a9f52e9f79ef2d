"""The update rules that look at signs, line by line, in let form; sign(0) = 0."""

from __future__ import annotations

import sympy as sp

from .lines import ZERO, news, olds, single
from .rule import Rule
from .symbols import alpha, beta1, beta2, g, lambda_, mu, x


def sign_descent(*, momentum: bool = False) -> Rule:
    """SignSGD (Bernstein et al. 2018, 1802.04434, Algorithm 1): x moves by alpha against sign(g).

    ``momentum`` is Signum (Algorithm 2 there), the sign of an average that starts at 0.
    """
    if not momentum:
        return single("sign", {}, {"x": x - alpha * sp.sign(g)})
    (b,), (b_t,) = olds("momentum_buffer"), news("momentum_buffer")
    return single(
        "sign+momentum",
        {"momentum_buffer": ZERO},
        {"momentum_buffer": mu * b + (1 - mu) * g, "x": x - alpha * sp.sign(b_t)},
    )


def lion(*, decay: bool = True) -> Rule:
    """Lion (Chen et al. 2023, 2302.06675, Algorithm 2): one state entry, read before it is updated.

    The sign is that of beta1 m_{t-1} + (1 - beta1) g_t; m_t averages with beta2.  The decay is coupled
    and takes the old x.  Without ``decay`` it is the same at lambda = 0.
    """
    (m,) = olds("exp_avg")
    direction = sp.sign(beta1 * m + (1 - beta1) * g)
    return single(
        "lion" if decay else "lion-undecayed",
        {"exp_avg": ZERO},
        {
            "exp_avg": beta2 * m + (1 - beta2) * g,
            "x": x - alpha * (direction + lambda_ * x if decay else direction),
        },
    )
