"""markers.tsv.gz: which genes which sources call markers of which term.

Only facts are kept (term, gene, source); no text and no scores of any source. Strength per source is in quarters:
one list counts what `STRENGTH` says, and more for every doubling of the number of lists (tissues, references) in
which the source repeats it.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from _kept import TABLE_ENTRIES
from _tables import read, split, write

from scbioverse.knowledge import load_ontology
from scbioverse.knowledge.genes import load_genes
from scbioverse.knowledge.names.resolver import resolve_table_entry
from scbioverse.knowledge.names.tokens import gene_token

if TYPE_CHECKING:
    from collections.abc import Iterator

# P PanglaoDB, C CellMarker 2, T CellTypist encyclopaedia, H HuBMAP ASCT+B, A Azimuth, S Tabula Sapiens,
# G other expert-labelled lists collected by GPTCelltype and CASSIA.
STRENGTH = {"P": 4, "C": 4, "T": 6, "H": 4, "A": 4, "S": 3, "G": 3}
PER_TERM = 150
TOO_BROAD = frozenset(
    [
        "CL:0000000",
        "CL:0001064",
        "CL:0001063",
        "CL:0011115",
        "CL:0011026",
        "CL:0000034",
        "CL:0000548",
        "CL:0000255",
        "CL:0002371",
        "CL:0000003",
        "CL:0000219",
        "CL:0000226",
        "CL:0002242",
        "CL:0000325",
    ]
)
# Expressed by every cell: listed as markers only because a list ranks by expression.
EVERYWHERE = re.compile(
    r"^(MT-.*|M?RP[LS]\d.*|RPLP\d|RPSA|MALAT1|NEAT1|XIST|TSIX|B2M|ACTB|ACTG1|TMSB4X|TMSB10|EEF1A1|EEF1B2|EEF2|GAPDH|FTL"
    r"|FTH1|TPT1|PTMA|UBC|UBA52|FAU|NACA|HSPA8|HSP90AA1|HSP90AB1|H3-3B|TXNIP|MT2A)$"
)
# Expressed by every cell that divides, whatever it is: by them, dividing cells of a brain were called B cells, since
# tables list MKI67 for germinal centres. They mark no type but those that are named for it.
DIVISION = frozenset(
    one for one in (Path(__file__).parent / "division_genes.txt").read_text().splitlines() if not one.startswith("#")
)
DIVIDING = re.compile(r"cycling|proliferat|dividing|mitotic")
Row = tuple[str, str, str, str, str, int]


def rows() -> Iterator[Row]:
    """Source code, list name, label, id the source gives, gene, strength in quarters."""
    table = read("knowledge/panglaodb_markers.tsv.gz")
    table = table[table["species"].str.contains("Hs")]
    for gene, label, canonical in zip(
        table["official gene symbol"], table["cell type"], table["canonical marker"], strict=True
    ):
        yield "P", "panglaodb", label, "", gene, STRENGTH["P"] if canonical == "1.0" else STRENGTH["P"] // 2
    table = read("knowledge/cellmarker2_human.csv.gz")
    for tissue, label, genes in zip(table["Tissue"], table["CT"], table["Gene"], strict=True):
        for gene in split(genes, ","):
            yield "C", tissue, label, "", gene, STRENGTH["C"]
    table = read("knowledge/celltypist_ency_Main.tsv")
    for label, cl_id, genes in zip(
        table["Low-hierarchy cell types"], table["Cell Ontology ID"], table["Curated markers"], strict=True
    ):
        for gene in split(genes, ","):
            yield "T", "celltypist", label, cl_id, gene, STRENGTH["T"]
    table = read("knowledge/hra_asctb_cell_types.tsv.gz").drop_duplicates(
        ["organ", "cell_type", "cl_id", "genes", "proteins"]
    )
    for organ, label, cl_id, genes, proteins in zip(
        table["organ"], table["cell_type"], table["cl_id"], table["genes"], table["proteins"], strict=True
    ):
        for gene in split(genes, "|"):
            yield "H", organ, label, cl_id, gene, STRENGTH["H"]
        for protein in split(proteins, "|"):
            word = re.match(r"^([A-Za-z0-9]+)\+?$", protein)
            gene = gene_token(word[1], signed=True) if word else None
            if gene:
                yield "H", organ, label, cl_id, gene, STRENGTH["H"] // 2
    table = read("knowledge/azimuth_markers.tsv")
    table = table[~table["azimuth_ref"].str.contains("mouse")]
    for ref, label, expanded, cl_id, genes in zip(
        table["azimuth_ref"], table["label"], table["expanded_label"], table["cl_id"], table["markers"], strict=True
    ):
        for gene in split(genes, ","):
            yield "A", ref, expanded or label, cl_id, gene, STRENGTH["A"]
    table = read("knowledge/gptcelltype_annotations.csv.gz")
    # Its Azimuth lists are counted under A; MCA is mouse.
    table = table[~table["dataset"].isin(["Azimuth", "MCA"])]
    for dataset, tissue, label, cl_id, genes in zip(
        table["dataset"],
        table["tissue"],
        table["manual_annotation"],
        table["manual_CLID"],
        table["marker"],
        strict=True,
    ):
        code = "S" if dataset == "tabulasapiens" else "G"
        for gene in split(genes, ","):
            yield code, f"{dataset} {tissue}", label, "" if "," in cl_id else cl_id, gene, STRENGTH[code]
    table = read("knowledge/cassia_marker100.csv")
    table = table[(table["Species"] == "Human") & (table["Dataset"] != "Azimuth")]
    for dataset, tissue, label, genes in zip(
        table["Dataset"], table["Tissue"], table["True Cell Type"], table["Marker List"], strict=True
    ):
        code = "S" if dataset == "TS" else "G"
        for place, gene in enumerate(split(genes, ",")):
            yield code, f"{dataset} {tissue}", label, "", gene, STRENGTH[code] if place < 10 else 1


def term_of(label: str, given: str) -> str | None:
    """Term of a source's label: our reading where it is sure, the source's own id, then a less sure reading."""
    ontology = load_ontology()
    if label in TABLE_ENTRIES:
        return TABLE_ENTRIES[label]
    own = resolve_table_entry(label)
    if own.cl_id and own.score >= 0.9:
        return own.cl_id
    if given in ontology:
        return given
    return own.cl_id if own.cl_id and own.score >= 0.5 else None


def build() -> str:
    """Write the table; return one line of counts."""
    genes = load_genes()
    strength: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    lists: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    term: dict[tuple[str, str], str | None] = {}
    for code, listed, label, given, name, points in rows():
        if (label, given) not in term:
            term[label, given] = term_of(label, given)
        cl_id, hit = term[label, given], genes.lookup(name)
        if cl_id is None or cl_id in TOO_BROAD or hit is None or EVERYWHERE.match(hit[0]):
            continue
        if hit[0] in DIVISION and not DIVIDING.search(load_ontology().term(cl_id).label):
            continue
        key = cl_id, hit[0]
        strength[key][code] = max(points, strength[key].get(code, 0))
        lists[key][code].add(f"{listed}/{label}")
    unrelated = _unrelated(strength.keys())
    table = []
    for (cl_id, gene), by_code in strength.items():
        codes = "".join(
            f"{code}{min(9, by_code[code] + int(math.log2(len(lists[cl_id, gene][code]))))}" for code in sorted(by_code)
        )
        table.append([cl_id, gene, codes, str(unrelated[cl_id, gene])])
    table = _best(table, len({row[0] for row in table}))
    path = write("markers.tsv.gz", ["cl_id", "gene", "sources", "n_unrelated"], table)
    terms = {row[0] for row in table}
    return f"{path.name}: {len(table)} markers, {len(terms)} terms, {len({row[1] for row in table})} genes"


def _best(table: list[list[str]], n_terms: int) -> list[list[str]]:
    """Keep the `PER_TERM` strongest markers of each term, by the weight that :func:`load_markers` gives them."""

    def weight(row: list[str]) -> float:
        return sum(map(int, row[2][1::2])) * (1 - math.log(int(row[3]) + 1) / math.log(n_terms + 1))

    kept: list[list[str]] = []
    for _, group in groupby(sorted(table), key=lambda row: row[0]):
        kept += sorted(sorted(group, key=lambda row: (-weight(row), row[1]))[:PER_TERM])
    return kept


def _unrelated(keys: object) -> dict[tuple[str, str], int]:
    """For each marker, how many terms that are neither ancestor nor descendant share the gene."""
    ontology = load_ontology()
    terms: dict[str, list[str]] = defaultdict(list)
    for cl_id, gene in keys:  # type: ignore[attr-defined]
        terms[gene].append(cl_id)
    return {
        (cl_id, gene): sum(not ontology.related(cl_id, other) for other in sharing)
        for gene, sharing in terms.items()
        for cl_id in sharing
    }
