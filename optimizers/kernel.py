"""One pass over memory: a rule's own step as a kernel in C for all the tensors of a group at once.

`trace` writes the step down, `in_c` says it in C, `build` compiles it once (some tenths of a second;
the result is kept between processes), and `Kernel` calls it with the addresses of the tensors, whatever
their number and shapes.  Every operation is rounded as torch rounds it, one after the other: nothing is
contracted to a fused multiply-add, so that in float64 and float32 the numbers are bit for bit those of
the reference form.  Half types are computed in float32 and rounded when they are stored.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import math
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor

from adamproof import caches
from adamproof.optimizers.in_c import TYPES, source
from adamproof.optimizers.trace import (
    Element,
    Hyper,
    Trace,
    Untraceable,
    buffers,
    stand_ins,
    varies,
)

Rule: TypeAlias = Callable[[Any, Any, Any, Any, Any], tuple[Any, Any]]
#: The parameters, their gradients, their counts of steps, and each kind of buffer.
Columns: TypeAlias = list[list[Any]]


class NoCompiler(RuntimeError):
    """There is no C compiler, or it fails; the message says which."""


# -- compiling -------------------------------------------------------------------------------------

_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fPIC",
          "-shared", "-std=gnu11")  # fmt: skip
#: What ends a file that was written whole, after the digest of what is before.
_END = b"adamproof kernel"


def compiler() -> str:
    """Return the C compiler.

    Raises:
        NoCompiler: there is none.
    """
    for name in filter(None, (os.environ.get("CC"), "cc", "gcc", "clang")):
        if found := shutil.which(name):
            return found
    raise NoCompiler("there is no C compiler (cc, gcc or clang, or one named in CC)")


@functools.cache
def build(text: str) -> Callable[..., None]:
    """Compile a kernel, or load it where it was compiled before.

    Raises:
        NoCompiler: there is no compiler, it fails, or the result cannot be written or loaded.
    """
    kept = caches.folder()
    if kept is not None:
        where = kept / "kernels"
        about = "\0".join((text, *_FLAGS, compiler(), _chip()))
        target = where / f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.so"
        if _whole(target):
            try:
                return _loaded(target)
            except OSError:
                pass  # of another machine, say: made anew
        try:
            where.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=where) as there:
                made = _compiled(text, Path(there))
                made.replace(target)  # whole or not at all, whoever else compiles it
            return _loaded(target)
        except OSError:
            pass  # a cache that cannot be written is no reason to do without the kernel
    try:
        with tempfile.TemporaryDirectory() as there:
            return _loaded(_compiled(text, Path(there)))
    except OSError as error:
        raise NoCompiler(f"a compiled kernel cannot be written or loaded ({error})") from error


def _compiled(text: str, there: Path) -> Path:
    """Compile into a folder; without threads where the compiler has no OpenMP.

    Raises:
        NoCompiler: there is no compiler, or it fails.
    """
    made, code = there / "kernel.so", there / "kernel.c"
    code.write_text(text, encoding="utf-8")
    for threads in (["-fopenmp"], []):
        done = subprocess.run([compiler(), *_FLAGS, *threads, str(code), "-o", str(made), "-lm"],
                              capture_output=True, text=True, errors="replace", check=False)  # fmt: skip
        if done.returncode == 0:
            content = made.read_bytes()
            made.write_bytes(content + hashlib.sha256(content).digest() + _END)
            return made
    told = " ".join(done.stderr.split())[:300] or f"status {done.returncode}"
    raise NoCompiler(f"the C compiler {compiler()} fails ({told})")


def _whole(target: Path) -> bool:
    """Whether a compiled kernel is there as it was written: half of one can end the process."""
    try:
        content = target.read_bytes()
    except OSError:
        return False
    body, digest = content[: -32 - len(_END)], content[-32 - len(_END) : -len(_END)]
    return content.endswith(_END) and hashlib.sha256(body).digest() == digest


def _loaded(target: Path) -> Callable[..., None]:
    step: Any = ctypes.CDLL(str(target)).step
    step.argtypes = [ctypes.c_int64, *[ctypes.c_void_p] * 4, ctypes.c_int64]
    step.restype = None
    call: Callable[..., None] = step
    return call


@functools.cache
def _chip() -> str:
    """Return what -march=native depends on, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return sys.platform
    return "".join(sorted({x for x in lines if x.startswith(("model name", "flags", "Features"))}))


# -- calling ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Kernel:
    """One compiled branch of a rule.

    Attributes:
        guard: whether hyper-parameters and step are those of this branch.
        numbers: the numbers that it is given.
        call: the compiled function.
        text: its source.
    """

    guard: Callable[[Hyper, float], bool]
    numbers: Callable[[Hyper, float], Sequence[float]]
    call: Callable[..., None]
    text: str

    def step(self, columns: Columns, h: Hyper, t: float) -> None:
        """Take step t with some tensors, in place, and count it; they are as `parts` wants them.

        Args:
            columns: the tensors.
            h: the hyper-parameters.
            t: the step.
        """
        params, grads, counts, *kept = columns
        given = array("d", self.numbers(h, t))
        addresses = [array("Q", [*map(Tensor.data_ptr, of)]) for of in (params, grads, *kept, counts)]
        memory = array("Q", [a.buffer_info()[0] for a in addresses])
        sizes = array("q", [*map(Tensor.numel, params)])
        passed = [a.buffer_info()[0] for a in (sizes, memory, addresses[-1], given)]
        self.call(len(params), *passed, torch.get_num_threads())
        # As any operation in place does: a graph that holds the old values must not be run back.
        torch.autograd.graph.increment_version(params)


