"""The first pass over a matrix: every value looked at once, a block of rows at a time, and nothing changed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._logging import warn
from ..errors import InputError, MissingKeyError
from ._genes import match_genes
from ._matrix import Source, gene_names, layer_names, matrix_name
from ._scale import GeneMoments, Scale, ScaleGuess, guess_scale, to_linear

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

# A few genes more are not worth a line.
_CLEARLY_MORE = 1.2
_ROWS = 50


@dataclass(frozen=True)
class Hints:
    """What messages call a matrix, and sentences: where unscaled values may be, and values where it has none."""

    name: str
    where_unscaled_are: str
    where_values_are: str

    @classmethod
    def of(cls, adata: AnnData, layer: str | None) -> Hints:
        """Look at what else the object holds."""
        ways = [f"layer={key!r}" for key in layer_names(adata) if key != layer]
        raw = adata.raw is not None and layer != "raw"
        others = " or ".join([*ways, "layer='raw' (reads adata.raw)"] if raw else ways)
        if others:
            unscaled = f"Pass the unscaled values, for example {others}."
            return cls(matrix_name(layer), unscaled, f"If the values are in another matrix, name it: {others}.")
        return cls(
            matrix_name(layer),
            "Pass the unscaled values: keep them with adata.layers['counts'] = adata.X.copy() or adata.raw = adata "
            "before scanpy.pp.scale, then use layer='counts' or layer='raw'.",
            "Pass the matrix that holds the counts; a file may have been written or read without them.",
        )


def say_better_source(
    adata: AnnData, vocabulary: Sequence[str], *, layer: str | None, key: str | None, n_found: int, info: MatrixInfo
) -> None:
    """Warn where the scale of a matrix is doubtful; of `X`, too, where another matrix would serve better.

    That is one with clearly more of the genes, or counts where the scale of `X` is doubtful. `n_found` is how many
    of them `X` has, `key` the column of `var` with gene names; `info` is what the first pass found.
    """
    assumed = info.doubtful
    if layer is not None:
        if assumed:
            _say_doubtful(info, matrix_name(layer))
        return
    n_raw = 0 if adata.raw is None else _n_matched(adata, vocabulary, key)
    # Warnings, since what is only logged is seen by those who raised the verbosity, and most never do.
    if n_raw > _CLEARLY_MORE * n_found and _holds(adata, "raw", counts=False):
        warn(f"adata.raw has {n_raw} of the genes, adata.X only {n_found}: layer='raw' would serve better.")
    elif assumed and n_raw >= n_found and _holds(adata, "raw", counts=True):
        warn("the scale of adata.X was assumed, and adata.raw has counts: layer='raw' would serve better.")
    elif assumed and (other := next((one for one in layer_names(adata) if _holds(adata, one, counts=True)), None)):
        warn(f"the scale of adata.X was assumed, and layer {other!r} has counts: layer={other!r} would serve better.")
    elif assumed:
        _say_doubtful(info, matrix_name(None))


def _say_doubtful(info: MatrixInfo, name: str) -> None:
    """Warn that values could be on another scale, and say what helps."""
    advice = (
        "If they are logarithms, pass the counts that they were made of"
        if info.log_base is None
        else "If they are counts with fractions (cleaned of other cells' molecules, or shared among genes), round them "
        f"(numpy.rint); if {name} has logarithms of another base, pass natural ones"
    )
    warn(
        f"the scale of {name} is not certain: its values are read as {info.kind} ({info.evidence}), and labels are "
        f"wrong where that is. {advice}, in X or as layer=. sb.pp.check_cells says how values are read."
    )


def _n_matched(adata: AnnData, vocabulary: Sequence[str], key: str | None) -> int:
    try:
        return int(match_genes(gene_names(adata, key=key, layer="raw"), vocabulary, min_genes=0).vocab.size)
    except (InputError, MissingKeyError):
        return 0


def _holds(adata: AnnData, layer: str, *, counts: bool) -> bool:
    """Whether the first cells of a matrix hold values that can be read, or only counts if they have to."""
    try:
        values = Source.of(adata, layer).read(0, min(_ROWS, adata.n_obs)).data
    except (InputError, MissingKeyError):
        return False
    readable = bool(values.size) and bool(np.isfinite(values).all()) and values.min() >= 0 and values.max() > 0
    return bool(readable and not (counts and (values != np.rint(values)).any()))


_VERSION = b"1"
# Values widened to 64 bits at once: 8 MB, which stay in the processor's cache better than more would.
_VALUES = 1_000_000


class MatrixDigest:
    """Takes a matrix in, blocks of rows in their order, and gives its digest; `names` are those of the columns."""

    def __init__(self, names: Sequence[str]) -> None:
        self.weights = _weights(names)
        self._sketches: list[NDArray[np.uint64]] = []

    def add(self, block: sp.csr_array) -> None:
        """Take in the next rows, (n, n_columns), without repeated entries."""
        self.take(sketch(block, self.weights))

    def take(self, rows: NDArray[np.uint64]) -> None:
        """Take in the next rows by their sketches."""
        self._sketches.append(rows)

    def hexdigest(self) -> str:
        """Digest of what was taken in, 32 hexadecimal digits."""
        found = hashlib.blake2b(_VERSION, digest_size=16)
        rows = np.concatenate([np.empty(0, dtype=np.uint64), *self._sketches])
        for part in (np.array([self.weights.size, rows.size], dtype=np.uint64), np.sort(self.weights), rows):
            found.update(part.astype("<u8", copy=False).tobytes())
        return found.hexdigest()


def sketch(block: sp.csr_array, weights: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One number a row: the sum of its values' bits, each times its column's weight; sums wrap around."""
    starts, n = np.asarray(block.indptr), block.shape[0]
    found, first = np.empty(n, dtype=np.uint64), 0
    while first < n:
        last = int(np.searchsorted(starts, starts[first] + _VALUES, side="right")) - 1
        last = min(max(last, first + 1), n)
        span = slice(int(starts[first]), int(starts[last]))
        part = (_bits(block.data[span]), block.indices[span], starts[first : last + 1] - starts[first])
        found[first:last] = sp.csr_array(part, shape=(last - first, block.shape[1])) @ weights
        first = last
    return found


