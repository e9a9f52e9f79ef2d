"""Section 6, the two-cycle: a constant rate that swings between X and −X for ever.

At t → ∞, on c·x²/2, the state (x, m, v) goes to (−x, −m, v) and back.  Every rule whose denominator
is |g| + ε there has it, at the edge of its frozen form: c/D = h*.  Whether nearby runs are drawn to
it is decided by a cubic, which for Adam factors almost completely.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import sympy as sp

from .amsgrad import maximum
from .catalogue import claim, grid
from .evaluate import value
from .identity import Budget, Checker, Unsupported
from .interval import Interval
from .jury import cubic
from .oscillator import Oscillator, c, d, oscillator
from .records import Case, Expr, Ground, Holds, Identity, Point, Run, Runs, Step
from .roles import first_moment, second_moment
from .rule import Rule
from .sources import BW22
from .step_size import adam_like
from .symbols import alpha, beta1, beta2, eps, eq, g, ge, gt, new, old, symbol, x

FAMILY = "stability"
ZERO = Fraction(0)
#: Half the swing; cX/D on the cycle, which is 1 at ε = 0.
X, theta = symbol("X", "positive"), symbol("theta", "positive")


@dataclass(frozen=True)
class Cycle:
    """A two-cycle (x, b, v) → (−x, −b, v) of a rule's late lines.

    Attributes:
        o: the rule's frozen recurrence.
        edge: 1/h*, the D/c at which the frozen rule swings from X to −X.
        values: state entry -> its value at x = X, before the step, with d for D.
    """

    o: Oscillator
    edge: Expr
    values: dict[str, Expr]

    @property
    def domains(self) -> dict[str, str]:
        """Domains of every symbol in it."""
        return {**self.o.domains, "X": "positive"}

    def after(self, name: str) -> Expr:
        """Return what the entry must be after the step: the buffer turns over, as x does."""
        told = X if name == "x" else self.values[name]
        return -told if name in ("x", self.o.buffer) else told

    def on(self, e: Expr) -> Expr:
        """Return a formula of the rule on the cycle at x = X; ε is c·(1/h* − X)."""
        state = {old(n): e for n, e in self.values.items()}
        state |= {new(n): self.after(n) for n in self.values}
        there = e.xreplace({x: X, g: c * X, **state})
        return there.xreplace({d: c * self.edge, eps: c * (self.edge - X)})

    def same(self, a: Expr, b: Expr) -> bool:
        """Return whether the two agree on the cycle."""
        try:
            return Checker(self.domains).is_zero(self.on(a) - self.on(b))
        except (Unsupported, Budget):
            return False


@cache
def cycle(rule: Rule) -> Cycle | None:
    """Return the rule's two-cycle, if its denominator there is cX + ε."""
    o = oscillator(rule)
    if o is None or o.denominator == 1:
        return None
    found = Cycle(o, d / o.threshold, {})
    for n in (m for m in o.late if m != "x"):
        if n == o.buffer:
            b, line = old(n), o.frozen[n].xreplace({g: c * X, x: X})
            fits = [-line.subs(b, 0) / (1 + sp.diff(line, b))]
        else:
            fits = [(c * X) ** 2, c * X + eps]
            fits = [e for e in fits if found.same(_stays(found, n, e), e)]
        if not fits:
            return None
        found.values[n] = fits[0]
    return found if found.same(o.denominator, c * X + eps) else None


def _stays(found: Cycle, name: str, e: Expr) -> Expr:
    return found.o.late[name].xreplace({old(name): e, new(name): e})


def on_the_cycle(found: Cycle) -> tuple[Step, ...]:
    """The rule's lines lead from one end of the cycle to the other, and back."""
    o, lines = found.o, found.o.late
    flip = {s: -s for s in (x, g, *(f(o.buffer) for f in (old, new) if o.buffer))}
    return (
        Step(f"1 + T + D = ({o.slope})·(c* − c): a swing x' = −x of the frozen rule needs c/d = h*",
             Identity(o.margin, o.slope * (o.threshold - c), o.domains),
             "−1 is a root there; so X is " + ("the largest whose maximum stays" if remembers(found) else
                                               "the only one whose v stays")),
        Step(f"with X = 1/h* − ε/c, 1/h* = {found.edge}, the denominator is cX + ε = c/h*",
             Identity(found.on(o.denominator), c * found.edge, found.domains),
             "the preconditioned sharpness on the cycle is h* itself"),
        *(Step(f"{n}' = {found.after(n)} from x = X, g = cX",
               Identity(found.on(lines[n]), found.on(found.after(n)), found.domains),
               "the rule's own late line, ε written c·(1/h* − X)") for n in lines),
        *(Step(f"{n}' turns over with x, g and the buffer" if n in ("x", o.buffer)
               else f"{n}' does not see the sign of x, g and the buffer",
               Identity(lines[n].xreplace(flip),
                        -lines[n] if n in ("x", o.buffer) else lines[n], o.domains),
               "so the next step leads back: x_t = (−1)^t·X for every t, by induction")
          for n in lines),
        *(_smaller(found) if remembers(found) else ()),
    )  # fmt: skip


