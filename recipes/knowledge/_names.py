"""names.tsv.gz: names that published label crosswalks map to a term and that our rules read otherwise.

Each crosswalk votes once per (name, term); the term with most votes wins, a related broader one where votes are split.
What the ontology itself or the curated shorthand says is never overruled.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from _tables import read, write

from scbioverse.knowledge import load_ontology
from scbioverse.knowledge.names.index import build_index, load_index
from scbioverse.knowledge.names.readings import contradicts
from scbioverse.knowledge.names.resolver import resolve_by_rules
from scbioverse.knowledge.names.tokens import strict_key, tokens, word_set

if TYPE_CHECKING:
    from collections.abc import Iterator


def pairs() -> Iterator[tuple[str, str, str]]:
    """Crosswalk, name and Cell Ontology id."""
    for name in ("hra_azimuth_crosswalk.tsv", "hra_celltypist_crosswalk.tsv", "panhuman_azimuth_cl_map.csv"):
        table = read(f"knowledge/{name}")
        for label, cl_id in zip(table["Annotation_Label"], table["CL_ID"], strict=True):
            yield name, label, cl_id
    table = read("knowledge/gptcelltype_name_to_cl.csv")
    for label, cl_id in zip(table["originalname"], table["CLID"], strict=True):
        yield "gptcelltype", label, cl_id
    table = read("knowledge/hra_asctb_cell_types.tsv.gz")
    for label, cl_id in zip(table["cell_type"], table["cl_id"], strict=True):
        yield "asctb", label, cl_id
    table = read("knowledge/azimuth_markers.tsv")
    table = table[~table["azimuth_ref"].str.contains("mouse")]
    for label, expanded, cl_id in zip(table["label"], table["expanded_label"], table["cl_id"], strict=True):
        yield "azimuth", label, cl_id
        if expanded:
            yield "azimuth", expanded, cl_id


def _says_something(key: frozenset[str]) -> bool:
    """Whether a key holds more than states, places and letters, so that it may be bundled as a name."""
    return any(len(word) > 2 for word in key - word_set("state") - word_set("organ"))


def build() -> str:
    """Write the table; return one line of counts."""
    ontology = load_ontology()
    own = build_index(crosswalk=False)
    said = {*own.curated, *own.labels, *own.synonyms}
    votes: dict[frozenset[str], Counter[str]] = defaultdict(Counter)
    shown: dict[frozenset[str], set[str]] = defaultdict(set)
    for _, label, cl_id in sorted(set(pairs())):
        key = strict_key(tokens(label))
        if cl_id not in ontology or key in said or not _says_something(key):
            continue
        votes[key][cl_id] += 1
        shown[key].add(" ".join(label.split()))
    rows = []
    for key, count in votes.items():
        best = max(count.values())
        top = sorted(cl_id for cl_id, n in count.items() if n == best)
        broad = [one for one in top if all(ontology.related(one, other) for other in top)]
        if not broad:
            continue
        choice = min(broad, key=lambda one: (ontology.depth(one), one))
        name = min(shown[key], key=lambda one: (len(one), one))
        # "CD8 Tf" mapped to a CD4 T cell is a slip of the crosswalk.
        if choice != "CL:0000000" and not contradicts(tuple(key), choice) and resolve_by_rules(name).cl_id != choice:
            rows.append([name, choice])
    load_index.cache_clear()
    path = write("names.tsv.gz", ["name", "cl_id"], sorted(rows))
    return f"{path.name}: {len(rows)} names"
