from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

from scbioverse import settings
from scbioverse.encoders import Encoder, embed_rows
from scbioverse.errors import InputError
from scbioverse.io import Cells


class Counting:
    """Gives each row its number, and keeps what it was asked for."""

    modality, name, dim, n_tokens = "cell", "counting", 2, 3

    def __init__(self, fault: str = "") -> None:
        self.fault, self.plans, self.blocks = fault, 0, []

    def fingerprint(self) -> str:
        return "0"

    def _look(self, cells: Cells) -> str:
        self.plans += 1
        return f"{cells.key}-{cells.layer}"

    def prepare(self, cells: Cells, rows: Any) -> np.ndarray:
        self.blocks.append((rows, cells.once(self._look)))
        return np.arange(rows.start, rows.stop, dtype=np.float32)

    def encode(self, batch: np.ndarray) -> np.ndarray:
        out = np.repeat(batch, 6).reshape(-1, 3, 2)
        if self.fault == "shape":
            return out[:, :1]
        return np.where(out == 5, np.nan, out) if self.fault == "nan" else out


@pytest.fixture
def adata() -> ad.AnnData:
    return ad.AnnData(obs=pd.DataFrame(index=[str(i) for i in range(10)]))


def test_rows_are_streamed_in_order_and_the_data_looked_at_once(adata: ad.AnnData) -> None:
    encoder = Counting()
    assert isinstance(encoder, Encoder)
    found = embed_rows(encoder, adata, key="k", layer="l", batch_size=4, progress=False)
    assert found.shape == (10, 3, 2)
    assert (found == np.arange(10)[:, None, None]).all()
    assert encoder.plans == 1
    assert encoder.blocks == [(slice(0, 4), "k-l"), (slice(4, 8), "k-l"), (slice(8, 10), "k-l")]


def test_wrong_shapes_and_nan_are_not_passed_on(adata: ad.AnnData) -> None:
    with pytest.raises(InputError, match=r"returned shape \(10, 1, 2\) for 10 rows; expected \(10, 3, 2\)"):
        embed_rows(Counting("shape"), adata, progress=False)
    with pytest.raises(InputError, match="NaN or infinite values for 1 of 10 rows"):
        embed_rows(Counting("nan"), adata, progress=False)


def test_batch_size_must_be_positive(adata: ad.AnnData) -> None:
    with pytest.raises(InputError, match="batch_size"):
        embed_rows(Counting(), adata, batch_size=0)


@pytest.mark.parametrize(
    ("argument", "setting", "shown"), [(True, False, True), (None, True, True), (None, False, False)]
)
def test_progress_bar_follows_argument_then_setting(
    adata: ad.AnnData,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argument: bool | None,
    setting: bool,
    shown: bool,
) -> None:
    monkeypatch.setattr(settings, "progress", setting)
    embed_rows(Counting(), adata, progress=argument)
    assert ("embed (counting)" in capsys.readouterr().err) == shown


def test_too_little_memory_halves_the_rows_at_once(adata: ad.AnnData, caplog: pytest.LogCaptureFixture) -> None:
    class Tight(Counting):
        def encode(self, batch: np.ndarray) -> np.ndarray:
            if len(batch) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return super().encode(batch)

    encoder = Tight()
    with caplog.at_level("WARNING", logger="scbioverse"):
        found = embed_rows(encoder, adata, batch_size=8, progress=False)
    assert (found == np.arange(10)[:, None, None]).all()
    assert [(rows.start, rows.stop) for rows, _ in encoder.blocks] == [
        (0, 8), (0, 4), (0, 2), (2, 4), (4, 6), (6, 8), (8, 10),
    ]  # fmt: skip
    assert "out of memory on 4 cells at once; going on with 2" in caplog.text
