"""z3 on polynomial inequalities: prove by showing that the negation has no solution.

Roots become fresh symbols r >= 0 with r^2 = argument, divisions fresh quotients q with q * below =
above and below != 0, beta**t a fresh symbol P (0 <= P if 0 <= beta, and P <= beta if beta < 1, t >= 1);
a natural number is any real >= 1.  That only widens the set of values, so "no solution" still proves
the statement; a solution is a suggestion, and counts only after the exact evaluation confirms it.

The side conditions of roots and divisions are hypotheses: z3 is asked about the points at which the
statement is defined.  That is what a goal says, and it makes a statement that is defined nowhere
follow from anything, so `points.examine` looks for a point at which it is.

z3-solver rather than another solver: its nlsat decides real polynomial arithmetic, its budget
(``rlimit``) is deterministic, and it ships as one wheel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import sympy as sp
import z3

from ..theory.identity import Budget, Unsupported

#: z3's own deterministic unit of work, per question.  The catalogue's hardest question takes a ninth of
#: it; with ten times more, some questions keep nlsat busy for minutes without an answer.
RLIMIT = 50_000
#: Powers are written out as products; larger ones are given up.
MAX_EXPONENT = 64
#: Longest numerator or denominator, in bits.
MAX_BITS = 8_000


class Translation:
    """SymPy expressions as z3 terms over the reals, with the side conditions collected."""

    def __init__(self, domains: Mapping[str, str]) -> None:
        self.domains = domains
        self.conditions: list[Any] = []
        self.symbols: dict[str, Any] = {}
        self.abstracted = False
        self._fresh = 0
        self._made: dict[Any, Any] = {}
        self._powers: dict[tuple[Any, Any], int] = {}

    def scan(self, *exprs: Any) -> None:
        """Note the powers with symbolic exponents, so that all of one kind share a symbol."""
        for expr in exprs:
            for power in expr.atoms(sp.Pow):
                base, exponent = power.args
                if exponent.is_Rational:
                    continue
                offset, rest = exponent.as_coeff_Add()
                if not offset.is_Integer:
                    raise Unsupported(f"the exponent {exponent}")
                key = (base, rest)
                self._powers[key] = min(self._powers.get(key, int(offset)), int(offset))

    def relation(self, relation: Any) -> Any:
        """Return a comparison (or a conjunction of some) as a z3 formula."""
        if relation in (True, False, sp.true, sp.false):
            return z3.BoolVal(bool(relation))
        if isinstance(relation, sp.And | sp.Or):
            parts = [self.relation(a) for a in relation.args]
            return z3.And(*parts) if isinstance(relation, sp.And) else z3.Or(*parts)
        if isinstance(relation, sp.Not):
            return z3.Not(self.relation(relation.args[0]))
        a, b = self.term(relation.lhs), self.term(relation.rhs)
        kinds = {
            sp.Ge: a >= b, sp.Gt: a > b, sp.Le: a <= b, sp.Lt: a < b, sp.Eq: a == b, sp.Ne: a != b,
        }  # fmt: skip
        for kind, formula in kinds.items():
            if type(relation) is kind:
                return formula
        raise Unsupported(f"the relation {relation}")

    def term(self, e: Any) -> Any:
        """Return an expression as a z3 real term.

        Raises:
            Unsupported: it holds something with no translation.
        """
        if e not in self._made:
            self._made[e] = self._term(e)
        return self._made[e]

    def _term(self, e: Any) -> Any:
        if e.is_Rational:
            if max(e.p.bit_length(), e.q.bit_length()) > MAX_BITS:
                raise Budget("a number too long for z3")
            return z3.RealVal(f"{e.p}/{e.q}")
        if e.is_Symbol:
            return self._symbol(e.name)
        if e.is_Add:
            return z3.Sum([self.term(a) for a in e.args])
        if e.is_Mul:
            return self._product(e)
        if e.is_Pow:
            return self._power(*e.args)
        parts = [self.term(a) for a in e.args]
        name = e.func.__name__
        if name == "Abs":
            return z3.If(parts[0] >= 0, parts[0], -parts[0])
        if name == "sign":
            return z3.If(parts[0] > 0, z3.RealVal(1), z3.If(parts[0] < 0, z3.RealVal(-1), z3.RealVal(0)))
        if name in ("Max", "Min"):
            out = parts[0]
            for part in parts[1:]:
                out = z3.If((out >= part) if name == "Max" else (out <= part), out, part)
            return out
        raise Unsupported(f"{name} has no translation for z3")

    def _symbol(self, name: str) -> Any:
        if name not in self.symbols:
            self.symbols[name] = s = z3.Real(f"symbol {name}")  # never the name of a fresh one
            domain = self.domains.get(name, "real")
            self.conditions += {
                "real": [], "nonnegative": [s >= 0], "positive": [s > 0],
                "unit": [s >= 0, s < 1], "natural": [s >= 1],
            }[domain]  # fmt: skip
        return self.symbols[name]

    def _new(self) -> Any:
        self._fresh += 1
        return z3.Real(f"aux!{self._fresh}")

    def _product(self, e: Any) -> Any:
        above = [f for f in e.args if not self._is_inverse(f)]
        below = [1 / f for f in e.args if self._is_inverse(f)]
        product = z3.RealVal(1)
        for factor in above:
            product = product * self.term(factor)
        return self._quotient(product, sp.Mul(*below)) if below else product

    @staticmethod
    def _is_inverse(f: Any) -> bool:
        return bool(f.is_Pow and f.args[1].is_Rational and f.args[1] < 0)

    def _quotient(self, numerator: Any, denominator: Any) -> Any:
        q, d = self._new(), self.term(denominator)
        self.conditions += [d != 0, q * d == numerator]
        return q

    def _power(self, base: Any, exponent: Any) -> Any:
        if exponent.is_Rational and exponent < 0:
            return self._quotient(z3.RealVal(1), base**-exponent)
        if exponent.is_Rational and exponent.q <= 2:
            root = self.term(base)
            if exponent.q == 2:
                r = self._new()
                self.conditions += [r >= 0, r * r == root]
                root = r
            return self._times(root, root, int(exponent.p) - 1)
        return self._symbolic_power(base, exponent)

    def _symbolic_power(self, base: Any, exponent: Any) -> Any:
        offset, rest = exponent.as_coeff_Add()
        least = self._powers.get((base, rest))
        if least is None:
            raise Unsupported(f"the power {base}**({exponent})")
        key = ("power", base, rest)
        if key not in self._made:
            self.abstracted = True
            p = self._made[key] = self._new()
            b = self.term(base)
            # of a negative base nothing is known: (-1)**t has either sign
            self.conditions += [z3.Implies(b >= 0, p >= 0), z3.Implies(b > 0, p > 0)]
            coeff, t = rest.as_coeff_Mul()
            natural = t.is_Symbol and self.domains.get(t.name) == "natural" and coeff.is_Integer
            unit = base.is_Symbol and self.domains.get(base.name) == "unit"
            if natural and unit and coeff + least >= 0 and coeff > 0:
                # the exponent is at least coeff + least >= 0; 0**0 is 1
                self.conditions.append(p <= self._times(z3.RealVal(1), b, int(coeff) + least))
        return self._times(self._made[key], self.term(base), int(offset) - least)

    @staticmethod
    def _times(out: Any, factor: Any, count: int) -> Any:
        if count > MAX_EXPONENT:
            raise Budget(f"a product of {count} equal factors is too long for z3")
        for _ in range(count):
            out = out * factor
        return out


def _solvers() -> Iterator[z3.Solver]:
    """Yield the solvers to be asked, one after the other; reals are nlsat's, the rest is z3's own."""
    for make in (lambda: z3.Tactic("qfnra-nlsat").solver(), z3.Solver):
        solver = make()
        solver.set("rlimit", RLIMIT)
        solver.set("ctrl_c", False)  # Ctrl-C is Python's: z3 would only answer "unknown"
        yield solver


def ask(
    relation: Any, given: tuple[Any, ...], domains: Mapping[str, str]
) -> tuple[str, dict[str, Fraction]]:
    """Ask z3 whether a relation follows.

    Returns:
        "proved", or "counterexample" with values to be confirmed, or why it is not known, beginning
        with ``budget`` or ``incompleteness``.

    Raises:
        Unsupported: something has no translation.
        Budget: the translation would be too long.
    """
    translation = Translation(domains)
    translation.scan(relation, *given)
    hypotheses = [translation.relation(r) for r in given]
    goal = translation.relation(relation)
    reasons = []
    for solver in _solvers():
        solver.add(*translation.conditions, *hypotheses, z3.Not(goal))
        try:
            outcome = solver.check()
        except z3.Z3Exception as error:
            reasons.append(str(error))
            continue
        if outcome == z3.unsat:
            return "proved", {}
        if outcome == z3.sat and translation.abstracted:
            return "incompleteness: a counterexample only with beta**t replaced by a symbol", {}
        if outcome == z3.sat:
            return "counterexample", _values(solver.model(), translation.symbols)
        reasons.append(solver.reason_unknown())
    if any("canceled" in r or "resource" in r for r in reasons):
        return f"budget: z3 gave up after {RLIMIT} units", {}
    return f"incompleteness: z3 does not know ({'; '.join(reasons)})", {}


def model(
    given: tuple[Any, ...], domains: Mapping[str, str], defined: tuple[Any, ...] = ()
) -> dict[str, Fraction] | None:
    """Return values that z3 thinks satisfy all relations, to be confirmed; None if it has none.

    Args:
        given: the relations.
        domains: the domain of each symbol.
        defined: relations that must be defined there, true or not.
    """
    translation = Translation(domains)
    try:
        translation.scan(*given, *defined)
        relations = [translation.relation(r) for r in given]
        for relation in defined:
            translation.relation(relation)
    except (Unsupported, Budget):
        return None
    solver = z3.Solver()
    solver.set("rlimit", RLIMIT)
    solver.set("ctrl_c", False)
    solver.add(*translation.conditions, *relations)
    return _values(solver.model(), translation.symbols) if solver.check() == z3.sat else None


def _values(model: Any, symbols: Mapping[str, Any]) -> dict[str, Fraction]:
    out = {}
    for name, symbol in symbols.items():
        found = model.eval(symbol, model_completion=True)
        if z3.is_algebraic_value(found):
            found = found.approx(20)
        out[name] = Fraction(found.numerator_as_long(), found.denominator_as_long())
    return out
