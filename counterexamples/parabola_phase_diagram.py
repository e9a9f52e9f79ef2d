"""False: with a falling rate, Adam ends at the minimiser of a sum of parabolas.

Why one would believe it
    The failures of Reddi, Kale & Kumar (2018) are on linear losses, which nothing holds in place; a
    curvature pulls x home, and gradient descent with α/√t does end at the minimiser.

The object
    On [-10, 10], f_t(x) = (x - b_t)²/2 with b = -10, 3, 3, 3 and so on, for *every* pair of betas in
    [0, 1)², ε = 10^-8, α_t = α/√t, clamped after each step.  The minimiser is the mean -1/4 of the b.

What it breaks
    The steps become small, so the moments are those of a run that stands still at x, and x drifts
    with -D(x), D(x) = Σ m_j(x)/(√v_j(x) + ε).  Where D is not 0 there is no limit point.  Adam is
    drawn from the mean towards the median, 3: at β = (0, 1/10) every run ends between 2.61 and 2.66.
    D(-1/4) is not 0 even at β = (9/10, 999/1000).

What repairs it
    β2 close to 1, up to any distance: then all v_j are nearly equal, and D has the sign of the mean
    gradient, as Σ m_j = Σ g_j.  The diagram certifies where Adam ends within 1 of the minimiser, and
    where it does not.

Source
    Zhang et al. (2022), arXiv 2208.09632, have the neighbourhood, which shrinks as β2 tends to 1, for
    smooth finite sums; the object and the diagram are ours.

What stays open
    The cells that are not certified, along the border and near β2 = 0.  For a constant rate the same
    enclosures give an interval that holds every limit point, where the rate is small enough and
    β1 < √β2; how Adam moves inside it is not known (``adam_limit_cycle``).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

from ..theory.records import Goal, Step
from ..theory.sources import ZC22
from .record import Asked, Counterexample, Evidence, Optimizer, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .diagram import Cells
    from .harness import Method
    from .parabolas import Parabolas

TARGETS = (Fraction(-10), Fraction(3), Fraction(3), Fraction(3))
LOW, HIGH, EPS = Fraction(-10), Fraction(10), Fraction("1e-8")
ALPHA, START = Fraction(1), Fraction(0)
#: Near the minimiser is within this.
RADIUS = Fraction(1)
#: Betas whose limit is enclosed; those of the runs come first.
BETAS = tuple(
    (Fraction(a), Fraction(b))
    for a, b in (("0", "1/10"), ("0", "1/2"), ("1/2", "1/2"), ("9/10", "999/1000"), ("9/10", "99/100"))
)
RUN_BETAS = BETAS[:4]
#: A constant rate for which an interval is certified that every run enters and never leaves.
CONSTANT = Fraction(1, 10**5)
COARSE, DEPTH = 32, 4
#: Steps of the enclosed run and how narrow it must be at its end; steps of the float runs.
REPLAY_STEPS, WIDTH, RUN_STEPS, GUEST = 4_000, Fraction(1, 10**12), 4_000, 4_000
#: How far from the certified limit a run may be at its end, and from the enclosed run.
WITHIN, CLOSE = 0.05, 1e-9


def losses(alpha: Fraction = Fraction(0)) -> Parabolas:
    """Return the losses, with a constant rate or with rates α/√t."""
    from .parabolas import Parabolas

    return Parabolas((Fraction(1),) * len(TARGETS), tuple(-b for b in TARGETS), LOW, HIGH, EPS, alpha)


@cache
def square() -> Cells:
    """Return the certified diagram."""
    from .parabolas import square as of

    return of(losses(), RADIUS, coarse=COARSE, depth=DEPTH)


@cache
def limits(beta1: Fraction, beta2: Fraction, alpha: Fraction) -> tuple[Fraction, Fraction]:
    """Return two ends between which every limit point lies; those of the losses if nothing is known."""
    from .parabolas import trap

    found = trap(losses(alpha), beta1, beta2)
    return (found.low, found.high) if found else (LOW, HIGH)


def derivation() -> tuple[Step, ...]:
    """Return that the sign of D at x decides, and that it is not 0 at the minimiser."""
    from .parabola_phase_diagram_proof import steps

    return steps()


def control() -> Goal:
    """Return the sign of D at the minimiser as it would have to be for Adam to come from above."""
    from .parabola_phase_diagram_proof import control as near_miss

    return near_miss()


def replay(steps: int) -> Evidence:
    """Enclose the limits and a run at some betas, and say what the diagram certifies."""
    from .enclosed import enclosed

    rows, failure, away = [], "", 0
    at = losses().minimiser
    for beta1, beta2 in BETAS:
        low, high = limits(beta1, beta2, Fraction(0))
        tight = limits(beta1, beta2, CONSTANT)
        found = enclosed(losses(), beta1, beta2, ALPHA, START, steps, WIDTH)
        if found is None or tight == (LOW, HIGH):
            failure = failure or f"β = ({beta1}, {beta2}): no enclosure"
            continue
        away += low > at + RADIUS
        if steps >= REPLAY_STEPS and not low - WITHIN <= found[0].low <= found[0].high <= high + WITHIN:
            failure = failure or f"β = ({beta1}, {beta2}): the enclosed run is not near its limit"
        rows.append((
            f"({beta1}, {beta2})", f"[{float(low):+.4f}, {float(high):+.4f}]",
            f"[{float(tight[0]):+.4f}, {float(tight[1]):+.4f}]",
            f"{float(found[0].low):+.12f}", f"{float(found[0].high - found[0].low):.0e}", str(found[1]),
        ))  # fmt: skip
    cells = square()
    near, far, rest = (100 * cells.share(sign) for sign in (1, -1, 0))
    if not away or near < 50 or far < 10:
        failure = failure or "the diagram certifies too little"
    return Evidence(
        f"The minimiser is {at}.  Of the unit square of betas, all limit points are certified to be "
        f"within {RADIUS} of it on {near:.1f} %, farther away on {far:.1f} %, and {rest:.1f} % are open "
        f"(float64 intervals).  The runs are {steps:,} steps in Arb, from x = {START}.",
        ("β", "all limit points, α_t = α/√t", f"the same, α_t = {CONSTANT}", "x at the end",
         "enclosed to", "with bits"),
        tuple(rows),
        failure,
    )  # fmt: skip


def method(beta1: Fraction, beta2: Fraction) -> Method:
    """Return Adam with these betas."""
    from .harness import Method

    return Method(False, "corrected", (beta1, beta2), EPS)


def _path(make: Optimizer, steps: int, device: str) -> list[float]:
    """Run a real optimizer."""
    import math

    from .players import Real

    player, out = Real(make, START, device), [float(START)]
    for t in range(1, steps + 1):
        player.step(player.x - float(TARGETS[(t - 1) % len(TARGETS)]), float(ALPHA) / math.sqrt(t))
        player.clamp(LOW, HIGH)
        out.append(player.x)
    return out


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run torch's Adam and ours beside the enclosed run."""
    from .enclosed import enclosed

    steps, rows = asked.steps or RUN_STEPS, []
    for done, (beta1, beta2) in enumerate(RUN_BETAS):
        asked.report("Adam on parabolas", done, len(RUN_BETAS))
        found = enclosed(losses(), beta1, beta2, ALPHA, START, steps, WIDTH)
        low, high = limits(beta1, beta2, Fraction(0))
        label = f"Adam, β = ({float(beta1):g}, {float(beta2):g})"
        for name, make in method(beta1, beta2).implementations():
            path = _path(make, steps, asked.device)
            gap = abs(path[-1] - float(found[0].middle)) if found else float("inf")
            wrong = "" if gap <= CLOSE else f"{name} leaves the enclosed run by {gap:.1e}"
            last = sum(path[-len(TARGETS) :]) / len(path[-len(TARGETS) :])
            told = f"{label} is at {last:+.4f} after {steps:,} steps, and its limit between " \
                f"{float(low):+.4f} and {float(high):+.4f}"  # fmt: skip
            far = not float(low) - WITHIN <= last <= float(high) + WITHIN
            failure = told if far and steps >= RUN_STEPS else ""
            curve = (float(beta1), float(beta2), path[-1])
            rows.append(Run(name, label, steps, _found(path, low, high), curve,
                            f"within {gap:.1e} of the enclosed run", told if far else "",
                            wrong or failure))  # fmt: skip
    for name, make in asked.guests:
        path = _path(make, min(steps, GUEST), asked.device)
        rows.append(Run(name, name, len(path) - 1, _found(path, LOW, HIGH), None))
    asked.report("Adam on parabolas", len(RUN_BETAS), len(RUN_BETAS))
    return tuple(rows)


