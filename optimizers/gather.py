"""Which tensors a kernel may step, and where they lie.

An address says nothing of what lies there, so everything is asked for, at every step.  Of tensors that
were stepped before, less has to be asked, for speed: torch compares parameters and gradients with what
they looked like, all in one call; and the memory of parameters and state is held, so that the same
address is the same memory.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Iterator, Mapping
from itertools import chain
from operator import attrgetter, is_, itemgetter
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch._C._dynamo.guards import TensorGuards

from adamproof.optimizers import kernel
from adamproof.optimizers.hyper import Hyper
from adamproof.optimizers.settings import Settings
from adamproof.optimizers.views import gradient, plain

#: The parameters, their gradients, their counts of steps, each kind of scalar and each kind of buffer.
Columns: TypeAlias = list[list[Any]]

_PLAIN: Final = {Tensor, torch.nn.Parameter}
_dtype, _on_cpu = attrgetter("dtype"), attrgetter("is_cpu")


def recognised(
    optimizer: Any, group: Mapping[str, Any], params: list[Tensor], grads: list[Any]
) -> Ready | None:
    """Return the plans of a group whose parameters and gradients look as they did when it was stepped.

    Where there is one, what is asked of parameters and gradients before a step was asked then.

    Args:
        optimizer: whose rule it is.
        group: the group of the parameters.
        params: those of its parameters that have a gradient.
        grads: their gradients.
    """
    ready = _plans().get(optimizer, {}).get(id(group))
    return ready if ready and ready.looks(params, grads) else None


def stepped(
    optimizer: Any,
    group: Mapping[str, Any],
    settings: Settings,
    params: list[Tensor],
    grads: list[Any],
    ready: Ready | None,
) -> list[Tensor]:
    """Step what a kernel can step.

    Args:
        optimizer: whose rule it is.
        group: the group of the parameters.
        settings: what it says.
        params: those of its parameters that have a gradient.
        grads: their gradients.
        ready: what `recognised` returned for them.

    Returns:
        The parameters that it cannot step.
    """
    h, known, fixed = settings.h, settings.known, settings.fixed
    buffers, scalars = settings.buffers, settings.scalars
    plans = _plans().setdefault(optimizer, {})
    names = ("step", *scalars, *buffers)
    plans.pop(id(group), None)
    if ready:
        todo, whole = ready.step(optimizer, names, params, grads, known, fixed)
        if whole:
            plans[id(group)] = ready
        if not todo:
            return []
        params, grads = [params[i] for i in todo], [grads[i] for i in todo]
    states = [optimizer._state(p, h) for p in params]
    views: list[Any] = params
    kept = [[state[name] for state in states] for name in names]
    if not _PLAIN.issuperset(map(type, params)) or any(map(Tensor.is_complex, params)):
        views, grads = list(map(plain, params)), list(map(gradient, params))
        kept = [list(map(plain, column)) for column in kept]
    left: list[Tensor] = []
    parts: list[tuple[list[int], Plan]] = []
    itself = list(map(is_, params, views))  # no view of a complex or a sharded one
    places = list(zip(range(len(params)), itself, strict=True))
    for columns, dtype, numbers in _parts([places, views, grads, *kept], len(scalars)):
        rows, (its_own, *_) = zip(*columns[0], strict=True)
        owners, tensors = [params[i] for i in rows], columns[1:]
        if dtype is None:
            left += owners
            continue
        t, now = numbers[0] + 1, dict(zip(scalars, numbers[1:], strict=True))
        number = _number(tensors[2:], len(scalars))
        found = kernel.find(
            type(optimizer), optimizer._rule, buffers, dtype, fixed, known, t, now, number
        )
        if not found:
            left += owners
            continue
        made = Plan(tensors, dtype, names, len(scalars))
        if not found.step(made.memory, known, t, now):
            left += owners  # a scalar is NaN
            continue
        # As any operation in place does: a graph that holds the old values must not be run back.
        torch.autograd.graph.increment_version(owners)
        if its_own:
            parts.append((list(rows), made))
    if parts and not ready:  # of a group that was whole
        plans[id(group)] = Ready(len(params), parts)
    return left


class Ready:
    """The plans of a group, each with the places of its parameters among those with a gradient."""

    def __init__(self, length: int, parts: list[tuple[list[int], Plan]]) -> None:
        self.length, self.parts = length, parts
        covered = {i for rows, _ in parts for i in rows}
        self.rest = [i for i in range(length) if i not in covered]
        self.whole = len(parts) == 1 and not self.rest

    def looks(self, params: list[Any], grads: list[Any]) -> bool:
        """Whether all of them look as they did: class, type, device, sizes, strides, no sign to come."""
        if len(params) != self.length:
            return False
        if self.whole:
            return bool(self.parts[0][1].alike.check(*params, *grads))
        return all(
            plan.alike.check(*[params[i] for i in rows], *[grads[i] for i in rows])
            for rows, plan in self.parts
        )

    def step(
        self,
        optimizer: Any,
        names: tuple[str, ...],
        params: list[Any],
        grads: list[Any],
        h: Hyper,
        fixed: tuple[Any, ...],
    ) -> tuple[list[int], bool]:
        """Take the step of every part that is what it was.

        Returns:
            The places that were not stepped, and whether all the parts were.
        """
        todo, every = list(self.rest), True
        for rows, plan in self.parts:
            x, g = params, grads
            if not self.whole:
                x, g = [params[i] for i in rows], [grads[i] for i in rows]
            if plan.names != names or not plan.step(optimizer, x, g, h, fixed):
                todo += rows
                every = False
        return sorted(todo), every


class Plan:
    """Tensors that were found fit for a kernel: what they look like, and where their memory is.

    It does not hold the parameters themselves, which may know their optimizer: both would live for ever.

    Args:
        tensors: the columns: parameters, gradients, counts, scalars, buffers.
        dtype: the type of the parameters.
        names: the entries of the state, in the order of the columns.
        scalars: how many of them are scalars, beside the count.
    """

    def __init__(
        self,
        tensors: Columns,
        dtype: torch.dtype,
        names: tuple[str, ...],
        scalars: int,
    ) -> None:
        params, grads, *kept = tensors
        self.dtype, self.names, self.number = dtype, names, _number(kept, scalars)
        self.rows, self.buffers = names[: 1 + scalars], names[1 + scalars :]
        self.of_state = itemgetter(*names) if len(names) > 1 else lambda state: (state[names[0]],)
        self.entries = list(chain.from_iterable(zip(*kept, strict=True)))
        self.where = [_pointers(params), _pointers(self.entries)]
        self.held = [a.untyped_storage() for a in (*params, *self.entries)]
        fixed = {"dynamic_dims_sizes": None, "dynamic_dims_strides": None}
        self.alike = TensorGuards(*params, *grads, **fixed)
        x, g, *more = (array("Q", _pointers(column)) for column in tensors)
        sizes, rows = array("q", map(Tensor.numel, params)), len(self.rows)
        self.memory = kernel.Memory(sizes, [x, g, *more[rows:]], more[:rows])

    def step(
        self,
        optimizer: Any,
        params: list[Any],
        grads: list[Any],
        h: Hyper,
        fixed: tuple[Any, ...],
    ) -> bool:
        """Take a step with the same tensors.

        Args:
            optimizer: whose tensors they are.
            params: its parameters with a gradient; they and their gradients are `alike`.
            grads: their gradients.
            h: the hyper-parameters.
            fixed: those that decide which kernel it is.

        Returns:
            Whether it was taken: not where something is no longer what it was.
        """
        state = optimizer.state
        try:
            in_order = len(state) == len(params) and all(map(is_, state, params))
            states = state.values() if in_order else [state[p] for p in params]  # which are hashed
            entries = list(chain.from_iterable(map(self.of_state, states)))
        except KeyError:
            return False
        if not all(map(is_, entries, self.entries)):
            return False
        if [_pointers(params), _pointers(entries)] != self.where:
            return False
        t, *now = [entry.item() for entry in entries[: len(self.rows)]]
        scalars = dict(zip(self.rows[1:], now, strict=True))
        rule, number = optimizer._rule, self.number
        found = kernel.find(
            type(optimizer), rule, self.buffers, self.dtype, fixed, h, t + 1, scalars, number
        )
        if not found:
            return False
        self.memory.grads[:] = array("Q", _pointers(grads))
        if not found.step(self.memory, h, t + 1, scalars):
            return False
        torch.autograd.graph.increment_version(params)
        return True


# In a cache, not in a global; see `kernel`.
@functools.cache
def _plans() -> WeakKeyDictionary[Any, dict[int, Ready]]:
    """Return the plans of each optimizer of this process, by group."""
    return WeakKeyDictionary()


def forget(optimizer: Any) -> None:
    """Forget the plans of an optimizer, which hold the memory of its state."""
    _plans().pop(optimizer, None)


def _number(kept: Columns, scalars: int) -> torch.dtype:
    """Return the type of the scalars, which stand behind the counts and are of one type."""
    return kept[1][0].dtype if scalars else torch.float32


def _pointers(column: list[Any]) -> list[int]:
    return list(map(Tensor.data_ptr, column))


def _alike(column: list[Any], dtype: torch.dtype) -> bool:
    """Whether all are dense tensors of the CPU, laid out alike, of that type, their sign in memory."""
    return (
        _PLAIN.issuperset(map(type, column))
        and all(map(_on_cpu, column))
        and _laid_out_alike(column)
        and {dtype}.issuperset(map(_dtype, column))
        and not any(map(Tensor.is_neg, column))
    )


def _laid_out_alike(column: list[Any]) -> bool:
    """Whether the n-th number of one belongs to the n-th of the others, without a gap in any."""
    if all(map(Tensor.is_contiguous, column)):  # no sparse one is
        return True
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(column[0].dim())
    return (
        last is not None
        and all(a.layout == torch.strided and a.is_contiguous(memory_format=last) for a in column)
        and len({a.stride() for a in column}) == 1
    )


def _apart(rows: list[tuple[Any, ...]]) -> list[bool]:
    """Whether each parameter shares no memory with another: threads would write it at once."""
    ends = sorted(
        (p.data_ptr(), p.data_ptr() + p.nbytes, i) for i, (_, p, *_) in enumerate(rows) if p.nbytes
    )
    alone, (last, end) = [True] * len(rows), (-1, -1)
    for start, stop, i in ends:
        if start < end:
            alone[i] = alone[last] = False
        if stop > end:
            last, end = i, stop
    return alone


def _parts(
    columns: Columns, scalars: int
) -> Iterator[tuple[Columns, torch.dtype | None, tuple[float, ...]]]:
    """Yield the tensors that one kernel steps together, with their dtype, their count and scalars.

    The first column has pairs: a place, and whether the parameter there is no view.  The dtype is None
    for those that no kernel can step.
    """
    together: dict[tuple[Any, tuple[float, ...]], list[tuple[Any, ...]]] = {}
    rows = list(zip(*columns, strict=True))
    fit = [row for row in rows if _fit(row[1:], scalars)]
    alone = {row[0] for row, apart in zip(fit, _apart(fit), strict=True) if apart}
    for row in rows:
        fits = row[0] in alone
        numbers = tuple(a.item() for a in row[3 : 4 + scalars]) if fits else ()
        types = (
            (row[1].dtype, row[0][1], *map(_dtype, row[4 : 4 + scalars])) if fits else (None, row[0][1])
        )
        together.setdefault((types, numbers), []).append(row)
    for (types, numbers), same in together.items():
        yield [list(column) for column in zip(*same, strict=True)], types[0], numbers


def _fit(row: tuple[Any, ...], scalars: int) -> bool:
    p, g, *kept = row
    count, numbers, buffers = kept[0], kept[1 : 1 + scalars], kept[1 + scalars :]
    number = numbers[0].dtype if numbers else torch.float32
    return (
        p.dtype in kernel.TYPES
        and _alike([p, g, *buffers], p.dtype)
        and number in (torch.float32, torch.float64)
        and _alike([count], torch.float32)
        and _alike(numbers, number)
        and all(a.numel() == 1 for a in (count, *numbers))
        and all(a.numel() == p.numel() for a in (g, *buffers))
    )
