"""What each torch operation means, exactly: one elementwise formula per operation.

The table is all the lifter knows.  An operation that is absent stops the lift.  Names are torch's
without the in-place underscore and the ``_foreach_`` prefix; Python's operators are listed apart.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import sympy as sp

Formula = Any

# SymPy takes long to order the arguments of Max and Min, and every run of a lift meets the same ones.
# Two arguments, never one: the largest element of a tensor couples its coordinates.


@lru_cache(maxsize=4096)
def _larger(a: Formula, b: Formula) -> Formula:
    return sp.Max(a, b)


@lru_cache(maxsize=4096)
def _smaller(a: Formula, b: Formula) -> Formula:
    return sp.Min(a, b)


def unchanged(a: Formula, *_: Any, **__: Any) -> Formula:
    """Return the formula itself: what a change of shape or of float type does."""
    return a


def _div(a: Formula, b: Formula, *, rounding_mode: None = None) -> Formula:
    if rounding_mode is not None:
        raise TypeError("rounding_mode")
    return a / b


def _clamp(a: Formula, min: Formula = None, max: Formula = None) -> Formula:
    lower = a if min is None else _larger(a, min)
    return lower if max is None else _smaller(lower, max)


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
    "maximum": _larger,
    "minimum": _smaller,
    "max": _larger,
    "min": _smaller,
    "clamp": _clamp,
    "clip": _clamp,
    "clamp_min": lambda a, min: _larger(a, min),
    "clamp_max": lambda a, max: _smaller(a, max),
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

#: Comparisons of tensors: no numbers, but what `where` branches on.  It may only do so on t and the
#: hyper-parameters, as Python's ``if`` may.
RELATIONS: dict[str, Callable[..., Formula]] = {
    "gt": sp.Gt, "ge": sp.Ge, "lt": sp.Lt, "le": sp.Le, "eq": sp.Eq, "ne": sp.Ne,
    "greater": sp.Gt, "greater_equal": sp.Ge, "less": sp.Lt, "less_equal": sp.Le, "not_equal": sp.Ne,
    **{f"__{name}__": getattr(sp, name.title()) for name in ("gt", "ge", "lt", "le", "eq", "ne")},
}  # fmt: skip

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
    """
    view view_as reshape reshape_as flatten unsqueeze squeeze expand expand_as alias to type_as
    float double half bfloat16 requires_grad_ cpu cuda
    """.split()
)

#: Their result does not depend on the numbers in their first argument, which may be unwritten.
OVERWRITES = frozenset("copy fill zero zeros_like ones_like full_like".split())

#: Kernels that show the memory of a tensor under another name, and nothing else.
SAME_MEMORY = frozenset("alias detach".split())

#: Make a tensor whose memory is not written yet.
EMPTY = frozenset("empty empty_like new_empty".split())

#: Turn a tensor into plain numbers; named here for the sake of the message alone.
NUMBERS = frozenset("__float__ __int__ __bool__ __index__ tolist numpy".split())

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
    """
    is_complex is_floating_point numel nelement size dim ndimension stride is_contiguous
    is_same_size get_device element_size is_inference is_tensor device is_neg is_conj is_signed __len__
    __hash__ is_grad_enabled set_grad_enabled _set_grad_enabled can_cast promote_types
    result_type get_default_dtype _record_function_enter_new _record_function_enter
    _record_function_exit
    """.split()
)

#: Attributes of a tensor that say nothing of its numbers.
ATTRIBUTES = frozenset(
    """
    device dtype layout shape ndim is_sparse is_cuda is_cpu is_mps is_xla is_quantized is_meta
    is_leaf is_sparse_csr is_mkldnn is_nested is_xpu is_mtia is_maia is_ipu is_vulkan is_hpu
    requires_grad itemsize nbytes
    """.split()
)
#: Attributes that are tensors themselves, whose formula is known by their memory.
TENSOR_ATTRIBUTES = frozenset("grad data _grad T mT".split())
