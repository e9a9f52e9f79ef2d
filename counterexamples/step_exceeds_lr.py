"""False: Adam never moves a parameter by more than lr.

Why one would believe it
    Kingma & Ba (2015), section 2.1: the step is about α at most; it is at most α·(1 - β1)/√(1 - β2)
    where 1 - β1 > √(1 - β2), "in the most severe case of sparsity", and at most α elsewhere.

The object
    Gradients that grow by β2/β1, which is 11 % a step: g_t = (111/100)^{t-1}.  β = (9/10, 999/1000),
    the defaults, and ε = 0, α = 1.

What it breaks
    Every step t is the longest that any sequence of t gradients can make:
    α·B_t, B_t = √(C_t (1 - β2^t))/(1 - β1^t), C_t = (1 - β1)²/(1 - β2)·Σ_{k<t} (β1²/β2)^k.  Step 2 is
    longer than α, step 210 longer than Kingma & Ba's 3.16 α, and they tend to 7.27 α.  As B_t grows,
    the first step is the shortest: it is not the first steps that are wild.

What repairs it
    β1 = β2: then no step is longer than α.  Else the tight bound α·B_t, which is below
    α (1 - β1) √β2/√((1 - β2)(β2 - β1²)) for every t if β1² < β2; if not, nothing bounds the steps.

Source
    adamproof: Cauchy-Schwarz, which the sequence makes an equality.

What stays open
    ε > 0 shortens each of these steps, and the supremum stays: the same gradients, made larger.
    How long the steps of a real training are is another question.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from ..theory.records import Goal, Step
from ..theory.sources import HERE
from .acts import Act, Seen, holds, level, moves, optimizer, panel, replayed, side_by_side
from .record import Asked, Counterexample, Evidence, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..theory.interval import Interval

ALPHA, BETAS = Fraction(1), (Fraction(9, 10), Fraction(999, 1000))
#: The first step that is longer than Kingma & Ba's bound allows.
BEYOND = 210
RUN_STEPS = 3000


def growing(t: int) -> Fraction:
    """Return a gradient that makes step t the longest, and each step before it."""
    return (BETAS[1] / BETAS[0]) ** (t - 1)


def act(method: str, betas: tuple[Fraction, Fraction]) -> Act:
    """Return Adam on the growing gradients."""
    given = {"lr": ALPHA, "betas": betas, "eps": Fraction(0)}
    point = {"alpha": ALPHA, "beta1": betas[0], "beta2": betas[1], "eps": Fraction(0)}
    both = (optimizer("torch.optim", "Adam", **given), optimizer("adamproof", "Adam", **given))
    return Act(method, "adam", point, growing, both)


def acts() -> tuple[Act, Act]:
    """Return Adam with its defaults, and with equal betas."""
    return act("Adam, β = (0.9, 0.999)", BETAS), act("Adam, β = (0.9, 0.9)", (BETAS[0],) * 2)


def bound(t: int, betas: tuple[Fraction, Fraction] = BETAS) -> Fraction:
    """Return B_t², the square of the longest step t over α."""
    b1, b2 = betas
    q = b1**2 / b2
    return (1 - b1) ** 2 / (1 - b2) * (1 - q**t) / (1 - q) * (1 - b2**t) / (1 - b1**t) ** 2


#: The squares of Kingma & Ba's bound, and of the limit of B_t.
KINGMA_BA = (1 - BETAS[0]) ** 2 / (1 - BETAS[1])
LIMIT = KINGMA_BA / (1 - BETAS[0] ** 2 / BETAS[1])


def derivation() -> tuple[Step, ...]:
    """Return Cauchy-Schwarz and its equality, that B_t grows, and the numbers at the defaults."""
    from ..theory.records import Ground
    from ..theory.symbols import gt
    from .acts import rational
    from .theorems import theorem

    def more(a: Fraction, b: Fraction) -> Ground:
        return Ground(gt(rational(a - b), 0))

    return (
        *theorem("step-bound-tight", "adam").steps,
        *theorem("step-bound-grows", "adam").steps,
        Step("at the defaults B_2² > 1", more(bound(2), Fraction(1)),
             "so step 2, and every step after it, is longer than α"),
        Step(f"B_{BEYOND - 1}² < (1 - β1)²/(1 - β2) = 10", more(KINGMA_BA, bound(BEYOND - 1)),
             "1 - β1 = 0.1 > √(1 - β2): the case in which Kingma & Ba allow more than α"),
        Step(f"B_{BEYOND}² > 10", more(bound(BEYOND), KINGMA_BA),
             f"so step {BEYOND}, and every step after it, is longer than they allow"),
        Step("the limit of B_t² is more than 7.27²", more(LIMIT, Fraction("7.27") ** 2),
             "(1 - β1)² β2/((1 - β2)(β2 - β1²))"),
        Step("and less than 7.28²", more(Fraction("7.28") ** 2, LIMIT), "no step is longer"),
    )  # fmt: skip


def control() -> Goal:
    """Return the bound without the sum in C_t, which is Kingma & Ba's."""
    from .theorems import theorem

    near_miss = theorem("step-bound-tight", "adam").control
    assert near_miss is not None
    return near_miss


