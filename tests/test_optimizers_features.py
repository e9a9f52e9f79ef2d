"""What a step can do beside the plain one: complex, sparse, sharded, on the device, under autograd."""

import copy
import importlib
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo.testing
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint import state_dict as distributed_state
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from adamproof import optimizers as ours

from .family import (
    BY_NAME,
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

HAS_COMPILER = any(map(shutil.which, filter(None, (os.environ.get("CC"), "cc", "gcc", "clang"))))
needs_compiler = pytest.mark.skipif(not HAS_COMPILER, reason="there is no C compiler")
FORMS = ["shipped", "reference", pytest.param("compiled", marks=needs_compiler)]
each_form_but_reference = pytest.mark.parametrize("form", FORMS[::2])
each_form = pytest.mark.parametrize("form", FORMS)


def close(a: list[Tensor], b: list[Tensor], within: float = 2**-36) -> None:
    """Equal up to rounding, relative to 1 or to the largest coordinate."""
    for x, y in zip(a, b, strict=True):
        assert x.shape == y.shape
        if x.numel():
            scale = max(1.0, y.detach().abs().max().item())
            assert (x.detach() - y.detach()).abs().max().item() <= within * scale


def untouched(optimizer: Any, error: type[Exception], refused: Callable[[], Any]) -> str:
    """What is said where something is refused; nothing has changed, and training goes on."""
    twin, state, groups = copy.deepcopy(optimizer), optimizer.state, optimizer.param_groups
    entries = [(p, name, value) for p, s in state.items() for name, value in s.items()]
    before, told = kept(optimizer), [str(sorted(g.items(), key=str)) for g in groups]
    with pytest.raises(error) as caught:
        refused()
    assert_identical(kept(optimizer), before)
    assert optimizer.state is state and optimizer.param_groups is groups
    assert [str(sorted(g.items(), key=str)) for g in groups] == told
    assert all(optimizer.state[p][name] is value for p, name, value in entries)
    train(optimizer, 2, start=50)
    train(twin, 2, start=50)
    assert_identical(kept(optimizer), kept(twin))
    return str(caught.value)


# -- complex ---------------------------------------------------------------------------------------


def complex_run(optimizer: Any, steps: int = 8) -> list[Tensor]:
    noise = torch.Generator().manual_seed(3)
    for _ in range(steps):
        for p in parameters(optimizer):
            p.grad = torch.randn(p.shape, dtype=p.dtype, generator=noise)
        optimizer.step()
    return kept(optimizer)


def complex_weights(dtype: torch.dtype = torch.complex128) -> list[Tensor]:
    noise = torch.Generator().manual_seed(4)
    shapes = [(2, 3), (), (0,)]
    return [torch.randn(s, dtype=dtype, generator=noise).requires_grad_() for s in shapes]


@each_with_twin
def test_complex_parameters_are_those_of_torch(variant: Variant) -> None:
    optimizer, twin = variant.make(complex_weights()), variant.make_twin(complex_weights())
    complex_run(optimizer)
    complex_run(twin)
    for p, q in zip(parameters(optimizer), parameters(twin), strict=True):
        close([p], [q], variant.within)
        for name, value in twin.state[q].items():
            assert optimizer.state[p][name].dtype == value.dtype
            close([optimizer.state[p][name]], [value], variant.within)


@each_variant
@pytest.mark.parametrize(
    ("form", "dtype"),
    [*((form, dtype) for form in FORMS[:2] for dtype in (torch.complex64, torch.complex128)),
     pytest.param("compiled", torch.complex64, marks=needs_compiler)],
    ids=str,
)  # fmt: skip
def test_complex_parameters_are_pairs(variant: Variant, form: str, dtype: torch.dtype) -> None:
    pairs = [torch.view_as_real(p.detach()).clone().requires_grad_() for p in complex_weights(dtype)]
    optimizer, real = variant.make(complex_weights(dtype), form), variant.make(pairs, form)
    noise = torch.Generator().manual_seed(3)
    for step in range(8):
        for p, q in zip(parameters(optimizer), pairs, strict=True):
            p.grad = torch.randn(p.shape, dtype=p.dtype, generator=noise)
            q.grad = torch.view_as_real(p.grad).clone()
            if step % 2:  # conjugated in name only
                p.grad = p.grad.conj().resolve_conj().conj()
                assert p.numel() == 0 or p.grad.is_conj()
        optimizer.step()
        real.step()
    found = [torch.view_as_real(x) if x.is_complex() else x for x in kept(optimizer)]
    assert_identical(found, kept(real))


@each_variant
def test_complex_checkpoints_continue(variant: Variant) -> None:
    optimizer = variant.make(complex_weights())
    half = complex_run(optimizer)[:3]
    resumed = variant.make([p.requires_grad_() for p in half])
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert_identical(complex_run(resumed), complex_run(optimizer))


def test_a_parameter_that_is_conjugated_in_name_only_is_refused() -> None:
    p = torch.ones(2, dtype=torch.complex64).conj().requires_grad_()
    with pytest.raises(ValueError, match="conjugated only in name") as refused:
        ours.SGD([p])
    assert_one_sentence(str(refused.value), "p.resolve_conj()")


# -- sparse ----------------------------------------------------------------------------------------

#: Rules that leave a parameter with a zero gradient as it is.
IDLE = {"SGD": {}, "SGD, uncoupled": {}, "Adagrad": {}}


def idle(name: str, params: Any, form: str = "shipped", **more: Any) -> Any:
    return BY_NAME[name].make(params, form, weight_decay=0.0, **more)


def rows(step: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A gradient for the weight of an embedding of 5 by 2, in which row 3 comes twice."""
    at = [[], [3, 1, 3], [0, 4, 4], [2]][step % 4]
    values = torch.cos(torch.arange(2.0 * len(at)) + step).reshape(len(at), 2).to(dtype)
    with torch.sparse.check_sparse_tensor_invariants():
        return torch.sparse_coo_tensor(torch.tensor([at], dtype=torch.int64), values, (5, 2))


@pytest.mark.parametrize("name", IDLE)
@each_form
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64], ids=str)
def test_sparse_is_dense(name: str, form: str, maximize: bool, dtype: torch.dtype) -> None:
    """Bit for bit the reference form, along a dense parameter in the same group."""

    def made(form: str) -> Any:
        start = torch.linspace(-1, 1, 10).reshape(5, 2).to(dtype)
        return idle(name, [start.requires_grad_(), *weights()], form, maximize=maximize)

    sparse, dense = made(form), made("reference")
    for step in range(9):
        for optimizer in (sparse, dense):
            gradients(parameters(optimizer), step)
            parameters(optimizer)[0].grad = rows(step, dtype)
        grad = parameters(sparse)[0].grad
        assert grad is not None
        before = grad._indices().clone(), grad._values().clone()
        parameters(dense)[0].grad = grad.to_dense()
        sparse.step()
        dense.step()
        assert_identical([grad._indices(), grad._values()], list(before))
    assert_identical(kept(sparse)[:1], kept(dense)[:1])
    states = [optimizer.state[parameters(optimizer)[0]] for optimizer in (sparse, dense)]
    assert_identical(
        [states[0][n] for n in sorted(states[0])], [states[1][n] for n in sorted(states[0])]
    )
    close(parameters(sparse)[1:], parameters(dense)[1:], 1e-6)


@pytest.mark.parametrize("name", IDLE)
def test_a_sparse_embedding_trains(name: str) -> None:
    outcome = []
    for sparse in (False, True):
        torch.manual_seed(0)
        table = torch.nn.Embedding(7, 3, sparse=sparse)
        optimizer = idle(name, table.parameters(), "reference")
        for step in range(6):
            optimizer.zero_grad()
            loss = (table(torch.tensor([step % 7, 2, 2])) - 1).square().sum()
            loss.backward()
            optimizer.step()
        outcome.append(kept(optimizer))
    for a, b in zip(*outcome, strict=True):  # a row that comes twice is summed in another order
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_a_fully_sparse_gradient() -> None:
    """Coordinates, not rows: the indices run over every dimension; also of a parameter without any."""
    p, q = torch.ones(3, 4, requires_grad=True), torch.ones((), requires_grad=True)
    g = torch.zeros(3, 4)
    g[1, 2], g[0, 0] = 0.5, -1.0
    p.grad, q.grad = g.to_sparse(), torch.tensor(2.0).to_sparse()
    optimizer = ours.Adagrad([p, q], lr=0.5)
    optimizer.step()
    wanted = torch.ones(3, 4)
    wanted[1, 2], wanted[0, 0] = 0.5, 1.5
    torch.testing.assert_close(p.detach(), wanted)
    torch.testing.assert_close(q.detach(), torch.tensor(0.5))


@pytest.mark.parametrize("capturable", [False, True])
def test_sparse_and_dense_by_turns(capturable: bool) -> None:
    outcome = []
    for turn in (False, True):
        p = torch.linspace(-1, 1, 10).reshape(5, 2).requires_grad_()
        optimizer = idle("Adagrad", [p], "reference", capturable=capturable)
        for step in range(8):
            g = rows(step)
            p.grad = g if turn and step % 3 else g.to_dense()
            optimizer.step()
        outcome.append(kept(optimizer))
    assert_identical(*outcome)


@each_variant
@each_form
@pytest.mark.parametrize("steps", [0, 3])
def test_a_sparse_gradient_is_refused_before_anything_moves(
    variant: Variant, form: str, steps: int
) -> None:
    """With a decay, no rule is idle."""
    a, b, _ = weights()
    sparse = weights()[0]
    optimizer = variant.make([{"params": [b]}, {"params": [a, sparse]}], form)
    train(optimizer, steps)
    gradients(parameters(optimizer), 9)
    sparse.grad = torch.ones(2, 3).to_sparse()
    told = untouched(optimizer, TypeError, optimizer.step)
    assert_one_sentence(told, type(optimizer).__name__, "to_dense()")


@pytest.mark.parametrize("name", IDLE)
def test_differentiable_takes_no_sparse_gradient(name: str) -> None:
    x = torch.ones(2, 3, requires_grad=True).clone()
    x.retain_grad()
    optimizer = idle(name, [x], differentiable=True)
    x.grad = torch.ones(2, 3).to_sparse()
    with pytest.raises(TypeError, match="dense") as refused:
        optimizer.step()
    assert_one_sentence(str(refused.value), "to_dense()")
    assert not optimizer.state


@pytest.mark.parametrize("name", [*IDLE, "Adam"])
@pytest.mark.parametrize("layout", ["coo", "csr", "csc"])
def test_sparse_parameters_are_refused(name: str, layout: str) -> None:
    """Torch gives a dense parameter no gradient of layout CSR, but a parameter of layout CSR one."""
    made = {"coo": Tensor.to_sparse, "csr": Tensor.to_sparse_csr, "csc": Tensor.to_sparse_csc}[layout]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse C", category=UserWarning)  # in beta
        p = made(torch.ones(2, 3)).requires_grad_()
    optimizer = BY_NAME[name].make(weights())
    told = untouched(optimizer, TypeError, lambda: optimizer.add_param_group({"params": [p]}))
    assert_one_sentence(told, "dense parameters", "to_dense()")


# -- under autograd --------------------------------------------------------------------------------

SMOOTH = ["SGD", "SGD, nesterov", "SGD, ema", "SGD, uncoupled", "Adagrad", "RMSprop, Graves", "Adam",
          "Adam, uncorrected", "Adam, eps hat", "AdamW", "AdamW, uncoupled", "AMSGrad, coupled",
          "NAdam", "NAdam, dozat", "NAdam, constant", "RAdam", "RAdam, waits"]  # fmt: skip


def unrolled(variant: Variant, x: Tensor, numbers: dict[str, Any], steps: int, **more: Any) -> Any:
    """The optimizer after a few steps down a function that is not quadratic."""
    p = x.clone()
    optimizer = variant.make([p], **numbers, **more)
    for _ in range(steps):
        p.retain_grad()  # else torch warns of whoever looks at p.grad
        x = p.clone()  # which the graph of the loss may keep
        loss = (x**4 / 4 + torch.arange(1.0, 4, dtype=torch.float64) * x).sum()
        (p.grad,) = torch.autograd.grad(loss, x, create_graph=True)
        optimizer.step()
    return optimizer


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("maximize", [False, True])
def test_gradients_through_the_step(name: str, maximize: bool) -> None:
    """With respect to the start, every number that is a tensor, and into parameters and state."""
    variant = BY_NAME[name]
    left = ["betas", "initial_accumulator_value", "eps"]
    left += ["momentum_decay"] if name == "NAdam, constant" else []  # which does without
    names = [n for n in variant.numbers if n not in left]
    flat = {n: variant.fixed[n] for n in names} | {"lr": 0.03}
    if "betas" in variant.numbers:
        flat |= {"beta1": 0.8, "beta2": 0.95}
    steps = 7 if "RAdam" in name else 3

    def outcome(x: Tensor, *numbers: Tensor) -> tuple[Tensor, ...]:
        given: dict[str, Any] = dict(zip(flat, numbers, strict=True))
        if "beta1" in given:
            given["betas"] = given.pop("beta1"), given.pop("beta2")
        optimizer = unrolled(variant, x, given, steps, differentiable=True, maximize=maximize)
        (p,) = parameters(optimizer)
        state = optimizer.state[p]
        assert state["step"].item() == steps
        return p, *(state[n] for n in sorted(state) if n != "step")

    x = torch.tensor([0.5, -0.7, 0.9], dtype=torch.float64, requires_grad=True)
    numbers = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in flat.values()]
    assert torch.autograd.gradcheck(outcome, (x, *numbers), atol=1e-5, rtol=1e-4)
    (p, *_) = outcome(x, *numbers)
    slopes = torch.autograd.grad(p.sum(), (x, *numbers), allow_unused=True)
    assert all(s is not None and s.abs().sum() > 0 for s in slopes)


@each_variant
def test_differentiable_steps_are_the_reference(variant: Variant) -> None:
    x = torch.tensor([0.5, -0.7, 0.9], dtype=torch.float64)
    found = unrolled(variant, x.clone().requires_grad_(), {}, 8, differentiable=True)
    p = x.clone().requires_grad_()
    wanted = variant.make([p], "reference")
    for _ in range(8):
        p.grad = p.detach() ** 3 + torch.arange(1.0, 4, dtype=torch.float64)
        wanted.step()
    close(parameters(found), [p], 1e-6 if variant.shipped is ours.NAdam else 2**-36)


def test_differentiable_complex() -> None:
    def outcome(x: Tensor, lr: Tensor) -> Tensor:
        p = x.clone()
        optimizer = ours.Adam([p], lr=lr, differentiable=True)
        for _ in range(3):
            p.retain_grad()
            z = p.clone()
            p.grad = z * z.conj() * z + 1
            optimizer.step()
        return p

    x = torch.tensor([0.5 + 0.2j, -0.7j], dtype=torch.complex128, requires_grad=True)
    lr = torch.tensor(0.05, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(outcome, (x, lr))


def test_differentiable_refuses_leaves_before_anything_moves() -> None:
    """A leaf has no past that a gradient could flow into."""
    optimizer = ours.Adam(weights())
    train(optimizer, 2)
    optimizer.param_groups[0]["differentiable"] = True
    gradients(parameters(optimizer), 2)
    before = kept(optimizer)
    with pytest.raises(TypeError, match="differentiable=True") as refused:
        optimizer.step()
    assert_one_sentence(str(refused.value), "x.clone()")
    assert_identical(kept(optimizer), before)


# -- on the device ---------------------------------------------------------------------------------


class NothingFetched(TorchDispatchMode):
    """Refuses to hand a number of a tensor to Python."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@each_variant
@pytest.mark.parametrize("form", ["shipped", "reference"])
@pytest.mark.parametrize("tensor", [False, True])
def test_capturable_is_the_plain_step(variant: Variant, form: str, tensor: bool) -> None:
    """In float64, where float32 numbers would show: 1 - β^t keeps half its digits there."""
    rate: Any = torch.tensor(0.01) if tensor else torch.tensor(0.01).item()
    a = variant.make(weights(torch.float64), form, lr=rate, capturable=True)
    b = variant.make(weights(torch.float64), form, lr=torch.tensor(0.01).item())
    for step in range(9):
        gradients(parameters(a), step)
        with NothingFetched():
            a.step()
    train(b, 9)
    close(kept(a), kept(b))
    assert a.param_groups[0]["lr"] is rate
    assert {x.dtype for x in kept(a)} == {x.dtype for x in kept(b)}


@each_variant
def test_capturable_steps_on_its_device(variant: Variant) -> None:
    """Also where it was switched on after some steps; meta tensors have no numbers to fetch."""
    for first in (True, False):
        params = [torch.zeros(3, device="meta", requires_grad=True)]
        optimizer = variant.make(params, capturable=first)
        for _ in range(2):
            params[0].grad = torch.zeros(3, device="meta")
            optimizer.step()
            optimizer.param_groups[0]["capturable"] = True
        assert {s.device.type for s in optimizer.state[params[0]].values()} == {"meta"}


@each_variant
def test_capturable_can_be_switched(variant: Variant) -> None:
    a, b = variant.make(weights(torch.float64)), variant.make(weights(torch.float64))
    for step in range(9):
        a.param_groups[0]["capturable"] = step % 3 == 1
        train(a, 1, start=step)
    train(b, 9)
    close(kept(a), kept(b))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_capturable_reckons_in_float64(dtype: torch.dtype) -> None:
    """ρ_5 is 4.996 for β2 = 0.999: in float32 it came out above RAdam's threshold."""
    outcome = []
    for capturable in (False, True):
        optimizer = ours.RAdam(weights(dtype), before="nothing", lr=1.0, capturable=capturable)
        outcome.append(train(optimizer, 5))
    assert_identical(*outcome)
    assert_identical(outcome[0], [p.detach() for p in weights(dtype)])


class Counted(ours.Base):
    """A rule with a number of its own, which is near 1, as that of NAdam is with a large β1."""

    def __init__(self, params: Any, beta: float = 0.999, **how: Any) -> None:
        super().__init__(params, {"lr": 1.0, "beta": beta}, how)

    def _buffers(self, h: Any) -> Any:
        return {}

    def _scalars(self, h: Any) -> Any:
        return {"product": 1.0}

    def _rule(self, x: Any, g: Any, t: Any, state: Any, h: Any) -> Any:
        product = state["product"] * h["beta"]
        return x - h["lr"] * (1 - product) * g, {"product": product}


class CountedReference(ours.Reference, Counted):
    pass


def test_scalars_are_reckoned_with_in_float64() -> None:
    outcome = []
    for capturable in (False, True):
        optimizer = CountedReference(weights(torch.float64), capturable=capturable)
        outcome.append(train(optimizer, 1))
        assert optimizer.state[parameters(optimizer)[0]]["product"].dtype is torch.float32
    close(*outcome)


# -- torch.compile ---------------------------------------------------------------------------------


@pytest.fixture
def dynamo() -> Iterator[None]:
    """It writes to the log what it does to the profiler's marks, and keeps what it has compiled."""
    torch._dynamo.reset()
    with warnings.catch_warnings():  # of torch's own, at the first import
        warnings.simplefilter("ignore", DeprecationWarning)
        importlib.import_module("torch._inductor.compile_fx")
    with torch._dynamo.config.patch(trace_autograd_ops=True):
        yield
    torch._dynamo.reset()


def compiled_training(
    optimizer: Any, model: Any, backend: Any, steps: int, rate: Callable[[int], None]
) -> list[Tensor]:
    x = torch.linspace(-1, 1, 15).reshape(5, 3)

    def step() -> Tensor:
        loss: Tensor = model(x).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        model.zero_grad()  # that of optimizers torch does not trace
        return loss.detach()

    run = torch.compile(step, fullgraph=True, backend=backend) if backend else step
    losses = []
    for k in range(steps):
        rate(k)
        losses.append(run())
    return [*kept(optimizer), *losses]


@pytest.mark.parametrize("name", ["RAdam", "NAdam", "SGD, momentum", "Adagrad"])
@pytest.mark.parametrize("tensor", [False, True])
@pytest.mark.usefixtures("dynamo")
def test_a_training_step_is_one_graph(name: str, tensor: bool) -> None:
    """One for the first step, which makes the state, and one for all others; no matter which rate.

    A rate that is a Python number is a constant to torch.compile until it changes for the first time.
    """
    outcome, graphs = [], torch._dynamo.testing.CompileCounter()
    for backend in (None, graphs):
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 2)
        optimizer = BY_NAME[name].make(model.parameters(), lr=torch.tensor(0.1) if tensor else 0.1)

        def rate(step: int, group: Any = optimizer.param_groups[0]) -> None:
            if step < 3:
                return
            if tensor:
                group["lr"].fill_(0.1 / step)
            else:
                group["lr"] = 0.1 / step

        outcome.append(compiled_training(optimizer, model, backend, 10, rate))
    close(outcome[1], outcome[0], 1e-6)
    assert graphs.frame_count == (2 if tensor else 3)


@pytest.mark.slow
@pytest.mark.usefixtures("dynamo")
@needs_compiler
@pytest.mark.skipif(
    " " in torch.__file__, reason="torch's compiler does not link where a folder's name has a space"
)
def test_a_compiled_training_step_follows_the_plain_one() -> None:
    """With the code generator of torch, once: through the threshold of RAdam."""
    outcome = []
    for backend in (None, "inductor"):
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 2)
        optimizer = BY_NAME["RAdam"].make(model.parameters())
        outcome.append(compiled_training(optimizer, model, backend, 8, lambda step: None))
    close(outcome[1], outcome[0], 1e-6)


