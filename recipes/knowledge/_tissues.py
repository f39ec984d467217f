"""tissues.tsv.gz: UBERON terms below the tissues of `tissue_names.tsv`. tissue_types.tsv.gz: which types they hold.

Only facts are kept (this term is listed for this tissue, by these kinds of sources). No cells are read.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from _tables import read, split, write

from scbioverse.knowledge import load_ontology
from scbioverse.knowledge._read import read_table
from scbioverse.knowledge.tissues import load_tissues, load_words, named_tissues

if TYPE_CHECKING:
    from collections.abc import Iterator

# Parts of these are many, and seldom what a sample is called: only the tissues themselves are read. Nor does a name
# that holds them say where a type lives ("muscle cell").
WITHOUT_PARTS = ("bone", "blood vessel", "skeletal muscle tissue", "peripheral nervous system", "cartilage")
# Terms of fish, amphibians and insects.
OTHER_ANIMALS = re.compile(r"^UBERON:[2-6]")
NOT_A_SAMPLE = re.compile(r"\b(insect|fin|future|presumptive|primordium|placode|pronephros|anlage)\b")
# "thymus-derived" T cells have left it.
COMES_FROM = re.compile(r"\S+[- ]derived|derived from .*")
# Haematopoietic cell: what definitions say of where they are made and go to is no place.
BLOOD = "CL:0000988"
# Share of a site's cells from which a type is usual there: below it, mistakes of the tools that named them.
LEAST = 0.002
# ... and from which it is where one tool alone found it.
SURE = 0.02
# Tables of ASCT+B to tissues; those of whole systems count for what their structures are part of.
ASCTB = {
    "large-intestine": "large intestine", "heart": "heart", "spleen": "spleen", "lung": "lung",
    "small-intestine": "small intestine", "lymph-node": "lymph node", "fallopian-tube": "fallopian tube",
    "mouth": "mouth", "kidney": "kidney", "thymus": "thymus", "skin": "skin of body", "bone-marrow": "bone marrow",
    "spinal-cord": "spinal cord", "palatine-tonsil": "tonsil", "placenta-full-term": "placenta",
    "placenta": "placenta", "bonemarrow-pelvis": "bone marrow", "ovary": "ovary", "eye": "eye", "liver": "liver",
    "pancreas": "pancreas", "main-bronchus": "respiratory airway", "blood-pelvis": "blood", "uterus": "uterus",
    "trachea": "respiratory airway", "prostate": "prostate gland", "ureter": "ureter",
    "urinary-bladder": "urinary bladder", "knee": "cartilage", "allen-brain": "brain",
    "peripheral-nervous-system": "peripheral nervous system", "muscular-system": "skeletal muscle tissue",
    "skeleton": "bone", "blood-vasculature": "blood vessel", "lymph-vasculature": "lymph vasculature",
}  # fmt: skip


def folded() -> dict[str, list[str]]:
    """UBERON id to the tissues that it is part of: those fewest steps above it."""
    terms = read("knowledge/uberon.tsv.gz")
    parents = {ident: split(above, "|") for ident, above in zip(terms["id"], terms["parents"], strict=True)}
    roots, within = defaultdict(set), {}
    for ident, _, whole, _, also, _ in read_table("tissue_names.tsv"):
        within[ident] = whole
        for one in (ident, *split(also, "|")):
            roots[one].add(ident)
    found = {}
    for ident in parents:
        seen, layer = {ident}, {ident}
        while layer and not any(one in roots for one in layer):
            layer = {up for one in layer for up in parents.get(one, [])} - seen
            seen |= layer
        hits = {root for one in layer for root in roots[one]}
        # Of a tissue and a part of it that are as near, the whole: what lies beside the part is not in it.
        found[ident] = sorted(hits - {one for one in hits if within[one] in hits})
    return found


def listings(under: dict[str, list[str]]) -> Iterator[tuple[str, str, str]]:
    """Source code, tissue id and Cell Ontology id."""
    by_name = {one.name: one.id for one in load_tissues().values()}
    table = read("knowledge/hra_pop_tissue_composition.tsv.gz")
    table = table[table["fraction"].ne("")].assign(fraction=lambda t: t["fraction"].astype(float))
    for (ident, label, cl_id), part in table[table["fraction"] >= LEAST].groupby(["as_id", "as_label", "cell_id"]):
        if part["tool"].nunique() > 1 or part["fraction"].max() >= SURE:
            for one in under.get(ident) or named_tissues(label):
                yield "P", one, cl_id
    table = read("knowledge/hra_asctb_cell_types.tsv.gz")
    for organ, place, cl_id in zip(table["organ"], table["as_id"], table["cl_id"], strict=True):
        # Where a structure is part of other tissues (skin of the anus, in the table of the large intestine), those.
        for one in under.get(place) or [by_name[ASCTB[organ]]]:
            yield "H", one, cl_id
    table = read("knowledge/markers_accordion_human.tsv.gz")
    table = table[~table["resource"].isin(["MSigDB", "Sctyper.db"]) & (table["marker_type"] == "positive")]
    table = table.assign(tissue=table["Uberon_ID"].map(under)).explode("tissue").dropna(subset=["tissue"])
    for (one, cl_id), part in table.groupby(["tissue", "CL_ID"]):
        # Single papers of one collection call many cells many things: two of them, or none.
        if part["resource"].nunique() > 1:
            yield "M", one, cl_id
    for name in ("hra_azimuth_crosswalk.tsv", "hra_celltypist_crosswalk.tsv"):
        table = read(f"knowledge/{name}")
        for ident, cl_id in zip(table["Organ_ID"], table["CL_ID"], strict=True):
            for one in under.get(ident, []):
                yield "X", one, cl_id
    table = read("knowledge/gptcelltype_annotations.csv.gz")
    table = table[table["dataset"].isin(["HCA", "literature", "tabulasapiens"])]
    for tissue, cl_id in zip(table["tissue"], table["manual_CLID"], strict=True):
        for one in named_tissues(tissue):
            yield "G", one, cl_id


def named(listed: set[str]) -> Iterator[tuple[str, str, str]]:
    """Yield listings by hand, by a type's name, and by the definition of a type that is not listed."""
    ontology, names = load_ontology(), {one.id: one.name for one in load_tissues().values()}
    for ident, *_, types in read_table("tissue_names.tsv"):
        for root in split(types, "|"):
            for cl_id in (root, *ontology.descendants(root)):
                yield "W", ident, cl_id
    blood = {BLOOD, *ontology.descendants(BLOOD)}
    known = {up for cl_id in listed if cl_id in ontology for up in (cl_id, *ontology.ancestors(cl_id))}
    for cl_id in ontology:
        term = ontology.term(cl_id)
        texts = {"N": COMES_FROM.sub("", term.label)}
        if cl_id not in known and cl_id not in blood:
            texts["D"] = COMES_FROM.sub("", term.definition.split(". ")[0])
        for code, text in texts.items():
            for one in named_tissues(text, shared=code == "N"):
                # Blood flows through all organs: "blood cell" binds to none.
                if names[one] not in (*WITHOUT_PARTS, "blood"):
                    yield code, one, cl_id


