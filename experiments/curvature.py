"""Measures of the curvature at the weights of an ensemble: eigenvalues, traces, norms.

H is the Hessian of a member's loss, w its weights.  Each function returns one number per member, NaN
where a member's weights or loss are not finite.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.linalg import vector_norm

from .lanczos import Extreme, largest, smallest
from .products import Curvature, Seeds, flat, gauss_newton, gradient, hessian, normal, signs
from .risk import Leaves, Loss, Risk


@dataclass(frozen=True)
class Estimate:
    """A mean over random probes and its standard error, each (members,), float64."""

    value: Tensor
    error: Tensor


def lambda_max(loss: Loss, leaves: Leaves, seed: Seeds = 0, tol: float = 1e-3) -> Extreme:
    """Return the largest algebraic eigenvalue of H: the largest in magnitude may be negative."""
    return top(hessian(loss, leaves), seed, tol)


def lambda_min(loss: Loss, leaves: Leaves, seed: Seeds = 0, tol: float = 1e-3) -> Extreme:
    """Return the smallest algebraic eigenvalue of H."""
    matrix = hessian(loss, leaves)
    return smallest(matrix, normal(seed, matrix.like), tol)


def trace(loss: Loss, leaves: Leaves, probes: int = 32, seed: Seeds = 0) -> Estimate:
    """Return the trace of H: see `hutchinson`."""
    return hutchinson(hessian(loss, leaves), probes, seed)


def adaptive_lambda_max(loss: Loss, leaves: Leaves, seed: Seeds = 0, tol: float = 1e-3) -> Extreme:
    """Return the largest eigenvalue of D H D, D = diag(|w|).

    Multiplying what enters a rectified unit by a and what leaves it by 1/a multiplies row and column of
    H by 1/a and by a, and |w| by the inverse: D H D stays, where H moves without bound (Dinh et al.
    2017, arXiv 1703.04933).  It is the quadratic term of the adaptive sharpness of Kwon et al. (2021),
    arXiv 2102.11600, with T_w = D.
    """
    return top(adaptive(loss, leaves), seed, tol)


def adaptive_trace(loss: Loss, leaves: Leaves, probes: int = 32, seed: Seeds = 0) -> Estimate:
    """Return the trace of D H D, D = diag(|w|), which is Σ w_i² H_ii: see `adaptive_lambda_max`."""
    return hutchinson(adaptive(loss, leaves), probes, seed)


def gauss_newton_max(risk: Risk, leaves: Leaves, seed: Seeds = 0, tol: float = 1e-3) -> Extreme:
    """Return the largest eigenvalue of the Gauss–Newton matrix: see `products.gauss_newton`."""
    return top(gauss_newton(risk, leaves), seed, tol)


def preconditioned_max(
    loss: Loss, leaves: Leaves, preconditioner: Leaves, seed: Seeds = 0, tol: float = 1e-3
) -> Extreme:
    """Return the largest eigenvalue of P^(−1/2) H P^(−1/2), which is that of P⁻¹ H.

    An adaptive method steps by P⁻¹ times a gradient, with P = diag(√v̂ + ε), so this is what its
    learning rate meets: Cohen et al. (2022), Adaptive gradient methods at the edge of stability,
    arXiv 2207.14484.

    Args:
        loss: The losses.
        leaves: The weights.
        preconditioner: The entries of P, of the shapes of the leaves, all above zero.
        seed: Of the start vectors.
        tol: As in `lanczos.largest`.
    """
    return top(hessian(loss, leaves).scaled(flat(preconditioner).rsqrt()), seed, tol)


def adaptive(loss: Loss, leaves: Leaves) -> Curvature:
    """Return D H D, D = diag(|w|)."""
    matrix = hessian(loss, leaves)
    return matrix.scaled(matrix.like.abs())


def top(matrix: Curvature, seed: Seeds = 0, tol: float = 1e-3) -> Extreme:
    """Return the largest algebraic eigenvalue of any curvature matrix, from a random start."""
    return largest(matrix, normal(seed, matrix.like), tol)


def hutchinson(matrix: Curvature, probes: int = 32, seed: Seeds = 0) -> Estimate:
    """Return the mean of zᵀ A z over random signs z, whose expectation is the trace, and its error.

    Hutchinson (1989), A stochastic estimator of the trace of the influence matrix for Laplacian
    smoothing splines.  Members with the same seed share their probes, and so the luck of the draw:
    give each its own where they are averaged.

    Raises:
        ValueError: Fewer than two probes: they have no standard error.
    """
    if probes < 2:
        raise ValueError(f"{probes} probes have no standard error: take at least two.")
    draws = signs(seed, matrix.like, probes)
    found = torch.stack([(z * matrix.product(z)).sum(1, dtype=torch.float64) for z in draws])
    return Estimate(found.mean(0), found.std(0) / probes**0.5)


def gradient_norm(loss: Loss, leaves: Leaves) -> Tensor:
    """Return ‖∇L‖₂, (members,), float64."""
    length: Tensor = vector_norm(gradient(loss, leaves)[1], dim=1, dtype=torch.float64)
    return length


def weight_norms(leaves: Leaves) -> tuple[Tensor, Tensor]:
    """Return ‖w‖₂ and ‖w‖_∞, each (members,), float64."""
    weights = flat(leaves).detach()
    return vector_norm(weights, dim=1, dtype=torch.float64), weights.abs().amax(1).double()
