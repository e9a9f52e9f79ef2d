"""The shipped forms behave like any torch.optim.Optimizer, and refuse what they cannot do."""

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as schedulers
from torch.overrides import TorchFunctionMode

from adamproof import optimizers as ours

from .family import (
    BY_NAME,
    VARIANTS,
    Variant,
    assert_identical,
    assert_one_sentence,
    each_variant,
    each_with_twin,
    gradients,
    kept,
    parameters,
    train,
    weights,
)


def through_a_file(content: Any) -> Any:
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


TRANSPORTS: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda content: pickle.loads(pickle.dumps(content)),
    "torch.save": through_a_file,
}


@each_variant
@pytest.mark.parametrize("form", ["shipped", "reference"])
@pytest.mark.parametrize("transport", ["pickle", "torch.save"])
def test_a_resumed_run_continues_bit_for_bit(variant: Variant, form: str, transport: str) -> None:
    """In the middle of nine steps: RAdam is rectified from the sixth on."""
    for cut in (0, 1, 5):
        whole = variant.make(weights(), form)
        train(whole, 9)
        first = variant.make(weights(), form)
        half = train(first, cut)
        numbers = {
            name: 0.5 for name in variant.numbers if name != "betas"
        }  # not those of the checkpoint
        resumed = variant.make([p.requires_grad_() for p in half], form, **numbers)
        resumed.load_state_dict(TRANSPORTS[transport](first.state_dict()))
        train(resumed, 9 - cut, start=cut)
        assert_identical(kept(resumed), kept(whole))


@each_variant
@pytest.mark.parametrize("form", ["shipped", "reference"])
@pytest.mark.parametrize("transport", ["deepcopy", "pickle"])
def test_a_copy_continues_bit_for_bit(variant: Variant, form: str, transport: str) -> None:
    original = variant.make(weights(), form)
    train(original, 3)
    twin = TRANSPORTS[transport](original)
    before = kept(original)
    train(twin, 4, start=3)
    assert_identical(kept(original), before)  # nothing is shared
    train(original, 4, start=3)
    assert_identical(kept(twin), kept(original))


