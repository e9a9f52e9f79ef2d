"""False: with β1 < √β2, Adam ends at the best point of a linear problem that repeats itself.

Why one would believe it
    β1 < √β2 is what Kingma & Ba (2015), Theorem 4.1, ask of the betas (β1²/√β2 < 1, which is
    weaker), and a million steps that end at the best point look like convergence.

The object
    On [-1, 1], f_t(x) = 1010 x when t mod 101 = 1 and f_t(x) = -10 x otherwise, for *every* pair of
    betas in [0, 1)², ε = 0, α_t = α/√t, clamped after each step.

What it breaks
    The gradients do not depend on x, so the moments settle on an orbit in closed form, and the sign
    of the drift D = Σ m_j/√v_j along it decides the end.  The square is cut into cells on each of
    which that sign is proved: Adam ends at the worst point on most of β1 < √β2, the usual
    β = (0.9, 0.999) among it; near the border a million steps show the wrong end.

    Of the losses of Theorem 1 (``reddi_online``), C x once and −x twice, at β1 = 0: for every C ≥ 2
    and every β2 ≤ 3/(1 + C²), three times what the paper takes, Adam tends to +1.

What repairs it
    β2 close to 1, how close depends on the losses: at β2 = 1 all v_j are equal, so D has the sign of
    Σ g_j, whatever β1, and D is continuous there.  Zhang et al. (2022) prove that for every problem
    of another class (smooth finite sums, bounded below, without a constraint) there is a β2 from
    which on Adam converges to a neighbourhood of a critical point; a linear loss on an interval is
    not of that class, and Theorem 2 of Reddi et al. chooses its losses after the betas.

Source
    Reddi, Kale & Kumar (2018), arXiv 1904.09237v1, section 5, for the losses; the diagram is ours.

What stays open
    The sign on the cells along the border, which are small and are shown; gradients that are 0,
    which are refused (at β2 = 0 their root divides).  At β = 1 there is no Adam: the edge of the square
    has what the drift tends to there.  That N_j moves on as it does is an identity at p = 3, and the
    same words for any p.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

from ..theory.records import Goal, Step
from ..theory.sources import RKK18
from .record import Asked, Counterexample, Evidence, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .compare import Long
    from .diagram import Cells
    from .harness import Method
    from .orbit import Pattern

SLOPES = (Fraction(1010),) + (Fraction(-10),) * 100
#: Betas at which a million steps arrive, and the sign of the drift there.
STANDARD = (
    (Fraction(9, 10), Fraction(99, 100), -1),
    (Fraction(0), Fraction(999, 1000), -1),
    (Fraction(9, 10), Fraction(9999, 10000), 1),
    (Fraction(99, 100), Fraction(999, 1000), 1),
)
#: Betas next to the border, where a million steps show the wrong side.
SLOW = (
    (Fraction(9, 10), Fraction(9993, 10000), -1),
    (Fraction(9, 10), Fraction(9995, 10000), -1),
)
#: Betas whose drift is proved: these, and the default ones.
PROVED = (*STANDARD, *SLOW, (Fraction(9, 10), Fraction(999, 1000), -1))
ALPHA, START = Fraction(1, 2), Fraction(0)
RUN_STEPS = 1_000_000
#: How close to an end a run counts as having arrived.
WITHIN = 0.01
#: Cells to a side at first, and how often an uncertain one is cut in four: 1/1024 of the side at last.
COARSE, DEPTH = 32, 5
#: Cells that Arb looks at again in an exact replay.
REPLAY_CELLS = 300
#: Other losses whose diagram the replay certifies: one period of slopes each.
OTHERS = ((3, -1, -1), (10, -3, -3, -3), (7, -4, 2, -4), (-1, 4, -1, -1))


def pattern() -> Pattern:
    """Return the gradients."""
    from .orbit import Pattern

    return Pattern(SLOPES)


@cache
def square(slopes: tuple[Fraction, ...] = SLOPES) -> Cells:
    """Return the certified diagram of losses with these slopes."""
    from .diagram import diagram
    from .orbit import Pattern

    return diagram(Pattern(slopes), coarse=COARSE, depth=DEPTH)


def derivation() -> tuple[Step, ...]:
    """Return that the sign of the drift decides the end, and the sign at some betas."""
    from .beta_phase_diagram_proof import steps

    return steps()


def control() -> Goal:
    """Return the sign at β = (9/10, 99/100) as the belief has it."""
    from .beta_phase_diagram_proof import control as near_miss

    return near_miss()


def replay(steps: int) -> Evidence:
    """Certify the diagram of several losses, and hold cells of each against Arb."""
    from .diagram import settled_from
    from .orbit import Pattern

    rows, failure = [], ""
    for slopes in (SLOPES, *(tuple(map(Fraction, other)) for other in OTHERS)):
        cells = square(slopes)
        checked, wrong = _looked_at_again(Pattern(slopes), cells, min(steps, REPLAY_CELLS))
        if wrong:
            failure = failure or f"{wrong} cells of the diagram of {short(slopes)} contradict Arb"
        from_ = settled_from(cells)
        inside = cells.where(cells.right**2 <= cells.low)  # β1 ≤ √β2 all over
        if slopes == SLOPES and (from_ is None or not inside.share(-1) > 1 / 2):
            failure = failure or "the diagram certifies neither most of β1 < √β2 nor a β2 that repairs"
        shares = [f"{100 * cells.share(sign):.3f} %" for sign in (1, -1, 0)]
        repaired = "-" if from_ is None else f"{from_:.6g}"
        agree = f"{checked - wrong} of {checked}"
        rows.append((short(slopes), f"{len(cells):,}", *shares, repaired, agree))
    return Evidence(
        "The unit square of (β1, β2) in cells; on each the sign of the drift is certified in float64 "
        "intervals with outward rounding, or left open.  Shares of the area.",
        ("slopes of a period", "cells", "best, certified", "worst, certified", "open",
         "best for all β1 from β2 =", "Arb agrees"),
        tuple(rows),
        failure,
    )  # fmt: skip


def short(slopes: Sequence[Fraction]) -> str:
    """Return the slopes, runs of one number put together."""
    from itertools import groupby

    runs = [(value, len(list(group))) for value, group in groupby(slopes)]
    return ", ".join(f"{value}" if count == 1 else f"{count}×({value})" for value, count in runs)


def _looked_at_again(pattern: Pattern, cells: Cells, count: int) -> tuple[int, int]:
    """Ask Arb for the sign at a place in each of some certified cells: how many, how many differ."""
    import random

    from .orbit import sign

    draw = random.Random(1)
    certain = [i for i in range(len(cells)) if cells.sign[i]]
    chosen = draw.sample(certain, min(count, len(certain)))
    wrong = 0
    for i in chosen:
        sides = ((cells.left[i], cells.right[i]), (cells.low[i], cells.high[i]))
        place = [Fraction(float(lo)) + Fraction(draw.randint(0, 8), 8) * Fraction(float(hi - lo))
                 for lo, hi in sides]  # fmt: skip
        beta1, beta2 = (min(at, Fraction(float(hi))) for at, (_, hi) in zip(place, sides, strict=True))
        wrong += sign(pattern, beta1, beta2) != cells.sign[i]
    return len(chosen), wrong


def method(beta1: Fraction, beta2: Fraction) -> Method:
    """Return Adam with these betas; ε = 0, as on the diagram."""
    from .harness import Method

    return Method(False, "corrected", (beta1, beta2), Fraction(0))


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run Adam at betas of either sign, and next to the border, where it shows the wrong side."""
    from .compare import side_by_side
    from .harness import Game

    steps, out = asked.steps or RUN_STEPS, []
    for beta1, beta2, sign in (*STANDARD, *SLOW):
        slow = (beta1, beta2, sign) in SLOW

        def claimed(_: Method, found: Long, sign: int = sign, slow: bool = slow) -> tuple[str, str]:
            at, end = f"at {found.final:+.4f} after {steps:,} steps", -sign
            if slow:
                told = f"{at}, though it ends at {end:+d}"
                fails = steps >= RUN_STEPS and found.final * end > 0
                return ("", f"{at}, on the right side") if fails else (told, "")
            if abs(found.final - end) <= WITHIN:
                return "", ""
            return (at, "") if steps < RUN_STEPS else ("", f"{at}, and not at {end:+d}")

        game = Game(SLOPES, ALPHA, START)
        found = side_by_side(game, [method(beta1, beta2)], steps, asked, claimed)
        label = f"Adam, β = ({float(beta1):g}, {float(beta2):g})"
        out += [replace(run, method=label, curve=(float(beta1), float(beta2), sign),
                        found={**run.found, "ends at": f"{-sign:+d}"})
                for run in found if run.name not in dict(asked.guests)]  # fmt: skip
        out += [run for run in found if run.name in dict(asked.guests) and not slow][: not out]
    return tuple(out)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the square, with the border, the condition β1 < √β2, and where the runs are."""
    from .diagram_picture import draw_square

    points = [(*run.curve, float(run.found["x at the end"])) for run in found if run.curve]
    draw_square(figure, pattern(), square(), points)


COUNTEREXAMPLE = Counterexample(
    id="beta-phase-diagram",
    title="With β1 < √β2, Adam ends at the best point of a linear problem that repeats itself.",
    why_believed="Kingma & Ba (2015), Theorem 4.1, ask for β1²/√β2 < 1; and a million steps that end at "
    "the best point look like convergence.",
    object="On [-1, 1]: f_t(x) = 1010 x if t mod 101 = 1, else -10 x, and every (β1, β2) in [0, 1)², "
    "ε = 0, α_t = α/√t, clamped after each step.",
    breaks="The sign of Σ m_j/√v_j along the orbit of the moments decides the end.  It is certified "
    "cell by cell: Adam ends at the worst point on most of β1 < √β2, β = (0.9, 0.999) among it.",
    repair="β2 close to 1, how close depends on the losses: from some β2 on, certified, Adam ends at "
    "the best point for every β1.  (Zhang et al. 2022 have such a β2 for problems of another "
    "class: smooth finite sums, without a constraint.)",
    source=RKK18("section 5"),
    open="The cells along the border; gradients that are 0.  The recurrence of N_j is an identity at "
    "p = 3, and the same words for any p.",
    headline="Where Adam ends on Reddi's periodic loss, certified for every (β1, β2)",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=REPLAY_CELLS,
)
