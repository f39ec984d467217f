"""Which terms count for which candidate."""

from __future__ import annotations

from scbioverse.knowledge import load_ontology
from scbioverse.knowledge.candidates import candidate_columns, is_within

CD4, CD8, NAIVE_CD4, NAIVE_CD8, T = "CL:0000624", "CL:0000625", "CL:0000895", "CL:0000900", "CL:0000084"
B, CD14, CD16, MONOCYTE = "CL:0000236", "CL:0001054", "CL:0002396", "CL:0000576"


def test_names_that_studies_keep_apart_do_not_hold_each_other() -> None:
    assert not is_within(CD16, CD14)
    assert is_within(CD16, MONOCYTE)
    assert candidate_columns([CD14, CD16, MONOCYTE], [CD14, CD16, MONOCYTE]) == [[0], [1], [2]]
    assert candidate_columns([CD14], [CD16]) == [[]]


def test_labels_without_a_term_and_terms_that_the_ontology_no_longer_has() -> None:
    assert candidate_columns([None, "CL:9999999", B], [B, "CL:9999998"]) == [[], [], [0]]
    assert candidate_columns([B, B], [B]) == [[0], [0]]


def test_it_is_what_the_definition_says() -> None:
    ontology = load_ontology()
    terms = sorted({T, B, MONOCYTE, CD14, CD16} | set(list(ontology.descendants(T))[:60]))
    candidates = [T, CD4, CD8, NAIVE_CD4, CD14, CD16, B]
    for one, columns in zip(candidates, candidate_columns(candidates, terms), strict=True):
        finer = [other for other in candidates if other != one and is_within(other, one)]
        wanted = [
            j
            for j, term in enumerate(terms)
            if is_within(term, one) and not any(is_within(term, other) for other in finer)
        ]
        assert columns == wanted
