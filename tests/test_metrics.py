"""Metrics: rows hold what `curvature` and `sharpness` say, under the names that verdicts read."""

import math

import pytest
import torch

from adamproof.experiments.metrics import METRICS
from adamproof.experiments.products import flat
from adamproof.experiments.tasks import Split, Task, mlp
from adamproof.experiments.training import Point


def data(seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(30, 5, generator=generator, dtype=torch.float64)
    part = x, torch.randint(3, (30,), generator=generator)
    return Split(part, part, part)


def point(task: Task, seeds: tuple[int, ...]) -> Point:
    starts = [[leaf.double() for leaf in task.start(seed)] for seed in seeds]
    leaves = [torch.stack(group) for group in zip(*starts, strict=True)]
    splits = [task.draw(seed).train for seed in seeds]
    inputs, targets = torch.stack([x for x, _ in splits]), torch.stack([y for _, y in splits])
    return Point(task, leaves, inputs, targets, seeds)


TANH = mlp("small", data, (5, 4, 3))
RELU = mlp("small-relu", data, (5, 6, 4, 3), relu=True)


def everything(p: Point) -> dict[str, torch.Tensor]:
    return {name: values for metric in METRICS.values() for name, values in metric(p).items()}


@pytest.mark.parametrize("factor", [0.1, 7.0])
def test_rescaling_moves_what_is_raw_only(factor: float) -> None:
    p, moved = point(RELU, (0, 1)), point(RELU, (0, 1))
    moved.leaves[0] = moved.leaves[0] * factor
    moved.leaves[1] = moved.leaves[1] * factor
    moved.leaves[2] = moved.leaves[2] / factor
    before, after = everything(p), everything(moved)
    for name in ("invariant", "unit_invariant", "m_sharpness_adaptive"):
        assert after[name].tolist() == pytest.approx(before[name].tolist(), rel=2e-2), name
    for name in ("lambda_max", "gauss_newton", "norm"):
        ratio = after[name] / before[name]
        assert (torch.maximum(ratio, 1 / ratio) > 1.2).all(), name


def test_a_member_does_not_depend_on_the_others() -> None:
    together, alone = everything(point(TANH, (0, 1, 2))), everything(point(TANH, (1,)))
    for name, values in alone.items():
        assert together[name][1].item() == pytest.approx(values[0].item(), rel=2e-2, abs=1e-9), name


def test_a_member_that_is_nan_stays_alone() -> None:
    calm, p = everything(point(TANH, (0,))), point(TANH, (0, 1))
    p.leaves[0][1] = math.nan
    found = everything(p)
    assert math.isnan(found["lambda_max"][1])
    for name, values in calm.items():
        assert found[name][0].item() == pytest.approx(values[0].item(), rel=1e-6, abs=1e-12), name


def test_the_divisor_of_a_method_divides_the_hessian() -> None:
    p = point(TANH, (0,))
    assert "preconditioned" not in METRICS["curvature"](p)
    p.preconditioner = [torch.full_like(leaf, 4.0) for leaf in p.leaves]
    quarter = METRICS["curvature"](p)["preconditioned"] * 4
    assert quarter.item() == pytest.approx(METRICS["lambda_max"](p)["lambda_max"].item(), rel=2e-3)
    assert METRICS["norms"](p)["norm"].item() == pytest.approx(flat(p.leaves).norm().item())