# -- shards ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A mesh of one process."""
    meeting = tmp_path_factory.mktemp("meeting") / "point"
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=0, world_size=1)
    try:
        yield init_device_mesh("cpu", (1,))
    finally:
        dist.destroy_process_group()


@each_variant
@each_form
def test_a_sharded_parameter_is_its_shards(variant: Variant, form: str, mesh: Any) -> None:
    """A gradient that is laid out in another way is brought into the way of its parameter."""
    plain = variant.make(weights()[:2], form)
    sharded = [
        torch.nn.Parameter(distribute_tensor(w.detach(), mesh, [place]))
        for w, place in zip(weights(), (Shard(0), Replicate()), strict=False)
    ]
    optimizer = variant.make(sharded, form)
    for step in range(8):
        gradients(parameters(plain), step)
        for p, q in zip(sharded, parameters(plain), strict=True):
            assert q.grad is not None
            p.grad = distribute_tensor(q.grad, mesh, [(Replicate(), Shard(0))[step % 2]])
        optimizer.step()
        plain.step()
    found = [x.full_tensor() if isinstance(x, DTensor) else x for x in kept(optimizer)]
    assert_identical(found, kept(plain))
    for p in sharded:
        for name, value in optimizer.state[p].items():
            whole = name in ("step", "mu_product")
            assert isinstance(value, Tensor if whole else DTensor)
            assert whole or value.placements == p.placements


