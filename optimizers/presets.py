"""Settings that papers report, by task, with where they are from and how much that is worth.

A preset is a place to start, not advice that holds anywhere: each record says who chose the numbers,
how, and where that reasoning is weak.  Values that were not found in the source are named in `unsure`.

>>> import torch
>>> from adamproof.optimizers import preset
>>> model = torch.nn.Linear(3, 1)
>>> optimizer, scheduler = preset("transformer").build(model.parameters())
>>> type(optimizer).__name__, optimizer.param_groups[0]["betas"], optimizer.param_groups[0]["eps"]
('Adam', (0.9, 0.98), 1e-09)
>>> model(torch.ones(3)).backward()
>>> optimizer.step()
>>> scheduler.step()
>>> preset("transfomer")
Traceback (most recent call last):
    ...
ValueError: there is no preset 'transfomer'; the nearest is 'transformer'.
"""

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.optimizer import ParamsT

from adamproof.optimizers import schedules
from adamproof.optimizers.schedules import Schedule

__all__ = ["PRESETS", "Evidence", "Preset", "Task", "preset"]


class Task(StrEnum):
    """What a preset is for."""

    VISION = "vision"
    PRE_TRAINING = "pre-training of transformers"
    FINE_TUNING = "fine-tuning"
    GAN = "GANs"
    SPARSE = "sparse gradients"


class Evidence(StrEnum):
    """How a setting came about, strongest first."""

    ABLATION = "ablation"  # its authors varied it, the rest being equal, and show what changed
    TUNED = "tuned by its authors"  # they searched, or say what failed, without the numbers
    USED = "used by many"  # it is copied, from a model that worked
    FOLKLORE = "folklore"  # no study was found


@dataclass(frozen=True)
class Preset:
    """One setting.

    Attributes:
        name: What `preset` finds it by.
        task: What it is for.
        optimizer: ``module:Class``.
        arguments: Names and values of the class's arguments.
        schedule: The function of `schedules`; empty: the learning rate is constant.
        warmup: Its warmup: a number of steps, or below 1 a fraction of the total.
        floor: Where it ends, a fraction of the learning rate.
        source: Author, year, arXiv number, and the place in it where that is known.
        used_by: Who trains with it.
        evidence: How the numbers came about.
        reason: The evidence in a sentence.
        weak_point: Where it is weak.
        notes: What else belongs to it: batch size, clipping, parameters without decay.
        unsure: Which values are not in the source, or were not checked against it.
    """

    name: str
    task: Task
    optimizer: str
    arguments: tuple[tuple[str, Any], ...]
    source: str
    used_by: str
    evidence: Evidence
    reason: str
    weak_point: str
    schedule: str = ""
    warmup: float = 0
    floor: float = 0.0
    notes: str = ""
    unsure: str = ""

    @property
    def needs_total(self) -> bool:
        """Whether the schedule ends, so that `build` must know when."""
        return self.schedule in ("cosine", "linear")

    def schedule_for(self, total: float | None = None, warmup: float | None = None) -> Schedule:
        """Return the schedule of a run.

        Args:
            total: Steps of the run; needed where the schedule ends.
            warmup: Steps of warmup, or below 1 a fraction of `total`; None: the preset's.

        Returns:
            What the learning rate is multiplied by, for `LambdaLR`.

        Raises:
            ValueError: `total` is missing, or a number is out of its range.
        """
        steps = self.warmup if warmup is None else warmup
        schedules.check("warmup", steps, 0)
        if total is not None:
            schedules.check("total", total, 0, ends="()")
        elif self.needs_total:
            raise ValueError(
                f"the preset {self.name!r} decays to the end of the run: give total, its steps."
            )
        if 0 < steps < 1:
            if total is None:
                raise ValueError(f"warmup is a fraction of total, got {steps!r} and no total.")
            steps = steps * total
        if self.schedule == "cosine" and total is not None:
            return schedules.cosine(total, steps, self.floor)
        if self.schedule == "linear" and total is not None:
            return schedules.linear(total, steps, self.floor)
        if self.schedule == "inverse_sqrt":
            return schedules.inverse_sqrt(steps)
        return schedules.linear_warmup(steps)

    def build(
        self,
        params: ParamsT,
        total: float | None = None,
        warmup: float | None = None,
        **arguments: Any,
    ) -> tuple[Optimizer, LambdaLR]:
        """Make the optimizer, and the scheduler to step after each of its steps.

        Args:
            params: Tensors, or groups of them; decay some groups less by ``weight_decay`` in them.
            total: Steps of the run; needed where the schedule ends.
            warmup: Steps of warmup, or below 1 a fraction of `total`; None: the preset's.
            **arguments: Arguments of the optimizer that differ from the preset's, such as ``lr``.

        Returns:
            The optimizer, and a `LambdaLR`, constant where the preset has no schedule.

        Raises:
            ValueError: `total` is missing, or a number is out of its range.
        """
        schedule = self.schedule_for(total, warmup)
        module, _, name = self.optimizer.partition(":")
        cls = getattr(importlib.import_module(module), name)
        optimizer: Optimizer = cls(params, **{**dict(self.arguments), **arguments})
        return optimizer, LambdaLR(optimizer, schedule)

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.arguments)
        warm = f"warmup {self.warmup:g}" + (" of total" if 0 < self.warmup < 1 else " steps")
        rows = {
            "for": self.task,
            "optimizer": f"{self.optimizer}({inside})",
            "schedule": f"{self.schedule or 'constant'}, {warm}, down to {self.floor:g}"
            if self.needs_total
            else f"{self.schedule or 'constant'}, {warm}",
            "source": self.source,
            "used by": self.used_by,
            "evidence": f"{self.evidence}: {self.reason}",
            "weak point": self.weak_point,
            "notes": self.notes,
            "unsure": self.unsure,
        }
        return "\n".join([self.name, *(f"  {label}: {text}" for label, text in rows.items() if text)])


