"""The certified sign of Adam's drift over the square of betas: enclosures, cells, border, ends."""

import math
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamproof.counterexamples import beta_phase_diagram as square
from adamproof.counterexamples import diagram as cells_of
from adamproof.counterexamples import orbit
from adamproof.counterexamples.diagram import (
    Cells,
    boundary,
    diagram,
    edges,
    grid,
    point_signs,
    signs,
)
from adamproof.counterexamples.harness import Game, play
from adamproof.counterexamples.orbit import Pattern, averages, drift_ball, first, second, sign
from adamproof.counterexamples.outward import Ball, Vector, product
from adamproof.counterexamples.players import Counting, Paper
from adamproof.counterexamples.recurrence import Recurrence, ieee_roots
from adamproof.proofs_check.engines import decide
from adamproof.reproduce import find, judge
from adamproof.theory.records import Step, Verdict

from .test_counterexamples import spoiled

SLOPES = st.lists(st.integers(-9, 9).filter(bool).map(Fraction), min_size=1, max_size=7).map(tuple)
BETA = st.floats(0, 1)
NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)
REDDI = square.pattern()


# -- intervals -----------------------------------------------------------------------------------


def holds(vector: Vector, exact: Fraction) -> bool:
    return Fraction(float(vector.lo[0])) <= exact <= Fraction(float(vector.hi[0]))


@given(a=st.tuples(NUMBERS, NUMBERS), b=st.tuples(NUMBERS, NUMBERS), at=st.tuples(BETA, BETA))
def test_every_operation_encloses(a: Any, b: Any, at: Any) -> None:
    one, two = (Vector(np.array([min(v)]), np.array([max(v)])) for v in (a, b))
    x, y = (Fraction(min(v)) + Fraction(s) * (Fraction(max(v)) - Fraction(min(v)))
            for v, s in ((a, at[0]), (b, at[1])))  # fmt: skip
    assert holds(one + two, x + y)
    assert holds(one - two, x - y)
    assert holds(one * two, x * y)
    assert holds(-one, -x)
    above = Vector(np.abs(two.lo) + 1, np.abs(two.lo) + 2)
    assert holds(one.over(above), x / (Fraction(abs(float(two.lo[0]))) + 1))
    square_ = Vector(np.maximum(one.lo, 0), np.maximum(one.hi, 0))
    root = square_.root()
    for end in (0, 1):
        low, high = Fraction(float(root.lo[0])), Fraction(float(root.hi[0]))
        exact = Fraction(float((square_.lo, square_.hi)[end][0]))
        assert low**2 <= exact <= high**2
    ball = one.ball()
    assert abs(x - Fraction(float(ball.middle[0]))) <= Fraction(float(ball.radius[0]))


def test_a_result_is_one_float_wider_on_each_side() -> None:
    third = Vector.of(np.array([1.0])).over(Vector.of(np.array([3.0])))
    assert third.lo[0] < Fraction(1, 3) < third.hi[0]
    assert third.hi[0] == np.nextafter(np.nextafter(third.lo[0], 1), 1)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=30), st.randoms())
def test_a_product_knows_how_far_off_it_is(
    pairs: list[tuple[float, float]], draw: random.Random
) -> None:
    a, b = (Vector(np.array(v), np.array(v)) for v in zip(*pairs, strict=True))
    wide = Vector(a.lo - 0.5, a.hi + 0.5)
    value, off = product(wide.ball(), b.ball())
    moved = [Fraction(x) + Fraction(draw.uniform(-0.5, 0.5)) for x in a.lo]
    exact = sum((x * Fraction(y) for x, y in zip(moved, b.lo, strict=True)), Fraction(0))
    assert abs(exact - Fraction(float(value))) <= Fraction(float(off))
    tight, rounding = product(a.ball(), b.ball())
    exact = sum((Fraction(x) * Fraction(y) for x, y in zip(a.lo, b.lo, strict=True)), Fraction(0))
    assert abs(exact - Fraction(float(tight))) <= Fraction(float(rounding))
    assert rounding <= 1e-12 * np.abs(a.lo * b.lo).sum() + 1e-6


# -- the orbit -----------------------------------------------------------------------------------


def settled(slopes: tuple[Fraction, ...], beta: Fraction) -> list[Fraction]:
    """The orbit by its definition."""
    p = len(slopes)
    total = sum(beta**i for i in range(p))
    return [sum(beta**i * slopes[(j - i) % p] for i in range(p)) / total for j in range(p)]


def vectors(slopes: tuple[Fraction, ...]) -> list[Vector]:
    return [Vector.of(np.array([float(g)])) for g in slopes]


