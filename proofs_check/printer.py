"""The characters of a formula: SymPy expressions in Unicode and in LaTeX, in the paper's order.

What is printed is the expression itself; nothing is simplified here.  Sums start with what is kept
of x and of the old state, negative terms come last; products start with the hyper-parameters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import sympy as sp

from ..theory import symbols as sym

_GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ϵ", "zeta": "ζ", "eta": "η",
    "theta": "θ", "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ",
    "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ", "upsilon": "υ", "phi": "φ", "chi": "χ",
    "psi": "ψ", "omega": "ω", "Delta": "Δ", "Gamma": "Γ", "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ",
    "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω", "eps": "ε",
}  # fmt: skip
_LATEX = {c: f"\\{n}" for n, c in _GREEK.items()} | {
    "ε": r"\varepsilon", "ℓ": r"\ell", "∞": r"\infty", "−": "-",
}  # fmt: skip
_ACCENTS = {"\u0302": r"\hat", "\u0304": r"\bar"}
_STATE = {sym.safe(name): letter for name, letter in sym.STATE.items()}
_NAME = re.compile(r"([^\W\d_]+)(?:(\d+)|_(\d+|inf|t|next))?_?")
_LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_RAISED = str.maketrans("0123456789+−tnkijm", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵗⁿᵏⁱʲᵐ")
_RAISABLE = re.compile(r"(?:[0-9+−]|(?<![a-z])[tnkijm](?![a-z]))+")

# How tightly a piece of text holds together; a looser one in a tighter place gets parentheses.
_LOOSE, _SUM, _PRODUCT, _POWER, _ATOM = range(5)
# What a symbol is; sums and products are ordered by it.
_NUMBER, _HYPER, _OTHER, _OLD, _G, _NEW, _X = range(7)

_Piece = tuple[str, int]  # text, how tightly it holds together


class Unicode:
    """Writes expressions with Greek letters, ``m_{t−1}``, raised and lowered digits.

    Args:
        expressions: what will be written; names that would read alike are written as in code.
        states: names of state entries, beyond those of the table in ``symbols``.
        names: how to write some symbols, by name, instead of the usual way.
    """

    minus, parens, bars = "−", "({})", "|{}|"
    signs: Mapping[str, str] = {
        "==": "=", "!=": "≠", "<=": "≤", ">=": "≥", "And": " and ", "Or": " or ", "Implies": " ⇒ ",
        "Sum": "Σ", "Product": "Π", "Integral": "∫", "Limit": "lim", "to": "→", "Max": "max",
        "Min": "min", "Infinity": "∞", "NegativeInfinity": "−∞", "Pi": "π", "Exp1": "e",
        "ImaginaryUnit": "i",
    }  # fmt: skip

    def __init__(
        self,
        expressions: Iterable[sp.Basic],
        states: Iterable[str] = (),
        names: Mapping[str, str] | None = None,
    ) -> None:
        used, bound = {"x", "g", "t"}, set()
        for expression in expressions:
            used |= {s.name for s in expression.atoms(sp.Symbol)}
            for node in expression.atoms(sp.Sum, sp.Product, sp.Integral, sp.Limit):
                bound |= {s.name for s in node.args[0].free_symbols - node.free_symbols}
        self.bound = bound
        self.unrolled = any(re.fullmatch(r"g\d+", name) for name in used)
        self.states = {*_STATE, *map(sym.safe, states)}
        self.states |= {n.removesuffix("_new") for n in used if n.endswith("_new")}
        self.names = {n: self.name(*self._parts(n)) for n in sorted(used)}
        for as_in_code in (lambda n: self._parts(n, as_in_code=True), lambda n: (n, "")):
            texts = list(self.names.values())
            alike = [n for n, text in self.names.items() if texts.count(text) > 1]
            self.names |= {n: self.name(*as_in_code(n)) for n in alike}
        self.names |= names or {}
        self._written: dict[sp.Basic, _Piece] = {}

    def _parts(self, name: str, as_in_code: bool = False) -> tuple[str, str]:
        """Split a name in code into the letter on paper and its index."""
        state = re.sub(r"_(new|hat)$", "", name)
        letter = state if as_in_code else _STATE.get(state, state.rstrip("_"))
        if name in self.bound or (as_in_code and name == "t"):
            return name.rstrip("_"), ""
        if name in ("x", "g"):
            return name, "0" if self.unrolled else "t−1" if name == "x" else "t"
        if state != name:
            return letter + "\u0302" * name.endswith("_hat"), "t"
        if name in self.states:
            return letter, "t−1"
        match = _NAME.fullmatch(name)
        if not match or as_in_code:
            return letter, ""
        index = match[2] or match[3] or ""
        return _GREEK.get(match[1], match[1]), {"inf": "∞", "next": "t+1"}.get(index, index)

    # -- the shape of an expression ------------------------------------------------------------

    def show(self, expr: sp.Basic, need: int = _LOOSE) -> str:
        """Return the text, in parentheses if it holds together less tightly than needed."""
        if expr not in self._written:
            self._written[expr] = self._write(expr)
        text, level = self._written[expr]
        return self.parens.format(text) if level < need else text

    def _write(self, e: Any) -> _Piece:
        kind = type(e).__name__
        sign = self.signs.get(kind, "")
        if e.is_Symbol:
            return self.names.get(e.name) or self.name(*self._parts(e.name)), _ATOM
        if e.is_Integer and e >= 0:
            return str(e), _ATOM
        if e.is_Add:
            return self._sum(e), _SUM
        if e.is_Mul or e.is_Pow or e.is_Rational or isinstance(e, sp.exp):
            return self._product(e)
        if e.is_Relational:
            operator = self.signs.get(e.rel_op, e.rel_op)
            return f"{self.show(e.lhs, _SUM)} {operator} {self.show(e.rhs, _SUM)}", _LOOSE
        if kind in ("And", "Or", "Implies"):
            parts = [self.show(a, _LOOSE if a.is_Relational else _SUM) for a in e.args]
            return sign.join(parts if kind == "Implies" else sorted(parts)), _LOOSE
        if kind in ("Sum", "Product", "Integral", "Limit"):
            return self._operator(e, kind), _LOOSE
        if kind == "Abs":
            return self.bars.format(self.show(e.args[0])), _ATOM
        if not e.args:
            text = sign or str(e)
            return text, _SUM if text[0] in "-−" else _ATOM
        args = sorted(e.args, key=self._term_key) if kind in ("Max", "Min") else e.args
        head = sign or self.name(kind, "")
        return head + self.parens.format(", ".join(map(self.show, args))), _ATOM

    def _sum(self, e: sp.Add) -> str:
        out = ""
        for term in sorted(e.args, key=self._term_key):
            negative = _negative(term)
            sign = self.minus if negative else "+"
            text = self.show(-term if negative else term, _PRODUCT)
            out += f" {sign} {text}" if out else f"{sign if negative else ''}{text}"
        return out

    def _product(self, e: sp.Expr) -> _Piece:
        """Write products, powers, quotients and rational numbers: one fraction at most."""
        if _negative(e):
            return self.minus + self.show(-e, _PRODUCT), _SUM
        number, rest = e.as_coeff_Mul()
        if not number.is_Rational:
            number, rest = sp.Integer(1), e
        above: list[_Piece] = []
        below: list[_Piece] = []
        if decimal := _decimal(number):
            above.append((decimal, _ATOM))
        else:
            above += [(str(number.p), _ATOM)] if number.p != 1 else []
            below += [(str(number.q), _ATOM)] if number.q != 1 else []
        factors = [f.as_base_exp() for f in sp.Mul.make_args(rest) if f != 1]
        for base, exponent in sorted(factors, key=self._factor_key):
            if _negative(exponent):
                below.append(self._power(base, -exponent))
            else:
                above.append(self._power(base, exponent))
        over = self._times(above)
        return self.fraction(over, self._times(below)) if below else over

    def _times(self, factors: list[_Piece]) -> _Piece:
        if len(factors) < 2:
            return factors[0] if factors else ("1", _ATOM)
        texts = [t if level >= _POWER else self.parens.format(t) for t, level in factors]
        return self.join(texts), _PRODUCT

    def _power(self, base: sp.Expr, exponent: sp.Expr) -> _Piece:
        if exponent == 1:
            return self._write(base)
        if exponent == sp.Rational(1, 2):
            short = base.is_Symbol or (base.is_Integer and base > 0)
            return self.root(self.show(base), short), _POWER
        return self.show(base, _ATOM) + self.raised(self.show(exponent)), _POWER

    def _operator(self, e: Any, kind: str) -> str:
        sign, body = self.signs[kind], self.show(e.args[0], _PRODUCT)
        if kind == "Limit":
            _, variable, point, side = e.args
            end = self.show(point, _ATOM) + (self.raised(str(side)) if point.is_finite else "")
            return f"{sign}_{{{self.show(variable)} {self.signs['to']} {end}}} {body}"
        for variable, *ends in e.limits:
            v, *shown = map(self.show, (variable, *ends))
            if kind == "Integral":
                body += f" d{v}"
            start = "=".join([v] * (kind != "Integral") + shown[:1])
            scripts = f"_{{{start}}}" * bool(start) + "".join(f"^{{{s}}}" for s in shown[1:])
            body = f"{sign}{scripts} {body}"
        return body

    # -- order ---------------------------------------------------------------------------------

    def _kind(self, name: str) -> int:
        if name not in self.bound and re.fullmatch(r"x|g\d*", name):
            return _X if name == "x" else _G
        if name.endswith(("_new", "_hat")) or name == "d_t":
            return _NEW
        return _OLD if name in self.states else _HYPER if name in sym.DOMAINS else _OTHER

    def _kinds(self, e: sp.Basic) -> set[int]:
        found = {self._kind(s.name) for s in e.free_symbols if s != sym.t}
        return found or {_OTHER if e.free_symbols else _NUMBER}

    def _factor_key(self, factor: tuple[sp.Expr, sp.Expr]) -> tuple[Any, ...]:
        base, exponent = factor
        kind, plain = max(self._kinds(base)), base.is_Symbol or isinstance(base, sp.Abs)
        table = list(sym.DOMAINS)[1:]  # t comes after the rates
        place = table.index(base.name) if plain and str(base) in table else len(table)
        moving = kind >= _OLD
        group = 0 if kind == _NUMBER and exponent.is_Rational else 1 + 2 * moving + (not plain)
        return group, bool(exponent.free_symbols), kind * moving, place, self.show(base)

    def _term_key(self, term: sp.Basic) -> tuple[Any, ...]:
        kinds, degree = self._kinds(term), 0
        if kinds == {_OTHER} and isinstance(term, sp.Expr):  # as in a polynomial
            powers = [f.as_base_exp() for f in sp.Mul.make_args(term)]
            degree = -sum(int(p) for base, p in powers if p.is_Integer and base.free_symbols)
        numbers = (re.fullmatch(r"g(\d+)", s.name) for s in term.free_symbols)
        latest = max((int(m[1]) for m in numbers if m), default=0)
        return _negative(term), self._rank(term, kinds), degree, latest, self.show(term)

    def _rank(self, term: sp.Basic, kinds: set[int]) -> int:
        if _X in kinds:
            rest = [f for f in sp.Mul.make_args(term) if f != sym.x]
            if max(self._kinds(sp.Mul(*rest))) < _OLD:
                return 0 if not rest or any(f.has(sp.Add) for f in rest) else 6  # kept; decay
            return 5
        if kinds == {_OTHER} or max(kinds) == _OLD:
            return 1
        return 2 if kinds == {_NUMBER} else 3 if _G in kinds else 4 if _NEW in kinds else 7

    # -- characters ----------------------------------------------------------------------------

    def name(self, letter: str, index: str) -> str:
        """Return a letter with its index."""
        if index.isdigit():
            return letter + index.translate(_LOWERED)
        tail = f"_{index}" if len(index) == 1 else f"_{{{index}}}" if index else ""
        return unicodedata.normalize("NFC", letter) + tail

    def join(self, factors: list[str]) -> str:
        """Return a product."""
        return "·".join(factors)

    def fraction(self, above: _Piece, below: _Piece) -> _Piece:
        """Return a quotient with the parentheses that it needs."""
        if above[0].isdigit() and below[0].isdigit():
            return f"{above[0]}/{below[0]}", _PRODUCT
        over = above[0] if above[1] >= _PRODUCT else self.parens.format(above[0])
        under = below[0] if below[1] >= _POWER else self.parens.format(below[0])
        return f"{over} / {under}", _PRODUCT

    def root(self, inside: str, short: bool) -> str:
        """Return a square root."""
        return f"√{inside}" if short else f"√({inside})"

    def raised(self, text: str) -> str:
        """Return an exponent."""
        tight = text.replace(" ", "").replace("-", "−")
        return tight.translate(_RAISED) if _RAISABLE.fullmatch(tight) else f"^({text})"


def _word(plain: str) -> str:
    """Return a name of one letter, of Greek letters and roots among others, or a word."""
    root, plain = plain.startswith("√"), plain.removeprefix("√")
    if len(plain) > 1 and plain.isascii():
        word = r"\mathrm{" + plain.replace("_", r"\_") + "}"
    else:
        word = " ".join(_LATEX.get(c, c) for c in plain)
    return rf"\sqrt{{{word}}}" if root else word


class Latex(Unicode):
    """Writes the same in LaTeX, for math mode."""

    minus, parens, bars = "-", r"\left({}\right)", r"\left|{}\right|"
    signs: Mapping[str, str] = {
        "==": "=", "!=": r"\neq", "<=": r"\leq", ">=": r"\geq", "And": r" \wedge ", "Or": r" \vee ",
        "Implies": r" \Rightarrow ", "Sum": r"\sum", "Product": r"\prod", "Integral": r"\int",
        "Limit": r"\lim", "to": r"\to", "Max": r"\max", "Min": r"\min", "Infinity": r"\infty",
        "NegativeInfinity": r"-\infty", "Pi": r"\pi", "Exp1": "e", "log": r"\log",
        "ImaginaryUnit": "i",
    }  # fmt: skip

    def name(self, letter: str, index: str) -> str:
        """Return a letter with its index."""
        plain = unicodedata.normalize("NFD", letter)
        accents = [_ACCENTS[c] for c in plain if c in _ACCENTS]
        plain = "".join(c for c in plain if c not in _ACCENTS)
        if "_" in plain.strip("_") and not index:
            plain, _, index = plain.partition("_")
        text = " ".join([*accents, _word(plain)])
        index = "".join(_LATEX.get(c, c) for c in index)
        return text + (f"_{index}" if len(index) == 1 else f"_{{{index}}}" if index else "")

    def join(self, factors: list[str]) -> str:
        """Return a product; numbers that would run together get a dot."""
        out = factors[0]
        for f in factors[1:]:
            dot = r" \cdot " if f[0].isdigit() else " " if f.startswith(r"\left") else r" \, "
            out += dot + f
        return out

    def fraction(self, above: _Piece, below: _Piece) -> _Piece:
        """Return a quotient."""
        return rf"\frac{{{above[0]}}}{{{below[0]}}}", _PRODUCT

    def root(self, inside: str, short: bool) -> str:
        """Return a square root."""
        return rf"\sqrt{{{inside}}}"

    def raised(self, text: str) -> str:
        """Return an exponent."""
        return f"^{{{text}}}"


def _negative(e: Any) -> bool:
    return isinstance(e, sp.Expr) and bool(e.as_coeff_Mul()[0].is_extended_negative)


def _decimal(number: sp.Rational) -> str:
    """Return a short exact decimal, or nothing: 24/25 is 0.96, but 3/4 stays a fraction."""
    if number.q % 5 or 10**4 % number.q:
        return ""
    whole, part = divmod(int(number * 10**4), 10**4)
    return f"{whole}.{part:04d}".rstrip("0")
