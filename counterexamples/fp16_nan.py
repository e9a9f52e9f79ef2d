"""False: ε = 1e-8 is fine in half precision.

Why one would believe it
    1e-8 is the default, float16 has numbers down to 6e-8 (2^-24), and an ε is only there so that
    nothing is divided by 0.

The object
    Three parameters at 0 with gradients 0, 1/1024 and 1, and Adam at its defaults, α = 1/1000,
    β = (9/10, 999/1000), ε = 1e-8, in float16: parameters, gradients, m and v.

What it breaks
    1e-8 is below 2^-25, half of the smallest float16 number, and is rounded to 0.  So after the
    first step the first parameter is 0/0, which is no number (a unit that was not used in the
    batch is enough); the second is minus infinity, since (1 - β2) g² is rounded to 0 as well, but
    (1 - β1) g is not.  The third is where it should be, within rounding.

Which hypotheses were needed
    ε <= 2^-25 (through float32, ε <= 2^-25 (1 + 2^-24)), and nothing else for the first parameter;
    for the second (1 - β2) g² <= 2^-25 < (1 - β1) |g|.

What repairs it
    An ε above 2^-25, such as 1e-7, makes every parameter finite here; steps are then of a wrong
    length where v is lost, up to tens of thousands of α.  Only a state in float32 makes them right.

Source
    Folklore; the thresholds are those of ``theory.precision``.

What stays open
    RAdam as torch writes it, which overflows for an ε that survives; gradients whose square
    overflows, where the step is 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..theory.records import Goal, Step
from ..theory.sources import FOLKLORE
from .record import Asked, Counterexample, Evidence, Optimizer, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRADIENTS = (Fraction(0), Fraction(1, 1024), Fraction(1))
ALPHA, BETAS = Fraction("1/1000"), (Fraction("9/10"), Fraction("999/1000"))
EPS, ENOUGH = Fraction("1e-8"), Fraction("1e-7")
REPLAY_STEPS, RUN_STEPS = 3, 1
#: More steps show nothing else, until α times their number leaves float16.
MOST = 100


def derivation() -> tuple[Step, ...]:
    """Return which ε survive, which v_1 do, and what becomes of the three parameters."""
    from .fp16_nan_proof import steps

    return steps()


def control() -> Goal:
    """Return that ε = 1e-7 is rounded to 0 as well."""
    from .fp16_nan_proof import control as near_miss

    return near_miss()


def kind(x: float) -> str:
    """Return what a parameter is: a number, minus infinity, or no number."""
    return "no number" if math.isnan(x) else "a number" if math.isfinite(x) else f"{x:+}"


def replay(steps: int) -> Evidence:
    """Run Adam in float16 with every rounding, and hold torch's against it, bit by bit."""
    import torch

    from ..theory.floats import FLOAT16
    from .feed import feed
    from .halves import Halves

    rows, failure = [], ""
    for eps, told in ((EPS, ("no number", "-inf", "a number")), (ENOUGH, ("a number",) * 3)):
        adams = [Halves(FLOAT16, Fraction(0), eps=float(eps)) for _ in GRADIENTS]
        first = []
        for t in range(steps):
            for adam, gradient in zip(adams, GRADIENTS, strict=True):
                adam.step(gradient)
            if t == 0:
                first = [(adam.m, adam.v, adam.divisor) for adam in adams]
        real = feed(_made(torch.optim.Adam, eps), [0.0] * len(GRADIENTS),
                    lambda x, t: [float(g) for g in GRADIENTS], steps, dtype="float16")[-1]  # fmt: skip
        for gradient, adam, (m, v, divisor), x, want in zip(
            GRADIENTS, adams, first, real, told, strict=True
        ):
            agrees = adam.x == Fraction(x) if math.isfinite(x) else adam.x is None
            if not agrees or kind(x) != want or (want == "no number") != (m == divisor == 0):
                failure = failure or f"ε = {float(eps):g}, g = {gradient}: x is {x}, not {want}"
            rows.append((f"{float(eps):g}", str(gradient), _shown(m), _shown(v), _shown(divisor),
                         "-" if adam.x is None else _shown(adam.x), f"{x:g}"))  # fmt: skip
    return Evidence(
        f"torch.optim.Adam in float16 from x = 0, {steps:,} steps in exact rationals with each of its "
        "roundings.  m_1, v_1 and the divisor D_1 are those of the first step.",
        ("ε", "gradient", "m_1", "v_1", "D_1", "x at the end", "torch's x"),
        tuple(rows),
        failure,
    )


def _made(cls: Any, eps: Fraction) -> Optimizer:
    """Return what makes Adam with that ε."""
    return lambda params: cls(params, lr=float(ALPHA), eps=float(eps))


def _shown(x: Fraction) -> str:
    return str(x) if x.denominator <= 1024 else f"{x.numerator}/2^{x.denominator.bit_length() - 1}"


@dataclass(frozen=True)
class Swept:
    """How far the first steps go, in units of α a step, for every positive float16 gradient."""

    gradients: list[float]
    moved: list[float]


def _sweep(make: Optimizer, dtype: str, steps: int, device: str) -> Swept:
    """Run a real optimizer on every positive float16 gradient at once, and on 0 first."""
    from ..theory.floats import FLOAT16
    from .feed import feed

    gradients = [float(FLOAT16.number(i)) for i in range(FLOAT16.count)]
    path = feed(make, [0.0] * len(gradients), lambda x, t: gradients, steps, dtype=dtype, device=device)
    return Swept(gradients, [abs(x) / float(ALPHA) / steps for x in path[-1]])


