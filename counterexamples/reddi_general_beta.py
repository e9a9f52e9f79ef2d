"""False: some β1 and β2 with β1 < √β2 are safe for every online linear problem.

Why one would believe it
    In the first theorem of Reddi, Kale & Kumar (2018), β2 is made to fit the problem and β1 is 0;
    who uses other betas may think that this is not about them.

The object
    Given 0 <= β1 < √β2 < 1: on [-1, 1], f_t(x) = p x when t mod p = 1 and f_t(x) = -x otherwise, for
    a period p that depends on the betas and is constructed (``instance``).  Adam with these betas,
    α_t = α/√t and ε = 0, clamped after each step.

What it breaks
    The slopes of a period add up to p - (p - 1) = 1, so -1 is the best point.  The moments settle on
    an orbit that does not depend on x, and along it the sum of m/√v over a period is negative: Adam
    climbs for ever and ends at +1, and its average regret tends to 2/p.  The root that the large
    gradient has caused outlives its share in m: this is what β1 < √β2 says.

Which hypotheses were needed
    β1 < √β2 bounds the share of the large gradient, however large it is.  The construction is proved
    for all such betas at once, with p = 2q and any q > 3/(√(1 - β2)(1 - β1/√β2)) for which
    (4 q² - 1) β2^q <= 3; far shorter periods do, and are certified one by one.

What repairs it
    AMSGrad, in each of its three orders; or a β2 chosen after p, close to 1.

Source
    Reddi, Kale & Kumar (2018), arXiv 1904.09237v1, Theorem 2.

What stays open
    β1 >= √β2, of which the theorem says nothing.  That x_t arrives at +1 is argued in words on top
    of the drift.  A small ε > 0 (the drift is continuous in ε, so some are small enough).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

from ..theory.records import Goal, Step
from ..theory.sources import RKK18
from .record import Asked, Chosen, Counterexample, Evidence, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..theory.interval import Interval
    from .compare import Long
    from .harness import Game, Method
    from .players import Paper

#: Betas whose instances are certified one by one; those of the runs, the frameworks' own, last.
BETAS = tuple(
    (Fraction(a), Fraction(b))
    for a, b in (
        ("0", "1/10"),
        ("1/2", "1/2"),
        ("1/2", "26/100"),
        ("9/10", "82/100"),
        ("0", "999/1000"),
        ("99/100", "999/1000"),
        ("9/10", "99/100"),
        ("9/10", "999/1000"),
    )
)
#: A β2 that is chosen after the runs' problem, and repairs Adam there.
REPAIRED = Fraction(99_999, 100_000)
ALPHA, START = Fraction(2), Fraction(0)
#: The frameworks' default, where a run has an ε at all; the paper has none.
EPS = Fraction("1e-8")
#: How close to an end a run must finish.
WITHIN = 0.02
#: Length of the float runs: what is claimed of their ends is claimed from here on.
RUN_STEPS = 1_000_000


def check(beta1: Fraction, beta2: Fraction) -> None:
    """Refuse betas that the theorem does not speak of.

    Raises:
        ValueError: not 0 <= β1 < √β2 < 1.
    """
    if beta1 < 0 or beta1**2 >= beta2 or beta2 >= 1:
        raise ValueError(
            f"Theorem 2 of Reddi et al. (2018) is about 0 <= β1 < √β2 < 1, and β1 = {beta1}, "
            f"β2 = {beta2} leave it."
        )


def shares(beta1: Fraction, beta2: Fraction, period: int) -> Iterator[Interval]:
    """Yield -m_j/√v_j for each place of a period with C = p, on the orbit, as enclosures."""
    from ..theory.interval import Interval

    spikes = [Interval.of(beta).power(period) for beta in (beta1, beta2)]
    first = (period + 1) * (1 - beta1) / (1 - spikes[0])
    second = (period**2 - 1) * (1 - beta2) / (1 - spikes[1])
    for _ in range(period):
        yield (first - 1) / -(second + 1).sqrt()
        first, second = first * beta1, second * beta2


def climb(beta1: Fraction, beta2: Fraction, period: int) -> Interval:
    """Return the sum of -m_j/√v_j over a period with C = p, enclosed."""
    from ..theory.interval import Interval

    return sum(shares(beta1, beta2, period), Interval.of(0))


@cache
def instance(beta1: Fraction, beta2: Fraction) -> int:
    """Return a period p (and C = p) on which Adam with these betas ends at the worst point.

    Every period that is long enough will do, by the construction; so doubling arrives at one, and
    halving the gap finds a shorter one.  The sign is certain, as it is decided by enclosures.

    Raises:
        ValueError: not 0 <= β1 < √β2 < 1.
    """
    check(beta1, beta2)
    below, period = 2, 3
    while not climb(beta1, beta2, period).certainly_positive():
        below, period = period, 2 * period
    while period - below > 1:
        middle = (below + period) // 2
        if climb(beta1, beta2, middle).certainly_positive():
            period = middle
        else:
            below = middle
    return period


def constructed(beta1: Fraction, beta2: Fraction) -> int:
    """Return the period 2q of the construction that is proved for all betas, with q = 2^k least.

    Raises:
        ValueError: not 0 <= β1 < √β2 < 1.
    """
    from ..theory.interval import Interval

    check(beta1, beta2)
    share = (1 - Interval.of(beta2)).sqrt() * (1 - beta1 / Interval.of(beta2).sqrt())
    q, power = 1, Interval.of(beta2)
    while not ((q * share - 3).lo > 0 and ((4 * q**2 - 1) * power).hi <= 3):
        q, power = 2 * q, power * power
    return 2 * q


def played() -> tuple[tuple[Fraction, Fraction], int]:
    """Return the betas and the period of the runs: twice the instance's, where the climb is quicker."""
    return BETAS[-1], 2 * instance(*BETAS[-1])


