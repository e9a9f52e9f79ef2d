"""CPU nanoseconds a step of the counterexample ``reddi-period``, all ways in turn on one machine.

The same trajectory: a real torch.optim loop, NumPy's floats, Python's floats, the plain recurrence, what
``adamproof reproduce reddi-period`` uses (``skip``), which computes once what repeats, and loops in C.

``skip`` is bitwise equal to the recurrence over the whole million steps, and the recurrence to the
optimizer over a prefix: both are checked before anything is timed.  C rounds in its own way, and its
skip is bitwise equal to its plain loop.  Every way but those called *jump*, NumPy's and C's plain one
writes down every iterate; a jump tells only the last one.  With the rates α/√t no x comes back, so each
step is taken, unless both ends meet; with the constant rate α, it does.  Medians of several rounds; ours
goes in pieces, as ``reproduce`` does, which takes every iterate into the curve that it draws.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import os
import platform
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from adamproof.counterexamples.compare import CHUNK, with_optimizer
from adamproof.counterexamples.harness import Game, Method, play
from adamproof.counterexamples.players import Real
from adamproof.counterexamples.recurrence import Recurrence, torch_roots
from adamproof.counterexamples.reddi_period import START, game, methods
from adamproof.counterexamples.skip import Skip
from adamproof.optimizers.compiler import NoCompiler, compiler

STEPS = 1_000_000
#: What is run, and for how many steps.
Ways = dict[str, tuple[Callable[[int], object], int]]

#: Adam with bias correction, or AMSGrad with the maximum before it; rates α/√t.
C_LOOPS = """
#include <math.h>
#include <string.h>
enum { BLOCK = 1 << 13, PERIOD = 101 };
typedef struct { double m, v, top; } moments;
#define STEP(s) \\
    now.m += (1 - a) * ((s) - now.m); \\
    now.v = b * now.v + (1 - b) * (s) * (s); \\
    now.top = keep && now.top > now.v ? now.top : now.v;
#define PUSH(t) \\
    STEP(g[(t) % PERIOD]) \\
    pa *= a; pb *= b; \\
    if (pa < 1e-20) pa = 0; \\
    if (pb < 1e-20) pb = 0; \\
    double size = alpha / sqrt((t) + 1.0), root = sqrt(now.top); \\
    if (correct) { size /= 1 - pa; root /= sqrt(1 - pb); } \\
    x -= size * now.m / (root + eps); \\
    x = x > 1 ? 1 : x < -1 ? -1 : x;
#define GIVEN long n, const double *g, double alpha, double a, double b, double eps, \\
    int keep, int correct, double *out

double plain(GIVEN) {
    moments now = {0, 0, 0};
    double x = 0, pa = 1, pb = 1;
    for (long t = 0; t < n; t++) { PUSH(t) }
    return x;
}

