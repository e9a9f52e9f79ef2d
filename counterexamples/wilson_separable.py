"""False: on over-parameterised problems every optimizer finds the solution of least norm.

Why one would believe it
    Gradient descent does, from w = 0: each step adds a combination of the data, so a limit that fits
    them is the shortest that does.  Adam looks like gradient descent with better rates, and rates
    should not decide where a convex problem ends; nor should an ε that is only there for safety.

The object
    Three data of label 1, two of label -1.  Feature 1 is the label, features 2 and 3 are 1, and each
    datum has features of its own that are 1: one if its label is 1, five if it is -1.  Least squares,
    ½|Xw - y|², from w = 0; sixteen weights, five data.  A new datum has own features never seen.

What it breaks
    Adam, AdaGrad and RMSprop (ε = 0) move along sign(Xᵀy) and end at sign(Xᵀy)/4, which fits the
    data as gradient descent does.  But it puts every new datum at +1: its error is the rate of the
    label -1, a half where both are as frequent, which is chance.  Gradient descent ends at the
    solution of least norm, which is wrong on no new datum.  And ε decides: with ε = 10^4, at the
    rate that belongs to it, Adam is right on all of them.

Which hypotheses were needed
    More data of label 1 than of -1, so that the sign of feature 2 is +1; ε = 0, a fresh state, one
    rate for all coordinates.  That the loss tends to 0 is seen in the runs.

What repairs it
    Lines that are linear in the gradient (``theory.nullspace``); an ε far above the gradients; or
    features of one size each, where sign and gradient point the same way.

Source
    Wilson et al. (2017), arXiv 1705.08292, section 3.3 and Lemma 3.1, which leaves ε out.

What stays open
    That Adam's loss tends to 0 here, as a theorem; data that do not satisfy X sign(Xᵀy) = κ y.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..theory.records import Goal, Step
from ..theory.sources import W17
from .record import Asked, Counterexample, Evidence, Optimizer, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: How many data have the label 1, and how many -1; how many own features each of them has.
PLUS, MINUS = 3, 2
OWN = {1: 1, -1: 5}
LABELS = (1,) * PLUS + (-1,) * MINUS
SHARED = 3
#: Own features of the two new data on which a solution is tried, one of each label.
UNSEEN = OWN[1] + OWN[-1]
SEEN = SHARED + PLUS * OWN[1] + MINUS * OWN[-1]
#: X sign(Xᵀy) = κ y.
KAPPA = 4
LARGE = 10**4
RATE = Fraction(1, 16)
REPLAY_STEPS, RUN_STEPS = 12, 2000
#: After so many steps a run must have arrived, this close in each weight.
ARRIVED, WITHIN = 2000, 1e-3


def derivation() -> tuple[Step, ...]:
    """Return where linear and where adaptive rules end, what it costs, and that ε matters."""
    from .wilson_separable_proof import steps

    return steps()


def control() -> Goal:
    """Return that Adam's first step on one datum (1, 2) is a multiple of (1, 2)."""
    from .wilson_separable_proof import control as near_miss

    return near_miss()


def data(unseen: int = 0) -> list[list[int]]:
    """Return X, with room for features that no datum has."""
    rows, place = [], SHARED
    for y in LABELS:
        row = [y, 1, 1] + [0] * (SEEN - SHARED + unseen)
        row[place : place + OWN[y]] = [1] * OWN[y]
        place += OWN[y]
        rows.append(row)
    return rows


def fresh() -> list[tuple[int, list[int]]]:
    """Return a new datum of each label, whose own features come after all that were seen."""
    plus, minus = [1] * OWN[1] + [0] * OWN[-1], [0] * OWN[1] + [1] * OWN[-1]
    seen = [0] * (SEEN - SHARED)
    return [(1, [1, 1, 1, *seen, *plus]), (-1, [-1, 1, 1, *seen, *minus])]


def dot(a: Sequence[Any], b: Sequence[Any]) -> Any:
    """Return the inner product; zeros of the first are skipped, so that intervals stay narrow."""
    return sum((p * q if p != 1 else q for p, q in zip(a, b, strict=True) if p), start=0 * b[0])


def errors(rows: Sequence[Sequence[int]], w: Sequence[Any]) -> list[Any]:
    """Return Xw - y."""
    return [dot(row, w) - y for row, y in zip(rows, LABELS, strict=True)]


