"""What was found before, kept between runs, so that a second check takes seconds.

One SQLite file, key -> finding.  A key is the hash of everything that a finding can depend on: the
claim, the source of the theory and of the judge, the versions of the engines, and for a subject the
source of its optimizers, the device and the machine.  Nothing is looked up by name or date, so what
is found is never stale; what is not found is judged.  Optimizers of the user are always judged: what
their code depends on is not known without running it.

The cache is an aid, not a record: the ledger is the record.  A file that cannot be used is left as
it is, and the check runs without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import sqlite3
import sys
import time
from collections.abc import Mapping
from fractions import Fraction
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from .. import STARTED
from ..caches import VARIABLE, folder
from ..theory.records import Answer, Claim, Finding, Level, Verdict, Witness
from ..theory.rule import Rule
from .subjects import Subject

#: Rows that nothing has asked for in that time are forgotten.
KEPT_DAYS = 7
ENGINES = ("torch", "sympy", "mpmath", "z3-solver", "python-flint", "numpy")
_JUDGE = Path(__file__).parent
_THEORY, _OURS = _JUDGE.parent / "theory", _JUDGE.parent / "optimizers"
_TORCH = Path(str(torch.optim.__file__)).parent


class StoreError(Exception):
    """The cache cannot be used; the message says why and what to do."""


def default_path() -> Path | None:
    """Return where the cache lies; None: the user wants none."""
    where = folder()
    return where / "findings.sqlite" if where else None


class Store:
    """Findings by key, in one file that several processes may use at once.

    Args:
        path: the file; it is made where there is none.

    Raises:
        StoreError: it cannot be read or written, or is no cache of ours.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._new, self._used = path, dict[str, str](), set[str]()
        self._flushed, self._today = time.monotonic(), int(time.time()) // 86_400
        if changed():
            raise StoreError(
                "files of adamproof changed after it was started; judging without the cache"
            )
        for source in (_judge_source, partial(_code, "torch"), partial(_code, "ours")):
            source()  # now, and not when the first subject of its kind is judged
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=2)
            with self._db as db:
                db.execute("CREATE TABLE IF NOT EXISTS found (key TEXT PRIMARY KEY, row TEXT, day INT)")
                db.execute("DELETE FROM found WHERE day < ?", (self._today - KEPT_DAYS,))
                db.execute("SELECT key, row, day FROM found LIMIT 1").fetchone()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"the cache {path} cannot be used ({error}); delete it, or set {VARIABLE} to another "
                "folder; judging without it"
            ) from error

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the row of that key; None where there is none, or one that cannot be read."""
        text = self._new.get(key)
        try:
            if text is None:
                (text,) = self._db.execute("SELECT row FROM found WHERE key = ?", (key,)).fetchone()
            row = json.loads(text)
        except (sqlite3.Error, ValueError, TypeError):
            return None
        self._used.add(key)
        return row if isinstance(row, dict) else None

    def put(self, key: str, row: Mapping[str, Any]) -> None:
        """Keep a row; it is written within a second, so that a killed run loses little."""
        self._new[key] = json.dumps(row, ensure_ascii=False)
        if time.monotonic() - self._flushed > 1:
            self.flush()

    def flush(self) -> None:
        """Write what is new; a full disk or a lost file is no reason to stop a check.

        Nothing is written once a file of ours has changed since it was imported: what is found then
        belongs to code that is no longer there.
        """
        if changed():
            self._new = {}
        self._flushed = time.monotonic()
        rows = [(key, row, self._today) for key, row in self._new.items()]
        used = [(self._today, key) for key in self._used]
        with contextlib.suppress(sqlite3.Error):
            with self._db as db:
                db.executemany("INSERT OR REPLACE INTO found VALUES (?, ?, ?)", rows)
                db.executemany("UPDATE found SET day = ? WHERE key = ?", used)
            self._new, self._used = {}, set()  # written; else this process keeps them

    def close(self) -> None:
        """Write what is new and close the file."""
        self.flush()
        self._db.close()


# -- keys ------------------------------------------------------------------------------------------


def _hash(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()


@cache
def _source(folder: Path) -> str:
    """Return a hash of every Python file below a folder, names included."""
    files = sorted(folder.rglob("*.py"))
    return _hash(*(f"{f.relative_to(folder)}\n{f.read_text(encoding='utf-8')}" for f in files))


def changed() -> bool:
    """Whether a file that keys depend on is younger than this process: its code may not be what runs."""
    folders = (_THEORY, _JUDGE, _OURS, _TORCH)
    return any(f.stat().st_mtime > STARTED for folder in folders for f in folder.rglob("*.py"))


@cache
def _judge_source() -> str:
    versions = [f"{name} {version(name)}" for name in ENGINES]
    return _hash(_source(_THEORY), _source(_JUDGE), sys.version, *versions)


@cache
def _machine(device: str) -> str:
    """Return what floating-point results depend on besides code."""
    chip = torch.cuda.get_device_name(device) if device.startswith("cuda") else ""
    vector = torch.backends.cpu.get_cpu_capability()
    return _hash(platform.machine(), platform.system(), vector, device, chip, torch.__version__,
                 str(torch.get_default_dtype()))  # fmt: skip


def _code(kind: str) -> str | None:
    """Return a hash of the code of a kind of subject; None where it is not known."""
    if kind == "torch":
        return _source(_TORCH)
    if kind == "ours":
        return _source(_OURS)
    return "" if kind in ("paper", "mathematics") else None


def finding_key(claim: Claim, subject: Subject | None, device: str) -> str | None:
    """Return the key of a claim judged for a subject; None where it must always be judged."""
    code = _code(subject.kind if subject else "mathematics")
    if code is None:
        return None
    about = subject.id if subject else "mathematics"
    recipe = repr(subject.recipe.options) if subject and subject.recipe else ""
    return _hash("finding", claim.id, about, recipe, code, _judge_source(), _machine(device))


def rule_key(claim: Claim, rule: Rule) -> str:
    """Return the key of a claim decided for a rule on paper."""
    domains = repr(sorted(rule.domains.items()))
    return _hash("rule", claim.id, rule.key, domains, _judge_source())


# -- rows ------------------------------------------------------------------------------------------


def witness_row(witness: Witness | None) -> dict[str, Any] | None:
    """Return a witness as JSON can hold it."""
    return witness.as_dict() if witness else None


def witness_of(row: dict[str, Any] | None) -> Witness | None:
    """Return the witness of a row."""
    if row is None:
        return None
    point = {name: Fraction(value) for name, value in row["point"].items()}
    return Witness(point, row["excess"], row["replayed"])


def answer_row(answer: Answer) -> dict[str, Any]:
    """Return an answer as JSON can hold it."""
    level = str(answer.level) if answer.level else None
    return {"verdict": str(answer.verdict), "level": level, "engine": answer.engine,
            "reason": answer.reason, "witness": witness_row(answer.witness)}  # fmt: skip


def answer_of(row: dict[str, Any]) -> Answer:
    """Return the answer of a row.

    Raises:
        KeyError, ValueError: the row is damaged.
    """
    level = Level(row["level"]) if row["level"] else None
    return Answer(
        Verdict(row["verdict"]), level, row["engine"], row["reason"], witness_of(row["witness"])
    )


def finding_row(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON can hold it, its answers included."""
    return {**finding.as_dict(), "answers": [answer_row(a) for a in finding.answers]}


def finding_of(row: dict[str, Any]) -> Finding:
    """Return the finding of a row.

    Raises:
        KeyError, ValueError: the row is damaged.
    """
    level = Level(row["level"]) if row["level"] else None
    return Finding(row["claim"], row["subject"], Verdict(row["verdict"]), level, row["reason"],
                   witness_of(row["witness"]), row["statement"], row["code_hash"], row["seconds"],
                   tuple(answer_of(a) for a in row["answers"]))  # fmt: skip
