"""The gallery, how far a step goes and what decay does: derivations, exact and float runs, pictures."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sympy as sp
from matplotlib.figure import Figure

from adamproof.counterexamples import acts, feed, step_exceeds_lr
from adamproof.counterexamples.acts import Act, holds, number, paper, real
from adamproof.counterexamples.catalogue import catalogue
from adamproof.counterexamples.picture import once, save
from adamproof.counterexamples.record import Asked
from adamproof.proofs_check.engines import decide
from adamproof.proofs_check.ledger import load
from adamproof.reproduce import Reproduced, find, judge
from adamproof.theory.catalogue import claims
from adamproof.theory.evaluate import value
from adamproof.theory.faithful import paper_of
from adamproof.theory.interval import Interval
from adamproof.theory.records import Analysis, Ground, Holds, Level, Point, Verdict

from .test_counterexamples import printed, spoiled

EXACT, SMT, ARB = Level.EXACT, Level.SMT, Level.INTERVAL
LEVELS = {
    "adagrad-never-rebounds": EXACT,
    "adagrad-stall": EXACT,
    "adamw-decay-follows-lr": EXACT,
    "constant-gradient-variance": EXACT,
    "l2-has-other-limits": EXACT,
    "l2-is-not-decay": EXACT,
    "momentum-conventions": EXACT,
    "momentum-l2-is-not-decay": EXACT,
    "rare-gradient": ARB,
    "sign-of-nothing": SMT,
    "silent-gradient": ARB,
    "step-exceeds-lr": EXACT,
    "tiny-gradient": SMT,
    "torch-amsgrad-rebound": SMT,
    "undamped-first-gradient": EXACT,
}
NAMES = tuple(LEVELS)


def module(name: str) -> ModuleType:
    return import_module("adamproof.counterexamples." + name.replace("-", "_"))


@pytest.fixture(scope="module")
def judged() -> dict[str, Reproduced]:
    return {name: judge(find(name)) for name in NAMES}


# -- what is refuted ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_refuted(judged: dict[str, Reproduced], name: str) -> None:
    found = judged[name]
    assert [a.verdict for a in found.answers] == [Verdict.PROVED] * len(found.steps)
    assert found.control.verdict is Verdict.REFUTED
    assert (found.verdict, found.level, found.reasons) == (Verdict.REFUTED, LEVELS[name], [])
    assert not any(run.remark or run.agreement for run in found.runs)


def test_every_refuted_claim_of_these_families_has_its_counterexample() -> None:
    listed = [claim for example in catalogue().values() for claim in example.refutes]
    of_steps = {
        id
        for id, rows in load().items()
        if claims()[id].family in ("step size", "weight decay")
        and any(row["verdict"] == Verdict.REFUTED for row in rows.values())
    }
    assert len(of_steps) >= 21
    assert of_steps | {"amsgrad-denominator-monotone", "amsgrad-rate-monotone"} <= set(listed)


#: Claim -> what turns an act's numbers into a point at which the claim's own excess can be asked.
ASKED: dict[str, Callable[[Act], Point]] = {
    "sparse-gradient-step": lambda act: {**act.point, "g1": Fraction(1)},
    "sign-step-is-lr": lambda act: {**act.point, "g1": act.gradient(2)},
    "momentum-l2-equals-decay": lambda act: {**act.point, "g1": Fraction(0), "g2": Fraction(0)},
    "sign-descent": lambda act: {
        **act.point,
        "beta1": Fraction(0),
        "beta2": Fraction(0),
        "g1": act.gradient(1),
    },
    "adagrad-dies": lambda act: {**act.point, "g1": act.gradient(1)},
    "equal-betas-variance-raw": lambda act: {"g1": act.gradient(1), "beta1": act.point["beta2"]},
}
ELSEWHERE = {"kb-step-bound"}  # its step is the 210th; see below


def asked(claim: str, act: Act) -> Point:
    numbers = {"beta1": Fraction(0), "lambda_": Fraction(0), "eta": Fraction(0), **act.point}
    fed = {f"g{t}": act.gradient(t) for t in (1, 2, 3)}
    return {**numbers, **(ASKED[claim](act) if claim in ASKED else {**fed, **act.point})}


@pytest.mark.parametrize(
    ("name", "claim"),
    [(n, c) for n in NAMES for c in find(n).refutes if c not in ELSEWHERE],
)
def test_the_object_breaks_the_claim(name: str, claim: str) -> None:
    """The claim's own excess, at the numbers of the object, is positive for one of its rules."""
    gaps = []
    for act in module(name).acts():
        case = isinstance(act.rule, str) and claims()[claim].judge(paper_of(act.rule))
        if case and case.runs:
            gaps.append(case.runs.excess(act.written().run, asked(claim, act)))
    assert gaps
    assert any(gap.lo > 0 for gap in gaps)


