"""How published labels and found ones stand to each other in the Cell Ontology."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from ..errors import InputError, check_columns
from ..get._labelled import Labelled, texts
from ..knowledge import load_ontology, resolve_labels
from ._style import NOT_TYPES

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from numpy.typing import NDArray

# What can be said of a found label beside a published one, from agreement to contradiction.
SAME, NARROWER, BROADER, OTHER, UNREAD, UNKNOWN = (
    "same term", "more specific", "less specific", "another type", "cannot be compared", "unknown",
)  # fmt: skip
RELATIONS = (SAME, NARROWER, BROADER, OTHER, UNREAD, UNKNOWN)
AGREEING = (SAME, NARROWER, BROADER)


@dataclass(frozen=True)
class Agreement:
    """Published and found labels of the cells that have a published one."""

    rows: NDArray[np.bool_]  # bool (n_obs,): which cells have a published label that names a type
    shares: pd.DataFrame  # one row a published label, one column a found one, in the ontology's order
    counts: pd.Series  # cells of each published label
    relations: pd.DataFrame  # as `shares`: one of `RELATIONS`

    def relation_of_cells(self, published: pd.Series, found: pd.Series) -> NDArray[np.object_]:
        """Return the relation of every cell of :attr:`rows`."""
        at = self.relations.stack()
        return at.loc[list(zip(published, found, strict=True))].to_numpy(object)


def compared(adata: AnnData, label_key: str, key: str | None) -> tuple[Agreement, pd.Series, pd.Series]:
    """Compare `obs[label_key]` with what `annotate` found, and return both for the cells compared."""
    adata, slots = Labelled.of(adata, key)
    advice = "Run sb.tl.annotate(adata) first, and name the published labels with label_key=."
    check_columns(adata.obs, (label_key, slots.label), advice)
    published, found = (texts(adata.obs[column]) for column in (label_key, slots.label))
    named = ~published.fillna("").str.strip().str.lower().isin(NOT_TYPES)
    rows = (named & found.notna()).to_numpy()
    if not rows.any():
        raise InputError(f"no cell has a label that names a type in {label_key!r} and one in {slots.label!r}.")
    published, found = published[rows], found[rows]
    names = sorted(set(published))
    theirs = {name: one.cl_id or "" for name, one in zip(names, resolve_labels(names), strict=True)}
    ids = adata.obs.get(slots.cl_id, pd.Series("", index=adata.obs_names)).astype(object).fillna("")[rows]
    ours = {name: str(one) for name, one in zip(found, ids, strict=True)}
    table = pd.crosstab(published.to_numpy(), found.to_numpy())
    table = table.loc[_ordered(theirs), [one for one in _ordered(ours) if one in table.columns]]
    relations = pd.DataFrame(
        [[_relation(row, theirs[row], column, ours[column]) for column in table.columns] for row in table.index],
        index=table.index,
        columns=table.columns,
    )
    counts = table.sum(axis=1)
    return Agreement(rows, table.div(counts, axis=0), counts, relations), published, found


def _relation(name: str, theirs: str, label: str, ours: str) -> str:
    ontology = load_ontology()
    if name == label or (theirs and theirs == ours):
        return SAME
    if label.strip().lower().startswith("unknown") and not ours:
        return UNKNOWN
    if theirs not in ontology or ours not in ontology:
        return UNREAD
    if ontology.is_within(ours, theirs):
        return NARROWER
    return BROADER if ontology.is_within(theirs, ours) else OTHER


def _ordered(ids: dict[str, str]) -> list[str]:
    """Return names so that kin stand side by side: by the path from the ontology's root, those without a term last."""
    ontology = load_ontology()

    def path(name: str) -> tuple[bool, list[str], str]:
        cl_id = ids[name]
        if cl_id not in ontology:
            return True, [], name
        # Ancestors by depth are the path where a term has one parent, and near it where it has several.
        above = sorted(ontology.ancestors(cl_id), key=lambda one: (ontology.depth(one), one))
        return False, [*above, cl_id], name

    return sorted(ids, key=path)