_PLAIN: Final = {Tensor, torch.nn.Parameter}
_dtype, _on_cpu = attrgetter("dtype"), attrgetter("is_cpu")


def parts(columns: Columns) -> Iterator[tuple[Columns, torch.dtype | None, float]]:
    """Yield the tensors that one kernel steps together, with their dtype and the step they take.

    The dtype is None for those that no kernel can step.  An address says nothing of what lies there,
    so everything is asked for, at every step; the questions are put to whole columns, for speed.
    """
    together: dict[tuple[torch.dtype | None, float], list[tuple[Any, ...]]] = {}
    dtype = columns[0][0].dtype if columns[0] else None
    if _fit(columns, dtype) and len(steps := set(map(Tensor.item, columns[2]))) == 1:
        yield columns, dtype, steps.pop() + 1
        return
    for row in zip(*columns, strict=True):
        fits = _fit([[a] for a in row], row[0].dtype)
        key = (row[0].dtype, row[2].item() + 1) if fits else (None, 0.0)
        together.setdefault(key, []).append(row)
    for (dtype, t), rows in together.items():
        yield [list(column) for column in zip(*rows, strict=True)], dtype, t


def _fit(columns: Columns, dtype: torch.dtype | None) -> bool:
    params, grads, counts, *kept = columns
    if dtype not in TYPES:
        return False
    for column in columns:
        if not (_PLAIN.issuperset(map(type, column)) and all(map(_on_cpu, column))):
            return False
    if set(map(_dtype, counts)) != {torch.float32} or set(map(Tensor.numel, counts)) != {1}:
        return False
    sizes = list(map(Tensor.numel, params))
    for column in (params, grads, *kept):
        if set(map(_dtype, column)) != {dtype} or not all(map(Tensor.is_contiguous, column)):
            return False
    if any(map(Tensor.is_neg, grads)):  # the sign is not in its memory yet
        return False
    return all(list(map(Tensor.numel, column)) == sizes for column in (grads, *kept))


def known(h: Hyper, names: Collection[str]) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """Return the hyper-parameters that a kernel is given, and those that decide which kernel it is.

    Args:
        h: all that the group holds; schedules and checkpoints put other things there.
        names: the arguments of the rule.
    """
    kept: dict[str, Any] = {}
    fixed: list[Any] = []
    for name, value in h.items():
        if name not in names and name not in ("beta1", "beta2"):
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

    Raises:
        Untraceable: the rule does what a kernel has no form for.
    """
    branches = _branches(owner, dtype, names, fixed)
    for branch in branches:
        if branch is None or branch.guard(h, t):
            return branch
    try:
        branches.append(made(rule, names, dtype, h, t))
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


def made(rule: Rule, names: tuple[str, ...], dtype: torch.dtype, h: Hyper, t: float) -> Kernel:
    """Write a rule down at these hyper-parameters and this step, and compile it.

    Args:
        rule: the pure function of one tensor: (x, g, t, state, h) to the new x and state.
        names: the buffers that are kept.
        dtype: the type of the tensors.
        h: the hyper-parameters; ``maximize`` turns the gradient round.
        t: the step.

    Raises:
        NoCompiler: it cannot be compiled.
        Untraceable: the rule does what a kernel has no form for.
    """
    written = Trace()
    numbers, step = stand_ins(written, h, t)
    x, g = written.element("x"), written.element("g")
    descent = -g if h.get("maximize") else g
    try:
        new, state = rule(x, descent, step, buffers(written, names), numbers)
        out = {"x": new} | {n: state[n] for n in names}
    except NotImplementedError:
        raise _refused("the class has no _rule") from None
    except Untraceable as error:
        raise _refused(str(error)) from error
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise _refused(f"{type(error).__name__}: {error}") from error
    for name, value in out.items():
        if not isinstance(value, Element):
            raise _refused(f"it returns {type(value).__name__} for {name}, not a tensor")
    text = source(written, out, dtype)
    guards = " and ".join(f"({said}) is {outcome}" for said, outcome in written.guards) or "True"
    given = ", ".join(written.numbers)
    made_of: dict[str, Any] = {"inf": math.inf, "nan": math.nan}
    exec(f"def guard(h, t): return {guards}\ndef numbers(h, t): return [{given}]", made_of)
    return Kernel(made_of["guard"], made_of["numbers"], build(text), text)


def _refused(why: str) -> Untraceable:
    return Untraceable(f"no kernel can be made of this rule, so that compiled must be False: {why}.")


__all__ = ["TYPES", "Kernel", "NoCompiler", "Untraceable", "build", "find", "forget", "made", "parts"]
