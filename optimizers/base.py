"""What every rule shares: arguments, groups, state, the closure, and the ways of taking a step.

A rule adds four things to `Base`: its arguments, the buffers it keeps (`_buffers`), and its
formula, twice.  `_update` is written with `torch._foreach_*`, in place, on lists of tensors of one
device and dtype.  `_rule` is the paper's function of one tensor; the reference form runs it, and a
compiled kernel is generated from it (`kernel`).

The formulas are lifted by running them: hyper-parameters may be floats that carry a symbol, and
must reach torch through plain arithmetic and comparisons.  `float()`, `int()` and `math.*` would
drop the symbol.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias, overload

import torch
from torch import Tensor
from torch._C._autograd import _profiler_enabled
from torch.nn.parameter import is_lazy
from torch.optim.optimizer import (
    ParamsT,
    _global_optimizer_post_hooks,
    _global_optimizer_pre_hooks,
)

from adamproof.optimizers import checkpoint, gather
from adamproof.optimizers.decay import Tensors
from adamproof.optimizers.hyper import (
    HOW,
    How,
    Hyper,
    check_choice,
    check_names,
    check_numbers,
    hyper_parameters,
    wide,
)
from adamproof.optimizers.settings import Settings, read
from adamproof.optimizers.views import All, Kept, Rows, gradient, plain

State: TypeAlias = dict[str, Tensor]
_OF_ALL = (_global_optimizer_pre_hooks, _global_optimizer_post_hooks)


class Work(NamedTuple):
    """What is to be done for a group, once nothing stands against it.

    Attributes:
        group: The group.
        params: Those of its parameters that have a gradient.
        grads: Their gradients.
        settings: What it says; None where its numbers are to stay tensors.
        ready: How a kernel has stepped the same tensors, if one has.
    """

    group: dict[str, Any]
    params: list[Tensor]
    grads: list[Tensor]
    settings: Settings | None
    ready: gather.Ready | None


class Base(torch.optim.Optimizer):
    """A drop-in for `torch.optim`.

    Groups, schedulers, closures, ``state_dict``, pickling and copying work as in `torch.optim`.  A
    parameter whose ``grad`` is None is left alone: its state begins, and its steps are counted, from
    its first gradient.  ``grad`` is never written to.  A closure whose loss is NaN stops the step
    before anything is changed.

    State, under the names of `torch.optim`: ``step``, the number of gradients seen, a float32
    on the CPU; and the buffers of the rule, with the dtype and device of the parameter.  A
    checkpoint of the `torch.optim` class with the same name loads; options that it lacks take
    the values given to this constructor, options unknown here (``amsgrad``) are not followed.

    Complex parameters are pairs of real ones.  A DTensor (FSDP, tensor parallelism) is stepped by its
    local part.  A sparse gradient steps the rows that it has, where the rule leaves a parameter with
    a zero gradient as it is, momentum and decay included; elsewhere it is refused.

    Every class takes, by name and for each group:

    ``maximize``
        Climb instead of descend; a decay outside the gradient stays a decay.
    ``compiled``
        One pass over memory steps all the tensors of a group: the function that the reference form
        runs, as a kernel in C, which a C compiler makes in some tenths of a second (the result is kept
        between processes).  It takes dense contiguous tensors on the CPU, of float64, float32, bfloat16
        or float16, where half types are rounded once per step; the other tensors of the group, and all
        of them where there is no compiler (one warning says so), are stepped as without it.  It is a
        matter of speed only: a checkpoint is the same with and without it, and loading one leaves it
        as it is.  Whoever watches a step through a ``TorchDispatchMode`` would not see the kernel, so
        that this is refused.
    ``capturable``
        No number is fetched from the device: ``step`` and what hangs on it are tensors there, and
        ``lr`` may be one, so that a CUDA graph can hold the step; whether a loss is NaN is not asked.
        Tensor by tensor.  `torch.compile` of a training step does the same, whether asked to or not, so
        that nothing is compiled anew when the step or a tensor ``lr`` changes, and once when an ``lr``
        that is a Python number first does.
    ``differentiable``
        Autograd follows the step, into the gradients, the state and those hyper-parameters that are
        tensors.  The parameters must not be leaves.  Tensor by tensor, by the function of the paper.

    Differs from `torch.optim`: every argument is checked, in later groups too; no ``foreach`` and
    ``fused``, which say how to compute, not what.

    Raises:
        ValueError: An argument is NaN, infinite, or out of its range; or a checkpoint is not of this
            rule.
        TypeError: An argument is unknown; or (in ``step``) a sparse gradient has no meaning for the
            rule, or a compiled step is watched.
        FloatingPointError: The loss that a closure returned is NaN.
    """

    def __init__(self, params: ParamsT, defaults: Mapping[str, Any], how: How | None = None) -> None:
        said = how or {}
        if unknown := sorted(said.keys() - HOW.keys()):
            known = ", ".join([*defaults, *HOW])
            raise TypeError(f"{type(self).__name__} has no argument {unknown[0]!r}; it has {known}.")
        super().__init__(params, {**HOW, **defaults, **said})

    #: Whether the rule asks which step it is.
    _counted = True
    #: Its options that are not numbers, and what they can be.
    _choices: tuple[tuple[str, tuple[object, ...]], ...] = ()

    #: The options that it writes itself, from step to step.
    _written: tuple[str, ...] = ()

    def _buffers(self, h: Hyper) -> Mapping[str, float]:
        """The tensors this rule keeps for each parameter, and what they are filled with."""
        raise NotImplementedError

    def _scalars(self, h: Hyper) -> Mapping[str, float]:
        """The numbers this rule keeps for each parameter, beside ``step``, and their first values."""
        return {}

    def _rule(self, x: Tensor, g: Tensor, t: float, state: State, h: Hyper) -> tuple[Tensor, State]:
        """The function of the paper, with the hyper-parameters under the paper's names.

        Args:
            x: The parameter.
            g: Its gradient, to descend along.
            t: The step; the first is 1.
            state: The buffers after step t - 1; and the scalars, as numbers.
            h: The hyper-parameters of the group.

        Returns:
            The parameter and the state after step t, as new tensors and numbers.  Nothing but the
            arguments may decide what they are: a kernel is kept for all optimizers of the class.
        """
        raise NotImplementedError

    def _update(
        self,
        params: list[Tensor],
        grads: Tensors,
        state: Mapping[str, list[Tensor]],
        t: list[float],
        h: Hyper,
    ) -> None:
        """The rule: changes `params` and `state`, in place.

        Args:
            params: The parameters, all of one device and dtype.
            grads: Their gradients, to descend along; not to be changed.
            state: The lists of buffers and of scalars, by name.
            t: The step each parameter is at; the first is 1.
            h: The hyper-parameters of the group.
        """
        raise NotImplementedError

    def _idle(self, h: Hyper) -> bool:
        """Whether a zero gradient changes nothing: then a sparse one may step its rows alone."""
        return False

    def _check(self, h: Hyper) -> None:
        """Refuses hyper-parameters out of range; a rule that knows more of its own extends it."""
        check_numbers(h)
        for name, choices in self._choices:
            check_choice(name, h[name], choices)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group, with its own values of any of the arguments.

        Args:
            param_group: ``params``, and the arguments that differ from the constructor's; and whatever
                else the user keeps there, under names that are not nearly those of arguments.
        """
        super().add_param_group(param_group)
        try:
            check_names(self.param_groups[-1], self.defaults)
            self._check(hyper_parameters(self.param_groups[-1]))
            self._check_parameters(self.param_groups[-1]["params"])
        except Exception:
            self.param_groups.pop()  # a refused group leaves no trace
            raise

    def _check_parameters(self, params: list[Tensor]) -> None:
        if any(p.layout != torch.strided for p in params):
            raise TypeError(f"{type(self).__name__} takes dense parameters: give it p.to_dense().")
        if any(not is_lazy(p) and p.is_conj() for p in params):
            raise ValueError(
                "a parameter that is conjugated only in name cannot be written to: "
                "give p.resolve_conj()."
            )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        gather.forget(self)  # the state that there was
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Moves every parameter that has a gradient by one step.

        Args:
            closure: Recomputes the loss and the gradients; called once, before the step.

        Returns:
            What the closure returned.
        """
        return self._step_watched(closure) if self._watched else self._step(closure)

    # torch wraps every step in a record for its profiler, a quarter of the time of a small one: here it
    # is told that it has, and its wrapper is used where somebody watches.
    step.hooked = True  # type: ignore[attr-defined]

    @property
    def _watched(self) -> bool:
        hooks = (self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks, *_OF_ALL)
        return any(hooks) or (not torch.compiler.is_compiling() and _profiler_enabled())

    def _step(self, closure: Callable[[], float] | None) -> float | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
            if not self._on_device() and _is_nan(loss):
                raise FloatingPointError(
                    f"the loss is NaN, so {type(self).__name__} has not stepped and its state is as it "
                    "was: go back to the last checkpoint with a smaller lr, or clip the gradients."
                )
        with torch.no_grad():
            # All of the groups first: a refused step changes nothing.
            for work in [self._work(group) for group in self.param_groups]:
                self._step_group(work)
        return loss

    def _work(self, group: dict[str, Any]) -> Work:
        """Looks for what stands against stepping a group."""
        params, grads = group["params"], []
        for p in params:
            if (g := p.grad) is not None:
                grads.append(g)
        if len(grads) < len(params):
            params = [p for p in params if p.grad is not None]
        compiling = torch.compiler.is_compiling()
        as_tensors = compiling or group["capturable"] or group["differentiable"]
        fetches = as_tensors and (compiling or any(isinstance(x, Tensor) for x in group.values()))
        settings = None if fetches else read(self, group)
        ready = None
        if group["compiled"] and not as_tensors:
            ready = gather.recognised(self, group, params, grads)
        if not ready or ready.rest:
            self._check_tensors(group, params, {g.layout for g in grads})
        return Work(group, params, grads, settings, ready)

    _step_watched = torch.optim.Optimizer.profile_hook_step(_step)

    def _on_device(self) -> bool:
        """Whether numbers are to be left on their devices."""
        return torch.compiler.is_compiling() or any(group["capturable"] for group in self.param_groups)

    def _check_tensors(
        self, group: dict[str, Any], params: list[Tensor], layouts: set[torch.layout]
    ) -> None:
        if group["differentiable"] and any(
            (p.is_leaf and p.requires_grad) or hasattr(p, "placements") for p in params
        ):
            raise TypeError(
                f"{type(self).__name__}(differentiable=True) steps tensors that autograd has made, on "
                "one device, so that its graph can go through them: give it x.clone() for a leaf x."
            )
        for p in params:
            if p.grad is not None and p.grad.dtype != p.dtype:
                raise TypeError(
                    f"a gradient of {type(self).__name__} has {p.grad.dtype}, its parameter {p.dtype}: "
                    "set p.grad = p.grad.to(p.dtype) before step()."
                )
        if layouts <= {torch.strided}:
            return
        coo = layouts <= {torch.strided, torch.sparse_coo}
        if not (coo and self._idle(hyper_parameters(group)) and not group["differentiable"]):
            raise TypeError(
                f"{type(self).__name__} takes dense gradients with these arguments: build the embedding "
                "with sparse=False, or set p.grad = p.grad.to_dense() before step()."
            )

    def _step_group(self, work: Work) -> None:
        group, params = work.group, work.params
        if group["differentiable"]:
            with torch.enable_grad():
                self._step_differentiably(hyper_parameters(group, tensors=True), params)
            return
        if group["capturable"] or work.settings is None:
            self._step_each(hyper_parameters(group, tensors=True), params, tensors=True)
            return
        if group["compiled"]:
            params = self._step_compiled(work, work.settings)
            if not params:
                return
        h = {**work.settings.h}
        self._step_each(h, [p for p in params if _is_sparse(p)])
        self._step_lists(h, [p for p in params if not _is_sparse(p)])

    def _step_lists(self, h: Hyper, params: list[Tensor]) -> None:
        """Steps with `_update`, all the tensors of one device and dtype at once."""
        names = [*self._buffers(h), *self._scalars(h)]
        for bucket in _by_device_and_dtype(params):
            states = [self._state(p, h) for p in bucket]
            steps = [state["step"] for state in states]
            torch._foreach_add_(steps, 1)
            grads: Tensors = [gradient(p) for p in bucket]
            self._update(
                [plain(p) for p in bucket],
                torch._foreach_neg(grads) if h["maximize"] else grads,
                {name: [plain(state[name]) for state in states] for name in names},
                [step.item() for step in steps],
                h,
            )

    def _step_each(self, h: Hyper, params: list[Tensor], *, tensors: bool = False) -> None:
        """Steps with `_rule`, one tensor at a time.

        Args:
            h: The hyper-parameters.
            params: The parameters, which have gradients.
            tensors: Leave the step and the scalars on their device.
        """
        for p in params:
            state = self._state(p, h)
            state["step"] += 1
            t: Any = wide(state["step"]) if tensors else state["step"].item()
            x, kept = plain(p), {name: plain(state[name]) for name in self._buffers(h)}
            scalars: Any = {
                name: wide(state[name]) if tensors else state[name].item() for name in self._scalars(h)
            }
            rows = Rows(p) if _is_sparse(p) else All(p)
            g = -rows.gradient if h["maximize"] else rows.gradient
            before = {name: rows.of(buffer) for name, buffer in kept.items()}
            new_x, new = self._rule(rows.of(x), g, t, Kept(before | scalars), h)
            rows.put(x, new_x)
            for name, buffer in kept.items():
                rows.put(buffer, new[name])
            for name in scalars:
                state[name].fill_(new[name])

    def _step_differentiably(self, h: Hyper, params: list[Tensor]) -> None:
        """Steps with `_rule` under autograd: what is kept is replaced, not written over."""
        for p in params:
            state = self._state(p, h)
            state["step"] = state["step"] + 1
            names = [*self._buffers(h), *self._scalars(h)]
            g, t = gradient(p), state["step"].item()
            before = Kept(
                {name: plain(state[name]) for name in self._buffers(h)}
                | {name: wide(state[name]) for name in self._scalars(h)}
            )
            # A copy, which the graph may keep: the parameter is written over.
            x, new = self._rule(plain(p).clone(), -g if h["maximize"] else g, t, before, h)
            for name in names:
                pairs = state[name].is_complex()
                state[name] = torch.view_as_complex(new[name]) if pairs else new[name]
            p.copy_(torch.view_as_complex(x) if p.is_complex() else x)

    def _step_compiled(self, work: Work, settings: Settings) -> list[Tensor]:
        """Steps what a kernel can step, and returns the rest."""
        if torch._C._len_torch_dispatch_stack():
            raise TypeError(
                f"{type(self).__name__}(compiled=True) cannot step under a TorchDispatchMode, which "
                "does not see into a compiled kernel: set compiled=False to watch a step."
            )
        return gather.stepped(self, work.group, settings, work.params, work.grads, work.ready)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over the state and the arguments of a checkpoint; ``compiled`` stays as it is.

        Args:
            state_dict: What ``state_dict()`` gave, here or in the `torch.optim` class.

        Raises:
            ValueError: It is of another rule, or of parameters of other shapes; nothing was loaded.
        """
        if not isinstance(state_dict, dict):
            checkpoint.check_form(state_dict)
        state, groups = self.state, self.param_groups
        saved: list[Mapping[str, Any]] = []

        def look(_: torch.optim.Optimizer, given: dict[str, Any]) -> None:
            checkpoint.check_form(given)
            saved.extend(checkpoint.saved(given))

        last = self.register_load_state_dict_pre_hook(look)  # sees what other hooks made of it
        try:
            super().load_state_dict(state_dict)
            self._check_loaded(saved)
        except Exception:
            super().__setstate__({"state": state, "param_groups": groups})
            raise
        finally:
            last.remove()
        for group, old in zip(self.param_groups, groups, strict=True):
            group["compiled"] = old["compiled"]

    def _check_loaded(self, saved: list[Mapping[str, Any]]) -> None:
        """Brings what was loaded into today's form, or refuses it; `saved` is what it was cast from."""
        for group in self.param_groups:
            self._check(hyper_parameters(group))
        loaded = [(p, hyper_parameters(group)) for group in self.param_groups for p in group["params"]]
        for index, ((p, h), before) in enumerate(zip(loaded, saved, strict=True)):
            if p not in self.state:
                continue
            state, where = self.state[p], _where(p, h)
            checkpoint.tidy(state, where, counted=self._counted)
            buffers, scalars = self._buffers(h), self._scalars(h)
            checkpoint.check(type(self).__name__, index, p, state, buffers, scalars)
            for name in scalars.keys() & state.keys():  # torch casts them as the buffers
                state[name] = before[name].clone().to(where, _number_type(name))

    def _state(self, p: Tensor, h: Hyper) -> State:
        """The state of `p`, with what is missing filled in.

        Something is missing at the first gradient, and where a schedule has switched on an
        option that needs a buffer.
        """
        state: State = self.state[p]
        for name, value in {"step": 0.0, **self._scalars(h)}.items():
            if name not in state:
                state[name] = torch.full((), value, dtype=_number_type(name), device=_where(p, h))
            elif h["capturable"] and state[name].device != p.device:  # switched on since
                state[name] = state[name].to(p.device)
        for name, value in self._buffers(h).items():
            if name not in state:
                state[name] = torch.full_like(p, value)
                if value != 0 and p.is_complex():
                    plain(state[name]).fill_(value)
        return state


