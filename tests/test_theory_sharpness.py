"""Sharpness and the null space: torch's Hessians, and real optimizers on Wilson's data."""

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from adamproof.proofs_check.subjects import builtin
from adamproof.theory import sharpness
from adamproof.theory.catalogue import claims
from adamproof.theory.faithful import paper_of
from adamproof.theory.nullspace import own
from adamproof.theory.records import Case

pytestmark = pytest.mark.usefixtures("double")

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
CODE = {n: s for n, s in builtin().items()
        if s.recipe is not None and "foreach=True" not in n and "Reference" not in n}  # fmt: skip
FEW = settings(max_examples=20, deadline=None)
PART = st.floats(0.2, 3)
WEIGHTS = st.tuples(PART, PART, PART, PART, st.floats(-3, 3).filter(lambda v: abs(v) > 0.1), PART)
TARGETS = st.tuples(*[st.floats(-2, 2)] * 3)
TOLD = sp.lambdify((*sharpness.PARAMETERS, *sharpness.TARGETS), sharpness.hessian())


def case(claim: str, rule: str = "adam") -> Case | None:
    return claims()[claim].judge(paper_of(rule))


# -- the Hessian -----------------------------------------------------------------------------------


def output(theta: Tensor, at: Tensor) -> Tensor:
    w1, b1, v1, w2, b2, v2 = theta
    return v1 * torch.relu(w1 * at + b1) + v2 * torch.relu(b2 - w2 * at)


def loss(theta: Tensor, targets: Tensor) -> Tensor:
    at = torch.tensor([-1.0, 0.0, 1.0], device=theta.device)
    return ((output(theta, at) - targets) ** 2).sum() / 2


def hessian(theta: Tensor, targets: Tensor) -> Tensor:
    # not torch.func.hessian: its forward mode warns of torch.jit, and here a warning is an error
    found: Tensor = torch.func.jacrev(torch.func.grad(loss))(theta, targets)
    return found


def weights(parts: tuple[float, ...], device: str) -> Tensor:
    b1, s1, b2, s2, v1, v2 = parts
    return torch.tensor([b1 + s1, b1, v1, b2 + s2, b2, v2], device=device)


@pytest.mark.parametrize("device", DEVICES)
@given(parts=WEIGHTS, targets=TARGETS, a=st.floats(0.25, 4))
@FEW
def test_a_rescaling_changes_torchs_hessian_as_proved(
    parts: tuple[float, ...], targets: tuple[float, ...], a: float, device: str
) -> None:
    theta, y = weights(parts, device), torch.tensor(targets, device=device)
    factors = torch.tensor([a, a, 1 / a, 1, 1, 1], device=device)
    moved, before = factors * theta, hessian(theta, y)
    after = hessian(moved, y)
    grid = torch.linspace(-5, 5, 41, device=device)
    torch.testing.assert_close(output(moved, grid), output(theta, grid))
    torch.testing.assert_close(after, before / factors / factors[:, None])
    torch.testing.assert_close(before.cpu(), torch.tensor(TOLD(*theta.tolist(), *targets)))
    p, q, rest = before[0, 0] + before[1, 1], before[2, 2], before[3:, 3:].trace()
    torch.testing.assert_close(after.trace(), p / a**2 + q * a**2 + rest)
    assert torch.linalg.eigvalsh(after)[-1] >= a**2 * q * (1 - 1e-12)
    torch.testing.assert_close(moved**2 * after.diag(), theta**2 * before.diag())
    torch.testing.assert_close(moved @ after @ moved, theta @ before @ theta)


@given(parts=WEIGHTS)
@FEW
def test_at_a_minimum_the_form_in_the_weights_is_a_property_of_the_function(
    parts: tuple[float, ...],
) -> None:
    theta = weights(parts, "cpu")
    fitted = output(theta, torch.tensor([-1.0, 0.0, 1.0]))
    matrix = hessian(theta, fitted)
    torch.testing.assert_close(theta @ matrix @ theta, 4 * (fitted**2).sum())
    errors = torch.tensor([0.5, -1.0, 2.0])
    off = hessian(theta, fitted - errors)
    told = (4 * fitted**2 + 2 * errors * fitted).sum()
    torch.testing.assert_close(theta @ off @ theta, told)
    p, q = float(matrix[0, 0] + matrix[1, 1]), float(matrix[2, 2])
    a = np.geomspace(1e-2, 1e2, 4001)
    assert min(p / a**2 + q * a**2) == pytest.approx(2 * (p * q) ** 0.5, rel=1e-5)


