"""Claim × subject → finding.

A claim is *proved* when every step of its derivation is, its near-miss is refuted by the same
engines, its hypotheses have a point, and no run contradicts it.  It is *refuted* when an exact run
(or point) violates it and the real optimizer, run along, does so too by at least half as much.
A claim about how code runs on a machine is at best *measured*: it held in every run of its trial.
Everything else is *undecided*, with a reason that begins with one of `REASONS`.

The engines are not believed: what they prove is held against exact arithmetic at some points, and
what they refute at the witness (`engines.doubt`), whoever it is that decides.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache

import sympy as sp

from ..theory.catalogue import claims
from ..theory.faithful import paper_of
from ..theory.identity import Unsupported
from ..theory.interval import Interval
from ..theory.records import (
    Analysis,
    Answer,
    Case,
    Claim,
    Finding,
    Goal,
    Level,
    Point,
    Run,
    Verdict,
    Witness,
)
from ..theory.rule import Rule
from ..theory.symbols import gt
from . import engines, store
from .replay import Replay
from .store import Store
from .subjects import Subject
from .symbolic import LiftError
from .trials import TRIALS, concerns

#: Exact runs tried per claim and rule to refute it: a deterministic budget.
MAX_RUNS = 240
#: Exact runs that a finished derivation is held against: engines that lie are caught here.
GUARD_RUNS = 16

#: The claim that ties code to paper; what holds for equal transitions is proved once.
SAME_RULE = "code-is-paper"

#: What an undecided finding's reason begins with: what stopped the engines, or a problem of trust.
REASONS = (
    *engines.REASONS,
    "not lifted",  # the code has no formula
    "other branch",  # the code runs another rule for some hyper-parameters
    "claim error",  # the claim's own function raises
    "no derivation",
    "false step",  # a step of the derivation is refuted
    "no control",
    "control not refuted",
    "no run",  # no run against which the derivation could be held is defined
    "not replayed",  # the real optimizer does not violate what the exact run does
)

Decide = Callable[[Goal], Answer]


@dataclass(frozen=True)
class _OnRule:
    """What is known of a claim for a rule, before any real optimizer is run."""

    applies: bool
    answers: tuple[Answer, ...] = ()
    witness: Witness | None = None
    problem: str = ""
    proved: bool = False
    case: Case | None = None
    ran: bool = False  # the witness is that of a run


class _Used(Mapping[str, Fraction]):
    """A point that notes which of its coordinates were asked for: those are the witness."""

    def __init__(self, point: Point) -> None:
        self.point, self.names = point, set[str]()

    def __getitem__(self, name: str) -> Fraction:
        self.names.add(name)
        return self.point[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.point)

    def __len__(self) -> int:
        return len(self.point)


@dataclass
class Judge:
    """Judges claims, remembering what it found for equal rules.

    Args:
        decide: what the engines say of a goal; it need not be true.
        device: where the real optimizers run.
        remembered: what was found before; None: everything is judged.
    """

    decide: Decide = engines.consult
    device: str = "cpu"
    remembered: Store | None = None
    _known: dict[tuple[object, ...], _OnRule] = field(default_factory=dict)

    def all(self, subjects: Iterable[Subject], only: Iterable[Claim] | None = None) -> Iterator[Finding]:
        """Yield a finding for each claim and subject to which it applies."""
        chosen = list(only if only is not None else claims().values())
        for claim in chosen:
            if claim.about == "mathematics":
                yield self.finding(claim, None)
        for subject in subjects:
            for claim in chosen:
                if claim.about != "mathematics":
                    finding = self.finding(claim, subject)
                    if finding.verdict is not Verdict.NOT_APPLICABLE:
                        yield finding

    def finding(self, claim: Claim, subject: Subject | None) -> Finding:
        """Judge one claim for one subject (None: a claim about mathematics alone)."""
        key = store.finding_key(claim, subject, self.device) if self.remembered else None
        if self.remembered is None or key is None:
            return self._fresh(claim, subject)
        with contextlib.suppress(Exception):  # a damaged row is judged anew
            row = self.remembered.get(key)
            about = subject.id if subject else "mathematics"
            if row is not None and (row["claim"], row["subject"]) == (claim.id, about):
                return store.finding_of(row)
        found = self._fresh(claim, subject)
        if found.verdict is not Verdict.UNDECIDED:
            self.remembered.put(key, store.finding_row(found))
        return found

    def _fresh(self, claim: Claim, subject: Subject | None) -> Finding:
        start, code, stage = time.perf_counter(), "", "not lifted"
        try:
            code = subject.code_hash if subject else ""
            stage = "claim error"
            found = self._judge(claim, subject)
        except LiftError as error:
            found = _undecided(f"not lifted: {error}")
        except Exception as error:
            found = _undecided(f"{stage}: {type(error).__name__}: {error}")
        return replace(
            found,
            claim=claim.id,
            subject=subject.id if subject else "mathematics",
            statement=claim.statement,
            code_hash=code,
            seconds=time.perf_counter() - start,
        )

    def _judge(self, claim: Claim, subject: Subject | None) -> Finding:
        rule = self._rule(claim, subject) if subject else paper_of("adam")
        if subject and subject.kind == "paper" and claim.id == SAME_RULE:
            return Finding("", "", Verdict.NOT_APPLICABLE)
        if subject and subject.kind != "paper" and claim.about == "papers":
            return Finding("", "", Verdict.NOT_APPLICABLE)
        on_rule = self.on_rule(claim, rule)
        trial = on_rule.case.trial if on_rule.case else ""
        if not on_rule.applies or (subject and not concerns(trial, subject)):
            return Finding("", "", Verdict.NOT_APPLICABLE)
        if on_rule.case and on_rule.case.trial:
            return self._tried(on_rule, subject)
        if on_rule.witness is not None:
            return self._refutation(subject, rule, on_rule)
        problem = on_rule.problem
        if on_rule.proved and subject:
            problem = _other_branch(subject.rule)
        if not on_rule.proved or problem:
            return _undecided(problem, answers=on_rule.answers)
        level = Level.weakest(a.level or Level.SAMPLED for a in on_rule.answers)
        reason = why_cas(on_rule.case) if level is Level.CAS and on_rule.case else ""
        return Finding("", "", Verdict.PROVED, level, reason, answers=on_rule.answers)

    def _tried(self, on_rule: _OnRule, subject: Subject | None) -> Finding:
        """Return what a trial of the code itself says; its steps, if any, must be proved before."""
        assert on_rule.case is not None
        if subject is None or subject.recipe is None:
            return Finding("", "", Verdict.NOT_APPLICABLE)
        if on_rule.case.steps and not on_rule.proved:
            return _undecided(on_rule.problem, on_rule.witness, on_rule.answers)
        told = TRIALS[on_rule.case.trial](subject, self.device)
        return Finding("", "", told.verdict, told.level, told.reason, told.witness,
                       answers=on_rule.answers)  # fmt: skip

    def _rule(self, claim: Claim, subject: Subject) -> Rule:
        """Return the rule to judge: the paper's, once the code is proved exactly equal to it."""
        rule = subject.rule
        if claim.id == SAME_RULE or not subject.against or subject.kind == "paper":
            return rule
        same = self.on_rule(claims()[SAME_RULE], rule)
        exact = all(a.level is Level.EXACT for a in same.answers)
        paper = paper_of(subject.against)
        equal = same.proved and exact and set(paper.initial) == set(rule.initial)
        return paper if equal else rule

    def on_rule(self, claim: Claim, rule: Rule) -> _OnRule:
        """Decide a claim for a rule on paper, once for equal rules."""
        key = (claim, rule.key, tuple(sorted(rule.domains.items())))
        if key not in self._known:
            try:
                self._known[key] = self._recalled(claim, rule) or self._worked_out(claim, rule)
            except Exception as error:
                problem = f"claim error: {type(error).__name__}: {error}"
                self._known[key] = _OnRule(applies=True, problem=problem)
        return self._known[key]

    def _worked_out(self, claim: Claim, rule: Rule) -> _OnRule:
        case = claim.judge(rule)
        found = replace(self._decide(case, rule), case=case) if case else _OnRule(applies=False)
        if self.remembered and (found.proved or found.witness or not found.applies):
            row = {"applies": found.applies, "proved": found.proved, "ran": found.ran,
                   "witness": store.witness_row(found.witness),
                   "answers": [store.answer_row(a) for a in found.answers]}  # fmt: skip
            self.remembered.put(store.rule_key(claim, rule), row)
        return found

    def _recalled(self, claim: Claim, rule: Rule) -> _OnRule | None:
        with contextlib.suppress(Exception):  # a damaged row is judged anew
            row = self.remembered.get(store.rule_key(claim, rule)) if self.remembered else None
            if row is None:
                return None
            case = claim.judge(rule) if row["applies"] else None
            answers = tuple(store.answer_of(a) for a in row["answers"])
            witness = store.witness_of(row["witness"])
            return _OnRule(row["applies"], answers, witness, "", row["proved"], case, row["ran"])
        return None

    def _ask(self, goal: Goal) -> Answer:
        return engines.decide(goal, self.decide)

    def _decide(self, case: Case, rule: Rule) -> _OnRule:
        answers = tuple(self._ask(step.goal) for step in case.steps)
        all_proved = bool(answers) and all(a.verdict is Verdict.PROVED for a in answers)
        found = self._contradicted(case, rule, GUARD_RUNS if all_proved else MAX_RUNS)
        problem = found.problem
        if found.witness is not None and all_proved:
            problem = f"engines disagree: proved, yet violated at {_shown(found.witness.point)}"
            return _OnRule(True, answers, problem=problem)
        if found.witness is not None:
            return replace(found, answers=answers)
        if case.trial and not case.steps:
            return _OnRule(True)
        if not all_proved and not (problem and case.statement):
            problem = _first_problem(case, answers)  # says more than that no run is defined
        problem = problem or self._trust(case)
        return _OnRule(True, answers, problem=problem, proved=not problem)

    def _contradicted(self, case: Case, rule: Rule, budget: int) -> _OnRule:
        """Look for a point or an exact run that violates the statement."""
        if case.statement is not None:
            answer = self._ask(case.statement)
            if answer.verdict is Verdict.REFUTED and answer.level is Level.EXACT:
                return _OnRule(True, witness=answer.witness)
            if answer.verdict is not Verdict.PROVED:
                told = answer.reason or f"incompleteness: refuted at level {answer.level} only"
                return _OnRule(True, problem=f"{told} (in the statement)")
        if case.runs is None:
            return _OnRule(True)
        defined = False
        for point in itertools.islice(case.runs.over, budget):
            used = _Used(point)
            excess = excess_at(case.runs.excess, rule.run, used)
            defined = defined or excess is not None
            if excess is not None and excess.certainly_positive():
                seen = {n: point[n] for n in point if n in used.names}
                return _OnRule(True, witness=Witness(seen, str(excess)), ran=True)
        return _OnRule(True, problem="" if defined else "no run: none that was tried is defined")

    def _trust(self, case: Case) -> str:
        """Return why a derivation must not count as a proof, or nothing."""
        if case.control is None:
            return "no control: the claim gives no near-miss for the engines to refute"
        control = self._ask(case.control)
        # (of limits and integrals a refutation was held against Arb, see `engines.doubt`)
        if control.verdict is not Verdict.REFUTED:
            return f"control not refuted: {control.verdict} {control.reason}".rstrip()
        return ""

    def _refutation(self, subject: Subject | None, rule: Rule, on_rule: _OnRule) -> Finding:
        witness, case = on_rule.witness, on_rule.case
        assert witness is not None
        if subject is not None and subject.recipe is not None and case and on_rule.ran:
            replayed, problem = self._replayed(case, subject, rule, witness)
            if problem:
                return _undecided(f"not replayed: {problem}", witness, on_rule.answers)
            witness = replace(witness, replayed=replayed)
        return Finding("", "", Verdict.REFUTED, Level.EXACT, witness=witness,
                       answers=on_rule.answers)  # fmt: skip

    def _replayed(self, case: Case, subject: Subject, rule: Rule, witness: Witness) -> tuple[str, str]:
        """Run the real optimizer at the witness; it must violate the statement by half as much."""
        assert case.runs is not None
        assert subject.recipe is not None
        exact = excess_at(case.runs.excess, rule.run, witness.point)
        run = Replay(subject.recipe, rule, device=self.device)
        try:
            real = case.runs.excess(run, witness.point)
        except Exception as error:
            return "", f"{type(error).__name__}: {error}"
        if exact is None or real.lo < exact.lo / 2:
            return "", f"the real optimizer exceeds by {real}, the exact run by {exact}"
        return f"{float(real):.12g} (float64, {self.device})", ""


