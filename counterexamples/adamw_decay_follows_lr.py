"""False: the weight decay of AdamW is decoupled from the learning rate and its schedule.

Why one would believe it
    It is the title of the paper, Decoupled Weight Decay Regularization.

The object
    No gradient at all: g_t = 0, x_0 = 1, ε = 10^-8.  AdamW with λ = 1/2 at α = 1/10, at α = 1/20, and
    at α = 1/10 halved every ten steps; the paper's rule with λ = 1/25 at both rates.

What it breaks
    torch multiplies x by 1 - αλ, so half the rate is half the decay, and under a schedule
    x_t = Π (1 - α_i λ): x tends to a point far from 0 where a decay of its own would have erased it.
    In the paper x is multiplied by 1 - λ, whatever α is; but its schedule multiplier η_t stands
    before the whole update, decay and all, and makes it 1 - η_t λ.

What repairs it
    λ_code = λ_paper/α as α is changed; and a schedule on α alone in the paper's rule, which is not the
    paper's schedule.

Source
    Loshchilov & Hutter (2019), arXiv 1711.05101v3, Algorithm 2, against torch.optim.AdamW.

What stays open
    Nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from ..theory.records import Goal, Step
from ..theory.sources import LH19
from .acts import Act, Seen, holds, optimizer, panel, replayed, side_by_side
from .record import Asked, Counterexample, Evidence, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..theory.interval import Interval

LAMBDA, EPS, START = Fraction(1, 2), Fraction(1, 10**8), Fraction(1)
BETAS = (Fraction(9, 10), Fraction(999, 1000))
RATE, HALF = Fraction(1, 10), Fraction(1, 20)
#: The λ of the paper's rule, which stands for itself.
PAPER = Fraction(1, 25)
RUN_STEPS = 100


def halved(t: int) -> Fraction:
    """Return η_t: halved every ten steps."""
    return Fraction(1, 2 ** ((t - 1) // 10))


def acts() -> tuple[Act, ...]:
    """Return torch's AdamW at two rates and under a schedule, then the paper's at two rates."""
    made = []
    for label, decay, rate, schedule in (
        ("AdamW as in torch, α = 1/10, halved every 10 steps", "coupled", RATE, halved),
        ("AdamW as in torch, α = 1/10", "coupled", RATE, None),
        ("AdamW as in torch, α = 1/20", "coupled", HALF, None),
        ("AdamW as in the paper, α = 1/10", "uncoupled", RATE, None),
        ("AdamW as in the paper, α = 1/20", "uncoupled", HALF, None),
    ):
        coupled = decay == "coupled"
        own = LAMBDA if coupled else PAPER
        given = {"lr": rate, "betas": BETAS, "eps": EPS, "weight_decay": own}
        ours = optimizer("adamproof", "AdamW", decay=decay, **given)
        real = (optimizer("torch.optim", "AdamW", **given), ours) if coupled else (ours,)
        point = {"alpha": rate, "beta1": BETAS[0], "beta2": BETAS[1], "eps": EPS, "lambda_": own}
        rule = "adamw" if coupled else "adamw-uncoupled"
        made.append(Act(label, rule, point, lambda t: Fraction(0), real, START, schedule))
    return tuple(made)


def told(act: Act, steps: int) -> list[Fraction]:
    """Return x_0 … x_T: the product of what each step keeps."""
    path = [START]
    for t in range(1, steps + 1):
        lost = act.point["lambda_"]
        if act.rule == "adamw":
            lost *= act.point["alpha"] * (act.schedule(t) if act.schedule else 1)
        path.append(path[-1] * (1 - lost))
    return path


def derivation() -> tuple[Step, ...]:
    """Return one step at two rates, and what a schedule does to either rule."""
    from ..theory import symbols as sym
    from ..theory.faithful import paper_of
    from ..theory.records import Holds, Identity
    from .acts import number, rational
    from .theorems import theorem

    _, full, half, *_ = acts()
    alone = {sym.g: 0, **{sym.old(n): 0 for n in paper_of("adamw").initial}}
    kept = paper_of("adamw").transition()["x"].subs(alone)
    faster, slower, weight = (sym.symbol(n, "positive") for n in ("a", "b", "w"))
    more, positive = sym.symbol("s", "positive"), dict.fromkeys("abws", "positive")
    return (
        Step("torch, without gradients: x_t = (1 - αλ) x_{t-1}",
             Identity(kept, (1 - sym.alpha * sym.lambda_) * sym.x, {"eps": "positive"}),
             "the rule's own lines at m = v = g = 0"),
        Step("α = 1/10: x_1 = 19/20", Identity(number(full, 1), rational(Fraction(19, 20))),
             "the numbers of the object"),
        Step("α = 1/20: x_1 = 39/40", Identity(number(half, 1), rational(Fraction(39, 40))),
             "half the rate, half the decay"),
        Step("1 - bλ > 1 - aλ for b < a",
             Holds(sym.gt((1 - slower * weight) - (1 - faster * weight), 0),
                   (sym.gt(faster, slower),), positive, {faster: slower + more}),
             "a smaller rate keeps more, in every step and for every λ > 0"),
        *theorem("adamw-lambda-conversion", "adamw").steps,
        *theorem("adamw-schedule-exact", "adamw").steps,
        *theorem("adamw-lr-coupling", "adamw-uncoupled").steps,
        *theorem("adamw-schedule-exact", "adamw-uncoupled").steps,
    )  # fmt: skip


def control() -> Goal:
    """Return the belief itself: one step at either rate leads to the same point."""
    from ..theory.records import Identity
    from .acts import number

    _, full, half, *_ = acts()
    return Identity(number(full, 1), number(half, 1))


def read(act: Act, path: list[Interval]) -> tuple[dict[str, str], str]:
    """Hold an exact run against the product."""
    right = told(act, len(path) - 1)
    pairs = enumerate(zip(path, right, strict=True))
    off = next((t for t, (x, y) in pairs if not holds(x, y)), None)
    cells = {"x_1": str(path[1].lo), "x at the end": f"{float(path[-1]):.9f}"}
    return cells, "" if off is None else f"x_{off} is not {float(right[off])}"


def replay(steps: int) -> Evidence:
    """Run each in rationals."""
    return replayed(acts(), steps, read)


def look(act: Act, path: list[float]) -> Seen:
    """Hold a float run against the product."""
    steps, right = len(path) - 1, told(act, len(path) - 1)
    off = max(abs(x - float(y)) for x, y in zip(path, right, strict=True))
    failure = "" if off < 1e-12 else f"it is off by {off:.1e}"
    found = {"x_1": path[1], "x at the end": path[-1]}
    return Seen(found, (range(steps + 1), path), failure)


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run each in floating point."""
    return side_by_side(acts(), asked.steps or RUN_STEPS, asked, look)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw what is left of x."""
    panel(figure, found, across="step $t$", up="$x_t$, without any gradient", log="y")


COUNTEREXAMPLE = Counterexample(
    id="adamw-decay-follows-lr",
    title="The weight decay of AdamW is decoupled from the learning rate and its schedule.",
    why_believed="It is the title of the paper: Decoupled Weight Decay Regularization.",
    object="g_t = 0 for all t, x_0 = 1, λ = 1/2 in torch's rule and 1/25 in the paper's, "
    "ε = 10^-8; α = 1/10, 1/20, or halved every ten steps.",
    breaks="torch keeps 1 - αλ of x: half the rate is half the decay, and a schedule that ends ends "
    "the decay.  In the paper 1 - λ is kept whatever α is, but its schedule multiplies λ as well.",
    repair="λ_code = λ_paper/α; and a schedule on α alone in the paper's rule.",
    source=LH19("Algorithm 2"),
    open="Nothing.",
    headline="Without any gradient, AdamW's decay follows lr and its schedule",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=60,
    refutes=("adamw-lr-coupling", "adamw-schedule-decoupled"),
)
