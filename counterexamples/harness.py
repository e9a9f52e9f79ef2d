"""One loop, one schedule, one clamp: for the paper's rule, for torch.optim and for our optimizers.

A *game* is a periodic sequence of linear losses f_t(x) = g_t x on an interval.  A *player* is
anything that takes a gradient and a rate: the paper's rule in exact or float arithmetic, or a real
optimizer on one float64 parameter.  Reddi, Kale & Kumar (2018) set the rate to α/√t and project
after the step, which on an interval is clamping.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ..theory.evaluate import Arithmetic, Exact, compiled
from ..theory.interval import Interval

if TYPE_CHECKING:
    import torch

    from ..theory.rule import Rule

Optimizer = Callable[[list[Any]], "torch.optim.Optimizer"]


@dataclass(frozen=True)
class Game:
    """Losses f_t(x) = g_t x on [low, high], with g_t periodic in t = 1, 2, …, and rates α/√t."""

    gradients: tuple[Fraction, ...]
    alpha: Fraction
    start: Fraction
    low: Fraction = Fraction(-1)
    high: Fraction = Fraction(1)

    @property
    def best(self) -> Fraction:
        """The best fixed point in hindsight, where every prefix sum of the gradients is positive."""
        total = Fraction(0)
        for gradient in self.gradients:
            total += gradient
            if total <= 0:
                raise ValueError("which fixed point is best changes with time")
        return self.low

    @property
    def worst(self) -> Fraction:
        """The other end."""
        return self.high

    def gradient(self, t: int) -> Fraction:
        """Return the slope of the loss at step t."""
        return self.gradients[(t - 1) % len(self.gradients)]


@dataclass(frozen=True)
class Method:
    """A rule with its variant and its constants.

    Attributes:
        amsgrad: AMSGrad, or Adam.
        correction: where the bias is corrected; for Adam, "none" or "corrected".
        betas: β1 and β2.
        eps: ε.
    """

    amsgrad: bool
    correction: Literal["none", "corrected", "after_max", "before_max"]
    betas: tuple[Fraction, Fraction]
    eps: Fraction

    @property
    def name(self) -> str:
        """What it is called in tables and pictures."""
        if not self.amsgrad:
            return "Adam" if self.correction == "corrected" else "Adam, no correction"
        return f"AMSGrad, {self.correction.replace('_', ' ').replace('none', 'no correction')}"

    def rule(self) -> Rule:
        """Return the rule on paper."""
        from ..theory import rules

        if self.amsgrad:
            assert self.correction != "corrected"
            return rules.amsgrad(correction=self.correction)
        return rules.adam(corrected=self.correction == "corrected")

    def point(self) -> dict[str, Fraction]:
        """Return its constants under the paper's names."""
        return {"beta1": self.betas[0], "beta2": self.betas[1], "eps": self.eps}

    def implementations(self) -> Iterator[tuple[str, Optimizer]]:
        """Yield the real optimizers that run this rule, by name."""
        import torch

        from .. import optimizers as ours

        betas = (float(self.betas[0]), float(self.betas[1]))
        eps, correction = float(self.eps), self.correction
        if correction in ("corrected", "after_max"):
            name = "torch.optim.Adam" + ("(amsgrad=True)" if self.amsgrad else "")
            yield name, lambda p: torch.optim.Adam(p, betas=betas, eps=eps, amsgrad=self.amsgrad)
        if not self.amsgrad and correction == "corrected":
            yield "adamproof Adam", lambda p: ours.Adam(p, betas=betas, eps=eps)
        if self.amsgrad and correction != "corrected":
            name = f'adamproof AMSGrad("{correction}")'
            yield name, lambda p: ours.AMSGrad(p, betas=betas, eps=eps, correction=correction)


class Player(Protocol):
    """Takes steps; its numbers are those of its arithmetic."""

    arithmetic: Arithmetic

    @property
    def x(self) -> Any:
        """Where it stands."""

    def step(self, gradient: Any, rate: Any) -> None:
        """Take one step of the rule."""

    def clamp(self, low: Fraction, high: Fraction) -> None:
        """Go to the nearest point of the interval."""


def play(game: Game, player: Player, steps: int) -> list[Any]:
    """Return x_1 … x_{T+1}: where the player stood at each loss, and where it ended."""
    number, sqrt = player.arithmetic.number, player.arithmetic.sqrt
    alpha = number(game.alpha)
    xs = [player.x]
    for t in range(1, steps + 1):
        player.step(number(game.gradient(t)), alpha / sqrt(number(Fraction(t))))
        player.clamp(game.low, game.high)
        xs.append(player.x)
    return xs


def regret(game: Game, xs: list[Any]) -> Any:
    """Return the loss of x_1 … x_T less that of the best fixed point (x_{T+1} is not played)."""
    return sum(x * game.gradient(t) - game.best * game.gradient(t) for t, x in enumerate(xs[:-1], 1))


# -- arithmetics ---------------------------------------------------------------------------------


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


# -- players -------------------------------------------------------------------------------------


class Paper:
    """The rule as the paper writes it, in any arithmetic."""

    def __init__(self, method: Method, arithmetic: Arithmetic, start: Fraction) -> None:
        from ..theory import symbols as sym

        rule = method.rule()
        (regime,) = rule.regimes
        self.arithmetic = arithmetic
        self._old = {name: sym.old(name).name for name in rule.initial}
        chained = {name: sym.new(name).name for name in rule.initial}
        self._step = compiled(regime.new, arithmetic, chained=chained)
        self._env = {n: arithmetic.number(v) for n, v in rule.fill(method.point()).items()}
        self._values = {"x": arithmetic.number(start), **compiled(rule.initial, arithmetic)({})}
        self._t = 0

    @property
    def x(self) -> Any:
        """Where it stands."""
        return self._values["x"]

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

    @property
    def x(self) -> float:
        """Where it stands."""
        return self._x.item()

    def step(self, gradient: float, rate: float) -> None:
        """Take one step of the optimizer."""
        self._x.grad = self._torch.full_like(self._x, gradient)
        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.step()

    def clamp(self, low: Fraction, high: Fraction) -> None:
        """Go to the nearest point of the interval."""
        with self._torch.no_grad():
            self._x.clamp_(float(low), float(high))