def remembers(found: Cycle) -> bool:
    """Whether a running maximum stands in the denominator."""
    return maximum(found.o.rule) is not None


def _smaller(found: Cycle) -> tuple[Step, ...]:
    """Every X' = rX, r < 1, swings too where the maximum remembers (cX)²."""
    o, r, top = found.o, symbol("r", "unit"), maximum(found.o.rule)
    assert top is not None
    held = {n: e if n == top else r * e if n == o.buffer else r**2 * e for n, e in found.values.items()}
    domains = {**found.domains, "r": "unit"}

    def after(n: str) -> Expr:
        return -r * X if n == "x" else -held[n] if n == o.buffer else held[n]

    def at(e: Expr) -> Expr:
        state = {old(n): e for n, e in held.items()} | {new(n): after(n) for n in held}
        there = e.xreplace({x: r * X, g: c * r * X, **state})
        return there.xreplace({d: c * found.edge, eps: c * (found.edge - X)})

    size = (c * X) ** 2
    return (
        *(Step(f"from r·X, r < 1, with the maximum (cX)²: {n}' = {after(n)}",
               Identity(at(o.late[n]), after(n), domains), "the same denominator, all else scaled by r")
          for n in o.late if n != top),
        Step("and the maximum stays: (c·r·X)² ≤ (cX)²", Holds(ge(size, r**2 * size), (), domains),
             "so every smaller swing is an orbit too"),
    )  # fmt: skip


def swings(rule: Rule, found: Cycle) -> Runs:
    """Runs on the cycle: at β1 = 0 from a fresh state; for Adam a move of 2X at t = 2 for every β1."""
    q = adam_like(rule)
    adam = q is not None and sp.diff(q.denominator, eps) == 1

    def excess(run: Run, p: Point) -> Interval:
        at = {**rule.fill(p), "c": abs(p["g1"])}
        plain = {**at, "beta1": ZERO}
        x0 = value(found.edge, plain) - Interval.of(plain["eps"] / plain["c"])
        if x0.lo <= 0:
            return Interval.of(-1)
        gradients = [plain["c"] * x0 * (-1) ** t for t in range(4)]
        trace = run(plain, gradients, x0.lo)
        out = Interval.of(0)
        for t, held in enumerate(trace.x):
            out = out.maximum(abs(held - x0 * (-1) ** t))
        swing = value(found.edge, at) - Interval.of(at["eps"] / at["c"])
        if adam and swing.lo > 0 and found.edge.free_symbols == {alpha, beta1}:
            x1, x2 = run(at, [at["c"] * swing, -at["c"] * swing], ZERO).x[1:]
            out = out.maximum(abs(abs(x2 - x1) - 2 * swing))
        return out

    steady = "1/2 3/4 0" if adam else "0"
    return Runs(excess, grid(g1="2 1 8", alpha="1 1/2", eps="0 1/4", beta1="1/2 3/4", beta2=steady,
                             lambda_="1/4"))  # fmt: skip


@claim("adam-two-cycle", family=FAMILY, source=BW22("on the 2-limit-cycles of Adam"),
       says="Near the optimum Adam can oscillate for ever.",
       statement="On c·x²/2 with constant α, at t → ∞, x_t = (−1)^t·X with X = 1/h* − ε/c is an orbit "
                 "whenever X > 0: X = α(1−β1)/(2(1+β1)) − ε/c for Adam.  On it the preconditioned "
                 "sharpness c/D is exactly the threshold h* of adam-edge.  Where a maximum (cX)² is "
                 "remembered, as in AMSGrad, so is (−1)^t·X' for every 0 < X' < X.",
       hypotheses="corrections gone (ψ > 0 in NAdam); c > 0; ε < c/h*; every β1, β2, but RAdam "
                  "needs ρ_∞ above its threshold (β2 > 2/3 at 5, β2 > 3/5 at 4), below which it "
                  "stays linear.  At β1 = 0 Adam as in the paper is on it from the first step, "
                  "x_0 = X.")  # fmt: skip
