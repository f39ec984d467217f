"""Retrieval among many: the best texts of a long list, and similar rows, of this table or another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ask.neighbours import Metric, Neighbours, View, compared_views, known_rows, nearest_rows
from ..errors import InputError, MissingKeyError
from ..predict.embedding import represent_rows

if TYPE_CHECKING:
    from anndata import AnnData

    from .._keys import Slots
    from ..models import BioVerse
    from ..predict.embedding import Representation

# Texts of a column; each is read by the lower part of the language model once.
MOST_COLUMN = 200_000
TOP_K = 10


@dataclass(frozen=True, eq=False)
class Found:
    """The best of many for every row.

    Attributes
    ----------
    near
        Their positions and scores, the best first.
    names
        What the positions stand for: texts, or names of rows.
    embedded
        Representation of the rows that was made or read, if any.
    record
        What goes into the record.
    """

    near: Neighbours
    names: list[str]
    embedded: Representation | None
    record: dict[str, Any]

    def values(self, slot: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what goes into `obs` and `obsm`."""
        best = self.near.rows[:, 0]
        names = np.array(["" if row < 0 else self.names[row] for row in best], dtype=object)
        obs = {slot: names, f"{slot}_score": self.near.similarity[:, 0]}
        return obs, {slot: self.near.similarity, f"{slot}_rows": self.near.rows}


def column_texts(table: AnnData, text_key: str) -> list[str]:
    """Different texts of a column, in order of appearance.

    Raises
    ------
    MissingKeyError
        There is no such column.
    InputError
        It holds no text, or too many.
    """
    if text_key not in table.obs:
        raise MissingKeyError(
            f"query.obs has no column {text_key!r} (found: {list(map(str, table.obs.columns)) or 'none'}). Name the "
            "column of texts with text_key=."
        )
    column = table.obs[text_key].astype(object)
    raw = (" ".join(str(one).split()) for one in column if one is not None and one == one)
    texts = list(dict.fromkeys(text for text in raw if text))
    if not texts or len(texts) > MOST_COLUMN:
        raise InputError(f"query.obs[{text_key!r}] holds {len(texts)} different texts; 1 to {MOST_COLUMN} can be read.")
    return texts


def best_texts(
    adata: AnnData,
    texts: list[str],
    names: list[str],
    model: BioVerse,
    top_k: int,
    *,
    modality: str,
    key: str | None,
    layer: str | None,
    slots: Slots,
) -> Found:
    """Find the `top_k` texts nearest to each row in the space shared with text."""
    embedded = represent_rows(adata, model, modality=modality, key=key, layer=layer, slots=slots)
    view = View(model.coordinates(embedded.values, modality), model.text_coordinates(texts))
    near = nearest_rows([view], min(top_k, len(texts)))
    return Found(near, names, embedded, {"n_texts": len(texts), "top_k": near.rows.shape[1]})


def similar_rows(
    adata: AnnData,
    table: AnnData | None,
    model: BioVerse,
    top_k: int,
    *,
    modality: str,
    query_modality: str | None,
    use_rep: str | None,
    metric: Metric,
    key: str | None,
    layer: str | None,
    slots: Slots,
) -> Found:
    """Find the `top_k` rows of a table, or of `adata` itself, that are most similar to each row.

    Rows of one modality are compared by their embeddings (molecules by fingerprints as well), rows of two in the space
    shared with text.
    """
    other = adata if table is None else table
    if not hasattr(other, "obsm"):
        raise InputError(
            f"direction='similar' needs rows: pass an AnnData or None as query, not {type(table).__name__}."
        )
    theirs = query_modality or modality
    embedded: Representation | None
    if theirs == modality:
        views, embedded = compared_views(
            adata, other, model, modality=modality, use_rep=use_rep, metric=metric, key=key, layer=layer, slots=slots
        )
        space = use_rep or "embedding"
    else:
        if use_rep is not None:
            raise InputError("rows of two modalities meet in the space shared with text: leave use_rep out.")
        embedded = represent_rows(adata, model, modality=modality, key=key, layer=layer, slots=slots)
        second = represent_rows(other, model, modality=theirs, slots=slots)
        views = [View(model.coordinates(embedded.values, modality), model.coordinates(second.values, theirs))]
        space = "shared"
    most = known_rows(views).size - (table is None)
    if most < 1:
        raise InputError(f"{other.n_obs} row(s) hold nothing to compare with.")
    near = nearest_rows(views, min(top_k, most), same=table is None)
    record = {"n_rows": other.n_obs, "top_k": near.rows.shape[1], "query_modality": theirs, "space": space}
    return Found(near, [str(one) for one in other.obs_names], embedded, record)
