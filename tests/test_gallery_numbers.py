"""Counterexamples in formats, counters and kernels; sharpness; where adaptive rules end."""

import io
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from adamproof.counterexamples import (
    bf16_freeze,
    dinh_rescaling,
    fp16_nan,
    fused_sgd_half,
    step_counter_float32,
    wilson_separable,
)
from adamproof.counterexamples.catalogue import catalogue
from adamproof.counterexamples.halves import Halves
from adamproof.counterexamples.record import Asked, Counterexample
from adamproof.proofs_check.engines import decide
from adamproof.proofs_check.judge import Judge
from adamproof.proofs_check.subjects import builtin
from adamproof.reproduce import Reproduced, find, judge, reproduce
from adamproof.theory.catalogue import claims
from adamproof.theory.floats import BFLOAT16, FLOAT16
from adamproof.theory.records import Every, Holds, Level, Verdict

from .test_counterexamples import spoiled

HERE = {
    "bf16-freeze": bf16_freeze,
    "dinh-rescaling": dinh_rescaling,
    "fp16-nan": fp16_nan,
    "fused-sgd-half": fused_sgd_half,
    "step-counter-float32": step_counter_float32,
    "wilson-separable": wilson_separable,
}
#: Refuted claims of the families, and a subject for which each is.
REFUTED = {
    "eps-fp16": "torch.optim:Adam",
    "bf16-freeze": "torch.optim:Adam",
    "step-counter-float32": "torch.optim:Adagrad(lr_decay=0.1)",
    "fused-kernel": "torch.optim:SGD",
    "sharpness-reparametrisation": "torch.optim:SGD",
    "sharpness-box": "torch.optim:SGD",
    "adaptive-nullspace": "torch.optim:Adam",
    "adaptive-sign-eps": "torch.optim:Adam",
}


