"""What a group says to a step: read and checked once, for as long as it says the same."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from operator import is_
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from adamproof.optimizers import kernel
from adamproof.optimizers.hyper import Hyper, check_numbers, hyper_parameters

#: What cannot change without becoming another object.
_FIXED: Final = {float, int, bool, str, type(None)}


class Settings(NamedTuple):
    """What a group says.

    Attributes:
        said: its options, as they are there.
        h: the hyper-parameters.
        known: those that a kernel is given, from `kernel.known`.
        fixed: those that decide which kernel it is.
        buffers: the buffers that the rule keeps with them.
        scalars: the numbers that it keeps, beside ``step``.
    """

    said: dict[str, Any]
    h: Hyper
    known: Hyper
    fixed: tuple[Any, ...]
    buffers: tuple[str, ...]
    scalars: tuple[str, ...]


def read(optimizer: Any, group: Mapping[str, Any]) -> Settings:
    """Read what a group says, and check it where it is not what was said at the step before.

    Of a rate that alone has changed, as under a schedule, its own range is asked for.

    Args:
        optimizer: whose group it is.
        group: the group.

    Raises:
        ValueError: a hyper-parameter is out of its range.
    """
    said = {**group}
    del said["params"]
    said.pop("param_names", None)
    kept = _kept().setdefault(optimizer, {})
    last = kept.get(id(group))
    if last and len(said) == len(last.said) and all(map(is_, said, last.said)):
        if all(map(is_, said.values(), last.said.values())):
            return last
        # A schedule: what hangs on the rate is whether it is 0, and the rate itself.
        rate, was = said.get("lr"), last.said.get("lr")
        alone = all(map(is_, {**said, "lr": was}.values(), last.said.values()))
        if alone and type(rate) is type(was) is float and rate and was:
            check_numbers({"lr": rate})
            last.said["lr"] = last.h["lr"] = last.known["lr"] = rate
            return last
    h = hyper_parameters(said)
    types = {*map(type, said.values()), *map(type, said.get("betas", ()))} - {tuple}
    plain = _FIXED.issuperset(types)
    known: Hyper = {}
    fixed: tuple[Any, ...] = ()
    # Of a float that carries a formula a comparison would be an assumption, and no kernel steps it.
    if plain or not any(isinstance(x, float) and type(x) is not float for x in h.values()):
        optimizer._check({**h, **{name: optimizer.defaults[name] for name in optimizer._written}})
        if h["compiled"]:
            known, fixed = kernel.known(h, optimizer.defaults)
    now = Settings(said, h, known, fixed, tuple(optimizer._buffers(h)), tuple(optimizer._scalars(h)))
    if plain:
        kept[id(group)] = now
    return now


# In a cache, not in a global; see `kernel`.
@functools.cache
def _kept() -> WeakKeyDictionary[Any, dict[int, Settings]]:
    """Return what the groups of each optimizer of this process said, without their parameters."""
    return WeakKeyDictionary()
