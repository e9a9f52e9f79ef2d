"""False: near the minimum of a smooth convex function, Adam with a constant rate comes to rest.

Why one would believe it
    Gradient descent does, with any rate below 2/c on a curvature c; and Adam divides by a root that
    is there to make its steps the right size.

The object
    f(x) = c x²/2.  Adam with any β1 and β2, a constant α, and ε < c α (1 - β1)/(2(1 + β1)).

What it breaks
    With X = α(1 - β1)/(2(1 + β1)) - ε/c, x_t = (-1)^t X is an orbit, once the corrections are gone: m
    turns over with x, and v stays at (cX)².  For β1 <= 3 - 2√2 and any β2 it draws in the runs near it
    (at ε = 0).  At the default β = (0.9, 0.999) it repels them, unless ε is within 0.3 % of the value
    at which it ends; what the runs do then is no rest either: they sink for hundreds of steps, until
    v has forgotten, and burst.

Which hypotheses were needed
    A constant α, and an ε that is small against cα.  Stability is to first order (Lyapunov's first
    method), with corrections gone.

What repairs it
    A rate that falls: the swing is proportional to α.  Or ε >= c α (1 - β1)/(2(1 + β1)), for which the
    orbit does not exist.  That Adam then comes to rest is not proved.

Source
    Bock & Weiß (2022), arXiv 2210.02070; the edge of stability is Cohen et al.'s (2022).

What stays open
    The bursts are measured: no bound on their size or their number is proved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..theory.records import Goal, Step
from ..theory.sources import BW22
from .record import Asked, Counterexample, Evidence, Optimizer, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .harness import Method
    from .players import Paper

#: The parabola, the rate and ε of every run.
CURVATURE, ALPHA, EPS = Fraction(1), Fraction(1, 100), Fraction("1e-8")
#: Betas of the exact runs; 0 starts from m = v = 0, with the corrections, the others on the orbit.
BETAS = tuple(
    (Fraction(a), Fraction(b))
    for a, b in (
        ("0", "3/4"),
        ("1/10", "9/10"),
        ("1/10", "999/1000"),
        ("9/10", "999/1000"),
        ("99/100", "9999/10000"),
    )
)
#: Length of the float runs; of shorter ones the fate is shown, and not judged.
RUN_STEPS, GUEST = 12_000, 5_000
#: How close |x|/X must be to 1 at the end where the orbit attracts; how far it must leave where it
#: repels, by which step; and between which bounds a run that bursts must go after that.
NEAR, FAR, SOON, DEEP, HIGH = 2e-3, 0.5, 1_000, 0.01, 2.0
#: Steps over which a real optimizer must follow the paper's formula, and how closely.
PREFIX, CLOSE = 50, 1e-9
#: A step count at which both corrections are exactly 1.
LATE = 100_000


@dataclass(frozen=True)
class Setting:
    """A float run: its betas, x_1 in units of X, whether its state begins on the orbit, and its fate."""

    betas: tuple[Fraction, Fraction]
    start: Fraction
    placed: bool
    attracts: bool

    @property
    def name(self) -> str:
        """What it is called in tables and pictures."""
        where = "1 % off the orbit" if self.placed else f"from x = {float(self.start):g} X"
        return f"β = ({float(self.betas[0]):g}, {float(self.betas[1]):g}), {where}"

    def state(self) -> dict[str, Fraction]:
        """Return the state at x = X on the orbit, or nothing."""
        x = swing(self.betas[0])
        m = -(1 - self.betas[0]) * CURVATURE * x / (1 + self.betas[0])
        return {"exp_avg": m, "exp_avg_sq": (CURVATURE * x) ** 2} if self.placed else {}


SETTINGS = (
    Setting(BETAS[1], Fraction(20), placed=False, attracts=True),
    Setting(BETAS[2], Fraction(101, 100), placed=True, attracts=True),
    Setting(BETAS[3], Fraction(101, 100), placed=True, attracts=False),
)


def swing(beta1: Fraction) -> Fraction:
    """Return X."""
    return ALPHA * (1 - beta1) / (2 * (1 + beta1)) - EPS / CURVATURE


def derivation() -> tuple[Step, ...]:
    """Return what ``theory`` proves of the orbit, and of which orbits attract."""
    from .theorems import theorem

    return tuple(
        step
        for claim in ("adam-two-cycle", "adam-two-cycle-stability")
        for step in theorem(claim, "adam").steps
    )


def control() -> Goal:
    """Return the orbit of one rate at twice that rate."""
    from .theorems import theorem

    goal = theorem("adam-two-cycle", "adam").control
    assert goal is not None
    return goal


def method(betas: tuple[Fraction, Fraction], *, late: bool) -> Method:
    """Return Adam, as it is or with its corrections gone."""
    from .harness import Method

    return Method(False, "none" if late else "corrected", betas, EPS)


def replay(steps: int) -> Evidence:
    """Run the paper's rule exactly on the orbit; every root is rational there."""
    from .players import Counting, Paper

    rows, failure = [], ""
    for betas in BETAS:
        x, fresh = swing(betas[0]), betas[0] == 0
        setting, arithmetic = Setting(betas, Fraction(1), not fresh, False), Counting()
        paper = Paper(method(betas, late=not fresh), arithmetic, x, setting.state())
        swings = all(
            at.exact and at.lo == x * (-1) ** t for t, at in enumerate(_follow(paper, steps), start=1)
        )
        if not swings:
            failure = failure or f"β = {betas}: the exact run leaves x_t = (-1)^t X"
        start = "m = v = 0, corrected" if fresh else "on the orbit"
        rows.append((str(betas[0]), str(betas[1]), f"{float(x):.10f}", start,
                     "yes" if swings else "no", str(arithmetic.exact_roots)))  # fmt: skip
    return Evidence(
        f"The paper's Adam in exact rationals on c x²/2, c = {CURVATURE}, α = {ALPHA}, ε = 10^-8, from "
        f"x = X, {steps:,} steps.",
        ("β1", "β2", "X", "begins", "x_t = (-1)^t X exactly", "exact roots"),
        tuple(rows),
        failure,
    )


