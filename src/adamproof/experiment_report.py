"""What a study found, on the screen and as JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import progress
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .experiments.runner import State
from .experiments.study import Finding, Outcome, Study
from .experiments.verdicts import Verdicts

STYLE = {
    Outcome.SUPPORTED: "green",
    Outcome.CONTRADICTED: "magenta",
    Outcome.NO_DIFFERENCE: "cyan",
    Outcome.METRIC_DEPENDENT: "yellow",
    Outcome.INCONCLUSIVE: "yellow",
}


class _Speed(progress.ProgressColumn):
    """Rows a second."""

    def render(self, task: progress.Task) -> Text:
        return Text(f"{task.speed:.3g} rows/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def watched(name: str) -> Iterator[Any]:
    """Yield what the runner reports to: a bar for each stage, on standard error, if it is watched."""
    console = Console(stderr=True)
    shown = (progress.TextColumn("[progress.description]{task.description}"), progress.BarColumn(),
               progress.MofNCompleteColumn(), _Speed(), progress.TimeRemainingColumn())  # fmt: skip
    bars = progress.Progress(*shown, console=console, transient=True, disable=not console.is_terminal,
                    speed_estimate_period=600)  # fmt: skip
    stages: dict[str, Any] = {}

    def told(stage: str, done: int, wanted: int) -> None:
        if stage not in stages:
            stages[stage] = bars.add_task(f"{name}, {stage}", total=wanted, completed=done)
        bars.update(stages[stage], completed=done)

    with bars:
        yield told


def report(
    study: Study,
    size: str,
    state: State,
    found: Verdicts | None,
    pictures: Sequence[Path],
    notes: Sequence[str],
    *,
    as_json: bool,
) -> int:
    """Print what a study found, and what is missing of it.

    Returns:
        The exit status: 1 if a control failed.
    """
    failed = found is not None and not all(control.passed for control in found.controls)
    missing = sum(map(len, state.missing))
    if as_json:
        verdicts = json.loads(found.text) if found else {"findings": None, "controls": None}
        whole = {"study": study.name, "size": size, "question": study.question,
                 "rows": len(state.table), "missing": missing, **verdicts,
                 "pictures": [str(path) for path in pictures], "notes": list(notes)}  # fmt: skip
        print(json.dumps(finite(whole), indent=1, ensure_ascii=False, allow_nan=False))
        return int(failed)
    console = terminal()
    console.print(Text(f"{study.name}, size {size}: {study.question}", style="bold"))
    if found is None:
        so_far = f"{len(state.table)} rows are known, {missing} are missing"
        then = " in this stage, and what follows from them" if state.stage > 1 or state.table else ""
        console.print(Text(f"not finished: {so_far}{then}."))
        console.print(Text(f"adamproof experiment run {study.name} --size {size} goes on."))
        for belief in study.beliefs:
            console.print(Text(f"· {belief}: not run"))
        return 0
    console.print(findings_table(found.findings))
    checks = columns("control", "", "detail")
    for control in found.controls:
        mark = Text("passed", "green") if control.passed else Text("FAILED", "bold red")
        checks.add_row(Text(control.name), mark, Text(control.detail))
    if found.controls:
        console.print(checks)
    for note in dict.fromkeys(finding.note for finding in found.findings if finding.note):
        about = [f"{f.belief} ({f.where})" for f in found.findings if f.note == note]
        every = len(about) == len(found.findings)
        _line(console, f"note: {note}" if every else f"note: {note}: {'; '.join(about)}")
    for line in (*(f"note: {note}" for note in notes), *(f"picture: {path}" for path in pictures)):
        _line(console, line)
    return int(failed)


def findings_table(findings: Sequence[Finding]) -> Table:
    """Return findings as a table."""
    table = columns("belief", "outcome", "effect [95 %]", "p", "runs", "where", "theorems")
    for f in findings:
        p = "—" if f.p is None else f"{f.p:.2g}"
        table.add_row(Text(f.belief), Text(f.outcome, STYLE[f.outcome]), Text(effect(f)), p, str(f.runs),
                      Text(f.where), Text(", ".join(f.theorems)))  # fmt: skip
    return table


def effect(finding: Finding) -> str:
    """Return an effect as a table shows it.

    >>> effect(Finding("b", Outcome.SUPPORTED, 0.123456, (-0.5, 1e-9), "points"))
    '+0.1235 [-0.5, +1e-09] points'
    """
    low, high = finding.interval
    return f"{finding.effect:+.4g} [{low:+.4g}, {high:+.4g}] {finding.unit}".rstrip()


def finite(value: Any) -> Any:
    """Return a value with ``null`` for what JSON cannot hold.

    >>> finite({"a": [1.0, float("nan")]})
    {'a': [1.0, None]}
    """
    if isinstance(value, dict):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def terminal() -> Console:
    """Return the standard output; wide where nobody watches."""
    return Console(width=None if sys.stdout.isatty() else 140, highlight=False)


def _line(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=True)


def columns(*names: str) -> Table:
    """Return an empty table without lines."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="italic")
    for name in names:
        table.add_column(Text(name), overflow="fold")
    return table
