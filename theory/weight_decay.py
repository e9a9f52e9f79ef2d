"""Section 3: L2 in the gradient against decay of the parameter: SGD, momentum, AdamW."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .records import Case, Expr, Identity, Point, Run, Runs, Step
from .roles import Quotient, first_moment, quotient
from .rule import Rule
from .rules import named
from .sources import FOLKLORE, HERE, LH19
from .symbols import alpha, eta, g, lambda_, mu, symbol, t, x

FAMILY = "weight decay"
ONE, ZERO = Fraction(1), Fraction(0)


def _plain_l2(rule: Rule) -> bool:
    line = rule.late.new["x"]
    return not rule.initial and "lambda_" in rule.hyper and sp.diff(line, x).has(alpha)


def _momentum_l2(rule: Rule) -> bool:
    return (
        tuple(rule.initial) == ("momentum_buffer",)
        and "lambda_" in rule.hyper
        and rule.late.new["momentum_buffer"].has(lambda_)
        and "tau" not in rule.hyper
        and rule.only is not None
    )


def decayed(rule: Rule) -> Quotient | None:
    """Return the quotient of a rule that shrinks x apart from the gradient."""
    q = quotient(rule)
    return q if q is not None and q.kept != x else None


@claim("sgd-l2-equals-decay", family=FAMILY, source=LH19("Proposition 1"),
       says="For SGD, L2 and weight decay are the same.",
       statement="x' = x − α(g + λx) = (1−αλ)x − αg for every t: L2 with λ is decay by λ' = αλ.",
       hypotheses="plain SGD; α constant, or λ' following α (else λ·α_t = λ' fixes α_t).")  # fmt: skip
def sgd_l2_equals_decay(rule: Rule) -> Case | None:
    """One transition, hence every t."""
    if not _plain_l2(rule):
        return None
    line, decay = rule.late.new["x"], named("sgd+decay")
    told = decay.late.new["x"].subs(lambda_, alpha * lambda_)
    second = symbol("alpha2", "positive")

    def excess(run: Run, p: Point) -> Interval:
        gs = [p["g1"], p["g2"]]
        other = decay.run({**p, "lambda_": p["alpha"] * p["lambda_"]}, gs, ONE)
        return abs(run(p, gs, ONE).x[2] - other.x[2])

    return Case(
        (Step("x − α(g + λx) = (1−αλ)x − αg", Identity(line, told), "the same transition"),
         Step("with another rate α₂ the decay is off by λ·α₂ − λ·α = λ·(α₂ − α)",
              Identity(lambda_ * second - lambda_ * alpha, lambda_ * (second - alpha)),
              "0 for λ > 0 only if α₂ = α: hence constant α, or λ' that follows it")),
        control=Identity(line, decay.late.new["x"]),
        runs=Runs(excess, grid(g1="1 -1", g2="1 2", alpha="1 1/2", lambda_="1/2 1")),
    )  # fmt: skip


@claim("momentum-l2-equals-decay", family=FAMILY, source=FOLKLORE,
       says="With momentum too, L2 and weight decay are the same.",
       statement="Momentum SGD with L2 gives the same x_t as with decay by αλ, for every t.",
       repaired_by="momentum-l2-first-difference")  # fmt: skip
def momentum_l2_equals_decay(rule: Rule) -> Case | None:
    """They agree at t = 1, which fixes λ' = αλ, and part at t = 2."""
    if not _momentum_l2(rule) or rule.late.new["x"].has(mu):
        return None
    decay = named("sgd+momentum+decay")

    def excess(run: Run, p: Point) -> Interval:
        gs = [p["g1"], p["g2"]]
        other = decay.run({**p, "lambda_": p["alpha"] * p["lambda_"]}, gs, ONE)
        return abs(run(p, gs, ONE).x[2] - other.x[2])

    return Case(runs=Runs(excess, grid(g1="1", g2="1", alpha="1", lambda_="1 1/2", mu="1/2")))


