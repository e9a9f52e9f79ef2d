"""A rule's own step as a kernel in C for all the tensors of a group at once.

`trace` writes the step down, `in_c` says it in C, `compiler` compiles it once, `gather` finds the
tensors that it may be given.  Every operation is rounded as torch rounds it, one after the other:
nothing is contracted to a fused multiply-add, so that in float64 and float32 the numbers are bit for
bit those of the reference form; but a root is rounded correctly here, and torch's own, of more than a
few numbers, are one unit in the last place off now and then.  Half types are computed in float32 and
rounded when they are stored.
"""

from __future__ import annotations

import functools
import math
import warnings
from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import torch

from adamproof.optimizers.compiler import NoCompiler, build
from adamproof.optimizers.hyper import HOW
from adamproof.optimizers.in_c import TYPES, source
from adamproof.optimizers.trace import (
    Element,
    Hyper,
    Number,
    Trace,
    Untraceable,
    kept,
    stand_ins,
    varies,
)

Rule: TypeAlias = Callable[[Any, Any, Any, Any, Any], tuple[Any, Any]]
#: Hyper-parameters, the step and the scalars before it, to what a kernel is given.
Host: TypeAlias = Callable[[Hyper, float, Mapping[str, float]], Any]


class Memory:
    """Where tensors lie, as a kernel is told.

    Args:
        sizes: how many coordinates each has.
        columns: the addresses of the parameters, of their gradients, and of each kind of buffer; those
            of the gradients may be written over.
        rows: the addresses of the counts, and of each kind of scalar.
    """

    def __init__(
        self, sizes: array[int], columns: Sequence[array[int]], rows: Sequence[array[int]]
    ) -> None:
        starts = [array("Q", [a.buffer_info()[0] for a in arrays]) for arrays in (columns, rows)]
        self.held = (sizes, *columns, *rows, *starts)  # their addresses are all that a kernel has
        self.grads = columns[1]
        self.passed = (len(sizes), *(a.buffer_info()[0] for a in (sizes, *starts)))


@dataclass(frozen=True, eq=False)
class Kernel:
    """One compiled branch of a rule.

    Attributes:
        guard: whether hyper-parameters, step and scalars are those of this branch.
        numbers: the numbers that it is given.
        call: the compiled function.
        text: its source.
    """

    guard: Host
    numbers: Host
    call: Callable[..., int]
    text: str

    def step(self, memory: Memory, h: Hyper, t: float, scalars: Mapping[str, float]) -> bool:
        """Take step t with some tensors, in place, and count it.

        Args:
            memory: where they lie.
            h: the hyper-parameters.
            t: the step.
            scalars: the scalars, in the order of the rows.

        Returns:
            Whether it was taken: not where a tensor is at another step, or has other scalars.
        """
        given = array("d", self.numbers(h, t, scalars))
        was = array("d", (t - 1, *scalars.values()))
        passed = (was.buffer_info()[0], given.buffer_info()[0], torch.get_num_threads())
        return self.call(*memory.passed, *passed) == 0


#: Arguments that say how to step; ``maximize`` alone says what.
_HOW: Final = HOW.keys() - {"maximize"}


def possible() -> bool:
    """Whether a C compiler is there, and works."""
    try:
        build("#include <stdint.h>\nint64_t step(void) { return 0; }\n")
    except NoCompiler:
        return False
    return True


def known(h: Hyper, names: Collection[str]) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """Return the hyper-parameters that a kernel is given, and those that decide which kernel it is.

    Args:
        h: all that the group holds; schedules and checkpoints put other things there.
        names: the arguments of the rule.
    """
    kept: dict[str, Any] = {}
    fixed: list[Any] = []
    for name, value in h.items():
        if name in _HOW or (name not in names and name not in ("beta1", "beta2")):
            continue
        if type(value) not in (float, bool, int, str):
            value = _plain(value)
        kept[name] = value
        if not varies(value):
            fixed += (name, value)
    return kept, tuple(fixed)


