"""`sb.tl.annotate`: labels, confidences and checked reasons for every row."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from .._errors import InputError
from .._keys import Slots
from .._random import Rng, as_seed
from ._answers import columns_of, decide, write_answers
from ._groups import read_groups
from ._labels import Label, Labels, log_labels, read_labels
from ._reasons import reasons
from ._representation import own_copy, represent_rows

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from ..models import BioVerse

Method = Literal["score", "nearest"]
MOST_SCORED = 1000
Float = NDArray[np.float32]


def annotate(
    adata: AnnData,
    *,
    model: str | Path | BioVerse = "bioverse-small",
    labels: Labels = None,
    groupby: str | None = None,
    method: Method | None = None,
    key_added: str = "bioverse",
    modality: str = "cell",
    key: str | None = None,
    layer: str | None = None,
    min_confidence: float = 0.0,
    batch_size: int = 128,
    rng: Rng = None,
    copy: bool = False,
) -> AnnData | None:
    """Label every row with one of several candidates, and give a confidence and a reason that was checked.

    Rows are embedded first, unless `obsm` holds an embedding by the same encoder. Candidates are resolved to
    Cell Ontology terms and scored by the term's short name; the labels in `obs` are the names as they were given.

    The confidence is the probability of the label among the candidates, after the model's calibration temperature
    (`model.config.temperature`; 1 where none was fitted): on cells like those it was fitted on, about 8 in 10 labels
    with confidence 0.8 are right. It says nothing about types that are not among the candidates, and less about cells
    unlike any the model was calibrated on.

    Parameters
    ----------
    adata
        Raw counts or log-normalised values, or whatever the model's encoder reads.
    model
        Name of a model (see :func:`scbioverse.models.list_models`), path of one, or a model.
    labels
        Candidates: names; a mapping from names to Cell Ontology ids or descriptions; `"cl"` for the whole ontology
        (`method="nearest"` only); None for the model's own vocabulary.
    groupby
        Column of `obs`, such as clusters: the cells of a group get one label, by their mean log-probability.
    method
        `"score"`: probability of each name as the language model's answer, by constrained decoding. `"nearest"`:
        nearness to each label's description in the space shared with text; quicker. None: what the model was trained
        for, `"score"` if both.
    key_added
        Stem of the slot names.
    modality
        Which of the model's encoders to use.
    key
        Where the encoder finds its input, see :func:`scbioverse.tl.embed`.
    layer
        Layer to read: `X` if not given, `adata.raw` for `"raw"`.
    min_confidence
        Rows (or groups) below it are labelled `"unknown"`.
    batch_size
        Rows that the language model reads at once. The result does not depend on it.
    rng
        Seed, kept in the record; nothing is drawn.
    copy
        Return a copy with the results and leave `adata` as it is.

    Returns
    -------
    None, or the copy. Sets, with `bioverse` standing for `key_added`:

    `obs["bioverse_label"]`
        categorical, the label; missing only for rows without a group.
    `obs["bioverse_confidence"]`
        float32, 0 to 1.
    `obs["bioverse_rationale"]`
        string: the genes that set the cells of this label apart and are known for it, with their fractions.
    `obs["bioverse_cl_id"]`
        categorical, the label's ontology id, empty where it has none.
    `obsm["bioverse_scores"]`
        DataFrame (n_obs, n_labels), float32 log-probabilities (natural logarithm); `exp` of a row sums to 1. A "/" in a
        label is written "|" in its column's name, since files cannot hold it; see :func:`scbioverse.get.scores`.
    `obsm["X_bioverse"]`
        where it was missing or out of date.
    `obsm["X_bioverse_aligned"]`
        float32 (n_obs, d_text), coordinates in the space shared with text, if the model has one.
    `uns["bioverse"]["annotate"]`
        what each label was resolved to, model and versions, and per group its size, label and the share of its cells
        that agree.

    Raises
    ------
    InputError
        The data, the labels or the options cannot be used. `adata` is unchanged, as after every error.
    MissingKeyError
        `groupby`, `layer` or `key` is not there.
    WeightsError
        The model or its language model is not found or damaged.

    Warns
    -----
    UserWarning
        A label resolves to no term or to the same as another; cells are in no group.

    Examples
    --------
    >>> import scbioverse as sb
    >>> adata = sb.datasets.pbmc3k()
    >>> sb.tl.annotate(adata, labels=["B cell", "CD4 T cell", "CD8 T cell", "NK cell", "monocyte"])
    >>> adata.obs["bioverse_label"].value_counts()
    """
    from ..models import load

    if not 0.0 <= min_confidence <= 1.0:
        raise InputError(f"min_confidence must lie in 0 to 1, found {min_confidence}.")
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, found {batch_size}.")
    slots = Slots(key_added)
    loaded = load(model)
    chosen = _method(loaded, method)
    if not hasattr(adata, "obsm"):
        raise InputError(f"expected an AnnData, found {type(adata).__name__}.")
    groups = None if groupby is None else read_groups(adata, groupby)
    candidates = read_labels(labels, loaded)
    if chosen == "score" and len(candidates) > MOST_SCORED:
        raise InputError(
            f"{len(candidates)} candidates are too many for method='score' (at most {MOST_SCORED}); "
            "use method='nearest' or name fewer."
        )
    log_labels(candidates)
    embedded = represent_rows(adata, loaded, modality=modality, key=key, layer=layer, slots=slots)
    names = [label.name for label in candidates]
    log_probs = _log_probs(loaded, embedded.values, candidates, chosen, modality, batch_size)
    answers = decide(log_probs, names, groups, min_confidence)
    ids = [label.cl_id for label in candidates]
    sentences = reasons(adata, names, ids, answers.codes, layer=layer, key=key, modality=modality)
    aligned = None if loaded.text_space is None else loaded.coordinates(embedded.values, modality)
    record = {
        "model": loaded.name,
        "fingerprint": loaded.fingerprint(),
        "llm": loaded.config.llm.name,
        "llm_sha256": loaded.config.llm.sha256,
        "method": chosen,
        "modality": modality,
        "groupby": groupby,
        "layer": layer,
        "key": key,
        "min_confidence": min_confidence,
        "temperature": loaded.config.temperature if chosen == "score" else loaded.config.nearest_temperature,
        "labels": [
            {**asdict(label), "column": column} for label, column in zip(candidates, columns_of(names), strict=True)
        ],
        "groups": answers.groups,
        "embedding": embedded.slot,
        "seed": as_seed(rng),
    }
    target = own_copy(adata) if copy else adata
    write_answers(target, slots, embedded, candidates, answers, sentences, aligned, record)
    return target if copy else None


def _method(model: BioVerse, method: str | None) -> Method:
    """Pick the method, and refuse one that the model was not trained for."""
    trained = model.config.methods
    if method is None:
        return "score" if "score" in trained or not trained else "nearest"
    if method not in ("score", "nearest"):
        raise InputError(f"method={method!r}; choose 'score' or 'nearest'.")
    if trained and method not in trained:
        raise InputError(
            f"model {model.name!r} was trained for {' and '.join(trained)}, not for method={method!r}. "
            f"Train it: scbioverse.tl.align(adata, text_key=..., loss="
            f"{'autoregressive' if method == 'score' else 'contrastive'!r})."
        )
    return method  # type: ignore[return-value]


def _log_probs(
    model: BioVerse, values: Float, labels: list[Label], method: Method, modality: str, batch_size: int
) -> Float:
    if method == "nearest":
        return model.nearest(values, [label.card for label in labels], modality=modality)
    return model.score(values, [label.text for label in labels], modality=modality, batch_size=batch_size)
