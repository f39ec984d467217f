from __future__ import annotations

import inspect
import logging
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pytest

import scbioverse as sb
from scbioverse._slots import read_record
from scbioverse.encoders import CompactCellEncoder, PrecomputedEncoder, embed_rows
from scbioverse.errors import InputError, MissingKeyError
from tests._precision import SMALL_NET


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sb.settings, "progress", False)


@pytest.fixture
def cells() -> ad.AnnData:
    return sb.datasets.toy_cells(n_obs=12, n_genes=150)


@pytest.fixture
def encoder(cells: ad.AnnData) -> CompactCellEncoder:
    import torch

    from scbioverse.encoders.compact import CompactNet, GeneStats

    rng = np.random.default_rng(0)
    n = cells.n_vars
    stats = GeneStats(tuple(cells.var_names), rng.random(n), rng.random(n) + 0.1, rng.random(n), 1000.0)
    torch.manual_seed(0)
    return CompactCellEncoder(CompactNet(n, 16, 8), stats, name="tiny")


def snapshot(adata: ad.AnnData) -> tuple[object, ...]:
    return (sorted(adata.obsm), sorted(adata.uns), list(adata.obs), adata.X.toarray().tobytes())


def test_slots_and_record(cells: ad.AnnData, encoder: CompactCellEncoder, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="scbioverse"):
        assert sb.tl.embed(cells, model=encoder, rng=7) is None
    np.testing.assert_allclose(cells.obsm["X_bioverse"], embed_rows(encoder, cells)[:, 0], atol=SMALL_NET)
    assert cells.obsm["X_bioverse"].dtype == np.float32
    record = read_record(cells, "embed")
    expected = {
        "model": "tiny", "encoder": "tiny", "fingerprint": encoder.fingerprint(), "modality": "cell", "layer": None,
        "key": None, "seed": 7, "n_genes": 150, "scale": "counts", "dim": 8, "n_tokens": 1, "slot": "X_bioverse",
    }  # fmt: skip
    assert expected.items() <= record.items()
    assert "torch" in record["versions"]
    assert "embed added obsm: X_bioverse; uns['bioverse']: embed" in caplog.text
    assert "150 of 150 vocabulary genes" in caplog.text


@pytest.mark.filterwarnings("ignore:Writing zarr v2:UserWarning")
@pytest.mark.parametrize("fmt", ["h5ad", "zarr"])
def test_results_survive_files(cells: ad.AnnData, encoder: CompactCellEncoder, tmp_path: Path, fmt: str) -> None:
    cells.obsm["rep"] = np.random.default_rng(0).normal(size=(12, 3, 4))
    sb.tl.embed(cells, model=encoder)
    sb.tl.embed(cells, model=PrecomputedEncoder.from_adata(cells, "rep"), key_added="other")
    path = tmp_path / f"a.{fmt}"
    getattr(cells, f"write_{fmt}")(path)
    again = getattr(ad, f"read_{fmt}")(path)
    np.testing.assert_array_equal(again.obsm["X_bioverse"], cells.obsm["X_bioverse"])
    assert again.obsm["X_other"].shape == (12, 3, 4)
    assert read_record(again, "embed") == read_record(cells, "embed")
    assert read_record(again, "embed_other")["use_rep"] == "rep"


def test_other_modalities_have_their_own_slot_and_record(cells: ad.AnnData) -> None:
    cells.obsm["esm"] = np.ones((12, 5))
    sb.tl.embed(cells, model=PrecomputedEncoder.from_adata(cells, "esm", modality="protein"), modality="protein")
    assert cells.obsm["X_bioverse_protein"].shape == (12, 5)
    assert read_record(cells, "embed_protein")["modality"] == "protein"
    assert "embed" not in cells.uns["bioverse"]


def test_copy_leaves_the_original_alone(cells: ad.AnnData, encoder: CompactCellEncoder) -> None:
    before = snapshot(cells)
    result = sb.tl.embed(cells, model=encoder, copy=True)
    assert snapshot(cells) == before
    assert "X_bioverse" in result.obsm


def test_backed_data_are_streamed(cells: ad.AnnData, encoder: CompactCellEncoder, tmp_path: Path) -> None:
    cells.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    try:
        result = sb.tl.embed(backed, model=encoder, copy=True, batch_size=5)
        assert not result.isbacked
        sb.tl.embed(backed, model=encoder, batch_size=5)
        sb.tl.embed(cells, model=encoder)
        for found in (result, backed):
            np.testing.assert_allclose(found.obsm["X_bioverse"], cells.obsm["X_bioverse"], atol=SMALL_NET)
    finally:
        backed.file.close()


