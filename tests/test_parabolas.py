"""Adam on parabolas that repeat themselves: enclosures of the drift and of runs, and the diagram."""

import math
import random
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamproof.counterexamples import enclosed as runs_of
from adamproof.counterexamples import parabola_phase_diagram as example
from adamproof.counterexamples import parabolas
from adamproof.counterexamples.diagram import Cells
from adamproof.counterexamples.parabolas import Parabolas, Stretch, drift, signs, trap
from adamproof.counterexamples.players import Counting, Floats, Paper
from adamproof.counterexamples.record import Asked
from adamproof.proofs_check.engines import decide
from adamproof.reproduce import find, judge
from adamproof.theory.interval import Interval
from adamproof.theory.records import Level, Verdict

from .test_counterexamples import spoiled

SMALL = st.integers(-6, 6).map(Fraction)
LOSSES = st.lists(st.tuples(st.integers(0, 3).map(Fraction), SMALL), min_size=1, max_size=5)
BETA = st.integers(0, 19).map(lambda n: Fraction(n, 20))
EPS = Fraction(1, 100)


def made(pairs: list[tuple[Fraction, Fraction]], alpha: Fraction = Fraction(0)) -> Parabolas | None:
    try:
        return Parabolas(*zip(*pairs, strict=True), Fraction(-9), Fraction(9), EPS, alpha)  # type: ignore[arg-type]
    except ValueError:
        return None


def box(beta1: tuple[float, float], beta2: tuple[float, float]) -> Cells:
    sides = (min(beta1), max(beta1), min(beta2), max(beta2))
    return Cells(*(np.array([float(s)]) for s in sides), np.zeros(1, dtype=np.int64))


def standstill(losses: Parabolas, beta1: float, beta2: float, x: float) -> float:
    """D by its definition, in floats."""
    g = [float(v) for v in losses.gradients(Fraction(x))]
    p = len(g)

    def settled(values: list[float], beta: float) -> list[float]:
        size = sum(beta**i for i in range(p))
        return [sum(beta**i * values[(j - i) % p] for i in range(p)) / size for j in range(p)]

    pairs = zip(settled(g, beta1), settled([v * v for v in g], beta2), strict=True)
    return sum(m / (math.sqrt(v) + float(losses.eps)) for m, v in pairs)


# -- the drift -------------------------------------------------------------------------------------


@given(pairs=LOSSES, b1=st.tuples(BETA, BETA), b2=st.tuples(BETA, BETA), x=st.tuples(SMALL, SMALL),
       at=st.tuples(*[st.floats(0, 1)] * 3))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_the_drift_is_enclosed_all_over_a_box(pairs: Any, b1: Any, b2: Any, x: Any, at: Any) -> None:
    if (losses := made(pairs)) is None:
        return
    with np.errstate(all="ignore"):
        found = drift(losses, Stretch(min(x), max(x)), box(b1, b2))
    places = [float(min(s)) + a * float(max(s) - min(s)) for s, a in zip((b1, b2, x), at, strict=True)]
    value = standstill(losses, *places)
    if np.isfinite(found.lo[0]) and np.isfinite(found.hi[0]):
        assert found.lo[0] - 1e-9 <= value <= found.hi[0] + 1e-9


def test_the_drift_at_a_point_is_a_point() -> None:
    found = drift(example.losses(), Stretch(Fraction(1), Fraction(1)), box((0.5, 0.5), (0.9, 0.9)))
    assert found.hi[0] - found.lo[0] < 1e-12


