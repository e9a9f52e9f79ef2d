"""Curvature: against dense Hessians, known spectra, and what rescaling may not move."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from adamproof.experiments.curvature import (
    extreme,
    flat,
    gauss_newton,
    hessian,
    scaled,
    start_vectors,
    trace,
)
from adamproof.experiments.metrics import METRICS
from adamproof.experiments.tasks import Split, Task, mlp, squared_error
from adamproof.experiments.training import Point


def data(seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(30, 5, generator=generator, dtype=torch.float64)
    part = x, torch.randint(3, (30,), generator=generator)
    return Split(part, part, part)


def point(task: Task, seeds: tuple[int, ...], grown: float = 1.0) -> Point:
    starts = [[leaf.double() * grown for leaf in task.start(seed)] for seed in seeds]
    leaves = [torch.stack(group) for group in zip(*starts, strict=True)]
    splits = [task.draw(seed).train for seed in seeds]
    return Point(
        task, leaves, torch.stack([x for x, _ in splits]), torch.stack([y for _, y in splits]), seeds
    )


TANH = mlp("small", data, (5, 4, 3))
RELU = mlp("small-relu", data, (5, 6, 4, 3), relu=True)
SQUARES = mlp("small-squares", data, (5, 4, 3), loss=squared_error)


def dense(p: Point, member: int) -> Tensor:
    """Return the Hessian of one member, by differentiating twice."""
    alone = Point(
        p.task, [leaf[[member]] for leaf in p.leaves], p.inputs[[member]], p.targets[[member]], (0,)
    )
    sizes = [leaf.numel() for leaf in alone.leaves]

    def loss(w: Tensor) -> Tensor:
        parts = torch.split(w, sizes)
        return alone.loss([x.view(leaf.shape) for x, leaf in zip(parts, alone.leaves, strict=True)])[0]

    found: Tensor = torch.func.jacrev(torch.func.jacrev(loss))(flat(alone.leaves)[0])
    return found


@pytest.mark.parametrize("task", [TANH, RELU, SQUARES], ids=lambda task: task.name)
@pytest.mark.parametrize("grown", [1.0, 3.0])
def test_all_that_is_called_sharpness_is_that_of_the_dense_hessian(task: Task, grown: float) -> None:
    p = point(task, (0, 1, 2), grown)
    found = METRICS["sharpness"](p)
    for k in range(3):
        matrix = dense(p, k)
        weights = flat(p.leaves)[k].abs()
        values = torch.linalg.eigvalsh(matrix)
        invariant = torch.linalg.eigvalsh(weights[:, None] * matrix * weights)
        assert found["lambda_max"][k] == pytest.approx(values[-1].item(), rel=1e-3)
        assert found["lambda_min"][k] == pytest.approx(values[0].item(), rel=1e-2)
        assert found["invariant"][k] == pytest.approx(invariant[-1].item(), rel=1e-3)
        assert abs(found["trace"][k] - matrix.trace()) < 5 * found["trace_error"][k]


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12))
def test_the_largest_is_the_algebraic_one(seed: int, size: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    spectra = torch.linspace(-9, 2, size, dtype=torch.float64).repeat(2, 1)
    spectra[1] = -spectra[1]
    basis = torch.linalg.qr(torch.randn(2, size, size, generator=generator, dtype=torch.float64))[0]
    matrices = basis @ torch.diag_embed(spectra) @ basis.mT

    def product(v: Tensor) -> Tensor:
        return torch.einsum("kij,kj->ki", matrices, v)

    start = start_vectors((seed, seed + 1), size, spectra)
    high, error = extreme(product, start)
    low, _ = extreme(product, start, largest=False)
    assert high.tolist() == pytest.approx([2, 9], rel=2e-3)
    assert low.tolist() == pytest.approx([-9, -2], rel=2e-3)
    assert (error <= 1e-3 * high.abs() + 1e-12).all()


def test_few_products_suffice_and_the_bound_is_honest() -> None:
    calls = 0
    values = torch.cat([torch.linspace(0, 1, 400), torch.tensor([5.0])]).double()

    def product(v: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return values * v

    start = start_vectors((3,), 401, values[None])
    found, bound = extreme(product, start)
    assert calls < 20
    assert abs(found[0] - 5) <= bound[0] <= 5e-3
    few, wide = extreme(product, start, most=2)
    assert abs(few[0] - 5) > 1e-3 and wide[0] > 5e-3


def test_a_member_does_not_depend_on_the_others() -> None:
    together = METRICS["sharpness"](point(TANH, (0, 1, 2)))
    alone = METRICS["sharpness"](point(TANH, (1,)))
    for name, values in alone.items():
        assert together[name][1].item() == pytest.approx(values[0].item(), rel=2e-3), name


def test_a_member_that_is_nan_stays_alone() -> None:
    p = point(TANH, (0, 1))
    calm = METRICS["sharpness"](point(TANH, (0,)))
    p.leaves[0][1] = math.nan
    found = METRICS["sharpness"](p)
    assert math.isnan(found["lambda_max"][1])
    assert found["lambda_max"][0].item() == pytest.approx(calm["lambda_max"][0].item(), rel=1e-6)


@pytest.mark.parametrize("factor", [0.1, 7.0])
def test_rescaling_moves_what_is_raw_only(factor: float) -> None:
    p = point(RELU, (0, 1))
    moved = point(RELU, (0, 1))
    moved.leaves[0] = moved.leaves[0] * factor
    moved.leaves[1] = moved.leaves[1] * factor
    moved.leaves[2] = moved.leaves[2] / factor
    assert torch.allclose(p.logits(p.leaves), moved.logits(moved.leaves))
    before, after = METRICS["sharpness"](p), METRICS["sharpness"](moved)
    assert after["invariant"].tolist() == pytest.approx(before["invariant"].tolist(), rel=2e-3)
    ratio = after["lambda_max"] / before["lambda_max"]
    assert (torch.maximum(ratio, 1 / ratio) > 2).all()


@pytest.mark.parametrize("task, softmax", [(TANH, True), (SQUARES, False)])
def test_gauss_newton_is_that_of_the_jacobian(task: Task, softmax: bool) -> None:
    p = point(task, (0, 1))
    operator = gauss_newton(p.logits, p.leaves, softmax)
    size = flat(p.leaves).shape[1]
    columns = [operator(torch.eye(size).double()[i].expand(2, -1)) for i in range(size)]
    found = torch.stack(columns, 2)[0]
    sizes = [leaf[0].numel() for leaf in p.leaves]

    def outputs(w: Tensor) -> Tensor:
        parts = torch.split(w, sizes)
        leaves = [x.view(1, *leaf.shape[1:]) for x, leaf in zip(parts, p.leaves, strict=True)]
        return p.task.logits(leaves, p.inputs[:1])[0]

    jacobian: Any = torch.func.jacrev(outputs)(flat(p.leaves)[0])
    shares = outputs(flat(p.leaves)[0]).softmax(-1)
    inner = torch.diag_embed(shares) - shares[:, :, None] * shares[:, None]
    inner = inner if softmax else torch.eye(3).double().expand(30, 3, 3)
    wanted = torch.einsum("nci,ncd,ndj->ij", jacobian, inner, jacobian) / 30
    assert torch.allclose(found, wanted, atol=1e-10)


def test_a_trace_is_within_its_error() -> None:
    matrix = torch.randn(50, 50, generator=torch.Generator().manual_seed(0)).double()
    matrix = matrix + matrix.T
    seeds = tuple(range(200))
    like = torch.zeros(200, 50).double()
    mean, error = trace(lambda v: v @ matrix, seeds, like)
    z = (mean - matrix.trace()) / error
    assert 0.9 < z.std() < 1.4  # Student's t with 15 degrees of freedom has 1.07
    assert z.mean().abs() < 0.25


def test_preconditioning_divides_both_sides() -> None:
    p = point(TANH, (0,))
    divisor = torch.rand(flat(p.leaves).shape, dtype=torch.float64) + 0.5
    operator, gradient = hessian(p.loss, p.leaves)
    found, _ = extreme(
        scaled(operator, divisor.rsqrt()), start_vectors((0,), gradient.shape[1], gradient)
    )
    root = divisor[0].rsqrt()
    wanted = torch.linalg.eigvalsh(root[:, None] * dense(p, 0) * root)[-1]
    assert found[0].item() == pytest.approx(wanted.item(), rel=1e-3)
