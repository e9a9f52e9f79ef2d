"""`adamproof check`: judge, compare with the ledger, report."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from . import measured
from .device import check_device
from .errors import UsageError
from .proofs_check import ledger, matrix, report
from .proofs_check.judge import SAME_RULE, Judge
from .proofs_check.store import Store, StoreError, default_path
from .proofs_check.subjects import Subject, UnknownSubject, builtin, nearest, resolve
from .proofs_check.symbolic import LiftError
from .theory.catalogue import claims
from .theory.records import Claim, Finding, Verdict

#: Differences from the ledger that are named without --all.
MAX_DIFFERENCES = 40


def claim_or_fail(name: str) -> Claim:
    """Return the claim of that id.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    known = claims()
    if name not in known:
        raise UsageError(f"there is no claim {name!r}; {nearest(name, known)}")
    return known[name]


def family_or_fail(name: str) -> str:
    """Return the family of that name, or of which it is the beginning.

    Raises:
        UsageError: there is none, or more than one; the message lists them.
    """
    families = list(dict.fromkeys(c.family for c in claims().values()))
    begun = [f for f in families if f.lower().startswith(name.lower())]
    if name in families or len(begun) == 1:
        return name if name in families else begun[0]
    guess = nearest(name, families)
    told = guess if guess.startswith("did you mean") else f"there are {', '.join(families)}"
    raise UsageError(f"there is no family {name!r}; {told}")


def subject_or_fail(text: str, options: Sequence[str] = (), against: str = "") -> Subject:
    """Return the subject, lifted.

    Raises:
        UsageError: it cannot be found, built, run or lifted.
    """
    try:
        subject = resolve(text, options, against)
        _ = subject.rule
    except (UnknownSubject, LiftError) as error:
        raise UsageError(str(error)) from error
    return subject


def check(
    *,
    claim_ids: Sequence[str],
    subject_ids: Sequence[str],
    family: str,
    options: Sequence[str],
    against: str,
    device: str,
    as_json: bool,
    junit: Path | None,
    update: bool,
    everything: bool,
    no_cache: bool,
    collapse: bool,
) -> int:
    """Run the check and return the exit status.

    Raises:
        UsageError: an argument is wrong, or a file cannot be read or written.
    """
    check_device(device)
    chosen = [claim_or_fail(c) for c in claim_ids] or list(claims().values())
    if family:
        family = family_or_fail(family)
        chosen = [c for c in chosen if c.family == family]
        if not chosen:
            raise UsageError(f"{', '.join(claim_ids)} is not of the family {family!r}")
    if (options or against) and not subject_ids:
        raise UsageError("--option and --against describe a subject: name it with --subject")
    complete = not (claim_ids or subject_ids or family)
    if update and not complete:
        raise UsageError("--update-ledger records everything; leave the other filters away")
    if junit is not None and not junit.resolve().parent.is_dir():
        raise UsageError(f"the folder of {junit} does not exist; create it first")
    if junit is not None and junit.is_dir():
        raise UsageError(f"{junit} is a folder; name a file in it")
    try:
        rows = {} if update else ledger.load()
    except ledger.LedgerError as error:
        raise UsageError(str(error)) from error
    subjects = [subject_or_fail(s, options, against) for s in subject_ids]
    with _remembered(use=not (update or no_cache)) as remembered:
        judge = Judge(device=device, remembered=remembered)
        findings = _judge(judge, subjects or list(builtin().values()), chosen)
    if subject_ids and not [c for c in chosen if c.about == "mathematics" and claim_ids]:
        findings = [f for f in findings if f.subject != "mathematics"]
    if not findings:
        raise UsageError("none of the chosen claims applies to any of the chosen subjects")
    view = "json" if as_json else "families" if collapse else "matrix"
    if everything or (not complete and not collapse and not as_json):
        view = "list"
    return _outcome(findings, subjects, rows, complete, view, junit, update, everything)


@contextmanager
def _remembered(*, use: bool) -> Iterator[Store | None]:
    """Open what was found before; a cache that cannot be used is told of, and done without."""
    path, opened = default_path() if use else None, None
    try:
        opened = Store(path) if path else None
    except StoreError as error:
        Console(stderr=True).print(f"note: {error}", highlight=False, markup=False, soft_wrap=True)
    try:
        yield opened
    finally:
        if opened is not None:
            opened.close()


def _judge(judge: Judge, subjects: list[Subject], chosen: list[Claim]) -> list[Finding]:
    """Judge with a progress bar on standard error."""
    columns = (
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    out: list[Finding] = []
    console = Console(stderr=True)
    hidden = not console.is_terminal  # where it would leave an empty line
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("judging", total=len(subjects) + 1)
        out += judge.all([], chosen)
        progress.advance(task)
        rules = [c for c in chosen if c.about != "mathematics"]
        for subject in subjects:
            progress.update(task, description=report.short(subject.id)[:40])
            out += judge.all([subject], rules)
            progress.advance(task)
    return out


def _outcome(
    findings: list[Finding],
    subjects: list[Subject],
    rows: ledger.Rows,
    complete: bool,
    view: str,
    junit: Path | None,
    update: bool,
    everything: bool,
) -> int:
    piped = None if sys.stdout.isatty() else shutil.get_terminal_size((110, 24)).columns
    console = Console(width=piped)
    notes = Console(stderr=True)
    own = {s.id for s in subjects if s.kind == "user"}
    known = [f for f in findings if f.subject not in own]
    differences, moved = ([], 0) if update else ledger.compare(known, rows, complete=complete)
    for f in findings:
        if f.subject in own and f.claim == SAME_RULE and f.verdict is not Verdict.PROVED:
            found = f"{f.verdict} {f.reason}".strip()
            differences.append(ledger.Difference(f.claim, f.subject, "proved (--against)", found))
    if update:
        ledger.save(findings)
        notes.print(f"recorded {len(findings)} findings in {ledger.PATH.name}", highlight=False)
    if junit is not None:
        try:
            report.write_junit(findings, differences, junit)
        except OSError as error:
            raise UsageError(f"{junit} cannot be written: {error.strerror}") from error
    if view == "json":
        print(report.as_json(findings))
    else:
        if view == "list":
            console.print(report.table(findings, limit=10_000 if everything else 3))
        else:
            known_subjects = {**builtin(), **{s.id: s for s in subjects}}
            collapsed = view == "families"
            for part in matrix.matrix(
                findings, known_subjects, collapsed=collapsed, width=console.width
            ):
                console.print(part)
            console.print(Text(matrix.LEGEND, style="dim"))
            if complete:
                for line in measured.table(notes):
                    console.print(line)
        console.print(report.summary(findings), highlight=False)
        for f in findings:
            if f.verdict is Verdict.UNDECIDED:
                console.print(f"undecided: {f.claim} on {f.subject}: {f.reason}", markup=False)
            elif f.subject in own and f.witness is not None and f.claim == SAME_RULE:
                shown = ", ".join(f"{n} = {v}" for n, v in f.witness.point.items())
                console.print(f"differs from the paper's rule at {shown}", markup=False)
    if moved:
        why = "another version, or an edited file"
        told = f"note: {moved} code hashes moved since the ledger was written ({why})"
        notes.print(told, highlight=False, soft_wrap=True)
    named = differences if everything else differences[:MAX_DIFFERENCES]
    for difference in named:
        notes.print(f"differs: {difference}", highlight=False, markup=False, soft_wrap=True)
    if len(named) < len(differences):
        more = len(differences) - len(named)
        notes.print(f"differs: {more} findings more; --all names them", highlight=False, soft_wrap=True)
    return 1 if differences else 0
