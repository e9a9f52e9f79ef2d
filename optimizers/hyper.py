"""The arguments of an optimizer: what a step reads from a group, and what is refused."""

from collections.abc import Iterable, Mapping
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
        group: One of ``param_groups``; a number may be a one-element tensor, as in `torch.optim`.
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
        if isinstance(value, Tensor) and value.numel() == 1:
            h[name] = wide(value.reshape(())) if tensors else value.item()
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
    for name, high in _BELOW.items():
        if name in h and not between(h[name], high):
            raise ValueError(f"{name} must be a number in [0, {high}), got {h[name]!r}.")
    for name in HOW:
        if not isinstance(h.get(name, False), bool):
            raise ValueError(f"{name} must be True or False, got {h[name]!r}.")


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
