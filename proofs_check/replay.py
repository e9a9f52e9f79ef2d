"""Run the real optimizer beside a rule: the same point, in floating point, step by step.

`Replay` takes a witness to the optimizer.  `confirm` holds a rule that was just lifted against
optimizers that are not instrumented: other numbers, many steps, parameters of several shapes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import torch
from flint import arb

from ..theory.identity import Unsupported
from ..theory.interval import Interval
from ..theory.records import Point
from ..theory.rule import ExactTrace, Rule
from .arb import BALLS
from .build import Recipe
from .survey import take_step
from .symbolic import LiftError

#: Shapes of the parameters that a rule is held against: it must not depend on them.  The last is
#: past the sizes at which optimizers that factor or flatten begin to.
SHAPES = ((), (3,), (2, 2), (2, 1, 3), (130, 130))
#: Relative errors that rounding alone may reach: in float64, and for each unit of something coarser.
TOLERANCE, UNITS = 1e-9, 2000


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


def confirm(
    rule: Rule,
    recipe: Recipe,
    sets: Sequence[Mapping[str, float]],
    rounding: float,
    steps: int,
) -> None:
    """Run the rule in ball arithmetic beside optimizers that are not instrumented.

    Args:
        rule: the rule that was lifted.
        recipe: how to build the optimizer.
        sets: numbers for its symbols, the user's first.
        rounding: the coarsest relative rounding, beyond float64's, that the lift has seen.
        steps: how long the run with the user's numbers is.

    Raises:
        LiftError: they disagree by more than rounding.
    """
    tolerance = max(TOLERANCE, UNITS * rounding)
    for values in sets[:4]:
        _beside(rule, recipe, values, ((1,),), 10, tolerance)
    _beside(rule, recipe, sets[0], ((1,),), steps, tolerance)
    _beside(rule, recipe, sets[-1], SHAPES, 5, tolerance)
    single = UNITS * torch.finfo(torch.float32).eps
    _beside(rule, recipe, sets[-1], ((1,),), 5, single, torch.float32)


def _beside(
    rule: Rule,
    recipe: Recipe,
    values: Mapping[str, float],
    shapes: Sequence[tuple[int, ...]],
    steps: int,
    tolerance: float,
    dtype: torch.dtype = torch.float64,
) -> None:
    params = [
        torch.nn.Parameter(torch.full(shape, 0.75, dtype=dtype, device=recipe.device))
        for shape in shapes
    ]
    optimizer = _in_two_groups(recipe, params, values)
    draw = torch.Generator().manual_seed(0)
    where = [_chosen(p.numel()) for p in params]
    gradients: list[list[list[float]]] = [[] for _ in params]
    seen: list[list[dict[str, list[float]]]] = [[] for _ in params]
    for _ in range(steps):
        for param, drawn, chosen in zip(params, gradients, where, strict=True):
            size = torch.rand(param.shape, generator=draw, dtype=dtype) * 2 + 0.25
            sign = torch.rand(param.shape, generator=draw, dtype=dtype) - 0.5
            param.grad = size.copysign(sign).to(param.device)
            drawn.append(param.grad.flatten()[chosen].tolist())
        try:
            take_step(optimizer)
        except LiftError as error:
            raise LiftError(f"for parameters of {_shown(shapes, dtype)}, {error}") from error
        for param, told, chosen in zip(params, seen, where, strict=True):
            told.append(_numbers(optimizer, param, rule, chosen))
    point = {n: Fraction(v) for n, v in values.items()}
    for param, drawn, told in zip(params, gradients, seen, strict=True):
        for i in range(len(drawn[0])):
            try:
                trace = rule.run_in(BALLS, point, [Fraction(g[i]) for g in drawn], Fraction(3, 4))
            except (Unsupported, StopIteration, ArithmeticError) as error:
                raise LiftError(f"the lifted rule cannot be run: {error or 'no branch'}") from error
            for name, exact in ({"x": trace.x} | trace.state).items():
                real = [now[name][i] for now in told]
                _compare(name, exact[1:], real, tolerance, _shown([tuple(param.shape)], dtype))


def _chosen(size: int) -> list[int]:
    """Return the coordinates that are looked at: all of a few, else some."""
    return list(range(size)) if size <= 6 else [0, 1, size // 2, size - 1]


def _in_two_groups(
    recipe: Recipe, params: list[torch.nn.Parameter], values: Mapping[str, float]
) -> torch.optim.Optimizer:
    """Build the optimizer, with the last parameter in a group of its own where it allows that."""
    if len(params) > 1:
        optimizer = recipe.build(params[:-1], values, symbolic=False)
        try:
            optimizer.add_param_group({"params": params[-1:]})
            return optimizer
        except Exception:  # one group is all that it takes
            pass
    return recipe.build(params, values, symbolic=False)


def _shown(shapes: Sequence[tuple[int, ...]], dtype: torch.dtype) -> str:
    return f"shape {' and '.join(map(str, shapes))} and type {str(dtype).removeprefix('torch.')}"


def _numbers(
    optimizer: torch.optim.Optimizer, param: Any, rule: Rule, chosen: list[int]
) -> dict[str, list[float]]:
    """Return what the rule speaks of, at some coordinates; a state of one number is for all.

    Raises:
        LiftError: the state of this parameter is not what the rule speaks of.
    """
    state = optimizer.state[param] if rule.initial else {}
    try:
        values = {"x": param.detach(), **{n: state[n] for n in rule.initial}}
        flat = {
            n: torch.as_tensor(v, dtype=torch.float64, device="cpu").flatten().expand(param.numel())
            for n, v in values.items()
        }
    except (KeyError, RuntimeError, TypeError) as error:
        raise LiftError(
            f"{type(optimizer).__name__} keeps another state for a parameter of "
            f"{_shown([tuple(param.shape)], param.dtype)}: {type(error).__name__}: {error}"
        ) from error
    return {n: v[chosen].tolist() for n, v in flat.items()}


def _compare(
    name: str, exact: Sequence[arb], real: Sequence[float], tolerance: float, where: str
) -> None:
    largest = 0.0
    for k, (ball, number) in enumerate(zip(exact, real, strict=True), start=1):
        lifted = float(ball.mid())
        if not math.isfinite(number) and (not math.isfinite(lifted) or abs(lifted) > 1e300):
            return
        largest = max(largest, abs(lifted))
        if not abs(number - lifted) <= tolerance * largest:
            raise LiftError(
                f"the lifted rule gives {name} = {lifted:.12g} after step {k}, but the optimizer "
                f"gives {number:.12g} for a parameter of {where}: the lift is wrong, no claim is "
                "judged on it"
            )
