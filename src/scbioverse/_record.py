"""What was done, kept in `adata.uns["bioverse"]` as one JSON string per step.

JSON and not a nested dict: tuples, integer keys and "/" in names break or bend in h5ad and zarr.
"""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from ._keys import UNS_ROOT
from .errors import MissingKeyError

if TYPE_CHECKING:
    from anndata import AnnData


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | tuple | set | frozenset):
        return list(value)
    raise TypeError(f"cannot store {type(value).__name__} in uns['{UNS_ROOT}']")


def versions() -> dict[str, str]:
    """Versions of the packages that shape a result."""
    found = {}
    for package in ("scbioverse", "torch", "transformers", "anndata", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def write_record(adata: AnnData, step: str, **fields: Any) -> None:
    """Store `fields` and the package versions under `adata.uns["bioverse"][step]`."""
    root = dict(adata.uns.get(UNS_ROOT, {}))
    root[step] = json.dumps({**fields, "versions": versions()}, default=_plain)
    adata.uns[UNS_ROOT] = root


def read_record(adata: AnnData, step: str) -> dict[str, Any]:
    """Return what :func:`write_record` stored, or raise a :class:`MissingKeyError` naming what is there."""
    root = adata.uns.get(UNS_ROOT, {})
    if step not in root:
        raise MissingKeyError(
            f"adata.uns['{UNS_ROOT}'] holds no record of {step!r} (found: {sorted(root) or 'nothing'}). "
            f"Run the verb that writes it first."
        )
    return json.loads(str(root[step]))
