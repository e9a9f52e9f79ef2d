"""What a reader asks of `adamproof reproduce`: numbers in place of its own, one more optimizer.

A wish that does not fit the counterexample is refused in one sentence, which says what would.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction
from typing import Any

from .counterexamples.record import Asked, Chosen, Counterexample, Optimizer, Run
from .errors import UsageError

#: A guest whose numbers come beyond this has diverged.
BEYOND = 1e100


def read(pattern: str = "", betas: str = "", C: str = "") -> Chosen:
    """Return the numbers that were asked for.

    Raises:
        UsageError: they are no numbers, or too many or too few.
    """
    pair = _numbers("--betas", betas)
    large = _numbers("--C", C)
    if pair is not None and len(pair) != 2:
        raise UsageError(f"--betas takes β1,β2, such as 0.9,0.999, and got {betas!r}.")
    if large is not None and len(large) != 1:
        raise UsageError(f"--C takes one number, and got {C!r}.")
    return Chosen(
        _numbers("--pattern", pattern), (pair[0], pair[1]) if pair else None, large[0] if large else None
    )


def _numbers(option: str, text: str) -> tuple[Fraction, ...] | None:
    try:
        return tuple(Fraction(word.strip()) for word in text.split(",")) if text else None
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(
            f"{option} takes numbers such as 10, 0.9 or 1/3 with commas between, and got {text!r}."
        ) from error


def chosen(example: Counterexample, wish: Chosen, seeds: int | None = None) -> Counterexample:
    """Return the counterexample with the reader's numbers.

    Raises:
        UsageError: it does not take one of them, or its theorem does not speak of them.
    """
    taken = ", ".join(f"--{name}" for name in example.takes)
    told = f"it takes {taken}" if taken else "its numbers are fixed"
    for name in wish.names:
        if name not in example.takes:
            raise UsageError(f"{example.id} takes no --{name}: {told}.")
    if seeds is not None and "seeds" not in example.takes:
        raise UsageError(f"{example.id} takes no --seeds, as nothing in it is random: {told}.")
    if not wish.names:
        return example
    assert example.choose is not None
    try:
        return example.choose(wish)
    except ValueError as error:
        raise UsageError(f"{example.id}: {str(error).rstrip('.')}.") from error


def runs(example: Counterexample, asked: Asked) -> tuple[Run, ...]:
    """Return the runs; of a guest that diverges it is said, and it is not drawn."""
    if asked.optimizer is None:
        return example.runs(asked)
    name, _ = asked.optimizer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            found = example.runs(asked)
        except (ArithmeticError, RuntimeError, ValueError) as error:
            told = f"diverges, or cannot take these numbers: {' '.join(str(error).split())}"
            guest = Run(name, name, asked.steps or 0, {}, remark=told, drawn=False)
            return (*example.runs(replace(asked, optimizer=None)), guest)
    return tuple(_looked_at(run) if run.name == name else run for run in found)


def _looked_at(run: Run) -> Run:
    if any(abs(value) > BEYOND for value in _floats([dict(run.found), run.curve])):
        return replace(run, remark=f"diverges, beyond {BEYOND:g}", drawn=False)
    return run


def _floats(value: Any) -> Iterator[float]:
    """Yield the numbers in lists, arrays, mappings and records."""
    if isinstance(value, int | float):
        yield float(value)
    elif isinstance(value, dict):
        yield from _floats(list(value.values()))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _floats([getattr(value, field.name) for field in fields(value)])
    elif hasattr(value, "tolist"):
        yield from _floats(value.tolist())
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _floats(one)


def optimizer(text: str) -> Optimizer:
    """Return what makes the optimizer that was asked for.

    Raises:
        UsageError: there is none of that name, or it does not step a vector.
    """
    import torch

    from .proofs_check.subjects import UnknownSubject, resolve
    from .proofs_check.symbolic import LiftError

    try:
        recipe = resolve(text).recipe
        if recipe is None:
            raise UsageError(f"--optimizer runs code, and {text} is a rule on paper: name a class.")
        x = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
        x.grad = torch.ones_like(x)
        recipe.build([x], {}, symbolic=False).step()
    except (UnknownSubject, LiftError) as error:
        raise UsageError(str(error)) from error
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"--optimizer {text} does not step a vector by itself: {error}") from error
    return lambda params: recipe.build(params, {}, symbolic=False)