def test_the_same_function_is_sharper_in_torch_too() -> None:
    def simple(theta: Tensor) -> Tensor:
        return (theta[1] * torch.relu(theta[0]) - 1) ** 2 / 2

    statement = case("sharpness-reparametrisation")
    assert statement is not None
    assert statement.statement is not None
    for k in (1.0, 2.0, 10.0):
        matrix = torch.func.jacrev(torch.func.grad(simple))(torch.tensor([k, 1 / k]))
        told = float(statement.statement.lhs.subs(sharpness.a, sp.Rational(k)))  # type: ignore[union-attr]
        assert float(matrix.trace()) == pytest.approx(told)
        assert float(torch.linalg.eigvalsh(matrix)[-1]) == pytest.approx(told)


@given(parts=WEIGHTS, targets=TARGETS)
@FEW
def test_without_an_outgoing_weight_the_least_trace_is_not_reached(
    parts: tuple[float, ...], targets: tuple[float, ...]
) -> None:
    theta = weights((*parts[:4], 0.0, parts[5]), "cpu")
    matrix = hessian(theta, torch.tensor(targets))
    incoming, q = float(matrix[0, 0] + matrix[1, 1]), float(matrix[2, 2])
    assert incoming == 0 < q
    general = hessian(weights(parts, "cpu"), torch.tensor(targets))
    assert float(general[0, 0] + general[1, 1]) == pytest.approx(3 * parts[4] ** 2)


# -- the box of Keskar et al. ----------------------------------------------------------------------


def risen(a: float, radius: float, one: float, device: str = "cpu") -> float:
    """Return the largest relative rise of the loss on a grid in the box, in per cent."""
    theta = torch.tensor([a, 1 / a], device=device)
    side = radius * (theta + one)
    across = torch.linspace(-1, 1, 201, device=device)
    w, v = theta[0] + side[0] * across[:, None], theta[1] + side[1] * across
    return float(100 * ((v * torch.relu(w) - 1) ** 2 / 2).max())


@pytest.mark.parametrize("device", DEVICES)
@given(a=st.floats(0.05, 20), radius=st.sampled_from([1e-3, 5e-4, 0.1, 0.9, 3.0]))
@FEW
def test_the_largest_rise_in_the_box_depends_on_the_weights(
    a: float, radius: float, device: str
) -> None:
    corner = radius * (1 + radius) * (1 + a) ** 2 / a
    assert risen(a, radius, 1, device) == pytest.approx(50 * corner**2, rel=1e-6)
    bare = 50 * (2 * radius + radius**2) ** 2
    assert risen(a, radius, 0, device) == pytest.approx(bare, rel=1e-6)
    assert risen(a, radius, 1, device) >= 50 * (4 * radius * (1 + radius)) ** 2 * (1 - 1e-6)
    told = sharpness.boxed(1).subs({sharpness.a: a, sharpness.symbol("ε", "positive"): radius})
    assert float(told) == pytest.approx(50 * corner**2)


@given(parts=WEIGHTS, a=st.floats(0.25, 0.8) | st.floats(1.25, 4))
@FEW
def test_a_box_in_proportion_to_the_weights_is_mapped_onto_itself(
    parts: tuple[float, ...], a: float
) -> None:
    theta, y = weights(parts, "cpu"), torch.tensor([0.5, -1.0, 2.0])
    factors = torch.tensor([a, a, 1 / a, 1, 1, 1])
    draw = torch.rand((200, 6), generator=torch.Generator().manual_seed(1)) * 2 - 1
    for one, same in ((0.0, True), (1.0, False)):
        here, there = (torch.stack([loss(at + 0.1 * (at.abs() + one) * d, y) for d in draw])
                       for at in (theta, factors * theta))  # fmt: skip
        assert torch.allclose(here, there) == same


# -- Wilson's data ---------------------------------------------------------------------------------


