"""Section 4: where the convergence proofs of Adam and of AMSGrad break, and what holds instead."""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from .amsgrad import adam_gamma_indefinite, maximum, observed
from .catalogue import claim, grid
from .interval import Interval
from .records import Case, Every, Expr, Ground, Holds, Identity, Point, Run, Runs, Step
from .roles import Quotient, first_moment, quotient
from .rule import Rule
from .sources import HERE, KB15, TP19
from .symbols import alpha, eq, ge, gt, symbol, t

FAMILY = "convergence"
ZERO = Fraction(0)


def nonnegative(*names: str) -> tuple[tuple[sp.Symbol, ...], dict[str, str]]:
    """Return symbols for numbers >= 0, and their domains."""
    return tuple(symbol(n, "nonnegative") for n in names), dict.fromkeys(names, "nonnegative")


# -- Lemma 10.3 of the proof for Adam --------------------------------------------------------------


@claim("adam-proof-gap", family=FAMILY, source=KB15("Lemma 10.3"), about="mathematics",
       says="Adam's convergence theorem is proved: its Lemma 10.3 bounds Σ |g_t|/√t.",
       statement="Σ_{t≤T} √(g_t²/t) ≤ 2·G∞·‖g_{1:T}‖_2 for every sequence with |g_t| ≤ G∞.",
       repaired_by="adam-proof-lemma")  # fmt: skip
def adam_proof_gap(rule: Rule) -> Case | None:
    """One gradient below 1/2 refutes it: the left side is linear in the gradients, the right quadratic.

    Bock, Goppold & Weiß (2018, arXiv 1804.10587) also remark that the published proof has errors.
    """

    def excess(p: Point) -> Fraction:
        if p["g1"] > p["G"]:
            return Fraction(-1)  # the lemma says nothing
        return p["g1"] - 2 * p["G"] * p["g1"]

    says = "|g_1| ≤ 2·G∞·|g_1| for 0 < g_1 ≤ G∞ (T = 1)"
    return Case(statement=Every(says, excess, tuple(grid(G="1 1/2 1/3", g1="1 1/2 1/3"))))


@claim("adam-proof-lemma", family=FAMILY, source=HERE, about="mathematics",
       says="What the induction of Lemma 10.3 proves, and where the lemma itself holds.",
       statement="For |g_t| ≤ G: Σ g_t²/√t ≤ 2G‖g_{1:T}‖; so Lemma 10.3 holds where every g_t is 0 or "
                 "has |g_t| ≥ 1.  In general Σ |g_t|/√t ≤ √H_T·‖g_{1:T}‖, H_T = Σ 1/t, with equality "
                 "at g_t = c/√t: for every G the lemma fails once H_T > 4G² (at G = 1, T = 31).",
       hypotheses="G > 0.")  # fmt: skip
def adam_proof_lemma(rule: Rule) -> Case | None:
    """The induction of the paper with its homogeneous left side, then Cauchy–Schwarz."""
    (a, w), domains = nonnegative("a", "w")
    return Case(
        (*_homogeneous_lemma(), *_cauchy_schwarz_of_sums(), *_lemma_fails_for_every_bound()),
        # the paper's last step, at ‖g_{1:T−1}‖ = 0: 2k·N ≥ 2k·0 + |g| with N = |g|, k = N + w
        control=Holds(ge(2 * (a + w) * a, a), (), domains),
    )


def _homogeneous_lemma() -> tuple[Step, ...]:
    (a, p, d, w), domains = nonnegative("a", "p", "d", "w")
    bound, s = symbol("G", "positive"), symbol("s", "nonnegative")
    domains |= {"G": "positive", "s": "nonnegative"}
    now = p + d  # ‖g_{1:T}‖, where p = ‖g_{1:T−1}‖; g_T² = now² − p²
    k = now + w  # G√T ≥ ‖g_{1:T}‖
    return (
        Step("T = 1:  g² ≤ 2G·|g|", Holds(ge(2 * bound * a, a**2), (ge(bound, a),), domains,
             {bound: a + s}), "a = |g| ≤ G"),
        Step("‖g_{1:T−1}‖² ≤ (T−1)·G² gives ‖g_{1:T}‖² ≤ T·G²",
             Holds(ge((t + 1) * (a + d) ** 2, (t * (a + d) ** 2 - w) + a**2), (), domains),
             "induction; T = t + 1, G = |g_T| + d, and w is what is spared before"),
        Step("2k·‖g_{1:T}‖ ≥ 2k·‖g_{1:T−1}‖ + g_T² with k = G√T",
             Holds(ge(2 * k * now, 2 * k * p + (now**2 - p**2)), (), domains),
             "‖g_{1:T}‖ = p + d, k = p + d + w; divided by √T: 2G‖g_{1:T−1}‖ + g_T²/√T ≤ 2G‖g_{1:T}‖, "
             "the induction"),
        Step("|g| ≤ g² where |g| ≥ 1", Holds(ge(a**2, a), (ge(a, 1),), domains, {a: 1 + s}),
             "so there the lemma's left side is at most Σ g_t²/√t"),
    )  # fmt: skip


