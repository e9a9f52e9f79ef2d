"""False: bounds on the rate, as AdaBound has them, make the regret O(√T) however late they close.

Why one would believe it
    Luo et al. (2019), Theorem 4: for bounds η_l(t) that do not fall and η_u(t) that do not rise, with
    one limit, the regret of AdaBound is at most D²√T/(2 η̂_T) + (2√T - 1) η_u(1) G² (one coordinate,
    β1 = 0), of which only the first bounds and the last rate are part.

The object
    The game of ``reddi_online``: on [-1, 1], f_t(x) = C x when t = 1, 4, 7, … and -x otherwise, C > 2;
    AdaBound with β1 = 0, β2 = 1/(1 + C²), rate clip(α/√v_t, η_l(t), η_u(t))/√t, from x_1 = 1, with
    bounds that for T rounds are not above α/C and not below α√(1 + C²)/C, and close after that.

What it breaks
    The rate of Adam never leaves [α/C, α√(1 + C²)/C] here, so for T rounds AdaBound is Adam: it
    returns to the worst point each period, and its regret grows like 2(C - 2)T/3, past any multiple
    of √T.  The proof of the theorem takes η_t to be non-increasing; it rises from step 1 to step 2.

Which hypotheses were needed
    That the bounds may close as late as one likes.  C > 2 makes +1 the worse end.

What repairs it
    A condition on how fast they close: t/η_l(t) - (t-1)/η_u(t-1) <= M for all t (Savarese 2019).  The
    bounds of Luo et al.'s section 5 meet it, with M = (1 + 2/γ)/α*, for any one γ: then the iterate
    leaves +1 some time after t = 1/γ and goes to -1, as the runs show.

Source
    Luo et al. (2019), arXiv 1902.09843v1, Theorem 4; the objection is Savarese's (2019).

What stays open
    When and how fast the iterate gets to -1 once the bounds close is measured, not proved.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..theory.records import Goal, Step
from ..theory.sources import LX19
from .record import Asked, Counterexample, Evidence, Optimizer, Run

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from .harness import Game

#: The game of the runs: C, α, α*, and with them η_l(t) <= α/C exactly until t = 1/γ.
SLOPE, ALPHA, FINAL = Fraction(3), Fraction(1, 2), Fraction(1, 3)
GAMMAS = (Fraction(1, 10), Fraction(1, 80), Fraction(1, 640))
#: The game of the exact run: C (with α = 1/C), and a round from which the regret is above the bound.
EXACT_SLOPE, BEYOND = Fraction(10), 60
#: Length of the float runs; of shorter ones the ends are shown, and not judged.
RUN_STEPS = 12_000
#: How close to -1 AdaBound must end, and ours to the paper's formula; steps of Adam and of a guest.
WITHIN, CLOSE, GUEST = 0.05, 1e-9, 6_000
OURS = 'adamproof AdaBound("sqrt")'


def derivation() -> tuple[Step, ...]:
    """Return why AdaBound is Adam while its bounds are open, and what follows for the theorem."""
    from .adabound_fails_proof import steps

    return steps()


def control() -> Goal:
    """Return that the rate does not rise in the first period."""
    from .adabound_fails_proof import control as near_miss

    return near_miss()


def replay(steps: int) -> Evidence:
    """Play the game exactly, with bounds that stay open, against the bound of the theorem."""
    from ..theory.bounds import played
    from ..theory.faithful import paper_of

    rule, rows, failure = paper_of("adabound-sqrt"), [], ""
    for rounds in sorted({min(n, -(-steps // 3) * 3) for n in (3, 15, 30, 45, BEYOND, 90)}):
        regret, told = played(rule, EXACT_SLOPE, rounds)
        beyond = (regret - told).lo > 0
        if not beyond and rounds >= BEYOND:
            failure = f"after {rounds} rounds the regret is not certainly above the bound"
        if (regret - 2 * (EXACT_SLOPE - 2) * (rounds // 3)).lo < 0:
            failure = failure or f"after {rounds} rounds the regret is below what is proved"
        rows.append((f"{rounds}", f"{float(regret):.6f}", f"{float(told):.6f}",
                     "yes" if beyond else "no"))  # fmt: skip
    return Evidence(
        f"The paper's AdaBound in exact rationals with enclosed roots, C = {EXACT_SLOPE}, α = 1/C, "
        "bounds open for as long as the game lasts.",
        ("T", "regret", "bound of Theorem 4", "regret is above it"),
        tuple(rows),
        failure,
    )


def slopes(steps: int) -> list[float]:
    """Return the slopes of the first steps."""
    return [float(SLOPE) if t % 3 == 0 else -1.0 for t in range(steps)]


def on_paper(gamma: Fraction, steps: int) -> list[float]:
    """Return x_1 … x_{T+1} of the paper's formula in floats; the clamp changes no step, only x."""
    from ..theory.faithful import paper_of
    from .players import FLOATS

    point = {"alpha": ALPHA, "beta1": Fraction(0), "beta2": 1 / (1 + SLOPE**2)}
    point |= {"alpha_final": FINAL, "gamma_": gamma}
    free = paper_of("adabound-sqrt").run_in(FLOATS, point, slopes(steps)).x
    xs = [1.0]
    for before, after in pairwise(free):
        xs.append(min(1.0, max(-1.0, xs[-1] + (after - before))))
    return xs


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run AdaBound for several γ, the paper's formula and ours, and Adam, which has no bounds."""
    from .feed import feed
    from .harness import play
    from .players import Real

    steps = -(-(asked.steps or RUN_STEPS) // 3) * 3
    given, rows, few = slopes(steps), [], steps < RUN_STEPS
    for done, gamma in enumerate(GAMMAS):
        asked.report("AdaBound", done, len(GAMMAS))
        label, until = f"AdaBound, γ = {gamma}", int(1 / gamma)
        paper = on_paper(gamma, steps)
        real = feed(ours(gamma), [1.0], lambda _, t: [given[t - 1]], steps, device=asked.device,
                    box=(-1.0, 1.0))  # fmt: skip
        path = [x for (x,) in real]
        gap = max(abs(a - b) for a, b in zip(path, paper, strict=True))
        text = f"within {gap:.1e}, {steps:,} steps"
        far = f"our AdaBound leaves the paper's formula: {text}" if gap > CLOSE else ""
        for name, xs, how in (("the paper's formula", paper, ""), (OURS, path, text)):
            remark, failure = _claimed(label, xs, until, few)
            rows.append(_run(name, label, xs, how, remark, (far if how else "") or failure))
    asked.report("AdaBound", len(GAMMAS), len(GAMMAS))
    for name, make in (("torch.optim.Adam", adam), *asked.guests):
        length = min(steps, GUEST)
        xs = play(game(), Real(make, Fraction(1), asked.device), length)
        stays = name != "torch.optim.Adam" or set(xs[::3]) == {1.0}
        failure = "" if stays else "torch.optim.Adam is not at 1 as a period begins"
        label = "Adam, no bounds" if make is adam else name
        rows.append(_run(name, label, xs, "", "", failure))
    return tuple(rows)


def ours(gamma: Fraction) -> Optimizer:
    """Return what makes our AdaBound, in the paper's form."""
    from ..optimizers import AdaBound

    betas = (0.0, float(1 / (1 + SLOPE**2)))
    return lambda p: AdaBound(p, float(ALPHA), betas, float(FINAL), float(gamma), schedule="sqrt")


def adam(params: list[Any]) -> torch.optim.Optimizer:
    """Make torch's Adam with the β2 that belongs to C."""
    import torch

    return torch.optim.Adam(params, betas=(0.0, float(1 / (1 + SLOPE**2))))


def game() -> Game:
    """Return the losses, with Adam's rate."""
    from .harness import Game

    return Game((SLOPE, Fraction(-1), Fraction(-1)), ALPHA, Fraction(1))


def _claimed(label: str, xs: Sequence[float], until: int, few: bool) -> tuple[str, str]:
    """Hold a path of AdaBound against what is claimed: a remark, and what it fails to do."""
    begins = xs[: until + 1 : 3]
    if set(begins) != {1.0}:
        return "", f"{label}: a period begins at {min(begins)!r}, not at 1, though the bounds are open"
    left = next((k for k, x in enumerate(xs[::3]) if x != 1.0), None)
    seen = f"{label}: x = 1 as a period begins for all t <= {until:,}"
    seen += f", the last time at t = {3 * left - 2:,}" if left else ", and to the end of this run"
    if abs(xs[-1] + 1) > WITHIN:
        told = f"{label}: x is {xs[-1]:+.3f} after {len(xs) - 1:,} steps, not near -1"
        return (seen, "") if few else ("", told)
    return seen, ""


def _run(name: str, label: str, xs: Sequence[float], agreement: str, remark: str, failure: str) -> Run:
    from .compare import Pieces

    summary = Pieces(game(), len(xs) - 1, xs[0])
    summary.add(xs[1:])
    found = summary.long()
    return Run(name, label, len(xs) - 1,
               {"x at the end": found.final, "average regret": found.curve.regret[-1]},
               found.curve, agreement, remark, failure)  # fmt: skip


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw iterate and average regret, and where the bounds meet the rate."""
    from .picture import STYLES, iterate_and_regret

    iterate_and_regret(figure, found, 2 * (SLOPE - 2) / 3)
    for gamma, (colour, _) in zip(GAMMAS, STYLES, strict=False):
        for axes in figure.axes:
            axes.axvline(float(1 / gamma), color=colour, linewidth=0.9, linestyle=(0, (4, 2)))
        figure.axes[0].annotate(f" open until\n {1 / gamma}", (float(1 / gamma), -0.97), color=colour)


COUNTEREXAMPLE = Counterexample(
    id="adabound-fails",
    title="Bounds on the rate, as AdaBound has them, make the regret O(√T) however late they close.",
    why_believed="Luo et al. (2019), Theorem 4: for monotone bounds with one limit, the regret is at "
    "most D²√T/(2 η̂_T) + (2√T - 1) η_u(1) G².",
    object="On [-1, 1]: f_t(x) = C x if t mod 3 = 1, else -x, with C > 2.  AdaBound with β1 = 0, "
    "β2 = 1/(1 + C²), rate clip(α/√v_t, η_l(t), η_u(t))/√t, from x_1 = 1, with bounds that for T rounds "
    "are not above α/C and not below α√(1 + C²)/C.",
    breaks="For T rounds it is Adam: x_{3k+1} = 1, the worst point, and the regret is at least "
    "2(C - 2) T/3 at T = 3K, past the theorem's bound for T large; and its rate is not monotone.",
    repair="t/η_l(t) - (t-1)/η_u(t-1) <= M for all t (Savarese 2019); the bounds of Luo et al.'s "
    "section 5 have M = (1 + 2/γ)/α*.",
    source=LX19("Theorem 4"),
    open="How soon the iterate is at -1 after the bounds have closed is measured, not proved.",
    headline=f"AdaBound is at the worst point while its bounds are open, t <= 1/γ (C = {SLOPE})",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=90,
    refutes=("adabound-rate-monotone", "adabound-regret"),
)