def small() -> Act:
    """Return the smallest example: at β = (1/2, 0) the gradients 2, 1 make a step of 4/3 α."""
    betas = (Fraction(1, 2), Fraction(0))
    whole = act("Adam, β = (1/2, 0), g = 2, 1, 1, …", betas)
    return Act(whole.method, "adam", whole.point, lambda t: Fraction(2 if t == 1 else 1), whole.real)


def read(which: Act, path: list[Interval]) -> tuple[dict[str, str], str]:
    """Hold every step of an exact run against the bound that is claimed to be tight."""
    sizes, failure = [abs(move) / ALPHA for move in moves(path)], ""
    betas = which.point["beta1"], which.point["beta2"]
    for t, size in enumerate(sizes, 1):
        square = size.power(2)
        if betas == BETAS:
            fits = holds(square, bound(t))
        elif betas[1]:
            fits = square.hi <= 1
        else:
            fits = t != 2 or (size.exact and size.lo == Fraction(4, 3))
        if not fits:
            failure = failure or f"step {t} is not as long as claimed"

    def first(above: Fraction) -> int:
        return next((t for t, s in enumerate(sizes, 1) if s.power(2).lo > above), 0)

    beyond = first(Fraction(1)), first(KINGMA_BA) if betas == BETAS else 0
    if betas == BETAS and len(sizes) >= BEYOND and beyond != (2, BEYOND):
        failure = failure or f"the bounds are passed at steps {beyond}"
    cells = {
        "last step/α": f"{float(sizes[-1]):.6f}",
        "beyond α from step": str(beyond[0] or "-"),
        "beyond Kingma & Ba's bound from step": str(beyond[1] or "-"),
    }
    return cells, failure


def replay(steps: int) -> Evidence:
    """Run Adam in rationals."""
    return replayed((*acts(), small()), steps, read)


def look(which: Act, path: list[float]) -> Seen:
    """Read the lengths of the steps off a float run."""
    sizes = [abs(move) / float(ALPHA) for move in moves(path)]
    t, failure = len(sizes), ""
    if which.point["beta1"] == which.point["beta2"]:
        if max(sizes) > 1 + 1e-9:
            failure = f"a step is {max(sizes):.9f} α long"
    elif abs(sizes[-1] / float(bound(t)) ** 0.5 - 1) > 1e-6:
        failure = f"step {t} is {sizes[-1]:.6f} α long, not {float(bound(t)) ** 0.5:.6f} α"
    found = {"longest step/α": max(sizes), "first step/α": sizes[0]}
    return Seen(found, (range(1, t + 1), sizes), failure)


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run Adam in floating point; 1.11^6000 is about as large as a square may be."""
    return side_by_side(acts(), min(asked.steps or RUN_STEPS, RUN_STEPS), asked, look)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the length of each step."""
    axes = panel(figure, found, across="step $t$", up="length of the step over α", log="x")
    level(axes, 1, "α: what is believed")
    level(axes, float(KINGMA_BA) ** 0.5, "Kingma & Ba's bound for these betas")
    level(axes, float(LIMIT) ** 0.5, "the limit of the tight bound")
    axes.set_ylim(0, 8)


COUNTEREXAMPLE = Counterexample(
    id="step-exceeds-lr",
    title="Adam never moves a parameter by more than lr.",
    why_believed="Kingma & Ba (2015), section 2.1: |m̂/√v̂| is about 1 at most, and (1 - β1)/√(1 - β2) "
    "in the most severe case of sparsity.",
    object="g_t = (111/100)^{t-1}; β = (9/10, 999/1000), ε = 0, α = 1.",
    breaks=f"Each step is the longest possible, α·B_t: longer than α from step 2 on, longer than "
    f"Kingma & Ba's 3.16 α from step {BEYOND} on, and tending to 7.27 α.  The first is the shortest.",
    repair="β1 = β2; else the tight bound α·√(C_t (1 - β2^t))/(1 - β1^t), finite for β1² < β2.",
    source=HERE,
    open="ε > 0 shortens the steps of this sequence, but not their supremum.",
    headline="A step of Adam is up to 7.27 times lr at the default betas",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=BEYOND + 5,
    refutes=("step-at-most-lr", "kb-step-bound", "warmup-bounds-first-steps"),
)
