"""What a step costs: torch's loops and fused kernels, our foreach form, our compiled one, the floor.

*floor* is a loop in C, on as many threads, that reads and writes the bytes that the rule must move and
computes nothing: the parameter, its gradient and the buffers, each once.  All the forms of a rule take
their steps in turn, so that what else the machine does hits them alike; a number is the median.

*ratio* is ours compiled to torch's fused where there is one, else to torch's foreach.  The first step
of a fresh kernel is timed apart, at the end: it compiles, and a later process loads what it made.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from adamproof import caches
from adamproof import optimizers as ours
from adamproof.optimizers import in_c, kernel

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Rule:
    """A rule by our name and torch's, its options, its buffers, and whether torch has it fused."""

    name: str
    options: dict[str, Any]
    buffers: int
    theirs: str = ""
    more: dict[str, Any] = field(default_factory=dict)
    fused: bool = True

    @property
    def moved(self) -> int:
        """Bytes for each float32 parameter: all is read, all but the gradient is written."""
        return 4 * (2 + self.buffers) + 4 * (1 + self.buffers)


RULES = [
    Rule("AdamW", {"lr": 1e-3}, 2),
    Rule("Adam", {"lr": 1e-3}, 2),
    Rule("AMSGrad", {"lr": 1e-3, "correction": "after_max"}, 3, "Adam", {"lr": 1e-3, "amsgrad": True}),
    Rule("RMSprop", {"lr": 1e-3}, 1, fused=False),
    Rule("SGD", {"lr": 1e-3, "momentum": 0.9}, 1),
    Rule("Adagrad", {"lr": 1e-3}, 1),
]


def resnet18() -> list[Shape]:
    """Return the shapes of a ResNet-18 for 1000 classes: 62 tensors, 11.7 million parameters."""
    shapes: list[Shape] = [(64, 3, 7, 7), (64,), (64,)]
    wide = 64
    for width in (64, 128, 256, 512):
        for block in range(2):
            shapes += [(width, wide, 3, 3), (width,), (width,), (width, width, 3, 3), (width,), (width,)]
            if block == 0 and width != wide:
                shapes += [(width, wide, 1, 1), (width,), (width,)]
            wide = width
    return [*shapes, (1000, 512), (1000,)]


SIZES: dict[str, list[Shape]] = {
    "10M in 4 tensors": [(2500, 1000)] * 4,
    "ResNet-18": resnet18(),
    "62 small tensors": [(54, 55)] * 62,
    "MLP": [(64, 64), (64,), (64, 32), (32,)],
}


class Timed:
    """One way of stepping some parameters; what one step took, time by time."""

    def __init__(self, step: Callable[[], object]) -> None:
        self.step, self.seconds = step, list[float]()
        self.step()
        self.step()

    def take(self, repeats: int) -> None:
        """Take some steps, and note what one of them took."""
        start = time.perf_counter()
        for _ in range(repeats):
            self.step()
        self.seconds.append((time.perf_counter() - start) / repeats)

    @property
    def median(self) -> float:
        """Seconds for one step."""
        return statistics.median(self.seconds)


def parameters(shapes: Sequence[Shape]) -> list[torch.nn.Parameter]:
    """Return parameters with gradients."""
    out = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    for p in out:
        p.grad = torch.randn(p.shape)
    return out


_COPY = """\
#include <stdint.h>
int64_t step(int64_t tensors, const int64_t *sizes, float *const *const *memory,
             float *const *const *scalars, const float *was, const double *given, int64_t threads) {{
    #pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t me = 0; me < threads; me++)
        for (int64_t k = 0; k < tensors; k++) {{
            const int64_t first = sizes[k] * me / threads, last = sizes[k] * (me + 1) / threads;
            const float *restrict g = memory[1][k];
            {pointers}
            #pragma omp simd
            for (int64_t i = first; i < last; i++) {{
                {lines}
            }}
        }}
    return 0;
}}
"""