def _follow(paper: Paper, steps: int) -> Iterator[Any]:
    """Yield x after each step of the paper's rule on the parabola."""
    number = paper.arithmetic.number
    rate, curvature = number(ALPHA), number(CURVATURE)
    for _ in range(steps):
        paper.step(curvature * paper.x, rate)
        yield paper.x


def _real(
    make: Optimizer, setting: Setting, steps: int, device: str, *, known: bool = True
) -> list[float]:
    """Run a real optimizer on the parabola, its state set to the orbit if it is known."""
    import torch

    start = float(setting.start * swing(setting.betas[0]))
    x = torch.nn.Parameter(torch.tensor([start], dtype=torch.float64, device=device))
    optimizer = make([x])
    optimizer.param_groups[0]["lr"] = float(ALPHA)
    if setting.placed and known:
        x.grad = torch.zeros_like(x)
        optimizer.step()  # makes the state, and moves nothing
        for name, value in {**setting.state(), "step": LATE}.items():
            optimizer.state[x][name].fill_(float(value))
    path = [x.item()]
    for _ in range(steps):
        x.grad = float(CURVATURE) * x.detach()
        optimizer.step()
        path.append(x.item())
    return path


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run the three settings on the paper's formula, torch's Adam and ours."""
    from .players import FLOATS, Paper

    steps, rows = asked.steps or RUN_STEPS, []
    for done, setting in enumerate(SETTINGS):
        asked.report("Adam on a parabola", done, len(SETTINGS))
        start = setting.start * swing(setting.betas[0])
        paper = Paper(method(setting.betas, late=setting.placed), FLOATS, start, setting.state())
        formula = [float(start), *_follow(paper, steps)]
        rows.append(_run("the paper's formula", setting, formula, "", ""))
        for name, make in method(setting.betas, late=False).implementations():
            path = _real(make, setting, steps, asked.device)
            rows.append(_run(name, setting, path, *_agreement(name, path, formula)))
        for name, make in asked.guests:
            path = _real(make, setting, min(steps, GUEST), asked.device, known=False)
            rows.append(_shown(name, f"{name}, {setting.name.split(', ')[-1]}", setting, path))
    asked.report("Adam on a parabola", len(SETTINGS), len(SETTINGS))
    return tuple(rows)


def _agreement(name: str, path: Sequence[float], formula: Sequence[float]) -> tuple[str, str]:
    """Hold a real optimizer against the paper's formula, before chaos parts them."""
    length = min(PREFIX, len(path) - 1)
    gap = max(abs(a - b) for a, b in zip(path[: length + 1], formula, strict=False))
    text = f"within {gap:.1e}, {length:,} steps"
    return text, "" if gap <= CLOSE else f"{name} leaves the paper's formula: {text}"


def _run(name: str, setting: Setting, path: Sequence[float], agreement: str, wrong: str) -> Run:
    shown = _shown(name, setting.name, setting, path)
    remark, failure = _claimed(setting, shown.curve)
    if len(path) <= RUN_STEPS:
        remark, failure = failure or remark, ""
    return Run(name, setting.name, shown.steps, shown.found, shown.curve, agreement, remark,
               wrong or failure)  # fmt: skip


