"""False: how sharp a minimum is, is a property of the function that the network computes.

Why one would believe it
    Keskar et al. (2017) find that small batches end in flatter minima, which do better on new data;
    the Hessian, or the largest rise of the loss in a box, seem to measure how well a minimum will do.

The object
    v₁·relu(w₁x + b₁) + v₂·relu(b₂ - w₂x), with all targets met: w = 2, b = 1, v = 1 in both units,
    and f(-1), f(0), f(1) = 3, 2, 3.  Multiply what enters the first unit by a > 0 and what leaves it
    by 1/a: (2a, a, 1/a).  For the box, v·relu(w·x) fitted to (1, 1), at w = a and v = 1/a.

What it breaks
    The function is the same at every x, so it does as well on all data, and the loss is 0; yet the
    trace of the Hessian is 10a² + 13 + 3/a², and its largest eigenvalue at least 10a²: beyond every
    bound.  So is the largest rise of the loss in the box |δ_i| <= ε(|θ_i| + 1).

Which hypotheses were needed
    A rectifier, or anything else of which a factor a > 0 can be taken out; no rectifier at its kink.

What repairs it
    A measure that sees the parameters' own size: the sum of θ_i² H_ii, θᵀHθ, the path norm, or the
    box |δ_i| <= ε|θ_i| (``theory.sharpness``).  The claim for one parametrisation at a time, as it is
    met by a given optimizer: gradient descent with a rate above 2/λ does leave the sharp setting.

Source
    Dinh et al. (2017), arXiv 1703.04933, Theorem 4; the box is eq. (4) of Keskar et al. (2017).

What stays open
    Deeper networks; whether the minima that optimizers find in practice are sharper for a reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..theory.records import Goal, Step
from ..theory.sources import D17
from .record import Asked, Counterexample, Evidence, Optimizer, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: w₁, b₁, v₁, w₂, b₂, v₂; the first two enter the first unit, the third leaves it.
WEIGHTS = tuple(map(Fraction, (2, 1, 1, 2, 1, 1)))
DATA, TARGETS = (-1, 0, 1), (3, 2, 3)
#: The radius of the box, and the rescalings of the float runs.
RADIUS, PLAIN, SHARP = Fraction(1, 1000), 1, 4
#: The rate of the float runs, between 2/λ at the two settings, and how far off they begin.
ALPHA, OFF = Fraction(1, 20), Fraction(1, 1024)
REPLAY_STEPS, RUN_STEPS = 20, 200
#: After so many steps gradient descent must have left the sharp setting.
LEFT = 10


def derivation() -> tuple[Step, ...]:
    """Return what rescaling does to the Hessian and to the box, then this object's numbers."""
    from .dinh_rescaling_proof import steps

    return steps()


def control() -> Goal:
    """Return that the trace of the Hessian is the same at every a."""
    from .dinh_rescaling_proof import control as near_miss

    return near_miss()


def rescaled(a: Any, weights: Sequence[Any] = WEIGHTS) -> list[Any]:
    """Return the weights that give the same function."""
    return [a * weights[0], a * weights[1], weights[2] / a, *weights[3:]]


def units(weights: Sequence[Any], x: Any) -> tuple[Any, Any]:
    """Return what the two rectifiers let through."""
    w1, b1, _, w2, b2, _ = weights
    return max(0, w1 * x + b1), max(0, b2 - w2 * x)


def network(weights: Sequence[Any], x: Any) -> Any:
    """Return the network's output."""
    first, second = units(weights, x)
    return weights[2] * first + weights[5] * second


def slopes(weights: Sequence[Any], x: Any) -> list[Any]:
    """Return the derivatives of the output with respect to the weights."""
    first, second = units(weights, x)
    on, other = int(first > 0), int(second > 0)
    v1, v2 = weights[2], weights[5]
    return [v1 * x * on, v1 * on, first, -v2 * x * other, v2 * other, second]


