"""The counterexamples: derivations, exact runs, recurrences, and what `reproduce` prints."""

import io
import json
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from adamproof import reproduce as screen
from adamproof.counterexamples import compare, picture, recurrence, reddi_online, reddi_period
from adamproof.counterexamples.catalogue import catalogue
from adamproof.counterexamples.harness import Game, Method, play, regret
from adamproof.counterexamples.players import FLOATS, Counting, Paper, Real
from adamproof.counterexamples.recurrence import Recurrence, ieee_roots, torch_roots
from adamproof.counterexamples.reddi_online_proof import AFTER, moves
from adamproof.errors import UsageError
from adamproof.proofs_check.engines import decide
from adamproof.reproduce import Reproduced, find, judge, reproduce
from adamproof.theory.evaluate import value
from adamproof.theory.records import Ground, Holds, Identity, Level, Verdict

IDS = ["reddi-online", "reddi-period"]
METHODS = reddi_period.methods()
ADAM = METHODS[1]
SLOPES = st.fractions(min_value="1/100", max_value=50, max_denominator=100)


@pytest.fixture(scope="module")
def judged() -> dict[str, Reproduced]:
    return {name: judge(find(name)) for name in IDS}


# -- the records ---------------------------------------------------------------------------------


def test_every_file_with_a_counterexample_is_found() -> None:
    assert set(IDS) <= set(catalogue())
    assert all(name == found.id for name, found in catalogue().items())


