"""Adagrad: each coordinate divided by the root of the sum of its squared gradients."""

from collections.abc import Mapping
from typing import Unpack

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from adamproof.optimizers.base import Base, State
from adamproof.optimizers.decay import Tensors, l2
from adamproof.optimizers.hyper import How, Hyper
from adamproof.optimizers.reference import Reference


def adagrad(
    x: Tensor,
    g: Tensor,
    t: float,
    state: State,
    *,
    eta: float,
    delta: float,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
) -> tuple[Tensor, State]:
    """One step of Adagrad with a diagonal matrix, out of place.

    Duchi, Hazan & Singer 2011, Figure 1, with no regularizer and no constraint.

    Args:
        x: The parameter.
        g: Its gradient.
        t: The step; the first is 1.
        state: ``sum``, the square of the paper's s.
        eta: Learning rate η.
        delta: Added to the root, δ.
        lr_decay: Rate at which η falls, as 1/(1 + (t - 1) lr_decay) (torch's; 0 in the paper).
        weight_decay: Factor λ of the penalty λ/2 |x|².

    Returns:
        The new parameter and the new state.
    """
    g = g + weight_decay * x
    s_squared = state["sum"] + g**2
    s = s_squared.sqrt()  # s_{t,i} = |g_{1:t,i}|_2
    h = delta + s  # H_t = δ I + diag(s_t)
    x = x - eta / (1 + (t - 1) * lr_decay) * g / h  # the minimizer for φ = 0
    return x, {"sum": s_squared}


class Adagrad(Base):
    """Adagrad, with a diagonal matrix.

    From s = ``initial_accumulator_value``, at step t = 1, 2, …::

        g = ∇f(x) + λ x
        s = s + g²
        x = x - α / (1 + (t - 1) lr_decay) · g / (√s + ε)

    ==================  ==================================
    α, λ, ε             ``lr``, ``weight_decay``, ``eps``
    s                   ``sum``
    ==================  ==================================

    Source: Duchi, Hazan & Singer 2011 (JMLR 12, 2121-2159), Figure 1, where α is η and ε is δ.

    Differs from `torch.optim.Adagrad`: the state is created at the first gradient, not in the
    constructor.  Differs from the paper: ``lr_decay``, ``weight_decay`` and the initial value
    are torch's; at 0 they vanish.

    Args:
        params: Tensors, or groups of them.
        lr: Learning rate α, in [0, inf).
        lr_decay: Rate at which α falls with the step, in [0, inf).
        weight_decay: λ, in [0, inf): L2, added to the gradient.
        initial_accumulator_value: s before the first step, in [0, inf).
        eps: ε, in [0, inf).  With 0, or where it rounds to 0 in the dtype of the parameter, a
            coordinate that has had only zero gradients becomes NaN.
        **how: ``maximize``, ``compiled``, ``capturable``, ``differentiable``; see `Base`.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        **how: Unpack[How],
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
        }
        super().__init__(params, defaults, how)

    def _buffers(self, h: Hyper) -> Mapping[str, float]:
        return {"sum": h["initial_accumulator_value"]}

    def _idle(self, h: Hyper) -> bool:
        return bool(h["weight_decay"] == 0)

    def _rule(self, x: Tensor, g: Tensor, t: float, state: State, h: Hyper) -> tuple[Tensor, State]:
        return adagrad(
            x,
            g,
            t,
            state,
            eta=h["lr"],
            delta=h["eps"],
            lr_decay=h["lr_decay"],
            weight_decay=h["weight_decay"],
        )

    def _update(
        self,
        params: list[Tensor],
        grads: Tensors,
        state: Mapping[str, list[Tensor]],
        t: list[float],
        h: Hyper,
    ) -> None:
        grads = l2(grads, params, h["weight_decay"])
        torch._foreach_addcmul_(state["sum"], grads, grads)
        denominator = torch._foreach_sqrt(state["sum"])
        torch._foreach_add_(denominator, h["eps"])
        lr = [h["lr"] / (1 + (step - 1) * h["lr_decay"]) for step in t]
        torch._foreach_addcdiv_(params, grads, denominator, [-a for a in lr])


class AdagradReference(Reference, Adagrad):
    """`Adagrad`, stepped by `adagrad`."""
