"""The rounding model against exact rationals, Arb and torch's kernels; the envelope against faults."""

import itertools
import math
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch
from flint import arb
from hypothesis import assume, example, given
from hypothesis import strategies as st

from adamproof.proofs_check import kernels
from adamproof.proofs_check.bands import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    FORMATS,
    Band,
    Format,
    chosen,
    direction,
)
from adamproof.proofs_check.build import Recipe
from adamproof.proofs_check.envelope import (
    STEPS,
    TRIED,
    Work,
    enclose,
    exact_outside,
    outside,
    run,
    trial,
    works,
)
from adamproof.proofs_check.judge import Judge
from adamproof.proofs_check.rounding import Model, Nearest, Real, Standard
from adamproof.proofs_check.subjects import Subject, builtin
from adamproof.proofs_check.tape import TRUTHS, Tape, UnknownKernel
from adamproof.theory.catalogue import claims
from adamproof.theory.records import Level, Verdict
from adamproof.theory.rules import named
from adamproof.theory.symbols import beta2
from adamproof.theory.symbols import t as sym_t

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
HALVES = [FLOAT16, BFLOAT16]
ADAM = Recipe(torch.optim.Adam, {"foreach": False})


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


# -- formats and primitives against exact rationals ------------------------------------------------


def finite(form: Format) -> st.SearchStrategy[float]:
    """Numbers of a format, as likely at every magnitude."""
    top = form.exact.emax
    return st.builds(
        lambda s, e, sign: sign * float(form.nearest(np.array(math.ldexp(s, e)))),
        st.floats(0, 1), st.integers(form.least, top), st.sampled_from([1, -1]),
    )  # fmt: skip


def rounded(form: Format, x: Fraction) -> float:
    """Return what the rational model of `theory.floats` rounds x to."""
    try:
        return float(form.exact.round(x))
    except OverflowError:
        return math.copysign(math.inf, x)


@pytest.mark.parametrize("form", [FLOAT32, *HALVES], ids=lambda f: f.name)
@given(data=st.data())
def test_rounding_is_to_nearest_even(form: Format, data: st.DataObject) -> None:
    x = data.draw(st.floats(-4 * form.largest, 4 * form.largest) | finite(form))
    assert form.nearest(np.array(x)) == rounded(form, Fraction(x))
    # halfway between two numbers, where the even one is chosen
    between = (x := float(form.nearest(np.array(x)))) + float(form.spacing(np.array(x))) / 2
    assume(math.isfinite(between))
    assert form.nearest(np.array(between)) == rounded(form, Fraction(between))


NUMBERS = finite(FLOAT32)


@given(NUMBERS, NUMBERS, NUMBERS)
@example(1 + 2.0**-23, 2.0**-24 - 2.0**-47, 1 + 2.0**-23)  # below a tie by less than float64 has
def test_nearest_primitives_are_exactly_rounded(a: float, b: float, c: float) -> None:
    m, p, q, r = Nearest(FLOAT32, FLOAT32), Band.point(a), Band.point(b), Band.point(c)
    x, y, z = Fraction(a), Fraction(b), Fraction(c)
    assert ends(m.add(p, q)) == [rounded(FLOAT32, x + y)] * 2
    assert ends(m.sub(p, q)) == [rounded(FLOAT32, x - y)] * 2
    assert ends(m.mul(p, q)) == [rounded(FLOAT32, x * y)] * 2
    if b:
        assert ends(m.div(p, q)) == [rounded(FLOAT32, x / y)] * 2
    if math.isfinite(rounded(FLOAT32, x * y)):
        both = rounded(FLOAT32, Fraction(rounded(FLOAT32, x * y)) + z), rounded(FLOAT32, x * y + z)
        assert ends(m.muladd(p, q, r)) == sorted(both)
    low, high = ends(m.sqrt(Band.point(abs(a))))
    assert Fraction(low) ** 2 <= abs(x) <= Fraction(high) ** 2
    assert high <= np.nextafter(np.float32(low), np.float32(np.inf))


def ends(band: Band) -> list[float]:
    return [float(band.lo), float(band.hi)]


