"""Read the update rule out of a running optimizer.

Two lifts.  *Unrolled*: run T steps from the fresh state with gradients g1 … gT.  *Inductive*: put
symbols m, v, t where the state was, run one step, and read the transition.  Both run the optimizer's
own ``step()``; nothing is parsed.

The lift is done with the user's numbers and with generic ones, at several steps, from several data.
Where the same branches are taken, the formulas must be the same: a number that lost its symbol moves,
and stops the lift.  The branches in t that were met must leave no step out.  At last the rule is run
in ball arithmetic beside optimizers that were not instrumented (`replay.confirm`).
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy as sp
import torch

from ..theory import symbols as sym
from ..theory.rule import Regime, Rule, expand
from .build import VALUE_SETS, Recipe
from .engines import follows
from .replay import confirm
from .runs import OneStep, Path, one_step, unroll
from .shadow import same
from .survey import Bench, Kept, Numbers, survey
from .symbolic import LiftError, math_shim

#: Steps at which the inductive lift is made: with the user's numbers, and with others.
STEPS = (2, 3, 6, 40)
_FEWER = (2, 7)

#: Steps tried to reach the other side of a branch in t.
_SEARCH = tuple(range(2, 50)) + tuple(range(50, 2100, 25)) + (4096,)
#: A step after all that happens early.
_LATE = 10**7
#: A run beside the rule goes past the branches in t, but no further than this.
_LONGEST = 4200


@dataclass(frozen=True)
class Lift:
    """A lifted rule with what is needed to trust it and to bind a proof to it.

    Attributes:
        rule: the transition system.
        recipe: how the optimizer was constructed.
        branches: every comparison on symbolic values and its outcome, for each regime.
        code_hash: of the formulas and of the optimizer's source.
    """

    rule: Rule
    recipe: Recipe
    branches: tuple[Path, ...]
    code_hash: str


def lift(recipe: Recipe) -> Lift:
    """Lift the update rule of an optimizer for all t.

    Raises:
        LiftError: an operation is not modelled, a symbol was lost, parameters are coupled, or the
            rule does not agree with a run of the optimizer that was not instrumented.
    """
    with _lifting():
        own = Numbers(recipe.symbols())
        kept = survey(recipe, own)
        others = _others(recipe, kept)
        fresh = _alike(own, others, lambda numbers: unroll(recipe, kept, numbers, 1))
        paths = _Paths(recipe, kept, own, others)
        paths.decided.update(fresh.branches)
        paths.explore()
        rule = _assemble(recipe, kept, paths, fresh)
        sets = [own, *(n for n in others if paths.assumed(n))]
        rounding = max(fresh.rounding, *(one.rounding for one in paths.runs()))
        confirm(rule, recipe, [n.values for n in sets], rounding, paths.horizon())
    digest = hashlib.sha256()
    for regime in rule.regimes:
        digest.update(repr((regime.when, sorted(rule.transition(regime).items()))).encode())
    digest.update(source_of(recipe.cls).encode())
    branches = tuple(one.branches for one in paths.in_order())
    return Lift(rule, recipe, branches, digest.hexdigest()[:16])


def unrolled(recipe: Recipe, steps: int) -> OneStep:
    """Lift ``steps`` steps from the fresh state; ``x`` is the parameter after them.

    The branches are those that the user's numbers take.

    Raises:
        LiftError: as for `lift`, or fewer than one step or too many are asked for.
    """
    if steps < 1:
        raise LiftError("an unrolled lift takes at least 1 step")
    with _lifting():
        own = Numbers(recipe.symbols())
        kept = survey(recipe, own)
        return _alike(own, _others(recipe, kept), lambda numbers: unroll(recipe, kept, numbers, steps))


@contextmanager
def _lifting() -> Iterator[None]:
    """Shim `math`, and let compiled code run as the Python that it was compiled from."""
    with math_shim(), torch.compiler.set_stance("force_eager"):
        yield


def _others(recipe: Recipe, kept: Kept) -> list[Numbers]:
    """Return the sets of generic numbers that the constructor and the first step accept."""
    out = []
    for data, values in enumerate(recipe.numbers(), start=1):
        numbers = Numbers(values, data)
        try:
            Bench(recipe, numbers, kept.counted).run(1)
        except LiftError:
            continue
        out.append(numbers)
    return out


def _alike(own: Numbers, others: list[Numbers], run: Callable[[Numbers], OneStep]) -> OneStep:
    """Return the run with the user's numbers, once others that take its branches agree with it.

    Raises:
        LiftError: they do not, or there are none.
    """
    mine, alike = run(own), 0
    for numbers in others:
        other = run(numbers)
        if other.branches == mine.branches:
            _agree([mine, other], "from the fresh state")
            alike += 1
        if alike == len(VALUE_SETS):
            break
    if not alike:
        raise _no_others(mine.branches)
    return mine


def _no_others(branches: Iterable[tuple[sp.Basic, bool]]) -> LiftError:
    told = ", ".join(str(_told(*branch)) for branch in branches) or "none"
    return LiftError(
        "no other numbers for the hyper-parameters were found that the constructor accepts and that "
        f"take the same branches ({told}), so a lost symbol would not show"
    )


def _agree(runs: Sequence[OneStep], what: str) -> None:
    """Check that lifts with different numbers gave the same formulas."""
    for other in runs[1:]:
        for name, formula in runs[0].new.items():
            if not same(formula, other.new[name]):
                raise LiftError(
                    f"a symbolic value turned into a plain number in a step {what}: the formula of "
                    f"{name} changes with the numbers that were put in ({formula} against "
                    f"{other.new[name]})"
                )


# -- branches --------------------------------------------------------------------------------------


def _told(condition: sp.Basic, outcome: bool) -> sp.Basic:
    return condition if outcome else sp.Not(condition)


@lru_cache(maxsize=1024)
def _evaluator(condition: sp.Basic) -> tuple[list[sp.Symbol], Callable[..., Any]]:
    free = sorted(condition.free_symbols, key=str)
    return free, sp.lambdify(free, condition, "math")


def _comes_out(condition: sp.Basic, values: Mapping[str, float], step: int) -> bool | None:
    """Return how a condition comes out with these numbers, or None where it has no value."""
    free, run = _evaluator(condition)
    try:
        return bool(run(*({**values, "t": step}[s.name] for s in free)))
    except (ValueError, ArithmeticError, TypeError):
        return None


def _certain(relation: sp.Basic, given: tuple[sp.Basic, ...]) -> bool:
    """Whether a relation follows; the engines prove inequalities, so others are taken apart."""
    if isinstance(relation, sp.Ne):
        return any(_certain(r(*relation.args), given) for r in (sp.Gt, sp.Lt))
    if isinstance(relation, sp.Eq):
        return all(_certain(r(*relation.args), given) for r in (sp.Ge, sp.Le))
    return follows(relation, given, sym.DOMAINS)


class _Paths:
    """The ways through the code that one step from an arbitrary state takes.

    A way is the conditions that were met, with their outcomes.  Those on hyper-parameters alone are
    decided by the user's numbers, and assumed from there on.  Those on t must be met both ways, or
    have one way only.
    """

    def __init__(self, recipe: Recipe, kept: Kept, own: Numbers, others: list[Numbers]) -> None:
        self.recipe, self.kept, self.sets, self._others = recipe, kept, [own], others
        self.found: dict[Path, dict[tuple[int, int], OneStep]] = {}
        self.decided: dict[sp.Basic, bool] = {}
        #: path -> the conditions that the others leave open
        self.when: dict[Path, tuple[sp.Basic, ...]] = {}
        self._tried: set[tuple[int, int]] = set()

    def explore(self) -> None:
        """Find every path, with two sets of numbers each.

        Raises:
            LiftError: they do not agree, or a path was not found and may exist.
        """
        for step in STEPS:
            self._visit(0, step)
        self.sets += [n for n in self._others if self.assumed(n)][: len(VALUE_SETS)]
        if len(self.sets) < 2:
            raise _no_others(self.decided.items())
        for index in range(1, len(self.sets)):
            for step in _FEWER:
                self._visit(index, step)
        while wanted := set(self._wanted()):
            for index, step in sorted(wanted):
                self._visit(index, step)
        for path, runs in self.found.items():
            if len({index for index, _ in runs}) < 2:
                told = " and ".join(str(_told(*branch)) for branch in path)
                raise LiftError(f"the branch {told} was met with one set of numbers only, so a lost "
                                "symbol would not show")  # fmt: skip
            _agree(list(runs.values()), "from an arbitrary state")
            self.when[path] = tuple(self._open(path))

    def assumed(self, numbers: Numbers) -> bool:
        """Whether other numbers take the branches on hyper-parameters that the user's take."""
        return all(_comes_out(c, numbers.values, 0) is o for c, o in self.decided.items())

    def _visit(self, index: int, step: int) -> None:
        one = one_step(self.recipe, self.kept, self.sets[index], step)
        self._tried.add((index, step))
        for condition, outcome in one.branches:
            if sym.t in condition.free_symbols:
                continue
            if self.decided.setdefault(condition, outcome) is not outcome:
                raise LiftError(f"the numbers put in take different branches on {condition}")
        self.found.setdefault(one.branches, {})[index, step] = one

    def _wanted(self) -> Iterator[tuple[int, int]]:
        """Yield sets of numbers and steps that should take a path not seen yet, or seen once."""
        for prefix in self._unseen():
            yield from itertools.islice(self._that_take(prefix, range(len(self.sets))), 1)
        for path, runs in self.found.items():
            seen = {index for index, _ in runs}
            if len(seen) == 1:
                rest = [i for i in range(len(self.sets)) if i not in seen]
                yield from itertools.islice(self._that_take(path, rest), 1)

    def _unseen(self) -> list[Path]:
        """Return the beginnings of paths that no run took, up to the branch taken otherwise."""
        begun = {path[:i] for path in self.found for i in range(len(path) + 1)}
        return [
            other
            for path in self.found
            for i, (condition, outcome) in enumerate(path)
            if sym.t in condition.free_symbols
            and (other := (*path[:i], (condition, not outcome))) not in begun
        ]

    def _that_take(self, path: Path, indices: Iterable[int]) -> Iterator[tuple[int, int]]:
        named = {int(n) + d for c, _ in path for n in c.atoms(sp.Integer) for d in (-1, 0, 1)}
        near = {n for n in named if 2 <= n <= _SEARCH[-1]}
        for index, step in itertools.product(indices, sorted(near.union(_SEARCH))):
            values = self.sets[index].values
            if (index, step) not in self._tried and all(
                _comes_out(condition, values, step) is outcome for condition, outcome in path
            ):
                yield index, step

    def _open(self, path: Path) -> Iterator[sp.Basic]:
        """Yield the conditions on t of a path that do not follow from those before them.

        Raises:
            LiftError: the other side of a condition was not met, and is not impossible.
        """
        unseen = set(self._unseen())
        for i, (condition, outcome) in enumerate(path):
            told = _told(condition, outcome)
            if sym.t not in condition.free_symbols:
                continue
            if (*path[:i], (condition, not outcome)) not in unseen:
                yield told
                continue
            before = tuple(_told(*branch) for branch in path[:i])
            # at t = 1 the fresh state decides: a regime that does not give its step is kept off it
            if not _certain(told, (*before, sp.Ge(sym.t, 2))):
                raise LiftError(
                    f"the code branches on {told}, and no step up to {_SEARCH[-1]} was found that "
                    "takes the other side"
                )

    def runs(self) -> list[OneStep]:
        """Return every run."""
        return [one for runs in self.found.values() for one in runs.values()]

    def on_t(self) -> set[sp.Basic]:
        """Return the conditions on t that were met."""
        return {c for path in self.found for c, _ in path if sym.t in c.free_symbols}

    def horizon(self) -> int:
        """Return a number of steps that takes every path, as far as that is not too many."""
        last = max(min(step for _, step in runs) for runs in self.found.values())
        return min(max(max(STEPS), last + 3), _LONGEST)

    def in_order(self) -> list[OneStep]:
        """Return one run for each path: early paths first, at the end the one of late steps."""

        def place(path: Path) -> tuple[bool, int, int]:
            own = [step for index, step in self.found[path] if index == 0]
            late = all(_comes_out(c, self.sets[0].values, _LATE) is o for c, o in path)
            return late, max(own, default=0), max(step for _, step in self.found[path])

        return [next(iter(self.found[path].values())) for path in sorted(self.found, key=place)]

    def let_form(self, one: OneStep) -> Mapping[str, sp.Expr]:
        """Return the new values of a path with m_t for what is m_t.

        Raises:
            LiftError: this changes the formulas.
        """
        index, step = max(self.found[one.branches])
        let = one_step(self.recipe, self.kept, self.sets[index], step, one.new).new
        if any(not same(formula, one.new[name]) for name, formula in expand(let).items()):
            raise LiftError("naming the new state changed the formula: a fault of the lifter")
        return let


