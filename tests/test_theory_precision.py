"""Section 7: formats, and every threshold that is claimed, against real tensors and optimizers."""

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from adamproof import optimizers
from adamproof.proofs_check import counter, memory
from adamproof.proofs_check.build import Recipe
from adamproof.proofs_check.judge import Judge
from adamproof.proofs_check.subjects import Subject, builtin
from adamproof.theory import freeze, precision
from adamproof.theory.catalogue import claims
from adamproof.theory.counter import STALL, STRIDE
from adamproof.theory.faithful import paper_of
from adamproof.theory.floats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, ORDERS, Format, stored
from adamproof.theory.memory import per_element
from adamproof.theory.records import Verdict

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
FORMATS = [FLOAT16, BFLOAT16, FLOAT32]
DEFAULT = 0.999

Build = Callable[..., torch.optim.Optimizer]
#: Optimizers that keep v, by name: a function of the parameters and the options, and their order.
KEEP_V: dict[str, tuple[Build, str]] = {
    "torch": (lambda p, **o: torch.optim.Adam(p, foreach=False, **o), "mul_, addcmul_"),
    "torch foreach": (lambda p, **o: torch.optim.Adam(p, foreach=True, **o), "_foreach_mul_, addcmul_"),
    "torch AdamW": (lambda p, **o: torch.optim.AdamW(p, **o), "mul_, addcmul_"),
    "torch NAdam": (lambda p, **o: torch.optim.NAdam(p, **o), "mul_, addcmul_"),
    "ours": (optimizers.Adam, "_foreach_mul_, addcmul_"),
    "ours AMSGrad": (optimizers.AMSGrad, "_foreach_mul_, addcmul_"),
    "ours reference": (optimizers.AdamReference, "β·v + (1−β)·g²"),
}


def order_of(name: str, device: str) -> str:
    """Return the order of operations; only the CPU rounds beta for a list in place."""
    order = KEEP_V[name][1]
    return order if device == "cpu" else order.replace("_foreach_", "")


@pytest.fixture(autouse=True)
def single() -> Iterator[None]:
    """The default type that users have, whatever another test has left."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


def every(form: Format) -> Tensor:
    """Return every finite number of a 16-bit format that is not negative."""
    bits = torch.arange(form.count, dtype=torch.int32).to(torch.int16)
    return bits.view(DTYPES[form.name])


def tensor(values: list[Fraction], form: Format, device: str = "cpu") -> Tensor:
    return torch.tensor([float(v) for v in values], dtype=DTYPES[form.name], device=device)


def stepped(
    build: Build,
    gradients: Tensor,
    *,
    v: Tensor | None = None,
    steps: int = 1,
    options: Mapping[str, Any] | None = None,
) -> tuple[Tensor, Mapping[str, Any]]:
    """Return the parameter, which starts at 0, and the state after steps of the same gradient."""
    param = torch.nn.Parameter(torch.zeros_like(gradients))
    optimizer = build([param], **(options or {}))
    param.grad = gradients.clone()
    if v is not None:
        param.grad = torch.zeros_like(gradients)
        optimizer.step()
        optimizer.state[param]["exp_avg_sq"].copy_(v)
        param.grad = gradients.clone()
    for _ in range(steps):
        optimizer.step()
    return param.detach(), optimizer.state[param]


# -- formats ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [FLOAT16, BFLOAT16], ids=lambda form: form.name)
def test_numbers_are_those_of_torch_in_their_order(form: Format) -> None:
    numbers = [form.number(i) for i in range(form.count)]
    assert [float(n) for n in numbers] == every(form).double().tolist()
    assert all(form.holds(n) for n in numbers[::97])
    info = torch.finfo(DTYPES[form.name])
    assert (form.largest, form.tiny) == (
        Fraction(info.max),
        Fraction(info.smallest_normal) * Fraction(info.eps),
    )


SIZES = st.integers(-180, 130)
REALS = st.builds(lambda m, e: m * 2.0**e, st.floats(-1, 1), SIZES)


@given(x=REALS)
@settings(max_examples=300, deadline=None)
def test_rounding_is_that_of_the_hardware(x: float) -> None:
    with np.errstate(over="ignore", under="ignore"):
        told = {FLOAT16: np.float16(x), FLOAT32: np.float32(x), FLOAT64: np.float64(x)}
    for form, value in told.items():
        if np.isfinite(value):
            assert form.round(Fraction(x)) == Fraction(float(value))
        else:
            with pytest.raises(OverflowError):
                form.round(Fraction(x))
    cast = torch.tensor(x, dtype=torch.float64).bfloat16().item()
    if np.isfinite(cast) and np.isfinite(told[FLOAT32]):
        assert stored(BFLOAT16, Fraction(x)) == Fraction(cast)


@given(x=REALS, y=REALS)
@settings(max_examples=200, deadline=None)
def test_rounding_keeps_the_order_and_takes_the_nearest(x: float, y: float) -> None:
    low, high = sorted((Fraction(x) / 2**20, Fraction(y) / 2**20))
    for form in FORMATS:
        if abs(low) < form.largest and abs(high) < form.largest:
            assert form.round(low) <= form.round(high)
            nearest = form.round(high)
            assert abs(nearest - high) <= form.spacing(high) / 2
            assert form.holds(nearest)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("form", [FLOAT16, BFLOAT16], ids=lambda form: form.name)
@pytest.mark.parametrize("order", ORDERS)
def test_orders_are_those_of_torch(form: Format, order: str, device: str) -> None:
    """At random numbers of the format, each stored result is the model's."""
    draw = torch.Generator().manual_seed(3)
    values = every(form)
    for beta in (0.9, 0.999):
        v, g = (values[torch.randint(len(values), (400,), generator=draw)] for _ in range(2))
        seen = v.to(device, copy=True)
        held, entered = seen, g.to(device)
        if order == "lerp_":
            seen = seen.lerp_(entered.square(), 1 - beta)
        elif order.startswith("_foreach"):
            if device != "cpu":
                pytest.skip("only the CPU rounds beta for a list in place")
            torch._foreach_mul_([seen], beta)
            torch._foreach_addcmul_([seen], [entered], [entered], 1 - beta)
        elif order == "mul_, addcmul_":
            seen = seen.mul_(beta).addcmul_(entered, entered, value=1 - beta)
        else:
            seen = beta * held + (1 - beta) * entered**2
        for a, b, new in zip(v.tolist(), g.tolist(), seen.tolist(), strict=True):
            if np.isfinite(new):
                assert ORDERS[order](form, Fraction(a), Fraction(b), Fraction(beta)) == Fraction(new)


