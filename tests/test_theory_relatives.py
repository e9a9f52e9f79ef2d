"""The claims on Adam's relatives: verdicts on paper, and the formulas against brute force and torch."""

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adamproof.proofs_check.build import Recipe
from adamproof.proofs_check.judge import Judge
from adamproof.proofs_check.subjects import Subject, builtin
from adamproof.theory import bounds, radam_warmup
from adamproof.theory.bounds import bounded, played, scheduled
from adamproof.theory.catalogue import claims
from adamproof.theory.faithful import paper_of
from adamproof.theory.interval import Interval
from adamproof.theory.nadam import lookahead, weight
from adamproof.theory.rectifier import first_rectified, rectified, rho_at, rho_limit, shape
from adamproof.theory.relatives import accumulated, rooted
from adamproof.theory.rules import RULES

pytestmark = pytest.mark.usefixtures("double")

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
FEW = settings(max_examples=12, deadline=None)
BETA = st.integers(8, 127).map(lambda k: k / 128)


def positions(
    optimizer: type[torch.optim.Optimizer], gradients: list[list[float]], device: str, **options: Any
) -> list[list[float]]:
    """Run from 0; one inner list per step, one number per coordinate."""
    x = torch.nn.Parameter(torch.zeros(len(gradients[0]), device=device))
    made = optimizer([x], **options)  # type: ignore[call-arg]
    out = [x.tolist()]
    for gradient in gradients:
        x.grad = torch.tensor(gradient, device=device)
        made.step()
        out.append(x.tolist())
    return out


# -- verdicts --------------------------------------------------------------------------------------

PROVED, REFUTED = "proved", "refuted"
RADAM, NADAM, PLAIN = (
    ("radam", "radam-4", "radam-idle"),
    ("nadam", "nadam-constant", "nadam-dozat"),
    ("rmsprop", "rmsprop+eps-inside"),
)
BOUND = ("adabound", "adabound-sqrt", "amsbound")
#: claim -> the paper's rules it applies to, and its verdict for each.
VERDICTS: dict[str, dict[str, str]] = {
    "radam-rho": dict.fromkeys(RADAM, PROVED),
    "radam-rectifier": dict.fromkeys(RADAM, PROVED),
    "radam-becomes-adaptive": dict.fromkeys(("radam", "radam-4"), REFUTED),
    "radam-first-step": dict.fromkeys(RADAM, PROVED),
    "radam-is-warmup": {"radam": REFUTED, "radam-4": REFUTED, "radam-idle": PROVED},
    "radam-warmup-schedule": dict.fromkeys(RADAM, PROVED),
    "adabelief-epsilon": {"adabelief": REFUTED},
    "adabelief-epsilon-sum": {"adabelief": PROVED},
    "adabound-limits": dict.fromkeys(BOUND, PROVED),
    "adabound-rate-monotone": {"adabound-sqrt": REFUTED},
    "adabound-regret": {"adabound-sqrt": REFUTED},
    "adabound-regret-closing": {"adabound-sqrt": PROVED},
    "swats-projection": dict.fromkeys(
        ("adam", "adam-eps-hat", "amsgrad-after-max", "amsgrad-before-max"), REFUTED
    ),
    "swats-projection-exact": dict.fromkeys(
        ("adam", "adam-eps-hat", "amsgrad-after-max", "amsgrad-before-max"), PROVED
    ),
    "nadam-bias": dict.fromkeys(NADAM, REFUTED),
    "nadam-weight-sum": dict.fromkeys(NADAM, PROVED),
    "nadam-never-short": {"nadam": REFUTED, "nadam-constant": PROVED, "nadam-dozat": PROVED},
    "nadam-weight-sign": dict.fromkeys(NADAM, PROVED),
    "rmsprop-epsilon": dict.fromkeys((*PLAIN, "rmsprop+centered"), REFUTED),
    "rmsprop-epsilon-ratio": dict.fromkeys((*PLAIN, "rmsprop+centered"), PROVED),
}


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge()


@pytest.mark.parametrize("id", VERDICTS)
def test_the_verdicts_on_paper(judge: Judge, id: str) -> None:
    claim, known = claims()[id], builtin()
    applies = {name for name in RULES if claim.judge(paper_of(name)) is not None}
    assert applies == set(VERDICTS[id])
    for name, verdict in VERDICTS[id].items():
        finding = judge.finding(claim, known[f"paper:{name}"])
        assert finding.verdict == verdict, (name, finding.reason)


