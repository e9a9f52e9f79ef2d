"""SAM steps as the paper says, never stays at the worst point, and resumes bit for bit."""

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import LambdaLR

from adamproof import optimizers as ours
from adamproof.optimizers import SAM

from .family import assert_identical, assert_one_sentence

BASES: dict[str, Any] = {
    "ours SGD": partial(ours.SGD, lr=0.1, momentum=0.9),
    "ours AdamW": partial(ours.AdamW, lr=0.1, weight_decay=0.1),
    "ours AMSGrad compiled": partial(ours.AMSGrad, lr=0.1, compiled=True),
    "torch SGD": partial(torch.optim.SGD, lr=0.1, momentum=0.9),
    "torch Adam": partial(torch.optim.Adam, lr=0.1, amsgrad=True),
    "torch Adadelta": partial(torch.optim.Adadelta, lr=0.1),  # whose groups have a rho of their own
}
each_base = pytest.mark.parametrize("name", BASES)


def weights(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float32) -> list[torch.nn.Parameter]:
    out = []
    for i, shape in enumerate(shapes or ((3,), (2, 2))):
        numbers = torch.arange(1.0, 1 + torch.Size(shape).numel(), dtype=torch.float64)
        out.append(torch.nn.Parameter(torch.cos(numbers + i).reshape(shape).to(dtype)))
    return out


def quartic(params: list[torch.nn.Parameter]) -> Callable[[], torch.Tensor]:
    def closure() -> torch.Tensor:
        loss = sum((p.pow(4).sum() / 4 for p in params), torch.zeros(()))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    return closure


def train(optimizer: Any, steps: int) -> list[torch.Tensor]:
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for _ in range(steps):
        optimizer.step(quartic(params))
    return [p.detach().clone() for p in params]


# -- the step --------------------------------------------------------------------------------------


def visited(optimizer: Any, params: list[Any], loss: Callable[[], torch.Tensor]) -> list[list[float]]:
    """Step, and return where the loss was asked for."""
    places = []

    def closure() -> torch.Tensor:
        places.append([x for p in params for x in p.detach().double().flatten().tolist()])
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    assert optimizer.step(closure).item() == pytest.approx(places_loss(places[0], loss, params))
    return places


def places_loss(place: list[float], loss: Callable[[], torch.Tensor], params: list[Any]) -> float:
    """Return the loss at a place."""
    now = [p.detach().clone() for p in params]
    rest = torch.tensor(place, dtype=torch.float64)
    with torch.no_grad():
        for p in params:
            p.copy_(rest[: p.numel()].reshape(p.shape))
            rest = rest[p.numel() :]
        value = loss().item()
        for p, was in zip(params, now, strict=True):
            p.copy_(was)
    return value


def test_a_step_by_hand() -> None:
    """ε = 5 (3, 4)/5; the gradient at (6, 8) is (6, 8)."""
    w = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = SAM([w], partial(ours.SGD, lr=0.25), rho=5.0)
    assert visited(optimizer, [w], lambda: w.square().sum() / 2) == [[3.0, 4.0], [6.0, 8.0]]
    assert w.tolist() == [1.5, 2.0]
    assert w.grad is not None and w.grad.tolist() == [6.0, 8.0]


def test_an_adaptive_step_by_hand() -> None:
    """g = (3, -2), |w| g = (3, -4), ε = 5 (1·3, 4·(-2))/5; the gradient there is (12, -10)."""
    w = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = SAM([w], partial(ours.SGD, lr=0.25), rho=5.0, adaptive=True)
    scale = torch.tensor([3.0, 1.0])
    places = visited(optimizer, [w], lambda: (scale * w.square()).sum() / 2)
    assert places == [[1.0, -2.0], [4.0, -10.0]]
    assert w.tolist() == [-2.0, 0.5]


def test_the_norm_is_that_of_all_groups_and_dtypes() -> None:
    a = torch.nn.Parameter(torch.tensor([3.0]))
    b = torch.nn.Parameter(torch.tensor([4.0], dtype=torch.float64))
    optimizer = SAM([{"params": [a], "lr": 0.5}, {"params": [b]}], partial(ours.SGD, lr=0.25), rho=5.0)
    places = visited(optimizer, [a, b], lambda: a.square().sum() / 2 + b.square().sum() / 2)
    assert places == [[3.0, 4.0], [6.0, 8.0]]
    assert [a.item(), b.item()] == [0.0, 2.0]


