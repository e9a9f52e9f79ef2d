"""Tasks: data drawn by a seed, a model, a loss.  Ensembles are the leading dimension everywhere.

Shapes: K members, N examples, D features, C classes.  A model's parameters are *leaves*, tensors of
shape (K, …); a seed draws the same data and the same start whichever other members train beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from .registry import Registry
from .risk import Leaves, cross_entropy


@dataclass(frozen=True)
class Split:
    """The data of one seed: inputs (N, …) and targets (N,) for training, validation and test."""

    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


def squared_error(logits: Tensor, targets: Tensor) -> Tensor:
    """Return half the mean squared distance to the one-hot targets, for each member (K,)."""
    wanted = nn.functional.one_hot(targets, logits.shape[-1]).to(logits.dtype)
    return (logits - wanted).square().sum(-1).mean(1) / 2


def stacked(parts: Iterable[tuple[Tensor, Tensor]], device: str) -> tuple[Tensor, Tensor]:
    """Return the inputs and targets of members, each with the dimension K in front."""
    inputs, targets = zip(*parts, strict=True)
    return torch.stack(inputs).to(device), torch.stack(targets).to(device)


@dataclass(frozen=True)
class Task:
    """What is learned.

    Attributes:
        name: What a specification calls it.
        draw: ``draw(seed)`` returns the data.
        start: ``start(seed)`` returns the initial parameters of one member, without the dimension K.
        logits: ``logits(leaves, inputs)``: (K, N, C) of inputs (K, N, …).
        loss: ``loss(logits, targets)``: (K,).
        batch: Examples in a minibatch.
        independent: Whether seeds are independent draws; else intervals are conditional on the data set.
        about: One sentence.
    """

    name: str
    draw: Callable[[int], Split]
    start: Callable[[int], list[Tensor]]
    logits: Callable[[Leaves, Tensor], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy
    batch: int = 50
    independent: bool = False
    about: str = ""


TASKS = Registry[Task]("task")


# -- models ----------------------------------------------------------------------------------------


def mlp_start(widths: Sequence[int], seed: int) -> list[Tensor]:
    """Return weights (in, out) and biases (1, out) of a perceptron, drawn as `torch.nn.Linear` does."""
    generator = torch.Generator().manual_seed(seed)
    leaves = []
    for rows, columns in pairwise(widths):
        for shape in ((rows, columns), (1, columns)):
            uniform = torch.rand(shape, generator=generator)
            leaves.append((2 * uniform - 1) / rows**0.5)
    return leaves


def mlp_logits(activation: Callable[[Tensor], Tensor], leaves: Leaves, inputs: Tensor) -> Tensor:
    """Return the logits of all members: one batched product a layer."""
    hidden = inputs
    for i in range(0, len(leaves), 2):
        hidden = torch.baddbmm(leaves[i + 1], hidden, leaves[i])
        hidden = activation(hidden) if i + 2 < len(leaves) else hidden
    return hidden


def mlp(name: str, draw: Callable[[int], Split], widths: Sequence[int], **rest: object) -> Task:
    """Return a task whose model is a perceptron with tanh between its layers (ReLU: ``relu=True``)."""
    activation = torch.relu if rest.pop("relu", False) else torch.tanh
    return Task(
        name,
        draw,
        partial(mlp_start, tuple(widths)),
        partial(mlp_logits, activation),
        **rest,  # type: ignore[arg-type]
    )


def module_task(
    name: str, draw: Callable[[int], Split], make: Callable[[], nn.Module], **rest: object
) -> Task:
    """Return a task whose model is any module without buffers, trained as an ensemble by `torch.func`.

    Args:
        name: What specifications call it.
        draw: The data of a seed.
        make: Builds the module; it is called under the seed of a member.
        **rest: Other attributes of `Task`.
    """

    def start(seed: int) -> list[Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return [parameter.detach().clone() for parameter in make().parameters()]

    def logits(leaves: Leaves, inputs: Tensor) -> Tensor:
        skeleton = make().to("meta")
        names = [n for n, _ in skeleton.named_parameters()]

        def one(member: Sequence[Tensor], x: Tensor) -> Tensor:
            out: Tensor = functional_call(skeleton, dict(zip(names, member, strict=True)), (x,))
            return out

        return vmap(one)(tuple(leaves), inputs)

    return Task(name, draw, start, logits, **rest)  # type: ignore[arg-type]


# -- data ------------------------------------------------------------------------------------------


@cache
def _digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return torch.tensor(data.data, dtype=torch.float32) / 16, torch.tensor(data.target)


def digits(seed: int, noise: float = 0.0, train: int = 500, validation: int = 297) -> Split:
    """Return scikit-learn's 1797 digits, split anew: 500 train, 297 validate, 1000 test.

    Args:
        seed: Draws the split and the noise.
        noise: The share of training labels that are replaced by uniform ones.
        train: How many train.
        validation: How many validate.
    """
    images, labels = _digits()
    generator = torch.Generator().manual_seed(10_000 + seed)
    order = torch.randperm(len(images), generator=generator)
    parts = [order[:train], order[train : train + validation], order[train + validation :]]
    learned, validated, tested = ((images[part], labels[part].clone()) for part in parts)
    if noise:
        struck = torch.rand(train, generator=generator) < noise
        anew = torch.randint(10, (train,), generator=generator)
        learned = (learned[0], torch.where(struck, anew, learned[1]))
    return Split(learned, validated, tested)


def teacher(seed: int, features: int = 20, classes: int = 5, train: int = 500) -> Split:
    """Return Gaussian inputs labelled by a random network, everything drawn anew for each seed."""
    draw = np.random.default_rng([seed, 7])
    first, second = draw.normal(size=(features, 32)), draw.normal(size=(32, classes))
    inputs = draw.normal(size=(train + 297 + 1000, features))
    scores = np.tanh(inputs @ first / features**0.5) @ second
    labels = torch.tensor((scores - scores.mean(0)).argmax(1))
    x = torch.tensor(inputs, dtype=torch.float32)
    cut = [slice(0, train), slice(train, train + 297), slice(train + 297, None)]
    parts = [(x[part], labels[part]) for part in cut]
    return Split(parts[0], parts[1], parts[2])


def permuted(seed: int) -> Split:
    """Return digits whose training and validation labels are shuffled: nothing can be learned."""
    split = digits(seed)
    generator = torch.Generator().manual_seed(20_000 + seed)

    def shuffled(part: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return part[0], part[1][torch.randperm(len(part[1]), generator=generator)]

    return Split(shuffled(split.train), shuffled(split.validation), split.test)


_HIDDEN = (32, 32)
for _task in (
    mlp("digits-clean", digits, (64, *_HIDDEN, 10), about="scikit-learn's digits, 500 to learn from"),
    mlp(
        "digits-noisy",
        partial(digits, noise=0.2),
        (64, *_HIDDEN, 10),
        about="the same, with 20 % of the training labels replaced",
    ),
    mlp("digits-relu", digits, (64, *_HIDDEN, 10), relu=True, about="digits with ReLU, for rescaling"),
    mlp("digits-permuted", permuted, (64, *_HIDDEN, 10), about="digits with shuffled labels: a control"),
    mlp(
        "synthetic-fresh",
        teacher,
        (20, *_HIDDEN, 5),
        independent=True,
        about="a random teacher and its data, drawn anew for each seed",
    ),
):
    TASKS.add(_task.name, _task)
