"""The curvature of a single model through curvlinops: large models, and a second opinion.

Everything that is known here of curvlinops, whose interface moves between versions, is in this file.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

Data = Iterable[tuple[Tensor, Tensor]]
Kind = Literal["hessian", "gauss-newton"]


def operator(model: nn.Module, loss: nn.Module, data: Data, kind: Kind = "hessian") -> Any:
    """Return the curvature of a model's mean loss over batches, as curvlinops knows it.

    Args:
        model: With deterministic outputs: no dropout, batch norm in eval mode.
        loss: ``torch.nn.CrossEntropyLoss`` or ``torch.nn.MSELoss``, with its reduction.
        data: Batches of inputs and targets; gone through once per product.
        kind: Which matrix.

    Raises:
        ImportError: curvlinops is not installed.
    """
    made = {"hessian": "HessianLinearOperator", "gauss-newton": "GGNLinearOperator"}[kind]
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    return getattr(_curvlinops(), made)(model, loss, weights, list(data))


End = Literal["LA", "SA"]


def eigenvalue(
    matrix: Any, which: End = "LA", tol: float = 1e-3, width: int | None = None, seed: int = 0
) -> float:
    """Return the largest (LA) or smallest (SA) algebraic eigenvalue, by ARPACK.

    Args:
        matrix: From `operator`.
        which: Which end, in SciPy's words.
        tol: The relative accuracy of the eigenvalue.
        width: The vectors of its Krylov space; SciPy takes 20, and so never fewer products.
        seed: Of the start vector.

    Raises:
        ImportError: curvlinops is not installed.
    """
    from scipy.sparse.linalg import eigsh

    start = np.random.default_rng(seed).standard_normal(matrix.shape[1])
    found = eigsh(
        matrix.to_scipy(), 1, which=which, tol=tol, ncv=width, v0=start, return_eigenvectors=False
    )
    return float(found[0])


def trace(matrix: Any, probes: int = 32, seed: int = 0) -> float:
    """Return Hutchinson's estimate of the trace, from random signs.

    Args:
        matrix: From `operator`.
        probes: How many products; curvlinops wants fewer than there are weights.
        seed: torch's global generator is set to it, and put back.

    Raises:
        ImportError: curvlinops is not installed.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return float(_curvlinops().hutchinson_trace(matrix, probes, distribution="rademacher"))


def _curvlinops() -> Any:
    try:
        import curvlinops
    except ImportError as error:
        hint = "curvlinops is not installed: pip install 'adamproof[experiments]'."
        raise ImportError(hint) from error
    return curvlinops