def loss(weights: Sequence[Any]) -> Any:
    """Return half the sum of squared errors."""
    return sum((network(weights, x) - y) ** 2 for x, y in zip(DATA, TARGETS, strict=True)) / 2


def gradient(weights: Sequence[Any]) -> list[Any]:
    """Return the gradient of the loss."""
    errors = [network(weights, x) - y for x, y in zip(DATA, TARGETS, strict=True)]
    rows = [slopes(weights, x) for x in DATA]
    return [sum(e * row[i] for e, row in zip(errors, rows, strict=True)) for i in range(len(weights))]


def trace(weights: Sequence[Any]) -> Any:
    """Return the trace of the Hessian where all targets are met: that of the sum of ∇f ∇fᵀ."""
    return sum(slope**2 for x in DATA for slope in slopes(weights, x))


def rise(a: Fraction, one: int = 1) -> Fraction:
    """Return the largest loss of v·relu(w·x) in the box ε(|θ_i| + one) around (a, 1/a), in per cent.

    It is taken at a corner: ``theory.sharpness``.
    """
    corner = (a + RADIUS * (a + one)) * (1 / a + RADIUS * (1 / a + one)) - 1
    return 50 * corner**2


def replay(steps: int) -> Evidence:
    """Rescale in rationals, by powers of 2 and of 1/2."""
    rows, failure = [], ""
    probes = [Fraction(k, 7) for k in range(-21, 22)]
    before = [network(WEIGHTS, x) for x in probes]
    shown = {0, 1, 2, 10, steps}
    for k in range(steps + 1):
        for a in dict.fromkeys((Fraction(2) ** k, Fraction(1, 2**k))):
            weights = rescaled(a)
            sharp, pointed, bare = (
                trace(weights),
                sum(slopes(weights, x)[2] ** 2 for x in DATA),
                rise(a, 0),
            )
            broken = [
                what for what, holds in (
                    ("the function changes", [network(weights, x) for x in probes] == before),
                    ("the loss is not 0", loss(weights) == 0 and not any(gradient(weights))),
                    ("the trace is another", sharp == 10 * a**2 + 13 + 3 / a**2),
                    ("H_vv is not 10a²", pointed == 10 * a**2),
                    ("the box has another rise", rise(a) == 50 * (RADIUS * (1 + RADIUS)
                                                                  * (1 + a) ** 2 / a) ** 2),
                    ("the scaled box changes", bare == rise(Fraction(1), 0)),
                ) if not holds
            ]  # fmt: skip
            if broken:
                failure = failure or f"a = {a}: {broken[0]}"
            if k in shown:
                rows.append((str(a), "the same", "0", f"{float(pointed):.6g}", f"{float(sharp):.6g}",
                             f"{float(rise(a)):.6g}", f"{float(bare):.6g}"))  # fmt: skip
    return Evidence(
        f"The network in rationals, rescaled by 2^k and 2^-k for k = 0 … {steps}; the function is "
        f"looked at in {len(probes)} points, the box has ε = {RADIUS}.",
        ("a", "function", "loss", "H_vv <= largest eigenvalue", "trace of H >= it",
         "rise in the box ε(|θ|+1), %", "in the box ε|θ|, %"),
        tuple(rows),
        failure,
    )  # fmt: skip


@dataclass(frozen=True)
class Sharpness:
    """The largest eigenvalue and the trace of the Hessian for many a."""

    a: list[float]
    largest: list[float]
    trace: list[float]