@each_with_twin
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_checkpoint_of_torch_continues(variant: Variant, dtype: torch.dtype) -> None:
    """The numbers come from the checkpoint, the options that torch has no name for do not."""
    reference = variant.make_twin(weights(dtype))
    half = train(reference, 4)
    options = {n: v for n, v in variant.options.items() if n not in variant.twin_options}
    resumed = variant.shipped([p.requires_grad_() for p in half], **options)
    resumed.load_state_dict(through_a_file(reference.state_dict()))
    for a, b in zip(train(resumed, 5, start=4), train(reference, 5, start=4), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    states = [resumed.state[p] for p in parameters(resumed)]
    assert {s["step"].dtype for s in states} == {torch.float32}
    counted = 5.0 if variant.shipped is ours.SGD else 9.0  # SGD of torch does not count
    assert {s["step"].item() for s in states} == {counted}


@each_with_twin
def test_torch_goes_on_from_our_checkpoint(variant: Variant) -> None:
    original = variant.make(weights())
    half = train(original, 4)
    resumed = variant.make_twin([p.requires_grad_() for p in half])
    given = copy.deepcopy(original.state_dict())
    for group in given["param_groups"]:  # what torch asks of its own
        group.update({n: v for n, v in resumed.param_groups[0].items() if n not in (*group, "params")})
        group |= variant.twin_options
    resumed.load_state_dict(given)
    for a, b in zip(train(resumed, 5, start=4), train(original, 5, start=4), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@each_variant
def test_groups_have_their_own_arguments(variant: Variant) -> None:
    both = variant.make([{"params": weights()[:1], "lr": 0.25}], lr=0.5)
    both.add_param_group({"params": weights()[1:], "weight_decay": 0.0})
    alone = [
        variant.make(weights()[:1], lr=0.25),
        variant.make(weights()[1:], lr=0.5, weight_decay=0.0),
    ]
    for step in range(7):
        gradients(parameters(both), step)
        for p, q in zip(parameters(both), [q for o in alone for q in parameters(o)], strict=True):
            q.grad = p.grad
        for optimizer in (both, *alone):
            optimizer.step()
    assert_identical(kept(both)[:3], [q.detach() for o in alone for q in parameters(o)])


def cycle(optimizer: Any) -> bool:
    """Whether OneCycleLR finds a momentum to move."""
    return "momentum" in optimizer.defaults or "betas" in optimizer.defaults


SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "ExponentialLR": lambda o: schedulers.ExponentialLR(o, gamma=0.5),
    "LambdaLR": lambda o: schedulers.LambdaLR(o, lambda step: 1 / (1 + step)),
    "OneCycleLR": lambda o: schedulers.OneCycleLR(o, 0.5, total_steps=9, cycle_momentum=cycle(o)),
    "CyclicLR": lambda o: schedulers.CyclicLR(o, 0.01, 0.1, step_size_up=2, cycle_momentum=cycle(o)),
    "ReduceLROnPlateau": lambda o: schedulers.ReduceLROnPlateau(o, patience=1),
    "SequentialLR": lambda o: schedulers.SequentialLR(
        o,
        [
            schedulers.LinearLR(o, start_factor=0.25, total_iters=3),
            schedulers.CosineAnnealingLR(o, T_max=4),
        ],
        milestones=[3],
    ),
}


@each_variant
@pytest.mark.parametrize(
    ("schedule", "tensor"),
    [*((name, False) for name in SCHEDULES), ("ExponentialLR", True), ("OneCycleLR", True)],
)
def test_schedulers_reach_the_step(variant: Variant, schedule: str, tensor: bool) -> None:
    """Under a schedule, the same steps as with its numbers set by hand."""
    rate: Any = torch.tensor(0.125) if tensor else 0.125
    scheduled, by_hand = variant.make(weights(), lr=rate), variant.make(weights(), lr=0.125)
    scheduler = SCHEDULES[schedule](scheduled)
    seen = []
    for step in range(8):
        for group, other in zip(scheduled.param_groups, by_hand.param_groups, strict=True):
            for name in ("lr", "momentum", "betas"):
                if name in group:
                    number = group[name].item() if isinstance(group[name], torch.Tensor) else group[name]
                    other[name] = number
                    seen.append((name, number))
        train(scheduled, 1, start=step)
        train(by_hand, 1, start=step)
        scheduler.step(*([1.0] if schedule == "ReduceLROnPlateau" else []))
    assert_identical(kept(scheduled), kept(by_hand))
    assert len({number for name, number in seen if name == "lr"}) > 2
    if "Cycl" in schedule and "betas" in variant.numbers:
        assert len({number for name, number in seen if name == "betas"}) > 2
    constant = train(variant.make(weights(), lr=0.125), 8)
    assert not any(torch.equal(x, y) for x, y in zip(kept(scheduled), constant, strict=False))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_and_its_optimizer_resume_together(schedule: str) -> None:
    def made(params: Any) -> tuple[Any, Any]:
        optimizer = BY_NAME["Adam"].make(params)
        return optimizer, SCHEDULES[schedule](optimizer)

    def run(optimizer: Any, scheduler: Any, steps: range) -> list[torch.Tensor]:
        for step in steps:
            train(optimizer, 1, start=step)
            scheduler.step(*([1.0] if schedule == "ReduceLROnPlateau" else []))
        return kept(optimizer)

    whole = run(*made(weights()), range(8))
    optimizer, scheduler = made(weights())
    half = run(optimizer, scheduler, range(4))[:3]
    resumed, continued = made([p.requires_grad_() for p in half])
    continued.load_state_dict(copy.deepcopy(scheduler.state_dict()))
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert_identical(run(resumed, continued, range(4, 8)), whole)


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


@each_variant
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_numbers_can_be_tensors(variant: Variant, shape: tuple[int, ...]) -> None:
    """Of one element, as in torch, which has them for lr and betas."""
    plain = {name: 0.25 for name in variant.numbers if name != "betas"}
    given: dict[str, Any] = {name: torch.full(shape, x) for name, x in plain.items()}
    if "betas" in variant.numbers:
        plain["betas"] = (0.5, 0.75)  # type: ignore[assignment]
        given["betas"] = (torch.full(shape, 0.5), torch.full(shape, 0.75))
    a, b = variant.make(weights(), **given), variant.make(weights(), **plain)
    train(a, 7)
    train(b, 7)
    assert_identical(kept(a), kept(b))
    assert a.param_groups[0]["lr"] is given["lr"]


@each_variant
@pytest.mark.parametrize("form", ["shipped", "reference"])
def test_maximize_mirrors(variant: Variant, form: str) -> None:
    ascent = variant.make(weights(), form, maximize=True)
    descent = variant.make(weights(), form)
    for step in range(7):
        gradients(parameters(ascent), step)
        for p, q in zip(parameters(ascent), parameters(descent), strict=True):
            assert p.grad is not None
            q.grad = -p.grad
        ascent.step()
        descent.step()
    assert_identical(kept(ascent), kept(descent))


@each_variant
def test_closure(variant: Variant) -> None:
    params = weights()
    optimizer = variant.make(params)
    calls = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.stack([(p - 3).square().sum() for p in params]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        calls.append(loss.item())
        return loss

    before = [p.detach().clone() for p in params]
    for _ in range(7):
        loss = optimizer.step(closure)
        assert loss.item() == calls[-1]
    assert len(calls) == 7
    assert all(not torch.equal(p, q) for p, q in zip(params, before, strict=True))
    assert variant.make(weights()).step() is None


@each_variant
@pytest.mark.parametrize("form", ["shipped", "reference"])
@pytest.mark.parametrize("maximize", [False, True])
def test_gradients_are_not_written_to(variant: Variant, form: str, maximize: bool) -> None:
    optimizer = variant.make(weights(), form, maximize=maximize)
    params = parameters(optimizer)
    gradients(params, 0)
    grads = [p.grad for p in params]
    values = [g.clone() for g in grads if g is not None]
    for _ in range(7):
        optimizer.step()
    assert all(p.grad is g for p, g in zip(params, grads, strict=True))
    assert_identical([g for g in grads if g is not None], values)


@each_variant
@pytest.mark.parametrize("form", ["shipped", "reference"])
def test_without_a_gradient_nothing_happens(variant: Variant, form: str) -> None:
    """Its state begins, and its steps are counted, from its first gradient."""
    optimizer = variant.make(weights(), form)
    moved, still, last = parameters(optimizer)
    for step in range(3):
        gradients([moved, last], step)
        optimizer.step()
    assert torch.equal(still, weights()[1])
    assert still not in optimizer.state
    assert optimizer.state[moved]["step"].item() == 3.0
    assert optimizer.state[moved]["step"].dtype == torch.float32
    late = variant.make([weights()[1]], form)
    for step in range(7):
        gradients([moved], step)
        gradients(parameters(late), step)
        still.grad = parameters(late)[0].grad
        optimizer.step()
        late.step()
    assert_identical(kept(late)[:1], [still.detach()])
    assert optimizer.state[still]["step"].item() == 7.0


@each_variant
@pytest.mark.parametrize("form", ["shipped", "reference"])
def test_nothing_to_step(variant: Variant, form: str) -> None:
    """No gradient at all, an empty tensor, an empty group."""
    empty = torch.zeros(2, 0, requires_grad=True)
    optimizer = variant.make([{"params": [empty]}, {"params": []}], form)
    optimizer.step()
    assert not optimizer.state
    empty.grad = torch.zeros(2, 0)
    for _ in range(7):
        optimizer.step()
    assert optimizer.state[empty]["step"].item() == 7.0
    assert {s.shape for s in optimizer.state[empty].values()} <= {torch.Size([]), torch.Size([2, 0])}


@pytest.mark.parametrize("form", ["shipped", "reference"])
def test_named_parameters(form: str) -> None:
    model = torch.nn.Linear(2, 1)
    optimizer = BY_NAME["NAdam"].make(model.named_parameters(), form)
    train(optimizer, 2)
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]
    other = BY_NAME["NAdam"].make(copy.deepcopy(model).named_parameters(), form)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(optimizer, 2, start=2)
    train(other, 2, start=2)
    assert_identical(kept(other), kept(optimizer))


def test_an_optimizer_of_an_older_version_takes_the_new_arguments() -> None:
    """A pickle lacks, in its groups, the arguments that were not there yet."""
    optimizer = BY_NAME["SGD, momentum"].make(weights())
    train(optimizer, 2)
    for name in ("ema", "decay", "capturable", "differentiable"):
        del optimizer.param_groups[0][name]
    twin = pickle.loads(pickle.dumps(optimizer))
    whole = BY_NAME["SGD, momentum"].make(weights())
    train(whole, 5)
    train(twin, 3, start=2)
    assert_identical(kept(twin), kept(whole))


#: SWATS has tests of its own: it does not go coordinate by coordinate, nor into a kernel.
OTHERS = {"Base", "SAM", "SWATS", "Schedule", "Preset", "Evidence", "Task", "PRESETS"}


def test_the_table_has_every_rule() -> None:
    rules = {name for name in ours.__all__ if name[0].isupper() and not name.endswith("Reference")}
    assert {variant.shipped.__name__ for variant in VARIANTS} == rules - OTHERS
    assert len(BY_NAME) == len(VARIANTS)


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
    *[(cls, "eps", float("nan"), "[0, inf)") for cls in (ours.NAdam, ours.RAdam)],
    (ours.NAdam, "momentum_decay", -1.0, "[0, inf)"),
    (ours.Adam, "lr", torch.tensor([0.1, 0.2]), "[0, inf)"),
    *[(cls, "lr", -0.5, "[0, inf)") for cls in (ours.AdamW, ours.AMSGrad, ours.SGDReference)],
    (ours.AdamW, "weight_decay", -0.1, "[0, inf)"),
    (ours.Adagrad, "lr_decay", float("inf"), "[0, inf)"),
    (ours.Adagrad, "initial_accumulator_value", -1.0, "[0, inf)"),
    *[(ours.SGD, "momentum", x, "[0, 1)") for x in (float("nan"), -0.1, 1.0)],
    (ours.SGD, "dampening", 1.0, "[0, 1)"),
    (ours.RMSprop, "alpha", 1.0, "[0, 1)"),
]


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
        (ours.AMSGrad, {"decay": "L2"}, ["decay", "'L2'", "'l2', 'coupled', 'uncoupled'"]),
        (ours.NAdam, {"form": "keras"}, ["form", "'keras'", "'frameworks', 'dozat', 'constant'"]),
        (ours.RAdam, {"threshold": 6}, ["threshold", "6", "(4, 5)"]),
        (ours.RAdam, {"before": "sgd"}, ["before", "'sgd'", "'momentum', 'nothing'"]),
        (ours.Adam, {"eps_beside": "both"}, ["eps_beside", "'both'", "'corrected', 'raw'"]),
        (ours.Adam, {"bias_correction": None}, ["bias_correction", "None", "(True, False)"]),
        (ours.RMSprop, {"eps_inside": "yes"}, ["eps_inside", "'yes'", "(True, False)"]),
        (ours.RMSprop, {"centered": 2}, ["centered", "2", "(True, False)"]),
        (ours.SGD, {"ema": True}, ["ema", "momentum 0.0", "(0, 1)"]),
        (ours.SGD, {"ema": True, "momentum": 0.5, "dampening": 0.5}, ["ema", "dampening 0.5"]),
        (ours.SGD, {"ema": "yes", "momentum": 0.5}, ["ema", "'yes'", "(True, False)"]),
        (ours.SGD, {"decay": None}, ["decay", "None", "'l2'"]),
        (ours.SGD, {"maximize": 1}, ["maximize", "True or False", "1"]),
        (ours.SGD, {"capturable": None}, ["capturable", "True or False", "None"]),
        (ours.SGD, {"differentiable": "no"}, ["differentiable", "True or False", "'no'"]),
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


