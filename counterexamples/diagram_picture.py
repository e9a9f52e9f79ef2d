"""The picture of a diagram: the square on axes that are even in log(1 − β), or in β."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .diagram import Cells, boundary, edges

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import NDArray

    from .orbit import Pattern

    Floats = NDArray[np.float64]

#: Okabe & Ito: the best point, the worst, and what is not certified.
COLOURS = {1: "#56B4E9", -1: "#E69F00", 0: "#000000"}
BETAS = (0.0, 0.9, 0.99, 0.999, 0.9999, 0.99999, 1.0)
#: Where β = 1 is drawn: a little after the last edge before it.
END = 6.4


def place(beta: Floats | float) -> Floats:
    """Return where a β is drawn: −log10(1 − β), and END for 1."""
    rest: Floats = np.maximum(1 - np.asarray(beta, dtype=float), 10.0**-END)
    return -np.log10(rest)


def draw_square(
    figure: Figure,
    pattern: Pattern,
    cells: Cells,
    points: Sequence[tuple[float, float, int, float]] = (),
) -> None:
    """Draw the certified cells, the border, the curve β1 = √β2, and runs.

    Args:
        figure: where.
        pattern: the gradients.
        cells: the diagram.
        points: β1, β2, the sign of the drift, and where a run stood at last.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    axes = _axes(figure, cells)
    border = boundary(pattern, edges(64, 1e-6)[:-1])
    axes.plot(place(border.beta1), place(border.high), ".", color="white", markersize=2.2)
    rest = np.geomspace(1, 10.0 ** -(END + 1), 400)  # 1 − β1, and 1 − β1² without its cancellation
    axes.plot(-np.log10(rest), -np.log10(rest * (2 - rest)), color="#D55E00", linewidth=1.6)
    for beta1, beta2, sign, x in points:
        wrong = x * -sign <= 0
        axes.plot(place(beta1), place(beta2), "X" if wrong else "o", color="white", markersize=8,
                  markeredgecolor="black")  # fmt: skip
    best, worst, open_ = (Patch(color=COLOURS[sign]) for sign in (1, -1, 0))
    handles = {
        "ends at the best point": best,
        "ends at the worst point": worst,
        "not certified": open_,
        "the sign changes (bisected)": Line2D([], [], marker=".", color="0.6", linestyle=""),
        "β1 = √β2; above it, every (β1, β2)\nhas losses on which Adam fails\n(Reddi et al., Theorem 2)":
            Line2D([], [], color="#D55E00"),
        "a run, where theory says": _mark("o"),
        "a run of 10⁶ steps that is\non the wrong side":
            _mark("X"),
    }  # fmt: skip
    figure.legend(handles.values(), handles.keys(), loc="center left", bbox_to_anchor=(0.65, 0.5),
                  frameon=False, fontsize=9)  # fmt: skip


def draw_verdicts(
    figure: Figure, cells: Cells, points: Sequence[tuple[float, float, bool]], near: str
) -> None:
    """Draw the certified cells of a diagram whose verdicts are near (1) and away (-1), and runs.

    Args:
        figure: where.
        cells: the diagram.
        points: β1, β2, and whether a run ended away.
        near: what near means.
    """
    from matplotlib.patches import Patch

    axes = _axes(figure, cells, even=True)
    for beta1, beta2, away in points:
        axes.plot(beta1, beta2, "X" if away else "o", color="white", markersize=8,
                  markeredgecolor="black", clip_on=False)  # fmt: skip
    inside, outside, open_ = (Patch(color=COLOURS[sign]) for sign in (1, -1, 0))
    handles = {
        f"every limit point is\n{near}": inside,
        "no limit point is": outside,
        "not certified": open_,
        "a run that ended there": _mark("o"),
        "a run that did not": _mark("X"),
    }
    figure.legend(handles.values(), handles.keys(), loc="center left", bbox_to_anchor=(0.65, 0.5),
                  frameon=False, fontsize=9)  # fmt: skip


def _axes(figure: Figure, cells: Cells, *, even: bool = False) -> Axes:
    """Draw the certified cells, and return the axes: even in log(1 − β), or in β."""
    from matplotlib.collections import PolyCollection

    figure.subplots_adjust(left=0.1, right=0.64, top=0.93, bottom=0.1)
    axes = figure.subplots()
    left, right, low, high = (s if even else place(s)
                               for s in (cells.left, cells.right, cells.low, cells.high))  # fmt: skip
    corners = np.stack([np.stack([left, low], 1), np.stack([right, low], 1),
                        np.stack([right, high], 1), np.stack([left, high], 1)], 1)  # fmt: skip
    for sign, colour in COLOURS.items():
        boxes = corners[cells.sign == sign]
        drawn = PolyCollection(list(boxes), facecolors=colour, edgecolors=colour, linewidths=0.2)
        axes.add_collection(drawn)
    betas = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0) if even else BETAS
    ticks = [beta if even else float(place(beta)) for beta in betas]
    for axis, name in ((axes.xaxis, r"$\beta_1$"), (axes.yaxis, r"$\beta_2$")):
        axis.set_ticks(ticks, [f"{beta:g}" for beta in betas])
        axis.set_label_text(name)
    axes.set_xlim(0, 1 if even else END)
    axes.set_ylim(0, 1 if even else END)
    return axes


def _mark(shape: str) -> Line2D:
    from matplotlib.lines import Line2D

    return Line2D([], [], marker=shape, color="white", markeredgecolor="black", linestyle="")
