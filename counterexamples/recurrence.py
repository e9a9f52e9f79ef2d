"""The runs of the harness, ten thousand times quicker, and bit for bit those of torch.

Where the losses are linear, the gradients do not depend on x, so the moments come first, then all
roots at once, then x.  What decides the bits of a step of torch 2.13 on one float64 was read from
its source and confirmed by experiment:

* ``lerp_``: m + w (g - m) for a weight w < 1/2, else g - (g - m)(1 - w); ``addcmul_``: v + (w g) g;
  ``addcdiv_``: x + (-rate m)/d.
* In the first two, compilers for processors with a fused multiply-add leave out the rounding of the
  product.  Whether this build does is found out by comparing a prefix (``agreement``).
* ``sqrt`` comes from a vendor's library on some machines, and is then off by one unit in the last
  place for about one argument in a hundred.  So the roots of a torch run are taken by torch.
* β^t, the bias corrections and their roots are Python floats, until they are exactly 1.

numba rather than C: no compiler is asked for.  Without numba the same functions run in Python.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from .harness import FLOATS, Game, Method, Optimizer, Paper, Real, play
from .record import Curve, Report, silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats64 = NDArray[np.float64]
    Roots = Callable[[Floats64], Floats64]

#: Steps between two reports, and most steps in one piece of a curve.
CHUNK = 1 << 16
#: Pieces of a curve, spread evenly over log t.
PIECES = 500


@cache
def _library_fma() -> Callable[[float, float, float], float]:
    """Return a b + c with one rounding: from Python 3.13 on math.fma, before that the C library's."""
    if hasattr(math, "fma"):
        found: Callable[[float, float, float], float] = math.fma
        return found
    import ctypes
    import ctypes.util

    try:
        from_c = ctypes.CDLL(ctypes.util.find_library("m") or "ucrtbase").fma
    except (OSError, AttributeError):
        return lambda a, b, c: float(Fraction(a) * Fraction(b) + Fraction(c))
    from_c.argtypes, from_c.restype = [ctypes.c_double] * 3, ctypes.c_double
    fused: Callable[[float, float, float], float] = from_c
    return fused


def fma(a: float, b: float, c: float) -> float:
    """Return a b + c with one rounding."""
    return _library_fma()(a, b, c)


def moments(
    state: Any, g: Any, inner: Any, beta1: float, beta2: float, fused: bool, keep: bool, m: Any, u: Any
) -> None:  # fmt: skip
    """Run the two moments, and the maximum of the second if it is kept.

    Args:
        state: m, v and the maximum; read and written.
        g: the gradients.
        inner: the bias correction of v before the maximum.
        beta1: β1.
        beta2: β2.
        fused: whether the product in ``lerp_`` and ``addcmul_`` goes unrounded.
        keep: whether the maximum is kept (AMSGrad).
        m: receives the first moments.
        u: receives what the root is taken of.
    """
    a, b, top = state[0], state[1], state[2]
    weight1, weight2 = 1 - beta1, 1 - beta2
    for i in range(len(g)):
        difference = g[i] - a
        if fused:
            a = fma(weight1, difference, a) if weight1 < 0.5 else fma(-difference, 1 - weight1, g[i])
            b = fma(weight2 * g[i], g[i], b * beta2)
        else:
            a = a + weight1 * difference if weight1 < 0.5 else g[i] - difference * (1 - weight1)
            b = b * beta2 + weight2 * g[i] * g[i]
        corrected = b / inner[i]
        top = max(top, corrected) if keep else corrected
        m[i] = a
        u[i] = top
    state[0], state[1], state[2] = a, b, top


def walk(x: float, push: Any, low: float, high: float, out: Any) -> float:
    """Add the pushes one by one, clamping after each; return where that ends."""
    for i in range(len(push)):
        x = min(high, max(low, x + push[i]))
        out[i] = x
    return x
