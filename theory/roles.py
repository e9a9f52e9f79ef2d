"""What the parts of a rule are, read off its formulas: first moment, second moment, denominator.

Names prove nothing, so a role is recognised by the transition: a state entry *is* a first moment
when its new value is beta*old + (1 - beta)*gradient.  Candidates come from SymPy; the small checker
confirms each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import sympy as sp

from . import symbols as sym
from .identity import Budget, Checker, Unsupported
from .records import Expr
from .rule import Rule


@dataclass(frozen=True)
class Average:
    """A state entry s with s' = beta s + (1 - beta) input, the same in every regime."""

    name: str
    beta: sp.Symbol
    input: Expr

    @property
    def old(self) -> sp.Symbol:
        """The symbol of its value before the step."""
        return sym.old(self.name)

    @property
    def new(self) -> sp.Symbol:
        """The symbol of its value after the step."""
        return sym.new(self.name)


def same(rule: Rule, a: Expr, b: Expr) -> bool:
    """Return whether the small checker shows a = b on the rule's domains."""
    try:
        return Checker(rule.all_domains).is_zero(a - b)
    except (Unsupported, Budget):
        return False


@cache
def averages(rule: Rule) -> tuple[Average, ...]:
    """Return every exponential moving average that the rule keeps from a zero start."""
    found = []
    for name, initial in rule.initial.items():
        old = sym.old(name)
        candidates = {_average_of(rule, name, r.new[name], old) for r in rule.regimes}
        (candidate,) = candidates if len(candidates) == 1 else (None,)
        if candidate is not None and initial == 0:
            found.append(candidate)
    return tuple(found)


def _average_of(rule: Rule, name: str, new: Expr, old: sp.Symbol) -> Average | None:
    beta = sp.expand(sp.diff(sp.expand(new), old))
    if not isinstance(beta, sp.Symbol) or beta.name not in rule.hyper:
        return None
    entered = sp.factor(sp.cancel(sp.expand(new - beta * old) / (1 - beta)))
    if entered.has(old) or not same(rule, new, beta * old + (1 - beta) * entered):
        return None
    return Average(name, beta, entered)


@cache
def _moments(rule: Rule) -> tuple[Average | None, Average | None]:
    kept = averages(rule)
    first = next((a for a in kept if _is_gradient(a.input)), None)
    gradients = [first.input] if first else []
    gradients += [sym.g, sym.g + sym.lambda_ * sym.x]
    second = next((a for a in kept if any(same(rule, a.input, g**2) for g in gradients)), None)
    return first, second


def _is_gradient(entered: Expr) -> bool:
    """Whether it is g plus terms in x and the hyper-parameters (an L2 penalty), or its negative."""
    slope = sp.expand(sp.diff(entered, sym.g))
    return slope in (1, -1)


def first_moment(rule: Rule) -> Average | None:
    """Return the moving average of the gradient, if the rule keeps one."""
    return _moments(rule)[0]


def second_moment(rule: Rule) -> Average | None:
    """Return the moving average of the squared gradient, if the rule keeps one."""
    return _moments(rule)[1]


@dataclass(frozen=True)
class Quotient:
    """x' = kept - alpha numerator / denominator, with the first moment as numerator.

    Attributes:
        corrected: whether the numerator is m_t / (1 - beta1^t) or m_t itself.
        denominator: D_t, epsilon included, in the new state's symbols and t.
        kept: what becomes of x without a gradient: x, or x (1 - alpha lambda).
    """

    corrected: bool
    denominator: Expr
    kept: Expr


@cache
def quotient(rule: Rule) -> Quotient | None:
    """Read the effective denominator D_t off the formula of x.

    The first moment is taken as bias-corrected when that leaves a D_t free of beta1, else as it is.
    """
    m, regime = first_moment(rule), rule.only
    if m is None or regime is None:
        return None
    formula = regime.new["x"]
    slope = sp.diff(formula, m.new)
    if slope == 0 or slope.has(m.new) or slope.has(m.old):
        return None
    kept = formula.xreplace({m.new: sp.Integer(0)})
    for corrected in (True, False):
        numerator = 1 / (1 - m.beta**sym.t) if corrected else sp.Integer(1)
        denominator = _tidy(-sym.alpha * numerator / slope)
        free = not denominator.has(m.beta) or m.beta in _shared(rule)
        free = free and not denominator.has(sym.alpha, sym.lambda_)  # a D that hides the decay
        if free and same(rule, formula, kept - sym.alpha * m.new * numerator / denominator):
            return Quotient(corrected, denominator, kept)
    return None


def _shared(rule: Rule) -> set[sp.Symbol]:
    second = second_moment(rule)
    return {second.beta} if second else set()


def _tidy(denominator: Expr) -> Expr:
    return sp.cancel(sp.powdenest(denominator)) if denominator.is_Mul else denominator
