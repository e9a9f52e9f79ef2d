"""Is a schedule of `optimizers.schedules` the formula of its paper, for every step?

The schedule is made and called with floats that carry symbols, at points that take it through all its
branches; what comes back is its formula on that branch.  Then, branch by branch: wherever a branch of
the code and a part of the formula can both be taken, the two values are shown to be equal, and the
branches that were not met are shown to be impossible.

``math.cos``, ``math.exp`` and ``math.pi`` keep their meaning while this is done.  A cosine of the code
is the cosine of the paper when their arguments are equal; what it is does not matter then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sympy as sp
from flint import arb

from ..theory import schedules as paper
from ..theory import symbols as sym
from ..theory.catalogue import grid
from ..theory.evaluate import compiled
from ..theory.identity import Checker, Unsupported
from ..theory.records import Answer, Identity, Level, Point, Verdict, Witness
from . import engines
from .arb import NUMBERS
from .points import Compiled
from .symbolic import LiftError, SymbolicFloat, exact, math_shim, plain, recording

#: A schedule in code: called with the number of steps before this one.
Make = Callable[..., Callable[[Any], Any]]
Path = tuple[tuple[sp.Basic, bool], ...]

#: Up to this a float may differ from the formula by rounding; anything wrong here is far from it.
ROUNDING = 1e-9
_FUNCTIONS = {"cos": sp.cos, "exp": sp.exp}
_DOMAINS = {**sym.DOMAINS, **paper.DOMAINS}


@dataclass(frozen=True)
class Lifted:
    """What a schedule does.

    Attributes:
        branches: the conditions met on a call, with their outcomes -> the value there.
        asked: the conditions on its arguments that were met while it was made, as they came out.
    """

    branches: Mapping[Path, sp.Expr]
    asked: tuple[sp.Basic, ...]


def lift(make: Make, formula: paper.Formula) -> Lifted:
    """Return the formula of a schedule on each of its branches.

    Raises:
        LiftError: an operation is not modelled, or a symbol was lost.
    """
    found: dict[Path, sp.Expr] = {}
    seen: dict[Path, int] = {}
    made: dict[sp.Basic, None] = {}
    for point in points(formula):
        with math_shim(), _functions():
            with recording() as making:
                schedule = make(**{
                    name: SymbolicFloat(float(point[s.name]), s) if s.is_Symbol else float(s)
                    for name, s in formula.arguments.items()
                })  # fmt: skip
            with recording() as calling:
                value = exact(schedule(SymbolicFloat(float(point["t"] - 1), sym.t - 1)))
        made.update(dict.fromkeys(_told(*branch) for branch in making.branches))
        path = tuple(calling.branches)
        if not Checker(_DOMAINS).equal(*_opaque(found.setdefault(path, value), value)):
            raise LiftError(
                f"a symbolic value turned into a plain number: the same branch gives {found[path]} and "
                f"{value}"
            )
        seen[path] = seen.get(path, 0) + 1
    if lonely := [path for path, times in seen.items() if times < 2]:
        raise LiftError(f"the branch {lonely[0]} was met once, so a lost symbol would not show")
    return Lifted(found, tuple(made))


def check(make: Make, formula: paper.Formula) -> Answer:
    """Say whether a schedule is the formula: proved, refuted with a witness, or why neither.

    A refutation is a point at which the code, run on plain floats, is not what the formula is, and its
    own formula, in ball arithmetic, is not either.

    Args:
        make: makes the schedule from the arguments that the formula names.
        formula: what it should be.
    """
    try:
        lifted = lift(make, formula)
    except LiftError as error:
        return Answer(Verdict.UNDECIDED, reason=f"not lifted: {error}")
    different = _difference(make, lifted, formula)
    if different is not None:
        return different
    try:
        _covers(lifted, formula)
        levels = [level for path, value in lifted.branches.items()
                  for level in _all_the_same(path, value, formula)]  # fmt: skip
    except _NotShown as problem:
        return Answer(Verdict.UNDECIDED, reason=f"incompleteness: {problem}")
    reason = f"{len(lifted.branches)} branches are the parts of the formula"
    return Answer(Verdict.PROVED, Level.weakest(levels), "identity", reason)


def at_zero(formula: paper.Formula, *arguments: str) -> paper.Formula:
    """Return the formula with some arguments 0: the code may then do something else."""
    nothing = {formula.arguments[name]: sp.Integer(0) for name in arguments}

    def there(e: Any) -> Any:
        return sp.sympify(e).subs(nothing)

    parts = [(there(when), value.subs(nothing) if there(when) != sp.false else value)
             for when, value in formula.parts]  # fmt: skip
    gone = {s.name for s in nothing}
    return paper.Formula(
        tuple(part for part in parts if part[0] != sp.false),
        formula.source,
        {name: nothing.get(s, s) for name, s in formula.arguments.items()},
        {name: values for name, values in formula.points.items() if name not in gone},
        tuple(c for c in map(there, formula.given) if c != sp.true),
    )


def points(formula: paper.Formula) -> list[Point]:
    """Return the points of a formula at which what it assumes holds."""
    given = [Compiled(condition) for condition in formula.given]
    return [p for p in grid(**formula.points) if all(g.holds(p) for g in given)]


# -- proving -----------------------------------------------------------------------------------------


class _NotShown(Exception):
    """Why a schedule was not shown to be its formula."""


def _told(condition: Any, outcome: bool) -> Any:
    return condition if outcome else sp.Not(condition)


def _parts(formula: paper.Formula) -> Iterator[tuple[tuple[Any, ...], sp.Expr]]:
    """Yield each part with all that holds there: its condition, and none of those before it."""
    before: tuple[Any, ...] = ()
    for when, value in formula.parts:
        yield (*before, *([when] if when != sp.true else [])), value
        before = (*before, sp.Not(when))


def _contradict(a: Any, b: Any) -> bool:
    """Whether one condition is the negation of the other."""
    b = sp.Not(b)
    pairs = ((b, b.lhs - b.rhs), (b.reversed, b.rhs - b.lhs))
    return any(
        type(a) is type(c) and Checker(_DOMAINS).equal(a.lhs - a.rhs, difference)
        for c, difference in pairs
    )


def _apart(path: Path, conditions: tuple[Any, ...]) -> bool:
    """Whether a branch and a part are never taken together."""
    return any(_contradict(_told(*branch), c) for branch in path for c in conditions)


def _all_the_same(path: Path, code: sp.Expr, formula: paper.Formula) -> list[Level]:
    """Return how sure it is that a branch is each part of the formula that it meets."""
    met = [part for part in _parts(formula) if not _apart(path, part[0])]
    if not met:
        raise _NotShown(f"the branch {[_told(*branch) for branch in path]} meets no part")
    return [_same(path, code, *part) for part in met]


def _same(path: Path, code: sp.Expr, conditions: tuple[Any, ...], formula: sp.Expr) -> Level:
    """Return how sure it is that the values are equal."""
    left, right = _opaque(code, formula)
    answer = engines.decide(Identity(left, right, _DOMAINS))
    if answer.verdict is not Verdict.PROVED or answer.level is None:
        where = " and ".join(map(str, (*(_told(*b) for b in path), *conditions))) or "all t"
        raise _NotShown(f"where {where}, {code} is not shown to be {formula}")
    return answer.level


def _covers(lifted: Lifted, formula: paper.Formula) -> None:
    """Check that the branches met are all that can be."""
    for condition in lifted.asked:
        if not engines.follows(condition, formula.given, _DOMAINS):
            raise _NotShown(f"the schedule is made where {condition}, and that is not all of its domain")
    begun = {path[:i] for path in lifted.branches for i in range(len(path) + 1)}
    for path in lifted.branches:
        for i, (condition, outcome) in enumerate(path):
            if (*path[:i], (condition, not outcome)) not in begun:
                before = (*formula.given, *(_told(*branch) for branch in path[:i]))
                if not engines.follows(_told(condition, outcome), before, _DOMAINS):
                    raise _NotShown(f"the branch {_told(condition, not outcome)} was not met")


def _opaque(*sides: sp.Expr) -> tuple[sp.Expr, ...]:
    """Replace cosines and exponentials by symbols: the same one where the arguments are equal."""
    named: list[tuple[sp.Expr, sp.Symbol]] = []
    swap: dict[sp.Expr, sp.Symbol] = {}
    for side in sides:
        for atom in sorted(side.atoms(sp.cos, sp.exp), key=str):
            inside = atom.args[0].xreplace({sp.pi: sym.symbol("pi_")})
            known = next((s for e, s in named if s.name.startswith(atom.func.__name__)
                          and Checker(_DOMAINS).equal(e, inside)), None)  # fmt: skip
            if known is None:
                known = sym.symbol(f"{atom.func.__name__}_{len(named)}")
                named.append((inside, known))
            swap[atom] = known
    return tuple(side.xreplace(swap) for side in sides)


# -- refuting ----------------------------------------------------------------------------------------


def _difference(make: Make, lifted: Lifted, formula: paper.Formula) -> Answer | None:
    """Return the refutation at the first point at which the schedule is not the formula."""
    for point in points(formula):
        told = next(v for c, v in _parts(formula) if all(_holds(r, point) for r in c))
        value = next(v for p, v in lifted.branches.items() if all(_holds(c, point) is o for c, o in p))
        meant, own = ball(told, point), ball(value, point)
        arguments = {n: float(point[s.name]) if s.is_Symbol else float(s)
                     for n, s in formula.arguments.items()}  # fmt: skip
        run = float(make(**arguments)(int(point["t"]) - 1))
        off, lie = abs(float(meant) - run), abs(float(own) - run)
        if lie > ROUNDING:
            reason = f"engine failure: at {_at(point)} the code returns {run}, its formula {float(own)}"
            return Answer(Verdict.UNDECIDED, reason=reason)
        if off > ROUNDING and not own.overlaps(meant):
            witness = Witness(point, f"{float(abs(own - meant)):.12g}", f"{off:.12g} (float64)")
            return Answer(Verdict.REFUTED, Level.INTERVAL, "balls", witness=witness)
    return None


def ball(expr: sp.Expr, point: Point) -> arb:
    """Return the value of a formula, with cosines and π, at a point.

    Raises:
        Unsupported: it holds something else that has no exact meaning.
    """
    values = {n: NUMBERS.number(v) for n, v in point.items()} | {"pi_": arb.pi()}
    expr = sp.sympify(expr).xreplace({sp.pi: sym.symbol("pi_")})
    for atom in sorted(expr.atoms(sp.cos), key=str):
        name = f"cos_{len(values)}"
        values[name] = compiled({"_": atom.args[0]}, NUMBERS)(values)["_"].cos()
        expr = expr.xreplace({atom: sym.symbol(name)})
    found: arb = compiled({"_": expr}, NUMBERS)(values)["_"]
    return found


def _holds(condition: Any, point: Point) -> bool:
    told = Compiled(condition).holds(point)
    if told is None:
        raise Unsupported(f"{condition} is not decided at {_at(point)}")
    return told


def _at(point: Point) -> str:
    return ", ".join(f"{n} = {v}" for n, v in point.items())


# -- running -----------------------------------------------------------------------------------------


@contextmanager
def _functions() -> Iterator[None]:
    """Inside `math_shim`: let ``math.cos``, ``math.exp`` and ``math.pi`` keep their formula."""
    saved = {name: vars(math)[name] for name in (*_FUNCTIONS, "pi")}

    def kept(name: str, function: Callable[[float], float]) -> Callable[[Any], Any]:
        def call(value: Any) -> Any:
            if not isinstance(value, SymbolicFloat):
                return function(value)
            return SymbolicFloat(function(plain(value)), _FUNCTIONS[name](value.expr))

        return call

    vars(math).update({name: kept(name, saved[name]) for name in _FUNCTIONS})
    vars(math)["pi"] = SymbolicFloat(saved["pi"], sp.pi)
    try:
        yield
    finally:
        vars(math).update(saved)
