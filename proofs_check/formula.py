"""Formulas as a person writes them: the lines of a rule in the paper's order, in its symbols.

A lifted line is rewritten towards the paper (β·old + (1 − β)·new, m̂, v̂, ρ_t, μ_t), and the small
checker confirms every rewrite.  A rewrite that it does not confirm is dropped, so what is printed
is always what was lifted.
"""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from ..theory import symbols as sym
from ..theory.identity import Budget, Checker, Unsupported
from ..theory.rule import Regime, Rule, expand
from ..theory.symbols import alpha, t, x
from .printer import Latex, Unicode

Line = tuple[sp.Symbol, sp.Expr]
Lets = dict[sp.Symbol, sp.Expr]

_DOMAINS = {
    "nonnegative": (" ≥ 0", r" \geq 0"),
    "positive": (" > 0", " > 0"),
    "unit": (" ∈ [0, 1)", r" \in [0, 1)"),
    "inside": (" ∈ (0, 1)", r" \in (0, 1)"),
    "natural": (" = 1, 2, 3, …", r" = 1, 2, 3, \ldots"),
    "real": (" ∈ ℝ", r" \in \mathbb{R}"),
}
_NOT_ZERO = {"nonnegative": "positive", "positive": "positive", "unit": "inside"}


def lines(rule: Rule, regime: Regime | None = None) -> list[Line]:
    """Return the regime (the late one) in readable let form: quantities in the order of the paper.

    Left of the equations stand the new-state symbols of the rule, ``x_new``, and names for
    quantities in between: ``exp_avg_hat``, ``rho_t`` and the like.
    """
    return _Draft(rule, regime or rule.late).lines()


def unicode(rule: Rule, options: Mapping[str, str] | None = None) -> str:
    """Return the rule as text.

    Args:
        rule: what to print.
        options: symbol name -> the constructor argument that carries it.
    """
    start, common, cases, legend = _page(rule, options or {}, Unicode)
    out = [start, *common]
    for heading, told in cases:
        out += [f"{heading}:", *(f"    {line}" for line in told)]
    return "\n".join(line for line in [*out, f"where {legend}"] if line)


def latex(rule: Rule, options: Mapping[str, str] | None = None) -> str:
    """Return the rule in LaTeX, for math mode: one ``aligned`` environment for each regime.

    Args:
        rule: what to print.
        options: symbol name -> the constructor argument that carries it.
    """
    start, common, cases, legend = _page(rule, options or {}, Latex)
    blocks = [[f"&{start}"] * bool(start) + common]
    blocks += [[rf"&{heading}\colon", *told] for heading, told in cases]
    blocks += [[rf"&\text{{where }} {legend}"]]
    texts = [" \\\\\n".join(line.replace(" = ", " &= ", 1) if "&" not in line else line
                            for line in block) for block in blocks if block]  # fmt: skip
    return "\n\n".join(f"\\begin{{aligned}}\n{text}\n\\end{{aligned}}" for text in texts)


def unicode_expr(expr: sp.Basic, names: Mapping[str, str] | None = None) -> str:
    """Return an expression or relation as text.

    With gradients g1, g2, … in it, x is the starting point x₀; else x and g belong to step t.

    Args:
        expr: what to print.
        names: how to write some symbols, by name, instead of the usual way.

    >>> unicode_expr(sp.Eq(sym.new("exp_avg"), (1 - sym.beta1**t) * sym.g), names={"g": "g"})
    'm_t = (1 − β₁ᵗ)·g'
    """
    return Unicode([expr], names=names).show(expr)


def latex_expr(expr: sp.Basic, names: Mapping[str, str] | None = None) -> str:
    """Return an expression or relation in LaTeX; the arguments are those of `unicode_expr`."""
    return Latex([expr], names=names).show(expr)


# -- lines -----------------------------------------------------------------------------------------


