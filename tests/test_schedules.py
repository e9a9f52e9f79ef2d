"""Schedules are the formulas of their papers, for every step; and they work in LambdaLR."""

import copy
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from math import cos as bound_early
from typing import Any

import pytest
import sympy as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

from adamproof import optimizers as ours
from adamproof.optimizers import schedules
from adamproof.proofs_check.judge import Judge
from adamproof.proofs_check.schedules import at_zero, ball, check, points
from adamproof.proofs_check.symbolic import SymbolicFloat
from adamproof.theory.catalogue import claims
from adamproof.theory.records import Level, Verdict
from adamproof.theory.schedules import FORMULAS, W
from adamproof.theory.symbols import t

EXAMPLES: dict[str, tuple[ours.Schedule, list[float]]] = {
    "no warmup": (ours.linear_warmup(0), [1, 1, 1]),
    "warmup": (ours.linear_warmup(4), [1 / 4, 1 / 2, 3 / 4, 1, 1, 1]),
    "warmup over 2.5": (ours.linear_warmup(2.5), [0.4, 0.8, 1, 1]),
    "warmup for 3/4": (ours.linear_warmup_for(0.75), [i / 8 for i in range(1, 9)] + [1, 1]),
    "warmup for 0": (ours.linear_warmup_for(0), [1 / 2, 1, 1]),
    "exponential": (ours.exponential_warmup(0.5), [1 - math.exp(-k / 2) for k in range(1, 9)]),
    "inverse root": (ours.inverse_sqrt(2), [1 / 2, 1, (2 / 3) ** 0.5, 0.5**0.5, 0.4**0.5]),
    "cosine": (ours.cosine(4, 2, 0.5), [1 / 2, 1, 3 / 4, 1 / 2, 1 / 2]),
    "cosine alone": (ours.cosine(3), [3 / 4, 1 / 4, 0, 0, 0]),
    "all warmup": (ours.cosine(2, 2, 0.25), [1 / 2, 1, 1 / 4, 1 / 4]),
    "linear": (ours.linear(6, 2, 0.2), [1 / 2, 1, 0.8, 0.6, 0.4, 0.2, 0.2]),
    "linear alone": (ours.linear(4), [3 / 4, 1 / 2, 1 / 4, 0, 0]),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_values_by_hand_are_the_rates_of_the_steps(name: str) -> None:
    """The t-th number is the learning rate of the optimizer's t-th step."""
    schedule, values = EXAMPLES[name]
    weight = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scheduler = LambdaLR(optimizer, schedule)
    walked = []
    for _ in values:
        before = weight.item()
        weight.grad = torch.ones(())
        weight.data.zero_()
        optimizer.step()
        walked.append(-weight.item())
        scheduler.step()
        assert before <= 0
    assert walked == pytest.approx(values, abs=1e-6)
    assert [schedule.at(k) for k in range(1, len(values) + 1)] == pytest.approx(values, abs=1e-15)


# -- the formula -----------------------------------------------------------------------------------

ZEROS = [
    ("cosine", ("warmup",)), ("cosine", ("floor",)), ("cosine", ("warmup", "floor")),
    ("linear", ("warmup",)), ("linear", ("floor",)), ("linear", ("warmup", "floor")),
    ("radam_warmup", ("before",)),
]  # fmt: skip


def test_every_schedule_has_a_formula() -> None:
    assert set(FORMULAS) == set(schedules.__all__) - {"Schedule"}
    assert len(FORMULAS) == 7


@pytest.mark.parametrize("name", FORMULAS)
def test_the_code_is_the_formula(name: str) -> None:
    answer = check(getattr(schedules, name), FORMULAS[name])
    assert (answer.verdict, answer.level) == (Verdict.PROVED, Level.EXACT), answer.reason
    assert answer.reason.startswith(f"{len(FORMULAS[name].parts)} branches")


@pytest.mark.parametrize(("name", "zero"), ZEROS)
def test_the_code_is_the_formula_where_an_argument_is_0(name: str, zero: tuple[str, ...]) -> None:
    formula = at_zero(FORMULAS[name], *zero)
    answer = check(getattr(schedules, name), formula)
    assert (answer.verdict, answer.level) == (Verdict.PROVED, Level.EXACT), answer.reason
    assert not {s for _, value in formula.parts for s in value.free_symbols} & {
        FORMULAS[name].arguments[argument] for argument in zero
    }


@pytest.mark.parametrize("name", FORMULAS)
def test_the_points_reach_every_part(name: str) -> None:
    formula, seen = FORMULAS[name], set()
    for point in points(formula):
        values = {s: sp.Rational(str(point[s.name])) for s in formula.arguments.values()}
        told = {**values, t: sp.Rational(str(point["t"]))}
        seen.add(next(i for i, (when, _) in enumerate(formula.parts) if when.subs(told) == sp.true))
    assert seen == set(range(len(formula.parts)))


def shifted(make: Callable[..., ours.Schedule]) -> Callable[..., Any]:
    """The classic error: step 0 of LambdaLR taken for t = 0."""

    def wrong(**arguments: Any) -> Any:
        schedule = make(**arguments)
        return lambda step: schedule.at(step)

    return wrong


OFF_BY_ONE = sorted(set(FORMULAS) - {"radam_warmup"})  # whose ρ is not defined at t = 0


@pytest.mark.parametrize("name", OFF_BY_ONE)
def test_an_off_by_one_is_refuted(name: str) -> None:
    answer = check(shifted(getattr(schedules, name)), FORMULAS[name])
    assert answer.verdict is Verdict.REFUTED, answer.reason
    assert answer.witness is not None
    assert float(answer.witness.excess) > 1e-3
    assert float(answer.witness.replayed.split()[0]) == pytest.approx(float(answer.witness.excess))


def wrong_rectifier(beta2: Any, threshold: Any, before: Any) -> Any:
    right = schedules.radam_warmup(beta2, threshold, before)

    def value(step: Any) -> Any:
        got = right(step)
        return got if got == before else got**2

    return value


def jumping_cosine(total: Any, warmup: Any, floor: Any) -> Any:
    """Forgets the warmup inside the cosine: it does not begin at 1."""
    right = schedules.cosine(total, warmup, floor)

    def value(step: Any) -> Any:
        k = step + 1
        if k <= warmup:
            return k / warmup
        if k < total:
            return floor + (1 - floor) * (1 + math.cos(math.pi * k / total)) / 2
        return right(step)

    return value


@pytest.mark.parametrize(
    ("name", "make"), [("radam_warmup", wrong_rectifier), ("cosine", jumping_cosine)]
)
def test_a_wrong_formula_is_refuted(name: str, make: Any) -> None:
    answer = check(make, FORMULAS[name])
    assert answer.verdict is Verdict.REFUTED, answer.reason


def early_cosine(total: Any, warmup: Any, floor: Any) -> Any:
    def value(step: Any) -> Any:
        k = step + 1
        if k <= warmup:
            return k / warmup
        turn = bound_early(math.pi * (k - warmup) / (total - warmup)) if k < total else -1.0
        return floor + (1 - floor) * (1 + turn) / 2

    return value


def truncated(steps: Any) -> Any:
    return lambda step: (step + 1) / int(steps) if step + 1 <= steps else 1.0


def strict(steps: Any) -> Any:
    """The same function, by other branches: at t = w they overlap, and that is not looked into."""
    return lambda step: (step + 1) / steps if step + 1 < steps else 1.0


def with_a_late_branch(steps: Any) -> Any:
    right = schedules.linear_warmup(steps)
    return lambda step: right(step) if step < 1000 else 0.0


@pytest.mark.parametrize(
    ("name", "make", "told"),
    [
        ("cosine", early_cosine, "plain number"),
        ("linear_warmup", truncated, "not lifted: the operation __int__"),
        ("linear_warmup", strict, "is not shown to be"),
        ("linear_warmup", with_a_late_branch, "was not met"),
    ],
)
def test_what_is_not_shown_is_not_proved(name: str, make: Any, told: str) -> None:
    answer = check(make, FORMULAS[name])
    assert answer.verdict is Verdict.UNDECIDED
    assert told in answer.reason


def test_a_schedule_that_refuses_part_of_its_domain_is_not_proved() -> None:
    def picky(steps: Any) -> Any:
        if steps > 100:
            raise ValueError("too long")
        return schedules.linear_warmup(steps)

    answer = check(picky, FORMULAS["linear_warmup"])
    assert answer.verdict is Verdict.UNDECIDED
    assert "not all of its domain" in answer.reason


def test_a_point_too_few_is_not_enough() -> None:
    few = replace(FORMULAS["linear_warmup"], points={"t": "1 4", "w": "2"})
    answer = check(schedules.linear_warmup, few)
    assert answer.verdict is Verdict.UNDECIDED
    assert "met once" in answer.reason


def test_math_is_as_before_a_check() -> None:
    before = (math.cos, math.exp, math.pi)
    check(schedules.cosine, FORMULAS["cosine"])
    check(early_cosine, FORMULAS["cosine"])
    assert (math.cos, math.exp, math.pi) == before
    assert not isinstance(math.pi, SymbolicFloat)


@pytest.mark.parametrize("id", ["schedules-join", "warmup-cosine"])
def test_the_claims_about_the_formulas_stand(id: str) -> None:
    finding = Judge().finding(claims()[id], None)
    assert finding.verdict is Verdict.PROVED, finding.reason


@given(total=st.floats(1, 1e6), part=st.floats(0, 1), floor=st.floats(0, 1), k=st.integers(0, 2 * 10**6))
def test_a_decay_stays_between_0_and_1_and_falls_to_its_floor(
    total: float, part: float, floor: float, k: int
) -> None:
    for make in (schedules.cosine, schedules.linear):
        schedule = make(total, part * total, floor)
        assert -1e-15 <= schedule(k) <= 1 + 1e-15
        if k + 1 > part * total:
            assert floor - 1e-15 <= schedule(k + 1) <= schedule(k) + 1e-15
        if k + 1 > total:
            assert schedule(k) == floor


# -- beside other code -----------------------------------------------------------------------------


def rates(scheduler: Any, steps: int) -> list[float]:
    out = []
    for _ in range(steps):
        out.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    return out


def optimizer() -> torch.optim.Optimizer:
    return ours.SGD([torch.nn.Parameter(torch.zeros(2))], lr=0.5)


def test_cosine_is_torchs_one_step_on() -> None:
    theirs = rates(CosineAnnealingLR(optimizer(), T_max=20, eta_min=0.1), 21)
    mine = rates(LambdaLR(optimizer(), ours.cosine(20, floor=0.2)), 20)
    assert mine == pytest.approx(theirs[1:], abs=1e-12)


@pytest.mark.parametrize("beta2", [0.9, 0.99, 0.999])
def test_adam_with_the_rectifier_takes_the_steps_of_radam(beta2: float) -> None:
    """Once it is rectified, and with ε = 0."""
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.zeros(4, dtype=torch.float64)) for _ in range(2)]
    radam = torch.optim.RAdam(weights[:1], lr=0.1, betas=(0.8, beta2), eps=0.0)
    adam = ours.Adam(weights[1:], lr=0.1, betas=(0.8, beta2), eps=0.0)
    scheduler = LambdaLR(adam, ours.radam_warmup(beta2))
    moved = []
    for _ in range(30):
        grad = torch.randn(4, dtype=torch.float64)
        for weight in weights:
            weight.grad = grad
            weight.data.zero_()  # the steps depend on the gradients alone
        radam.step()
        adam.step()
        scheduler.step()
        moved.append([weight.detach().clone() for weight in weights])
    first = next(i for i, (_, mine) in enumerate(moved) if mine.abs().max() > 0)
    assert first == 5
    for theirs, mine in moved[first:]:
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=0)
    assert all((theirs != 0).all() for theirs, _ in moved[:first])


