"""Iterate and average regret against t, one line per method.

Drawn with Agg and without pyplot, so no window, display or global state is involved.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .record import Counterexample, Run

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
    figure = Figure(figsize=(9, 6.2), dpi=150, layout="constrained")
    figure.suptitle(example.headline, fontsize=12)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for run, (colour, style) in zip(lines, STYLES, strict=False):
        curve, label = run.curve, f"{run.method} (ε = {run.eps:g})"
        above.fill_between(curve.t, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
        above.plot(curve.t, curve.mean, style, color=colour, label=label, linewidth=1.6)
        below.plot(curve.t, curve.regret, style, color=colour, linewidth=1.6)
    best, worst = runs[0].best, runs[0].worst
    for axes, levels in ((above, (best, worst)), (below, (0,))):
        for level in levels:
            axes.axhline(level, color="0.6", linewidth=0.8, zorder=0)
        axes.grid(color="0.92")
        axes.spines[["top", "right"]].set_visible(False)
    above.set_ylim(best - 0.12, worst + 0.12)
    above.set_ylabel("iterate $x_t$")
    for level, word in ((best, "best fixed point"), (worst, "worst")):
        above.annotate(word, (1.01, level), xycoords=("axes fraction", "data"), va="center")
    below.set_yscale("symlog", linthresh=0.1)
    below.set_ylabel("average regret $R_t/t$")
    below.set_xlabel("step $t$")
    below.set_xscale("log")
    below.set_xlim(1, lines[0].steps)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    unfinished = path.with_name(f".{path.name}.part")
    try:
        figure.savefig(unfinished, format=path.suffix[1:].lower())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
