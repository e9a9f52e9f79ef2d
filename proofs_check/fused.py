"""Trial of ``fused-kernel``: a kernel that no tape can see, held against the envelope of plain code."""

from __future__ import annotations

import inspect
from fractions import Fraction

from ..theory.records import Answer, Level, Verdict, Witness
from .bands import FORMATS
from .build import Recipe
from .envelope import TRIED, Outside, Work, enclose, outside, run, works
from .rounding import Standard
from .subjects import Subject
from .symbolic import LiftError
from .tape import UnknownKernel


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
            except UnknownKernel as error:
                return Answer(Verdict.UNDECIDED, None, "envelope", f"unsupported operation: {error}")
            except LiftError as error:  # the class has no fused form with these options
                return Answer(Verdict.UNDECIDED, None, "envelope", f"unsupported operation: {error}")
            if found:
                return _refuted(work, found, device)
            runs += work.start.size
    reason = f"{runs} runs in {', '.join(TRIED)} stay in the bands of the single-tensor code"
    return Answer(Verdict.MEASURED, Level.SAMPLED, "envelope", reason)


def _refuted(work: Work, found: Outside, device: str) -> Answer:
    point = {n: Fraction(v) for n, v in work.values.items()}
    point |= {"x0": Fraction(float(work.start[found.index]))}
    point |= {f"g{k}": Fraction(float(g[found.index]))
              for k, g in enumerate(work.gradients[: found.step], start=1)}  # fmt: skip
    where = f"coordinate {found.index} of {work.start.size}, {work.form.name}, {device}"
    told = (f"{found.name} = {found.number!r} after step {found.step}, outside of [{found.lo!r}, "
            f"{found.hi!r}] ({where})")  # fmt: skip
    beyond = max(found.lo - found.number, found.number - found.hi)
    witness = Witness(point, f"{beyond!r}", f"{beyond!r} ({where})")
    return Answer(Verdict.REFUTED, Level.EXACT, "envelope", told, witness)
