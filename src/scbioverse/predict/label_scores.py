"""Log-probabilities of candidates by each method of `annotate`, with the markers where they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._logging import logger
from .candidates import judged_as
from .pool import cascade
from .sources.markers import add_markers, read_markers

if TYPE_CHECKING:
    from anndata import AnnData

    from ..models import BioVerse
    from .candidates import Label
    from .options import Method

Float = NDArray[np.float32]


@dataclass(frozen=True)
class LabelScores:
    """What decides between candidates.

    Attributes
    ----------
    log_probs
        float32 (n_obs, m).
    markers
        What the record says about the marker term.
    read
        Rows that the language model read.
    temperature
        What log-probabilities were divided by; None for a pool.
    """

    log_probs: Float
    markers: dict[str, Any]
    read: int
    temperature: float | None


def label_scores(
    adata: AnnData,
    model: BioVerse,
    values: Float,
    labels: list[Label],
    *,
    method: Method,
    ranked: Float | None,
    markers: bool | None,
    modality: str,
    key: str | None,
    layer: str | None,
    batch_size: int,
) -> LabelScores:
    """Compute the log-probability of each label for each row.

    Parameters
    ----------
    values
        float32 (n_obs, n_tokens, dim), embeddings.
    ranked
        Log-probabilities of a shortlist out of the ontology, to which only the markers are added.
    """
    # A shortlist was ranked by the language model, or by nearness, alone.
    ids = judged_as(labels)
    weighed: str = "score" if ranked is not None and method == "cascade" else method
    if ranked is None and weighed == "score" and model.weighs(ids, modality):
        weighed = "asked"
    evidence, note = read_markers(
        adata,
        model,
        ids,
        method=weighed,
        modality=modality,
        markers=markers,
        key=key,
        layer=layer,
    )
    texts, cards = [label.text for label in labels], [label.card for label in labels]
    if weighed == "cascade":
        found = cascade(
            model, values, texts, cards, terms=ids, evidence=evidence, modality=modality, batch_size=batch_size
        )
        read = int(found.read.sum())
        logger.info("%s", _who_decided(read, len(values), model, evidence is not None))
        return LabelScores(found.log_probs, note, read, None)  # a pool's weights hold its own temperature
    if weighed == "asked":
        log_probs = model.score(values, texts, terms=ids, evidence=evidence, modality=modality, batch_size=batch_size)
        temperature = model.temperature(ids, modality, evidence=evidence is not None)
        return LabelScores(log_probs, {**note, "read_by_llm": evidence is not None}, len(values), temperature)
    if ranked is not None:
        log_probs = ranked
    elif weighed == "nearest":
        log_probs = model.nearest(values, cards, modality=modality)
    else:
        log_probs = model.score(values, texts, terms=ids, modality=modality, batch_size=batch_size)
    read = 0 if weighed == "nearest" else len(values)
    temperature = model.config.calibration["nearest" if weighed == "nearest" else "score"].temperature
    return LabelScores(add_markers(log_probs, evidence, note["weight"]), note, read, temperature)


def _who_decided(read: int, n: int, model: BioVerse, markers: bool) -> str:
    """One line on what the language model had to do with the labels of a cascade."""
    said = f"labels come from embeddings{', ' if markers else ' and '}descriptions of the labels"
    said += " and marker genes" if markers else ""
    if not model.config.calibration["cascade"].weight("language_model"):
        return f"{said}; the language model adds nothing to these in this model, and was not asked"
    if not read:
        return f"{said}; none was a close call that the language model had to be asked about"
    return f"{said}; on the {read} of {n} rows that were close calls, the language model had a say"
