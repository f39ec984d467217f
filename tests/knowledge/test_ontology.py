from __future__ import annotations

import pytest

from scbioverse.errors import MissingKeyError
from scbioverse.knowledge import Ontology, load_ontology
from scbioverse.knowledge.ontology import Term


def toy() -> Ontology:
    # a <- b <- d, a <- c <- d, d <- e; c has a parent that is not there
    def term(ident: str, parents: str = "", synonyms: tuple[str, ...] = ()) -> Term:
        return Term(ident, f"{ident} cell", "", synonyms, tuple(parents))

    return Ontology([term("a"), term("b", "a", ("twin",)), term("c", "ax", ("twin",)), term("d", "bc"), term("e", "d")])


def test_closure_is_built_from_parents():
    onto = toy()
    assert onto.ancestors("e") == ("d", "b", "c", "a")
    assert onto.descendants("a") == ("b", "c", "d", "e")
    assert onto.ancestors("a") == ()
    assert onto.parents("c") == ("a",)
    assert onto.children("d") == ("e",)


def test_relations():
    onto = toy()
    assert onto.is_ancestor("a", "e")
    assert not onto.is_ancestor("e", "a")
    assert not onto.is_ancestor("a", "a")
    assert onto.related("a", "a")
    assert onto.related("e", "b")
    assert onto.related("b", "e")
    assert not onto.related("b", "c")


def test_depth_is_the_longest_way_down():
    onto = toy()
    assert [onto.depth(one) for one in "abcde"] == [0, 1, 1, 2, 3]


def test_find_ignores_case_and_hyphens_and_drops_ambiguous_synonyms():
    onto = toy()
    assert onto.find("A-CELL") == "a"
    assert onto.find("twin") is None
    assert onto.find("no such") is None


def test_unknown_id_says_how_to_find_one():
    with pytest.raises(MissingKeyError, match="resolve_label"):
        load_ontology().term("CL:9999999")


def test_bundled_ontology():
    onto = load_ontology()
    assert len(onto) > 3000
    assert onto is load_ontology()
    term = onto.term("CL:0000236")
    assert term.label == "B cell"
    assert term.definition
    assert onto.find("t-lymphocyte") == "CL:0000084"
    assert onto.is_ancestor("CL:0000084", "CL:0000895")
    # the direct parent is among the ancestors, which the source's own column leaves out
    assert all(set(onto.parents(one)) <= set(onto.ancestors(one)) for one in onto)
    assert not [one for one in onto if onto.term(one).label.endswith(("cytoplasm", "nucleus"))]


def test_ancestors_and_descendants_mirror_each_other():
    onto = load_ontology()
    some = list(onto)[::40]
    assert all(one in onto.descendants(above) for one in some for above in onto.ancestors(one))
    assert not any(onto.is_ancestor(one, above) for one in some for above in onto.ancestors(one))


def test_mouse_synonym_does_not_take_a_human_name():
    assert load_ontology().find("alpha cell") != "CL:0004117"
    assert load_ontology().find("alpha retinal ganglion cell (Mmus)") == "CL:0004117"


def test_names_that_studies_set_against_each_other_do_not_overlap():
    ontology = load_ontology()
    assert ontology.related("CL:0002396", "CL:0001054")
    assert not ontology.overlaps("CL:0002396", "CL:0001054")
    assert not ontology.overlaps("CL:0001054", "CL:0002396")
    assert ontology.overlaps("CL:0000895", "CL:0000624")
    assert not ontology.overlaps("CL:0000236", "CL:0000084")
