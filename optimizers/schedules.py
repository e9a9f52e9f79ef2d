"""Learning rates that change with the step, for `torch.optim.lr_scheduler.LambdaLR`.

A function here makes a schedule: what the learning rate is multiplied by.  `LambdaLR` calls it with
the number of times that its ``step()`` has been called, 0 when it is made.  So if ``scheduler.step()``
follows every ``optimizer.step()``, the optimizer's t-th step, t = 1, 2, 3, …, is taken at
``schedule(t - 1)``, which is ``schedule.at(t)``: no step is wasted on the rate 0, and t is the t of the
papers.  Steps are steps of the optimizer, not epochs.

A schedule can be pickled, compared and printed, and `LambdaLR.state_dict` keeps its numbers.

That each one is the formula in its docstring, for every t and all parameters, is proved: see
`adamproof.proofs_check.schedules`.  For that the code is run on symbols; `float()` and `int()` would
drop them, and `math` must be called as a module.

>>> import torch
>>> from adamproof.optimizers import Adam, cosine
>>> weight = torch.nn.Parameter(torch.zeros(3))
>>> optimizer = Adam([weight], lr=1.0)
>>> scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, cosine(total=6, warmup=2))
>>> rates = []
>>> for _ in range(7):
...     rates.append(round(scheduler.get_last_lr()[0], 3))
...     optimizer.step()
...     scheduler.step()
>>> rates
[0.5, 1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
"""

import math
from dataclasses import dataclass
from typing import Any

from adamproof.optimizers.radam import lengths, rectifier

__all__ = [
    "Schedule",
    "cosine",
    "exponential_warmup",
    "inverse_sqrt",
    "linear",
    "linear_warmup",
    "linear_warmup_for",
    "radam_warmup",
]


@dataclass(frozen=True)
class Schedule:
    """A multiplier of the learning rate, by step.  Make one with the functions of this module."""

    def at(self, t: float) -> float:
        """Return the multiplier of the optimizer's t-th step; the first is t = 1."""
        raise NotImplementedError

    def __call__(self, step: float) -> float:
        """Return the multiplier after `step` steps: 0 is what `LambdaLR` asks for first.

        Raises:
            ValueError: `step` is no number.
        """
        if step is None or isinstance(step, str):
            raise ValueError(f"a schedule is asked for a number of steps, got {step!r}.")
        return self.at(step + 1)


@dataclass(frozen=True)
class _LinearWarmup(Schedule):
    steps: float

    def at(self, t: float) -> float:
        return t / self.steps if t <= self.steps else 1.0


def linear_warmup(steps: float) -> Schedule:
    """Rise linearly to 1 at step `steps`, and stay there.

    min(1, t/w) at step t = 1, 2, …, w = `steps`: 1/w at the first step, 1 from step w on.

    Source: Goyal et al. 2017 (arXiv 1706.02677), section 2.2, proposes a gradual warmup by a constant
    amount per step; there it starts from the rate of a small batch, here from 0, before step 1.

    Args:
        steps: w, a number of steps, in [0, inf); 0 is no warmup at all.  It need not be whole.

    Returns:
        The schedule.

    Raises:
        ValueError: `steps` is out of its range.
    """
    check("steps", steps, 0)
    return _LinearWarmup(steps)


def linear_warmup_for(beta2: float) -> Schedule:
    """Warm up linearly for as long as Adam's second moment needs: 2/(1-β2) steps.

    min(1, (1-β2) t/2) at step t = 1, 2, …: it is `linear_warmup` over 2/(1-β2) steps, 2000 at
    β2 = 0.999 and 40 at β2 = 0.95.

    Source: Ma & Yarats 2021 (arXiv 1910.04209), who recommend it as the default, over RAdam.

    Args:
        beta2: β2 of the optimizer, in [0, 1).

    Returns:
        The schedule.

    Raises:
        ValueError: `beta2` is out of its range.
    """
    check("beta2", beta2, 0, 1)
    return _LinearWarmup(2 / (1 - beta2))


