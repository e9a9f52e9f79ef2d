"""The other beliefs, seen on real optimizers and by brute force, apart from the claims' own runs."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any

import pytest
import sympy as sp
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from adamproof.proofs_check import skipped
from adamproof.proofs_check.build import Recipe
from adamproof.proofs_check.judge import Judge
from adamproof.proofs_check.subjects import Subject, builtin
from adamproof.theory.catalogue import claims
from adamproof.theory.faithful import paper_of
from adamproof.theory.invariance import answer, linear, scaled
from adamproof.theory.kinship import step_momentum
from adamproof.theory.records import Finding, Level, Verdict
from adamproof.theory.rule import Regime, Rule
from adamproof.theory.symbols import alpha, eps, g, lambda_, mu, old, x

pytestmark = pytest.mark.usefixtures("double")

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
FEW = settings(max_examples=12, deadline=None)
TOLERANCE = 1e-9

Make = Callable[[list[Tensor]], torch.optim.Optimizer]
ADAM: Make = lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.9), eps=1e-3)  # noqa: E731
SGD: Make = lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9)  # noqa: E731


def fed(make: Make, gradients: Iterable[Any], start: Any, device: str = "cpu") -> list[Tensor]:
    """Return x_0, x_1, … of an optimizer that is given these gradients (None: no gradient)."""
    param = torch.nn.Parameter(torch.tensor(start, device=device))
    optimizer = make([param])
    path = [param.detach().clone()]
    for gradient in gradients:
        param.grad = None if gradient is None else torch.tensor(gradient, device=device)
        optimizer.step()
        path.append(param.detach().clone())
    return path


def trained(make: Make, loss: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Tensor:
    param = torch.nn.Parameter(start.clone())
    optimizer = make([param])
    for _ in range(steps):
        optimizer.zero_grad()
        loss(param).backward()
        optimizer.step()
    return param.detach()


GRADIENT = st.floats(-4, 4).filter(lambda v: abs(v) > 0.1)
GRADIENTS = st.lists(GRADIENT, min_size=6, max_size=6)


# -- what is proved and what is refuted ------------------------------------------------------------

VERDICTS = [
    ("rotation-invariance", "sgd+momentum+nesterov", "proved"),
    ("rotation-invariance", "adam", "refuted"),
    ("rotation-invariance", "radam", "refuted"),
    ("rotation-quarter-turns", "adam", "proved"),
    ("rotation-quarter-turns", "nadam", "proved"),
    ("rotation-quarter-turns", "radam", "proved"),
    ("rotation-quarter-turns", "adadelta", "proved"),
    ("rotation-quarter-turns", "sgd", "not applicable"),
    ("scale-invariance", "radam", "refuted"),
    ("scale-invariance", "amsbound", "refuted"),
    ("scale-invariance", "rmsprop+eps-inside", "refuted"),
    ("scale-invariance", "sgd", "not applicable"),
    ("scale-covariance", "adam+l2", "proved"),
    ("scale-invariance-eps", "nadam", "proved"),
    ("scale-invariance-eps", "adam+l2", "not applicable"),
    ("constant-factor-harmless", "adamax", "proved"),
    ("constant-factor-harmless", "adamw", "proved"),
    ("constant-factor-harmless", "adam+l2", "refuted"),
    ("loss-scale-is-penalty", "adamw", "not applicable"),
    ("clipping-is-harmless", "adagrad", "refuted"),
    ("clipping-is-harmless", "adam", "refuted"),
    ("clipping-is-harmless", "sgd", "not applicable"),
    ("clipping-harmless-iff", "adamw", "proved"),
    ("clipping-harmless-iff", "adam+l2", "not applicable"),
    ("sqrt-batch-scaling", "adam", "refuted"),
    ("sqrt-batch-scaling-noise", "rmsprop+momentum", "proved"),
    ("large-epsilon-is-momentum", "adam", "proved"),
    ("large-epsilon-is-momentum", "adamw", "not applicable"),
    ("adam-is-rmsprop-momentum", "rmsprop+momentum", "refuted"),
    ("adam-is-rmsprop-gradient-momentum", "adam", "proved"),
    ("adagrad-as-adam", "adagrad", "proved"),
    ("adagrad-limit-of-adam", "adam", "proved"),
    ("adamax-limit", "adamax", "proved"),
    ("zero-gradient-no-update", "rmsprop", "proved"),
    ("zero-gradient-no-update", "adam", "refuted"),
    ("zero-gradient-no-update", "sgd+decay", "refuted"),
    ("zero-gradient-what-moves", "adam+l2", "proved"),
    ("zero-gradient-what-moves", "rmsprop+l2", "proved"),
    ("zero-gradient-what-moves", "amsbound", "proved"),
    ("zero-gradient-what-moves", "rmsprop+centered", "not applicable"),
    ("adam-l2-first-step", "adam+l2", "proved"),
    ("l2-decay-derivative", "adam+l2", "proved"),
    ("l2-decay-derivative", "adamw", "not applicable"),
    ("l2-limits-stationary", "adam+l2", "proved"),
    ("l2-limits-stationary", "adamw", "not applicable"),
    ("l2-fixed-points", "adamw-uncoupled", "refuted"),
    ("adamw-fixed-point", "amsgrad-after-max+decay", "proved"),
    ("adamw-box", "adamw-uncoupled", "proved"),
    ("adamw-lr-coupling", "adamw-uncoupled", "proved"),
    ("adamw-schedule-decoupled", "adamw-uncoupled", "refuted"),
    ("adamw-schedule-decoupled", "adamw", "refuted"),
    ("v-is-curvature", "adam", "refuted"),
    ("v-is-fisher-when", "adam", "proved"),
    ("corrected-step-unbiased", "adam", "refuted"),
    ("corrected-step-bias", "adam", "proved"),
]


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge()


def found(judge: Judge, claim: str, name: str) -> Finding:
    return judge.finding(claims()[claim], Subject(f"paper:{name}", "paper", against=name))


@pytest.mark.parametrize(("claim", "name", "verdict"), VERDICTS)
def test_verdict(judge: Judge, claim: str, name: str, verdict: str) -> None:
    finding = found(judge, claim, name)
    assert str(finding.verdict) == verdict, finding.reason
    assert finding.verdict is Verdict.NOT_APPLICABLE or finding.level is Level.EXACT
    if finding.verdict is Verdict.REFUTED:
        assert found(judge, claims()[claim].repaired_by, name).verdict is Verdict.PROVED


def changed(name: str, **lines: Callable[[Any], Any]) -> Rule:
    """Return a paper's rule with some of its lines replaced."""
    rule = paper_of(name)
    new = {n: lines[n](e) if n in lines else e for n, e in rule.late.new.items()}
    return Rule(f"{name}, changed", rule.initial, (Regime(new),))


