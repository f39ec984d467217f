"""Expression of cells, brought to one scale once, and what groups of them express more or less than others.

Groups are compared by the Mann-Whitney test, for many genes and groups at once, on sparse data.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import ndtr
from scipy.stats import false_discovery_control

from ..io import Cells

if TYPE_CHECKING:
    from anndata import AnnData

    from ..io import MatrixInfo


DEPTH = 1e4
# As much as one molecule in one of fifty cells of 2,000 counts: what is rarer differs by chance only.
_PSEUDO = 0.1
# Sums of cells that differ less from 10,000 are that: what they sum to is known no better.
_SAME_DEPTH = 0.01
# Say nothing about a cell's type, or have no name that a reader could look up.
_PLAIN = re.compile(r"MT-|RP[SL]\d|RPLP|MRP[SL]|MALAT1$|NEAT1$|XIST$|LINC|A[CLFP]\d{5}|C\w+orf|LOC\d|.*-AS\d|RP\d+-")
# Where either side of a comparison has fewer cells no test is made.
LEAST_TESTED = 10
_LEAST_FRACTION = 0.2


@dataclass(frozen=True)
class Measured:
    """One gene inside and outside a set of cells; NaN where nothing is outside, or no test was made."""

    fraction_in: float  # cells that express it, 0 to 1
    fraction_out: float
    log_fold_change: float  # log2 of mean expression per 10,000, inside over outside, 0.1 added to both
    p_high: float  # one-sided Mann-Whitney
    p_low: float
    n_in: int  # cells
    n_out: int


def to_depth(info: MatrixInfo) -> float | None:
    """Factor that brings linear values to expression per 10,000; None where each cell is divided by its own total.

    Logarithms were made of values that were normalised already, where they were: to what is seen from equal sums.
    Without these, as in a part of the genes, they are left as they are.
    """
    if info.log_base is None:
        return None
    known = info.target_sum is not None and abs(info.target_sum / DEPTH - 1) > _SAME_DEPTH
    return DEPTH / info.target_sum if known and info.target_sum else 1.0


def totals_of(sums: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return what cells are divided by: their sums, 1 in place of 0."""
    found = np.asarray(sums, dtype=np.float64).ravel()
    return np.where(found > 0, found, 1.0)


class Expression:
    """Cells by genes, of which the columns asked for become natural logs of one plus expression per 10,000.

    `X` (n_cells, n_genes) holds values on the scale that `info` says; see :func:`to_depth` for what is done to them.
    `symbols` are approved ones, each once, `""` for columns that nobody asks for; `positions` is the column of each.
    """

    def __init__(self, X: Any, symbols: Sequence[str], info: MatrixInfo) -> None:
        self._matrix = X.tocsr() if sparse.issparse(X) else sparse.csr_matrix(X)
        self._base, self._factor = info.log_base, to_depth(info)
        self._totals = totals_of(self._matrix.sum(axis=1)) if self._factor is None else None
        self.n_cells = int(self._matrix.shape[0])
        self.positions = {symbol: at for at, symbol in enumerate(symbols) if symbol}

    def logs(self, genes: Sequence[str], rows: NDArray[np.integer] | None = None) -> sparse.csc_matrix:
        """Return some genes' columns as logs, float64 (n_rows, n_genes), of all cells or some."""
        at = np.array([self.positions[gene] for gene in genes], dtype=np.int64)
        matrix = self._matrix if rows is None else self._matrix[rows]
        chosen = matrix[:, at].tocsc().astype(np.float64)
        if self._base is not None:
            chosen.data *= math.log(self._base)
        if self._totals is not None:
            totals = self._totals if rows is None else self._totals[rows]
            chosen = sparse.diags_array(DEPTH / totals).dot(chosen).tocsc()
            chosen.data = np.log1p(chosen.data)
        elif self._factor != 1:
            chosen.data = np.log1p(np.expm1(chosen.data) * self._factor)
        # Equal ratios of counts must tie whatever their last bits, in float32 too.
        chosen.data = np.round(chosen.data, 5)
        chosen.eliminate_zeros()
        return chosen

    def measure(
        self, inside: NDArray[np.bool_], outside: NDArray[np.bool_], genes: Sequence[str]
    ) -> dict[str, Measured]:
        """Compare two sets of cells, bool (n_cells,), gene by gene; genes without a column are left out."""
        present = [gene for gene in dict.fromkeys(genes) if gene in self.positions]
        rows = np.flatnonzero(inside | outside)
        if not present or rows.size == 0:
            return {}
        return table_of(self.logs(present, rows), np.where(inside[rows], 0, 1), 2).measured(present)

    def hits(self, codes: NDArray[np.integer], n_groups: int) -> NDArray[np.int64]:
        """Return how many cells of each group express each column: (n_groups, n_columns); cells of -1 are left out."""
        found = np.zeros((n_groups, self._matrix.shape[1]), dtype=np.int64)
        # Group by group: numbers as long as all values would take several times their memory.
        for code in np.unique(codes[codes >= 0]).tolist():
            part = self._matrix[np.flatnonzero(codes == code)]
            found[code] = np.bincount(part.indices[part.data > 0], minlength=part.shape[1])
        return found


