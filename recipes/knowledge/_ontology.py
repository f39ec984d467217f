"""ontology.tsv.gz: the Cell Ontology's terms, without those that name a part of a cell."""

from __future__ import annotations

import re

from _tables import read, split, write

NOT_A_CELL = re.compile(r"(cytoplasm|nucleus|heterochromatin)$")


def build() -> str:
    """Write the table; return one line of counts."""
    terms = read("knowledge/cell_ontology.tsv").sort_values("id", kind="stable")
    used = {parent for parents in terms["parents"] for parent in split(parents, "|")}
    rows = [
        [
            ident,
            label,
            " ".join(definition.split()),
            "|".join(split(synonyms, "|")),
            "|".join(sorted(split(parents, "|"))),
        ]
        for ident, label, definition, synonyms, parents in zip(
            terms["id"], terms["label"], terms["definition"], terms["synonyms"], terms["parents"], strict=True
        )
        if ident in used or not NOT_A_CELL.search(label)
    ]
    path = write("ontology.tsv.gz", ["id", "label", "definition", "synonyms", "parents"], rows)
    return f"{path.name}: {len(rows)} terms"
