"""Section 1, steps without bias correction: how far they are from those with it, at every t."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import sympy as sp

from .bias_correction import FAMILY, ratio_squared
from .catalogue import claim, grid
from .interval import Interval
from .lemmas import bernoulli
from .rates import effective_rate, gradient_of
from .records import Case, Every, Expr, Ground, Holds, Identity, Point, Run, Runs, Step
from .roles import first_moment, quotient, second_moment
from .rule import Rule
from .sources import FOLKLORE, HERE
from .symbols import alpha, beta1, beta2, eps, g, ge, gt, symbol, t, x

#: One step at the default betas; the start is 0, so that no L2 penalty is felt.
AT_DEFAULTS = grid(g1="1", alpha="1", beta1="9/10", beta2="999/1000")
#: Where r_t is largest at the default betas, and where the bound on all later ones is used.
PEAK = max(range(1, 200), key=ratio_squared)
PEAK_VALUE = f"{float(ratio_squared(PEAK)) ** 0.5:.4f}"


@dataclass(frozen=True)
class Uncorrected:
    """A rule that divides m_t (or, with no first moment, what enters) by D_t, nothing corrected.

    Attributes:
        enters: g, or g + λx.
        weight: that of the newest gradient in the numerator, 1 − β1 or 1.
        denominator: D_t.
    """

    enters: Expr
    weight: Expr
    denominator: Expr

    def ratio(self, p: Point, k: int) -> Interval:
        """Return r_k at the betas of a point."""
        kept = 1 if self.weight == 1 else 1 - p["beta1"] ** k
        return kept / Interval.of(1 - p["beta2"] ** k).sqrt()


def uncorrected(rule: Rule) -> Uncorrected | None:
    """Read it off the rule, where its averages are smoothed by β1 and β2."""
    q, m, v = quotient(rule), first_moment(rule), second_moment(rule)
    if v is None or v.beta != beta2 or rule.only is None:
        return None
    if m is not None:
        plain = q is not None and not q.corrected and q.kept == x and m.beta == beta1
        return Uncorrected(m.input, 1 - beta1, q.denominator) if q and plain else None
    rate = effective_rate(rule)
    return Uncorrected(gradient_of(rule), sp.Integer(1), rate.denominator) if rate else None


def _first_step(run: Run, p: Point) -> Interval:
    return abs(run(p, [p["g1"]], Fraction(0)).x[1])


def _at_start(rule: Rule, found: Uncorrected) -> Step:
    """x_1 − x_0, from the rule's own lines."""
    g1 = symbol("g1")
    enters = found.enters.xreplace({g: g1})
    told = alpha * found.weight / sp.sqrt(1 - beta2) * enters / sp.Abs(enters)
    return Step("x_1 = x_0 − α·r_1·g/|g|, r_1 = " + ("" if found.weight == 1 else "(1−β1)·")
                + "1/√(1−β2)", Identity(rule.unrolled(1)["x"].subs(eps, 0), x - told),
                "the rule at t = 1, ε = 0; g is what enters, an L2 penalty included")  # fmt: skip


@claim("uncorrected-steps-tiny", family=FAMILY, source=FOLKLORE,
       says="Without correction the first steps are very small.",
       statement="Without correction |x_1 − x_0| ≤ α at β = (0.9, 0.999) (β2 alone where no m is kept), "
                 "ε = 0.",
       repaired_by="uncorrected-ratio")  # fmt: skip
def uncorrected_steps_tiny(rule: Rule) -> Case | None:
    """One step with a unit gradient at the default betas."""
    if uncorrected(rule) is None:
        return None
    return Case(runs=Runs(lambda run, p: _first_step(run, p) - p["alpha"], AT_DEFAULTS))


@claim("uncorrected-thirty-times", family=FAMILY, source=FOLKLORE,
       says="Without correction the first step is about 30 times too large.",
       statement="Without any correction |x_1 − x_0| ≥ 30·α at β = (0.9, 0.999) (β2 alone where no m "
                 "is kept), ε = 0.",
       hypotheses="g_1 ≠ 0.", repaired_by="uncorrected-first-step")  # fmt: skip
def uncorrected_thirty_times(rule: Rule) -> Case | None:
    """The same step; thirty times holds only where nothing makes the numerator small as well."""
    found = uncorrected(rule)
    if found is None:
        return None
    if found.weight != 1:
        return Case(runs=Runs(lambda run, p: 30 * p["alpha"] - _first_step(run, p), AT_DEFAULTS))
    square, at = 1 / (1 - sp.Rational(999, 1000)), {"beta2": Fraction(999, 1000)}
    return Case(
        (_at_start(rule, found),
         Step("r_1² = 1000 ≥ 30² at β2 = 0.999", Ground(ge(square, 900)), "no m is kept")),
        control=Ground(ge(square, 32**2)),
        runs=Runs(lambda run, p: 30 * p["alpha"] - _first_step(run, {**p, **at}),
                  grid(g1="1 -2 1/2", alpha="1 1/2")),
    )  # fmt: skip


