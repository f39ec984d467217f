"""misleading.tsv.gz: synonyms and shorthand of terms that our resolver takes for another term.

They are left out where a term is described to a language model. Made from the bundled tables alone, so that describing
a term does not need the index of all names, which takes longer to build than everything else about a label.
"""

from __future__ import annotations

from _kept import MISLEADING
from _tables import write

from scbioverse.knowledge import load_ontology, resolve_label
from scbioverse.knowledge.phrases import readable_names


def rows() -> list[list[str]]:
    """Term and name, for every readable name of a term that resolves to another one."""
    found = list(map(list, MISLEADING))
    for cl_id in load_ontology():
        names = sorted({*readable_names(cl_id)} - {load_ontology().term(cl_id).label})
        found += [[cl_id, name] for name in names if resolve_label(name).cl_id not in (cl_id, None)]
    return sorted(found)


def build() -> str:
    """Write the table; return one line of counts."""
    made = rows()
    path = write("misleading.tsv.gz", ["cl_id", "name"], made)
    return f"{path.name}: {len(made)} names"
