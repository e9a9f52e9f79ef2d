"""Tuning: it finds the least of any curve, extends at the edge, and says when it stayed there."""

import math

from hypothesis import given
from hypothesis import strategies as st

from adamproof.experiments.spec import Spec, number
from adamproof.experiments.study import Table
from adamproof.experiments.tuning import EXTENSIONS, TUNING_SEEDS_FROM, Tuned, tune


def settle(optimum: float, diverges: float = math.inf) -> tuple[Tuned, set[Spec]]:
    """Tune where the loss is the distance of the rate to the best one, in half decades."""
    known: dict[Spec, dict[str, float]] = {}
    while True:
        found = tune(Table(known), "task", "method", -5, seeds=2)
        new = [spec for spec in found.specs if spec not in known]
        if not new:
            return found, set(known)
        for spec in new:
            half_decades = 2 * math.log10(number(spec.text["lr"]))
            loss = abs(half_decades - optimum) + 0.01 * (spec.seed % 2)
            known[spec] = {"validation_loss": loss, "diverged": float(half_decades > diverges)}


@given(st.integers(-12, 2))
def test_the_best_is_found_also_beyond_the_first_grid(optimum: int) -> None:
    found, runs = settle(optimum)
    assert found.best == f"10^{optimum}/2"
    assert not found.on_edge
    assert len(runs) == 2 * found.tried
    assert found.tried == 7 if -8 < optimum < -2 else found.tried > 7


def test_an_edge_that_stays_is_said() -> None:
    found, _ = settle(100)
    assert found.on_edge
    assert found.tried == 7 + 2 * EXTENSIONS


def test_a_rate_that_diverges_is_not_the_best() -> None:
    assert settle(-4, diverges=-5)[0].best == "10^-5/2"


def test_tuning_seeds_are_no_evaluation_seeds() -> None:
    assert all(spec.seed >= TUNING_SEEDS_FROM for spec in settle(-5)[1])
