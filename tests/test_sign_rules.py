"""Sign descent, Lion, Adamax and Adadelta: steps by hand, what torch does, what they share."""

import copy
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch
from torch import Tensor

from adamproof import optimizers as ours
from adamproof.proofs_check.build import Recipe
from adamproof.proofs_check.lift import lift

from .family import COMPILER, Rounded, needs_compiler

DECAYS = ["l2", "coupled", "uncoupled"]
RULES: dict[str, tuple[Any, dict[str, Any]]] = {
    "SignSGD": (ours.SignSGD, {}),
    "Signum": (ours.SignSGD, {"momentum": 0.9}),
    "Lion": (ours.Lion, {}),
    "Adamax": (ours.Adamax, {}),
    "Adadelta": (ours.Adadelta, {}),
}
TWINS: dict[str, Any] = {"Adamax": torch.optim.Adamax, "Adadelta": torch.optim.Adadelta}
each_rule = pytest.mark.parametrize("rule", RULES)
each_twin = pytest.mark.parametrize("rule", TWINS)
each_decay = pytest.mark.parametrize("decay", DECAYS)
each_form = pytest.mark.parametrize(
    "form", ["shipped", "reference", pytest.param("compiled", marks=needs_compiler)]
)


def build(form: str, cls: Any, params: list[Tensor], **arguments: Any) -> Any:
    if form == "reference":
        return getattr(ours, f"{cls.__name__}Reference")(params, **arguments)
    return cls(params, compiled=form == "compiled", **arguments)


