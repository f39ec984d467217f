"""Rows and texts compared by words."""

from __future__ import annotations

import numpy as np

from scbioverse.predict.neighbour_texts import words_views
from scbioverse.predict.neighbours import Neighbours, nearest_rows, similarities

KNOWN = [
    "The molecule is an ester of octanoic acid.", "The molecule is an ester of hexadecanoic acid.",
    "The molecule is a steroid.", "The molecule is a member of phenols.",
]  # fmt: skip
NEAR = Neighbours(np.array([[0, 2], [-1, -1]]), np.array([[0.9, 0.5], [np.nan, np.nan]], dtype=np.float32))


def test_words_of_nearer_neighbours_count_more() -> None:
    (view,) = words_views(NEAR, KNOWN, KNOWN)
    found = similarities(view.queries[:1], view.pool, "cosine")[0]
    assert found.argmax() == 0
    assert found[2] > found[3]
    assert np.isnan(view.queries[1]).all()


def test_names_of_one_group_are_alike_by_their_pieces() -> None:
    texts = ["The molecule is a hexadecanoate.", "The molecule is an octanoate."]
    _, pieces = words_views(NEAR, KNOWN, texts, ["The molecule holds hexadecanoyl.", ""])
    found = similarities(pieces.queries[:1], pieces.pool, "cosine")[0]
    assert found[0] > found[1] + 0.2
    # A row of which nothing was written is nobody's.
    assert nearest_rows([pieces], 1).rows[:, 0].tolist() == [0, -1]
