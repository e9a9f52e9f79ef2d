"""AdaBound: what its bounds do to the rate, and what they do not do to the regret.

The theorem of Luo et al. (2019) takes any monotone bounds that close in on one rate, however late; its
bound on the regret does not say when they do.  Savarese (2019) found the flaw and a repair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import sympy as sp

from .catalogue import claim, grid
from .evaluate import value
from .interval import Interval
from .records import Case, Every, Expr, Holds, Identity, Point, Run, Runs, Step
from .roles import Average, first_moment, same
from .rule import Regime, Rule
from .sources import LX19, S19
from .symbols import alpha_final, g, gamma, ge, gt, symbol, t, x

FAMILY = "relatives"
ZERO = Fraction(0)
POSITIVE = {"gamma_": "positive", "alpha_final": "positive"}


@dataclass(frozen=True)
class Bounded:
    """x' = x − scale·clip(rate, lower, upper)·m_t, the bounds functions of t alone."""

    m: Average
    rate: Expr
    lower: Expr
    upper: Expr
    scale: Expr  # 1 or 1/√t

    @property
    def clipped(self) -> Expr:
        """The rate between its bounds."""
        return sp.Min(sp.Max(self.rate, self.lower), self.upper)

    @property
    def growth(self) -> Expr:
        """How much 1/rate can grow in a step: t/η_l(t) − (t−1)/η_u(t−1)."""
        return t / self.lower - (t - 1) / self.upper.subs(t, t - 1)


@cache
def bounded(rule: Rule) -> Bounded | None:
    """Recognise a clipped rate by the minimum of a maximum in the parameter's line."""
    m = first_moment(rule)
    if m is None or rule.only is None:
        return None
    line, of_time = rule.only.new["x"], {t, alpha_final, gamma}
    for clip in line.atoms(sp.Min):
        inner = [a for a in clip.args if isinstance(a, sp.Max)]
        upper = [a for a in clip.args if a.free_symbols <= of_time]
        lower = [a for i in inner for a in i.args if a.free_symbols <= of_time]
        rates = [a for i in inner for a in i.args if not a.free_symbols <= of_time]
        if len(clip.args) != 2 or not len(inner) == len(upper) == len(lower) == len(rates) == 1:
            continue
        for scale in (sp.Integer(1), 1 / sp.sqrt(t)):
            if same(rule, line, x - scale * clip * m.new):
                return Bounded(m, rates[0], lower[0], upper[0], scale)
    return None


def _clip() -> tuple[Step, ...]:
    """A clipped number lies between its bounds."""
    r, low, d = symbol("r"), symbol("low"), symbol("d", "nonnegative")
    clipped = sp.Min(sp.Max(r, low), low + d)
    domains = {"d": "nonnegative"}
    return (
        Step("clip(r, l, u) ≥ l for l ≤ u", Holds(ge(clipped, low), (), domains), "u = l + d"),
        Step("clip(r, l, u) ≤ u", Holds(ge(low + d, clipped), (), domains), "a minimum"),
    )


def _closing(lower: Expr, upper: Expr) -> tuple[Step, ...]:
    """Both bounds tend to α* monotonically, and their distance."""
    d, domains = symbol("δ", "positive"), {**POSITIVE, "δ": "positive"}
    up, down = alpha_final / (gamma * t + 1), alpha_final / (gamma * t)
    rise = alpha_final * gamma / ((gamma * t + 1) * (gamma * (t + 1) + 1))
    return (
        Step("α* − η_l(t) = α*/(γt+1)", Identity(alpha_final - lower, up, domains), "the rule's own"),
        Step("η_u(t) − α* = α*/(γt)", Identity(upper - alpha_final, down, domains), "the rule's own"),
        Step("η_l(t+1) − η_l(t) = α*γ/((γt+1)(γ(t+1)+1))",
             Identity(lower.subs(t, t + 1) - lower, rise, domains), "so η_l increases"),
        Step("η_u(t) − η_u(t+1) = α*/(γt(t+1))",
             Identity(upper - upper.subs(t, t + 1), down / (t + 1), domains), "so η_u decreases"),
        Step("width η_u(t) − η_l(t) = α*(2γt+1)/(γt(γt+1))",
             Identity(upper - lower, alpha_final * (2 * gamma * t + 1) / (gamma * t * (gamma * t + 1)),
                      domains), "> 0, so l ≤ u"),
        Step("α*/(γt+1) ≤ α*/(γt)", Holds(ge(down, up), (), domains), "so |clip − α*| ≤ α*/(γt)"),
        Step("α*/(γt) < δ for every t > α*/(γδ)",
             Holds(gt(d, down), (gt(t, alpha_final / (gamma * d)),), domains),
             "δ > 0 is arbitrary: both bounds, and what they hold, tend to α*"),
    )  # fmt: skip


