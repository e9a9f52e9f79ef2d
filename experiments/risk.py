"""What an ensemble loses on its data: member losses that can be taken apart by member and by sample.

An ensemble is a list of leaves, each (members, *shape).  Anything that maps leaves to losses of shape
(members,), each depending on its own member alone, is a `Loss`.  A `Risk` knows its data besides, so
that finished members can be dropped, samples cut into batches, and outputs normalised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.linalg import vector_norm

Leaves = Sequence[Tensor]
Loss = Callable[[Leaves], Tensor]
Outputs = Callable[[Leaves, Tensor], Tensor]
"""From leaves and inputs (1 or members, samples, …) to outputs (members, samples, classes)."""
Criterion = Callable[[Tensor, Tensor], Tensor]
"""From outputs and targets (1 or members, samples[, classes]) to losses (members,): sample means."""


@dataclass(frozen=True)
class Risk:
    """The mean loss of each member over its samples.

    Attributes:
        outputs: The models.
        criterion: The loss of their outputs: `cross_entropy`, `squared_error`.
        inputs: (1, samples, …) where all members see the same, else (members, samples, …).
        targets: The same, (1 or members, samples) or (1 or members, samples, outputs).
    """

    outputs: Outputs
    criterion: Criterion
    inputs: Tensor
    targets: Tensor

    def __call__(self, leaves: Leaves) -> Tensor:
        """Return the losses, (members,)."""
        return self.criterion(self.outputs(leaves, self.inputs), self.targets)

    def logits(self, leaves: Leaves) -> Tensor:
        """Return the outputs, (members, samples, classes)."""
        return self.outputs(leaves, self.inputs)

    def select(self, rows: Tensor) -> Risk:
        """Return the risk of these members alone."""

        def own(data: Tensor) -> Tensor:
            return data if len(data) == 1 else data[rows]

        return replace(self, inputs=own(self.inputs), targets=own(self.targets))

    def batches(self, size: int) -> list[Risk]:
        """Return the risks of disjoint batches of `size` samples, in order; the last may be smaller."""
        cut = zip(torch.split(self.inputs, size, 1), torch.split(self.targets, size, 1), strict=True)
        return [replace(self, inputs=x, targets=y) for x, y in cut]

    def normalised(self) -> Risk:
        """Return the risk with outputs normalised by `unit_logits`: see there."""
        return replace(self, outputs=lambda leaves, inputs: unit_logits(self.outputs(leaves, inputs)))


def unit_logits(logits: Tensor) -> Tensor:
    """Return logits centred over the classes and divided by their length, sample by sample.

    The cross-entropy of a net that classifies all right falls when its last layer grows, and its
    Hessian with it, though no prediction changes; after this it does not see the scale.  The form is
    that of Andriushchenko et al. (2023), arXiv 2302.07011, in their published code.  Where all logits of
    a sample are equal it has no derivative, and curvature is NaN.
    """
    centred = logits - logits.mean(-1, keepdim=True)
    length: Tensor = vector_norm(centred, dim=-1, keepdim=True)
    return centred / length.clamp_min(1e-10)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the softmax cross-entropy, (members,): the mean over samples, targets as class numbers."""
    chosen = targets.expand(logits.shape[:-1]).unsqueeze(-1)
    return (logits.logsumexp(-1) - logits.gather(-1, chosen).squeeze(-1)).mean(-1)


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error, (members,): over samples and outputs, as torch.nn.MSELoss."""
    return (outputs - targets).square().flatten(1).mean(-1)


def in_parts(
    measure: Callable[[Risk, Leaves, Tensor], dict[str, Tensor]], risk: Risk, leaves: Leaves, width: int
) -> dict[str, Tensor]:
    """Measure at most `width` members at a time, where memory would not hold the graphs of all.

    Args:
        measure: From risk, leaves and numbers of some members to what is wanted, each (members, …).
        risk: The risk of all.
        leaves: The weights of all.
        width: How many at once.
    """
    everyone = torch.arange(len(leaves[0]), device=leaves[0].device)
    parts = torch.split(everyone, width)
    found = [measure(risk.select(rows), [leaf[rows] for leaf in leaves], rows) for rows in parts]
    return {name: torch.cat([part[name] for part in found]) for name in found[0]}
