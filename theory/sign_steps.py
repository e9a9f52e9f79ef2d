"""Rules that move by the sign of a direction, signSGD, Signum and Lion: how far, and into which box."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import sympy as sp

from .catalogue import claim, grid
from .evaluate import value
from .interval import Interval
from .records import Case, Expr, Holds, Identity, Point, Run, Runs, Step, Trace
from .roles import same
from .rule import Rule
from .sources import B18, CL23, HERE
from .symbols import alpha, ge, lambda_, symbol, x

ONE, ZERO = Fraction(1), Fraction(0)


@dataclass(frozen=True)
class SignMove:
    """x' = (1 − s)·x − α·sign(direction).

    Attributes:
        direction: what the sign is taken of; it does not speak of x beyond an L2 penalty.
        shrinks: s, which is αλ, λ or 0.
    """

    direction: Expr
    shrinks: Expr

    @property
    def kept(self) -> Expr:
        """What becomes of x where the direction is 0."""
        return (1 - self.shrinks) * x


@cache
def sign_move(rule: Rule) -> SignMove | None:
    """Recognise such a rule by the line of its parameter."""
    line = rule.late.new["x"]
    signs = line.atoms(sp.sign)
    if rule.only is None or len(signs) != 1:
        return None
    (turn,) = signs
    for s in (sp.Integer(0), alpha * lambda_, lambda_):
        if same(rule, line, (1 - s) * x - alpha * turn):
            return SignMove(turn.args[0], s)
    return None


def _moves(trace: Trace, found: SignMove, filled: dict[str, Fraction]) -> list[Interval]:
    """Return |x_t − (1−s)·x_(t−1)| for every step of a run."""
    kept = value(1 - found.shrinks, filled)
    return [abs(b - kept * a) for a, b in zip(trace.x[:-1], trace.x[1:], strict=True)]


def _unit() -> tuple[Step, ...]:
    """A sign is −1, 0 or 1, and 0 at 0 alone."""
    y = symbol("y")
    size = sp.Abs(sp.sign(y))
    return (
        Step("|sign(y)| ≤ 1", Holds(ge(1, size)), "−1, 0 or 1: so |x_t − kept| ≤ α"),
        Step("and it is 1 unless y = 0", Holds(ge(size, 1), (sp.Ne(y, 0),)),
             "α exactly wherever the direction is not 0"),
        Step("sign(0) = 0", Identity(sp.sign(y - y), sp.Integer(0)), "as torch and NumPy have it"),
    )  # fmt: skip


@claim("sign-step-is-lr", family="step size", source=B18("Algorithm 1"),
       says="Sign descent moves every parameter by exactly the learning rate.",
       statement="|x_t − x_{t−1}| = α in every step.",
       repaired_by="sign-step-exact")  # fmt: skip
def sign_step_is_lr(rule: Rule) -> Case | None:
    """A direction of 0 moves nothing; decay moves too."""
    if sign_move(rule) is None:
        return None

    def excess(run: Run, p: Point) -> Interval:
        places = run(p, [p["g1"]], ONE).x
        return abs(abs(places[1] - places[0]) - p["alpha"])

    return Case(runs=Runs(excess, grid(g1="1 0 -1/4", lambda_="1/4", alpha="1 1/2")))


@claim("sign-step-exact", family="step size", source=HERE,
       says="How far sign descent and Lion move a parameter.",
       statement="x_t = (1−s)·x_{t−1} − α·sign(d_t), d_t = g_t, the average m_t, or in Lion "
                 "β1·m_{t−1} + (1−β1)·g_t: without decay (s = 0) every step is α long, but for d_t = 0, "
                 "where it is 0, for every gradient sequence; it never is longer.",
       hypotheses="sign(0) = 0; s = αλ in the frameworks and in Lion's paper, s = λ where decay is not "
                  "coupled; with L2 g_t is what enters.")  # fmt: skip
def sign_step_exact(rule: Rule) -> Case | None:
    """The rule's own line."""
    found = sign_move(rule)
    if found is None:
        return None
    line, turn = rule.late.new["x"], sp.sign(found.direction)
    y = symbol("y")

    def excess(run: Run, p: Point) -> Interval:
        trace, rate = run(p, [p["g1"], p["g2"]], ONE), p["alpha"]
        gaps = [abs(m * (m - rate)) for m in _moves(trace, found, rule.fill(p))]  # 0 or α
        return max(gaps, key=lambda gap: gap.lo)

    return Case(
        (Step(f"x' = (1−s)·x − α·{turn}", Identity(line, found.kept - alpha * turn),
              f"the rule's own line, s = {found.shrinks}"), *_unit()),
        control=Holds(ge(sp.Abs(sp.sign(y)), 1)),
        runs=Runs(excess, grid(g1="1 -2 0", g2="1 -1 1/2", alpha="1 1/2", lambda_="1/4 1/2")),
    )  # fmt: skip


