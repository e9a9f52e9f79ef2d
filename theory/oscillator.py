"""A rule on the quadratic c·x²/2, read off its lines as a linear recurrence of order 1 or 2.

The gradient c·x is put into the rule's own late lines.  What multiplies the direction and depends on
the gradient's size, as 1/(√v + ε) does, is *frozen*: it becomes 1/d.  What is left is linear in x and
in one buffer, and x_{t+1} = T x_t − D x_{t−1}.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import sympy as sp

from .identity import Budget, Checker, Unsupported
from .records import Expr, Identity, Step
from .rule import Rule, expand
from .symbols import g, new, old, symbol, t, x

#: The curvature, and the frozen denominator.
c, d = symbol("c", "positive"), symbol("d", "positive")
DOMAINS = {"c": "positive", "d": "positive"}


@dataclass(frozen=True)
class Oscillator:
    """A rule on c·x²/2.

    Attributes:
        rule: the rule.
        late: its late lines in let form, with every power of t gone.
        denominator: what was frozen, 1 if nothing was.
        frozen: the late lines with the denominator written d.
        buffer: the one state entry that the direction is linear in, or "" if there is none.
        trace: T.
        determinant: D.
        lag: k in x_1 = (T − k)·x_0, from a fresh state.
    """

    rule: Rule
    late: dict[str, Expr]
    denominator: Expr
    frozen: dict[str, Expr]
    buffer: str
    trace: Expr
    determinant: Expr
    lag: Expr

    @cached_property
    def margin(self) -> Expr:
        """1 + T + D, which is positive below the threshold."""
        return self.trace + self.determinant + 1

    @cached_property
    def slope(self) -> Expr:
        """What 1 + T + D loses per unit of curvature."""
        return tidy(-sp.diff(sp.expand(self.margin), c))

    @cached_property
    def threshold(self) -> Expr:
        """The curvature at which 1 + T + D is 0."""
        return tidy(sp.expand(self.margin.subs(c, 0))) / self.slope

    @cached_property
    def domains(self) -> dict[str, str]:
        """Domains of every symbol in it."""
        return {**self.rule.all_domains, **DOMAINS}


def without_powers(rule: Rule) -> dict[str, Expr]:
    """Return the rule's late lines at t → ∞: powers β^t are 0, and so are products of such factors.

    A state entry that is only ever multiplied, as NAdam's product of momenta is, counts as a power.
    """
    lines = {n: e.replace(_is_power, lambda _: sp.Integer(0)) for n, e in rule.late.new.items()}
    fading: dict[Expr, Expr] = {}
    for n in rule.initial:
        factor = sp.cancel(lines[n] / old(n))
        if factor.free_symbols.isdisjoint({g, x, *map(old, rule.initial), *map(new, rule.initial)}):
            fading |= {old(n): sp.Integer(0), new(n): sp.Integer(0)}
    return {n: e.xreplace(fading) for n, e in lines.items() if old(n) not in fading}


def tidy(e: Expr) -> Expr:
    """Return the expression factored, with factors such as 1 − β1 in place of β1 − 1."""
    out = sp.Integer(1)
    for factor in sp.Mul.make_args(sp.factor(e)):
        lower = factor.is_Add and factor.subs(dict.fromkeys(factor.free_symbols, 0)).is_negative
        out *= -1 if lower else 1
        out *= sp.Add(*[-part for part in factor.args]) if lower else factor
    return out


def _is_power(e: Expr) -> bool:
    return bool(e.is_Pow and e.exp.has(t) and not e.base.has(t))


def _carriers(lines: dict[str, Expr]) -> set[str]:
    """Return the state entries that are linear in themselves and the gradient, and x in them."""
    found = {n for n, line in lines.items() if n != "x" and _linear(line, {x, g, old(n)})}
    while True:
        seen = {x, g, *map(old, found), *map(new, found)}
        bad = {n for n in found for m in ("x", *found) for s in (old(n), new(n))
               if not seen.isdisjoint(sp.diff(lines[m], s).free_symbols)}  # fmt: skip
        if not bad:
            return found
        found -= bad


def _linear(line: Expr, seen: set[sp.Symbol]) -> bool:
    return all(seen.isdisjoint(sp.diff(line, s).free_symbols) for s in seen)


def _frozen(lines: dict[str, Expr], carriers: set[str]) -> tuple[dict[str, Expr], Expr] | None:
    """Return the carriers' lines with the common factor 1/d, and what d is."""
    seen = [x, g, *map(old, sorted(carriers)), *map(new, sorted(carriers))]
    others = [t, *(f(m) for m in sorted(set(lines) - carriers) for f in (old, new))]
    out, denominators = {}, set()
    for n in [m for m in lines if m == "x" or m in carriers]:
        if lines[n].xreplace(dict.fromkeys(seen, sp.Integer(0))) != 0:
            return None
        total = sp.Integer(0)
        for s in seen:
            for term in sp.Add.make_args(sp.diff(lines[n], s)):
                moving = [e for e in sp.Mul.make_args(term) if e.has(*others)]
                if moving:
                    denominators.add(1 / sp.Mul(*moving))
                    kept = [e for e in sp.Mul.make_args(term) if e not in moving]
                    total += sp.Mul(*kept) / d * s
                else:
                    total += term * s
        out[n] = total
    if len(denominators) > 1:
        return None
    return out, denominators.pop() if denominators else sp.Integer(1)


