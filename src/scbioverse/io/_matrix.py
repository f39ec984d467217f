"""Which matrix of an AnnData is meant, what its columns are called, and its rows as CSR.

The matrix may lie in memory, in a backed file or behind dask. Nothing but :class:`Source` reads values.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from .._logging import logger
from ..errors import InputError, MissingKeyError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData


def matrix_of(adata: AnnData, layer: str | None = None) -> Any:
    """Return the matrix that `layer` names, without reading it; of a view in memory it would be a copy of its part.

    `X` if None; `adata.raw.X` for `"raw"` unless a layer has that name; a `MissingKeyError` where there is none.
    """
    check_one_name("layer", layer)
    if layer in adata.layers and layer is not None:
        return adata.layers[layer]
    if layer == "raw" and adata.raw is not None:
        return adata.raw.X
    if layer is None and (X := adata.X) is not None:
        return X
    found = f"found: {layer_names(adata) or 'none'}"
    if layer is None:
        texts = (("smiles", "molecule"), ("sequence", "protein"))
        other = next((f" Of a table of {one}s: modality={one!r}." for name, one in texts if name in adata.obs), "")
        raise MissingKeyError(f"adata.X is empty (None). Layers {found}. Pass one as layer=.{other}")
    if layer == "raw":
        raise MissingKeyError(
            f"adata.raw is not set, and no layer is called 'raw' ({found}). Leave layer out to read adata.X."
        )
    raw = "" if adata.raw is None else "; adata.raw is set: layer='raw'"
    raise MissingKeyError(f"layer {layer!r} is not in adata.layers ({found}{raw})")


def parent_of(adata: AnnData) -> AnnData:
    """Return what a view was cut out of, and anything else as it is: asking a view for its matrix copies it."""
    return adata._adata_ref if adata.is_view and not adata.isbacked else adata


def check_layer(adata: AnnData, layer: str | None) -> None:
    """Raise what :func:`matrix_of` raises, without the copy of its part that a view would make."""
    matrix_of(parent_of(adata), layer)


def check_one_name(option: str, name: object) -> None:
    """Raise an :class:`InputError` where an option that names one column or layer was given several."""
    if not isinstance(name, Hashable):
        raise InputError(f"{option}= takes one name, found {type(name).__name__}: {name!r:.80}.")


def layer_names(adata: AnnData) -> list[str]:
    """Return the names of the layers, sorted, without None: the key under which anndata 0.13 also holds `X` there."""
    return sorted(str(name) for name in adata.layers if name is not None)


def matrix_name(layer: str | None) -> str:
    """Return what messages call the matrix of `layer`."""
    return "adata.X" if layer is None else f"layer {layer!r}"


def is_raw(adata: AnnData, layer: str | None) -> bool:
    """Whether `layer` means `adata.raw`, which has genes of its own."""
    return layer == "raw" and layer not in adata.layers and adata.raw is not None


def var_of(adata: AnnData, layer: str | None = None) -> pd.DataFrame:
    """Return the gene table that belongs to the matrix of `layer`."""
    return adata.raw.var if is_raw(adata, layer) else adata.var


def gene_names(adata: AnnData, *, key: str | None = None, layer: str | None = None) -> list[str]:
    """Return the names of the columns of the matrix of `layer`, without spaces around them; `""` for NaN and None.

    `key` is a column of `var`, its index if None; a `MissingKeyError` where there is none.
    """
    check_one_name("layer", layer)
    check_one_name("key", key)
    var = var_of(adata, layer)
    if key is not None and key not in var.columns:
        raise MissingKeyError(f"{key!r} is not a column of adata.var (found: {list(map(str, var.columns)) or 'none'})")
    return names_in(var.index if key is None else var[key])


def names_in(values: Iterable[Any]) -> list[str]:
    """Read names of any type: text, bytes as some files hold them, numbers; `""` for what is missing."""
    return list(map(_name, values))


def _name(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace").strip()
    return "" if pd.api.types.is_scalar(value) and pd.isna(value) else str(value).strip()


def is_anndata(data: Any) -> bool:
    """Whether `data` is an AnnData, or behaves like one."""
    return hasattr(data, "obs_names") and hasattr(data, "layers")


Rows: TypeAlias = slice | NDArray[np.integer]


def row_blocks(data: Any, size: int) -> list[slice]:
    """Cut the rows of anything with a `shape` into consecutive slices of at most `size`, with start and stop set."""
    n = int(data.shape[0])
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


@dataclass(frozen=True, eq=False)
class Source:
    """What blocks of rows are read from; `name` is for messages."""

    matrix: Any  # numpy, CSR, a backed data set or dask
    name: str = "the matrix"
    # Of a view in memory: which rows and columns of the matrix, which is its parent's; None for all.
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
        """Read consecutive rows: CSR with sorted, unique indices, maybe around values of the source itself.

        An :class:`InputError` where the file that they lie in was closed.
        """
        try:
            return self._read(start, stop)
        except (KeyError, OSError, RuntimeError, ValueError) as error:
            if not _is_closed(self.matrix):
                raise
            # What h5py says of it ("invalid identifier type") names neither the file nor the reason.
            raise InputError(
                f"the file of {self.name} was closed while it was read, as by adata.file.close(). Open it again "
                "(anndata.read_h5ad(..., backed='r')), and keep it open until the call ends."
            ) from error

    def _read(self, start: int, stop: int) -> sp.csr_array:
        if isinstance(self.matrix, sp.csr_array) and self.rows is None:
            return cut_rows(self.matrix, start, stop)
        if self.rows is None and getattr(self.matrix, "format", None) == "csr" and hasattr(self.matrix, "group"):
            return csr_of(self._stored_rows(start, stop), self.name)
        block = self.matrix[slice(start, stop) if self.rows is None else self.rows[start:stop]]
        if hasattr(block, "compute"):
            block = block.compute()
        out = csr_of(block, self.name)
        return out if self.columns is None else take_columns(out, self.columns)

    @cached_property
    def pointers(self) -> NDArray[np.int64]:
        """Where the rows of a CSR in a file begin, int64 (n + 1,); read once."""
        return np.asarray(self.matrix.group["indptr"][:], dtype=np.int64)

    def _stored_rows(self, start: int, stop: int) -> sp.csr_array:
        """Rows of a CSR in a file. Indexing by anndata looks up the version of scipy each time, which takes longer."""
        group, pointers = self.matrix.group, self.pointers[start : stop + 1]
        held = slice(int(pointers[0]), int(pointers[-1]))
        parts = (np.asarray(group[name][held]) for name in ("data", "indices"))
        starts = pointers - pointers[0]
        # scipy gives indices the width of the pointers, and a block of rows seldom needs 64 bits.
        narrow = starts.astype(np.int32) if starts[-1] <= np.iinfo(np.int32).max else starts
        return sp.csr_array((*parts, narrow), shape=(stop - start, int(self.matrix.shape[1])))


def _is_closed(matrix: Any) -> bool:
    """Whether a matrix lies in an HDF5 file that is no longer open; of zarr, dask and memory it never is."""
    held = getattr(matrix, "group", matrix)
    return type(held).__module__.startswith("h5py") and not held


def csr_of(block: Any, name: str = "the matrix") -> sp.csr_array:
    """Return a block in memory as CSR with sorted, unique indices, checked."""
    return _rows_of(block, name) if sp.issparse(block) else as_csr(readable(np.asarray(block), name))


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
    """Pick columns of a CSR block. Quicker than scipy's indexing, which sorts the columns on every call."""
    n_cols = block.shape[1]
    if np.array_equal(columns, np.arange(n_cols)):
        return block
    if np.unique(columns).size < columns.size:  # a view may hold a column twice
        out = sp.csr_array(block[:, columns])
        out.sort_indices()
        return out
    target = np.full(n_cols, -1, dtype=np.int32)
    target[columns] = np.arange(columns.size, dtype=np.int32)
    new = target[block.indices]
    kept = np.flatnonzero(new >= 0)
    starts = np.searchsorted(kept, block.indptr).astype(block.indptr.dtype)
    out = sp.csr_array((block.data[kept], new[kept], starts), shape=(block.shape[0], columns.size))
    if not (np.diff(columns) > 0).all():
        out.sort_indices()
    return out


