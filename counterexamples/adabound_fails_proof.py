"""The derivation behind ``adabound_fails``: bounds that no rate meets leave Adam as it is.

The rate of the paper's AdaBound is clip(α/√v, η_l, η_u)/√t.  In the game of ``reddi_online`` v stays
between C²/(1 + C²) and C², so α/√v stays between α/C and α√(1 + C²)/C.  While η_l is not above the
one and η_u not below the other, AdaBound is Adam, whose induction over the periods is used as it is.
"""

from __future__ import annotations

import sympy as sp
from sympy import sqrt

from ..theory import symbols as sym
from ..theory.bounds import bounded
from ..theory.faithful import paper_of
from ..theory.records import Goal, Holds, Identity, Step
from ..theory.rules import adam
from .reddi_online_proof import AFTER, DOMAINS, C, V, a_period_returns, c, d, e, new_v, q, regret_grows

alpha, s = sym.alpha, sym.symbol("s", "positive")
low, root = sym.symbol("low", "positive"), sym.symbol("root", "positive")
SIGNS = {**DOMAINS, "low": "positive", "root": "positive", "s": "positive"}


def steps() -> tuple[Step, ...]:
    """Return why AdaBound is Adam here, Adam's induction, and both refutations."""
    return (*_is_adam(), *a_period_returns(), *regret_grows(), *_beats_the_bound(), *_rate_grows())


def _is_adam() -> tuple[Step, ...]:
    rule = paper_of("adabound-sqrt")
    found = bounded(rule)
    assert found is not None
    held, m = rule.late.new, found.m.new
    adams = adam(corrected=False).late.new["x"].subs({sym.eps: 0, alpha: alpha / sqrt(sym.t)})
    v = sym.new("exp_avg_sq")
    clipped = sp.Min(sp.Max(low + d, low), low + d + e)
    least = q / (1 + q)
    return (
        Step("the paper's line: x' = x - clip(α/√v, η_l(t), η_u(t)) m/√t",
             Identity(held["x"], sym.x - found.clipped * m / sqrt(sym.t), rule.all_domains),
             "Luo et al. (2019), Algorithm 2, with any bounds in the place of their own"),
        Step("without the clip it is Adam's, at ε = 0 and without correction",
             Identity(sym.x - alpha / sqrt(v) * m / sqrt(sym.t), adams, rule.all_domains),
             "Reddi et al.'s Adam with α_t = α/√t"),
        Step("v >= C²/(1 + C²) after every slope -1",
             Holds(sym.ge(new_v(V, sp.Integer(-1)) - least, 0), (), SIGNS),
             "β2 = 1/(1 + C²), and the v before is not negative"),
        Step("and after every slope C >= 1",
             Holds(sym.ge(new_v(V, C).subs(C, 1 + c) - least.subs(C, 1 + c), 0), (), SIGNS),
             "C = 1 + c"),
        Step("v <= C² if the v before and g² are",
             Identity(q - new_v(q - d, sqrt(q - e)), d / (1 + q) + q * e / (1 + q), SIGNS),
             "C² - d and C² - e, d and e >= 0; v_0 = 0"),
        Step("so α²/v >= α²/C²",
             Holds(sym.ge(alpha**2 / root - alpha**2 / (root + d), 0), (), SIGNS), "C² = v + d"),
        Step("and α²/v <= α² (1 + C²)/C²",
             Holds(sym.ge(alpha**2 / least - alpha**2 / (least + d), 0), (), SIGNS),
             "v = C²/(1 + C²) + d"),
        Step("the clip leaves alone what lies between the bounds: clip(r) >= r",
             Holds(sym.ge(clipped - (low + d), 0), (), SIGNS), "r = η_l + d, η_u = r + e"),
        Step("… and clip(r) <= r",
             Holds(sym.ge(low + d - clipped, 0), (), SIGNS),
             "so AdaBound is Adam while η_l(t) <= α/C and η_u(t) >= α √(1 + C²)/C"),
    )  # fmt: skip


def _beats_the_bound() -> tuple[Step, ...]:
    """Linear regret passes the bound of the theorem, whose constant knows only the first bounds."""
    factor = 2 * C / alpha + 2 * alpha * C * (1 + C)
    long = 3 * factor / (2 * (C - 2)) + s
    return (
        Step("√(1 + C²) <= 1 + C",
             Holds(sym.ge((1 + C) ** 2 - (1 + q), 0), (), SIGNS), "the squares"),
        Step("the theorem's D²√T/(2 η̂_T) + (2√T - 1) η_u(1) G² is at most (2C/α + 2αC(1 + C)) √T here",
             Holds(sym.ge(factor * s - (4 * s / (2 * (alpha / C + d))
                          + (2 * s - 1) * alpha * (1 + C) / C * q), 0), (), SIGNS),
             "D = 2, G = C, s = √T, η̂_T = α/C + d, η_u(1) = α√(1 + C²)/C"),
        Step("which 2(C - 2) T/3 exceeds once √T > 3 (2C/α + 2αC(1 + C))/(2 (C - 2))",
             Holds(sym.gt((2 * (C - 2) * long**2 / 3 - factor * long).subs(C, 2 + root), 0), (), SIGNS),
             "C = 2 + root, √T = that + s.  The regret of T = 3K rounds is at least 2(C - 2) T/3, so "
             "monotone bounds that close after T rounds break the theorem"),
    )  # fmt: skip


def _rate_grows() -> tuple[Step, ...]:
    first, second = (after.subs(V, 0) for after in AFTER[:2])
    return (
        Step("η_2² > η_1² already in the first period, for C >= 2",
             Holds(sym.gt((alpha**2 / (2 * second) - alpha**2 / first).subs(C, 2 + c), 0), (), SIGNS),
             "η_t = α/(√v_t √t), from v_0 = 0: the rate grows, which the theorem's proof takes to be "
             "impossible"),
    )  # fmt: skip


def control() -> Goal:
    """Return that the rate does not rise from the first step to the second."""
    first, second = (after.subs(V, 0) for after in AFTER[:2])
    relation = sym.ge(alpha**2 / first - alpha**2 / (2 * second), 0)
    return Holds(relation, (sym.ge(C, 1),), SIGNS)
