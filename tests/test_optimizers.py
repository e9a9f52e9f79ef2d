"""The rules: shipped form = reference form = torch.optim, and what differs on purpose."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode

from adamproof import optimizers as ours

unit = st.floats(0, 0.9999)
eps = st.floats(1e-8, 1e-2)
weight_decay = st.sampled_from([0.0]) | st.floats(1e-3, 0.5)
SGD = {"lr": st.floats(1e-4, 1), "weight_decay": weight_decay}
ADAGRAD = SGD | {"lr_decay": unit, "initial_accumulator_value": unit, "eps": eps}
# Centered, the difference v - ḡ² loses digits when the average forgets at once.
RMSPROP = SGD | {"alpha": st.floats(0.5, 0.99), "eps": eps}
ADAM = SGD | {"betas": st.tuples(unit, unit), "eps": eps}


@dataclass(frozen=True)
class Variant:
    """A rule with options; `twin` is the torch.optim class that runs the same rule."""

    name: str
    numbers: dict[str, st.SearchStrategy[Any]]
    options: dict[str, Any] = field(default_factory=dict)
    twin: type[torch.optim.Optimizer] | None = None
    twin_options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join([
            self.name,
            *map(str, self.options.values()),
            *(self.numbers.keys() - ADAM),
        ])

    @property
    def shipped(self) -> Any:
        return getattr(ours, self.name)

    @property
    def reference(self) -> Any:
        return getattr(ours, f"{self.name}Reference")


VARIANTS = [
    Variant("SGD", SGD, twin=torch.optim.SGD),
    Variant("SGD", SGD | {"momentum": unit}, twin=torch.optim.SGD),
    Variant("SGD", SGD | {"momentum": unit, "dampening": unit}),
    Variant(
        "SGD",
        SGD | {"momentum": st.floats(0.01, 0.99)},
        {"nesterov": True},
        torch.optim.SGD,
        {"nesterov": True},
    ),
    Variant("Adagrad", ADAGRAD, twin=torch.optim.Adagrad),
    Variant("RMSprop", RMSPROP, twin=torch.optim.RMSprop),
    Variant("RMSprop", RMSPROP | {"momentum": unit}, twin=torch.optim.RMSprop),
    Variant(
        "RMSprop",
        RMSPROP | {"momentum": unit},
        {"centered": True},
        torch.optim.RMSprop,
        {"centered": True},
    ),
    Variant("Adam", ADAM, twin=torch.optim.Adam),
    Variant("AdamW", ADAM, {"decay": "coupled"}, torch.optim.AdamW),
    Variant("AdamW", ADAM, {"decay": "uncoupled"}),
    Variant("AMSGrad", ADAM, {"correction": "none"}),
    Variant("AMSGrad", ADAM, {"correction": "after_max"}, torch.optim.Adam, {"amsgrad": True}),
    Variant("AMSGrad", ADAM, {"correction": "before_max"}),
]
WITH_TWIN = [v for v in VARIANTS if v.twin]
shapes = st.lists(st.sampled_from([(), (0,), (3,), (2, 3)]), min_size=2, max_size=4)


def run(
    make: Any, arguments: dict[str, Any], shapes: list[tuple[int, ...]], seed: int, steps: int = 6
) -> tuple[list[torch.Tensor], list[dict[str, Any]]]:
    """Parameters and states after some steps; the second parameter misses the first three."""
    noise = torch.Generator().manual_seed(seed)

    def draw(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=noise, dtype=torch.float64)

    params = [draw(shape).requires_grad_() for shape in shapes]
    scale = 10.0 ** (seed % 5 - 2)
    optimizer = make(params, **arguments)
    for step in range(steps):
        for i, p in enumerate(params):
            p.grad = None if i == 1 and step < 3 else scale * draw(p.shape)
        optimizer.step()
    return [p.detach() for p in params], [optimizer.state[p] for p in params]


def assert_same(a: torch.Tensor, b: torch.Tensor) -> None:
    """Equal up to rounding: 16 of the 53 bits are granted to it, relative to the tensor."""
    assert a.dtype == b.dtype
    if a.numel():
        scale = max(1.0, b.abs().max().item())
        assert (a - b).abs().max().item() <= 2**16 * torch.finfo(torch.float64).eps * scale


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@given(data=st.data(), shapes=shapes, seed=st.integers(0, 2**31), maximize=st.booleans())
@settings(max_examples=25, deadline=None)
def test_shipped_is_reference(
    variant: Variant, data: Any, shapes: list[tuple[int, ...]], seed: int, maximize: bool
) -> None:
    numbers = data.draw(st.fixed_dictionaries(variant.numbers)) | {"maximize": maximize}
    params, states = run(variant.shipped, numbers | variant.options, shapes, seed)
    expected, more_states = run(variant.reference, numbers | variant.options, shapes, seed)
    for a, b in zip(params, expected, strict=True):
        assert_same(a, b)
    for state, more in zip(states, more_states, strict=True):
        assert state.keys() <= more.keys()
        for key in state:
            assert_same(state[key], more[key])


@pytest.mark.parametrize("variant", WITH_TWIN, ids=str)
@given(data=st.data(), shapes=shapes, seed=st.integers(0, 2**31), maximize=st.booleans())
@settings(max_examples=25, deadline=None)
def test_shipped_is_torch(
    variant: Variant, data: Any, shapes: list[tuple[int, ...]], seed: int, maximize: bool
) -> None:
    numbers = data.draw(st.fixed_dictionaries(variant.numbers)) | {"maximize": maximize}
    params, states = run(variant.shipped, numbers | variant.options, shapes, seed)
    expected, fewer_states = run(variant.twin, numbers | variant.twin_options, shapes, seed)
    for a, b in zip(params, expected, strict=True):
        assert_same(a, b)
    for state, fewer in zip(states, fewer_states, strict=True):
        assert fewer.keys() <= state.keys()
        for key in fewer:
            assert_same(state[key], fewer[key])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_dtype_follows_float64(variant: Variant, dtype: torch.dtype) -> None:
    numbers = {"lr": 0.01, "eps": 1e-3, "momentum": 0.5}
    arguments = {name: x for name, x in numbers.items() if name in variant.numbers}
    outcome = []
    for kind in (dtype, torch.float64):
        p = torch.linspace(-1, 1, 7).to(dtype).to(kind).requires_grad_()
        optimizer = variant.shipped([p], **arguments, **variant.options)
        for step in range(10):
            p.grad = torch.cos(torch.arange(7.0) + step).to(dtype).to(kind)
            optimizer.step()
        buffers = [s for name, s in optimizer.state[p].items() if name != "step"]
        assert {s.dtype for s in [p, *buffers]} == {kind}
        outcome.append(p.detach().double())
    assert (outcome[0] - outcome[1]).abs().max().item() <= 16 * torch.finfo(dtype).eps


@pytest.mark.parametrize("make", [ours.SGD, ours.SGDReference])
def test_dampening_acts_at_the_first_step_too(make: Any) -> None:
    def first_step(make: Any) -> float:
        p = torch.zeros(1, requires_grad=True)
        p.grad = torch.ones(1)
        make([p], lr=1.0, momentum=0.5, dampening=0.75).step()
        return p.item()

    assert first_step(make) == -0.25
    assert first_step(torch.optim.SGD) == -1.0


@pytest.mark.parametrize("make", [ours.AMSGrad, ours.AMSGradReference])
def test_amsgrad_orders_differ_after_a_spike(make: Any) -> None:
    """After g = 1 then silence: each order's denominator at t = 2, from the formula."""

    def denominator(correction: str) -> float:
        p = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        optimizer = make([p], lr=1.0, betas=(0.0, 0.75), eps=0.0, correction=correction)
        p.grad = torch.ones_like(p)
        optimizer.step()
        before = p.item()
        p.grad = torch.full_like(p, 2**-20)  # a negligible gradient that shows the denominator
        optimizer.step()
        return 2**-20 / (before - p.item())

    # v_1 = 1/4, v_2 < v_1; corrections 1 - β2 = 1/4 and 1 - β2² = 7/16.
    assert denominator("none") == pytest.approx((1 / 4) ** 0.5)
    assert denominator("after_max") == pytest.approx((1 / 4 / (7 / 16)) ** 0.5)
    assert denominator("before_max") == pytest.approx(1.0)


