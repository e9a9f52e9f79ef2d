"""Gradient descent, with heavy-ball, averaged or Nesterov momentum."""

from collections.abc import Mapping
from typing import Unpack, get_args

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from adamproof.optimizers.base import Base, State
from adamproof.optimizers.decay import Decay, Tensors, decay_, decayed
from adamproof.optimizers.hyper import How, Hyper
from adamproof.optimizers.reference import Reference


def sgd(
    x: Tensor,
    g: Tensor,
    t: float,
    state: State,
    *,
    alpha: float,
    mu: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    decay: Decay = "l2",
    nesterov: bool = False,
    ema: bool = False,
) -> tuple[Tensor, State]:
    """One step of gradient descent with momentum, out of place.

    Sutskever, Martens, Dahl & Hinton 2013, Eqs. (1)-(4), in b = -v/α; the state and Eq. (4)'s
    gradient are taken at the point x = θ + μ v where Nesterov looks ahead.

    Args:
        x: The parameter.
        g: Its gradient.
        t: The step; the rule does not depend on it.
        state: ``momentum_buffer``, zero before the first step.
        alpha: Learning rate α (the paper's ε).
        mu: Momentum μ.
        dampening: Share of the gradient kept out of the buffer (torch's; not in the paper).
        weight_decay: λ.
        decay: ``l2`` is the penalty λ/2 |x|²; the others are outside the gradient.
        nesterov: Step along g + μ b instead of b.
        ema: Average the gradients: 1 - μ for 1 - dampening.

    Returns:
        The new parameter and the new state.
    """
    x, g = decayed(x, g, alpha=alpha, weight_decay=weight_decay, decay=decay)
    kept = 1 - mu if ema else 1 - dampening
    b = mu * state["momentum_buffer"] + kept * g  # Eq. (1); Eq. (3) if nesterov
    x = x - alpha * (g + mu * b if nesterov else b)  # Eq. (2); Eq. (4) if nesterov
    return x, {"momentum_buffer": b}


class SGD(Base):
    """Gradient descent, with heavy-ball, averaged or Nesterov momentum.

    From b_0 = 0, at each step, with g = ∇f(x), + λ x if ``decay`` is ``"l2"``::

        b = μ b + (1 - dampening) g,  or  μ b + (1 - μ) g  if ema
        x = x - α (g + μ b)  if nesterov,  else  x - α b,  less  d x  with the same x on the right

    ==================  =======================================
    α, μ, λ             ``lr``, ``momentum``, ``weight_decay``
    b                   ``momentum_buffer``, not kept if μ = 0
    d                   see ``decay``
    ==================  =======================================

    Source: Polyak 1964, "Some methods of speeding up the convergence of iteration methods";
    Sutskever, Martens, Dahl & Hinton 2013 (ICML), Eqs. (1)-(4).  Decay outside the gradient:
    Loshchilov & Hutter 2019 (arXiv 1711.05101v3), Algorithm 1.

    Who does which: heavy ball is the default of torch, optax and Keras; averaged momentum is Adam's
    m without its correction, and heavy ball at the rate α (1 - μ).

    Differs from `torch.optim.SGD`: ``dampening`` acts at every step, the first included, and
    also when μ = 0; torch's first buffer is the whole gradient and, when μ = 0, it ignores
    ``dampening``.  With ``dampening`` 0 they agree.
    Differs from the paper: α stands outside b, as in torch, which matters when α changes.

    Args:
        params: Tensors, or groups of them.
        lr: Learning rate α, in [0, inf).
        momentum: μ, in [0, 1).
        dampening: Share of each gradient kept out of b, in [0, 1).
        weight_decay: λ, in [0, inf).
        nesterov: Look ahead; needs ``momentum`` > 0 and ``dampening`` 0, as in torch.
        ema: Average the gradients, in place of adding them up; needs ``momentum`` > 0, and
            ``dampening`` 0, which it replaces.
        decay: ``l2`` adds λ x to the gradient, as torch does; ``coupled`` takes α λ x off the
            parameter, ``uncoupled`` λ x, as the paper does.
        **how: ``maximize``, ``compiled``, ``capturable``, ``differentiable``; see `Base`.

    Raises:
        ValueError: An argument is out of its range, or ``nesterov`` lacks what it needs.
    """

    _counted = False
    _choices = (("decay", get_args(Decay)), ("ema", (True, False)), ("nesterov", (True, False)))

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        ema: bool = False,
        decay: Decay = "l2",
        **how: Unpack[How],
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "ema": ema,
            "decay": decay,
        }
        super().__init__(params, defaults, how)

    def _check(self, h: Hyper) -> None:
        super()._check(h)
        if h["ema"] and (h["momentum"] == 0 or h["dampening"] != 0):
            raise ValueError(
                "ema=True needs momentum in (0, 1) and dampening 0, "
                f"got momentum {h['momentum']!r} and dampening {h['dampening']!r}."
            )
        if h["nesterov"] and (h["momentum"] == 0 or h["dampening"] != 0):
            raise ValueError(
                "nesterov=True needs momentum in (0, 1) and dampening 0, "
                f"got momentum {h['momentum']!r} and dampening {h['dampening']!r}."
            )

    def _buffers(self, h: Hyper) -> Mapping[str, float]:
        return {"momentum_buffer": 0.0} if h["momentum"] != 0 else {}

    def _idle(self, h: Hyper) -> bool:
        return bool(h["momentum"] == 0 and h["weight_decay"] == 0)

    def _rule(self, x: Tensor, g: Tensor, t: float, state: State, h: Hyper) -> tuple[Tensor, State]:
        return sgd(
            x,
            g,
            t,
            state,
            alpha=h["lr"],
            mu=h["momentum"],
            dampening=h["dampening"],
            weight_decay=h["weight_decay"],
            decay=h["decay"],
            nesterov=h["nesterov"],
            ema=h["ema"],
        )

    def _update(
        self,
        params: list[Tensor],
        grads: Tensors,
        state: Mapping[str, list[Tensor]],
        t: list[float],
        h: Hyper,
    ) -> None:
        lr, momentum = h["lr"], h["momentum"]
        undamped = 1 - (momentum if h["ema"] else h["dampening"])
        grads = decay_(params, grads, h)
        if momentum == 0:
            torch._foreach_add_(params, grads, alpha=-lr * undamped)
            return
        b = state["momentum_buffer"]
        torch._foreach_mul_(b, momentum)
        # torch.optim.SGD starts with b = g, undamped.
        torch._foreach_add_(b, grads, alpha=undamped)
        direction = torch._foreach_add(grads, b, alpha=momentum) if h["nesterov"] else b
        torch._foreach_add_(params, direction, alpha=-lr)


class SGDReference(Reference, SGD):
    """`SGD`, stepped by `sgd`."""
