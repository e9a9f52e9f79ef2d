"""Trials of ``fused-kernel`` and ``compiled-kernel``.

A kernel that no tape can see is held against the envelope of the plain code.
"""

from __future__ import annotations

import inspect

from .. import optimizers
from ..optimizers import kernel
from ..theory.records import Answer, Level, Verdict
from .bands import FORMATS
from .build import Recipe
from .envelope import TRIED, enclose, outside, refuted, run, works
from .rounding import Standard
from .subjects import Subject
from .symbolic import LiftError


def fused(subject: Subject, device: str) -> Answer:
    """Run torch's fused form on the same numbers as the single-tensor one."""
    assert subject.recipe is not None
    cls, options = subject.recipe.cls, dict(subject.recipe.options)
    if "fused" not in inspect.signature(cls).parameters or options.pop("foreach", False):
        return Answer(Verdict.NOT_APPLICABLE)
    plain, whole = Recipe(cls, {**options, "foreach": False}), Recipe(cls, {**options, "fused": True})
    return _held(plain, whole, "the fused kernel", "the single-tensor code", device)


def compiled(subject: Subject, device: str) -> Answer:
    """Run our compiled form on the same numbers as the reference."""
    if not kernel.possible():
        reason = "unsupported operation: there is no C compiler that a kernel can be made with"
        return Answer(Verdict.UNDECIDED, None, "envelope", reason)
    assert subject.recipe is not None
    assert subject.readable is not None
    reference = getattr(optimizers, f"{subject.recipe.cls.__name__}Reference")
    plain = Recipe(reference, subject.readable.options)
    return _held(plain, subject.recipe, "the compiled kernel", "the reference form", device)


def _held(plain: Recipe, whole: Recipe, what: str, against: str, device: str) -> Answer:
    """All that the one form keeps must be in the bands of the other's operations."""
    runs = 0
    for name in TRIED:
        for work in works(plain, FORMATS[name]):
            try:
                numbers = run(whole, work, device)
                found = outside(enclose(plain, work, (Standard,), device), numbers)
            except LiftError as error:  # no such form with these options, or no tape of the plain one
                return Answer(Verdict.UNDECIDED, None, "envelope", f"unsupported operation: {error}")
            if found:
                return refuted(work, found, what, device)
            runs += work.start.size
    reason = f"{runs} runs in {', '.join(TRIED)} stay in the bands of {against}"
    return Answer(Verdict.MEASURED, Level.SAMPLED, "envelope", reason)