@dataclass(frozen=True)
class _ExponentialWarmup(Schedule):
    beta2: float

    def at(self, t: float) -> float:
        return 1 - math.exp(-(1 - self.beta2) * t)


def exponential_warmup(beta2: float) -> Schedule:
    """Approach 1 at the pace at which Adam's second moment forgets its start.

    1 - exp(-(1-β2) t) at step t = 1, 2, …; it is 1 - 1/e ≈ 0.63 after 1/(1-β2) steps.

    Source: Ma & Yarats 2021 (arXiv 1910.04209), "untuned exponential warmup".

    Args:
        beta2: β2 of the optimizer, in [0, 1).

    Returns:
        The schedule.

    Raises:
        ValueError: `beta2` is out of its range.
    """
    check("beta2", beta2, 0, 1)
    return _ExponentialWarmup(beta2)


@dataclass(frozen=True)
class _RAdamWarmup(Schedule):
    beta2: float
    threshold: float
    before: float

    def at(self, t: float) -> float:
        rho, rho_inf = lengths(self.beta2, t)
        if rho > self.threshold:
            factor: float = rectifier(rho, rho_inf)
            return factor
        return self.before


def radam_warmup(beta2: float, threshold: float = 5, before: float = 0.0) -> Schedule:
    """RAdam's rectifier r_t as a warmup of Adam.

    With ρ_∞ = 2/(1-β2) - 1 and ρ_t = ρ_∞ - 2 t β2^t/(1-β2^t) at step t = 1, 2, …::

        r_t = √( (ρ_t-4)(ρ_t-2) ρ_∞ / ((ρ_∞-4)(ρ_∞-2) ρ_t) )    where ρ_t > threshold
        before                                                   at the steps before

    At β2 = 0.999 and the threshold 5 the first step with r_t is t = 6; r_6 ≈ 0.026.

    From there on Adam with this schedule takes the steps of RAdam, up to where ε stands (RAdam adds
    it to the root of v_t itself).  The steps before differ: RAdam takes them without the second
    moment, at the full rate; Adam does not move where `before` is 0, but averages all the same.

    Source: Liu et al. 2020 (arXiv 1908.03265), Algorithm 2, where the threshold is 4; it is 5 in
    their code and in `torch.optim.RAdam`.

    Args:
        beta2: β2 of the optimizer, in [0, 1) and more than (threshold-1)/(threshold+1), or no step
            would ever be rectified.
        threshold: The length ρ of the average from which it counts, in [4, inf).
        before: The multiplier of the steps before, in [0, 1].

    Returns:
        The schedule.

    Raises:
        ValueError: An argument is out of its range.
    """
    check("beta2", beta2, 0, 1)
    check("threshold", threshold, 4)
    check("before", before, 0, 1, ends="[]")
    if not 2 / (1 - beta2) - 1 > threshold:
        raise ValueError(
            f"beta2 must be more than (threshold - 1)/(threshold + 1) = "
            f"{(threshold - 1) / (threshold + 1):g}, got {beta2!r}: no step would be rectified."
        )
    return _RAdamWarmup(beta2, threshold, before)


@dataclass(frozen=True)
class _Decay(Schedule):
    """A linear warmup, a fall to the floor, and the floor."""

    total: float
    warmup: float
    floor: float

    def at(self, t: float) -> float:
        if t <= self.warmup:
            return t / self.warmup
        return self.falling(t) if t < self.total else self.floor

    def falling(self, t: float) -> float:
        """Return the multiplier between the warmup and the floor."""
        raise NotImplementedError


@dataclass(frozen=True)
class _Cosine(_Decay):
    def falling(self, t: float) -> float:
        turn = math.cos(math.pi * (t - self.warmup) / (self.total - self.warmup))
        return self.floor + (1 - self.floor) * (1 + turn) / 2


