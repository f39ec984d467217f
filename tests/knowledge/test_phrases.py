from __future__ import annotations

import pytest

from scbioverse.errors import MissingKeyError
from scbioverse.knowledge import canonical_phrase, load_ontology, resolve_label
from scbioverse.knowledge._read import read_table
from scbioverse.knowledge.phrases import phrases, readable_names


@pytest.mark.parametrize(
    ("cl_id", "phrase"),
    [
        ("CL:0000895", "naive CD4 T cell"),
        ("CL:0002396", "CD16 monocyte"),
        ("CL:0000897", "memory CD4 T cell"),
        ("CL:0001054", "CD14 monocyte"),
        ("CL:0000169", "pancreatic beta cell"),
        ("CL:0000236", "B cell"),
        ("CL:0000625", "CD8 T cell"),
    ],
)
def test_canonical(cl_id, phrase):
    assert canonical_phrase(cl_id) == phrase
    assert phrases(cl_id)[0] == phrase


def test_no_two_terms_share_a_canonical_phrase():
    said = [canonical_phrase(one).casefold() for one in load_ontology()]
    assert len(set(said)) == len(said)
    assert all(text == " ".join(text.split()) and text for text in said)


def test_canonical_phrase_resolves_back_to_its_term():
    onto = load_ontology()
    some = list(onto)[::9]
    lost = [one for one in some if resolve_label(canonical_phrase(one)).cl_id != one]
    assert len(lost) <= 0.03 * len(some), [canonical_phrase(one) for one in lost]


def test_phrases_hold_the_label_and_no_repeats():
    onto = load_ontology()
    for one in list(onto)[::50]:
        said = phrases(one)
        assert onto.term(one).label in said
        assert len({name.casefold() for name in said}) == len(said)


def test_a_synonym_that_means_another_cell_today_is_left_out():
    assert "DC2" not in phrases("CL:0000784")


def test_the_list_is_the_callers_own():
    assert isinstance(phrases("CL:0000236"), tuple)  # kept: nobody may change it


def test_unknown_id():
    with pytest.raises(MissingKeyError):
        phrases("CL:9999999")
    with pytest.raises(MissingKeyError):
        canonical_phrase("CL:9999999")


@pytest.mark.parametrize(("table", "id_at", "label_at"), [("shorthand.tsv", 1, 2), ("phrases.tsv", 0, 2)])
def test_tables_kept_by_hand_name_terms_rightly(table, id_at, label_at):
    onto = load_ontology()
    rows = read_table(table)
    assert rows
    assert [row for row in rows if onto.term(row[id_at]).label != row[label_at]] == []


def test_the_table_of_misleading_names_is_what_the_resolver_says_today():
    # After a change of a table or a rule: python recipes/knowledge/build.py misleading
    onto = load_ontology()
    found = {
        (one, name)
        for one in onto
        for name in readable_names(one)
        if name != onto.term(one).label and resolve_label(name).cl_id not in (one, None)
    }
    assert {tuple(row) for row in read_table("misleading.tsv.gz")} == found
    assert ("CL:0000784", "DC2") in found
