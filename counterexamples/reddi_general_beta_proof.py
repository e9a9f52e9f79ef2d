"""The derivation behind ``reddi_general_beta``: one construction for all betas, and small instances.

The orbit of the moments and what it decides are those of ``reddi_period_proof``, with A = C and
B = 1.  Along it a period moves x by -α/√t Σ m_j/√v_j, and -m_j is 1 less the share of the spike.

* The share of the spike, summed over a period, stays bounded as C grows: the root that the spike has
  caused decays like β2^{j/2}, the share like β1^j, and β1 < √β2.
* The ones, each over its root, add up to more than any bound: in the second half of a long period the
  root has come down to 2.

Symbols: b = √β2, γ = β1/√β2 < 1, y = β2^{j-1}, z = β2^p.
"""

from __future__ import annotations

from fractions import Fraction

import sympy as sp
from sympy import Rational, sqrt

from ..theory import symbols as sym
from ..theory.records import Expr, Goal, Ground, Holds, Identity, Step
from . import reddi_period_proof as periodic
from .reddi_general_beta import BETAS, REPAIRED, instance, played

C, s = sym.symbol("C", "positive"), sym.symbol("s", "positive")
c, d, e, w, u = (sym.symbol(name, "nonnegative") for name in "cdewu")
q, r = sym.symbol("q", "natural"), sym.symbol("r", "natural")
H, K, R = (sym.symbol(name, "positive") for name in "HKR")
gamma = sym.symbol("γ", "unit")
DOMAINS = dict.fromkeys("cdewu", "nonnegative") | dict.fromkeys("CsHKR", "positive")
DOMAINS |= dict.fromkeys("qr", "natural")


def steps() -> tuple[Step, ...]:
    """Return the orbit, the construction for all betas, instances, and AMSGrad's drift."""
    return (*periodic.settling(), *_spike(), *_ones(), *_drift(), *_there_is_one(), *_instances(),
            *periodic.sum_of_moments())  # fmt: skip


def orbit(beta2: Expr, y: Expr, z: Expr) -> Expr:
    """Return v_j of the orbit, with y for β2^{j-1} and z for β2^p."""
    (power,) = (a for a in periodic.v(periodic.j).atoms(sp.Pow) if a.exp == periodic.j - 1)
    (whole,) = (a for a in periodic.v(periodic.j).atoms(sp.Pow) if a.exp == periodic.p)
    there = periodic.v(periodic.j).xreplace({power: y, whole: z})
    return there.subs({periodic.A: C, periodic.B: 1, sym.beta2: beta2})


def _spike() -> tuple[Step, ...]:
    """The share of the spike is bounded, whatever C is."""
    beta2, early, late = 1 / (1 + s), 1 / (1 + d), 1 / (1 + e)
    above = orbit(beta2, early, late) - C**2 * (1 - beta2) * early
    power = sym.symbol("x", "unit")
    domains = {**DOMAINS, "γ": "unit", "x": "unit"}
    mass = (1 - sym.beta1) / (1 - sym.beta1 * power)
    place, period = periodic.j, periodic.p
    share = (C + 1) * (1 - sym.beta1) * sym.beta1 ** (place - 1) / (1 - sym.beta1**period)
    first = periodic.m(place).subs({periodic.A: C, periodic.B: 1})
    return (
        Step("-m_j = 1 - (C + 1)(1 - β1) β1^{j-1}/(1 - β1^p) on the orbit",
             Identity(-first, 1 - share, {**DOMAINS, "j": "natural", "p": "natural"}),
             "1, less the share of the spike"),
        Step("v_j >= C² (1 - β2) β2^{j-1} on the orbit, for C >= 1",
             Holds(sym.ge(above.subs(C, 1 + c), 0), (), DOMAINS),
             "the spike alone; C = 1 + c, β2 = 1/(1+s), β2^{j-1} = 1/(1+d), β2^p = 1/(1+e)"),
        Step("1/v_j <= 1/(C² (1 - β2) β2^{j-1})",
             Holds(sym.ge(1 / R - 1 / (R + w), 0), (), DOMAINS),
             "so β1^{j-1}/√v_j <= γ^{j-1}/(C √(1 - β2)), with γ = β1/√β2"),
        Step("γ^{j-1} = (1 - γ^j)/(1 - γ) - (1 - γ^{j-1})/(1 - γ)",
             Identity((1 - gamma * power) / (1 - gamma) - (1 - power) / (1 - gamma), power, domains),
             "x stands for γ^{j-1}; so γ^0 + … + γ^{p-1} = (1 - γ^p)/(1 - γ)"),
        Step("(1 - γ^p)/(1 - γ) <= 1/(1 - γ)",
             Holds(sym.ge(1 / (1 - gamma) - (1 - power) / (1 - gamma), 0), (), domains,
                   {gamma: u / (1 + u), power: w / (1 + w)}), "here β1 < √β2 is needed"),
        Step("(1 - β1)/(1 - β1^p) <= 1",
             Holds(sym.ge(1 - mass, 0), (), domains,
                   {sym.beta1: u / (1 + u), power: w / (1 + w)}), "β1^p = β1 x"),
        Step("(C + 1)/C <= 3/2 for C >= 2",
             Holds(sym.ge(Rational(3, 2) - (C + 1) / C, 0), (sym.ge(C, 2),), DOMAINS, {C: 2 + c}),
             "so the shares of the spike, (C + 1)(1 - β1) β1^{j-1}/((1 - β1^p) √v_j), add up to at "
             "most (3/2) H, with H = 1/(√(1 - β2) (1 - γ)), which knows neither C nor p"),
    )  # fmt: skip


