"""`sb.tl.retrieve`: rows by text, texts by row, and rows by row, of one modality or two."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from .._device import Rng, as_seed
from .._slots import Slots, anndata_of, check_target, left_by, takes_mudata, write_results
from ..errors import InputError, check_choice
from ..predict.embedding import represent_rows
from ..predict.retrieval import (
    TOP_K,
    best_texts,
    fitting_rows,
    has_words,
    known_rows_near,
    read_texts,
    score_texts,
    similar_rows,
)

if TYPE_CHECKING:
    from anndata import AnnData

    from ..models import BioVerse
    from ..predict.neighbours import Metric

Query = str | Sequence[str] | Mapping[str, str]
BY_TEXT = ("cells", "rows")


@takes_mudata
def retrieve(
    adata: AnnData,
    query: Query | AnnData | None,
    *,
    direction: Literal["cells", "rows", "text", "similar"] = "cells",
    model: str | Path | BioVerse = "bioverse-small",
    scale: Literal["probability", "cosine", "zscore"] = "probability",
    name: str | None = None,
    key_added: str = "bioverse",
    modality: str = "cell",
    key: str | None = None,
    layer: str | None = None,
    text_key: str = "text",
    reference: AnnData | None = None,
    top_k: int | None = None,
    query_modality: str | None = None,
    use_rep: str | None = None,
    metric: Metric = "cosine",
    device: str = "auto",
    rng: Rng = None,
    copy: bool = False,
) -> AnnData | None:
    """Score every row by a text, find the best texts for every row, or similar rows.

    Words about cells are linked to cell types with their kinds, to genes and to descriptions (the Cell Ontology's
    definitions, RefSeq's summaries of marker genes), with "and", "or" and "not"; the score is the probability of the
    types that are meant. Words that link to nothing fit nothing. Other scales, texts for rows and rows of two
    modalities compare unit vectors in the space shared with text, of which a small model understands names best.

    Parameters
    ----------
    adata
        What the model's encoder reads.
    query
        One text, a list of texts, or a mapping from short names to texts. An AnnData: the texts in its column
        `text_key` (`direction="text"`), or its rows (`"similar"`). None: the rows of `adata` itself (`"similar"`).
    direction
        `"rows"`, also called `"cells"`: a score for every row and text. `"text"`: for every row the best of several
        texts. `"similar"`: for every row the most similar rows of `query`.
    model
        A model with a text space: name, path or model.
    scale
        `"probability"`: by what the words mean, 0 to 1; cosine where the model has no vocabulary of types, and for
        proteins. `"cosine"`: nearness in the text space, -1 to 1. `"zscore"`: that, standardised over the rows.
    name, key_added, modality, key, layer
        What the slots end in, the first free number if not given; the rest as for :func:`scbioverse.tl.annotate`.
    text_key
        Column of `query.obs`, or of `reference.obs`, with texts.
    reference
        Molecules or proteins with texts: the nearest of them vote on the words, beside the model's phrases; with
        `direction="text"` and other scales their words are compared with the texts, too, and of molecules those of the
        caption that :func:`scbioverse.tl.describe` puts together, best with names in `obs["name"]`.
    top_k
        Keep so many of the best texts or rows; 10 if not given, where `query` is no mere list. A list may then be long.
    query_modality
        What a row of `query` is, if not what a row of `adata` is. Rows of two modalities are compared in the space
        shared with text, those of one by their embeddings, molecules with a SMILES by their fingerprints as well.
    use_rep, metric
        Representation in `obsm` of both, and how it is compared: see :func:`scbioverse.tl.describe`.
    device, rng, copy
        As for :func:`scbioverse.tl.embed`; nothing is drawn.

    Returns
    -------
    None, or the copy. Sets `obs["bioverse_retrieve_0"]`, the score of one text (float32; NaN where nothing fits), with
    `obs["bioverse_retrieve_0_fits"]`, more likely than not; or the name of the best text or row, whose score is in
    `obs["bioverse_retrieve_0_score"]`; `obsm["bioverse_retrieve_0"]`, scores of several texts in a DataFrame (n_obs,
    n_texts), or of the best few in an array (n_obs, top_k); then `obsm["bioverse_retrieve_0_rows"]`, int64, which they
    are, -1 for rows without an embedding; `uns["bioverse"]["retrieve_0"]`.

    Raises
    ------
    InputError
        There is no text, one is empty or too long, the model has no text space, or an option does not fit.
    MissingKeyError
        `text_key` or `use_rep` is not there.

    Examples
    --------
    >>> sb.tl.retrieve(adata, "cells that kill virus-infected cells")
    >>> adata.obs[adata.obs["bioverse_retrieve_0_fits"]]["cell_type"].value_counts()
    >>> sb.tl.retrieve(adata, ["B cells or NK cells", "T cells but not CD8 T cells", "cells expressing CD3D"])
    """
    from ..models import load

    check_target(adata)
    query = anndata_of(query, query_modality or modality)
    reference = anndata_of(reference, modality)
    table = hasattr(query, "obs")
    few = direction == "similar" or table or top_k is not None  # each row keeps the best few
    _check_options(direction, scale, top_k, table, use_rep, query_modality, reference, modality)
    texts = None if direction == "similar" else read_texts(query, text_key, searched=few)
    one_each = direction == "text" and not few  # each row gets the best of the texts
    if one_each and texts is not None and len(texts.texts) < 2:
        raise InputError("direction='text' finds the best of several texts; pass two or more.")
    slots = Slots(key_added)
    slot = slots.retrieve(_suffix(adata, slots, name))
    step, in_obs, in_obsm = slot.removeprefix(f"{Slots.key}_"), [f"{slot}_fits", f"{slot}_score"], f"{slot}_rows"
    check_target(adata, step, [slot], in_obs, [slot, in_obsm])
    loaded = load(model, device=device)
    where: dict[str, Any] = {"modality": modality, "key": key, "layer": layer, "slots": slots}
    by_words = scale == "probability" and direction in BY_TEXT
    if texts is None:
        how: dict[str, Any] = {"query_modality": query_modality, "use_rep": use_rep, "metric": metric}
        found = similar_rows(adata, query, loaded, top_k or TOP_K, **how, **where)
    elif by_words and has_words(loaded, modality, reference=reference is not None):
        rows = represent_rows(adata, loaded, **where)
        found = fitting_rows(rows, texts, loaded, reference=reference, text_key=text_key, **where)
    else:
        rows, known = represent_rows(adata, loaded, **where), None
        if reference is not None:
            known = known_rows_near(adata, reference, text_key, loaded, written=True, **where)
        if few:
            found = best_texts(rows, texts, loaded, modality, top_k or TOP_K, known)
        else:
            shown = "zscore" if scale == "zscore" else "cosine"
            found = score_texts(rows, texts, loaded, modality, scale=shown, known=known)
    obs = {f"{slot}{suffix}": values for suffix, values in found.obs.items()}
    obsm = {f"{slot}{suffix}": values for suffix, values in found.obsm.items()}
    if one_each and texts is not None:
        scores = obsm[slot].to_numpy()
        obs[slot] = pd.Categorical.from_codes(scores.argmax(axis=1), pd.Index(texts.names))
        obs[f"{slot}_score"] = scores.max(axis=1)
    obsm = {at: one.set_index(adata.obs_names) if isinstance(one, pd.DataFrame) else one for at, one in obsm.items()}
    record = {
        "model": loaded.name,
        "fingerprint": loaded.fingerprint(),
        "direction": direction,
        "modality": modality,
        "layer": layer,
        "key": key,
        **({"text_key": text_key if texts else None, "use_rep": use_rep, "metric": metric} if few else {}),
        **found.record,
        "seed": as_seed(rng),
    }
    made, records = ({}, {}) if found.embedded is None else (found.embedded.obsm, found.embedded.records)
    # What an earlier search of this name left would be taken for this one's.
    left, left_obsm = left_by(adata, step, [slot, *in_obs], obs), left_by(adata, step, [slot, in_obsm], obsm)
    return write_results(
        adata, "retrieve", obs=obs, obsm=made | obsm, records=records | {step: record}, drop=left,
        drop_obsm=left_obsm, copy=copy,
    )  # fmt: skip


def _check_options(
    direction: str, scale: str, top_k: int | None, table: bool, use_rep: str | None, query_modality: str | None,
    reference: AnnData | None, modality: str,
) -> None:  # fmt: skip
    by_text = direction in BY_TEXT
    if not by_text and direction not in ("text", "similar"):
        raise InputError(f"direction={direction!r}; choose 'rows', 'text' or 'similar'.")
    if top_k is not None and (top_k < 1 or by_text):
        raise InputError(f"top_k={top_k} keeps the best texts or rows of each row: a positive number, not for 'rows'.")
    if direction != "similar" and (use_rep is not None or query_modality is not None):
        raise InputError(f"use_rep and query_modality are for direction='similar', not {direction!r}.")
    if by_text and table:
        raise InputError("an AnnData as query is searched for each row: direction='text' (its texts) or 'similar'.")
    check_choice("scale", scale, "probability", "cosine", "zscore")
    if reference is not None and (modality == "cell" or direction == "similar"):
        raise InputError("reference is for molecules or proteins and texts: direction='rows' or 'text'.")
    if scale == "zscore" and (direction == "similar" or table or top_k is not None):
        raise InputError("scale='zscore' compares texts with one another over the rows; it does not go with top_k.")


def _suffix(adata: AnnData, slots: Slots, name: str | None) -> str:
    """Return what the slots end in: the name that was given, else the first free number."""
    if name is None:
        taken = {*adata.obs, *adata.obsm}
        return next(str(n) for n in range(len(taken) + 1) if slots.retrieve(n) not in taken)
    # It becomes part of a name in files, where "/" would open a group.
    if not re.fullmatch(r"[\w.-]{1,60}", name):
        raise InputError(f"name={name[:60]!r} becomes part of a slot's name: letters, digits, '_', '.' and '-' only.")
    return name