def _shown(name: str, label: str, setting: Setting, path: Sequence[float]) -> Run:
    """Return a run of which nothing is claimed; its curve is x_t/X."""
    x = float(swing(setting.betas[0]))
    curve = [at / x for at in path]
    half = [abs(at) for at in curve[len(curve) // 2 :]]
    found: dict[str, float | str] = {
        "|x|/X at the end": half[-1],
        "lowest, second half": min(half),
        "highest, second half": max(half),
    }
    return Run(name, label, len(path) - 1, found, curve)


def _claimed(setting: Setting, curve: Sequence[float]) -> tuple[str, str]:
    """Hold a run against what is claimed of it: a remark, and what it fails to do."""
    last = curve[-1]
    if setting.attracts:
        swings = all(a * b < 0 for a, b in zip(curve[-100:], curve[-99:], strict=False))
        if abs(abs(last) - 1) > NEAR or not swings:
            return "", f"{setting.name}: |x|/X ends at {abs(last):.6f}, and should swing at 1"
        return f"{setting.name}: ends on the orbit, which attracts", ""
    left = next((t for t, at in enumerate(curve) if abs(abs(at) - 1) > FAR), None)
    sizes = [abs(at) for at in curve[SOON:]] or [1.0]
    if left is None or left > SOON or min(sizes) > DEEP or max(sizes) < HIGH:
        return "", (f"{setting.name}: from step {left} on off the orbit; |x|/X between {min(sizes):.1e} "
                    f"and {max(sizes):.1e} after step {SOON:,}: no bursts")  # fmt: skip
    bursts = sum(a < HIGH <= b for a, b in zip(_crests(sizes), _crests(sizes)[1:], strict=False))
    return f"{setting.name}: leaves the orbit by step {left}, and bursts {bursts} times", ""


def _crests(sizes: Sequence[float], width: int = 200) -> list[float]:
    """Return the largest size in each stretch of that many steps."""
    return [max(sizes[k : k + width]) for k in range(0, len(sizes), width)]


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the first steps as they are, and the size of x in all of them."""
    import numpy as np

    from .picture import STYLES, plain

    figure.subplots_adjust(left=0.085, right=0.97, top=0.94, bottom=0.15, hspace=0.26)
    above, below = figure.subplots(2, 1, height_ratios=(2, 3))
    first = min(120, max(2, found[0].steps))
    colours = [STYLES[i][0] for i in (4, 2, 1, 0, 3, 5)]
    for run, colour in zip(found, colours, strict=False):
        curve = np.array(run.curve)
        above.plot(
            np.arange(first + 1)[: len(curve)] + 1, curve[: first + 1], color=colour, linewidth=0.9
        )
        ends = np.unique(np.geomspace(1, len(curve), min(400, len(curve))).round().astype(int))
        starts = np.append(0, ends[:-1])
        sizes = np.abs(curve)
        low, high = (f.reduceat(sizes, starts) for f in (np.minimum, np.maximum))
        below.fill_between(ends, low, high, color=colour, alpha=0.25, linewidth=0)
        below.plot(ends, high, color=colour, linewidth=1.4, label=run.method)
    above.set_ylim(-4.2, 4.2)
    above.set_xlim(1, first)
    above.set_ylabel("$x_t / X$")
    below.axhline(1, color="0.45", linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    below.set_xscale("log")
    below.set_yscale("log")
    below.set_xlim(1, max(2, found[0].steps))
    below.set_ylim(bottom=1e-6)
    below.set_ylabel("$|x_t| / X$: highest, and down to lowest")
    below.set_xlabel("step $t$")
    plain(above)
    plain(below)
    figure.legend(loc="lower center", ncols=3, frameon=False)


COUNTEREXAMPLE = Counterexample(
    id="adam-limit-cycle",
    title="Near the minimum of a smooth convex function, Adam with a constant rate comes to rest.",
    why_believed="Gradient descent does, with any rate below 2/c on a curvature c, and Adam divides by "
    "a root that is there to make its steps the right size.",
    object="f(x) = c x²/2.  Adam with any β1, β2, a constant α and ε < c α (1 - β1)/(2(1 + β1)).",
    breaks="x_t = (-1)^t X with X = α(1 - β1)/(2(1 + β1)) - ε/c is an orbit, once the corrections are "
    "gone.  At ε = 0 it attracts nearby runs for every β1 <= 3 - 2√2; at the default betas it repels "
    "them, and they burst (measured).",
    repair="ε >= c α (1 - β1)/(2(1 + β1)) removes this orbit.",
    source=BW22(""),
    open="Whether Adam comes to rest without the orbit, or at a rate that falls; size and number of the "
    "bursts; what attracts at the default betas.",
    headline="On a parabola Adam swings for ever at small β1, and bursts at the default betas",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=300,
)
