"""An act: a rule, its numbers and the gradients it is fed, for paper, `torch.optim` and ours.

For counterexamples that are a list of gradients.  Each act is run in exact arithmetic and in floats
on the paper's rule, and on real optimizers; everything that is said of it is read off where x stood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from .record import Asked, Evidence, Optimizer, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..theory.evaluate import Arithmetic
    from ..theory.interval import Interval
    from ..theory.records import Expr
    from ..theory.rule import Rule

#: How far, measured by the size of x, a real optimizer may be from the paper's rule.
CLOSE = Fraction(1, 10**10)
#: How wide an enclosure may be that is held against a number.
NARROW = Fraction(1, 2**100)


@dataclass(frozen=True)
class Act:
    """A rule on a list of gradients.

    Attributes:
        method: what it is called in tables and pictures.
        rule: name of the paper's rule, or what makes one that has no name.
        point: its hyper-parameters, under the paper's names.
        gradient: what it is fed at step t = 1, 2, …
        real: optimizers that run the rule, by name.
        start: where x is at first.
        schedule: what the rate is multiplied by at step t; None where it is constant.
    """

    method: str
    rule: str | Callable[[], Rule]
    point: Mapping[str, Fraction]
    gradient: Callable[[int], Fraction]
    real: tuple[tuple[str, Optimizer], ...] = ()
    start: Fraction = Fraction(0)
    schedule: Callable[[int], Fraction] | None = None

    def gradients(self, steps: int) -> list[Fraction]:
        """Return g_1 … g_T."""
        return [self.gradient(t) for t in range(1, steps + 1)]

    def written(self) -> Rule:
        """Return the rule on paper."""
        from ..theory.faithful import paper_of

        return paper_of(self.rule) if isinstance(self.rule, str) else self.rule()


def constant(gradient: Fraction) -> Callable[[int], Fraction]:
    """Return the same gradient for every step."""
    return lambda t: gradient


def optimizer(home: str, name: str, **options: Any) -> tuple[str, Optimizer]:
    """Return a real optimizer under the name that tables give it; rational options become floats.

    Args:
        home: ``torch.optim`` or ``adamproof``.
        name: the class.
        options: its arguments; one that is switched on is part of the name.
    """
    folder = f"{__package__.rpartition('.')[0]}.optimizers" if home == "adamproof" else home
    given = {key: _plain(value) for key, value in options.items()}
    shown = ", ".join(f"{k}={v!r}" for k, v in given.items() if isinstance(v, bool | str))

    def make(params: list[Any]) -> Any:
        return getattr(import_module(folder), name)(params, **given)

    return f"{home}.{name}" + (f"({shown})" if shown else ""), make


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return float(value) if isinstance(value, Fraction) else value


# -- the paper's rule -------------------------------------------------------------------------------


def paper(act: Act, steps: int, arithmetic: Arithmetic | None = None) -> list[Any]:
    """Return x_0 … x_T of the paper's rule, in rationals and enclosures where nothing is said."""
    from ..theory.evaluate import EXACT
    from .players import Paper

    arithmetic = arithmetic or EXACT
    if act.schedule is None:
        gradients = [arithmetic.number(g) for g in act.gradients(steps)]
        return act.written().run_in(arithmetic, act.point, gradients, act.start).x
    player = Paper(_Unrated(act), arithmetic, act.start)
    path = [player.x]
    for t in range(1, steps + 1):
        rate = act.point["alpha"] * act.schedule(t)
        player.step(arithmetic.number(act.gradient(t)), arithmetic.number(rate))
        path.append(player.x)
    return path


@dataclass(frozen=True)
class _Unrated:
    """An act's rule and numbers, but for the rate: what `players.Paper` takes."""

    act: Act

    def rule(self) -> Rule:
        return self.act.written()

    def point(self) -> dict[str, Fraction]:
        return {name: value for name, value in self.act.point.items() if name != "alpha"}


def number(act: Act, steps: int) -> Expr:
    """Return x_T as the rule's own lines give it, a closed number: rational, or with roots.

    Only the gradients, the start and the hyper-parameters of the act are put in.
    """
    import sympy as sp

    from ..theory import symbols as sym

    rule, fed = act.written(), enumerate(act.gradients(steps), 1)
    put = {sym.symbol(name): rational(value) for name, value in rule.fill(act.point).items()}
    put |= {sym.symbol(f"g{t}"): rational(value) for t, value in fed}
    whole = rule.unrolled(steps)["x"]
    return sp.sympify(whole).subs(put | {sym.x: rational(act.start)})


def rational(value: Fraction) -> Expr:
    """Return the number as SymPy has it."""
    import sympy as sp

    return sp.Rational(value.numerator, value.denominator)


# -- real optimizers --------------------------------------------------------------------------------


def real(act: Act, make: Optimizer, steps: int, device: str = "cpu") -> list[float]:
    """Return x_0 … x_T of a real optimizer, in float64."""
    from .feed import feed

    gradients, schedule = [float(g) for g in act.gradients(steps)], act.schedule
    made: list[tuple[Any, list[float]]] = []

    def keep(params: list[Any]) -> Any:
        optimizer = make(params)
        made.append((optimizer, [group["lr"] for group in optimizer.param_groups]))
        return optimizer

    def gradient(x: list[float], t: int) -> list[float]:
        if schedule is not None:
            optimizer, rates = made[0]
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * float(schedule(t))
        return [gradients[t - 1]]

    return [x for (x,) in feed(keep, [float(act.start)], gradient, steps, device=device)]


