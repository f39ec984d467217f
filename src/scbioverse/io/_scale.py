"""What scale expression values are on: linear counts, logarithms and of which base, or scaled gene by gene."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
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
# Counts behind values that were stored with two digits come so close to whole ones.
_ROUNDED = 0.02
# Counts of which some are shared among genes or cleaned of other cells' molecules stay whole numbers, or lie a little
# below them. Of logarithms of 26 studies and panels in three bases at most 2 % are whole, and a third lies so close
# below one; only those to base 2, and square roots, of counts that were not normalised are often whole, and so are all
# counts behind them. Stricter where only closeness speaks for counts.
_WHOLE, _WHOLE_SHARE, _BEHIND = 1e-3, 0.6, 0.5
_BELOW, _BELOW_SHARE = 0.25, 0.8
# Cells on another scale: with so many values; share of whole ones in cells of counts and of logarithms; and how many
# such cells there are, as a share and at least.
_MIXED_VALUES, _ALL_WHOLE, _HARDLY_WHOLE, _MIXED_SHARE, _MIXED_CELLS = 10, 0.999, 0.2, 0.02, 3
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

    scale: Scale | Literal["unreadable"]
    """`"counts"` for linear values, `"log"` for log(1 + value), `"unreadable"` for what nothing here reads."""
    log_base: float | None  # base of the logarithm; None for linear values
    target_sum: float | None  # sum of every cell on the linear scale, where it is the same for all; else None
    evidence: str  # why; of what is unreadable what is wrong, behind the name of the matrix
    doubtful: bool = False  # whether the values could well be on another scale


def to_linear(values: NDArray[np.floating], base: float | None) -> NDArray[np.floating]:
    """Undo `log_base(1 + x)`; values stand as they are for base None."""
    return values if base is None else np.expm1(values * math.log(base))


def _with_values(block: sp.csr_array, values: NDArray[np.floating]) -> sp.csr_array:
    """Return a matrix with other values in the same places."""
    return sp.csr_array((values, block.indices, block.indptr), block.shape)


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
    return float((np.abs(ratio - np.rint(ratio)) < _ROUNDED).mean()), int(ratio.size)


def _clearly_whole(share: float, n_values: int, other: float = 0.0) -> bool:
    """Whether so large a share of values are whole multiples, and clearly larger than under another scale."""
    return n_values >= _ENOUGH and share >= _MOSTLY_WHOLE and share - other >= _CLEARLY_MORE


def sum_spread(sample: sp.csr_array, base: float | None) -> tuple[float, float]:
    """Return spread (standard deviation of the logarithm) and median of the cells' sums, after undoing `base`."""
    linear = _with_values(sample, to_linear(sample.data.astype(np.float64), base))
    sums = np.asarray(linear.sum(axis=1)).ravel()
    sums = sums[sums > 0]
    if sums.size < 2:
        return math.inf, math.nan
    return float(np.log(sums).std()), float(np.median(sums))


def guess_scale(sample: sp.csr_array, *, largest: float) -> ScaleGuess:
    """Decide on the scale of a non-negative matrix in which some values are fractions.

    Values too large for a logarithm are linear, and so are values of which most are whole numbers. Otherwise each base
    is tried, on two properties that only the right one restores: values that are whole multiples of one unit a cell
    (any panel), or equal sums (full panels). The spread of sums alone does not order the bases on a subset of genes,
    since a smaller base shrinks every spread; so without either sign values close below whole numbers are taken for
    counts, and others for natural logarithms, as scanpy and Seurat write them, unless base 2 is clearly better: all of
    that is doubtful. `sample` are some cells, without stored zeros; `largest` is of the whole matrix.
    """
    mixed, doubtful = _two_scales(sample)
    if mixed and not doubtful:
        return ScaleGuess("unreadable", None, None, mixed)
    guess = _guess_one(sample, largest)
    return replace(guess, doubtful=True, evidence=f"{guess.evidence}; it {mixed}") if mixed else guess