@pytest.mark.parametrize("name", ["SGD, momentum", "Adam", "NAdam", "RAdam"])
@each_form
def test_fully_sharded_training(name: str, form: str, mesh: Any) -> None:
    outcome = []
    for sharded in (False, True):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
        if sharded:
            fully_shard(model, mesh=mesh)
        optimizer = BY_NAME[name].make(model.parameters(), form)
        for step in range(8):
            optimizer.zero_grad()
            x = torch.cos(torch.arange(15.0) + step).reshape(5, 3)
            model(x).square().mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
        outcome.append([x.full_tensor() if isinstance(x, DTensor) else x for x in kept(optimizer)])
    close(*outcome, 1e-6)


@pytest.mark.parametrize("name", ["SGD, momentum", "Adam", "NAdam", "RAdam"])
def test_sharded_checkpoints(name: str, mesh: Any) -> None:
    """As distributed checkpoints have them, by the names of the parameters."""

    def made() -> tuple[Any, Any]:
        torch.manual_seed(0)
        model = fully_shard(torch.nn.Linear(3, 4), mesh=mesh)
        return model, BY_NAME[name].make(model.parameters())

    def run(model: Any, optimizer: Any, steps: range) -> list[Tensor]:
        for step in steps:
            optimizer.zero_grad()
            model(torch.cos(torch.arange(15.0) + step).reshape(5, 3)).square().mean().backward()
            optimizer.step()
        return [x.full_tensor() if isinstance(x, DTensor) else x for x in kept(optimizer)]

    whole = run(*made(), range(8))
    model, optimizer = made()
    run(model, optimizer, range(4))
    saved = copy.deepcopy(distributed_state.get_state_dict(model, optimizer))
    other, resumed = made()
    distributed_state.set_state_dict(
        other, resumed, model_state_dict=saved[0], optim_state_dict=saved[1]
    )
    assert_identical(run(other, resumed, range(4, 8)), whole)


