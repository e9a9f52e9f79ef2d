"""Section 6, over-parameterised least squares: in which solution a rule ends.

The loss is ½|Xw − y|² with more features than data, from w = 0; its gradient in coordinate j is a
combination of the data's values of feature j.  What a rule makes of each coordinate is a run of its
own, so a statement about w is one about the rule's lines under a change of the gradient.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import sympy as sp

from .catalogue import claim, grid
from .identity import Budget, Checker, Unsupported
from .interval import Interval
from .records import Case, Expr, Holds, Identity, Point, Run, Runs, Step
from .rule import Rule
from .sources import W17
from .symbols import eps, g, ge, gt, new, old, symbol, x

FAMILY = "sharpness"
ZERO = Fraction(0)
#: The step by which RAdam rectifies at β2 = 31/32, with either threshold.
FIRST_RECTIFIED = 6
#: The size of a feature, and its sign.
size, turn = symbol("f", "positive"), symbol("sign")


@cache
def _linear(rule: Rule) -> bool:
    """Whether every line is linear in x, the gradient and the state together."""
    held = {x, g, *(f(n) for n in rule.initial for f in (old, new))}
    zero = dict.fromkeys(held, sp.Integer(0))
    return all(v == 0 for v in rule.initial.values()) and all(
        e.xreplace(zero) == 0 and all(held.isdisjoint(sp.diff(e, s).free_symbols) for s in held)
        for r in rule.regimes for e in r.new.values()
    )  # fmt: skip


def superposition(rule: Rule) -> tuple[Step, ...]:
    """Lines at a sum of two (x, g, state), each times a feature's value, are the sum of the lines."""
    p, q = symbol("p"), symbol("q")
    held = [x, g, *(f(n) for n in rule.initial for f in (old, new))]
    other = {s: symbol(f"{s.name}_2") for s in held}
    both = {s: p * s + q * other[s] for s in held}
    return tuple(
        Step(f"{n}' at p·(x, g, state) + q·(x, g, state)₂ is p·{n}' + q·{n}'₂",
             Identity(e.xreplace(both), p * e + q * e.xreplace(other), rule.all_domains),
             "so g = Σ_i X_ij r_i in coordinate j gives Σ_i X_ij times what r_i alone gives: "
             "w_t = Xᵀa_t, by induction from 0")
        for r in rule.regimes for n, e in r.new.items())  # fmt: skip


def least_norm() -> tuple[Step, ...]:
    """Of all solutions the one in the row space is the shortest."""
    rows = [[symbol(f"X{i}{j}") for j in (1, 2, 3)] for i in (1, 2)]
    a, other = (symbol("a1"), symbol("a2")), [symbol(f"z{j}") for j in (1, 2, 3)]
    w = [sp.Add(*(a[i] * rows[i][j] for i in (0, 1))) for j in range(3)]
    left = sp.Add(*(z**2 for z in other)) - sp.Add(*(u**2 for u in w))
    gap = [z - u for z, u in zip(other, w, strict=True)]
    missed = sp.Add(*(2 * a[i] * sp.Add(*(r * e for r, e in zip(rows[i], gap, strict=True)))
                      for i in (0, 1)))  # fmt: skip
    return (
        Step("|z|² − |w|² = |z − w|² + 2a·X(z − w) for w = Xᵀa",
             Identity(left, sp.Add(*(e**2 for e in gap)) + missed),
             "written for two data and three features, the same for any number: Xz = y = Xw makes the "
             "last term 0, so |z| ≥ |w|: w is the solution of least norm"),
    )  # fmt: skip


def two_features(p: Point) -> tuple[list[Fraction], list[Fraction]]:
    """Return the gradients in two coordinates whose features are 1 and 2."""
    gs = [p[n] for n in ("g1", "g2") if n in p]
    return gs, [2 * k for k in gs]


def followed(run: Run, p: Point, steps: int) -> Interval:
    """Return how far (w1, w2) gets from the multiples of (1, 2) on ½(w1 + 2·w2 − y)², from 0."""
    ones: list[Fraction | Interval] = []
    for k in range(steps + 1):
        one, two = (run(p, [f * g for g in ones], ZERO).x for f in (1, 2))
        ones.append(_number(one[k] + two[k] * 2 - p["y"]))
    return max((abs(b - a * 2) for a, b in zip(one, two, strict=True)), key=lambda e: e.lo)


