"""False: a float32 step counter is harmless.

Why one would believe it
    Deep learning takes thousands of steps, not billions; torch and our optimizers keep the counter
    in float32; and Adam's corrections 1 - β^t are 1 long before a counter could matter.

The object
    AdaGrad with a falling rate, α_t = α/(1 + (t - 1) η), α = 1, η = 1/10, as torch.optim.Adagrad
    has it with ``lr_decay``; gradients 1; and the counter that float32 makes of t = 1, 2, 3, …

What it breaks
    float32 has no number between 2^24 and 2^24 + 2, and 2^24 + 1 is rounded back to 2^24: there the
    counter stays.  So the rate stays at 10/16777225, while α_t tends to 0: at t = 2^30 the step is
    almost 64 times too long, and later by every factor.  The sum of the rates grows linearly, not
    like a logarithm.

Which hypotheses were needed
    η > 0, and more than 2^24 steps, which is 16.8 million.

What repairs it
    A counter that is a whole number, or float64 (which stops at 2^53).  Rules whose t stands in
    powers alone need no repair: with β <= 1 - 1/310690 every correction is 1 in float64 by then
    (``theory.counter``), which Adam shows here.

Source
    Folklore; what each rule still knows of t is ``theory.counter``'s.

What stays open
    A run of 2^24 real steps: the counter is set near there, as a checkpoint would, and steps on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..theory.records import Goal, Step
from ..theory.sources import FOLKLORE
from .record import Asked, Counterexample, Evidence, Optimizer, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALPHA, ETA = Fraction(1), Fraction(1, 10)
#: Where a float32 counter stays.
STALL = 2**24
#: How far the picture looks, as a power of two.
LAST = 34
REPLAY_STEPS, RUN_STEPS = 64, 64


def derivation() -> tuple[Step, ...]:
    """Return that the counter stays, and what AdaGrad's rate is then worth."""
    from .step_counter_float32_proof import steps

    return steps()


def control() -> Goal:
    """Return that the stalled rate is too large by a factor of at most 2."""
    from .step_counter_float32_proof import control as near_miss

    return near_miss()


def rate(count: int | Fraction) -> Fraction:
    """Return α_t at a count."""
    return ALPHA / (1 + (count - 1) * ETA)


def counted(t: int) -> int:
    """Return what float32 counts after t steps: every whole number up to 2^24, then that one."""
    return min(t, STALL)


def replay(steps: int) -> Evidence:
    """Count in float32 across 2^24, rounding exactly, and compare the rates; then far beyond."""
    from ..theory.floats import FLOAT32

    rows, failure = [], ""
    begin = STALL - max(1, steps // 2)
    count, shown = Fraction(begin), {begin, STALL - 1, STALL, STALL + 1, begin + steps}
    for t in range(begin + 1, begin + steps + 1):
        count = FLOAT32.round(count + 1)
        if count != counted(t):
            failure = failure or f"after {t:,} steps float32 counts {count}, not {counted(t):,}"
        if t in shown:
            rows.append(_row(t, int(count)))
    for power in (25, 30, 40, 53):
        if FLOAT32.round(Fraction(STALL + 1)) != STALL:
            failure = failure or "float32 counts past 2^24"
        rows.append(_row(2**power, STALL, f"2^{power}"))
    return Evidence(
        f"A counter in float32 from {begin:,} on, rounded exactly at each of {steps:,} steps; it is at "
        "a fixed point by 2^24.  Rates are rationals.",
        ("t", "counter", "rate at the counter", "rate at t", "too large by"),
        tuple(rows),
        failure,
    )


def _row(t: int, count: int, name: str = "") -> tuple[str, ...]:
    mine, true = rate(count), rate(t)
    return (name or f"{t:,}", f"{count:,}", str(mine), str(true), f"{float(mine / true):.9g}")


@dataclass(frozen=True)
class Lengths:
    """How long a step is at each t, with the counter as float32 has it and with a true one."""

    t: list[int]
    stalled: list[float]
    true: list[float]


def _state(optimizer: Any) -> Any:
    (state,) = optimizer.state.values()
    return state


def _step(make: Optimizer, t: int, count: int, dtype: str, device: str) -> float:
    """Return the length of step t from 0 when the counter stands at a count before it.

    The state is the one that t - 1 gradients of 1 leave, for the averages and sums that are known.
    """
    import torch

    x = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64, device=device))
    optimizer = make([x])
    x.grad = torch.ones_like(x)
    optimizer.step()  # the state begins with the first step
    state, betas = _state(optimizer), optimizer.param_groups[0].get("betas", (0, 0))
    left = {"sum": t - 1.0}
    left |= {n: 1 - b ** (t - 1) for n, b in zip(("exp_avg", "exp_avg_sq"), betas, strict=False)}
    with torch.no_grad():
        x.zero_()
        for name in left.keys() & state.keys():
            state[name].fill_(left[name])
    where = getattr(state["step"], "device", "cpu")
    state["step"] = torch.tensor(float(count), dtype=getattr(torch, dtype), device=where)
    optimizer.step()
    return abs(x.item())


