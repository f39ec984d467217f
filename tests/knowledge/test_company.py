"""Labels of one list read together: an ambiguous short name is known by the company it keeps."""

from __future__ import annotations

import pytest

from scbioverse.knowledge import load_ontology, resolve_label, resolve_labels
from scbioverse.knowledge._read import read_table
from scbioverse.knowledge.names.company import places_of
from scbioverse.knowledge.names.short_names import nearest_names

IMMUNE = ["B cells", "T cells", "NK"]


def read(names: list[str]) -> dict[str, str | None]:
    return {one.name: one.cl_id for one in resolve_labels(names)}


@pytest.mark.parametrize(
    ("name", "company", "cl_id"),
    [
        ("HSC", ["Hepatocyte", "Cholangiocyte", *IMMUNE], "CL:0000632"),
        ("HSC", ["CMP", "GMP", "MEP"], "CL:0000037"),
        ("HSC", ["Hepatocyte", "MPP", "GMP", "MEP"], "CL:0000037"),  # a fetal liver
        ("PC", IMMUNE, "CL:0000786"),
        ("PC", ["PT", "TAL", "Podocyte", *IMMUNE], "CL:0005009"),
        ("PC", ["Cardiomyocyte", "FB", "EC"], "CL:0000669"),
        ("PC", ["Purkinje", "Granule cell", "Bergmann glia"], "CL:0000121"),
        ("MC", IMMUNE, "CL:0000097"),
        ("MC", ["PT", "TAL", "Podocyte"], "CL:0000650"),
        ("EC", ["L", "K", "D", "I"], "CL:0000577"),
        ("EC", ["ExN", "InN", "Astro"], "CL:0000115"),
        ("B", ["A", "D", "Acinar", "Ductal"], "CL:0000169"),
        ("B", ["T", "NK", "alpha", "beta", "acinar"], "CL:0000236"),
        ("SC", ["Leydig", "Spermatids", "Spermatocytes"], "CL:0000216"),
        ("GC", ["Oocyte", "Theca", "Cumulus"], "CL:0000501"),
        ("GC", ["FDC", "Tfh", "Plasma cells"], "CL:0000844"),
        ("MG", ["Rod", "Cone", "Amacrine"], "CL:0000636"),
        ("MG", ["ExN", "Oligo", "Astro"], "CL:0000129"),
        ("Basal", ["AT1", "AT2", "Club"], "CL:0002633"),
        ("IgA PC", ["Enterocyte", "Goblet", "B"], "CL:0000987"),
    ],
)
def test_company(name: str, company: list[str], cl_id: str) -> None:
    names = [*company, name]
    assert read(names)[name] == cl_id
    # Neither the order of the list nor repeats matter.
    assert read([*reversed(names), name, company[0]]) == read(names)


def test_why_is_said_and_only_where_there_was_a_choice() -> None:
    found = {one.name: one for one in resolve_labels(["PC", "PT", "Podocyte", "B cell"])}
    assert found["PC"].because == "PT, Podocyte (kidney)"
    assert found["PT"].because == found["B cell"].because == ""


def test_an_id_is_company_and_is_never_read_otherwise() -> None:
    found = resolve_labels(["CL:0000182", "HSC"])
    assert [one.cl_id for one in found] == ["CL:0000182", "CL:0000632"]


def test_equal_short_names_do_not_vote_for_each_other() -> None:
    assert set(read(["HSC1", "HSC2", "HSC3", "HSC_4"]).values()) == {"CL:0000037"}


def test_an_organ_that_was_named_outweighs_a_name() -> None:
    found = resolve_labels(["HSC", "GMP"], context="liver")
    assert found[0].cl_id == "CL:0000632"
    assert found[0].because == "the tissue (liver)"
    assert resolve_labels(["HSC", "GMP"])[0].cl_id == "CL:0000037"
    assert resolve_label("hematopoietic stem cell", context="liver").cl_id == "CL:0000037"


def test_a_name_alone_is_read_by_the_organ_that_was_named() -> None:
    assert resolve_labels(["HSC"], context="adult human liver")[0].cl_id == "CL:0000632"


def test_beside_an_organ_names_keep_their_company_and_their_general_readings() -> None:
    names = ["Fibroblast", "IN", "Astro", "UBC", "Purkinje"]
    plain, told = resolve_labels(names), resolve_labels(names, context="cerebellum")
    assert [one.cl_id for one in told] == [one.cl_id for one in plain]
    assert all(one.cl_id for one in told)
    assert resolve_labels(names, context="no such place") == plain


@pytest.mark.parametrize("name", ["heart", "adult heart", "liver", "lymph node", "adipose tissue", "normal", "retina"])
def test_a_place_or_a_state_is_no_cell(name: str) -> None:
    assert resolve_label(name).cl_id is None


@pytest.mark.parametrize(
    ("name", "cl_id"), [("heart cell", "CL:0002494"), ("muscle", "CL:0000187"), ("Heart-Cardiomyocytes", "CL:0000746")]
)
def test_a_cell_of_a_place_is_one(name: str, cl_id: str) -> None:
    assert resolve_label(name).cl_id == cl_id


@pytest.mark.parametrize("name", ["FAP", "end", "per", "A", "G"])
def test_words_genes_and_letters_are_cells_only_in_a_list(name: str) -> None:
    assert resolve_label(name).cl_id is None


