"""An update rule as a transition system, on paper or lifted from code: the same type for both.

A rule has a parameter x, state entries, and for each *regime* the new values as formulas in the old
ones, the gradient g, the step t (1 at the first step) and the hyper-parameters.  Most rules have one
regime; torch's SGD has another at its first step, RAdam one before its rectifier is defined.

The formulas are in *let form*: ``exp_avg`` is given by its own line, and the line of ``x`` speaks of
the new value through the symbol ``exp_avg_new``, as the papers do with m_t.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import sympy as sp

from . import symbols as sym
from .evaluate import EXACT, Arithmetic, compiled
from .identity import Unsupported
from .interval import Interval
from .records import Expr, Point, Trace

#: What an unnamed hyper-parameter is in an exact run.
DEFAULTS: dict[str, Fraction] = {
    "alpha": Fraction(1),
    "beta1": Fraction(1, 2),
    "beta2": Fraction(3, 4),
    "beta3": Fraction(3, 4),
    "lambda_": Fraction(1, 4),
    "mu": Fraction(1, 2),
    "rho": Fraction(1, 2),
    "tau": Fraction(1, 4),
    "eps": Fraction(0),
    "alpha_final": Fraction(1),
    "gamma_": Fraction(2),
}


@dataclass(frozen=True)
class Regime:
    """One branch of a rule: formulas, and the conditions under which the code takes it."""

    new: Mapping[str, Expr]
    when: tuple[Expr, ...] = ()


@dataclass
class ExactTrace:
    """A run: ``x[t]`` and ``state[name][t]`` for t = 0 … T."""

    x: list[Any]
    state: dict[str, list[Any]]


@dataclass(frozen=True, eq=False)
class Rule:
    """A transition system.

    Attributes:
        name: what it is called in reports.
        initial: state entry -> its value before the first step.
        regimes: the branches; their conditions are exclusive and cover every step.
        assumes: conditions on the hyper-parameters under which the code takes this path.
        domains: domains of symbols that the table in ``symbols`` does not name.
        against: name in ``rules.RULES`` of the paper's rule that it is said to run.
    """

    name: str
    initial: Mapping[str, Expr]
    regimes: tuple[Regime, ...]
    assumes: tuple[Expr, ...] = ()
    domains: Mapping[str, str] = field(default_factory=dict)
    against: str = ""

    @property
    def only(self) -> Regime | None:
        """The single regime, or None when the rule has several."""
        return self.regimes[0] if len(self.regimes) == 1 else None

    @property
    def late(self) -> Regime:
        """The regime of late steps: the last one."""
        return self.regimes[-1]

    @cached_property
    def all_domains(self) -> dict[str, str]:
        """The domain of every symbol that is not just real."""
        return {**sym.DOMAINS, **self.domains}

    @cached_property
    def hyper(self) -> tuple[str, ...]:
        """Names of the hyper-parameters that the formulas speak of."""
        known = {"x", "g", "t"} | {sym.old(n).name for n in self.initial}
        known |= {sym.new(n).name for n in self.initial}
        found = {s.name for r in self.regimes for e in r.new.values() for s in e.free_symbols}
        found |= {s.name for e in self.initial.values() for s in e.free_symbols}
        return tuple(sorted(found - known))

    @cached_property
    def key(self) -> str:
        """Everything that a verdict can depend on, as text; rules with the same key are one rule."""
        parts = [f"{sorted(self.initial.items(), key=str)} {self.assumes} {self.against}"]
        parts += [f"{r.when}: {list(r.new.items())}" for r in self.regimes]
        return "\n".join(parts)

    def transition(self, regime: Regime | None = None) -> dict[str, Expr]:
        """Return the new values as formulas in the old ones alone (let form expanded)."""
        return expand((regime or self.late).new)

    def unrolled(self, steps: int) -> dict[str, Expr]:
        """Return x and the state after that many steps, from x with gradients g1, g2 and so on.

        Raises:
            ValueError: a condition between regimes is not decided at a concrete step.
        """
        values: dict[str, Expr] = {"x": sym.x, **self.initial}
        for k in range(1, steps + 1):
            regime = self._regime_at(k)
            old = {sym.old(n): v for n, v in values.items()}
            old |= {sym.t: sp.Integer(k), sym.g: sym.symbol(f"g{k}")}
            new = self.transition(regime)
            values = {n: new[n].subs(old, simultaneous=True) for n in ("x", *self.initial)}
        return values

    def _regime_at(self, step: int) -> Regime:
        for regime in self.regimes:
            if all(c.subs(sym.t, step) == sp.true for c in regime.when):
                return regime
        raise ValueError(f"which branch step {step} takes depends on the hyper-parameters")

    # -- exact runs ----------------------------------------------------------------------------

    def fill(self, point: Point) -> dict[str, Fraction]:
        """Return the point with a value for every hyper-parameter the rule has."""
        return {n: point.get(n, DEFAULTS.get(n, Fraction(0))) for n in self.hyper}

    def run(self, point: Point, g: Sequence[Fraction | Interval], x: Fraction = Fraction(0)) -> Trace:
        """Run the rule exactly: rationals, and enclosures where a root is irrational."""
        return self.run_in(EXACT, point, g, x)

    def run_in(
        self, arithmetic: Arithmetic, point: Point, g: Sequence[Any], x: Fraction = Fraction(0)
    ) -> ExactTrace:
        """Run the rule in the given arithmetic, from its fresh state."""
        start, steps = self._compiled(arithmetic)
        env: dict[str, Any] = {n: arithmetic.number(v) for n, v in self.fill(point).items()}
        values = {"x": arithmetic.number(Fraction(x)), **start(env)}
        trace = ExactTrace([values["x"]], {n: [values[n]] for n in self.initial})
        for k, gradient in enumerate(g, start=1):
            env |= {sym.old(n).name: v for n, v in values.items()}
            env["t"] = arithmetic.number(Fraction(k))
            exact = isinstance(gradient, int | Fraction)
            env["g"] = arithmetic.number(Fraction(gradient)) if exact else gradient
            step = next(s for holds, s in steps if holds(env))
            values = step(env)
            trace.x.append(values["x"])
            for name in self.initial:
                trace.state[name].append(values[name])
        return trace

    def _compiled(self, arithmetic: Arithmetic) -> tuple[Any, list[tuple[Any, Any]]]:
        cache: dict[int, Any] = self.__dict__.setdefault("_compiled_cache", {})
        if id(arithmetic) not in cache:
            chained = {n: sym.new(n).name for n in self.initial}
            start = compiled(self.initial, arithmetic)
            steps = [
                (_guard(r.when, arithmetic), compiled(r.new, arithmetic, chained=chained))
                for r in self.regimes
            ]
            cache[id(arithmetic)] = (start, steps)
        made: tuple[Any, list[tuple[Any, Any]]] = cache[id(arithmetic)]
        return made


def pruned(rule: Rule) -> Rule:
    """Return the rule without the state entries that no later parameter depends on."""
    needed: set[str] = set()
    while True:
        wanted = {"x", *needed}
        found = {
            n
            for r in rule.regimes
            for name, e in expand(r.new).items()
            if name in wanted
            for n in rule.initial
            if sym.old(n) in e.free_symbols
        }
        if found <= needed:
            break
        needed |= found
    dead = set(rule.initial) - needed
    if not dead:
        return rule
    regimes = []
    for r in rule.regimes:
        gone = {sym.new(n): e for n, e in expand(r.new).items() if n in dead}
        new = {n: e.xreplace(gone) for n, e in r.new.items() if n not in dead}
        regimes.append(Regime(new, r.when))
    initial = {n: v for n, v in rule.initial.items() if n in needed}
    return replace(rule, initial=initial, regimes=tuple(regimes))


def expand(new: Mapping[str, Expr]) -> dict[str, Expr]:
    """Return let-form formulas with the new-value symbols substituted away."""
    out: dict[str, Expr] = {}
    for name, expr in new.items():
        out[name] = expr.xreplace({sym.new(n): e for n, e in out.items()})
    return out


_OPPOSITE = {"Gt": "Le", "Ge": "Lt", "Lt": "Ge", "Le": "Gt", "Eq": "Ne", "Ne": "Eq"}
_NAMES = {
    sp.StrictGreaterThan: "Gt",
    sp.GreaterThan: "Ge",
    sp.StrictLessThan: "Lt",
    sp.LessThan: "Le",
    sp.Equality: "Eq",
    sp.Unequality: "Ne",
}


def _certainly(kind: str, a: Any, b: Any) -> bool:
    difference = a - b
    if isinstance(difference, Interval):
        lo, hi = difference.lo, difference.hi
        return {
            "Gt": lo > 0, "Ge": lo >= 0, "Lt": hi < 0, "Le": hi <= 0,
            "Eq": lo == hi == 0, "Ne": lo > 0 or hi < 0,
        }[kind]  # fmt: skip
    return bool(
        {
            "Gt": difference > 0, "Ge": difference >= 0, "Lt": difference < 0,
            "Le": difference <= 0, "Eq": difference == 0, "Ne": difference != 0,
        }[kind]
    )  # fmt: skip


def _guard(when: Sequence[Expr], arithmetic: Arithmetic) -> Callable[[Mapping[str, Any]], bool]:
    """Return whether all conditions hold at an environment; an undecided one raises."""
    parts = [(_NAMES[type(c)], compiled({"lhs": c.lhs, "rhs": c.rhs}, arithmetic)) for c in when]

    def holds(env: Mapping[str, Any]) -> bool:
        for kind, run in parts:
            sides = run(env)
            if _certainly(_OPPOSITE[kind], sides["lhs"], sides["rhs"]):
                return False
            if not _certainly(kind, sides["lhs"], sides["rhs"]):
                raise Unsupported("a branch condition that the enclosure does not decide")
        return True

    return holds
