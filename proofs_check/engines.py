"""Ask the engines about a goal; each says proved, refuted with a checked witness, or why not.

Order: the small checker first (level ``exact``), then z3 (``smt``), Arb (``interval``) for numbers,
SymPy (``cas``) for limits and sums.  A refutation is only ever a point at which exact arithmetic
confirms the failure.  An engine that raises is an engine that does not know.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import sympy as sp

from ..theory import symbols as sym
from ..theory.evaluate import EXACT, compiled, value
from ..theory.identity import Budget, Checker, Unsupported
from ..theory.interval import Interval
from ..theory.records import (
    Analysis,
    Answer,
    Goal,
    Ground,
    Holds,
    Identity,
    Level,
    Point,
    Verdict,
    Witness,
)

#: Values tried, in this order, when looking for a point that refutes a goal.
_TRIED: dict[str, tuple[Fraction, ...]] = {
    "real": tuple(map(Fraction, (1, -1, 2, 0, "1/2", -2, 3))),
    "nonnegative": tuple(map(Fraction, (1, 0, 2, "1/2", 3))),
    "positive": tuple(map(Fraction, (1, 2, "1/2", 3))),
    "unit": tuple(map(Fraction, ("1/2", "3/4", "1/4", 0, "9/10"))),
    "natural": tuple(map(Fraction, (1, 2, 3, 5))),
}
#: Points tried per goal: a deterministic budget.
MAX_POINTS = 400


def decide(goal: Goal) -> Answer:
    """Return what the engines find out about a goal; never raises for a failing engine."""
    asked: tuple[Callable[[Any], Answer | None], ...] = {
        Identity: (_by_identity, _by_identity_point),
        Holds: (_by_certificate, _by_factors, _by_z3, _by_relation_point),
        Ground: (_by_evaluation,),
        Analysis: (_by_sympy,),
    }[type(goal)]
    reasons = []
    for engine in asked:
        try:
            answer = engine(goal)
        except Exception as error:
            reasons.append(f"{engine.__name__.removeprefix('_by_')}: {error or type(error).__name__}")
            continue
        if answer is None:
            continue
        if answer.verdict in (Verdict.PROVED, Verdict.REFUTED):
            return answer
        reasons.append(answer.reason)
    return Answer(Verdict.UNDECIDED, reason="; ".join(reasons) or "incompleteness: no engine knows")


def follows(relation: Any, given: tuple[Any, ...], domains: Mapping[str, str]) -> bool:
    """Return whether the relation is proved from the given ones."""
    return decide(Holds(relation, given, domains)).verdict is Verdict.PROVED


# -- exact ---------------------------------------------------------------------------------------


def _domains(goal: Identity | Holds) -> dict[str, str]:
    return {**sym.DOMAINS, **goal.domains}


def _by_identity(goal: Identity) -> Answer | None:
    if Checker(_domains(goal)).is_zero(goal.lhs - goal.rhs):
        return Answer(Verdict.PROVED, Level.EXACT, "identity")
    return Answer(Verdict.UNDECIDED, reason="incompleteness: the difference does not cancel")


def _by_identity_point(goal: Identity) -> Answer | None:
    return _search(abs(goal.lhs - goal.rhs), (), _domains(goal))


def _by_certificate(goal: Holds) -> Answer | None:
    """Show a difference to be a fraction with coefficients >= 0, after the goal's shift."""
    kind = type(goal.relation)
    flipped = {sp.Le: -1, sp.Lt: -1, sp.Ge: 1, sp.Gt: 1}.get(kind)
    if flipped is None:
        return None
    difference = flipped * (goal.relation.lhs - goal.relation.rhs)
    strict = kind in (sp.Lt, sp.Gt)
    domains = _domains(goal)
    for shift in ({}, goal.shift):
        shifted = difference.xreplace(dict(shift)) if shift else difference
        extra = {s.name: "nonnegative" for e in shift.values() for s in e.free_symbols}
        known = {**domains, **{n: d for n, d in extra.items() if n not in domains}}
        checker = Checker(known)
        sign = checker.sign(shifted) or checker.certify(shifted)
        if sign == "positive" or (sign and not strict):
            return Answer(Verdict.PROVED, Level.EXACT, "certificate")
    return None


