"""Does a run in float32, float16 or bfloat16 stay inside the envelope of its roundings?

The tape of an optimizer (`tape`) gives, for each number that it keeps, the band of what the rounding
model allows (`rounding.Nearest`), and a wider band that holds the exact update too
(`rounding.Standard`).  Beside it the same optimizer runs, not instrumented, on the same gradients:

- its numbers must be in the narrow band, at every step, for every coordinate;
- so must the rule, run in Arb balls on some coordinates, be in the wide one: the paper's rule that
  the code is said to run, or the lifted one where none is named.

Then both are in one band, whose width bounds what rounding has done to the update.  A tensor of N
coordinates is N runs at once.  Overflow is part of the model: a band may reach infinity, or allow NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from ..theory import symbols as sym
from ..theory.faithful import paper_of
from ..theory.identity import Unsupported
from ..theory.records import Answer, Level, Verdict, Witness
from ..theory.rule import Rule
from .arb import BALLS
from .bands import FORMATS, Array, Band, Format
from .build import Recipe
from .rounding import Model, Nearest, Real, Standard
from .subjects import Subject
from .survey import take_step
from .symbolic import LiftError
from .tape import Tape, UnknownKernel

#: The formats that a trial runs in.
TRIED = ("float32", "float16", "bfloat16")
#: Steps of a run (RAdam is adaptive from the sixth on), coordinates of each kind, draws of the
#: hyper-parameters, coordinates of each kind that are run exactly.
STEPS, USUAL, WILD, DRAWS, EXACT = 8, 500, 250, 3, 6

#: Hyper-parameters that are drawn as 0, too; others choose another rule by that.
MAY_BE_ZERO = ("alpha", "beta1", "beta2", "eps")

State = dict[str, Array]


@dataclass(frozen=True)
class Work:
    """What a run is given: a format, hyper-parameters, a start and gradients, all of that format."""

    form: Format
    values: Mapping[str, float]
    start: Array
    gradients: Sequence[Array]


@dataclass(frozen=True)
class Envelope:
    """For each step and each thing that is kept, its bands, one for each model of the tape."""

    steps: list[dict[str, tuple[Band, ...]]]
    reads_rounded: bool
    kernels: int


@dataclass(frozen=True)
class Outside:
    """A number that is not in its band: which, at which step and coordinate."""

    name: str
    step: int
    index: int
    number: float
    lo: float
    hi: float


def run(recipe: Recipe, work: Work, device: str = "cpu") -> list[State]:
    """Run the real optimizer; return what it keeps after each step."""
    return [
        {n: v.detach().double().cpu().numpy().copy() for n, v in kept.items()}
        for kept in _steps(recipe, work, device, None)
    ]


def enclose(
    recipe: Recipe, work: Work, models: Sequence[type[Model]] = (Nearest,), device: str = "cpu"
) -> Envelope:
    """Return the bands of everything that the optimizer keeps, after each step.

    Raises:
        UnknownKernel: the step runs a kernel that the rounding model says nothing of.
    """
    tape = Tape(models, device)
    with np.errstate(all="ignore"):
        steps = [
            {n: tape.bands(v) for n, v in kept.items()} for kept in _steps(recipe, work, device, tape)
        ]
    return Envelope(steps, tape.reads_rounded, tape.kernels)


def _steps(
    recipe: Recipe, work: Work, device: str, tape: Tape | None
) -> Iterator[dict[str, torch.Tensor]]:
    dtype = getattr(torch, work.form.name)
    param = torch.nn.Parameter(torch.tensor(work.start, dtype=dtype, device=device))
    optimizer = recipe.build([param], work.values, symbolic=False)
    if tape:
        for tensor in _kept(optimizer, param).values():
            tape.know(tensor)
    for gradient in work.gradients:
        param.grad = torch.tensor(gradient, dtype=dtype, device=device)
        if tape:
            tape.know(param.grad)
            with tape:
                take_step(optimizer)
        else:
            take_step(optimizer)
        yield _kept(optimizer, param)


def _kept(optimizer: torch.optim.Optimizer, param: torch.Tensor) -> dict[str, torch.Tensor]:
    state = optimizer.state.get(param, {})
    return {"x": param} | {n: v for n, v in state.items() if isinstance(v, torch.Tensor)}


def outside(
    envelope: Envelope, numbers: Sequence[Mapping[str, Array]], model: int = 0
) -> Outside | None:
    """Return the first number of a run that is not in its band, or None."""
    for step, (bands, kept) in enumerate(zip(envelope.steps, numbers, strict=True), start=1):
        for name, values in kept.items():
            band = bands[name][model]
            bad = ~band.holds(values)
            if bad.any():
                index = int(np.argmax(bad))
                ends = (np.ravel(part)[index] for part in (values, band.lo, band.hi))
                return Outside(name, step, index, *map(float, ends))
    return None


def exact_outside(
    envelope: Envelope, rule: Rule, work: Work, indices: Sequence[int], model: int
) -> Outside | None:
    """Return the first number of the exact rule that is not in its band, or None.

    A number that is kept for a whole tensor and read back is taken as it is, so that its band says
    nothing of the exact one.
    """
    point = {n: Fraction(v) for n, v in work.values.items()}
    for index in indices:
        gradients = [Fraction(float(g[index])) for g in work.gradients]
        try:
            trace = rule.run_in(BALLS, point, gradients, Fraction(float(work.start[index])))
        except (Unsupported, StopIteration, ArithmeticError):
            continue  # the rule itself is not defined there
        exact = {"x": trace.x} | {n: v for n, v in trace.state.items() if n in envelope.steps[0]}
        for step, bands in enumerate(envelope.steps, start=1):
            for name, balls in exact.items():
                band, ball = bands[name][model], balls[step]
                if envelope.reads_rounded and np.ndim(band.lo) == 0:
                    continue
                lo, hi = (float(np.ravel(np.broadcast_to(e, work.start.shape))[index])
                          for e in (band.lo, band.hi))  # fmt: skip
                if ball < lo or ball > hi:
                    return Outside(name, step, index, float(ball.mid()), lo, hi)
    return None


# -- what is run -----------------------------------------------------------------------------------


def works(recipe: Recipe, form: Format, seed: int = 0) -> Iterator[Work]:
    """Yield what a trial runs: the user's hyper-parameters first, then others, zeros among them.

    The usual coordinates have gradients of one scale each; the wild ones are any numbers of the
    format, so that all magnitudes are as likely, subnormal ones too, with some zeros.
    """
    draw = np.random.default_rng(seed)
    own = recipe.symbols()
    for k in range(DRAWS):
        values = own if k == 0 else {n: _drawn(n, v, draw) for n, v in own.items()}
        if k == 1:
            values |= {n: 0.0 for n in values if n in MAY_BE_ZERO and draw.random() < 0.5}
        start = np.concatenate([form.nearest(draw.normal(size=USUAL)), _wild(draw, form)])
        scale = 10.0 ** draw.uniform(-4, 1, USUAL)
        gradients = [
            np.concatenate([form.nearest(scale * draw.normal(size=USUAL)), _wild(draw, form)])
            for _ in range(STEPS)
        ]
        yield Work(form, values, start, gradients)


def _wild(draw: np.random.Generator, form: Format) -> Array:
    """Return any numbers of the format: a random significand at a random exponent."""
    top = 2 - form.least - form.digits
    exponent = draw.integers(form.least - 1, top + 1, WILD)
    numbers = np.ldexp(draw.uniform(-2, 2, WILD), exponent)
    numbers[draw.random(WILD) < 0.1] = 0
    return np.clip(form.nearest(numbers), -form.largest, form.largest)


def _drawn(name: str, own: float, draw: np.random.Generator) -> float:
    """Return a number for a hyper-parameter, over the magnitudes that are in use."""
    if sym.DOMAINS.get(name) == "unit":
        return float(1 - 10 ** draw.uniform(-3.5, -0.1))
    low, high = {"alpha": (-4.0, 0.0), "eps": (-10.0, -2.0), "lambda_": (-4.0, -0.5)}.get(name, (0, 0))
    return float(10 ** draw.uniform(low, high)) if low < high else float(own * 10 ** draw.uniform(-1, 1))


# -- the trial -------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What was measured in one format: for each run that is bounded, how wide its last band is."""

    runs: int = 0
    reads: bool = False
    widths: list[Array] = field(default_factory=list)
    ratios: list[Array] = field(default_factory=list)

    def count(self, envelope: Envelope, numbers: Sequence[State], work: Work) -> None:
        """Add what came of one piece of work, run under `Nearest`, `Standard` and `Real`."""
        near, wide, real = envelope.steps[-1]["x"]
        x, known = numbers[-1]["x"], near.finite & wide.finite & real.finite
        with np.errstate(all="ignore"):
            middle = (real.lo + real.hi) / 2
            error = np.abs(x - middle)
            bound = np.maximum(wide.hi - middle, middle - wide.lo)
            self.runs += x.size
            self.reads |= envelope.reads_rounded
            self.widths.append(((near.hi - near.lo) / work.form.spacing(x))[known])
            self.ratios.append((bound / error)[known & (error > 0)])

    @property
    def width(self) -> float:
        """The median width of the band of x under `Nearest`, in ulp."""
        return _median(self.widths)

    @property
    def ratio(self) -> float:
        """The median of the error bound under `Standard` over the error that the run has."""
        return _median(self.ratios)

    @property
    def bounded(self) -> float:
        """The share of runs whose bands are bounded: no overflow, no NaN is possible."""
        return sum(w.size for w in self.widths) / self.runs

    def shown(self, name: str) -> str:
        """Return a line of it."""
        return (f"{name} median width {self.width:.3g} ulp, error bound {self.ratio:.3g} × the error, "
                f"{self.bounded:.0%} bounded")  # fmt: skip


