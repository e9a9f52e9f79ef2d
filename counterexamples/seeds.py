"""Many random games at once: each seed draws its own slopes, C with probability p and -1 otherwise.

The slope of a seed at a step is a function of the two alone (``spikes``: the 64 bits of SplitMix64
at that place, compared with p 2^64), so no order of evaluation changes a game, a prefix needs
nothing that comes after it, and a real optimizer can be fed the very same slopes.

``advance`` runs a seed after the other, compiled, a share of the seeds on each core; ``Vector`` runs
all seeds step by step, on a real optimizer or on the paper's formula in NumPy.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from .harness import Method
from .record import Optimizer, Report, silent
from .recurrence import jitted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats64 = NDArray[np.float64]

#: Seeds that one call of the compiled loop takes; between two calls it can be stopped.
CHUNK = 50
#: Steps at which the seeds are noted, spread evenly over log t.
NOTES = 60
#: SplitMix64: a factor for the place, two to mix with, three shifts, the bits kept for t, and 1.
_MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 30, 27, 31, 32, 1)


@dataclass(frozen=True)
class Draw:
    """Slopes C with probability p, else -1, on [-1, 1], with rates α/√t.

    Attributes:
        slope: C.
        chance: p; a seed has it up to 2^-64.
        alpha: α.
        start: x_1.
    """

    slope: Fraction
    chance: Fraction
    alpha: Fraction
    start: Fraction

    @property
    def below(self) -> int:
        """The 64-bit numbers below this one stand for C."""
        return min(int(self.chance * 2**64), 2**64 - 1)


@dataclass(frozen=True)
class Spread:
    """Where all seeds were at some steps.

    Attributes:
        t: the steps.
        x: seed by seed, x_{t+1} at each of them.
        drift: seed by seed, the mean of -m/(√v + ε), as corrected, over the steps until then.
    """

    t: list[int]
    x: Floats64
    drift: Floats64


def spikes(draw: Draw, seeds: NDArray[np.uint64], t: int) -> NDArray[np.bool_]:
    """Return which seeds draw C at step t."""
    import numpy as np

    golden, one, two, a, b, c, half, _ = (np.uint64(n) for n in _MIX)
    z = ((seeds << half) + np.uint64(t)) * golden
    z = (z ^ (z >> a)) * one
    z = (z ^ (z >> b)) * two
    return np.asarray((z ^ (z >> c)) < np.uint64(draw.below))


def loop(
    keys: Any,
    below: Any,
    mix: Any,
    constants: Any,
    keep: bool,
    tables: Any,
    ends: Any,
    x: Any,
    drift: Any,
) -> None:
    """Run some seeds, one after the other; for numba alone, as it counts on integers of 64 bits.

    Args:
        keys: the seeds, times 2^32.
        below: the numbers below it stand for C.
        mix: the constants of SplitMix64.
        constants: C, β1, β2, ε and x_1.
        keep: whether the maximum of v is kept (AMSGrad).
        tables: for each step the rate, and what m, v and √v are divided by.
        ends: the steps at which x and the drift are noted.
        x: receives x_{t+1}, a row for each seed.
        drift: receives the mean drift until then.
    """
    slope, beta1, beta2, eps, start = constants
    rates, first, inner, outer = tables
    golden, one, two, a, b, c, _, unit = mix
    low1, high1 = -(1 - beta1), (1 - beta1) * slope
    low2, high2 = 1 - beta2, (1 - beta2) * slope * slope
    for row in range(len(keys)):
        place, m, v, top, total, at, piece = keys[row], 0.0, 0.0, 0.0, 0.0, start, 0
        for t in range(len(rates)):
            place += unit
            z = place * golden
            z = (z ^ (z >> a)) * one
            z = (z ^ (z >> b)) * two
            rare = (z ^ (z >> c)) < below
            m = beta1 * m + (high1 if rare else low1)
            v = beta2 * v + (high2 if rare else low2)
            now = v / inner[t]
            top = max(top, now) if keep else now
            push = -(m / first[t]) / (math.sqrt(top) / outer[t] + eps)
            total += push
            at = min(1.0, max(-1.0, at + rates[t] * push))
            if t + 1 == ends[piece]:
                x[row, piece] = at
                drift[row, piece] = total / (t + 1)
                piece += 1


@cache
def compiled() -> Any:
    """Return the loop compiled, or None where numba is missing."""
    try:
        return jitted(loop, nogil=True)
    except ImportError:
        return None


def ends_of(steps: int) -> list[int]:
    """Return the steps at which the seeds are noted; the last is the last one."""
    import numpy as np

    return sorted({*np.geomspace(1, steps, min(NOTES, steps)).round().astype(int).tolist(), steps})


def advance(draw: Draw, method: Method, seeds: int, steps: int, report: Report = silent) -> Spread:
    """Run the first so many seeds: the paper's formula in floats, compiled, on all cores."""
    import numpy as np

    run = compiled()
    if run is None:
        return Vector(draw, method, seeds).advance(steps, report)
    ends = np.array(ends_of(steps))
    mix = tuple(np.uint64(n) for n in _MIX)
    constants = tuple(float(n) for n in (draw.slope, *method.betas, method.eps, draw.start))
    keys = np.arange(seeds, dtype=np.uint64) << mix[6]
    x, drift = np.empty((2, seeds, len(ends)))
    tables, below = _tables(draw, method, steps), np.uint64(draw.below)

    def part(begin: int) -> int:
        rows = slice(begin, begin + CHUNK)
        run(keys[rows], below, mix, constants, method.amsgrad, tables, ends, x[rows], drift[rows])
        return min(begin + CHUNK, seeds)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        report(method.name, 0, seeds)
        for done in pool.map(part, range(0, seeds, CHUNK)):
            report(method.name, done, seeds)
    return Spread(ends.tolist(), x, drift)


