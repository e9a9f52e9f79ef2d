"""Find out what an optimizer keeps between steps, by running it with plain numbers.

Always on two parameters at once, so that an update that depends on more than its own coordinate
shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from inspect import signature
from math import isfinite
from typing import Any

import torch

from ..theory import symbols as sym
from .build import Recipe
from .hidden import is_number, reachable
from .shadow import Shadow, number_of, place_of
from .symbolic import LiftError

#: Gradients of the runs that give the state its numbers.
_GRADIENTS = (0.7, -1.3, 0.4, 2.2, -0.6, 1.1)
_STARTS = (0.9, -1.7)

#: What the names of counters in a parameter group begin with.
GROUP = "group."


@dataclass(frozen=True)
class Numbers:
    """The numbers of a run: one for each symbol, and which gradients and starting points."""

    values: Mapping[str, float]
    data: int = 0


@dataclass(frozen=True)
class Kept:
    """What an optimizer keeps between steps.

    Attributes:
        names: the state entries that hold numbers, but for the counters.
        counters: the entries that count steps, with what they hold before the first.
    """

    names: tuple[str, ...]
    counters: Mapping[str, int]

    @property
    def counted(self) -> list[str]:
        """The counters that the parameter group keeps, by the names that they have there."""
        return [n.removeprefix(GROUP) for n in self.counters if n.startswith(GROUP)]


class Bench:
    """Two one-element parameters and an optimizer on them.

    Args:
        recipe: how to build the optimizer.
        numbers: what its symbols are, and its data.
        counted: the entries of the parameter group that count steps.
        shadow: watches the constructor; with it, hyper-parameters carry their formulas.
    """

    def __init__(
        self,
        recipe: Recipe,
        numbers: Numbers,
        counted: Iterable[str] = (),
        shadow: Shadow | None = None,
    ) -> None:
        self.data, self.name, self.counted = numbers.data, recipe.cls.__name__, tuple(counted)
        self.symbols = recipe.symbols().keys()
        self.device = recipe.device
        starts = [v * (1 + self.data / 5) for v in _STARTS]
        self.params = [torch.nn.Parameter(self._tensor(start)) for start in starts]
        with shadow or nullcontext():
            self.optimizer = recipe.build(self.params, numbers.values, symbolic=shadow is not None)

    @property
    def group(self) -> dict[str, Any]:
        """The options and counters of the parameters."""
        group: dict[str, Any] = self.optimizer.param_groups[0]
        return group

    def _tensor(self, value: float) -> torch.Tensor:
        return torch.tensor([value], dtype=torch.float64, device=self.device)

    def set_gradients(self, k: int) -> None:
        """Give both parameters their k-th gradient."""
        for index, param in enumerate(self.params):
            size = _GRADIENTS[(k + 2 * index + self.data) % len(_GRADIENTS)]
            param.grad = self._tensor((1 - 2 * index) * size * (1 + self.data / 7))

    def run(self, steps: int) -> None:
        """Take that many steps.

        Raises:
            LiftError: the optimizer raises, or keeps something outside its state.
        """
        before = reachable(self.optimizer)
        for k in range(steps):
            self.set_gradients(k)
            take_step(self.optimizer)
        self.check_outside(before, reachable(self.optimizer), first=True)

    def check_outside(
        self, before: Mapping[str, str], after: Mapping[str, str], *, first: bool = False
    ) -> None:
        """Check that what the lift does not follow is the same; the first step may make state.

        Raises:
            LiftError: something changed.
        """
        followed = {f"param_groups[0][{n!r}]" for n in self.counted}
        for place in sorted((before.keys() | after.keys()) - followed):
            made = first and "state[" in place and place not in before
            if before.get(place) != after.get(place) and not made:
                raise LiftError(
                    f"{self.name} changes {place} while stepping, which is outside of the state "
                    "that the lifter follows"
                )

    def entries(self, index: int = 0) -> dict[str, Any]:
        """Return what holds numbers: the state of one parameter, the counters of its group."""
        state = self.optimizer.state.get(self.params[index], {})
        return {n: v for n, v in state.items() if is_number(v)} | {
            GROUP + n: self.group[n] for n in self.counted if n in self.group
        }


def take_step(optimizer: torch.optim.Optimizer) -> None:
    """Take a step.

    Raises:
        LiftError: the optimizer raises.
    """
    try:
        optimizer.step()
    except LiftError:
        raise
    except (Exception, SystemExit) as error:
        needed = [n for n, p in signature(optimizer.step).parameters.items() if p.default is p.empty]
        if isinstance(error, TypeError) and needed:
            raise LiftError(f"{type(optimizer).__name__}.step() needs {needed[0]!r}; only optimizers "
                            "that step by the gradients alone are lifted") from error  # fmt: skip
        told = f"{type(error).__name__}: {error}".rstrip(": ")
        raise LiftError(f"{type(optimizer).__name__}.step() fails: {told}") from error


def plain_number(value: Any) -> float:
    """Return the number that a state entry holds."""
    return number_of(value) if isinstance(value, torch.Tensor) else float(value)


def survey(recipe: Recipe, numbers: Numbers) -> Kept:
    """Find what an optimizer keeps, in a run that is not instrumented.

    Raises:
        LiftError: it does not step, or keeps something that the lift cannot follow.
    """
    bench = Bench(recipe, numbers)
    history: list[dict[str, float]] = []
    outside = [reachable(bench.optimizer)]
    for k in range(4):
        bench.set_gradients(k)
        take_step(bench.optimizer)
        outside.append(reachable(bench.optimizer))
        group = {GROUP + n: v for n, v in bench.group.items() if is_number(v)}
        history.append({n: plain_number(v) for n, v in (bench.entries() | group).items()})
    for now in history:
        if infinite := [n for n, v in now.items() if not isfinite(v) and not n.startswith(GROUP)]:
            raise LiftError(f"{bench.name} keeps {infinite[0]!r}, which is no finite number")
        if now.keys() != history[0].keys():
            new = min(now.keys() ^ history[0].keys())
            raise LiftError(f"{bench.name} does not keep its state entry {new!r} at every step")
    counters = {
        name: int(start) - 1
        for name, start in history[0].items()
        if start.is_integer() and [h[name] - start for h in history] == [0, 1, 2, 3]  # 1e30 + 1 is 1e30
    }
    bench.counted = tuple(n.removeprefix(GROUP) for n in counters if n.startswith(GROUP))
    for k in range(4):
        bench.check_outside(outside[k], outside[k + 1], first=k == 0)
    names = [n for n in history[0] if n not in counters and not n.startswith(GROUP)]
    kept = Kept(tuple(names), counters)
    _check_names(recipe, kept)
    _check_memory(bench)
    return kept


def _check_names(recipe: Recipe, kept: Kept) -> None:
    """Check that no two things would share a symbol."""
    taken = {"x": "the parameter", "g": "the gradient", "t": "the step"}
    taken |= {symbol: f"the option {option}" for symbol, option in recipe.sources().items()}
    for name in kept.names:
        for symbol in (sym.old(name).name, sym.new(name).name):
            if symbol in taken or name == "x":
                told = taken.get(symbol, "the parameter")
                raise LiftError(
                    f"{recipe.cls.__name__} calls a state entry {name!r}, and formulas would not "
                    f"tell it from {told}"
                )
            taken[symbol] = f"the state entry {name!r}"


def _check_memory(bench: Bench) -> None:
    """Check that every entry has memory of its own: one that shares it changes unseen."""
    owners: dict[tuple[int, int], str] = {}
    for index, param in enumerate(bench.params):
        tensors = {"the parameter": param, "the gradient": param.grad}
        tensors |= {f"the state entry {n!r}": v for n, v in bench.entries(index).items()}
        for name, tensor in tensors.items():
            if not isinstance(tensor, torch.Tensor):
                continue
            place = place_of(tensor)
            if place in owners:
                raise LiftError(f"in {bench.name}, {name} shares its memory with {owners[place]}: "
                                "what changes one changes the other")  # fmt: skip
            owners[place] = name
