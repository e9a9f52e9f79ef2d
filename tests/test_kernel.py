"""The compiled form is the reference form, bit for bit up to roots, and behaves like the shipped one."""

import copy
import gc
import io
import os
import pickle
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import Parameter
from torch.utils.flop_counter import FlopCounterMode

from adamproof import caches
from adamproof import optimizers as ours
from adamproof.optimizers import gather, in_c, kernel
from adamproof.optimizers.base import Base, hyper_parameters
from adamproof.proofs_check.build import Recipe
from adamproof.proofs_check.lift import lift
from adamproof.proofs_check.symbolic import LiftError

from .family import (
    BY_NAME,
    VARIANTS,
    Rounded,
    Variant,
    assert_identical,
    each_variant,
    each_with_twin,
    kept,
    needs_compiler,
    parameters,
    train,
    weights,
)

pytestmark = needs_compiler

#: Entries of a state that are numbers, whatever the parameter is.
COUNTS = ("step", "mu_product")
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
#: Of each class one.
CLASSES = {name for name in BY_NAME if "," not in name}
#: Every variant in float32; of each class, and of what has more than one root or product, one in every
#: type: a compiler takes some tenths of a second for each.
EVERY_TYPE = CLASSES | {"RMSprop, Graves", "AMSGrad, coupled", "NAdam, dozat"}
each_kernel = pytest.mark.parametrize(
    ("variant", "dtype"),
    [(v, dtype) for v in VARIANTS for dtype in DTYPES if dtype is torch.float32 or v.name in EVERY_TYPE],
    ids=str,
)
#: Around a vector, around a block, and past what one thread takes for itself.
SIZES = [(), (0,), (1,), (3, 5), (63,), (64,), (255,), (257,), (2, 0, 3), (3 * in_c.SHARE + 5,)]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Each test meets a process that has not warned yet; the files are kept between tests."""
    kernel.forget()
    yield
    kernel.forget()


def compiled_kernels() -> int:
    return kernel.build.cache_info().currsize


def reference_of(cls: Any) -> Any:
    return getattr(ours, f"{cls.__name__}Reference")


def widened(tensor: Tensor) -> Tensor:
    """What a kernel computes in."""
    return tensor.detach().to(torch.float64 if tensor.dtype is torch.float64 else torch.float32).clone()


def expected(optimizer: torch.optim.Optimizer) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Parameters and states after a step of the reference form, from where an optimizer is.

    The step is computed in float32 where the parameters are of a half type, and rounded once.
    """
    params, states = [], []
    for group in optimizer.param_groups:
        options = {k: v for k, v in group.items() if k in optimizer.defaults}  # schedules add to it
        for p in group["params"]:
            if p.grad is None:
                params.append(p.detach().clone())
                states.append(dict(optimizer.state.get(p, {})))
                continue
            twin = widened(p).requires_grad_()
            twin.grad = widened(p.grad)
            other = reference_of(type(optimizer))([twin], **options)
            other.state[twin] = {n: v.clone() if n in COUNTS else widened(v)
                                 for n, v in optimizer.state.get(p, {}).items()}  # fmt: skip
            with Rounded():
                other.step()
            params.append(twin.detach().to(p.dtype))
            states.append({n: v if n in COUNTS else v.to(p.dtype)
                           for n, v in other.state[twin].items()})  # fmt: skip
    return params, states


def same(a: Tensor, b: Tensor) -> bool:
    """Bit for bit, but for the sign of zero and what a NaN says."""
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.isnan(), b.isnan()) and bool(
        torch.equal(a.nan_to_num(0.0, float("inf"), -float("inf")),
                    b.nan_to_num(0.0, float("inf"), -float("inf")))
    )  # fmt: skip


def near(a: Tensor, b: Tensor) -> bool:
    """Up to rounding."""
    return a.dtype == b.dtype and torch.allclose(a, b, rtol=1e-5, atol=1e-6, equal_nan=True)


def step_and_compare(optimizer: Any, closely: bool = False) -> None:
    """A compiled step is the reference's, or close to it, and leaves the gradients alone."""
    alike = near if closely else same
    groups = [(p, group) for group in optimizer.param_groups for p in group["params"]]
    grads = [None if p.grad is None else p.grad.clone() for p, _ in groups]
    wanted, states = expected(optimizer)
    optimizer.step()
    for (p, group), grad, x, state in zip(groups, grads, wanted, states, strict=True):
        assert alike(p.detach(), x)
        assert p.grad is grad is None or same(p.grad, grad)
        if grad is not None:
            h = hyper_parameters(group)
            for name in ("step", *optimizer._scalars(h), *optimizer._buffers(h)):
                assert alike(optimizer.state[p][name], state[name])


def draw(shape: tuple[int, ...], dtype: torch.dtype, noise: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=noise, dtype=torch.float64).to(dtype)


# -- the numbers -----------------------------------------------------------------------------------


