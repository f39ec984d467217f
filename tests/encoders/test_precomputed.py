from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scbioverse.encoders import PrecomputedEncoder, build, embed_rows
from scbioverse.errors import InputError, MismatchError, MissingKeyError, WeightsError
from scbioverse.io import Cells
from tests._precision import FEW

VALUES = np.random.default_rng(0).normal(size=(9, 6))


@pytest.fixture
def adata() -> ad.AnnData:
    adata = ad.AnnData(obs=pd.DataFrame(index=[str(i) for i in range(9)]))
    adata.obsm["X_pca"] = VALUES
    adata.obsm["tokens"] = VALUES.reshape(9, 2, 3)
    adata.obsm["table"] = pd.DataFrame(VALUES, index=adata.obs_names)
    adata.obsm["sparse"] = sp.csr_matrix(VALUES)
    adata.obsm["words"] = pd.DataFrame({"a": ["x"] * 9}, index=adata.obs_names)
    return adata


@pytest.mark.parametrize(
    ("key", "shape"), [("X_pca", (9, 1, 6)), ("tokens", (9, 2, 3)), ("table", (9, 1, 6)), ("sparse", (9, 1, 6))]
)
def test_arrays_of_any_kind_come_back(adata: ad.AnnData, key: str, shape: tuple[int, ...]) -> None:
    encoder = PrecomputedEncoder.from_adata(adata, key)
    found = embed_rows(encoder, adata, batch_size=4, progress=False)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, VALUES.reshape(shape), rtol=FEW)


def test_result_does_not_share_memory(adata: ad.AnnData) -> None:
    adata.obsm["X_pca"] = VALUES.astype(np.float32)
    encoder = PrecomputedEncoder.from_adata(adata, "X_pca")
    batch = encoder.prepare(Cells.of(adata), slice(0, 9))
    encoder.encode(batch)[:] = 0
    np.testing.assert_allclose(adata.obsm["X_pca"], VALUES, rtol=FEW)


def test_another_key_of_the_same_shape_may_be_read(adata: ad.AnnData) -> None:
    encoder = PrecomputedEncoder("X_scvi", dim=6)
    assert encoder.summary(Cells.of(adata, key="X_pca")) == {"use_rep": "X_pca"}


def test_a_missing_key_names_what_is_there(adata: ad.AnnData) -> None:
    with pytest.raises(MissingKeyError, match=r"obsm\['X_scvi'\] is missing.*X_pca"):
        embed_rows(PrecomputedEncoder("X_scvi", dim=6), adata)


def test_another_shape_shows_both(adata: ad.AnnData) -> None:
    with pytest.raises(MismatchError, match="2 tokens of width 3; the model was made for 1 of width 6"):
        embed_rows(PrecomputedEncoder("tokens", dim=6), adata)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_located(adata: ad.AnnData, bad: float) -> None:
    adata.obsm["X_pca"][4, 2] = bad
    with pytest.raises(InputError, match="first in row 4"):
        embed_rows(PrecomputedEncoder("X_pca", dim=6), adata)


def test_words_are_refused(adata: ad.AnnData) -> None:
    with pytest.raises(InputError, match="not numbers"):
        PrecomputedEncoder.from_adata(adata, "words")


def test_fingerprint_follows_the_definition() -> None:
    same = {PrecomputedEncoder("a", dim=3).fingerprint() for _ in range(2)}
    others = {
        PrecomputedEncoder("b", dim=3).fingerprint(),
        PrecomputedEncoder("a", dim=4).fingerprint(),
        PrecomputedEncoder("a", dim=3, modality="protein").fingerprint(),
    }
    assert len(same) == 1
    assert len(same | others) == 4


def test_folder_gives_the_same_encoder_back(tmp_path: Path) -> None:
    encoder = PrecomputedEncoder("tokens", dim=3, n_tokens=2, modality="protein")
    encoder.save(tmp_path)
    again = build("precomputed", tmp_path)
    assert again.fingerprint() == encoder.fingerprint()
    assert (again.key, again.modality, again.kind) == ("tokens", "protein", "precomputed")


@pytest.mark.parametrize("text", ["", "{", '{"version": 2}', '{"version": 1, "key": "a"}', "[]"])
def test_damaged_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "encoder.json").write_text(text)
    with pytest.raises(WeightsError, match=r"cannot read|encoder\.json is"):
        PrecomputedEncoder.from_folder(tmp_path)


@pytest.mark.parametrize("sizes", [{"dim": 0}, {"dim": 3, "n_tokens": 0}])
def test_sizes_must_be_positive(sizes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="positive"):
        PrecomputedEncoder("a", **sizes)
