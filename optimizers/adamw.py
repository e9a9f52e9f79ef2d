"""AdamW: Adam whose weight decay stays out of the averages."""

from collections.abc import Mapping
from typing import Literal, TypeAlias, Unpack, get_args

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from adamproof.optimizers.adam import adam_
from adamproof.optimizers.base import Base, State
from adamproof.optimizers.decay import Tensors
from adamproof.optimizers.hyper import How, Hyper
from adamproof.optimizers.reference import Reference

Decay: TypeAlias = Literal["coupled", "uncoupled"]


def adamw(
    x: Tensor,
    g: Tensor,
    t: float,
    state: State,
    *,
    alpha: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decay: Decay = "coupled",
) -> tuple[Tensor, State]:
    """One step of AdamW, out of place.

    Loshchilov & Hutter 2019 (arXiv 1711.05101v3), Algorithm 2, with the schedule multiplier η = 1.

    Args:
        x: The parameter (the paper's θ).
        g: Its gradient.
        t: The step; the first is 1.
        state: ``exp_avg`` and ``exp_avg_sq``, the paper's m and v.
        alpha: Learning rate α.
        beta1: Decay rate β1.
        beta2: Decay rate β2.
        eps: ε.
        weight_decay: λ.
        decay: ``uncoupled`` is the paper; ``coupled`` is what frameworks run.

    Returns:
        The new parameter and the new state.
    """
    m = beta1 * state["exp_avg"] + (1 - beta1) * g  # line 7
    v = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2  # line 8
    m_hat = m / (1 - beta1**t)  # line 9
    v_hat = v / (1 - beta2**t)  # line 10
    step = alpha * m_hat / (v_hat.sqrt() + eps)
    if decay == "uncoupled":
        x = x - (step + weight_decay * x)  # line 12
    else:
        x = x - (step + alpha * weight_decay * x)  # frameworks: λ times α
    return x, {"exp_avg": m, "exp_avg_sq": v}


class AdamW(Base):
    """Adam with decoupled weight decay.

    From m = v = 0, at step t = 1, 2, …, with g = ∇f(x)::

        m = β1 m + (1 - β1) g
        v = β2 v + (1 - β2) g²
        m̂ = m / (1 - β1^t)
        v̂ = v / (1 - β2^t)
        x = x - α m̂ / (√v̂ + ε) - d x          with the same x on the right

    ==================  =========================================================
    α, (β1, β2), ε, λ   ``lr``, ``betas``, ``eps``, ``weight_decay``
    m, v                ``exp_avg``, ``exp_avg_sq``
    d                   α λ if ``decay`` is ``"coupled"``, λ if ``"uncoupled"``
    ==================  =========================================================

    Source: Loshchilov & Hutter 2019 (arXiv 1711.05101v3), Algorithm 2, whose schedule
    multiplier η_t is 1 here.

    Who does which: ``"uncoupled"`` is the paper, ``"coupled"`` is `torch.optim.AdamW`, and
    optax and Keras with it.  A λ moves from one to the other by λ_uncoupled = α λ_coupled.
    Under ``"uncoupled"`` a schedule on ``lr`` does not reach the decay; nor does a step at ``lr``
    0, with which `torch.distributed.checkpoint` makes the state it loads into: load the
    parameters after it.

    Args:
        params: Tensors, or groups of them.
        lr: Learning rate α, in [0, inf).
        betas: Decay rates of the two averages, each in [0, 1).
        eps: ε, in [0, inf).  With 0, or where it rounds to 0 in the dtype of the parameter (the
            default does in float16), a coordinate that has had only zero gradients becomes NaN.
        weight_decay: λ, in [0, inf).  The default is meant for ``"coupled"``; ``"uncoupled"`` it
            takes that share off the weights at every step.
        decay: Whether α multiplies λ.
        **how: ``maximize``, ``compiled``, ``capturable``, ``differentiable``; see `Base`.

    Raises:
        ValueError: An argument is out of its range.
    """

    _choices = (("decay", get_args(Decay)),)

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        decay: Decay = "coupled",
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
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def _rule(self, x: Tensor, g: Tensor, t: float, state: State, h: Hyper) -> tuple[Tensor, State]:
        return adamw(
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
        # First, so that it is x_{t-1} that decays.
        decay = h["weight_decay"] * (h["lr"] if h["decay"] == "coupled" else 1)
        torch._foreach_mul_(params, 1 - decay)
        adam_(params, grads, state, t, h)


class AdamWReference(Reference, AdamW):
    """`AdamW`, stepped by `adamw`."""
