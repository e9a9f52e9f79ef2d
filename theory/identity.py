"""The small checker: is this expression identically zero?  Is it non-negative?

It walks an expression tree and rewrites it as a fraction of polynomials over `Fraction`.  Symbols
are generators; so are the things it does not look inside: beta**t, roots, absolute values, maxima.
Treating them as independent is sound (an identity between independent generators survives any
substitution) and incomplete: a "no" only means *not shown*.

Every answer is about the real values at which the expression is defined, that is, at which each of
its parts is: no division by 0, no root of a negative number, no negative number to a power that is
no integer; 0**0 is 1.  An expression that is defined nowhere is therefore zero and positive at once:
who asks has to know a point at which it is defined (`engines.examine` finds one).

No simplifier is trusted: the tree is only read (``func``, ``args``, ``p``, ``q``), then re-expanded
here.  Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

Monomial = tuple[tuple[int, int], ...]
Poly = dict[Monomial, Fraction]

#: Domains a symbol can have; ``unit`` is [0, 1), ``natural`` is 1, 2, 3, …
DOMAINS = ("real", "nonnegative", "positive", "unit", "natural")
#: Products of polynomials with more terms than this are given up: a deterministic budget.
MAX_TERMS = 60_000
#: A checker gives up after this many products of terms.
MAX_WORK = 1_000_000


class Unsupported(Exception):
    """The expression holds something the checker has no exact meaning for."""


class Budget(Exception):
    """The expression grew past the checker's deterministic budget."""


def _plus(p: Poly, q: Poly) -> Poly:
    out = dict(p)
    for mono, coeff in q.items():
        out[mono] = out.get(mono, Fraction(0)) + coeff
    return {m: c for m, c in out.items() if c}


ONE: Poly = {(): Fraction(1)}


class Ratio:
    """A fraction of polynomials: a numerator over a product of polynomial factors."""

    def __init__(self, num: Poly, den: Mapping[frozenset[Any], tuple[Poly, int]] | None = None):
        self.num = num
        self.den = dict(den or {}) if num else {}


