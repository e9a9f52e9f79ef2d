"""Statistics of paired runs: interval, test, equivalence, correction, and what they say together.

Every function takes differences by pair (same seed, two methods), so what a seed makes hard for both
cancels.  Sample sizes are fixed before: nothing here is to be looked at until a study is complete.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .study import Outcome

Array = NDArray[np.float64]

RESAMPLES = 9999

LEVEL = 0.05
"""The error that is accepted: of a test, and of an interval."""
FEWEST = 10
"""Pairs below which nothing is concluded."""


@dataclass(frozen=True)
class Comparison:
    """A mean paired difference, and how sure it is.

    Attributes:
        effect: The mean.
        interval: Its 95 % interval, bias-corrected and accelerated bootstrap (Efron 1987).
        p: Two-sided, by flipping signs at random: under no difference, each is as likely as its mirror.
        p_equivalent: Of the two one-sided t-tests (Schuirmann 1987) that the mean lies within ± margin.
        pairs: How many.
    """

    effect: float
    interval: tuple[float, float]
    p: float
    p_equivalent: float
    pairs: int


def compare(differences: Sequence[float] | Array, margin: float, seed: int = 0) -> Comparison:
    """Compare two methods by their paired differences; those that are not finite are left out.

    Args:
        differences: One for each pair.
        margin: The largest mean difference that counts as none, in the unit of the differences.
        seed: Of the resampling.

    Raises:
        ValueError: The margin is not positive.

    >>> compare([1.0, 2.0, 3.0, 2.0] * 5, 0.5).effect
    2.0
    """
    if not margin > 0:
        raise ValueError(f"the margin of equivalence is positive, not {margin}.")
    d = np.asarray(differences, dtype=np.float64)
    d = d[np.isfinite(d)]
    if len(d) < 2:
        return Comparison(
            float(d.mean()) if len(d) else math.nan, (-math.inf, math.inf), 1.0, 1.0, len(d)
        )
    effect = float(d.mean())
    if np.ptp(d) == 0:  # nothing varies: no resample differs
        p = 1.0 if effect == 0 else 2.0 ** (1 - len(d))
        return Comparison(effect, (effect, effect), p, float(abs(effect) >= margin), len(d))
    return Comparison(effect, bootstrap(d, seed), sign_flip(d, seed), equivalence(d, margin), len(d))


def bootstrap(d: Array, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % BCa interval of the mean."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (d,), np.mean, n_resamples=RESAMPLES, method="BCa", rng=np.random.default_rng(seed)
        ).confidence_interval
    low, high = float(found.low), float(found.high)
    return (low, high) if math.isfinite(low + high) else (float(d.min()), float(d.max()))


def sign_flip(d: Array, seed: int = 0) -> float:
    """Return the p-value of the mean under random signs; exact where all signs can be tried."""
    result = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=RESAMPLES, vectorized=True,
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(result.pvalue)


def equivalence(d: Array, margin: float) -> float:
    """Return the p-value that the mean lies within ± margin: the larger of two one-sided t-tests."""
    above = stats.ttest_1samp(d, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(d, margin, alternative="less").pvalue
    return float(max(above, below))


def holm(p: Sequence[float]) -> list[float]:
    """Return the p-values corrected for being tested together (Holm 1979).

    Written out here, since `statsmodels.stats.multitest` collects garbage for a second at every call;
    the tests compare the two.

    >>> holm([0.25, 0.5, 0.125])
    [0.5, 0.5, 0.375]
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(1, np.maximum.accumulate(steps))
    found: list[float] = corrected.tolist()
    return found


def decide(comparison: Comparison, p: float, p_equivalent: float, level: float = LEVEL) -> Outcome:
    """Return what a comparison says of the belief that the mean difference is positive.

    Equivalence goes first: a difference that is sure and too small to matter is no difference.

    Args:
        comparison: The comparison.
        p: Its p-value, corrected.
        p_equivalent: Its p-value of equivalence, corrected.
        level: The error that is accepted.
    """
    if comparison.pairs < FEWEST:
        return Outcome.INCONCLUSIVE
    if p_equivalent < level:
        return Outcome.NO_DIFFERENCE
    if p < level:
        return Outcome.SUPPORTED if comparison.effect > 0 else Outcome.CONTRADICTED
    return Outcome.INCONCLUSIVE


def together(raw: Outcome, invariant: Outcome) -> Outcome:
    """Return the verdict on a belief about sharpness: both metrics must say it.

    >>> together(Outcome.SUPPORTED, Outcome.CONTRADICTED), together(Outcome.SUPPORTED, Outcome.SUPPORTED)
    (<Outcome.METRIC_DEPENDENT: 'metric-dependent'>, <Outcome.SUPPORTED: 'supported'>)
    """
    if raw == invariant:
        return raw
    signed = {Outcome.SUPPORTED, Outcome.CONTRADICTED}
    return Outcome.METRIC_DEPENDENT if signed & {raw, invariant} else Outcome.INCONCLUSIVE


def tau(x: Sequence[float] | Array, y: Sequence[float] | Array) -> float:
    """Return Kendall's τ-b of the pairs that are finite; NaN for fewer than three, or no order."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    kept = np.isfinite(a) & np.isfinite(b)
    a, b = a[kept], b[kept]
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(stats.kendalltau(a, b).statistic)
