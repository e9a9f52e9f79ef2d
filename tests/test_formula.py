"""Formulas in print: golden pages, and the promise that what is printed is what was lifted."""

import re
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import mpmath
import pytest
import sympy as sp
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from matplotlib.mathtext import MathTextParser

from adamproof.proofs_check import formula
from adamproof.proofs_check.build import Recipe
from adamproof.proofs_check.formula import latex, latex_expr, lines, unicode, unicode_expr
from adamproof.proofs_check.lift import lift
from adamproof.theory import symbols as sym
from adamproof.theory.rule import Regime, Rule
from adamproof.theory.rules import RULES, named

O = torch.optim  # noqa: E741
LIFTED: dict[str, Recipe] = {
    "sgd": Recipe(O.SGD, {"momentum": 0.9}),
    "sgd-dampened": Recipe(O.SGD, {"momentum": 0.9, "dampening": 0.5}),
    "sgd-nesterov": Recipe(O.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "adagrad": Recipe(O.Adagrad, {"lr_decay": 0.1, "weight_decay": 0.1}),
    "rmsprop": Recipe(O.RMSprop, {"centered": True, "momentum": 0.9}),
    "adadelta": Recipe(O.Adadelta),
    "adamax": Recipe(O.Adamax, {"foreach": True}),
    "adam": Recipe(O.Adam),
    "adam-l2-maximize": Recipe(O.Adam, {"weight_decay": 0.1, "maximize": True, "foreach": True}),
    "adamw": Recipe(O.AdamW, {"foreach": True}),
    "amsgrad": Recipe(O.Adam, {"amsgrad": True}),
    "nadam": Recipe(O.NAdam, {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    "radam": Recipe(O.RAdam),
}


@cache
def lifted(name: str) -> Rule:
    return lift(LIFTED[name]).rule


def page(name: str) -> str:
    return unicode(lifted(name), LIFTED[name].sources())


MOMENTS = """\
m_t = β₁·m_{t−1} + (1 − β₁)·g_t
v_t = β₂·v_{t−1} + (1 − β₂)·g_t²
"""
RATES = "α = lr > 0, β₁ = betas[0] ∈ [0, 1), β₂ = betas[1] ∈ [0, 1), ε = eps ≥ 0"
WHERE = "where g_t is the gradient at x_{t−1}, t = 1, 2, 3, …; "
GOLDEN = {
    "adam": f"""\
m₀ = v₀ = 0
{MOMENTS}\
m̂_t = m_t / (1 − β₁ᵗ)
v̂_t = v_t / (1 − β₂ᵗ)
x_t = x_{{t−1}} − α·m̂_t / (√v̂_t + ε)
{WHERE}{RATES}""",
    "adamw": f"""\
m₀ = v₀ = 0
{MOMENTS}\
m̂_t = m_t / (1 − β₁ᵗ)
v̂_t = v_t / (1 − β₂ᵗ)
x_t = (1 − α·λ)·x_{{t−1}} − α·m̂_t / (√v̂_t + ε)
{WHERE}{RATES}, λ = weight_decay > 0""",
    "amsgrad": f"""\
m₀ = v₀ = u₀ = 0
{MOMENTS}\
u_t = max(u_{{t−1}}, v_t)
m̂_t = m_t / (1 − β₁ᵗ)
û_t = u_t / (1 − β₂ᵗ)
x_t = x_{{t−1}} − α·m̂_t / (√û_t + ε)
{WHERE}{RATES}""",
    "sgd": f"""\
b₀ = 0
b_t = μ·b_{{t−1}} + g_t
x_t = x_{{t−1}} − α·b_t
{WHERE}α = lr > 0, μ = momentum ∈ (0, 1)""",
    "sgd-dampened": f"""\
b₀ = 0
for t = 1:
    b_t = g_t
    x_t = x_{{t−1}} − α·g_t
for t > 1:
    b_t = μ·b_{{t−1}} + (1 − τ)·g_t
    x_t = x_{{t−1}} − α·b_t
{WHERE}α = lr > 0, μ = momentum ∈ (0, 1), τ = dampening ∈ [0, 1)""",
    "radam": f"""\
m₀ = v₀ = 0
ρ_∞ = 2 / (1 − β₂) − 1
ρ_t = ρ_∞ − 2·t·β₂ᵗ / (1 − β₂ᵗ)
{MOMENTS}\
m̂_t = m_t / (1 − β₁ᵗ)
when ρ_t ≤ 5:
    x_t = x_{{t−1}} − α·m̂_t
when ρ_t > 5:
    r_t = √(ρ_∞·(ρ_t − 2)·(ρ_t − 4) / (ρ_t·(ρ_∞ − 2)·(ρ_∞ − 4)))
    x_t = x_{{t−1}} − α·r_t·√(1 − β₂ᵗ)·m̂_t / (√v_t + ε)
{WHERE}{RATES}""",
    "nadam": f"""\
m₀ = v₀ = 0, M₀ = 1
{MOMENTS}\
μ_t = β₁·(1 − 0.96^(ψ·t) / 2)
M_t = μ_t·M_{{t−1}}
v̂_t = v_t / (1 − β₂ᵗ)
μ_{{t+1}} = β₁·(1 − 0.96^(ψ·(t + 1)) / 2)
x_t = (1 − α·λ)·x_{{t−1}} − α·((1 − μ_t)·g_t / (1 − M_t) \
+ μ_{{t+1}}·m_t / (1 − μ_{{t+1}}·M_t)) / (√v̂_t + ε)
{WHERE}{RATES}, λ = weight_decay > 0, ψ = momentum_decay ≥ 0""",
    "adadelta": f"""\
v₀ = Δ₀ = 0
v_t = ρ·v_{{t−1}} + (1 − ρ)·g_t²
d_t = g_t·√(Δ_{{t−1}} + ε) / √(v_t + ε)
Δ_t = ρ·Δ_{{t−1}} + (1 − ρ)·d_t²
x_t = x_{{t−1}} − α·d_t
{WHERE}α = lr > 0, ε = eps ≥ 0, ρ = rho ∈ [0, 1)""",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_page_reads_like_the_paper(name: str) -> None:
    assert page(name) == GOLDEN[name]


# -- what is printed is what was lifted ------------------------------------------------------------


def value_at(rule: Rule, symbol: sp.Symbol, k: int) -> sp.Rational:
    """A generic value inside the symbol's domain; the moments, being under roots, positive."""
    domain = rule.all_domains.get(symbol.name, "real")
    if domain == "natural":
        return sp.Integer(3 + k)
    if domain == "unit":
        return sp.Rational(2 * k + 3, 2 * k + 7)
    negative = symbol.name in ("x", "g", "exp_avg", "grad_avg", "momentum_buffer")
    return sp.Rational(5 * k + 3, 7) * (-1 if negative and k % 2 else 1)


def assert_lines_are_the_rule(rule: Rule, regime: Regime) -> None:
    """Evaluate both to 30 digits: the small checker, which confirms rewrites, has no part in it."""
    flat = rule.transition(regime)
    symbols = sorted({s for e in (*flat.values(), *regime.when) for s in e.free_symbols}, key=str)
    env = {s: value_at(rule, s, k) for k, s in enumerate(symbols)}
    told: dict[sp.Symbol, Any] = dict(env)
    for symbol, expr in lines(rule, regime):
        assert symbol not in told
        assert expr.free_symbols <= told.keys(), "a line speaks of what has no line before it"
        told[symbol] = expr.evalf(40, subs=told)
    for name, expr in flat.items():
        lifted_value = expr.evalf(40, subs=env)
        assert abs(told[sym.new(name)] - lifted_value) < 1e-30 * (1 + abs(lifted_value))


@pytest.mark.parametrize("name", RULES)
def test_lines_are_the_papers_rule(name: str) -> None:
    for regime in named(name).regimes:
        assert_lines_are_the_rule(named(name), regime)


@pytest.mark.parametrize("name", LIFTED)
def test_lines_are_the_lifted_rule(name: str) -> None:
    for regime in lifted(name).regimes:
        assert_lines_are_the_rule(lifted(name), regime)


@pytest.mark.parametrize("rewrite", ["_fold", "_average", "_hats", "_common_factor", "_schedule"])
def test_wrong_rewrite_is_dropped(rewrite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(_: object, __: str, expr: sp.Expr) -> tuple[sp.Expr, dict[sp.Symbol, sp.Expr]]:
        return expr + sp.Symbol("d_t") * sym.g, {sp.Symbol("d_t"): sym.alpha}

    monkeypatch.setattr(formula, rewrite, wrong)
    assert_lines_are_the_rule(named("adam+l2"), named("adam+l2").late)


def test_formula_that_the_checker_does_not_know_stays_as_it_is() -> None:
    m, m_t = sym.old("exp_avg"), sym.new("exp_avg")
    moved = m + (1 - sym.beta1) * (sp.exp(sym.g) - m)
    rule = Rule("user", {"exp_avg": sp.S.Zero}, (Regime({"exp_avg": moved, "x": sym.x - m_t}),))
    assert lines(rule) == [(m_t, moved), (sym.new("x"), sym.x - m_t)]
    assert "m_t = m_{t−1} + (1 − β₁)·(e^(g_t) − m_{t−1})" in unicode(rule)


def test_hats_only_where_the_quotient_is_used() -> None:
    told = unicode(named("adam-eps-hat"))
    assert "m̂_t = " in told
    assert "v̂" not in told
    assert "̂" not in unicode(named("amsgrad"))


def test_names_that_would_read_alike_are_written_as_in_code() -> None:
    new = {"exp_avg_sq": sym.g**2, "square_avg": sym.old("exp_avg_sq") + sym.old("square_avg"),
           "x": sym.x - sym.new("exp_avg_sq") * sym.new("square_avg")}  # fmt: skip
    rule = Rule("user", {"exp_avg_sq": sp.S.Zero, "square_avg": sp.S.Zero}, (Regime(new),))
    told = unicode(rule).splitlines()
    assert told[1:4] == [
        "exp_avg_sq_t = g_t²",
        "square_avg_t = exp_avg_sq_{t−1} + square_avg_{t−1}",
        "x_t = x_{t−1} − exp_avg_sq_t·square_avg_t",
    ]


def test_name_of_a_quantity_in_between_is_not_taken_by_the_state() -> None:
    # r is a state entry here, and r_t the name that the rectifier would get.
    rule = named("radam")
    late = Regime({"r": sym.old("r") + sym.g, **rule.late.new}, rule.late.when)
    told = unicode(replace(rule, initial={**rule.initial, "r": sp.S.Zero}, regimes=(late,)))
    assert "    r_new = r_{t−1} + g_t\n" in told
    assert "x_t = x_{t−1} − α·r_t·√" in told


def test_assumption_that_is_no_domain_is_told() -> None:
    rule = replace(named("adam"), assumes=(sp.Ne(sym.eps, 0), sp.Gt(sym.beta2, sym.beta1**2)))
    assert unicode(rule).endswith("ε > 0; given β₂ > β₁²")


# -- characters ------------------------------------------------------------------------------------

a, b1, t, C = sym.alpha, sym.beta1, sym.t, sp.Symbol("C", real=True)
k = sp.Symbol("k", integer=True)
g1, g2 = sym.symbol("g1"), sym.symbol("g2")
EXPRESSIONS = [
    (sym.x - a * (1 - b1) * (b1 * g1 + g2), "x₀ − α·(1 − β₁)·(β₁·g₁ + g₂)"),
    (b1 ** (t - 1) + b1 ** (2 * t) + b1**-t, "1 / β₁ᵗ + β₁^(2·t) + β₁ᵗ⁻¹"),
    (C**2 + 1 + 4 * C - sp.Rational(1, 2) * t, "C² + 4·C + 1 − t / 2"),
    (sp.Rational(3, 4) ** t * sp.Rational(-9, 10), "−0.9·(3/4)ᵗ"),
    ((a - 1) ** sp.Rational(3, 2) / (C * t), "(α − 1)^(3/2) / (C·t)"),
    (-(a + C) / 2, "−C / 2 − α / 2"),
    (sp.sqrt(2) * sp.sqrt(C), "√2·√C"),
    (sp.Le(sym.new("exp_avg"), sp.Max(sym.old("exp_avg"), sp.Abs(sym.g))),
     "m_t ≤ max(m_{t−1}, |g_t|)"),
    (sp.Ne(sym.lambda_, 0), "λ ≠ 0"),
    (sp.Eq(sp.Sum(b1**k, (k, 0, t - 1)), 1 / (1 - b1)), "(Σ_{k=0}^{t − 1} β₁ᵏ) = 1 / (1 − β₁)"),
    (1 + sp.Sum((1 - b1) * C, (k, 1, t)), "1 + (Σ_{k=1}^{t} C·(1 − β₁))"),
    (sp.Limit(1 / t, t, sp.oo), "lim_{t → ∞} 1 / t"),
    (sp.Limit(sym.x + 1, sym.x, 0), "lim_{x → 0⁺} (x + 1)"),
    (sp.Integral(C**2, (C, -sp.oo, sp.oo)), "∫_{−∞}^{∞} C² dC"),
    (sp.And(t > 3, sp.Or(C < 1, C > 2)), "(C < 1 or C > 2) and t > 3"),
    (sp.Function("f")(t + 1) * sp.pi, "π·f(t + 1)"),
    (sym.symbol("gamma_") + sym.symbol("eta_2") + sym.symbol("max_lr"), "max_lr + η₂ + γ"),
]  # fmt: skip


@pytest.mark.parametrize(("expr", "told"), EXPRESSIONS, ids=[told for _, told in EXPRESSIONS])
def test_expression_in_unicode(expr: sp.Basic, told: str) -> None:
    assert unicode_expr(expr) == told


def test_caller_may_name_a_symbol() -> None:
    assert unicode_expr((1 - b1) * sym.g, names={"g": "g"}) == "(1 − β₁)·g"


def test_long_expression_is_quick() -> None:
    # Without a memory of what is written, each level would be written twice as often.
    expr = sym.x
    for i in range(1, 40):
        expr = sp.sqrt(expr + a) * sym.symbol(f"g{i}")
    assert unicode_expr(expr).count("√") == 39


LEAVES = [sym.x, sym.g, t, a, b1, sym.eps, sym.old("exp_avg"), sym.new("exp_avg_sq"), C]
numbers = st.fractions(-4, 4, max_denominator=10).map(sp.Rational)
expressions = st.recursive(
    st.sampled_from(LEAVES) | numbers,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda p: p[0] + p[1]),
        st.tuples(inner, inner).map(lambda p: p[0] - p[1]),
        st.tuples(inner, inner).map(lambda p: p[0] * p[1]),
        st.tuples(inner, inner).map(lambda p: p[0] / p[1]),
        st.tuples(inner, st.sampled_from([-2, -1, 2, 3, t, t - 1, -t])).map(lambda p: p[0] ** p[1]),
        inner.map(sp.sqrt),
    ),
    max_leaves=8,
)


def read(text: str) -> str:
    """Turn printed text back into Python, by characters alone."""
    raised = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵗ", "0123456789+−t")
    text = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵗ]+", lambda m: f"**({m[0].translate(raised)})", text)
    for i, symbol in sorted(enumerate(LEAVES), key=lambda pair: -len(unicode_expr(pair[1]))):
        text = re.sub(rf"(?<![\w{{]){re.escape(unicode_expr(symbol))}(?![\w{{])", f"s{i}", text)
    text = re.sub(r"\|([^|]*)\|", r"abs(\1)", text)
    text = re.sub(r"√(\w+)", r"sqrt(\1)", text.replace("√(", "sqrt("))
    text = text.replace("^", "**").replace("·", "*").replace("−", "-")
    return re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)(?![\w.])", r"mpf('\1')", text)


@given(expressions)
def test_text_has_the_value_of_the_expression(expr: sp.Expr) -> None:
    assume(not expr.has(sp.zoo, sp.nan, sp.oo))
    assume(not any(e.args[0].has(sp.Abs) for e in expr.atoms(sp.Abs)))
    values = [Fraction(17 + 4 * i, 23 - 2 * i) if s != t else 3 for i, s in enumerate(LEAVES)]
    with mpmath.workdps(60):
        env = {f"s{i}": mpmath.mpf(v.numerator) / v.denominator for i, v in enumerate(values)}
        try:
            value = sp.lambdify(LEAVES, expr, "mpmath")(*env.values())
        except ZeroDivisionError:
            assume(False)
        known = {"sqrt": mpmath.sqrt, "mpf": mpmath.mpf, "i": mpmath.mpc(0, 1)}
        told = eval(read(unicode_expr(expr)), {**known, **env})
        assert abs(told - value) <= 1e-25 * (1 + abs(value))


# -- LaTeX -----------------------------------------------------------------------------------------


def assert_is_latex(text: str) -> None:
    depth = 0
    for char in re.sub(r"\\[{}]", "", text):
        depth += {"{": 1, "}": -1}.get(char, 0)
        assert depth >= 0
    assert depth == 0
    assert text.count(r"\left") == text.count(r"\right")
    assert text.isascii()
    MathTextParser("agg").parse(f"${text}$")


@pytest.mark.parametrize("name", LIFTED)
def test_latex_of_a_rule_renders(name: str) -> None:
    text = latex(lifted(name), LIFTED[name].sources())
    blocks = re.findall(r"\\begin\{aligned\}\n(.*?)\n\\end\{aligned\}", text, re.DOTALL)
    regimes = len(lifted(name).regimes)
    assert len(blocks) == text.count(r"\begin") == (2 if regimes == 1 else 2 + regimes)
    for block in blocks:
        for line in block.split(" \\\\\n"):
            assert line.count("&") == 1
            assert_is_latex(line.replace("&", "").replace(r"\colon", ":"))


@pytest.mark.parametrize("expr", [e for e, _ in EXPRESSIONS], ids=[told for _, told in EXPRESSIONS])
def test_latex_of_an_expression_renders(expr: sp.Basic) -> None:
    assert_is_latex(latex_expr(expr))


def test_latex_of_adam() -> None:
    told = latex(lifted("adam"), LIFTED["adam"].sources())
    assert r"m_t &= \beta_1 \, m_{t-1} + \left(1 - \beta_1\right) \, g_t \\" in told
    assert r"\hat v_t &= \frac{v_t}{1 - \beta_2^{t}} \\" in told
    assert r"x_t &= x_{t-1} - \frac{\alpha \, \hat m_t}{\sqrt{\hat v_t} + \varepsilon}" in told
    assert r"\varepsilon = \mathtt{eps} \geq 0" in told
