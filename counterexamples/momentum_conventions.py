"""False: heavy ball, momentum as an average and momentum with the rate inside are the same.

Why one would believe it
    At a constant rate they are: the buffers are multiples of each other.  Sutskever et al. (2013) and
    the frameworks write one or the other without a word.

The object
    One gradient, g_1 = 1, and none after it.  μ = 9/10.  The rate is 1 at the first step and 1/10
    from the second on.

What it breaks
    Heavy ball, x -= α_t b_t, as torch has it, takes the new rate for everything that is in the buffer:
    x goes to -(1 + 1/10·(9/10 + 81/100 + …)) = -1.9.  With the rate inside, u_t = μ u_{t-1} + α_t g_t,
    x -= u_t, the old gradient keeps the rate it came with: x goes to -(1 + 9/10 + …) = -10.

What repairs it
    A constant rate.  The average, at α_t/(1 - μ), is heavy ball under every schedule.

Source
    Sutskever et al. (2013), eq. (1) and (2), for the rate inside; Polyak (1964) for heavy ball.

What stays open
    Nothing.  torch.optim has no form with the rate inside, so that one runs on paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from ..theory.records import Goal, Step
from ..theory.sources import S13
from .acts import Act, Seen, level, moves, optimizer, panel, replayed, side_by_side
from .record import Asked, Counterexample, Evidence, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..theory.interval import Interval
    from ..theory.rule import Rule

ALPHA, MU, DROP = Fraction(1), Fraction(9, 10), Fraction(1, 10)
RUN_STEPS = 60


def inside() -> Rule:
    """Return momentum with the rate in the buffer."""
    from ..theory.conventions import rate_inside

    return rate_inside()


def gradient(t: int) -> Fraction:
    """Return the only gradient, or none."""
    return Fraction(t == 1)


def schedule(t: int) -> Fraction:
    """Return what the rate is multiplied by."""
    return Fraction(1) if t == 1 else DROP


def acts() -> tuple[Act, ...]:
    """Return the three forms under the schedule."""
    ball = {"lr": ALPHA, "momentum": MU}
    both = (optimizer("torch.optim", "SGD", **ball), optimizer("adamproof", "SGD", **ball))
    wider = ALPHA / (1 - MU)
    mean = (optimizer("adamproof", "SGD", lr=wider, momentum=MU, ema=True),)
    point = {"alpha": ALPHA, "mu": MU}

    average = {**point, "alpha": wider}
    return (
        Act("heavy ball", "sgd+momentum", point, gradient, both, schedule=schedule),
        Act("the rate inside the buffer", inside, point, gradient, schedule=schedule),
        Act("an average, at rate α/(1 - μ)", "sgd+ema", average, gradient, mean, schedule=schedule),
    )


def told(act: Act, t: int) -> Fraction:
    """Return how far step t goes."""
    return ALPHA * MU ** (t - 1) * (schedule(t) if isinstance(act.rule, str) else 1)


def end(act: Act) -> Fraction:
    """Return where x tends to."""
    rest = MU / (1 - MU) * (DROP if isinstance(act.rule, str) else 1)
    return -ALPHA * (1 + rest)


def derivation() -> tuple[Step, ...]:
    """Return when the conventions agree, and by how much they differ on the object."""
    from ..theory import symbols as sym
    from ..theory.records import Ground, Identity
    from .acts import rational
    from .theorems import theorem

    ball, within, _ = acts()
    first, rest = sym.mu, sym.mu / (1 - sym.mu)
    return (
        *theorem("momentum-conventions-exact", "sgd+momentum").steps,
        Step("here E_2 = μ (1/10 - 1) g_1, which is not 0",
             Ground(sym.gt(rational(told(within, 2) - told(ball, 2)), 0)),
             "their second steps are 9/10 and 9/100"),
        Step("the rest of a geometric sum: μ + μ·μ/(1 - μ) = μ/(1 - μ)",
             Identity(first + sym.mu * rest, rest), "so all later steps together are α_2 μ/(1 - μ)"),
        Step("heavy ball tends to -19/10", Identity(rational(end(ball)), rational(Fraction(-19, 10))),
             "-(1 + 1/10·9)"),
        Step("the rate inside: to -10", Identity(rational(end(within)), rational(Fraction(-10))),
             "-(1 + 9)"),
    )  # fmt: skip


def control() -> Goal:
    """Return that the buffers differ by μE alone, as they would if the rate stayed."""
    from .theorems import theorem

    near_miss = theorem("momentum-conventions-exact", "sgd+momentum").control
    assert near_miss is not None
    return near_miss


def read(act: Act, path: list[Interval]) -> tuple[dict[str, str], str]:
    """Hold every step of an exact run against what is told of it."""
    steps = [-move for move in moves(path)]
    off = next((t for t, s in enumerate(steps, 1) if s.lo != told(act, t) or not s.exact), None)
    second = str(steps[1].lo) if len(steps) > 1 else "-"
    cells = {"step 1": str(steps[0].lo), "step 2": second, "x at the end": f"{float(path[-1]):.6f}",
             "tends to": str(end(act))}  # fmt: skip
    return cells, "" if off is None else f"step {off} is not {told(act, off)}"


def replay(steps: int) -> Evidence:
    """Run the three forms in rationals."""
    return replayed(acts(), steps, read)


def look(act: Act, path: list[float]) -> Seen:
    """Hold every step of a float run against what is told of it."""
    off = max(abs(move + float(told(act, t))) for t, move in enumerate(moves(path), 1))
    failure = "" if off < 1e-12 else f"a step is off by {off:.1e}"
    found = {"x at the end": path[-1], "tends to": float(end(act))}
    return Seen(found, (range(len(path)), path), failure)


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run the three forms in floating point."""
    return side_by_side(acts(), asked.steps or RUN_STEPS, asked, look)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the iterates."""
    axes = panel(figure, found, across="step $t$", up="$x_t$", marked=True)
    level(axes, -1.9, "")
    level(axes, -10, "")


COUNTEREXAMPLE = Counterexample(
    id="momentum-conventions",
    title="Heavy ball, momentum as an average and momentum with the rate inside are the same.",
    why_believed="At a constant rate they are: their buffers are multiples of each other.",
    object="g_1 = 1, then 0; μ = 9/10; the rate is 1 at the first step and 1/10 from then on.",
    breaks="Heavy ball applies the new rate to the whole buffer and goes to -1.9; with the rate inside "
    "the buffer the old gradient keeps its rate, and x goes to -10.",
    repair="A constant rate; the average at α_t/(1 - μ) is heavy ball under every schedule.",
    source=S13("eq. (1) and (2)"),
    open="Nothing.  torch.optim has no form with the rate inside to run beside.",
    headline="The rate drops to a tenth after one gradient: heavy ball obeys, the rate inside does not",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=60,
    refutes=("momentum-conventions",),
)