# -- float16 ---------------------------------------------------------------------------------------

WITH_EPS = {
    name: subject
    for name, subject in builtin().items()
    if subject.recipe is not None and "eps" in paper_of(subject.against).hyper
    and not subject.compiled  # a kernel has ε in float32
    and not paper_of(subject.against).late.new["x"].atoms(precision.sp.Min)
}  # fmt: skip


def silent(subject: Subject, eps: float, device: str) -> Tensor:
    """Return a float16 parameter that starts at 0 after eight zero gradients."""
    assert subject.recipe is not None
    cls, options = subject.recipe.cls, dict(subject.recipe.options)
    zero = torch.zeros(3, dtype=torch.float16, device=device)
    return stepped(lambda p, **o: cls(p, **o), zero, steps=8, options={**options, "eps": eps})[0]


def test_both_forms_of_torchs_loops_are_among_them() -> None:
    assert {"torch.optim:Adam", "torch.optim:Adam(foreach=True)"} <= {*WITH_EPS}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", WITH_EPS)
def test_epsilon_survives_above_the_tie_only(name: str, device: str) -> None:
    tie = float(precision.FLOAT32_TIE)
    for eps in (1e-8, float(precision.TIE), tie):
        assert silent(WITH_EPS[name], eps, device).isnan().all(), eps
    radam = "RAdam" in name  # √(1−β2^t)/D overflows before it meets m = 0
    for eps in (() if radam else (float(np.nextafter(tie, 1)), 6e-8)) + (1e-4,):
        assert (silent(WITH_EPS[name], eps, device) == 0).all(), eps