@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_with_maximize_the_worst_is_downhill(direction: float) -> None:
    w = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = SAM([w], partial(torch.optim.SGD, lr=0.25, maximize=direction < 0), rho=2.5)
    places = visited(optimizer, [w], lambda: w.square().sum() / 2)
    assert places[1] == [3.0 + direction * 1.5, 4.0 + direction * 2.0]


def test_complex_parameters() -> None:
    w = torch.nn.Parameter(torch.tensor([3.0 + 4.0j]))
    optimizer = SAM([w], partial(torch.optim.SGD, lr=0.25), rho=5.0)

    def closure() -> torch.Tensor:
        loss = w.abs().square().sum() / 2
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    torch.testing.assert_close(w.detach(), torch.tensor([1.5 + 2.0j]))


shapes = st.lists(st.lists(st.integers(0, 4), max_size=3).map(tuple), min_size=1, max_size=4)


@given(shapes=shapes, rho=st.floats(0, 10), adaptive=st.booleans())
def test_any_shapes(shapes: list[tuple[int, ...]], rho: float, adaptive: bool) -> None:
    """Against the formula, on one flat vector: f = Σ w⁴/4, so g = w³."""
    params = weights(*shapes, dtype=torch.float64)
    w = torch.cat([p.detach().flatten() for p in params])
    g = w**3
    away = w.square() * g if adaptive else g
    norm = (w.abs() * g if adaptive else g).norm()
    told = w - 0.1 * (w + (rho * away / norm if norm > 0 else 0 * w)) ** 3
    optimizer = SAM(params, partial(ours.SGD, lr=0.1), rho=rho, adaptive=adaptive)
    optimizer.step(quartic(params))  # type: ignore[arg-type]
    found = torch.cat([p.detach().flatten() for p in params])
    torch.testing.assert_close(found, told, rtol=1e-12, atol=1e-15)


#: Each dtype with gradients whose squares it does not hold.
EXTREMES = [
    *[(torch.float16, scale) for scale in (1e-7, 1.0, 1e4)],
    *[(d, scale) for d in (torch.bfloat16, torch.float32) for scale in (1e-30, 1.0, 1e30)],
    (torch.float64, 1.0),
]


@pytest.mark.parametrize(("dtype", "scale"), EXTREMES)
def test_the_radius_is_rho_however_large_the_gradient(dtype: torch.dtype, scale: float) -> None:
    """A norm in the gradient's own dtype would be 0 or infinite."""
    w = torch.nn.Parameter(torch.zeros(4, dtype=dtype))
    places = visited(SAM([w], partial(torch.optim.SGD, lr=0.0), rho=1.0), [w], lambda: (scale * w).sum())
    assert places[1] == pytest.approx([0.5] * 4, rel=1e-2)


def test_the_squares_of_large_weights_do_not_overflow() -> None:
    """300² is infinite in float16; ε = 300²/‖(300, 300, 300, 300)‖ = 150 is not."""
    w = torch.nn.Parameter(torch.full((4,), 300.0, dtype=torch.float16))
    optimizer = SAM([w], partial(torch.optim.SGD, lr=0.0), rho=1.0, adaptive=True)
    assert visited(optimizer, [w], lambda: w.sum())[1] == [450.0] * 4


@pytest.mark.parametrize("adaptive", [False, True])
def test_without_a_direction_it_is_the_base(adaptive: bool) -> None:
    """A gradient of 0 gives no NaN: the base steps, along 0."""
    w = torch.nn.Parameter(torch.zeros(3))
    optimizer = SAM([w], partial(ours.SGD, lr=0.5), adaptive=adaptive)
    places = visited(optimizer, [w], lambda: w.pow(4).sum())
    assert places == [[0.0] * 3, [0.0] * 3]
    assert w.tolist() == [0.0] * 3