def _number_type(name: str) -> torch.dtype:
    """As in torch: its NAdam keeps its product in float64 where that is the default."""
    wide = name != "step" and torch.get_default_dtype() == torch.float64
    return torch.float64 if wide else torch.float32


def chosen(condition: Any, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    """One of two, by a condition on the step; of a step that stays on its device, both are worked out.

    Args:
        condition: Yes or no, or a tensor that says so.
        then: What it is where the condition holds.
        otherwise: What it is elsewhere.

    Returns:
        The value.
    """
    # Where autograd follows, it is fetched: the branch not taken may have no derivative.
    if isinstance(condition, Tensor) and not torch.is_grad_enabled():
        return torch.where(condition, then(), otherwise())
    return then() if condition else otherwise()


def _where(p: Tensor, h: Hyper) -> torch.device:
    """Where the count of a parameter and its scalars are kept."""
    return p.device if h["capturable"] else torch.device("cpu")


def _is_nan(loss: Any) -> bool:
    """Whether a closure returned NaN; it may return anything."""
    if isinstance(loss, Tensor) and (loss.numel() != 1 or loss.is_meta):
        return False
    try:
        return bool(loss != loss)
    except ValueError:
        return False


def _is_sparse(p: Tensor) -> bool:
    return p.grad is not None and p.grad.layout == torch.sparse_coo


def _by_device_and_dtype(params: list[Tensor]) -> Iterator[list[Tensor]]:
    buckets: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for p in params:
        buckets.setdefault((p.device, p.dtype), []).append(p)
    yield from buckets.values()