def cosine(total: float, warmup: float = 0, floor: float = 0.0) -> Schedule:
    """Rise linearly to 1, then fall along half a cosine.

    With T = `total`, w = `warmup` and a = `floor`, at step t = 1, 2, …::

        t/w                                     t ≤ w
        a + (1-a)(1 + cos(π (t-w)/(T-w)))/2     w < t < T
        a                                       T ≤ t

    1 is reached at step w, a at step T, the last of T steps.  Without warmup the first step is
    already below 1: step t has what `torch.optim.lr_scheduler.CosineAnnealingLR` with ``T_max=T``
    gives to step t + 1.

    Source: Loshchilov & Hutter 2017 (arXiv 1608.03983), equation (5), without restarts.

    Args:
        total: T, a number of steps, in (0, inf), not less than `warmup`.
        warmup: w, a number of steps, in [0, inf).
        floor: a, a fraction of the learning rate, in [0, 1].

    Returns:
        The schedule.

    Raises:
        ValueError: An argument is out of its range.
    """
    _check_decay(total, warmup, floor)
    return _Cosine(total, warmup, floor)


@dataclass(frozen=True)
class _Linear(_Decay):
    def falling(self, t: float) -> float:
        return self.floor + (1 - self.floor) * (self.total - t) / (self.total - self.warmup)


def linear(total: float, warmup: float = 0, floor: float = 0.0) -> Schedule:
    """Rise linearly to 1, then fall linearly.

    With T = `total`, w = `warmup` and a = `floor`, at step t = 1, 2, …::

        t/w                        t ≤ w
        a + (1-a)(T-t)/(T-w)       w < t < T
        a                          T ≤ t

    1 is reached at step w, a at step T, the last of T steps.

    Source: Devlin et al. 2019 (arXiv 1810.04805), appendix A.2: "learning rate warmup over the first
    10,000 steps, and linear decay of the learning rate".

    Args:
        total: T, a number of steps, in (0, inf), not less than `warmup`.
        warmup: w, a number of steps, in [0, inf).
        floor: a, a fraction of the learning rate, in [0, 1].

    Returns:
        The schedule.

    Raises:
        ValueError: An argument is out of its range.
    """
    _check_decay(total, warmup, floor)
    return _Linear(total, warmup, floor)


@dataclass(frozen=True)
class _InverseSqrt(Schedule):
    warmup: float

    def at(self, t: float) -> float:
        return t / self.warmup if t <= self.warmup else (self.warmup / t) ** 0.5


def inverse_sqrt(warmup: float) -> Schedule:
    """Rise linearly to 1, then fall as one over the root of the step.

    min(t/w, √(w/t)) at step t = 1, 2, …, w = `warmup`: 1 at step w, 1/2 at step 4w.

    The paper's rate is d^(-1/2) min(t^(-1/2), t w^(-3/2)), with the width d of the model: that is
    this schedule at the learning rate (d w)^(-1/2).

    Source: Vaswani et al. 2017 (arXiv 1706.03762), equation (3).

    Args:
        warmup: w, a number of steps, in (0, inf).

    Returns:
        The schedule.

    Raises:
        ValueError: `warmup` is out of its range.
    """
    check("warmup", warmup, 0, ends="()")
    return _InverseSqrt(warmup)


def _check_decay(total: float, warmup: float, floor: float) -> None:
    check("total", total, 0, ends="()")
    check("warmup", warmup, 0)
    check("floor", floor, 0, 1, ends="[]")
    if not warmup <= total:
        raise ValueError(f"warmup must not be more than total, got {warmup!r} of {total!r} steps.")


def check(name: str, value: Any, low: float, high: float = math.inf, *, ends: str = "[)") -> None:
    """Refuse what is not a number between two, which are in where `ends` has a square bracket."""
    try:  # written so that NaN is out
        inside = bool(low <= value if ends[0] == "[" else low < value)
        inside = inside and bool(value <= high if ends[1] == "]" else value < high)
    except (TypeError, ValueError, RuntimeError):  # no number, or several
        inside = False
    if not inside:
        raise ValueError(f"{name} must be a number in {ends[0]}{low}, {high}{ends[1]}, got {value!r}.")