@each_kernel
@settings(max_examples=5, suppress_health_check=list(HealthCheck))
@given(
    shapes=st.lists(st.sampled_from(SIZES), min_size=1, max_size=5),
    seed=st.integers(0, 2**31),
    maximize=st.booleans(),
    threads=st.sampled_from([1, 2, 3]),
)
def test_compiled_is_reference_bit_for_bit(
    variant: Variant,
    dtype: torch.dtype,
    shapes: list[tuple[int, ...]],
    seed: int,
    maximize: bool,
    threads: int,
) -> None:
    """No tolerance: C and torch round every operation to nearest, in the same order."""
    noise = torch.Generator().manual_seed(seed)
    params = [draw(shape, dtype, noise).requires_grad_() for shape in shapes]
    half = len(params) // 2
    groups = [{"params": params[:half], "lr": 0.25}, {"params": params[half:]}]
    maximize = maximize and dtype is torch.float32  # another kernel, too
    optimizer = variant.make(groups[not half :], "compiled", maximize=maximize)
    torch.set_num_threads(threads)
    for step in range(7):  # RAdam is rectified from the sixth on
        for i, p in enumerate(params):
            # the second parameter comes later, the third skips a step
            missing = (i == 1 and step < 2) or (i == 2 and step == 1)
            p.grad = None if missing else draw(p.shape, dtype, noise) * 10.0 ** (seed % 5 - 2)
        step_and_compare(optimizer)


@each_kernel
def test_compiled_follows_float64(variant: Variant, dtype: torch.dtype) -> None:
    """10 steps of size lr = 0.01 on numbers up to 1: the bound of the foreach form."""
    outcome = []
    for kind, form in ((dtype, "compiled"), (torch.float64, "reference")):
        p = torch.linspace(-1, 1, 700).to(dtype).to(kind).requires_grad_()
        optimizer = variant.make([p], form)
        for step in range(10):
            p.grad = torch.cos(torch.arange(700.0) + step).to(dtype).to(kind)
            optimizer.step()
        outcome.append(p.detach().double())
    assert (outcome[0] - outcome[1]).abs().max().item() <= 16 * torch.finfo(dtype).eps


@each_kernel
def test_infinities_and_nan_propagate(variant: Variant, dtype: torch.dtype) -> None:
    big = torch.finfo(dtype).max
    numbers = [float("nan"), float("inf"), -float("inf"), big, -big, 0.0, -0.0, 1.0,
               torch.finfo(dtype).tiny, torch.finfo(dtype).smallest_normal / 4]  # fmt: skip
    p = torch.ones(len(numbers) ** 2, dtype=dtype, requires_grad=True)
    optimizer = variant.make([p], "compiled")
    for _ in range(5):  # before which RAdam may do nothing
        p.grad = torch.ones_like(p)
        step_and_compare(optimizer)
    p.grad = torch.tensor(numbers, dtype=dtype).repeat(len(numbers))
    step_and_compare(optimizer)
    signs = variant.shipped in (ours.SignSGD, ours.Lion)  # which have none of a NaN
    assert bool(p.isnan()[0]) is not signs
    assert not p.isnan().all()
    with torch.no_grad():  # 0 times an infinite parameter is NaN in the reference form only
        p[~p.isfinite()] = 1.0
    p.grad = torch.tensor(numbers, dtype=dtype).repeat_interleave(len(numbers))
    step_and_compare(optimizer)


@pytest.mark.parametrize("cls", [v.shipped for v in VARIANTS if v.name in CLASSES])
def test_a_decay_of_zero_does_not_look_at_the_parameter(cls: Any) -> None:
    """As in the foreach form and in torch."""
    for compiled in (False, True):
        p = torch.full((20,), float("inf"), requires_grad=True)
        p.grad = torch.ones(20)
        cls([p], compiled=compiled, weight_decay=0.0).step()
        assert p.tolist() == [float("inf")] * 20


ZEROS = [
    (cls, name)
    for cls in (v.shipped for v in VARIANTS if v.name in CLASSES)
    for group in [cls([torch.ones(1, requires_grad=True)]).param_groups[0]]
    for name in ("lr", "eps", "weight_decay", "momentum", "alpha", "dampening", "beta1", "beta2",
                 "momentum_decay", "lr_decay")
    if name in hyper_parameters(group)
]  # fmt: skip


@pytest.mark.parametrize(("cls", "zero"), ZEROS)
def test_a_hyper_parameter_may_be_zero_and_become_another(cls: Any, zero: str) -> None:
    noise = torch.Generator().manual_seed(1)
    p = draw((70,), torch.float32, noise).requires_grad_()
    optimizer = cls([p], compiled=True)
    group = optimizer.param_groups[0]
    for value in (0.0, 0.5, 0.25, 0.0):
        if zero.startswith("beta"):
            group["betas"] = (value, 0.5) if zero == "beta1" else (0.5, value)
        else:
            group[zero] = value
        p.grad = draw((70,), torch.float32, noise)
        step_and_compare(optimizer)


@pytest.mark.parametrize("number", [np.float32(0.25), np.float64(0.25), torch.tensor(0.25), 1])
def test_numbers_of_any_kind(number: Any) -> None:
    p = torch.ones(3, requires_grad=True)
    optimizer = ours.Adam([p], lr=number, compiled=True)
    for _ in range(3):
        p.grad = torch.cos(torch.arange(3.0))
        step_and_compare(optimizer)
        optimizer.param_groups[0]["lr"] = optimizer.param_groups[0]["lr"] * 0.5
    assert compiled_kernels() == 1  # one for all rates


