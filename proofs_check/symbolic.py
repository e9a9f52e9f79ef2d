"""A float that carries its formula: what hyper-parameters are while a rule is being lifted.

It behaves as its number, so the optimizer's own code runs unchanged, and every arithmetic result
carries the formula along.  A comparison answers with the number and *records the branch*.  Anything
that would turn it into a plain number (``float()``, ``int()``, NumPy, ``math.floor``) stops the lift.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from types import FrameType
from typing import Any, NoReturn

import sympy as sp


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
class Branches:
    """The comparisons on symbolic values that a run made, in order, each once."""

    taken: list[tuple[sp.Basic, bool]] = field(default_factory=list)

    def record(self, condition: sp.Basic, outcome: bool) -> bool:
        """Note a condition and return the outcome; what SymPy knows for sure is no branch."""
        if condition not in (sp.true, sp.false) and (condition, outcome) not in self.taken:
            self.taken.append((condition, outcome))
        return outcome


_active: list[Branches] = []


@contextmanager
def recording() -> Iterator[Branches]:
    """Record the branches taken inside the block."""
    branches = Branches()
    _active.append(branches)
    try:
        yield branches
    finally:
        _active.pop()


_OURS = ("proofs_check/symbolic.py", "proofs_check/shadow.py", "proofs_check/operations.py")
_TORCH_PLUMBING = ("torch/overrides.py", "torch/_tensor.py", "torch/utils/_contextlib.py")


def caller() -> str:
    """Return ``file:line`` of the innermost frame that is neither ours nor torch's plumbing."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename.replace("\\", "/")
        if not name.endswith(_OURS + _TORCH_PLUMBING) and not name.startswith("<"):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return "unknown place"


def stop(what: str, why: str) -> NoReturn:
    """Stop the lift, naming the operation and the source line that called it.

    Raises:
        LiftError: always.
    """
    raise LiftError(f"the operation {what} {why}", what, caller())


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
        return SymbolicFloat(number, combine(self.expr, exact(other)))

    return method


def _compare(name: str, relation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    operation = getattr(float, name)

    def method(self: SymbolicFloat, other: Any) -> Any:
        if not isinstance(other, int | float):
            return NotImplemented
        outcome = bool(operation(self, other))
        if not _active or not math.isfinite(other):
            return outcome
        return _active[-1].record(relation(self.expr, exact(other)), outcome)

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
        return _active[-1].record(sp.Ne(self.expr, 0), outcome) if _active else outcome

    def __reduce__(self) -> NoReturn:
        stop(f"pickling the symbolic value {self.expr}", "would lose its formula")

    def __deepcopy__(self, memo: dict[int, Any]) -> SymbolicFloat:
        return self

    __hash__ = float.__hash__
    __add__ = _binary("__add__", lambda a, b: a + b)
    __radd__ = _binary("__radd__", lambda a, b: b + a)
    __sub__ = _binary("__sub__", lambda a, b: a - b)
    __rsub__ = _binary("__rsub__", lambda a, b: b - a)
    __mul__ = _binary("__mul__", lambda a, b: a * b)
    __rmul__ = _binary("__rmul__", lambda a, b: b * a)
    __truediv__ = _binary("__truediv__", lambda a, b: a / b)
    __rtruediv__ = _binary("__rtruediv__", lambda a, b: b / a)
    __pow__ = _binary("__pow__", lambda a, b: a**b)
    __rpow__ = _binary("__rpow__", lambda a, b: b**a)
    __lt__ = _compare("__lt__", sp.Lt)
    __le__ = _compare("__le__", sp.Le)
    __gt__ = _compare("__gt__", sp.Gt)
    __ge__ = _compare("__ge__", sp.Ge)
    __eq__ = _compare("__eq__", sp.Eq)
    __ne__ = _compare("__ne__", sp.Ne)
    for _name in ("__float__", "__int__", "__trunc__", "__floor__", "__ceil__", "__round__",
                  "__floordiv__", "__rfloordiv__", "__mod__", "__rmod__", "__divmod__",
                  "__rdivmod__", "__array__", "__complex__", "is_integer", "hex",
                  "as_integer_ratio", "conjugate"):  # fmt: skip
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
            if not any(isinstance(a, SymbolicFloat) for a in (*args, *kwargs.values())):
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
