"""What a counterexample is: a statement people believe, an object that breaks it, the evidence.

The shape follows mathlib's ``Counterexamples``: why one would believe it, the object in exact
numbers, what it breaks, which hypothesis repairs it, who found it.  A counterexample *yields* its
derivation as data; that it holds is for the judge to say, which this folder never imports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

from ..theory.records import Goal, Source, Step

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

#: Makes an optimizer of the parameters it is given.
Optimizer = Callable[[list[Any]], "torch.optim.Optimizer"]


class Report(Protocol):
    """Hears how far a long computation is."""

    def __call__(self, what: str, done: int, total: int, /) -> None:
        """Take note that ``done`` of ``total`` units of ``what`` are done."""
        ...


def silent(what: str, done: int, total: int, /) -> None:
    """Ignore the report."""


@dataclass(frozen=True)
class Evidence:
    """Runs in exact arithmetic: a table, and whether it shows what is claimed.

    Attributes:
        about: one sentence that says what was run and in which numbers.
        columns: headings.
        rows: cells, as they are printed.
        failure: what does not hold; empty when everything claimed holds.
    """

    about: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    failure: str = ""


@dataclass(frozen=True)
class Asked:
    """What the reader asks of the float runs.

    Attributes:
        steps: how many steps; None for as many as the counterexample is about.
        seeds: how many random repetitions; None likewise.
        device: where real optimizers run.
        optimizer: one more optimizer to run beside the others: its name, and what makes it.
        report: hears how far it is.
    """

    steps: int | None = None
    seeds: int | None = None
    device: str = "cpu"
    optimizer: tuple[str, Optimizer] | None = None
    report: Report = silent

    @property
    def guests(self) -> list[tuple[str, Optimizer]]:
        """The optimizer that was asked for, if any, as a list."""
        return [self.optimizer] if self.optimizer else []


@dataclass(frozen=True)
class Chosen:
    """Numbers that the reader puts in place of a counterexample's own; None for those that stay.

    Attributes:
        pattern: the gradients of a period.
        betas: β1 and β2.
        C: the large slope.
    """

    pattern: tuple[Fraction, ...] | None = None
    betas: tuple[Fraction, Fraction] | None = None
    C: Fraction | None = None

    @property
    def names(self) -> list[str]:
        """What is chosen."""
        return [name for name in self.__dataclass_fields__ if getattr(self, name) is not None]


@dataclass(frozen=True)
class Run:
    """One implementation on the object, in floating point.

    Attributes:
        name: the implementation.
        method: the rule it runs, with its variant; curves of one method are drawn once.
        steps: how many steps were taken.
        found: what was measured, by name: a column of the table each, and a key of the JSON.
        curve: what the picture shows of it, for ``Counterexample.draw`` alone.
        agreement: how a quicker form was held against the implementation; empty where it ran itself.
        remark: what else was seen.
        failure: what the run does not do that is claimed of it; empty when it does all.
        drawn: whether a picture can show it.
    """

    name: str
    method: str
    steps: int
    found: Mapping[str, float | str]
    curve: Any = None
    agreement: str = ""
    remark: str = ""
    failure: str = ""
    drawn: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Return the row that ``--json`` prints."""
        return {
            "run": self.name,
            "method": self.method,
            "steps": self.steps,
            **self.found,
            "agreement": self.agreement,
            "remark": self.remark,
            "failure": self.failure,
        }


@dataclass(frozen=True)
class Counterexample:
    """A refuted statement.

    Attributes:
        id: the name that ``adamproof reproduce`` takes.
        title: the false statement.
        why_believed: why one would believe it.
        object: what breaks it, in integers and rationals.
        breaks: what is true of the object.
        repair: which hypothesis makes the statement true again.
        source: who found it, and where.
        open: what is not proved here.
        headline: the result in one line, for a picture.
        derivation: the steps that prove ``breaks``.
        control: a near-miss that the engines must refute.
        replay: runs the object exactly, for that many steps.
        runs: runs it in floating point, on the paper's rule, on `torch.optim` and on our optimizers.
        draw: draws the runs into a figure, which has the headline for its title already.
        replay_steps: length of an exact run, when nothing else is asked for.
        refutes: ids of the claims in ``theory`` that this object breaks.
        takes: what the reader may choose: names of ``Chosen``, and seeds where something is random.
        choose: returns the counterexample with the reader's numbers; a ValueError says why it cannot.
    """

    id: str
    title: str
    why_believed: str
    object: str
    breaks: str
    repair: str
    source: Source
    open: str
    headline: str
    derivation: Callable[[], tuple[Step, ...]]
    control: Callable[[], Goal]
    replay: Callable[[int], Evidence]
    runs: Callable[[Asked], tuple[Run, ...]]
    draw: Callable[[Figure, Sequence[Run]], None]
    replay_steps: int
    refutes: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    choose: Callable[[Chosen], Counterexample] | None = None
