"""What groups of cells express, compared gene by gene: counted in memory, or over all blocks of large data."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _workers
from ..io import Cells, csr_of, to_counts_like
from ..io.cells import SAMPLE_CELLS
from .expression import DEPTH, Expression, Table, compare, ranks_of_bins, table_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from ..io import MatrixInfo
    from .claims import Measured

# Say nothing about a cell's type, or have no name that a reader could look up.
_PLAIN = re.compile(r"MT-|RP[SL]\d|RPLP|MRP[SL]|MALAT1$|NEAT1$|XIST$|LINC|A[CLFP]\d{5}|C\w+orf|LOC\d|.*-AS\d|RP\d+-")
_LEAST_TESTED = 10
_LEAST_FRACTION = 0.2
# Bins of values per 10,000: from 2^-4 to 2^20, so many an octave as fit, 16 at most; more are not told apart by ranks.
_LOW, _OCTAVES, _FINEST = -4, 24, 4
_MOST_BINS = 8_000_000
# Values are rounded to multiples of this: such sums have no rounding, in whichever order blocks come.
_UNIT = 2.0**-12


class Grouped(ABC):
    """Groups of cells, numbered from 0."""

    positions: dict[str, int]  # column of each approved symbol
    sizes: NDArray[np.int64]  # (n_groups,): cells of each that were measured
    # Largest error that an area under the curve can have, of genes whose values are ranked; 0 where ranks are exact.
    auc_error: float = 0.0

    @abstractmethod
    def table(self, genes: Sequence[str], sides: NDArray[np.integer], n_sides: int) -> Table:
        """Add up some genes over sides, to which `sides` (n_groups,) puts each group; -1 leaves it out."""

    @abstractmethod
    def hits(self) -> NDArray[np.integer]:
        """Return how many cells of each group express each column: (n_groups, n_columns)."""

    def statistics(self, genes: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """Compare every group with all others, as :func:`.expression.compare` does."""
        return compare(self.table(genes, np.arange(len(self.sizes)), len(self.sizes)))

    def measure(self, code: int, genes: Sequence[str], against: int | None = None) -> dict[str, Measured]:
        """Compare one group with another, or with all others, by gene."""
        sides = np.full(len(self.sizes), 1 if against is None else -1)
        if against is not None:
            sides[against] = 1
        sides[code] = 0
        return self.table(genes, sides, 2).measured(genes) if len(genes) else {}

    def shares(self, genes: Sequence[str]) -> NDArray[np.float64]:
        """Share of the cells of each group that express each gene: (n_groups, n_genes)."""
        at = [self.positions[gene] for gene in genes]
        return np.asarray(self.hits()[:, at] / np.maximum(self.sizes, 1)[:, None], dtype=np.float64)

    def standing_out(self, code: int, n: int, *, without: Collection[str] = ()) -> list[str]:
        """Genes that set a group apart most, whatever is known of them; fewer than `n` where fewer do.

        By the difference of the fractions that express them, among genes with twice the expression inside and, where
        both sides have ten cells, a one-sided Mann-Whitney p below 0.01 / number of genes. Mitochondrial and ribosomal
        genes, and those without a name of their own, say nothing about a type and are left out, as are those `without`.
        """
        n_in, n_out = int(self.sizes[code]), int(self.sizes.sum() - self.sizes[code])
        if not n_in or not n_out:
            return []
        hits = self.hits()
        difference = hits[code] / n_in - (hits.sum(axis=0) - hits[code]) / n_out
        named = {at: gene for gene, at in self.positions.items() if gene not in without and not _PLAIN.match(gene)}
        order = sorted((at for at in named if difference[at] > 0), key=lambda at: (-difference[at], named[at]))
        candidates = [named[at] for at in order[: 10 * n]]
        found = self.measure(code, candidates)
        # Chosen out of all genes, so all of them count as tested (Bonferroni).
        strict = 0.01 / max(len(self.positions), 1)
        fits = [
            gene
            for gene in candidates
            if found[gene].fraction_in >= _LEAST_FRACTION
            and found[gene].log_fold_change > 1
            and (min(n_in, n_out) < _LEAST_TESTED or found[gene].p_high < strict)
        ]
        return fits[:n]


class InMemory(Grouped):
    """Groups of cells whose values are at hand, `codes` (n_cells,) with -1 for none; ranks are exact."""

    def __init__(self, expression: Expression, codes: NDArray[np.integer], n_groups: int) -> None:
        self._expression, self._codes = expression, codes
        self._hits: NDArray[np.integer] | None = None
        self.positions, self.sizes = expression.positions, np.bincount(codes[codes >= 0], minlength=n_groups)

    def table(self, genes: Sequence[str], sides: NDArray[np.integer], n_sides: int) -> Table:  # noqa: D102
        put = np.where(self._codes >= 0, sides[self._codes], -1)
        rows = np.flatnonzero(put >= 0)
        return table_of(self._expression.logs(genes, rows), put[rows], n_sides)

    def hits(self) -> NDArray[np.integer]:  # noqa: D102
        if self._hits is None:
            self._hits = self._expression.hits(self._codes, len(self.sizes))
        return self._hits


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
    counts: bool  # whether values are counts; else they are per 10,000, or so many, as they are
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
        factor = np.full(len(codes), 1 / _UNIT)
        if self.counts:
            factor *= DEPTH / np.maximum(block @ self.genes.astype(np.float64), 1)
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
        counts = cells.info.log_base is None and cells.info.target_sum is None
        job = Tally(known, binned, n_groups, fineness, counts, cells.info)
        place = np.full(len(self.sizes) + 1, -1)  # the last is that of -1
        place[self._used] = np.arange(n_groups)
        added = reduce(Sums.plus, (one for _, one in _workers.each_block(job, cells, place[self._codes])))
        self._sums = Sums(added.hits[:, columns], added.totals[:, columns], added.bins)
        return self._sums


def grouped(data: AnnData | Cells, codes: NDArray[np.integer], n_groups: int) -> Grouped:
    """Return groups of cells: in memory up to 20,000 of them, else over all blocks.

    `codes`, (n_obs,), are their groups, -1 for cells to leave out. An :class:`InputError` where the matrix cannot be
    read as counts or log values, or no gene is known.
    """
    cells = Cells.of(data)
    if np.count_nonzero(codes >= 0) > SAMPLE_CELLS:
        return OverBlocks(cells, codes, n_groups)
    found = cells.sample(codes)
    return InMemory(Expression(found.values, found.symbols), codes[found.rows], n_groups)