def array_digest(values: NDArray[Any]) -> str:
    """Digest of an array's shape and values as float32, 32 hexadecimal digits."""
    held = np.ascontiguousarray(values, dtype="<f4")
    found = hashlib.blake2b(str(held.shape).encode(), digest_size=16)
    found.update(held.data)
    return found.hexdigest()


def texts_digest(texts: Sequence[str], codes: NDArray[np.integer]) -> str:
    """Digest of a column given as its distinct texts, by first appearance, and each row's position among them."""
    found = hashlib.blake2b(digest_size=16)
    for text in texts:
        held = text.encode("utf-8", "surrogatepass")
        found.update(len(held).to_bytes(8, "little"))
        found.update(held)
    found.update(np.asarray(codes).astype("<i8").tobytes())
    return found.hexdigest()


def _bits(values: Any) -> NDArray[np.uint64]:
    """Bits of values as float32, widened; 0 for both zeros."""
    held = np.asarray(values).astype(np.float32)
    held += np.float32(0)  # turns -0 into 0
    return held.view(np.uint32).astype(np.uint64)


def _weights(names: Sequence[str]) -> NDArray[np.uint64]:
    """One number a column, by its name alone; of repeated names by which of them it is, too."""
    # What is no Unicode (half a character, read from a damaged file) cannot be hashed as it is.
    held = pd.Series([str(name).encode("utf-8", "backslashreplace").decode() for name in names], dtype=object)
    repeat = held.groupby(held).cumcount() if held.duplicated().any() else None
    if repeat is not None:
        held = held.where(repeat == 0, held + "\0" + repeat.astype(str))
    return np.asarray(pd.util.hash_array(held.to_numpy(dtype=object), categorize=False), dtype=np.uint64)


# Rows sampled, evenly spread, to find the base of a logarithm.
_SAMPLE_ROWS = 400
# A share of negative values above this is scaling or residuals; fewer are single wrong values.
_MANY_NEGATIVE = 0.01
_LOGS = {2.0: "log2", 10.0: "log10"}
# Fewer genes say nothing of a cell's zeros; the share of its genes that were not detected; and of the cells, those in
# which this is to be seen.
_ENOUGH_GENES, _MANY_TIED, _MOST_CELLS = 20, 0.3, 0.9