def test_radam_overflows_for_an_epsilon_that_survives() -> None:
    radam = builtin()["torch.optim:RAdam"]
    assert silent(radam, 1e-6, "cpu").isnan().all()
    correction = (1 - DEFAULT**8) ** 0.5
    assert correction / 1e-6 > FLOAT16.largest > correction / 1e-4


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("beta2", [0.9, 0.99, 0.999, 0.9999])
@pytest.mark.parametrize("name", KEEP_V)
def test_v_underflows_and_overflows_at_the_thresholds(name: str, beta2: float, device: str) -> None:
    """Every float16 gradient at once."""
    build, order = KEEP_V[name][0], order_of(name, device)
    g = every(FLOAT16).to(device)
    _, state = stepped(build, g, options={"betas": (0.9, beta2)})
    v, size = state["exp_avg_sq"], g.double()
    exact = Fraction(str(beta2))
    lost, last = (float(precision.largest(order, exact, end)) for end in (True, False))
    assert torch.equal(v == 0, size <= lost)
    assert torch.equal(v.isinf(), size > last)
    if not order.startswith("β"):  # where g² is not rounded before
        assert torch.equal(v == 0, (1 - beta2) * size**2 <= 2**-25)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["torch", "torch foreach", "torch AdamW", "ours", "ours reference"])
def test_a_lost_v_makes_an_infinite_first_step(name: str, device: str) -> None:
    g = every(FLOAT16).to(device)
    x, state = stepped(KEEP_V[name][0], g, options={"lr": 1.0})
    infinite = (state["exp_avg"] != 0) & (state["exp_avg_sq"] == 0)
    first, lost = precision.infinite_steps()
    assert torch.equal(infinite, (g >= float(first)) & (g <= float(lost)))
    assert torch.equal(infinite, (0.1 * g.double() > 2.0**-25) & (state["exp_avg_sq"] == 0))
    assert infinite.sum() > 7000
    assert (x[infinite] == -torch.inf).all()
    assert x[: len(g) - int((g >= float(first)).sum())].isnan().all()  # m_1 is lost as well
    assert x[(state["exp_avg_sq"] != 0) & state["exp_avg_sq"].isfinite()].isfinite().all()


# -- bfloat16 --------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", KEEP_V)
def test_the_witness_of_the_freeze_in_bfloat16_itself(name: str, device: str) -> None:
    """The judge replays it in float64 and rounds; here the optimizer's own tensors are bfloat16."""
    finding = Judge().finding(claims()["bf16-freeze"], builtin()["torch.optim:Adam"])
    assert finding.witness is not None
    point = {n: float(v) for n, v in finding.witness.point.items()}
    param = torch.nn.Parameter(torch.zeros(1, dtype=torch.bfloat16, device=device))
    optimizer = KEEP_V[name][0]([param], betas=(0.9, point["beta2"]))
    seen = []
    for gradient in (point["g1"], 0.0):
        param.grad = torch.full_like(param, gradient)
        optimizer.step()
        seen.append(optimizer.state[param]["exp_avg_sq"].item())
    assert seen[0] == seen[1] > 0


def silenced(name: str, v: Tensor, beta2: float, steps: int = 1) -> Tensor:
    """Return what becomes of v under zero gradients."""
    options = {"betas": (0.9, beta2)}
    state = stepped(KEEP_V[name][0], torch.zeros_like(v), v=v, options=options, steps=steps)[1]
    after: Tensor = state["exp_avg_sq"]
    return after


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", KEEP_V)
def test_zero_gradients_freeze_every_v(name: str, device: str) -> None:
    """Every bfloat16 number, subnormal ones too; at 0.99 every normal one falls."""
    v = every(BFLOAT16).to(device)
    for beta2 in (0.999, 1 - 1 / 512):
        assert torch.equal(silenced(name, v, beta2, 20), v)
    normal = v.double() >= 2.0**-126
    assert (silenced(name, v, 0.99) < v)[normal].all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", KEEP_V)
def test_the_beta_from_which_a_number_decays(name: str, device: str) -> None:
    """Every bfloat16 number at once, on both sides of each significand's bound and at two ties."""
    v = every(BFLOAT16)[1:]
    size = v.double()
    unit = 2.0 ** (torch.frexp(size).exponent.double() - 8).clamp(min=-133)
    m = size / unit
    half = torch.where((m == 128) & (size > 2.0**-126), 0.25, 0.5).double()
    rounded = order_of(name, device).startswith("_foreach")
    bounds = sorted({float(freeze.threshold(k)) for k in (*freeze.ABOVE, *freeze.LOWEST[50:])})
    near = [c * (1 + k * 2.0**-12) for c in bounds for k in (-1, 1)]
    for c in (*near, 1 / 512, 1 / 256):
        kept = torch.tensor(1 - c).bfloat16().double().item() if rounded else 1 - c
        decay = (1 - kept) * m
        stays = (decay < half) | ((decay == half) & (m % 2 == 0))
        assert torch.equal((silenced(name, v.to(device), 1 - c) == v.to(device)).cpu(), stays), c
        if rounded:
            assert torch.equal(stays[size > 2.0**-126].any(), torch.tensor(kept == 1))
            assert stays[size == 2.0**-126].item() == (kept >= 255 / 256)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["torch", "torch foreach", "ours reference"])