@pytest.fixture(autouse=True)
def single() -> Any:
    """The default type that users have, whatever another test has left."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(scope="module")
def judged() -> dict[str, Reproduced]:
    return {name: judge(find(name)) for name in HERE}


# -- the verdicts --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HERE)
def test_refuted(judged: dict[str, Reproduced], name: str) -> None:
    found = judged[name]
    assert [a.verdict for a in found.answers] == [Verdict.PROVED] * len(found.steps)
    assert found.control.verdict is Verdict.REFUTED
    assert (found.verdict, found.level, found.reasons) == (Verdict.REFUTED, Level.EXACT, [])


def denied(goal: Any) -> Any:
    """A statement that cannot hold together with the goal."""
    if isinstance(goal, Every):
        return Every("not: " + goal.says, lambda p: Fraction(goal.excess(p) <= 0), goal.over)
    if hasattr(goal, "relation") and goal.relation.rhs != 0:
        gap = goal.relation.lhs - goal.relation.rhs
        if isinstance(goal.relation, sp.Eq):
            return type(goal)(sp.Ne(gap, 0, evaluate=False))
        relation = sp.Lt(gap, 0, evaluate=False)
        return Holds(relation, goal.given, goal.domains, goal.shift) if isinstance(goal, Holds) else (
            type(goal)(relation)
        )  # fmt: skip
    return spoiled(goal)


@pytest.mark.parametrize("name", HERE)
def test_no_step_is_vacuous(name: str) -> None:
    for step in find(name).derivation():
        assert decide(denied(step.goal)).verdict is not Verdict.PROVED, step.text


def test_every_refuted_claim_of_the_families_has_its_object() -> None:
    told = {claim for name in HERE for claim in catalogue()[name].refutes}
    assert told == set(REFUTED)
    for claim, subject in REFUTED.items():
        assert claims()[claim].family in ("precision", "sharpness")
        finding = Judge().finding(claims()[claim], builtin()[subject])
        assert finding.verdict is Verdict.REFUTED, claim


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("name", HERE)
def test_the_shortest_runs_work(name: str, steps: int, tmp_path: Path) -> None:
    out = io.StringIO()
    status = reproduce(name, steps=steps, plot=tmp_path / "out.png", optimizer="torch.optim:Adam",
                       console=Console(width=140, file=out))  # fmt: skip
    assert (status, "refuted" in out.getvalue()) == (0, True)
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def runs_of(judged: dict[str, Reproduced], name: str, method: str) -> list[Any]:
    found = [run for run in judged[name].runs if run.method == method]
    assert len(found) >= 2 or method.startswith("fused")
    return found


# -- a broken optimizer is noticed ----------------------------------------------------------------


def reasons(example: Counterexample, steps: int | None = None) -> list[str]:
    evidence = example.replay(min(steps or example.replay_steps, example.replay_steps))
    failures = [evidence.failure, *(run.failure for run in example.runs(Asked(steps)))]
    return [failure for failure in failures if failure]


def test_halves_that_round_otherwise_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Halves.averages

    def astray(self: Halves, gradient: Fraction) -> None:
        honest(self, gradient)
        self.v += self.form.spacing(self.v)

    monkeypatch.setattr(Halves, "averages", astray)
    assert "torch leaves the model at step 1" in bf16_freeze.replay(4).failure
    assert "g = 0" in fp16_nan.replay(2).failure


def test_an_adam_with_another_eps_or_state_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Guarded(torch.optim.Adam):
        """Keeps ε above what float16 loses, and v in float32."""

        def step(self, closure: Any = None) -> Any:
            for group in self.param_groups:
                group["eps"] = max(group["eps"], 1e-4)
                for p in group["params"]:
                    for name in ("exp_avg", "exp_avg_sq"):
                        if name in self.state[p]:
                            self.state[p][name] = self.state[p][name].float()
                    p.data, p.grad = p.data.float(), p.grad.float()
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "Adam", Guarded)
    for name in ("bf16-freeze", "fp16-nan"):
        told = reasons(find(name), 20 if name == "bf16-freeze" else None)
        assert any("torch.optim.Adam" in reason or "g = " in reason for reason in told), name


def test_a_counter_that_counts_on_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Patient(torch.optim.Adagrad):
        """Counts in float64."""

        def step(self, closure: Any = None) -> Any:
            for state in self.state.values():
                state["step"] = state["step"].double()
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "Adagrad", Patient)
    assert "torch.optim.Adagrad: the counter does not stop at 2^24" in reasons(
        find("step-counter-float32")
    )


def test_a_repaired_kernel_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Repaired(torch.optim.SGD):
        """Has no fused form."""

        def __init__(self, params: Any, *, fused: bool = False, **options: Any) -> None:
            super().__init__(params, **options)

    monkeypatch.setattr(torch.optim, "SGD", Repaired)
    told = reasons(find("fused-sgd-half"))
    assert len(told) == 2 and all("moves every parameter: it is repaired" in reason for reason in told)


def test_a_kernel_that_is_wrong_in_another_way_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Drifting(torch.optim.SGD):
        """Moves the other way."""

        def step(self, closure: Any = None) -> Any:
            for p in self.param_groups[0]["params"]:
                p.grad = -p.grad
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "SGD", Drifting)
    told = reasons(find("fused-sgd-half"))
    assert any("an unfused form" in reason for reason in told)
    assert any("in another way" in reason for reason in told)


def test_a_descent_that_does_not_leave_the_sharp_setting_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Idle(torch.optim.SGD):
        """Does nothing."""

        def step(self, closure: Any = None) -> Any:
            return None

    monkeypatch.setattr(torch.optim, "SGD", Idle)
    assert reasons(find("dinh-rescaling")) == ["torch.optim.SGD does not leave the sharp setting"]


def test_rules_that_end_elsewhere_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    adam, sgd = torch.optim.Adam, torch.optim.SGD
    monkeypatch.setattr(torch.optim, "Adam", lambda p, **o: sgd(p, lr=1 / 16))
    monkeypatch.setattr(torch.optim, "SGD", lambda p, **o: adam(p, lr=0.01))
    told = reasons(find("wilson-separable"))
    assert any(reason.startswith("gradient descent is") for reason in told)
    assert any(reason.startswith("Adam, ε = 1e-8 is") for reason in told)
    short = reasons(find("wilson-separable"), 20)  # too few to arrive, enough to be on the wrong side
    assert any("its error on new data" in reason for reason in short)


def test_objects_that_are_spoilt_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dinh_rescaling, "rescaled", lambda a, weights=dinh_rescaling.WEIGHTS: [
        a * weights[0], weights[1], weights[2] / a, *weights[3:]])  # fmt: skip
    assert "the function changes" in dinh_rescaling.replay(2).failure
    monkeypatch.setattr(
        wilson_separable, "RATE", Fraction(1, 2)
    )  # above 2/λ: descent does not stay right
    assert "wrong on new data" in wilson_separable.replay(6).failure
    monkeypatch.setattr(step_counter_float32, "counted", lambda t: t)
    assert "float32 counts 16777216" in step_counter_float32.replay(8).failure
    monkeypatch.setattr(fused_sgd_half, "ALPHA", Fraction(1, 1000))
    assert "rounding" in fused_sgd_half.replay(3).failure


# -- Adam in a half type ---------------------------------------------------------------------------


@pytest.mark.parametrize("form", [FLOAT16, BFLOAT16], ids=lambda form: form.name)
@given(gradients=st.lists(st.floats(-4, 4), min_size=1, max_size=12),
       alpha=st.sampled_from([1e-3, 0.03]),
       betas=st.sampled_from([(0.9, 0.999), (0.75, 0.9)]))  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_halves_are_torchs_adam(
    form: Any, gradients: list[float], alpha: float, betas: tuple[float, float]
) -> None:
    dtype = getattr(torch, form.name)
    slopes = torch.tensor(gradients, dtype=torch.float64).to(dtype)
    x = torch.nn.Parameter(torch.ones(1, dtype=dtype))
    optimizer = torch.optim.Adam([x], lr=alpha, betas=betas, eps=1e-4)
    model = Halves(form, Fraction(1), alpha, betas, 1e-4)
    for slope in slopes:
        x.grad = slope.reshape(1)
        optimizer.step()
        model.step(Fraction(slope.item()))
        state = optimizer.state[x]
        seen = (x.item(), state["exp_avg"].item(), state["exp_avg_sq"].item())
        assert (model.x, model.m, model.v) == tuple(map(Fraction, seen))


@pytest.mark.parametrize("form", [FLOAT16, BFLOAT16], ids=lambda form: form.name)
def test_roots_are_those_of_torch(form: Any) -> None:
    """Of every number of the format; in float32 itself torch may take a neighbour."""
    from adamproof.counterexamples.halves import _root

    numbers = [form.number(i) for i in range(form.count)]
    roots = torch.tensor([float(n) for n in numbers], dtype=torch.float64)
    seen = roots.to(getattr(torch, form.name)).sqrt().double().tolist()
    assert [float(form.round(_root(n))) for n in numbers] == seen


# -- what is said of the objects ---------------------------------------------------------------------


def test_frozen_in_bfloat16_only(judged: dict[str, Reproduced]) -> None:
    for run in runs_of(judged, "bf16-freeze", "Adam in bfloat16"):
        assert (run.found["x at the end"], run.found["v at the end"]) == (1, 131 / 32)
        assert set(run.curve.x) == {1.0}
        assert set(run.curve.v[1:]) == {131 / 32}
    for run in runs_of(judged, "bf16-freeze", "Adam in float32"):
        assert run.found["x at the end"] < -0.5
        assert run.found["v at the end"] < 1.2


def test_what_float16_makes_of_every_gradient(judged: dict[str, Reproduced]) -> None:
    for run in runs_of(judged, "fp16-nan", "float16, ε = 1e-8"):
        assert run.found["x where g = 0"] == "no number"
        assert run.found["infinite for |g| up to"] > 1 / 1024
    for method in ("float32, ε = 1e-8", "float16, ε = 1e-7"):
        for run in runs_of(judged, "fp16-nan", method):
            assert all(map(math.isfinite, run.curve.moved))


def test_the_step_at_a_stalled_counter(judged: dict[str, Reproduced]) -> None:
    for run in runs_of(judged, "step-counter-float32", "AdaGrad"):
        assert run.found["step at t = 2^30, too long by"] == pytest.approx(64, rel=1e-5)
        assert run.found["counter stops at"] in ("16,777,216", "-")
    for run in runs_of(judged, "step-counter-float32", "Adam"):
        assert run.curve.stalled == run.curve.true


def test_a_guest_without_a_counter_is_told_of() -> None:
    guest = ("torch SGD", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5))
    *_, run = step_counter_float32.runs(Asked(4, optimizer=guest))
    assert (run.failure, run.curve) == ("", None)
    assert "its counter is not to be set" in run.remark


def test_the_fused_kernel_moves_what_no_vector_holds(judged: dict[str, Reproduced]) -> None:
    for method in ("fused, float16", "fused, bfloat16"):
        (run,) = runs_of(judged, "fused-sgd-half", method)
        assert (run.found["first"], run.found["last"]) == (1, 0.25)
    (run,) = runs_of(judged, "fused-sgd-half", "fused, float32")
    assert set(run.curve) == {0.25}


@given(st.fractions("1/50", 50, max_denominator=50), st.fractions(-5, 5, max_denominator=50))
def test_rescaling_leaves_the_function_and_not_the_sharpness(a: Fraction, x: Fraction) -> None:
    weights = dinh_rescaling.rescaled(a)
    assert dinh_rescaling.network(weights, x) == dinh_rescaling.network(dinh_rescaling.WEIGHTS, x)
    assert dinh_rescaling.trace(weights) >= 10 * a**2


def test_the_gradient_of_the_network_is_that_of_torch() -> None:
    weights = [1.5, 1.0, -0.5, 2.5, 1.25, 0.75]
    p = torch.tensor(weights, dtype=torch.float64, requires_grad=True)
    inputs = torch.tensor(dinh_rescaling.DATA, dtype=torch.float64)
    out = p[2] * torch.relu(p[0] * inputs + p[1]) + p[5] * torch.relu(p[4] - p[3] * inputs)
    ((out - torch.tensor(dinh_rescaling.TARGETS)) ** 2).sum().div(2).backward()  # type: ignore[no-untyped-call]
    assert p.grad is not None
    assert p.grad.tolist() == pytest.approx(dinh_rescaling.gradient(weights))


def test_where_each_rule_ends(judged: dict[str, Reproduced]) -> None:
    ends = {"gradient descent": "0", "Adam, ε = 10⁴": "0", "Adam, ε = 1e-8": "1/2", "AdaGrad": "1/2",
            "RMSprop": "1/2"}  # fmt: skip
    for method, error in ends.items():
        for run in runs_of(judged, "wilson-separable", method):
            assert run.found["test error"] == error
            assert run.found["loss"] < 1e-20


def test_both_solutions_fit_and_one_is_shorter() -> None:
    rows, short, sign = wilson_separable.data(), wilson_separable.least_norm(), wilson_separable.signs()
    for w in (short, sign):
        assert not any(wilson_separable.errors(rows, w))
    assert sum(x**2 for x in short) == Fraction(5, 8) < sum(x**2 for x in sign) == 1
    a, *_ = torch.linalg.lstsq(torch.tensor(rows, dtype=torch.float64),
                               torch.tensor(wilson_separable.LABELS, dtype=torch.float64)[:, None],
                               driver="gelsd")  # fmt: skip
    assert a.flatten().tolist() == pytest.approx([float(x) for x in short])
