"""Families of sequences by shared 5-mers: a quick stand-in for clustering at a percentage of identity.

Two sequences are linked when they share at least `MIN_SHARED` distinct 5-mers and these are at least `MIN_FRACTION` of
the shorter one's; families are the connected parts (single linkage). If matches fell evenly, a fraction of 0.03 would
be 50 % identity (0.5^5 = 0.03); in real families matches stand together, so that pairs below that are linked as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

MIN_SHARED, MIN_FRACTION = 6, 0.03
K = 5
_AMINO = "ACDEFGHIKLMNPQRSTVWY"
_CODE = np.full(256, -1, dtype=np.int64)
_CODE[[ord(letter) for letter in _AMINO]] = np.arange(len(_AMINO))
_BLOCK = 2000  # rows of the matrix of shared 5-mers held at once


def kmers(sequence: str) -> NDArray[np.int64]:
    """Distinct 5-mers of standard residues as numbers."""
    code = _CODE[np.frombuffer(sequence.encode("latin-1"), dtype=np.uint8)]
    if len(code) < K:
        return np.empty(0, dtype=np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(code, K)
    return np.unique(windows[(windows >= 0).all(axis=1)] @ (20 ** np.arange(K)))


def families(sequences: Sequence[str]) -> NDArray[np.int64]:
    """Family number of each sequence, int64 (n,), numbered by first member."""
    found = [kmers(sequence) for sequence in sequences]
    sizes = np.array([len(one) for one in found])
    row = np.repeat(np.arange(len(found)), sizes)
    _, column = np.unique(np.concatenate(found), return_inverse=True)
    column = column.ravel()
    # 5-mers of one sequence link nothing, and are most of them.
    shared = np.bincount(column)[column] > 1
    table = sparse.csr_array(
        (np.ones(int(shared.sum()), np.int32), (row[shared], column[shared])), shape=(len(found), column.max() + 1)
    )
    transposed = table.T.tocsr()
    left, right = [], []
    for start in range(0, len(found), _BLOCK):
        counts = (table[start : start + _BLOCK] @ transposed).tocoo()
        i, j = counts.row + start, counts.col
        linked = (counts.data >= MIN_SHARED) & (counts.data >= MIN_FRACTION * np.minimum(sizes[i], sizes[j])) & (i < j)
        left.append(i[linked])
        right.append(j[linked])
    i, j = np.concatenate(left), np.concatenate(right)
    links = sparse.coo_array((np.ones(len(i), np.int8), (i, j)), shape=(len(found), len(found)))
    return connected_components(links, directed=False)[1].astype(np.int64)


def split_families(family: NDArray[np.int64], *, dev: float, test: float, seed: int) -> NDArray[np.object_]:
    """Give whole families to `"train"`, `"dev"` or `"test"`.

    Families are drawn at random until a split has its share of the rows. A family larger than a tenth of a split's
    share trains: it would be most of the split by itself.
    """
    sizes = np.bincount(family)
    of_family = np.full(len(sizes), "train", dtype=object)
    order = np.random.default_rng(seed).permutation(len(sizes))
    for name, share in (("test", test), ("dev", dev)):
        room = share * len(family)
        free = [f for f in order if of_family[f] == "train" and sizes[f] <= room / 10]
        cumulative = np.cumsum(sizes[free])
        of_family[np.asarray(free)[cumulative <= room]] = name
    return of_family[family]
