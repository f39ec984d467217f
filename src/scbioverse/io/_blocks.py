"""Rows of a matrix as CSR, whether it lies in memory, in a backed file or behind dask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .._logging import logger
from ..errors import InputError
from ._matrix import is_raw, matrix_name, matrix_of, parent_of
from ._stored import check_indices, check_pointers, readable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

Rows: TypeAlias = slice | NDArray[np.integer]


def row_blocks(data: Any, size: int) -> Iterator[slice]:
    """Cut the rows of anything with a `shape` into consecutive slices of at most `size`, with start and stop set."""
    n = int(data.shape[0])
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


@dataclass(frozen=True, eq=False)
class Source:
    """What blocks of rows are read from.

    Attributes
    ----------
    matrix
        numpy, CSR, a backed data set or dask.
    name
        What to call it in messages.
    rows, columns
        Of a view in memory: which rows and columns of the matrix, which is its parent's; None for all.
    """

    matrix: Any
    name: str = "the matrix"
    rows: NDArray[np.int64] | None = None
    columns: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, adata: AnnData, layer: str | None) -> Source:
        """Find the matrix of `layer` and make sure that it can be read by rows.

        A matrix stored by columns would be walked through whole for every block, and a view of a backed file searched:
        both are brought into memory by rows, once. A view in memory is not cut out as a whole.
        """
        name, parent = matrix_name(layer), parent_of(adata)
        matrix = matrix_of(parent, layer)
        check_pointers(matrix, name)
        if adata.isbacked and adata.is_view:
            logger.info("a view of a backed file is read into memory; pass the whole file to have it streamed")
        elif getattr(matrix, "format", None) == "csc" and not sp.issparse(matrix):
            logger.info("the backed matrix is stored by columns (CSC): reading all of it into memory to turn it once")
            matrix = matrix.to_memory()
        if sp.issparse(matrix):
            matrix = _rows_of(matrix, name)
        if parent is adata:
            return cls(matrix, name)
        rows = np.arange(parent.n_obs)[adata._oidx]
        return cls(matrix, name, rows, None if is_raw(adata, layer) else np.arange(parent.n_vars)[adata._vidx])

    def read(self, start: int, stop: int) -> sp.csr_array:
        """Read consecutive rows: CSR with sorted, unique indices, maybe around values of the source itself."""
        if isinstance(self.matrix, sp.csr_array) and self.rows is None:
            return cut_rows(self.matrix, start, stop)
        block = self.matrix[slice(start, stop) if self.rows is None else self.rows[start:stop]]
        if hasattr(block, "compute"):
            block = block.compute()
        out = _rows_of(block, self.name) if sp.issparse(block) else as_csr(readable(np.asarray(block), self.name))
        return out if self.columns is None else take_columns(out, self.columns)


def _rows_of(matrix: Any, name: str) -> sp.csr_array:
    """Return a sparse matrix as CSR with sorted, unique indices, checked; around the same values where it is that."""
    check_pointers(matrix, name)
    check_indices(matrix, name)
    matrix = readable(matrix, name)
    if matrix.format != "csr":
        matrix = matrix.tocsr()
    # Of our own, since scipy notes on an object what it has found out about it.
    own = sp.csr_array((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape)
    if not own.has_canonical_format:
        own = own.copy()
        own.sum_duplicates()
    return own


def cut_rows(matrix: sp.csr_array, start: int, stop: int) -> sp.csr_array:
    """Return some rows of a CSR matrix with sorted, unique indices; scipy would look at each of them again."""
    pointers = matrix.indptr[start : stop + 1]
    held = slice(int(pointers[0]), int(pointers[-1]))
    parts = (matrix.data[held], matrix.indices[held], pointers - pointers[0])
    out = sp.csr_array(parts, shape=(stop - start, matrix.shape[1]))
    out.has_canonical_format = True
    return out


def as_csr(dense: NDArray[Any]) -> sp.csr_array:
    """Return a dense block as CSR: whatever is not 0, NaN included."""
    if dense.ndim != 2:
        raise InputError(f"expected a two-dimensional matrix, found {dense.ndim} dimensions")
    held = dense != 0
    starts = np.concatenate(([0], np.cumsum(np.count_nonzero(held, axis=1))))
    columns = np.flatnonzero(held) % max(dense.shape[1], 1)
    return sp.csr_array((dense[held], columns, starts), shape=dense.shape)


def take_columns(block: sp.csr_array, columns: NDArray[np.integer]) -> sp.csr_array:
    """Pick different columns of a CSR block. Quicker than scipy's indexing, which sorts the columns on every call."""
    n_cols = block.shape[1]
    if np.array_equal(columns, np.arange(n_cols)):
        return block
    target = np.full(n_cols, -1, dtype=np.int32)
    target[columns] = np.arange(columns.size, dtype=np.int32)
    new = target[block.indices]
    keep = new >= 0
    kept = np.concatenate(([0], np.cumsum(keep)))
    out = sp.csr_array(
        (block.data[keep], new[keep], kept[block.indptr].astype(block.indptr.dtype)),
        shape=(block.shape[0], columns.size),
    )
    if not (np.diff(columns) > 0).all():
        out.sort_indices()
    return out
