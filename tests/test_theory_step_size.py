"""Section 2, rates, signs, conventions, rare gradients, warmup: the formulas against brute force."""

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adamproof import optimizers
from adamproof.theory import adagrad, conventions, rates, signs, sparse, step_bound, uncorrected, warmup
from adamproof.theory.faithful import paper_of
from adamproof.theory.rules import RULES
from adamproof.theory.symbols import alpha
from adamproof.theory.symbols import beta1 as sym_beta1
from adamproof.theory.symbols import beta2 as sym_beta2
from adamproof.theory.symbols import eps as sym_eps
from adamproof.theory.symbols import g as sym_g

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
EXAMPLES = settings(max_examples=20, deadline=None)
ALPHA = 0.5
BETA = st.integers(1, 63).map(lambda k: k / 64)
GRADIENTS = st.lists(st.integers(-64, 64).filter(bool).map(lambda k: k / 8), min_size=8, max_size=8)


def walk(
    make: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer],
    gradients: Sequence[float],
    device: str,
    lrs: Sequence[float] = (),
) -> tuple[list[float], list[dict[str, float]]]:
    """Run a real optimizer from 0; return x_0 … x_T and the state after each step."""
    param = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64, device=device))
    optimizer = make([param])
    x, state = [0.0], []
    for k, gradient in enumerate(gradients):
        if lrs:
            optimizer.param_groups[0]["lr"] = lrs[k]
        param.grad = torch.full_like(param, gradient)
        optimizer.step()
        x.append(float(param.item()))
        held = optimizer.state[param]
        state.append({n: float(v) for n, v in held.items() if v is not None})
    return x, state


def close(told: float, seen: float, scale: float = 1.0) -> bool:
    return abs(told - seen) <= 1e-10 * max(scale, abs(told), abs(seen))


# -- which rules a role is found in --------------------------------------------------------------


def having(role: Callable[[Any], object]) -> set[str]:
    return {name for name in RULES if role(paper_of(name)) is not None}


def test_roles_are_found_where_they_are() -> None:
    assert having(rates.accumulator) == {"adagrad"}
    assert having(conventions.heavy_ball) == {"sgd+momentum"}
    assert having(conventions.dampened) == {"sgd+momentum+dampening", "sgd+momentum+late-dampening"}
    assert having(sparse.plain_adam) == {"adam", "adamw", "adamw-uncoupled"}
    assert {"rmsprop", "rmsprop+momentum", "adam", "adagrad"} <= having(rates.effective_rate)
    assert not {"sgd", "sgd+momentum", "rmsprop+centered", "adadelta", "nadam"} & having(
        rates.effective_rate
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adam", "sign"), ("adamw", "sign"), ("nadam", "sign"), ("adamax", "sign"), ("radam", "SGD"),
     ("adabelief", "SGD with rate α/(√ε+ε)"), ("amsgrad", "sign over the largest so far")],
)  # fmt: skip
def test_what_a_rule_is_without_memory(name: str, kind: str) -> None:
    case = signs.sign_descent_exact(paper_of(name))
    assert case is not None
    assert case.steps[0].why.startswith(f"{kind}: ")