@given(st.lists(finite(FLOAT32), min_size=6, max_size=6))
def test_standard_bands_are_those_of_arb(numbers: list[float]) -> None:
    """What Arb finds is inside, and a unit in the last place of float64 or two are all that is added."""
    pairs = [sorted(numbers[i : i + 2]) for i in (0, 2, 4)]
    a, b, c = (Band(*(np.array(float(e)) for e in p), np.array(False)) for p in pairs)
    u, tiny = arb(2) ** -24, arb(2) ** -150

    def widened(lo: arb, hi: arb, units: int = 1, least: arb = tiny) -> tuple[arb, arb]:
        low = lo - (units * u * abs(lo)).max(least) if lo != 0 else lo
        high = hi + (units * u * abs(hi)).max(least) if hi != 0 else hi
        return (low.max(arb(0)) if lo > 0 else low), (high.min(arb(0)) if hi < 0 else high)

    def corners(what: Callable[[arb, arb], arb], one: Any, two: Any) -> tuple[arb, arb]:
        found = [what(arb(s), arb(t)) for s in one for t in two]
        low, high = found[0], found[0]
        for value in found[1:]:
            low, high = low.min(value), high.max(value)
        return low, high

    m = Standard(FLOAT32, FLOAT32)
    total = [arb(pairs[0][k]) + arb(pairs[1][k]) for k in (0, 1)]
    if pairs[0][0] < pairs[0][1]:
        close(m.add(a, b), *widened(*total, least=arb(0)))
    close(m.mul(a, b), *widened(*corners(lambda s, t: s * t, pairs[0], pairs[1])))
    if not b.zero:
        close(m.div(a, b), *widened(*corners(lambda s, t: s / t, pairs[0], pairs[1])))
    if pairs[2][0] >= 0:
        roots = [arb(e).sqrt() for e in pairs[2]]
        close(m.sqrt(c), *widened(*roots, units=2, least=arb(0)))


def close(band: Band, lo: arb, hi: arb) -> None:
    """Containment both ways."""
    if math.isinf(band.lo) or math.isinf(band.hi):
        assert max(abs(lo), abs(hi)) * (1 + arb(2) ** -20) > FLOAT32.largest
        return
    slack = arb(2) ** -50 * max(abs(lo), abs(hi)) + arb(2) ** -1070
    assert arb(float(band.lo)) <= lo + arb(2) ** -1074 and hi - arb(2) ** -1074 <= arb(float(band.hi))
    assert lo - slack <= arb(float(band.lo)) and arb(float(band.hi)) <= hi + slack


# -- kernels against torch -------------------------------------------------------------------------


def in_place(what: Any, tensors: list[torch.Tensor], *args: Any) -> torch.Tensor:
    what(tensors, *args)
    return tensors[0]


def scalar(like: torch.Tensor) -> torch.Tensor:
    """A number as a counter holds it, in float32 also beside half types."""
    wide = like.dtype is torch.float64
    return torch.full((), FAR, dtype=torch.float64 if wide else torch.float32, device=like.device)


