from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scbioverse as sb
from scbioverse._slots import write_record
from scbioverse.app.shown import Shown
from tests._browser import browser, page  # noqa: F401


def cells(n: int = 60) -> AnnData:
    """Toy cells with a map, and labels, scores and a record as `annotate` leaves them, made by hand."""
    adata = sb.datasets.toy_cells(n_obs=n, n_genes=120)
    rng = np.random.default_rng(0)
    types = adata.obs["cell_type"]
    corners = rng.normal(scale=8, size=(len(types.cat.categories), 2))
    adata.obsm["X_umap"] = (corners[types.cat.codes] + rng.normal(size=(n, 2))).astype(np.float32)
    adata.obs["bioverse_label"] = types
    adata.obs["bioverse_confidence"] = rng.uniform(0.3, 1, n).astype(np.float32)
    adata.obs["bioverse_rationale"] = [f"why {one}" for one in types]
    names = list(types.cat.categories)
    ids = dict(zip(names, ("CL:0000236", "CL:0000624", "CL:0000625", "CL:0000623", "CL:0000576", ""), strict=False))
    adata.obs["bioverse_cl_id"] = pd.Categorical([ids[one] for one in types])
    share = rng.dirichlet(np.ones(len(names)), n)
    adata.obsm["bioverse_scores"] = pd.DataFrame(np.log(share), index=adata.obs_names, columns=names)
    labels = [
        {"name": one, "text": one, "cl_id": ids[one], "term": one, "how": "exact", "column": one} for one in names
    ]
    write_record(adata, "annotate", labels=[{"description": None, **one} for one in labels], groups=[], groupby=None)
    write_record(
        adata, "evidence", columns=["label", "gene", "fraction_in", "p"], rows=[[names[0], "CD79A", 0.9, None]]
    )
    return adata


@pytest.fixture
def adata() -> AnnData:
    return cells()


@pytest.fixture
def shown(adata: AnnData) -> Shown:
    return Shown(adata, title="toy.h5ad")
