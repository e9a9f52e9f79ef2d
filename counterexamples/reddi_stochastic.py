"""False: with random losses, Adam is drawn to the point that is best on average.

Why one would believe it
    Random gradients are what Adam is made for, and both of its averages have the right mean; Kingma
    & Ba (2015) derive it for stochastic objectives.

The object
    On [-1, 1], f_t(x) = C x with probability p = (1 + δ)/(C + 1), else f_t(x) = -x, independently,
    with δ > 0.  Adam with any 0 <= β1 < √β2 < 1, α_t = α/√t and ε = 0, clamped after each step.

What it breaks
    The expected slope is δ > 0, so -1 is the best point.  Yet for C large, the expected step of Adam,
    E[-α_t m_t/√v_t], is upwards at every t >= 1, by at least
    α_t (1 - β1)((1 - p)/√M - p/√κ), M = 1 + (1 + δ)(C - 1), κ = (1 - β2)(1 - β1/√β2)².

Which hypotheses were needed
    C >= δ + 2(1 + δ)³/κ is enough, or κ (C - δ)² > (1 + δ)² M, which is less.  The bias correction
    multiplies the expected step by a positive number.

What repairs it
    AMSGrad, in each of its three orders, in these runs (measured).

Source
    Reddi, Kale & Kumar (2018), arXiv 1904.09237v1, Theorem 3; the inequality here is our own.

What stays open
    What is proved is the sign of the expected step before clamping, as in the paper.  Where the mean
    iterate goes is measured, with an interval that holds for any distribution on [-1, 1].  A small
    ε > 0 is not proved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

from ..theory.records import Goal, Step
from ..theory.sources import RKK18
from .record import Asked, Counterexample, Evidence, Optimizer, Run

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..theory.interval import Interval
    from .harness import Method
    from .seeds import Draw, Spread

#: The game of the runs.
SLOPE, DELTA, RUN_BETAS = Fraction(160), Fraction(1, 2), (Fraction(1, 2), Fraction(9, 10))
#: Other betas for which a C is computed and certified.
BETAS = tuple(
    (Fraction(a), Fraction(b))
    for a, b in (("0", "1/2"), ("0", "999/1000"), ("9/10", "99/100"), ("9/10", "999/1000"))
)
ALPHA, START = Fraction(1), Fraction(0)
#: Length and number of the float runs; of fewer, ends are shown and not judged.
RUN_STEPS, SEEDS = 50_000, 2_000
#: Probability that an interval misses the mean.
RISK = 1e-6
#: Steps over which the compiled loop is held against the implementation, on all seeds, and how close
#: it must stay; the seeds that a guest plays, and its steps.
PREFIX, CLOSE, GUEST = 200, 1e-9, 5_000
#: How close to an end the mean of all seeds must be.
WITHIN = 0.15


def kappa_root(beta1: Fraction, beta2: Fraction) -> Interval:
    """Return √κ = √(1 - β2) (1 - β1/√β2)."""
    from ..theory.interval import Interval

    return (1 - Interval.of(beta2)).sqrt() * (1 - beta1 / Interval.of(beta2).sqrt())


def lower_bound(beta1: Fraction, beta2: Fraction, slope: Fraction, excess: Fraction) -> Interval:
    """Return (1 - β1)((1 - p)/√M - p/√κ), which E[-m_t/√v_t] is at least."""
    from ..theory.interval import Interval

    chance, top = (1 + excess) / (slope + 1), 1 + (1 + excess) * (slope - 1)
    down = chance / kappa_root(beta1, beta2)
    return (1 - beta1) * ((1 - chance) / Interval.of(top).sqrt() - down)


@cache
def instance(beta1: Fraction, beta2: Fraction, excess: Fraction) -> int:
    """Return a whole C for which the bound is positive, found by doubling and then halving the gap.

    Raises:
        ValueError: not 0 <= β1 < √β2 < 1, or δ <= 0.
    """
    if beta1 < 0 or beta1**2 >= beta2 or beta2 >= 1 or excess <= 0:
        raise ValueError(
            "Theorem 3 of Reddi et al. (2018) is about 0 <= β1 < √β2 < 1 and δ > 0, and "
            f"β1 = {beta1}, β2 = {beta2}, δ = {excess} leave it."
        )

    def enough(slope: int) -> bool:
        return lower_bound(beta1, beta2, Fraction(slope), excess).certainly_positive()

    below = math.floor(excess) + 1
    above = 2 * below
    while not enough(above):
        below, above = above, 2 * above
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if enough(middle) else (middle, above)
    return above


def derivation() -> tuple[Step, ...]:
    """Return the bound on the expected step at every t, and where it is positive."""
    from .reddi_stochastic_proof import steps

    return steps()


def control() -> Goal:
    """Return the bound at a smaller C, where it is negative."""
    from .reddi_stochastic_proof import control as near_miss

    return near_miss()


def draw_of_runs() -> Draw:
    """Return the losses of the runs."""
    from .seeds import Draw

    return Draw(SLOPE, (1 + DELTA) / (SLOPE + 1), ALPHA, START)


def methods() -> tuple[Method, ...]:
    """Return Adam with and without its correction, and AMSGrad in its three orders."""
    from .reddi_general_beta import methods as of

    return of(RUN_BETAS)


def replay(steps: int) -> Evidence:
    """Take the mean over all sequences of slopes, in rationals with enclosed roots."""
    from ..theory.interval import Interval
    from .harness import Game, play
    from .players import Counting, Paper

    adam, losses = methods()[0], draw_of_runs()
    zero = Interval.of(0)
    drift, where, chances = [zero] * steps, [zero] * steps, Fraction(0)
    for rare in product((True, False), repeat=steps):
        chance = Fraction(math.prod(losses.chance if r else 1 - losses.chance for r in rare))
        chances += chance
        paper = Paper(adam, Counting(), START)
        game = Game(tuple(SLOPE if r else Fraction(-1) for r in rare), ALPHA, START)
        for t in range(steps):
            play(game, paper, 1, t)
            push = -paper.state("exp_avg") / paper.state("exp_avg_sq").sqrt()
            drift[t] = drift[t] + push * chance
            where[t] = where[t] + paper.x * chance
    least = lower_bound(*RUN_BETAS, SLOPE, DELTA)
    failure = "" if chances == 1 else "the chances do not add up to 1"
    rows = []
    for t in range(steps):
        if not (drift[t] - least).lo >= 0:
            failure = failure or f"the expected step at t = {t + 1} is below what is proved"
        rows.append((str(t + 1), f"{2 ** (t + 1):,}", f"{float(drift[t]):+.6f}",
                     f"{float(least.lo):+.6f}", f"{float(where[t]):+.6f}"))  # fmt: skip
    return Evidence(
        f"All {2**steps:,} sequences of {steps} slopes with their chances, C = {SLOPE}, δ = {DELTA}, "
        f"β = ({RUN_BETAS[0]}, {RUN_BETAS[1]}), in exact rationals with enclosed roots.",
        ("t", "sequences", "E[-m_t/√v_t]", "proved: at least", "E x_{t+1}"),
        tuple(rows),
        failure,
    )


def interval(values: NDArray[np.float64], low: float, high: float) -> tuple[float, float]:
    """Return an interval that misses the mean of independent values in [low, high] with chance RISK.

    Maurer & Pontil (2009), Theorem 4 (empirical Bernstein), on both sides; for any distribution.
    """
    import numpy as np

    n, mean, log = len(values), float(np.mean(values)), math.log(4 / RISK)
    if n == 1:
        return low, high
    spread = float(np.var(values, ddof=1))
    half = math.sqrt(2 * spread * log / n) + 7 * (high - low) * log / (3 * (n - 1))
    return max(low, mean - half), min(high, mean + half)


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run all seeds on every implementation."""
    from . import seeds as many

    losses, steps, seeds = draw_of_runs(), asked.steps or RUN_STEPS, asked.seeds or SEEDS
    prefix = min(steps, PREFIX)
    rows = []
    for method in methods():
        found = many.advance(losses, method, seeds, steps, asked.report)
        short = many.advance(losses, method, seeds, prefix)
        remark, failure = _claimed(method, found, steps < RUN_STEPS or seeds < SEEDS)
        players: list[tuple[str, Optimizer | None]] = [*method.implementations()]
        for name, make in players or [("the paper's formula", None)]:
            slow = many.Vector(losses, method, seeds, make, asked.device).advance(prefix)
            gap = float(abs(slow.x - short.x).max())
            text = f"within {gap:.1e}, {seeds:,} seeds, {prefix:,} steps"
            wrong = "" if gap <= CLOSE else f"the compiled loop does not stand for {name}: {text}"
            label = f"{method.name} (ε = {float(method.eps):g})".replace("e-0", "e-")
            rows.append(Run(name, label, steps, _found(found), found, text, remark, wrong or failure))
    for name, make in asked.guests:
        length = min(steps, GUEST)
        found = many.Vector(losses, name, seeds, make, asked.device).advance(length, asked.report)
        rows.append(Run(name, name, length, _found(found), found))
    return tuple(rows)


