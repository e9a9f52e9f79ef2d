"""AdaBelief: Adam that divides by how far the gradient is from what was expected."""

from collections.abc import Mapping
from typing import Unpack, get_args

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from adamproof.optimizers.base import Base, State
from adamproof.optimizers.decay import Decay, Tensors, decay_, decayed
from adamproof.optimizers.hyper import How, Hyper
from adamproof.optimizers.reference import Reference


def adabelief(
    x: Tensor,
    g: Tensor,
    t: float,
    state: State,
    *,
    alpha: float,
    beta1: float,
    beta2: float,
    eps: float,
    eps_in_average: bool = True,
    weight_decay: float = 0.0,
    decay: Decay = "l2",
) -> tuple[Tensor, State]:
    """One step of AdaBelief, out of place.

    Zhuang et al. 2020 (arXiv 2010.07468v5), Algorithm 2, without the projection; its lines carry the
    remarks below.

    Args:
        x: The parameter (the paper's θ).
        g: Its gradient.
        t: The step; the first is 1.
        state: ``exp_avg`` and ``exp_avg_var``, the paper's m and s.
        alpha: Learning rate α.
        beta1: Decay rate β1.
        beta2: Decay rate β2.
        eps: ε.
        eps_in_average: Add ε to s at every step, as the paper does; else it stands beside the root only.
        weight_decay: λ (not in the paper).
        decay: Where λ acts.

    Returns:
        The new parameter and the new state.
    """
    x, g = decayed(x, g, alpha=alpha, weight_decay=weight_decay, decay=decay)
    m = beta1 * state["exp_avg"] + (1 - beta1) * g  # m_t
    s = beta2 * state["exp_avg_var"] + (1 - beta2) * (g - m) ** 2  # s_t
    if eps_in_average:
        s = s + eps  # … + ε
    m_hat = m / (1 - beta1**t)  # bias correction
    s_hat = s / (1 - beta2**t)
    x = x - alpha * m_hat / (s_hat.sqrt() + eps)  # update
    return x, {"exp_avg": m, "exp_avg_var": s}


class AdaBelief(Base):
    """Adam whose second average is of the squared distance between a gradient and its average.

    From m = s = 0, at step t = 1, 2, …, with g = ∇f(x), + λ x if ``decay`` is ``"l2"``::

        m = β1 m + (1 - β1) g
        s = β2 s + (1 - β2) (g - m)²,  + ε if eps_in_average
        m̂ = m / (1 - β1^t)
        ŝ = s / (1 - β2^t)
        x = x - α m̂ / (√ŝ + ε)

    less d x with the same x on the right, d = α λ if ``decay`` is ``"coupled"``, λ if
    ``"uncoupled"``.

    ==================  ============================================
    α, (β1, β2), ε, λ   ``lr``, ``betas``, ``eps``, ``weight_decay``
    m, s                ``exp_avg``, ``exp_avg_var``
    ==================  ============================================

    Source: Zhuang et al. 2020 (arXiv 2010.07468v5), Algorithm 2; λ = 0 there.

    Who does which: the paper, the authors' package and optax add ε to s at every step; there, what it
    adds up to is the same ε / (1 - β2) in every ŝ, and the root is never below √(ε / (1 - β2)).
    Without ``eps_in_average`` it is the formula that is often told, Adam with (g - m)² for g².

    The default ε is that of the authors' package since its version 0.1, and of optax, 1e-16 (before,
    1e-8).  With it the root is never below 3e-7, which float32 can hold with all of its digits, while
    1e-8 would hold it above 3e-3: with most networks, that is gradient descent with momentum.
    Without ``eps_in_average`` nothing holds the root up: give ``eps`` an Adam-like 1e-8 there, because
    s dies away where the gradients are constant.

    Differs from the authors' package: it rectifies as `RAdam` unless it is told not to
    (``rectify=False``), and its decay is ``coupled`` unless it is told not to
    (``weight_decouple=False``); it steps float16 in float32.

    Args:
        params: Tensors, or groups of them.
        lr: Learning rate α, in [0, inf).
        betas: Decay rates of the two averages, each in [0, 1).  With β1 = 0, m is g, and s holds
            nothing but ε.
        eps: ε, in [0, inf).  With 0, or where it rounds to 0 in the dtype of the parameter (the
            default does in float16), a coordinate that has had only zero gradients becomes NaN.
        weight_decay: λ, in [0, inf).
        eps_in_average: Add ε to s at every step.
        decay: Where λ acts, ``l2``, ``coupled`` or ``uncoupled``.
        **how: ``maximize``, ``compiled``, ``capturable``, ``differentiable``; see `Base`.

    Raises:
        ValueError: An argument is out of its range.
    """

    _choices = (("eps_in_average", (True, False)), ("decay", get_args(Decay)))

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-16,
        weight_decay: float = 0.0,
        *,
        eps_in_average: bool = True,
        decay: Decay = "l2",
        **how: Unpack[How],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "eps_in_average": eps_in_average,
            "decay": decay,
        }
        super().__init__(params, defaults, how)

    def _buffers(self, h: Hyper) -> Mapping[str, float]:
        return {"exp_avg": 0.0, "exp_avg_var": 0.0}

    def _rule(self, x: Tensor, g: Tensor, t: float, state: State, h: Hyper) -> tuple[Tensor, State]:
        return adabelief(
            x,
            g,
            t,
            state,
            alpha=h["lr"],
            beta1=h["beta1"],
            beta2=h["beta2"],
            eps=h["eps"],
            eps_in_average=h["eps_in_average"],
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
        lr, beta1, beta2 = h["lr"], h["beta1"], h["beta2"]
        m, s = state["exp_avg"], state["exp_avg_var"]
        grads = decay_(params, grads, h)
        torch._foreach_lerp_(m, grads, 1 - beta1)
        surprise = torch._foreach_sub(grads, m)
        torch._foreach_mul_(s, beta2)
        torch._foreach_addcmul_(s, surprise, surprise, 1 - beta2)
        if h["eps_in_average"]:
            torch._foreach_add_(s, h["eps"])
        denominator = torch._foreach_sqrt(s)
        torch._foreach_div_(denominator, [(1 - beta2**step) ** 0.5 for step in t])
        torch._foreach_add_(denominator, h["eps"])
        torch._foreach_addcdiv_(params, m, denominator, [-lr / (1 - beta1**step) for step in t])


class AdaBeliefReference(Reference, AdaBelief):
    """`AdaBelief`, stepped by `adabelief`."""
