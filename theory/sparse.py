"""Section 2, a gradient that comes once every k steps, and what Adam does in between."""

from __future__ import annotations

import sympy as sp

from .catalogue import claim, grid
from .interval import Interval
from .lemmas import power_vanishes
from .records import Case, Expr, Ground, Holds, Identity, Point, Run, Runs, Step
from .roles import Quotient, first_moment, second_moment
from .rule import Rule
from .sources import HERE, KB15
from .step_size import ZERO, adam_like, is_adams
from .symbols import alpha, beta1, beta2, eps, g, ge, gt, symbol, t

FAMILY = "step size"
#: The defaults of Kingma & Ba (2015).
B1, B2 = sp.Rational(9, 10), sp.Rational(999, 1000)
#: X = β1^(nk), P = β2^(nk) at the n-th gradient; K1, K2 = β1^k, β2^k; J1, J2 = β1^j, β2^j.
X, P = symbol("X", "unit"), symbol("P", "unit")
K1, K2 = symbol("K1", "unit"), symbol("K2", "unit")
J1, J2 = symbol("J1", "unit"), symbol("J2", "unit")
UNITS = dict.fromkeys(("X", "P", "K1", "K2", "J1", "J2"), "unit")


def shifted(*units: Expr) -> dict[Expr, Expr]:
    """Return the substitution that writes numbers of [0, 1) as z/(1+z), z ≥ 0."""
    free = [symbol(f"z_{u}", "nonnegative") for u in units]
    return {u: z / (1 + z) for u, z in zip(units, free, strict=True)}


def plain_adam(rule: Rule) -> Quotient | None:
    """Return the quotient of a rule x' = kept − α m̂/(√v̂ + ε)."""
    q = adam_like(rule)
    return q if q and is_adams(rule, q) and sp.diff(q.denominator, eps) == 1 else None


def _held() -> tuple[Expr, Expr]:
    """Return m and v at the n-th gradient g, n − 1 periods after the first."""
    m = (1 - beta1) * g * (1 - X) / (1 - K1)
    return m, (1 - beta2) * g**2 * (1 - P) / (1 - K2)


def _period(rule: Rule) -> tuple[Step, ...]:
    """M and v at every multiple of k, by induction over periods, from the rule's own lines."""
    m, v = first_moment(rule), second_moment(rule)
    assert m is not None
    assert v is not None
    k, held = symbol("k", "natural"), _held()
    steps = []
    for a, big, power, b, told in ((m, K1, X, beta1, held[0]), (v, K2, P, beta2, held[1])):
        line, kept, fed = rule.late.new[a.name], symbol("kept"), (1 - b) * a.input
        steps += [
            Step(f"{a.name}: k−1 zero gradients and then g make β^k·old + (1−β)·{a.input}",
                 Identity(line.xreplace({a.old: b ** (k - 1) * kept}), b**k * kept + fed,
                          {"k": "natural"}), f"the rule's own line, β = {b}"),
            Step("and each period turns β^(nk) into β^((n+1)k)",
                 Identity(big * told + fed, told.xreplace({power: power * big}), UNITS),
                 f"induction on n, from 0 at n = 0 (power 1): {a.name} = {told} at step nk"),
        ]  # fmt: skip
    return tuple(steps)


def _move(rule: Rule, q: Quotient, m: Expr, v: Expr, x1: Expr, p2: Expr) -> Expr:
    """Return x' − kept with those moments and β1^t = x1, β2^t = p2."""
    first, second = first_moment(rule), second_moment(rule)
    assert first is not None
    assert second is not None
    line = (rule.late.new["x"] - q.kept).subs({beta1**t: x1, beta2**t: p2})
    return line.xreplace({first.new: m, second.new: v})


def event(e: Expr = eps) -> Expr:
    """Return x_t − x_{t−1} at a gradient g that comes once every k steps."""
    a = (1 - beta1) / (1 - K1)
    b = sp.sqrt(1 - beta2) / sp.sqrt(1 - K2)
    return -alpha * a * g / (b * sp.Abs(g) + e)


