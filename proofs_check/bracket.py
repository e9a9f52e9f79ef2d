"""Limits, sums and integrals seen by Arb: SymPy alone has known wrong results.

Arb encloses the integral over a long interval, the partial sum, or the function near the limit, at a
few points of the parameters, and what SymPy says must be there.  What lies outside is not bounded,
so this adds no rigour; it catches an error.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import sympy as sp
from flint import acb, arb, ctx, fmpq

from ..theory.identity import Budget, Unsupported
from ..theory.records import Analysis
from ..theory.symbols import DOMAINS
from .arb import PRECISION

#: Values of the parameters, negative ones where they may be, and how far the two sides may be apart,
#: relative to their size.
VALUES = tuple(map(Fraction, ("1/2", "3/2", "5/4", "-1/2")))
TOLERANCE = Fraction(1, 10**6)
#: Where an infinite interval is cut, how many terms of a series start, how near a limit is seen.
FAR, TERMS, NEAR = 200, 300, Fraction(1, 2**40)
#: Terms that are added at most.
MAX_TERMS = 100_000

Env = Mapping[Any, acb]
_FUNCTIONS = {
    sp.exp: acb.exp, sp.log: acb.log, sp.gamma: acb.gamma, sp.sin: acb.sin, sp.cos: acb.cos,
}  # fmt: skip


def disagreement(goal: Analysis) -> str:
    """Return where the two sides differ beyond `TOLERANCE`, or nothing.

    Raises:
        Unsupported: Arb is not told how to evaluate a side.
        Budget: a sum is too long.
    """
    sides = [sp.sympify(goal.lhs), sp.sympify(goal.rhs)]
    assert ctx.prec >= PRECISION
    names = sorted(set().union(*(s.free_symbols for s in sides)), key=lambda s: s.name)
    for shift in range(len(VALUES)):
        point = {s: _value(s, VALUES[(i + shift) % len(VALUES)]) for i, s in enumerate(names)}
        env = {s: acb(arb(fmpq(v.numerator, v.denominator))) for s, v in point.items()}
        left, right = (_at(side, env) for side in sides)
        size = 1 + abs(right)
        if not abs(left - right) <= size * arb(fmpq(1, TOLERANCE.denominator)):
            at = ", ".join(f"{s} = {v}" for s, v in point.items())
            return f"{left.str(8)} and {right.str(8)}" + (f" at {at}" if at else "")
    return ""


def _value(symbol: sp.Symbol, value: Fraction) -> Fraction:
    if symbol.is_integer:
        return Fraction(2)
    known = DOMAINS.get(symbol.name, "real")
    value = value if known == "real" and not symbol.is_nonnegative else abs(value)
    return value / 2 if DOMAINS.get(symbol.name) == "unit" else value


def _at(e: Any, env: Env, analytic: bool = False) -> acb:
    if e.is_Rational:
        return acb(arb(fmpq(int(e.p), int(e.q))))
    if e.is_Symbol:
        return env[e]
    if e == sp.pi:
        return acb.pi()
    if e.is_Add or e.is_Mul:
        out = acb(0) if e.is_Add else acb(1)
        for a in e.args:
            out = out + _at(a, env, analytic) if e.is_Add else out * _at(a, env, analytic)
        return out
    if e.is_Pow:
        base, exponent = _at(e.args[0], env, analytic), e.args[1]
        if exponent.is_Integer:
            return base ** int(exponent)
        return base.pow(_at(exponent, env, analytic), analytic=analytic)
    if isinstance(e, sp.Integral):
        return _integral(e, env)
    if isinstance(e, sp.Sum):
        return _sum(e, env)
    if isinstance(e, sp.Limit):
        return _limit(e, env)
    one = {sp.exp: acb.exp, sp.gamma: acb.gamma, sp.log: acb.log, sp.sin: acb.sin, sp.cos: acb.cos}.get(
        e.func
    )
    if one is None:
        raise Unsupported(f"Arb is not told what {e.func.__name__} is")
    return one(_at(e.args[0], env, analytic))


def _integral(e: sp.Integral, env: Env) -> acb:
    (variable, low, high), *rest = e.limits
    if rest:
        raise Unsupported("Arb is not told of integrals over more than one variable")
    ends = (_end(low, env, 1), _end(high, env, -1))
    small = arb(fmpq(1, NEAR.denominator))

    def integrand(z: acb, analytic: bool) -> acb:
        return _at(e.function, {**env, variable: z}, analytic)

    return acb.integral(integrand, *ends, rel_tol=small, abs_tol=small)


def _end(end: Any, env: Env, inward: int) -> acb:
    """Return an end of an integral, a little inside: the integrand may have a singularity there."""
    if end in (sp.oo, -sp.oo):
        return acb(FAR if end == sp.oo else -FAR)
    return _at(end, env) + inward * arb(fmpq(1, NEAR.denominator**2))


def _sum(e: sp.Sum, env: Env) -> acb:
    """Return a finite sum; of a series, what partial sums S(n), S(2n), … point to (Richardson)."""
    ((index, low, high),) = e.limits
    counts = [TERMS, 2 * TERMS, 4 * TERMS, 8 * TERMS]
    if high != sp.oo:
        values = {s: sp.Rational(str(v.real.mid().fmpq())) for s, v in env.items()}
        counts = [int(high.subs(values)) - int(low) + 1]
    if counts[-1] > MAX_TERMS:
        raise Budget(f"a sum of {counts[-1]} terms, and Arb adds {MAX_TERMS} at most")
    total, sums = acb(0), []
    for k in range(counts[-1] + 1):
        if k in counts:
            sums.append(total)
        total += _at(e.function, {**env, index: acb(int(low) + k)})
    for order in range(1, len(sums)):
        sums = [(2**order * b - a) / (2**order - 1) for a, b in itertools.pairwise(sums)]
    return sums[0]


def _limit(e: sp.Limit, env: Env) -> acb:
    function, variable, target, direction = e.args
    tiny = acb(arb(fmpq(1, NEAR.denominator)))
    if target in (sp.oo, -sp.oo):
        return _at(function, {**env, variable: 1 / tiny if target == sp.oo else -1 / tiny})
    near = _at(target, env)
    return _at(function, {**env, variable: near - tiny if str(direction) == "-" else near + tiny})
