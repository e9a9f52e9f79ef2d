"""The file of a store: its tables, whether a file is one, and what can be wrong, as a sentence."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

APPLICATION: Final = 0x4144_5046  # "ADPF"
VERSION: Final = 1
SCHEMA: Final = {
    "rows": "CREATE TABLE rows (key TEXT PRIMARY KEY, measure TEXT NOT NULL, task TEXT NOT NULL, "
    "method TEXT NOT NULL, seed TEXT NOT NULL, options TEXT NOT NULL, row TEXT NOT NULL, "
    "code TEXT NOT NULL, versions TEXT NOT NULL, threads INTEGER NOT NULL, device TEXT NOT NULL, "
    "seconds REAL NOT NULL) WITHOUT ROWID",
    "claims": "CREATE TABLE claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID",
    "verdicts": "CREATE TABLE verdicts (study TEXT, size TEXT, code TEXT NOT NULL, "
    "rows TEXT NOT NULL, found TEXT NOT NULL, PRIMARY KEY (study, size)) WITHOUT ROWID",
}


class StoreError(Exception):
    """The store cannot be used; the message is one sentence that says why and what to do."""


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system raise into a sentence.

    Raises:
        StoreError: Something was raised.
    """
    try:
        yield
    except (sqlite3.Error, OSError, json.JSONDecodeError) as error:
        raise StoreError(_sentence(path, error)) from error


def inspect(path: Path) -> None:
    """Check that a file is a whole store of ours, without writing.

    Raises:
        StoreError: It is not.
    """
    with path.open("rb") as file:
        head = file.read(100)
    if head[:16] != b"SQLite format 3\0" or int.from_bytes(head[68:72], "big") != APPLICATION:
        raise StoreError(
            f"{path} is no store of experiments, and is left as it is; name another folder."
        )
    if int.from_bytes(head[60:64], "big") > VERSION:
        raise StoreError(
            f"{path} was written by a newer adamproof, and is left as it is; update this one."
        )
    if path.with_name(f"{path.name}-journal").exists():
        return  # its making was cut short, and opening it takes that back
    db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=60)
    with contextlib.closing(db):
        (state,) = db.execute("PRAGMA quick_check(1)").fetchone()
        tables = dict(db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    if state != "ok" or tables != SCHEMA:
        why = state if state != "ok" else "its tables are not those of a store"
        raise StoreError(_damaged(path, why.splitlines()[0]))


def _damaged(path: Path, why: object) -> str:
    left = "and is left as it is; put a copy in its place, or name another folder"
    return f"{path} is damaged ({why}), {left}."


def _sentence(path: Path, error: Exception) -> str:
    """Return what is wrong with a store, in one sentence."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the kind
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or isinstance(
        error, json.JSONDecodeError
    ):
        return _damaged(path, error)
    if code == sqlite3.SQLITE_FULL:
        return f"there is no room left for {path}; what was finished is kept; make room and run again."
    if code == sqlite3.SQLITE_BUSY:
        return f"another program keeps {path} locked; end it and run again."
    why = getattr(error, "strerror", None) or error
    return f"the store {path} cannot be used: {why}; name a folder that can be written."
