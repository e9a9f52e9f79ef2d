"""What a finished study found, concluded once and kept with its rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from .provenance import code
from .runner import State
from .store import Store
from .study import Control, Finding, Outcome, Study


@dataclass(frozen=True)
class Verdicts:
    """The findings and the controls of a study at a size.

    >>> Verdicts.read(Verdicts((), (Control("a", True, "b"),)).text).controls[0].name
    'a'
    """

    findings: tuple[Finding, ...]
    controls: tuple[Control, ...]

    @property
    def text(self) -> str:
        """As JSON; an effect may be NaN."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Verdicts:
        """Return the verdicts of a text."""
        whole = json.loads(text)
        return cls(
            tuple(map(_finding, whole["findings"])), tuple(Control(**c) for c in whole["controls"])
        )


def _finding(parts: dict[str, Any]) -> Finding:
    typed = {
        "outcome": Outcome(parts["outcome"]),
        "interval": tuple(parts["interval"]),
        "theorems": tuple(parts["theorems"]),
    }
    return Finding(**(parts | typed))


def conclude(study: Study, size: str, store: Store, state: State) -> Verdicts:
    """Return what a finished study found: as it was kept, unless a row or the study's code changed.

    Raises:
        StoreError: The store cannot be read or written.
    """
    made, rows = _code(study.conclude, study.control), store.fingerprint(state.table)
    kept = store.kept(study.name, size)
    if kept is not None and kept[:2] == (made, rows):
        return Verdicts.read(kept[2])
    findings = tuple(study.conclude(state.table, size))
    found = Verdicts(findings, tuple(study.control(state.table, size)))
    if made:  # of a notebook's functions nobody knows whether they changed
        store.keep(study.name, size, made, rows, found.text)
    return found


def _code(*functions: Callable[..., Any]) -> str:
    """Return a hash of the sources of functions of this package; nothing if one is of elsewhere."""
    modules = {str(getattr(function, "__module__", "")) for function in functions}
    return code(modules) if all(name.startswith("adamproof.") for name in modules) else ""
