"""SWATS: Adam until its steps say at which rate gradient descent would do as well; then that."""

from collections.abc import Iterable, Mapping
from math import inf
from typing import Any, Unpack, get_args

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from adamproof.optimizers.base import Base, State, Work
from adamproof.optimizers.decay import Decay, Tensors, decay_, decayed
from adamproof.optimizers.hyper import How, Hyper, hyper_parameters
from adamproof.optimizers.reference import Reference


def swats(
    x: Tensor,
    g: Tensor,
    t: float,
    state: State,
    *,
    alpha: float,
    beta1: float,
    beta2: float,
    eps: float,
    rate: float | None = None,
    weight_decay: float = 0.0,
    decay: Decay = "l2",
) -> tuple[Tensor, State, tuple[Tensor, Tensor] | None]:
    """One step of SWATS for one of the tensors that make up the paper's w, out of place.

    Keskar & Socher 2017 (arXiv 1712.07628v1), Algorithm 1, whose lines carry the remarks below.  What
    the algorithm does with all of w, once per step, is `watched`.

    Args:
        x: The parameter (the paper's w).
        g: Its gradient.
        t: The step (the paper's k); the first is 1.
        state: ``exp_avg`` and ``exp_avg_sq``, the paper's m and a; or, with a rate, ``momentum_buffer``,
            its v.
        alpha: Adam's learning rate α.
        beta1: β1.
        beta2: β2.
        eps: ε beside the root.
        rate: The paper's Λ; None while the phase is Adam.
        weight_decay: λ (not in the paper).
        decay: Where λ acts.

    Returns:
        The new parameter; the new state; and, in the phase of Adam, the share of this tensor in p·p and
        in p·g.
    """
    share = alpha if rate is None else rate
    x, g = decayed(x, g, alpha=share, weight_decay=weight_decay, decay=decay)
    if rate is not None:  # if phase = SGD
        v = beta1 * state["momentum_buffer"] + g
        return x - (1 - beta1) * rate * v, {"momentum_buffer": v}, None
    m = beta1 * state["exp_avg"] + (1 - beta1) * g
    a = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2
    p = -alpha * (1 - beta2**t) ** 0.5 / (1 - beta1**t) * m / (a.sqrt() + eps)
    return x + p, {"exp_avg": m, "exp_avg_sq": a}, (dot(p, p), dot(p, g))


def dot(a: Tensor, b: Tensor) -> Tensor:
    """The scalar product, in float64: squares of small steps leave the half types, and float32.

    Args:
        a: A tensor.
        b: One of the same shape.

    Returns:
        A number, as a tensor.
    """
    return torch.dot(a.double().flatten(), b.double().flatten())


def projected_rate(pp: float, pg: float) -> float | None:
    """The rate γ at which the step -γ g of gradient descent projects orthogonally onto p as p itself.

    The paper's Eq. (4): p · (-γ g - p) = 0.

    Args:
        pp: p·p, of a step p of Adam.
        pg: p·g, of that step and the gradient.

    Returns:
        γ, of the sign of -p·g; None where p·g = 0, as then there is none.
    """
    return None if pg == 0 else pp / -pg


def watched(
    gamma: float | None,
    k: int,
    average: float,
    *,
    beta2: float,
    tolerance: float,
    positive: bool = False,
) -> tuple[float, float | None]:
    """What Algorithm 1 does with the projected rate, once per step of Adam.

    Args:
        gamma: γ_k, from `projected_rate`.
        k: The step; the first is 1.
        average: λ_{k-1}; 0 before the first step.
        beta2: β2.
        tolerance: ε beside which the rate has settled.
        positive: Settle for no rate that is not above 0 (not in the paper).

    Returns:
        λ_k; and Λ, if this was the last step of Adam, else None.
    """
    if gamma is None:
        return average, None  # λ_k = λ_{k-1}
    average = beta2 * average + (1 - beta2) * gamma
    corrected = average / (1 - beta2**k)
    settled = k > 1 and abs(corrected - gamma) < tolerance and (corrected > 0 or not positive)
    return average, corrected if settled else None


