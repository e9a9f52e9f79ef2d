"""Curvature of ensembles: every estimator against the dense Hessian, and what it must not depend on."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from itertools import product as corners
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from adamproof.experiments import curvature as measures
from adamproof.experiments import single
from adamproof.experiments.lanczos import Extreme, largest, smallest
from adamproof.experiments.products import (
    Curvature,
    flat,
    gradient,
    hessian,
    normal,
    signs,
    unflat,
)
from adamproof.experiments.risk import Leaves, Risk, cross_entropy, in_parts, squared_error
from adamproof.experiments.sharpness import box_sharpness, m_sharpness

# torch.func.hessian itself uses what torch deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu}


def mlp(activation: str = "tanh") -> Callable[[Leaves, Tensor], Tensor]:
    def outputs(leaves: Leaves, x: Tensor) -> Tensor:
        for i in range(0, len(leaves), 2):
            x = x @ leaves[i] + leaves[i + 1].unsqueeze(1)
            x = ACTIVATIONS[activation](x) if i + 2 < len(leaves) else x
        return x

    return outputs


def ensemble(
    members: int = 3,
    widths: tuple[int, ...] = (3, 5, 4),
    samples: int = 12,
    activation: str = "tanh",
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    own: bool = False,
) -> tuple[Risk, list[Tensor]]:
    """An ensemble and its risk; with `own`, each member has data of its own."""
    draw = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64).to(dtype)

    leaves = []
    for a, b in pairwise(widths):
        leaves += [randn(members, a, b), randn(members, b)]
    sets = members if own else 1
    targets = torch.randint(0, widths[-1], (sets, samples), generator=draw)
    return Risk(mlp(activation), cross_entropy, randn(sets, samples, widths[0]), targets), leaves


def dense(
    risk: Risk, leaves: Leaves, of: Callable[[Risk, Leaves], Tensor] | None = None
) -> list[Tensor]:
    """The Hessian of each member, whole, by torch.func."""
    found = []
    for k in range(len(leaves[0])):
        own, like = risk.select(torch.tensor([k])), [leaf[k : k + 1] for leaf in leaves]

        def loss(w: Tensor, own: Risk = own, like: Leaves = like) -> Tensor:
            return (of or Risk.__call__)(own, unflat(w[None], like)).sum()

        found.append(torch.func.hessian(loss)(flat(like)[0]))
    return found


def extremes(matrices: list[Tensor]) -> tuple[Tensor, Tensor]:
    eigenvalues = torch.stack([torch.linalg.eigvalsh(A) for A in matrices])
    return eigenvalues[:, -1], eigenvalues[:, 0]


def agrees(found: Extreme, exact: Tensor, rtol: float = 1e-3) -> None:
    assert found.converged.all()
    torch.testing.assert_close(found.value, exact, rtol=rtol, atol=1e-9)
    assert (found.residual <= 1e-3 * found.value.abs() + 1e-9).all()


def matrix(A: Tensor) -> Curvature:
    like = A[:, 0]
    return Curvature(lambda v: (A @ v.unsqueeze(2)).squeeze(2), like, lambda rows: matrix(A[rows]))


def with_spectra(spectra: Tensor, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    n = spectra.shape[1]
    Q = torch.linalg.qr(torch.randn(len(spectra), n, n, generator=draw, dtype=torch.float64))[0]
    return Q @ (spectra.unsqueeze(2) * Q.mT)


# -- against the dense Hessian ---------------------------------------------------------------------


@settings(max_examples=25)
@given(
    members=st.integers(1, 4),
    widths=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    samples=st.integers(1, 12),
    activation=st.sampled_from(list(ACTIVATIONS)),
    seed=st.integers(0, 10**6),
    own=st.booleans(),
)
def test_measures_are_those_of_the_dense_hessian(
    members: int, widths: list[int], samples: int, activation: str, seed: int, own: bool
) -> None:
    risk, leaves = ensemble(members, tuple(widths), samples, activation, seed, own=own)
    H, w = dense(risk, leaves), flat(leaves)
    top, bottom = extremes(H)
    agrees(measures.lambda_max(risk, leaves, seed), top)
    agrees(measures.lambda_min(risk, leaves, seed), bottom)
    D = w.abs()
    scaled = [d[:, None] * A * d for d, A in zip(D, H, strict=True)]
    agrees(measures.adaptive_lambda_max(risk, leaves, seed), extremes(scaled)[0])
    root = 0.1 + D  # of a preconditioner
    scaled = [A / r[:, None] / r for r, A in zip(root, H, strict=True)]
    P = unflat(root**2, leaves)
    agrees(measures.preconditioned_max(risk, leaves, P, seed), extremes(scaled)[0])
    if widths[-1] > 1:  # one logit, centred, is nothing
        unit = risk.normalised()
        agrees(measures.lambda_max(unit, leaves, seed), extremes(dense(unit, leaves))[0])


@pytest.mark.parametrize("seed", range(4))
def test_trace_is_the_mean_over_all_signs(seed: int) -> None:
    # Over all 2^n sign vectors Hutchinson's mean is exact: enumerate them for n = 8.
    risk, leaves = ensemble(2, (3, 2), seed=seed)
    z = torch.tensor(list(corners((-1.0, 1.0), repeat=8)), dtype=torch.float64)
    for scale in (torch.ones_like(flat(leaves)), flat(leaves).abs()):
        A = hessian(risk, leaves).scaled(scale)
        every = torch.stack([(row * A.product(row.expand(2, -1))).sum(1) for row in z]).mean(0)
        exact = [(d[:, None] * H * d).trace() for d, H in zip(scale, dense(risk, leaves), strict=True)]
        torch.testing.assert_close(every, torch.stack(exact))


@pytest.mark.parametrize("adaptive", [False, True])
def test_standard_error_of_the_trace_is_honest(adaptive: bool) -> None:
    trials = 400
    risk, leaves = ensemble(1, (2, 4, 3), seed=5)
    H = dense(risk, leaves)[0]
    w = flat(leaves)[0].abs() if adaptive else torch.ones(len(H), dtype=torch.float64)
    exact = (w * H.diag() * w).sum()
    many = [leaf.expand(trials, *leaf.shape[1:]) for leaf in leaves]
    measure = measures.adaptive_trace if adaptive else measures.trace
    found = measure(risk, many, probes=32, seed=range(trials))
    z = (found.value - exact) / found.error
    # Fixed seeds: 95 % of 400 within 1.96, give or take three standard deviations of that share.
    assert 0.91 < (z.abs() < 1.96).double().mean() < 0.985
    assert z.mean().abs() < 0.2
    assert found.value.unique().numel() == trials


def test_trace_wants_two_probes() -> None:
    risk, leaves = ensemble()
    with pytest.raises(ValueError, match="1 probes have no standard error"):
        measures.trace(risk, leaves, probes=1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("own", [False, True])
def test_gauss_newton_of_cross_entropy(seed: int, own: bool) -> None:
    risk, leaves = ensemble(3, (3, 4, 4), 7, seed=seed, own=own)
    exact = []
    for k in range(3):
        part, like = risk.select(torch.tensor([k])), [leaf[k : k + 1] for leaf in leaves]
        w = flat(like)[0]

        def logits(v: Tensor, part: Risk = part, like: Leaves = like) -> Tensor:
            return part.logits(unflat(v[None], like))[0]

        J, p = torch.func.jacrev(logits)(w), logits(w).softmax(-1)
        L = (torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)) / 7
        exact.append(torch.einsum("sci,scd,sdj->ij", J, L, J))
    agrees(measures.gauss_newton_max(risk, leaves, seed), extremes(exact)[0])


def test_gauss_newton_of_squared_error() -> None:
    risk, leaves = ensemble(2, (3, 4, 2), 6)
    risk = replace(risk, criterion=squared_error, targets=torch.ones(1, 6, 2, dtype=torch.float64))
    torch.testing.assert_close(
        risk(leaves)[1], torch.nn.functional.mse_loss(risk.logits(leaves)[1], risk.targets[0])
    )
    exact = []
    for k in range(2):
        like = [leaf[k : k + 1] for leaf in leaves]
        J = torch.func.jacrev(lambda v, like=like: risk.logits(unflat(v[None], like)).flatten())(
            flat(like)[0]
        )
        exact.append(2 / 12 * J.T @ J)
    agrees(measures.gauss_newton_max(risk, leaves), extremes(exact)[0])


def test_cross_entropy_is_that_of_torch() -> None:
    risk, leaves = ensemble(own=True)
    for k, logits in enumerate(risk.logits(leaves)):
        torch.testing.assert_close(
            risk(leaves)[k], torch.nn.functional.cross_entropy(logits, risk.targets[k])
        )


def test_gradient_and_norms() -> None:
    risk, leaves = ensemble()
    losses, slope = gradient(risk, leaves)
    torch.testing.assert_close(losses, risk(leaves))
    for k in range(3):
        like = [leaf[k : k + 1] for leaf in leaves]
        exact = torch.func.grad(lambda v, like=like: risk(unflat(v[None], like)).sum())(flat(like)[0])
        torch.testing.assert_close(slope[k], exact)
    torch.testing.assert_close(measures.gradient_norm(risk, leaves), slope.square().sum(1).sqrt())
    length, peak = measures.weight_norms(leaves)
    torch.testing.assert_close(length, flat(leaves).square().sum(1).sqrt())
    torch.testing.assert_close(peak, flat(leaves).abs().max(1)[0])


def test_a_loss_that_is_linear_in_all_or_some_weights() -> None:
    leaves = [torch.ones(2, 3, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64)]
    flatland = hessian(lambda w: w[0].sum(1) + w[1].sum(1), leaves)
    assert not flatland.product(torch.ones(2, 4, dtype=torch.float64)).any()
    found = measures.lambda_max(lambda w: w[0].sum(1), leaves)
    assert found.converged.all() and not found.value.any()
    half = hessian(lambda w: w[0].square().sum(1) + w[1].sum(1), leaves)
    assert half.product(torch.ones(2, 4, dtype=torch.float64)).tolist() == [[2, 2, 2, 0]] * 2


# -- Lanczos ---------------------------------------------------------------------------------------

SPECTRA = {
    "largest in magnitude is negative": [-100.0] + [0.01 * k for k in range(59)],
    "a cluster at the top": [10.0, 10.0 - 1e-7, 10.0 - 1e-6, *(0.1 * k for k in range(57))],
    "all negative": [-1.0 - k for k in range(60)],
    "a repeated top": [3.0, 3.0, 3.0] + [0.0] * 57,
    "the top is alone, far from a bulk of zeros": [50.0] + [0.0] * 58 + [-1e-3],
    "zero": [0.0] * 60,
}


@pytest.mark.parametrize("width", [6, 64])
@pytest.mark.parametrize("name", SPECTRA)
def test_lanczos_on_known_spectra(name: str, width: int) -> None:
    spectrum = torch.tensor([SPECTRA[name]], dtype=torch.float64)
    A = with_spectra(spectrum)
    operator = matrix(A)
    for find, exact in ((largest, spectrum.max()), (smallest, spectrum.min())):
        found = find(operator, normal(3, operator.like), width=width)
        agrees(found, exact[None])
        y = found.vector[0]
        assert abs(y.norm() - 1) < 1e-9
        # The residual that is reported is the real one.
        assert abs((A[0] @ y - found.value[0] * y).norm() - found.residual[0]) < 1e-9


def test_restarts_reach_any_accuracy() -> None:
    spectra = torch.linspace(0, 1, 300, dtype=torch.float64).expand(2, -1).contiguous()
    operator = matrix(with_spectra(spectra))
    found = largest(operator, normal(0, operator.like), tol=1e-8, width=24)
    # A restart from the best vector alone takes half as much again, or more.
    assert found.converged.all() and (found.products > 24).all() and (found.products < 130).all()
    torch.testing.assert_close(found.value, spectra.amax(1), rtol=1e-12, atol=0)


def test_the_limit_is_told() -> None:
    spectra = torch.linspace(0, 1, 300, dtype=torch.float64).expand(2, -1).contiguous()
    operator = matrix(with_spectra(spectra))
    found = largest(operator, normal(0, operator.like), tol=1e-12, limit=5)
    assert not found.converged.any()
    assert found.products.tolist() == [5, 5]
    assert (found.residual > 1e-3).all() and found.value.isfinite().all()
    with pytest.raises(ValueError, match="width 3 and limit 5"):
        largest(operator, operator.like, width=3, limit=5)


def test_a_member_stops_when_it_is_done() -> None:
    easy = torch.tensor([1.0] + [0.0] * 199, dtype=torch.float64)
    hard = torch.linspace(0, 1, 200, dtype=torch.float64)
    operator = matrix(with_spectra(torch.stack([easy, hard, hard, easy])))
    found = largest(operator, normal(0, operator.like), tol=1e-6)
    assert (found.products[[0, 3]] < 5).all() and (found.products[[1, 2]] > 20).all()


def test_finished_members_are_dropped() -> None:
    easy = torch.tensor([1.0] + [0.0] * 199, dtype=torch.float64)
    hard = torch.linspace(0, 1, 200, dtype=torch.float64)
    A, sizes = with_spectra(torch.stack([easy, easy, hard])), []

    def counting(rows: Tensor) -> Curvature:
        inner = matrix(A[rows])

        def product(v: Tensor) -> Tensor:
            sizes.append(len(v))
            return inner.product(v)

        return replace(inner, product=product, select=lambda kept: counting(rows[kept]))

    operator = counting(torch.arange(3))
    agrees(largest(operator, normal(0, operator.like)), torch.ones(3, dtype=torch.float64))
    assert set(sizes) == {3, 1}
    sizes.clear()
    whole = replace(operator, select=None)  # an opaque loss: frozen, not dropped
    agrees(largest(whole, normal(0, operator.like)), torch.ones(3, dtype=torch.float64))
    assert set(sizes) == {3}


# -- independence of the members -------------------------------------------------------------------


def columns(risk: Any, leaves: Leaves, seeds: list[int]) -> dict[str, Tensor]:
    """All measures of these members, as a study would take them."""
    box = box_sharpness(risk, leaves, seed=seeds, steps=5)
    found = {
        "max": measures.lambda_max(risk, leaves, seeds).value,
        "min": measures.lambda_min(risk, leaves, seeds).value,
        "products": measures.lambda_max(risk, leaves, seeds).products,
        "trace": measures.trace(risk, leaves, 4, seeds).value,
        "error": measures.trace(risk, leaves, 4, seeds).error,
        "adaptive": measures.adaptive_lambda_max(risk, leaves, seeds).value,
        "gradient": measures.gradient_norm(risk, leaves),
        "box": box.sharpness,
        "first": box.first_order,
        "rest": box.remainder,
    }
    if isinstance(risk, Risk):
        found["gauss-newton"] = measures.gauss_newton_max(risk, leaves, seeds).value
        found["sam"] = m_sharpness(risk, leaves, 4)
        found["asam"] = m_sharpness(risk, leaves, 4, adaptive=True)
    return found


def test_a_member_does_not_see_the_others() -> None:
    risk, leaves = ensemble(5, own=True)
    seeds = [11, 12, 13, 14, 15]
    every = columns(risk, leaves, seeds)
    for rows in ([2], [4, 0, 2]):
        some = torch.tensor(rows)
        part = columns(risk.select(some), [leaf[some] for leaf in leaves], [seeds[r] for r in rows])
        for name, value in part.items():
            torch.testing.assert_close(value, every[name][some], rtol=1e-9, atol=1e-12, msg=name)


def test_in_parts_is_the_whole() -> None:
    risk, leaves = ensemble(5, own=True)
    seeds = [11, 12, 13, 14, 15]
    whole = columns(risk, leaves, seeds)
    parts = in_parts(
        lambda risk, leaves, rows: columns(risk, leaves, [seeds[r] for r in rows.tolist()]),
        risk,
        leaves,
        2,
    )
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("opaque", [False, True])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e200])
def test_a_member_that_is_lost_is_nan_and_the_others_stay(bad: float, opaque: bool) -> None:
    risk, leaves = ensemble(4)
    loss: Any = (lambda w: risk(w)) if opaque else risk
    before = columns(loss, leaves, [1, 2, 3, 4])
    leaves[0][2], leaves[2][2] = bad, -bad
    after = columns(loss, leaves, [1, 2, 3, 4])
    others = torch.tensor([0, 1, 3])
    for name, value in after.items():
        torch.testing.assert_close(value[others], before[name][others], rtol=1e-9, atol=1e-12, msg=name)
        if bad != 1e200 and name != "products":
            assert value[2].isnan(), name
    assert after["products"][2] < 10
    found = measures.lambda_max(loss, leaves)
    if bad != 1e200:
        assert not found.converged[2] and found.residual[2].isnan() and found.vector[2].isnan().all()


def test_seeds_are_one_or_one_for_each() -> None:
    like = torch.zeros(3, 4)
    assert normal(7, like).unique(dim=0).shape == (1, 4)
    each = normal([7, 8, 9], like)
    assert torch.equal(normal([9, 7, 8], like), each[[2, 0, 1]])
    assert torch.equal(signs([8], like[:1], 5)[:, 0], signs([7, 8, 9], like, 5)[:, 1])
    with pytest.raises(ValueError, match="2 seeds for 3 members"):
        normal([1, 2], like)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_single_precision_finds_the_same(device: str) -> None:
    risk, leaves = ensemble(3)
    exact = columns(risk, leaves, [1, 2, 3])
    low = replace(risk, inputs=risk.inputs.float().to(device), targets=risk.targets.to(device))
    found = columns(low, [leaf.float().to(device) for leaf in leaves], [1, 2, 3])
    for name in ("max", "min", "trace", "adaptive", "gauss-newton", "gradient", "sam", "asam"):
        torch.testing.assert_close(found[name].cpu(), exact[name], rtol=1e-3, atol=1e-5, msg=name)


# -- rescaling (Dinh et al. 2017) ------------------------------------------------------------------


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_rescaling_moves_raw_measures_alone(seed: int) -> None:
    risk, leaves = ensemble(2, (4, 6, 3), activation="relu", seed=seed)
    draw = torch.Generator().manual_seed(seed)
    a = 10 ** (1 + torch.rand(2, 6, generator=draw, dtype=torch.float64))
    moved = [leaves[0] * a[:, None], leaves[1] * a, leaves[2] / a[:, :, None], leaves[3]]
    torch.testing.assert_close(risk.logits(moved), risk.logits(leaves))
    for case in (risk, risk.normalised()):
        before, after = (extremes(dense(case, w))[0] for w in (leaves, moved))
        raw = [measures.lambda_max(case, w, tol=1e-6).value for w in (leaves, moved)]
        torch.testing.assert_close(raw[1] / raw[0], after / before)
        assert ((raw[1] / raw[0]).log().abs() > 1e-3).all()
        adaptive = [measures.adaptive_lambda_max(case, w, tol=1e-6).value for w in (leaves, moved)]
        torch.testing.assert_close(adaptive[1], adaptive[0])
        traces = [measures.adaptive_trace(case, w, probes=4).value for w in (leaves, moved)]
        torch.testing.assert_close(traces[1], traces[0])
        sam = [m_sharpness(case, w, 4, 0.01) for w in (leaves, moved)]
        assert ((sam[1] - sam[0]).abs() > 1e-6 * sam[0].abs()).all()
        asam = [m_sharpness(case, w, 4, 0.01, adaptive=True) for w in (leaves, moved)]
        torch.testing.assert_close(asam[1], asam[0])


def test_logits_that_are_all_equal_have_no_normalised_curvature() -> None:
    risk, leaves = ensemble()
    leaves[2][1], leaves[3][1] = 0, 0
    found = measures.lambda_max(risk.normalised(), leaves)
    assert found.value.isnan().tolist() == [False, True, False]


def test_normalised_logits_do_not_see_their_scale() -> None:
    risk, leaves = ensemble()
    grown = [*leaves[:2], leaves[2] * 7, leaves[3] * 7]
    unit = risk.normalised()
    torch.testing.assert_close(unit(grown), unit(leaves))
    lengths = unit.logits(leaves).norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    assert unit.logits(leaves).mean(-1).abs().max() < 1e-12
    found = [measures.adaptive_lambda_max(unit, w, tol=1e-6).value for w in (leaves, grown)]
    torch.testing.assert_close(found[1], found[0])
    raw = [measures.adaptive_lambda_max(risk, w, tol=1e-6).value for w in (leaves, grown)]
    assert ((raw[1] / raw[0]).log().abs() > 1e-2).all()


# -- boxes and balls -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_box_of_a_convex_quadratic_has_its_maximum_in_a_corner(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    root = torch.randn(2, 6, 6, generator=draw, dtype=torch.float64)
    A, w = root @ root.mT, torch.randn(2, 6, generator=draw, dtype=torch.float64)

    def loss(leaves: Leaves) -> Tensor:
        return 1 + 0.5 * torch.einsum("mi,mij,mj->m", leaves[0], A, leaves[0])

    reach = 0.5 * (w.abs() + 1)
    sides = torch.tensor(list(corners((-1.0, 1.0), repeat=6)), dtype=torch.float64)
    every = torch.stack([loss([w + side * reach]) for side in sides])
    best = every.max(0)
    exact = 100 * (best[0] - loss([w])) / (1 + loss([w]))
    found = box_sharpness(loss, [w], radius=0.5, restarts=20, seed=[seed, seed + 1])
    torch.testing.assert_close(found.sharpness, exact)
    torch.testing.assert_close(found.first_order + found.remainder, found.sharpness)
    delta = sides[best[1]] * reach
    curved = 50 * torch.einsum("mi,mij,mj->m", delta, A, delta) / (1 + loss([w]))
    torch.testing.assert_close(found.remainder, curved)


def test_box_stays_inside_and_away_from_minima_is_first_order() -> None:
    risk, leaves = ensemble()
    w, far = flat(leaves), []

    def watched(at: Leaves) -> Tensor:
        far.append(((flat(at).detach() - w).abs() / (w.abs() + 1)).max())
        return risk(at)

    found = box_sharpness(watched, leaves, 5e-4)
    assert max(far) <= 5e-4 * (1 + 1e-9)
    linear = (gradient(risk, leaves)[1].abs() * 5e-4 * (w.abs() + 1)).sum(1)
    torch.testing.assert_close(found.first_order, 100 * linear / (1 + risk(leaves)), rtol=1e-2, atol=0)
    assert (found.remainder.abs() < 0.1 * found.first_order).all()
    assert (box_sharpness(risk, leaves, 1e-3).sharpness > found.sharpness).all()


def test_box_at_a_maximum_is_zero() -> None:
    found = box_sharpness(lambda at: -at[0].square().sum(1), [torch.zeros(2, 3, dtype=torch.float64)])
    assert not found.sharpness.any() and not found.remainder.any()


def test_box_without_a_search_is_the_corner_of_the_gradient() -> None:
    risk, leaves = ensemble()
    w, slope = flat(leaves), gradient(risk, leaves)[1]
    corner = unflat(w + 1e-3 * (w.abs() + 1) * slope.sign(), leaves)
    found = box_sharpness(risk, leaves, steps=0, restarts=0)
    exact = 100 * (risk(corner) - risk(leaves)) / (1 + risk(leaves))
    torch.testing.assert_close(found.sharpness, exact)


def test_box_around_an_infinite_loss_is_nan() -> None:
    found = box_sharpness(lambda at: at[0].exp().sum(1), [torch.full((1, 2), 1e3)])
    assert found.sharpness.isnan() and found.first_order.isnan() and found.remainder.isnan()


@pytest.mark.parametrize("adaptive", [False, True])
def test_m_sharpness_is_the_rise_at_the_step_of_sam(adaptive: bool) -> None:
    risk, leaves = ensemble(2, samples=10)
    w, total = flat(leaves), torch.zeros(2, dtype=torch.float64)
    for x, y, share in zip(risk.inputs.split(4, 1), risk.targets.split(4, 1), (4, 4, 2), strict=True):
        part = replace(risk, inputs=x, targets=y)
        g = gradient(part, leaves)[1]
        for k in range(2):
            T = w[k].abs() if adaptive else torch.ones_like(w[k])
            delta = torch.zeros_like(w)
            delta[k] = 0.1 * T**2 * g[k] / (T * g[k]).norm()
            torch.testing.assert_close((delta[k] / T).norm(), torch.tensor(0.1, dtype=torch.float64))
            total[k] += share / 10 * (part(unflat(w + delta, leaves)) - part(leaves))[k]
    torch.testing.assert_close(m_sharpness(risk, leaves, 4, 0.1, adaptive), total)


def test_m_sharpness_grows_as_batches_shrink() -> None:
    risk, leaves = ensemble(3, samples=24)
    assert (m_sharpness(risk, leaves, 1) > m_sharpness(risk, leaves, 24)).all()


# -- a single model through curvlinops -------------------------------------------------------------


@pytest.fixture
def lone() -> tuple[torch.nn.Module, list[tuple[Tensor, Tensor]], Risk, list[Tensor]]:
    pytest.importorskip("curvlinops")
    risk, leaves = ensemble(1)
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 4)).double()
    with torch.no_grad():
        for weight, leaf in zip(net.parameters(), leaves, strict=True):
            weight.copy_(leaf[0].mT if leaf.dim() == 3 else leaf[0])
    data = list(zip(risk.inputs[0].split(6), risk.targets[0].split(6), strict=True))
    return net, data, risk, leaves


def test_curvlinops_agrees(lone: Any) -> None:
    net, data, risk, leaves = lone
    H = single.operator(net, torch.nn.CrossEntropyLoss(), data)
    top, bottom = (
        find(risk, leaves, tol=1e-6).value for find in (measures.lambda_max, measures.lambda_min)
    )
    assert single.eigenvalue(H, tol=1e-8) == pytest.approx(float(top), rel=1e-6)
    assert single.eigenvalue(H, "SA", tol=1e-8, width=12) == pytest.approx(float(bottom), rel=1e-6)
    G = single.operator(net, torch.nn.CrossEntropyLoss(), data, "gauss-newton")
    exact = float(measures.gauss_newton_max(risk, leaves, tol=1e-6).value)
    assert single.eigenvalue(G, tol=1e-8) == pytest.approx(exact, rel=1e-6)


def test_a_narrow_krylov_space_takes_fewer_products() -> None:
    linalg = pytest.importorskip("scipy.sparse.linalg")

    class Counting:
        shape, taken = (50, 50), 0

        def to_scipy(self) -> Any:
            return linalg.LinearOperator(self.shape, self.product, dtype=float)

        def product(self, v: Any) -> Any:
            self.taken += 1
            return [0.0] * 49 + [float(v.ravel()[49])]

    wide, narrow = Counting(), Counting()
    assert single.eigenvalue(wide) == pytest.approx(1)
    assert single.eigenvalue(narrow, width=5) == pytest.approx(1)
    assert narrow.taken < wide.taken


def test_curvlinops_trace_agrees_and_leaves_the_generator(lone: Any) -> None:
    net, data, risk, leaves = lone
    H = single.operator(net, torch.nn.CrossEntropyLoss(), data)
    before = torch.get_rng_state()
    found = single.trace(H, probes=32, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    ours = measures.trace(risk, leaves, probes=32)
    assert abs(found - float(ours.value)) < 5 * float(ours.error)
    assert found == single.trace(H, probes=32, seed=1) != single.trace(H, probes=32, seed=2)


def test_a_missing_curvlinops_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "curvlinops", None)
    with pytest.raises(ImportError, match="curvlinops is not installed: pip install"):
        single.operator(torch.nn.Linear(1, 1), torch.nn.MSELoss(), [])


# -- the benchmark ---------------------------------------------------------------------------------


def benchmark(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "benchmark_curvature", root / "benchmarks/curvature.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_benchmark_runs_at_tiny_size(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("curvlinops")
    module = benchmark(root)
    monkeypatch.setattr(module, "WIDTHS", (64, 4, 10))
    monkeypatch.setattr(module, "LADDER", (1e-3, 1e-6))
    module.main("--members 2 --samples 20 --steps 2 --rounds 1 --dense 1".split())
    printed = capsys.readouterr().out
    assert "2 models" in printed and "curvlinops" in printed
