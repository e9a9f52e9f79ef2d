"""`adamproof reproduce NAME`: judge a counterexample and show it happening.

Where counterexamples, which only state their evidence, meet the engines that decide it.  The
verdict is "refuted" only if every step of the derivation is proved, the near-miss is refuted, the
exact run and all float runs do what is claimed of them; otherwise it is "undecided", with reasons.
"""

from __future__ import annotations

import difflib
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table
from rich.text import Text

from . import wishes
from .counterexamples.catalogue import catalogue
from .counterexamples.picture import FORMATS, save
from .counterexamples.record import Asked, Chosen, Counterexample, Evidence, Run
from .device import check_device
from .errors import UsageError
from .theory.records import Answer, Level, Step, Verdict


@dataclass
class Reproduced:
    """Everything that was found out about a counterexample."""

    example: Counterexample
    steps: tuple[Step, ...]
    answers: tuple[Answer, ...]
    control: Answer
    evidence: Evidence
    runs: tuple[Run, ...]
    reasons: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.reasons = [
            f"step {i} of the derivation is {a.verdict}" + (f" ({a.reason})" if a.reason else "")
            for i, a in enumerate(self.answers, 1)
            if a.verdict is not Verdict.PROVED
        ]
        if not self.answers:
            self.reasons.append("there is no derivation")
        if self.control.verdict is not Verdict.REFUTED:
            self.reasons.append(f"the near-miss is {self.control.verdict}, and should be refuted")
        failures = [self.evidence.failure, *(run.failure for run in self.runs)]
        self.reasons += [failure for failure in dict.fromkeys(failures) if failure]

    @property
    def verdict(self) -> Verdict:
        """What became of the statement that people believe."""
        return Verdict.UNDECIDED if self.reasons else Verdict.REFUTED

    @property
    def level(self) -> Level | None:
        """The level of the weakest step, once everything holds."""
        if self.reasons:
            return None
        return Level.weakest(answer.level for answer in self.answers if answer.level)

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        example, evidence = self.example, self.evidence
        return {
            "counterexample": example.id,
            "statement": example.title,
            "object": example.object,
            "verdict": str(self.verdict),
            "level": str(self.level) if self.level else None,
            "reasons": self.reasons,
            "derivation": [
                {
                    "text": step.text,
                    "why": step.why,
                    "verdict": str(answer.verdict),
                    "level": str(answer.level) if answer.level else None,
                    "engine": answer.engine,
                }
                for step, answer in zip(self.steps, self.answers, strict=True)
            ],
            "control": str(self.control.verdict),
            "exact": [dict(zip(evidence.columns, row, strict=True)) for row in evidence.rows],
            "runs": [run.as_dict() for run in self.runs],
            "breaks": example.breaks,
            "repair": example.repair,
            "open": example.open,
            "source": str(example.source),
            "refutes": list(example.refutes),
        }


def reproduce(
    name: str,
    *,
    steps: int | None = None,
    seeds: int | None = None,
    optimizer: str = "",
    plot: Path | None = None,
    device: str = "cpu",
    as_json: bool = False,
    wish: Chosen | None = None,
    console: Console | None = None,
) -> int:
    """Judge a counterexample, run it, and print what was found.

    Args:
        name: its id.
        steps: length of the float runs; by default long enough to see what is claimed.
        seeds: how many random repetitions, where there are any.
        optimizer: one more optimizer to run on it: a subject, or MODULE:CLASS(OPTION=VALUE, …).
        plot: draw the runs to this file.
        device: where the real optimizers run; the long runs are on the CPU.
        as_json: print one JSON object instead of tables.
        wish: numbers in place of the counterexample's own.
        console: where to print; by default the standard output.

    Returns:
        The exit status: 0 for "refuted", 1 for "undecided", when part of the evidence is missing.

    Raises:
        UsageError: the request cannot be met.
    """
    console = console or Console(width=None if sys.stdout.isatty() else 120)
    example = find(name)
    _check_counts(steps, seeds)
    example = wishes.chosen(example, wish or Chosen(), seeds)
    if plot is not None:
        _check_path(plot)
    check_device(device)
    with _without_collector(), _Bars(console, quiet=as_json) as bars:
        guest = (optimizer, wishes.optimizer(optimizer)) if optimizer else None
        asked = Asked(steps, seeds, device, guest, bars)
        found = judge(example, asked)
        if plot is not None:
            try:
                save(example, found.runs, plot)
            except OSError as error:
                raise UsageError(_unwritable(plot, error)) from error
    if as_json:
        console.print_json(data=found.as_dict())
    else:
        show(found, console)
        if plot is not None:
            console.print(f"picture: {plot}", markup=False, highlight=False, soft_wrap=True)
    return 0 if found.verdict is Verdict.REFUTED else 1


def run_all(
    out: Path | None, *, steps: int | None = None, seeds: int | None = None, device: str = "cpu"
) -> int:
    """Reproduce every counterexample into a folder with an index page.

    Returns:
        The exit status: 0 where all are refuted, 1 otherwise.

    Raises:
        UsageError: the request cannot be met.
    """
    from .gallery import everything

    if out is None:
        raise UsageError("reproduce all needs a folder to write to: --out DIR.")
    _check_counts(steps, seeds)
    check_device(device)
    console = Console(width=None if sys.stdout.isatty() else 120)
    with _without_collector(), _Bars(console, quiet=False) as bars:
        return everything(out, Asked(steps, seeds, device, report=bars), console)


def _check_counts(steps: int | None, seeds: int | None) -> None:
    for option, given in (("--steps", steps), ("--seeds", seeds)):
        if given is not None and given < 1:
            raise UsageError(f"{option} must be at least 1, got {given}.")