def test_kingma_and_bas_bound_is_passed_at_step_210() -> None:
    sizes = [abs(move) for move in acts.moves(paper(step_exceeds_lr.acts()[0], 210))]
    squares = [size.power(2) for size in sizes]
    told = Fraction(1, 100) / Fraction(1, 1000)  # (1 - β1)²/(1 - β2), in its first case
    assert Fraction(1, 10) ** 2 > Fraction(1, 1000)
    assert squares[-1].lo > told > squares[-2].hi
    assert all(a.hi < b.lo for a, b in pairwise(squares))


# -- derivations ----------------------------------------------------------------------------------


def denied(goal: Any) -> Any:
    """The goal with its right side at 0, spoiled."""
    if isinstance(goal, Holds | Ground) and goal.relation.rhs != 0:
        gap = goal.relation.lhs - goal.relation.rhs
        goal = replace(goal, relation=type(goal.relation)(gap, 0, evaluate=False))
    return spoiled(goal)


@pytest.mark.parametrize("name", NAMES)
def test_no_step_is_vacuous(name: str) -> None:
    for step in find(name).derivation():
        assert not isinstance(step.goal, Analysis)
        assert decide(step.goal).verdict is Verdict.PROVED
        assert decide(denied(step.goal)).verdict is not Verdict.PROVED, step.text


# -- acts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_an_act_is_its_exact_run(name: str) -> None:
    for act in module(name).acts():
        if act.schedule is None:
            told = value(sp.sympify(number(act, 2)), {})
            assert holds(paper(act, 2)[2], told)


def test_an_exact_run_against_the_rule_by_hand() -> None:
    act = Act("", "sgd+momentum", {"alpha": Fraction(1, 3), "mu": Fraction(1, 2)}, Fraction)
    assert [x.lo for x in paper(act, 2)] == [0, Fraction(-1, 3), Fraction(-1, 3) * Fraction(7, 2)]
    dropped = replace(act, schedule=lambda t: Fraction(1, t))
    assert [x.lo for x in paper(dropped, 2)] == [
        0, Fraction(-1, 3), Fraction(-1, 3) - Fraction(1, 6) * Fraction(5, 2),
    ]  # fmt: skip


def test_a_schedule_reaches_real_optimizers() -> None:
    name, make = acts.optimizer("torch.optim", "SGD", lr=Fraction(1, 2), nesterov=False)
    act = Act("", "sgd", {"alpha": Fraction(1, 2)}, acts.constant(Fraction(1)), ((name, make),),
              schedule=lambda t: Fraction(1, t))  # fmt: skip
    assert name == "torch.optim.SGD(nesterov=False)"
    assert real(act, make, 2) == [0, -0.5, -0.75]
    assert acts.beside(act, paper(act, 2)) == ("0.0e+00", "")


def test_holds_wants_narrow_enclosures() -> None:
    half = Fraction(1, 2)
    assert holds(Interval.of(2).sqrt().power(2), 2)
    assert not holds(Interval(half, 1 + half), 1)
    assert not holds(Interval.of(1), Fraction(1) + Fraction(1, 2**90))


