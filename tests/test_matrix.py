"""The matrix of claims and optimizers: every verdict in its place, and no wider than the terminal."""

from io import StringIO

import pytest
from rich.console import Console

from adamproof.proofs_check import ledger, matrix
from adamproof.proofs_check.subjects import Subject, builtin
from adamproof.theory.catalogue import claims
from adamproof.theory.records import Finding, Level, Verdict

SUBJECTS = builtin()
RECORDED = [
    Finding(claim, subject, Verdict(row["verdict"]), Level(row["level"]) if row["level"] else None)
    for claim, rows in ledger.load().items()
    for subject, row in rows.items()
]


def printed(findings: list[Finding], width: int, *, collapsed: bool = False) -> list[str]:
    console = Console(width=width, file=StringIO())
    for part in matrix.matrix(findings, SUBJECTS, collapsed=collapsed, width=width):
        console.print(part)
    assert isinstance(console.file, StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [72, 80, 99, 100, 110, 160])
@pytest.mark.parametrize("collapsed", [False, True])
def test_it_fits_the_terminal_and_shows_every_column(width: int, collapsed: bool) -> None:
    lines = printed(RECORDED, width, collapsed=collapsed)
    assert max(map(len, lines)) <= width
    heads = [line for line in lines if line.split()[:1] == [["claim", "family"][collapsed]]]
    used = {matrix.column_of(f.subject, SUBJECTS) for f in RECORDED}
    assert sum(len(head.split()[1:]) for head in heads) == len(used)
    assert not any("…" in head for head in heads)
    assert len(heads) == 1 or (collapsed and width < 80)  # whole, where it can be
    for line in lines[4:]:  # marks are never cut; names may be
        assert "…" not in line[30:], line


@pytest.mark.parametrize("width", [40, 60])
@pytest.mark.parametrize("collapsed", [False, True])
def test_a_narrow_terminal_gets_it_in_parts(width: int, collapsed: bool) -> None:
    lines = printed(RECORDED, width, collapsed=collapsed)
    assert max(map(len, lines)) <= width
    heads = [line.split()[1:] for line in lines if line.split()[:1] == [["claim", "family"][collapsed]]]
    shown = [column for head in heads for column in head]
    assert len(heads) > 1
    assert len(shown) == len({matrix.column_of(f.subject, SUBJECTS) for f in RECORDED})
    assert not any("…" in column for column in shown)
    if not collapsed:  # there a family is in each part with counts of its own
        names = tuple(f" {c.family.upper()}"[:9] for c in claims().values())
        counts = [
            sum(line.count(mark) for line in told if not line.startswith(names) for mark in "✓✗~")
            for told in (lines, printed(RECORDED, 110))
        ]
        assert counts[0] == counts[1] > 0


def test_every_claim_and_family_has_a_row() -> None:
    text = "\n".join(printed(RECORDED, 110))
    assert all(f"\n {claim} " in text for claim in claims())
    assert all(f"\n {c.family.upper()}  " in text for c in claims().values())
    collapsed = printed(RECORDED, 110, collapsed=True)
    families = {c.family for c in claims().values()}
    for family in families:
        count = sum(c.family == family for c in claims().values())
        assert any(line.startswith(f" {family} ({count})") for line in collapsed)


def row(*findings: Finding) -> str:
    (line,) = (x for x in printed(list(findings), 110) if x.startswith(" ema-unrolled"))
    return " ".join(line.split()[1:])


def found(subject: str, verdict: Verdict, level: Level | None = Level.EXACT) -> Finding:
    return Finding("ema-unrolled", subject, verdict, level)


P, R, U, M = Verdict.PROVED, Verdict.REFUTED, Verdict.UNDECIDED, Verdict.MEASURED
CELLS = {
    "✓": [found("paper:adam", P)],
    "✓s": [found("paper:adam", P, Level.SMT), found("torch.optim:Adam", P)],
    "✓i": [found("paper:adam", P, Level.INTERVAL)],
    "✓c": [found("paper:adam", P, Level.CAS), found("torch.optim:Adam", P, Level.SMT)],
    "✗": [found("paper:adam", R)],
    "✓✗": [found("paper:adam", R), found("torch.optim:Adam", P)],
    "?": [found("paper:adam", U, None)],
    "✓?": [found("paper:adam", U, None), found("torch.optim:Adam", P)],
    "~": [found("torch.optim:Adam", M, Level.SAMPLED)],
    "✓ ✗": [found("paper:adam", P), found("paper:adamw", R)],
    "✓ ·": [found("paper:sgd", P), Finding("v-is-variance", "paper:adam", R)],
}


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell(cell: str) -> None:
    assert row(*CELLS[cell]) == cell


def test_columns() -> None:
    expected = {
        "paper:adam-eps-hat": "adam", "torch.optim:Adam(amsgrad=True)": "amsgrad",
        "adamproof.optimizers:AdamW(decay='uncoupled')": "adamw", "mathematics": "mathematics",
        "paper:sgd+momentum+nesterov": "sgd", "mine:Adam": "mine:Adam",
    }  # fmt: skip
    for subject, column in expected.items():
        assert matrix.column_of(subject, SUBJECTS) == column
    user = Subject("mine:Adam", "user", against="adam")
    assert matrix.column_of("mine:Adam", {**SUBJECTS, user.id: user}) == "mine:Adam"
    assert {matrix.column_of(s, SUBJECTS) for s in SUBJECTS} <= matrix.COLUMNS.keys()