@given(slopes=SLOPES, beta=BETA)
def test_the_orbit_is_a_fixed_point_of_the_average(slopes: tuple[Fraction, ...], beta: float) -> None:
    m, exact = settled(slopes, Fraction(beta)), Fraction(beta)
    if exact < 1:
        assert m == [exact * m[j - 1] + (1 - exact) * slopes[j] for j in range(len(slopes))]
    values, _ = averages(vectors(slopes), Vector.of(np.array([beta])))
    for j, value in enumerate(m):
        assert Fraction(float(values.lo[0, j])) <= value <= Fraction(float(values.hi[0, j]))
        assert values.hi[0, j] - values.lo[0, j] < 1e-12


def inside(exact: Fraction, ball: Ball, j: int, loose: float = 0) -> bool:
    """Whether a number lies in a ball, which is widened where the number is known in floats only."""
    radius = float(ball.radius[0, j])
    if not math.isfinite(radius):
        return True
    off = abs(exact - Fraction(float(ball.middle[0, j])))
    return off <= Fraction(radius) + Fraction(loose) * (1 + abs(exact))


@given(slopes=SLOPES, ends=st.tuples(BETA, BETA), at=st.tuples(BETA, BETA), eps=st.integers(0, 2))
def test_rows_enclose_values_and_slopes(slopes: Any, ends: Any, at: Any, eps: int) -> None:
    low, high = np.array([min(ends)]), np.array([max(ends)])
    pattern = Pattern(slopes, Fraction(eps))
    with np.errstate(all="ignore"):
        one, two = first(pattern, low, high), second(pattern, low, high)
    place = [Fraction(min(ends)) + Fraction(s) * (Fraction(max(ends)) - Fraction(min(ends))) for s in at]
    m, m2 = (settled(slopes, b) for b in place)
    v, v2 = (settled(tuple(g * g for g in slopes), b) for b in place)
    for j in range(len(slopes)):
        assert inside(m[j], one.over, j)
        root = float(v[j]) ** 0.5 + eps
        assert inside(Fraction(1 / root), two.over, j, 1e-12)
        if abs(place[1] - place[0]) > Fraction(1, 1000):  # a difference quotient is a slope somewhere
            rise = (m2[j] - m[j]) / (place[1] - place[0])
            assert inside(rise, one.slope, j)
            rise = (1 / (float(v2[j]) ** 0.5 + eps) - 1 / root) / float(place[1] - place[0])
            assert inside(Fraction(rise), two.slope, j, 1e-9)


@given(slopes=SLOPES, beta1=BETA, beta2=BETA)
def test_arb_encloses_the_drift(slopes: tuple[Fraction, ...], beta1: float, beta2: float) -> None:
    exact = [Fraction(beta) for beta in (beta1, beta2)]
    low, high = drift_ball(Pattern(slopes), *exact, 256)
    m, v = settled(slopes, exact[0]), settled(tuple(g * g for g in slopes), exact[1])
    about = sum(float(a) / float(b) ** 0.5 for a, b in zip(m, v, strict=True))
    assert low <= high <= low + Fraction(1, 10**40)
    assert abs(float(low) - about) < 1e-9


def test_a_drift_that_is_zero_has_no_sign() -> None:
    assert sign(Pattern((Fraction(1), Fraction(-1))), Fraction(1, 2), Fraction(1, 3)) == 0


@pytest.mark.parametrize(("slopes", "eps"), [((), 0), ((1, 0, -1), 0), ((1,), -1)])
def test_patterns_that_make_no_sense(slopes: tuple[int, ...], eps: int) -> None:
    with pytest.raises(ValueError, match=r"gradients other than 0|negative"):
        Pattern(tuple(map(Fraction, slopes)), Fraction(eps))


def test_the_paper_settles_on_the_orbit() -> None:
    """In exact arithmetic: after sixty periods u_t of the paper's rule is what the orbit says."""
    slopes = tuple(map(Fraction, (3, -1, -1)))
    method = square.method(Fraction(1, 2), Fraction(3, 4))
    game = Game(slopes, Fraction(1), Fraction(0), Fraction(-(10**9)), Fraction(10**9))
    xs = play(game, Paper(method, Counting(), Fraction(0)), 183)
    low, _ = drift_ball(Pattern(slopes), Fraction(1, 2), Fraction(3, 4), 128)
    moved = [(xs[t - 1] - xs[t]) * Counting().number(Fraction(t)).sqrt() for t in (181, 182, 183)]
    total = moved[0] + moved[1] + moved[2]
    assert abs(float(total) - float(low)) < 1e-9


# -- cells ---------------------------------------------------------------------------------------


def covered(cells: Cells) -> Fraction:
    def exact(values: Any) -> list[Fraction]:
        return [Fraction(float(value)) for value in values]

    sides = map(exact, (cells.left, cells.right, cells.low, cells.high))
    return sum(((b - a) * (d - c) for a, b, c, d in zip(*sides, strict=True)), Fraction(0))


