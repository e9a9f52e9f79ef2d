"""False: Adam with an L2 penalty is AdamW.

Why one would believe it
    For gradient descent the two are the same (Loshchilov & Hutter 2019, Proposition 1), and the option
    of torch.optim.Adam that adds λx to the gradient is called weight_decay.

The object
    One coordinate at x_0 = 1 with the constant gradient 10.  λ = 1, α = 1/10, β = (9/10, 999/1000),
    ε = 0.

What it breaks
    The penalty changes nothing in the first step: x_1 = 1 - α = 9/10 with it and without it, as λx_0
    is divided away with the gradient; a decay of αλx_0/√v̂_1 = 1/110 is told of it.  AdamW is at
    1 - α - αλ = 8/10.  In the long run they part: with the penalty x goes to -g/λ = -10, under AdamW
    to -1/λ = -1.

What repairs it
    A frozen denominator D, with λ/D for λ (Proposition 3).  No single λ' serves two coordinates whose
    denominators differ, and in the first step no λ' serves all gradients of one coordinate.

Source
    Loshchilov & Hutter (2019), arXiv 1711.05101v3, Proposition 2; the one step, adamproof.

What stays open
    That x tends to -10 under the penalty is seen in the runs, not proved; that it can tend to no
    other point is l2-limits-stationary.  With ε > 0 the first step decays by a little:
    l2-decay-derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from ..theory.records import Goal, Step
from ..theory.sources import LH19
from .acts import Act, Seen, level, optimizer, panel, replayed, side_by_side
from .record import Asked, Counterexample, Evidence, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..theory.interval import Interval

ALPHA, BETAS = Fraction(1, 10), (Fraction(9, 10), Fraction(999, 1000))
START, GRADIENT, LAMBDA = Fraction(1), Fraction(10), Fraction(1)
RUN_STEPS = 2000
#: Rule -> what is claimed of x_1, of the end of the long run, and how near to that it comes.
CLAIMED = {
    "adam+l2": (START - ALPHA, -GRADIENT / LAMBDA, 0.1),
    "adamw": (START - ALPHA - ALPHA * LAMBDA, -1 / LAMBDA, 1e-9),
    "adam": (START - ALPHA, START - RUN_STEPS * ALPHA, 1e-6),
}


def acts() -> tuple[Act, ...]:
    """Return Adam + L2, AdamW, and Adam with neither."""
    given = {"lr": ALPHA, "betas": BETAS, "eps": Fraction(0)}
    point = {"alpha": ALPHA, "beta1": BETAS[0], "beta2": BETAS[1], "eps": Fraction(0)}
    made = []
    for method, rule, name, decay in (
        ("Adam + L2", "adam+l2", "Adam", LAMBDA),
        ("AdamW", "adamw", "AdamW", LAMBDA),
        ("Adam, neither", "adam", "Adam", Fraction(0)),
    ):
        both = tuple(optimizer(home, name, weight_decay=decay, **given)
                     for home in ("torch.optim", "adamproof"))  # fmt: skip
        numbers = {**point, "lambda_": decay}
        made.append(Act(method, rule, numbers, lambda t: GRADIENT, both, START))
    return tuple(made)


def derivation() -> tuple[Step, ...]:
    """Return the first step of each from its own lines, and what is true in general."""
    from ..theory.records import Ground, Identity
    from ..theory.symbols import gt
    from .acts import number, rational
    from .theorems import theorem

    l2, decay, neither = acts()
    told = ALPHA * LAMBDA * START / (GRADIENT + LAMBDA * START)
    return (
        Step("Adam + L2: x_1 = 9/10", Identity(number(l2, 1), rational(Fraction(9, 10))),
             "the rule's own lines at the numbers of the object"),
        Step("Adam without it: x_1 = 9/10, so no decay at all",
             Identity(number(neither, 1), rational(Fraction(9, 10))), "the same"),
        Step("told is a decay of αλx_0/√v̂_1 = 1/110", Ground(gt(rational(told), 0)),
             "√v̂_1 = g + λx_0 = 11; αλ/(√v̂ + ε) is not what the penalty does"),
        Step("AdamW: x_1 = 8/10", Identity(number(decay, 1), rational(Fraction(8, 10))),
             "αλx_0 = 1/10 more"),
        *theorem("adam-l2-first-step", "adam+l2").steps,
        *theorem("l2-decay-derivative", "adam+l2").steps,
        *theorem("l2-limits-stationary", "adam+l2").steps,
        *theorem("adamw-fixed-point", "adamw").steps,
    )  # fmt: skip


def control() -> Goal:
    """Return the belief itself, for the first step."""
    from ..theory.records import Identity
    from .acts import number

    l2, decay, _ = acts()
    return Identity(number(l2, 1), number(decay, 1))


def read(act: Act, path: list[Interval]) -> tuple[dict[str, str], str]:
    """Check the first step of an exact run."""
    first = CLAIMED[str(act.rule)][0]
    exact = path[1].exact and path[1].lo == first
    cells = {"x_1 exactly": str(path[1].lo) if path[1].exact else "-",
             "x at the end": f"{float(path[-1]):.9f}"}  # fmt: skip
    return cells, "" if exact else f"x_1 is {float(path[1])}, not {first}"


def replay(steps: int) -> Evidence:
    """Run the three rules in rationals."""
    return replayed(acts(), steps, read)


def look(act: Act, path: list[float]) -> Seen:
    """Check the first step of a float run, and where a long one ends."""
    first, end, within = CLAIMED[str(act.rule)]
    steps, failure = len(path) - 1, ""
    if abs(path[1] - float(first)) > 1e-12:
        failure = f"x_1 is {path[1]!r}, not {float(first)}"
    elif steps == RUN_STEPS and abs(path[-1] - float(end)) > within:
        failure = f"it ends at {path[-1]:.4f}, not within {within} of {float(end)}"
    found = {"x_1": path[1], "x at the end": path[-1]}
    return Seen(found, (range(1, steps + 1), path[1:]), failure)


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run the three rules in floating point."""
    return side_by_side(acts(), asked.steps or RUN_STEPS, asked, look)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the iterates."""
    axes = panel(figure, found, across="step $t$", up="$x_t$", log="x")
    axes.set_ylim(-15, 1.8)
    level(axes, float(CLAIMED["adam+l2"][1]), "$-g/λ$: where f + λx²/2 is stationary")
    level(axes, float(CLAIMED["adamw"][1]), "$-1/λ$")


COUNTEREXAMPLE = Counterexample(
    id="l2-is-not-decay",
    title="Adam with an L2 penalty is AdamW.",
    why_believed="For gradient descent they are the same, and torch.optim.Adam calls its L2 penalty "
    "weight_decay.",
    object="x_0 = 1, g_t = 10, λ = 1, α = 1/10, β = (9/10, 999/1000), ε = 0.",
    breaks="x_1 = 9/10 with the penalty and without it: no decay at all, though αλx_0/√v̂_1 = 1/110 is "
    "told of it.  AdamW: x_1 = 8/10.  Later the penalty leads to -g/λ = -10, AdamW to -1/λ = -1.",
    repair="A frozen denominator D, with λ/D for λ; it cannot serve two coordinates that differ.",
    source=LH19("Proposition 2"),
    open="That x arrives at -10 is seen and not proved; that it has no other limit is proved.",
    headline="Adam + L2 is not AdamW: no decay in the first step, and another limit",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=60,
    refutes=("adam-l2-equals-decay", "l2-decay-per-parameter"),
)
