"""Training of ensembles: every member in one tensor, each as if it were alone.

K members of P parameters are a tensor (K, P); the model's leaves are views of it.  The members' losses
are summed, so each member's gradient is its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from adamproof.optimizers import cosine

from .methods import Method
from .products import gradient
from .risk import Risk
from .spec import Job, Row, Value, number
from .tasks import Task, stacked

LEVELS = ("0.3", "0.1", "0.05", "0.02")
"""Training losses at whose first crossing the metrics are taken, beside those at the end."""


@dataclass
class Point:
    """Where a metric is taken: K members, with what they are trained on.

    Attributes:
        task: The task.
        leaves: The parameters, each (K, …).
        inputs: All training inputs, (K, N, …).
        targets: All training targets, (K, N).
        seeds: The seed of each member.
        preconditioner: What the method divides the gradient by, as leaves; ``None`` if it does not.
    """

    task: Task
    leaves: list[Tensor]
    inputs: Tensor
    targets: Tensor
    seeds: tuple[int, ...]
    preconditioner: list[Tensor] | None = None

    @property
    def risk(self) -> Risk:
        """The training loss."""
        return Risk(self.task.logits, self.task.loss, self.inputs, self.targets)


Metric = Callable[[Point], Mapping[str, Tensor]]
"""Returns values by name, each (K,)."""


class Ensemble:
    """The parameters of K members, flat, and as the leaves that a model takes.

    >>> from adamproof.experiments.tasks import TASKS
    >>> ensemble = Ensemble(TASKS["digits-clean"], (0, 1), "cpu")
    >>> ensemble.flat.shape, [tuple(leaf.shape) for leaf in ensemble.leaves(ensemble.flat)][:2]
    (torch.Size([2, 3466]), [(2, 64, 32), (2, 1, 32)])
    """

    def __init__(self, task: Task, seeds: Sequence[int], device: str) -> None:
        starts = [task.start(seed) for seed in seeds]
        self.shapes = [leaf.shape for leaf in starts[0]]
        self.sizes = [leaf.numel() for leaf in starts[0]]
        rows = [torch.cat([leaf.flatten() for leaf in start]) for start in starts]
        self.flat = torch.stack(rows).to(device)

    def leaves(self, flat: Tensor) -> list[Tensor]:
        """Return views of (K, P) in the shapes of the leaves, each (K, …)."""
        parts = torch.split(flat, self.sizes, 1)
        return [part.view(-1, *shape) for part, shape in zip(parts, self.shapes, strict=True)]


@dataclass(frozen=True)
class Training:
    """The measurement ``training``: train, and take metrics.

    Options of a specification: ``lr``; ``epochs``; ``metrics``, names joined by ``+``, taken at the end;
    ``matched``, those taken where the training loss first crosses each of the `LEVELS` (looked at after
    every epoch); ``stream``, another minibatch stream for the same split and start (a control);
    ``anneal``, ``cosine`` to 0 at the end (Loshchilov & Hutter 2017); ``optimizer.NAME``, an option of
    the optimizer: a number, or numbers joined by commas.

    Attributes:
        metrics: The functions by the names that specifications use.
    """

    metrics: Mapping[str, Metric] = field(default_factory=dict)

    def __call__(self, job: Job) -> Sequence[Row]:
        """Train the members of a job, and return a row for each.

        A member whose loss is no longer finite has diverged: its row says when, and holds no metrics.

        Raises:
            KeyError: A metric is not registered.
        """
        task, method, first = cast(Task, job.task), cast(Method, job.method), job.specs[0]
        at_end, matched = (
            [name for name in first.text.get(option, "").split("+") if name]
            for option in ("metrics", "matched")
        )
        missing = [name for name in at_end + matched if name not in self.metrics]
        if missing:
            raise KeyError(f"there is no metric {missing[0]!r}; known are {', '.join(self.metrics)}.")
        run = _Run(task, method, job, first.number("lr"), round(first.number("epochs")))
        run.train()
        rows = [dict(row) for row in run.summary()]
        self._measure(rows, run, run.final, torch.isfinite(run.final).all(1), at_end, "")
        for level in LEVELS:
            there = run.epoch[level] > 0
            self._measure(rows, run, run.crossed[level], there, matched, f"@{level}")
        return rows

    def _measure(
        self,
        rows: list[dict[str, Value]],
        run: _Run,
        flat: Tensor,
        there: Tensor,
        names: Sequence[str],
        suffix: str,
    ) -> None:
        """Add to the rows of the members that are there what the metrics say at these parameters."""
        members = there.nonzero().flatten().tolist()
        if not members or not names:
            return
        point = run.point(flat, members, at_end=not suffix)
        for name in names:
            for key, values in self.metrics[name](point).items():
                for member, value in zip(members, values.tolist(), strict=True):
                    rows[member][key + suffix] = value


def _option(text: str) -> float | tuple[float, ...]:
    """Return an option of an optimizer: a number, or several."""
    values = tuple(number(part) for part in text.split(","))
    return values if len(values) > 1 else values[0]


class _Run:
    """One ensemble on its way."""

    def __init__(self, task: Task, method: Method, job: Job, lr: float, epochs: int) -> None:
        self.task, self.method, self.lr, self.epochs = task, method, lr, epochs
        self.seeds, self.device = job.seeds, job.device
        text = job.specs[0].text
        self.stream = int(text.get("stream", "0"))
        self.options = {
            name.removeprefix("optimizer."): _option(value)
            for name, value in text.items()
            if name.startswith("optimizer.")
        }
        self.annealed = text.get("anneal") == "cosine"
        splits = [task.draw(seed) for seed in self.seeds]
        self.data = {
            part: stacked([getattr(split, part) for split in splits], self.device)
            for part in ("train", "validation", "test")
        }
        self.ensemble = Ensemble(task, self.seeds, self.device)
        self.flat = self.ensemble.flat
        self.start = self.flat.clone()
        self.members = torch.arange(len(self.seeds), device=self.device)[:, None]
        self.epoch = {level: torch.zeros(len(self.seeds), dtype=torch.long) for level in LEVELS}
        self.crossed = {level: torch.full_like(self.flat, math.nan) for level in LEVELS}
        self.test_error_at = {level: torch.full((len(self.seeds),), math.nan) for level in LEVELS}
        self.diverged = torch.zeros(len(self.seeds), dtype=torch.long)
        self.history: list[Tensor] = []
        self.optimizer: torch.optim.Optimizer | None = None

    # -- the loop ----------------------------------------------------------------------------------

    def train(self) -> None:
        path = torch.zeros(len(self.seeds), device=self.device)
        turns, before = torch.zeros_like(path), torch.zeros_like(self.flat)
        late: list[Tensor] = []  # the path of the last two epochs, one point a step
        steps = 0
        count = 1 if self.method.full_batch else -(-self.data["train"][0].shape[1] // self.task.batch)
        schedule = cosine(self.epochs * count)
        self.flat.requires_grad_()
        for epoch in range(1, self.epochs + 1):
            self._choose(epoch)
            for inputs, targets in self._batches(epoch):
                old = self.flat.detach().clone()
                if self.annealed and self.optimizer is not None:
                    self.optimizer.param_groups[0]["lr"] = self.lr * schedule(steps)
                self._step(inputs, targets)
                move = self.flat.detach() - old
                path += move.norm(dim=1)
                turns += torch.cosine_similarity(move, before, dim=1)
                before, steps = move, steps + 1
                if epoch > self.epochs - 2:
                    late.append(self.flat.detach().clone())
            self._look(epoch)
        self.final = self.flat.detach()
        away = (self.final - self.start).norm(dim=1)
        spread = torch.stack([(x - self.final).square().sum(1) for x in late]).mean(0).sqrt()
        self.trajectory = {
            "update_cosine": turns / max(1, steps - 1),
            "path_efficiency": away / path,
            "distance": away,
            "oscillation": spread,
        }

    def _choose(self, epoch: int) -> None:
        """Make the optimizer, at the start and where the method changes to another."""
        method = self.method
        if epoch == 1:
            self.optimizer = method.make([self.flat], self.lr, **self.options)
        elif method.then is not None and epoch == self.epochs // 2 + 1:
            self.optimizer = method.then([self.flat], self.lr * method.then_rate)

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        inputs, targets = self.data["train"]
        count = inputs.shape[1]
        if self.method.full_batch:
            yield inputs, targets
            return
        orders = []
        for seed in self.seeds:  # each member's own stream, whoever trains beside it
            generator = torch.Generator().manual_seed(((seed * 1009 + epoch) << 8) + self.stream)
            orders.append(torch.randperm(count, generator=generator))
        order = torch.stack(orders).to(self.device)
        for rows in torch.split(order, self.task.batch, 1):
            yield inputs[self.members, rows], targets[self.members, rows]

    def _gradient(self, inputs: Tensor, targets: Tensor) -> Tensor:
        risk = Risk(self.task.logits, self.task.loss, inputs, targets)
        return gradient(risk, self.ensemble.leaves(self.flat))[1]

    def _step(self, inputs: Tensor, targets: Tensor) -> None:
        gradient = self._gradient(inputs, targets)
        if self.method.radius:  # SAM, with the norm of each member
            norm = gradient.norm(dim=1, keepdim=True)
            away = torch.where(norm > 0, self.method.radius * gradient / norm, 0.0)
            here = self.flat.detach().clone()
            with torch.no_grad():
                self.flat += away
            gradient = self._gradient(inputs, targets)
            with torch.no_grad():
                self.flat.copy_(here)
        self.flat.grad = gradient
        assert self.optimizer is not None
        self.optimizer.step()

    # -- what is recorded --------------------------------------------------------------------------

    @torch.no_grad()
    def _evaluate(self, part: str) -> tuple[Tensor, Tensor]:
        """Return loss and error rate (in per cent) of each member, on the processor."""
        inputs, targets = self.data[part]
        logits = self.task.logits(self.ensemble.leaves(self.flat.detach()), inputs)
        wrong = (logits.argmax(-1) != targets).float().mean(1) * 100
        return self.task.loss(logits, targets).cpu(), wrong.cpu()

    def _look(self, epoch: int) -> None:
        loss, _ = self._evaluate("train")
        self.history.append(loss)
        self.diverged[(self.diverged == 0) & ~torch.isfinite(loss)] = epoch
        for level, bound in ((level, float(level)) for level in LEVELS):
            now = (self.epoch[level] == 0) & (loss <= bound) & (self.diverged == 0)
            if now.any():
                self.epoch[level][now] = epoch
                self.crossed[level][now.to(self.device)] = self.flat.detach()[now.to(self.device)]
                self.test_error_at[level][now] = self._evaluate("test")[1][now]

    def summary(self) -> list[Row]:
        """Return what every run records: losses, errors, crossings and the trajectory."""
        columns: dict[str, Sequence[Value]] = {}
        for part in ("train", "validation", "test"):
            loss, error = self._evaluate(part)
            columns |= {f"{part}_loss": loss.tolist(), f"{part}_error": error.tolist()}
        curves = torch.stack(self.history)
        columns["diverged"] = self.diverged.tolist()
        columns["early_loss"] = curves[min(10, self.epochs) - 1].tolist()
        columns["roughness"] = curves.diff(dim=0).clamp(min=0).sum(0).tolist()
        columns |= {name: values.tolist() for name, values in self.trajectory.items()}
        for level in LEVELS:
            columns[f"epoch@{level}"] = [value or None for value in self.epoch[level].tolist()]
            errors = self.test_error_at[level].tolist()
            columns[f"test_error@{level}"] = [None if math.isnan(e) else e for e in errors]
        return [
            dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
        ]

    def point(self, flat: Tensor, members: Sequence[int], at_end: bool) -> Point:
        """Return these members at these parameters, for the metrics."""
        chosen = list(members)
        inputs, targets = self.data["train"]
        divisor = None
        if at_end and self.method.preconditioner is not None and self.optimizer is not None:
            whole = self.method.preconditioner(self.optimizer, self.flat)[chosen]
            divisor = self.ensemble.leaves(whole)
        return Point(
            self.task,
            [leaf.contiguous() for leaf in self.ensemble.leaves(flat[chosen])],
            inputs[chosen],
            targets[chosen],
            tuple(self.seeds[i] for i in chosen),
            divisor,
        )
