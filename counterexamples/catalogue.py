"""Every counterexample by id: each module of this folder that has a ``COUNTEREXAMPLE``.

Other files of the folder are not loaded here: they may need NumPy, or SymPy for a derivation.

>>> "reddi-online" in catalogue()
True
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType

from . import __path__ as _folder
from .record import Counterexample


@cache
def catalogue() -> MappingProxyType[str, Counterexample]:
    """Return id -> counterexample, in the order of the ids.

    Raises:
        ValueError: two files claim the same id.
    """
    found: dict[str, Counterexample] = {}
    for module in sorted(pkgutil.iter_modules(_folder), key=lambda m: m.name):
        name = f"{__package__}.{module.name}"
        if not _has_one(name):
            continue
        example: Counterexample = import_module(name).COUNTEREXAMPLE
        if example.id in found:
            raise ValueError(f"two counterexamples are called {example.id}")
        found[example.id] = example
    return MappingProxyType(found)


def breaking(claim: str) -> list[str]:
    """Return the ids of the counterexamples that break a claim.

    >>> "reddi-online" in breaking("no such claim")
    False
    """
    return [name for name, example in catalogue().items() if claim in example.refutes]


def _has_one(name: str) -> bool:
    """Return whether the source of a module defines a counterexample, without loading it."""
    spec = find_spec(name)
    source = (
        get_source(name) if spec and (get_source := getattr(spec.loader, "get_source", None)) else None
    )
    return source is not None and "\nCOUNTEREXAMPLE = " in source
