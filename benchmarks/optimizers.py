"""What a step costs: torch's forms, those of another library, our foreach and compiled ones, the floor.

*floor* is a loop in C, on as many threads, that reads and writes the bytes that the rule must move and
computes nothing: the parameter, its gradient and the buffers, each once.  All the forms of a rule take
their steps in turn, so that what else the machine does hits them alike; a number is the median.  Every
step has other gradients, as after ``zero_grad``: what it costs to find out where they lie counts in.

*ratio* is ours compiled to torch's fused where there is one, else to the best of the others.  *per
byte* is what ours compiled takes for each byte that the rule must move, relative to our AdamW in the
same table.  The first step of a fresh kernel is timed apart, at the end: it compiles, and a later
process loads what it made.

``--write`` puts the tables into docs/benchmarks.md, and the summary of one of them into README.md.
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import platform
import re
import statistics
import tempfile
import time
import warnings
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from adamproof import caches
from adamproof import optimizers as ours
from adamproof.optimizers import in_c, kernel

Shape = tuple[int, ...]
ROOT = Path(__file__).parents[1]
PAGE, README = ROOT / "docs" / "benchmarks.md", ROOT / "README.md"
#: Another library, compared where it is installed.
OTHER = "pytorch_optimizer"


@dataclass(frozen=True)
class Rule:
    """A rule by our name, its options and buffers, and who else has it.

    Attributes:
        name: our class.
        options: its options.
        buffers: how many buffers of the size of the parameter it keeps.
        torch: the class of torch.optim, if there is one, and its options.
        fused: whether torch has it fused.
        other: the class of the other library, if there is one.
    """

    name: str
    options: dict[str, Any]
    buffers: int
    torch: tuple[str, dict[str, Any]] | None = None
    fused: bool = False
    other: tuple[str, dict[str, Any]] | None = None

    @property
    def moved(self) -> int:
        """Bytes for each float32 parameter: all is read, all but the gradient is written."""
        return 4 * (2 + self.buffers) + 4 * (1 + self.buffers)

    @property
    def shown(self) -> str:
        """The name with its options, without numbers."""
        words = [str(v) for v in self.options.values() if isinstance(v, str)]
        return " ".join([self.name, *words])


RATE: dict[str, Any] = {"lr": 1e-3}
RULES = [
    Rule("AdamW", RATE, 2, ("AdamW", RATE), fused=True),
    Rule("Adam", RATE, 2, ("Adam", RATE), fused=True),
    Rule("AMSGrad", {**RATE, "correction": "after_max"}, 3, ("Adam", {**RATE, "amsgrad": True}),
         fused=True),
    Rule("NAdam", RATE, 2, ("NAdam", RATE)),
    Rule("RAdam", RATE, 2, ("RAdam", RATE), other=("RAdam", RATE)),
    Rule("AdaBelief", RATE, 2, other=("AdaBelief", RATE)),
    Rule("AdaBound", RATE, 2, other=("AdaBound", RATE)),
    Rule("Adamax", RATE, 2, ("Adamax", RATE)),
    Rule("Adadelta", {}, 2, ("Adadelta", {})),
    Rule("RMSprop", RATE, 1, ("RMSprop", RATE)),
    Rule("Adagrad", RATE, 1, ("Adagrad", RATE), fused=True),
    Rule("Lion", RATE, 1, other=("Lion", RATE)),
    Rule("SignSGD", {**RATE, "momentum": 0.9}, 1, other=("SignSGD", {**RATE, "momentum": 0.9})),
    Rule("SGD", {**RATE, "momentum": 0.9}, 1, ("SGD", {**RATE, "momentum": 0.9}), fused=True),
]  # fmt: skip


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
    "100M in 4 tensors": [(5000, 5000)] * 4,
    "10M in 4 tensors": [(2500, 1000)] * 4,
    "ResNet-18": resnet18(),
    "62 small tensors": [(54, 55)] * 62,
    "MLP": [(64, 64), (64,), (64, 32), (32,)],
}


class Timed:
    """One way of stepping some parameters; what one step took, time by time.

    Args:
        step: takes a step.
        params: the parameters, which get their gradients in turn from two sets.
    """

    def __init__(self, step: Callable[[], object], params: Sequence[torch.Tensor] = ()) -> None:
        self.step, self.params, self.seconds = step, params, list[float]()
        self.grads = [[torch.randn(p.shape) for p in params] for _ in range(2)]
        for _ in range(8):  # RAdam rectifies from the sixth step on
            self._once()

    def _once(self) -> float:
        for p, g in zip(self.params, self.grads[0], strict=True):
            p.grad = g
        self.grads.reverse()
        start = time.perf_counter()
        self.step()
        return time.perf_counter() - start

    def take(self, repeats: int) -> None:
        """Take some steps, and note what one of them took."""
        self.seconds.append(sum(self._once() for _ in range(repeats)) / repeats)

    @property
    def median(self) -> float:
        """Seconds for one step."""
        return statistics.median(self.seconds)


def parameters(shapes: Sequence[Shape]) -> list[torch.nn.Parameter]:
    """Return parameters."""
    return [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]


_COPY = """\
#include <stdint.h>
int64_t step(int64_t tensors, const int64_t *sizes, float *const *const *memory,
             void *const *const *scalars, const double *was, const double *given, int64_t threads) {{
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


def forms(rule: Rule, shapes: Sequence[Shape], compile_torch: bool) -> dict[str, Timed]:
    """Return the ways of taking a step with a rule."""
    made: dict[str, Any] = {}
    if rule.torch:
        cls, options = getattr(torch.optim, rule.torch[0]), rule.torch[1]
        made["torch for-loop"] = cls(parameters(shapes), foreach=False, **options)
        made["torch foreach"] = cls(parameters(shapes), foreach=True, **options)
        if rule.fused:
            made["torch fused"] = cls(parameters(shapes), fused=True, **options)
        if compile_torch:
            rate = {"lr": torch.tensor(options["lr"])} if "lr" in options else {}
            made["torch compiled"] = cls(parameters(shapes), foreach=True, **(options | rate))
    if rule.other and (library := other_library()):
        made[OTHER] = getattr(library, rule.other[0])(parameters(shapes), **rule.other[1])
    cls = getattr(ours, rule.name)
    made["ours"] = cls(parameters(shapes), **rule.options)
    made["compiled"] = cls(parameters(shapes), compiled=True, **rule.options)
    out = {}
    for name, optimizer in made.items():
        step = torch.compile(optimizer.step) if name == "torch compiled" else optimizer.step
        out[name] = Timed(step, optimizer.param_groups[0]["params"])
    return out | {"floor": floor(shapes, rule.buffers)}


def other_library() -> Any:
    """Return the other library, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(OTHER)
    except ImportError:
        return None


@dataclass
class Measured:
    """A table of measurements: what each form of each rule took, in seconds for a step."""

    title: str
    count: int
    tensors: int
    rules: list[Rule] = field(default_factory=list)
    medians: list[dict[str, float]] = field(default_factory=list)

    @property
    def small(self) -> bool:
        """Whether a step is a matter of microseconds."""
        return self.count < 1_000_000

    @property
    def unit(self) -> str:
        """What the numbers are in."""
        return "µs/step" if self.small else "ns/parameter"

    def ratio(self, k: int) -> float:
        """Ours compiled to torch's fused, or to the best of the others."""
        median = self.medians[k]
        theirs = [v for n, v in median.items() if n.startswith("torch") or n == OTHER]
        if not theirs:
            return math.nan
        return median["compiled"] / median.get("torch fused", min(theirs))

    def per_byte(self, k: int) -> float:
        """Ours compiled, for each byte that the rule must move, relative to that of AdamW."""
        time_of = [m["compiled"] / r.moved for m, r in zip(self.medians, self.rules, strict=True)]
        return time_of[k] / time_of[0]

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """Return headings and rows."""
        known = ("torch for-loop", "torch foreach", "torch compiled", "torch fused", OTHER, "ours",
                 "compiled", "floor")  # fmt: skip
        shown = [n for n in known if any(n in m for m in self.medians)]
        scale = 1e6 if self.small else 1e9 / self.count
        rows = [
            [
                rule.shown,
                *(f"{median[n] * scale:.3g}" if n in median else "–" for n in shown),
                "–" if math.isnan(self.ratio(k)) else f"{self.ratio(k):.2f}",
                f"{median['compiled'] / median['floor']:.2f}",
                f"{rule.moved * self.count / median['compiled'] / 1e9:.0f}",
                f"{self.per_byte(k):.2f}" if self.rules[0].name == "AdamW" else "–",
            ]
            for k, (rule, median) in enumerate(zip(self.rules, self.medians, strict=True))
        ]
        return ["rule", *shown, "ratio", "× floor", "GB/s", "per byte"], rows

    @property
    def heading(self) -> str:
        """What was measured."""
        return f"{self.title}: {self.tensors} tensors, {self.count:,} parameters, {self.unit}"

    def table(self) -> Table:
        """Return it for a terminal."""
        headings, rows = self.rows()
        out = Table(*headings, title=self.heading)
        for row in rows:
            out.add_row(*row)
        return out

    def markdown(self) -> str:
        """Return it for a page."""
        headings, rows = self.rows()
        lines = [headings, ["---"] + ["---:"] * (len(headings) - 1), *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measure(
    title: str, shapes: Sequence[Shape], rules: Iterable[Rule], rounds: int, compile_torch: bool
) -> Measured:
    """Measure rules on parameters of some shapes."""
    count = sum(torch.Size(shape).numel() for shape in shapes)
    out = Measured(title, count, len(shapes))
    for rule in rules:
        taken = forms(rule, shapes, compile_torch)
        for _ in range(rounds):
            for form in taken.values():
                form.take(10 if out.small else 1)
        out.rules.append(rule)
        out.medians.append({name: form.median for name, form in taken.items()})
    return out


def first_steps(rules: Iterable[Rule]) -> list[tuple[str, float, float]]:
    """Return what the first step of each rule takes, in ms: where it compiles, and where it loads."""
    out = []
    for rule in rules:
        told = []
        for _ in range(2):
            kernel.forget()
            params = parameters([(3,)])
            optimizer = getattr(ours, rule.name)(params, compiled=True, **rule.options)
            params[0].grad = torch.randn(3)
            start = time.perf_counter()
            optimizer.step()
            told.append(1e3 * (time.perf_counter() - start))
        out.append((rule.shown, told[0], told[1]))
    return out


def machine() -> str:
    """Return what the numbers hang on."""
    names = re.findall(r"^model name\s*: (.*)$", _text(Path("/proc/cpuinfo")), re.MULTILINE)
    library = other_library()
    versions = [f"torch {torch.__version__}", f"Python {platform.python_version()}"]
    versions.append(f"{OTHER} {version(OTHER)}" if library else f"{OTHER} is not installed")
    chip = names[0] if names else platform.processor() or platform.machine()
    return f"{chip}, {torch.get_num_threads()} threads; {', '.join(versions)}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def page(tables: Sequence[Measured], first: Sequence[tuple[str, float, float]], told: str) -> str:
    """Return docs/benchmarks.md."""
    about = (__doc__ or "").split("\n\n``--write``")[0].split("\n\n", 1)[1]
    by = "[`benchmarks/optimizers.py --write`](../benchmarks/optimizers.py)"
    lines = ["# What a step costs", "", f"Printed by {by} on: {told}.", "", about, ""]
    for measured in tables:
        lines += [f"## {measured.heading}", "", measured.markdown(), ""]
    lines += [
        "## The first step of a kernel, ms",
        "",
        "| rule | compiling | loading |",
        "|---|---:|---:|",
    ]
    lines += [f"| {name} | {made:.3g} | {loaded:.2g} |" for name, made, loaded in first]
    return "\n".join(lines) + "\n"


def summary(tables: Sequence[Measured], told: str) -> str:
    """Return what README.md shows of it: ours compiled to the best of the others, size by size."""
    shown = [t for t in tables if t.medians]
    headings = ["rule", *(t.title for t in shown)]
    rows = [headings, ["---"] + ["---:"] * len(shown)]
    for rule in shown[-1].rules:
        row = [rule.shown]
        for t in shown:
            k = next((k for k, r in enumerate(t.rules) if r.name == rule.name), None)
            ratio = math.nan if k is None else t.ratio(k)
            row.append("–" if math.isnan(ratio) else f"{1 / ratio:.2g} ×")
        rows.append(row)
    text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{text}\n\nOn: {told}.\n"


BLOCK = re.compile(r"(<!-- benchmarks/optimizers.py -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", choices=("all", "large", "small"), default="large",
                        help="all: 100M parameters too, some minutes and 16 GB")  # fmt: skip
    parser.add_argument("--rule", default="", help="only this rule of ours")
    parser.add_argument("--threads", type=int, default=0, help="as many as torch takes, if not given")
    parser.add_argument("--torch-compile", action="store_true", help="torch.compile too: minutes more")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and README.md")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    console = Console(width=150)
    told = machine()
    console.print(f"{told}, load {os.getloadavg()[0]:.1f} at the start")
    rules = [rule for rule in RULES if given.rule in ("", rule.name)]
    if not rules:
        parser.error(f"there is no rule {given.rule!r}; there are {', '.join(r.name for r in RULES)}")
    tables: list[Measured] = []
    with tempfile.TemporaryDirectory() as there:
        os.environ[caches.VARIABLE] = there
        for title, shapes in SIZES.items():
            count = sum(torch.Size(shape).numel() for shape in shapes)
            if count < 1_000_000 or given.size == "all" or (given.size == "large" and count < 5e7):
                some = rules if count < 5e7 else [r for r in rules if r.name in ("AdamW", "RAdam")]
                rounds = 15 if count < 1_000_000 else 11 if count < 5e7 else 5
                tables.append(measure(title, shapes, some, rounds, given.torch_compile))
                console.print(tables[-1].table())
        with tempfile.TemporaryDirectory() as fresh:
            os.environ[caches.VARIABLE] = fresh
            first = first_steps(rules)
    out = Table("rule", "compiling", "loading", title="the first step of a kernel, ms")
    for name, made, loaded in first:
        out.add_row(name, f"{made:.3g}", f"{loaded:.2g}")
    console.print(out)
    if given.write:
        PAGE.write_text(page(tables, first, told), encoding="utf-8")
        text = README.read_text(encoding="utf-8")
        block = summary(tables, told)
        README.write_text(BLOCK.sub(lambda m: f"{m[1]}{block}{m[2]}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
