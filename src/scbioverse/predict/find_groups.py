"""Alike cells: links between them, what linked cells say together, and groups of them where the user names none.

Groups are meant to be smaller than types: those that are alike get the same name afterwards, while a mixture of two
types could not be named at all. So the resolution need not be right, only fine enough.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.special import log_softmax

from .groups import Groups

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]

# Nearest cells that each cell looks at. Of 8, 10, 12 and 15 (that of scanpy.pp.neighbors): with more, types of a few
# dozen cells are not kept apart. Chosen on the development studies that `python -m benchmarks.first_call` reports.
NEIGHBOURS = 10
# Modularity at resolution 1 joins types that are alike; from 2 up, more groups get the names that fewer had.
RESOLUTION = 2.0
# Groups are found among so many cells; the others join their nearest.
MOST_CELLS = 20_000
# Fewer linked cells are no group: chance makes pairs.
FEWEST = 3
_VOTES = 5
_ROUNDS = 10
# What a row says by itself against what its neighbours say, and how often they hear each other. Chosen among a few
# values on the very studies that `python -m benchmarks.neighbours` reports.
OWN_SHARE = 0.2
SWEEPS = 2
# Exact neighbours up to here, approximate ones beyond: distances of all pairs would take minutes.
MOST_EXACT = 50_000


def find_groups(values: Float, seed: int = 0, *, most_cells: int = MOST_CELLS) -> Groups:
    """Find groups of alike cells.

    Cells are linked that are among each other's 10 nearest (cosine), which keeps rare types apart; the groups are
    communities of these links (Leiden: Traag et al. 2019, modularity, resolution 2). All is done in an order that
    follows from the cells' own values, so that the order of the rows changes nothing; cells with the same values are
    in the same group. Beyond `most_cells` a sample is grouped, and each other cell joins the group that most of its
    five nearest cells of the sample are in.

    Parameters
    ----------
    values
        float32 (n, n_tokens, dim) or (n, d), embeddings.
    seed
        For order, sample and Leiden.
    most_cells
        Cells that are grouped at once.

    Returns
    -------
    Groups named `"1"`, `"2"`, ..., the largest first; cells that are alike to none, and groups of fewer than three
    cells, are in no group.
    """
    flat = np.reshape(values, (len(values), -1)).astype(np.float32, copy=False)
    keys = content_keys(flat, seed)
    _, first, same = np.unique(keys, return_index=True, return_inverse=True)  # sorted by key: a random order, too
    chosen = first[:most_cells]
    codes = _communities(mutual_neighbours(flat[chosen], NEIGHBOURS, seed), seed)
    of_first = np.full(first.size, -1, dtype=np.int64)
    of_first[: chosen.size] = codes
    if chosen.size < first.size:
        of_first[chosen.size :] = _joined(flat[first[chosen.size :]], flat[chosen], codes)
    # Copies of a cell, such as empty ones, make no group.
    different = np.bincount(of_first[of_first >= 0], minlength=of_first.max(initial=0) + 1)
    of_first[(of_first >= 0) & (different[of_first] < FEWEST)] = -1
    return _by_size(of_first[same], keys)


def content_keys(values: Float, seed: int) -> NDArray[np.int64]:
    """Return a number for each row that depends on the rows' values alone, not on their order: int64 (n,).

    Equal rows have equal numbers, and the numbers are a random order of the rows. Rows are ordered along a random
    direction first: values that another processor rounds otherwise in their last bits keep their places.
    """
    flat = np.reshape(values, (len(values), -1))
    rng = np.random.default_rng(seed)
    direction = rng.standard_normal(flat.shape[1])
    along = np.empty(len(flat), dtype=np.float64)
    for start in range(0, len(flat), 4096):
        # Not a matrix product: its sums would depend on where a row stands.
        along[start : start + 4096] = (flat[start : start + 4096] * direction).sum(axis=1)
    different, place = np.unique(along, return_inverse=True)
    return rng.permutation(different.size)[place]


def _communities(links: sparse.csr_matrix, seed: int) -> NDArray[np.int64]:
    """Leiden communities of a graph, int64 (n,)."""
    import igraph

    pairs = links.tocoo()
    upper = pairs.row < pairs.col
    graph = igraph.Graph(n=links.shape[0], edges=np.column_stack([pairs.row[upper], pairs.col[upper]]))
    # igraph draws from one generator for all of Python: it is given back.
    igraph.set_random_number_generator(random.Random(seed))
    try:
        found = graph.community_leiden("modularity", resolution=RESOLUTION, n_iterations=_ROUNDS)
    finally:
        igraph.set_random_number_generator(random)
    return np.asarray(found.membership, dtype=np.int64)


def _joined(rest: Float, sample: Float, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Group that most of the five nearest cells of the sample are in, int64 (n,); -1 counts as one."""
    from sklearn.neighbors import NearestNeighbors

    def unit(rows: Float) -> Float:
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    search = NearestNeighbors(n_neighbors=min(_VOTES, len(sample)), algorithm="brute").fit(unit(sample))
    out = np.empty(len(rest), dtype=np.int64)
    for start in range(0, len(rest), 4096):
        near = codes[search.kneighbors(unit(rest[start : start + 4096]), return_distance=False)]
        votes = (near[:, :, None] == near[:, None, :]).sum(axis=2)
        # Of equally many votes those of the nearer cell count.
        out[start : start + 4096] = near[np.arange(len(near)), votes.argmax(axis=1)]
    return out


def _by_size(codes: NDArray[np.int64], keys: NDArray[np.int64]) -> Groups:
    """Return groups in the order of their size; of equally large ones that with the smallest key comes first."""
    sizes = np.bincount(codes[codes >= 0], minlength=1)
    smallest = np.full(sizes.size, np.iinfo(np.int64).max)
    np.minimum.at(smallest, codes[codes >= 0], keys[codes >= 0])
    order = [one for one in np.lexsort((smallest, -sizes)) if sizes[one]]
    place = np.full(sizes.size + 1, -1, dtype=np.int64)
    place[order] = np.arange(len(order))
    return Groups([str(i + 1) for i in range(len(order))], place[codes])


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
