from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pytest

import scbioverse as sb
from scbioverse.knowledge.phrases import spoken_name
from scbioverse.predict.candidates import read_labels
from scbioverse.predict.free_text import generate_labels, label_of
from tests._precision import LOG_PROBS

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from scbioverse.models import BioVerse

TYPES = ["B cell", "CD14 monocyte", "CD8 T cell", "NK cell", "platelet"]


def test_a_given_label_is_always_written(cells: AnnData, tiny_model: BioVerse, tmp_path: Path) -> None:
    sb.tl.annotate(cells, model=tiny_model, labels=TYPES, method="generate")
    assert set(cells.obs["bioverse_label"]) <= {*TYPES, "unknown"}
    known = cells.obs["bioverse_label"] != "unknown"
    written = {label.text: label.name for label in read_labels(TYPES, tiny_model)}
    assert [written[text] for text in cells.obs["bioverse_text"][known]] == cells.obs["bioverse_label"][known].tolist()
    # The confidence is the probability of what was written, which scoring gives, too.
    scores = np.exp(cells.obsm["bioverse_scores"].to_numpy())
    at = [TYPES.index(written[text]) for text in cells.obs["bioverse_text"]]
    np.testing.assert_allclose(cells.obs["bioverse_confidence"], scores[np.arange(len(cells)), at], atol=LOG_PROBS)
    cells.write_h5ad(tmp_path / "a.h5ad")
    assert ad.read_h5ad(tmp_path / "a.h5ad").obs["bioverse_text"].tolist() == cells.obs["bioverse_text"].tolist()


def test_free_text_is_kept_and_mapped(cells: AnnData, tiny_model: BioVerse) -> None:
    sb.tl.annotate(cells, model=tiny_model, method="generate", groupby="cluster")
    for _, part in cells.obs.groupby("cluster", observed=True):
        assert part["bioverse_text"].nunique() == 1
        assert part["bioverse_label"].nunique() == 1
    table = sb.get.groups(cells)
    assert len(table) == cells.obs["cluster"].nunique()


def test_texts_mean_terms() -> None:
    assert label_of(" B cells. And more.").cl_id == "CL:0000236"
    assert label_of("gibberish flum").cl_id is None
    # What a model was taught to call CD14 monocytes, and what it means when it says so.
    assert label_of(spoken_name("CL:0001054"), "spoken").cl_id == "CL:0001054"
    assert label_of("monocyte  Patrolling.", "spoken").name == "CD16 monocyte"
    assert label_of("B cells", "spoken").cl_id == "CL:0000236"
    assert label_of("gibberish flum").name == "gibberish flum"
    assert label_of("").name == "unnamed"
    assert len(label_of("x" * 10_000).name) <= 80


def test_free_labels_of_one_meaning_are_one(tiny_model: BioVerse, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["B cells", "B lymphocyte", "platelet", "flum"]
    monkeypatch.setattr(
        "scbioverse.predict.free_text.write_labels",
        lambda *_, **__: (texts, np.zeros(4, np.float32), np.full(4, -1)),
    )
    written = generate_labels(tiny_model, np.zeros((4, 16), np.float32))
    assert [label.name for label in written.labels] == ["B cell", "platelet", "flum"]
    assert written.codes.tolist() == [0, 0, 1, 2]
    assert written.texts == texts
