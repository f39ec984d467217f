"""What is pinned of answers is right: the numbers in them are computed here once more."""

from __future__ import annotations

import pytest

from ._asked import CELLS, MOLECULES, PROTEINS, SAYS_NOTHING
from ._golden import read


@pytest.mark.parametrize("question", CELLS)
def test_answers_about_cells_hold_the_truth(question: str) -> None:
    text, truth = read("ask_cells").text[question]["text"], CELLS[question]
    if truth is None:
        assert SAYS_NOTHING in text
    else:
        assert [one for one in truth() if one not in text] == []


@pytest.mark.parametrize("question", [*MOLECULES, *PROTEINS])
def test_answers_about_sequences_hold_the_truth(question: str) -> None:
    text = read("ask_sequences").text[question]["text"]
    assert [one for one in {**MOLECULES, **PROTEINS}[question] if one not in text] == []
