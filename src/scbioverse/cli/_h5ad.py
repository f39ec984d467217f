"""Write h5ad through Python's own file object, so that a full disk is an error and not the end of the process.

The HDF5 library keeps what it could not write, tries again when its objects are closed, and crashes where that fails,
too. It is therefore never told: once a write has failed, all that follow are dropped, and the first error is raised
as soon as the library is out of the way.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from ._stop import held_back, was_asked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anndata import AnnData


def write_h5ad(adata: AnnData, path: Path) -> None:
    """Write an AnnData in memory as `adata.write_h5ad` does; an `OSError` where the disk or a limit forbids it."""
    import h5py
    from anndata.io import write_elem

    adata.strings_to_categoricals()
    if adata.raw is not None:
        adata.strings_to_categoricals(adata.raw.var)
    # A signal must not raise an exception inside the library's calls either.
    with held_back(), path.open("w+b", buffering=0) as file:
        sink = _Sink(file)
        with h5py.File(sink, "w") as group:
            group.attrs["encoding-type"] = "anndata"
            group.attrs["encoding-version"] = "0.1.0"
            for name, part in _parts(adata):
                write_elem(group, name, part)
                if sink.error is not None or was_asked():
                    break
        if sink.error is not None:
            raise sink.error


def _parts(adata: AnnData) -> Iterator[tuple[str, Any]]:
    for name in ("X", "raw", "obs", "var"):
        if (part := getattr(adata, name)) is not None:
            yield name, part
    for name in ("obsm", "varm", "obsp", "varp", "layers", "uns"):
        yield name, {key: value for key, value in getattr(adata, name).items() if key is not None}


class _Sink(io.RawIOBase):
    """A file to the HDF5 library; `error` is what went wrong first."""

    def __init__(self, file: io.RawIOBase) -> None:
        self._file = file
        self.error: OSError | None = None

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, at: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(at, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        got = self._file.readinto(buffer) or 0
        if (self.error is not None or was_asked()) and got < len(buffer):
            buffer[got:] = bytes(len(buffer) - got)
            return len(buffer)
        return got

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while self.error is None and not was_asked() and done < len(view):
            try:
                done += self._file.write(view[done:]) or 0
            except OSError as error:
                self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        if self.error is None:
            try:
                return self._file.truncate(size)
            except OSError as error:
                self.error = error
        return 0 if size is None else size
