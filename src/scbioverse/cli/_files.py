"""Reading and writing the files of the command line; the input is never written to."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from .._whole import UnfinishedError, check_room, clear_leftovers, written_whole
from ..errors import InputError, MismatchError
from ._in_place import write_in_place
from ._lazy import n_bytes, open_lazily, stored, write_part
from ._run import held_back, was_asked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from anndata import AnnData

    from ._in_place import Before

# What anndata and zarr say of formats to come.
_NEWS = "Writing zarr v2|zarr v3 autosharding|Consolidated metadata is"
# Blocks of a zarr store are compressed; counts to a sixth and less.
_ZARR_SHARE = 0.1


def read(source: Path, *, lazily: bool = False) -> AnnData:
    """Read an AnnData; with `lazily`, its matrices stay where they are and are read by blocks, if they can be."""
    import anndata as ad

    if source.suffix == ".zarr":
        clear_leftovers(source.resolve().parent)  # what a killed command has begun is finished before it is read
    try:
        adata = open_lazily(source) if lazily else None
        if adata is None:
            adata = ad.read_h5ad(source) if source.suffix == ".h5ad" else ad.read_zarr(source)
    # What h5py, zarr and anndata raise on files that are not what their names say differs by version.
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, AssertionError) as error:
        raise InputError(f"{source} cannot be read as an AnnData: {_first_line(error)}") from error
    if not isinstance(adata, ad.AnnData):
        raise InputError(f"{source} holds {type(adata).__name__}, not an AnnData.")
    return adata


def check_output_room(adata: AnnData, place: Path) -> None:
    """Refuse to compute what would be larger than what is left on the disk."""
    share = 1.0 if place.suffix == ".h5ad" else _ZARR_SHARE
    check_room(place.parent, share * sum(_sizes(adata)), f"the output {place.name}")


def write(adata: AnnData, place: Path) -> None:
    """Write an AnnData; the file appears whole or not at all."""
    with _written(place) as fresh:
        if place.suffix == ".h5ad":
            write_h5ad(adata, fresh)
        else:
            _write_zarr(adata, fresh)


def put(adata: AnnData, store: Path, before: Before) -> None:
    """Put results into the store that `adata` was opened from; all or none. A signal waits for the end of that."""
    try:
        with warnings.catch_warnings(), held_back():
            warnings.filterwarnings("ignore", message=_NEWS)
            write_in_place(adata, store, before)
    except MismatchError:
        raise
    except UnfinishedError as error:
        raise InputError(
            f"{store} holds a part of the results: {_first_line(error)}. The rest waits beside it, and is put there by "
            "the next command that reads the store and may write to all of its folders."
        ) from error
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{store} cannot be written: {_first_line(error)}. It is as it was.") from error


def write_table(text: str, place: Path) -> None:
    """Write a table; the file appears whole or not at all."""
    with _written(place) as fresh:
        fresh.write_text(text, encoding="utf-8")


@contextmanager
def _written(place: Path) -> Iterator[Path]:
    """Hand out a path to write to, which takes the name `place` at the end; say in one line what went wrong."""
    try:
        with written_whole(place) as fresh:
            yield fresh
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{place} cannot be written: {_first_line(error)}. Nothing was left there.") from error


def _write_zarr(adata: AnnData, path: Path) -> None:
    # Tasks that zarr drops after an error would be reported one by one.
    noise = logging.getLogger("asyncio")
    level = noise.level
    noise.setLevel(logging.CRITICAL + 1)
    with warnings.catch_warnings():
        # Which zarr format is written by default is anndata's affair and no news to a user of this command.
        warnings.filterwarnings("ignore", message=_NEWS)
        write_zarr(adata, path)
    noise.setLevel(level)  # after an error it stays as it is: they are reported when the process ends


def _sizes(adata: AnnData) -> Iterator[int]:
    """Bytes of what is stored plainly; words, and what a verb will add, are left out."""
    for part in _matrices(adata):
        if stored(part) is not None:
            yield n_bytes(part)
            continue
        for name in ("data", "indices", "indptr") if hasattr(part, "indptr") else ("nbytes",):
            found = getattr(part, name, 0)
            yield found.nbytes if isinstance(found, np.ndarray) else found if isinstance(found, int) else 0


def _matrices(adata: AnnData) -> list[Any]:
    held: list[Any] = [adata.X, None if adata.raw is None else adata.raw.X]
    return held + [
        part for slot in ("layers", "obsm", "varm", "obsp", "varp") for part in getattr(adata, slot).values()
    ]


def _first_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.split(" (")[0]
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"


def write_zarr(adata: AnnData, path: Path) -> None:
    """Write an AnnData as `adata.write_zarr` does, in the format of the store that its matrices lie in, if they do."""
    import anndata as ad
    import zarr

    adata.strings_to_categoricals()
    if adata.raw is not None:
        adata.strings_to_categoricals(adata.raw.var)
    held = next((one for one in map(stored, _matrices(adata)) if hasattr(one, "metadata")), None)
    version = ad.settings.zarr_write_format if held is None else held.metadata.zarr_format
    root = zarr.open_group(path, mode="w", zarr_format=version)
    root.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    for name, part in _parts(adata):
        write_part(root, name, part)
    zarr.consolidate_metadata(root.store)


def write_h5ad(adata: AnnData, path: Path) -> None:
    """Write an AnnData in memory as `adata.write_h5ad` does; an `OSError` where the disk or a limit forbids it."""
    import h5py

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
                write_part(group, name, part)
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