def test_the_cells_are_the_whole_square() -> None:
    assert covered(square.square()) == 1
    assert covered(grid(edges(7, 1e-3), edges(5, 1e-6))) == 1


@given(
    slopes=SLOPES, points=st.lists(st.tuples(BETA, BETA), min_size=1, max_size=8), eps=st.integers(0, 1)
)
@settings(max_examples=40, deadline=None)
def test_a_certified_cell_is_right_everywhere(slopes: Any, points: Any, eps: int) -> None:
    pattern = Pattern(slopes, Fraction(eps))
    cells = diagram(pattern, coarse=8, depth=2)
    for beta1, beta2 in points:
        if certain := cells.at(beta1, beta2):
            assert sign(pattern, Fraction(beta1), Fraction(beta2)) == certain


@pytest.mark.parametrize("spoil", ["slope1", "slope2", "radius"])
def test_a_bound_that_is_too_small_is_noticed(spoil: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest: dict[str, Callable[..., Any]] = {"slope1": first, "slope2": second}

    def none(rows: orbit.Rows) -> orbit.Rows:
        still = Ball(rows.slope.middle * 0, rows.slope.radius * 0)
        return orbit.Rows(
            rows.at, rows.over, still, rows.radius * 0 if spoil == "radius" else rows.radius
        )

    for name, key in (("first", "slope1"), ("second", "slope2")):
        if spoil in (key, "radius"):
            monkeypatch.setattr(cells_of, name, lambda *a, key=key: none(honest[key](*a)))
    assert sum(corners_that_differ(*one) for one in flat_cells()) > 0


def flat_cells() -> list[tuple[Pattern, Cells]]:
    """Cells that are a point in β1 or in β2, so that only one of the slopes counts."""
    side, at = edges(6, 0.01), np.linspace(0.01, 1, 40)
    low, high = np.repeat(side[:-1], 40), np.repeat(side[1:], 40)
    there = np.tile(at, len(side) - 1)
    out = []
    for slopes in square.OTHERS:
        pattern = Pattern(tuple(map(Fraction, slopes)))
        for sides in ((low, high, there, there), (there, there, low, high)):
            none = np.zeros(len(there), dtype=np.int64)
            found = signs(pattern, Cells(*sides, none))
            out.append((pattern, Cells(*sides, found)))
    return out


def test_flat_cells_agree_at_their_ends() -> None:
    assert [corners_that_differ(*one) for one in flat_cells()] == [0] * 2 * len(square.OTHERS)
    assert any(cells.sign.any() for _, cells in flat_cells())


def corners_that_differ(pattern: Pattern, cells: Cells) -> int:
    corners = ((cells.left, cells.low), (cells.left, cells.high), (cells.right, cells.low),
               (cells.right, cells.high))  # fmt: skip
    found = [point_signs(pattern, *corner) for corner in corners]
    return sum(int(((at != cells.sign) & (cells.sign != 0)).sum()) for at in found)


def test_the_corners_of_certified_cells_agree() -> None:
    for slopes in square.OTHERS:
        pattern = Pattern(tuple(map(Fraction, slopes)))
        assert corners_that_differ(pattern, square.square(pattern.gradients)) == 0


def test_float64_must_not_decide_what_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the border itself rounding is larger than the drift: Arb decides, the filter does not."""
    found = boundary(REDDI, np.array([0.9]), halvings=60)
    none = np.zeros(len(found.beta1), dtype=np.int64)
    assert not signs(REDDI, Cells(found.beta1, found.beta1, found.low, found.low, none)).any()
    assert point_signs(REDDI, found.beta1, found.low).tolist() == [-1]
    assert point_signs(REDDI, found.beta1, found.high).tolist() == [1]


def test_the_border() -> None:
    found = boundary(REDDI, np.array([0.0, 0.9, 0.999]))
    assert found.beta1.tolist() == [0.0, 0.9, 0.999, 0.999]  # in, and out again
    assert (found.high - found.low < 1e-9).all()
    for b1, low, high in zip(found.beta1, found.low, found.high, strict=True):
        ends = [sign(REDDI, Fraction(float(b1)), Fraction(float(b2))) for b2 in (low, high)]
        assert ends[0] * ends[1] == -1


def test_deeper_is_finer_and_never_another_sign() -> None:
    rough, fine = (diagram(REDDI, coarse=16, depth=d) for d in (1, 4))
    assert rough.share(0) > fine.share(0) > 0
    for i in range(0, len(fine), 7):
        at = (fine.left[i] + fine.right[i]) / 2, (fine.low[i] + fine.high[i]) / 2
        assert rough.at(*at) in (0, fine.sign[i]) or fine.sign[i] == 0


def test_at_one_raising_beta2_repairs_every_beta1() -> None:
    from_ = cells_of.settled_from(square.square())
    assert from_ is not None
    assert 0.9996 < from_ < 0.9998
    for k in range(9):
        assert sign(REDDI, Fraction(k, 8), Fraction(from_)) == 1
        assert sign(REDDI, Fraction(k, 8), Fraction(1)) == 1


def test_a_place_outside_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        diagram(REDDI, coarse=4, depth=0).at(1.5, 0)


# -- against simulation ----------------------------------------------------------------------------


def simulated(slopes: tuple[Fraction, ...], beta1: float, beta2: float, steps: int) -> float:
    game = Game(slopes, Fraction(2), Fraction(0))
    method = square.method(Fraction(beta1), Fraction(beta2))
    run = Recurrence(game, method, fused=False, roots=ieee_roots)
    return float(run.advance(steps)[-len(slopes) :].mean())


def test_simulation_agrees_away_from_the_border() -> None:
    """A thousand random betas and losses whose drift is not small: the run is where the sign says."""
    draw, seen = random.Random(3), {1: 0, -1: 0}
    while sum(seen.values()) < 1000:
        slopes = tuple(
            Fraction(draw.choice([-1, 1]) * draw.randint(1, 9)) for _ in range(draw.randint(2, 6))
        )
        beta1, beta2 = draw.random(), draw.random() ** 0.3
        pattern = Pattern(slopes)
        low, _ = drift_ball(pattern, Fraction(beta1), Fraction(beta2), 64)
        if abs(low) < Fraction(len(slopes), 20) or max(beta1, beta2) > 0.995:
            continue
        end = -1 if low > 0 else 1
        seen[-end] += 1
        assert abs(simulated(slopes, beta1, beta2, 20_000) - end) < 0.25, (slopes, beta1, beta2)
    assert min(seen.values()) > 200


@pytest.mark.parametrize(("beta1", "beta2", "right"), square.SLOW)
def test_near_the_border_a_million_steps_are_wrong(beta1: Fraction, beta2: Fraction, right: int) -> None:
    assert sign(REDDI, beta1, beta2) == right
    game = Game(square.SLOPES, square.ALPHA, square.START)
    run = Recurrence(game, square.method(beta1, beta2), fused=False, roots=ieee_roots)
    for _ in range(10):
        x = float(run.advance(100_000)[-1])
    assert x * right > 0  # where it is going has the other sign


# -- the counterexample ----------------------------------------------------------------------------


def test_it_is_refuted() -> None:
    found = judge(find("beta-phase-diagram"))
    assert (found.verdict, found.reasons) == (Verdict.REFUTED, [])
    assert [row[-1] for row in found.evidence.rows] == ["300 of 300"] * len(found.evidence.rows)


@pytest.mark.parametrize(
    "step", find("beta-phase-diagram").derivation(), ids=lambda step: step.text[:40]
)
def test_no_step_is_vacuous(step: Step) -> None:
    assert decide(spoiled(step.goal)).verdict is not Verdict.PROVED


def test_three_times_the_papers_beta2_is_as_bad_and_not_every_beta2() -> None:
    for c in (2, 3, 10, 100):
        pattern = Pattern(tuple(map(Fraction, (c, -1, -1))))
        assert sign(pattern, Fraction(0), Fraction(3, 1 + c * c)) == -1
        assert c == 2 or sign(pattern, Fraction(0), Fraction(99, 100)) == 1


def test_a_diagram_that_certifies_nothing_is_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = square.square()
    none = Cells(cells.left, cells.right, cells.low, cells.high, 0 * cells.sign)
    monkeypatch.setattr(square, "square", lambda slopes=square.SLOPES: none)
    assert "certifies neither" in square.replay(5).failure


@given(slopes=SLOPES, beta1=st.floats(0, 1))
def test_from_the_proved_beta2_on_the_drift_has_the_sign_of_the_sum(slopes: Any, beta1: float) -> None:
    pattern, p = Pattern(slopes), len(slopes)
    if not pattern.total:
        return
    most = max(map(abs, slopes))
    enough = float(1 + abs(pattern.total) / (p * most)) ** (-2 / (p - 1)) if p > 1 else 0.0
    beta2 = enough + (1 - enough) / 1000
    assert sign(pattern, Fraction(beta1), Fraction(beta2)) == (1 if pattern.total > 0 else -1)


def test_a_wrong_cell_makes_it_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = square.square()
    wrong = Cells(cells.left, cells.right, cells.low, cells.high, -cells.sign)
    monkeypatch.setattr(square, "square", lambda slopes=square.SLOPES: wrong)
    assert "contradict Arb" in square.replay(5).failure
