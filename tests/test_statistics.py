"""Statistics: against cases worked by hand, closed forms, and their rates of error in simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from adamproof.experiments import statistics
from adamproof.experiments.statistics import (
    Comparison,
    bootstrap,
    compare,
    decide,
    equivalence,
    holm,
    sign_flip,
    tau,
    together,
)
from adamproof.experiments.study import Outcome

DIFFERENCES = arrays(np.float64, st.integers(2, 9), elements=st.integers(-50, 50).map(float))


@given(DIFFERENCES)
def test_sign_flip_counts_all_signs(d: np.ndarray) -> None:
    signs = np.array(list(itertools.product([1, -1], repeat=len(d))))
    means = signs @ d / len(d)
    low = (means <= d.mean() + 1e-9).mean()
    high = (means >= d.mean() - 1e-9).mean()
    assert sign_flip(d) == pytest.approx(min(1, 2 * min(low, high)))


def test_bootstrap_is_close_to_the_t_interval_of_normal_data() -> None:
    d = np.random.default_rng(1).normal(3, 2, size=200)
    low, high = bootstrap(d)
    wanted = stats.t.interval(0.95, 199, d.mean(), stats.sem(d))
    assert (low, high) == pytest.approx(wanted, abs=0.05)


def test_an_interval_covers_at_its_rate_and_an_a_a_test_rejects_at_its_level(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(statistics, "RESAMPLES", 499)
    draw = np.random.default_rng(2)
    samples = [draw.exponential(size=40) - draw.exponential(size=40) for _ in range(300)]
    inside = [low <= 0 <= high for low, high in map(bootstrap, samples)]
    rejected = [sign_flip(d) < 0.05 for d in samples]
    assert 0.90 < np.mean(inside) < 0.985
    assert 0.01 < np.mean(rejected) < 0.10


def test_equivalence_needs_both_sides() -> None:
    d = np.random.default_rng(3).normal(0, 0.1, size=40)
    assert equivalence(d, 0.5) < 1e-6
    assert equivalence(d + 0.6, 0.5) > 0.9
    assert equivalence(d - 0.6, 0.5) > 0.9


def test_equivalence_is_that_of_statsmodels() -> None:
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    d = np.random.default_rng(4).normal(0.2, 0.7, size=25)
    assert equivalence(d, 0.5) == pytest.approx(weightstats.DescrStatsW(d).ttost_mean(-0.5, 0.5)[0])


def test_holm_is_that_of_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(5).uniform(size=30) ** 3
    assert holm(list(p)) == pytest.approx(list(multitest.multipletests(p, method="holm")[1]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_monotone_and_not_below_p(p: list[float]) -> None:
    corrected = holm(p)
    assert all(q >= min(1, a) - 1e-9 for q, a in zip(corrected, p, strict=True))
    assert min(corrected) == pytest.approx(min(1, len(p) * min(p)), abs=1e-9)
    order = np.argsort(p, kind="stable")
    assert list(np.array(corrected)[order]) == sorted(corrected)


def test_differences_that_are_not_finite_are_left_out() -> None:
    d = [1.0, 2.0, math.nan, 3.0, math.inf]
    assert compare(d, 0.5).pairs == 3
    assert compare(d, 0.5).effect == 2.0
    assert compare([], 0.5).pairs == 0


def test_differences_that_do_not_vary() -> None:
    same = compare([0.0] * 20, 0.5)
    assert (same.effect, same.interval, same.p, same.p_equivalent) == (0, (0, 0), 1, 0)
    assert compare([1.0] * 20, 0.5).p < 1e-5
    assert compare([1.0] * 20, 0.5).p_equivalent == 1


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan])
def test_a_margin_is_positive(margin: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        compare([1.0, 2.0], margin)


@pytest.mark.parametrize(
    "effect, p, same, pairs, outcome",
    [
        (1.0, 0.01, 0.9, 40, Outcome.SUPPORTED),
        (-1.0, 0.01, 0.9, 40, Outcome.CONTRADICTED),
        (1.0, 0.20, 0.9, 40, Outcome.INCONCLUSIVE),
        (0.1, 0.01, 0.01, 40, Outcome.NO_DIFFERENCE),
        (1.0, 0.01, 0.9, 9, Outcome.INCONCLUSIVE),
    ],
)
def test_what_is_decided(effect: float, p: float, same: float, pairs: int, outcome: Outcome) -> None:
    assert decide(Comparison(effect, (0, 0), p, same, pairs), p, same) == outcome


def test_sharper_needs_both_metrics() -> None:
    yes, no, none = Outcome.SUPPORTED, Outcome.CONTRADICTED, Outcome.INCONCLUSIVE
    assert together(yes, yes) == yes
    assert together(no, no) == no
    assert together(yes, no) == Outcome.METRIC_DEPENDENT
    assert together(yes, none) == Outcome.METRIC_DEPENDENT
    assert together(Outcome.NO_DIFFERENCE, none) == none


def test_tau_of_what_is_finite() -> None:
    assert tau([1, 2, 3, math.nan], [10, 20, 30, 0]) == 1
    assert tau([1, 2, 3], [3, 2, 1]) == -1
    assert math.isnan(tau([1, 2], [1, 2]))
    assert math.isnan(tau([1, 1, 1], [1, 2, 3]))
