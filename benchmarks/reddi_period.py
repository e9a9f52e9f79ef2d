"""Nanoseconds a step of the counterexample ``reddi-period``, in one run on one machine.

The same trajectory three ways: a real torch.optim loop, plain Python floats, and the recurrence
that ``adamproof reproduce reddi-period`` uses.  The last two are bitwise equal to the first (the
harness checks it before anything is timed).  Each time is the best of several.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from adamproof.counterexamples.compare import with_optimizer
from adamproof.counterexamples.harness import play
from adamproof.counterexamples.players import Real
from adamproof.counterexamples.recurrence import Recurrence, compiled, torch_roots
from adamproof.counterexamples.reddi_period import START, game, methods


def best(run: Callable[[int], object], steps: int, repeats: int) -> float:
    """Return nanoseconds a step, the best of several runs after one that is not counted."""
    run(min(steps, 1000))
    times = []
    for _ in range(repeats):
        begin = time.perf_counter_ns()
        run(steps)
        times.append(time.perf_counter_ns() - begin)
    return min(times) / steps


def main() -> None:
    """Time every method, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    losses = game()
    quick = "recurrence" if compiled() else "recurrence, numba missing"
    table = Table("rule", "torch.optim", "Python floats", quick, "torch ratio", "Python ratio")
    table.title = "ns a step, best of several; 2 x 10³, 10⁵ and 10⁶ steps"
    for method in methods():
        # ours where torch has none
        real = next(iter(method.implementations()), None)
        if real is None:
            continue
        name, make = real
        agreement = with_optimizer(losses, method, make, "cpu")
        if not agreement.holds:
            raise SystemExit(f"{name}: {agreement.text}")

        def loop(steps: int, make=make) -> object:  # type: ignore[no-untyped-def]
            return play(losses, Real(make, START), steps)

        def recurrence(on: bool, method=method, fused=agreement.fused):  # type: ignore[no-untyped-def]
            return lambda steps: Recurrence(
                losses, method, fused=fused, roots=torch_roots, compile_loops=on
            ).advance(steps)

        times = (
            best(loop, 2000, repeats),
            best(recurrence(False), 100_000, repeats),
            best(recurrence(True), 1_000_000, repeats),
        )
        cells = [f"{t:,.0f}" for t in times] + [f"{t / times[2]:,.0f}" for t in times[:2]]
        table.add_row(f"{method.name} ({name})", *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
