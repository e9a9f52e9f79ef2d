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
        shown: Whether a run of three steps with plain numbers (μ = ρ = 1/2, ε = 0 or 1, ψ = 0 among
            them) shows the change, so that the verdict must be *refuted*, with a witness; otherwise
            any other verdict kills.
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

EMA = "SGD(momentum=0.9, ema=True)"
COUPLED = "SGD(momentum=0.9, weight_decay=0.1, decay='coupled')"
UNCOUPLED_SGD = "SGD(momentum=0.9, weight_decay=0.1, decay='uncoupled')"
SIGNUM, LION = "SignSGD(momentum=0.9)", "Lion(weight_decay=0.1)"
INSIDE = "RMSprop(eps_inside=True)"
UNCORRECTED, RAW = "Adam(bias_correction=False)", "Adam(eps_beside='raw')"
DECAYED = "AMSGrad(correction='after_max', weight_decay=0.1, decay='coupled')"
DOZAT, CONSTANT = "NAdam(form='dozat')", "NAdam(form='constant')"
FOUR, WAITS = "RAdam(threshold=4)", "RAdam(before='nothing')"
OUTSIDE, SQRT = "AdaBelief(eps_in_average=False)", "AdaBound(schedule='sqrt')"

ENDS = 'correction == "after_max":\n            torch'
EPS = '    torch._foreach_add_(denominator, h["eps"])\n'
CORRECT = "    torch._foreach_div_(denominator, [c**0.5 for c in correction2])\n"
BESIDE, BESIDE_RAW = f"    if not raw:\n    {EPS}", f"    if raw:\n    {EPS}"
OUT = "        grads = decay_(params, grads, h)\n"
OUT_OF_X = "    x, g = decayed(x, g, alpha=alpha, weight_decay=weight_decay, decay=decay)\n"
SHARE = '(h["lr"] if h["decay"] == "coupled" else 1)'
SHARE_OF_X = '(alpha * weight_decay if decay == "coupled" else weight_decay)'
LERP, GAP = "_foreach_lerp_(m, grads, 1 - beta1)", "surprise = torch._foreach_sub(grads, m)"
CORRECT_S = "        torch._foreach_div_(denominator, [(1 - beta2**step) ** 0.5 for step in t])\n"
CLIP = ".clamp(lower, upper)"
DECAY = "        torch._foreach_mul_(params, 1 - decay)\n"
STEP = "        adam_(params, grads, state, t, h)\n"
HYPER = 'lr, beta1, beta2 = h["lr"], h["beta1"], h["beta2"]\n    m, v'

