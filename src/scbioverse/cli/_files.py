"""Reading and writing the files of the command line; the input is never written to but with `--in-place`.

Matrices of a file stay where they are: read by blocks when something asks, and copied without being loaded.

Results are put into a zarr store whole or not at all: what is new is written beside the store, then a list of what goes
where, then everything is renamed into its place. Who is killed before the list is there has changed nothing. After that
the next command in the same folder finishes what the list says (:func:`scbioverse._whole.clear_leftovers`), unless
another store has taken its place, known by the names of its rows and columns and by how its values lie.
"""

from __future__ import annotations

import io
import json
import logging
import math
import shutil
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._slots import UNS_ROOT
from .._whole import UnfinishedError, check_room, clear_leftovers, moved_whole, written_whole
from ..errors import InputError, MismatchError
from ._paths import check_in_place, check_paths, check_source
from ._run import held_back, was_asked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pandas as pd
    from anndata import AnnData

# What anndata and zarr say of formats to come.
_NEWS = "Writing zarr v2|zarr v3 autosharding|Consolidated metadata is"
# Blocks of a zarr store are compressed; counts to a sixth and less.
_ZARR_SHARE = 0.1


class Output:
    """Checks where results go before anything is computed, reads the input, and writes to `place`.

    There is no output with `in_place`: results are put into the source. With `force` an output that exists is replaced.
    """

    def __init__(self, source: Path, output: Path | None, *, in_place: bool, force: bool) -> None:
        if (output is None) != in_place:
            raise InputError(
                "name an --output, or pass --in-place for a .zarr."
                if output is None
                else "--output and --in-place exclude each other: results go to one place."
            )
        self.source = source
        self._before: Before | None = None
        self.place = check_in_place(source) if output is None else check_paths(source, output, force=force)
        self._in_place = in_place

    def read(self) -> AnnData:
        """Open the input; an :class:`InputError` where it is damaged, or the output would not fit on the disk."""
        adata = read(self.source, lazily=True)
        if self._in_place:
            self._before = Before.of(adata)
        else:
            # What would be larger than what is left on the disk is not computed.
            share = 1.0 if self.place.suffix == ".h5ad" else _ZARR_SHARE
            check_room(self.place.parent, share * sum(_sizes(adata)), f"the output {self.place.name}")
        return adata

    def write(self, adata: AnnData) -> None:
        """Write the results; all or none."""
        if self._before is None:
            write(adata, self.place)
        else:
            put(adata, self.place, self._before)


def read(source: Path, *, lazily: bool = False) -> AnnData:
    """Read an AnnData; with `lazily`, its matrices stay where they are and are read by blocks, if they can be."""
    import anndata as ad

    check_source(source)
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


def write(adata: AnnData, place: Path) -> None:
    """Write an AnnData; the file appears whole or not at all."""
    with _written(place) as fresh:
        (write_h5ad if place.suffix == ".h5ad" else write_zarr)(adata, fresh)


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


def _sizes(adata: AnnData) -> Iterator[int]:
    """Bytes of what is stored plainly; words, and what a verb will add, are left out."""
    for part in _matrices(adata):
        if stored(part) is not None:
            yield n_bytes(part)
        elif hasattr(part, "indptr"):
            yield part.data.nbytes + part.indices.nbytes + part.indptr.nbytes
        else:
            found = getattr(part, "nbytes", 0)
            yield found if isinstance(found, int) else 0


def _matrices(adata: AnnData) -> list[Any]:
    slots = (adata.layers, adata.obsm, adata.varm, adata.obsp, adata.varp)
    return [adata.X, None if adata.raw is None else adata.raw.X, *(part for slot in slots for part in slot.values())]


def _first_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.split(" (")[0]
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"


def write_zarr(adata: AnnData, path: Path) -> None:
    """Write an AnnData as `adata.write_zarr` does, in the format of the store that its matrices lie in, if they do."""
    import anndata as ad
    import zarr

    held = next((one for one in map(stored, _matrices(adata)) if hasattr(one, "metadata")), None)
    version = ad.settings.zarr_write_format if held is None else held.metadata.zarr_format
    # Tasks that zarr drops after an error would be reported one by one.
    noise = logging.getLogger("asyncio")
    level = noise.level
    noise.setLevel(logging.CRITICAL + 1)
    with warnings.catch_warnings():
        # Which zarr format is written by default is anndata's affair and no news to a user of this command.
        warnings.filterwarnings("ignore", message=_NEWS)
        root = zarr.open_group(path, mode="w", zarr_format=version)
        _write_all(root, adata)
        zarr.consolidate_metadata(root.store)
    noise.setLevel(level)  # after an error it stays as it is: they are reported when the process ends


