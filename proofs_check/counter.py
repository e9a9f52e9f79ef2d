"""Trial of ``step-counter-float32``: the step at a counter that stopped, beside one that goes on."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import torch

from ..theory.counter import STALL
from ..theory.records import Answer, Level, Verdict, Witness
from .subjects import Subject

#: Steps at which the two are compared.
LATE = (STALL + 1, 2 * STALL, 64 * STALL)
GRADIENTS = (0.5, -0.25, 2.0)


def trial(subject: Subject, device: str) -> Answer:
    """Compare the step at a counter that should go past 2^24 with that of a float64 one, bit by bit."""
    entry, own = _counter(subject, device)
    if own is None:
        reason = "unsupported operation: nothing in the state counts the steps, so nothing can stop"
        return Answer(Verdict.UNDECIDED, engine="trial", reason=reason)
    if isinstance(own, int):
        reason = f"the counter {entry} is a whole number of Python's, and those have no largest one"
        return Answer(Verdict.MEASURED, Level.SAMPLED, "trial", reason)
    own = torch.as_tensor(own, dtype=torch.float64) if isinstance(own, float) else own
    name = str(own.dtype).removeprefix("torch.")
    after, stalled = _step(subject, device, entry, torch.full_like(own, STALL))
    if after != STALL:
        reason = f"the {name} counter goes past {STALL}"
        return Answer(Verdict.MEASURED, Level.SAMPLED, "trial", reason)
    for t in LATE:
        _, true = _step(subject, device, entry, torch.full_like(own, t - 1, dtype=torch.float64))
        if stalled != true:
            by = max(abs(a / b - 1) if b else math.inf for a, b in zip(stalled, true, strict=True))
            seen = f"a step of {stalled[-1]:.12g}, not {true[-1]:.12g} (float64, {device})"
            last_of_all = torch.full_like(own, LATE[-1] - 1, dtype=torch.float64)
            _, last = _step(subject, device, entry, last_of_all)
            seen += f"; at t = {LATE[-1]} not {last[-1]:.6g}"
            witness = Witness({"t": Fraction(t)}, f"{by:.12g}", seen)
            return Answer(Verdict.REFUTED, Level.EXACT, "trial", witness=witness)
    reason = (
        f"the {name} counter stays at {STALL}; the steps at t = {', '.join(map(str, LATE))} are the "
        "true ones, bit by bit in float64"
    )
    return Answer(Verdict.MEASURED, Level.SAMPLED, "trial", reason)


def _optimizer(
    subject: Subject, device: str
) -> tuple[torch.nn.Parameter, dict[str, Any], torch.optim.Optimizer]:
    """Return a parameter after its first step, its state, and the optimizer."""
    assert subject.recipe is not None
    start = torch.full((len(GRADIENTS),), 0.75, dtype=torch.float64, device=device)
    param = torch.nn.Parameter(start)
    optimizer = subject.recipe.build([param], {}, symbolic=False)
    param.grad = torch.tensor(GRADIENTS, dtype=torch.float64, device=device)
    optimizer.step()
    return param, optimizer.state[param], optimizer


def _counter(subject: Subject, device: str) -> tuple[str, torch.Tensor | float | None]:
    """Return what counts the steps, and its name: one number that is 1 after the first step, then 2."""
    _, state, optimizer = _optimizer(subject, device)
    first = {name: float(value) for name, value in state.items() if _is_number(value)}
    optimizer.step()
    for name, value in state.items():
        if _is_number(value) and (first.get(name), float(value)) == (1.0, 2.0):
            return name, value
    return "", None


def _is_number(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.dim() == 0
    return isinstance(value, int | float) and not isinstance(value, bool)


def _step(subject: Subject, device: str, entry: str, counter: torch.Tensor) -> tuple[float, list[float]]:
    """Return the counter after a step that finds it so, and how far the step goes."""
    param, state, optimizer = _optimizer(subject, device)
    state[entry] = counter
    before = param.detach().clone()
    optimizer.step()
    return float(state[entry]), (before - param.detach()).tolist()
