"""Tissues as people write them."""

from __future__ import annotations

import pytest

from scbioverse.errors import InputError
from scbioverse.knowledge import load_ontology
from scbioverse.knowledge.tissues import listed_types, load_tissues, read_tissue, usual_shares

WRITTEN = {
    "blood": "blood",
    "PBMC": "blood",
    "peripheral blood": "blood",
    "bone-marrow": "bone marrow",
    "colon": "large intestine",
    "Large Intestine": "large intestine",
    "caecum": "large intestine",
    "colorectal cancer": "large intestine",
    "duodenum": "small intestine",
    "gut": "intestine",
    "UBERON:0002048": "lung",
    "uberon_0001155": "large intestine",
    "non-small-cell lung cancer": "lung",
    "brain": "brain",
    "cortex": "cerebral cortex",
    "dorsolateral prefrontal cortex": "cerebral cortex",
    "cortex of the kidney": "kidney",
    "heart left ventricle": "heart",
    "pulmonary artery": "lung",
    "tail of pancreas": "pancreas",
    "islets": "islet of Langerhans",
    "breast": "breast",
    "tumour of the breast": "breast",
    "triple negative breast cancer": "breast",
    "hepatocellular carcinoma": "liver",
    "mesenteric lymph nodes": "lymph node",
    "skin": "skin of body",
}


@pytest.mark.parametrize(("text", "name"), WRITTEN.items())
def test_a_tissue_is_read_as_people_write_it(text, name):
    assert read_tissue(text).name == name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lugn", "'lung'"),
        ("brain metastasis of lung cancer", "brain and lung"),
        ("UBERON:9999999", "no UBERON id"),
        ("", "no tissue"),
        ("cell line", "Known: 'blood'"),
        ("tumour", "no tissue"),
    ],
)
def test_what_names_no_tissue_is_refused_with_near_ones(text, says):
    with pytest.raises(InputError, match=says):
        read_tissue(text)


def test_every_name_and_word_of_a_tissue_reads_as_it():
    assert {read_tissue(one.name) for one in load_tissues().values()} == {*load_tissues().values()}
    assert {read_tissue(one.id) for one in load_tissues().values()} == {*load_tissues().values()}


def test_types_are_terms_and_wholes_are_tissues():
    ontology, known = load_ontology(), {*load_tissues()}
    assert all(cl_id in ontology for types in listed_types().values() for cl_id in types)
    assert all(one.within in {"", *known} for one in load_tissues().values())
    classes, shares = usual_shares()
    assert set(shares) <= {"", *known}
    assert all(len(row) == len(classes) and sum(row) == pytest.approx(1, abs=5e-3) for row in shares.values())
