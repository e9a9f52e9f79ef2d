"""Metrics: what is measured where a run stands.  One function returns what it finds, by name.

- ``sharpness``: λ_max and λ_min of the Hessian, the trace and its standard error, λ_max and trace of
  D_|w| H D_|w| ("invariant"), λ_max of the Gauss–Newton matrix, of D^(−1/2) H D^(−1/2) for methods that
  divide the gradient by D, the norm of the gradient (away from a stationary point it dominates what the
  loss does nearby), and how much the loss rises where SAM would look.
- ``lambda_max`` and ``invariant``: the two that a verdict needs, alone.
- ``norms``: of the parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .curvature import extreme, flat, gauss_newton, hessian, scaled, start_vectors, trace
from .registry import Registry
from .tasks import cross_entropy
from .training import Metric, Point

METRICS = Registry[Metric]("metric")

RADIUS = 0.05
"""SAM's ρ (Foret et al. 2021)."""


def lambda_max(point: Point) -> dict[str, Tensor]:
    """Return the largest eigenvalue of the Hessian of the training loss."""
    operator, gradient = hessian(point.loss, point.leaves)
    return {"lambda_max": extreme(operator, _start(point, gradient))[0]}


def invariant(point: Point) -> dict[str, Tensor]:
    """Return the largest eigenvalue of D_|w| H D_|w|, which rescaling of ReLU layers does not move."""
    operator, gradient = hessian(point.loss, point.leaves)
    weighted = scaled(operator, flat(point.leaves).abs())
    return {"invariant": extreme(weighted, _start(point, gradient))[0]}


def norms(point: Point) -> dict[str, Tensor]:
    """Return the Euclidean and the largest-entry norm of the parameters."""
    w = flat(point.leaves)
    return {"norm": w.norm(dim=1), "norm_inf": w.abs().amax(1)}


def sharpness(point: Point) -> dict[str, Tensor]:
    """Return every curvature named at the top of this file."""
    operator, gradient = hessian(point.loss, point.leaves)
    start = _start(point, gradient)
    w = flat(point.leaves)
    weighted = scaled(operator, w.abs())
    softmax = point.task.loss is cross_entropy
    total, error = trace(operator, point.seeds, gradient)
    length = gradient.norm(dim=1, keepdim=True)
    found = {
        "lambda_max": extreme(operator, start)[0],
        "lambda_min": extreme(operator, start, largest=False, tolerance=1e-2)[0],
        "trace": total,
        "trace_error": error,
        "invariant": extreme(weighted, start)[0],
        "invariant_trace": trace(weighted, point.seeds, gradient)[0],
        "gauss_newton": extreme(gauss_newton(point.logits, point.leaves, softmax), start)[0],
        "gradient_norm": length.squeeze(1),
        "sam_rise": _rise(point, RADIUS * gradient / length.clamp(min=1e-30)),
    }
    if point.preconditioner is not None:
        divisor = flat(point.preconditioner)
        found["preconditioned"] = extreme(scaled(operator, divisor.rsqrt()), start)[0]
    return found


def _start(point: Point, like: Tensor) -> Tensor:
    return start_vectors(point.seeds, like.shape[1], like)


@torch.no_grad()
def _rise(point: Point, away: Tensor) -> Tensor:
    """Return how much the loss rises when w moves away, (K,)."""
    moved, position = [], 0
    for leaf in point.leaves:
        size = leaf[0].numel()
        moved.append(leaf + away[:, position : position + size].view_as(leaf))
        position += size
    return point.loss(moved) - point.loss(point.leaves)


for _name, _metric in {
    "sharpness": sharpness,
    "lambda_max": lambda_max,
    "invariant": invariant,
    "norms": norms,
}.items():
    METRICS.add(_name, _metric)