def _drift(rule: Rule, q: Quotient) -> tuple[Step, ...]:
    """The steps after a gradient, while the gradient is zero."""
    m, v = _held()
    kept = [a for a in (first_moment(rule), second_moment(rule)) if a is not None]
    here = _move(rule, q, m, v, X, P).subs(eps, 0)
    later = _move(rule, q, J1 * m, J2 * v, X * J1, P * J2).subs(eps, 0)
    one, two = ((1 - X) / (1 - X * J1)) ** 2, (1 - P * J2) / (1 - P)
    rho, r = symbol("ρ", "nonnegative"), symbol("R", "nonnegative")
    signs = {"ρ": "nonnegative", "R": "nonnegative"}
    return (
        *(Step(f"a zero gradient multiplies {a.name} by {a.beta}",
               Identity(rule.late.new[a.name].subs(g, 0), a.beta * a.old), "the rule's own line")
          for a in kept),
        Step("as ε → 0: j silent steps later the step's square is (β1²/β2)^j·((1−X)/(1−X·J1))²·"
             "(1−P·J2)/(1−P) times that at the gradient",
             Identity(later**2, here**2 * (J1**2 / J2 * one * two), UNITS),
             "J1 = β1^j, J2 = β2^j; m and v do not see ε, and v > 0, so ε = 0 may be put in"),
        Step("((1−X)/(1−X·J1))² ≥ (1−X)²", Holds(ge(one, (1 - X) ** 2), (), UNITS, shifted(X, J1)),
             "X = β1^(nk) → 0 in n"),
        Step("and at most 1: 1−X·J1 ≥ 1−X", Holds(ge(1 - X * J1, 1 - X), (), UNITS, shifted(X, J1)),
             "so it tends to 1"),
        Step("1 ≤ (1−P·J2)/(1−P)", Holds(ge(two, 1), (), UNITS, shifted(P, J2)), "P = β2^(nk) → 0"),
        Step("and at most 1/(1−P)", Holds(ge(1 / (1 - P), two), (), UNITS, shifted(P, J2)),
             "so it tends to 1"),
        Step("so the drift is geometric with ρ = β1/√β2 in the limit; over a period it adds up to "
             "(1−ρ^k)/(1−ρ) times the step at the gradient",
             Identity(1 + rho * (1 - r) / (1 - rho), (1 - rho * r) / (1 - rho), signs),
             "R = ρ^k; induction on k, k = 1 gives 1; for ρ = 1 it is k"),
    )  # fmt: skip


def _defaults() -> tuple[Step, ...]:
    """The two limits at the default betas, between whole numbers that are computed."""
    square = (1 - B1) ** 2 / (1 - B2)
    walk = sp.sqrt(square) / (1 - B1 / sp.sqrt(B2))
    low, less = int(sp.floor(sp.sqrt(square))), int(sp.floor(walk))
    return (
        Step(f"at the default betas, as ε → 0, the step tends to at least {low}·α",
             Ground(ge(square, low**2)), "β = (0.9, 0.999); squares"),
        Step(f"and to less than {low + 1}·α", Ground(gt((low + 1) ** 2, square)), "squares"),
        Step(f"while a whole period with its drift tends to more than {less}·α",
             Ground(gt(walk, less)), "the step over 1−ρ"),
        Step(f"and less than {less + 1}·α", Ground(gt(less + 1, walk)), "whatever g is"),
    )  # fmt: skip


def _limit() -> tuple[Step, ...]:
    """What the step tends to in k, at every ε > 0, and what its size tends to with ε."""
    a, b, h, r = (symbol(n, "positive") for n in "abhr")
    s, domains = symbol("s", "nonnegative"), {**UNITS, **dict.fromkeys("abhr", "positive")}
    domains |= {"eps": "positive", "s": "nonnegative"}
    short = {r: 1 / (1 + s), **shifted(K1)}
    root = sp.sqrt(1 - K2)
    limit = a * h / (b * h + eps)
    step = a / (1 - K1) * h / (b * h / r + eps)
    return (
        *power_vanishes(),
        Step("r := √(1−K2) has 1−K2 = r² ≤ r ≤ 1: r² = 1−K2", Identity(root**2, 1 - K2, UNITS),
             "K1 = β1^k, K2 = β2^k → 0"),
        Step("the step is at most 1/(1−K1) times α·a'|g|/(b'|g|+ε), a' = 1−β1, b' = √(1−β2)",
             Holds(ge(limit / (1 - K1), step), (ge(1, r),), domains, short),
             "a' = a, b' = b, |g| = h here"),
        Step("and at least r times that", Holds(ge(step, r * limit), (ge(1, r),), domains, short),
             "so it tends to −α(1−β1)g/(√(1−β2)|g|+ε) in k"),
        Step("b|g|/(b|g|+ε) = 1 − ε/(b|g|+ε)", Identity(b * h / (b * h + eps), 1 - eps / (b * h + eps),
             domains), "so as ε → 0 the size of the step tends to α·a/b"),
    )  # fmt: skip


