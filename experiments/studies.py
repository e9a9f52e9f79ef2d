"""Every study by name: each module of this folder that has a ``STUDY``, and what a notebook adds."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from importlib.util import find_spec

from . import __path__ as _folder
from .registry import Registry
from .study import Study

STUDIES = Registry[Study]("study")
"""What is registered; `studies` adds those of this folder."""


@cache
def studies() -> Registry[Study]:
    """Return the registry, with the studies of this folder loaded.

    Raises:
        ValueError: Two files name the same study.
    """
    found: dict[str, str] = {}
    for module in sorted(pkgutil.iter_modules(_folder), key=lambda m: m.name):
        name = f"{__package__}.{module.name}"
        spec = find_spec(name)
        reader = getattr(spec and spec.loader, "get_source", None)
        if reader is None or "\nSTUDY = " not in reader(name):  # the others need not be loaded
            continue
        study: Study = import_module(name).STUDY
        if found.setdefault(study.name, name) != name:
            raise ValueError(f"{found[study.name]} and {name} are both called {study.name}")
        STUDIES.add(study.name, study)
    return STUDIES
