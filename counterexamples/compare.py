"""Long runs side by side, each held against the implementation it stands for.

The recurrence is run twice: over a prefix, next to the real optimizer in the harness, where every
bit must agree, and over the whole length, where it stands for the optimizer, and what repeats is
computed once (``skip``).  Every iterate goes into the curve: none is jumped over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .harness import Game, Method, play
from .players import FLOATS, Paper, Real
from .record import Asked, Optimizer, Report, Run, silent
from .recurrence import Recurrence, ieee_roots, torch_roots
from .skip import Skip

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .recurrence import Roots

#: Steps over which the recurrence is held against the real optimizer.
PREFIX = 2020
#: A device that rounds in its own way must stay this close, and so must the paper's formula.
CLOSE = 1e-9
#: Steps between two reports, and most steps in one piece of a curve.
CHUNK = 1 << 16
#: Steps that an optimizer takes of which no recurrence is known; a tenth of a millisecond each.
GUEST = 20_000
#: Pieces of a curve, spread evenly over log t.
PIECES = 500


@dataclass(frozen=True)
class Agreement:
    """How a recurrence was held against the implementation it stands for."""

    text: str
    holds: bool
    fused: bool = False


@dataclass(frozen=True)
class Curve:
    """A float run in pieces, for a picture; the pieces are short at first, then longer and longer.

    Attributes:
        t: the last step of each piece.
        low: the lowest iterate in the piece.
        mean: the mean iterate in the piece.
        high: the highest iterate in the piece.
        regret: the average regret after the piece.
    """

    t: list[int]
    low: list[float]
    mean: list[float]
    high: list[float]
    regret: list[float]


@dataclass(frozen=True)
class Long:
    """A long run: in pieces, where it ended, and the lowest iterate that began a period."""

    curve: Curve
    final: float
    lowest: float


#: What a long run must do: returns a remark, and what it fails to do (or "").
Claimed = Callable[[Method, Long], tuple[str, str]]


def with_optimizer(
    game: Game, method: Method, make: Optimizer, device: str, steps: int = PREFIX
) -> Agreement:
    """Compare the recurrence with a real optimizer: bit for bit on the CPU, closely elsewhere."""
    real = play(game, Real(make, game.start, device), steps)[1:]
    gaps = {}
    for fused in (True, False):
        ours = Recurrence(game, method, fused=fused, roots=torch_roots).advance(steps).tolist()
        if ours == real:
            return Agreement(f"bitwise equal, {steps:,} steps", True, fused)
        gaps[fused] = _gap(ours, real)
    fused = min(gaps, key=lambda f: gaps[f])
    text = f"within {gaps[fused]:.1e}, {steps:,} steps on {device}"
    return Agreement(text, device != "cpu" and gaps[fused] <= CLOSE, fused)


def with_paper(game: Game, method: Method, steps: int = PREFIX) -> Agreement:
    """Compare the recurrence with the paper's formula, evaluated in floats in the paper's order."""
    paper = play(game, Paper(method, FLOATS, game.start), steps)[1:]
    ours = Recurrence(game, method, fused=False, roots=ieee_roots).advance(steps).tolist()
    gap = _gap(ours, paper)
    return Agreement(f"within {gap:.1e}, {steps:,} steps", gap <= CLOSE)


def _gap(a: Sequence[float], b: Sequence[float]) -> float:
    return max(abs(p - q) for p, q in zip(a, b, strict=True))


class Pieces:
    """What a long run leaves behind, collected while it goes on.

    Args:
        game: the losses.
        steps: how many there will be.
        x: where it starts.
    """

    def __init__(self, game: Game, steps: int, x: float) -> None:
        import numpy as np

        self._ends = np.unique(np.geomspace(1, steps, min(PIECES, steps)).round().astype(int))
        self._gradients = np.array([float(g) for g in game.gradients])
        self._best, self._done, self._total = float(game.best), 0, 0.0
        self._x = self._lowest = x
        self._curve = Curve([], [], [], [], [])

    def add(self, after: Sequence[float] | NDArray[np.float64]) -> None:
        """Take in where the next steps led."""
        import numpy as np

        begin, end = self._done, self._done + len(after)
        period, curve, ends = len(self._gradients), self._curve, self._ends
        after = np.asarray(after)
        t = np.arange(begin + 1, end + 1)
        played = np.append(self._x, after[:-1])
        losses = np.cumsum(self._gradients[(t - 1) % period] * (played - self._best)) + self._total
        self._done, self._x, self._total = end, float(after[-1]), float(losses[-1])
        self._lowest = min(self._lowest, float(after[t % period == 0].min(initial=np.inf)))
        stops = np.append(ends[(ends > begin) & (ends < end)], end)
        starts = np.append(begin, stops[:-1]) - begin
        lengths = np.diff(np.append(starts, end - begin))
        curve.t.extend(stops.tolist())
        curve.low.extend(np.minimum.reduceat(played, starts).tolist())
        curve.mean.extend((np.add.reduceat(played, starts) / lengths).tolist())
        curve.high.extend(np.maximum.reduceat(played, starts).tolist())
        curve.regret.extend((losses[stops - begin - 1] / stops).tolist())

    def long(self) -> Long:
        """Return the run so far."""
        return Long(self._curve, self._x, self._lowest)


def long_run(
    game: Game, method: Method, steps: int, *, fused: bool, roots: Roots, report: Report = silent
) -> Long:
    """Run the recurrence over the whole length."""
    run = Skip(game, method, fused=fused, roots=roots)
    summary = Pieces(game, steps, run.x)
    for begin in range(0, steps, CHUNK):
        report(method.name, begin, steps)
        summary.add(run.advance(min(CHUNK, steps - begin)))
    report(method.name, steps, steps)
    return summary.long()


def side_by_side(
    game: Game, methods: Iterable[Method], steps: int, asked: Asked, claimed: Claimed
) -> tuple[Run, ...]:
    """Run every implementation of every method.

    Args:
        game: the losses.
        methods: the rules; one that no optimizer runs is held against the paper's formula.
        steps: length of the long runs.
        asked: the device of the real optimizers (the long runs are on the CPU), and whom else to
            run; of a guest nothing is known, so it takes its own steps, and nothing is claimed of it.
        claimed: what a long run must do.

    Returns:
        One run for each implementation.
    """
    rows: list[Run] = []
    prefix = min(steps, PREFIX)
    for method in methods:
        long: dict[bool, Long] = {}
        real = [(name, with_optimizer(game, method, make, asked.device, prefix))
                for name, make in method.implementations()]  # fmt: skip
        roots = torch_roots if real else ieee_roots
        for name, agreement in real or [("the paper's formula", with_paper(game, method, prefix))]:
            if agreement.fused not in long:
                long[agreement.fused] = long_run(
                    game, method, steps, fused=agreement.fused, roots=roots, report=asked.report
                )
            found = long[agreement.fused]
            remark, failure = claimed(method, found)
            if not agreement.holds:
                failure = f"the recurrence does not stand for {name}: {agreement.text}"
            label = f"{method.name} (ε = {float(method.eps):g})".replace("e-0", "e-")
            rows.append(Run(name, label, steps, _found(game, found), found.curve,
                            agreement.text, remark, failure))  # fmt: skip
    return (*rows, *(_guest(game, name, make, steps, asked) for name, make in asked.guests))


def _found(game: Game, run: Long) -> dict[str, float | str]:
    return {
        "x at the end": run.final,
        "to best": abs(run.final - float(game.best)),
        "to worst": abs(run.final - float(game.worst)),
        "average regret": run.curve.regret[-1],
    }


def _guest(game: Game, name: str, make: Optimizer, steps: int, asked: Asked) -> Run:
    """Run an optimizer of which no recurrence is known, step by step, until GUEST steps at most."""
    steps = min(steps, GUEST)
    player = Real(make, game.start, asked.device)
    summary = Pieces(game, steps, player.x)
    for begin in range(0, steps, PREFIX):
        asked.report(name, begin, steps)
        summary.add(play(game, player, min(PREFIX, steps - begin), begin)[1:])
    asked.report(name, steps, steps)
    found = summary.long()
    return Run(name, name, steps, _found(game, found), found.curve)
