"""What is computed: a specification that says everything its result depends on, and its row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import groupby

Value = float | int | str | None
Row = Mapping[str, Value]
"""What was measured for one specification: plain values by name, flat, so that a table holds them.
A float may be NaN or infinite where that is the outcome; ``None`` says that it was not reached."""


@dataclass(frozen=True, order=True)
class Spec:
    """One run of one measurement.

    Options are text, because text is exact: a learning rate is a power of ten (``"10^-5/2"``) or a
    fraction (``"1/1000"``), never a float, whose last bit would make it another specification.

    >>> spec = Spec("training", "digits-clean", "adam", 3, (("lr", "10^-5/2"), ("epochs", "30")))
    >>> spec.number("lr"), spec.key[:8] == Spec(*spec.fields).key[:8]
    (0.0031622776601683794, True)

    Attributes:
        measure: The registered name of the function that turns specifications into rows.
        task: The registered name of the data, model and loss.
        method: The registered name of the optimizer.
        seed: Fixes split, initialisation and minibatch stream: the same for every method.
        options: Everything else, as names and exact texts, sorted by name.
    """

    measure: str
    task: str
    method: str
    seed: int
    options: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(sorted(self.options)))

    @property
    def fields(self) -> tuple[str, str, str, int, tuple[tuple[str, str], ...]]:
        """The five fields, in order."""
        return self.measure, self.task, self.method, self.seed, self.options

    @cached_property
    def key(self) -> str:
        """The hash that the row is kept under."""
        text = json.dumps(self.fields, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def text(self) -> dict[str, str]:
        """The options by name."""
        return dict(self.options)

    def number(self, name: str) -> float:
        """Return an option as a number.

        Raises:
            KeyError: There is no such option.
            ValueError: It is no number.
        """
        return number(self.text[name])


def number(text: str) -> float:
    """Return the float nearest to an exact text: ``1/1000``, ``0.9``, ``10^-5/2``.

    >>> number("10^-5/2"), number("1/1000"), number("0.9")
    (0.0031622776601683794, 0.001, 0.9)

    Raises:
        ValueError: It is none of these.
    """
    base, power, exponent = text.partition("^")
    try:
        if power:
            return float(float(Fraction(base)) ** float(Fraction(exponent)))
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise ValueError(f"{text!r} is no exact number: write 1/1000, 0.9 or 10^-5/2.") from error


Measure = Callable[["Job"], Sequence[Row]]
"""Turns the specifications of a job into their rows, in order."""


@dataclass(frozen=True)
class Job:
    """What a worker is handed: specifications that differ in their seeds only, and what they name.

    The objects behind the names travel along, so that a worker elsewhere knows what was registered
    in a notebook.

    Attributes:
        function: The measurement.
        task: The object registered for `Spec.task`.
        method: The object registered for `Spec.method`.
        specs: At least one.
        device: Where it runs: ``cpu``, ``cuda``, …
    """

    function: Measure
    task: object
    method: object
    specs: tuple[Spec, ...]
    device: str = "cpu"

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, in the order of the rows."""
        return tuple(spec.seed for spec in self.specs)


def batches(specs: Iterable[Spec], width: int = 64) -> list[tuple[Spec, ...]]:
    """Return the specifications in batches that differ in their seeds only, of at most `width`.

    The cut depends on the whole plan, not on what is finished, so that a study that was stopped
    trains the same ensembles as one that was not.

    >>> specs = [Spec("m", "t", method, seed) for seed in range(3) for method in ("sgd", "adam")]
    >>> [[(s.method, s.seed) for s in batch] for batch in batches(specs, 2)]
    [[('adam', 0), ('adam', 1)], [('adam', 2)], [('sgd', 0), ('sgd', 1)], [('sgd', 2)]]
    """

    def alike(spec: Spec) -> tuple[object, ...]:
        return spec.measure, spec.task, spec.method, spec.options

    ordered = sorted(set(specs), key=lambda spec: (alike(spec), spec.seed))
    together = [tuple(group) for _, group in groupby(ordered, alike)]
    return [group[i : i + width] for group in together for i in range(0, len(group), width)]