def _plain(value: Any) -> Any:
    """Return a number of any library as a float, and other things as they are."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


# Both in caches, not in globals: what an optimizer can reach must not change while it steps, or the
# lifter would take it for a state.
@functools.cache
def _branches(*key: Any) -> list[Kernel | None]:
    """Return the kernels of this process for a rule, its branches; None: there can be none."""
    return []


@functools.cache
def _warned() -> list[str]:
    """Return the warning that was given in this process."""
    return []


def forget() -> None:
    """Forget the kernels of this process, and that a warning was given; files are kept."""
    for cache in (_branches, _warned, build):
        cache.cache_clear()


def find(
    owner: type,
    rule: Rule,
    names: tuple[str, ...],
    dtype: torch.dtype,
    fixed: tuple[Any, ...],
    h: Hyper,
    t: float,
    scalars: Mapping[str, float],
    number: torch.dtype,
) -> Kernel | None:
    """Return the kernel of a rule, made where it was not yet; None where that cannot be.

    The first time that it cannot be, one warning says why.

    Args:
        owner: the class of the rule.
        rule: its pure function.
        names: the buffers that are kept.
        dtype: the type of the tensors.
        fixed: the hyper-parameters that decide, from `known`.
        h: the hyper-parameters.
        t: the step.
        scalars: the numbers that are kept for each tensor.
        number: their type.

    Raises:
        Untraceable: the rule does what a kernel has no form for.
    """
    branches = _branches(owner, dtype, number, names, fixed)
    for branch in branches:
        if branch is None or branch.guard(h, t, scalars):
            return branch
    try:
        branches.append(made(rule, names, dtype, h, t, scalars, number))
    except NoCompiler as error:
        branches.insert(0, None)
        if not _warned():
            _warned().append(str(error))
            warnings.warn(
                f"{owner.__name__}(compiled=True) steps without a kernel, more slowly: {error}.",
                UserWarning,
                stacklevel=2,
            )
        return None
    return branches[-1]


def made(
    rule: Rule,
    names: tuple[str, ...],
    dtype: torch.dtype,
    h: Hyper,
    t: float,
    scalars: Mapping[str, float] | None = None,
    number: torch.dtype = torch.float32,
) -> Kernel:
    """Write a rule down at these hyper-parameters and this step, and compile it.

    Args:
        rule: the pure function of one tensor: (x, g, t, state, h) to the new x and state.
        names: the buffers that are kept.
        dtype: the type of the tensors.
        h: the hyper-parameters; ``maximize`` turns the gradient round.
        t: the step.
        scalars: the numbers that are kept for each tensor.
        number: their type, one that C has.

    Raises:
        NoCompiler: it cannot be compiled.
        Untraceable: the rule does what a kernel has no form for.
    """
    written = Trace()
    numbers, step, old = stand_ins(written, h, t, scalars or {})
    x, g = written.element("x"), written.element("g")
    descent = -g if h.get("maximize") else g
    try:
        new, state = rule(x, descent, step, kept(written, names, old), numbers)
        out = {"x": new} | {n: state[n] for n in names}
        after = {n: state[n] for n in old}
    except NotImplementedError:
        raise _refused("the class has no _rule") from None
    except Untraceable as error:
        raise _refused(str(error)) from error
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise _refused(f"{type(error).__name__}: {error}") from error
    for wanted, what, values in ((Element, "tensor", out), (Number, "number", after)):
        for name, value in values.items():
            if not isinstance(value, wanted):
                raise _refused(f"it returns {type(value).__name__} for {name}, not a {what}")
    places = [written.index(number) for number in after.values()]
    text = source(written, out, places, dtype, number)
    guards = " and ".join(f"({said}) is {outcome}" for said, outcome in written.guards) or "True"
    given = ", ".join(written.numbers)
    made_of: dict[str, Any] = {"inf": math.inf, "nan": math.nan}
    exec(f"def guard(h, t, s): return {guards}\ndef numbers(h, t, s): return [{given}]", made_of)
    return Kernel(made_of["guard"], made_of["numbers"], build(text), text)


def _refused(why: str) -> Untraceable:
    return Untraceable(f"no kernel can be made of this rule, so that compiled must be False: {why}.")


__all__ = [
    "TYPES",
    "Kernel",
    "NoCompiler",
    "Untraceable",
    "build",
    "find",
    "forget",
    "known",
    "made",
    "possible",
]
