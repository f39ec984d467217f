"""The cells of the contract, in every storage, and the model that reads them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import scbioverse as sb
from scbioverse.llm import Backbone

NAMES = ["B", "CD14+ Mono", "CD8 T", "DC", "FCGR3A+ Mono", "Memory CD4 T", "NK", "Naive CD4 T", "Platelet"]
# Expert types by size: the first seven are a cluster each, the two rarest share one, as a clustering would have it.
BY_SIZE = ["Naive CD4 T", "Memory CD4 T", "CD14+ Mono", "B", "CD8 T", "FCGR3A+ Mono", "NK"]
# 219 genes: the best markers of the nine types, then the genes with most counts; with their Ensembl ids.
PANEL = Path(__file__).parent / "panel.tsv"


@cache
def backbone() -> Backbone:
    """Return the language model in float32, whatever the processor."""
    return Backbone.load("smollm2-135m-instruct", dtype="float32", device="cpu")


@cache
def model() -> sb.models.BioVerse:
    """Return `bioverse-small` on the CPU, read by that language model."""
    sb.settings.device = "cpu"
    return sb.models.load("bioverse-small", llm=backbone(), device="cpu")


@cache
def _blood(step: int) -> ad.AnnData:
    adata = sb.datasets.pbmc3k()[::step].copy()
    types = adata.obs["cell_type"].astype(str)
    adata.obs["cluster"] = [str(BY_SIZE.index(one)) if one in BY_SIZE else str(len(BY_SIZE)) for one in types]
    adata.obs["cluster"] = adata.obs["cluster"].astype("category")
    adata.obs["donor"] = [f"donor{i % 3 + 1}" for i in range(adata.n_obs)]
    adata.obs["donor"] = adata.obs["donor"].astype("category")
    adata.uns.clear()
    return adata


def blood(step: int = 9) -> ad.AnnData:
    """Return every ninth cell of pbmc3k: 300 cells with counts of 13,714 genes, clusters and donors."""
    return _blood(step).copy()


def panel_genes() -> dict[str, str]:
    """Return the panel's symbols and their Ensembl ids."""
    return dict(line.split("\t") for line in PANEL.read_text(encoding="utf-8").splitlines())


def panel(step: int = 9) -> ad.AnnData:
    """Return the same cells as a panel of 219 genes measured them."""
    return blood(step)[:, list(panel_genes())].copy()


def log_normalised(adata: ad.AnnData) -> ad.AnnData:
    """Put log1p of counts per 10,000 in place of counts."""
    counts = sp.csr_matrix(adata.X)
    totals = np.asarray(counts.sum(axis=1)).ravel()
    adata.X = sp.csr_matrix(sp.diags(1e4 / totals) @ counts).log1p().astype(np.float32)
    return adata


def by_ensembl(adata: ad.AnnData) -> ad.AnnData:
    """Move the names of the panel's genes out of sight: Ensembl ids in a column, the index means nothing."""
    adata.var["gene_ids"] = [panel_genes()[name] for name in adata.var_names]
    adata.var_names = [f"feature {i}" for i in range(adata.n_vars)]
    return adata


def counts_in_layer(adata: ad.AnnData) -> ad.AnnData:
    """Leave the counts in a layer only: X is scaled and centred, which nothing can read."""
    adata.layers["counts"] = adata.X.copy()
    values = adata.X.toarray()
    adata.X = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-3)
    return adata


def counts_in_raw(adata: ad.AnnData) -> ad.AnnData:
    """Leave the counts of all genes in `raw` only; X is scaled and holds the panel."""
    whole = adata.copy()
    adata = counts_in_layer(adata)[:, list(panel_genes())].copy()
    del adata.layers["counts"]
    adata.raw = whole
    return adata


def same(adata: ad.AnnData) -> ad.AnnData:
    """Leave everything as it is."""
    return adata


def _dense(adata: ad.AnnData, at: Path) -> Any:
    adata.X = adata.X.toarray()
    return adata


def _columns(adata: ad.AnnData, at: Path) -> Any:
    adata.X = sp.csc_matrix(adata.X)
    return adata


def _whole_numbers(adata: ad.AnnData, at: Path) -> Any:
    adata.X = adata.X.astype(np.int64)
    return adata


def _backed(adata: ad.AnnData, at: Path) -> Any:
    adata.write_h5ad(at / "cells.h5ad")
    return ad.read_h5ad(at / "cells.h5ad", backed="r")


def _backed_dense(adata: ad.AnnData, at: Path) -> Any:
    return _backed(_dense(adata, at), at)


def _zarr(adata: ad.AnnData, at: Path) -> Any:
    adata.write_zarr(at / "cells.zarr")
    return ad.read_zarr(at / "cells.zarr")


def _view(adata: ad.AnnData, at: Path) -> Any:
    twice = ad.concat([adata, adata], index_unique="-")
    twice.var = adata.var
    view = twice[: adata.n_obs]
    view = twice[list(view.obs_names)]
    assert view.is_view
    return view


def _mudata(adata: ad.AnnData, at: Path) -> Any:
    import mudata

    proteins = ad.AnnData(np.ones((adata.n_obs, 2), np.float32), obs=adata.obs[[]].copy())
    proteins.var_names = ["CD3 protein", "CD19 protein"]
    with mudata.set_options(pull_on_update=False):
        return mudata.MuData({"rna": adata, "prot": proteins})


def _dask(adata: ad.AnnData, at: Path) -> Any:
    """Blocks of 64 cells, read when they are asked for."""
    array = pytest.importorskip("dask.array")
    adata.X = array.from_array(adata.X, chunks=(64, adata.n_vars), asarray=False)
    return adata


STORAGES: dict[str, Callable[[ad.AnnData, Path], Any]] = {
    "dense": _dense,
    "csc": _columns,
    "int64": _whole_numbers,
    "backed": _backed,
    "backed-dense": _backed_dense,
    "zarr": _zarr,
    "view": _view,
    "mudata": _mudata,
    "dask": _dask,
}
