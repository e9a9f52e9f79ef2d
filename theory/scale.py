"""Section 2, the scale of the gradient: what it does to a step, and where epsilon stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import sympy as sp

from .catalogue import claim, grid
from .identity import Budget, Checker, Unsupported
from .interval import Interval
from .invariance import LENGTHS, SCALE, Change, answer, changed, lines, scaled
from .records import Case, Expr, Holds, Identity, Point, Run, Runs, Step
from .roles import Quotient, first_moment, same, second_moment
from .rule import Regime, Rule
from .rules import named
from .sources import HERE, KB15
from .step_size import ZERO, adam_like, root_of
from .symbols import alpha_final, beta2, eps, g, ge, gt, lambda_, new, old, symbol, t, x

FAMILY = "step size"
ONE, FACTOR = Fraction(1), Fraction(3)
#: What is scaled along with the gradient, by which power of c: the first that fits a rule.
ALONG: tuple[dict[sp.Symbol, int], ...] = (
    {eps: 1}, {eps: 2}, {eps: 1, lambda_: 1}, {eps: 1, alpha_final: -1},
)  # fmt: skip


@dataclass(frozen=True)
class Scaling:
    """A change of scale under which no move of x changes, but where it takes the factor c.

    Attributes:
        rule: the rule, with the lines that show it.
        along: what is scaled with the gradient, by which power of c.
        factors: what each state entry takes.
        moves: what the move of x takes in each regime: 1 or c.
    """

    rule: Rule
    along: dict[sp.Symbol, int]
    factors: dict[str, Expr]
    moves: tuple[Expr, ...]

    @property
    def change(self) -> Change:
        """The substitution."""
        return {g: SCALE * g, **{s: SCALE**k * s for s, k in self.along.items()}}

    def at(self, p: Point, factor: Fraction) -> Point:
        """Return the point with what is scaled along, for gradients times the factor."""
        held = {**self.rule.fill(p), **p}
        return {**p, **{s.name: held[s.name] * factor**k for s, k in self.along.items()}}


def _factor_of_move(rule: Rule, regime: Regime, up: Change) -> Expr | None:
    """Return by what the move of x is multiplied: 1, c, or None for neither."""
    checker, line = Checker({**rule.all_domains, "c": "positive"}), regime.new["x"]
    kept = line.xreplace(dict(up))
    try:
        if checker.is_zero(kept - line):
            return sp.Integer(1)
        return SCALE if checker.is_zero(kept - x - SCALE * (line - x)) else None
    except (Unsupported, Budget):
        return None


def in_lines(rule: Rule) -> Rule:
    """Return the rule with a line of its own for √v + ε, where that stands under a Min or Max.

    Expanded it is the same rule; a factor of the line is seen to come out of the maximum.
    """
    regimes, root, half = [], "root", sp.Rational(1, 2)
    for r in rule.regimes:
        terms = {e: [a.exp for a in e.args if a.is_Pow] for e in r.new["x"].atoms(sp.Add)}
        sums = [e for e, powers in terms.items() if eps in e.args and half in powers]
        if not r.new["x"].has(sp.Min, sp.Max) or len(sums) != 1 or root in rule.initial:
            return rule
        state = {n: e for n, e in r.new.items() if n != "x"}
        line = r.new["x"].xreplace({sums[0]: new(root)})
        regimes.append(Regime({**state, root: sums[0], "x": line}, r.when))
    return replace(rule, initial={**rule.initial, root: sp.Integer(0)}, regimes=tuple(regimes))


@cache
def scaling(rule: Rule) -> Scaling | None:
    """Return how a rule that is adaptive in some regime answers to the scale; else None."""
    rule = in_lines(rule)
    state = {g, *(f(n) for n in rule.initial for f in (old, new))}
    if any(c.free_symbols & state for r in rule.regimes for c in r.when):
        return None
    for along in ALONG:
        known = {s: k for s, k in along.items() if s.name in rule.hyper}
        change = Scaling(rule, known, {}, ()).change
        factors = answer(rule, change, (SCALE, SCALE**2, sp.Integer(1)))
        if factors is None:
            continue
        up = changed(change, factors)
        moves = [m for r in rule.regimes if (m := _factor_of_move(rule, r, up)) is not None]
        if len(moves) == len(rule.regimes) and 1 in moves:
            return Scaling(rule, known, factors, tuple(moves))
    return None


@claim("scale-invariance", family=FAMILY, source=KB15("section 2.1"),
       says="Adam ignores the scale of the gradient.",
       statement="Multiplying every gradient by c > 0 leaves every x_t unchanged, for every ε ≥ 0.",
       repaired_by="scale-covariance")  # fmt: skip
def scale_invariance(rule: Rule) -> Case | None:
    """Two runs, one with doubled gradients; a rule that looks at signs alone needs nothing else."""
    found = scaling(rule)
    if found is None:
        return None

    def excess(run: Run, p: Point) -> Interval:
        gap = Interval.of(0)
        for steps in (1,) if rule.only else LENGTHS:  # RAdam may stand still at first
            one, two = (run(p, [c * p["g1"]] * steps, ZERO) for c in (1, 2))
            gap = abs(one.x[-1] - two.x[-1])
            if gap.lo > 0:
                break
        return gap

    free = not found.along and found.moves == (1,) * len(found.moves)
    return Case(_covariant(found) if free else (), control=_turned(found) if free else None,
                runs=Runs(excess, grid(g1="1 2", eps="0 1", alpha="1")))  # fmt: skip


def _covariant(found: Scaling) -> tuple[Step, ...]:
    """Each line, and each move of x, takes its power of c."""
    up, domains = changed(found.change, found.factors), {**found.rule.domains, "c": "positive"}
    regimes = found.rule.regimes
    return tuple(
        Step(f"the line of {n} takes the factor {f}",
             Identity(r.new[n].xreplace(up), f * r.new[n], domains),
             "induction from the start: a zero takes any factor")
        for r in regimes for n, f in found.factors.items()
    ) + tuple(
        Step(f"x_t − x_(t−1) takes the factor {f}",
             Identity(r.new["x"].xreplace(up) - x, f * (r.new["x"] - x), domains), "the factors c cancel"
             if f == 1 else "nothing is divided by here, so that c stays")
        for r, f in zip(regimes, found.moves, strict=True)
    )  # fmt: skip


def _turned(found: Scaling) -> Identity:
    """The near-miss of a rule that needs nothing scaled along: c = −1."""
    whole = found.rule.transition()["x"]
    up = {s: e.xreplace({SCALE: sp.Integer(-1)})
          for s, e in changed(found.change, found.factors).items()}  # fmt: skip
    return Identity(whole.xreplace(up), whole, found.rule.domains)


@claim("scale-covariance", family=FAMILY, source=HERE,
       says="What must be scaled along with the gradient.",
       statement="Multiplying every gradient by c > 0 leaves every x_t unchanged if ε is multiplied by "
                 "c too (by c² where it stands under a root), an L2 penalty λ by c and AdaBound's final "
                 "rate by 1/c; rules that look at signs alone need nothing. In RAdam below its "
                 "threshold each move takes the factor c instead, at ε = 0 as well (if it moves).",
       hypotheses="the rule runs in each coordinate alone, as the code does.")  # fmt: skip
def scale_covariance(rule: Rule) -> Case | None:
    """Induction on the transition: each state entry takes its power of c, and the move none."""
    found = scaling(rule)
    if found is None:
        return None
    whole = rule.transition()["x"]
    alone = whole.xreplace(changed({g: SCALE * g}, found.factors))

    def excess(run: Run, p: Point) -> Interval:
        gs = [p["g1"], p["g2"]]
        one, two = run(p, gs, ONE).x, run(found.at(p, FACTOR), [FACTOR * k for k in gs], ONE).x
        size = 1 if found.moves[0] == 1 else FACTOR  # two steps are below RAdam's threshold
        return abs(two[1] - ONE - size * (one[1] - ONE)).maximum(
            abs(two[2] - ONE - size * (one[2] - ONE))
        )

    near = Identity(alone, whole, {**rule.domains, "c": "positive"})
    return Case(_covariant(found), control=near if found.along else _turned(found),
                runs=Runs(excess, grid(g1="1 2", g2="1 -1", eps="1 1/2")))  # fmt: skip


def _first_length(rule: Rule) -> tuple[Expr, Expr, Expr] | None:
    """Return x_1 at x_0 = 0 with n and d, where it is −n·g_1/(d·|g_1| + ε)."""
    g1, first = symbol("g1"), rule.unrolled(1)["x"].subs(x, 0)
    inverse = -1 / first.subs(g1, 1)
    n = 1 / sp.together(sp.diff(inverse, eps))
    d = n * inverse.subs(eps, 0)
    d = sp.Integer(1) if same(rule, d, sp.Integer(1)) else d
    return (first, n, d) if same(rule, first, -n * g1 / (d * sp.Abs(g1) + eps)) else None


def _signs(n: Expr, d: Expr) -> tuple[Step, ...]:
    """The signs of n and d; NAdam's powers stand in numbers below 1."""
    powers = sorted((p for p in n.atoms(sp.Pow) if p.exp.free_symbols), key=str)
    y = [symbol(f"y{k}", "unit") for k, _ in enumerate(powers)]
    told = n.xreplace({p: 2 - 2 * k for p, k in zip(powers, y, strict=True)})
    why = "so x_1 ≠ x_0" + (" (y = 1 − 0.96^(kψ)/2 lies in [1/2, 1))" if y else "")
    positive = Step("n > 0", Holds(gt(told, 0), (), {k.name: "unit" for k in y}), why)
    return (positive, Step("d ≥ 0", Holds(ge(d, 0)), "a root")) if d != 1 else (positive,)