@claim("adabound-limits", family=FAMILY, source=LX19("section 4"),
       says="AdaBound turns into SGD.",
       statement="Both bounds tend to α* monotonically, α*(2γt+1)/(γt(γt+1)) apart, and x_t differs "
                 "from x_(t−1) − α*·m_t by at most α*|m_t|/(γt) (both over √t where the rate is): SGD "
                 "with momentum in averaged form, plain SGD iff β1 = 0.",
       hypotheses="γ > 0, α* > 0; the bounds of the paper's section 5.")  # fmt: skip
def adabound_limits(rule: Rule) -> Case | None:
    """Read the bounds off the rule; no gradient enters them."""
    b = bounded(rule)
    if b is None:
        return None
    buffer, beta = symbol("b"), b.m.beta
    scaled = b.scale != 1

    def excess(run: Run, p: Point) -> Interval:
        trace, worst = run(p, [p["g1"], p["g2"], p["g3"]], ZERO), Interval.of(-1)
        for k in (1, 2, 3):
            m = trace.state[b.m.name][k]
            root = Interval.of(k).sqrt() if scaled else Interval.of(1)
            apart = abs((trace.x[k] - trace.x[k - 1]) * root + p["alpha_final"] * m)
            worst = worst.maximum(apart - p["alpha_final"] * abs(m) / (p["gamma_"] * k))
        return worst

    return Case(
        (Step("x' = x − clip(rate, η_l(t), η_u(t))·m_t" + ("/√t" if scaled else ""),
              Identity(rule.late.new["x"], x - b.scale * b.clipped * b.m.new, POSITIVE),
              "the rule's own line"),
         *_clip(), *_closing(b.lower, b.upper),
         Step("m_t = (1−β1)·b_t with the heavy ball b_t = β1·b_(t−1) + g_t",
              Identity(rule.late.new[b.m.name].xreplace({b.m.old: (1 - beta) * buffer}),
                       (1 - beta) * (beta * buffer + g)), "so the limit is SGD with momentum")),
        control=Identity(b.upper - b.lower, 2 * alpha_final / (gamma * t), POSITIVE),
        runs=Runs(excess, grid(g1="1 2 -1", g2="1 -1/2", g3="1 8 -1", alpha="1 1/4", alpha_final="1 1/2",
                               gamma_="1 1/4", beta1="0 1/2", beta2="3/4", eps="0 1")),
    )  # fmt: skip


# -- the regret ------------------------------------------------------------------------------------


@cache
def scheduled(rule: Rule) -> Bounded | None:
    """Recognise the form that the theorems are about: a clipped rate over √t."""
    b = bounded(rule)
    return b if b is not None and b.scale != 1 else None


@cache
def opened(rule: Rule) -> Rule:
    """Return the rule while its bounds have not moved: η_l = ``low``, η_u = ``high``."""
    b = bounded(rule)
    assert b is not None
    swap = {b.lower: symbol("low", "positive"), b.upper: symbol("high", "positive")}
    lines = {n: e.xreplace(swap) for n, e in rule.late.new.items()}
    return replace(rule, regimes=(Regime(lines),), domains={"low": "positive", "high": "positive"})


