"""Adadelta: the gradient in units of the parameter, by a running average of the steps."""

from collections.abc import Mapping
from typing import Unpack, get_args

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from adamproof.optimizers.base import Base, State
from adamproof.optimizers.decay import Decay, Tensors, decay_, decayed
from adamproof.optimizers.hyper import How, Hyper
from adamproof.optimizers.reference import Reference


def adadelta(
    x: Tensor,
    g: Tensor,
    t: float,
    state: State,
    *,
    rho: float,
    eps: float,
    alpha: float = 1.0,
    weight_decay: float = 0.0,
    decay: Decay = "l2",
) -> tuple[Tensor, State]:
    """One step of Adadelta, out of place.

    Zeiler 2012 (arXiv 1212.5701v1), Algorithm 1, whose lines carry the remarks below.

    Args:
        x: The parameter.
        g: Its gradient.
        t: The step; the rule does not depend on it.
        state: ``square_avg`` and ``acc_delta``, the paper's E[g²] and E[Δx²].
        rho: Decay rate ρ.
        eps: ε.
        alpha: Learning rate α (1 in the paper).
        weight_decay: λ (not in the paper).
        decay: Where λ acts.

    Returns:
        The new parameter and the new state.
    """
    x, g = decayed(x, g, alpha=alpha, weight_decay=weight_decay, decay=decay)
    v = rho * state["square_avg"] + (1 - rho) * g**2  # accumulate gradient
    d = (state["acc_delta"] + eps).sqrt() / (v + eps).sqrt() * g  # compute update, -Δx_t
    w = rho * state["acc_delta"] + (1 - rho) * d**2  # accumulate updates
    return x - alpha * d, {"square_avg": v, "acc_delta": w}  # apply update


class Adadelta(Base):
    """Adadelta: the gradient times the root of past squared steps over that of past squared gradients.

    From v = w = 0, at each step, with g = ∇f(x), + λ x if ``decay`` is ``"l2"``::

        v = ρ v + (1 - ρ) g²
        d = √(w + ε) / √(v + ε) · g
        w = ρ w + (1 - ρ) d²
        x = x - α d

    less D x with the same x on the right, D = α λ if ``decay`` is ``"coupled"``, λ if
    ``"uncoupled"``.

    ==================  =================================
    α, ρ, ε             ``lr``, ``rho``, ``eps``
    λ                   ``weight_decay``
    v, w                ``square_avg``, ``acc_delta``
    ==================  =================================

    Source: Zeiler 2012 (arXiv 1212.5701v1), Algorithm 1, where E[g²] is v, E[Δx²] is w and Δx is -d;
    α = 1 and λ = 0 there.

    Who does which: `torch.optim.Adadelta`, optax and Keras have α outside w, as here, so that w is of
    the steps with α = 1; Keras has α = 0.001 by default.  The same rule as `torch.optim.Adadelta`.

    Args:
        params: Tensors, or groups of them.
        lr: Learning rate α, in [0, inf).
        rho: Decay rate ρ of both averages, in [0, 1).
        eps: ε, in [0, inf).  It alone sets off the first steps: with 0, or where it rounds to 0 in the
            dtype of the parameter, x stays where it is, and a coordinate that has had only zero
            gradients becomes NaN.
        weight_decay: λ, in [0, inf).
        decay: Where λ acts.
        **how: ``maximize``, ``compiled``, ``capturable``, ``differentiable``; see `Base`.

    Raises:
        ValueError: An argument is out of its range.
    """

    _counted = False
    _choices = (("decay", get_args(Decay)),)

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        decay: Decay = "l2",
        **how: Unpack[How],
    ) -> None:
        defaults = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "decay": decay}
        super().__init__(params, defaults, how)

    def _buffers(self, h: Hyper) -> Mapping[str, float]:
        return {"square_avg": 0.0, "acc_delta": 0.0}

    def _rule(self, x: Tensor, g: Tensor, t: float, state: State, h: Hyper) -> tuple[Tensor, State]:
        return adadelta(
            x,
            g,
            t,
            state,
            rho=h["rho"],
            eps=h["eps"],
            alpha=h["lr"],
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
        rho, eps = h["rho"], h["eps"]
        v, w = state["square_avg"], state["acc_delta"]
        grads = decay_(params, grads, h)
        torch._foreach_mul_(v, rho)
        torch._foreach_addcmul_(v, grads, grads, 1 - rho)
        d = torch._foreach_add(w, eps)
        torch._foreach_sqrt_(d)
        root = torch._foreach_add(v, eps)
        torch._foreach_sqrt_(root)
        torch._foreach_div_(d, root)
        torch._foreach_mul_(d, grads)
        torch._foreach_mul_(w, rho)
        torch._foreach_addcmul_(w, d, d, 1 - rho)
        torch._foreach_add_(params, d, alpha=-h["lr"])


class AdadeltaReference(Reference, Adadelta):
    """`Adadelta`, stepped by `adadelta`."""
