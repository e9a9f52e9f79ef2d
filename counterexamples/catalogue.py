"""Every counterexample by id: each module of this folder that has a ``COUNTEREXAMPLE``.

A file ``NAME_proof`` holds the derivation of ``NAME``, and is loaded only when that is asked for.

>>> "reddi-online" in catalogue()
True
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
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
        if module.name.endswith("_proof"):
            continue
        example = getattr(import_module(f"{__package__}.{module.name}"), "COUNTEREXAMPLE", None)
        if not isinstance(example, Counterexample):
            continue
        if example.id in found:
            raise ValueError(f"two counterexamples are called {example.id}")
        found[example.id] = example
    return MappingProxyType(found)