@claim("adabound-rate-monotone", family=FAMILY, source=LX19("proof of Theorem 4"),
       says="AdaBound's rate η_t never increases, as the proof of its convergence takes it.",
       statement="η_t = clip(α/√v_t, η_l(t), η_u(t))/√t is non-increasing for every gradient sequence.",
       repaired_by="adabound-regret-closing")  # fmt: skip
def adabound_rate_monotone(rule: Rule) -> Case | None:
    """A large gradient, then a small one: monotone bounds hold a rate that is not monotone."""
    b = scheduled(rule)
    if b is None:
        return None

    def excess(run: Run, p: Point) -> Interval:
        trace = run(p, [p["g1"], p["g2"]], ZERO)
        m = trace.state[b.m.name]
        rates = [(trace.x[k - 1] - trace.x[k]) / m[k] for k in (1, 2)]
        return rates[1] - rates[0]

    return Case(runs=Runs(excess, grid(g1="1 2 4", g2="1 1/2", beta1="0", beta2="1/2 1/4", alpha="1",
                                       alpha_final="1", gamma_="1/4 1/8")))  # fmt: skip


@cache
def played(rule: Rule, c: Fraction, rounds: int) -> tuple[Interval, Interval]:
    """Play Reddi's game: f_t(x) = Cx if t mod 3 = 1 else −x on [−1, 1], from x_1 = 1.

    β1 = 0, β2 = 1/(1+C²), α = 1/C; the bounds are 1/C² and √(1+1/C²)/C, which no rate leaves.

    Returns:
        The regret after that many rounds, and the bound of Theorem 4 of Luo et al. (2019) on it.
    """
    low, high = 1 / c**2, Interval.of(1 + 1 / c**2).sqrt().hi / c
    point = {"alpha": 1 / c, "beta1": ZERO, "beta2": 1 / (1 + c**2), "low": low, "high": high}
    gradients = [c if k % 3 == 1 else Fraction(-1) for k in range(1, rounds + 1)]
    trace = opened(rule).run(point, gradients)
    regret = clamped_regret(trace.x, gradients)
    root = Interval.of(rounds).sqrt()
    rate = (trace.x[-2] - trace.x[-1]) / gradients[-1] * root  # η̂_T
    told = 4 * root / (2 * rate) + (2 * root - 1) * high * c**2
    return regret, told


@claim("adabound-regret", family=FAMILY, source=LX19("Theorem 4"),
       says="AdaBound's regret is O(√T), with a constant that knows only the first bounds.",
       statement="Regret ≤ D²√T/(2η̂_T) + (2√T−1)·η_u(1)·G² for all bounds 0 < η_l(t) ≤ η_l(t+1), "
                 "η_u(t) ≥ η_u(t+1) with one limit, convex losses with slopes at most G on an interval "
                 "of length D (one coordinate, β1 = 0, α/√t).",
       about="papers", repaired_by="adabound-regret-closing")  # fmt: skip
def adabound_regret(rule: Rule) -> Case | None:
    """Bounds that stay open for T rounds leave Adam as it is, and Reddi's game defeats it.

    The theorem's proof takes 1/η_t to be non-decreasing, which monotone bounds do not make it.
    """
    if scheduled(rule) is None or len(rule.initial) != 2:  # m and v: no running maximum
        return None

    def excess(p: Point) -> Interval:
        regret, told = played(rule, p["C"], int(p["T"]))
        return regret - told

    over = tuple({"C": Fraction(10), "T": Fraction(k)} for k in range(3, 91, 3))
    return Case(statement=Every("regret − bound ≤ 0 after T rounds of Reddi's game", excess, over))


