"""The drift of Adam on parabolas that repeat themselves, as a function of where it stands.

Losses f_k(x) = a_k x²/2 + s_k x have gradients a_k x + s_k.  While x moves little, the moments are near
those of a run that stands still at x, which are in closed form (``orbit``), and in a period x goes
down by the rate times D(x) = Σ_j m_j(x)/(√v_j(x) + ε), or nearly.  ``signs`` encloses D over boxes of
(β1, β2, x), by the mean value theorem in all three.  For a constant rate it leaves room for what x
has moved since the gradients in m and v were taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np

from .diagram import Cells, edges, grid, halves, joined
from .orbit import averages, middle_of, number
from .outward import Vector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

#: Pieces into which a stretch of x is cut at first, and cells that are looked at together.
PIECES, CHUNK = 6, 1 << 12
_ONE = Vector.of(np.ones(1))


@dataclass(frozen=True)
class Parabolas:
    """One period of losses a_k x²/2 + s_k x on [low, high], with ε and the rate.

    Attributes:
        curvatures: a_k.
        slopes: s_k.
        low: the lower end.
        high: the upper end.
        eps: ε.
        alpha: a constant rate; 0 stands for rates α/√t, of which the drift is the limit.

    Raises:
        ValueError: the sum is no parabola with its vertex inside, or ε or the rate makes no sense.
    """

    curvatures: tuple[Fraction, ...]
    slopes: tuple[Fraction, ...]
    low: Fraction
    high: Fraction
    eps: Fraction
    alpha: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        if len(self.curvatures) != len(self.slopes) or min(self.curvatures, default=-1) < 0:
            raise ValueError("there must be as many curvatures as slopes, and none below 0")
        if not any(self.curvatures) or not self.low < self.minimiser < self.high:
            raise ValueError(f"the minimiser of the sum must lie inside ({self.low}, {self.high})")
        if self.eps <= 0 or self.alpha < 0:
            raise ValueError(f"ε must be positive and α not negative, got {self.eps} and {self.alpha}")

    @property
    def minimiser(self) -> Fraction:
        """Where the sum of the losses is least."""
        return -sum(self.slopes, Fraction(0)) / sum(self.curvatures, Fraction(0))

    def gradients(self, x: Fraction) -> tuple[Fraction, ...]:
        """Return the gradients of a period at x."""
        return tuple(a * x + s for a, s in zip(self.curvatures, self.slopes, strict=True))


@dataclass(frozen=True)
class Stretch:
    """An interval of x."""

    low: Fraction
    high: Fraction

    @property
    def middle(self) -> Fraction:
        """The middle."""
        return (self.low + self.high) / 2

    def pieces(self, count: int) -> list[Stretch]:
        """Return it in so many pieces of one length."""
        step = (self.high - self.low) / count
        return [Stretch(self.low + i * step, self.low + (i + 1) * step) for i in range(count)]


@dataclass(frozen=True)
class Moment:
    """A row for each interval of β and a column for each place of the period.

    ``at`` is the moment at the middles of β and x, ``over`` on all of both, and the derivatives too.
    """

    at: Vector
    over: Vector
    along_beta: Vector
    along_x: Vector


def _hull(*values: Fraction) -> Vector:
    return Vector(number(min(values)).lo, number(max(values)).hi)


def _about(radius: Floats) -> Vector:
    """Return [−radius, radius] in one column."""
    return Vector(-radius[:, None], radius[:, None])


def _average(at: Sequence[Fraction], over: Sequence[Vector], slope: Sequence[Vector],
             low: Floats, high: Floats) -> Moment:  # fmt: skip
    """Return the moving average, given its inputs at the middle, on the stretch, and their slopes."""
    middle, _ = averages([number(g) for g in at], Vector.of(middle_of(low, high)[0]))
    naive, along_beta = averages(list(over), Vector(low, high))
    along_x, _ = averages(list(slope), Vector(low, high))
    least, most = min(float(g.lo[0]) for g in over), max(float(g.hi[0]) for g in over)
    mean = Vector(np.full_like(naive.lo, least), np.full_like(naive.hi, most))
    return Moment(middle, naive.within(mean), along_beta, along_x)


def first(losses: Parabolas, x: Stretch, low: Floats, high: Floats) -> Moment:
    """Return m_j for β1 in intervals and x in one."""
    ends = zip(losses.gradients(x.low), losses.gradients(x.high), strict=True)
    slopes = [number(a) for a in losses.curvatures]
    return _average(losses.gradients(x.middle), [_hull(*e) for e in ends], slopes, low, high)


def second(losses: Parabolas, x: Stretch, low: Floats, high: Floats) -> Moment:
    """Return v_j for β2 in intervals and x in one."""
    over, slopes = [], []
    for a, g, h in zip(losses.curvatures, losses.gradients(x.low), losses.gradients(x.high),
                       strict=True):  # fmt: skip
        squares = (g * g, h * h) if g * h > 0 else (g * g, h * h, Fraction(0))
        over.append(_hull(*squares))
        slopes.append(_hull(2 * a * g, 2 * a * h))
    return _average([g * g for g in losses.gradients(x.middle)], over, slopes, low, high)


def longest_step(losses: Parabolas, cells: Cells) -> Floats:
    """Return the longest step that Adam takes with betas of each cell; inf where none is known.

    α (1−β1)/√((1−β2)(1−β1²/β2)) for β1² < β2, whatever the gradients (``theory``: step-bound).
    """
    if not losses.alpha:
        return np.zeros(len(cells))
    share = Vector.of(cells.right) * Vector.of(cells.right)
    with np.errstate(all="ignore"):
        rest = _ONE - share.over(Vector.of(cells.low))
        below = (_ONE - Vector.of(cells.high)) * rest
        bound = number(losses.alpha) * (_ONE - Vector.of(cells.left)).over(below.root())
    return np.where((below.lo > 0) & (rest.lo > 0), bound.hi, np.inf)


def _moved(losses: Parabolas, beta: Floats, step: Floats, change: Fraction) -> Floats:
    """Return how far a moment is at most from that of a run that stands still.

    A gradient that came i steps before one of the period was taken up to i + p steps away from where
    the period began, and Σ_i (1 − β) β^i (i + p) = β/(1 − β) + p; ``change`` is what x changes an
    input by.
    """
    if not losses.alpha:
        return np.zeros(len(step))
    period, rate = number(Fraction(len(losses.slopes))), Vector.of(beta)
    steps = rate.over(_ONE - rate) + period
    return (steps * Vector.of(step) * number(change)).hi


def _sum(terms: Vector) -> Vector:
    return reduce(add, (Vector(lo, hi) for lo, hi in zip(terms.lo.T, terms.hi.T, strict=True)))


def drift(losses: Parabolas, x: Stretch, cells: Cells) -> Vector:
    """Return D over each cell of betas and all of a stretch of x, with room for a moving x."""
    m = first(losses, x, cells.left, cells.right)
    v = second(losses, x, cells.low, cells.high)
    step, curved = longest_step(losses, cells), max(losses.curvatures)
    most = max(abs(g) for end in (losses.low, losses.high) for g in losses.gradients(end))
    astray1 = _about(_moved(losses, cells.right, step, curved))
    astray2 = _about(_moved(losses, cells.high, step, 2 * most * curved))
    eps = number(losses.eps)
    wide = v.over + astray2 if losses.alpha else v.over
    root = Vector(np.maximum(wide.lo, 0), np.maximum(wide.hi, 0)).root()
    w, w_at = _ONE.over(root + eps), _ONE.over(v.at.root() + eps)
    per_v = -(w * w).over(root + root)
    sides = ((cells.left, cells.right), (cells.low, cells.high))
    r1, r2 = (Vector(-radius, radius) for _, radius in (middle_of(*side) for side in sides))
    rx = number(x.high - x.low).hi / 2
    total = _sum(m.at * w_at)
    total = total + _sum(m.along_beta * w) * r1 + _sum(m.over * per_v * v.along_beta) * r2
    total = total + _sum(m.along_x * w + m.over * per_v * v.along_x) * Vector(-rx, rx)
    if losses.alpha:
        total = total + _sum(astray1 * w + m.over * per_v * astray2)
    return total


def signs(losses: Parabolas, x: Stretch, cells: Cells, deeper: int = 3) -> Ints:
    """Return the sign of D on each cell and all of a stretch, 0 where it is not certified.

    Where one piece does not tell, it is cut in two, ``deeper`` times.
    """
    with np.errstate(all="ignore"):  # an infinity or a nan certifies nothing
        found = drift(losses, x, cells)
    out = np.where(found.lo > 0, 1, np.where(found.hi < 0, -1, 0)).astype(np.int64)
    if deeper and len(open_ := np.flatnonzero(out == 0)):
        some = np.zeros(len(cells), dtype=bool)
        some[open_] = True
        one, two = (signs(losses, half, cells.where(some), deeper - 1) for half in x.pieces(2))
        out[open_] = np.where(one == two, one, 0)
    return out


def everywhere(losses: Parabolas, x: Stretch, cells: Cells) -> Ints:
    """Return the sign of D on each cell and all of a long stretch, piece by piece; or 0."""
    found = [signs(losses, piece, cells) for piece in x.pieces(PIECES)]
    same = np.all(np.equal(found, found[0]), axis=0)
    return np.where(same, found[0], 0)


def verdicts(losses: Parabolas, radius: Fraction, cells: Cells) -> Ints:
    """Return 1 where every limit point is near the minimiser, -1 where none is, 0 if not certified.

    Near is within ``radius``, up to a period's steps where the rate is constant.
    """
    at = losses.minimiser
    below, above = Stretch(losses.low, at - radius), Stretch(at + radius, losses.high)
    out = np.abs(everywhere(losses, Stretch(at - radius, at + radius), cells)) * -1
    open_ = out == 0
    rest = cells.where(open_)
    home = everywhere(losses, below, rest) == -1
    home &= everywhere(losses, above, rest) == 1
    out[open_] = np.where(home, 1, 0)
    return out


def square(losses: Parabolas, radius: Fraction, *, coarse: int, depth: int) -> Cells:
    """Return [0, 1]² in cells, each with its verdict, or as small as ``depth`` allows."""
    side = edges(coarse, 1e-6)
    open_, done = grid(side, side), []
    for level in range(depth + 1):
        parts = [open_.where(np.arange(len(open_)) // CHUNK == i)
                 for i in range(-(-len(open_) // CHUNK))]  # fmt: skip
        found = np.concatenate([verdicts(losses, radius, part) for part in parts])
        open_ = Cells(open_.left, open_.right, open_.low, open_.high, found)
        if level == depth or found.all():
            break
        done.append(open_.where(found != 0))
        open_ = halves(open_.where(found == 0))
    return joined([*done, open_])


def trap(
    losses: Parabolas, beta1: Fraction, beta2: Fraction, finest: Fraction = Fraction(1, 16)
) -> Stretch | None:
    """Return an interval that every run enters and never leaves; None where none is found.

    Outside of it D leads towards it.  Where the rate is constant it is a period's steps wider on
    either side; that is enough for every x_t, as a period may begin anywhere.
    """
    at1, at2 = (np.array([float(beta)]) for beta in (beta1, beta2))
    cell = Cells(at1, at1, at2, at2, np.zeros(1, dtype=np.int64))
    step = float(longest_step(losses, cell)[0])
    if not np.isfinite(step):
        return None

    def kept(x: Stretch, sign: int) -> Fraction:
        """Return up to where D has this sign: from below for -1, from above for 1."""
        begin, end = (x.low, x.high) if sign < 0 else (x.high, x.low)
        if signs(losses, x, cell, 0)[0] == sign:
            return end
        if x.high - x.low <= finest:
            return begin
        one, two = x.pieces(2)[::-sign]
        found = kept(one, sign)
        return kept(two, sign) if found == x.middle else found

    all_over, reach = Stretch(losses.low, losses.high), len(losses.slopes) * Fraction(step)
    low, high = (kept(all_over, sign) for sign in (-1, 1))
    if low == losses.low and high == losses.high:
        return None
    return Stretch(max(losses.low, low - reach), min(losses.high, high + reach))