def test_differentiable_refuses_shards(mesh: Any) -> None:
    p = torch.nn.Parameter(distribute_tensor(torch.ones(2), mesh, [Replicate()]))
    p.grad = torch.ones_like(p)
    optimizer = ours.SGD([p], differentiable=True)
    with pytest.raises(TypeError, match="on one device"):
        optimizer.step()
    assert not optimizer.state


TWO_PROCESSES = """
import sys
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from adamproof import optimizers as ours

rank, meeting, compiled = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "True"
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method="file://" + meeting, rank=rank, world_size=2)
mesh = init_device_mesh("cpu", (2,))
for make in (ours.Adam, ours.NAdam, ours.RAdam):
    outcome = []
    for sharded in (False, True):
        torch.manual_seed(0)
        # five rows for two processes; one row, of which the second has nothing
        model = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))
        if sharded:
            fully_shard(model, mesh=mesh)
        optimizer = make(model.parameters(), lr=0.05, compiled=compiled)
        for step in range(8):
            optimizer.zero_grad()
            x = torch.cos(torch.arange(15.0) + step).reshape(5, 3)
            model(x).square().mean().backward()
            optimizer.step()
        outcome.append([p.full_tensor() if sharded else p.detach() for p in model.parameters()])
    for a, b in zip(*outcome, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
# a gradient that is laid out in another way
whole = torch.linspace(-1, 1, 10).reshape(5, 2)
for theirs in (Replicate(), Shard(0), Shard(1)):
    for place in (Replicate(), Shard(0), Shard(1)):
        p = torch.nn.Parameter(distribute_tensor(whole.clone(), mesh, [place]))
        p.grad = distribute_tensor(whole.clone(), mesh, [theirs])
        ours.SGD([p], lr=0.5, compiled=compiled).step()
        assert torch.equal(p.full_tensor().detach(), whole / 2)
print("done")
dist.destroy_process_group()
"""