def test_a_schedule_compiles_nothing_new() -> None:
    p = torch.ones(3, requires_grad=True)
    optimizer = ours.SGD([p], lr=0.1, momentum=0.9, compiled=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.5, total_steps=8)
    for _ in range(6):
        p.grad = torch.cos(torch.arange(3.0))
        step_and_compare(optimizer)
        schedule.step()
    assert compiled_kernels() == 1


# -- what a kernel cannot step ---------------------------------------------------------------------


def odd_tensors() -> dict[str, Callable[[], Tensor]]:
    class Own(torch.nn.Parameter):
        pass

    return {
        "transposed": lambda: torch.arange(12.0).reshape(3, 4).t().requires_grad_(),
        "strided": lambda: torch.arange(12.0)[::2].requires_grad_(),
        "a class of its own": lambda: Own(torch.arange(3.0)),
        "meta": lambda: torch.zeros(3, device="meta", requires_grad=True),
    }


@pytest.mark.parametrize("odd", odd_tensors())
def test_other_tensors_are_stepped_as_without_it(odd: str) -> None:
    outcome = []
    for compiled in (False, True):
        other = odd_tensors()[odd]()
        usual = torch.linspace(0, 1, 5).requires_grad_()
        optimizer = ours.Adam([other, usual], lr=0.5, compiled=compiled)
        for _ in range(3):
            for p in (other, usual):
                p.grad = torch.ones_like(p)
            optimizer.step()
        assert [optimizer.state[p]["step"].item() for p in (other, usual)] == [3.0, 3.0]
        outcome.append((other.detach(), usual.detach()))
    if odd != "meta":
        assert same(outcome[0][0], outcome[1][0])
    torch.testing.assert_close(outcome[0][1], outcome[1][1])


def test_gradients_of_another_layout() -> None:
    """Dense, but not in the order of the parameter; or with a sign that is not written yet."""
    p, q = torch.ones(3, 4, requires_grad=True), torch.ones(1, requires_grad=True)
    p.grad = torch.arange(12.0).reshape(4, 3).t()
    q.grad = torch.tensor([1.0 + 2.0j]).conj().imag
    assert q.grad.is_neg()
    optimizer = ours.SGD([p, q], lr=1.0, compiled=True)
    optimizer.step()
    assert torch.equal(p.detach(), 1 - torch.arange(12.0).reshape(4, 3).t())
    assert q.item() == 3.0


def test_a_parameter_or_its_state_that_was_replaced_is_not_read_blindly() -> None:
    p = torch.ones(70, requires_grad=True)
    optimizer = ours.Adam([p], lr=0.5, compiled=True)
    p.grad = torch.ones_like(p)
    optimizer.step()
    p.data = torch.ones(70, dtype=torch.float64)  # what module.double() does
    p.grad = torch.ones_like(p)
    with pytest.raises(RuntimeError):  # as without it: the state is of another type
        optimizer.step()
    p.data, p.grad = torch.ones(70), torch.ones(70)
    optimizer.state[p]["exp_avg"] = torch.zeros(3)
    with pytest.raises(RuntimeError):
        optimizer.step()


def test_a_graph_with_the_old_values_is_not_run_back() -> None:
    p = torch.ones(3, requires_grad=True)
    optimizer = ours.SGD([p], compiled=True)
    for _ in range(3):  # from the second step on with a plan
        p.grad = torch.ones(3)
        loss = p.square().sum()
        optimizer.step()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()  # type: ignore[no-untyped-call]


def test_under_a_mode_that_watches_it_is_refused() -> None:
    p = torch.ones(3, requires_grad=True)
    p.grad = torch.ones(3)
    optimizer = ours.Adam([p], compiled=True)
    with FlopCounterMode(display=False), pytest.raises(TypeError, match="compiled=False") as refused:
        optimizer.step()
    assert str(refused.value).count(". ") == 0
    assert p.tolist() == [1.0] * 3
    assert not optimizer.state
    with torch.device("cpu"):  # a mode, too, but one that only places tensors
        optimizer.step()
    assert p.tolist() != [1.0] * 3


@pytest.mark.parametrize("name", ["Adam", "SGD", "RMSprop, centered", "NAdam"])
def test_it_does_not_lift(name: str) -> None:
    variant = BY_NAME[name]
    with pytest.raises(LiftError, match="does not see into a compiled kernel") as stopped:
        lift(Recipe(variant.shipped, {**variant.fixed, **variant.options, "compiled": True}))
    assert str(stopped.value).count(". ") == 0


def test_the_reference_form_never_compiles() -> None:
    p = torch.ones(3, requires_grad=True)
    p.grad = torch.ones(3)
    ours.AdamReference([p], compiled=True).step()
    assert compiled_kernels() == 0


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_compiled_is_yes_or_no(value: Any) -> None:
    with pytest.raises(ValueError, match="compiled must be True or False"):
        ours.Adam([torch.ones(1, requires_grad=True)], compiled=value)


