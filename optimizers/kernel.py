"""One pass over memory: a rule's own step as a kernel in C for all the tensors of a group at once.

`trace` writes the step down, `source` says it in C, `build` compiles it once (some tenths of a second;
the result is kept between processes), and `Kernel` calls it with the addresses of the tensors, whatever
their number and shapes.  Every operation is rounded as torch rounds it, one after the other: half types
are computed in float32 and rounded when they are stored, nothing is contracted to a fused multiply-add.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from adamproof.optimizers.trace import Element, Hyper, Number, Trace, buffers, stand_ins

#: Coordinates that one thread takes at a time, and below which there is one thread only.
CHUNK: Final = 1 << 15
#: Set to a folder, it is where compiled kernels lie.
VARIABLE: Final = "ADAMPROOF_KERNELS"

Rule = Callable[[Any, Any, Any, Mapping[str, Any], Hyper], tuple[Any, Mapping[str, Any]]]


class NoCompiler(RuntimeError):
    """There is no C compiler, or it fails; the message says which."""


@dataclass(frozen=True)
class _Type:
    """How a type lies in memory, and in what it is computed."""

    stored: str
    computed: str
    load: str = "{}"
    store: str = "{}"


TYPES: Final[Mapping[torch.dtype, _Type]] = {
    torch.float64: _Type("double", "double"),
    torch.float32: _Type("float", "float"),
    torch.bfloat16: _Type("uint16_t", "float", "bf16({})", "to_bf16({})"),
    torch.float16: _Type("_Float16", "float", "(float){}", "(_Float16){}"),
}

_HEAD = """\
#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float bf16(uint16_t k) {
    uint32_t bits = (uint32_t)k << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
static inline uint16_t to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    uint32_t even = bits + 0x7fff + ((bits >> 16) & 1);
    return (bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (uint16_t)(even >> 16);
}
"""

_BODY = """
void step(long tensors, const long *sizes, void *const *const *memory, const double *given) {{
{numbers}
    long total = 0;
    for (long k = 0; k < tensors; k++) total += (sizes[k] + {chunk} - 1) / {chunk};
    #pragma omp parallel for schedule(static) if (total > 1 && {parallel})
    for (long piece = 0; piece < total; piece++) {{
        long k = 0, left = piece;
        while (left >= (sizes[k] + {chunk} - 1) / {chunk}) left -= (sizes[k++] + {chunk} - 1) / {chunk};
        long first = left * {chunk}, last = first + {chunk} < sizes[k] ? first + {chunk} : sizes[k];
{pointers}
        #pragma omp simd
        for (long i = first; i < last; i++) {{
{lines}
        }}
    }}
}}
"""

_C = {
    "+": "{} + {}", "-": "{} - {}", "*": "{} * {}", "/": "{} / {}", "neg": "-{}",
    "sqrt": "SQRT({})", "abs": "FABS({})", "sign": "(T)(({0} > 0) - ({0} < 0))",
    "max": "({0} > {1} || {0} != {0} ? {0} : {1})", "min": "({0} < {1} || {0} != {0} ? {0} : {1})",
}  # fmt: skip


def source(written: Trace, out: Mapping[str, Element], dtype: torch.dtype) -> str:
    """Return the step in C.

    Args:
        written: what was written down.
        out: the new value of each tensor that changes, the parameter's under ``x``.
        dtype: the type of all of them.
    """
    kind = TYPES[dtype]
    names = ["x", "g", *(n for n in out if n != "x")]
    needed: dict[int, Element] = {}
    stack = list(out.values())
    while stack:
        e = stack.pop()
        if e.place not in needed:
            needed[e.place] = e
            stack += [o for o in e.operands if isinstance(o, Element)]
    lines = []
    for place, e in sorted(needed.items()):
        if e.operation == "number":
            said = f"n{e.operands[0]}"
        elif e.operation == "constant":
            said = repr(e.operands[0])
        elif e.operation in ("x", "g", "buffer"):
            name = e.operands[0] if e.operation == "buffer" else e.operation
            said = kind.load.format(f"p{names.index(name)}[i]")
        else:
            said = _C[e.operation].format(*(f"v{o.place}" for o in e.operands))
        lines.append(f"            const T v{place} = {said};")
    lines += [
        f"            p{names.index(n)}[i] = {kind.store.format(f'v{e.place}')};" for n, e in out.items()
    ]
    pointers = [
        f"        {'const ' if n == 'g' else ''}{kind.stored} *restrict p{k} = memory[{k}][k];"
        for k, n in enumerate(names)
    ]
    numbers = [f"    const T n{k} = (T)given[{k}];" for k in range(len(written.numbers))]
    double = kind.computed == "double"
    head = _HEAD + f"\ntypedef {kind.computed} T;\n"
    head += f"#define SQRT {'sqrt' if double else 'sqrtf'}\n#define FABS {'fabs' if double else 'fabsf'}\n"
    return head + _BODY.format(
        numbers="\n".join(numbers), pointers="\n".join(pointers), lines="\n".join(lines),
        chunk=CHUNK, parallel="1",
    )  # fmt: skip


# -- compiling -------------------------------------------------------------------------------------


@functools.cache
def compiler() -> str:
    """Return the C compiler.

    Raises:
        NoCompiler: there is none.
    """
    for name in filter(None, (os.environ.get("CC"), "cc", "gcc", "clang")):
        if found := shutil.which(name):
            return found
    raise NoCompiler("there is no C compiler (cc, gcc or clang; or name one in CC)")


def folder() -> Path:
    """Return where compiled kernels lie."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "adamproof" / "kernels"