# -- what changes between steps --------------------------------------------------------------------

FORMS = pytest.mark.parametrize("compiled", [False, True])
WRONG = [
    *[("lr", x) for x in (float("nan"), float("inf"), -1.0, "0.1", None, torch.tensor(float("nan")))],
    *[("betas", x) for x in ((1.5, 0.9), (0.9, float("nan")), (0.9,), "ab", [0.9, -0.1])],
    ("weight_decay", -0.1),
    ("eps", np.float64("nan")),
    ("eps_beside", "both"),
    ("maximize", 1),
]


@FORMS
@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_is_set_between_steps_is_checked(name: str, value: Any, compiled: bool) -> None:
    """Refused before anything moves, in earlier groups too; put right, it goes on as if nothing was."""
    made = [ours.Adam([{"params": [p]} for p in weights()], compiled=compiled) for _ in range(2)]
    for optimizer in made:
        train(optimizer, 3)
    optimizer, whole = made
    before = kept(optimizer)
    group = optimizer.param_groups[-1]
    right, group[name] = group[name], value
    for _ in range(2):  # it is not taken at the second attempt
        with pytest.raises(ValueError, match="must be") as refused:
            optimizer.step()
        assert_one_sentence(str(refused.value), name.rstrip("s"))
    assert_identical(kept(optimizer), before)
    group[name] = right
    for o in made:
        train(o, 2, start=3)
    assert_identical(kept(optimizer), kept(whole))


