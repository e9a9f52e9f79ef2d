"""Does Adam find sharper minima than SGD with momentum?

Question:   At the same training loss, and at the end, is the loss more curved where an adaptive method
            stands than where SGD with momentum does, at published and at tuned learning rates?
Protocol:   `comparison`: the same splits, starts and minibatches for every method; learning rates tuned
            on the validation loss with other seeds; λ_max of the Hessian, and of D_|w| H D_|w|, which a
            rescaling of ReLU layers does not move (Dinh et al. 2017: λ_max alone can be made anything).
            "Sharper" needs the same sign on both; a ratio within ±10 % is no difference.
Sources:    Keskar et al. 2017 (arXiv 1609.04836v2) on batches; Dinh et al. 2017 (arXiv 1703.04933v2);
            Foret et al. 2021 (arXiv 2010.01412v3) for the control that must find flatter ones.
Expected:   Cohen et al. 2022 (arXiv 2207.14484v2) would have adaptive methods tolerate a larger λ_max,
            since what their stability bounds is the preconditioned one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .comparison import (
    PUBLISHED,
    REFERENCE,
    SCALES,
    SETTINGS,
    TUNED,
    Question,
    Runs,
    ask,
    controls,
    judged,
    logarithm,
)
from .statistics import compare, together
from .study import Control, Finding, Size, Study, Table

LEVEL = "@0.1"
MARGIN = math.log(1.1)
PAIRS = (
    ("adam", REFERENCE), ("adamw", REFERENCE), ("rmsprop", REFERENCE), ("signum", REFERENCE),
    ("adam", "sgd"),
)  # fmt: skip
"""Compared by name; every other method is in the table and in the pictures."""

AXES = (("lambda_max", "invariant"), ("lambda_max", "test_error"), ("invariant", "gap"))


def conclude(table: Table, size: Size) -> Sequence[Finding]:
    """Return a finding for each pair, task, setting and moment."""
    runs = Runs(SCALES[size])
    raw: list[Question] = []
    invariant: list[Question] = []
    for pair, task, setting in runs.settings(PAIRS):
        edge = [m for m in pair if setting == TUNED and runs.tuned(table, task, m).on_edge]
        note = f"{', '.join(edge)}: best rate on the edge of the grid" if edge else ""
        for suffix, moment in ((LEVEL, "at loss 0.1"), ("", "at the end")):
            where = f"{task}, {setting}, {moment}"
            for name, questions in (("lambda_max", raw), ("invariant", invariant)):
                found = runs.differences(table, task, setting, pair, logarithm(name + suffix))
                questions.append(ask(belief(pair), found, MARGIN, "log ratio of λ_max", where, note))
    return [
        replace(
            a, outcome=together(a.outcome, b.outcome),
            note="; ".join(filter(None, (a.note, f"invariant: {b.effect:+.2f}, {b.outcome}"))),
        )
        for a, b in zip(judged(raw), judged(invariant), strict=True)
    ]  # fmt: skip


def belief(pair: tuple[str, str]) -> str:
    """Return the belief about a pair, as a sentence."""
    return f"{pair[0]} stands at a sharper point than {pair[1]}"


def control(table: Table, size: Size) -> Sequence[Control]:
    """Return the controls of the comparison, and that SAM lowers λ_max at the same learning rate."""
    runs = Runs(SCALES[size])
    found = controls(runs, table)
    for task in runs.scale.tasks:
        result = compare(
            runs.differences(table, task, PUBLISHED, ("sam", REFERENCE), logarithm("lambda_max")), MARGIN
        )
        detail = f"log ratio {result.effect:+.3f} [{result.interval[0]:+.3f}, {result.interval[1]:+.3f}]"
        found.append(Control(f"SAM lowers λ_max on {task}", result.interval[1] < 0, detail))
    return found


def draw(table: Table, size: Size, folder: Path) -> Sequence[Path]:
    """Draw λ_max against its invariant form, and against the test error, for every method."""
    from .pictures import scatter

    runs = Runs(SCALES[size])
    made = []
    for task in runs.scale.tasks:
        for setting in SETTINGS:
            rows = {m: runs.rows(table, task, m, setting) for m in runs.scale.methods}
            for x, y in AXES:
                title = f"{task}, {setting} learning rates"
                made.append(scatter(folder / f"{task}-{setting}-{x}-{y}.png", rows, x, y, title))
    return made


STUDY = Study(
    name="sharp-vs-flat",
    question="Does Adam find sharper minima than SGD with momentum?",
    plan=lambda table, size: Runs(SCALES[size]).plan(table),
    conclude=conclude,
    control=control,
    draw=draw,
    beliefs=tuple(map(belief, PAIRS)),
    measures=Runs(SCALES["small"]).measures,
    sources=("Keskar et al. 2017, arXiv 1609.04836v2", "Dinh et al. 2017, arXiv 1703.04933v2"),
    expected="Adaptive methods stand at larger λ_max; what is invariant to rescaling need not agree.",
)
