"""Names that join two types or more: "B/Plasma", "T and NK cells". Each part is a type; the whole is any of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from ..ontology import load_ontology

_JOINT = re.compile(r"\s*(?:/|\band/or\b|\band\b|\bor\b|&|\s\+\s)\s*", re.IGNORECASE)
# A comma parts names where a word does so, too: "B, T and NK cells", but not "T cell, CD4-positive".
_LISTED = re.compile(r"\s*,\s*")
_MOST = 6
# A term with more kinds than this says nothing of what it holds.
_BROADEST = 1000


def parts_of(text: str) -> tuple[str, ...]:
    """Parts of a name that joins several, as they are written; empty where nothing joins any."""
    if "(" in text:
        return ()
    parts = [one for one in _JOINT.split(text.replace("_", " ")) if one]
    if len(parts) > 1:
        parts = [one for part in parts for one in _LISTED.split(part) if one]
    if not 1 < len(parts) <= _MOST or not all(re.search(r"[^\W\d_]", one) for one in parts):
        return ()
    return tuple(dict.fromkeys(parts))


def nearest_common(ids: Collection[str]) -> str | None:
    """Return the deepest term that is or holds all of several; None where that says nothing, such as "cell"."""
    ontology = load_ontology()
    shared = set.intersection(*({one, *ontology.ancestors(one)} for one in ids))
    telling = [one for one in shared if len(ontology.descendants(one)) <= _BROADEST]
    # The id settles equal depths, so that the order of the parts does not matter.
    return max(telling, key=lambda one: (ontology.depth(one), one), default=None)


def topmost(ids: Sequence[str]) -> tuple[str, ...]:
    """Return the terms of several that lie within no other of them, each once."""
    within = load_ontology().is_within
    return tuple(dict.fromkeys(one for one in ids if not any(two != one and within(one, two) for two in ids)))
