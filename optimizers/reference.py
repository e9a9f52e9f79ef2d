"""The driver of the reference forms: one tensor at a time, one pure function.

A reference form is slow and plain on purpose.  It is what the fast form is compared with, and
what a reader holds against the paper.
"""

from torch import Tensor

from adamproof.optimizers.base import Base, Work
from adamproof.optimizers.hyper import Hyper
from adamproof.optimizers.settings import Settings


class Reference(Base):
    """Steps with a pure function of one tensor.

    Used in front of the class whose arguments and whose `_rule` it takes::

        class AdamReference(Reference, Adam): ...

    The arguments, their checks and the names in the state are those of ``Adam``; the loop and
    the formula are not.  ``compiled`` is not followed: it never compiles.
    """

    def _step_lists(self, h: Hyper, params: list[Tensor]) -> None:
        self._step_each(h, params)

    def _step_compiled(self, work: Work, settings: Settings) -> list[Tensor]:
        return work.params
