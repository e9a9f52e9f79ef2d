"""Trials: what the judge does with a real optimizer when a claim is about how its code runs.

A trial is a function of a subject and a device.  It answers *measured* (level ``sampled``) when the
claim held in every run, with what was measured in ``reason``; *refuted* (level ``exact``) with a
witness when a run violates it; *undecided* with a reason when it cannot be tried.
"""

from __future__ import annotations

from collections.abc import Callable

from ..theory.records import Answer
from . import counter, envelope, kernels, memory, skipped
from .subjects import Subject

Trial = Callable[[Subject, str], Answer]

#: Trials by the name that a claim's case gives.
TRIALS: dict[str, Trial] = {
    "float-envelope": envelope.trial,
    "compiled-kernel": kernels.compiled,
    "fused-kernel": kernels.fused,
    "none-gradient": skipped.trial,
    "state-bytes": memory.trial,
    "step-counter": counter.trial,
}
#: What a compiled form alone is asked; and what it is asked as well.  No tape sees into a kernel, and
#: along a float64 count it steps without one.
OF_KERNELS = {"compiled-kernel"}
OF_KERNELS_TOO = {"none-gradient", "state-bytes"}


def concerns(trial: str, subject: Subject) -> bool:
    """Whether a trial is about a subject; without a trial, a claim is about its formula."""
    if subject.compiled:
        return trial in OF_KERNELS | OF_KERNELS_TOO
    return trial not in OF_KERNELS
