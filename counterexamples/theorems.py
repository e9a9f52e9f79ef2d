"""What ``theory`` has proved or refuted of a paper's rule, as parts of a counterexample."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..theory.records import Case


def theorem(id: str, rule: str) -> Case:
    """Return what a claim says of the paper's rule of that name.

    Raises:
        KeyError: there is no such claim or rule.
        ValueError: the claim does not apply to the rule.
    """
    from ..theory.catalogue import claims
    from ..theory.faithful import paper_of

    case = claims()[id].judge(paper_of(rule))
    if case is None:
        raise ValueError(f"{id} does not apply to {rule}")
    return case