@pytest.mark.slow
@each_form_but_reference
def test_two_processes_share_the_parameters(form: str, tmp_path: Path) -> None:
    arguments = [str(tmp_path / "meeting"), str(form == "compiled")]
    both = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", TWO_PROCESSES, str(rank), *arguments],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]  # fmt: skip
    told = [process.communicate(timeout=120) for process in both]
    assert [t[0] for t in told] == ["done\n"] * 2, told


# -- mixed precision -------------------------------------------------------------------------------


@each_variant
@each_form
def test_a_scaler_skips_a_step_with_an_infinity(variant: Variant, form: str) -> None:
    optimizer, plain = variant.make(weights(), form), variant.make(weights(), form)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for step in range(8):
        gradients(parameters(plain), step)
        for p, q in zip(parameters(optimizer), parameters(plain), strict=True):
            assert q.grad is not None
            scaler.scale(torch.ones(()))  # which is when it sets itself up
            p.grad = q.grad * scaler.get_scale()
        if step == 3:
            assert parameters(optimizer)[0].grad is not None
            parameters(optimizer)[0].grad[0, 0] = float("inf")
        before = kept(optimizer)
        scaler.step(optimizer)
        scaler.update()
        if step == 3:
            assert_identical(kept(optimizer), before)
            assert scaler.get_scale() == 2.0
        else:
            plain.step()
    assert_identical(kept(optimizer), kept(plain))


@pytest.mark.parametrize("name", ["SGD, momentum", "Adam", "RAdam"])
@each_form
def test_autocast(name: str, form: str) -> None:
    """The parameters stay float32, whatever is computed with them, and so does what is kept."""
    model = torch.nn.Linear(3, 1)
    optimizer = BY_NAME[name].make(model.parameters(), form)
    for step in range(8):
        with torch.autocast("cpu", torch.bfloat16):
            out = model(torch.cos(torch.arange(15.0) + step).reshape(5, 3))
            assert out.dtype is torch.bfloat16
            loss = out.square().mean()
        optimizer.zero_grad()
        loss.backward()
        scale = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        assert scale.isfinite()
        twin = copy.deepcopy(optimizer)
        with torch.autocast("cpu", torch.bfloat16):
            optimizer.step()
        for p, q in zip(parameters(optimizer), parameters(twin), strict=True):
            q.grad = p.grad
        twin.step()
        assert_identical(kept(optimizer), kept(twin))
    assert {x.dtype for x in kept(optimizer)} == {torch.float32}


# -- one group of everything -----------------------------------------------------------------------

KINDS = {
    "float64": lambda: torch.linspace(-1, 1, 6, dtype=torch.float64),
    "float32": lambda: torch.linspace(-1, 1, 6).reshape(2, 3),
    "transposed": lambda: torch.linspace(-1, 1, 6).reshape(2, 3).t(),
    "strided": lambda: torch.linspace(-1, 1, 12)[::2],
    "bfloat16": lambda: torch.linspace(-1, 1, 6, dtype=torch.bfloat16),
    "float16": lambda: torch.linspace(-1, 1, 6, dtype=torch.float16),
    "complex64": lambda: torch.linspace(-1, 1, 6) * (1 + 2j),
    "complex128": lambda: torch.linspace(-1, 1, 6, dtype=torch.float64) * (1 + 2j),
    "no coordinate": lambda: torch.zeros(0, 3),
    "no dimension": lambda: torch.tensor(0.5),
    "meta": lambda: torch.zeros(6, device="meta"),
}


@pytest.mark.parametrize(
    ("name", "form"),
    [*((name, form) for name in BY_NAME for form in FORMS[:2]),
     *(pytest.param(n, "compiled", marks=needs_compiler) for n in ("SGD", "Adam", "NAdam", "RAdam"))],
)  # fmt: skip
def test_all_kinds_in_one_group(name: str, form: str) -> None:
    """As each alone, with its own dtype."""
    variant = BY_NAME[name]

    def step(optimizer: Any, k: int) -> None:
        for p in parameters(optimizer):
            g = torch.cos(torch.arange(float(p.numel())) + k)
            p.grad = g.reshape(p.shape).to(p.device, p.dtype)
        optimizer.step()

    together = variant.make([make().requires_grad_() for make in KINDS.values()], form)
    alone = [variant.make([make().requires_grad_()], form) for make in KINDS.values()]
    for k in range(8):
        for optimizer in (together, *alone):
            step(optimizer, k)
    for p, (kind, make), optimizer in zip(parameters(together), KINDS.items(), alone, strict=True):
        (q,) = parameters(optimizer)
        state = together.state[p]
        assert state.keys() == optimizer.state[q].keys()
        assert state["step"].item() == 8.0
        assert p.dtype == make().dtype and p.stride() == make().stride()
        assert {s.dtype for n, s in state.items() if n not in ("step", "mu_product")} <= {p.dtype}
        if kind != "meta":
            assert_identical([p.detach()], [q.detach()])
            assert_identical(list(state.values()), list(optimizer.state[q].values()))


# -- closures --------------------------------------------------------------------------------------