def parameter(*numbers: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(numbers, dtype=dtype, requires_grad=True)


def walk(
    form: str, cls: Any, start: float, gradients: list[float], **arguments: Any
) -> list[dict[str, float]]:
    """The coordinate and its state after each step."""
    p = parameter(start)
    optimizer = build(form, cls, [p], **arguments)
    seen = []
    for g in gradients:
        p.grad = torch.full_like(p, g)
        optimizer.step()
        state = {name: value.item() for name, value in optimizer.state[p].items()}
        seen.append({"x": p.item()} | state)
    return seen


# -- by hand ---------------------------------------------------------------------------------------


@each_form
def test_sign_descent_by_hand(form: str) -> None:
    assert walk(form, ours.SignSGD, 1.0, [4.0, -1.0, 0.0], lr=0.25) == [
        {"x": 0.75, "step": 1},
        {"x": 1.0, "step": 2},
        {"x": 1.0, "step": 3},
    ]


@each_form
def test_signum_by_hand(form: str) -> None:
    """m = 4/2, then m = 2/2 - 1/2: the average is still positive where the gradient is not."""
    assert walk(form, ours.SignSGD, 1.0, [4.0, -1.0], lr=0.25, momentum=0.5) == [
        {"x": 0.75, "momentum_buffer": 2.0, "step": 1},
        {"x": 0.5, "momentum_buffer": 0.5, "step": 2},
    ]


@each_form
def test_lion_by_hand(form: str) -> None:
    """c = 4/2, then c = 1/2 - 3/4, and m = 4/4, then m = 3/4 - 3/8: one is negative, one is not."""
    assert walk(form, ours.Lion, 1.0, [4.0, -1.5], lr=0.25, betas=(0.5, 0.75)) == [
        {"x": 0.75, "exp_avg": 1.0, "step": 1},
        {"x": 1.0, "exp_avg": 0.375, "step": 2},
    ]


@each_form
def test_adamax_by_hand(form: str) -> None:
    """u = |7/4| + 1/4, then u = 2/2, larger than 1/4 + 1/4; the rates are 3 / (1/2) and 3 / (3/4)."""
    assert walk(form, ours.Adamax, 0.0, [1.75, 0.25], lr=3.0, betas=(0.5, 0.5), eps=0.25) == [
        {"x": -6 * 0.875 / 2, "exp_avg": 0.875, "exp_inf": 2.0, "step": 1},
        {"x": -2.625 - 4 * 0.5625 / 1, "exp_avg": 0.5625, "exp_inf": 1.0, "step": 2},
    ]


@each_form
def test_adadelta_by_hand(form: str) -> None:
    """v = 16/4, then v = 3 + 4/4, so that √(v + 9/4) = 5/2 both times; d = 3/2 / (5/2) · 4 at first."""
    first, second = walk(form, ours.Adadelta, 0.0, [4.0, -2.0], lr=0.5, rho=0.75, eps=2.25)
    assert first == pytest.approx(
        {"x": -1.2, "square_avg": 4.0, "acc_delta": 1.44, "step": 1}, rel=1e-15
    )
    d = -2 * 3.69**0.5 / 2.5  # from w + ε = 1.44 + 2.25
    w = 0.75 * 1.44 + 0.25 * 0.64 * 3.69
    assert second == pytest.approx(
        {"x": -1.2 - 0.5 * d, "square_avg": 4.0, "acc_delta": w, "step": 2}, rel=1e-15
    )


@each_form
@each_rule
def test_decay_outside_the_gradient_by_hand(rule: str, form: str) -> None:
    """From x = 1 with g = 0, α = 1/4 and λ = 1/2."""
    cls, options = RULES[rule]
    for decay, expected in (("coupled", 0.875), ("uncoupled", 0.5)):
        options = options | {"lr": 0.25, "weight_decay": 0.5, "decay": decay}
        assert walk(form, cls, 1.0, [0.0], **options)[0]["x"] == expected


@each_form
def test_l2_by_hand(form: str) -> None:
    """From x = 2 with g = 0 and λ = 1/4, the gradient is 1/2."""
    l2 = {"lr": 0.25, "weight_decay": 0.25, "decay": "l2"}
    assert walk(form, ours.SignSGD, 2.0, [0.0], **l2)[0]["x"] == 1.75
    lion = walk(form, ours.Lion, 2.0, [0.0], betas=(0.5, 0.75), **l2)[0]
    assert lion == {"x": 1.75, "exp_avg": 0.125, "step": 1}
    adamax = walk(form, ours.Adamax, 2.0, [0.0], betas=(0.5, 0.5), eps=0.5, **l2)[0]
    assert adamax == {"x": 2 - 0.25 / 0.5 * 0.25 / 1.0, "exp_avg": 0.25, "exp_inf": 1.0, "step": 1}
    adadelta = walk(form, ours.Adadelta, 2.0, [0.0], rho=0.0, eps=0.75, **l2)[0]
    assert adadelta["square_avg"] == 0.25
    assert adadelta["x"] == pytest.approx(2 - 0.25 * 0.75**0.5 * 0.5, rel=1e-15)


def test_lion_decays_outside_the_gradient_by_default() -> None:
    p = parameter(1.0)
    for cls, decay in (
        (ours.Lion, "coupled"),
        (ours.SignSGD, "l2"),
        (ours.Adamax, "l2"),
        (ours.Adadelta, "l2"),
    ):
        assert cls([p]).defaults["decay"] == decay


# -- what a first step is, and what a zero gradient does -------------------------------------------


@each_form
@pytest.mark.parametrize("rule", ["SignSGD", "Signum", "Lion"])
def test_the_first_step_has_the_length_of_the_rate(rule: str, form: str) -> None:
    cls, options = RULES[rule]
    for scale in (1e-300, 1e-3, 1.0, 1e300):
        p = parameter(0.0, 0.0, 0.0, 0.0)
        optimizer = build(form, cls, [p], lr=0.125, **options)
        p.grad = torch.tensor([3.0, -0.5, 0.0, -0.0], dtype=torch.float64) * scale
        optimizer.step()
        assert p.tolist() == [-0.125, 0.125, 0.0, 0.0]


@each_form
def test_the_first_step_of_adamax(form: str) -> None:
    """α g / (|g| + ε): the length of the rate, where ε is small beside the gradient."""
    p = parameter(0.0, 0.0, 0.0)
    optimizer = build(form, ours.Adamax, [p], lr=0.125, eps=1e-6)
    p.grad = torch.tensor([3.0, -0.5, 1e-6], dtype=torch.float64)
    optimizer.step()
    assert p.tolist() == pytest.approx([-0.125 * 3 / (3 + 1e-6), 0.125 * 0.5 / (0.5 + 1e-6), -0.0625])


@each_form
def test_the_first_step_of_adadelta_is_set_off_by_eps(form: str) -> None:
    """√ε g / √((1 - ρ) g² + ε): at most √(ε / (1 - ρ)), however large the gradient is."""
    bound = (1e-6 / 0.1) ** 0.5
    p = parameter(0.0, 0.0, 0.0)
    optimizer = build(form, ours.Adadelta, [p], rho=0.9, eps=1e-6)
    p.grad = torch.tensor([1e9, -1e-2, 0.0], dtype=torch.float64)
    optimizer.step()
    assert p.tolist() == pytest.approx([-bound, 1e-5 / (0.1 * 1e-4 + 1e-6) ** 0.5, 0.0], rel=1e-9)
    still = parameter(1.0)
    optimizer = build(form, ours.Adadelta, [still], eps=0.0)
    still.grad = torch.ones_like(still)
    for _ in range(3):
        optimizer.step()
    assert still.item() == 1.0


@each_form
@each_rule
def test_zero_gradients_from_the_start_change_nothing(rule: str, form: str) -> None:
    cls, options = RULES[rule]
    assert [s["x"] for s in walk(form, cls, 1.0, [0.0, 0.0, 0.0], **options)] == [1.0, 1.0, 1.0]


@each_form
@each_rule
def test_after_a_gradient_of_zero_only_averages_move(rule: str, form: str) -> None:
    cls, options = RULES[rule]
    _, before, after = walk(form, cls, 1.0, [1.0, 1.0, 0.0], **options)
    assert (before["x"] == after["x"]) == (rule in ("SignSGD", "Adadelta"))


@each_form
@pytest.mark.parametrize("cls", [ours.Adamax, ours.Adadelta])
def test_without_eps_a_zero_gradient_is_a_nan(cls: Any, form: str) -> None:
    assert np.isnan(walk(form, cls, 1.0, [0.0], eps=0.0)[0]["x"])


@pytest.mark.parametrize("cls", [ours.Adamax, torch.optim.Adamax])
def test_the_eps_of_adamax_is_zero_in_float16(cls: Any) -> None:
    p = parameter(1.0, dtype=torch.float16)
    p.grad = torch.zeros_like(p)
    cls([p]).step()
    assert p.isnan()


# -- numbers that are none -------------------------------------------------------------------------


@each_form
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("rule", ["SignSGD", "Signum", "Lion"])
def test_a_nan_has_no_sign(rule: str, form: str, dtype: torch.dtype) -> None:
    """In lists, in single tensors and in C alike; an infinity is a step as any other."""
    cls, options = RULES[rule]
    size = 33  # vectors, and what is left over
    p = torch.ones(3 * size, dtype=dtype, requires_grad=True)
    optimizer = build(form, cls, [p], lr=0.25, **options)
    numbers = [float("nan"), float("inf"), -float("inf")]
    p.grad = torch.tensor(numbers, dtype=dtype).repeat(size)
    optimizer.step()
    assert p.tolist() == [1.0, 0.75, 1.25] * size
    p.grad = torch.ones_like(p)
    optimizer.step()
    first = 0.75 if rule == "SignSGD" else 1.0  # what is averaged stays NaN
    last = 1.0 if rule == "SignSGD" else 1.5
    assert p.tolist() == [first, 0.5, last] * size


@each_form
@each_twin
def test_a_nan_reaches_the_others(rule: str, form: str) -> None:
    cls, options = RULES[rule]
    assert np.isnan(walk(form, cls, 1.0, [1.0, float("nan")], **options)[1]["x"])


# -- the forms are one rule ------------------------------------------------------------------------


def run(make: Any, dtype: torch.dtype = torch.float64, **arguments: Any) -> list[Tensor]:
    """Parameters and states after some steps; the second parameter misses the first three."""
    noise = torch.Generator().manual_seed(5)

    def draw(shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=noise, dtype=torch.float64).to(dtype)

    params = [draw(shape).requires_grad_() for shape in [(257,), (3, 5), (), (0,)]]
    optimizer = make(params, **arguments)
    for step in range(7):
        for i, p in enumerate(params):
            p.grad = None if i == 1 and step < 3 else 10.0 ** (step % 3 - 1) * draw(p.shape)
        optimizer.step()
    states = [optimizer.state[p] for p in params]
    return [p.detach() for p in params] + [s[name] for s in states for name in sorted(s)]


def numbers(rule: str) -> dict[str, Any]:
    return {"eps": 1e-3} if rule in TWINS else {}


@each_rule
@each_decay
@pytest.mark.parametrize("weight_decay", [0.0, 0.125])
@pytest.mark.parametrize("maximize", [False, True])
def test_shipped_is_reference(rule: str, decay: str, weight_decay: float, maximize: bool) -> None:
    cls, options = RULES[rule]
    arguments = numbers(rule) | options | {"lr": 0.03, "weight_decay": weight_decay, "decay": decay}
    shipped = run(cls, maximize=maximize, **arguments)
    reference = run(getattr(ours, f"{cls.__name__}Reference"), maximize=maximize, **arguments)
    for a, b in zip(shipped, reference, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@needs_compiler
@each_rule
@each_decay
@pytest.mark.parametrize("weight_decay", [0.0, 0.125])
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_compiled_is_reference_bit_for_bit(
    rule: str, decay: str, weight_decay: float, maximize: bool, dtype: torch.dtype
) -> None:
    cls, options = RULES[rule]
    arguments = numbers(rule) | options | {"weight_decay": weight_decay, "decay": decay}
    compiled = run(cls, dtype, compiled=True, maximize=maximize, **arguments)
    with Rounded():
        reference = run(getattr(ours, f"{cls.__name__}Reference"), dtype, maximize=maximize, **arguments)
    assert all(map(torch.equal, compiled, reference))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("rule", ["Signum", "Lion"])
def test_where_gradients_cancel_the_signs_agree(rule: str, dtype: torch.dtype) -> None:
    """Second gradients that leave nothing but a rounding error of the average, or exactly 0."""
    cls, options = RULES[rule]
    noise = torch.Generator().manual_seed(3)
    first = torch.randn(4000, generator=noise, dtype=dtype)
    outcome = []
    for form in ["shipped", "reference", *(["compiled"] if COMPILER else [])]:
        p = torch.zeros(4000, dtype=dtype, requires_grad=True)
        optimizer = build(form, cls, [p], lr=1.0, **options)
        p.grad = first
        optimizer.step()
        (kept,) = (s for name, s in optimizer.state[p].items() if name != "step")
        p.grad = -0.9 * kept / (1 - 0.9)
        optimizer.step()
        outcome.append(p.detach())
    assert all(torch.equal(outcome[0], other) for other in outcome)
    assert {-2.0, -1.0, 0.0, 1.0, 2.0} >= set(outcome[0].tolist()) >= {-1.0, 1.0}


@pytest.mark.parametrize("form", ["shipped", "reference"])
@each_decay
def test_lion_with_one_average_is_signum(form: str, decay: str) -> None:
    same = {"lr": 0.25, "weight_decay": 0.125, "decay": decay}
    make = [
        getattr(ours, name if form == "shipped" else f"{name}Reference") for name in ("Lion", "SignSGD")
    ]
    a, b = run(make[0], betas=(0.75, 0.75), **same), run(make[1], momentum=0.75, **same)
    assert all(map(torch.equal, a, b))


@each_rule
@each_decay
@pytest.mark.parametrize("weight_decay", [0.0, 0.125])
def test_both_forms_lift_to_one_formula(rule: str, decay: str, weight_decay: float) -> None:
    cls, options = RULES[rule]
    options = options | {"weight_decay": weight_decay, "decay": decay}
    shipped = lift(Recipe(cls, options)).rule.transition()
    reference = lift(Recipe(getattr(ours, f"{cls.__name__}Reference"), options)).rule.transition()
    assert shipped.keys() == reference.keys()
    for name, formula in shipped.items():
        assert sp.simplify(formula - reference[name]) == 0


# -- torch -----------------------------------------------------------------------------------------


@each_twin
@pytest.mark.parametrize("weight_decay", [0.0, 0.125])
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("foreach", [False, True])
def test_shipped_is_torch(rule: str, weight_decay: float, maximize: bool, foreach: bool) -> None:
    cls, options = RULES[rule]
    arguments = {"weight_decay": weight_decay, "maximize": maximize, "lr": 0.3, **options}
    theirs = run(TWINS[rule], foreach=foreach, **arguments)
    for a, b in zip(run(cls, **arguments), theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)


@each_twin
def test_the_defaults_are_those_of_torch(rule: str) -> None:
    a, b = RULES[rule][0]([parameter(1.0)]).defaults, TWINS[rule]([parameter(1.0)]).defaults
    assert {n: a[n] for n in a.keys() & b.keys()} == {n: b[n] for n in a.keys() & b.keys()}
    assert {"lr", "eps", "weight_decay"} < a.keys() & b.keys()


def resumed(optimizer: Any, steps: range) -> list[float]:
    (p,) = optimizer.param_groups[0]["params"]
    for step in steps:
        p.grad = torch.cos(torch.arange(float(p.numel()), dtype=p.dtype) + 2 * step)
        optimizer.step()
    numbers: list[float] = p.tolist()
    return numbers


@each_twin
@each_form
def test_a_checkpoint_of_torch_continues(rule: str, form: str) -> None:
    p = parameter(1.0, -2.0, 3.0)
    theirs = TWINS[rule]([p], lr=0.3, weight_decay=0.125)
    half = resumed(theirs, range(3))
    mine = build(form, RULES[rule][0], [parameter(*half)])
    mine.load_state_dict(copy.deepcopy(theirs.state_dict()))
    assert resumed(mine, range(3, 7)) == pytest.approx(resumed(theirs, range(3, 7)), rel=1e-13)
    assert half != pytest.approx(p.tolist())


@each_form
def test_a_checkpoint_of_lion_without_a_count_continues(form: str) -> None:
    """The authors' code keeps ``exp_avg`` alone."""
    whole = resumed(build(form, ours.Lion, [parameter(1.0, -2.0)]), range(7))
    first = build(form, ours.Lion, [parameter(1.0, -2.0)])
    half = resumed(first, range(3))
    saved = copy.deepcopy(first.state_dict())
    saved["param_groups"] = [
        {name: saved["param_groups"][0][name] for name in ("params", "lr", "betas", "weight_decay")}
    ]
    del saved["state"][0]["step"]
    mine = build(form, ours.Lion, [parameter(*half)])
    mine.load_state_dict(saved)
    assert resumed(mine, range(3, 7)) == whole


# -- what is refused -------------------------------------------------------------------------------


@each_rule
def test_arguments_out_of_range_are_refused(rule: str) -> None:
    cls, _ = RULES[rule]
    wrong: dict[str, Any] = {"decay": "L2", "weight_decay": -0.1, "lr": float("nan")}
    wrong |= {"momentum": 1.0} if cls is ours.SignSGD else {}
    wrong |= {"betas": (0.9, 1.0)} if cls in (ours.Lion, ours.Adamax) else {}
    wrong |= {"eps": -1e-8} if rule in TWINS else {}
    wrong |= {"rho": 1.0} if cls is ours.Adadelta else {}
    for name, value in wrong.items():
        with pytest.raises(ValueError, match=name if name != "betas" else "beta2"):
            cls([parameter(1.0)], **{name: value})


@each_rule
def test_rows_of_a_sparse_gradient(rule: str) -> None:
    """A zero gradient leaves x alone without an average and without a decay; else all rows move."""
    cls, options = RULES[rule]
    sparse = torch.sparse_coo_tensor([[1]], [[2.0, -0.5]], (3, 2), check_invariants=False)

    def stepped(**more: Any) -> list[list[float]]:
        p = torch.ones(3, 2, requires_grad=True)
        p.grad = sparse
        cls([p], lr=0.25, **options, **more).step()
        rows: list[list[float]] = p.tolist()
        return rows

    if rule == "SignSGD":
        assert stepped() == [[1.0, 1.0], [0.75, 1.25], [1.0, 1.0]]
    else:
        with pytest.raises(TypeError, match="dense"):
            stepped()
    with pytest.raises(TypeError, match="dense"):
        stepped(weight_decay=0.5)


@each_rule
@each_decay
def test_a_step_on_the_device(rule: str, decay: str) -> None:
    cls, options = RULES[rule]
    arguments = numbers(rule) | options | {"weight_decay": 0.125, "decay": decay}
    plain = run(cls, lr=0.25, **arguments)
    held = run(cls, lr=torch.tensor(0.25, dtype=torch.float64), capturable=True, **arguments)
    for a, b in zip(held, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)  # the count is a float32


@each_rule
@pytest.mark.parametrize("decay", ["l2", "uncoupled"])
def test_autograd_follows_a_step_into_the_rate(rule: str, decay: str) -> None:
    """x is linear in α here."""
    cls, options = RULES[rule]
    arguments = numbers(rule) | options | {"weight_decay": 0.125, "decay": decay}
    lr = torch.tensor(0.25, dtype=torch.float64, requires_grad=True)
    p = parameter(1.0).clone()
    p.retain_grad()
    optimizer = cls([p], lr=lr, differentiable=True, **arguments)
    p.grad = torch.ones_like(p)
    optimizer.step()
    (slope,) = torch.autograd.grad(p.sum(), lr)
    other = walk("shipped", cls, 1.0, [1.0], lr=0.0, **arguments)[0]["x"]
    assert slope.item() == pytest.approx((p.item() - other) / 0.25)
