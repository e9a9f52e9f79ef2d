"""Trial of ``fused-kernel``: a kernel that no tape can see, held against the envelope of plain code."""

from __future__ import annotations

import inspect

from ..theory.records import Answer, Level, Verdict
from .bands import FORMATS
from .build import Recipe
from .envelope import TRIED, enclose, outside, refuted, run, works
from .rounding import Standard
from .subjects import Subject
from .symbolic import LiftError


def trial(subject: Subject, device: str) -> Answer:
    """Run the fused form on the same numbers; all that it keeps must be in the plain form's bands."""
    assert subject.recipe is not None
    cls, options = subject.recipe.cls, dict(subject.recipe.options)
    if "fused" not in inspect.signature(cls).parameters or options.pop("foreach", False):
        return Answer(Verdict.NOT_APPLICABLE)
    plain, whole = Recipe(cls, {**options, "foreach": False}), Recipe(cls, {**options, "fused": True})
    runs = 0
    for name in TRIED:
        for work in works(plain, FORMATS[name]):
            try:
                numbers = run(whole, work, device)
                found = outside(enclose(plain, work, (Standard,), device), numbers)
            except LiftError as error:  # no fused form with these options, or no tape of the plain one
                return Answer(Verdict.UNDECIDED, None, "envelope", f"unsupported operation: {error}")
            if found:
                return refuted(work, found, "the fused kernel", device)
            runs += work.start.size
    reason = f"{runs} runs in {', '.join(TRIED)} stay in the bands of the single-tensor code"
    return Answer(Verdict.MEASURED, Level.SAMPLED, "envelope", reason)
