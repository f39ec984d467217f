"""Mann-Whitney test of one group against the rest, for many genes and groups at once, on sparse data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

if TYPE_CHECKING:
    from scipy import sparse

Floats = NDArray[np.float64]


def rank_sums(values: sparse.csc_matrix, codes: NDArray[np.integer], n_groups: int) -> tuple[Floats, Floats]:
    r"""Rank every gene over all cells and add the ranks up by group.

    `values` (n_cells, n_genes) are not negative, and what is not stored is zero; `codes` (n_cells,) are the groups,
    from 0. Returns rank sums (n_genes, n_groups), ties sharing their mean rank, and the tie term :math:`\sum t^3 - t`
    (n_genes,).
    """
    n_cells, n_genes = values.shape
    sizes = np.bincount(codes, minlength=n_groups).astype(float)
    sums = np.empty((n_genes, n_groups))
    ties = np.empty(n_genes)
    for gene in range(n_genes):
        span = slice(values.indptr[gene], values.indptr[gene + 1])
        data, rows = values.data[span], codes[values.indices[span]]
        n_zero = n_cells - data.size
        # Zeros are one tie below all others and are never stored: the cost is that of the values above them.
        _, place, counts = np.unique(data, return_inverse=True, return_counts=True)
        # Mean rank of each distinct value above the zeros.
        ranks = (n_zero + np.cumsum(counts) - (counts - 1) / 2)[place]
        above = np.bincount(rows, weights=ranks, minlength=n_groups)
        zeros = sizes - np.bincount(rows, minlength=n_groups)
        sums[gene] = above + zeros * (n_zero + 1) / 2
        tied = counts.astype(float)
        ties[gene] = (tied**3 - tied).sum() + float(n_zero) ** 3 - n_zero
    return sums, ties


def ranks_of_bins(counts: Floats) -> tuple[Floats, float, float]:
    """Rank one gene over cells of which only the bins of their values are known; cells of a bin are one tie.

    Parameters
    ----------
    counts
        (n_groups, 1 + n_bins): cells of each group in each bin, in the order of values; the first bin holds zeros.

    Returns
    -------
    Rank sums (n_groups,) and the tie term, as of :func:`rank_sums`; and the largest error of a group's area under the
    curve against the rest: half the chance that a cell of either, drawn at random, are in one bin that is not the
    first.
    """
    held = counts.sum(axis=0)
    sums = counts @ (np.cumsum(held) - (held - 1) / 2)
    sizes = counts.sum(axis=1, keepdims=True)
    rest = sizes.sum() - sizes
    met = (counts * (held - counts))[:, 1:].sum(axis=1, keepdims=True)
    error = np.divide(met, 2 * sizes * rest, out=np.zeros_like(sizes), where=sizes * rest > 0)
    return sums, float((held**3 - held).sum()), float(error.max())


def one_sided(sums: Floats, ties: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    """Area under the curve and p that the group lies above the rest, both (n_genes, n_groups), from :func:`rank_sums`.

    Normal approximation with tie and continuity correction (Mann & Whitney 1947; Lehmann 1975); `sizes` (n_groups,) are
    cells per group. NaN where the group or the rest is empty.
    """
    total = sizes.sum()
    pairs = sizes * (total - sizes)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = sums - sizes * (sizes + 1) / 2
        auc = u / pairs
        spread = np.sqrt(np.maximum(pairs / 12 * (total + 1 - ties[:, None] / (total * (total - 1))), 0))
        z = (u - pairs / 2 - 0.5) / spread
    # A gene without any spread tells nothing.
    p = np.where(spread > 0, ndtr(-z), 1.0)
    return auc, np.where(pairs > 0, p, np.nan)


def benjamini_hochberg(p: Floats) -> Floats:
    """Adjust the p of one family of tests (Benjamini & Hochberg 1995); NaN stays NaN and does not count."""
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    scaled = p[order] * order.size / np.arange(1, order.size + 1)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted
