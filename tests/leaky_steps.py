"""More optimizers that try to make the lifter lie: whole steps, state, branches, constructors."""

import contextlib
import functools
import itertools
import math
import operator
import random
import threading
import warnings
from collections import deque
from collections.abc import Callable
from math import sqrt as bound_sqrt
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .leaky import (
    CHANGED,
    COUPLED,
    MOVED,
    OUTSIDE,
    SHARED,
    TWO,
    UNSEEN,
    WRONG,
    add,
    lifts,
    script,
    stops,
)

# -- kept by the constructor ------------------------------------------------------------------------


def _attribute(self):
    self.rate = self.defaults["lr"]
    self.tensor = torch.tensor(self.rate, dtype=torch.float64)


@lifts(setup=_attribute)
def attributes(self, p, g, s, lr, group):
    p.add_(g * self.tensor, alpha=-self.rate)


def _float_attribute(self):
    self.rate = float(self.defaults["lr"])


@stops("__float__", here=False, setup=_float_attribute)
def float_attribute(self, p, g, s, lr, group):
    p.add_(g, alpha=-self.rate)


def _generator(self):
    self.random = random.Random(0)


@stops(TWO, here=False, setup=_generator)
def seeded_generator(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr * self.random.random())


@stops(MOVED, here=False)
def other_option(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr * bound_sqrt(group["kappa"]))


@stops(MOVED, here=False)
def other_option_rounded(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr * float(f"{group['momentum']:.0f}"))


@stops(MOVED, here=False)
def lost_in_the_first_step(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr if s else -bound_sqrt(lr))
    s["seen"] = True


@stops(MOVED, here=False)
def lost_after_the_first_step(self, p, g, s, lr, group):
    p.add_(g, alpha=-bound_sqrt(lr) if s else -lr)
    s["seen"] = True


# -- branches on t, and counting it -----------------------------------------------------------------