def excess_at(excess: Callable[[Run, Point], Interval], run: Run, point: Point) -> Interval | None:
    """Return the excess at a point, or None where the run or the statement is not defined."""
    try:
        return excess(run, point)
    except (ZeroDivisionError, ValueError, Unsupported, KeyError):
        return None


def why_cas(case: Case) -> str:
    """Return why steps of a case rest on SymPy alone."""
    told = [s.goal.because for s in case.steps if isinstance(s.goal, Analysis)]
    return "; ".join(dict.fromkeys(filter(None, told)))


def _undecided(reason: str, witness: Witness | None = None, answers: tuple[Answer, ...] = ()) -> Finding:
    return Finding("", "", Verdict.UNDECIDED, reason=reason, witness=witness, answers=answers)


@cache
def _other_branch(rule: Rule) -> str:
    """Return why a proof for the rule says nothing of the code elsewhere, or nothing.

    That an option is not 0 is no reason: an option that is 0 chooses another rule, by design.
    """
    domains = rule.all_domains
    for condition in rule.assumes:
        given = [
            sp.Ne(s, 0) if domains.get(s.name, "real") == "real" else gt(s, 0)
            for s in condition.free_symbols
        ]
        if not engines.follows(condition, tuple(given), domains):
            return f"other branch: the code runs this rule only where {condition}"
    return ""


def _first_problem(case: Case, answers: tuple[Answer, ...]) -> str:
    if not case.steps:
        return f"no derivation: and none of at most {MAX_RUNS} runs contradicts it"
    for step, answer in zip(case.steps, answers, strict=True):
        if answer.verdict is Verdict.REFUTED:
            where = _shown(answer.witness.point) if answer.witness else "some point"
            return f"false step: “{step.text}” fails at {where}"
        if answer.verdict is not Verdict.PROVED:
            return f"{answer.reason} (in the step “{step.text}”)"
    return "incompleteness"


def _shown(point: Point) -> str:
    return ", ".join(f"{n} = {v}" for n, v in point.items())