@claim("uncorrected-first-step", family=FAMILY, source=HERE,
       says="How large the first uncorrected step is.",
       statement="|x_1 − x_0| = α·r_1 with r_1 = (1−β1)/√(1−β2) (ε = 0), below α iff (1−β1)² < 1−β2; "
                 "where no m is kept, or m is corrected and v not, r_1 = 1/√(1−β2): 10 at β2 = 0.99, "
                 "between 31 and 32 at β2 = 0.999.",
       hypotheses="ε = 0; g_1 ≠ 0 (with an L2 penalty g_1 + λx_0 ≠ 0).")  # fmt: skip
def uncorrected_first_step(rule: Rule) -> Case | None:
    """Read off the rule at t = 1."""
    found = uncorrected(rule)
    if found is None:
        return None
    r1, many = (1 - beta1) / sp.sqrt(1 - beta2), 1 / (1 - sp.Rational(999, 1000))
    n, d, s = symbol("n", "positive"), symbol("d", "positive"), symbol("s", "nonnegative")
    signs = {"n": "positive", "d": "positive", "s": "nonnegative"}

    def excess(run: Run, p: Point) -> Interval:
        return abs(_first_step(run, p) - p["alpha"] * found.ratio(p, 1))

    names = {} if found.weight == 1 else {"beta1": "1/2 1/4 9/10"}
    return Case(
        (_at_start(rule, found),
         Step("r_1² = n/d with n = (1−β1)², d = 1−β2", Identity(r1**2, (1 - beta1) ** 2 / (1 - beta2)),
              "both are > 0"),
         Step("n/d < 1 if n < d", Holds(gt(1, n / d), (gt(d, n),), signs), "the exact condition"),
         Step("n/d ≥ 1 if n ≥ d", Holds(ge(n / d, 1), (ge(n, d),), signs, {n: d + s}), "only then"),
         Step("m corrected, v not: the ratio is 1/√(1−β2)",
              Identity(r1 / (1 - beta1), 1 / sp.sqrt(1 - beta2)), "divide by 1−β1"),
         Step("at β2 = 0.99 it is 10", Ground(sp.Eq(1 / (1 - sp.Rational(99, 100)), 10**2,
              evaluate=False)), "100 = 10²"),
         Step("at β2 = 0.999 it is below 32: 32² > 1000", Ground(gt(sp.Integer(32) ** 2, many)),
              "hence “thirty”"),
         Step("and above 31: 1000 > 31²", Ground(gt(many, sp.Integer(31) ** 2)), "31² = 961"),
         Step("while (1−β1)/√(1−β2) < 4 at the default betas", Ground(gt(16, ratio_squared(1))),
              "not thirty")),
        control=Holds(gt(1, r1**2)),
        runs=Runs(excess, grid(g1="1 2 -1", alpha="1 1/2", beta2="3/4 1/2 99/100", eps="0", **names)),
    )  # fmt: skip


def _never_above() -> tuple[Step, ...]:
    """r_t ≤ 1 for every t iff β2 ≤ β1, in p = β1^t and q = β2^t."""
    p, q, s = symbol("p", "unit"), symbol("q", "unit"), symbol("s", "positive")
    u, w = symbol("u", "nonnegative"), symbol("w", "nonnegative")
    units = {"p": "unit", "q": "unit"}
    over = (q - 2 * p) + p**2
    return (
        Step("1 − q − (1−p)² = (p − q) + p(1−p)",
             Identity(1 - q - (1 - p) ** 2, (p - q) + p * (1 - p), units), "r_t² = (1−p)²/(1−q)"),
        Step("p(1−p) ≥ 0", Holds(ge(p * (1 - p), 0), (), units), "so r_t ≤ 1 where q ≤ p"),
        Step("β2 ≤ β1 gives β2^t ≤ β1^t: from w ≤ u follows β2·w ≤ β1·u",
             Holds(ge(beta1 * u, beta2 * w), (ge(beta1, beta2), ge(u, w)),
                   {"u": "nonnegative", "w": "nonnegative"}), "induction on t: if"),
        Step("(1−p)² − (1−q) = (q − 2p) + p²", Identity((1 - p) ** 2 - (1 - q), over, units),
             "so r_t > 1 where q > 2p"),
        Step("which is > 0 for q > 2p", Holds(gt(over, 0), (gt(q, 2 * p),), {**units, "s": "positive"},
             {q: 2 * p + s}),
             "and at β1 = 0 < β2 as well, where p = 0 < q"),
        *bernoulli(),
        Step("β2 = β1·(1+s) with s > 0:  q/p = (1+s)^t ≥ 1 + t·s > 2 for every t > 1/s",
             Holds(gt(1 + t * s, 2), (gt(t, 1 / s),), {"s": "positive"}), "Bernoulli: only if"),
    )  # fmt: skip


