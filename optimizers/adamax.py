"""Adamax: Adam whose second moment is the largest of the discounted gradients."""

from collections.abc import Mapping
from typing import Unpack, get_args

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from adamproof.optimizers.base import Base, State
from adamproof.optimizers.decay import Decay, Tensors, decay_, decayed
from adamproof.optimizers.hyper import How, Hyper
from adamproof.optimizers.reference import Reference


def adamax(
    x: Tensor,
    g: Tensor,
    t: float,
    state: State,
    *,
    alpha: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float = 0.0,
    decay: Decay = "l2",
) -> tuple[Tensor, State]:
    """One step of Adamax, out of place.

    Kingma & Ba 2015 (arXiv 1412.6980v9), Algorithm 2, whose lines carry the remarks below.

    Args:
        x: The parameter (the paper's θ).
        g: Its gradient.
        t: The step; the first is 1.
        state: ``exp_avg`` and ``exp_inf``, the paper's m and u.
        alpha: Stepsize α.
        beta1: Decay rate β1.
        beta2: Decay rate β2.
        eps: Added to the size of the gradient (0 in the paper).
        weight_decay: λ (not in the paper).
        decay: Where λ acts.

    Returns:
        The new parameter and the new state.
    """
    x, g = decayed(x, g, alpha=alpha, weight_decay=weight_decay, decay=decay)
    m = beta1 * state["exp_avg"] + (1 - beta1) * g  # update biased first moment estimate
    u = torch.maximum(beta2 * state["exp_inf"], g.abs() + eps)  # … exponentially weighted infinity norm
    x = x - alpha / (1 - beta1**t) * m / u  # update parameters
    return x, {"exp_avg": m, "exp_inf": u}


class Adamax(Base):
    """Adamax: Adam with the infinity norm for the Euclidean one.

    From m = u = 0, at step t = 1, 2, …, with g = ∇f(x), + λ x if ``decay`` is ``"l2"``::

        m = β1 m + (1 - β1) g
        u = max(β2 u, |g| + ε)
        x = x - α / (1 - β1^t) · m / u

    less d x with the same x on the right, d = α λ if ``decay`` is ``"coupled"``, λ if
    ``"uncoupled"``.

    ==================  ============================================
    α, (β1, β2), ε, λ   ``lr``, ``betas``, ``eps``, ``weight_decay``
    m, u                ``exp_avg``, ``exp_inf``
    ==================  ============================================

    Source: Kingma & Ba 2015 (arXiv 1412.6980v9), Algorithm 2; ε = 0 and λ = 0 there.

    Who does which: `torch.optim.Adamax` and optax have ε beside |g|, where it can be forgotten; Keras
    has it beside u, in each step's denominator anew.  The same rule as `torch.optim.Adamax`.

    Args:
        params: Tensors, or groups of them.
        lr: Learning rate α, in [0, inf).
        betas: Decay rates of m and u, each in [0, 1).
        eps: ε, in [0, inf).  With 0, or where it rounds to 0 in the dtype of the parameter (the
            default does in float16), a coordinate that has had only zero gradients becomes NaN.
        weight_decay: λ, in [0, inf).
        decay: Where λ acts.
        **how: ``maximize``, ``compiled``, ``capturable``, ``differentiable``; see `Base`.

    Raises:
        ValueError: An argument is out of its range.
    """

    _choices = (("decay", get_args(Decay)),)

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        decay: Decay = "l2",
        **how: Unpack[How],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "decay": decay,
        }
        super().__init__(params, defaults, how)

    def _buffers(self, h: Hyper) -> Mapping[str, float]:
        return {"exp_avg": 0.0, "exp_inf": 0.0}

    def _rule(self, x: Tensor, g: Tensor, t: float, state: State, h: Hyper) -> tuple[Tensor, State]:
        return adamax(
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
        )

    def _update(
        self,
        params: list[Tensor],
        grads: Tensors,
        state: Mapping[str, list[Tensor]],
        t: list[float],
        h: Hyper,
    ) -> None:
        lr, beta1 = h["lr"], h["beta1"]
        m, u = state["exp_avg"], state["exp_inf"]
        grads = decay_(params, grads, h)
        torch._foreach_lerp_(m, grads, 1 - beta1)
        size = torch._foreach_abs(grads)
        torch._foreach_add_(size, h["eps"])
        torch._foreach_mul_(u, h["beta2"])
        torch._foreach_maximum_(u, size)
        torch._foreach_addcdiv_(params, m, u, [-lr / (1 - beta1**step) for step in t])


class AdamaxReference(Reference, Adamax):
    """`Adamax`, stepped by `adamax`."""
