"""What a study is: a question, a plan that depends on what is known, and verdicts on beliefs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from .spec import Row, Spec


class Outcome(StrEnum):
    """What the data say about a belief."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    NO_DIFFERENCE = "no difference"  # by an equivalence test, not for want of data
    METRIC_DEPENDENT = "metric-dependent"  # the sign is another on the invariant metric
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Finding:
    """The verdict on one belief.

    Attributes:
        belief: The sentence that people say, made precise.
        outcome: What the data say.
        effect: The estimate, in `unit`.
        interval: Its 95 % interval.
        unit: What the effect is measured in.
        p: The p-value, after correction for the beliefs tested together; ``None`` if none was tested.
        runs: How many pairs or runs it rests on.
        where: Task and setting, such as ``digits-clean, tuned``.
        note: What a reader must know: runs that diverged, a best value on the edge of the grid.
        theorems: Ids of the claims that the belief hangs on.
    """

    belief: str
    outcome: Outcome
    effect: float
    interval: tuple[float, float]
    unit: str
    p: float | None = None
    runs: int = 0
    where: str = ""
    note: str = ""
    theorems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Control:
    """A check that the machinery must pass, whatever the optimizers do."""

    name: str
    passed: bool
    detail: str


class Table(Mapping[Spec, Row]):
    """The rows that are known, by specification.

    >>> sgd, adam = Spec("m", "t", "sgd", 0), Spec("m", "t", "adam", 0)
    >>> table = Table({sgd: {"loss": 1.0}, adam: {"loss": 2.0}})
    >>> [row["loss"] for spec, row in table.where(method="adam").items()]
    [2.0]
    """

    def __init__(self, rows: Mapping[Spec, Row]) -> None:
        self._rows = dict(rows)

    def __getitem__(self, spec: Spec) -> Row:
        return self._rows[spec]

    def __iter__(self) -> Iterator[Spec]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def where(self, **wanted: object) -> Table:
        """Return the rows whose specification has these values, as fields or as options."""

        def fits(spec: Spec) -> bool:
            known = {
                "measure": spec.measure,
                "task": spec.task,
                "method": spec.method,
                "seed": spec.seed,
            }
            options = spec.text
            return all((known[n] if n in known else options.get(n)) == v for n, v in wanted.items())

        return Table({spec: row for spec, row in self._rows.items() if fits(spec)})

    def by_seed(self, name: str) -> dict[int, float]:
        """Return one measured value by seed; ``None`` becomes NaN."""
        values = {spec.seed: row[name] for spec, row in self._rows.items()}
        return {
            seed: float("nan") if value is None else float(value)
            for seed, value in sorted(values.items())
        }


Size = str
SIZES: tuple[Size, ...] = ("small", "default", "large")


@dataclass(frozen=True)
class Study:
    """A question to data.

    The plan is asked again whenever all that it wanted is known, until it wants nothing new: that is
    how evaluation follows tuning, and how a grid whose best value lies on its edge is extended.  It
    depends on the rows alone, so a study that was stopped goes on where it was.

    Attributes:
        name: What the command line calls it.
        question: One sentence.
        plan: ``plan(table, size)`` returns every specification wanted so far, known or not.
        conclude: ``conclude(table, size)`` returns the verdicts, once nothing is missing.
        control: ``control(table, size)`` returns the controls.
        draw: ``draw(table, size, folder)`` writes pictures and returns their paths.
        beliefs: What it judges, in words, for the listing and for a clone that has no results.
        measures: The functions by the names that the specifications use.
        sources: Where beliefs and protocol are from.
        expected: What the literature would have one expect.
    """

    name: str
    question: str
    plan: Callable[[Table, Size], Sequence[Spec]]
    conclude: Callable[[Table, Size], Sequence[Finding]]
    beliefs: tuple[str, ...]
    measures: Mapping[str, Callable[..., Sequence[Row]]]
    control: Callable[[Table, Size], Sequence[Control]] = lambda table, size: ()
    draw: Callable[[Table, Size, Path], Sequence[Path]] = lambda table, size, folder: ()
    sources: tuple[str, ...] = ()
    expected: str = ""
