"""Weight decay, the same for every rule: a penalty in the gradient, or a share taken off the parameter.

Each form is written twice, as the rules are: for a tensor, out of place; and for lists, in place.
"""

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from adamproof.optimizers.hyper import Hyper

Tensors: TypeAlias = list[Tensor] | tuple[Tensor, ...]
#: ``l2`` adds λ x to the gradient.  ``coupled`` takes α λ x off the parameter, ``uncoupled`` λ x.
Decay: TypeAlias = Literal["l2", "coupled", "uncoupled"]


def decayed(
    x: Tensor, g: Tensor, *, alpha: float, weight_decay: float, decay: Decay
) -> tuple[Tensor, Tensor]:
    """What a rule without decay is to be given so that it has one.

    Loshchilov & Hutter 2019 (arXiv 1711.05101v3): ``l2`` is their L2 regularization, ``uncoupled``
    their decoupled weight decay with the schedule multiplier 1, and ``coupled`` what frameworks run
    under that name.

    Args:
        x: The parameter.
        g: Its gradient.
        alpha: Learning rate α.
        weight_decay: λ.
        decay: Which form.

    Returns:
        The parameter from which the rule's step is to be taken off, and the gradient.
    """
    if decay == "l2":
        return x, g + weight_decay * x
    return x - (alpha * weight_decay if decay == "coupled" else weight_decay) * x, g


def decay_(params: list[Tensor], grads: Tensors, h: Hyper) -> Tensors:
    """Decays lists: changes the parameters, or returns other gradients; `grads` is not changed.

    Args:
        params: The parameters.
        grads: Their gradients.
        h: ``lr``, ``weight_decay`` and ``decay``.

    Returns:
        The gradients for the rule.
    """
    if h["decay"] == "l2":
        return l2(grads, params, h["weight_decay"])
    if h["weight_decay"] != 0:
        share = h["weight_decay"] * (h["lr"] if h["decay"] == "coupled" else 1)
        torch._foreach_mul_(params, 1 - share)
    return grads


def l2(grads: Tensors, params: list[Tensor], weight_decay: float) -> Tensors:
    """Adds the gradient of λ/2 |x|², λ = `weight_decay`, without writing to `grads`.

    Args:
        grads: The gradients of the loss.
        params: The parameters x.
        weight_decay: λ.

    Returns:
        The gradients g + λ x.
    """
    return torch._foreach_add(grads, params, alpha=weight_decay) if weight_decay != 0 else grads
