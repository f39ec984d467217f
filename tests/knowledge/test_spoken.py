"""Spoken names: general word first, one for each term, nothing lost."""

from __future__ import annotations

import pytest

from scbioverse.errors import MissingKeyError
from scbioverse.knowledge import load_ontology
from scbioverse.knowledge._read import read_table
from scbioverse.knowledge.phrases import spoken_name


def test_no_two_terms_share_a_spoken_name():
    names = [spoken_name(cl_id).casefold() for cl_id in load_ontology()]
    assert len(set(names)) == len(names)
    assert all(names)


def test_every_name_by_hand_is_used_and_known():
    ontology = load_ontology()
    for cl_id, name in (row[:2] for row in read_table("spoken.tsv")):
        assert cl_id in ontology
        assert spoken_name(cl_id) == name


@pytest.mark.parametrize(
    ("special", "general"),
    [
        ("CL:0000788", "CL:0000236"),  # naive B cell, B cell
        ("CL:0000895", "CL:0000624"),  # naive CD4 T cell, CD4 T cell
        ("CL:0000784", "CL:0000451"),  # plasmacytoid dendritic cell, dendritic cell
        ("CL:0002396", "CL:0000576"),  # CD16 monocyte, monocyte
        ("CL:0002138", "CL:0000115"),  # lymphatic endothelial cell, endothelial cell
    ],
)
def test_a_subtype_begins_with_its_kind(special, general):
    assert spoken_name(special).startswith(spoken_name(general) + " ")


def test_narrowing_words_move_behind_by_rule():
    assert "CL:0000583" in load_ontology()
    assert spoken_name("CL:0000583") == "macrophage alveolar"


def test_unknown_terms_are_refused():
    with pytest.raises(MissingKeyError):
        spoken_name("CL:9999999")
