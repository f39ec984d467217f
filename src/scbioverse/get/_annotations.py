"""`sb.get.annotation` and its siblings: what `tl.annotate` found, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from .._slots import Slots, anndata_of, read_record
from .._warn import warn
from ..errors import InputError, MissingKeyError
from ._now import annotate_record, counts_of, groups_now, labels_now, named, warn_of_changes

if TYPE_CHECKING:
    from anndata import AnnData

_COLUMNS = ["name", "cl_id", "term", "how", "because", "description", "genes", "column"]
_GROUPS = ["group", "n", "label", "confidence", "agreement"]
NOT_RECORDED = "not recorded"


def annotation(adata: AnnData, *, key: str = "bioverse") -> pd.DataFrame:
    """Label, confidence, ontology id and reason of every row.

    Parameters
    ----------
    adata, key
        Data that :func:`scbioverse.tl.annotate` wrote to, and the stem that `key_added` was.

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
    adata = anndata_of(adata, holds=slots.label)
    absent = [slot for slot in columns.values() if slot not in adata.obs]
    if absent:
        raise MissingKeyError(f"adata.obs has no {absent}. Run scbioverse.tl.annotate(adata, key_added={key!r}) first.")
    return pd.DataFrame({name: adata.obs[slot] for name, slot in columns.items()}, index=adata.obs_names)


def labels(adata: AnnData, *, key: str = "bioverse") -> pd.DataFrame:
    """Return the labels: the candidates and what each was taken for, and whatever else `obs` holds now.

    Parameters
    ----------
    adata, key
        Data that :func:`scbioverse.tl.annotate` wrote to, and the stem that `key_added` was.

    Returns
    -------
    One row a candidate: `name` as given, `cl_id`, `term` (the ontology's name), `how` it was resolved, `because` of
    which other names where it has several readings, `description` and `genes` that were given for it, `column` in the
    score table, and `n`, the rows with this label now.
    Then one row for every other label in `obs`, so that `n` sums to the labelled rows; `how` is `"parent"` of a term
    that candidates share, `"unknown"` of rows that none was found for, and `"not recorded"` of names that the last
    annotation did not give: renamed categories, rows joined from other data.

    Raises
    ------
    MissingKeyError
        There are no annotations with this stem.
    """
    slots = Slots(key)
    adata = anndata_of(adata, holds=slots.label)
    try:
        record = read_record(adata, slots.step("annotate"))
    except MissingKeyError:
        if slots.label not in adata.obs:
            raise
        record = {"labels": []}  # of data that were joined: obs alone tells
    counts = counts_of(labels_now(adata, slots))
    table = pd.DataFrame(record["labels"], columns=_COLUMNS)
    known = set(table["name"])
    parents = {one["name"]: one["cl_id"] for one in record.get("parents") or ()}
    more = [
        {"name": name, "cl_id": parents[name], "how": "parent"} if name in parents else _other(adata, slots, name)
        for name in counts
        if name not in known
    ]
    table = pd.concat([table, pd.DataFrame(more, columns=_COLUMNS)], ignore_index=True) if more else table
    # Of most labels there is nothing to say here, and no record of it.
    table["because"] = [one if isinstance(one, str) else "" for one in table["because"]]
    table["genes"] = [", ".join(genes) if isinstance(genes, list) else "" for genes in table["genes"]]
    # Of obs as it is, so that it sums to the labelled rows whatever was renamed.
    table["n"] = [counts.get(name, 0) for name in table["name"]]
    return table


def _other(adata: AnnData, slots: Slots, name: str) -> dict[str, Any]:
    """Return what `obs` tells of a label that was not recorded."""
    mine = (labels_now(adata, slots) == name).to_numpy()
    ids = set(adata.obs[slots.cl_id][mine].dropna().astype(str)) if slots.cl_id in adata.obs else set()
    unknown = name.startswith("unknown") and not ids - {""}
    cl_id = next(iter(ids)) if len(ids) == 1 else ""
    return {"name": name, "cl_id": cl_id or None, "how": "unknown" if unknown else NOT_RECORDED}


def groups(adata: AnnData, *, key: str = "bioverse") -> pd.DataFrame:
    """Return the answer for each group, after `annotate(groupby=...)` or where groups were found.

    Parameters
    ----------
    adata, key
        Data that :func:`scbioverse.tl.annotate` wrote to, and the stem that `key_added` was.

    Returns
    -------
    One row a group: `group`, `n` rows, `label`, `confidence` (0 to 1), and `agreement`, the share of its rows whose own
    best label is the group's; where names were found or written, what was `proposed`; where they were found, which
    broad types its rows are each `alone`, with the share of each, and what the language model `read` and said.
    Of groups that were found (`annotate` without labels), what was recorded: their rows have labels of their own, of
    which the commonest is shown. No rows if every row was labelled by itself. Else rows, labels and confidences are
    those in `obs` now: a group whose rows were cut, joined or renamed since gets a row for each label it holds, with
    NaN for the agreement.

    Raises
    ------
    MissingKeyError
        There are no annotations with this stem, or the column of groups is gone.

    Warns
    -----
    UserWarning
        Groups are not as they were when they were labelled.
    """
    slots = Slots(key)
    adata = anndata_of(adata, holds=slots.label)
    record = annotate_record(adata, slots)
    if record.get("found"):
        warn_of_changes(adata, slots, "the table of groups")
        return pd.DataFrame(record["found"])
    found = record["groups"]
    more = [one for one in ("proposed", "alone", "read") if any(one in row for row in found)]
    table = pd.DataFrame(found, columns=[*_GROUPS, *more])
    return groups_now(adata, slots, record, table) if found else table


def scores(adata: AnnData, *, key: str = "bioverse") -> pd.DataFrame:
    """Log-probability of every candidate, under the candidates' own names.

    Parameters
    ----------
    adata, key
        Data that :func:`scbioverse.tl.annotate` wrote to, and the stem that `key_added` was.

    Returns
    -------
    One row an observation, one column a candidate; float32, natural logarithm.

    Raises
    ------
    MissingKeyError
        There are no scores with this stem.
    InputError
        The slot holds something else.

    Warns
    -----
    UserWarning
        Candidates' columns went lost, or others came in, as where data were joined.
    """
    slots = Slots(key)
    adata = anndata_of(adata, holds=slots.label)
    if slots.scores not in adata.obsm:
        raise MissingKeyError(
            f"adata.obsm[{slots.scores!r}] is missing (found: {sorted(adata.obsm) or 'nothing'}). "
            f"Run scbioverse.tl.annotate(adata, key_added={key!r}) first."
        )
    stored = adata.obsm[slots.scores]
    if not isinstance(stored, pd.DataFrame):
        raise InputError(
            f"adata.obsm[{slots.scores!r}] is {type(stored).__name__}, not the table that tl.annotate writes there. "
            "Annotate again, or read your own values from obsm."
        )
    # Columns have names that files take; here the user's own stand.
    names = {one["column"]: one["name"] for one in annotate_record(adata, slots)["labels"]}
    gone, new = [names[one] for one in names if one not in stored], [one for one in stored if one not in names]
    if gone or new:
        said = [f"no scores of {named(gone)}, so that a row no longer sums to one"] if gone else []
        said += [f"columns that were not recorded ({named(map(str, new))})"] if new else []
        warn(
            f"adata.obsm[{slots.scores!r}] is not as scbioverse.tl.annotate left it: it holds {' and '.join(said)}. "
            "Joining data keeps only the columns that all have; annotate the joined data again."
        )
    return stored.rename(columns=names)
