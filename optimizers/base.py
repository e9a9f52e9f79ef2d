"""What every rule shares: arguments, groups, state, the closure, and the pass over lists.

A rule adds four things to `Base`: its arguments, the buffers it keeps (`_buffers`), and its
formula, twice.  `_update` is written with `torch._foreach_*`, in place, on lists of tensors of one
device and dtype.  `_rule` is the paper's function of one tensor; the reference form runs it, and a
compiled kernel is generated from it (`kernel`).

The formulas are lifted by running them: hyper-parameters may be floats that carry a symbol, and
must reach torch through plain arithmetic and comparisons.  `float()`, `int()` and `math.*` would
drop the symbol.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf
from typing import Any, Final, TypeAlias, overload

import torch
from torch import Tensor

from adamproof.optimizers import kernel

Tensors: TypeAlias = list[Tensor] | tuple[Tensor, ...]
State: TypeAlias = dict[str, Tensor]
Hyper: TypeAlias = dict[str, Any]

# Every numerical argument lies between 0, included, and this, excluded.
_BELOW: Final[Mapping[str, float]] = {
    "lr": inf,
    "lr_decay": inf,
    "eps": inf,
    "weight_decay": inf,
    "initial_accumulator_value": inf,
    "momentum": 1,
    "dampening": 1,
    "alpha": 1,
    "beta1": 1,
    "beta2": 1,
}


class Base(torch.optim.Optimizer):
    """A drop-in for `torch.optim`, but for ``foreach``, ``fused``, ``capturable``, ``differentiable``.

    Groups, schedulers, closures, ``maximize``, ``state_dict``, pickling and copying work as in
    `torch.optim`.  A parameter whose ``grad`` is None is left alone: its state begins, and its
    steps are counted, from its first gradient.  ``grad`` is never written to.

    State, under the names of `torch.optim`: ``step``, the number of gradients seen, a float32
    on the CPU; and the buffers of the rule, with the dtype and device of the parameter.  A
    checkpoint of the `torch.optim` class with the same name loads; options that it lacks take
    the values given to this constructor, options unknown here (``amsgrad``) are not followed.

    With ``compiled=True`` one pass over memory steps all the tensors of a group: the function that
    the reference form runs, as a kernel in C, which a C compiler makes in some tenths of a second
    (the result is kept between processes).  It takes dense contiguous tensors on the CPU, of
    float64, float32, bfloat16 or float16, where half types are rounded once per step; the other
    tensors of the group, and all of them where there is no compiler (one warning says so) or under
    `torch.compile`, are stepped as without it.  It is a matter of speed only: a checkpoint is the
    same with and without it, and loading one leaves it as it is.  Whoever watches a step through a
    ``TorchDispatchMode`` would not see the kernel, so that this is refused.

    Differs from `torch.optim`: every argument is checked, in later groups too; no ``foreach``,
    ``fused``, ``capturable`` or ``differentiable``; complex and sparse tensors are refused.

    Raises:
        ValueError: An argument is NaN, infinite, or out of its range.
        TypeError: A parameter is complex, or (in ``step``) a gradient is sparse, or a compiled
            step is watched.
    """

    def _buffers(self, h: Hyper) -> Mapping[str, float]:
        """The tensors this rule keeps for each parameter, and what they are filled with."""
        raise NotImplementedError

    def _rule(self, x: Tensor, g: Tensor, t: float, state: State, h: Hyper) -> tuple[Tensor, State]:
        """The function of the paper, with the hyper-parameters under the paper's names.

        Args:
            x: The parameter.
            g: Its gradient, to descend along.
            t: The step; the first is 1.
            state: The buffers after step t - 1.
            h: The hyper-parameters of the group.

        Returns:
            The parameter and the buffers after step t, as new tensors.  Nothing but the arguments
            may decide what they are: a kernel is kept for all optimizers of the class.
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
            state: The lists of buffers, by name.
            t: The step each parameter is at; the first is 1.
            h: The hyper-parameters of the group.
        """
        raise NotImplementedError

    def _check(self, h: Hyper) -> None:
        """Refuses hyper-parameters out of range; a rule with options extends it."""
        for name, high in _BELOW.items():
            if name in h and not _between(h[name], high):
                raise ValueError(f"{name} must be a number in [0, {high}), got {h[name]!r}.")
        if not isinstance(h.get("compiled", False), bool):
            raise ValueError(f"compiled must be True or False, got {h['compiled']!r}.")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group, with its own values of any of the arguments.

        Args:
            param_group: ``params``, and the arguments that differ from the constructor's.
        """
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            self._check(hyper_parameters(group))
            for p in group["params"]:
                if p.is_complex():
                    raise TypeError(
                        f"{type(self).__name__} takes real parameters: store the complex one as "
                        "torch.view_as_real(p) and rebuild it with torch.view_as_complex in the "
                        "model."
                    )
        except (TypeError, ValueError):
            self.param_groups.pop()  # a refused group leaves no trace
            raise

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Moves every parameter that has a gradient by one step.

        Args:
            closure: Recomputes the loss and the gradients; called once, before the step.

        Returns:
            What the closure returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        work = [
            (hyper_parameters(group), [p for p in group["params"] if p.grad is not None])
            for group in self.param_groups
        ]
        for _, params in work:  # all of them first: a refused step changes nothing
            for p in params:
                if p.grad.layout != torch.strided:
                    raise TypeError(
                        f"{type(self).__name__} takes dense gradients: build the embedding with "
                        "sparse=False, or set p.grad = p.grad.to_dense() before step()."
                    )
        for h, params in work:
            self._step_group(h, params)
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over the state and the arguments of a checkpoint; ``compiled`` stays as it is.

        Args:
            state_dict: What ``state_dict()`` gave, here or in the `torch.optim` class.
        """
        own = [group.get("compiled") for group in self.param_groups]
        super().load_state_dict(state_dict)
        for group, compiled in zip(self.param_groups, own, strict=True):
            if compiled is not None:
                group["compiled"] = compiled

    def _step_group(self, h: Hyper, params: list[Tensor]) -> None:
        if h.get("compiled") and not torch.compiler.is_compiling():
            params = self._step_compiled(h, params)
        for bucket in _by_device_and_dtype(params):
            states = [self._state(p, h) for p in bucket]
            steps = [state["step"] for state in states]
            torch._foreach_add_(steps, 1)
            grads: Tensors = [p.grad for p in bucket if p.grad is not None]
            self._update(
                bucket,
                torch._foreach_neg(grads) if h["maximize"] else grads,
                {name: [state[name] for state in states] for name in self._buffers(h)},
                [step.item() for step in steps],
                h,
            )

    def _step_compiled(self, h: Hyper, params: list[Tensor]) -> list[Tensor]:
        """Steps what a kernel can step, and returns the rest."""
        if torch._C._len_torch_dispatch_stack():
            raise TypeError(
                f"{type(self).__name__}(compiled=True) cannot step under a TorchDispatchMode, which "
                "does not see into a compiled kernel: set compiled=False to watch a step."
            )
        names = tuple(self._buffers(h))
        states = [self.state[p] for p in params]
        try:
            kept = [[state[name] for state in states] for name in ("step", *names)]
        except KeyError:
            states = [self._state(p, h) for p in params]
            kept = [[state[name] for state in states] for name in ("step", *names)]
        known, fixed = kernel.known(h, self.defaults)
        left: list[Tensor] = []
        for columns, dtype, t in kernel.parts([params, [p.grad for p in params], *kept]):
            found = dtype and kernel.find(type(self), self._rule, names, dtype, fixed, known, t)
            if found:
                found.step(columns, known, t)
            else:
                left += columns[0]
        return left

    def _state(self, p: Tensor, h: Hyper) -> State:
        """The state of `p`, with what is missing filled in.

        Something is missing at the first gradient, and where a schedule has switched on an
        option that needs a buffer.
        """
        state: State = self.state[p]
        if "step" not in state:
            state["step"] = torch.zeros((), dtype=torch.float32, device="cpu")
        for name, value in self._buffers(h).items():
            if name not in state:
                state[name] = torch.full_like(p, value)
        return state


def hyper_parameters(group: Mapping[str, Any]) -> Hyper:
    """What a step reads from a group: numbers and options, the betas by name.

    Args:
        group: One of ``param_groups``; a number may be a one-element tensor, as in `torch.optim`.

    Returns:
        The options of the group, without its parameters.
    """
    h: Hyper = {k: v.item() if isinstance(v, Tensor) else v for k, v in group.items() if k != "params"}
    if "betas" in h:
        try:
            h["beta1"], h["beta2"] = h.pop("betas")
        except (TypeError, ValueError):
            raise ValueError(f"betas must be two numbers in [0, 1), got {group['betas']!r}.") from None
    return h


def l2(grads: Tensors, params: list[Tensor], weight_decay: float) -> Tensors:
    """Adds the gradient of λ/2 |x|², λ = `weight_decay`, without writing to `grads`.

    Args:
        grads: The gradients of the loss.
        params: The parameters x.
        weight_decay: λ.

    Returns:
        The gradients g + λ x.
    """
    return torch._foreach_add(grads, params, alpha=weight_decay) if weight_decay != 0 else grads


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Refuses an option that is not on offer.

    Args:
        name: The argument.
        value: What was given.
        choices: What can be given.

    Raises:
        ValueError: `value` is not one of `choices`.
    """
    if value not in (choices := tuple(choices)):
        raise ValueError(f"{name} must be one of {choices}, got {value!r}.")


def _between(value: Any, high: float) -> bool:
    try:
        return bool(0 <= value < high)  # written so that NaN is out
    except TypeError:
        return False


def _by_device_and_dtype(params: list[Tensor]) -> Iterator[list[Tensor]]:
    buckets: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for p in params:
        buckets.setdefault((p.device, p.dtype), []).append(p)
    yield from buckets.values()
