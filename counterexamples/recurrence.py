"""The runs of the harness, a thousand times quicker, and bit for bit those of torch.

Where the losses are linear, the gradients do not depend on x, so the moments come first, then all
roots at once, then x.  What decides the bits of a step of torch 2.13 on one float64 was read from
its source and confirmed by experiment:

* ``lerp_``: m + w (g - m) for a weight w < 1/2, else g - (g - m)(1 - w); ``addcmul_``: v + (w g) g;
  ``addcdiv_``: x + (-rate m)/d.
* In the first two, compilers for processors with a fused multiply-add leave out the rounding of the
  product.  Whether this build does is found out by comparing a prefix (``compare``).
* ``sqrt`` comes from a vendor's library on some machines, and is then off by one unit in the last
  place for about one argument in a hundred.  So the roots of a torch run are taken by torch.
* β^t, the bias corrections and their roots are Python floats, until they are exactly 1.

numba rather than C: no compiler is asked for.  Without numba the same functions run in Python.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from .harness import Game, Method

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats64 = NDArray[np.float64]
    Roots = Callable[[Floats64], Floats64]


@cache
def _library_fma() -> Callable[[float, float, float], float]:
    """Return what computes a b + c with one rounding: math.fma (Python 3.13) or the C library's."""
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
    state: Any,
    g: Any,
    inner: Any,
    beta1: float,
    beta2: float,
    fused: bool,
    keep: bool,
    m: Any,
    u: Any,
) -> None:
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
    light, rest = weight1 < 0.5, 1 - weight1
    for i in range(len(g)):
        slope = g[i]
        change = slope - a
        if fused:
            a = fma(weight1, change, a) if light else fma(-change, rest, slope)
            b = fma(weight2 * slope, slope, b * beta2)
        else:
            a = a + weight1 * change if light else slope - change * rest
            b = b * beta2 + weight2 * slope * slope
        corrected = b / inner[i]
        top = max(top, corrected) if keep else corrected
        m[i] = a
        u[i] = top
    state[0], state[1], state[2] = a, b, top


def walk(x: float, push: Any, low: float, high: float, out: Any) -> float:
    """Add the pushes one by one, clamping after each; return where that ends.

    With branches, which a processor foresees, and not min and max, whose latencies add up.
    """
    for i in range(len(push)):
        x = x + push[i]
        if not x > low:  # nan goes where max(low, nan) goes
            x = low
        elif not x < high:
            x = high
        out[i] = x
    return x


@cache
def _kernels() -> tuple[Any, Any, bool]:
    """Return both loops compiled, or as they are where numba is missing, and which it is."""
    try:
        import numba
        from numba.extending import intrinsic, overload
    except ImportError:
        return moments, walk, False
    double = numba.types.float64

    @intrinsic
    def fused(_context: Any, a: Any, b: Any, c: Any) -> Any:
        def write(_target: Any, builder: Any, _signature: Any, values: Any) -> Any:
            return builder.fma(*values)

        return double(double, double, double), write

    @overload(fma)
    def _fma(a, b, c):  # type: ignore[no-untyped-def]  # numba compares the two signatures
        return lambda a, b, c: fused(a, b, c)  # type: ignore[call-arg]  # numba passes the context

    return jitted(moments), jitted(walk), True


def jitted(loop: Any, *, nogil: bool = False) -> Any:
    """Return a loop compiled by numba, and kept on disk where that can be written.

    Raises:
        ImportError: numba is missing.
    """
    import numba

    try:  # numpy's rules for division: five times quicker than raising on zero
        return numba.njit(loop, cache=True, error_model="numpy", nogil=nogil)
    except RuntimeError:  # no folder to write the cache to
        return numba.njit(loop, error_model="numpy", nogil=nogil)


def compiled() -> bool:
    """Whether the loops are compiled."""
    return bool(_kernels()[2])


def torch_roots(values: Floats64) -> Floats64:
    """Return the roots as this build of torch takes them."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a busy second core makes this twenty times slower, not quicker
    try:
        return torch.from_numpy(values).sqrt().numpy()
    finally:
        torch.set_num_threads(threads)


def ieee_roots(values: Floats64) -> Floats64:
    """Return the correctly rounded roots."""
    import numpy as np

    return np.sqrt(values)


class Recurrence:
    """A run that can be advanced by any number of steps.

    Args:
        game: the losses.
        method: the rule.
        fused: whether ``lerp_`` and ``addcmul_`` round their product.
        roots: takes the roots.
        compile_loops: False runs the loops in Python, as where numba is missing.
    """

    def __init__(
        self, game: Game, method: Method, *, fused: bool, roots: Roots, compile_loops: bool = True
    ) -> None:
        import numpy as np

        self._game, self._method, self._fused, self._roots = game, method, fused, roots
        kernels: tuple[Any, Any, bool] = _kernels() if compile_loops else (moments, walk, False)
        self._moments, self._walk, self._compiled = kernels
        self._state = self._pass(np.zeros(3))
        self._tables = _corrections(method)
        self.gradients = np.array([float(g) for g in game.gradients])
        self.x, self.t = float(game.start), 0

    def _pass(self, values: Floats64) -> Any:
        return values if self._compiled else values.tolist()

    def advance(self, steps: int) -> Floats64:
        """Take that many steps; return where each led."""
        import numpy as np

        t = np.arange(self.t + 1, self.t + steps + 1)
        ahead = (table[self.t : self.t + steps] for table in self._tables)
        first, inner, outer = (np.append(table, np.ones(steps - len(table))) for table in ahead)
        m, u = self._averages(self._state, t, inner)
        denominator = self._roots(u) / outer + float(self._method.eps)
        alpha = float(self._game.alpha)
        size = -((alpha / np.sqrt(t) if self._game.decay else alpha) / first)
        out = self._pass(size * m / denominator)
        self.x = self._walked(self.x, out, out)
        self.t += steps
        return np.asarray(out)

    def _averages(self, state: Any, t: NDArray[np.int64], inner: Floats64) -> tuple[Floats64, Floats64]:
        """Carry the state through the steps t; return m, and what the root is taken of."""
        import numpy as np

        g = self.gradients[(t - 1) % len(self.gradients)]
        beta1, beta2 = (float(beta) for beta in self._method.betas)
        m, u = (self._pass(np.empty(len(t))) for _ in range(2))
        given, keep = (self._pass(g), self._pass(inner)), self._method.amsgrad
        self._moments(state, *given, beta1, beta2, self._fused, keep, m, u)
        return np.asarray(m), np.asarray(u)

    def _walked(self, x: float, push: Any, out: Any) -> float:
        """Return where the pushes lead from x; ``out``, which may be they, receives every step of it."""
        low, high = float(self._game.low), float(self._game.high)
        return float(self._walk(x, push, low, high, out))


@cache
def _corrections(method: Method) -> tuple[Floats64, Floats64, Floats64]:
    """Return, for t = 1, 2, … until all are exactly 1, what m, v and √u are divided by."""
    import numpy as np

    beta1, beta2 = (float(beta) for beta in method.betas)
    rows, t = [(1.0, 1.0, 1.0)], 0.0
    while method.correction != "none" and (t == 0 or rows[-1] != (1.0, 1.0, 1.0)):
        t += 1
        first, second = 1 - beta1**t, 1 - beta2**t
        before = method.correction == "before_max"
        rows.append((first, second, 1.0) if before else (first, 1.0, second**0.5))
    table = np.array(rows[1:] or rows)
    return table[:, 0].copy(), table[:, 1].copy(), table[:, 2].copy()