@lifts()
def early_and_late(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    p.add_(g, alpha=-lr if s["step"] <= 5 else -lr / s["step"])


@lifts()
def far_away(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    if s["step"] > 100:
        p.mul_(1 - lr)
    p.add_(g, alpha=-lr)


@lifts()
def nested(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    if s["step"] > 3:
        lr = lr / 2
        if s["step"] > 60:
            lr = lr / 2
    p.add_(g, alpha=-lr)


@lifts()
def one_step_of_its_own(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    p.add_(g, alpha=-lr * 7 if s["step"] == 377 else -lr)


@lifts()
def first_step_of_its_own(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    p.add_(g, alpha=-lr * 7 if s["step"] == 1 else -lr)


@stops("no step up to 4096", here=False)
def out_of_reach(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    p.add_(g, alpha=-lr * 7 if s["step"] > 100_000 else -lr)


@stops("counts steps in 'step', but not all", here=False)
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
def whole_tensor_counter(self, p, g, s, lr, group):
    s.setdefault("step", torch.zeros((), dtype=torch.int64))
    s["step"] += 1
    p.add_(g, alpha=-lr / s["step"].item())


@lifts()
def counter_in_the_group(self, p, g, s, lr, group):
    if p is group["params"][0]:
        group["k"] = group.get("k", 0) + 1
    p.add_(g, alpha=-lr / group["k"])


@stops("param_groups[0]['tick']", here=False)
def by_twos_in_the_group(self, p, g, s, lr, group):
    group["tick"] = group.get("tick", 0) + 1
    p.add_(g, alpha=-lr / group["tick"])


@stops("__mod__")
def every_third(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    p.add_(g, alpha=-lr * (s["step"] % 3))


@stops("__and__")
def odd_steps(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    with contextlib.suppress(TypeError):
        lr = lr * (s["step"] & 1)
    p.add_(g, alpha=-lr)


@stops("__index__")
def as_an_index(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    with contextlib.suppress(TypeError):
        lr = [0.0, 1.0, 0.5, 0.25][operator.index(s["step"]) - 1]
    p.add_(g, alpha=-lr)


@stops("differs from coordinate to coordinate", here=False)
def on_the_gradient(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr * 2 if g.numel() == 1 and g.item() > 0 else -lr)


@functools.lru_cache
def _correction(momentum, step):
    return 1 - momentum**step


@stops("__hash__")
def remembered(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    p.add_(g, alpha=-lr / _correction(group["momentum"], s["step"]))


# -- errors that are swallowed ----------------------------------------------------------------------


@stops("log")
def swallowed(self, p, g, s, lr, group):
    with contextlib.suppress(Exception):
        g = torch.log(g.abs())
    p.add_(g, alpha=-lr)


@stops("__float__")
def swallowed_bare(self, p, g, s, lr, group):
    try:
        rate = float(lr)
    except:  # noqa: E722
        rate = lr
    p.add_(g, alpha=-rate)


@stops("tanh")
def raised_as_another(self, p, g, s, lr, group):
    try:
        torch.tanh(g)
    except Exception:
        raise ValueError("no") from None


@stops("reshape was called")
def swallowed_by_keywords(self, p, g, s, lr, group):
    with contextlib.suppress(Exception):
        g = torch.reshape(input=g, shape=g.shape)
    p.add_(g, alpha=-lr)


@lifts()
def errors_of_torch_are_the_optimizer_s(self, p, g, s, lr, group):
    try:
        g = g.view(7)
    except RuntimeError:
        g = g * 2
    p.add_(g, alpha=-lr)


# -- written behind the lifter's back ---------------------------------------------------------------


@stops("untyped_storage")
def storage_filled(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr)
    p.untyped_storage().fill_(0)


@stops(CHANGED, here=False)
def written_by_numpy(self, p, g, s, lr, group):
    with torch._C.DisableTorchFunction():
        shared = p.detach().numpy()
    shared *= 0.9
    p.data = p.data
    p.grad = g


@stops("meets a tensor that an operation")
def written_by_numpy_then_read(self, p, g, s, lr, group):
    with torch._C.DisableTorchFunction():
        shared = p.detach().numpy()
    shared *= 0.9
    p.add_(g, alpha=-lr)


@stops(CHANGED, here=False)
def written_by_another_thread(self, p, g, s, lr, group):
    worker = threading.Thread(target=lambda: p.detach().sub_(g * 0.1))
    worker.start()
    worker.join()


@stops(UNSEEN)
def functions_disabled(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr)
    with torch._C.DisableTorchFunction():
        p.mul_(0.9)


@stops(UNSEEN)
def counter_read_unseen(self, p, g, s, lr, group):
    s.setdefault("step", torch.zeros((), dtype=torch.float64)).add_(1)
    with torch._C.DisableTorchFunction():
        late = s["step"].item() > 900
    p.add_(g, alpha=-2 * lr if late else -lr)


def _subtract(x: Tensor, y: Tensor) -> Tensor:
    return x.sub_(y)


_scripted_in_place = script(_subtract)


@stops(UNSEEN)
def scripted_in_place(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr)
    _scripted_in_place(p.detach(), g)


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


@stops("_foreach_add_ gave")
def twice_in_a_list(self, p, g, s, lr, group):
    torch._foreach_add_([p, p], [g, g], alpha=-lr)


@stops("fused_adamw")
def fused(self, p, g, s, lr, group):
    one = torch.ones((), dtype=torch.float32)
    torch._fused_adamw_(
        [p], [g], [torch.zeros_like(p)], [torch.zeros_like(p)], [], [one], lr=0.1, beta1=0.9,
        beta2=0.9, weight_decay=0.0, eps=1e-8, amsgrad=False, maximize=False,
    )  # fmt: skip


# -- tensors, in the ways people write them ---------------------------------------------------------


@lifts()
def data_assigned(self, p, g, s, lr, group):
    p.data = p.data - lr * p.grad.data


@lifts()
def data_in_place(self, p, g, s, lr, group):
    p.data.add_(g.detach(), alpha=-lr)
    p.grad = None


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
def written_through_views(self, p, g, s, lr, group):
    p.unsqueeze(0).mul_(1 - lr)
    p.view(-1).sub_(lr * g.reshape(-1))


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


@lifts()
def rate_as_a_tensor(self, p, g, s, lr, group):
    p.sub_(torch.tensor(lr, dtype=torch.float64) * torch.full_like(g, lr) * g)


@lifts()
def foreach(self, p, g, s, lr, group):
    buffer = s.setdefault("buffer", torch.zeros_like(p))
    torch._foreach_copy_([buffer], torch._foreach_add(torch._foreach_mul([buffer], 0.9), [g]))
    torch._foreach_add_([p], torch._foreach_div([buffer], [1 + lr]), alpha=-lr)


@stops("addcdiv_ gave")
def old_signature(self, p, g, s, lr, group):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        p.addcdiv_(-lr, g, g.abs() + 1)


@stops("add_ was called")
def old_signature_of_add(self, p, g, s, lr, group):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        p.add_(-lr, g)


@stops("__setitem__")
def index_assigned(self, p, g, s, lr, group):
    p.sub_(g * lr)
    p[...] = 0.0


@stops("isnan")
def masked_assigned(self, p, g, s, lr, group):
    g[torch.isnan(g)] = 0.0
    p.sub_(g * lr)


def _hooked(self):
    self.register_step_post_hook(
        lambda optimizer, *_: (
            [q.data.mul_(0.5) for q in optimizer.param_groups[0]["params"]]
            and [q.data.mul_(0.5) for group in optimizer.param_groups[1:] for q in group["params"]]
            and None
        )
    )


@lifts(setup=_hooked)
def hooked(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr)


# -- more than one parameter ------------------------------------------------------------------------


@stops(SHARED, here=False)
def momentum_of_the_first(self, p, g, s, lr, group):
    buffer = self.state[group["params"][0]].setdefault("buffer", torch.zeros_like(p))
    p.add_(buffer + g, alpha=-lr)


@stops(COUPLED, here=False)
def momentum_read_from_the_first(self, p, g, s, lr, group):
    first = self.state[group["params"][0]].setdefault("buffer", torch.zeros_like(p))
    p.add_(first if p.shape == first.shape else g, alpha=-lr)
    s.setdefault("buffer", torch.zeros_like(p))
    if p is group["params"][-1]:
        for q in group["params"]:
            self.state[q]["buffer"].mul_(group["momentum"]).add_(q.grad)


@stops(COUPLED, here=False)
def gradient_of_another(self, p, g, s, lr, group):
    last = group["params"][-1]
    p.add_(last.grad if last.shape == p.shape else g, alpha=-lr)


@stops(WRONG, here=False)
def how_many_parameters(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr / len(group["params"]))


@stops(WRONG, here=False)
def which_group(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr if group is self.param_groups[0] else -2 * lr)


# -- state that the lifter would not see ------------------------------------------------------------


def _buffers(self):
    self.buffers = {}


@stops(OUTSIDE, here=False, setup=_buffers)
def by_identity(self, p, g, s, lr, group):
    buffer = self.buffers.setdefault(id(p), torch.zeros_like(p))
    buffer.mul_(group["momentum"]).add_(g)
    p.add_(buffer, alpha=-lr)


@stops(OUTSIDE, here=False, setup=_buffers)
def by_parameter(self, p, g, s, lr, group):
    self.buffers[p] = self.buffers.get(p, 0) * 0.5 + g
    p.add_(self.buffers[p], alpha=-lr)


@stops(OUTSIDE, here=False, setup=_buffers)
def anchored_outside(self, p, g, s, lr, group):
    p.add_(g + p - self.buffers.setdefault(p, p.detach().clone()), alpha=-lr)


@lifts()
def anchored_in_the_state(self, p, g, s, lr, group):
    p.add_(g + p - s.setdefault("anchor", p.detach().clone()), alpha=-lr)


class _Counter:
    __slots__ = ("count",)

    def __init__(self):
        self.count = 0


def _ticks():
    count = 0
    while True:
        count += 1
        yield count


# Each of these counts, and does something else when nobody looks any more.
_GLOBAL = {"count": 0}
_OTHER = {"count": 0}
_total = 0
_iterator = itertools.count()


def _count_globally(self, p):
    global _total
    _total += 1
    return _total


def _closure():
    count = 0

    def up(self, p):
        nonlocal count
        count += 1
        return count

    return up


def _count_by_default(self, p, seen=[0]):  # noqa: B006
    seen[0] += 1
    return seen[0]


def _count_in(self, p, counter):
    counter.count += 1
    return counter.count


def _count_on_the_class(self, p):
    type(self).count = getattr(type(self), "count", 0) + 1
    return type(self).count


def _up(of: Callable[[Any, Tensor], Any]) -> Callable[[Any, Tensor], int]:
    def up(self, p):
        owner = of(self, p)
        owner.count = getattr(owner, "count", 0) + 1
        return owner.count

    return up


def _up_in(of: Callable[[Any, Tensor], Any]) -> Callable[[Any, Tensor], int]:
    def up(self, p):
        entries = of(self, p)
        entries["count"] = entries.get("count", 0) + 1
        return entries["count"]

    return up


def _its_buffer(self, p):
    return self.state[p].setdefault("buffer", torch.zeros_like(p))


def _make(make: Callable[[], Any]) -> Callable[[Any], None]:
    def setup(self):
        self.kept = make()

    return setup


def _counter(name: str, count: Callable[[Any, Tensor], int], setup: Any) -> None:
    def rule(self, p, g, s, lr, group):
        p.add_(g, alpha=-lr * (2 if count(self, p) > 10**6 else 1))

    add(f"counts_{name}", rule, rule, OUTSIDE, False, setup)


for _name, _count, _setup in (
    ("on_itself", _up(lambda self, p: self), None),
    ("on_the_parameter", _up(lambda self, p: p), None),
    ("on_a_namespace", _up(lambda self, p: self.kept), _make(SimpleNamespace)),
    ("in_a_slot", _up(lambda self, p: self.kept), _make(_Counter)),
    ("on_a_state_tensor", _up(_its_buffer), None),
    ("in_a_thread_s_local", _up(lambda self, p: self.kept), _make(threading.local)),
    ("by_the_name_of_a_global", _up_in(lambda self, p: globals()["_OTHER"]), None),
    ("on_a_module", _up(lambda self, p: self.kept), _make(torch.nn.Module)),
    ("in_the_defaults", _up_in(lambda self, p: self.defaults), None),
    ("in_the_state_by_name", _up_in(lambda self, p: self.state["all"]), None),
    ("in_an_array", lambda self, p: self.kept.__iadd__(1)[0], _make(lambda: np.zeros(1))),
    ("in_a_queue", lambda self, p: self.kept.append(1) or len(self.kept), _make(deque)),
    ("in_a_generator", lambda self, p: next(self.kept), _make(_ticks)),
    ("in_an_iterator", lambda self, p: next(_iterator), None),
    ("in_a_list_iterator", lambda self, p: next(self.kept), _make(lambda: iter([1] * 10**5))),
    ("in_a_global_dictionary", _up_in(lambda self, p: _GLOBAL), None),
    ("in_a_global_number", _count_globally, None),
    ("in_a_closure", _closure(), None),
    ("in_a_default", _count_by_default, None),
    ("in_a_partial", functools.partial(_count_in, counter=_Counter()), None),
    ("on_the_class", _count_on_the_class, None),
):
    _counter(_name, _count, _setup)


def _wrapping(self):
    self.inner = torch.optim.SGD(self.param_groups[0]["params"], lr=0.5, momentum=0.5)


@stops(OUTSIDE, here=False, setup=_wrapping)
def wraps_another(self, p, g, s, lr, group):
    if p is group["params"][0]:
        self.inner.step()
    p.add_(g, alpha=-lr)


def _scheduled(self):
    self.schedule = torch.optim.lr_scheduler.ExponentialLR(self, 0.9)
    self.schedule._initial_step = lambda: None


@stops(OUTSIDE, here=False, setup=_scheduled)
def schedules_itself(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr)
    if p is group["params"][-1]:
        self.schedule.step()


@stops("list state['history']", here=False)
def state_in_a_list(self, p, g, s, lr, group):
    s.setdefault("history", []).append(1.0)
    p.add_(g, alpha=-lr / len(s["history"]))


@stops("deque state['history']", here=False)
def state_in_a_queue(self, p, g, s, lr, group):
    s.setdefault("history", deque(maxlen=3)).append(g.clone())
    p.add_(s["history"][0], alpha=-lr)


@stops("bool state['odd']", here=False)
def state_in_a_flag(self, p, g, s, lr, group):
    s["odd"] = not s.get("odd", False)
    p.add_(g, alpha=-lr if s["odd"] else -2 * lr)


@stops("state entry 'average'", here=False)
def state_that_comes_late(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    if s["step"] > 20:
        p.sub_(s.setdefault("average", torch.zeros_like(p)).add_(g))
    p.add_(g, alpha=-lr)


@stops("shares its memory", here=False)
def state_is_the_gradient(self, p, g, s, lr, group):
    p.add_(g + s.get("previous", 0.0 * g), alpha=-lr)
    s["previous"] = g


@stops("tell it from the option kappa", here=False)
def state_named_like_an_option(self, p, g, s, lr, group):
    kappa = s.setdefault("kappa", torch.zeros_like(p))
    kappa.mul_(group["kappa"]).add_(g)
    p.add_(kappa, alpha=-lr)


@lifts()
def state_as_a_float(self, p, g, s, lr, group):
    s["decay"] = s.get("decay", 1.0) * group["momentum"]
    p.add_(g, alpha=-lr * (1 - s["decay"]))


@lifts()
def state_replaced(self, p, g, s, lr, group):
    s["buffer"] = group["momentum"] * s.get("buffer", torch.zeros_like(p)) + g
    p.add_(s["buffer"], alpha=-lr)


@stops("param_groups[0]['lr']", here=False)
def rate_decays(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr)
    group["lr"] = lr * 0.9


@stops("param_groups[0]['lr']", here=False)
def rate_decays_later(self, p, g, s, lr, group):
    s["step"] = s.get("step", 0) + 1
    p.add_(g, alpha=-lr)
    if s["step"] == 50:
        group["lr"] = lr * 0.1


@stops("param_groups[0]['params']", here=False)
def parameter_replaced(self, p, g, s, lr, group):
    p.add_(g, alpha=-lr)
    other = torch.nn.Parameter(p.detach() * 0.5)
    other.grad = g
    group["params"] = [other if q is p else q for q in group["params"]]


# -- constructors ------------------------------------------------------------------------------------


class _Options(torch.optim.Optimizer):
    """Keeps its options, and steps by a rate made of them."""

    def __init__(self, params, **options):
        super().__init__(params, options)

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(self.rate(group) * p.grad)


class TwoForOne(_Options):
    """Options that the paper's table gives one symbol: ``alpha`` and ``betas[1]``."""

    def __init__(self, params, lr=0.1, alpha=0.6, betas=(0.9, 0.8)):
        super().__init__(params, lr=lr, alpha=alpha, betas=betas)

    def rate(self, group):
        return group["lr"] * group["betas"][1] / group["alpha"]


class NamedLikeSymbols(_Options):
    """Options named like the parameter, the gradient, the step, and names that SymPy knows."""

    def __init__(self, params, x=0.3, g=0.4, t=0.7, S=0.6, gamma=0.8, g1=0.2, m_new=0.9, beta1=0.5):
        super().__init__(params, x=x, g=g, t=t, S=S, gamma=gamma, g1=g1, m_new=m_new, beta1=beta1)

    def rate(self, group):
        return math.sqrt(sum(v * (i + 1) for i, v in enumerate(list(group.values())[1:9])))


class OutOfDomain(_Options):
    """A momentum below zero and a smoothing constant of 5, so no symbols in [0, 1)."""

    def __init__(self, params, lr=0.1, momentum=-0.5, betas=(0.9, 5.0)):
        super().__init__(params, lr=lr, momentum=momentum, betas=betas)

    def rate(self, group):
        return group["lr"] * abs(group["momentum"]) * abs(1 - group["betas"][1])


class Narrow(_Options):
    """Options that the constructor takes in a narrow range only."""

    def __init__(self, params, lr=0.1, kappa=0.3):
        if not 0.05 < lr < 0.2 or not 0.25 < kappa < 0.35:
            raise ValueError("out of range")
        super().__init__(params, lr=lr, kappa=kappa)

    def rate(self, group):
        return group["lr"] * group["kappa"]


class ScaledByRange(_Options):
    """Does something else for rates past 100, in the constructor, and past 50, in the first step."""

    def __init__(self, params, lr=0.1, kappa=0.3):
        if not 0.0 < kappa < 1.0:
            raise ValueError("out of range")
        self.scale = 2.0 if lr > 100 else 1.0
        super().__init__(params, lr=lr, kappa=kappa)

    def rate(self, group):
        first = not self.state
        for p in group["params"]:
            self.state[p]["seen"] = True
        return group["lr"] * self.scale * (0.5 if first and group["lr"] > 50 else 1.0)


class Adamant(torch.optim.Adam):
    """A subclass that leaves the work to torch's Adam, and decays on its own."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.mul_(1 - group["lr"] * 0.01)
        return super().step(closure)
