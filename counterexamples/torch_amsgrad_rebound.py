"""False: the effective rate of torch.optim.Adam(amsgrad=True) never grows at a constant lr.

Why one would believe it
    It is what AMSGrad is for: Reddi, Kale & Kumar (2018) divide by the root of the largest second
    moment so far, so that α/D_t never grows.

The object
    One spike and then whispers: g_1 = 1 and g_t = 1/100 afterwards.  α = 1/1000, β = (9/10,
    999/1000), ε = 0, and no schedule.

What it breaks
    torch keeps the maximum of the raw v_t and corrects its bias afterwards: D_t² = u_t/(1 - β2^t).
    The maximum stays at v_1 = 1 - β2 while the correction fades, so D_t falls in every step, and
    the rate α/D_t grows by √((1 - β2^t)/(1 - β2)): to 31.6 times what it was.

What repairs it
    The paper's form, without any correction, or the maximum taken of the corrected v̂_t (optax).
    Under α_t = α/√t torch's form never grows either.  The factor is never larger than 1/√(1 - β2).

Source
    adamproof, read off torch's code.

What stays open
    Nothing about the rate.  Whether a training run loses by it is for an experiment to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..theory.records import Goal, Step
from ..theory.sources import HERE
from .acts import Act, Seen, holds, level, moves, optimizer, panel, replayed, side_by_side
from .record import Asked, Counterexample, Evidence, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..theory.interval import Interval

ALPHA, BETAS = Fraction(1, 1000), (Fraction(9, 10), Fraction(999, 1000))
SPIKE, WHISPER = Fraction(1), Fraction(1, 100)
#: The orders of maximum and correction, torch's first, and the paper's rule for each.
ORDERS = {
    "after_max": "amsgrad-after-max",
    "before_max": "amsgrad-before-max",
    "none": "amsgrad",
}
NAMES = {
    "after_max": "AMSGrad as torch has it, corrected after the maximum",
    "before_max": "AMSGrad, corrected before the maximum",
    "none": "AMSGrad as the paper has it, not corrected",
}


def gradient(t: int) -> Fraction:
    """Return the spike, or a whisper."""
    return SPIKE if t == 1 else WHISPER


def acts() -> tuple[Act, ...]:
    """Return AMSGrad in its three orders."""
    given = {"lr": ALPHA, "betas": BETAS, "eps": Fraction(0)}
    torch = optimizer("torch.optim", "Adam", amsgrad=True, **given)
    point = {"alpha": ALPHA, "beta1": BETAS[0], "beta2": BETAS[1], "eps": Fraction(0)}
    return tuple(
        Act(NAMES[order], rule, point, gradient,
            (*([torch] if order == "after_max" else []),
             optimizer("adamproof", "AMSGrad", correction=order, **given)))
        for order, rule in ORDERS.items()
    )  # fmt: skip


def told(t: int) -> Fraction:
    """Return the square of the growth that is claimed of torch's form."""
    return (1 - BETAS[1] ** t) / (1 - BETAS[1])


def derivation() -> tuple[Step, ...]:
    """Return why the maximum stays, and by how much the rate grows meanwhile."""
    from ..theory import symbols as sym
    from ..theory.records import Ground, Holds, Identity
    from .acts import rational
    from .theorems import theorem

    u, v, d = (sym.symbol(name, "nonnegative") for name in ("U", "V", "d"))
    a, b, p = *(sym.symbol(n, "nonnegative") for n in "ab"), sym.symbol("P", "positive")
    signs = dict.fromkeys(("U", "V", "d", "a", "b"), "nonnegative")
    beta2, t = sym.beta2, sym.t
    held, spike, whisper = (rational(x) for x in (1 - BETAS[1], SPIKE, WHISPER))
    growth = rational(told(1000))
    return (
        Step("V <= U and d <= U give β2 V + (1 - β2) d <= U",
             Holds(sym.ge(u - beta2 * v - (1 - beta2) * d, 0), (sym.ge(u, v), sym.ge(u, d)), signs,
                   {v: u - a, d: u - b}),
             "v_t is V's successor and d = g_t²: the maximum U stays while no g_t² is above it"),
        Step("here U = (1 - β2) g_1² = 1/1000, and g_t² = 1/10000 is below it",
             Ground(sym.gt(held * spike**2 - whisper**2, 0)), "the numbers of the object"),
        *theorem("amsgrad-rebound-factor", "amsgrad-after-max").steps,
        Step("(1 - β2^{t+1}) - (1 - β2^t) = β2^t (1 - β2)",
             Identity((1 - beta2 ** (t + 1)) - (1 - beta2**t), beta2**t * (1 - beta2)),
             "what the square of the rate gains in a step, over 1 - β2"),
        Step("which is > 0 for β2 > 0: the rate grows in every step",
             Holds(sym.gt(p * (1 - beta2), 0), (), {"P": "positive"}), "P = β2^t"),
        Step("(1 - β2^1000)/(1 - β2) > 25² at β2 = 999/1000",
             Ground(sym.gt(growth - 625, 0)), "after 1000 steps the rate is 25 times the first"),
    )  # fmt: skip


