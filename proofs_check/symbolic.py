"""A float that carries its formula: what hyper-parameters are while a rule is being lifted.

It behaves as its number, so the optimizer's own code runs unchanged, and every arithmetic result
carries the formula along.  A comparison answers with the number and *records the branch*.  Anything
that would turn it into a plain number (``float()``, ``int()``, NumPy, ``math.floor``) stops the lift,
for good: code that swallows the error does not start it again.

What C code reads straight from the float (``from math import sqrt``, ``struct``, ``json``) cannot be
refused here; the plain number that it makes moves with the numbers put in, and ``lift`` sees that.
"""

from __future__ import annotations

import math
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from types import FrameType
from typing import Any, NoReturn

import numpy as np
import sympy as sp
import torch


class LiftError(Exception):
    """The lift stopped: something has no exact meaning.

    Attributes:
        operation: what was called.
        place: ``file:line`` of the code that called it.
    """

    def __init__(self, message: str, operation: str = "", place: str = "") -> None:
        at = f" (at {place})" if place else ""
        super().__init__(f"{message}{at}")
        self.operation, self.place = operation, place


@dataclass
class Record:
    """What a run does besides computing: the branches it takes, and why its lift stopped.

    Attributes:
        branches: the comparisons on symbolic values with their outcomes, in order, each once.
        stopped: the first error; it stands even if the optimizer's own code swallows it.
    """

    branches: list[tuple[sp.Basic, bool]] = field(default_factory=list)
    stopped: LiftError | None = None

    def branch(self, condition: Any, outcome: bool) -> bool:
        """Note a condition and return the outcome; what SymPy knows for sure is no branch.

        Raises:
            LiftError: the numbers decide otherwise than the symbols' domains allow.
        """
        condition = _solved(condition)
        if condition in (sp.true, sp.false):
            if bool(condition) != outcome:
                stop("comparing", "came out as the domains of the symbols do not allow")
            return outcome
        if (condition, outcome) not in self.branches:
            self.branches.append((condition, outcome))
        return outcome


def branch(condition: Any, outcome: bool) -> bool:
    """Note a branch in the record of the lift, if there is one, and return the outcome."""
    return _active[-1].branch(condition, outcome) if _active else outcome


def _solved(condition: Any) -> Any:
    """Return t < 7 for t/7 < 1: enclosures decide the one at t = 7, but not the other."""
    free = condition.free_symbols
    linear = (condition.lhs - condition.rhs).as_poly(*free) if len(free) == 1 else None
    if linear is None or linear.degree() != 1:
        return condition
    slope, rest = linear.all_coeffs()
    kind = condition.func if slope > 0 else condition.reversed.func
    return kind(linear.gen, -rest / slope)


_active: list[Record] = []


@contextmanager
def recording() -> Iterator[Record]:
    """Record what happens inside the block.

    Raises:
        LiftError: the lift stopped inside, whatever became of the error there.
    """
    record = Record()
    _active.append(record)
    try:
        yield record
    finally:
        _active.pop()
        if record.stopped is not None:
            raise record.stopped


def _folder(path: str) -> str:
    return os.path.join(path, "")


_HERE = _folder(os.path.dirname(__file__))
_INSTRUMENTS = tuple(os.sep + name for name in ("symbolic.py", "shadow.py", "operations.py"))
_STDLIB = _folder(sysconfig.get_path("stdlib"))
_TORCH = _folder(os.path.dirname(torch.__file__))
_LIBRARIES = (_TORCH, *(_folder(os.path.dirname(str(m.__file__))) for m in (np, sp)))


def _is_library(path: str) -> bool:
    """Whether a file is a library's, not an optimizer's; torch's optimizers are optimizers."""
    if path.startswith(_TORCH + "optim") and not path.endswith("optimizer.py"):
        return False
    if path.startswith(_LIBRARIES) or path.startswith("<"):
        return True
    return path.startswith(_STDLIB) and not path.startswith(_STDLIB + "site-packages")


def caller() -> str:
    """Return ``file:line`` of the innermost code that is the optimizer's, or else any library's."""
    frame: FrameType | None = sys._getframe(1)
    found = ""
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(_HERE) and not path.endswith(_INSTRUMENTS):
            break  # from here on outwards it is the lifter that called the optimizer
        if not path.startswith(_HERE):
            if not _is_library(path):
                return f"{path}:{frame.f_lineno}"
            found = found or f"{path}:{frame.f_lineno}"
        frame = frame.f_back
    return found


def stop(what: str, why: str) -> NoReturn:
    """Stop the lift, naming the operation and the source line that called it.

    Raises:
        LiftError: always.
    """
    error = LiftError(f"the operation {what} {why}", what, caller())
    if _active:
        _active[-1].stopped = _active[-1].stopped or error
    raise error


def exact(value: Any, what: str = "a constant") -> sp.Expr:
    """Return the formula of a number: a symbolic float's own, a decimal constant as it is written.

    Raises:
        LiftError: the value is no finite real number.
    """
    if isinstance(value, SymbolicFloat):
        return value.expr
    if isinstance(value, bool | int):
        return sp.Integer(int(value))
    if isinstance(value, float) and math.isfinite(value):
        fraction = Fraction(repr(float(value)))
        return sp.Rational(fraction.numerator, fraction.denominator)
    stop(what, f"was given {value!r}, which is no finite real number")