W = 0.0123456789
FAR = 0.7654321
Kernel = Callable[[Any, Any, Any], Any]
KERNELS: dict[str, Kernel] = {
    "add": lambda a, b, c: a + b,
    "add with alpha": lambda a, b, c: torch.add(a, b, alpha=W),
    "add a number": lambda a, b, c: a.add_(W),
    "sub with alpha": lambda a, b, c: torch.sub(a, b, alpha=FAR),
    "mul": lambda a, b, c: a * b,
    "mul by a number": lambda a, b, c: a.mul_(FAR),
    "square": lambda a, b, c: a * a,
    "pow": lambda a, b, c: a**2,
    "div": lambda a, b, c: a / b,
    "div by a number": lambda a, b, c: a.div_(W),
    "reciprocal": lambda a, b, c: a.reciprocal(),
    "sqrt": lambda a, b, c: a.abs().sqrt(),
    "maximum": lambda a, b, c: torch.maximum(a, b),
    "lerp near": lambda a, b, c: a.lerp_(b, W),
    "lerp far": lambda a, b, c: a.lerp_(b, FAR),
    "addcmul": lambda a, b, c: a.addcmul_(b, c, value=W),
    "addcmul of one": lambda a, b, c: torch.addcmul(a, b, b),
    "addcdiv": lambda a, b, c: a.addcdiv_(b, c, value=-W),
    "foreach add": lambda a, b, c: torch._foreach_add([a], [b], alpha=W)[0],
    "foreach mul in place": lambda a, b, c: in_place(torch._foreach_mul_, [a], FAR),
    "foreach mul": lambda a, b, c: torch._foreach_mul([a], FAR)[0],
    "foreach div in place": lambda a, b, c: in_place(torch._foreach_div_, [a], [FAR]),
    "foreach maximum": lambda a, b, c: in_place(torch._foreach_maximum_, [a], W),
    "foreach addcmul": lambda a, b, c: in_place(torch._foreach_addcmul_, [a], [b], [b], W),
    "foreach lerp": lambda a, b, c: in_place(torch._foreach_lerp_, [a], [b], W),
    "sign": lambda a, b, c: a.sign_(),
    "foreach sign": lambda a, b, c: torch._foreach_sign([a])[0],
    "foreach sign in place": lambda a, b, c: in_place(torch._foreach_sign_, [a]),
    "clamp": lambda a, b, c: a.clamp(-W, FAR),
    "clamp from above": lambda a, b, c: a.clamp_(max=W),
    "clamp to tensors": lambda a, b, c: torch.clamp(a, b, c),
    "clamp to a tensor of its own type": lambda a, b, c: a.clamp(max=scalar(a)),
    "maximum with a tensor of its own type": lambda a, b, c: torch.maximum(a, scalar(a)),
    "foreach clamp": lambda a, b, c: in_place(torch._foreach_clamp_min_, [a], [b]),
    "foreach clamp to numbers": lambda a, b, c: torch._foreach_clamp_max([a], [W])[0],
    "foreach minimum": lambda a, b, c: torch._foreach_minimum([a], [b])[0],
    "foreach reciprocal": lambda a, b, c: in_place(torch._foreach_reciprocal_, [a.abs()]),
    "foreach pow": lambda a, b, c: torch._foreach_pow([a], [2])[0],
    "foreach lerp by numbers": lambda a, b, c: in_place(torch._foreach_lerp_, [a], [b], [FAR]),
    "foreach lerp by tensors": lambda a, b, c: in_place(torch._foreach_lerp_, [a], [b], [c]),
    "where": lambda a, b, c: torch.where(a * b > c, b, c),
    "where, a number": lambda a, b, c: torch.where(a < W, b, FAR),
    "where not": lambda a, b, c: torch.where(a != b, b, 0.0),
    "foreach addcdiv": lambda a, b, c: in_place(torch._foreach_addcdiv_, [a], [b], [c], [W]),
}


