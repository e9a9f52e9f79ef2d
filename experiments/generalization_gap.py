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
    PUBLISHED,
    REFERENCE,
    SCALES,
    TUNED,
    Runs,
    around,
    ask,
    controls,
    judged,
    logarithm,
    value,
)
from .spec import Row
from .statistics import tau
from .study import Control, Finding, Size, Study, Table

MARGIN = 0.5
PAIRS = (
    ("adam", REFERENCE), ("adamw", REFERENCE), ("rmsprop", REFERENCE), ("amsgrad", REFERENCE),
    ("radam", REFERENCE), ("adabelief", REFERENCE), ("adabound", REFERENCE),
    ("adam-then-sgd", REFERENCE), ("adam", "adamw"),
)  # fmt: skip
FLATTER = "flatter points have the smaller gap"


def gap(row: Row) -> float:
    """Return test error less training error, in percentage points."""
    return value("test_error")(row) - value("train_error")(row)


def conclude(table: Table, size: Size) -> Sequence[Finding]:
    """Return a finding for each pair, task and setting, and for the relation of sharpness to the gap."""
    runs = Runs(SCALES[size])
    errors, relations = [], []
    for pair in PAIRS:
        if not set(pair) <= set(runs.scale.methods):
            continue
        for task in runs.scale.tasks:
            for setting in (PUBLISHED, TUNED):
                found = runs.differences(table, task, setting, pair, value("test_error"))
                belief = f"{pair[0]} has a larger test error than {pair[1]}"
                errors.append(ask(belief, found, MARGIN, "percentage points", f"{task}, {setting}"))
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
    means = []
    rates = {m: [*around(best := runs.rate(table, task, m, TUNED)), best] for m in runs.scale.methods}
    for seed in range(runs.scale.within):
        found = []
        for method, chosen in rates.items():
            rows = [table[runs.within(task, method, rate)[seed]] for rate in chosen[:-1]]
            rows.append(table[runs.evaluation(task, method, chosen[-1])[seed]])
            found.append(tau([logarithm(name)(row) for row in rows], [gap(row) for row in rows]))
        known = [t for t in found if math.isfinite(t)]
        means.append(sum(known) / len(known) if known else math.nan)
    return means


def control(table: Table, size: Size) -> Sequence[Control]:
    """Return the controls of the comparison."""
    return controls(Runs(SCALES[size]), table)


def draw(table: Table, size: Size, folder: Path) -> Sequence[Path]:
    """Draw the test error of every method, published and tuned."""
    from .pictures import intervals

    runs = Runs(SCALES[size])
    made = []
    for task in runs.scale.tasks:
        errors = {
            (method, setting): list(map(value("test_error"), runs.rows(table, task, method, setting)))
            for method in runs.scale.methods
            for setting in (PUBLISHED, TUNED)
        }
        made.append(intervals(folder / f"{task}-test-error.png", errors, "test error (%)", task))
    return made


STUDY = Study(
    name="generalization-gap",
    question="Does Adam generalize worse than SGD with momentum, and does sharpness tell?",
    plan=lambda table, size: Runs(SCALES[size]).plan(table),
    conclude=conclude,
    control=control,
    draw=draw,
    beliefs=(*(f"{a} has a larger test error than {b}" for a, b in PAIRS), FLATTER),
    measures=Runs(SCALES["small"]).measures,
    sources=("Wilson et al. 2017, arXiv 1705.08292v2", "Choi et al. 2019, arXiv 1910.05446v3"),
    expected="Worse at published settings, not worse when every method is tuned.",
)
