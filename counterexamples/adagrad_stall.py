"""False: AdaGrad's rate shrinks to zero, so it stops before it arrives.

Why one would believe it
    Zeiler (2012), section 2.2.2: the rate is divided by the root of a sum that only grows, so it
    shrinks throughout training and becomes infinitesimally small.

The object
    f(x) = |x| from x_0 = 100: the gradient is 1 for as long as x > 0.  AdaGrad with α = 1, ε = 0.

What it breaks
    The rate is 1/√t and tends to 0, and yet x arrives: it has moved by 1 + 1/√2 + … + 1/√t, which is
    at least 2(√(t + 1) - 1) and has no bound, so after (1 + 100/2)² = 2601 steps at most it is
    there.  It moves no less in steps n + 1 … 4n than in steps 1 … n, for every n.

What repairs it
    The two halves of the belief exclude each other: the rate tends to 0 only if Σ g_t² = ∞, and then
    the path is infinite (Abel, Dini).  What does stall is the option lr_decay = η > 0 of torch.  With
    gradients of one size the path is at most α (1 + 4/η): 41 at η = 1/10, and x never arrives.

Source
    adamproof; Abel and Dini's theorem on Σ a_t/A_t.

What stays open
    How fast AdaGrad is: a distance d costs about (d/2α)² steps, which may well be too many.
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

ALPHA, START, ETA = Fraction(1), Fraction(100), Fraction(1, 10)
#: How far lr_decay lets it go, and when it must have arrived without.
REACH, ARRIVED = ALPHA * (1 + 4 / ETA), (1 + START / 2) ** 2
RUN_STEPS = int(ARRIVED)


def acts() -> tuple[Act, Act]:
    """Return AdaGrad without and with the frameworks' decay of the rate."""
    made = []
    for method, eta in (("AdaGrad", Fraction(0)), (f"AdaGrad, lr_decay = {ETA}", ETA)):
        given = {"lr": ALPHA, "lr_decay": eta, "eps": Fraction(0)}
        both = (optimizer("torch.optim", "Adagrad", **given),
                optimizer("adamproof", "Adagrad", **given))  # fmt: skip
        point = {"alpha": ALPHA, "eta": eta, "eps": Fraction(0)}
        made.append(Act(method, "adagrad", point, lambda t: Fraction(1), both, START))
    return made[0], made[1]


def derivation() -> tuple[Step, ...]:
    """Return the sum of 1/√t, what a block adds, and what is true of any gradients."""
    import sympy as sp

    from ..theory import symbols as sym
    from ..theory.faithful import paper_of
    from ..theory.records import Ground, Holds, Identity
    from .acts import rational
    from .theorems import theorem

    c, r, h, k = (sym.symbol(name, "positive") for name in "crhk")
    positive = dict.fromkeys("crhk", "positive") | {"u": "nonnegative"}
    lines, u = paper_of("adagrad").late.new, sym.symbol("u", "nonnegative")
    held, half = c**2 * (sym.t - 1), sp.Rational(1, 2)
    bare = {sym.g: c, sym.eta: 0, sym.eps: 0, sym.new("sum"): c**2 * sym.t}
    there = sp.sqrt(r**2 + 1)
    return (
        Step("under a constant gradient c the sum is G_t = c² t",
             Identity(lines["sum"].subs({sym.old("sum"): held, sym.g: c}), c**2 * sym.t, positive),
             "induction, by the rule's line"),
        Step("so x moves by -α/√t, whatever c > 0 is",
             Identity(lines["x"].subs(bare) - sym.x, -sym.alpha / sp.sqrt(sym.t), positive),
             "the rule's other line, η = ε = 0"),
        Step("1/√t - 2(√(t + 1) - √t) = (√(t + 1) - √t)²/√t",
             Identity(1 / r - 2 * (there - r), (there - r) ** 2 / r, positive),
             "r = √t; it is >= 0, so 1 + … + 1/√t >= 2(√(t + 1) - 1), which has no bound"),
        Step("2(√(t + 1) - √t) - 1/√(t + 1) = (√(t + 1) - √t)²/√(t + 1)",
             Identity(2 * (there - r) - 1 / there, (there - r) ** 2 / there, positive),
             "it is >= 0, so 1 + … + 1/√n <= 2√n - 1"),
        Step("√(n + 1) <= √n + 1/2 for n >= 1:  (√n + 1/2)² - (n + 1) = √n - 3/4 >= 0",
             Holds(sym.ge((r + half) ** 2 - (r**2 + 1), 0), (sym.ge(r, 1),), positive, {r: 1 + u}),
             "roots keep the order"),
        Step("steps n + 1 … 4n add at least 2(√(4n + 1) - √(n + 1)) >= 2√n - 1",
             Holds(sym.ge(2 * (k - h) - (2 * r - 1), 0), (sym.ge(k, 2 * r), sym.ge(r + half, h)),
                   positive),
             "r = √n, h = √(n + 1), k = √(4n + 1) >= 2√n: no less than steps 1 … n, for every n"),
        Step("2601 + 1 > (1 + 100/2)²",
             Ground(sym.gt(rational(ARRIVED + 1 - (1 + START / 2) ** 2), 0)),
             "so 2(√(2601 + 1) - 1) > 100: x has arrived after 2601 steps"),
        Step("α (1 + 4/η) = 41 < 100 at η = 1/10",
             Ground(sym.gt(rational(START - REACH), 0)),
             "the path with lr_decay, as is shown below for any gradients of one size: no arrival"),
        *theorem("adagrad-path", "adagrad").steps,
        *theorem("adagrad-decay-stops", "adagrad").steps,
    )  # fmt: skip