def _one_round() -> tuple[Step, ...]:
    """What one projected step does to the distance d from the best point."""
    d, e, n = symbol("d"), symbol("e"), symbol("η", "positive")
    u0, up, s = (symbol(name, "nonnegative") for name in ("d0", "u", "s"))
    domains = {"η": "positive", "u": "nonnegative", "s": "nonnegative"}
    n2 = symbol("ζ", "positive")
    return (
        Step("g·d = (d² − (d−ηg)²)/(2η) + η·g²/2",
             Identity((d**2 - (d - n * g) ** 2) / (2 * n) + n * g**2 / 2, g * d, domains),
             "and f(x) − f(x*) ≤ g·d, as f is convex"),
        Step("clamping y > hi ≥ c to hi brings it nearer to c: (y−c)² ≥ (hi−c)²",
             Holds(ge((up + s) ** 2, up**2), (), domains), "hi = c + u, y = hi + s; below likewise"),
        Step("Abel: d²/(2ζ) − d²/(2η) − e²/(2ζ) + d²/(2η) = (d² − e²)/(2ζ)",
             Identity(d**2 * (1 / n2 - 1 / n) / 2 - e**2 / (2 * n2) + d**2 / (2 * n),
                      (d**2 - e**2) / (2 * n2), {**domains, "ζ": "positive"}),
             "so Σ (d_t² − d_(t+1)²)/(2η_t) is d_1²/(2η_1) + Σ d_t²(1/η_t − 1/η_(t−1))/2 less a square"),
        Step("d_1²/(2η_1) ≤ D²/(2η_l(1))", Holds(ge((u0 + s) ** 2 / (2 * n), u0**2 / (2 * (n + up))), (),
             {**domains, "d0": "nonnegative"}), "D = d_1 + s, η_1 = η_l(1) + u"),
    )  # fmt: skip


def _increments() -> tuple[Step, ...]:
    """1/η_t − 1/η_(t−1) ≤ M/√t from t/η_l(t) − (t−1)/η_u(t−1) ≤ M, and Σ 1/√t ≤ 2√T."""
    names = ("l", "a", "h", "b", "r", "s", "k")
    low, a, high, b, r, s, k = (symbol(n, "nonnegative" if n in "abk" else "positive") for n in names)
    domains = {n: "nonnegative" if n in "abk" else "positive" for n in names}
    n, now2 = symbol("n", "natural"), (s + k) ** 2
    now, after = sp.sqrt(n), sp.sqrt(n + 1)
    return (
        Step("√t/η̂_t ≤ √t/η_l(t)", Holds(ge(r / low, r / (low + a)), (), domains), "η̂_t = η_l + a"),
        Step("√(t−1)/η̂_(t−1) ≥ √(t−1)/η_u(t−1)",
             Holds(ge(s / high, s / (high + b)), (), domains), "η_u = η̂ + b, η̂ = h"),
        Step("√t·(√t/η_l − √(t−1)/η_u) ≤ t/η_l − (t−1)/η_u ≤ M",
             Holds(ge(now2 / low - s**2 / high, (s + k) * ((s + k) / low - s / high)), (), domains),
             "√t = s + k ≥ s = √(t−1): so 1/η_t − 1/η_(t−1) ≤ M/√t"),
        Step("2√(n+1) − 2√n − 1/√(n+1) = (√(n+1) − √n)²/√(n+1)",
             Identity(2 * after - 2 * now - 1 / after, (after - now) ** 2 / after, {"n": "natural"}),
             "which is ≥ 0; 1 ≤ 2√1: Σ 1/√t ≤ 2√T by induction"),
    )  # fmt: skip


def _both_sums() -> tuple[Step, ...]:
    """What the increments and the squares of the slopes add up to."""
    names = ("D", "e", "M", "k", "q", "w", "G")
    d, e, big, k, q, w, most = (symbol(n, "nonnegative") for n in names)
    signs, s = dict.fromkeys(names, "nonnegative"), symbol("s", "positive")
    return (
        Step("d_t²·(1/η_t − 1/η_(t−1)) ≤ D²·M/√t",
             Holds(ge((d + e) ** 2 * (big + k), d**2 * big), (), signs),
             "d_t ≤ D; an increment that is negative is below that anyway"),
        Step("η_t·g² ≤ η_u(1)·G²/√t", Holds(ge((q + w) ** 2 * (most + e), q**2 * most), (), signs),
             "|g| ≤ G, η̂_t ≤ η_u(t) ≤ η_u(1)"),
        Step("halves of both sums: (D²M/2)·2√T + (η_u(1)G²/2)·2√T = (D²M + η_u(1)G²)√T",
             Identity(d**2 * big / 2 * (2 * s) + most * e**2 / 2 * (2 * s),
                      (d**2 * big + most * e**2) * s, {**signs, "s": "positive"}), "s = √T"),
    )  # fmt: skip


