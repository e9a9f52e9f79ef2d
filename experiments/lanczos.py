"""The extreme eigenvalues of many matrices at once, each known by its products with vectors.

Every member has a Krylov space of its own and leaves when its own eigenvalue is found, so a result does
not depend on who else is computed along (beyond rounding).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.linalg import vector_norm

from .products import Curvature


@dataclass(frozen=True)
class Extreme:
    """An extreme eigenvalue of each member.

    Attributes:
        value: The Ritz value θ, (members,), float64; NaN where a product was not finite.
        residual: ‖A y − θ y‖ for the unit vector y below, (members,): an eigenvalue lies so near θ.
        vector: The Ritz vectors y, (members, n).
        products: How many products each member took, (members,).
        converged: Whether the residual met the tolerance, (members,); False where the limit came first.
    """

    value: Tensor
    residual: Tensor
    vector: Tensor
    products: Tensor
    converged: Tensor

    def __neg__(self) -> Extreme:
        return Extreme(-self.value, self.residual, self.vector, self.products, self.converged)


def smallest(curvature: Curvature, start: Tensor, tol: float = 1e-3, **how: int) -> Extreme:
    """Return the smallest algebraic eigenvalue of each member: `largest` of the negative."""
    return -largest(-curvature, start, tol, **how)


def largest(
    curvature: Curvature, start: Tensor, tol: float = 1e-3, width: int = 64, limit: int = 1000
) -> Extreme:
    """Return the largest algebraic eigenvalue of each member, by Lanczos with thick restarts.

    A member is finished when its residual is at most tol·|θ| twice in a row (or at most what rounding
    leaves of ‖A‖, where θ is that small), or when its Krylov space is exhausted.  The residual is that
    of the recurrence A V = V S + r eᵀ, which full reorthogonalisation, done twice, keeps true to
    rounding.  That some eigenvalue lies within it of θ is then certain; that it is the largest rests on
    the start, which must not be orthogonal to its eigenvector: a random one is not.

    The error of θ is smaller than its residual, at most residual² / gap: Parlett (1998), The symmetric
    eigenvalue problem, theorem 11.7.1.  Restarts: Wu and Simon (2000), Thick-restart Lanczos.

    Args:
        curvature: The matrices.
        start: (members, n), none zero.
        tol: Relative to |θ|.
        width: The most vectors held per member; at a restart the better half of Ritz vectors stays.
        limit: The most products per member.

    Raises:
        ValueError: `width` is below 4, or `limit` below 1.
    """
    if width < 4 or limit < 1:
        raise ValueError(f"width {width} and limit {limit}: at least 4 and 1 are needed.")
    whole, like = curvature, curvature.like
    members, n = like.shape
    width, eps = min(width, n), torch.finfo(like.dtype).eps
    found = Extreme(
        like.new_full((members,), float("nan"), dtype=torch.float64),
        like.new_full((members,), float("nan"), dtype=torch.float64),
        torch.full_like(like, float("nan")),
        like.new_zeros(members, dtype=torch.long),
        like.new_zeros(members, dtype=torch.bool),
    )
    live = torch.arange(members, device=like.device)  # whom the rows below belong to
    done = torch.zeros_like(found.converged)
    close = torch.zeros_like(found.products)  # how often in a row
    V = like.new_zeros(members, width, n)
    S = like.new_zeros(members, width, width, dtype=torch.float64)
    q, k = _unit(start.to(like))[0], 0
    for step in range(1, limit + 1):
        V[:, k] = q
        k += 1
        basis = V[:, :k]
        w = curvature.product(q)
        broken = ~vector_norm(w, dim=1).isfinite()
        w = torch.where((broken | done)[:, None], 0.0, w).unsqueeze(2)
        along = basis @ w
        w = w - basis.mT @ along
        again = basis @ w
        r = (w - basis.mT @ again).squeeze(2)
        S[:, :k, k - 1] = S[:, k - 1, :k] = (along + again).squeeze(2).double()
        q, length = _unit(r)
        theta, U = torch.linalg.eigh(S[:, :k, :k])
        size, top = theta.abs().amax(1), theta[:, -1]
        residual = length * U[:, -1, -1].abs()
        enough = residual <= torch.maximum(tol * top.abs(), 8 * eps * size)
        exhausted = (length <= 8 * eps * size) | (k == n)
        close = torch.where(enough, close + 1, 0)
        ready = ~done & ((close >= 2) | exhausted | broken | (step == limit))
        if ready.any():
            who = live[ready]
            nan = torch.where(broken[ready], float("nan"), 0.0).to(top)
            found.value[who] = top[ready] + nan
            found.residual[who] = residual[ready] + nan
            vectors = U[ready, :, -1:].to(like).mT @ basis[ready]
            found.vector[who] = vectors.squeeze(1) + nan.to(like)[:, None]
            found.products[who] = step
            found.converged[who] = ~broken[ready] & ((close[ready] >= 2) | exhausted[ready])
            done = done | ready
            if done.all():
                break
            if whole.select is not None and 2 * int((~done).sum()) <= len(live):
                stay = ~done
                live, q, V, S, U, theta = live[stay], q[stay], V[stay], S[stay], U[stay], theta[stay]
                close, done = close[stay], done[stay]
                curvature = whole.select(live)
        q = torch.where(done[:, None], 0.0, q)
        if k == width:
            k = width // 2
            V[:, :k] = U[:, :, -k:].to(like).mT @ V
            S.zero_()
            S.diagonal(dim1=1, dim2=2)[:, :k] = theta[:, -k:]
    return found


def _unit(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows of length one, zeros for zeros, and the lengths in float64."""
    length = vector_norm(rows, dim=1, dtype=torch.float64)
    return rows / length.clamp_min(torch.finfo(rows.dtype).tiny).to(rows)[:, None], length
