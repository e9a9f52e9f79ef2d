"""Loading a checkpoint: it is brought into today's form, and refused where it is not of the rule."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor


def tidy(states: Mapping[Tensor, dict[str, Any]]) -> None:
    """Brings what older versions of torch and its SGD keep into the form of today.

    Args:
        states: What was loaded; a count that is a number becomes a tensor, and None is dropped.
    """
    for state in states.values():
        for entry in [e for e, value in state.items() if value is None]:
            del state[entry]
        if isinstance(state.get("step"), (int, float)):
            state["step"] = torch.tensor(float(state["step"]), dtype=torch.float32)


def check(name: str, index: int, p: Tensor, state: Mapping[str, Any], needed: Collection[str]) -> None:
    """Refuses state that a rule cannot go on from.

    Args:
        name: The class.
        index: The place of the parameter.
        p: The parameter.
        state: What was loaded for it; nothing where it has had no gradient.
        needed: The entries that the rule keeps.

    Raises:
        ValueError: An entry is missing, is no tensor, or has not the shape of its parameter.
    """
    told = f"the checkpoint is not of {name} with these arguments and parameters"
    for entry in sorted(needed) if state else ():
        if entry not in state:
            has = ", ".join(sorted(map(str, state)))
            raise ValueError(f"{told}: parameter {index} has no {entry!r} there, only {has}.")
    for entry, value in state.items():
        if not isinstance(value, Tensor):
            raise ValueError(f"{told}: {entry!r} of parameter {index} is {value!r} there, no tensor.")
        if value.dim() > 0 and value.shape != p.shape:
            raise ValueError(
                f"{told}: {entry!r} of parameter {index} has the shape {tuple(value.shape)} there, and "
                f"the parameter {tuple(p.shape)}."
            )


def saved(state_dict: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a checkpoint holds for each parameter, in the order of the groups, before it is cast.

    Args:
        state_dict: The checkpoint.

    Returns:
        The state of each parameter; empty where there is none.
    """
    order = [index for group in state_dict["param_groups"] for index in group["params"]]
    return [state_dict["state"].get(index, {}) for index in order]