# -- what goes wrong is noticed --------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_optimizer_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, example = feed.feed, find(name)

    def broken(make: Any, *rest: Any, **options: Any) -> Any:
        def drifting(params: list[Any]) -> Any:
            optimizer = make(params)
            optimizer.register_step_post_hook(lambda *_: params[0].data.add_(1e-6))
            return optimizer

        return honest(drifting, *rest, **options)

    assert example.replay(8).failure == ""
    monkeypatch.setattr(feed, "feed", broken)
    assert " leaves the exact run of " in example.replay(8).failure
    broken_runs = [run for run in example.runs(Asked(steps=40)) if run.failure]
    assert any(" leaves the formula of " in run.failure for run in broken_runs)
    assert not any(run.name == "the paper's formula" for run in broken_runs)


@pytest.mark.parametrize("name", NAMES)
def test_an_exact_run_that_strays_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every act is read: whichever of them goes another way, the evidence fails."""
    honest = acts.paper
    monkeypatch.setattr(acts, "beside", lambda act, path: ("-", ""))
    replayed = [row[0] for row in find(name).replay(12).rows]
    for act in module(name).acts():
        if act.method not in replayed:
            continue

        def strays(which: Act, steps: int, method: str = act.method) -> Any:
            path = honest(which, steps)
            off = Fraction(1, 1000) if which.method == method else Fraction(0)
            return [path[0], *(x - off * t for t, x in enumerate(path[1:], 1))]

        monkeypatch.setattr(acts, "paper", strays)
        failure = find(name).replay(12).failure
        if act.method == "AdamW, λ = 1/2":  # of which only the direction is claimed
            continue
        assert failure.startswith(act.method), act.method


@pytest.mark.parametrize("name", NAMES)
def test_a_float_run_that_strays_is_noticed(name: str) -> None:
    """What is claimed of the floats is looked at on its own, without the formula beside it."""
    example, which = find(name), module(name)
    steps = example.runs(Asked())[0].steps if name == "adagrad-stall" else 40
    seen = 0
    for act in which.acts():
        path = [float(x) for x in paper(act, min(steps, 40))]
        if steps > 40:
            path = path + path[-1:] * (steps - 40)  # it stops
        assert name == "adagrad-stall" or which.look(act, path).failure == ""
        bent = [path[0], *(x - 0.01 * t * t for t, x in enumerate(path[1:], 1))]
        seen += bool(which.look(act, path if steps > 40 else bent).failure)
    assert seen >= 1


def test_a_guest_is_shown_and_nothing_is_claimed_of_it() -> None:
    name, make = acts.optimizer("torch.optim", "SGD", lr=1.0)
    for id in NAMES:
        *others, guest = find(id).runs(Asked(steps=5, optimizer=(name, make)))
        assert (guest.name, guest.method, guest.failure) == (name, name, "")
        assert not any(run.name == name and run.method == name for run in others)


# -- shown -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_the_shortest_runs_work(name: str, steps: int, tmp_path: Path) -> None:
    status, text = printed(name, steps=steps, plot=tmp_path / "out.svg")
    assert status == 0
    assert "refuted, level" in text
    assert "torch.optim" in text


@pytest.mark.parametrize("name", NAMES)
def test_the_picture_explains_itself(judged: dict[str, Reproduced], name: str, tmp_path: Path) -> None:
    found = judged[name]
    save(found.example, found.runs, tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    figure, drawn = Figure(), once(found.runs)
    found.example.draw(figure, drawn)
    (axes,), (legend,) = figure.axes, figure.legends
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    assert {text.get_text() for text in legend.get_texts()} == {run.method for run in drawn}
    lines = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    looks = {(line.get_color(), line.get_linestyle()) for line in lines}
    assert len(looks) == len(lines) == len(drawn)