# -- checkpoints and copies ------------------------------------------------------------------------


@each_variant
def test_a_resumed_run_continues_bit_for_bit(variant: Variant) -> None:
    """Also from a checkpoint of the form that is not compiled."""
    for form in ("compiled", "shipped"):
        first = variant.make(weights(), form)
        train(first, 3)
        whole = copy.deepcopy(first)
        whole.param_groups[0]["compiled"] = True
        file = io.BytesIO()
        torch.save(first.state_dict(), file)
        file.seek(0)
        resumed = variant.make([p.detach().clone().requires_grad_() for p in parameters(first)],
                               "compiled", lr=123.0)  # fmt: skip
        resumed.load_state_dict(torch.load(file))
        train(whole, 4, start=3)
        train(resumed, 4, start=3)
        assert_identical(kept(resumed), kept(whole))


@each_variant
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_continues_bit_for_bit(variant: Variant, clone: Any) -> None:
    original = variant.make(weights(), "compiled")
    train(original, 3)
    twin = clone(original)
    before = kept(original)
    train(twin, 4, start=3)
    assert_identical(kept(original), before)
    train(original, 4, start=3)
    assert_identical(kept(twin), kept(original))


@each_variant
def test_the_checkpoint_is_that_of_the_shipped_form(variant: Variant) -> None:
    held = []
    for form in ("shipped", "compiled"):
        optimizer = variant.make(weights(), form)
        train(optimizer, 2)
        state = optimizer.state_dict()["state"]
        held.append({i: {n: (v.dtype, v.shape) for n, v in s.items()} for i, s in state.items()})
    assert held[0] == held[1]


@pytest.mark.parametrize("compiled", [False, True])
def test_loading_leaves_compiled_as_it_is(compiled: bool) -> None:
    saved = ours.Adam(weights(), compiled=not compiled)
    optimizer = ours.Adam(weights(), compiled=compiled)
    optimizer.load_state_dict(saved.state_dict())
    assert optimizer.param_groups[0]["compiled"] is compiled


