"""A counterexample with the reader's numbers: what can be chosen, and periodic losses that are.

Of chosen numbers the proof judges alone: how long a run takes to arrive is anybody's guess, so where it
stands is a remark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from ..theory.records import Goal, Ground, Step
from .record import Asked, Counterexample, Evidence, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .compare import Long
    from .harness import Method

ALPHA, START = Fraction(1, 2), Fraction(0)
RUN_STEPS = 1_000_000


def periodic(
    example: Counterexample, pattern: tuple[Fraction, ...], betas: tuple[Fraction, Fraction]
) -> Counterexample:
    """Return a counterexample about linear losses with these slopes again and again, and these betas.

    Raises:
        ValueError: the numbers make no sense, -1 is not the best point, or Adam does not end at +1.
    """
    import sympy as sp

    from ..theory import symbols as sym
    from . import beta_phase_diagram_proof as proof
    from .harness import Game
    from .orbit import Pattern, sign
    from .reddi_general_beta import methods
    from .reddi_period import replay as replayed

    slopes = Pattern(pattern).gradients
    if not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"β1 and β2 must be in [0, 1), got {betas[0]} and {betas[1]}.")
    if any(sum(slopes[:n]) <= 0 for n in range(1, len(slopes) + 1)):
        raise ValueError("the first gradients must add up to more than 0, however many they are: "
                         "else -1 is not the best point from the first step on.")  # fmt: skip
    if sign(Pattern(slopes), *betas) >= 0:
        raise ValueError("with these numbers the drift is not towards the worst point (it is certified "
                         "by Arb), so Adam does not end there: a smaller β2 may do.")  # fmt: skip
    game, floor = Game(slopes, ALPHA, START), 2 * sum(slopes, Fraction(0)) / len(slopes)
    shown = f"β = ({betas[0]}, {betas[1]})"

    def drift(up: int) -> Goal:
        beta1, beta2 = (sp.Rational(b.numerator, b.denominator) for b in betas)
        value = proof.drift(beta1, beta2, slopes)
        return Ground(sym.gt(sp.Mul(up, value, evaluate=False), 0))

    def derivation() -> tuple[Step, ...]:
        told = Step(f"D < 0 at {shown}", drift(-1), "roots enclosed: Adam ends at the worst point")
        return (*proof.decides(), told)

    def replay(steps: int) -> Evidence:
        return replayed(steps, game, methods(betas))

    def runs(asked: Asked) -> tuple[Run, ...]:
        from .compare import side_by_side

        steps = asked.steps or RUN_STEPS

        def claimed(method: Method, found: Long) -> tuple[str, str]:
            return f"{method.name} is at {found.final:+.4f} after {steps:,} steps", ""

        return side_by_side(game, methods(betas), steps, asked, claimed)

    def draw(figure: Figure, found: Sequence[Run]) -> None:
        from .picture import iterate_and_regret

        iterate_and_regret(figure, found, floor)

    return replace(
        example,
        object=f"On [-1, 1], linear losses with the slopes {_listed(slopes)}, again and again.  "
        f"{shown}, α_t = {ALPHA}/√t, clamped after each step, from x_1 = {START}.",
        breaks="Once the moments have settled, each period moves Adam up, towards +1, though the "
        f"slopes of a period add up to {sum(slopes)} and -1 is the best point: Σ m_j/√v_j < 0.",
        repair="AMSGrad, in each of its three orders, or a β2 chosen after the losses, close to 1.",
        headline=f"Slopes {_listed(slopes)} at {shown}",
        open="How many steps it takes.",
        derivation=derivation,
        control=lambda: drift(1),
        replay=replay,
        runs=runs,
        draw=draw,
    )


def _listed(slopes: Sequence[Fraction]) -> str:
    from .beta_phase_diagram import short

    text = short(slopes)
    return text if len(text) <= 60 else f"{text[:57]} …"
