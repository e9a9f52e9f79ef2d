"""Methods: an optimizer, how it is fed, its published learning rate, and where tuning starts.

The optimizer sees one tensor (K, P), a row for each member.  A rule that acts element by element trains
each row as if it were alone; one that takes a norm over all parameters does not, and has no place here
(SAM's radius is taken by member in `training`; the switch to SGD comes at a fixed time).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

from torch import Tensor
from torch.optim import Optimizer

from adamproof import optimizers as ours

from .registry import Registry


class Make(Protocol):
    """Makes the optimizer of parameters, at a learning rate, with further options by name."""

    def __call__(self, parameters: list[Tensor], lr: float, /, **options: Any) -> Optimizer:
        """Return the optimizer."""
        ...


@dataclass(frozen=True)
class Method:
    """A way to train.

    Attributes:
        name: What a specification calls it.
        make: ``make(parameters, lr)`` returns the optimizer.
        default: The learning rate published with it, as exact text.
        source: Who published that.
        centre: The half-decade exponent that tuning starts around: the rate is 10^(centre/2).
        full_batch: Whether a step sees all examples.
        radius: SAM's ρ; 0 is without.
        then: The optimizer of the second half of training, if it is another; its rate is that of
            `then_rate`.
        then_rate: The learning rate of `then` in multiples of the first.
        preconditioner: ``preconditioner(optimizer, parameters)``: what the gradient is divided by, of
            the shape of the parameters; ``None`` for methods that do not.
    """

    name: str
    make: Make
    default: str
    source: str
    centre: int
    full_batch: bool = False
    radius: float = 0.0
    then: Make | None = None
    then_rate: float = 1.0
    preconditioner: Callable[[Optimizer, Tensor], Tensor] | None = None


METHODS = Registry[Method]("method")


def _make(
    rule: Callable[..., Optimizer], parameters: list[Tensor], lr: float, **options: Any
) -> Optimizer:
    return rule(parameters, lr=lr, **options)


def maker(rule: Callable[..., Optimizer], **options: Any) -> Make:
    """Return a `Method.make` of a class and its options."""
    return partial(_make, rule, **options)


def root_of_second_moment(optimizer: Optimizer, parameters: Tensor, eps: float = 1e-8) -> Tensor:
    """Return √v̂ + ε of a method that keeps ``exp_avg_sq`` (or RMSprop's ``square_avg``)."""
    state = optimizer.state[parameters]
    group = optimizer.param_groups[0]
    if "exp_avg_sq" not in state:
        rms: Tensor = state["square_avg"]
        return cast(Tensor, rms.sqrt() + group.get("eps", eps))
    v: Tensor = state.get("max_exp_avg_sq", state["exp_avg_sq"])
    # AMSGrad as in the paper has no correction; before the maximum, it is in the maximum already.
    corrects = group.get("correction", "after_max") == "after_max"
    correction = 1 - group["betas"][1] ** float(state["step"]) if corrects else 1.0
    return cast(Tensor, (v / correction).sqrt() + group.get("eps", eps))


_HE = "He et al. 2016 (arXiv 1512.03385v1), §3.4: rate 0.1, momentum 0.9"
_root = root_of_second_moment
for _method in (
    Method("sgd", maker(ours.SGD), "1/10", _HE, -1),
    Method("momentum", maker(ours.SGD, momentum=0.9), "1/10", _HE, -3),
    Method(
        "adam", maker(ours.Adam), "1/1000", "Kingma & Ba 2015 (arXiv 1412.6980v9), Algorithm 1", -5,
        preconditioner=_root,
    ),
    Method(
        "adamw", maker(ours.AdamW, weight_decay=0.01), "1/1000",
        "Loshchilov & Hutter 2019 (arXiv 1711.05101v3), α of Algorithm 2; λ = 0.01 of torch.optim", -5,
        preconditioner=_root,
    ),
    Method(
        "rmsprop", maker(ours.RMSprop, alpha=0.9), "1/1000",
        "Tieleman & Hinton 2012, lecture 6e: average 0.9; rate 0.001", -5, preconditioner=_root,
    ),
    Method(
        "adam-l2", maker(ours.Adam), "1/1000", "Kingma & Ba 2015, with λ in the gradient", -5,
        preconditioner=_root,
    ),
    Method(
        "adamw-uncoupled", maker(ours.AdamW, decay="uncoupled"), "1/1000",
        "Loshchilov & Hutter 2019 (arXiv 1711.05101v3), Algorithm 2", -5, preconditioner=_root,
    ),
    Method(
        "signum", maker(ours.SignSGD, momentum=0.9), "1/10000",
        "Bernstein et al. 2018 (arXiv 1802.04434)", -7,
    ),
    Method(
        "amsgrad", maker(ours.AMSGrad), "1/1000", "Reddi, Kale & Kumar 2018; rate of Adam", -5,
        preconditioner=_root,
    ),
    Method(
        "radam", maker(ours.RAdam), "1/1000", "Liu et al. 2020 (arXiv 1908.03265); rate of Adam", -5,
        preconditioner=_root,
    ),
    Method("adabelief", maker(ours.AdaBelief), "1/1000", "Zhuang et al. 2020 (arXiv 2010.07468)", -5),
    Method("adabound", maker(ours.AdaBound), "1/1000", "Luo et al. 2019 (arXiv 1902.09843)", -5),
    Method(
        "adam-then-sgd", maker(ours.Adam), "1/1000",
        "after Keskar & Socher 2017 (arXiv 1712.07628v1), with the switch at half time", -5,
        then=maker(ours.SGD, momentum=0.9), then_rate=10.0,
    ),
    Method(
        "sam", maker(ours.SGD, momentum=0.9), "1/10",
        "Foret et al. 2021 (arXiv 2010.01412v3): ρ = 0.05", -3, radius=0.05,
    ),
    Method("full-batch", maker(ours.SGD, momentum=0.9), "1/10", _HE, -1, full_batch=True),
):  # fmt: skip
    METHODS.add(_method.name, _method)