def _by_factors(goal: Holds) -> Answer | None:
    """Show a product to be positive by showing each of its factors to be."""
    relation = goal.relation
    if not (isinstance(relation, sp.Gt) and relation.rhs == 0):
        return None
    bases = [f.args[0] if f.is_Pow and f.args[1].is_Rational else f
             for f in (relation.lhs.args if relation.lhs.is_Mul else (relation.lhs,))]  # fmt: skip
    if bases == [relation.lhs]:
        return None
    parts = [decide(Holds(sym.gt(b, 0), goal.given, goal.domains, goal.shift)) for b in bases]
    if all(p.verdict is Verdict.PROVED for p in parts):
        return Answer(Verdict.PROVED, Level.weakest(p.level for p in parts if p.level), "factors")
    return None


# -- z3 ------------------------------------------------------------------------------------------


def _by_z3(goal: Holds) -> Answer | None:
    from .smt import ask

    outcome, values = ask(goal.relation, goal.given, _domains(goal))
    if outcome == "proved":
        return Answer(Verdict.PROVED, Level.SMT, "z3")
    if outcome == "counterexample":
        confirmed = _confirm(goal, values)
        if confirmed is not None:
            return confirmed
        outcome = "incompleteness: z3's counterexample was not confirmed exactly"
    return Answer(Verdict.UNDECIDED, reason=outcome)


def _excess(relation: Any) -> Any:
    """Return an expression that is > 0 (for strict relations >= 0) where the relation fails."""
    if isinstance(relation, sp.Le | sp.Lt):
        return relation.lhs - relation.rhs
    if isinstance(relation, sp.Ge | sp.Gt):
        return relation.rhs - relation.lhs
    if isinstance(relation, sp.Eq):
        return abs(relation.lhs - relation.rhs)
    raise Unsupported(f"no counterexample is looked for to {relation}")


def holds_at(relation: Any, point: Mapping[str, Fraction]) -> bool:
    """Whether a relation certainly holds at a point, by exact evaluation."""
    if relation in (sp.true, True):
        return True
    if isinstance(relation, sp.And):
        return all(holds_at(part, point) for part in relation.args)
    difference = value(relation.lhs - relation.rhs, point)
    lo, hi = difference.lo, difference.hi
    return {
        sp.Ge: lo >= 0, sp.Gt: lo > 0, sp.Le: hi <= 0, sp.Lt: hi < 0,
        sp.Eq: lo == hi == 0, sp.Ne: lo > 0 or hi < 0,
    }.get(type(relation), False)  # fmt: skip


def _confirm(goal: Holds, point: Mapping[str, Fraction]) -> Answer | None:
    needed = {s.name for s in goal.relation.free_symbols}
    full = {**{n: Fraction(1) for n in needed}, **point}
    if not all(_in_domain(full[n], _domains(goal).get(n, "real")) for n in needed):
        return None
    if not all(holds_at(given, full) for given in goal.given):
        return None
    excess = value(_excess(goal.relation), full)
    strict = isinstance(goal.relation, sp.Lt | sp.Gt)
    if excess.lo > 0 or (strict and excess.lo >= 0 and excess.exact):
        shown = {n: full[n] for n in sorted(needed)}
        return Answer(Verdict.REFUTED, Level.EXACT, "z3", witness=Witness(shown, str(excess)))
    return None


def _in_domain(number: Fraction, domain: str) -> bool:
    return {
        "real": True,
        "nonnegative": number >= 0,
        "positive": number > 0,
        "unit": 0 <= number < 1,
        "natural": number >= 1 and number.denominator == 1,
    }[domain]


# -- search for a refuting point ------------------------------------------------------------------


def _by_relation_point(goal: Holds) -> Answer | None:
    return _search(_excess(goal.relation), goal.given, _domains(goal),
                   strict=isinstance(goal.relation, sp.Lt | sp.Gt))  # fmt: skip