def test_every_false_belief_here_has_a_true_statement_beside_it() -> None:
    for id, verdicts in VERDICTS.items():
        if REFUTED in verdicts.values():
            repair = VERDICTS[claims()[id].repaired_by]
            assert any(repair.get(n) == PROVED for n, v in verdicts.items() if v == REFUTED), id


def test_roles_are_read_off_the_formulas_alone() -> None:
    found = {
        "rectified": {n for n in RULES if rectified(paper_of(n))},
        "lookahead": {n for n in RULES if lookahead(paper_of(n))},
        "bounded": {n for n in RULES if bounded(paper_of(n))},
        "accumulated": {n for n in RULES if accumulated(paper_of(n))},
        "rooted": {n for n in RULES if rooted(paper_of(n))},
    }
    assert found == {
        "rectified": set(RADAM),
        "lookahead": set(NADAM),
        "bounded": set(BOUND),
        "accumulated": {"adabelief"},
        "rooted": {*PLAIN, "rmsprop+centered"},
    }
    thresholds = {n: getattr(rectified(paper_of(n)), "threshold", None) for n in RADAM}
    assert thresholds == {"radam": 5, "radam-4": 4, "radam-idle": 5}
    assert {n for n in RADAM if getattr(rectified(paper_of(n)), "waits", None)} == {"radam-idle"}
    assert {n for n in NADAM if getattr(lookahead(paper_of(n)), "own", None)} == {"nadam-dozat"}


# -- RAdam -----------------------------------------------------------------------------------------


@given(beta=BETA, steps=st.integers(1, 400))
@FEW
def test_rho_is_the_length_of_the_average_with_the_same_mean_age(beta: float, steps: int) -> None:
    ages = np.arange(steps)
    weights = beta**ages
    length = 2 * (weights @ ages) / weights.sum() + 1
    assert rho_at(Fraction(beta), Fraction(steps)) == pytest.approx(length, rel=1e-9)


def doubles(beta2: float, steps: int, device: str) -> list[bool]:
    """Whether each step of torch's RAdam doubles when all gradients do, at ε = 0."""
    single, twice = (
        positions(torch.optim.RAdam, [[c * (1 + k % 3)] for k in range(steps)], device,
                  lr=0.1, betas=(0.5, beta2), eps=0.0)
        for c in (1.0, 2.0)
    )  # fmt: skip
    moves = [(b[0] - a[0], d[0] - c[0]) for a, b, c, d in zip(single, single[1:], twice, twice[1:],
                                                              strict=False)]  # fmt: skip
    assert all(math.isclose(two, 2 * one, rel_tol=1e-9) or math.isclose(two, one, rel_tol=1e-9)
               for one, two in moves)  # fmt: skip
    return [math.isclose(two, 2 * one, rel_tol=1e-9) for one, two in moves]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("beta2", [0.999, 0.99, 0.9, 0.75, 0.7, 0.66, 0.6, 0.5])
def test_torchs_radam_adapts_from_the_step_that_is_computed(beta2: float, device: str) -> None:
    steps = 40
    seen = doubles(beta2, steps, device)
    if rho_limit(beta2) <= 5:
        assert all(seen)
        return
    first = first_rectified(Fraction(beta2), 5)
    assert first >= 6
    assert seen == [True] * (first - 1) + [False] * (steps - first + 1)


@pytest.mark.parametrize("threshold", [4, 5])
def test_no_rho_passes_the_threshold_exactly_below_the_boundary(threshold: int) -> None:
    edge = Fraction(threshold - 1, threshold + 1)
    assert rho_limit(edge) == threshold
    assert all(rho_at(edge, Fraction(k)) < threshold for k in range(1, 60))
    assert first_rectified(edge + Fraction(1, 100), threshold) > threshold + 1
    for beta in (Fraction(9, 10), Fraction(999, 1000)):
        assert all(rho_at(beta, Fraction(k)) < k for k in range(2, 30))


@pytest.mark.parametrize("device", DEVICES)
def test_the_first_steps_of_torchs_radam_are_as_long_as_the_gradients(device: str) -> None:
    options = {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8}
    gradients = [[50.0]] * 8
    rectified_run = positions(torch.optim.RAdam, gradients, device, **options)
    adams = positions(torch.optim.Adam, gradients, device, **options)
    for k in range(5):
        assert rectified_run[k][0] - rectified_run[k + 1][0] == pytest.approx(0.1 * 50)
        assert adams[k][0] - adams[k + 1][0] == pytest.approx(0.1)
    for k in range(5, 8):
        r = float(radam_warmup.factor(k + 1))
        assert rectified_run[k][0] - rectified_run[k + 1][0] == pytest.approx(0.1 * r)


