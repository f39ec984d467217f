from __future__ import annotations

import numpy as np
import pytest
import torch

from scbioverse.errors import InputError
from scbioverse.nn import centroid_gap, median_rank, pair_ranks, recall_at_k


def test_ranks_by_hand() -> None:
    candidates = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    queries = np.array([[1.0, 0.1], [1.0, 0.2], [-1.0, -0.1], [0.1, 1.0]])
    assert pair_ranks(queries, candidates, [0, 1, 2, 2]).tolist() == [1, 2, 1, 3]
    assert recall_at_k(queries, candidates, [0, 1, 2, 2]) == 0.5
    assert recall_at_k(queries, candidates, [0, 1, 2, 2], k=2) == 0.75
    assert median_rank(queries, candidates, [0, 1, 2, 2]) == 1.5


def test_length_does_not_matter() -> None:
    a, b = torch.randn(9, 4), torch.randn(9, 4)
    assert torch.equal(pair_ranks(a, b), pair_ranks(7 * a, 0.1 * b))


def test_a_collapsed_space_ranks_in_the_middle() -> None:
    same = np.ones((5, 3))
    assert pair_ranks(same, same).tolist() == [3.0] * 5
    assert recall_at_k(same, same) == 0.0


def test_perfect_pairs() -> None:
    a = np.eye(6)
    assert recall_at_k(a, a) == 1.0
    assert median_rank(a, a) == 1.0


def test_shuffled_pairs_fall_to_chance() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(2000, 16))
    b = rng.normal(size=(10, 16))
    target = rng.integers(10, size=2000)
    assert recall_at_k(a, b, target) == pytest.approx(0.1, abs=0.03)
    assert median_rank(a, b, target) == pytest.approx(5.5, abs=0.6)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = torch.randn(11, 4), torch.randn(11, 4)
    whole = pair_ranks(a, b)
    monkeypatch.setattr("scbioverse.nn.metrics._BLOCK", 3)
    assert torch.equal(pair_ranks(a, b), whole)


def test_gap() -> None:
    a = np.array([[2.0, 0.0], [1.0, 0.0]])
    b = np.array([[0.0, 3.0]])
    assert centroid_gap(a, b) == pytest.approx(2**0.5)
    assert centroid_gap(a, a) == 0.0


def test_wrong_input() -> None:
    a = np.eye(3)
    with pytest.raises(InputError, match="target="):
        pair_ranks(a, a[:2])
    with pytest.raises(InputError, match="target must be"):
        pair_ranks(a, a, [0, 1, 3])
    with pytest.raises(InputError, match="target must be"):
        pair_ranks(a, a, [0, 1])
    with pytest.raises(InputError, match="dimensions"):
        pair_ranks(a, np.eye(4)[:3])
    with pytest.raises(InputError, match="k must be"):
        recall_at_k(a, a, k=0)
    with pytest.raises(InputError, match="dimensions"):
        centroid_gap(a, np.eye(4))
    with pytest.raises(InputError, match="at least one row"):
        centroid_gap(np.empty((0, 3)), a)
