"""AdaBelief, AdaBound, AMSBound and SWATS: by hand, and one form against the other."""

import copy
import io
from collections.abc import Iterator
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from adamproof import optimizers as ours
from adamproof.optimizers import kernel
from adamproof.optimizers.swats import dot, projected_rate, summed, watched
from adamproof.proofs_check.build import Recipe
from adamproof.proofs_check.lift import lift
from adamproof.proofs_check.shadow import same
from adamproof.theory.faithful import paper_of
from adamproof.theory.rule import Rule, pruned
from adamproof.theory.rules_relatives import adabound

from .family import Rounded, needs_compiler

#: Class, options, the rule of the theory.
RULES: list[tuple[str, dict[str, Any], Rule]] = [
    ("AdaBelief", {}, paper_of("adabelief")),
    ("AdaBelief", {"eps_in_average": False}, paper_of("adabelief-eps-outside")),
    ("AdaBound", {}, paper_of("adabound")),
    ("AdaBound", {"schedule": "sqrt"}, paper_of("adabound-sqrt")),
    ("AMSBound", {}, paper_of("amsbound")),
    ("AMSBound", {"schedule": "sqrt"}, adabound(maximum=True, schedule="sqrt")),
]
#: Rates at which AdaBound meets both of its bounds, and AdaBelief's ε is seen.
NUMBERS: dict[str, dict[str, Any]] = {
    "AdaBelief": {"lr": 0.1, "eps": 1e-3, "betas": (0.8, 0.9)},
    "AdaBound": {"lr": 0.2, "final_lr": 0.3, "gamma": 0.3, "betas": (0.8, 0.9)},
    "AMSBound": {"lr": 0.2, "final_lr": 0.3, "gamma": 0.3, "betas": (0.8, 0.9)},
    "SWATS": {"lr": 0.1, "betas": (0.8, 0.9)},
}
COORDINATEWISE = [(name, options) for name, options, _ in RULES]
#: SWATS switches at the third step, at the second, and never.
EVERY = [*COORDINATEWISE, ("SWATS", {"tolerance": 5.0}), ("SWATS", {"tolerance": 1e6}),
         ("SWATS", {"tolerance": 0.0})]  # fmt: skip
DECAYS: list[dict[str, Any]] = [{}] + [
    {"weight_decay": 0.05, "decay": decay} for decay in ("l2", "coupled", "uncoupled")
]
each_coordinatewise = pytest.mark.parametrize(("name", "options"), COORDINATEWISE)
each = pytest.mark.parametrize(("name", "options"), EVERY)
each_decay = pytest.mark.parametrize("decay", DECAYS, ids=lambda d: d.get("decay", "none"))
each_form = pytest.mark.parametrize("form", ["", "Reference"], ids=["shipped", "reference"])
SHAPES = [(), (3,), (2, 35), (0,)]


def make(name: str, params: Any, **options: Any) -> Any:
    return getattr(ours, name)(params, **NUMBERS[name.replace("Reference", "")] | options)


def start(dtype: torch.dtype = torch.float64, seed: int = 0) -> list[Tensor]:
    noise = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=noise, dtype=dtype).requires_grad_() for s in SHAPES]


def gradients(params: list[Tensor], step: int) -> None:
    """Of all sizes, some of them zero; the second parameter comes later."""
    noise = torch.Generator().manual_seed(step)
    for i, p in enumerate(params):
        g = torch.randn(p.shape, generator=noise, dtype=torch.float64) * 10.0 ** (step % 4 - 2)
        g = torch.where(torch.rand(p.shape, generator=noise) < 0.2, 0.0, g)
        p.grad = None if i == 1 and step < 2 else g.to(p.dtype)


def run(optimizer: Any, steps: range) -> list[Tensor]:
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for step in steps:
        gradients(params, step)
        optimizer.step()
    return [p.detach().clone() for p in params]


def equal(a: Tensor, b: Tensor) -> bool:
    """Bit for bit, but for the sign of zero and what a NaN says."""
    return a.dtype == b.dtype and torch.equal(a.isnan(), b.isnan()) and torch.equal(
        a.nan_to_num(0.0), b.nan_to_num(0.0)
    )  # fmt: skip


