"""Section 7b: what a gradient of zero does to a parameter."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .catalogue import claim, grid
from .evaluate import value
from .interval import Interval
from .kinship import held
from .records import Case, Expr, Holds, Identity, Point, Run, Runs, Step
from .roles import first_moment, quotient, same, second_moment
from .rule import Regime, Rule
from .sources import FOLKLORE, HERE
from .symbols import alpha, g, gt, lambda_, mu, old, symbol, t, x

FAMILY = "step size"
ONE, ZERO = Fraction(1), Fraction(0)
TINY = Fraction(1, 1 << 20)


def _per_gradient(rule: Rule) -> Expr | None:
    """Return h with x' = x + g·h in the new state, where h does not speak of g or x; else None."""
    if rule.only is None:
        return None
    move = rule.only.new["x"] - x
    factor = sp.cancel(move / g) if move.is_polynomial(g) else None
    if factor is None or factor.has(g, x) or not same(rule, move, g * factor):
        return None
    return factor


@claim("zero-gradient-no-update", family=FAMILY, source=FOLKLORE,
       says="A zero gradient leaves a parameter alone.",
       statement="x_t = x_{t−1} whenever g_t = 0, whatever the gradients before were.",
       hypotheses="the step is defined (no 0/0 at ε = 0); None is no gradient, and the frameworks then "
                  "skip the parameter.",
       repaired_by="zero-gradient-what-moves")  # fmt: skip
def zero_gradient_no_update(rule: Rule) -> Case | None:
    """True of a rule whose move is a multiple of g; memory and decay refute it."""
    line, factor = rule.late.new["x"], _per_gradient(rule)
    silent = rule.only is not None and not rule.initial and same(rule, line.subs(g, 0), x)
    lengths = (0, 1) if rule.only else (0, 1, 7)  # RAdam may stand still at first
    defined = "eps" in rule.hyper or second_moment(rule) is None  # else 0/0 in a first step

    def excess(run: Run, p: Point) -> Interval:
        gap = Interval.of(0)
        for before in lengths if defined else lengths[1:]:
            places = run(p, [*[p["g1"]] * before, ZERO], ONE).x
            gap = abs(places[-1] - places[-2])
            if gap.lo > TINY:
                break
        return gap

    steps: tuple[Step, ...] = ()
    if factor is not None:
        steps = (Step(f"x_t = x_(t−1) + g_t·({factor})", Identity(line, x + g * factor),
                      "the rule's own line: a multiple of g_t, and 0 with it"),)  # fmt: skip
    elif silent:
        steps = (Step("g_t = 0:  x_t = x_(t−1)", Identity(line.subs(g, 0), x), "sign(0) = 0, and there "
                      "is no memory"),)  # fmt: skip
    return Case(steps, control=Identity(line, x) if steps else None,
                runs=Runs(excess, grid(g1="1 -2", alpha="1 1/2", eps="1 1/2")))  # fmt: skip


def _remembered(rule: Rule, regime: Regime) -> tuple[Expr, Expr] | None:
    """Return x_t for g_t = 0, from the rule and as it is told; None where nothing is told."""
    still, q, m = {g: sp.Integer(0)}, quotient(rule), first_moment(rule)
    line = regime.new["x"].xreplace(still)
    if line == x:
        return None if rule.only else (line, x)  # RAdam may stand still at first
    if m is not None:
        entered = m.beta * m.old + (1 - m.beta) * m.input.xreplace(still)
        here = line.xreplace({m.new: regime.new[m.name].xreplace(still)})
        if q is not None:
            size = (1 - m.beta**t) if q.corrected else sp.Integer(1)
            return here, q.kept - alpha * entered / (size * q.denominator)
        kept, rate = line.xreplace({m.new: sp.Integer(0)}), -sp.diff(line, m.new)
        if rate != 0:
            return None if kept != x or rate.has(m.new, m.old, x) else (here, kept - rate * entered)
    rate = -sp.diff(regime.new["x"], g)
    if not rate.has(g, x) and "lambda_" in rule.hyper and same(rule, line, x - rate * lambda_ * x):
        return line, x - rate * lambda_ * x  # the penalty alone
    here, b = rule.transition(regime)["x"].subs(g, 0), old("momentum_buffer")
    if sp.Eq(t, 1) in regime.when:  # where the memory is what it starts with
        start = {old(n): v for n, v in rule.initial.items()}
        return here.xreplace(start), (x - alpha * mu * b).xreplace(start)
    kept_by = (sp.Integer(1), 1 - alpha * lambda_, 1 - lambda_)
    told = (c * x - alpha * k * b for c in kept_by for k in (mu, mu**2, sp.Integer(0)))
    return next(((here, e) for e in told if e != x and same(rule, here, e)), None)


