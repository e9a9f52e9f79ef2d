"""Adam: running averages of the gradient and of its square, both corrected for starting at 0."""

from collections.abc import Mapping
from typing import Literal, TypeAlias, Unpack, get_args

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from adamproof.optimizers.base import Base, State
from adamproof.optimizers.decay import Tensors, l2
from adamproof.optimizers.hyper import How, Hyper
from adamproof.optimizers.reference import Reference

EpsBeside: TypeAlias = Literal["corrected", "raw"]


def adam(
    x: Tensor,
    g: Tensor,
    t: float,
    state: State,
    *,
    alpha: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float = 0.0,
    bias_correction: bool = True,
    eps_beside: EpsBeside = "corrected",
) -> tuple[Tensor, State]:
    """One step of Adam, out of place.

    Kingma & Ba 2015 (arXiv 1412.6980v9), Algorithm 1, whose lines carry the remarks below; its other
    order, with ε̂, is at the end of section 2.

    Args:
        x: The parameter (the paper's θ).
        g: Its gradient.
        t: The step; the first is 1.
        state: ``exp_avg`` and ``exp_avg_sq``, the paper's m and v.
        alpha: Stepsize α.
        beta1: Decay rate β1.
        beta2: Decay rate β2.
        eps: ε.
        weight_decay: Factor λ of the penalty λ/2 |x|² (torch's; not in the paper).
        bias_correction: Divide the averages by what they lack for starting at 0.
        eps_beside: The root that ε is added to; beside the ``raw`` one it is the paper's ε̂.

    Returns:
        The new parameter and the new state.
    """
    g = g + weight_decay * x
    m = beta1 * state["exp_avg"] + (1 - beta1) * g  # update biased first moment estimate
    v = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2  # … second raw moment estimate
    if not bias_correction:
        return x - alpha * m / (v.sqrt() + eps), {"exp_avg": m, "exp_avg_sq": v}
    if eps_beside == "raw":
        alpha_t = alpha * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        return x - alpha_t * m / (v.sqrt() + eps), {"exp_avg": m, "exp_avg_sq": v}
    m_hat = m / (1 - beta1**t)  # compute bias-corrected first moment estimate
    v_hat = v / (1 - beta2**t)  # … second raw moment estimate
    x = x - alpha * m_hat / (v_hat.sqrt() + eps)  # update parameters
    return x, {"exp_avg": m, "exp_avg_sq": v}


def adam_(
    params: list[Tensor],
    grads: Tensors,
    state: Mapping[str, list[Tensor]],
    t: list[float],
    h: Hyper,
) -> None:
    """Algorithm 1 in place, over lists; `Adam` and `AdamW` differ in what surrounds it.

    Args:
        params: The parameters, which it changes.
        grads: Their gradients.
        state: ``exp_avg`` and ``exp_avg_sq``, which it changes.
        t: The step each parameter is at.
        h: ``lr``, ``beta1``, ``beta2``, ``eps``; and what `Adam` alone has.
    """
    lr, beta1, beta2 = h["lr"], h["beta1"], h["beta2"]
    m, v = state["exp_avg"], state["exp_avg_sq"]
    torch._foreach_lerp_(m, grads, 1 - beta1)
    torch._foreach_mul_(v, beta2)
    torch._foreach_addcmul_(v, grads, grads, 1 - beta2)
    denominator = torch._foreach_sqrt(v)
    if not h.get("bias_correction", True):
        torch._foreach_add_(denominator, h["eps"])
        torch._foreach_addcdiv_(params, m, denominator, -lr)
        return
    correction1 = [1 - beta1**step for step in t]
    correction2 = [1 - beta2**step for step in t]
    raw = h.get("eps_beside") == "raw"
    if raw:
        torch._foreach_add_(denominator, h["eps"])
    # √v / √correction, not √(v / correction): v̂ would leave float16 long before v does.
    torch._foreach_div_(denominator, [c**0.5 for c in correction2])
    if not raw:
        torch._foreach_add_(denominator, h["eps"])
    torch._foreach_addcdiv_(params, m, denominator, [-lr / c for c in correction1])


class Adam(Base):
    """Adam, with optional L2 regularization.

    From m = v = 0, at step t = 1, 2, …::

        g = ∇f(x) + λ x
        m = β1 m + (1 - β1) g
        v = β2 v + (1 - β2) g²
        m̂ = m / (1 - β1^t)
        v̂ = v / (1 - β2^t)
        x = x - α m̂ / (√v̂ + ε)

    Without ``bias_correction``, m̂ = m and v̂ = v.  With ``eps_beside="raw"`` the last line is::

        x = x - α √(1 - β2^t) / (1 - β1^t) · m / (√v + ε)

    ==================  ============================================
    α, (β1, β2), ε, λ   ``lr``, ``betas``, ``eps``, ``weight_decay``
    m, v                ``exp_avg``, ``exp_avg_sq``
    ==================  ============================================

    Source: Kingma & Ba 2015 (arXiv 1412.6980v9), Algorithm 1, and for ``"raw"`` the end of section 2,
    whose ε̂ is ε √(1 - β2^t); λ = 0 there.

    Who does which: ``"corrected"`` is torch and optax, ``"raw"`` TensorFlow and Keras.  The
    optimizer that BERT was released with does not correct (Mosbach et al. 2021, arXiv 2006.04884).

    The same rule as `torch.optim.Adam`; its ``amsgrad=True`` is `AMSGrad` with
    ``correction="after_max"``.  For weight decay outside the averages, see `AdamW`.

    Args:
        params: Tensors, or groups of them.
        lr: Learning rate α, in [0, inf).
        betas: Decay rates of the two averages, each in [0, 1).
        eps: ε, in [0, inf).  With 0, or where it rounds to 0 in the dtype of the parameter (the
            default does in float16), a coordinate that has had only zero gradients becomes NaN.
        weight_decay: λ, in [0, inf): L2, added to the gradient.
        bias_correction: Correct the averages for starting at 0.
        eps_beside: The root that ε is added to, ``corrected`` or ``raw``.
        **how: ``maximize``, ``compiled``, ``capturable``, ``differentiable``; see `Base`.

    Raises:
        ValueError: An argument is out of its range.
    """

    _choices = (("bias_correction", (True, False)), ("eps_beside", get_args(EpsBeside)))

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        bias_correction: bool = True,
        eps_beside: EpsBeside = "corrected",
        **how: Unpack[How],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "bias_correction": bias_correction,
            "eps_beside": eps_beside,
        }
        super().__init__(params, defaults, how)

    def _buffers(self, h: Hyper) -> Mapping[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def _rule(self, x: Tensor, g: Tensor, t: float, state: State, h: Hyper) -> tuple[Tensor, State]:
        return adam(
            x,
            g,
            t,
            state,
            alpha=h["lr"],
            beta1=h["beta1"],
            beta2=h["beta2"],
            eps=h["eps"],
            weight_decay=h["weight_decay"],
            bias_correction=h["bias_correction"],
            eps_beside=h["eps_beside"],
        )

    def _update(
        self,
        params: list[Tensor],
        grads: Tensors,
        state: Mapping[str, list[Tensor]],
        t: list[float],
        h: Hyper,
    ) -> None:
        adam_(params, l2(grads, params, h["weight_decay"]), state, t, h)


class AdamReference(Reference, Adam):
    """`Adam`, stepped by `adam`."""
