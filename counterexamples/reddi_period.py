"""False: with the usual constants, Adam ends at the best point of an online linear problem.

Why one would believe it
    Kingma & Ba (2015), Corollary 4.2; and β = (0.9, 0.99), unlike the constants of
    ``reddi_online``, are near those that everybody uses.

The object
    On [-1, 1], f_t(x) = 1010 x when t mod 101 = 1 and f_t(x) = -10 x otherwise.  Adam with
    β = (9/10, 99/100), α_t = 1/(2√t), clamped after each step, from x_1 = 0.

What it breaks
    The slopes of a period add up to +10, so -1 is the best fixed point.  The moments settle on an
    orbit that does not depend on x; along it, the sum of m/√v over a period is negative.  So Adam
    climbs for ever and ends at +1, the worst point; its average regret tends to 20/101.

Which hypotheses were needed
    The sign of that sum: it is negative at β2 = 0.99, and at the default 0.999 as well.  The limit
    does not depend on α, on x_1, on ε (0 or 1e-8), or on the bias correction, which decide only how
    long it takes: with α_t = 1/(100 √t) far more than 10^6 steps.

What repairs it
    AMSGrad, in each of the three orders of maximum and correction: its denominator tends to a
    constant, and the sum of m over a period is the sum of the slopes, +10.  Or β2 = 0.9999, where
    the drift of Adam has the right sign.

Source
    Reddi, Kale & Kumar (2018), arXiv 1904.09237v1, section 5 (synthetic experiment, online).

What stays open
    How many steps it takes, as a proved bound; the runs say it for one α.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from ..theory.records import Goal, Step
from ..theory.sources import RKK18
from .record import Asked, Chosen, Counterexample, Evidence, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .compare import Long
    from .harness import Game, Method

SPIKE, OTHER, PERIOD = Fraction(1010), Fraction(-10), 101
ALPHA, START = Fraction(1, 2), Fraction(0)
BETAS = (Fraction(9, 10), Fraction(99, 100))
#: The frameworks' default, where a run has an ε at all; the paper has none.
EPS = Fraction("1e-8")
#: What the average regret of Adam tends to.
FLOOR = 2 * (SPIKE + (PERIOD - 1) * OTHER) / PERIOD
#: How close to an end a run must finish.
WITHIN = 0.01
#: Length of the float runs: what is claimed of their ends is claimed from here on.
RUN_STEPS = 1_000_000


def derivation() -> tuple[Step, ...]:
    """Return the orbit of the moments, and the certified sign of the drift along it."""
    from .reddi_period_proof import steps

    return steps()


def control() -> Goal:
    """Return the same climb at β2 = 0.9999, where it is a descent."""
    from .reddi_period_proof import control as near_miss

    return near_miss()


def game() -> Game:
    """Return the losses."""
    from .harness import Game

    return Game((SPIKE,) + (OTHER,) * (PERIOD - 1), ALPHA, START)


def methods() -> tuple[Method, ...]:
    """Return Adam as Reddi et al. and as Kingma & Ba write it, and AMSGrad in its three orders."""
    from .harness import Method

    return (
        Method(False, "none", BETAS, Fraction(0)),
        Method(False, "corrected", BETAS, EPS),
        Method(True, "none", BETAS, Fraction(0)),
        Method(True, "after_max", BETAS, EPS),
        Method(True, "before_max", BETAS, EPS),
    )


def choose(chosen: Chosen) -> Counterexample:
    """Return the same with other slopes or betas.

    Raises:
        ValueError: they make no sense, or -1 is not the best point.
    """
    from .chosen import periodic

    return periodic(COUNTEREXAMPLE, chosen.pattern or game().gradients, chosen.betas or BETAS)


def replay(steps: int, losses: Game | None = None, rules: tuple[Method, ...] | None = None) -> Evidence:
    """Run the papers' rules in rationals, with enclosures where a root is irrational.

    The real optimizers run beside them, and must stay within 1e-12 of the enclosure.
    """
    from .harness import play
    from .players import Counting, Paper, Real

    losses, rows, failure = losses or game(), [], ""
    for method in rules or methods():
        arithmetic = Counting()
        exact = play(losses, Paper(method, arithmetic, START), steps)
        gaps = []
        for name, make in method.implementations():
            floats = map(Fraction, play(losses, Real(make, START), steps))
            gap = max(max(abs(f - x.lo), abs(f - x.hi)) for f, x in zip(floats, exact, strict=True))
            gaps.append(f"{float(gap):.1e}")
            if gap > Fraction(1, 10**12):
                failure = failure or f"{name} leaves the exact run of {method.name} by {gaps[-1]}"
        rows.append((
            method.name, f"{float(method.eps):g}", f"{float(exact[-1]):+.15f}",
            f"{float(max(x.hi - x.lo for x in exact)):.1e}", ", ".join(gaps) or "-",
            f"{arithmetic.exact_roots:,}", f"{arithmetic.enclosed_roots:,}",
        ))  # fmt: skip
    return Evidence(
        f"The papers' rules in exact rationals, {steps:,} steps; irrational roots lie "
        "between rationals 2^-256 apart.",
        ("rule", "ε", "x at the end", "widest enclosure", "real optimizers are off by",
         "exact roots", "enclosed roots"),
        tuple(rows),
        failure,
    )  # fmt: skip


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run every implementation in floating point."""
    from .compare import side_by_side

    steps = asked.steps or RUN_STEPS

    def claimed(method: Method, found: Long) -> tuple[str, str]:
        end = -1 if method.amsgrad else 1
        if abs(found.final - end) <= WITHIN:
            return "", ""
        told = f"{method.name} is at {found.final:+.4f} after {steps:,} steps, not within {WITHIN}"
        told = f"{told} of {end:+d}"
        return (told, "") if steps < RUN_STEPS else ("", told)

    return side_by_side(game(), methods(), steps, asked, claimed)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw iterate and average regret."""
    from .picture import iterate_and_regret

    iterate_and_regret(figure, found, FLOOR)


COUNTEREXAMPLE = Counterexample(
    id="reddi-period",
    title="With β = (0.9, 0.99), Adam ends at the best point of an online linear problem.",
    why_believed="Kingma & Ba (2015), Corollary 4.2: the average regret of Adam tends to zero.",
    object="On [-1, 1]: f_t(x) = 1010 x if t mod 101 = 1, else -10 x.  β = (9/10, 99/100), "
    "α_t = 1/(2√t), clamped after each step, from x_1 = 0.",
    breaks="Once the moments have settled, each period moves Adam up, towards +1, though the "
    "slopes of a period add up to +10 and -1 is the best point; its average regret tends to "
    f"{FLOOR}.",
    repair="AMSGrad, in each of its three orders, or β2 = 0.9999: then each period moves down.",
    source=RKK18("section 5"),
    open="That x_t arrives at +1 and at -1 is argued in words on top of the certified drift, and no "
    "bound on the number of steps is proved.",
    headline="Adam drifts to the worst point, AMSGrad to the best (Reddi et al. 2018, section 5)",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=120,
    takes=("pattern", "betas"),
    choose=choose,
)
