"""Checks of an expression matrix, a block of rows at a time, and its way back to a linear scale."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from ..errors import InputError
from ._digest import MatrixDigest
from ._gene_moments import GeneMoments
from ._rows import is_anndata, layer_names, read_rows, row_blocks, var_of
from ._scale import Scale, ScaleGuess, guess_scale, shifted_zeros, to_linear

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Rows sampled, evenly spread, to find the base of a logarithm.
SAMPLE_ROWS = 400
# Values in a dense block: 64 MB of float32.
BLOCK_VALUES = 16_000_000


@dataclass(frozen=True)
class MatrixInfo:
    """What :func:`check_matrix` found.

    Attributes
    ----------
    n_obs, n_vars
        Shape.
    scale
        `"counts"` for linear values (raw counts, fractional counts, or normalised without a logarithm), `"log"` for
        log(1 + value).
    log_base
        Base of the logarithm (2, e or 10); None for linear values.
    target_sum
        Sum of each cell on the linear scale where all cells have the same; else None.
    evidence
        Why the scale is believed.
    digest
        Of values and names, see :func:`scbioverse.io.matrix_digest`; empty where no names were given.
    n_expressing
        Number of cells with a value above 0 in each column that :func:`check_matrix` was asked for; None if for none.
    """

    n_obs: int
    n_vars: int
    scale: Scale
    log_base: float | None = None
    target_sum: float | None = None
    evidence: str = ""
    digest: str = ""
    n_expressing: NDArray[np.int64] | None = field(default=None, compare=False, repr=False)

    def describe(self) -> str:
        """One line for the log."""
        if self.log_base is None:
            kind = "linear values (counts)"
        else:
            name = {2.0: "log2", 10.0: "log10"}.get(self.log_base, "natural-log")
            kind = f"{name} values, turned back to a linear scale"
        total = f", {self.target_sum:.6g} a cell" if self.target_sum is not None else ""
        return f"matrix read as {kind}{total} ({self.evidence})"


def check_matrix(
    X: Any,
    *,
    name: str = "X",
    layer: str | None = None,
    names: Sequence[str] | None = None,
    columns: NDArray[np.integer] | None = None,
) -> MatrixInfo:
    """Check that a matrix is an expression matrix and find its scale.

    Every value is looked at once, a block of rows at a time; nothing is made dense, nothing is changed.

    Parameters
    ----------
    X
        Cells by genes: numpy, scipy sparse, backed, dask, or an AnnData (then `layer` says which matrix).
    name
        What to call the matrix in messages.
    layer
        Layer, when `X` is an AnnData.
    names
        Names of the genes: a digest of the matrix is then taken in the same pass.
    columns
        Columns whose cells are to be counted, increasing.

    Returns
    -------
    Shape and scale.

    Raises
    ------
    InputError
        The matrix has no rows or columns, holds no numbers, NaN, infinite or negative values (as after
        `scanpy.pp.scale`), values that were scaled gene by gene, square roots, cells scaled to one length, or
        nothing but zeros; or it is sparse and damaged.
    """
    n_obs, n_vars = (X.n_obs, len(var_of(X, layer))) if is_anndata(X) else (int(n) for n in X.shape)
    if n_obs == 0 or n_vars == 0:
        raise InputError(f"{name} is empty: {n_obs} cells x {n_vars} genes")
    keep = np.unique(np.linspace(0, n_obs - 1, min(n_obs, SAMPLE_ROWS)).astype(np.int64))
    sampled: list[sp.csr_array] = []
    largest, integer = 0.0, True
    digest = None if names is None else MatrixDigest(names)
    # What was scaled by gene has fractions in every block; counts have none, and are spared the sums.
    moments = GeneMoments(n_vars)
    expressing = None if columns is None or not len(columns) else np.zeros(len(columns), dtype=np.int64)
    for rows in row_blocks(X, max(1, min(4096, BLOCK_VALUES // n_vars))):
        block = read_rows(X, rows, layer)
        values: NDArray[Any] = block.data if sp.issparse(block) else block  # type: ignore[assignment]
        _check_values(values, block, rows.start, name, _escape(X, layer))
        if digest is not None:
            digest.add(block)
        if values.size:
            largest = max(largest, float(values.max()))
            whole = values.dtype.kind != "f" or bool((values == np.rint(values)).all())
            integer = integer and whole
            if not whole:
                moments.add(block)
        if expressing is not None and columns is not None:
            expressing += _count_cells(block, columns)
        inside = keep[(keep >= rows.start) & (keep < rows.stop)] - rows.start
        if inside.size:
            sampled.append(sp.csr_array(block[inside]))
    if largest == 0:
        raise InputError(f"{name} holds nothing but zeros ({n_obs} cells x {n_vars} genes). {_elsewhere(X, layer)}")
    if scaled := "" if integer else moments.scaled_by_gene():
        raise InputError(
            f"{name} looks scaled gene by gene (as by scanpy.pp.scale(zero_center=False)): {scaled}, so genes can no "
            f"longer be compared within a cell. {_escape(X, layer)}"
        )
    sample = sp.csr_array(sp.vstack(sampled))
    sample.eliminate_zeros()
    if zero := shifted_zeros(sample):
        raise InputError(
            f"{name} has no zeros: genes that were not detected hold {zero:.6g} in the first cell, as after ranking "
            "or a logarithm of more than value + 1. Pass counts or log-normalised values, in which they are 0."
        )
    guess: ScaleGuess = guess_scale(sample, largest=largest, integer=integer)
    if guess.scale == "root":
        raise InputError(f"{name} {guess.evidence}")
    known = "" if digest is None else digest.hexdigest()
    return MatrixInfo(n_obs, n_vars, guess.scale, guess.log_base, guess.target_sum, guess.evidence, known, expressing)


def _count_cells(block: sp.csr_array | NDArray[Any], columns: NDArray[np.integer]) -> NDArray[np.int64]:
    """Count the cells of a block with a value above 0, in some columns."""
    if not isinstance(block, sp.csr_array):
        return (np.asarray(block)[:, columns] > 0).sum(axis=0)
    wanted = np.zeros(block.shape[1], dtype=bool)
    wanted[columns] = True
    inside = wanted[block.indices]
    return np.bincount(block.indices[inside][block.data[inside] > 0], minlength=block.shape[1])[columns]


def _escape(X: Any, layer: str | None) -> str:
    """Say where unscaled values may be, given what the object holds."""
    if not is_anndata(X):
        return "Pass raw counts or log-normalised values."
    if ways := _other_layers(X, layer):
        return f"Pass the unscaled values, for example {' or '.join(ways)}."
    return (
        "Pass the unscaled values: keep them with adata.layers['counts'] = adata.X.copy() or adata.raw = adata before "
        "scanpy.pp.scale, then use layer='counts' or layer='raw'."
    )


def _elsewhere(X: Any, layer: str | None) -> str:
    """Say where values may be when a matrix has none."""
    if is_anndata(X) and (ways := _other_layers(X, layer)):
        return f"If the values are in another matrix, name it: {' or '.join(ways)}."
    return "Pass the matrix that holds the counts; a file may have been written or read without them."


def _other_layers(X: Any, layer: str | None) -> list[str]:
    ways = [f"layer={key!r}" for key in layer_names(X) if key != layer]
    return [*ways, "layer='raw' (reads adata.raw)"] if X.raw is not None and layer != "raw" else ways


def _check_values(values: NDArray[Any], block: Any, first_row: int, name: str, escape: str) -> None:
    if values.size == 0 or values.dtype.kind in "bu":
        return
    low = values.min()
    if np.isfinite(low) and np.isfinite(values.max()):
        if low >= 0:
            return
        bad = values < 0
        row, column = _where(block, bad)
        share = bad.sum() / values.size
        cause = (
            f"{share:.0%} of its values are negative: it looks scaled or centred (scanpy.pp.scale), or like residuals"
            if share > 0.01
            else f"{int(bad.sum())} values in this block of rows are negative"
        )
        raise InputError(
            f"{name} has negative values ({low:.4g} in row {first_row + row}, column {column}). {cause}. {escape}"
        )
    bad = ~np.isfinite(values)
    row, column = _where(block, bad)
    kind = "NaN" if np.isnan(values).any() else "infinite"
    raise InputError(
        f"{name} has {int(bad.sum())} {kind} values, the first in row {first_row + row}, column {column}. "
        "Remove those rows or genes, or fill in what is meant (a gene not detected is 0)."
    )


def _where(block: Any, bad: NDArray[np.bool_]) -> tuple[int, int]:
    """Row and column of the first bad value of a block."""
    at = int(np.flatnonzero(bad.ravel())[0])
    if sp.issparse(block):
        return int(np.searchsorted(block.indptr, at, side="right") - 1), int(block.indices[at])
    return at // block.shape[1], at % block.shape[1]


def to_counts_like(X_block: Any, info: MatrixInfo) -> sp.csr_array:
    """Bring a block of rows to a linear scale.

    Parameters
    ----------
    X_block
        (n, m), sparse or dense, on the scale that `info` names.
    info
        Result of :func:`check_matrix` on the whole matrix.

    Returns
    -------
    float32 CSR (n, m): linear values as they are, `base ** x - 1` of logarithms. What they sum to is not restored:
    size factors are gone from log-normalised data.
    """
    block = sp.csr_array(X_block, dtype=np.float32)
    if info.log_base is None:
        return block
    return sp.csr_array((to_linear(block.data, info.log_base), block.indices, block.indptr), shape=block.shape)
