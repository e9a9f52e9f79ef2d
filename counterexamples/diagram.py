"""The sign of Adam's drift over the (β1, β2) square, certified cell by cell.

A cell is a box of betas.  By the mean value theorem the drift on it lies within |∂D/∂β1| r1 +
|∂D/∂β2| r2 of the drift at its middle, the derivatives enclosed over the whole cell.  If that does
not reach 0, the sign is proved for every point of the cell; else the cell is cut in four, until it is
small.
D = Σ_j m_j(β1) w_j(β2) needs each root once for a row of cells, not once for a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from .orbit import Pattern, Rows, first, second, sign
from .outward import product
from .record import Report, silent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

#: Cells whose tables are looked at together; memory is this times the period.
CHUNK = 1 << 14


@dataclass(frozen=True)
class Cells:
    """Boxes of betas with the sign of the drift on each: 1, -1, or 0 where it is not certified.

    ``left`` ≤ β1 ≤ ``right`` and ``low`` ≤ β2 ≤ ``high``.  With a positive sum of the gradients, 1
    means that Adam ends at the best point, -1 that it ends at the worst.
    """

    left: Floats
    right: Floats
    low: Floats
    high: Floats
    sign: Ints

    def __len__(self) -> int:
        return len(self.sign)

    def where(self, chosen: NDArray[np.bool_]) -> Cells:
        """Return some of the cells."""
        return Cells(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def at(self, beta1: float, beta2: float) -> int:
        """Return the sign at a point, 0 where it is not certified.

        Raises:
            ValueError: the point lies in no cell.
        """
        hit = (self.left <= beta1) & (beta1 <= self.right) & (self.low <= beta2) & (beta2 <= self.high)
        if not hit.any():
            raise ValueError(f"({beta1}, {beta2}) lies outside the diagram")
        return int(self.sign[hit][np.argmax(np.abs(self.sign[hit]))])

    def share(self, sign: int) -> float:
        """Return the share of the area of the diagram with that sign."""
        area = (self.right - self.left) * (self.high - self.low)
        return float(area[self.sign == sign].sum() / area.sum())


def joined(parts: Sequence[Cells]) -> Cells:
    """Return the cells of all parts."""
    return Cells(*(np.concatenate([getattr(p, n) for p in parts]) for n in Cells.__dataclass_fields__))


def certified(one: Rows, two: Rows) -> Ints:
    """Return the sign of the drift on each cell, given its row for β1 and its row for β2."""
    centre, off = product(one.at, two.at)
    along1, off1 = product(one.slope, two.over)
    along2, off2 = product(one.over, two.slope)
    reach = (np.abs(along1) + off1) * one.radius + (np.abs(along2) + off2) * two.radius + off
    certain = np.abs(centre) > reach * (1 + 2.0**-48)  # nan and inf are not certain
    return np.where(certain, np.sign(centre), 0).astype(np.int64)


def signs(pattern: Pattern, cells: Cells) -> Ints:
    """Return the certified signs of some cells."""
    one, two = (_Sides(low, high) for low, high in ((cells.left, cells.right), (cells.low, cells.high)))
    with np.errstate(all="ignore"):  # an infinity or a nan certifies nothing
        rows1, rows2 = first(pattern, one.low, one.high), second(pattern, two.low, two.high)
        out = [np.zeros(0, dtype=np.int64)]
        for i in range(0, len(cells), CHUNK):
            part = slice(i, i + CHUNK)
            out.append(certified(rows1.pick(one.row[part]), rows2.pick(two.row[part])))
    return np.concatenate(out)


class _Sides:
    """The different intervals among the sides of cells, and which of them each cell has."""

    def __init__(self, low: Floats, high: Floats) -> None:
        pairs, self.row = np.unique(low + 1j * high, return_inverse=True)
        self.low, self.high = pairs.real.copy(), pairs.imag.copy()


def point_signs(pattern: Pattern, beta1: Floats, beta2: Floats) -> Ints:
    """Return the sign of the drift at points: by float64 where that is certain, else by Arb."""
    none = np.zeros(len(beta1), dtype=np.int64)
    found = signs(pattern, Cells(beta1, beta1, beta2, beta2, none))
    for i in np.flatnonzero(found == 0):
        found[i] = sign(pattern, Fraction(float(beta1[i])), Fraction(float(beta2[i])))
    return found


@dataclass(frozen=True)
class Boundary:
    """Where the sign changes along β2: it is another at ``low`` than at ``high``, both certified."""

    beta1: Floats
    low: Floats
    high: Floats


def boundary(
    pattern: Pattern, beta1: Floats, *, scan: int = 256, nearest: float = 1e-6, halvings: int = 30
) -> Boundary:
    """Return every change of sign along β2 that a scan meets, for each β1.

    Two changes between neighbouring places of the scan go unseen; the cells of ``diagram`` tell.
    """
    places = edges(scan, nearest)
    b1 = np.repeat(beta1, len(places))
    seen = point_signs(pattern, b1, np.tile(places, len(beta1))).reshape(len(beta1), -1)
    row, at = np.nonzero(seen[:, :-1] * seen[:, 1:] < 0)
    low, high, below = places[at], places[at + 1], seen[row, at]
    for _ in range(halvings):
        middle = _cut(low, high)
        is_low = point_signs(pattern, beta1[row], middle) == below
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    return Boundary(beta1[row], low, high)


def halves(cells: Cells) -> Cells:
    """Cut each cell in four, at the middle of log(1 − β) unless it touches 1."""
    one, two = _cut(cells.left, cells.right), _cut(cells.low, cells.high)
    quarters = [(cells.left, one, cells.low, two), (one, cells.right, cells.low, two),
                (cells.left, one, two, cells.high), (one, cells.right, two, cells.high)]  # fmt: skip
    none = np.zeros(len(cells), dtype=np.int64)
    return joined([Cells(*sides, none) for sides in quarters])


def _cut(low: Floats, high: Floats) -> Floats:
    middle = 1 - np.sqrt((1 - low) * (1 - high))
    return np.where(high < 1, np.clip(middle, low, high), low / 2 + high / 2)


def grid(edges1: Floats, edges2: Floats) -> Cells:
    """Return the cells between the edges."""
    columns, rows = np.arange(len(edges1) - 1), np.arange(len(edges2) - 1)
    i, j = np.repeat(columns, len(rows)), np.tile(rows, len(columns))
    none = np.zeros(len(i), dtype=np.int64)
    return Cells(edges1[i], edges1[i + 1], edges2[j], edges2[j + 1], none)


def settled_from(cells: Cells) -> float | None:
    """Return the least β2 from which on, up to 1, every cell is certified 1; None if there is none."""
    rest = cells.high[cells.sign != 1]
    found = float(rest.max(initial=0.0))
    return None if found >= 1 else found


def edges(count: int, nearest: float) -> Floats:
    """Return 0 … 1 in ``count`` cells, evenly in log(1 − β) up to ``nearest`` to 1, and the rest."""
    inner = 1 - np.geomspace(1, nearest, count)
    return np.append(inner, 1.0)


def diagram(
    pattern: Pattern,
    *,
    coarse: int = 32,
    depth: int = 4,
    nearest: float = 1e-6,
    report: Report = silent,
) -> Cells:
    """Return the whole square [0, 1]² in cells, each certified or as small as ``depth`` allows.

    Args:
        pattern: the gradients and ε.
        coarse: cells to a side at first.
        depth: how often a cell that is not certified is cut in four.
        nearest: the last edge before 1 is at 1 − nearest.
        report: hears how far it is.
    """
    side = edges(coarse, nearest)
    open_, done = grid(side, side), []
    for level in range(depth + 1):
        report(f"cells of 1/{coarse << level}", 0, 1)
        found = signs(pattern, open_)
        open_ = Cells(open_.left, open_.right, open_.low, open_.high, found)
        report(f"cells of 1/{coarse << level}", 1, 1)
        if level == depth:
            break
        done.append(open_.where(found != 0))
        open_ = halves(open_.where(found == 0))
        if not len(open_):
            break
    return joined([*done, open_])
