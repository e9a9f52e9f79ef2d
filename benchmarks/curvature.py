"""The largest Hessian eigenvalue of many small models: all at once, against loops over one at a time.

Models are nets 64-32-32-10 on 500 of scikit-learn's digits, trained for a few steps.  Every way runs
twice: with the tolerance that it ships with, and with the loosest of a ladder at which no model is off
by more than 1e-3, so that seconds are compared at equal accuracy.  The truth is ARPACK in float64 at
1e-10, checked against the dense Hessian for the first models.  Ways take turns in every round, each
from the same seed; a time is the best of the rounds.  PyHessian is left out, and the table
says so, where it is not installed.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise

import torch
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from torch import Tensor, nn

from adamproof.experiments import single
from adamproof.experiments.curvature import lambda_max
from adamproof.experiments.products import flat, unflat
from adamproof.experiments.risk import Leaves, Risk, cross_entropy

WIDTHS = (64, 32, 32, 10)
TARGET = 1e-3
LADDER = (1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 1e-6)
PARTS = 20  # members at once: their graphs stay in the cache
Way = Callable[[float], list[float]]


def outputs(leaves: Leaves, inputs: Tensor) -> Tensor:
    """Return the logits of an ensemble; weights are (members, out, in), as nn.Linear has them."""
    x, pairs = inputs.expand(len(leaves[0]), *inputs.shape[1:]), len(leaves) // 2
    for i in range(pairs):
        x = torch.baddbmm(leaves[2 * i + 1].unsqueeze(1), x, leaves[2 * i].mT)
        x = torch.tanh(x) if i < pairs - 1 else x
    return x


def model(leaves: Leaves, member: int) -> nn.Sequential:
    """Return one member as a module."""
    layers: list[nn.Module] = []
    for a, b in pairwise(WIDTHS):
        layers += [nn.Linear(a, b), nn.Tanh()]
    net = nn.Sequential(*layers[:-1]).to(leaves[0].dtype)
    with torch.no_grad():
        for weight, leaf in zip(net.parameters(), leaves, strict=True):
            weight.copy_(leaf[member])
    return net


def trained(members: int, samples: int, steps: int) -> tuple[Risk, list[Tensor]]:
    """Return an ensemble after some steps of Adam, and its risk, in float32."""
    data = load_digits()
    inputs = torch.tensor(data.data[None, :samples] / 16, dtype=torch.float32)
    risk = Risk(outputs, cross_entropy, inputs, torch.tensor(data.target[None, :samples]))
    draw = torch.Generator().manual_seed(0)
    leaves = []
    for a, b in pairwise(WIDTHS):
        for shape in ((b, a), (b,)):
            leaf = (torch.rand(members, *shape, generator=draw) * 2 - 1) / a**0.5
            leaves.append(leaf.requires_grad_())
    optimizer = torch.optim.Adam(leaves, lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        risk(leaves).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return risk, [leaf.detach() for leaf in leaves]


def batched(risk: Risk, leaves: Leaves, tol: float) -> list[float]:
    """Ours, `PARTS` members at once."""
    rows = torch.split(torch.arange(len(leaves[0])), PARTS)
    found = [lambda_max(risk.select(r), [leaf[r] for leaf in leaves], tol=tol).value for r in rows]
    return [float(value) for value in torch.cat(found)]


def ours_looped(risk: Risk, leaves: Leaves, tol: float) -> list[float]:
    """Ours, one member at a time."""
    members = range(len(leaves[0]))
    return [
        float(lambda_max(risk, [leaf[k : k + 1] for leaf in leaves], tol=tol).value) for k in members
    ]


def by_curvlinops(
    nets: Sequence[nn.Module], risk: Risk, tol: float, width: int | None = None
) -> list[float]:
    """Curvlinops and SciPy's ARPACK, looped."""
    data = [(risk.inputs[0], risk.targets[0])]
    matrices = (single.operator(net, nn.CrossEntropyLoss(), data) for net in nets)
    return [single.eigenvalue(matrix, tol=tol, width=width) for matrix in matrices]


