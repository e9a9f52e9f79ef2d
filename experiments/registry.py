"""Where tasks, methods, metrics and studies are looked up by name, and where a notebook adds its own."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Names and what they stand for.

    >>> metrics = Registry[int]("metric")
    >>> metrics.add("norm", 2)
    2
    >>> metrics["nrom"]
    Traceback (most recent call last):
        ...
    adamproof.experiments.registry.UnknownNameError: there is no metric 'nrom'; the nearest is 'norm'.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Register an entry, or replace it, and return it."""
        self._entries[name] = entry
        return entry

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            near = difflib.get_close_matches(name, self._entries, 1, 0.0)
            hint = f"; the nearest is {near[0]!r}" if near else ""
            raise UnknownNameError(f"there is no {self.kind} {name!r}{hint}.")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class UnknownNameError(LookupError):
    """A name that nothing is registered for; the message is a sentence."""