def _median(parts: Sequence[Array]) -> float:
    values = np.concatenate(parts)
    return float(np.median(values)) if values.size else math.nan


def trial(subject: Subject, device: str) -> Answer:
    """Try whether the subject's runs stay inside the envelope of its roundings."""
    assert subject.recipe is not None
    tallies: dict[str, Tally | str] = {}
    for name in TRIED:
        tally = Tally()
        for work in works(subject.recipe, FORMATS[name]):
            try:
                found = _tried(subject, work, tally, device)
            except UnknownKernel as error:
                return Answer(Verdict.UNDECIDED, None, "envelope", f"unsupported operation: {error}")
            except LiftError as error:
                tallies[name] = f"{name}: {error}"
                break
            if found:
                return found
            tallies[name] = tally
    tried = [t for t in tallies.values() if isinstance(t, Tally)]
    if not tried:
        return Answer(Verdict.UNDECIDED, None, "envelope", f"no run: {tallies[TRIED[0]]}")
    shown = [t if isinstance(t, str) else t.shown(n) for n, t in tallies.items()]
    if any(t.reads for t in tried):
        shown.append("a number that was rounded is read back, and taken as it is")
    runs = sum(t.runs for t in tried)
    return Answer(Verdict.MEASURED, Level.SAMPLED, "envelope",
                  f"{runs} runs of {STEPS} steps stay inside; {'; '.join(shown)}")  # fmt: skip


