"""When the roots of a real polynomial of degree 2 or 3 lie in the open unit disk (Schur, Jury).

For x_{t+1} = T x_t − D x_{t−1} the three margins 1 − T + D, 1 + T + D and 1 − D decide.  Nothing is
quoted: below the boundary a quadratic form falls geometrically along every run, real roots or not;
beyond −1 a real root makes a run grow.  A cubic has a real root, and is a factor times a quadratic,
whose roots are two real numbers or a pair u ± iv.
"""

from __future__ import annotations

import sympy as sp

from .lemmas import bernoulli, power_vanishes
from .records import Expr, Holds, Identity, Step
from .symbols import ge, gt, symbol

#: The polynomial z² − T z + D.
T, D = symbol("T"), symbol("D")
_p, _q, _w = symbol("p", "positive"), symbol("q", "positive"), symbol("w", "positive")
_x, _y = symbol("x"), symbol("y")


def shrinks() -> tuple[Step, ...]:
    """x_{t+1} = T x_t − D x_{t−1} tends to 0 from every start when the three margins are positive."""
    total = _p + _q + 2 * _w
    trace, product = 2 * (_q - _p) / total, (_p + _q - 2 * _w) / total
    a = (_p + _q) * total**2 / (16 * _p * _q * _w)
    b = (_p - _q) * (_p + _q - 2 * _w) * total / (16 * _p * _q * _w)
    rest = 1 + product**2 * a
    det = total**2 * ((_p + _q) ** 2 + 4 * _w**2) / (64 * _p * _q * _w**2)

    def form(x: Expr, y: Expr) -> Expr:
        return a * x**2 + 2 * b * x * y + rest * y**2

    after, held = form(trace * _x - product * _y, _x), form(_x, _y)
    size, bound = symbol("Λ", "positive"), symbol("W", "nonnegative")
    n, margins = symbol("n", "nonnegative"), {_p: 1 - T + D, _q: 1 + T + D, _w: 1 - D}
    domains = {"p": "positive", "q": "positive", "w": "positive"}
    return (
        Step("T = 2(q−p)/(p+q+2w) with the margins p = 1−T+D, q = 1+T+D, w = 1−D",
             Identity(trace.xreplace(margins), T), "their sum p+q+2w is 4"),
        Step("and D = (p+q−2w)/(p+q+2w)", Identity(product.xreplace(margins), D), "the same"),
        Step("W(x, y) = a·x² + 2b·x·y + (1+D²a)·y² falls by x_t² + x_(t−1)² at each step",
             Identity(after, held - _x**2 - _y**2, domains), "a, b solve the Lyapunov equation"),
        Step("a > 0", Holds(gt(a, 0), (), domains), "p, q, w > 0"),
        Step("a·(1+D²a) − b² is (p+q+2w)²((p+q)²+4w²)/(64pqw²)",
             Identity(a * rest - b**2, det, domains), "the determinant of W"),
        Step("which is > 0", Holds(gt(det, 0), (), domains), "p, q, w > 0"),
        Step("a·W(x, y) = (ax + by)² + det·y², so W ≥ 0",
             Identity(a * held, (a * _x + b * _y) ** 2 + det * _y**2, domains), "complete the square"),
        Step("a·(Λ(x²+y²) − W) = (bx − ay)² + det·x² for Λ = a + 1 + D²a, so W ≤ Λ·(x²+y²)",
             Identity(a * ((a + rest) * (_x**2 + _y**2) - held),
                      (b * _x - a * _y) ** 2 + det * _x**2, domains), "the same, the other way"),
        Step("W − n ≤ (1 − 1/Λ)·W with n = x²+y², W ≤ Λ·n",
             Holds(ge((1 - 1 / size) * bound, bound - n), (ge(size * n, bound),),
                   {"Λ": "positive", "W": "nonnegative", "n": "nonnegative"}),
             "x_t² + x_(t−1)² = W_t − W_(t+1) ≤ W_t, and W_t shrinks by one factor at each step"),
        Step("Λ > 1, so the factor is in (0, 1)", Holds(gt(a + rest, 1), (), domains), "a > 0"),
        *power_vanishes(),
    )  # fmt: skip


def grows() -> tuple[Step, ...]:
    """With 1 + T + D ≤ 0 and x_1 = (T − k) x_0, k ≥ 0: x_t does not tend to 0, and is unbounded if < 0.

    The root r ≤ −1 is written with N = −(1 + T + D), so that its existence is an identity.
    """
    r, s, k, n = symbol("r"), symbol("s"), symbol("k", "nonnegative"), symbol("N", "nonnegative")
    u, v = symbol("u"), symbol("n", "nonnegative")
    width = sp.sqrt((T + 2) ** 2 + 4 * n)
    root, wide = (T - width) / 2, sp.sqrt(v**2 + 4 * n)
    product = -n - 1 - T
    domains = {"N": "nonnegative", "n": "nonnegative", "k": "nonnegative"}
    big = {**domains, "N": "positive"}
    after = (r + s) * _x - r * s * _y
    return (
        Step("r = (T − √((T+2)² + 4N))/2 is a root of z² − Tz + D, N = −(1+T+D) ≥ 0",
             Identity(root**2 - T * root + product, sp.Integer(0), domains), "T² − 4D = (T+2)² + 4N"),
        Step("−1 − r = (√(u²+4N) − u)/2 with u = T + 2",
             Identity(-1 - root, ((width - u) / 2).xreplace({u: T + 2}), domains), "rearranged"),
        Step("for u = n ≥ 0 it is 2N/(√(n²+4N) + n)",
             Identity((wide - v) / 2, 2 * n / (wide + v), big), "multiply by the conjugate"),
        Step("which is > 0 for N > 0", Holds(gt(2 * n / (wide + v), 0), (), big), "so r < −1"),
        Step("for u = −n ≤ 0 it is (√(n²+4N) + n)/2 > 0",
             Holds(gt((wide + v) / 2, 0), (), big), "so r < −1; and r = −1 is a root at N = 0"),
        Step("T = r + s, D = rs: x_(t+1) − s·x_t = r·(x_t − s·x_(t−1))",
             Identity(after - s * _x, r * (_x - s * _y)), "s is the other root"),
        Step("x_1 − s·x_0 = (r − k)·x_0 for x_1 = (r + s − k)·x_0",
             Identity((r + s - k) * _y - s * _y, (r - k) * _y, domains), "the first step"),
        Step("and (r − k)² ≥ 1 for r ≤ −1, k ≥ 0, so it is not 0",
             Holds(ge((r - k) ** 2, 1), (ge(-1, r),), domains), "any x_0 ≠ 0"),
        *bernoulli(),
        Step("|x_t − s·x_(t−1)| ≤ |x_t| + |s|·|x_(t−1)|",
             Holds(ge(sp.Abs(_x) + sp.Abs(s) * sp.Abs(_y), sp.Abs(_x - s * _y))),
             "the left side is ≥ |r|^(t−1)·|x_0|: x_t does not tend to 0, and is unbounded if r < −1"),
    )  # fmt: skip


