"""Optimizers that try to make the lifter lie: a symbol lost, a number hidden, coordinates coupled.

A case is the body of a step for one parameter.  It is marked with what must come of it: `lifts`, to
the rule that the code really runs, or `stops`, with words of the message and a line of its own.
"""

import cmath
import copy
import ctypes
import decimal
import fractions
import io
import json
import math
import operator
import pickle
import random
import statistics
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt as bound_sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor

Rule = Callable[..., None]


class Leaky(torch.optim.Optimizer):
    """A learning rate, a momentum, an option of no known name, and a rule for one parameter."""

    rule: Rule
    setup: Callable[[Any], None] = lambda self: None

    def __init__(self, params: Any, lr: float = 0.1, momentum: float = 0.9, kappa: float = 0.3) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "kappa": kappa})
        self.setup()

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.rule(p, p.grad, self.state[p], group["lr"], group)


@dataclass(frozen=True)
class Case:
    """A rule and what must come of lifting it.

    Attributes:
        cls: The optimizer.
        body: The function whose lines an error must name.
        told: Words of the error, or None where it must lift.
        here: Whether the error must name a line of the body; else no single line is to blame.
    """

    cls: type[Leaky]
    body: Callable[..., Any]
    told: str | None
    here: bool


ZOO: dict[str, Case] = {}


def add(
    name: str, rule: Rule, body: Callable[..., Any], told: str | None, here: bool, setup: Any = None
) -> None:
    assert name not in ZOO, name
    parts: dict[str, Any] = {"rule": rule, "__module__": __name__}
    if setup is not None:
        parts["setup"] = setup
    ZOO[name] = Case(type(name, (Leaky,), parts), body, told, here)


def stops(told: str, *, here: bool = True, setup: Any = None) -> Callable[[Rule], Rule]:
    """Mark a case that must stop, with these words."""

    def mark(body: Rule) -> Rule:
        add(body.__name__, body, body, told, here, setup)
        return body

    return mark


def lifts(*, setup: Any = None) -> Callable[[Rule], Rule]:
    """Mark a case that must lift to what it really does."""

    def mark(body: Rule) -> Rule:
        add(body.__name__, body, body, None, False, setup)
        return body

    return mark


# Words of the messages that name no line, since no single line is to blame.
MOVED = "turned into a plain number"
WRONG = "the lift is wrong"
TWO = "by two formulas"
OUTSIDE = "outside of the state"
CHANGED = "that the lifter did not see"
COUPLED = "couples its parameters"
SHARED = "the same state for every parameter"
NO_LINE = (MOVED, WRONG, TWO, OUTSIDE, CHANGED, COUPLED, SHARED, "no other numbers")
# … and of one that does.
UNSEEN = "in a way that the lifter does not see"

# -- a learning rate through Python, on its way to p.add_(g, alpha=-rate) ----------------------------

