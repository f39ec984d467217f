from __future__ import annotations

import pytest

from scbioverse.knowledge.names.tokens import loose_key, strict_key, tokens


@pytest.mark.parametrize(
    "names",
    [
        ("FCGR3A+ Monocytes", "CD16 Mono", "CD16-positive monocyte", "monocyte CD16+", "CD16+_monocytes"),
        ("Naive CD4 T", "T cells Naive CD4", "CD4+ naive T-cells", "CD4-positive naive T lymphocyte"),
        ("γδ T cell", "gamma-delta T cell", "gdT", "gamma delta T lymphocytes"),
        ("Tregs", "T regulatory cells", "regulatory T cell", "T reg"),
        ("Th17", "T-helper 17 cell", "helper T 17", "T helper17"),
        ("Müller cells", "Muller cell"),
        ("haematopoietic stem cells", "HSC", "hematopoietic stem cell"),
        ("CD56bright NK", "CD56-bright natural killer cell", "NK_CD56hi"),
        ("type I pneumocyte", "pneumocyte type 1"),
        ("Choroid plexus", "ChoroidPlexus"),
    ],
)
def test_spellings_of_one_name_share_a_key(names):
    assert len({strict_key(tokens(name)) for name in names}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("CD4+ T", "CD4- T"), ("T cell", "B cell"), ("Th1", "Th2"), ("CD16+ monocyte", "CD14+ monocyte"), ("DC1", "DC2")],
)
def test_different_names_stay_apart(one, other):
    assert strict_key(tokens(one)) != strict_key(tokens(other))


def test_signs_between_proteins():
    assert tokens("CD14++CD16- monocyte") == ("+CD14", "-FCGR3A", "monocyte")
    assert tokens("CD4-CD8- T cell") == ("-CD4", "-CD8A", "t")


def test_loose_key_drops_what_is_lacking():
    label = "CD14-low, CD16-positive monocyte"
    assert loose_key(tokens(label)) == strict_key(tokens("CD16 monocyte"))
    assert loose_key(tokens("naive thymus-derived CD4-positive, alpha-beta T cell")) == {"naive", "+CD4", "t"}


def test_abbreviations_are_not_taken_for_genes():
    assert tokens("PC") == ("pc",)
    assert tokens("RPE") == ("rpe",)
    assert tokens("T cell PVALB")[-1] == "+PVALB"