def test_the_smallest_normal_number(name: str, device: str) -> None:
    """Below it numbers are as far apart as above: half of the decay that moves 2^−125 leaves it."""
    v = torch.tensor([2.0**-126, 2.0**-125], dtype=torch.bfloat16, device=device)
    rounded = order_of(name, device).startswith("_foreach")
    at = {1 / 258: True, 1 / 257: True, 1 / 256: True, 0.0041: rounded, 0.0055: rounded, 0.006: False}
    for c, stays in at.items():
        assert (silenced(name, v, 1 - c, 50) == v).tolist() == [stays, False], c


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", KEEP_V)
def test_the_gradient_from_which_a_number_rises(name: str, device: str) -> None:
    """The last gradient that changes nothing, and the next, for every significand in every binade."""
    build, order = KEEP_V[name][0], order_of(name, device)
    points = freeze.edges(order)
    v, last = (torch.tensor([float(p[n]) for p in points], dtype=torch.float64) for n in ("v", "g"))
    first = torch.tensor([float(BFLOAT16.above(p["g"])) for p in points], dtype=torch.float64)
    usual = v >= 128  # the two binades that stand for those above the lowest eight
    scales = 2.0 ** torch.arange(-63, 58).double()[:, None]  # of g: v·4 and g·2 go together
    parts = ((v, last, first), tuple(k.flatten() for k in (v[usual] * scales**2, last[usual] * scales,
                                                           first[usual] * scales)))  # fmt: skip
    assert parts[1][0].min() == 2.0**-119
    assert parts[1][0].max() > 2.0**122
    for part in parts:
        here, below, above = (k.bfloat16().to(device) for k in part)
        assert torch.equal(here.double().cpu(), part[0])
        assert torch.equal(stepped(build, below, v=here)[1]["exp_avg_sq"], here)
        assert (stepped(build, above, v=here)[1]["exp_avg_sq"] > here).all()
    ratio = (first**2 / v)[usual]
    assert 1.9 < ratio.min() < ratio.max() < 4.1


def test_float32_on_the_way_moves_the_bound_by_little() -> None:
    """β2·v is moved by at most 2^−16 of a unit, the sum by at most 2^−14, and they are moved."""
    draw = np.random.default_rng(5)
    for _ in range(400):
        m, c = int(draw.integers(128, 256)), float(draw.uniform(0.0001, 0.1))
        g2, v = 2.0 ** draw.integers(-2, 6), Fraction(m)
        enters = (1 - Fraction(1 - c)) * Fraction(g2) ** 2
        torch_v = torch.tensor([float(m)]).bfloat16()
        g = torch.tensor([g2]).bfloat16()
        new = Fraction(torch_v.mul_(1 - c).addcmul_(g, g, value=c).item())
        decayed = {BFLOAT16.round(Fraction(1 - c) * v + k * Fraction(1, 2**16)) for k in (-1, 0, 1)}
        ends = [BFLOAT16.round(d + enters + k * Fraction(1, 2**14)) for d in decayed for k in (-1, 1)]
        assert min(ends) <= new <= max(ends)
    near = 1 - (1 - 2.0**-18) / 512
    assert (1 - Fraction(near)) * 256 < Fraction(1, 2)
    v = torch.tensor([129.0]).bfloat16()
    g = torch.tensor([16.0]).bfloat16()
    assert v.mul_(near).addcmul_(g, g, value=1 - near).item() == 130


def test_one_rounding_needs_a_larger_gradient() -> None:
    points = [p for p in freeze.edges("lerp_") if p["v"] >= Fraction(1, 2**126)]
    v, last = (tensor([p[n] for p in points], BFLOAT16) for n in ("v", "g"))
    first = tensor([BFLOAT16.above(p["g"]) for p in points], BFLOAT16)
    assert torch.equal(v.clone().lerp_(last.square(), 1 - DEFAULT), v)
    assert (v.clone().lerp_(first.square(), 1 - DEFAULT) > v).all()
    assert (first.double() ** 2 / v.double()).min() > 2.9