@pytest.mark.parametrize("make", [ours.AdamW, ours.AdamWReference])
def test_uncoupled_decay_does_not_see_the_learning_rate(make: Any) -> None:
    def decayed(decay: str, lr: float) -> float:
        p = torch.ones(1, requires_grad=True)
        p.grad = torch.zeros(1)
        make([p], lr=lr, weight_decay=0.25, decay=decay).step()
        return p.item()

    assert [decayed("uncoupled", lr) for lr in (0.0, 0.5)] == [0.75, 0.75]
    assert [decayed("coupled", lr) for lr in (0.0, 0.5)] == [1.0, 0.875]


@pytest.mark.parametrize("make", [ours.RMSprop, ours.RMSpropReference])
def test_centered_variance_below_zero_is_zero(make: Any) -> None:
    """Where rounding has made v < ḡ², torch.optim divides by a NaN."""

    def step(make: Any) -> float:
        p = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        p.grad = torch.ones_like(p)
        optimizer = make([p], lr=1.0, alpha=0.5, eps=0.25, centered=True)
        optimizer.step()
        optimizer.state[p]["square_avg"].fill_(1.0)
        optimizer.state[p]["grad_avg"].fill_(1.0 + 1e-12)
        before = p.item()
        optimizer.step()
        return p.item() - before

    assert step(make) == -4.0
    assert step(torch.optim.RMSprop) != step(torch.optim.RMSprop)  # NaN


def test_reference_functions_touch_nothing() -> None:
    x, g = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])
    rates: dict[str, Any] = {"alpha": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}
    calls: list[tuple[Any, list[str], dict[str, Any]]] = [
        (ours.sgd, ["momentum_buffer"], {"alpha": 0.1, "mu": 0.9, "weight_decay": 0.1}),
        (ours.adagrad, ["sum"], {"eta": 0.1, "delta": 1e-8}),
        (
            ours.rmsprop,
            ["square_avg", "grad_avg", "momentum_buffer"],
            {"alpha": 0.1, "rho": 0.9, "eps": 1e-8, "centered": True},
        ),
        (ours.adam, ["exp_avg", "exp_avg_sq"], rates),
        (ours.adamw, ["exp_avg", "exp_avg_sq"], rates | {"weight_decay": 0.1}),
        (ours.amsgrad, ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"], rates),
    ]
    for rule, names, arguments in calls:
        state = {name: torch.zeros(2) for name in names}
        new_x, new = rule(x, g, 1.0, state, **arguments)
        assert x.tolist() == [1.0, -2.0]
        assert g.tolist() == [0.5, 3.0]
        assert all(not s.any() for s in state.values())
        assert set(new) == set(state)
        assert not torch.equal(new_x, x)


class Marked(float):
    """A float that survives plain arithmetic and nothing else, like the lifter's."""

    def _lost(self) -> Any:
        raise AssertionError("a hyper-parameter was turned into a plain number")

    __float__ = __int__ = __round__ = __trunc__ = _lost  # type: ignore[assignment]


def _kept(name: str) -> Any:
    def method(*operands: Any) -> Any:
        result = getattr(float, name)(*operands)
        return result if result is NotImplemented else Marked(result)

    return method


for _name in ("add", "sub", "mul", "truediv", "pow"):
    setattr(Marked, f"__{_name}__", _kept(f"__{_name}__"))
    setattr(Marked, f"__r{_name}__", _kept(f"__r{_name}__"))
setattr(Marked, "__neg__", _kept("__neg__"))  # noqa: B010


class Numbers(TorchFunctionMode):
    """Records every float that reaches torch, and marks what `item` returns."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        leaves, _ = torch.utils._pytree.tree_flatten((args, kwargs))
        self.seen += [x for x in leaves if isinstance(x, float)]
        result = func(*args, **(kwargs or {}))
        return Marked(result) if func is torch.Tensor.item else result


@pytest.mark.parametrize("form", ["shipped", "reference"])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_numbers_reach_torch_through_plain_arithmetic(variant: Variant, form: str) -> None:
    """The lifter sees the formula only if no number loses its mark on the way."""
    marked = {name: Marked(0.25) for name in variant.numbers if name != "betas"}
    if "betas" in variant.numbers:
        marked["betas"] = (Marked(0.5), Marked(0.75))  # type: ignore[assignment]
    p = torch.ones(2, requires_grad=True)
    p.grad = torch.ones(2)
    optimizer = getattr(variant, form)([p], **marked, **variant.options)
    with Numbers() as numbers:
        optimizer.step()
        optimizer.step()
    plain = [x for x in numbers.seen if not isinstance(x, Marked)]
    assert len(plain) < len(numbers.seen)
    assert set(plain) <= {0.0, 1.0}  # what buffers are filled with; 1 - the default dampening


@pytest.mark.gpu
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_cuda_follows_cpu(variant: Variant) -> None:
    momentum = {"momentum": 0.5} if "momentum" in variant.numbers else {}
    outcome = []
    for devices in (["cpu", "cpu"], ["cuda", "cpu"], ["cuda", "cuda"]):
        params = [torch.linspace(-1, 1, 5, device=d).requires_grad_() for d in devices]
        optimizer = variant.shipped(params, lr=0.01, **variant.options, **momentum)
        for step in range(5):
            for p in params:
                p.grad = torch.cos(torch.arange(5.0) + step).to(p.device)
            optimizer.step()
        assert {optimizer.state[p]["step"].device.type for p in params} == {"cpu"}
        outcome.append(torch.cat([p.detach().cpu() for p in params]))
    torch.testing.assert_close(outcome[0], outcome[1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(outcome[0], outcome[2], rtol=1e-5, atol=1e-6)
