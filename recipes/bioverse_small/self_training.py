"""Labels for unlabelled cells from the network in training, agreed on by neighbours.

Experts label clusters, not cells: a cell whose own counts leave its type open takes the type of the cells around it.
Averaging the network's log-probabilities over nearest neighbours in its own embedding does the same to an unlabelled
training study. It is used in training only; a test cell is always read by itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.neighbors import NearestNeighbors

# What blood mononuclear cells can be.
BLOOD = (
    "CL:0000236",
    "CL:0000895",
    "CL:0000897",
    "CL:0000815",
    "CL:0000900",
    "CL:0000909",
    "CL:0000623",
    "CL:0001054",
    "CL:0002396",
    "CL:0000451",
    "CL:0000784",
    "CL:0000233",
    "CL:0000556",
    "CL:0000037",
)


def self_labels(
    embedding: np.ndarray,
    score: Callable[[np.ndarray], np.ndarray],
    terms: list[str],
    *,
    neighbours: int = 25,
    min_probability: float = 0.5,
) -> tuple[np.ndarray, np.ndarray]:
    """Label cells whose neighbourhood agrees.

    Parameters
    ----------
    embedding
        (n, dim) float32.
    score
        Embeddings to logits over :data:`BLOOD`.
    terms
        Trained terms.

    Returns
    -------
    rows
        int (k,), cells that got a label.
    labels
        int (k,), positions in `terms`.
    """
    log_probability = log_softmax(score(embedding), axis=1)
    near = (
        NearestNeighbors(n_neighbors=min(neighbours, len(embedding))).fit(embedding).kneighbors(return_distance=False)
    )
    smooth = softmax(log_probability[near].mean(axis=1), axis=1)
    rows = np.flatnonzero(smooth.max(axis=1) >= min_probability)
    names = np.array(BLOOD)[smooth[rows].argmax(axis=1)]
    known = np.isin(names, terms)
    position = {term: i for i, term in enumerate(terms)}
    return rows[known], np.array([position[name] for name in names[known]], dtype=np.int64)
