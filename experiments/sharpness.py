"""How far the loss rises near the weights of an ensemble: in a box (Keskar), in a ball (SAM).

All are maxima, and what is found is a lower bound of the maximum.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.linalg import vector_norm

from .products import Seeds, flat, gradient, unflat, uniform
from .risk import Leaves, Loss, Risk


@dataclass(frozen=True)
class Box:
    """The largest rise found in a box, each field (members,), float64, in percent of 1 + loss.

    Attributes:
        sharpness: 100 (L(w + δ) − L(w)) / (1 + L(w)) at the best δ found: a lower bound.
        first_order: The part that the gradient at w explains, g·δ in the same unit.
        remainder: The rest: curvature and beyond.
    """

    sharpness: Tensor
    first_order: Tensor
    remainder: Tensor


def box_sharpness(
    loss: Loss, leaves: Leaves, radius: float = 1e-3, steps: int = 20, restarts: int = 2, seed: Seeds = 0
) -> Box:
    """Return the sharpness of Keskar et al. (2017), arXiv 1609.04836, metric 2.1 with A the identity.

    The box is |δ_i| ≤ radius·(|w_i| + 1).  Each search goes uphill by the sign of the gradient, in steps
    that shrink linearly from the width of the box, and stays inside; the first starts in the corner of
    the gradient at w, the others anywhere.  (Keskar et al. take ten iterations of L-BFGS-B.)

    Args:
        loss: The losses.
        leaves: The weights.
        radius: ε of the paper, which reports 1e-3 and 5e-4.
        steps: Gradients per search.
        restarts: Searches from a random start, besides the first.
        seed: Of those starts.
    """
    weights = flat(leaves).detach()
    base, slope = gradient(loss, leaves)
    reach = radius * (weights.abs() + 1)
    starts = [slope.sign() * reach]
    if restarts:
        starts += [start * reach for start in uniform(seed, weights, restarts)]
    rise, best = torch.zeros_like(base, dtype=torch.float64), torch.zeros_like(weights)
    for at in starts:
        for step in range(steps + 1):
            losses, uphill = gradient(loss, unflat(weights + at, leaves))
            higher = losses.double() - base.double() > rise
            rise = torch.where(higher, losses.double() - base.double(), rise)
            best = torch.where(higher[:, None], at, best)
            stride = 2 * (1 - step / steps) if steps else 0.0
            at = torch.minimum(torch.maximum(at + stride * reach * uphill.sign(), -reach), reach)
    unit = 100 / (1 + base.double())
    first = (slope.double() * best.double()).sum(1)
    nowhere = base.double() * 0  # NaN where the loss is not finite
    return Box(unit * rise + nowhere, unit * first + nowhere, unit * (rise - first) + nowhere)


def m_sharpness(
    risk: Risk, leaves: Leaves, size: int, radius: float = 0.05, adaptive: bool = False
) -> Tensor:
    """Return how far the loss of a batch rises within the radius, averaged over disjoint batches.

    Each batch of `size` samples has its own δ, and its rise is weighted by its samples: the m-sharpness
    of Foret et al. (2021), arXiv 2010.01412, section 4.2, with δ the one step of SAM, equation (2),
    δ = ρ g / ‖g‖₂.  The adaptive form is that of Kwon et al. (2021), arXiv 2102.11600: the ball is
    ‖δ / |w|‖₂ ≤ ρ, and δ = ρ w² g / ‖ |w| g ‖₂.

    Args:
        risk: The losses.
        leaves: The weights.
        size: m, the samples of a batch.
        radius: ρ.
        adaptive: The form invariant to rescaling of rectified units.

    Returns:
        The mean rise at that δ, (members,), float64: a lower bound of the mean of the maxima, and
        negative where one step overshoots.
    """
    weights = flat(leaves).detach()
    scale = weights.abs() if adaptive else torch.ones_like(weights)
    total = torch.zeros(len(weights), dtype=torch.float64, device=weights.device)
    for part in risk.batches(size):
        base, slope = gradient(part, leaves)
        length = vector_norm(scale * slope, dim=1, keepdim=True).clamp_min(torch.finfo(slope.dtype).tiny)
        delta = radius * scale.square() * slope / length
        with torch.no_grad():
            risen = part(unflat(weights + delta, leaves))
        total += part.inputs.shape[1] * (risen.double() - base.double())
    return total / risk.inputs.shape[1]
