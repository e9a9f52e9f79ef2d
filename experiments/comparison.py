"""The runs that sharp-vs-flat and generalization-gap share: every method, published and tuned.

Tuning first; then the evaluation seeds at the published learning rate and at the tuned one; then, within
each method, half decades around the tuned rate, so that the relation of sharpness to the gap can be
looked at within an optimizer and not only between them.  The control runs are part of the plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from .methods import METHODS
from .metrics import METRICS
from .spec import Row, Spec
from .statistics import FEWEST, LEVEL, Comparison, compare, decide, holm
from .study import Control, Finding, Outcome, Size, Table
from .tasks import TASKS
from .training import Training
from .tuning import Tuned, tune
from .tuning import rate as rate_of

MATCHED = "lambda_max+invariant"
"""What is measured where the training loss crosses a level."""

REFERENCE = "momentum"
"""What every method is compared with: SGD with momentum."""

PUBLISHED, TUNED = SETTINGS = ("published", "tuned")


@dataclass(frozen=True)
class Scale:
    """How much is run.

    Attributes:
        tasks: Names of tasks.
        methods: Names of methods.
        epochs: Of every run.
        seeds: Evaluation seeds for each method and setting.
        tuning_seeds: Seeds for each learning rate in tuning.
        points: Learning rates in tuning, before any extension.
        within: Seeds for each learning rate around the tuned one.
        metrics: Names of the metrics at the end.
    """

    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    epochs: int
    seeds: int
    tuning_seeds: int
    points: int
    within: int
    metrics: tuple[str, ...] = ("lambda_max", "invariant", "curvature", "rise", "norms")

    def __post_init__(self) -> None:
        if self.seeds < 1 or self.tuning_seeds < 1:
            raise ValueError("no seeds: a study needs at least one to tune and one to evaluate.")
        for task in self.tasks:
            TASKS[task]
        for method in self.methods:
            METHODS[method]
        for metric in self.metrics:
            METRICS[metric]


_EVERYTHING = (
    "momentum", "sgd", "adam", "adamw", "rmsprop", "signum", "amsgrad", "radam", "adabelief", "adabound",
    "adam-then-sgd", "sam", "full-batch",
)  # fmt: skip
_FEW = ("momentum", "sgd", "adam", "adamw", "sam")

SCALES: dict[Size, Scale] = {
    "small": Scale(("digits-clean",), _FEW, 20, 12, 2, 5, 4),
    "default": Scale(("digits-clean", "digits-noisy", "synthetic-fresh"), _EVERYTHING, 40, 40, 3, 7, 10),
    "large": Scale(
        ("digits-clean", "digits-noisy", "digits-relu", "synthetic-fresh"),
        _EVERYTHING,
        100,
        200,
        10,
        9,
        40,
    ),
}


@dataclass(frozen=True)
class Runs:
    """The plan of one scale, and the ways its rows are read.

    >>> runs = Runs(SCALES["small"])
    >>> wanted = runs.plan(Table({}))
    >>> sorted({spec.text["lr"] for spec in wanted if spec.method == "adam" and spec.seed >= 100_000})
    ['10^-3/2', '10^-4/2', '10^-5/2', '10^-6/2', '10^-7/2']
    """

    scale: Scale
    measures: dict[str, Training] = field(default_factory=lambda: {"training": Training(METRICS)})

    # -- what is run -------------------------------------------------------------------------------

    def plan(self, table: Table) -> list[Spec]:
        """Return every run wanted, given what is known."""
        specs: list[Spec] = []
        for task in self.scale.tasks:
            for method in self.scale.methods:
                tuned = self.tuned(table, task, method)
                specs += [*tuned.specs, *self.evaluation(task, method, METHODS[method].default)]
                if tuned.best is not None:
                    specs += self.evaluation(task, method, tuned.best)
                    for rate in around(tuned.best):
                        specs += self.within(task, method, rate)
            specs += self.again(task)
        specs += self.permuted()
        return specs

    def tuned(self, table: Table, task: str, method: str) -> Tuned:
        """Return what tuning wants and has found."""
        scale = self.scale
        return tune(
            table, task, method, METHODS[method].centre, points=scale.points, seeds=scale.tuning_seeds,
            options=(("epochs", str(scale.epochs)),),
        )  # fmt: skip

    def evaluation(self, task: str, method: str, rate: str, stream: str = "") -> list[Spec]:
        """Return the evaluation runs of a method at a learning rate."""
        options = [
            ("lr", rate), ("epochs", str(self.scale.epochs)),
            ("metrics", "+".join(self.scale.metrics)), ("matched", MATCHED),
        ]  # fmt: skip
        options += [("stream", stream)] if stream else []
        return [Spec("training", task, method, s, tuple(options)) for s in range(self.scale.seeds)]

    def within(self, task: str, method: str, rate: str) -> list[Spec]:
        """Return the runs at a learning rate beside the tuned one."""
        options = (("lr", rate), ("epochs", str(self.scale.epochs)), ("metrics", MATCHED))
        return [Spec("training", task, method, s, options) for s in range(self.scale.within)]

    def again(self, task: str) -> list[Spec]:
        """Return the reference on another minibatch stream: a control that must show nothing."""
        return self.evaluation(task, REFERENCE, METHODS[REFERENCE].default, stream="1")

    def permuted(self) -> list[Spec]:
        """Return runs on shuffled labels: a control that must end at chance."""
        options = (("lr", METHODS[REFERENCE].default), ("epochs", str(self.scale.epochs)))
        seeds = range(self.scale.seeds)
        return [Spec("training", "digits-permuted", REFERENCE, seed, options) for seed in seeds]

    # -- how it is read ----------------------------------------------------------------------------

    def rate(self, table: Table, task: str, method: str, setting: str) -> str:
        """Return the learning rate of a setting, as exact text.

        Raises:
            LookupError: Tuning is not complete.
        """
        if setting == PUBLISHED:
            return METHODS[method].default
        best = self.tuned(table, task, method).best
        if best is None:
            raise LookupError(f"{method} is not tuned on {task} yet: run the study to its end.")
        return best

    def rows(self, table: Table, task: str, method: str, setting: str) -> list[Row]:
        """Return the rows of a method in a setting, by seed; every one must be known."""
        rate = self.rate(table, task, method, setting)
        return [table[spec] for spec in self.evaluation(task, method, rate)]

    def differences(
        self, table: Table, task: str, setting: str, pair: tuple[str, str], read: Callable[[Row], float]
    ) -> list[float]:
        """Return what `read` says of the first method less that of the second, by seed."""
        first, second = (self.rows(table, task, method, setting) for method in pair)
        return less(first, second, read)

    def values(
        self, table: Table, task: str, read: Callable[[Row], float]
    ) -> dict[tuple[str, str], list[float]]:
        """Return what `read` says of every method in every setting, by seed."""
        return {
            (method, setting): [read(row) for row in self.rows(table, task, method, setting)]
            for method in self.scale.methods
            for setting in SETTINGS
        }

    def settings(self, pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], str, str]]:
        """Yield each pair of methods that is run, with each task and setting."""
        shown = [pair for pair in pairs if set(pair) <= set(self.scale.methods)]
        yield from product(shown, self.scale.tasks, SETTINGS)


def less(first: Sequence[Row], second: Sequence[Row], read: Callable[[Row], float]) -> list[float]:
    """Return what `read` says of the first rows less that of the second, one by one."""
    return [read(a) - read(b) for a, b in zip(first, second, strict=True)]


def around(rate: str) -> list[str]:
    """Return the two half decades below and the two above an exact rate.

    >>> around("10^-5/2")
    ['10^-7/2', '10^-6/2', '10^-4/2', '10^-3/2']
    """
    exponent = int(rate.removeprefix("10^").removesuffix("/2"))
    return [rate_of(exponent + k) for k in (-2, -1, 1, 2)]


def value(name: str) -> Callable[[Row], float]:
    """Return a function that reads a measured value; NaN where a run has none."""

    def read(row: Row) -> float:
        found = row.get(name)
        return math.nan if found is None or row["diverged"] else float(found)

    return read


def logarithm(name: str) -> Callable[[Row], float]:
    """Return a function that reads the logarithm of a positive value; NaN where it is not."""

    def read(row: Row) -> float:
        found = value(name)(row)
        return math.log(found) if found > 0 else math.nan

    return read


def gap(row: Row) -> float:
    """Return test error less training error, in percentage points; NaN where a run has none."""
    return value("test_error")(row) - value("train_error")(row)


@dataclass(frozen=True)
class Question:
    """One comparison: a belief that a difference is positive, before the correction for many.

    Attributes:
        finding: What will be reported, but for outcome and p.
        comparison: The comparison.
    """

    finding: Finding
    comparison: Comparison


def ask(
    belief: str, differences: Sequence[float], margin: float, unit: str, where: str, note: str = "",
    theorems: tuple[str, ...] = (),
) -> Question:  # fmt: skip
    """Return the comparison of a belief; pairs with a run that has no value are counted in the note."""
    found = compare(differences, margin)
    lost = len(differences) - found.pairs
    notes = [note, f"{lost} of {len(differences)} pairs have no value" if lost else ""]
    finding = Finding(
        belief, Outcome.INCONCLUSIVE, found.effect, found.interval, unit, None, found.pairs, where,
        "; ".join(text for text in notes if text), theorems,
    )  # fmt: skip
    return Question(finding, found)


def judged(questions: Iterable[Question]) -> list[Finding]:
    """Return the findings of comparisons that are tested together: Holm over each kind of test."""
    asked = list(questions)
    p = holm([q.comparison.p for q in asked])
    same = holm([q.comparison.p_equivalent for q in asked])
    return [
        replace(q.finding, outcome=decide(q.comparison, a, b), p=a)
        for q, a, b in zip(asked, p, same, strict=True)
    ]


def judged_equal(
    questions: Sequence[tuple[str, Comparison, str, tuple[str, ...]]], margin: float, unit: str
) -> list[Finding]:
    """Return the findings on beliefs that a mean is zero, within a margin.

    Supported if an equivalence test shows it; contradicted if the whole interval lies beyond the margin.

    Args:
        questions: Belief, comparison, where, and the claims that it hangs on.
        margin: That of the comparisons.
        unit: Of the effects.
    """

    def outcome(found: Comparison, p: float) -> Outcome:
        if found.pairs < FEWEST:
            return Outcome.INCONCLUSIVE
        if p < LEVEL:
            return Outcome.SUPPORTED
        beyond = found.interval[0] > margin or found.interval[1] < -margin
        return Outcome.CONTRADICTED if beyond else Outcome.INCONCLUSIVE

    same = holm([comparison.p_equivalent for _, comparison, _, _ in questions])
    return [
        Finding(
            belief, outcome(found, p), found.effect, found.interval, unit, p, found.pairs, where,
            "p is that of equivalence", theorems,
        )
        for (belief, found, where, theorems), p in zip(questions, same, strict=True)
    ]  # fmt: skip


def controls(runs: Runs, table: Table) -> list[Control]:
    """Return the controls that every comparison must pass."""
    found = []
    for task in runs.scale.tasks:
        first = runs.rows(table, task, REFERENCE, PUBLISHED)
        other = [table[spec] for spec in runs.again(task)]
        for name, read in (("test error", value("test_error")), ("log λ_max", logarithm("lambda_max"))):
            result = compare(less(first, other, read), 0.5)
            low, high = result.interval
            detail = f"{result.effect:+.3f} [{low:+.3f}, {high:+.3f}], p {result.p:.2f}"
            found.append(Control(f"A/A on {task}: {name}", result.p > 0.01, detail))
    chance = [value("test_error")(table[spec]) for spec in runs.permuted()]
    mean = sum(chance) / len(chance)
    at_chance = abs(mean - 90) < 2
    found.append(Control("shuffled labels end at chance", at_chance, f"test error {mean:.1f} %"))
    return found
