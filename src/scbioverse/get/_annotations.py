"""`sb.get.annotation` and its siblings: what `tl.annotate` found, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from .._keys import Slots
from .._record import read_record
from ..errors import MissingKeyError

if TYPE_CHECKING:
    from anndata import AnnData


def annotation(adata: AnnData, *, key: str = "bioverse") -> pd.DataFrame:
    """Label, confidence, ontology id and reason of every row.

    Parameters
    ----------
    adata
        Data that :func:`scbioverse.tl.annotate` wrote to.
    key
        The stem that `key_added` was.

    Returns
    -------
    One row an observation: `label`, `confidence` (0 to 1), `cl_id`, `rationale`.

    Raises
    ------
    MissingKeyError
        There are no annotations with this stem.
    """
    slots = Slots(key)
    columns = {"label": slots.label, "confidence": slots.confidence, "cl_id": slots.cl_id, "rationale": slots.rationale}
    absent = [slot for slot in columns.values() if slot not in adata.obs]
    if absent:
        raise MissingKeyError(f"adata.obs has no {absent}. Run scbioverse.tl.annotate(adata, key_added={key!r}) first.")
    return pd.DataFrame({name: adata.obs[slot] for name, slot in columns.items()}, index=adata.obs_names)


def labels(adata: AnnData, *, key: str = "bioverse") -> pd.DataFrame:
    """Return the candidates and what each was taken for.

    Parameters
    ----------
    adata
        Data that :func:`scbioverse.tl.annotate` wrote to.
    key
        The stem that `key_added` was.

    Returns
    -------
    One row a candidate: `name` as given, `text` that the language model was asked for, `cl_id`, `term` (the ontology's
    name), `how` it was resolved, `description`, `column` in the score table, and `n`, the rows with this label.

    Raises
    ------
    MissingKeyError
        There are no annotations with this stem.
    """
    slots = Slots(key)
    table = pd.DataFrame(read_record(adata, _step(slots))["labels"])
    counts = adata.obs[slots.label].value_counts() if slots.label in adata.obs else pd.Series(dtype=int)
    table["n"] = [int(counts.get(name, 0)) for name in table["name"]]
    return table


def groups(adata: AnnData, *, key: str = "bioverse") -> pd.DataFrame:
    """Return the answer for each group, after `annotate(groupby=...)`.

    Parameters
    ----------
    adata
        Data that :func:`scbioverse.tl.annotate` wrote to.
    key
        The stem that `key_added` was.

    Returns
    -------
    One row a group: `group`, `n` rows, `label`, `confidence` (0 to 1), and `agreement`, the share of its rows whose own
    best label is the group's. No rows if every row was labelled by itself.

    Raises
    ------
    MissingKeyError
        There are no annotations with this stem.
    """
    found = read_record(adata, _step(Slots(key)))["groups"]
    proposed = ["proposed"] if any("proposed" in row for row in found) else []
    return pd.DataFrame(found, columns=["group", "n", "label", "confidence", "agreement", *proposed])


def scores(adata: AnnData, *, key: str = "bioverse") -> pd.DataFrame:
    """Log-probability of every candidate, under the candidates' own names.

    Parameters
    ----------
    adata
        Data that :func:`scbioverse.tl.annotate` wrote to.
    key
        The stem that `key_added` was.

    Returns
    -------
    One row an observation, one column a candidate; float32, natural logarithm.

    Raises
    ------
    MissingKeyError
        There are no scores with this stem.
    """
    slots = Slots(key)
    if slots.scores not in adata.obsm:
        raise MissingKeyError(
            f"adata.obsm[{slots.scores!r}] is missing (found: {sorted(adata.obsm) or 'nothing'}). "
            f"Run scbioverse.tl.annotate(adata, key_added={key!r}) first."
        )
    names = {one["column"]: one["name"] for one in read_record(adata, _step(slots))["labels"]}
    return adata.obsm[slots.scores].rename(columns=names)


def _step(slots: Slots) -> str:
    return "annotate" if slots.key == Slots().key else f"annotate_{slots.key}"
