"""Quick sources answer what they are sure of; the language model reads the rest, and all are pooled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from ..errors import InputError
from ..models.attention import attended

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..models import BioVerse
    from ..models.config import Calibration

Float = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Answer:
    """What a cascade found.

    Attributes
    ----------
    log_probs
        float32 (n, m), natural logarithm; `exp` of a row sums to 1.
    read
        bool (n,): rows that the language model read.
    """

    log_probs: Float
    read: NDArray[np.bool_]


def pool_record(pool: Calibration) -> dict[str, float]:
    """Return what a record says of a pool: its weights, and when the language model is asked."""
    named = {"score": "language_model", "nearest": "nearest", "markers": "markers", "attention": "prototypes"}
    held = {name: pool.weight(source) for name, source in named.items()}
    return held | {name: pool.threshold(name) for name in ("sure", "reach")}


def others_pooled(pool: Calibration, attention: NDArray | None, cosine: NDArray, evidence: NDArray) -> Float64:
    """Pool what does not need the language model to speak: (n, m), not normalised.

    Parameters
    ----------
    attention
        (n, m), log-probabilities by the projector's attention; None where it says nothing about these candidates.
    cosine
        (n, m), nearness of the label's description.
    evidence
        (n, m), marker evidence.
    """
    joint = pool.weight("nearest") * np.asarray(cosine, dtype=np.float64)
    joint += pool.weight("markers") * np.asarray(evidence, dtype=np.float64)
    return joint if attention is None else joint + pool.weight("prototypes") * attention


def worth_reading(pool: Calibration, others: NDArray) -> NDArray[np.bool_]:
    """Rows (n,) that the other sources are not sure of and whose label the language model's word could change.

    Parameters
    ----------
    others
        (n, m), as :func:`others_pooled` gives it.
    """
    if others.shape[1] < 2 or not pool.weight("language_model"):
        return np.zeros(len(others), dtype=bool)
    best = np.partition(others, -2, axis=1)[:, -2:]
    close = best[:, 1] - best[:, 0] <= pool.weight("language_model") * pool.threshold("reach")
    return close & (softmax(others, axis=1).max(axis=1, initial=0.0) < pool.threshold("sure"))


def cascade(
    model: BioVerse,
    embeddings: Float,
    names: Sequence[str],
    cards: Sequence[str],
    *,
    terms: Sequence[str | None] | None = None,
    evidence: Float | None = None,
    modality: str = "cell",
    batch_size: int = 512,
    progress: bool | None = None,
) -> Answer:
    """Pool attention, nearness and markers; ask the language model about the rows whose label its word could change.

    `log_softmax(a · log p_attention + b · cosine + c · evidence)` is a logarithmic opinion pool (Genest and Zidek 1986)
    with weights fitted on studies that training had left out. Rows whose best label has a probability below
    `"sure"`, and whose two best labels are close enough for the language model to put the second first (see
    `"reach"` in :class:`scbioverse.models.Calibration`), are read by it, and `d · log p_score` comes into their pool.
    Whether a row is read depends on that row alone.

    Parameters
    ----------
    model
        A model with a pool in its configuration.
    embeddings
        float32 (n, n_tokens, dim) or (n, dim).
    names
        m different names, as the language model is asked to say them.
    cards
        m descriptions of the same labels.
    terms
        Their Cell Ontology ids, None for a label that has none; without them the attention is left out.
    evidence
        float32 (n, m), marker evidence; without it that term is left out.
    modality
        Modality of the embeddings.
    batch_size
        Rows that the language model reads at once.
    progress
        Show a progress bar; `settings.progress` if not given.

    Raises
    ------
    InputError
        The model has no pool, or shapes do not fit.
    """
    pool = model.config.calibration.get("cascade")
    if pool is None:
        raise InputError(f"model {model.name!r} has no calibrated pool: use method='score' or method='nearest'.")
    n, m = len(embeddings), len(names)
    seen = np.zeros((n, m)) if evidence is None else np.asarray(evidence, dtype=np.float64)
    known = [None] * m if terms is None else list(terms)
    if seen.shape != (n, m) or len(cards) != m or len(known) != m:
        raise InputError(
            f"{n} rows and {m} names go with {len(cards)} cards, {len(known)} terms and evidence of shape {seen.shape}."
        )
    cosine = model.coordinates(embeddings, modality) @ model.text_coordinates(cards).T
    attention = attended(model, embeddings, known, modality) if pool.weight("prototypes") else None
    joint = others_pooled(pool, attention, cosine, seen)
    read = worth_reading(pool, joint)
    if read.any():
        joint[read] += pool.weight("language_model") * model.score(
            embeddings[read],
            names,
            terms=known,
            modality=modality,
            batch_size=batch_size,
            progress=progress,
            calibrated=False,
        ).astype(np.float64)
    return Answer(log_softmax(joint, axis=1).astype(np.float32), read)