def choose(chosen: Chosen) -> Counterexample:
    """Return the losses that are constructed from other betas.

    Raises:
        ValueError: not 0 <= β1 < √β2 < 1.
    """
    from .chosen import periodic

    betas = chosen.betas or BETAS[-1]
    return periodic(COUNTEREXAMPLE, game(instance(*betas)).gradients, betas)


def derivation() -> tuple[Step, ...]:
    """Return the construction for all betas, then instances certified one by one."""
    from .reddi_general_beta_proof import steps

    return steps()


def control() -> Goal:
    """Return the climb of the runs at a β2 close to 1, where it is a descent."""
    from .reddi_general_beta_proof import control as near_miss

    return near_miss()


def game(period: int) -> Game:
    """Return the losses."""
    from .harness import Game

    return Game((Fraction(period),) + (Fraction(-1),) * (period - 1), ALPHA, START)


def methods(betas: tuple[Fraction, Fraction]) -> tuple[Method, ...]:
    """Return Adam as Reddi et al. and as Kingma & Ba write it, and AMSGrad in its three orders."""
    from .harness import Method

    return (
        Method(False, "none", betas, Fraction(0)),
        Method(False, "corrected", betas, EPS),
        Method(True, "none", betas, Fraction(0)),
        Method(True, "after_max", betas, EPS),
        Method(True, "before_max", betas, EPS),
    )


def replay(steps: int) -> Evidence:
    """Run the paper's rule in rationals, and hold its moments against the orbit.

    From m = v = 0 they must be β1^t m_p and β2^t v_p away from it.
    """
    from .players import Counting, Paper

    rows, failure = [], ""
    for beta1, beta2 in BETAS:
        period = instance(beta1, beta2)
        gap = _from_orbit(
            Paper(methods((beta1, beta2))[0], Counting(), START), beta1, beta2, period, steps
        )
        sum_ = climb(beta1, beta2, period)
        if gap > Fraction(1, 10**50):
            failure = failure or f"β = ({beta1}, {beta2}): the exact run is off by {float(gap):.1e}"
        if sum_.lo <= 0:
            failure = failure or f"β = ({beta1}, {beta2}): the drift of C = p = {period} is not upwards"
        rows.append((
            str(beta1), str(beta2), str(period), f"{float(sum_.lo):+.6f}",
            f"{float(climb(beta1, REPAIRED, period)):+.6f}",
            f"{float(gap):.0e}" if gap else "0", f"{constructed(beta1, beta2):,}",
        ))  # fmt: skip
    return Evidence(
        f"The paper's rule in exact rationals, {steps:,} steps, against the orbit of its moments; the "
        "climb Σ -m_j/√v_j of a period, at least.",
        ("β1", "β2", "C = p", "climb", f"at β2 = {REPAIRED}", "moments off the orbit's law by",
         "p of the construction"),
        tuple(rows),
        failure,
    )  # fmt: skip