def test_rho_0_is_the_base() -> None:
    for adaptive in (False, True):
        mine = train(SAM(weights(), BASES["ours AdamW"], rho=0, adaptive=adaptive), 5)
        theirs = BASES["ours AdamW"](params := weights())
        for _ in range(5):
            theirs.zero_grad()
            quartic(params)()
            theirs.step()
        assert_identical(mine, [p.detach() for p in params])


def test_a_parameter_without_a_gradient_stays() -> None:
    moved, still = weights()
    alone = weights()[:1]
    optimizer = SAM([moved, still], BASES["torch Adam"])
    optimizer.step(quartic([moved]))  # type: ignore[arg-type]
    assert_identical([still], weights()[1:])
    assert still not in optimizer.state
    assert_identical([moved], train(SAM(alone, BASES["torch Adam"]), 1))


def test_no_gradient_at_all() -> None:
    params = weights()
    optimizer = SAM(params, BASES["ours AdamW"])
    assert optimizer.step(lambda: 1.5) == 1.5
    assert_identical([p.detach() for p in params], [p.detach() for p in weights()])


def test_a_gradient_that_only_the_second_point_has_is_followed() -> None:
    a, b = (torch.nn.Parameter(torch.ones(())) for _ in range(2))
    optimizer = SAM([a, b], partial(ours.SGD, lr=0.5), rho=1.0)
    places = visited(optimizer, [a, b], lambda: a + b if a > 1 else a * 1)
    assert places == [[1.0, 1.0], [2.0, 1.0]]
    assert [a.item(), b.item()] == [0.5, 0.5]


def test_the_closure_need_not_clear_the_gradients() -> None:
    def clearing(params: list[torch.nn.Parameter]) -> Callable[[], torch.Tensor]:
        inner = quartic(params)

        def closure() -> torch.Tensor:
            for p in params:
                p.grad = None
            return inner()

        return closure

    params = weights()
    optimizer = SAM(params, BASES["ours SGD"])
    for _ in range(3):
        optimizer.step(clearing(params))  # type: ignore[arg-type]
    assert_identical([p.detach() for p in params], train(SAM(weights(), BASES["ours SGD"]), 3))


@each_base
def test_it_trains(name: str) -> None:
    params = weights()
    before = quartic(params)().item()
    train(SAM(params, BASES[name], rho=0.01), 30)
    after = quartic(params)().item()
    assert after < (0.99 if "Adadelta" in name else 0.5) * before


# -- what goes wrong ---------------------------------------------------------------------------------


class Interrupted(BaseException):
    """As KeyboardInterrupt is: no Exception."""


def failing(params: list[torch.nn.Parameter], call: int, fail: Callable[[torch.Tensor], Any]) -> Any:
    """A closure whose call-th call does something else at the end."""
    calls = []

    def closure() -> Any:
        calls.append(1)
        loss = quartic(params)()
        return fail(loss) if len(calls) == call else loss

    return closure


def interrupt(loss: torch.Tensor) -> Any:
    raise Interrupted


@each_base
@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize(
    ("fail", "error"),
    [
        (interrupt, Interrupted),
        (lambda loss: loss * float("nan"), FloatingPointError),
        (lambda loss: float("inf"), FloatingPointError),
    ],
    ids=["interrupted", "nan", "infinite"],
)
def test_after_a_failure_all_is_as_it_was(name: str, call: int, fail: Any, error: Any) -> None:
    """Bit for bit, though ε is so large that subtracting it again would leave nothing of w."""
    params = weights()
    optimizer = SAM(params, BASES[name])
    train(optimizer, 1)
    optimizer.rho = 1e8
    before = [p.detach().clone() for p in params]
    state = copy.deepcopy(optimizer.state_dict())
    w = before[0]
    assert not torch.equal((w + 1e8) - 1e8, w)
    with pytest.raises(error) as raised:
        optimizer.step(failing(params, call, fail))
    if error is FloatingPointError:
        assert_one_sentence(str(raised.value), "loss", ["", "at the parameters", "at the worst"][call])
    assert_identical([p.detach() for p in params], before)
    assert_same_state(optimizer.state_dict(), state)


