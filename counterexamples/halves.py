"""Adam in a half type as torch computes it, in exact rationals: every operation, every rounding.

Each operation on tensors is computed in float32 and rounded once more when it is stored; what
Python computes (the corrections, α/(1 - β1^t)) are Python's floats.  The order of operations is
that of `torch.optim.Adam` tensor by tensor, its default on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import isqrt

from ..theory.floats import FLOAT32, Format, mul_addcmul, stored

#: Bits after the point of a root before it is rounded: three times float32's for its smallest number.
ROOT_BITS = 150


@dataclass
class Halves:
    """One parameter in a half type, with its state.

    Attributes:
        form: the format of the parameter, the gradients and the state.
        x: the parameter; None once it is no finite number.
        alpha: the learning rate.
        betas: β1 and β2.
        eps: ε.
        m: ``exp_avg``.
        v: ``exp_avg_sq``.
        t: how many steps were taken.
        divisor: what m was last divided by.
    """

    form: Format
    x: Fraction | None
    alpha: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    m: Fraction = field(default=Fraction(0))
    v: Fraction = field(default=Fraction(0))
    t: int = 0
    divisor: Fraction = field(default=Fraction(0))

    def step(self, gradient: Fraction) -> None:
        """Take one step; with a divisor of 0 the parameter is no finite number ever after."""
        self.t += 1
        self.averages(gradient)
        corrections = [1 - beta**self.t for beta in self.betas]
        self.move(self.alpha / corrections[0], corrections[1] ** 0.5)

    def averages(self, gradient: Fraction) -> None:
        """``exp_avg.lerp_(g, 1 - β1)`` and ``exp_avg_sq.mul_(β2).addcmul_(g, g, value=1 - β2)``."""
        weight = FLOAT32.round(Fraction(1 - self.betas[0]))
        towards = FLOAT32.round(weight * FLOAT32.round(gradient - self.m))
        self.m = stored(self.form, self.m + towards)
        self.v = mul_addcmul(self.form, self.v, gradient, Fraction(self.betas[1]))

    def move(self, rate: float, correction: float) -> None:
        """``D = (v.sqrt() / correction).add_(ε)``, then ``x.addcdiv_(m, D, value=-rate)``."""
        root = stored(self.form, _root(self.v))
        quotient = stored(self.form, root / FLOAT32.round(Fraction(correction)))
        # torch's CPU rounds a number that is added to the half type first
        eps = self.form.round(FLOAT32.round(Fraction(self.eps)))
        self.divisor = stored(self.form, quotient + eps)
        if self.x is not None and self.divisor:
            scaled = FLOAT32.round(FLOAT32.round(Fraction(-rate)) * self.m)
            self.x = stored(self.form, self.x + FLOAT32.round(scaled / self.divisor))
        else:
            self.x = None


def _root(value: Fraction) -> Fraction:
    """Return the root as float32 has it; of an irrational one, enough bits decide the rounding."""
    over = value.numerator << (2 * ROOT_BITS)
    whole, rest = divmod(over, value.denominator)
    root = isqrt(whole)
    beyond = bool(rest) or root * root != whole  # a last bit that keeps it off every tie
    return FLOAT32.round(Fraction(2 * root + beyond, 2 << ROOT_BITS))
