"""Iterate and average regret against t, one line per method.

Drawn with Agg and without pyplot, so no window, display or global state is involved.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .record import Counterexample, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


def draw(example: Counterexample, runs: Sequence[Run], path: Path) -> None:
    """Draw the runs; a file that is there already is replaced only by a finished one.

    Args:
        example: what is shown.
        runs: the runs; of several with one method the first is drawn.
        path: the file, whose ending is one of ``FORMATS``.
    """
    from matplotlib.figure import Figure

    once = {run.method: run for run in reversed(runs)}
    lines = [once[method] for method in dict.fromkeys(run.method for run in runs)]
    figure = Figure(figsize=(9, 6.2), dpi=150)
    figure.subplots_adjust(left=0.085, right=0.865, top=0.94, bottom=0.17, hspace=0.08)
    figure.suptitle(example.headline, fontsize=12)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for order, (run, (colour, style)) in enumerate(zip(lines, STYLES, strict=False)):
        curve, solid = run.curve, style == "-"
        # broken lines are thinner and on top, so that what they cover stays visible
        look = {"color": colour, "linestyle": style, "linewidth": 2.4 if solid else 1.4}
        layer = 2 + order / 10 + (0 if solid else 1)
        above.fill_between(curve.t, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
        above.plot(curve.t, curve.mean, label=_label(run), zorder=layer, **look)
        below.plot(curve.t, curve.regret, zorder=layer, **look)
    best, worst = runs[0].best, runs[0].worst
    for axes, levels in ((above, (best, worst)), (below, (float(example.floor),))):
        for level in levels:
            axes.axhline(level, color="0.45", linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        axes.grid(color="0.92")
        axes.spines[["top", "right"]].set_visible(False)
    above.set_ylim(best - 0.12, worst + 0.12)
    above.set_ylabel("iterate $x_t$")
    _beside(above, {worst: _end(worst, "worst"), best: _end(best, "best")})
    positive = all(value > 0 for run in lines for value in run.curve.regret)
    below.set_yscale("log" if positive else "symlog")
    below.set_ylabel("average regret $R_t/t$")
    below.set_xlabel("step $t$")
    below.set_xscale("log")
    below.set_xlim(1, max(2, lines[0].steps))
    for axes in (above, below):
        axes.minorticks_off()  # half of the time that drawing takes
    _beside(below, {float(example.floor): f"Adam → {example.floor}"})
    figure.legend(loc="lower center", ncols=3, frameon=False)
    unfinished = path.with_name(f".{path.name}.part")
    try:
        figure.savefig(unfinished, format=path.suffix[1:].lower())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _label(run: Run) -> str:
    return f"{run.method} (ε = {run.eps:g})".replace("e-0", "e-")


def _beside(axes: Axes, words: dict[float, str]) -> None:
    for level, word in words.items():
        axes.annotate(word, (1.01, level), xycoords=("axes fraction", "data"), va="center")


def _end(level: float, word: str) -> str:
    return f"{level:+.0f}, {word}".replace("-", "−")
