"""What a counterexample is: a statement people believe, an object that breaks it, the evidence.

The shape follows mathlib's ``Counterexamples``: why one would believe it, the object in exact
numbers, what it breaks, which hypothesis repairs it, who found it.  A counterexample *yields* its
derivation as data; that it holds is for the judge to say, which this folder never imports.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from ..theory.records import Goal, Source, Step


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
class Curve:
    """A float run in pieces, for a picture; the pieces are short at first, then longer and longer.

    Attributes:
        t: the last step of each piece.
        low: the lowest iterate in the piece.
        mean: the mean iterate in the piece.
        high: the highest iterate in the piece.
        regret: the average regret after the piece.
    """

    t: list[int]
    low: list[float]
    mean: list[float]
    high: list[float]
    regret: list[float]


@dataclass(frozen=True)
class Run:
    """One implementation on the object, in floating point.

    Attributes:
        name: the implementation.
        method: the rule it runs, with its variant; curves of one method are drawn once.
        eps: the ε of this run.
        steps: how many steps were taken.
        final: where it ended.
        best: the best fixed point in hindsight.
        worst: the other end.
        regret: average regret against the best fixed point.
        curve: the run.
        agreement: how the long run was held against the implementation itself.
        remark: what else was seen.
        failure: what the run does not do that is claimed of it; empty when it does all.
    """

    name: str
    method: str
    eps: float
    steps: int
    final: float
    best: float
    worst: float
    regret: float
    curve: Curve
    agreement: str
    remark: str = ""
    failure: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the row that ``--json`` prints."""
        return {
            "run": self.name,
            "method": self.method,
            "eps": self.eps,
            "steps": self.steps,
            "final": self.final,
            "to_best": abs(self.final - self.best),
            "to_worst": abs(self.final - self.worst),
            "average_regret": self.regret,
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
        floor: what the average regret of Adam tends to.
        derivation: the steps that prove ``breaks``.
        control: a near-miss that the engines must refute.
        replay: runs the object exactly, for that many steps.
        runs: runs it in floating point: steps, device, report.
        replay_steps: length of an exact run, when nothing else is asked for.
        run_steps: length of a float run, when nothing else is asked for.
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
    floor: Fraction
    derivation: Callable[[], tuple[Step, ...]]
    control: Callable[[], Goal]
    replay: Callable[[int], Evidence]
    runs: Callable[[int, str, Report], tuple[Run, ...]]
    replay_steps: int
    run_steps: int
