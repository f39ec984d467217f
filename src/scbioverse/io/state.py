"""What data hold at one time, for telling whether they were changed since."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._slots import UNS_ROOT
from ..errors import InputError, MissingKeyError
from ._matrix import matrix_of, parent_of

if TYPE_CHECKING:
    from anndata import AnnData

_MOST_VALUES = 2**20  # values of a matrix compared: all, or this many spread over it


@dataclass(frozen=True, eq=False)
class State:
    """What data hold at one time, for telling whether they were changed since."""

    held: tuple[Any, ...]  # objects whose identity is compared
    names: tuple[pd.Index, ...]  # names of rows and genes; a view of an index is the same index
    digest: str  # of all of `obs` and of values spread over the matrix

    @classmethod
    def of(cls, adata: AnnData, layer: str | None = None) -> State:
        """Look at data as they are now."""
        sums = hashlib.blake2b(f"{adata.shape} {adata.uns.get(UNS_ROOT)}".encode())
        for name, column in itertools.chain(adata.obs.items(), adata.var.items()):
            _add_column(sums, name, column)
        names = [adata.obs_names, adata.var_names]
        if layer == "raw" and adata.raw is not None:
            names.append(adata.raw.var_names)
        held: tuple[Any, ...] = ()
        if adata.isbacked and layer is None:
            # Every access makes a new object of the file.
            status = Path(str(adata.filename)).stat()
            sums.update(f"{adata.filename} {status.st_mtime_ns} {status.st_size}".encode())
        else:
            held = _matrix_parts(adata, layer)
            for one in held:
                _add_values(sums, one)
        return cls(held, tuple(names), sums.hexdigest())

    def same(self, other: State) -> bool:
        """Whether data were left as they were."""
        return (
            (self.digest, len(self.names)) == (other.digest, len(other.names))
            and list(map(id, self.held)) == list(map(id, other.held))
            and all(a.is_(b) or a.equals(b) for a, b in zip(self.names, other.names, strict=True))
        )


def _add_column(sums: Any, name: Any, column: pd.Series) -> None:
    kind = column.dtype
    told = f"{list(kind.categories)} {kind.ordered}" if isinstance(kind, pd.CategoricalDtype) else str(kind)
    sums.update(f"{name!r} {told}".encode(errors="backslashreplace"))
    try:
        values = pd.util.hash_pandas_object(column, index=False)
    except TypeError:  # of lists and mappings
        values = pd.util.hash_pandas_object(column.map(repr), index=False)
    sums.update(values.to_numpy().tobytes())


def _matrix_parts(adata: AnnData, layer: str | None) -> tuple[Any, ...]:
    try:
        # Of a view, each access would make a copy of its part.
        matrix = matrix_of(parent_of(adata), layer)
    except (InputError, MissingKeyError):
        return ()
    parts = [getattr(matrix, name, None) for name in ("data", "indices", "indptr")]
    return (matrix, *(one for one in parts if isinstance(one, np.ndarray)))


def _add_values(sums: Any, values: Any) -> None:
    if isinstance(values, np.ndarray) and values.dtype != object:
        flat = values.ravel(order="K")
        # An odd step meets every column of a dense matrix.
        step = max(1, flat.size // _MOST_VALUES) | 1
        sums.update(np.ascontiguousarray(flat[::step]).tobytes())