def _from_orbit(paper: Paper, beta1: Fraction, beta2: Fraction, period: int, steps: int) -> Fraction:
    """Return how far the moments of a run from 0 are from the orbit less β^t times its last place."""
    from ..theory.interval import Interval

    number, worst = paper.arithmetic.number, Fraction(0)
    names = ("exp_avg", "exp_avg_sq")
    betas = (Interval.of(beta1), Interval.of(beta2))
    sizes = [
        (size + 1) * (1 - beta) / (1 - beta.power(period))
        for size, beta in zip((period, period**2 - 2), betas, strict=True)
    ]
    offsets = (-1, 1)
    for t in range(1, steps + 1):
        paper.step(number(Fraction(period if t % period == 1 else -1)), number(Fraction(0)))
        for name, beta, size, offset in zip(names, betas, sizes, offsets, strict=True):
            place = (t - 1) % period
            there = offset + size * beta.power(place)
            last = offset + size * beta.power(period - 1)
            apart = abs(paper.state(name) - (there - beta.power(t) * last))
            worst = max(worst, apart.hi)
    return worst


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run every implementation in floating point, and Adam at the repaired β2 as well."""
    from .compare import side_by_side

    betas, period = played()
    steps = asked.steps or RUN_STEPS

    def claimed(method: Method, found: Long) -> tuple[str, str]:
        end = -1 if method.amsgrad or method.betas[1] == REPAIRED else 1
        if abs(found.final - end) <= WITHIN:
            return "", ""
        told = f"{method.name} is at {found.final:+.4f} after {steps:,} steps, not within {WITHIN}"
        told = f"{told} of {end:+d}"
        return (told, "") if steps < RUN_STEPS else ("", told)

    repaired = methods((betas[0], REPAIRED))[1]
    alone = replace(asked, optimizer=None)
    return (
        *side_by_side(game(period), methods(betas), steps, asked, claimed),
        *(replace(run, method=f"{run.method[:-1]}, β2 = {float(REPAIRED)})")
          for run in side_by_side(game(period), (repaired,), steps, alone, claimed)),
    )  # fmt: skip


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw iterate and average regret."""
    from .picture import iterate_and_regret

    floor = Fraction(2, played()[1])
    iterate_and_regret(figure, found, floor)
    below = figure.axes[1]
    below.set_yscale("log", nonpositive="mask")  # below 0 once, between two large gradients
    below.set_ylim(bottom=float(floor) / 10)
    below.minorticks_off()


COUNTEREXAMPLE = Counterexample(
    id="reddi-general-beta",
    title="Some β1 and β2 with β1 < √β2 are safe for every online linear problem.",
    why_believed="The first theorem of Reddi et al. (2018) makes β2 fit the problem and has β1 = 0; "
    "who uses other betas may think that it is not about them.",
    object="Given 0 <= β1 < √β2 < 1, on [-1, 1]: f_t(x) = p x if t mod p = 1, else -x, with a period "
    "p constructed from the betas.  α_t = α/√t, ε = 0, clamped after each step.",
    breaks="Once the moments have settled, each period moves Adam up, towards +1, though the slopes "
    "of a period add up to +1 and -1 is the best point: its average regret tends to 2/p.",
    repair="AMSGrad, in each of its three orders, or a β2 chosen after the problem, close to 1.",
    source=RKK18("Theorem 2"),
    open="β1 >= √β2; that x_t arrives at +1 and at -1 is argued in words on top of the drift.",
    headline="Adam fails at β = (0.9, 0.999), as at any β1 < √β2 (Reddi et al. 2018, Theorem 2)",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=200,
    takes=("betas",),
    choose=choose,
)
