"""Section 2, the scale of the gradient: what it does to a step, and where epsilon stands."""

from __future__ import annotations

from functools import cache

import sympy as sp

from .catalogue import claim, grid
from .identity import Budget, Checker, Unsupported
from .interval import Interval
from .records import Case, Expr, Holds, Identity, Point, Run, Runs, Step
from .roles import Quotient, first_moment, same, second_moment
from .rule import Rule
from .rules import named
from .sources import HERE, KB15
from .step_size import ZERO, adam_like, root_of
from .symbols import beta2, eps, g, ge, gt, new, old, symbol, t, x

FAMILY = "step size"


def _scaling(rule: Rule, degrees: dict[str, int]) -> dict[Expr, Expr]:
    """Return the substitution that scales g and ε by c, and each state entry by its power of c."""
    c = symbol("c", "positive")
    up: dict[Expr, Expr] = {g: c * g, eps: c * eps}
    for n, d in degrees.items():
        up |= {old(n): c**d * old(n), new(n): c**d * new(n)}
    return up


def _scaled(rule: Rule, line: Expr, degrees: dict[str, int], power: int) -> bool:
    """Whether a line scales by c^power."""
    c = symbol("c", "positive")
    try:
        moved = line.subs(_scaling(rule, degrees), simultaneous=True)
        return Checker({**rule.all_domains, "c": "positive"}).is_zero(moved - c**power * line)
    except (Unsupported, Budget):
        return False


@cache
def _degrees(rule: Rule) -> dict[str, int] | None:
    """Return how each state entry scales with the gradient (0, 1 or 2), or None if one does not."""
    if rule.only is None or any(e.has(x) for n, e in rule.late.new.items() if n != "x"):
        return None
    found: dict[str, int] = {}
    for name, line in rule.only.new.items():
        if name == "x":
            continue
        fits = [d for d in (1, 2, 0) if _scaled(rule, line, {**found, name: d}, d)]
        if not fits:
            return None
        found[name] = fits[0]
    return found


@claim("scale-invariance", family=FAMILY, source=KB15("section 2.1"),
       says="Adam ignores the scale of the gradient.",
       statement="Multiplying every gradient by c > 0 leaves every x_t unchanged, for every ε ≥ 0.",
       repaired_by="scale-invariance-eps")  # fmt: skip
def scale_invariance(rule: Rule) -> Case | None:
    """Two runs, one with doubled gradients."""
    if second_moment(rule) is None or rule.only is None or _degrees(rule) is None:
        return None

    def excess(run: Run, p: Point) -> Interval:
        one, two = run(p, [p["g1"]], ZERO), run(p, [2 * p["g1"]], ZERO)
        return abs(one.x[1] - two.x[1])

    return Case(runs=Runs(excess, grid(g1="1 2", eps="0 1", alpha="1")))


@claim("scale-invariance-eps", family=FAMILY, source=KB15("section 2.1"),
       says="What the scale of the gradient does.",
       statement="Scaling every gradient and ε by c leaves every x_t unchanged; so x_t depends on the "
                 "scale only through ε/c, and not at all at ε = 0.",
       hypotheses="c > 0; no L2 penalty.")  # fmt: skip
def scale_invariance_eps(rule: Rule) -> Case | None:
    """Induction on the transition: m scales by c, v by c², and x' − x not at all."""
    degrees = _degrees(rule)
    if second_moment(rule) is None or degrees is None or rule.only is None:
        return None
    if "eps" not in rule.hyper or not _scaled(rule, rule.only.new["x"] - x, degrees, 0):
        return None
    c, domains, up, lines = symbol("c", "positive"), {"c": "positive"}, _scaling(rule, degrees), (
        rule.only.new
    )  # fmt: skip
    steps = [
        Step(f"{n} scales by c^{d}",
             Identity(lines[n].subs(up, simultaneous=True), c**d * lines[n], domains),
             "induction: zero start, then each step") for n, d in degrees.items()
    ]  # fmt: skip
    moved = lines["x"].subs(up, simultaneous=True)
    steps.append(Step("x moves the same", Identity(moved, lines["x"], domains), "the factors c cancel"))
    whole = rule.transition()["x"]
    plain = whole.subs({k: v for k, v in up.items() if k != eps}, simultaneous=True)

    def excess(run: Run, p: Point) -> Interval:
        gradients = [p["g1"], p["g2"]]
        one = run(p, gradients, ZERO)
        two = run({**p, "eps": 3 * p["eps"]}, [3 * k for k in gradients], ZERO)
        return abs(one.x[2] - two.x[2])

    return Case(tuple(steps), control=Identity(plain, whole, domains),
                runs=Runs(excess, grid(g1="1 2", g2="1 -1", eps="1 1/2")))  # fmt: skip


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
