"""NAdam: Adam with Nesterov's look ahead."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, Unpack, get_args

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from adamproof.optimizers.base import Base, State
from adamproof.optimizers.decay import Decay, Tensors, decay_, decayed
from adamproof.optimizers.hyper import How, Hyper
from adamproof.optimizers.reference import Reference

Form: TypeAlias = Literal["frameworks", "dozat", "constant"]


def nadam(
    x: Tensor,
    g: Tensor,
    t: float,
    state: State,
    *,
    alpha: float,
    beta1: float,
    beta2: float,
    eps: float,
    psi: float = 4e-3,
    form: Form = "frameworks",
    weight_decay: float = 0.0,
    decay: Decay = "l2",
) -> tuple[Tensor, State]:
    """One step of NAdam, out of place.

    Dozat 2016, "Incorporating Nesterov Momentum into Adam" (ICLR workshop), Algorithm 2, with the
    momentum schedule of its section on experiments.  Algorithm 2 multiplies n̂ by another ν, which nobody
    takes over: left away here as well, in every form.

    Args:
        x: The parameter (the paper's θ).
        g: Its gradient.
        t: The step; the first is 1.
        state: ``exp_avg`` and ``exp_avg_sq``, the paper's m and n; ``mu_product``, a number, the
            product of the μ so far, 1 before the first step; not for ``constant``.
        alpha: Learning rate α.
        beta1: The momentum that μ_t tends to (the paper's μ).
        beta2: Decay rate β2 (the paper's ν).
        eps: ε.
        psi: Rate ψ at which the momentum rises.
        form: Which of the forms; see `NAdam`.
        weight_decay: λ (not in the paper).
        decay: Where λ acts.

    Returns:
        The new parameter and the new state.
    """
    x, g = decayed(x, g, alpha=alpha, weight_decay=weight_decay, decay=decay)
    new: dict[str, Any] = {}
    if form == "constant":
        mu, mu_next, product, next_product = beta1, beta1, beta1**t, beta1 ** (t + 1)
    else:
        mu, mu_next = momenta(beta1, psi, t)
        product = state["mu_product"] * mu
        next_product = product * mu_next
        new["mu_product"] = product
    average = mu if form == "dozat" else beta1
    m = average * state["exp_avg"] + (1 - average) * g
    v = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2
    g_hat = g / (1 - product)
    m_hat = m / (1 - next_product)
    v_hat = v / (1 - beta2**t)
    x = x - alpha * ((1 - mu) * g_hat + mu_next * m_hat) / (v_hat.sqrt() + eps)
    return x, new | {"exp_avg": m, "exp_avg_sq": v}


def momenta(beta1: float, psi: float, t: float) -> tuple[float, float]:
    """The momentum μ_t = β1 (1 - 0.96^(t ψ) / 2), and that of the next step.

    Args:
        beta1: What it tends to.
        psi: How fast.
        t: The step.

    Returns:
        μ_t and μ_{t+1}.
    """
    return beta1 * (1 - 0.5 * 0.96 ** (t * psi)), beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * psi))


class NAdam(Base):
    """Adam whose momentum looks ahead, as Nesterov's does.

    From m = v = 0 and M = 1, at step t = 1, 2, …, with g = ∇f(x), + λ x if ``decay`` is ``"l2"``::

        μ = β1 (1 - 0.96^(t ψ) / 2),  μ' = that of step t + 1,  M = M μ
        m = β1 m + (1 - β1) g            or  μ m + (1 - μ) g  if form is "dozat"
        v = β2 v + (1 - β2) g²
        x = x - α ((1 - μ) g / (1 - M) + μ' m / (1 - M μ')) / (√(v / (1 - β2^t)) + ε)

    less d x with the same x on the right, d = α λ if ``decay`` is ``"coupled"``, λ if
    ``"uncoupled"``.  With ``form="constant"``, μ = μ' = β1 and M = β1^t.

    ======================  ==========================================================
    α, (β1, β2), ε, ψ, λ    ``lr``, ``betas``, ``eps``, ``momentum_decay``, ``weight_decay``
    m, v                    ``exp_avg``, ``exp_avg_sq``
    M                       ``mu_product``, a number; not kept if ``form`` is ``"constant"``
    ======================  ==========================================================

    Source: Dozat 2016, "Incorporating Nesterov Momentum into Adam" (ICLR workshop), Algorithm 2.

    Who does which: ``"frameworks"`` is `torch.optim.NAdam` and Keras, which average the gradients with
    β1 though they correct with μ; ``"dozat"`` averages with μ, as the paper does; ``"constant"`` is
    both of them without a schedule, and ``optax.nadam``.  The paper's Algorithm 2 has v̂ with another
    factor β2, which would make each step longer by 1/√β2; none of these has it, nor is it here.

    Args:
        params: Tensors, or groups of them.
        lr: Learning rate α, in [0, inf).
        betas: The momentum's limit and the decay rate of v, each in [0, 1).
        eps: ε, in [0, inf).  With 0, or where it rounds to 0 in the dtype of the parameter (the
            default does in float16), a coordinate that has had only zero gradients becomes NaN.
        weight_decay: λ, in [0, inf).
        momentum_decay: ψ, in [0, inf).
        form: Which of the forms.
        decay: Where λ acts: ``coupled`` is torch's ``decoupled_weight_decay=True``.
        **how: ``maximize``, ``compiled``, ``capturable``, ``differentiable``; see `Base`.

    Raises:
        ValueError: An argument is out of its range.
    """

    _choices = (("form", get_args(Form)), ("decay", get_args(Decay)))

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        *,
        form: Form = "frameworks",
        decay: Decay = "l2",
        **how: Unpack[How],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "form": form,
            "decay": decay,
        }
        super().__init__(params, defaults, how)

    def _buffers(self, h: Hyper) -> Mapping[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def _scalars(self, h: Hyper) -> Mapping[str, float]:
        return {} if h["form"] == "constant" else {"mu_product": 1.0}

    def _rule(self, x: Tensor, g: Tensor, t: float, state: State, h: Hyper) -> tuple[Tensor, State]:
        return nadam(
            x,
            g,
            t,
            state,
            alpha=h["lr"],
            beta1=h["beta1"],
            beta2=h["beta2"],
            eps=h["eps"],
            psi=h["momentum_decay"],
            form=h["form"],
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
        lr, beta1, beta2, form = h["lr"], h["beta1"], h["beta2"], h["form"]
        m, v = state["exp_avg"], state["exp_avg_sq"]
        grads = decay_(params, grads, h)
        if form == "constant":
            mu = mu_next = [beta1 for _ in t]
            product = [beta1**step for step in t]
        else:
            both = [momenta(beta1, h["momentum_decay"], step) for step in t]
            mu, mu_next = [a for a, _ in both], [b for _, b in both]
            product = [a.item() * b for a, b in zip(state["mu_product"], mu, strict=True)]
            for kept, number in zip(state["mu_product"], product, strict=True):
                kept.fill_(number)
        if form == "dozat":
            torch._foreach_mul_(m, mu)
            torch._foreach_add_(m, torch._foreach_mul(grads, [1 - a for a in mu]))
        else:
            torch._foreach_lerp_(m, grads, 1 - beta1)
        torch._foreach_mul_(v, beta2)
        torch._foreach_addcmul_(v, grads, grads, 1 - beta2)
        denominator = torch._foreach_sqrt(v)
        torch._foreach_div_(denominator, [(1 - beta2**step) ** 0.5 for step in t])
        torch._foreach_add_(denominator, h["eps"])
        of_g = [-lr * (1 - a) / (1 - p) for a, p in zip(mu, product, strict=True)]
        of_m = [-lr * a / (1 - p * a) for a, p in zip(mu_next, product, strict=True)]
        torch._foreach_addcdiv_(params, grads, denominator, of_g)
        torch._foreach_addcdiv_(params, m, denominator, of_m)


class NAdamReference(Reference, NAdam):
    """`NAdam`, stepped by `nadam`."""
