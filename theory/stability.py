"""Section 6, stability: up to which curvature a rule converges on a quadratic.

A claim about one eigendirection of the Hessian, on which the loss is c·x²/2.  The rule becomes the
recurrence x_{t+1} = T x_t − D x_{t−1} (`oscillator`), and three margins decide (`jury`).
"""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .catalogue import claim, grid
from .evaluate import value
from .interval import Interval
from .jury import cubic_criterion, grows, shrinks
from .oscillator import DOMAINS, Oscillator, c, d, oscillator, recurrence
from .records import Case, Expr, Goal, Ground, Holds, Identity, Point, Run, Runs, Step
from .rule import Rule
from .sources import C22, HERE, P64
from .symbols import alpha, beta1, eq, ge, gt, mu, new, old, rho, symbol, tau

FAMILY = "stability"
_ONE = Fraction(1)


def _below_one(e: Expr) -> dict[Expr, Expr]:
    """Return the shift that writes each number in [0, 1) as s/(1+s)."""
    found = [b for b in (beta1, mu, tau, rho) if e.has(b)]
    fresh = [symbol(f"s{i}", "nonnegative") for i, _ in enumerate(found)]
    return {b: s / (1 + s) for b, s in zip(found, fresh, strict=True)}


def _sign(text: str, e: Expr, why: str, *, strict: bool = True) -> Step:
    relation = gt(e, 0) if strict else ge(e, 0)
    return Step(text, Holds(relation, (), DOMAINS, _below_one(e)), why)


def margins(o: Oscillator) -> tuple[Step, ...]:
    """Of the three margins only 1 + T + D can vanish, and it does at c*."""
    return (
        Step(f"1 + T + D = ({o.slope})·(c* − c) with c* = {o.threshold}",
             Identity(o.margin, o.slope * (o.threshold - c), o.domains), "solved for c"),
        _sign(f"{o.slope} > 0", o.slope, "so 1 + T + D > 0 iff c < c*, and = 0 iff c = c*"),
        _sign("1 − T + D > 0", 1 - o.trace + o.determinant, "for every c > 0"),
        _sign("1 − D > 0", 1 - o.determinant, "for every c > 0"),
        _sign("k ≥ 0", o.lag, "what the case c ≥ c* asks of the first step", strict=False),
    )  # fmt: skip


def _too_far(o: Oscillator) -> Goal:
    """The near-miss: that c < 2 c* is enough."""
    return Holds(gt(o.margin, 0), (gt(2 * o.threshold, c),), DOMAINS)


def follows(rule: Rule, o: Oscillator) -> Runs:
    """Three steps on c·x²/2 from x_0 = 1, where c is the first gradient g1."""

    def excess(run: Run, p: Point) -> Interval:
        gradients: list[Interval] = []
        at = {**rule.fill(p), "c": p["g1"]}
        for _ in range(3):
            gradients.append(p["g1"] * run(p, gradients, _ONE).x[-1])
        x = run(p, gradients, _ONE).x
        T, D, k = (value(e, at) for e in (o.trace, o.determinant, o.lag))
        gaps = [abs(x[1] - (T - k) * x[0]), *(abs(x[t + 1] - T * x[t] + D * x[t - 1]) for t in (1, 2))]
        return gaps[0].maximum(gaps[1]).maximum(gaps[2])

    return Runs(excess, grid(g1="1 2 8", alpha="1 1/2", mu="1/2 3/4", lambda_="1/4", tau="1/4"))


@claim("quadratic-recurrence", family=FAMILY, source=HERE, about="mathematics",
       says="When a linear recurrence of order 2 dies out.",
       statement="x_{t+1} = T·x_t − D·x_{t−1}: if 1−T+D, 1+T+D and 1−D are > 0 then x_t → 0 from every "
                 "start; if 1+T+D ≤ 0 and x_1 = (T−k)·x_0 with k ≥ 0, x_0 ≠ 0, then x_t does not tend "
                 "to 0, and it is unbounded where 1+T+D < 0.")  # fmt: skip
def quadratic_recurrence(rule: Rule) -> Case | None:
    """A quadratic form that falls geometrically; a real root below −1."""
    T, D = symbol("T"), symbol("D")
    return Case((*shrinks(), *grows()),
                control=Holds(gt(1, D), (gt(1 - T + D, 0), gt(1 + T + D, 0))))  # fmt: skip


@claim("cubic-criterion", family=FAMILY, source=HERE, about="mathematics",
       says="When the roots of a real cubic lie in the unit disk.",
       statement="The roots of z³ + az² + bz + c are all in |z| < 1 iff 1+a+b+c, 1−a+b−c, 1−c² and "
                 "1−b+ac−c² are > 0; if the last is < 0 then a root has |z| > 1.")  # fmt: skip
def cubic_in_the_disk(rule: Rule) -> Case | None:
    """Every real cubic has a real root; the quadratic that is left has its three margins."""
    r, D = symbol("r"), symbol("D")
    return Case(cubic_criterion(), control=Holds(gt(1, D), (gt(1 - r**2 * D**2, 0),)))