def _number(e: Interval) -> Fraction | Interval:
    return e.lo if e.exact else e


@claim("adaptive-nullspace", family=FAMILY, source=W17("section 3"),
       says="On over-parameterised problems the optimizer finds the minimum-norm solution.",
       statement="On ½|Xw − y|² from w = 0 every w_t is in the row space of X, so that a limit with "
                 "Xw = y is the solution of least norm: with one datum of features (1, 2), w_t is a "
                 "multiple of (1, 2).",
       hypotheses="w = 0 and a fresh state at the start; one rate for all coordinates.",
       repaired_by="adaptive-sign-solution")  # fmt: skip
def adaptive_nullspace(rule: Rule) -> Case | None:
    """True where the lines are linear; a rule that divides by the gradient's size leaves.

    Most leave in the first step; RAdam, which is momentum until it rectifies, a few steps later.
    """
    steps = 1 if rule.only is not None else FIRST_RECTIFIED
    over = grid(y="1 2", alpha="1 1/2" if rule.only is not None else "1/16", beta2="3/4 31/32",
                eps="0 1", lambda_="1/2", mu="1/2")  # fmt: skip
    runs = Runs(lambda run, p: followed(run, p, steps), over)
    if not _linear(rule):
        return Case(runs=runs)
    wrong = rule.late.new["x"].subs(g, 2 * g)
    return Case((*superposition(rule), *least_norm()), runs=runs,
                control=Identity(wrong, 2 * rule.late.new["x"], rule.all_domains))  # fmt: skip


# -- the sign solution -----------------------------------------------------------------------------


def _with_sign(e: Expr, sign: int) -> Expr:
    return e.xreplace({turn: sp.Integer(sign)})


def _at(e: Expr, factor: dict[str, Expr], sign: int) -> Expr:
    """Return a line in a coordinate whose feature is sign·f instead of 1."""
    state = {f(n): _with_sign(k, sign) * f(n) for n, k in factor.items() for f in (old, new)}
    return e.xreplace({g: sign * size * g, **state})


@cache
def _factors(rule: Rule) -> dict[str, Expr] | None:
    """Return how each state entry changes with the feature where x moves by its sign alone (ε = 0)."""
    if rule.only is None or any(e.has(x) for n, e in rule.late.new.items() if n != "x"):
        return None
    checker = Checker({**rule.all_domains, "f": "positive"})
    found: dict[str, Expr] = {}
    lines = {n: e.subs(eps, 0) for n, e in rule.late.new.items()}

    def fits(line: Expr, factor: dict[str, Expr], told: Expr) -> bool:
        try:
            return all(checker.is_zero(_at(line, factor, k) - _with_sign(told, k) * line)
                       for k in (-1, 1))  # fmt: skip
        except (Unsupported, Budget):
            return False

    for n in (m for m in lines if m != "x"):
        degrees = (turn * size, size**2, size, turn) if rule.initial[n] == 0 else ()
        told = [e for e in (*degrees, sp.Integer(1)) if fits(lines[n], {**found, n: e}, e)]
        if not told:
            return None
        found[n] = told[0]
    line = lines["x"] - x
    try:
        stuck = checker.is_zero(rule.unrolled(1)["x"].subs(eps, 0) - x)
    except (Unsupported, Budget):
        return None
    return found if not line.has(x) and not stuck and fits(line, found, turn) else None


def ray(rule: Rule, factors: dict[str, Expr]) -> tuple[Step, ...]:
    """A coordinate with feature sign·f moves as one with feature 1, times the sign."""
    steps, domains = [], {**rule.all_domains, "f": "positive"}
    for n, e in rule.late.new.items():
        line = e.subs(eps, 0)
        for k, word in ((1, "f"), (-1, "−f")):
            by = sp.Integer(k) if n == "x" else _with_sign(factors[n], k)
            told = x + by * (line - x) if n == "x" else by * line
            what = "x moves" if n == "x" else n
            steps.append(Step(f"{n}' with feature {word}: {what} {by} times as much",
                              Identity(_at(line, factors, k), told, domains),
                              "induction from the zero start, ε = 0: the size cancels"))  # fmt: skip
    return tuple(steps)


