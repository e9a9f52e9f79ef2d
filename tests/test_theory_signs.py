"""Rules that look at signs, and weight decay that is put into a rule: against code written by hand."""

import itertools
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch

from adamproof.proofs_check.build import Recipe
from adamproof.proofs_check.judge import SAME_RULE, Judge
from adamproof.proofs_check.subjects import Subject, UnknownSubject, resolve
from adamproof.theory.catalogue import claims
from adamproof.theory.faithful import paper_of
from adamproof.theory.records import Verdict
from adamproof.theory.roles import same
from adamproof.theory.rule import Rule
from adamproof.theory.rules import RULES, known, named
from adamproof.theory.rules_decay import FORMS, with_decay
from adamproof.theory.sign_steps import sign_move
from adamproof.theory.symbols import alpha, lambda_, x

PROVED, REFUTED = Verdict.PROVED, Verdict.REFUTED
POINT = {"alpha": Fraction(1, 8), "beta1": Fraction(7, 8), "beta2": Fraction(15, 16),
         "mu": Fraction(3, 4), "lambda_": Fraction(1, 2), "psi": Fraction(1)}  # fmt: skip


def sign(value: Fraction) -> int:
    return (value > 0) - (value < 0)


# -- the rules by hand -----------------------------------------------------------------------------


def lion(gradients: list[Fraction], start: Fraction, p: dict[str, Fraction]) -> list[Fraction]:
    """Chen et al. (2023), Algorithm 2, as it is printed."""
    m, where, out = Fraction(0), start, [start]
    for g in gradients:
        c = p["beta1"] * m + (1 - p["beta1"]) * g
        where -= p["alpha"] * (sign(c) + p["lambda_"] * where)
        m = p["beta2"] * m + (1 - p["beta2"]) * g
        out.append(where)
    return out


def signum(gradients: list[Fraction], start: Fraction, p: dict[str, Fraction]) -> list[Fraction]:
    """Bernstein et al. (2018), Algorithm 2."""
    m, where, out = Fraction(0), start, [start]
    for g in gradients:
        m = p["mu"] * m + (1 - p["mu"]) * g
        where -= p["alpha"] * sign(m)
        out.append(where)
    return out


def sign_sgd(gradients: list[Fraction], start: Fraction, p: dict[str, Fraction]) -> list[Fraction]:
    """Bernstein et al. (2018), Algorithm 1."""
    steps = (-p["alpha"] * sign(g) for g in gradients)
    return list(itertools.accumulate(steps, initial=start))


def averaged(gradients: list[Fraction], start: Fraction, p: dict[str, Fraction]) -> list[Fraction]:
    b, where, out = Fraction(0), start, [start]
    for g in gradients:
        b = p["mu"] * b + (1 - p["mu"]) * g
        where -= p["alpha"] * b
        out.append(where)
    return out


BY_HAND: dict[str, Callable[..., list[Fraction]]] = {
    "lion": lion, "sign+momentum": signum, "sign": sign_sgd, "sgd+ema": averaged,
    "lion-undecayed": lambda g, start, p: lion(g, start, {**p, "lambda_": Fraction(0)}),
}  # fmt: skip


def drawn(seed: int, steps: int = 30) -> list[Fraction]:
    draw = random.Random(seed)
    return [Fraction(draw.choice((0, 1, -1, 3, -5, 8)), draw.choice((1, 4))) for _ in range(steps)]


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("seed", range(3))
def test_a_rule_is_what_the_paper_prints(name: str, seed: int) -> None:
    gradients, start = drawn(seed), Fraction(5, 3)
    told = BY_HAND[name](gradients, start, POINT)
    run = paper_of(name).run(POINT, gradients, start).x
    assert [(v.lo, v.hi) for v in run] == [(v, v) for v in told]


def test_dozats_nadam_by_hand() -> None:
    """Dozat (2016), Algorithm 2, at ψ = 1 with g constant over the second moment's root: eps = 0."""
    b1, b2, rate = POINT["beta1"], POINT["beta2"], POINT["alpha"]
    base, gradients = Fraction(96, 100), [Fraction(2), Fraction(-2), Fraction(2)]  # v̂ = 4
    m, product, where, out = Fraction(0), Fraction(1), Fraction(0), [Fraction(0)]
    for t, g in enumerate(gradients, start=1):
        mu, after = (b1 * (1 - base**k / 2) for k in (t, t + 1))
        product *= mu
        m = mu * m + (1 - mu) * g
        bar = (1 - mu) * g / (1 - product) + after * m / (1 - product * after)
        where -= rate * bar / 2
        out.append(where)
    assert b2 > 0
    run = paper_of("nadam-dozat").run({**POINT, "eps": Fraction(0)}, gradients).x
    assert [(v.lo, v.hi) for v in run] == [(v, v) for v in out]


