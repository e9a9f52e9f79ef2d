"""Studies: on rows that are made up, so that what is true is known, each says what is true.

The rows are as `training` and `edge` would return them, with an effect put in for one method, none for
another; one test trains for real.
"""

import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adamproof.experiments import edge_of_stability, l2_vs_decay, statistics
from adamproof.experiments.comparison import SCALES, Runs, Scale
from adamproof.experiments.l2_vs_decay import interaction
from adamproof.experiments.methods import METHODS
from adamproof.experiments.registry import UnknownNameError
from adamproof.experiments.spec import Job, Spec, batches, number
from adamproof.experiments.studies import studies
from adamproof.experiments.study import Finding, Outcome, Study, Table
from adamproof.experiments.tasks import TASKS
from adamproof.experiments.training import LEVELS

ALL = studies()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Resample seldom, and leave the other core to the other tests."""
    monkeypatch.setattr(statistics, "RESAMPLES", 499)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def noise(spec: Spec, name: str, shared: bool = False) -> float:
    """Return a number like a standard normal one: the same for all methods of a seed if it is shared."""
    text = f"{spec.task} {spec.seed} {name}" + ("" if shared else f" {spec.method} {spec.options}")
    return float(np.random.default_rng(zlib.crc32(text.encode())).normal())


def made(spec: Spec, sharper: float = 0.0, invariant: float = 0.0, worse: float = 0.0) -> dict[str, Any]:
    """Return a row of training: Adam is sharper, by factors, and worse, by points, than the rest."""
    adam = spec.method == "adam"
    best = METHODS[spec.method].centre if spec.method in METHODS else -5
    far = abs(2 * math.log10(number(spec.text["lr"])) - best)
    error = 5 + noise(spec, "error", True) + 0.1 * noise(spec, "error") + worse * adam
    chance = spec.task == "digits-permuted"
    sharp = math.exp(noise(spec, "sharp", True) + 0.02 * noise(spec, "sharp") + sharper * adam)
    sharp *= 0.5 if spec.method == "sam" else 1
    weighted = math.exp(noise(spec, "inv", True) + 0.02 * noise(spec, "inv") + invariant * adam)
    row: dict[str, Any] = {
        "train_error": 1.0, "test_error": 90 + noise(spec, "c") if chance else error, "diverged": 0,
        "validation_loss": 0.1 + 0.05 * far + 0.001 * noise(spec, "v"), "train_loss": 0.01,
        "early_loss": math.exp(-1.0 * adam + 0.05 * noise(spec, "early")), "roughness": 0.1,
        "update_cosine": 0.5, "distance": 10.0,
        "oscillation": math.exp(0.05 * noise(spec, "o")) * (1e-3 if "anneal" in spec.text else 1.0),
        "lambda_max": sharp, "invariant": weighted,
    }  # fmt: skip
    for level in LEVELS:
        row |= {f"lambda_max@{level}": sharp, f"invariant@{level}": weighted, f"epoch@{level}": 5}
    return row


def settled(study: Study, row: Callable[[Spec], dict[str, Any]], size: str = "small") -> Table:
    """Return the table that the plan ends with."""
    known: dict[Spec, dict[str, Any]] = {}
    for _ in range(10):
        new = [spec for spec in study.plan(Table(known), size) if spec not in known]
        if not new:
            return Table(known)
        known |= {spec: row(spec) for spec in new}
    raise AssertionError("the plan does not end")


def verdicts(found: list[Finding], belief: str) -> set[Outcome]:
    chosen = {finding.outcome for finding in found if finding.belief == belief}
    assert chosen
    return chosen


SHARPER = "adam stands at a sharper point than momentum"


@pytest.mark.parametrize(
    "sharper, invariant, outcome",
    [
        (1.0, 1.0, Outcome.SUPPORTED),
        (-1.0, -1.0, Outcome.CONTRADICTED),
        (1.0, -1.0, Outcome.METRIC_DEPENDENT),
        (1.0, 0.0, Outcome.METRIC_DEPENDENT),
        (0.0, 0.0, Outcome.NO_DIFFERENCE),
    ],
)
def test_sharper_is_said_when_both_metrics_say_it(
    sharper: float, invariant: float, outcome: Outcome
) -> None:
    study = ALL["sharp-vs-flat"]
    table = settled(study, lambda spec: made(spec, sharper, invariant))
    found = list(study.conclude(table, "small"))
    assert verdicts(found, SHARPER) == {outcome}
    assert verdicts(found, "adamw stands at a sharper point than momentum") == {Outcome.NO_DIFFERENCE}
    assert all(control.passed for control in study.control(table, "small"))


@pytest.mark.parametrize(
    "worse, outcome",
    [(2.0, Outcome.SUPPORTED), (-2.0, Outcome.CONTRADICTED), (0.0, Outcome.NO_DIFFERENCE)],
)
def test_the_gap_is_found_where_it_is(worse: float, outcome: Outcome) -> None:
    study = ALL["generalization-gap"]
    found = list(study.conclude(settled(study, lambda spec: made(spec, worse=worse)), "small"))
    assert verdicts(found, "adam has a larger test error than momentum") == {outcome}
    assert verdicts(found, "adamw has a larger test error than momentum") == {Outcome.NO_DIFFERENCE}


def test_sharpness_that_tells_the_gap_is_seen() -> None:
    def row(spec: Spec) -> dict[str, Any]:
        there = made(spec)
        return there | {"test_error": 5 + math.log(there["lambda_max"])}

    study = ALL["generalization-gap"]
    found = {(f.belief, f.where): f for f in study.conclude(settled(study, row), "small")}
    told = [f for (belief, where), f in found.items() if "flatter" in belief and "lambda_max" in where]
    assert len(told) == 2
    assert all(f.effect > 0.99 for f in told)


def test_the_first_ten_epochs() -> None:
    study = ALL["early-speed"]
    found = list(study.conclude(settled(study, made), "small"))
    said = "has the smaller training loss after ten epochs than momentum"
    assert verdicts(found, f"adam {said}") == {Outcome.SUPPORTED}
    assert verdicts(found, f"adamw {said}") == {Outcome.NO_DIFFERENCE}
    assert verdicts(found, "under adam the training loss rises less than under momentum") == {
        Outcome.NO_DIFFERENCE
    }


def test_annealing_calms() -> None:
    study = ALL["memory-and-jitter"]
    found = list(study.conclude(settled(study, made), "small"))
    assert verdicts(found, "annealing calms adam") == {Outcome.SUPPORTED}
    assert verdicts(found, "consecutive steps of adam are less alike than those of momentum") == {
        Outcome.NO_DIFFERENCE
    }


@pytest.mark.parametrize(
    "ratio, outcome",
    [
        (1.02, Outcome.SUPPORTED),
        (1.145, Outcome.INCONCLUSIVE),
        (2.0, Outcome.CONTRADICTED),
        (0.5, Outcome.CONTRADICTED),
    ],
)
def test_settling_at_the_edge(ratio: float, outcome: Outcome) -> None:
    def row(spec: Spec) -> dict[str, Any]:
        return {"ratio": ratio * math.exp(0.03 * noise(spec, "r")), "diverged": 0}

    study = ALL["edge-of-stability"]
    found = study.conclude(settled(study, row), "small")
    assert {finding.outcome for finding in found} == {outcome}


def test_a_grid_that_is_a_sum_does_not_interact() -> None:
    study = ALL["l2-vs-decay"]

    def row(spec: Spec) -> dict[str, Any]:
        rate = l2_vs_decay.RATES.index(spec.text["lr"])
        form = next(f for f in l2_vs_decay.FORMS if f.method == spec.method)
        decay = form.decays.index(spec.text["optimizer.weight_decay"])
        together = (rate - 2) * (decay - 2) if spec.method == "adam-l2" else 0
        return {"diverged": 0, "test_error": 10 + rate + decay + together + 0.01 * noise(spec, "g")}

    found = list(study.conclude(settled(study, row), "small"))
    assert [f.outcome for f in found] == [Outcome.SUPPORTED, Outcome.SUPPORTED, Outcome.NO_DIFFERENCE]
    assert interaction(np.ones((3, 3))) == 0


def test_a_run_that_diverged_is_counted_and_left_out() -> None:
    def row(spec: Spec) -> dict[str, Any]:
        lost = spec.method == "adam" and spec.seed == 3
        return made(spec, 1.0, 1.0) | ({"diverged": 2} if lost else {})

    study = ALL["sharp-vs-flat"]
    found = [f for f in study.conclude(settled(study, row), "small") if f.belief == SHARPER]
    assert all(f.runs == SCALES["small"].seeds - 1 for f in found)
    assert all("1 of 12 pairs have no value" in f.note for f in found)


def test_controls_can_fail() -> None:
    study = ALL["sharp-vs-flat"]

    def other_stream(spec: Spec) -> dict[str, Any]:
        shift = 3 * ("stream" in spec.text)
        row = made(spec)
        return row | {"test_error": row["test_error"] + shift}

    def learned(spec: Spec) -> dict[str, Any]:
        return made(spec) | ({"test_error": 50.0} if spec.task == "digits-permuted" else {})

    def sharp_sam(spec: Spec) -> dict[str, Any]:
        row = made(spec)
        return row | {"lambda_max": row["lambda_max"] * (4 if spec.method == "sam" else 1)}

    for row, name in ((other_stream, "A/A"), (learned, "shuffled"), (sharp_sam, "SAM")):
        failed = [c.name for c in study.control(settled(study, row), "small") if not c.passed]
        assert failed and all(name in text for text in failed)


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_picture_is_drawn(name: str, tmp_path: Path) -> None:
    study = ALL[name]

    def row(spec: Spec) -> dict[str, Any]:
        return (
            {"ratio": 1 + 0.1 * noise(spec, "r"), "diverged": 0}
            if spec.measure == "edge"
            else made(spec)
        )

    paths = study.draw(settled(study, row), "small", tmp_path)
    assert paths
    assert all(path.read_bytes()[1:4] == b"PNG" for path in paths)
    assert {path.name for path in paths} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("name", sorted(ALL))
@pytest.mark.parametrize("size", ["small", "default", "large"])
def test_plans_name_what_exists_and_pair_the_seeds(name: str, size: str) -> None:
    specs = ALL[name].plan(Table({}), size)
    assert {spec.task for spec in specs} <= set(TASKS)
    assert {spec.method for spec in specs} <= set(METHODS)
    assert {spec.measure for spec in specs} <= set(ALL[name].measures)
    assert len(set(specs)) == len({spec.key for spec in specs})
    assert all(len({spec.seed for spec in batch}) == len(batch) for batch in batches(specs))
    assert all(ALL[name].beliefs)


def test_an_unknown_name_and_no_seeds_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="no method 'adan'; the nearest is 'adam'"):
        Scale(("digits-clean",), ("adan",), 1, 1, 1, 3, 1)
    with pytest.raises(UnknownNameError, match="no task 'digits'"):
        Scale(("digits",), ("adam",), 1, 1, 1, 3, 1)
    with pytest.raises(ValueError, match="no seeds"):
        Scale(("digits-clean",), ("adam",), 1, 0, 1, 3, 1)


def test_gradient_descent_really_settles_at_the_edge() -> None:
    options = (("rule", "gradient descent"), ("beta", "0"), ("lr", "1/2"), ("steps", "400"))
    specs = tuple(Spec("edge", "digits-squares", "sgd", seed, options) for seed in range(2))
    job = Job(edge_of_stability.edge, TASKS["digits-squares"], METHODS["sgd"], specs)
    rows = edge_of_stability.edge(job)
    assert all(0.98 < float(row["ratio"] or 0) < 1.3 for row in rows)
    assert all(float(row["loss"] or 1) < 0.2 for row in rows)


def test_the_plan_goes_from_tuning_to_evaluation() -> None:
    runs = Runs(SCALES["small"])
    first = runs.plan(Table({}))
    assert all(spec.text["lr"] != "1/1000" or spec.seed < 100_000 for spec in first)
    table = settled(ALL["sharp-vs-flat"], made)
    assert runs.rate(table, "digits-clean", "adam", "tuned") == "10^-5/2"
    assert runs.rate(table, "digits-clean", "adam", "published") == "1/1000"
    with pytest.raises(LookupError, match="not tuned"):
        runs.rate(Table({}), "digits-clean", "adam", "tuned")