@claim("scale-invariance-eps", family=FAMILY, source=KB15("section 2.1"),
       says="What the scale of the gradient does.",
       statement="Scaling every gradient and ε by c leaves every x_t unchanged; so x_t depends on the "
                 "scale only through ε/c. Scaling the gradients alone leaves it unchanged iff ε = 0: "
                 "for ε > 0 the first step from x_0 = 0 is the longer the larger |g_1| is.",
       hypotheses="c > 0, which may be another one in each coordinate (a diagonal rescaling), as the "
                  "rule runs in each alone; no L2 penalty; the steps are defined; c ≠ 1 and g_1 ≠ 0 for "
                  "“only if”.")  # fmt: skip
def scale_invariance_eps(rule: Rule) -> Case | None:
    """Induction on the transition: m scales by c, v by c², and x' − x not at all."""
    factors, first = scaled(rule), _first_length(rule) if scaled(rule) else None
    if factors is None or first is None or "eps" not in rule.hyper:
        return None
    g1, a, b, n, d, e = symbol("g1"), *(symbol(k, "positive") for k in ("a", "b", "n")), symbol(
        "d", "nonnegative"), symbol("e", "positive")  # fmt: skip
    domains = {**dict.fromkeys("aben", "positive"), "d": "nonnegative"}
    whole = rule.transition()["x"]
    alone = whole.xreplace(changed({g: SCALE * g}, factors))

    def excess(run: Run, p: Point) -> Interval:
        gs = [p["g1"], p["g2"]]
        one, two = run(p, gs, ZERO), run({**p, "eps": 3 * p["eps"]}, [3 * k for k in gs], ZERO)
        free = run({**p, "eps": ZERO}, gs, ZERO).x[2] - run(
            {**p, "eps": ZERO}, [3 * k for k in gs], ZERO).x[2]  # fmt: skip
        shorter = abs(one.x[1]) - abs(run(p, [3 * p["g1"]], ZERO).x[1])
        return abs(one.x[2] - two.x[2]).maximum(abs(free)).maximum(shorter)

    return Case(
        (*lines(rule, {g: SCALE * g, eps: SCALE * eps}, factors, sp.Integer(1), "g and ε times c",
                "induction from the start: a zero takes any factor; if: ε = 0 stays 0"),
         Step("the first step from x_0 = 0 is −n·g_1/(d·|g_1| + ε), d = 1 or as below",
              Identity(first[0], -first[1] * g1 / (first[2] * sp.Abs(g1) + eps)), "the rule at t = 1"),
         *_signs(first[1], first[2]),
         Step("n·b/(d·b + ε) > n·a/(d·a + ε) for b > a > 0 and ε > 0",
              Holds(gt(n * b / (d * b + e), n * a / (d * a + e)), (gt(b, a),), domains),
              "only if: with c ≠ 1 already x_1 is another")),
        control=Identity(alone, whole, {**rule.domains, "c": "positive"}),
        runs=Runs(excess, grid(g1="1 2", g2="1 -1", eps="1 1/2")),
    )  # fmt: skip