def build() -> str:
    """Write the tables; return one line of counts."""
    terms, under = read("knowledge/uberon.tsv.gz"), folded()
    names, ontology = {one.id: one.name for one in load_tissues().values()}, load_ontology()
    rows = [
        [ident, label, under[ident][0]]
        for ident, label in zip(terms["id"], terms["label"], strict=True)
        if len(under[ident]) == 1
        and (names[under[ident][0]] not in WITHOUT_PARTS)
        and not OTHER_ANIMALS.match(ident)
        and not NOT_A_SAMPLE.search(label)
    ]
    write("tissues.tsv.gz", ["id", "name", "tissue"], rows)
    load_words.cache_clear()  # names of types are read with the table just written
    sources: dict[tuple[str, str], set[str]] = defaultdict(set)
    found = list(listings(under))
    for code, ident, cl_id in (*found, *named({cl_id for _, _, cl_id in found})):
        if cl_id in ontology and cl_id != "CL:0000000":
            sources[ident, cl_id].add(code)
    # A type whose name says where it is from is elsewhere only if one of the tables made by hand says so; and what
    # tools alone found counts only where no other source knows where a type is.
    from_name = {cl_id for (_, cl_id), codes in sources.items() if "N" in codes}
    # One list of one study, where four kinds of sources know another tissue and no third: a stray cell of that study.
    places: dict[str, list[int]] = defaultdict(list)
    for (_, cl_id), codes in sources.items():
        places[cl_id] += [len(codes)] if codes - {"P"} else []
    settled = {cl_id for cl_id, found in places.items() if len(found) == 2 and max(found) >= 4}
    placed = {cl_id for (_, cl_id), codes in sources.items() if codes - {"P"}}
    types = [
        [ident, cl_id, "".join(sorted(codes))]
        for (ident, cl_id), codes in sorted(sources.items())
        if (codes - {"P"} - ({"M"} if cl_id in from_name else set()) or cl_id not in placed)
        and not (cl_id in settled and codes == {"G"})
    ]
    path = write("tissue_types.tsv.gz", ["tissue", "cl_id", "sources"], types)
    return f"{path.name}: {len(types)} pairs of {len({row[0] for row in types})} tissues; {len(rows)} UBERON terms"