def assert_same_state(a: Any, b: Any) -> None:
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same_state(a[key], b[key])
    else:
        assert a == b


def assert_same_numbers(loaded: Any, saved: Any) -> None:
    """As `assert_same_state`, but for the options that torch adds when it loads."""
    assert_same_state(loaded["state"], saved["state"])
    for a, b in zip(loaded["param_groups"], saved["param_groups"], strict=True):
        assert {name: a[name] for name in b} == b


@pytest.mark.parametrize(("call", "where"), [(1, "at the parameters"), (2, "at the worst point nearby")])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_moves_nothing(call: int, where: str, value: float) -> None:
    params = weights()
    optimizer = SAM(params, BASES["ours AdamW"])

    def spoil(loss: torch.Tensor) -> torch.Tensor:
        assert params[0].grad is not None
        params[0].grad[0] = value
        return loss

    with pytest.raises(FloatingPointError, match="gradient") as raised:
        optimizer.step(failing(params, call, spoil))
    assert_one_sentence(str(raised.value), where)
    assert_identical([p.detach() for p in params], [p.detach() for p in weights()])
    assert len(optimizer.state) == 0
    train(optimizer, 1)
    assert len(optimizer.state) == 2


@pytest.mark.parametrize("call", [1, 2])
def test_sparse_gradients_are_refused_before_anything_moves(call: int) -> None:
    params = weights()

    def spoil(loss: torch.Tensor) -> torch.Tensor:
        assert params[0].grad is not None
        params[0].grad = params[0].grad.to_sparse()
        return loss

    optimizer = SAM(params, BASES["torch SGD"])
    with pytest.raises(TypeError, match="dense") as refused:
        optimizer.step(failing(params, call, spoil))
    assert_one_sentence(str(refused.value), "to_dense()")
    assert_identical([p.detach() for p in params], [p.detach() for p in weights()])


def test_without_a_closure() -> None:
    with pytest.raises(TypeError, match="closure") as refused:
        SAM(weights(), BASES["ours SGD"]).step()
    assert_one_sentence(str(refused.value), "backward()", "returns the loss")


@pytest.mark.parametrize("rho", [-0.1, float("nan"), float("inf"), "0.05", None])
def test_rho_out_of_range(rho: Any) -> None:
    with pytest.raises(ValueError, match="rho") as refused:
        SAM(weights(), BASES["ours SGD"], rho=rho)
    assert_one_sentence(str(refused.value), repr(rho), "[0, inf)")


@pytest.mark.parametrize("base", [None, "SGD", list, ours.SGD(weights())], ids=str)
def test_base_must_make_an_optimizer(base: Any) -> None:
    with pytest.raises(TypeError, match="base must make an optimizer") as refused:
        SAM(weights(), base)
    assert "partial(AdamW, lr=1e-3)" in str(refused.value)


def test_adaptive_is_a_bool() -> None:
    with pytest.raises(TypeError, match="adaptive") as refused:
        SAM(weights(), ours.SGD, adaptive="yes")  # type: ignore[arg-type]
    assert_one_sentence(str(refused.value), "'yes'")


# -- like any optimizer ------------------------------------------------------------------------------


@each_base
@pytest.mark.parametrize("adaptive", [False, True])
def test_a_resumed_run_continues_bit_for_bit(name: str, adaptive: bool) -> None:
    whole = train(SAM(weights(), BASES[name], 0.3, adaptive), 7)
    first = SAM(weights(), BASES[name], 0.3, adaptive)
    half = [torch.nn.Parameter(p) for p in train(first, 3)]
    saved = pickle.loads(pickle.dumps(first.state_dict()))
    resumed = SAM(half, partial(BASES[name], lr=123.0), rho=9.0, adaptive=not adaptive)
    resumed.load_state_dict(saved)
    assert_identical(train(resumed, 4), whole)


@each_base
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_continues_bit_for_bit(name: str, clone: Any) -> None:
    original = SAM(weights(), BASES[name], rho=0.3, adaptive=True)
    train(original, 3)
    twin = clone(original)
    assert twin.param_groups is not original.param_groups
    after = train(twin, 4)
    assert_identical(after, train(original, 4))


