"""Fair tuning: the same grid for every method, judged by the validation loss, extended at its edge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from .spec import Row, Spec
from .study import Table

TUNING_SEEDS_FROM = 100_000
"""Tuning seeds start here, so that none is an evaluation seed."""

EXTENSIONS = 3
"""How often a grid is extended before its edge is taken, and reported."""


@dataclass(frozen=True)
class Tuned:
    """What tuning has found so far.

    Attributes:
        specs: Every run wanted until now.
        best: The learning rate with the least mean validation loss, exact; ``None`` while unknown.
        on_edge: The best is the smallest or largest that was tried.
        tried: How many learning rates.
    """

    specs: tuple[Spec, ...]
    best: str | None
    on_edge: bool
    tried: int


def rate(exponent: int) -> str:
    """Return the exact learning rate 10^(exponent/2).

    >>> rate(-5)
    '10^-5/2'
    """
    return f"10^{exponent}/2"


def tune(
    table: Table,
    task: str,
    method: str,
    centre: int,
    *,
    points: int = 7,
    seeds: int = 5,
    options: Sequence[tuple[str, str]] = (),
) -> Tuned:
    """Return what to run, and the best learning rate once it is known.

    Args:
        table: What is known.
        task: The task.
        method: The method.
        centre: The half-decade exponent in the middle.
        points: How many learning rates at first, half a decade apart.
        seeds: How many seeds each.
        options: The other options of every run.
    """
    low, high = centre - points // 2, centre + points // 2
    for extended in range(EXTENSIONS + 1):
        exponents = range(low, high + 1)
        runs = {e: _runs(task, method, e, seeds, options) for e in exponents}
        specs = tuple(spec for group in runs.values() for spec in group)
        if not all(spec in table for spec in specs):
            return Tuned(specs, None, False, len(runs))
        best = min(exponents, key=lambda e: fmean(score(table[spec]) for spec in runs[e]))
        on_edge = best in (low, high)
        if not on_edge or extended == EXTENSIONS:
            return Tuned(specs, rate(best), on_edge, len(runs))
        low, high = (low - 2, high) if best == low else (low, high + 2)
    raise AssertionError("unreachable")


def _runs(
    task: str, method: str, exponent: int, seeds: int, options: Sequence[tuple[str, str]]
) -> list[Spec]:
    chosen = (("lr", rate(exponent)), *options)
    return [Spec("training", task, method, TUNING_SEEDS_FROM + i, chosen) for i in range(seeds)]


def score(row: Row) -> float:
    """Return the validation loss; infinite where training diverged.

    A large finite number would do for the mean; infinity says that no run of a good rate diverges.
    """
    value = row["validation_loss"]
    if row["diverged"] or value is None or not math.isfinite(float(value)):
        return math.inf
    return float(value)
