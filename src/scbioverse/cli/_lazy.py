"""Files whose matrices stay where they are: read by blocks when something asks, and copied without being loaded."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

# Tables of obsm, and graphs, that are smaller are read; values copied at once, and those of a chunk that is made.
_SMALL, _VALUES, _CHUNK = 64 * 2**20, 4_000_000, 250_000
_SPARSE = ("csr_matrix", "csc_matrix")
_MATRICES = frozenset({"layers", "obsm", "obsp", "varm", "varp"})


def open_lazily(source: Path) -> AnnData | None:
    """Open an AnnData without reading its matrices; None where it was written in a way that has to be read whole."""
    import h5py
    import zarr
    from anndata import AnnData, Raw
    from anndata.io import read_elem

    root: Any = h5py.File(source, "r") if source.suffix == ".h5ad" else zarr.open_group(source, mode="r")
    if root.attrs.get("encoding-type") != "anndata" or not is_group(root.get("obs")):
        return None
    parts: dict[str, Any] = {name: read_elem(root[name]) for name in ("obs", "var", "uns") if name in root}
    for name in _MATRICES:
        if name in root:
            small = 0 if name == "layers" else _SMALL
            parts[name] = {key: _part(root[name][key], small) for key in root[name]}
    adata = AnnData(_part(root["X"], 0) if "X" in root else None, **parts)
    if is_group(root.get("raw")):
        raw = root["raw"]
        varm = {key: read_elem(raw["varm"][key]) for key in raw["varm"]} if "varm" in raw else {}
        adata._raw = Raw(adata, X=_part(raw["X"], 0), var=read_elem(raw["var"]), varm=varm)
    return adata


def is_group(elem: Any) -> bool:
    """Whether an element of a file holds others."""
    return hasattr(elem, "keys") and not hasattr(elem, "dtype")


def _part(elem: Any, small: int) -> Any:
    """Return a matrix as it lies; read where it is small, or of a kind that cannot be read by rows."""
    from anndata.io import read_elem, sparse_dataset

    kind = elem.attrs.get("encoding-type")
    if is_group(elem):
        if kind in _SPARSE and elem["data"].nbytes > small:
            return sparse_dataset(elem)
    elif kind == "array" and elem.ndim == 2 and elem.dtype.kind in "biuf" and elem.nbytes > small:
        return elem
    return read_elem(elem)


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


def write_part(group: Any, name: str, part: Any) -> None:
    """Write a part of an AnnData, matrices that were not read straight from their file."""
    from anndata.io import write_elem

    if isinstance(part, dict) and name in _MATRICES and any(stored(one) is not None for one in part.values()):
        inside = group.create_group(name)
        inside.attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})
        for key, one in part.items():
            write_part(inside, key, one)
    elif name == "raw" and part is not None and stored(part.X) is not None:
        inside = group.create_group(name)
        inside.attrs.update({"encoding-type": "raw", "encoding-version": "0.1.0"})
        write_part(inside, "X", part.X)
        write_elem(inside, "var", part.var)
        write_elem(inside, "varm", dict(part.varm))
    elif (held := stored(part)) is not None:
        _copy(held, group, name)
    else:
        write_elem(group, name, part)


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
    options: dict[str, Any] = {"chunks": (min(_CHUNK, max(held.shape[0], 1)),)} if held.ndim == 1 else {}
    if held.ndim == 2:
        options["chunks"] = (max(1, min(held.shape[0], _CHUNK // max(held.shape[1], 1))), max(held.shape[1], 1))
    new = (group.create_dataset if _library(group) == "h5py" else group.create_array)(
        name, shape=held.shape, dtype=held.dtype, **options
    )
    new.attrs.update(_attrs(held))
    step = options["chunks"][0] if options else 1
    width = int(np.prod(held.shape[1:]))
    step *= max(1, _VALUES // max(step * width, 1))
    for start in range(0, held.shape[0], step):
        new[start : start + step] = held[start : start + step]


def _attrs(held: Any) -> Mapping[str, Any]:
    """Attributes as either kind of file takes them."""
    return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in held.attrs.items()}


def folder_of(elem: Any) -> Path:
    """Folder of an element of a zarr store."""
    return Path(elem.store.root) / elem.path
