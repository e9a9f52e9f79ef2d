"""`adamproof reproduce all --out DIR`: every counterexample, its evidence and its picture, on one page.

Each is written as soon as it is found, so an interrupted run goes on where it stopped: what the same
code has made is kept.
"""

from __future__ import annotations

import hashlib
import html
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from .counterexamples.catalogue import catalogue
from .counterexamples.picture import finished, save
from .counterexamples.record import Asked
from .errors import UsageError
from .reproduce import judge
from .theory.records import Verdict

PAGE = "index.html"
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Counterexamples: what Adam does not do</title>
<style>
body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
article { border-top: 1px solid #ccc; padding: 1rem 0 }
dt { font-weight: bold } dd { margin: 0 0 .5rem 0 } img { max-width: 100% }
.refuted { color: #00664b } .undecided { color: #b34700 }
</style></head><body>
<h1>Counterexamples</h1>
<p>Statements that people believe, and the object that breaks each of them.  Every derivation is decided
by engines, every object is run in exact arithmetic, and then by real optimizers.</p>
"""


def everything(out: Path, asked: Asked, console: Console) -> int:
    """Reproduce every counterexample into a folder, and write its index page.

    Args:
        out: the folder; made if it is not there.
        asked: what is asked of the float runs.
        console: where to say how far it is.

    Returns:
        The exit status: 0 where all are refuted, 1 otherwise.

    Raises:
        UsageError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        made_by = _made_by(asked)
        found = {name: _one(name, out, asked, made_by, console) for name in catalogue()}
        _write(out / PAGE, page(found))
    except OSError as error:
        raise UsageError(f"--out {out} cannot be written: {error}.") from error
    console.print(f"page: {out / PAGE}", markup=False, highlight=False, soft_wrap=True)
    return 0 if all(row["verdict"] == Verdict.REFUTED for row in found.values()) else 1


def _one(name: str, out: Path, asked: Asked, made_by: str, console: Console) -> dict[str, Any]:
    """Return what is found of one counterexample; what the same code and wishes made is read again."""
    store, picture = out / f"{name}.json", out / f"{name}.png"
    try:
        kept = json.loads(store.read_text(encoding="utf-8"))
        if kept["made_by"] == made_by and picture.exists():
            console.print(f"{name}: {kept['verdict']} (kept)", markup=False, highlight=False)
            return dict(kept)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, or not whole: made anew
    example = catalogue()[name]
    reproduced = judge(example, asked)
    save(example, reproduced.runs, picture)
    row = {**reproduced.as_dict(), "why_believed": example.why_believed, "made_by": made_by}
    _write(store, json.dumps(row, ensure_ascii=False, indent=1))
    console.print(f"{name}: {row['verdict']}", markup=False, highlight=False)
    return row


def _made_by(asked: Asked) -> str:
    """Return a hash of the code that makes the evidence and of what was asked."""
    root = Path(__file__).parent
    told = hashlib.sha256(repr((asked.steps, asked.seeds, asked.device)).encode())
    for folder in ("counterexamples", "theory", "optimizers", "proofs_check"):
        for file in sorted((root / folder).rglob("*.py")):
            told.update(file.read_bytes())
    return told.hexdigest()[:16]


def _write(path: Path, text: str) -> None:
    with finished(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def page(found: dict[str, dict[str, Any]]) -> str:
    """Return the index page: one article for each counterexample."""
    parts = [_HEAD, "<ul>"]
    parts += [
        f'<li><a href="#{name}">{html.escape(row["statement"])}</a></li>' for name, row in found.items()
    ]
    parts.append("</ul>")
    for name, row in found.items():
        level = f", {row['level']}" if row["level"] else ""
        told = {
            "believed, because": row["why_believed"],
            "object": row["object"],
            "in fact": row["breaks"],
            "repaired by": row["repair"],
            "open": row["open"],
            "source": row["source"],
            "claims": ", ".join(row["refutes"]),
            "undecided, because": "; ".join(row["reasons"]),
        }
        parts += [
            f'<article id="{name}"><h2>{html.escape(row["statement"])}</h2>',
            f'<p class="{row["verdict"]}"><b>{row["verdict"]}</b>{level}: <code>adamproof reproduce '
            f'{name}</code> (<a href="{name}.json">evidence</a>)</p>',
            "<dl>",
            *(f"<dt>{label}</dt><dd>{html.escape(text)}</dd>" for label, text in told.items() if text),
            "</dl>",
            f'<img src="{name}.png" alt="{html.escape(row["breaks"])}">',
            "</article>",
        ]
    return "\n".join([*parts, "</body></html>", ""])
