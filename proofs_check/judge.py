"""Claim × subject → finding.

A claim is *proved* when every step of its derivation is, its near-miss is refuted by the same
engines, its hypotheses have a point, and no run contradicts it.  It is *refuted* when an exact run
(or point) violates it and the real optimizer, run along, does so too by at least half as much.
Everything else is *undecided*, with the reason.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from ..theory.catalogue import claims
from ..theory.faithful import paper_of
from ..theory.identity import Unsupported
from ..theory.interval import Interval
from ..theory.records import (
    Answer,
    Case,
    Claim,
    Finding,
    Goal,
    Holds,
    Level,
    Point,
    Run,
    Verdict,
    Witness,
)
from ..theory.rule import Rule
from . import engines
from .replay import NotReplayed, Replay
from .subjects import Subject
from .symbolic import LiftError

#: Exact runs tried per claim and rule to refute it: a deterministic budget.
MAX_RUNS = 240
#: Exact runs that a finished derivation is held against: engines that lie are caught here.
GUARD_RUNS = 16

#: The claim that ties code to paper; what holds for equal transitions is proved once.
SAME_RULE = "code-is-paper"

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
        decide: asks the engines about a goal.
        device: where the real optimizers run.
    """

    decide: Decide = engines.decide
    device: str = "cpu"
    _known: dict[tuple[str, str], _OnRule] = field(default_factory=dict)

    def all(
        self, subjects: Iterable[Subject], only: Iterable[Claim] | None = None
    ) -> Iterator[Finding]:
        """Yield a finding for each claim and subject to which it applies."""
        chosen = list(only if only is not None else claims().values())
        for claim in chosen:
            if claim.about == "mathematics":
                yield self.finding(claim, None)
        for subject in subjects:
            for claim in chosen:
                if claim.about == "rules":
                    finding = self.finding(claim, subject)
                    if finding.verdict is not Verdict.NOT_APPLICABLE:
                        yield finding

    def finding(self, claim: Claim, subject: Subject | None) -> Finding:
        """Judge one claim for one subject (None: a claim about mathematics alone)."""
        start = time.perf_counter()
        try:
            found = self._judge(claim, subject)
        except LiftError as error:
            found = Finding("", "", Verdict.UNDECIDED, reason=f"not lifted: {error}")
        name = subject.id if subject else "mathematics"
        try:
            code = subject.code_hash if subject else ""
        except LiftError:
            code = ""
        return replace(
            found,
            claim=claim.id,
            subject=name,
            statement=claim.statement,
            code_hash=code,
            seconds=time.perf_counter() - start,
        )

    def _judge(self, claim: Claim, subject: Subject | None) -> Finding:
        rule = self._rule(claim, subject) if subject else paper_of("adam")
        if subject and subject.kind == "paper" and claim.id == SAME_RULE:
            return Finding("", "", Verdict.NOT_APPLICABLE)
        on_rule = self.on_rule(claim, rule)
        if not on_rule.applies:
            return Finding("", "", Verdict.NOT_APPLICABLE)
        if on_rule.witness is not None:
            return self._refutation(subject, rule, on_rule)
        if on_rule.proved:
            level = Level.weakest(a.level for a in on_rule.answers if a.level)
            return Finding("", "", Verdict.PROVED, level, answers=on_rule.answers)
        return Finding(
            "", "", Verdict.UNDECIDED, reason=on_rule.problem, answers=on_rule.answers
        )

    def _rule(self, claim: Claim, subject: Subject) -> Rule:
        """Return the rule to judge: the paper's, once the code is proved exactly equal to it."""
        rule = subject.rule
        if claim.id == SAME_RULE or not subject.against:
            return rule
        same = self.on_rule(claims()[SAME_RULE], rule)
        exact = all(a.level is Level.EXACT for a in same.answers)
        paper = paper_of(subject.against)
        equal = same.proved and exact and set(paper.initial) == set(rule.initial)
        return paper if equal else rule

    def on_rule(self, claim: Claim, rule: Rule) -> _OnRule:
        """Decide a claim for a rule on paper, once for equal rules."""
        key = (claim.id, rule.key)
        if key not in self._known:
            try:
                case = claim.judge(rule)
                self._known[key] = (
                    replace(self._decide(case, rule), case=case) if case else _OnRule(applies=False)
                )
            except Exception as error:
                problem = f"the claim itself failed: {type(error).__name__}: {error}"
                self._known[key] = _OnRule(applies=True, problem=problem)
        return self._known[key]

    def _decide(self, case: Case, rule: Rule) -> _OnRule:
        answers = tuple(self.decide(step.goal) for step in case.steps)
        all_proved = bool(answers) and all(a.verdict is Verdict.PROVED for a in answers)
        witness, problem = self._contradiction(case, rule, GUARD_RUNS if all_proved else MAX_RUNS)
        if witness is not None and all_proved:
            told = "; ".join(f"{n} = {v}" for n, v in witness.point.items())
            return _OnRule(True, answers, problem=f"engines disagree: proved, yet violated at {told}")
        if witness is not None:
            return _OnRule(True, answers, witness)
        if problem:
            return _OnRule(True, answers, problem=problem)
        if not all_proved:
            return _OnRule(True, answers, problem=_first_problem(case, answers))
        problem = self._trust(case)
        return _OnRule(True, answers, problem=problem, proved=not problem)

    def _contradiction(self, case: Case, rule: Rule, budget: int) -> tuple[Witness | None, str]:
        """Look for a point or an exact run that violates the statement."""
        if case.statement is not None:
            answer = self.decide(case.statement)
            if answer.verdict is Verdict.REFUTED and answer.level is Level.EXACT:
                return answer.witness, ""
            if answer.verdict is not Verdict.PROVED:
                return None, f"the statement is not decided: {answer.reason}"
        if case.runs is None:
            return None, ""
        for point in itertools.islice(case.runs.over, budget):
            used = _Used(point)
            excess = excess_at(case.runs.excess, rule.run, used)
            if excess is not None and excess.certainly_positive():
                return Witness({n: point[n] for n in point if n in used.names}, str(excess)), ""
        return None, ""

    def _trust(self, case: Case) -> str:
        """Return why a derivation must not count as a proof, or nothing."""
        if case.control is None:
            return "no negative control was given"
        control = self.decide(case.control)
        if control.verdict is not Verdict.REFUTED:
            return f"the negative control was not refuted: {control.verdict} {control.reason}"
        for step in case.steps:
            if isinstance(step.goal, Holds) and step.goal.given and not satisfiable(step.goal):
                return f"no point satisfies the hypotheses of the step “{step.text}”"
        return ""

    def _refutation(
        self, subject: Subject | None, rule: Rule, on_rule: _OnRule
    ) -> Finding:
        witness, case = on_rule.witness, on_rule.case
        assert witness is not None
        if subject is not None and subject.recipe is not None and case and case.runs:
            replayed, problem = self._replayed(case, subject, rule, witness)
            if problem:
                return Finding("", "", Verdict.UNDECIDED, reason=problem, witness=witness)
            witness = replace(witness, replayed=replayed)
        return Finding("", "", Verdict.REFUTED, Level.EXACT, witness=witness,
                       answers=on_rule.answers)  # fmt: skip

    def _replayed(
        self, case: Case, subject: Subject, rule: Rule, witness: Witness
    ) -> tuple[str, str]:
        """Run the real optimizer at the witness; it must violate the statement by half as much."""
        assert case.runs is not None
        assert subject.recipe is not None
        exact = excess_at(case.runs.excess, rule.run, witness.point)
        assert exact is not None
        run = Replay(subject.recipe, rule, device=self.device)
        try:
            real = case.runs.excess(run, witness.point)
        except (NotReplayed, ZeroDivisionError, ValueError, Unsupported) as error:
            return "", f"the witness was not replayed on the real optimizer: {error}"
        if real.lo < exact.lo / 2:
            return "", f"the real optimizer exceeds by {real}, the exact run by {exact}"
        return f"{float(real):.12g} (float64, {self.device})", ""


