"""How a row was made: the sources it depends on, and the versions of what ran.

The sources of a row are the modules of this package that its job names (where its functions and
classes are defined) and every module of this package that those import.  Functions of a notebook are
not among them: their code is no file.
"""

from __future__ import annotations

import ast
import hashlib
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec, resolve_name
from pathlib import Path

from .. import __version__

_OURS = f"{__package__.partition('.')[0]}."


@dataclass(frozen=True)
class Provenance:
    """How a batch of rows was made.

    Attributes:
        code: The hash of the sources that they depend on.
        versions: What ran: Python, torch, NumPy, this package.
        threads: Of torch.
        device: Where the tensors lay.
        seconds: How long the whole batch took.
    """

    code: str
    versions: str
    threads: int
    device: str
    seconds: float


@cache
def versions() -> str:
    """Return the versions of what rows are made with, on one line."""
    found = [f"python {platform.python_version()}", f"adamproof {__version__}"]
    for name in ("torch", "numpy"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} none")
    return ", ".join(found)


def code(modules: Iterable[str]) -> str:
    """Return a hash of the sources of modules of this package, and of all that they import of it.

    >>> code(["adamproof.experiments.spec"]) == code(["adamproof.experiments.spec", "json"])
    True
    """
    seen: dict[str, str] = {}
    waiting = [module for module in modules if module.startswith(_OURS)]
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen[module], imported = _read(module)
            waiting += imported
    digest = hashlib.sha256()
    for module, source in sorted(seen.items()):
        digest.update(f"{module}:{len(source)}:{source}".encode())
    return digest.hexdigest()[:16]


@cache
def _read(module: str) -> tuple[str, tuple[str, ...]]:
    """Return the source of a module, and what it imports of this package; nothing if it is none."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:  # a name inside of a module
        return "", ()
    if spec is None or not (spec.origin or "").endswith(".py"):
        return "", ()
    source = Path(str(spec.origin)).read_text(encoding="utf-8")
    package = module if spec.submodule_search_locations else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return source, tuple(sorted(name for name in found if name.startswith(_OURS)))
