"""Findings as a table for a terminal, as JSON, and as JUnit XML."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from ..theory.catalogue import claims
from ..theory.records import Finding, Verdict
from .ledger import Difference

_STYLE = {
    Verdict.PROVED: "green",
    Verdict.REFUTED: "magenta",
    Verdict.UNDECIDED: "yellow",
    Verdict.MEASURED: "cyan",
}
_MARK = {Verdict.PROVED: "✓", Verdict.REFUTED: "✗", Verdict.UNDECIDED: "?", Verdict.MEASURED: "~"}
_ORIGINS = {"torch.optim:": "torch", "adamproof.optimizers:": "ours", "paper:": "paper"}


def short(subject: str) -> str:
    """Return a subject as a table shows it: ``torch Adam(amsgrad)``, ``ours AMSGrad(after_max)``."""
    for prefix, word in _ORIGINS.items():
        if subject.startswith(prefix):
            name, bracket, inside = subject.removeprefix(prefix).partition("(")
            words = [_option(o) for o in inside.rstrip(")").split(", ")] if bracket else []
            return f"{word} {name}({', '.join(words)})" if words else f"{word} {name}"
    return subject


def _option(text: str) -> str:
    name, _, value = text.partition("=")
    return value.strip("'") if value.startswith("'") else name


def grouped(subjects: Sequence[str], limit: int) -> str:
    """Return the subjects by origin, a line each, at most ``limit`` names a line.

    The single- and the multi-tensor form of a class, and our reference and shipped forms, go under
    one name.
    """
    parts: dict[str, list[str]] = {}
    for subject in subjects:
        origin, _, name = short(subject).partition(" ")
        name = name.replace(", foreach", "").replace("(foreach)", "").replace("Reference", "")
        parts.setdefault(origin, []).append(name)
    lines = []
    for origin, names in parts.items():
        kept = list(dict.fromkeys(names))
        more = f" +{len(kept) - limit}" if len(kept) > limit else ""
        lines.append(f"{origin}: {', '.join(kept[:limit])}{more}" if kept[0] else origin)
    return "\n".join(lines)


def table(findings: Sequence[Finding], *, limit: int = 3, width: int | None = None) -> Table:
    """Return the table of claims × subjects, subjects of one verdict and level on one row."""
    shown = Table(title="Claims × subjects", box=box.SIMPLE_HEAD, width=width, pad_edge=False)
    shown.add_column("claim", style="bold", no_wrap=True)
    shown.add_column("verdict", no_wrap=True)
    shown.add_column("level", no_wrap=True)
    shown.add_column("n", justify="right")
    shown.add_column("subjects", overflow="fold")
    family = None
    for claim in claims().values():
        rows: dict[tuple[Verdict, str], list[str]] = {}
        for f in findings:
            if f.claim == claim.id:
                rows.setdefault((f.verdict, str(f.level or "—")), []).append(f.subject)
        if rows and claim.family != family:
            family = claim.family
            shown.add_row(Text(family.upper(), style="dim"), "", "", "", "")
        for index, ((verdict, level), subjects) in enumerate(rows.items()):
            style = _STYLE[verdict]
            shown.add_row(claim.id if index == 0 else "", Text(f"{_MARK[verdict]} {verdict}", style),
                          level, str(len(subjects)), grouped(subjects, limit))  # fmt: skip
    return shown


def summary(findings: Sequence[Finding]) -> str:
    """Return one line: how many findings of each verdict and level."""
    verdicts = Counter(str(f.verdict) for f in findings)
    levels = Counter(str(f.level) for f in findings if f.level)
    told = ", ".join(f"{n} {v}" for v, n in sorted(verdicts.items()))
    by = ", ".join(f"{n} {v}" for v, n in sorted(levels.items()))
    judged = len({f.claim for f in findings})
    return f"{judged} claims, {len(findings)} findings: {told}. By level: {by}."


def as_json(findings: Sequence[Finding]) -> str:
    """Return the findings as a JSON list."""
    return json.dumps([f.as_dict() for f in findings], indent=1, ensure_ascii=False)


def write_junit(findings: Sequence[Finding], failures: Sequence[Difference], path: Path) -> None:
    """Write one test case per finding: a failure where it is not as expected, skipped where undecided.

    Raises:
        OSError: the file cannot be written.
    """
    failing = {(d.claim, d.subject): d for d in failures}
    suite = ET.Element("testsuite", name="adamproof", tests=str(len(findings)),
                       failures=str(len(failing)))  # fmt: skip
    for f in findings:
        case = ET.SubElement(suite, "testcase", classname=f"adamproof.{f.claim}", name=f.subject,
                             time=f"{f.seconds:.4f}")  # fmt: skip
        ET.SubElement(case, "system-out").text = f"{f.verdict} {f.level or ''} {f.reason}".strip()
        difference = failing.pop((f.claim, f.subject), None)
        if difference is not None:
            ET.SubElement(case, "failure", message=str(difference)).text = f.reason
        elif f.verdict is Verdict.UNDECIDED:
            ET.SubElement(case, "skipped", message=f.reason)
    for difference in failing.values():
        case = ET.SubElement(suite, "testcase", classname=f"adamproof.{difference.claim}",
                             name=difference.subject)  # fmt: skip
        ET.SubElement(case, "failure", message=str(difference)).text = "no longer judged"
    suite.set("tests", str(len(suite)))
    ET.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
