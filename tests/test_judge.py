"""When the judge says proved or refuted, and everything that keeps it from saying so."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import sympy as sp
import torch

from adamproof.proofs_check import engines, judge, smt
from adamproof.proofs_check.build import Recipe
from adamproof.proofs_check.judge import GUARD_RUNS, MAX_RUNS, REASONS, SAME_RULE, Judge, excess_at
from adamproof.proofs_check.subjects import Subject
from adamproof.theory.catalogue import claims
from adamproof.theory.faithful import paper_of
from adamproof.theory.identity import Checker, Unsupported
from adamproof.theory.interval import Interval
from adamproof.theory.records import (
    Analysis,
    Answer,
    Case,
    Claim,
    Finding,
    Goal,
    Ground,
    Holds,
    Identity,
    Level,
    Point,
    Run,
    Runs,
    Source,
    Step,
    Verdict,
    Witness,
)
from adamproof.theory.rule import Rule
from adamproof.theory.symbols import alpha, eq, ge, gt, lambda_, symbol, x

F = Fraction
PROVED, REFUTED, UNDECIDED = Verdict.PROVED, Verdict.REFUTED, Verdict.UNDECIDED
y, k = symbol("y"), symbol("k", "natural")
SGD = paper_of("sgd")
PAPER = Subject("paper:sgd", "paper", against="sgd")
CODE = Subject("torch.optim:SGD", "torch", Recipe(torch.optim.SGD), "sgd")

TRUE = Identity((x + y) ** 2, x**2 + 2 * x * y + y**2)
FALSE = Identity((x + y) ** 2, x**2 + y**2)
BY_Z3 = Holds(ge(x**2 + y**2, 2 * x * y - 1))
POINTS: list[Point] = [{"alpha": F(a), "g1": F(b)} for a in (1, 2) for b in (1, 2, 3)]


def steps(*goals: Goal) -> tuple[Step, ...]:
    return tuple(Step(f"step {i}", goal, "") for i, goal in enumerate(goals, 1))


def moved(run: Run, p: Point) -> Interval:
    """By how much a step of SGD differs from α g: never."""
    return abs(run(p, [p["g1"]], F(0)).x[1] + p["alpha"] * p["g1"])


def moved_twice(run: Run, p: Point) -> Interval:
    """By how much a step of SGD differs from 2 α g: always."""
    return abs(run(p, [p["g1"]], F(0)).x[1] + 2 * p["alpha"] * p["g1"])


GOOD = Case(steps(TRUE, BY_Z3), control=FALSE, runs=Runs(moved, POINTS))


def claim(case: Case | Callable[[Rule], Case | None] | None, id: str = "test", **more: Any) -> Claim:
    said = case if callable(case) else lambda rule: case
    return Claim(id, "tests", "A test.", "It holds.", Source("us", 2025, "tests"), said, **more)


SHARED = Judge()


def found(case: Any, subject: Subject | None = PAPER, *, by: Judge = SHARED) -> Finding:
    finding = by.finding(claim(case), subject)
    if finding.verdict is UNDECIDED:
        assert finding.reason.startswith(REASONS)
        assert finding.level is None
    return finding


def raises(error: BaseException) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        raise error

    return call


# -- proved ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", [PAPER, CODE, None])
def test_proved(subject: Subject | None) -> None:
    case = GOOD if subject else replace(GOOD, runs=None)  # mathematics has no rule to run
    finding = found(case, subject)
    assert (finding.verdict, finding.reason, finding.witness) == (PROVED, "", None)
    assert finding.level is Level.SMT
    assert [a.level for a in finding.answers] == [Level.EXACT, Level.SMT]
    assert finding.claim == "test"
    assert finding.subject == (subject.id if subject else "mathematics")
    assert finding.statement == "It holds."
    assert bool(finding.code_hash) is (subject is not None)


@pytest.mark.parametrize(
    ("goals", "level"),
    [
        ((TRUE,), Level.EXACT),
        ((TRUE, BY_Z3), Level.SMT),
        ((Ground(gt(sp.exp(-1), sp.Rational(1, 3))), TRUE), Level.INTERVAL),
        ((BY_Z3, Analysis(sp.Limit(sp.sin(x) / x, x, 0), sp.Integer(1)), TRUE), Level.CAS),
    ],
)
def test_a_proof_has_the_level_of_its_weakest_step(goals: tuple[Goal, ...], level: Level) -> None:
    assert found(replace(GOOD, steps=steps(*goals))).level is level


def test_an_answer_without_a_level_counts_as_a_sample() -> None:
    def decide(goal: Goal) -> Answer:
        return Answer(PROVED) if goal is TRUE else engines.consult(goal)

    assert found(GOOD, by=Judge(decide)).level is Level.SAMPLED


def test_a_statement_that_is_proved_too_does_no_harm() -> None:
    assert found(replace(GOOD, statement=TRUE)).verdict is PROVED
    assert found(Case(steps(TRUE), control=FALSE)).verdict is PROVED


# -- refuted ---------------------------------------------------------------------------------------


def test_refuted_by_a_run() -> None:
    finding = found(Case(runs=Runs(moved_twice, POINTS)))
    assert (finding.verdict, finding.level) == (REFUTED, Level.EXACT)
    assert finding.witness == Witness({"alpha": F(1), "g1": F(1)}, "1")


def test_refuted_by_a_run_and_replayed() -> None:
    finding = found(Case(runs=Runs(moved_twice, POINTS)), CODE)
    assert finding.verdict is REFUTED
    assert finding.witness == Witness({"alpha": F(1), "g1": F(1)}, "1", "1 (float64, cpu)")


def test_a_witness_names_what_was_asked_for_alone() -> None:
    over: list[Point] = [{"alpha": F(1), "g1": F(1), "unused": F(7)}]
    finding = found(Case(runs=Runs(moved_twice, over)))
    assert finding.witness is not None
    assert set(finding.witness.point) == {"alpha", "g1"}


def test_a_witness_need_not_be_the_first_point() -> None:
    def excess(run: Run, p: Point) -> Interval:
        return moved(run, p) if p["g1"] < 3 else moved_twice(run, p)

    finding = found(Case(runs=Runs(excess, POINTS)))
    assert finding.witness is not None
    assert finding.witness.point["g1"] == 3


@pytest.mark.parametrize("subject", [PAPER, CODE, None])
def test_refuted_by_the_statement(subject: Subject | None) -> None:
    for runs in (None, Runs(moved, POINTS)):  # with runs that the witness says nothing of
        finding = found(Case(statement=FALSE, runs=runs), subject)
        assert (finding.verdict, finding.level) == (REFUTED, Level.EXACT)
        assert finding.witness is not None
        assert set(finding.witness.point) == {"x", "y"}


def test_a_false_step_refutes_no_claim() -> None:
    finding = found(replace(GOOD, steps=steps(TRUE, FALSE)))
    assert finding.verdict is UNDECIDED
    assert finding.reason.startswith("false step: “step 2” fails at x = ")


# -- undecided -------------------------------------------------------------------------------------

OPEN = Identity(sp.sqrt(5 + 2 * sp.sqrt(6)), sp.sqrt(2) + sp.sqrt(3))
VACUOUS = Holds(ge(x, y), (gt(x, y), gt(y, x)))
CAS_FALSE = Analysis(sp.Limit(sp.sin(x) / x, x, 0), sp.Integer(2))
UNDECIDED_CASES: dict[str, tuple[Case, str]] = {
    "a step is open": (replace(GOOD, steps=steps(TRUE, OPEN)), "incompleteness: the difference"),
    "a step is not supported": (
        replace(GOOD, steps=steps(Identity(sp.sin(x), sp.cos(x)))),
        "unsupported operation",
    ),
    "no control": (replace(GOOD, control=None), "no control"),
    "the control is true": (replace(GOOD, control=TRUE), "control not refuted: proved"),
    "the control is open": (replace(GOOD, control=OPEN), "control not refuted: undecided incompl"),
    "the hypotheses have no point": (replace(GOOD, steps=steps(TRUE, VACUOUS)), "vacuous"),
    "the hypotheses have no whole point": (
        replace(GOOD, steps=steps(Holds(ge(k, 1), (eq(2 * k, 3),), {"k": "natural"}))),
        "vacuous",
    ),
    "a step is defined nowhere": (
        replace(GOOD, steps=steps(Holds(gt(sp.sqrt(-1 - x**2), 5)))),
        "vacuous",
    ),
    "nothing at all": (Case(), "no derivation"),
    "no derivation": (Case(runs=Runs(moved, POINTS)), "no derivation"),
    "a statement alone": (Case(statement=TRUE), "no derivation"),
    "the statement is open": (replace(GOOD, statement=OPEN), "incompleteness: the difference"),
    "the statement is refuted by SymPy alone": (
        replace(GOOD, statement=CAS_FALSE),
        "incompleteness: refuted at level cas only",
    ),
    "a run contradicts the proof": (
        replace(GOOD, runs=Runs(moved_twice, POINTS)),
        "engines disagree: proved, yet violated at alpha = 1, g1 = 1",
    ),
    "there are no runs": (replace(GOOD, runs=Runs(moved, [])), "no run"),
    "a name is wrong in every run": (
        replace(GOOD, runs=Runs(lambda run, p: moved(run, {"g": p["g2"]}), POINTS)),
        "no run",
    ),
    "every run divides by 0": (replace(GOOD, runs=Runs(lambda run, p: moved(run, p) / 0, POINTS)),
                               "no run"),
    "the excess raises": (replace(GOOD, runs=Runs(raises(TypeError("no")), POINTS)), "claim error"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNDECIDED_CASES)
@pytest.mark.parametrize("subject", [PAPER, CODE], ids=["paper", "code"])
def test_undecided_with_a_reason(name: str, subject: Subject | None) -> None:
    case, reason = UNDECIDED_CASES[name]
    finding = found(case, subject)
    assert finding.verdict is UNDECIDED
    assert finding.reason.startswith(reason)


@pytest.mark.parametrize("error", [ValueError("no"), KeyError("no"), AssertionError(), RecursionError()])
def test_a_claim_that_raises_is_undecided(error: Exception) -> None:
    finding = found(raises(error))
    assert finding.verdict is UNDECIDED
    assert finding.reason.startswith(f"claim error: {type(error).__name__}")


def test_a_claim_may_not_apply() -> None:
    assert found(lambda rule: None).verdict is Verdict.NOT_APPLICABLE
    assert list(Judge().all([PAPER], [claim(None)])) == []
    same = Judge().finding(claims()[SAME_RULE], PAPER)
    assert same.verdict is Verdict.NOT_APPLICABLE


def test_a_claim_may_be_about_papers_only() -> None:
    """A theorem for all choices of a function says nothing of code, which makes one choice."""
    wide = claim(Case(statement=FALSE), about="papers")
    assert Judge().finding(wide, PAPER).verdict is REFUTED
    assert Judge().finding(wide, CODE).verdict is Verdict.NOT_APPLICABLE
    assert [f.subject for f in Judge().all([PAPER, CODE], [wide])] == [PAPER.id]


def test_runs_that_are_not_defined_are_no_evidence() -> None:
    def excess(run: Run, p: Point) -> Interval:
        return moved_twice(run, p) / (p["g1"] - 1) / (p["g1"] - 2)

    finding = found(Case(runs=Runs(excess, POINTS)))
    assert finding.verdict is REFUTED
    assert finding.witness is not None
    assert finding.witness.point["g1"] == 3


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), ValueError("a root"), Unsupported("a branch"), KeyError("g2")]
)
def test_the_excess_is_none_where_it_is_not_defined(error: Exception) -> None:
    assert excess_at(raises(error), SGD.run, POINTS[0]) is None
    with pytest.raises(TypeError):
        excess_at(raises(TypeError()), SGD.run, POINTS[0])


def test_budgets_are_counts_of_runs() -> None:
    tried: list[int] = []

    def excess(run: Run, p: Point) -> Interval:
        tried.append(1)
        return Interval.of(0)

    def over() -> Iterator[Point]:
        while True:
            yield POINTS[0]

    assert found(Case(runs=Runs(excess, over()))).reason.startswith("no derivation")
    assert len(tried) == MAX_RUNS
    tried.clear()
    assert found(replace(GOOD, runs=Runs(excess, over()))).verdict is PROVED
    assert len(tried) == GUARD_RUNS


# -- engines that lie or fail ----------------------------------------------------------------------

FALSE_CASES = {
    "an identity": Case(steps(FALSE), control=FALSE),
    "an inequality": Case(steps(Holds(ge(x**3, x))), control=FALSE),
    "with runs": Case(steps(FALSE), control=FALSE, runs=Runs(moved_twice, POINTS)),
    "only the runs tell": Case(steps(TRUE), control=FALSE, runs=Runs(moved_twice, POINTS)),
    "a statement": Case(steps(TRUE), control=FALSE, statement=FALSE),
    "numbers": Case(steps(Ground(gt(sp.Integer(1), sp.Integer(2)))), control=FALSE),
    "a limit, as exact": Case(steps(CAS_FALSE), control=FALSE),
    "a vacuous step": Case(steps(VACUOUS), control=FALSE),
}


def proves_everything(goal: Goal) -> Answer:
    return Answer(PROVED, Level.EXACT, "liar")


def proves_all_but_the_control(goal: Goal) -> Answer:
    if goal is FALSE:
        return Answer(REFUTED, Level.EXACT, "liar", witness=Witness({"x": F(1), "y": F(1)}, "2"))
    return Answer(PROVED, Level.EXACT, "liar")


@pytest.mark.parametrize("name", FALSE_CASES)
@pytest.mark.parametrize("subject", [PAPER, CODE])
@pytest.mark.parametrize("liar", [proves_everything, proves_all_but_the_control])
def test_a_liar_proves_nothing_false(name: str, subject: Subject, liar: Any) -> None:
    finding = found(FALSE_CASES[name], subject, by=Judge(liar))
    assert finding.verdict is not PROVED


def test_who_is_caught_is_named() -> None:
    for name in ("an identity", "an inequality", "only the runs tell"):
        finding = found(FALSE_CASES[name], by=Judge(proves_all_but_the_control))
        assert finding.verdict is UNDECIDED
        assert "engines disagree: proved, yet" in finding.reason or "false step" in finding.reason


def test_a_liar_that_proves_everything_proves_nothing() -> None:
    assert found(GOOD, by=Judge(proves_everything)).reason.startswith("control not refuted")


def test_a_liar_refutes_nothing_true() -> None:
    for witness in (None, Witness({"x": F(1), "y": F(0)}, "1"), Witness({}, "1")):

        def decide(goal: Goal, witness: Witness | None = witness) -> Answer:
            return Answer(REFUTED, Level.EXACT, "liar", witness=witness)

        for case in (GOOD, Case(statement=TRUE), replace(GOOD, statement=TRUE)):
            finding = found(case, by=Judge(decide))
            assert finding.verdict is UNDECIDED
            assert finding.reason.startswith("engines disagree: ")


def test_a_control_that_only_a_liar_refutes_blocks_the_proof() -> None:
    def decide(goal: Goal) -> Answer:
        if goal is TRUE:
            return Answer(REFUTED, Level.EXACT, "liar", witness=Witness({"x": F(1), "y": F(0)}, "1"))
        return engines.consult(goal)

    finding = found(Case(steps(BY_Z3), control=TRUE), by=Judge(decide))
    assert finding.reason.startswith("control not refuted: undecided engines disagree")


@pytest.mark.parametrize("error", [RuntimeError("crash"), MemoryError(), Unsupported("that")])
def test_an_engine_that_raises_is_undecided(error: Exception) -> None:
    finding = found(GOOD, by=Judge(raises(error)))
    assert finding.verdict is UNDECIDED
    assert finding.reason.startswith(("engine failure", "budget", "unsupported operation"))


def test_a_broken_z3_and_a_broken_checker_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smt, "ask", lambda *_: ("proved", {}))
    monkeypatch.setattr(Checker, "equal", lambda *_: True)
    for case in (Case(steps(FALSE), control=FALSE), Case(steps(Holds(ge(x**3, x))), control=FALSE)):
        assert found(case).reason.startswith("engines disagree")


# -- replay ----------------------------------------------------------------------------------------


def test_a_witness_that_the_optimizer_does_not_follow_is_undecided() -> None:
    def excess(run: Run, p: Point) -> Interval:
        return moved_twice(run, p) if run == CODE.rule.run or run == SGD.run else Interval.of(0)

    finding = found(Case(runs=Runs(excess, POINTS)), CODE)
    assert finding.verdict is UNDECIDED
    assert finding.reason.startswith("not replayed: the real optimizer exceeds by 0, the exact run by 1")
    assert finding.witness is not None


def test_half_the_excess_is_enough_and_no_less() -> None:
    def excess(part: Fraction) -> Callable[[Run, Point], Interval]:
        def call(run: Run, p: Point) -> Interval:
            exact = run == CODE.rule.run or run == SGD.run
            return moved_twice(run, p) * (1 if exact else part)

        return call

    assert found(Case(runs=Runs(excess(F(1, 2)), POINTS)), CODE).verdict is REFUTED
    assert found(Case(runs=Runs(excess(F(49, 100)), POINTS)), CODE).verdict is UNDECIDED


def test_a_replay_that_fails_is_undecided() -> None:
    def excess(run: Run, p: Point) -> Interval:
        if not (run == CODE.rule.run or run == SGD.run):
            raise TypeError("the real one")
        return moved_twice(run, p)

    finding = found(Case(runs=Runs(excess, POINTS)), CODE)
    assert finding.reason == "not replayed: TypeError: the real one"
    refused = Case(runs=Runs(moved_twice, [{"alpha": F(-1), "g1": F(1)}]))
    assert found(refused, CODE).reason.startswith("not replayed: NotReplayed: ")


# -- code ------------------------------------------------------------------------------------------


class Climbs(torch.optim.Optimizer):
    """Descends at high rates, climbs at low ones."""

    def __init__(self, params: Any, lr: float = 1.0) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for param in group["params"]:
                if group["lr"] < 0.05:
                    param.add_(param.grad, alpha=group["lr"])
                else:
                    param.add_(param.grad, alpha=-group["lr"])


class Breaks(Climbs):
    """Does not step at all."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        raise RuntimeError("it breaks")


