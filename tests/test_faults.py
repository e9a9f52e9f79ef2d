"""An engine that crashes, runs out of budget or lies does not turn into a pass: the whole catalogue.

tests/test_judge.py does the same with small cases made for it, part by part.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import cache

import pytest
import sympy as sp

from adamproof import checking, cli
from adamproof.proofs_check import engines, ledger, smt
from adamproof.proofs_check.judge import SAME_RULE, Judge
from adamproof.proofs_check.subjects import builtin
from adamproof.theory.catalogue import claims
from adamproof.theory.identity import Budget, Checker
from adamproof.theory.records import (
    Analysis,
    Answer,
    Every,
    Goal,
    Holds,
    Level,
    Verdict,
    Witness,
)
from adamproof.theory.symbols import ge

from .mutation import Mutant, step_mutants

PROVED, REFUTED, UNDECIDED = Verdict.PROVED, Verdict.REFUTED, Verdict.UNDECIDED
PAPERS = [builtin()[f"paper:{name}"] for name in ("adam", "amsgrad-after-max", "adamw", "sgd+momentum")]
ROWS = ledger.load()


def raises(error: BaseException) -> Callable[[Goal], Answer]:
    def decide(goal: Goal) -> Answer:
        raise error

    return decide


def says(
    verdict: Verdict, level: Level | None = Level.EXACT, reason: str = ""
) -> Callable[[Goal], Answer]:
    witness = Witness({}, "1") if verdict is REFUTED else None
    return lambda goal: Answer(verdict, level, "faulty", reason, witness)


#: Engines that know nothing.
SILENT = {
    "crashes": raises(RuntimeError("segmentation fault")),
    "has no memory left": raises(MemoryError()),
    "recurses too deep": raises(RecursionError()),
    "runs out of budget": raises(Budget("rlimit")),
    "times out": raises(TimeoutError("too late")),
    "does not know": says(UNDECIDED, None, "budget: rlimit"),
    "answers nonsense": lambda goal: "yes",
    "answers nothing": lambda goal: None,
}
#: Engines that lie.
LIARS = {
    "proves everything": says(PROVED),
    "proves everything with z3": says(PROVED, Level.SMT),
    "proves everything with SymPy": says(PROVED, Level.CAS),
    "refutes everything": says(REFUTED),
    "refutes everything somewhere": lambda goal: Answer(
        REFUTED, Level.EXACT, "faulty", witness=Witness(dict.fromkeys("gtx", Fraction(1)), "1")
    ),
}


@cache
def recorded(claim: str, subject: str) -> str:
    row = ROWS.get(claim, {}).get(subject)
    return str(row["verdict"]) if row else ""


def judged(decide: object, subject_index: int) -> dict[str, tuple[str, str]]:
    """Return recorded and found verdict of every claim about a paper's rule."""
    judge, subject = Judge(decide=decide), PAPERS[subject_index]  # type: ignore[arg-type]
    out = {}
    for claim in claims().values():
        known = recorded(claim.id, subject.id)
        if known and claim.id != SAME_RULE:
            out[claim.id] = (known, str(judge.finding(claim, subject).verdict))
    return out


@pytest.mark.parametrize("fault", SILENT)
@pytest.mark.parametrize("index", range(len(PAPERS)), ids=[s.id for s in PAPERS])
def test_without_an_engine_nothing_is_proved(fault: str, index: int) -> None:
    found = judged(SILENT[fault], index)
    assert len(found) >= 3
    for claim, (known, verdict) in found.items():
        assert verdict != "proved", claim
        if known == "proved":
            assert verdict == "undecided", claim


@pytest.mark.parametrize("fault", LIARS)
@pytest.mark.parametrize("index", range(len(PAPERS)), ids=[s.id for s in PAPERS])
def test_a_lie_turns_no_verdict_around(fault: str, index: int) -> None:
    for claim, (known, verdict) in judged(LIARS[fault], index).items():
        assert {known, verdict} != {"proved", "refuted"}, claim


@cache
def false_steps() -> tuple[Mutant, ...]:
    """Steps of derivations, turned into their opposite or changed, that exact arithmetic refutes."""
    made = list(step_mutants())[::3]
    return tuple(m for m in made if engines.decide(m.survives.goal).verdict is REFUTED)  # type: ignore[attr-defined]


def test_no_liar_proves_a_false_step() -> None:
    assert len(false_steps()) >= 60
    for fault in ("proves everything", "proves everything with z3", "proves everything with SymPy"):
        for mutant in false_steps():
            goal = mutant.survives.goal  # type: ignore[attr-defined]
            assert engines.decide(goal, LIARS[fault]).verdict is not PROVED, str(mutant)


def test_a_lying_z3_and_a_lying_checker_prove_no_false_step(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = false_steps()
    monkeypatch.setattr(smt, "ask", lambda *_: ("proved", {}))
    monkeypatch.setattr(Checker, "equal", lambda *_: True)
    monkeypatch.setattr(Checker, "sign", lambda *_: "positive")
    for mutant in steps:
        assert engines.decide(mutant.survives.goal).verdict is not PROVED, str(mutant)  # type: ignore[attr-defined]


def test_a_z3_without_budget_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smt, "RLIMIT", 1)
    found = judged(engines.consult, 0)
    kinds = {verdict for known, verdict in found.values() if known == "proved"}
    assert "undecided" in kinds  # those that need z3
    assert all({known, verdict} != {"proved", "refuted"} for known, verdict in found.values())


