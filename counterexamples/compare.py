"""Long runs side by side, each held against the implementation it stands for.

The recurrence is run twice: over a prefix, next to the real optimizer in the harness, where every
bit must agree, and over the whole length, where it stands for the optimizer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .harness import Game, Method, Optimizer, play
from .players import FLOATS, Paper, Real
from .record import Curve, Report, Run, silent
from .recurrence import Recurrence, ieee_roots, torch_roots

if TYPE_CHECKING:
    from .recurrence import Roots

#: Steps over which the recurrence is held against the real optimizer.
PREFIX = 2020
#: A device that rounds in its own way must stay this close, and so must the paper's formula.
CLOSE = 1e-9
#: Steps between two reports, and most steps in one piece of a curve.
CHUNK = 1 << 16
#: Pieces of a curve, spread evenly over log t.
PIECES = 500


@dataclass(frozen=True)
class Agreement:
    """How a recurrence was held against the implementation it stands for."""

    text: str
    holds: bool
    fused: bool = False


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


def long_run(
    game: Game, method: Method, steps: int, *, fused: bool, roots: Roots, report: Report = silent
) -> Long:
    """Run the recurrence over the whole length."""
    import numpy as np

    run = Recurrence(game, method, fused=fused, roots=roots)
    ends = np.unique(np.geomspace(1, steps, min(PIECES, steps)).round().astype(int))
    total, lowest, curve = 0.0, run.x, Curve([], [], [], [], [])
    period, best = len(game.gradients), float(game.best)
    for begin in range(0, steps, CHUNK):
        report(method.name, begin, steps)
        end = min(begin + CHUNK, steps)
        before = run.x
        after = run.advance(end - begin)
        t = np.arange(begin + 1, end + 1)
        played = np.append(before, after[:-1])
        losses = np.cumsum(run.gradients[(t - 1) % period] * (played - best)) + total
        total = float(losses[-1])
        lowest = min(lowest, float(after[t % period == 0].min(initial=np.inf)))
        stops = np.append(ends[(ends > begin) & (ends < end)], end)
        starts = np.append(begin, stops[:-1]) - begin
        lengths = np.diff(np.append(starts, end - begin))
        curve.t.extend(stops.tolist())
        curve.low.extend(np.minimum.reduceat(played, starts).tolist())
        curve.mean.extend((np.add.reduceat(played, starts) / lengths).tolist())
        curve.high.extend(np.maximum.reduceat(played, starts).tolist())
        curve.regret.extend((losses[stops - begin - 1] / stops).tolist())
    report(method.name, steps, steps)
    return Long(curve, run.x, lowest)


def side_by_side(
    game: Game,
    methods: Iterable[Method],
    steps: int,
    device: str,
    report: Report,
    claimed: Claimed,
) -> tuple[Run, ...]:
    """Run every implementation of every method.

    Args:
        game: the losses.
        methods: the rules; one that no optimizer runs is held against the paper's formula.
        steps: length of the long runs.
        device: where the real optimizers run; the long runs are on the CPU.
        report: hears how far it is.
        claimed: what a long run must do.

    Returns:
        One run for each implementation.
    """
    rows: list[Run] = []
    prefix = min(steps, PREFIX)
    for method in methods:
        long: dict[bool, Long] = {}
        real = [(name, with_optimizer(game, method, make, device, prefix))
                for name, make in method.implementations()]  # fmt: skip
        roots = torch_roots if real else ieee_roots
        for name, agreement in real or [("the paper's formula", with_paper(game, method, prefix))]:
            if agreement.fused not in long:
                long[agreement.fused] = long_run(
                    game, method, steps, fused=agreement.fused, roots=roots, report=report
                )
            found = long[agreement.fused]
            remark, failure = claimed(method, found)
            if not agreement.holds:
                failure = f"the recurrence does not stand for {name}: {agreement.text}"
            rows.append(
                Run(
                    name=name,
                    method=method.name,
                    eps=float(method.eps),
                    steps=steps,
                    final=found.final,
                    best=float(game.best),
                    worst=float(game.worst),
                    regret=found.curve.regret[-1],
                    curve=found.curve,
                    agreement=agreement.text,
                    remark=remark,
                    failure=failure,
                )
            )
    return tuple(rows)