def gradient(rows: Sequence[Sequence[int]], w: Sequence[Any]) -> list[Any]:
    """Return Xᵀ(Xw - y)."""
    missed = errors(rows, w)
    return [dot(column, missed) for column in zip(*rows, strict=True)]


def signs() -> list[Fraction]:
    """Return sign(Xᵀy)/κ, where adaptive rules end."""
    summed = [dot(column, LABELS) for column in zip(*data(), strict=True)]
    return [Fraction((s > 0) - (s < 0), KAPPA) for s in summed]


def least_norm() -> list[Fraction]:
    """Return the solution in the row space, by ``theory.nullspace``'s formula."""
    whole = 5 + 15 * PLUS + 3 * MINUS + 8 * PLUS * MINUS
    share = {1: Fraction(5 + 4 * MINUS, whole), -1: Fraction(-(1 + 4 * PLUS), whole)}
    return [dot(column, [share[y] for y in LABELS]) for column in zip(*data(), strict=True)]


def error_rate(w: Sequence[Any]) -> Fraction:
    """Return how many of two new data, one of each label, a solution puts on the wrong side.

    Weights of features that were never seen are those that it gives, or else 0.
    """
    wrong = 0
    for y, features in fresh():
        known = features if len(w) == len(features) else features[: len(w)]
        wrong += not dot(known, w) * y > 0
    return Fraction(wrong, 2)


def replay(steps: int) -> Evidence:
    """Run gradient descent in rationals and Adam in enclosures; then both solutions, exactly."""
    rows: list[tuple[str, ...]] = []
    failure = ""
    for name, w, told in (*_descent(steps), *_adam(steps), ("sign(Xᵀy)/4", signs(), ""),
                          ("solution of least norm", least_norm(), "")):  # fmt: skip
        exact = all(isinstance(value, Fraction) for value in w)
        left = [abs(e) for e in errors(data(), w)]
        end = name.startswith(("sign", "solution"))
        if end and any(left):
            told = "it does not fit the data"
        wrong = Fraction(0) if name.startswith(("gradient", "solution")) else Fraction(1, 2)
        if error_rate(w) != wrong:
            told = told or f"its error on new data is {error_rate(w)}, not {wrong}"
        failure = failure or (f"{name}: {told}" if told else "")
        rows.append((
            name, "0" if end and not any(left) else f"{max(map(float, left)):.3g}",
            *(str(w[i]) if exact and w[i].denominator < 1000 else f"{float(w[i]):.6g}"
              for i in (0, 1, 3, SEEN - 1)),
            *(f"{float(dot(x[:SEEN], w)):+.6g}" for _, x in fresh()), str(error_rate(w)),
        ))  # fmt: skip
    return Evidence(
        f"{steps:,} steps from w = 0 at α = {RATE}: gradient descent in rationals, Adam (ε = 0) in "
        "enclosures 2^-256 wide at each operation; then what they tend to.",
        ("w", "largest error", "w_1 (label)", "w_2 (ones)", "w_4 (own, y = 1)", "last (own, y = -1)",
         "new datum y = 1", "y = -1", "test error"),
        tuple(rows),
        failure,
    )  # fmt: skip


def _descent(steps: int) -> list[tuple[str, list[Fraction], str]]:
    """Run gradient descent, w_t = Xᵀa_t with the a_t that is carried along."""
    rows = data()
    w, a, told = [Fraction(0)] * SEEN, [Fraction(0)] * len(LABELS), ""
    for _ in range(steps):
        missed = errors(rows, w)
        a = [k - RATE * e for k, e in zip(a, missed, strict=True)]
        w = [x - RATE * g for x, g in zip(w, gradient(rows, w), strict=True)]
        if w != [dot(column, a) for column in zip(*rows, strict=True)]:
            told = "it leaves the row space"
        if error_rate(w):
            told = told or "it is wrong on new data on the way"
    return [("gradient descent", w, told)]


def _adam(steps: int) -> list[tuple[str, list[Any], str]]:
    """Run Adam at ε = 0, whose coordinates must stay one number times a sign."""
    from ..theory.interval import Interval
    from .harness import Method
    from .players import Counting, Paper

    rows, arithmetic, told = data(), Counting(), ""
    adam = Method(False, "corrected", (Fraction(9, 10), Fraction(999, 1000)), Fraction(0))
    players = [Paper(adam, arithmetic, Fraction(0)) for _ in range(SEEN)]
    directions, rate = signs(), Interval.of(RATE)
    for _ in range(steps):
        slopes = gradient(rows, [player.x for player in players])
        for player, slope in zip(players, slopes, strict=True):
            player.step(slope, rate)
        apart = [abs(p.x * s - players[0].x * directions[0])
                 for p, s in zip(players, directions, strict=True)]  # fmt: skip
        if max(gap.hi for gap in apart) > Fraction(1, 2**200):
            told = told or "it leaves the ray of sign(Xᵀy)"
        if any(not dot(x[:SEEN], [p.x for p in players]).lo > 0 for _, x in fresh()):
            told = told or "it does not put every new datum at +1"
    return [("Adam, ε = 0", [_narrow(p.x) for p in players], told)]