def _hessians(device: str) -> Run:
    """Have torch differentiate the loss twice."""
    import torch

    inputs = torch.tensor(DATA, dtype=torch.float64, device=device)
    targets = torch.tensor(TARGETS, dtype=torch.float64, device=device)

    def error(p: torch.Tensor) -> torch.Tensor:
        out = p[2] * torch.relu(p[0] * inputs + p[1]) + p[5] * torch.relu(p[4] - p[3] * inputs)
        return (out - targets).square().sum() / 2

    scales, largest, traces, failure = [2.0 ** (k / 4) for k in range(-24, 25)], [], [], ""
    for a in scales:
        weights = rescaled(a, [float(w) for w in WEIGHTS])
        point = torch.tensor(weights, dtype=torch.float64, device=device, requires_grad=True)
        (first,) = torch.autograd.grad(error(point), point, create_graph=True)
        hessian = torch.stack([
            torch.autograd.grad(slope, point, retain_graph=True)[0] for slope in first
        ])
        largest.append(float(torch.linalg.eigvalsh(hessian)[-1]))
        traces.append(float(hessian.trace()))
        low, high = 10 * a**2, 10 * a**2 + 13 + 3 / a**2
        if abs(traces[-1] / high - 1) > 1e-9 or not low * (1 - 1e-9) <= largest[-1] <= high * (1 + 1e-9):
            failure = failure or f"a = {a:g}: torch's Hessian has another trace or eigenvalue"
    told: dict[str, float | str] = {
        f"λ, a = {a}": largest[scales.index(float(a))] for a in (PLAIN, SHARP)
    }
    return Run("torch.autograd, twice", "Hessian", 0, told, Sharpness(scales, largest, traces),
               failure=failure)  # fmt: skip


def _begin(a: int) -> list[float]:
    """Return the weights from which the optimizers start: the same function for every a."""
    off = [*WEIGHTS[:5], WEIGHTS[5] * (1 + OFF)]
    return [float(w) for w in rescaled(Fraction(a), off)]


def _losses(path: Sequence[Sequence[float]]) -> list[float]:
    """Return the loss along a path, up to where it is no finite number."""
    out = []
    for weights in path:
        value = float(loss(weights)) if all(map(math.isfinite, weights)) else math.inf
        out.append(value)
        if not math.isfinite(value):
            break
    return out


def _formula(steps: int, a: int) -> list[list[float]]:
    """Run the paper's formula of gradient descent."""
    from ..theory.evaluate import compiled
    from ..theory.rules import sgd
    from .players import FLOATS

    line = compiled({"x": sgd().transition()["x"]}, FLOATS)
    path = [_begin(a)]
    for _ in range(steps):
        pairs = zip(path[-1], gradient(path[-1]), strict=True)
        path.append([line({"x": x, "g": g, "alpha": float(ALPHA)})["x"] for x, g in pairs])
    return path


def runs(asked: Asked) -> tuple[Run, ...]:
    """Differentiate twice; then run gradient descent and Adam from both settings."""
    import torch

    from .. import optimizers as ours
    from .feed import feed

    steps, lr = asked.steps or RUN_STEPS, float(ALPHA)
    made: list[tuple[str, str, Optimizer]] = [
        ("torch.optim.SGD", "gradient descent", lambda p: torch.optim.SGD(p, lr=lr)),
        ("adamproof SGD", "gradient descent", lambda p: ours.SGD(p, lr=lr)),
        ("torch.optim.Adam", "Adam", lambda p: torch.optim.Adam(p, lr=lr)),
        ("adamproof Adam", "Adam", lambda p: ours.Adam(p, lr=lr)),
        *((name, name, make) for name, make in asked.guests),
    ]
    formula = {a: _losses(_formula(steps, a)) for a in (PLAIN, SHARP)}
    out = [_hessians(asked.device), _run("paper's formula", "gradient descent", formula, steps)]
    for name, method, make in made:
        found = {
            a: _losses(feed(make, _begin(a), lambda x, t: gradient(x), steps, device=asked.device))
            for a in (PLAIN, SHARP)
        }
        out.append(_run(name, method, found, steps))
    return tuple(out)