def test_a_finite_list_is_tried_again_whoever_says_it_holds() -> None:
    points = tuple({"n": Fraction(n)} for n in range(5))
    false = Every("n ≤ 3", lambda p: p["n"] - 3, points)
    true = Every("n ≤ 4", lambda p: p["n"] - 4, points)
    assert engines.decide(true).level is Level.EXACT
    assert engines.decide(false).witness == Witness({"n": Fraction(4)}, "1")
    assert engines.decide(false, says(PROVED)).verdict is UNDECIDED
    assert engines.decide(true, says(REFUTED)).verdict is UNDECIDED
    assert engines.decide(Every("nothing", lambda p: p["n"], ())).reason.startswith("vacuous")
    crashing = Every("n", lambda p: 1 / p["n"], points)
    assert engines.decide(crashing).verdict is UNDECIDED


A, Y, N, J = sp.Symbol("a"), sp.Symbol("y"), sp.Symbol("n", integer=True), sp.Symbol("j", integer=True)
FALSE_ANALYSES = [
    Analysis(sp.Limit(sp.sqrt(A**2 + Y), Y, 0), A),  # false for a < 0 alone
    Analysis(sp.Integral(Y, (Y, 0, 1)), sp.Rational(1, 3)),
    Analysis(sp.Sum(1 / sp.Integer(2) ** J, (J, 0, sp.oo)), sp.Integer(3)),
]


@pytest.mark.parametrize("goal", FALSE_ANALYSES, ids=str)
def test_arb_sees_that_a_limit_or_an_integral_is_another(goal: Analysis) -> None:
    assert engines.decide(goal, says(PROVED, Level.CAS)).verdict is UNDECIDED
    assert engines.decide(goal, says(PROVED)).verdict is UNDECIDED


def test_a_true_integral_is_not_refuted_by_a_word() -> None:
    """Else a control that is true would make a derivation count."""
    goal = Analysis(sp.Integral(Y, (Y, 0, 1)), sp.Rational(1, 2))
    lie = Answer(REFUTED, Level.CAS, "liar", witness=Witness({}, "1"))
    assert engines.decide(goal, lambda _: lie).verdict is UNDECIDED
    assert engines.decide(goal).verdict is PROVED


def test_an_engine_that_does_not_return_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget of calls, not of seconds; SymPy's own ``except Exception`` does not swallow it."""

    def forever(*_: object, **__: object) -> None:
        while True:
            try:
                sorted((3, 1, 2), key=lambda k: k)
            except Exception:
                continue

    monkeypatch.setattr(engines, "MAX_CALLS", 100_000)
    monkeypatch.setattr(sp.Integral, "doit", forever)
    found = engines.decide(Analysis(sp.Integral(Y, (Y, 0, 1)), sp.Rational(1, 2)))
    assert found.verdict is UNDECIDED
    assert found.reason.startswith("budget: more than 100000 calls")


def test_arb_adds_no_endless_sum() -> None:
    total = sp.Limit(sp.Sum(1 / (J * (J + 1)), (J, 1, N)), N, sp.oo)
    found = engines.decide(Analysis(total, sp.Integer(1)), says(PROVED, Level.CAS))
    assert found.verdict is UNDECIDED
    assert found.reason.startswith("budget: a sum of")


def test_a_float_in_a_finite_list_is_not_exact() -> None:
    """10^16 + 1 ≤ 10^16 in floats."""
    false = Every("n+1 ≤ n", lambda p: float(p["n"]) + 1 - 1e16, ({"n": Fraction(10**16)},))  # type: ignore[arg-type, return-value]
    found = engines.decide(false)
    assert found.verdict is UNDECIDED
    assert "float, which is not exact" in found.reason


def test_a_shift_may_not_assume_more_of_a_symbol_than_the_goal() -> None:
    """The a of the image is positive to SymPy, the a of the goal is not."""
    x, a, s = sp.Symbol("x", real=True), sp.Symbol("a", real=True), sp.Symbol("s", nonnegative=True)
    image = sp.Symbol("a", positive=True) + s
    for size in (sp.Abs(x + 1000), sp.sqrt((x + 1000) ** 2)):
        false = Holds(ge(x + 1000, size), (ge(x, a),), {}, {x: image})
        assert engines.decide(false).verdict is not PROVED


@pytest.mark.parametrize("fault", ["crashes", "runs out of budget", "answers nonsense"])
def test_the_command_line_fails_with_a_broken_engine(
    fault: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = checking.Judge
    monkeypatch.setattr(checking, "Judge", lambda **k: real(decide=SILENT[fault], **k))
    monkeypatch.setattr("sys.argv", ["adamproof", "check", "--claim", "step-bound-tight", "--subject",
                                     "paper:adam", "--no-cache"])  # fmt: skip
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == 1
    assert "recorded proved" in capsys.readouterr().err