# -- β1 = β2 = 0 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@given(gradients=GRADIENTS)
@EXAMPLES
def test_without_memory_torch_takes_the_steps_of_sign_descent(
    gradients: list[float], device: str
) -> None:
    zero = {"lr": ALPHA, "betas": (0.0, 0.0), "eps": 0.0}
    largest = np.maximum.accumulate(np.abs(gradients))
    told = {
        lambda p: torch.optim.Adam(p, **zero): np.sign(gradients),
        lambda p: torch.optim.NAdam(p, **zero): np.sign(gradients),
        lambda p: torch.optim.Adamax(p, **zero): np.sign(gradients),
        lambda p: torch.optim.Adam(p, amsgrad=True, **zero): gradients / largest,
        lambda p: torch.optim.RAdam(p, **zero): np.array(gradients),
    }
    for make, direction in told.items():
        x, _ = walk(make, gradients, device)
        assert np.allclose(np.diff(x), -ALPHA * np.asarray(direction), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("device", DEVICES)
@given(gradients=GRADIENTS, beta=BETA)
@EXAMPLES
def test_the_weighted_variance_with_and_without_the_corrections(
    gradients: list[float], beta: float, device: str
) -> None:
    _, state = walk(
        lambda p: torch.optim.Adam(p, lr=ALPHA, betas=(beta, beta)), gradients, device
    )  # fmt: skip
    for t in range(1, len(gradients) + 1):
        past = np.array(gradients[:t])
        weights = (1 - beta) * beta ** np.arange(t - 1.0, -1.0, -1.0)
        whole = weights.sum()  # 1 − β^t
        mean = weights @ past / whole
        variance = weights @ (past - mean) ** 2 / whole
        m, v = state[t - 1]["exp_avg"], state[t - 1]["exp_avg_sq"]
        assert close(v - m**2, whole * variance + whole * (1 - whole) * mean**2, 100)
        # … which is the variance with a 0 of the missing weight put in front
        padded, full = np.append(past, 0.0), np.append(weights, 1 - whole)
        assert close(v - m**2, full @ (padded - full @ padded) ** 2, 100)


# -- rates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@given(gradients=GRADIENTS, beta2=BETA, k=st.integers(1, 12))
@EXAMPLES
def test_the_rate_grows_in_silence_by_the_told_factor(
    gradients: list[float], beta2: float, k: int, device: str
) -> None:
    """Also where the step shows it: α·m̂/(x_(t−1) − x_t) is D_t."""
    beta1, t = 0.75, len(gradients)
    x, state = walk(
        lambda p: torch.optim.Adam(p, lr=ALPHA, betas=(beta1, beta2), eps=0.0),
        gradients + [0.0] * k, device,
    )  # fmt: skip

    def d(step: int) -> float:
        m_hat = state[step - 1]["exp_avg"] / (1 - beta1**step)
        return ALPHA * m_hat / (x[step - 1] - x[step])

    told = math.sqrt((1 - beta2 ** (t + k)) / ((1 - beta2**t) * beta2**k))
    if abs(x[t + k - 1] - x[t + k]) > 2**-20 and abs(x[t - 1] - x[t]) > 2**-20:
        assert d(t) / d(t + k) == pytest.approx(told, rel=1e-6)
        assert d(t + k) < d(t)


# -- AdaGrad ---------------------------------------------------------------------------------------


def path(sizes: np.ndarray, eta: float = 0.0, eps: float = 0.0) -> float:
    """The length of AdaGrad's path at α = 1, by its definition."""
    t = np.arange(1, len(sizes) + 1)
    return float(np.sum(sizes / ((1 + (t - 1) * eta) * (np.sqrt(np.cumsum(sizes**2)) + eps))))


@pytest.mark.parametrize("device", DEVICES)
def test_adagrad_moves_further_the_longer_it_runs(device: str) -> None:
    """At n and 4n steps of a constant gradient: the rate halves, the distance about doubles."""
    x, _ = walk(lambda p: torch.optim.Adagrad(p, lr=1.0, eps=0.0), [1.0] * 1024, device)
    for n in (1, 4, 16, 64, 256):
        assert x[n] - x[4 * n] > x[0] - x[n]
        assert x[n] - x[4 * n] >= 1.5 * math.sqrt(n)
        assert (x[4 * n - 1] - x[4 * n]) == pytest.approx((x[n - 1] - x[n]) / 2)
    assert close(-x[-1], path(np.ones(1024)), 100)


@given(sizes=st.lists(st.integers(1, 64).map(lambda k: k / 8), min_size=2, max_size=40),
       first=st.integers(1, 39), eps=st.sampled_from([0.0, 0.5]))  # fmt: skip
@EXAMPLES
def test_a_block_in_which_the_sum_doubles_is_long(sizes: list[float], first: int, eps: float) -> None:
    """The two inequalities of the divergence proof, on any sequence."""
    g = np.array(sizes)
    total = np.cumsum(g**2)
    n = min(first, len(g) - 1)
    block = path(g, eps=eps) - path(g[:n], eps=eps)
    share = 1 - total[n - 1] / total[-1]
    assert block >= share / (2 if eps else 1) - 1e-12 or (eps and math.sqrt(total[n]) < eps)


@pytest.mark.parametrize("eps", [0.0, 0.5])
def test_the_path_is_finite_where_the_gradients_can_be_summed(eps: float) -> None:
    g = 0.5 ** np.arange(1, 60)
    assert path(g, eps=eps) <= g.sum() / (g[0] + eps)
    rate = 1 / (math.sqrt((g**2).sum()) + eps)
    assert rate >= 1 / (g.sum() + eps)
    harmonic = 1 / np.arange(1, 200_001)  # Σ g² < ∞, Σ g = ∞
    assert path(harmonic) - path(harmonic[:20_000]) > 0.75 * math.log(10)


@pytest.mark.parametrize("eta", [0.25, 1.0, 4.0])
def test_with_rate_decay_adagrad_stops(eta: float) -> None:
    draw = np.random.default_rng(0)
    for g in (np.ones(200_000), draw.uniform(0.5, 2, 200_000)):
        assert path(g, eta=eta) <= g.max() / g.min() * (1 + 4 / eta)
    assert path(np.ones(200_000)) > 800


@pytest.mark.parametrize("device", DEVICES)
def test_torch_decays_adagrads_rate_so(device: str) -> None:
    x, _ = walk(lambda p: torch.optim.Adagrad(p, lr=1.0, lr_decay=0.5, eps=0.0), [1.0] * 200, device)
    assert close(-x[-1], path(np.ones(200), eta=0.5))


def test_adagrads_claims_say_nothing_of_other_rules() -> None:
    about = [adagrad.adagrad_dies, adagrad.adagrad_path, adagrad.adagrad_decay_stops]
    for judge in about:
        assert {n for n in RULES if judge(paper_of(n)) is not None} == {"adagrad"}


# -- momentum --------------------------------------------------------------------------------------

LRS = [ALPHA, ALPHA, ALPHA / 2, ALPHA / 8, ALPHA, ALPHA, ALPHA / 4, ALPHA]


@pytest.mark.parametrize("device", DEVICES)
@given(gradients=GRADIENTS, mu=BETA)
@EXAMPLES
def test_momentum_conventions_on_torch_with_a_schedule(
    gradients: list[float], mu: float, device: str
) -> None:
    x, state = walk(lambda p: torch.optim.SGD(p, lr=ALPHA, momentum=mu), gradients, device, LRS)
    mean = held = gap = 0.0
    average, inside = [0.0], [0.0]
    for t, (gradient, lr) in enumerate(zip(gradients, LRS, strict=True)):
        mean = mu * mean + (1 - mu) * gradient
        held = mu * held + lr * gradient
        average.append(average[-1] - lr / (1 - mu) * mean)
        inside.append(inside[-1] - held)
        if t:
            gap = mu * gap + mu * (lr - LRS[t - 1]) * state[t - 1]["momentum_buffer"]
        moved = x[t + 1] - x[t] - (inside[t + 1] - inside[t])
        assert close(-gap, moved, 1e4)
    assert np.allclose(x, average, rtol=1e-9, atol=1e-9)
    assert np.allclose(x[:3], inside[:3], rtol=1e-9, atol=1e-9)  # the rate changes at step 3


@pytest.mark.parametrize("device", DEVICES)
@given(gradients=GRADIENTS, mu=BETA)
@EXAMPLES
def test_torch_starts_its_dampened_buffer_at_the_first_gradient(
    gradients: list[float], mu: float, device: str
) -> None:
    _, state = walk(lambda p: torch.optim.SGD(p, lr=ALPHA, momentum=mu, dampening=mu), gradients, device)
    mean = gradients[0]
    for t, gradient in enumerate(gradients):
        mean = mu * mean + (1 - mu) * gradient if t else mean
        assert close(state[t]["momentum_buffer"], mean, 10)


# -- rare gradients --------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("eps", [2**-20, 0.5])
@given(k=st.integers(1, 6), beta1=BETA, beta2=BETA, g=st.integers(1, 32).map(lambda n: n / 8))
@EXAMPLES
def test_the_step_for_a_rare_gradient(
    k: int, beta1: float, beta2: float, g: float, eps: float, device: str
) -> None:
    periods = 4
    x, _ = walk(
        lambda p: torch.optim.Adam(p, lr=ALPHA, betas=(beta1, beta2), eps=eps),
        ([0.0] * (k - 1) + [g]) * periods, device,
    )  # fmt: skip
    at = {alpha: ALPHA, sym_beta1: beta1, sym_beta2: beta2, sym_eps: eps, sym_g: g}
    told = float(sparse.event().subs(at | {sparse.K1: beta1**k, sparse.K2: beta2**k}))
    for n in range(1, periods + 1):
        assert close(x[n * k] - x[n * k - 1], told)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("beta1", "beta2"), [(0.5, 0.75), (0.9, 0.99), (0.75, 0.5)])