def _run(name: str, method: str, losses: dict[int, list[float]], steps: int) -> Run:
    failure, remark = "", ""
    if method == "gradient descent":
        plain, sharp = losses[PLAIN], losses[SHARP]
        if max(plain) > plain[0]:
            failure = f"{name}: the loss rises at a = {PLAIN}"
        if steps < LEFT:
            remark = f"{steps} steps are too few to leave the sharp setting"
        elif max(sharp) < 1000 * sharp[0]:
            failure = failure or f"{name} does not leave the sharp setting"
    if losses[PLAIN][0] == 0 or abs(losses[SHARP][0] / losses[PLAIN][0] - 1) > 1e-6:
        failure = failure or f"{name}: the two settings do not begin with one function"
    found: dict[str, float | str] = {}
    for a, values in losses.items():
        found |= {f"top loss, a = {a}": max(values), f"last, a = {a}": values[-1]}
    return Run(name, method, steps, found, losses, remark=remark, failure=failure)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the sharpness against a, and the loss of each optimizer from both settings."""
    from .picture import STYLES, plain

    figure.subplots_adjust(left=0.085, right=0.97, top=0.9, bottom=0.2, wspace=0.26)
    left, right = figure.subplots(1, 2)
    curve = found[0].curve
    left.plot(curve.a, curve.trace, color=STYLES[0][0], linestyle="--", label="trace of the Hessian",
              zorder=3)  # fmt: skip
    left.plot(curve.a, curve.largest, color=STYLES[1][0], linewidth=2.4, label="largest eigenvalue")
    left.plot(
        curve.a, [10 * a**2 for a in curve.a], color="0.35", linestyle=":", label="$10a^2$, proved"
    )
    left.set_xlabel("factor $a$ of the rescaling")
    left.set_ylim(bottom=1)
    left.set_ylabel("sharpness at a minimum of loss 0")
    left.set_title("the same function for every $a$", fontsize=10)
    colours = iter(STYLES[2:])
    for run in found[1:]:
        colour = next(colours, STYLES[0])[0]
        for a, style in ((PLAIN, "--"), (SHARP, "-")):
            values = [value for value in run.curve[a] if math.isfinite(value)]
            right.plot(range(len(values)), values, color=colour, linestyle=style, zorder=3 - len(style),
                       label=f"{run.method}, $a = {a}$")  # fmt: skip
    right.set_xlabel("step")
    right.set_ylabel("loss")
    right.set_title(f"from one function, off by {OFF}, at α = {ALPHA}", fontsize=10)
    left.set_xscale("log", base=2)
    for axes in (left, right):
        axes.set_yscale("log")
        plain(axes)
    left.legend(loc="upper center", frameon=False)
    figure.legend(*right.get_legend_handles_labels(), loc="lower right", ncols=2, frameon=False)


COUNTEREXAMPLE = Counterexample(
    id="dinh-rescaling",
    title="How sharp a minimum is, is a property of the function that the network computes.",
    why_believed="Small batches end in flatter minima and do better on new data (Keskar et al. 2017), "
    "so the Hessian, or the rise of the loss in a box, seem to tell how well a minimum will do.",
    object="v₁·relu(w₁x + b₁) + v₂·relu(b₂ - w₂x), w = 2, b = 1, v = 1 in both units, with targets 3, "
    "2, 3 at -1, 0, 1, all met; then (w₁, b₁, v₁) = (2a, a, 1/a).  For the box: v·relu(w·x) fitted to "
    "(1, 1), at (a, 1/a).",
    breaks="The same function at every x, and the loss is 0; yet the trace of the Hessian is "
    "10a² + 13 + 3/a², its largest eigenvalue at least 10a², and the rise in the box "
    "50·(ε(1+ε)(1+a)²/a)² per cent: beyond every bound.",
    repair="A measure in units of the parameters: Σ θ_i² H_ii, θᵀHθ, the path norm, the box "
    "|δ_i| <= ε|θ_i|.",
    source=D17("Theorem 4"),
    open="Deeper networks; whether what optimizers find in practice is flatter for a reason.",
    headline="The same function, as sharp as you like (Dinh et al. 2017, Theorem 4)",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=REPLAY_STEPS,
    refutes=("sharpness-reparametrisation", "sharpness-box"),
)
