"""Loading a checkpoint: it is brought into today's form, and refused where it is not of the rule."""

from collections.abc import Collection, Mapping
from math import inf
from typing import Any

import torch
from torch import Tensor


def check_form(state_dict: Any) -> None:
    """Refuses what is not laid out as ``state_dict()`` lays it out.

    Args:
        state_dict: What is to be loaded.

    Raises:
        ValueError: It is not.
    """
    has = state_dict if isinstance(state_dict, Mapping) else {}
    states, groups = has.get("state"), has.get("param_groups")
    if not (
        isinstance(states, Mapping)
        and isinstance(groups, (list, tuple))
        and all(isinstance(group, Mapping) for group in groups)
        and all(isinstance(group.get("params"), (list, tuple)) for group in groups)
        and all(isinstance(state, Mapping) for state in saved(has))
    ):
        raise ValueError("a checkpoint of an optimizer is what its state_dict() gave.")


def tidy(state: dict[str, Any], where: torch.device, *, counted: bool) -> None:
    """Brings what other versions of torch, and optimizers that do not count, keep into today's form.

    Args:
        state: What was loaded for a parameter; the count becomes a float32 without dimensions, and
            None is dropped.
        where: Where the count belongs.
        counted: Whether the rule asks which step it is; if not, the count may be missing.
    """
    for entry in [e for e, value in state.items() if value is None]:
        del state[entry]
    if state and not counted:
        state.setdefault("step", 0)
    step = state.get("step")
    if isinstance(step, (int, float)):
        step = torch.tensor(float(step))
    if isinstance(step, Tensor) and step.numel() == 1:
        state["step"] = step.reshape(()).to(where, torch.float32)


def check(
    name: str,
    index: int,
    p: Tensor,
    state: Mapping[str, Any],
    buffers: Collection[str],
    scalars: Collection[str],
) -> None:
    """Refuses state that a rule cannot go on from.

    Args:
        name: The class.
        index: The place of the parameter.
        p: The parameter.
        state: What was loaded for it; nothing where it has had no gradient.
        buffers: The entries that the rule keeps, of the shape of the parameter.
        scalars: The numbers that it keeps, beside ``step``.

    Raises:
        ValueError: An entry is missing, is no tensor, or has not the shape that it needs; or the count
            is none.
    """
    told = f"the checkpoint is not of {name} with these arguments and parameters"
    numbers = ["step", *scalars]
    for entry in sorted([*numbers, *buffers]) if state else ():
        if entry not in state:
            has = ", ".join(sorted(map(str, state)))
            raise ValueError(f"{told}: parameter {index} has no {entry!r} there, only {has}.")
    for entry, value in state.items():
        if not isinstance(value, Tensor):
            raise ValueError(f"{told}: {entry!r} of parameter {index} is {value!r} there, no tensor.")
        if entry in numbers or (entry not in buffers and value.dim() == 0):
            wanted, of = torch.Size(), "a number has none"
        else:
            wanted, of = p.shape, f"the parameter {tuple(p.shape)}"
        if value.shape != wanted:
            raise ValueError(
                f"{told}: {entry!r} of parameter {index} has the shape {tuple(value.shape)} there, "
                f"and {of}."
            )
    if state and not state["step"].is_meta and not 0 <= state["step"].item() < inf:
        raise ValueError(f"{told}: parameter {index} is at step {state['step'].item()} there.")


def saved(state_dict: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a checkpoint holds for each parameter, in the order of the groups, before it is cast.

    Args:
        state_dict: The checkpoint.

    Returns:
        The state of each parameter; empty where there is none.
    """
    order = [index for group in state_dict["param_groups"] for index in group["params"]]
    return [state_dict["state"].get(index, {}) for index in order]
