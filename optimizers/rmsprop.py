"""RMSprop: the gradient divided by the root of a running average of its square."""

from collections.abc import Mapping
from typing import Unpack

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from adamproof.optimizers.base import Base, State
from adamproof.optimizers.decay import Tensors, l2
from adamproof.optimizers.hyper import How, Hyper
from adamproof.optimizers.reference import Reference


def rmsprop(
    x: Tensor,
    g: Tensor,
    t: float,
    state: State,
    *,
    alpha: float,
    rho: float,
    eps: float,
    mu: float = 0.0,
    weight_decay: float = 0.0,
    centered: bool = False,
    eps_inside: bool = False,
) -> tuple[Tensor, State]:
    """One step of RMSprop, out of place.

    Tieleman & Hinton 2012, Lecture 6e; centered and with momentum: Graves 2013, Eqs. (38)-(41).

    Args:
        x: The parameter.
        g: Its gradient.
        t: The step; the rule does not depend on it.
        state: ``square_avg`` and ``momentum_buffer``; ``grad_avg`` if centered.
        alpha: Learning rate α (Graves: ℷ).
        rho: Smoothing ρ (the lecture: 0.9; Graves: ℵ; torch calls it ``alpha``).
        eps: ε (Graves: ℸ).
        mu: Momentum μ (Graves: ℶ).
        weight_decay: Factor λ of the penalty λ/2 |x|².
        centered: Divide by an estimate of the standard deviation.
        eps_inside: Add ε under the root, as Graves does.

    Returns:
        The new parameter and the new state.
    """
    g = g + weight_decay * x
    v = rho * state["square_avg"] + (1 - rho) * g**2  # MeanSquare; Eq. (38)
    new = {"square_avg": v}
    if centered:
        new["grad_avg"] = rho * state["grad_avg"] + (1 - rho) * g  # Eq. (39)
        # v ≥ ḡ² by Cauchy-Schwarz, so the maximum is idle but for rounding.
        v = torch.maximum(v - new["grad_avg"] ** 2, torch.zeros_like(v))
    root = (v + eps).sqrt() if eps_inside else v.sqrt() + eps
    b = mu * state["momentum_buffer"] + g / root  # Eq. (40), without the rate
    new["momentum_buffer"] = b
    return x - alpha * b, new  # Eq. (41)


class RMSprop(Base):
    """RMSprop, optionally centered, optionally with momentum.

    From v = ḡ = b = 0, at each step::

        g = ∇f(x) + λ x
        v = ρ v + (1 - ρ) g²
        ḡ = ρ ḡ + (1 - ρ) g                    if centered, else ḡ = 0
        b = μ b + g / (√(v - ḡ²) + ε)          or / √(v - ḡ² + ε) if eps_inside
        x = x - α b

    ==================  ================================================
    α, ρ, ε             ``lr``, ``alpha``, ``eps``
    μ, λ                ``momentum``, ``weight_decay``
    v                   ``square_avg``
    ḡ                   ``grad_avg``, kept if centered
    b                   ``momentum_buffer``, kept if μ > 0
    ==================  ================================================

    Source: Tieleman & Hinton 2012 (Coursera, Lecture 6e); centered: Graves 2013 (arXiv
    1308.0850v5), Eqs. (38)-(41).

    Differs from `torch.optim.RMSprop`: when centered, v - ḡ² is held at 0 from below.  In exact
    arithmetic it is never negative; in floats it can be once the gradient hardly changes, and
    torch's parameter is then NaN for ever.  (The step is α g/ε there all the same: centered
    RMSprop wants an ``eps`` that is not tiny.)
    Differs from Graves: α outside b, as in torch.

    Who does which: ε stands beside the root in torch and optax, and under it in Graves and
    TensorFlow, where an ``eps`` of 1e-10 is as large as one of 1e-5 beside it.

    Args:
        params: Tensors, or groups of them.
        lr: Learning rate α, in [0, inf).
        alpha: Smoothing ρ, in [0, 1); torch's name.
        eps: ε, in [0, inf).  With 0, or where it rounds to 0 in the dtype of the parameter, a
            coordinate that has had only zero gradients becomes NaN.
        weight_decay: λ, in [0, inf): L2, added to the gradient.
        momentum: μ, in [0, 1).
        centered: Divide by an estimate of the standard deviation.
        eps_inside: Add ε under the root.
        **how: ``maximize``, ``compiled``, ``capturable``, ``differentiable``; see `Base`.

    Raises:
        ValueError: An argument is out of its range.
    """

    _counted = False
    _choices = (("centered", (True, False)), ("eps_inside", (True, False)))

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        eps_inside: bool = False,
        **how: Unpack[How],
    ) -> None:
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
            "eps_inside": eps_inside,
        }
        super().__init__(params, defaults, how)

    def _buffers(self, h: Hyper) -> Mapping[str, float]:
        centered = {"grad_avg": 0.0} if h["centered"] else {}
        momentum = {"momentum_buffer": 0.0} if h["momentum"] != 0 else {}
        return {"square_avg": 0.0} | centered | momentum

    def _rule(self, x: Tensor, g: Tensor, t: float, state: State, h: Hyper) -> tuple[Tensor, State]:
        return rmsprop(
            x,
            g,
            t,
            state,
            alpha=h["lr"],
            rho=h["alpha"],
            eps=h["eps"],
            mu=h["momentum"],
            weight_decay=h["weight_decay"],
            centered=h["centered"],
            eps_inside=h["eps_inside"],
        )

    def _update(
        self,
        params: list[Tensor],
        grads: Tensors,
        state: Mapping[str, list[Tensor]],
        t: list[float],
        h: Hyper,
    ) -> None:
        lr, rho, v = h["lr"], h["alpha"], state["square_avg"]
        grads = l2(grads, params, h["weight_decay"])
        torch._foreach_mul_(v, rho)
        torch._foreach_addcmul_(v, grads, grads, 1 - rho)
        variance: Tensors = v
        if h["centered"]:
            g_avg = state["grad_avg"]
            torch._foreach_lerp_(g_avg, grads, 1 - rho)
            variance = torch._foreach_addcmul(v, g_avg, g_avg, -1)
            # torch.optim.RMSprop takes the root of a negative rounding error.
            variance = torch._foreach_maximum(variance, 0)
        if h["eps_inside"]:
            denominator = torch._foreach_sqrt(torch._foreach_add(variance, h["eps"]))
        else:
            denominator = torch._foreach_sqrt(variance)
            denominator = torch._foreach_add(denominator, h["eps"])
        if h["momentum"] == 0:
            torch._foreach_addcdiv_(params, grads, denominator, -lr)
        else:
            b = state["momentum_buffer"]
            torch._foreach_mul_(b, h["momentum"])
            torch._foreach_addcdiv_(b, grads, denominator)
            torch._foreach_add_(params, b, alpha=-lr)


class RMSpropReference(Reference, RMSprop):
    """`RMSprop`, stepped by `rmsprop`."""