@dataclass(frozen=True)
class MatrixInfo:
    """What the first pass found."""

    n_obs: int
    n_vars: int
    # "counts" for linear values (raw counts, fractional counts, or normalised without a logarithm), "log" for
    # log(1 + value).
    scale: Scale
    log_base: float | None = None  # 2, e or 10; None for linear values
    target_sum: float | None = None  # of each cell on the linear scale, where all cells have the same
    evidence: str = ""  # why the scale is believed
    digest: str = ""  # of values and names, see `MatrixDigest`
    doubtful: bool = False  # whether the values could well be on another scale
    # int64 (n_vars,): cells with a value above 0 in each column.
    n_expressing: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(0, dtype=np.int64), compare=False, repr=False
    )

    def describe(self) -> str:
        """One line for the log."""
        back = "" if self.log_base is None else ", turned back to a linear scale"
        total = "" if self.target_sum is None else f", {self.target_sum:.6g} a cell"
        return f"matrix read as {self.kind}{back}{total} ({self.evidence})"

    @property
    def kind(self) -> str:
        """What the values are read as, in words."""
        return (
            "linear values (counts)" if self.log_base is None else f"{_LOGS.get(self.log_base, 'natural-log')} values"
        )


@dataclass(frozen=True, eq=False)
class Look:
    """What one block of rows shows."""

    sketches: NDArray[np.uint64]  # (n,) one a row; see `sketch`
    n_expressing: NDArray[np.int64]  # (n_vars,) cells with a value above 0 in each column
    largest: float
    moments: GeneMoments | None  # sums of each gene, where some values are fractions
    sample: sp.csr_array  # rows by which the scale is judged


@dataclass(frozen=True, eq=False)
class Looker:
    """Looks at blocks of a matrix of `n_obs` rows, here or in another process; `weights` are a `MatrixDigest`'s."""

    n_obs: int
    weights: NDArray[np.uint64]
    hints: Hints

    def __call__(self, first_row: int, block: sp.csr_array) -> Look:
        """Look at the rows that begin at `first_row`; an :class:`InputError` where a value is none of expression."""
        _check_values(block, first_row, self.hints)
        used = block.indices if np.count_nonzero(block.data) == block.nnz else block.indices[block.data != 0]
        moments = None
        # What was scaled by gene has fractions in every block; counts have none, and are spared the sums.
        if block.nnz and block.data.dtype.kind == "f" and not (block.data == np.rint(block.data)).all():
            moments = GeneMoments(block.shape[1])
            moments.add(block)
        wanted = np.unique(np.linspace(0, self.n_obs - 1, min(self.n_obs, _SAMPLE_ROWS)).astype(np.int64))
        here = wanted[(wanted >= first_row) & (wanted < first_row + block.shape[0])] - first_row
        largest = float(block.data.max()) if block.nnz else 0.0
        counts = np.bincount(used, minlength=block.shape[1])
        return Look(sketch(block, self.weights), counts, largest, moments, block[here])


class FirstPass:
    """Checks that a matrix is an expression matrix, finds its scale, and counts what each gene's columns hold.

    `look` is what looks at a block; :meth:`add` takes in what it says.
    """

    def __init__(self, shape: tuple[int, int], names: Sequence[str], hints: Hints) -> None:
        self.shape, self._digest = shape, MatrixDigest(names)
        self.look = Looker(shape[0], self._digest.weights, hints)
        self._moments: GeneMoments | None = None  # of the blocks that hold fractions
        self._n_expressing = np.zeros(shape[1], dtype=np.int64)
        self._sampled: list[sp.csr_array] = []
        self._largest = 0.0

    def add(self, look: Look) -> None:
        """Take in the next block."""
        self._digest.take(look.sketches)
        self._n_expressing += look.n_expressing
        self._largest = max(self._largest, look.largest)
        self._sampled.append(look.sample)
        if self._moments is None:
            self._moments = look.moments
        elif look.moments is not None:
            self._moments.merge(look.moments)

    def info(self) -> MatrixInfo:
        """Return what was found, when all blocks were taken in.

        An :class:`InputError` where the matrix has no rows or columns, holds values that were scaled gene by gene,
        square roots, cells scaled to one length, counts in some cells and logarithms in others, logarithms of
        logarithms, or nothing but zeros. (NaN, infinite and negative values are refused
        when looked at.)
        """
        hints, (n_obs, n_vars) = self.look.hints, self.shape
        name = hints.name
        if 0 in self.shape:
            raise InputError(f"{name} is empty: {n_obs} cells x {n_vars} genes")
        if self._largest == 0:
            raise InputError(
                f"{name} holds nothing but zeros ({n_obs} cells x {n_vars} genes). {hints.where_values_are}"
            )
        if self._moments is not None and (scaled := self._moments.scaled_by_gene()):
            raise InputError(
                f"{name} looks scaled gene by gene (as by scanpy.pp.scale(zero_center=False)): {scaled}, so genes can "
                f"no longer be compared within a cell. {hints.where_unscaled_are}"
            )
        sample = sp.csr_array(sp.vstack(self._sampled))
        sample.eliminate_zeros()
        if zero := _shifted_zeros(sample):
            raise InputError(
                f"{name} has no zeros: genes that were not detected hold {zero:.6g} in the first cell, as after "
                "ranking or a logarithm of more than value + 1. Pass counts or log-normalised values, in which they "
                "are 0."
            )
        guess = ScaleGuess("counts", None, None, "whole numbers")
        if self._moments is not None:
            guess = guess_scale(sample, largest=self._largest)
        if guess.scale == "unreadable":
            raise InputError(f"{name} {guess.evidence}")
        found = (guess.scale, guess.log_base, guess.target_sum, guess.evidence)
        return MatrixInfo(n_obs, n_vars, *found, self._digest.hexdigest(), guess.doubtful, self._n_expressing)


