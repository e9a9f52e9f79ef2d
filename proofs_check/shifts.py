"""Shifts: substitutions by non-negative symbols that make the sign of a difference visible.

beta = s/(1+s) turns "0 <= beta < 1" into "s >= 0", a = b + e turns "a >= b" into "e >= 0"; after it the
coefficients tell.  A claim may name a shift, and some are proposed here.  None is believed: `fresh`
shows that it reaches every point that the goal is about.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import sympy as sp

from ..theory import symbols as sym
from ..theory.identity import Checker, Unsupported
from ..theory.records import Holds
from .points import domains_of, facts, symbols_of

#: Shifts that are tried per goal.
MAX_PROPOSED = 24


def fresh(goal: Holds) -> dict[str, str]:
    """Return the domains of the shift's new symbols, once the shift is shown to reach every point.

    Each x is replaced by a + s, a - s, 1/(1+s) or s/(1+s), a being a fraction in old symbols that is
    defined everywhere, and s a new symbol for each x.  At any point of the domains that satisfies the
    hypotheses that is solved by s = x - a, a - x, (1-x)/x or x/(1-x), which has to exist and to lie in
    the domain of s.

    Raises:
        Unsupported: that is not shown.
    """
    checker, out = Checker(domains_of(goal)), dict[str, str]()
    for x, image in goal.shift.items():
        if not x.is_Symbol:
            raise Unsupported(f"the shift of {x} to {image}, which may not reach every value")
    known = {*symbols_of(goal), *goal.shift}  # as they are assumed to be, not by name alone
    old = {s.name for s in known}
    for x, image in goal.shift.items():
        refused = Unsupported(f"the shift of {x} to {image}, which may not reach every value")
        new = [s for s in image.free_symbols if s.name not in old]
        if len(new) != 1 or new[0].name in out or not image.free_symbols <= {*known, *new}:
            raise refused
        (s,) = new
        out[s.name] = domain = goal.domains.get(s.name, "nonnegative")
        exists, above = sp.Integer(1), None
        for end, sign in ((image - s, 1), (image + s, -1)):
            if s not in end.free_symbols and _defined(end, checker):
                above = sign * (x - end)
        if checker.equal(image * (1 + s), sp.Integer(1)):
            exists, above = x, 1 - x
        if checker.equal(image * (1 + s), s):
            exists, above = 1 - x, x
        if (
            above is None
            or domain not in ("nonnegative", "positive")
            or not facts(s) <= facts(domain)
            or not told(goal, checker, exists, strict=True)
            or not told(goal, checker, above, strict=domain == "positive")
        ):
            raise refused
    return out


def _defined(expr: Any, checker: Checker) -> bool:
    """Whether it is a fraction of polynomials with a positive denominator."""
    above, below = expr.as_numer_denom()
    polynomials = bool(above.is_polynomial() and below.is_polynomial())
    return polynomials and checker.sign(below) == "positive"


def told(goal: Holds, checker: Checker, expr: Any, *, strict: bool) -> bool:
    """Whether the domains, or a hypothesis word for word, say that expr >= 0 (strict: > 0)."""
    sign = checker.sign(expr)
    if sign == "positive" or (sign and not strict):
        return True
    least = [sym.ge(s, 1) for s in expr.free_symbols if checker.domains.get(s.name) == "natural"]
    kinds = (sp.Gt, sp.Lt) if strict else (sp.Gt, sp.Lt, sp.Ge, sp.Le)
    return any(isinstance(r, kinds) and checker.equal(expr, r.gts - r.lts)
               for r in (*goal.given, *least))  # fmt: skip


def proposed(goal: Holds) -> Iterator[Holds]:
    """Yield the goal with shifts that follow from its hypotheses and domains.

    Each hypothesis a >= b with a symbol on a side, the other side a fraction, gives a = b + e or
    b = a - e; a symbol in [0, 1) is s/(1+s), and a natural number is 1 + s.
    """
    ends = [list(_ends(relation)) for relation in goal.given]
    ways = [[*found, None] for found in ends if found]
    plain = _within(goal)
    tried = 0
    for choice in itertools.product(*ways):
        shift: dict[Any, Any] = {}
        domains = dict(goal.domains)
        for number, end in enumerate(choice):
            if end is not None and end[0] not in shift:
                x, other, sign, strict = end
                e = sym.symbol(f"e_{number}", "positive" if strict else "nonnegative")
                shift[x] = other + sign * e
                domains[e.name] = "positive" if strict else "nonnegative"
        for rest in ({}, plain) if plain else ({},):
            full = {**rest, **shift}
            if full and tried < MAX_PROPOSED:
                tried += 1
                yield replace(goal, shift=full, domains=domains)


def applied(expr: Any, shift: Mapping[Any, Any]) -> Any:
    """Return the expression after the shift; an image may speak of symbols that are shifted too."""
    for _ in shift:
        expr = expr.xreplace(dict(shift))
    return expr


def _ends(relation: Any) -> Iterator[tuple[Any, Any, int, bool]]:
    """Yield (x, a, 1 or -1, strict) for a hypothesis that says x >= a or a >= x."""
    if not isinstance(relation, sp.Ge | sp.Gt | sp.Le | sp.Lt):
        return
    strict = isinstance(relation, sp.Gt | sp.Lt)
    difference = relation.gts - relation.lts
    for x in sorted(difference.free_symbols, key=lambda s: str(s.name)):
        slope = sp.diff(difference, x)
        if slope in (1, -1):
            rest = sp.expand(difference - slope * x)
            if rest.is_rational_function():
                yield x, -slope * rest, int(slope), strict


def _within(goal: Holds) -> dict[Any, Any]:
    """Return shifts for the symbols of [0, 1) and the natural numbers that no power hangs on."""
    powers = [p for p in goal.relation.atoms(sp.Pow) if not p.exp.is_Rational]
    bound = set().union(*(p.free_symbols for p in powers))
    names = goal.relation.free_symbols.union(*(r.free_symbols for r in goal.given))
    domains, out = domains_of(goal), {}
    for x in sorted(names - bound, key=lambda s: str(s.name)):
        s = sym.symbol(f"s_{x.name}", "nonnegative")
        if domains.get(x.name) == "unit":
            out[x] = 1 / (1 + s) if sym.gt(x, 0) in goal.given else s / (1 + s)
        elif domains.get(x.name) == "natural":
            out[x] = 1 + s
    return out