def drawn(form: Format, size: int, draw: np.random.Generator, device: str) -> torch.Tensor:
    """Half of one scale, half any magnitude, some zeros."""
    usual = draw.normal(size=size) * 10.0 ** draw.uniform(-2, 2, size)
    wild = np.ldexp(draw.uniform(-1, 1, size), draw.integers(form.least, form.exact.emax + 1, size))
    numbers = np.where(draw.random(size) < 0.5, usual, wild) * (draw.random(size) > 0.05)
    return torch.tensor(form.nearest(numbers), dtype=getattr(torch, form.name), device=device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("form", [FLOAT64, FLOAT32, *HALVES], ids=lambda f: f.name)
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_return_what_the_model_allows(name: str, form: Format, device: str) -> None:
    """Contiguous and strided, whole vectors and tails; the bands of the models are nested."""
    draw = np.random.default_rng(len(name))
    for size in (1, 7, 33, 200):
        for stride in (1, 2):
            a, b, c = (drawn(form, size * stride, draw, device)[::stride] for _ in range(3))
            tape = Tape((Nearest, Standard, Real), device)
            for tensor in (a, b, c):
                tape.know(tensor)
            with tape:
                result = KERNELS[name](a, b, c)
            near, wide, real = tape.bands(result)
            assert near.holds(result.double().cpu().numpy()).all()
            if form is not FLOAT64:  # there the narrow band is widened by float64's own rounding
                assert ((wide.lo <= near.lo) & (near.hi <= wide.hi)).all()
            assert ((wide.lo <= real.hi) & (real.lo <= wide.hi)).all()


def test_a_kernel_returns_a_known_number_but_for_roots_and_fusing() -> None:
    draw, points = np.random.default_rng(0), {}
    for name, kernel in KERNELS.items():
        tensors = [drawn(FLOAT32, 400, draw, "cpu") for _ in range(3)]
        tape = Tape((Nearest,))
        for tensor in tensors:
            tape.know(tensor)
        with tape:
            (band,) = tape.bands(kernel(*tensors))
        points[name] = float((band.nan | (band.lo == band.hi)).mean())
    assert {n for n, share in points.items() if share < 0.85} == {"sqrt"}
    assert all(points[n] == 1 for n in ("add", "mul", "div", "addcdiv", "maximum", "reciprocal", "pow"))


def test_a_list_is_multiplied_in_place_by_the_half_number() -> None:
    """On the CPU; one tensor, or a list that is not changed, by the float32 number."""
    exact, number = BFLOAT16.exact, Fraction(0.997)
    given = [Fraction(k, 128) for k in range(128, 256)]
    listed, single = (
        [float(exact.round(w * v)) for v in given]
        for w in (exact.round(number), FLOAT32.exact.round(number))
    )
    assert listed != single
    for kernel, numbers in (
        (lambda v: in_place(torch._foreach_mul_, [v], 0.997), listed),
        (lambda v: v.mul_(0.997), single),
        (lambda v: torch._foreach_mul([v], 0.997)[0], single),
    ):
        v = torch.tensor([float(v) for v in given], dtype=torch.bfloat16)
        tape = Tape((Nearest,))
        tape.know(v)
        with tape:
            (band,) = tape.bands(out := kernel(v))
        assert band.lo.tolist() == band.hi.tolist() == numbers == out.tolist()


# -- optimizers ------------------------------------------------------------------------------------

SUBJECTS = [
    "torch.optim:SGD(momentum=0.9, nesterov=True, foreach=True)",
    "torch.optim:RMSprop(centered=True, momentum=0.9)",
    "torch.optim:NAdam(foreach=True)",
    "torch.optim:RAdam(foreach=True)",
    "adamproof.optimizers:Adam(weight_decay=0.1)",
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_runs_stay_inside(subject: str, device: str) -> None:
    answer = trial(builtin()[subject], device)
    assert (answer.verdict, answer.level) == (Verdict.MEASURED, Level.SAMPLED), answer
    assert int(answer.reason.split()[0]) >= 6000
    assert all(name in answer.reason for name in TRIED)
    width, ratio, bounded = map(float, re.findall(r"([\d.]+)(?: ulp| ×|%)", answer.reason)[:3])
    assert width <= 2 and ratio < 40 and bounded >= 60  # in float32: it says something


def test_every_branch_of_a_rule_is_run() -> None:
    for name in ("radam", "sgd+momentum+late-dampening"):
        taken = {
            k for t in range(1, STEPS + 1)
            for k, r in enumerate(named(name).regimes)
            if all(c.subs({beta2: sp.Rational(999, 1000), sym_t: t}) == sp.true for c in r.when)
        }  # fmt: skip
        assert taken == {0, 1}, name
    values = [work.values for work in works(ADAM, FLOAT32)]
    assert any(v[n] == 0 for v in values for n in ("alpha", "beta1", "beta2", "eps"))


@pytest.mark.parametrize("name", TRIED)
def test_the_envelope_is_tight(name: str) -> None:
    """The usual coordinates: known to an ulp, and the error bound is not far above the error."""
    work = next(works(ADAM, FORMATS[name]))
    work = Work(work.form, {**work.values, "eps": 2.0**-10}, work.start[:160],
                [g[:160] for g in work.gradients])  # fmt: skip
    near, wide, real = enclose(ADAM, work, (Nearest, Standard, Real)).steps[-1]["x"]
    x = run(ADAM, work)[-1]["x"]
    assert near.finite.all() and wide.finite.all()
    assert np.median((near.hi - near.lo) / work.form.spacing(x)) <= 1
    error = np.abs(x - (real.lo + real.hi) / 2)
    ratio = (np.maximum(wide.hi - real.lo, real.hi - wide.lo) / error)[error > 0]
    assert ratio.min() >= 1 and np.median(ratio) < 25


def test_bands_do_not_grow_with_the_length_of_a_run() -> None:
    """An average forgets, so its band must: the expression a + w (b − a) alone would not."""
    draw = np.random.default_rng(0)
    gradients = [FLOAT32.nearest(draw.normal(size=50)) for _ in range(100)]
    work = Work(FLOAT32, {"beta1": 0.75}, FLOAT32.nearest(draw.normal(size=50)), gradients)
    last = enclose(ADAM, work, (Nearest, Standard)).steps[-1]
    for name, most in (("exp_avg", 40), ("exp_avg_sq", 400), ("x", 400)):
        near, wide = (
            (b.hi - b.lo) / FLOAT32.spacing(np.maximum(np.abs(b.lo), np.abs(b.hi))) for b in last[name]
        )
        assert near.max() <= 4 and np.median(wide) < most


def test_exact_arithmetic_is_enclosed_thinly() -> None:
    """With hyper-parameters that doubles hold, the rule in Arb balls is what the tape encloses."""
    recipe, rule = Recipe(torch.optim.RMSprop, {"foreach": False}), named("rmsprop")
    values = {"alpha": 0.125, "beta2": 0.75, "eps": 2.0**-8}
    work = next(works(recipe, FLOAT32))
    work = Work(FLOAT32, values, work.start[:20], [g[:20] for g in work.gradients])
    envelope = enclose(recipe, work, (Real,))
    assert exact_outside(envelope, rule, work, range(20), 0) is None
    (band,) = envelope.steps[-1]["x"]
    assert np.all(band.hi - band.lo <= 1e-12 * np.maximum(np.abs(band.lo), 1e-3))
    other = Work(FLOAT32, {**values, "beta2": 0.75 + 2**-40}, work.start, work.gradients)
    assert exact_outside(envelope, rule, other, range(20), 0) is not None


def one(form: Format, gradient: float, steps: int = 2) -> Work:
    """A single coordinate at 0 with the same gradient at each step."""
    return Work(form, {"eps": 1e-8}, np.zeros(1), [np.array([gradient])] * steps)


def test_overflow_and_nan_are_part_of_the_model() -> None:
    big, none = one(FLOAT16, 6e4), one(FLOAT16, 0.0)
    for work, is_there in ((big, np.isinf), (none, np.isnan)):
        numbers, envelope = run(ADAM, work), enclose(ADAM, work)
        assert any(is_there(n).any() for n in numbers[-1].values())
        assert outside(envelope, numbers) is None
    (v,) = enclose(ADAM, big).steps[-1]["exp_avg_sq"]
    assert v.hi[0] == math.inf and not v.nan[0]
    (x,) = enclose(ADAM, one(FLOAT32, 0.0)).steps[-1]["x"]  # epsilon survives: nothing to divide by
    assert (x.lo[0], x.hi[0], x.nan[0]) == (0, 0, False)


@pytest.mark.parametrize("cls", ["Adam", "AdamW", "Adagrad", "SGD"])
def test_fused_kernels_are_inside_the_wide_band_of_the_readable_form(cls: str) -> None:
    plain, fused = (Recipe(getattr(torch.optim, cls), o) for o in ({"foreach": False}, {"fused": True}))
    for work in works(plain, FLOAT32):
        assert outside(enclose(plain, work, (Standard,)), run(fused, work)) is None
    with pytest.raises(UnknownKernel, match="_fused_"):
        enclose(fused, work)


# -- faults ----------------------------------------------------------------------------------------


class _Adam(torch.optim.Adam):
    def step(self, closure: Any = None) -> Any:
        super().step()
        with torch.no_grad():
            for p in self.param_groups[0]["params"]:
                self.fault(p, self.state[p])

    def fault(self, p: torch.Tensor, state: Any) -> None:
        raise NotImplementedError


class VUp(_Adam):
    """One ulp more in v."""

    def fault(self, p: torch.Tensor, state: Any) -> None:
        v = state["exp_avg_sq"]
        v.copy_(torch.nextafter(v, torch.full_like(v, math.inf)))


class XUp(_Adam):
    """One ulp more in x."""

    def fault(self, p: torch.Tensor, state: Any) -> None:
        p.copy_(torch.nextafter(p, torch.full_like(p, math.inf)))


class Unseen(_Adam):
    """One ulp more in v, written by NumPy."""

    def fault(self, p: torch.Tensor, state: Any) -> None:
        v = state["exp_avg_sq"]
        array = (v.view(torch.int16) if p.dtype == torch.bfloat16 else v).numpy()
        bits = array.view(f"int{8 * p.element_size()}")
        bits += 1


class Wide(torch.optim.Adam):
    """Computes in float32 whatever the type is, and rounds once a step."""

    def step(self, closure: Any = None) -> Any:
        for p in self.param_groups[0]["params"]:
            grad, state, kind = p.grad, self.state[p], p.dtype
            p.data, p.grad = p.data.float(), None
            p.grad = grad.float()
            for n, v in state.items():
                state[n] = v.float()
            super().step()
            p.data = p.data.to(kind)
            p.grad = grad
            for n in ("exp_avg", "exp_avg_sq"):
                state[n] = state[n].to(kind)


class FloatRest(torch.optim.Optimizer):
    """Adam, but 1 − β2 is computed in float32."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for h in self.param_groups:
            beta1, beta2 = h["betas"]
            rest = (torch.ones(()) - torch.full((), beta2)).item()
            for p in h["params"]:
                state = self.state[p]
                if not state:
                    state["step"] = torch.zeros(())
                    state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
                state["step"] += 1
                t = state["step"].item()
                m = state["exp_avg"].lerp_(p.grad, 1 - beta1)
                v = state["exp_avg_sq"].mul_(beta2).addcmul_(p.grad, p.grad, value=rest)
                d = v.sqrt().div_((1 - beta2**t) ** 0.5).add_(h["eps"])
                p.addcdiv_(m, d, value=-h["lr"] / (1 - beta1**t))


FAULTS = [(c, f) for c in (VUp, XUp, Unseen, FloatRest) for f in TRIED] + [
    (Wide, f) for f in ("float16", "bfloat16")
]


@pytest.mark.parametrize("cls, name", FAULTS)
def test_a_fault_of_an_ulp_leaves_the_envelope(cls: type[torch.optim.Optimizer], name: str) -> None:
    work = next(works(ADAM, FORMATS[name]))
    assert outside(enclose(ADAM, work), run(Recipe(cls), work)) is not None
    assert outside(enclose(ADAM, work), run(ADAM, work)) is None


def test_what_torch_does_not_see_refutes_the_claim() -> None:
    answer = trial(Subject("unseen", "user", Recipe(Unseen), "adam"), "cpu")
    assert (answer.verdict, answer.level) == (Verdict.REFUTED, Level.EXACT)
    assert answer.witness is not None and "exp_avg_sq" in answer.reason
    # the witness is a run: the real optimizer's number is there what the reason says
    point = {n: float(v) for n, v in answer.witness.point.items()}
    gradients = [np.array([v]) for n, v in point.items() if n.startswith("g")]
    start = np.array([point["x0"]])
    work = Work(FLOAT32, point, start, gradients)
    found = outside(enclose(Recipe(Unseen), work), run(Recipe(Unseen), work))
    assert found is not None and f"{found.number!r}" in answer.reason


def test_a_coarse_number_is_outside_though_the_lifter_lets_it_pass() -> None:
    subject = Subject("float-rest", "user", Recipe(FloatRest), "adam")
    judge = Judge()
    assert judge.finding(claims()["code-is-paper"], subject).verdict is Verdict.PROVED
    found = judge.finding(claims()["float-envelope"], subject)
    assert found.verdict is Verdict.REFUTED and "the exact update" in found.reason


class Long(torch.optim.Adam):
    """Adam with a first moment that grows by a part in 128, in a kernel of its own."""

    def step(self, closure: Any = None) -> Any:
        super().step()
        for state in self.state.values():
            state["exp_avg"].mul_(1 + 2.0**-7)


def test_the_exact_update_is_the_papers_not_the_codes() -> None:
    """The code's own rule is in the code's own band whatever it is; the paper's rule is not."""
    recipe = Recipe(Long, {"foreach": False})
    assert trial(Subject("long", "user", recipe), "cpu").verdict is Verdict.MEASURED
    found = trial(Subject("long", "user", recipe, "adam"), "cpu")
    assert found.verdict is Verdict.REFUTED and "the exact update" in found.reason


def test_an_unknown_kernel_is_named() -> None:
    answer = trial(Subject("up", "user", Recipe(VUp), "adam"), "cpu")
    assert answer.verdict is Verdict.UNDECIDED
    assert answer.reason == "unsupported operation: nextafter"


@pytest.mark.parametrize(
    "what",
    [
        lambda a: a**3,
        lambda a: torch.div(a, 3, rounding_mode="floor"),
        lambda a: torch.where(a > 0, a, a) > a.double(),
        lambda a: (a > 0).sum(),
        lambda a: torch.tensor(2.0) < a.half(),
        lambda a: (a > 0) & (a > 1),
        lambda a: torch._foreach_pow(2.0, [a]),
        lambda a: a.to(torch.int32),
        lambda a: a.sum(),
        lambda a: a.view(2, 2).add_(1),
        lambda a: a.item() if a.numel() == 1 else (a[0] * 0.1).item(),
    ],
)
def test_forms_without_a_meaning_stop_the_tape(what: Callable[[Any], Any]) -> None:
    a = torch.arange(4.0)
    tape = Tape((Nearest,))
    tape.know(a)
    with pytest.raises(UnknownKernel), tape:
        what(a)


def test_a_number_that_rounding_decides_is_not_read() -> None:
    a = torch.tensor(0.7)
    tape = Tape((Nearest, Standard))
    tape.know(a)
    with tape:
        assert a.mul_(0.5).item() == pytest.approx(0.35)
    assert tape.reads_rounded
    with pytest.raises(UnknownKernel, match="rounding may change"), tape:
        a.sqrt().item()


class NoHalf(torch.optim.SGD):
    """Refuses half types."""

    def step(self, closure: Any = None) -> Any:
        if self.param_groups[0]["params"][0].element_size() == 2:
            raise TypeError("no half types")
        super().step()


class NoneAtAll(NoHalf):
    """Refuses everything."""

    def step(self, closure: Any = None) -> Any:
        raise TypeError("no types")


def test_formats_that_an_optimizer_refuses_are_told() -> None:
    told = trial(Subject("no-half", "user", Recipe(NoHalf, {"foreach": False}), "sgd"), "cpu")
    assert told.verdict is Verdict.MEASURED and "float16: NoHalf.step() fails" in told.reason
    told = trial(Subject("none", "user", Recipe(NoneAtAll, {"foreach": False}), "sgd"), "cpu")
    assert told.verdict is Verdict.UNDECIDED and told.reason.startswith("no run: float32")


def test_the_judge_measures_code_and_not_paper() -> None:
    judge, claim = Judge(), claims()["float-envelope"]
    assert judge.finding(claim, builtin()["paper:adam"]).verdict is Verdict.NOT_APPLICABLE
    found = judge.finding(claim, builtin()["adamproof.optimizers:SGD"])
    assert found.verdict is Verdict.MEASURED and f"of {STEPS} steps" in found.reason
    assert all(a.verdict is Verdict.PROVED for a in found.answers)


@pytest.mark.parametrize("model", [Nearest, Standard, Real])
def test_a_band_of_everything_stays_one(model: type[Model]) -> None:
    m = model(FLOAT32, FLOAT32)
    everything = Band(np.array([-np.inf]), np.array([np.inf]), np.array([True]))
    some = Band(np.array([-1.0]), np.array([2.0]), np.array([False]))
    for band in (m.add(everything, some), m.mul(some, everything), m.div(some, some),
                 m.muladd(everything, some, some), m.div(everything, everything)):  # fmt: skip
        assert (band.lo[0], band.hi[0], band.nan[0]) == (-np.inf, np.inf, True)
    inf = Band(np.array([1.0]), np.array([np.inf]), np.array([False]))
    assert m.add(inf, Band(-inf.hi, -inf.lo, inf.nan)).nan[0]
    assert m.mul(inf, some).nan[0] and m.sqrt(some).nan[0]


ENDS = st.sampled_from([-math.inf, -2.0, -1.0, -0.0, 0.0, 0.5, 1.0, math.inf])
BANDS = st.builds(lambda a, b, nan: Band(np.array([min(a, b)]), np.array([max(a, b)]), np.array([nan])),
                  ENDS, ENDS, st.booleans())  # fmt: skip


def inside(band: Band) -> list[float]:
    """The numbers of `ENDS` that a band holds."""
    numbers = [-math.inf, -2.0, -1.0, 0.0, 0.5, 1.0, math.inf]
    return [x for x in numbers if band.lo[0] <= x <= band.hi[0]] + [math.nan] * bool(band.nan[0])


@given(a=BANDS, b=BANDS, c=BANDS, d=BANDS, name=st.sampled_from(sorted(TRUTHS)))
def test_signs_comparisons_and_choices_hold_what_torch_returns(
    a: Band, b: Band, c: Band, d: Band, name: str
) -> None:
    m = Nearest(FLOAT32, FLOAT32)
    signs, truth = direction(a), TRUTHS[name](m, a, b)
    either, seen = chosen(truth, c, d), set[bool]()
    for x, y in itertools.product(inside(a), inside(b)):
        told = bool(getattr(torch, name)(torch.tensor(x), torch.tensor(y)))
        seen.add(told)
        assert signs.holds(np.array([torch.sign(torch.tensor(x)).item()])).all()
        assert truth.holds(np.array([float(told)])).all()
        assert all(either.holds(np.array([z])).all() for z in inside(c if told else d))
    assert not a.nan[0] or signs.lo[0] <= 0 <= signs.hi[0]
    if a.lo[0] == a.hi[0] and b.lo[0] == b.hi[0] and not a.nan[0] and not b.nan[0]:
        assert (truth.lo[0], truth.hi[0]) == (min(seen), max(seen))  # known, where the numbers are


# -- fused kernels ---------------------------------------------------------------------------------


class Shortened(torch.optim.Adam):
    """A fused form that leaves the first coordinates where they are."""

    def step(self, closure: Any = None) -> Any:
        group = self.param_groups[0]
        (p,), whole, group["fused"] = group["params"], group["fused"], False
        kept = p.detach()[:16].clone() if whole else None
        super().step()
        if kept is not None:
            p.data[:16] = kept
        group["fused"] = whole


def test_a_fused_kernel_that_skips_coordinates_is_refuted() -> None:
    answer = kernels.fused(Subject("short", "user", Recipe(Shortened), "adam"), "cpu")
    assert (answer.verdict, answer.level) == (Verdict.REFUTED, Level.EXACT)
    assert "kernel has x = " in answer.reason and answer.witness is not None


@pytest.mark.parametrize("device", DEVICES)
def test_a_fused_kernel_that_is_right_stays_inside(device: str) -> None:
    answer = kernels.fused(builtin()["torch.optim:AdamW"], device)
    assert answer.verdict is Verdict.MEASURED and int(answer.reason.split()[0]) >= 6000


def test_what_has_no_fused_form_is_not_tried() -> None:
    for name in ("torch.optim:RAdam", "adamproof.optimizers:Adam", "torch.optim:Adam(foreach=True)"):
        assert kernels.fused(builtin()[name], "cpu").verdict is Verdict.NOT_APPLICABLE
