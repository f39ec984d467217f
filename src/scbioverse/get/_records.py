"""`sb.get.records`: what was done, as a dictionary."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .._keys import UNS_ROOT
from ..errors import InputError

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
    out = {}
    for step, text in dict(adata.uns.get(UNS_ROOT, {})).items():
        try:
            out[str(step)] = json.loads(str(text))
        except ValueError as error:
            raise InputError(f"adata.uns[{UNS_ROOT!r}][{step!r}] is no record of scbioverse: {error}.") from error
    return out
