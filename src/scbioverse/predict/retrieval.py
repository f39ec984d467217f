"""Retrieval: rows scored by texts, the best texts of each row, and similar rows, of this table or another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._slots import columns_of
from ..errors import InputError, MissingKeyError
from ..llm.prompts import clean_text
from .embedding import represent_rows
from .neighbours import Metric, View, compared_views, known_rows, nearest_rows

if TYPE_CHECKING:
    from anndata import AnnData

    from .._slots import Slots
    from ..models import BioVerse
    from .embedding import Representation

Float = NDArray[np.float32]
# Longer texts say no more to the model, which reads 256 tokens.
MOST_CHARS = 2000
MOST_SCORED = 1000
# Texts of which each row keeps a few; each is read by the lower part of the language model once.
MOST_SEARCHED = 200_000
TOP_K = 10


@dataclass(frozen=True)
class Texts:
    """Texts to compare with rows.

    Attributes
    ----------
    names
        What each is called in the results, different from one another.
    texts
        What the model reads.
    several
        Whether a list was meant, be it of one text.
    """

    names: list[str]
    texts: list[str]
    several: bool = True


@dataclass(frozen=True, eq=False)
class Found:
    """Results of a retrieval, by what their slots end in.

    Attributes
    ----------
    obs, obsm
        Suffix of the slot to values.
    record
        What is recorded of this way of searching.
    embedded
        Representation of the rows that was made or read, if any.
    """

    obs: dict[str, Any]
    obsm: dict[str, Any]
    record: dict[str, Any]
    embedded: Representation | None = field(default=None)


def read_texts(query: Any, text_key: str, *, searched: bool) -> Texts:
    """Read one text, a list, a mapping from names to texts, or the different texts of a table's column.

    Parameters
    ----------
    searched
        Each row keeps the best few, so that there may be many.

    Raises
    ------
    MissingKeyError
        The table has no such column.
    InputError
        There is no text, one is empty or too long, there are too many, or two have one name.
    """
    if hasattr(query, "obs"):
        column = _column_texts(query, text_key)
        return Texts(column, column)
    if isinstance(query, str):
        said = clean_text(query, max_chars=MOST_CHARS)
        return Texts([said], [said], several=False)
    raw = list(query.values()) if isinstance(query, Mapping) else list(query) if isinstance(query, Sequence) else []
    if not raw or not all(isinstance(one, str) for one in raw):
        raise InputError("query must be one text, a list of texts, or a mapping from names to texts; it must hold one.")
    most = MOST_SEARCHED if searched else MOST_SCORED
    if len(raw) > most:
        raise InputError(f"{len(raw)} texts are too many; at most {most}. With direction='text' pass top_k=.")
    texts = [clean_text(one, max_chars=MOST_CHARS) for one in raw]
    names = [clean_text(str(one)) for one in query] if isinstance(query, Mapping) else texts
    if len(set(names)) < len(names):
        raise InputError("two texts have the same name or wording; give each once.")
    return Texts(names, texts)


def _column_texts(table: AnnData, text_key: str) -> list[str]:
    if text_key not in table.obs:
        raise MissingKeyError(
            f"query.obs has no column {text_key!r} (found: {list(map(str, table.obs.columns)) or 'none'}). Name the "
            "column of texts with text_key=."
        )
    column = table.obs[text_key].astype(object).dropna()
    texts = [text for text in dict.fromkeys(" ".join(str(one).split()) for one in column) if text]
    if not 1 <= len(texts) <= MOST_SEARCHED:
        raise InputError(
            f"query.obs[{text_key!r}] holds {len(texts)} different texts; 1 to {MOST_SEARCHED} can be read."
        )
    return texts


def score_texts(embedded: Representation, wanted: Texts, model: BioVerse, modality: str, *, scale: str) -> Found:
    """Score every row by every text: their cosine in the shared space, `"zscore"`: standardised over the rows."""
    scores = model.coordinates(embedded.values, modality) @ model.text_coordinates(wanted.texts).T
    if scale == "zscore":
        spread = scores.std(axis=0)
        scores = (scores - scores.mean(axis=0)) / np.where(spread > 0, spread, 1)
    table = pd.DataFrame(scores.astype(np.float32), columns=columns_of(wanted.names))
    texts = [{"name": name, "text": text} for name, text in zip(wanted.names, wanted.texts, strict=True)]
    record = {"texts": texts, "scale": scale, "embedding": embedded.slot}
    if not wanted.several:
        return Found({"": table.iloc[:, 0].to_numpy()}, {}, record, embedded)
    return Found({}, {"": table}, record, embedded)


def best_texts(embedded: Representation, wanted: Texts, model: BioVerse, modality: str, top_k: int) -> Found:
    """Find the `top_k` texts nearest to each row in the space shared with text."""
    view = View(model.coordinates(embedded.values, modality), model.text_coordinates(wanted.texts))
    found = _best([view], min(top_k, len(wanted.texts)), wanted.names)
    return Found(found.obs, found.obsm, found.record | {"n_texts": len(wanted.texts)}, embedded)


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
    theirs = query_modality or modality
    if not hasattr(other, "obsm"):
        raise InputError(
            f"direction='similar' needs rows: pass an AnnData or None as query, not {type(table).__name__}."
        )
    if theirs != modality and use_rep is not None:
        raise InputError("rows of two modalities meet in the space shared with text: leave use_rep out.")
    embedded: Representation | None
    if theirs == modality:
        views, embedded = compared_views(
            adata, other, model, modality=modality, use_rep=use_rep, metric=metric, key=key, layer=layer, slots=slots
        )
    else:
        embedded = represent_rows(adata, model, modality=modality, key=key, layer=layer, slots=slots)
        second = represent_rows(other, model, modality=theirs, slots=slots)
        views = [View(model.coordinates(embedded.values, modality), model.coordinates(second.values, theirs))]
    most = known_rows(views).size - (table is None)
    if most < 1:
        raise InputError(f"{other.n_obs} row(s) hold nothing to compare with.")
    found = _best(views, min(top_k, most), [str(one) for one in other.obs_names], same=table is None)
    space = use_rep or ("embedding" if theirs == modality else "shared")
    record = found.record | {"n_rows": other.n_obs, "query_modality": theirs, "space": space}
    return Found(found.obs, found.obsm, record, embedded)


def _best(views: Sequence[View], k: int, names: Sequence[str], *, same: bool = False) -> Found:
    near = nearest_rows(views, k, same=same)
    called = np.array([*names, ""], dtype=object)  # the last is for rows without neighbours, whose position is -1
    obs = {"": called[near.rows[:, 0]], "_score": near.similarity[:, 0]}
    return Found(obs, {"": near.similarity, "_rows": near.rows}, {"top_k": near.rows.shape[1]})
