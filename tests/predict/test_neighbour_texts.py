"""Rows and texts compared by words."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from scbioverse.predict import neighbours
from scbioverse.predict.neighbours import Neighbours, View, known_rows, nearest_rows, similarities
from scbioverse.predict.retrieval import words_views

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
    assert np.isnan(view.queries[[1]].data).any()


def test_names_of_one_group_are_alike_by_their_pieces() -> None:
    texts = ["The molecule is a hexadecanoate.", "The molecule is an octanoate."]
    _, pieces = words_views(NEAR, KNOWN, texts, ["The molecule holds hexadecanoyl.", ""])
    found = similarities(pieces.queries[:1], pieces.pool, "cosine")[0]
    assert found[0] > found[1] + 0.2
    # A row of which nothing was written is nobody's.
    assert nearest_rows([pieces], 1).rows[:, 0].tolist() == [0, -1]


def test_sparse_rows_are_compared_as_dense_ones_are(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    mine, pool = ((rng.random((n, 40)) * (rng.random((n, 40)) < 0.2)).astype(np.float32) for n in (30, 50))
    mine[3], pool[7] = np.nan, np.nan
    dense = View(mine, pool)
    found = View(sparse.csr_array(mine), sparse.csr_array(pool))
    monkeypatch.setattr(neighbours, "_BLOCK", 8)
    monkeypatch.setattr(neighbours, "_DENSE", 16)
    np.testing.assert_array_equal(known_rows([found]), known_rows([dense]))
    np.testing.assert_array_equal(nearest_rows([found], 3).rows, nearest_rows([dense], 3).rows)
    np.testing.assert_allclose(
        similarities(found.queries, found.pool, "cosine"), similarities(mine, pool, "cosine"), rtol=1e-5, atol=1e-6
    )
    assert similarities(found.queries[:0], found.pool, "cosine").shape == (0, 50)


def test_texts_are_held_sparse() -> None:
    # Dense, 20,000 texts of 8,192 features take 655 MB.
    (view,) = words_views(NEAR, KNOWN, [f"The molecule is number {i}." for i in range(20_000)])
    assert view.pool.data.nbytes + view.pool.indices.nbytes < 20e6
