"""Lines that several update rules share: where a rule is written down, not what is said of it."""

from __future__ import annotations

import sympy as sp
from sympy import Symbol

from .records import Expr
from .rule import Regime, Rule
from .symbols import beta1, beta2, new, old

ZERO = sp.Integer(0)


def olds(*names: str) -> tuple[Symbol, ...]:
    """Return the symbols of state entries before the step."""
    return tuple(old(n) for n in names)


def news(*names: str) -> tuple[Symbol, ...]:
    """Return the symbols of state entries after the step."""
    return tuple(new(n) for n in names)


def single(name: str, initial: dict[str, Expr], formulas: dict[str, Expr]) -> Rule:
    """Return a rule that has one regime."""
    return Rule(name, initial, (Regime(formulas),))


def moments(grad: Expr) -> dict[str, Expr]:
    """Return the lines of m and v (Kingma & Ba 2015, Algorithm 1) for what enters them."""
    m, v = olds("exp_avg", "exp_avg_sq")
    return {
        "exp_avg": beta1 * m + (1 - beta1) * grad,
        "exp_avg_sq": beta2 * v + (1 - beta2) * grad**2,
    }