class Table(NamedTuple):
    """Genes added up over groups of cells."""

    hits: NDArray[np.floating]  # (n_genes, n_groups) cells that express the gene
    totals: NDArray[np.float64]  # (n_genes, n_groups) sums of expression per 10,000
    sizes: NDArray[np.float64]  # (n_groups,) cells
    ranks: NDArray[np.float64]  # (n_genes, n_groups) sums of ranks; see `rank_sums`
    ties: NDArray[np.float64]  # (n_genes,) its term for ties

    def measured(self, genes: Sequence[str]) -> dict[str, Measured]:
        """Compare the first of two groups with the second, by gene."""
        found = compare(self)
        names, n_in, n_out = ("fraction_in", "fraction_out", "log_fold_change"), *map(int, self.sizes)
        out = {}
        for i, gene in enumerate(genes):
            numbers = {name: float(found[name][i, 0]) for name in names}
            p_high, p_low = map(float, found["p"][i]) if min(n_in, n_out) >= LEAST_TESTED else (math.nan, math.nan)
            out[gene] = Measured(**numbers, p_high=p_high, p_low=p_low, n_in=n_in, n_out=n_out)
        return out


def table_of(logs: sparse.csc_matrix, codes: NDArray[np.integer], n_groups: int) -> Table:
    """Add up logs (n_cells, n_genes) of cells over their groups, `codes` (n_cells,)."""
    n_cells = logs.shape[0]
    # Groups by cells times cells by genes: every group's sums in one sparse product.
    member = sparse.csr_matrix((np.ones(n_cells), (codes, np.arange(n_cells))), shape=(n_groups, n_cells))
    expressed, linear = logs.copy(), logs.copy()
    expressed.data = np.ones_like(logs.data)
    linear.data = np.expm1(logs.data)
    hits, totals = ((member @ one).toarray().T for one in (expressed, linear))
    sizes = np.bincount(codes, minlength=n_groups).astype(float)
    return Table(hits, totals, sizes, *rank_sums(logs, codes, n_groups))


def compare(table: Table) -> dict[str, NDArray[np.float64]]:
    """Compare every group with all other cells: arrays (n_genes, n_groups), and group sizes (n_groups,)."""
    hits, totals, sizes = table.hits, table.totals, table.sizes
    rest = sizes.sum() - sizes
    with np.errstate(divide="ignore", invalid="ignore"):
        inside, outside = totals / sizes, (totals.sum(axis=1, keepdims=True) - totals) / rest
        fraction_out = (hits.sum(axis=1, keepdims=True) - hits) / rest
        change = np.log2((inside + _PSEUDO) / (outside + _PSEUDO))
        fraction_in = hits / sizes
    auc, p = one_sided(table.ranks, table.ties, sizes)
    return {
        "fraction_in": fraction_in, "fraction_out": fraction_out, "log_fold_change": change, "auc": auc, "p": p,
        "n_in": sizes, "n_out": rest,
    }  # fmt: skip


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

    `counts` (n_groups, 1 + n_bins) are cells of each group in each bin, in the order of values; the first bin holds
    zeros. Returns rank sums (n_groups,) and the tie term, as :func:`rank_sums` does; and the largest error of a group's
    area under the curve against the rest: half the chance that a cell of either, drawn at random, are in one bin that
    is not the first.
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
    adjusted, known = np.full(p.shape, np.nan), ~np.isnan(p)
    if known.any():
        adjusted[known] = false_discovery_control(p[known])
    return adjusted


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
        """Compare every group with all others, as :func:`compare` does."""
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
        named = [gene for gene in self.positions if not _PLAIN.match(gene)]
        apart = pd.Series(difference[[self.positions[gene] for gene in named]], index=named)
        apart = apart[(apart > 0) & ~apart.index.isin([*without])]
        apart = apart.sort_index().sort_values(ascending=False, kind="stable")
        found = self.measure(code, apart.index[: 10 * n].tolist())
        # Chosen out of all genes, so all of them count as tested (Bonferroni).
        strict = 0.01 / max(len(self.positions), 1)
        return [gene for gene, one in found.items() if _stands_out(one, strict)][:n]


def _stands_out(one: Measured, strict: float) -> bool:
    clear = one.fraction_in >= _LEAST_FRACTION and one.log_fold_change > 1
    return clear and (min(one.n_in, one.n_out) < LEAST_TESTED or one.p_high < strict)


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


class MeasuredCells:
    """Expression of some cells, for any number of texts and groups; see :meth:`scbioverse.io.Cells.sample`.

    `codes`, int (n_obs,), are groups, for fair shares; -1 for cells to leave out. `rows` are the positions of the cells
    that were read, `columns` the data's column of each approved symbol.
    """

    def __init__(
        self,
        data: AnnData | Cells,
        *,
        layer: str | None = None,
        key: str | None = None,
        codes: NDArray[np.integer] | None = None,
    ) -> None:
        # Where the cells were embedded, their blocks are in memory already: nothing is read twice.
        self.cells = Cells.of(data, layer, key)
        self.n_obs = self.cells.n_obs
        found = self.cells.sample(codes)
        self.rows, self.columns = found.rows, found.columns
        self.expression = Expression(found.values, found.symbols, self.cells.info)

    def measure(
        self, inside: NDArray[np.bool_], genes: Sequence[str], against: NDArray[np.bool_] | None = None
    ) -> dict[str, Measured]:
        """Compare some cells, bool (n_obs,), with others, all if None, gene by gene, as far as measured."""
        # A cell on both sides would be compared with itself.
        outside = ~inside if against is None else against & ~inside
        return self.expression.measure(inside[self.rows], outside[self.rows], genes)
