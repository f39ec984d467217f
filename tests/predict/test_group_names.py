"""Free labels of groups: what is written for single cells counts where it fits the group better."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import scbioverse as sb
from scbioverse.predict import free_text
from scbioverse.predict.free_text import CELLS_READ, some_cells
from scbioverse.predict.pool import Scores
from tests._precision import FEW

if TYPE_CHECKING:
    from anndata import AnnData

    from scbioverse.models import BioVerse
    from scbioverse.predict.candidates import Candidates
    from scbioverse.predict.embedding import Batch


def free_labels(
    cells: AnnData, model: BioVerse, monkeypatch: pytest.MonkeyPatch, *, mean: str, each: list[str], fits: str
) -> dict[str, object]:
    """Annotate all cells as one group; means and cells are called as given, and the label `fits` has the best score."""
    asked: dict[str, object] = {}

    def write(
        _model: object, embeddings: np.ndarray, *_: object, **__: object
    ) -> tuple[list[str], np.ndarray, np.ndarray]:
        texts = [mean, *(each[i % len(each)] for i in range(len(embeddings) - 1))]
        asked["read"] = len(embeddings) - 1
        likely = np.log(np.where(np.arange(len(embeddings)) == 0, 0.9, 0.5)).astype(np.float32)
        return texts, likely, np.full(len(texts), -1)

    def scores(batch: Batch, labels: Candidates, *_: object, **__: object) -> Scores:
        asked["offered"] = labels.names
        log_probs = np.log([[0.8 if one == fits else 0.1 for one in labels.names]] * len(batch)).astype(np.float32)
        return Scores(labels, log_probs, 0, {"weight": 0.5})

    monkeypatch.setattr("scbioverse.predict.free_text.write_labels", write)
    monkeypatch.setattr(free_text, "pool", scores)
    cells.obs["all"] = "every cell"
    sb.tl.annotate(cells, model=model, method="generate", groupby="all", rationale=None)
    return asked


def test_cells_overrule_what_was_written_for_their_mean(
    cells: AnnData, tiny_model: BioVerse, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = free_labels(
        cells, tiny_model, monkeypatch, mean="monocyte", each=["platelet", "blood platelet", "flum"], fits="platelet"
    )
    assert set(cells.obs["bioverse_label"]) == {"platelet"}
    assert cells.obs["bioverse_text"].iloc[0] in ("platelet", "blood platelet")
    # A text that means no term cannot be tested, and is not offered.
    assert asked["offered"] == ["monocyte", "platelet"]
    assert asked["read"] == min(len(cells), CELLS_READ)
    called = sum(i % 3 != 2 for i in range(int(str(asked["read"]))))
    np.testing.assert_allclose(cells.obs["bioverse_confidence"], 0.5 * called / int(str(asked["read"])), rtol=FEW)
    assert sb.get.groups(cells)["proposed"].tolist() == [["monocyte", "platelet"]]


@pytest.mark.parametrize(
    ("mean", "each", "fits", "kept"),
    [
        ("monocyte", ["platelet"], "monocyte", "monocyte"),  # it fits
        ("T cell", ["CD8 T cell"], "CD8 T cell", "T cell"),  # how specific to be is the language model's choice
        ("CD8 T cell", ["T cell"], "T cell", "CD8 T cell"),
        ("flum", ["platelet"], "platelet", "platelet"),
        ("cell", ["platelet"], "platelet", "platelet"),  # above everything, and so says nothing
    ],
)
def test_the_label_of_the_mean_stays_unless_another_meaning_fits_better(
    cells: AnnData,
    tiny_model: BioVerse,
    monkeypatch: pytest.MonkeyPatch,
    mean: str,
    each: list[str],
    fits: str,
    kept: str,
) -> None:
    free_labels(cells, tiny_model, monkeypatch, mean=mean, each=each, fits=fits)
    assert set(cells.obs["bioverse_label"]) == {kept}
    np.testing.assert_allclose(cells.obs["bioverse_confidence"], 0.9 if kept == mean else 0.5, rtol=FEW)


def test_cells_that_are_read_do_not_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 1, 6)).astype(np.float32)
    order = rng.permutation(50)
    read = some_cells(np.arange(50), values, values.mean(axis=0), CELLS_READ)
    shuffled = some_cells(np.arange(50), values[order], values.mean(axis=0), CELLS_READ)
    assert read.size == CELLS_READ
    np.testing.assert_array_equal(order[shuffled], read)
    assert sorted(some_cells(np.arange(3), values, values.mean(axis=0), CELLS_READ)) == [0, 1, 2]
