"""Rows that were computed, in one file that survives kill -9 and that processes may share.

SQLite, of the standard library: its journal makes a batch of rows whole or absent, its locks let two
processes write, and it needs nothing.  One machine at a time: its locks do not reach over a network.

A process claims a batch before it computes it, so that two that run the same study share the work.  A
claim holds for as long as its process lives, which a lock tells: the system takes it back from the dead.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .presence import Presence
from .provenance import Provenance
from .spec import Row, Spec
from .store_file import APPLICATION, SCHEMA, VERSION, StoreError, explained, inspect

_CHUNK = 500  # names in one query; SQLite takes a thousand at least


class Store:
    """Rows by `Spec.key`.

    Args:
        path: The file; it is made where there is none, and its folder too.

    Raises:
        StoreError: It cannot be read or written, is damaged, not ours, or of a newer version.  The
            file is then as it was.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._presence: Presence | None = None
        with explained(self.path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and path.stat().st_size:
                inspect(path)
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
            with contextlib.ExitStack() as undo:
                undo.callback(self._db.close)
                self._make()
                undo.pop_all()

    def _make(self) -> None:
        """Make the tables where there are none, and check them where there are."""
        db = self._db
        with self._writing():
            if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                db.execute(f"PRAGMA application_id = {APPLICATION}")
                db.execute(f"PRAGMA user_version = {VERSION}")
                for statement in SCHEMA.values():
                    db.execute(statement)
        with contextlib.suppress(sqlite3.OperationalError):  # another process is at it
            db.execute("PRAGMA journal_mode = WAL")  # a reader does not wait for a writer

    def close(self) -> None:
        """Give back what was claimed, and close the file."""
        with contextlib.suppress(StoreError):
            self.release()
        if self._presence is not None:
            self._presence.close()
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # -- rows --------------------------------------------------------------------------------------

    def add(self, specs: Sequence[Spec], rows: Sequence[Row], made: Provenance) -> None:
        """Write the rows of a batch, all or none.  A row that is there already stays.

        Raises:
            StoreError: They cannot be written; what was written before is kept.
            ValueError: A value is not plain: no number, text or ``None``.
        """
        share = made.seconds / max(1, len(specs))
        how = (made.code, made.versions, made.threads, made.device, share)
        with self._writing():
            for spec, row in zip(specs, rows, strict=True):
                fields = (spec.key, spec.measure, spec.task, spec.method, str(spec.seed))
                values = (*fields, json.dumps(spec.options), written(row), *how)
                marks = ", ".join("?" * len(values))
                self._db.execute(f"INSERT OR IGNORE INTO rows VALUES ({marks})", values)
                self._db.execute("DELETE FROM claims WHERE key = ?", (spec.key,))

    def rows(self, specs: Iterable[Spec]) -> dict[Spec, Row]:
        """Return the rows that are known of these specifications, in the order of the specifications.

        Raises:
            StoreError: The store cannot be read.
        """
        wanted = {spec.key: spec for spec in sorted(specs)}
        found = {key: row["row"] for key, row in self._records(wanted)}
        with explained(self.path):
            return {spec: read(found[key]) for key, spec in wanted.items() if key in found}

    def how(self, specs: Iterable[Spec]) -> dict[Spec, Mapping[str, Any]]:
        """Return how the rows that are known were made: code, versions, threads, device, seconds.

        Raises:
            StoreError: The store cannot be read.
        """
        wanted = {spec.key: spec for spec in sorted(specs)}
        found = dict(self._records(wanted))
        names = ("code", "versions", "threads", "device", "seconds")
        return {s: {n: found[k][n] for n in names} for k, s in wanted.items() if k in found}

    def fingerprint(self, specs: Iterable[Spec]) -> str:
        """Return a hash of the rows that are known of these specifications.

        Raises:
            StoreError: The store cannot be read.
        """
        found = sorted((key, row["row"]) for key, row in self._records(spec.key for spec in specs))
        return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:32]

    def _records(self, keys: Iterable[str]) -> Iterator[tuple[str, sqlite3.Row]]:
        listed = list(keys)
        with explained(self.path):
            for start in range(0, len(listed), _CHUNK):
                some = listed[start : start + _CHUNK]
                cursor = self._db.execute(
                    f"SELECT * FROM rows WHERE key IN ({', '.join('?' * len(some))})", some
                )
                cursor.row_factory = sqlite3.Row
                yield from ((row["key"], row) for row in cursor)

    # -- claims ------------------------------------------------------------------------------------

    def claim(self, specs: Sequence[Spec]) -> tuple[Spec, ...] | None:
        """Claim what is not finished of a batch, and return it; ``None`` if another process is at it.

        Raises:
            StoreError: The store cannot be written.
        """
        if self._presence is None:
            with explained(self.path):
                self._presence = Presence(self.path)
        me = self._presence
        keys = [spec.key for spec in specs]
        marks = ", ".join("?" * len(keys))
        with self._writing():
            holds = f"SELECT DISTINCT owner FROM claims WHERE key IN ({marks}) AND owner != ?"
            owners = [owner for (owner,) in self._db.execute(holds, (*keys, me.name))]
            if any(me.alive(owner) for owner in owners):
                return None
            self._db.executemany("DELETE FROM claims WHERE owner = ?", [(owner,) for owner in owners])
            known = self.rows(specs)
            mine = tuple(spec for spec in specs if spec not in known)
            claims = [(spec.key, me.name) for spec in mine]
            self._db.executemany("INSERT OR REPLACE INTO claims VALUES (?, ?)", claims)
        for owner in owners:
            me.bury(owner)
        return mine

    def release(self) -> None:
        """Give back what this process claimed.

        Raises:
            StoreError: The store cannot be written.
        """
        if self._presence is not None:
            with self._writing():
                self._db.execute("DELETE FROM claims WHERE owner = ?", (self._presence.name,))

    # -- verdicts ----------------------------------------------------------------------------------

    def keep(self, study: str, size: str, code: str, rows: str, found: str) -> None:
        """Keep what a study found, with the hashes of the code and the rows that it found it with.

        Raises:
            StoreError: The store cannot be written.
        """
        with self._writing():
            values = (study, size, code, rows, found)
            self._db.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?)", values)

    def kept(self, study: str, size: str) -> tuple[str, str, str] | None:
        """Return what a study found, as code, rows and text; ``None`` if it was not finished.

        Raises:
            StoreError: The store cannot be read.
        """
        with explained(self.path):
            asked = "SELECT code, rows, found FROM verdicts WHERE study = ? AND size = ?"
            found: tuple[str, str, str] | None = self._db.execute(asked, (study, size)).fetchone()
        return found

    # -- failures ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """All or nothing."""
        with explained(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")


# -- rows as text ----------------------------------------------------------------------------------


def written(row: Row) -> str:
    """Return a row as JSON that tells NaN, infinities, −0.0, 1 and 1.0 apart, floats exactly.

    >>> written({"loss": float("nan"), "at": None, "lr": 0.1})
    '{"loss": NaN, "at": null, "lr": 0.1}'

    Raises:
        ValueError: A value is not plain.
    """
    for name, value in row.items():
        if not isinstance(name, str) or not isinstance(value, float | int | str | None):
            kind = type(value).__name__
            raise ValueError(f"{name!r} is of type {kind}; a row holds numbers, texts and None by name.")
    return json.dumps(dict(row))


def read(text: str) -> Row:
    """Return the row of a text."""
    row: Row = json.loads(text)
    return row
