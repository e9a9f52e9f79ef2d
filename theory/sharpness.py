"""Section 6, sharpness: what the Hessian says of a minimum, and what of the weights that reach it.

The network is v₁·relu(w₁x + b₁) + v₂·relu(b₂ − w₂x), one input, two hidden units, one output, on the
data x = −1, 0, 1: each unit is on at two of the points, both at x = 0.  Scaling what enters a unit by
a > 0 and what leaves it by 1/a changes nothing that the network computes.
"""

from __future__ import annotations

import sympy as sp

from .catalogue import claim
from .records import Case, Expr, Holds, Identity, Step
from .rule import Rule
from .sources import D17, HERE, K17
from .symbols import ge, gt, symbol

FAMILY = "sharpness"
#: Weights w = b + s with b, s > 0: the unit is off at one end of the data.
_b1, _s1, _b2, _s2 = (symbol(n, "positive") for n in ("b1", "s1", "b2", "s2"))
_v1, _v2 = symbol("v1"), symbol("v2")
a = symbol("a", "positive")
w1, w2 = symbol("w1", "positive"), symbol("w2", "positive")
PARAMETERS = (w1, _b1, _v1, w2, _b2, _v2)
INCOMING = (w1, _b1)
DATA = (-1, 0, 1)
TARGETS = tuple(symbol(f"y{k}") for k in (1, 2, 3))
_DOMAINS = dict.fromkeys(("a", "w1", "w2", "b1", "b2", "s1", "s2", "big"), "positive")
_u = tuple(symbol(f"u{k}") for k in range(1, 7))


def network(at: Expr) -> Expr:
    """Return the network's output at an input, with its rectifiers."""
    return _v1 * sp.Max(0, w1 * at + _b1) + _v2 * sp.Max(0, _b2 - w2 * at)


def active(at: int) -> Expr:
    """Return the same with the units that are on at this point of the data."""
    first = w1 * at + _b1 if at >= 0 else sp.Integer(0)
    second = _b2 - w2 * at if at <= 0 else sp.Integer(0)
    return _v1 * first + _v2 * second


def loss() -> Expr:
    """Return half the sum of squared errors, in the region where these units are on."""
    errors = (active(k) - y for k, y in zip(DATA, TARGETS, strict=True))
    return sp.Add(*(error**2 / 2 for error in errors))


def hessian() -> list[list[Expr]]:
    """Return the second derivatives of the loss with respect to the parameters."""
    return [[sp.expand(sp.diff(loss(), p, q)) for q in PARAMETERS] for p in PARAMETERS]


def rescaled(e: Expr) -> Expr:
    """Return a formula at the weights (a·w₁, a·b₁, v₁/a): the same function."""
    return e.xreplace({w1: a * w1, _b1: a * _b1, _v1: _v1 / a})


def factor(p: Expr) -> Expr:
    """Return by what the rescaling multiplies a parameter."""
    return a if p in INCOMING else 1 / a if p == _v1 else sp.Integer(1)


def quadratic(matrix: list[list[Expr]], u: tuple[Expr, ...]) -> Expr:
    """Return uᵀ H u."""
    return sp.Add(*(u[i] * h * u[j] for i, row in enumerate(matrix) for j, h in enumerate(row)))


def _trace(matrix: list[list[Expr]]) -> Expr:
    return sp.Add(*(row[i] for i, row in enumerate(matrix)))


def pattern() -> tuple[Step, ...]:
    """Which rectifiers are on; what the rescaling leaves; what the Hessian is."""
    on = {w1: _b1 + _s1, w2: _b2 + _s2}
    bare, x = symbol("z"), symbol("x")
    e, u = symbol("e"), _u
    moved = {p: p + e * k for p, k in zip(PARAMETERS, u, strict=True)}
    change = loss().xreplace(moved)
    weights = {-2: -1, -1: 16, 0: -30, 1: 16, 2: -1}
    stencil = sp.Add(*(k * change.xreplace({e: sp.Integer(j)}) for j, k in weights.items()))
    return (
        *(Step(f"at x = {k} the unit that is on has {z} > 0",
               Holds(gt(z.xreplace(on), 0), (), _DOMAINS), "w = b + s with b, s > 0; also nearby")
          for k, z in ((-1, w2 + _b2), (0, _b1), (0, _b2), (1, w1 + _b1))),
        *(Step(f"at x = {k} the unit that is off has {z} < 0",
               Holds(gt(0, z.xreplace(on)), (), _DOMAINS), "so its rectifier is 0, also nearby")
          for k, z in ((-1, _b1 - w1), (1, _b2 - w2))),
        *(Step(f"at x = {k} the network is {active(k)}",
               Identity(network(sp.Integer(k)).xreplace(on), active(k).xreplace(on), _DOMAINS),
               "these signs") for k in DATA),
        Step("a·max(0, z) = max(0, a·z): (v₁/a)·relu(a·w₁x + a·b₁) = v₁·relu(w₁x + b₁) at every x",
             Identity(_v1 / a * sp.Max(0, a * bare), _v1 * sp.Max(0, bare), _DOMAINS),
             f"z = w₁x + b₁, any {x}: the same function"),
        Step("uᵀHu is the second derivative of the loss along u",
             Identity(stencil / 12, quadratic(hessian(), u), _DOMAINS),
             "the five-point stencil is exact for a polynomial of degree 4"),
    )  # fmt: skip


