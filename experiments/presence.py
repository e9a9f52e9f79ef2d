"""Whether a process lives, told by a lock that the system takes back when it ends, kill -9 included.

The lock is SQLite's, on an empty file beside the store, so that it is the same on every system.
"""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing
from pathlib import Path


class Presence:
    """This process, under a name that others can ask for.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     one, two = (Presence(Path(folder) / "store") for _ in range(2))
    ...     lives = two.alive(one.name)
    ...     one.close()
    ...     lives, two.alive(one.name), two.close()
    (True, False, None)

    Args:
        beside: The file that the processes share.
    """

    def __init__(self, beside: Path) -> None:
        self.beside, self.name = beside, uuid.uuid4().hex[:12]
        self._lock = sqlite3.connect(self._file(self.name), isolation_level=None)
        self._lock.execute("BEGIN EXCLUSIVE")

    def alive(self, name: str) -> bool:
        """Whether the process of that name lives."""
        address = f"{self._file(name).resolve().as_uri()}?mode=rw"  # not made where it is gone
        try:
            with closing(sqlite3.connect(address, uri=True, timeout=0, isolation_level=None)) as lock:
                lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            return error.sqlite_errorcode == sqlite3.SQLITE_BUSY
        return False

    def bury(self, name: str) -> None:
        """Remove the file that a dead process left."""
        self._file(name).unlink(missing_ok=True)

    def close(self) -> None:
        """Be dead to the others."""
        self._lock.close()
        self.bury(self.name)

    def _file(self, name: str) -> Path:
        return self.beside.with_name(f"{self.beside.name}.{name}.lock")