def test_the_distance_from_linear_warmup_by_brute_force() -> None:
    beta, steps = 0.999, np.arange(6, 40_001)
    power = beta**steps
    last = 2 / (1 - beta) - 1
    rho = last - 2 * steps * power / (1 - power)
    r = np.sqrt(shape(rho) / shape(last))
    linear = np.minimum(1, steps * (1 - beta) / 2)
    where, low = radam_warmup.widest(6)
    distance = np.abs(r - linear)
    assert steps[distance.argmax()] == where
    assert float(low) <= distance.max() <= float(low) + 2e-3
    assert r[where - 6] == pytest.approx(float(radam_warmup.factor(where)))
    ours, plain = radam_warmup.period(6)
    assert float(ours.lo) <= (1 - r).sum() <= float(ours.hi)
    assert float(plain) == pytest.approx((1 - linear).sum())
    assert float(ours.hi - ours.lo) < 0.03 * float(plain)


def test_the_pieces_on_which_the_distance_is_bounded_cover_every_step() -> None:
    high = radam_warmup.widest(6)[1] + Fraction(2, 1000)
    pieces = radam_warmup.cells(6, high)
    assert (pieces[0]["from"], pieces[-1]["to"]) == (6, radam_warmup.LINEAR)
    assert all(a["to"] == b["from"] for a, b in itertools.pairwise(pieces))


# -- AdaBelief and RMSprop -------------------------------------------------------------------------


@given(beta2=BETA, g=st.lists(st.floats(-4, 4), min_size=1, max_size=30))
@FEW
def test_adabeliefs_epsilon_by_brute_force(beta2: float, g: list[float]) -> None:
    ends = []
    for eps in (0.25, 0.0):
        m = s = 0.0
        for gradient in g:
            m = 0.75 * m + 0.25 * gradient
            s = beta2 * s + (1 - beta2) * (gradient - m) ** 2 + eps
        ends.append(s / (1 - beta2 ** len(g)))
    assert ends[0] - ends[1] == pytest.approx(0.25 / (1 - beta2), rel=1e-9)


def test_one_form_of_adabelief_accumulates_epsilon_and_one_does_not() -> None:
    gradients = [Fraction(1), Fraction(-2), Fraction(1, 2)]
    for name, told in (("adabelief", Fraction(4)), ("adabelief-eps-outside", Fraction(0))):
        rule, ends = paper_of(name), []
        for eps in (Fraction(1), Fraction(0)):
            point = {"beta1": Fraction(1, 2), "beta2": Fraction(3, 4), "eps": eps}
            ends.append(rule.run(point, gradients).state["exp_avg_var"][3] / (1 - Fraction(3, 4) ** 3))
        assert ends[0] - ends[1] == Interval.of(told)


@pytest.mark.parametrize("device", DEVICES)
def test_a_tiny_gradient_steps_further_with_epsilon_outside(device: str) -> None:
    eps, tiny = 1e-8, 1e-20
    (_, (outside,)) = positions(torch.optim.RMSprop, [[tiny]], device, lr=1.0, alpha=0.99, eps=eps)
    point = {"alpha": Fraction(1), "beta2": Fraction(0.99), "eps": Fraction(eps)}
    inside = float(paper_of("rmsprop+eps-inside").run(point, [Fraction(tiny)]).x[1])
    assert inside == pytest.approx(-tiny / math.sqrt(0.01 * tiny**2 + eps))
    assert outside / inside == pytest.approx(1 / math.sqrt(eps), rel=1e-6)


# -- AdaBound --------------------------------------------------------------------------------------


class AdaBound(torch.optim.Optimizer):
    """The authors' code, for a rate that no scheduler changes."""

    def __init__(self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 final_lr: float = 0.1, gamma: float = 1e-3, eps: float = 1e-8,
                 amsbound: bool = False) -> None:  # fmt: skip
        defaults = {"lr": lr, "betas": betas, "final_lr": final_lr, "gamma": gamma, "eps": eps,
                    "amsbound": amsbound}  # fmt: skip
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            (beta1, beta2), gamma = group["betas"], group["gamma"]
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["step"] = 0
                    for name in ("exp_avg", "exp_avg_sq", *["max_exp_avg_sq"] * group["amsbound"]):
                        state[name] = torch.zeros_like(p)
                state["step"] += 1
                m, v, k = state["exp_avg"], state["exp_avg_sq"], state["step"]
                m.mul_(beta1).add_(p.grad, alpha=1 - beta1)
                v.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
                if group["amsbound"]:
                    v = torch.maximum(state["max_exp_avg_sq"], v, out=state["max_exp_avg_sq"])
                size = group["lr"] * (1 - beta2**k) ** 0.5 / (1 - beta1**k)
                lower = group["final_lr"] * (1 - 1 / (gamma * k + 1))
                upper = group["final_lr"] * (1 + 1 / (gamma * k))
                rate = (size / v.sqrt().add_(group["eps"])).clamp_(lower, upper)
                p.add_(-rate * m)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("name", "maximum"), [("adabound", False), ("amsbound", True)])
