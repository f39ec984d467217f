"""How finely cell types are named: the broad names of the body's cells, and the usual ones below them.

Ontologies know many terms above a type, most of which nobody writes under a figure ("single nucleate cell"). A table
kept by hand says which names are usual, on two levels: those of a first look at any tissue, and those that atlases of a
tissue print.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import Literal

from ._read import read_table
from .ontology import KEPT_APART, load_ontology

Level = Literal["broad", "usual"]
# A term with more terms below it (leukocyte has 572, lymphocyte 347, T cell 171) says too little to be an answer.
BROADEST = 600


@lru_cache(maxsize=1)
def _table() -> tuple[dict[str, str], dict[str, str]]:
    """Level of each listed term; and of some terms what they are called one level up, whatever the ontology says."""
    rows = read_table("levels.tsv")
    return {row[0]: row[2] for row in rows}, {row[0]: row[3] for row in rows if row[3]}


@lru_cache(maxsize=1)
def level_terms() -> tuple[str, ...]:
    """Ids of the terms that are a name on one of the levels, in the table's order."""
    return tuple(_table()[0])


@lru_cache(maxsize=1 << 14)
def lift(cl_id: str, level: Level) -> str:
    """Return the nearest term of a level that a term is or descends from; the term itself where there is none.

    `"broad"` are T cell, neuron, epithelial cell; `"usual"` are CD4 T cell, GABAergic neuron, enterocyte. Nearest is
    what the fewest `is_a` steps lead to; of several that with the fewest terms below it.
    """
    ontology, (levels, instead) = load_ontology(), _table()
    if cl_id in instead and (level == "broad" or levels[cl_id] != level):
        return instead[cl_id] if level == "usual" else lift(instead[cl_id], level)
    if cl_id not in ontology:
        return cl_id
    steps, queue = {cl_id: 0}, deque([cl_id])
    while queue:
        one = queue.popleft()
        for above in ontology.parents(one):
            if above not in steps and (cl_id, above) not in KEPT_APART:
                steps[above] = steps[one] + 1
                queue.append(above)
    fits = [one for one in steps if levels.get(one) in ("broad", level)]
    return min(fits, key=lambda one: (steps[one], len(ontology.descendants(one)), one), default=cl_id)


@lru_cache(maxsize=1 << 14)
def says_little(cl_id: str) -> bool:
    """Whether a term is above a broad name, as "leukocyte" and "stromal cell" are: no name for a type."""
    ontology, levels = load_ontology(), _table()[0]
    if cl_id not in ontology or levels.get(lift(cl_id, "broad")) == "broad":
        return False
    return any(levels.get(one) == "broad" for one in ontology.descendants(cl_id))


@lru_cache(maxsize=1)
def early_types() -> frozenset[str]:
    """Ids of the types of embryos and fetuses, such as hepatoblast and ureteric bud cell."""
    return frozenset(row[0] for row in read_table("early_types.tsv"))
