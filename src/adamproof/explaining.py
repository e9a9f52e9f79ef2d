"""`adamproof explain`: a claim as a page of a textbook."""

from __future__ import annotations

import sympy as sp
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from .checking import claim_or_fail, subject_or_fail
from .errors import UsageError
from .proofs_check import engines, ledger, report
from .proofs_check.formula import unicode_expr
from .proofs_check.judge import Judge
from .proofs_check.subjects import Subject, builtin
from .theory.catalogue import claims
from .theory.faithful import paper_of
from .theory.records import (
    Analysis,
    Case,
    Claim,
    Every,
    Finding,
    Goal,
    Ground,
    Holds,
    Identity,
    Verdict,
)


def explain(name: str, subject_id: str) -> int:
    """Print a claim and return the exit status.

    Raises:
        UsageError: there is no such claim or subject, or the claim does not apply to it.
    """
    claim = claim_or_fail(name)
    console = Console(highlight=False)
    subject = _subject(claim, subject_id)
    finding = Judge().finding(claim, subject)
    if finding.verdict is Verdict.NOT_APPLICABLE:
        raise UsageError(f"{claim.id} does not apply to {subject_id}")
    console.print(Text(claim.id, style="bold"), f"  [{claim.family}]", markup=False)
    for label, text in (
        ("people say", claim.says),
        ("statement", claim.statement),
        ("hypotheses", claim.hypotheses),
        ("source", str(claim.source)),
        ("stated and proved in", claim.home),
    ):
        if text:
            console.print(Text(f"{label}: ", style="dim") + Text(text))
    _verdict(console, finding)
    rule = subject.rule if subject else paper_of("adam")
    case = claim.judge(rule)
    if case is not None:
        _derivation(console, case, finding)
    if claim.repaired_by:
        _repair(console, claims()[claim.repaired_by])
    _elsewhere(console, claim)
    return 0


def _subject(claim: Claim, subject_id: str) -> Subject | None:
    """Return the subject asked for, or the first one to which the claim applies."""
    if claim.about == "mathematics":
        if subject_id and subject_id != "mathematics":
            raise UsageError(f"{claim.id} is about mathematics alone; leave --subject away")
        return None
    if subject_id:
        return subject_or_fail(subject_id)
    known = builtin()
    for subject in (known["paper:adam"], *known.values()):
        if claim.judge(subject.rule) is not None and not (
            subject.kind == "paper" and claim.id == "code-is-paper"
        ):
            return subject
    raise UsageError(f"{claim.id} applies to no built-in subject")


def _verdict(console: Console, finding: Finding) -> None:
    console.print()
    console.print(
        Text(f"{finding.verdict}", style="bold")
        + Text(f" ({finding.level})" if finding.level else "")
        + Text(f" for {report.short(finding.subject)}")
    )
    if finding.reason:
        console.print(Padding(Text(finding.reason), (0, 2)))
    if finding.witness is not None:
        w = finding.witness
        console.print("  witness: " + ", ".join(f"{n} = {v}" for n, v in w.point.items()))
        console.print(f"  violated by {w.excess} (exact run)" if w.excess else "")
        if w.replayed:
            console.print(f"  replayed on the real optimizer: violated by {w.replayed}")


def goal_text(goal: Goal) -> str:
    """Return a goal as a formula."""
    if isinstance(goal, Every):
        return f"{goal.says}   ({len(goal.over)} cases)"
    if isinstance(goal, Identity | Analysis):
        return " = ".join(unicode_expr(sp.sympify(side)) for side in (goal.lhs, goal.rhs))
    if isinstance(goal, Holds) and goal.given:
        given = ", ".join(unicode_expr(r) for r in goal.given)
        return f"{unicode_expr(goal.relation)}   if   {given}"
    assert isinstance(goal, Holds | Ground)
    numbers = goal.relation.atoms(sp.Rational)
    if isinstance(goal, Ground) and any(max(abs(n.p), n.q).bit_length() > 64 for n in numbers):
        sign = {"StrictGreaterThan": ">", "GreaterThan": "≥"}[type(goal.relation).__name__]
        left, right = (f"{float(side):.8g}" for side in (goal.relation.lhs, goal.relation.rhs))
        return f"{left} {sign} {right}   (as exact rationals)"
    return unicode_expr(goal.relation)


def _derivation(console: Console, case: Case, finding: Finding) -> None:
    if case.statement is not None:
        console.print()
        console.print(f"the statement as a formula:  {goal_text(case.statement)}", markup=False)
    if case.steps and finding.verdict is not Verdict.REFUTED:
        console.print(Text("\nderivation", style="bold"))
        for number, (step, answer) in enumerate(zip(case.steps, finding.answers, strict=False), 1):
            why = f"   — {step.why}" if step.why else ""
            console.print(Padding(Text(f"{number}. {step.text}{why}"), (0, 0, 0, 1)))
            by = f"{answer.verdict} {answer.level or ''} by {answer.engine or 'no engine'}"
            console.print(Padding(Text(f"{goal_text(step.goal)}", style="cyan"), (0, 0, 0, 4)))
            console.print(Padding(Text(by, style="dim"), (0, 0, 0, 4)))
    if case.control is not None and finding.verdict is not Verdict.REFUTED:
        answer = engines.decide(case.control)
        console.print(Text("\nnegative control, a near-miss that must be refuted", style="bold"))
        console.print(Padding(Text(goal_text(case.control), style="cyan"), (0, 0, 0, 4)))
        where = ""
        if answer.witness is not None and answer.witness.point:
            where = " at " + ", ".join(f"{n} = {v}" for n, v in answer.witness.point.items())
        console.print(Padding(Text(f"{answer.verdict}{where}", style="dim"), (0, 0, 0, 4)))


def _repair(console: Console, repair: Claim) -> None:
    console.print(Text("\nwhat is true instead", style="bold"))
    console.print(Padding(Text(repair.statement), (0, 0, 0, 1)))
    if repair.hypotheses:
        console.print(Padding(Text(f"if {repair.hypotheses}"), (0, 0, 0, 1)))
    console.print(Padding(Text(f"see: adamproof explain {repair.id}", style="dim"), (0, 0, 0, 1)))


def _elsewhere(console: Console, claim: Claim) -> None:
    """Print the recorded verdicts for every subject."""
    try:
        rows = ledger.load().get(claim.id, {})
    except ledger.LedgerError:
        return
    kinds: dict[str, list[str]] = {}
    for subject, row in rows.items():
        level = f" ({row['level']})" if row["level"] else ""
        kinds.setdefault(f"{row['verdict']}{level}", []).append(subject)
    console.print(Text("\non record", style="bold"))
    for verdict, subjects in kinds.items():
        text = report.grouped(subjects, 8).replace("\n", "; ")
        console.print(Padding(Text(f"{verdict}: {text}"), (0, 0, 0, 1)))