def _narrow(x: Any) -> Fraction:
    """Return the middle of an enclosure, for the table."""
    return Fraction((x.lo + x.hi) / 2)


@dataclass(frozen=True)
class Learned:
    """The loss, and the score of a new datum of each label, after each step."""

    loss: list[float]
    plus: list[float]
    minus: list[float]


def _rows() -> list[list[int]]:
    return data(UNSEEN)


def _learn(make: Optimizer, steps: int, device: str) -> list[list[float]]:
    from .feed import feed

    rows = _rows()
    return feed(make, [0.0] * (SEEN + UNSEEN), lambda w, t: gradient(rows, w), steps, device=device)


def _formula(steps: int, eps: Fraction, rate: float) -> list[list[float]]:
    """Run the paper's Adam in float64; where nothing was seen, the weight stays 0."""
    from .harness import Method
    from .players import FLOATS, Paper

    rows = data()
    adam = Method(False, "corrected", (Fraction(9, 10), Fraction(999, 1000)), eps)
    players, path = [Paper(adam, FLOATS, Fraction(0)) for _ in range(SEEN)], [[0.0] * (SEEN + UNSEEN)]
    for _ in range(steps):
        for player, slope in zip(players, gradient(rows, path[-1][:SEEN]), strict=True):
            player.step(float(slope), rate)
        path.append([*(player.x for player in players), *[0.0] * UNSEEN])
    return path


def runs(asked: Asked) -> tuple[Run, ...]:
    """Run gradient descent, Adam with a small and with a large ε, AdaGrad and RMSprop."""
    import torch

    from .. import optimizers as ours

    steps, at = asked.steps or RUN_STEPS, float(RATE)
    adam, large = "Adam, ε = 1e-8", "Adam, ε = 10⁴"
    descent, adagrad, rmsprop = "gradient descent", "AdaGrad", "RMSprop"
    made: list[tuple[str, str, Optimizer]] = [
        ("torch.optim.SGD", descent, lambda p: torch.optim.SGD(p, lr=at)),
        ("adamproof SGD", descent, lambda p: ours.SGD(p, lr=at)),
        ("torch.optim.Adam", adam, lambda p: torch.optim.Adam(p, lr=0.01)),
        ("adamproof Adam", adam, lambda p: ours.Adam(p, lr=0.01)),
        ("torch.optim.Adam", large, lambda p: torch.optim.Adam(p, lr=at * LARGE, eps=LARGE)),
        ("adamproof Adam", large, lambda p: ours.Adam(p, lr=at * LARGE, eps=LARGE)),
        ("torch.optim.Adagrad", adagrad, lambda p: torch.optim.Adagrad(p, lr=0.1)),
        ("adamproof Adagrad", adagrad, lambda p: ours.Adagrad(p, lr=0.1)),
        ("torch.optim.RMSprop", rmsprop, lambda p: torch.optim.RMSprop(p, lr=0.001)),
        ("adamproof RMSprop", rmsprop, lambda p: ours.RMSprop(p, lr=0.001)),
        *((name, name, make) for name, make in asked.guests),
    ]
    shortest, ends = least_norm(), signs()
    targets = {descent: shortest, adam: ends, large: shortest, adagrad: ends, rmsprop: ends}
    out = [_run("paper's formula", adam, _formula(steps, Fraction("1e-8"), 0.01), steps, ends)]
    for done, (name, method, make) in enumerate(made):
        asked.report("problems learned", done, len(made))
        path = _learn(make, steps, asked.device)
        out.append(_run(name, method, path, steps, targets.get(method)))
    asked.report("problems learned", len(made), len(made))
    return tuple(out)