@claim("momentum-l2-first-difference", family=FAMILY, source=HERE,
       says="Where momentum with L2 and with decay part.",
       statement="For x_0 ≠ 0 they agree at t = 1 only with λ' = αλ, and then differ by α·μ·λ·x_0 at "
                 "t = 2.",
       hypotheses="heavy ball, no dampening; α constant.")  # fmt: skip
def momentum_l2_first_difference(rule: Rule) -> Case | None:
    """Both rules unrolled."""
    if not _momentum_l2(rule) or rule.late.new["x"].has(mu):
        return None
    decay = named("sgd+momentum+decay")
    other = symbol("lambda2", "nonnegative")
    first = rule.unrolled(1)["x"] - decay.unrolled(1)["x"].subs(lambda_, other)
    second = rule.unrolled(2)["x"] - decay.unrolled(2)["x"].subs(lambda_, alpha * lambda_)

    def excess(run: Run, p: Point) -> Interval:
        gs, told = [p["g1"], p["g2"]], p["alpha"] * p["mu"] * p["lambda_"]
        there = decay.run({**p, "lambda_": p["alpha"] * p["lambda_"]}, gs, ONE).x
        here = run(p, gs, ONE).x
        return abs(here[1] - there[1]).maximum(abs(here[2] - there[2] + told))

    return Case(
        (Step("t = 1: x − x^decay = (λ' − αλ)·x_0", Identity(first, (other - alpha * lambda_) * x),
              "unrolled: 0 for x_0 ≠ 0 only if λ' = αλ"),
         Step("t = 2: x − x^decay = −α·μ·λ·x_0", Identity(second, -alpha * mu * lambda_ * x),
              "the buffer remembers the penalty; decay does not")),
        control=Identity(second, sp.Integer(0)),
        runs=Runs(excess, grid(g1="1 2", g2="1 -1", alpha="1 1/2", lambda_="1/2 1/4", mu="1/2")),
    )  # fmt: skip


@claim("frozen-preconditioner", family=FAMILY, source=LH19("Proposition 3"),
       says="For a fixed preconditioner AdamW is a rescaled L2.",
       statement="x' = kept − α·g/d equals x − α·(g + c·d·x)/d with a constant c (λ in the frameworks, "
                 "λ/α in the paper): L2 with a strength proportional to d.",
       hypotheses="D_t = d fixed in time, β1 = 0.")  # fmt: skip
def frozen_preconditioner(rule: Rule) -> Case | None:
    """The rule's own kept part, with D frozen."""
    q = decayed(rule)
    if q is None:
        return None
    d = symbol("d", "positive")
    domains = {"d": "positive"}
    factor = q.kept.xreplace({x: sp.Integer(1)})
    if factor.free_symbols - {alpha, lambda_}:
        return None
    strength = (1 - factor) / alpha
    left = q.kept - alpha * g / d
    return Case(
        (Step("kept − α·g/d = x − α·(g + c·d·x)/d",
              Identity(left, x - alpha * (g + strength * d * x) / d, domains), "collect x"),
         Step(f"kept = ({factor})·x, so c = {strength} depends on α and λ alone",
              Identity(q.kept, factor * x), "an L2 penalty c·d·x²/2, scaled by d")),
        control=Identity(left, x - alpha * (g + strength * x) / d, domains),
    )  # fmt: skip


@claim("adamw-uniform-decay", family=FAMILY, source=LH19("section 2"),
       says="AdamW shrinks every parameter by the same factor.",
       statement="x' = factor·x − α m̂/D with a factor (1−αλ in the frameworks, 1−λ in the paper) "
                 "that does not depend on gradients or state.",
       hypotheses="schedule multiplier 1.")  # fmt: skip
def adamw_uniform_decay(rule: Rule) -> Case | None:
    """The part of x' without m, and the part with it."""
    q = decayed(rule)
    if q is None or rule.only is None:
        return None
    factor = q.kept.xreplace({x: sp.Integer(1)})
    if factor.free_symbols - {alpha, lambda_}:
        return None
    moved = rule.transition()["x"] - q.kept
    if moved.has(x):
        return None
    return Case(
        (Step(f"kept = ({factor})·x", Identity(q.kept, factor * x), "linear in x; no g, no state"),
         Step("the rest of x', written out in the old state, does not speak of x",
              Identity(moved.subs(x, 2 * x), moved), "the same for every x")),
        control=Identity(q.kept, x - alpha * lambda_ * x / q.denominator),
    )  # fmt: skip