@cache
def oscillator(rule: Rule) -> Oscillator | None:
    """Return the rule's recurrence on c·x²/2, if it has one of order at most 2."""
    lines = without_powers(rule)
    carriers = _carriers(lines)
    found = _frozen(lines, carriers)
    if found is None or len(carriers) > 1:
        return None
    frozen, denominator = found
    (buffer,) = carriers or {""}
    after = {n: e.subs(g, c * x) for n, e in expand(frozen).items()}
    names = [x, old(buffer)] if buffer else [x]
    matrix = sp.Matrix([[sp.diff(after["x" if s == x else buffer], v) for v in names] for s in names])
    trace = sp.expand(matrix.trace())
    determinant = sp.expand(matrix.det()) if buffer else sp.Integer(0)
    first = matrix[0, 0]
    if denominator == 1:
        first = sp.diff(rule.unrolled(1)["x"].subs(symbol("g1"), c * x), x)
    lag = sp.expand(trace - first)
    made = Oscillator(rule, lines, denominator, frozen, buffer, trace, determinant, lag)
    return made if _is_one(made, after) else None


def _is_one(o: Oscillator, after: dict[str, Expr]) -> bool:
    """Whether the recurrence is the rule's, and 1 + T + D falls as the curvature grows."""
    checker = Checker(o.domains)
    try:
        gap = _twice(o, after) - o.trace * after["x"] + o.determinant * x
        return checker.is_zero(gap) and not o.slope.has(c) and checker.sign(o.slope) == "positive"
    except (Unsupported, Budget):
        return False


def _twice(o: Oscillator, after: dict[str, Expr]) -> Expr:
    names = {x: after["x"]} | ({old(o.buffer): after[o.buffer]} if o.buffer else {})
    return after["x"].xreplace(names)


def recurrence(o: Oscillator) -> tuple[Step, ...]:
    """x_{t+1} = T x_t − D x_{t−1} along the rule's own lines, and the first step."""
    steps = []
    for n, line in o.frozen.items():
        told = line if o.denominator == 1 else line.xreplace({d: o.denominator})
        same = "with g = c·x" if o.denominator == 1 else f"with d = {o.denominator}, at t → ∞"
        steps.append(Step(f"{n}' = {line}", Identity(o.late[n], told, o.domains),
                          f"the rule's line, {same}"))  # fmt: skip
    after = {n: e.subs(g, c * x) for n, e in expand(o.frozen).items()}
    fresh = {} if not o.buffer else {old(o.buffer): sp.Integer(0)}
    first = after["x"].xreplace(fresh)
    if o.denominator == 1:
        first = o.rule.unrolled(1)["x"].subs(symbol("g1"), c * x)
    return (
        *steps,
        Step(f"x_(t+1) = T·x_t − D·x_(t−1) with T = {o.trace}, D = {o.determinant}",
             Identity(_twice(o, after), o.trace * after["x"] - o.determinant * x, o.domains),
             "two steps in a row from any x and any buffer, g = c·x"),
        Step(f"from a fresh state x_1 = (T − k)·x_0 with k = {o.lag}",
             Identity(first, (o.trace - o.lag) * x, o.domains), "the first step"),
        *(_across(o) if o.denominator == 1 and len(o.rule.regimes) > 1 else ()),
    )  # fmt: skip


def _across(o: Oscillator) -> tuple[Step, ...]:
    """The recurrence from x_0, x_1 to x_2, where the first step has lines of its own."""
    first = o.rule.unrolled(1)["x"].subs(symbol("g1"), c * x)
    second = o.rule.unrolled(2)["x"].subs(symbol("g2"), c * first).subs(symbol("g1"), c * x)
    return (
        Step("x_2 = T·x_1 − D·x_0 although x_1 has lines of its own",
             Identity(second, o.trace * first - o.determinant * x, o.domains),
             "two steps from a fresh state, unrolled, with g_1 = c·x_0 and g_2 = c·x_1"),
    )  # fmt: skip
