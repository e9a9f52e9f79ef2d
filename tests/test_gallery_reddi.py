"""Theorems 2 and 3 of Reddi et al., AdaBound on their game, and the two-cycle of Adam."""

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from adamproof.counterexamples import (
    adabound_fails,
    adam_limit_cycle,
    reddi_general_beta,
    reddi_stochastic,
    seeds,
)
from adamproof.counterexamples.feed import feed
from adamproof.counterexamples.harness import Game, Method, play
from adamproof.counterexamples.players import FLOATS, Paper, Real
from adamproof.counterexamples.record import Asked
from adamproof.counterexamples.seeds import Draw, Spread, Vector, advance, spikes
from adamproof.proofs_check.engines import decide
from adamproof.reproduce import Reproduced, find, judge
from adamproof.theory.records import Ground, Holds, Identity, Level, Verdict

from .test_counterexamples import printed, spoiled

LEVELS = {
    "reddi-general-beta": Level.INTERVAL,
    "reddi-stochastic": Level.INTERVAL,
    "adabound-fails": Level.EXACT,
    "adam-limit-cycle": Level.SMT,
}
METHODS = reddi_stochastic.methods()
LOSSES = reddi_stochastic.draw_of_runs()


@cache
def judged(name: str) -> Reproduced:
    return judge(find(name))


# -- all of them -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LEVELS)
def test_refuted(name: str) -> None:
    found = judged(name)
    reasons, verdict = found.reasons, (found.verdict, found.level)  # pytest would print all of it
    assert reasons == []
    assert verdict == (Verdict.REFUTED, LEVELS[name])
    names = {run.name for run in found.runs}
    assert "the paper's formula" in names
    assert any(n.startswith("torch.optim.Adam") for n in names)
    assert any(n.startswith("adamproof ") for n in names)


def opposite(goal: Any) -> Any:
    """A statement that cannot hold together with the goal, for any form of relation."""
    if isinstance(goal, Identity):
        return spoiled(goal)
    relation = goal.relation
    if isinstance(relation, sp.Eq):
        return Ground(sp.Ne(relation.lhs, relation.rhs, evaluate=False))
    if isinstance(relation, sp.Le | sp.Lt):
        relation = relation.reversed
    moved = relation.func(sp.Add(relation.lhs, -relation.rhs, evaluate=False), 0, evaluate=False)
    return spoiled(replace(goal, relation=moved))


@pytest.mark.parametrize("name", LEVELS)
def test_no_step_is_vacuous(name: str) -> None:
    for step in find(name).derivation():
        assert isinstance(step.goal, Identity | Holds | Ground)
        assert decide(opposite(step.goal)).verdict is not Verdict.PROVED, step.text


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("steps", [1, 3])
def test_the_shortest_runs_work(name: str, steps: int, tmp_path: Path) -> None:
    target = tmp_path / "out.png"
    seeds = 2 if "seeds" in find(name).takes else None
    status, text = printed(name, steps=steps, seeds=seeds, plot=target)
    assert status == 0, text
    assert target.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", LEVELS)
def test_a_guest_is_run_and_nothing_claimed_of_it(name: str) -> None:
    def guest(params: list[Any]) -> torch.optim.Optimizer:
        return torch.optim.SGD(params, lr=0.1)

    runs = find(name).runs(Asked(steps=4, seeds=3, optimizer=("my SGD", guest)))
    own = [run for run in runs if run.name == "my SGD"]
    assert own
    assert all((run.agreement, run.failure) == ("", "") for run in own)


