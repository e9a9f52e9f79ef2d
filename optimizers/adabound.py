"""AdaBound and AMSBound: Adam and AMSGrad whose rates are kept between two bounds that close."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, Unpack, get_args

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from adamproof.optimizers.base import Base, State
from adamproof.optimizers.decay import Decay, Tensors, decay_, decayed
from adamproof.optimizers.hyper import How, Hyper
from adamproof.optimizers.reference import Reference

Schedule: TypeAlias = Literal["constant", "sqrt"]


def adabound(
    x: Tensor,
    g: Tensor,
    t: float,
    state: State,
    *,
    alpha: float,
    beta1: float,
    beta2: float,
    final: float,
    gamma: float,
    eps: float,
    schedule: Schedule = "constant",
    weight_decay: float = 0.0,
    decay: Decay = "l2",
) -> tuple[Tensor, State]:
    """One step of AdaBound, out of place.

    Luo et al. 2019 (arXiv 1902.09843v1), Algorithm 2, without the projection; its lines carry the
    remarks below.

    Args:
        x: The parameter.
        g: Its gradient.
        t: The step; the first is 1.
        state: ``exp_avg`` and ``exp_avg_sq``, the paper's m and v.
        alpha: Initial step size α.
        beta1: β1, the same at every step.
        beta2: β2.
        final: α*, the rate that the bounds close in on.
        gamma: How fast they do, γ.
        eps: Added to the root; not if `schedule` is ``sqrt``.
        schedule: See `AdaBound`.
        weight_decay: λ (not in the paper).
        decay: Where λ acts.

    Returns:
        The new parameter and the new state.
    """
    x, g = decayed(x, g, alpha=alpha, weight_decay=weight_decay, decay=decay)
    m = beta1 * state["exp_avg"] + (1 - beta1) * g  # m_t
    v = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2  # v_t and V_t
    lower, upper = bounds(final, gamma, t)
    if schedule == "sqrt":
        rate = (alpha / v.sqrt()).clamp(lower, upper) / t**0.5  # η̂_t, and η_t = η̂_t / √t
    else:
        rate = (rate_of_adam(alpha, beta1, beta2, t) / (v.sqrt() + eps)).clamp(lower, upper)
    return x - rate * m, {"exp_avg": m, "exp_avg_sq": v}  # x_{t+1}


def amsbound(
    x: Tensor,
    g: Tensor,
    t: float,
    state: State,
    *,
    alpha: float,
    beta1: float,
    beta2: float,
    final: float,
    gamma: float,
    eps: float,
    schedule: Schedule = "constant",
    weight_decay: float = 0.0,
    decay: Decay = "l2",
) -> tuple[Tensor, State]:
    """One step of AMSBound, out of place.

    Luo et al. 2019 (arXiv 1902.09843v1), Algorithm 3: Algorithm 2 with the maximum of the v so far.

    Args:
        x: The parameter.
        g: Its gradient.
        t: The step; the first is 1.
        state: ``exp_avg``, ``exp_avg_sq`` and ``max_exp_avg_sq``, the paper's m, v and v̂.
        alpha: Initial step size α.
        beta1: β1, the same at every step.
        beta2: β2.
        final: α*, the rate that the bounds close in on.
        gamma: How fast they do, γ.
        eps: Added to the root; not if `schedule` is ``sqrt``.
        schedule: See `AdaBound`.
        weight_decay: λ (not in the paper).
        decay: Where λ acts.

    Returns:
        The new parameter and the new state.
    """
    x, g = decayed(x, g, alpha=alpha, weight_decay=weight_decay, decay=decay)
    m = beta1 * state["exp_avg"] + (1 - beta1) * g  # m_t
    v = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2  # v_t
    v_max = torch.maximum(state["max_exp_avg_sq"], v)  # v̂_t and V_t
    lower, upper = bounds(final, gamma, t)
    if schedule == "sqrt":
        rate = (alpha / v_max.sqrt()).clamp(lower, upper) / t**0.5  # η_t
    else:
        rate = (rate_of_adam(alpha, beta1, beta2, t) / (v_max.sqrt() + eps)).clamp(lower, upper)
    return x - rate * m, {"exp_avg": m, "exp_avg_sq": v, "max_exp_avg_sq": v_max}  # x_{t+1}


def bounds(final: float, gamma: float, t: Any) -> tuple[Any, Any]:
    """Between what a rate is kept: η_l(t) and η_u(t) of the paper's experiments (its section 5).

    The paper writes them for α* = 0.1 and γ = 1 - β2.

    Args:
        final: α*, to which both tend.
        gamma: γ, above 0.
        t: The step; the first is 1.

    Returns:
        The lower and the upper bound.
    """
    return final * (1 - 1 / (gamma * t + 1)), final * (1 + 1 / (gamma * t))


def rate_of_adam(alpha: float, beta1: float, beta2: float, t: Any) -> Any:
    """Adam's rate with both of its corrections, to be divided by the raw root.

    Args:
        alpha: Learning rate α.
        beta1: β1.
        beta2: β2.
        t: The step.

    Returns:
        α √(1 - β2^t) / (1 - β1^t).
    """
    return alpha * (1 - beta2**t) ** 0.5 / (1 - beta1**t)


class AdaBound(Base):
    """Adam whose rate, coordinate by coordinate, is kept between two bounds that close.

    From m = v = 0, at step t = 1, 2, …, with g = ∇f(x), + λ x if ``decay`` is ``"l2"``::

        m = β1 m + (1 - β1) g
        v = β2 v + (1 - β2) g²
        lower = α* (1 - 1 / (γ t + 1)),  upper = α* (1 + 1 / (γ t))
        η = α √(1 - β2^t) / (1 - β1^t) / (√v + ε)   if schedule is "constant"
        η = α / √v                                   if schedule is "sqrt"
        η = min(max(η, lower), upper),  and then η = η / √t  if schedule is "sqrt"
        x = x - η m

    less d x with the same x on the right, d = α λ if ``decay`` is ``"coupled"``, λ if
    ``"uncoupled"``.

    ======================  ==========================================================
    α, (β1, β2), α*, γ      ``lr``, ``betas``, ``final_lr``, ``gamma``
    ε, λ                    ``eps``, ``weight_decay``
    m, v                    ``exp_avg``, ``exp_avg_sq``
    ======================  ==========================================================

    Source: Luo et al. 2019 (arXiv 1902.09843v1), Algorithm 2, with the bounds of section 5 and β1
    constant; λ = 0 there.

    Who does which: ``"sqrt"`` is the paper's algorithm, for which it has a theorem, with neither
    corrections nor ε; ``"constant"`` is the authors' code, which is what their experiments ran.  It
    corrects m inside the rate that is clipped: once the bounds have closed, what is left is
    x = x - α* m, averaged momentum.

    Differs from the authors' code: under a schedule of the learning rate, that code scales both bounds
    too, by ``lr`` over the ``lr`` it was constructed with.  Here they follow ``final_lr`` alone, as in
    the paper: let the schedule change ``final_lr`` in the groups as well, or else ``lr`` has no say once
    the bounds have closed.  Its ``AdaBoundW`` is ``decay="uncoupled"``.

    Args:
        params: Tensors, or groups of them.
        lr: Initial step size α, in [0, inf).  Even 0 is raised to the lower bound.
        betas: Decay rates of the two averages, each in [0, 1).
        final_lr: α*, in [0, inf).
        gamma: γ, in (0, inf): at step 1/γ the bounds are α*/2 and 2 α*.
        eps: ε, in [0, inf); not looked at if ``schedule`` is ``"sqrt"``.  It may be 0: where v is 0 the
            rate is the upper bound, unless ``lr`` is 0 as well, which makes it NaN (in ``"sqrt"`` too).
        weight_decay: λ, in [0, inf).
        schedule: Which of the two.
        decay: Where λ acts, ``l2``, ``coupled`` or ``uncoupled``.
        **how: ``maximize``, ``compiled``, ``capturable``, ``differentiable``; see `Base`.

    Raises:
        ValueError: An argument is out of its range.
    """

    _choices = (("schedule", get_args(Schedule)), ("decay", get_args(Decay)))

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        final_lr: float = 0.1,
        gamma: float = 1e-3,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        schedule: Schedule = "constant",
        decay: Decay = "l2",
        **how: Unpack[How],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "final_lr": final_lr,
            "gamma": gamma,
            "eps": eps,
            "weight_decay": weight_decay,
            "schedule": schedule,
            "decay": decay,
        }
        super().__init__(params, defaults, how)

    def _check(self, h: Hyper) -> None:
        super()._check(h)
        if h["gamma"] == 0:
            raise ValueError(
                f"gamma must be a number in (0, inf), got {h['gamma']!r}: the upper bound divides by it."
            )

    def _buffers(self, h: Hyper) -> Mapping[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def _rule(self, x: Tensor, g: Tensor, t: float, state: State, h: Hyper) -> tuple[Tensor, State]:
        return adabound(x, g, t, state, **_named(h))

    def _update(
        self,
        params: list[Tensor],
        grads: Tensors,
        state: Mapping[str, list[Tensor]],
        t: list[float],
        h: Hyper,
    ) -> None:
        lr, beta1, beta2, final, gamma = (h[n] for n in ("lr", "beta1", "beta2", "final_lr", "gamma"))
        m, v, v_max = state["exp_avg"], state["exp_avg_sq"], state.get("max_exp_avg_sq")
        grads = decay_(params, grads, h)
        torch._foreach_lerp_(m, grads, 1 - beta1)
        torch._foreach_mul_(v, beta2)
        torch._foreach_addcmul_(v, grads, grads, 1 - beta2)
        if v_max is not None:
            torch._foreach_maximum_(v_max, v)
        rates = torch._foreach_sqrt(v if v_max is None else v_max)
        if h["schedule"] == "constant":
            torch._foreach_add_(rates, h["eps"])
            # 1 / (√v / α), not 1 / √v · α: 1 / √v would leave float16 long before the rate does.
            torch._foreach_div_(rates, [rate_of_adam(lr, beta1, beta2, step) for step in t])
        else:
            torch._foreach_div_(rates, lr)
        torch._foreach_reciprocal_(rates)
        both = [bounds(final, gamma, step) for step in t]
        torch._foreach_clamp_min_(rates, [lower for lower, _ in both])
        torch._foreach_clamp_max_(rates, [upper for _, upper in both])
        if h["schedule"] == "sqrt":
            torch._foreach_div_(rates, [step**0.5 for step in t])
        torch._foreach_addcmul_(params, rates, m, -1)


class AMSBound(AdaBound):
    """AMSGrad whose rate, coordinate by coordinate, is kept between two bounds that close.

    `AdaBound`, with V = max(V, v) in place of v in the rate, from V = 0.  V is of the raw v, and in the
    ``"constant"`` schedule corrected afterwards.

    ======================  ==========================================================
    α, (β1, β2), α*, γ      ``lr``, ``betas``, ``final_lr``, ``gamma``
    ε, λ                    ``eps``, ``weight_decay``
    m, v, V                 ``exp_avg``, ``exp_avg_sq``, ``max_exp_avg_sq``
    ======================  ==========================================================

    Source: Luo et al. 2019 (arXiv 1902.09843v1), Algorithm 3 (V is the paper's v̂).

    Who does which: as with `AdaBound`; ``"constant"`` is the authors' ``amsbound=True``.

    Takes the arguments of `AdaBound`.

    Raises:
        ValueError: An argument is out of its range.
    """

    def _buffers(self, h: Hyper) -> Mapping[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0, "max_exp_avg_sq": 0.0}

    def _rule(self, x: Tensor, g: Tensor, t: float, state: State, h: Hyper) -> tuple[Tensor, State]:
        return amsbound(x, g, t, state, **_named(h))


def _named(h: Hyper) -> dict[str, Any]:
    """The hyper-parameters under the names of the pure functions."""
    kept = ("beta1", "beta2", "gamma", "eps", "schedule", "weight_decay", "decay")
    return {"alpha": h["lr"], "final": h["final_lr"]} | {name: h[name] for name in kept}


class AdaBoundReference(Reference, AdaBound):
    """`AdaBound`, stepped by `adabound`."""


class AMSBoundReference(Reference, AMSBound):
    """`AMSBound`, stepped by `amsbound`."""
