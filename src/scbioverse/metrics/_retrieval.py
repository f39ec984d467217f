"""How early the right one is found, and how well two sets of names agree."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

_BLOCK = 2048  # rows of the similarity matrix held at once
_TIE = 1e-6  # similarities of equal vectors differ by rounding


def retrieval(
    queries: ArrayLike,
    candidates: ArrayLike,
    *,
    target: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    ks: Sequence[int] = (1, 10),
) -> dict[str, float]:
    """Rank candidates for each query by cosine, and say where the right one stands.

    Candidates as similar as the right one share the mean of their ranks, so that a space in which everything falls
    together ranks in the middle and not first. The reciprocal rank and recall use that mean rank.

    Parameters
    ----------
    queries
        (n, d).
    candidates
        (m, d).
    target
        (n,), the right candidate's position for each query; row i for row i if not given.
    groups
        (m,), equal values mark candidates that are equally right, such as molecules with one caption: the best of the
        target's group counts.
    ks
        Ranks up to which recall is given.

    Returns
    -------
    `recall@k` for each k, `mrr` (mean reciprocal rank), `median_rank`, `n_queries`, `n_candidates`, and
    `chance_recall@k`, the expectation for a random order (without `groups`).

    Raises
    ------
    InputError
        Shapes do not go together, values are not finite, or a target is not among the candidates.
    """
    left, right = _unit(queries, "queries"), _unit(candidates, "candidates")
    n, m = len(left), len(right)
    if left.shape[1] != right.shape[1]:
        raise InputError(f"queries have {left.shape[1]} dimensions, candidates {right.shape[1]}")
    if target is None and n != m:
        raise InputError(f"{n} queries and {m} candidates: say by target= which belongs to which")
    own = np.arange(n) if target is None else np.asarray(target, dtype=np.int64)
    if own.shape != (n,) or own.min() < 0 or own.max() >= m:
        raise InputError(f"target must be ({n},) with values from 0 to {m - 1}, found shape {own.shape}")
    if not len(ks) or min(ks) < 1:
        raise InputError(f"ks must be at least one rank from 1 on, found {list(ks)}")
    label = np.arange(m) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1].ravel()
    if label.shape != (m,):
        raise InputError(f"groups must be ({m},), found {label.shape}")
    ranks = np.concatenate(
        [_ranks(left[i : i + _BLOCK], right, own[i : i + _BLOCK], label) for i in range(0, n, _BLOCK)]
    )
    found = {f"recall@{k}": float((ranks <= k).mean()) for k in ks}
    found |= {"mrr": float((1 / ranks).mean()), "median_rank": float(np.median(ranks))}
    found |= {"n_queries": n, "n_candidates": m}
    return found | {f"chance_recall@{k}": min(k / m, 1.0) for k in ks}


def _ranks(
    left: NDArray[np.float32], right: NDArray[np.float32], own: NDArray[np.int64], label: NDArray[np.int64]
) -> NDArray[np.float64]:
    similarity, others = left @ right.T, label != label[own][:, None]
    best = np.where(others, -np.inf, similarity).max(axis=1, keepdims=True)
    above = ((similarity > best + _TIE) & others).sum(axis=1)
    tied = ((np.abs(similarity - best) <= _TIE) & others).sum(axis=1)
    return 1 + above + tied / 2


def _unit(values: ArrayLike, name: str) -> NDArray[np.float32]:
    matrix = np.asarray(values, dtype=np.float32)
    if matrix.ndim != 2 or not matrix.size:
        raise InputError(f"{name} must be (rows, dimensions) with at least one of each, found {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise InputError(f"{name} hold NaN or infinite values: leave out rows without an embedding")
    return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)


def set_agreement(predicted: Sequence[Collection[str]], expected: Sequence[Collection[str]]) -> dict[str, float]:
    """Compare predicted with expected sets, over rows in which something is expected.

    Parameters
    ----------
    predicted
        One set a row.
    expected
        One set a row, in the same order.

    Returns
    -------
    `exact`, share of rows whose sets are equal; `precision`, `recall` and `f1`, over all names together (0 where there
    are none); `n_rows`, the rows compared.

    Raises
    ------
    InputError
        The lists differ in length, or nothing is expected in any row.
    """
    if len(predicted) != len(expected):
        raise InputError(f"found {len(predicted)} predicted and {len(expected)} expected sets")
    rows = [(set(a), set(b)) for a, b in zip(predicted, expected, strict=True) if b]
    if not rows:
        raise InputError("nothing is expected in any row: there is nothing to compare")
    hits = sum(len(a & b) for a, b in rows)
    named, wanted = sum(len(a) for a, _ in rows), sum(len(b) for _, b in rows)
    return {
        "exact": sum(a == b for a, b in rows) / len(rows),
        "precision": hits / max(named, 1),
        "recall": hits / wanted,
        "f1": 2 * hits / (named + wanted),
        "n_rows": len(rows),
    }
