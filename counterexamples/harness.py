"""One loop, one schedule, one clamp: for the paper's rule, for torch.optim and for our optimizers.

A *game* is a periodic sequence of linear losses f_t(x) = g_t x on an interval.  A *player* is
anything that takes a gradient and a rate: the paper's rule in exact or float arithmetic, or a real
optimizer on one float64 parameter.  Reddi, Kale & Kumar (2018) set the rate to α/√t and project
after the step, which on an interval is clamping.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, Protocol

from .record import Optimizer

if TYPE_CHECKING:
    from ..theory.evaluate import Arithmetic
    from ..theory.rule import Rule


@dataclass(frozen=True)
class Game:
    """Losses f_t(x) = g_t x on [low, high], with g_t periodic in t = 1, 2, …, and rates α/√t.

    Without ``decay`` all rates are α.
    """

    gradients: tuple[Fraction, ...]
    alpha: Fraction
    start: Fraction
    low: Fraction = Fraction(-1)
    high: Fraction = Fraction(1)
    decay: bool = True

    @property
    def best(self) -> Fraction:
        """The best fixed point in hindsight; every prefix sum of the gradients must be positive."""
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


def play(game: Game, player: Player, steps: int, after: int = 0) -> list[Any]:
    """Return where the player stood at each loss after the first ``after``, and where it ended.

    From the beginning, that is x_1 … x_{T+1}.
    """
    number, sqrt = player.arithmetic.number, player.arithmetic.sqrt
    alpha, gradients = number(game.alpha), [number(g) for g in game.gradients]
    xs = [player.x]
    for t in range(after + 1, after + steps + 1):
        gradient = gradients[(t - 1) % len(gradients)]
        player.step(gradient, alpha / sqrt(number(Fraction(t))) if game.decay else alpha)
        player.clamp(game.low, game.high)
        xs.append(player.x)
    return xs


def regret(game: Game, xs: list[Any]) -> Any:
    """Return the loss of x_1 … x_T less that of the best fixed point (x_{T+1} is not played)."""
    best = game.best
    return sum((x - best) * game.gradient(t) for t, x in enumerate(xs[:-1], start=1))