@given(g=st.lists(st.integers(-32, 32).map(lambda k: k / 8), min_size=12, max_size=12))
@FEW
def test_adabound_on_paper_is_the_authors_code(
    name: str, maximum: bool, device: str, g: list[float]
) -> None:
    point = {"alpha": 0.25, "beta1": 0.75, "beta2": 0.875, "alpha_final": 0.5, "gamma_": 0.125,
             "eps": 0.0625}  # fmt: skip
    real = positions(AdaBound, [[k] for k in g], device, lr=0.25, betas=(0.75, 0.875), final_lr=0.5,
                     gamma=0.125, eps=0.0625, amsbound=maximum)  # fmt: skip
    exact = {n: Fraction(v) for n, v in point.items()}
    told = paper_of(name).run(exact, [Fraction(k) for k in g]).x
    assert [x for (x,) in real] == pytest.approx([float(x) for x in told], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("device", DEVICES)
def test_adabound_ends_as_momentum_at_the_final_rate(device: str) -> None:
    k, final, gamma = 1000, 0.5, 0.05
    gradients = [[math.sin(1.7 * i), 40 * math.cos(i)] for i in range(k)]
    real = positions(AdaBound, gradients, device, lr=1e-3, final_lr=final, gamma=gamma)
    m = np.zeros(2)
    for gradient in gradients:
        m = 0.9 * m + 0.1 * np.array(gradient)
    moved = np.array(real[-1]) - np.array(real[-2])
    assert np.all(np.abs(moved + final * m) <= final * np.abs(m) / (gamma * k) + 1e-12)


def test_the_authors_adabound_is_lifted_and_judged(judge: Judge) -> None:
    subject = Subject("AdaBound", "user", Recipe(AdaBound), "adabound")
    for id, verdict in (("code-is-paper", PROVED), ("adabound-limits", PROVED)):
        finding = judge.finding(claims()[id], subject)
        assert finding.verdict == verdict, (id, finding.reason)


def game(c: float, rounds: int) -> tuple[float, float]:
    """Reddi's game against Algorithm 2 with open bounds, in plain floats."""
    beta2, alpha, x, v, loss, total = 1 / (1 + c * c), 1 / c, 1.0, 0.0, 0.0, 0.0
    for k in range(1, rounds + 1):
        g = c if k % 3 == 1 else -1.0
        loss, total = loss + g * x, total + g
        v = beta2 * v + (1 - beta2) * g * g
        rate = alpha / math.sqrt(v)
        assert alpha / c <= rate <= alpha * math.sqrt(1 + 1 / c**2) * (1 + 1e-12)  # never clipped
        x = min(1.0, max(-1.0, x - rate / math.sqrt(k) * g))
    high = alpha * math.sqrt(1 + 1 / c**2)
    return loss + abs(total), 4 * math.sqrt(rounds) / (2 * rate) + (
        2 * math.sqrt(rounds) - 1
    ) * high * c**2


@pytest.mark.parametrize(("c", "rounds"), [(10, 3), (10, 51), (10, 54), (10, 60), (30, 39), (4, 144)])
def test_the_game_that_breaks_the_regret_bound_of_adabound(c: int, rounds: int) -> None:
    regret, told = played(paper_of("adabound-sqrt"), Fraction(c), rounds)
    plain = game(c, rounds)
    assert (float(regret), float(told)) == pytest.approx(plain, rel=1e-9)
    assert (regret.lo > told.hi) == (plain[0] > plain[1]) == ((c, rounds) not in {(10, 3), (10, 51)})


@given(
    g=st.lists(st.integers(-16, 16), min_size=1, max_size=40),
    gamma=st.sampled_from([0.1, 1.0]),
    final=st.sampled_from([0.1, 1.0, 4.0]),
    beta2=BETA,
)
@FEW
def test_with_closing_bounds_the_regret_is_bounded(
    g: list[int], gamma: float, final: float, beta2: float
) -> None:
    x, v, loss, most = 1.0, 0.0, 0.0, 16.0
    for k, slope in enumerate(g, 1):
        loss += slope * x
        v = beta2 * v + (1 - beta2) * slope**2
        lower, upper = final * (1 - 1 / (gamma * k + 1)), final * (1 + 1 / (gamma * k))
        rate = min(upper, max(lower, 1 / math.sqrt(v) if v else math.inf))
        x = min(1.0, max(-1.0, x - rate / math.sqrt(k) * slope))
    root, m = math.sqrt(len(g)), (1 + 2 / gamma) / final
    first, widest = final * gamma / (gamma + 1), final * (1 + 1 / gamma)
    assert loss + abs(sum(g)) <= 4 / (2 * first) + (4 * m + widest * most**2) * root


def test_the_bounds_are_those_of_the_theorem() -> None:
    b = scheduled(paper_of("adabound-sqrt"))
    assert b is not None
    at = {bounds.t: 7, bounds.gamma: Fraction(1, 2), bounds.alpha_final: 3}
    assert float(b.lower.subs(at)) == pytest.approx(3 * (1 - 1 / 4.5))
    assert float(b.upper.subs(at)) == pytest.approx(3 * (1 + 1 / 3.5))
    assert scheduled(paper_of("adabound")) is None


# -- NAdam -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("psi", [0.0, 0.004, 0.5])
def test_torchs_nadam_steps_by_the_sum_of_its_weights(psi: float, device: str) -> None:
    beta, rate, product, short = 0.9, 0.1, 1.0, []
    real = positions(torch.optim.NAdam, [[3.0]] * 25, device, lr=rate, betas=(beta, 0.999), eps=0.0,
                     momentum_decay=psi)  # fmt: skip
    for k in range(1, 26):
        mu, after = (beta * (1 - 0.5 * 0.96 ** (i * psi)) for i in (k, k + 1))
        product *= mu
        told = weight(mu, after, product, beta**k)
        assert real[k - 1][0] - real[k][0] == pytest.approx(rate * told, rel=1e-9)
        short.append(told < 1)
    assert short[:8] == [False] + [True] * 7
    assert psi > 0.1 or all(short[1:])


@given(beta=BETA, steps=st.integers(1, 60))
@FEW
def test_dozats_weights_at_a_constant_momentum_sum_to_more_than_one(beta: float, steps: int) -> None:
    power = beta**steps
    told = 1 + power * (1 - beta) ** 2 / ((1 - power) * (1 - beta * power))
    summed = weight(beta, beta, power, power)
    assert summed == pytest.approx(told, rel=1e-9)
    assert summed >= 1


# -- SWATS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@given(g=st.lists(st.lists(st.integers(1, 64).map(lambda k: k / 8), min_size=3, max_size=3),
                  min_size=2, max_size=5))  # fmt: skip
