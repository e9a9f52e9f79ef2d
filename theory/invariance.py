"""Section 7b: what may be done to the gradients, and what it does: how lines answer to it; rotation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache

import sympy as sp

from .catalogue import claim, grid
from .identity import Budget, Checker, Unsupported
from .interval import Interval
from .records import Case, Expr, Identity, Point, Run, Runs, Step
from .roles import same
from .rule import Regime, Rule
from .sources import FOLKLORE, HERE
from .symbols import alpha, eps, g, lambda_, new, old, rho, symbol, t, x

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


def _from_start(rule: Rule, regime: Regime) -> dict[str, Expr]:
    """Return the lines of a regime from the state of the start, at x = 0."""
    start = {x: sp.Integer(0), **{old(n): v for n, v in rule.initial.items()}}
    start |= {t: sp.Integer(1)} if rule.only else {}
    return {n: e.subs(start) for n, e in rule.transition(regime).items()}


def _silence(rule: Rule) -> tuple[Step, ...]:
    """Before the last regime zero gradients leave everything as it was: each line is a multiple of g."""
    steps = []
    for r in rule.regimes[:-1]:
        for n, e in _from_start(rule, r).items():
            power = 1 if sp.cancel(e / g**2).has(g) else 2
            steps.append(
                Step(f"from the zero state, before it divides, the line of {n} is a multiple of g",
                     Identity(e, sp.cancel(e / g**power) * g**power, rule.domains),
                     "with g = 0 nothing moves until the step t from which it divides")
            )  # fmt: skip
    return tuple(steps)


def _first_divided(rule: Rule) -> tuple[Step, ...]:
    """The first step that is divided, as one whose k-fold gradient moves k times as far for few k."""
    a, k = symbol("a", "positive"), symbol("k")
    try:
        first = _from_start(rule, rule.late)["x"]
        bare = first.subs(eps, 0)
    except ValueError:
        return ()
    size = -bare.subs(g, 1)
    if size.is_zero is not True and not same(rule, size, sp.Integer(0)):
        why = "of a turned (1,1) each coordinate k moves by ±size or stays: k² is 0 or 1"
        for told, word in ((-size * g / sp.Abs(g), "g/|g|"), (-size * sp.sign(g), "sign(g)")):
            if same(rule, bare, told):
                text = f"at ε = 0 its first divided step is −size·{word}"
                return (Step(text, Identity(bare, told), why),)
        return ()

    def square(y: Expr) -> Expr:
        return alpha**2 * eps * y**2 / ((1 - rho) * y**2 + eps)

    parted = alpha**2 * eps * (1 - rho) * a**4 * k**2 * (1 - k**2)
    below = ((1 - rho) * (k * a) ** 2 + eps) * ((1 - rho) * a**2 + eps)
    if not same(rule, first**2, square(g)):
        return ()
    return (
        Step("the square of the first step is α²ε·g²/((1−ρ)g²+ε) =: F(g)",
             Identity(first**2, square(g)), "the rule at t = 1"),
        Step("F(k·a) − k²·F(a) = α²ε(1−ρ)·a⁴·k²(1−k²)/(…)",
             Identity(square(k * a) - k**2 * square(a), parted / below),
             "of a turned (a,a) each coordinate k·a has to move k times as far as a: k² is 0 or 1"),
    )  # fmt: skip


@claim("rotation-quarter-turns", family=FAMILY, source=HERE,
       says="Which changes of coordinates an adaptive rule does not notice.",
       statement="Exchanges and changes of sign of coordinates, for every ε; of the rotations of two "
                 "coordinates at ε = 0 (AdaDelta, which stands still there: at any ε > 0) only the "
                 "quarter turns (and their multiples).",
       hypotheses="for “only”: a start at 0; RAdam: ρ_∞ above its threshold, so that it divides from "
                  "some t on.")  # fmt: skip
def rotation_quarter_turns(rule: Rule) -> Case | None:
    """Each line is odd or even; the first step that is divided fits no other rotation."""
    # the checker does not turn sign(k·g/|k|) into k·sign(g)/|k|: there the other sign is enough
    either = SIGN if not rule.late.new["x"].has(sp.sign) else sp.Integer(-1)
    change = {g: either * g, x: either * x}
    parities, first = answer(rule, change, (either, sp.Integer(1))), _first_divided(rule)
    if linear(rule) or parities is None or not first:
        return None
    k, state = symbol("k"), [e for n, e in rule.late.new.items() if n != "x"]
    c, s = (1 - k**2) / (1 + k**2), 2 * k / (1 + k**2)
    sizes = "1 1/2" if any(e.has(lambda_) for e in state) else "1 0"  # g + λx = 0 is 0/0 at ε = 0

    def excess(run: Run, p: Point) -> Interval:
        return turned_gap(run, p, [(p["g1"], p["g2"]), (p["g3"], p["g4"])], QUARTER)

    return Case(
        (*lines(rule, change, parities, either,
                "sign e = k/|k|" if either == SIGN else "sign e = −1", "e² = 1: odd or even, so by "
                 "induction the run on −g from −x_0 is −x; coordinates are exchanged freely"),
         *_silence(rule), *first,
         Step("cos = (1−k²)/(1+k²), sin = 2k/(1+k²) has cos² + sin² = 1",
              Identity(c**2 + s**2, sp.Integer(1)), "every rotation but the half turn, which only "
              "changes signs"),
         Step("(1,1) is turned to (cos−sin, cos+sin), the squares of which add to 2",
              Identity((c - s) ** 2 + (c + s) ** 2, sp.Integer(2)),
              "each of them 0 or 1 (or, for 0, not defined at ε = 0): so both are 1"),
         Step("(cos−sin)² − 1 = −2·cos·sin", Identity((c - s) ** 2 - 1, -2 * c * s),
              "so cos·sin = 0: a quarter turn or a half turn")),
        control=Identity((c - s) ** 2, sp.Integer(1)),
        runs=Runs(excess, grid(g1="1 2", g2="1 -1 3", g3="1 -2", g4="1 1/2", eps=sizes)),
    )  # fmt: skip