def test_v_stays_at_a_spike_for_ever_in_bfloat16_only() -> None:
    for dtype, falls in ((torch.bfloat16, False), (torch.float32, True)):
        param = torch.nn.Parameter(torch.zeros(1, dtype=dtype))
        optimizer = torch.optim.Adam([param])
        seen = []
        for gradient in (100.0, *[1.0] * 500):
            param.grad = torch.full_like(param, gradient)
            optimizer.step()
            seen.append(optimizer.state[param]["exp_avg_sq"].item())
        assert (seen[-1] < 0.7 * seen[0]) == falls
        assert falls or set(seen) == {seen[0]}


# -- the step counter ------------------------------------------------------------------------------


def subject(cls: type[torch.optim.Optimizer], against: str, **options: Any) -> Subject:
    return Subject(cls.__name__, "user", Recipe(cls, options), against)


def test_torch_counts_in_float32_and_stops() -> None:
    for cls in (
        torch.optim.Adam,
        torch.optim.RAdam,
        torch.optim.Adagrad,
        torch.optim.ASGD,
        optimizers.Adam,
    ):
        param = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
        optimizer = cls([param])
        param.grad = torch.ones_like(param)
        optimizer.step()
        count = optimizer.state[param]["step"]
        assert count.dtype == torch.float32
        count.fill_(STALL - 1)
        for _ in range(3):
            optimizer.step()
        assert optimizer.state[param]["step"].item() == STALL


@pytest.mark.parametrize("foreach", [False, True])
def test_what_a_stopped_counter_does(foreach: bool) -> None:
    harmless = [("Adam", "adam"), ("AdamW", "adamw"), ("NAdam", "nadam"), ("RAdam", "radam"),
                ("Adamax", "adamax")]  # fmt: skip
    for name, against in harmless:
        told = counter.trial(subject(getattr(torch.optim, name), against, foreach=foreach), "cpu")
        assert told.verdict is Verdict.MEASURED, name
        assert f"stays at {STALL}" in told.reason
    adagrad = subject(torch.optim.Adagrad, "adagrad", lr_decay=0.1, foreach=foreach)
    told = counter.trial(adagrad, "cpu")
    assert told.verdict is Verdict.REFUTED
    assert told.witness is not None
    assert told.witness.point == {"t": STALL + 1}
    assert told.witness.replayed


def test_the_betas_for_which_it_is_harmless() -> None:
    edge = 1 - 1 / (STRIDE + 1)
    for beta2, verdict in ((edge, Verdict.MEASURED), (1 - 1e-6, Verdict.REFUTED)):
        adam = subject(torch.optim.Adam, "adam", betas=(0.9, beta2))
        assert counter.trial(adam, "cpu").verdict is verdict
    assert Fraction(edge) ** 50 < 1  # it is below 1 in floating point
    assert 1 - edge**STALL == 1.0
    assert 1 - (1 - 1e-6) ** STALL < 1.0


def test_the_factor_bounds_the_adaptive_part_of_adamw_and_not_the_step() -> None:
    """Decay α·λ·x against an adaptive part of the other sign: the whole step may turn round."""
    beta1, beta2, lr, rate, start = 0.9, 1 - 1e-6, 0.1, 0.5, 2.0
    whole, adaptive = [], []
    for count in (STALL, 64 * STALL):
        param = torch.nn.Parameter(torch.tensor([start], dtype=torch.float64))
        adamw = torch.optim.AdamW([param], lr=lr, betas=(beta1, beta2), weight_decay=rate, eps=0.0)
        param.grad = torch.ones_like(param)
        adamw.step()
        state = adamw.state[param]
        state["step"] = torch.tensor(count - 1.0, dtype=torch.float64)
        state["exp_avg"].fill_(-1.000000001)
        state["exp_avg_sq"].fill_(1.0)
        before = param.item()
        param.grad = torch.full_like(param, -1.0)
        adamw.step()
        whole.append(before - param.item())
        adaptive.append(whole[-1] - lr * rate * before)
    low, high = (1 - beta2**STALL) ** 0.5, 1 / (1 - beta1**STALL)
    assert low * (1 - 1e-9) <= adaptive[0] / adaptive[1] <= high * (1 + 1e-9)
    assert low < 1 - 1e-9  # it shows
    assert abs(whole[0] / whole[1] - 1) > 1.5 * abs(adaptive[0] / adaptive[1] - 1)


