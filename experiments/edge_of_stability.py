"""Does training settle where the theory says that it stops being stable?

Question:   With all examples in every step, does the curvature rise until it reaches the threshold that
            is proved for a quadratic, and stay there?  Gradient descent at 2/η; the heavy ball at
            (2+2β)/η; momentum as an average at (2+2β)/((1−β)η); Adam at the same, of the Hessian that
            its denominator divides.
Protocol:   Mean squared error, since the curvature of cross-entropy falls again late in training.  λ_max
            at even distances over the last quarter of the run; its median over the threshold is 1 if the
            belief holds.  Within ±15 % (in the logarithm) by an equivalence test over seeds counts as
            settled; Adam with β2 = 0.99, so that its denominator keeps up.
Sources:    Cohen et al. 2021 (arXiv 2103.00065v3) for gradient descent and momentum; Cohen et al. 2022
            (arXiv 2207.14484v2) for Adam.  The thresholds: claims gd-stability and adam-edge.
Expected:   A little above the threshold for gradient descent, at it for momentum and Adam.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from .comparison import judged_equal, logarithm
from .lanczos import largest
from .methods import Method, root_of_second_moment
from .products import gradient, hessian, normal
from .risk import Risk
from .spec import Job, Row, Spec
from .statistics import compare
from .study import Finding, Size, Study, Table
from .tasks import TASKS, Task, digits, mlp, squared_error, stacked
from .training import Ensemble

MARGIN = math.log(1.15)
LOOKS = 10
"""How often λ_max is looked at in the last quarter."""


@dataclass(frozen=True)
class Rule:
    """One of the rules whose threshold is proved.

    Attributes:
        method: The registered method.
        options: The options of its optimizer at β.
        threshold: The curvature past which a quadratic is unstable, of η and β.
        divided: Whether it is that of the Hessian divided by the method's denominator.
        theorem: The claim that proves it.
    """

    method: str
    options: Callable[[float], Mapping[str, Any]]
    threshold: Callable[[float, float], float]
    divided: bool
    theorem: str


def averaged(lr: float, beta: float) -> float:
    """Return (2+2β)/((1−β)η), where momentum is an average."""
    return (2 + 2 * beta) / ((1 - beta) * lr)


RULES = {
    "gradient descent": Rule("sgd", lambda beta: {}, lambda lr, beta: 2 / lr, False, "gd-stability"),
    "heavy ball": Rule(
        "momentum", lambda beta: {"momentum": beta}, lambda lr, beta: (2 + 2 * beta) / lr, False,
        "gd-stability",
    ),
    "averaged momentum": Rule(
        "momentum", lambda beta: {"momentum": beta, "ema": True}, averaged, False, "gd-stability"
    ),
    "Adam": Rule("adam", lambda beta: {"betas": (beta, 0.99)}, averaged, True, "adam-edge"),
}  # fmt: skip

RUNS = (
    ("gradient descent", "0", "1/2"), ("gradient descent", "0", "3/10"),
    ("heavy ball", "0.5", "3/10"), ("heavy ball", "0.9", "1/5"),
    ("averaged momentum", "0.5", "3/5"), ("averaged momentum", "0.9", "2"),
    ("Adam", "0", "1/1000"), ("Adam", "0.5", "1/1000"), ("Adam", "0.9", "3/1000"),
)  # fmt: skip
"""Rule, β and learning rate: such that training reaches the edge in the steps that it has."""

SEEDS: Mapping[Size, int] = {"small": 10, "default": 16, "large": 64}
STEPS: Mapping[Size, int] = {"small": 600, "default": 1600, "large": 6000}

TASK = TASKS.add(
    "digits-squares",
    mlp(
        "digits-squares", digits, (64, 32, 32, 10), loss=squared_error,
        about="digits with the squared error, for the edge of stability",
    ),
)  # fmt: skip


def edge(job: Job) -> Sequence[Row]:
    """Train with all examples in every step, and look at the curvature late.

    Options: ``rule``, ``beta``, ``lr``, ``steps``.

    Returns:
        For each member ``ratio``, the median of λ_max over its threshold; ``highest``, the largest;
        ``lambda_max``, the last; ``loss``, the last.
    """
    task, method, spec = cast(Task, job.task), cast(Method, job.method), job.specs[0]
    rule, lr, beta = RULES[spec.text["rule"]], spec.number("lr"), spec.number("beta")
    steps = round(spec.number("steps"))
    ensemble = Ensemble(task, job.seeds, job.device)
    w = ensemble.flat.requires_grad_()
    inputs, targets = stacked([task.draw(seed).train for seed in job.seeds], job.device)
    risk = Risk(task.logits, task.loss, inputs, targets)
    optimizer = method.make([w], lr, **rule.options(beta))
    start = normal(job.seeds, w.detach())
    looks = {steps - i * (steps // 4 // LOOKS) for i in range(LOOKS)}
    found = []
    for step in range(1, steps + 1):
        w.grad = gradient(risk, ensemble.leaves(w))[1]
        optimizer.step()
        if step in looks:
            matrix = hessian(risk, [leaf.detach().contiguous() for leaf in ensemble.leaves(w)])
            if rule.divided:
                matrix = matrix.scaled(root_of_second_moment(optimizer, w).detach().rsqrt())
            found.append(largest(matrix, start).value)
    curvature = torch.stack(found)
    ratio = curvature / rule.threshold(lr, beta)
    with torch.no_grad():
        last = risk(ensemble.leaves(w))
    columns = ratio.median(0).values, ratio.amax(0), curvature[-1], last, ~torch.isfinite(last)
    return [
        {"ratio": a, "highest": b, "lambda_max": c, "loss": d, "diverged": int(e)}
        for a, b, c, d, e in zip(*(column.tolist() for column in columns), strict=True)
    ]


def specs(size: Size, rule: str, beta: str, lr: str) -> list[Spec]:
    """Return the runs of one rule at one β and learning rate."""
    options = (("rule", rule), ("beta", beta), ("lr", lr), ("steps", str(STEPS[size])))
    method = RULES[rule].method
    return [Spec("edge", TASK.name, method, seed, options) for seed in range(SEEDS[size])]


def plan(table: Table, size: Size) -> list[Spec]:
    """Return all runs; nothing depends on what was found."""
    return [spec for run in RUNS for spec in specs(size, *run)]


def belief(rule: str) -> str:
    """Return the belief about a rule, as a sentence."""
    return f"the curvature under {rule} settles at the threshold of stability"


def conclude(table: Table, size: Size) -> Sequence[Finding]:
    """Return a finding for each rule, β and learning rate."""
    questions = []
    for rule, beta, lr in RUNS:
        logs = [logarithm("ratio")(table[spec]) for spec in specs(size, rule, beta, lr)]
        questions.append((
            belief(rule), compare(logs, MARGIN), f"{TASK.name}, β = {beta}, η = {lr}",
            (RULES[rule].theorem,),
        ))  # fmt: skip
    return judged_equal(questions, MARGIN, "log of λ_max / threshold")


def draw(table: Table, size: Size, folder: Path) -> Sequence[Path]:
    """Draw λ_max over its threshold, for each rule."""
    from .pictures import strip

    values = {
        f"{rule}, β = {beta}, η = {lr}": [
            float(table[spec]["ratio"] or math.nan) for spec in specs(size, rule, beta, lr)
        ]
        for rule, beta, lr in RUNS
    }
    label = "median λ_max of the last quarter, over the proved threshold"
    title = "Does training settle where the theory says that it stops being stable?"
    return [strip(folder / "edge.png", values, label, title, at=1.0)]


STUDY = Study(
    name="edge-of-stability",
    question="Does training settle at the threshold of stability that is proved for a quadratic?",
    plan=plan,
    conclude=conclude,
    draw=draw,
    beliefs=tuple(map(belief, RULES)),
    measures={"edge": edge},
    sources=("Cohen et al. 2021, arXiv 2103.00065v3", "Cohen et al. 2022, arXiv 2207.14484v2"),
    expected="Slightly above for gradient descent, at it for momentum and Adam.",
)
