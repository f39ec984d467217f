from __future__ import annotations

import math

import pytest

import scbioverse as sb
from scbioverse.errors import InputError

pytest.importorskip("nltk")
pytest.importorskip("rouge_score")

RIGHT = ["The molecule is a monocarboxylic acid.", "It has a role as a plant metabolite."]
WRONG = ["Weather tomorrow: rain", "Nothing in common"]


def test_equal_texts_are_perfect() -> None:
    found = sb.metrics.text_metrics(RIGHT, RIGHT)
    assert found.pop("meteor") > 0.99  # its fragmentation penalty is never quite zero
    assert all(value == pytest.approx(1) for value in found.values())


def test_unrelated_texts_are_zero() -> None:
    assert all(value == 0 for value in sb.metrics.text_metrics(WRONG, RIGHT).values())


def test_bleu_by_hand() -> None:
    # 3 of 4 words, 1 of 3 pairs, equal lengths: no brevity penalty.
    assert sb.metrics.bleu(["a b x d"], ["a b c d"], max_order=1) == pytest.approx(3 / 4)
    assert sb.metrics.bleu(["a b x d"], ["a b c d"], max_order=2) == pytest.approx(math.sqrt(3 / 4 * 1 / 3))
    # Two of four words: brevity penalty exp(1 - 4/2).
    assert sb.metrics.bleu(["a b"], ["a b c d"], max_order=1) == pytest.approx(math.exp(-1))
    assert sb.metrics.bleu(["AB cd"], ["ab-cd"], max_order=1, tokeniser=lambda text: [text]) == 0


def test_rouge_by_hand() -> None:
    found = sb.metrics.rouge(["a b x d"], ["a b c d"])
    assert found == pytest.approx({"rouge1": 3 / 4, "rouge2": 1 / 3, "rougeL": 3 / 4})


def test_meteor_by_hand() -> None:
    # Stem match: all four match in one chunk; penalty 0.5 * (1/4)^3.
    assert sb.metrics.meteor(["the plants inhibits growth"], ["the plant inhibit growth"]) == pytest.approx(
        1 - 0.5 * (1 / 4) ** 3
    )
    # A synonym is no match.
    assert sb.metrics.meteor(["car"], ["automobile"]) == 0


def test_tokens() -> None:
    assert sb.metrics.tokenise("4-Hydroxy, (2S)") == ["4", "-", "hydroxy", ",", "(", "2s", ")"]


def test_errors() -> None:
    with pytest.raises(InputError, match="1 predictions, 2 references"):
        sb.metrics.text_metrics(["a"], ["a", "b"])
    with pytest.raises(InputError, match="0 predictions"):
        sb.metrics.rouge([], [])
    with pytest.raises(InputError, match="not a text"):
        sb.metrics.bleu("abc", ["abc"])
    with pytest.raises(InputError, match="max_order"):
        sb.metrics.bleu(["a"], ["a"], max_order=0)
