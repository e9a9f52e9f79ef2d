"""Read the update rule out of a running optimizer.

Two lifts.  *Unrolled*: run T steps from the fresh state with gradients g1 … gT.  *Inductive*: put
symbols m, v, t where the state was, run one step, and read the transition.  Both run the optimizer's
own ``step()``; nothing is parsed.

The lift is done with several generic sets of numbers and at several steps, for two parameters at
once.  Where the same branches are taken, the formulas must be the same: a number that lost its symbol
moves, and stops the lift.  At last the rule is run in ball arithmetic beside an optimizer that was
not instrumented.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import sympy as sp
import torch

from ..theory import symbols as sym
from ..theory.rule import Regime, Rule, expand
from .arb import BALLS
from .build import VALUE_SETS, Recipe
from .engines import follows
from .shadow import Shadow, same, source_of
from .symbolic import Branches, LiftError, SymbolicFloat, math_shim, recording

#: Steps at which the inductive lift is made; rules with branches in t show them here.
STEPS = (2, 3, 4, 6, 9, 40)
#: Gradients of the runs that give the state its numbers.
GRADIENTS = (0.7, -1.3, 0.4, 2.2, -0.6, 1.1)

#: Steps tried to reach the other side of a branch in t.
_SEARCH = tuple(range(1, 50)) + tuple(range(50, 2100, 25)) + (4096,)

_OTHER = "__second"
_Path = tuple[tuple[sp.Basic, bool], ...]


@dataclass(frozen=True)
class Lift:
    """A lifted rule with what is needed to trust it and to bind a proof to it.

    Attributes:
        rule: the transition system.
        recipe: how the optimizer was constructed.
        branches: every comparison on symbolic values and its outcome, for each regime.
        code_hash: of the formulas and of the optimizer's source.
        counter: the state entry that counts steps, if there is one.
    """

    rule: Rule
    recipe: Recipe
    branches: tuple[_Path, ...]
    code_hash: str
    counter: str | None


@dataclass(frozen=True)
class _OneStep:
    """What one instrumented step gave: new values as formulas in the old, and the branches."""

    new: Mapping[str, sp.Expr]
    branches: _Path


def _tensor(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


class _Bench:
    """Two one-element parameters and an optimizer on them."""

    def __init__(self, recipe: Recipe, values: Mapping[str, float], *, symbolic: bool) -> None:
        self.params = [torch.nn.Parameter(_tensor(v)) for v in (0.9, -1.7)]
        self.optimizer = recipe.build(self.params, values, symbolic=symbolic)
        self.name = recipe.cls.__name__

    def set_gradients(self, k: int) -> None:
        for index, param in enumerate(self.params):
            sign = 1 - 2 * index
            param.grad = _tensor(sign * GRADIENTS[(k + 2 * index) % len(GRADIENTS)])

    def step(self) -> None:
        """Take a step.

        Raises:
            LiftError: the optimizer raises.
        """
        try:
            self.optimizer.step()
        except LiftError:
            raise
        except Exception as error:
            raise LiftError(f"{self.name}.step() fails: {type(error).__name__}: {error}") from error

    def run(self, steps: int) -> None:
        for k in range(steps):
            self.set_gradients(k)
            self.step()

    def entries(self, index: int = 0) -> dict[str, Any]:
        """Return the state entries that hold numbers, of one parameter and of its group."""
        state = self.optimizer.state.get(self.params[index], {})
        group = self.optimizer.param_groups[0]
        found = {k: v for k, v in state.items() if isinstance(v, torch.Tensor | int | float)}
        return {k: v for k, v in found.items() if not isinstance(v, bool)} | {
            f"group.{k}": group[k] for k in _moving_group_entries(group)
        }


def _moving_group_entries(group: Mapping[str, Any]) -> list[str]:
    return [k for k in ("step", "t", "k") if isinstance(group.get(k), int)]


def _number(value: Any) -> float:
    with torch._C.DisableTorchFunction():
        return float(value.item()) if isinstance(value, torch.Tensor) else float(value)


def lift(recipe: Recipe) -> Lift:
    """Lift the update rule of an optimizer for all t.

    Raises:
        LiftError: an operation is not modelled, a symbol was lost, parameters are coupled, or the
            rule does not agree with a run of the optimizer that was not instrumented.
    """
    counter, names = _survey(recipe)
    with math_shim():
        fresh = [_unroll(recipe, values, 1)[0] for values in VALUE_SETS]
        _agree(fresh, "the first step")
        regimes = _inductive(recipe, counter)
    rule = _assemble(recipe, names, regimes, fresh[0])
    validate(rule, recipe)
    digest = hashlib.sha256()
    for regime in rule.regimes:
        digest.update(repr((regime.when, sorted(rule.transition(regime).items()))).encode())
    digest.update(source_of(recipe.cls).encode())
    branches = tuple(step.branches for step in regimes)
    return Lift(rule, recipe, branches, digest.hexdigest()[:16], counter)


def unrolled(recipe: Recipe, steps: int) -> dict[str, sp.Expr]:
    """Lift ``steps`` steps from the fresh state; ``x`` is the parameter after them.

    Raises:
        LiftError: as for `lift`, or fewer than one step is asked for.
    """
    if steps < 1:
        raise LiftError("an unrolled lift takes at least 1 step")
    counter, _ = _survey(recipe)
    with math_shim():
        runs = [_unroll(recipe, values, steps) for values in VALUE_SETS]
    _agree([r[-1] for r in runs], f"the first {steps} steps")
    return {n: e for n, e in runs[0][-1].new.items() if n != counter}


def _survey(recipe: Recipe) -> tuple[str | None, list[str]]:
    """Find the state entries of a plain run, and which of them counts steps.

    Raises:
        LiftError: the optimizer cannot be built with the numbers it was given, or does not step.
    """
    _Bench(recipe, recipe.symbols(), symbolic=False)  # with the user's own numbers
    bench = _Bench(recipe, VALUE_SETS[0], symbolic=False)
    history = []
    for k in range(3):
        before = {n: _number(v) for n, v in _floats(bench.optimizer.param_groups[0]).items()}
        bench.set_gradients(k)
        bench.step()
        after = {n: _number(v) for n, v in _floats(bench.optimizer.param_groups[0]).items()}
        moved = [n for n in after if before.get(n) != after[n] and f"group.{n}" not in
                 bench.entries()]  # fmt: skip
        if moved:
            raise LiftError(
                f"{bench.name} changes its option {moved[0]!r} while stepping, which the lifter "
                "does not follow"
            )
        history.append({n: _number(v) for n, v in bench.entries().items()})
    if "x" in history[-1]:
        raise LiftError(f"{bench.name} calls a state entry 'x', which is the parameter's name here")
    counters = [n for n in history[-1] if [h.get(n) for h in history] == [1.0, 2.0, 3.0]]
    return (counters[0] if counters else None), [n for n in history[-1] if n not in counters]


def _floats(group: Mapping[str, Any]) -> dict[str, float]:
    return {k: v for k, v in group.items() if isinstance(v, float) and not isinstance(v, bool)}


def _unroll(recipe: Recipe, values: Mapping[str, float], steps: int) -> list[_OneStep]:
    shadow = Shadow()
    out = []
    with recording() as made, shadow:
        bench = _Bench(recipe, values, symbolic=True)
    made.taken.clear()
    for index, param in enumerate(bench.params):
        shadow.put(param, sym.symbol("x" + _OTHER * index))
    for k in range(1, steps + 1):
        bench.set_gradients(k - 1)
        for index, param in enumerate(bench.params):
            assert param.grad is not None
            shadow.put(param.grad, sym.symbol(f"g{k}" + _OTHER * index))
        with recording() as branches, shadow:
            bench.step()
        out.append(_read(bench, shadow, branches))
    return out


def _read(bench: _Bench, shadow: Shadow, branches: Branches) -> _OneStep:
    """Collect the formulas of both parameters; they must be the same but for the names."""
    both = []
    for index, param in enumerate(bench.params):
        formulas = {"x": shadow.get(param)}
        for name, value in bench.entries(index).items():
            formulas[name] = _formula_of(value, shadow)
        both.append(formulas)
    rename = {s: sp.Symbol(s.name.replace(_OTHER, ""), **s.assumptions0)
              for e in both[1].values() for s in e.free_symbols if _OTHER in s.name}  # fmt: skip
    foreign = any(_OTHER in s.name for e in both[0].values() for s in e.free_symbols)
    second = {n: e.xreplace(rename) for n, e in both[1].items()}
    if foreign or any(not same(both[0][n], second[n]) for n in both[0]):
        raise LiftError(
            f"{bench.name} couples its parameters: the update of one depends on another, so no "
            "formula of a single coordinate describes it"
        )
    return _OneStep(both[0], tuple(branches.taken))


def _formula_of(value: Any, shadow: Shadow) -> sp.Expr:
    if isinstance(value, torch.Tensor):
        return shadow.get(value)
    return value.expr if isinstance(value, SymbolicFloat) else sp.Rational(repr(value))


def _inductive(recipe: Recipe, counter: str | None) -> list[_OneStep]:
    """Return one step for each set of branches that the code takes, early steps first."""
    found: dict[_Path, list[_OneStep]] = {}
    last_seen: dict[_Path, tuple[int, int]] = {}

    def visit(step: int) -> None:
        for index, values in enumerate(VALUE_SETS):
            one = _one_step(recipe, counter, values, step, {})
            found.setdefault(one.branches, []).append(one)
            last_seen[one.branches] = max(last_seen.get(one.branches, (0, 0)), (step, index))

    for step in STEPS:
        visit(step)
    for step in _steps_to_other_branches(recipe, list(found)):
        visit(step)
    out = []
    for path in sorted(found, key=last_seen.__getitem__):
        _agree(found[path], "one step from an arbitrary state")
        step, index = last_seen[path]
        let = _one_step(recipe, counter, VALUE_SETS[index], step, found[path][0].new)
        flat = expand(let.new)
        if any(not same(flat[n], found[path][0].new[n]) for n in flat):
            raise LiftError("naming the new state changed the formula: a fault of the lifter")
        out.append(let)
    return out


def _steps_to_other_branches(recipe: Recipe, paths: list[_Path]) -> list[int]:
    """Return steps at which conditions on t are expected to come out the other way."""
    seen: dict[sp.Basic, set[bool]] = {}
    for path in paths:
        for condition, outcome in path:
            seen.setdefault(condition, set()).add(outcome)
    steps = set()
    for condition, outcomes in seen.items():
        if len(outcomes) == 2 or sym.t not in condition.free_symbols:
            continue
        for values in VALUE_SETS:
            numbers = {s: values.get(s.name, 1.0) for s in condition.free_symbols if s != sym.t}
            holds = sp.lambdify(sym.t, condition.subs(numbers), "math")
            for step in _SEARCH:
                try:
                    if bool(holds(step)) not in outcomes:
                        steps.add(step)
                        break
                except (ValueError, ArithmeticError, TypeError):
                    continue
    return sorted(steps)


def _one_step(
    recipe: Recipe,
    counter: str | None,
    values: Mapping[str, float],
    step: int,
    final: Mapping[str, sp.Expr],
) -> _OneStep:
    """Put symbols where the state was, run one step, read the new values.

    With ``final``, the formulas that the state is known to end with, the result is in let form.
    """
    twin = _Bench(recipe, values, symbolic=False)
    twin.run(step - 1)
    with recording(), Shadow():
        bench = _Bench(recipe, values, symbolic=True)
    shadow = Shadow()
    for index, (param, other) in enumerate(zip(bench.params, twin.params, strict=True)):
        with torch.no_grad():
            param.copy_(other)
        state, tail = bench.optimizer.state[param], _OTHER * index
        state.clear()
        for name, value in twin.optimizer.state[other].items():
            state[name] = _symbolic_entry(name, value, counter, tail, shadow)
    group, twin_group = (b.optimizer.param_groups[0] for b in (bench, twin))
    for name in _moving_group_entries(twin_group):
        group[name] = _symbolic_entry(f"group.{name}", twin_group[name], counter, "", shadow)
    bench.set_gradients(step - 1)
    for index, param in enumerate(bench.params):
        assert param.grad is not None
        shadow.put(param, sym.symbol("x" + _OTHER * index))
        shadow.put(param.grad, sym.symbol("g" + _OTHER * index))
    if final:
        for name, value in bench.entries().items():
            if isinstance(value, torch.Tensor) and name in final and name != counter:
                shadow.name_when(value, final[name], sym.new(name))
    with recording() as branches, shadow:
        bench.step()
    if not final:
        one = _read(bench, shadow, branches)
        return _OneStep({n: e for n, e in one.new.items() if n != counter}, one.branches)
    lines: dict[str, sp.Expr] = {}
    names = {sym.new(n): n for n in final}
    for symbol, formula in shadow.definitions.items():
        lines[names[symbol]] = formula
    for name, value in bench.entries().items():
        if name != counter and name not in lines:
            lines[name] = _formula_of(value, shadow)
        elif name in lines and _formula_of(value, shadow) != sym.new(name):
            raise LiftError("a state entry changed after its last value: a fault of the lifter")
    lines["x"] = shadow.get(bench.params[0])
    return _OneStep(_in_order(lines), tuple(branches.taken))


def _in_order(lines: Mapping[str, sp.Expr]) -> dict[str, sp.Expr]:
    """Order let-form lines so that each speaks only of lines before it; x comes last."""
    rest = {n: e for n, e in lines.items() if n != "x"}
    out: dict[str, sp.Expr] = {}
    while rest:
        pending = {sym.new(n) for n in rest}
        ready = [n for n, e in rest.items() if not e.free_symbols & (pending - {sym.new(n)})]
        if not ready:
            raise LiftError("the new state values are defined in a circle: a fault of the lifter")
        out |= {n: rest.pop(n) for n in ready}
    return {**out, "x": lines["x"]}


def _symbolic_entry(name: str, value: Any, counter: str | None, tail: str, shadow: Shadow) -> Any:
    if isinstance(value, bool) or not isinstance(value, torch.Tensor | int | float):
        return value
    formula = sym.t - 1 if name == counter else sym.symbol(sym.state_name(name) + tail)
    if isinstance(value, torch.Tensor):
        copy = value.detach().clone()
        shadow.put(copy, formula)
        return copy
    return SymbolicFloat(float(value), formula)


# -- putting a rule together -----------------------------------------------------------------------


def _agree(steps: list[_OneStep], what: str) -> None:
    """Check that lifts with different numbers gave the same formulas where branches agree."""
    for other in steps[1:]:
        if other.branches != steps[0].branches:
            continue
        for name, formula in steps[0].new.items():
            if not same(formula, other.new[name]):
                raise LiftError(
                    f"a symbolic value turned into a plain number in {what}: the formula of {name} "
                    f"changes with the numbers that were put in ({formula} against "
                    f"{other.new[name]})"
                )


def _assemble(
    recipe: Recipe, names: list[str], steps: list[_OneStep], fresh: _OneStep
) -> Rule:
    """Build the rule: split the conditions, find the initial state, keep a first step apart."""
    assumes: list[sp.Basic] = []
    regimes = []
    for one in steps:
        when = []
        for condition, outcome in one.branches:
            told = condition if outcome else sp.Not(condition)
            loose = condition.free_symbols - {sym.t} - {sym.symbol(s) for s in recipe.symbols()}
            if loose:
                raise LiftError(
                    f"the code branches on the value of {', '.join(sorted(map(str, loose)))}, which "
                    "differs from coordinate to coordinate"
                )
            (when if sym.t in condition.free_symbols else assumes).append(told)
        regimes.append(Regime(one.new, tuple(when)))
    first = {n: fresh.new[n].xreplace({sym.symbol("g1"): sym.g}) for n in (*names, "x")}
    name = f"{recipe.cls.__module__}.{recipe.cls.__qualname__}"
    for at_one in regimes:
        initial = _initial(at_one, names, first)
        if initial is not None:
            rule = Rule(name, initial, tuple(regimes), tuple(dict.fromkeys(assumes)))
            return replace(rule, regimes=_needed(rule))
    late = tuple(Regime(r.new, (*r.when, sym.t > 1)) for r in regimes)
    regimes = [Regime(first, (sp.Eq(sym.t, 1),)), *late]
    zeros = dict.fromkeys(names, sp.Integer(0))
    rule = Rule(name, zeros, tuple(regimes), tuple(dict.fromkeys(assumes)))
    return replace(rule, regimes=_needed(rule))


def _initial(
    regime: Regime, names: list[str], first: Mapping[str, sp.Expr]
) -> dict[str, sp.Expr] | None:
    """Return the start (0 or 1 for each entry) from which the regime gives the fresh first step."""
    flat = expand(regime.new)
    initial: dict[str, sp.Expr] = dict.fromkeys(names, sp.Integer(0))

    def gives(name: str) -> bool:
        at = {sym.old(n): v for n, v in initial.items()} | {sym.t: sp.Integer(1)}
        try:
            return same(flat[name].subs(at, simultaneous=True), first[name])
        except ZeroDivisionError:
            return False

    for name in names:
        if not gives(name):
            initial[name] = sp.Integer(1)
    return initial if all(gives(n) for n in (*names, "x")) else None


def _needed(rule: Rule) -> tuple[Regime, ...]:
    """Return the regimes without conditions that always hold, and check that nothing is left out.

    Raises:
        LiftError: a branch in t was seen on one side only, and the other side is not impossible.
    """
    conditions = {c for r in rule.regimes for c in r.when}
    out = []
    for regime in rule.regimes:
        kept = list(regime.when)
        for condition in regime.when:
            if sp.Not(condition) in conditions or condition in (sp.Eq(sym.t, 1), sym.t > 1):
                continue
            others = tuple(c for c in kept if c != condition)
            if not follows(condition, others, rule.all_domains):
                raise LiftError(
                    f"the code branches on {condition}, and no step up to {_SEARCH[-1]} was found "
                    "that takes the other side"
                )
            kept.remove(condition)
        out.append(Regime(regime.new, tuple(kept)))
    return tuple(out)


def validate(rule: Rule, recipe: Recipe, steps: int = 6) -> None:
    """Run the rule in ball arithmetic beside an optimizer that is not instrumented.

    Raises:
        LiftError: they disagree by more than rounding.
    """
    for values in VALUE_SETS:
        bench = _Bench(recipe, values, symbolic=False)
        start = Fraction(_number(bench.params[0]))
        gradients, seen = [], []
        for k in range(steps):
            bench.set_gradients(k)
            assert bench.params[0].grad is not None
            gradients.append(Fraction(_number(bench.params[0].grad)))
            bench.step()
            seen.append(_number(bench.params[0]))
        point = {n: Fraction(values.get(n, v)) for n, v in recipe.symbols().items()}
        trace = rule.run_in(BALLS, point, gradients, start)
        for k, (real, ball) in enumerate(zip(seen, trace.x[1:], strict=True), start=1):
            if abs(real - float(ball.mid())) > 1e-6 * (abs(real) + float(values["alpha"])):
                raise LiftError(
                    f"the lifted rule gives x = {float(ball.mid()):.12g} after step {k}, but the "
                    f"optimizer gives {real:.12g}: the lift is wrong, no claim is judged on it"
                )
