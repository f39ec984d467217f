"""`sb.get.records`: what was done, as a dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._mudata import anndata_of
from .._record import read_record, records_of

if TYPE_CHECKING:
    from anndata import AnnData


def records(adata: AnnData) -> dict[str, dict[str, Any]]:
    """Return what each verb recorded: parameters, model and data fingerprints, package versions.

    Parameters
    ----------
    adata
        Data that a verb of this package wrote to.

    Returns
    -------
    By step (`"embed"`, `"annotate"`, `"align"`, ...); empty if nothing was done yet.

    Raises
    ------
    InputError
        A record is not what this package writes.
    """
    adata = anndata_of(adata)
    return {str(step): read_record(adata, step) for step in records_of(adata)}
