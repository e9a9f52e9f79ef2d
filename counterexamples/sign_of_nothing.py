"""False: sign descent and Lion move every parameter by exactly lr.

Why one would believe it
    They step by α·sign(…), and a sign is 1 in size.

The object
    Gradients 1, 0, 1, 0, … for sign descent; a constant gradient of 1 for Lion with λ = 1/4, from
    x_0 = 1.  α = 1/10.

What it breaks
    The sign of 0 is 0: sign descent stands still in every other step.  Lion decays besides: its first
    step is α (1 + λ x_0) = 1/8, and it shrinks to nothing as x goes to the edge of the box, -1/λ = -4.

What repairs it
    No decay, and a direction that is never 0.  Signum, the sign of an average, moves by α in each
    step on the same gradients, as the average remembers.

Source
    Bernstein et al. (2018), Algorithm 1; Chen et al. (2023) for Lion.

What stays open
    Nothing.  torch.optim has no such rule, so these run on paper and in adamproof.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from ..theory.records import Goal, Step
from ..theory.sources import B18
from .acts import Act, Seen, holds, level, moves, optimizer, panel, replayed, side_by_side
from .record import Asked, Counterexample, Evidence, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..theory.interval import Interval

ALPHA, LAMBDA, START, MU = Fraction(1, 10), Fraction(1, 4), Fraction(1), Fraction(9, 10)
BETAS = (Fraction(9, 10), Fraction(99, 100))
RUN_STEPS = 40


def other(t: int) -> Fraction:
    """Return a gradient at every other step."""
    return Fraction(t % 2)


def acts() -> tuple[Act, ...]:
    """Return sign descent, Lion with decay, and Signum."""
    lion = {"alpha": ALPHA, "beta1": BETAS[0], "beta2": BETAS[1], "lambda_": LAMBDA}
    return (
        Act("sign descent, g = 1, 0, 1, 0, …", "sign", {"alpha": ALPHA}, other,
            (optimizer("adamproof", "SignSGD", lr=ALPHA),), START),
        Act(f"Lion with λ = {LAMBDA}, g = 1", "lion", lion, lambda t: Fraction(1),
            (optimizer("adamproof", "Lion", lr=ALPHA, betas=BETAS, weight_decay=LAMBDA),), START),
        Act("Signum, g = 1, 0, 1, 0, …", "sign+momentum", {"alpha": ALPHA, "mu": MU}, other,
            (optimizer("adamproof", "SignSGD", lr=ALPHA, momentum=MU),), START),
    )  # fmt: skip


def told(act: Act, t: int) -> Fraction:
    """Return how far step t goes."""
    if act.rule == "lion":
        kept: Fraction = (1 - ALPHA * LAMBDA) ** (t - 1)
        return ALPHA * LAMBDA * (START + 1 / LAMBDA) * kept
    return ALPHA * (other(t) if act.rule == "sign" else 1)


def derivation() -> tuple[Step, ...]:
    """Return the steps on the object, and how far sign rules move in general."""
    from ..theory import symbols as sym
    from ..theory.records import Identity
    from .acts import number, rational
    from .theorems import theorem

    sign, lion, _ = acts()
    a, w, edge = sym.alpha, sym.lambda_, -1 / sym.lambda_
    return (
        Step("sign descent: x_2 = x_1 = 9/10", Identity(number(sign, 2), rational(START - ALPHA)),
             "the rule's own lines at the numbers of the object; g_2 = 0"),
        Step("Lion: x_1 = 7/8, a step of 1/8", Identity(number(lion, 1), rational(Fraction(7, 8))),
             "α (1 + λ x_0)"),
        Step("(1 - αλ) x - α - (-1/λ) = (1 - αλ)(x - (-1/λ))",
             Identity((1 - a * w) * sym.x - a - edge, (1 - a * w) * (sym.x - edge),
                      {"lambda_": "positive"}),
             "Lion's distance from -1/λ shrinks by 1 - αλ, and its step with it"),
        *theorem("sign-step-exact", "sign").steps,
        *theorem("sign-step-exact", "lion").steps,
    )  # fmt: skip


def control() -> Goal:
    """Return the belief itself, for Lion's first step."""
    from ..theory.records import Identity
    from .acts import number, rational

    return Identity(number(acts()[1], 1), rational(START - ALPHA))


def read(act: Act, path: list[Interval]) -> tuple[dict[str, str], str]:
    """Hold every step of an exact run against what is told of it."""
    sizes = [-move for move in moves(path)]
    off = next((t for t, s in enumerate(sizes, 1) if not holds(s, told(act, t))), None)
    second = str(sizes[1].lo / ALPHA) if len(sizes) > 1 else "-"
    cells = {"step 1/α": str(sizes[0].lo / ALPHA), "step 2/α": second,
             "last step/α": f"{float(sizes[-1] / ALPHA):.6f}"}  # fmt: skip
    return cells, "" if off is None else f"step {off} is not {told(act, off)}"


def replay(steps: int) -> Evidence:
    """Run each in rationals."""
    return replayed(acts(), steps, read)


def look(act: Act, path: list[float]) -> Seen:
    """Hold every step of a float run against what is told of it."""
    sizes = [abs(move) for move in moves(path)]
    off = max(abs(s - float(told(act, t))) for t, s in enumerate(sizes, 1))
    failure = "" if off < 1e-12 else f"a step is off by {off:.1e}"
    over = [s / float(ALPHA) for s in sizes]
    found: dict[str, float | str] = {
        "step 1/α": over[0], "step 2/α": over[1] if len(over) > 1 else "-", "last step/α": over[-1],
    }  # fmt: skip
    return Seen(found, (range(1, len(path)), over), failure)


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run each in floating point."""
    return side_by_side(acts(), asked.steps or RUN_STEPS, asked, look)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the length of each step."""
    axes = panel(figure, found, across="step $t$", up="length of the step over α", marked=True)
    axes.set_ylim(-0.08, 1.4)
    level(axes, 1, "what is believed")


COUNTEREXAMPLE = Counterexample(
    id="sign-of-nothing",
    title="Sign descent and Lion move every parameter by exactly lr.",
    why_believed="They step by α·sign(…), and a sign is 1 in size.",
    object="g = 1, 0, 1, 0, … for sign descent; g = 1 for Lion with λ = 1/4; x_0 = 1, α = 1/10.",
    breaks="The sign of 0 is 0, and sign descent stands still in every other step.  Lion's decay makes "
    "its first step 1/8, and its steps shrink to nothing as x goes to -1/λ.",
    repair="No decay, and a direction that is never 0, such as an average.",
    source=B18("Algorithm 1"),
    open="Nothing.  torch.optim has no such rule to run beside.",
    headline="Sign descent stands still where the gradient is 0, and Lion's decay changes its step",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=60,
    refutes=("sign-step-is-lr",),
)
