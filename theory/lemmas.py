"""Lemmas about powers that several derivations use, each with the steps that prove it.

No engine decides beta**t for symbolic t.  These carry the power along: each is an induction whose
step is an identity or a sign certificate.
"""

from __future__ import annotations

import sympy as sp

from .records import Expr, Holds, Identity, Step
from .symbols import ge, gt, symbol, t

s = symbol("s", "nonnegative")


def bernoulli() -> tuple[Step, ...]:
    """(1 + s)^t >= 1 + t s for s >= 0, t = 1, 2, …: the power q = (1 + s)^t grows at least linearly."""
    q = symbol("q", "positive")
    domains = {"s": "nonnegative", "q": "positive"}
    return (
        Step(
            "(1+s)·(1 + t·s) = 1 + (t+1)·s + t·s²",
            Identity((1 + s) * (1 + t * s), 1 + (t + 1) * s + t * s**2, domains),
            "what one more factor does to the bound",
        ),
        Step(
            "(1+s)^t ≥ 1 + t·s gives (1+s)^(t+1) ≥ 1 + (t+1)·s",
            Holds(ge((1 + s) * q, 1 + (t + 1) * s), (ge(q, 1 + t * s),), domains),
            "Bernoulli's inequality by induction; at t = 1 it is an equality",
        ),
    )


def power_vanishes() -> tuple[Step, ...]:
    """beta^t -> 0: with beta = 1/(1+s), beta^t <= 1/(1 + t s) < d as soon as t > (1/d - 1)/s."""
    d, big = symbol("δ", "positive"), symbol("s", "positive")
    domains = {"δ": "positive", "s": "positive"}
    return (
        *bernoulli(),
        Step(
            "with β = 1/(1+s):  β^t ≤ 1/(1+t·s) < δ for every t > (1/δ − 1)/s",
            Holds(gt(d, 1 / (1 + t * big)), (gt(t, (1 / d - 1) / big),), domains),
            "Bernoulli's inequality, turned over; δ > 0 is arbitrary, so β^t → 0",
        ),
    )


def times_power_vanishes() -> tuple[Step, ...]:
    """T beta^t -> 0, by the first three terms of the binomial."""
    d, big, q = symbol("δ", "positive"), symbol("s", "positive"), symbol("q", "positive")
    domains = {"δ": "positive", "s": "positive", "q": "positive"}

    def three(k: Expr) -> Expr:
        return 1 + k * big + k * (k - 1) / 2 * big**2

    return (
        Step(
            "(1+s)^t ≥ 1 + t·s + t(t−1)/2·s² gives the same at t+1",
            Holds(ge((1 + big) * q, three(t + 1)), (ge(q, three(t)),), domains),
            "induction; at t = 1 it is an equality",
        ),
        Step(
            "so t·β^t ≤ 2/((t−1)s²) < δ for every t > 1 + 2/(δ·s²)",
            Holds(gt(d, t / three(t)), (gt(t, 1 + 2 / (d * big**2)),), domains),
            "δ > 0 is arbitrary, so t·β^t → 0",
        ),
    )


def correction_rate(beta: Expr) -> tuple[Step, ...]:
    """t/(1 - beta^t) is non-decreasing: h(t) = 1 - beta^t - t beta^t (1 - beta) is never negative."""

    def h(k: Expr) -> Expr:
        return 1 - beta**k - k * beta**k * (1 - beta)

    return (
        Step("h(t) := 1 − β^t − t·β^t·(1−β);  h(1) = (1−β)²", Identity(h(sp.Integer(1)),
             (1 - beta) ** 2), "t = 1"),
        Step("h(t+1) = h(t) + (t+1)·β^t·(1−β)²", Identity(h(t + 1), h(t) + (t + 1) * beta**t
             * (1 - beta) ** 2), "one step; what is added is not negative, so h(t) ≥ 0 for all t"),
        Step("what is added is ≥ 0", Holds(ge((t + 1) * beta**t * (1 - beta) ** 2, 0)), "signs"),
        Step("(t+1)·(1−β^t) − t·(1−β^(t+1)) = h(t)", Identity((t + 1) * (1 - beta**t)
             - t * (1 - beta ** (t + 1)), h(t)), "so (t+1)/(1−β^(t+1)) ≥ t/(1−β^t)"),
    )  # fmt: skip
