"""What was done, kept in `adata.uns["bioverse"]` as one JSON string per step.

JSON and not a nested dict: tuples, integer keys and "/" in names break or bend in h5ad and zarr.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from ._keys import UNS_ROOT
from .errors import InputError, MissingKeyError

if TYPE_CHECKING:
    from anndata import AnnData


_WAY_OUT = "Run the verb again to replace it, or delete it."


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | tuple | set | frozenset):
        return list(value)
    raise TypeError(f"cannot store {type(value).__name__} in uns['{UNS_ROOT}']")


def versions() -> dict[str, str]:
    """Versions of the packages that shape a result."""
    found = {}
    # Those that a number in a result can depend on.
    for package in ("scbioverse", "torch", "transformers", "anndata", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def as_json(fields: Mapping[str, Any]) -> str:
    """Return `fields` and the package versions as a record holds them."""
    return json.dumps({**fields, "versions": versions()}, default=_plain)


def write_record(adata: AnnData, step: str, **fields: Any) -> None:
    """Store `fields` and the package versions under `adata.uns["bioverse"][step]` of an AnnData made just now."""
    adata.uns[UNS_ROOT] = {**adata.uns.get(UNS_ROOT, {}), step: as_json(fields)}


def read_record(adata: AnnData, step: str) -> dict[str, Any]:
    """Return what was stored under a step.

    Raises
    ------
    MissingKeyError
        There is no such record; the message names those that are there.
    InputError
        What is there is no record of this package.
    """
    root = records_of(adata)
    if step not in root:
        raise MissingKeyError(
            f"adata.uns['{UNS_ROOT}'] holds no record of {step!r} (found: {sorted(map(str, root)) or 'nothing'}). "
            f"Run the verb that writes it first."
        )
    try:
        found = json.loads(str(root[step]))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{_called(step)} is no record of scbioverse: {error}. {_WAY_OUT}") from error
    if not isinstance(found, dict):
        raise InputError(f"{_called(step)} is no record of scbioverse: it holds {type(found).__name__}. {_WAY_OUT}")
    return found


def records_of(adata: AnnData) -> Mapping[str, Any]:
    """Return all records as they are stored; an :class:`InputError` where `uns["bioverse"]` is no mapping."""
    root = adata.uns.get(UNS_ROOT, {})
    if not isinstance(root, Mapping):
        raise InputError(
            f"adata.uns[{UNS_ROOT!r}] is a {type(root).__name__}; scbioverse keeps its records there, by step. "
            f"Move what is yours first: adata.uns['my_{UNS_ROOT}'] = adata.uns.pop({UNS_ROOT!r})."
        )
    return root


def _called(step: str) -> str:
    return f"adata.uns[{UNS_ROOT!r}][{step!r}]"