def _tables(draw: Draw, method: Method, steps: int) -> tuple[Floats64, ...]:
    """Return, step by step, the rate, and what m, v and √v are divided by."""
    import numpy as np

    t = np.arange(1, steps + 1, dtype=float)
    first, second = (1 - float(beta) ** t for beta in method.betas)
    ones = np.ones(steps)
    if method.correction == "none":
        first = second = ones
    before = method.correction == "before_max"
    inner, outer = (second, ones) if before else (ones, np.sqrt(second))
    return float(draw.alpha) / np.sqrt(t), first, inner, outer


class Vector:
    """All seeds at once, step by step: the paper's formula in NumPy, or a real optimizer.

    Args:
        draw: the slopes.
        method: the rule; of a real optimizer only its name is used.
        seeds: how many.
        make: makes the optimizer of one parameter, in which each coordinate is a seed.
        device: where that runs.
    """

    def __init__(
        self,
        draw: Draw,
        method: Method | str,
        seeds: int,
        make: Optimizer | None = None,
        device: str = "cpu",
    ) -> None:
        import numpy as np

        self._draw, self._method = draw, method
        self._seeds = np.arange(seeds, dtype=np.uint64)
        self._x = np.full(seeds, float(draw.start))
        self._m = self._v = self._top = np.zeros(seeds)
        self._total = np.zeros(seeds)
        self._step = self._real(make, device) if make else self._paper

    def advance(self, steps: int, report: Report = silent) -> Spread:
        """Take so many steps from the beginning."""
        import numpy as np

        ends = ends_of(steps)
        noted, name = set(ends), getattr(self._method, "name", self._method)
        xs, drifts = [], []
        for t in range(1, steps + 1):
            rare = spikes(self._draw, self._seeds, t)
            rate = float(self._draw.alpha) / math.sqrt(t)
            push = self._step(np.where(rare, float(self._draw.slope), -1.0), rate, t)
            self._total = self._total + push
            if t in noted:
                report(str(name), t, steps)
                xs.append(self._x)
                drifts.append(self._total / t)
        return Spread(ends, np.stack(xs, axis=1), np.stack(drifts, axis=1))

    def _paper(self, g: Floats64, rate: float, t: int) -> Floats64:
        import numpy as np

        method = self._method
        assert isinstance(method, Method)
        beta1, beta2 = (float(beta) for beta in method.betas)
        corrected = method.correction != "none"
        first, second = (1 - beta1**t, 1 - beta2**t) if corrected else (1.0, 1.0)
        self._m = beta1 * self._m + (1 - beta1) * g
        self._v = beta2 * self._v + (1 - beta2) * g * g
        before = method.correction == "before_max"
        now = self._v / second if before else self._v
        self._top = np.maximum(self._top, now) if method.amsgrad else now
        root = np.sqrt(self._top if before else self._top / second)
        push: Floats64 = -(self._m / first) / (root + float(method.eps))
        self._x = np.clip(self._x + rate * push, -1.0, 1.0)
        return push

    def _real(self, make: Optimizer, device: str) -> Any:
        import torch

        x = torch.nn.Parameter(torch.tensor(self._x, device=device))
        optimizer = make([x])

        def step(g: Floats64, rate: float, _: int) -> Floats64:
            x.grad = torch.from_numpy(g).to(device)
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
            after = x.detach().cpu().numpy()
            push: Floats64 = (after - self._x) / rate  # exact enough to look at
            with torch.no_grad():
                x.clamp_(-1.0, 1.0)
            self._x = x.detach().cpu().numpy().copy()
            return push

        return step