RATES: dict[str, tuple[Callable[[float], Any], str | None]] = {
    "arithmetic": (lambda lr: abs(-lr) ** 2 * 3 / (1 + lr) - lr**0.5 + pow(lr, 3) + 2**lr, None),
    "sum": (lambda lr: sum([lr, lr, 1]), None),
    "math_sqrt": (lambda lr: math.sqrt(lr) + math.pow(lr, 3) + math.fabs(lr), None),
    "copies": (lambda lr: copy.copy(lr) * copy.deepcopy([lr])[0], None),
    "numpy_product": (lambda lr: np.float64(2.0) * lr, None),
    "real_part": (lambda lr: lr.real, None),
    "clamped": (lambda lr: min(max(lr, 1e-4), 50.0), None),
    "branch": (lambda lr: lr if lr < 1 else lr * lr, None),
    "math_exp": (lambda lr: math.exp(lr), "math.exp"),
    "math_floor": (lambda lr: math.floor(lr + 1), "math.floor"),
    "math_prod": (lambda lr: math.prod([lr, 0.5]), "math.prod"),
    "math_hypot": (lambda lr: math.hypot(lr, 1.0), "math.hypot"),
    "math_copysign": (lambda lr: math.copysign(1.0, lr), "math.copysign"),
    "cmath_sqrt": (lambda lr: cmath.sqrt(lr).real, "__complex__"),
    "float": (lambda lr: float(lr), "__float__"),
    "int": (lambda lr: lr + int(lr), "__int__"),
    "round": (lambda lr: round(lr, 2), "__round__"),
    "floor": (lambda lr: lr + lr // 0.3, "__floordiv__"),
    "remainder": (lambda lr: lr + 5.0 % lr, "__rmod__"),
    "divmod": (lambda lr: divmod(lr, 0.3)[1], "__divmod__"),
    "integer_ratio": (lambda lr: lr.as_integer_ratio()[0], "as_integer_ratio"),
    "percent_d": (lambda lr: lr + int("%d" % lr), "__int__"),  # noqa: UP031
    "complex_power": (lambda lr: ((-lr) ** 0.5).real, "left the real numbers"),
    "infinite": (lambda lr: lr * math.inf, "leaves the finite numbers"),
    "overflow": (lambda lr: 1 / (lr * 1e308 * 1e10), "leaves the finite numbers"),
    "statistics": (lambda lr: statistics.mean([lr, 1.0]), "as_integer_ratio"),
    "fraction": (lambda lr: float(fractions.Fraction(lr)), "as_integer_ratio"),
    "fraction_product": (lambda lr: lr * fractions.Fraction(1, 2), "__float__"),
    "pickle": (lambda lr: pickle.loads(pickle.dumps(lr)), "pickling"),
    "numpy_scalar": (lambda lr: np.float64(lr), "__float__"),
    "numpy_single": (lambda lr: np.float32(lr), "__float__"),
    "numpy_array": (lambda lr: np.array([lr])[0], "__float__"),
    "looked_up": (lambda lr: {0.1: 5.0}.get(lr, 1.0) * lr, "__hash__"),
    "numpy_sqrt": (lambda lr: np.sqrt(lr), "does not support ufuncs"),
    # what C code reads without asking
    "bound_sqrt": (lambda lr: bound_sqrt(lr), MOVED),
    "decimal": (lambda lr: float(decimal.Decimal(lr)), MOVED),
    "struct": (lambda lr: struct.unpack("d", struct.pack("d", lr))[0], MOVED),
    "ctypes": (lambda lr: ctypes.c_double(lr).value, MOVED),
    "json": (lambda lr: json.loads(json.dumps([lr]))[0], MOVED),
    "text": (lambda lr: float(f"{lr}"), MOVED),
    "rounded_text": (lambda lr: lr * float(f"{lr:.0f}") + lr, MOVED),
    "float_add": (lambda lr: float.__add__(lr, 0.0), MOVED),
    "random": (lambda lr: lr * random.random(), TWO),
    # branches that cannot be seen, or that only the default takes
    "branch_on_a_leak": (lambda lr: lr if bound_sqrt(lr) < 1.2 else lr * lr, MOVED),
    "branch_and_a_leak": (lambda lr: bound_sqrt(lr) if lr < 1 else lr * lr, MOVED),
    "branch_on_the_text": (lambda lr: lr if repr(lr) == "0.1" else lr * lr, MOVED),
    "branch_on_the_default": (lambda lr: lr * 2 if lr == 0.1 else lr, "no other numbers"),
    "branch_on_the_type": (lambda lr: lr if type(lr) is float else lr * lr, WRONG),
}


def _rate(name: str, use: Callable[[float], Any], told: str | None) -> None:
    def rule(self, p, g, s, lr, group):
        p.add_(g, alpha=-use(lr))

    here = told not in (None, "does not support ufuncs", *NO_LINE)
    add(f"rate_{name}", rule, use, told, here)


for _name, (_use, _told) in RATES.items():
    _rate(_name, _use, _told)

# -- one tensor, on its way to p.sub_(tensor * lr) ---------------------------------------------------


class _Triple(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 3

    @staticmethod
    def backward(ctx, grad):
        return grad


class _Odd(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        out = super().__torch_function__(func, types, args, kwargs)
        return torch.add(out, 1.0) if getattr(func, "__name__", "") == "mul" else out


def script(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the function as TorchScript, which torch calls deprecated and people still run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted: Callable[..., Tensor] = torch.jit.script(function)
    return scripted


def _double(x: Tensor) -> Tensor:
    return x * 2.0


_scripted = script(_double)


@torch.library.custom_op("adamproof_zoo::add", mutates_args=())
def _impostor(x: Tensor, y: Tensor) -> Tensor:
    return x * y


#: The graphs that were really compiled.
COMPILED: list[Any] = []


def _backend(graph: Any, inputs: Any) -> Any:
    COMPILED.append(graph)
    return graph.forward


_compiled = torch.compile(lambda x: x * 2 + 1, backend=_backend)

TENSORS: dict[str, tuple[Callable[[Tensor, Tensor], Any], str | None]] = {
    "operators": (lambda p, g: (1 - 2 ** (0.5 / (1 + g * g))) * 0.5 + abs(g) ** 0.5 - -g, None),
    "clamp": (lambda p, g: g.clamp(-0.5, 0.5) + torch.clamp(g, min=p) + g.clamp_max(0.3), None),
    "pairs": (lambda p, g: torch.max(g, p) + torch.minimum(g, p) + g.sign(), None),
    "lerp": (lambda p, g: torch.lerp(g, p, 0.25) + g.lerp(p, torch.full_like(p, 0.5)), None),
    "roots": (lambda p, g: (g * g + 1).rsqrt() + g.abs().sqrt() + (1 + g.square()).reciprocal(), None),
    "addcmul": (lambda p, g: g.addcmul(p, g, value=0.5) + g.addcdiv(p, 1 + g * g, value=2), None),
    "views": (lambda p, g: g.view(-1).reshape(p.shape).unsqueeze(0).squeeze(0).expand_as(p), None),
    "aten": (lambda p, g: torch.ops.aten.add(torch.ops.aten.mul.Tensor(g, g), p, alpha=3), None),
    "autograd_function": (lambda p, g: _Triple.apply(g), None),
    "compiled": (lambda p, g: _compiled(g), None),
    "scalar_tensor": (lambda p, g: torch.tensor(0.5, dtype=g.dtype) * torch.as_tensor(g), None),
    "single": (lambda p, g: (g.float() * 0.3).double(), None),
    "saved": (lambda p, g: torch.save(g, io.BytesIO()) or g, "Tensor._backward_hooks"),
    "infinite_reciprocal": (lambda p, g: g + (1 / torch.zeros_like(g)).reciprocal(), None),
    # casts that are no function of a real number
    "half": (lambda p, g: g.bfloat16().double(), "bfloat16"),
    "whole": (lambda p, g: g.to(torch.int64), "to gave"),
    "copied_to_whole": (lambda p, g: torch.zeros_like(g, dtype=torch.int64).copy_(g), "copy_ gave"),
    "bool": (lambda p, g: torch.ones_like(g, dtype=torch.bool) * g, "torch.bool"),
    "where": (lambda p, g: torch.where(torch.ones_like(g, dtype=torch.bool), g, p), "torch.bool"),
    "bits": (lambda p, g: g.view(torch.int64), "view gave"),
    # outside of the real numbers
    "division_by_zero": (lambda p, g: (g / torch.zeros_like(g)).clamp(-1, 1), "clamp"),
    "division_of_zero": (lambda p, g: torch.zeros_like(g) / 0, "leaves the finite numbers"),
    "root_of_a_negative": (lambda p, g: (-g.abs() - 1) ** 0.5, "leaves the finite numbers"),
    # known names, unknown meanings
    "truncated": (lambda p, g: torch.div(g, 0.3, rounding_mode="trunc"), "div was called"),
    "impostor": (lambda p, g: _impostor(g, g), "add gave"),
    "subclass": (lambda p, g: (g.as_subclass(_Odd) * 2).as_subclass(Tensor), "mul gave"),
    "unwritten": (lambda p, g: torch.empty_like(p) * g, "formula is not known"),
    "set": (lambda p, g: g.set_(p.data), "shares its memory"),
    # numbers, read through Python
    "float": (lambda p, g: float(g), "Tensor.__float__"),
    "index": (lambda p, g: operator.index(g.numel() * torch.ones((), dtype=torch.int64)), "__index__"),
    "bool_of_it": (lambda p, g: g if g.abs() else p, "Tensor.__bool__"),
    "listed": (lambda p, g: torch.tensor(g.tolist(), dtype=p.dtype), "tolist"),
    "numpy": (lambda p, g: torch.from_numpy(g.numpy() * 1.0), "numpy"),
    "asarray": (lambda p, g: torch.from_numpy(np.asarray(g) * 1.0), "__array__"),
    "dlpack": (lambda p, g: torch.from_dlpack(np.from_dlpack(g)), "__dlpack__"),
    "storage": (lambda p, g: struct.unpack("d", bytes(g.untyped_storage()))[0], "untyped_storage"),
    "address": (lambda p, g: ctypes.c_double.from_address(g.data_ptr()).value, "data_ptr"),
    "print": (lambda p, g: float(repr(g.sign())[8:10]), "__repr__"),
    "item": (lambda p, g: g.data.item() ** 2, "for parameters of shape"),
    # past the lifter
    "scripted": (lambda p, g: _scripted(g), UNSEEN),
    "new_parameter": (lambda p, g: torch.nn.Parameter(g) * p, None),
    "typed_constructor": (lambda p, g: torch.Tensor([0.5]).double() * g, UNSEEN),
    "vmap": (lambda p, g: torch.vmap(lambda z: z * 2)(g), "mul"),
    "truth": (lambda p, g: (g > 0) * g, "which only where takes"),
    "truth_as_number": (lambda p, g: (g > 0).double() * g, "which only where takes"),
    # operations that no formula is known for
    **{
        name: (use, name)
        for name, use in {
            "exp": lambda p, g: g.exp(),
            "tanh": lambda p, g: torch.tanh(g),
            "sin": lambda p, g: torch.sin(g),
            "nan_to_num": lambda p, g: torch.nan_to_num(g),
            "heaviside": lambda p, g: torch.heaviside(g, p),
            "remainder": lambda p, g: g % 0.3,
            "__floordiv__": lambda p, g: g // 0.3,
            "randn_like": lambda p, g: torch.randn_like(g),
            "bernoulli_": lambda p, g: g.clone().bernoulli_(0.5),
            "dropout": lambda p, g: torch.nn.functional.dropout(g),
            "softplus": lambda p, g: torch._C._nn.softplus(g),
            "cosh": lambda p, g: torch.ops.aten.cosh.default(g),
            "_foreach_sin": lambda p, g: torch._foreach_sin([g])[0],
            "__deepcopy__": lambda p, g: copy.deepcopy(g),
            "complex": lambda p, g: torch.complex(g, p).real,
            # right for one element, wrong for more: these couple coordinates
            "sum": lambda p, g: g.sum(),
            "mean": lambda p, g: g.mean(),
            "norm": lambda p, g: g / g.norm(),
            "amax": lambda p, g: g.amax(),
            "dot": lambda p, g: torch.dot(g.view(-1), g.view(-1)),
            "prod": lambda p, g: g.prod(),
            "cumsum": lambda p, g: g.cumsum(0),
            "flip": lambda p, g: g.flip(0),
            "roll": lambda p, g: g.roll(1),
            "normalize": lambda p, g: torch.nn.functional.normalize(g, dim=0),
            "einsum": lambda p, g: torch.einsum("i,i->i", g, g),
            "_foreach_norm": lambda p, g: torch._foreach_norm([g])[0],
            # pieces of a tensor
            "cat": lambda p, g: torch.cat([g, p])[:1],
            "stack": lambda p, g: torch.stack([g, p])[0],
            "chunk": lambda p, g: g.chunk(1)[0],
            "split": lambda p, g: g.split(1)[0],
            "narrow": lambda p, g: g.narrow(0, 0, 1),
            "__getitem__": lambda p, g: g[0],
        }.items()
    },
    # one element is the largest of one: known names again
    "max": (lambda p, g: g.max(), "max was called"),
    "min": (lambda p, g: torch.min(g.abs()), "min was called"),
    "_foreach_max": (lambda p, g: torch._foreach_max([g.abs()])[0], "_foreach_max was called"),
    "expand": (lambda p, g: g.expand(2).mean(), "of 2 elements"),
    # what depends on the shape
    "size": (lambda p, g: g / p.numel(), WRONG),
    "matrices": (lambda p, g: g if p.ndim < 2 else g * 2, WRONG),
    "large": (lambda p, g: g if p.numel() < 10_000 else g * 2, WRONG),
    "transposed": (lambda p, g: g.mT if p.shape == (2, 2) else g, WRONG),
    "outer": (lambda p, g: (g.unsqueeze(-1) * g.unsqueeze(0)).view(p.shape), "shape"),
    "dtype": (lambda p, g: g if p.dtype == torch.float64 else g * 2, WRONG),
}


def _tensor(name: str, use: Callable[[Tensor, Tensor], Any], told: str | None) -> None:
    def rule(self, p, g, s, lr, group):
        p.sub_(use(p, g) * lr)

    later = ("shares its memory", "for parameters of shape", "shape")
    add(f"tensor_{name}", rule, use, told, told not in (None, *later, *NO_LINE))


for _name, (_use, _told) in TENSORS.items():
    _tensor(_name, _use, _told)
