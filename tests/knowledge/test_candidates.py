"""Which terms count for which candidate."""

from __future__ import annotations

from scbioverse.knowledge import load_ontology
from scbioverse.knowledge.ontology import candidate_columns, is_within, kin_columns

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


def test_kin_are_the_terms_below_the_narrowest_ancestors_that_hold_any() -> None:
    terms = [CD14, B, NAIVE_CD8, CD8]
    assert kin_columns([CD16], terms) == [[0]]  # both are monocytes
    assert kin_columns([NAIVE_CD4], terms) == [[2, 3]]  # naive T cells, and alpha-beta T cells
    assert kin_columns([MONOCYTE], terms) == [[0]]  # what lies below it
    assert kin_columns([CD8], terms) == [[2, 3]]  # itself and what lies below it
    assert kin_columns([None, "CL:9999999"], terms) == [[], []]
    assert kin_columns([CD16], ["CL:9999999"]) == [[]]


def test_kin_without_number_are_none() -> None:
    terms = sorted(load_ontology().descendants(T))
    assert len(terms) > 50
    assert kin_columns([T], terms) == [[]]
    assert kin_columns([T], terms, most=len(terms)) == [list(range(len(terms)))]


def test_kin_by_definition() -> None:
    ontology = load_ontology()
    terms = sorted({CD14, B, CD8} | set(list(ontology.descendants(T))[:25]))
    for candidate in (CD16, NAIVE_CD4, "CL:0000540", "CL:0000169", "CL:0000794"):
        holding = {
            one: {j for j, term in enumerate(terms) if one == term or one in ontology.ancestors(term)}
            for one in (candidate, *ontology.ancestors(candidate))
        }
        holding = {one: held for one, held in holding.items() if held}
        narrow = [one for one in holding if not any(one in ontology.ancestors(other) for other in holding)]
        wanted = sorted(set().union(*(holding[one] for one in narrow)))
        assert kin_columns([candidate], terms) == [wanted if len(wanted) <= 50 else []]
