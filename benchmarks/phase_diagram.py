"""The phase diagram of Adam's betas on Reddi's periodic loss: certified, against simulation.

A simulation takes a million steps at every point of a grid and looks where it is; the certified
diagram proves the sign of the drift on every cell.  Simulations are timed on a few points or steps and
multiplied up, which the table says; that costs the grid nothing but time, for the points do not
depend on each other.  NumPy takes all points at once, numba one after the other on all cores.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from fractions import Fraction

import numba
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from adamproof.counterexamples.beta_phase_diagram import ALPHA, SLOPES, START, method, pattern
from adamproof.counterexamples.diagram import diagram, edges, grid, signs
from adamproof.counterexamples.harness import Game, play
from adamproof.counterexamples.orbit import drift_ball
from adamproof.counterexamples.players import Real

Floats = NDArray[np.float64]
STEPS = 1_000_000


def by_torch(points: int, steps: int) -> None:
    """A loop over torch.optim.Adam."""
    game = Game(SLOPES, ALPHA, START)
    for _ in range(points):
        (_, make), *_ = method(Fraction(9, 10), Fraction(99, 100)).implementations()
        play(game, Real(make, START), steps)


def by_numpy(points: int, steps: int) -> None:
    """All points at once, a step at a time."""
    beta1, beta2 = _points(points)
    m, v, x = (np.zeros(points) for _ in range(3))
    for t in range(1, steps + 1):
        g = float(SLOPES[(t - 1) % len(SLOPES)])
        m += (1 - beta1) * (g - m)
        v = beta2 * v + (1 - beta2) * g * g
        hat = np.sqrt(v / (1 - beta2**t))
        x = np.clip(x - float(ALPHA) / t**0.5 * m / (1 - beta1**t) / hat, -1, 1)


@numba.njit(parallel=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def _simulated(beta1: Floats, beta2: Floats, slopes: Floats, rates: Floats, x: Floats) -> None:
    for i in numba.prange(len(beta1)):
        a, b, m, v, p1, p2, at = beta1[i], beta2[i], 0.0, 0.0, 1.0, 1.0, x[i]
        for t in range(len(rates)):
            g = slopes[t % len(slopes)]
            m += (1 - a) * (g - m)
            v = b * v + (1 - b) * g * g
            p1, p2 = p1 * a, p2 * b
            if p1 < 1e-20:
                p1 = 0.0  # subnormal numbers are slow
            if p2 < 1e-20:
                p2 = 0.0
            at = min(1.0, max(-1.0, at - rates[t] * m / (1 - p1) / np.sqrt(v / (1 - p2))))
        x[i] = at


def by_numba(points: int, steps: int) -> None:
    """One point after the other, on all cores."""
    beta1, beta2 = _points(points)
    rates = float(ALPHA) / np.sqrt(np.arange(1, steps + 1))
    _simulated(beta1, beta2, np.array([float(g) for g in SLOPES]), rates, np.zeros(points))


def by_arb(points: int) -> None:
    """Arb at 128 bits, point by point: certain at points, and silent about cells."""
    for b1, b2 in zip(*_points(points), strict=True):
        drift_ball(pattern(), Fraction(float(b1)), Fraction(float(b2)), 128)


def _points(count: int) -> tuple[Floats, Floats]:
    draw = np.random.default_rng(1)
    return draw.random(count), draw.random(count)


def timed(run: Callable[[], object]) -> float:
    """Return seconds."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def main() -> None:
    """Time every way, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=512, help="cells to a side")
    side = parser.parse_args().side
    points = side * side
    depth = max(side // 32, 1).bit_length() - 1
    by_numba(2, 100)  # compiles
    diagram(pattern(), coarse=4, depth=0)
    ends = edges(side, 1e-6)
    tree = timed(lambda: diagram(pattern(), coarse=side >> depth, depth=depth))
    whole = timed(lambda: signs(pattern(), grid(ends, ends)))
    every = points * STEPS
    rows = [
        ("certified, cells cut in four where needed", tree, "measured"),
        ("certified, every cell", whole, "measured"),
        ("Arb at 128 bits, points", timed(lambda: by_arb(200)) * points / 200, "from 200 points"),
        ("numba, all cores, a million steps", timed(lambda: by_numba(64, 100_000)) * every / 6.4e6,
         "from 64 points × 10⁵ steps"),
        ("NumPy, a million steps", timed(lambda: by_numpy(4096, 1000)) * every / 4.096e6,
         "from 4,096 points × 10³ steps"),
        ("torch.optim loop, a million steps", timed(lambda: by_torch(1, 2000)) * every / 2e3,
         "from 2,000 steps"),
    ]  # fmt: skip
    table = Table("way", "seconds", "× certified", "seconds are")
    table.title = f"{side} × {side} betas, period {len(SLOPES)}, {os.cpu_count()} cores"
    for name, seconds, how in rows:
        table.add_row(name, f"{seconds:,.3g}", f"{seconds / tree:,.3g}", how)
    Console().print(table)


if __name__ == "__main__":
    main()
