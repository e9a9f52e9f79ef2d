"""Every claim by id.  A claim is one decorated function in a file of this folder; nothing else.

The function takes a `Rule` and returns a `Case`, or None where the claim does not apply.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import product

from .records import Case, Claim, Point, Source
from .rule import Rule

#: The order in which families are shown; others come after them.
FAMILIES = (
    "faithfulness",
    "bias correction",
    "step size",
    "weight decay",
    "AMSGrad",
    "convergence",
    "relatives",
    "invariance",
    "stability",
    "sharpness",
    "precision",
)

_CLAIMS: dict[str, Claim] = {}
Judge = Callable[[Rule], Case | None]


def claim(
    id: str,
    *,
    family: str,
    says: str,
    statement: str,
    source: Source,
    hypotheses: str = "",
    repaired_by: str = "",
    about: str = "rules",
) -> Callable[[Judge], Judge]:
    """Register a function as the claim with this id (see `records.Claim` for the fields)."""

    def register(judge: Judge) -> Judge:
        if id in _CLAIMS:
            raise ValueError(f"there are two claims with the id {id!r}")
        _CLAIMS[id] = Claim(id, family, says, statement, source, judge, hypotheses, repaired_by, about)
        return judge

    return register


@cache
def claims() -> dict[str, Claim]:
    """Return every claim, by id, family by family."""
    package = __name__.rpartition(".")[0]
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")
    families = dict.fromkeys((*FAMILIES, *(c.family for c in _CLAIMS.values())))
    return {c.id: c for f in families for c in _CLAIMS.values() if c.family == f}


def grid(**choices: str) -> list[Point]:
    """Return the points of a grid, small numbers first.

    Each keyword names a symbol and lists rationals from plain to complicated: ``g1="1 2 -1 1/2"``.
    """
    names = list(choices)
    values = [[Fraction(part) for part in choices[n].split()] for n in names]
    ranked = sorted(product(*(range(len(v)) for v in values)), key=lambda i: (sum(i), i))
    return [{n: v[i] for n, v, i in zip(names, values, index, strict=True)} for index in ranked]
