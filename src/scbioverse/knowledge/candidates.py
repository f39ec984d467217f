"""Which ontology terms count for which candidate label."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from .ontology import KEPT_APART, load_ontology
from .origins import tumours_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Below an ancestor that holds more terms than these, what a term has in common with them says nothing of it.
MAX_KIN = 50


def is_within(term: str, other: str) -> bool:
    """Whether `term` is `other` or one of its descendants, as studies use the names."""
    if (term, other) in KEPT_APART:
        return False
    return term == other or other in load_ontology().ancestors(term)


def _lineage(cl_id: str | None) -> tuple[str, ...]:
    """Return a term and its ancestors, nearest first; nothing for None and for what is no term."""
    ontology = load_ontology()
    return (cl_id, *ontology.ancestors(cl_id)) if cl_id is not None and cl_id in ontology else ()


def candidate_columns(candidates: Iterable[str | None], terms: Sequence[str]) -> list[list[int]]:
    """Positions of the terms that count for each candidate: itself and what lies below, unless another is between.

    Of tumour cells, which no terms lie below, those they can come from count (see :mod:`.origins`). Both are Cell
    Ontology ids; for a candidate of None, a label that has no id, nothing counts.
    """
    candidates = list(candidates)
    above = {one: {*_lineage(one), *(tumours_of(one) if _lineage(one) else ())} for one in {*candidates, *terms} if one}
    offered = {one for one in candidates if one and above[one]}
    place: dict[str | None, list[int]] = {one: [] for one in candidates}
    for j, term in enumerate(terms):
        holding = {one for one in above[term] & offered if (term, one) not in KEPT_APART}
        # What another of them lies below is too broad: the term counts for the narrower one.
        broader = {one for other in holding for one in above[other] if one != other and (other, one) not in KEPT_APART}
        for one in holding - broader:
            place[one].append(j)
    return [place[one] for one in candidates]


def kin_columns(candidates: Iterable[str | None], terms: Sequence[str], *, most: int = MAX_KIN) -> list[list[int]]:
    """Positions of the terms nearest of kin to each candidate: those within the narrowest of its ancestors with any.

    An ancestor is narrow if none of the others that hold terms lies below it; a candidate that terms lie below is its
    own. A candidate can have several, since the ontology sorts cells by more than one property. None, a label without
    an id, has no kin; a candidate with more than `most` is taken to have none.
    """
    ontology = load_ontology()
    below: dict[str, list[int]] = defaultdict(list)
    for j, term in enumerate(terms):
        for one in _lineage(term):
            below[one].append(j)

    def kin(candidate: str | None) -> list[int]:
        holding = [one for one in _lineage(candidate) if one in below]
        wider = {higher for one in holding for higher in ontology.ancestors(one)}
        found = sorted({j for one in holding if one not in wider for j in below[one]})
        return found if len(found) <= most else []

    return [kin(one) for one in candidates]
