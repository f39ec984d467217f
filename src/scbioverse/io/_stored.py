"""Whether a matrix can be read as it is stored: its type of number, and the pointers of a sparse one.

scipy follows row pointers and column indices without looking at them: damaged ones give wrong genes, or end the
interpreter. So both are looked at before anything is taken out.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import scipy.sparse as sp

from ..errors import InputError


def readable_dtype(dtype: Any, name: str = "the matrix") -> np.dtype[Any]:
    """Return the type that values are computed in: native byte order, 32 or 64 bits for fractions.

    Raises
    ------
    InputError
        The values are no real numbers.
    """
    found = np.dtype(dtype)
    if found.kind == "c":
        raise InputError(
            f"{name} holds values of type {found}; expected numbers without an imaginary part. If that part is 0, keep "
            "the real one: .real of the matrix."
        )
    if found.kind not in "biuf":
        raise InputError(
            f"{name} holds values of type {found}; expected numbers. If they are numbers kept as {found}, convert the "
            "matrix with .astype('float32')."
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
    """Refuse a sparse matrix whose pointers do not fit its values.

    Parameters
    ----------
    matrix
        CSR or CSC, in memory or a backed data set; anything else is left alone.
    name
        What to call it.

    Raises
    ------
    InputError
        A pointer goes backwards or beyond the values, or there are more indices than values or fewer.
    """
    if getattr(matrix, "format", None) not in ("csr", "csc"):
        return
    line, n = ("row", matrix.shape[0]) if matrix.format == "csr" else ("column", matrix.shape[1])
    held = matrix if sp.issparse(matrix) else None
    pointers = held.indptr if held is not None else np.asarray(matrix.group["indptr"][:])
    n_values, n_indices = (
        len(getattr(held, part)) if held is not None else int(matrix.group[part].shape[0])
        for part in ("data", "indices")
    )
    if len(pointers) != n + 1:
        _refuse(name, f"{len(pointers)} {line} pointers (indptr) for {n} {line}s; expected {n + 1}")
    if n_values != n_indices:
        _refuse(name, f"{n_values} values (data) beside {n_indices} indices")
    if pointers[0] != 0:
        _refuse(name, f"the {line} pointers (indptr) begin with {pointers[0]} in place of 0")
    if pointers[-1] > n_values:
        _refuse(name, f"the {line} pointers (indptr) end at {pointers[-1]}, but there are {n_values} values")
    starts, stops = pointers[:-1], pointers[1:]
    wrong = (starts < 0) | (stops < starts) | (stops > n_values)
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        _refuse(
            name, f"a {line} pointer (indptr) goes from {starts[i]} to {stops[i]}; they rise, to {n_values} at most"
        )


def check_indices(matrix: Any, name: str = "the matrix") -> None:
    """Refuse a CSR or CSC matrix with an index outside its shape.

    Raises
    ------
    InputError
        An index is negative or too large.
    """
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