def test_radam_that_waits_stands_still_and_then_does_what_radam_does() -> None:
    point = {**POINT, "beta2": Fraction(3, 4), "eps": Fraction(1)}  # rectified from step 8 on
    idle, moving = (paper_of(n).run(point, [Fraction(1)] * 10) for n in ("radam-idle", "radam"))
    assert all(v.lo == v.hi == 0 for v in idle.x[:8])
    assert [v.lo for v in idle.state["exp_avg"]] == [v.lo for v in moving.state["exp_avg"]]
    for t in (8, 9, 10):
        gap = (idle.x[t] - idle.x[t - 1]) - (moving.x[t] - moving.x[t - 1])
        assert idle.x[t].hi < idle.x[t - 1].lo
        assert gap.lo <= 0 <= gap.hi


# -- weight decay put into a rule ------------------------------------------------------------------

#: A rule that is written by hand, and the rule and the form of decay that it is.
WRITTEN = {
    "sgd+l2": ("sgd", "+l2"),
    "sgd+decay": ("sgd", "+decay-uncoupled"),
    "sgd+decay-coupled": ("sgd", "+decay"),
    "sgd+momentum+l2": ("sgd+momentum", "+l2"),
    "sgd+momentum+decay": ("sgd+momentum", "+decay-uncoupled"),
    "sgd+momentum+decay-coupled": ("sgd+momentum", "+decay-coupled"),
    "adagrad+l2": ("adagrad", "+l2"),
    "rmsprop+l2": ("rmsprop", "+l2"),
    "adam+l2": ("adam", "+l2"),
    "adamw": ("adam", "+decay"),
    "adamw-uncoupled": ("adam", "+decay-uncoupled"),
    "amsgrad+l2": ("amsgrad", "+l2"),
    "amsgrad-after-max+decay": ("amsgrad-after-max", "+decay"),
    "lion": ("lion-undecayed", "+decay"),
}


def equal(one: Rule, other: Rule) -> bool:
    """Line by line, in the same state from the same start."""
    return dict(one.initial) == dict(other.initial) and all(
        a.when == b.when and all(same(one, a.new[n], b.new[n]) for n in (*one.initial, "x"))
        for a, b in zip(one.regimes, other.regimes, strict=True)
    )


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_by_hand_is_the_decay_put_in(name: str) -> None:
    base, form = WRITTEN[name]
    assert equal(named(name), with_decay(named(base), form))
    for other in set(FORMS) - {form}:
        alike = {form, other} == {"+decay", "+decay-coupled"}
        alike = alike or ({form, other} <= {"+l2", "+decay", "+decay-coupled"} and base == "sgd")
        assert equal(named(name), with_decay(named(base), other)) == alike, other


def test_every_rule_with_decay_is_known_to_be_one() -> None:
    with_lambda = {n for n in RULES if "lambda_" in named(n).hyper}
    assert with_lambda == set(WRITTEN)
    for name in RULES:
        for form in FORMS:
            told = name + form in RULES or (name not in with_lambda and not (
                form == "+decay" and name.startswith("sgd")))  # fmt: skip
            assert known(name + form) == told, name + form
            if told and name + form not in RULES:
                assert named(name + form).name == name + form


@pytest.mark.parametrize("name", ["nadam", "radam-idle", "adabound", "amsbound", "sign", "adadelta"])
def test_the_forms_of_decay_do_what_they_say(name: str) -> None:
    plain = named(name)
    for form, lost in (("+decay", alpha * lambda_), ("+decay-uncoupled", lambda_)):
        for a, b in zip(plain.regimes, named(name + form).regimes, strict=True):
            assert same(plain, b.new["x"], a.new["x"] - lost * x)
            assert all(a.new[n] == b.new[n] for n in plain.initial)
    l2 = named(f"{name}+l2")
    gradients, start = [Fraction(2), Fraction(-1)], Fraction(3)
    ran = l2.run({**POINT, "eps": Fraction(1, 4)}, gradients, start)
    entered = [g + POINT["lambda_"] * at.lo for g, at in zip(gradients, ran.x, strict=False)]
    told = plain.run({**POINT, "eps": Fraction(1, 4)}, entered[:1], start)
    gap = ran.x[1] - told.x[1]  # of AdaDelta it is an enclosure
    assert gap.lo <= 0 <= gap.hi < Fraction(1, 1 << 200)
    assert l2.domains == plain.domains


