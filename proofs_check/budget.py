"""A deterministic budget for code that may never return: so many calls of Python functions."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ..theory.identity import Budget


class _Spent(BaseException):
    """Passes through ``except Exception``, of which a computer algebra system has many."""


@contextmanager
def limited(calls: int) -> Iterator[None]:
    """Stop what runs inside after that many calls of Python functions.

    Calls are counted, not seconds, so that a verdict does not depend on the machine.  A profiler that
    is at work is put aside meanwhile.

    Raises:
        Budget: the calls are spent.
    """
    left = calls

    def count(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal left
        if event == "call":
            left -= 1
            if left < 0:
                sys.setprofile(None)
                raise _Spent

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield
    except _Spent:
        raise Budget(f"more than {calls} calls of Python functions") from None
    finally:
        sys.setprofile(before)
