"""The shipped forms behave like any torch.optim.Optimizer, and refuse what they cannot do."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from adamproof import optimizers as ours

MAKERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "SGD": (ours.SGD, {}),
    "SGD momentum": (ours.SGD, {"momentum": 0.9, "dampening": 0.1}),
    "Adagrad": (ours.Adagrad, {"lr_decay": 0.1}),
    "RMSprop": (ours.RMSprop, {"centered": True, "momentum": 0.5}),
    "Adam": (ours.Adam, {"weight_decay": 0.1}),
    "AdamW": (ours.AdamW, {"decay": "uncoupled"}),
    "AMSGrad": (ours.AMSGrad, {"correction": "before_max"}),
    "AdamReference": (ours.AdamReference, {}),
}
each_rule = pytest.mark.parametrize("name", MAKERS)


def make(name: str, params: Any, **more: Any) -> torch.optim.Optimizer:
    cls, arguments = MAKERS[name]
    optimizer: torch.optim.Optimizer = cls(params, **(arguments | more))
    return optimizer


def weights(count: int = 2) -> list[torch.Tensor]:
    return [torch.linspace(-1, 1, 3 + i).requires_grad_() for i in range(count)]


def train(optimizer: torch.optim.Optimizer, steps: int, start: int = 0) -> list[torch.Tensor]:
    """Some steps along fixed gradients; the parameters afterwards."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for step in range(start, start + steps):
        for i, p in enumerate(params):
            p.grad = torch.cos(torch.arange(float(p.numel())) + 2 * step + i).to(p.dtype)
        optimizer.step()
    return [p.detach().clone() for p in params]


def assert_identical(a: list[torch.Tensor], b: list[torch.Tensor]) -> None:
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@each_rule
def test_a_resumed_run_continues_bit_for_bit(name: str) -> None:
    whole = train(make(name, weights()), 7)
    first = make(name, weights())
    half = train(first, 3)
    resumed = make(name, [p.requires_grad_() for p in half], lr=123.0)
    resumed.load_state_dict(pickle.loads(pickle.dumps(first.state_dict())))
    assert_identical(train(resumed, 4, start=3), whole)