class _Draft:
    """One regime, rewritten line by line; every rewrite is confirmed or dropped."""

    def __init__(self, rule: Rule, regime: Regime) -> None:
        self.rule, self.regime = rule, regime
        self.flat = {sym.new(n): e for n, e in expand(regime.new).items()}
        self.lets: Lets = {}
        self.input: dict[str, tuple[sp.Expr, sp.Expr]] = {}  # average -> its decay, what enters
        self.when = tuple(self._condition(c) for c in regime.when)
        self.formulas: dict[str, sp.Expr] = {}
        for name in _in_order(regime.new):
            self.formulas[name] = regime.new[name]
            for rewrite in (_fold, _schedule, _rectifier, _average, _hats, _common_factor):
                self._accept(name, *rewrite(self, name, self.formulas[name]))
        _name_step(self)

    def _accept(self, name: str, candidate: sp.Expr, lets: Lets) -> None:
        """Take over the candidate if it is shown to be the lifted formula."""
        changed = candidate != self.formulas[name] and self._may_name(lets)
        if changed and self.same(candidate, self.regime.new[name], lets):
            self.formulas[name] = candidate
            self.lets = {**lets, **self.lets}

    def _may_name(self, lets: Lets) -> bool:
        return not {s.name for s in lets} & {*self.rule.hyper, *map(sym.safe, self.rule.initial)}

    def same(self, a: sp.Expr, b: sp.Expr, lets: Lets | None = None) -> bool:
        """Return whether the small checker shows a = b, quantities in between written out."""
        known, checker = {**(lets or {}), **self.lets}, Checker(self.rule.all_domains)
        while known.keys() & (a - b).free_symbols:
            a, b = a.xreplace(known), b.xreplace(known)
        try:
            return checker.is_zero(a - b) or checker.is_zero((a - b).xreplace(self.flat))
        except (Unsupported, Budget):
            return False

    def _condition(self, condition: sp.Basic) -> sp.Basic:
        """Write ρ_t in a condition between regimes."""
        sides = []
        for side in condition.args if condition.is_Relational else ():
            candidate, lets = _rectifier(self, "", side)
            if not (self._may_name(lets) and self.same(candidate, side, lets)):
                return condition
            self.lets = {**lets, **self.lets}
            sides.append(candidate)
        told = condition.func(*sides) if sides else condition
        return told if told.is_Relational else condition

    def lines(self) -> list[Line]:
        """The equations; a quantity in between stands before the first line that speaks of it."""
        out: Lets = {}
        order = [*self.formulas, "x"]
        lets = sorted(self.lets, key=lambda s: order.index(_hatted(self, s)))

        def place(expr: sp.Basic) -> None:
            for let in lets:
                if let in expr.free_symbols and let not in out:
                    place(self.lets[let])
                    out[let] = self.lets[let]

        for condition in self.when:
            place(condition)
        for name, expr in self.formulas.items():
            place(expr)
            out[sym.new(name)] = expr
        return list(out.items())


def _in_order(new: Mapping[str, sp.Expr]) -> list[str]:
    """Order state entries as the papers do (m, v, their maximum, others), after what they use."""
    paper, out = [*sym.STATE, *new], []
    rest = sorted((n for n in new if n != "x"), key=paper.index)
    while rest:
        waiting = {sym.new(n) for n in rest}
        out.append(next(n for n in rest if not new[n].free_symbols & waiting))
        rest.remove(out[-1])
    return [*out, "x"]


# -- rewrites: each proposes a formula and the quantities that it introduces -----------------------


def _hyper(draft: _Draft, expr: sp.Expr) -> list[sp.Symbol]:
    return sorted((s for s in expr.free_symbols if s.name in draft.rule.hyper), key=str)


def _hat(name: str) -> sp.Symbol:
    return sp.Symbol(f"{sym.safe(name)}_hat", real=True)


def _hatted(draft: _Draft, let: sp.Symbol) -> str:
    return next((n for n in draft.formulas if _hat(n) == let), "x")


def _fold(draft: _Draft, name: str, expr: sp.Expr) -> tuple[sp.Expr, Lets]:
    """Write m_t where the formula of m_t was written out."""
    written = ((n, draft.regime.new[n]) for n in draft.formulas if n != name)
    return expr.xreplace({e: sym.new(n) for n, e in written if not e.is_Atom}), {}


