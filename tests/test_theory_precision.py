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
    and not paper_of(subject.against).late.new["x"].atoms(precision.sp.Min)
}  # fmt: skip


def silent(subject: Subject, eps: float, device: str) -> Tensor:
    """Return a float16 parameter that starts at 0 after eight zero gradients."""
    assert subject.recipe is not None
    cls, options = subject.recipe.cls, dict(subject.recipe.options)
    zero = torch.zeros(3, dtype=torch.float16, device=device)
    return stepped(lambda p, **o: cls(p, **o), zero, steps=8, options={**options, "eps": eps})[0]


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
    assert infinite.sum() > 7000
    assert (x[infinite] == -torch.inf).all()
    assert x[(state["exp_avg_sq"] != 0) & state["exp_avg_sq"].isfinite()].isfinite().all()


# -- bfloat16 --------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", KEEP_V)
def test_zero_gradients_freeze_every_v(name: str, device: str) -> None:
    """Every bfloat16 number, subnormal ones too; at 0.99 every normal one falls."""
    v = every(BFLOAT16).to(device)
    zero = torch.zeros_like(v)
    for beta2 in (0.999, 1 - 1 / 512):
        _, state = stepped(KEEP_V[name][0], zero, v=v, options={"betas": (0.9, beta2)}, steps=20)
        assert torch.equal(state["exp_avg_sq"], v)
    _, state = stepped(KEEP_V[name][0], zero, v=v, options={"betas": (0.9, 0.99)})
    normal = v.double() >= 2.0**-126
    assert (state["exp_avg_sq"] < v)[normal].all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", KEEP_V)
def test_the_beta_from_which_a_significand_decays(name: str, device: str) -> None:
    m = tensor(freeze.NORMAL, BFLOAT16, device)
    bounds = torch.tensor([(1 / 4 if k == 128 else 1 / 2) / float(k) for k in freeze.NORMAL])
    rounded = order_of(name, device).startswith("_foreach")
    for bound in bounds.tolist():
        for c in (bound * (1 - 2.0**-12), bound * (1 + 2.0**-12)):
            options = {"betas": (0.9, 1 - c)}
            v = stepped(KEEP_V[name][0], torch.zeros_like(m), v=m, options=options)[1]["exp_avg_sq"]
            stays = torch.full_like(bounds, c <= 1 / 512) if rounded else c < bounds
            assert torch.equal((v == m).cpu(), stays.bool()), c


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", KEEP_V)
def test_the_gradient_from_which_a_significand_rises(name: str, device: str) -> None:
    """The last gradient that changes nothing, and the next, for every significand in two binades."""
    build, order = KEEP_V[name][0], order_of(name, device)
    points = freeze.edges(order)
    v = tensor([p["v"] for p in points], BFLOAT16, device)
    last = tensor([p["g"] for p in points], BFLOAT16, device)
    first = tensor([BFLOAT16.above(p["g"]) for p in points], BFLOAT16, device)
    assert torch.equal(stepped(build, last, v=v)[1]["exp_avg_sq"], v)
    assert (stepped(build, first, v=v)[1]["exp_avg_sq"] > v).all()
    ratio = first.double() ** 2 / v.double()
    assert 1.9 < ratio.min() < ratio.max() < 4.1


def test_one_rounding_needs_a_larger_gradient() -> None:
    points = freeze.edges("lerp_")
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
    assert (
        "kept for nothing" in memory.trial(found["adamproof.optimizers:RMSpropReference"], device).reason
    )
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
    ("step-counter-effect", "paper:amsgrad"): "not applicable",
    ("step-counter-float32", "torch.optim:RMSprop"): "not applicable",
    ("state-bytes", "adamproof.optimizers:AMSGrad"): "measured",
}


@pytest.mark.parametrize(("claim", "name"), VERDICTS)
def test_verdicts(claim: str, name: str) -> None:
    finding = Judge().finding(claims()[claim], builtin()[name])
    assert str(finding.verdict) == VERDICTS[claim, name], finding.reason
