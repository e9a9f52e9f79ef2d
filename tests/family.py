"""Every rule with every named combination of its options: what the tests of the optimizers run over.

A new rule is a line in `VARIANTS`.
"""

import os
import shutil
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.overrides import TorchFunctionMode

from adamproof import optimizers as ours

unit = st.floats(0, 0.9999)
eps = st.floats(1e-8, 1e-2)
#: Of a number that may also be 0, which leaves a part of a rule out.
decay = st.sampled_from([0.0]) | st.floats(1e-3, 0.5)
SGD = {"lr": st.floats(1e-4, 1), "weight_decay": decay}
MOMENTUM = SGD | {"momentum": st.floats(0.01, 0.99)}
ADAGRAD = SGD | {"lr_decay": unit, "initial_accumulator_value": unit, "eps": eps}
# Centered, the difference v - ḡ² loses digits when the average forgets at once.
RMSPROP = SGD | {"alpha": st.floats(0.5, 0.99), "eps": eps}
GRAVES = RMSPROP | {"momentum": unit}
ADAM = SGD | {"betas": st.tuples(unit, unit), "eps": eps}
# 1 - M loses digits, of the few that a float32 has, when μ is near 1.
NADAM = ADAM | {"betas": st.tuples(st.floats(0, 0.95), unit), "momentum_decay": st.floats(0, 0.1)}
# The length of the average is at most 2 / (1 - β2) - 1: some of these are rectified, some never.
RADAM = ADAM | {"betas": st.tuples(unit, st.floats(0.5, 0.9999))}

# The sign of an average that is 0 but for rounding is not one of this table's questions.
LION = SGD | {"betas": st.tuples(unit, unit)}
ADADELTA = SGD | {"rho": st.floats(0, 0.99), "eps": eps}
# The belief is a difference, and of some of its digits a root is taken.
#: Where β1 is tiny, g − m = β1 (g − m') is what rounding leaves of a difference, over ε.
BELIEF = ADAM | {
    "betas": st.tuples(st.just(0.0) | st.floats(0.05, 0.95), unit),
    "eps": st.floats(1e-4, 1e-2),
}
BOUND = ADAM | {"final_lr": st.floats(1e-3, 1), "gamma": st.floats(1e-3, 1)}

#: A number for each argument, where a test needs one that is not drawn.
NUMBERS: dict[str, Any] = {
    "lr": 0.01,
    "weight_decay": 0.1,
    "momentum": 0.9,
    "dampening": 0.25,
    "lr_decay": 0.1,
    "initial_accumulator_value": 0.5,
    "eps": 1e-3,
    "alpha": 0.9,
    "betas": (0.9, 0.99),
    "momentum_decay": 0.02,
    "rho": 0.9,
    "final_lr": 0.1,
    "gamma": 0.01,
}


@dataclass(frozen=True)
class Variant:
    """A rule with options.

    Attributes:
        name: The class, a comma, and what is chosen.
        numbers: Its numerical arguments.
        options: Its other arguments.
        twin: The class of `torch.optim` that runs the same rule.
        twin_options: The options with which it does.
        within: How far from it, of 1 or of the largest coordinate, in float64.
    """

    name: str
    numbers: dict[str, st.SearchStrategy[Any]]
    options: dict[str, Any] = field(default_factory=dict)
    twin: type[torch.optim.Optimizer] | None = None
    twin_options: dict[str, Any] = field(default_factory=dict)
    within: float = 2**-36

    def __str__(self) -> str:
        return self.name

    @property
    def shipped(self) -> Any:
        return getattr(ours, self.name.partition(",")[0])

    @property
    def reference(self) -> Any:
        return getattr(ours, f"{self.shipped.__name__}Reference")

    @property
    def fixed(self) -> dict[str, Any]:
        """Its numerical arguments, as numbers."""
        return {name: NUMBERS[name] for name in self.numbers}

    def make(self, params: Any, form: str = "shipped", **more: Any) -> Any:
        """An optimizer with these numbers and options, ``shipped``, ``reference`` or ``compiled``."""
        cls = self.reference if form == "reference" else self.shipped
        return cls(params, **{**self.fixed, **self.options, "compiled": form == "compiled", **more})

    def make_twin(self, params: Any, **more: Any) -> torch.optim.Optimizer:
        """The same in `torch.optim`."""
        assert self.twin is not None
        return self.twin(params, **{**self.fixed, **self.twin_options, **more})


