"""Can learning rate and weight decay be tuned one by one?

Question:   Over a grid of (α, λ), does the best λ depend on α: for Adam with λ in the gradient, for
            AdamW as frameworks run it (the decay is α λ), and as its authors wrote it (λ alone)?
Protocol:   Digits with 20 % of the training labels struck, so that decay has something to do; cosine
            annealing.  For each seed a grid of test errors; how far it is from a sum of a function of α
            and one of λ is the share of interaction in its variance (two-way analysis of variance with
            one value in a cell), 0 where the two can be tuned one by one.  Runs that diverged count as
            chance.
Sources:    Loshchilov & Hutter 2019 (arXiv 1711.05101v3), Figure 2; the claims decoupled-decay and
            l2-scaled-by-gradient on what each form does to a weight.
Expected:   Less interaction for AdamW than for Adam with L2, least for the uncoupled form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, starmap
from pathlib import Path

import numpy as np

from .comparison import ask, judged
from .metrics import METRICS
from .spec import Spec
from .statistics import Array
from .study import Finding, Size, Study, Table
from .training import Training

TASK = "digits-noisy"
RATES = ("10^-7/2", "10^-6/2", "10^-5/2", "10^-4/2", "10^-3/2")
MARGIN = 0.05
CHANCE = 90.0


@dataclass(frozen=True)
class Form:
    """A form of decay: its method, its name, and decays that reach from none to too much."""

    method: str
    name: str
    decays: tuple[str, ...]


FORMS = (
    Form("adam-l2", "Adam with L2", ("0", "10^-4", "10^-3", "10^-2", "10^-1")),
    Form("adamw", "AdamW, decay α λ", ("0", "10^-2", "10^-1", "1", "10")),
    Form("adamw-uncoupled", "AdamW, decay λ", ("0", "10^-5", "10^-4", "10^-3", "10^-2")),
)
PAIRS = tuple(combinations((form.name for form in FORMS), 2))
SEEDS: Mapping[Size, int] = {"small": 10, "default": 40, "large": 200}
EPOCHS: Mapping[Size, int] = {"small": 20, "default": 60, "large": 200}


def specs(size: Size, form: Form, rate: str, decay: str) -> list[Spec]:
    """Return the runs at one point of the grid."""
    options = (
        ("lr", rate), ("optimizer.weight_decay", decay), ("epochs", str(EPOCHS[size])),
        ("anneal", "cosine"),
    )  # fmt: skip
    return [Spec("training", TASK, form.method, seed, options) for seed in range(SEEDS[size])]


def plan(table: Table, size: Size) -> list[Spec]:
    """Return the whole grid of every form."""
    return [s for form in FORMS for a in RATES for b in form.decays for s in specs(size, form, a, b)]


def grids(table: Table, size: Size, form: Form) -> Array:
    """Return test errors in per cent, (seeds, learning rates, decays)."""

    def error(spec: Spec) -> float:
        row = table[spec]
        return CHANCE if row["diverged"] or row["test_error"] is None else float(row["test_error"])

    return np.array([
        [[error(s) for s in specs(size, form, a, b)] for b in form.decays] for a in RATES
    ]).transpose(2, 0, 1)


def interaction(grid: Array) -> float:
    """Return the share of a grid's variance that is no sum of a row's and a column's part, in [0, 1].

    >>> interaction(np.add.outer([1.0, 2.0], [0.0, 5.0]))
    0.0
    >>> interaction(np.outer([-1.0, 1.0], [-1.0, 1.0]))
    1.0
    """
    centred = grid - grid.mean()
    rest = centred - centred.mean(0) - centred.mean(1)[:, None]
    total = float((centred**2).sum())
    return float((rest**2).sum()) / total if total else 0.0


def conclude(table: Table, size: Size) -> Sequence[Finding]:
    """Return how much more each form interacts than the next."""
    shares = {form.name: [interaction(grid) for grid in grids(table, size, form)] for form in FORMS}
    questions = []
    for first, second in PAIRS:
        differences = [a - b for a, b in zip(shares[first], shares[second], strict=True)]
        means = f"{np.mean(shares[first]):.2f} against {np.mean(shares[second]):.2f}"
        unit = "share of interaction"
        questions.append(ask(belief(first, second), differences, MARGIN, unit, TASK, means))
    return judged(questions)


def draw(table: Table, size: Size, folder: Path) -> Sequence[Path]:
    """Draw the mean test error over the grid of each form."""
    from .pictures import heat_maps

    maps = {form.name: grids(table, size, form).mean(0).tolist() for form in FORMS}
    decays = [form.decays for form in FORMS]
    title = "Learning rate and weight decay: can they be tuned one by one?"
    return [heat_maps(folder / "grid.png", maps, RATES, decays, "test error (%)", title)]


def belief(first: str, second: str) -> str:
    """Return the belief about two forms, as a sentence."""
    return f"α and λ interact more in {first} than in {second}"


STUDY = Study(
    name="l2-vs-decay",
    question="Can learning rate and weight decay be tuned one by one?",
    plan=plan,
    conclude=conclude,
    draw=draw,
    beliefs=tuple(starmap(belief, PAIRS)),
    measures={"training": Training(METRICS)},
    sources=("Loshchilov & Hutter 2019, arXiv 1711.05101v3, Figure 2",),
    expected="Less interaction for AdamW than for Adam with L2, least for the uncoupled form.",
)