def _run(name: str, method: str, path: list[list[float]], steps: int,
         target: Sequence[Fraction] | None) -> Run:  # fmt: skip
    rows, w = _rows(), path[-1]
    failure, remark = "", ""
    if target is not None:
        apart = max(abs(a - float(b)) for a, b in zip(w[:SEEN], target, strict=True))
        told = ""
        if apart > WITHIN:
            told = f"{method} is {apart:.2g} away from its limit after {steps:,} steps"
        failure, remark = (told, "") if steps >= ARRIVED else ("", told)
        if error_rate(w) != error_rate(target):
            failure = failure or f"{name}, {method}: its error on new data is {error_rate(w)}"
        if any(w[SEEN:]):
            failure = failure or f"{name}, {method}: a weight moves whose feature no datum has"
    (_, plus), (_, minus) = fresh()
    curve = Learned([sum(e**2 for e in errors(rows, w)) / 2 for w in path],
                    [dot(plus, w) for w in path], [dot(minus, w) for w in path])  # fmt: skip
    found: dict[str, float | str] = {
        "loss": curve.loss[-1],
        "new datum y = 1": curve.plus[-1],
        "y = -1": curve.minus[-1],
        "test error": str(error_rate(w)),
        "|w|": sum(x**2 for x in w) ** 0.5,
    }
    return Run(name, method, steps, found, curve, remark=remark, failure=failure)


def draw(figure: Figure, found: Sequence[Run]) -> None:
    """Draw the loss, and what becomes of a new datum of label -1."""
    from .picture import STYLES, plain

    figure.subplots_adjust(left=0.09, right=0.97, top=0.93, bottom=0.17, hspace=0.1)
    above, below = figure.subplots(2, 1, sharex=True)
    order = sorted(found, key=lambda run: run.method.startswith("gradient"), reverse=True)
    for run, (colour, style) in zip(order, (*STYLES[1:], STYLES[0]), strict=False):
        curve, solid = run.curve, style == "-"
        t = range(1, len(curve.loss))
        look = {"color": colour, "linestyle": style, "linewidth": 2.4 if solid else 1.6}
        look["zorder"] = 2 if solid else 3
        above.plot(t, [max(value, 1e-32) for value in curve.loss[1:]], label=run.method, **look)
        below.plot(t, curve.minus[1:], **look)
    below.axhspan(0, 1, color="0.93", zorder=0)
    below.axhline(0, color="0.45", linewidth=0.8, zorder=1)
    above.set_xscale("log")
    above.set_yscale("log")
    above.set_ylabel("loss on the data")
    low = min((min(run.curve.minus) for run in found), default=-0.5)
    below.set_ylim(min(-0.55, 1.1 * low), max(0.45, 1.1 * max(max(run.curve.minus) for run in found)))
    below.set_ylabel("score of a new datum, $y = -1$")
    below.annotate("wrong side: test error 1/2", (0.01, 0.93), xycoords="axes fraction", va="top")
    below.annotate("right side: test error 0", (0.99, 0.05), xycoords="axes fraction", ha="right")
    below.set_xlabel("step $t$")
    below.set_xlim(1, max(2, found[0].steps))
    plain(above)
    plain(below)
    figure.legend(loc="lower center", ncols=3, frameon=False)


COUNTEREXAMPLE = Counterexample(
    id="wilson-separable",
    title="On over-parameterised problems every optimizer finds the solution of least norm, "
    "whatever its ε.",
    why_believed="Gradient descent does, from w = 0, and rates should not decide where a convex "
    "problem ends.",
    object="½|Xw - y|² from w = 0; labels 1, 1, 1, -1, -1; features: the label, 1, 1, and features "
    "of each datum's own that are 1, one for y = 1, five for y = -1.  New data have own features "
    "never seen.",
    breaks="Adam, AdaGrad and RMSprop (ε = 0) move along sign(Xᵀy), fit the data at sign(Xᵀy)/4, and "
    "put every new datum at +1: half of them wrong.  Gradient descent stays in the row space; the "
    "solution of least norm there fits as well, and is right on all.  With ε = 10⁴ so is Adam's, as "
    "measured.",
    repair="Lines that are linear in the gradient, or an ε far above the gradients.",
    source=W17("section 3.3 and Lemma 3.1"),
    open="That Adam's loss tends to 0 here, and what it finds with ε = 10⁴, is seen, not proved; "
    "data with X sign(Xᵀy) ≠ κ y.",
    headline="All fit the data; on new data the adaptive rules are at chance (Wilson et al. 2017, 3.3)",
    derivation=derivation,
    control=control,
    replay=replay,
    runs=runs,
    draw=draw,
    replay_steps=REPLAY_STEPS,
    refutes=("adaptive-nullspace", "adaptive-sign-eps"),
)
