"""A rule's own step, written down while it runs on stand-ins: what a kernel is generated from.

The pure function of a rule (``adam``, ``adamw``, …) is called once.  Its tensors are `Element`, an
expression for each coordinate; its hyper-parameters and its step are `Number`, an expression that is
worked out in double on the host, once per step.  A comparison of numbers is a *guard*: what was written
down holds as long as it comes out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

Hyper = Mapping[str, Any]


class Untraceable(TypeError):
    """The rule does something that a kernel has no form for; the message names it."""


@dataclass(eq=False)
class Trace:
    """What is written down.

    Attributes:
        numbers: the source of each number that a coordinate is combined with.
        guards: the source of each comparison, and how it came out.
        lines: operation and operands of each expression, in order; equal ones once.
    """

    numbers: list[str] = field(default_factory=list)
    guards: list[tuple[str, bool]] = field(default_factory=list)
    lines: dict[tuple[Any, ...], Element] = field(default_factory=dict)

    def element(self, operation: str, *operands: Any) -> Element:
        """Return the expression, made once."""
        key = (operation, *(("v", o.place) if isinstance(o, Element) else o for o in operands))
        if key not in self.lines:
            self.lines[key] = Element(self, len(self.lines), operation, operands)
        return self.lines[key]

    def index(self, number: Number) -> int:
        """Return the place of a number among the arguments of the kernel."""
        if number.source not in self.numbers:
            self.numbers.append(number.source)
        return self.numbers.index(number.source)


def _number(trace: Trace, value: Any) -> Number:
    return value if isinstance(value, Number) else Number(trace, repr(float(value)), float(value))


@dataclass(eq=False)
class Number:
    """A number that is known before the kernel runs, as Python source in ``h``, ``t`` and ``s``."""

    trace: Trace
    source: str
    value: float

    @property
    def literal(self) -> float | None:
        """The value where it is the same at every step."""
        varying = any(sign in self.source for sign in ("h[", "s[", "t"))
        return None if varying else self.value

    def _with(self, other: Any, sign: str, work: Callable[[float, float], float]) -> Any:
        if isinstance(other, Element):
            return NotImplemented
        other = _number(self.trace, other)
        value = work(self.value, other.value)
        if self.literal is not None and other.literal is not None:
            return Number(self.trace, repr(value), value)
        return Number(self.trace, f"({self.source} {sign} {other.source})", value)

    def __add__(self, other: Any) -> Any:
        return self._with(other, "+", lambda a, b: a + b)

    def __sub__(self, other: Any) -> Any:
        return self._with(other, "-", lambda a, b: a - b)

    def __mul__(self, other: Any) -> Any:
        if not isinstance(other, Element):
            other = _number(self.trace, other)
            if 0.0 in (self.literal, other.literal):
                return Number(self.trace, "0.0", 0.0)  # a part that is left out, however it is scaled
        return self._with(other, "*", lambda a, b: a * b)

    def __truediv__(self, other: Any) -> Any:
        return self._with(other, "/", lambda a, b: a / b)

    def __pow__(self, other: Any) -> Any:
        return self._with(other, "**", lambda a, b: float(a**b))

    def __radd__(self, other: Any) -> Any:
        return _number(self.trace, other) + self

    def __rsub__(self, other: Any) -> Any:
        return _number(self.trace, other) - self

    def __rmul__(self, other: Any) -> Any:
        return _number(self.trace, other) * self

    def __rtruediv__(self, other: Any) -> Any:
        return _number(self.trace, other) / self

    def __rpow__(self, other: Any) -> Any:
        return _number(self.trace, other) ** self

    def __neg__(self) -> Any:
        return 0.0 - self

    def _compared(self, other: Any, sign: str, outcome: bool) -> bool:
        other = _number(self.trace, other)
        if self.literal is None or other.literal is None:
            self.trace.guards.append((f"{self.source} {sign} {other.source}", outcome))
        return outcome

    def __lt__(self, other: Any) -> bool:
        return self._compared(other, "<", self.value < _number(self.trace, other).value)

    def __le__(self, other: Any) -> bool:
        return self._compared(other, "<=", self.value <= _number(self.trace, other).value)

    def __gt__(self, other: Any) -> bool:
        return self._compared(other, ">", self.value > _number(self.trace, other).value)

    def __ge__(self, other: Any) -> bool:
        return self._compared(other, ">=", self.value >= _number(self.trace, other).value)

    def __eq__(self, other: object) -> bool:
        return self._compared(other, "==", self.value == _number(self.trace, other).value)

    def __ne__(self, other: object) -> bool:
        return self._compared(other, "!=", self.value != _number(self.trace, other).value)

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        return self != 0.0

    def __float__(self) -> float:
        raise Untraceable("it turns a hyper-parameter or the step into a plain number")

    __int__ = __index__ = __float__


@dataclass(eq=False)
class Element:
    """An expression for each coordinate of a parameter."""

    trace: Trace
    place: int
    operation: str
    operands: tuple[Any, ...]

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Stand in for a tensor in the functions of torch that rules use."""
        name = getattr(func, "__name__", "")
        if kwargs or name not in _FUNCTIONS:
            raise Untraceable(f"torch.{name}, for which a kernel has no form")
        return _FUNCTIONS[name](*args)

    def _is(self, value: float) -> bool:
        return self.operation == "constant" and self.operands == (value,)

    def sqrt(self) -> Element:
        """Return the square root."""
        return self.trace.element("sqrt", self)

    def abs(self) -> Element:
        """Return the absolute value."""
        return self.trace.element("abs", self)

    def sign(self) -> Element:
        """Return −1, 0 or 1."""
        return self.trace.element("sign", self)

    def maximum(self, other: Any) -> Element:
        """Return the larger one; NaN where one is."""
        return self.trace.element("max", self, _element(self.trace, other))

    def minimum(self, other: Any) -> Element:
        """Return the smaller one; NaN where one is."""
        return self.trace.element("min", self, _element(self.trace, other))

    def __add__(self, other: Any) -> Element:
        other = _element(self.trace, other)
        if other._is(0.0):
            return self
        return other if self._is(0.0) else self.trace.element("+", self, other)

    def __sub__(self, other: Any) -> Element:
        other = _element(self.trace, other)
        return self if other._is(0.0) else self.trace.element("-", self, other)

    def __mul__(self, other: Any) -> Element:
        other = _element(self.trace, other)
        for a, b in ((self, other), (other, self)):
            if a._is(0.0):
                return a  # as a rule without that part: an infinity beside it is not looked at
            if a._is(1.0):
                return b
        return self.trace.element("*", self, other)

    def __truediv__(self, other: Any) -> Element:
        other = _element(self.trace, other)
        return self if other._is(1.0) else self.trace.element("/", self, other)

    def __pow__(self, other: Any) -> Element:
        if other == 2:
            return self * self
        raise Untraceable(f"the power {other}, for which a kernel has no form")

    def __radd__(self, other: Any) -> Element:
        return _element(self.trace, other) + self

    def __rsub__(self, other: Any) -> Element:
        return _element(self.trace, other) - self

    def __rmul__(self, other: Any) -> Element:
        return _element(self.trace, other) * self

    def __rtruediv__(self, other: Any) -> Element:
        inverse = self.trace.element("/", _element(self.trace, 1.0), self)
        product: Element = inverse * other  # so does torch, and rounds twice
        return product

    def __neg__(self) -> Element:
        return self.trace.element("neg", self)

    def _compared(self, *_: Any) -> NoReturn:
        raise Untraceable("it branches on the value of a tensor")

    __bool__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _compared
    __float__ = __int__ = __index__ = _compared
    __hash__ = object.__hash__


