"""The derivation behind ``dinh_rescaling``: ``theory.sharpness`` for any weights, then these."""

from __future__ import annotations

import sympy as sp

from ..theory import symbols as sym
from ..theory.records import Expr, Goal, Ground, Holds, Identity, Step
from ..theory.sharpness import PARAMETERS, a, boxed, hessian, loss, rescaled
from ..theory.sharpness import TARGETS as WANTED
from .dinh_rescaling import TARGETS, WEIGHTS
from .theorems import theorem

DOMAINS = {"a": "positive", "ε": "positive", "M": "positive", "d": "positive"}


def _here(e: Expr) -> Expr:
    """Return a formula of ``theory.sharpness`` at the weights and targets of the object."""
    at = dict(zip(PARAMETERS, map(sp.Integer, map(int, WEIGHTS)), strict=True))
    at |= dict(zip(WANTED, map(sp.Integer, TARGETS), strict=True))
    return sp.sympify(e).subs(at)


def _trace() -> Expr:
    """Return the trace of the Hessian at (2a, a, 1/a)."""
    return sp.Add(*(_here(rescaled(row[i])) for i, row in enumerate(hessian())))


def steps() -> tuple[Step, ...]:
    """Return what rescaling does to the Hessian and to the box, then this object's numbers."""
    return (
        *theorem("sharpness-orbit", "sgd").steps,
        *theorem("sharpness-box-size", "sgd").steps,
        *_object(),
    )


def _object() -> tuple[Step, ...]:
    big, d = sym.symbol("M", "positive"), sym.symbol("d", "positive")
    pointed = _here(rescaled(hessian()[2][2]))
    w, v = sym.symbol("w", "positive"), sym.symbol("v", "positive")
    simple = (v * w - 1) ** 2 / 2
    one_unit = (sp.diff(simple, w, 2) + sp.diff(simple, v, 2)).xreplace({w: a, v: 1 / a})
    slopes = [_here(rescaled(sp.diff(loss(), p))) for p in PARAMETERS]
    return (
        Step("at w = 2, b = 1, v = 1 the loss is 0 for every a", Identity(_here(rescaled(loss())),
             sp.Integer(0), DOMAINS), "the targets are 3, 2, 3: no loss is smaller, a minimum"),
        Step("and so is the sum of the squares of its slopes", Identity(
             sp.Add(*(slope**2 for slope in slopes)), sp.Integer(0), DOMAINS), "as at every minimum"),
        Step("the trace of the Hessian is 10a² + 13 + 3/a²",
             Identity(_trace(), 10 * a**2 + 13 + 3 / a**2, DOMAINS), "the diagonal"),
        Step("the largest eigenvalue is at least H_vv = 10a²",
             Identity(pointed, 10 * a**2, DOMAINS), "Rayleigh's quotient at a unit vector"),
        Step("which is above M for a = M + d with d > 0, M > 1",
             Holds(sym.gt(10 * (1 + big + d) ** 2 - (1 + big), 0), (), DOMAINS),
             "M = 1 + M' here: any bound.  The same function, arbitrarily sharp"),
        Step("from a = 1 to a = 10 the trace grows from 26 to 1013.03",
             Ground(sym.eq(_trace().subs(a, 10) - _trace().subs(a, 1), sp.Rational(98703, 100))),
             "in numbers"),
        Step("one unit, v·relu(w·x) fitted to (1, 1): the traces at a and at 1 differ by (a - 1/a)²",
             Identity(one_unit - one_unit.subs(a, 1), (a - 1 / a) ** 2, DOMAINS),
             "the statement of sharpness-reparametrisation fails at every a but 1"),
        Step("and the rises in the box ε(|θ|+1) by more than 0, a = 2 against a = 1",
             Holds(sym.gt(boxed(1).subs(a, 2) - boxed(1).subs(a, 1), 0), (), {"ε": "positive"}),
             "the statement of sharpness-box fails there, for every ε > 0"),
    )  # fmt: skip


def control() -> Goal:
    """Return that the trace of the Hessian is the same at every a."""
    return Identity(_trace(), _trace().subs(a, 1), DOMAINS)
