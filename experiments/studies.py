"""Every study by name: each module of this folder that has a ``STUDY``, and what a notebook adds."""

from __future__ import annotations

import ast
from functools import cache
from importlib import import_module
from pathlib import Path

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
    for module in _sources():
        study: Study = import_module(f"{__package__}.{module}").STUDY
        if found.setdefault(study.name, module) != module:
            raise ValueError(f"{found[study.name]} and {module} are both called {study.name}")
        STUDIES.add(study.name, study)
    return STUDIES


def declared() -> dict[str, str]:
    """Return name -> question of the studies of this folder, read from their sources, loading none."""
    found: dict[str, str] = {}
    for source in _sources().values():
        calls = [node.value for node in ast.parse(source).body if isinstance(node, ast.Assign)]
        for call in calls:
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "Study":
                words = {
                    k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)
                }
                found[str(words.get("name", ""))] = str(words.get("question", ""))
    return found


def _sources() -> dict[str, str]:
    """Return module -> source of the files that have a study; the others need not be loaded."""
    files = sorted(file for folder in _folder for file in Path(folder).glob("*.py"))
    sources = {file.stem: file.read_text(encoding="utf-8") for file in files}
    return {module: source for module, source in sources.items() if "\nSTUDY = " in source}