def test_the_drift_between_rare_gradients_is_geometric_in_the_end(
    beta1: float, beta2: float, device: str
) -> None:
    k, periods = 4, 400
    x, _ = walk(
        lambda p: torch.optim.Adam(p, lr=ALPHA, betas=(beta1, beta2), eps=0.0),
        [1.0] + ([0.0] * (k - 1) + [1.0]) * periods, device,
    )  # fmt: skip
    moved = np.diff(x)[-k - 1 : -1]  # a gradient and k − 1 silent steps
    rho = beta1 / math.sqrt(beta2)
    assert moved / moved[0] == pytest.approx(rho ** np.arange(k), rel=1e-6)
    assert moved.sum() == pytest.approx(moved[0] * (1 - rho**k) / (1 - rho), rel=1e-6)


def test_at_the_default_betas_rare_steps_are_first_shorter_then_longer() -> None:
    told = [(1 - 0.9) / (1 - 0.9**k) * math.sqrt((1 - 0.999**k) / (1 - 0.999)) for k in range(1, 20_001)]
    assert told[0] == pytest.approx(1)
    assert told[1] < 1 < told[-1]
    case = sparse.sparse_gradient_exact(paper_of("adam"))
    assert case is not None
    texts = " ".join(step.text for step in case.steps)
    step, walked = math.sqrt(10), math.sqrt(10) / (1 - 0.9 / math.sqrt(0.999))
    assert told[-1] == pytest.approx(step, rel=1e-6)
    assert f"at least {math.floor(step)}·α" in texts
    assert f"more than {math.floor(walked)}·α" in texts


