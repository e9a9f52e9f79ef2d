"""What a rule sees of a tensor.

Complex numbers are pairs of reals, a DTensor is its local part, a sparse gradient the rows that it has.
Every rule here works coordinate by coordinate, so that each of these is the rule on less or other
memory, and nothing else.
"""

from typing import Any

import torch
from torch import Tensor


def plain(tensor: Any) -> Tensor:
    """A real tensor on one device that shares the memory of the one given.

    Args:
        tensor: Any tensor; a DTensor's local part is taken.

    Returns:
        A view, or the tensor itself.
    """
    seen: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return torch.view_as_real(seen.resolve_conj()) if seen.is_complex() else seen


def gradient(p: Tensor) -> Tensor:
    """The gradient of a parameter, laid out on devices as the parameter is, as `plain` gives it.

    Args:
        p: A parameter with a gradient.

    Returns:
        A view of the gradient, or what other devices had of it.
    """
    g: Any = p.grad
    placements = getattr(p, "placements", None)
    if placements is not None and placements != g.placements:
        g = g.redistribute(placements=placements)
    return plain(g)


class All:
    """A parameter, its gradient and its buffers as they are.

    Args:
        p: The parameter.
    """

    def __init__(self, p: Tensor) -> None:
        self.gradient = gradient(p)

    def of(self, tensor: Tensor) -> Tensor:
        """The tensor."""
        return tensor

    def put(self, tensor: Tensor, values: Tensor) -> None:
        """Writes the new values."""
        tensor.copy_(values)


class Rows(All):
    """The coordinates of a parameter at which its gradient, of layout COO, has values.

    Args:
        p: The parameter.
    """

    def __init__(self, p: Tensor) -> None:
        assert p.grad is not None
        g = p.grad.coalesce()  # an index that comes twice counts with its sum
        self.gradient = plain(g.values())
        self._at = tuple(g.indices())

    def of(self, tensor: Tensor) -> Tensor:
        """A copy of the tensor's rows."""
        return tensor[self._at]

    def put(self, tensor: Tensor, values: Tensor) -> None:
        """Writes the rows back."""
        tensor[self._at] = values


class Kept(dict[str, Any]):
    """The state that a rule is given; what is not kept is 0."""

    def __missing__(self, name: str) -> float:
        return 0.0