def _found(path: Sequence[float], low: Fraction, high: Fraction) -> dict[str, float | str]:
    return {
        "x at the end": path[-1],
        "to the minimiser": abs(path[-1] - float(losses().minimiser)),
        "certified limit": f"[{float(low):+.4f}, {float(high):+.4f}]",
    }


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the square, and where the runs are."""
    from .diagram_picture import draw_verdicts

    at = float(losses().minimiser)
    ends = [run.curve for run in found if run.curve]
    points = [(beta1, beta2, abs(x - at) > RADIUS) for beta1, beta2, x in ends]
    draw_verdicts(figure, square(), points, f"within {RADIUS} of the minimiser")


COUNTEREXAMPLE = Counterexample(
    id="parabola-phase-diagram",
    title="With a falling rate, Adam ends at the minimiser of a sum of parabolas.",
    why_believed="The failures of Reddi et al. (2018) are on linear losses, which nothing holds in "
    "place; gradient descent with α/√t does end at the minimiser.",
    object="On [-10, 10]: f_t(x) = (x - b_t)²/2, b = -10, 3, 3, 3 and so on, and every (β1, β2) in "
    "[0, 1)², ε = 10^-8, α_t = α/√t, clamped after each step.",
    breaks="Adam drifts with -Σ m_j(x)/(√v_j(x) + ε), the moments of a run that stands still at x.  "
    "That is not 0 at the minimiser -1/4: Adam is drawn from the mean of the b towards their median, at "
    "β = (0, 1/10) to between 2.61 and 2.66.",
    repair="β2 close to 1, up to any distance from the minimiser that is asked for.",
    source=ZC22(""),
    open="The cells along the border and near β2 = 0; how Adam moves inside the interval where it ends "
    "up at a constant rate.",
    headline="Where Adam ends on (x + 10)²/2 and three times (x − 3)²/2, certified for every (β1, β2)",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=REPLAY_STEPS,
)