def consistent() -> tuple[Step, ...]:
    """On the ray λ·sign(Xᵀy) the gradient is a number times Xᵀy, if X·sign(Xᵀy) = κ·y: two data."""
    lam, kappa, w, y = symbol("lam"), symbol("kappa"), symbol("w"), (symbol("y1"), symbol("y2"))
    column, signs = (symbol("X1j"), symbol("X2j")), (symbol("Xs1"), symbol("Xs2"))
    gradient = sp.Add(*(f * (lam * u - k) for f, u, k in zip(column, signs, y, strict=True)))
    told = {u: kappa * k for u, k in zip(signs, y, strict=True)}
    feature = sp.Add(*(f * k for f, k in zip(column, y, strict=True)))
    return (
        Step("at w = λ·sign(Xᵀy) the gradient Σ_i X_ij((Xw)_i − y_i) is (λκ − 1)·Σ_i X_ij y_i",
             Identity(gradient.subs(told), (lam * kappa - 1) * feature),
             "one number for all j, times (Xᵀy)_j: the lines above apply, and w stays on the ray"),
        Step("Xw = λκ·y = y only at λ = 1/κ",
             Holds(sp.Eq(w, 1 / kappa, evaluate=False), (sp.Eq(w * kappa * y[0], y[0]),
                   gt(y[0] ** 2, 0), gt(kappa**2, 0))), "so a run whose loss tends to 0 ends there"),
    )  # fmt: skip


@claim("adaptive-sign-solution", family=FAMILY, source=W17("Lemma 3.1"),
       says="Where adaptive rules end on an over-parameterised problem.",
       statement="At ε = 0, if X·sign(Xᵀy) = κ·y, κ ≠ 0 and no entry of Xᵀy is 0, then on ½|Xw − y|² "
                 "from w = 0 every w_t is λ_t·sign(Xᵀy): a run whose loss tends to 0 ends at "
                 "sign(Xᵀy)/κ, whatever the size of the features.",
       hypotheses="ε = 0; no decay; a fresh state; one rate for all coordinates.  One datum always has "
                  "such a κ, |x|₁·sign(y).")  # fmt: skip
def adaptive_sign_solution(rule: Rule) -> Case | None:
    """The size of a feature cancels in every line, its sign stays."""
    factors = _factors(rule)
    if factors is None:
        return None
    whole = rule.transition()["x"].subs(eps, 1)
    near = _at(whole, factors, 1 if "eps" in rule.hyper else -1)  # with no ε: the sign left out

    def excess(run: Run, p: Point) -> Interval:
        gs = [p["g1"], p["g2"]]
        one, two, back = (run(p, [k * f for k in gs], ZERO).x for f in (1, 2, Fraction(-1, 2)))
        return abs(two[2] - one[2]).maximum(abs(back[2] + one[2]))

    return Case((*ray(rule, factors), *consistent()),
                control=Identity(near, whole, {**rule.all_domains, "f": "positive"}),
                runs=Runs(excess, grid(g1="1 2", g2="1 -1", alpha="1 1/2", eps="0")))  # fmt: skip


@claim("adaptive-sign-eps", family=FAMILY, source=W17("Lemma 3.1, where ε is left out"),
       says="A positive ε does not matter for where adaptive rules end.",
       statement="From w = 0, with one datum of features (1, 2), both coordinates move alike for every "
                 "ε ≥ 0.",
       repaired_by="adaptive-sign-solution")  # fmt: skip
def adaptive_sign_eps(rule: Rule) -> Case | None:
    """One step: the smaller gradient loses more to ε."""
    if _factors(rule) is None or "eps" not in rule.hyper:
        return None

    def excess(run: Run, p: Point) -> Interval:
        one, two = (run(p, gs, ZERO).x[-1] for gs in two_features(p))
        return abs(two - one)

    return Case(runs=Runs(excess, grid(g1="1 2", alpha="1", eps="1 1/2")))


# -- what it costs on new data ---------------------------------------------------------------------


