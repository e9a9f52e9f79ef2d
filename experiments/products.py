"""Products of curvature matrices with vectors, for all members of an ensemble at once.

A vector per member is a row of a tensor (members, n), the leaves flattened one after the other.  The
graph of the gradient is built once and kept; a product is one more pass backwards through it.  On
nets of 2,000 to 85,000 weights that took half the time of forward-over-reverse, or less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .risk import Leaves, Loss, Risk

Seeds = int | Sequence[int]
"""One seed for all members, or one for each.  A member's numbers depend on its own seed alone."""


@dataclass(frozen=True)
class Curvature:
    """A symmetric matrix for each member, known by its products.

    Attributes:
        product: From (members, n) to (members, n), row by row.
        like: (members, n), of the dtype and on the device that vectors must have.
        select: The same for these members alone; ``None`` if the loss cannot be taken apart.
    """

    product: Callable[[Tensor], Tensor]
    like: Tensor
    select: Callable[[Tensor], Curvature] | None = None

    def __neg__(self) -> Curvature:
        select = self.select
        return Curvature(
            lambda v: -self.product(v), self.like, None if select is None else lambda rows: -select(rows)
        )

    def scaled(self, scale: Tensor) -> Curvature:
        """Return D A D, where D is diagonal and `scale`, (members, n), holds its entries."""
        select = self.select
        return Curvature(
            lambda v: scale * self.product(scale * v),
            self.like,
            None if select is None else lambda rows: select(rows).scaled(scale[rows]),
        )


def flat(leaves: Leaves) -> Tensor:
    """Return the leaves as one tensor (members, n)."""
    return torch.cat([leaf.flatten(1) for leaf in leaves], 1)


def unflat(vectors: Tensor, like: Leaves) -> list[Tensor]:
    """Return rows (members, n) as leaves of the shapes of `like`."""
    parts = torch.split(vectors, [leaf[0].numel() for leaf in like], 1)
    return [part.reshape(leaf.shape) for part, leaf in zip(parts, like, strict=True)]


def tracked(leaves: Leaves) -> list[Tensor]:
    """Return the leaves as fresh variables that share their memory."""
    return [leaf.detach().requires_grad_() for leaf in leaves]


def gradient(loss: Loss, leaves: Leaves) -> tuple[Tensor, Tensor]:
    """Return the losses (members,) and their gradients (members, n)."""
    variables = tracked(leaves)
    with torch.enable_grad():
        losses = loss(variables)
    return losses.detach(), flat(_pullback([losses], variables, [torch.ones_like(losses)], keep=False))


def hessian(loss: Loss, leaves: Leaves) -> Curvature:
    """Return the Hessian of each member's loss (Pearlmutter 1994, Fast exact multiplication)."""
    variables = tracked(leaves)
    with torch.enable_grad():
        total = loss(variables).sum()
        slopes = torch.autograd.grad(
            total, variables, create_graph=True, allow_unused=True, materialize_grads=True
        )

    def product(v: Tensor) -> Tensor:
        return flat(_pullback(slopes, variables, unflat(v, variables)))

    def select(rows: Tensor) -> Curvature:
        assert isinstance(loss, Risk)
        return hessian(loss.select(rows), [leaf[rows] for leaf in leaves])

    return Curvature(product, flat(leaves).detach(), select if isinstance(loss, Risk) else None)


def gauss_newton(risk: Risk, leaves: Leaves) -> Curvature:
    """Return Jᵀ L J of each member: J of its outputs, L the Hessian of the criterion in the outputs.

    For softmax cross-entropy L is (diag(p) − p pᵀ) / samples, for the mean squared error 2 / (samples ·
    outputs) times the identity; both come from the criterion by differentiation.  Schraudolph (2002),
    Fast curvature matrix-vector products for second-order gradient descent.
    """
    variables = tracked(leaves)
    with torch.enable_grad():
        outputs = risk.logits(variables)
        # Jᵀu is linear in u: its derivative in the direction v, pulled back to u, is J v.
        u = torch.zeros_like(outputs, requires_grad=True)
        pulled = torch.autograd.grad(
            outputs, variables, u, create_graph=True, allow_unused=True, materialize_grads=True
        )
        at = outputs.detach().requires_grad_()
        (slope,) = torch.autograd.grad(risk.criterion(at, risk.targets).sum(), at, create_graph=True)

    def product(v: Tensor) -> Tensor:
        pushed = _pullback(pulled, [u], unflat(v, variables))
        return flat(_pullback([outputs], variables, _pullback([slope], [at], pushed)))

    def select(rows: Tensor) -> Curvature:
        return gauss_newton(risk.select(rows), [leaf[rows] for leaf in leaves])

    return Curvature(product, flat(leaves).detach(), select)


def _pullback(
    of: Sequence[Tensor], to: Sequence[Tensor], vectors: Sequence[Tensor], keep: bool = True
) -> tuple[Tensor, ...]:
    """Return the vectors pulled back through the graph; zeros where it does not reach."""
    joined = [(x, v) for x, v in zip(of, vectors, strict=True) if x.requires_grad]
    if not joined:
        return tuple(torch.zeros_like(x) for x in to)
    heads, seeds = zip(*joined, strict=True)
    return torch.autograd.grad(
        heads, to, seeds, retain_graph=keep, allow_unused=True, materialize_grads=True
    )


def normal(seed: Seeds, like: Tensor) -> Tensor:
    """Return standard normal rows of the shape of `like`; the same on every device."""
    return _drawn(seed, like, lambda g, n: torch.randn(n, generator=g, dtype=torch.float64))


def signs(seed: Seeds, like: Tensor, count: int) -> Tensor:
    """Return independent signs, (count, members, n)."""

    def draw(g: torch.Generator, n: int) -> Tensor:
        return torch.randint(0, 2, (count, n), generator=g) * 2.0 - 1.0

    return _drawn(seed, like, draw).movedim(0, 1)


def uniform(seed: Seeds, like: Tensor, count: int) -> Tensor:
    """Return numbers from −1 to 1, (count, members, n)."""

    def draw(g: torch.Generator, n: int) -> Tensor:
        return torch.rand((count, n), generator=g, dtype=torch.float64) * 2 - 1

    return _drawn(seed, like, draw).movedim(0, 1)


def _drawn(seed: Seeds, like: Tensor, draw: Callable[[torch.Generator, int], Tensor]) -> Tensor:
    members, n = like.shape
    if not isinstance(seed, int) and len(seed) != members:
        raise ValueError(f"{len(seed)} seeds for {members} members: give one for each, or one for all.")
    each = [seed] if isinstance(seed, int) else list(seed)
    rows = torch.stack([draw(torch.Generator().manual_seed(s), n) for s in each])
    return rows.to(like).expand(members, *rows.shape[1:])
