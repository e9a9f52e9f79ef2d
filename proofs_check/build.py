"""Construct an optimizer from its class and options, with plain or symbolic hyper-parameters.

A float option becomes a symbol (its number only picks the branch); zero, booleans, strings and None
stay what they are, since they choose another rule.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from ..theory import symbols as sym
from .symbolic import LiftError, SymbolicFloat, plain

#: Generic numbers for each symbol: the lifts must agree on all sets, so a number that lost its
#: symbol shows itself by moving.  They straddle 1 and 1/2, so that rounding to an integer shows too.
VALUE_SETS: tuple[dict[str, float], ...] = (
    {"alpha": 0.37, "beta1": 0.83, "beta2": 0.91, "beta3": 0.77, "eps": 0.0625, "lambda_": 0.21,
     "mu": 0.59, "tau": 0.29, "rho": 0.87, "eta": 0.43, "psi": 0.017},
    {"alpha": 2.71, "beta1": 0.41, "beta2": 0.453, "beta3": 0.39, "eps": 1.375, "lambda_": 0.127,
     "mu": 0.31, "tau": 0.67, "rho": 0.29, "eta": 1.19, "psi": 0.23},
)  # fmt: skip

#: For symbols without generic numbers, and where a constructor or a branch refuses those: powers
#: of a number in (0, 1), multiples of another.
_MOVES = ((1.7, 2.3), (0.45, 0.61), (0.9, 1.1), (1.1, 0.9), (0.97, 1.03))

#: Names that formulas use for other things than an option of that name.
_RESERVED = re.compile(rf"{'|'.join(sym.DOMAINS)}|x|g\d*|.*_new")

#: What an option that must be given, and was not, is taken to be.
_NEEDED = VALUE_SETS[0]


@dataclass(frozen=True)
class Recipe:
    """How to construct an optimizer: its class and the options that differ from the defaults."""

    cls: type[torch.optim.Optimizer]
    options: Mapping[str, Any] = field(default_factory=dict)

    def arguments(self) -> dict[str, Any]:
        """Return every constructor argument with its value: the options over the defaults.

        Raises:
            LiftError: an option is unknown, or a needed argument has no value.
        """
        try:
            parameters = list(inspect.signature(self.cls).parameters.values())[1:]
        except (TypeError, ValueError):
            raise LiftError(f"the options of {self.cls.__name__} cannot be read") from None
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
        known = {p.name for p in parameters}
        for name in self.options:
            if name not in known and not takes_any:
                raise LiftError(f"{self.cls.__name__} has no option {name!r}; it has {sorted(known)}")
        out: dict[str, Any] = {}
        for p in parameters:
            if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
                continue
            if p.name not in self.options and p.default is p.empty:
                if p.name not in sym.OPTIONS:
                    raise LiftError(
                        f"{self.cls.__name__} needs the option {p.name!r}: give it with "
                        f"-o {p.name}=VALUE"
                    )
                out[p.name] = _NEEDED[sym.OPTIONS[p.name]]
            else:
                out[p.name] = self.options.get(p.name, p.default)
        return {**out, **self.options}

    @cached_property
    def _rates(self) -> dict[str, float]:
        """The options that become symbols, ``betas[0]`` apart from ``betas[1]``, with numbers."""
        found: dict[str, float] = {}
        for name, value in self.arguments().items():
            _map(name, value, found.setdefault)
        return found

    @cached_property
    def _names(self) -> dict[str, str]:
        """Option -> symbol: the paper's where its domain holds the number, each symbol once."""
        names: dict[str, str] = {}
        order = {option: place for place, option in enumerate(sym.OPTIONS)}
        for option in sorted(self._rates, key=lambda o: order.get(o, len(order))):
            name = sym.OPTIONS.get(option, "")
            if not name or name in names.values() or not _within(name, self._rates[option]):
                name = sym.safe(option)
                while name in names.values() or _RESERVED.fullmatch(name):
                    name += "_"
            names[option] = name
        return {option: names[option] for option in self._rates}

    def symbols(self) -> dict[str, float]:
        """Return the symbols that the rule has, with the number that the options give each."""
        return {self._names[option]: number for option, number in self._rates.items()}

    def sources(self) -> dict[str, str]:
        """Return symbol -> the option it stands for."""
        return {symbol: option for option, symbol in self._names.items()}

    def numbers(self) -> Iterator[dict[str, float]]:
        """Yield sets of numbers for the symbols: generic ones first, then the user's own, moved."""
        own = self.symbols()
        for generic, move in zip(VALUE_SETS, _MOVES, strict=False):
            yield {n: generic.get(n, _moved(v, move)) for n, v in own.items()}
        for move in _MOVES:
            yield {n: _moved(v, move) for n, v in own.items()}

    @cached_property
    def device(self) -> str:
        """Where the optimizer is run while it is lifted: its capturable form runs on a GPU only."""
        wanted = self.arguments().get("capturable") and torch.cuda.is_available()
        return "cuda" if wanted else "cpu"

    def build(
        self, parameters: list[torch.nn.Parameter], values: Mapping[str, float], *, symbolic: bool
    ) -> torch.optim.Optimizer:
        """Construct the optimizer with these numbers for its symbols.

        Raises:
            LiftError: the constructor raises.
        """

        def fill(option: str, number: float) -> float:
            symbol = self._names[option]
            chosen = float(values.get(symbol, number))
            return SymbolicFloat(chosen, sym.symbol(symbol)) if symbolic else chosen

        arguments = {n: _map(n, v, fill) for n, v in self.arguments().items()}
        try:
            return self.cls(parameters, **arguments)
        except LiftError:
            raise
        except (Exception, SystemExit) as error:
            shown = ", ".join(f"{n}={plain(v)!r}" for n, v in arguments.items())
            raise LiftError(f"the constructor {self.cls.__name__}({shown}) fails: {error}") from error


def _is_rate(option: str, value: Any) -> bool:
    """Whether an option becomes a symbol: a float, or a whole number where a rate is expected."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value == 0:
        return False
    return isinstance(value, float) or option in sym.OPTIONS


def _within(symbol: str, number: float) -> bool:
    """Whether a number is in the domain that the paper's symbol has."""
    above = {"unit": 0 <= number < 1, "real": True}
    return above.get(sym.DOMAINS.get(symbol, "real"), number >= 0)


def _moved(number: float, move: tuple[float, float]) -> float:
    power, factor = move
    return number**power if 0 < number < 1 else number * factor


def _map(option: str, value: Any, visit: Callable[[str, float], Any]) -> Any:
    """Return the value with each option that becomes a symbol replaced by ``visit``'s answer."""
    if isinstance(value, list | tuple):
        parts = (_map(f"{option}[{i}]", part, visit) for i, part in enumerate(value))
        return type(value)(parts)
    return visit(option, float(value)) if _is_rate(option, value) else value