def own(y: Expr) -> Expr:
    """Return how many features a datum has for itself: 1 for the label 1, 5 for −1."""
    return 3 - 2 * y


def sign_scores() -> tuple[Step, ...]:
    """What the sign solution makes of the data, and of a new one."""
    y = symbol("y")
    return (
        Step("x_i·sign(Xᵀy) = y + 2 + (3−2y)·y = 4y + 2(1 − y²), which is 4y for y = ±1",
             Identity(y + 2 + own(y) * y, 4 * y + 2 * (1 - y**2)),
             "Xᵀy is n₊+n₋, n₊−n₋ twice, and y_i on own features: its signs are 1, 1, 1 and y_i; κ = 4"),
        Step("on a new datum sign(Xᵀy)/4 gives (y+2)/4 > 0, whatever its label",
             Holds(gt((y + 2) / 4, 0), (ge(y, -1),), {}, {y: symbol("s", "nonnegative") - 1}),
             "its own features were never seen: it is wrong wherever y = −1"),
    )  # fmt: skip


@claim("adaptive-test-error", family=FAMILY, source=W17("section 3.3"), about="mathematics",
       says="What the sign solution costs on new data.",
       statement="Data with label y = ±1: one feature y, two features 1, and features that are 1 for "
                 "this datum alone: one if y = 1, five if y = −1; n₊ > n₋ ≥ 1 of each label.  Then "
                 "X·sign(Xᵀy) = 4y, and the sign solution puts every new datum at +1: its error is the "
                 "rate of the label −1.  The solution of least norm is right on every new datum.",
       hypotheses="n₊ > n₋, so that no entry of Xᵀy is 0; a new datum shares no own features; n₊ ≥ 1 "
                  "and n₋ ≥ 1 are enough for the least norm.")  # fmt: skip
def adaptive_test_error(rule: Rule) -> Case | None:
    """The Gram matrix has two values on its diagonal and two off it; a 2×2 system is left."""
    n, k = symbol("n", "natural"), symbol("k", "natural")  # n of label 1, k of label −1
    domains = {"n": "natural", "k": "natural"}
    det = 5 + 15 * n + 3 * k + 8 * n * k
    up, down = (5 + 4 * k) / det, -(1 + 4 * n) / det
    score = {y: y * (n * up - k * down) + 2 * (n * up + k * down) for y in (1, -1)}
    told = {1: (15 * n + 8 * n * k - k) / det, -1: -(8 * n * k + 3 * k - 5 * n) / det}
    s, r = symbol("s", "nonnegative"), symbol("r", "nonnegative")
    shift = {n: 1 + s, k: 1 + r}
    return Case((
        *sign_scores(),
        *(Step(f"(XXᵀa)_i = y_i for y_i = {y}: own·a_i + n₊·(2+y)·a₊ + n₋·(2−y)·a₋ = {y} with "
               "a₊ = (5+4n₋)/N, a₋ = −(1+4n₊)/N, N = 5+15n₊+3n₋+8n₊n₋",
               Identity(own(y) * mine + n * (2 + y) * up + k * (2 - y) * down, sp.Integer(y), domains),
               "x_i·x_j = 2 + y_i y_j, and the own features on the diagonal: w = Xᵀa interpolates, "
               "in the row space") for y, mine in ((1, up), (-1, down))),
        *least_norm(),
        *(Step(f"on a new datum with y = {y} it gives y·(n₊a₊ − n₋a₋) + 2(n₊a₊ + n₋a₋) = {shown}",
               Identity(score[y], told[y], domains), "shared features only")
          for y, shown in ((1, "(15n₊+8n₊n₋−n₋)/N"), (-1, "−(8n₊n₋+3n₋−5n₊)/N"))),
        Step("which is > 0 for y = 1", Holds(gt(told[1], 0), (), domains, shift), "8n₊n₋ > n₋"),
        Step("and < 0 for y = −1", Holds(gt(-told[-1], 0), (), domains, shift), "8n₊n₋ + 3n₋ > 5n₊"),
    ), control=Holds(gt(8 * n * k + 3 * k - 12 * n, 0), (gt(n, k),), domains))  # fmt: skip