double skip(GIVEN) {
    moments now = {0, 0, 0}, was;
    double x = 0, pa = 1, pb = 1;
    static double m[BLOCK + PERIOD], d[BLOCK + PERIOD];
    long t = 0;
    do {
        was = now;
        for (int i = 0; i < PERIOD && t < n; i++, t++) { PUSH(t) out[t] = x; }
    } while (t < n && (memcmp(&was, &now, sizeof now) || (correct && (pa > 0 || pb > 0))));
    for (int i = 0; i < BLOCK + PERIOD; i++) {
        STEP(g[(t + i) % PERIOD])
        m[i] = now.m;
        d[i] = sqrt(now.top) + eps;
    }
    for (int at = 0; t < n; ) {
        long count = n - t < BLOCK ? n - t : BLOCK;
        for (long i = 0; i < count; i++) out[t + i] = alpha / sqrt(t + i + 1.0) * m[at + i] / d[at + i];
        for (long end = t + count; t < end; t++) {
            x -= out[t];
            if (!(x < 1)) x = 1; else if (!(x > -1)) x = -1;
            out[t] = x;
        }
        at = (at + count) % PERIOD;
    }
    return x;
}
"""


def in_c(method: Method) -> dict[str, Callable[[int], object]]:
    """Return the loops in C, none where there is no compiler."""
    try:
        cc = compiler()
    except NoCompiler:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "loop.c", Path(folder) / "loop.so"
        source.write_text(C_LOOPS)
        flags = "-O3 -march=native -fno-math-errno -fno-trapping-math -ffp-contract=off -shared -fPIC"
        subprocess.run([cc, str(source), "-o", str(target), *flags.split(), "-lm"], check=True)
        library = ctypes.CDLL(str(target))
    floats, real, whole = ctypes.POINTER(ctypes.c_double), ctypes.c_double, ctypes.c_int
    slopes = np.array([float(g) for g in game().gradients])
    numbers = [float(n) for n in (game().alpha, *method.betas, method.eps)]

    def loop(name: str) -> Callable[[int], object]:
        run = getattr(library, name)
        run.argtypes = [ctypes.c_long, floats, *[real] * 4, whole, whole, floats]
        run.restype = real

        places = np.zeros(STEPS)
        given, out = (v.ctypes.data_as(floats) for v in (slopes, places))

        def steps(count: int) -> object:
            return run(count, given, *numbers, method.amsgrad, method.correction != "none", out)

        return steps

    found = {"C": loop("plain"), "C, skip": loop("skip")}
    if len({run(STEPS) for run in found.values()}) > 1:
        raise SystemExit("the two loops in C differ")
    return found


def in_numpy(method: Method) -> Callable[[int], object]:
    """Return the paper's formula on NumPy's floats, step by step."""
    beta1, beta2, eps, alpha = map(np.float64, (*map(float, method.betas), float(method.eps), 0.5))
    slopes = np.array([float(g) for g in game().gradients])
    inside = method.correction == "before_max"

    def run(steps: int) -> object:
        m = v = top = x = np.float64(0)
        for t in range(1, steps + 1):
            g = slopes[(t - 1) % len(slopes)]
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g * g
            first, second = (1 - beta1**t, 1 - beta2**t) if method.correction != "none" else (1, 1)
            now = v / second if inside else v
            top = np.maximum(top, now) if method.amsgrad else now
            root = np.sqrt(top if inside else top / second)
            x = np.minimum(1, np.maximum(-1, x - alpha / math.sqrt(t) * m / first / (root + eps)))
        return x

    return run


def in_pieces(run: Recurrence, steps: int) -> None:
    """Take the steps as ``reproduce`` does."""
    for begin in range(0, steps, CHUNK):
        run.advance(min(CHUNK, steps - begin))


def ways(method: Method) -> Ways:
    """Return the ways to run a method, those that agree checked against each other."""
    losses, (name, make) = game(), next(iter(method.implementations()))
    agreement = with_optimizer(losses, method, make, "cpu")
    if not agreement.holds:
        raise SystemExit(f"{name}: {agreement.text}")
    constant = replace(losses, decay=False)

    def ours(kind: type[Recurrence], on: bool = True, of: Game = losses) -> Recurrence:
        return kind(of, method, fused=agreement.fused, roots=torch_roots, compile_loops=on)

    def skips(of: Game = losses) -> Skip:
        return Skip(of, method, fused=agreement.fused, roots=torch_roots)

    for of in (losses, constant):
        slow = ours(Recurrence, of=of).advance(STEPS)
        if slow.tobytes() != skips(of).advance(STEPS).tobytes() or slow[-1] != skips(of).jump(STEPS):
            raise SystemExit(f"{method.name}: skipping is not bitwise the recurrence")
    return {
        f"{name}": (lambda steps: play(losses, Real(make, START), steps), 2000),
        "NumPy floats": (in_numpy(method), 20_000),
        "Python floats": (lambda steps: in_pieces(ours(Recurrence, False), steps), 50_000),
        "recurrence": (lambda steps: in_pieces(ours(Recurrence), steps), STEPS),
        "skip": (lambda steps: in_pieces(skips(), steps), STEPS),
        "jump": (lambda steps: skips().jump(steps), STEPS),
        **{way: (run, STEPS) for way, run in in_c(method).items()},
        "skip, constant rate": (lambda steps: in_pieces(skips(constant), steps), STEPS),
        "jump, constant rate": (lambda steps: skips(constant).jump(steps), STEPS),
    }


def medians(given: Ways, rounds: int) -> dict[str, float]:
    """Return CPU nanoseconds a step, each way taking its turn in each round."""
    times: dict[str, list[float]] = {way: [] for way in given}
    for run, _ in given.values():
        run(1000)
    for _ in range(rounds):
        for way, (run, steps) in given.items():
            begin = time.process_time_ns()
            run(steps)
            times[way].append((time.process_time_ns() - begin) / steps)
    return {way: statistics.median(found) for way, found in times.items()}


def machine() -> str:
    """Return what the numbers hang on."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", info.read_text() if info.exists() else "", re.MULTILINE)
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}, numba {numba.__version__}"
    chip = names[0] if names else platform.machine()
    return f"{chip}, {os.cpu_count()} cores; torch {torch.__version__}, {versions}"


def main() -> None:
    """Time every method, and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    rounds, console = parser.parse_args().repeats, Console()
    torch.set_num_threads(1)
    console.print(machine())
    for method in methods():
        if not any(True for _ in method.implementations()):
            continue  # neither torch nor we have one
        found = medians(ways(method), rounds)
        table = Table("way", "ns a step", "÷ skip", title=f"{method.name}; α/√t unless said")
        for way, time_ in found.items():
            table.add_row(way, f"{time_:,.3g}", f"{time_ / found['skip']:,.3g}")
        console.print(table)


if __name__ == "__main__":
    main()
