"""SAM: descend along the gradient at the worst point nearby."""

from collections import defaultdict
from collections.abc import Callable
from math import inf
from typing import Any, cast, overload

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from adamproof.optimizers.hyper import between


class SAM(Optimizer):
    """Sharpness-aware minimization, around any optimizer.

    One step, from the parameters w, with the loss f::

        g = ∇f(w)                    the closure, a first time
        ε = ρ g / ‖g‖                adaptive: ε = ρ w² g / ‖|w| g‖
        g = ∇f(w + ε)                the closure, a second time
        w = base(w, g)               a step of the optimizer inside, from w

    The norm is the Euclidean one of all parameters together, over groups, devices and dtypes.  Where
    it is 0 there is no direction, and ε is 0.  Where a group of the base has ``maximize``, the worst
    is downhill, and ε has the other sign.

    Source: Foret et al. 2021 (arXiv 2010.01412v3), equation (2) with p = 2, and Algorithm 1.
    Adaptive: ASAM, Kwon et al. 2021 (arXiv 2102.11600), with T_w = |w|, element by element; their
    code adds 0.01 to the |w| of weights and leaves biases as they are, and this does neither.

    The optimizer inside is ``base``; ``param_groups`` and ``state`` are its own, so a scheduler
    takes this optimizer or that one.  A checkpoint is that of ``base`` with ``"sam"``, the two
    options here, beside it: each loads into the other.  Hooks on ``state_dict`` go on ``base``.

    ``step`` needs a closure, which computes the loss, calls ``backward`` and returns the loss.  It
    need not clear the gradients: they are cleared before each of the two calls.  If it raises, or
    the loss or a gradient is not finite, the parameters are what they were, bit for bit (from a
    copy; w + ε - ε would round), and ``base`` has not moved.

    What it costs: two evaluations, a copy of the parameters, and waiting for the device once for
    each norm and loss.  What to know:

    - Layers that count calls (the averages of batch norm, random states) see two a step.
    - `torch.amp.GradScaler` does not take a closure.  bfloat16 needs none.
    - Weight decay of ``base`` is not part of g in ε.
    - Under FSDP a process would take the norm of its own shard only.

    >>> from functools import partial
    >>> from adamproof.optimizers import SAM, SGD
    >>> weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> optimizer = SAM([weight], partial(SGD, lr=0.25), rho=5.0)
    >>> def closure():
    ...     loss = weight.square().sum() / 2
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    12.5
    >>> weight.detach()  # the gradient at (6, 8), from (3, 4)
    tensor([1.5000, 2.0000])

    Args:
        params: Tensors, or groups of them, with the options of the base.
        base: Makes the optimizer inside, one whose ``step`` needs no closure, from `params`: a
            class, or ``functools.partial(AdamW, lr=1e-3)``.
        rho: Radius ρ, in [0, inf).
        adaptive: Measure the radius relative to the size of each parameter (ASAM, whose ρ is some
            ten times as large).

    Raises:
        ValueError: `rho` is out of its range.
        TypeError: `adaptive` is no bool, or `base` does not make an optimizer; in ``step``, there is
            no closure, or a gradient is sparse.
        FloatingPointError: In ``step``, a loss or gradient is not finite.
    """

    base: Optimizer
    rho: float
    adaptive: bool

    def __init__(
        self,
        params: ParamsT,
        base: Callable[[ParamsT], Optimizer],
        rho: float = 0.05,
        adaptive: bool = False,
    ) -> None:
        _check(rho, adaptive)
        made = base(params) if callable(base) else base
        if not callable(base) or not isinstance(made, Optimizer):
            raise TypeError(
                "base must make an optimizer from the parameters, such as "
                f"functools.partial(AdamW, lr=1e-3), got {base!r}."
            )
        # The groups and the state are the base's: what `Optimizer` sets up for itself, and not for
        # them, is what it sets up for an unpickled one.
        self.__setstate__({"base": made, "rho": rho, "adaptive": adaptive, "defaults": made.defaults})

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The groups of the base."""
        return self.base.param_groups

    @property
    def state(self) -> defaultdict[Tensor, Any]:  # type: ignore[override]
        """The state of the base."""
        return self.base.state

    def __getstate__(self) -> dict[str, Any]:
        names = ("base", "rho", "adaptive", "defaults")
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        return f"SAM (rho={self.rho}, adaptive={self.adaptive}) of {self.base!r}"

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group to the base.

        Args:
            param_group: ``params``, and the options of the base that differ.
        """
        self.base.add_param_group(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears the gradients.

        Args:
            set_to_none: Drop them; else fill them with zeros.
        """
        self.base.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Returns the checkpoint of the base, with `rho` and `adaptive` under ``"sam"``."""
        return {**self.base.state_dict(), "sam": {"rho": self.rho, "adaptive": self.adaptive}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over a checkpoint.

        Args:
            state_dict: What ``state_dict()`` gave, here or in an optimizer like the base; that one
                leaves `rho` and `adaptive` as they are.

        Raises:
            ValueError: It is none, or of another rule; nothing was loaded.
            TypeError: Its ``adaptive`` is not True or False; nothing was loaded.
        """
        own = state_dict.get("sam", {}) if isinstance(state_dict, dict) else None
        if not isinstance(own, dict):
            raise ValueError("this is no state_dict of SAM: give what state_dict() returned.")
        rho, adaptive = own.get("rho", self.rho), own.get("adaptive", self.adaptive)
        _check(rho, adaptive)
        self.base.load_state_dict({k: v for k, v in state_dict.items() if k != "sam"})
        self.rho, self.adaptive = rho, adaptive

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Moves the parameters by one step of the base, along the gradient at the worst point nearby.

        Args:
            closure: Computes the loss, calls ``backward`` on it, and returns it; called twice.

        Returns:
            The loss at the parameters: what the first call returned.
        """
        if closure is None:
            raise TypeError(
                "SAM evaluates the loss twice a step: give step() a closure that computes the loss, "
                "calls backward() and returns the loss."
            )
        loss = self._evaluate(closure, "at the parameters")
        signed = [
            (p, -1.0 if group.get("maximize") else 1.0)
            for group in self.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        params = [p for p, _ in signed]
        norm = self._norm(params, "at the parameters", adaptive=self.adaptive)
        if norm == 0 or self.rho == 0:
            signed = []
        kept = [p.clone() for p, _ in signed]
        try:
            for p, sign in signed:
                w, g = _real(p), _real(cast(Tensor, p.grad))
                away = g.to(_wide(g)) / norm * (sign * self.rho)
                w.add_(away * w.to(away.dtype).square() if self.adaptive else away)
            self._evaluate(closure, "at the worst point nearby")
        finally:
            for (p, _), was in zip(signed, kept, strict=True):
                p.copy_(was)
        moving = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        self._norm(moving, "at the worst point nearby")
        self.base.step()
        return loss

    def _evaluate(self, closure: Callable[[], float], where: str) -> float:
        self.zero_grad()
        with torch.enable_grad():
            loss = closure()
        if loss is not None and not torch.as_tensor(loss).isfinite().all():
            raise FloatingPointError(f"the loss {where} is not finite, so SAM did not move.")
        return loss

    def _norm(self, params: list[Tensor], where: str, *, adaptive: bool = False) -> float:
        """Returns the norm of all gradients, or of |w| g, in double precision: squares overflow."""
        norms = []
        for p in params:
            if cast(Tensor, p.grad).layout != torch.strided:
                raise TypeError(
                    "SAM takes dense gradients: build the embedding with sparse=False, or set "
                    "p.grad = p.grad.to_dense() in the closure."
                )
            g = _real(cast(Tensor, p.grad))
            g = g.to(_wide(g)) * _real(p) if adaptive else g
            norms.append(torch.linalg.vector_norm(g, dtype=_wide(g)).to(params[0].device))
        norm = torch.linalg.vector_norm(torch.stack(norms)).item() if norms else 0.0
        if not norm < float("inf"):
            raise FloatingPointError(f"the gradient {where} is not finite, so SAM did not move.")
        return norm


def _wide(g: Tensor) -> torch.dtype:
    """Double precision, where there is one."""
    return torch.float32 if g.device.type == "mps" else torch.float64


def _real(x: Tensor) -> Tensor:
    return torch.view_as_real(x) if x.is_complex() else x


def _check(rho: object, adaptive: object) -> None:
    if not between(rho, inf):
        raise ValueError(f"rho must be a number in [0, inf), got {rho!r}.")
    if not isinstance(adaptive, bool):
        raise TypeError(f"adaptive must be True or False, got {adaptive!r}.")