def quadratic_in_the_disk() -> tuple[Step, ...]:
    """z² − T z + D has its roots in the open disk iff the three margins are > 0; and the closed disk."""
    a, b, u, v = symbol("a"), symbol("b"), symbol("u"), symbol("v")
    margins = {"1 − T + D": (1 - a) * (1 - b), "1 + T + D": (1 + a) * (1 + b), "1 − D": 1 - a * b}
    inside = (gt(1, a), gt(a, -1), gt(1, b), gt(b, -1))
    closed = (ge(1, a), ge(a, -1), ge(1, b), ge(b, -1))
    given = tuple(gt(e, 0) for e in margins.values())
    real, pair = {T: a + b, D: a * b}, {T: 2 * u, D: u**2 + v**2}
    terms = {"1 − T + D": 1 - T + D, "1 + T + D": 1 + T + D}
    return (
        *(Step(f"real roots a, b: {name} = {e}", Identity(terms[name].xreplace(real), e),
               "T = a + b, D = ab") for name, e in margins.items() if name in terms),
        *(Step(f"a, b in (−1, 1) give {name} > 0", Holds(gt(e, 0), inside), "the margins are needed")
          for name, e in margins.items()),
        *(Step(f"a, b in [−1, 1] give {name} ≥ 0", Holds(ge(e, 0), closed), "and on the closed disk")
          for name, e in margins.items()),
        Step("the three margins > 0 give a < 1", Holds(gt(1, a), given), "b likewise: they suffice"),
        Step("and a > −1", Holds(gt(a, -1), given), "b likewise"),
        Step("a pair u ± iv: 1 − T + D = (1 − u)² + v²",
             Identity(terms["1 − T + D"].xreplace(pair), (1 - u) ** 2 + v**2), "> 0 as v ≠ 0"),
        Step("and 1 + T + D = (1 + u)² + v²",
             Identity(terms["1 + T + D"].xreplace(pair), (1 + u) ** 2 + v**2),
             "> 0; and D = u² + v² = |z|²: 1 − D > 0 iff |z| < 1"),
    )  # fmt: skip


def cubic(a: Expr, b: Expr, c: Expr) -> dict[str, Expr]:
    """Return the margins of z³ + a z² + b z + c: all positive iff its roots are in the unit disk."""
    return {
        "p(1)": 1 + a + b + c,
        "−p(−1)": 1 - a + b - c,
        "1 − p(0)²": 1 - c**2,
        "1 − b + ac − c²": 1 - b + a * c - c**2,
    }


def cubic_criterion() -> tuple[Step, ...]:
    """The four margins of a cubic with the real root r and the factor z² − T z + D, both ways."""
    r = symbol("r")
    told = cubic(-(r + T), r * T + D, -r * D)
    product = {
        "p(1)": (1 - r) * (1 - T + D),
        "−p(−1)": (1 + r) * (1 + T + D),
        "1 − p(0)²": (1 - r * D) * (1 + r * D),
        "1 − b + ac − c²": (1 - D) * (1 - r * T + r**2 * D),
    }
    given = tuple(gt(e, 0) for e in product.values())
    inside = {"r < 1": gt(1, r), "r > −1": gt(r, -1), "D < 1": gt(1, D),
              "1 − T + D > 0": gt(1 - T + D, 0), "1 + T + D > 0": gt(1 + T + D, 0)}  # fmt: skip
    closed = (ge(1, r), ge(r, -1), ge(1, D), ge(1 - T + D, 0), ge(1 + T + D, 0))
    last = product["1 − b + ac − c²"]
    return (
        *(Step(f"(z−r)(z²−Tz+D): {name} = {e}", Identity(told[name], e), "every cubic has a real root r")
          for name, e in product.items()),
        *quadratic_in_the_disk(),
        *(Step(f"if all four are > 0 then {name}", Holds(e, given), "so all roots are in the open disk")
          for name, e in inside.items()),
        *(Step(f"if all roots are in the open disk then {name} > 0",
               Holds(gt(e, 0), tuple(inside.values())),
               "−1 < r < 1 and the three margins of the quadratic: only if")
          for name, e in product.items()),
        Step("if all roots are in the closed disk then 1 − b + ac − c² ≥ 0",
             Holds(ge(last, 0), closed), "so if it is < 0, a root is outside the closed disk"),
    )  # fmt: skip
