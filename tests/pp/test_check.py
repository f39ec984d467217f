from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

import scbioverse as sb
from scbioverse.errors import InputError, MissingKeyError


@pytest.fixture
def adata() -> ad.AnnData:
    return sb.datasets.toy_cells(n_obs=20, n_genes=200)


def test_report_on_counts(adata: ad.AnnData) -> None:
    report = sb.pp.check_cells(adata)
    assert report["scale"] == "counts"
    assert np.isnan(report["log_base"])
    assert (report["n_obs"], report["n_vars"]) == (20, 200)
    assert 150 < report["n_matched"] <= 200
    assert report["n_matched"] == report["n_symbol"] + report["n_alias"] + report["n_ensembl"]
    assert report["n_alias"] >= 1  # SDPR, today CAVIN2


def test_report_on_a_layer_and_a_vocabulary(adata: ad.AnnData) -> None:
    adata.layers["log"] = np.log1p(adata.X.toarray())
    report = sb.pp.check_cells(adata, layer="log", vocabulary=["CD3E", "LYZ"], min_genes=2)
    assert report["log_base"] == pytest.approx(np.e)
    assert (report["n_matched"], report["n_vocabulary"]) == (2, 2)


def test_symbols_in_a_column_are_hinted_at_and_used(adata: ad.AnnData) -> None:
    adata.var["feature_name"] = adata.var_names.to_numpy()
    adata.var["n_cells"] = 3
    adata.var_names = [f"probe_{i}" for i in range(adata.n_vars)]
    with pytest.raises(InputError, match="pass key='feature_name'"):
        sb.pp.check_cells(adata)
    assert sb.pp.check_cells(adata, key="feature_name")["n_matched"] > 150


def test_missing_layer_and_column(adata: ad.AnnData) -> None:
    with pytest.raises(MissingKeyError, match="layer 'counts'"):
        sb.pp.check_cells(adata, layer="counts")
    with pytest.raises(MissingKeyError, match="'symbol' is not a column"):
        sb.pp.check_cells(adata, key="symbol")