def _shifted_zeros(sample: sp.csr_array) -> float:
    """Return what stands for zero where genes that were not detected have a positive value; 0 where they have none.

    Ranks, log(x + c) with c other than 1, and Freeman and Tukey's roots leave no zero, and the value of what was not
    detected is the smallest of a cell and a frequent one. Smoothed and imputed values have no such tie.
    """
    n, m = sample.shape
    full = np.diff(sample.indptr) == m
    if m < _ENOUGH_GENES or full.mean() < _MOST_CELLS:
        return 0.0
    values = sample[full].toarray()
    smallest = values.min(axis=1)
    tied = (values == smallest[:, None]).mean(axis=1) >= _MANY_TIED
    return float(smallest[0]) if tied.sum() >= _MOST_CELLS * n else 0.0


def _check_values(block: sp.csr_array, first_row: int, hints: Hints) -> None:
    values = block.data
    if not values.size or values.dtype.kind in "bu":
        return
    low = values.min()
    # NaN makes both the least and the largest value NaN: two passes without a mask are the cheapest way to see all.
    if low >= 0 and np.isfinite(values.max()):
        return
    if (strange := ~np.isfinite(values)).any():
        kind = "NaN" if np.isnan(values).any() else "infinite"
        raise InputError(
            f"{hints.name} has {int(strange.sum())} {kind} values, the first in {_where(block, strange, first_row)}. "
            "Remove those rows or genes, or fill in what is meant (a gene not detected is 0)."
        )
    bad = values < 0
    share = bad.sum() / np.count_nonzero(values)  # zeros may be stored or not
    cause = (
        f"{share:.0%} of its non-zero values are negative: it looks scaled or centred (scanpy.pp.scale), or "
        "like residuals"
        if share > _MANY_NEGATIVE
        else f"{int(bad.sum())} values in this block of rows are negative"
    )
    raise InputError(
        f"{hints.name} has negative values ({low:.4g} in {_where(block, bad, first_row)}). {cause}. "
        f"{hints.where_unscaled_are}"
    )


def _where(block: sp.csr_array, bad: NDArray[np.bool_], first_row: int) -> str:
    at = int(np.flatnonzero(bad)[0])
    row = int(np.searchsorted(block.indptr, at, side="right")) - 1
    return f"row {first_row + row}, column {int(block.indices[at])}"


def to_counts_like(block: Any, info: MatrixInfo) -> sp.csr_array:
    """Bring a block of rows (n, m), sparse or dense, from the scale that `info` names to a linear one.

    Returns float32 CSR (n, m): linear values as they are, `base ** x - 1` of logarithms. What they sum to is not
    restored: size factors are gone from log-normalised data.
    """
    out = sp.csr_array(block, dtype=np.float32)
    if info.log_base is None:
        return out
    return sp.csr_array((to_linear(out.data, info.log_base), out.indices, out.indptr), shape=out.shape)