def control() -> Goal:
    """Return what is believed, at n = 1: that steps 2 to 4 move x no further than step 1."""
    import sympy as sp

    from ..theory import symbols as sym
    from ..theory.records import Ground

    later = sum(1 / sp.sqrt(n) for n in (2, 3, 4))
    return Ground(sym.ge(1 - later, 0))


def read(act: Act, path: list[Interval]) -> tuple[dict[str, str], str]:
    """Hold the distance travelled against its bounds, in each block n + 1 … 4n."""
    from ..theory.interval import Interval

    steps, failure = len(path) - 1, ""
    far = [START - x for x in path]
    for t, move in enumerate(moves(path), 1):
        rate = ALPHA / (1 + (t - 1) * act.point["eta"]) / Interval.of(t).sqrt()
        if not holds(-move, rate):
            failure = failure or f"step {t} is not α/√t, over 1 + (t - 1)η"
    if act.point["eta"]:
        if any(d.hi > REACH for d in far):
            failure = f"it went further than {REACH}"
    else:
        if any((d - 2 * (Interval.of(t + 1).sqrt() - 1)).lo < 0 for t, d in enumerate(far)):
            failure = "it fell behind 2(√(t + 1) - 1)"
        if any((far[4 * n] - 2 * far[n]).lo < 0 for n in range(1, steps // 4 + 1)):
            failure = "a block n + 1 … 4n added less than the steps before it"
    n = steps // 4
    cells = {
        f"moved in steps 1 … {n}": f"{float(far[n]):.6f}" if n else "-",
        f"moved in steps {n + 1} … {4 * n}": f"{float(far[4 * n] - far[n]):.6f}" if n else "-",
        "rate at the end": f"{float((far[-1] - far[-2]) / ALPHA):.6f}",
    }
    return cells, failure


def replay(steps: int) -> Evidence:
    """Run AdaGrad in rationals."""
    return replayed(acts(), steps, read)


def look(act: Act, path: list[float]) -> Seen:
    """Say when a float run arrived."""
    steps, arrival = len(path) - 1, next((t for t, x in enumerate(path) if x <= 0), 0)
    failure = ""
    if act.point["eta"]:
        failure = "" if START - path[-1] <= REACH else f"it went further than {REACH}"
    elif not arrival and steps >= ARRIVED:
        failure = f"it has not arrived after {steps:,} steps"
    found: dict[str, float | str] = {
        "x at the end": path[-1], "arrived at 0 in step": str(arrival or "-"),
        "last step": path[-2] - path[-1],
    }  # fmt: skip
    return Seen(found, (range(1, steps + 1), path[1:]), failure)


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run AdaGrad in floating point; once it has arrived the gradient would be another."""
    return side_by_side(acts(), min(asked.steps or RUN_STEPS, RUN_STEPS), asked, look)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the way to the minimum."""
    axes = panel(figure, found, across="step $t$", up="$x_t$, the distance from the minimum")
    level(axes, 0, "the minimum")
    level(axes, float(START - REACH), "no run with lr_decay = 1/10 comes below this",
          right=True)  # fmt: skip


COUNTEREXAMPLE = Counterexample(
    id="adagrad-stall",
    title="AdaGrad's rate shrinks to zero, so it stops before it arrives.",
    why_believed="Zeiler (2012), section 2.2.2: the rate is divided by the root of a sum that only "
    "grows, and becomes infinitesimally small.",
    object="f(x) = |x| from x_0 = 100, so g_t = 1 while x > 0; AdaGrad with α = 1, ε = 0.",
    breaks="The rate 1/√t tends to 0, but the steps add up to at least 2(√(t + 1) - 1), without "
    f"bound: x arrives within {RUN_STEPS} steps, and moves no less in steps n + 1 … 4n than in 1 … n.",
    repair="Nothing is needed: the rate tends to 0 only if Σ g_t² = ∞, and then the path is infinite.  "
    "The option lr_decay > 0 does make it stall.",
    source=HERE,
    open="Speed: a distance d takes about (d/2α)² steps.",
    headline="AdaGrad's rate tends to zero, and it arrives all the same; lr_decay makes it stall",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=200,
    refutes=("adagrad-dies",),
)
