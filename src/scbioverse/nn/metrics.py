"""How well two sides share one space: paired ranks, and the gap between the sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_BLOCK = 4096  # rows of the similarity matrix held at once
_TIE = 1e-6  # cosines of equal vectors differ by rounding


def _unit(values: ArrayLike | Tensor, name: str) -> Tensor:
    matrix = torch.as_tensor(values).detach().float()
    if matrix.ndim != 2 or not matrix.shape[0]:
        raise InputError(f"{name} must be (rows, dimensions) with at least one row, found {tuple(matrix.shape)}.")
    return normalize(matrix, dim=1)


def pair_ranks(a: ArrayLike | Tensor, b: ArrayLike | Tensor, target: ArrayLike | Tensor | None = None) -> Tensor:
    """Rank of each row's partner among all candidates, by cosine: float64 (n,), between 1, the best, and m.

    `a` (n, d) are the queries, `b` (m, d) the candidates, `target` (n,) the position of each query's partner in `b`;
    row i belongs to row i if not given. Candidates as similar as the partner share the mean of their ranks, so that a
    space in which everything falls together ranks in the middle and not first.
    """
    queries, candidates = _unit(a, "a"), _unit(b, "b").to(torch.as_tensor(a).device)
    n, m = queries.shape[0], candidates.shape[0]
    if queries.shape[1] != candidates.shape[1]:
        raise InputError(f"a has {queries.shape[1]} dimensions, b has {candidates.shape[1]}.")
    if target is None and n != m:
        raise InputError(f"a has {n} rows and b has {m}: name each row's partner by target=.")
    own = torch.arange(n) if target is None else torch.as_tensor(target).long()
    if tuple(own.shape) != (n,) or int(own.min()) < 0 or int(own.max()) >= m:
        raise InputError(f"target must be ({n},) with values in 0..{m - 1}, found shape {tuple(own.shape)}.")
    own = own.to(queries.device)
    ranks = torch.empty(n, dtype=torch.float64)
    for first in range(0, n, _BLOCK):
        rows = slice(first, first + _BLOCK)
        cosine = queries[rows] @ candidates.T
        partner = cosine.gather(1, own[rows, None])
        better = (cosine > partner + _TIE).sum(dim=1)
        tied = ((cosine - partner).abs() <= _TIE).sum(dim=1) - 1
        ranks[rows] = (1 + better + 0.5 * tied).double().cpu()
    return ranks


def recall_at_k(
    a: ArrayLike | Tensor, b: ArrayLike | Tensor, target: ArrayLike | Tensor | None = None, *, k: int = 1
) -> float:
    """Share of rows whose partner is among the `k` most similar candidates (see :func:`pair_ranks`)."""
    if k < 1:
        raise InputError(f"k must be at least 1, found {k}.")
    return float((pair_ranks(a, b, target) <= k).double().mean())


def median_rank(a: ArrayLike | Tensor, b: ArrayLike | Tensor, target: ArrayLike | Tensor | None = None) -> float:
    """Median rank of the partners, the mean of the middle two for even counts (see :func:`pair_ranks`)."""
    return float(pair_ranks(a, b, target).quantile(0.5))


def centroid_gap(a: ArrayLike | Tensor, b: ArrayLike | Tensor) -> float:
    """Distance, 0 to 2, between the centroids of two sets of unit vectors (Liang et al. 2022, "modality gap")."""
    left, right = _unit(a, "a"), _unit(b, "b")
    if left.shape[1] != right.shape[1]:
        raise InputError(f"a has {left.shape[1]} dimensions, b has {right.shape[1]}.")
    return float((left.mean(dim=0) - right.mean(dim=0).to(left.device)).norm())