@claim("zero-gradient-what-moves", family=FAMILY, source=HERE,
       says="What moves a parameter whose gradient is zero.",
       statement="For g_t = 0, x_t = kept − r_t·β1·m_{t−1}, r_t = −∂x_t/∂m_t the rate at which the "
                 "rule takes m_t: α/((1−β1^t)·D_t), without 1−β1^t where m is not corrected; in RAdam "
                 "without D_t (or 0, where it waits) below its threshold and times its rectifier "
                 "above; clipped in AdaBound (over √t in the paper's); "
                 "αμ_{t+1}/((1−M_t·μ_{t+1})·D_t) in NAdam. Under momentum "
                 "x_t = kept − αμ·b_{t−1} (μ² for Nesterov). So what is remembered moves it, decay "
                 "multiplies it by 1−αλ (1−λ in the paper), and an L2 penalty enters the averages, or "
                 "the step where there are none.",
       hypotheses="kept: x_{t−1} after decay; an L2 penalty adds (1−β1)λx to β1·m_{t−1}, or λx to "
                  "μ·b_{t−1}; where neither is kept the step is that of λx alone. The steps are "
                  "defined.")  # fmt: skip
def zero_gradient_what_moves(rule: Rule) -> Case | None:
    """The rule's lines at g = 0, in the state before and the denominator of the step."""
    found = [_remembered(rule, r) for r in rule.regimes]
    pairs = [pair for pair in found if pair is not None]
    if len(pairs) < len(found):
        return None
    w, m, d, r = (symbol(n, "positive") for n in ("w", "m", "D", "r"))

    def excess(run: Run, p: Point) -> Interval:
        trace = run(p, [p["g1"], ZERO], ONE)
        before = {old(n).name: s[1] for n, s in trace.state.items()}
        env = {**held({**rule.fill(p), **p}, trace, 2), **before, "x": trace.x[1]}
        told = pairs[-1 if momentum else 0][1]  # RAdam is below its threshold in two steps
        return abs(trace.x[2] - value(told, env))

    momentum = first_moment(rule) is None
    return Case(
        (*(Step("g_t = 0:  x_t as the memory and the penalty have it",
                Identity(here, told, rule.domains), "the rule's own lines, with g = 0")
           for here, told in dict.fromkeys(pairs)),
         Step("w·m/(r·D) > 0 for w, m, D > 0, r = 1−β^t or 1: it vanishes only with the memory",
              Holds(gt(w * m / (r * d), 0)), "w = αβ1, αμ or the rate times β1; the same for m < 0")),
        control=Identity(pairs[-1][0], x),
        runs=Runs(excess, grid(g1="1 -2 3", alpha="1 1/2", eps="1 1/2")),
    )  # fmt: skip


@claim("none-gradient-no-update", family=FAMILY, source=FOLKLORE,
       says="A parameter without a gradient is left alone.",
       statement="Where p.grad is None a step changes neither the parameter nor what is kept for it, "
                 "though others are stepped: no momentum, no decay, no count.",
       hypotheses="grad is None, which zero_grad(set_to_none=True) makes it; a gradient of zeros is "
                  "another thing, see zero-gradient-no-update.")  # fmt: skip
def none_gradient_no_update(rule: Rule) -> Case:
    """Tried on the code, in each type, before and after steps that leave a memory."""
    return Case(trial="none-gradient")