def _cauchy_schwarz_of_sums() -> tuple[Step, ...]:
    """Σ a_t/√t ≤ √(H_T·Σ a_t²), with h² = H, s² = Σ a², r = 1/√t."""
    (a, h, s, r, e, c, total), domains = nonnegative("a", "h", "s", "r", "e", "c", "L")
    grown = (h**2 + r**2) * (s**2 + a**2)
    return (
        Step("L ≤ e gives (L + a·r)² ≤ (e + a·r)²",
             Holds(ge((e + a * r) ** 2, (total + a * r) ** 2), (ge(e, total),), domains,
                   {e: total + c}), "L = Σ a_t/√t up to T−1, e = √H·√(Σ a²), r = 1/√T, a = a_T"),
        Step("(H + r²)(S + a²) − (√H·√S + a·r)² = (√H·a − r·√S)²",
             Identity(grown - (h * s + a * r) ** 2, (h * a - r * s) ** 2, domains),
             "so L ≤ √(H·S) is kept from T−1 to T: Cauchy–Schwarz"),
    )  # fmt: skip


def _lemma_fails_for_every_bound() -> tuple[Step, ...]:
    (h, r, c, s), domains = nonnegative("h", "r", "c", "s")
    bound, u = symbol("G", "positive"), symbol("u", "positive")
    k, n = symbol("k", "positive"), symbol("n", "positive")
    domains |= dict.fromkeys(("G", "u", "k", "n"), "positive")
    harmonic = [sum((sp.Rational(1, i) for i in range(1, last + 1)), sp.Integer(0))
                for last in (30, 31)]  # fmt: skip
    return (
        Step("at a_t = c/√t that is an equality",
             Identity((h**2 + r**2) * ((c * h) ** 2 + (c * r) ** 2), (h * (c * h) + c * r * r) ** 2,
                      domains), "a = c·r keeps √S = c·√H"),
        Step("there, with c = G, the left side G·H exceeds 2G·G√H when √H > 2G",
             Holds(gt(bound * h**2, 2 * bound * bound * h), (gt(h, 2 * bound),), domains,
                   {h: 2 * bound + u}), "h = √H"),
        Step("H_n exceeds every bound: each 1/k of H_{2n} − H_n is at least 1/(2n)",
             Holds(ge(1 / k, 1 / n), (ge(n, k),), domains, {n: k + s}),
             "n terms, together at least 1/2, for each doubling"),
        Step("H_30 < 4", Ground(gt(4, harmonic[0])), "at G = 1 the lemma still holds there"),
        Step("H_31 > 4", Ground(gt(harmonic[1], 4)), "and fails at T = 31, for g_t = 1/√t"),
    )  # fmt: skip


# -- the telescoping sum of the proof for Adam -----------------------------------------------------


def telescoped() -> tuple[Step, ...]:
    """Σ a_t (w_t − w_{t−1}) ≤ A w_T for 0 <= a_t <= A and w_t non-decreasing, w_0 = 0."""
    (a, d, w, e, c), domains = nonnegative("a", "d", "w", "e", "c")
    most, now = a + d, w + e
    return (
        Step("S ≤ A·w_(t−1) gives S + a_t·(w_t − w_(t−1)) ≤ A·w_t",
             Holds(ge(most * now, (most * w - c) + a * (now - w)), (), domains),
             "A = a_t + d, w_t = w_(t−1) + e, S = A·w_(t−1) − c: the spare is d·e + c.  Induction"),
    )  # fmt: skip


def weight(q: Quotient) -> Expr:
    """Return D_t/α_t with α_t = α/√t, as the rule has D_t."""
    return sp.sqrt(t) * q.denominator / alpha


