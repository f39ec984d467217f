"""Expression of cells, brought to one scale once, and what a group of them expresses more or less than others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from ..errors import InputError
from ..knowledge.gene_columns import claims_of, pick
from .claims import Measured
from .ranks import one_sided, rank_sums

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

_DEPTH = 1e4
# As much as one molecule in one of fifty cells of 2,000 counts: what is rarer differs by chance only.
_PSEUDO = 0.1
# Larger values are normalised but not logged.
_LARGEST_LOG = 50
# Say nothing about a cell's type, or have no name that a reader could look up.
_PLAIN = re.compile(r"MT-|RP[SL]\d|RPLP|MRP[SL]|MALAT1$|NEAT1$|XIST$|LINC|A[CLFP]\d{5}|C\w+orf|LOC\d|.*-AS\d|RP\d+-")
_LEAST_TESTED = 10
_LEAST_FRACTION = 0.2


class Expression:
    """Cells by genes, of which the columns asked for become natural logs of one plus expression per 10,000.

    In `X` (n_cells, n_genes) whole numbers are counts; fractions are logs, or normalised values where they exceed any
    log scale. Older gene names are understood; of several for one gene the one with most cells counts. `positions` is
    the column of each approved symbol.
    """

    def __init__(self, X: Any, symbols: Sequence[str]) -> None:
        matrix = X.tocsr() if sparse.issparse(X) else sparse.csr_matrix(X)
        if len(symbols) != matrix.shape[1]:
            raise InputError(
                f"X has {matrix.shape[0]} cells and {matrix.shape[1]} genes, but there are {len(symbols)} gene names"
            )
        data = matrix.data
        if data.size and not (np.isfinite(data).all() and data.min() >= 0):
            raise InputError(
                "X holds negative or missing values; pass counts or log-normalised values, not scaled ones"
            )
        self._matrix = matrix
        self._counts = data.size == 0 or np.array_equal(data, np.round(data))
        self._linear = self._counts or data.max() > _LARGEST_LOG
        self._totals: NDArray[np.float64] | None = None
        if self._counts:
            self._totals = np.maximum(np.asarray(matrix.sum(axis=1)).ravel().astype(np.float64), 1)
        self.n_cells = int(matrix.shape[0])
        self.positions = _positions(symbols, matrix)

    def logs(self, genes: Sequence[str], rows: NDArray[np.integer] | None = None) -> sparse.csc_matrix:
        """Return some genes' columns as logs, float64 (n_rows, n_genes), of all cells or some."""
        at = np.array([self.positions[gene] for gene in genes], dtype=np.int64)
        matrix = self._matrix if rows is None else self._matrix[rows]
        chosen = matrix[:, at].tocsc().astype(np.float64)
        if self._totals is not None:
            totals = self._totals if rows is None else self._totals[rows]
            chosen = sparse.diags_array(_DEPTH / totals).dot(chosen).tocsc()
        if self._linear:
            chosen.data = np.log1p(chosen.data)
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
        codes = np.where(inside[rows], 0, 1)
        stats = group_statistics(self.logs(present, rows), codes, 2)
        n_in, n_out = int(inside.sum()), int(outside.sum())
        return {
            gene: Measured(
                fraction_in=float(stats["fraction_in"][i, 0]),
                fraction_out=float(stats["fraction_out"][i, 0]),
                log_fold_change=float(stats["log_fold_change"][i, 0]),
                p_high=float(stats["p"][i, 0]),
                p_low=float(stats["p"][i, 1]),
                n_in=n_in,
                n_out=n_out,
            )
            for i, gene in enumerate(present)
        }

    def standing_out(
        self, inside: NDArray[np.bool_], outside: NDArray[np.bool_], n: int, *, without: Collection[str] = ()
    ) -> list[str]:
        """Genes that set some cells apart most, whatever is known of them; fewer than `n` where fewer do.

        By the difference of the fractions that express them, among genes with twice the expression inside and, where
        both sides have ten cells, a one-sided Mann-Whitney p below 0.01 / number of genes. Mitochondrial and ribosomal
        genes, and those without a name of their own, say nothing about a type and are left out.
        """
        if not inside.any() or not outside.any():
            return []
        difference = self._fractions(inside) - self._fractions(outside)
        named = {at: gene for gene, at in self.positions.items() if gene not in without and not _PLAIN.match(gene)}
        order = sorted((at for at in named if difference[at] > 0), key=lambda at: (-difference[at], named[at]))
        candidates = [named[at] for at in order[: 10 * n]]
        found = self.measure(inside, outside, candidates)
        # Chosen out of all genes, so all of them count as tested (Bonferroni).
        strict = 0.01 / max(len(self.positions), 1)
        tested = min(int(inside.sum()), int(outside.sum())) >= _LEAST_TESTED
        fits = [
            gene
            for gene in candidates
            if found[gene].fraction_in >= _LEAST_FRACTION
            and found[gene].log_fold_change > 1
            and (not tested or found[gene].p_high < strict)
        ]
        return fits[:n]

    def _fractions(self, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        part = self._matrix[np.flatnonzero(mask)]
        return np.bincount(part.indices[part.data > 0], minlength=part.shape[1]) / max(int(mask.sum()), 1)


def _positions(symbols: Sequence[str], matrix: sparse.csr_matrix) -> dict[str, int]:
    claims = claims_of([str(name) for name in symbols])
    if all(len(some) == 1 for some in claims.values()):
        return {gene: some[0].column for gene, some in claims.items()}
    n_cells = np.bincount(matrix.indices[matrix.data > 0], minlength=matrix.shape[1])
    held = dict(enumerate(n_cells.tolist()))
    return {gene: pick(some, held).column for gene, some in claims.items()}


def group_statistics(
    logs: sparse.csc_matrix, codes: NDArray[np.integer], n_groups: int
) -> dict[str, NDArray[np.float64]]:
    """Compare every group with all other cells: arrays (n_genes, n_groups), and group sizes (n_groups,)."""
    n_cells = logs.shape[0]
    # Groups by cells times cells by genes: every group's sums in one sparse product.
    sizes = np.bincount(codes, minlength=n_groups).astype(float)
    member = sparse.csr_matrix((np.ones(n_cells), (codes, np.arange(n_cells))), shape=(n_groups, n_cells))
    expressed, linear = logs.copy(), logs.copy()
    expressed.data = np.ones_like(logs.data)
    linear.data = np.expm1(logs.data)
    hits = (member @ expressed).toarray().T
    sums = (member @ linear).toarray().T
    rest = n_cells - sizes
    with np.errstate(divide="ignore", invalid="ignore"):
        inside, outside = sums / sizes, (sums.sum(axis=1, keepdims=True) - sums) / rest
        fraction_out = (hits.sum(axis=1, keepdims=True) - hits) / rest
        change = np.log2((inside + _PSEUDO) / (outside + _PSEUDO))
        fraction_in = hits / sizes
    auc, p = one_sided(*rank_sums(logs, codes, n_groups), sizes)
    return {
        "fraction_in": fraction_in, "fraction_out": fraction_out, "log_fold_change": change, "auc": auc, "p": p,
        "n_in": sizes, "n_out": rest,
    }  # fmt: skip
