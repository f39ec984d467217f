"""Numbers of clusters are no part of a type; numbers that are part of one stay."""

from __future__ import annotations

import pytest

from scbioverse.knowledge import resolve_label, resolve_labels
from scbioverse.knowledge.names.short_names import nearest_names

B, T, NK, TH, MONO = "CL:0000236", "CL:0000084", "CL:0000623", "CL:0000912", "CL:0000576"


@pytest.mark.parametrize(
    ("name", "cl_id"),
    [
        *((name, B) for name in ("1_B cell", "1 B cell", "1: B cell", "1. B", "1-B cells", "2_B", "2) B", "3 B")),
        *((name, B) for name in ("cluster 1 B cell", "Cluster 1: B cell", "0.1: B cell", "B (1)", "B #2", "B_1")),
        *((name, B) for name in ("B cell (3)", "B cells #3", "B cell cluster 3", "B cell_3", "1: B cell (2)")),
        *((name, T) for name in ("1: T cell", "1 T", "T cell_3", "2 - T cells")),
        *((name, NK) for name in ("2 - NK", "4 NK", "4: NK cell", "#3 NK", "NK (1)", "NK cluster 4")),
        ("17_Th", TH),
        ("3: monocyte", MONO),
        ("16_CD16 mono", "CL:0002396"),
        ("1: CL:0000236", B),
    ],
)
def test_a_number_of_a_cluster_is_no_part_of_the_type(name: str, cl_id: str) -> None:
    alone = resolve_label(name)
    beside = resolve_labels([name, "dendritic cell", "platelet"])[0]
    assert (alone.cl_id, beside.cl_id) == (cl_id, cl_id)
    assert alone.name == beside.name == name
    assert alone.how != "exact"


@pytest.mark.parametrize(
    ("name", "cl_id"),
    [
        ("B-1 B cell", "CL:0000819"),
        ("B-1", "CL:0000819"),
        ("B2", "CL:0000822"),
        ("Th17", "CL:0000899"),
        ("CD8 T", "CL:0000625"),
        ("L2/3 IT", "CL:4030059"),
        ("type 1 dendritic cell", "CL:0002394"),
        ("DC_2", "CL:0002399"),
        ("M1 macrophage", "CL:0000863"),
        ("5-HT neuron", "CL:0000850"),
        ("1st trimester trophoblast", "CL:0000351"),
        ("8-cell", "CL:0000007"),
        ("510 nm-cone", "CL:0004161"),
        ("alveolar cell type 2", "CL:0002063"),
    ],
)
def test_a_number_of_a_type_stays(name: str, cl_id: str) -> None:
    assert resolve_label(name).cl_id == cl_id
    assert resolve_labels([name, "monocyte", "1: T cell"])[0].cl_id == cl_id


@pytest.mark.parametrize("name", ["2 B", "B 2", "1 B", "B 1"])
def test_a_number_that_may_be_either_is_read_beside_other_numbers_only(name: str) -> None:
    beside = {one.name: one.cl_id for one in resolve_labels([name, "0 CD4 T", "4 NK"])}
    assert beside == {name: B, "0 CD4 T": "CL:0000624", "4 NK": NK}
    assert resolve_labels([name, "T cell", "NK"])[0].cl_id is None
    assert resolve_label(name).cl_id is None
    digit = next(filter(str.isdigit, name))
    assert nearest_names(name) == ("B cell", f"B-{digit} B cell")


def test_names_of_the_same_type_in_several_clusters() -> None:
    found = resolve_labels(["0: T cell", "1: T cell", "2: EC", "3"])
    assert [(one.name, one.cl_id) for one in found] == [
        ("0: T cell", T),
        ("1: T cell", T),
        ("2: EC", "CL:0000115"),
        ("3", None),
    ]