def by_pyhessian(nets: Sequence[nn.Module], risk: Risk, tol: float) -> list[float]:
    """PyHessian's power iteration, looped, with as many iterations as it wants."""
    from pyhessian import hessian as power  # type: ignore[import-not-found, unused-ignore]

    found = []
    torch.manual_seed(0)  # its start vectors, so that a time belongs to the error beside it
    for net in nets:
        net.zero_grad()
        data = (risk.inputs[0], risk.targets[0])
        matrix = power(net, nn.CrossEntropyLoss(), data=data, cuda=False)
        found.append(matrix.eigenvalues(maxIter=2000, tol=tol)[0][0])
    return found


def truth(risk: Risk, leaves: Leaves, dense: int) -> list[float]:
    """Return the eigenvalues in float64; the first `dense` are checked against the whole matrix.

    Raises:
        ArithmeticError: The check fails.
    """
    exact = Risk(risk.outputs, risk.criterion, risk.inputs.double(), risk.targets)
    doubled = [leaf.double() for leaf in leaves]
    nets = [model(doubled, k) for k in range(len(leaves[0]))]
    found = by_curvlinops(nets, exact, 1e-10)
    for k in range(dense):
        own = [leaf[k : k + 1] for leaf in doubled]

        def loss(w: Tensor, own: list[Tensor] = own) -> Tensor:
            return exact(unflat(w[None], own)).sum()

        top = float(torch.linalg.eigvalsh(torch.func.hessian(loss)(flat(own)[0]))[-1])
        if abs(found[k] / top - 1) > 1e-8:
            raise ArithmeticError(f"model {k}: ARPACK says {found[k]}, the dense Hessian {top}.")
    return found


def error(found: Sequence[float], exact: Sequence[float]) -> float:
    """Return the largest relative error."""
    return max(abs(a / b - 1) for a, b in zip(found, exact, strict=True))


def timed(run: Callable[[], object]) -> float:
    """Return seconds."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def main(arguments: Sequence[str] | None = None) -> None:
    """Time every way, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=40)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--steps", type=int, default=60, help="of training")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dense", type=int, default=2, help="how many to check against dense Hessians")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)  # the same for all; the looped ways lose by more
    risk, leaves = trained(asked.members, asked.samples, asked.steps)
    exact = truth(risk, leaves, asked.dense)
    nets = [model(leaves, k) for k in range(asked.members)]
    ways: dict[str, tuple[float, Way]] = {
        "ours, batched": (1e-3, lambda tol: batched(risk, leaves, tol)),
        "ours, one at a time": (1e-3, lambda tol: ours_looped(risk, leaves, tol)),
        "curvlinops + eigsh, looped": (1e-3, lambda tol: by_curvlinops(nets, risk, tol)),
        "curvlinops + eigsh with ncv=8, looped": (1e-3, lambda tol: by_curvlinops(nets, risk, tol, 8)),
        "PyHessian, looped": (1e-3, lambda tol: by_pyhessian(nets, risk, tol)),
    }
    title = f"{asked.members} models 64-32-32-10, {asked.samples} digits, 1 thread"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using backward.. with create_graph")  # PyHessian does
        try:
            ways["PyHessian, looped"][1](1.0)
        except ImportError:
            del ways["PyHessian, looped"]
            title += " (PyHessian is not installed)"

        @cache
        def worst(name: str, tol: float) -> float:
            return error(ways[name][1](tol), exact)

        runs = []
        for name, (shipped, _) in ways.items():
            loosest = next((tol for tol in LADDER if worst(name, tol) <= TARGET), LADDER[-1])
            runs += [(name, shipped, "as shipped"), (name, loosest, "equal accuracy")]
        seconds: dict[tuple[str, float], list[float]] = {(name, tol): [] for name, tol, _ in runs}
        for _ in range(asked.rounds):
            for (name, tol), known in seconds.items():
                known.append(timed(lambda name=name, tol=tol: ways[name][1](tol)))  # type: ignore[misc]
    table = Table(
        "way", "setting", "tolerance", "worst error", "ms per model", "× ours, batched", title=title
    )
    first = {setting: min(seconds[name, tol]) for name, tol, setting in reversed(runs)}
    for name, tol, setting in runs:
        best = min(seconds[name, tol])
        ratio = best / first[setting]
        cells = (
            f"{tol:g}",
            f"{worst(name, tol):.1e}",
            f"{1e3 * best / asked.members:.2f}",
            f"{ratio:.1f}",
        )
        table.add_row(name, setting, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