class Checker:
    """Decides identities and signs over symbols with given domains.

    Args:
        domains: the domain of each symbol by name; symbols that are absent are ``real``.

    Raises:
        ValueError: a domain is none of `DOMAINS`.
    """

    def __init__(self, domains: Mapping[str, str] | None = None) -> None:
        self.domains = dict(domains or {})
        if unknown := set(self.domains.values()) - set(DOMAINS):
            raise ValueError(f"no domain is called {', '.join(sorted(unknown))}")
        self._gens: list[tuple[Any, ...]] = []
        self._index: dict[tuple[Any, ...], int] = {}
        self._work = 0

    # -- questions -----------------------------------------------------------------------------

    def is_zero(self, expr: Any) -> bool:
        """Return whether the expression is shown to vanish wherever it is defined."""
        return not self.ratio(expr).num

    def equal(self, lhs: Any, rhs: Any) -> bool:
        """Return whether the two are shown to agree wherever both are defined.

        Unlike ``is_zero(lhs - rhs)`` it lets no computer algebra subtract them first.
        """
        minus = Ratio({(): Fraction(-1)})
        return not self._add(self.ratio(lhs), self._mul(minus, self.ratio(rhs))).num

    def sign(self, expr: Any) -> str | None:
        """Return "positive" or "nonnegative" when shown from the shape of the tree, else None."""
        if expr.is_Rational:
            return "positive" if expr.p > 0 else "nonnegative" if expr.p == 0 else None
        if expr.is_Symbol:
            domain = self.domains.get(expr.name, "real")
            return {"positive": "positive", "natural": "positive", "real": None}.get(
                domain, "nonnegative"
            )
        if expr.is_Add:
            signs = [self.sign(term) for term in expr.args]
            if all(signs):
                return "positive" if "positive" in signs else "nonnegative"
            return "positive" if self._one_minus_fraction(expr.args) else None
        if expr.is_Mul:
            signs = [self.sign(factor) for factor in expr.args]
            if all(signs):
                return "nonnegative" if "nonnegative" in signs else "positive"
            return None
        if expr.is_Pow:
            base, exponent = expr.args
            known = self.sign(base)
            even = exponent.is_Rational and exponent.q == 1 and exponent.p % 2 == 0
            root = exponent.is_Rational and exponent.q == 2
            return known or ("nonnegative" if even or root else None)
        if expr.func.__name__ == "Abs":
            return "nonnegative"
        if expr.func.__name__ == "sign":
            return self.sign(expr.args[0])
        if expr.func.__name__ == "Max" and any(self.sign(arg) for arg in expr.args):
            return "nonnegative"
        return None

    def certify(self, expr: Any) -> str | None:
        """Return "positive" or "nonnegative" when every re-expanded coefficient shows it.

        The numerator and each denominator factor must have coefficients >= 0 in generators that
        are themselves >= 0.  "positive" needs one term that cannot vanish.
        """
        ratio = self.ratio(expr)
        if not ratio.num:
            return "nonnegative"
        if any(not self._coefficients(f) and k % 2 for f, k in ratio.den.values()):
            return None
        return self._coefficients(ratio.num)

    # -- the normal form -----------------------------------------------------------------------

    def ratio(self, expr: Any) -> Ratio:
        """Return the expression as a fraction of polynomials.

        Raises:
            Unsupported: it holds a float, an unknown number, an undefined form or a dummy symbol.
            Budget: it is too large.
        """
        if expr.is_Rational:
            return Ratio({(): Fraction(expr.p, expr.q)} if expr.p else {})
        if expr.is_Symbol:
            if expr.is_Dummy:  # two of one name are two symbols, and here a name is a symbol
                raise Unsupported(f"the dummy symbol {expr}")
            return self._generator("symbol", expr.name)
        if expr.is_Add:
            total = Ratio({})
            for term in expr.args:
                total = self._add(total, self.ratio(term))
            return total
        if expr.is_Mul:
            product = Ratio(ONE)
            for factor in expr.args:
                product = self._mul(product, self.ratio(factor))
            return product
        if expr.is_Pow:
            return self._pow(*expr.args)
        name = expr.func.__name__
        if name == "Abs":
            return self._abs(expr.args[0])
        if name == "sign":
            return self._sign_of(expr.args[0])
        if name in ("Max", "Min"):
            return self._opaque(name, expr.args)
        raise Unsupported(f"no exact meaning for {name} in {expr}")

    def _generator(self, *key: Any) -> Ratio:
        if key not in self._index:
            self._index[key] = len(self._gens)
            self._gens.append(key)
        return Ratio({((self._index[key], 1),): Fraction(1)})

    def _times(self, p: Poly, q: Poly) -> Poly:
        self._work += len(p) * len(q)
        if len(p) * len(q) > MAX_TERMS or self._work > MAX_WORK:
            raise Budget(f"a product of {len(p)} by {len(q)} terms is past the checker's budget")
        out: Poly = {}
        for mono_p, coeff_p in p.items():
            for mono_q, coeff_q in q.items():
                exponents = dict(mono_p)
                for gen, exponent in mono_q:
                    exponents[gen] = exponents.get(gen, 0) + exponent
                mono = tuple(sorted((g, e) for g, e in exponents.items() if e))
                out[mono] = out.get(mono, Fraction(0)) + coeff_p * coeff_q
        return {m: c for m, c in out.items() if c}

    def _add(self, a: Ratio, b: Ratio) -> Ratio:
        if not a.num or not b.num:
            return a if a.num else b
        den = dict(a.den)
        for key, (poly, k) in b.den.items():
            den[key] = (poly, max(k, den.get(key, (poly, 0))[1]))

        def lifted(r: Ratio) -> Poly:
            num = r.num
            for key, (poly, k) in den.items():
                for _ in range(k - r.den.get(key, (poly, 0))[1]):
                    num = self._times(num, poly)
            return num

        return self._reduce(_plus(lifted(a), lifted(b)), den)

    def _mul(self, a: Ratio, b: Ratio) -> Ratio:
        den = dict(a.den)
        for key, (poly, k) in b.den.items():
            den[key] = (poly, k + den.get(key, (poly, 0))[1])
        return self._reduce(self._times(a.num, b.num), den)

    def _reduce(self, num: Poly, den: Mapping[frozenset[Any], tuple[Poly, int]]) -> Ratio:
        """Replace even powers of roots and absolute values by what they are the root of."""
        plain: Poly = {}
        rest = Ratio({})
        for mono, coeff in num.items():
            extra, kept = Ratio(ONE), []
            for gen, exponent in mono:
                square = None if exponent in (0, 1) else self._square_of(gen)
                if square is None:
                    kept.append((gen, exponent))
                    continue
                if exponent % 2:
                    kept.append((gen, 1))
                extra = self._mul(extra, self._int_pow(square, exponent // 2))
            if extra.num == ONE and not extra.den:
                plain[mono] = plain.get(mono, Fraction(0)) + coeff
            else:
                term = self._mul(extra, Ratio({tuple(kept): coeff}))
                rest = self._add(rest, term)
        out = Ratio({m: c for m, c in plain.items() if c}, den)
        if not rest.num:
            return out
        merged = {k: v for k, v in den.items() if v[1]}
        scaled = Ratio(rest.num, rest.den)
        for key, (poly, k) in merged.items():
            have = scaled.den.get(key, (poly, 0))[1]
            scaled.den[key] = (poly, have + k)
        return self._add(out, scaled)

    def _square_of(self, gen: int) -> Ratio | None:
        kind, payload = self._gens[gen][0], self._gens[gen][1]
        if kind == "root":
            return Ratio(dict(payload))
        if kind == "abs":
            poly = dict(payload)
            return Ratio(self._times(poly, poly))
        return None

    def _int_pow(self, base: Ratio, exponent: int) -> Ratio:
        if exponent < 0:
            return self._int_pow(self._invert(base), -exponent)
        if len(base.num) == 1 and not base.den:
            ((mono, coeff),) = base.num.items()
            return self._reduce({tuple((g, e * exponent) for g, e in mono if exponent):
                                 coeff**exponent}, {})  # fmt: skip
        out = Ratio(ONE)
        for _ in range(exponent):
            out = self._mul(out, base)
        return out

    def _invert(self, r: Ratio) -> Ratio:
        if not r.num:
            raise Unsupported("division by an expression that is identically zero")
        out = Ratio(ONE)
        for poly, k in r.den.values():
            for _ in range(k):
                out = self._mul(out, Ratio(poly))
        if len(r.num) == 1:  # a single term inverts to a single (Laurent) term
            ((mono, coeff),) = r.num.items()
            return self._mul(out, self._reduce({tuple((g, -e) for g, e in mono): 1 / coeff}, {}))
        lead = r.num[min(r.num)]
        monic = {m: c / lead for m, c in r.num.items()}
        key = frozenset(monic.items())
        return self._mul(out, Ratio({(): 1 / lead}, {key: (monic, 1)}))

    def _pow(self, base: Any, exponent: Any) -> Ratio:
        if exponent.is_Rational and exponent.q == 1:
            return self._int_pow(self.ratio(base), exponent.p)
        if exponent.is_Rational and exponent.q == 2:
            return self._int_pow(self._sqrt(base), exponent.p)
        if exponent.is_Rational:
            raise Unsupported(f"power {exponent} of {base}")
        if not self.sign(base) and not self._integer(exponent):
            # x**(2 p) is no square: at x = -1, p = 1/2 it is -1
            raise Unsupported(f"the power {exponent} of {base}, which may be negative")
        out = Ratio(ONE)
        for term in exponent.args if exponent.is_Add else (exponent,):
            coeff, rest = term.as_coeff_Mul()
            if rest.is_Rational:
                out = self._mul(out, self._pow(base, term))
            elif coeff.is_Rational and coeff.q == 1:
                power = self._key(self.ratio(rest))
                gen = self._generator("power", self._key(self.ratio(base)), power)
                out = self._mul(out, self._int_pow(gen, coeff.p))
            else:
                raise Unsupported(f"exponent {exponent}")
        return out

    def _integer(self, expr: Any) -> bool:
        """Whether the expression is a whole number for all values of its symbols."""
        if expr.is_Add or expr.is_Mul:
            return all(self._integer(part) for part in expr.args)
        if expr.is_Symbol:
            return self.domains.get(expr.name) == "natural"
        return bool(expr.is_Rational and expr.q == 1)

    def _sqrt(self, arg: Any) -> Ratio:
        """Root of a product: factors known to be >= 0 are taken apart, as is one unknown factor."""
        if arg.func.__name__ == "Max" and len(self._largest(arg.args)) == 1:
            return self._sqrt(*self._largest(arg.args))
        factors = arg.args if arg.is_Mul else (arg,)
        known = [f for f in factors if self.sign(f)]
        unknown = [f for f in factors if not self.sign(f)]
        out = Ratio(ONE)
        for factor in known:
            if factor.is_Pow and factor.args[1].is_Rational and factor.args[1].q == 1:
                base, k = factor.args[0], factor.args[1].p
                half = self._int_pow(self._abs(base), k // 2)
                out = self._mul(out, half)
                if k % 2:
                    out = self._mul(out, self._root(self.ratio(base)))
            else:
                out = self._mul(out, self._root(self.ratio(factor)))
        if unknown:
            product = Ratio(ONE)
            for factor in unknown:
                product = self._mul(product, self.ratio(factor))
            out = self._mul(out, self._root(product))
        return out

    def _root(self, r: Ratio) -> Ratio:
        # sqrt(n / d) = sqrt(n d) / |d| for each odd denominator factor d
        inside, outside = r.num, Ratio(ONE)
        for poly, k in r.den.values():
            if k % 2:
                inside = self._times(inside, poly)
            for _ in range((k + 1) // 2):
                outside = self._mul(outside, self._invert(self._abs_poly(poly)))
        if not inside:
            return Ratio({})
        if len(inside) == 1:
            ((mono, coeff),) = inside.items()
            if self._nonneg_monomial(mono) and coeff > 0:
                out = self._rational_root(coeff)
                for gen, exponent in mono:
                    one: Poly = {((gen, 1),): Fraction(1)}
                    # x may be negative where its exponent is even: sqrt(x^2) = |x|
                    out = self._mul(out, self._int_pow(self._abs_poly(one), exponent // 2))
                    if exponent % 2:
                        out = self._mul(out, self._generator("root", frozenset(one.items())))
                return self._mul(out, outside)
        shared = [dict(mono) for mono in inside]
        for gen in {g for mono in shared for g in mono}:
            half = min(mono.get(gen, 0) for mono in shared) // 2
            if half:  # sqrt(c^2 (a - b)) = |c| sqrt(a - b)
                size = self._abs_poly({((gen, 1),): Fraction(1)})
                outside = self._mul(outside, self._int_pow(size, half))
                inside = self._times(inside, {((gen, -2 * half),): Fraction(1)})
        return self._mul(self._generator("root", frozenset(inside.items())), outside)

    def _rational_root(self, value: Fraction) -> Ratio:
        # sqrt(p/q) = sqrt(p q)/q, with the square part of p q taken out
        n, square, divisor = value.numerator * value.denominator, 1, 2
        while divisor * divisor <= n and divisor < 10_000:
            while n % (divisor * divisor) == 0:
                n //= divisor * divisor
                square *= divisor
            divisor += 1
        out = Ratio({(): Fraction(square, value.denominator)})
        if n == 1:
            return out
        root = self._generator("root", frozenset({((), Fraction(n))}))
        return self._mul(out, root)

    def _abs(self, arg: Any) -> Ratio:
        if self.sign(arg):
            return self.ratio(arg)
        if arg.is_Mul:
            out = Ratio(ONE)
            for factor in arg.args:
                out = self._mul(out, self._abs(factor))
            return out
        r = self.ratio(arg)
        out = self._abs_poly(r.num)
        for poly, k in r.den.values():
            out = self._mul(out, self._int_pow(self._abs_poly(poly), -k))
        return out

    def _abs_poly(self, poly: Poly) -> Ratio:
        if not poly or self._coefficients(poly):
            return Ratio(poly)
        if len(poly) == 1:
            ((mono, coeff),) = poly.items()
            out = Ratio({(): abs(coeff)})
            for gen, exponent in mono:
                one = Ratio({((gen, 1),): Fraction(1)})
                if not self._nonneg_gen(gen):
                    one = self._generator("abs", frozenset(one.num.items()))
                out = self._mul(out, self._int_pow(one, exponent))
            return out
        lead = poly[min(poly)]
        return self._mul(
            Ratio({(): abs(lead)}),
            self._generator("abs", frozenset((m, c / lead) for m, c in poly.items())),
        )

    def _sign_of(self, arg: Any) -> Ratio:
        """Return sign(arg), -1, 0 or 1: what is known to be positive in it makes no difference."""
        if self.sign(arg) == "positive":
            return Ratio(ONE)
        if arg.is_Mul:
            out = Ratio(ONE)
            for factor in arg.args:
                out = self._mul(out, self._sign_of(factor))
            return out
        r = self.ratio(arg)
        if not r.num:
            return Ratio({})
        out, shared = Ratio(ONE), [dict(mono) for mono in r.num]
        powers = {g: min(mono.get(g, 0) for mono in shared) for g in {g for m in shared for g in m}}
        lead = r.num[min(r.num)]
        turned = Fraction(1 if lead > 0 else -1)  # sign(-a) = -sign(a)
        common = tuple(sorted((g, -power) for g, power in powers.items() if power))
        num = self._times(r.num, {common: 1 / lead})
        for gen, power in common:
            if not self._positive_gen(gen):
                one = self._key(Ratio({((gen, 1),): Fraction(1)}))
                out = self._mul(out, self._int_pow(self._generator("sign", one), -power))
        below = {
            key: (poly, 1) for key, (poly, k) in r.den.items() if k % 2 and not self._coefficients(poly)
        }  # it is not 0: an even power is positive, and so is what is shown to be >= 0
        if below or self._coefficients(num) != "positive":
            out = self._mul(out, self._generator("sign", self._key(Ratio(num, below))))
        return self._mul(Ratio({(): turned}), out)

    def _opaque(self, name: str, args: tuple[Any, ...]) -> Ratio:
        while any(a.func.__name__ == name for a in args):  # a maximum of maxima is one
            args = tuple(b for a in args for b in (a.args if a.func.__name__ == name else (a,)))
        if name == "Max":
            args = self._largest(args)
            if len(args) == 1:
                return self.ratio(args[0])
        ratios = [self.ratio(a) for a in args]
        common: dict[int, int] = {}
        # a positive factor of every argument comes out
        monomials = [dict(mono) for r in ratios for mono in r.num]
        for gen in {g for mono in monomials for g in mono if self._positive_gen(g)}:
            common[gen] = min(mono.get(gen, 0) for mono in monomials)
        factor = Ratio({tuple(sorted((g, e) for g, e in common.items() if e)): Fraction(1)})
        inverse = self._invert(factor)
        keys = frozenset(self._key(self._mul(r, inverse)) for r in ratios)
        return self._mul(factor, self._generator(name, keys))

    def _largest(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Drop 0 from a maximum when another argument is known to be >= 0."""
        rest = tuple(a for a in args if a != 0)
        return rest if len(rest) < len(args) and any(self.sign(a) for a in rest) else args

    @staticmethod
    def _key(r: Ratio) -> tuple[Any, ...]:
        num = frozenset(r.num.items())
        return (num, frozenset((key, k) for key, (_, k) in r.den.items()))

    # -- signs of generators -------------------------------------------------------------------

    def _nonneg_gen(self, gen: int) -> bool:
        key = self._gens[gen]
        if key[0] == "symbol":
            return self.domains.get(key[1], "real") != "real"
        if key[0] == "power":
            num, den = key[1]
            return bool(self._coefficients(dict(num))) and not den
        return key[0] in ("root", "abs")

    def _nonneg_monomial(self, mono: Monomial) -> bool:
        return all(e % 2 == 0 or self._nonneg_gen(g) for g, e in mono)

    def _coefficients(self, poly: Poly) -> str | None:
        if not all(c > 0 and self._nonneg_monomial(m) for m, c in poly.items()):
            return None
        sure = any(all(self._positive_gen(g) for g, _ in m) for m in poly)
        return "positive" if sure else "nonnegative"

    def _positive_gen(self, gen: int) -> bool:
        key = self._gens[gen]
        if key[0] == "symbol":
            return self.domains.get(key[1]) in ("positive", "natural")
        if key[0] == "root":
            return self._coefficients(dict(key[1])) == "positive"
        return False

    def _one_minus_fraction(self, terms: Sequence[Any]) -> bool:
        """Recognise c - b p + (terms >= 0), p a product of powers of symbols in [0, 1), c >= b > 0."""
        unknown = [a for a in terms if not self.sign(a)]
        constant = sum(Fraction(a.p, a.q) for a in terms if a.is_Rational)
        if len(unknown) != 1:
            return False
        coeff, product = unknown[0].as_coeff_Mul()
        if not (-constant <= Fraction(coeff.p, coeff.q) < 0):
            return False
        return all(self._below_one(f) for f in (product.args if product.is_Mul else (product,)))

    def _below_one(self, expr: Any) -> bool:
        if expr.is_Symbol:
            return self.domains.get(expr.name) == "unit"
        return (
            expr.is_Pow
            and self._below_one(expr.args[0])
            and self.sign(expr.args[1]) == "positive"
            and self._at_least_one(expr.args[1])
        )

    def _at_least_one(self, exponent: Any) -> bool:
        if exponent.is_Rational:
            return bool(exponent.p >= exponent.q)
        if exponent.is_Symbol:
            return self.domains.get(exponent.name) == "natural"
        if exponent.is_Add:
            # t + k and sums of naturals: one part is >= 1, the others are >= 0
            return all(self.sign(a) for a in exponent.args) and any(
                self._at_least_one(a) for a in exponent.args
            )
        return False
