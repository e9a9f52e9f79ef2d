"""Skipping what repeats: bit for bit the plain recurrence, and the real optimizer."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adamproof.counterexamples import recurrence, reddi_period, skip
from adamproof.counterexamples.harness import Game, Method, play
from adamproof.counterexamples.players import Real
from adamproof.counterexamples.recurrence import Recurrence, ieee_roots, torch_roots
from adamproof.counterexamples.skip import Skip

METHODS = reddi_period.methods()
ADAM = METHODS[1]
UNIT = st.sampled_from(["0", "1/10", "1/2", "9/10", "99/100"]).map(Fraction)
GAMES = st.builds(
    Game,
    gradients=st.lists(st.fractions(-100, 100, max_denominator=30).filter(bool), min_size=1, max_size=7)
    .map(tuple),
    alpha=st.sampled_from(["1/1000", "1/10", "1", "10"]).map(Fraction),
    start=st.fractions(-2, 2, max_denominator=7),
    low=st.fractions(-2, 0, max_denominator=3),
    high=st.fractions("1/3", 2, max_denominator=3),
    decay=st.booleans(),
)  # fmt: skip
RULES = st.builds(
    lambda kind, betas, eps: Method(*kind, betas, eps),
    st.sampled_from([(m.amsgrad, m.correction) for m in METHODS]),
    st.tuples(UNIT, UNIT),
    st.sampled_from([Fraction(0), Fraction("1e-8")]),
)


def bits(values: Any) -> bytes:
    return np.array(values).tobytes()


def both(game: Game, method: Method, fused: bool = False, on: bool = True) -> tuple[Skip, Recurrence]:
    kinds = (Skip, Recurrence)
    quick, plain = (
        kind(game, method, fused=fused, roots=ieee_roots, compile_loops=on) for kind in kinds
    )
    assert isinstance(quick, Skip)
    return quick, plain


@given(GAMES, RULES, st.booleans(), st.lists(st.integers(1, 9000), min_size=1, max_size=4), st.data())
@settings(max_examples=150, deadline=None)
def test_every_step_is_bitwise_that_of_the_recurrence(
    game: Game, method: Method, fused: bool, pieces: list[int], data: st.DataObject
) -> None:
    quick, plain = both(game, method, fused)
    for steps in pieces:
        expected = plain.advance(steps)
        if data.draw(st.booleans(), "jump"):
            assert bits(quick.jump(steps)) == bits(expected[-1])
        else:
            assert bits(quick.advance(steps)) == bits(expected)
        assert quick.t == plain.t and bits(quick.x) == bits(plain.x)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
@pytest.mark.parametrize("decay", [True, False])
def test_a_long_run_skips_and_is_the_same(method: Method, decay: bool) -> None:
    quick, plain = both(replace(reddi_period.game(), decay=decay), method)
    for steps in (70_000, 65_536):
        assert bits(quick.advance(steps)) == bits(plain.advance(steps))
    assert quick._moves is not None
    assert (quick._places is not None) == (not decay)
    assert bits(quick.jump(77)) == bits(plain.advance(77)[-1])


def test_both_ends_meet_where_the_recurrence_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    quick, plain = both(replace(reddi_period.game(), alpha=Fraction(2)), ADAM)
    expected = plain.advance(400_000)[-1]
    quick.advance(10_000)
    monkeypatch.setattr(quick, "_some", lambda most: pytest.fail("took steps one by one"))
    assert bits(quick.jump(390_000)) == bits(expected)


def test_ends_that_do_not_meet_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skip, "ROOM", 0.5)  # too little
    quick, plain = both(replace(reddi_period.game(), alpha=Fraction(2)), ADAM)
    assert bits(quick.jump(400_000)) == bits(plain.advance(400_000)[-1])


def test_no_cycle_is_found_before_there_is_one() -> None:
    slow = Method(False, "corrected", (Fraction(9, 10), Fraction(9999, 10000)), Fraction(0))
    quick, plain = both(reddi_period.game(), slow)
    assert bits(quick.advance(50_000)) == bits(plain.advance(50_000))
    assert quick._moves is None
    assert bits(quick.jump(500)) == bits(plain.advance(500)[-1])


@pytest.mark.parametrize("period", [1, 2, 3, 5, 7])
def test_nothing_repeats_before_the_corrections_are_1(period: int) -> None:
    """Where v stands still by rounding, a sixth of the time before its correction is exactly 1."""
    method = Method(False, "corrected", (Fraction(0), Fraction(999, 1000)), Fraction(0))
    wide = Game((Fraction(1),) * period, Fraction(1), Fraction(0), Fraction(-1000), Fraction(1000))
    quick, plain = both(wide, method)
    assert bits(quick.advance(40_000)) == bits(plain.advance(40_000))


@given(st.lists(st.floats(width=16), max_size=20), st.floats(-2, 2))
@example([float("nan"), 0.5, float("inf"), -0.25, float("-inf")], 0.0)
def test_branches_clamp_as_min_and_max_do(push: list[float], x: float) -> None:
    expected, at = [], x
    for step in push:
        at = min(1.0, max(-1.0, at + step))
        expected.append(at)
    for walk in (recurrence.walk, recurrence._kernels()[1]):
        out = np.empty(len(push))
        assert bits(walk(x, np.array(push), -1.0, 1.0, out)) == bits(at)
        assert bits(out) == bits(expected)


def test_without_numba_it_skips_as_well() -> None:
    for decay in (True, False):
        quick, plain = both(replace(reddi_period.game(), decay=decay), ADAM, on=False)
        assert bits(quick.advance(12_000)) == bits(plain.advance(12_000))
        assert quick._moves is not None
        assert bits(quick.jump(100)) == bits(plain.advance(100)[-1])


@pytest.mark.parametrize("decay", [True, False])
def test_the_real_optimizer_takes_the_same_steps(decay: bool) -> None:
    """Beyond the prefix that ``reproduce`` compares: until after the moments repeat."""
    game = replace(reddi_period.game(), decay=decay)
    (_, make), *_ = ADAM.implementations()
    real = play(game, Real(make, game.start), 8000)[1:]
    found = []
    for fused in (True, False):
        run = Skip(game, ADAM, fused=fused, roots=torch_roots)
        found.append(bits(run.advance(8000)))
        assert run._moves is not None and run._moves.since < 7000
    assert bits(real) in found
