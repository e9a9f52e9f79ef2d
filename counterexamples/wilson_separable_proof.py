"""The derivation behind ``wilson_separable``: ``theory.nullspace`` for any data of the kind, then these.

The two refuted statements about one datum of features (1, 2) are broken by Adam's first step.
"""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from ..theory import symbols as sym
from ..theory.floats import holds_at
from ..theory.records import Expr, Goal, Holds, Identity, Point, Step
from ..theory.rules import adam, sgd
from .theorems import theorem
from .wilson_separable import KAPPA, LABELS, data, dot, error_rate, errors, least_norm, signs

#: The rules that move by the sign of a feature alone where ε = 0.
ADAPTIVE = ("adam", "adagrad", "rmsprop")


def _first(g: Expr, *, eps: Expr) -> Expr:
    """Return how far Adam's first step goes from w = 0 with that gradient."""
    at = {sym.x: 0, sym.symbol("g1"): g, sym.eps: eps}
    return adam().unrolled(1)["x"].subs(at, simultaneous=True)


def steps() -> tuple[Step, ...]:
    """Return where linear and where adaptive rules end, what it costs, and that ε matters."""
    linear = theorem("adaptive-nullspace", "sgd").steps
    known = {step.text for step in linear}  # the solution of least norm is in both
    return (
        *linear,
        *(step for rule in ADAPTIVE for step in _ray(rule)),
        *(step for step in theorem("adaptive-test-error", "sgd").steps if step.text not in known),
        *_object(),
        *_one_datum(),
    )


def _ray(rule: str) -> list[Step]:
    """Return that a rule's coordinates move alike; where they end, ``_object`` says in numbers."""
    told = theorem("adaptive-sign-solution", rule).steps
    mine = [step for step in told if not (isinstance(step.goal, Holds) and step.goal.given)]
    return [Step(f"{rule}: {step.text}", step.goal, step.why) for step in mine]


def _object() -> tuple[Step, ...]:
    lam, rows = sym.symbol("lam"), data()
    along = [sp.sign(int(4 * s)) * lam for s in signs()]  # λ sign(Xᵀy)
    score, y = dot(rows[0], along), LABELS[0]
    everywhere: tuple[Point, ...] = tuple({"i": Fraction(i)} for i in range(len(LABELS)))
    sides: tuple[Point, ...] = tuple({"side": Fraction(k)} for k in (0, 1))

    def on_ray(p: Point) -> bool:
        row = rows[int(p["i"])]
        return bool(dot(row, [KAPPA * s for s in signs()]) == KAPPA * LABELS[int(p["i"])])

    def fits(p: Point) -> bool:
        return not any(errors(rows, w)[int(p["i"])] for w in (least_norm(), signs()))

    def costs(p: Point) -> bool:
        return error_rate((signs, least_norm)[int(p["side"])]()) == (Fraction(1, 2), 0)[int(p["side"])]

    return (
        Step("X sign(Xᵀy) = 4 y", holds_at("x_i·sign(Xᵀy) = 4 y_i", on_ray, *everywhere),
             "the five data of the object"),
        Step("on the ray λ sign(Xᵀy) the error of each datum is (4λ - 1) y: 0 only at λ = 1/4",
             Identity(score - y, y * KAPPA * (lam - sp.Rational(1, KAPPA))),
             "by the line above; so a run on the ray whose loss tends to 0 ends at sign(Xᵀy)/4"),
        Step("both sign(Xᵀy)/4 and the solution of least norm fit every datum",
             holds_at("(Xw)_i = y_i", fits, *everywhere), "exact rationals"),
        Step("on a new datum of each label the first is wrong once, the second never",
             holds_at("the test errors are 1/2 and 0", costs, *sides), "exact rationals"),
    )  # fmt: skip


def _one_datum() -> tuple[Step, ...]:
    size, alpha = sym.symbol("h", "positive"), sym.alpha
    domains = {**sym.DOMAINS, "h": "positive"}
    one, two = (_first(-k * size, eps=sp.Integer(0)) for k in (1, 2))
    small, large = (_first(sp.Integer(-k), eps=sp.Integer(1)) for k in (1, 2))
    line = sgd().unrolled(1)["x"].subs(sym.x, 0)
    g = sym.symbol("g1")
    return (
        Step("one datum (1, 2), y = h: gradient descent steps to a multiple of (1, 2)",
             Identity(line.subs(g, -2 * size), 2 * line.subs(g, -size), domains), "its own line"),
        Step("Adam at ε = 0 steps to (α, α)",
             Identity(one**2 + two**2 - 2 * alpha * (one + two) + 2 * alpha**2, sp.Integer(0), domains),
             "(w_1 - α)² + (w_2 - α)² = 0"),
        Step("which is 2 w_1 - w_2 = α away from the multiples of (1, 2)",
             Holds(sym.gt(2 * one - two, 0), (), domains), "the statement of adaptive-nullspace fails"),
        Step("at ε = 1, y = 1 its coordinates move by α/2 and 2α/3",
             Identity(large - small, alpha / 6, domains),
             "not alike: the statement of adaptive-sign-eps fails"),
    )  # fmt: skip


def control() -> Goal:
    """Return that Adam's first step on one datum (1, 2) is a multiple of (1, 2)."""
    one, two = (_first(sp.Integer(-k), eps=sp.Integer(0)) for k in (1, 2))
    return Identity(two, 2 * one, sym.DOMAINS)
