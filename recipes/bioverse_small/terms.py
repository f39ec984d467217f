"""Cell Ontology terms as training targets: who may count as wrong for whom."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from scbioverse.knowledge.ontology import KEPT_APART, load_ontology


def is_within(term: str, other: str) -> bool:
    """Whether `term` is `other` or one of its descendants, as studies use the names."""
    if (term, other) in KEPT_APART:
        return False
    return term == other or other in load_ontology().ancestors(term)


def within_matrix(terms: list[str]) -> np.ndarray:
    """Return (t, t) bool, `[i, j]` True where term j is term i or below it."""
    return np.array([[is_within(lower, upper) for lower in terms] for upper in terms])


def candidate_columns(candidates: Iterable[str], terms: list[str]) -> list[list[int]]:
    """Trained terms that count for each candidate: itself and what lies below, unless another candidate is between."""
    candidates = list(candidates)
    columns = []
    for one in candidates:
        finer = [other for other in candidates if other != one and is_within(other, one)]
        columns.append(
            [
                j
                for j, term in enumerate(terms)
                if is_within(term, one) and not any(is_within(term, other) for other in finer)
            ]
        )
    return columns