def floor(shapes: Sequence[Shape], buffers: int) -> Timed:
    """Return a step that moves what a rule with that many buffers must move."""
    columns = [[torch.randn(shape) for shape in shapes] for _ in range(2 + buffers)]
    kept = [0, *range(2, 2 + buffers)]
    step = kernel.build(_COPY.format(
        pointers="".join(f"float *restrict p{k} = memory[{k}][k];" for k in kept),
        lines="".join(f"p{k}[i] += g[i];" for k in kept),
    ))  # fmt: skip
    pointers = [array("Q", [a.data_ptr() for a in column]) for column in columns]
    memory = array("Q", [p.buffer_info()[0] for p in pointers])
    sizes = array("q", [a.numel() for a in columns[0]])
    held = (columns, pointers, memory, sizes)  # their addresses are all that the loop has
    threads = torch.get_num_threads() if sum(sizes) > in_c.SHARE else 1
    given = (len(sizes), sizes.buffer_info()[0], memory.buffer_info()[0], 0, 0, 0, threads)
    return Timed(lambda: (step(*given), held))


def forms(rule: Rule, shapes: Sequence[Shape]) -> dict[str, Timed]:
    """Return the ways of taking a step with a rule."""
    theirs, more = getattr(torch.optim, rule.theirs or rule.name), rule.more or rule.options
    out: dict[str, Any] = {
        "for-loop": theirs(parameters(shapes), foreach=False, **more),
        "foreach": theirs(parameters(shapes), foreach=True, **more),
    }
    if rule.fused:
        out["fused"] = theirs(parameters(shapes), fused=True, **more)
    cls = getattr(ours, rule.name)
    out["ours"] = cls(parameters(shapes), **rule.options)
    out["compiled"] = cls(parameters(shapes), compiled=True, **rule.options)
    return {n: Timed(o.step) for n, o in out.items()} | {"floor": floor(shapes, rule.buffers)}


COLUMNS = ("for-loop", "foreach", "fused", "ours", "compiled", "floor")


def table(title: str, shapes: Sequence[Shape], rules: Iterable[Rule], rounds: int) -> Table:
    """Measure all the rules on parameters of some shapes."""
    count = sum(torch.Size(shape).numel() for shape in shapes)
    small = count < 1_000_000
    unit = "µs/step" if small else "ns/parameter"
    out = Table(
        "rule", *(f"torch {c}" if c in COLUMNS[:3] else c for c in COLUMNS), "ratio", "× floor", "GB/s",
        title=f"{title}: {len(shapes)} tensors, {count:,} parameters, {unit}",
    )  # fmt: skip
    for rule in rules:
        taken = forms(rule, shapes)
        for _ in range(rounds):
            for form in taken.values():
                form.take(10 if small else 1)
        median = {name: form.median for name, form in taken.items()}
        scale = 1e6 if small else 1e9 / count
        best = median.get("fused", median["foreach"])
        out.add_row(
            rule.name,
            *(f"{median[c] * scale:.3g}" if c in median else "–" for c in COLUMNS),
            f"{median['compiled'] / best:.2f}",
            f"{median['compiled'] / median['floor']:.2f}",
            f"{rule.moved * count / median['compiled'] / 1e9:.0f}",
        )
    return out


def first_steps() -> Table:
    """Return what the first step of each rule takes: where it compiles, and where it loads."""
    out = Table("rule", "compiling", "loading", title="the first step of a kernel, ms")
    for rule in RULES:
        told = []
        for _ in range(2):
            kernel.forget()
            optimizer = getattr(ours, rule.name)(parameters([(3,)]), compiled=True, **rule.options)
            start = time.perf_counter()
            optimizer.step()
            told.append(f"{1e3 * (time.perf_counter() - start):.3g}")
        out.add_row(rule.name, *told)
    return out


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=("all", "small"), default="all", help="small: a quick run")
    parser.add_argument("--rule", default="", help="only this rule of ours")
    parser.add_argument("--threads", type=int, default=0, help="as many as torch takes, if not given")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    console = Console(width=120)
    console.print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load "
                  f"{os.getloadavg()[0]:.1f} at the start")  # fmt: skip
    rules = [rule for rule in RULES if given.rule in ("", rule.name)]
    with tempfile.TemporaryDirectory() as there:
        os.environ[caches.VARIABLE] = there
        for title, shapes in SIZES.items():
            small = sum(torch.Size(shape).numel() for shape in shapes) < 1_000_000
            if small or given.size == "all":
                console.print(table(title, shapes, rules, 15 if small else 11))
        with tempfile.TemporaryDirectory() as fresh:
            os.environ[caches.VARIABLE] = fresh
            console.print(first_steps())


if __name__ == "__main__":
    main()