def _guess_one(sample: sp.csr_array, largest: float) -> ScaleGuess:
    """Decide on the scale of cells that are all on the same."""

    def believed(base: float | None, evidence: str) -> ScaleGuess:
        return ScaleGuess("counts" if base is None else "log", base, _equal_sum(sample, base), evidence)

    if largest > LARGEST_LOG:
        if roots := _square_roots(sample, *whole_multiples(sample, None), sum_spread(sample, None)[0]):
            return ScaleGuess("unreadable", None, None, roots)
        return believed(None, f"values up to {largest:.4g}, too large for logs")
    if (share := _whole_share(sample)) >= _WHOLE_SHARE:
        return believed(None, f"{share:.0%} of values are whole numbers")
    candidates: list[float | None] = [None, *BASES]
    multiples = sorted(((*whole_multiples(sample, base), base) for base in candidates), key=lambda row: -row[0])
    share, n_values, base = multiples[0]
    spreads = {base: sum_spread(sample, base)[0] for base in candidates}
    if twice := _logged_twice(sample, largest, share, min(spreads.values())):
        return ScaleGuess("unreadable", None, None, twice)
    if _clearly_whole(share, n_values, multiples[1][0]):
        return believed(base, f"{share:.0%} of values are whole multiples of a count")
    base = min(spreads, key=lambda b: spreads[b])
    if spreads[base] < _EQUAL:
        return believed(base, "equal sums of all cells")
    if roots := _square_roots(sample, share, n_values, spreads[base]):
        return ScaleGuess("unreadable", None, None, roots)
    if (below := _below_whole(sample)) >= _BELOW_SHARE:
        return ScaleGuess("counts", None, None, f"{ASSUMED}: {below:.0%} of values lie close below whole ones", True)
    if largest > LARGEST_NATURAL:
        return ScaleGuess("log", 2.0, None, f"values up to {largest:.4g}, too large for natural logs", True)
    if spreads[2.0] < 0.5 * spreads[math.e]:
        return ScaleGuess("log", 2.0, None, "sums of cells vary far less than under the natural log", True)
    return ScaleGuess("log", math.e, None, f"{ASSUMED}: no sign of another base", True)


def _is_whole(values: NDArray[np.floating], within: float = _WHOLE) -> NDArray[np.bool_]:
    near = np.rint(values)
    return (near >= 1) & (np.abs(values - near) < within)


def _whole_share(sample: sp.csr_array) -> float:
    """Share of values that are whole numbers; 0 where they are square roots, or logarithms of base 2, of such."""
    values = sample.data[sample.data > _WHOLE].astype(np.float64)
    if values.size < _ENOUGH:
        return 0.0
    whole = _is_whole(values)
    rest = values[~whole]
    behind = (_is_whole(to_linear(rest, 2.0), _ROUNDED), _is_whole(rest**2, _ROUNDED))
    return 0.0 if rest.size and max(one.mean() for one in behind) > _BEHIND else float(whole.mean())


def _below_whole(sample: sp.csr_array) -> float:
    """Share of values that lie close below a whole number, or are one; the smaller of those of all, and above 1."""
    values = sample.data[sample.data > _WHOLE].astype(np.float64)
    close = np.ceil(values - _WHOLE) - values < _BELOW
    above = values > 1 + _WHOLE
    return float(min(close.mean(), close[above].mean())) if above.sum() >= _ENOUGH else 0.0


