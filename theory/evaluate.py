"""Evaluate a formula in any exact or enclosing arithmetic: `Interval` here, Arb in the judge.

The expression is compiled once to plain Python over an *arithmetic*, an object that gives numbers,
roots, maxima and powers a meaning.  Nothing is rounded unless the arithmetic rounds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Protocol

from .identity import Unsupported
from .interval import Interval


class Arithmetic(Protocol):
    """What a formula is evaluated in."""

    def number(self, value: Fraction) -> Any:
        """Return a rational constant."""

    def sqrt(self, value: Any) -> Any:
        """Return the non-negative square root."""

    def power(self, base: Any, exponent: Any) -> Any:
        """Return base**exponent for an exponent that is itself a value."""

    def maximum(self, values: list[Any]) -> Any:
        """Return the largest value."""

    def sign(self, value: Any) -> Any:
        """Return -1, 0 or 1."""

    def exp(self, value: Any) -> Any:
        """Return e**value."""


class Exact:
    """Rational arithmetic, with enclosures for irrational roots."""

    def number(self, value: Fraction) -> Interval:
        """Return the constant."""
        return Interval.of(value)

    def sqrt(self, value: Interval) -> Interval:
        """Return the root."""
        return value.sqrt()

    def power(self, base: Interval, exponent: Interval) -> Interval:
        """Return base**exponent.

        Raises:
            Unsupported: the exponent is no integer.
        """
        if not exponent.exact or exponent.lo.denominator != 1:
            raise Unsupported(f"the power {exponent} of a rational is not rational")
        return base.power(exponent.lo.numerator)

    def maximum(self, values: list[Interval]) -> Interval:
        """Return the largest value."""
        out = values[0]
        for value in values[1:]:
            out = out.maximum(value)
        return out

    def sign(self, value: Interval) -> Interval:
        """Return the sign.

        Raises:
            Unsupported: it is not certain.
        """
        if value.lo > 0:
            return Interval.of(1)
        if value.hi < 0:
            return Interval.of(-1)
        if value.lo == value.hi == 0:
            return Interval.of(0)
        raise Unsupported("the sign of an enclosure that holds 0")

    def exp(self, value: Interval) -> Interval:
        """Return 1 at 0.

        Raises:
            Unsupported: anywhere else, e**value is irrational.
        """
        if value.exact and value.lo == 0:
            return Interval.of(1)
        raise Unsupported("the exponential of a rational is not rational")


def compiled(
    exprs: Mapping[str, Any], arithmetic: Arithmetic, *, chained: Mapping[str, str] | None = None
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Compile named expressions to one function of an environment.

    Args:
        exprs: name -> SymPy expression, in evaluation order.
        arithmetic: what to evaluate in.
        chained: name -> symbol under which a result is visible to the expressions after it.

    Returns:
        A function from symbol values (by name) to results (by name).

    Raises:
        Unsupported: a formula holds something that has no exact meaning.
    """
    space: dict[str, Any] = {"_a": arithmetic}
    writer = _Writer(space, arithmetic)
    body, made = [], set[str]()
    for index, (name, expr) in enumerate(exprs.items()):
        body.append(f"    _r{index} = {writer.write(expr)}")
        if chained and name in chained:
            body.append(f"    {writer.local(chained[name])} = _r{index}")
            made.add(chained[name])
    wanted = {s.name for e in exprs.values() for s in e.free_symbols}
    loads = [f"    {writer.local(s)} = _env[{s!r}]" for s in sorted(wanted - made)]
    results = ", ".join(f"{name!r}: _r{i}" for i, name in enumerate(exprs))
    lines = ["def _run(_env):", *loads, *body, f"    return {{{results}}}"]
    exec("\n".join(lines), space)
    run: Callable[[Mapping[str, Any]], dict[str, Any]] = space["_run"]
    return run


class _Writer:
    """Writes an expression tree as Python source over an arithmetic."""

    def __init__(self, space: dict[str, Any], arithmetic: Arithmetic) -> None:
        self.space, self.arithmetic = space, arithmetic
        self.locals: dict[str, str] = {}

    def local(self, symbol: str) -> str:
        """Return the variable of a symbol; numbered, since a symbol may have any name."""
        return self.locals.setdefault(symbol, f"s{len(self.locals)}")

    def constant(self, value: Fraction) -> str:
        name = f"_c{len(self.space)}"
        self.space[name] = self.arithmetic.number(value)
        return name

    def write(self, e: Any) -> str:
        if e.is_Rational:
            return self.constant(Fraction(e.p, e.q))
        if e.is_Symbol:
            return self.local(e.name)
        if e.is_Add or e.is_Mul:
            return "(" + (" + " if e.is_Add else " * ").join(self.write(a) for a in e.args) + ")"
        if e.is_Pow:
            return self._pow(*e.args)
        name = e.func.__name__
        parts = [self.write(a) for a in e.args]
        if name == "Abs":
            return f"abs({parts[0]})"
        if name == "Max":
            return f"_a.maximum([{', '.join(parts)}])"
        if name == "Min":
            return f"(-_a.maximum([{', '.join(f'-{p}' for p in parts)}]))"
        if name in ("sign", "exp"):
            return f"_a.{name}({parts[0]})"
        raise Unsupported(f"no exact meaning for {name} in {e}")

    def _pow(self, base: Any, exponent: Any) -> str:
        inner = self.write(base)
        if exponent.is_Rational and exponent.q in (1, 2):
            root = inner if exponent.q == 1 else f"_a.sqrt({inner})"
            size = abs(exponent.p)
            power = f"_a.power({root}, {self.constant(Fraction(size))})" if size != 1 else root
            return power if exponent.p > 0 else f"({self.constant(Fraction(1))} / {power})"
        return f"_a.power({inner}, {self.write(exponent)})"


EXACT = Exact()


def value(expr: Any, point: Mapping[str, Fraction | int | Interval]) -> Interval:
    """Return the exact value (or enclosure) of an expression at a point.

    Raises:
        Unsupported: it holds something that has no exact meaning.
        ZeroDivisionError: it is not defined there, or its enclosure does not tell.
        ValueError: the same, of a root.
    """
    env = {name: Interval.of(v) for name, v in point.items()}
    result: Interval = compiled({"_": expr}, EXACT)(env)["_"]
    return result
