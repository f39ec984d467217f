from __future__ import annotations

from collections.abc import Sequence

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

from scbioverse import settings
from scbioverse.encoders import Encoder, embed_rows
from scbioverse.encoders._distinct import TextEncoder
from scbioverse.errors import InputError, MissingKeyError
from scbioverse.io import Cells


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "progress", False)


class Letters(TextEncoder):
    """Counts a and b; upper case is another spelling; digits cannot be read."""

    default_key, noun, name, modality, dim = "word", "word", "letters", "molecule", 2

    def __init__(self) -> None:
        self.calls: list[str] = []

    def fingerprint(self) -> str:
        return "letters"

    def clean(self, values: Sequence[str]) -> list[tuple[str, str]]:
        return [("", "a digit") if any(c.isdigit() for c in v) else (v.lower(), "") for v in values]

    def embed_texts(self, values: Sequence[str]) -> np.ndarray:
        self.calls += values
        return np.array([[v.count("a"), v.count("b")] for v in values], dtype=np.float32).reshape(-1, 2)


def cells(words: list[object], *, categorical: bool = False) -> ad.AnnData:
    obs = pd.DataFrame({"word": pd.Series(words, dtype=object)}).rename(index=lambda i: f"cell{i}")
    return ad.AnnData(obs=obs.astype("category") if categorical else obs)


@pytest.mark.parametrize("categorical", [False, True])
def test_each_distinct_value_is_embedded_once_and_spread(categorical: bool) -> None:
    encoder = Letters()
    assert isinstance(encoder, Encoder)
    data = cells(["ab", "aab", "AB", None, "", np.nan, "ab", " ab "], categorical=categorical)
    found = embed_rows(encoder, data, batch_size=1)[:, 0]
    assert sorted(encoder.calls) == ["aab", "ab"]
    expected = [[1, 1], [2, 1], [1, 1], *[[np.nan] * 2] * 3, [1, 1], [1, 1]]
    np.testing.assert_array_equal(found, expected)
    assert encoder.plan(data).summary == {"source": "obs/word", "n_distinct": 2, "n_missing": 3, "n_invalid": 0}


def test_batches_give_the_same() -> None:
    encoder, data = Letters(), cells(["ab", "b", None, "ab", "aaa"])
    held = Cells.of(data)
    parts = [encoder.encode(encoder.prepare(held, rows)) for rows in (slice(0, 2), slice(2, 5))]
    np.testing.assert_array_equal(np.concatenate(parts), embed_rows(encoder, data))
    assert encoder.prepare(held, np.array([2, 4])).count(None) == 1


def test_unreadable_values_are_named_or_skipped() -> None:
    encoder, data = Letters(), cells(["ab", "a1", None, "a1"])
    with pytest.raises(InputError, match=r"2 of 4 rows .* row 'cell1': 'a1' \(a digit\).*invalid='skip'"):
        encoder.plan(data)
    plan = encoder.plan(data, invalid="skip")
    assert (plan.n_missing, plan.n_invalid) == (1, 2)
    found = embed_rows(encoder, data, plan=plan)[:, 0]
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True, True]


def test_errors() -> None:
    encoder = Letters()
    with pytest.raises(MissingKeyError, match=r"no column 'other' \(found: \['word'\]\)"):
        encoder.plan(cells(["ab"]), key="other")
    with pytest.raises(InputError, match="holds no word that can be read"):
        encoder.plan(cells([None, ""]))
    with pytest.raises(InputError, match="choose 'raise' or 'skip'"):
        encoder.plan(cells(["ab"]), invalid="drop")  # type: ignore[arg-type]


def test_a_broken_encoder_is_found_out() -> None:
    class Broken(Letters):
        def embed_texts(self, values: Sequence[str]) -> np.ndarray:
            return np.full((len(values), 2), np.inf, dtype=np.float32)

    with pytest.raises(InputError, match="NaN or infinite values for 1 of 1 distinct texts"):
        embed_rows(Broken(), cells(["ab"]))


def test_too_little_memory_halves_the_texts_at_once(caplog: pytest.LogCaptureFixture) -> None:
    class Tight(Letters):
        def embed_texts(self, values: Sequence[str]) -> np.ndarray:
            if len(values) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return super().embed_texts(values)

    words = ["ab", "b", None, "abab", "aaa", "bbbb"]
    with caplog.at_level("WARNING", logger="scbioverse"):
        found = embed_rows(Tight(), cells(words))
    np.testing.assert_array_equal(found, embed_rows(Letters(), cells(words)))
    assert "out of memory on 5 molecules at once; going on with 2" in caplog.text
