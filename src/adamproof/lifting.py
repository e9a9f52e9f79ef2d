"""`adamproof lift`: print the rule that was lifted, and compare it with a paper's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp

from .checking import subject_or_fail
from .errors import UsageError
from .proofs_check import formula
from .proofs_check.judge import SAME_RULE, Judge
from .proofs_check.lift import Lift, unrolled
from .proofs_check.runs import OneStep, Path
from .proofs_check.subjects import Subject
from .proofs_check.symbolic import LiftError
from .theory import symbols as sym
from .theory.catalogue import claims
from .theory.records import Verdict


def show(
    text: str,
    options: Sequence[str],
    *,
    unroll: int,
    latex: bool,
    as_json: bool,
    against: str,
) -> int:
    """Print a lift and return the exit status: 1 if it is not the rule it should be.

    Raises:
        UsageError: the subject cannot be lifted, or the arguments do not fit.
    """
    if unroll < 0:
        raise UsageError("--unroll takes a number of steps, 1 or more")
    if text.startswith("paper:"):
        raise UsageError("a paper's rule is not lifted from code; name an optimizer module:Class")
    subject = subject_or_fail(text, options, against)
    if subject.compiled:
        raise UsageError(
            f"{subject.id} runs a compiled kernel, which has no formula to read: lift it without "
            "compiled=True, and see `adamproof explain compiled-kernel` for how the two are tied"
        )
    lift = subject.lifted
    assert lift is not None
    steps = None
    if unroll:
        try:
            steps = unrolled(lift.recipe, unroll)
        except LiftError as error:
            raise UsageError(str(error)) from error
    if as_json:
        print(json.dumps(record(subject, lift, steps), indent=1, ensure_ascii=False))
    else:
        _print(subject, lift, steps, latex)
    return _compare(subject, quiet=as_json) if against else 0


def record(subject: Subject, lift: Lift, steps: OneStep | None) -> dict[str, Any]:
    """Return the lift as JSON: every formula a string that ``sympy.sympify`` reads back.

    The branches of an unrolled lift are those of its own run.
    """
    rule = lift.rule
    regimes = [
        {
            "when": [str(c) for c in regime.when],
            "transition": _strings(rule.transition(regime)),
            "branches": _branches(branches),
        }
        for regime, branches in zip(
            rule.regimes, (*((),) * (len(rule.regimes) - len(lift.branches)), *lift.branches),
            strict=True,
        )
    ]  # fmt: skip
    transition = rule.transition() if steps is None else steps.new
    used = {s for e in transition.values() for s in e.free_symbols}
    for regime in rule.regimes:
        used |= {s for e in rule.transition(regime).values() for s in e.free_symbols}
        used |= {s for c in regime.when for s in c.free_symbols}
    used |= {s for c in rule.assumes for s in c.free_symbols}
    options = lift.recipe.sources()
    symbols = {}
    for name, domain in sym.describe(used).items():
        symbols[name] = {"domain": domain, "meaning": sym.MEANING[domain][0]}
        if name in options:
            symbols[name]["option"] = options[name]
    return {
        "subject": subject.id,
        "mode": "unrolled" if steps is not None else "inductive",
        "state": list(rule.initial),
        "initial": _strings(rule.initial),
        "transition": _strings(transition),
        "regimes": regimes,
        "branches": regimes[-1]["branches"] if steps is None else _branches(steps.branches),
        "symbols": symbols,
        "code_hash": lift.code_hash,
    }


def _branches(path: Path) -> list[dict[str, Any]]:
    return [{"condition": str(c), "taken": taken} for c, taken in path]


def _strings(formulas: Mapping[str, sp.Expr]) -> dict[str, str]:
    return {name: str(e) for name, e in formulas.items()}


def _print(subject: Subject, lift: Lift, steps: OneStep | None, latex: bool) -> None:
    sources = lift.recipe.sources()
    if steps is not None:
        write = formula.latex_expr if latex else formula.unicode_expr
        for name, expr in steps.new.items():
            print(f"{name}:  {write(expr)}")
        return
    if latex:
        print(formula.latex(lift.rule))
        return
    print(f"{subject.id}   (lifted for every t)\n")
    print(formula.unicode(lift.rule, sources))
    if lift.rule.assumes:
        told = ", ".join(formula.unicode_expr(c) for c in lift.rule.assumes)
        print(f"\non the branch {told}")


def _compare(subject: Subject, *, quiet: bool) -> int:
    """Say whether the lifted rule is the paper's; print the smallest witness where it is not."""
    finding = Judge().finding(claims()[SAME_RULE], subject)
    if quiet:
        return 0 if finding.verdict is Verdict.PROVED else 1
    if finding.verdict is Verdict.PROVED:
        print(f"\nequal to paper:{subject.against} for every t ({finding.level})")
        return 0
    print(f"\nnot shown equal to paper:{subject.against}: {finding.verdict} {finding.reason}".rstrip())
    if finding.witness is not None:
        point = ", ".join(f"{n} = {v}" for n, v in finding.witness.point.items())
        print(f"they differ at {point}, from x = 2:")
        print(f"  exactly by {finding.witness.excess}; on the real optimizer by "
              f"{finding.witness.replayed}")  # fmt: skip
    from .theory.faithful import paper_of

    print("\nthe paper's rule:\n")
    print(formula.unicode(paper_of(subject.against)))
    return 1