def adam_two_cycle(rule: Rule) -> Case | None:
    """The late lines lead from (X, m, v) to (−X, −m, v), and do not see the sign."""
    found = cycle(rule)
    if found is None:
        return None
    told = alpha * (1 - beta1) / (2 * (1 + beta1))
    formula = (
        Step("1/h* = α(1−β1)/(2(1+β1))", Identity(found.edge, told), "Adam's threshold"),
    ) if found.edge.free_symbols == {alpha, beta1} and found.same(found.edge, told) else ()  # fmt: skip
    near = found.on(found.o.late["x"].subs(alpha, 2 * alpha))
    runs = swings(rule, found) if rule.only and "mu" not in rule.hyper else None
    return Case((*on_the_cycle(found), *formula), runs=runs,
                control=Identity(near, -X, found.domains))  # fmt: skip


# -- which cycles attract --------------------------------------------------------------------------


def is_adams(rule: Rule) -> bool:
    """Whether the late lines are Adam's own: averages of g and g², and x' = x − αm/(√v + ε)."""
    m, v, found = first_moment(rule), second_moment(rule), cycle(rule)
    if m is None or v is None or found is None or m.input != g or v.input != g**2:
        return False
    told = x - alpha * m.new / (sp.sqrt(v.new) + eps)
    checker = Checker({**found.domains, v.new.name: "nonnegative"})
    try:
        return checker.is_zero(found.o.late["x"] - told)
    except (Unsupported, Budget):
        return False


def derivatives(rule: Rule) -> tuple[Step, ...]:
    """The lines near the cycle, to first order, with what is left written out."""
    m, v, found = first_moment(rule), second_moment(rule), cycle(rule)
    assert m is not None
    assert v is not None
    assert found is not None
    lines = found.o.late
    dx, dm, dv, e = (symbol(n) for n in ("dx", "dm", "dv", "e"))
    base, held, root = symbol("V", "positive"), symbol("M"), symbol("S", "positive")
    dn, ds = symbol("δM"), symbol("δS")
    domains = {**found.domains, "V": "positive", "S": "positive"}
    moved = {g: c * (x + dx), m.old: m.old + dm, v.old: v.old + dv}
    before = {g: c * x}

    def change(n: str) -> Expr:
        return lines[n].xreplace(moved) - lines[n].subs(before)

    over = root + eps
    return (
        Step("m' changes by β1·dm + (1−β1)·c·dx",
             Identity(change(m.name), beta1 * dm + (1 - beta1) * c * dx, domains), "m' is linear"),
        Step("v' by β2·dv + 2(1−β2)·c²x·dx, and (1−β2)c²·dx² beyond the first order",
             Identity(change(v.name), beta2 * dv + 2 * (1 - beta2) * c**2 * x * dx
                      + (1 - beta2) * c**2 * dx**2, domains), "v' is a square"),
        Step("√(V+e) − √V = e/(2√V) − e²/(2√V(√(V+e)+√V)²)",
             Identity(sp.sqrt(base + e) - sp.sqrt(base), e / (2 * sp.sqrt(base)) - e**2
                      / (2 * sp.sqrt(base) * (sp.sqrt(base + e) + sp.sqrt(base)) ** 2), domains),
             "the derivative of the root, and what is left"),
        Step("x' = x − αM/(S+ε) with S = √V",
             Identity(lines["x"].subs({m.new: held, v.new: root**2}), x - alpha * held / over, domains),
             "the rule's line"),
        Step("M/(S+ε) changes by δM/(S+ε) − M·δS/(S+ε)², and δS(M·δS − (S+ε)·δM)/((S+ε)²(S+δS+ε))",
             Identity((held + dn) / (over + ds) - held / over, dn / over - held * ds / over**2
                      + ds * (held * ds - over * dn) / (over**2 * (over + ds)), domains),
             "the derivative of the quotient, and what is left: a product of two changes"),
    )  # fmt: skip