def _has_adams_epsilon(rule: Rule, q: Quotient) -> bool:
    """Whether the rule is x' = x − α m̂/(√v̂ + ε), with ε outside the root."""
    v = second_moment(rule)
    return q.kept == x and v is not None and same(rule, q.denominator, root_of(v.new) + eps)


@claim("eps-hat", family=FAMILY, source=KB15("section 2, ε̂"),
       says="“ε” and “ε̂” Adam are the same.",
       statement="x −= α√(1−β2^t)/(1−β1^t)·m_t/(√v_t + ε) is Adam with the same ε.",
       repaired_by="eps-hat-conversion")  # fmt: skip
def eps_hat(rule: Rule) -> Case | None:
    """One step with ε = 1."""
    q = adam_like(rule)
    if q is None or not _has_adams_epsilon(rule, q):
        return None
    other = named("adam-eps-hat")

    def excess(run: Run, p: Point) -> Interval:
        return abs(run(p, [p["g1"]], ZERO).x[1] - other.run(p, [p["g1"]]).x[1])

    return Case(runs=Runs(excess, grid(g1="1 2", eps="1 2", beta2="3/4", beta1="1/2", alpha="1")))


@claim("eps-hat-conversion", family=FAMILY, source=HERE,
       says="How ε and ε̂ convert.",
       statement="The two forms agree at every t iff ε̂_t = ε·√(1−β2^t); for ε > 0 and β2 > 0 no "
                 "constant ε̂ does it.",
       hypotheses="m_t ≠ 0 for “only if”.")  # fmt: skip
