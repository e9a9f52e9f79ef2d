"""Every counterexample by id: each module of this folder that has a ``COUNTEREXAMPLE``.

>>> sorted(catalogue())[:2]
['reddi-online', 'reddi-period']
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
        example = getattr(
            import_module(f"{__package__}.{module.name}"), "COUNTEREXAMPLE", None
        )
        if not isinstance(example, Counterexample):
            continue
        if example.id in found:
            raise ValueError(f"two counterexamples are called {example.id}")
        found[example.id] = example
    return MappingProxyType(found)
