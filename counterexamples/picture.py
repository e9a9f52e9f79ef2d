"""Pictures: how one is written, the styles all share, and the one of a drift.

Drawn with Agg and without pyplot, so no window, display or global state is involved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from .record import Counterexample, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe & Ito's palette, which the colour-blind can tell apart, and line styles for the rest.
STYLES: tuple[tuple[str, str], ...] = (
    ("#E69F00", "--"),
    ("#D55E00", "-"),
    ("#0072B2", "-"),
    ("#56B4E9", "--"),
    ("#009E73", "-."),
    ("#CC79A7", ":"),
)
#: File endings that can be drawn.
FORMATS = ("png", "pdf", "svg")


def save(example: Counterexample, runs: Sequence[Run], path: Path) -> None:
    """Draw the runs; a file that is there already is replaced only by a finished one.

    Args:
        example: what is shown.
        runs: the runs; of several with one method the first is drawn.
        path: the file, whose ending is one of ``FORMATS``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.2), dpi=150)
    figure.suptitle(example.headline, fontsize=12)
    example.draw(figure, once([run for run in runs if run.drawn]))
    with finished(path) as unfinished:
        figure.savefig(unfinished, format=path.suffix[1:].lower())


@contextmanager
def finished(path: Path) -> Iterator[Path]:
    """Give a place to write to; what is there replaces the file only once it is whole."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def once(runs: Sequence[Run]) -> list[Run]:
    """Return the first run of each method."""
    first = {run.method: run for run in reversed(runs)}
    return [first[method] for method in dict.fromkeys(run.method for run in runs)]


def plain(axes: Axes) -> None:
    """Take away what no reader needs."""
    axes.grid(color="0.92")
    axes.spines[["top", "right"]].set_visible(False)
    axes.minorticks_off()  # half of the time that drawing takes


def frame(axes: Axes, across: str, up: str, log: str = "") -> None:
    """Say what the axes show, and which of them are logarithmic: "x", "y" or "xy"."""
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    if "x" in log:
        axes.set_xscale("log")
    if "y" in log:
        axes.set_yscale("log")
    plain(axes)


def iterate_and_regret(figure: Figure, runs: Sequence[Run], floor: Fraction) -> None:
    """Draw the iterate and the average regret of a game on [-1, 1] against t.

    Args:
        figure: where.
        runs: runs whose curves are `compare.Curve`.
        floor: what the average regret of Adam tends to.
    """
    figure.subplots_adjust(left=0.085, right=0.865, top=0.94, bottom=0.17, hspace=0.08)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for order, (run, (colour, style)) in enumerate(zip(runs, STYLES, strict=False)):
        curve, solid = run.curve, style == "-"
        # broken lines are thinner and on top, so that what they cover stays visible
        look = {"color": colour, "linestyle": style, "linewidth": 2.4 if solid else 1.4}
        layer = 2 + order / 10 + (0 if solid else 1)
        above.fill_between(curve.t, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
        above.plot(curve.t, curve.mean, label=run.method, zorder=layer, **look)
        below.plot(curve.t, curve.regret, zorder=layer, **look)
    best, worst = -1.0, 1.0
    for axes, levels in ((above, (best, worst)), (below, (float(floor),))):
        for level in levels:
            axes.axhline(level, color="0.45", linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    above.set_ylim(best - 0.12, worst + 0.12)
    above.set_ylabel("iterate $x_t$")
    _beside(above, {worst: _end(worst, "worst"), best: _end(best, "best")})
    positive = all(value > 0 for run in runs for value in run.curve.regret)
    below.set_yscale("log" if positive else "symlog")
    below.set_ylabel("average regret $R_t/t$")
    below.set_xlabel("step $t$")
    below.set_xscale("log")
    below.set_xlim(1, max(2, runs[0].steps))
    plain(above)
    plain(below)
    _beside(below, {float(floor): f"Adam → {floor}"})
    figure.legend(loc="lower center", ncols=3, frameon=False)


def _beside(axes: Axes, words: dict[float, str]) -> None:
    for level, word in words.items():
        axes.annotate(word, (1.01, level), xycoords=("axes fraction", "data"), va="center")


def _end(level: float, word: str) -> str:
    return f"{level:+.0f}, {word}".replace("-", "−")