def polynomial(rule: Rule) -> tuple[tuple[Step, ...], tuple[Expr, Expr, Expr]]:
    """The characteristic cubic of one step followed by a change of sign, and its coefficients."""
    found, z = cycle(rule), symbol("z")
    assert found is not None
    edge = found.edge
    turned, swing = (1 - beta1) * c * X / (1 + beta1), c * edge  # m' and D on the cycle
    dm, dv = (1 - beta1) * c, 2 * (1 - beta2) * c**2 * X  # changes of m' and v' with x
    slope, bend = alpha / swing, alpha * turned / swing**2 / (2 * c * X)
    rows = [[-(1 - slope * dm + bend * dv), slope * beta1, -bend * beta2],
            [-dm, -beta1, sp.Integer(0)], [dv, sp.Integer(0), beta2]]  # fmt: skip
    a, b, e = ([z - n if i == j else -n for j, n in enumerate(row)] for i, row in enumerate(rows))
    minors = (b[1] * e[2] - b[2] * e[1], b[0] * e[2] - b[2] * e[0], b[0] * e[1] - b[1] * e[0])
    det = a[0] * minors[0] - a[1] * minors[1] + a[2] * minors[2]
    k = 2 * (1 - beta2) * theta
    told = (z - 1) * (z - beta1) * (z - beta2) + k * z * (z + beta1)
    coefficients = (k - 1 - beta1 - beta2, beta1 + beta2 + beta1 * beta2 + k * beta1, -beta1 * beta2)
    first, second, third = coefficients
    domains = {**found.domains, "theta": "positive"}
    return (
        Step("there m' = (1−β1)cX/(1+β1), D = c/h*, and α·m'/D = 2X",
             Identity(alpha * turned / swing, 2 * X, domains), "the move of the cycle"),
        Step("J, the derivative of (x, m, v) → (−x', −m', v') on the cycle: "
             "det(z − J) = (z−1)(z−β1)(z−β2) + 2(1−β2)θ·z(z+β1), θ = cX/D",
             Identity(det, told.xreplace({theta: c * X / swing}), domains),
             "its rows are the changes above; a step and a change of sign leave the cycle's point "
             "where it is, and twice that is two steps"),
        Step("= z³ + az² + bz + e with a = 2(1−β2)θ − 1 − β1 − β2, b = β1 + β2 + β1β2 + 2(1−β2)θβ1, "
             "e = −β1β2",
             Identity(told, z**3 + first * z**2 + second * z + third, domains), "multiplied out"),
    ), coefficients  # fmt: skip


def region(coefficients: tuple[Expr, Expr, Expr]) -> tuple[Step, ...]:
    """Three of the four margins are always positive; the fourth is the region."""
    told = cubic(*coefficients)
    inside = (1 - beta1) * (1 - beta1 * beta2) - 2 * theta * beta1 * (1 + beta2)
    full = inside.subs(theta, 1)
    given, domains = (ge(1, theta), gt(beta2, 0)), {"theta": "positive", "n": "positive"}
    s, u, r, A = (symbol(n, "nonnegative") for n in ("s", "u", "r", "A"))
    n, root = symbol("n", "positive"), 2 * sp.sqrt(2)
    return (
        Step("p(1) = 2(1−β2)(1+β1)θ", Identity(told["p(1)"], 2 * (1 - beta2) * (1 + beta1) * theta,
             domains), "> 0"),
        Step("which is > 0", Holds(gt(2 * (1 - beta2) * (1 + beta1) * theta, 0),
             (gt(beta2, 0),), domains, {beta2: 1 / (1 + n)}), "signs"),
        Step("−p(−1) > 0", Holds(gt(told["−p(−1)"], 0), given, domains,
             {beta1: s / (1 + s), beta2: 1 / (1 + u), theta: 1 - r}), "θ ≤ 1, β2 > 0"),
        Step("1 − p(0)² > 0", Holds(gt(told["1 − p(0)²"], 0), (), {},
             {beta1: s / (1 + s), beta2: u / (1 + u)}), "β1·β2 < 1"),
        Step("1 − b + ae − e² = (1−β2)·((1−β1)(1−β1β2) − 2θβ1(1+β2))",
             Identity(told["1 − b + ac − c²"], (1 - beta2) * inside, domains),
             "so all roots are in |z| < 1 iff (1−β1)(1−β1β2) > 2θβ1(1+β2) (cubic-criterion); "
             "one is outside where it is <"),
        Step("at ε = 0 (θ = 1) the margin is (1−β1)² − 4β1 + (1−β2)β1(3−β1)",
             Identity(full, (1 - beta1) ** 2 - 4 * beta1 + (1 - beta2) * beta1 * (3 - beta1)),
             "it falls as β2 grows"),
        Step("so (1−β1)² ≥ 4β1, which is β1 ≤ 3 − 2√2, is enough for every 0 < β2 < 1",
             Holds(gt(A + (1 - beta2) * beta1 * (3 - beta1), 0), (gt(beta1, 0), gt(beta2, 0)),
                   {"A": "nonnegative", "n": "positive"}, {beta1: 1 / (1 + s), beta2: 1 / (1 + n)}),
             "A = (1−β1)² − 4β1 ≥ 0; at β1 = 0 the margin is 1"),
        Step("because (1−β1)² − 4β1 = (3 − 2√2 − β1)(3 + 2√2 − β1)",
             Identity((1 - beta1) ** 2 - 4 * beta1, (3 - root - beta1) * (3 + root - beta1)),
             "the roots of β1² − 6β1 + 1"),
        Step("it is also (1 − 3β1) − β1β2(3−β1)",
             Identity(full, 1 - 3 * beta1 - beta1 * beta2 * (3 - beta1)), "rearranged"),
        Step("so for β1 ≥ 1/3 no β2 > 0 makes the cycle attract at ε = 0",
             Holds(gt(0, 1 - 3 * beta1 - beta1 * beta2 * (3 - beta1)),
                   (ge(3 * beta1, 1), gt(beta2, 0))), "both terms"),
        *_at_given_betas(inside),
    )  # fmt: skip


