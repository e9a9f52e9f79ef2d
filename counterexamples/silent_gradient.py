"""False: a gradient of zero leaves a parameter alone.

Why one would believe it
    Gradient descent moves by -αg, which is 0 with g; and for a parameter that took no part in a batch
    nothing else would make sense.

The object
    One gradient, g_1 = 1, and zeros after it, from x_0 = 1.  α = 1/100; Adam with its defaults, AdamW
    with λ = 1/2, SGD with μ = 9/10.

What it breaks
    Momentum remembers: SGD goes on to move x by 9 times the first step.  Adam moves it by the
    average of what was, over a root that fades more slowly: 5 times the first step.  AdamW shrinks x
    besides, without end.  Every one of these steps is different from 0.

What repairs it
    No memory and no decay: plain gradient descent.  Or no gradient at all: where p.grad is None, as
    zero_grad leaves it, the frameworks skip the parameter, its memory and its decay.

Source
    Folklore.

What stays open
    Nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

from ..theory.records import Goal, Step
from ..theory.sources import FOLKLORE
from .acts import Act, Seen, holds, moves, optimizer, panel, replayed, side_by_side
from .record import Asked, Counterexample, Evidence, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..theory.interval import Interval

ALPHA, BETAS, EPS = Fraction(1, 100), (Fraction(9, 10), Fraction(999, 1000)), Fraction(1, 10**8)
MU, LAMBDA, START = Fraction(9, 10), Fraction(1, 2), Fraction(1)
RUN_STEPS = 80


def gradient(t: int) -> Fraction:
    """Return the only gradient, or zero."""
    return Fraction(t == 1)


def acts() -> tuple[Act, ...]:
    """Return three rules that go on, and plain gradient descent, which does not."""
    adam = {"lr": ALPHA, "betas": BETAS, "eps": EPS}
    point = {"alpha": ALPHA, "beta1": BETAS[0], "beta2": BETAS[1], "eps": EPS}
    made = []
    for method, rule, name, options, numbers in (
        ("Adam", "adam", "Adam", adam, point),
        ("SGD with momentum", "sgd+momentum", "SGD", {"lr": ALPHA, "momentum": MU},
         {"alpha": ALPHA, "mu": MU}),
        (f"AdamW, λ = {LAMBDA}", "adamw", "AdamW", {**adam, "weight_decay": LAMBDA},
         {**point, "lambda_": LAMBDA}),
        ("gradient descent", "sgd", "SGD", {"lr": ALPHA}, {"alpha": ALPHA}),
    ):  # fmt: skip
        both = tuple(optimizer(home, name, **options) for home in ("torch.optim", "adamproof"))
        made.append(Act(method, rule, numbers, gradient, both, START))
    return tuple(made)


def adam_step(t: int) -> Interval:
    """Return how far Adam moves in step t: m̂_t over its denominator, in closed form."""
    from ..theory.interval import Interval

    b1, b2 = BETAS
    m = (1 - b1) * b1 ** (t - 1) / (1 - b1**t)
    v = (1 - b2) * b2 ** (t - 1) / (1 - b2**t)
    return ALPHA * m / (Interval.of(v).sqrt() + EPS)


def derivation() -> tuple[Step, ...]:
    """Return the second step of each, and what moves a parameter in general."""
    from ..theory.records import Ground, Identity
    from ..theory.symbols import gt
    from .acts import number, rational
    from .theorems import theorem

    adam, momentum, decay, plain = acts()
    return (
        Step("Adam: x_1 - x_2 > α/3, though g_2 = 0",
             Ground(gt(number(adam, 1) - number(adam, 2) - rational(ALPHA / 3), 0)),
             "the rule's own lines at the numbers of the object"),
        Step("momentum: x_2 = 1 - α - αμ",
             Identity(number(momentum, 2), rational(START - ALPHA * (1 + MU))), "the same"),
        Step("AdamW: x_1 - x_2 > αλ x_1",
             Ground(gt(number(decay, 1) * rational(1 - ALPHA * LAMBDA) - number(decay, 2), 0)),
             "memory and decay"),
        Step("gradient descent: x_2 = x_1", Identity(number(plain, 2), rational(START - ALPHA)),
             "no memory, no decay"),
        *theorem("zero-gradient-what-moves", "adam").steps,
        *theorem("zero-gradient-what-moves", "adamw").steps,
        *theorem("zero-gradient-what-moves", "sgd+momentum").steps,
        *theorem("zero-gradient-no-update", "sgd").steps,
    )  # fmt: skip


def control() -> Goal:
    """Return the belief itself, for momentum's second step."""
    from ..theory.records import Identity
    from .acts import number

    momentum = acts()[1]
    return Identity(number(momentum, 2), number(momentum, 1))


def read(act: Act, path: list[Interval]) -> tuple[dict[str, str], str]:
    """Check that each silent step of an exact run moves x, and how far where that is known."""
    steps, failure = [-move for move in moves(path)], ""
    silent = enumerate(steps[1:], 2)
    if act.rule == "sgd":
        failure = "it moved without a gradient" if any(s.lo or s.hi for s in steps[1:]) else ""
    elif any(s.lo <= 0 for s in steps):
        failure = "a step is not > 0"
    elif act.rule == "sgd+momentum":
        failure = "" if all(s.lo == ALPHA * MU ** (t - 1) for t, s in silent) else "it is not αμ^(t-1)"
    elif act.rule == "adam":
        told = all(holds(s, adam_step(t)) for t, s in silent)
        failure = "" if told else "a step is not what its closed form says"
    first = float(steps[0])
    cells = {
        "first step": f"{first:.6f}",
        "moved in silence": f"{float(path[1] - path[-1]):.6f}",
        "over the first step": f"{float(path[1] - path[-1]) / first:.4f}",
    }
    return cells, failure


def replay(steps: int) -> Evidence:
    """Run each in rationals."""
    return replayed(acts(), steps, read)


def look(act: Act, path: list[float]) -> Seen:
    """Say how far a float run moves in silence."""
    first, rest = path[0] - path[1], path[1] - path[-1]
    moved = all(a > b for a, b in pairwise(path[1:]))
    failure = ""
    if act.rule == "sgd" and rest != 0:
        failure = "it moved without a gradient"
    elif act.rule != "sgd" and not moved and len(path) <= RUN_STEPS + 1:
        failure = "it stood still in a step without a gradient"
    found = {"first step": first, "moved in silence": rest, "over the first step": rest / first}
    return Seen(found, (range(len(path)), path), failure)


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run each in floating point."""
    return side_by_side(acts(), asked.steps or RUN_STEPS, asked, look)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the iterates."""
    axes = panel(figure, found, across="step $t$; the gradient is 0 from step 2 on", up="$x_t$")
    axes.axvline(1, color="0.45", linewidth=0.9, linestyle=(0, (1, 2)))


COUNTEREXAMPLE = Counterexample(
    id="silent-gradient",
    title="A gradient of zero leaves a parameter alone.",
    why_believed="Gradient descent moves by -αg, which is 0 with g.",
    object="g_1 = 1, then 0, from x_0 = 1; α = 1/100, Adam's defaults, AdamW with λ = 1/2, SGD with "
    "μ = 9/10.",
    breaks="Each goes on moving in every step: momentum by 9 times its first step in all, Adam by 5 "
    "times, AdamW without end.",
    repair="No memory and no decay; or p.grad = None, which makes the frameworks skip the parameter.",
    source=FOLKLORE,
    open="Nothing.",
    headline="One gradient, then zeros: what Adam, AdamW and momentum do in silence",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=60,
    refutes=("zero-gradient-no-update",),
)