@functools.cache
def build(text: str) -> Callable[..., None]:
    """Compile a kernel, or load it where it was compiled before.

    Raises:
        NoCompiler: there is no compiler, it fails, or the result cannot be written.
    """
    flags = ("-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-ffp-contract=off", "-fPIC",
             "-shared", "-std=gnu11")  # fmt: skip
    about = "\0".join((text, *flags, compiler(), torch.backends.cpu.get_cpu_capability(), _chip()))
    target = folder() / f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.so"
    if not target.exists():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent) as there:
                made, code = Path(there) / "k.so", Path(there) / "k.c"
                code.write_text(text, encoding="utf-8")
                done = subprocess.run([compiler(), *flags, str(code), "-o", str(made), "-lm"],
                                      capture_output=True, text=True, check=False)  # fmt: skip
                if done.returncode:
                    raise NoCompiler(f"{compiler()} fails: {done.stderr.strip()[:300]}")
                made.replace(target)  # whole or not at all, whoever else compiles it
        except OSError as error:
            raise NoCompiler(f"a kernel cannot be written to {target.parent} ({error})") from error
    try:
        step: Any = ctypes.CDLL(str(target)).step
    except OSError as error:
        raise NoCompiler(f"the kernel {target} cannot be loaded ({error})") from error
    step.argtypes, step.restype = [ctypes.c_long, *[ctypes.c_void_p] * 3], None
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
        names: the tensors it takes, in order: ``x``, ``g``, the buffers.
        guard: whether hyper-parameters and step are those of this branch.
        numbers: the numbers that it is given.
        call: the compiled function.
        text: its source.
    """

    names: tuple[str, ...]
    guard: Callable[[Hyper, float], bool]
    numbers: Callable[[Hyper, float], Sequence[float]]
    call: Callable[..., None]
    text: str

    def step(
        self,
        params: Sequence[Tensor],
        grads: Sequence[Tensor],
        state: Mapping[str, Sequence[Tensor]],
        h: Hyper,
        t: float,
    ) -> None:
        """Step all the tensors, in place; they are dense, of one type, on the CPU."""
        lists = (params, grads, *(state[n] for n in self.names[2:]))
        addresses = [array("Q", [a.data_ptr() for a in of]) for of in lists]
        memory = array("Q", [a.buffer_info()[0] for a in addresses])
        sizes = array("l", [p.numel() for p in params])
        given = array("d", self.numbers(h, t))
        self.call(len(params), sizes.buffer_info()[0], memory.buffer_info()[0], given.buffer_info()[0])


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
    new, state = rule(x, descent, step, buffers(written, names), numbers)
    out = {"x": new} | {n: _kept(state[n]) for n in names}
    text = source(written, out, dtype)
    guards = " and ".join(f"({said}) is {outcome}" for said, outcome in written.guards) or "True"
    given = ", ".join(written.numbers)
    made_of: dict[str, Any] = {}
    exec(f"def guard(h, t): return {guards}\ndef numbers(h, t): return [{given}]", made_of)
    return Kernel(("x", "g", *names), made_of["guard"], made_of["numbers"], build(text), text)


def _kept(value: Any) -> Element:
    if isinstance(value, Element):
        return value
    raise TypeError(f"a rule returned {type(value).__name__} for a tensor")


__all__ = ["TYPES", "Kernel", "NoCompiler", "Number", "build", "compiler", "made", "source"]
