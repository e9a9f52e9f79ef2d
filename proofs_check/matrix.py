"""The table people come for: claims × optimizers, a mark for each verdict, as wide as a terminal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from ..theory.catalogue import claims
from ..theory.records import Claim, Finding, Level, Verdict
from .subjects import Subject

#: A column for each rule's first word, in this order, with its heading and a short one; others follow.
COLUMNS = {
    "mathematics": ("maths", "mat"),
    "sgd": ("SGD", "SGD"),
    "sign": ("Sign", "Sgn"),
    "adagrad": ("AdaG", "AdG"),
    "rmsprop": ("RMSp", "RMS"),
    "adam": ("Adam", "Adm"),
    "adamw": ("AdmW", "AdW"),
    "amsgrad": ("AMSG", "AMS"),
    "nadam": ("NAdm", "NAd"),
    "radam": ("RAdm", "RAd"),
    "adamax": ("AMax", "AMx"),
    "adadelta": ("ADel", "ADl"),
    "adabelief": ("ABel", "ABf"),
    "adabound": ("ABnd", "ABd"),
}
#: Narrower terminals get the short headings.
WIDE = 100
#: What the names of the claims get at least; a matrix that leaves them less is printed in parts.
LEAST = 16
#: Relatives that share a column.
_UNDER = {"amsbound": "adabound", "nesterov": "nadam", "lion": "sign"}
MARKS = {
    Verdict.PROVED: ("✓", "green"),
    Verdict.REFUTED: ("✗", "magenta"),
    Verdict.MEASURED: ("~", "cyan"),
    Verdict.UNDECIDED: ("?", "bold yellow"),
}
_LETTERS = {Level.SMT: "s", Level.INTERVAL: "i", Level.CAS: "c"}
LEGEND = (
    "✓ proved  ✗ refuted  ~ measured  ? undecided;  both: it depends on the variant.  A letter names "
    "the weakest proof where it is not exact: i interval, s smt, c cas."
)


def column_of(subject: str, subjects: Mapping[str, Subject]) -> str:
    """Return the key of the column that a subject stands in: its rule's first word, or its own id."""
    if subject == "mathematics":
        return subject
    known = subjects.get(subject)
    found = re.match(r"[a-z]+", known.against) if known and known.kind != "user" else None
    return _UNDER.get(found[0], found[0]) if found else subject


def matrix(
    findings: Sequence[Finding],
    subjects: Mapping[str, Subject],
    *,
    collapsed: bool = False,
    width: int = WIDE,
) -> Iterator[Table]:
    """Yield the matrix of the findings; where it is wider than the terminal, in parts.

    Args:
        findings: what was found; claims of which nothing was found are left out.
        subjects: the subjects by id, which say what rule each runs.
        collapsed: one row for each family, with counts, instead of one for each claim.
        width: of the terminal, in characters.
    """
    cells: dict[tuple[str, str], list[Finding]] = {}
    for f in findings:
        cells.setdefault((f.claim, column_of(f.subject, subjects)), []).append(f)
    used = {column for _, column in cells}
    columns = [c for c in (*COLUMNS, *sorted(used - COLUMNS.keys())) if c in used]
    title = "Claims × optimizers"
    widest = {c: _widest(findings, subjects, c) if collapsed else 3 for c in columns}
    breadth = {c: max(widest[c], len(_heading(c, width))) + 1 for c in columns}
    while columns:
        shown, room = list[str](), width - LEAST
        while columns and (not shown or room >= breadth[columns[0]]):
            room -= breadth[columns[0]]
            shown.append(columns.pop(0))
        left = width - sum(breadth[c] for c in shown) - 2
        yield _part(findings, cells, shown, title, left, collapsed=collapsed, width=width)
        title = "Claims × optimizers, continued"


def _heading(column: str, width: int) -> str:
    return COLUMNS.get(column, (column, column))[width < WIDE]


def _widest(findings: Sequence[Finding], subjects: Mapping[str, Subject], column: str) -> int:
    """Return how wide the counts of a column are, family by family."""
    found: dict[tuple[str, Verdict], int] = Counter(
        (claims()[f.claim].family, f.verdict)
        for f in findings
        if column_of(f.subject, subjects) == column
    )
    return max(3, *(len(str(count)) + 1 for count in found.values()))


def _part(
    findings: Sequence[Finding],
    cells: Mapping[tuple[str, str], list[Finding]],
    columns: Sequence[str],
    title: str,
    left: int,
    *,
    collapsed: bool,
    width: int,
) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0))
    name = "family" if collapsed else "claim"
    table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=max(12, left))
    for column in columns:
        table.add_column(_heading(column, width), justify="center", no_wrap=True, min_width=3)
    for family, members in _families(findings).items():
        ids = [c.id for c in members if any((c.id, column) in cells for column in columns)]
        if not ids:
            continue
        own = [f for f in findings if f.claim in ids]
        if collapsed:
            found = [[f for i in ids for f in cells.get((i, c), [])] for c in columns]
            table.add_row(f"{family} ({len(members)})", *map(_counts, found))
            continue
        table.add_row(Text(f"{family.upper()}  {_told(own)}", style="dim"), end_section=False)
        for id in ids:
            table.add_row(id, *(_cell(cells.get((id, c), [])) for c in columns))
    return table


def _families(findings: Iterable[Finding]) -> dict[str, list[Claim]]:
    judged = {f.claim for f in findings}
    out: dict[str, list[Claim]] = {}
    for claim in claims().values():
        if claim.id in judged:
            out.setdefault(claim.family, []).append(claim)
    return out


def _told(findings: Sequence[Finding]) -> str:
    counts = Counter(f.verdict for f in findings)
    return " ".join(f"{counts[v]}{mark}" for v, (mark, _) in MARKS.items() if counts[v])


def _cell(findings: Sequence[Finding]) -> Text:
    out = Text()
    for verdict, (mark, style) in MARKS.items():
        own = [f for f in findings if f.verdict is verdict]
        if own:
            weakest = Level.weakest(f.level or Level.EXACT for f in own)
            out.append(mark + (_LETTERS.get(weakest, "") if verdict is Verdict.PROVED else ""), style)
    return out or Text("·", "dim")


def _counts(findings: Sequence[Finding]) -> Text:
    counts, out = Counter(f.verdict for f in findings), Text()
    for verdict, (mark, style) in MARKS.items():
        if counts[verdict]:
            out.append(("\n" if out else "") + f"{counts[verdict]}{mark}", style)
    return out or Text("·", "dim")