def listing(console: Console | None = None) -> int:
    """Print every counterexample: its id and the false statement.

    Returns:
        The exit status, 0.
    """
    rows = [(name, example.title) for name, example in catalogue().items()]
    _table(console or Console(), ("counterexample", "refutes"), rows)
    return 0


def find(name: str) -> Counterexample:
    """Return the counterexample of that id.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    known = catalogue()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name.lower().replace("_", "-"), known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
    raise UsageError(f"There is no counterexample {name!r}: {hint}")


def judge(example: Counterexample, asked: Asked | None = None) -> Reproduced:
    """Decide the derivation, replay the object exactly, and run it in floating point."""
    from .proofs_check.engines import decide

    asked = asked or Asked()
    report, derivation = asked.report, example.derivation()
    answers = []
    for done, step in enumerate(derivation):
        report("derivation", done, len(derivation))
        answers.append(decide(step.goal))
    report("derivation", len(derivation), len(derivation))
    control = decide(example.control())
    report("exact run", 0, 1)
    evidence = example.replay(min(asked.steps or example.replay_steps, example.replay_steps))
    report("exact run", 1, 1)
    report("optimizers", 0, 1)
    runs = wishes.runs(example, asked)
    report("optimizers", 1, 1)
    return Reproduced(example, derivation, tuple(answers), control, evidence, runs)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Keep the garbage collector away: imports make a million objects and next to no garbage.

    It costs a fifth of the time that torch, SymPy, numba and matplotlib take to load.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


# -- on the screen -------------------------------------------------------------------------------


class _Bars:
    """A progress bar for each kind of work; none when quiet or when nobody watches."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        watched = console.is_terminal and not quiet
        self._progress = Progress(console=console, transient=True) if watched else None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _Bars:
        self._context: AbstractContextManager[Any] = self._progress or nullcontext()
        self._context.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    def __call__(self, what: str, done: int, total: int, /) -> None:
        if self._progress is None:
            return
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)


_COLOURS = {Verdict.PROVED: "green", Verdict.REFUTED: "green", Verdict.UNDECIDED: "yellow"}


def show(found: Reproduced, console: Console) -> None:
    """Print what was found, from the belief to the verdict."""
    example = found.example
    console.rule(Text(example.id))
    _pairs(console, ("believed", example.title), ("because", example.why_believed),
           ("object", example.object), ("in fact", example.breaks))  # fmt: skip
    _heading(console, "Derivation")
    proof = Table.grid(padding=(0, 2))
    proof.add_column(justify="right")
    proof.add_column()
    proof.add_column(no_wrap=True)
    for i, (step, answer) in enumerate(zip(found.steps, found.answers, strict=True), 1):
        line = Text(step.text).append(f"\n{step.why}", style="dim")
        told = str(answer.verdict) + (f", {answer.level}" if answer.level else "")
        proof.add_row(str(i), line, Text(told, style=_COLOURS.get(answer.verdict, "red")))
    console.print(proof)
    _print(console, f"Near-miss, which must be refuted: {found.control.verdict}.")
    _heading(console, "Exact run")
    _print(console, found.evidence.about)
    _table(console, found.evidence.columns, found.evidence.rows)
    lengths = sorted({run.steps for run in found.runs})
    _heading(console, f"Floating point, {' or '.join(f'{n:,}' for n in lengths)} steps")
    columns = tuple(dict.fromkeys(name for run in found.runs for name in run.found))
    checked = any(run.agreement for run in found.runs)
    headings = ("run", "rule", *columns, *(["quick form against it"] if checked else []))
    _table(console, headings, [_cells(run, columns, checked) for run in found.runs])
    for remark in dict.fromkeys(run.remark for run in found.runs if run.remark):
        names = [run.name for run in found.runs if run.remark == remark]
        _print(console, f"{', '.join(names)}: {remark}")
    console.print()
    level = f", level {found.level}" if found.level else ""
    _print(console, f"{found.verdict}{level}", style=f"bold {_COLOURS[found.verdict]}")
    for reason in found.reasons:
        _print(console, f"- {reason}")
    _pairs(console, ("repaired by", example.repair), ("open", example.open),
           ("source", str(example.source)),
           *([("claims", ", ".join(example.refutes))] if example.refutes else []))  # fmt: skip


def _cells(run: Run, columns: Sequence[str], checked: bool) -> tuple[str, ...]:
    values = (run.found.get(name, "") for name in columns)
    shown = [f"{v:.6g}" if isinstance(v, float) else str(v) for v in values]
    return (run.name, run.method, *shown, *([run.agreement] if checked else []))


def _pairs(console: Console, *rows: tuple[str, str]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for label, text in rows:
        table.add_row(label, Text(text))
    console.print(table)


def _print(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style))


def _heading(console: Console, text: str) -> None:
    console.print()
    _print(console, text, style="bold underline")


def _table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="italic")
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


# -- requests ------------------------------------------------------------------------------------


def _check_path(path: Path) -> None:
    if path.suffix[1:].lower() not in FORMATS:
        endings = ", ".join(FORMATS)
        raise UsageError(f"--plot draws {endings}, and {path.name!r} ends in none of them.")
    if path.is_dir():
        raise UsageError(_unwritable(path, "it is a folder"))
    if not path.parent.is_dir():
        raise UsageError(_unwritable(path, f"there is no folder {path.parent}"))
    if not os.access(path.parent, os.W_OK):
        raise UsageError(_unwritable(path, f"the folder {path.parent} is read-only"))


def _unwritable(path: Path, why: object) -> str:
    return f"The picture cannot be written to {path}: {why}."
