"""Nanoseconds a step of the counterexample ``reddi-period``, in one run on one machine.

The same trajectory: a real torch.optim loop, plain Python floats, the recurrence that ``adamproof
reproduce reddi-period`` uses, and a loop in C as a floor.  The second and the third are bitwise equal
to the first (the harness checks it before anything is timed); C rounds in its own way.  Each time is
the best of several.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from adamproof.counterexamples.compare import with_optimizer
from adamproof.counterexamples.harness import Method, play
from adamproof.counterexamples.players import Real
from adamproof.counterexamples.recurrence import Recurrence, compiled, torch_roots
from adamproof.counterexamples.reddi_period import START, game, methods
from adamproof.optimizers.compiler import NoCompiler, compiler


def best(run: Callable[[int], object], steps: int, repeats: int) -> float:
    """Return nanoseconds a step, the best of several runs after one that is not counted."""
    run(min(steps, 1000))
    times = []
    for _ in range(repeats):
        begin = time.perf_counter_ns()
        run(steps)
        times.append(time.perf_counter_ns() - begin)
    return min(times) / steps


#: Adam with bias correction, or AMSGrad with the maximum before it; the rates are given.
C_LOOP = """
#include <math.h>
double run(long n, const double *g, long p, const double *rate, double a, double b, double eps,
           int keep, int correct) {
    double m = 0, v = 0, top = 0, x = 0, pa = 1, pb = 1;
    for (long t = 0; t < n; t++) {
        double s = g[t % p];
        m += (1 - a) * (s - m);
        v = b * v + (1 - b) * s * s;
        top = keep && top > v ? top : v;
        pa *= a; pb *= b;
        if (pa < 1e-20) pa = 0;
        if (pb < 1e-20) pb = 0;
        double size = correct ? rate[t] / (1 - pa) : rate[t];
        double root = sqrt(top);
        if (correct) root /= sqrt(1 - pb);
        x -= size * m / (root + eps);
        x = x > 1 ? 1 : x < -1 ? -1 : x;
    }
    return x;
}
"""


def in_c(method: Method) -> Callable[[int], object] | None:
    """Return the loop in C, or None where there is no compiler."""
    try:
        cc = compiler()
    except NoCompiler:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "loop.c", Path(folder) / "loop.so"
        source.write_text(C_LOOP)
        flags = ["-O3", "-march=native", "-ffp-contract=off", "-shared", "-fPIC", "-lm"]
        subprocess.run([cc, str(source), "-o", str(target), *flags], check=True)
        run = ctypes.CDLL(str(target)).run
    floats, real, whole = ctypes.POINTER(ctypes.c_double), ctypes.c_double, ctypes.c_long
    run.argtypes = [whole, floats, whole, floats, real, real, real, ctypes.c_int, ctypes.c_int]
    run.restype = real
    slopes = np.array([float(g) for g in game().gradients])
    beta1, beta2 = (float(beta) for beta in method.betas)

    def loop(steps: int) -> object:
        rates = float(game().alpha) / np.sqrt(np.arange(1, steps + 1))
        given, rate = (v.ctypes.data_as(floats) for v in (slopes, rates))
        return run(steps, given, len(slopes), rate, beta1,
                   beta2, float(method.eps), method.amsgrad, method.correction != "none")  # fmt: skip

    return loop


def main() -> None:
    """Time every method, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    losses = game()
    quick = "recurrence" if compiled() else "recurrence, numba missing"
    table = Table(
        "rule", "torch.optim", "Python floats", quick, "C", *(f"× {n}" for n in ("torch", "Python", "C"))
    )
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

        times: tuple[float, ...] = (
            best(loop, 2000, repeats),
            best(recurrence(False), 100_000, repeats),
            best(recurrence(True), 1_000_000, repeats),
        )
        floor = in_c(method)
        times += (best(floor, 1_000_000, repeats) if floor else float("nan"),)
        ratios = [times[i] / times[2] for i in (0, 1, 3)]
        cells = [f"{t:,.0f}" for t in times] + [f"{r:,.3g}" for r in ratios]
        table.add_row(f"{method.name} ({name})", *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