def _formula(steps: int) -> Swept:
    """Run the paper's formula in float64: m̂ = g and v̂ = g² at every step."""
    from ..theory.floats import FLOAT16
    from .harness import Method
    from .players import FLOATS, Paper

    gradients = [float(FLOAT16.number(i)) for i in range(0, FLOAT16.count, 64)]
    moved = []
    for gradient in gradients:
        player = Paper(Method(False, "corrected", BETAS, EPS), FLOATS, Fraction(0))
        for _ in range(steps):
            player.step(gradient, float(ALPHA))
        moved.append(abs(player.x) / float(ALPHA) / steps)
    return Swept(gradients, moved)


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run Adam on every float16 gradient, in float32 and in float16, with ε = 1e-8 and 1e-7."""
    import torch

    from .. import optimizers as ours

    steps = min(asked.steps or RUN_STEPS, MOST)
    few = min(steps, 20)  # one coordinate after the other
    out = [_run("paper's formula", "float64, ε = 1e-8", _formula(few), few, lost=False)]
    for dtype, eps in (("float32", EPS), ("float16", EPS), ("float16", ENOUGH)):
        for name, cls in (("torch.optim.Adam", torch.optim.Adam), ("adamproof Adam", ours.Adam)):
            found = _sweep(_made(cls, eps), dtype, steps, asked.device)
            method = f"{dtype}, ε = 1e{round(math.log10(float(eps)))}"
            out.append(_run(name, method, found, steps, lost=dtype == "float16" and eps == EPS))
    for name, make in asked.guests:
        found = _sweep(make, "float16", steps, asked.device)
        out.append(_run(name, f"{name}, float16", found, steps, lost=None))
    return tuple(out)


def _run(name: str, method: str, found: Swept, steps: int, *, lost: bool | None) -> Run:
    nan = [g for g, x in zip(found.gradients, found.moved, strict=True) if math.isnan(x)]
    infinite = [g for g, x in zip(found.gradients, found.moved, strict=True) if math.isinf(x)]
    failure = ""
    if lost:
        from ..theory.precision import infinite_steps

        first, last = map(float, infinite_steps())
        want = (
            [g for g in found.gradients if g < first],
            [g for g in found.gradients if first <= g <= last],
        )
        if (nan, infinite) != want:
            failure = f"{name}, {method}: other gradients than claimed have no number or infinity"
    elif lost is False and (nan or infinite):
        failure = f"{name}, {method}: not every parameter is a number"
    measured: dict[str, float | str] = {
        "x where g = 0": kind(found.moved[0]),
        "no number for |g| up to": max(nan, default="-"),
        "infinite for |g| up to": max(infinite, default="-"),
        "longest finite step / α": max((x for x in found.moved if math.isfinite(x)), default=math.nan),
    }
    return Run(name, method, steps, measured, found, failure=failure)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the length of a step against the gradient, and where there is none."""
    from .picture import STYLES, frame

    figure.subplots_adjust(left=0.085, right=0.97, top=0.92, bottom=0.19)
    axes = figure.subplots()
    for run, (colour, style) in zip(found, STYLES, strict=False):
        pairs = [(g, x) for g, x in zip(run.curve.gradients, run.curve.moved, strict=True) if g > 0]
        finite = [(g, x if math.isfinite(x) else math.nan) for g, x in pairs]
        solid = style == "-"
        axes.plot([g for g, _ in finite], [x for _, x in finite], color=colour, linestyle=style,
                  label=run.method, linewidth=2.2 if solid else 1.5,
                  zorder=2 if solid else 3)  # fmt: skip
        bad = [(g, x) for g, x in pairs if not math.isfinite(x)]
        for word, test in (("0/0", math.isnan), ("infinite", math.isinf)):
            where = [g for g, x in bad if test(x)]
            if where:
                low, high = min(where), max(where)
                axes.axvspan(low, high, color=colour, alpha=0.3 if word == "0/0" else 0.14, linewidth=0)
                axes.annotate(word, ((low * high) ** 0.5, 0.95), ha="center", color=colour,
                              xycoords=("data", "axes fraction"))  # fmt: skip
    frame(axes, "gradient $g$ (every positive float16 number)", "step taken, in units of α", "xy")
    figure.legend(loc="lower center", ncols=4, frameon=False)


COUNTEREXAMPLE = Counterexample(
    id="fp16-nan",
    title="ε = 1e-8 is fine in half precision.",
    why_believed="It is the default, float16 has numbers down to 6e-8, and ε only keeps the divisor "
    "from 0.",
    object="Parameters at 0 with gradients 0, 1/1024 and 1; Adam with α = 1/1000, "
    "β = (9/10, 999/1000), ε = 1e-8, everything in float16.",
    breaks="ε is rounded to 0, so after one step the first parameter is 0/0, no number, and the "
    "second minus infinity, because (1 - β2) g² is rounded to 0 too; exactly they are 0 and "
    "within α of 0.",
    repair="ε > 2^-25, such as 1e-7, for finite parameters; a state in float32 for steps of the "
    "right length.",
    source=FOLKLORE,
    open="RAdam as torch writes it, which overflows for an ε that survives; our Adam, which steps "
    "lists, is only run.",
    headline="Adam's first step in float16: ε = 1e-8 is rounded to 0, and with it small gradients break",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=REPLAY_STEPS,
    refutes=("eps-fp16",),
)
