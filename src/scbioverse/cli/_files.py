"""Reading and writing the files of the command line; the input is never written to."""

from __future__ import annotations

import os
import shutil
import uuid
import warnings
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

KINDS = (".h5ad", ".zarr")


def check_paths(source: Path, target: Path, *, force: bool) -> None:
    """Refuse paths that cannot work, before anything is computed.

    Raises
    ------
    InputError
        The input is missing or of another kind, the output is the input, exists, or cannot be written.
    """
    if not source.exists():
        raise InputError(f"{source} does not exist.")
    for path in (source, target):
        if path.suffix not in KINDS:
            raise InputError(f"{path} is neither .h5ad nor .zarr.")
    if target.resolve() == source.resolve() or (target.exists() and target.samefile(source)):
        raise InputError(f"the output {target} is the input; it is never overwritten. Name another file.")
    if target.exists() and not force:
        raise InputError(f"{target} exists. Pass --force to replace it, or name another file.")
    folder = target.resolve().parent
    if not folder.is_dir():
        raise InputError(f"the folder {folder} for the output does not exist.")
    if not os.access(folder, os.W_OK):
        raise InputError(f"the folder {folder} for the output cannot be written to.")


def read(source: Path) -> AnnData:
    """Read an AnnData.

    Raises
    ------
    InputError
        The file is damaged or no AnnData.
    """
    import anndata as ad

    try:
        return ad.read_h5ad(source) if source.suffix == ".h5ad" else ad.read_zarr(source)
    # What h5py, zarr and anndata raise on files that are not what their names say differs by version.
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(f"{source} cannot be read as an AnnData: {_first_line(error)}") from error


def write(adata: AnnData, target: Path) -> None:
    """Write an AnnData; the file appears whole or not at all.

    Raises
    ------
    InputError
        It cannot be written.
    """
    fresh = target.with_name(f".{uuid.uuid4().hex[:8]}.{target.name}")
    try:
        if target.suffix == ".h5ad":
            adata.write_h5ad(fresh)
        else:
            with warnings.catch_warnings():
                # Which zarr format is written by default is anndata's affair and no news to a user of this command.
                warnings.filterwarnings("ignore", message="Writing zarr v2")
                adata.write_zarr(fresh)
            if target.exists():
                shutil.rmtree(target)
        fresh.replace(target)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{target} cannot be written: {_first_line(error)}") from error
    finally:
        if fresh.is_dir():
            shutil.rmtree(fresh, ignore_errors=True)
        else:
            fresh.unlink(missing_ok=True)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