# -- warmup ----------------------------------------------------------------------------------------


def largest(beta1: float, beta2: float, t: int) -> float:
    """The largest |Σ w_i g_i|/√(Σ u_i g_i²), by an eigenvalue and not by Cauchy–Schwarz."""
    age = np.arange(t)
    w = (1 - beta1) * beta1**age / (1 - beta1**t)
    u = (1 - beta2) * beta2**age / (1 - beta2**t)
    scaled = w / np.sqrt(u)
    return math.sqrt(np.linalg.eigvalsh(np.outer(scaled, scaled))[-1])


@given(one=st.integers(1, 63), two=st.integers(8, 63))
@EXAMPLES
def test_the_longest_possible_step_grows_from_the_rate(one: int, two: int) -> None:
    p = {"beta1": Fraction(one, 64), "beta2": Fraction(two, 64)}
    told = [float(warmup.bound(p, t)) for t in range(1, 9)]
    seen = [largest(one / 64, two / 64, t) for t in range(1, 9)]
    assert told == pytest.approx(seen, rel=1e-9)
    assert told[0] == 1
    assert all(b >= a * (1 - 1e-12) for a, b in itertools.pairwise(told))
    assert (told[-1] == pytest.approx(1)) == (one == two)


@pytest.mark.parametrize("device", DEVICES)
@given(gradients=GRADIENTS, beta1=BETA, beta2=BETA, w=st.integers(1, 8))
@EXAMPLES
def test_the_first_steps_stay_within_the_bound_with_and_without_warmup(
    gradients: list[float], beta1: float, beta2: float, w: int, device: str
) -> None:
    p = {"beta1": Fraction(beta1), "beta2": Fraction(beta2)}
    t = np.arange(1, len(gradients) + 1)
    for lrs in (np.full(len(t), ALPHA), ALPHA * np.minimum(t / w, 1)):
        x, _ = walk(
            lambda q: torch.optim.Adam(q, lr=ALPHA, betas=(beta1, beta2), eps=0.0),
            gradients, device, list(lrs),
        )  # fmt: skip
        bounds = lrs * [float(warmup.bound(p, int(k))) for k in t]
        assert np.all(np.abs(np.diff(x)) <= bounds * (1 + 1e-9) + 1e-12)
        assert np.all(np.abs(x[1:]) <= np.cumsum(bounds) * (1 + 1e-9))
        assert x[1] == pytest.approx(-lrs[0] * np.sign(gradients[0]))