def points(names: tuple[str, ...], domains: Mapping[str, str]) -> Iterator[dict[str, Fraction]]:
    """Yield points of the domains, the plain ones first, at most `MAX_POINTS`."""
    choices = [_TRIED[domains.get(n, "real")] for n in names]
    ranked = (
        sorted(itertools.product(*(range(len(c)) for c in choices)), key=lambda i: (sum(i), i))
        if len(names) <= 5
        else zip(*(itertools.cycle(range(len(c))) for c in choices), strict=False)
    )
    for index in itertools.islice(ranked, MAX_POINTS):
        yield {n: c[i] for n, c, i in zip(names, choices, index, strict=True)}


def _search(
    excess: Any, given: tuple[Any, ...], domains: Mapping[str, str], *, strict: bool = False
) -> Answer | None:
    used = excess.free_symbols.union(*(r.free_symbols for r in given)) if given else (
        excess.free_symbols
    )  # fmt: skip
    names = tuple(sorted(s.name for s in used))
    run = compiled({"excess": excess}, EXACT)
    for point in points(names, domains):
        try:
            if not all(holds_at(relation, point) for relation in given):
                continue
            found = run({n: Interval.of(v) for n, v in point.items()})["excess"]
        except (ZeroDivisionError, ValueError, Unsupported):
            continue
        if found.lo > 0 or (strict and found.exact and found.lo >= 0):
            witness = Witness(point, str(found))
            return Answer(Verdict.REFUTED, Level.EXACT, "search", witness=witness)
    return None


# -- numbers ---------------------------------------------------------------------------------------


def _by_evaluation(goal: Ground) -> Answer | None:
    relation = goal.relation
    if relation in (sp.true, sp.false):
        raise Unsupported("SymPy decided it while it was written down; write it unevaluated")
    try:
        level, difference = Level.EXACT, value(relation.lhs - relation.rhs, {})
        if not difference.exact:
            level = Level.INTERVAL
        lo, hi = difference.lo, difference.hi
    except Unsupported:
        from .arb import BALLS

        ball = compiled({"_": relation.lhs - relation.rhs}, BALLS)({})["_"]
        level = Level.INTERVAL
        lo, hi = ball.lower(), ball.upper()
    holds = {
        sp.Ge: lo >= 0, sp.Gt: lo > 0, sp.Le: hi <= 0, sp.Lt: hi < 0, sp.Eq: lo == hi == 0,
        sp.Ne: lo > 0 or hi < 0,
    }[type(relation)]  # fmt: skip
    fails = {
        sp.Ge: hi < 0, sp.Gt: hi <= 0, sp.Le: lo > 0, sp.Lt: lo >= 0, sp.Eq: lo > 0 or hi < 0,
        sp.Ne: lo == hi == 0,
    }[type(relation)]  # fmt: skip
    if holds:
        return Answer(Verdict.PROVED, level, "evaluation")
    if fails:
        by = f"difference in [{float(lo):.6g}, {float(hi):.6g}]"
        return Answer(Verdict.REFUTED, level, "evaluation", witness=Witness({}, by))
    return Answer(Verdict.UNDECIDED, reason="incompleteness: the enclosure does not decide")


# -- computer algebra ------------------------------------------------------------------------------


def _by_sympy(goal: Analysis) -> Answer | None:
    """Let SymPy work out a limit, sum or integral; the difference must vanish identically."""
    found = goal.lhs.doit()
    if found.has(sp.Limit, sp.Sum, sp.Integral, sp.Piecewise):
        return Answer(Verdict.UNDECIDED, reason=f"incompleteness: SymPy leaves {found}")
    if sp.simplify(found - goal.rhs) == 0:
        return Answer(Verdict.PROVED, Level.CAS, "sympy")
    names = {s.name for s in (found - goal.rhs).free_symbols}
    point: Point = {n: Fraction(1, 2) for n in names}
    numeric = (found - goal.rhs).subs({s: sp.Rational(1, 2) for s in (found - goal.rhs).free_symbols})
    if numeric.is_number and abs(sp.N(numeric, 30)) > sp.Rational(1, 10**6):
        return Answer(Verdict.REFUTED, Level.CAS, "sympy", witness=Witness(point, str(numeric)))
    return Answer(Verdict.UNDECIDED, reason="incompleteness: SymPy does not simplify the difference")
