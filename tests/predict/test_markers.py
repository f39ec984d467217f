"""Markers beside the language model: added where the model has a weight and the genes are there, said either way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from scbioverse.errors import InputError
from scbioverse.io import Cells
from scbioverse.models import load
from scbioverse.predict.candidates import own_labels
from scbioverse.predict.embedding import Batch, CellEvidence
from scbioverse.predict.pool import Scores, Weights, pool
from scbioverse.predict.sources.language_model import LanguageModel
from tests._precision import TOTALS

IDS = ["CL:0000236", "CL:0000623", "CL:0000576"]
WEIGHTS = Weights({"language_model": 1.0, "markers": 0.7})


@pytest.fixture(scope="module")
def cells():
    import scbioverse as sb

    adata = sb.datasets.pbmc3k()
    return adata[adata.obs["cell_type"].isin(["B", "NK", "CD14+ Mono"])][:200].copy()


def _ask(cells, log_probs, monkeypatch, weights: Weights = WEIGHTS, markers: bool | None = None) -> Scores:
    """Pool the markers with a language model that says these log-probabilities."""
    monkeypatch.setattr(LanguageModel, "scores", lambda *_: log_probs)
    model = load("bioverse-small")
    evidence = None if markers is False else CellEvidence(Cells.of(cells), model)
    batch = Batch(model, np.zeros((cells.n_obs, 1, 2), np.float32), evidence=evidence, needs_genes=bool(markers))
    return pool(batch, own_labels(IDS, "spoken"), weights)


def _even(cells) -> np.ndarray:
    return np.full((cells.n_obs, 3), -np.log(3), dtype=np.float32)


def test_markers_decide_where_the_model_does_not(cells, monkeypatch):
    found = _ask(cells, _even(cells), monkeypatch)
    truth = cells.obs["cell_type"].map({"B": 0, "NK": 1, "CD14+ Mono": 2}).to_numpy()
    assert (found.log_probs.argmax(axis=1) == truth).mean() > 0.9
    np.testing.assert_allclose(np.exp(found.log_probs).sum(axis=1), 1, atol=TOTALS)
    assert found.markers == {"weight": 0.7, "candidates_with_markers": 3}


def test_markers_give_way_to_a_sure_model(cells, monkeypatch):
    sure = log_softmax(np.tile([60.0, 0.0, 0.0], (cells.n_obs, 1)), axis=1).astype(np.float32)
    assert (_ask(cells, sure, monkeypatch).log_probs.argmax(axis=1) == 0).all()


def test_switched_off_nothing_changes(cells, monkeypatch):
    even = _even(cells)
    found = _ask(cells, even, monkeypatch, markers=False)
    np.testing.assert_allclose(found.log_probs, even, atol=TOTALS)
    assert found.markers == {"weight": 0.0}
    found = _ask(cells, even, monkeypatch, Weights({"language_model": 1.0, "markers": 0.0}))
    np.testing.assert_allclose(found.log_probs, even, atol=TOTALS)


def test_unreadable_genes_are_said_or_refused(cells, monkeypatch):
    strange = cells.copy()
    strange.var_names = [f"thing{i}" for i in range(strange.n_vars)]
    even = _even(cells)
    found = _ask(strange, even, monkeypatch)
    np.testing.assert_allclose(found.log_probs, even, atol=TOTALS)
    assert "gene" in found.markers["left_out"]
    with pytest.raises(InputError, match="gene"):
        _ask(strange, even, monkeypatch, markers=True)


def test_markers_without_a_weight_are_refused(cells, monkeypatch):
    with pytest.raises(InputError, match="no marker term"):
        _ask(cells, _even(cells), monkeypatch, Weights({"language_model": 1.0}), markers=True)
