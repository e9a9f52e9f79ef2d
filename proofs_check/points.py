"""A goal at points: exact arithmetic, against which every answer of an engine is held.

A goal is about the points of its domains at which it is defined (see ``theory.identity``).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import sympy as sp

from ..theory import symbols as sym
from ..theory.evaluate import EXACT, compiled
from ..theory.identity import DOMAINS, Unsupported
from ..theory.interval import Interval
from ..theory.records import (
    Analysis,
    Answer,
    Every,
    Goal,
    Holds,
    Identity,
    Level,
    Point,
    Verdict,
    Witness,
)

#: Values tried, in this order, when looking for a point that refutes a goal.
_TRIED: dict[str, tuple[Fraction, ...]] = {
    domain: tuple(map(Fraction, values.split()))
    for domain, values in {
        "real": "1 -1 2 0 1/2 -2 3",
        "nonnegative": "1 0 2 1/2 3",
        "positive": "1 2 1/2 3",
        "unit": "1/2 3/4 1/4 0 9/10",
        "natural": "1 2 3 5 20",
    }.items()
}
#: Points tried per goal: a deterministic budget.
MAX_POINTS = 400
#: Points of each kind at which a proof is held against exact arithmetic.
EXAMINED = 8
#: Generic points tried for that.
MAX_GENERIC = 40


# -- what a goal says ------------------------------------------------------------------------------


def parts_of(goal: Goal) -> tuple[Any, ...]:
    """Return the expressions of a goal, relation first; of a finite list there are none."""
    if isinstance(goal, Identity | Analysis):
        return (sp.sympify(goal.lhs), sp.sympify(goal.rhs))
    if isinstance(goal, Every):  # no formula
        return ()
    return (goal.relation, *(goal.given if isinstance(goal, Holds) else ()))


def symbols_of(goal: Goal) -> set[Any]:
    """Return every symbol of a goal."""
    return set().union(*(part.free_symbols for part in parts_of(goal)))


def domains_of(goal: Goal) -> dict[str, str]:
    """Return the domain of each symbol: the goal's own, the common table's, or as it is assumed."""
    assumed: dict[str, str] = {}
    for symbol in symbols_of(goal):
        fits = (d for d in ("natural", "positive", "nonnegative") if facts(symbol) >= facts(d))
        domain = next(fits, "real")
        if DOMAINS.index(domain) <= DOMAINS.index(assumed.get(symbol.name, domain)):
            assumed[symbol.name] = domain
    return {**assumed, **sym.DOMAINS, **getattr(goal, "domains", {})}


@cache
def facts(of: Any) -> frozenset[tuple[str, bool]]:
    """Return what SymPy assumes of a symbol, or of the symbols of a domain."""
    symbol = sp.Symbol("_", **sym.MEANING[of][1]) if isinstance(of, str) else of
    return frozenset(symbol.assumptions0.items())


# -- exact arithmetic at a point -------------------------------------------------------------------


def compare(kind: type, lo: Any, hi: Any) -> bool | None:
    """Return whether a relation holds, given an enclosure of left - right; None: it does not tell.

    Raises:
        Unsupported: it is no comparison.
    """
    if kind in (sp.Le, sp.Lt):
        lo, hi, kind = -hi, -lo, {sp.Le: sp.Ge, sp.Lt: sp.Gt}[kind]
    apart, zero = lo > 0 or hi < 0, lo == hi == 0
    if kind not in (sp.Ge, sp.Gt, sp.Eq, sp.Ne):
        raise Unsupported(f"the relation {kind.__name__} is not decided at points")
    holds = {sp.Ge: lo >= 0, sp.Gt: lo > 0, sp.Eq: zero, sp.Ne: apart}[kind]
    fails = {sp.Ge: hi < 0, sp.Gt: hi <= 0, sp.Eq: apart, sp.Ne: zero}[kind]
    return True if holds else False if fails else None


class Compiled:
    """A comparison, to be decided at many points.

    Raises:
        Unsupported: it is no comparison, or a side has no exact meaning.
    """

    def __init__(self, relation: Any) -> None:
        self.kind = type(relation)
        compare(self.kind, 0, 0)
        sides = {"left": relation.lhs, "right": relation.rhs}
        # SymPy's difference is sharper where both sides hold the same root
        self.run = compiled({**sides, "difference": relation.lhs - relation.rhs}, EXACT)

    def difference(self, point: Point) -> Interval:
        """Return left - right; raises where one of them is not defined."""
        found = self.run({n: Interval.of(v) for n, v in point.items()})
        exact: Interval = found["left"] - found["right"]
        return exact if exact.exact else found["difference"]

    def holds(self, point: Point) -> bool | None:
        """Return whether it holds; None if that is not certain."""
        difference = self.difference(point)
        return compare(self.kind, difference.lo, difference.hi)


class AtPoints:
    """A goal, to be held against exact arithmetic at points."""

    def __init__(self, goal: Identity | Holds) -> None:
        self.domains = domains_of(goal)
        self.relation, self.given = _statement(goal)
        self._relation = Compiled(self.relation)
        parts = [p for r in self.given for p in (r.args if isinstance(r, sp.And) else (r,))]
        self._given = [Compiled(p) for p in parts if p != sp.true]
        self.names = tuple(sorted(s.name for s in symbols_of(goal)))

    def points(self) -> Iterator[dict[str, Fraction]]:
        """Yield points of the domains."""
        return points(self.names, self.domains)

    def generic(self) -> Iterator[dict[str, Fraction]]:
        """Yield points of the domains with unrelated coordinates."""
        for seed in range(MAX_GENERIC):
            source = random.Random(seed)
            yield {n: _generic(self.domains.get(n, "real"), source) for n in self.names}

    def told(self, point: Point) -> str:
        """Return "holds", "fails", "open" (the enclosure does not tell) or "elsewhere".

        Elsewhere: the point is not in the domains, a hypothesis does not certainly hold there, or the
        goal is not defined there.
        """
        try:
            inside = all(in_domain(point[n], self.domains.get(n, "real")) for n in self.names)
            if not inside or not all(given.holds(point) for given in self._given):
                return "elsewhere"
            return {True: "holds", False: "fails", None: "open"}[self._relation.holds(point)]
        except (ZeroDivisionError, ValueError, Unsupported, KeyError):
            return "elsewhere"

    def first_failure(self, tried: Iterable[Point], engine: str) -> Answer | None:
        """Return the first point at which exact arithmetic shows the goal to fail."""
        for point in tried:
            if self.told(point) == "fails":
                excess = str(abs(self._relation.difference(point)))
                witness = Witness({n: point[n] for n in self.names}, excess)
                return Answer(Verdict.REFUTED, Level.EXACT, engine, witness=witness)
        return None


def _statement(goal: Identity | Holds) -> tuple[Any, tuple[Any, ...]]:
    if isinstance(goal, Identity):
        return sym.eq(goal.lhs, goal.rhs), ()
    return goal.relation, goal.given


@dataclass(frozen=True)
class Examined:
    """What exact arithmetic says of a goal: at how many points it is defined, and where it fails."""

    points: int
    fails_at: Point | None = None


def examine(goal: Identity | Holds, enough: int = EXAMINED) -> Examined:
    """Look for points of the goal, up to ``enough`` of each kind, or for one at which it fails.

    Plain points lie near the edges of the domains and hypotheses; generic ones are no special case.

    None at all, of `MAX_POINTS` and of z3's suggestion: for all that is known the goal says nothing.

    Raises:
        Unsupported: the goal has no meaning in exact arithmetic.
    """
    from .smt import model

    held, seen = AtPoints(goal), 0
    for tried in (held.generic(), held.points()):
        here = 0
        for point in tried:
            told = held.told(point)
            if told == "fails":
                return Examined(seen + here, point)
            here += told != "elsewhere"
            if here == enough:
                break
        seen += here
    suggested = None if seen else model(held.given, held.domains, (held.relation,))
    told = held.told(suggested) if suggested else "elsewhere"
    return Examined(seen + (told != "elsewhere"), suggested if told == "fails" else None)


# -- where to look ---------------------------------------------------------------------------------


def _generic(domain: str, source: random.Random) -> Fraction:
    """Return a number of the domain that is unlikely to be a special case."""
    ratio = Fraction(source.randint(1, 30), 31)
    return {
        "real": ratio * source.choice((-5, -2, 2, 5)),
        "nonnegative": ratio * source.choice((1, 4)),
        "positive": ratio * source.choice((1, 4)),
        "unit": ratio,
        "natural": Fraction(source.randint(1, 7)),
    }[domain]


def in_domain(number: Fraction, domain: str) -> bool:
    """Return whether a number lies in a domain."""
    return {
        "real": True,
        "nonnegative": number >= 0,
        "positive": number > 0,
        "unit": 0 <= number < 1,
        "natural": number >= 1 and number.denominator == 1,
    }[domain]


def points(names: tuple[str, ...], domains: Mapping[str, str]) -> Iterator[dict[str, Fraction]]:
    """Yield points of the domains, the plain ones first, at most `MAX_POINTS`."""
    choices = [_TRIED[domains.get(n, "real")] for n in names]
    for index in _ranked(*map(len, choices)):
        yield {n: c[i] for n, c, i in zip(names, choices, index, strict=True)}


@cache
def _ranked(*sizes: int) -> tuple[tuple[int, ...], ...]:
    """Return which of the values to take: of few names all ways, small indices first."""
    ranges = [range(size) for size in sizes]
    ways: Iterable[tuple[int, ...]] = zip(*map(itertools.cycle, ranges), strict=False)
    if len(sizes) <= 5:
        ways = sorted(itertools.product(*ranges), key=lambda index: (sum(index), index))
    return tuple(itertools.islice(ways, MAX_POINTS))
