"""False: once the gradients shrink, the effective rate of an adaptive method grows again.

Why one would believe it
    It is so for Adam and RMSprop, whose denominators are moving averages; and AdaGrad is taken for
    one of their kind, that "adapts to the gradients".

The object
    One gradient of 100, and 1 ever after.  AdaGrad, RMSprop (β2 = 99/100) and Adam (β = (9/10,
    99/100)) with α = 1, ε = 0.

What it breaks
    AdaGrad never forgets the spike.  Its rate after t steps is 1/√(10^4 + t - 1): it falls in every
    step, and when the other two are back at 1, after a thousand steps, it is still below 1/100.

What repairs it
    A denominator that forgets: Adam's and RMSprop's rates grow in a step if and only if g_t² is below
    the average so far.

Source
    Duchi, Hazan & Singer (2011), Figure 1, the rule; adamproof, the comparison.

What stays open
    Nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

from ..theory.records import Goal, Step
from ..theory.sources import DHS11
from .acts import Act, Seen, holds, level, moves, optimizer, panel, replayed, side_by_side
from .record import Asked, Counterexample, Evidence, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..theory.interval import Interval

ALPHA, BETAS = Fraction(1), (Fraction(9, 10), Fraction(99, 100))
SPIKE, AFTER = Fraction(100), Fraction(1)
RUN_STEPS = 2000


def gradient(t: int) -> Fraction:
    """Return the spike, or what comes after it."""
    return SPIKE if t == 1 else AFTER


def acts() -> tuple[Act, ...]:
    """Return the three rules."""
    given = {"lr": ALPHA, "eps": Fraction(0)}
    point = {"alpha": ALPHA, "beta1": BETAS[0], "beta2": BETAS[1], "eps": Fraction(0)}
    made = []
    for method, rule, name, options in (
        ("AdaGrad", "adagrad", "Adagrad", {}),
        ("RMSprop", "rmsprop", "RMSprop", {"alpha": BETAS[1]}),
        ("Adam", "adam", "Adam", {"betas": BETAS}),
    ):
        both = tuple(optimizer(home, name, **given, **options)
                     for home in ("torch.optim", "adamproof"))  # fmt: skip
        made.append(Act(method, rule, point, gradient, both))
    return tuple(made)


def denominator(act: Act, t: int) -> Fraction:
    """Return D_t², in closed form."""
    beta, rest = BETAS[1], AFTER**2
    if act.rule == "adagrad":
        return SPIKE**2 + (t - 1) * rest
    v = beta ** (t - 1) * (1 - beta) * SPIKE**2 + (1 - beta ** (t - 1)) * rest
    return v / (1 - beta**t) if act.rule == "adam" else v


def means(act: Act, steps: int) -> list[Fraction]:
    """Return what α/D_t is multiplied by: the gradient, or in Adam its corrected average."""
    if act.rule != "adam":
        return act.gradients(steps)
    beta, m, out = BETAS[0], Fraction(0), []
    for t in range(1, steps + 1):
        m = beta * m + (1 - beta) * gradient(t)
        out.append(m / (1 - beta**t))
    return out


def derivation() -> tuple[Step, ...]:
    """Return that AdaGrad's rate never grows, the others' do, and the numbers of the object."""
    from ..theory.records import Ground
    from ..theory.symbols import gt
    from .acts import rational
    from .theorems import theorem

    adagrad, *others = acts()
    late = rational(denominator(adagrad, 1000) - SPIKE**2)
    near = [Step(f"{other.method}: D² < 3/2 after 1000 steps",
                 Ground(gt(rational(Fraction(3, 2) - denominator(other, 1000)), 0)),
                 "its closed form: the spike is forgotten")
            for other in others]  # fmt: skip
    return (
        *theorem("rate-never-grows", "adagrad").steps,
        Step("AdaGrad: D² > 100² after 1000 steps", Ground(gt(late, 0)),
             "100² + 999: the rate is below 1/100"),
        *near,
        *theorem("lr-rebound", "rmsprop").steps,
        *theorem("lr-rebound", "adam").steps,
    )  # fmt: skip


def control() -> Goal:
    """Return AdaGrad's rate after 1000 steps as it would have to be: above 1/100."""
    from ..theory.records import Ground
    from ..theory.symbols import gt
    from .acts import rational

    return Ground(gt(rational(SPIKE**2 - denominator(acts()[0], 1000)), 0))


def read(act: Act, path: list[Interval]) -> tuple[dict[str, str], str]:
    """Read the effective rate off the moves of an exact run."""
    steps, failure = len(path) - 1, ""
    rates = [-move / mean for move, mean in zip(moves(path), means(act, steps), strict=True)]
    for t, rate in enumerate(rates, 1):
        if not holds(ALPHA**2 / rate.power(2) / denominator(act, t), 1):
            failure = failure or f"D_{t} is not what its closed form says"
    grew = sum(b.lo > a.hi for a, b in pairwise(rates))
    if grew != (0 if act.rule == "adagrad" else steps - 1):
        failure = failure or f"the rate grew in {grew} of {steps - 1} steps"
    cells = {
        "rate after the spike": f"{float(rates[0]):.6f}",
        "rate at the end": f"{float(rates[-1]):.6f}",
        "the rate grew in": f"{grew} of {steps - 1} steps",
    }
    return cells, failure


def replay(steps: int) -> Evidence:
    """Run the three rules in rationals."""
    return replayed(acts(), steps, read)


def look(act: Act, path: list[float]) -> Seen:
    """Read the effective rate off the moves of a float run."""
    steps = len(path) - 1
    rates = [-move / float(mean) for move, mean in zip(moves(path), means(act, steps), strict=True)]
    told = float(ALPHA) / float(denominator(act, steps)) ** 0.5
    off = abs(rates[-1] / told - 1)
    failure = "" if off < 1e-6 else f"the rate is {rates[-1]:.6g} at the end, not {told:.6g}"
    if act.rule == "adagrad" and max(rates[1:], default=0) > rates[0] * (1 + 1e-9):
        failure = failure or "the rate grew"
    found = {"rate after the spike": rates[0], "rate at the end": rates[-1], "claimed": told}
    return Seen(found, (range(1, steps + 1), rates), failure)


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run the three rules in floating point."""
    return side_by_side(acts(), asked.steps or RUN_STEPS, asked, look)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the effective rates."""
    axes = panel(figure, found, across="step $t$", up="effective rate α/$D_t$", log="xy")
    level(axes, 1.0, "the rate for gradients of 1")


COUNTEREXAMPLE = Counterexample(
    id="adagrad-never-rebounds",
    title="Once the gradients shrink, the effective rate of an adaptive method grows again.",
    why_believed="It does for Adam and RMSprop, whose denominators forget.",
    object="g_1 = 100, then g_t = 1; AdaGrad, RMSprop and Adam with α = 1, β = (9/10, 99/100), ε = 0.",
    breaks="AdaGrad's rate is 1/√(10^4 + t - 1): it falls in every step, and is below 1/100 when the "
    "other two are back at 1.",
    repair="A denominator that forgets: there the rate grows if and only if g_t² is below the average.",
    source=DHS11("Figure 1"),
    open="Nothing.",
    headline="A spike of 100, then gradients of 1: AdaGrad's rate never grows again",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=60,
    refutes=("lr-rebound",),
)