# -- the rules of the theory ------------------------------------------------------------------------


@each_form
@pytest.mark.parametrize(("name", "options", "paper"), RULES)
def test_it_is_the_rule_of_the_theory(
    name: str, options: dict[str, Any], paper: Rule, form: str
) -> None:
    rule = pruned(lift(Recipe(getattr(ours, name + form), options)).rule)
    assert rule.initial == paper.initial
    for entry, formula in paper.transition().items():
        found = rule.transition()[entry]
        names = {s: t for s in found.free_symbols for t in formula.free_symbols
                 if s.name.rstrip("_") == t.name}  # fmt: skip
        assert same(found.xreplace(names), formula), entry


# -- one form and the other -------------------------------------------------------------------------


@each
@each_decay
@pytest.mark.parametrize("maximize", [False, True])
def test_shipped_is_reference(
    name: str, options: dict[str, Any], decay: dict[str, Any], maximize: bool
) -> None:
    outcome = []
    for form in ("", "Reference"):
        params = start()
        groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.05}]
        optimizer = make(name + form, groups, maximize=maximize, **options, **decay)
        run(optimizer, range(12))
        outcome.append((optimizer, params))
    (one, x), (other, y) = outcome
    for a, b in zip(x, y, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
        assert one.state[a].keys() == other.state[b].keys()
        for entry, value in one.state[a].items():
            torch.testing.assert_close(value, other.state[b][entry], rtol=1e-9, atol=1e-11)
    if name == "SWATS":
        for a, b in zip(one.param_groups, other.param_groups, strict=True):
            assert (a["rate"] is None) == (b["rate"] is None)
            assert a["steps"] == b["steps"] == 12
            assert a["average"] == pytest.approx(b["average"], rel=1e-9)


@each_coordinatewise
def test_maximizing_is_minimizing_the_other_sign(name: str, options: dict[str, Any]) -> None:
    x, y = start(), start()
    up = make(name, x, maximize=True, weight_decay=0.1, decay="coupled", **options)
    down = make(name, y, weight_decay=0.1, decay="coupled", **options)
    for step in range(3):
        gradients(x, step)
        gradients(y, step)
        for p in y:
            p.grad = None if p.grad is None else -p.grad
        up.step()
        down.step()
    assert all(map(torch.equal, x, y))


@pytest.fixture
def fresh() -> Iterator[None]:
    kernel.forget()
    yield
    kernel.forget()


@pytest.mark.usefixtures("fresh")
@needs_compiler
@each_coordinatewise
@each_decay
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_compiled_is_reference_bit_for_bit(
    name: str, options: dict[str, Any], decay: dict[str, Any], maximize: bool, dtype: torch.dtype
) -> None:
    x, y = start(dtype), start(dtype)
    both = options | decay | {"maximize": maximize}
    compiled, reference = make(name, x, compiled=True, **both), make(f"{name}Reference", y, **both)
    run(compiled, range(8))
    with Rounded():
        run(reference, range(8))
    assert kernel.build.cache_info().currsize > 0
    assert all(map(torch.equal, x, y))
    for p, q in zip(x, y, strict=True):
        for entry, value in compiled.state[p].items():
            assert torch.equal(value, reference.state[q][entry])


@needs_compiler
@each_coordinatewise
def test_infinities_and_nan_are_clipped_as_torch_does(name: str, options: dict[str, Any]) -> None:
    odd = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, 1.0, 1e-40, 3e38])
    outcome = []
    for form in (name, f"{name}Reference"):
        p = torch.ones(7, requires_grad=True)
        optimizer = make(form, [p], compiled=True, **options)
        for g in (odd, odd.flip(0)):
            p.grad = g.clone()
            with Rounded(), np.errstate(all="ignore"):
                optimizer.step()
            outcome.append(p.detach().clone())
            with torch.no_grad():  # 0 times an infinite parameter is NaN in the reference form only
                p[p.isinf()] = 1.0
    assert equal(outcome[0], outcome[2]) and equal(outcome[1], outcome[3])
    assert outcome[0].isnan()[0] and not outcome[1].isnan().all()