def write_h5ad(adata: AnnData, path: Path) -> None:
    """Write an AnnData in memory as `adata.write_h5ad` does; an `OSError` where the disk or a limit forbids it."""
    import h5py

    # A signal must not raise an exception inside the library's calls either.
    with held_back(), path.open("w+b", buffering=0) as file:
        sink = _Sink(file)
        with h5py.File(sink, "w") as root:
            _write_all(root, adata, sink)
        if sink.error is not None:
            raise sink.error


def _write_all(root: Any, adata: AnnData, sink: _Sink | None = None) -> None:
    """Write an AnnData as anndata does, but matrices that were not read straight from their file.

    What is left when the `sink` takes no more is left out.
    """
    from anndata.experimental import write_dispatched

    adata.strings_to_categoricals()
    if adata.raw is not None:
        adata.strings_to_categoricals(adata.raw.var)

    def write(as_anndata: Any, group: Any, key: str, elem: Any, *, dataset_kwargs: Any, iospec: Any) -> None:
        # Older versions of anndata cannot read what stands for no `raw`.
        if (elem is None and key.strip("/") == "raw") or (sink is not None and sink.is_closed):
            return
        if (held := stored(elem)) is None:
            as_anndata(group, key, elem, dataset_kwargs=dataset_kwargs)
        else:
            _copy(held, group, key)

    write_dispatched(root, "/", adata, write)


