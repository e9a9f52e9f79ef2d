"""SignSGD: steps of one length, along the sign of the gradient or of its running average."""

from collections.abc import Mapping
from typing import Unpack, get_args

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from adamproof.optimizers.base import Base, State
from adamproof.optimizers.decay import Decay, Tensors, decay_, decayed
from adamproof.optimizers.hyper import How, Hyper
from adamproof.optimizers.reference import Reference


def sign_sgd(
    x: Tensor,
    g: Tensor,
    t: float,
    state: State,
    *,
    alpha: float,
    mu: float = 0.0,
    weight_decay: float = 0.0,
    decay: Decay = "l2",
) -> tuple[Tensor, State]:
    """One step of sign descent, out of place.

    Bernstein et al. 2018 (arXiv 1802.04434v3), Algorithm 2 (SIGNUM), which for μ = 0 is Algorithm 1
    (SIGNSGD).

    Args:
        x: The parameter.
        g: Its gradient.
        t: The step; the rule does not depend on it.
        state: ``momentum_buffer``, the paper's m, zero before the first step.
        alpha: Learning rate α (the paper's δ).
        mu: Momentum μ (the paper's β).
        weight_decay: λ (not in the algorithms).
        decay: Where λ acts.

    Returns:
        The new parameter and the new state.
    """
    x, g = decayed(x, g, alpha=alpha, weight_decay=weight_decay, decay=decay)
    m = mu * state["momentum_buffer"] + (1 - mu) * g  # m_{k+1}
    return x - alpha * m.sign(), {"momentum_buffer": m}  # x_{k+1}


class SignSGD(Base):
    """Sign descent, optionally with momentum (Signum).

    From m = 0, at each step, with g = ∇f(x), + λ x if ``decay`` is ``"l2"``::

        m = μ m + (1 - μ) g
        x = x - α sign(m)

    less d x with the same x on the right, d = α λ if ``decay`` is ``"coupled"``, λ if
    ``"uncoupled"``.  The sign of 0 is 0.

    ==================  =======================================
    α, μ, λ             ``lr``, ``momentum``, ``weight_decay``
    m                   ``momentum_buffer``, not kept if μ = 0
    ==================  =======================================

    Source: Bernstein, Wang, Azizzadenesheli & Anandkumar 2018 (arXiv 1802.04434v3), Algorithm 1
    (SIGNSGD, μ = 0) and Algorithm 2 (SIGNUM); λ = 0 there.

    Who does which: MXNet's ``Signum`` has, with momentum, both decays: ``l2`` as ``wd`` and ``coupled``
    as ``wd_lh``.  A heavy ball m = μ m + g has the same sign as the average, as long as μ stays the
    same.

    A NaN has the sign 0 in torch: it does not reach x, so that x does not tell of it.  With momentum
    it stays in m, and the coordinate moves no more.

    Args:
        params: Tensors, or groups of them.
        lr: Learning rate α, in [0, inf): what each coordinate moves by.
        momentum: μ, in [0, 1).
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
        lr: float | Tensor = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        *,
        decay: Decay = "l2",
        **how: Unpack[How],
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "decay": decay}
        super().__init__(params, defaults, how)

    def _buffers(self, h: Hyper) -> Mapping[str, float]:
        return {"momentum_buffer": 0.0} if h["momentum"] != 0 else {}

    def _idle(self, h: Hyper) -> bool:
        return bool(h["momentum"] == 0 and h["weight_decay"] == 0)

    def _rule(self, x: Tensor, g: Tensor, t: float, state: State, h: Hyper) -> tuple[Tensor, State]:
        return sign_sgd(
            x,
            g,
            t,
            state,
            alpha=h["lr"],
            mu=h["momentum"],
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
        mu = h["momentum"]
        m = decay_(params, grads, h)
        if mu != 0:
            # Not lerp, which rounds otherwise than `sign_sgd`: where m cancels, the sign would differ.
            share = torch._foreach_mul(m, 1 - mu)
            m = state["momentum_buffer"]
            torch._foreach_mul_(m, mu)
            torch._foreach_add_(m, share)
        torch._foreach_add_(params, torch._foreach_sign(m), alpha=-h["lr"])


class SignSGDReference(Reference, SignSGD):
    """`SignSGD`, stepped by `sign_sgd`."""