@FORMS
@pytest.mark.parametrize(
    ("name", "thing", "at"),
    [("betas", [0.5, 0.25], 1), ("lr", torch.tensor(0.25), ()), ("eps", np.array(0.25), ())],
)
def test_what_is_changed_in_place_is_read_again(name: str, thing: Any, at: Any, compiled: bool) -> None:
    """A list, a tensor and an array are the same objects with other numbers."""
    thing = copy.deepcopy(thing)
    optimizer = ours.Adam(weights(), **{name: thing}, compiled=compiled)
    twin = ours.Adam(weights(), **{name: copy.deepcopy(thing)}, compiled=compiled)
    for step, number in enumerate((0.25, 0.25, 0.75, 0.75, 0.5)):
        thing[at] = number
        again = copy.deepcopy(thing)
        twin.param_groups[0][name] = again
        train(optimizer, 1, start=step)
        train(twin, 1, start=step)
    assert_identical(kept(optimizer), kept(twin))
    thing[at] = -1.5
    with pytest.raises(ValueError, match="must be a number"):
        optimizer.step()


def test_settings_are_read_once() -> None:
    """While a group says the same; another number has them read again."""
    optimizer = ours.Adam(weights(), lr=0.5)
    seen: list[Any] = []
    honest = optimizer._check
    optimizer._check = lambda h: seen.append(h["eps"]) or honest(h)  # type: ignore[method-assign]
    for eps in (0.5, 0.5, 0.25, 0.25):
        optimizer.param_groups[0]["eps"] = eps
        train(optimizer, 1)
    assert seen == [0.5, 0.25]