@FEW
def test_the_projected_rate_on_torchs_adam(device: str, g: list[list[float]]) -> None:
    """Without momentum it lies between the effective rates; the projection of −γg is p."""
    x = positions(torch.optim.Adam, g, device, lr=0.1, betas=(0.0, 0.9), eps=1e-8)
    p, last = np.array(x[-1]) - np.array(x[-2]), np.array(g[-1])
    rate = (p @ p) / -(p @ last)
    np.testing.assert_allclose((-rate * last @ p) / (p @ p) * p, p, rtol=1e-9)
    rates = -p / last
    assert rates.min() * (1 - 1e-9) <= rate <= rates.max() * (1 + 1e-9)


@pytest.mark.parametrize("device", DEVICES)
def test_there_is_no_projected_rate_where_the_step_is_orthogonal_to_the_gradient(device: str) -> None:
    """Sign descent, p = −0.1·(1, −1), against the gradient (1, 1)."""
    x = positions(torch.optim.Adam, [[1.0, 2.0], [2.0, -1.0]], device, lr=0.1, betas=(0.0, 0.0),
                  eps=0.0)  # fmt: skip
    p, across = np.array(x[2]) - np.array(x[1]), np.array([1.0, 1.0])
    assert p @ across == pytest.approx(0, abs=1e-15)
    rates = np.linspace(-50, 50, 1001)
    assert np.all((-rates[:, None] * across - p) @ p < -0.019)  # never orthogonal to p


@pytest.mark.parametrize("device", DEVICES)
def test_the_projected_rate_of_torchs_adam_can_be_negative(device: str) -> None:
    x = positions(torch.optim.Adam, [[1.0], [-0.25]], device, lr=1.0, betas=(0.5, 0.75), eps=0.0)
    p = x[2][0] - x[1][0]
    assert p * p / -(p * -0.25) < 0