class _Sink(io.RawIOBase):
    """A file to the HDF5 library; `error` is what went wrong first."""

    def __init__(self, file: io.RawIOBase) -> None:
        self._file = file
        self.error: OSError | None = None

    @property
    def is_closed(self) -> bool:
        """Whether nothing is to be written any more, after an error or because a signal waits."""
        return self.error is not None or was_asked()

    def seek(self, at: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(at, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        got = self._file.readinto(buffer) or 0
        if self.is_closed and got < len(buffer):
            buffer[got:] = bytes(len(buffer) - got)
            return len(buffer)
        return got

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while not self.is_closed and done < len(view):
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


# Tables of obsm, and graphs, that are smaller are read; and values copied at once.
_SMALL, _VALUES = 64 * 2**20, 4_000_000
# Matrices that stay where they are, if they take more bytes than this.
_LEFT = {"X": 0, "layers": 0, "raw": 0} | dict.fromkeys(("obsm", "obsp", "varm", "varp"), _SMALL)


def open_lazily(source: Path) -> AnnData | None:
    """Open an AnnData without reading its matrices; None where it was written in a way that has to be read whole."""
    import h5py
    import zarr
    from anndata.experimental import read_dispatched
    from anndata.io import sparse_dataset

    root: Any = h5py.File(source, "r") if source.suffix == ".h5ad" else zarr.open_group(source, mode="r")
    if root.attrs.get("encoding-type") != "anndata" or not is_group(root.get("obs")):
        return None

    def read(as_anndata: Any, name: str, elem: Any, *, iospec: Any) -> Any:
        """Return a matrix as it lies; read where it is small, or of a kind that cannot be read by rows."""
        slot, _, within = name.strip("/").partition("/")
        if slot not in _LEFT or "/" in within or (slot == "raw" and within != "X"):
            return as_anndata(elem)
        if iospec.encoding_type in ("csr_matrix", "csc_matrix") and elem["data"].nbytes > _LEFT[slot]:
            return sparse_dataset(elem)
        if iospec.encoding_type == "array" and elem.ndim == 2 and elem.dtype.kind in "biuf":
            return elem if elem.nbytes > _LEFT[slot] else as_anndata(elem)
        return as_anndata(elem)

    return read_dispatched(root, read)


def is_group(elem: Any) -> bool:
    """Whether an element of a file holds others."""
    return hasattr(elem, "keys") and not hasattr(elem, "dtype")


def stored(part: Any) -> Any | None:
    """Return the group or array in which a matrix that was not read lies; None for one in memory."""
    if hasattr(part, "group"):
        return part.group
    return part if _library(part) is not None else None


def n_bytes(part: Any) -> int:
    """Bytes of a matrix that was not read."""
    held: Any = stored(part)
    return sum(held[name].nbytes for name in held) if is_group(held) else int(held.nbytes)


def _library(elem: Any) -> str | None:
    name = type(elem).__module__.partition(".")[0]
    return name if name in ("h5py", "zarr") else None


def _copy(held: Any, group: Any, name: str) -> None:
    kinds = (_library(held), _library(group))
    if kinds == ("h5py", "h5py"):
        group.copy(held, name)
    elif kinds == ("zarr", "zarr") and held.metadata.zarr_format == group.metadata.zarr_format:
        shutil.copytree(folder_of(held), folder_of(group) / name)
    elif is_group(held):
        inside = group.create_group(name)
        inside.attrs.update(_attrs(held))
        for one in held:
            _copy_array(held[one], inside, one)
    else:
        _copy_array(held, group, name)


def _copy_array(held: Any, group: Any, name: str) -> None:
    """Copy an array of numbers from one kind of file to the other, a few million values at a time."""
    make = group.create_dataset if _library(group) == "h5py" else group.create_array
    new = make(name, shape=held.shape, dtype=held.dtype)
    new.attrs.update(_attrs(held))
    step = max(1, _VALUES // max(1, math.prod(held.shape[1:])))
    for start in range(0, held.shape[0], step):
        new[start : start + step] = held[start : start + step]


def _attrs(held: Any) -> Mapping[str, Any]:
    """Attributes as either kind of file takes them."""
    return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in held.attrs.items()}


def folder_of(elem: Any) -> Path:
    """Folder of an element of a zarr store."""
    return Path(elem.store.root) / elem.path


_CONSOLIDATED = {2: ".zmetadata", 3: "zarr.json"}


@dataclass(frozen=True, eq=False)
class Before:
    """What there was before a verb ran."""

    obs: pd.DataFrame
    obsm: dict[str, Any]

    @classmethod
    def of(cls, adata: AnnData) -> Before:
        """Remember what an AnnData holds."""
        return cls(adata.obs.copy(deep=False), dict(adata.obsm))


def write_in_place(adata: AnnData, store: Path, before: Before) -> None:
    """Put what a verb changed into the store that `adata` was opened from; `before` is what it held then.

    Nobody locks the store: two commands that write to it at once are not told of each other. A `MismatchError` where it
    has other rows by now, or in another order.
    """
    import zarr
    from anndata.io import read_elem, write_elem

    old: Any = zarr.open_group(store, mode="r")
    table = old["obs"]
    rows = read_elem(table[table.attrs["_index"]])
    if list(map(str, rows)) != list(map(str, adata.obs_names)):
        raise MismatchError(
            f"{store} has other rows than when it was read, or in another order ({len(rows)} now, {adata.n_obs} then), "
            "so that the results are not of these. It was left as it is now; run the same again."
        )
    # Columns that others put there meanwhile stay.
    added = [name for name in table.attrs["column-order"] if name not in before.obs and name not in adata.obs]
    version, was_consolidated = old.metadata.zarr_format, old.metadata.consolidated_metadata is not None
    meta = {2: ".zattrs", 3: "zarr.json"}[version]
    known_by = [f"{name}/{old[name].attrs['_index']}" for name in ("obs", "var")]
    known_by += [f"X/{file}" for file in ("indptr", meta, ".zarray")]
    with moved_whole(store, known_by) as (fresh, moves):
        root: Any = zarr.open_group(fresh, mode="w", zarr_format=version)
        obs = adata.obs[[name for name in adata.obs if not adata.obs[name].equals(before.obs.get(name))]]
        new = {
            "obs": obs.astype(dict.fromkeys(obs.select_dtypes(object), "category")),
            "obsm": {name: one for name, one in adata.obsm.items() if before.obsm.get(name) is not one},
            "uns": {UNS_ROOT: dict(adata.uns[UNS_ROOT])},  # last: records say of which run the rest is
        }
        for group, parts in new.items():
            write_elem(root, group, parts)
            put = [f"{group}/{name}" for name in parts] if group in old else [group]
            moves.update(zip(put, put, strict=True))
            if group == "obs":
                moves |= dict.fromkeys(f"obs/{name}" for name in before.obs.columns.difference(adata.obs.columns))
                # The order of the columns is in the attributes of their group; it comes after what it names.
                order = [*map(str, adata.obs.columns), *added]
                root["obs"].attrs.update({**dict(table.attrs), "column-order": order})
                moves |= {f"obs/{meta}": f"obs/{meta}"}
        if was_consolidated:
            file = _CONSOLIDATED[version]
            zarr.consolidate_metadata(root.store)
            was, made = (json.loads((at / file).read_text(encoding="utf-8")) for at in (store, fresh))
            text = json.dumps(_consolidated(was, made, moves))
            # What readers go by: before it is replaced they see the store as it was, but for tables that were replaced.
            (fresh / "consolidated").write_text(text, encoding="utf-8")
            moves[file] = "consolidated"


def _consolidated(root: dict[str, Any], new: dict[str, Any], moves: Iterable[str]) -> dict[str, Any]:
    """Return the metadata that a store keeps of all its parts, as they are after the moves from a `new` one."""
    held, made = (one.get("consolidated_metadata", one)["metadata"] for one in (root, new))
    for target in moves:
        inside = f"{target}/"
        group = target.removesuffix("/zarr.json")  # of a group of version 3 the file with its attributes alone
        for key in [one for one in held if one == target or one.startswith(inside)]:
            del held[key]
        held |= {one: node for one, node in made.items() if one in (target, group) or one.startswith(inside)}
    # zarr reads what is outside before what is in it.
    ordered = dict(sorted(held.items(), key=lambda one: (one[0].count("/"), one[0])))
    held.clear()
    held.update(ordered)
    return root