def test_the_catalogue_is_light() -> None:
    code = """
import sys
from adamproof.counterexamples.catalogue import catalogue
assert catalogue()
print(sorted({"torch", "sympy", "numpy", "numba", "matplotlib"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- derivations ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "level"), [("reddi-online", Level.EXACT), ("reddi-period", Level.INTERVAL)]
)
def test_refuted(judged: dict[str, Reproduced], name: str, level: Level) -> None:
    found = judged[name]
    assert [a.verdict for a in found.answers] == [Verdict.PROVED] * len(found.steps)
    assert found.control.verdict is Verdict.REFUTED
    assert (found.verdict, found.level, found.reasons) == (Verdict.REFUTED, level, [])


def spoiled(goal: Any) -> Any:
    """A statement that cannot hold together with the goal."""
    if isinstance(goal, Identity):
        return Identity(goal.lhs, goal.rhs + 1, goal.domains)
    assert goal.relation.rhs == 0
    below = sp.Lt(goal.relation.lhs, 0, evaluate=False)
    if isinstance(goal, Ground):
        return Ground(below)
    return Holds(below, goal.given, goal.domains, goal.shift)


@pytest.mark.parametrize("name", IDS)
def test_no_step_is_vacuous(name: str) -> None:
    for step in find(name).derivation():
        assert decide(step.goal).verdict is Verdict.PROVED
        assert decide(spoiled(step.goal)).verdict is not Verdict.PROVED, step.text


def test_regret_is_not_forced_below_two() -> None:
    (step,) = [s for s in find("reddi-online").derivation() if "when C > 2" in s.text]
    goal = step.goal
    assert isinstance(goal, Holds)
    (slope,) = [s for s in goal.relation.free_symbols if s.name == "C"]
    weaker = Holds(goal.relation, (sp.Gt(slope, 1),), goal.domains)
    assert decide(weaker).verdict is Verdict.REFUTED


def test_every_answer_is_needed(judged: dict[str, Reproduced]) -> None:
    whole = judged["reddi-online"]

    def with_(**changes: Any) -> Reproduced:
        parts = ("example", "steps", "answers", "control", "evidence", "runs")
        return Reproduced(**{part: getattr(whole, part) for part in parts} | changes)

    assert with_().verdict is Verdict.REFUTED
    unproved = type(whole.control)(Verdict.UNDECIDED, reason="budget")
    for spoilt in (
        with_(answers=(*whole.answers[:-1], unproved)),
        with_(answers=(), steps=()),
        with_(control=whole.answers[0]),
        with_(evidence=type(whole.evidence)("", (), (), failure="it leaves 1")),
    ):
        assert (spoilt.verdict, spoilt.level) == (Verdict.UNDECIDED, None)
        assert spoilt.reasons


# -- the induction, in numbers -------------------------------------------------------------------


@given(slope=SLOPES, v=st.fractions(0, 100, max_denominator=50), k=st.integers(0, 1000),
       alpha=st.fractions("1/10", 10, max_denominator=10))  # fmt: skip
@example(slope=Fraction(1), v=Fraction(0), k=0, alpha=Fraction(1))  # the tightest
def test_a_period_returns_to_one(slope: Fraction, v: Fraction, k: int, alpha: Fraction) -> None:
    point = {"C": slope, "V": v, "k": Fraction(k), "alpha": alpha}
    down, up1, up2 = (value(move, point) for move in moves())
    first = (1 - down).maximum(-1)
    second = -((-(first + up1)).maximum(-1))
    assert (second + up2).lo > 1


@given(slope=SLOPES, alpha=st.fractions("1/10", 10, max_denominator=10), corrected=st.booleans())
@settings(max_examples=25)
def test_exact_run_from_one(slope: Fraction, alpha: Fraction, corrected: bool) -> None:
    adam = reddi_online.method(slope, corrected=corrected)
    losses = Game((slope, Fraction(-1), Fraction(-1)), alpha, Fraction(1))
    xs = play(losses, Paper(adam, Counting(), losses.start), 24)
    assert all(x.exact and x.lo == 1 for x in xs[::3])
    assert all(x.hi < 1 for x in xs[1::3])


def test_exact_run_follows_the_proof() -> None:
    slope, paper = (
        Fraction(5, 2),
        Paper(reddi_online.method(Fraction(5, 2)), Counting(), Fraction(1)),
    )
    for gradient, after in zip((slope, -1, -1), AFTER, strict=True):
        paper.step(Counting().number(Fraction(gradient)), Counting().number(Fraction(1)))
        assert paper._values["exp_avg_sq"] == value(after, {"C": slope, "V": 0})


def test_exact_evidence_says_what_was_enclosed(judged: dict[str, Reproduced]) -> None:
    evidence = judged["reddi-online"].evidence
    exact, enclosed = (evidence.columns.index(f"{kind} roots") for kind in ("exact", "enclosed"))
    for row in evidence.rows:
        assert int(row[exact]) + int(row[enclosed]) == 600  # √t and √v at each of 300 steps
        assert int(row[exact]) >= 17  # the squares up to 300


def test_an_optimizer_that_leaves_the_exact_run_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert reddi_period.replay(12).failure == ""
    honest = Real.step
    monkeypatch.setattr(Real, "step", lambda self, g, rate: honest(self, g, rate * (1 + 1e-9)))
    failure = reddi_period.replay(12).failure
    assert failure.startswith("torch.optim.Adam leaves the exact run of Adam by ")


def test_regret_against_the_definition() -> None:
    losses = reddi_online.game(Fraction(3))
    xs = [Fraction(1), Fraction(1, 2), Fraction(1, 3), Fraction(9)]
    assert regret(losses, xs) == (3 - Fraction(1, 2) - Fraction(1, 3)) - (-3 + 1 + 1)


def test_best_point_must_be_best_at_all_times() -> None:
    assert reddi_period.game().best == -1
    with pytest.raises(ValueError, match="changes with time"):
        _ = Game((Fraction(2), Fraction(-1), Fraction(-1)), Fraction(1), Fraction(1)).best


@pytest.mark.parametrize("slope", ["2", "1", "-3"])
def test_a_slope_that_leaves_the_theorem(slope: str) -> None:
    with pytest.raises(ValueError, match=f"Theorem 1 of Reddi et al. is about C > 2, got {slope}"):
        reddi_online.game(Fraction(slope))


# -- the recurrence ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_recurrence_is_bitwise_the_optimizer(method: Method) -> None:
    for name, make in method.implementations():
        agreement = compare.with_optimizer(reddi_period.game(), method, make, "cpu", 2020)
        assert agreement.holds, name
        assert agreement.text == "bitwise equal, 2,020 steps"


UNIT = st.sampled_from(["0", "1/10", "1/2", "9/10", "99/100", "999/1000"]).map(Fraction)
SLOPE = st.fractions(-100, 100, max_denominator=30).filter(bool)


@given(
    slopes=st.lists(SLOPE, min_size=1, max_size=7),
    betas=st.tuples(UNIT, UNIT),
    kind=st.sampled_from([(m.amsgrad, m.correction) for m in METHODS[1:]]),
    alpha=st.fractions("1/100", 2, max_denominator=100),
)
@settings(max_examples=30)
def test_recurrence_is_bitwise_the_optimizer_elsewhere(
    slopes: list[Fraction], betas: tuple[Fraction, Fraction], kind: Any, alpha: Fraction
) -> None:
    method = Method(*kind, betas, Fraction("1e-8"))
    losses = Game(tuple(slopes), alpha, Fraction(0))
    for name, make in method.implementations():
        assert compare.with_optimizer(losses, method, make, "cpu", 120).holds, name


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_recurrence_is_the_papers_formula(method: Method) -> None:
    assert compare.with_paper(reddi_period.game(), method, 600).holds


def test_a_wrong_recurrence_is_noticed() -> None:
    adam, other = METHODS[1], METHODS[3]
    (_, make), *_ = other.implementations()
    agreement = compare.with_optimizer(reddi_period.game(), adam, make, "cpu", 300)
    assert not agreement.holds
    assert agreement.text.startswith("within")


def test_almost_is_not_equal_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def off_by_a_bit(values: Any) -> Any:
        return ieee_roots(values) * (1 + 2.0**-51)

    monkeypatch.setattr(compare, "torch_roots", off_by_a_bit)
    (_, make), *_ = ADAM.implementations()
    assert not compare.with_optimizer(reddi_period.game(), ADAM, make, "cpu", 300).holds


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
@pytest.mark.parametrize("fused", [True, False])
def test_python_loops_equal_compiled_loops(method: Method, fused: bool) -> None:
    assert recurrence.compiled()
    quick, plain = (
        Recurrence(reddi_period.game(), method, fused=fused, roots=ieee_roots, compile_loops=on)
        for on in (True, False)
    )
    for steps in (1, 3000, 2000):  # in pieces, across the end of the table of corrections
        assert quick.advance(steps).tolist() == plain.advance(steps).tolist()


def test_without_numba_the_loops_run_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    recurrence._kernels.cache_clear()
    try:
        assert not recurrence.compiled()
        (_, make), *_ = ADAM.implementations()
        assert compare.with_optimizer(reddi_period.game(), ADAM, make, "cpu", 500).holds
    finally:
        monkeypatch.undo()
        recurrence._kernels.cache_clear()


@given(*[st.floats(-1e100, 1e100, allow_subnormal=False)] * 3)
@example(1 + 2.0**-30, 1 - 2.0**-30, -1.0)
def test_fma_rounds_once(a: float, b: float, c: float) -> None:
    assert recurrence.fma(a, b, c) == float(Fraction(a) * Fraction(b) + Fraction(c))


def test_fma_without_a_c_library(monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes

    monkeypatch.delattr(math, "fma", raising=False)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    recurrence._library_fma.cache_clear()
    try:
        assert recurrence.fma(1 + 2.0**-30, 1 - 2.0**-30, -1.0) == -(2.0**-60)
    finally:
        recurrence._library_fma.cache_clear()


def test_long_run_does_not_depend_on_its_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = reddi_period.game()
    whole = compare.long_run(losses, ADAM, 5000, fused=True, roots=torch_roots)
    monkeypatch.setattr(compare, "CHUNK", 977)
    pieces = compare.long_run(losses, ADAM, 5000, fused=True, roots=torch_roots)
    assert (whole.final, whole.lowest) == (pieces.final, pieces.lowest)
    assert whole.curve.regret[-1] == pytest.approx(pieces.curve.regret[-1], rel=1e-12)
    assert set(whole.curve.t) <= set(pieces.curve.t)


def test_long_run_against_the_harness() -> None:
    losses, steps = reddi_period.game(), 700
    xs = play(losses, Paper(ADAM, FLOATS, losses.start), steps)
    long = compare.long_run(losses, ADAM, steps, fused=False, roots=ieee_roots)
    curve = long.curve
    assert long.final == pytest.approx(xs[-1], abs=1e-12)
    assert long.lowest == pytest.approx(min(xs[::101]), abs=1e-12)
    assert curve.regret[-1] == pytest.approx(float(regret(losses, xs)) / steps, rel=1e-12)
    assert min(curve.low) == pytest.approx(min(xs[:-1]), abs=1e-12)
    assert max(curve.high) == pytest.approx(max(xs[:-1]), abs=1e-12)
    lengths = np.diff([0, *curve.t])
    assert float(np.dot(lengths, curve.mean)) == pytest.approx(sum(xs[:-1]), abs=1e-9)


@pytest.mark.gpu
@pytest.mark.parametrize("method", METHODS[1:], ids=lambda m: m.name)
def test_recurrence_is_close_to_the_optimizer_on_a_gpu(method: Method) -> None:
    for name, make in method.implementations():
        agreement = compare.with_optimizer(reddi_period.game(), method, make, "cuda", 500)
        assert agreement.holds, name


# -- the runs ------------------------------------------------------------------------------------


def test_period_ends_after_a_million_steps(judged: dict[str, Reproduced]) -> None:
    runs = judged["reddi-period"].runs
    names = {run.name for run in runs}
    assert {"torch.optim.Adam", "adamproof Adam", "torch.optim.Adam(amsgrad=True)"} <= names
    assert {f'adamproof AMSGrad("{c}")' for c in ("none", "after_max", "before_max")} <= names
    for run in runs:
        end = -1 if "AMSGrad" in run.method else 1
        assert run.steps == 1_000_000
        assert abs(run.found["x at the end"] - end) <= 0.01
        assert (run.found["average regret"] > 20 / 101) == (end == 1)


def test_online_run_stays_at_one(judged: dict[str, Reproduced]) -> None:
    adam = [run for run in judged["reddi-online"].runs if "AMSGrad" not in run.method]
    assert {run.name for run in adam} >= {"torch.optim.Adam", "adamproof Adam"}
    for run in adam:
        assert run.found["x at the end"] == 1
        assert run.found["average regret"] >= 2 / 3
        assert "10,000 periods" in run.remark


def test_real_player_is_clamped_and_scheduled() -> None:
    (_, make), *_ = ADAM.implementations()
    player = Real(make, Fraction(0))
    xs = play(Game((Fraction(-1),), Fraction(4), Fraction(0)), player, 3)
    assert xs == [0, 1, 1, 1]
    assert player._optimizer.param_groups[0]["lr"] == 4 / math.sqrt(3)


# -- reproduce -----------------------------------------------------------------------------------


def printed(name: str, **options: Any) -> tuple[int, str]:
    out = io.StringIO()
    return reproduce(name, console=Console(width=140, file=out), **options), out.getvalue()


def test_prints_evidence_and_verdict(tmp_path: Path) -> None:
    target = tmp_path / "out.png"
    target.write_bytes(b"old")
    status, text = printed("reddi-online", steps=3000, plot=target)
    assert status == 0
    for part in ("refuted, level exact", "torch.optim.Adam", "bitwise equal", "repaired by",
                 "enclosed roots", "Reddi, Kale & Kumar"):  # fmt: skip
        assert part in text
    assert target.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [target]


def test_a_short_run_is_remarked_upon_and_leaves_the_proof() -> None:
    status, text = printed("reddi-period", steps=100)
    assert status == 0
    assert "refuted" in text
    assert "Adam is at" in text
    assert "after 100 steps, not within 0.01 of +1" in text


def test_a_long_run_that_fails_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adamproof.counterexamples.reddi_period.RUN_STEPS", 100)
    status, text = printed("reddi-period", steps=100)
    assert status == 1
    assert "undecided" in text


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_shortest_runs_work(steps: int, tmp_path: Path) -> None:
    for name in IDS:
        status, _ = printed(name, steps=steps, plot=tmp_path / "out.svg")
        assert status == 0


def test_progress_is_shown_on_a_terminal() -> None:
    out = io.StringIO()
    reproduce("reddi-online", steps=3000, console=Console(file=out, force_terminal=True))
    assert "derivation" in out.getvalue()
    assert "Adam, no correction" in out.getvalue()


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert reproduce("reddi-online", steps=3000, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["level"], found["reasons"]) == ("refuted", "exact", [])
    assert {step["verdict"] for step in found["derivation"]} == {"proved"}
    assert {run["agreement"] for run in found["runs"][1:]} == {"bitwise equal, 2,020 steps"}


def test_listing(capsys: pytest.CaptureFixture[str]) -> None:
    assert screen.listing() == 0
    assert all(name in capsys.readouterr().out for name in ["reddi-online"])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("redi_online", {}, "no counterexample 'redi_online': did you mean reddi-online"),
        ("xyz", {}, r"there are .*reddi-online"),
        ("reddi-online", {"steps": 0}, "at least 1, got 0"),
        ("reddi-online", {"plot": Path("out.bmp")}, "draws png, pdf, svg"),
        ("reddi-online", {"plot": Path("nowhere/at/all.png")}, "there is no folder nowhere/at"),
        ("reddi-online", {"device": "abacus"}, "'abacus' is no torch device"),
        ("reddi-online", {"device": "meta:x"}, "is no torch device"),
    ],
)
def test_usage_errors(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        printed(name, **options)


def test_no_gpu_is_said_in_one_sentence() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(UsageError, match=r"--device cuda: torch .* (built without CUDA|no GPU)"):
        printed("reddi-online", device="cuda")


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(UsageError, match="it is a folder"):
        printed("reddi-online", plot=tmp_path / "a.png")


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_picture_leaves_the_old_one(
    failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    def fail(self: Figure, target: Path, **options: Any) -> None:
        target.write_bytes(b"half")
        raise failure

    target = tmp_path / "out.png"
    target.write_bytes(b"old")
    monkeypatch.setattr(Figure, "savefig", fail)
    expected = UsageError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        printed("reddi-online", steps=3, plot=target)
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_bytes() == b"old"


def test_every_method_has_its_own_line() -> None:
    assert len(set(picture.STYLES)) == len(picture.STYLES) >= len(METHODS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["all", "--out", "o", "--plot", "x.png"], "reproduce all takes no --plot"),
        (["all", "--out", "o", "--json"], "reproduce all takes no --json"),
        (["all", "--out", "o", "--optimizer", "torch.optim:SGD"], "reproduce all takes no --optimizer"),
        (["reddi-online", "--out", "o"], "--out is the folder of `reproduce all`"),
        (["reddi-online", "--optimizer", "paper:adam"], "is a rule on paper: name a class"),
        (["reddi-online", "--optimizer", "torch.optim:LBFGS"], "does not step a vector by itself"),
        (["reddi-online", "--optimizer", "torch.optim:Nothing"], "has no class 'Nothing'"),
    ],
)
def test_requests_that_do_not_fit(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from adamproof import cli

    monkeypatch.setattr(sys, "argv", ["adamproof", "reproduce", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_guest_need_not_be_one_that_can_be_lifted() -> None:
    status, text = printed("reddi-online", steps=30, optimizer="torch.optim:Rprop")
    assert status == 0
    assert "torch.optim:Rprop" in text