@each_with_twin
def test_a_checkpoint_of_torch_continues(variant: Variant) -> None:
    theirs = variant.make_twin(weights())
    half = train(theirs, 3)
    resumed = variant.make([p.requires_grad_() for p in half], "compiled")
    resumed.load_state_dict(copy.deepcopy(theirs.state_dict()))
    for a, b in zip(train(resumed, 4, start=3), train(theirs, 4, start=3), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    assert compiled_kernels() == (2 if variant.shipped is ours.RAdam else 1)


# -- what a plan notices ---------------------------------------------------------------------------
#
# From its second step on an optimizer knows where its tensors lie, and asks only what can have changed.

PLANNED = ["SGD", "SGD, momentum", "Adam", "NAdam"]


def plans(optimizer: Any) -> list[gather.Plan]:
    return [*gather._plans().get(optimizer, {}).values()]


def vectors(count: int = 3) -> list[Tensor]:
    """Small square matrices: transposed, they have the same shape and the same number of coordinates."""
    noise = torch.Generator().manual_seed(count)
    return [torch.randn(3, 3, generator=noise).requires_grad_() for _ in range(count)]


def gave(optimizer: Any, seed: int) -> None:
    """New gradients, in new memory."""
    noise = torch.Generator().manual_seed(seed)
    for p in parameters(optimizer):
        p.grad = torch.randn(p.shape, generator=noise, dtype=torch.float64).to(p.dtype)


def planned(name: str, **more: Any) -> Any:
    """An optimizer that has a plan, and has used it once."""
    optimizer = BY_NAME[name].make(vectors(), "compiled", **more)
    for step in range(3):
        assert len(plans(optimizer)) == (step > 0)
        before = plans(optimizer)
        gave(optimizer, step)
        step_and_compare(optimizer)
        assert step == 0 or plans(optimizer) == before
    gave(optimizer, 3)
    return optimizer


def first(optimizer: Any) -> Any:
    return parameters(optimizer)[0]


def state(optimizer: Any, index: int = 0) -> dict[str, Tensor]:
    found: dict[str, Tensor] = optimizer.state[parameters(optimizer)[index]]
    return found


def cut(o: Any) -> None:
    """Two of three rows, in the same memory; that which is kept, too."""
    first(o).grad = None
    for x in (first(o), *buffers(o).values()):
        x.data = x.data[:2]
    first(o).grad = torch.ones(2, 3)


def doubled(o: Any) -> None:
    first(o).data = first(o).data.double()
    first(o).grad = torch.ones(3, 3, dtype=torch.float64)
    for name, value in state(o).items():
        if value.dim():
            state(o)[name] = value.double()


def away_and_back(o: Any) -> None:
    """As wrappers do that free a parameter between its uses."""
    storage, values = first(o).untyped_storage(), first(o).detach().clone()
    size = storage.nbytes()
    storage.resize_(0)
    held = [torch.ones(3, 3) for _ in range(8)]  # what lies there now
    storage.resize_(size)
    with torch.no_grad():
        first(o).copy_(values)
    assert all(h.eq(1).all() for h in held)


def swapped_states(o: Any) -> None:
    a, b, _ = parameters(o)
    o.state[a], o.state[b] = o.state[b], o.state[a]


def reloaded(o: Any) -> None:
    saved = copy.deepcopy(o.state_dict())
    for entries in saved["state"].values():
        entries["step"] += 1
    o.load_state_dict(saved)


def buffers(o: Any) -> dict[str, Tensor]:
    return {name: value for name, value in state(o).items() if value.dim()}


def given(make: Callable[[Any], Any]) -> Callable[[Any], None]:
    """The first parameter gets another gradient."""
    return lambda o: setattr(first(o), "grad", make(o))


def moved(make: Callable[[Tensor], Tensor]) -> Callable[[Any], None]:
    """The first parameter gets other data."""
    return lambda o: setattr(first(o), "data", make(first(o).data))


def kept_as(make: Callable[[Tensor], Tensor]) -> Callable[[Any], None]:
    """The first parameter gets other buffers."""
    return lambda o: state(o).update({name: make(value) for name, value in buffers(o).items()})


def set_to(**options: Any) -> Callable[[Any], None]:
    return lambda o: o.param_groups[0].update(options)


def listed(change: Callable[[list[Tensor]], Any]) -> Callable[[Any], None]:
    """The group lists other parameters."""
    return lambda o: change(o.param_groups[0]["params"])


def handed_over_states(o: Any) -> None:
    """The same states in the same order, but of other parameters."""
    a, b, c = parameters(o)
    states = [o.state[p] for p in (a, b, c)]
    o.state.clear()
    o.state.update(zip((b, a, c), states, strict=True))


def swapped_gradients(o: Any) -> None:
    a, b, _ = parameters(o)
    a.grad, b.grad = b.grad, a.grad


def one_more(params: list[Tensor]) -> None:
    params.append(torch.ones(3, 3, requires_grad=True))
    params[-1].grad = torch.ones(3, 3)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda o: None,
    "data elsewhere": moved(lambda x: x * 2),
    "data cut": cut,
    "data of another type": doubled,
    "data that went and came back": away_and_back,
    "data written to": moved(lambda x: x.mul_(2)),
    "buffers replaced": kept_as(lambda s: s + 0.5),
    "buffers' data elsewhere": lambda o: [setattr(s, "data", s + 0.5) for s in buffers(o).values()],
    "buffers written to": kept_as(lambda s: s.add_(0.25)),
    "states swapped": swapped_states,
    "states handed over": handed_over_states,
    "all states cleared": lambda o: o.state.clear(),
    "a state cleared": lambda o: state(o).clear(),
    "a state gone": lambda o: o.state.pop(first(o)),
    "an entry gone": lambda o: state(o).popitem(),
    "the first entry gone": lambda o: state(o).pop("step"),
    "an entry more": lambda o: state(o).update(other=torch.zeros(3)),
    "a count written to": lambda o: state(o)["step"].fill_(7),
    "the last count written to": lambda o: state(o, 2)["step"].fill_(7),
    "a count replaced": lambda o: state(o, 1).update(step=torch.tensor(9.0)),
    "all counts written to": lambda o: [o.state[p]["step"].fill_(7) for p in parameters(o)],
    "no gradient": given(lambda o: None),
    "one gradient": lambda o: [setattr(p, "grad", None) for p in parameters(o)[1:]],
    "another gradient": given(lambda o: torch.randn(3, 3)),
    "a gradient written to": given(lambda o: first(o).grad.mul_(-3)),
    "a gradient for two": given(lambda o: parameters(o)[1].grad),
    "gradients swapped": swapped_gradients,
    "the order": listed(list.reverse),
    "a parameter more": listed(one_more),
    "a parameter less": listed(list.pop),
    "a parameter replaced": listed(lambda params: params.__setitem__(0, vectors(1)[0])),
    "a group more": lambda o: o.add_param_group({"params": vectors(2), "lr": 0.5}),
    "a group replaced": lambda o: o.param_groups.__setitem__(0, dict(o.param_groups[0])),
    "climbing": set_to(maximize=True),
    "another rate": set_to(lr=0.75),
    "a rate that is a tensor": set_to(lr=torch.tensor(0.75)),
    "momentum": set_to(momentum=0.5),
    "no momentum": set_to(momentum=0.0),
    "no schedule of momentum": set_to(form="constant"),
    "no decay": set_to(weight_decay=0.0),
    "a checkpoint": reloaded,
}
#: What no kernel steps: the lists of torch round in another order.
ODD: dict[str, Callable[[Any], Any]] = {
    "data transposed": moved(Tensor.t),
    "data transposed in place": moved(Tensor.t_),
    "buffers transposed": kept_as(Tensor.t),
    "a gradient transposed": given(lambda o: torch.arange(9.0).reshape(3, 3).t()),
    "a gradient expanded": given(lambda o: torch.tensor([[2.0]]).expand(3, 3)),
    "a gradient with a sign to come": given(lambda o: torch._neg_view(torch.ones(3, 3))),
}