@claim("gd-stability", family=FAMILY, source=P64("on the heavy ball method"),
       says="Gradient descent is stable on curvature c > 0 iff c < 2/α; momentum moves the threshold.",
       statement="On c·x²/2, c > 0, every run tends to 0 iff c < c*: c* = 2/α for gradient descent, "
                 "(2+2μ)/α for heavy ball, (2+2μ)/((1+2μ)α) for Nesterov's form; dampening τ, from the "
                 "first step on or from the second, gives 2/((1−τ)α) and (2+2μ)/((1−τ)α), hence "
                 "(2+2μ)/((1−μ)α) for an average; L2 lowers c* by λ, and decay by λ puts 2−λ in place "
                 "of 2, by αλ 2−αλ.  From x_0 ≠ 0 and a fresh state x_t does not tend to 0 at c*, and "
                 "is unbounded above it.",
       hypotheses="constant α; one eigendirection of the Hessian.")  # fmt: skip
def gd_stability(rule: Rule) -> Case | None:
    """The recurrence read off the lines, and its margins; quadratic-recurrence is the rest."""
    o = oscillator(rule)
    if o is None or o.denominator != 1:
        return None
    average = (
        Step("at τ = μ the buffer is an average, and c* = (2+2μ)/((1−μ)α)",
             Identity(o.threshold.subs(tau, mu), (2 + 2 * mu) / ((1 - mu) * alpha)), "dampening μ"),
    ) if o.threshold.has(tau) and o.threshold.has(mu) else ()  # fmt: skip
    return Case((*recurrence(o), *margins(o), *average), control=_too_far(o), runs=follows(rule, o))


def frozen_lines(rule: Rule, o: Oscillator) -> Runs | None:
    """Three steps on c·x²/2 against the frozen lines, with d = D_t; corrections gone at β1 = β2 = 0."""
    if rule.only is None:
        return None
    betas = "1/2 3/4" if all(rule.late.new[n] == line for n, line in o.late.items()) else "0"

    def excess(run: Run, p: Point) -> Interval:
        slopes: list[Interval] = []
        for _ in range(3):
            slopes.append(p["g1"] * run(p, slopes, _ONE).x[-1])
        trace, worst = run(p, slopes, _ONE), Interval.of(-1)
        for k, slope in enumerate(slopes, start=1):
            here: dict[str, Fraction | int | Interval] = {**rule.fill(p), "t": k, "g": slope}
            here["x"] = trace.x[k - 1]
            here |= {old(n).name: held[k - 1] for n, held in trace.state.items()}
            here |= {new(n).name: held[k] for n, held in trace.state.items()}
            here["d"] = value(o.denominator, here)
            for n, line in o.frozen.items():
                seen = trace.x[k] if n == "x" else trace.state[n][k]
                worst = worst.maximum(abs(seen - value(line, here)))
        return worst

    return Runs(excess, grid(g1="1 2 8", alpha="1 1/2", eps="1 1/4", beta1=betas, beta2=betas,
                             mu="1/2 3/4", rho="1/2", lambda_="1/4"))  # fmt: skip


@claim("adam-edge", family=FAMILY, source=C22("on the threshold of preconditioned gradient descent"),
       says="Adam's preconditioned sharpness has its threshold at 38/α for β1 = 0.9.",
       statement="With the denominator D_t = d frozen and the corrections gone, every run on "
                 "c·x²/2, c > 0, tends to 0 iff c/d < h*: h* = (2+2β1)/((1−β1)α) for Adam, 38/α "
                 "at β1 = 0.9, and the same for AMSGrad, RAdam, AdaMax, AdaBelief; 2/α for "
                 "RMSprop, AdaGrad, AdaDelta, (2+2μ)/α for RMSprop with momentum; (2+2β1)/(1−β1) "
                 "for AdaBound; NAdam divides Adam's by 1+2β1; decay puts 2−αλ in place of 2 (2−λ "
                 "where it is not multiplied by α), L2 puts c+λ in place of c.  At h* a run from "
                 "x_0 ≠ 0 does not tend to 0, above it is unbounded.",
       hypotheses="RAdam past its threshold; D_t = d > 0 fixed in time, β^t = 0 in every correction "
                  "(ψ > 0 in NAdam), m = 0 at the start; one eigendirection of D⁻¹·Hessian.  "
                  "1/d is the clipped rate in AdaBound (over √t in the paper's), the quotient of "
                  "the two roots in AdaDelta, and has AdaGrad's 1 + (t−1)η in it.  That training "
                  "settles there is another matter: an observation.")  # fmt: skip
def adam_edge(rule: Rule) -> Case | None:
    """The same recurrence, with what depends on the gradient's size frozen."""
    o = oscillator(rule)
    if o is None or o.denominator == 1:
        return None
    number = o.threshold / d * alpha
    adams = number.free_symbols == {beta1} and rule.initial.keys() >= {"exp_avg"}
    at = number.subs(beta1, sp.Rational(9, 10))
    default = (Step("h*·α is 38 at β1 = 0.9", Ground(eq(at, 38)), "(2 + 2·0.9)/(1 − 0.9)"),)
    return Case((*recurrence(o), *margins(o), *(default if adams and at == 38 else ())),
                control=_too_far(o), runs=frozen_lines(rule, o))  # fmt: skip
