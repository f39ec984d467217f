"""A count is of what the question says: what was not understood of it is never dropped without a word."""

from __future__ import annotations

import anndata as ad
import pytest

import scbioverse as sb


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    return sb.datasets.pbmc3k()[::27].copy()


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("How many cells have confidence above 0.9?", ["confidence", "above", "0.9"]),
        ("How many cells have more than 500 genes?", ["more", "500"]),
        ("How many cells come from donor 3?", ["donor", "3"]),
        ("How many doublets are there?", ["doublets"]),
        ("How many cells are in cluster 9?", ["9"]),
        ("How many genes are there?", ["genes"]),
        ("Which fraction of cells is mitochondrial?", ["mitochondrial"]),
        ("How many cells do not express CD3D?", ["not"]),
        ("How many cells don't express CD3D?", ["don't"]),
        ("Which fraction of B cells expresses CD3D above 2?", ["above", "2"]),
        ("What share of the NK cells has < 300 counts?", ["<", "300"]),
    ],
)
def test_nothing_is_counted_by_half_of_a_question(cells: ad.AnnData, question: str, words: list[str]) -> None:
    answer = sb.tl.ask(cells, question, groupby="cell_type", model="no-such-model")
    assert "nothing was counted" in answer.text
    assert all(repr(word) in answer.text for word in words)
    assert "cells=" in answer.text
    assert answer.evidence.empty


def test_a_word_beside_a_group_is_named_as_passed_over(cells: ad.AnnData) -> None:
    answer = sb.tl.ask(cells, "How many NK cells are in the blend?", groupby="cell_type")
    assert answer.evidence["n"].tolist() == [int((cells.obs["cell_type"] == "NK").sum())]
    assert "Not understood and passed over" in answer.text
    assert "'blend'" in answer.text


@pytest.mark.parametrize(
    "question",
    [
        "How many cells are there?",
        "How many cells do we have in total?",
        "What is the number of cells in this dataset?",
        "Please count the cells",
        "how many NK cells are there in these data?",
        "What percentage of cells are labelled 'NK'?",
        "Which fraction of B cells expresses MS4A1?",
        "How many cells express both CD3D and MS4A1?",
        "How many cells of cell_type 'NK' are there?",
    ],
)
def test_questions_that_are_understood_whole_are_answered_as_before(cells: ad.AnnData, question: str) -> None:
    text = sb.tl.ask(cells, question, groupby="cell_type").text
    assert "not understood" not in text.lower()
    assert any(letter.isdigit() for letter in text)