@pytest.mark.parametrize("name", PLANNED)
@pytest.mark.parametrize("change", CHANGES)
def test_a_plan_notices(name: str, change: str) -> None:
    """Bit for bit the reference form from where the optimizer is, and once more."""
    optimizer = planned(name)
    CHANGES[change](optimizer)
    step_and_compare(optimizer)
    for step in range(2):
        gave(optimizer, 10 + step)
        step_and_compare(optimizer)


@pytest.mark.parametrize("name", PLANNED)
@pytest.mark.parametrize("change", ODD)
def test_a_plan_notices_what_no_kernel_can_step(name: str, change: str) -> None:
    optimizer = planned(name)
    ODD[change](optimizer)
    for step in range(3):
        step_and_compare(optimizer, closely=True)
        gave(optimizer, 10 + step)


@pytest.mark.parametrize("name", PLANNED)
def test_a_plan_leaves_alone_what_was_cut_off(name: str) -> None:
    optimizer = planned(name)
    whole = [first(optimizer).data, *(s.data for s in buffers(optimizer).values())]
    last = [x[2].clone() for x in whole]
    cut(optimizer)
    step_and_compare(optimizer)
    assert_identical([x[2] for x in whole], last)


@pytest.mark.parametrize("name", PLANNED)
def test_a_plan_takes_back_and_forth(name: str) -> None:
    """A gradient that is missing at every other step, compiled and not, capturable and not."""
    optimizer = planned(name)
    for step in range(8):
        gave(optimizer, 20 + step)
        if step % 2:
            first(optimizer).grad = None
        optimizer.param_groups[0]["compiled"] = step % 3 != 1
        if optimizer.param_groups[0]["compiled"]:
            step_and_compare(optimizer)
        else:
            optimizer.step()
    steps = [state(optimizer, i)["step"].item() for i in range(3)]
    assert steps == [7.0, 11.0, 11.0]


def test_a_sparse_gradient_after_dense_ones() -> None:
    outcome = []
    for form in ("compiled", "reference"):
        optimizer = BY_NAME["SGD"].make(vectors(), form, weight_decay=0.0)
        for step in range(6):
            gave(optimizer, step)
            if step in (2, 4):
                grad = first(optimizer).grad.to_sparse()
                first(optimizer).grad = grad
            optimizer.step()
        outcome.append(kept(optimizer))
    assert_identical(*outcome)


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf")])
def test_a_scalar_that_is_no_number(spoilt: float) -> None:
    """Nothing is equal to NaN: the kernel does not recognise its own scalar, and all steps are taken."""
    optimizer = planned("NAdam")
    state(optimizer)["mu_product"].fill_(spoilt)
    for step in range(3):
        gave(optimizer, step)
        step_and_compare(optimizer, closely=True)
    assert [state(optimizer, i)["step"].item() for i in range(3)] == [6.0] * 3
    assert first(optimizer).isnan().all() == (spoilt != spoilt)
    assert not parameters(optimizer)[1].isnan().any()


def test_a_plan_is_used() -> None:
    """What makes the compiled form fast: the tensors are gathered once."""
    optimizer = planned("Adam")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gather, "_parts", None)
        gave(optimizer, 4)
        optimizer.step()
        state(optimizer)["step"] = torch.tensor(9.0)
        with pytest.raises(TypeError):
            optimizer.step()


@pytest.mark.parametrize("known", [False, True])
def test_a_plan_keeps_no_optimizer_alive(known: bool) -> None:
    """Nor its parameters and state; also where a parameter knows its optimizer."""
    optimizer = planned("Adam")
    if known:
        first(optimizer).owner = optimizer
    gave(optimizer, 4)
    optimizer.step()
    assert plans(optimizer)
    dying = [weakref.ref(x) for x in (optimizer, first(optimizer), state(optimizer)["exp_avg"])]
    del optimizer
    gc.collect()
    assert [ref() for ref in dying] == [None] * 3


def test_a_plan_keeps_no_state_that_was_replaced() -> None:
    optimizer = planned("Adam")
    old = weakref.ref(state(optimizer)["exp_avg"])
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    gc.collect()
    assert old() is None
    assert not plans(optimizer)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_has_no_plan(clone: Any) -> None:
    optimizer = planned("NAdam")
    twin = clone(optimizer)
    assert not plans(twin)
    for step in range(3):
        for o in (optimizer, twin):
            gave(o, step)
            step_and_compare(o)
    assert_identical(kept(optimizer), kept(twin))


def test_two_optimizers_of_the_same_parameters() -> None:
    """Each has its own plan and state."""
    params = vectors()
    both = [BY_NAME[name].make(params, "compiled") for name in ("Adam", "SGD, momentum")]
    for step in range(8):
        optimizer = both[step % 2]
        gave(optimizer, step)
        step_and_compare(optimizer)
    assert [len(plans(o)) for o in both] == [1, 1]