MUTANTS = [
    ("rotation-invariance", changed("sgd", x=lambda e: e.xreplace({g: g * sp.Abs(g)}))),
    ("rotation-quarter-turns", changed("adam", exp_avg=lambda e: e + 1)),
    ("clipping-harmless-iff", changed("adam", exp_avg_sq=lambda e: e + 1)),
    ("sqrt-batch-scaling-noise", changed("adam", x=lambda e: e - eps)),
    ("large-epsilon-is-momentum", changed("adam", x=lambda e: e.xreplace({eps: eps**2}))),
    ("adam-is-rmsprop-gradient-momentum", changed("adam", x=lambda e: 2 * e)),
    ("adagrad-as-adam", changed("adagrad", sum=lambda e: e + g**2)),
    ("adamax-limit", changed("adamax", exp_inf=lambda e: e.subs(eps, 0) + eps)),
    ("zero-gradient-no-update", changed("sgd", x=lambda e: e + 1)),
    ("zero-gradient-what-moves", changed("radam", x=lambda e: e + x)),
    ("scale-covariance", changed("amsbound", x=lambda e: e - eps)),
    ("scale-invariance-eps", changed("nadam", mu_product=lambda e: e * g)),
    ("constant-factor-harmless", changed("adagrad", sum=lambda e: e + eps)),
    ("loss-scale-is-penalty", changed("adam+l2", exp_avg=lambda e: e + x)),
    ("adam-l2-first-step", changed("adam+l2", x=lambda e: e - alpha * lambda_ * x)),
    ("l2-decay-derivative", changed("adam+l2", exp_avg_sq=lambda e: e.xreplace({lambda_: 2 * lambda_}))),
    ("l2-limits-stationary", changed("adam+l2", x=lambda e: e - alpha * lambda_ * x)),
    ("adamw-fixed-point", changed("adamw", exp_avg_sq=lambda e: e + 1)),
    ("adamw-box", changed("adamw-uncoupled", x=lambda e: e - lambda_ * x)),
    ("adamw-schedule-exact", changed("adamw", x=lambda e: e - alpha**2)),
    ("v-is-fisher-when", changed("adam", exp_avg_sq=lambda e: e.xreplace({g**2: sp.Abs(g)}))),
    ("corrected-step-bias", changed("adam", x=lambda e: e - 1)),
]