@pytest.mark.parametrize("capturable", [False, True])
def test_what_is_set_is_checked_where_numbers_stay_on_the_device(capturable: bool) -> None:
    optimizer = ours.Adam(weights(), capturable=capturable)
    train(optimizer, 1)
    optimizer.param_groups[0]["lr"] = -1.0
    with pytest.raises(ValueError, match="lr must be"):
        train(optimizer, 1)


@pytest.mark.parametrize(
    ("name", "near"),
    [("weight_decy", "weight_decay"), ("beta", "betas"), ("Lr", None), ("maximise", "maximize")],
)
def test_a_misspelt_option_of_a_group(name: str, near: str | None) -> None:
    groups = [{"params": weights(), name: 0.1}]
    if near is None:
        assert name in ours.AdamW(groups).param_groups[0]
        return
    for make in (lambda: ours.AdamW(groups), lambda: ours.AdamW(weights()).add_param_group(groups[0])):
        with pytest.raises(ValueError, match="nearest") as refused:
            make()
        assert_one_sentence(str(refused.value), repr(name), repr(near))
    optimizer = ours.AdamW(weights())
    with pytest.raises(ValueError, match="nearest"):
        optimizer.add_param_group({"params": [torch.zeros(2, requires_grad=True)], name: 0.1})
    assert len(optimizer.param_groups) == 1


@each_variant
def test_a_group_may_hold_what_is_the_users_own(variant: Variant) -> None:
    """And what schedules of torch put into groups, which are copied to another optimizer."""
    optimizer = variant.make(weights())
    schedulers.OneCycleLR(optimizer, 0.5, total_steps=9, cycle_momentum=cycle(optimizer))
    group = {**optimizer.param_groups[0], "layer": 3, "name": "head", "lr_scale": 0.5, "swa_lr": 0.1}
    train(variant.make([group]), 2)