@each_coordinatewise
@each_decay
def test_with_the_step_on_its_device(name: str, options: dict[str, Any], decay: dict[str, Any]) -> None:
    """There t, the corrections and the bounds are tensors, of float32."""
    x, y = start(), start()
    run(make(name, x, capturable=True, **options, **decay), range(8))
    run(make(f"{name}Reference", y, **options, **decay), range(8))
    for a, b in zip(x, y, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@each
def test_every_dtype_follows_float64(name: str, options: dict[str, Any], dtype: torch.dtype) -> None:
    """10 steps of size 0.1 on numbers up to 1."""
    outcome, start = [], torch.linspace(-1, 1, 50).to(dtype)
    for kind, form in ((dtype, name), (torch.float64, f"{name}Reference")):
        p = start.clone().to(kind).requires_grad_()
        numbers = {"lr": 0.1, "eps": 1e-3} | ({"final_lr": 0.1} if "Bound" in name else {})
        optimizer = make(form, [p], **numbers, **options)
        for step in range(10):
            p.grad = torch.cos(torch.arange(50.0) + step).to(dtype).to(kind)
            optimizer.step()
        outcome.append(p.detach().double())
    off, way = (outcome[0] - outcome[1]).abs(), (outcome[1] - start.double()).abs()
    assert off.max().item() <= 32 * torch.finfo(dtype).eps * max(1.0, outcome[1].abs().max().item())
    assert off.max().item() < way.max().item() / 3


# -- checkpoints ------------------------------------------------------------------------------------


@each
@each_form
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("after", [1, 2, 5])
def test_a_checkpoint_goes_on_bit_for_bit(
    name: str, options: dict[str, Any], form: str, dtype: torch.dtype, after: int
) -> None:
    params = start(dtype)
    optimizer = make(name + form, params, **options)
    at = run(optimizer, range(after))
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    wanted = run(optimizer, range(after, 10))
    file.seek(0)
    copies = [x.clone().requires_grad_() for x in at]
    other = make(name + form, copies, lr=0.7)
    other.load_state_dict(torch.load(file))
    assert all(map(torch.equal, run(other, range(after, 10)), wanted))
    if name == "SWATS":
        numbers = [{n: g[n] for n in ("steps", "average", "rate")}
                   for g in (*optimizer.param_groups, *other.param_groups)]  # fmt: skip
        assert numbers[0] == numbers[1]


# -- AdaBelief --------------------------------------------------------------------------------------


@each_form
@pytest.mark.parametrize(("inside", "alpha"), [(True, 2.75), (False, 1.75)])
def test_first_step_of_adabelief(form: str, inside: bool, alpha: float) -> None:
    """m = 1, s = ¼ (2 - 1)² + ¾ or without it, m̂ = 2, ŝ = 4 or 1: the root and ε are 11/4 or 7/4."""
    p = torch.tensor([5.0], dtype=torch.float64, requires_grad=True)
    p.grad = torch.tensor([2.0], dtype=torch.float64)
    make_it = getattr(ours, f"AdaBelief{form}")
    optimizer = make_it([p], lr=alpha, betas=(0.5, 0.75), eps=0.75, eps_in_average=inside)
    optimizer.step()
    assert p.item() == 3.0
    assert optimizer.state[p]["exp_avg"].item() == 1.0
    assert optimizer.state[p]["exp_avg_var"].item() == (1.0 if inside else 0.25)


@pytest.mark.parametrize(("eps", "floor"), [(1e-16, 3.2e-7), (1e-8, 3.2e-3)])
def test_what_adabeliefs_eps_adds_up_to(eps: float, floor: float) -> None:
    """With a constant gradient and β1 = 0 the root is √(ε / (1 - β2)) at every step."""
    p = torch.zeros(1, requires_grad=True)
    optimizer = ours.AdaBelief([p], lr=1.0, betas=(0.0, 0.999), eps=eps)
    before = 0.0
    for _ in range(20):
        p.grad = torch.full((1,), 1e-3)
        optimizer.step()
        assert 1e-3 / (before - p.item()) == pytest.approx(floor, rel=0.02)
        before = p.item()


# -- AdaBound ---------------------------------------------------------------------------------------


@each_form
@pytest.mark.parametrize("name", ["AdaBound", "AMSBound"])
@pytest.mark.parametrize("schedule", ["constant", "sqrt"])
@pytest.mark.parametrize(("alpha", "rate"), [(1.0, 1.0), (4.0, 2.0), (0.125, 0.5), (0.0, 0.5)])
def test_first_step_of_adabound(name: str, form: str, schedule: str, alpha: float, rate: float) -> None:
    """m = v = 1, and the rate of Adam is α; at α* = γ = t = 1 the bounds are ½ and 2."""
    p = torch.tensor([5.0], dtype=torch.float64, requires_grad=True)
    p.grad = torch.tensor([2.0], dtype=torch.float64)
    optimizer = getattr(ours, name + form)(
        [p], lr=alpha, betas=(0.5, 0.75), final_lr=1.0, gamma=1.0, eps=0.0, schedule=schedule
    )
    optimizer.step()
    assert p.item() == 5.0 - rate


@each_form
@pytest.mark.parametrize(("name", "v"), [("AdaBound", 0.75), ("AMSBound", 1.0)])
@pytest.mark.parametrize("schedule", ["constant", "sqrt"])
def test_second_step_of_adabound(name: str, v: float, form: str, schedule: str) -> None:
    """After g = 2 and 0, m = ½; v has forgotten a quarter, its maximum nothing."""
    p = torch.tensor([5.0], dtype=torch.float64, requires_grad=True)
    optimizer = getattr(ours, name + form)(
        [p], lr=1.0, betas=(0.5, 0.75), final_lr=1.0, gamma=0.5, eps=0.25, schedule=schedule
    )
    for g in (2.0, 0.0):
        before = p.item()
        p.grad = torch.tensor([g], dtype=torch.float64)
        optimizer.step()
    rate = v**-0.5 if schedule == "sqrt" else (7 / 16) ** 0.5 / 0.75 / (v**0.5 + 0.25)
    assert 0.5 < rate < 2.0  # the bounds
    wanted = rate / 2**0.5 if schedule == "sqrt" else rate
    assert (before - p.item()) / 0.5 == pytest.approx(wanted, rel=1e-12)


@each_form
@pytest.mark.parametrize("name", ["AdaBound", "AMSBound"])
@pytest.mark.parametrize("schedule", ["constant", "sqrt"])
def test_the_bounds_hold_at_every_step(name: str, form: str, schedule: str) -> None:
    """The rate, read off the step, is in them; both are met, and there are rates between them."""
    p = torch.zeros(200, dtype=torch.float64, requires_grad=True)
    sizes = torch.logspace(-3, 3, 200, dtype=torch.float64)
    noise = torch.Generator().manual_seed(0)
    final, gamma = 0.3, 0.05
    optimizer = getattr(ours, name + form)(
        [p], lr=0.3, final_lr=final, gamma=gamma, betas=(0.8, 0.99), schedule=schedule
    )
    for t in range(1, 40):
        before = p.detach().clone()
        p.grad = sizes * torch.randn(200, generator=noise, dtype=torch.float64)
        optimizer.step()
        rates = (before - p.detach()) / optimizer.state[p]["exp_avg"]
        rates = rates * (t**0.5 if schedule == "sqrt" else 1)
        lower, upper = final * (1 - 1 / (gamma * t + 1)), final * (1 + 1 / (gamma * t))
        slack = 1e-15 * before.abs() / optimizer.state[p]["exp_avg"].abs() * 10 + 1e-12
        assert (rates >= lower - slack).all()
        assert (rates <= upper + slack).all()
        assert ((rates - lower).abs() <= slack).any()
        assert ((rates - upper).abs() <= slack).any()
        assert ((rates > lower + slack) & (rates < upper - slack)).any()


@pytest.mark.parametrize("cls", [ours.AdaBound, ours.AMSBound, ours.AdaBoundReference])
@pytest.mark.parametrize("gamma", [0, 0.0, -1.0, float("nan"), float("inf"), "fast"])
def test_gamma_is_above_zero(cls: Any, gamma: Any) -> None:
    p = torch.ones(1, requires_grad=True)
    with pytest.raises(ValueError, match="gamma must be a number in"):
        cls([p], gamma=gamma)
    optimizer = cls([p], gamma=1e-300)
    with pytest.raises(ValueError, match="gamma"):
        optimizer.add_param_group({"params": [torch.ones(1)], "gamma": gamma})


def test_the_bounds_do_not_follow_the_learning_rate() -> None:
    """In the authors' code they would; here final_lr is a number of its own."""
    outcome = []
    for lr in (1e-8, 1.0):
        p = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        optimizer = ours.AdaBound([p], lr=lr, final_lr=0.5, gamma=1e12)
        for _ in range(3):
            p.grad = torch.ones(1, dtype=torch.float64)
            optimizer.step()
        outcome.append(p.item())
    assert outcome[0] == pytest.approx(outcome[1], rel=1e-9)


@needs_compiler
def test_a_rule_may_clamp() -> None:
    class Clipped(ours.SGD):
        def _rule(self, x: Any, g: Any, t: Any, state: Any, h: Any) -> Any:
            return x - h["lr"] * g.clamp(-h["lr"], h["lr"] * t), {}

    p = torch.zeros(5, requires_grad=True)
    p.grad = torch.tensor([-2.0, -0.25, 0.25, 2.0, float("nan")])
    Clipped([p], lr=0.5, compiled=True).step()
    wanted = torch.tensor([0.25, 0.125, -0.125, -0.25, float("nan")])
    torch.testing.assert_close(p.detach(), wanted, rtol=0, atol=0, equal_nan=True)


# -- SWATS ------------------------------------------------------------------------------------------


fraction = st.fractions(-8, 8, max_denominator=16)


@given(p=st.lists(fraction, min_size=1, max_size=4), g=st.lists(fraction, min_size=4, max_size=4))
def test_the_projected_rate_leaves_what_is_orthogonal(p: list[Fraction], g: list[Fraction]) -> None:
    """The step -γ g, less p, is orthogonal to p, for this γ and no other: exactly."""
    pp: Any = sum(i * i for i in p)
    pg: Any = sum(i * j for i, j in zip(p, g, strict=False))
    rate: Any = projected_rate(pp, pg)
    if pg == 0:
        assert rate is None
        return
    for off in (Fraction(0), Fraction(1, 7)):
        left = sum(i * (-(rate + off) * j - i) for i, j in zip(p, g, strict=False))
        assert (left == 0) == (off == 0)
    assert (rate > 0) == (pg < 0)


def test_products_of_small_numbers_do_not_vanish() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        tiny = torch.full((2, 3), torch.finfo(dtype).smallest_normal, dtype=dtype)
        assert dot(tiny, tiny).item() == 6 * float(torch.finfo(dtype).smallest_normal) ** 2 > 0
    one, two = torch.tensor(1.0, dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64)
    assert summed([(one, two), (two, -one)]) == [3.0, 1.0]


def test_what_is_watched() -> None:
    half: Any = {"beta2": 0.5, "tolerance": 0.25}
    assert watched(None, 7, 3.0, **half) == (3.0, None)  # p·g = 0: as it was
    assert watched(2.0, 1, 0.0, **half) == (1.0, None)  # λ̂ = γ, but it is the first step
    assert watched(2.0, 2, 1.0, **half) == (1.5, 2.0)
    assert watched(3.0, 2, 1.0, **half) == (2.0, None)  # λ̂ = 8/3
    assert watched(-2.0, 2, -1.0, **half) == (-1.5, -2.0)
    assert watched(-2.0, 2, -1.0, **half, positive=True) == (-1.5, None)
    assert watched(2.0, 2, 1.0, beta2=0.5, tolerance=0.0) == (1.5, None)
    for odd in (float("inf"), float("nan")):
        average, rate = watched(odd, 2, 1.0, **half)
        assert watched(1.0, 3, average, **half)[1] is rate is None


def told(
    curvature: list[Any], x: list[Any], steps: int, alpha: Any, beta1: Any, beta2: Any, eps: Any,
    tolerance: Any, root: Any,
) -> tuple[list[list[Any]], Any, int | None]:  # fmt: skip
    """Algorithm 1 on ½ Σ c x², written down anew: the positions, Λ, and the step of the switch."""
    x, n = list(x), range(len(x))
    m, a, v, average, rate, at = [0 * x[0]] * len(x), [0 * x[0]] * len(x), None, 0 * x[0], None, None
    seen = []
    for k in range(1, steps + 1):
        g = [curvature[i] * x[i] for i in n]
        if rate is not None:
            v = [beta1 * v[i] + g[i] if v else g[i] for i in n]
            x = [x[i] - (1 - beta1) * rate * v[i] for i in n]
        else:
            m = [beta1 * m[i] + (1 - beta1) * g[i] for i in n]
            a = [beta2 * a[i] + (1 - beta2) * g[i] * g[i] for i in n]
            size = alpha * root(1 - beta2**k) / (1 - beta1**k)
            p = [-size * m[i] / (root(a[i]) + eps) for i in n]
            x = [x[i] + p[i] for i in n]
            pg = sum(p[i] * g[i] for i in n)
            if pg != 0:
                gamma = sum(p[i] * p[i] for i in n) / -pg
                average = beta2 * average + (1 - beta2) * gamma
                if k > 1 and abs(average / (1 - beta2**k) - gamma) < tolerance:
                    rate, at = average / (1 - beta2**k), k
        seen.append(list(x))
    return seen, rate, at


def on_the_quadratic(
    optimizer: Any, params: list[Tensor], curvature: list[Any], steps: int
) -> tuple[list[list[float]], int | None]:
    seen, at = [], None
    for k in range(1, steps + 1):
        first = 0
        for p in params:
            there = [float(c) for c in curvature[first : first + p.numel()]]
            p.grad = torch.tensor(there, dtype=p.dtype).reshape(p.shape) * p.detach()
            first += p.numel()
        optimizer.step()
        at = at or (k if optimizer.param_groups[0]["rate"] is not None else None)
        seen.append([float(i) for p in params for i in p.detach().flatten()])
    return seen, at


def split(x: list[float]) -> list[Tensor]:
    """One vector, in two tensors."""
    return [torch.tensor(part, dtype=torch.float64, requires_grad=True) for part in (x[:1], x[1:])]


@each_form
@pytest.mark.parametrize(
    ("alpha", "beta2", "tolerance", "at"),
    [("0.05", "0.9", "0.01", 2), ("0.05", "0.5", "0.0001", 46), ("0.2", "0.9", "0.003", 52)],
)
def test_swats_on_a_quadratic(form: str, alpha: str, beta2: str, tolerance: str, at: int) -> None:
    """Against 50 digits: the same step of the switch, the same Λ, the same way on."""
    curvature, x = ["1", "0.5", "2"], [3.0, -2.0, 1.5]
    with localcontext(prec=50):
        wanted, rate, switch = told([Decimal(c) for c in curvature], [Decimal(i) for i in x], 80,
                                    Decimal(alpha), Decimal("0.5"), Decimal(beta2), Decimal("1e-9"),
                                    Decimal(tolerance), lambda a: a.sqrt())  # fmt: skip
    assert switch == at
    params = split(x)
    optimizer = getattr(ours, f"SWATS{form}")(
        params, lr=float(alpha), betas=(0.5, float(beta2)), tolerance=float(tolerance)
    )
    seen, switched = on_the_quadratic(optimizer, params, curvature, 80)
    assert switched == at
    assert optimizer.param_groups[0]["rate"] == pytest.approx(float(rate), rel=1e-9)
    for real, exact in zip(seen, wanted, strict=True):
        assert real == pytest.approx([float(i) for i in exact], rel=1e-8, abs=1e-10)


@each_form
def test_swats_in_fractions(form: str) -> None:
    """With β2 = 0 the root of a is |g|, and γ is its own average: it switches at the second step."""

    def root(a: Fraction) -> Fraction:
        n, d = round(a.numerator**0.5), round(a.denominator**0.5)
        assert n * n == a.numerator and d * d == a.denominator
        return Fraction(n, d)

    curvature, x = [Fraction(1), Fraction(1, 2), Fraction(2)], [3.0, -2.0, 1.5]
    wanted, rate, at = told(curvature, [Fraction(i) for i in x], 5, Fraction(1, 8), Fraction(1, 2),
                            Fraction(0), Fraction(1, 4), Fraction(1, 10**9), root)  # fmt: skip
    assert at == 2
    params = split(x)
    optimizer = getattr(ours, f"SWATS{form}")(params, lr=0.125, betas=(0.5, 0.0), eps=0.25)
    seen, switched = on_the_quadratic(optimizer, params, curvature, 5)
    assert switched == 2
    assert optimizer.param_groups[0]["rate"] == pytest.approx(float(rate), rel=1e-15)
    for real, exact in zip(seen, wanted, strict=True):
        assert real == pytest.approx([float(i) for i in exact], rel=1e-14)


@each_form
def test_swats_is_adam_and_then_momentum(form: str) -> None:
    x, y = start(), start()
    adam = ours.Adam(y, lr=0.1, betas=(0.8, 0.9), eps=1e-9, eps_beside="raw")
    optimizer = make(f"SWATS{form}", x, tolerance=3.0)
    k = 0
    while optimizer.param_groups[0]["rate"] is None:
        run(optimizer, range(k, k + 1))
        run(adam, range(k, k + 1))
        k += 1
    assert k == 27
    assert all(optimizer.state[p].keys() == {"step", "momentum_buffer"} for p in x)
    assert all(optimizer.state[p]["momentum_buffer"].abs().sum() == 0 for p in x)
    rate = optimizer.param_groups[0]["rate"]
    sgd = ours.SGD(y, lr=(1 - 0.8) * rate, momentum=0.8)
    optimizer.param_groups[0]["lr"] = 1e9  # not read any more
    run(optimizer, range(k, k + 5))
    run(sgd, range(k, k + 5))
    for a, b in zip(x, y, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert optimizer.param_groups[0]["rate"] == rate
    assert optimizer.param_groups[0]["steps"] == k + 5


@each_form
def test_the_vector_is_the_group(form: str) -> None:
    """At β1 = β2 = 0 a step is -α sign(g): γ = α n / Σ |g|, over all of the group's n coordinates."""
    g = [[1.0], [2.0, -3.0], [10.0]]
    params = [torch.zeros(len(part), dtype=torch.float64, requires_grad=True) for part in g]
    groups = [{"params": params[:2]}, {"params": params[2:]}]
    optimizer = getattr(ours, f"SWATS{form}")(groups, lr=0.5, betas=(0.0, 0.0), eps=0.0)
    for k in (1, 2):
        assert [group["rate"] for group in optimizer.param_groups] == [None, None]
        for p, part in zip(params, g, strict=True):
            p.grad = torch.tensor(part, dtype=torch.float64) * k
        optimizer.step()
    one, other = (group["rate"] for group in optimizer.param_groups)
    assert one == pytest.approx(0.5 * 3 / (2 * 6), rel=1e-15)
    assert other == pytest.approx(0.5 / 20, rel=1e-15)


@each_form
def test_a_step_uphill(form: str) -> None:
    """g = 4, -1: m is still above 0 at the second step, and γ below."""
    outcome = []
    for positive in (True, False):
        p = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        optimizer = getattr(ours, f"SWATS{form}")(
            [p], lr=0.75, betas=(0.5, 0.0), eps=0.0, positive=positive
        )
        rates = []
        for g in (4.0, -1.0, -1.0):
            p.grad = torch.tensor([g], dtype=torch.float64)
            optimizer.step()
            rates.append(optimizer.param_groups[0]["rate"])
        outcome.append(rates)
    # p = -¾ m̂ / |g|, γ = -p/g: m̂ = ½ / ¾ and then -¼ / (7/8)
    third = 0.75 * 0.25 / 0.875
    assert outcome[0] == [None, None, pytest.approx(third, rel=1e-15)]
    assert outcome[1] == [None, pytest.approx(-0.5, rel=1e-15), outcome[1][1]]


@each_form
def test_orthogonal_steps_count_but_do_not_tell(form: str) -> None:
    p = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = getattr(ours, f"SWATS{form}")([p], betas=(0.9, 0.9))
    for _ in range(3):
        p.grad = torch.zeros(2, dtype=torch.float64)
        optimizer.step()
    group = optimizer.param_groups[0]
    assert (group["steps"], group["average"], group["rate"]) == (3, 0.0, None)
    optimizer.zero_grad()
    optimizer.step()
    assert group["steps"] == 3  # nothing had a gradient


@each_form
def test_the_phase_survives_a_checkpoint(form: str) -> None:
    params = start()
    optimizer = make(f"SWATS{form}", params, tolerance=1e6)
    run(optimizer, range(2))
    rate = optimizer.param_groups[0]["rate"]
    assert rate is not None
    saved = copy.deepcopy(optimizer.state_dict())
    other = make("SWATS", start())
    assert other.param_groups[0]["rate"] is None
    other.load_state_dict(saved)
    assert other.param_groups[0]["rate"] == rate
    run(other, range(2, 3))
    assert "exp_avg" not in other.state[other.param_groups[0]["params"][0]]
    saved["param_groups"][0]["rate"] = float("nan")
    with pytest.raises(ValueError, match="rate must be"):
        other.load_state_dict(saved)
    assert other.param_groups[0]["rate"] == rate
    del saved["state"][0]["momentum_buffer"]
    saved["param_groups"][0]["rate"] = rate
    with pytest.raises(ValueError, match="momentum_buffer"):
        other.load_state_dict(saved)


@each_form
def test_a_parameter_that_comes_after_the_switch(form: str) -> None:
    params = [torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)]
    optimizer = make(f"SWATS{form}", params, tolerance=1e6)
    for _ in range(2):
        params[0].grad = torch.ones(1)
        optimizer.step()
    assert params[1] not in optimizer.state
    params[1].grad = torch.ones(1)
    optimizer.step()
    group = optimizer.param_groups[0]
    assert params[1].item() == pytest.approx(1 - (1 - 0.8) * group["rate"])
    assert optimizer.state[params[1]]["step"].item() == 1
    assert group["steps"] == 3


@pytest.mark.parametrize("way", ["compiled", "capturable", "differentiable"])
@pytest.mark.parametrize("cls", [ours.SWATS, ours.SWATSReference])
def test_what_swats_refuses_is_told(cls: Any, way: str) -> None:
    p = torch.ones(1, requires_grad=True)
    with pytest.raises(ValueError, match=f"{cls.__name__} multiplies .* must be False\\.") as refused:
        cls([p], **{way: True})
    assert "\n" not in str(refused.value)


def test_swats_refuses_parts_of_tensors() -> None:
    class Part(torch.nn.Parameter):
        def to_local(self) -> Tensor:
            return self.data

    p, part = torch.ones(1, requires_grad=True), Part(torch.ones(1))
    optimizer = ours.SWATS([p, part])
    p.grad, part.grad = torch.ones(1), torch.ones(1)
    with pytest.raises(TypeError, match="DTensor has a part"):
        optimizer.step()
    assert p.item() == 1.0 and not optimizer.state
    part.grad, p.grad = None, torch.ones(1).to_sparse()
    with pytest.raises(TypeError, match="dense"):
        optimizer.step()


def test_complex_parameters_are_pairs() -> None:
    z = torch.tensor([1 + 2j, -3j], dtype=torch.complex128, requires_grad=True)
    x = torch.view_as_real(z.detach()).clone().requires_grad_()
    one, other = make("SWATS", [z], tolerance=0.5), make("SWATS", [x], tolerance=0.5)
    for step in range(8):
        x.grad = torch.cos(torch.arange(4.0, dtype=torch.float64) + step).reshape(2, 2)
        z.grad = torch.view_as_complex(x.grad)
        one.step()
        other.step()
        assert one.param_groups[0]["average"] == other.param_groups[0]["average"]
        assert one.param_groups[0]["rate"] == other.param_groups[0]["rate"]
    assert torch.equal(torch.view_as_real(z.detach()), x.detach())
