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
