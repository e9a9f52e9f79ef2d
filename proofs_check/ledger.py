"""The verdicts on record: what `adamproof check` must find again.

One JSON file, claim -> subject -> verdict, level, code hash.  Verdict and level must agree; a hash
that moved (another torch, an edited file) is only worth a warning.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..theory.records import Finding

PATH = Path(__file__).with_name("ledger.json")
ENGINES = ("torch", "sympy", "z3-solver", "python-flint")


class LedgerError(Exception):
    """The ledger file is missing or not valid; the message says what to do."""


Rows = dict[str, dict[str, dict[str, str | None]]]


@dataclass(frozen=True)
class Difference:
    """A verdict that is not the recorded one."""

    claim: str
    subject: str
    recorded: str
    found: str

    def __str__(self) -> str:
        return f"{self.claim} on {self.subject}: recorded {self.recorded}, found {self.found}"


def load(path: Path = PATH) -> Rows:
    """Return the recorded rows.

    Raises:
        LedgerError: the file is missing or not a ledger.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        rows: Rows = data["claims"]
        for subjects in rows.values():
            for row in subjects.values():
                if set(row) != {"verdict", "level", "code_hash"}:
                    raise ValueError("a row without verdict, level and code_hash")
    except FileNotFoundError:
        raise LedgerError(
            f"there is no ledger at {path}; write one with `adamproof check --update-ledger`"
        ) from None
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise LedgerError(
            f"the ledger {path} is not valid ({type(error).__name__}: {error}); restore it from "
            "version control, or rewrite it with `adamproof check --update-ledger`"
        ) from error
    return rows


def save(findings: Iterable[Finding], path: Path = PATH) -> None:
    """Write the ledger of these findings; a reader never sees half a file."""
    rows: dict[str, dict[str, Any]] = {}
    for f in findings:
        rows.setdefault(f.claim, {})[f.subject] = {
            "verdict": str(f.verdict),
            "level": str(f.level) if f.level else None,
            "code_hash": f.code_hash,
        }
    versions = {name: version(name) for name in ENGINES}
    text = json.dumps({"versions": versions, "claims": rows}, indent=1, ensure_ascii=False)
    partial = path.with_suffix(".partial")
    partial.write_text(text + "\n", encoding="utf-8")
    os.replace(partial, path)


def _shown(verdict: object, level: object) -> str:
    return f"{verdict} ({level})" if level else str(verdict)


def compare(findings: Iterable[Finding], rows: Rows, *, complete: bool) -> tuple[list[Difference], int]:
    """Return the differences, and how many code hashes moved.

    Args:
        findings: what was found; subjects of the user have no row and are left aside.
        rows: what is recorded.
        complete: whether every claim and subject was judged, so that a missing row counts.
    """
    differences, moved, seen = [], 0, set()
    for f in findings:
        seen.add((f.claim, f.subject))
        row = rows.get(f.claim, {}).get(f.subject)
        found = _shown(f.verdict, f.level)
        if row is None:
            differences.append(Difference(f.claim, f.subject, "nothing", found))
            continue
        recorded = _shown(row["verdict"], row["level"])
        if recorded != found:
            differences.append(Difference(f.claim, f.subject, recorded, found))
        moved += row["code_hash"] != f.code_hash
    if complete:
        for claim, subjects in rows.items():
            for subject, row in subjects.items():
                if (claim, subject) not in seen:
                    recorded = _shown(row["verdict"], row["level"])
                    differences.append(Difference(claim, subject, recorded, "nothing"))
    return differences, moved
