"""Pictures of studies: every method has its colour and its mark, everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.ticker import ScalarFormatter

from .comparison import gap, value
from .spec import Row
from .statistics import bootstrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe & Ito 2008, told apart by the colour-blind too; the mark says the rest.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKS = "os^Dvp*"
LABELS = {
    "lambda_max": "λ_max of the Hessian",
    "invariant": "λ_max of D|w| H D|w|, invariant to rescaling",
    "test_error": "test error (%)",
    "gap": "test error − training error (points)",
}
LOGARITHMIC = ("lambda_max", "invariant")


def style(index: int) -> dict[str, Any]:
    """Return colour and mark of a method by its place; no two of the first 49 are the same."""
    return {"color": COLOURS[index % 7], "marker": MARKS[(index // 7 + index) % 7]}


def scatter(path: Path, rows: Mapping[str, Sequence[Row]], x: str, y: str, title: str) -> Path:
    """Draw one value against another, a dot for each run and a large one for each method's median."""
    reads = [gap if name == "gap" else value(name) for name in (x, y)]
    with _Page(path, title) as axes:
        for i, (method, runs) in enumerate(rows.items()):
            pairs = np.array([[read(row) for read in reads] for row in runs], dtype=float)
            pairs = pairs[np.isfinite(pairs).all(1)]
            if len(pairs):
                axes.scatter(pairs[:, 0], pairs[:, 1], s=9, alpha=0.35, linewidths=0, **style(i))
                middle = np.median(pairs, axis=0)
                axes.scatter(
                    middle[0], middle[1], s=90, edgecolors="white", label=method, zorder=3, **style(i)
                )
        axes.set_xlabel(LABELS.get(x, x))
        axes.set_ylabel(LABELS.get(y, y))
        axes.set_xscale("log" if x in LOGARITHMIC else "linear")
        axes.set_yscale("log" if y in LOGARITHMIC else "linear")
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return path


def intervals(
    path: Path, values: Mapping[tuple[str, str], Sequence[float]], label: str, title: str
) -> Path:
    """Draw means and their 95 % intervals: a line for each method, a mark for each setting."""
    methods = list(dict.fromkeys(method for method, _ in values))
    settings = list(dict.fromkeys(setting for _, setting in values))
    with _Page(path, title) as axes:
        for j, setting in enumerate(settings):
            for i, method in enumerate(methods):
                known = np.array(values[method, setting], dtype=float)
                known = known[np.isfinite(known)]
                if len(known) < 2 or np.ptp(known) == 0:
                    continue
                low, high = bootstrap(known)
                mean, height = known.mean(), -i - 0.2 * j
                axes.plot([low, high], [height, height], color=COLOURS[j], linewidth=2)
                named: dict[str, Any] = {"label": setting} if i == 0 else {}
                axes.scatter(mean, height, s=36, zorder=3, **style(j), **named)
        axes.set_yticks([-i - 0.1 for i in range(len(methods))], methods)
        axes.set_xlabel(f"{label}, mean and 95 % interval over seeds")
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        if high < 20 * low:  # so short that powers of ten say too little
            axes.xaxis.set_major_formatter(ScalarFormatter())
            axes.xaxis.set_minor_formatter(ScalarFormatter())
        axes.legend(fontsize=8, frameon=False)
    return path


def strip(path: Path, values: Mapping[str, Sequence[float]], label: str, title: str, at: float) -> Path:
    """Draw every run as a dot on the line of its setting, and the value that theory gives."""
    with _Page(path, title) as axes:
        axes.axvline(at, color="black", linewidth=1, linestyle="--", label="theory")
        for i, runs in enumerate(values.values()):
            axes.scatter(runs, [-i] * len(runs), s=18, alpha=0.6, linewidths=0, color=COLOURS[0])
        axes.set_yticks([-i for i in range(len(values))], list(values))
        axes.set_xlabel(label)
        axes.legend(fontsize=8, frameon=False)
    return path


def heat_maps(
    path: Path,
    grids: Mapping[str, Sequence[Sequence[float]]],
    rates: Sequence[str],
    decays: Sequence[Sequence[str]],
    label: str,
    title: str,
) -> Path:
    """Draw a value over learning rate and weight decay, a frame for each form of decay.

    Args:
        path: Where to.
        grids: By the name of a form: a row for each learning rate, a column for each decay.
        rates: Names of the rows.
        decays: For each form, names of its columns.
        label: What the colour is.
        title: The title.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(grids), 3.8), layout="constrained", dpi=130)
    figure.suptitle(title, x=0.01, ha="left")
    known = np.array([value for grid in grids.values() for row in grid for value in row])
    norm = LogNorm(float(np.nanmin(known)), float(np.nanmax(known)))
    for i, (form, grid) in enumerate(grids.items()):
        axes = figure.add_subplot(1, len(grids), i + 1)
        values = np.array(grid)
        shown = axes.imshow(values, origin="lower", cmap="cividis", norm=norm, aspect="auto")
        for (row, column), cell in np.ndenumerate(values):
            ink = "w" if norm(cell) < 0.5 else "k"
            text = "diverged" if np.isnan(cell) else f"{cell:.1f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=ink)
        axes.set_title(form, fontsize=10)
        axes.set_xticks(range(len(decays[i])), decays[i], fontsize=8)
        axes.set_yticks(range(len(rates)), rates, fontsize=8)
        axes.set_xlabel("weight decay λ")
        axes.set_ylabel("learning rate α")
    figure.colorbar(shown, ax=figure.axes, label=label)
    _write(figure, path)
    return path


def _write(figure: Figure, path: Path) -> None:
    """Write a picture whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    figure.savefig(part, format="png")
    part.replace(path)


class _Page:
    """A figure with one frame, written whole when it is finished."""

    def __init__(self, path: Path, title: str) -> None:
        self.path, self.title = path, title

    def __enter__(self) -> Axes:
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(7.5, 4.6), layout="constrained", dpi=130)
        axes: Axes = self.figure.add_subplot()
        self.figure.suptitle(self.title, x=0.01, ha="left")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        return axes

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is None:
            _write(self.figure, self.path)
