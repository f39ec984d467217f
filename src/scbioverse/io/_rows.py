"""Rows of a matrix, whether it lies in memory, in a backed file or behind dask."""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .._logging import logger
from ..errors import InputError, MissingKeyError
from ._stored import check_indices, check_pointers, is_readable, readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pandas as pd
    from anndata import AnnData

Rows: TypeAlias = slice | NDArray[np.integer]
Block: TypeAlias = sp.csr_array | NDArray[Any]


def row_blocks(data: Any, size: int) -> Iterator[slice]:
    """Cut the rows of `data` into consecutive slices.

    Parameters
    ----------
    data
        An AnnData or anything with a two-dimensional `shape`.
    size
        Most rows in a slice.

    Yields
    ------
    Slices with `start` and `stop` set, in order, covering each row once. None for an object without rows.
    """
    if size < 1:
        raise InputError(f"a block needs at least one row; found size {size}")
    n = int(data.shape[0])
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def matrix_of(adata: AnnData, layer: str | None = None) -> Any:
    """Return the matrix that `layer` names, without reading or copying it.

    Parameters
    ----------
    adata
        The data.
    layer
        Name of a layer; `X` if not given; `adata.raw.X` for `"raw"` unless a layer has that name.

    Raises
    ------
    MissingKeyError
        No such matrix.
    """
    if adata.is_view and not adata.isbacked:
        _check_parent(adata, layer)
    check_one_name("layer", layer)
    if layer is None:
        if adata.X is None:
            raise MissingKeyError(
                f"adata.X is empty (None). Layers found: {layer_names(adata) or 'none'}. Pass one as layer=."
            )
        return adata.X
    if layer in adata.layers:
        return adata.layers[layer]
    if layer == "raw" and adata.raw is not None:
        return adata.raw.X
    if layer == "raw":
        raise MissingKeyError(
            f"adata.raw is not set, and no layer is called 'raw' (found: {layer_names(adata) or 'none'}). Leave layer "
            "out to read adata.X."
        )
    raise MissingKeyError(
        f"layer {layer!r} is not in adata.layers (found: {layer_names(adata) or 'none'}"
        f"{'; adata.raw is set: layer=' + repr('raw') if adata.raw is not None else ''})"
    )


def _of_view(view: AnnData, layer: str | None) -> Any:
    """Return the matrix of a view in memory."""
    columns = getattr(view, "_vidx", None)
    if not isinstance(columns, slice) or columns.step in (None, 1) or isinstance(view._oidx, slice):
        return matrix_of(view, layer)
    # Scattered rows and every n-th column at once fail in scipy 1.17: rows first, all genes of them.
    whole = matrix_of(view._adata_ref[view._oidx], layer)
    return whole if layer == "raw" and layer not in view.layers else whole[:, columns]


def check_layer(adata: AnnData, layer: str | None) -> None:
    """Raise what :func:`matrix_of` raises, without the copy of its part that a view would make."""
    parent = getattr(adata, "_adata_ref", None)
    matrix_of(adata if parent is None else parent, layer)


def _check_parent(adata: AnnData, layer: str | None) -> Any:
    """Check the matrix that a view is cut out of, and return it; None where a view does not say."""
    parent = getattr(adata, "_adata_ref", None)
    if parent is None:
        return None
    matrix = matrix_of(parent, layer)
    check_pointers(matrix, name=matrix_name(layer))
    if getattr(matrix, "format", None) == "csc":
        check_indices(matrix, matrix_name(layer))
    return matrix


def check_one_name(option: str, name: object) -> None:
    """Raise an :class:`InputError` where an option that names one column or layer was given several."""
    if name is not None and not isinstance(name, Hashable):
        raise InputError(f"{option}= takes one name, found {type(name).__name__}: {name!r:.80}.")


def layer_names(adata: AnnData) -> list[str]:
    """Return the names of the layers, sorted, without None: the key under which anndata 0.13 also holds `X` there."""
    return sorted(str(name) for name in adata.layers if name is not None)


def matrix_name(layer: str | None) -> str:
    """Return what messages call the matrix of `layer`."""
    return "adata.X" if layer is None else f"layer {layer!r}"


def var_of(adata: AnnData, layer: str | None = None) -> pd.DataFrame:
    """Return the gene table that belongs to the matrix of `layer`."""
    if layer == "raw" and layer not in adata.layers and adata.raw is not None:
        return adata.raw.var
    return adata.var


