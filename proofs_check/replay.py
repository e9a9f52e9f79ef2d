"""Run the real optimizer along an exact run: the same point, in floating point, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch

from ..theory.interval import Interval
from ..theory.records import Point
from ..theory.rule import ExactTrace, Rule
from .build import Recipe


class NotReplayed(Exception):
    """The real optimizer refused the point or left the real numbers."""


class Replay:
    """A run of the real optimizer; what it returns are its own numbers, as exact rationals.

    Args:
        recipe: how to build the optimizer.
        rule: its lifted rule, for the names of its state and the values of unnamed symbols.
        dtype: of the parameter.
        device: of the parameter.
    """

    def __init__(
        self,
        recipe: Recipe,
        rule: Rule,
        dtype: torch.dtype = torch.float64,
        device: str = "cpu",
    ) -> None:
        self.recipe, self.rule, self.dtype, self.device = recipe, rule, dtype, device

    def __call__(
        self, point: Point, g: Sequence[Fraction | Interval], x: Fraction = Fraction(0), /
    ) -> ExactTrace:
        """Run ``len(g)`` steps from ``x``.

        Raises:
            NotReplayed: a constructor or a step raises, or a value is not finite.
        """
        values = {n: float(v) for n, v in self.rule.fill(point).items()}
        start = torch.tensor([float(x)], dtype=self.dtype, device=self.device)
        param = torch.nn.Parameter(start)
        try:
            optimizer = self.recipe.build([param], values, symbolic=False)
            trace = ExactTrace([_exact(param)], {n: [] for n in self.rule.initial})
            for gradient in g:
                param.grad = torch.full_like(param, float(gradient))
                optimizer.step()
                trace.x.append(_exact(param))
                state = optimizer.state[param]
                for name in self.rule.initial:
                    entry = (
                        optimizer.param_groups[0][name.removeprefix("group.")]
                        if name.startswith("group.")
                        else state[name]
                    )
                    trace.state[name].append(_exact(entry))
        except Exception as error:
            raise NotReplayed(f"{type(error).__name__}: {error}") from error
        for name, values_of in trace.state.items():
            initial = self.rule.initial[name]
            values_of.insert(0, Interval.of(Fraction(int(initial))))
        return trace


def _exact(value: torch.Tensor | float) -> Interval:
    number = float(value.item()) if isinstance(value, torch.Tensor) else float(value)
    return Interval.of(Fraction(number))