@pytest.mark.parametrize("forgotten", ["along_x", "along_beta"])
def test_a_bound_without_a_derivative_is_noticed(
    forgotten: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken enclosure says a sign where D has both."""
    for name in ("first", "second"):
        honest = getattr(parabolas, name)

        def blind(*a: Any, honest: Any = honest) -> Any:
            m = honest(*a)
            zero = getattr(m, forgotten)
            return replace(m, **{forgotten: type(zero)(zero.lo * 0, zero.hi * 0)})

        monkeypatch.setattr(parabolas, name, blind)
    sides = ((0.0, 0.0), (0.1, 0.1)) if forgotten == "along_x" else ((0.0, 0.0), (0.1, 0.999))
    x = (Fraction(0), Fraction(4)) if forgotten == "along_x" else (Fraction(1), Fraction(1))
    corners = [standstill(example.losses(), b1, b2, float(at))
               for b1 in sides[0] for b2 in sides[1] for at in x]  # fmt: skip
    assert min(corners) < 0 < max(corners)
    assert signs(example.losses(), Stretch(*x), box(*sides), 0)[0] != 0
    monkeypatch.undo()
    assert signs(example.losses(), Stretch(*x), box(*sides), 3)[0] == 0


@pytest.mark.parametrize("beta2", [Fraction(9, 10), Fraction(99, 100)])
def test_a_moving_run_keeps_to_the_room_that_is_left(beta2: Fraction) -> None:
    """With a constant rate: the sum of u over a period is in the enclosure at its beginning."""
    losses, beta1 = example.losses(Fraction(1, 10**4)), Fraction(1, 2)
    path, pushes = walked(losses, beta1, beta2, 4000)
    widths = []
    for t in range(2000, 3996, 40):
        with np.errstate(all="ignore"):
            at = Stretch(Fraction(path[t]), Fraction(path[t]))
            found = drift(losses, at, box((0.5, 0.5), (float(beta2), float(beta2))))
        assert found.lo[0] <= sum(pushes[t : t + 4]) <= found.hi[0]
        widths.append(found.hi[0] - found.lo[0])
    still = [standstill(losses, 0.5, float(beta2), path[t]) for t in range(2000, 3996, 40)]
    seen = [sum(pushes[t : t + 4]) for t in range(2000, 3996, 40)]
    assert max(abs(a - b) for a, b in zip(still, seen, strict=True)) > 1e-5  # there is need of it


def walked(losses: Parabolas, beta1: Fraction, beta2: Fraction, steps: int) -> tuple[Any, Any]:
    x, m, v, path, pushes = 0.0, 0.0, 0.0, [0.0], []
    b1, b2 = float(beta1), float(beta2)
    for t in range(1, steps + 1):
        a, s = (float(n[(t - 1) % 4]) for n in (losses.curvatures, losses.slopes))
        g = a * x + s
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        push = m / (1 - b1**t) / (math.sqrt(v / (1 - b2**t)) + float(losses.eps))
        rate = float(losses.alpha) or 1 / math.sqrt(t)
        x = min(float(losses.high), max(float(losses.low), x - rate * push))
        path.append(x)
        pushes.append(push)
    return path, pushes


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [Fraction(0), Fraction(1, 10**4)])
def test_runs_end_in_the_trap(alpha: Fraction) -> None:
    losses = example.losses(alpha)
    for beta1, beta2 in ((Fraction(0), Fraction(1, 2)), (Fraction(1, 2), Fraction(1, 2))):
        found = trap(losses, beta1, beta2)
        assert found is not None
        assert found.high - found.low < Fraction(1, 10)
        path, _ = walked(losses, beta1, beta2, 40_000 if not alpha else 300_000)
        loose = 0.05 if not alpha else 0  # a falling rate is still on its way
        assert all(float(found.low) - loose <= x <= float(found.high) + loose for x in path[-400:])


def test_a_constant_rate_makes_a_trap_a_period_s_steps_wider() -> None:
    rate = Fraction(1, 10**9)
    still, moving = (trap(example.losses(Fraction(alpha)), Fraction(0), Fraction(3, 4))
                     for alpha in (0, rate))  # fmt: skip
    assert still is not None
    assert moving is not None
    reach = 4 * rate * 2  # α (1 − β1)/√(1 − β2) = 2 α
    assert float(still.low - moving.low) == pytest.approx(float(reach), rel=1e-9)
    assert float(moving.high - still.high) == pytest.approx(float(reach), rel=1e-9)


def test_no_trap_without_a_bound_on_a_step() -> None:
    assert trap(example.losses(Fraction(1, 10**5)), Fraction(9, 10), Fraction(1, 2)) is None


def test_a_large_rate_has_no_small_trap() -> None:
    found = trap(example.losses(Fraction(1)), Fraction(0), Fraction(1, 2))
    assert found is None or found.high - found.low > 4


def test_the_diagram_agrees_with_simulation() -> None:
    """Random betas: where a cell is certified, a run is where it says."""
    cells, draw, seen = example.square(), random.Random(5), {1: 0, -1: 0}
    at, radius = float(example.losses().minimiser), float(example.RADIUS)
    while sum(seen.values()) < 60:
        beta1, beta2 = draw.random() ** 1.5 * 0.95, draw.random() ** 1.5
        verdict = cells.at(beta1, beta2)
        if not verdict:
            continue
        path, _ = walked(example.losses(), Fraction(beta1), Fraction(beta2), 20_000)
        off = abs(sum(path[-4:]) / 4 - at)
        assert off <= radius + 0.05 if verdict == 1 else off >= radius - 0.05, (beta1, beta2)
        seen[verdict] += 1
    assert min(seen.values()) > 15


def test_the_diagram_is_the_whole_square() -> None:
    cells = example.square()
    area = (cells.right - cells.left) * (cells.high - cells.low)
    assert abs(area.sum() - 1) < 1e-12
    assert cells.share(1) > 0.7
    assert cells.share(-1) > 0.2
    assert cells.at(0.9, 0.999) == 1
    assert cells.at(0.0, 0.1) == -1


def test_a_diagram_for_a_constant_rate_is_more_careful() -> None:
    none = np.zeros(64, dtype=np.int64)
    draw = np.random.default_rng(1)
    b1, b2 = draw.random(64) * 0.7, 0.5 + draw.random(64) / 2
    cells = Cells(b1, b1, b2, b2, none)
    still, moving = (
        parabolas.verdicts(example.losses(alpha), example.RADIUS, cells)
        for alpha in (Fraction(0), Fraction(1, 1000))
    )
    assert np.all((moving == 0) | (moving == still))
    assert np.count_nonzero(moving) < np.count_nonzero(still)


# -- runs ------------------------------------------------------------------------------------------


class Written:
    """Adam with its numbers."""

    def __init__(self, beta1: Fraction, beta2: Fraction) -> None:
        self._adam = replace(example.method(beta1, beta2), eps=EPS)

    def rule(self) -> Any:
        return self._adam.rule()

    def point(self) -> dict[str, Fraction]:
        return self._adam.point()


def on_paper(losses: Parabolas, betas: tuple[Fraction, Fraction], arithmetic: Any, steps: int) -> Any:
    player = Paper(Written(*betas), arithmetic, Fraction(1))
    number, sqrt = arithmetic.number, arithmetic.sqrt
    for t in range(1, steps + 1):
        a, s = (n[(t - 1) % len(losses.slopes)] for n in (losses.curvatures, losses.slopes))
        rate = number(losses.alpha) if losses.alpha else number(Fraction(2)) / sqrt(number(Fraction(t)))
        player.step(number(a) * player.x + number(s), rate)
        player.clamp(losses.low, losses.high)
    return player.x


@given(pairs=LOSSES, beta1=BETA, beta2=BETA, alpha=st.sampled_from([Fraction(0), Fraction(1, 7)]),
       steps=st.integers(1, 30))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_an_enclosed_run_is_the_paper_s(
    pairs: Any, beta1: Any, beta2: Any, alpha: Any, steps: int
) -> None:
    if (losses := made(pairs, alpha)) is None:
        return
    found = runs_of.run(losses, beta1, beta2, Fraction(2), Fraction(1), steps, 256)
    exact = on_paper(losses, (beta1, beta2), Counting(), steps)
    assert isinstance(exact, Interval)
    assert found.low <= exact.hi
    assert exact.lo <= found.high
    if found.high - found.low < Fraction(1, 10**20):
        floats = on_paper(losses, (beta1, beta2), Floats(), steps)
        assert abs(floats - float(found.middle)) < 1e-6


def test_an_enclosed_run_is_clamped() -> None:
    found = runs_of.run(example.losses(Fraction(50)), Fraction(0), Fraction(0), Fraction(1),
                        Fraction(0), 1, 128)  # fmt: skip
    assert (found.low, found.high) == (-10, -10)  # the gradient is 10


def test_more_bits_are_narrower_and_inside() -> None:
    few, many = (
        runs_of.run(example.losses(), Fraction(0), Fraction(1, 10), Fraction(1), Fraction(0), 500, bits)
        for bits in (80, 400)
    )
    assert few.low < many.low <= many.high < few.high


def test_a_hopeless_enclosure_is_the_whole_interval_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_of, "LAST", 64)
    monkeypatch.setattr(runs_of, "FIRST", 8)
    given_ = (example.losses(), Fraction(0), Fraction(1, 10), Fraction(1), Fraction(0), 4000)
    whole = runs_of.run(*given_, 8)
    assert (whole.low, whole.high) == (-10, 10)
    assert runs_of.enclosed(*given_, Fraction(1, 10**12)) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"curvatures": (Fraction(-1),) * 4}, "none below 0"),
        ({"curvatures": (Fraction(1),)}, "as many curvatures as slopes"),
        ({"curvatures": (Fraction(0),) * 4}, "must lie inside"),
        ({"low": Fraction(0)}, "must lie inside"),
        ({"eps": Fraction(0)}, "ε must be positive"),
        ({"alpha": Fraction(-1)}, "α not negative"),
    ],
)
def test_parabolas_that_make_no_sense(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        replace(example.losses(), **change)


# -- the counterexample ----------------------------------------------------------------------------


def test_refuted_and_its_steps_can_fail() -> None:
    found = judge(find("parabola-phase-diagram"), Asked(steps=400))
    assert (found.verdict, found.level, found.reasons) == (Verdict.REFUTED, Level.SMT, [])
    for step in found.steps:
        assert decide(spoiled(step.goal)).verdict is not Verdict.PROVED, step.text
    assert {run.name for run in found.runs} == {"torch.optim.Adam", "adamproof Adam"}


def test_a_run_away_from_its_limit_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example, "RUN_BETAS", example.RUN_BETAS[:1])
    monkeypatch.setattr(example, "limits", lambda *_: (Fraction(0), Fraction(1)))
    run, _ = example.runs(Asked())
    assert "is at +2.6" in run.failure
