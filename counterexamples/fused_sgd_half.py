"""False: fused=True computes the same, only faster.

Why one would believe it
    torch's documentation offers the fused form as the fastest of three that do the same, and tests
    compare them.

The object
    A hundred parameters at 1 with gradients 1, in float16 or bfloat16, and gradient descent at
    α = 1/4.  Each number on the way is one of the format, so nothing is ever rounded: after t steps
    every parameter is 1 - t/4, in whatever order, fused or not, it is computed.

What it breaks
    torch.optim.SGD(fused=True) of torch 2.13 on the CPU leaves the first 96 parameters at 1, and
    moves the last four, which no whole vector of the processor holds: in its loop over vectors the
    parameter is never stored.  What is missing is the whole step, not a
    rounding.

Which hypotheses were needed
    The CPU; float16 or bfloat16; at least as many parameters as a vector has lanes.  In float32 the
    same kernel is right, and so are the fused forms of Adam, AdamW and Adagrad here.

What repairs it
    foreach=True or False; float32; or a later torch.

Source
    pytorch/pytorch, issue 191763 (2026); found here by the claim fused-kernel as well.

What stays open
    The kernel has no formula: what it does is what it is seen to do, in this version of torch.  In
    one that is repaired this page says "undecided", and the run says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from ..theory.records import Goal, Source, Step
from .record import Asked, Counterexample, Evidence, Optimizer, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

START, SLOPE, ALPHA = Fraction(1), Fraction(1), Fraction(1, 4)
#: Not a multiple of any vector's lanes, and more than any has.
SIZE = 100
#: 1 - t/4 is a bfloat16 number up to here.
LONGEST = 256
REPLAY_STEPS, RUN_STEPS = LONGEST, 3
HALVES = ("float16", "bfloat16")


def derivation() -> tuple[Step, ...]:
    """Return that nothing is rounded, and that 1 is outside of what rounding could allow."""
    from .fused_sgd_half_proof import steps

    return steps()


def control() -> Goal:
    """Return that nothing is rounded in bfloat16 at α = 1/1024 either."""
    from .fused_sgd_half_proof import control as near_miss

    return near_miss()


def after(steps: int) -> Fraction:
    """Return every parameter after that many steps, by the rule."""
    return START - steps * ALPHA * SLOPE


def replay(steps: int) -> Evidence:
    """Run the rule in each format with its roundings, and torch's unfused forms beside it."""
    import torch

    from ..theory.floats import BFLOAT16, FLOAT16, FLOAT32, stored

    rows, failure = [], ""
    for form in (FLOAT16, BFLOAT16, FLOAT32):
        x, rounded = START, 0
        for _ in range(steps):
            exact = x - ALPHA * SLOPE
            x = stored(form, exact)
            rounded += x != exact
        agree = []
        for foreach in (False, True):
            path = _follow(lambda p, f=foreach: torch.optim.SGD(p, lr=float(ALPHA), foreach=f),  # type: ignore[misc]
                           form.name, steps)  # fmt: skip
            agree.append({Fraction(value) for value in path[-1]} == {x})
        if rounded or x != after(steps) or not all(agree):
            failure = failure or f"{form.name}: an unfused form, or rounding, leaves 1 - t/4"
        rows.append((form.name, f"{steps:,}", str(x), str(rounded), "yes" if all(agree) else "no"))
    return Evidence(
        f"x - α g in exact rationals, rounded to the format after each of {steps:,} steps.",
        ("format", "steps", "every parameter", "roundings that changed a number",
         "torch.optim.SGD, unfused, equal"),
        tuple(rows),
        failure,
    )  # fmt: skip


def _follow(make: Optimizer, dtype: str, steps: int, device: str = "cpu") -> list[list[float]]:
    from .feed import feed

    slopes = [float(SLOPE)] * SIZE
    return feed(make, [float(START)] * SIZE, lambda x, t: slopes, steps, dtype=dtype, device=device)


