from __future__ import annotations

import pytest

from scbioverse.errors import InputError, MissingKeyError
from scbioverse.knowledge import load_genes, load_markers, load_ontology, markers_for
from scbioverse.knowledge._read import read_table
from scbioverse.knowledge.markers import SOURCES, marker_genes
from scbioverse.knowledge.phrases import label_card


def test_table_is_sound():
    table = load_markers()
    assert list(table.columns) == ["cl_id", "gene", "weight", "sources", "n_sources"]
    assert not table.duplicated(["cl_id", "gene"]).any()
    assert (table["weight"] > 0).all()
    assert set(table["gene"]) <= set(load_genes().symbols)
    onto = load_ontology()
    assert all(one in onto for one in table["cl_id"].unique())
    assert set("".join(table["sources"])) == set(SOURCES)
    assert (table["n_sources"] == table["sources"].str.len()).all()
    assert (table.groupby("cl_id").size() >= 3).sum() > 700


@pytest.mark.parametrize(
    ("cl_id", "genes"),
    [
        ("CL:0000236", {"CD79A", "MS4A1", "CD19"}),
        ("CL:0000084", {"CD3D", "CD3E", "CD3G"}),
        ("CL:0000895", {"CCR7", "LEF1"}),
        ("CL:0002396", {"FCGR3A", "MS4A7"}),
        ("CL:0000623", {"GNLY", "NKG7", "KLRD1"}),
        ("CL:0000233", {"PF4", "PPBP"}),
        ("CL:0000169", {"INS", "IAPP"}),
        ("CL:0000182", {"ALB", "APOA1"}),
    ],
)
def test_well_known_markers_are_on_top(cl_id, genes):
    assert genes <= set(markers_for(cl_id, max_genes=30)["gene"])


def test_no_gene_that_every_cell_has():
    genes = load_markers()["gene"]
    assert not genes.str.match(r"^(MT-|RP[LS]\d)").any()
    assert not set(genes) & {"MALAT1", "B2M", "GAPDH"}


def test_genes_of_dividing_cells_mark_no_type_but_those_named_for_it():
    table, ontology = load_markers(), load_ontology()
    for gene in ("MKI67", "TOP2A", "PCNA", "CENPF"):
        names = [ontology.term(one).label for one in table.loc[table["gene"] == gene, "cl_id"]]
        assert names
        assert all(one.startswith(("cycling", "transit amplifying", "mitotic")) for one in names)


def test_more_sources_weigh_more_and_ubiquity_less():
    table = load_markers().set_index(["cl_id", "gene"])
    b_cell = table.loc["CL:0000236"]
    assert b_cell.loc["CD79A", "weight"] > 3 * b_cell[b_cell["n_sources"] == 1]["weight"].median()
    # CD44 marks many unrelated terms, PAX5 hardly any other than B cells
    per_source = b_cell["weight"] / b_cell["n_sources"]
    assert per_source["PAX5"] > per_source[b_cell.index.isin(["CD44", "CD38", "CD27"])].max()


def test_the_table_is_the_callers_own():
    load_markers()["weight"] = 0.0
    assert (load_markers()["weight"] > 0).all()
    markers_for("CL:0000236")["gene"] = "spoilt"
    assert "spoilt" not in set(markers_for("CL:0000236")["gene"])


def test_ancestors_come_after_own_and_never_twice():
    found = markers_for("CL:0000895", include="ancestors")
    own = markers_for("CL:0000895")
    assert list(found["gene"][: len(own)]) == list(own["gene"])
    assert set(found["kind"][: len(own)]) == {"self"}
    assert set(found["kind"][len(own) :]) == {"ancestor"}
    assert not found["gene"].duplicated().any()
    onto = load_ontology()
    assert all(onto.is_ancestor(one, "CL:0000895") for one in found.loc[found["kind"] == "ancestor", "cl_id"].unique())
    for kind in ("self", "ancestor"):
        assert found.loc[found["kind"] == kind, "weight"].is_monotonic_decreasing


def test_descendants():
    found = markers_for("CL:0000084", include="descendants")
    assert {"self", "descendant"} == set(found["kind"])
    assert "CD8A" in set(found["gene"])


def test_a_term_without_markers():
    found = markers_for("CL:0000000")
    assert found.empty
    assert list(found.columns) == ["cl_id", "gene", "weight", "sources", "n_sources", "kind"]


def test_bad_arguments():
    with pytest.raises(InputError, match="ancestors"):
        markers_for("CL:0000236", include="everything")  # type: ignore[arg-type]
    with pytest.raises(MissingKeyError):
        markers_for("CL:9999999")


@pytest.mark.parametrize("include", ["self", "ancestors", "descendants"])
def test_the_genes_alone_are_those_of_the_table(include):
    for cl_id in ("CL:0000236", "CL:0000895", "CL:0000540"):
        assert marker_genes(cl_id, include=include) == list(markers_for(cl_id, include=include)["gene"])
        assert marker_genes(cl_id, include=include, max_genes=7) == marker_genes(cl_id, include=include)[:7]
    with pytest.raises(InputError, match="include"):
        marker_genes("CL:0000236", include="all")


def test_markers_from_papers_stand_beside_those_of_the_pooled_tables():
    ontology, symbols = load_ontology(), set(load_genes().symbols)
    rows = read_table("markers_by_hand.tsv")
    assert len({row[0] for row in rows}) == len(rows) > 30
    for cl_id, name, genes, papers in rows:
        assert ontology.term(cl_id).label == name
        assert set(genes.split()) <= symbols
        assert papers
    table = load_markers().set_index(["cl_id", "gene"])
    assert table.loc[("CL:0001031", "GABRA6"), "sources"] == "L"
    assert "L" not in table.loc[("CL:0000236", "CD79A"), "sources"]
    assert "GABRA6" in marker_genes("CL:0001031")


def test_descriptions_that_models_learned_list_no_markers_from_papers():
    assert marker_genes("CL:0001031", by_hand=False) == []
    assert "GABRA6" not in label_card("CL:0001031")