def test_what_holds_on_one_branch_of_the_code_is_not_proved() -> None:
    subject = Subject("tests:Climbs", "user", Recipe(Climbs), "sgd")
    finding = Judge().finding(claims()[SAME_RULE], subject)
    assert finding.verdict is UNDECIDED
    assert finding.reason == "other branch: the code runs this rule only where alpha >= 1/20"
    assert found(GOOD, subject).reason.startswith("other branch")
    # what it violates on its own branch, it violates
    assert found(Case(runs=Runs(moved_twice, POINTS)), subject).verdict is REFUTED


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        (sp.Ne(lambda_, 0), ""),
        (gt(lambda_, 0), ""),
        (sp.Ne(symbol("kappa"), 0), ""),
        (gt(symbol("kappa"), 0), "other branch"),
        (sp.Lt(symbol("beta1"), 1, evaluate=False), ""),
        (sp.Lt(symbol("beta1"), sp.Rational(1, 2)), "other branch"),
        (gt(alpha, 1), "other branch"),
    ],
)
def test_that_an_option_is_not_0_is_no_branch(condition: Any, told: str) -> None:
    rule = replace(SGD, assumes=(condition,))
    assert judge._other_branch(rule).startswith(told)
    assert bool(judge._other_branch(rule)) is bool(told)