@pytest.mark.parametrize(("claim", "rule"), MUTANTS, ids=[claim for claim, _ in MUTANTS])
def test_what_is_proved_is_not_proved_of_another_rule(judge: Judge, claim: str, rule: Rule) -> None:
    on_rule = judge.on_rule(claims()[claim], rule)
    assert not (on_rule.applies and on_rule.proved)


def test_a_state_that_does_not_start_at_zero_takes_no_factor() -> None:
    """mu_product starts at 1: it answers by 1, though its line alone would take any factor."""
    c = sp.Symbol("c", positive=True)
    found = answer(paper_of("nadam"), {g: c * g, eps: c * eps}, (c, c**2, sp.Integer(1)))
    assert found == {"mu_product": 1, "exp_avg": c, "exp_avg_sq": c**2}
    assert scaled(paper_of("nadam")) is not None
    assert scaled(paper_of("sgd")) is None
    assert linear(paper_of("sgd+momentum+late-dampening"))
    assert not linear(paper_of("radam"))


# -- invariance ------------------------------------------------------------------------------------


def turned(angle: float) -> Tensor:
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s], [s, c]])


def gap_after_turn(make: Make, angle: float, curvature: float, device: str) -> float:
    """Train on a quadratic and on the turned one; how far are the turned ends apart?"""
    hessian = torch.tensor([[curvature, 0.5], [0.5, 1.0]], device=device)
    turn, start = turned(angle).to(device), torch.tensor([1.0, 2.0], device=device)
    end = trained(make, lambda p: p @ hessian @ p / 2, start, 6)
    other = trained(make, lambda p: p @ turn @ hessian @ turn.T @ p / 2, turn @ start, 6)
    return float((turn @ end - other).abs().max())


@pytest.mark.parametrize("device", DEVICES)
@given(angle=st.floats(0.2, 1.3), curvature=st.floats(1, 5))
@FEW
def test_sgd_turns_with_the_problem_and_adam_does_not(
    device: str, angle: float, curvature: float
) -> None:
    assert gap_after_turn(SGD, angle, curvature, device) < TOLERANCE
    assert gap_after_turn(ADAM, math.pi / 2, curvature, device) < TOLERANCE
    assert gap_after_turn(ADAM, angle, curvature, device) > 1e-3


@given(gs=GRADIENTS, factor=st.floats(0.1, 10))
@FEW
def test_a_fixed_loss_scale_is_harmless_and_clipping_is_not(gs: list[float], factor: float) -> None:
    make: Make = lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.9), eps=0.0)  # noqa: E731
    plain = fed(make, gs, 1.0)
    scaled_ = fed(make, [factor * v for v in gs], 1.0)
    assert all(abs(a - b) < TOLERANCE for a, b in zip(plain, scaled_, strict=True))
    gs = [0.5, 8.0, *gs[2:]]
    limit = torch.nn.utils.clip_grad_norm_
    clipped = []
    for v in gs:
        one = torch.nn.Parameter(torch.tensor(0.0))
        one.grad = torch.tensor(v)
        limit([one], 1.0)
        clipped.append(float(one.grad))
    assert abs(fed(make, gs, 1.0)[2] - fed(make, clipped, 1.0)[2]) > 1e-4


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_the_second_moment_of_a_batch(batch: int) -> None:
    """All batches of a two-point distribution, in fractions, through Adam's own line."""
    mean, sigma, rule = Fraction(1), Fraction(3, 2), paper_of("adam")
    draws = [sum(d, Fraction(0)) / batch for d in itertools.product((mean - sigma, mean + sigma),
                                                                   repeat=batch)]  # fmt: skip
    total = sum(
        (rule.run({"eps": Fraction(1)}, pair).state["exp_avg_sq"][2].lo
         for pair in itertools.product(draws, repeat=2)), Fraction(0)
    )  # fmt: skip
    v_hat = total / len(draws) ** 2 / (1 - Fraction(3, 4) ** 2)
    assert v_hat == mean**2 + sigma**2 / batch