def _at_given_betas(inside: Expr) -> tuple[Step, ...]:
    """The margin at the default betas, and at a smaller β1."""
    default = {beta1: sp.Rational(9, 10), beta2: sp.Rational(999, 1000)}
    edge, least = symbol("h", "positive"), sp.Rational(1009, 359820)
    domains = {"h": "positive", "c": "positive"}
    small = {**default, beta1: sp.Rational(1, 10), theta: 1}
    return (
        Step("θ = cX/D is 1 − ε·h*/c", Identity(c * (edge - eps / c) / (c * edge), 1 - eps / (c * edge),
             domains), "X = 1/h* − ε/c, D = c/h*; 1/h* is h"),
        Step("at the default β = (0.9, 0.999) it is 0 at θ = 1009/359820",
             Ground(eq(inside.subs({**default, theta: least}), 0)), "about 0.0028"),
        Step("it is > 0 for θ = 1/1000",
             Ground(gt(inside.subs({**default, theta: sp.Rational(1, 1000)}), 0)),
             "ε is then within 0.1 % of c/h*: the cycle attracts"),
        Step("and < 0 for θ = 3/1000",
             Ground(gt(0, inside.subs({**default, theta: sp.Rational(3, 1000)}))),
             "a root is outside |z| = 1, and the more so for every larger θ: the cycle repels"),
        Step("at β = (0.1, 0.999) it is > 0 for θ = 1",
             Ground(gt(inside.subs(small), 0)), "the cycle attracts"),
    )  # fmt: skip


@claim("adam-two-cycle-stability", family=FAMILY,
       source=BW22("on the stability of the 2-limit-cycles of Adam"),
       says="Which two-cycles attract: at ε = 0 none at the default betas.",
       statement="The derivative of a step and a change of sign, on the cycle, has the characteristic "
                 "polynomial (z−1)(z−β1)(z−β2) + 2(1−β2)θ·z(z+β1), θ = cX/D (1 at ε = 0): its roots "
                 "are in |z| < 1 iff (1−β1)(1−β1β2) > 2θβ1(1+β2), and one is outside where it is <.  "
                 "At ε = 0 this is so for β1 ≤ 3−2√2 and every β2, never for β1 ≥ 1/3, and not at "
                 "(0.9, 0.999), where it needs θ < 1009/359820, about 0.0028: ε close to c/h*, which "
                 "ends the cycles.",
       hypotheses="t → ∞: corrections gone; 0 < β2; X > 0, so θ = 1 − ε·h*/c is in (0, 1]; in "
                  "RAdam β2 > 2/3 (threshold 5) or 3/5 (4), else it never rectifies; roots in |z| "
                  "< 1 make the cycle attract nearby runs, one outside makes it repel (Lyapunov's "
                  "first method).")  # fmt: skip
def adam_two_cycle_stability(rule: Rule) -> Case | None:
    """Derivatives with their remainders, a determinant, and the four margins of a cubic."""
    if not is_adams(rule):
        return None
    steps, coefficients = polynomial(rule)
    wrong = (1 - beta1) * (1 - beta1 * beta2) - theta * beta1 * (1 + beta2)
    return Case((*derivatives(rule), *steps, *region(coefficients)),
                control=Holds(gt(cubic(*coefficients)["1 − b + ac − c²"], 0), (gt(wrong, 0),),
                              {"theta": "positive"}))  # fmt: skip
