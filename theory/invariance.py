"""Section 7b: what may be done to the gradients, and what it does: rotation, scaling, larger batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache

import sympy as sp

from .catalogue import claim, grid
from .identity import Budget, Checker, Unsupported
from .interval import Interval
from .records import Case, Expr, Holds, Identity, Point, Run, Runs, Step
from .roles import Average, first_moment, quotient, same, second_moment
from .rule import Rule
from .sources import FOLKLORE, HERE
from .symbols import eps, g, gt, new, old, symbol, x

FAMILY = "invariance"
ONE, TWO = Fraction(1), Fraction(2)
Change = Mapping[Expr, Expr]

#: A change of scale, and a change of sign written as k/|k|.
SCALE, _K = symbol("c", "positive"), symbol("k")
SIGN = _K / sp.Abs(_K)


# -- how a rule's lines answer to a change of the gradient ---------------------------------------


def changed(change: Change, factors: Mapping[str, Expr]) -> dict[Expr, Expr]:
    """Return the substitution that makes the change and multiplies each state entry by its factor."""
    up = dict(change)
    for name, factor in factors.items():
        up |= {old(name): factor * old(name), new(name): factor * new(name)}
    return up


def _answers(rule: Rule, name: str, up: Change, factor: Expr) -> bool:
    """Whether the line of a state entry is multiplied by the factor, in every regime."""
    checker = Checker({**rule.all_domains, "c": "positive", "w": "positive"})
    try:
        return all(
            checker.is_zero(r.new[name].xreplace(up) - factor * r.new[name]) for r in rule.regimes
        )
    except (Unsupported, Budget):
        return False


def answer(rule: Rule, change: Change, factors: Sequence[Expr]) -> dict[str, Expr] | None:
    """Return by which of the factors each state entry answers to the change; None if one does not."""
    found: dict[str, Expr] = {}
    for name in (n for n in rule.late.new if n != "x"):
        starts = [f for f in factors if f == 1 or rule.initial[name] == 0]
        fits = (f for f in starts if _answers(rule, name, changed(change, {**found, name: f}), f))
        factor = next(fits, None)
        if factor is None:
            return None
        found[name] = factor
    return found


@cache
def scaled(rule: Rule) -> dict[str, Expr] | None:
    """Return how the state scales with g and ε, where the move of x does not; else None."""
    change = {g: SCALE * g, eps: SCALE * eps}
    factors = answer(rule, change, (SCALE, SCALE**2, sp.Integer(1))) if rule.only else None
    if factors is None or not _answers(rule, "x", changed(change, factors), sp.Integer(1)):
        return None
    return factors


def lines(rule: Rule, change: Change, factors: Mapping[str, Expr], of_x: Expr, told: str,
          why: str) -> tuple[Step, ...]:  # fmt: skip
    """The steps that show it: each line of each regime under the change."""
    up, wanted = changed(change, factors), {**factors, "x": of_x}
    domains = {**rule.domains, "c": "positive", "w": "positive"}
    return tuple(
        Step(f"{told}: the line of {name} takes the factor {wanted[name]}",
             Identity(r.new[name].xreplace(up), wanted[name] * r.new[name], domains),
             why)
        for r in rule.regimes for name in wanted
    )  # fmt: skip


# -- rotation --------------------------------------------------------------------------------------


def rotated(a: Fraction, b: Fraction, turn: tuple[Fraction, Fraction]) -> tuple[Fraction, Fraction]:
    """Return (a, b) turned by the angle with this cosine and sine."""
    c, s = turn
    return c * a - s * b, s * a + c * b


#: The smallest rotation with rational entries that is no quarter turn; and a quarter turn.
THREE_FOUR_FIVE = (Fraction(3, 5), Fraction(4, 5))
QUARTER = (Fraction(0), Fraction(1))
STARTS = (ONE, TWO)
#: Steps of a run: the first, and enough for a rule that begins in another regime.
LENGTHS = (1, 8)


def turned_gap(
    run: Run, p: Point, gradients: Sequence[tuple[Fraction, Fraction]], turn: tuple[Fraction, Fraction]
) -> Interval:
    """Return how far the turned run ends from the run on the turned problem, in two coordinates."""
    here = [run(p, [pair[i] for pair in gradients], STARTS[i]).x[-1] for i in (0, 1)]
    starts, pairs = rotated(*STARTS, turn), [rotated(*pair, turn) for pair in gradients]
    there = [run(p, [pair[i] for pair in pairs], starts[i]).x[-1] for i in (0, 1)]
    c, s = turn
    told = (here[0] * c - here[1] * s, here[0] * s + here[1] * c)
    return abs(told[0] - there[0]).maximum(abs(told[1] - there[1]))


def _second(of: Expr) -> sp.Symbol:
    return symbol(f"{of.name}_2")


@cache
def linear(rule: Rule) -> tuple[Step, ...]:
    """The steps that show every line linear in parameter, gradient and state; none if one is not."""
    a, b = symbol("a"), symbol("b")
    steps = []
    for r in rule.regimes:
        kept = [x, g, *(f(n) for n in rule.initial for f in (old, new))]
        twin = {s: _second(s) for s in kept}
        both = {s: a * s + b * twin[s] for s in kept}
        for name, line in r.new.items():
            told = a * line + b * line.xreplace(twin)
            if not same(rule, line.xreplace(both), told):
                return ()
            steps.append(
                Step(f"line of {name}: of a·z + b·z₂ it is a·(that of z) + b·(that of z₂)",
                     Identity(line.xreplace(both), told, rule.domains),
                     "linear; a coordinate of a rotated problem is such a combination, so by "
                     "induction it stays one")
            )  # fmt: skip
    return tuple(steps)


@claim("rotation-invariance", family=FAMILY, source=FOLKLORE,
       says="The optimizer does not care about the coordinate system.",
       statement="On a rotated problem (gradients Q·g_t, start Q·x_0) it visits the rotated points "
                 "Q·x_t, for every rotation Q and every t.",
       hypotheses="the rule runs in each coordinate alone, as the code does.",
       repaired_by="rotation-quarter-turns")  # fmt: skip
def rotation_invariance(rule: Rule) -> Case | None:
    """A rule that is linear commutes with every Q; the others part at the angle of 3-4-5."""
    steps = linear(rule)
    line = rule.late.new["x"]
    a = symbol("a")
    kept = [g, *(f(n) for n in rule.initial for f in (old, new))]

    def excess(run: Run, p: Point) -> Interval:
        pair, gap = (p["g1"], p["g2"]), Interval.of(0)
        for steps in LENGTHS:
            gap = turned_gap(run, p, [pair] * steps, THREE_FOUR_FIVE)
            if gap.lo > Fraction(1, 1 << 20):
                break
        return gap

    return Case(
        steps,
        control=Identity(line.xreplace({s: a * s for s in kept}), a * line)
        if steps
        else None,  # x_0 left where it was
        runs=Runs(excess, grid(g1="1 2", g2="1 -1", alpha="1", beta2="3/4 9/10", eps="0 1")),
    )


def _sign_step(rule: Rule) -> tuple[Expr, Expr] | None:
    """Return the first step at ε = 0 from x = 0 and its size, where it is −size·sign(g)."""
    try:
        first = rule.unrolled(1)["x"].subs({eps: 0, x: 0})
    except ValueError:
        return None
    g1 = symbol("g1")
    size = -first.subs(g1, 1)
    if size.is_zero is not False and same(rule, size, sp.Integer(0)):
        return None
    return (first, size) if same(rule, first, -size * g1 / sp.Abs(g1)) else None


@claim("rotation-quarter-turns", family=FAMILY, source=HERE,
       says="Which changes of coordinates an adaptive rule does not notice.",
       statement="Exchanges and changes of sign of coordinates, for every ε; of the rotations of two "
                 "coordinates at ε = 0 only the quarter turns (and their multiples).",
       hypotheses="ε = 0 and a start at 0 for “only”.")  # fmt: skip
def rotation_quarter_turns(rule: Rule) -> Case | None:
    """Each line is odd or even; a first step of ±size in each coordinate fits no other rotation."""
    change = {g: SIGN * g, x: SIGN * x}
    parities, first = answer(rule, change, (SIGN, sp.Integer(1))), _sign_step(rule)
    if linear(rule) or parities is None or first is None:
        return None
    k, g1 = symbol("k"), symbol("g1")
    c, s = (1 - k**2) / (1 + k**2), 2 * k / (1 + k**2)
    cosine, sine = symbol("cosine"), symbol("sine")

    def excess(run: Run, p: Point) -> Interval:
        return turned_gap(run, p, [(p["g1"], p["g2"]), (p["g3"], p["g4"])], QUARTER)

    return Case(
        (*lines(rule, change, parities, SIGN, "sign e = k/|k|", "e² = 1: odd or even, so by "
                 "induction the run on −g from −x_0 is −x; coordinates are exchanged freely"),
         Step("at ε = 0 and x_0 = 0 the first step is −size·g/|g|",
              Identity(first[0], -first[1] * g1 / sp.Abs(g1)), "the rule at t = 1"),
         Step("cos = (1−k²)/(1+k²), sin = 2k/(1+k²) has cos² + sin² = 1",
              Identity(c**2 + s**2, sp.Integer(1)), "every rotation but the half turn, which only "
              "changes signs"),
         Step("g = (1,1) moves by −size·(1,1), which is turned to −size·(cos−sin, cos+sin); but in "
              "the turned problem each coordinate moves by ±size or stays: (cos−sin)² − 1 = −2·cos·sin",
              Identity((c - s) ** 2 - 1, -2 * c * s), "so cos·sin = 0, or cos = sin and it stays"),
         Step("g = (2,1) moves by −size·(1,1) too, and 2cos−sin has (2cos−sin)² − cos² = "
              "(cos−sin)(3cos−sin)",
              Identity((2 * cosine - sine) ** 2 - cosine**2, (cosine - sine) * (3 * cosine - sine)),
              "if cos = sin it is cos ≠ 0: the coordinate moves, where it would have to stay")),
        control=Identity((c - s) ** 2, sp.Integer(1)),
        runs=Runs(excess, grid(g1="1 2", g2="1 -1 3", g3="1 -2", g4="1 1/2", eps="1 0")),
    )  # fmt: skip


# -- factors on the gradient -----------------------------------------------------------------------


@claim("clipping-is-harmless", family=FAMILY, source=FOLKLORE,
       says="Clipping, loss scaling, the sum or the mean of the loss: nothing that only scales the "
            "gradient matters to Adam.",
       statement="Clipping every gradient to |g_t| ≤ 1 leaves every x_t unchanged at ε = 0.",
       repaired_by="clipping-harmless-iff")  # fmt: skip
def clipping_is_harmless(rule: Rule) -> Case | None:
    """One clipped gradient after one that is not: their weights in the averages change."""
    if scaled(rule) is None or "eps" not in rule.hyper:
        return None

    def excess(run: Run, p: Point) -> Interval:
        gradients, gap = [p["g1"], p["g2"]], Interval.of(0)
        for steps in (1, 2):
            raw = gradients[:steps]
            clipped = [v * min(ONE, 1 / abs(v)) for v in raw]
            gap = abs(run(p, raw).x[-1] - run(p, clipped).x[-1])
            if gap.lo > Fraction(1, 1 << 20):
                break
        return gap

    return Case(runs=Runs(excess, grid(g1="1 2", g2="1 2 3", eps="0", alpha="1")))


def _first_change(m: Average, v: Average, rule: Rule) -> tuple[tuple[Step, ...], Identity]:
    """Where the factor first changes, by κ: the squares of the two moves, and a large h."""
    h, k, mo, vo = (symbol(n, "positive") for n in ("h", "κ", "mo", "vo"))
    a, lead, side, low = (symbol(n, "positive") for n in "ALSW")
    b1, b2, held = m.beta, v.beta, {m.old: mo, v.old: vo}
    ms, vs = ([rule.late.new[n].subs({**held, g: at}) for at in (h, k * h)] for n in (m.name, v.name))
    parts = {
        a: (k + 1) * (b1 * mo) ** 2 * (1 - b2),
        lead: 2 * b1 * mo * (1 - b1) * (1 - b2) * k,
        side: (k + 1) * (1 - b1) ** 2 * b2 * vo,
        low: 2 * b1 * mo * (1 - b1) * b2 * vo,
    }
    bracket = a * h + lead * h**2 - side * h - low
    cross = ms[0] ** 2 * vs[1] - ms[1] ** 2 * vs[0]
    e = symbol("e", "nonnegative")
    steps = (
        Step("the factor is 1 up to t−1 and κ at t; m, v > 0 there and g_t = h:  m_t²·v_t' − m_t'²·v_t "
             "= (κ−1)·h·(A·h + L·h² − S·h − W)",
             Identity(cross, (k - 1) * h * bracket.xreplace(parts)),
             "the rule's own lines, at h and at κ·h; A, L, S, W > 0 for 0 < β1, β2"),
        Step("the bracket is > 0 at h = 1 + (S+W)/L + e, e ≥ 0",
             Holds(gt(bracket.subs(h, 1 + (side + low) / lead + e), 0)),
             "so for κ ≠ 1 a large h moves x elsewhere: only if (for m < 0 take −h)"),
    )  # fmt: skip
    return steps, Identity(cross, sp.Integer(0))


@claim("clipping-harmless-iff", family=FAMILY, source=HERE,
       says="Which factors on the gradient are harmless.",
       statement="At ε = 0 factors c_t > 0 on the gradients leave every x_t unchanged, for every "
                 "gradient sequence, iff c_t is the same for every t (sum or mean of the loss, a "
                 "fixed loss scale; clipping only where it never acts). The first step takes any.",
       hypotheses="0 < β1, 0 < β2 for “only if”; D_t² is v_t times a function of t.")  # fmt: skip
def clipping_harmless_iff(rule: Rule) -> Case | None:
    """Homogeneity one way; at the first change of factor, a large gradient the other way."""
    q, m, v, factors = quotient(rule), first_moment(rule), second_moment(rule), scaled(rule)
    if q is None or m is None or v is None or factors is None:
        return None
    square = q.denominator.subs(eps, 0) ** 2
    ahead = sp.cancel(square / v.new)
    if ahead.has(v.new) or not same(rule, square, ahead * v.new):
        return None
    steps, near = _first_change(m, v, rule)
    g1, shrunk = symbol("g1"), symbol("c1", "positive")
    first = rule.unrolled(1)["x"].subs(eps, 0)

    def excess(run: Run, p: Point) -> Interval:
        pair, factor = [p["g1"], p["g2"]], abs(p["g2"] / p["g1"])
        constant = abs(run(p, pair).x[2] - run(p, [3 * k for k in pair]).x[2])
        alone = abs(run(p, [p["g1"]]).x[1] - run(p, [factor * p["g1"]]).x[1])
        return constant.maximum(alone)

    return Case(
        (*lines(rule, {g: SCALE * g, eps: SCALE * eps}, factors, sp.Integer(1), "g and ε times c",
                 "induction from the start: a constant factor changes no x_t at ε = 0"),
         Step("the first step is the same for c_1·g_1 at ε = 0",
              Identity(first.subs(g1, shrunk * g1), first), "it sees the sign alone"),
         Step("the move is −α·(m_t or m̂_t)/D_t, and D_t² at ε = 0 is v_t times a function of t",
              Identity(square, ahead * v.new, {v.new.name: "nonnegative"}), "the rule's own D"),
         *steps),
        control=near,
        runs=Runs(excess, grid(g1="1 2", g2="1 -1 3", eps="0", alpha="1")),
    )  # fmt: skip