def _own_growth(gap: Expr, most: Expr) -> tuple[Step, ...]:
    """The paper's bounds have M = (1 + 2/γ)/α*."""
    left, more = 1 / (alpha_final * gamma * (gamma * (t - 1) + 1)), symbol("u", "nonnegative")
    return (
        Step("the paper's bounds: t/η_l(t) − (t−1)/η_u(t−1) = (1+2/γ)/α* − 1/(α*γ(γ(t−1)+1))",
             Identity(gap, most - left, POSITIVE), "the rule's own bounds"),
        Step("which is at most M = (1+2/γ)/α*",
             Holds(ge(left.subs(t, 1 + more), 0), (), {**POSITIVE, "u": "nonnegative"}),
             "t = 1 + u, u ≥ 0"),
    )  # fmt: skip


@claim("adabound-regret-closing", family=FAMILY, source=S19("Theorem 2"),
       says="AdaBound's regret depends on how soon its bounds close.",
       statement="If t/η_l(t) − (t−1)/η_u(t−1) ≤ M for every t ≥ 2, then the regret is at most "
                 "D²/(2η_l(1)) + (D²·M + η_u(1)·G²)·√T.  The paper's bounds have M = (1 + 2/γ)/α*.",
       hypotheses="convex losses, one coordinate, interval of length D, nearest point of it after each "
                  "step, slopes at most G in size; β1 = 0, rate η̂_t/√t with 0 < η_l(t) ≤ η̂_t ≤ η_u(t), "
                  "η_u non-increasing, M ≥ 0.")  # fmt: skip
def adabound_regret_closing(rule: Rule) -> Case | None:
    """Online gradient descent with a rate whose inverse grows by at most M/√t."""
    ours = scheduled(rule)
    if ours is None:
        return None

    def excess(run: Run, p: Point) -> Interval:
        slopes = [p[n] for n in ("g1", "g2", "g3", "g4")]
        at = {**rule.fill(p), ours.m.beta.name: ZERO}
        low, high = (value(e.subs(t, 1), at) for e in (ours.lower, ours.upper))
        most, big = max(map(abs, slopes)), value(m, at)
        told = 2 / low + (4 * big + high * most**2) * Interval.of(len(slopes)).sqrt()
        return clamped_regret(run(at, slopes, ZERO).x, slopes) - told

    gap, m = ours.growth, (1 + 2 / gamma) / alpha_final
    return Case(
        (*_one_round(), *_increments(), *_both_sums(), *_own_growth(gap, m)),
        control=Holds(ge(1 / alpha_final, gap), (gt(t, 1),), POSITIVE),
        runs=Runs(excess, grid(g1="1 -8", g2="-1 2 1/4", g3="-1 1/8", g4="1 -2", beta2="3/4 1/4",
                               alpha="1 1/4", alpha_final="1 1/4 8", gamma_="1 1/8")),
    )  # fmt: skip


def clamped_regret(xs: Sequence[Interval], slopes: Sequence[Fraction]) -> Interval:
    """Return the regret of linear losses on [-1, 1] from x = 1, of a run whose steps are these.

    The state does not know x, so the clamp changes no step.
    """
    where, suffered = Interval.of(1), Interval.of(0)
    for k, slope in enumerate(slopes):
        suffered = suffered + where * slope
        where = where + (xs[k + 1] - xs[k])
        where = -((-(where.maximum(-1))).maximum(-1))
    return suffered + abs(sum(slopes, ZERO))  # the best point of [−1, 1] is an end
