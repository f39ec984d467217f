from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scbioverse import settings
from scbioverse.encoders import KmerEncoder, MorganEncoder, SurfaceProteinEncoder, embed_rows
from scbioverse.encoders.proteins_surface import clr_weights
from scbioverse.errors import InputError, MissingKeyError
from scbioverse.io import Cells
from tests._precision import UNIT

SEQUENCES = {"CD3": "MQSGTHWRVLGLCLLSVGVWGQ", "cd19": "MPPPRLLFFLLFLTPMEVRPEEPLVV", "CD14": "MERASCLLLLLLPLVHVSATTPEP"}
COUNTS = np.array([[100, 1, 2, 3], [2, 80, 1, 1], [5, 5, 5, 5], [0, 0, 0, 0], [0, 0, 0, 9]], dtype=np.float32)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "progress", False)


@pytest.fixture
def cells() -> ad.AnnData:
    adata = ad.AnnData(X=sp.csr_matrix(np.ones((5, 3), dtype=np.float32)))
    names = ["CD3_TotalSeqB", "CD19", "CD14", "IgG1"]
    adata.obsm["protein_expression"] = pd.DataFrame(COUNTS, columns=names, index=adata.obs_names)
    return adata


def test_weights_by_hand() -> None:
    weights = clr_weights(COUNTS)
    logs = np.log1p(COUNTS[1])
    above = np.clip(logs - logs.mean(), 0, None)
    np.testing.assert_allclose(weights[1], above / above.sum())
    np.testing.assert_allclose(weights[2], 0.25)
    assert np.isnan(weights[3]).all()
    np.testing.assert_allclose(weights[0].sum(), 1)


def test_embedding_is_the_weighted_mean(cells: ad.AnnData) -> None:
    base = KmerEncoder()
    encoder = SurfaceProteinEncoder(base, SEQUENCES)
    found = embed_rows(encoder, cells, batch_size=2)[:, 0]
    table = base.embed_texts(list(SEQUENCES.values()))
    weights = clr_weights(COUNTS)[:, :3]
    np.testing.assert_allclose(found[0], weights[0] @ table / weights[0].sum(), atol=UNIT)
    np.testing.assert_allclose(found[2], table.mean(axis=0), atol=UNIT)
    # No counts; nothing above the cell's average but a control without a sequence.
    assert np.isnan(found).all(axis=1).tolist() == [False, False, False, True, True]
    assert encoder.summary(Cells.of(cells))["proteins_without_sequence"] == ["IgG1"]


def test_other_places(cells: ad.AnnData) -> None:
    encoder = SurfaceProteinEncoder(KmerEncoder(), pd.Series(SEQUENCES))
    expected = embed_rows(encoder, cells)
    table = cells.obsm["protein_expression"]
    array = cells.copy()
    array.obsm["adt"] = table.to_numpy()
    with pytest.raises(MissingKeyError, match="protein_names"):
        embed_rows(encoder, array, key="adt")
    array.uns["protein_names"] = list(table.columns)
    np.testing.assert_array_equal(embed_rows(encoder, array, key="adt"), expected)
    own = ad.AnnData(X=sp.csr_matrix(COUNTS), var=pd.DataFrame(index=table.columns))
    np.testing.assert_array_equal(embed_rows(encoder, own), expected)


def test_fingerprint_knows_the_sequences() -> None:
    one = SurfaceProteinEncoder(KmerEncoder(), SEQUENCES)
    assert one.fingerprint() == SurfaceProteinEncoder(KmerEncoder(), SEQUENCES).fingerprint()
    assert one.fingerprint() != SurfaceProteinEncoder(KmerEncoder(), SEQUENCES | {"CD3": "MQS"}).fingerprint()


def test_errors(cells: ad.AnnData) -> None:
    with pytest.raises(InputError, match="amino acid sequences"):
        SurfaceProteinEncoder(MorganEncoder(), SEQUENCES)
    with pytest.raises(InputError, match="is empty"):
        SurfaceProteinEncoder(KmerEncoder(), {})
    with pytest.raises(InputError, match=r"cannot be read.*no residue"):
        SurfaceProteinEncoder(KmerEncoder(), {"CD3": "1"})
    encoder = SurfaceProteinEncoder(KmerEncoder(), {"CD99": "MKV"})
    with pytest.raises(InputError, match=r"none of 4 proteins .*measured: \['CD3_TotalSeqB'"):
        embed_rows(encoder, cells)
    with pytest.raises(MissingKeyError, match="'adt'"):
        embed_rows(encoder, cells, key="adt")
    cells.obsm["protein_expression"].iloc[0, 0] = -1
    with pytest.raises(InputError, match="negative"):
        embed_rows(SurfaceProteinEncoder(KmerEncoder(), SEQUENCES), cells)
