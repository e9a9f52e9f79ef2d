"""Section 2, special betas: sign descent at β1 = β2 = 0, a weighted variance at β1 = β2."""

from __future__ import annotations

from functools import cache

import sympy as sp

from .amsgrad import maximum
from .catalogue import claim, grid
from .interval import Interval
from .records import Case, Expr, Holds, Identity, Point, Run, Runs, Step
from .roles import Average, first_moment, same, second_moment
from .rule import Rule, expand
from .sources import B18, HERE, OG25
from .step_size import ZERO
from .symbols import alpha, beta1, beta2, eps, g, ge, gt, lambda_, old, symbol, t, x

FAMILY = "step size"


def without_memory(rule: Rule) -> Expr | None:
    """Return the line of x at β1 = β2 = 0, in the regime that the rule is in there."""
    zero = {beta1: sp.Integer(0), beta2: sp.Integer(0)}
    if not {"beta1", "beta2"} <= set(rule.hyper):
        return None
    for regime in rule.regimes:
        if all(c.subs(zero) == sp.true for c in regime.when):
            return expand(regime.new)["x"].xreplace(zero)
    return None


@cache
def _memoryless(rule: Rule) -> tuple[str, Expr] | None:
    """Return which step a rule takes at β1 = β2 = 0: its name, and x' − kept."""
    line = without_memory(rule)
    if line is None:
        return None
    try:
        entered, kept = _entered(rule, line)
    except ValueError:  # a bound on 0/0, as AdaBound has it
        return None
    forms = {
        "sign": -alpha * entered / (sp.Abs(entered) + eps),
        "sign alone": -alpha * sp.sign(entered),
        "none": sp.Integer(0),
        "SGD": -alpha * entered,
        "SGD with rate α/(√ε+ε)": -alpha * entered / (sp.sqrt(eps) + eps),
        "SGD with rate α/ε": -alpha * entered / eps,
    }
    if name := maximum(rule):
        largest = sp.sqrt(sp.Max(old(name), entered**2))
        forms["sign over the largest so far"] = -alpha * entered / (largest + eps)
    return next(((k, f) for k, f in forms.items() if same(rule, line - kept, f)), None)


def _entered(rule: Rule, line: Expr) -> tuple[Expr, Expr]:
    """Return what enters, the gradient and an L2 penalty, and x' where that is 0."""
    entered = g + lambda_ * x if _penalised(rule) else g
    return entered, line.subs(g, g - entered)


def _penalised(rule: Rule) -> bool:
    m = first_moment(rule)
    return m is not None and m.input.has(x)


@claim("sign-descent", family=FAMILY, source=B18("where Adam is compared"),
       says="With β1 = β2 = 0 Adam is sign descent.",
       statement="At β1 = β2 = 0 every step is −α·sign(g_t), for every ε ≥ 0.",
       hypotheses="decay aside; with L2 g_t is what enters.",
       repaired_by="sign-descent-exact")  # fmt: skip
def sign_descent(rule: Rule) -> Case | None:
    """ε shortens the step; RAdam never divides at all there.  Of Lion it holds."""
    found, line = _memoryless(rule), without_memory(rule)
    if found is None or line is None:
        return None
    steps: tuple[Step, ...] = ()
    entered, kept = _entered(rule, line)
    if found[0] == "sign alone":
        steps = (Step("x' − kept = −α·sign(g)", Identity(line - kept, found[1]),
                      "the lines at β1 = β2 = 0"),)  # fmt: skip

    def excess(run: Run, p: Point) -> Interval:
        sign = 1 if p["g1"] > 0 else -1
        return abs(run(p, [p["g1"]], ZERO).x[1] + p["alpha"] * sign)

    runs = Runs(excess, grid(g1="1 2", eps="0 1", alpha="1", beta1="0", beta2="0"))
    return Case(steps, control=Identity(line - kept, -alpha * entered) if steps else None, runs=runs)


@claim("sign-descent-exact", family=FAMILY, source=HERE,
       says="What Adam and its relatives are at β1 = β2 = 0.",
       statement="At β1 = β2 = 0 the step is −α·g_t/(|g_t|+ε), decay aside: sign descent iff ε = 0; "
                 "for AMSGrad −α·g_t/(max_{i≤t}|g_i| + ε); for RAdam −α·g_t and for AdaBelief "
                 "−α·g_t/(√ε+ε), or −α·g_t/ε where no ε is added to its average, all of which are SGD; "
                 "for Lion −α·sign(g_t), as it has no ε; RAdam that waits for its threshold stays.",
       hypotheses="g_t ≠ 0 (at ε = 0 it is 0/0), ε > 0 for AdaBelief; with L2 g_t is what "
                  "enters.")  # fmt: skip