def test_code_without_a_formula_is_undecided() -> None:
    subject = Subject("tests:Breaks", "user", Recipe(Breaks), "sgd")
    finding = found(GOOD, subject)
    assert finding.reason.startswith("not lifted: ")
    assert finding.code_hash == ""


def test_a_lift_that_crashes_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adamproof.proofs_check.subjects.lift", raises(TypeError("no")))
    subject = Subject("tests:Climbs", "user", Recipe(Climbs), "sgd")
    assert found(GOOD, subject).reason == "not lifted: TypeError: no"


def test_code_that_is_the_papers_rule_is_judged_as_the_papers_rule() -> None:
    seen: list[Rule] = []

    def case(rule: Rule) -> Case:
        seen.append(rule)
        return GOOD

    assert found(case, CODE).verdict is PROVED
    assert seen == [SGD]
    seen.clear()
    assert found(case, CODE, by=Judge(proves_everything)).verdict is UNDECIDED
    assert seen == [CODE.rule]


def test_equal_rules_are_judged_once_and_others_apart() -> None:
    seen: list[str] = []

    def case(rule: Rule) -> Case:
        seen.append(rule.name)
        return GOOD

    one, by = claim(case), Judge()
    domains = replace(SGD, domains={"x": "positive"})
    for rule in (SGD, replace(SGD, name="again"), domains, replace(SGD, against="other")):
        by.on_rule(one, rule)
    assert seen == ["sgd", "sgd", "sgd"]
    by.on_rule(replace(one, judge=lambda rule: case(rule)), SGD)
    assert len(seen) == 4


def test_all_judges_mathematics_once() -> None:
    told = [claim(GOOD, "a", about="mathematics"), claim(GOOD, "b")]
    rows = [(f.claim, f.subject) for f in Judge().all([PAPER, CODE], told)]
    assert rows == [("a", "mathematics"), ("b", PAPER.id), ("b", CODE.id)]


def test_every_reason_of_the_engines_is_a_reason_of_the_judge() -> None:
    assert set(engines.REASONS) < set(REASONS)
    assert len(set(REASONS)) == len(REASONS)