@claim("sharpness-reparametrisation", family=FAMILY, source=K17, about="mathematics",
       says="Sharp minima generalise worse: the sharpness of the Hessian is a property of the function.",
       statement="Two settings of the weights that give the same function, both minima, have the same "
                 "trace of the Hessian: here v·relu(w·x) fitted to (1, 1), w → a·w, v → v/a.",
       hypotheses="a > 0; at this minimum the trace is the largest eigenvalue.",
       repaired_by="sharpness-orbit")  # fmt: skip
def sharpness_reparametrisation(rule: Rule) -> Case | None:
    """At w = v = 1 the trace is 2, at w = a, v = 1/a it is a² + 1/a²; the other eigenvalue is 0."""
    w, v = symbol("w", "positive"), symbol("v", "positive")
    simple = (v * w - 1) ** 2 / 2
    trace = (sp.diff(simple, w, 2) + sp.diff(simple, v, 2)).xreplace({w: a, v: 1 / a})
    return Case(statement=Identity(trace, trace.subs(a, 1), {"a": "positive"}))


@claim("sharpness-orbit", family=FAMILY, source=D17("Theorem 4"), about="mathematics",
       says="What rescaling does to the sharpness of a minimum.",
       statement="On the orbit of a rectified network under w → a·w, b → a·b, v → v/a the Hessian is "
                 "Λ⁻¹HΛ⁻¹ with Λ = diag(a, a, 1/a): its trace is p/a² + q·a² + rest with p ≥ 0, its "
                 "largest eigenvalue is at least a²·q, q = H_vv > 0: both exceed every bound, at a "
                 "minimum as elsewhere.  Not the other way: the trace is at least 2√(pq) + rest, "
                 "reached at a² = √(p/q) if v ≠ 0, and not reached if v = 0.",
       hypotheses="no rectifier is at its kink; the unit is on at a point of the data; one output, "
                  "squared error.")  # fmt: skip
def sharpness_orbit(rule: Rule) -> Case | None:
    """The network of this file, symbolic in its weights and targets."""
    matrix = hessian()
    moved = [[rescaled(h) for h in row] for row in matrix]
    inverse = tuple(u / factor(p) for u, p in zip(_u, PARAMETERS, strict=True))
    p, q, rest = matrix[0][0] + matrix[1][1], matrix[2][2], _trace([r[3:] for r in matrix[3:]])
    big, most, least, A = (symbol(n, "positive") for n in ("big", "Q", "P", "A"))
    domains = {**_DOMAINS, **dict.fromkeys("AQP", "positive")}
    total = least**2 / A + most**2 * A
    return Case((
        *pattern(),
        Step("uᵀH(a·w₁, a·b₁, v₁/a)u = (Λ⁻¹u)ᵀH(Λ⁻¹u) for every u",
             Identity(quadratic(moved, _u), quadratic(matrix, inverse), _DOMAINS), "entry by entry"),
        Step("the trace there is p/a² + q·a² + rest: p of w₁ and b₁, q of v₁, the rest of unit 2",
             Identity(_trace(moved), p / a**2 + q * a**2 + rest, _DOMAINS), "the diagonal"),
        Step("q = H_vv is a sum of squares of what the unit puts out",
             Identity(q, _b1**2 + (w1 + _b1) ** 2, _DOMAINS), "targets do not enter"),
        Step("q > 0", Holds(gt(q, 0), (), _DOMAINS), "the unit is on at x = 0 and x = 1"),
        Step("p is 3·v², a sum of squares too", Identity(p, 3 * _v1**2, _DOMAINS),
             "a rectifier has no curvature: p ≥ 0 anywhere, and p > 0 iff v ≠ 0"),
        Step("uᵀHu at u = e_v is a²·q, and the largest eigenvalue is no less (Rayleigh)",
             Identity(quadratic(moved, tuple(sp.Integer(int(z == _v1)) for z in PARAMETERS)), a**2 * q,
                      _DOMAINS), "a unit vector"),
        Step("a²·q > M for every a² = A > M/q: arbitrarily sharp",
             Holds(gt(A * most, big), (gt(A, big / most),), domains, {A: big / most + least}),
             "M = any bound; p/a² and the rest are no less than 0"),
        Step("nor is the rest: a sum of squares of the same kind",
             Identity(rest, (w2 + _b2) ** 2 + _b2**2 + 3 * _v2**2, _DOMAINS), "that of unit 2"),
        Step("P²/A + Q²·A = (P − QA)²/A + 2PQ with A = a², P = √p, Q = √q: not arbitrarily flat",
             Identity(total, (least - most * A) ** 2 / A + 2 * least * most, domains), "p, q ≥ 0"),
        Step("at A = P/Q it is 2PQ: the least trace is reached",
             Identity(total.subs(A, least / most), 2 * least * most, domains),
             "balanced, P > 0; at P = 0 the trace is Q²·A > 0 more than the rest, however small A is"),
    ), control=Identity(_trace(moved), p / a + q * a + rest, _DOMAINS))  # fmt: skip


