"""How tight the envelope of rounding is, rule by rule and format by format, and what it costs.

*Width* is the median width of the band in which a float run must be, in units in the last place of
x after the last step (0: the model knows every bit).  *Bound / error* is the median of the error
bound that holds the exact update too, over the error that the run has.  *Bounded* is the share of
runs in which neither overflow nor NaN is possible.  *Cost* is processor time for a coordinate and step,
all three models together, and as a multiple of that of the step alone.

Fused kernels have no tape; they are held against these envelopes by the claim ``fused-kernel``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from rich.console import Console
from rich.table import Table

from adamproof.proofs_check.bands import FORMATS
from adamproof.proofs_check.build import Recipe
from adamproof.proofs_check.envelope import STEPS, TRIED, Tally, enclose, outside, run, works
from adamproof.proofs_check.report import short
from adamproof.proofs_check.rounding import Nearest, Real, Standard
from adamproof.proofs_check.subjects import Subject, builtin

T = TypeVar("T")
MODELS = (Nearest, Standard, Real)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return the result of a call, and the seconds of this process that it took."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def row(recipe: Recipe, name: str, draws: int) -> list[str]:
    """Return what is measured for one optimizer in one format."""
    tally, left, cost, plain, count = Tally(), 0, 0.0, 0.0, 0
    for seed in range(draws):
        for work in works(recipe, FORMATS[name], seed):
            envelope, spent = timed(partial(enclose, recipe, work, MODELS))
            numbers, alone = timed(partial(run, recipe, work))
            cost, plain = cost + spent, plain + alone
            count += work.start.size * len(work.gradients)
            left += outside(envelope, numbers) is not None or outside(envelope, numbers, 1) is not None
            tally.count(envelope, numbers, work)
    return [name, str(tally.runs), str(left), f"{tally.width:.2g}", f"{tally.ratio:.3g}",
            f"{tally.bounded:.0%}", f"{1e6 * cost / count:.2g} µs", f"{cost / plain:.0f}"]  # fmt: skip


def rules(draws: int, chosen: Callable[[Subject], bool]) -> Table:
    """Return the table of the shipped and torch's optimizers."""
    table = Table("subject", "format", "runs", "left", "width, ulp", "bound / error", "bounded", "cost",
                  "× step", title=f"the envelope of rounding, {STEPS} steps")  # fmt: skip
    for subject in builtin().values():
        if subject.recipe is not None and chosen(subject):
            for name in TRIED:
                table.add_row(
                    short(subject.id) if name == TRIED[0] else "", *row(subject.recipe, name, draws)
                )
    return table


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=2, help="times the runs of the trial")
    parser.add_argument("--subject", default="", help="only subjects whose id holds this")
    given = parser.parse_args()
    console = Console(width=max(120, Console().width))  # else the names of subjects are cut
    row(Recipe(torch.optim.Adam, {"foreach": True}), TRIED[0], 1)  # not counted: imports
    table, spent = timed(lambda: rules(given.draws, lambda s: given.subject in s.id))
    console.print(table)
    console.print(f"{spent:.1f} s of processor time")


if __name__ == "__main__":
    main()
