"""What groups of many cells express, added up over all blocks and compared gene by gene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._runs import each_block
from ..io import csr_of, to_counts_like
from .expression import DEPTH, Grouped, Table, ranks_of_bins, to_depth, totals_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..io import Cells, MatrixInfo

# Bins of values per 10,000: from 2^-4 to 2^20, so many an octave as fit, 16 at most; more are not told apart by ranks.
_LOW, _OCTAVES, _FINEST = -4, 24, 4
_MOST_BINS = 8_000_000
# Values are rounded to multiples of this: such sums have no rounding, in whichever order blocks come.
_UNIT = 2.0**-12


class Sums(NamedTuple):
    """What blocks add up to; the sums of several are those of all their rows."""

    hits: NDArray[np.int64]  # (n_groups, n_columns) cells with a value above 0
    totals: NDArray[np.float64]  # (n_groups, n_columns) sums of values per 10,000
    bins: NDArray[np.int64]  # (n_genes, n_groups, n_bins) cells by value per 10,000, those with 0 left out

    def plus(self, other: Sums) -> Sums:
        """Return the sums of the rows of both."""
        return Sums(self.hits + other.hits, self.totals + other.totals, self.bins + other.bins)


@dataclass(frozen=True, eq=False)
class Tally:
    """Adds up one block, in any process."""

    genes: NDArray[np.bool_]  # (n_vars,) columns that are genes, of which a cell's total is taken
    binned: NDArray[np.int64]  # (n_vars,) number of each column that is binned, -1 for the others
    n_groups: int
    fineness: int  # 2 to the power of this are the bins of an octave
    factor: float | None  # brings linear values to expression per 10,000; None: each cell by its own total
    info: MatrixInfo

    def __call__(self, codes: NDArray[np.integer], block: Any) -> Sums:
        """Add up rows whose groups are `codes` (n,), -1 for none."""
        block, codes = to_counts_like(csr_of(block), self.info), np.asarray(codes, dtype=np.int64)
        if (codes < 0).any():
            block, codes = block[codes >= 0], codes[codes >= 0]
        if not block.data.all():
            block = block.copy()
            block.eliminate_zeros()
        columns, n_vars, in_row = block.indices, block.shape[1], np.diff(block.indptr)
        if self.factor is None:
            factor = DEPTH / totals_of(block @ self.genes.astype(np.float64)) / _UNIT
        else:
            factor = np.full(len(codes), self.factor / _UNIT)
        units = np.rint(block.data * np.repeat(factor, in_row))
        at, shape = np.repeat(codes * n_vars, in_row) + columns, (self.n_groups, n_vars)
        hits = np.bincount(at, minlength=self.n_groups * n_vars)
        sums = _UNIT * np.bincount(at, units, self.n_groups * n_vars).astype(np.float64)
        binned = np.flatnonzero(self.binned[columns] >= 0)
        values, n_bins = (_UNIT * units[binned]).astype(np.float32), _OCTAVES << self.fineness
        # The leading bits of a number are its exponent and the first bits of its fraction: steps of a logarithm.
        shift = np.uint32(23 - self.fineness)
        lowest = np.float32(2.0**_LOW).view(np.uint32) >> shift
        step = (values.view(np.uint32) >> shift).astype(np.int64) - int(lowest)
        place = self.binned[columns[binned]] * self.n_groups + at[binned] // n_vars
        place = place * n_bins + np.clip(step, 0, n_bins - 1)
        n_binned = int(self.binned.max(initial=-1)) + 1
        bins = np.bincount(place, minlength=n_binned * self.n_groups * n_bins)
        return Sums(hits.reshape(shape), sums.reshape(shape), bins.reshape(n_binned, self.n_groups, n_bins))


class OverBlocks(Grouped):
    """Groups of all cells, added up in one walk through the blocks, by dask's workers where there are some.

    Fractions and means are those of all cells, values rounded to 1/4096. Ranks go by bins, which are counted for the
    genes that are asked for first: values that differ by less than a bin (a sixteenth of an octave, more where groups
    are many) count as equal. That moves an area under the curve by at most half the chance that a cell of the group and
    one of the others, both expressing the gene, meet in one bin: :attr:`auc_error` is the largest of these. Of other
    genes only whether a cell expresses them is ranked.

    `codes`, (n_obs,), are the groups of the cells, -1 for none.
    """

    def __init__(self, cells: Cells, codes: NDArray[np.integer], n_groups: int) -> None:
        self._cells, self._codes = cells, codes
        self._columns = cells.gene_columns()
        self.positions = {gene: i for i, gene in enumerate(self._columns)}
        self.sizes = np.bincount(codes[codes >= 0], minlength=n_groups)
        # Of labels that no cell has, which may be thousands, nothing is added up.
        self._used = np.flatnonzero(self.sizes)
        self._sums: Sums | None = None
        self._binned: dict[str, int] = {}

    def table(self, genes: Sequence[str], sides: NDArray[np.integer], n_sides: int) -> Table:  # noqa: D102
        held = self._walk(genes)
        at = [self.positions[gene] for gene in genes]
        member = (sides[self._used] == np.arange(n_sides)[:, None]).astype(np.float64)
        hits, sizes = member @ held.hits[:, at], member @ self.sizes[self._used]
        ranks = [np.empty((len(genes), n_sides)), np.empty(len(genes))]
        for i, gene in enumerate(genes):
            place = self._binned.get(gene)
            bins = hits[:, i : i + 1] if place is None else member @ held.bins[place]
            ranks[0][i], ranks[1][i], error = ranks_of_bins(np.column_stack([sizes - hits[:, i], bins]))
            if place is not None:
                self.auc_error = max(self.auc_error, error)
        return Table(hits.T, (member @ held.totals[:, at]).T, sizes, *ranks)

    def hits(self) -> NDArray[np.integer]:  # noqa: D102
        hits = np.zeros((len(self.sizes), len(self.positions)), dtype=np.int64)
        hits[self._used] = self._walk(()).hits
        return hits

    def _walk(self, genes: Sequence[str]) -> Sums:
        """Walk through the blocks, the first time; later what it brought."""
        if self._sums is not None:
            return self._sums
        cells, n_groups, n_vars = self._cells, len(self._used), len(self._cells.names)
        columns = np.array(list(self._columns.values()), dtype=np.int64)
        self._binned = {gene: i for i, gene in enumerate(dict.fromkeys(genes))}
        known, binned = np.zeros(n_vars, dtype=bool), np.full(n_vars, -1, dtype=np.int64)
        known[columns] = True
        for gene, i in self._binned.items():
            binned[self._columns[gene]] = i
        most = _MOST_BINS / max(len(self._binned) * n_groups * _OCTAVES, 1)
        fineness = int(np.clip(np.log2(max(most, 1)), 0, _FINEST))
        job = Tally(known, binned, n_groups, fineness, to_depth(cells.info), cells.info)
        place = np.full(len(self.sizes) + 1, -1)  # the last is that of -1
        place[self._used] = np.arange(n_groups)
        added = reduce(Sums.plus, (one for _, one in each_block(job, cells, place[self._codes])))
        self._sums = Sums(added.hits[:, columns], added.totals[:, columns], added.bins)
        return self._sums
