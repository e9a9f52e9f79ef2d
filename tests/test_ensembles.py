"""Ensembles: each member is trained as if it were alone, by every method, and as torch would."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from adamproof.experiments.methods import METHODS, Method, maker
from adamproof.experiments.spec import Job, Spec
from adamproof.experiments.tasks import TASKS, Split, digits, module_task
from adamproof.experiments.training import Point, Training

CLEAN = TASKS["digits-clean"]
#: Rounding of a batched product against a product, grown over the steps.
ROUNDING = 2e-3


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def job(
    method: Method, seeds: tuple[int, ...], task: Any = CLEAN, functions: Any = None, **options: str
) -> Job:
    given = {"lr": method.default, "epochs": "3"} | options
    specs = tuple(Spec("training", task.name, method.name, s, tuple(given.items())) for s in seeds)
    return Job(Training(functions or {}), task, method, specs)


def rows(made: Job) -> Any:
    return made.function(made)


@pytest.mark.parametrize("name", METHODS)
def test_a_member_does_not_depend_on_the_others(name: str) -> None:
    method = METHODS[name]
    together, alone = rows(job(method, (0, 1, 2))), rows(job(method, (1,)))[0]
    for key, value in alone.items():
        if isinstance(value, float):
            tolerance = 0.3 if "error" in key else ROUNDING  # errors go by whole images
            assert together[1][key] == pytest.approx(value, rel=ROUNDING, abs=tolerance), key
    assert len({row["train_loss"] for row in together}) == 3


def plain(optimizer: Any, seed: int, epochs: int, **options: Any) -> float:
    """Train one network the way everybody does, on the same start and the same stream."""
    leaves = CLEAN.start(seed)
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 10))
    with torch.no_grad():
        for parameter, leaf in zip(model.parameters(), leaves, strict=True):
            parameter.copy_(leaf.T if leaf.shape[0] > 1 else leaf[0])
    made = optimizer(model.parameters(), **options)
    x, y = digits(seed).train
    for epoch in range(1, epochs + 1):
        generator = torch.Generator().manual_seed((seed * 1009 + epoch) << 8)
        for chosen in torch.randperm(500, generator=generator).split(50):
            made.zero_grad()
            nn.functional.cross_entropy(model(x[chosen]), y[chosen]).backward()
            made.step()
    return nn.functional.cross_entropy(model(x), y).item()


@pytest.mark.parametrize(
    "name, optimizer, options",
    [
        ("momentum", torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
        ("adam", torch.optim.Adam, {"lr": 1e-3}),
        ("radam", torch.optim.RAdam, {"lr": 1e-3}),
        ("rmsprop", torch.optim.RMSprop, {"lr": 1e-3, "alpha": 0.9}),
    ],
)
def test_training_is_that_of_a_plain_loop(name: str, optimizer: Any, options: Any) -> None:
    row = rows(job(METHODS[name], (5,), epochs="4"))[0]
    assert row["train_loss"] == pytest.approx(plain(optimizer, 5, 4, **options), rel=1e-3)


def test_a_divergence_is_an_outcome_and_disturbs_nobody() -> None:
    def start(seed: int) -> list[torch.Tensor]:
        return [leaf * (torch.inf if seed == 1 else 1) for leaf in CLEAN.start(seed)]

    task = replace(CLEAN, start=start)
    calm, wild = rows(job(METHODS["adam"], (0, 1), task, {"norm": norm}, metrics="norm"))
    assert wild["diverged"] == 1 and "norm" not in wild
    assert calm["diverged"] == 0 and calm["norm"] > 0
    assert calm["train_loss"] == pytest.approx(
        rows(job(METHODS["adam"], (0,)))[0]["train_loss"], rel=ROUNDING
    )


def norm(point: Point) -> dict[str, torch.Tensor]:
    squares = [leaf.flatten(1).square().sum(1) for leaf in point.leaves]
    return {"norm": torch.stack(squares).sum(0).sqrt()}


def test_metrics_are_taken_where_the_loss_crosses() -> None:
    made = job(
        METHODS["momentum"], (0, 3), CLEAN, {"norm": norm}, metrics="norm", matched="norm", epochs="14"
    )
    row = rows(made)[0]
    assert row["epoch@0.3"] < row["epoch@0.1"] <= 14
    assert row["norm@0.3"] < row["norm@0.1"] < row["norm"]
    assert row["test_error@0.3"] > row["test_error"]


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(KeyError, match="no metric 'nrom'"):
        rows(job(METHODS["sgd"], (0,), CLEAN, {"norm": norm}, metrics="nrom"))


def test_a_seed_fixes_split_start_and_stream() -> None:
    first, again = rows(job(METHODS["sgd"], (0, 1))), rows(job(METHODS["sgd"], (0, 1)))
    assert first == again
    other = rows(job(METHODS["sgd"], (0, 1), stream="1"))
    assert [r["train_loss"] for r in other] != [r["train_loss"] for r in first]


def test_splits_do_not_overlap_and_noise_is_on_the_training_labels_only() -> None:
    clean, noisy = digits(3), digits(3, noise=0.2)
    assert [len(part[1]) for part in (clean.train, clean.validation, clean.test)] == [500, 297, 1000]
    changed = (clean.train[1] != noisy.train[1]).float().mean()
    assert 0.13 < changed < 0.23  # a tenth of the new labels are the old ones
    assert torch.equal(clean.test[1], noisy.test[1]) and torch.equal(clean.test[0], noisy.test[0])
    every = torch.cat([clean.train[0], clean.validation[0], clean.test[0]])
    assert len(torch.unique(every, dim=0)) == len(
        torch.unique(torch.cat([digits(4).train[0], digits(4).validation[0], digits(4).test[0]]), dim=0)
    )


def test_the_fresh_task_draws_its_data_anew() -> None:
    task = TASKS["synthetic-fresh"]
    assert task.independent
    assert not torch.equal(task.draw(0).train[0], task.draw(1).train[0])
    shares = torch.bincount(task.draw(0).test[1], minlength=5) / 1000
    assert shares.min() > 0.05


def test_any_module_is_a_task() -> None:
    def network() -> nn.Module:
        return nn.Sequential(
            nn.Unflatten(-1, (1, 8, 8)), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
        )

    def few(seed: int) -> Split:
        return digits(seed)

    task = module_task("digits-conv", few, network)
    together = rows(job(METHODS["momentum"], (0, 1), task, lr="1/20", epochs="4"))
    assert all(row["train_loss"] < 1.5 for row in together)
    alone = rows(job(METHODS["momentum"], (1,), task, lr="1/20", epochs="4"))[0]
    assert together[1]["train_loss"] == pytest.approx(alone["train_loss"], rel=ROUNDING)


def test_a_method_that_switches_changes_its_optimizer_at_half_time() -> None:
    method = Method(
        "both", maker(torch.optim.SGD), "1/10", "", 0, then=maker(torch.optim.SGD), then_rate=0.0
    )
    first, whole = rows(job(method, (0,), epochs="2"))[0], rows(job(method, (0,), epochs="4"))[0]
    half = rows(job(METHODS["sgd"], (0,), epochs="2"))[0]
    assert whole["train_loss"] == pytest.approx(half["train_loss"], rel=1e-5)
    assert first["train_loss"] > half["train_loss"]


def test_radius_zero_is_the_optimizer_itself() -> None:
    flat = replace(METHODS["sam"], radius=0.0)
    assert rows(job(flat, (0,))) == rows(job(METHODS["momentum"], (0,)))


@pytest.mark.parametrize(
    "name, options",
    [
        ("adam", {"betas": (0.0, 0.99)}),
        ("adamw", {"betas": (0.0, 0.99), "weight_decay": 0.0}),
        ("amsgrad", {"betas": (0.0, 0.99)}),
        ("amsgrad", {"betas": (0.0, 0.99), "correction": "after_max"}),
        ("amsgrad", {"betas": (0.0, 0.99), "correction": "before_max"}),
        ("rmsprop", {}),
    ],
)
def test_the_preconditioner_is_what_the_gradient_is_divided_by(name: str, options: Any) -> None:
    draw = torch.Generator().manual_seed(0)
    weights = torch.randn(2, 3, generator=draw, dtype=torch.float64).requires_grad_()
    optimizer = METHODS[name].make([weights], 0.1, **options)
    divisor = METHODS[name].preconditioner
    assert divisor is not None
    for _ in range(8):
        before = weights.detach().clone()
        weights.grad = torch.randn(2, 3, generator=draw, dtype=torch.float64)
        optimizer.step()
        move = before - weights.detach()
        assert torch.allclose(0.1 * weights.grad / move, divisor(optimizer, weights), rtol=1e-6)