theirs = torch.optim
after, coupled = {"correction": "after_max"}, {"decoupled_weight_decay": True}
VARIANTS = [
    Variant("SGD", SGD, twin=theirs.SGD),
    Variant("SGD, coupled", SGD, {"decay": "coupled"}),
    Variant("SGD, uncoupled", SGD, {"decay": "uncoupled"}),
    Variant("SGD, momentum", MOMENTUM, twin=theirs.SGD),
    Variant("SGD, momentum coupled", MOMENTUM, {"decay": "coupled"}),
    Variant("SGD, damped", MOMENTUM | {"dampening": unit}),
    Variant("SGD, nesterov", MOMENTUM, {"nesterov": True}, theirs.SGD, {"nesterov": True}),
    Variant("SGD, ema", MOMENTUM, {"ema": True}),
    Variant("SGD, ema nesterov", MOMENTUM, {"ema": True, "nesterov": True, "decay": "uncoupled"}),
    Variant("Adagrad", ADAGRAD, twin=theirs.Adagrad),
    Variant("RMSprop", RMSPROP, twin=theirs.RMSprop),
    Variant("RMSprop, momentum", GRAVES, twin=theirs.RMSprop),
    Variant("RMSprop, centered", GRAVES, {"centered": True}, theirs.RMSprop, {"centered": True}),
    Variant("RMSprop, eps inside", RMSPROP, {"eps_inside": True}),
    Variant("RMSprop, Graves", GRAVES, {"centered": True, "eps_inside": True}),
    Variant("Adam", ADAM, twin=theirs.Adam),
    Variant("Adam, uncorrected", ADAM, {"bias_correction": False}),
    Variant("Adam, eps hat", ADAM, {"eps_beside": "raw"}),
    Variant("AdamW", ADAM, twin=theirs.AdamW),
    Variant("AdamW, uncoupled", ADAM, {"decay": "uncoupled"}),
    Variant("AMSGrad", ADAM),
    Variant("AMSGrad, after", ADAM, after, theirs.Adam, {"amsgrad": True}),
    Variant("AMSGrad, coupled", ADAM, after | {"decay": "coupled"}, theirs.AdamW, {"amsgrad": True}),
    Variant("AMSGrad, before", ADAM, {"correction": "before_max", "decay": "uncoupled"}),
    Variant("NAdam", NADAM, {}, theirs.NAdam, within=1e-5),
    Variant("NAdam, coupled", NADAM, {"decay": "coupled"}, theirs.NAdam, coupled, within=1e-5),
    Variant("NAdam, dozat", NADAM, {"form": "dozat"}),
    Variant("NAdam, dozat uncoupled", NADAM, {"form": "dozat", "decay": "uncoupled"}),
    Variant("NAdam, constant", NADAM, {"form": "constant"}),
    Variant("RAdam", RADAM, twin=theirs.RAdam),
    Variant("RAdam, coupled", RADAM, {"decay": "coupled"}, theirs.RAdam, coupled),
    Variant("RAdam, threshold 4", RADAM, {"threshold": 4}),
    Variant("RAdam, waits", RADAM, {"before": "nothing", "decay": "uncoupled"}),
    Variant("SignSGD", SGD),
    Variant("SignSGD, momentum", MOMENTUM, {"decay": "coupled"}),
    Variant("Lion", LION),
    Variant("Lion, l2", LION, {"decay": "l2"}),
    Variant("Adamax", ADAM, twin=theirs.Adamax),
    Variant("Adamax, coupled", ADAM, {"decay": "coupled"}),
    Variant("Adadelta", ADADELTA, twin=theirs.Adadelta),
    Variant("Adadelta, uncoupled", ADADELTA, {"decay": "uncoupled"}),
    Variant("AdaBelief", BELIEF),
    Variant("AdaBelief, coupled", BELIEF, {"decay": "coupled"}),
    Variant("AdaBelief, eps outside", BELIEF, {"eps_in_average": False}),
    Variant("AdaBound", BOUND),
    Variant("AdaBound, coupled", BOUND, {"decay": "coupled"}),
    Variant("AdaBound, sqrt", BOUND, {"schedule": "sqrt"}),
    Variant("AMSBound", BOUND),
    Variant("AMSBound, sqrt", BOUND, {"schedule": "sqrt", "decay": "uncoupled"}),
]  # fmt: skip
WITH_TWIN = [v for v in VARIANTS if v.twin]
BY_NAME = {v.name: v for v in VARIANTS}
each_variant = pytest.mark.parametrize("variant", VARIANTS, ids=str)
each_with_twin = pytest.mark.parametrize("variant", WITH_TWIN, ids=str)


COMPILER = any(map(shutil.which, filter(None, (os.environ.get("CC"), "cc", "gcc", "clang"))))
needs_compiler = pytest.mark.skipif(not COMPILER, reason="there is no C compiler")


class Rounded(TorchFunctionMode):
    """torch with roots rounded to nearest, as C rounds them; its own may be off by one unit."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is Tensor.sqrt:
            with np.errstate(all="ignore"):
                return torch.from_numpy(np.asarray(np.sqrt(args[0].detach().numpy())))
        return func(*args, **(kwargs or {}))


def weights(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Some small parameters: a matrix, a vector, a number."""
    return [torch.linspace(-1, 1, n).reshape(shape).to(dtype).requires_grad_()
            for n, shape in ((6, (2, 3)), (5, (5,)), (1, ()))]  # fmt: skip


def parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def gradients(params: list[Tensor], step: int) -> None:
    """Gives the parameters gradients that depend on the step alone."""
    for i, p in enumerate(params):
        p.grad = torch.cos(torch.arange(float(p.numel())) + 2 * step + i).reshape(p.shape).to(p.dtype)


def train(optimizer: torch.optim.Optimizer, steps: int, start: int = 0) -> list[Tensor]:
    """Some steps along fixed gradients; the parameters afterwards."""
    params = parameters(optimizer)
    for step in range(start, start + steps):
        gradients(params, step)
        optimizer.step()
    return [p.detach().clone() for p in params]


def kept(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Copies of the parameters and of all that is kept for them, in a fixed order."""
    params = parameters(optimizer)
    states = [optimizer.state.get(p, {}) for p in params]
    return [x.detach().clone() for x in params] + [s[n].clone() for s in states for n in sorted(s)]


def assert_identical(a: list[Tensor], b: list[Tensor]) -> None:
    """Bit for bit, dtypes included."""
    assert a
    assert [(x.dtype, x.shape) for x in a] == [(x.dtype, x.shape) for x in b]
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def assert_one_sentence(message: str, *parts: str) -> None:
    assert message.endswith(".")
    assert message.count(". ") == 0
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []
