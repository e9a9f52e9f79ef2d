"""The rules: shipped form = reference form = torch.optim, and what differs on purpose."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode

from adamproof import optimizers as ours

from .family import Variant, each_variant, each_with_twin

shapes = st.lists(st.sampled_from([(), (0,), (3,), (2, 3)]), min_size=2, max_size=4)


def run(
    make: Any, arguments: dict[str, Any], shapes: list[tuple[int, ...]], seed: int, steps: int = 8
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


def assert_same(a: torch.Tensor, b: torch.Tensor, within: float = 2**-36) -> None:
    """Equal up to rounding: 16 of the 53 bits are granted to it, relative to the tensor."""
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    if a.numel():
        scale = max(1.0, b.abs().max().item())
        assert (a - b).abs().max().item() <= within * scale


@each_variant
@given(data=st.data(), shapes=shapes, seed=st.integers(0, 2**31), maximize=st.booleans())
@settings(max_examples=12, deadline=None)
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


@each_with_twin
@given(data=st.data(), shapes=shapes, seed=st.integers(0, 2**31), maximize=st.booleans())
@settings(max_examples=12, deadline=None)
def test_shipped_is_torch(
    variant: Variant, data: Any, shapes: list[tuple[int, ...]], seed: int, maximize: bool
) -> None:
    numbers = data.draw(st.fixed_dictionaries(variant.numbers)) | {"maximize": maximize}
    params, states = run(variant.shipped, numbers | variant.options, shapes, seed)
    expected, fewer_states = run(variant.twin, numbers | variant.twin_options, shapes, seed)
    for a, b in zip(params, expected, strict=True):
        assert_same(a, b, variant.within)
    for state, fewer in zip(states, fewer_states, strict=True):
        assert fewer.keys() <= state.keys()
        for key in fewer:
            assert_same(state[key], fewer[key], variant.within)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@each_variant
def test_every_dtype_follows_float64(variant: Variant, dtype: torch.dtype) -> None:
    outcome, start = [], torch.linspace(-1, 1, 7).to(dtype)
    for kind in (dtype, torch.float64):
        p = start.clone().to(kind).requires_grad_()
        optimizer = variant.make([p])
        optimizer.param_groups[0]["lr"] *= 10  # a way that half types can see
        for step in range(10):
            p.grad = torch.cos(torch.arange(7.0) + step).to(dtype).to(kind)
            optimizer.step()
        kinds = {name: s.dtype for name, s in optimizer.state[p].items()}
        for name in ("step", "mu_product"):
            assert kinds.pop(name, torch.float32) == torch.float32
        assert {p.dtype, *kinds.values()} == {kind}
        outcome.append(p.detach().double())
    off, way = (outcome[0] - outcome[1]).abs(), (outcome[1] - start.double()).abs()
    assert off.max().item() <= 32 * torch.finfo(dtype).eps * max(1.0, outcome[1].abs().max().item())
    assert off.max().item() < way.max().item() / 3


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


DECAYING = [ours.SGD, ours.AdamW, ours.AMSGrad, ours.NAdam, ours.RAdam]


@pytest.mark.parametrize("form", ["", "Reference"])
@pytest.mark.parametrize("cls", DECAYING)
def test_uncoupled_decay_does_not_see_the_learning_rate(cls: Any, form: str) -> None:
    def decayed(decay: str, lr: float) -> float:
        p = torch.ones(1, requires_grad=True)
        p.grad = torch.zeros(1)
        make = getattr(ours, cls.__name__ + form)
        make([p], lr=lr, weight_decay=0.25, decay=decay).step()
        return p.item()

    assert [decayed("uncoupled", lr) for lr in (0.0, 0.5)] == [0.75, 0.75]
    assert [decayed("coupled", lr) for lr in (0.0, 0.5)] == [1.0, 0.875]


# -- what the variants are, in plain numbers -------------------------------------------------------

GRADIENTS = [1.0, -0.5, 0.25, 2.0, -1.0, 0.125, 3.0, -2.0]


def path(make: Any, gradients: list[float], start: float = 0.0, **arguments: Any) -> list[float]:
    """Where a parameter is after each step."""
    p = torch.full((1,), start, dtype=torch.float64, requires_grad=True)
    optimizer, out = make([p], **arguments), []
    for g in gradients:
        p.grad = torch.full_like(p, g)
        optimizer.step()
        out.append(p.item())
    return out


def both(cls: Any) -> Any:
    return pytest.mark.parametrize("make", [cls, getattr(ours, f"{cls.__name__}Reference")])


@both(ours.SGD)
@pytest.mark.parametrize("nesterov", [False, True])
def test_averaged_momentum(make: Any, nesterov: bool) -> None:
    b, x, wanted = 0.0, 0.0, []
    for g in GRADIENTS:
        b = 0.75 * b + 0.25 * g
        x -= 0.5 * (g + 0.75 * b if nesterov else b)
        wanted.append(x)
    found = path(make, GRADIENTS, lr=0.5, momentum=0.75, ema=True, nesterov=nesterov)
    assert found == pytest.approx(wanted, rel=1e-12)
    if not nesterov:  # heavy ball at a smaller rate
        assert path(make, GRADIENTS, lr=0.125, momentum=0.75) == pytest.approx(wanted, rel=1e-12)


@both(ours.Adam)
def test_adam_without_correction_and_with_eps_beside_the_raw_root(make: Any) -> None:
    rates = {"lr": 0.5, "betas": (0.75, 0.5)}
    m = v = x = y = 0.0
    plain, raw = [], []
    for t, g in enumerate(GRADIENTS, start=1):
        m, v = 0.75 * m + 0.25 * g, 0.5 * v + 0.5 * g * g
        x -= 0.5 * m / (v**0.5 + 0.125)
        y -= 0.5 * (1 - 0.5**t) ** 0.5 / (1 - 0.75**t) * m / (v**0.5 + 0.125)
        plain.append(x)
        raw.append(y)
    uncorrected = path(make, GRADIENTS, eps=0.125, bias_correction=False, **rates)
    assert uncorrected == pytest.approx(plain, rel=1e-12)
    assert path(make, GRADIENTS, eps=0.125, eps_beside="raw", **rates) == pytest.approx(raw, rel=1e-12)
    # Uncorrected, there is one root only.
    both_options = path(make, GRADIENTS, eps=0.125, eps_beside="raw", bias_correction=False, **rates)
    assert both_options == uncorrected


@both(ours.RMSprop)
def test_eps_under_the_root(make: Any) -> None:
    v = x = 0.0
    wanted = []
    for g in GRADIENTS:
        v = 0.75 * v + 0.25 * g * g
        x -= 0.5 * g / (v + 0.125) ** 0.5
        wanted.append(x)
    found = path(make, GRADIENTS, lr=0.5, alpha=0.75, eps=0.125, eps_inside=True)
    assert found == pytest.approx(wanted, rel=1e-12)


@both(ours.NAdam)
@pytest.mark.parametrize("form", ["frameworks", "dozat", "constant"])
def test_nadam_forms(make: Any, form: str) -> None:
    def mu(t: int) -> float:
        return 0.75 if form == "constant" else 0.75 * (1 - 0.5 * 0.96 ** (t * 0.5))

    m = v = x = 0.0
    product, wanted = 1.0, []
    for t, g in enumerate(GRADIENTS, start=1):
        average = mu(t) if form == "dozat" else 0.75
        m, v = average * m + (1 - average) * g, 0.5 * v + 0.5 * g * g
        product *= mu(t)
        ahead = (1 - mu(t)) * g / (1 - product) + mu(t + 1) * m / (1 - product * mu(t + 1))
        x -= 0.5 * ahead / ((v / (1 - 0.5**t)) ** 0.5 + 0.125)
        wanted.append(x)
    rates = {"lr": 0.5, "betas": (0.75, 0.5), "eps": 0.125, "momentum_decay": 0.5}
    # The product is kept as a float32.
    assert path(make, GRADIENTS, form=form, **rates) == pytest.approx(wanted, rel=1e-6)


@both(ours.RAdam)
@pytest.mark.parametrize(("threshold", "first"), [(4, 5), (5, 6)])
@pytest.mark.parametrize("before", ["momentum", "nothing"])
def test_radam_waits_for_its_threshold(make: Any, threshold: int, first: int, before: str) -> None:
    """With β2 = 0.999 the length of the average is a little less than the step."""
    m = v = x = 0.0
    wanted, infinite = [], 2 / (1 - 0.999) - 1
    for t, g in enumerate(GRADIENTS, start=1):
        m, v = 0.75 * m + 0.25 * g, 0.999 * v + 0.001 * g * g
        rho = infinite - 2 * t * 0.999**t / (1 - 0.999**t)
        assert (rho > threshold) is (t >= first)
        step = m / (1 - 0.75**t)
        if t >= first:
            r = (rho - 4) * (rho - 2) * infinite / ((infinite - 4) * (infinite - 2) * rho)
            step *= r**0.5 * (1 - 0.999**t) ** 0.5 / (v**0.5 + 0.125)
        elif before == "nothing":
            step = 0.0
        x -= 0.5 * step
        wanted.append(x)
    arguments = {"lr": 0.5, "betas": (0.75, 0.999), "eps": 0.125, "threshold": threshold}
    found = path(make, GRADIENTS, before=before, **arguments)
    assert found == pytest.approx(wanted, rel=1e-9)
    assert (found[first - 2] == 0.0) is (before == "nothing")


@both(ours.RAdam)
def test_radam_with_a_short_average_is_never_rectified(make: Any) -> None:
    """ρ∞ = 2 / (1 - β2) - 1 is 3 for β2 = 0.5, and 4 for 0.6."""
    for beta2 in (0.0, 0.5, 0.6):
        x = path(make, GRADIENTS * 20, betas=(0.75, beta2), before="nothing", threshold=4)
        assert set(x) == {0.0}


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
        (ours.nadam, ["exp_avg", "exp_avg_sq", "mu_product"], rates),
        (ours.radam, ["exp_avg", "exp_avg_sq"], rates),
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
@each_variant
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
@each_variant
def test_cuda_follows_cpu(variant: Variant) -> None:
    outcome = []
    for devices in (["cpu", "cpu"], ["cuda", "cpu"], ["cuda", "cuda"]):
        params = [torch.linspace(-1, 1, 5, device=d).requires_grad_() for d in devices]
        optimizer = variant.make(params)
        for step in range(5):
            for p in params:
                p.grad = torch.cos(torch.arange(5.0) + step).to(p.device)
            optimizer.step()
        assert {optimizer.state[p]["step"].device.type for p in params} == {"cpu"}
        outcome.append(torch.cat([p.detach().cpu() for p in params]))
    torch.testing.assert_close(outcome[0], outcome[1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(outcome[0], outcome[2], rtol=1e-5, atol=1e-6)
