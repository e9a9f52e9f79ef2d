"""The driver of the reference forms: one tensor at a time, one pure function.

A reference form is slow and plain on purpose.  It is what the fast form is compared with, and
what a reader holds against the paper.
"""

from torch import Tensor

from adamproof.optimizers.base import Base, Hyper


class Reference(Base):
    """Steps with a pure function of one tensor.

    Used in front of the class whose arguments and whose `_rule` it takes::

        class AdamReference(Reference, Adam): ...

    The arguments, their checks and the names in the state are those of ``Adam``; the loop and
    the formula are not.  ``compiled`` is not followed: it never compiles.
    """

    def _step_group(self, h: Hyper, params: list[Tensor]) -> None:
        for p in params:
            if p.grad is None:
                continue
            g = -p.grad if h["maximize"] else p.grad
            state = self._state(p, h)
            state["step"] += 1
            x, new = self._rule(p, g, state["step"].item(), state, h)
            p.copy_(x)
            state.update(new)