def beside(act: Act, exact: Sequence[Interval]) -> tuple[str, str]:
    """Return how far the real optimizers are from an exact run, and what is wrong with that."""
    gaps, failure = [], ""
    scale = max(Fraction(1), *(abs(x).hi for x in exact))
    for name, make in act.real:
        floats = map(Fraction, real(act, make, len(exact) - 1))
        gap = max(max(abs(f - x.lo), abs(f - x.hi)) for f, x in zip(floats, exact, strict=True))
        gaps.append(f"{float(gap):.1e}")
        if gap > CLOSE * scale:
            failure = failure or f"{name} leaves the exact run of {act.method} by {gaps[-1]}"
    return ", ".join(gaps) or "-", failure


#: Reads an exact run off where x stood: the table's cells, and what it fails to do.
Read = Callable[[Act, "list[Interval]"], tuple[Mapping[str, str], str]]


def replayed(acts: Sequence[Act], steps: int, read: Read) -> Evidence:
    """Run every act in exact arithmetic, and its real optimizers beside it."""
    rows, failure, columns = [], "", dict[str, None]()
    for act in acts:
        path = paper(act, steps)
        cells, broken = read(act, path)
        gaps, wrong = beside(act, path)
        told = broken and f"{act.method}: {broken}"
        failure = failure or wrong or told
        columns |= dict.fromkeys(cells)
        rows.append((act.method, *cells.values(), gaps))
    return Evidence(
        f"The paper's rules in exact rationals, {steps:,} steps; irrational roots lie between "
        "rationals 2^-256 apart.",
        ("rule", *columns, "real optimizers are off by"),
        tuple(rows),
        failure,
    )


def holds(found: Interval, told: Interval | Fraction | int) -> bool:
    """Return whether a value of an exact run is what is told: the enclosures meet, and are narrow."""
    gap = found - told
    return gap.lo <= 0 <= gap.hi and gap.hi - gap.lo < NARROW


# -- side by side -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What is read off a run: the table's cells, the picture's curve, and what it fails to do."""

    found: Mapping[str, float | str]
    curve: tuple[Sequence[float], Sequence[float]]
    failure: str = ""
    remark: str = ""


#: Reads a run off where x stood.
Look = Callable[[Act, list[float]], Seen]


def side_by_side(acts: Sequence[Act], steps: int, asked: Asked, look: Look) -> tuple[Run, ...]:
    """Run every act on the paper's formula and on its real optimizers, then the guest on the first.

    Of a guest nothing is claimed.
    """
    from .players import FLOATS

    rows = []
    for act in acts:
        asked.report(act.method, 0, steps)
        formula: list[float] = paper(act, steps, FLOATS)
        rows.append(_row("the paper's formula", act, formula, look(act, formula)))
        for name, make in act.real:
            path = real(act, make, steps, asked.device)
            seen, scale = look(act, path), max(1.0, *map(abs, formula))
            gap = max(abs(a - b) for a, b in zip(path, formula, strict=True))
            far = not gap <= float(CLOSE) * scale
            told = f"{name} leaves the formula of {act.method} by {gap:.1e}" if far else ""
            rows.append(_row(name, act, path, seen, told or seen.failure))
        asked.report(act.method, steps, steps)
    for name, make in asked.guests:
        path = real(acts[0], make, steps, asked.device)
        seen = look(acts[0], path)
        rows.append(Run(name, name, steps, seen.found, seen.curve))
    return tuple(rows)


def _row(name: str, act: Act, path: list[float], seen: Seen, failure: str | None = None) -> Run:
    failed = seen.failure if failure is None else failure
    failed = failed and (failed if failed.startswith(name) else f"{name}, {act.method}: {failed}")
    steps = len(path) - 1
    return Run(name, act.method, steps, seen.found, seen.curve, "", seen.remark, failed)


def moves(path: Sequence[Any]) -> Iterator[Any]:
    """Yield x_t - x_{t-1} for t = 1 … T."""
    for before, after in pairwise(path):
        yield after - before


# -- the picture ------------------------------------------------------------------------------------


def panel(
    figure: Figure, runs: Sequence[Run], *, across: str, up: str, log: str = "", marked: bool = False
) -> Axes:
    """Draw the curve of each run into one frame with a legend below it, and return the frame.

    Args:
        figure: where.
        runs: runs whose curves are pairs of lists.
        across: what the horizontal axis shows.
        up: what the vertical axis shows.
        log: which axes are logarithmic: "x", "y" or "xy".
        marked: whether each point of a solid line is shown.
    """
    from .picture import STYLES, frame

    rows = -(-len(runs) // 2)
    figure.subplots_adjust(left=0.1, right=0.96, top=0.92, bottom=0.12 + 0.045 * rows)
    axes = figure.subplots()
    styles = (*STYLES[1:3], STYLES[0], *STYLES[3:])  # what the tale is about is solid
    for order, (run, (colour, style)) in enumerate(zip(runs, styles, strict=False)):
        solid = style == "-"
        axes.plot(*run.curve, color=colour, linestyle=style, linewidth=2.4 if solid else 1.6,
                  marker="o" if marked and solid else None, markersize=4.5,
                  label=run.method, zorder=2 + order / 10)  # fmt: skip
    frame(axes, across, up, log)
    figure.legend(loc="lower center", ncols=2, frameon=False)
    return axes


def level(axes: Axes, height: float, text: str, *, right: bool = False) -> None:
    """Draw a level across the frame and say what it is, at its left or right end."""
    axes.axhline(height, color="0.45", linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    axes.annotate(text, (0.99 if right else 0.012, height), xycoords=("axes fraction", "data"),
                  xytext=(0, 3), textcoords="offset points", ha="right" if right else "left",
                  color="0.3", fontsize=9)  # fmt: skip