# -- putting a rule together -----------------------------------------------------------------------


def _assemble(recipe: Recipe, kept: Kept, paths: _Paths, fresh: OneStep) -> Rule:
    """Build the rule: find the initial state, keep a first step apart that does not fit in."""
    regimes = [Regime(paths.let_form(one), paths.when[one.branches]) for one in paths.in_order()]
    at_first = {c.xreplace({sym.t: sp.Integer(1)}) for c in paths.on_t()}
    assumes = [_told(c, outcome) for c, outcome in paths.decided.items() if c not in at_first]
    first = {n: fresh.new[n].xreplace({sym.symbol("g1"): sym.g}) for n in (*kept.names, "x")}
    own = paths.sets[0].values
    at_one = (r for r in regimes if all(_comes_out(c, own, 1) for c in r.when))
    initial = next((_initial(r, kept, first) for r in at_one), None)
    if initial is None:
        late = (Regime(r.new, (*r.when, sym.t > 1)) for r in regimes)
        regimes = [Regime(first, (sp.Eq(sym.t, 1),)), *late]
        initial = dict.fromkeys(kept.names, sp.Integer(0))
    name = f"{recipe.cls.__module__}.{recipe.cls.__qualname__}"
    rule = Rule(name, initial, tuple(regimes), tuple(assumes))
    known = {"x", "g", "t", *recipe.symbols()}
    known |= {s.name for n in kept.names for s in (sym.old(n), sym.new(n))}
    spoken = {s.name for r in regimes for e in (*r.new.values(), *r.when) for s in e.free_symbols}
    if spoken - known:
        raise LiftError(f"the formulas speak of {spoken - known}: a fault of the lifter")
    return rule