@each_rule
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_continues_bit_for_bit(name: str, clone: Any) -> None:
    original = make(name, weights())
    train(original, 3)
    twin = clone(original)
    assert_identical(train(twin, 4, start=3), train(original, 4, start=3))


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("SGD", torch.optim.SGD),
        ("Adagrad", torch.optim.Adagrad),
        ("RMSprop", torch.optim.RMSprop),
        ("Adam", torch.optim.Adam),
        ("AdamW", torch.optim.AdamW),
    ],
)
def test_a_checkpoint_of_torch_continues(name: str, theirs: Any) -> None:
    cls = getattr(ours, name)
    reference = theirs(weights(), lr=0.01)
    half = train(reference, 3)
    resumed = cls([p.requires_grad_() for p in half])
    resumed.load_state_dict(copy.deepcopy(reference.state_dict()))
    for a, b in zip(train(resumed, 4, start=3), train(reference, 4, start=3), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@each_rule
def test_groups_have_their_own_arguments(name: str) -> None:
    a, b = weights()
    both = make(name, [{"params": [a], "lr": 0.25}], lr=0.5)
    both.add_param_group({"params": [b]})
    alone = [make(name, [p], lr=lr) for p, lr in zip(weights(), (0.25, 0.5), strict=True)]
    for step in range(3):
        for p, q in zip((a, b), (o.param_groups[0]["params"][0] for o in alone), strict=True):
            p.grad = q.grad = torch.cos(torch.arange(float(p.numel())) + step)
        both.step()
        for optimizer in alone:
            optimizer.step()
    assert_identical([a, b], [o.param_groups[0]["params"][0] for o in alone])


@each_rule
def test_schedulers_reach_the_step(name: str) -> None:
    """Under a schedule, the same steps as with the rate set by hand."""
    scheduled, by_hand = make(name, weights(), lr=0.5), make(name, weights(), lr=0.5)
    schedule = torch.optim.lr_scheduler.ExponentialLR(scheduled, gamma=0.5)
    for step in range(4):
        by_hand.param_groups[0]["lr"] = 0.5 * 0.5**step
        a, b = train(scheduled, 1, start=step), train(by_hand, 1, start=step)
        assert_identical(a, b)
        schedule.step()
    constant = train(make(name, weights(), lr=0.5), 4)
    assert not any(torch.equal(x, y) for x, y in zip(a, constant, strict=True))


@pytest.mark.parametrize("cls", [ours.SGD, ours.RMSprop])
def test_momentum_can_be_switched_on_later(cls: Any) -> None:
    """From zero, as if it had been on from here; OneCycleLR moves momentum like this."""
    p = torch.zeros(1, requires_grad=True)
    optimizer = cls([p], lr=1.0)
    p.grad = torch.ones(1)
    optimizer.step()
    assert "momentum_buffer" not in optimizer.state[p]
    optimizer.param_groups[0]["momentum"] = 0.5
    optimizer.step()
    assert "momentum_buffer" in optimizer.state[p]


@each_rule
def test_a_learning_rate_can_be_a_tensor(name: str) -> None:
    a = train(make(name, weights(), lr=torch.tensor(0.25)), 3)
    assert_identical(a, train(make(name, weights(), lr=0.25), 3))


@each_rule
def test_maximize_mirrors(name: str) -> None:
    ascent = make(name, weights(), lr=0.25, maximize=True)
    descent = make(name, weights(), lr=0.25)
    pairs = zip(ascent.param_groups[0]["params"], descent.param_groups[0]["params"], strict=True)
    for p, q in pairs:
        p.grad = torch.cos(torch.arange(float(p.numel())))
        q.grad = -p.grad
    ascent.step()
    descent.step()
    assert_identical(ascent.param_groups[0]["params"], descent.param_groups[0]["params"])


@each_rule
def test_closure(name: str) -> None:
    params = weights()
    optimizer = make(name, params)
    calls = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.stack([p.square().sum() for p in params]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        calls.append(loss.item())
        return loss

    before = [p.detach().clone() for p in params]
    loss = optimizer.step(closure)  # type: ignore[arg-type]
    assert [loss.item()] == calls  # type: ignore[attr-defined]
    assert all(not torch.equal(p, q) for p, q in zip(params, before, strict=True))
    assert make(name, weights()).step() is None


@each_rule
@pytest.mark.parametrize("maximize", [False, True])
def test_gradients_are_not_written_to(name: str, maximize: bool) -> None:
    params = weights()
    grads = [torch.cos(p.detach()) for p in params]
    for p, g in zip(params, grads, strict=True):
        p.grad = g.clone()
    make(name, params, weight_decay=0.5, maximize=maximize).step()
    assert_identical([p.grad for p in params if p.grad is not None], grads)


@each_rule
def test_without_a_gradient_nothing_happens(name: str) -> None:
    moved, still = weights()
    optimizer = make(name, [moved, still], weight_decay=0.5)
    moved.grad = torch.ones_like(moved)
    optimizer.step()
    assert torch.equal(still, weights()[1])
    assert still not in optimizer.state
    assert optimizer.state[moved]["step"].item() == 1.0
    assert optimizer.state[moved]["step"].dtype == torch.float32


class Lists(TorchFunctionMode):
    """Records the dtypes that meet in one list."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[frozenset[torch.dtype]] = set()

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        for arg in args:
            if isinstance(arg, list | tuple) and arg and isinstance(arg[0], torch.Tensor):
                self.seen.add(frozenset(x.dtype for x in arg))
        return func(*args, **(kwargs or {}))


def test_a_group_of_several_dtypes_is_stepped_dtype_by_dtype() -> None:
    """The fast path of torch._foreach_* needs lists of one dtype."""
    params = [torch.ones(2, dtype=d, requires_grad=True) for d in (torch.float32, torch.float64)]
    optimizer = ours.Adam([params[0], params[1]])
    with Lists() as lists:
        train(optimizer, 1)
    assert lists.seen == {frozenset({torch.float32}), frozenset({torch.float64})}


OUT_OF_RANGE = [
    *[(ours.Adam, "lr", x, "[0, inf)") for x in (float("nan"), float("inf"), -1.0, "1e-3", None)],
    *[(ours.Adam, "eps", x, "[0, inf)") for x in (float("nan"), float("inf"), -1e-8)],
    *[(cls, "lr", float("nan"), "[0, inf)") for cls in (ours.SGD, ours.Adagrad, ours.RMSprop)],
    *[(cls, "lr", -0.5, "[0, inf)") for cls in (ours.AdamW, ours.AMSGrad, ours.SGDReference)],
    (ours.AdamW, "weight_decay", -0.1, "[0, inf)"),
    (ours.Adagrad, "lr_decay", float("inf"), "[0, inf)"),
    (ours.Adagrad, "initial_accumulator_value", -1.0, "[0, inf)"),
    *[(ours.SGD, "momentum", x, "[0, 1)") for x in (float("nan"), -0.1, 1.0)],
    (ours.SGD, "dampening", 1.0, "[0, 1)"),
    (ours.RMSprop, "alpha", 1.0, "[0, 1)"),
]


def assert_one_sentence(message: str, *parts: str) -> None:
    assert message.endswith(".")
    assert message.count(". ") == 0
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(("cls", "name", "value", "valid"), OUT_OF_RANGE)
def test_out_of_range(cls: Any, name: str, value: Any, valid: str) -> None:
    with pytest.raises(ValueError, match=name) as refused:
        cls(weights(), **{name: value})
    assert_one_sentence(str(refused.value), name, repr(value), valid)


@pytest.mark.parametrize("i", [0, 1])
@pytest.mark.parametrize("value", [float("nan"), -0.1, 1.0, float("inf")])
def test_betas_out_of_range(i: int, value: float) -> None:
    betas = [0.5, 0.5]
    betas[i] = value
    with pytest.raises(ValueError, match="beta") as refused:
        ours.Adam(weights(), betas=(betas[0], betas[1]))
    assert_one_sentence(str(refused.value), f"beta{i + 1}", repr(value), "[0, 1)")


@pytest.mark.parametrize(
    ("cls", "arguments", "parts"),
    [
        (ours.Adam, {"betas": 0.9}, ["betas", "0.9", "[0, 1)"]),
        (ours.Adam, {"betas": (0.9,)}, ["betas", "(0.9,)", "[0, 1)"]),
        (ours.AdamW, {"decay": "both"}, ["decay", "'both'", "'coupled', 'uncoupled'"]),
        (ours.AMSGrad, {"correction": None}, ["correction", "None", "'none', 'after_max'"]),
        (ours.SGD, {"nesterov": True}, ["nesterov", "momentum 0.0", "(0, 1)"]),
        (
            ours.SGD,
            {"nesterov": True, "momentum": 0.5, "dampening": 0.5},
            ["nesterov", "dampening 0.5"],
        ),
    ],
)
def test_options_out_of_range(cls: Any, arguments: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(ValueError, match=parts[0]) as refused:
        cls(weights(), **arguments)
    assert_one_sentence(str(refused.value), *parts)


def test_a_refused_group_leaves_no_trace() -> None:
    optimizer = ours.Adam(weights())
    with pytest.raises(ValueError, match="lr"):
        optimizer.add_param_group({"params": weights(), "lr": float("nan")})
    assert len(optimizer.param_groups) == 1


@each_rule
def test_sparse_gradients_are_refused_before_anything_moves(name: str) -> None:
    dense, sparse = weights()
    optimizer = make(name, [{"params": [dense]}, {"params": [sparse]}])
    dense.grad = torch.ones_like(dense)
    sparse.grad = torch.ones_like(sparse).to_sparse()
    with pytest.raises(TypeError, match="dense") as refused:
        optimizer.step()
    assert_one_sentence(str(refused.value), type(optimizer).__name__, "to_dense()")
    assert_identical([dense], [weights()[0]])
    assert len(optimizer.state) == 0


@each_rule
def test_complex_parameters_are_refused(name: str) -> None:
    with pytest.raises(TypeError, match="real") as refused:
        make(name, [torch.zeros(2, dtype=torch.complex64, requires_grad=True)])
    assert_one_sentence(str(refused.value), "view_as_real")