def _element(trace: Trace, value: Any) -> Element:
    if isinstance(value, Element):
        return value
    number = _number(trace, value)
    if number.literal is not None:
        return trace.element("constant", number.literal)
    return trace.element("number", trace.index(number))


_FUNCTIONS: Final[Mapping[str, Callable[..., Element]]] = {
    "maximum": lambda a, b: a.maximum(b) if isinstance(a, Element) else b.maximum(a),
    "minimum": lambda a, b: a.minimum(b) if isinstance(a, Element) else b.minimum(a),
    "sqrt": Element.sqrt,
    "abs": Element.abs,
    "sign": Element.sign,
    "square": lambda a: a * a,
    "zeros_like": lambda a: a.trace.element("constant", 0.0),
}


def stand_ins(
    trace: Trace, h: Hyper, t: float, scalars: Mapping[str, float]
) -> tuple[dict[str, Any], Number, dict[str, Any]]:
    """Return hyper-parameters, step and scalars as numbers; options, and zeros, as they are.

    A hyper-parameter that is 0 leaves a part of a rule out, so that it is a case of its own.
    """
    kept = {n: Number(trace, f"h[{n!r}]", float(v)) if varies(v) else v for n, v in h.items()}
    numbers = {n: Number(trace, f"s[{n!r}]", v) for n, v in scalars.items()}
    return kept, Number(trace, "t", float(t)), numbers


def varies(value: Any) -> bool:
    """Whether a hyper-parameter is a number that a kernel takes as it comes: not an option, not 0."""
    return isinstance(value, (float, int)) and value is not True and value != 0


def kept(trace: Trace, names: tuple[str, ...], scalars: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of a rule; an entry that is not kept is 0."""
    zero = trace.element("constant", 0.0)
    return _Kept({n: trace.element("buffer", n) for n in names} | dict(scalars), zero)


class _Kept(dict[str, Any]):
    def __init__(self, entries: Mapping[str, Any], zero: Element) -> None:
        super().__init__(entries)
        self.zero = zero

    def __missing__(self, name: str) -> Element:
        return self.zero