def _found(run: Spread) -> dict[str, float | str]:
    ends, pushes = run.x[:, -1], run.drift[:, -1]
    low, high = interval(ends, -1, 1)
    return {
        "mean x at the end": float(ends.mean()),
        "interval of the mean": f"[{low:+.4f}, {high:+.4f}]",
        "lowest": float(ends.min()),
        "highest": float(ends.max()),
        "mean step / α_t": float(pushes.mean()),
    }


def _claimed(method: Method, run: Spread, few: bool) -> tuple[str, str]:
    """Hold a run against what is claimed of it: a remark, and what it fails to do."""
    end = -1 if method.amsgrad else 1
    low, high = interval(run.x[:, -1], -1, 1)
    mean = float(run.x[:, -1].mean())
    told = f"{method.name}: the mean of x is {mean:+.3f}, in [{low:+.3f}, {high:+.3f}]"
    if low <= 0 <= high or abs(mean - end) > WITHIN:
        told = f"{told}, not near {end:+d}"
        return (told, "") if few else ("", told)
    if not method.amsgrad:
        least = float(lower_bound(*RUN_BETAS, SLOPE, DELTA).lo)
        # no step is longer: |g| β1^i/√v_t <= γ^i/√(1 - β2) for the slope of i steps ago
        most = float((1 - RUN_BETAS[0]) / kappa_root(*RUN_BETAS).lo)
        pushed = interval(run.drift[:, -1], -most, most)
        told = f"the mean of -m/√v is in [{pushed[0]:+.3f}, {pushed[1]:+.3f}]"
        if pushed[1] < least or pushed[0] <= 0:
            told = f"{method.name}: {told}, and should be at least {least:.5f}"
            return (told, "") if few else ("", told)
        where = "" if method.correction == "none" else " for ε = 0 and no correction"
        return f"{told}; proved{where}: at least {least:.5f}", ""
    return "", ""


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the mean of all seeds with the middle 90 %, and the mean step."""
    import numpy as np

    from .picture import STYLES, plain

    figure.subplots_adjust(left=0.085, right=0.865, top=0.94, bottom=0.17, hspace=0.08)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for order, (run, (colour, style)) in enumerate(zip(found, STYLES, strict=False)):
        spread: Spread = run.curve
        look = {"color": colour, "linestyle": style, "linewidth": 2.4 if style == "-" else 1.4}
        layer = 2 + order / 10 + (0 if style == "-" else 1)
        if style == "-":  # the others' would lie on top of these
            low, high = np.quantile(spread.x, (0.05, 0.95), axis=0)
            above.fill_between(spread.t, low, high, color=colour, alpha=0.15, linewidth=0)
        above.plot(spread.t, spread.x.mean(axis=0), label=run.method, zorder=layer, **look)
        below.plot(spread.t, spread.drift.mean(axis=0), zorder=layer, **look)
    least = float(lower_bound(*RUN_BETAS, SLOPE, DELTA))
    for axes, levels in (
        (above, {1.0: "+1, worst", -1.0: "−1, best"}),
        (below, {least: f"Adam, proved:\n≥ {least:.5f}"}),
    ):
        for level, word in levels.items():
            axes.axhline(level, color="0.45", linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
            axes.annotate(word, (1.01, level), xycoords=("axes fraction", "data"), va="center")
    above.set_ylabel("$x_t$: mean of all seeds, middle 90 %")
    above.set_ylim(-1.12, 1.12)
    below.set_ylabel("mean of $-m/\\sqrt{v}$")
    below.set_xlabel("step $t$")
    below.set_xscale("log")
    below.set_yscale("symlog", linthresh=1e-3)
    below.set_xlim(1, max(2, found[0].steps))
    plain(above)
    plain(below)
    figure.legend(loc="lower center", ncols=3, frameon=False)


COUNTEREXAMPLE = Counterexample(
    id="reddi-stochastic",
    title="With random losses, Adam is drawn to the point that is best on average.",
    why_believed="Kingma & Ba (2015) derive it for stochastic objectives, and both of its averages "
    "have the right mean.",
    object="On [-1, 1]: f_t(x) = C x with probability p = (1 + δ)/(C + 1), else -x, independently, "
    "with δ > 0.  Any 0 <= β1 < √β2 < 1, α_t = α/√t, ε = 0.",
    breaks="-1 is the best point, as the expected slope is δ; yet for every "
    "C >= δ + 2(1 + δ)³/((1 - β2)(1 - β1/√β2)²) the expected step of Adam (before clamping) is upwards "
    "at every t >= 1.",
    repair="AMSGrad, in each of its three orders (measured here).",
    source=RKK18("Theorem 3"),
    open="Where the mean iterate goes is measured, not proved; so is AMSGrad.  A small ε > 0.",
    headline=f"Random losses drive Adam to the worst point (C = {SLOPE}, Reddi et al. 2018, Thm 3)",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=7,
    takes=("seeds",),
)
