"""Is Adam the fastest in the first ten epochs, and its loss the smoothest?

Question:   Is the training loss after ten epochs smaller under an adaptive method than under SGD with
            momentum, and does it go up less often on the way?
Protocol:   The runs of `comparison`.  Speed: the logarithm of the training loss after ten epochs.
            Smoothness: the sum of all rises of the training loss from one epoch to the next.
Sources:    Kingma & Ba 2015 (arXiv 1412.6980v9), §6, on speed; the rest is folklore.
Expected:   Faster; smoother is said without a source.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from .comparison import (
    REFERENCE,
    SCALES,
    Runs,
    ask,
    controls,
    judged,
    logarithm,
    value,
)
from .study import Control, Finding, Size, Study, Table

ADAPTIVE = ("adam", "adamw", "rmsprop", "amsgrad", "radam", "adabelief", "adabound")


def conclude(table: Table, size: Size) -> Sequence[Finding]:
    """Return a finding on speed and one on smoothness for each method, task and setting."""
    runs = Runs(SCALES[size])
    speed, smooth = [], []
    for pair, task, setting in runs.settings((REFERENCE, method) for method in ADAPTIVE):
        where, method = f"{task}, {setting}", pair[1]
        faster = runs.differences(table, task, setting, pair, logarithm("early_loss"))
        calmer = runs.differences(table, task, setting, pair, value("roughness"))
        speed.append(ask(fast(method), faster, math.log(1.1), "log ratio of losses", where))
        smooth.append(ask(calm(method), calmer, 0.05, "sum of rises of the loss", where))
    return [*judged(speed), *judged(smooth)]


def fast(method: str) -> str:
    """Return the belief about speed."""
    return f"{method} has the smaller training loss after ten epochs than {REFERENCE}"


def calm(method: str) -> str:
    """Return the belief about smoothness."""
    return f"under {method} the training loss rises less than under {REFERENCE}"


def control(table: Table, size: Size) -> Sequence[Control]:
    """Return the controls of the comparison."""
    return controls(Runs(SCALES[size]), table)


def draw(table: Table, size: Size, folder: Path) -> Sequence[Path]:
    """Draw the training loss after ten epochs."""
    from .pictures import intervals

    runs, made = Runs(SCALES[size]), []
    for task in runs.scale.tasks:
        losses = runs.values(table, task, value("early_loss"))
        label = "training loss after ten epochs"
        made.append(intervals(folder / f"{task}-early-loss.png", losses, label, task))
    return made


STUDY = Study(
    name="early-speed",
    question="Is Adam the fastest in the first ten epochs, and its loss the smoothest?",
    plan=lambda table, size: Runs(SCALES[size]).plan(table),
    conclude=conclude,
    control=control,
    draw=draw,
    beliefs=(*map(fast, ADAPTIVE), *map(calm, ADAPTIVE)),
    measures=Runs(SCALES["small"]).measures,
    sources=("Kingma & Ba 2015, arXiv 1412.6980v9, §6",),
    expected="Adaptive methods are faster early; smoothness has no source.",
)
