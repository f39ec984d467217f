"""A digest of an expression matrix and its genes: equal for equal values under equal names, however they are stored.

A row's sketch is the sum, over its genes, of the value's float32 bits times a 64-bit hash of the gene's name, modulo
2^64 (multilinear hashing; Carter & Wegman, J. Comput. Syst. Sci. 18, 143-154, 1979). Sums of integers are exact in any
order and zeros add nothing, so that sparse, dense, backed and dask give one number, and columns that move together with
their names change nothing. The digest is a hash of all sketches in the order of the rows, and of the set of names.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_VERSION = b"1"
# Values widened to 64 bits at once: 8 MB, which stay in the processor's cache better than more would.
_VALUES = 1_000_000


class MatrixDigest:
    """Takes a matrix in, blocks of rows in their order, and gives its digest.

    Parameters
    ----------
    names
        (n_columns,) names of the columns.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._weights = _weights(names)
        self._sketches: list[NDArray[np.uint64]] = []

    def add(self, block: sp.csr_array) -> None:
        """Take in the next rows, (n, n_columns), without repeated entries."""
        starts, n = np.asarray(block.indptr), block.shape[0]
        first = 0
        while first < n:
            last = int(np.searchsorted(starts, starts[first] + _VALUES, side="right")) - 1
            last = min(max(last, first + 1), n)
            span = slice(int(starts[first]), int(starts[last]))
            part = (_bits(block.data[span]), block.indices[span], starts[first : last + 1] - starts[first])
            self._sketches.append(sp.csr_array(part, shape=(last - first, block.shape[1])) @ self._weights)
            first = last

    def hexdigest(self) -> str:
        """Digest of what was taken in, 32 hexadecimal digits."""
        found = hashlib.blake2b(_VERSION, digest_size=16)
        rows = np.concatenate([np.empty(0, dtype=np.uint64), *self._sketches])
        for part in (np.array([self._weights.size, rows.size], dtype=np.uint64), np.sort(self._weights), rows):
            found.update(part.astype("<u8", copy=False).tobytes())
        return found.hexdigest()


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