MUTANTS = (
    # -- gradient descent ----------------------------------------------------------------------
    Mutant("climbs", "SGD", "alpha=-lr * undamped", "alpha=lr * undamped"),
    Mutant("a billionth more rate", "SGD", "-lr * undamped", "-lr * undamped * 1.000000001"),
    Mutant("no penalty", SGD_L2, OUT, "",
           ("sgd-l2-equals-decay",)),
    Mutant("no penalty", reference(SGD_L2), OUT_OF_X, "", ("sgd-l2-equals-decay",)),
    Mutant("no penalty", MOMENTUM_L2, OUT, "",
           ("momentum-l2-equals-decay", "momentum-l2-first-difference")),
    Mutant("dampening added", DAMPED, "undamped = 1 - (", "undamped = 1 + ("),
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
    Mutant("buffer adds up", EMA, '(momentum if h["ema"] else h["dampening"])', 'h["dampening"]',
           ("bias-correction-unbiased",)),
    Mutant("μ for 1 − μ", EMA, 'momentum if h["ema"]', '1 - momentum if h["ema"]',
           ("bias-correction-unbiased",), shown=False),
    Mutant("buffer adds up", reference(EMA), "1 - mu if ema else 1 - dampening", "1 - dampening",
           ("bias-correction-unbiased",)),
    Mutant("μ for 1 − μ", reference(EMA), "1 - mu if ema", "mu if ema",
           ("bias-correction-unbiased",), shown=False),
    # -- sign descent, Lion --------------------------------------------------------------------
    Mutant("no sign", "SignSGD", "torch._foreach_sign(m)", "m", ("scale-invariance", "sign-step-exact")),
    Mutant("climbs", "SignSGD", "alpha=-h", "alpha=h", ("sign-step-exact", "sign-step-is-lr")),
    Mutant("sign of the gradient", SIGNUM, "_foreach_sign(m)", "_foreach_sign(grads)",
           ("ema-unrolled", "bias-correction-unbiased")),
    Mutant("μ for 1 − μ", SIGNUM, "(m, 1 - mu)", "(m, mu)", ("bias-correction-unbiased",), shown=False),
    Mutant("buffer not faded", SIGNUM, "            torch._foreach_mul_(m, mu)\n", "",
           ("ema-unrolled", "bias-correction-unbiased")),
    Mutant("buffer adds up", SIGNUM, "(m, 1 - mu)", "(m, 1)",
           ("bias-correction-unbiased",), shown=False),  # x is the same
    Mutant("no sign", reference("SignSGD"), "m.sign()", "m", ("scale-invariance", "sign-step-exact")),
    Mutant("climbs", reference("SignSGD"), "x - alpha * m", "x + alpha * m",
           ("sign-step-exact", "sign-step-is-lr")),
    Mutant("sign of the old average", reference(SIGNUM), "* m.sign()",
           '* state["momentum_buffer"].sign()'),
    Mutant("average of signs", reference(SIGNUM), "(1 - mu) * g  #", "(1 - mu) * g.sign()  #",
           ("bias-correction-unbiased",)),
    Mutant("β2 for β1 in the step", LION, "(m, beta1)", "(m, beta2)"),
    Mutant("β1 for β2 in what is kept", LION, "mul_(m, beta2)", "mul_(m, beta1)",
           ("bias-correction-unbiased",)),
    Mutant("β1 for 1 − β1", LION, "(grads, 1 - beta1)", "(grads, beta1)"),
    Mutant("no sign", LION, "        torch._foreach_sign_(c)\n", "",
           ("scale-invariance", "sign-step-exact")),
    Mutant("no decay", LION, OUT, "", ("sign-box",)),
    Mutant("new m for the old", reference(LION), 'beta1 * state["exp_avg"]',
           'beta1 * (beta2 * state["exp_avg"] + (1 - beta2) * g)'),
    Mutant("c is kept", reference(LION), '"exp_avg": m}', '"exp_avg": c}'),
    Mutant("no sign", reference(LION), "c.sign()", "c", ("scale-invariance", "sign-step-exact")),
    Mutant("no decay", reference(LION), OUT_OF_X, "", ("sign-box",)),
    Mutant("decay after the step", reference(LION), "x = x - alpha * c.sign()",
           "x = x - alpha * (1 - alpha * weight_decay) * c.sign()", ("sign-step-exact", "sign-box")),
    # -- Adagrad -------------------------------------------------------------------------------
    Mutant("ε inside the root", ADAGRAD,
           f'        denominator = torch._foreach_sqrt(state["sum"])\n    {EPS}',
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
    Mutant("no ε", "RMSprop", '_foreach_add(denominator, h["eps"])', "_foreach_mul(denominator, 1)",
           ("scale-invariance", "scale-invariance-eps")),
    Mutant("squared mean added", CENTERED, "(v, g_avg, g_avg, -1)", "(v, g_avg, g_avg, 1)"),
    Mutant("ρ for 1 − ρ in the mean", CENTERED, "(g_avg, grads, 1 - rho)", "(g_avg, grads, rho)"),
    Mutant("rate inside the buffer too", CENTERED,
           "(b, grads, denominator)", "(b, grads, denominator, lr)"),
    Mutant("ρ for μ", CENTERED, 'mul_(b, h["momentum"])', "mul_(b, rho)"),
    Mutant("ε inside the root", reference("RMSprop"), "else v.sqrt() + eps", "else (v + eps).sqrt()",
           ("scale-invariance-eps",)),
    Mutant("mean not squared", reference(CENTERED), '["grad_avg"] ** 2', '["grad_avg"]',
           ("scale-invariance-eps",)),
    Mutant("no root", reference(CENTERED), "v.sqrt() + eps", "v + eps", ("scale-invariance-eps",)),
    Mutant("ε beside the root", INSIDE, 'if h["eps_inside"]', 'if not h["eps_inside"]'),
    Mutant("ε² inside", INSIDE, '(variance, h["eps"])', '(variance, h["eps"] ** 2)',
           ("rmsprop-epsilon",), shown=False),
    Mutant("ε beside the root", reference(INSIDE), "(v + eps).sqrt() if", "v.sqrt() + eps if"),
    Mutant("no root", reference(INSIDE), "(v + eps).sqrt() if", "v + eps if",
           ("uncorrected-first-step", "scale-invariance")),
    # -- Adadelta ------------------------------------------------------------------------------
    Mutant("ρ for 1 − ρ", "Adadelta", "(v, grads, grads, 1 - rho)", "(v, grads, grads, rho)",
           ("raw-v1-factor", "v-is-second-moment"), shown=False),
    Mutant("squares of gradients for those of steps", "Adadelta", "(w, d, d,", "(w, grads, grads,"),
    Mutant("steps without weight", "Adadelta", "(w, d, d, 1 - rho)", "(w, d, d)"),
    Mutant("no root of the steps", "Adadelta", "        torch._foreach_sqrt_(d)\n", ""),
    Mutant("no ε in the denominator", "Adadelta", "_foreach_add(v, eps)", "_foreach_mul(v, 1)"),
    Mutant("steps do not fade", "Adadelta", "        torch._foreach_mul_(w, rho)\n", ""),
    Mutant("ε beside the root", reference("Adadelta"), "(v + eps).sqrt()", "(v.sqrt() + eps)"),
    Mutant("steps with the rate", reference("Adadelta"), "* d**2", "* (alpha * d) ** 2"),
    Mutant("old squares in the denominator", reference("Adadelta"), "/ (v + eps)",
           '/ (state["square_avg"] + eps)'),
    Mutant("no root of the steps", reference("Adadelta"), '(state["acc_delta"] + eps).sqrt()',
           '(state["acc_delta"] + eps)'),
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
    Mutant("ε before the correction (ε̂)", "Adam", 'raw = h.get("eps_beside") == "raw"', "raw = True",
           ("eps-hat", "eps-hat-conversion")),
    Mutant("ε inside the root", "Adam", CORRECT + BESIDE, f"""\
    torch._foreach_pow_(denominator, 2)
    torch._foreach_div_(denominator, correction2)
{EPS}    torch._foreach_sqrt_(denominator)
""", ("first-step-exact", "scale-invariance-eps")),
    Mutant("no ε", "Adam", BESIDE, "", ("first-step-sign", "scale-invariance")),
    Mutant("g for m", "Adam", "(params, m, denominator, [", "(params, grads, denominator, [",
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
    Mutant("corrected", UNCORRECTED, 'if not h.get("bias_correction", True)', "if False",
           ("uncorrected-first-step", "uncorrected-steps-tiny")),
    Mutant("no ε", UNCORRECTED, f"True):\n    {EPS}", "True):\n",
           ("scale-invariance", "scale-invariance-eps")),
    Mutant("β1 for 1 − β1 in m", UNCORRECTED, "(m, grads, 1 - beta1)", "(m, grads, beta1)",
           ("uncorrected-first-step",)),
    Mutant("corrected", reference(UNCORRECTED), "if not bias_correction", "if bias_correction",
           ("uncorrected-first-step", "uncorrected-steps-tiny")),
    Mutant("ε inside the root", reference(UNCORRECTED),
           "alpha * m / (v.sqrt() + eps)", "alpha * m / (v + eps).sqrt()", ("scale-invariance-eps",)),
    Mutant("ε after the correction", RAW, 'raw = h.get("eps_beside") == "raw"', "raw = False"),
    Mutant("no ε", RAW, BESIDE_RAW, "", ("scale-invariance", "first-step-exact")),
    Mutant("ε after the correction", reference(RAW), 'if eps_beside == "raw"', "if False"),
    Mutant("correction not rooted", reference(RAW), "(1 - beta2**t) ** 0.5", "(1 - beta2**t)",
           ("first-step-exact", "step-bound-tight")),
    Mutant("m not corrected", reference(RAW), " ** 0.5 / (1 - beta1**t)", " ** 0.5",
           ("first-step-exact", "step-bound-tight")),
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
    Mutant("no decay", DECAYED, OUT, "", ("adamw-order", "adamw-lr-coupling")),
    Mutant("no decay", reference(DECAYED), OUT_OF_X, "", ("adamw-order", "adamw-lr-coupling")),
    # -- NAdam ---------------------------------------------------------------------------------
    Mutant("momenta of the step before", "NAdam", "], step) for", "], step - 1) for",
           ("nadam-weight-sum", "nadam-bias"), shown=False),
    Mutant("M not kept", "NAdam", "kept.fill_(number)", "pass", ("nadam-weight-sum", "nadam-bias")),
    Mutant("g not corrected", "NAdam", "(1 - a) / (1 - p)", "(1 - a)",
           ("nadam-weight-sum", "nadam-bias")),
    Mutant("m corrected as g", "NAdam", "/ (1 - p * a)", "/ (1 - p)",
           ("nadam-weight-sum", "nadam-bias")),
    Mutant("this momentum for the next", "NAdam", "zip(mu_next, product", "zip(mu, product",
           ("nadam-weight-sum", "nadam-bias"), shown=False),
    Mutant("v not corrected", "NAdam", CORRECT_S, "", ("nadam-weight-sum", "nadam-bias")),
    Mutant("averages with μ", "NAdam", 'if form == "dozat":', 'if form != "dozat":',
           ("nadam-weight-sum", "nadam-bias")),
    Mutant("averages with β1", DOZAT, 'if form == "dozat":', "if False:",
           ("nadam-weight-sum", "nadam-never-short")),
    Mutant("μ for 1 − μ", DOZAT, "[1 - a for a in mu]", "mu", ("nadam-weight-sum", "nadam-never-short")),
    Mutant("M a step ahead", CONSTANT, "[beta1**step for", "[beta1 ** (step + 1) for",
           ("nadam-weight-sum", "nadam-never-short")),
    Mutant("no look ahead", CONSTANT, "-lr * (1 - a) / (1 - p)", "0 * (1 - a) / (1 - p)",
           ("nadam-weight-sum", "nadam-never-short")),
    Mutant("this momentum for the next", reference("NAdam"), "mu_next * m_hat", "mu * m_hat",
           ("nadam-weight-sum", "nadam-bias"), shown=False),
    Mutant("m corrected as g", reference("NAdam"), "product * mu_next", "product",
           ("nadam-weight-sum", "nadam-bias")),
    Mutant("averages with μ", reference("NAdam"), 'mu if form == "dozat" else beta1', "mu",
           ("nadam-weight-sum", "nadam-bias")),
    Mutant("M from μ alone", reference("NAdam"), 'state["mu_product"] * mu', "mu",
           ("nadam-weight-sum", "nadam-bias")),
    Mutant("0.9 for 0.96", reference("NAdam"), "0.96 ** (t * psi)", "0.9 ** (t * psi)",
           ("nadam-weight-sum", "nadam-bias"), shown=False),
    Mutant("averages with β1", reference(DOZAT), 'mu if form == "dozat" else beta1', "beta1",
           ("nadam-weight-sum", "nadam-never-short")),
    Mutant("v not corrected", reference(DOZAT), "v / (1 - beta2**t)", "v",
           ("nadam-weight-sum", "nadam-never-short")),
    Mutant("m corrected as g", reference(CONSTANT), "beta1 ** (t + 1)", "beta1**t",
           ("nadam-weight-sum", "nadam-never-short")),
    Mutant("g not corrected", reference(CONSTANT), "g / (1 - product)", "g",
           ("nadam-weight-sum", "nadam-never-short")),
    # -- RAdam ---------------------------------------------------------------------------------
    # Three steps with plain numbers stay below the threshold, so that no run shows what is above it.
    Mutant("m not corrected below", "RAdam", "alpha=-lr / (1 - beta1**step)", "alpha=-lr",
           ("radam-first-step", "radam-rectifier")),
    Mutant("waits", "RAdam", 'h["before"] == "momentum"', 'h["before"] == "nothing"',
           ("radam-is-warmup",)),
    Mutant("threshold 4", "RAdam", 'rho > h["threshold"]', "rho > 4", shown=False),
    Mutant("not rectified", "RAdam", "-lr * rectifier(*lengths(beta2, t[k]))", "-lr",
           ("radam-rectifier",), shown=False),
    Mutant("m not corrected above", "RAdam", " ** 0.5 / (1 - beta1 ** t[k])", " ** 0.5",
           ("radam-rectifier",), shown=False),
    Mutant("correction not rooted", "RAdam", "(1 - beta2 ** t[k]) ** 0.5", "(1 - beta2 ** t[k])",
           ("radam-rectifier",),
           shown=False),
    Mutant("threshold 5", FOUR, 'rho > h["threshold"]', "rho > 5", shown=False),
    Mutant("rectified from the threshold on", FOUR, "rho > h", "rho >= h",
           ("radam-rho", "radam-rectifier"), shown=False),
    Mutant("does not wait", WAITS, 'h["before"] == "momentum"', "True", ("radam-is-warmup",)),
    Mutant("β1 for β2 on the old v", WAITS, "mul_(v, beta2)", "mul_(v, beta1)",
           ("raw-v1-factor", "v-is-second-moment"), shown=False),
    Mutant("m not corrected below", reference("RAdam"), "return alpha * m_hat", "return alpha * m",
           ("radam-first-step", "radam-rectifier")),
    Mutant("not rectified", reference("RAdam"), "(alpha * rectifier(rho, rho_inf))", "alpha",
           ("radam-rectifier",),
           shown=False),
    Mutant("ρ − 2 forgotten", reference("RAdam"), "(rho - 4) * (rho - 2)", "(rho - 4)",
           ("radam-rectifier",), shown=False),
    Mutant("ρ∞ one more", reference("RAdam"), "2 / (1 - beta2) - 1", "2 / (1 - beta2)",
           ("radam-rectifier",), shown=False),
    Mutant("ρ falls half as fast", reference(FOUR), "2 * t * beta2**t", "t * beta2**t",
           ("radam-rectifier",), shown=False),
    Mutant("ε under the root", reference(FOUR), "(v.sqrt() + eps)", "(v + eps).sqrt()",
           ("radam-rectifier",), shown=False),
    Mutant("does not wait", reference(WAITS), 'if before == "nothing"', "if False",
           ("radam-is-warmup",)),
    # -- Adamax --------------------------------------------------------------------------------
    Mutant("norm not faded", "Adamax", '        torch._foreach_mul_(u, h["beta2"])\n', "",
           ("adamax-limit",)),
    Mutant("norm corrected, too", "Adamax", "(1 - beta1**step) for",
           '(1 - beta1**step) * (1 - h["beta2"] ** step) for', ("adamax-limit",)),
    Mutant("m not corrected", "Adamax", "[-lr / (1 - beta1**step) for", "[-lr for", ("adamax-limit",)),
    Mutant("no ε", "Adamax", '        torch._foreach_add_(size, h["eps"])\n', "",
           ("scale-invariance", "adamax-limit")),
    Mutant("ε outside the maximum", reference("Adamax"), "* m / u", "* m / (u + eps)",
           ("adamax-limit",)),
    Mutant("g² for |g|", reference("Adamax"), "g.abs() + eps", "g**2 + eps",
           ("adamax-limit", "scale-invariance")),
    Mutant("β1 for β2", reference("Adamax"), 'beta2 * state["exp_inf"]', 'beta1 * state["exp_inf"]',
           ("adamax-limit",)),
    Mutant("old norm", reference("Adamax"), "* m / u", '* m / (state["exp_inf"] + eps)',
           ("adamax-limit",)),
    Mutant("m not corrected", reference("Adamax"), "alpha / (1 - beta1**t)", "alpha", ("adamax-limit",)),
    # -- AdaBelief -----------------------------------------------------------------------------
    Mutant("distance to the old m", "AdaBelief", f"torch.{LERP}\n        {GAP}",
           f"{GAP}\n        torch.{LERP}", ("adabelief-factor", "adabelief-is-variance")),
    Mutant("Adam's square", "AdaBelief", "(s, surprise, surprise", "(s, grads, grads",
           ("adabelief-factor", "adabelief-is-variance")),
    Mutant("no ε in the average", "AdaBelief", 'if h["eps_in_average"]', 'if not h["eps_in_average"]',
           ("adabelief-epsilon-sum", "adabelief-epsilon")),
    Mutant("s not corrected", "AdaBelief", CORRECT_S, ""),
    Mutant("ε in the average", OUTSIDE, 'if h["eps_in_average"]', 'if not h["eps_in_average"]',
           ("scale-invariance", "scale-invariance-eps")),
    Mutant("no ε", OUTSIDE, f"    {EPS}        torch._foreach_addcdiv_",
           "        torch._foreach_addcdiv_", ("scale-invariance", "scale-invariance-eps")),
    Mutant("distance to the old m", reference("AdaBelief"), "(g - m) ** 2",
           '(g - state["exp_avg"]) ** 2', ("adabelief-factor", "adabelief-is-variance")),
    Mutant("ε not beside the root", reference("AdaBelief"), "(s_hat.sqrt() + eps)", "s_hat.sqrt()"),
    Mutant("ε after the correction", reference("AdaBelief"), "s / (1 - beta2**t)",
           "(s - eps) / (1 - beta2**t) + eps"),
    Mutant("ε in the average", reference(OUTSIDE), "if eps_in_average:", "if not eps_in_average:",
           ("scale-invariance", "scale-invariance-eps")),
    Mutant("s not corrected", reference(OUTSIDE), "s / (1 - beta2**t)", "s"),
    # -- AdaBound, AMSBound --------------------------------------------------------------------
    Mutant("bounds swapped", "AdaBound", "bounds(final, gamma, step) for",
           "bounds(final, gamma, step)[::-1] for"),
    Mutant("bounds about the first rate", "AdaBound", "bounds(final, gamma, step) for",
           "bounds(lr, gamma, step) for", ("adabound-limits", "scale-invariance")),
    Mutant("no lower bound", "AdaBound",
           "        torch._foreach_clamp_min_(rates, [lower for lower, _ in both])\n", "",
           ("adabound-limits",)),
    Mutant("no upper bound", "AdaBound",
           "        torch._foreach_clamp_max_(rates, [upper for _, upper in both])\n", "",
           ("adabound-limits",)),
    Mutant("not corrected", "AdaBound", "[rate_of_adam(lr, beta1, beta2, step) for", "[lr for"),
    Mutant("g for m", "AdaBound", "(params, rates, m, -1)", "(params, rates, grads, -1)",
           ("adabound-limits",)),
    Mutant("falls as 1/t", SQRT, "[step**0.5 for", "[step for",
           ("adabound-limits", "adabound-rate-monotone")),
    Mutant("corrected", SQRT, 'h["schedule"] == "constant"', "True"),
    Mutant("lower bound as the upper", reference("AdaBound"), "1 / (gamma * t + 1)", "1 / (gamma * t)"),
    Mutant("corrected outside the bounds", reference("AdaBound"),
           'x - rate * m, {"exp_avg": m, "exp_avg_sq": v}',
           'x - rate * m / (1 - beta1**t), {"exp_avg": m, "exp_avg_sq": v}', ("adabound-limits",)),
    Mutant("no upper bound", reference("AdaBound"), f"(v.sqrt() + eps)){CLIP}",
           "(v.sqrt() + eps)).clamp(lower)", ("adabound-limits",)),
    Mutant("no lower bound", reference("AdaBound"), f"(v.sqrt() + eps)){CLIP}",
           "(v.sqrt() + eps)).clamp(max=upper)", ("adabound-limits",)),
    Mutant("clipped after the fall", reference(SQRT), f"(alpha / v.sqrt()){CLIP} / t**0.5",
           f"(alpha / v.sqrt() / t**0.5){CLIP}", ("adabound-rate-monotone",)),
    Mutant("does not fall", reference(SQRT), f"(alpha / v.sqrt()){CLIP} / t**0.5",
           f"(alpha / v.sqrt()){CLIP}", ("adabound-rate-monotone",)),
    Mutant("no maximum", "AMSBound", "v if v_max is None else v_max", "v"),
    Mutant("minimum", "AMSBound", "_foreach_maximum_(v_max", "_foreach_minimum_(v_max"),
    Mutant("bounds swapped", "AMSBound", "bounds(final, gamma, step) for",
           "bounds(final, gamma, step)[::-1] for"),
    Mutant("no maximum", reference("AMSBound"), "(v_max.sqrt() + eps)", "(v.sqrt() + eps)"),
    Mutant("maximum with the last v only", reference("AMSBound"), '"max_exp_avg_sq": v_max}',
           '"max_exp_avg_sq": v.clone()}', ("raw-v1-factor", "v-is-second-moment")),
    Mutant("upper bound as the lower", reference("AMSBound"), "1 / (gamma * t))",
           "1 / (gamma * t + 1))"),
    # -- what they share -----------------------------------------------------------------------
    Mutant("counts by two", "Adam", "_foreach_add_(steps, 1)", "_foreach_add_(steps, 2)",
           ("first-step-exact",), file="base"),
    Mutant("climbs", "SGD", '(grads) if h["maximize"]', '(grads) if not h["maximize"]',
           file="base"),
    Mutant("a step ahead", "AdamW", "[step.item() for", "[step.item() + 1 for",
           ("adamw-box", "adamw-fixed-point"), file="base"),
    Mutant("state not kept", reference("Adam"), "rows.put(buffer, new[name])", "pass",
           ("ema-unrolled", "bias-correction-unbiased"), file="base"),
    Mutant("counts by two", reference("Adam"), 'state["step"] += 1', 'state["step"] += 2',
           ("first-step-exact",), file="base"),
    Mutant("climbs", reference("RMSprop"), 'gradient if h["maximize"]', 'gradient if not h["maximize"]',
           file="base"),
    Mutant("M not kept", reference("NAdam"), "state[name].fill_(new[name])", "pass",
           ("nadam-weight-sum", "nadam-bias"), file="base"),
    Mutant("penalty subtracted", ADAM_L2, "alpha=weight_decay)", "alpha=-weight_decay)",
           ("adam-l2-first-step", "l2-fixed-points"), file="decay"),
    Mutant("penalty subtracted", SGD_L2, "alpha=weight_decay)", "alpha=-weight_decay)",
           ("sgd-l2-equals-decay",), file="decay"),
    Mutant("penalty subtracted", reference(SGD_L2), "g + weight_decay", "g - weight_decay",
           ("sgd-l2-equals-decay",), file="decay"),
    Mutant("paper's decay", COUPLED, SHARE, "1", file="decay"),
    Mutant("paper's decay", DECAYED, SHARE, "1", ("adamw-lr-coupling",), file="decay"),
    Mutant("frameworks' decay", UNCOUPLED_SGD, SHARE, 'h["lr"]', file="decay"),
    Mutant("grows", COUPLED, "1 - share", "1 + share", file="decay"),
    Mutant("grows", LION, "1 - share", "1 + share", ("sign-step-exact", "sign-box"), file="decay"),
    Mutant("decay in the gradient, too", LION, "return grads\n\n\n",
           'return l2(grads, params, h["weight_decay"])\n\n\n',
           ("scale-invariance", "bias-correction-unbiased"), file="decay"),
    Mutant("paper's decay", reference(COUPLED), SHARE_OF_X, "weight_decay", file="decay"),
    Mutant("paper's decay", reference(LION), SHARE_OF_X, "weight_decay", file="decay"),
    Mutant("paper's decay", reference(DECAYED), SHARE_OF_X, "weight_decay",
           ("adamw-lr-coupling",), file="decay"),
    Mutant("frameworks' decay", reference(UNCOUPLED_SGD), SHARE_OF_X, "(alpha * weight_decay)",
           file="decay"),
    Mutant("grows", reference(LION), f"x - {SHARE_OF_X}", f"x + {SHARE_OF_X}",
           ("sign-step-exact", "sign-box"), file="decay"),
)  # fmt: skip