# ---------------------------------------------------------------- whether it can be read as it is stored
# scipy follows row pointers and column indices without looking at them: damaged ones give wrong genes, or end the
# interpreter. So both are looked at before anything is taken out.


_PARTS = ("indptr", "data", "indices")


def readable_dtype(dtype: Any, name: str = "the matrix") -> np.dtype[Any]:
    """Return the type that values are computed in, native, fractions in 32 or 64 bits; an `InputError` for others."""
    found = np.dtype(dtype)
    if found.kind not in "biuf":
        raise InputError(
            f"{name} holds values of type {found}; expected numbers without an imaginary part. Convert the matrix with "
            ".astype('float32'), or of complex numbers keep the real part: .real."
        )
    # scipy computes with neither half precision nor long doubles.
    if found.kind == "f":
        return np.dtype(np.float32 if found.itemsize <= 4 else np.float64)
    return found.newbyteorder("=")


def readable(matrix: Any, name: str = "the matrix") -> Any:
    """Return `matrix` with values that scipy can compute with; the object itself where it has them already."""
    wanted = readable_dtype(matrix.dtype, name)
    # Types of other byte order compare equal to native ones only after a conversion, so ask for both.
    if matrix.dtype == wanted and np.dtype(matrix.dtype).isnative:
        return matrix
    if getattr(matrix, "format", None) in ("csr", "csc"):
        # scipy's own astype goes through code that some of these types are unknown to.
        return type(matrix)((matrix.data.astype(wanted), matrix.indices, matrix.indptr), shape=matrix.shape)
    return matrix.astype(wanted)