def eps_hat_conversion(rule: Rule) -> Case | None:
    """Substitute into the other form's line of x."""
    q = adam_like(rule)
    if q is None or not _has_adams_epsilon(rule, q):
        return None
    m, v = first_moment(rule), second_moment(rule)
    assert m is not None
    assert v is not None
    here = {new("exp_avg"): m.new, new("exp_avg_sq"): v.new}
    other = named("adam-eps-hat").late.new["x"].xreplace(here)
    domains = {v.new.name: "nonnegative"}
    e = symbol("e", "nonnegative")
    root = symbol("r", "positive")
    d1, d2 = root + eps, root + e
    return Case(
        (Step("with ε̂ = ε·√(1−β2^t) the lines of x agree",
              Identity(rule.late.new["x"], other.subs(eps, eps * sp.sqrt(1 - beta2**t)), domains),
              "multiply the fraction by √(1−β2^t)"),
         Step("equal denominators have equal ε",
              Holds(ge(0, (eps - e) ** 2), (sp.Eq(d1, d2),), {"e": "nonnegative", "r": "positive"}),
              "only if: at a given v̂, the fraction determines ε"),
         Step("1−β2² > 1−β2 for β2 > 0: ε̂_2 > ε̂_1",
              Holds(gt(1 - beta2**2, 1 - beta2), (gt(beta2, 0),)), "no constant ε̂ fits two steps")),
        control=Identity(rule.late.new["x"], other, domains),
    )  # fmt: skip
