"""The arguments of an optimizer: what a step reads from a group, and what is refused."""

import difflib
from collections.abc import Collection, Iterable, Mapping
from math import inf
from typing import Any, Final, TypeAlias, TypedDict

import torch
from torch import Tensor

Hyper: TypeAlias = dict[str, Any]


class How(TypedDict, total=False):
    """How to step, the same for every rule; see `Base`."""

    maximize: bool
    compiled: bool
    capturable: bool
    differentiable: bool


#: What `How` is where nothing is said.
HOW: Final[How] = {"maximize": False, "compiled": False, "capturable": False, "differentiable": False}

_PYTHON: Final = {float, int, bool, str, type(None)}
#: What torch's schedules keep in a group, near the names of arguments.
_OF_SCHEDULES: Final = {"base_momentum", "max_momentum"}

# Every numerical argument lies between 0, included, and this, excluded.
_BELOW: Final[Mapping[str, float]] = {
    "lr": inf,
    "lr_decay": inf,
    "eps": inf,
    "weight_decay": inf,
    "initial_accumulator_value": inf,
    "momentum_decay": inf,
    "final_lr": inf,
    "gamma": inf,
    "tolerance": inf,
    "momentum": 1,
    "dampening": 1,
    "alpha": 1,
    "rho": 1,
    "beta1": 1,
    "beta2": 1,
}


def hyper_parameters(group: Mapping[str, Any], *, tensors: bool = False) -> Hyper:
    """What a step reads from a group: numbers and options, the betas by name.

    Args:
        group: One of ``param_groups``; a number may be a one-element tensor, as in `torch.optim`, or a
            number or array of one element of NumPy.
        tensors: Leave those tensors where they are.

    Returns:
        The options of the group, without its parameters.

    Raises:
        ValueError: ``betas`` is not two numbers.
    """
    h: Hyper = {k: v for k, v in group.items() if k != "params"}
    if "betas" in h:
        try:
            h["beta1"], h["beta2"] = h.pop("betas")
        except (TypeError, ValueError):
            raise ValueError(f"betas must be two numbers in [0, 1), got {group['betas']!r}.") from None
    for name, value in h.items():
        if type(value) in _PYTHON:
            continue
        if isinstance(value, Tensor):
            if value.numel() == 1:
                h[name] = wide(value.reshape(())) if tensors else value.item()
        elif hasattr(value, "item") and getattr(value, "size", 0) == 1:
            h[name] = value.item()
    return h


def wide(number: Tensor) -> Tensor:
    """In float64, as numbers are elsewhere: 1 - β^t would lose half its digits in float32.

    Args:
        number: A tensor without dimensions.

    Returns:
        The number, where its device has float64.
    """
    return number if number.is_mps else number.to(torch.float64)


def check_numbers(h: Hyper) -> None:
    """Refuses numbers out of range, and switches that are not yes or no.

    Args:
        h: From `hyper_parameters`.

    Raises:
        ValueError: One of them is.
    """
    for name, value in h.items():
        high = _BELOW.get(name)
        if high is not None and not (
            0 <= value < high if type(value) is float else between(value, high)
        ):
            raise ValueError(f"{name} must be a number in [0, {high}), got {value!r}.")
        if name in HOW and not isinstance(value, bool):
            raise ValueError(f"{name} must be True or False, got {value!r}.")


def check_names(group: Iterable[str], known: Collection[str]) -> None:
    """Refuses a name that is nearly one of the arguments; others are the user's own.

    Args:
        group: The names of what a group has.
        known: The names of the arguments.

    Raises:
        ValueError: One of them looks misspelt.
    """
    for name in group:
        if name in known or name in _OF_SCHEDULES:
            continue
        if near := difflib.get_close_matches(str(name), known, n=1, cutoff=0.8):
            raise ValueError(f"a group has no argument {name!r}; the nearest is {near[0]!r}.")


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Refuses an option that is not on offer.

    Args:
        name: The argument.
        value: What was given.
        choices: What can be given.

    Raises:
        ValueError: `value` is not one of `choices`.
    """
    choices = tuple(choices)
    if isinstance(value, Tensor) or value not in choices:
        raise ValueError(f"{name} must be one of {choices}, got {value!r}.")


def between(value: Any, high: float) -> bool:
    """Whether something is a number in [0, high).

    Args:
        value: What was given.
        high: The end, excluded.

    Returns:
        Yes or no; NaN is not, nor is what cannot be compared.
    """
    try:
        return bool(0 <= value < high)  # written so that NaN is out
    except (TypeError, ValueError, RuntimeError):  # no number, or several
        return False