@each_variant
@each_form
@pytest.mark.parametrize("steps", [0, 2])
def test_a_loss_that_is_nan_stops_the_step(variant: Variant, form: str, steps: int) -> None:
    optimizer = variant.make(weights(), form)
    train(optimizer, steps)
    for nan in (float("nan"), torch.tensor(float("nan")), torch.tensor([float("nan")])):

        def closure(nan: Any = nan) -> Any:
            gradients(parameters(optimizer), 7)
            return nan

        told = untouched(optimizer, FloatingPointError, lambda c=closure: optimizer.step(c))
        assert_one_sentence(told, type(optimizer).__name__, "lr")


@pytest.mark.parametrize(
    "returned",
    [None, 3, "done", (float("nan"), 1), {"loss": 1}, torch.tensor([1.0, float("nan")]),
     float("inf"), torch.zeros((), device="meta")],
)  # fmt: skip
def test_a_closure_may_return_anything(returned: Any) -> None:
    """As in torch, which hands it on."""
    optimizer = ours.SGD(weights())
    gradients(parameters(optimizer), 0)
    assert optimizer.step(lambda: returned) is returned
    assert not torch.equal(parameters(optimizer)[1], weights()[1])


# -- checkpoints that are not of the optimizer -----------------------------------------------------


def trained(name: str, **more: Any) -> Any:
    optimizer = BY_NAME[name].make(weights(), **more)
    train(optimizer, 3)
    return optimizer


def entry(name: str, value: Any) -> Callable[[Any], None]:
    """Changes an entry of the vector."""
    return lambda saved: saved["state"][1].update({name: value})


def without(name: str) -> Callable[[Any], None]:
    def change(saved: Any) -> None:
        for state in saved["state"].values():
            del state[name]

    return change


def number(name: str, value: Any) -> Callable[[Any], None]:
    return lambda saved: saved["param_groups"][0].update({name: value})


def part(name: str, value: Any) -> Callable[[Any], None]:
    return lambda saved: saved.update({name: value})


zeros, form = torch.zeros, ["state_dict()"]
#: The rule; another rule, or what is done to its own checkpoint; what is said.
NOT_OURS: dict[str, tuple[str, Any, list[str]]] = {
    "SGD into Adam": ("Adam", "SGD, momentum", ["'exp_avg'", "momentum_buffer, step"]),
    "plain SGD into Adam": ("Adam", "SGD", ["'exp_avg'", "only step"]),
    "Adam into SGD": ("SGD, momentum", "Adam", ["'momentum_buffer'"]),
    "Adam into AMSGrad": ("AMSGrad", "Adam", ["'max_exp_avg_sq'"]),
    "Adam into NAdam": ("NAdam", "Adam", ["'mu_product'"]),
    "Adagrad into RMSprop": ("RMSprop", "Adagrad", ["'square_avg'", "only step, sum"]),
    "not centered": ("RMSprop, centered", without("grad_avg"), ["'grad_avg'"]),
    "another shape": ("Adam", entry("exp_avg", zeros(7)), ["'exp_avg'", "(7,)", "(5,)"]),
    "it broadcasts": ("Adam", entry("exp_avg", zeros(())), ["'exp_avg'", "()", "(5,)"]),
    "as many numbers": ("Adam", entry("exp_avg", zeros(5, 1)), ["(5, 1)", "(5,)"]),
    "many counts": ("Adam", entry("step", zeros(5)), ["'step'", "(5,)", "none"]),
    "many products": ("NAdam", entry("mu_product", zeros(5)), ["'mu_product'", "(5,)", "none"]),
    "no count": ("Adam", without("step"), ["'step'", "exp_avg, exp_avg_sq"]),
    "no average": ("Adam", without("exp_avg_sq"), ["'exp_avg_sq'", "parameter 0"]),
    "None": ("Adam", entry("exp_avg", None), ["'exp_avg'", "parameter 1"]),
    "a list": ("Adam", entry("exp_avg", [1.0]), ["'exp_avg'", "[1.0]"]),
    "a list beside": ("Adam", entry("history", [1.0]), ["'history'", "[1.0]"]),
    "the count is NaN": ("Adam", entry("step", float("nan")), ["step nan"]),
    "the count is infinite": ("Adam", entry("step", float("inf")), ["step inf"]),
    "the count is below 0": ("Adam", entry("step", torch.tensor(-1.0)), ["step -1.0"]),
    "lr is NaN": ("Adam", number("lr", float("nan")), ["lr", "nan"]),
    "lr is None": ("Adam", number("lr", None), ["lr", "None"]),
    "lr is a vector": ("Adam", number("lr", torch.ones(2)), ["lr", "tensor([1., 1.])"]),
    "one beta": ("Adam", number("betas", 0.9), ["betas", "0.9"]),
    "an unknown form": ("NAdam", number("form", "keras"), ["form", "keras"]),
    "a switch between": ("Adam", number("maximize", None), ["maximize", "None"]),
    "no state": ("Adam", lambda saved: saved.pop("state"), form),
    "no groups": ("Adam", lambda saved: saved.pop("param_groups"), form),
    "empty": ("Adam", dict.clear, form),
    "state is a list": ("Adam", part("state", []), form),
    "groups are a number": ("Adam", part("param_groups", 3), form),
    "groups are numbers": ("Adam", part("param_groups", [3]), form),
    "no params": ("Adam", lambda saved: saved["param_groups"][0].pop("params"), form),
    "a state is None": ("Adam", lambda saved: saved["state"].update({1: None}), form),
}


@pytest.mark.parametrize("case", NOT_OURS)
@each_form
def test_a_checkpoint_that_is_not_of_the_optimizer_changes_nothing(case: str, form: str) -> None:
    name, given, parts = NOT_OURS[case]
    optimizer = BY_NAME[name].make(weights(), form)
    train(optimizer, 2)
    saved = copy.deepcopy(trained(given if isinstance(given, str) else name).state_dict())
    if not isinstance(given, str):
        given(saved)
    before = str(saved)
    told = untouched(optimizer, ValueError, lambda: optimizer.load_state_dict(saved))
    assert_one_sentence(told, *parts)
    assert str(saved) == before


@pytest.mark.parametrize("given", [None, 3, [1, 2], "Adam", torch.nn.Linear(1, 1).state_dict()])
def test_what_is_no_checkpoint_changes_nothing(given: Any) -> None:
    optimizer = trained("Adam")
    assert_one_sentence(
        untouched(optimizer, ValueError, lambda: optimizer.load_state_dict(given)), *form
    )
    told = untouched(optimizer, ValueError, lambda: optimizer.load_state_dict(optimizer))
    assert_one_sentence(told, *form)


