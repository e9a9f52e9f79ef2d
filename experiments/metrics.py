"""Metrics: what is measured where a run stands.  Each returns its values by name, (K,) each.

- ``lambda_max`` and ``invariant``: the two that a verdict on sharpness needs.
- ``curvature``: all other eigenvalues and traces, and the norm of the gradient, since away from a
  stationary point that dominates what the loss does nearby.
- ``rise``: how far the loss rises nearby, as Keskar et al. and Foret et al. look at it.
- ``norms``: of the parameters.
"""

from __future__ import annotations

from torch import Tensor

from . import curvature as at
from .registry import Registry
from .sharpness import box_sharpness, m_sharpness
from .training import Metric, Point

METRICS = Registry[Metric]("metric")

BATCH = 100
"""m of m-sharpness."""


def lambda_max(point: Point) -> dict[str, Tensor]:
    """Return the largest eigenvalue of the Hessian of the training loss."""
    return {"lambda_max": at.lambda_max(point.risk, point.leaves, point.seeds).value}


def invariant(point: Point) -> dict[str, Tensor]:
    """Return the largest eigenvalue of D_|w| H D_|w|, which rescaling of ReLU layers does not move."""
    return {"invariant": at.adaptive_lambda_max(point.risk, point.leaves, point.seeds).value}


def curvature(point: Point) -> dict[str, Tensor]:
    """Return the other measures of curvature; of the preconditioned Hessian where a method has one."""
    risk, leaves, seeds = point.risk, point.leaves, point.seeds
    trace = at.trace(risk, leaves, 16, seeds)
    found = {
        "lambda_min": at.lambda_min(risk, leaves, seeds, 1e-2).value,
        "trace": trace.value,
        "trace_error": trace.error,
        "invariant_trace": at.adaptive_trace(risk, leaves, 16, seeds).value,
        "unit_invariant": at.adaptive_lambda_max(risk.normalised(), leaves, seeds, 1e-2).value,
        "gauss_newton": at.gauss_newton_max(risk, leaves, seeds).value,
        "gradient_norm": at.gradient_norm(risk, leaves),
    }
    if point.preconditioner is not None:
        divisor = point.preconditioner
        found["preconditioned"] = at.preconditioned_max(risk, leaves, divisor, seeds).value
    return found


def rise(point: Point) -> dict[str, Tensor]:
    """Return Keskar's box sharpness at two radii, split, and SAM's m-sharpness in both forms."""
    risk, leaves = point.risk, point.leaves
    found = {
        "m_sharpness": m_sharpness(risk, leaves, BATCH),
        "m_sharpness_adaptive": m_sharpness(risk, leaves, BATCH, 0.5, adaptive=True),
    }
    for radius, name in ((1e-3, "box_1e-3"), (5e-4, "box_5e-4")):
        box = box_sharpness(risk, leaves, radius, 10, 1, point.seeds)
        found |= {name: box.sharpness, f"{name}_first": box.first_order, f"{name}_rest": box.remainder}
    return found


def norms(point: Point) -> dict[str, Tensor]:
    """Return the Euclidean and the largest-entry norm of the parameters."""
    euclidean, largest = at.weight_norms(point.leaves)
    return {"norm": euclidean, "norm_inf": largest}


for _name, _metric in {
    "lambda_max": lambda_max,
    "invariant": invariant,
    "curvature": curvature,
    "rise": rise,
    "norms": norms,
}.items():
    METRICS.add(_name, _metric)