def sign_descent_exact(rule: Rule) -> Case | None:
    """The rule's own line at β1 = β2 = 0."""
    found, line = _memoryless(rule), without_memory(rule)
    if found is None or line is None:
        return None
    kind, form = found
    (entered, kept), a = _entered(rule, line), symbol("a", "positive")
    near = -alpha * entered / (sp.Abs(entered) + 2 * eps + 1)

    def excess(run: Run, p: Point) -> Interval:
        trace = run(p, [p["g1"], p["g2"]], ZERO)
        past = p["g1"] ** 2 if "largest" in kind else ZERO
        at = {"g": p["g2"], "eps": p["eps"], "alpha": p["alpha"]}
        e = Interval.of(p["eps"])
        if kind == "none":
            return abs(trace.x[2] - trace.x[1])
        below = {
            "sign alone": Interval.of(abs(at["g"])), "SGD": Interval.of(1),
            "SGD with rate α/ε": e, "SGD with rate α/(√ε+ε)": e.sqrt() + e,
        }.get(kind, Interval.of(max(past, at["g"] ** 2)).sqrt() + e)  # fmt: skip
        return abs((trace.x[2] - trace.x[1]) * below + at["alpha"] * at["g"])

    runs = Runs(excess, grid(g1="1 2 -1", g2="1 -1 1/2", eps="1 1/2", alpha="1", beta1="0", beta2="0",
                             lambda_="0", psi="1"))  # fmt: skip
    shape = Step(f"x' − kept = {form}", Identity(line - kept, form), f"{kind}: the lines at β1 = β2 = 0")
    return Case((shape, *_shortfall(rule, kind, a)), control=Identity(line - kept, near), runs=runs)


def _shortfall(rule: Rule, kind: str, a: Expr) -> tuple[Step, ...]:
    """How far from α the step is."""
    u, e, name = symbol("u", "nonnegative"), symbol("e", "positive"), maximum(rule)
    domains = {"a": "positive", "u": "nonnegative", "e": "positive"}
    if kind == "sign":
        return (
            Step("|g|/(|g|+ε) = 1 − ε/(|g|+ε), with a = |g|",
                 Identity(a / (a + eps), 1 - eps / (a + eps), domains), "1 at ε = 0: if"),
            Step("1 − ε/(|g|+ε) < 1 for ε > 0", Holds(gt(1, a / (a + e)), (), domains), "only if"),
        )  # fmt: skip
    if not name or not kind.startswith("sign"):
        return ()
    line = rule.transition()[name].xreplace({beta1: sp.Integer(0), beta2: sp.Integer(0)})
    entered = g + lambda_ * x if _penalised(rule) else g
    return (
        Step("the stored maximum is max(u_(t−1), g_t²)", Identity(line, sp.Max(old(name), entered**2)),
             "so it is the largest g_i² so far, by induction from 0"),
        Step("with |g| + u the largest so far the step is α|g|/(|g|+u+ε) ≤ α",
             Holds(ge(1, a / (a + u + eps)), (), domains), "α exactly iff u = 0 and ε = 0"),
    )  # fmt: skip


def _equal(rule: Rule) -> tuple[Average, Average, Expr, Expr] | None:
    """Return m, v and their lines at β2 = β1."""
    m, v = first_moment(rule), second_moment(rule)
    if m is None or v is None or not same(rule, v.input, m.input**2):
        return None
    lines = rule.late.new
    return m, v, lines[m.name], lines[v.name].subs(v.beta, m.beta)


def _variance(rule: Rule) -> tuple[Step, ...]:
    """v̂_t − m̂_t² as a weighted variance, from the rule's lines at β2 = β1."""
    found = _equal(rule)
    assert found is not None
    m, v, m_line, v_line = found
    b, c, q = m.beta, symbol("c"), symbol("q", "nonnegative")
    w, wide = 1 - b**t, symbol("W", "positive")

    def spread(first: Expr, second: Expr, k: Expr) -> Expr:
        return second - 2 * c * first + c**2 * (1 - b**k)

    domains = {"q": "nonnegative", "W": "positive"}
    added = b * q + (1 - b) * (m.input - c) ** 2
    mean = m.new / w
    return (
        Step("Q_t(c) := v_t − 2c·m_t + c²·(1−β^t) obeys Q_t = β·Q_(t−1) + (1−β)(g_t − c)², Q_0 = 0",
             Identity(spread(m_line, v_line, t),
                      b * spread(m.old, v.old, t - 1) + (1 - b) * (m.input - c) ** 2),
             "the rule's own lines at β1 = β2 = β; so Q_t(c) = Σ (1−β)β^(t−i)(g_i − c)²"),
        Step("and stays ≥ 0", Holds(ge(added, 0), (), domains), "induction"),
        Step("at c = m̂_t:  Q_t(m̂_t)/(1−β^t) = v̂_t − m̂_t²",
             Identity(spread(m.new, v.new, t).subs(c, mean) / w, v.new / w - mean**2),
             "the weights (1−β)β^(t−i)/(1−β^t) sum to 1, so it is their variance"),
        Step("so v_t·(1−β^t) ≥ m_t²: with q = Q_t(m̂_t) ≥ 0, v_t = q + m_t²/(1−β^t)",
             Holds(ge(wide * (q + m.new**2 / wide), m.new**2), (), domains), "W = 1−β^t > 0"),
    )  # fmt: skip


