"""Enclosures hold the true value, whatever is rounded; formulas mean what mpmath says they mean."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import mpmath
import pytest
import sympy as sp
from hypothesis import assume, given
from hypothesis import strategies as st

from adamproof.theory import interval
from adamproof.theory.evaluate import EXACT, compiled, value
from adamproof.theory.identity import Unsupported
from adamproof.theory.interval import Interval
from adamproof.theory.symbols import symbol

F = Fraction
MP = mpmath.MPContext()
MP.prec = 4000
#: What a number of 4000 bits may be off by, after the few operations of a tree.
SLACK = MP.mpf(2) ** -3000


@contextmanager
def rounding(bits: int, exact_bits: int) -> Iterator[None]:
    """Round coarsely, so that rounding the wrong way would show."""
    saved = interval.BITS, interval.EXACT_BITS
    interval.BITS, interval.EXACT_BITS = bits, exact_bits
    try:
        yield
    finally:
        interval.BITS, interval.EXACT_BITS = saved


ROUNDINGS = st.sampled_from([(256, 4096), (256, 8), (8, 4096), (6, 8), (3, 1)])

# A tree comes as its true value, to 4000 bits, and as a function that gives its enclosure.
Tree = tuple[Any, Callable[[], Interval]]
RATIONALS = st.fractions(min_value=-40, max_value=40, max_denominator=60)


def _number(told: Fraction) -> Any:
    return MP.mpf(told.numerator) / told.denominator


@st.composite
def leaves(draw: st.DrawFn) -> Tree:
    told = draw(RATIONALS)
    below, above = draw(st.tuples(*[st.sampled_from([F(0), F(0), F(1, 7), F(2)])] * 2))
    return _number(told), lambda: Interval(told - below, told + above)


def _two(operation: Callable[[Any, Any], Any], larger: Any = None) -> Callable[..., Tree]:
    return lambda a, b: ((larger or operation)(a[0], b[0]), lambda: operation(a[1](), b[1]()))


def _divided(a: Tree, b: Tree) -> Tree:
    return (a[0] / b[0] if b[0] else MP.nan), lambda: a[1]() / b[1]()


def _power(a: Tree, n: int) -> Tree:
    told = MP.nan if n < 0 and not a[0] else a[0] ** n
    return told, lambda: a[1]().power(n)


def _grown(parts: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    return st.one_of(
        st.builds(_two(lambda a, b: a + b), parts, parts),
        st.builds(_two(lambda a, b: a - b), parts, parts),
        st.builds(_two(lambda a, b: a * b), parts, parts),
        st.builds(_two(lambda a, b: a.maximum(b), max), parts, parts),
        st.builds(_divided, parts, parts),
        st.builds(_power, parts, st.integers(-3, 5)),
        st.builds(lambda a: (abs(a[0]), lambda: abs(a[1]())), parts),
        st.builds(lambda a: (-a[0], lambda: -a[1]()), parts),
        st.builds(lambda a: (MP.sqrt(abs(a[0])), lambda: abs(a[1]()).sqrt()), parts),
        st.builds(lambda a, q: (a[0] + _number(q), lambda: q + a[1]()), parts, RATIONALS),
        st.builds(lambda a, q: (_number(q) - a[0], lambda: q - a[1]()), parts, RATIONALS),
        st.builds(lambda a, q: (_number(q) / a[0] if a[0] else MP.nan, lambda: q / a[1]()),
                  parts, RATIONALS),
    )  # fmt: skip


@given(st.recursive(leaves(), _grown, max_leaves=10), ROUNDINGS)
def test_encloses_the_true_value(tree: Tree, bits: tuple[int, int]) -> None:
    told, enclosure = tree
    assume(MP.isfinite(told))
    try:
        with rounding(*bits):
            found = enclosure()
    except ZeroDivisionError:
        return
    slack = SLACK * (1 + abs(told))
    assert _number(found.lo) - slack <= told <= _number(found.hi) + slack


@given(st.lists(RATIONALS, min_size=1, max_size=6))
def test_rationals_stay_exact(numbers: list[Fraction]) -> None:
    found, told = Interval.of(0), F(0)
    for number in numbers:
        found, told = (found + number) * number - 1, (told + number) * number - 1
    assert found == Interval(told, told)
    assert found.exact


@pytest.mark.parametrize("exponent", range(-3, 6))
@pytest.mark.parametrize("ends", [(-2, 3), (-3, 2), (-3, -2), (2, 3), (0, 2), (-2, 0)])
def test_powers_of_intervals(ends: tuple[int, int], exponent: int) -> None:
    lo, hi = ends
    held = Interval(F(lo), F(hi))
    if exponent < 0 and lo <= 0 <= hi:
        with pytest.raises(ZeroDivisionError):
            held.power(exponent)
        return
    found = held.power(exponent)
    values = [F(lo) + F(hi - lo, 8) * i for i in range(9)]
    powers = [v**exponent for v in values]
    assert found.lo <= min(powers)
    assert max(powers) <= found.hi
    turns = [F(0)] if lo <= 0 <= hi else []
    sharp = [v**exponent for v in (*values, *turns)]
    slack = F(1, 1 << 250)
    assert min(sharp) - slack <= found.lo
    assert found.hi <= max(sharp) + slack


@given(st.fractions(min_value=0, max_value=10**6), st.fractions(min_value=0, max_value=3))
def test_roots_are_enclosed_tightly(least: Fraction, width: Fraction) -> None:
    found = Interval(least, least + width).sqrt()
    assert found.lo >= 0
    assert found.lo**2 <= least
    assert least + width <= found.hi**2
    ulp = F(1, 1 << interval.BITS)
    assert (found.lo + ulp) ** 2 > least
    assert (found.hi - ulp) ** 2 < least + width or found.hi == 0


def test_roots_of_squares_are_exact() -> None:
    assert Interval.of(F(9, 16)).sqrt() == Interval.of(F(3, 4))
    assert Interval.of(0).sqrt() == Interval.of(0)
    assert not Interval.of(2).sqrt().exact


def test_what_is_not_defined_raises() -> None:
    with pytest.raises(ValueError, match="below 0"):
        Interval(F(-1, 10**9), F(1)).sqrt()
    for held in (Interval.of(0), Interval(F(-1), F(1)), Interval(F(0), F(1)), Interval(F(-1), F(0))):
        with pytest.raises(ZeroDivisionError):
            held.reciprocal()
        with pytest.raises(ZeroDivisionError):
            1 / held


def test_long_rationals_are_enclosed() -> None:
    third = Interval.of(F(1, 3)).power(4000)
    assert not third.exact
    assert third.lo <= F(1, 3**4000) <= third.hi
    assert Interval.of(F(1, 3)).power(40).exact
    assert (Interval.of(1 << 9000) * 3).exact


def test_certainty() -> None:
    assert Interval(F(1, 9), F(1)).certainly_positive()
    assert not Interval(F(0), F(1)).certainly_positive()
    assert not Interval(F(-1), F(1)).certainly_positive()
    assert Interval(F(-1), F(1)).maximum(F(1, 2)) == Interval(F(1, 2), F(1))
    assert abs(Interval(F(-3), F(1))) == Interval(F(0), F(3))


@pytest.mark.parametrize(
    ("held", "shown"),
    [
        (Interval.of(F(3, 4)), "3/4"),
        (Interval.of(2).sqrt(), "≈ 1.41421356237"),
        (Interval.of(F(1, 7) ** 40), "1.57064631395e-34"),
        (Interval.of(F(10) ** 5000), "1.00000000000e+5000"),
        (Interval(F(-1), F(1)), "≈ 0"),
        (Interval.of(0.5), "1/2"),
    ],
)
def test_shown(held: Interval, shown: str) -> None:
    assert str(held) == shown


# -- formulas --------------------------------------------------------------------------------------

x, p, t, n = symbol("x"), symbol("p", "positive"), symbol("t"), symbol("n")


def _mp(e: Any, point: dict[str, Fraction]) -> Any:
    """Evaluate a tree, by nothing that the project wrote."""
    if e.is_Rational:
        return MP.mpf(int(e.p)) / int(e.q)
    if e.is_Symbol:
        return _number(point[e.name])
    parts = [_mp(part, point) for part in e.args]
    name = e.func.__name__
    if name == "Add":
        return MP.fsum(parts)
    if name == "Mul":
        return MP.fprod(parts)
    if name == "Pow":
        base, exponent = parts
        if (base < 0 and exponent != MP.floor(exponent)) or (base == 0 and exponent < 0):
            return MP.nan
        return base**exponent
    return {"Max": max, "Min": min, "Abs": abs, "sign": MP.sign}[name](
        *(parts if name in ("Abs", "sign") else [parts])
    )


FORMULAS = st.recursive(
    st.sampled_from([x, p, t, sp.Rational(1, 3), sp.Integer(-2), x**t, p ** (1 - t), t**2]),
    lambda parts: st.one_of(
        st.builds(lambda a, b: a + b, parts, parts),
        st.builds(lambda a, b: a * b, parts, parts),
        st.builds(lambda a, b: a / b if b != 0 else a, parts, parts),
        st.builds(lambda a: sp.sqrt(a), parts),
        st.builds(lambda a: sp.sqrt(sp.Abs(a)) ** 3, parts),
        st.builds(lambda a: 1 / sp.sqrt(a) if a != 0 else a, parts),
        st.builds(lambda a: sp.Abs(a), parts),
        st.builds(lambda a: a**-2 if a != 0 else a, parts),
        st.builds(lambda a, b: sp.Max(a, b, evaluate=False), parts, parts),
        st.builds(lambda a, b: sp.Min(a, b, evaluate=False), parts, parts),
        st.builds(lambda a: sp.sign(a), parts),
    ),
    max_leaves=7,
).filter(lambda e: not e.has(sp.zoo, sp.nan, sp.oo, sp.I))


@given(FORMULAS, RATIONALS, st.fractions(min_value=F(1, 9), max_value=9, max_denominator=9),
       st.integers(1, 4))  # fmt: skip
def test_a_formula_has_its_value(expr: Any, at: Fraction, above: Fraction, step: int) -> None:
    point = {"x": at, "p": above, "t": F(step)}
    try:
        found = value(expr, point)
    except (ZeroDivisionError, ValueError, Unsupported):
        assume(False)
    told = _mp(expr, point)
    slack = SLACK * (1 + abs(told))
    assert _number(found.lo) - slack <= told <= _number(found.hi) + slack


def test_formulas_without_an_exact_meaning_are_refused() -> None:
    for expr in (sp.pi * x, sp.log(p), sp.exp(x), 0.5 * x, p ** sp.Rational(1, 3), sp.Float(2)):
        with pytest.raises(Unsupported):
            value(expr, {"x": F(1), "p": F(1)})
    with pytest.raises(Unsupported, match="sign of an enclosure"):
        value(sp.sign(sp.sqrt(x) * sp.sqrt(p) - sp.sqrt(n)), {"x": F(2), "p": F(3), "n": F(6)})
    assert value(sp.exp(x), {"x": F(0)}) == Interval.of(1)


def test_lines_see_the_lines_before_them() -> None:
    new = sp.Symbol("new")
    run = compiled({"m": x + 1, "y": new * 2}, EXACT, chained={"m": "new"})
    assert run({"x": Interval.of(2)}) == {"m": Interval.of(3), "y": Interval.of(6)}
    early = compiled({"y": new * 2, "m": x + 1}, EXACT, chained={"m": "new"})
    with pytest.raises(UnboundLocalError):
        early({"x": Interval.of(2), "new": Interval.of(7)})


def test_symbols_may_have_any_name() -> None:
    # Python reads x and the full-width x as one name, and would run the third
    names = ["x", "\uff58", "0)\n    raise SystemExit(", "_a", "_c1", "lambda", "a b", "v̂"]
    symbols = [sp.Symbol(name) for name in names]
    point = {name: F(10**i) for i, name in enumerate(names)}
    assert value(sum(symbols) + 5, point) == Interval.of(11111116)
