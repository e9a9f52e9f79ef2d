"""The driver of the reference forms: one tensor at a time, one pure function.

A reference form is slow and plain on purpose.  It is what the fast form is compared with, and
what a reader holds against the paper.
"""

from torch import Tensor

from adamproof.optimizers.base import Base, Hyper, State


class Reference(Base):
    """Steps with a pure function of one tensor.

    Used in front of the class whose arguments it takes::

        class AdamReference(Reference, Adam):
            def _rule(self, x, g, t, state, h):
                return adam(x, g, t, state, alpha=h["lr"], ...)

    The arguments, their checks and the names in the state are those of ``Adam``; the loop and
    the formula are not.
    """

    def _rule(self, x: Tensor, g: Tensor, t: float, state: State, h: Hyper) -> tuple[Tensor, State]:
        """The function of the paper, with the hyper-parameters under the paper's names.

        Args:
            x: The parameter.
            g: Its gradient, to descend along.
            t: The step; the first is 1.
            state: The buffers after step t - 1.
            h: The hyper-parameters of the group.

        Returns:
            The parameter and the buffers after step t, as new tensors.
        """
        raise NotImplementedError

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
