"""Section 7, memory: how many numbers per parameter a rule has to keep."""

from __future__ import annotations

import sympy as sp

from .catalogue import claim
from .precision import FAMILY
from .records import Case, Expr, Goal, Holds, Step
from .rule import Rule, expand
from .sources import FOLKLORE
from .symbols import g, gt, new, old, symbol, x


def per_element(rule: Rule) -> list[str]:
    """Return the state entries that depend on the gradient or on x: each coordinate needs its own."""
    found: set[str] = set()
    while True:
        moved = {x, g, *(old(n) for n in found)}
        more = {n for r in rule.regimes for n in rule.initial if expand(r.new)[n].free_symbols & moved}
        if more <= found:
            return [n for n in rule.initial if n in found]
        found |= more


def _at(rule: Rule, name: str, gradient: int) -> Expr:
    """Return what an entry holds after one gradient."""
    start = {old(n): v for n, v in rule.initial.items()} | {symbol("t"): sp.Integer(1)}
    line = expand(rule.regimes[0].new)[name].subs(start, simultaneous=True)
    return line.subs({g: gradient, x: 0}, simultaneous=True)


def _differs(rule: Rule, name: str, pair: tuple[int, int]) -> Goal:
    """Return the goal that two gradients leave different numbers in an entry."""
    more, less = (_at(rule, name, gradient) for gradient in pair)
    held = more.free_symbols | less.free_symbols
    given = tuple(gt(s, 0) for s in sorted(held, key=str) if s.is_nonnegative and not s.is_positive)
    domains = {**rule.all_domains, **{new(name).name: "real"}}
    return Holds(gt(more - less, 0), given, domains)


def _pair(rule: Rule, name: str) -> tuple[int, int]:
    """Return two gradients that the entry tells apart: of either sign, or of two sizes."""
    return (2, 1) if sp.expand(_at(rule, name, 1) - _at(rule, name, -1)) == 0 else (1, -1)


@claim("state-bytes", family=FAMILY, source=FOLKLORE,
       says="Adam doubles memory.",
       statement="For a tensor of n parameters of s bytes the state takes k·n·s bytes, k the number of "
                 "entries that depend on the gradient, and single numbers: parameters, gradients and "
                 "state are 2 + k copies.  Adam has k = 2: twice plain SGD's 2, three times the "
                 "parameters without gradients.",
       hypotheses="State in the type of the parameter; activations are not counted.")  # fmt: skip
def state_bytes(rule: Rule) -> Case | None:
    """The entries are counted in the rule; what a run of the code holds is weighed."""
    entries = per_element(rule)
    if not entries:
        return Case(trial="state-bytes")
    pairs = {n: _pair(rule, n) for n in entries}
    steps = tuple(
        Step(f"{n} after a gradient {a} is not what it is after {b}", _differs(rule, n, (a, b)),
             "so two coordinates cannot share it; one number for each")
        for n, (a, b) in pairs.items()
    )  # fmt: skip
    first = entries[0]
    return Case(steps, control=_differs(rule, first, pairs[first][::-1]), trial="state-bytes")
