"""Ask the engines about a goal; each says proved, refuted with a checked witness, or why not.

Order: the small checker first (level ``exact``), then z3 (``smt``), Arb (``interval``) for numbers,
SymPy (``cas``) for limits and sums.  A refutation is only ever a point at which exact arithmetic
confirms the failure (``points``).  An engine that raises is an engine that does not know.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import sympy as sp

from ..theory import symbols as sym
from ..theory.evaluate import compiled
from ..theory.identity import Budget, Checker, Unsupported
from ..theory.interval import Interval
from ..theory.records import (
    Analysis,
    Answer,
    Every,
    Goal,
    Ground,
    Holds,
    Identity,
    Level,
    Verdict,
    Witness,
)
from . import shifts
from .budget import limited
from .points import (
    AtPoints,
    Compiled,
    compare,
    domains_of,
    examine,
    facts,
    in_domain,
    parts_of,
    symbols_of,
)

#: Calls of Python functions that SymPy may make for a limit, sum or integral (some seconds).
MAX_CALLS = 20_000_000

#: What an undecided answer's reason begins with.
REASONS = (
    "budget",
    "incompleteness",
    "unsupported operation",
    "engine failure",
    "engines disagree",
    "vacuous",
)


def consult(goal: Goal) -> Answer:
    """Return what the first engine that knows says of a goal, or why none does; it is not checked."""
    reasons = []
    for engine in (_by_reading, *_ENGINES.get(type(goal), ())):
        try:
            answer = engine(goal)
        except Exception as error:
            reasons.append(reason_of(error, engine.__name__.removeprefix("_by_")))
            continue
        if answer and answer.verdict in (Verdict.PROVED, Verdict.REFUTED):
            return answer
        if answer:
            reasons.append(answer.reason)
        if answer and engine is _by_reading:
            break
    return _undecided("; ".join(dict.fromkeys(reasons)) or "incompleteness: no engine knows")


def decide(goal: Goal, consult: Callable[[Goal], Answer] = consult) -> Answer:
    """Consult the engines and hold what they say against exact arithmetic; never raises."""
    try:
        answer = consult(goal)
        problem = doubt(goal, answer)
    except Exception as error:
        problem = reason_of(error, "engines")
    return _undecided(problem) if problem else answer


def _undecided(reason: str) -> Answer:
    return Answer(Verdict.UNDECIDED, reason=reason)


def follows(relation: Any, given: tuple[Any, ...], domains: Mapping[str, str]) -> bool:
    """Return whether the relation is proved from the given ones."""
    return decide(Holds(relation, given, domains)).verdict is Verdict.PROVED


def reason_of(error: Exception, engine: str) -> str:
    """Return the reason of an answer that an engine failed to give."""
    if isinstance(error, Budget | RecursionError | MemoryError | SyntaxError):
        # SyntaxError: Python does not compile a formula with too many nested brackets
        return f"budget: {error or type(error).__name__}"
    if isinstance(error, Unsupported | NotImplementedError):
        return f"unsupported operation: {error}"
    return f"engine failure: {engine}: {type(error).__name__}: {error}"


# -- reading ---------------------------------------------------------------------------------------


def _by_reading(goal: Goal) -> Answer | None:
    """Stop at a goal that SymPy decided, or may have changed, while it was written down."""
    if type(goal) not in _ENGINES:
        reason = f"unsupported operation: no engine takes a {type(goal).__name__}"
        return _undecided(reason)
    if isinstance(goal, Every):
        return None
    parts, domains, problem = parts_of(goal), domains_of(goal), ""
    if sp.false in parts or (sp.true in parts[:1] and not isinstance(goal, Analysis)):
        problem = "SymPy decided it while it was written down; write it unevaluated"
    for symbol in symbols_of(goal):
        domain = domains[symbol.name]
        if symbol.is_Dummy:
            problem = f"the dummy symbol {symbol}, whose name does not say which it is"
        elif not facts(symbol) <= facts(domain):
            problem = f"SymPy assumes more of {symbol} than its domain, which is {domain}, says"
    if problem:
        return _undecided(f"unsupported operation: {problem}")
    return None


# -- exact ---------------------------------------------------------------------------------------


def _by_identity(goal: Identity) -> Answer | None:
    if Checker(domains_of(goal)).equal(*parts_of(goal)):
        return Answer(Verdict.PROVED, Level.EXACT, "identity")
    return _undecided("incompleteness: the difference does not cancel")


def _by_certificate(goal: Holds) -> Answer | None:
    """Show a difference to be a fraction with coefficients >= 0, or a product of such, after a shift."""
    kind = type(goal.relation)
    flipped = {sp.Le: -1, sp.Lt: -1, sp.Ge: 1, sp.Gt: 1}.get(kind)
    if flipped is None:
        return None
    difference = flipped * (goal.relation.lhs - goal.relation.rhs)
    strict = kind in (sp.Lt, sp.Gt)
    own = [goal] if goal.shift else []
    for shifted in (replace(goal, shift={}), *own, *shifts.proposed(goal)):
        try:
            domains = {**domains_of(goal), **shifts.fresh(shifted)}
        except Unsupported:
            if shifted is goal:
                raise
            continue
        sign = _sign(shifts.applied(difference, shifted.shift), Checker(domains))
        if sign == "positive" or (sign and not strict):
            return Answer(Verdict.PROVED, Level.EXACT, "certificate")
    return None


def _sign(expr: Any, checker: Checker) -> str | None:
    """Return what the small checker says of the sign, of the expression or of its factors."""
    sign = checker.sign(expr) or checker.certify(expr)
    if sign:
        return sign
    product = _factored(expr, checker)
    told = checker.sign(product) if product.is_Mul else None
    return told if told and checker.equal(product, expr) else None


def _factored(expr: Any, checker: Checker) -> Any:
    """Return the factors of an expression, each turned to the side on which its sign is seen."""
    powers = {p: p.as_base_exp() for p in expr.atoms(sp.Pow) if not p.exp.is_Rational}
    apart: dict[Any, Any] = {}
    back: dict[Any, Any] = {}
    for power, (base, exponent) in powers.items():
        offset, rest = exponent.as_coeff_Add()
        whole = back.setdefault((base, rest), sp.Dummy(positive=True))
        apart[power] = whole * base**offset
    product = sp.factor(expr.xreplace(apart))
    product = product.xreplace({whole: base**rest for (base, rest), whole in back.items()})
    parts, turned = [], 1
    for factor in product.args if product.is_Mul else (product,):
        base, exponent = factor.as_base_exp()
        if base.is_Add and exponent.is_Integer and not checker.sign(base) and checker.sign(-base):
            base, turned = -base, turned * (-1 if exponent % 2 else 1)
        parts.append(base**exponent)
    return sp.Mul(turned, *parts)


def _by_factors(goal: Holds) -> Answer | None:
    """Show a product to be positive by showing each of its factors to be."""
    relation = goal.relation
    if not (isinstance(relation, sp.Gt) and relation.rhs == 0):
        return None
    bases = [f.args[0] if f.is_Pow and f.args[1].is_Rational else f
             for f in (relation.lhs.args if relation.lhs.is_Mul else (relation.lhs,))]  # fmt: skip
    if bases == [relation.lhs]:
        return None
    parts = [consult(Holds(sym.gt(b, 0), goal.given, goal.domains, goal.shift)) for b in bases]
    if all(p.verdict is Verdict.PROVED for p in parts):
        return Answer(Verdict.PROVED, Level.weakest(p.level or Level.SAMPLED for p in parts), "factors")
    return None


def _by_order(goal: Holds) -> Answer | None:
    """Show L >= R by what keeps the order: a term at a time, a root by what is under it, a maximum."""
    relation = goal.relation
    if not isinstance(relation, sp.Ge | sp.Le):
        return None
    roots = [sym.ge(r.gts.args[0], r.lts.args[0]) for r in goal.given
             if isinstance(r, sp.Ge | sp.Le) and _root(r.gts) and _root(r.lts)]  # fmt: skip
    rest = replace(goal, given=(*goal.given, *roots))
    left, right = (sp.Add.make_args(side) for side in (relation.gts, relation.lts))
    if len(left) != len(right) or len(left) > 3:
        return None
    for order in itertools.permutations(right):
        if all(_above(a, b, rest) for a, b in zip(left, order, strict=True)):
            return Answer(Verdict.PROVED, Level.EXACT, "order")
    return None


def _root(e: Any) -> bool:
    return bool(e.is_Pow and e.args[1] == sp.Rational(1, 2))


def _above(a: Any, b: Any, goal: Holds) -> bool:
    """Whether a >= b is exact: they are equal, roots of such, or a is a maximum over such."""
    if a == b or (a.func is sp.Max and b in a.args):
        return True
    if _root(a) and _root(b):
        return _above(a.args[0], b.args[0], goal)
    if any(
        isinstance(r, sp.Ge | sp.Gt | sp.Le | sp.Lt) and (r.gts, r.lts) == (a, b) for r in goal.given
    ):
        return True
    answer = _by_certificate(replace(goal, relation=sym.ge(a, b)))
    return answer is not None and answer.level is Level.EXACT


# -- z3 ------------------------------------------------------------------------------------------


def _by_z3(goal: Holds) -> Answer | None:
    from .smt import ask

    outcome, values = ask(goal.relation, goal.given, domains_of(goal))
    if outcome == "proved":
        return Answer(Verdict.PROVED, Level.SMT, "z3")
    if outcome == "counterexample":
        confirmed = AtPoints(goal).first_failure([values], "z3")
        if confirmed is not None:
            return confirmed
        outcome = "incompleteness: z3's counterexample was not confirmed exactly"
    return _undecided(outcome)


def _by_point(goal: Identity | Holds) -> Answer | None:
    held = AtPoints(goal)
    return held.first_failure(held.points(), "search")


def doubt(goal: Goal, answer: Answer) -> str:
    """Return why an answer must not be believed, or nothing: exact arithmetic has the last word.

    A proof needs a point of the goal, and none at which it fails; a refutation one at which it does.
    """
    if answer.verdict is Verdict.REFUTED and answer.witness is None:
        return f"engines disagree: {answer.engine or 'an engine'} refutes it at no point"
    if answer.verdict is Verdict.UNDECIDED:
        return ""
    if isinstance(goal, Analysis):
        from .bracket import disagreement

        if answer.level not in (Level.CAS, Level.SAMPLED, None):
            return f"engines disagree: SymPy alone is not of level {answer.level}"
        with limited(MAX_CALLS):
            seen = disagreement(goal)
        if answer.verdict is Verdict.PROVED:
            return f"engines disagree: proved, yet Arb sees {seen}" if seen else ""
        return "" if seen else "engines disagree: refuted, yet Arb sees both sides agree"
    if isinstance(goal, Ground | Every):
        told = _by_evaluation(goal) if isinstance(goal, Ground) else _by_enumeration(goal)
        agrees = told.verdict is answer.verdict
        return "" if agrees else f"engines disagree: {answer.verdict}, yet {told.verdict} by evaluation"
    if answer.verdict is Verdict.PROVED:
        examined = examine(goal)
        if examined.fails_at is not None:
            at = ", ".join(f"{n} = {v}" for n, v in examined.fails_at.items())
            return f"engines disagree: proved, yet it fails at {at}"
        return "" if examined.points else "vacuous: no point is known at which it says anything"
    if answer.witness is not None and AtPoints(goal).told(answer.witness.point) != "fails":
        return "engines disagree: refuted, yet it is not seen to fail at the witness"
    return ""


# -- numbers ---------------------------------------------------------------------------------------


def _by_evaluation(goal: Ground) -> Answer:
    relation, level = goal.relation, Level.INTERVAL
    compare(type(relation), 0, 0)
    if relation.free_symbols:
        raise Unsupported(f"{relation} is about more than numbers")
    try:
        difference = Compiled(relation).difference({})
        lo, hi = difference.lo, difference.hi
        level = Level.EXACT if difference.exact else Level.INTERVAL
    except Unsupported:
        from .arb import NUMBERS

        found = compiled({"left": relation.lhs, "right": relation.rhs}, NUMBERS)({})
        ball = found["left"] - found["right"]
        lo, hi = ball.lower(), ball.upper()
    told = compare(type(relation), lo, hi)
    if told:
        return Answer(Verdict.PROVED, level, "evaluation")
    if told is False:
        by = f"difference in [{float(lo):.6g}, {float(hi):.6g}]"
        return Answer(Verdict.REFUTED, level, "evaluation", witness=Witness({}, by))
    return _undecided("incompleteness: the enclosure does not decide")


def _by_enumeration(goal: Every) -> Answer:
    """Try every point of a finite list."""
    level = Level.EXACT
    for point in goal.over:
        found = goal.excess(point)
        if not isinstance(found, int | Fraction | Interval):
            raise Unsupported(f"an excess of type {type(found).__name__}, which is not exact")
        excess = Interval.of(found)
        level = level if excess.exact else Level.INTERVAL
        if excess.lo > 0:
            witness = Witness(point, str(excess))
            return Answer(Verdict.REFUTED, Level.EXACT, "enumeration", witness=witness)
        if excess.hi > 0:
            return _undecided("incompleteness: the enclosure does not decide")
    if not goal.over:
        return _undecided("vacuous: the list of cases is empty")
    return Answer(Verdict.PROVED, level, "enumeration")


# -- computer algebra ------------------------------------------------------------------------------


def _by_sympy(goal: Analysis) -> Answer | None:
    """Let SymPy work out a limit, sum or integral; the difference must vanish identically."""
    with limited(MAX_CALLS):
        found = goal.lhs.doit()
        if found.has(sp.Limit, sp.Sum, sp.Integral, sp.Piecewise):
            return _undecided(f"incompleteness: SymPy leaves {found}")
        if sp.simplify(found - goal.rhs) == 0:
            return Answer(Verdict.PROVED, Level.CAS, "sympy")
    domains = domains_of(goal)
    left = (found - goal.rhs).free_symbols
    point = {s: next(v for v in map(Fraction, ("1/2", "2")) if in_domain(v, domains[s.name]))
             for s in left}  # fmt: skip
    numeric = (found - goal.rhs).subs({s: sp.Rational(str(v)) for s, v in point.items()})
    if numeric.is_number and abs(sp.N(numeric, 30)) > sp.Rational(1, 10**6):
        witness = Witness({s.name: v for s, v in point.items()}, str(numeric))
        return Answer(Verdict.REFUTED, Level.CAS, "sympy", witness=witness)
    return _undecided("incompleteness: SymPy does not simplify the difference")


_ENGINES: dict[type, tuple[Callable[[Any], Answer | None], ...]] = {
    Identity: (_by_identity, _by_point),
    Holds: (_by_certificate, _by_factors, _by_order, _by_z3, _by_point),
    Ground: (_by_evaluation,),
    Analysis: (_by_sympy,),
    Every: (_by_enumeration,),
}
