"""Trains many small networks: one after the other, by `torch.func`, by jax, and as `experiments` does.

Every row trains the same networks (64-32-10, tanh) with Adam for the same epochs on scikit-learn's
digits in minibatches of 64, and prints networks a second, compilation included; each is one process
with the threads it takes by itself, but for ours, which is asked for one and for two workers.

    python benchmarks/ensembles.py [--models 200] [--epochs 10]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from adamproof.experiments.methods import METHODS
from adamproof.experiments.spec import Job, Spec
from adamproof.experiments.tasks import digits, mlp
from adamproof.experiments.training import Training

BATCH, RATE, SEQUENTIAL = 64, 1e-3, 4


def network() -> nn.Module:
    """Return the network that everybody trains."""
    return nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))


def orders(models: int, epochs: int) -> torch.Tensor:
    """Return the minibatches of all models: (steps, models, BATCH) rows of the training data."""
    generator = torch.Generator().manual_seed(0)
    steps = [
        torch.stack([torch.randperm(500, generator=generator)[:BATCH] for _ in range(models)])
        for _ in range(epochs * (500 // BATCH))
    ]
    return torch.stack(steps)


def sequential(models: int, epochs: int) -> float:
    """Train a few in a plain loop, and return seconds for all of them."""
    x, y = digits(0).train
    steps = orders(SEQUENTIAL, epochs)
    start = time.perf_counter()
    for k in range(SEQUENTIAL):
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
        for rows in steps[:, k]:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return (time.perf_counter() - start) * models / SEQUENTIAL


def functional(models: int, epochs: int) -> float:
    """Train all by vmap of functional_call, with torch's Adam on the stacked parameters."""
    x, y = digits(0).train
    steps = orders(models, epochs)
    start = time.perf_counter()
    parameters, buffers = stack_module_state([network() for _ in range(models)])  # type: ignore[arg-type]
    skeleton = network().to("meta")

    def loss(p: Any, b: Any, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(functional_call(skeleton, (p, b), (inputs,)), targets)

    optimizer = torch.optim.Adam(parameters.values(), lr=RATE)
    for rows in steps:
        optimizer.zero_grad()
        vmap(loss)(parameters, buffers, x[rows], y[rows]).sum().backward()
        optimizer.step()
    return time.perf_counter() - start


def compiled(models: int, epochs: int) -> float:
    """Train all by a scan over steps and a vmap over models in jax, compiled as one."""
    import jax
    from jax import numpy as jnp

    images, labels = (np.asarray(part) for part in digits(0).train)
    steps = np.asarray(orders(models, epochs))
    start = time.perf_counter()
    draw = np.random.default_rng(0)
    leaves = [draw.uniform(-1, 1, (models, *shape)) / shape[0] ** 0.5 for shape in ((64, 32), (32, 10))]
    weights = (leaves[0], np.zeros((models, 32)), leaves[1], np.zeros((models, 10)))
    state = tuple(jnp.asarray(leaf, dtype=jnp.float32) for leaf in weights)

    def loss(p: Any, rows: Any) -> Any:
        logits = jnp.tanh(images_[rows] @ p[0] + p[1]) @ p[2] + p[3]
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels_[rows][:, None], 1).mean()

    images_, labels_ = jnp.asarray(images), jnp.asarray(labels)

    def step(carry: Any, rows: Any) -> Any:
        p, m, v, t = carry
        g = jax.vmap(jax.grad(loss))(p, rows)
        m = [0.9 * a + 0.1 * b for a, b in zip(m, g, strict=True)]
        v = [0.999 * a + 0.001 * b**2 for a, b in zip(v, g, strict=True)]
        p = tuple(
            w - RATE * (a / (1 - 0.9**t)) / (jnp.sqrt(b / (1 - 0.999**t)) + 1e-8)
            for w, a, b in zip(p, m, v, strict=True)
        )
        return (p, m, v, t + 1), None

    zeros = [jnp.zeros_like(leaf) for leaf in state]
    result, _ = jax.jit(lambda c, r: jax.lax.scan(step, c, r))(
        (state, zeros, zeros, 1.0), jnp.asarray(steps)
    )
    jax.block_until_ready(result)
    return time.perf_counter() - start


def batch(seeds: tuple[int, ...], epochs: int) -> None:
    """Train some as `experiments` does, on one thread."""
    torch.set_num_threads(1)
    task = mlp("digits-shallow", digits, (64, 32, 10), batch=BATCH)
    options = (("lr", "1/1000"), ("epochs", str(epochs)))
    specs = tuple(Spec("training", task.name, "adam", seed, options) for seed in seeds)
    job = Job(Training({}), task, METHODS["adam"], specs)
    job.function(job)


def ours(models: int, epochs: int, workers: int) -> float:
    """Train all as `experiments` does, what it records included, and return seconds."""
    parts = [tuple(range(i, min(i + 64, models))) for i in range(0, models, 64)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        list(pool.map(batch, [(0,)] * workers, [1] * workers))  # the imports of the workers
        start = time.perf_counter()
        list(pool.map(batch, parts, [epochs] * len(parts)))
        return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=10)
    asked = parser.parse_args()
    ways: dict[str, Callable[[], float]] = {
        f"torch, one after the other ({SEQUENTIAL} measured)": lambda: sequential(
            asked.models, asked.epochs
        ),
        "torch.func, vmap": lambda: functional(asked.models, asked.epochs),
        "jax, vmap and scan, with compilation": lambda: compiled(asked.models, asked.epochs),
        "experiments, one worker": lambda: ours(asked.models, asked.epochs, 1),
        "experiments, two workers": lambda: ours(asked.models, asked.epochs, 2),
    }
    about = f"{asked.epochs} epochs of {500 // BATCH} steps; torch {torch.__version__}"
    table = Table(title=f"{asked.models} networks, {about}, {os.cpu_count()} cores")
    for column in ("way", "networks a second", "against one by one"):
        table.add_column(column, justify="left" if column == "way" else "right")
    first = 0.0
    for name, way in ways.items():
        try:
            seconds = way()
        except ModuleNotFoundError as missing:
            table.add_row(name, f"no {missing.name} here", "")
            continue
        first = first or seconds
        table.add_row(name, f"{asked.models / seconds:.1f}", f"{first / seconds:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