@pytest.mark.parametrize("fresh_kernels", [False, True])
def test_threads_step_their_own_optimizers(fresh_kernels: bool) -> None:
    """At the same time, the first step included, in which they make the same kernels."""
    names = ["Adam", "NAdam", "RAdam", "SGD, momentum"] * 2

    def run(optimizer: Any, start: threading.Barrier | None = None) -> list[Tensor]:
        if start is not None:
            start.wait()
        for step in range(40):
            gave(optimizer, step)
            optimizer.step()
        return kept(optimizer)

    wanted = [run(BY_NAME[name].make(vectors(), "compiled")) for name in names]
    if fresh_kernels:
        kernel.forget()
    start = threading.Barrier(len(names))
    with ThreadPoolExecutor(len(names)) as pool:
        running = [pool.submit(run, BY_NAME[name].make(vectors(), "compiled"), start) for name in names]
        found = [r.result(timeout=120) for r in running]
    for a, b in zip(found, wanted, strict=True):
        assert_identical(a, b)


# -- compilers and files ---------------------------------------------------------------------------


def stepped(compiled: bool, make: Any = ours.Adam) -> list[Tensor]:
    return train(make(weights(), compiled=compiled), 3)


def warned_once() -> str:
    """Two optimizers of two rules step without a kernel; return the one warning of the process."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for make in (ours.Adam, ours.SGD, ours.Adam):
            assert all(map(torch.equal, stepped(True, make), stepped(False, make)))
    assert [w.category for w in caught] == [UserWarning]
    told = str(caught[0].message)
    assert told.startswith("Adam(compiled=True) steps without a kernel")
    assert told.endswith(".")
    assert ". " not in told and "\n" not in told
    return told


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(caches.VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert "there is no C compiler" in warned_once()


def test_a_compiler_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'disk\n full' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv(caches.VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("CC", str(broken))
    assert f"the C compiler {broken} fails (disk full)" in warned_once()


@pytest.mark.parametrize("damage", [b"", b"\x7fELF", None])
def test_a_damaged_file_is_made_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: bytes | None
) -> None:
    monkeypatch.setenv(caches.VARIABLE, str(tmp_path))
    wanted = stepped(True)
    (file,) = (tmp_path / "kernels").iterdir()
    whole = file.read_bytes()
    file.unlink()  # a new file: the one that is loaded must not change under it
    file.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    kernel.forget()
    assert all(map(torch.equal, stepped(True), wanted))
    assert file.read_bytes()[-16:] == whole[-16:]


@pytest.mark.parametrize("where", ["", "file"])
def test_without_a_cache_it_compiles_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(caches.VARIABLE, where and str(tmp_path / where))
    torch.testing.assert_close(stepped(True), stepped(False))
    assert compiled_kernels() == 1


def test_two_processes_compile_at_once(tmp_path: Path) -> None:
    code = """