@pytest.mark.parametrize("device", DEVICES)
@given(gs=GRADIENTS, factor=st.floats(2, 5), decay=st.floats(0.05, 1))
@FEW
def test_a_loss_scale_is_harmless_beside_decay_and_not_beside_a_penalty(
    device: str, gs: list[float], factor: float, decay: float
) -> None:
    larger = [factor * v for v in gs]

    def end(make: Any, grads: list[float], scale: float, strength: float) -> Tensor:
        options = {"lr": 0.1, "betas": (0.8, 0.9), "eps": 0.01 * scale, "weight_decay": strength}
        return fed(lambda p: make(p, **options), grads, 1.0, device)[-1]

    for make, harmless in ((torch.optim.AdamW, True), (torch.optim.Adam, False)):
        one, two = end(make, gs, 1, decay), end(make, larger, factor, decay)
        undone = end(make, larger, factor, decay * factor)
        assert (float(abs(one - two)) < TOLERANCE) == harmless
        assert harmless or float(abs(one - undone)) < TOLERANCE


@pytest.mark.parametrize("device", DEVICES)
@given(gs=GRADIENTS, factor=st.floats(2, 5))
@FEW
def test_radam_keeps_the_scale_below_its_threshold(device: str, gs: list[float], factor: float) -> None:
    make: Make = lambda p: torch.optim.RAdam(p, lr=0.1, betas=(0.8, 0.9), eps=0.0)  # noqa: E731
    gs = gs + gs
    one, two = fed(make, gs, 0.0, device), fed(make, [factor * v for v in gs], 0.0, device)
    moves = [[float(b - a) for a, b in itertools.pairwise(path)] for path in (one, two)]
    rho = [19 - 2 * t * 0.9**t / (1 - 0.9**t) for t in range(1, len(gs) + 1)]
    assert min(rho) <= 5 < max(rho)
    for a, b, r in zip(*moves, rho, strict=True):
        assert b == pytest.approx(factor * a if r <= 5 else a, rel=1e-9, abs=1e-12)


# -- weight decay ----------------------------------------------------------------------------------


