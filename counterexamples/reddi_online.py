"""False: the average regret of Adam tends to zero on every online convex problem.

Why one would believe it
    Kingma & Ba (2015), Theorem 4.1 and Corollary 4.2: convex losses with bounded gradients, bounded
    iterates, β1²/√β2 < 1 and α_t = α/√t give R(T)/T = O(1/√T).

The object
    On [-1, 1], f_t(x) = C x when t = 1, 4, 7, … and f_t(x) = -x otherwise, with a rational C > 2.
    Adam with β1 = 0, β2 = 1/(1 + C²), α_t = α/√t and ε = 0, clamped after each step, from x_1 = 1.

What it breaks
    The best fixed point is -1, as the slopes of a period add up to C - 2 > 0.  Yet Adam is at +1
    whenever a period begins: the large gradient that would push it away is divided by the large
    root that it has just caused.  The regret grows by at least 2(C - 2) in every period.

Which hypotheses were needed
    The paper asks for C > 2 and 0 < α < √(1 - β2), and has v_0 = 0.  The proof below uses less.
    That x = 1 returns needs only C > 0, α > 0 and v_0 >= 0; C > 2 is needed for +1 to be the worse
    end, and nothing else.  The bias correction changes nothing.  From another x_1, Adam arrives at
    +1 after finitely many periods (proved for C >= 2), and stays.

What repairs it
    A rate that never grows: AMSGrad (Reddi, Kale & Kumar 2018, Theorem 4).  Or a β2 that is chosen
    after the problem, close to 1: here β2 depends on C.

Source
    Reddi, Kale & Kumar (2018), arXiv 1904.09237v1, Theorem 1.

What stays open
    A small ε > 0, which is not proved here (with a large one Adam is gradient descent, and ends at
    -1); β1 > 0, their Theorem 2; random losses, their Theorem 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

from ..theory.records import Goal, Step
from ..theory.sources import RKK18
from .record import Asked, Chosen, Counterexample, Evidence, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .compare import Long
    from .harness import Game, Method

#: The runs in floating point; every C and α of the replay serves as well.
SLOPE, ALPHA = Fraction(3), Fraction(1, 2)
#: Lengths of the exact and of the float runs; shorter ones are shown, and the proof judges alone.
REPLAY_STEPS, RUN_STEPS = 300, 30_000
#: C, α, x_1 and whether the bias is corrected, in the exact runs.
REPLAYED = (
    (Fraction(101, 50), ALPHA, 1, False),
    (Fraction(5, 2), ALPHA, 1, False),
    (Fraction(3), ALPHA, 1, False),
    (Fraction(10), ALPHA, 1, False),
    (Fraction(3), ALPHA, 1, True),
    (Fraction(3), Fraction(7), 1, False),
    (Fraction(3), ALPHA, -1, False),
)


def derivation() -> tuple[Step, ...]:
    """Return the induction over the periods, for symbolic C > 0, α > 0 and v >= 0."""
    from .reddi_online_proof import steps

    return steps()


def control() -> Goal:
    """Return the key inequality with a tenth to spare, which is false at C = 1."""
    from .reddi_online_proof import control as near_miss

    return near_miss()


def game(slope: Fraction, alpha: Fraction = ALPHA, start: Fraction = Fraction(1)) -> Game:
    """Return the losses for one C.

    Raises:
        ValueError: C is not greater than 2, and Theorem 1 says nothing.
    """
    from .harness import Game

    if slope <= 2:
        told = "at C = 2 all points are as good, below it +1 is the best"
        raise ValueError(f"Theorem 1 of Reddi et al. is about C > 2, got {slope}: {told}.")
    return Game((slope, Fraction(-1), Fraction(-1)), alpha, start)


def method(slope: Fraction, *, amsgrad: bool = False, corrected: bool = False) -> Method:
    """Return Adam, or AMSGrad as its paper has it, with the β2 that belongs to C."""
    from .harness import Method

    betas = (Fraction(0), 1 / (1 + slope**2))
    return Method(amsgrad, "corrected" if corrected else "none", betas, Fraction(0))


def choose(chosen: Chosen) -> Counterexample:
    """Return the same with another C.

    Raises:
        ValueError: C is not greater than 2, and Theorem 1 says nothing.
    """
    slope = SLOPE if chosen.C is None else chosen.C
    game(slope)
    return replace(
        COUNTEREXAMPLE,
        object=COUNTEREXAMPLE.object.replace("with C > 2", f"with C = {slope}"),
        headline=COUNTEREXAMPLE.headline.replace(f"C = {SLOPE}", f"C = {slope}"),
        replay=partial(replay, settings=((slope, ALPHA, 1, False), (slope, ALPHA, 1, True))),
        runs=partial(runs, slope=slope),
        draw=partial(draw, slope=slope),
    )


def replay(
    steps: int, settings: tuple[tuple[Fraction, Fraction, int, bool], ...] = REPLAYED
) -> Evidence:
    """Run the paper's rule in rationals for several C, with enclosures where a root is irrational.

    x_{3k+1} = 1 is exact even so: the clamp cuts off an enclosure that lies above 1.
    """
    from .harness import play, regret
    from .players import Counting, Paper

    periods = -(-steps // 3)
    rows, failure = [], ""
    for slope, alpha, start, corrected in settings:
        arithmetic, losses = Counting(), game(slope, alpha, Fraction(start))
        adam = method(slope, corrected=corrected)
        xs = play(losses, Paper(adam, arithmetic, losses.start), 3 * periods)
        at_one = [x.exact and x.lo == 1 for x in xs[::3]]
        arrival = len(at_one) - at_one[::-1].index(False) if False in at_one else 0
        bound = 2 * (slope - 2) * periods
        suffered = regret(losses, xs)
        latest = 0 if start == 1 else periods
        if (arrival > latest and (start == 1 or steps >= REPLAY_STEPS)) or (
            start == 1 and suffered.lo < bound
        ):
            failure = failure or f"C = {slope}, x_1 = {start}: the exact run does not stay at 1"
        seen = f"for k = {arrival} … {periods}" if arrival <= periods else "not yet"
        rows.append((
            str(slope), str(alpha), str(start), "yes" if corrected else "no", seen,
            f"{float(suffered.lo / (3 * periods)):.4f}",
            f"{float(bound / (3 * periods)):.4f}" if start == 1 else "-",
            f"{arithmetic.exact_roots:,}", f"{arithmetic.enclosed_roots:,}",
        ))  # fmt: skip
    return Evidence(
        f"The paper's rule in exact rationals, {3 * periods:,} steps; irrational roots lie between "
        "rationals 2^-256 apart, and every comparison is certain.",
        ("C", "α", "x_1", "bias corrected", "x_{3k+1} = 1 exactly", "average regret",
         "proved lower bound", "exact roots", "enclosed roots"),
        tuple(rows),
        failure,
    )  # fmt: skip


def runs(asked: Asked, slope: Fraction = SLOPE) -> tuple[Run, ...]:
    """Run Adam and AMSGrad in floating point, for whole periods."""
    from .compare import side_by_side

    steps = asked.steps or RUN_STEPS
    periods = -(-steps // 3)

    def claimed(which: Method, found: Long) -> tuple[str, str]:
        if which.amsgrad:
            gap = abs(found.final + 1)
            told = "" if gap <= 0.01 else f"AMSGrad is still {gap:.3f} away from -1"
            return (told, "") if steps < RUN_STEPS or slope != SLOPE else ("", told)
        if found.lowest != 1:
            return "", f"a period begins at {found.lowest!r}, not at 1"
        return f"x = 1 as each of {periods:,} periods begins", ""

    methods = (
        method(slope),
        method(slope, corrected=True),
        method(slope, amsgrad=True),
    )
    return side_by_side(game(slope), methods, 3 * periods, asked, claimed)


def draw(figure: Figure, found: Sequence[Run], slope: Fraction = SLOPE) -> None:
    """Draw iterate and average regret."""
    from .picture import iterate_and_regret

    iterate_and_regret(figure, found, 2 * (slope - 2) / 3)


COUNTEREXAMPLE = Counterexample(
    id="reddi-online",
    title="The average regret of Adam tends to zero on every online convex problem.",
    why_believed="Kingma & Ba (2015), Theorem 4.1 and Corollary 4.2, for bounded convex problems "
    "with β1²/√β2 < 1 and α_t = α/√t.",
    object="On [-1, 1]: f_t(x) = C x if t mod 3 = 1, else -x, with C > 2.  Adam with β1 = 0, "
    "β2 = 1/(1 + C²), α_t = α/√t, ε = 0, clamped after each step, from x_1 = 1.",
    breaks="x_{3k+1} = 1 for all k, so the regret against x = -1 grows by at least 2(C - 2) in "
    "each period of three: the average regret stays above 2(C - 2)/3.",
    repair="An effective rate that never grows (AMSGrad), or a β2 chosen after the problem.",
    source=RKK18("Theorem 1"),
    open="A small ε > 0 (with a large one Adam is gradient descent); β1 > 0 is their Theorem 2.",
    headline=f"Adam returns to the worst point for ever (C = {SLOPE}, Reddi et al. 2018, Thm 1)",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=REPLAY_STEPS,
    takes=("C",),
    choose=choose,
)
