"""Rows of numbers that would fill the memory, on the disk."""

from __future__ import annotations

import os
import tempfile
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
# Larger tables of sums go to the disk.
_MOST = 64 * 2**20


class DiskRows:
    """float32 (n, m), zeros at first, in a temporary file without a name: gone with the process, however it ends."""

    dtype, ndim = np.dtype(np.float32), 2

    def __init__(self, n: int, m: int) -> None:
        self.shape = (n, m)
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        weakref.finalize(self, self._file.close)  # or Python warns of a file that was left open
        self._file.truncate(4 * n * m)

    def __len__(self) -> int:
        return self.shape[0]

    def __setitem__(self, rows: slice, values: Float) -> None:
        start, stop, _ = rows.indices(self.shape[0])
        held = np.ascontiguousarray(np.broadcast_to(values, (max(stop - start, 0), self.shape[1])), dtype=np.float32)
        if not held.size:  # memoryview takes no shape with 0
            return
        left, at = held.data.cast("B"), 4 * start * self.shape[1]
        while left:
            done = os.pwrite(self._file.fileno(), left, at)
            left, at = left[done:], at + done

    def __getitem__(self, rows: slice) -> Float:
        start, stop, _ = rows.indices(self.shape[0])
        out = np.empty((max(stop - start, 0), self.shape[1]), dtype=np.float32)
        if not out.size:
            return out
        left, at = out.data.cast("B"), 4 * start * self.shape[1]
        while left:
            done = os.preadv(self._file.fileno(), [left], at)
            left, at = left[done:], at + done
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:] if dtype is None else self[:].astype(dtype)


def zeros(n: int, m: int) -> Any:
    """Return float32 (n, m) of zeros to fill by rows: in memory, or on the disk where it is large."""
    return DiskRows(n, m) if 4 * n * m > _MOST and hasattr(os, "pwrite") else np.zeros((n, m), dtype=np.float32)
