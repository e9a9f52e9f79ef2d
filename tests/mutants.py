"""One-line changes of our own optimizers, each of which must change a verdict.

A mutant is the real file with one snippet replaced.  The whole folder is copied under another
name, so that the imports inside it lead to the mutant and nothing else notices.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path

import adamproof.optimizers
from adamproof.proofs_check.build import Recipe
from adamproof.proofs_check.subjects import Subject, builtin

NAME = adamproof.optimizers.__name__
FOLDER = Path(str(adamproof.optimizers.__file__)).parent
ORIGINALS = builtin()


@dataclass(frozen=True)
class Mutant:
    """A change of one line.

    Attributes:
        what: What the change does.
        of: The subject that it changes, without the package.
        old: A snippet that occurs once in the file.
        new: What stands there instead.
        also: Claims besides ``code-is-paper`` whose verdict changes.
        shown: Whether a run of three steps with plain numbers shows the change, so that the verdict
            must be *refuted*, with a witness; otherwise any other verdict kills.
        file: The file without its ending, where it is not that of the class.
    """

    what: str
    of: str
    old: str
    new: str
    also: tuple[str, ...] = ()
    shown: bool = True
    file: str = ""

    def __str__(self) -> str:
        return f"{self.of}: {self.what}"

    @property
    def original(self) -> Subject:
        """The subject as it is."""
        return ORIGINALS[f"{NAME}:{self.of}"]

    def load(self, folder: Path) -> Subject:
        """Return the changed subject; its files are written to a folder of ``sys.path``."""
        assert self.original.recipe is not None
        home = self.original.recipe.cls.__module__.removeprefix(f"{NAME}.")
        return load(self.original, folder, self.file or home, self.old, self.new)


def load(original: Subject, folder: Path, file: str = "", old: str = "", new: str = "") -> Subject:
    """Copy the optimizers under another name, with one snippet of one file replaced."""
    assert original.recipe is not None
    package = folder / f"mutated_{folder.name}"
    package.mkdir()
    for source in FOLDER.glob("*.py"):
        text = source.read_text(encoding="utf-8")
        if source.stem == file:
            assert text.count(old) == 1, f"{text.count(old)} times in {source.name}: {old}"
            text = text.replace(old, new)
        (package / source.name).write_text(text.replace(NAME, package.name), encoding="utf-8")
    cls = getattr(importlib.import_module(package.name), original.recipe.cls.__name__)
    recipe = Recipe(cls, original.recipe.options)
    return Subject(f"{package.name}:{cls.__name__}", "user", recipe, original.against)


def reference(of: str) -> str:
    """Return the reference form of a subject."""
    name, bracket, options = of.partition("(")
    return f"{name}Reference{bracket}{options}"


SGD_L2, DAMPED = "SGD(weight_decay=0.1)", "SGD(momentum=0.9, dampening=0.5)"
MOMENTUM, NESTEROV = "SGD(momentum=0.9)", "SGD(momentum=0.9, nesterov=True)"
MOMENTUM_L2 = "SGD(momentum=0.9, weight_decay=0.1)"
ADAGRAD = "Adagrad(lr_decay=0.1)"
CENTERED = "RMSprop(centered=True, momentum=0.9)"
ADAM_L2, UNCOUPLED = "Adam(weight_decay=0.1)", "AdamW(decay='uncoupled')"
AFTER, BEFORE = "AMSGrad(correction='after_max')", "AMSGrad(correction='before_max')"

ENDS = 'correction == "after_max":\n            torch'
ADD = '        torch._foreach_add_(denominator, h["eps"])\n'
EPS = f"    if not raw:\n{ADD}"
CORRECT = "    torch._foreach_div_(denominator, [c**0.5 for c in correction2])\n"
DECAY = "        torch._foreach_mul_(params, 1 - decay)\n"
STEP = "        adam_(params, grads, state, t, h)\n"
HYPER = 'lr, beta1, beta2 = h["lr"], h["beta1"], h["beta2"]\n    m, v'

MUTANTS = (
    # -- gradient descent ----------------------------------------------------------------------
    Mutant("climbs", "SGD", "alpha=-lr * undamped", "alpha=lr * undamped"),
    Mutant("a billionth more rate", "SGD", "-lr * undamped", "-lr * undamped * 1.000000001"),
    Mutant("no penalty", SGD_L2, "decay_(params, grads, h)", "grads",
           ("sgd-l2-equals-decay",)),
    Mutant("penalty subtracted", reference(SGD_L2), "g + weight_decay", "g - weight_decay",
           ("sgd-l2-equals-decay",), file="decay"),
    Mutant("no penalty", MOMENTUM_L2, "decay_(params, grads, h)", "grads",
           ("momentum-l2-equals-decay", "momentum-l2-first-difference")),
    Mutant("dampening added", DAMPED, 'else h["dampening"]', 'else -h["dampening"]'),
    Mutant("no dampening", DAMPED, "_(b, grads, alpha=undamped)", "_(b, grads)"),
    Mutant("buffer forgets", MOMENTUM, "mul_(b, momentum)", "mul_(b, 0.0)", ("ema-unrolled",)),
    Mutant("gradient shrunk with the buffer", MOMENTUM,
           "(b, grads, alpha=undamped)", "(b, grads, alpha=undamped * momentum)"),
    Mutant("buffer averages", reference(MOMENTUM), "else 1 - dampening", "else 1 - mu",
           ("bias-correction-unbiased",)),
    Mutant("step along the old buffer", reference(MOMENTUM),
           "if nesterov else b)", 'if nesterov else state["momentum_buffer"])'),
    Mutant("no look ahead", NESTEROV, 'if h["nesterov"] else b', "if False else b"),
    Mutant("momentum on the gradient", reference(NESTEROV), "(g + mu * b if", "(mu * g + b if"),
    # -- Adagrad -------------------------------------------------------------------------------
    Mutant("ε inside the root", ADAGRAD,
           f'        denominator = torch._foreach_sqrt(state["sum"])\n{ADD}',
           '        denominator = torch._foreach_sqrt(torch._foreach_add(state["sum"], h["eps"]))\n'),
    Mutant("rate decays a step early", ADAGRAD, "(step - 1) *", "step *"),
    Mutant("half the squares", ADAGRAD, '["sum"], grads, grads)', '["sum"], grads, grads, 0.5)'),
    Mutant("sum fades", ADAGRAD, "        torch._foreach_addcmul_(",
           '        torch._foreach_mul_(state["sum"], 0.5)\n        torch._foreach_addcmul_('),
    Mutant("ε inside the root", reference(ADAGRAD), "delta + s  #", "(delta + s_squared).sqrt()  #"),
    Mutant("no root", reference(ADAGRAD), "delta + s  #", "delta + s_squared  #"),
    Mutant("root of the old sum", reference(ADAGRAD), "s_squared.sqrt()", 'state["sum"].sqrt()'),
    # -- RMSprop -------------------------------------------------------------------------------
    Mutant("ρ for 1 − ρ", "RMSprop", "(v, grads, grads, 1 - rho)", "(v, grads, grads, rho)",
           ("raw-v1-factor", "v-is-second-moment")),
    Mutant("no weight on the square", "RMSprop", "(v, grads, grads, 1 - rho)", "(v, grads, grads)",
           ("raw-v1-factor", "bias-correction-unbiased")),
    Mutant("ε inside the root", "RMSprop", 'if h["eps_inside"]', 'if not h["eps_inside"]',
           ("scale-invariance-eps",)),
    Mutant("no ε", "RMSprop", 'torch._foreach_add(denominator, h["eps"])', "denominator",
           ("scale-invariance", "scale-invariance-eps")),
    Mutant("squared mean added", CENTERED, "(v, g_avg, g_avg, -1)", "(v, g_avg, g_avg, 1)"),
    Mutant("ρ for 1 − ρ in the mean", CENTERED, "(g_avg, grads, 1 - rho)", "(g_avg, grads, rho)"),
    Mutant("rate inside the buffer too", CENTERED,
           "(b, grads, denominator)", "(b, grads, denominator, lr)"),
    Mutant("ρ for μ", CENTERED, 'mul_(b, h["momentum"])', "mul_(b, rho)"),
    Mutant("ε inside the root", reference("RMSprop"), "if eps_inside else", "if not eps_inside else",
           ("scale-invariance-eps",)),
    Mutant("mean not squared", reference(CENTERED), '["grad_avg"] ** 2', '["grad_avg"]',
           ("scale-invariance-eps",)),
    Mutant("no root", reference(CENTERED), "v.sqrt() + eps", "v + eps", ("scale-invariance-eps",)),
    # -- Adam ----------------------------------------------------------------------------------
    Mutant("β2 for β1 in m", "Adam", "(m, grads, 1 - beta1)", "(m, grads, 1 - beta2)",
           ("first-step-exact", "step-bound-tight")),
    Mutant("β1 for 1 − β1 in m", "Adam", "(m, grads, 1 - beta1)", "(m, grads, beta1)",
           ("first-step-exact",)),
    Mutant("β1 for β2 on the old v", "Adam", "mul_(v, beta2)", "mul_(v, beta1)",
           ("raw-v1-factor", "v-is-second-moment")),
    Mutant("β1 for β2 on the new g²", "Adam", "grads, 1 - beta2)", "grads, 1 - beta1)",
           ("raw-v1-factor", "v-is-second-moment")),
    Mutant("g·m for g²", "Adam", "(v, grads, grads,", "(v, grads, m,", ("v-is-second-moment",)),
    Mutant("m not corrected", "Adam", "correction1 = [1 - beta1**step for", "correction1 = [1 for",
           ("uncorrected-thirty-times", "first-step-exact")),
    Mutant("v not corrected", "Adam", "correction2 = [1 - beta2**step for", "correction2 = [1 for",
           ("first-step-exact", "step-bound-tight")),
    Mutant("β2 for β1 in the correction", "Adam", "1 - beta1**step", "1 - beta2**step",
           ("uncorrected-steps-tiny", "first-step-exact")),
    Mutant("m corrected for a step more", "Adam", "1 - beta1**step", "1 - beta1**(step + 1)",
           ("first-step-exact",)),
    Mutant("correction not rooted", "Adam", "c**0.5 for", "c for",
           ("first-step-exact", "kb-step-bound")),
    Mutant("ε before the correction (ε̂)", "Adam", '== "raw"\n    if raw', '!= "raw"\n    if raw',
           ("eps-hat", "eps-hat-conversion")),
    Mutant("ε inside the root", "Adam", CORRECT + EPS, """\
    torch._foreach_pow_(denominator, 2)
    torch._foreach_div_(denominator, correction2)
    torch._foreach_add_(denominator, h["eps"])
    torch._foreach_sqrt_(denominator)
