"""Small annotated cells, and a browser where there is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData

import scbioverse as sb
from scbioverse._slots import write_record
from tests._browser import browser, page  # noqa: F401

# The name of a group, a label and a column that would act as HTML, as a script's end or as a template's part.
NASTY = '</script><img src=x onerror=alert(1)> $title & "B"'


@pytest.fixture
def annotated() -> AnnData:
    """60 toy cells with all that `annotate` writes, made here, one label of which is `NASTY`."""
    return make_annotated(60)


def make_annotated(n_obs: int, *, nasty: bool = True) -> AnnData:
    adata = sb.datasets.toy_cells(n_obs=n_obs)
    generator = np.random.default_rng(0)
    codes = adata.obs["cell_type"].cat.codes.to_numpy()
    adata.obsm["X_umap"] = np.column_stack([np.cos(codes), np.sin(codes)]) + 0.1 * generator.normal(size=(n_obs, 2))
    names = [NASTY if nasty and name == "platelet" else name for name in adata.obs["cell_type"].cat.categories]
    adata.obs["bioverse_label"] = adata.obs["cell_type"].cat.rename_categories(names)
    adata.obs["bioverse_confidence"] = np.linspace(0.2, 1, n_obs, dtype=np.float32)
    adata.obs["bioverse_rationale"] = [f"MS4A1 marks {name}." for name in adata.obs["bioverse_label"].astype(str)]
    adata.obs["bioverse_cl_id"] = "CL:0000236"
    adata.obs["bioverse_elsewhere"] = np.where(np.arange(n_obs) < 3, 0.9, 0.1).astype(np.float32)
    import pandas as pd

    columns = [f"c{i}" for i in range(len(names))]
    logs = np.log(generator.dirichlet(np.ones(len(names)), n_obs)).astype(np.float32)
    adata.obsm["bioverse_scores"] = pd.DataFrame(logs, index=adata.obs_names, columns=columns)
    counts = {str(k): int(v) for k, v in adata.obs["bioverse_label"].value_counts().items()}
    labels = [
        {"name": name, "text": name, "cl_id": "CL:0000236", "term": "B cell", "how": "exact", "column": column}
        for name, column in zip(names, columns, strict=True)
    ]
    write_record(
        adata, "annotate", model="tiny", fingerprint="f" * 64, llm="smollm2-tiny", llm_sha256="0" * 64, seed=7,
        method="cascade", labels=labels, groups=[], n_labelled=counts, rationale="group", layer=None,
    )  # fmt: skip
    rows = [[NASTY if nasty else names[0], "MS4A1", "high", "", 0.9, 0.1, 3.0, 1e-9, "supported", "self", "PanglaoDB"]]
    columns = [
        "label", "gene", "direction", "against", "fraction_in", "fraction_out", "log_fold_change", "p", "verdict",
        "kind", "source",
    ]  # fmt: skip
    write_record(adata, "evidence", columns=columns, rows=rows)
    return adata


def written(adata: AnnData, folder: Path) -> Path:
    path = folder / "cells.h5ad"
    adata.write_h5ad(path)
    return path
