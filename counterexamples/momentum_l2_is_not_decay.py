"""False: for SGD with momentum, an L2 penalty is weight decay, as it is without momentum.

Why one would believe it
    For plain gradient descent x - α(g + λx) = (1 - αλ)x - αg, so the two are one; and momentum only
    averages the gradients.

The object
    No gradient at all: g_t = 0, x_0 = 1, λ = 1, α = 1/10, μ = 9/10.

What it breaks
    The penalty enters the buffer, and is remembered there.  x_1 = 9/10 both ways; then x_2 = 72/100
    with the penalty and 81/100 with the decay, αμλx_0 apart.  With the penalty x swings through 0 to
    the other side: it is heavy ball on λx²/2.  With the decay x_t = (9/10)^t.

What repairs it
    μ = 0.

Source
    adamproof; Loshchilov & Hutter (2019), Algorithm 1, for the decay.

What stays open
    Nothing.  torch.optim has no SGD with decoupled decay, so that rule runs on paper and in adamproof.
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

ALPHA, MU, LAMBDA, START = Fraction(1, 10), Fraction(9, 10), Fraction(1), Fraction(1)
RUN_STEPS = 80


def acts() -> tuple[Act, Act]:
    """Return momentum with the penalty, and with the decay λ' = αλ."""
    given = {"lr": ALPHA, "momentum": MU, "weight_decay": LAMBDA}
    point = {"alpha": ALPHA, "mu": MU, "lambda_": LAMBDA}

    def silent(t: int) -> Fraction:
        return Fraction(0)

    l2 = (optimizer("torch.optim", "SGD", **given), optimizer("adamproof", "SGD", **given))
    decay = (optimizer("adamproof", "SGD", decay="coupled", **given),)
    return (
        Act("momentum + L2", "sgd+momentum+l2", point, silent, l2, START),
        Act("momentum + decay", "sgd+momentum+decay-coupled", point, silent, decay, START),
    )


def told(act: Act, steps: int) -> list[Fraction]:
    """Return x_0 … x_T: (1 - αλ)^t, or x_{t+1} = (1 + μ - αλ) x_t - μ x_{t-1}."""
    path = [START, (1 - ALPHA * LAMBDA) * START]
    for _ in range(1, steps):
        swing = (1 + MU - ALPHA * LAMBDA) * path[-1] - MU * path[-2]
        path.append(swing if act.rule == "sgd+momentum+l2" else (1 - ALPHA * LAMBDA) * path[-1])
    return path[: steps + 1]


def derivation() -> tuple[Step, ...]:
    """Return the first two steps of each, and where they part in general."""
    from ..theory import symbols as sym
    from ..theory.faithful import paper_of
    from ..theory.records import Identity
    from .acts import number, rational
    from .theorems import theorem

    l2, decay = acts()
    before = sym.symbol("y")
    line = paper_of("sgd+momentum+l2").transition()["x"]
    swing = (1 + sym.mu - sym.alpha * sym.lambda_) * sym.x - sym.mu * before
    held = {sym.g: 0, sym.old("momentum_buffer"): (before - sym.x) / sym.alpha}
    return (
        *(Step(f"{act.method}: x_{n} = {value}", Identity(number(act, n), rational(value)),
               "the rule's own lines at the numbers of the object")
          for act, n, value in ((l2, 1, Fraction(9, 10)), (decay, 1, Fraction(9, 10)),
                                (l2, 2, Fraction(72, 100)), (decay, 2, Fraction(81, 100)))),
        *theorem("momentum-l2-first-difference", "sgd+momentum+l2").steps,
        Step("with the penalty and g = 0: x_{t+1} = (1 + μ - αλ) x_t - μ x_{t-1}",
             Identity(line.subs(held), swing),
             "b_t = (x_{t-1} - x_t)/α, y = x_{t-1}: heavy ball on λx²/2"),
    )  # fmt: skip


def control() -> Goal:
    """Return the belief itself, for the second step."""
    from ..theory.records import Identity
    from .acts import number

    l2, decay = acts()
    return Identity(number(l2, 2), number(decay, 2))


def read(act: Act, path: list[Interval]) -> tuple[dict[str, str], str]:
    """Hold an exact run against what is told of it."""
    right = told(act, len(path) - 1)
    off = next((t for t, (x, y) in enumerate(zip(path, right, strict=True)) if x.lo != y), None)
    cells = {"x_1": str(path[1].lo), "x_2": str(path[2].lo) if len(path) > 2 else "-",
             "lowest x": f"{float(min(x.lo for x in path)):.6f}"}  # fmt: skip
    return cells, "" if off is None else f"x_{off} is not {float(right[off])}"


def replay(steps: int) -> Evidence:
    """Run both rules in rationals."""
    return replayed(acts(), steps, read)


def look(act: Act, path: list[float]) -> Seen:
    """Hold a float run against what is told of it."""
    steps, right = len(path) - 1, told(act, len(path) - 1)
    off = max(abs(x - float(y)) for x, y in zip(path, right, strict=True))
    failure = "" if off < 1e-12 else f"it is off by {off:.1e}"
    found: dict[str, float | str] = {"x_1": path[1], "x_2": path[2] if steps > 1 else "-",
                                     "lowest x": min(path)}  # fmt: skip
    return Seen(found, (range(steps + 1), path), failure)


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run both rules in floating point."""
    return side_by_side(acts(), asked.steps or RUN_STEPS, asked, look)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the iterates."""
    axes = panel(figure, found, across="step $t$", up="$x_t$, without any gradient", marked=True)
    level(axes, 0, "")


COUNTEREXAMPLE = Counterexample(
    id="momentum-l2-is-not-decay",
    title="For SGD with momentum an L2 penalty is weight decay, as it is without momentum.",
    why_believed="For plain gradient descent x - α(g + λx) = (1 - αλ)x - αg.",
    object="g_t = 0 for all t, x_0 = 1, λ = 1, α = 1/10, μ = 9/10.",
    breaks="x_1 = 9/10 both ways, but x_2 = 72/100 with the penalty and 81/100 with the decay: the "
    "buffer remembers the penalty, and x swings through 0.",
    repair="μ = 0.",
    source=LH19("Algorithm 1"),
    open="Nothing.  torch.optim has no SGD with decoupled decay to run beside.",
    headline="Momentum remembers an L2 penalty and swings through 0; weight decay does not",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=60,
    refutes=("momentum-l2-equals-decay",),
)
