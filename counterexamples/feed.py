"""A real optimizer fed with gradients that the caller names, on a vector of any length.

The games of ``harness`` are one coordinate, projected, with rate α/√t; this is for everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .record import Optimizer

#: The gradient at a point, at step t = 1, 2, …
Gradient = Callable[[list[float], int], Sequence[float]]


def feed(
    make: Optimizer,
    start: Sequence[float],
    gradient: Gradient,
    steps: int,
    *,
    dtype: str = "float64",
    device: str = "cpu",
    box: tuple[float, float] | None = None,
) -> list[list[float]]:
    """Run an optimizer.

    Args:
        make: makes it of a list with one parameter.
        start: the parameter at first.
        gradient: what the parameter's gradient is at each step, given where it stands.
        steps: how many.
        dtype: a dtype of torch, by name.
        device: where it runs.
        box: the parameter is clamped to this interval after each step.

    Returns:
        x_1 … x_{T+1}: where it stood before each step, and where it ended.
    """
    import torch

    x = torch.nn.Parameter(torch.tensor(list(start), dtype=getattr(torch, dtype), device=device))
    optimizer = make([x])
    path = [x.tolist()]
    for t in range(1, steps + 1):
        x.grad = torch.tensor(list(gradient(path[-1], t)), dtype=x.dtype, device=device)
        optimizer.step()
        if box is not None:
            with torch.no_grad():
                x.clamp_(*box)
        path.append(x.tolist())
    return path