def _ones() -> tuple[Step, ...]:
    """In the second half of a long period the root is at most 2."""
    beta2 = 1 / (1 + s)
    held = 3 / (1 + w)  # (C² - 1) β2^q, at most 3
    later = orbit(beta2, 1 / (1 + d), beta2 / (1 + e)).subs(C, sqrt(1 + K))  # K = C² - 1
    small = later.subs(K, held)  # y = β2^q · β2^{j-1-q}, and (C² - 1) β2^q is named
    return (
        Step("v_j <= 4 for j > q, once (C² - 1) β2^q <= 3",
             Holds(sym.ge(4 - small, 0), (), DOMAINS),
             "(C² - 1) β2^q = 3/(1+w), β2^{j-1-q} = 1/(1+d), β2^p = β2/(1+e): "
             "(1 - β2)/(1 - β2^p) <= 1"),
        Step("1/v_j >= 1/(v_j + w) = 1/4 there, so 1/√v_j >= 1/2",
             Holds(sym.ge(1 / R - 1 / (R + w), 0), (), DOMAINS),
             "4 = v_j + w, w >= 0.  With p = 2q, the ones add up to more than q/2"),
    )  # fmt: skip


def _drift() -> tuple[Step, ...]:
    ones, share = q / 2 + w, Rational(3, 2) * H - u  # at least q/2; at most (3/2) H
    return (
        Step("Σ -m_j/√v_j > 0 over the period p = 2q, once q > 3H and (C² - 1) β2^q <= 3",
             Holds(sym.gt(ones - share, 0), (sym.gt(q, 3 * H),), DOMAINS),
             "the ones, less the shares of the spike: per period x moves up by α/√t times this"),
        Step("the slopes of a period add up to 1 when C = p = 2q",
             Identity(C - (2 * q - 1) - (C - 2 * q), sp.Integer(1), DOMAINS),
             "C - (p - 1) = 1 > 0, and every beginning of a period adds up to 1 or more: -1 is the "
             "best point, and Adam goes to +1"),
    )  # fmt: skip


def _there_is_one() -> tuple[Step, ...]:
    """Every β2 has such a q."""
    long = sym.symbol("R", "positive")  # r, of which only r s³ >= 12 is used
    cube = 3 * (1 + long * s) ** 3 - (36 * long**2 - 1)
    return (
        Step("(1 + r s)(1 + s) >= 1 + (r + 1) s",
             Holds(sym.ge((1 + r * s) * (1 + s) - (1 + (r + 1) * s), 0), (), DOMAINS),
             "so (1 + s)^r >= 1 + r s for every r, by induction (Bernoulli)"),
        Step("3 (1 + r s)³ >= 36 r² - 1 for r >= 12/s³",
             Holds(sym.ge(cube, 0), (sym.ge(long, 12 / s**3),), DOMAINS, {long: 12 / s**3 + w}),
             "with β2 = 1/(1+s), q = 3r and C = 2q: (C² - 1) β2^q = (36 r² - 1)/(1+s)^{3r} <= 3.  So "
             "every q = 3r with r >= 12/s³ and q > 3H will do: there is one for all 0 <= β1 < √β2 < 1"),
    )  # fmt: skip


def climb(beta1: Fraction, beta2: Fraction, period: int, up: int = 1) -> Expr:
    """Return the sum of -m_j/√v_j over a period with C = p (times -1 for ``up=-1``), a closed number."""
    first, second = (Rational(beta.numerator, beta.denominator) for beta in (beta1, beta2))
    p, one, terms = sp.Integer(period), sp.Integer(1), []
    for place in range(1, period + 1):
        m = periodic.orbit(-one, p, first, sp.Integer(place), p)
        v = periodic.orbit(one, p**2, second, sp.Integer(place), p)
        # unevaluated: SymPy would look for squares in numbers of a thousand digits
        terms.append(sp.Mul(-up * m, sp.Pow(v, Rational(-1, 2), evaluate=False), evaluate=False))
    return sp.Add(*terms, evaluate=False)


def _instances() -> tuple[Step, ...]:
    why = "roots enclosed between rationals; a period far shorter than the construction's"
    out = [
        Step(f"β = ({beta1}, {beta2}): Σ -m_j/√v_j > 0 with C = p = {instance(beta1, beta2)}",
             Ground(sym.gt(climb(beta1, beta2, instance(beta1, beta2)), 0)), why)
        for beta1, beta2 in BETAS
    ]  # fmt: skip
    (beta1, beta2), period = played()
    out += [
        Step(f"β = ({beta1}, {beta2}): the same with C = p = {period}, which the runs play",
             Ground(sym.gt(climb(beta1, beta2, period), 0)), why),
        Step(f"… and there Σ m_j/√v_j > 0 at β2 = {REPAIRED}: that β2 is chosen after C",
             Ground(sym.gt(climb(beta1, REPAIRED, period, up=-1), 0)), "so Adam goes to -1"),
    ]  # fmt: skip
    return tuple(out)


def control() -> Goal:
    """Return the climb at a β2 that was chosen after the problem: it is a descent."""
    (beta1, _), period = played()
    return Ground(sym.gt(climb(beta1, REPAIRED, period), 0))
