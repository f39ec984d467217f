"""How sure a call is, by how its candidates' probabilities are spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def margin(log_probs: NDArray[np.floating]) -> NDArray[np.float32]:
    """Probability of the best candidate less that of the second, (n,); 1 where there is one candidate only."""
    if log_probs.shape[1] < 2:
        return np.ones(len(log_probs), dtype=np.float32)
    top = np.partition(log_probs, -2, axis=1)[:, -2:]
    return (np.exp(top[:, 1]) - np.exp(top[:, 0])).clip(0, 1).astype(np.float32)


def entropy(log_probs: NDArray[np.floating]) -> NDArray[np.float32]:
    """Shannon entropy of each row's probabilities in nats, (n,): 0 for one sure answer, log m for none at all."""
    wide = np.asarray(log_probs, dtype=np.float64)
    probabilities = np.exp(wide)
    terms = np.where(probabilities > 0, probabilities * np.where(probabilities > 0, wide, 0), 0)
    return np.maximum(-terms.sum(axis=1), 0).astype(np.float32)