import torch
from adamproof.optimizers import Adam, kernel
p = torch.ones(3, requires_grad=True)
p.grad = torch.ones(3)
Adam([p], lr=0.5, compiled=True).step()
assert kernel.build.cache_info().currsize == 1
print(p.tolist())
"""
    environment = {**os.environ, caches.VARIABLE: str(tmp_path)}
    both = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", code], env=environment,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]  # fmt: skip
    told = [process.communicate(timeout=120) for process in both]
    assert [t[0] for t in told] == ["[0.5, 0.5, 0.5]\n"] * 2, told
    assert len(list((tmp_path / "kernels").iterdir())) == 1  # and nothing half made


# -- rules of other people -------------------------------------------------------------------------


class Own(Base):
    """A rule with one buffer and a learning rate."""

    def __init__(self, params: Any, lr: float = 0.1, beta: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "beta": beta}, {"compiled": True})

    def _buffers(self, h: Any) -> Mapping[str, float]:
        return {"m": 0.0}


class Rectified(Own):
    """As RAdam: a plain average at first, something else from the step on that ρ allows."""

    def _rule(self, x: Any, g: Any, t: Any, state: Any, h: Any) -> Any:
        m = h["beta"] * state["m"] + (1 - h["beta"]) * g
        longest = 2 / (1 - h["beta"]) - 1
        rho = longest - 2 * t * h["beta"] ** t / (1 - h["beta"] ** t)
        if rho > 4:
            r = ((rho - 4) * (rho - 2) / ((longest - 4) * (longest - 2))) ** 0.5
            return x - h["lr"] * r * m / (torch.abs(m) + 1), {"m": m}
        return x - h["lr"] * torch.sign(m), {"m": m}


class RectifiedReference(ours.Reference, Rectified):
    pass


def test_a_rule_that_branches_on_the_step() -> None:
    outcome = []
    for cls in (Rectified, RectifiedReference):
        a, b = torch.linspace(-1, 1, 70).requires_grad_(), torch.linspace(-2, 1, 5).requires_grad_()
        optimizer = cls([a, b])
        for step in range(12):
            a.grad = torch.cos(torch.arange(70.0) + step)
            b.grad = torch.sin(torch.arange(5.0) + step) if step > 7 else None
            optimizer.step()
        outcome.append([a.detach(), b.detach()])
    assert all(map(torch.equal, *outcome))
    assert compiled_kernels() == 2


def untraceable() -> dict[str, tuple[Any, str]]:
    def rule(work: Any) -> Any:
        def _rule(self: Any, x: Any, g: Any, t: Any, state: Any, h: Any) -> Any:
            return work(x, g, t, h), {"m": g}

        return type("Mine", (Own,), {"_rule": _rule})

    return {
        "no rule": (Own, "the class has no _rule"),
        "an unknown function": (rule(lambda x, g, t, h: torch.erf(x)), "torch.erf"),
        "a keyword": (rule(lambda x, g, t, h: torch.add(x, g, alpha=2)), "torch.add"),
        "an unknown method": (rule(lambda x, g, t, h: x.erf()), "erf"),
        "a branch on the tensor": (rule(lambda x, g, t, h: x if g > 0 else g), "branches on the value"),
        "a tensor as a truth": (rule(lambda x, g, t, h: x if g else g), "branches on the value"),
        "float": (rule(lambda x, g, t, h: x - float(h["lr"]) * g), "plain number"),
        "int": (rule(lambda x, g, t, h: x - int(t) * g), "plain number"),
        "a power": (rule(lambda x, g, t, h: x**3), "the power 3"),
        "no tensor": (rule(lambda x, g, t, h: h["lr"]), "it returns Number for x"),
        "modulo": (rule(lambda x, g, t, h: x - (t % 2) * g), "TypeError: unsupported operand"),
    }


@pytest.mark.parametrize("case", untraceable())
def test_what_a_kernel_cannot_say_is_told(case: str) -> None:
    cls, part = untraceable()[case]
    p = torch.ones(3, requires_grad=True)
    p.grad = torch.ones(3)
    with pytest.raises(kernel.Untraceable) as refused:
        cls([p]).step()
    told = str(refused.value)
    assert part in told
    assert told.startswith("no kernel can be made of this rule, so that compiled must be False: ")
    assert told.endswith(".") and "\n" not in told
    assert p.tolist() == [1.0] * 3


# -- memory that is shared, and parts of a group ---------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("size", [10, 100_000])
@pytest.mark.parametrize("kind", ["view", "tail", "twice", "as bits"])
@pytest.mark.parametrize("rule", [ours.SGD, ours.AdamW, ours.RAdam], ids=lambda r: r.__name__)
def test_parameters_that_share_memory_are_stepped_in_turn(rule: Any, kind: str, size: int) -> None:
    """Threads would write the same numbers at once."""

    def ended(**how: bool) -> Tensor:
        base = torch.zeros(size)
        one = Parameter(base)
        other = {
            "view": lambda: Parameter(base.view(size)),
            "tail": lambda: Parameter(base[size // 2 :]),
            "twice": lambda: one,
            "as bits": lambda: Parameter(base.view(torch.float16)),
        }[kind]()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says that one is there twice
            optimizer = rule([one, Parameter(torch.zeros(3)), other], lr=0.1, **how)
        for _ in range(5):
            for p in optimizer.param_groups[0]["params"]:
                p.grad = torch.ones_like(p) * 2**-6
            optimizer.step()
        return base

    assert torch.equal(ended(compiled=True), ended())


def ways(params: list[Parameter], monkeypatch: pytest.MonkeyPatch, steps: int = 4) -> int:
    """How many tensors are looked at one by one in the last step."""
    seen: list[Any] = []
    honest = gather._fit
    monkeypatch.setattr(gather, "_fit", lambda row, scalars: seen.append(row) or honest(row, scalars))
    optimizer = ours.AdamW(params, compiled=True)
    for step in range(steps):
        seen.clear()
        for i, p in enumerate(params):
            p.grad = None if (step, i) == (0, 1) else torch.ones_like(p)
        optimizer.step()
    return len(seen)


@needs_compiler
def test_every_part_of_a_group_is_stepped_without_looking_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient that came later, another type and another order of memory make parts of their own."""
    sizes = [torch.zeros(5), torch.zeros(6), torch.zeros(7, dtype=torch.bfloat16),
             torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last)]  # fmt: skip
    assert ways([Parameter(a) for a in sizes], monkeypatch) == 0
    sizes.append(torch.zeros(3, dtype=torch.complex64))
    assert ways([Parameter(a) for a in sizes], monkeypatch) == 1


@needs_compiler
def test_channels_last_is_stepped_by_a_kernel_as_the_reference_steps_it() -> None:
    draw = torch.Generator().manual_seed(5)
    start = torch.randn(4, 6, 3, 3, generator=draw)
    x, y = (
        Parameter(start.clone(memory_format=f)) for f in (torch.channels_last, torch.contiguous_format)
    )
    one, other = ours.Adam([x], compiled=True), ours.AdamReference([y])
    for _ in range(3):
        y.grad = torch.randn(start.shape, generator=draw)
        x.grad = y.grad.to(memory_format=torch.channels_last)
        one.step()
        other.step()
    assert gather._plans()[one]
    assert x.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(x, y, rtol=1e-6, atol=1e-7)
    x.grad = y.grad.contiguous()  # in another order than the parameter
    y.grad = y.grad.clone()
    one.step()
    other.step()
    torch.testing.assert_close(x, y, rtol=1e-6, atol=1e-7)
