"""What each torch operation means, exactly: one elementwise formula per operation.

The table is all the lifter knows.  An operation that is absent stops the lift.  Names are torch's
without the in-place underscore and the ``_foreach_`` prefix; Python's operators are listed apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

Formula = Any


def _div(a: Formula, b: Formula, *, rounding_mode: None = None) -> Formula:
    if rounding_mode is not None:
        raise TypeError("rounding_mode")
    return a / b


def _clamp(a: Formula, min: Formula = None, max: Formula = None) -> Formula:
    lower = a if min is None else sp.Max(a, min)
    return lower if max is None else sp.Min(lower, max)


#: name -> formula of the result; a keyword here is a keyword there.
ELEMENTWISE: dict[str, Callable[..., Formula]] = {
    "add": lambda a, b, *, alpha=1: a + alpha * b,
    "sub": lambda a, b, *, alpha=1: a - alpha * b,
    "subtract": lambda a, b, *, alpha=1: a - alpha * b,
    "rsub": lambda a, b, *, alpha=1: b - alpha * a,
    "mul": lambda a, b: a * b,
    "multiply": lambda a, b: a * b,
    "div": _div,
    "divide": _div,
    "true_divide": lambda a, b: a / b,
    "neg": lambda a: -a,
    "negative": lambda a: -a,
    "abs": sp.Abs,
    "sign": sp.sign,
    "sgn": sp.sign,
    "sqrt": sp.sqrt,
    "rsqrt": lambda a: 1 / sp.sqrt(a),
    "square": lambda a: a**2,
    "reciprocal": lambda a: 1 / a,
    "pow": lambda a, b: a**b,
    "maximum": sp.Max,
    "minimum": sp.Min,
    "max": sp.Max,
    "min": sp.Min,
    "clamp": _clamp,
    "clip": _clamp,
    "clamp_min": lambda a, min: sp.Max(a, min),
    "clamp_max": lambda a, max: sp.Min(a, max),
    "lerp": lambda a, end, weight: a + weight * (end - a),
    "addcmul": lambda a, b, c, value=1: a + value * b * c,
    "addcdiv": lambda a, b, c, value=1: a + value * b / c,
    "copy": lambda a, source, non_blocking=False: source,
    "fill": lambda a, value: value,
    "zero": lambda a: sp.Integer(0),
    "clone": lambda a, *, memory_format=None: a,
    "detach": lambda a: a,
    "contiguous": lambda a, memory_format=None: a,
    "zeros_like": lambda a, **_: sp.Integer(0),
    "ones_like": lambda a, **_: sp.Integer(1),
    "full_like": lambda a, fill_value, **_: fill_value,
}

#: Python's operators on tensors.
OPERATORS: dict[str, str] = {
    f"__{prefix}{python}__": torch_name
    for python, torch_name in {
        "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "div": "div", "pow": "pow",
    }.items()
    for prefix in ("", "i")
} | {"__radd__": "add", "__rmul__": "mul", "__neg__": "neg", "__abs__": "abs",
     "__rsub__": "rsub"}  # fmt: skip
REFLECTED: dict[str, Callable[..., Formula]] = {
    "__rtruediv__": lambda a, b: b / a,
    "__rdiv__": lambda a, b: b / a,
    "__rpow__": lambda a, b: b**a,
}

#: Change the shape of a one-element tensor, or its dtype among floats, and nothing else.
SHAPE_ONLY = frozenset(
    "view view_as reshape reshape_as flatten unsqueeze squeeze expand expand_as alias "
    "to type type_as float double half bfloat16 requires_grad_ cpu cuda".split()
)

#: Make a tensor from a number.
FACTORIES: dict[str, Callable[..., Formula]] = {
    "zeros": lambda *_, **__: sp.Integer(0),
    "new_zeros": lambda *_, **__: sp.Integer(0),
    "ones": lambda *_, **__: sp.Integer(1),
    "new_ones": lambda *_, **__: sp.Integer(1),
    "tensor": lambda value, **_: value,
    "as_tensor": lambda value, *_, **__: value,
    "scalar_tensor": lambda value, **_: value,
    "full": lambda _, fill_value, **__: fill_value,
}

#: Ask about a tensor or the process, never about the numbers in it.
METADATA = frozenset(
    """is_complex is_floating_point numel nelement size dim ndimension stride is_contiguous
    is_same_size get_device element_size data_ptr untyped_storage storage_offset is_inference
    is_tensor is_neg is_conj is_signed __len__ __hash__ is_grad_enabled set_grad_enabled
    _set_grad_enabled can_cast promote_types result_type get_default_dtype
    _record_function_enter_new _record_function_enter _record_function_exit""".split()
)

#: Attributes of a tensor that say nothing of its numbers.
ATTRIBUTES = frozenset(
    """device dtype layout shape ndim is_sparse is_cuda is_cpu is_mps is_xla is_quantized is_meta
    is_leaf is_sparse_csr is_mkldnn is_nested is_xpu is_mtia is_maia is_ipu is_vulkan requires_grad
    grad_fn names itemsize nbytes output_nr _version _backward_hooks retains_grad is_hpu""".split()
)
#: Attributes that are tensors themselves, whose formula is known by their memory.
TENSOR_ATTRIBUTES = frozenset("grad data _grad T mT".split())
