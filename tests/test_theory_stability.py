"""Stability on a quadratic: thresholds and two-cycles against eigenvalues and real optimizers."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adamproof.proofs_check.subjects import Subject, builtin
from adamproof.theory import jury
from adamproof.theory.faithful import paper_of
from adamproof.theory.oscillator import Oscillator, c, d, oscillator
from adamproof.theory.rules import RULES
from adamproof.theory.sign_steps import sign_move
from adamproof.theory.symbols import alpha, beta1, beta2, lambda_, mu, tau
from adamproof.theory.two_cycle import X, cycle, is_adams, polynomial, theta

pytestmark = pytest.mark.usefixtures("double")

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
#: One form of each optimizer that runs on its own; foreach and reference forms run the same rule.
#: Left out: here the belief is below its ε, the clip not that of ε, β2 too small for a RAdam that waits.
OUT = ("AdaBelief", "AdaBound", "AMSBound", "before='nothing'")
CODE = {n: s for n, s in builtin().items()
        if s.recipe is not None and "foreach=True" not in n and "Reference" not in n
        and oscillator(paper_of(s.against)) is not None and not any(k in n for k in OUT)}  # fmt: skip
#: ψ = 8 lets NAdam's schedule end; ε = 1 beside gradients of 1e-9 keeps every denominator at 1.
VALUES = {"alpha": 0.5, "beta1": 0.75, "beta2": 0.5, "eps": 1.0, "mu": 0.75, "tau": 0.25,
          "lambda_": 0.25, "rho": 0.5, "eta": 0.0, "psi": 8.0}  # fmt: skip
FEW = settings(max_examples=50, deadline=None)
INSIDE = st.floats(0.01, 0.99)


def osc(name: str) -> Oscillator:
    found = oscillator(paper_of(name))
    assert found is not None
    return found


def number(e: sp.Expr, **values: float) -> float:
    known = {**VALUES, "c": 1.0, "d": 1.0, **values}
    return float(e.subs({s: known[s.name] for s in e.free_symbols}))


def simulate(subject: Subject, device: str, curvature: float, start: float, steps: int,
             **values: float) -> list[float]:  # fmt: skip
    """Run the optimizer on curvature·x²/2; the gradient is the one at x."""
    assert subject.recipe is not None
    param = torch.nn.Parameter(torch.tensor([start], device=device))
    optimizer = subject.recipe.build([param], {**VALUES, **values}, symbolic=False)
    out = [start]
    for _ in range(steps):
        param.grad = curvature * param.detach()
        optimizer.step()
        out.append(float(param.detach()))
    return out


# -- thresholds ------------------------------------------------------------------------------------


def test_every_family_has_a_threshold() -> None:
    """But for rules that move by a sign: no step of theirs shrinks with the gradient."""
    missing = {n for n in RULES if oscillator(paper_of(n)) is None}
    assert missing == {n for n in RULES if sign_move(paper_of(n))} != set()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", CODE)
def test_an_optimizer_converges_below_its_threshold_and_not_above(name: str, device: str) -> None:
    """It grows until the gradient is felt in the denominator; AMSGrad then remembers it."""
    o, start = osc(CODE[name].against), 1e-9
    edge = number(o.threshold)
    below = simulate(CODE[name], device, 0.97 * edge, start, 300)
    above = simulate(CODE[name], device, 1.03 * edge, start, 300)
    assert max(map(abs, below[-10:])) < start / 100
    grown = next(t for t, x in enumerate(above) if abs(x) > start * 100)
    assert above[grown] * above[grown - 1] < 0  # it swings


#: By hand, from the papers: heavy ball, Nesterov, averaged momentum.
BY_HAND = {
    "sgd": 2 / alpha,
    "sgd+l2": 2 / alpha - lambda_,
    "sgd+decay": (2 - lambda_) / alpha,
    "sgd+dampening": 2 / ((1 - tau) * alpha),
    "sgd+momentum": (2 + 2 * mu) / alpha,
    "sgd+momentum+nesterov": (2 + 2 * mu) / ((1 + 2 * mu) * alpha),
    "sgd+momentum+late-dampening": (2 + 2 * mu) / ((1 - tau) * alpha),
    "adam": d * (2 + 2 * beta1) / ((1 - beta1) * alpha),
    "adam+l2": d * (2 + 2 * beta1) / ((1 - beta1) * alpha) - lambda_,
    "adamw": d * (1 + beta1) * (2 - alpha * lambda_) / ((1 - beta1) * alpha),
    "nadam": d * (2 + 2 * beta1) / ((1 - beta1) * (1 + 2 * beta1) * alpha),
    "rmsprop+momentum": d * (2 + 2 * mu) / alpha,
    "adamw-uncoupled": d * (1 + beta1) * (2 - lambda_) / ((1 - beta1) * alpha),
    **dict.fromkeys(("rmsprop", "adagrad", "adadelta"), 2 * d / alpha),
    **dict.fromkeys(("rmsprop+l2", "adagrad+l2"), 2 * d / alpha - lambda_),
    **dict.fromkeys(
        ("amsgrad", "radam", "adamax", "adabelief"), d * (2 + 2 * beta1) / ((1 - beta1) * alpha)
    ),
    **dict.fromkeys(("adabound", "amsbound"), d * (2 + 2 * beta1) / (1 - beta1)),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_threshold_is_the_one_of_the_papers(name: str) -> None:
    assert sp.simplify(osc(name).threshold - BY_HAND[name]) == 0


POINT = st.fixed_dictionaries(
    {"alpha": st.floats(0.1, 2), "d": st.floats(0.1, 9)}
    | dict.fromkeys(("beta1", "mu", "lambda_"), INSIDE)
)
MIXED = ["sgd", "sgd+momentum+nesterov", "sgd+momentum+decay", "adamw", "nadam"]


@pytest.mark.parametrize("name", MIXED)
@given(values=POINT, at=st.floats(0.2, 2))
@FEW
def test_the_roots_leave_the_disk_at_the_threshold(
    name: str, values: dict[str, float], at: float
) -> None:
    o = osc(name)
    assume(abs(at - 1) > 1e-3)
    assume(number(o.threshold, **values) > 0)
    values["c"] = at * number(o.threshold, **values)
    roots = np.roots([1, -number(o.trace, **values), number(o.determinant, **values)])
    assert (max(abs(roots)) < 1) == (at < 1)
    assert at < 1 or min(roots.real) < -1


@given(r=st.floats(-1.5, 1.5), T=st.floats(-3, 3), D=st.floats(-2, 2))
@FEW
def test_the_margins_of_a_cubic_say_where_its_roots_are(r: float, T: float, D: float) -> None:
    coefficients = (-(r + T), r * T + D, -r * D)
    margins = [float(e) for e in jury.cubic(*coefficients).values()]
    radius = max(abs(np.roots([1, *coefficients])))
    assume(min(map(abs, margins)) > 1e-6)
    assert (radius < 1) == (min(margins) > 0)
    assert margins[-1] > 0 or radius > 1


# -- two-cycles ------------------------------------------------------------------------------------


def half_swing(name: str, curvature: float, **values: float) -> float:
    found = cycle(paper_of(name))
    assert found is not None
    return number(found.edge, **values) - values.get("eps", 0.0) / curvature


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("eps", [0.0, 0.05])
@pytest.mark.parametrize("name", ["torch.optim:Adam", "torch.optim:AdamW", "torch.optim:NAdam",
                                  "torch.optim:RMSprop", "adamproof.optimizers:Adam"])  # fmt: skip
def test_an_optimizer_is_drawn_to_the_two_cycle_at_a_small_beta1(
    name: str, eps: float, device: str
) -> None:
    values = {"beta1": 0.0625, "beta2": 0.75, "eps": eps, "lambda_": 0.125}
    xs = simulate(CODE[name], device, 2.0, 0.3, 1500, **values)
    swing = half_swing(CODE[name].against, 2.0, **values)
    assert swing > 0.05
    assert [abs(x) for x in xs[-4:]] == pytest.approx([swing] * 4, rel=1e-9)
    assert all(a * b < 0 for a, b in itertools.pairwise(xs[-4:]))


@pytest.mark.parametrize("device", DEVICES)
def test_adam_at_the_default_betas_leaves_the_two_cycle_in_bursts(device: str) -> None:
    values = {"beta1": 0.9, "beta2": 0.999, "eps": 0.0}
    xs = simulate(CODE["torch.optim:Adam"], device, 1.0, 0.3, 4000, **values)[2000:]
    swing = half_swing("adam", 1.0, **values)
    assert swing == pytest.approx(0.5 / 38)
    assert max(map(abs, xs)) > 2 * swing
    assert min(abs(a - b) for a, b in itertools.pairwise(xs)) < swing / 2


def flipped(state: np.ndarray, b1: float, b2: float, eps: float) -> np.ndarray:
    """Return (−x', −m', v') after a late step of Adam with α = 1 on x²/2, written out again."""
    x, m, v = state
    m, v = b1 * m + (1 - b1) * x, b2 * v + (1 - b2) * x**2
    return np.array([-(x - m / (np.sqrt(v) + eps)), -m, v])


@given(b1=INSIDE, b2=INSIDE, share=st.floats(0, 0.9))
@FEW
def test_the_cubic_of_the_two_cycle_has_the_eigenvalues_of_its_derivative(
    b1: float, b2: float, share: float
) -> None:
    assume(abs(b1 - b2) > 1e-3)
    edge = (1 - b1) / (2 * (1 + b1))
    eps = share * edge
    swing = edge - eps
    point = np.array([swing, -(1 - b1) * swing / (1 + b1), swing**2])
    assert flipped(point, b1, b2, eps) == pytest.approx(point)
    # complex steps: derivatives without cancellation
    columns = [flipped(point + 1e-30j * e, b1, b2, eps).imag / 1e-30 for e in np.eye(3)]
    characteristic = np.poly(np.array(columns).T)
    _, coefficients = polynomial(paper_of("adam"))
    told = [number(e, beta1=b1, beta2=b2, theta=swing / edge) for e in coefficients]
    assert characteristic[1:] == pytest.approx(told, rel=1e-9, abs=1e-9)
    margin = (1 - b1) * (1 - b1 * b2) - 2 * swing / edge * b1 * (1 + b2)
    assume(abs(margin) > 1e-6)
    assert (max(abs(np.linalg.eigvals(np.array(columns).T))) < 1) == (margin > 0)


@pytest.mark.parametrize(("share", "attracts"), [(1.0, False), (0.0029, False), (0.0028, True)])
def test_at_the_default_betas_the_cycle_attracts_only_where_eps_nearly_ends_it(
    share: float, attracts: bool
) -> None:
    b1, b2, edge = 0.9, 0.999, 0.1 / 3.8
    eps, swing = (1 - share) * edge, share * edge
    point = np.array([swing, -(1 - b1) * swing / (1 + b1), swing**2])
    columns = [flipped(point + 1e-30j * e, b1, b2, eps).imag / 1e-30 for e in np.eye(3)]
    assert (max(abs(np.linalg.eigvals(np.array(columns).T))) < 1) == attracts


@pytest.mark.parametrize("share", [1.0, 0.5, 0.125])
def test_a_remembered_maximum_lets_every_smaller_swing_go_on(share: float) -> None:
    """AMSGrad with β1 = 0: a first gradient sets the maximum, and then x swings at a share of X."""
    param = torch.nn.Parameter(torch.tensor([0.0]))
    optimizer = torch.optim.Adam([param], lr=1.0, betas=(0.0, 0.5), eps=0.0, amsgrad=True)
    for _ in range(60):  # u_t/(1 − β2^t) settles at (cX)², X = 1/2
        param.grad = torch.tensor([0.5])
        optimizer.step()
    param.data.fill_(share / 2)
    for t in range(40):
        assert float(param.detach()) == pytest.approx((-1) ** t * share / 2, rel=1e-6)
        param.grad = param.detach().clone()
        optimizer.step()


def test_the_symbols_of_the_cubic_are_those_of_its_parameters() -> None:
    _, coefficients = polynomial(paper_of("adam"))
    assert set().union(*(e.free_symbols for e in coefficients)) == {beta1, beta2, theta}
    assert {n for n in RULES if is_adams(paper_of(n))} >= {"adam", "adam-eps-hat", "radam"}
    assert not is_adams(paper_of("adamw"))
    assert X.is_positive
    assert c.is_positive


def test_adam_without_momentum_swings_from_the_first_step() -> None:
    trace = paper_of("adam").run({"alpha": Fraction(1), "beta1": Fraction(0)},
                                 [Fraction(k, 2) for k in (1, -1, 1)], Fraction(1, 2))  # fmt: skip
    assert [x.lo for x in trace.x] == [Fraction(k, 2) for k in (1, -1, 1, -1)]
