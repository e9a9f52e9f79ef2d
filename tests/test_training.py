"""Training: with every rule a network learns, compiled too, along the curve of `torch.optim`."""

import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from adamproof import optimizers as ours
from adamproof.optimizers import kernel

from .family import needs_compiler

DIGITS, BATCH, EPOCHS = 360, 60, 40
#: The loss where every training starts, about log 10; and where it ends at the latest.
START, LEARNED = 2.3, 0.15
#: How many of the digits that it never saw a trained network reads at least.
READ = 0.65

#: How far apart two curves of the same rule may lie, in float64: rounding, grown in all the steps.
ROUNDING = 1e-9


@pytest.fixture(autouse=True)
def fresh(double: None) -> Iterator[None]:
    """In float64, and from a process that has not warned yet."""
    kernel.forget()
    yield
    kernel.forget()


# -- the task --------------------------------------------------------------------------------------


@cache
def digits(seen: bool = True) -> tuple[Tensor, Tensor]:
    """Handwritten digits as scikit-learn ships them: 8×8 pixels in [0, 1], and which of the ten."""
    data = load_digits()
    rows = slice(DIGITS) if seen else slice(DIGITS, 2 * DIGITS)
    return torch.tensor(data.data[rows]) / 16, torch.tensor(data.target[rows])


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 10))


def loss_of(model: nn.Module, images: Tensor, which: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(images), which)


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    """Mini-batches in an order drawn anew in every epoch, the same in every training."""
    images, which = digits()
    draw = torch.Generator().manual_seed(2)
    for _ in range(EPOCHS):
        for rows in torch.randperm(DIGITS, generator=draw).split(BATCH):
            yield images[rows], which[rows]


def curve(
    make: Callable[[Any], torch.optim.Optimizer],
    schedule: Callable[[int], float] | None = None,
    clip: float = 0,
    model: nn.Module | None = None,
) -> list[float]:
    """Train; the loss of all digits before the first step, of each mini-batch, and at the end."""
    model = model or network()
    optimizer = make(model.parameters())
    scheduler = LambdaLR(optimizer, schedule) if schedule else None
    losses = [loss_of(model, *digits()).item()]
    for images, which in batches():
        optimizer.zero_grad()
        loss = loss_of(model, images, which)
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        if scheduler:
            scheduler.step()
        losses.append(loss.item())
    return [*losses, loss_of(model, *digits()).item()]


# -- the rules -------------------------------------------------------------------------------------

theirs = torch.optim
HEAVY = {"momentum": 0.9}
#: Class, options with a rate, the class of `torch.optim` with the same rule, its options.
RULES: list[tuple[str, dict[str, Any], Any, dict[str, Any]]] = [
    ("SGD", {"lr": 0.5}, theirs.SGD, {}),
    ("SGD", {"lr": 0.1, **HEAVY}, theirs.SGD, {}),
    ("SGD", {"lr": 0.1, **HEAVY, "nesterov": True}, theirs.SGD, {}),
    ("SGD", {"lr": 1.0, **HEAVY, "ema": True}, theirs.SGD, {"lr": 0.1, **HEAVY, "ema": None}),
    ("SGD", {"lr": 0.1, **HEAVY, "weight_decay": 1e-3, "decay": "coupled"}, None, {}),
    ("SignSGD", {"lr": 0.01}, None, {}),
    ("SignSGD", {"lr": 0.01, **HEAVY}, None, {}),
    ("Lion", {"lr": 0.01, "weight_decay": 0.1}, None, {}),
    ("Adagrad", {"lr": 0.1}, theirs.Adagrad, {}),
    ("RMSprop", {"lr": 0.01}, theirs.RMSprop, {}),
    ("RMSprop", {"lr": 0.01, "alpha": 0.9, "centered": True, "eps": 1e-3}, theirs.RMSprop, {}),
    ("RMSprop", {"lr": 0.002, "alpha": 0.9, "eps_inside": True, **HEAVY}, None, {}),
    ("Adadelta", {"lr": 10.0}, theirs.Adadelta, {}),
    ("Adam", {"lr": 0.02}, theirs.Adam, {}),
    ("Adam", {"lr": 0.02, "weight_decay": 1e-4}, theirs.Adam, {}),
    ("Adam", {"lr": 0.02, "bias_correction": False}, None, {}),
    ("Adam", {"lr": 0.02, "eps_beside": "raw"}, None, {}),
    ("AdamW", {"lr": 0.02, "weight_decay": 0.01}, theirs.AdamW, {}),
    ("AdamW", {"lr": 0.02, "weight_decay": 2e-4, "decay": "uncoupled"},
     theirs.AdamW, {"weight_decay": 0.01, "decay": None}),
    ("AMSGrad", {"lr": 0.02}, None, {}),
    ("AMSGrad", {"lr": 0.02, "correction": "after_max"},
     theirs.Adam, {"amsgrad": True, "correction": None}),
    ("AMSGrad", {"lr": 0.02, "correction": "before_max"}, None, {}),
    ("NAdam", {"lr": 0.02}, theirs.NAdam, {}),
    ("NAdam", {"lr": 0.02, "form": "dozat"}, None, {}),
    ("NAdam", {"lr": 0.02, "form": "constant"}, None, {}),
    ("RAdam", {"lr": 0.02, "betas": (0.9, 0.99)}, theirs.RAdam, {}),
    ("RAdam", {"lr": 0.02, "betas": (0.9, 0.99), "threshold": 4}, None, {}),
    ("RAdam", {"lr": 0.02, "betas": (0.9, 0.99), "before": "nothing"}, None, {}),
    ("Adamax", {"lr": 0.05}, theirs.Adamax, {}),
    ("AdaBelief", {"lr": 0.02}, None, {}),
    ("AdaBelief", {"lr": 0.02, "eps_in_average": False, "eps": 1e-8}, None, {}),
    ("AdaBound", {"lr": 0.02, "final_lr": 0.5}, None, {}),
    ("AdaBound", {"lr": 0.05, "final_lr": 10.0, "gamma": 1.0, "schedule": "sqrt"}, None, {}),
    ("AMSBound", {"lr": 0.02, "final_lr": 0.5}, None, {}),
    ("AMSBound", {"lr": 0.05, "final_lr": 10.0, "gamma": 1.0, "schedule": "sqrt"}, None, {}),
    ("SWATS", {"lr": 0.02, "betas": (0.9, 0.99), "tolerance": 0.05}, None, {}),
]  # fmt: skip


