"""Whatever options are put together: `annotate` works, all it wrote valid, or says why not and wrote nothing."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import scbioverse as sb
from tests.bad_inputs._case import digest

from . import _data as data

NAMES = [*data.NAMES, "Tregs", "no such cells", "B cell", "malignant cell", "a/b", "unknown", "7"]
LABELS = st.one_of(
    st.none(),
    st.just("cl"),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=6),
    st.dictionaries(
        st.sampled_from(NAMES), st.sampled_from(["CL:0000236", "CL:0000084", "a cell that kills", "CL:9999999"]),
        min_size=1, max_size=4,
    ),
)  # fmt: skip
# By option: what can be passed, the first of each the default. Some cannot be, and some only with others.
CHOICES: dict[str, list[Any]] = {
    "groupby": [None, "cluster", "cell_type", "holes", "depth", "absent"],
    "sample_key": [None, None, "donor", "absent"],
    "unknown_threshold": [None, "auto", 0.0, 0.6, 1.0, 1.5, float("nan")],
    "parents": [True, False],
    "rationale": ["template", "cell", None, "row"],
    "markers": [None, True, False],
    "n_neighbors": [None, None, 3, 15, 100, 0],
    "key_added": ["bioverse", "mine", "a b", "a/b", ""],
    "layer": [None, "counts", "raw", "absent"],
    "key": [None, "symbols", "absent"],
    "within": [None, None, "lymphocyte", ["CL:0000576", "T cell"], "no such term"],
    "batch_size": [512, 1, 7, 0],
    "rng": [None, 3],
    "copy": [False, True],
}


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    """Options of one call, most of them the default, so that about half of the calls can work."""
    options: dict[str, Any] = {"labels": draw(LABELS)}
    for name in draw(st.lists(st.sampled_from(sorted(CHOICES)), max_size=5, unique=True)):
        options[name] = draw(st.sampled_from(CHOICES[name]))
    return options


@cache
def _cells() -> ad.AnnData:
    adata = data.panel(90)
    adata.var["symbols"] = adata.var_names.astype(object)
    adata.obs["holes"] = pd.Categorical([None, "x", "y"] * 10)
    adata.obs["depth"] = np.asarray(adata.X.sum(axis=1)).ravel()
    adata.layers["counts"] = adata.X.copy()
    adata.raw = adata
    return adata


def run(options: dict[str, Any]) -> None:
    adata = _cells().copy()
    before = digest(adata)
    given_parts = {name: digest(part) for name, part in parts(adata).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            done = sb.tl.annotate(adata, model=data.model(), method="nearest", **options)
        except sb.errors.BioverseError:
            assert digest(adata) == before
            return
    if options.get("copy"):
        assert digest(adata) == before
    else:
        assert done is None
        done = adata
    assert {name: digest(part) for name, part in parts(done).items()} == given_parts
    check_slots(done, options)


def parts(adata: ad.AnnData) -> dict[str, Any]:
    """What a call may not change."""
    columns = ["cell_type", "cluster", "donor", "holes", "depth"]
    return {"X": adata.X, "obs": adata.obs[columns], "var": adata.var, "counts": adata.layers["counts"]}


def check_slots(adata: ad.AnnData, options: dict[str, Any]) -> None:
    key = options.get("key_added", "bioverse")
    cells, scores = sb.get.annotation(adata, key=key), sb.get.scores(adata, key=key)
    record = sb.get.records(adata)["annotate" if key == "bioverse" else f"annotate_{key}"]
    candidates = list(scores.columns)
    if isinstance(options["labels"], list | dict):
        assert candidates == list(dict.fromkeys(options["labels"]))
    called = {*candidates, *(one["name"] for one in record["parents"] or [])}
    labels = cells["label"]
    known = labels.notna().to_numpy()
    groupby = options.get("groupby")
    assert known.all() or (groupby == "holes" and (known == adata.obs["holes"].notna().to_numpy()).all())
    others = set(labels.dropna()) - called
    assert not others or (options.get("unknown_threshold") is not None and all("unknown" in one for one in others))
    confidence = cells["confidence"].to_numpy()
    assert confidence.dtype == np.float32
    assert ((confidence[known] >= 0) & (confidence[known] <= 1)).all()
    assert np.isnan(confidence[~known]).all()
    margin, entropy = (adata.obs[f"{key}_{name}"].to_numpy()[known] for name in ("margin", "entropy"))
    assert ((margin >= 0) & (margin <= 1)).all()
    assert ((entropy >= -1e-6) & (entropy <= np.log(len(candidates)) + 1e-5)).all()
    np.testing.assert_allclose(np.exp(scores.to_numpy(np.float64)).sum(axis=1), 1, rtol=0, atol=1e-5)
    sure = known & labels.isin(candidates).to_numpy()
    # A row's own best candidate is its label, so far as rows do not decide together.
    if groupby is None and sure.any():
        best = scores.to_numpy().argmax(axis=1)[sure]
        assert [candidates[one] for one in best] == list(labels[sure].astype(str))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "out.h5ad"
        adata.write_h5ad(path)
        again = ad.read_h5ad(path)
    pd.testing.assert_frame_equal(sb.get.annotation(again, key=key), cells, check_dtype=False, check_categorical=False)
    pd.testing.assert_frame_equal(sb.get.scores(again, key=key), scores)
    assert sb.get.records(again) == sb.get.records(adata)


@settings(max_examples=16, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(calls())
def test_options_work_or_are_refused_and_nothing_is_left(options: dict[str, Any]) -> None:
    run(options)