@each_base
def test_checkpoints_of_the_base_and_of_sam_load_into_each_other(name: str) -> None:
    wrapped = SAM(weights(), BASES[name], rho=0.3)
    train(wrapped, 3)
    plain = BASES[name](weights())
    plain.load_state_dict(copy.deepcopy(wrapped.state_dict()))
    assert_same_numbers(plain.state_dict(), wrapped.base.state_dict())
    again = SAM(weights(), BASES[name], rho=0.7, adaptive=True)
    again.load_state_dict(copy.deepcopy(plain.state_dict()))
    assert_same_numbers(again.base.state_dict(), wrapped.base.state_dict())
    assert (again.rho, again.adaptive) == (0.7, True)


def test_a_checkpoint_is_safe_to_load(tmp_path: Any) -> None:
    optimizer = SAM(weights(), BASES["ours AdamW"], rho=0.3)
    train(optimizer, 2)
    torch.save(optimizer.state_dict(), tmp_path / "sam.pt")
    loaded = torch.load(tmp_path / "sam.pt", weights_only=True)
    assert_same_state(loaded, optimizer.state_dict())


def test_groups_and_state_are_the_bases_whoever_changes_them() -> None:
    optimizer = SAM(weights(), BASES["ours SGD"])
    assert isinstance(optimizer, torch.optim.Optimizer)
    optimizer.add_param_group({"params": weights((2,)), "lr": 0.5})
    assert [group["lr"] for group in optimizer.base.param_groups] == [0.1, 0.5]
    optimizer.base.add_param_group({"params": weights((4,))})
    assert len(optimizer.param_groups) == 3
    train(optimizer, 1)
    assert optimizer.state is optimizer.base.state
    assert len(optimizer.state) == 4
    optimizer.base.load_state_dict(copy.deepcopy(optimizer.base.state_dict()))
    assert optimizer.param_groups is optimizer.base.param_groups
    assert optimizer.state is optimizer.base.state
    assert "SAM (rho=0.05, adaptive=False) of SGD" in repr(optimizer)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("reload", [False, True])
def test_schedulers_reach_the_step(inside: bool, reload: bool) -> None:
    scheduled, by_hand = (SAM(weights(), BASES["torch Adam"]) for _ in range(2))
    if reload:
        scheduled.load_state_dict(scheduled.state_dict())
    on = scheduled.base if inside else scheduled
    schedule = LambdaLR(on, ours.linear_warmup(4))
    for step in range(4):
        by_hand.param_groups[0]["lr"] = 0.1 * (step + 1) / 4
        assert_identical(train(scheduled, 1), train(by_hand, 1))
        schedule.step()
    assert not torch.equal(
        scheduled.param_groups[0]["params"][0], train(SAM(weights(), BASES["torch Adam"]), 4)[0]
    )


def test_hooks_see_one_step() -> None:
    optimizer = SAM(weights(), BASES["torch SGD"])
    seen: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    optimizer.base.register_step_pre_hook(lambda *_: seen.append("inside"))
    train(optimizer, 1)
    assert seen == ["before", "inside", "after"]


@pytest.mark.parametrize("drop", [True, False])
def test_zero_grad(drop: bool) -> None:
    params = weights()
    optimizer = SAM(params, BASES["ours SGD"])
    quartic(params)()
    optimizer.zero_grad(set_to_none=drop)
    assert [p.grad is None for p in params] == [drop, drop]
    assert all(p.grad is None or not p.grad.any() for p in params)


@pytest.mark.gpu
def test_the_norm_is_that_of_all_devices() -> None:
    a = torch.nn.Parameter(torch.tensor([3.0]))
    b = torch.nn.Parameter(torch.tensor([4.0], device="cuda"))
    optimizer = SAM([a, b], partial(ours.SGD, lr=0.25), rho=5.0)
    places = visited(optimizer, [a, b], lambda: a.square().sum() / 2 + b.cpu().square().sum() / 2)
    assert places == [[3.0, 4.0], [6.0, 8.0]]
    assert [a.item(), b.item()] == [1.5, 2.0]