@given(rate=st.floats(1e-4, 1e4), gamma=st.floats(1e-6, 1e-2), later=st.floats(1, 1e3))
@settings(max_examples=50, deadline=None)
def test_adabounds_rate_at_a_stopped_counter(rate: float, gamma: float, later: float) -> None:
    def clipped(count: float) -> float:
        return min(max(rate, 1 - 1 / (gamma * count + 1)), 1 + 1 / (gamma * count))

    ratio, most = clipped(STALL) / clipped(STALL * later), (1 + 1 / (gamma * STALL)) ** 2
    assert (1 - 1e-12) / most <= ratio <= most * (1 + 1e-12)


def test_a_counter_of_another_type_goes_on() -> None:
    torch.set_default_dtype(torch.float64)  # torch then counts in float64
    told = counter.trial(subject(torch.optim.Adagrad, "adagrad", lr_decay=0.1), "cpu")
    assert told.verdict is Verdict.MEASURED
    assert "goes past" in told.reason
    assert counter.trial(subject(torch.optim.SGD, "sgd"), "cpu").verdict is Verdict.UNDECIDED


# -- memory ----------------------------------------------------------------------------------------


class Wide(torch.optim.SGD):
    """Momentum kept in float64 for every parameter."""

    def step(self, closure: Any = None) -> Any:
        out = super().step(closure)
        for p in self.param_groups[0]["params"]:
            self.state[p]["momentum_buffer"] = self.state[p]["momentum_buffer"].double()
        return out


COPIES = {
    0: ["sgd"],
    1: ["sgd+momentum", "adagrad", "rmsprop"],
    2: ["adam", "adamw", "nadam", "radam", "adamax", "adadelta"],
    3: ["amsgrad", "rmsprop+centered+momentum"],
}


@pytest.mark.parametrize(("count", "name"), [(k, n) for k, names in COPIES.items() for n in names])
def test_entries_per_parameter(count: int, name: str) -> None:
    assert len(per_element(paper_of(name))) == count


@pytest.mark.parametrize("device", DEVICES)
def test_bytes_of_a_real_state(device: str) -> None:
    found = {s.id: s for s in builtin().values()}
    adam = memory.trial(found["torch.optim:Adam"], device)
    assert adam.verdict is Verdict.MEASURED
    assert "4 in bfloat16, 8 in float32, 16 in float64" in adam.reason
    assert "4 copies" in adam.reason
    model = torch.nn.Linear(30, 20, device=device)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 30, device=device)).sum().backward()
    optimizer.step()
    held = sum(v.nbytes for s in optimizer.state_dict()["state"].values() for v in s.values())
    assert held == 8 * (30 * 20 + 20) + 2 * 4


def test_state_in_another_type_is_seen() -> None:
    wide = subject(Wide, "sgd+momentum", momentum=0.9)
    told = memory.trial(wide, "cpu")
    assert told.verdict is Verdict.REFUTED
    assert told.witness is not None
    assert told.witness.point == {"n": 1, "s": 2}


# -- verdicts --------------------------------------------------------------------------------------

VERDICTS = {
    ("eps-fp16", "paper:adam"): "refuted",
    ("eps-fp16", "paper:sgd"): "not applicable",
    ("eps-fp16-survives", "paper:adam"): "proved",
    ("eps-fp16-survives", "paper:radam"): "proved",
    ("fp16-underflow", "paper:rmsprop"): "proved",
    ("bf16-freeze", "torch.optim:Adam"): "refuted",
    ("bf16-freeze-threshold", "torch.optim:Adam"): "proved",
    ("step-counter-effect", "paper:adagrad"): "proved",
    ("step-counter-effect", "torch.optim:Adagrad(lr_decay=0.1, weight_decay=0.1)"): "proved",
    ("step-counter-effect", "paper:radam"): "proved",
    ("step-counter-effect", "paper:nadam"): "proved",
    ("step-counter-effect", "paper:adabound"): "proved",
    ("step-counter-effect", "paper:adabound-sqrt"): "proved",
    ("step-counter-effect", "paper:amsgrad"): "not applicable",
    ("step-counter-float32", "torch.optim:RMSprop"): "not applicable",
    ("state-bytes", "adamproof.optimizers:AMSGrad"): "measured",
}


@pytest.mark.parametrize(("claim", "name"), VERDICTS)
def test_verdicts(claim: str, name: str) -> None:
    finding = Judge().finding(claims()[claim], builtin()[name])
    assert str(finding.verdict) == VERDICTS[claim, name], finding.reason