def control() -> Goal:
    """Return the same ratio upside down, which would be a rate that falls."""
    from .theorems import theorem

    near_miss = theorem("amsgrad-rebound-factor", "amsgrad-after-max").control
    assert near_miss is not None
    return near_miss


def averages(steps: int, kind: type, *, corrected: bool) -> list[Any]:
    """Return m_t, or its corrected form, in rationals or floats: what α/D_t is multiplied by."""
    beta, m, out = kind(BETAS[0]), kind(0), []
    for t in range(1, steps + 1):
        m = beta * m + (1 - beta) * kind(gradient(t))
        out.append(m / (1 - beta**t) if corrected else m)
    return out


def read(act: Act, path: list[Interval]) -> tuple[dict[str, str], str]:
    """Read α/D_t off the moves of an exact run, as -(x_t - x_{t-1})/m̂_t."""
    torch, failure = act.rule == ORDERS["after_max"], ""
    m = averages(len(path) - 1, Fraction, corrected=act.rule != "amsgrad")
    rates = [-move / mean for move, mean in zip(moves(path), m, strict=True)]
    for t, rate in enumerate(rates, 1):
        if not holds((rate / rates[0]).power(2), told(t) if torch else 1):
            failure = failure or f"at step {t} the rate is not what is claimed"
    grew = sum(b.lo > a.hi for a, b in pairwise(rates))
    if grew != (len(rates) - 1 if torch else 0):
        failure = failure or f"the rate grew in {grew} of {len(rates) - 1} steps"
    cells = {
        "first rate/α": f"{float(rates[0] / ALPHA):.6f}",
        "last rate/α": f"{float(rates[-1] / ALPHA):.6f}",
        "the rate grew in": f"{grew} of {len(rates) - 1}",
    }
    return cells, failure


def replay(steps: int) -> Evidence:
    """Run the three orders in rationals."""
    return replayed(acts(), steps, read)


def look(act: Act, path: list[float]) -> Seen:
    """Read the rate off the moves of a float run."""
    steps = len(path) - 1
    m = averages(steps, float, corrected=act.rule != "amsgrad")
    rates = [-move / mean / float(ALPHA) for move, mean in zip(moves(path), m, strict=True)]
    grown = rates[-1] / rates[0] if rates[0] else float("nan")
    claimed = float(told(steps)) ** 0.5 if act.rule == ORDERS["after_max"] else 1.0
    off = abs(grown / claimed - 1)
    failure = "" if off < 1e-6 else f"the rate grew by {grown:.6f}, not by {claimed:.6f}"
    found: dict[str, float | str] = {
        "first rate/α": rates[0], "last rate/α": rates[-1], "grown by": grown, "claimed": claimed,
    }  # fmt: skip
    return Seen(found, (range(1, steps + 1), rates), failure)


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run the three orders in floating point."""
    return side_by_side(acts(), asked.steps or RUN_STEPS, asked, look)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the effective rate against t."""
    axes = panel(figure, found, across="step $t$", up="effective rate over α, $1/D_t$",
                 log="xy")  # fmt: skip
    axes.set_ylim(0.7, 60)
    limit = float(1 / (1 - BETAS[1])) ** 0.5
    level(axes, limit, f"$1/\\sqrt{{1-\\beta_2}}$ = {limit:.1f}")


RUN_STEPS = 5000

COUNTEREXAMPLE = Counterexample(
    id="torch-amsgrad-rebound",
    title="The effective rate of torch.optim.Adam(amsgrad=True) never grows at a constant lr.",
    why_believed="AMSGrad divides by the root of the largest second moment so far (Reddi, Kale & "
    "Kumar 2018), and a maximum never falls.",
    object="g_1 = 1, then g_t = 1/100; α = 1/1000, β = (9/10, 999/1000), ε = 0.",
    breaks="torch corrects the bias after the maximum, D_t² = u_t/(1 - β2^t): while u_t stays, "
    "α/D_t grows in every step, by √((1 - β2^t)/(1 - β2)) since the first, to 31.6 times that.",
    repair="The paper's form, or the maximum of the corrected v̂_t; or α_t = α/√t.",
    source=HERE,
    open="Nothing about the rate; whether training suffers is for an experiment.",
    headline="torch's AMSGrad: one spike, then whispers, and the effective rate grows 31-fold",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=60,
    refutes=("amsgrad-denominator-monotone", "amsgrad-rate-monotone"),
)