def _schedule(draft: _Draft, name: str, expr: sp.Expr) -> tuple[sp.Expr, Lets]:
    """Name μ_t, the factor that a product M_t = M_{t−1}·μ_t takes up, and μ_{t+1}."""
    mu_t, mu_next = sp.symbols("mu_t mu_next", real=True)
    for n in draft.rule.initial:
        factor = draft.regime.new[n] / sym.old(n) if draft.regime.new[n].is_Mul else sp.S.One
        if factor.has(t) and {s.name for s in factor.free_symbols} <= {*draft.rule.hyper, "t"}:
            after = factor.subs(t, t + 1)
            return expr.subs(after, mu_next).subs(factor, mu_t), {mu_t: factor, mu_next: after}
    return expr, {}


def _rectifier(draft: _Draft, name: str, expr: sp.Expr) -> tuple[sp.Expr, Lets]:
    """Name ρ_∞ = 2/(1−β) − 1, ρ_t = ρ_∞ − 2tβ^t/(1−β^t), and a root r_t of both."""
    rho_inf, rho_t, r_t = sp.symbols("rho_inf rho_t r_t", real=True)
    for beta in _hyper(draft, expr):
        longest, lost = 2 / (1 - beta), -2 * t * beta**t / (1 - beta**t)
        if expr.has(longest) and expr.has(lost):
            lets: Lets = {rho_inf: longest - 1, rho_t: rho_inf + lost}
            expr = expr.xreplace({longest: rho_inf + 1, lost: rho_t - rho_inf})
            for root in sorted(expr.atoms(sp.Pow), key=str):
                if root.exp == sp.Rational(1, 2) and root.free_symbols == {rho_inf, rho_t}:
                    return expr.xreplace({root: r_t}), {**lets, r_t: root}
            return expr, lets
    return expr, {}


def _average(draft: _Draft, name: str, expr: sp.Expr) -> tuple[sp.Expr, Lets]:
    """Write an average as β·old + (1 − β)·new: what it is at β = 0 is what enters."""
    old = sym.old(name)
    for symbol in _hyper(draft, expr) if expr.has(old) and name != "x" else ():
        for beta, at in ((symbol, 0), (1 - symbol, 1)):
            entering = expr.subs(symbol, at)
            candidate = beta * old + (1 - beta) * entering
            if not entering.has(sp.zoo, sp.nan, sp.oo) and draft.same(candidate, expr):
                draft.input[name] = (beta, entering)
                return candidate, {}
    return expr, {}


def _hats(draft: _Draft, name: str, expr: sp.Expr) -> tuple[sp.Expr, Lets]:
    """Name m̂_t = m_t/(1 − β^t), also where √m_t stands over √(1 − β^t)."""
    lets: Lets = {}

    def corrected(product: sp.Mul) -> sp.Expr:
        powers = product.as_powers_dict()
        for n in draft.formulas:
            new, p = sym.new(n), powers.get(sym.new(n), sp.S.Zero)
            for base in sorted((b for b in powers if p != 0 and powers[b] == -p), key=str):
                power = 1 - base
                decay = draft.input[n][0] if n in draft.input else power.as_base_exp()[0]
                if power == decay**t and lets.setdefault(_hat(n), new / base) == new / base:
                    return product / new**p * base**p * _hat(n) ** p
        return product

    return expr.replace(lambda e: e.is_Mul, corrected), lets


def _common_factor(draft: _Draft, name: str, expr: sp.Expr) -> tuple[sp.Expr, Lets]:
    """Write the step of x once: x − α·(a + b)/c instead of x − α·a/c − α·b/c."""
    steps = [term for term in sp.Add.make_args(expr) if x not in sp.Mul.make_args(term)]
    if name != "x" or len(steps) < 2:
        return expr, {}
    common = sp.Mul(*set.intersection(*(set(sp.Mul.make_args(step)) for step in steps)))
    inside = sp.Add(*(step / common for step in steps))
    return expr - sp.Add(*steps) + common * inside, {}