@claim("adamw-lr-coupling", family=FAMILY, source=LH19("Algorithm 2"),
       says="Weight decay in AdamW is decoupled from the learning rate.",
       statement="While all gradients are zero, x_t does not depend on α.",
       hypotheses="ε > 0 (0/0 otherwise); the schedule multiplier η_t is 1.",
       repaired_by="adamw-lambda-conversion")  # fmt: skip
def adamw_lr_coupling(rule: Rule) -> Case | None:
    """True for the paper's rule; the frameworks multiply λ by the rate."""
    q, m = decayed(rule), first_moment(rule)
    if q is None or m is None:
        return None
    other = symbol("alpha2", "positive")

    def excess(run: Run, p: Point) -> Interval:
        one, two = (run({**p, "alpha": a}, [ZERO], ONE).x[1] for a in (ONE, ONE / 2))
        return abs(one - two)

    return Case(
        (Step("without gradients m_t = β1·m_(t−1), and stays 0",
              Identity(rule.late.new[m.name].subs(g, 0), m.beta * m.old), "from m_0 = 0: x_t is kept"),
         Step("what is kept is the same with any other rate α₂",
              Identity(q.kept.subs(alpha, other), q.kept), "it does not speak of α")),
        control=Identity(q.kept, x),
        runs=Runs(excess, grid(lambda_="1/2", eps="1")),
    )  # fmt: skip


def _scheduled(rule: Rule, q: Quotient) -> tuple[Expr, dict[Expr, Expr]]:
    """Return the line of x with η_t over the whole update, and the options that make the code run it."""
    line = rule.late.new["x"]
    options = {alpha: eta * alpha} if q.kept.has(alpha) else {alpha: eta * alpha, lambda_: eta * lambda_}
    return x + eta * (line - x), options


@claim("adamw-schedule-decoupled", family=FAMILY, source=LH19("Algorithm 2, line 12"),
       says="A learning-rate schedule leaves the weight decay of AdamW alone.",
       statement="While all gradients are zero, x_t does not depend on the schedule multiplier η_t.",
       hypotheses="η_t as in Algorithm 2; ε > 0 (0/0 otherwise).",
       repaired_by="adamw-schedule-exact")  # fmt: skip
def adamw_schedule_decoupled(rule: Rule) -> Case | None:
    """Halve η: the decay is halved with the step."""
    q = decayed(rule)
    if q is None or q.kept.free_symbols - {alpha, lambda_, x}:
        return None
    names = [s.name for s in _scheduled(rule, q)[1]]

    def excess(run: Run, p: Point) -> Interval:
        half = {**p, **{n: p[n] / 2 for n in names}}
        return abs(run(p, [ZERO], ONE).x[1] - run(half, [ZERO], ONE).x[1])

    return Case(runs=Runs(excess, grid(lambda_="1/2", alpha="1", eps="1")))


@claim("adamw-schedule-exact", family=FAMILY, source=LH19("Algorithm 2, line 12"),
       says="What a schedule does to the weight decay of AdamW.",
       statement="With the multiplier of Algorithm 2, x_t = x_{t−1} − η_t·(α·m̂_t/D_t + s·x_{t−1}), "
                 "the decay is η_t·s, s = λ in the paper and αλ in the frameworks: what shrinks the "
                 "rate shrinks the decay. It is the code at rate η_t·α where s = αλ; where s = λ the "
                 "code needs η_t·λ too, and a scheduler that sets the rate alone runs another rule.",
       hypotheses="η_t ≥ 0; D_t does not depend on α and λ.")  # fmt: skip