def _two_scales(sample: sp.csr_array) -> tuple[str, bool]:
    """Say it where some cells hold counts and others logarithms, empty if they do not; and whether that is doubtful."""
    n_values = np.diff(sample.indptr)
    n_whole = np.bincount(
        np.repeat(np.arange(sample.shape[0]), n_values), weights=_is_whole(sample.data), minlength=sample.shape[0]
    )
    share, enough = n_whole / np.maximum(n_values, 1), n_values >= _MIXED_VALUES
    # Logarithms of base 2 of a few single counts are whole numbers, too.
    counts = enough & (share >= _ALL_WHOLE) & (sample.max(axis=1).toarray().ravel() > 2)
    others = enough & (share <= _HARDLY_WHOLE)
    least = max(_MIXED_CELLS, _MIXED_SHARE * enough.sum())
    if min(counts.sum(), others.sum()) < least:
        return "", False
    rest = sp.csr_array(sample[others])
    guess = _guess_one(rest, float(rest.max()))
    if guess.scale != "log":
        return "", False
    of_counts, of_logs = (f"{one.sum() / enough.sum():.0%}" for one in (counts, others))
    return (
        f"holds cells on two scales: about {of_counts} of its cells hold whole numbers, as counts are, and about "
        f"{of_logs} fractions, as logarithms are. Bring all cells to one scale, for example by joining the counts of "
        "all samples (anndata.concat of objects whose X holds counts).",
        guess.doubtful,
    )


def _logged_twice(sample: sp.csr_array, largest: float, share: float, spread: float) -> str:
    """Say it where values are logarithms of logarithms; empty if they are not, or it cannot be known.

    `share` and `spread` are the largest of whole multiples and the least of sums under one logarithm, or none.
    """
    if largest > math.log1p(LARGEST_NATURAL):
        return ""
    once = _with_values(sample, np.expm1(sample.data.astype(np.float64)))
    found, n_found = whole_multiples(once, math.e)
    if not _clearly_whole(found, n_found, share) and not (spread >= _EQUAL and sum_spread(once, math.e)[0] < _EQUAL):
        return ""
    return (
        "holds logarithms of logarithms: scanpy.pp.log1p was run on it twice. Pass the counts, or undo one of them "
        "(adata.X = numpy.expm1(adata.X), of a sparse matrix adata.X.expm1())."
    )


def _square_roots(sample: sp.csr_array, share: float, n_values: int, spread: float) -> str:
    """Say what is wrong where values are square roots, or cells are scaled to one length; empty if they are not.

    `share`, `n_values` and `spread` are whole multiples and spread of sums under the readable scale that has most of
    the first.
    """
    squared = _with_values(sample, np.square(sample.data, dtype=np.float64))
    found, n_found = whole_multiples(squared, None)
    if _clearly_whole(found, n_found, share):
        return (
            f"holds square roots: the squares of {found:.0%} of its values are whole multiples of a count. Square them "
            "(adata.X = adata.X ** 2, of a sparse matrix adata.X.power(2)), or pass counts or log-normalised values."
        )
    # Counts that were divided to one length a cell are linear values as good as any.
    if _clearly_whole(share, n_values):
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
        self._squares += _with_values(block, np.square(block.data, dtype=np.float64)).T @ ones
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
        few, at_top = uncut.sum() < _LEAST_GENES, 1 - uncut.sum() / used.sum()
        near_one = 0.0 if few else (np.abs(sd[uncut] - 1) < _NEAR_ONE).mean()
        if near_one > _MOST_NEAR_ONE:
            return f"{near_one:.0%} of its genes have a standard deviation of 1"
        if few or at_top > _MOST_AT_TOP:
            return f"{at_top:.0%} of its genes have the same largest value, {largest:.4g}"
        part = uncut & (self._values >= _LEAST_VALUES_SCATTER) & (self._values < n / 2)
        if part.sum() >= _LEAST_GENES_SCATTER:
            logs, shares = np.log(sd[part]), np.log(self._values[part] / n)
            spread = shares.std()
            slope = np.cov(shares, logs, bias=True)[0, 1] / spread**2 if spread > 0 else np.inf
            if np.median(np.abs(logs)) < _NEAREST_SCATTER and abs(slope) < _FLATTEST:
                return "the standard deviations of its genes lie close around 1, however many cells express them"
        return ""