def _name_step(draft: _Draft) -> None:
    """Name the step d_t where the state averages its square, as AdaDelta does."""
    expr, d_t = draft.formulas["x"], sp.Symbol("d_t", real=True)
    kept = sp.Add(*(e for e in sp.Add.make_args(expr) if x in sp.Mul.make_args(e)))
    step = (kept - expr) / alpha
    for name, (beta, entering) in draft.input.items():
        later = list(draft.formulas)[list(draft.formulas).index(name) :]
        known = step.free_symbols.isdisjoint({alpha, *map(sym.new, later)})
        if known and entering.is_Mul and draft.same(entering, step**2):
            average = beta * sym.old(name) + (1 - beta) * d_t**2
            draft._accept(name, average, {d_t: step})
            draft._accept("x", kept - alpha * d_t, {d_t: step})


# -- pages -----------------------------------------------------------------------------------------


def _page(
    rule: Rule, options: Mapping[str, str], style: type[Unicode]
) -> tuple[str, list[str], list[tuple[str, list[str]]], str]:
    """Lay a rule out: its start, what all regimes share, what each adds, what the symbols mean."""
    drafts = [_Draft(rule, regime) for regime in rule.regimes]
    shown = [e for d in drafts for pair in d.lines() for e in pair]
    shown += [c for d in drafts for c in (*d.when, *rule.assumes)] + list(rule.initial.values())
    writer = style(shown, states=rule.initial)
    plain = style is Unicode

    common: list[Line] = []
    varying = {s for d in drafts for s, _ in d.lines()}
    for line in drafts[0].lines() if len(drafts) > 1 or not drafts[0].when else ():
        if all(line in d.lines() for d in drafts) and not line[1].free_symbols & varying:
            common.append(line)
            varying.discard(line[0])

    def told(line: Line) -> str:
        return f"{writer.show(line[0])} = {writer.show(line[1])}"

    def heading(when: tuple[sp.Basic, ...]) -> str:
        word = "for" if all(c.free_symbols == {t} for c in when) else "when"
        shown = (" and " if plain else r" \text{ and } ").join(map(writer.show, when))
        word = f"{word} " if when else "otherwise"
        return f"{word}{shown}" if plain else rf"\text{{{word}}}{shown}"

    cases = [(heading(d.when), [told(line) for line in d.lines() if line not in common])
             for d in drafts if d.when or len(drafts) > 1]  # fmt: skip
    values: dict[str, list[str]] = {}
    for name in _in_order(rule.regimes[0].new)[:-1]:
        letter = writer.show(sym.new(name)).removesuffix("_t")
        values.setdefault(writer.show(rule.initial[name]), []).append(writer.name(letter, "0")
            if plain else f"{letter}_0")  # fmt: skip
    start = ", ".join(" = ".join([*names, value]) for value, names in values.items())
    return start, [told(line) for line in common], cases, _legend(rule, options, writer, plain)


def _legend(rule: Rule, options: Mapping[str, str], writer: Unicode, plain: bool) -> str:
    """Say what the symbols mean, with their domains and the options that carry them."""
    g_t, old, space = writer.show(sym.g), writer.show(x), ", " if plain else r",\ "
    says = " is the gradient at " if plain else r" \text{ is the gradient at } "
    given = list(rule.assumes)
    meanings = []
    for name in ["t", *sorted(rule.hyper, key=[*sym.DOMAINS, *rule.hyper].index)]:
        symbol, domain = sym.symbol(name), rule.all_domains.get(name, "real")
        text = writer.show(symbol)
        if name in options:
            code = options[name].replace("_", r"\_")
            text += f" = {options[name]}" if plain else rf" = \mathtt{{{code}}}"
        nonzero = [c for c in given if c in (sp.Ne(symbol, 0), sp.Gt(symbol, 0))]
        if nonzero and domain in _NOT_ZERO:
            domain, given = _NOT_ZERO[domain], [c for c in given if c not in nonzero]
        meanings.append(text + _DOMAINS[domain][not plain])
    parts = [g_t + says + old + space + meanings[0], space.join(meanings[1:])]
    if given:
        word = "given " if plain else r"\text{given }"
        parts.append(word + space.join(map(writer.show, given)))
    return "; ".join(part for part in parts if part)
