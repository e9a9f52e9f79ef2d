"""What an optimizer carries from step to step outside the state that the lifter follows.

A lift puts symbols into ``optimizer.state``.  A number that is kept elsewhere, in an attribute, a
global, a closure, a default argument or on the parameter itself, would stay a number, and the formula
would be that of one moment.  So what the optimizer's code can reach is written down before a step and
after it, and must be the same.

Out of reach: what C extensions, files, clocks and generators of random numbers remember.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping
from functools import cache, partial
from operator import length_hint
from threading import local
from types import CodeType, FunctionType, GeneratorType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch.optim.lr_scheduler import LRScheduler

from .symbolic import SymbolicFloat

#: Nothing deeper, and no more places than this: a deterministic budget.
_DEPTH, _PLACES = 12, 20_000

_LIBRARIES = frozenset(sys.stdlib_module_names) | {"torch", "numpy", "sympy"}
_CONTAINERS = (list, tuple, set, frozenset, deque)
#: Of the objects that libraries define, those whose attributes are the user's.
_OPEN = (torch.nn.Module, torch.optim.Optimizer, LRScheduler, SimpleNamespace, local)


def reachable(optimizer: torch.optim.Optimizer) -> dict[str, str]:
    """Return place -> value for all that the optimizer's code can reach and the lift cannot follow.

    The numbers in ``optimizer.state`` are left out, as are the parameters' values: the lift follows
    those.
    """
    walk = _Walk()
    groups = optimizer.param_groups
    walk.seen.update(id(p) for g in groups for p in g["params"])
    for i, group in enumerate(groups):
        walk.found[f"param_groups[{i}]['params']"] = str([id(p) for p in group["params"]])
        for name, value in group.items():
            if name != "params":
                walk.visit(f"param_groups[{i}][{name!r}]", value)
    for i, param in enumerate(groups[0]["params"]):
        walk.visit(f"an attribute of parameter {i}", vars(param))
    for i, (key, entries) in enumerate(optimizer.state.items()):
        param = isinstance(key, torch.Tensor)
        whose = f"of parameter {i}" if param else f"under the key {key!r}"
        for name, value in entries.items() if isinstance(entries, Mapping) else [("", entries)]:
            if param and is_number(value):
                if isinstance(value, torch.Tensor):
                    walk.visit(f"an attribute of state[{name!r}]", vars(value))
            else:
                walk.visit(f"the {type(value).__name__} state[{name!r}] {whose}", value)
    for name, value in vars(optimizer).items():
        if name not in ("param_groups", "state"):
            walk.visit(f"self.{name}", value)
    walk.visit(type(optimizer).__name__, type(optimizer))
    return walk.found


def is_number(value: Any) -> bool:
    """Whether a state entry is one that a lift gives a symbol to."""
    return isinstance(value, torch.Tensor | int | float) and not isinstance(value, bool)


class _Walk:
    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self.seen: set[int] = set()

    def visit(self, place: str, value: Any, depth: int = 0) -> None:
        if isinstance(value, SymbolicFloat):
            self.found[place] = str(value.expr)
        elif isinstance(value, torch.Tensor):
            if id(value) not in self.seen:
                with torch._C.DisableTorchFunction():
                    self.found[place] = str(value.detach().tolist())
        elif isinstance(value, np.ndarray):
            self.found[place] = str(value.tolist())
        elif value is None or isinstance(value, bool | int | float | complex | str | bytes):
            self.found[place] = repr(value)
        elif id(value) not in self.seen and depth < _DEPTH and len(self.found) < _PLACES:
            self.seen.add(id(value))
            self._inside(place, value, depth + 1)

    def _inside(self, place: str, value: Any, depth: int) -> None:
        if isinstance(value, FunctionType):
            self._function(place, value, depth)
        elif isinstance(value, MethodType | staticmethod | classmethod):
            self.visit(place, value.__func__, depth)
        elif isinstance(value, property):
            self.visit(place, value.fget, depth)
        elif isinstance(value, type):
            for cls in value.__mro__:
                for name, attribute in vars(cls).items() if not _is_library(cls) else ():
                    if not (name.startswith("__") and name.endswith("__")) or callable(attribute):
                        self.visit(f"{cls.__name__}.{name}", attribute, depth)
        elif isinstance(value, Mapping):
            for key, item in list(value.items()):
                name = f"#{id(key)}" if isinstance(key, torch.Tensor) else repr(key)
                self.visit(f"{place}[{name}]", item, depth)
        elif isinstance(value, _CONTAINERS):
            self.found[f"len({place})"] = str(len(value))
            for i, item in enumerate(value):
                self.visit(f"{place}[{i}]", item, depth)
        elif isinstance(value, partial):
            self.visit(place, (value.func, value.args, value.keywords), depth)
        elif isinstance(value, GeneratorType):
            self.found[place] = str(value.gi_frame and value.gi_frame.f_lasti)
            self.visit(place, value.gi_frame and value.gi_frame.f_locals, depth)
        elif not isinstance(value, ModuleType):
            if isinstance(value, _OPEN) or not _is_library(type(value)):
                for name, item in _attributes(value):
                    self.visit(f"{place}.{name}", item, depth)
            else:
                self.found[place] = f"{value!r} {_left(value)}"

    def _function(self, place: str, function: FunctionType, depth: int) -> None:
        free = function.__code__.co_freevars
        for name, cell in zip(free, function.__closure__ or (), strict=True):
            try:
                self.visit(f"{name}, which {function.__name__} closes over,", cell.cell_contents, depth)
            except ValueError:  # an empty cell
                continue
        self.visit(f"the defaults of {place}", function.__defaults__, depth)
        self.visit(f"the defaults of {place}", function.__kwdefaults__, depth)
        self.visit(place, function.__dict__, depth)
        home = str(function.__globals__.get("__name__", ""))
        if home.partition(".")[0] in _LIBRARIES:
            return
        names = _names(function.__code__)
        for name in names:
            if name not in function.__globals__:
                continue
            value = function.__globals__[name]
            if isinstance(value, ModuleType):
                if value.__name__.partition(".")[0] in _LIBRARIES:
                    continue
                for inner in names & vars(value).keys():
                    self.visit(f"{value.__name__}.{inner}", vars(value)[inner], depth)
            else:
                self.visit(f"{home}.{name}", value, depth)


def _left(value: Any) -> int:
    """Return how many items an iterator still has to give, where it tells."""
    return length_hint(value, -1) if isinstance(value, Iterator) else -1


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(value, "__dict__", {}).items()
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                yield name, getattr(value, name)


def _is_library(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in _LIBRARIES


@cache
def _names(code: CodeType) -> set[str]:
    """Return what a function's code speaks of by name, or as text; its inner functions' too."""
    inner = (c for c in code.co_consts if isinstance(c, CodeType))
    words = (c for c in code.co_consts if isinstance(c, str))
    return {*code.co_names, *words}.union(*(_names(c) for c in inner))
