"""Names near to one that means nothing here: what a person may have meant."""

from __future__ import annotations

import difflib
from functools import lru_cache

from .names.short_names import ANY_LIST, readings_in
from .ontology import fold, load_ontology


@lru_cache(maxsize=4096)
def nearest_names(name: str, *, most: int = 2) -> tuple[str, ...]:
    """Ontology names like a name that resolves to nothing, the most alike first, `most` at most; empty where none is.

    They are labels of what a short name means in some organ (`"stellate cell"`), else names that are spelt much alike.
    """
    ontology = load_ontology()
    found = [cl_id for place, cl_id in readings_in(name).items() if place != ANY_LIST]
    if not found and len(name) > 4:
        names = ontology.names()
        found = [names[one] for one in difflib.get_close_matches(fold(name), names, 2 * most, 0.75)]
    return tuple(dict.fromkeys(ontology.term(cl_id).label for cl_id in found))[:most]
