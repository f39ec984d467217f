"""The marker term of `annotate`: added where the model has a weight and the genes are there, and said either way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from scbioverse.errors import InputError
from scbioverse.models import Calibration, load
from scbioverse.predict.sources.markers import add_markers, read_markers
from tests._precision import TOTALS

IDS = ["CL:0000236", "CL:0000623", "CL:0000576"]


@pytest.fixture
def model():
    shipped = load("bioverse-small")
    copy = shipped.copy(name="weighted")
    copy.config.calibration["score"] = Calibration({"markers": 0.7})
    return copy


@pytest.fixture(scope="module")
def cells():
    import scbioverse as sb

    adata = sb.datasets.pbmc3k()
    return adata[adata.obs["cell_type"].isin(["B", "NK", "CD14+ Mono"])][:200].copy()


def _ask(model, cells, log_probs, **given):
    options = {"method": "score", "modality": "cell", "markers": None, "key": None, "layer": None} | given
    evidence, note = read_markers(cells, model, IDS, **options)
    return add_markers(log_probs, evidence, note["weight"]), note


def test_markers_decide_where_the_model_does_not(model, cells):
    even = np.full((cells.n_obs, 3), -np.log(3), dtype=np.float32)
    joint, note = _ask(model, cells, even)
    truth = cells.obs["cell_type"].map({"B": 0, "NK": 1, "CD14+ Mono": 2}).to_numpy()
    assert (joint.argmax(axis=1) == truth).mean() > 0.9
    np.testing.assert_allclose(np.exp(joint).sum(axis=1), 1, atol=TOTALS)
    assert note == {"weight": 0.7, "candidates_with_markers": 3}


def test_markers_give_way_to_a_sure_model(model, cells):
    sure = log_softmax(np.tile([60.0, 0.0, 0.0], (cells.n_obs, 1)), axis=1).astype(np.float32)
    assert (_ask(model, cells, sure)[0].argmax(axis=1) == 0).all()


def test_switched_off_nothing_changes(model, cells):
    even = np.full((cells.n_obs, 3), -np.log(3), dtype=np.float32)
    joint, note = _ask(model, cells, even, markers=False)
    assert joint is even
    assert note == {"weight": 0.0}
    model.config.calibration["score"] = Calibration()
    assert _ask(model, cells, even)[0] is even


def test_unreadable_genes_are_said_or_refused(model, cells):
    strange = cells.copy()
    strange.var_names = [f"thing{i}" for i in range(strange.n_vars)]
    even = np.full((cells.n_obs, 3), -np.log(3), dtype=np.float32)
    same, note = _ask(model, strange, even)
    assert same is even
    assert "gene" in note["left_out"]
    with pytest.raises(InputError, match="gene"):
        _ask(model, strange, even, markers=True)


def test_markers_without_a_weight_are_refused(model, cells):
    model.config.calibration["score"] = Calibration()
    with pytest.raises(InputError, match="no marker term"):
        _ask(model, cells, np.zeros((cells.n_obs, 3), np.float32), markers=True)
