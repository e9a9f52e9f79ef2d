"""Beliefs that only data can judge, beside the claims: what studies found, if any was run here.

Read from what is kept in the default folder at the default size.  No study is loaded, and none is
needed: a clone that has no results says "not run", which is no failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console, RenderableType
from rich.text import Text

from .experiment_report import STYLE, columns, effect
from .experiments.store import Store
from .experiments.store_file import StoreError
from .experiments.studies import declared
from .experiments.study import Finding
from .experiments.verdicts import Verdicts

FILE: Final = Path("results") / "rows.sqlite"
SIZE: Final = "default"


def kept() -> dict[str, Verdicts | None]:
    """Return what every study found; ``None`` where it was not finished.

    Raises:
        StoreError: There is a store, and it cannot be read.
    """
    found: dict[str, Verdicts | None] = dict.fromkeys(declared())
    if FILE.exists():
        with Store(FILE) as store:
            rows = {name: store.kept(name, SIZE) for name in found}
        found |= {name: Verdicts.read(row[2]) for name, row in rows.items() if row is not None}
    return found


def table(notes: Console) -> Iterator[RenderableType]:
    """Yield what `check` prints below the claims; a store that cannot be read is told of."""
    try:
        found = kept()
    except StoreError as error:
        notes.print(f"note: {error}", highlight=False, markup=False, soft_wrap=True)
        return
    if not found:
        return
    shown = columns("belief", "verdict", "level", "effect [95 %]", "where")
    for name, verdicts in found.items():
        shown.add_row(Text(name, style="dim"), "" if verdicts else "not run", "", "", "")
        for f in verdicts.findings if verdicts else ():
            verdict = Text(f.outcome, STYLE[f.outcome])
            shown.add_row(Text(f.belief), verdict, "measured", Text(effect(f)), Text(f.where))
    yield Text("Beliefs that only data can judge", style="bold")
    yield shown


def about(claim: str) -> list[Finding]:
    """Return what was found about beliefs that hang on a claim; nothing if no store can be read."""
    try:
        verdicts = [v for v in kept().values() if v is not None]
    except StoreError:
        return []
    return [f for v in verdicts for f in v.findings if claim in f.theorems]


def sentence(finding: Finding) -> str:
    """Return a finding in one line.

    >>> from adamproof.experiments.study import Outcome
    >>> sentence(Finding("SGD is flatter", Outcome.SUPPORTED, 1.0, (0.5, 1.5), "log", where="digits"))
    'SGD is flatter: +1 [+0.5, +1.5] log, digits'
    """
    where = f", {finding.where}" if finding.where else ""
    return f"{finding.belief}: {effect(finding)}{where}"
