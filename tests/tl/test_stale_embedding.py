"""A stored embedding is used while the data are what it was made from, and at no other time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

import scbioverse as sb
from scbioverse.encoders import KmerEncoder
from scbioverse.errors import InputError
from scbioverse.io import Cells

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scbioverse.models import BioVerse

USED, ANEW = "using adata.obsm['X_bioverse']", "embedding anew"


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sb.settings, "progress", False)


def reverse_rows(adata: ad.AnnData) -> None:
    adata.X = adata.X[::-1].copy()


def downsample(adata: ad.AnnData) -> None:
    sc.pp.downsample_counts(adata, counts_per_cell=60, random_state=0)


def permute_names(adata: ad.AnnData) -> None:
    adata.var_names = np.random.default_rng(0).permutation(adata.var_names)


def cut_genes(adata: ad.AnnData) -> None:
    adata._inplace_subset_var(np.arange(200))


def cut_rows(adata: ad.AnnData) -> None:
    adata._inplace_subset_obs(np.arange(40))


def reorder_rows(adata: ad.AnnData) -> None:
    adata._inplace_subset_obs(np.arange(adata.n_obs)[::-1])


def take_logs(adata: ad.AnnData) -> None:
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)


def one_count(adata: ad.AnnData) -> None:
    adata.X[7, 3] = adata.X[7, 3] + 1


def replace_embedding(adata: ad.AnnData) -> None:
    adata.obsm["X_bioverse"] = adata.obsm["X_bioverse"][::-1].copy()


def forget_digest(adata: ad.AnnData) -> None:
    """Leave a record as versions before this one wrote it."""
    import json

    record = json.loads(adata.uns["bioverse"]["embed"])
    del record["input_digest"], record["output_digest"]
    adata.uns["bioverse"]["embed"] = json.dumps(record)


CHANGES = [
    reverse_rows, downsample, permute_names, cut_genes, cut_rows, reorder_rows, take_logs, one_count, replace_embedding,
    forget_digest,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Changing the sparsity structure")
@pytest.mark.parametrize("change", CHANGES, ids=lambda one: one.__name__)
def test_what_changed_is_embedded_anew(
    cells: ad.AnnData, tiny_model: BioVerse, caplog: pytest.LogCaptureFixture, change: Callable[[ad.AnnData], None]
) -> None:
    sb.tl.annotate(cells, model=tiny_model, method="nearest", rationale=None)
    change(cells)
    fresh = ad.AnnData(cells.X.copy(), obs=cells.obs[[]].copy(), var=cells.var[[]].copy())
    sb.tl.annotate(fresh, model=tiny_model, method="nearest", rationale=None)
    copied = cells.copy()
    with caplog.at_level(logging.INFO, logger="scbioverse"):
        done = sb.tl.annotate(copied, model=tiny_model, method="nearest", rationale=None, copy=True)
    assert ANEW in caplog.text
    assert USED not in caplog.text
    # Sums over 300 genes in float32 round at 300 * 6e-8 of values up to 10.
    np.testing.assert_allclose(done.obsm["X_bioverse"], fresh.obsm["X_bioverse"], atol=2e-4)
    np.testing.assert_allclose(done.obsm["bioverse_scores"], fresh.obsm["bioverse_scores"], atol=2e-3)
    np.testing.assert_array_equal(copied.obsm["X_bioverse"], cells.obsm["X_bioverse"])  # copy=True
    # What was made anew is current: the next call uses it.
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="scbioverse"):
        sb.tl.annotate(done, model=tiny_model, method="nearest", rationale=None)
    assert USED in caplog.text


def test_scaled_after_counts_is_refused(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    sb.tl.annotate(cells, model=tiny_model)
    before = cells.obs.copy()
    cells.X = cells.X.toarray()
    sc.pp.scale(cells)
    for call in (
        lambda: sb.tl.annotate(cells, model=tiny_model),
        lambda: sb.tl.annotate(cells, model=tiny_model, markers=False, rationale=None, copy=True),
        lambda: sb.tl.align(cells, text_key="cell_type", model=tiny_model, steps=1),
        lambda: sb.tl.retrieve(cells, "cells that secrete antibodies", model=tiny_model),
        lambda: sb.tl.embed(cells, model=tiny_model),
    ):
        with pytest.raises(InputError, match="negative values"):
            call()
    pd.testing.assert_frame_equal(cells.obs, before)


def test_every_verb_looks(cells: ad.AnnData, tiny_model: BioVerse, caplog: pytest.LogCaptureFixture) -> None:
    verbs: dict[str, Callable[[ad.AnnData], Any]] = {
        "annotate": lambda one: sb.tl.annotate(one, model=tiny_model),
        "align": lambda one: sb.tl.align(one, text_key="cell_type", model=tiny_model, steps=1, batch_size=8),
        "tune": lambda one: sb.tl.tune(one, text_key="cell_type", model=tiny_model, steps=1, batch_size=2),
        "retrieve": lambda one: sb.tl.retrieve(one, "cells that secrete antibodies", model=tiny_model),
        "similar": lambda one: sb.tl.retrieve(one, None, direction="similar", model=tiny_model),
    }
    sb.tl.embed(cells, model=tiny_model)
    for name, verb in verbs.items():
        for change, said, other in ((None, USED, ANEW), (reverse_rows, ANEW, USED)):
            adata = cells.copy()
            if change is not None:
                change(adata)
            caplog.clear()
            with caplog.at_level(logging.INFO, logger="scbioverse"):
                verb(adata)
            assert said in caplog.text, name
            assert other not in caplog.text, name


@pytest.mark.filterwarnings("ignore:Writing zarr v2:UserWarning")
@pytest.mark.parametrize("way", ["h5ad", "zarr", "backed", "csc", "dense", "float64", "columns moved", "copy"])
def test_the_same_data_in_another_form_are_not_embedded_again(
    cells: ad.AnnData, tiny_model: BioVerse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    sb.tl.embed(cells, model=tiny_model)
    if way in ("h5ad", "backed"):
        cells.write_h5ad(tmp_path / "a.h5ad")
        cells = ad.read_h5ad(tmp_path / "a.h5ad", backed="r" if way == "backed" else None)
    elif way == "zarr":
        cells.write_zarr(tmp_path / "a.zarr")
        cells = ad.read_zarr(tmp_path / "a.zarr")
    elif way == "columns moved":
        cells = cells[:, np.random.default_rng(0).permutation(cells.n_vars)].copy()
    elif way == "copy":
        cells = cells.copy()
    else:
        forms = {"csc": sp.csc_matrix, "dense": lambda X: X.toarray(), "float64": lambda X: X.astype(np.float64)}
        cells.X = forms[way](cells.X)
    monkeypatch.setattr("scbioverse.predict.embedding.embed_rows", lambda *_, **__: pytest.fail("embedded anew"))
    sb.tl.annotate(cells, model=tiny_model, method="nearest", markers=False, rationale=None)
    if way == "backed":
        cells.file.close()


def test_counts_in_a_layer_serve_while_x_moves_on(
    cells: ad.AnnData, tiny_model: BioVerse, caplog: pytest.LogCaptureFixture
) -> None:
    cells.layers["counts"] = cells.X.copy()
    sb.tl.embed(cells, model=tiny_model, layer="counts")
    take_logs(cells)
    with caplog.at_level(logging.INFO, logger="scbioverse"):
        sb.tl.annotate(cells, model=tiny_model, layer="counts")
    assert USED in caplog.text
    cells.layers["counts"] = cells.layers["counts"] * 2
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="scbioverse"):
        sb.tl.annotate(cells, model=tiny_model, layer="counts")
    assert ANEW in caplog.text


@pytest.mark.parametrize("change", ["order", "text", "same"])
def test_sequences_that_changed_are_embedded_anew(
    tiny_backbone: Any, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    from scbioverse.models import BioVerse

    model = BioVerse.new(KmerEncoder(), name="tiny", llm=tiny_backbone, n_soft=2, hidden=32)
    model.space.fit(["A kinase.", "A channel.", "Rain is expected.", "The train is late."], dim=3)
    texts = ["MKTAYIAKQR", "GGSGGSGGSA", "MLLAVLYCLL"]
    table = sb.pp.proteins(pd.DataFrame({"sequence": texts}))
    sb.tl.embed(table, model=model, modality="protein")
    if change != "same":
        table.obs["sequence"] = texts[::-1] if change == "order" else [*texts[:2], "MKKKKKKKKK"]
    fresh = sb.pp.proteins(pd.DataFrame({"sequence": table.obs["sequence"].to_list()}))
    sb.tl.retrieve(fresh, "A kinase.", model=model, modality="protein")
    with caplog.at_level(logging.INFO, logger="scbioverse"):
        sb.tl.retrieve(table, "A kinase.", model=model, modality="protein")
    assert ("made by the same encoder" in caplog.text) == (change == "same")
    assert table.obs["bioverse_retrieve_0"].to_numpy() == pytest.approx(fresh.obs["bioverse_retrieve_0"].to_numpy())


def test_surface_proteins_say_what_they_read() -> None:
    from scbioverse.encoders import SurfaceProteinEncoder

    encoder = SurfaceProteinEncoder(KmerEncoder(), {"CD3": "MKTAYIAKQR", "CD19": "GGSGGSGGSA"})
    counts = pd.DataFrame({"CD3": [5, 1, 0], "CD19": [0, 9, 3]}, index=["a", "b", "c"])
    found = set()
    for table in (counts, counts[::-1].set_axis(counts.index), counts * 2, counts.rename(columns={"CD3": "CD4"})):
        adata = ad.AnnData(np.zeros((3, 1), np.float32), obs=pd.DataFrame(index=counts.index))
        adata.obsm["protein_expression"] = table
        found.add(encoder.input_digest(Cells.of(adata)))
        adata.obsm["protein_expression"] = table[table.columns[::-1]]
        found.add(encoder.input_digest(Cells.of(adata)))
    assert len(found) == 4


@pytest.mark.parametrize(
    "where", [{"layer": "raw"}, {"layer": "counts"}, {"key": "symbols"}], ids=["raw", "layer", "key"]
)
def test_markers_and_reasons_are_read_where_the_embedding_was(
    cells: ad.AnnData, tiny_model: BioVerse, caplog: pytest.LogCaptureFixture, where: dict[str, str]
) -> None:
    cells.raw = cells.copy()
    cells.layers["counts"] = cells.X.copy()
    cells.var["symbols"] = list(cells.var_names)
    if "key" in where:
        cells.var_names = [f"g{i}" for i in range(cells.n_vars)]
    else:
        cells.X = cells.X.toarray() - 1  # whatever was read from here would be refused
    asked = sb.tl.annotate(cells, model=tiny_model, copy=True, **where)
    sb.tl.embed(cells, model=tiny_model, **where)
    with caplog.at_level(logging.INFO, logger="scbioverse"):
        sb.tl.annotate(cells, model=tiny_model)
    (option, name), *_ = where.items()
    assert f"{USED}, made by the same encoder from the same data ({option}={name!r})" in caplog.text
    pd.testing.assert_frame_equal(cells.obs, asked.obs)
    assert sb.get.records(cells)["annotate"][option] == name
