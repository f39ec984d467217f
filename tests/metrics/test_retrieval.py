from __future__ import annotations

import numpy as np
import pytest

import scbioverse as sb
from scbioverse.errors import InputError


def test_by_hand() -> None:
    candidates = np.eye(4)
    queries = np.array([[1, 0, 0, 0], [0.9, 0.8, 0, 0], [0.5, 0.4, 0.3, 0.2], [0, 0, 0, 1.0]])
    found = sb.metrics.retrieval(queries, candidates, ks=(1, 2, 4))
    assert found["recall@1"] == 0.5  # ranks 1, 2, 3, 1
    assert found["recall@2"] == 0.75
    assert found["recall@4"] == 1
    assert found["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1) / 4)
    assert found["median_rank"] == 1.5
    assert found["chance_recall@2"] == 0.5


def test_targets_and_equally_right_candidates() -> None:
    candidates = np.array([[1.0, 0], [0, 1], [1, 0.1]])
    alone = sb.metrics.retrieval([[1.0, 0]], candidates, target=[2], ks=(1,))
    assert alone["recall@1"] == 0
    shared = sb.metrics.retrieval([[1.0, 0]], candidates, target=[2], groups=["a", "b", "a"], ks=(1,))
    assert shared["recall@1"] == 1


def test_a_collapsed_space_ranks_in_the_middle() -> None:
    found = sb.metrics.retrieval(np.ones((101, 3)), np.ones((101, 3)), ks=(10,))
    assert found["median_rank"] == 51
    assert found["recall@10"] == 0


def test_against_plain_sorting() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(60, 5)), rng.normal(size=(60, 5))
    a, b = a / np.linalg.norm(a, axis=1)[:, None], b / np.linalg.norm(b, axis=1)[:, None]
    order = np.argsort(-(a @ b.T), axis=1)
    ranks = np.array([list(order[i]).index(i) + 1 for i in range(60)])
    assert sb.metrics.retrieval(a, b)["mrr"] == pytest.approx((1 / ranks).mean())


def test_errors() -> None:
    with pytest.raises(InputError, match="target="):
        sb.metrics.retrieval(np.ones((2, 2)), np.ones((3, 2)))
    with pytest.raises(InputError, match="dimensions"):
        sb.metrics.retrieval(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(InputError, match="NaN"):
        sb.metrics.retrieval(np.full((2, 2), np.nan), np.ones((2, 2)))
    with pytest.raises(InputError, match="values from 0 to 1"):
        sb.metrics.retrieval(np.ones((2, 2)), np.ones((2, 2)), target=[0, 2])
    with pytest.raises(InputError, match="ks must"):
        sb.metrics.retrieval(np.ones((2, 2)), np.ones((2, 2)), ks=())
    with pytest.raises(InputError, match="groups must"):
        sb.metrics.retrieval(np.ones((2, 2)), np.ones((2, 2)), groups=[1])
