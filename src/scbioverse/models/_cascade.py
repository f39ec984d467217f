"""The text space answers what it is sure of; the language model reads the rest, and the two are pooled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from .._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .bioverse import BioVerse
    from .config import PoolConfig

Float = NDArray[np.float32]


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


def pooled(pool: PoolConfig, said: NDArray, cosine: NDArray, evidence: NDArray) -> NDArray[np.float64]:
    """Pool log-probabilities of the language model, cosines and marker evidence, each (n, m); rows are normalised."""
    joint = pool.score * said.astype(np.float64) + pool.nearest * cosine + pool.markers * evidence
    return log_softmax(joint, axis=1)


def worth_reading(pool: PoolConfig, near: NDArray, cosine: NDArray, evidence: NDArray) -> NDArray[np.bool_]:
    """Rows (n,) that nearness is not sure of and whose label the language model's word could change.

    Parameters
    ----------
    near
        (n, m), log-probabilities by nearness and markers.
    cosine, evidence
        (n, m), as :func:`pooled` takes them.
    """
    others = pool.nearest * np.asarray(cosine, dtype=np.float64) + pool.markers * np.asarray(evidence, dtype=np.float64)
    if near.shape[1] < 2:
        return np.zeros(len(near), dtype=bool)
    best = np.partition(others, -2, axis=1)[:, -2:]
    close = best[:, 1] - best[:, 0] <= pool.score * pool.reach
    return close & (np.exp(near.max(axis=1, initial=-np.inf)) < pool.sure)


def cascade(
    model: BioVerse,
    embeddings: Float,
    names: Sequence[str],
    cards: Sequence[str],
    *,
    evidence: Float | None = None,
    modality: str = "cell",
    batch_size: int = 128,
    progress: bool | None = None,
) -> Answer:
    """Answer by nearness and markers; ask the language model about the rows whose label its word could change.

    First `log_softmax(cosine / T + w · evidence)`, as `nearest` has it. Rows whose best label has a probability below
    `pool.sure`, and whose two best labels are close enough for the language model to put the second first (see
    `PoolConfig.reach`), are read by it and get `log_softmax(a · log p_score + b · cosine + c · evidence)`: a
    logarithmic opinion pool (Genest and Zidek 1986) with weights fitted on studies that training had left out. Whether
    a row is read depends on that row alone.

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
    config, pool = model.config, model.config.pool
    if pool is None:
        raise InputError(f"model {model.name!r} has no calibrated pool: use method='score' or method='nearest'.")
    n, m = len(embeddings), len(names)
    seen = np.zeros((n, m)) if evidence is None else np.asarray(evidence, dtype=np.float64)
    if seen.shape != (n, m) or len(cards) != m:
        raise InputError(f"{n} rows and {m} names go with {len(cards)} cards and evidence of shape {seen.shape}.")
    cosine = (model.coordinates(embeddings, modality) @ model.text_coordinates(cards).T).astype(np.float64)
    log_probs = log_softmax(cosine / config.nearest_temperature + config.nearest_marker_weight * seen, axis=1)
    read = worth_reading(pool, log_probs, cosine, seen)
    if read.any():
        said = model.score(
            embeddings[read],
            names,
            modality=modality,
            batch_size=batch_size,
            progress=progress,
            calibrated=False,
        )
        log_probs[read] = pooled(pool, said, cosine[read], seen[read])
    return Answer(log_probs.astype(np.float32), read)
