"""Does Adam lose its direction, and does it jitter near the end?

Question:   Do an adaptive method's consecutive steps point less the same way than those of SGD with
            momentum, and does it move more about its last point, at a constant and at an annealed rate?
Protocol:   The tuned learning rates of `comparison`; each method once at a constant rate and once with
            cosine annealing.  Direction: the mean cosine of consecutive steps.  Jitter: the root mean
            square distance of the last two epochs to the last point, over the length of the whole way.
Sources:    Folklore; adam-limit-cycle in counterexamples/ shows that with a constant rate Adam need not
            come to rest even without noise.
Expected:   Annealing removes the jitter, whichever the method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from .comparison import REFERENCE, SCALES, TUNED, Runs, ask, judged, less, value
from .spec import Row, Spec
from .study import Finding, Size, Study, Table

METHODS_HERE = ("adam", "adamw", "rmsprop", "signum")
CONSTANT, ANNEALED = "constant rate", "annealed rate"


def jitter(row: Row) -> float:
    """Return the logarithm of the distance about the last point over the whole way."""
    about, way = value("oscillation")(row), value("distance")(row)
    return math.log(about / way) if about > 0 and way > 0 else math.nan


def annealed(runs: Runs, task: str, method: str, rate: str) -> list[Spec]:
    """Return the runs of a method with cosine annealing."""
    options = (("lr", rate), ("epochs", str(runs.scale.epochs)), ("anneal", "cosine"))
    return [Spec("training", task, method, seed, options) for seed in range(runs.scale.seeds)]


def shown(runs: Runs) -> list[str]:
    """Return the methods that this study looks at, the reference first."""
    return [REFERENCE, *(m for m in METHODS_HERE if m in runs.scale.methods)]


def plan(table: Table, size: Size) -> list[Spec]:
    """Return the runs of the comparison, and the annealed ones once tuning is known."""
    runs = Runs(SCALES[size])
    specs = runs.plan(table)
    for task in runs.scale.tasks:
        for method in shown(runs):
            best = runs.tuned(table, task, method).best
            specs += annealed(runs, task, method, best) if best is not None else []
    return specs


def rows(runs: Runs, table: Table, task: str, method: str, kind: str) -> list[Row]:
    """Return the rows of a method at a kind of rate, by seed."""
    if kind == CONSTANT:
        return runs.rows(table, task, method, TUNED)
    return [table[s] for s in annealed(runs, task, method, runs.rate(table, task, method, TUNED))]


def conclude(table: Table, size: Size) -> Sequence[Finding]:
    """Return findings on direction and on jitter, against the reference and against annealing."""
    runs = Runs(SCALES[size])
    direction, restless, calmed = [], [], []

    for task in runs.scale.tasks:
        for kind in (CONSTANT, ANNEALED):
            reference = rows(runs, table, task, REFERENCE, kind)
            where = f"{task}, tuned, {kind}"
            for method in shown(runs)[1:]:
                own = rows(runs, table, task, method, kind)
                cosines = less(reference, own, value("update_cosine"))
                direction.append(ask(forgets(method), cosines, 0.05, "cosine", where))
                about = less(own, reference, jitter)
                restless.append(ask(jitters(method), about, math.log(1.1), "log ratio", where))
        for method in shown(runs):
            kept, rested = (rows(runs, table, task, method, kind) for kind in (CONSTANT, ANNEALED))
            change = less(kept, rested, jitter)
            calmed.append(ask(rests(method), change, math.log(1.1), "log ratio", f"{task}, tuned"))
    return [*judged(direction), *judged(restless), *judged(calmed)]


def forgets(method: str) -> str:
    """Return the belief about direction."""
    return f"consecutive steps of {method} are less alike than those of {REFERENCE}"


def jitters(method: str) -> str:
    """Return the belief about jitter."""
    return f"{method} moves more about its last point than {REFERENCE}"


def rests(method: str) -> str:
    """Return the belief about annealing."""
    return f"annealing calms {method}"


def draw(table: Table, size: Size, folder: Path) -> Sequence[Path]:
    """Draw the jitter of every method, at a constant and at an annealed rate."""
    from .pictures import intervals

    runs, made = Runs(SCALES[size]), []
    for task in runs.scale.tasks:
        values = {
            (method, kind): [math.exp(jitter(row)) for row in rows(runs, table, task, method, kind)]
            for method in shown(runs)
            for kind in (CONSTANT, ANNEALED)
        }
        label = "movement of the last two epochs over the whole way"
        made.append(intervals(folder / f"{task}-jitter.png", values, label, task))
    return made


STUDY = Study(
    name="memory-and-jitter",
    question="Does Adam lose its direction, and does it jitter near the end?",
    plan=plan,
    conclude=conclude,
    draw=draw,
    beliefs=(
        *map(forgets, METHODS_HERE),
        *map(jitters, METHODS_HERE),
        *map(rests, (REFERENCE, *METHODS_HERE)),
    ),
    measures=Runs(SCALES["small"]).measures,
    expected="Annealing removes the jitter, whichever the method.",
)