def adamw_schedule_exact(rule: Rule) -> Case | None:
    """Multiply the whole update, and compare with the rule at other options."""
    q = decayed(rule)
    if q is None or q.kept.free_symbols - {alpha, lambda_, x}:
        return None
    line, (whole, options) = rule.late.new["x"], _scheduled(rule, q)
    names, s = [o.name for o in options], 1 - q.kept.xreplace({x: sp.Integer(1)})
    near = {alpha: eta * alpha} if lambda_ in options else {alpha: eta * alpha, lambda_: eta * lambda_}
    other = symbol("eta2", "nonnegative")

    def excess(run: Run, p: Point) -> Interval:
        rate = p["lambda_"] * (ONE if lambda_ in options else p["alpha"])
        at = {**p, **{n: p[n] * p["eta"] for n in names}}
        return abs(run(at, [ZERO, ZERO], ONE).x[2] - (1 - p["eta"] * rate) ** 2)

    return Case(
        (Step("the multiplied update is the rule at multiplied options",
              Identity(whole, line.subs(options, simultaneous=True)), "one transition, hence every t"),
         Step("what is kept is (1 − η·s)·x", Identity(x + eta * (q.kept - x), (1 - eta * s) * x),
              "without gradients x_t = x_0·Π(1 − η_i·s)"),
         Step("with η₂ for η it differs by (η − η₂)·s·x",
              Identity(x + other * (q.kept - x) - (x + eta * (q.kept - x)), (eta - other) * s * x),
              "not 0 for η₂ ≠ η, λ > 0 and x ≠ 0")),
        control=Identity(whole, line.subs(near, simultaneous=True)),
        runs=Runs(excess, grid(alpha="1 1/2", lambda_="1/2 1/4", eta="1/2 1/4", eps="1")),
    )  # fmt: skip


@claim("adamw-lambda-conversion", family=FAMILY, source=HERE,
       says="How the two λ of AdamW convert.",
       statement="The frameworks' factor 1−αλ is the paper's 1−λ with λ_paper = α·λ_code.",
       hypotheses="constant α; of a schedule: adamw-schedule-exact.")  # fmt: skip
def adamw_lambda_conversion(rule: Rule) -> Case | None:
    """Substitute λ/α into the coupled form."""
    q = decayed(rule)
    if q is None or not q.kept.has(alpha):
        return None
    paper = (1 - lambda_) * x
    return Case(
        (
            Step(
                "(1−α·(λ/α))·x = (1−λ)·x",
                Identity(q.kept.subs(lambda_, lambda_ / alpha), paper),
                "λ_code = λ_paper/α",
            ),
        ),
        control=Identity(q.kept, paper),
    )


@claim("adamw-order", family=FAMILY, source=FOLKLORE,
       says="Decay before or after the adaptive step makes no difference.",
       statement="f·x − αu = (x − αu) − (1−f)·x, f = 1−αλ (1−λ in the paper), when the decay is taken "
                 "from x_{t−1} both times. Decaying the moved parameter instead leaves (1−f)·αu more.",
       hypotheses="exact arithmetic; u does not depend on x.")  # fmt: skip
def adamw_order(rule: Rule) -> Case | None:
    """The lifted line against both orders."""
    q, m = decayed(rule), first_moment(rule)
    if q is None or m is None or rule.only is None:
        return None
    u = symbol("u")
    factor = q.kept.xreplace({x: sp.Integer(1)})
    step = alpha * m.new * (1 / (1 - m.beta**t) if q.corrected else 1) / q.denominator
    line = rule.only.new["x"]
    return Case(
        (Step("the rule is (decayed x) − step", Identity(line, factor * x - step), "before"),
         Step("and (x − step) − decay of x_(t−1)", Identity(line, (x - step) - (x - factor * x)),
              "after"),
         Step("decaying the moved x instead leaves (1−f)·αu more",
              Identity(factor * (x - alpha * u) - (factor * x - alpha * u), (1 - factor) * alpha * u),
              "the order that is not the same")),
        control=Identity(factor * (x - alpha * u), factor * x - alpha * u),
    )  # fmt: skip
