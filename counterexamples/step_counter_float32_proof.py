"""The derivation behind ``step_counter_float32``: the counter, AdaGrad's line, and the numbers."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from ..theory import symbols as sym
from ..theory.floats import FLOAT32, holds_at
from ..theory.records import Expr, Goal, Ground, Holds, Identity, Step
from ..theory.rules import adagrad
from .step_counter_float32 import ALPHA, ETA, STALL


def _rate(count: Expr) -> Expr:
    alpha, eta = (sp.Rational(x.numerator, x.denominator) for x in (ALPHA, ETA))
    return alpha / (1 + (count - 1) * eta)


def steps() -> tuple[Step, ...]:
    """Return that the counter stays, what is lost by it, and that there is no bound to that."""
    d, k = sym.symbol("d", "nonnegative"), sym.symbol("K", "positive")
    domains = {**sym.DOMAINS, "d": "nonnegative", "K": "positive"}
    line = adagrad().only.new["x"]  # type: ignore[union-attr]
    moved = sym.x - line
    big, stalled = sp.Integer(STALL), _rate(sp.Integer(STALL))
    counts = tuple({"n": Fraction(n)} for n in (0, STALL // 2 - 1, STALL // 2, STALL - 1, STALL))
    return (
        Step("float32(n + 1) = n + 1 for every whole number n < 2^24, and float32(2^24 + 1) = 2^24",
             holds_at("float32(n + 1) = n + 1 iff n < 2^24", lambda p: (FLOAT32.round(p["n"] + 1)
                      == p["n"] + 1) == (p["n"] < STALL), *counts),
             "up to 2^24 whole numbers have at most 24 bits; 2^24 + 1 is a tie, and goes to even: a "
             "fixed point, so the counter stays for ever"),
        Step("AdaGrad's step is α/(1 + (t - 1) η) of one that knows no t",
             Identity(moved * (1 + (sym.t - 1) * sym.eta), moved.subs(sym.t, 1), sym.DOMAINS),
             "the rule's own line: nothing else in it holds t"),
        Step("so at the counter 2^24 instead of t it is (1 + (t - 1) η)/(1 + (2^24 - 1) η) as long",
             Identity(moved.subs(sym.t, big) / moved,
                      (1 + (sym.t - 1) * sym.eta) / (1 + (big - 1) * sym.eta), sym.DOMAINS),
             "the same line at both counts, with the same state and gradient"),
        Step("the rate stays at 10/16777225", Ground(sym.eq(stalled, sp.Rational(10, 16777225))),
             "α = 1, η = 1/10"),
        Step("at t = 2^30 that is more than 63.9 times too large",
             Ground(sym.gt(stalled - sp.Rational(639, 10) * _rate(sp.Integer(2**30)), 0)), "rationals"),
        Step("and more than K times for every t >= 16777225 K, whatever K is",
             Holds(sym.gt(stalled - k * _rate(16777225 * k + d), 0), (), domains),
             "t = 16777225 K + d with d >= 0; the true rate is 10/(t + 9)"),
    )  # fmt: skip


def control() -> Goal:
    """Return that the stalled rate is too large by a factor of at most 2."""
    d = sym.symbol("d", "nonnegative")
    stalled = _rate(sp.Integer(STALL))
    return Holds(sym.ge(2 * _rate(STALL + d) - stalled, 0), (), {"d": "nonnegative"})