def excess_at(
    excess: Callable[[Run, Point], Interval], run: Run, point: Point
) -> Interval | None:
    """Return the excess at a point, or None where the run or the statement is not defined."""
    try:
        return excess(run, point)
    except (ZeroDivisionError, ValueError, Unsupported, KeyError):
        return None


def satisfiable(goal: Holds) -> bool:
    """Whether some point of the domains satisfies every hypothesis of the goal."""
    from ..theory import symbols as sym

    domains = {**sym.DOMAINS, **goal.domains}
    free = {s.name for r in goal.given for s in r.free_symbols}
    tried = engines.points(tuple(sorted(free)), domains)
    if any(_all_hold(goal, point) for point in tried):
        return True
    from .smt import model

    point = model(goal.given, domains)
    return point is not None and _all_hold(goal, point)


def _all_hold(goal: Holds, point: Point) -> bool:
    try:
        return all(engines.holds_at(relation, point) for relation in goal.given)
    except (ZeroDivisionError, ValueError, Unsupported, KeyError):
        return False


def _first_problem(case: Case, answers: tuple[Answer, ...]) -> str:
    if not case.steps:
        return "no derivation, and no run that contradicts it was found (budget)"
    for step, answer in zip(case.steps, answers, strict=True):
        if answer.verdict is Verdict.REFUTED and answer.witness:
            where = ", ".join(f"{n} = {v}" for n, v in answer.witness.point.items())
            return f"the step “{step.text}” fails at {where}"
        if answer.verdict is not Verdict.PROVED:
            return f"the step “{step.text}” was not decided: {answer.reason}"
    return "incompleteness"