def check_pointers(matrix: Any, name: str = "the matrix") -> None:
    """Refuse CSR or CSC, in memory or backed, whose pointers do not rise from 0 within its values; else do nothing."""
    if getattr(matrix, "format", None) not in ("csr", "csc"):
        return
    line, n = ("row", matrix.shape[0]) if matrix.format == "csr" else ("column", matrix.shape[1])
    held = {one: getattr(matrix, one) for one in _PARTS} if sp.issparse(matrix) else matrix.group
    pointers, n_values = np.asarray(held["indptr"][:], dtype=np.int64), held["data"].shape[0]
    if n_values != held["indices"].shape[0]:
        _refuse(name, f"{n_values} values (data) beside {held['indices'].shape[0]} indices")
    if pointers.size != n + 1 or pointers[0] != 0 or (np.diff(pointers, append=n_values) < 0).any():
        _refuse(name, f"its {line} pointers (indptr) are not {n + 1} numbers that rise from 0 to {n_values} at most")


def check_indices(matrix: Any, name: str = "the matrix") -> None:
    """Refuse a CSR or CSC matrix with an index outside its shape."""
    if matrix.format not in ("csr", "csc") or matrix.indices.size == 0:
        return
    line, n = ("column", matrix.shape[1]) if matrix.format == "csr" else ("row", matrix.shape[0])
    low, high = int(matrix.indices.min()), int(matrix.indices.max())
    if low < 0 or high >= n:
        _refuse(name, f"{line} index {low if low < 0 else high}; there are {n} {line}s, counted from 0")


def _refuse(name: str, found: str) -> NoReturn:
    raise InputError(
        f"{name} is a damaged sparse matrix: {found}. Read the file again, or make the matrix anew from its source; "
        "nothing in it can be relied on."
    )