ALL = [schedule for schedule, _ in EXAMPLES.values()] + [ours.radam_warmup(0.999)]


@pytest.mark.parametrize("schedule", ALL, ids=repr)
def test_it_is_a_value(schedule: ours.Schedule) -> None:
    for twin in (pickle.loads(pickle.dumps(schedule)), copy.deepcopy(schedule)):
        assert twin == schedule
        assert hash(twin) == hash(schedule)
        assert [twin(k) for k in range(9)] == [schedule(k) for k in range(9)]
    with pytest.raises(AttributeError):
        schedule.warmup = 3  # type: ignore[attr-defined]


def test_a_resumed_schedule_continues() -> None:
    whole = rates(LambdaLR(optimizer(), ours.cosine(10, 3)), 10)
    first = optimizer()
    scheduler = LambdaLR(first, ours.cosine(10, 3))
    assert rates(scheduler, 4) == whole[:4]
    saved = pickle.loads(pickle.dumps((first.state_dict(), scheduler.state_dict())))
    second = optimizer()
    resumed = LambdaLR(second, ours.cosine(99))
    second.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    assert rates(resumed, 6) == whole[4:]


NAN = float("nan")
INF = float("inf")
REFUSED: list[tuple[Callable[..., Any], dict[str, Any], list[str]]] = [
    *[(ours.linear_warmup, {"steps": x}, ["steps", "[0, inf)"]) for x in (-1, NAN, INF, "5", None)],
    *[
        (make, {"beta2": x}, ["beta2", "[0, 1)"])
        for make in (ours.linear_warmup_for, ours.exponential_warmup, ours.radam_warmup)
        for x in (-0.1, 1, NAN, "0.9")
    ],
    *[(ours.inverse_sqrt, {"warmup": x}, ["warmup", "(0, inf)"]) for x in (0, -1, NAN, INF)],
    *[
        case
        for make in (ours.cosine, ours.linear)
        for case in [
            (make, {"total": 0}, ["total", "(0, inf)"]),
            (make, {"total": NAN}, ["total", "(0, inf)"]),
            (make, {"total": 5, "warmup": -1}, ["warmup", "[0, inf)"]),
            (make, {"total": 5, "warmup": 6}, ["warmup", "6 of 5"]),
            (make, {"total": 5, "floor": 1.5}, ["floor", "[0, 1]"]),
            (make, {"total": 5, "floor": NAN}, ["floor", "[0, 1]"]),
        ]
    ],
    (ours.radam_warmup, {"beta2": 0.9, "threshold": 3}, ["threshold", "[4, inf)"]),
    (ours.radam_warmup, {"beta2": 0.9, "before": 2}, ["before", "[0, 1]"]),
    (ours.radam_warmup, {"beta2": 0.6}, ["beta2", "0.666667", "0.6", "rectified"]),
    (ours.radam_warmup, {"beta2": 0.0}, ["beta2", "0.666667"]),
]


@pytest.mark.parametrize(("make", "arguments", "parts"), REFUSED)
def test_bad_arguments_get_one_sentence(make: Any, arguments: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(ValueError, match=parts[0]) as refused:
        make(**arguments)
    message = str(refused.value)
    assert message.endswith(".")
    assert ". " not in message
    assert [part for part in parts if part not in message] == []


def test_a_ball_knows_the_cosine() -> None:
    value = ball(sp.cos(sp.pi * t / W), {"t": sp.Rational(1), "w": sp.Rational(3)})
    assert float(value) == pytest.approx(0.5, abs=1e-15)
    assert not value.overlaps(ball(sp.Rational(1, 3), {}))