def gene_names(adata: AnnData, *, key: str | None = None, layer: str | None = None) -> list[str]:
    """Return the gene names of the matrix of `layer`.

    Parameters
    ----------
    adata
        The data.
    key
        Column of `var`; its index if not given.
    layer
        Layer that the names are for.

    Returns
    -------
    Names, one a column of the matrix, without spaces around them; `""` where there is none (NaN, None).

    Raises
    ------
    MissingKeyError
        No such column.
    """
    check_one_name("layer", layer)
    check_one_name("key", key)
    var = var_of(adata, layer)
    if key is None:
        return names_in(var.index)
    if key not in var.columns:
        raise MissingKeyError(f"{key!r} is not a column of adata.var (found: {list(map(str, var.columns)) or 'none'})")
    return names_in(var[key])


def names_in(values: Iterable[Any]) -> list[str]:
    """Read names of any type: text, bytes as some files hold them, numbers; `""` for what is missing."""
    return [_name(one) for one in values]


def _name(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace").strip()
    # Only what is missing (NaN, NaT, NA) is not equal to itself.
    if value is None or (not isinstance(value, str) and not _is_itself(value)):
        return ""
    return str(value).strip()


def _is_itself(value: Any) -> bool:
    try:
        return bool(value == value)
    except (TypeError, ValueError):
        return False


def read_rows(
    data: Any,
    rows: Rows,
    layer: str | None = None,
    *,
    columns: Sequence[int] | NDArray[np.integer] | None = None,
    name: str = "the matrix",
) -> Block:
    """Read some rows into memory.

    Parameters
    ----------
    data
        AnnData, or a matrix: numpy, scipy sparse, a backed data set or dask.
    rows
        Slice or positions.
    layer
        Layer, when `data` is an AnnData.
    columns
        Positions of the columns wanted, in the order wanted; all if not given.
    name
        What to call a matrix in messages.

    Returns
    -------
    CSR with sorted, unique indices if the source is sparse, else a numpy array; (n_rows, n_columns). May share memory
    with the source: do not write into it.
    """
    if is_anndata(data):
        # Asking a view for its matrix copies all of it; asking for a view of the view copies only these rows.
        # Backed views cannot be viewed again (anndata refuses): see `row_source`.
        name = matrix_name(layer)
        narrow = data.is_view and not data.isbacked
        matrix, at = (_of_view(data[rows], layer), slice(None)) if narrow else (matrix_of(data, layer), rows)
    else:
        matrix, at = data, rows
    block = _take_rows(matrix, at, name)
    if hasattr(block, "compute"):
        block = block.compute()
    block = readable(block, name)
    if sp.issparse(block):
        check_pointers(block, name=name)
        check_indices(block, name)
        out = sp.csr_array(block)
        if not out.has_canonical_format:
            out = out.copy()
            out.sum_duplicates()
        return out if columns is None else take_columns(out, np.asarray(columns))
    dense = np.asarray(block)
    if dense.ndim != 2:
        raise InputError(f"expected a two-dimensional matrix, found {dense.ndim} dimensions")
    return dense if columns is None else dense[:, np.asarray(columns)]


def row_source(adata: AnnData, layer: str | None = None) -> Any:
    """Return what :func:`read_rows` should read many blocks from: the matrix stored by rows, or a view in memory.

    A matrix stored by columns would be walked through whole for every block, and a view of a backed file read whole;
    both are brought into memory by rows, once.
    """
    name = matrix_name(layer)
    if adata.is_view and not adata.isbacked:
        return _checked_view(adata, layer, name)
    matrix = matrix_of(adata, layer)
    check_pointers(matrix, name=name)
    if adata.isbacked and adata.is_view:
        _say_read_whole(adata)
    elif getattr(matrix, "format", None) != "csc":
        return matrix
    elif not sp.issparse(matrix):
        logger.info("the backed matrix is stored by columns (CSC): reading all of it into memory to turn it once")
        matrix = matrix.to_memory()
    matrix = readable(matrix, name)
    check_pointers(matrix, name=name)
    check_indices(matrix, name)
    return sp.csr_array(matrix) if sp.issparse(matrix) else matrix


_said: weakref.ref[Any] = weakref.ref(set())


def _say_read_whole(adata: AnnData) -> None:
    """Say it once of one object, however many steps of a call read it."""
    global _said
    if _said() is not adata:
        _said = weakref.ref(adata)
        logger.info("a view of a backed file is read into memory; pass the whole file to have it streamed")


def _checked_view(adata: AnnData, layer: str | None, name: str) -> Any:
    """Return a view, which anndata cuts out of its parent's matrix, once that is known to hold; or a matrix for it."""
    matrix = _check_parent(adata, layer)
    if matrix is None or is_readable(matrix, name) or not sp.issparse(matrix):
        return adata
    parent = adata._adata_ref
    if not (parent.obs_names.is_unique and parent.var_names.is_unique):
        raise InputError(
            f"{name} holds {matrix.dtype} values, of which scipy cannot take a part: convert them with "
            ".astype('float32') before taking some of the cells."
        )
    whole = sp.csr_array(readable(matrix, name))[parent.obs_names.get_indexer(adata.obs_names)]
    raw = layer == "raw" and layer not in adata.layers
    return whole if raw else whole[:, parent.var_names.get_indexer(adata.var_names)]


def is_anndata(data: Any) -> bool:
    """Whether `data` is an AnnData (or behaves like one) and not a matrix."""
    return hasattr(data, "obs_names") and hasattr(data, "layers")


def _take_rows(matrix: Any, rows: Rows, name: str) -> Any:
    if sp.issparse(matrix):
        check_pointers(matrix, rows if matrix.format == "csr" else None, name)
        if matrix.format != "csr":
            check_indices(matrix, name)
        if not is_readable(matrix, name):
            return _cut_rows(matrix, rows, name)
    elif hasattr(matrix, "compute"):
        matrix = readable(matrix, name)
    if isinstance(rows, slice) or isinstance(matrix, np.ndarray) or sp.issparse(matrix) or hasattr(matrix, "compute"):
        return matrix[rows]
    # Files read a span well and scattered positions poorly (h5py also wants them increasing), so read the span.
    at = np.asarray(rows)
    if at.size == 0:
        return matrix[0:0]
    start = int(at.min())
    return matrix[start : int(at.max()) + 1][at - start]


def _cut_rows(matrix: Any, rows: Rows, name: str) -> Any:
    """Take rows of a sparse matrix whose type of number scipy cannot cut; a slice copies its own rows only."""
    if matrix.format != "csr" or not isinstance(rows, slice) or rows.step not in (None, 1):
        return readable(matrix, name)[rows]
    start, stop, _ = rows.indices(matrix.shape[0])
    pointers = matrix.indptr[start : max(start, stop) + 1]
    inside = slice(int(pointers[0]), int(pointers[-1]))
    cut = sp.csr_array(
        (readable(matrix.data[inside], name), matrix.indices[inside], pointers - pointers[0]),
        shape=(len(pointers) - 1, matrix.shape[1]),
    )
    return cut


def cut_rows(matrix: sp.csr_array, start: int, stop: int) -> sp.csr_array:
    """Return some rows of a CSR matrix with sorted, unique indices, around the same values: nothing is copied."""
    pointers = matrix.indptr[start : stop + 1]
    held = slice(int(pointers[0]), int(pointers[-1]))
    parts = (matrix.data[held], matrix.indices[held], pointers - pointers[0])
    out = sp.csr_array(parts, shape=(stop - start, matrix.shape[1]))
    out.has_canonical_format = True
    return out


def as_csr(block: Block) -> sp.csr_array:
    """Return a block as CSR; of a dense one whatever is not 0, NaN included."""
    if isinstance(block, sp.csr_array):
        return block
    dense = np.asarray(block)
    held = dense != 0
    starts = np.concatenate(([0], np.cumsum(np.count_nonzero(held, axis=1))))
    columns = np.flatnonzero(held) % dense.shape[1] if dense.size else np.zeros(0, dtype=np.int64)
    return sp.csr_array((dense[held], columns, starts), shape=dense.shape)


def take_columns(block: sp.csr_array, columns: NDArray[np.integer]) -> sp.csr_array:
    """Pick columns of a CSR block. Quicker than scipy's fancy indexing, which sorts the columns on every call."""
    n_cols = block.shape[1]
    if np.array_equal(columns, np.arange(n_cols)):
        return block
    target = np.full(n_cols, -1, dtype=np.int32)
    target[columns] = np.arange(columns.size, dtype=np.int32)
    if (target >= 0).sum() != columns.size:
        raise InputError("columns names a column twice")
    new = target[block.indices]
    keep = new >= 0
    kept = np.concatenate(([0], np.cumsum(keep)))
    return sp.csr_array(
        (block.data[keep], new[keep], kept[block.indptr].astype(block.indptr.dtype)),
        shape=(block.shape[0], columns.size),
    )