@claim("sharpness-invariants", family=FAMILY, source=HERE, about="mathematics",
       says="Which measures of sharpness do not see a rescaling.",
       statement="Under w → a·w, b → a·b, v → v/a these stay what they are: each θ_i²·H_ii and so their "
                 "sum, θᵀHθ, the path norm |v|(|w|+|b|), and p·q, hence the least trace on the orbit.  "
                 "θᵀHθ is Σ (4f_i² + 2e_i·f_i) with f_i = f(x_i) and the residuals e_i = f_i − y_i: it "
                 "depends on the function and the data alone, and at zero residual is 4·Σ f_i².",
       hypotheses="as in sharpness-orbit, the loss ½·Σ e_i²; one hidden layer with biases, none at the "
                  "output; the other unit in the same way.")  # fmt: skip
def sharpness_invariants(rule: Rule) -> Case | None:
    """Each factor of Λ⁻¹ meets a factor of the weights."""
    matrix = hessian()
    moved = [[rescaled(h) for h in row] for row in matrix]
    there = tuple(rescaled(p) for p in PARAMETERS)
    product, after = ((m[0][0] + m[1][1]) * m[2][2] for m in (matrix, moved))
    told = sp.Add(*(4 * active(k) ** 2 + 2 * (active(k) - y) * active(k)
                    for k, y in zip(DATA, TARGETS, strict=True)))  # fmt: skip
    path = sp.Abs(_v1) * (w1 + _b1)
    e = symbol("e")
    return Case((
        *pattern(),
        *(Step(f"θ_i²·H_ii is the same for {z}", Identity(there[i] ** 2 * moved[i][i],
               PARAMETERS[i] ** 2 * matrix[i][i], _DOMAINS), "H_ii has the inverse square of its factor")
          for i, z in enumerate(PARAMETERS)),
        Step("θᵀHθ is the same", Identity(quadratic(moved, there), quadratic(matrix, PARAMETERS),
             _DOMAINS), "a form in θ that the factors leave"),
        Step("and the path norm", Identity(rescaled(path), path, _DOMAINS), "|v/a|·(aw + ab)"),
        Step("and p·q, of incoming and outgoing weights", Identity(after, product, _DOMAINS),
             "1/a² times a²"),
        *(Step(f"f(e·θ) = e²·f(θ) at x = {k}",
               Identity(active(k).xreplace({z: e * z for z in PARAMETERS}), e**2 * active(k)),
               "so θ·∇f = 2f and θᵀ∇²f·θ = 2f (Euler)") for k in DATA),
        Step("θᵀHθ = Σ (θ·∇f_i)² + Σ e_i·θᵀ∇²f_i·θ = Σ (4f_i² + 2e_i·f_i)",
             Identity(quadratic(matrix, PARAMETERS), told, _DOMAINS),
             "two settings with the same function have the same value; at zero residual 4·Σ f_i²"),
    ), control=Identity(_trace(moved), _trace(matrix), _DOMAINS))  # fmt: skip


# -- the largest rise in a box ---------------------------------------------------------------------

_radius = symbol("ε", "positive")


def rise(one: int) -> Expr:
    """Return f − 1 at the far corner of the box |δ| ≤ ε(|θ| + one), for f = v·w at w = a, v = 1/a."""
    return (a + _radius * (a + one)) * (1 / a + _radius * (1 / a + one)) - 1


def boxed(one: int) -> Expr:
    """Return the largest relative rise of (f − 1)²/2 in that box, in per cent; the loss is 0 at 0."""
    return 100 * rise(one) ** 2 / 2


@claim("sharpness-box", family=FAMILY, source=K17("Metric 2.1, eq. (4)"), about="mathematics",
       says="Sharp minima generalise worse: the largest rise of the loss in a box around the weights is "
            "a property of the function.",
       statement="Two settings of the weights that give the same function, both minima, have the same "
                 "100·(max f(θ+δ) − f(θ))/(1 + f(θ)) over the box |δ_i| ≤ ε(|θ_i| + 1): here "
                 "v·relu(w·x) fitted to (1, 1), w → a·w, v → v/a.",
       hypotheses="f = ½(v·relu(w) − 1)²; a > 0; ε > 0; the matrix A of the metric is the identity.",
       repaired_by="sharpness-box-size")  # fmt: skip
