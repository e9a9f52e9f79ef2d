"""What the judge costs: imports, lifts, one proof by the small checker against SymPy's simplify.

Run it with ``make bench``; it prints tables and asserts nothing.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median

from rich.console import Console
from rich.table import Table


def milliseconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Return the median time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    return median(times)


def fresh(statement: str) -> float:
    """Return the median time of a fresh interpreter that runs the statement."""
    return milliseconds(lambda: subprocess.run([sys.executable, "-c", statement], check=True), 3)


def imports(console: Console) -> None:
    """Print what importing costs, against a bare interpreter and NumPy."""
    table = Table("fresh process", "ms", "× numpy", title="imports")
    base = fresh("import numpy")
    modules = ("adamproof", "adamproof.cli", "numpy", "sympy", "torch", "adamproof.proofs_check.judge")
    for statement in ("pass", *(f"import {m}" for m in modules)):
        cost = fresh(statement)
        table.add_row(statement, f"{cost:.0f}", f"{cost / base:.2f}")
    console.print(table)


def lifts(console: Console) -> None:
    """Print what a lift costs for each torch class."""
    from adamproof.proofs_check.lift import lift
    from adamproof.proofs_check.subjects import builtin

    table = Table("subject", "ms", title="lift, for every t")
    for subject in builtin().values():
        if subject.kind == "torch" and "foreach" not in subject.id and subject.recipe is not None:
            table.add_row(subject.id, f"{milliseconds(partial(lift, subject.recipe), 3):.0f}")
    console.print(table)


def proofs(console: Console) -> None:
    """Print torch's Adam against the paper's by the small checker and by SymPy."""
    import sympy as sp
    import torch

    from adamproof.proofs_check.build import Recipe
    from adamproof.proofs_check.lift import lift
    from adamproof.theory.identity import Checker
    from adamproof.theory.rules import named

    rule, paper = lift(Recipe(torch.optim.Adam)).rule, named("adam")
    a, b = rule.transition()["x"], paper.transition()["x"]
    table = Table("engine", "question", "answer", "ms", "× checker", title="one transition of Adam")

    checker_ms = milliseconds(lambda: Checker(rule.all_domains).is_zero(a - b))
    told = Checker(rule.all_domains).is_zero(a - b)
    table.add_row("small checker", "code − paper = 0, every t", str(told), f"{checker_ms:.1f}", "1")
    start = time.perf_counter()
    answer = sp.simplify(a - b) == 0
    cost = 1e3 * (time.perf_counter() - start)
    ratio = f"{cost / checker_ms:.0f}"
    table.add_row("sympy.simplify", "code − paper = 0, every t", str(answer), f"{cost:.0f}", ratio)
    console.print(table)


if __name__ == "__main__":
    out = Console()
    imports(out)
    lifts(out)
    proofs(out)
