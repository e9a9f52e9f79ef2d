"""The schedules of `optimizers.schedules` as formulas: what the code is held against, part by part.

A schedule multiplies the learning rate, at step t = 1, 2, ….  The cosine, the rectifier and ρ_t are the
ones of the claims ``warmup-cosine`` and ``radam-rectifier``.  That the code runs them is shown in
`proofs_check.schedules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sympy as sp

from .catalogue import claim
from .records import Case, Expr, Holds, Identity, Source, Step
from .rectifier import rectifier, rho_at, rho_limit
from .rule import Rule
from .sources import G17, L20, LH17, MY21, V17
from .symbols import alpha, beta2, ge, symbol, t
from .warmup import FAMILY, cosine_rate

#: Warmup w, total T, floor a, RAdam's threshold k and what comes before it, the width d of a model.
W, TOTAL = symbol("w", "positive"), symbol("T", "positive")
LOW, BEFORE = symbol("a", "nonnegative"), symbol("r_before", "nonnegative")
LIMIT, WIDTH = symbol("k", "positive"), symbol("d", "positive")
DOMAINS = {"w": "positive", "T": "positive", "a": "nonnegative", "r_before": "nonnegative",
           "k": "positive", "d": "positive"}  # fmt: skip


@dataclass(frozen=True)
class Formula:
    """A schedule on paper.

    Attributes:
        parts: (condition, value) in order; the first whose condition holds gives the value.  The
            condition of the last is True.
        source: where the formula is from.
        arguments: argument of the code -> its symbol.
        points: values of the symbols, t among them, at which the code is run; they reach every part.
        given: what is assumed of the symbols, besides their domains.
    """

    parts: tuple[tuple[Expr, Expr], ...]
    source: Source
    arguments: Mapping[str, Expr]
    points: Mapping[str, str]
    given: tuple[Expr, ...] = field(default=())


def _decay(falling: Expr, source: Source) -> Formula:
    """Return the formula of a linear warmup, a part that falls, and a floor."""
    return Formula(
        ((sp.Le(t, W), t / W), (sp.Lt(t, TOTAL), falling), (sp.true, LOW)),
        source,
        {"total": TOTAL, "warmup": W, "floor": LOW},
        {"t": "1 2 3 4 5 7 8 9", "w": "2 3 7/2", "T": "7 8", "a": "1/4 1/10"},
        (sp.Le(W, TOTAL), sp.Le(LOW, 1)),
    )


def _warmup(over: Expr, argument: Mapping[str, Expr], source: Source, **points: str) -> Formula:
    """Return the formula of a linear warmup: min(1, t/w)."""
    return Formula(((sp.Le(t, over), t / over), (sp.true, sp.Integer(1))), source, argument, points)


#: Function of `optimizers.schedules` -> its formula.
FORMULAS: dict[str, Formula] = {
    "linear_warmup": _warmup(W, {"steps": W}, G17("section 2.2"), t="1 2 3 4 5", w="2 3 7/2"),
    "linear_warmup_for": _warmup(2 / (1 - beta2), {"beta2": beta2}, MY21, t="1 2 3 7 8 9 30",
                                 beta2="3/4 4/5 9/10"),
    "exponential_warmup": Formula(((sp.true, 1 - sp.exp(-(1 - beta2) * t)),), MY21, {"beta2": beta2},
                                  {"t": "1 2 3 10", "beta2": "1/2 3/4 9/10"}),
    "inverse_sqrt": Formula(((sp.Le(t, W), t / W), (sp.true, sp.sqrt(W / t))), V17("eq. (3)"),
                            {"warmup": W}, {"t": "1 2 3 4 5 9", "w": "2 3 7/2"}),
    "cosine": _decay(cosine_rate(sp.cos(sp.pi * (t - W) / (TOTAL - W)), LOW).subs(alpha, 1),
                     LH17("eq. (5)")),
    "linear": _decay(LOW + (1 - LOW) * (TOTAL - t) / (TOTAL - W), Source(
        "Devlin et al.", 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language "
        "Understanding", "1810.04805", "appendix A.2")),
    "radam_warmup": Formula(
        ((sp.Gt(rho_at(beta2, t), LIMIT), rectifier(beta2)), (sp.true, BEFORE)),
        L20("Algorithm 2"),
        {"beta2": beta2, "threshold": LIMIT, "before": BEFORE},
        {"t": "1 2 4 5 6 7 8 20", "beta2": "9/10 19/20 3/4", "k": "4 5", "r_before": "1/4 1/8"},
        (sp.Ge(LIMIT, 4), sp.Gt(rho_limit(beta2), LIMIT), sp.Le(BEFORE, 1)),
    ),
}  # fmt: skip


def _joints() -> tuple[Step, ...]:
    """How far the parts are from 1 and from a: 0 where one ends and the next begins."""
    linear, root = FORMULAS["linear"].parts[1][1], FORMULAS["inverse_sqrt"].parts[1][1]
    c, m = symbol("c"), symbol("m", "nonnegative")
    mean, share = cosine_rate(c, LOW).subs(alpha, 1), (TOTAL - t) / (TOTAL - W)
    return (
        Step("1 − t/w = (w−t)/w", Identity(1 - t / W, (W - t) / W, DOMAINS), "0 at t = w"),
        Step("1 − (a + (1−a)(1+c)/2) = (1−a)(1−c)/2",
             Identity(1 - mean, (1 - LOW) * (1 - c) / 2, DOMAINS),
             "0 at t = w, where the cosine c is cos 0 = 1; ≥ 0 since c ≤ 1"),
        Step("a + (1−a)(1+c)/2 − a = (1−a)(1+c)/2",
             Identity(mean - LOW, (1 - LOW) * (1 + c) / 2, DOMAINS), "0 at t = T: cos π = −1"),
        Step("1 − (a + (1−a)(T−t)/(T−w)) = (1−a)(t−w)/(T−w)",
             Identity(1 - linear, (1 - LOW) * (t - W) / (TOTAL - W), DOMAINS), "0 at t = w; ≥ 0 after"),
        Step("a + (1−a)(T−t)/(T−w) − a = (1−a)(T−t)/(T−w)",
             Identity(linear - LOW, (1 - LOW) * share, DOMAINS), "0 at t = T"),
        Step("1 − √(w/t)² = (t−w)/t", Identity(1 - root**2, (t - W) / t, DOMAINS), "0 at t = w"),
        Step("a mean of 1 and a is no less than a",
             Holds(ge(LOW + (1 - LOW) * m, LOW), (ge(1, LOW),), {**DOMAINS, "m": "nonnegative"}),
             "m = (1+c)/2 or (T−t)/(T−w)"),
    )  # fmt: skip


def _papers_rate() -> tuple[Step, ...]:
    """Vaswani's min(t^(−1/2), t·w^(−3/2))/√d is 1/√(d·w) times the schedule."""
    peak, u = 1 / sp.sqrt(WIDTH * W), symbol("u", "nonnegative")
    return (
        Step("d^(−1/2)·t·w^(−3/2) = (dw)^(−1/2)·t/w",
             Identity(t / (sp.sqrt(WIDTH) * W * sp.sqrt(W)), peak * t / W, DOMAINS), "the warmup"),
        Step("d^(−1/2)·t^(−1/2) = (dw)^(−1/2)·√(w/t)",
             Identity(1 / (sp.sqrt(WIDTH) * sp.sqrt(t)), peak * sp.sqrt(W / t), DOMAINS), "the decay"),
        Step("(t/w)² ≤ w/t for t ≤ w",
             Holds(ge(W**3, t**3), (ge(W, t),), DOMAINS, {W: t + u}),
             "times t·w² > 0; so the minimum of the two is t/w up to w"),
        Step("w/t ≤ (t/w)² for t ≥ w",
             Holds(ge(t**3, W**3), (ge(t, W),), DOMAINS, {t: W + u}), "and √(w/t) from there"),
    )  # fmt: skip


@claim("schedules-join", family=FAMILY, source=V17("eq. (3)"), about="mathematics",
       says="A warmup and the decay after it make one schedule.",
       statement="Warmup t/w up to w, then a + (1−a)(1+cos(π(t−w)/(T−w)))/2, a + (1−a)(T−t)/(T−w) or "
                 "√(w/t): all are 1 at t = w; the first two are a at T and lie between a and 1. "
                 "d^(−1/2)·min(t^(−1/2), t·w^(−3/2)) is (dw)^(−1/2) times the third.",
       hypotheses="0 ≤ a ≤ 1; 0 < w < T; d > 0; cos 0 = 1, cos π = −1.")  # fmt: skip
def schedules_join(rule: Rule) -> Case | None:
    """What is left to 1 and to a, as factors; for the inverse root, the width taken out."""
    wrong = Identity(1 - t / W, (W + 1 - t) / W, DOMAINS)
    return Case((*_joints(), *_papers_rate()), control=wrong)
