from __future__ import annotations

import numpy as np
import pytest

from scbioverse.errors import InputError
from scbioverse.train import LabelSampler

X = np.arange(20, dtype=np.float32).reshape(10, 2)
LABELS = np.array([0] * 7 + [1] * 2 + [-1])


def draw(sampler: LabelSampler, seed: int = 0, n: int = 50) -> list:
    rng = np.random.default_rng(seed)
    return [sampler(rng) for _ in range(n)]


def test_rows_and_texts_belong_together() -> None:
    sampler = LabelSampler(X, LABELS, ["a", "b"], cards=["card a", "card b"], batch_size=6)
    seen = set()
    for batch in draw(sampler):
        assert batch["embeddings"].shape == (6, 1, 2)
        assert batch["embeddings"].dtype == np.float32
        for x, text, card, group in zip(
            batch["embeddings"], batch["texts"], batch["cards"], batch["groups"], strict=True
        ):
            row = int(x[0, 0]) // 2
            assert LABELS[row] == group
            assert text == "ab"[group]
            assert text in card.split()
            seen.add(card)
    assert seen == {"card a", "card b"}


@pytest.mark.parametrize(("balance", "share"), [(1.0, 0.5), (0.0, 2 / 9)])
def test_balance(balance: float, share: float) -> None:
    sampler = LabelSampler(X, LABELS, ["a", "b"], batch_size=100, balance=balance)
    groups = np.concatenate([batch["groups"] for batch in draw(sampler)])
    assert groups.mean() == pytest.approx(share, abs=0.03)


def test_the_generator_decides() -> None:
    sampler = LabelSampler(X, LABELS, ["a", "b"])
    one, two, other = (
        sampler(np.random.default_rng(1)),
        sampler(np.random.default_rng(1)),
        sampler(np.random.default_rng(2)),
    )
    np.testing.assert_array_equal(one["embeddings"], two["embeddings"])
    assert not np.array_equal(one["embeddings"], other["embeddings"])


def test_relations_follow_the_rows() -> None:
    related = np.array([[False, True], [True, False]])
    batch = LabelSampler(X, LABELS, ["a", "b"], related=related, batch_size=8)(np.random.default_rng(0))
    np.testing.assert_array_equal(batch["related"], batch["groups"][:, None] != batch["groups"][None])


@pytest.mark.parametrize(
    ("labels", "texts", "more", "message"),
    [
        (LABELS, ["a", "b"], {"batch_size": 0}, "batch_size"),
    ],
)
def test_bad_input(labels: np.ndarray, texts: list, more: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        LabelSampler(X, labels, texts, **more)
