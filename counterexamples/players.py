"""Who plays in the harness: the paper's rule, exactly or in floats, and real optimizers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

from ..theory.evaluate import Arithmetic, Exact, compiled
from ..theory.interval import Interval
from .record import Optimizer

if TYPE_CHECKING:
    import torch

    from ..theory.rule import Rule


class Counting(Exact):
    """Exact arithmetic that counts its roots: rational ones, and enclosed ones."""

    def __init__(self) -> None:
        self.exact_roots = self.enclosed_roots = 0

    def sqrt(self, value: Interval) -> Interval:
        """Return the root."""
        root = super().sqrt(value)
        if root.exact:
            self.exact_roots += 1
        else:
            self.enclosed_roots += 1
        return root


class Floats:
    """Python's floats, one rounding per operation."""

    def number(self, value: Fraction) -> float:
        """Return the nearest float."""
        return float(value)

    def sqrt(self, value: float) -> float:
        """Return the root."""
        return math.sqrt(value)

    def power(self, base: float, exponent: float) -> float:
        """Return the power."""
        return float(base**exponent)

    def maximum(self, values: list[float]) -> float:
        """Return the largest."""
        return max(values)

    def sign(self, value: float) -> float:
        """Return -1, 0 or 1."""
        return math.copysign(1.0, value) if value else 0.0

    def exp(self, value: float) -> float:
        """Return e**value."""
        return math.exp(value)


FLOATS = Floats()


class Written(Protocol):
    """A rule on paper with its numbers, but for the rate: `harness.Method`, for one."""

    def rule(self) -> Rule:
        """Return the rule, which has one regime."""

    def point(self) -> dict[str, Fraction]:
        """Return its constants under the paper's names."""


class Paper:
    """The rule as the paper writes it, in any arithmetic.

    Args:
        method: the rule.
        arithmetic: what it is evaluated in.
        start: where x begins.
        state: where the state begins; by default as the paper has it.
    """

    def __init__(
        self,
        method: Written,
        arithmetic: Arithmetic,
        start: Fraction,
        state: Mapping[str, Fraction] | None = None,
    ) -> None:
        from ..theory import symbols as sym

        rule = method.rule()
        (regime,) = rule.regimes
        self.arithmetic = arithmetic
        self._old = {name: sym.old(name).name for name in rule.initial}
        chained = {name: sym.new(name).name for name in rule.initial}
        self._step = compiled(regime.new, arithmetic, chained=chained)
        self._env = {n: arithmetic.number(v) for n, v in rule.fill(method.point()).items()}
        self._values = {"x": arithmetic.number(start), **compiled(rule.initial, arithmetic)({})}
        self._values |= {name: arithmetic.number(v) for name, v in (state or {}).items()}
        self._t = 0

    @property
    def x(self) -> Any:
        """Where it stands."""
        return self._values["x"]

    def state(self, name: str) -> Any:
        """Return a state entry of the rule."""
        return self._values[name]

    def step(self, gradient: Any, rate: Any) -> None:
        """Take one step of the rule."""
        self._t += 1
        self._env |= {symbol: self._values[name] for name, symbol in self._old.items()}
        self._env |= {"x": self.x, "g": gradient, "alpha": rate}
        self._env["t"] = self.arithmetic.number(Fraction(self._t))
        self._values = self._step(self._env)

    def clamp(self, low: Fraction, high: Fraction) -> None:
        """Go to the nearest point of the interval."""
        number, maximum = self.arithmetic.number, self.arithmetic.maximum
        raised = maximum([self.x, number(low)])
        self._values["x"] = -maximum([-raised, -number(high)])


class Real:
    """A real optimizer on one float64 parameter; the rate is set before each step."""

    def __init__(self, make: Optimizer, start: Fraction, device: str = "cpu") -> None:
        import torch

        self.arithmetic: Arithmetic = FLOATS
        self._torch = torch
        self._x = torch.nn.Parameter(torch.tensor([start], dtype=torch.float64, device=device))
        self._optimizer = make([self._x])
        self._gradients: dict[float, torch.Tensor] = {}

    @property
    def x(self) -> float:
        """Where it stands."""
        return self._x.item()

    def step(self, gradient: float, rate: float) -> None:
        """Take one step of the optimizer."""
        if gradient not in self._gradients:
            self._gradients[gradient] = self._torch.full_like(self._x, gradient)
        self._x.grad = self._gradients[gradient]
        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.step()

    def clamp(self, low: Fraction, high: Fraction) -> None:
        """Go to the nearest point of the interval."""
        with self._torch.no_grad():
            self._x.clamp_(float(low), float(high))
