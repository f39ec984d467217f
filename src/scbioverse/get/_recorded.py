"""`sb.get.records` and its siblings: what was done and found then, as it was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from .._slots import Slots, anndata_of, read_record, records_of
from ._now import annotate_record, warn_of_changes

if TYPE_CHECKING:
    from anndata import AnnData

_NUMBERS = ("fraction_in", "fraction_out", "log_fold_change", "p")
_VOTES = ["group", "sample", "n", "own_label", "confidence", "share", "harmonised"]


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


def evidence(adata: AnnData, *, key: str = "bioverse") -> pd.DataFrame:
    """Return every claim about a gene that the reasons make, with what the data say to it.

    Parameters
    ----------
    adata, key
        Data that :func:`scbioverse.tl.annotate` wrote to, and the stem that `key_added` was.

    Returns
    -------
    One row a claim: `label` whose reason makes it; `gene` (approved symbol); `direction` (`"high"`, `"low"`,
    `"absent"`); `against`, the label that it is compared with, `""` for all others; `fraction_in` and `fraction_out`
    (cells that express it among those with the label and among those it is compared with); `log_fold_change` (log2 of
    mean expression per 10,000, 0.1 added to both); `p` (one-sided Mann-Whitney, NaN for "absent"); `n_in`, `n_out`
    (cells tested); `verdict` (`"supported"`; other verdicts stand only where a text kept them); `cl_id` and `kind` of
    the marker (of the label's own term, or of an ancestor); `source`, the tables that list it as a marker; `said`, the
    name in the text. Beyond 20,000 cells p is of values in bins, of genes that are no tested markers of whether a cell
    expresses them; the record of `annotate` says in `reasons_measured` by how much an area under the curve may be off.

    Raises
    ------
    MissingKeyError
        There is no evidence with this stem.

    Warns
    -----
    UserWarning
        The labels in `obs` have changed since: the table is of the data as they were annotated.
    """
    slots = Slots(key)
    adata = anndata_of(adata, holds=slots.label)
    record = read_record(adata, slots.step("evidence"))
    warn_of_changes(adata, slots, "the evidence")
    table = pd.DataFrame(record["rows"], columns=record["columns"])
    # JSON has null for NaN, which makes a column of objects.
    return table.astype({name: float for name in _NUMBERS if name in table} if len(table) else {})


def samples(adata: AnnData, *, key: str = "bioverse") -> pd.DataFrame:
    """Return how the samples of each group voted, after `annotate(groupby=..., sample_key=...)`.

    Parameters
    ----------
    adata, key
        Data that :func:`scbioverse.tl.annotate` wrote to, and the stem that `key_added` was.

    Returns
    -------
    One row a group and sample: `group`, `sample`, `n` cells, `own_label` (of these cells alone), `confidence` of it,
    `share` (of the group's samples that name the label of all its cells), `harmonised` (whether the group got one
    label). No rows without `sample_key`.

    Raises
    ------
    MissingKeyError
        There are no annotations with this stem.

    Warns
    -----
    UserWarning
        The labels in `obs` have changed since: the table is of the data as they were annotated.
    """
    slots = Slots(key)
    adata = anndata_of(adata, holds=slots.label)
    found = annotate_record(adata, slots).get("samples") or []
    if found:
        warn_of_changes(adata, slots, "the vote of the samples")
    return pd.DataFrame(found, columns=_VOTES)
