"""A study of toys, for the tests of the runner, and a script that runs it in a process of its own.

``python toy.py STORE LOG [key=value …]``: ``workers``, ``scheduler``, ``seconds`` of each job, ``die``
(a folder: the job of seed 5 kills its worker, as often as there is no file in there), ``size``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adamproof.experiments import runner, workers
from adamproof.experiments.spec import Job, Row, Spec
from adamproof.experiments.store import Store
from adamproof.experiments.study import Control, Finding, Outcome, Study, Table

TASKS: dict[str, object] = {"valley": 2.0, "ridge": 3.0}
METHODS: dict[str, object] = {"sgd": 0.5, "adam": 0.25}


@dataclass(frozen=True)
class Slope:
    """The measure: slow when asked to, deadly for one seed when asked to; it logs what it computes."""

    log: str = ""
    seconds: float = 0.0
    die: str = ""
    deaths: int = 1

    def __call__(self, job: Job) -> Sequence[Row]:
        if self.die and 5 in job.seeds and len(os.listdir(self.die)) < self.deaths:
            (Path(self.die) / str(len(os.listdir(self.die)))).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        if self.log:
            lines = "".join(f"{spec.key}\n" for spec in job.specs)
            with open(self.log, "a") as file:
                file.write(lines)
        return [{"loss": job.task * job.method**seed, "nan": float("nan")} for seed in job.seeds]  # type: ignore[operator]


def plan(table: Table, size: str) -> list[Spec]:
    """Twelve seeds of everything; then as many more of the method that lost least."""
    seeds = {"small": 12, "default": 24, "large": 48}[size]
    first = [
        Spec("slope", task, method, seed)
        for task in TASKS
        for method in METHODS
        for seed in range(seeds)
    ]
    if not table:
        return first
    best = min(METHODS, key=lambda m: sum(table.where(method=m, task="ridge").by_seed("loss").values()))
    return first + [Spec("slope", "ridge", best, seed, (("again", "1"),)) for seed in range(seeds)]


def finding(mean: float, runs: int) -> Finding:
    interval = (mean - 1, mean + 1)
    return Finding("Adam falls faster.", Outcome.SUPPORTED, mean, interval, "loss", 0.01, runs, "ridge",
                   "two ridges", ("eps-hat",))  # fmt: skip


def conclude(table: Table, size: str) -> list[Finding]:
    losses = list(table.where(task="ridge", method="adam").by_seed("loss").values())
    return [finding(sum(losses) / len(losses), len(losses))]


def study(measure: Any = None, **changes: Any) -> Study:
    """Return the study, with another measure if need be."""
    parts: dict[str, Any] = {
        "name": "toy",
        "question": "Which toy falls faster?",
        "plan": plan,
        "conclude": conclude,
        "beliefs": ("Adam falls faster.",),
        "measures": {"slope": measure or Slope()},
        "control": lambda table, size: [Control("rows", len(table) > 0, f"{len(table)} rows")],
    }
    return Study(**(parts | changes))


def compute(store: Store, which: Study, size: str = "small", **how: Any) -> Table:
    """Run the study in batches of three."""
    return runner.run(which, size, store, tasks=TASKS, methods=METHODS, width=3, **how)


def main(store: str, log: str, *settings: str) -> None:
    given = dict(setting.split("=", 1) for setting in settings)
    deaths = int(given.get("deaths", "1"))
    measure = Slope(log, float(given.get("seconds", "0")), given.get("die", ""), deaths)
    context: Any = nullcontext((None, None))
    if "workers" in given:
        context = workers.processes(int(given["workers"]))
    if "scheduler" in given:
        context = workers.cluster(given["scheduler"])
    with Store(Path(store)) as opened, context as (executor, in_flight):
        table = compute(opened, study(measure), executor=executor, in_flight=in_flight)
    print(len(table))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    main(*sys.argv[1:])