@pytest.mark.parametrize(("w", "total", "low"), [(4, 12, 0.0), (5, 20, 0.125), (1, 9, 0.25)])
def test_torchs_schedulers_make_the_schedule(w: int, total: int, low: float) -> None:
    """LinearLR from α/w, then CosineAnnealingLR; step t runs at rate α_t."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedulers = torch.optim.lr_scheduler
    linear = schedulers.LinearLR(optimizer, start_factor=1 / w, total_iters=max(w - 1, 1))
    cosine = schedulers.CosineAnnealingLR(optimizer, T_max=total - w, eta_min=low)
    seen = []
    for t in range(1, total + 1):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        (linear if t < w else cosine).step()
    c = [math.cos(math.pi * (t - w) / (total - w)) for t in range(w, total + 1)]
    told = [t / w for t in range(1, w)] + [low + (1 - low) * (1 + k) / 2 for k in c]
    assert seen == pytest.approx(told, abs=1e-12)
    assert sum(seen[:w]) == pytest.approx((w + 1) / 2)
    assert sum(seen[w - 1 :]) == pytest.approx((total - w + 1) * (1 + low) / 2)


# -- how far a step can go -------------------------------------------------------------------------

AMSGRADS: list[Callable[..., torch.optim.Optimizer]] = [
    lambda p, **kw: torch.optim.Adam(p, amsgrad=True, **kw),
    lambda p, **kw: optimizers.AMSGrad(p, correction="before_max", **kw),
]


@given(one=st.integers(1, 63), two=st.integers(8, 63))
@EXAMPLES
def test_the_bound_on_a_step_is_the_largest_one(one: int, two: int) -> None:
    p = {"beta1": Fraction(one, 64), "beta2": Fraction(two, 64)}
    seen = [largest(one / 64, two / 64, t) for t in range(1, 7)]
    assert [float(step_bound.bound(p, t)) for t in range(1, 7)] == pytest.approx(seen, rel=1e-9)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("make", AMSGRADS)
@given(gradients=GRADIENTS, beta1=BETA, beta2=BETA)
@EXAMPLES
def test_a_maximum_only_shortens_the_steps(
    make: Callable[..., torch.optim.Optimizer],
    gradients: list[float],
    beta1: float,
    beta2: float,
    device: str,
) -> None:
    x, _ = walk(lambda p: make(p, lr=ALPHA, betas=(beta1, beta2), eps=0.0), gradients, device)
    p = {"beta1": Fraction(beta1), "beta2": Fraction(beta2)}
    for t in range(1, len(x)):
        assert abs(x[t] - x[t - 1]) <= ALPHA * float(step_bound.bound(p, t)) * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_penalised_gradient_reaches_the_bound_too(decay: float, device: str) -> None:
    """What enters is chosen; the gradient is that less the penalty."""
    beta1, beta2, steps = 0.75, 0.875, 5
    param = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64, device=device))
    optimizer = torch.optim.Adam([param], ALPHA, (beta1, beta2), eps=0.0, weight_decay=decay)
    before = 0.0
    for i in range(1, steps + 1):
        before = float(param.item())
        param.grad = torch.full_like(param, (beta1 / beta2) ** (steps - i) - decay * before)
        optimizer.step()
    p = {"beta1": Fraction(beta1), "beta2": Fraction(beta2)}
    assert close(abs(float(param.item()) - before), ALPHA * float(step_bound.bound(p, steps)))


# -- without correction ----------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_torchs_rmsprop_starts_with_ten_times_its_rate(device: str) -> None:
    x, _ = walk(lambda p: torch.optim.RMSprop(p, lr=ALPHA, alpha=0.99, eps=0.0), [3.0], device)
    assert x[1] == pytest.approx(-10 * ALPHA, rel=1e-12)


@given(one=st.integers(0, 63), two=st.integers(1, 63))
@EXAMPLES
def test_uncorrected_steps_are_never_longer_iff_the_second_beta_is_no_larger(one: int, two: int) -> None:
    b1, b2 = Fraction(one, 64), Fraction(two, 64)
    above = [(1 - b1**t) ** 2 > 1 - b2**t for t in range(1, 65)]  # t > 1/s, s = b2/b1 − 1 ≥ 1/63
    assert any(above) == (b2 > b1)


def test_a_small_first_step_says_nothing_of_the_next_ones() -> None:
    ratio = [(1 - 0.9**t) / math.sqrt(1 - 0.95**t) for t in range(1, 11)]
    assert ratio[0] < 0.45
    assert ratio[9] > 1.02
    peak = max(range(1, 20_000), key=lambda t: (1 - 0.9**t) / math.sqrt(1 - 0.999**t))
    assert peak == uncorrected.PEAK
    told = (1 - 0.9**peak) / math.sqrt(1 - 0.999**peak)
    assert told == pytest.approx(float(uncorrected.PEAK_VALUE), abs=1e-4)


# -- what averages estimate ------------------------------------------------------------------------


def test_the_four_window_measures_are_in_the_told_order() -> None:
    for b in np.linspace(0.001, 0.999, 999):
        tau = -1 / math.log(b)
        half, age, size = tau * math.log(2), b / (1 - b), (1 + b) / (1 - b)
        assert max(half, age) < tau < 1 / (1 - b) < size
        assert (half > age) == (b < 0.5) or math.isclose(b, 0.5)


def test_adabeliefs_average_tends_to_the_told_share_of_the_variance() -> None:
    """E ŝ_t by its recursion, in the exact moments of m: mean 3, variance 2."""
    mean, var, b1, b2 = 3.0, 2.0, 0.75, 0.875
    first = spread = s = 0.0
    for _ in range(400):
        gap = b1**2 * (var + spread + (mean - first) ** 2)
        first, spread = b1 * first + (1 - b1) * mean, b1**2 * spread + (1 - b1) ** 2 * var
        s = b2 * s + (1 - b2) * gap
    assert s == pytest.approx(var * 2 * b1**2 / (1 + b1), rel=1e-12)
    assert gap == pytest.approx(s, rel=1e-12)


# -- the variance of the rate ----------------------------------------------------------------------


def shell(t: int, r: float) -> float:
    """P(r/2 < √(g_1² + … + g_t²) ≤ r) for independent standard normal g_i, in closed form."""

    def below(y: float) -> float:
        if t == 2:
            return -math.expm1(-y * y / 2)
        tail = math.sqrt(2 / math.pi) * y * math.exp(-y * y / 2) if t == 3 else 0.0
        return math.erf(y / math.sqrt(2)) - tail

    return below(r) - below(r / 2)


def test_the_shells_add_what_the_proof_says() -> None:
    most = 1 / math.sqrt(2 * math.pi)  # F and f: the density's bounds on [−1, 1]
    least = most * math.exp(-0.5)
    for j in range(12):
        r = 0.5**j
        assert shell(1, r) / r >= least
        assert shell(2, r) / r**2 >= least**2 / 2
        for t, p in ((2, 1), (3, 1), (3, 2)):
            assert (2 / r) ** p * shell(t, r) <= (4 * most) ** p * (2 * most) ** (t - p) * r


def test_the_mean_of_the_rate_is_finite_from_the_second_step_on() -> None:
    """E 1/√N for t = 2 and 3 standard normals, and E 1/N for t = 3, against the bound of the proof."""
    most = 1 / math.sqrt(2 * math.pi)
    known = {(2, 1): math.sqrt(math.pi / 2), (3, 1): math.sqrt(2 / math.pi), (3, 2): 1.0}
    for (t, p), value in known.items():
        assert value <= 1 + 2 * (4 * most) ** p * (2 * most) ** (t - p)
