"""AMSGrad: Adam whose second moment is kept at its maximum so far."""

from collections.abc import Mapping
from typing import Literal, TypeAlias, Unpack, get_args

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from adamproof.optimizers.base import Base, State
from adamproof.optimizers.decay import Decay, Tensors, decay_, decayed
from adamproof.optimizers.hyper import How, Hyper
from adamproof.optimizers.reference import Reference

Correction: TypeAlias = Literal["none", "after_max", "before_max"]


def amsgrad(
    x: Tensor,
    g: Tensor,
    t: float,
    state: State,
    *,
    alpha: float,
    beta1: float,
    beta2: float,
    eps: float = 0.0,
    weight_decay: float = 0.0,
    decay: Decay = "l2",
    correction: Correction = "none",
) -> tuple[Tensor, State]:
    """One step of AMSGrad, out of place.

    Reddi, Kale & Kumar 2018 (arXiv 1904.09237v1), Algorithm 2, without the projection.  Its
    v̂ is the maximum; the hats of m̂ and v̂ below are Adam's bias corrections.

    Args:
        x: The parameter.
        g: Its gradient.
        t: The step; the first is 1.
        state: ``exp_avg``, ``exp_avg_sq`` and ``max_exp_avg_sq``.
        alpha: Learning rate α_t.
        beta1: β1, the same at every step.
        beta2: β2.
        eps: Added to the root (0 in the paper).
        weight_decay: λ (torch's; not in the paper).
        decay: ``l2`` is the penalty λ/2 |x|²; the others are outside the gradient.
        correction: Where the bias correction stands; ``none`` is the paper.

    Returns:
        The new parameter and the new state.
    """
    x, g = decayed(x, g, alpha=alpha, weight_decay=weight_decay, decay=decay)
    m = beta1 * state["exp_avg"] + (1 - beta1) * g  # m_t
    v = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2  # v_t
    if correction == "none":
        v_max = torch.maximum(state["max_exp_avg_sq"], v)  # the paper's v̂_t, and its V̂_t
        m_hat, v_hat = m, v_max
    elif correction == "after_max":
        v_max = torch.maximum(state["max_exp_avg_sq"], v)
        m_hat, v_hat = m / (1 - beta1**t), v_max / (1 - beta2**t)
    else:
        v_max = torch.maximum(state["max_exp_avg_sq"], v / (1 - beta2**t))
        m_hat, v_hat = m / (1 - beta1**t), v_max
    x = x - alpha * m_hat / (v_hat.sqrt() + eps)  # x_{t+1}
    return x, {"exp_avg": m, "exp_avg_sq": v, "max_exp_avg_sq": v_max}


class AMSGrad(Base):
    """AMSGrad, with the bias correction in any of the three places where people put it.

    From m = v = V = 0, at step t = 1, 2, …, with c1 = 1 - β1^t and c2 = 1 - β2^t::

        g = ∇f(x), + λ x if decay is "l2"
        m = β1 m + (1 - β1) g
        v = β2 v + (1 - β2) g²

        "none"          V = max(V, v)         x = x - α m / (√V + ε)
        "after_max"     V = max(V, v)         x = x - α (m / c1) / (√(V / c2) + ε)
        "before_max"    V = max(V, v / c2)    x = x - α (m / c1) / (√V + ε)

    less α λ x if decay is "coupled", λ x if "uncoupled", with the same x on the right.

    ==================  ===================================================
    α, (β1, β2), ε, λ   ``lr``, ``betas``, ``eps``, ``weight_decay``
    m, v, V             ``exp_avg``, ``exp_avg_sq``, ``max_exp_avg_sq``
    ==================  ===================================================

    Source: Reddi, Kale & Kumar 2018 (arXiv 1904.09237v1), Algorithm 2, for constant β1 and
    without the projection; ε = 0 and λ = 0 there.

    Who does which: ``"none"`` is the paper; ``"after_max"`` is ``torch.optim.Adam(amsgrad=True)``,
    with ``decay="coupled"`` ``torch.optim.AdamW(amsgrad=True)``, and, but for the place of ε, Keras;
    ``"before_max"`` is ``optax.amsgrad`` by default: run beside optax 0.2.8 (float64, 400 steps of five
    gradient sequences at four settings) it was never further off than 1.2e-16, the others at least
    9e-3.  After the maximum, the correction lets the denominator fall again.

    Args:
        params: Tensors, or groups of them.
        lr: Learning rate α, in [0, inf).
        betas: Decay rates of the two averages, each in [0, 1).
        eps: ε, in [0, inf).  With 0, or where it rounds to 0 in the dtype of the parameter (the
            default does in float16), a coordinate that has had only zero gradients becomes NaN.
        weight_decay: λ, in [0, inf).
        correction: Where the bias correction stands relative to the maximum.
        decay: Where λ acts.
        **how: ``maximize``, ``compiled``, ``capturable``, ``differentiable``; see `Base`.

    Raises:
        ValueError: An argument is out of its range.
    """

    _choices = (("correction", get_args(Correction)), ("decay", get_args(Decay)))

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        correction: Correction = "none",
        decay: Decay = "l2",
        **how: Unpack[How],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "correction": correction,
            "decay": decay,
        }
        super().__init__(params, defaults, how)

    def _buffers(self, h: Hyper) -> Mapping[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0, "max_exp_avg_sq": 0.0}

    def _rule(self, x: Tensor, g: Tensor, t: float, state: State, h: Hyper) -> tuple[Tensor, State]:
        return amsgrad(
            x,
            g,
            t,
            state,
            alpha=h["lr"],
            beta1=h["beta1"],
            beta2=h["beta2"],
            eps=h["eps"],
            weight_decay=h["weight_decay"],
            decay=h["decay"],
            correction=h["correction"],
        )

    def _update(
        self,
        params: list[Tensor],
        grads: Tensors,
        state: Mapping[str, list[Tensor]],
        t: list[float],
        h: Hyper,
    ) -> None:
        lr, beta1, beta2, correction = h["lr"], h["beta1"], h["beta2"], h["correction"]
        m, v, v_max = state["exp_avg"], state["exp_avg_sq"], state["max_exp_avg_sq"]
        grads = decay_(params, grads, h)
        torch._foreach_lerp_(m, grads, 1 - beta1)
        torch._foreach_mul_(v, beta2)
        torch._foreach_addcmul_(v, grads, grads, 1 - beta2)
        correction1 = [1 if correction == "none" else 1 - beta1**step for step in t]
        correction2 = [1 - beta2**step for step in t]
        if correction == "before_max":
            torch._foreach_maximum_(v_max, torch._foreach_div(v, correction2))
        else:
            torch._foreach_maximum_(v_max, v)
        denominator = torch._foreach_sqrt(v_max)
        if correction == "after_max":
            torch._foreach_div_(denominator, [c**0.5 for c in correction2])
        torch._foreach_add_(denominator, h["eps"])
        torch._foreach_addcdiv_(params, m, denominator, [-lr / c for c in correction1])


class AMSGradReference(Reference, AMSGrad):
    """`AMSGrad`, stepped by `amsgrad`."""
