"""Rows scored by what words mean: label weights, and classes of molecules by neighbours' texts."""

from __future__ import annotations

import numpy as np
import pytest

from scbioverse.knowledge.captions import singular, ways_to_say
from scbioverse.predict.cells_meant import ABOVE, label_weights
from scbioverse.predict.molecules_meant import Known, PhraseIndex, phrases_of
from scbioverse.predict.neighbours import FLOOR, Neighbours

T, B, CD8, LYMPHOCYTE, MONOCYTE = "CL:0000084", "CL:0000236", "CL:0000625", "CL:0000542", "CL:0000576"


def test_kinds_are_meant_and_what_is_above_may_be() -> None:
    sure, maybe = label_weights((T,), (T, CD8, B, LYMPHOCYTE))
    assert sure.tolist() == [1, 1, 0, 0]
    assert maybe.tolist() == [1, 1, 0, ABOVE]


def test_published_labels_that_are_kept_apart() -> None:
    sure, _ = label_weights(("CL:0001054",), ("CL:0001054", "CL:0002396"))
    assert sure.tolist() == [1, 0]  # who writes "CD14 monocyte" means the CD16-negative one
    assert label_weights(("CL:0002396",), ("CL:0001054", "CL:0002396"))[1].tolist() == [0, 1]


CAPTIONS = [
    "The molecule is a xanthine. It has a role as a central nervous system stimulant and an adenosine antagonist.",
    "The molecule is a quinazoline. It has a role as an EC 2.7.10.1 (receptor protein-tyrosine kinase) inhibitor.",
    "The molecule is an aromatic ether, a beta-adrenergic antagonist and a secondary alcohol.",
]


def test_phrases_of_captions() -> None:
    assert "an adenosine antagonist" in phrases_of(CAPTIONS[0])
    assert "a central nervous system stimulant" in phrases_of(CAPTIONS[0])
    assert phrases_of("sedative; anxiolytic | diuretic") == ["sedative", "anxiolytic", "diuretic"]


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        ("kinase inhibitors", "an EC 2.7.10.1 (receptor protein-tyrosine kinase) inhibitor"),
        ("beta blockers", "a beta-adrenergic antagonist"),
        ("SSRIs", "a serotonin uptake inhibitor"),
        ("steroids", "a corticosteroid hormone"),
        ("HDAC inhibitors", "an EC 3.5.1.98 (histone deacetylase) inhibitor"),
        ("bicycles", ""),
    ],
)
def test_words_find_phrases(words: str, phrase: str) -> None:
    phrases = [
        "an EC 2.7.10.1 (receptor protein-tyrosine kinase) inhibitor", "a beta-adrenergic antagonist",
        "a serotonin uptake inhibitor", "a corticosteroid hormone", "an EC 3.5.1.98 (histone deacetylase) inhibitor",
        "a xenobiotic",
    ]  # fmt: skip
    found = [phrases[i] for i in PhraseIndex(phrases).matches(words)]
    assert (phrase in found) if phrase else found == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("steroids", {"a corticosteroid"}),
        ("non-steroidal drugs", {"a non-steroidal anti-inflammatory drug"}),
        ("anti-inflammatory agents", {"a non-steroidal anti-inflammatory drug"}),
        ("inflammatory mediators", {"an inflammatory mediator"}),
        ("oxidants", {"an oxidant"}),
        ("antioxidants", {"an antioxidant"}),
        ("estrogens", {"an estrogen"}),
    ],
)
def test_words_do_not_find_their_opposite(words: str, found: set[str]) -> None:
    phrases = [
        "a corticosteroid", "a non-steroidal anti-inflammatory drug", "an inflammatory mediator", "an oxidant",
        "an antioxidant", "an estrogen", "an antiestrogen",
    ]  # fmt: skip
    assert {phrases[i] for i in PhraseIndex(phrases).matches(words)} == found


def test_ways_to_say() -> None:
    assert [singular(one) for one in ("kinase inhibitors", "dyes", "analysis", "antibodies")] == [
        "kinase inhibitor", "dye", "analysis", "antibody",
    ]  # fmt: skip
    assert "beta-adrenergic antagonist" in ways_to_say("Beta blockers")


def test_neighbours_vote_by_similarity_and_none_below_the_floor() -> None:
    near = Neighbours(
        np.array([[1, 0], [2, 0], [1, 2], [-1, -1]]),
        np.array([[0.9, 0.5], [0.8, 0.6], [FLOOR - 0.05, 0.1], [np.nan, np.nan]], dtype=np.float32),
    )
    known = Known(near, CAPTIONS)
    vote = known.vote("kinase inhibitors")
    assert vote is not None
    assert vote[0] > 0.8
    assert vote[1] == 0
    assert vote[2] == 0  # its nearest is a kinase inhibitor, and too far away to say so
    assert vote[3] == 0
    assert known.vote("bicycles") is None
