"""False: Adam takes larger steps for rare gradients.

Why one would believe it
    Kingma & Ba (2015), section 2.1: the largest steps belong to a gradient that has been zero at all
    steps but the last.  AdaGrad was made for rare features, and Adam is said to inherit that.

The object
    A gradient of 1 at every k-th step and 0 else; the default betas, ε = 10^-8, α = 1.

What it breaks
    When it comes, the gradient moves x by α (1 - β1)/(1 - β1^k)·√((1 - β2^k)/(1 - β2)), but for ε: by α
    at k = 1, by 0.74 α at k = 2, by 0.48 α at k = 10.  Every k from 2 to 105 makes the step smaller.
    Adam's momentum forgets the gradient ten steps on, the root of its square does not.

What repairs it
    k >= 106, or β1 = 0.  And the drift in the silence: with it a whole period moves x further for
    rare gradients, to 31 α as k grows.

Source
    adamproof.

What stays open
    Gradients of changing size; how rare features fare in training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from ..theory.records import Goal, Step
from ..theory.sources import HERE
from .acts import Act, Seen, holds, level, moves, optimizer, panel, replayed, side_by_side
from .record import Asked, Counterexample, Evidence, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..theory.interval import Interval

ALPHA, BETAS, EPS = Fraction(1), (Fraction(9, 10), Fraction(999, 1000)), Fraction(1, 10**8)
#: How rare: the belief is false of 2, 10 and 100, and true of 1000.
PERIODS = (10, 1, 2, 100, 1000)
LAST_SMALLER = 105
RUN_STEPS = 2000
#: How many steps of a period the picture shows.
SHOWN = 31


def every(k: int) -> Callable[[int], Fraction]:
    """Return a gradient of 1 at every k-th step."""
    return lambda t: Fraction(t % k == 0)


def acts() -> tuple[Act, ...]:
    """Return Adam on a gradient that comes every k steps."""
    given = {"lr": ALPHA, "betas": BETAS, "eps": EPS}
    both = (optimizer("torch.optim", "Adam", **given), optimizer("adamproof", "Adam", **given))
    point = {"alpha": ALPHA, "beta1": BETAS[0], "beta2": BETAS[1], "eps": EPS}
    return tuple(
        Act(f"a gradient every {k} steps" if k > 1 else "a gradient at every step", "adam", point,
            every(k), both)
        for k in PERIODS
    )  # fmt: skip


def period(act: Act) -> int:
    """Return k."""
    return next(k for k in sorted(PERIODS) if act.gradient(k))


def square(k: int) -> Fraction:
    """Return the square of the step at the gradient over α, at ε = 0."""
    b1, b2 = BETAS
    return ((1 - b1) / (1 - b1**k)) ** 2 * (1 - b2**k) / (1 - b2)


def step(k: int) -> Interval:
    """Return the step at the gradient over α, with ε."""
    from ..theory.interval import Interval

    b1, b2 = BETAS
    root = Interval.of((1 - b2) / (1 - b2**k)).sqrt()
    return (1 - b1) / (1 - b1**k) / (root + EPS)


def derivation() -> tuple[Step, ...]:
    """Return the step for any k, and for which k it is smaller at the default betas."""
    from ..theory.records import Ground
    from ..theory.symbols import gt
    from .acts import rational
    from .theorems import theorem

    smaller = max(square(k) for k in range(2, LAST_SMALLER + 1))
    return (
        *theorem("sparse-gradient-exact", "adam").steps,
        Step(f"the largest square of the step for k = 2 … {LAST_SMALLER} is below 1",
             Ground(gt(rational(1 - smaller), 0)), "each of them at the default betas, ε → 0"),
        Step(f"at k = {LAST_SMALLER + 1} it is above 1",
             Ground(gt(rational(square(LAST_SMALLER + 1) - 1), 0)), "so rarer ones do move x further"),
    )  # fmt: skip


def control() -> Goal:
    """Return the belief itself, for k = 2."""
    from ..theory.records import Ground
    from ..theory.symbols import ge
    from .acts import rational

    return Ground(ge(rational(square(2) - 1), 0))


def read(act: Act, path: list[Interval]) -> tuple[dict[str, str], str]:
    """Hold the steps of an exact run at the gradients against the closed form."""
    k, failure = period(act), ""
    sizes = [-move / ALPHA for move in moves(path)]
    for t in range(k, len(path), k):
        if not holds(sizes[t - 1], step(k)):
            failure = failure or f"step {t} is not what its closed form says"
    arrivals = len(range(k, len(path), k))
    cells = {
        "gradients": str(arrivals),
        "step at a gradient/α": f"{float(step(k)):.6f}",
        "moved/α per gradient": f"{float(-path[-1]) / arrivals:.6f}" if arrivals else "-",
    }
    return cells, failure  # fmt: skip


def replay(steps: int) -> Evidence:
    """Run the three that come often in rationals."""
    return replayed(acts()[:3], steps, read)


def look(act: Act, path: list[float]) -> Seen:
    """Hold the steps of a float run at the gradients against the closed form."""
    k, told = period(act), float(step(period(act)))
    sizes = [-move / float(ALPHA) for move in moves(path)]
    off = max((abs(sizes[t - 1] / told - 1) for t in range(k, len(path), k)), default=0.0)
    failure = "" if off < 1e-9 else f"a step at a gradient is off by {off:.1e}"
    arrivals = len(range(k, len(path), k))
    found: dict[str, float | str] = {
        "step at a gradient/α": sizes[k - 1] if arrivals else "-",
        "moved/α per gradient": -path[-1] / arrivals if arrivals else "-",
    }
    return Seen(found, since(k, sizes), failure)


def since(k: int, sizes: list[float]) -> tuple[list[int], list[float]]:
    """Return the steps of the last whole period, against how long ago the gradient came."""
    if k == 1:
        return list(range(SHOWN)), sizes[-1:] * SHOWN
    begin = max(0, (len(sizes) + 1) // k * k - k)
    return (list(range(k)), sizes[begin - 1 : begin - 1 + k]) if begin else ([], [])


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run each in floating point."""
    return side_by_side(acts(), asked.steps or RUN_STEPS, asked, look)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw a period of each."""
    axes = panel(figure, found, across="steps since the gradient came", up="length of the step over α",
                 marked=True)  # fmt: skip
    axes.set_xlim(-0.5, SHOWN - 1)
    axes.set_ylim(0, 2.7)
    level(axes, 1, "a gradient at every step", right=True)


COUNTEREXAMPLE = Counterexample(
    id="rare-gradient",
    title="Adam takes larger steps for rare gradients.",
    why_believed="Kingma & Ba (2015), section 2.1: the largest steps are those of a gradient that has "
    "been zero at all steps but the last.",
    object="g_t = 1 at every k-th step, else 0; the default betas, ε = 10^-8, α = 1.",
    breaks="A gradient that comes every k-th step moves x less than one that comes at every step, for "
    f"each k = 2 … {LAST_SMALLER}: 0.74 α at k = 2, 0.48 α at k = 10.",
    repair=f"k > {LAST_SMALLER}, or β1 = 0; or counting the drift while the gradient is 0.",
    source=HERE,
    open="Gradients of changing size.",
    headline="A gradient every 10 steps moves x half as far, when it comes, as one at every step",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=60,
    refutes=("sparse-gradient-step",),
)