def test_momentum_of_torch_is_not_taken_for_an_average() -> None:
    theirs = torch.optim.SGD(weights(), lr=0.1, momentum=0.9)
    train(theirs, 1)
    optimizer = trained("Adam")
    told = untouched(optimizer, ValueError, lambda: optimizer.load_state_dict(theirs.state_dict()))
    assert_one_sentence(told, "'exp_avg'", "momentum_buffer")


@pytest.mark.parametrize("case", ["fewer", "more groups"])
def test_a_checkpoint_of_another_number_of_parameters_changes_nothing(case: str) -> None:
    other = ours.Adam(weights()[:2])
    if case == "more groups":
        other.add_param_group({"params": weights()[:1]})
    train(other, 2)
    optimizer = trained("Adam")
    untouched(optimizer, ValueError, lambda: optimizer.load_state_dict(other.state_dict()))


@pytest.mark.parametrize(
    "count", [3, 3.0, torch.tensor([3.0]), torch.tensor(3), torch.tensor(3.0).double()]
)
@each_form
def test_counts_of_other_versions_of_torch(count: Any, form: str) -> None:
    """A number; of one dimension; of another type: from here on a float32 without dimensions."""
    saved = trained("Adam").state_dict()
    saved["state"] = {k: state | {"step": copy.deepcopy(count)} for k, state in saved["state"].items()}
    half = train(trained("Adam"), 0)
    optimizer = BY_NAME["Adam"].make([p.requires_grad_() for p in half], form)
    optimizer.load_state_dict(saved)
    for p in parameters(optimizer):
        step = optimizer.state[p]["step"]
        assert step.dtype is torch.float32 and step.shape == () and step.item() == 3.0
    whole = BY_NAME["Adam"].make(weights())
    close(train(optimizer, 4, start=3), train(whole, 7), 1e-6)
    assert optimizer.state[parameters(optimizer)[0]]["step"].item() == 7.0


def test_sgd_of_torch_without_momentum() -> None:
    """It keeps nothing; in older versions, None."""
    for state in ({}, {"momentum_buffer": None}):
        theirs = torch.optim.SGD(weights(), lr=0.1)
        half = train(theirs, 3)
        assert not theirs.state_dict()["state"]
        optimizer = ours.SGD([p.requires_grad_() for p in half])
        saved = theirs.state_dict() | {"state": {k: dict(state) for k in range(3)}}
        optimizer.load_state_dict(saved)
        close(train(optimizer, 3, start=3), train(theirs, 3, start=3), 1e-6)


def test_a_checkpoint_from_before_some_parameters_had_gradients() -> None:
    optimizer = ours.Adam(weights())
    first, *_ = parameters(optimizer)
    gradients([first], 0)
    optimizer.step()
    other = ours.Adam(weights())
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert list(other.state) == parameters(other)[:1]
    train(other, 1)
    assert [other.state[p]["step"].item() for p in parameters(other)] == [2.0, 1.0, 1.0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
@each_form
def test_scalars_are_not_rounded_to_the_type_of_the_parameter(dtype: torch.dtype, form: str) -> None:
    """Torch casts every entry but ``step``."""
    whole = BY_NAME["NAdam"].make(weights(dtype), form)
    train(whole, 3)
    resumed = BY_NAME["NAdam"].make(
        [p.detach().clone().requires_grad_() for p in parameters(whole)], form
    )
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    assert_identical(kept(resumed), kept(whole))
    train(whole, 3, start=3)
    train(resumed, 3, start=3)
    assert_identical(kept(resumed), kept(whole))


def test_a_count_is_loaded_to_where_it_is_kept() -> None:
    """With capturable, to the device of its parameter; products of NAdam as well."""
    saved = BY_NAME["NAdam"].make([torch.zeros(3, device="meta", requires_grad=True)])
    (p,) = parameters(saved)
    p.grad = torch.zeros(3, device="meta")
    saved.step()
    assert {n for n, s in saved.state[p].items() if not s.is_meta} == {"step", "mu_product"}
    given = saved.state_dict()
    other = BY_NAME["NAdam"].make([torch.zeros(3, device="meta", requires_grad=True)])
    given["param_groups"][0]["capturable"] = True
    other.load_state_dict(given)
    assert all(s.is_meta for s in other.state[parameters(other)[0]].values())


# -- arguments, hooks, the profiler ----------------------------------------------------------------


@each_variant
@pytest.mark.parametrize("form", ["shipped", "reference"])
@pytest.mark.parametrize("word", ["foreach", "fused", "amsgrad", "learning_rate", "weight_decy"])
def test_an_unknown_argument_is_named(variant: Variant, form: str, word: str) -> None:
    with pytest.raises(TypeError) as refused:
        variant.make(weights(), form, **{word: True})
    assert_one_sentence(str(refused.value), repr(word), "lr", "maximize", "capturable")


@each_form
def test_hooks_of_a_step(form: str) -> None:
    optimizer = BY_NAME["Adam"].make(weights(), form)
    told: list[str] = []
    before = optimizer.register_step_pre_hook(lambda o, args, kwargs: told.append("before"))
    after = optimizer.register_step_post_hook(lambda o, args, kwargs: told.append("after"))
    everywhere = register_optimizer_step_pre_hook(lambda o, args, kwargs: told.append("global"))
    train(optimizer, 2)
    assert told == ["global", "before", "after"] * 2
    for handle in (before, after, everywhere):
        handle.remove()
    train(optimizer, 1)
    assert len(told) == 6


def test_hooks_of_checkpoints() -> None:
    """A hook may turn another form into that of an optimizer."""
    saved = trained("NAdam")
    optimizer = BY_NAME["NAdam"].make([p.detach().clone().requires_grad_() for p in parameters(saved)])
    told: list[str] = []

    def unpack(o: Any, given: Any) -> Any:
        told.append("before")
        return given["optimizer"]

    handles = [
        optimizer.register_load_state_dict_pre_hook(unpack),
        optimizer.register_load_state_dict_post_hook(lambda o: told.append("after")),
        saved.register_state_dict_post_hook(lambda o, given: {"optimizer": given}),
    ]
    optimizer.load_state_dict(copy.deepcopy(saved.state_dict()))
    assert told == ["before", "after"]
    assert_identical(kept(optimizer), kept(saved))
    with pytest.raises(ValueError, match="state_dict"):
        optimizer.load_state_dict({"optimizer": {"weights": 1}})
    handles[0].remove()
    assert not optimizer._optimizer_load_state_dict_pre_hooks  # none of ours is left either
    handles[2].remove()
    optimizer.load_state_dict(copy.deepcopy(saved.state_dict()))
    assert_identical(kept(optimizer), kept(saved))


@each_form
def test_a_step_in_the_backward_pass(form: str) -> None:
    """One optimizer for each parameter, stepped by a hook of its gradient."""
    outcome = []
    for hooked in (False, True):
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 2)
        optimizers = [BY_NAME["Adam"].make([p], form) for p in model.parameters()]
        for p, optimizer in zip(model.parameters(), optimizers, strict=True):
            if hooked:
                p.register_post_accumulate_grad_hook(
                    lambda p, o=optimizer: (o.step(), o.zero_grad())[0]  # type: ignore[misc]
                )
        for step in range(8):
            model(torch.cos(torch.arange(15.0) + step).reshape(5, 3)).square().mean().backward()
            if not hooked:
                for optimizer in optimizers:
                    optimizer.step()
                    optimizer.zero_grad()
        outcome.append([x for optimizer in optimizers for x in kept(optimizer)])
    assert_identical(*outcome)


