"""False: Adam sees only the sign of a gradient and not its size, as ε is tiny.

Why one would believe it
    Kingma & Ba (2015), section 2.1: the steps are invariant to the scale of the gradient.  m̂ and √v̂
    both take a factor c, and 10^-8 is nothing beside them.

The object
    Constant gradients as small as ε: g = 10^-8 and 2·10^-8 with ε = 10^-8, α = 1; the default betas,
    and β1 = β2 = 0.

What it breaks
    Each step is -α g/(|g| + ε): it is α/2 long and not α, and twice the gradient makes it 2α/3.  At
    β1 = β2 = 0, "sign descent", it is α/2 as well.  And where ε stands beside the uncorrected root
    (ε̂), the first step is α/(1 + √1000): it is not the same ε.

What repairs it
    ε = 0: then the first step is α·sign(g), and every x_t is the same for c·g.  Else c·g with c·ε;
    ε̂_t = ε √(1 - β2^t) makes the two forms one.

Source
    adamproof.

What stays open
    How many parameters of a real model have such gradients: with bfloat16 or a scaled loss, many.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from ..theory.records import Goal, Step
from ..theory.sources import KB15
from .acts import Act, Seen, constant, holds, level, moves, optimizer, panel, replayed, side_by_side
from .record import Asked, Counterexample, Evidence, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..theory.interval import Interval

ALPHA, EPS = Fraction(1), Fraction(1, 10**8)
BETAS, NONE = (Fraction(9, 10), Fraction(999, 1000)), (Fraction(0), Fraction(0))
RUN_STEPS = 2000


def acts() -> tuple[Act, ...]:
    """Return Adam on gradients of the size of ε, and on one that is not; and its other form."""
    made = []
    for method, rule, betas, size in (
        ("Adam, g = ε", "adam", BETAS, EPS),
        ("Adam, g = 2ε", "adam", BETAS, 2 * EPS),
        ("Adam with ε̂ = ε, g = ε", "adam-eps-hat", BETAS, EPS),
        ("Adam, g = 1", "adam", BETAS, Fraction(1)),
        ("Adam, β1 = β2 = 0, g = ε", "adam", NONE, EPS),
    ):
        given = {"lr": ALPHA, "betas": betas, "eps": EPS}
        if rule == "adam":
            real = tuple(optimizer(home, "Adam", **given) for home in ("torch.optim", "adamproof"))
        else:
            real = (optimizer("adamproof", "Adam", eps_beside="raw", **given),)
        point = {"alpha": ALPHA, "beta1": betas[0], "beta2": betas[1], "eps": EPS}
        made.append(Act(method, rule, point, constant(size), real))
    return tuple(made)


def told(act: Act, t: int) -> Interval:
    """Return how far step t goes: m̂_t = g and √v̂_t = g under a constant gradient g > 0."""
    from ..theory.interval import Interval

    g, below = act.gradient(t), Interval.of(EPS)
    if act.rule == "adam-eps-hat":
        below = below / Interval.of(1 - BETAS[1] ** t).sqrt()
    return ALPHA * g / (g + below)


def derivation() -> tuple[Step, ...]:
    """Return the first steps on the object, and what the size of the gradient does in general."""
    from ..theory.records import Ground, Identity
    from ..theory.symbols import gt
    from .acts import number, rational
    from .theorems import theorem

    once, twice, hat, _, none = acts()
    half = rational(Fraction(-1, 2))
    return (
        Step("g = ε: x_1 = -α/2", Identity(number(once, 1), half),
             "the rule's own lines at the numbers of the object"),
        Step("g = 2ε: x_1 = -2α/3", Identity(number(twice, 1), rational(Fraction(-2, 3))), "the same"),
        Step("β1 = β2 = 0, g = ε: x_1 = -α/2", Identity(number(none, 1), half), "the same"),
        Step("and x_2 = -α", Identity(number(none, 2), 2 * half), "each step, not the first alone"),
        Step("ε̂ = ε, g = ε: |x_1| < α/32", Ground(gt(number(hat, 1) + rational(Fraction(1, 32)), 0)),
             "1/(1 + √1000)"),
        *theorem("first-step-exact", "adam").steps,
        *theorem("scale-invariance-eps", "adam").steps,
        *theorem("sign-descent-exact", "adam").steps,
        *theorem("eps-hat-conversion", "adam").steps,
    )  # fmt: skip


def control() -> Goal:
    """Return the belief itself: the first step is -α."""
    from ..theory.records import Identity
    from .acts import number, rational

    return Identity(number(acts()[0], 1), rational(-ALPHA))


def read(act: Act, path: list[Interval]) -> tuple[dict[str, str], str]:
    """Hold every step of an exact run against its closed form."""
    sizes = [-move for move in moves(path)]
    off = next((t for t, s in enumerate(sizes, 1) if not holds(s, told(act, t))), None)
    first = str(sizes[0].lo / ALPHA) if sizes[0].exact else f"{float(sizes[0] / ALPHA):.6f}"
    cells = {"first step/α": first, "last step/α": f"{float(sizes[-1] / ALPHA):.6f}"}
    return cells, "" if off is None else f"step {off} is not what its closed form says"


def replay(steps: int) -> Evidence:
    """Run each in rationals."""
    return replayed(acts(), steps, read)


def look(act: Act, path: list[float]) -> Seen:
    """Hold every step of a float run against its closed form."""
    sizes = [-move / float(ALPHA) for move in moves(path)]
    ends = (1, len(sizes))
    off = max(abs(sizes[t - 1] * float(ALPHA) / float(told(act, t)) - 1) for t in ends)
    failure = "" if off < 1e-9 else f"a step is off by {off:.1e}"
    found = {"first step/α": sizes[0], "last step/α": sizes[-1]}
    return Seen(found, (range(1, len(path)), sizes), failure)


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run each in floating point."""
    return side_by_side(acts(), asked.steps or RUN_STEPS, asked, look)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the length of each step."""
    axes = panel(figure, found, across="step $t$", up="length of the step over α", log="x")
    axes.set_ylim(0, 1.1)
    level(axes, 1, "α·|sign(g)|, what is believed")


COUNTEREXAMPLE = Counterexample(
    id="tiny-gradient",
    title="Adam sees only the sign of a gradient and not its size, as ε is tiny.",
    why_believed="Kingma & Ba (2015), section 2.1: steps are invariant to the scale of the gradient.",
    object="g_t = 10^-8 or 2·10^-8 for all t, ε = 10^-8, α = 1; the default betas, and β1 = β2 = 0.",
    breaks="Each step is -α g/(|g| + ε): α/2 for g = ε, 2α/3 for g = 2ε, and α/2 at β1 = β2 = 0 too.  "
    "With the same ε beside the uncorrected root the first step is α/(1 + √1000).",
    repair="ε = 0; or scaling ε with the gradient, and ε̂_t = ε √(1 - β2^t) for the other form.",
    source=KB15("section 2.1"),
    open="How many gradients of a real model are that small.",
    headline="A gradient as small as ε = 1e-8: Adam's step is half of lr, and depends on the scale",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=60,
    refutes=("first-step-sign", "scale-invariance", "sign-descent", "eps-hat"),
)