def sharpness_box(rule: Rule) -> Case | None:
    """The side of the box does not grow by the weight's factor; its far corner is the worst point."""
    return Case(statement=Identity(boxed(1), boxed(1).subs(a, 1), _BOX))


_BOX = {"a": "positive", "ε": "positive"}


def _corner() -> tuple[Step, ...]:
    """No point of the box |δ| ≤ d, |η| ≤ e around (a, 1/a) is farther from the target than a corner."""
    p, r, q, s = (symbol(n, "nonnegative") for n in ("p", "r", "q", "s"))
    domains = {**_BOX, **dict.fromkeys("prqs", "nonnegative")}
    d, e, delta, eta = (p + r) / 2, (q + s) / 2, (r - p) / 2, (s - q) / 2
    corner = (a + d) * (1 / a + e) - 1
    there = (a + delta) * (1 / a + eta) - 1
    why = "d−δ = p, d+δ = r, e−η = q, e+η = s, all ≥ 0"
    return (
        Step("(a+δ)(1/a+η) − 1 is at most (a+d)(1/a+e) − 1",
             Holds(ge(corner, there), (), domains), why),
        Step("and at least −((a+d)(1/a+e) − 1)", Holds(ge(corner, -there), (), domains), why),
        Step("where w = a + δ < 0 the output is 0, off by 1: that takes ε(a+1) > a, and then the corner "
             "is farther", Holds(gt(rise(1), 1), (gt(_radius, a / (a + 1)),), _BOX,
             {_radius: a / (a + 1) + symbol("u", "nonnegative")}), "the rectifier does not help"),
    )  # fmt: skip


@claim("sharpness-box-size", family=FAMILY, source=HERE, about="mathematics",
       says="How large the largest rise of the loss in a box is.",
       statement="On v·relu(w·x) fitted to (1, 1), at w = a, v = 1/a, the measure is "
                 "50·(ε(1+ε)(1+a)²/a)²: least at a = 1, beyond every bound as a → ∞ and as a → 0.  "
                 "Over the box |δ_i| ≤ ε|θ_i| it is 50·(2ε+ε²)² for every a: without the 1 the "
                 "rescaling of a rectified network maps the box onto the box.",
       hypotheses="f = ½(v·relu(w) − 1)²; a > 0; ε > 0.")  # fmt: skip
def sharpness_box_size(rule: Rule) -> Case | None:
    """A product of two sides is farthest from 1 at a corner; then how large the corner is."""
    size, bare, v, scale = (1 + a) ** 2 / a, symbol("z"), symbol("v"), symbol("k", "positive")
    theta = symbol("θ")
    return Case((
        *_corner(),
        Step("the corner of the box ε(|θ|+1) is off by ε(1+ε)(1+a)²/a",
             Identity(rise(1), _radius * (1 + _radius) * size, _BOX), "d = ε(a+1), e = ε(1/a+1)"),
        Step("the measure is half its square, times 100; the loss is 0 at the minimum",
             Identity(boxed(1), 50 * (_radius * (1 + _radius) * size) ** 2, _BOX), "f = 0 at θ"),
        Step("(1+a)²/a = 4 + (1−a)²/a", Identity(size, 4 + (1 - a) ** 2 / a, _BOX), "least at a = 1"),
        Step("(1+a)²/a > a", Holds(gt(size, a), (), _BOX), "beyond every bound as a → ∞"),
        Step("and it is the same at 1/a", Identity(size.subs(a, 1 / a), size, _BOX), "so as a → 0"),
        Step("the corner of the box ε|θ| is off by 2ε+ε²",
             Identity(rise(0), 2 * _radius + _radius**2, _BOX), "d = εa, e = ε/a: a is gone; w < 0 "
             "takes ε > 1, and then this is over 1 too"),
        Step("ε·|k·θ| = k·ε·|θ| for k > 0", Identity(_radius * sp.Abs(scale * theta),
             scale * _radius * sp.Abs(theta), {**_BOX, "k": "positive"}), "θ_i + δ_i is in the box of "
             "θ_i iff k(θ_i + δ_i) is in that of kθ_i"),
        Step("(v/a)·max(0, a·z) = v·max(0, z)", Identity(v / a * sp.Max(0, a * bare),
             v * sp.Max(0, bare), _BOX), "and the two compute the same: the same largest loss"),
    ), control=Identity(rise(1), rise(1).subs(a, 1), _BOX))  # fmt: skip