def broken(make: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    """The optimizer, every step a hair too long."""

    def made(params: list[Any]) -> Any:
        optimizer = make(params)
        honest = optimizer.step

        def step() -> None:
            group = optimizer.param_groups[0]
            rate = group["lr"]
            group["lr"] = rate * (1 + 1e-4)
            honest()
            group["lr"] = rate

        optimizer.step = step
        return optimizer

    return made


@pytest.mark.parametrize("name", ["reddi-general-beta", "reddi-stochastic", "adam-limit-cycle"])
def test_a_broken_optimizer_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Method.implementations

    def implementations(self: Method) -> Iterator[tuple[str, Any]]:
        for label, make in honest(self):
            yield label, broken(make) if label.startswith("torch") else make

    asked = Asked(steps=60, seeds=20)  # so long that the clamp does not hide it
    assert not any(run.failure for run in find(name).runs(asked))
    monkeypatch.setattr(Method, "implementations", implementations)
    failures = {run.name: run.failure for run in find(name).runs(asked)}
    assert "torch.optim.Adam" in failures["torch.optim.Adam"]
    assert not failures["adamproof Adam"]


def test_a_broken_adabound_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = adabound_fails.ours
    monkeypatch.setattr(adabound_fails, "ours", lambda gamma: honest(gamma * Fraction(11, 10)))
    failures = [
        run.failure for run in adabound_fails.runs(Asked(steps=90)) if run.name == adabound_fails.OURS
    ]
    assert failures[0].startswith("our AdaBound leaves the paper's formula")


# -- Theorem 2 -------------------------------------------------------------------------------------


BETA = st.fractions("1/20", "19/20", max_denominator=40)


def brute_force(beta1: float, beta2: float, period: int) -> float:
    """The climb of one period, after the moments have been run until they have settled."""
    m = v = 0.0
    settled = period * math.ceil(40 / (period * -math.log(max(beta1, beta2))))
    climb = 0.0
    for t in range(settled + period):
        g = float(period) if t % period == 0 else -1.0
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        climb += -m / math.sqrt(v) if t >= settled else 0.0
    return climb


@given(beta1=st.just(Fraction(0)) | BETA, beta2=BETA)
@settings(max_examples=40)
def test_an_instance_fails_adam(beta1: Fraction, beta2: Fraction) -> None:
    assume(beta1**2 < beta2)
    period = reddi_general_beta.instance(beta1, beta2)
    certified = reddi_general_beta.climb(beta1, beta2, period)
    assert certified.lo > 0
    assert float(certified) == pytest.approx(brute_force(float(beta1), float(beta2), period), abs=1e-9)
    assert reddi_general_beta.game(period).best == -1


@given(beta1=st.just(Fraction(0)) | BETA, beta2=BETA)
@example(Fraction(9, 10), Fraction(99, 100))
@settings(max_examples=25)
def test_the_construction_holds(beta1: Fraction, beta2: Fraction) -> None:
    assume(float(beta1) < 0.9 * float(beta2) ** 0.5 or beta2 == Fraction(99, 100))
    period = reddi_general_beta.constructed(beta1, beta2)
    share = 1 / (math.sqrt(1 - beta2) * (1 - float(beta1) / math.sqrt(beta2)))
    assert period / 2 > 3 * share
    assert (period**2 - 1) * float(beta2) ** (period // 2) <= 3
    drift = float(reddi_general_beta.climb(beta1, beta2, period))
    assert drift > period / 4 - 1.5 * share > 0  # what the derivation says


@pytest.mark.parametrize(
    ("beta1", "beta2"), [("9/10", "81/100"), ("1/2", "1/5"), ("-1/2", "1/2"), ("0", "1")]
)
@pytest.mark.parametrize("make", [reddi_general_beta.instance, reddi_general_beta.constructed])
def test_betas_that_leave_the_theorem(make: Any, beta1: str, beta2: str) -> None:
    with pytest.raises(ValueError, match=r"Theorem 2 of Reddi .* β1 = .* leave it\.$"):
        make(Fraction(beta1), Fraction(beta2))


def test_moments_that_leave_the_orbit_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reddi_general_beta.replay(9).failure == ""
    honest = Paper.state
    monkeypatch.setattr(Paper, "state", lambda self, name: honest(self, name) * (1 + Fraction(1, 10**9)))
    assert "the exact run is off by" in reddi_general_beta.replay(9).failure


def test_a_drift_that_is_not_upwards_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reddi_general_beta, "instance", lambda beta1, beta2: 2)
    assert "is not upwards" in reddi_general_beta.replay(1).failure


def test_general_beta_ends() -> None:
    for run in judged("reddi-general-beta").runs:
        up = run.method.startswith("Adam") and "β2 =" not in run.method
        assert run.found["x at the end"] == pytest.approx(1 if up else -1, abs=0.02)
        assert (run.found["average regret"] > 2 / 148) or not up
    methods = {run.method for run in judged("reddi-general-beta").runs}
    assert "Adam (ε = 1e-8, β2 = 0.99999)" in methods


# -- many seeds ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_compiled_loop_is_the_paper_and_the_optimizers(method: Method) -> None:
    quick = advance(LOSSES, method, 120, 90)
    players: list[Any] = [(None, None), *method.implementations()]
    for name, make in players:
        slow = Vector(LOSSES, method, 120, make).advance(90)
        assert quick.t == slow.t, name
        assert abs(quick.x - slow.x).max() < 1e-12, name
        assert abs(quick.drift - slow.drift).max() < 1e-12, name


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_a_seed_is_a_game_of_the_harness(method: Method) -> None:
    ids = np.arange(5, dtype=np.uint64)
    rare = np.array([spikes(LOSSES, ids, t) for t in range(1, 61)]).T
    found = advance(LOSSES, method, 5, 60)
    for seed in range(5):
        slopes = tuple(LOSSES.slope if r else Fraction(-1) for r in rare[seed])
        xs = play(Game(slopes, LOSSES.alpha, LOSSES.start), Paper(method, FLOATS, LOSSES.start), 60)
        assert found.x[seed] == pytest.approx([xs[t] for t in found.t], abs=1e-12)


def test_seeds_do_not_depend_on_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = advance(LOSSES, METHODS[0], 130, 200)
    monkeypatch.setattr(seeds, "CHUNK", 7)
    part = advance(LOSSES, METHODS[0], 20, 200)
    assert np.array_equal(whole.x[:20], part.x)
    assert len({tuple(row) for row in whole.x.tolist()}) > 100


def test_slopes_have_the_chance_and_are_independent() -> None:
    draw = Draw(Fraction(4), Fraction(3, 10), Fraction(1), Fraction(0))
    ids = np.arange(4000, dtype=np.uint64)
    rare = np.array([spikes(draw, ids, t) for t in range(1, 101)], dtype=float)
    assert rare.mean() == pytest.approx(0.3, abs=5 * math.sqrt(0.21 / rare.size))
    both = {
        "next step": rare[1:] * rare[:-1],
        "next seed": rare[:, 1:] * rare[:, :-1],
        "next seed, a step before": rare[1:, :-1] * rare[:-1, 1:],
    }
    for which, product_ in both.items():
        assert product_.mean() == pytest.approx(0.09, abs=6 * math.sqrt(0.09 / product_.size)), which
    certain = replace(draw, chance=Fraction(1))
    assert spikes(certain, ids, 1).all()
    assert not spikes(replace(draw, chance=Fraction(0)), ids, 1).any()


def test_without_numba_numpy_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = advance(LOSSES, METHODS[1], 10, 30)
    monkeypatch.setitem(sys.modules, "numba", None)
    seeds.compiled.cache_clear()
    try:
        assert seeds.compiled() is None
        assert abs(advance(LOSSES, METHODS[1], 10, 30).x - compiled.x).max() < 1e-12
    finally:
        monkeypatch.undo()
        seeds.compiled.cache_clear()


# -- Theorem 3 -------------------------------------------------------------------------------------


@given(
    beta1=st.just(Fraction(0)) | BETA,
    beta2=BETA,
    slope=st.integers(2, 400).map(Fraction),
    excess=st.fractions("1/10", 1, max_denominator=10),
)
@example(Fraction(1, 2), Fraction(9, 10), Fraction(160), Fraction(1, 2))
@settings(max_examples=60)
def test_the_expected_step_is_above_the_bound(
    beta1: Fraction, beta2: Fraction, slope: Fraction, excess: Fraction
) -> None:
    assume(beta1**2 < beta2)
    least = float(reddi_stochastic.lower_bound(beta1, beta2, slope, excess))
    chance, expected = float((1 + excess) / (slope + 1)), [0.0] * 8
    for rare in product((True, False), repeat=8):
        weight = math.prod(chance if r else 1 - chance for r in rare)
        m = v = 0.0
        for t, r in enumerate(rare):
            g = float(slope) if r else -1.0
            m = float(beta1) * m + (1 - float(beta1)) * g
            v = float(beta2) * v + (1 - float(beta2)) * g * g
            expected[t] += weight * -m / math.sqrt(v)
    assert min(expected) >= least - 1e-12


@given(beta1=st.just(Fraction(0)) | BETA, beta2=BETA, excess=st.fractions("1/10", 3, max_denominator=10))
@settings(max_examples=40)
def test_an_instance_has_an_upward_step(beta1: Fraction, beta2: Fraction, excess: Fraction) -> None:
    assume(beta1**2 < beta2)
    slope = reddi_stochastic.instance(beta1, beta2, excess)
    assert slope > excess
    assert reddi_stochastic.lower_bound(beta1, beta2, Fraction(slope), excess).lo > 0
    kappa = (1 - float(beta2)) * (1 - float(beta1) / math.sqrt(beta2)) ** 2
    assert slope <= 1 + float(excess) + 2 * (1 + float(excess)) ** 3 / kappa  # the derivation's C
    assert reddi_stochastic.lower_bound(beta1, beta2, Fraction(slope - 1), excess).lo <= 0 or slope <= 5


@pytest.mark.parametrize(
    ("beta1", "beta2", "excess"), [("9/10", "81/100", "1"), ("0", "1/2", "0"), ("-1", "1/2", "1")]
)
def test_what_leaves_theorem_three(beta1: str, beta2: str, excess: str) -> None:
    with pytest.raises(ValueError, match=r"Theorem 3 of Reddi .* leave it\.$"):
        reddi_stochastic.instance(Fraction(beta1), Fraction(beta2), Fraction(excess))


def test_an_expected_step_below_the_bound_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reddi_stochastic.replay(3).failure == ""
    honest = reddi_stochastic.lower_bound
    monkeypatch.setattr(reddi_stochastic, "lower_bound", lambda *at: honest(*at) + 2)
    assert "is below what is proved" in reddi_stochastic.replay(3).failure


def test_the_interval_holds_the_mean() -> None:
    draws = np.random.default_rng(1).beta(0.2, 0.1, (50, 20_000)) * 2 - 1
    mean, found = 2 * 0.2 / 0.3 - 1, [reddi_stochastic.interval(row, -1, 1) for row in draws]
    assert all(low <= mean <= high for low, high in found)
    assert max(high - low for low, high in found) < 0.1
    assert reddi_stochastic.interval(np.array([0.5]), -1, 1) == (-1, 1)
    wide, narrow = (np.ptp(reddi_stochastic.interval(np.full(n, 0.5), -1, 1)) for n in (200, 20_000))
    assert wide > narrow > 0


def test_seeds_end_where_they_should() -> None:
    for run in judged("reddi-stochastic").runs:
        end = -1 if "AMSGrad" in run.method else 1
        assert run.found["mean x at the end"] == pytest.approx(end, abs=0.05)
        assert (run.curve.x.shape[0], run.steps) == (2000, 50_000)
        assert "within" in run.agreement
    adam = [run for run in judged("reddi-stochastic").runs if "AMSGrad" not in run.method]
    assert "proved: at least 0.00086" in adam[0].remark
    assert all("proved for ε = 0 and no correction: at least" in run.remark for run in adam[1:])


def test_seeds_that_end_elsewhere_are_noticed() -> None:
    down = Spread([1], np.full((2000, 1), -1.0), np.full((2000, 1), 0.5))
    assert "not near +1" in reddi_stochastic._claimed(METHODS[0], down, False)[1]
    sinking = Spread([1], np.full((2000, 1), 1.0), np.full((2000, 1), -0.5))
    assert "should be at least" in reddi_stochastic._claimed(METHODS[0], sinking, False)[1]
    remark, failure = reddi_stochastic._claimed(METHODS[0], down, True)
    assert "not near +1" in remark and not failure


# -- AdaBound --------------------------------------------------------------------------------------


def test_adabound_is_adam_while_its_bounds_are_open() -> None:
    slope, alpha = adabound_fails.SLOPE, adabound_fails.ALPHA
    betas = (Fraction(0), 1 / (1 + slope**2))
    adam = Paper(Method(False, "none", betas, Fraction(0)), FLOATS, Fraction(1))
    xs = play(Game((slope, Fraction(-1), Fraction(-1)), alpha, Fraction(1)), adam, 2000)
    for gamma in adabound_fails.GAMMAS:
        bounded, until = adabound_fails.on_paper(gamma, 2000), int(1 / gamma)
        assert bounded[: until + 1] == pytest.approx(xs[: until + 1], abs=1e-12)
        assert bounded[-1] != pytest.approx(xs[-1], abs=1e-12)


def test_a_period_that_begins_elsewhere_is_noticed() -> None:
    xs = [1.0, 0.5, 0.7, 1.0, 0.6, 0.8, 1.0]
    assert adabound_fails._claimed("it", xs, 6, True)[1] == ""
    assert "begins at 0.9" in adabound_fails._claimed("it", [*xs[:-1], 0.9], 6, True)[1]
    assert "not near -1" in adabound_fails._claimed("it", xs, 6, False)[1]


def test_a_regret_below_the_bound_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert adabound_fails.replay(60).failure == ""
    monkeypatch.setattr(adabound_fails, "BEYOND", 45)
    assert "not certainly above the bound" in adabound_fails.replay(60).failure


def test_the_box_clamps_after_each_step() -> None:
    def sgd(params: list[Any]) -> torch.optim.Optimizer:
        return torch.optim.SGD(params, lr=1.0)

    path = feed(sgd, [0.5], lambda x, t: [-2.0 if t == 1 else 0.25], 3, box=(-1.0, 1.0))
    assert path == [[0.5], [1.0], [0.75], [0.5]]


def test_adabound_ends() -> None:
    for run in judged("adabound-fails").runs:
        end = -1 if "AdaBound" in run.method else 1
        assert run.found["x at the end"] == pytest.approx(end, abs=0.05)
    assert find("adabound-fails").refutes == ("adabound-rate-monotone", "adabound-regret")


# -- the two-cycle ---------------------------------------------------------------------------------


def test_an_exact_run_that_leaves_the_orbit_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert adam_limit_cycle.replay(5).failure == ""
    honest = adam_limit_cycle.swing
    monkeypatch.setattr(
        adam_limit_cycle, "swing", lambda beta1: honest(beta1) * (1 + Fraction(1, 10**9))
    )
    assert "leaves x_t = (-1)^t X" in adam_limit_cycle.replay(5).failure


def test_fates_that_are_not_as_claimed_are_noticed() -> None:
    fresh, near, default = adam_limit_cycle.SETTINGS
    swings = [(-1.0) ** t for t in range(3000)]
    rests, bursts = [0.0] * 3000, [5.0 if t % 400 == 0 else 1e-3 for t in range(3000)]
    for setting in (fresh, near):
        assert not adam_limit_cycle._claimed(setting, swings)[1]
        for other in (rests, bursts, [1.0] * 3000):
            assert "should swing at 1" in adam_limit_cycle._claimed(setting, other)[1]
    assert "bursts 7 times" not in adam_limit_cycle._claimed(default, swings)[0]
    assert not adam_limit_cycle._claimed(default, bursts)[1]
    for other in (rests, swings):
        assert "no bursts" in adam_limit_cycle._claimed(default, other)[1]


def test_the_default_betas_leave_and_burst() -> None:
    runs = judged("adam-limit-cycle").runs
    assert len(runs) == 9
    for run in runs:
        if "0.9, 0.999" in run.method:
            assert "leaves the orbit by step 50, and bursts" in run.remark
            assert run.found["highest, second half"] > 2 > 1e-2 > run.found["lowest, second half"]
        else:
            assert run.found["|x|/X at the end"] == pytest.approx(1, abs=2e-3)


def test_a_real_optimizer_placed_on_the_orbit_swings_exactly() -> None:
    setting = replace(adam_limit_cycle.SETTINGS[1], start=Fraction(1))
    for name, make in adam_limit_cycle.method(setting.betas, late=False).implementations():
        path = adam_limit_cycle._real(make, setting, 100, "cpu")
        x = float(adam_limit_cycle.swing(setting.betas[0]))
        assert path == pytest.approx([x * (-1) ** t for t in range(101)], rel=1e-12), name


def test_paper_begins_with_the_state_it_is_given() -> None:
    adam = Method(False, "none", (Fraction(1, 2), Fraction(1, 2)), Fraction(0))
    paper = Paper(adam, FLOATS, Fraction(0), {"exp_avg": Fraction(3), "exp_avg_sq": Fraction(7)})
    paper.step(1.0, 1.0)
    assert (paper.state("exp_avg"), paper.state("exp_avg_sq")) == (2.0, 4.0)
    assert paper.x == -1.0


def test_guests_of_the_parabola_use_its_rate() -> None:
    setting = adam_limit_cycle.SETTINGS[0]
    path = adam_limit_cycle._real(lambda p: torch.optim.SGD(p, lr=9.0), setting, 1, "cpu", known=False)
    assert path[1] == pytest.approx(path[0] * (1 - 0.01))
    assert Real(lambda p: torch.optim.SGD(p, lr=9.0), Fraction(1)).x == 1.0