@FORMS
def test_a_gradient_of_another_type_is_refused_before_anything_moves(compiled: bool) -> None:
    first, second = torch.ones(3, requires_grad=True), torch.ones(2, requires_grad=True)
    optimizer = ours.Adam([{"params": [first]}, {"params": [second]}], compiled=compiled)
    for step in range(3):  # the last time it was already stepped
        first.grad, second.grad = torch.ones(3), torch.ones(2)
        if step:
            optimizer.step()
        before = kept(optimizer)
        second.grad = None
        second.data = second.data.double()
        second.grad = torch.ones(2, dtype=torch.float64)
        second.data = second.data.float()
        with pytest.raises(TypeError, match="before step") as refused:
            optimizer.step()
        assert_one_sentence(str(refused.value), "torch.float64", "torch.float32")
        assert_identical(kept(optimizer), before)
        second.grad = None


def test_a_gradient_of_another_type_beside_what_a_kernel_steps() -> None:
    """A complex parameter is stepped without a kernel, and looked at even where the others are known."""
    first = torch.ones(3, requires_grad=True)
    second = torch.ones(2, dtype=torch.complex64, requires_grad=True)
    optimizer = ours.Adam([first, second], compiled=True)
    for _ in range(2):
        first.grad, second.grad = torch.ones(3), torch.ones(2, dtype=torch.complex64)
        optimizer.step()
    before = kept(optimizer)
    second.grad = None
    second.data = second.data.to(torch.complex128)
    second.grad = torch.ones(2, dtype=torch.complex128)
    second.data = second.data.to(torch.complex64)
    with pytest.raises(TypeError, match="before step"):
        optimizer.step()
    assert_identical(kept(optimizer), before)


@FORMS
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.array, lambda x: np.array([x])])
def test_numbers_of_numpy_are_numbers(kind: Any, compiled: bool) -> None:
    both = [
        ours.AdamW(weights(), lr=kind(0.25), weight_decay=kind(0.5), betas=(kind(0.5), kind(0.75)),
                   compiled=compiled),
        ours.AdamW(weights(), lr=0.25, weight_decay=0.5, betas=(0.5, 0.75), compiled=compiled),
    ]  # fmt: skip
    for optimizer in both:
        schedule = schedulers.ExponentialLR(optimizer, gamma=0.5)
        for step in range(4):
            train(optimizer, 1, start=step)
            schedule.step()
    assert_identical(*map(kept, both))


@pytest.mark.parametrize(
    "lr", [np.array([0.1, 0.2]), np.array([]), np.float64("nan"), np.array("a"), np.complex128(0.1)]
)
def test_arrays_that_are_no_number_are_refused(lr: Any) -> None:
    with pytest.raises(ValueError, match="lr must be a number in"):
        ours.AdamW(weights(), lr=lr)


def test_what_a_rule_writes_into_its_group_is_not_the_users_mistake() -> None:
    """SWATS keeps an average there, which a gradient that is NaN spoils, as it spoils parameters."""
    p = torch.ones(3, requires_grad=True)
    optimizer = ours.SWATS([p])
    for number in (1.0, float("nan"), 1.0):
        p.grad = torch.full((3,), number)
        optimizer.step()
    assert optimizer.param_groups[0]["steps"] == 3
    optimizer.param_groups[0]["lr"] = -1.0
    with pytest.raises(ValueError, match="lr must be"):
        optimizer.step()


@FORMS
def test_a_rate_that_goes_to_zero_and_back(compiled: bool) -> None:
    """Under a schedule little is read anew: not what a rate of 0 leaves out."""
    made = [
        (ours.SGD if form else ours.SGDReference)(weights(), lr=0.0, momentum=0.5, compiled=compiled)
        for form in (True, False)
    ]
    for step, rate in enumerate((0.0, 0.5, 0.25, 0.0, 0.125, 1, 0.5, True, 0.25)):
        for optimizer in made:
            optimizer.param_groups[0]["lr"] = rate
            train(optimizer, 1, start=step)
    for x, y in zip(*map(kept, made), strict=True):
        torch.testing.assert_close(x, y)
    for wrong in (float("nan"), -0.5):
        made[0].param_groups[0]["lr"] = wrong
        with pytest.raises(ValueError, match="lr must be"):
            made[0].step()
