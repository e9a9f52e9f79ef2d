"""Does Adam generalize worse than SGD with momentum?

Question:   Is the test error of an adaptive method larger than that of SGD with momentum, at published
            and at tuned learning rates, and does sharpness tell the gap between test and training error?
Protocol:   `comparison`; differences in percentage points, within ±0.5 of which there is no difference.
            Kendall's τ of log λ_max and the gap, for each seed: between methods at the tuned rate, and
            within a method over learning rates.
Sources:    Wilson et al. 2017 (arXiv 1705.08292v2); Choi et al. 2019 (arXiv 1910.05446v3), who find that
            the difference goes when everything is tuned; Jiang et al. 2020 (arXiv 1912.02178v1) for τ.
Expected:   Worse at published settings (Wilson et al.), not worse when tuned (Choi et al.).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from .comparison import (
    REFERENCE,
    SCALES,
    TUNED,
    Runs,
    around,
    ask,
    controls,
    gap,
    judged,
    logarithm,
    value,
)
from .statistics import tau
from .study import Control, Finding, Size, Study, Table

MARGIN = 0.5
PAIRS = (
    ("adam", REFERENCE), ("adamw", REFERENCE), ("rmsprop", REFERENCE), ("amsgrad", REFERENCE),
    ("radam", REFERENCE), ("adabelief", REFERENCE), ("adabound", REFERENCE),
    ("adam-then-sgd", REFERENCE), ("adam", "adamw"),
)  # fmt: skip
FLATTER = "flatter points have the smaller gap"


def conclude(table: Table, size: Size) -> Sequence[Finding]:
    """Return a finding for each pair, task and setting, and for the relation of sharpness to the gap."""
    runs = Runs(SCALES[size])
    errors, relations = [], []
    for pair, task, setting in runs.settings(PAIRS):
        found = runs.differences(table, task, setting, pair, value("test_error"))
        errors.append(ask(belief(pair), found, MARGIN, "percentage points", f"{task}, {setting}"))
    for task in runs.scale.tasks:
        for name in ("lambda_max", "invariant"):
            relations.append(
                ask(f"{FLATTER}, between methods", between(runs, table, task, name), 0.1, "Kendall's τ",
                    f"{task}, tuned, {name}")
            )  # fmt: skip
            relations.append(
                ask(f"{FLATTER}, within a method over learning rates",
                    within(runs, table, task, name), 0.1, "Kendall's τ", f"{task}, {name}")
            )  # fmt: skip
    return [*judged(errors), *judged(relations)]


def between(runs: Runs, table: Table, task: str, name: str) -> list[float]:
    """Return for each seed Kendall's τ of log sharpness and gap over the methods, tuned."""
    rows = [runs.rows(table, task, method, TUNED) for method in runs.scale.methods]
    return [
        tau([logarithm(name)(row) for row in same], [gap(row) for row in same])
        for same in zip(*rows, strict=True)
    ]


def within(runs: Runs, table: Table, task: str, name: str) -> list[float]:
    """Return for each seed the mean over methods of Kendall's τ over learning rates."""
    read = logarithm(name)
    taus = []
    for method in runs.scale.methods:
        best = runs.rate(table, task, method, TUNED)
        runs_by_rate = [runs.within(task, method, rate) for rate in around(best)]
        runs_by_rate.append(runs.evaluation(task, method, best)[: runs.scale.within])
        for_seed = [[table[spec] for spec in same] for same in zip(*runs_by_rate, strict=True)]
        taus.append([tau([read(row) for row in rows], [gap(row) for row in rows]) for rows in for_seed])
    known = [[t for t in same if math.isfinite(t)] for same in zip(*taus, strict=True)]
    return [sum(same) / len(same) if same else math.nan for same in known]


def belief(pair: tuple[str, str]) -> str:
    """Return the belief about a pair, as a sentence."""
    return f"{pair[0]} has a larger test error than {pair[1]}"


def control(table: Table, size: Size) -> Sequence[Control]:
    """Return the controls of the comparison."""
    return controls(Runs(SCALES[size]), table)


def draw(table: Table, size: Size, folder: Path) -> Sequence[Path]:
    """Draw the test error of every method, published and tuned."""
    from .pictures import intervals

    runs = Runs(SCALES[size])
    made = []
    for task in runs.scale.tasks:
        errors = runs.values(table, task, value("test_error"))
        made.append(intervals(folder / f"{task}-test-error.png", errors, "test error (%)", task))
    return made


STUDY = Study(
    name="generalization-gap",
    question="Does Adam generalize worse than SGD with momentum, and does sharpness tell?",
    plan=lambda table, size: Runs(SCALES[size]).plan(table),
    conclude=conclude,
    control=control,
    draw=draw,
    beliefs=(*map(belief, PAIRS), FLATTER),
    measures=Runs(SCALES["small"]).measures,
    sources=("Wilson et al. 2017, arXiv 1705.08292v2", "Choi et al. 2019, arXiv 1910.05446v3"),
    expected="Worse at published settings, not worse when every method is tuned.",
)
