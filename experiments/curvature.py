"""Curvature of K models at once: Hessian times vector, Lanczos, Hutchinson.

Every member has its own Hessian H (P, P), of its own loss and parameters, never formed.  With the
gradients' graph kept, H v of all members costs one backward pass: the gradient of Σ_k g_k·v_k, in which
each member appears alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Leaves = Sequence[Tensor]
Operator = Callable[[Tensor], Tensor]
"""Takes vectors (K, P) to vectors (K, P), each member's by its own symmetric matrix."""


def flat(leaves: Leaves) -> Tensor:
    """Return leaves (K, …) as vectors (K, P)."""
    return torch.cat([leaf.flatten(1) for leaf in leaves], 1)


def hessian(loss: Callable[[Leaves], Tensor], leaves: Leaves) -> tuple[Operator, Tensor]:
    """Return the operator H and the gradients (K, P).

    Args:
        loss: Returns the loss of each member, (K,), each of its own leaves only.
        leaves: Parameters, each (K, …).
    """
    variables = [leaf.detach().requires_grad_() for leaf in leaves]
    gradients = torch.autograd.grad(loss(variables).sum(), variables, create_graph=True)
    joined = flat(gradients)

    def product(vectors: Tensor) -> Tensor:
        along = torch.autograd.grad((joined * vectors).sum(), variables, retain_graph=True)
        return flat(along)

    return product, joined.detach()


def scaled(operator: Operator, scale: Tensor) -> Operator:
    """Return D H D for the diagonal D = diag(scale), scale (K, P).

    With scale = |w| no rescaling of ReLU layers changes it: w → c w there makes H → H / c², so that each
    entry |w_i| H_ij |w_j| stays.
    """
    return lambda vectors: scale * operator(scale * vectors)


def start_vectors(seeds: Sequence[int], size: int, like: Tensor) -> Tensor:
    """Return unit vectors (K, P), each drawn by its member's seed: who is beside it does not matter."""
    rows = [torch.randn(size, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    vectors = torch.stack(rows).to(like)
    length: Tensor = vectors.norm(dim=1, keepdim=True)
    return vectors / length


def extreme(
    operator: Operator,
    start: Tensor,
    *,
    largest: bool = True,
    tolerance: float = 1e-3,
    most: int = 80,
) -> tuple[Tensor, Tensor]:
    """Return the largest (or smallest) eigenvalue of each member's matrix, and the bound of its error.

    Lanczos with full reorthogonalization (Golub & Van Loan 2013, §10.3).  For a unit Ritz vector y with
    value θ some eigenvalue lies within ‖A y − θ y‖, which is β_j |s_j|; a member is finished when this
    is below tolerance·|θ| twice in a row.  "Largest" is algebraic: −5 is smaller than 1.  That no larger
    eigenvalue was missed is what a random start makes all but certain; no bound says it.

    Args:
        operator: The matrices.
        start: Unit vectors (K, P); a member that is NaN gives NaN.
        largest: Which end of the spectrum.
        tolerance: Relative residual.
        most: Products at most; a member that needs more returns what it has, with its bound.

    Returns:
        Eigenvalues and residual bounds, both (K,).
    """
    members, size = start.shape
    value = torch.full((members,), math.nan, dtype=torch.float64)
    bound = torch.full((members,), math.inf, dtype=torch.float64)
    passed = torch.zeros(members, dtype=torch.long)
    basis: list[Tensor] = [start]
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    for j in range(min(most, size)):
        image = operator(basis[j])
        diagonal.append((image * basis[j]).sum(1))
        past = torch.stack(basis, 1)
        for _ in range(2):  # twice is enough (Kahan, in Parlett 1980)
            image = image - torch.einsum("kjp,kj->kp", past, torch.einsum("kjp,kp->kj", past, image))
        length = image.norm(dim=1)
        theta, residual = _ritz(diagonal, beside, length, largest)
        open_ = passed < 2
        value[open_], bound[open_] = theta[open_], residual[open_]
        good = residual <= tolerance * theta.abs()
        passed = torch.where(open_, torch.where(good, passed + 1, 0), passed)
        if bool(((passed >= 2) | theta.isnan()).all()):
            break
        beside.append(length)
        basis.append(torch.where(length[:, None] > 0, image / length[:, None], 0.0))
    return value.to(start.device), bound.to(start.device)


def _ritz(
    diagonal: list[Tensor], beside: list[Tensor], length: Tensor, largest: bool
) -> tuple[Tensor, Tensor]:
    """Return the extreme Ritz value of each member and the norm of its residual, in float64."""
    count = len(diagonal)
    alpha = torch.stack(diagonal, 1).double().cpu()
    matrix = torch.diag_embed(alpha)
    if beside:
        beta = torch.stack(beside, 1).double().cpu()
        matrix = matrix + torch.diag_embed(beta, 1) + torch.diag_embed(beta, -1)
    fine = torch.isfinite(matrix).all(2).all(1)
    values, vectors = torch.linalg.eigh(torch.where(fine[:, None, None], matrix, 0.0))
    end = count - 1 if largest else 0
    theta = torch.where(fine, values[:, end], math.nan)
    return theta, length.double().cpu() * vectors[:, -1, end].abs()


def trace(
    operator: Operator, seeds: Sequence[int], like: Tensor, probes: int = 16
) -> tuple[Tensor, Tensor]:
    """Return the trace of each member's matrix and the standard error of that, both (K,).

    Hutchinson 1989: the mean of zᵀA z over random signs z.

    Args:
        operator: The matrices.
        seeds: Draw each member's signs.
        like: Any tensor (K, P) of the right type.
        probes: How many z.
    """
    size = like.shape[1]
    found = []
    for probe in range(probes):
        rows = []
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed * 1009 + probe)
            rows.append(torch.randint(0, 2, (size,), generator=generator) * 2 - 1)
        signs = torch.stack(rows).to(like)
        found.append((signs * operator(signs)).sum(1))
    values = torch.stack(found, 1)
    return values.mean(1), values.std(1) / math.sqrt(probes)


def gauss_newton(logits: Callable[[Leaves], Tensor], leaves: Leaves, softmax: bool = True) -> Operator:
    """Return G = mean over examples of Jᵀ B J, J the Jacobian of the logits (K, N, C).

    B is the Hessian of the loss in the logits: diag(p) − p pᵀ for cross-entropy, the identity for half
    the squared error (Schraudolph 2002).
    """
    variables = [leaf.detach().requires_grad_() for leaf in leaves]
    outputs = logits(variables)
    probe = torch.zeros_like(outputs, requires_grad=True)
    pulled = torch.autograd.grad(outputs, variables, probe, create_graph=True)  # Jᵀ probe, linear in it
    joined = flat(pulled)
    shares = outputs.detach().softmax(-1)

    def product(vectors: Tensor) -> Tensor:
        (pushed,) = torch.autograd.grad((joined * vectors).sum(), probe, retain_graph=True)  # J v
        if softmax:
            pushed = shares * (pushed - (shares * pushed).sum(-1, keepdim=True))
        back = torch.autograd.grad(outputs, variables, pushed / outputs.shape[1], retain_graph=True)
        return flat(back)

    return product
