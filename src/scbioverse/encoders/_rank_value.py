"""Rank-value encoding: a cell as its genes in order of how far they stand above their usual level.

A count is divided by the cell's total, multiplied by 10,000 and divided by the gene's non-zero median over a large
corpus; genes with counts are then listed from the highest value down (Theodoris et al., Nature 618, 616-624, 2023).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse as sp
    from numpy.typing import NDArray

TARGET_SUM = 10_000.0
# Rows sorted together: enough to call numpy seldom, few enough that one long cell does not widen many short ones.
_ROWS = 64


class RankedCells(NamedTuple):
    """Cells as sequences of tokens, one behind the other."""

    ids: NDArray[np.int32]
    """(sum of lengths,)"""
    lengths: NDArray[np.int64]
    """(n,): tokens of each cell."""

    def cell(self, i: int) -> NDArray[np.int32]:
        """Tokens of cell `i`."""
        stop = int(self.lengths[: i + 1].sum())
        return self.ids[stop - int(self.lengths[i]) : stop]


def rank_values(
    counts: sp.csr_array, totals: NDArray[np.floating], medians: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Value that each stored count is ranked by, in the order of `counts.data`.

    Computed in float64, left to right as count / total * 10,000 / median, so that two implementations of the formula
    agree to the last bit and with it on what is a tie.

    Parameters
    ----------
    counts
        (n, m), linear values.
    totals
        (n,): sum of each cell over all genes measured, those outside of the vocabulary included.
    medians
        (m,): non-zero median of each gene.
    """
    per_count = np.repeat(np.asarray(totals, dtype=np.float64), np.diff(counts.indptr))
    return counts.data.astype(np.float64) / per_count * TARGET_SUM / medians[counts.indices]


def rank_tokens(
    counts: sp.csr_array,
    totals: NDArray[np.floating],
    medians: NDArray[np.float64],
    tokens: NDArray[np.int32],
    *,
    max_genes: int,
) -> RankedCells:
    """Order the genes of each cell by their value, highest first, and keep the first `max_genes`.

    Of genes with equal values the one with the smaller token comes first: the result depends neither on the order of
    the data's columns nor on how a sorting routine treats ties.

    Parameters
    ----------
    counts
        (n, m) with sorted, unique indices, linear values; stored zeros are no counts.
    totals
        (n,): see :func:`rank_values`.
    medians
        (m,): non-zero median of each gene, positive.
    tokens
        (m,): token of each gene, increasing.
    max_genes
        Longest sequence.

    Returns
    -------
    The tokens of each cell; an empty sequence for a cell without counts.
    """
    if (counts.data == 0).any():
        counts = counts.copy()
        counts.eliminate_zeros()
    values = rank_values(counts, totals, medians)
    lengths = np.diff(counts.indptr).astype(np.int64)
    parts = []
    for first in range(0, lengths.size, _ROWS):
        bounds = counts.indptr[first : first + _ROWS + 1]
        filled = np.arange(lengths[first : first + _ROWS].max(initial=0)) < np.diff(bounds)[:, None]
        # Sorted upwards by the negative value, so that a stable sort leaves ties in the order of their tokens.
        block = np.full(filled.shape, np.inf)
        block[filled] = -values[bounds[0] : bounds[-1]]
        order = np.argsort(block, axis=1, kind="stable")[:, :max_genes]
        parts.append((order + bounds[:-1, None])[filled[:, :max_genes]])
    at = np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
    return RankedCells(tokens[counts.indices[at]], np.minimum(lengths, max_genes))