@claim("sparse-gradient-step", family=FAMILY, source=KB15("section 2.1, on sparsity"),
       says="Adam handles rare gradients well: it takes larger steps for them.",
       statement="A gradient that comes once every k steps moves x, when it comes, by at least as much "
                 "as the same gradient at every step would.",
       repaired_by="sparse-gradient-exact")  # fmt: skip
def sparse_gradient_step(rule: Rule) -> Case | None:
    """At k = 2 the average of the gradient has halved more than the root of that of its square."""
    if plain_adam(rule) is None:
        return None

    def excess(run: Run, p: Point) -> Interval:
        dense, sparse = (run(p, [first, p["g1"]], ZERO).x for first in (p["g1"], ZERO))
        return abs(dense[2] - dense[1]) - abs(sparse[2] - sparse[1])

    return Case(runs=Runs(excess, grid(g1="1 2", beta1="1/2 3/4", beta2="3/4 1/2", eps="1 1/2",
                                       alpha="1", lambda_="0")))  # fmt: skip


@claim("sparse-gradient-exact", family=FAMILY, source=HERE,
       says="What Adam does with a rare gradient.",
       statement="A gradient g at steps k, 2k, …, else 0, moves x at each of them by "
                 "−α·a·g/(b·|g|+ε), a = (1−β1)/(1−β1^k), b = √(1−β2)/√(1−β2^k), which tends to "
                 "−α(1−β1)g/(√(1−β2)|g|+ε) in k. As ε → 0 its size tends to α·a/b, which is below α iff "
                 "(1−β1)²(1−β2^k) < (1−β1^k)²(1−β2); and x drifts on, in late periods by (β1/√β2)^j of "
                 "it j steps later.",
       hypotheses="ε > 0 (at ε = 0 the steps before the first gradient are 0/0); 0 < β1, β2 < 1; g ≠ 0, "
                  "the same each time; decay aside.")  # fmt: skip
def sparse_gradient_exact(rule: Rule) -> Case | None:
    """Both corrections cancel against the start, so the step is the same at every period."""
    q = plain_adam(rule)
    if q is None:
        return None
    m, v = _held()
    square = (event(sp.Integer(0)) / alpha) ** 2
    u, w, s = (symbol(n, "positive") for n in "uws")
    d, signs = symbol("d", "nonnegative"), dict.fromkeys("uws", "positive")

    def excess(run: Run, p: Point) -> Interval:
        x = run(p, [ZERO, ZERO, p["g1"]] * 2, ZERO).x
        a = (1 - p["beta1"]) / (1 - p["beta1"] ** 3)
        b = Interval.of((1 - p["beta2"]) / (1 - p["beta2"] ** 3)).sqrt()
        told = p["alpha"] * a * p["g1"] / (b * abs(p["g1"]) + p["eps"])
        return abs(x[3] - x[2] + told).maximum(abs(x[6] - x[5] + told))

    return Case(
        (*_period(rule),
         Step("so the step at the n-th gradient is −α·a·g/(b·|g|+ε), whatever n",
              Identity(_move(rule, q, m, v, X, P), event(), UNITS), "1−β1^(nk) and 1−β2^(nk) cancel"),
         Step("as ε → 0: the square of the step over α² is (1−β1)²(1−β2^k)/((1−β1^k)²(1−β2))",
              Identity(square, (1 - beta1) ** 2 * (1 - K2) / ((1 - K1) ** 2 * (1 - beta2)), UNITS),
              "(a/b)²"),
         Step("u/w < 1 if u < w", Holds(gt(1, u / w), (gt(w, u),), signs, {w: u + s}),
              "as ε → 0 the square of the step tends to α²·u/w, u and w the sides of the condition"),
         Step("u/w ≥ 1 if u ≥ w", Holds(ge(u / w, 1), (ge(u, w),), signs, {u: w + d}), "only then"),
         Step("at k = 2 it is (1+β2)/(1+β1)²",
              Identity(square.xreplace({K1: beta1**2, K2: beta2**2}), (1 + beta2) / (1 + beta1) ** 2),
              "K1 = β1², K2 = β2²"),
         Step("which is below 1 at the default betas", Ground(gt((1 + B1) ** 2, 1 + B2)), "smaller"),
         *_limit(), *_drift(rule, q), *_defaults()),
        control=Identity(square, (1 - beta1) ** 2 / (1 - beta2), UNITS),
        runs=Runs(excess, grid(g1="1 2 -1", beta1="1/2 1/4", beta2="3/4 1/2", eps="1 1/2", alpha="1",
                               lambda_="0")),
    )  # fmt: skip
