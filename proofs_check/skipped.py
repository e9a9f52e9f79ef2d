"""Trial of ``none-gradient-no-update``: a step at which a parameter has no gradient at all."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import torch

from ..theory.records import Answer, Level, Verdict, Witness
from .subjects import Subject

#: Steps with a gradient before the one without: a fresh parameter, and ones with a memory.
BEFORE = (0, 1, 3)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def trial(subject: Subject, device: str) -> Answer:
    """Compare the parameter and its state, bit by bit, before and after a step without a gradient."""
    assert subject.recipe is not None
    for dtype in DTYPES:
        for steps in BEFORE:
            params = [torch.nn.Parameter(torch.full((3,), 0.75, dtype=dtype, device=device))
                      for _ in range(2)]  # fmt: skip
            optimizer = subject.recipe.build(params, {}, symbolic=False)
            alone, other = params
            for _ in range(steps):
                for param in params:
                    param.grad = torch.tensor([1.0, -0.5, 0.0], dtype=dtype, device=device)
                optimizer.step()
            alone.grad = None
            other.grad = torch.ones_like(other)
            before = _kept(alone, optimizer)
            try:
                optimizer.step()
            except Exception as error:
                told = f"step() fails where a gradient is None: {type(error).__name__}: {error}"
                return Answer(Verdict.UNDECIDED, engine="trial", reason=f"unsupported operation: {told}")
            after = _kept(alone, optimizer)
            moved = [n for n in after if n not in before or not _same(before[n], after[n])]
            if moved:
                witness = Witness(
                    {"t": Fraction(steps + 1)}, f"{moved[0]} changes", f"{dtype}, {device}"
                )
                return Answer(Verdict.REFUTED, Level.EXACT, "trial", witness=witness)
    reason = f"parameter and state stay bit by bit, after {', '.join(map(str, BEFORE))} steps, in "
    reason += ", ".join(str(d).removeprefix("torch.") for d in DTYPES)
    return Answer(Verdict.MEASURED, Level.SAMPLED, "trial", reason)


def _kept(param: torch.nn.Parameter, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return copies of the parameter and of what is kept for it."""
    state = optimizer.state.get(param, {})
    return {"x": param.detach().clone()} | {
        n: v.clone() if isinstance(v, torch.Tensor) else v for n, v in state.items()
    }


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
    return bool(a == b)