def shown(name: str, options: dict[str, Any]) -> str:
    return ", ".join([name, *(f"{n}={v}" for n, v in options.items())])


def ours_with(name: str, options: dict[str, Any], **more: Any) -> Callable[[Any], Any]:
    return lambda params: getattr(ours, name)(params, **options, **more)


@cache
def _trained(number: int) -> tuple[list[float], float]:
    """The curve of a rule, and how many of the digits that it did not see the network then reads."""
    name, options, _, _ = RULES[number]
    model = network()
    losses = curve(ours_with(name, options), model=model)
    images, which = digits(seen=False)
    return losses, (model(images).argmax(1) == which).double().mean().item()


def _plain_curve(number: int) -> list[float]:
    return _trained(number)[0]


def apart(one: list[float], other: list[float]) -> float:
    """How far two curves are, where they are farthest."""
    assert len(one) == len(other) == EPOCHS * DIGITS // BATCH + 2
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


each_rule = pytest.mark.parametrize(
    "number", range(len(RULES)), ids=[shown(name, options) for name, options, _, _ in RULES]
)


def test_every_rule_is_here() -> None:
    classes = {name for name in ours.__all__ if f"{name}Reference" in ours.__all__}
    assert classes == {name for name, _, _, _ in RULES}


@each_rule
def test_a_network_learns_to_read(number: int) -> None:
    losses, read = _trained(number)
    assert abs(losses[0] - START) < 0.05
    assert losses[-1] < LEARNED
    assert max(losses) < 2 * START  # it never left for elsewhere in between
    assert read > READ


@needs_compiler
@each_rule
def test_compiled_it_learns_along_the_same_curve(number: int) -> None:
    name, options, _, _ = RULES[number]
    if name == "SWATS":
        with pytest.raises(ValueError, match="compiled"):
            curve(ours_with(name, options, compiled=True))
        return
    losses = curve(ours_with(name, options, compiled=True))
    assert kernel.build.cache_info().currsize in (1, 2)  # RAdam has one for each of its branches
    assert apart(losses, _plain_curve(number)) < ROUNDING


@pytest.mark.parametrize(
    "number", [pytest.param(i, id=shown(*rule[:2])) for i, rule in enumerate(RULES) if rule[2]]
)
def test_the_curve_is_that_of_torch(number: int) -> None:
    _, options, twin, changed = RULES[number]
    same = {n: v for n, v in {**options, **changed}.items() if v is not None}
    losses = curve(lambda params: twin(params, **same))
    assert apart(losses, _plain_curve(number)) < ROUNDING
    other = curve(lambda params: twin(params, **{**same, "lr": 1.001 * same["lr"]}))
    assert apart(losses, other) > 1e-5  # which would be seen


@pytest.mark.parametrize(
    "form", [{}, pytest.param({"compiled": True}, marks=needs_compiler)], ids=["shipped", "compiled"]
)
def test_with_a_schedule_and_clipping(form: dict[str, Any]) -> None:
    """Warmup and a half cosine, gradients cut to a norm: as torch's AdamW has it."""
    total, warmup, clip = EPOCHS * DIGITS // BATCH, 20, 0.05
    schedule = ours.cosine(total=total, warmup=warmup)

    def by_hand(step: int) -> float:
        late = (step + 1 - warmup) / (total - warmup)
        return (step + 1) / warmup if late < 0 else 0.5 + 0.5 * math.cos(math.pi * late)

    options = {"lr": 0.03, "weight_decay": 0.01}
    losses = curve(ours_with("AdamW", options, **form), schedule, clip)
    assert losses[-1] < LEARNED
    expected = curve(lambda params: torch.optim.AdamW(params, **options), by_hand, clip)
    assert apart(losses, expected) < ROUNDING
    assert apart(losses, curve(ours_with("AdamW", options, **form), schedule)) > 1e-3  # it does clip
    assert apart(losses, curve(ours_with("AdamW", options, **form), None, clip)) > 1e-3


def test_swats_switches_on_the_way() -> None:
    """From some step on it is gradient descent; up to there it is what it would be without a switch."""
    made: list[Any] = []
    options = next(options for name, options, _, _ in RULES if name == "SWATS")

    def make(params: Any) -> Any:
        made.append(ours.SWATS(params, **options))
        return made[-1]

    losses, never = curve(make), curve(ours_with("SWATS", {**options, "tolerance": 0.0}))
    (group,) = made[0].param_groups
    assert 0 < group["rate"] < math.inf
    assert all(state.keys() == {"step", "momentum_buffer"} for state in made[0].state.values())
    first = next(i for i, (a, b) in enumerate(zip(losses, never, strict=True)) if a != b)
    assert 10 < first < len(losses) // 2
    assert losses[-1] < losses[first] / 2
