"""False: an L2 penalty and decoupled weight decay lead Adam to the same points.

Why one would believe it
    Both are called weight decay, and both pull x towards 0 until the gradient holds against it.

The object
    Constant gradients, g = 2 and g = 4, each run from x_0 = -g/λ, where g x + λx²/2 has its minimum.
    λ = 1/2, α = 1/10, the default betas, ε = 10^-8.

What it breaks
    Adam + L2 sees the gradient g + λx_0 = 0 and stays.  AdamW leaves at once, and goes to
    -g/((|g| + ε)λ), which is -2 for either g: it forgets how large the gradient is.  Its distance
    from there shrinks by the factor 1 - αλ, exactly.

What repairs it
    Nothing: the penalty's limits are the stationary points of f + λx²/2; those of AdamW solve
    x = -sign(g)/λ as ε → 0, the corners of the box |x| <= 1/λ, whatever g is.

Source
    adamproof; Xie & Li (2024) on the box.

What stays open
    Gradients that depend on x.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from ..theory.records import Goal, Step
from ..theory.sources import XL24
from .acts import Act, Seen, constant, holds, level, optimizer, panel, replayed, side_by_side
from .record import Asked, Counterexample, Evidence, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..theory.interval import Interval

ALPHA, LAMBDA, EPS = Fraction(1, 10), Fraction(1, 2), Fraction(1, 10**8)
BETAS = (Fraction(9, 10), Fraction(999, 1000))
GRADIENTS = (Fraction(2), Fraction(4))
RUN_STEPS = 300


def acts() -> tuple[Act, ...]:
    """Return Adam + L2 and AdamW for each gradient, from the minimum of g x + λx²/2."""
    given = {"lr": ALPHA, "betas": BETAS, "eps": EPS, "weight_decay": LAMBDA}
    point = {"alpha": ALPHA, "beta1": BETAS[0], "beta2": BETAS[1], "eps": EPS, "lambda_": LAMBDA}
    made = []
    for method, rule, name in (("Adam + L2", "adam+l2", "Adam"), ("AdamW", "adamw", "AdamW")):
        both = tuple(optimizer(home, name, **given) for home in ("torch.optim", "adamproof"))
        for g in GRADIENTS:
            made.append(Act(f"{method}, g = {g}", rule, point, constant(g), both, -g / LAMBDA))
    return tuple(made)


def limit(act: Act) -> Fraction:
    """Return the point that an act tends to."""
    g = act.gradient(1)
    return -g / LAMBDA if act.rule == "adam+l2" else -g / ((abs(g) + EPS) * LAMBDA)


def place(act: Act, t: int) -> Fraction:
    """Return x_t in closed form."""
    shrunk: Fraction = (1 - ALPHA * LAMBDA) ** t
    return limit(act) + shrunk * (act.start - limit(act))


def derivation() -> tuple[Step, ...]:
    """Return where each tends to, and that these are different points."""
    from ..theory.records import Ground
    from ..theory.symbols import gt
    from .acts import rational
    from .theorems import theorem

    l2, decay = acts()[0], acts()[2]
    return (
        *theorem("l2-fixed-points", "adam+l2").steps,
        *theorem("l2-limits-stationary", "adam+l2").steps,
        *theorem("adamw-fixed-point", "adamw").steps,
        Step("at g = 2 the two points are more than 1 apart",
             Ground(gt(rational(limit(decay) - limit(l2) - 1), 0)),
             "-4, and -2/(1 + ε/2): AdamW does not stay at -4"),
        Step("AdamW's points for g = 2 and g = 4 are less than 10^-8 apart",
             Ground(gt(rational(Fraction(1, 10**8) - abs(limit(decay) - limit(acts()[3]))), 0)),
             "-2/(1 + ε/2) and -2/(1 + ε/4)"),
    )  # fmt: skip


def control() -> Goal:
    """Return that the first step of AdamW leads nowhere, as it does with the penalty."""
    from ..theory.records import Identity
    from .acts import number, rational

    decay = acts()[2]
    return Identity(number(decay, 1), rational(decay.start))


def read(act: Act, path: list[Interval]) -> tuple[dict[str, str], str]:
    """Hold an exact run against the closed form."""
    off = next((t for t, x in enumerate(path) if not holds(x, place(act, t))), None)
    cells = {"x_0": str(act.start), "x at the end": f"{float(path[-1]):.9f}",
             "tends to": f"{float(limit(act)):.9f}"}  # fmt: skip
    return cells, "" if off is None else f"x_{off} is not where its closed form says"


def replay(steps: int) -> Evidence:
    """Run both rules in rationals."""
    return replayed(acts(), steps, read)


def look(act: Act, path: list[float]) -> Seen:
    """Hold the end of a float run against the closed form."""
    steps, told = len(path) - 1, float(place(act, len(path) - 1))
    failure = "" if abs(path[-1] - told) < 1e-9 else f"it ends at {path[-1]!r}, not at {told!r}"
    found = {"x_0": path[0], "x at the end": path[-1], "tends to": float(limit(act))}
    return Seen(found, (range(steps + 1), path), failure)


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run both rules in floating point."""
    return side_by_side(acts(), asked.steps or RUN_STEPS, asked, look)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the iterates."""
    axes = panel(figure, found, across="step $t$", up="$x_t$")
    axes.set_ylim(-9, 0)
    level(axes, float(-1 / LAMBDA), "$-1/λ$, a corner of AdamW's box", right=True)


COUNTEREXAMPLE = Counterexample(
    id="l2-has-other-limits",
    title="An L2 penalty and decoupled weight decay lead Adam to the same points.",
    why_believed="Both are called weight decay, and both pull x towards 0.",
    object="g_t = 2 or g_t = 4 for all t, from x_0 = -g/λ; λ = 1/2, α = 1/10, the default betas, "
    "ε = 10^-8.",
    breaks="Adam + L2 stays at -g/λ, that is -4 and -8.  AdamW leaves it and tends to -g/((|g| + ε)λ): "
    "-2 for either gradient, its distance shrinking by 1 - αλ in each step.",
    repair="Nothing: L2 seeks the stationary points of f + λx²/2, AdamW the corners of a box.",
    source=XL24("on the box |x| <= 1/λ"),
    open="Gradients that depend on x.",
    headline="From the minimum of f + λx²/2: Adam + L2 stays, AdamW leaves for a corner of its box",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=60,
    refutes=("l2-fixed-points",),
)
