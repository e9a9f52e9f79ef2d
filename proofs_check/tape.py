"""The sequence of kernels that an optimizer's step runs, each with the bands of what it may return.

A `TorchDispatchMode` sees every kernel with its operands, after Python numbers were computed and
in-place forms and lists were chosen.  `KERNELS` says which primitives each is made of; a kernel that
is not named there stops the tape: no tensor ever exists without its bands.

Numbers that Python computes (in double) are taken as they come.  A number that is read back from a
tensor must not depend on rounding under `Nearest`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from .bands import (
    FLOAT32,
    FLOAT64,
    FORMATS,
    Array,
    Band,
    Format,
    Mask,
    chosen,
    direction,
    hull,
    larger,
    made,
    magnitude,
    negated,
    smaller,
)
from .rounding import Model, Nearest, Standard
from .symbolic import LiftError

Operand = Any  # a Band, or a Python number


class UnknownKernel(LiftError):
    """The rounding model says nothing of a kernel; the message names it."""


def _band(m: Model, value: Operand) -> Band:
    return value if isinstance(value, Band) else m.number(value)


def _kept(m: Model, value: Operand) -> Band:
    return value if isinstance(value, Band) else m.store(m.number(value))


def _add(m: Model, a: Operand, b: Operand, *, alpha: float = 1) -> Band:
    """Return a + alpha b.  On the CPU half types round both numbers, and may round their product."""
    number = _kept if m.device == "cpu" else _band
    a, b = number(m, a), number(m, b)
    if abs(alpha) == 1:
        return m.add(a, b) if alpha == 1 else m.sub(a, b)
    product = m.mul(b, number(m, alpha))
    out = m.muladd(b, number(m, alpha), a)
    if m.device == "cpu" and m.kept is not m.form:
        out = hull(out, m.add(m.store(product), a))
    return out


def _mul_list(m: Model, a: Band, b: Operand) -> Band:
    """Return a · b.  In place over a list, the CPU rounds the number to the half type first."""
    return m.mul(a, _kept(m, b) if m.device == "cpu" else _band(m, b))


def _div(m: Model, a: Operand, b: Operand, *, rounding_mode: None = None) -> Band:
    if rounding_mode is not None:
        raise TypeError("rounding_mode")
    if isinstance(b, Band):
        return m.div(_band(m, a), b)
    out = m.over(a, b)
    if m.device == "cpu" or b == 0:
        return out
    return hull(out, m.mul(a, m.over(m.number(1), b)))  # CUDA multiplies by the reciprocal


def _addcmul(m: Model, a: Band, b: Band, c: Band, value: float = 1) -> Band:
    if b is c:
        b = c = magnitude(b)
    scaled = b if value == 1 else m.mul(m.number(value), b)
    out = m.muladd(scaled, c, a)
    if m.device == "cpu" or value == 1:
        return out
    return hull(out, m.muladd(m.number(value), m.mul(b, c), a))  # CUDA: value * (b * c)


def _addcdiv(m: Model, a: Band, b: Band, c: Band, value: float = 1) -> Band:
    out = m.add(a, m.div(b if value == 1 else m.mul(m.number(value), b), c))
    if m.device == "cpu" or value == 1:
        return out
    return hull(out, m.muladd(m.number(value), m.div(b, c), a))  # CUDA: value * (b / c)


def _lerp(m: Model, a: Band, b: Band, weight: Operand) -> Band:
    if not isinstance(weight, Band):
        return m.lerp(a, b, m.number(weight))
    d = m.sub(b, a)
    near, far = m.muladd(weight, d, a), m.muladd(m.sub(weight, m.number(1)), d, b)
    return chosen(_truth(m, magnitude(weight), 0.5, np.less), near, far)


def _truth(m: Model, a: Operand, b: Operand, compare: Callable[[Array, Array], Mask]) -> Band:
    """Return whether a comparison holds: 1, 0, or a band of both where the bands do not tell."""
    a, b = (v if isinstance(v, Band) else hull(Band.point(v), _kept(m, v)) for v in (a, b))
    ends = np.array([compare(x, y) for x in (a.lo, a.hi) for y in (b.lo, b.hi)])
    always, ever = ends.all(axis=0), ends.any(axis=0)
    lost = a.nan | b.nan
    if compare in (np.equal, np.not_equal):  # the only ones that are not monotone
        apart, known = (a.hi < b.lo) | (b.hi < a.lo), (a.lo == a.hi) & (b.lo == b.hi)
        same = known & (a.lo == b.lo)
        always, ever = (same, ~apart) if compare is np.equal else (apart, ~same)
    return made((always & ~lost).astype(float), (ever | lost).astype(float), np.zeros_like(lost))


def _clamp(m: Model, a: Band, min: Operand = None, max: Operand = None) -> Band:
    out = a if min is None else larger(a, _kept(m, min))
    return out if max is None else smaller(out, _kept(m, max))


def _pow(m: Model, a: Band, exponent: float) -> Band:
    if exponent != 2:
        raise TypeError(f"exponent {exponent}")
    return m.mul(a, a)


#: name -> the primitives it is made of.  The result is then stored in the format of its tensor.
ROUNDED: dict[str, Callable[..., Band]] = {
    "add": _add,
    "sub": lambda m, a, b, *, alpha=1: _add(m, a, b, alpha=-alpha),
    "mul": lambda m, a, b: m.mul(_band(m, a), _band(m, b)),
    "_foreach_mul_": _mul_list,
    "div": _div,
    "sqrt": lambda m, a: m.sqrt(a),
    "reciprocal": lambda m, a: m.div(m.number(1), a),
    "pow": _pow,
    "square": lambda m, a: m.mul(a, a),
    "addcmul": _addcmul,
    "addcdiv": _addcdiv,
    "lerp": _lerp,
    "_to_copy": lambda m, a: a,
}

#: These return one of their operands, or its opposite: nothing is rounded but a Python number.
EXACT: dict[str, Callable[..., Band]] = {
    "neg": lambda m, a: negated(a),
    "sign": lambda m, a: direction(a),
    "sgn": lambda m, a: direction(a),
    "clamp": _clamp,
    "where": lambda m, truth, a, b: chosen(truth, _kept(m, a), _kept(m, b)),
    "abs": lambda m, a: magnitude(a),
    "maximum": lambda m, a, b: larger(a, _kept(m, b)),
    "minimum": lambda m, a, b: smaller(a, _kept(m, b)),
    "clamp_min": lambda m, a, b: larger(a, _kept(m, b)),
    "clamp_max": lambda m, a, b: smaller(a, _kept(m, b)),
    "clone": lambda m, a: a,
    "detach": lambda m, a: a,
    "alias": lambda m, a: a,
    "copy": lambda m, a, source, *_: source,
    "fill": lambda m, a, value: _kept(m, value),
    "zero": lambda m, a: Band.point(0),
    "zeros_like": lambda m, a: Band.point(0),
    "ones_like": lambda m, a: Band.point(1),
    "full_like": lambda m, a, value: _kept(m, value),
    "zeros": lambda m, *_: Band.point(0),
    "ones": lambda m, *_: Band.point(1),
    "full": lambda m, _, value, **__: _kept(m, value),
    "scalar_tensor": lambda m, value: _kept(m, value),
}

#: Their results are no numbers: 1 where they hold, for `where`.  A half type may round a number first.
TRUTHS: dict[str, Callable[..., Band]] = {
    name: lambda m, a, b, compare=compare: _truth(m, a, b, compare)
    for name, compare in {
        "gt": np.greater, "ge": np.greater_equal, "lt": np.less, "le": np.less_equal,
        "eq": np.equal, "ne": np.not_equal,
    }.items()
}  # fmt: skip

KERNELS = ROUNDED | EXACT | TRUTHS

#: Arguments that say where a result goes, and nothing of its numbers.
PLACEMENT = frozenset("dtype layout device pin_memory memory_format non_blocking out".split())


class Tape(TorchDispatchMode):
    """The mode: keeps the bands of every tensor, under each model.

    Args:
        models: the models.
        device: what runs the kernels.

    Attributes:
        reads_rounded: a number was read from a tensor that exact arithmetic might give another value.
        kernels: how many were seen.
    """

    def __init__(self, models: Sequence[type[Model]], device: str = "cpu") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.models, self.device = tuple(models), device
        self.reads_rounded, self.kernels = False, 0
        self._at: dict[Any, tuple[torch.Tensor, tuple[Band, ...]]] = {}

    def know(self, tensor: torch.Tensor) -> None:
        """Take the numbers in a tensor as given."""
        numbers = tensor.detach().double().cpu().numpy().copy()
        self._put(tensor, (Band.point(numbers),) * len(self.models))

    def _put(self, tensor: torch.Tensor, bands: tuple[Band, ...]) -> None:
        shaped = tuple(b.shaped(tuple(tensor.shape)) for b in bands)
        self._at[_place(tensor)] = (tensor.detach(), shaped)  # held, so that no other gets its memory

    def bands(self, tensor: torch.Tensor) -> tuple[Band, ...]:
        """Return the bands of a tensor, one for each model.

        Raises:
            UnknownKernel: it was made by something that the tape did not see.
        """
        if _place(tensor) not in self._at:
            raise UnknownKernel("a kernel that made a tensor unseen")
        return self._at[_place(tensor)][1]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one kernel for real, and its primitives on bands."""
        kwargs = dict(kwargs or {})
        space, _, name = func._schema.name.partition("::")
        if space == "profiler":
            return func(*args, **kwargs)
        self.kernels += 1
        each, stem = name.startswith("_foreach_"), name.removeprefix("_foreach_").removesuffix("_")
        if stem == "lift_fresh":
            self.know(args[0])
            return func(*args, **kwargs)
        if stem == "_local_scalar_dense":
            self._read(args[0])
            return func(*args, **kwargs)
        if space != "aten" or stem not in KERNELS:
            raise UnknownKernel(name)
        stem = name if name in KERNELS else stem
        if each and not isinstance(args[0], list | tuple):
            raise UnknownKernel(f"{name} of a number")
        meaning = {k: v for k, v in kwargs.items() if k not in PLACEMENT}
        rows = [_each(args, i) for i in range(len(args[0]))] if each else [args]
        made = [self._operands(row) for row in rows]
        result = func(*args, **kwargs)
        kept = args[0] if name.endswith("_") else kwargs.get("out", result)
        for tensor, row in zip(kept if each else [kept], made, strict=True):
            self._put(tensor, self._apply(stem, tensor, row, meaning))
        return result

    def _read(self, tensor: torch.Tensor) -> None:
        for kind, band in zip(self.models, self.bands(tensor), strict=True):
            known = bool((band.lo == band.hi).all()) and not band.nan.any()
            if kind is Nearest and not known:
                raise UnknownKernel("reading a number that rounding may change")
            self.reads_rounded |= kind is Standard and not known

    def _operands(self, row: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Return each operand under each model, and the formats of the tensors."""
        return [
            (*self.bands(a), None if a.dtype is torch.bool else _format(a))
            if isinstance(a, torch.Tensor)
            else (a,) * (len(self.models) + 1)
            for a in row
        ]

    def _apply(
        self, stem: str, tensor: torch.Tensor, row: Sequence[tuple[Any, ...]], named: Mapping[str, Any]
    ) -> tuple[Band, ...]:
        formats = {r[-1] for r in row if isinstance(r[-1], Format)}
        kept = next(iter(formats), FLOAT64) if stem in TRUTHS else _format(tensor)
        formats |= {kept}
        form = FLOAT64 if FLOAT64 in formats else FLOAT32
        mixed = len(formats) > 1 and (FLOAT64 in formats or stem in TRUTHS)
        if mixed and stem != "_to_copy":
            raise UnknownKernel(f"{stem} of different types")
        if stem == "copy" and len({r[-1] for r in row if isinstance(r[-1], Format)}) > 1:
            stem = "_to_copy"
            row = row[1:]
        out = []
        for k, kind in enumerate(self.models):
            model = kind(form, kept, self.device)
            try:
                band = KERNELS[stem](model, *(r[k] for r in row), **named)
            except (TypeError, AttributeError) as error:
                raise UnknownKernel(f"{stem} in a form without a meaning ({error})") from error
            rounded = stem in ROUNDED or (stem in EXACT and len(formats) > 1)  # 0-d tensors are cast
            out.append(model.store(band) if rounded else band)
        return tuple(out)


def _each(row: Sequence[Any], index: int) -> list[Any]:
    return [a[index] if isinstance(a, list | tuple) else a for a in row]


def _place(tensor: torch.Tensor) -> Any:
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride()


def _format(tensor: torch.Tensor) -> Format:
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in FORMATS:
        raise UnknownKernel(f"a kernel on {name}")
    return FORMATS[name]
