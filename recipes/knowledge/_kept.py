"""Readings of names that are kept as they were when the shipped model wrote down what it knows of the ontology.

Its texts and the weights of its markers follow from these readings, and rules and tables of names may read some of them
otherwise later: then they stand here, until a checkpoint is made anew (`keep_ontology`). None has changed since.
"""

from __future__ import annotations

# Names of published tables of markers, and the term they were taken for.
TABLE_ENTRIES: dict[str, str | None] = {}
# Synonyms that were taken for another term's name: the id and the synonym.
MISLEADING: tuple[tuple[str, str], ...] = ()