""", ("first-step-exact", "scale-invariance-eps")),
    Mutant("no ε", "Adam", EPS, "", ("first-step-sign", "scale-invariance")),
    Mutant("g for m", "Adam", "_(params, m, denominator, [", "_(params, grads, denominator, [",
           ("step-at-most-lr", "kb-step-bound")),
    Mutant("climbs", "Adam", "[-lr / c for", "[lr / c for", ("first-step-exact",)),
    Mutant("a billionth more rate", "Adam", "[-lr / c", "[-1.000000001 * lr / c",
           ("first-step-exact", "step-bound-tight")),
    Mutant("β2 at most 0.99", "Adam", HYPER, HYPER.replace('h["beta2"]', 'min(h["beta2"], 0.99)'),
           shown=False),
    Mutant("rate at most 10", "Adam", HYPER, HYPER.replace('h["lr"]', 'min(h["lr"], 10.0)'),
           shown=False),
    Mutant("correction stops at step 100", "Adam", "1 - beta1**step", "1 - beta1**min(step, 100)",
           shown=False),
    Mutant("correction stops at step 5000", "Adam", "1 - beta1**step", "1 - beta1**min(step, 5000)",
           shown=False),
    Mutant("gradient clipped at 100", "Adam", "    torch._foreach_mul_(v, beta2)\n",
           "    torch._foreach_mul_(v, beta2)\n    grads = torch._foreach_clamp_max(grads, 100.0)\n",
           shown=False),
    Mutant("past the dispatcher", "Adam", CORRECT, f"{CORRECT}    params[0].numpy()[:] *= 0.999\n",
           shown=False),
    Mutant("no penalty", ADAM_L2, 'l2(grads, params, h["weight_decay"])', "grads",
           ("adam-l2-equals-decay",)),
    Mutant("β1 for β2 on the old v", reference("Adam"), "v = beta2 *", "v = beta1 *",
           ("raw-v1-factor", "v-is-second-moment")),
    Mutant("no weight on g", reference("Adam"), "(1 - beta1) * g  #", "g  #"),
    Mutant("v not corrected", reference("Adam"), "v / (1 - beta2**t)", "v",
           ("first-step-exact", "step-bound-tight")),
    Mutant("ε inside the root", reference("Adam"), "(v_hat.sqrt() + eps)", "(v_hat + eps).sqrt()",
           ("first-step-exact", "scale-invariance-eps")),
    Mutant("|g| for g²", reference("Adam"), "g**2  #", "g.abs()  #", ("v-is-variance",)),
    Mutant("penalty in the step, not in the averages", reference(ADAM_L2),
           "alpha * m_hat", "alpha * (m_hat + weight_decay * x)", ("l2-fixed-points",)),
    # -- AdamW ---------------------------------------------------------------------------------
    Mutant("decay after the step", "AdamW", DECAY + STEP, STEP + DECAY,
           ("adamw-order", "adamw-box", "adamw-fixed-point")),
    Mutant("grows", "AdamW", "1 - decay)", "1 + decay)", ("adamw-box", "adamw-fixed-point")),
    Mutant("no decay", "AdamW", DECAY, "", ("adamw-uniform-decay", "frozen-preconditioner")),
    Mutant("paper's decay", "AdamW", 'h["decay"] == "coupled"', "False",
           ("adamw-lr-coupling", "adamw-lambda-conversion")),
    Mutant("frameworks' decay", UNCOUPLED, 'h["decay"] == "coupled"', "True",
           ("adamw-lr-coupling", "adamw-lambda-conversion")),
    Mutant("decay in the gradient", "AdamW", DECAY,
           "        grads = torch._foreach_add(grads, params, alpha=decay)\n",
           ("adamw-uniform-decay", "adam-l2-equals-decay")),
    Mutant("decay after the step", reference("AdamW"),
           "x - (step + alpha * weight_decay * x)", "(x - step) * (1 - alpha * weight_decay)",
           ("adamw-order", "adamw-box", "adamw-fixed-point")),
    Mutant("ε inside the root", reference("AdamW"), "(v_hat.sqrt() + eps)", "(v_hat + eps).sqrt()",
           ("first-step-exact", "adamw-fixed-point")),
    Mutant("decay times the rate", reference(UNCOUPLED),
           "(step + weight_decay * x)", "(step + alpha * weight_decay * x)", ("adamw-lr-coupling",)),
    # -- AMSGrad -------------------------------------------------------------------------------
    Mutant("no maximum", "AMSGrad", "torch._foreach_sqrt(v_max)", "torch._foreach_sqrt(v)",
           ("amsgrad-denominator-monotone", "adam-gamma-indefinite")),
    Mutant("minimum", "AMSGrad", "foreach_maximum_(v_max, v)", "foreach_minimum_(v_max, v)",
           ("amsgrad-denominator-monotone",)),
    Mutant("corrected after", "AMSGrad", ENDS, ENDS.replace("==", "!=").replace("after", "before"),
           ("amsgrad-denominator-monotone", "amsgrad-rate-monotone", "amsgrad-rebound-factor")),
    Mutant("m corrected", "AMSGrad", '1 if correction == "none" else 1 - ', "1 - ",
           ("uncorrected-first-step", "first-step-exact")),
    Mutant("m not corrected", AFTER, '1 if correction == "none" else 1 - beta1**step', "1",
           ("first-step-exact",)),
    Mutant("not corrected after", AFTER, ENDS, ENDS.replace("after_max", "never"),
           ("amsgrad-denominator-monotone", "amsgrad-rate-monotone")),
    Mutant("not corrected before", BEFORE, "torch._foreach_div(v, correction2))", "v)",
           ("first-step-exact",)),
    Mutant("corrected after, too", BEFORE, ENDS, ENDS.replace("==", "!=").replace("after_max", "none"),
           ("amsgrad-denominator-monotone", "amsgrad-rate-monotone")),
    Mutant("v for the maximum", reference("AMSGrad"), "m_hat, v_hat = m, v_max", "m_hat, v_hat = m, v",
           ("amsgrad-denominator-monotone", "adam-gamma-indefinite")),
    Mutant("maximum with the last v only", reference("AMSGrad"),
           '"max_exp_avg_sq": v_max}', '"max_exp_avg_sq": v.clone()}',
           ("amsgrad-denominator-monotone",)),
    Mutant("not corrected after", reference(AFTER), "v_max / (1 - beta2**t)", "v_max",
           ("amsgrad-denominator-monotone", "amsgrad-rebound-factor")),
    Mutant("not corrected before", reference(BEFORE), "v / (1 - beta2**t))", "v)",
           ("first-step-exact",)),
    # -- what they share -----------------------------------------------------------------------
    Mutant("counts by two", "Adam", "_foreach_add_(steps, 1)", "_foreach_add_(steps, 2)",
           ("first-step-exact",), file="base"),
    Mutant("climbs", "SGD", 'neg(grads) if h["maximize"]', 'neg(grads) if not h["maximize"]',
           file="base"),
    Mutant("penalty subtracted", ADAM_L2, "alpha=weight_decay)", "alpha=-weight_decay)",
           ("adam-l2-first-step", "l2-fixed-points"), file="decay"),
    Mutant("a step ahead", "AdamW", "[step.item() for", "[step.item() + 1 for",
           ("adamw-box", "adamw-fixed-point"), file="base"),
    Mutant("state not kept", reference("Adam"), "rows.put(buffer, new[name])", "pass",
           ("ema-unrolled", "bias-correction-unbiased"), file="base"),
    Mutant("counts by two", reference("Adam"), '["step"] += 1', '["step"] += 2',
           ("first-step-exact",), file="base"),
    Mutant("climbs", reference("RMSprop"), 'rows.gradient if h["maximize"]',
           'rows.gradient if not h["maximize"]', file="base"),
)  # fmt: skip
