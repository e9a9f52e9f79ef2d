"""`adamproof explain`: a claim as a page of a textbook."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import sympy as sp
from rich.console import Console

from . import measured, pages
from .checking import claim_or_fail, subject_or_fail
from .counterexamples.catalogue import breaking
from .errors import UsageError
from .pages import Entry, Formula, Line, Page, Section
from .proofs_check import engines, ledger, report
from .proofs_check.formula import latex_expr, unicode_expr
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


def explain(
    name: str,
    subject_id: str,
    *,
    against: str = "",
    form: str = "terminal",
    out: Path | None = None,
) -> int:
    """Print a claim, or write it as a document, and return the exit status.

    Raises:
        UsageError: there is no such claim or subject, the claim does not apply to it, or the file
            cannot be written.
    """
    claim = claim_or_fail(name)
    page = page_of(claim, _subject(claim, subject_id, against))
    if form == "terminal" and out is None:
        pages.show(page, Console(highlight=False))
        return 0
    if form == "terminal":
        raise UsageError("--out is for --latex and --notebook; choose one of them")
    text = pages.latex(page) if form == "latex" else pages.notebook(page)
    if out is None:
        sys.stdout.write(text)
        return 0
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}") from error
    return 0


def page_of(claim: Claim, subject: Subject | None) -> Page:
    """Judge a claim for a subject (None: mathematics alone) and return the page about it.

    Raises:
        UsageError: the claim does not apply to the subject.
    """
    finding = Judge().finding(claim, subject)
    if finding.verdict is Verdict.NOT_APPLICABLE:
        raise UsageError(f"{claim.id} does not apply to {finding.subject}")
    about = (
        ("people say", claim.says),
        ("statement", claim.statement),
        ("hypotheses", claim.hypotheses),
        ("source", str(claim.source)),
        ("stated and proved in", claim.home),
        ("watch it fail", ", ".join(f"adamproof reproduce {name}" for name in breaking(claim.id))),
    )
    case = claim.judge(subject.rule if subject else paper_of("adam"))
    sections = [_verdict(finding)]
    if case is not None:
        sections += _derivation(case, finding)
    if claim.repaired_by:
        sections.append(_repair(claims()[claim.repaired_by]))
    sections += _elsewhere(claim)
    if found := measured.about(claim.id):
        data = tuple(Line(f.outcome, measured.sentence(f)) for f in found)
        sections.append(Section("measured", data))
    lines = tuple(Line(label, text) for label, text in about if text)
    return Page(claim.id, claim.family, lines, tuple(sections), _code(claim, finding, subject))


def _subject(claim: Claim, subject_id: str, against: str) -> Subject | None:
    """Return the subject asked for, or the first one to which the claim applies."""
    if against and not subject_id:
        raise UsageError("--against describes a subject: name it with --subject")
    if claim.about == "mathematics":
        if subject_id and subject_id != "mathematics":
            raise UsageError(f"{claim.id} is about mathematics alone; leave --subject away")
        return None
    if subject_id:
        return subject_or_fail(subject_id, against=against)
    known = builtin()
    for subject in (known["paper:adam"], *known.values()):
        case = claim.judge(subject.rule)
        on_code = claim.id == "code-is-paper" or (case is not None and case.trial)
        if case is not None and not (subject.kind == "paper" and on_code):
            return subject
    raise UsageError(f"{claim.id} applies to no built-in subject")


def _verdict(finding: Finding) -> Section:
    level = f" ({finding.level})" if finding.level else ""
    parts = [Line("", finding.reason)] if finding.reason else []
    if (w := finding.witness) is not None:
        if w.point:
            parts.append(Line("witness", ", ".join(f"{n} = {v}" for n, v in w.point.items())))
        if w.excess:
            parts.append(Line("violated by", f"{w.excess} (exact run)"))
        if w.replayed:
            parts.append(Line("replayed on the real optimizer", f"violated by {w.replayed}"))
    return Section(f"{finding.verdict}{level} for {report.short(finding.subject)}", tuple(parts))


def formula_of(goal: Goal) -> Formula:
    """Return a goal as a formula in both scripts."""
    if isinstance(goal, Every):
        return Formula(f"{goal.says}   ({len(goal.over)} cases)")
    if isinstance(goal, Identity | Analysis):
        sides = [sp.sympify(side) for side in (goal.lhs, goal.rhs)]
        return Formula(" = ".join(map(unicode_expr, sides)), " = ".join(map(latex_expr, sides)))
    if isinstance(goal, Ground):
        numbers = goal.relation.atoms(sp.Rational)
        if any(max(abs(n.p), n.q).bit_length() > 64 for n in numbers):
            sign = goal.relation.rel_op.replace(">=", "≥").replace("<=", "≤").replace("==", "=")
            left, right = (f"{float(side):.8g}" for side in (goal.relation.lhs, goal.relation.rhs))
            return Formula(f"{left} {sign} {right}   (as exact rationals)")
    plain, tex = unicode_expr(goal.relation), latex_expr(goal.relation)
    if isinstance(goal, Holds) and goal.given:
        plain += "   if   " + ", ".join(unicode_expr(r) for r in goal.given)
        tex += r" \quad\text{if}\quad " + ",\\; ".join(latex_expr(r) for r in goal.given)
    return Formula(plain, tex)


def _derivation(case: Case, finding: Finding) -> Iterator[Section]:
    if case.statement is not None:
        yield Section("the statement as a formula", (Entry(0, "", formula_of(case.statement), ""),))
    if finding.verdict is Verdict.REFUTED:
        return
    if case.steps:
        entries = []
        for number, (step, answer) in enumerate(zip(case.steps, finding.answers, strict=False), 1):
            why = f"   — {step.why}" if step.why else ""
            by = f"{answer.verdict} {answer.level or ''} by {answer.engine or 'no engine'}"
            entries.append(Entry(number, f"{step.text}{why}", formula_of(step.goal), by))
        yield Section("derivation", tuple(entries))
    if case.control is not None:
        answer = engines.decide(case.control)
        where = ""
        if answer.witness is not None and answer.witness.point:
            where = " at " + ", ".join(f"{n} = {v}" for n, v in answer.witness.point.items())
        entry = Entry(0, "", formula_of(case.control), f"{answer.verdict}{where}")
        yield Section("negative control, a near-miss that must be refuted", (entry,))


def _repair(repair: Claim) -> Section:
    parts = [Line("", repair.statement)]
    parts += [Line("if", repair.hypotheses)] if repair.hypotheses else []
    return Section("what is true instead", (*parts, Line("see", f"adamproof explain {repair.id}")))


def _elsewhere(claim: Claim) -> Iterator[Section]:
    """Yield the recorded verdicts for every subject."""
    try:
        rows = ledger.load().get(claim.id, {})
    except ledger.LedgerError:
        return
    kinds: dict[str, list[str]] = {}
    for subject, row in rows.items():
        level = f" ({row['level']})" if row["level"] else ""
        kinds.setdefault(f"{row['verdict']}{level}", []).append(subject)
    lines = (Line(v, report.grouped(names, 8).replace("\n", "; ")) for v, names in kinds.items())
    yield Section("on record", tuple(lines))


_CODE = """\
from adamproof.proofs_check.judge import Judge
{imports}from adamproof.theory.catalogue import claims

finding = Judge().finding(claims()["{claim}"], {subject})
assert str(finding.verdict) == "{verdict}"
finding.as_dict()"""


def _code(claim: Claim, finding: Finding, subject: Subject | None) -> str:
    named = f", against={subject.against!r}" if subject and subject.kind == "user" else ""
    resolved = f"resolve({subject.id!r}{named})" if subject else "None"
    line = "from adamproof.proofs_check.subjects import resolve\n" if subject else ""
    return _CODE.format(imports=line, claim=claim.id, subject=resolved, verdict=finding.verdict)
