from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse.errors import InputError, MissingKeyError


@pytest.fixture
def labelled() -> ad.AnnData:
    adata = ad.AnnData(np.zeros((6, 1), np.float32))
    names = ["CD4 T cell", "B cell", "platelet", "unknown", "Zorblax", None]
    adata.obs["bioverse_label"] = pd.Categorical(names)
    adata.obs["bioverse_cl_id"] = pd.Categorical(["CL:0000624", "CL:0000236", "CL:0000233", "", "", ""])
    return adata


def test_chosen_ancestors(labelled: ad.AnnData, tmp_path: Path) -> None:
    assert sb.tl.rollup(labelled, level=["lymphocyte", "CL:0000084"]) is None
    assert labelled.obs["bioverse_label_rollup"].tolist()[:5] == ["T cell", "lymphocyte", "other", "unknown", "Zorblax"]
    assert labelled.obs["bioverse_label_rollup"].isna().tolist() == [False] * 5 + [True]
    assert labelled.obs["bioverse_label_rollup_cl_id"].tolist() == ["CL:0000084", "CL:0000542", "", "", "", ""]
    labelled.write_h5ad(tmp_path / "x.h5ad")
    back = ad.read_h5ad(tmp_path / "x.h5ad")
    assert back.obs["bioverse_label_rollup"].astype(str).tolist()[0] == "T cell"
    assert sb.get.records(back)["rollup"]["level"] == ["CL:0000542", "CL:0000084"]


def test_depth(labelled: ad.AnnData) -> None:
    done = sb.tl.rollup(labelled, level=4, copy=True)
    assert done is not None
    assert done.obs["bioverse_label_rollup"].tolist()[:2] == ["lymphocyte", "lymphocyte"]
    assert "bioverse_label_rollup" not in labelled.obs
    deep = sb.tl.rollup(labelled, level=50, copy=True)
    assert deep is not None
    assert deep.obs["bioverse_label_rollup"].astype(str).tolist()[:3] == ["CD4 T cell", "B cell", "platelet"]


def test_any_column(labelled: ad.AnnData) -> None:
    labelled.obs["expert"] = ["Tregs", "NK", "q" * 10_000, "B", "1", "CD8 T"]
    sb.tl.rollup(labelled, level="T cell", label_key="expert", key_added="mine")
    assert labelled.obs["mine_label_rollup"].tolist()[0] == "T cell"
    assert labelled.obs["mine_label_rollup"].tolist()[2] == "q" * 10_000
    assert labelled.obs["mine_label_rollup"].tolist()[5] == "T cell"


def test_bad_levels(labelled: ad.AnnData) -> None:
    for level, message in ((-1, "negative"), ([], "names no term"), (["Zorblax"], "no term"), (1.5, "neither"),
                           (True, "neither")):  # fmt: skip
        with pytest.raises(InputError, match=message):
            sb.tl.rollup(labelled, level=level)  # type: ignore[arg-type]
    with pytest.raises(MissingKeyError, match="annotate"):
        sb.tl.rollup(ad.AnnData(np.zeros((1, 1))), level=2)
    with pytest.raises(MissingKeyError, match="label_key='x'"):
        sb.tl.rollup(labelled, level=2, label_key="x")


def test_broader_names_go_with_the_labels_they_were_of() -> None:
    adata = sb.datasets.pbmc3k()[:60].copy()
    sb.tl.annotate(adata, labels=["B cell", "T cell", "monocyte"], rationale=None)
    sb.tl.rollup(adata, level="broad")
    adata.obs["own"] = "B cell"
    sb.tl.rollup(adata, level="broad", label_key="own", key_added="mine")
    sb.tl.annotate(adata, labels=["B cell", "T cell", "NK cell", "monocyte"], rationale=None)
    assert "bioverse_label_rollup" not in adata.obs
    assert "rollup" not in adata.uns["bioverse"]
    # Those of a column of the user's hold still.
    assert (adata.obs["mine_label_rollup"] == "B cell").all()