def _formula(steps: int) -> list[float]:
    """Run the rule in float64."""
    from ..theory.evaluate import compiled
    from ..theory.rules import sgd
    from .players import FLOATS

    line, x = compiled({"x": sgd().transition()["x"]}, FLOATS), float(START)
    for _ in range(steps):
        x = line({"x": x, "g": float(SLOPE), "alpha": float(ALPHA)})["x"]
    return [x] * SIZE


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run gradient descent fused and not, in each format; the fused form on the CPU, as claimed."""
    import torch

    from .. import optimizers as ours

    steps, lr, device = min(asked.steps or RUN_STEPS, LONGEST), float(ALPHA), asked.device
    made: tuple[tuple[str, str, Optimizer, str], ...] = (
        ("torch.optim.SGD", "not fused", lambda p: torch.optim.SGD(p, lr=lr), device),
        ("adamproof SGD", "not fused", lambda p: ours.SGD(p, lr=lr), device),
        ("torch.optim.SGD(fused=True)", "fused", lambda p: torch.optim.SGD(p, lr=lr, fused=True), "cpu"),
    )
    out = [_run("paper's formula", "x - α g", _formula(steps), steps, skips=False)]
    for dtype in (*HALVES, "float32"):
        for name, method, make, where in made:
            skips = method == "fused" and dtype in HALVES
            found = _follow(make, dtype, steps, where)[-1]
            out.append(_run(name, f"{method}, {dtype}", found, steps, skips=skips))
    for name, make in asked.guests:
        found = _follow(make, HALVES[0], steps, device)[-1]
        out.append(_run(name, f"{name}, {HALVES[0]}", found, steps, skips=None))
    return tuple(out)


def _run(name: str, method: str, found: list[float], steps: int, *, skips: bool | None) -> Run:
    left = [i for i, x in enumerate(found) if x == float(START)]
    wrong = [i for i, x in enumerate(found) if x != float(after(steps))]
    failure = ""
    if skips and not wrong:
        import torch

        failure = f"the fused kernel of torch {torch.__version__} moves every parameter: it is repaired"
    elif skips and not 0 < len(left) == len(wrong) < SIZE:
        failure = f"{name}, {method}: parameters are wrong in another way than by not moving"
    elif skips is False and wrong:
        failure = f"{name}, {method}: a parameter is not {after(steps)}"
    told: dict[str, float | str] = {
        "parameters that did not move": f"{len(left)} of {SIZE}",
        "first": found[0],
        "last": found[-1],
    }
    return Run(name, method, steps, told, found, failure=failure)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw where each parameter is."""
    from .picture import STYLES, plain

    figure.subplots_adjust(left=0.085, right=0.97, top=0.92, bottom=0.2)
    axes = figure.subplots()
    methods = ("not fused, float16", "fused, float16", "fused, bfloat16", "fused, float32")
    known = [run for run in found if run.method in methods]
    guests = [run for run in found[1:] if "fused" not in run.method]
    for run, (colour, _), mark, size in zip(
        [*known, *guests], STYLES, ("s", "o", ".", ".", "x", "+"), (7, 8, 5, 3, 5, 5), strict=False
    ):
        axes.plot(range(1, SIZE + 1), run.curve, linestyle="", marker=mark, markersize=size,
                  color=colour, label=run.method)  # fmt: skip
    axes.axhline(float(START), color="0.45", linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    axes.annotate("where they began", (1, float(START)), xytext=(0, 6), textcoords="offset points")
    axes.set_xlabel("parameter")
    axes.set_ylabel(f"its value after {found[0].steps} steps of 1/4")
    axes.set_ylim(min(min(run.curve) for run in found) - 0.1, float(START) + 0.12)
    plain(axes)
    figure.legend(loc="lower center", ncols=4, frameon=False)


COUNTEREXAMPLE = Counterexample(
    id="fused-sgd-half",
    title="fused=True computes the same, only faster.",
    why_believed="torch's documentation offers it as the fastest of three forms that do the same.",
    object="A hundred parameters at 1, gradients 1, α = 1/4, in float16 and bfloat16: no operation "
    "rounds anything, so every parameter is 1 - t/4 after t steps.",
    breaks="torch.optim.SGD(fused=True) of torch 2.13 on the CPU leaves at 1 all parameters that a "
    "whole vector of the processor holds: 96 of them.",
    repair="foreach=True or False; float32; a later torch.",
    source=Source(
        "pytorch/pytorch",
        2026,
        "Fused SGD on CPU silently skips vectorized fp16 and bf16 parameter updates",
        where="issue 191763",
    ),
    open="The kernel has no formula: what it does is what it is seen to do, in this version of torch.",
    headline="torch 2.13: fused gradient descent in half precision leaves most parameters alone (CPU)",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=REPLAY_STEPS,
    refutes=("fused-kernel",),
)
