"""What scale expression values are on: linear counts, logarithms and of which base, or scaled gene by gene."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from numpy.typing import NDArray

Scale: TypeAlias = Literal["counts", "log"]

# A natural logarithm of a count stays below 50 for any count that fits a float32.
LARGEST_LOG = 50.0
# log1p of a gene that takes all of 1e6 counts is 13.82; above that only base 2 makes sense.
LARGEST_NATURAL = 13.9
# How the evidence begins where there is none.
ASSUMED = "assumed"
# A scale is believed where most values are whole multiples of a count, clearly more than under any other.
_ENOUGH, _MOSTLY_WHOLE, _CLEARLY_MORE = 20, 0.85, 0.1
# Sums of cells are the same: standard deviation of their logarithms.
_EQUAL = 0.01
# So are cells' lengths. Means of a few samples' cells come within one per cent of another by chance.
_EQUAL_LENGTH = 0.001
# ---- scaled gene by gene
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
_SAME = 1e-5
BASES: tuple[float, ...] = (math.e, 2.0, 10.0)


@dataclass(frozen=True)
class ScaleGuess:
    """What the values are, and why that is believed, in words."""

    scale: Scale | Literal["root"]
    """`"counts"` for linear values, `"log"` for log(1 + value), `"root"` for square roots, which nothing here reads."""
    log_base: float | None  # base of the logarithm; None for linear values
    target_sum: float | None  # sum of every cell on the linear scale, where it is the same for all; else None
    evidence: str


def to_linear(values: NDArray[np.floating], base: float | None) -> NDArray[np.floating]:
    """Undo `log_base(1 + x)`; values stand as they are for base None."""
    return values if base is None else np.expm1(values * math.log(base))


def whole_multiples(sample: sp.csr_array, base: float | None) -> tuple[float, int]:
    """Share of values that are whole multiples of their cell's smallest, after undoing `base`.

    Counts divided by one size factor a cell, whatever it is, are whole multiples of one unit, and the unit is seen
    wherever a gene has one count. Under a wrong base the multiples fall apart. The test needs no full gene panel.
    Returned with the share, 0 to 1, is the number of values that it is taken over (those of 1.3 to 12 units).
    """
    linear = to_linear(sample.data.astype(np.float64), base)
    sizes = np.diff(sample.indptr)
    starts = sample.indptr[:-1][sizes > 0]
    if starts.size == 0:
        return 0.0, 0
    unit = np.repeat(np.minimum.reduceat(linear, starts), sizes[sizes > 0])
    ratio = linear / np.maximum(unit, np.finfo(np.float64).tiny)
    ratio = ratio[(ratio > 1.3) & (ratio < 12)]
    if ratio.size == 0:
        return 0.0, 0
    return float((np.abs(ratio - np.rint(ratio)) < 0.02).mean()), int(ratio.size)


def sum_spread(sample: sp.csr_array, base: float | None) -> tuple[float, float]:
    """Return spread (standard deviation of the logarithm) and median of the cells' sums, after undoing `base`."""
    linear = to_linear(sample.data.astype(np.float64), base)
    sums = np.asarray(sp.csr_array((linear, sample.indices, sample.indptr), sample.shape).sum(axis=1)).ravel()
    sums = sums[sums > 0]
    if sums.size < 2:
        return math.inf, math.nan
    return float(np.log(sums).std()), float(np.median(sums))


