"""Lion: the sign of one running average of the gradient, which is kept as another."""

from collections.abc import Mapping
from typing import Unpack, get_args

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from adamproof.optimizers.base import Base, State
from adamproof.optimizers.decay import Decay, Tensors, decay_, decayed
from adamproof.optimizers.hyper import How, Hyper
from adamproof.optimizers.reference import Reference


def lion(
    x: Tensor,
    g: Tensor,
    t: float,
    state: State,
    *,
    alpha: float,
    beta1: float,
    beta2: float,
    weight_decay: float = 0.0,
    decay: Decay = "coupled",
) -> tuple[Tensor, State]:
    """One step of Lion, out of place.

    Chen et al. 2023 (arXiv 2302.06675v4), Algorithm 2, whose lines carry the remarks below.

    Args:
        x: The parameter (the paper's θ).
        g: Its gradient.
        t: The step; the rule does not depend on it.
        state: ``exp_avg``, the paper's m, zero before the first step.
        alpha: Learning rate α (the paper's η).
        beta1: Share β1 of m in what is stepped along.
        beta2: Share β2 of m in what is kept.
        weight_decay: λ.
        decay: Where λ acts; ``coupled`` is the paper.

    Returns:
        The new parameter and the new state.
    """
    x, g = decayed(x, g, alpha=alpha, weight_decay=weight_decay, decay=decay)
    c = beta1 * state["exp_avg"] + (1 - beta1) * g  # update model parameters
    x = x - alpha * c.sign()
    m = beta2 * state["exp_avg"] + (1 - beta2) * g  # update EMA of g_t
    return x, {"exp_avg": m}


class Lion(Base):
    """Lion: sign descent along an average that weighs the newest gradient more than the one it keeps.

    From m = 0, at each step, with g = ∇f(x), + λ x if ``decay`` is ``"l2"``::

        c = β1 m + (1 - β1) g
        x = x - α sign(c)
        m = β2 m + (1 - β2) g

    less d x with the same x on the right, d = α λ if ``decay`` is ``"coupled"``, λ if
    ``"uncoupled"``.  The sign of 0 is 0.

    ==================  ======================================
    α, (β1, β2), λ      ``lr``, ``betas``, ``weight_decay``
    m                   ``exp_avg``
    ==================  ======================================

    Source: Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms" (arXiv 2302.06675v4),
    Algorithm 2.

    Who does which: the paper and its authors' code have ``coupled``.  A checkpoint of that code loads;
    it has no ``step``, on which nothing here depends.  With β1 = β2 it is `SignSGD` with momentum.

    A NaN has the sign 0 in torch: it does not reach x, so that x does not tell of it.  It stays in m,
    and the coordinate moves no more.

    Args:
        params: Tensors, or groups of them.
        lr: Learning rate α, in [0, inf): what each coordinate moves by.
        betas: Share of m in what is stepped along, and in what is kept, each in [0, 1).
        weight_decay: λ, in [0, inf).  Under ``l2`` it acts on the sign alone, not on the length.
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
        lr: float | Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        decay: Decay = "coupled",
        **how: Unpack[How],
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "decay": decay}
        super().__init__(params, defaults, how)

    def _buffers(self, h: Hyper) -> Mapping[str, float]:
        return {"exp_avg": 0.0}

    def _rule(self, x: Tensor, g: Tensor, t: float, state: State, h: Hyper) -> tuple[Tensor, State]:
        return lion(
            x,
            g,
            t,
            state,
            alpha=h["lr"],
            beta1=h["beta1"],
            beta2=h["beta2"],
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
        beta1, beta2, m = h["beta1"], h["beta2"], state["exp_avg"]
        grads = decay_(params, grads, h)
        # Not lerp, which rounds otherwise than `lion`: where c cancels, the sign would differ.
        c = torch._foreach_mul(m, beta1)
        torch._foreach_add_(c, torch._foreach_mul(grads, 1 - beta1))
        torch._foreach_sign_(c)
        torch._foreach_add_(params, c, alpha=-h["lr"])
        torch._foreach_mul_(m, beta2)
        torch._foreach_add_(m, torch._foreach_mul(grads, 1 - beta2))


class LionReference(Reference, Lion):
    """`Lion`, stepped by `lion`."""
