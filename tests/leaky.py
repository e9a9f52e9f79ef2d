"""Optimizers that try to make the lifter lie: each loses a symbol, hides a number or couples coordinates.

A case is the body of a step for one parameter.  It is marked with what must come of it: `lifts`, to
the rule that the code really runs, or `stops`, with words of the message.
"""

# ruff: noqa: N802, E731

import cmath
import contextlib
import copy
import ctypes
import decimal
import fractions
import functools
import io
import itertools
import json
import math
import operator
import pickle
import random
import statistics
import struct
import threading
import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import sqrt as bound_sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor

Rule = Callable[..., None]


class Leaky(torch.optim.Optimizer):
    """A learning rate, a momentum, and a rule for one parameter at a time."""

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
        told: Words of the error, or nothing where it must lift.
        here: Whether the error must name a line of the body.
        options: What the constructor is given.
    """

    cls: type[Leaky]
    body: Rule
    told: str = ""
    here: bool = True
    options: dict[str, Any] = field(default_factory=dict)


ZOO: dict[str, Case] = {}


def _add(body: Rule, told: str, here: bool, setup: Any, options: dict[str, Any]) -> Rule:
    name = body.__name__
    assert name not in ZOO, name
    parts: dict[str, Any] = {"rule": body, "__module__": __name__}
    if setup is not None:
        parts["setup"] = setup
    ZOO[name] = Case(type(name, (Leaky,), parts), body, told, here, options)
    return body


def stops(
    told: str, *, here: bool = True, setup: Any = None, options: dict[str, Any] | None = None
) -> Callable[[Rule], Rule]:
    """Mark a case that must stop, with these words."""
    return lambda body: _add(body, told, here, setup, options or {})


def lifts(*, setup: Any = None, options: dict[str, Any] | None = None) -> Callable[[Rule], Rule]:
    """Mark a case that must lift to what it really does."""
    return lambda body: _add(body, "", False, setup, options or {})


MOVED = "turned into a plain number"  # formulas that differ between sets of numbers
UNSEEN = "an operation that the lifter did not see"
HIDDEN = "outside"  # … of the state that the lifter follows
SHAPE = "shape"

# -- a hyper-parameter through Python ---------------------------------------------------------------


@lifts()
def python_arithmetic(self, p, g, s, lr, group):
    rate = abs(-lr) ** 2 * 3 / (1 + lr) - lr**0.5 + pow(lr, 3) + 2**lr - sum([lr, lr])
    p.add_(g, alpha=-rate)


@lifts()
def math_sqrt(self, p, g, s, lr, group):
    p.add_(g, alpha=-math.sqrt(lr) - math.pow(lr, 3) - math.fabs(lr))


@stops(MOVED, here=False)
def math_sqrt_bound_before(self, p, g, s, lr, group):
    p.add_(g, alpha=-bound_sqrt(lr))


@stops(MOVED, here=False)
def other_option_bound_before(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr * bound_sqrt(group["kappa"]))


@stops("math.exp")
def math_exp(self, p, g, s, lr, group):
    p.add_(g, alpha=-math.exp(lr))


@stops("math.floor")
def math_floor(self, p, g, s, lr, group):
    p.add_(g, alpha=-math.floor(lr + 1))


@stops("math.prod")
def math_prod_of_a_list(self, p, g, s, lr, group):
    p.add_(g, alpha=-math.prod([lr, 0.5]))


@stops("math.hypot")
def math_hypot(self, p, g, s, lr, group):
    p.add_(g, alpha=-math.hypot(lr, 1.0))


@stops("complex")
def cmath_sqrt(self, p, g, s, lr, group):
    p.add_(g, alpha=-cmath.sqrt(lr).real)


@stops("the symbolic value")
def statistics_mean(self, p, g, s, lr, group):
    p.add_(g, alpha=-statistics.mean([lr, 1.0]))


@stops(MOVED, here=False)
def decimal_round_trip(self, p, g, s, lr, group):
    p.add_(g, alpha=-float(decimal.Decimal(lr)))


@stops("the symbolic value")
def fraction_round_trip(self, p, g, s, lr, group):
    p.add_(g, alpha=-float(fractions.Fraction(lr)))


@stops("the symbolic value")
def fraction_product(self, p, g, s, lr, group):
    p.add_(g, alpha=-(lr * fractions.Fraction(1, 2)))


@stops(MOVED, here=False)
def struct_round_trip(self, p, g, s, lr, group):
    p.add_(g, alpha=-struct.unpack("d", struct.pack("d", lr))[0])


@stops(MOVED, here=False)
def ctypes_round_trip(self, p, g, s, lr, group):
    p.add_(g, alpha=-ctypes.c_double(lr).value)


@stops(MOVED, here=False)
def json_round_trip(self, p, g, s, lr, group):
    p.add_(g, alpha=-json.loads(json.dumps([lr]))[0])


@stops(MOVED, here=False)
def string_round_trip(self, p, g, s, lr, group):
    p.add_(g, alpha=-float(f"{lr}"))


@stops("")
def rounded_by_a_string(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr * float(f"{group['momentum']:.0f}"))


@stops("pickling")
def pickle_round_trip(self, p, g, s, lr, group):
    p.add_(g, alpha=-pickle.loads(pickle.dumps(lr)))


@lifts()
def copies(self, p, g, s, lr, group):
    p.add_(g, alpha=-copy.copy(lr) * copy.deepcopy([lr])[0])


@lifts()
def numpy_scalar_arithmetic(self, p, g, s, lr, group):
    p.add_(g, alpha=-(np.float64(2.0) * lr))


@stops(MOVED, here=False)
def numpy_scalar(self, p, g, s, lr, group):
    p.add_(g, alpha=-float(np.float64(lr)))


@stops("")
def numpy_single(self, p, g, s, lr, group):
    p.mul_(1 - np.float32(lr) * 0.1)
    p.sub_(g)


@stops("")
def numpy_single_on_a_tensor(self, p, g, s, lr, group):
    p.sub_(g * np.float32(lr))


@stops("")
def numpy_sqrt(self, p, g, s, lr, group):
    p.add_(g, alpha=-float(np.sqrt(lr)))


@stops("")
def numpy_array(self, p, g, s, lr, group):
    p.add_(g, alpha=-float(np.array([lr])[0]))


@stops("__float__")
def float_of_it(self, p, g, s, lr, group):
    p.add_(g, alpha=-float(lr))


@stops(MOVED, here=False)
def float_add_unbound(self, p, g, s, lr, group):
    p.add_(g, alpha=-float.__add__(lr, 0.0))


@lifts()
def real_part(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr.real)


@stops("__int__")
def int_of_it(self, p, g, s, lr, group):
    p.add_(g, alpha=-(lr + int(lr)))


@stops("__round__")
def rounded(self, p, g, s, lr, group):
    p.add_(g, alpha=-round(lr, 2))


@stops("__floordiv__")
def floor_divided(self, p, g, s, lr, group):
    p.add_(g, alpha=-(lr + lr // 0.3))


@stops("__rmod__")
def remainder(self, p, g, s, lr, group):
    p.add_(g, alpha=-(lr + 5.0 % lr))


@stops("__hash__")
def looked_up(self, p, g, s, lr, group):
    p.add_(g, alpha=-{0.1: 5.0}.get(lr, 1.0) * lr)


@stops("__index__")
def used_as_an_index(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    try:
        rate = [0.0, 1.0, 0.5, 0.25][operator.index(s["step"]) % 4]
    except TypeError:
        rate = 1.0
    p.add_(g, alpha=-lr * rate)


@stops(MOVED, here=False)
def drawn_at_random(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr * random.random())


def _generator(self):
    self.random = random.Random(0)


@stops("", here=False, setup=_generator)
def drawn_from_a_seeded_generator(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr * self.random.random())


# -- kept by the constructor ------------------------------------------------------------------------


def _attribute(self):
    self.rate = self.defaults["lr"]


@lifts(setup=_attribute)
def attribute(self, p, g, s, lr, group):
    p.add_(g, alpha=-self.rate)


def _float_attribute(self):
    self.rate = float(self.defaults["lr"])


@stops("__float__", here=False, setup=_float_attribute)
def float_attribute(self, p, g, s, lr, group):
    p.add_(g, alpha=-self.rate)


def _tensor_attribute(self):
    self.rate = torch.tensor(self.defaults["lr"], dtype=torch.float64)


@lifts(setup=_tensor_attribute)
def tensor_attribute(self, p, g, s, lr, group):
    p.sub_(g * self.rate)


# -- branches ---------------------------------------------------------------------------------------


@lifts()
def branch_on_the_rate(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr if lr < 1 else -lr * lr)


@stops(MOVED, here=False)
def branch_on_the_rate_and_a_lost_symbol(self, p, g, s, lr, group):
    p.add_(g, alpha=-bound_sqrt(lr) if lr < 1 else -lr * lr)


@lifts()
def clamped_rate(self, p, g, s, lr, group):
    p.add_(g, alpha=-min(max(lr, 1e-4), 50.0))


@stops("", here=False)
def branch_on_a_lost_symbol(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr if bound_sqrt(lr) < 1.2 else -lr * lr)


@stops("", here=False)
def branch_on_the_exact_default(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr if repr(lr) == "0.1" else -lr * lr)


@lifts()
def branch_on_the_step(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    p.add_(g, alpha=-lr if s["step"] <= 5 else -lr / s["step"])


@lifts()
def branch_far_away(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    if s["step"] > 100:
        p.mul_(1 - lr)
    p.add_(g, alpha=-lr)


@lifts()
def branches_that_nest(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    if s["step"] > 3:
        lr = lr / 2
        if s["step"] > 60:
            lr = lr / 2
    p.add_(g, alpha=-lr)


@lifts()
def branch_at_one_step(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    p.add_(g, alpha=-lr * 7 if s["step"] == 5 else -lr)


@stops("no step up to")
def branch_out_of_reach(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    p.add_(g, alpha=-lr * 7 if s["step"] > 100_000 else -lr)


ZOO["branch_out_of_reach"] = Case(
    ZOO["branch_out_of_reach"].cls, branch_out_of_reach, "no step up to", here=False
)


@stops("", here=False)
def branch_at_one_step_between(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    p.add_(g, alpha=-lr * 7 if s["step"] == 777 else -lr)


@stops("counts", here=False)
def counter_that_starts_again(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    p.add_(g, alpha=-lr / s["step"])
    if s["step"] == 12:
        s["step"] = 0


@lifts()
def two_counters(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    s["seen"] = s.get("seen", 0) + 1
    p.add_(g, alpha=-lr / (s["step"] + s["seen"]))


@lifts()
def counter_from_one(self, p, g, s, lr, group):
    s.setdefault("step", 1)
    p.add_(g, alpha=-lr / s["step"] ** 0.5)
    s["step"] += 1


@lifts()
def tensor_counter(self, p, g, s, lr, group):
    s.setdefault("step", torch.zeros((), dtype=torch.int64))
    s["step"] += 1
    p.add_(g, alpha=-lr / s["step"].item())


@stops("__mod__")
def every_third_step(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    p.add_(g, alpha=-lr * (s["step"] % 3))


@stops("__and__")
def odd_steps(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    try:
        odd = s["step"] & 1
    except TypeError:
        odd = 1
    p.add_(g, alpha=-lr * odd)


@stops("differs from coordinate to coordinate", here=False)
def branch_on_the_gradient(self, p, g, s, lr, group):
    if g.numel() == 1 and g.item() > 0:
        lr = lr * 2
    p.add_(g, alpha=-lr)


@stops("__bool__")
def branch_on_a_tensor(self, p, g, s, lr, group):
    if g.abs():
        lr = lr * 2
    p.add_(g, alpha=-lr)


# -- an error that is swallowed ---------------------------------------------------------------------


@stops("log")
def swallowed(self, p, g, s, lr, group):
    try:
        g = torch.log(g.abs())
    except Exception:
        pass
    p.add_(g, alpha=-lr)


@stops("__float__")
def swallowed_bare(self, p, g, s, lr, group):
    try:
        rate = float(lr)
    except:  # noqa: E722
        rate = lr
    p.add_(g, alpha=-rate)


@stops("tanh")
def swallowed_and_raised_as_another(self, p, g, s, lr, group):
    try:
        torch.tanh(g)
    except Exception:
        raise ValueError("no") from None


@stops("exp")
def swallowed_by_a_thread(self, p, g, s, lr, group):
    with contextlib.suppress(Exception):
        g = g.exp()
    p.add_(g, alpha=-lr)


@stops("")
def swallowed_wrong_call(self, p, g, s, lr, group):
    try:
        g = torch.reshape(input=g, shape=g.shape).sinh()
    except Exception:
        pass
    p.add_(g, alpha=-lr)


# -- a tensor's numbers through Python --------------------------------------------------------------


@stops("__float__")
def float_of_a_tensor(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr * float(g))


@stops("tolist")
def listed(self, p, g, s, lr, group):
    p.sub_(torch.tensor(g.tolist(), dtype=p.dtype))


@stops("numpy")
def to_numpy(self, p, g, s, lr, group):
    p.sub_(torch.from_numpy(g.numpy() * 1.0))


@stops("__array__")
def as_array(self, p, g, s, lr, group):
    p.sub_(torch.from_numpy(np.asarray(g) * 1.0))


@stops("__dlpack")
def by_dlpack(self, p, g, s, lr, group):
    p.sub_(torch.from_dlpack(np.from_dlpack(g)))


@stops("")
def data_item(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr * (1 + g.data.item() ** 2))


@stops("storage")
def through_the_storage(self, p, g, s, lr, group):
    number = struct.unpack("d", bytes(g.untyped_storage()))[0]
    p.sub_(lr * number)


@stops("data_ptr")
def through_the_address(self, p, g, s, lr, group):
    p.sub_(lr * ctypes.c_double.from_address(g.data_ptr()).value)


@stops("__repr__")
def through_its_print(self, p, g, s, lr, group):
    p.sub_(lr * float(repr(g.sign())[8:10]))


# -- written behind the lifter's back ---------------------------------------------------------------


@stops("storage")
def storage_filled(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr)
    p.untyped_storage().fill_(0)


@stops(UNSEEN, here=False)
def written_by_numpy(self, p, g, s, lr, group):
    with torch._C.DisableTorchFunction():
        p.data.numpy()[...] -= 0.1 * g.numpy()
    p.add_(g, alpha=-lr)


@stops(UNSEEN, here=False)
def written_with_functions_disabled(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr)
    with torch._C.DisableTorchFunction():
        p.mul_(0.9)


@stops(UNSEEN, here=False)
def state_written_unseen(self, p, g, s, lr, group):
    buffer = s.setdefault("buffer", torch.zeros_like(p))
    buffer.add_(g)
    p.add_(buffer, alpha=-lr)
    with torch._C.DisableTorchFunction():
        buffer.mul_(0.9)


@stops("formula is not known")
def made_with_functions_disabled(self, p, g, s, lr, group):
    with torch._C.DisableTorchFunction():
        other = g * g
    p.add_(other, alpha=-lr)


@stops("", here=False)
def written_by_another_thread(self, p, g, s, lr, group):
    worker = threading.Thread(target=lambda: p.detach().sub_(g * 0.1))
    worker.start()
    worker.join()


@torch.jit.script
def _scripted(x: Tensor) -> Tensor:
    return x * 2.0


@torch.jit.script
def _scripted_in_place(x: Tensor, y: Tensor) -> Tensor:
    return x.sub_(y)


@stops("formula is not known")
def scripted(self, p, g, s, lr, group):
    p.add_(_scripted(g), alpha=-lr)


@stops(UNSEEN, here=False)
def scripted_in_place(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr)
    _scripted_in_place(p.detach(), g)


@lifts()
def aten(self, p, g, s, lr, group):
    torch.ops.aten.add_(p, torch.ops.aten.mul.Tensor(g, g), alpha=-lr)


@stops("cosh")
def aten_unknown(self, p, g, s, lr, group):
    p.sub_(lr * torch.ops.aten.cosh.default(g))


@torch.library.custom_op("adamproof_zoo::add", mutates_args=())
def _impostor(x: Tensor, y: Tensor) -> Tensor:
    return x * y


@stops("add")
def impostor(self, p, g, s, lr, group):
    p.sub_(_impostor(g, g) * lr)


class _Triple(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        return x * 3

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        return grad


@lifts()
def autograd_function(self, p, g, s, lr, group):
    p.sub_(_Triple.apply(g) * lr)


@stops("grad")
def differentiates(self, p, g, s, lr, group):
    with torch.enable_grad():
        z = p.detach().requires_grad_()
        (d,) = torch.autograd.grad(z * z, z)
    p.sub_(lr * d)


@stops("backward")
def goes_backward(self, p, g, s, lr, group):
    with torch.enable_grad():
        z = p.detach().requires_grad_()
        (z * z).backward()
    p.sub_(lr * z.grad)


class _Odd(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        out = super().__torch_function__(func, types, args, kwargs)
        return out * 2 if getattr(func, "__name__", "") == "mul" else out


@stops("mul")
def subclass(self, p, g, s, lr, group):
    p.sub_((g.as_subclass(_Odd) * lr).as_subclass(torch.Tensor))


@lifts()
def compiled(self, p, g, s, lr, group):
    p.sub_(_compiled(g) * lr)


_compiled = torch.compile(lambda x: x * 2 + 1, backend="eager")


# -- tensors, in the ways people write them ---------------------------------------------------------


@lifts()
def data_assigned(self, p, g, s, lr, group):
    p.data = p.data - lr * p.grad.data


@lifts()
def data_in_place(self, p, g, s, lr, group):
    p.data.add_(g.detach(), alpha=-lr)


@lifts()
def detached_in_place(self, p, g, s, lr, group):
    z = g.clone()
    z.detach_().mul_(lr)
    p -= z


@lifts()
def gradient_changed(self, p, g, s, lr, group):
    p.grad.mul_(2).add_(p, alpha=0.1)
    p.add_(p.grad, alpha=-lr)


@lifts()
def views(self, p, g, s, lr, group):
    p.view(-1).add_(g.reshape(-1), alpha=-lr)
    p.data.flatten().shape


@lifts()
def written_through_a_view(self, p, g, s, lr, group):
    p.unsqueeze(0).mul_(1 - lr)
    p.detach().sub_(lr * g)


@lifts()
def out_argument(self, p, g, s, lr, group):
    scaled = torch.empty_like(p)
    torch.mul(g, lr, out=scaled)
    torch.sub(p.data, scaled, out=p.data)


@lifts()
def empty_then_filled(self, p, g, s, lr, group):
    a, b, c = torch.empty_like(p), torch.empty_like(p), torch.empty_like(p)
    a.copy_(g)
    b.fill_(lr)
    c.zero_()
    p.sub_(a * b + c)


@stops("formula is not known")
def empty_then_read(self, p, g, s, lr, group):
    p.sub_(torch.empty_like(p) * lr)


@lifts()
def reflected(self, p, g, s, lr, group):
    p.sub_((1 - (2 ** (lr / (1 + g * g)))) * 0.5 + abs(g) ** 0.5)


@lifts()
def rate_as_a_tensor(self, p, g, s, lr, group):
    p.sub_(torch.tensor(lr, dtype=torch.float64) * torch.as_tensor(g))


@lifts()
def rate_as_a_single_tensor(self, p, g, s, lr, group):
    p.sub_(torch.tensor(lr) * torch.full_like(g, lr) * g)


@lifts()
def cast_to_single(self, p, g, s, lr, group):
    p.sub_((g.float() * lr).double())


@stops("bfloat16")
def cast_to_half(self, p, g, s, lr, group):
    p.sub_(g.bfloat16().double() * lr)


@stops("int")
def cast_to_int(self, p, g, s, lr, group):
    p.sub_(g.to(torch.int64) * lr)


@stops("int")
def copied_to_int(self, p, g, s, lr, group):
    z = torch.zeros_like(g, dtype=torch.int64)
    z.copy_(g)
    p.sub_(z * lr)


@stops("bool")
def bool_arithmetic(self, p, g, s, lr, group):
    z = torch.ones_like(g, dtype=torch.bool)
    p.sub_((z + z) * lr * g)


@stops("")
def other_bits(self, p, g, s, lr, group):
    p.sub_((g.view(torch.int64) * 0 + 1) * lr)


@lifts()
def clamped(self, p, g, s, lr, group):
    p.sub_(g.clamp(-0.5, 0.5) * lr + torch.clamp(g, min=p * p) + g.clamp_max(lr))


@lifts()
def larger_of_two(self, p, g, s, lr, group):
    p.sub_(lr * torch.max(g, p * p) + torch.minimum(g, p) + lr * g.sign())


@stops("addcdiv")
def old_signature(self, p, g, s, lr, group):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        p.addcdiv_(-lr, g, g.abs() + 1)


@stops("add")
def old_signature_of_add(self, p, g, s, lr, group):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        p.add_(-lr, g)


@stops("div")
def truncated(self, p, g, s, lr, group):
    p.sub_(lr * torch.div(g, 0.3, rounding_mode="trunc"))


@stops("leaves the finite numbers")
def division_by_zero(self, p, g, s, lr, group):
    p.sub_((g / torch.zeros_like(g)).clamp(-1, 1) * lr)


@stops("")
def root_of_a_negative(self, p, g, s, lr, group):
    p.sub_(lr * (-g.abs() - 1) ** 0.5)


@lifts()
def foreach(self, p, g, s, lr, group):
    buffer = s.setdefault("buffer", torch.zeros_like(p))
    torch._foreach_copy_([buffer], torch._foreach_add(torch._foreach_mul([buffer], 0.9), [g]))
    torch._foreach_add_([p], torch._foreach_div([buffer], [1 + lr]), alpha=-lr)


@stops("fused_adamw")
def fused(self, p, g, s, lr, group):
    one = torch.ones((), dtype=torch.float32)
    torch._fused_adamw_(
        [p], [g], [torch.zeros_like(p)], [torch.zeros_like(p)], [], [one], lr=0.1, beta1=0.9,
        beta2=0.9, weight_decay=0.0, eps=1e-8, amsgrad=False, maximize=False,
    )  # fmt: skip


def _unknown(name: str, use: Callable[..., Any]) -> None:
    """Add a case for an operation that the table does not have."""

    def body(self, p, g, s, lr, group):
        p.sub_(use(p, g) * lr)

    body.__name__ = name
    _add(body, name.removeprefix("op_"), False, None, {})


for _name, _use in {
    "op_exp": lambda p, g: g.exp(),
    "op_tanh": lambda p, g: torch.tanh(g),
    "op_sin": lambda p, g: torch.sin(g),
    "op_where": lambda p, g: torch.where(g, p, g),
    "op_gt": lambda p, g: (g > 0) * g,
    "op_heaviside": lambda p, g: torch.heaviside(g, p),
    "op_floor": lambda p, g: g.floor(),
    "op_remainder": lambda p, g: g % 0.3,
    "op_floor_divide": lambda p, g: g // 0.3,
    "op_randn_like": lambda p, g: torch.randn_like(g),
    "op_bernoulli_": lambda p, g: g.clone().bernoulli_(0.5),
    "op_dropout": lambda p, g: torch.nn.functional.dropout(g),
    "op_softplus": lambda p, g: torch._C._nn.softplus(g),
    "op_normalize": lambda p, g: torch.nn.functional.normalize(g, dim=0),
    "op_einsum": lambda p, g: torch.einsum("i,i->i", g, g),
    "op_cumsum": lambda p, g: g.cumsum(0),
    # right for one element, wrong for more: these couple coordinates
    "op_sum": lambda p, g: g.sum(),
    "op_mean": lambda p, g: g.mean(),
    "op_norm": lambda p, g: g / g.norm(),
    "op_max": lambda p, g: g.max(),
    "op_min": lambda p, g: torch.min(g.abs()),
    "op_amax": lambda p, g: g.amax(),
    "op_dot": lambda p, g: torch.dot(g.view(-1), g.view(-1)),
    "op_prod": lambda p, g: g.prod(),
    "op_flip": lambda p, g: g.flip(0),
    "op_roll": lambda p, g: g.roll(1),
    "op__foreach_norm": lambda p, g: torch._foreach_norm([g])[0],
    "op__foreach_max": lambda p, g: torch._foreach_max([g.abs()])[0],
    "op__foreach_sin": lambda p, g: torch._foreach_sin([g])[0],
    "op_cat": lambda p, g: torch.cat([g, p])[:1],
    "op_stack": lambda p, g: torch.stack([g, p])[0],
    "op_chunk": lambda p, g: g.chunk(1)[0],
    "op_split": lambda p, g: g.split(1)[0],
    "op_narrow": lambda p, g: g.narrow(0, 0, 1),
    "op___getitem__": lambda p, g: g[0],
    "op_set_": lambda p, g: g.set_(p.data),
    "op_index_put_": lambda p, g: g.clone().index_put_((torch.zeros(1, dtype=torch.int64),), p),
    "op___deepcopy__": lambda p, g: copy.deepcopy(g),
    "op_save": lambda p, g: torch.save(g, io.BytesIO()) or g,
    "op_vmap": lambda p, g: torch.vmap(lambda z: z * 2)(g),
}.items():
    _unknown(_name, _use)


@stops("__setitem__")
def index_assigned(self, p, g, s, lr, group):
    p.sub_(g * lr)
    p[...] = 0.0


@stops("__setitem__")
def masked_assigned(self, p, g, s, lr, group):
    g[torch.isnan(g)] = 0.0
    p.sub_(g * lr)


ZOO["masked_assigned"] = Case(ZOO["masked_assigned"].cls, masked_assigned, "isnan")
ZOO["op_vmap"] = Case(ZOO["op_vmap"].cls, ZOO["op_vmap"].body, "", here=False)
ZOO["op_save"] = Case(ZOO["op_save"].cls, ZOO["op_save"].body, "", here=False)


# -- more than one coordinate -----------------------------------------------------------------------


@stops(SHAPE, here=False)
def size_of_the_parameter(self, p, g, s, lr, group):
    p.sub_(g * lr / p.numel())


@stops(SHAPE, here=False)
def only_matrices(self, p, g, s, lr, group):
    p.sub_(g * lr if p.ndim < 2 else g * lr * lr)


@stops(SHAPE, here=False)
def transposed(self, p, g, s, lr, group):
    p.sub_((g.mT if g.ndim == 2 and g.shape[0] == g.shape[1] else g) * lr)


@stops("float32", here=False)
def branch_on_the_dtype(self, p, g, s, lr, group):
    p.sub_(g * lr if p.dtype == torch.float64 else g * lr * lr)


@stops("couples", here=False)
def momentum_of_the_first(self, p, g, s, lr, group):
    first = self.state[group["params"][0]]
    buffer = first.setdefault("buffer", torch.zeros_like(p))
    p.add_(g, alpha=-lr)
    if p.shape == buffer.shape:
        p.add_(buffer, alpha=-lr)
        buffer.add_(g)


@stops("couples", here=False)
def gradient_of_another(self, p, g, s, lr, group):
    last = group["params"][-1]
    p.add_(last.grad if last.shape == p.shape else g, alpha=-lr)


@stops("", here=False)
def counted_per_parameter(self, p, g, s, lr, group):
    group["step"] = group.get("step", 0) + 1
    p.add_(g, alpha=-lr / group["step"])


# -- state that the lifter would not see ------------------------------------------------------------


def _buffers(self):
    self.buffers = {}


@stops(HIDDEN, here=False, setup=_buffers)
def hidden_by_identity(self, p, g, s, lr, group):
    buffer = self.buffers.setdefault(id(p), torch.zeros_like(p))
    buffer.mul_(group["momentum"]).add_(g)
    p.add_(buffer, alpha=-lr)


@stops(HIDDEN, here=False, setup=_buffers)
def hidden_by_parameter(self, p, g, s, lr, group):
    self.buffers[p] = self.buffers.get(p, 0) * 0.5 + g
    p.add_(self.buffers[p], alpha=-lr)


def _count(self):
    self.count = 0


@stops(HIDDEN, here=False, setup=_count)
def counted_on_the_optimizer(self, p, g, s, lr, group):
    self.count += 1
    p.add_(g, alpha=-lr * (2 if self.count > 900 else 1))


_GLOBAL = {"count": 0}


@stops(HIDDEN, here=False)
def counted_globally(self, p, g, s, lr, group):
    _GLOBAL["count"] += 1
    p.add_(g, alpha=-lr * (2 if _GLOBAL["count"] > 10**6 else 1))


_total = 0


@stops(HIDDEN, here=False)
def counted_in_a_global_number(self, p, g, s, lr, group):
    global _total
    _total += 1
    p.add_(g, alpha=-lr * (2 if _total > 10**6 else 1))


def _closure() -> Rule:
    count = 0

    def counted_in_a_closure(self, p, g, s, lr, group):
        nonlocal count
        count += 1
        p.add_(g, alpha=-lr * (2 if count > 10**6 else 1))

    return counted_in_a_closure


stops(HIDDEN, here=False)(_closure())


@stops(HIDDEN, here=False)
def counted_on_the_class(self, p, g, s, lr, group):
    type(self).count = getattr(type(self), "count", 0) + 1
    p.add_(g, alpha=-lr * (2 if type(self).count > 10**6 else 1))


@stops(HIDDEN, here=False)
def counted_in_a_default(self, p, g, s, lr, group, seen=[0]):  # noqa: B006
    seen[0] += 1
    p.add_(g, alpha=-lr * (2 if seen[0] > 10**6 else 1))


_ticks = itertools.count()


@stops(HIDDEN, here=False)
def counted_by_an_iterator(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr * (2 if next(_ticks) > 10**6 else 1))


@functools.lru_cache
def _correction(momentum, step):
    return 1 - momentum**step


@stops("__hash__")
def remembered(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    p.add_(g, alpha=-lr / _correction(group["momentum"], s["step"]))


@stops("list", here=False)
def state_in_a_list(self, p, g, s, lr, group):
    s.setdefault("history", []).append(1.0)
    p.add_(g, alpha=-lr / len(s["history"]))


@stops("", here=False)
def state_in_a_queue(self, p, g, s, lr, group):
    s.setdefault("history", deque(maxlen=3)).append(g.clone())
    p.add_(s["history"][0], alpha=-lr)


@stops("", here=False)
def state_in_a_flag(self, p, g, s, lr, group):
    s["odd"] = not s.get("odd", False)
    p.add_(g, alpha=-lr if s["odd"] else -2 * lr)


@stops("state", here=False)
def state_that_comes_late(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    if s["step"] > 20:
        s.setdefault("average", torch.zeros_like(p)).add_(g)
        p.sub_(s["average"])
    p.add_(g, alpha=-lr)


@stops("", here=False)
def anchored_at_the_start(self, p, g, s, lr, group):
    if not hasattr(self, "anchors"):
        self.anchors = {}
    anchor = self.anchors.setdefault(p, p.detach().clone())
    p.add_(g + p - anchor, alpha=-lr)


@lifts()
def anchored_in_the_state(self, p, g, s, lr, group):
    anchor = s.setdefault("anchor", p.detach().clone())
    p.add_(g + p - anchor, alpha=-lr)


@stops("memory", here=False)
def keeps_the_gradient_itself(self, p, g, s, lr, group):
    p.add_(g + s.get("previous", 0.0 * g), alpha=-lr)
    s["previous"] = g


@lifts()
def state_as_a_float(self, p, g, s, lr, group):
    s["decay"] = s.get("decay", 1.0) * group["momentum"]
    p.add_(g, alpha=-lr * (1 - s["decay"]))


@lifts()
def state_replaced(self, p, g, s, lr, group):
    s["buffer"] = group["momentum"] * s.get("buffer", torch.zeros_like(p)) + g
    p.add_(s["buffer"], alpha=-lr)


@stops("lr", here=False)
def rate_decays(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr)
    group["lr"] = lr * 0.9


@stops("lr", here=False)
def rate_decays_later(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    p.add_(g, alpha=-lr)
    if s["step"] == 50:
        group["lr"] = lr * 0.1


@lifts()
def counted_in_the_group(self, p, g, s, lr, group):
    if p is group["params"][0]:
        group["k"] = group.get("k", 0) + 1
    p.add_(g, alpha=-lr / group["k"])


@stops("count", here=False)
def other_counter_in_the_group(self, p, g, s, lr, group):
    if p is group["params"][0]:
        group["tick"] = group.get("tick", 0) + 2
    p.add_(g, alpha=-lr / group["tick"])


@stops("parameters", here=False)
def parameter_replaced(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr)
    other = torch.nn.Parameter(p.detach() * 0.5)
    other.grad = g
    group["params"][group["params"].index(p) if False else 0] = group["params"][0]
    self.param_groups[0]["params"] = [other if q is p else q for q in group["params"]]


def _hooked(self):
    self.register_step_post_hook(
        lambda optimizer, *_: [q.data.mul_(0.5) for q in optimizer.param_groups[0]["params"]]
    )


@lifts(setup=_hooked)
def hooked(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr)


# -- names ------------------------------------------------------------------------------------------


@stops("kappa", here=False)
def state_named_like_an_option(self, p, g, s, lr, group):
    kappa = s.setdefault("kappa", torch.zeros_like(p))
    kappa.mul_(group["kappa"]).add_(g)
    p.add_(kappa, alpha=-lr)


class TwoForOne(torch.optim.Optimizer):
    """Options that the paper's table gives one symbol: ``alpha`` and ``betas[1]``."""

    def __init__(self, params, lr=0.1, betas=(0.9, 0.8), alpha=0.6):
        super().__init__(params, {"lr": lr, "betas": betas, "alpha": alpha})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * p.grad * group["betas"][1] / group["alpha"])


class NamedLikeSymbols(torch.optim.Optimizer):
    """Options named like the parameter, the gradient, the step, and names that SymPy knows."""

    def __init__(self, params, x=0.3, g=0.4, t=0.7, S=0.6, gamma=0.8, g1=0.2, momentum_buffer=0.9):
        super().__init__(params, dict(x=x, g=g, t=t, S=S, gamma=gamma, g1=g1, b=momentum_buffer))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                rate = group["x"] * group["g"] - group["t"] * group["S"] + group["gamma"]
                p.sub_(rate * group["g1"] * p.grad * group["b"])


class OutOfDomain(torch.optim.Optimizer):
    """A momentum below zero, so no symbol in [0, 1)."""

    def __init__(self, params, lr=0.1, momentum=-0.5):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * p.grad * abs(group["momentum"]))


class Narrow(torch.optim.Optimizer):
    """Options that the constructor takes in a narrow range only."""

    def __init__(self, params, lr=0.1, kappa=0.3):
        if not 0.05 < lr < 0.2 or not 0.25 < kappa < 0.35:
            raise ValueError("out of range")
        super().__init__(params, {"lr": lr, "kappa": kappa})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * p.grad * group["kappa"])