def test_tables_name_terms_by_their_labels_and_places_that_are_known() -> None:
    ontology = load_ontology()
    rows = read_table("abbreviations.tsv")
    assert [row for row in rows if ontology.term(row[1]).label != row[2]] == []
    places = {row[0] for row in read_table("company.tsv")}
    assert {row[3] for row in rows} - places <= {"", "list"}
    assert len({(row[0], row[3]) for row in rows}) == len(rows)


def test_terms_that_tell_a_place_are_called_by_their_labels() -> None:
    rows = [row[1:] for row in read_table("company.tsv") if row[1].startswith("CL:")]
    assert len(rows) > 200
    assert [row for row in rows if load_ontology().term(row[0]).label != row[1]] == []
    # A valve's cells speak for the heart; a bipolar cell of the eye does not.
    assert places_of("CL:4030033") == {"heart"}
    assert "heart" not in places_of("CL:4033033")


def test_near_names_of_what_means_nothing() -> None:
    assert "hepatic stellate cell" in nearest_names("HSC", most=9)
    assert nearest_names("astrocytee")[0] == "astrocyte"
    assert nearest_names("Zorblax") == ()


def test_a_name_that_leads_nowhere_is_read_by_its_known_parts() -> None:
    brain = ["Astro", "Oligo", "OPC", "Micro"]
    assert resolve_labels([*brain, "Neu-xqz"])[-1].cl_id == "CL:0000540"
    assert resolve_labels([*brain, "xqz-wvk"])[-1].cl_id is None
    assert resolve_labels([*brain, "Neu doublets"])[-1].cl_id is None
    # Parts that disagree say nothing.
    assert resolve_labels([*brain, "Oligo_Micro_xqz"])[-1].cl_id is None


@pytest.mark.parametrize(
    ("name", "cl_id"),
    [
        ("MN-xqz-alpha", None),  # "alpha" is of the pancreas by itself, and no part of another name
        ("alpha", "CL:0000171"),
        ("Hypertrophic chond", "CL:0000743"),  # a word cut short
        ("Schawnn_cells", "CL:0002573"),
        ("Fibro2", "CL:0000057"),
        ("CD45-", None),  # what a cell lacks is not what it is
        ("CD16- NK", "CL:0000938"),
        ("CD16+ NK", "CL:0000939"),
        ("proliferating CD8 T", "CL:4033074"),
        ("Myeloid_c10_Macrophage_1_EGR1", "CL:0000235"),
        ("T_cells_c9_NK_cells_AREG", "CL:0000623"),
        ("CD4.c15.Th17.IL23R", "CL:0000899"),
        ("OPC-like (malignant)", "CL:0001064"),
        ("CD8+ LP", "CL:0000625"),  # not the lateral pyloric neuron of a crab
        ("T/Mono dblt", None),
        ("cTNI16 (CD8+ CXCL13+ prolif)", "CL:4033074"),  # a code, with the name in brackets
        ("TZBTB16 (MAIT/NKT-like)", "CL:0000940"),  # which is no code
        ("xqz-derived IgG+ PC", "CL:0000985"),  # what it was is not what it is
        ("monocyte-derived macrophage", "CL:0000235"),
        ("AT2-like tumor", "CL:0001064"),
        ("AT2-like", "CL:0002063"),
        ("hPericyte", "CL:0000669"),  # of human
        ("mNeutrophil", "CL:0000775"),
        ("hRing", None),
        ("AMφ", "CL:0000583"),
        ("aEC", "CL:1000413"),  # the small letter says arterial
        ("AEC", "CL:0000322"),
    ],
)
def test_names_that_other_authors_write(name: str, cl_id: str | None) -> None:
    assert resolve_label(name).cl_id == cl_id


ISLET, SKIN = ["alpha", "beta", "acinar", "PP cells"], ["Keratinocyte", "Melanocyte", "Langerhans", "Sebocyte"]
BRAIN, LIVER = ["Astro", "Oligo", "OPC", "L6b"], ["Hepatocyte", "Cholangiocyte", "LSEC", "Kupffer cells"]


GUT, AIRWAY = ["L", "K", "D", "I", "Enterocyte", "Paneth"], ["AT1", "AT2", "Club", "Ionocyte"]


@pytest.mark.parametrize(
    ("company", "name", "cl_id"),
    [
        (LIVER, "KC_MARCO+", "CL:0000091"),  # its short word as it is meant here
        (BRAIN, "Exc L4 IT", "CL:4030063"),  # narrowed by its other words
        (ISLET, "xqz duct", "CL:0002079"),
        (LIVER, "naive xqzw", None),  # "naive" alone is a T cell, as a part it is not
        (BRAIN, "Mrc1 xqz", None),  # a mouse's gene is no cell
        (BRAIN, "InN_PVALB", "CL:4023018"),  # the term is called by the gene
        (GUT, "EC (TPH1+)", "CL:0000577"),  # a gene in brackets hides no short name
        (GUT, "Mature arterial EC", "CL:1000413"),  # two words are one short name
        (AIRWAY, "Basal", "CL:0002633"),
        (AIRWAY, "Cycling Basal", "CL:4033082"),  # a term of its own is not cut to what the list knows
    ],
)
def test_parts_of_a_name_mean_what_they_mean_in_its_list(company: list[str], name: str, cl_id: str | None) -> None:
    assert resolve_labels([*company, name])[-1].cl_id == cl_id


def test_a_duct_is_of_the_pancreas_only_among_its_cells() -> None:
    assert resolve_labels([*SKIN, "xqz duct"])[-1].cl_id != "CL:0002079"