def test_names_that_are_no_rule_say_why() -> None:
    for name, told in {
        "sgd+momentum+nesterov+decay": r"could be two rules; write sgd\+momentum\+nesterov\+decay-c",
        "adamw+l2": "adamw has a weight decay already",
        "lion+decay": "lion has a weight decay already",
        "nadam+dekay": "did you mean nadam",
        "nope+l2": "may end in \\+l2",
    }.items():
        assert not known(name)
        with pytest.raises(UnknownSubject, match=told):
            resolve("torch.optim:NAdam", (), name)
    with pytest.raises(ValueError, match="comes as"):
        with_decay(named("adam"), "+l1")


@pytest.mark.parametrize(
    ("text", "options", "against"),
    [
        ("torch.optim:NAdam", ["weight_decay=0.1"], "nadam+l2"),
        ("torch.optim:NAdam", ["weight_decay=0.1", "decoupled_weight_decay=True"], "nadam+decay"),
        ("torch.optim:RAdam", ["weight_decay=0.1", "decoupled_weight_decay=True"], "radam+decay"),
        ("torch.optim:Adamax", ["weight_decay=0.1"], "adamax+l2"),
        ("torch.optim:Adadelta", ["weight_decay=0.1"], "adadelta+l2"),
    ],
)
def test_torch_runs_the_rule_with_decay(text: str, options: list[str], against: str) -> None:
    judge, claim = Judge(), claims()[SAME_RULE]
    assert judge.finding(claim, resolve(text, options, against)).verdict is PROVED
    base, _, form = against.rpartition("+")
    wrong = f"{base}+{'l2' if form == 'decay' else 'decay'}"
    assert judge.finding(claim, resolve(text, options, wrong)).verdict is REFUTED


# -- claims about signs, on code -------------------------------------------------------------------


class Lion(torch.optim.Optimizer):
    """Chen et al. (2023), Algorithm 2."""

    def __init__(self, params: Any, lr: float = 1e-3, betas: Any = (0.9, 0.99),
                 weight_decay: float = 0.1, late: bool = False) -> None:  # fmt: skip
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))
        self.late = late

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                if not self.late:
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(m.lerp(p.grad, 1 - beta1).sign_(), alpha=-group["lr"])
                if self.late:
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                m.lerp_(p.grad, 1 - beta2)


def test_rules_that_move_by_a_sign() -> None:
    found = {n: m.shrinks for n in RULES if (m := sign_move(paper_of(n)))}
    assert found == {"sign": 0, "sign+momentum": 0, "lion-undecayed": 0, "lion": alpha * lambda_}
    uncoupled = sign_move(named("sign+momentum+decay-uncoupled"))
    assert uncoupled is not None
    assert uncoupled.shrinks == lambda_
    assert sign_move(named("sign+l2")) is not None


@pytest.mark.parametrize(
    ("late", "verdicts"),
    [
        (False, {SAME_RULE: PROVED, "sign-step-is-lr": REFUTED, "sign-step-exact": PROVED,
                 "sign-box": PROVED, "scale-invariance": PROVED, "sign-descent": PROVED,
                 "rotation-quarter-turns": PROVED, "adaptive-nullspace": REFUTED}),
        # the moved parameter decays: (1−αλ)·(x − α·sign) is another rule
        (True, {SAME_RULE: REFUTED, "sign-step-exact": Verdict.NOT_APPLICABLE,
                "scale-invariance": PROVED}),
    ],
)  # fmt: skip
def test_claims_about_lion_on_code(late: bool, verdicts: dict[str, Verdict]) -> None:
    subject = Subject("lion", "user", Recipe(Lion, {"late": late}), "lion")
    judge = Judge()
    assert {c: judge.finding(claims()[c], subject).verdict for c in verdicts} == verdicts


@pytest.mark.parametrize("name", ["sign+l2", "sign+momentum+decay-uncoupled", "lion-undecayed+l2",
                                  "sign+decay"])  # fmt: skip
def test_claims_about_signs_are_decided_for_rules_with_decay(name: str) -> None:
    judge, subject = Judge(), Subject(f"paper:{name}", "paper", against=name)
    found = {id: judge.finding(claims()[id], subject).verdict
             for id in ("sign-step-is-lr", "sign-step-exact", "sign-box")}  # fmt: skip
    box = Verdict.NOT_APPLICABLE if name.endswith("+l2") else PROVED
    assert found == {"sign-step-is-lr": REFUTED, "sign-step-exact": PROVED, "sign-box": box}


def test_the_box_is_left_by_a_decay_that_is_too_large() -> None:
    """With αλ > 1 the parameter is thrown over to the other side."""
    point = {**POINT, "alpha": Fraction(4), "lambda_": Fraction(1)}
    rates = (Fraction(1, 4), Fraction(1))
    inside, outside = (lion([Fraction(1)] * 3, Fraction(1), {**point, "lambda_": v}) for v in rates)
    assert max(map(abs, inside)) <= 4
    assert max(map(abs, outside)) > 1