@given(gs=st.tuples(GRADIENT, GRADIENT), decay=st.floats(0.1, 1), start=st.floats(0.5, 2))
@FEW
def test_the_derivative_of_a_step_in_the_strength_of_l2(
    gs: tuple[float, float], decay: float, start: float
) -> None:
    """By differences, on torch: the second step from a parameter that is put back to one place."""
    b1, b2, tiny, rate, place, h = 0.8, 0.9, 0.1, 0.5, 0.75, 1e-5
    assume(all(abs(v + decay * p) > 0.2 for v, p in zip(gs, (start, place), strict=True)))

    def step(strength: float) -> float:
        param = torch.nn.Parameter(torch.tensor(start))
        adam = torch.optim.Adam([param], lr=rate, betas=(b1, b2), eps=tiny, weight_decay=strength)
        for v, p in zip(gs, (start, place), strict=True):
            param.data.fill_(p)
            param.grad = torch.tensor(v)
            adam.step()
        return float(param.detach()) - place

    def average(b: float, one: float, two: float) -> float:
        return (b * (1 - b) * one + (1 - b) * two) / (1 - b**2)

    u, w = gs[0] + decay * start, gs[1] + decay * place
    root = math.sqrt(average(b2, u * u, w * w))
    below, mean = root + tiny, average(b1, start, place)
    half = average(b2, u * start, w * place)
    told = -rate * (mean / below - average(b1, u, w) * half / (root * below**2))
    assert (step(decay + h) - step(decay - h)) / (2 * h) == pytest.approx(told, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("device", DEVICES)
@given(rates=st.lists(st.floats(0.1, 1), min_size=4, max_size=4), decay=st.floats(0.1, 1))
@FEW
def test_a_schedule_of_the_rate_is_one_of_the_decay(
    device: str, rates: list[float], decay: float
) -> None:
    param = torch.nn.Parameter(torch.tensor(1.0, device=device))
    adam = torch.optim.AdamW([param], lr=0.5, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda t: [*rates, 1.0][t])
    for _ in rates:
        param.grad = torch.zeros_like(param)
        adam.step()
        schedule.step()
    assert float(param.detach()) == pytest.approx(math.prod(1 - 0.5 * r * decay for r in rates))


@pytest.mark.parametrize("device", DEVICES)
def test_adam_with_l2_settles_where_the_penalised_loss_is_flat(device: str) -> None:
    """Constant gradient 1, λ = 1/2: −2 for L2, −1/((1+ε)λ) for decay."""
    ends = []
    for make in (torch.optim.Adam, torch.optim.AdamW):
        param = torch.nn.Parameter(torch.tensor(0.5, device=device))
        optimizer = make([param], lr=0.1, betas=(0.5, 0.9), eps=1.0, weight_decay=0.5)
        for _ in range(1000):
            param.grad = torch.ones_like(param)
            optimizer.step()
        ends.append(float(param.detach()))
    assert ends == pytest.approx([-2, -1])


# -- relatives -------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@given(start=st.floats(0.5, 2), size=st.floats(20, 2000), rate=st.floats(0.01, 0.1))
@FEW
def test_a_large_epsilon_is_momentum_within_the_bound(
    device: str, start: float, size: float, rate: float
) -> None:
    """On sin(x), whose gradient is bounded by 1 and Lipschitz with constant 1, in a closed loop."""
    beta1, steps = 0.5, 8
    begin = torch.tensor(start, device=device)
    y, m, bound, paths = begin.clone(), torch.zeros_like(begin), 0.0, []
    param = torch.nn.Parameter(begin.clone())
    adam = torch.optim.Adam([param], lr=rate * size, betas=(beta1, 0.9), eps=size)
    for t in range(1, steps + 1):
        param.grad = torch.cos(param).detach()
        adam.step()
        m = beta1 * m + (1 - beta1) * torch.cos(y)
        y = y - rate * m / (1 - beta1**t)
        bound = 2 * (1 + rate / (1 - beta1)) * bound + rate
        paths.append((float(abs(param.detach() - y)), bound / size))
    assert all(gap <= limit + TOLERANCE for gap, limit in paths)
    assert paths[-1][0] > 0


@given(gs=GRADIENTS)
@FEW
def test_the_two_kinds_of_momentum(gs: list[float]) -> None:
    """The rule with momentum of steps against a loop, and torch's two optimizers apart."""
    b1, b2, rate, tiny = 0.75, 0.5, 0.25, 0.5
    v = b = place = 0.0
    for t, grad in enumerate(gs, start=1):
        v = b2 * v + (1 - b2) * grad**2
        b = b1 * b + (1 - b1) * grad / (math.sqrt(v / (1 - b2**t)) + tiny)
        place -= rate * b / (1 - b1**t)
    point = {n: Fraction(k) for n, k in
             {"beta1": b1, "beta2": b2, "alpha": rate, "eps": tiny}.items()}  # fmt: skip
    assert float(step_momentum().run(point, list(map(Fraction, gs))).x[-1]) == pytest.approx(place)
    gs = [1.0, 3.0, *gs[2:]]
    adam = fed(lambda p: torch.optim.Adam(p, lr=rate, betas=(b1, b2), eps=tiny), gs, 0.0)
    rms = fed(lambda p: torch.optim.RMSprop(p, lr=rate, alpha=b2, momentum=b1, eps=tiny), gs, 0.0)
    assert abs(adam[2] - rms[2]) > 1e-3


@pytest.mark.parametrize("device", DEVICES)
@given(gs=GRADIENTS, decay=st.floats(0, 1))
@FEW
def test_adagrad_is_adam_with_the_mean_of_the_squares(
    device: str, gs: list[float], decay: float
) -> None:
    real = fed(lambda p: torch.optim.Adagrad(p, lr=0.5, lr_decay=decay, eps=0.1), gs, 0.0, device)
    v = place = 0.0
    for t, grad in enumerate(gs, start=1):
        v = (1 - 1 / t) * v + grad**2 / t
        rate = 0.5 / (1 + (t - 1) * decay) / math.sqrt(t)
        place -= rate * grad / (math.sqrt(v) + 0.1 / math.sqrt(t))
        assert float(real[t]) == pytest.approx(place, rel=1e-9, abs=TOLERANCE)


@given(gs=GRADIENTS)
@FEW
def test_adam_with_beta2_near_1_is_adagrad(gs: list[float]) -> None:
    near = 1 - 1e-7

    def moves(rates: list[float]) -> Iterator[Tensor]:
        param = torch.nn.Parameter(torch.tensor(0.0))
        adam = torch.optim.Adam([param], lr=1.0, betas=(0.0, near), eps=0.0)
        for grad, rate in zip(gs, rates, strict=True):
            adam.param_groups[0]["lr"], param.grad = rate, torch.tensor(grad)
            adam.step()
            yield param.detach().clone()

    adagrad = fed(lambda p: torch.optim.Adagrad(p, lr=0.5, eps=0.0), gs, 0.0)
    ours = list(moves([0.5 / math.sqrt(t) for t in range(1, len(gs) + 1)]))
    assert all(abs(a - b) < 1e-5 for a, b in zip(adagrad[1:], ours, strict=True))


@pytest.mark.parametrize("device", DEVICES)
@given(gs=GRADIENTS, beta2=st.floats(0.2, 0.95), d=st.floats(0.05, 1), tiny=st.floats(0, 1))
@FEW
def test_adamax_is_within_d_of_the_norm_of_p(
    device: str, gs: list[float], beta2: float, d: float, tiny: float
) -> None:
    param = torch.nn.Parameter(torch.tensor(0.0, device=device))
    adamax = torch.optim.Adamax([param], betas=(0.9, beta2), eps=tiny)
    for grad in gs:
        param.grad = torch.tensor(grad, device=device)
        adamax.step()
    t, u = len(gs), float(adamax.state[param]["exp_inf"])
    p = math.ceil(max(t - 1, beta2 / (1 - beta2)) / d)
    terms = [p * math.log(beta2 ** (t - i) * (abs(v) + tiny) / u) for i, v in enumerate(gs, start=1)]
    log_sum = math.log(sum(map(math.exp, terms)))
    for log_weight in (
        math.log1p(-(beta2**p)),
        math.log1p(-(beta2**p)) - math.log1p(-(beta2 ** (p * t))),
    ):
        root = math.exp((log_sum + log_weight) / p)  # over u
        assert 1 / (1 + d) - TOLERANCE <= root <= 1 + d + TOLERANCE


# -- zero gradients --------------------------------------------------------------------------------

CODE = {name: s for name, s in builtin().items() if s.recipe and not s.compiled}
#: What the optimizers are built with; of one that asks for more it is the default.
NUMBERS = {"alpha": 0.125, "beta1": 0.5, "beta2": 0.75, "eps": 0.25, "lambda_": 0.25, "mu": 0.5,
           "tau": 0.25, "rho": 0.5, "eta": 0.5, "psi": 0.004}  # fmt: skip


def built(subject: Subject) -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
    """An optimizer after one step with gradient 1 from x = 1."""
    param = torch.nn.Parameter(torch.tensor([1.0]))
    assert subject.recipe is not None
    optimizer: torch.optim.Optimizer = subject.recipe.build([param], NUMBERS, symbolic=False)
    param.grad = torch.ones_like(param)
    optimizer.step()
    return param, optimizer


def copied(optimizer: torch.optim.Optimizer, param: Tensor) -> dict[str, Any]:
    state = optimizer.state.get(param, {})
    return {n: v.clone() if isinstance(v, Tensor) else v for n, v in state.items()}


@pytest.mark.parametrize("name", CODE)
def test_none_is_no_gradient_and_zero_is_one(judge: Judge, name: str) -> None:
    param, optimizer = built(CODE[name])
    before, state = param.detach().clone(), copied(optimizer, param)
    param.grad = None
    optimizer.step()
    assert torch.equal(param.detach(), before)
    assert repr(copied(optimizer, param)) == repr(state)
    param.grad = torch.zeros_like(param)
    for _ in range(8):  # of which RAdam may wait for some
        optimizer.step()
    stays = found(judge, "zero-gradient-no-update", CODE[name].against).verdict
    assert torch.equal(param.detach(), before) == (stays is Verdict.PROVED)


# -- curvature and bias ----------------------------------------------------------------------------


@given(theta=st.floats(-2, 2), z=st.floats(0.5, 2), share=st.floats(0.05, 0.95))
@FEW
def test_v_is_the_fisher_information_of_the_models_own_labels(
    theta: float, z: float, share: float
) -> None:
    """Logistic regression by autograd: second derivative, one sample, a batch of 2, other labels."""
    param = torch.tensor(theta, requires_grad=True)

    def loss(label: float) -> Tensor:
        return torch.nn.functional.binary_cross_entropy_with_logits(param * z, torch.tensor(label))

    def score(label: float) -> float:
        return float(torch.autograd.grad(loss(label), param)[0])

    p = float(torch.sigmoid(param * z).detach())
    (slope,) = torch.autograd.grad(loss(0.0), param, create_graph=True)
    hessian = float(torch.autograd.grad(slope, param)[0])
    chances, scores = {0.0: 1 - p, 1.0: p}, {label: score(label) for label in (0.0, 1.0)}

    def through_adam(gradient: float) -> float:
        tensor = torch.nn.Parameter(torch.tensor(0.0))
        adam = torch.optim.Adam([tensor], betas=(0.9, 0.75))
        tensor.grad = torch.tensor(gradient)
        adam.step()
        return float(adam.state[tensor]["exp_avg_sq"]) / (1 - 0.75)

    one = sum(chances[a] * through_adam(scores[a]) for a in chances)
    two = sum(chances[a] * chances[b] * through_adam((scores[a] + scores[b]) / 2)
              for a in chances for b in chances)  # fmt: skip
    seen = share * scores[1.0] ** 2 + (1 - share) * scores[0.0] ** 2
    assert one == pytest.approx(hessian)
    assert two == pytest.approx(hessian / 2)
    assert seen - hessian == pytest.approx((share - p) * (1 - 2 * p) * z**2, abs=1e-9)


@pytest.mark.parametrize("device", DEVICES)
@given(a=st.floats(0.2, 2), b=st.floats(0.2, 6), p=st.floats(0.05, 0.95))
@FEW
def test_the_expected_first_step(device: str, a: float, b: float, p: float) -> None:
    """It sees the signs alone; it is the unbiased one only where the formula says so."""
    make: Make = lambda q: torch.optim.Adam(q, lr=1.0, eps=0.0)  # noqa: E731
    up, down = (float(fed(make, [grad], 0.0, device)[1]) for grad in (a, -b))
    expected, mean, square = p * up + (1 - p) * down, p * a - (1 - p) * b, p * a**2 + (1 - p) * b**2
    assert expected == pytest.approx(-(2 * p - 1))
    told = -p * (1 - p) * (a - b) * ((4 * p - 1) * a - (3 - 4 * p) * b)
    assert expected**2 * square - mean**2 == pytest.approx(told, abs=1e-9)
    if p > 0.5 and mean < 0:
        assert expected < 0 < -mean  # downhill would be up


def test_symbols_of_momentum_are_torchs() -> None:
    """What the claims match by name: SGD's and RMSprop's buffer."""
    for name in ("sgd+momentum", "rmsprop+momentum"):
        assert paper_of(name).late.new["momentum_buffer"].coeff(old("momentum_buffer")) == mu
    assert paper_of("sgd").late.new["x"].diff(x) == 1


# -- no gradient at all ----------------------------------------------------------------------------


class Restless(torch.optim.SGD):
    """Decays every parameter, with a gradient or without."""

    def step(self, closure: Any = None) -> Any:
        super().step()
        for p in self.param_groups[0]["params"]:
            p.data.mul_(0.5)


class Counting(torch.optim.Adam):
    """Counts the steps of a parameter that has no gradient."""

    def step(self, closure: Any = None) -> Any:
        super().step()
        for p in self.param_groups[0]["params"]:
            if p.grad is None and self.state[p]:
                self.state[p]["step"] += 1


@pytest.mark.parametrize("device", DEVICES)
def test_a_parameter_without_a_gradient_is_left_alone(device: str) -> None:
    for name in ("torch.optim:AdamW", "torch.optim:RAdam(foreach=True)", "adamproof.optimizers:SGD"):
        assert skipped.trial(builtin()[name], device).verdict is Verdict.MEASURED
    for cls, told in ((Restless, "x changes"), (Counting, "step changes")):
        found = skipped.trial(Subject("user", "user", Recipe(cls)), device)
        assert found.verdict is Verdict.REFUTED
        assert found.witness is not None and found.witness.excess == told
