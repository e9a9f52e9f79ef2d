"""Trial of ``state-bytes``: the bytes that an optimizer's state takes, beside the rule's count."""

from __future__ import annotations

from fractions import Fraction

import torch

from ..theory.memory import per_element
from ..theory.records import Answer, Level, Verdict, Witness
from .subjects import Subject

SHAPES = ((1,), (7,), (3, 5), (130, 130))
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def trial(subject: Subject, device: str) -> Answer:
    """Hold the state of every shape and type against k·n·s bytes and single numbers beside them."""
    assert subject.lifted is not None
    entries = per_element(subject.lifted.rule)
    single, size = 0, {}
    for dtype in DTYPES:
        for shape, state in zip(SHAPES, _states(subject, dtype, device), strict=True):
            n = torch.Size(shape).numel()
            large = {name: v for name, v in state.items() if v.numel() > 1 or name in entries}
            single = sum(v.nbytes for name, v in state.items() if name not in large)
            took = sum(v.nbytes for v in large.values())
            size[dtype] = len(entries) * dtype.itemsize
            if took != n * size[dtype] or set(large) != set(entries):
                point = {"n": Fraction(n), "s": Fraction(dtype.itemsize)}
                held = f"{took} bytes in {', '.join(large) or 'nothing'}"
                witness = Witness(point, str(took - n * size[dtype]), f"{held} ({dtype}, {device})")
                return Answer(Verdict.REFUTED, Level.EXACT, "trial", witness=witness)
    each = ", ".join(f"{b} in {str(d).removeprefix('torch.')}" for d, b in size.items())
    idle = sorted(set(entries) - set(subject.rule.initial))
    reason = (
        f"{len(entries)} numbers per parameter ({', '.join(entries) or 'none'}): {each} bytes; "
        f"{single} bytes per tensor; parameters, gradients and state: {2 + len(entries)} copies"
    )
    reason += f"; {', '.join(idle)} is kept for nothing" if idle else ""
    return Answer(Verdict.MEASURED, Level.SAMPLED, "trial", reason)


def _states(subject: Subject, dtype: torch.dtype, device: str) -> list[dict[str, torch.Tensor]]:
    """Return the tensors in the state of one parameter of each shape, after a step."""
    assert subject.recipe is not None
    params = [torch.nn.Parameter(torch.ones(s, dtype=dtype, device=device)) for s in SHAPES]
    optimizer = subject.recipe.build(params, {}, symbolic=False)
    for param in params:
        param.grad = torch.full_like(param, 0.5)
    optimizer.step()
    return [{n: v for n, v in optimizer.state[p].items() if isinstance(v, torch.Tensor)} for p in params]