def preset(name: str) -> Preset:
    """Return the preset of that name.

    Args:
        name: One of `PRESETS`.

    Returns:
        The record; its `Preset.build` makes the optimizer and the scheduler.

    Raises:
        ValueError: There is none; the message names the nearest.
    """
    if isinstance(name, str) and name in PRESETS:
        return PRESETS[name]
    wanted = str(name).lower()
    begun = [known for known in PRESETS if wanted and known.startswith(wanted)]
    near = begun or difflib.get_close_matches(wanted, PRESETS, n=1)
    told = f"the nearest is {near[0]!r}" if near else f"there are {', '.join(PRESETS)}"
    raise ValueError(f"there is no preset {name!r}; {told}.")


def _arguments(**arguments: Any) -> tuple[tuple[str, Any], ...]:
    return tuple(arguments.items())


_OURS: Final = "adamproof.optimizers:"
_NO_DECAY: Final = "Biases and norms are not decayed: give them a group with weight_decay=0."

_ALL: Final = (
    Preset(
        name="resnet",
        task=Task.VISION,
        optimizer=_OURS + "SGD",
        arguments=_arguments(lr=0.1, momentum=0.9, weight_decay=1e-4),
        source="He et al. 2015 (arXiv 1512.03385), section 3.4",
        used_by="the first ResNets on ImageNet, and most baselines since",
        evidence=Evidence.USED,
        reason="The paper states the numbers without a search; they have trained convolutional "
        "networks in countless later papers.",
        weak_point="The numbers go with batch normalization, batches of 256 and ImageNet.",
        notes="Batch 256.  The paper divides the rate by 10 when the error stops falling: use "
        "ReduceLROnPlateau, or the preset 'resnet-cosine'.",
    ),
    Preset(
        name="resnet-cosine",
        task=Task.VISION,
        optimizer=_OURS + "SGD",
        arguments=_arguments(lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=True),
        schedule="cosine",
        warmup=5 / 120,
        source="He et al. 2019, Bag of Tricks (arXiv 1812.01187), sections 3 and 5",
        used_by="GluonCV; many image classifiers after it",
        evidence=Evidence.ABLATION,
        reason="Linear scaling of the rate, warmup, no decay of biases and the cosine are added one "
        "after the other, with the accuracy on ImageNet after each.",
        weak_point="Each trick is tried in one order, and on few networks.",
        notes="lr is for batches of 256, and grows in proportion: 0.4 at 1024.  120 epochs, 5 of them "
        "warmup.  " + _NO_DECAY,
        unsure="The momentum and the decay are those of Goyal et al. 2017 (arXiv 1706.02677), on which "
        "the paper builds.",
    ),
    Preset(
        name="vit",
        task=Task.VISION,
        optimizer=_OURS + "AdamW",
        arguments=_arguments(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
        schedule="cosine",
        warmup=5 / 300,
        floor=0.01,
        source="Touvron et al. 2021, DeiT (arXiv 2012.12877), section 5 and Table 9; its code",
        used_by="DeiT; Swin and many vision transformers on ImageNet alone follow it for the most part",
        evidence=Evidence.ABLATION,
        reason="SGD in place of AdamW, and each of the augmentations left out, are shown to do worse.",
        weak_point="The numbers go with strong augmentation and 300 epochs; the rate and the decay are "
        "stated, not varied.",
        notes="lr is 5e-4 · batch/512, here for batches of 1024.  300 epochs, 5 of them warmup.  "
        "The floor is 1e-5.",
    ),
    Preset(
        name="vit-large-data",
        task=Task.VISION,
        optimizer=_OURS + "AdamW",
        arguments=_arguments(lr=8e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1),
        schedule="linear",
        warmup=10_000,
        source="Dosovitskiy et al. 2021, ViT (arXiv 2010.11929), section 4.1",
        used_by="the ViT models that were pre-trained on JFT-300M",
        evidence=Evidence.TUNED,
        reason="The authors say that a decay of 0.1 helped the transfer of all models, and that Adam "
        "was a little better than SGD for ResNets.",
        weak_point="On ImageNet alone a decay this large stopped DeiT from converging (arXiv "
        "2012.12877, section 5).",
        notes="Batch 4096.",
        unsure="The paper writes Adam with a decay of 0.1, which is read as a decoupled one.  The rate "
        "(ViT-B on JFT-300M) and the warmup were not checked against its Table 3; eps is torch's.",
    ),
    Preset(
        name="transformer",
        task=Task.PRE_TRAINING,
        optimizer=_OURS + "Adam",
        arguments=_arguments(lr=(512 * 4000) ** -0.5, betas=(0.9, 0.98), eps=1e-9),
        schedule="inverse_sqrt",
        warmup=4000,
        source="Vaswani et al. 2017 (arXiv 1706.03762), section 5.3, equation (3)",
        used_by="machine translation, fairseq and tensor2tensor",
        evidence=Evidence.USED,
        reason="The paper states the numbers without a search; translation models have copied them.",
        weak_point="The post-norm network of the paper needs the warmup; pre-norm ones do with less, "
        "and another β2.",
        notes="lr is (d · warmup)^(-1/2) for the width d = 512: take (d * warmup)**-0.5 for another.",
    ),
    Preset(
        name="bert",
        task=Task.PRE_TRAINING,
        optimizer=_OURS + "AdamW",
        arguments=_arguments(lr=1e-4, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01),
        schedule="linear",
        warmup=10_000,
        source="Devlin et al. 2019 (arXiv 1810.04805), appendix A.2; eps from its code",
        used_by="BERT and models after it",
        evidence=Evidence.USED,
        reason="The paper states the numbers without a search.",
        weak_point="RoBERTa (Liu et al. 2019, arXiv 1907.11692) found it undertrained and very "
        "sensitive to eps, and takes β2 = 0.98 for large batches.",
        notes="Batch 256, 1,000,000 steps.  The code clips the norm of the gradient at 1.  " + _NO_DECAY,
        unsure="The paper says L2; its code decays apart from the averages, as here.  Its code has no "
        "bias correction, which this has.",
    ),
    Preset(
        name="gpt3",
        task=Task.PRE_TRAINING,
        optimizer=_OURS + "AdamW",
        arguments=_arguments(lr=6e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1),
        schedule="cosine",
        warmup=375 / 260_000,
        floor=0.1,
        source="Brown et al. 2020 (arXiv 2005.14165), appendix B; lr from Table 2.1",
        used_by="GPT-3; the betas, the decay and the floor by most language models since",
        evidence=Evidence.USED,
        reason="The paper states the numbers without a search; open models that copied them trained.",
        weak_point="The final multiplier of 0.1 and the length of the cosine were not varied; "
        "Hoffmann et al. 2022 (arXiv 2203.15556) do better when the cosine ends with the run.",
        notes="lr is for 125M parameters, 6e-5 for 175B.  Clip the norm of the gradient at 1.  The "
        "warmup is 375M tokens, total 260B.",
        unsure="The paper cites decoupled decay and does not write the step down.",
    ),
    Preset(
        name="llama",
        task=Task.PRE_TRAINING,
        optimizer=_OURS + "AdamW",
        arguments=_arguments(lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1),
        schedule="cosine",
        warmup=2000,
        floor=0.1,
        source="Touvron et al. 2023, LLaMA (arXiv 2302.13971), section 2.3; lr from Table 2",
        used_by="LLaMA, and many open language models",
        evidence=Evidence.USED,
        reason="The paper states the numbers without a search; runs of up to 1.4T tokens stayed stable.",
        weak_point="No ablation; β2 = 0.95 goes with batches of millions of tokens.",
        notes="lr is for 7B and 13B parameters, 1.5e-4 for 33B and 65B; 4M tokens a batch.  Clip the "
        "norm of the gradient at 1.",
        unsure="The paper does not give eps; it is torch's.",
    ),
    Preset(
        name="bert-fine-tuning",
        task=Task.FINE_TUNING,
        optimizer=_OURS + "AdamW",
        arguments=_arguments(lr=2e-5, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01),
        schedule="linear",
        warmup=0.1,
        source="Mosbach et al. 2021 (arXiv 2006.04884), the strong baseline; its code",
        used_by="fine-tuning of BERT, RoBERTa and ALBERT on small data sets",
        evidence=Evidence.ABLATION,
        reason="Rates with and without bias correction are compared over many seeds, by how many runs "
        "fail; Zhang et al. 2021 (arXiv 2006.05987) find the same.",
        weak_point="A few small tasks of GLUE; the learning rate is taken from a short list.",
        notes="20 epochs, batch 16.  Clip the norm of the gradient at 1.  Devlin et al. 2019 (arXiv "
        "1810.04805, appendix A.3) try 5e-5, 3e-5 and 2e-5 for 2 to 4 epochs.  " + _NO_DECAY,
    ),
    Preset(
        name="roberta-fine-tuning",
        task=Task.FINE_TUNING,
        optimizer=_OURS + "AdamW",
        arguments=_arguments(lr=2e-5, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1),
        schedule="linear",
        warmup=0.06,
        source="Liu et al. 2019, RoBERTa (arXiv 1907.11692), and the instructions of its code",
        used_by="RoBERTa on GLUE, in fairseq",
        evidence=Evidence.TUNED,
        reason="The authors searched a fixed space for each task; its best rate is 1e-5 or 2e-5.",
        weak_point="What the search showed is not reported, and β2, eps and the decay were not in it.",
        notes="10 epochs, batch 16 or 32.",
    ),
    Preset(
        name="vit-fine-tuning",
        task=Task.FINE_TUNING,
        optimizer=_OURS + "SGD",
        arguments=_arguments(lr=0.01, momentum=0.9),
        schedule="cosine",
        source="Dosovitskiy et al. 2021, ViT (arXiv 2010.11929), appendix B.1.1",
        used_by="ViT on ImageNet, CIFAR and others",
        evidence=Evidence.TUNED,
        reason="The rate is the best of a short list for each data set, on a part held out of it.",
        weak_point="What the search showed is not reported; the best rate differs between data sets.",
        notes="Batch 512.  Clip the norm of the gradient at 1.  Try rates around it: it is one of "
        "0.003, 0.01, 0.03 and 0.06, the list for ImageNet.",
    ),
    Preset(
        name="dcgan",
        task=Task.GAN,
        optimizer=_OURS + "Adam",
        arguments=_arguments(lr=2e-4, betas=(0.5, 0.999)),
        source="Radford et al. 2016 (arXiv 1511.06434), section 4",
        used_by="DCGAN; pix2pix, CycleGAN and many GANs after it",
        evidence=Evidence.TUNED,
        reason="The authors say that lr = 0.001 was too high, and that β1 = 0.9 made the training "
        "oscillate where 0.5 did not.",
        weak_point="Said, not shown: there are no numbers; later GANs go down to β1 = 0.",
        notes="One optimizer for each of the two networks, batch 128.",
        unsure="The paper does not give β2 and eps; they are those of Adam's paper.",
    ),
    Preset(
        name="wgan-gp",
        task=Task.GAN,
        optimizer=_OURS + "Adam",
        arguments=_arguments(lr=1e-4, betas=(0.0, 0.9)),
        source="Gulrajani et al. 2017 (arXiv 1704.00028), Algorithm 1",
        used_by="WGAN-GP; β1 = 0 by most GANs since",
        evidence=Evidence.USED,
        reason="The paper trains very different networks with these numbers, and does not vary them.",
        weak_point="They go with the gradient penalty, and five steps of the critic for one of the "
        "generator.",
        notes="One optimizer for each of the two networks; penalty 10.",
        unsure="The paper does not give eps.",
    ),
    Preset(
        name="sagan-generator",
        task=Task.GAN,
        optimizer=_OURS + "Adam",
        arguments=_arguments(lr=1e-4, betas=(0.0, 0.9)),
        source="Zhang et al. 2019, SAGAN (arXiv 1805.08318)",
        used_by="SAGAN; two rates by BigGAN and others",
        evidence=Evidence.ABLATION,
        reason="Training with one rate for both networks is shown to be unstable, with two rates not.",
        weak_point="The ablation varies that there are two rates, together with spectral normalization, "
        "and not which; two rates are from Heusel et al. 2017 (arXiv 1706.08500).",
        notes="With 'sagan-discriminator', one step each.",
        unsure="The paper does not give eps.",
    ),
    Preset(
        name="sagan-discriminator",
        task=Task.GAN,
        optimizer=_OURS + "Adam",
        arguments=_arguments(lr=4e-4, betas=(0.0, 0.9)),
        source="Zhang et al. 2019, SAGAN (arXiv 1805.08318)",
        used_by="SAGAN; two rates by BigGAN and others",
        evidence=Evidence.ABLATION,
        reason="Training with one rate for both networks is shown to be unstable, with two rates not.",
        weak_point="The ablation varies that there are two rates, together with spectral normalization, "
        "and not which; two rates are from Heusel et al. 2017 (arXiv 1706.08500).",
        notes="With 'sagan-generator', one step each.",
        unsure="The paper does not give eps.",
    ),
    Preset(
        name="embeddings-adagrad",
        task=Task.SPARSE,
        optimizer=_OURS + "Adagrad",
        arguments=_arguments(lr=0.05),
        source="Pennington et al. 2014, GloVe (EMNLP), section 4.2",
        used_by="GloVe; Adagrad by many models of clicks and words",
        evidence=Evidence.USED,
        reason="The paper states the rate; that rare features keep a large step is the point of "
        "Adagrad (Duchi et al. 2011).",
        weak_point="The rate is for GloVe's loss; the steps of frequent rows fade.",
        notes="Dense gradients, zero where a row is not used, or those of nn.Embedding(sparse=True): "
        "Adagrad leaves such a row as it is.",
        unsure="eps and the start of the sum are torch's.",
    ),
    Preset(
        name="embeddings-lazy-adam",
        task=Task.SPARSE,
        optimizer="torch.optim:SparseAdam",
        arguments=_arguments(lr=1e-3, betas=(0.9, 0.999), eps=1e-8),
        source="torch.optim.SparseAdam; the numbers of Kingma & Ba 2015 (arXiv 1412.6980v9)",
        used_by="large embedding tables, for speed",
        evidence=Evidence.FOLKLORE,
        reason="No study of the rule was found: it is a way to save work.",
        weak_point="It is not Adam: a row that is not used keeps its averages and stays, where Adam "
        "would forget and go on; the bias correction counts all steps, not those of the row.",
        notes="Takes the sparse gradients of nn.Embedding(sparse=True) only.",
    ),
)

#: Every preset by name.
PRESETS: Final[Mapping[str, Preset]] = MappingProxyType({each.name: each for each in _ALL})
