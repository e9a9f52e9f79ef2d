"""A step that was written down, said in C: one loop over the coordinates of all tensors of a group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from adamproof.optimizers.trace import Element, Trace

#: Coordinates below which a further thread costs more than it saves.
SHARE: Final = 1 << 15
#: Coordinates that are widened together where a type has no arithmetic of its own.
BLOCK: Final = 256


@dataclass(frozen=True)
class _Type:
    """How a type lies in memory, and in what it is computed; `block`: widened before, not one by one."""

    stored: str
    computed: str
    load: str = "{}"
    store: str = "{}"
    block: bool = False


TYPES: Final[Mapping[torch.dtype, _Type]] = {
    torch.float64: _Type("double", "double"),
    torch.float32: _Type("float", "float"),
    torch.bfloat16: _Type("uint16_t", "float", "bf16({})", "to_bf16({})"),
    torch.float16: _Type("uint16_t", "float", block=True),
}

_HEAD = """\
#include <math.h>
#include <stdint.h>
#include <string.h>
"""

_BF16 = """
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

# By hand: compilers convert float16 one by one.
_FP16 = """
#ifdef __F16C__
#include <immintrin.h>
#endif
static void widen(const uint16_t *from, float *to, int64_t n) {
    int64_t i = 0;
#ifdef __F16C__
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from + i))));
#endif
    for (; i < n; i++) {
        _Float16 x;
        memcpy(&x, from + i, 2);
        to[i] = (float)x;
    }
}
static void narrow(const float *from, uint16_t *to, int64_t n) {
    int64_t i = 0;
#ifdef __F16C__
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(to + i), _mm256_cvtps_ph(_mm256_loadu_ps(from + i), 0));
#endif
    for (; i < n; i++) {
        _Float16 x = (_Float16)from[i];
        memcpy(to + i, &x, 2);
    }
}
"""

# Each thread walks through its share of all the coordinates, whichever tensors they are in.  `scalars`
# has a row for the count of steps, a float, and one of N for each number that is kept for a tensor; the
# answer is 1, and nothing was done, where they are not what `was` says.
_BODY = """
int64_t step(int64_t tensors, const int64_t *sizes, void *const *const *memory,
             void *const *const *scalars, const double *was, const double *given, int64_t threads) {{
    {numbers}
    for (int64_t k = 0; k < tensors; k++) {{
        if (*(float *)scalars[0][k] != was[0]) return 1;
        for (int64_t j = 1; j < {rows}; j++)
            if (*(N *)scalars[j][k] != was[j]) return 1;
    }}
    int64_t total = 0;
    for (int64_t k = 0; k < tensors; k++) {{
        total += sizes[k];
        {kept}
    }}
    if (threads > 1 + total / {share}) threads = 1 + total / {share};
    #pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t me = 0; me < threads; me++) {{
        const int64_t begin = total * me / threads / 64 * 64;
        const int64_t end = me + 1 < threads ? total * (me + 1) / threads / 64 * 64 : total;
        int64_t before = 0;
        for (int64_t k = 0; k < tensors && before < end; before += sizes[k++]) {{
            const int64_t first = begin > before ? begin - before : 0;
            const int64_t last = end - before < sizes[k] ? end - before : sizes[k];
            {walk}
        }}
    }}
    return 0;
}}
"""

_WALK = """
if (first >= last) continue;
{pointers}
#pragma omp simd
for (int64_t i = first; i < last; i++) {{
    {lines}
}}
"""

_WALK_IN_BLOCKS = """
for (int64_t at = first; at < last; at += {block}) {{
    const int64_t n = last - at < {block} ? last - at : {block};
    {pointers}
    #pragma omp simd
    for (int64_t i = 0; i < n; i++) {{
        {lines}
    }}
    {stores}
}}
"""

_C = {
    "+": "{} + {}", "-": "{} - {}", "*": "{} * {}", "/": "{} / {}", "neg": "-{}",
    "sqrt": "SQRT({})", "abs": "FABS({})", "sign": "(T)(({0} > 0) - ({0} < 0))",
    # The second is asked whether it is NaN: of a number that is the same for the whole loop.
    "max": "({0} < {1} || {1} != {1} ? {1} : {0})", "min": "({0} > {1} || {1} != {1} ? {1} : {0})",
}  # fmt: skip


def source(
    written: Trace,
    out: Mapping[str, Element],
    scalars: Sequence[int],
    dtype: torch.dtype,
    number: torch.dtype,
) -> str:
    """Return the step in C.

    Args:
        written: what was written down.
        out: the new value of each tensor that changes, the parameter's under ``x``.
        scalars: which of the numbers that are given each scalar becomes.
        dtype: the type of all the tensors.
        number: the type of the scalars.
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
    lines, read = [], set()
    for place, e in sorted(needed.items()):
        if e.operation == "number":
            said = f"n{e.operands[0]}"
        elif e.operation == "constant":
            said = _constant(e.operands[0])
        elif e.operation in ("x", "g", "buffer"):
            index = names.index(e.operands[0] if e.operation == "buffer" else e.operation)
            read.add(index)
            said = kind.load.format(f"p{index}[i]")
        else:
            said = _C[e.operation].format(*(f"v{o.place}" for o in e.operands))
        lines.append(f"const T v{place} = {said};")
    written_to = {names.index(n): e for n, e in out.items()}
    lines += [f"p{k}[i] = {kind.store.format(f'v{e.place}')};" for k, e in written_to.items()]
    used = sorted(read | written_to.keys())
    if kind.block:
        pointers = [f"float p{k}[{BLOCK}];" for k in used]
        pointers += [f"widen((const uint16_t *)memory[{k}][k] + at, p{k}, n);" for k in sorted(read)]
    else:
        pointers = [f"{kind.stored} *restrict p{k} = memory[{k}][k];" for k in used]
    stores = [f"narrow(p{k}, (uint16_t *)memory[{k}][k] + at, n);" for k in written_to]
    walk = _filled(_WALK_IN_BLOCKS if kind.block else _WALK, block=[str(BLOCK)], pointers=pointers,
                   lines=lines, stores=stores).strip().split("\n")  # fmt: skip
    numbers = [f"const T n{k} = (T)given[{k}];" for k in range(len(written.numbers))]
    head = _HEAD + (_FP16 if kind.block else _BF16 if "bf16" in kind.load else "")
    suffix = "" if kind.computed == "double" else "f"
    head += f"\ntypedef {kind.computed} T;\ntypedef {TYPES[number].stored} N;\n"
    head += f"#define SQRT sqrt{suffix}\n#define FABS fabs{suffix}\n"
    kept = ["*(float *)scalars[0][k] += 1;"]
    kept += [f"*(N *)scalars[{j}][k] = (N)given[{n}];" for j, n in enumerate(scalars, start=1)]
    rows = [str(len(kept))]
    return head + _filled(_BODY, numbers=numbers, rows=rows, kept=kept, share=[str(SHARE)], walk=walk)


def _filled(template: str, **parts: Sequence[str]) -> str:
    """Return a template with its parts, each line as far to the right as its place."""
    out = []
    for line in template.split("\n"):
        name = line.strip().removeprefix("{").removesuffix("}")
        if name in parts and line.strip() == f"{{{name}}}":
            indent = line[: len(line) - len(line.lstrip())]
            out += [indent + part for part in parts[name]]
        else:
            out.append(line.format(**{n: "\n".join(part) for n, part in parts.items()}))
    return "\n".join(out)


def _constant(value: float) -> str:
    if math.isnan(value):
        return "NAN"
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return repr(value)