@claim("sign-box", family="weight decay", source=CL23("on the constraint |x| ≤ 1/λ"),
       says="Lion keeps parameters inside the box |x| ≤ 1/λ.",
       statement="|x_t| ≤ max(|x_0|, α/s) for every t and every gradient sequence, s = αλ in Lion's "
                 "paper and the frameworks, so that α/s = 1/λ, s = λ where decay is not coupled. "
                 "Outside of the box |x_t| − α/s shrinks by the factor 1−s or faster. The edge is "
                 "kept: x = α/s stays there while the direction is negative.",
       hypotheses="0 < s ≤ 1; α and λ constant.")  # fmt: skip
def sign_box(rule: Rule) -> Case | None:
    """A convex combination of x and an end of the box; without R ≤ M it is none, by the control."""
    found = sign_move(rule)
    if found is None or found.shrinks == 0:
        return None
    s, line, y = found.shrinks, rule.late.new["x"], symbol("y")
    a, big, edge = symbol("a", "unit"), symbol("M", "nonnegative"), symbol("R", "positive")
    domains = {"a": "unit", "M": "nonnegative", "R": "positive"}
    moved = a * x - (1 - a) * edge * sp.sign(y)
    inside = (ge(big, x), ge(big, -x), ge(big, edge))

    def excess(run: Run, p: Point) -> Interval:
        rate = value(s, rule.fill(p)).lo
        if rate > 1:
            return Interval.of(0)
        places = run(p, [p["g1"], p["g2"], p["g3"]], p["x"]).x
        largest = abs(places[1]).maximum(abs(places[2])).maximum(abs(places[3]))
        return largest - max(abs(p["x"]), p["alpha"] / rate)

    return Case(
        (Step("x' = (1−s)·x − α·sign(d)",
              Identity(line, found.kept - alpha * sp.sign(found.direction)), "the rule's own line"),
         Step("with a = 1−s and R = α/s: (1−s)·x − α·sign(d) = a·x − (1−a)·R·sign(d)",
              Identity((1 - s) * x - alpha * sp.sign(y),
                       moved.subs({a: 1 - s, edge: alpha / s}, simultaneous=True)),
              "α = s·R; 0 ≤ a < 1 as 0 < s ≤ 1"),
         Step("−M ≤ x ≤ M and R ≤ M give a·x − (1−a)·R·sign(d) ≤ M",
              Holds(ge(big, moved), inside, domains), "M = max(|x_0|, R); induction"),
         Step("and ≥ −M", Holds(ge(moved, -big), inside, domains), "the same with −x and −d"),
         Step("in either direction |a·x − (1−a)·R·sign(d)| ≤ R + a·(|x| − R)",
              Holds(ge(edge + a * (sp.Abs(x) - edge), sp.Abs(moved)), (), domains),
              "what is outside shrinks by a"),
         Step("at x = R with sign(d) = −1: a·R + (1−a)·R = R",
              Identity(a * edge + (1 - a) * edge, edge, domains), "reached, and kept")),
        control=Holds(ge(big, moved), inside[:2], domains),
        runs=Runs(excess, grid(g1="1 -1", g2="1 2", g3="1 -4", x="1 3 1/2 -2", lambda_="1 1/2",
                               alpha="1 1/2")),
    )  # fmt: skip
