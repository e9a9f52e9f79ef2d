"""RAdam: Adam that waits until it can estimate its own step."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, Unpack, get_args

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from adamproof.optimizers.base import Base, State, chosen
from adamproof.optimizers.decay import Decay, Tensors, decay_, decayed
from adamproof.optimizers.hyper import How, Hyper
from adamproof.optimizers.reference import Reference

Before: TypeAlias = Literal["momentum", "nothing"]
THRESHOLDS = (4, 5)


def radam(
    x: Tensor,
    g: Tensor,
    t: float,
    state: State,
    *,
    alpha: float,
    beta1: float,
    beta2: float,
    eps: float,
    threshold: float = 5,
    before: Before = "momentum",
    weight_decay: float = 0.0,
    decay: Decay = "l2",
) -> tuple[Tensor, State]:
    """One step of RAdam, out of place.

    Liu et al. 2020 (arXiv 1908.03265v4), Algorithm 2, whose lines carry the remarks below.

    Args:
        x: The parameter (the paper's θ).
        g: Its gradient.
        t: The step; the first is 1.
        state: ``exp_avg`` and ``exp_avg_sq``, the paper's m and v.
        alpha: Stepsize α.
        beta1: Decay rate β1.
        beta2: Decay rate β2.
        eps: Added to the root of v (0 in the paper).
        threshold: The length ρ_t of the average above which the step is rectified.
        before: What is done up to there.
        weight_decay: λ (not in the paper).
        decay: Where λ acts.

    Returns:
        The new parameter and the new state.
    """
    x, g = decayed(x, g, alpha=alpha, weight_decay=weight_decay, decay=decay)
    m = beta1 * state["exp_avg"] + (1 - beta1) * g  # update exponential moving 1st moment
    v = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2  # … 2nd moment
    m_hat = m / (1 - beta1**t)  # compute bias-corrected moving average
    rho, rho_inf = lengths(beta2, t)  # compute the length of the approximated SMA

    def rectified() -> Any:
        adaptive = (1 - beta2**t) ** 0.5 / (v.sqrt() + eps)  # compute adaptive learning rate
        return adaptive * m_hat * (alpha * rectifier(rho, rho_inf))  # … with adaptive momentum

    def unadapted() -> Any:
        if before == "nothing":
            return torch.zeros_like(m_hat)
        return alpha * m_hat  # … with un-adapted momentum

    return x - chosen(rho > threshold, rectified, unadapted), {"exp_avg": m, "exp_avg_sq": v}


def lengths(beta2: float, t: Any) -> tuple[Any, float]:
    """How many gradients the average of squares is worth (the paper's section 4).

    Args:
        beta2: Decay rate β2.
        t: The step.

    Returns:
        ρ_t and ρ_∞.
    """
    rho_inf = 2 / (1 - beta2) - 1
    return rho_inf - 2 * t * beta2**t / (1 - beta2**t), rho_inf


def rectifier(rho: Any, rho_inf: float) -> Any:
    """The factor r_t that gives the step the variance that it will have.

    Args:
        rho: ρ_t, above 4.
        rho_inf: ρ_∞.

    Returns:
        r_t, in (0, 1).
    """
    return ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5


class RAdam(Base):
    """Adam whose first steps do without its denominator, and whose next ones are rectified.

    From m = v = 0, at step t = 1, 2, …, with g = ∇f(x), + λ x if ``decay`` is ``"l2"``::

        m = β1 m + (1 - β1) g,  m̂ = m / (1 - β1^t)
        v = β2 v + (1 - β2) g²
        ρ∞ = 2 / (1 - β2) - 1,  ρ = ρ∞ - 2 t β2^t / (1 - β2^t)
        r = √((ρ - 4) (ρ - 2) ρ∞ / ((ρ∞ - 4) (ρ∞ - 2) ρ))
        x = x - α r m̂ √(1 - β2^t) / (√v + ε)      if ρ > threshold
        x = x - α m̂                               else; x = x if before is "nothing"

    less d x with the same x on the right, d = α λ if ``decay`` is ``"coupled"``, λ if
    ``"uncoupled"``.

    ==================  ============================================
    α, (β1, β2), ε, λ   ``lr``, ``betas``, ``eps``, ``weight_decay``
    m, v                ``exp_avg``, ``exp_avg_sq``
    ==================  ============================================

    Source: Liu et al. 2020 (arXiv 1908.03265v4), Algorithm 2; ε = 0 and λ = 0 there.

    Who does which: the paper has the threshold 4; the authors' code, `torch.optim.RAdam` and optax
    have 5.  Below it, torch and optax step along m̂; the authors' code does nothing unless it is told
    to (``degenerated_to_sgd``), and does not decay then either; ``before="nothing"`` decays at every
    step.  Where β2 <= 0.6, ρ∞ is at most 4 and no step is ever rectified.

    Args:
        params: Tensors, or groups of them.
        lr: Learning rate α, in [0, inf).  Below the threshold it is that of momentum, not of Adam.
        betas: Decay rates of the two averages, each in [0, 1).
        eps: ε, in [0, inf).  With 0, or where it rounds to 0 in the dtype of the parameter (the
            default does in float16), a coordinate that has had only zero gradients becomes NaN.
        weight_decay: λ, in [0, inf).
        threshold: 4 or 5.
        before: What is done up to the threshold.
        decay: Where λ acts: ``coupled`` is torch's ``decoupled_weight_decay=True``.
        **how: ``maximize``, ``compiled``, ``capturable``, ``differentiable``; see `Base`.

    Raises:
        ValueError: An argument is out of its range.
    """

    _choices = (("threshold", THRESHOLDS), ("before", get_args(Before)), ("decay", get_args(Decay)))

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        threshold: Literal[4, 5] = 5,
        before: Before = "momentum",
        decay: Decay = "l2",
        **how: Unpack[How],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "threshold": threshold,
            "before": before,
            "decay": decay,
        }
        super().__init__(params, defaults, how)

    def _buffers(self, h: Hyper) -> Mapping[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def _rule(self, x: Tensor, g: Tensor, t: float, state: State, h: Hyper) -> tuple[Tensor, State]:
        return radam(
            x,
            g,
            t,
            state,
            alpha=h["lr"],
            beta1=h["beta1"],
            beta2=h["beta2"],
            eps=h["eps"],
            threshold=h["threshold"],
            before=h["before"],
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
        m, v = state["exp_avg"], state["exp_avg_sq"]
        grads = decay_(params, grads, h)
        torch._foreach_lerp_(m, grads, 1 - beta1)
        torch._foreach_mul_(v, beta2)
        torch._foreach_addcmul_(v, grads, grads, 1 - beta2)
        late: list[int] = []
        for k, step in enumerate(t):
            rho, _ = lengths(beta2, step)
            if rho > h["threshold"]:
                late.append(k)
            elif h["before"] == "momentum":
                params[k].add_(m[k], alpha=-lr / (1 - beta1**step))
        if not late:
            return
        denominator = torch._foreach_sqrt([v[k] for k in late])
        torch._foreach_add_(denominator, h["eps"])
        rates = [
            -lr * rectifier(*lengths(beta2, t[k])) * (1 - beta2 ** t[k]) ** 0.5 / (1 - beta1 ** t[k])
            for k in late
        ]
        torch._foreach_addcdiv_([params[k] for k in late], [m[k] for k in late], denominator, rates)


class RAdamReference(Reference, RAdam):
    """`RAdam`, stepped by `radam`."""
