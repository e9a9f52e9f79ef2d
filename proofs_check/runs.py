"""Run an optimizer's own ``step()`` with symbols where its numbers were, and read the formulas."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sympy as sp
import torch

from ..theory import symbols as sym
from ..theory.symbols import DOMAINS
from .build import Recipe
from .engines import follows
from .hidden import is_number, reachable
from .shadow import Shadow, same
from .survey import GROUP, Bench, Kept, Numbers, plain_number, take_step
from .symbolic import LiftError, Record, SymbolicFloat, exact, recording

#: What the symbols of the second parameter end with.
_OTHER = "__second"

Path = tuple[tuple[sp.Basic, bool], ...]


@dataclass(frozen=True)
class OneStep:
    """What an instrumented step gave.

    Attributes:
        new: new values as formulas in the old.
        branches: the comparisons on symbolic values and their outcomes.
        rounding: the coarsest relative rounding seen beyond float64's.
    """

    new: Mapping[str, sp.Expr]
    branches: Path
    rounding: float


#: Formulas that grow past this while they are unrolled are given up: nobody could use them.
MAX_STEPS, MAX_OPERATIONS = 100, 100_000


def _size(formulas: Iterable[sp.Expr]) -> int:
    """Return how many operations the formulas have, written out."""
    known: dict[sp.Basic, int] = {}

    def size(e: sp.Basic) -> int:
        if e not in known:
            known[e] = 1 + sum(map(size, e.args))
        return known[e]

    return sum(map(size, formulas))


def unroll(recipe: Recipe, kept: Kept, numbers: Numbers, steps: int) -> OneStep:
    """Run from the fresh state with gradients g1, g2, … and return the values after the last.

    The branches are the constructor's too.

    Raises:
        LiftError: the lift stops.
    """
    if steps > MAX_STEPS:
        raise LiftError(f"{steps} steps make no formula that anyone could use; unroll {MAX_STEPS} at "
                        "most")  # fmt: skip
    shadow, bench, made = _constructed(recipe, kept, numbers)
    # what the constructor asks is assumed, but for what the domains of the symbols say already
    branches = [(c, o) for c, o in made.branches if not follows(c if o else sp.Not(c), (), DOMAINS)]
    for k in range(1, steps + 1):
        bench.set_gradients(k - 1)
        for index, param in enumerate(bench.params):
            shadow.put(param.grad, sym.symbol(f"g{k}" + _OTHER * index))
        record = _stepped(bench, shadow, first=k == 1)
        branches += [b for b in record.branches if b not in branches]
        _check_branches(bench, record)
        if (size := _size(shadow.get(p) for p in bench.params)) > MAX_OPERATIONS:
            raise LiftError(f"after {k} steps the formula has {size} operations; unroll fewer steps")
    return _read(bench, shadow, kept, branches, steps)


def one_step(
    recipe: Recipe,
    kept: Kept,
    numbers: Numbers,
    step: int,
    final: Mapping[str, sp.Expr] | None = None,
) -> OneStep:
    """Put symbols where the state was before a step after the first, take it, read the new values.

    With ``final``, the formulas that the state is known to end with, the result is in let form.

    Raises:
        LiftError: the lift stops.
    """
    twin = Bench(recipe, numbers, kept.counted)
    twin.run(step - 1)
    if not all(map(math.isfinite, map(plain_number, (*twin.params, *twin.entries().values())))):
        raise LiftError(f"{twin.name} leaves the finite numbers within {step - 1} steps")
    if late := sorted(set(twin.entries()) ^ {*kept.names, *kept.counters}):
        raise LiftError(f"{twin.name} does not keep its state entry {late[0]!r} at every step")
    shadow, bench, _ = _constructed(recipe, kept, numbers)

    def symbolic(name: str, value: Any, tail: str) -> Any:
        if not is_number(value):
            return value
        count = sym.t - 1 + kept.counters.get(name, 0)
        formula = count if name in kept.counters else sym.symbol(sym.state_name(name) + tail)
        if isinstance(value, torch.Tensor):
            copy = value.detach().clone()
            shadow.put(copy, formula)
            return copy
        return SymbolicFloat(float(value), formula)

    for index, (param, other) in enumerate(zip(bench.params, twin.params, strict=True)):
        with torch.no_grad():
            param.copy_(other)
        if other in twin.optimizer.state:
            state, old = bench.optimizer.state[param], twin.optimizer.state[other]
            state.clear()
            state.update({n: symbolic(n, v, _OTHER * index) for n, v in old.items()})
    for name in kept.counted:
        bench.group[name] = symbolic(GROUP + name, twin.group[name], "")
    bench.set_gradients(step - 1)
    for index, param in enumerate(bench.params):
        shadow.put(param, sym.symbol("x" + _OTHER * index))
        shadow.put(param.grad, sym.symbol("g" + _OTHER * index))
    for name, value in bench.entries().items():
        if final and isinstance(value, torch.Tensor) and name in kept.names:
            shadow.name_when(value, final[name], sym.new(name))
    record = _stepped(bench, shadow)
    _check_branches(bench, record)
    if final is None:
        return _read(bench, shadow, kept, record.branches)
    lines = _let_form(bench, shadow, kept, final)
    return OneStep(lines, tuple(record.branches), shadow.rounding)


def _constructed(recipe: Recipe, kept: Kept, numbers: Numbers) -> tuple[Shadow, Bench, Record]:
    shadow = Shadow()
    with recording() as record:
        bench = Bench(recipe, numbers, kept.counted, shadow)
    for index, param in enumerate(bench.params):
        shadow.put(param, sym.symbol("x" + _OTHER * index))
    return shadow, bench, record


def _stepped(bench: Bench, shadow: Shadow, *, first: bool = False) -> Record:
    before = reachable(bench.optimizer)
    with recording() as record, shadow:
        take_step(bench.optimizer)
    bench.check_outside(before, reachable(bench.optimizer), first=first)
    return record


def _check_branches(bench: Bench, record: Record) -> None:
    """Check that the way through the code is the same for every coordinate."""
    known = {sym.t.name, *bench.symbols}
    for condition, _ in record.branches:
        if loose := sorted({s.name for s in condition.free_symbols} - known):
            raise LiftError(
                f"{bench.name} branches on the value of {', '.join(loose)}, which differs from "
                "coordinate to coordinate"
            )


def _formula_of(value: Any, shadow: Shadow) -> sp.Expr:
    if isinstance(value, torch.Tensor):
        return shadow.get(value)
    return exact(value, "a state entry")


def _read(
    bench: Bench,
    shadow: Shadow,
    kept: Kept,
    branches: list[tuple[sp.Basic, bool]],
    steps: int | None = None,
) -> OneStep:
    """Collect the formulas of both parameters; they must be the same but for the names."""
    both = []
    for index, param in enumerate(bench.params):
        entries = bench.entries(index)
        if set(entries) != {*kept.names, *kept.counters}:
            raise LiftError(f"{bench.name} does not keep the same state for every parameter, or at "
                            "every step")  # fmt: skip
        formulas = {n: _formula_of(v, shadow) for n, v in entries.items()}
        for name, start in kept.counters.items():
            count = start + (sym.t if steps is None else steps)
            if formulas.pop(name) != count:
                raise LiftError(f"{bench.name} counts steps in {name!r}, but not all of them one by "
                                "one")  # fmt: skip
        both.append({"x": shadow.get(param), **formulas})
    first, second = both
    _check_apart(bench.name, kept, first, second)
    for name, formula in first.items():
        other = second[name].xreplace(
            {s: sp.Symbol(s.name.removesuffix(_OTHER), **s.assumptions0)
             for s in second[name].free_symbols}
        )  # fmt: skip
        if not same(formula, other):
            raise LiftError(
                f"{bench.name} updates two parameters by two formulas for {name}: {formula} and "
                f"{other}, so there is something in them that is no symbol"
            )
    return OneStep(first, tuple(branches), shadow.rounding)


def _check_apart(
    name: str, kept: Kept, first: Mapping[str, sp.Expr], second: Mapping[str, sp.Expr]
) -> None:
    """Check that neither parameter's formulas speak of the other's numbers."""
    own = {"x", "g", *(sym.old(n).name for n in kept.names)}

    def spoken(formulas: Mapping[str, sp.Expr]) -> set[str]:
        return {s.name for e in formulas.values() for s in e.free_symbols}

    foreign = {n for n in spoken(first) if n.endswith(_OTHER)}
    foreign |= {n for n in spoken(second) if n in own or (n[:1] == "g" and n[1:].isdigit())}
    if foreign:
        raise LiftError(
            f"{name} couples its parameters: the update of one depends on another, so no formula of "
            "a single coordinate describes it"
        )


def _let_form(
    bench: Bench, shadow: Shadow, kept: Kept, final: Mapping[str, sp.Expr]
) -> dict[str, sp.Expr]:
    lines: dict[str, sp.Expr] = {}
    names = {sym.new(n): n for n in final}
    for symbol, formula in shadow.definitions.items():
        lines[names[symbol]] = formula
    for name, value in bench.entries().items():
        if name in kept.names and name not in lines:
            lines[name] = _formula_of(value, shadow)
        elif name in lines and _formula_of(value, shadow) != sym.new(name):
            raise LiftError("a state entry changed after its last value: a fault of the lifter")
    lines["x"] = shadow.get(bench.params[0])
    return _in_order(lines)


def _in_order(lines: Mapping[str, sp.Expr]) -> dict[str, sp.Expr]:
    """Order let-form lines so that each speaks only of lines before it; x comes last."""
    rest = {n: e for n, e in lines.items() if n != "x"}
    out: dict[str, sp.Expr] = {}
    while rest:
        pending = {sym.new(n) for n in rest}
        ready = [n for n, e in rest.items() if not e.free_symbols & (pending - {sym.new(n)})]
        if not ready:
            raise LiftError("the new state values are defined in a circle: a fault of the lifter")
        out |= {n: rest.pop(n) for n in ready}
    return {**out, "x": lines["x"]}
