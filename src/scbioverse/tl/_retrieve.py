"""`sb.tl.retrieve`: rows by text, texts by row, and rows by row, of one modality or two."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._keys import Slots
from .._mudata import anndata_of, is_mudata, on_part
from .._random import Rng, as_seed
from .._results import check_target, own_copy, write_results
from ..errors import InputError
from ..predict.calls import columns_of
from ..predict.embedding import represent_rows
from ._retrieve_rows import MOST_COLUMN, TOP_K, best_texts, column_texts, similar_rows

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from ..ask.neighbours import Metric
    from ..models import BioVerse

Float = NDArray[np.float32]
Query = str | Sequence[str] | Mapping[str, str]
# Longer texts say no more to the model, which reads 256 tokens.
MOST_CHARS = 2000
MOST_TEXTS = 1000


def retrieve(
    adata: AnnData,
    query: Query | AnnData | None,
    *,
    direction: Literal["cells", "rows", "text", "similar"] = "cells",
    model: str | Path | BioVerse = "bioverse-small",
    scale: Literal["cosine", "zscore"] = "cosine",
    name: str | None = None,
    key_added: str = "bioverse",
    modality: str = "cell",
    key: str | None = None,
    layer: str | None = None,
    text_key: str = "text",
    top_k: int | None = None,
    query_modality: str | None = None,
    use_rep: str | None = None,
    metric: Metric = "cosine",
    device: str = "auto",
    rng: Rng = None,
    copy: bool = False,
) -> AnnData | None:
    """Score every row by how near it lies to a text, find the best texts for every row, or similar rows.

    Rows and texts are compared as unit vectors in the space shared with text, which the model learned by contrastive
    alignment. Texts like those of that training (names, definitions, marker genes) work best; what a sentence says
    beyond its words is little understood by a small language model.

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
        `"cosine"`: cosine similarity, -1 to 1, comparable between data sets. `"zscore"`: less its mean over the rows
        and divided by their standard deviation, text by text, so that texts can be compared with one another; it then
        depends on which rows there are.
    name
        What the slots end in; a number that is free if not given (`0` for the first text asked for).
    key_added
        Stem of the slot names.
    modality, key, layer
        As for :func:`scbioverse.tl.annotate`.
    text_key
        Column of `query.obs` with texts.
    top_k
        Keep so many of the best texts or rows; 10 if not given, where `query` is no mere list. With it a list may be as
        long as you like.
    query_modality
        What a row of `query` is, if not what a row of `adata` is. Rows of two modalities are compared in the space
        shared with text, those of one by their embeddings, molecules with a SMILES by their fingerprints as well.
    use_rep, metric
        Representation in `obsm` of both to find similar rows by, and how it is compared: see
        :func:`scbioverse.tl.describe`.
    device
        Where to run the model: a torch device or `"auto"`.
    rng
        Seed, kept in the record; nothing is drawn.
    copy
        Return a copy with the results and leave `adata` as it is.

    Returns
    -------
    None, or the copy. Sets, with `bioverse` standing for `key_added` and `0` for `name`:

    `obs["bioverse_retrieve_0"]`
        float32: score of one text; with `direction="text"`, categorical: the best text (its name in a mapping).
    `obs["bioverse_retrieve_0_score"]`
        float32: score of that text, `direction="text"` only.
    `obsm["bioverse_retrieve_0"]`
        DataFrame (n_obs, n_texts), float32: scores of several texts. With `top_k` and for `"similar"` instead an array
        (n_obs, top_k), the best first; `obs["bioverse_retrieve_0"]` then holds the name of the best as a string.
    `obsm["bioverse_retrieve_0_rows"]`
        int64 (n_obs, top_k): which texts of the list (of a column: of its different texts, in order) or which rows of
        `query` these are; -1 for rows without an embedding.
    `uns["bioverse"]["retrieve_0"]`
        the texts, model and versions.

    Raises
    ------
    InputError
        There is no text, one is empty or too long, `direction="text"` has one only, the model has no text space, or an
        option does not fit the direction.
    MissingKeyError
        `text_key` or `use_rep` is not there.

    Examples
    --------
    >>> import scbioverse as sb
    >>> adata = sb.datasets.pbmc3k()
    >>> sb.tl.retrieve(adata, "cells that secrete antibodies")
    >>> adata.obs.sort_values("bioverse_retrieve_0", ascending=False)["cell_type"].head()
    """
    if is_mudata(adata):
        return on_part(retrieve, locals())
    from ..models import load

    check_target(adata)
    query = anndata_of(query, query_modality or modality)
    if direction not in ("cells", "rows", "text", "similar"):
        raise InputError(f"direction={direction!r}; choose 'rows', 'text' or 'similar'.")
    if top_k is not None and (top_k < 1 or direction in ("cells", "rows")):
        raise InputError(f"top_k={top_k} keeps the best texts or rows of each row: a positive number, not for 'rows'.")
    if direction != "similar" and (use_rep is not None or query_modality is not None):
        raise InputError(f"use_rep and query_modality are for direction='similar', not {direction!r}.")
    if direction == "similar" or hasattr(query, "obs") or (top_k is not None and direction == "text"):
        return _best_of_many(
            adata, query, direction, model, scale, name, key_added, modality, key, layer, text_key, top_k,
            query_modality, use_rep, metric, device, rng, copy,
        )  # fmt: skip
    names, texts, several = _texts(query)  # an AnnData or None was taken above
    if scale not in ("cosine", "zscore"):
        raise InputError(f"scale={scale!r}; choose 'cosine' or 'zscore'.")
    if direction == "text" and len(texts) < 2:
        raise InputError("direction='text' finds the best of several texts; pass two or more.")
    slots = Slots(key_added)
    suffix = _suffix(adata, slots) if name is None else _checked(name)
    loaded = load(model, device=device)
    embedded = represent_rows(adata, loaded, modality=modality, key=key, layer=layer, slots=slots)
    scores = loaded.coordinates(embedded.values, modality) @ loaded.text_coordinates(texts).T
    if scale == "zscore":
        scores = _standardised(scores)
    target = own_copy(adata) if copy else adata
    slot = slots.retrieve(suffix)
    obs: dict[str, Any] = {}
    obsm: dict[str, Any] = dict(embedded.obsm)
    if direction == "text":
        obs[slot] = pd.Categorical.from_codes(scores.argmax(axis=1), pd.Index(names))
        obs[f"{slot}_score"] = scores.max(axis=1).astype(np.float32)
    elif not several:
        obs[slot] = scores[:, 0].astype(np.float32)
    if several:
        obsm[slot] = pd.DataFrame(scores.astype(np.float32), index=target.obs_names, columns=columns_of(names))
    step = slot.removeprefix(f"{Slots().key}_")
    record = {
        "model": loaded.name,
        "fingerprint": loaded.fingerprint(),
        "texts": [{"name": one, "text": said} for one, said in zip(names, texts, strict=True)],
        "direction": direction,
        "scale": scale,
        "modality": modality,
        "layer": layer,
        "key": key,
        "embedding": embedded.slot,
        "seed": as_seed(rng),
    }
    write_results(target, "retrieve", obs=obs, obsm=obsm, records=embedded.records | {step: record})
    return target if copy else None


def _best_of_many(
    adata: AnnData,
    query: Any,
    direction: str,
    model: str | Path | BioVerse,
    scale: str,
    name: str | None,
    key_added: str,
    modality: str,
    key: str | None,
    layer: str | None,
    text_key: str,
    top_k: int | None,
    query_modality: str | None,
    use_rep: str | None,
    metric: Metric,
    device: str,
    rng: Rng,
    copy: bool,
) -> AnnData | None:
    """Texts of a column or a long list, and similar rows: the best `top_k` of each row."""
    from ..models import load

    if direction in ("cells", "rows"):
        raise InputError("an AnnData as query is searched for each row: direction='text' (its texts) or 'similar'.")
    if scale != "cosine":
        raise InputError("scale='zscore' compares texts with one another over the rows; it does not go with top_k.")
    slots, wanted = Slots(key_added), TOP_K if top_k is None else top_k
    slot = slots.retrieve(_suffix(adata, slots) if name is None else _checked(name))
    loaded = load(model, device=device)
    shared: dict[str, Any] = {"modality": modality, "key": key, "layer": layer, "slots": slots}
    if direction == "similar":
        found = similar_rows(
            adata, query, loaded, wanted, query_modality=query_modality, use_rep=use_rep, metric=metric, **shared
        )
    elif hasattr(query, "obs"):
        texts = column_texts(query, text_key)
        found = best_texts(adata, texts, texts, loaded, wanted, **shared)
    else:
        names, texts, _ = _texts(query, most=MOST_COLUMN)
        found = best_texts(adata, texts, names, loaded, wanted, **shared)
    target = own_copy(adata) if copy else adata
    obs, obsm = found.values(slot)
    made = ({}, {}) if found.embedded is None else (found.embedded.obsm, found.embedded.records)
    step = slot.removeprefix(f"{Slots().key}_")
    record = dict(
        model=loaded.name,
        fingerprint=loaded.fingerprint(),
        direction=direction,
        text_key=text_key if direction == "text" else None,
        use_rep=use_rep,
        metric=metric,
        modality=modality,
        layer=layer,
        key=key,
        **found.record,
        seed=as_seed(rng),
    )
    write_results(target, "retrieve", obs=obs, obsm=made[0] | obsm, records=made[1] | {step: record})
    return target if copy else None


def _texts(query: Query, most: int = MOST_TEXTS) -> tuple[list[str], list[str], bool]:
    """Names and cleaned texts, and whether more than one was meant."""
    from ..llm.prompts import clean_text

    if isinstance(query, str):
        said = clean_text(query, max_chars=MOST_CHARS)
        return [said], [said], False
    if isinstance(query, Mapping):
        names, raw = [str(one) for one in query], list(query.values())
    else:
        raw = list(query)
        names = []
    if not raw or not all(isinstance(one, str) for one in raw):
        raise InputError("query must be one text, a list of texts, or a mapping from names to texts; it must hold one.")
    if len(raw) > most:
        raise InputError(f"{len(raw)} texts are too many; at most {most}. With direction='text' pass top_k=.")
    said_all = [clean_text(one, max_chars=MOST_CHARS) for one in raw]
    names = [clean_text(one) for one in names] or said_all
    if len(set(names)) < len(names):
        raise InputError("two texts have the same name or wording; give each once.")
    return names, said_all, True


def _suffix(adata: AnnData, slots: Slots) -> str:
    number = 0
    while slots.retrieve(number) in adata.obs or slots.retrieve(number) in adata.obsm:
        number += 1
    return str(number)


def _checked(name: str) -> str:
    if not re.fullmatch(r"[\w.-]{1,60}", name):
        raise InputError(f"name={name[:60]!r} becomes part of a slot's name: letters, digits, '_', '.' and '-' only.")
    return name


def _standardised(scores: Float) -> Float:
    spread = scores.std(axis=0, keepdims=True)
    return ((scores - scores.mean(axis=0, keepdims=True)) / np.where(spread > 0, spread, 1)).astype(np.float32)