def _ratio() -> tuple[Step, ...]:
    """|m̂| ≤ √v̂ from v̂ = m̂² + s."""
    n, s = symbol("n"), symbol("s", "nonnegative")
    domains = {"s": "nonnegative"}
    root = sp.sqrt(n**2 + s)
    gap = s / (root * (root + sp.Abs(n)))
    return (
        Step("v̂ = m̂² + s:  1 − |m̂|/√v̂ = s/(√v̂·(√v̂ + |m̂|))",
             Identity(1 - sp.Abs(n) / root, gap, domains), "multiply by √v̂ + |m̂|; n = m̂"),
        Step("which is ≥ 0: |m̂_t|/√v̂_t ≤ 1", Holds(ge(gap, 0), (), domains), "signs"),
    )  # fmt: skip


@claim("equal-betas-variance", family=FAMILY, source=OG25("β1 = β2"),
       says="With β1 = β2 the difference v̂ − m̂² is an exponentially weighted variance, so "
            "|m̂|/√v̂ ≤ 1.",
       statement="v̂_t − m̂_t² = Σ w_i (g_i − m̂_t)² with w_i = (1−β)β^(t−i)/(1−β^t), so "
                 "|m̂_t|/√v̂_t ≤ 1, for every t and gradient sequence. Without the corrections v_t − m_t² "
                 "= W·(v̂_t − m̂_t²) + W(1−W)·m̂_t² ≥ 0, W = 1−β^t.",
       hypotheses="β1 = β2 = β < 1, a zero start, v̂_t > 0 in the quotient; with L2 g_i is what "
                  "enters.")  # fmt: skip
def equal_betas_variance(rule: Rule) -> Case | None:
    """A sum of squares around any centre, by induction; the weighted mean is one."""
    found = _equal(rule)
    if found is None:
        return None
    m, v, *_ = found
    wide, first, second = symbol("W", "positive"), symbol("n"), symbol("s", "nonnegative")
    domains = {"W": "positive", "s": "nonnegative"}
    raw = wide * (second + first**2) - (wide * first) ** 2

    def excess(run: Run, p: Point) -> Interval:
        b, gs = p["beta1"], [p["g1"], p["g2"], p["g3"]]
        trace = run({**p, "beta2": b, "lambda_": ZERO}, gs, ZERO)
        weights = [(1 - b) * b ** (3 - i) / (1 - b**3) for i in (1, 2, 3)]
        mean = sum((w * k for w, k in zip(weights, gs, strict=True)), ZERO)
        told = sum((w * (k - mean) ** 2 for w, k in zip(weights, gs, strict=True)), ZERO)
        first, second = (trace.state[a.name][3] / (1 - b**3) for a in (m, v))
        return abs(second - first * first - told)

    return Case(
        (*_variance(rule), *_ratio(),
         Step("without corrections: v − m² = W·s + W(1−W)·m̂², with s = v̂ − m̂²",
              Identity(raw, wide * second + wide * (1 - wide) * first**2, domains),
              "the variance with a zero of weight 1−W put in front: the zero start")),
        control=Identity(raw, wide * second, domains),
        runs=Runs(excess, grid(g1="1 2", g2="1 -1", g3="1 1/2", beta1="1/2 1/4 0", eps="1",
                               **({"psi": "1"} if "psi" in rule.hyper else {}))),
    )  # fmt: skip


@claim("equal-betas-variance-raw", family=FAMILY, source=HERE,
       says="With β1 = β2 the uncorrected v − m² is the weighted variance too.",
       statement="Under a constant gradient v_t − m_t² = 0 at β1 = β2, as for a variance of equal "
                 "numbers.",
       repaired_by="equal-betas-variance")  # fmt: skip
def equal_betas_variance_raw(rule: Rule) -> Case | None:
    """The zero start counts as a gradient; centered RMSprop divides by the root of that."""
    found = _equal(rule)
    if found is None:
        return None
    m, v, *_ = found

    def excess(run: Run, p: Point) -> Interval:
        trace = run({**p, "beta2": p["beta1"], "lambda_": ZERO}, [p["g1"]], ZERO)
        first = trace.state[m.name][1]
        return abs(trace.state[v.name][1] - first * first)

    return Case(runs=Runs(excess, grid(g1="1 2", beta1="1/2 1/4", eps="1")))
