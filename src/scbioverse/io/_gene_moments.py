"""What each gene's values are like over all cells, and whether they were scaled gene by gene."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

# Genes with fewer values say nothing.
_LEAST_VALUES = 3
_LEAST_GENES = 30
_LEAST_CELLS = 10
# Standard deviations within one per cent of 1: no more than 6 % of genes in any study or panel, all of them after
# scaling. Half is far from both.
_NEAR_ONE = 0.01
_MOST_NEAR_ONE = 0.5
# Of some cells of a scaled study, standard deviations only scatter around 1. Real ones rise with the share of cells
# that express a gene, with an exponent around one half, and are further from 1.
_LEAST_VALUES_SCATTER = 10
_LEAST_GENES_SCATTER = 50
_NEAREST_SCATTER = 0.13
_FLATTEST = 0.2
# Genes whose largest value is exactly 1: 3 % at most where no gene was scaled to it, a tenth in every ninth cell.
_MOST_AT_ONE = 0.05
_MOST_AT_TOP = 0.5
_EQUAL = 1e-5


class GeneMoments:
    """Sums over the cells of each gene, gathered block by block.

    Parameters
    ----------
    n_genes
        Columns.
    """

    def __init__(self, n_genes: int) -> None:
        self.n_cells = 0
        self._sum, self._squares = np.zeros(n_genes), np.zeros(n_genes)
        self._top, self._values = np.zeros(n_genes), np.zeros(n_genes, dtype=np.int64)

    def add(self, block: sp.csr_array) -> None:
        """Add some cells, all genes."""
        ones = np.ones(block.shape[0], dtype=np.float64)
        self.n_cells += int(block.shape[0])
        self._sum += block.T @ ones
        squares = sp.csr_array((np.square(block.data, dtype=np.float64), block.indices, block.indptr), block.shape)
        self._squares += squares.T @ ones
        self._values += np.bincount(block.indices[block.data != 0], minlength=block.shape[1])
        # In the type of the values: numpy takes twenty times as long where it has to convert each.
        top = np.zeros(block.shape[1], dtype=block.dtype)
        np.maximum.at(top, block.indices, block.data)
        np.maximum(self._top, top, out=self._top)

    def scaled_by_gene(self) -> str:
        """Say why the genes were scaled each by itself; empty if they were not, or it cannot be known."""
        n = self.n_cells
        if n < _LEAST_CELLS:
            return ""
        variance = (self._squares - self._sum**2 / n) / (n - 1)
        sd = np.sqrt(np.maximum(variance, 0))
        largest = self._top.max(initial=0)
        used = (self._values >= _LEAST_VALUES) & (sd > 0)
        if used.sum() < _LEAST_GENES:
            return ""
        at_one = np.abs(self._top[used] - 1) < _EQUAL
        if abs(largest - 1) < _EQUAL and at_one.mean() > _MOST_AT_ONE:
            return f"the largest value of {at_one.mean():.0%} of its genes is 1"
        # max_value= of scanpy cuts rare genes short, whose deviation is then below 1.
        uncut = used & (self._top < largest * (1 - _EQUAL))
        if uncut.sum() < _LEAST_GENES:
            return f"{1 - uncut.sum() / used.sum():.0%} of its genes have the same largest value, {largest:.4g}"
        if (share := (np.abs(sd[uncut] - 1) < _NEAR_ONE).mean()) > _MOST_NEAR_ONE:
            return f"{share:.0%} of its genes have a standard deviation of 1"
        if (share := 1 - uncut.sum() / used.sum()) > _MOST_AT_TOP:
            return f"{share:.0%} of its genes have the same largest value, {largest:.4g}"
        part = uncut & (self._values >= _LEAST_VALUES_SCATTER) & (self._values < n / 2)
        if part.sum() >= _LEAST_GENES_SCATTER:
            logs, shares = np.log(sd[part]), np.log(self._values[part] / n)
            spread = shares.std()
            slope = np.cov(shares, logs, bias=True)[0, 1] / spread**2 if spread > 0 else np.inf
            if np.median(np.abs(logs)) < _NEAREST_SCATTER and abs(slope) < _FLATTEST:
                return "the standard deviations of its genes lie close around 1, however many cells express them"
        return ""
