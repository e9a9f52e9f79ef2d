"""False: parameters and Adam's averages may be stored in bfloat16.

Why one would believe it
    bfloat16 has the range of float32, so nothing overflows and nothing is lost to 0; Adam divides m
    by √v, so that the size of v seems not to matter; and half of the memory is saved.

The object
    One parameter, x_1 = 1, one gradient 64, then gradients 1 for ever: the loss is linear but for
    its first batch.  Adam at its defaults, α = 1/1000, β = (9/10, 999/1000), ε = 1e-8, with the
    parameter, the gradients, m and v in bfloat16, which has 8 significant bits.

What it breaks
    v_1 = 131/32, and that is v for ever: the decay by 1/1000 is less than half of the distance to
    the next number below, so rounding gives v back, with the gradient 1 as with the gradient 0.
    Exactly, v tends to 1.  And x = 1 for ever: a step of at most 1/512 is rounded away.  Exactly,
    Adam goes down by more than α/65 in each step, past every bound.

Which hypotheses were needed
    1 - β2 <= 1/512 for every v > 0 to be frozen under zero gradients (``theory.freeze``); a step of
    at most half of the distance between x and its neighbour.  Either suffices for its half: v is as
    stuck where x is kept in float32.

What repairs it
    The parameter and v in float32, as mixed precision keeps them.  For v alone, 1 - β2 >= 1/258
    (or rounding at random, which is not looked at here).

Source
    Folklore; the thresholds are those of ``theory.freeze``.

What stays open
    Hardware and kernels that keep a state in another form, or compute in another order than the
    four of ``theory.floats``; our own step, tensor by list, is only run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from ..theory.records import Goal, Step
from ..theory.sources import FOLKLORE
from .record import Asked, Counterexample, Evidence, Optimizer, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The first gradient, the later ones, and where x begins.
SPIKE, LATER, START = 64, 1, 1
ALPHA, BETAS, EPS = Fraction("1/1000"), (Fraction("9/10"), Fraction("999/1000")), Fraction("1e-8")
#: What v is after the first gradient, and stays.
FROZEN = Fraction(131, 32)
REPLAY_STEPS, RUN_STEPS = 200, 3000


def derivation() -> tuple[Step, ...]:
    """Return when a stored v can change, and that this x and this v never do."""
    from .bf16_freeze_proof import steps

    return steps()


def control() -> Goal:
    """Return that v = 131/32 stays at β2 = 99/100 too, where it falls."""
    from .bf16_freeze_proof import control as near_miss

    return near_miss()


def gradient(t: int, spike: int = SPIKE, later: int = LATER) -> int:
    """Return the slope of the loss at step t."""
    return spike if t == 1 else later


def replay(steps: int) -> Evidence:
    """Run Adam in bfloat16 with every rounding, and hold torch's against it, bit by bit."""
    import torch

    from ..theory.floats import BFLOAT16
    from .halves import Halves

    rows, failure = [], ""
    for spike, later in ((SPIKE, LATER), (SPIKE, 0), (4096, LATER)):
        adam, seen = Halves(BFLOAT16, Fraction(START)), []
        for t in range(1, steps + 1):
            adam.step(Fraction(gradient(t, spike, later)))
            seen.append((adam.x, adam.v))
        told = _followed(torch.optim.Adam, steps, "bfloat16", spike=spike, later=later)
        real = list(zip(map(Fraction, told.x[1:]), map(Fraction, told.v[1:]), strict=True))
        differs = next((t for t, pair in enumerate(zip(seen, real, strict=True), 1)
                        if pair[0] != pair[1]), 0)  # fmt: skip
        power = BETAS[1] ** (steps - 1)
        exact = power * (1 - BETAS[1]) * spike**2 + (1 - power) * later**2
        kept = all(pair == (Fraction(START), seen[0][1]) for pair in seen)
        if differs or not kept:
            what = f"torch leaves the model at step {differs}" if differs else "x or v moves"
            failure = failure or f"gradients {spike}, then {later}: {what}"
        rows.append((f"{spike}, then {later}", str(adam.x), str(adam.v), f"{float(exact):.6g}",
                     f"differs at step {differs}" if differs else "bitwise equal"))  # fmt: skip
    return Evidence(
        f"torch.optim.Adam with everything in bfloat16, {steps:,} steps in exact rationals with "
        "each of its roundings; beside it v without rounding.",
        ("gradients", "x in bfloat16", "v in bfloat16", "v, exactly", "torch.optim.Adam"),
        tuple(rows),
        failure,
    )


@dataclass(frozen=True)
class Followed:
    """x and v before the first step, and after each."""

    x: list[float]
    v: list[float]


def _followed(make: Optimizer, steps: int, dtype: str, device: str = "cpu", *,
              spike: int = SPIKE, later: int = LATER) -> Followed:  # fmt: skip
    """Run a real optimizer and watch its second moment; NaN where it keeps none."""
    from .feed import feed

    made, v = [], [0.0]

    def making(params: list[object]) -> object:
        made.append(make(params))
        return made[0]

    def note() -> None:
        (state,) = made[0].state.values() if made[0].state else ({},)
        v.append(float(state.get("exp_avg_sq", "nan")))

    def slope(x: list[float], t: int) -> list[float]:
        if t > 1:
            note()
        return [float(gradient(t, spike, later))]

    path = feed(making, [float(START)], slope, steps, dtype=dtype, device=device)  # type: ignore[arg-type]
    note()
    return Followed([x for (x,) in path], v)


def _paper(steps: int) -> Followed:
    """Run the paper's formula in float64."""
    from .harness import Method
    from .players import FLOATS, Paper

    player = Paper(Method(False, "corrected", BETAS, EPS), FLOATS, Fraction(START))
    x, v = [float(START)], [0.0]
    for t in range(1, steps + 1):
        player.step(float(gradient(t)), float(ALPHA))
        x.append(player.x)
        keep = float(BETAS[1])
        v.append(keep * v[-1] + (1 - keep) * gradient(t) ** 2)
    return Followed(x, v)


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run Adam in float64, float32 and bfloat16."""
    import torch

    from .. import optimizers as ours

    steps = asked.steps or RUN_STEPS
    made: list[tuple[str, Optimizer]] = [
        ("torch.optim.Adam", lambda p: torch.optim.Adam(p)),
        ("adamproof Adam", lambda p: ours.Adam(p)),
    ]
    out = [_run("paper's formula", "Adam in float64", _paper(steps), freezes=False)]
    for dtype in ("float32", "bfloat16"):
        for name, make in made:
            found = _followed(make, steps, dtype, asked.device)
            out.append(_run(name, f"Adam in {dtype}", found, freezes=dtype == "bfloat16"))
    for name, make in asked.guests:
        out.append(_run(name, f"{name} in bfloat16", _followed(make, steps, "bfloat16", asked.device),
                        freezes=None))  # fmt: skip
    return tuple(out)


def _run(name: str, method: str, found: Followed, *, freezes: bool | None) -> Run:
    steps = len(found.x) - 1
    x, v = found.x[-1], found.v[-1]
    failure = ""
    if freezes and (x != START or v != FROZEN):
        failure = f"{name}, {method}: x = {x!r} and v = {v!r} after {steps:,} steps, and should be "
        failure += f"{START} and {float(FROZEN)}"
    if freezes is False and not x <= START - steps * float(ALPHA) / (SPIKE + 1):
        failure = f"{name}, {method}: x = {x!r} has hardly moved in {steps:,} steps"
    return Run(name, method, steps, {"x at the end": x, "v at the end": v}, found, failure=failure)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw x and v against t, in each format."""
    from .picture import STYLES, plain

    figure.subplots_adjust(left=0.085, right=0.97, top=0.92, bottom=0.16, hspace=0.1)
    above, below = figure.subplots(2, 1, sharex=True)
    for run, (colour, style) in zip(found, STYLES, strict=False):
        t = range(len(run.curve.x))
        look = {"color": colour, "linestyle": style, "linewidth": 2.4 if style == "-" else 1.6}
        look["zorder"] = 2 if style == "-" else 3
        above.plot(t, run.curve.x, label=run.method, **look)
        below.plot(t[1:], run.curve.v[1:], **look)
    above.set_ylabel("parameter $x$")
    below.set_ylabel("second moment $v$")
    below.set_xlabel("step $t$")
    below.set_xlim(0, max(2, found[0].steps))
    below.axhline(LATER**2, color="0.45", linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    below.annotate("square of the gradient since step 2", (0.99, 0.94 * LATER**2), va="top", ha="right",
                   xycoords=("axes fraction", "data"))  # fmt: skip
    below.set_ylim(0, 1.15 * float(FROZEN))
    plain(above)
    plain(below)
    figure.legend(loc="lower center", ncols=4, frameon=False)


COUNTEREXAMPLE = Counterexample(
    id="bf16-freeze",
    title="Parameters and Adam's averages may be stored in bfloat16.",
    why_believed="It has the range of float32, so nothing overflows or is lost to 0, and Adam "
    "divides m by √v anyway.",
    object="x_1 = 1; gradients 64, then 1 for ever.  Adam with α = 1/1000, β = (9/10, 999/1000), "
    "ε = 1e-8, everything in bfloat16.",
    breaks="v is 131/32 after the first step and for ever, where exactly it tends to 1; x is 1 for "
    "ever, where exactly each step takes it down by more than α/65.",
    repair="x and v in float32; for v alone, 1 - β2 >= 1/258.",
    source=FOLKLORE,
    open="Orders of operation other than those of theory.floats; our Adam, which steps lists, is "
    "only run.",
    headline="In bfloat16 Adam's v cannot decay and its x cannot move (gradients 64, 1, 1, …)",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=REPLAY_STEPS,
    refutes=("bf16-freeze",),
)
