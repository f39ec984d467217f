"""Cell Ontology terms as training targets: who may count as wrong for whom."""

from __future__ import annotations

import numpy as np

from scbioverse.knowledge.ontology import candidate_columns, is_within

__all__ = ["candidate_columns", "is_within", "within_matrix"]


def within_matrix(terms: list[str]) -> np.ndarray:
    """Return (t, t) bool, `[i, j]` True where term j is term i or below it."""
    return np.array([[is_within(lower, upper) for lower in terms] for upper in terms])