def _tried(subject: Subject, work: Work, tally: Tally, device: str) -> Answer | None:
    """Run one piece of work, and count it; return a refutation if it leaves its envelope."""
    assert subject.recipe is not None
    numbers = run(subject.recipe, work, device)
    envelope = enclose(subject.recipe, work, (Nearest, Standard, Real), device)
    found = outside(envelope, numbers, 0) or outside(envelope, numbers, 1)
    if found:
        return refuted(work, found, "the run", device)
    tally.count(envelope, numbers, work)
    rule = paper_of(subject.against) if subject.against else subject.rule
    found = exact_outside(envelope, rule, work, _bounded(envelope), 1)
    return refuted(work, found, "the exact update", device) if found else None


def _bounded(envelope: Envelope) -> list[int]:
    """Return coordinates of both kinds whose last band is bounded; of a kind that has none, any."""
    known = np.ravel(envelope.steps[-1]["x"][1].finite)
    kinds = (range(USUAL), range(USUAL, known.size))
    return [i for kind in kinds for i in ([i for i in kind if known[i]] or [*kind])[:EXACT]]


def refuted(work: Work, found: Outside, what: str, device: str) -> Answer:
    """Return that a number is outside of its band, with the run on which it is."""
    index = found.index
    point = {n: Fraction(v) for n, v in work.values.items()} | {"x0": _exact(work.start, index)}
    point |= {f"g{k}": _exact(g, index) for k, g in enumerate(work.gradients[: found.step], start=1)}
    told = (f"{what} has {found.name} = {found.number!r} after step {found.step} in {work.form.name}, "
            f"outside of [{found.lo!r}, {found.hi!r}]")  # fmt: skip
    beyond = max(found.lo - found.number, found.number - found.hi)
    where = f"{work.form.name}, {device}, coordinate {index} of {work.start.size}"
    witness = Witness(point, f"{beyond!r}", where)
    return Answer(Verdict.REFUTED, Level.EXACT, "envelope", told, witness)


def _exact(numbers: Any, index: int) -> Fraction:
    return Fraction(float(numbers[index]))
