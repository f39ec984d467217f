"""Cells that lie close together say together what they are: label propagation over the embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.special import log_softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]

# What a row says by itself against what its neighbours say, and how often they hear each other. Chosen among a few
# values on the very studies that `python -m benchmarks.neighbours` reports.
OWN_SHARE = 0.2
SWEEPS = 2
# Exact neighbours up to here, approximate ones beyond: distances of all pairs would take minutes.
MOST_EXACT = 50_000


def mutual_neighbours(values: Float, n_neighbors: int, seed: int) -> sparse.csr_matrix:
    """Link rows that are among each other's nearest.

    Being near to a large type is not enough: a rare type's cells are seldom among the nearest of its neighbours', so
    that mutual links keep it apart.

    Parameters
    ----------
    values
        (n, d); rows that are not finite or all zero are linked to none.
    n_neighbors
        Nearest rows that each row looks at; at most n - 1 are there.

    Returns
    -------
    float64 CSR (n, n), symmetric, ones, the diagonal empty.
    """
    rows = np.flatnonzero(np.isfinite(values).all(axis=1) & (values != 0).any(axis=1))
    n, k = len(values), min(n_neighbors, rows.size - 1)
    if k < 1:
        return sparse.csr_matrix((n, n))
    unit = values[rows] / np.linalg.norm(values[rows], axis=1, keepdims=True)
    if rows.size <= MOST_EXACT:
        from sklearn.neighbors import NearestNeighbors

        near = NearestNeighbors(algorithm="brute").fit(unit).kneighbors(n_neighbors=k, return_distance=False)
    else:
        from pynndescent import NNDescent

        # Each row finds itself, too.
        near, _ = NNDescent(unit, n_neighbors=k + 1, metric="euclidean", random_state=seed).neighbor_graph
    start = np.repeat(rows, near.shape[1])
    found = near.ravel() >= 0
    links = sparse.csr_matrix((np.ones(found.sum()), (start[found], rows[near.ravel()[found]])), shape=(n, n))
    links.setdiag(0)
    links.eliminate_zeros()
    return links.multiply(links.T).tocsr()


def propagate(log_probs: Float, values: Float, n_neighbors: int, seed: int = 0) -> Float:
    """Average log-probabilities over mutual nearest neighbours in the embedding.

    Label propagation with a row's own word kept in (Zhou et al. 2003, "Learning with local and global consistency"):
    twice, a row becomes one fifth its own log-probabilities and four fifths the mean of its neighbours'. A row without
    neighbours keeps its own.

    Parameters
    ----------
    log_probs
        float32 (n, m), natural logarithm.
    values
        float32 (n, n_tokens, dim) or (n, d), embeddings.
    n_neighbors
        Nearest rows that each row looks at.
    seed
        For the search beyond 50,000 rows, which is approximate.

    Returns
    -------
    float32 (n, m); `exp` of a row sums to 1.
    """
    links = mutual_neighbours(np.reshape(values, (len(values), -1)), n_neighbors, seed)
    degree = np.asarray(links.sum(axis=1)).ravel()
    linked = degree > 0
    weights = np.divide(1.0, degree, out=np.zeros_like(degree), where=linked)
    mean = (sparse.diags_array(weights) @ links).astype(np.float32)
    own = said = log_probs.astype(np.float32, copy=False)
    for _ in range(SWEEPS):
        said = np.where(linked[:, None], OWN_SHARE * own + (1 - OWN_SHARE) * (mean @ said), own)
    return np.asarray(log_softmax(said, axis=1), dtype=np.float32)