def test_layer_is_read_and_recorded(cells: ad.AnnData, encoder: CompactCellEncoder) -> None:
    sb.tl.embed(cells, model=encoder)
    expected = cells.obsm.pop("X_bioverse")
    cells.layers["counts"] = cells.X.copy()
    cells.X = np.full(cells.shape, -1, np.float32)
    sb.tl.embed(cells, model=encoder, layer="counts")
    np.testing.assert_allclose(cells.obsm["X_bioverse"], expected, atol=SMALL_NET)
    assert read_record(cells, "embed")["layer"] == "counts"


def test_nothing_changes_when_an_error_is_raised(cells: ad.AnnData, encoder: CompactCellEncoder) -> None:
    cells.X.data[5] = np.nan
    before = snapshot(cells)
    with pytest.raises(InputError, match="1 NaN values"):
        sb.tl.embed(cells, model=encoder)
    with pytest.raises(MissingKeyError, match="layer 'x'"):
        sb.tl.embed(cells, model=encoder, layer="x")
    with pytest.raises(InputError, match="batch_size"):
        sb.tl.embed(sb.datasets.toy_cells(n_obs=3, n_genes=150), model=encoder, batch_size=0)
    assert snapshot(cells) == before


def test_one_cell(cells: ad.AnnData, encoder: CompactCellEncoder) -> None:
    one = cells[3:4].copy()
    sb.tl.embed(one, model=encoder)
    sb.tl.embed(cells, model=encoder)
    np.testing.assert_allclose(one.obsm["X_bioverse"], cells.obsm["X_bioverse"][3:4], atol=SMALL_NET)


def test_no_cells_are_refused(cells: ad.AnnData, encoder: CompactCellEncoder) -> None:
    with pytest.raises(InputError, match="is empty: 0 cells"):
        sb.tl.embed(cells[:0].copy(), model=encoder)


def test_model_without_the_modality_says_what_it_has(cells: ad.AnnData, encoder: CompactCellEncoder) -> None:
    with pytest.raises(InputError, match=r"no encoder for modality 'protein' \(found: \['cell'\]\)"):
        sb.tl.embed(cells, model=encoder, modality="protein")


def test_models_are_looked_up_by_name(
    cells: ad.AnnData, encoder: CompactCellEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def load(model: object) -> SimpleNamespace:
        asked.append(model)
        return SimpleNamespace(name="loaded", encoders={"cell": encoder})

    monkeypatch.setattr("scbioverse.models.load", load, raising=False)
    sb.tl.embed(cells, model="my-model")
    assert asked == ["my-model"]
    assert read_record(cells, "embed")["model"] == "loaded"


def test_what_is_no_anndata_is_refused(encoder: CompactCellEncoder) -> None:
    with pytest.raises(InputError, match="expected an AnnData, found ndarray"):
        sb.tl.embed(np.ones((3, 4)), model=encoder)


def test_signature_is_the_one_promised() -> None:
    parameters = inspect.signature(sb.tl.embed).parameters
    assert [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD] == [parameters["adata"]]
    defaults = {
        "model": "bioverse-small",
        "modality": "cell",
        "key": None,
        "key_added": None,
        "layer": None,
        "rng": None,
    }
    assert {name: parameters[name].default for name in defaults} == defaults
    assert parameters["copy"].default is False


def test_verbs_are_listed() -> None:
    assert {"embed", "align", "annotate"} <= set(dir(sb.tl))
    with pytest.raises(AttributeError, match="nothing_like_this"):
        _ = sb.tl.nothing_like_this


def test_an_embedding_of_the_users_own_is_not_written_over() -> None:
    adata = sb.datasets.pbmc3k()[:20].copy()
    adata.obsm["X_bioverse"] = np.ones((20, 3))
    for verb in (sb.tl.embed, partial(sb.tl.annotate, labels=["B cell", "monocyte"], rationale=None)):
        with pytest.raises(InputError, match=r"obsm\['X_bioverse'\].*would be lost"):
            verb(adata)
    assert np.array_equal(adata.obsm["X_bioverse"], np.ones((20, 3)))
    assert "bioverse" not in adata.uns
    # One that lost its record, as where data are joined, is replaced.
    del adata.obsm["X_bioverse"]
    sb.tl.embed(adata)
    del adata.uns["bioverse"]
    sb.tl.embed(adata)
    assert "embed" in adata.uns["bioverse"]
