"""Construct an optimizer from its class and options, with plain or symbolic hyper-parameters.

A float option becomes a symbol (its number only picks the branch); zero, booleans, strings and None
stay what they are, since they choose another rule.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..theory import symbols as sym
from .symbolic import LiftError, SymbolicFloat, plain

#: Generic numbers for each symbol: the lifts must agree on all sets, so a number that lost its
#: symbol shows itself by moving.  The rates straddle 1, so that rounding to an integer shows too.
VALUE_SETS: tuple[dict[str, float], ...] = (
    {"alpha": 0.37, "beta1": 0.83, "beta2": 0.91, "beta3": 0.77, "eps": 0.0625, "lambda_": 0.21,
     "mu": 0.59, "tau": 0.29, "rho": 0.87, "eta": 0.43, "psi": 0.017},
    {"alpha": 2.71, "beta1": 0.61, "beta2": 0.953, "beta3": 0.69, "eps": 1.375, "lambda_": 0.127,
     "mu": 0.71, "tau": 0.41, "rho": 0.79, "eta": 0.19, "psi": 0.23},
)  # fmt: skip


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
        parameters = list(inspect.signature(self.cls).parameters.values())[1:]
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
                out[p.name] = VALUE_SETS[0][sym.OPTIONS[p.name]]
            else:
                out[p.name] = self.options.get(p.name, p.default)
        return {**out, **self.options}

    def symbols(self) -> dict[str, float]:
        """Return the symbols that the rule has, with the number that the options give each."""
        found: dict[str, float] = {}
        for name, value in self.arguments().items():
            _map(name, value, lambda symbol, number: found.setdefault(symbol, number))
        return found

    def sources(self) -> dict[str, str]:
        """Return symbol -> the option it stands for."""
        found: dict[str, str] = {}

        def visit(option: str, value: Any) -> None:
            if isinstance(value, list | tuple):
                for i, part in enumerate(value):
                    visit(f"{option}[{i}]", part)
            elif _is_rate(option, value):
                found[_symbol_of(option)] = option

        for name, value in self.arguments().items():
            visit(name, value)
        return found

    def build(
        self, parameters: list[torch.nn.Parameter], values: Mapping[str, float], *, symbolic: bool
    ) -> torch.optim.Optimizer:
        """Construct the optimizer with these numbers for its symbols.

        Raises:
            LiftError: the constructor raises.
        """

        def fill(symbol: str, number: float) -> float:
            chosen = float(values.get(symbol, number))
            return SymbolicFloat(chosen, sym.symbol(symbol)) if symbolic else chosen

        arguments = {n: _map(n, v, fill) for n, v in self.arguments().items()}
        try:
            return self.cls(parameters, **arguments)
        except LiftError:
            raise
        except Exception as error:
            shown = ", ".join(f"{n}={plain(v)!r}" for n, v in arguments.items())
            raise LiftError(
                f"the constructor {self.cls.__name__}({shown}) fails: {error}"
            ) from error


def _is_rate(option: str, value: Any) -> bool:
    """Whether an option becomes a symbol: a float, or a whole number where a rate is expected."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value == 0:
        return False
    return isinstance(value, float) or option in sym.OPTIONS


def _symbol_of(option: str) -> str:
    return sym.OPTIONS.get(option, sym.safe(option))


def _map(option: str, value: Any, visit: Callable[[str, float], Any]) -> Any:
    """Return the value with each float option replaced by ``visit(symbol, number)``."""
    if isinstance(value, list | tuple):
        parts = (_map(f"{option}[{i}]", part, visit) for i, part in enumerate(value))
        return type(value)(parts)
    return visit(_symbol_of(option), float(value)) if _is_rate(option, value) else value
