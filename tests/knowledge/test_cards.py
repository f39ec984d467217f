from __future__ import annotations

import numpy as np
import pytest

from recipes.bioverse_small.varied_cards import varied_card
from scbioverse.knowledge import load_ontology, markers_for, resolve_label
from scbioverse.knowledge.phrases import general_texts, label_card


def test_fixed_card_says_what_is_known():
    card = label_card("CL:0000895")
    assert card.startswith("naive CD4 T cell, also called ")
    assert "CCR7" in card
    assert "CD4 T cell" in card
    assert "antigen inexperienced" in card.lower()
    assert card == label_card("CL:0000895")


def test_the_users_own_name_stands_first():
    card = label_card("FCGR3A+ Mono")
    assert card.startswith("FCGR3A+ Mono, also called CD16 monocyte")


def test_name_that_resolves_to_nothing():
    assert label_card("my  odd name") == "my odd name."


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_seed_repeats_a_varied_card(seed):
    first, second = (varied_card("CL:0000236", np.random.default_rng(seed)) for _ in range(2))
    assert first == second


def test_varied_cards_vary_and_stay_true():
    cards = {varied_card("CL:0000236", np.random.default_rng(seed)) for seed in range(20)}
    assert len(cards) > 10
    markers = set(markers_for("CL:0000236", include="ancestors")["gene"])
    known = set(markers_for("CL:0000236", include="ancestors", max_genes=16)["gene"])
    for card in cards:
        assert card.startswith("B cell")
        assert {word.strip(".,") for word in card.split()} & markers <= known


def test_number_of_markers():
    card = label_card("CL:0000236")
    genes = card.split("Marker genes: ")[1].rstrip(".").split(", ")
    assert genes == markers_for("CL:0000236", max_genes=8)["gene"].tolist()


def test_every_term_has_a_card_of_its_own():
    some = list(load_ontology())[::11]
    cards = [label_card(one) for one in some]
    assert len(set(cards)) == len(cards)
    assert all(card == " ".join(card.split()) and card.endswith(".") for card in cards)


def test_general_texts_are_many_and_not_about_cells():
    texts = general_texts()
    assert len(texts) >= 200
    assert len(set(texts)) == len(texts)
    assert all(text[0].isupper() and text.endswith(".") for text in texts)
    assert not [text for text in texts if "cell" in text.lower().split()]
    assert all(resolve_label(text).score < 0.5 for text in texts[::20])


def test_describing_a_term_takes_no_index_of_all_names(monkeypatch):
    from scbioverse.knowledge import phrases as rules
    from scbioverse.knowledge.names import resolver

    monkeypatch.setattr(resolver, "load_index", lambda **_: pytest.fail("the index was built"))
    rules.phrases.cache_clear()
    for cl_id in list(load_ontology())[::100]:
        assert label_card(cl_id)