def scheduled_line(rule: Rule, q: Quotient) -> Step:
    """The rule's line of x at α_t = α/√t: a step of m̂_t over D_t/α_t."""
    m = first_moment(rule)
    assert m is not None
    scheduled = {alpha: alpha / sp.sqrt(t)}
    moment = m.new / (1 - m.beta**t) if q.corrected else m.new
    domains = {s.name: "nonnegative" for s in q.denominator.free_symbols if s.name.endswith("_new")}
    return Step("with α_t = α/√t the rule's line is x − m̂_t/w_t (m_t where nothing is corrected), "
                "w_t = √t·D_t/α",
                Identity(rule.late.new["x"].subs(scheduled),
                         q.kept.subs(scheduled) - moment / weight(q), domains),
                "the weights of the telescoping sum, Γ_t = w_t − w_(t−1)")  # fmt: skip


#: Two steps, the second gradient smaller; the moment is the gradient, so D_t is read off each step.
PAIRS = grid(g1="1 2", g2="1 1/2 1/4", beta1="0", beta2="1/2 3/4 1/4", eps="0")


def _weights(run: Run, rule: Rule, q: Quotient, p: Point) -> tuple[Interval, ...]:
    """Return x_1, x_2 (with x_1 = 0), w_1 and w_2 at α = 1, as a run shows them."""
    m = first_moment(rule)
    assert m is not None
    base = {**rule.fill(p), "alpha": Fraction(1), "lambda_": ZERO, m.beta.name: ZERO}
    trace = run(base, [p["g1"], p["g2"]], ZERO)
    d = [observed(rule, q, base, trace, k) for k in (1, 2)]
    return trace.x[0], trace.x[1], d[0], d[1] * Interval.of(2).sqrt()


def _sum_beyond_bound(run: Run, rule: Rule, q: Quotient, p: Point, z: Fraction | None) -> Interval:
    """Return Σ (x_t − x*)²Γ_t − max (x_t − x*)²·w_2 of two steps; without z, x* = x_2."""
    x1, x2, w1, w2 = _weights(run, rule, q, p)
    a1, a2 = ((x1 - x2).power(2), Interval.of(0)) if z is None else (
        (x1 - z).power(2), (x2 - z).power(2))  # fmt: skip
    return a1 * w1 + a2 * (w2 - w1) - a1.maximum(a2) * w2


@claim("adam-proof-telescoping", family=FAMILY, source=KB15("proof of Theorem 10.5"),
       says="The sum in the convergence proof telescopes to its last term.",
       statement="Σ_{t≤T} (x_t−x*)²·(D_t/α_t − D_{t−1}/α_{t−1}) ≤ Δ²·D_T/α_T along every run, with "
                 "Δ the largest |x_t − x*| and α_t = α/√t.",
       repaired_by="telescoping-condition")  # fmt: skip
def adam_proof_telescoping(rule: Rule) -> Case | None:
    """False for Adam: after a large gradient let the second be small, and x* = x_2."""
    q, gamma = quotient(rule), adam_gamma_indefinite(rule)
    if q is None or gamma is None:
        return None
    steps = (*gamma.steps, scheduled_line(rule, q), *telescoped()) if gamma.steps else ()
    return Case(steps, control=_not_telescoped(),
                runs=Runs(lambda run, p: _sum_beyond_bound(run, rule, q, p, None), PAIRS))  # fmt: skip


def _not_telescoped() -> Holds:
    """The induction with a weight that falls."""
    (a, d, w, e), domains = nonnegative("a", "d", "w", "e")
    return Holds(ge((a + d) * w, (a + d) * (w + e) + a * (w - (w + e))), (), domains)


@claim("telescoping-condition", family=FAMILY, source=HERE,
       says="When the sum in the convergence proof telescopes.",
       statement="Σ_{t≤T} a_t·Γ_t ≤ A·D_T/α_T holds for all T and all a_t in [0, A] iff no "
                 "Γ_t = D_t/α_t − D_{t−1}/α_{t−1} is negative.",
       hypotheses="α_t = α/√t; A > 0.")  # fmt: skip