def wilson(plus: int, minus: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features and labels: the label, two ones, and one or five features of a datum's own."""
    labels = np.array([1.0] * plus + [-1.0] * minus)
    counts = [int(own(int(y))) for y in labels]
    data = np.zeros((len(labels), 3 + sum(counts)))
    data[:, 0], data[:, 1:3] = labels, 1
    for i, first in enumerate(np.cumsum([3, *counts[:-1]])):
        data[i, first : first + counts[i]] = 1
    return data, labels


def fresh(w: np.ndarray, label: int) -> float:
    """Return what w makes of a datum that shares no own features."""
    return float(label * w[0] + w[1] + w[2])


@pytest.mark.parametrize(("plus", "minus"), [(2, 1), (3, 2), (10, 9), (40, 1)])
def test_the_two_solutions_and_their_errors(plus: int, minus: int) -> None:
    data, labels = wilson(plus, minus)
    signs = np.sign(data.T @ labels)
    assert (signs != 0).all()
    assert data @ signs == pytest.approx(4 * labels)
    assert all(fresh(signs / 4, y) > 0 for y in (1, -1))
    least = np.linalg.pinv(data) @ labels
    total = 5 + 15 * plus + 3 * minus + 8 * plus * minus
    given = np.where(labels > 0, 5 + 4 * minus, -(1 + 4 * plus)) / total
    assert data.T @ given == pytest.approx(least)
    assert fresh(least, 1) == pytest.approx((15 * plus + 8 * plus * minus - minus) / total)
    assert fresh(least, -1) == pytest.approx(-(8 * plus * minus + 3 * minus - 5 * plus) / total)
    assert fresh(least, 1) > 0 > fresh(least, -1)


def train(name: str, device: str, steps: int, decay: float = 0.0, **values: float) -> np.ndarray:
    """Return every w of a run on three of label 1 and two of label −1."""
    known = {"alpha": 0.01, "beta1": 0.5, "beta2": 0.75, "eps": 0.0, "mu": 0.5, "tau": 0.25, "rho": 0.5,
             "eta": 0.0, "psi": 1.0, "lambda_": 0.0, **values}  # fmt: skip
    data, labels = (torch.tensor(part, device=device) for part in wilson(3, 2))
    w = torch.nn.Parameter(torch.zeros(data.shape[1], device=device))
    recipe = CODE[name].recipe
    assert recipe is not None
    optimizer = recipe.build([w], known, symbolic=False)
    seen = []
    for t in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = known["alpha"] / (1 + decay * t)
        w.grad = data.T @ (data @ w.detach() - labels)
        optimizer.step()
        seen.append(w.detach().cpu().numpy().copy())
    return np.array(seen)


SIGN = [n for n, s in CODE.items() if case("adaptive-sign-solution", s.against) is not None]
#: Those whose ε leads them off the ray.
DIVIDE = [n for n in SIGN if "eps" in paper_of(CODE[n].against).hyper]
ROWS = [n for n, s in CODE.items() if (c := case("adaptive-nullspace", s.against)) and c.steps]


def test_both_kinds_of_rule_are_there() -> None:
    assert {f"torch.optim:{n}" for n in ("Adam", "RMSprop", "NAdam", "Adamax")} <= {*SIGN}
    assert len(ROWS) >= 8
    assert len(DIVIDE) >= 8
    assert not {*SIGN} & {*ROWS}
    # no decay, no second regime, no ε that is needed to move
    assert not {n for n in SIGN if any(k in n for k in ("AdamW", "RAdam", "Adadelta", "weight_decay"))}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", SIGN)
def test_an_adaptive_optimizer_stays_on_the_ray_of_signs(name: str, device: str) -> None:
    data, labels = wilson(3, 2)
    signs = np.sign(data.T @ labels)
    for w in train(name, device, 30):
        assert w * signs == pytest.approx([w[0]] * len(w), rel=1e-9)
        assert w[0] != 0
        assert fresh(w, -1) * w[0] > 0  # a new datum of label −1 is on the side of label 1
    if name in DIVIDE:
        apart = train(name, device, 3, eps=0.5)[-1] * signs
        assert max(apart) - min(apart) > 1e-4


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ROWS)
def test_a_linear_rule_stays_in_the_row_space(name: str, device: str) -> None:
    data, _ = wilson(3, 2)
    onto = np.linalg.pinv(data) @ data
    for w in train(name, device, 30, lambda_=0.125):
        assert onto @ w == pytest.approx(w, abs=1e-12)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["Adam(weight_decay=0.1)", "AdamW", "RAdam", "Adadelta", "Adam"])
def test_other_adaptive_optimizers_leave_the_row_space(name: str, device: str) -> None:
    data, _ = wilson(3, 2)
    onto = np.linalg.pinv(data) @ data
    seen = train(f"torch.optim:{name}", device, 12, beta2=31 / 32, eps=1e-3, rho=0.75, lambda_=0.125)
    out = [abs(onto @ w - w).max() for w in seen]
    if name == "RAdam":
        assert max(out[:5]) < 1e-12 < 1e-6 < min(out[5:])
    else:
        assert min(out) > 1e-4


@pytest.mark.parametrize("device", DEVICES)
def test_where_they_end(device: str) -> None:
    data, labels = wilson(3, 2)
    least, signs = np.linalg.pinv(data) @ labels, np.sign(data.T @ labels)
    assert train("torch.optim:SGD", device, 3000, alpha=0.05)[-1] == pytest.approx(least, abs=1e-9)
    for name in ("torch.optim:Adam", "torch.optim:RMSprop"):
        end = train(name, device, 3000, decay=1.0, alpha=0.05)[-1]
        assert end == pytest.approx(signs / 4, abs=2e-3)
        assert abs(data @ end - labels).max() < 1e-2
        assert np.linalg.norm(end) > np.linalg.norm(least) + 0.1