@each_form
def test_the_profiler_names_the_step(form: str) -> None:
    optimizer = BY_NAME["Adam"].make(weights(), form)
    train(optimizer, 1)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        train(optimizer, 1)
    names = [event.key for event in profile.key_averages()]
    assert [n for n in names if n.startswith("Optimizer.step#")] == [
        f"Optimizer.step#{type(optimizer).__name__}.step"
    ]


def test_inside_inference_mode_and_without_grad() -> None:
    for mode in (torch.no_grad, torch.enable_grad):
        optimizer = BY_NAME["Adam"].make(weights())
        gradients(parameters(optimizer), 0)
        with mode():
            optimizer.step()
        assert all(p.is_leaf and p.requires_grad for p in parameters(optimizer))
        assert not any(
            s.requires_grad for p in parameters(optimizer) for s in optimizer.state[p].values()
        )


# -- what is not there yet, and what is refused ------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in ours.__all__ if f"{n}Reference" in ours.__all__])
def test_a_lazy_layer_is_taken_before_it_knows_its_size(name: str) -> None:
    layer = torch.nn.LazyLinear(2)
    optimizer = getattr(ours, name)(layer.parameters(), lr=0.1)
    layer(torch.ones(1, 3)).sum().backward()
    before = layer.weight.detach().clone()
    optimizer.step()
    assert not torch.equal(layer.weight, before)


def test_differentiable_keeps_the_digits_of_the_scalars() -> None:
    """1 − Πμ in float32 would be 1e-8 off; autograd needs the digits."""
    start = torch.linspace(-1, 1, 5, dtype=torch.float64)

    def ended(dtype: torch.dtype, make: Any, x: Tensor, **how: bool) -> Tensor:
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            optimizer = make([x], **how)
            for _ in range(3):
                x.grad = torch.cos(start)
                optimizer.step()
        finally:
            torch.set_default_dtype(before)
        return x

    x, y = start.clone().requires_grad_().clone(), start.clone().requires_grad_()
    ended(torch.float32, ours.NAdam, x, differentiable=True)
    ended(torch.float64, ours.NAdamReference, y)
    assert (x - y).abs().max().item() < 1e-15


@pytest.mark.parametrize("nesterov", ["no", float("nan"), 2, None])
def test_nesterov_is_yes_or_no(nesterov: Any) -> None:
    with pytest.raises(ValueError, match=r"nesterov must be one of"):
        ours.SGD([torch.zeros(1, requires_grad=True)], momentum=0.9, nesterov=nesterov)


def test_a_refused_group_leaves_no_trace_whatever_it_was_refused_for() -> None:
    optimizer = ours.Adam([torch.zeros(1, requires_grad=True)])
    late = {"params": [torch.zeros(1, requires_grad=True)], "bias_correction": torch.ones(2)}
    with pytest.raises(ValueError, match="bias_correction must be one of"):
        optimizer.add_param_group(late)
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    "wrong", [{"steps": None}, {"steps": -3}, {"steps": "x"}, {"average": float("nan")}, {"rate": "x"}]
)
def test_a_checkpoint_of_swats_that_makes_no_sense(wrong: dict[str, Any]) -> None:
    p = torch.ones(2, requires_grad=True)
    optimizer = ours.SWATS([p])
    p.grad = torch.ones(2)
    optimizer.step()
    saved, before = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(optimizer.state_dict())
    saved["param_groups"][0].update(wrong)
    with pytest.raises(ValueError, match=r"rate must be|steps must be"):
        optimizer.load_state_dict(saved)
    assert str(optimizer.state_dict()) == str(before)


@pytest.mark.parametrize(
    "sam", [5, None, [1], {"rho": float("nan")}, {"rho": -1}, {"rho": "x"}, {"adaptive": 3}]
)
def test_a_checkpoint_of_sam_that_makes_no_sense(sam: Any) -> None:
    p = torch.ones(2, requires_grad=True)
    optimizer = ours.SAM([p], ours.SGD, rho=0.25)
    saved = optimizer.state_dict() | {"sam": sam}
    saved["param_groups"][0]["lr"] = 7.0
    with pytest.raises(
        (ValueError, TypeError), match=r"rho must be|adaptive must be|no state_dict of SAM"
    ):
        optimizer.load_state_dict(saved)
    assert (optimizer.rho, optimizer.adaptive) == (0.25, False)
    assert optimizer.base.param_groups[0]["lr"] != 7.0
    for nothing in (None, [1]):
        with pytest.raises(ValueError, match="no state_dict of SAM"):
            optimizer.load_state_dict(nothing)  # type: ignore[arg-type]


def test_the_preset_for_embeddings_takes_their_sparse_gradients() -> None:
    table = torch.nn.Embedding(5, 2, sparse=True)
    before = table.weight.detach().clone()
    optimizer = ours.preset("embeddings-adagrad").build(table.parameters())
    optimizer = optimizer[0] if isinstance(optimizer, tuple) else optimizer
    table(torch.tensor([1, 3])).sum().backward()
    optimizer.step()
    moved = (table.weight != before).any(1).tolist()
    assert moved == [False, True, False, True, False]