class SWATS(Base):
    """Adam, and from some step on gradient descent with momentum, at a rate that Adam's steps tell.

    From m = a = 0 and λ = 0, at step k = 1, 2, …, with g = ∇f(x), + λd x if ``decay`` is ``"l2"``::

        m = β1 m + (1 - β1) g
        a = β2 a + (1 - β2) g²
        p = -α √(1 - β2^k) / (1 - β1^k) · m / (√a + ε)
        x = x + p
        and, if p·g ≠ 0:
            γ = p·p / (-p·g)
            λ = β2 λ + (1 - β2) γ
            if k > 1 and |λ / (1 - β2^k) - γ| < tolerance (and λ > 0 if positive):
                Λ = λ / (1 - β2^k), and from the next step on, from v = 0,

        v = β1 v + g
        x = x - (1 - β1) Λ v

    less d x with the same x on the right, d = α λd (after the switch Λ λd) if ``decay`` is
    ``"coupled"``, λd if ``"uncoupled"``.

    ======================  ==========================================================
    α, (β1, β2), ε, λd      ``lr``, ``betas``, ``eps``, ``weight_decay``
    m, a                    ``exp_avg``, ``exp_avg_sq``; dropped after the switch
    v                       ``momentum_buffer``; kept from the switch on
    k, λ, Λ                 ``steps``, ``average``, ``rate`` of the group
    ======================  ==========================================================

    p·p and p·g run over all the parameters of a group, the paper's vector w: each group switches as a
    whole, when its own rate has settled.  What belongs to the group is kept in it, as numbers of
    Python, so that a checkpoint loses no digit of them; ``rate`` is None until the switch.  A parameter
    has its own step in the corrections of m and a, where it has had fewer gradients than others.

    After the switch ``lr`` is not read any more, and a schedule of it does nothing: change ``rate`` in
    the group.

    Source: Keskar & Socher 2017 (arXiv 1712.07628v1), Algorithm 1; λd = 0 there.  It has one ε for the
    root and for the tolerance, 1e-9.

    Who does which: the implementations that are passed around (``Mrpatekful/swats``,
    ``pytorch_optimizer``) have a γ for each tensor, and the first tensor whose γ has settled
    switches the whole group in the middle of a step, with its own rate; they write Λ over ``lr``;
    and to settle is to be close relatively (``allclose``), not absolutely as in the paper.
    They switch to nothing that is not above 0, which is ``positive``.

    Differs from the paper: γ is negative where momentum carries Adam uphill (the claim
    ``swats-projection``).  There the paper averages it with the others, as is done here; but Λ
    itself could settle below 0, and would then climb for the rest of the run, so that the
    switch waits, unless ``positive`` is False.

    A γ that is infinite or NaN (where a gradient is, or where p·g is all but 0) stays in λ for ever, and
    the switch never comes.  Nor does it with gradients so noisy that γ is nowhere near its average
    within the tolerance; with 1e-9 that is usual, and people take 1e-5.  In low precision γ, computed
    in float64 from p and g as they are, has the digits of p.

    It is not coordinate-wise, so that it does not step in one kernel, nor without fetching numbers from
    the device, nor differentiably; and a DTensor is refused, as a process has only a part of it.
    Shards that do not say that they are (FSDP with flat parameters, ZeRO) must not be given to it: each
    process would switch by itself.  The device must have float64.

    Args:
        params: Tensors, or groups of them.
        lr: Adam's learning rate α, in [0, inf).
        betas: Decay rates of the averages, each in [0, 1); β1 is also the momentum after the switch.
        eps: ε beside the root, in [0, inf).  With 0, or where it rounds to 0 in the dtype of the
            parameter (the default does in float16), a coordinate that has had only zero gradients
            becomes NaN.
        weight_decay: λd, in [0, inf).
        tolerance: How near γ and its average have to be for the switch, in [0, inf); 0 is never.
        positive: Switch to a rate above 0 only.
        decay: Where λd acts, ``l2``, ``coupled`` or ``uncoupled``.  With ``l2`` the g in γ has the
            penalty in it.
        **how: ``maximize``; see `Base`.

    Raises:
        ValueError: An argument is out of its range; or ``compiled``, ``capturable`` or
            ``differentiable`` is asked for.
        TypeError: (in ``step``) a parameter is a DTensor, or a gradient is sparse.
    """

    _written = ("steps", "average", "rate")
    _choices = (("positive", (True, False)), ("decay", get_args(Decay)))

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-9,
        weight_decay: float = 0.0,
        *,
        tolerance: float = 1e-9,
        positive: bool = True,
        decay: Decay = "l2",
        **how: Unpack[How],
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "tolerance": tolerance,
            "positive": positive,
            "decay": decay,
            "steps": 0,
            "average": 0.0,
            "rate": None,
        }
        super().__init__(params, defaults, how)

    def _check(self, h: Hyper) -> None:
        super()._check(h)
        steps, average = h["steps"], h["average"]
        if not (isinstance(steps, int) and steps >= 0 and _is_finite(average)):
            raise ValueError(
                "steps must be a count and average finite, as a checkpoint has them, got "
                f"{steps!r} and {average!r}."
            )
        if h["rate"] is not None and not _is_finite(h["rate"]):
            raise ValueError(f"rate must be None, before the switch, or finite, got {h['rate']!r}.")
        if h["compiled"] or h["capturable"] or h["differentiable"]:
            raise ValueError(
                f"{type(self).__name__} multiplies the gradients of a whole group, and decides by the "
                "result, so that compiled, capturable and differentiable must be False."
            )

    def _check_tensors(
        self, group: dict[str, Any], params: list[Tensor], layouts: set[torch.layout]
    ) -> None:
        super()._check_tensors(group, params, layouts)
        if any(hasattr(p, "to_local") for p in params):
            raise TypeError(
                f"{type(self).__name__} multiplies whole gradients, and a DTensor has a part of one on "
                "each device: step plain tensors, as DistributedDataParallel has them."
            )

    def _buffers(self, h: Hyper) -> Mapping[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0} if h["rate"] is None else {"momentum_buffer": 0.0}

    def _step_group(self, work: Work) -> None:
        group, params = work.group, work.params
        if not params:
            return
        h = hyper_parameters(group)
        products: list[tuple[Tensor, Tensor]] = []
        self._step_lists({**h, "products": products}, params)
        group["steps"] = k = h["steps"] + 1
        if h["rate"] is not None:
            return
        gamma = projected_rate(*summed(products))
        group["average"], group["rate"] = watched(
            gamma,
            k,
            h["average"],
            beta2=h["beta2"],
            tolerance=h["tolerance"],
            positive=h["positive"],
        )
        if group["rate"] is not None:
            after = hyper_parameters(group)
            for p in group["params"]:
                if self.state.get(p):
                    self._state(p, after)
                    for name in self._buffers(h):
                        self.state[p].pop(name, None)

    def _rule(self, x: Tensor, g: Tensor, t: float, state: State, h: Hyper) -> tuple[Tensor, State]:
        x, new, products = swats(
            x,
            g,
            t,
            state,
            alpha=h["lr"],
            beta1=h["beta1"],
            beta2=h["beta2"],
            eps=h["eps"],
            rate=h["rate"],
            weight_decay=h["weight_decay"],
            decay=h["decay"],
        )
        if products is not None:
            h["products"].append(products)
        return x, new

    def _update(
        self,
        params: list[Tensor],
        grads: Tensors,
        state: Mapping[str, list[Tensor]],
        t: list[float],
        h: Hyper,
    ) -> None:
        beta1, beta2, rate = h["beta1"], h["beta2"], h["rate"]
        grads = decay_(params, grads, h if rate is None else {**h, "lr": rate})
        if rate is not None:
            v = state["momentum_buffer"]
            torch._foreach_mul_(v, beta1)
            torch._foreach_add_(v, grads)
            torch._foreach_add_(params, v, alpha=-(1 - beta1) * rate)
            return
        m, a = state["exp_avg"], state["exp_avg_sq"]
        torch._foreach_lerp_(m, grads, 1 - beta1)
        torch._foreach_mul_(a, beta2)
        torch._foreach_addcmul_(a, grads, grads, 1 - beta2)
        denominator = torch._foreach_sqrt(a)
        torch._foreach_add_(denominator, h["eps"])
        steps = torch._foreach_div(m, denominator)
        torch._foreach_mul_(steps, [-h["lr"] * (1 - beta2**k) ** 0.5 / (1 - beta1**k) for k in t])
        torch._foreach_add_(params, steps)
        h["products"] += [(dot(p, p), dot(p, g)) for p, g in zip(steps, grads, strict=True)]


def _is_finite(number: object) -> bool:
    return isinstance(number, (int, float)) and -inf < number < inf


def summed(products: Iterable[tuple[Tensor, Tensor]]) -> list[float]:
    """Adds up p·p and p·g, and fetches them from the device, both at once.

    Args:
        products: The share of each tensor.

    Returns:
        The two sums.
    """
    rows = [torch.stack(pair) for pair in products]
    sums: list[float] = torch.stack([row.to(rows[0].device) for row in rows]).sum(0).tolist()
    return sums


class SWATSReference(Reference, SWATS):
    """`SWATS`, stepped by `swats`."""