def telescoping_condition(rule: Rule) -> Case | None:
    """If: the induction.  Only if: a_t = A until the weight falls, and then a_t = 0."""
    q, gamma = quotient(rule), adam_gamma_indefinite(rule)
    if q is None or gamma is None:
        return None
    (w,), domains = nonnegative("w")
    most, e = symbol("A", "positive"), symbol("e", "positive")
    before = symbol("W", "positive")
    domains |= dict.fromkeys(("A", "W", "e"), "positive")
    last = Step("a_t = A for t < T and a_T = 0 give A·w_(T−1), which exceeds A·w_T if Γ_T < 0",
                Holds(gt(most * before, most * w), (gt(before, w),), domains, {before: w + e}),
                "on a run: x* = x_T.  So a negative Γ_T breaks the bound: only if")  # fmt: skip

    def excess(run: Run, p: Point) -> Interval:
        _, _, w1, w2 = _weights(run, rule, q, p)
        if (w2 - w1).lo < 0:
            return Interval.of(-1)  # Γ_2 is negative: nothing is said
        return _sum_beyond_bound(run, rule, q, p, p["g3"])

    over = grid(g1="1 1/2", g2="1 1/2", g3="-1 -2", beta1="0", beta2="1/2 3/4", eps="0")
    return Case((scheduled_line(rule, q), *telescoped(), last), control=_not_telescoped(),
                runs=Runs(excess, over))  # fmt: skip


# -- the proof for AMSGrad -------------------------------------------------------------------------

#: What D_t/(α_t(1−β1t)) is, where m is corrected and where not.
_WEIGHT = ("D_t the rule's own denominator, ε included.  Where m is corrected the proof's own weight is "
           "(1−β1^t)·√t·D_t/α; this is about √t·D_t alone.")  # fmt: skip


@claim("amsgrad-proof-gap", family=FAMILY, source=TP19("section 1, on Theorem 4 of Reddi et al."),
       says="A maximum that never falls is all that AMSGrad's convergence proof needs.",
       statement="D_t/(α_t(1−β1t)) is non-decreasing for every gradient sequence and every "
                 "non-increasing β1t, α_t = α/√t.",
       hypotheses=_WEIGHT, repaired_by="amsgrad-proof-condition")  # fmt: skip
def amsgrad_proof_gap(rule: Rule) -> Case | None:
    """β1t = 1/2, then 0: 1/(1−β1t) halves, and √t grows by √2 only.  D_t does not depend on β1."""
    q = quotient(rule)
    if q is None or maximum(rule) is None:
        return None

    def excess(run: Run, p: Point) -> Interval:
        _, _, w1, w2 = _weights(run, rule, q, p)
        return w1 / (1 - p["b1"]) - w2 / (1 - p["b2"])

    return Case(runs=Runs(excess, grid(g1="1 2", g2="1/2 1", b1="1/2 2/3", b2="0 1/3",
                                       beta2="3/4 1/2", eps="0")))  # fmt: skip


@claim("amsgrad-proof-condition", family=FAMILY, source=TP19("sections 1 and 4, AdamX"),
       says="What AMSGrad's convergence proof needs.",
       statement="D_t/(α_t(1−β1t)) is non-decreasing iff √t·D_t·(1−β1,t−1) ≥ √(t−1)·D_{t−1}·(1−β1t).  "
                 "So it is for constant or non-decreasing β1t; at ε = 0 for AdamX's D_t = √v̂_t, v̂_t = "
                 "max(v̂_{t−1}(1−β1t)²/(1−β1,t−1)², v_t), and every β1t, while at ε = 1 it can fail; and "
                 "for β1t = β1/t and non-decreasing D_t from t = 4 on, while at t = 2 (β1 = 1/2) and at "
                 "t = 3 (β1 = 9/10) it can fail.",
       hypotheses=f"α_t = α/√t, β1t in [0, 1).  {_WEIGHT}")  # fmt: skip
def amsgrad_proof_condition(rule: Rule) -> Case | None:
    """Cross-multiply; then each schedule."""
    q, gamma = quotient(rule), adam_gamma_indefinite(rule)
    if q is None or gamma is None or maximum(rule) is None:
        return None

    def excess(run: Run, p: Point) -> Interval:
        _, _, w1, w2 = _weights(run, rule, q, p)
        early, late = min(p["beta1"], p["mu"]), max(p["beta1"], p["mu"])
        return w1 / (1 - early) - w2 / (1 - late)

    # μ stands for a second β1t: `_weights` runs at β1 = 0, and D_t does not depend on it
    return Case((scheduled_line(rule, q), *gamma.steps, *_schedules(), *_falls()), control=_shrinking(),
                runs=Runs(excess, grid(g1="1 2", g2="1 1/2 1/4", beta1="1/2 3/4", mu="1/2 3/4 7/8",
                                       beta2="1/2 3/4", eps="0")))  # fmt: skip