def guess_scale(sample: sp.csr_array, *, largest: float) -> ScaleGuess:
    """Decide on the scale of a non-negative matrix in which some values are fractions.

    Values too large for a logarithm are linear. Otherwise each base is tried, on two properties that only the right one
    restores: values that are whole multiples of one unit a cell (any panel), or equal sums (full panels). The spread of
    sums alone does not order the bases on a subset of genes, since a smaller base shrinks every spread; so without
    either sign the natural logarithm is assumed, as scanpy and Seurat write it, unless base 2 is clearly better.
    `sample` are some cells, without stored zeros; `largest` is of the whole matrix.
    """

    def believed(base: float | None, evidence: str) -> ScaleGuess:
        return ScaleGuess("counts" if base is None else "log", base, _equal_sum(sample, base), evidence)

    if largest > LARGEST_LOG:
        if roots := _square_roots(sample, *whole_multiples(sample, None), sum_spread(sample, None)[0]):
            return ScaleGuess("root", None, None, roots)
        return believed(None, f"values up to {largest:.4g}, too large for logs")
    candidates: list[float | None] = [None, *BASES]
    multiples = sorted(((*whole_multiples(sample, base), base) for base in candidates), key=lambda row: -row[0])
    share, n_values, base = multiples[0]
    if n_values >= _ENOUGH and share >= _MOSTLY_WHOLE and share - multiples[1][0] >= _CLEARLY_MORE:
        return believed(base, f"{share:.0%} of values are whole multiples of a count")
    spreads = {base: sum_spread(sample, base)[0] for base in candidates}
    base = min(spreads, key=lambda b: spreads[b])
    if spreads[base] < _EQUAL:
        return believed(base, "equal sums of all cells")
    if roots := _square_roots(sample, share, n_values, spreads[base]):
        return ScaleGuess("root", None, None, roots)
    if largest > LARGEST_NATURAL:
        return ScaleGuess("log", 2.0, None, f"values up to {largest:.4g}, too large for natural logs")
    if spreads[2.0] < 0.5 * spreads[math.e]:
        return ScaleGuess("log", 2.0, None, "sums of cells vary far less than under the natural log")
    return ScaleGuess("log", math.e, None, f"{ASSUMED}: no sign of another base")


def _square_roots(sample: sp.csr_array, share: float, n_values: int, spread: float) -> str:
    """Say what is wrong where values are square roots, or cells are scaled to one length; empty if they are not.

    `share`, `n_values` and `spread` are whole multiples and spread of sums under the readable scale that has most of
    the first.
    """
    squared = sp.csr_array((np.square(sample.data, dtype=np.float64), sample.indices, sample.indptr), sample.shape)
    found, n_found = whole_multiples(squared, None)
    if n_found >= _ENOUGH and found >= _MOSTLY_WHOLE and found - share >= _CLEARLY_MORE:
        return (
            f"holds square roots: the squares of {found:.0%} of its values are whole multiples of a count. Square them "
            "(adata.X = adata.X ** 2, of a sparse matrix adata.X.power(2)), or pass counts or log-normalised values."
        )
    # Counts that were divided to one length a cell are linear values as good as any.
    if n_values >= _ENOUGH and share >= _MOSTLY_WHOLE:
        return ""
    # Without fractions of a count in view: square roots of shares and logarithms scaled to one length look the same.
    if spread >= _EQUAL and sum_spread(squared, None)[0] < _EQUAL_LENGTH:
        return (
            "has cells of one length: the squares of all cells' values have the same sum. They are square roots of "
            "shares, or were scaled to that length, which cannot be told apart. Pass counts or log-normalised values; "
            "only if they are square roots, square them (adata.X = adata.X ** 2, of a sparse matrix "
            "adata.X.power(2))."
        )
    return ""


def _equal_sum(sample: sp.csr_array, base: float | None) -> float | None:
    spread, median = sum_spread(sample, base)
    return median if spread < _EQUAL else None


class GeneMoments:
    """Sums over the cells of each gene, gathered block by block."""

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

    def merge(self, other: GeneMoments) -> None:
        """Add what was gathered from other cells."""
        self.n_cells += other.n_cells
        self._sum += other._sum
        self._squares += other._squares
        self._values += other._values
        np.maximum(self._top, other._top, out=self._top)

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
        at_one = np.abs(self._top[used] - 1) < _SAME
        if abs(largest - 1) < _SAME and at_one.mean() > _MOST_AT_ONE:
            return f"the largest value of {at_one.mean():.0%} of its genes is 1"
        # max_value= of scanpy cuts rare genes short, whose deviation is then below 1.
        uncut = used & (self._top < largest * (1 - _SAME))
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