def _initial(regime: Regime, kept: Kept, first: Mapping[str, sp.Expr]) -> dict[str, sp.Expr] | None:
    """Return the start (0 or 1 for each entry) from which the regime gives the fresh first step."""
    flat = expand(regime.new)
    initial: dict[str, sp.Expr] = dict.fromkeys(kept.names, sp.Integer(0))

    def gives(name: str) -> bool:
        at = {sym.old(n): v for n, v in initial.items()} | {sym.t: sp.Integer(1)}
        try:
            return _fits(flat[name].xreplace(at), first[name])
        except ZeroDivisionError:
            return False

    for name in kept.names:
        if not gives(name):
            initial[name] = sp.Integer(1)
    return initial if all(gives(n) for n in (*kept.names, "x")) else None


def _fits(formula: sp.Expr, first: sp.Expr) -> bool:
    """Whether a formula at t = 1 is that of the first step, but for the rounding of constants.

    In a fresh state a counter is still Python's own 1: ``1 / 7`` is rounded there, ``t / 7`` is not.
    """
    if same(formula, first):
        return True
    if all(constant.q < 10**9 for constant in first.atoms(sp.Rational)):
        return False
    symbols = sorted(formula.free_symbols | first.free_symbols, key=str)
    for k in range(3):
        point = {s: sp.Rational(2 * i + 3 + k, 7 * i + 11) for i, s in enumerate(symbols)}
        one, other = (sp.N(e.xreplace(point), 30) for e in (formula, first))
        if not abs(one - other) <= 1e-14 * abs(other):
            return False
    return True


def source_of(cls: type) -> str:
    """Return the source that a class is bound to: its module's, else its functions', else its code.

    A class made in a notebook has functions with a source, but no module with one.
    """
    module = inspect.getmodule(cls)
    try:
        return inspect.getsource(module if module is not None else cls)
    except (OSError, TypeError):
        pass
    parts = []
    for value in vars(cls).values():
        function = inspect.unwrap(value) if callable(value) else None
        if inspect.isfunction(function):
            try:
                parts.append(inspect.getsource(function))
            except (OSError, TypeError):
                parts.append(function.__code__.co_code.hex())
    return "\n".join(parts)
