"""The recurrence in less time, and bit for bit the same: what repeats is computed once.

The gradients are periodic and do not depend on x, so the floats m and v settle on a cycle, and the
bias corrections become exactly 1.  From then on m and √v + ε come from a table; of a step only the rate,
a product, a quotient and the addition with its clamp are left.  Two things more are skipped:

* With constant rates the pushes repeat as well.  Once x is, to the bit, where it was a cycle before,
  so is everything after it.
* A step x ↦ clamp(x + push) is monotone, rounded or not.  So if runs from the two ends of the
  interval over the last n steps meet, every run over them ends there, wherever it began: ``jump``.

Nothing of this is assumed: a cycle counts when the whole state has come back, bit for bit, and where
none is found, or the two runs do not meet, the steps are taken one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .recurrence import Recurrence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats64 = NDArray[np.float64]

#: Steps that are computed together; their tables fit in a core's own cache.
BLOCK = 1 << 14
#: Periods of the gradients after which a cycle of the moments is looked for, at most.
PERIODS = 4
#: A look is worth this many times the steps it takes.
PATIENCE = 8
#: The runs from both ends get this many times the room that they need to meet by the drift alone.
ROOM = 1.05


@dataclass(frozen=True)
class Cycle:
    """What repeats: columns of a table, a row for each step after the first ``since``."""

    since: int
    length: int
    columns: tuple[Floats64, ...]

    @classmethod
    def of(cls, since: int, *columns: Floats64) -> Cycle:
        """Return the cycle with these columns, written out so far that a block is one slice."""
        import numpy as np

        length = len(columns[0])
        return cls(since, length, tuple(np.resize(column, length + BLOCK) for column in columns))

    def rows(self, t: int, count: int) -> tuple[Floats64, ...]:
        """Return the columns for the steps after t, a block of them at most."""
        begin = (t - self.since) % self.length
        return tuple(column[begin : begin + count] for column in self.columns)


class Skip(Recurrence):
    """A ``Recurrence`` that computes once what repeats."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._moves: Cycle | None = None  # m and √v + ε
        self._places: Cycle | None = None  # x
        self._look = self._pause(len(self._tables[0]))

    def _pause(self, t: int) -> int:
        """Return the next step at which to look for a cycle of the moments."""
        return t + max(PATIENCE * PERIODS * len(self.gradients), t // 4)

    def advance(self, steps: int) -> Floats64:
        """Take that many steps; return where each led."""
        import numpy as np

        out, done = np.empty(steps), 0
        while done < steps:
            part = self._some(steps - done)
            out[done : done + len(part)] = part
            done += len(part)
        return out

    def jump(self, steps: int) -> float:
        """Take that many steps; return only where they end."""
        end = self.t + steps
        while self.t < end and self._moves is None:
            self._some(end - self.t)
        if self._moves is not None and self._game.decay:
            self._meet(end)
        while self.t < end:
            if self._places is None:
                self._some(end - self.t)
            else:
                (last,) = self._places.rows(end - 1, 1)
                self.x, self.t = float(last[0]), end
        return self.x

    def _some(self, most: int) -> Floats64:
        """Take one step or more, but no more than that; return where each led."""
        import numpy as np

        if self._moves is None:
            out = super().advance(min(most, self._look - self.t))
            if self.t == self._look:
                self._moves, self._look = self._settled(), self._pause(self.t)
            return out
        most = min(most, BLOCK)
        if self._places is not None:
            (out,) = self._places.rows(self.t, most)
            self.x = float(out[-1])
        else:
            given = self._pass(self._pushes(self.t, most))
            self.x = self._walked(self.x, given, given)
            out = np.asarray(given)
            if not self._game.decay:
                self._places = self._returned(out)
        self.t += most
        return out

    def _settled(self) -> Cycle | None:
        """Return the cycle of the moments, if they are on one that is short enough."""
        import numpy as np

        period, state = len(self.gradients), self._state.copy()
        t, ones, found = np.arange(self.t + 1, self.t + period + 1), np.ones(period), []
        for _ in range(PERIODS):
            found.append(self._averages(state, t, ones))
            if np.array(state).tobytes() == np.array(self._state).tobytes():
                m, u = (np.concatenate(parts) for parts in zip(*found, strict=True))
                return Cycle.of(self.t, m, self._roots(u) + float(self._method.eps))
        return None

    def _returned(self, out: Floats64) -> Cycle | None:
        """Return the cycle of x, if the last step of these led where it did a cycle before."""
        assert self._moves is not None
        length = self._moves.length
        if len(out) > length and out[-1:].tobytes() == out[-1 - length : -length].tobytes():
            return Cycle.of(self.t + len(out), out[-length:])
        return None

    def _pushes(self, t: int, count: int) -> Floats64:
        """Return the pushes of the steps after t, a block of them at most."""
        import numpy as np

        assert self._moves is not None
        m, denominator = self._moves.rows(t, count)
        push = np.arange(t + 1, t + count + 1, dtype=float) if self._game.decay else np.ones(count)
        np.sqrt(push, out=push)
        np.divide(-float(self._game.alpha), push, out=push)
        push *= m
        push /= denominator
        return push

    def _meet(self, end: int) -> None:
        """Go to the end, if fewer than half of the steps lead there from everywhere.

        How many it takes is read off the drift: from n to the end, x moves by the mean push times
        2 (√end − √n).  If that is wrong, the two runs do not meet, or meet early.
        """
        import numpy as np

        assert self._moves is not None
        low, high = float(self._game.low), float(self._game.high)
        m, denominator = (column[: self._moves.length] for column in self._moves.columns)
        reach = 2 * float(self._game.alpha) * abs(float(np.mean(m / denominator)))
        root = end**0.5 - ROOM * (high - low) / reach if reach > 0 else 0.0
        begin = int(root * max(root, 0.0)) - self._moves.length
        if not begin > (self.t + end) // 2:
            return
        out = self._pass(np.empty(BLOCK))
        for t in range(begin, end, BLOCK):
            push = self._pass(self._pushes(t, min(BLOCK, end - t)))
            low = self._walked(low, push, out)
            high = self._walked(high, push, out) if high != low else low
        if low == high != 0:  # two zeros may differ in sign
            self.x, self.t = low, end