def _binary(name: str, combine: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    operation = getattr(float, name)

    def method(self: SymbolicFloat, other: Any) -> Any:
        if not isinstance(other, int | float):
            return NotImplemented
        number = operation(self, other)
        if number is NotImplemented:
            # float refuses an int that it cannot hold; nothing else gets here
            stop(name, f"has no value for {other!r}")
        if isinstance(number, complex):
            stop(name, "left the real numbers (a negative base under a root)")
        if not math.isfinite(number):
            stop(name, "leaves the finite numbers")
        return SymbolicFloat(number, combine(self.expr, exact(other, name)))

    return method


def _compare(name: str, relation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    operation = getattr(float, name)

    def method(self: SymbolicFloat, other: Any) -> Any:
        if not isinstance(other, int | float):
            return NotImplemented
        outcome = bool(operation(self, other))
        if not _active or not math.isfinite(other):
            return outcome
        return _active[-1].branch(relation(self.expr, exact(other)), outcome)

    return method


def _refuse(name: str) -> Callable[..., Any]:
    def method(self: SymbolicFloat, *args: Any) -> NoReturn:
        stop(f"{name} on the symbolic value {self.expr}", "would lose its formula")

    return method


class SymbolicFloat(float):
    """A float with the formula that it is the value of."""

    expr: sp.Expr
    __array_ufunc__ = None  # NumPy must not swallow it

    def __new__(cls, value: float, expr: sp.Expr) -> SymbolicFloat:
        """Make the float ``value`` that stands for ``expr``."""
        self = super().__new__(cls, value)
        self.expr = expr
        return self

    def __neg__(self) -> SymbolicFloat:
        return SymbolicFloat(float.__neg__(self), -self.expr)

    def __pos__(self) -> SymbolicFloat:
        return self

    def __abs__(self) -> SymbolicFloat:
        return SymbolicFloat(float.__abs__(self), sp.Abs(self.expr))

    def __bool__(self) -> bool:
        outcome = float.__bool__(self)
        return _active[-1].branch(sp.Ne(self.expr, 0), outcome) if _active else outcome

    def __reduce__(self) -> NoReturn:
        stop(f"pickling the symbolic value {self.expr}", "would lose its formula")

    def __copy__(self) -> SymbolicFloat:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> SymbolicFloat:
        return self

    real = property(lambda self: self)
    __add__ = _binary("__add__", lambda a, b: a + b)
    __radd__ = _binary("__radd__", lambda a, b: b + a)
    __sub__ = _binary("__sub__", lambda a, b: a - b)
    __rsub__ = _binary("__rsub__", lambda a, b: b - a)
    __mul__ = _binary("__mul__", lambda a, b: a * b)
    __rmul__ = _binary("__rmul__", lambda a, b: b * a)
    __truediv__ = _binary("__truediv__", lambda a, b: a / b)
    __rtruediv__ = _binary("__rtruediv__", lambda a, b: b / a)
    __pow__ = _binary("__pow__", lambda a, b: a**b)  # type: ignore[assignment]
    __rpow__ = _binary("__rpow__", lambda a, b: b**a)  # type: ignore[assignment]
    __lt__ = _compare("__lt__", sp.Lt)
    __le__ = _compare("__le__", sp.Le)
    __gt__ = _compare("__gt__", sp.Gt)
    __ge__ = _compare("__ge__", sp.Ge)
    __eq__ = _compare("__eq__", sp.Eq)
    __ne__ = _compare("__ne__", sp.Ne)
    for _name in ("__float__", "__int__", "__index__", "__trunc__", "__floor__", "__ceil__",
                  "__round__", "__floordiv__", "__rfloordiv__", "__mod__", "__rmod__", "__divmod__",
                  "__rdivmod__", "__and__", "__or__", "__xor__", "__lshift__", "__rshift__",
                  "__rand__", "__ror__", "__rxor__", "__invert__", "__array__", "__complex__",
                  "is_integer", "hex", "as_integer_ratio", "conjugate", "__getnewargs__",
                  # as a key of a dictionary, or of a cache, it would be taken for its number
                  "__hash__"):  # fmt: skip
        locals()[_name] = _refuse(_name)
    del _name


def plain(value: Any) -> Any:
    """Return the value with every symbolic float (in lists, tuples, dicts too) as a plain one."""
    if isinstance(value, SymbolicFloat):
        return float.__add__(value, 0.0)
    if type(value) in (list, tuple):
        return type(value)(plain(v) for v in value)
    if type(value) is dict:
        return {k: plain(v) for k, v in value.items()}
    return value


def _symbolic(value: Any) -> bool:
    """Whether a symbolic float is, or is in, the value."""
    if isinstance(value, list | tuple):
        return any(_symbolic(v) for v in value)
    return isinstance(value, SymbolicFloat)


_MATH: dict[str, Callable[[Any], Any]] = {"sqrt": sp.sqrt, "fabs": sp.Abs}


@contextmanager
def math_shim() -> Iterator[None]:
    """While active, ``math`` keeps the formula through ``sqrt``, ``fabs`` and ``pow``, else stops.

    Code that bound ``from math import sqrt`` earlier escapes the shim; the plain number that it
    makes differs between the lift's value sets, and that stops the lift.
    """
    saved = {n: f for n, f in vars(math).items() if callable(f) and not n.startswith("_")}

    def guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not _symbolic((*args, *kwargs.values())):
                return function(*args, **kwargs)
            if name in _MATH and len(args) == 1:
                return SymbolicFloat(function(plain(args[0])), _MATH[name](exact(args[0])))
            if name == "pow" and len(args) == 2:
                number = function(*plain(args))
                return SymbolicFloat(number, exact(args[0]) ** exact(args[1]))
            stop(f"math.{name}", "has no exact meaning here")

        return call

    shim: dict[str, Any] = {n: guarded(n, f) for n, f in saved.items()}
    # isfinite, isnan, isinf ask about the number alone, and are how constructors check ranges
    for name in ("isfinite", "isnan", "isinf"):
        shim[name] = _on_number(saved[name])
    vars(math).update(shim)
    try:
        yield
    finally:
        vars(math).update(saved)


def _on_number(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda value: function(plain(value))
