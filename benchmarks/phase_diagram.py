"""The phase diagram of Adam's betas on Reddi's periodic loss: certified, against simulation.

A simulation takes a million steps at every point of a grid and looks where it is; the certified
diagram proves the sign of the drift on every cell.  Simulations are timed on a few points or steps and
multiplied up, which the table says; that costs the grid nothing but time, for the points do not
depend on each other.  The points are drawn from the middles of the cells.  NumPy takes all points at
once, numba one after the other on all cores.

The quickest simulation skips: once the moments repeat, bit for bit, they come from a table, and where
runs from both ends of the interval over the last steps meet, nothing before those steps is walked.  It
is held, bit for bit, against the plain simulation.  Half of the points have a β so near to 1 that their
moments do not repeat within a million steps, and most of the others move too slowly to meet.

Seconds are those of the CPU, all cores together: numba's ways take fewer by the clock, the others not.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

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
#: Points of which the simulation that skips is timed.
SAMPLE = 1024


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


@numba.njit(error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def _walked(a: float, b: float, slopes: Floats, rates: Floats, x: float) -> float:
    """Return where a point is after all steps."""
    m, v, p1, p2 = 0.0, 0.0, 1.0, 1.0
    for t in range(len(rates)):
        g = slopes[t % len(slopes)]
        m += (1 - a) * (g - m)
        v = b * v + (1 - b) * g * g
        p1, p2 = p1 * a, p2 * b
        if p1 < 1e-20:
            p1 = 0.0  # subnormal numbers are slow
        if p2 < 1e-20:
            p2 = 0.0
        x = min(1.0, max(-1.0, x - rates[t] * m / (1 - p1) / np.sqrt(v / (1 - p2))))
    return x


@numba.njit(parallel=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def _simulated(beta1: Floats, beta2: Floats, slopes: Floats, rates: Floats, x: Floats) -> None:
    for i in numba.prange(len(beta1)):
        x[i] = _walked(beta1[i], beta2[i], slopes, rates, x[i])


@numba.njit(error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def _repeats(a: float, b: float, slopes: Floats, last: int, m: Floats, v: Floats) -> int:
    """Return the step after which the moments go through m and v for ever, or ``last``."""
    now1, now2, p1, p2, t = 0.0, 0.0, 1.0, 1.0, 0
    while t + len(slopes) <= last:
        was1, was2 = now1, now2
        for i in range(len(slopes)):
            g = slopes[i]
            now1 += (1 - a) * (g - now1)
            now2 = b * now2 + (1 - b) * g * g
            p1, p2 = p1 * a, p2 * b
            m[i], v[i] = now1, now2
        t += len(slopes)
        if p1 < 1e-20:
            p1 = 0.0
        if p2 < 1e-20:
            p2 = 0.0
        if now1 == was1 and now2 == was2 and p1 == 0 and p2 == 0:
            return t
    return last


@numba.njit(error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def _along(x: float, begin: int, rates: Floats, m: Floats, root: Floats) -> float:
    """Return where the steps after ``begin`` lead from x, the moments coming from a table."""
    push, done = np.empty(len(m)), begin
    while done < len(rates):
        count = min(len(m), len(rates) - done)
        for i in range(count):
            push[i] = rates[done + i] * m[i] / root[i]
        for i in range(count):
            x = x - push[i]
            if not x > -1.0:
                x = -1.0
            elif not x < 1.0:
                x = 1.0
        done += count
    return x


@numba.njit(parallel=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def _skipping(beta1: Floats, beta2: Floats, slopes: Floats, rates: Floats, x: Floats) -> None:
    period, steps = len(slopes), len(rates)
    for i in numba.prange(len(beta1)):
        m, v = np.empty(period), np.empty(period)
        settled = steps
        if -np.log(max(beta1[i], beta2[i])) * steps > 46:  # else a power is still above 1e-20
            settled = _repeats(beta1[i], beta2[i], slopes, steps, m, v)
        root = np.sqrt(v)
        if settled < steps:
            # x moves by 2 (√T − √n) times the mean push from n to the end; 2 is the room it needs
            left = np.sqrt(steps) - 2.1 / (2 * rates[0] * abs(np.mean(m / root)))
            begin = (int(left * max(left, 0.0)) // period - 1) * period
            if begin > settled and 2 * begin > steps:
                low = _along(-1.0, begin, rates, m, root)
                if low == _along(1.0, begin, rates, m, root) and low != 0:
                    x[i] = low
                    continue
        at = _walked(beta1[i], beta2[i], slopes, rates[:settled], x[i])
        x[i] = _along(at, settled, rates, m, root) if settled < steps else at


def by_numba(points: int, steps: int, run: Any = _simulated) -> Floats:
    """One point after the other, on all cores; return where they end."""
    beta1, beta2 = _points(points)
    rates, x = float(ALPHA) / np.sqrt(np.arange(1, steps + 1)), np.zeros(points)
    run(beta1, beta2, np.array([float(g) for g in SLOPES]), rates, x)
    return x


def by_arb(points: int) -> None:
    """Arb at 128 bits, point by point: certain at points, and silent about cells."""
    for b1, b2 in zip(*_points(points), strict=True):
        drift_ball(pattern(), Fraction(float(b1)), Fraction(float(b2)), 128)


def _points(count: int) -> tuple[Floats, Floats]:
    draw, ends = np.random.default_rng(1), edges(512, 1e-6)
    middles = (ends[1:] + ends[:-1]) / 2
    return draw.choice(middles, count), draw.choice(middles, count)


def timed(run: Callable[[], object]) -> float:
    """Return CPU seconds."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def main() -> None:
    """Time every way, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=512, help="cells to a side")
    side = parser.parse_args().side
    points = side * side
    depth = max(side // 32, 1).bit_length() - 1
    for run in (_simulated, _skipping):
        by_numba(2, 100, run)  # compiles
    diagram(pattern(), coarse=4, depth=0)
    ends = edges(side, 1e-6)
    tree = timed(lambda: diagram(pattern(), coarse=side >> depth, depth=depth))
    whole = timed(lambda: signs(pattern(), grid(ends, ends)))
    every = points * STEPS
    plain, skipped = [], []
    slow = timed(lambda: plain.append(by_numba(64, STEPS)))
    quick = timed(lambda: skipped.append(by_numba(SAMPLE, STEPS, _skipping)))
    if plain[0].tobytes() != by_numba(64, STEPS, _skipping).tobytes():
        raise SystemExit("the simulation that skips ends elsewhere")
    rows = [
        ("certified, cells cut in four where needed", tree, "measured"),
        ("certified, every cell", whole, "measured"),
        ("Arb at 128 bits, points", timed(lambda: by_arb(200)) * points / 200, "from 200 points"),
        ("numba, all cores, a million steps, skipping", quick * points / SAMPLE,
         f"from {SAMPLE:,} points"),
        ("numba, all cores, a million steps", slow * points / 64, "from 64 points"),
        ("NumPy, a million steps", timed(lambda: by_numpy(4096, 1000)) * every / 4.096e6,
         "from 4,096 points × 10³ steps"),
        ("torch.optim loop, a million steps", timed(lambda: by_torch(1, 2000)) * every / 2e3,
         "from 2,000 steps"),
    ]  # fmt: skip
    table = Table("way", "CPU seconds", "× certified", "seconds are")
    table.title = f"{side} × {side} betas, period {len(SLOPES)}, {os.cpu_count()} cores"
    for name, seconds, how in rows:
        table.add_row(name, f"{seconds:,.3g}", f"{seconds / tree:,.3g}", how)
    Console().print(table)


if __name__ == "__main__":
    main()
