"""False: v - m², the denominator of centered RMSprop, is the variance of the gradients.

Why one would believe it
    E g² - (E g)² is the variance, and Graves (2013) and torch.optim.RMSprop(centered=True) divide by the
    root of v_t - m_t², both averaged with the same β.

The object
    A gradient that never changes: g_t = 1.  β = 99/100, α = 1/100, ε = 10^-8.

What it breaks
    Equal numbers have no variance, but v_t - m_t² = β^t (1 - β^t): the zeros that the averages start at
    are counted as gradients.  It is 99/10000 at first, 1/4 after 69 steps, and then fades like β^t; so
    the step grows without end, by a factor of 1/√β each time, until only ε holds it.

What repairs it
    The bias correction: v̂_t - m̂_t² is a weighted variance, never negative, and 0 here.

Source
    adamproof; Graves (2013), eq. 40, for the rule.

What stays open
    What the rule does when rounding makes v - m² negative: a matter of arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from ..theory.records import Goal, Step
from ..theory.sources import HERE
from .acts import Act, Seen, holds, moves, optimizer, panel, replayed, side_by_side
from .record import Asked, Counterexample, Evidence, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..theory.interval import Interval

ALPHA, BETA, EPS = Fraction(1, 100), Fraction(99, 100), Fraction(1, 10**8)
#: Where v - m² is largest: β^t is nearest to 1/2.
LARGEST = 69
RUN_STEPS = 1000


def acts() -> tuple[Act, Act]:
    """Return RMSprop, centered and not."""
    given = {"lr": ALPHA, "alpha": BETA, "eps": EPS}
    point = {"alpha": ALPHA, "beta2": BETA, "eps": EPS}
    made = []
    for method, rule, options in (("RMSprop, centered", "rmsprop+centered", {"centered": True}),
                                  ("RMSprop", "rmsprop", {})):  # fmt: skip
        both = tuple(optimizer(home, "RMSprop", **given, **options)
                     for home in ("torch.optim", "adamproof"))  # fmt: skip
        made.append(Act(method, rule, point, lambda t: Fraction(1), both))
    return made[0], made[1]


def square(act: Act, t: int) -> Fraction:
    """Return what is under the root: v_t - m_t², or v_t."""
    power: Fraction = BETA**t
    return (1 - power) * (power if act.rule == "rmsprop+centered" else 1)


def derivation() -> tuple[Step, ...]:
    """Return v - m² under a constant gradient, and when it is a variance."""
    from ..theory import symbols as sym
    from ..theory.faithful import paper_of
    from ..theory.records import Ground, Holds, Identity
    from .acts import rational
    from .theorems import theorem

    c, s, power = sym.symbol("c"), sym.symbol("s", "positive"), sym.symbol("P", "positive")
    beta, t, lines = sym.beta2, sym.t, paper_of("rmsprop+centered").late.new
    signs = {"s": "positive", "P": "positive"}
    centered = acts()[0]

    def held(name: str, value: object) -> object:
        return lines[name].subs({sym.old(name): value, sym.g: c}, simultaneous=True)

    top = square(centered, LARGEST)
    return (
        Step("under a constant gradient c, m_t = c (1 - β^t)",
             Identity(held("grad_avg", c * (1 - beta ** (t - 1))), c * (1 - beta**t)),
             "induction, by the rule's line"),
        Step("and v_t = c² (1 - β^t)",
             Identity(held("square_avg", c**2 * (1 - beta ** (t - 1))), c**2 * (1 - beta**t)),
             "the same"),
        Step("so v_t - m_t² = c² β^t (1 - β^t)",
             Identity(c**2 * (1 - beta**t) - (c * (1 - beta**t)) ** 2,
                      c**2 * beta**t * (1 - beta**t)), "P - P² with P = 1 - β^t"),
        Step("which is > 0 for c ≠ 0: P (1 - P) > 0 for 0 < P < 1",
             Holds(sym.gt(power * (1 - power), 0), (sym.gt(1, power),), signs, {power: 1 / (1 + s)}),
             "P = β^t; no variance, as all gradients are equal"),
        Step("1/4 - P (1 - P) = (P - 1/2)²",
             Identity(rational(Fraction(1, 4)) - power * (1 - power),
                      (power - rational(Fraction(1, 2))) ** 2, signs), "at most 1/4"),
        Step(f"at β = 99/100 and t = {LARGEST} it is above 0.2499",
             Ground(sym.gt(rational(top - Fraction("0.2499")), 0)), "β^69 is nearly 1/2"),
        Step("corrected: v̂_t - m̂_t² = c² - c² = 0",
             Identity(c**2 * (1 - beta**t) / (1 - beta**t)
                      - (c * (1 - beta**t) / (1 - beta**t)) ** 2, 0 * c), "the variance that it has"),
        *theorem("equal-betas-variance", "rmsprop+centered").steps,
    )  # fmt: skip


def control() -> Goal:
    """Return the belief itself: v_t - m_t² = 0 for equal gradients."""
    from ..theory import symbols as sym
    from ..theory.records import Identity

    mean = 1 - sym.beta2**sym.t
    return Identity(mean - mean**2, 0 * sym.t)


def read(act: Act, path: list[Interval]) -> tuple[dict[str, str], str]:
    """Read what is under the root off the moves of an exact run: (α g/move - ε)²."""
    found = [(-ALPHA / move - EPS).power(2) for move in moves(path)]
    off = next((t for t, s in enumerate(found, 1) if not holds(s, square(act, t))), None)
    largest = max(range(len(found)), key=lambda i: found[i].lo)
    cells = {"under the root at t = 1": f"{float(found[0]):.6f}",
             "largest": f"{float(found[largest]):.6f}", "at t": str(largest + 1)}  # fmt: skip
    return cells, "" if off is None else f"at step {off} it is not β^t (1 - β^t)"


def replay(steps: int) -> Evidence:
    """Run both in rationals."""
    return replayed(acts(), steps, read)


def look(act: Act, path: list[float]) -> Seen:
    """Hold the first and the last step of a float run against the closed form."""
    sizes = [-move / float(ALPHA) for move in moves(path)]
    last = min(len(sizes), RUN_STEPS)
    told = {t: 1 / (float(square(act, t)) ** 0.5 + float(EPS)) for t in (1, last)}
    off = max(abs(sizes[t - 1] / size - 1) for t, size in told.items())
    failure = "" if off < 1e-6 else f"a step is off by {off:.1e}"
    found = {"first step/α": sizes[0], f"step {last}/α": sizes[last - 1], "shortest/α": min(sizes)}
    return Seen(found, (range(1, len(path)), sizes), failure)


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run both in floating point; where rounding governs v - m² nothing is claimed."""
    return side_by_side(acts(), min(asked.steps or RUN_STEPS, RUN_STEPS), asked, look)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the length of each step."""
    axes = panel(figure, found, across="step $t$; the gradient is 1 throughout",
                 up="length of the step over α", log="y")  # fmt: skip
    axes.axvline(LARGEST, color="0.45", linewidth=0.9, linestyle=(0, (1, 2)))
    axes.annotate("$v - m^2 = 1/4$", (LARGEST, 60), xytext=(5, 0), textcoords="offset points")


COUNTEREXAMPLE = Counterexample(
    id="constant-gradient-variance",
    title="v - m², the denominator of centered RMSprop, is the variance of the gradients.",
    why_believed="E g² - (E g)² is the variance, and v and m average with the same β.",
    object="g_t = 1 for all t; RMSprop(centered=True) with β = 99/100, α = 1/100, ε = 10^-8.",
    breaks="v_t - m_t² = β^t (1 - β^t), though equal gradients have no variance: 99/10000 at first, 1/4 "
    "after 69 steps, then fading, so that the steps grow by 1/√β each until ε holds them.",
    repair="The bias correction: v̂_t - m̂_t² is a weighted variance, and 0 here.",
    source=HERE,
    open="What rounding makes of it when it is tiny.",
    headline="Centered RMSprop on a constant gradient: its steps shrink, then grow without end",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=100,
    refutes=("equal-betas-variance-raw",),
)