def _peak() -> tuple[Step, ...]:
    """Where r_t is largest at the default betas: a finite list, and a bound on the rest."""
    top, q, r = ratio_squared(PEAK), symbol("q", "unit"), symbol("r", "unit")
    highest = Fraction(top.p, top.q)
    tail = 1 / (1 - sp.Rational(999, 1000) ** 200)

    def above(point: Point) -> Fraction:
        value = ratio_squared(int(point["t"]))
        return Fraction(value.p, value.q) - highest

    return (
        Step(f"at the default betas r_t ≤ r_{PEAK} ≈ {PEAK_VALUE} for t = 1 … 199",
             Every(f"r_t² ≤ r_{PEAK}² for t = 1 … 199", above,
                   tuple({"t": Fraction(k)} for k in range(1, 200))), "all of them, exactly"),
        Step("1/(1−r) ≤ 1/(1−q) for r = β2^t ≤ q = β2^200",
             Holds(ge(1 / (1 - q), 1 / (1 - r)), (ge(q, r),), {"q": "unit", "r": "unit"}),
             "so r_t² ≤ 1/(1−β2^t) ≤ 1/(1−β2^200) for every t ≥ 200"),
        Step(f"1/(1−β2^200) < r_{PEAK}²", Ground(gt(top, tail)), "so no later step is larger"),
    )  # fmt: skip


@claim("uncorrected-ratio", family=FAMILY, source=HERE,
       says="What a step without correction is to the step with it.",
       statement="A step without correction is r_t = (1−β1^t)/√(1−β2^t) times the step that the "
                 "corrections make of the same m_t and v_t; under a constant gradient it is α·r_t long. "
                 "r_t ≤ 1 for every t iff β2 ≤ β1; at β = (0.9, 0.999) r_t is largest at "
                 f"t = {PEAK}, where r_t ≈ {PEAK_VALUE}.",
       hypotheses="ε = 0, a zero start; β1 = 0, and g_t for m_t, where no m is kept; the running "
                  "maximum for v_t where that divides; a gradient other than 0, a penalty included; the "
                  "step before a momentum adds to it.")  # fmt: skip
def uncorrected_ratio(rule: Rule) -> Case | None:
    """The two corrections are factors; r_t² = (1−p)²/(1−q)."""
    found, m, v = uncorrected(rule), first_moment(rule), second_moment(rule)
    if found is None or v is None:
        return None
    d, c = found.denominator.subs(eps, 0), symbol("c")
    held = m.new if m else found.enters
    kept = 1 - beta1**t if m else sp.Integer(1)
    ratio = kept / sp.sqrt(1 - beta2**t)

    def excess(run: Run, p: Point) -> Interval:
        trace, out = run(p, [p["g1"]] * 3), Interval.of(0)
        moved = [Interval.of(0)] + [b - a for a, b in pairwise(trace.x)]
        for k, (a, b) in enumerate(pairwise(moved), start=1):
            carried = b - p.get("mu", Fraction(0)) * a
            out = out.maximum(abs(abs(carried) - p["alpha"] * found.ratio(p, k)))
        return out

    names = {n: k for n, k in (("beta1", "1/2 1/4"), ("mu", "1/2 1/4")) if n in rule.hyper}
    return Case(
        (Step("at ε = 0: " + ("m_t" if m else "g_t") + "/D_t = r_t times the same, corrected",
              Identity(held / d, ratio * (held / kept) / (d / sp.sqrt(1 - beta2**t))),
              "the rule's own D_t; it is divided by √(1−β2^t), m_t by 1−β1^t"),
         *(Step(f"a constant input c: {a.name} = {told} at every t",
                Identity(a.beta * told.subs(t, t - 1) + (1 - a.beta) * e, told), "induction from 0")
           for a, e in ((m, c), (v, c**2)) if a and (told := e * (1 - a.beta**t)) is not None),
         Step("so m_t/√v_t = r_t·c/|c|", Identity(c * kept / sp.sqrt(c**2 * (1 - beta2**t)),
              ratio * c / sp.Abs(c)), "g_t for m_t where none is kept"),
         *(() if d.has(v.new) else (Step("v_t never falls, so it is its own maximum",
           Holds(ge(1 - beta2 ** (t + 1), 1 - beta2**t)), "1−β2^t grows"),)),
         *_never_above(), *_peak()),
        control=Identity(held / d, (held / kept) / (d / sp.sqrt(1 - beta2**t))),
        runs=Runs(excess, grid(g1="1 2 -1", alpha="1 1/2", beta2="3/4 1/2", eps="0", lambda_="0",
                               **names)),
    )  # fmt: skip