def _schedules() -> tuple[Step, ...]:
    (p, q, c, e, u), domains = nonnegative("p", "q", "c", "e", "u")
    y, z = symbol("y", "positive"), symbol("z", "positive")
    (n, s), shifted = nonnegative("n", "s")
    domains |= {"y": "positive", "z": "positive"} | shifted
    b = symbol("b", "unit")
    domains |= {"b": "unit"}
    k = symbol("k", "positive")
    domains |= {"k": "positive"}
    grows = (k + 1) ** 3 * (k - b) ** 2 - k**3 * (k + 1 - b) ** 2
    return (
        Step("p/y − q/z = (p·z − q·y)/(y·z)", Identity(p / y - q / z, (p * z - q * y) / (y * z),
             domains), "p = w_t, q = w_(t−1), y = 1−β1t, z = 1−β1,t−1: the condition, both ways"),
        Step("w_t ≥ w_(t−1) and 1−β1t ≤ 1−β1,t−1 give it",
             Holds(ge(p / y, q / z), (ge(p, q), ge(z, y)), domains, {p: q + c, z: y + e}),
             "constant or non-decreasing β1t"),
        Step("a maximum of (y/z)²·u and v is (y/z)²·u + e: over y² it is at least u/z²",
             Holds(ge(((y / z) ** 2 * u + e) / y**2, u / z**2), (), domains),
             "AdamX at ε = 0, where D_t = √v̂_t: the maximum makes up for the falling 1/(1−β1t); roots "
             "keep the order, and √t grows"),
        Step("β1t = β1/t, D_t constant: √t/(1−β1/t) grows from t = k to k + 1 for k ≥ 3",
             Holds(ge(grows, 0), (ge(k, 3),), domains, {k: 3 + n, b: s / (1 + s)}),
             "squared: (k+1)³(k−β1)² ≥ k³(k+1−β1)²; a D_t that grows only helps"),
    )  # fmt: skip


def _falls() -> tuple[Step, ...]:
    """Schedules on which D_t/(α_t(1−β1t)) falls although D_t does not; squares of both sides."""
    half, most = sp.Rational(1, 2), sp.Rational(9, 10)
    first, second = 1 + sp.Rational(1, 20), 1 + sp.Rational(1, 10)  # D_1, D_2 of AdamX at ε = 1
    v_1, v_2 = sp.Rational(1, 400), sp.Rational(7, 1600)
    return (
        Step("β1t = β1/t at constant D_t, from 1 to 2: at β1 = 1/2, √2/(1−β1/2) < 1/(1−β1)",
             Ground(gt(1 / (1 - half) ** 2, 2 / (1 - half / 2) ** 2)), "squares of both"),
        Step("from 2 to 3: at β1 = 9/10, √3/(1−β1/3) < √2/(1−β1/2)",
             Ground(gt(2 / (1 - most / 2) ** 2, 3 / (1 - most / 3) ** 2)), "squares of both"),
        Step("AdamX with g = (1/10, 1/10), β1t = (1/2, 0), β2 = 3/4: √v̂_1 = 1/20 and √v̂_2 = 1/10",
             Ground(eq(sp.Max(v_1 / (1 - half) ** 2, v_2), (second - 1) ** 2)),
             "v̂_1 = v_1 = (1/4)/100 and v_2 = (3/4)·v_1 + (1/4)/100, so v̂_2 = v̂_1/(1/2)²"),
        Step("so at ε = 1 √t·D_t/(1−β1t) falls from 21/10 to √2·11/10",
             Ground(gt((first / (1 - half)) ** 2, 2 * second**2)),
             "squares of both: the maximum scales v̂_t, and not ε"),
    )  # fmt: skip


def _shrinking() -> Holds:
    """The second schedule with β1t that shrinks."""
    (q, c, e), domains = nonnegative("q", "c", "e")
    z = symbol("z", "positive")
    return Holds(ge((q + c) / (z + e), q / z), (), {**domains, "z": "positive"})
