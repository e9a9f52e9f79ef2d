"""False: in torch, momentum with dampening equal to the momentum averages the gradients.

Why one would believe it
    b_t = μ b_{t-1} + (1 - τ) g_t is a moving average at τ = μ, and it is the formula in torch's manual.

The object
    One gradient, g_1 = 1, and none after it.  μ = τ = 9/10, α = 1.

What it breaks
    torch does not dampen the first gradient: b_1 = g_1, which enters with weight 1 where every other
    enters with 1 - μ = 1/10.  An average moves x by 1 in all; torch moves it by 10.

What repairs it
    A buffer that starts at 0 and dampens every gradient, as adamproof's SGD does.  torch's own buffer is
    that average and μ^t g_1 besides, so its weights add up to 1: an average which starts at g_1 and
    not at 0.

Source
    torch.optim.SGD, whose manual says so in the last line of the algorithm's box.

What stays open
    Nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from ..theory.records import Goal, Step
from ..theory.sources import FOLKLORE
from .acts import Act, Seen, level, moves, optimizer, panel, replayed, side_by_side
from .record import Asked, Counterexample, Evidence, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..theory.interval import Interval

ALPHA, MU = Fraction(1), Fraction(9, 10)
RUN_STEPS = 60
TORCH, AVERAGE = "sgd+momentum+late-dampening", "sgd+ema"


def gradient(t: int) -> Fraction:
    """Return the only gradient, or none."""
    return Fraction(t == 1)


def acts() -> tuple[Act, Act]:
    """Return torch's dampening, and an average."""
    given = {"lr": ALPHA, "momentum": MU}
    torch = (optimizer("torch.optim", "SGD", dampening=MU, **given),)
    mean = (optimizer("adamproof", "SGD", ema=True, **given),
            optimizer("adamproof", "SGD", dampening=MU, **given))  # fmt: skip
    return (
        Act("momentum with dampening, as in torch", TORCH,
            {"alpha": ALPHA, "mu": MU, "tau": MU}, gradient, torch),
        Act("a moving average", AVERAGE, {"alpha": ALPHA, "mu": MU}, gradient, mean),
    )  # fmt: skip


def buffer(act: Act, t: int) -> Fraction:
    """Return b_t."""
    weight: Fraction = MU ** (t - 1)
    return weight if act.rule == TORCH else weight * (1 - MU)


def after_three(act: Act) -> Fraction:
    """Return b_1 + b_2 + b_3."""
    return sum((buffer(act, t) for t in (1, 2, 3)), Fraction(0))


def derivation() -> tuple[Step, ...]:
    """Return the first step of both, and what torch's buffer is."""
    from ..theory.records import Identity
    from .acts import number, rational
    from .theorems import theorem

    torch, mean = acts()
    return (
        Step("torch: x_1 = -1", Identity(number(torch, 1), rational(-buffer(torch, 1))),
             "the rule's own lines: the first gradient enters with weight 1"),
        Step("an average: x_1 = -1/10", Identity(number(mean, 1), rational(-buffer(mean, 1))),
             "it enters with weight 1 - μ"),
        Step("torch: x_3 = -(1 + 9/10 + 81/100)",
             Identity(number(torch, 3), rational(-after_three(torch))),
             "nothing else enters, and it stays ten times as large"),
        Step("an average: x_3 = -(1 + 9/10 + 81/100)/10",
             Identity(number(mean, 3), rational(-after_three(mean))),
             "the same"),
        *theorem("late-dampening-excess", TORCH).steps,
        *theorem("dampening-is-average", "sgd+momentum+dampening").steps,
    )  # fmt: skip


def control() -> Goal:
    """Return the belief itself, for the first step."""
    from ..theory.records import Identity
    from .acts import number

    torch, mean = acts()
    return Identity(number(torch, 1), number(mean, 1))


def read(act: Act, path: list[Interval]) -> tuple[dict[str, str], str]:
    """Hold every step of an exact run against the buffer that is told of it."""
    steps = [-move / ALPHA for move in moves(path)]
    off = next((t for t, s in enumerate(steps, 1) if not s.exact or s.lo != buffer(act, t)), None)
    cells = {"b_1": str(steps[0].lo), "x at the end": f"{float(path[-1]):.6f}"}
    return cells, "" if off is None else f"b_{off} is not {buffer(act, off)}"


def replay(steps: int) -> Evidence:
    """Run both in rationals."""
    return replayed(acts(), steps, read)


def look(act: Act, path: list[float]) -> Seen:
    """Hold every step of a float run against the buffer that is told of it."""
    found = [-move / float(ALPHA) for move in moves(path)]
    off = max(abs(b - float(buffer(act, t))) for t, b in enumerate(found, 1))
    failure = "" if off < 1e-12 else f"a buffer is off by {off:.1e}"
    cells = {"b_1": found[0], "x at the end": path[-1]}
    return Seen(cells, (range(len(path)), path), failure)


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run both in floating point."""
    return side_by_side(acts(), asked.steps or RUN_STEPS, asked, look)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the iterates."""
    axes = panel(figure, found, across="step $t$", up="$x_t$, after one gradient of 1", marked=True)
    axes.set_ylim(-10.6, 0.6)
    level(axes, -1, "what an average moves x by", right=True)
    level(axes, -10, "ten times as much", right=True)


COUNTEREXAMPLE = Counterexample(
    id="undamped-first-gradient",
    title="In torch, momentum with dampening equal to the momentum averages the gradients.",
    why_believed="b_t = μ b_{t-1} + (1 - τ) g_t is a moving average at τ = μ.",
    object="g_1 = 1, then 0; μ = τ = 9/10, α = 1.",
    breaks="torch leaves the first gradient undamped, b_1 = g_1: it weighs ten times as much as it does "
    "in an average, for ever.  x goes to -10 and not to -1.",
    repair="Dampen every gradient (as adamproof's SGD does); torch's is an average from g_1 on.",
    source=FOLKLORE,
    open="Nothing.",
    headline="torch does not dampen the first gradient: it weighs ten times as much",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=60,
    refutes=("dampening-is-average",),
)
