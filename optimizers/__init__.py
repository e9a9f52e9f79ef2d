"""What runs: optimizers as `torch.optim.Optimizer`, each in two forms.

Imports torch only.  Table of contents:

===============  =============================================================
``base``         what every rule shares: state, closure, the ways of taking a step
``hyper``        the arguments, and what is refused
``decay``        weight decay, in the gradient or outside
``views``        complex, sharded and sparse tensors, as a rule sees them
``checkpoint``   what is refused when a checkpoint is loaded
``reference``    the driver that steps tensor by tensor with a pure function
``trace``        runs a pure function on stand-ins, and writes down what it does
``in_c``         says that in C
``compiler``     compiles that, once
``kernel``       keeps the kernel of each rule: ``compiled=True``
``gather``       the tensors that a kernel may step, and where they lie
``sgd``          gradient descent, heavy ball, Nesterov
``adagrad``      Duchi, Hazan & Singer 2011
``rmsprop``      Tieleman & Hinton 2012; centered, Graves 2013; with momentum
``adam``         Kingma & Ba 2015
``adamw``        Loshchilov & Hutter 2019, decay ``coupled`` or ``uncoupled``
``amsgrad``      Reddi, Kale & Kumar 2018, three places for the bias correction
``nadam``        Dozat 2016, his form and that of the frameworks
``radam``        Liu et al. 2020, threshold 4 or 5, two ways to wait
``sam``          Foret et al. 2021, around any optimizer
``schedules``    what the learning rate is multiplied by, step by step
``presets``      settings of papers by task, and how much evidence there is for them
``adamax``       Kingma & Ba 2015, with the infinity norm
``adadelta``     Zeiler 2012
``sign``         Bernstein et al. 2018: SignSGD; with momentum, Signum
``lion``         Chen et al. 2023
``adabelief``    Zhuang et al. 2020, ε in the average or beside the root only
``adabound``     Luo et al. 2019, AdaBound and AMSBound, the paper's form and the authors' code
``swats``        Keskar & Socher 2017, from Adam to gradient descent
===============  =============================================================

In each file, for the rule ``Adam``:

- ``adam`` is the paper, line by line, on one tensor, and touches nothing;
- ``Adam`` is what trains a model: in place, over lists of tensors; with ``compiled=True`` in one
  pass over memory, by a kernel that is made of ``adam``;
- ``AdamReference`` has the arguments and the state of ``Adam`` and steps with ``adam``.

>>> import torch
>>> from adamproof.optimizers import Adam
>>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
>>> optimizer = Adam([weight], lr=0.5)
>>> weight.square().sum().backward()
>>> optimizer.step()
>>> weight.detach()
tensor([ 0.5000, -1.5000])
"""

if __name__ != "adamproof.optimizers":
    raise ImportError("import adamproof.optimizers, not the folder under another name")

from adamproof.optimizers.adabelief import AdaBelief, AdaBeliefReference, adabelief
from adamproof.optimizers.adabound import (
    AdaBound,
    AdaBoundReference,
    AMSBound,
    AMSBoundReference,
    adabound,
    amsbound,
)
from adamproof.optimizers.adadelta import Adadelta, AdadeltaReference, adadelta
from adamproof.optimizers.adagrad import Adagrad, AdagradReference, adagrad
from adamproof.optimizers.adam import Adam, AdamReference, adam
from adamproof.optimizers.adamax import Adamax, AdamaxReference, adamax
from adamproof.optimizers.adamw import AdamW, AdamWReference, adamw
from adamproof.optimizers.amsgrad import AMSGrad, AMSGradReference, amsgrad
from adamproof.optimizers.base import Base
from adamproof.optimizers.lion import Lion, LionReference, lion
from adamproof.optimizers.nadam import NAdam, NAdamReference, nadam
from adamproof.optimizers.presets import PRESETS, Evidence, Preset, Task, preset
from adamproof.optimizers.radam import RAdam, RAdamReference, radam
from adamproof.optimizers.reference import Reference
from adamproof.optimizers.rmsprop import RMSprop, RMSpropReference, rmsprop
from adamproof.optimizers.sam import SAM
from adamproof.optimizers.schedules import (
    Schedule,
    cosine,
    exponential_warmup,
    inverse_sqrt,
    linear,
    linear_warmup,
    linear_warmup_for,
    radam_warmup,
)
from adamproof.optimizers.sgd import SGD, SGDReference, sgd
from adamproof.optimizers.sign import SignSGD, SignSGDReference, sign_sgd
from adamproof.optimizers.swats import SWATS, SWATSReference, swats

__all__ = [
    "PRESETS",
    "SAM",
    "SGD",
    "SWATS",
    "AMSBound",
    "AMSBoundReference",
    "AMSGrad",
    "AMSGradReference",
    "AdaBelief",
    "AdaBeliefReference",
    "AdaBound",
    "AdaBoundReference",
    "Adadelta",
    "AdadeltaReference",
    "Adagrad",
    "AdagradReference",
    "Adam",
    "AdamReference",
    "AdamW",
    "AdamWReference",
    "Adamax",
    "AdamaxReference",
    "Base",
    "Evidence",
    "Lion",
    "LionReference",
    "NAdam",
    "NAdamReference",
    "Preset",
    "RAdam",
    "RAdamReference",
    "RMSprop",
    "RMSpropReference",
    "Reference",
    "SGDReference",
    "SWATSReference",
    "Schedule",
    "SignSGD",
    "SignSGDReference",
    "Task",
    "adabelief",
    "adabound",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "amsbound",
    "amsgrad",
    "cosine",
    "exponential_warmup",
    "inverse_sqrt",
    "linear",
    "linear_warmup",
    "linear_warmup_for",
    "lion",
    "nadam",
    "preset",
    "radam",
    "radam_warmup",
    "rmsprop",
    "sgd",
    "sign_sgd",
    "swats",
]
