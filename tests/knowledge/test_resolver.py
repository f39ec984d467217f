from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from scbioverse.knowledge import load_ontology, resolve_label, resolve_labels
from scbioverse.knowledge.names.resolver import resolve_by_rules

SHORTHAND = {
    "FCGR3A+ Monocytes": "CL:0002396",
    "FCGR3A+ Mono": "CL:0002396",
    "CD16 Mono": "CL:0002396",
    "CD14+ Mono": "CL:0001054",
    "CD4 T": "CL:0000624",
    "Naive CD4 T": "CL:0000895",
    "Memory CD4 T": "CL:0000897",
    "CD8 T": "CL:0000625",
    "Tregs": "CL:0000815",
    "NK": "CL:0000623",
    "B": "CL:0000236",
    "DC": "CL:0000451",
    "pDC": "CL:0000784",
    "Mk": "CL:0000556",
    "Platelet": "CL:0000233",
    "Plasma cells": "CL:0000786",
    "alpha": "CL:0000171",
    "beta": "CL:0000169",
    "delta": "CL:0000173",
    "PP": "CL:0002275",
    "ductal": "CL:0002079",
    "acinar": "CL:0002064",
    "Eryth": "CL:0000764",
}


@pytest.mark.parametrize(("name", "cl_id"), SHORTHAND.items())
def test_shorthand(name, cl_id):
    found = resolve_label(name)
    assert found.cl_id == cl_id
    assert found.term_label == load_ontology().term(cl_id).label
    assert found.name == name


@pytest.mark.parametrize(
    "name",
    ["0", "12", "3.0", "1,2", "", "  ", "cluster 3", "Cluster_12", "leiden_4", "c7", "unassigned", "Unknown", "nan",
     "doublets", "low quality", "A549 lung adenocarcinoma cell line", "foo bar", "CL:9999999", "cell", "Cycling"],
)  # fmt: skip
def test_what_is_no_cell_type_stays_unresolved(name):
    found = resolve_label(name)
    assert found.cl_id is None
    assert found.how == "none"
    assert found.score == 0
    assert found.term_label == name


def test_ids_and_labels_resolve_to_themselves():
    onto = load_ontology()
    some = list(onto)[1::7]
    assert [resolve_label(one).cl_id for one in some] == some
    assert [resolve_label(onto.term(one).label).cl_id for one in some] == some
    assert resolve_label("cl_0000236").how == "id"
    assert resolve_label("B CELL").how == "exact"


def test_plural_case_and_hyphen_do_not_matter():
    names = ["naive B cell", "Naive B cells", "NAIVE B-CELL", "naive_B_cells", "B cells, naive", "B_naive"]
    assert {resolve_label(name).cl_id for name in names} == {"CL:0000788"}


@pytest.mark.parametrize(
    ("name", "cl_id"),
    [
        ("Enterocytes TMIGD1 MEP1A", "CL:0000584"),  # genes behind the name
        ("NK cells KLRF1 CD3G-", "CL:0000623"),
        ("T cells CD4 FOSB", "CL:0000624"),
        ("CD19+ B", "CL:0000236"),  # a protein that restates the name
        ("CD4+/CD45RA+/CD25- Naive T", "CL:0000895"),
        ("Activated fibroblasts", "CL:0000057"),  # a state
        ("Eye-Amacrine cells", "CL:0000561"),  # a place
        ("NK_2", "CL:0000623"),  # a cluster number
        ("B cells 1", "CL:0000236"),
        ("stromal cell type 2a", "CL:0000499"),
        ("bcells", "CL:0000236"),  # words run together
        ("regulatoryt", "CL:0000815"),
        ("Patelet", "CL:0000233"),  # a slip of the pen
        ("Immune cell (B cells)", "CL:0000236"),  # the narrower of two
        ("Regulatory T(Treg) cell", "CL:0000815"),
        ("Microglia/macrophage", "CL:0000235"),  # the broader of two
        ("Secretory papillary fibroblast", "CL:0000057"),  # the head of the name
        ("myo-epithelial cell", "CL:0000185"),
        ("melanoma cell", "CL:0001064"),
    ],
)
def test_rules(name, cl_id):
    found = resolve_by_rules(name)
    assert found.cl_id == cl_id
    assert 0 < found.score <= 1


@pytest.mark.parametrize(
    ("name", "other"), [("B-1 B cell", "CL:0000236"), ("Leydig cell progenitor", "CL:0000178"), ("Th2", "CL:0000912")]
)
def test_rules_do_not_go_too_far(name, other):
    assert resolve_label(name).cl_id != other


def test_cd4_never_becomes_cd8():
    onto = load_ontology()
    for name in ("CD4 Tf", "CD8 Tf", "Memory CD4+ cytotoxic T cells", "CD4 xyz T", "CD8 xyz T"):
        found = resolve_label(name).cl_id
        wrong = "CL:0000625" if "CD4" in name else "CL:0000624"
        assert found is None or not (found == wrong or onto.is_ancestor(wrong, found))


def test_only_a_gene_resolves_by_marker():
    assert resolve_label("CD34+").how == "marker"
    assert resolve_label("CD34+").cl_id == "CL:0000037"
    assert resolve_label("FAM13A+").cl_id is None


def test_context_decides():
    assert resolve_label("HSC").cl_id == "CL:0000037"
    assert resolve_label("HSC", context="liver").cl_id == "CL:0000632"
    assert resolve_label("goblet cells", context="human gut mucosa").cl_id == "CL:0019031"
    assert resolve_label("fibroblast", context="lung").cl_id == "CL:0002553"
    assert resolve_label("Goblet cells MUC2 TFF1", context="intestine").cl_id == "CL:0019031"
    assert resolve_label("fibroblast", context="no such place").cl_id == resolve_label("fibroblast").cl_id


def test_list_keeps_order_and_repeats():
    names = ["NK", "0", "NK", "B"]
    assert [found.name for found in resolve_labels(names)] == names
    assert [found.cl_id for found in resolve_labels(names)] == ["CL:0000623", None, "CL:0000623", "CL:0000236"]


def test_result_does_not_depend_on_earlier_calls():
    before = resolve_label("Memory CD4 T")
    resolve_labels(["xyz cell", "0", "CD8 T"])
    assert resolve_label("Memory CD4 T") == before


def test_agreement_with_hand_made_labels():
    path = Path(os.environ.get("SCBIOVERSE_CACHE_DIR", "")) / "cells" / "label_to_cl.tsv"
    if not path.is_file():
        pytest.skip("label_to_cl.tsv is not in SCBIOVERSE_CACHE_DIR")
    with path.open() as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["cl_id"]]
    places = {"gut_crohn_scp1884": "gut", "pancreas_baron_human": "pancreas", "pancreas_wang_501_219g_log": "pancreas"}
    onto = load_ontology()
    found = [resolve_label(row["label"], context=places.get(row["dataset"])).cl_id for row in rows]
    exact = [one == row["cl_id"] for one, row in zip(found, rows, strict=True)]
    close = [one is not None and onto.related(one, row["cl_id"]) for one, row in zip(found, rows, strict=True)]
    assert sum(exact) >= 0.93 * len(rows)
    assert sum(close) >= 0.98 * len(rows)
