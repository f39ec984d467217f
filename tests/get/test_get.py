from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse._slots import write_record
from scbioverse.errors import InputError, MissingKeyError

LABELS = [
    {"name": "a/b", "text": "x", "cl_id": "CL:1", "term": "t", "how": "exact", "description": None, "column": "a|b"},
    {"name": "c", "text": "c", "cl_id": None, "term": "c", "how": "none", "description": None, "column": "c"},
]


@pytest.fixture
def annotated() -> ad.AnnData:
    """Three rows as `tl.annotate` leaves them, made by hand."""
    adata = ad.AnnData(np.zeros((3, 1), np.float32))
    adata.obs["k_label"] = pd.Categorical(["c", "c", "a/b"])
    adata.obs["k_confidence"] = np.array([0.9, 0.8, 0.7], np.float32)
    adata.obs["k_rationale"] = ["r1", "r2", "r3"]
    adata.obs["k_cl_id"] = pd.Categorical(["", "", "CL:1"])
    adata.obsm["k_scores"] = pd.DataFrame({"a|b": [-2.0, -2, -0.1], "c": [-0.1, -0.2, -2]}, index=adata.obs_names)
    adata.obs["cluster"] = ["0", "0", "1"]
    groups = [
        {"group": "0", "n": 2, "label": "c", "confidence": 0.9, "agreement": 2 / 3},
        {"group": "1", "n": 1, "label": "a/b", "confidence": 0.7, "agreement": 1.0},
    ]
    write_record(adata, "annotate_k", labels=LABELS, groups=groups, groupby="cluster")
    return adata


def test_annotation(annotated: ad.AnnData) -> None:
    table = sb.get.annotation(annotated, key="k")
    assert list(table.columns) == ["label", "confidence", "cl_id", "rationale"]
    assert list(table["label"]) == ["c", "c", "a/b"]
    assert table.index.equals(annotated.obs_names)
    with pytest.raises(MissingKeyError, match=r"bioverse_label.*tl\.annotate"):
        sb.get.annotation(annotated)


def test_labels(annotated: ad.AnnData) -> None:
    table = sb.get.labels(annotated, key="k")
    assert list(table["name"]) == ["a/b", "c"]
    assert list(table["n"]) == [1, 2]
    with pytest.raises(MissingKeyError, match=r"found: .*k_label"):
        sb.get.labels(annotated)


def test_groups(annotated: ad.AnnData) -> None:
    assert sb.get.groups(annotated, key="k").to_dict("records")[0]["agreement"] == pytest.approx(2 / 3)
    write_record(annotated, "annotate_k", labels=LABELS, groups=[])
    empty = sb.get.groups(annotated, key="k")
    assert empty.empty
    assert list(empty.columns) == ["group", "n", "label", "confidence", "agreement"]


def test_scores_have_the_names_as_given(annotated: ad.AnnData) -> None:
    table = sb.get.scores(annotated, key="k")
    assert list(table.columns) == ["a/b", "c"]
    assert list(annotated.obsm["k_scores"].columns) == ["a|b", "c"]
    with pytest.raises(MissingKeyError, match="bioverse_scores"):
        sb.get.scores(annotated)


def test_records(annotated: ad.AnnData) -> None:
    found = sb.get.records(annotated)
    assert set(found) == {"annotate_k"}
    assert found["annotate_k"]["labels"] == json.loads(json.dumps(LABELS))
    assert sb.get.records(ad.AnnData(np.zeros((1, 1)))) == {}
    annotated.uns["bioverse"]["x"] = "{ not json"
    with pytest.raises(InputError, match=r"'x'.*no record"):
        sb.get.records(annotated)


def test_what_was_never_written_is_told_by_the_verb_that_writes_it() -> None:
    adata = sb.datasets.toy_cells(n_obs=5, n_genes=60)
    for read, said in (
        (sb.get.groups, r"Run scbioverse\.tl\.annotate\(adata\) first"),
        (sb.get.evidence, r"Run scbioverse\.tl\.annotate\(adata\) first"),
        (
            lambda data: sb.get.groups(data, key="mine"),
            r"Run scbioverse\.tl\.annotate\(adata, key_added='mine'\) first",
        ),
        (
            lambda data: sb.pl.training_history(data, show=False),
            r"Run scbioverse\.tl\.tune\(adata, text_key=\.\.\.\) f",
        ),
    ):
        with pytest.raises(MissingKeyError, match=said):
            read(adata)