def _counter(make: Optimizer, steps: int, device: str) -> list[float]:
    """Return the counter of a real optimizer that steps on from just before 2^24."""
    import torch

    x = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64, device=device))
    optimizer = make([x])
    x.grad = torch.ones_like(x)
    optimizer.step()
    state, seen = _state(optimizer), []
    kept = state["step"]
    state["step"] = torch.full_like(kept, STALL - max(1, steps // 2))  # of the dtype that it has
    for _ in range(steps):
        optimizer.step()
        seen.append(float(state["step"]))
    return seen


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run AdaGrad and Adam at counters up to 2^34, and across 2^24."""
    import torch

    from .. import optimizers as ours

    steps, lr, eta = asked.steps or RUN_STEPS, float(ALPHA), float(ETA)
    times = [2**k for k in range(LAST + 1)]
    formula = Lengths(times, [float(rate(counted(t))) / t**0.5 for t in times],
                      [float(rate(t)) / t**0.5 for t in times])  # fmt: skip
    out = [_run("paper's formula", "AdaGrad", formula, steps, None, harmed=True)]
    made: tuple[tuple[str, str, Optimizer, bool | None], ...] = (
        ("torch.optim.Adagrad", "AdaGrad", lambda p: torch.optim.Adagrad(p, lr=lr, lr_decay=eta), True),
        ("adamproof Adagrad", "AdaGrad", lambda p: ours.Adagrad(p, lr=lr, lr_decay=eta), True),
        ("torch.optim.Adam", "Adam", lambda p: torch.optim.Adam(p, lr=lr), False),
        ("adamproof Adam", "Adam", lambda p: ours.Adam(p, lr=lr), False),
        *((name, name, make, None) for name, make in asked.guests),
    )
    for name, method, make, harmed in made:
        try:
            seen = _counter(make, steps, asked.device)
            # before step t a float32 counter has counted t - 1 steps
            stalled = [_step(make, t, counted(t - 1), "float32", asked.device) for t in times]
            true = [_step(make, t, t - 1, "float64", asked.device) for t in times]
        except (KeyError, ValueError, TypeError) as error:
            out.append(Run(name, method, steps, {}, remark=f"its counter is not to be set: {error}"))
            continue
        out.append(_run(name, method, Lengths(times, stalled, true), steps, seen, harmed=harmed))
    return tuple(out)


def _run(name: str, method: str, found: Lengths, steps: int, seen: list[float] | None, *,
         harmed: bool | None) -> Run:  # fmt: skip
    ratios = [a / b for a, b in zip(found.stalled, found.true, strict=True)]
    failure = ""
    if seen is not None and harmed is not None:
        told = [float(counted(STALL - max(1, steps // 2) + k)) for k in range(1, steps + 1)]
        if seen != told:
            failure = f"{name}: the counter does not stop at 2^24"
    at = found.t.index(STALL)
    expected = [float(rate(counted(t)) / rate(t)) for t in found.t]
    if harmed and any(abs(a / b - 1) > 1e-9 for a, b in zip(ratios, expected, strict=True)):
        failure = failure or f"{name}: a step is not in the ratio of the two rates"
    if harmed is False and any(ratio != 1 for ratio in ratios):
        failure = failure or f"{name}: a step at a stalled counter is not the true one"
    if any(ratio != 1 for ratio in ratios[: at + 1]):
        failure = failure or f"{name}: the counter matters before 2^24"
    measured: dict[str, float | str] = {
        "counter stops at": f"{seen[-1]:,.0f}" if seen and seen[-2:] == [STALL] * 2 else "-",
        "step at t = 2^30, too long by": ratios[found.t.index(2**30)],
        f"at t = 2^{LAST}, by": ratios[-1],
    }
    return Run(name, method, steps, measured, found, failure=failure)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the length of a step against t, with a float32 counter and with a true one."""
    from .picture import STYLES, frame

    figure.subplots_adjust(left=0.095, right=0.97, top=0.92, bottom=0.17)
    axes = figure.subplots()
    shown = [run for run in found if run.curve is not None]
    for run, (thin, thick) in zip(shown, zip(STYLES[3:], STYLES[1:], strict=False), strict=False):
        curve = run.curve
        axes.plot(curve.t, curve.stalled, color=thick[0], linewidth=2.6, zorder=2,
                  label=f"{run.method}, float32 counter")  # fmt: skip
        axes.plot(curve.t, curve.true, color=thin[0], linewidth=1.6, linestyle="--", zorder=3,
                  label=f"{run.method}, true counter")  # fmt: skip
    axes.axvline(STALL, color="0.45", linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    axes.annotate("$2^{24}$: the counter stops", (STALL, 0.62), xytext=(-6, 0), ha="right",
                  xycoords=("data", "axes fraction"), textcoords="offset points")  # fmt: skip
    frame(axes, "step $t$", "length of the step, all gradients 1, α = 1", "xy")
    figure.legend(loc="lower center", ncols=2, frameon=False)


COUNTEREXAMPLE = Counterexample(
    id="step-counter-float32",
    title="A float32 step counter is harmless.",
    why_believed="2^24 steps are more than anyone takes, and Adam's corrections are 1 long before.",
    object="AdaGrad with the rate α/(1 + (t - 1) η), α = 1, η = 1/10, gradients 1; t counted in "
    "float32.",
    breaks="The counter stays at 2^24 and the rate at 10/16777225, where the true one tends to 0: "
    "almost 64 times too long at t = 2^30, later by every factor.",
    repair="A counter that is a whole number, or float64; or a rule whose t stands in powers of β "
    "alone, as Adam's.",
    source=FOLKLORE,
    open="A run of 2^24 real steps: the counter is set near there, as a checkpoint would.",
    headline="A float32 counter stops at 2^24, and AdaGrad's falling rate with it; Adam does not notice",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=REPLAY_STEPS,
    refutes=("step-counter-float32",),
)
