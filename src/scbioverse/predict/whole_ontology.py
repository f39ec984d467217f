"""Annotation against the whole Cell Ontology: every cell, or group, chooses among the terms that lie nearest to it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..knowledge import load_ontology
from ..models.shared_space import cosines
from .candidates import Candidates, own_labels, resolve_term
from .term_table import ontology_coordinates, term_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .groups import Groups
    from .sources import Batch

# Terms that each cell or group chooses among.
SHORTLIST = 8


def candidate_terms(within: str | Sequence[str] | None) -> list[str]:
    """Terms of the ontology, or those at or below some of them.

    Raises
    ------
    InputError
        `within` names something that is no term, or leaves fewer than two.
    """
    if within is None:
        return list(term_ids())
    ontology = load_ontology()
    roots = [resolve_term(one) for one in ([within] if isinstance(within, str) else within)]
    kept = {below for root in roots for below in (root, *ontology.descendants(root))}
    found = [one for one in term_ids() if one in kept]
    if len(found) < 2:
        raise InputError(f"within={within!r} leaves {len(found)} terms; there is nothing to choose among.")
    return found


def shortlisted(batch: Batch, groups: Groups | None, within: str | Sequence[str] | None = None) -> Candidates:
    """Offer every row the 8 terms that lie nearest to it: those on somebody's shortlist are the candidates.

    Nearest are those of the highest cosine (mean cosine of a group's cells) in the space shared with text. Every row is
    scored over its own shortlist alone, so that its answer does not depend on the other rows.

    Parameters
    ----------
    batch
        Rows, of a model with a text space.
    groups
        Groups that get one shortlist each; cells in none have their own.
    within
        See :func:`candidate_terms`.
    """
    terms = candidate_terms(within)
    cosine = cosines(batch.coordinates, ontology_coordinates(batch.model, terms))
    k = min(SHORTLIST, len(terms))
    own = _top(cosine, k)
    if groups is not None:
        own = np.where((groups.codes >= 0)[:, None], groups.spread(_top(groups.mean(cosine), k), -1), own)
    # Columns only for terms on somebody's list: all 3,000 would be mostly empty.
    used, places = np.unique(own, return_inverse=True)
    labels = own_labels([terms[i] for i in used], batch.model.config.names)
    return replace(labels, shortlist=places.reshape(own.shape).astype(np.int64))


def _top(cosine: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """Positions (n, k) of the highest values, highest first; of equal ones the first."""
    return np.argsort(-cosine, axis=1, kind="stable")[:, :k].astype(np.int64)
