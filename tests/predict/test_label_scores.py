"""The cascade through `annotate`: with and without markers, groups, the ontology, thresholds, other stems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import scbioverse as sb
from scbioverse._slots import read_record
from scbioverse.errors import InputError
from scbioverse.models.config import Calibration
from scbioverse.predict.pool import pool_record
from tests._precision import LOG_PROBS, TOTALS

if TYPE_CHECKING:
    from anndata import AnnData

    from scbioverse.models import BioVerse

LABELS = ["NK cell", "B cell", "CD14 monocyte"]


@pytest.fixture
def pooled(tiny_model: BioVerse) -> BioVerse:
    copy = tiny_model.copy(name="pooled")
    pool = Calibration({"language_model": 0.5, "nearest": 3.0, "markers": 0.7}, thresholds={"sure": 0.6})
    nearest = Calibration({"markers": 0.5}, temperature=0.2)
    copy.config.calibration |= {"cascade": pool, "nearest": nearest, "score": Calibration({"markers": 0.4})}
    return copy


def _done(cells: AnnData, model: BioVerse, **options: Any) -> AnnData:
    given = {"labels": LABELS, "rationale": None, **options}
    done = sb.tl.annotate(cells, model=model, copy=True, **given)
    assert done is not None
    return done


def _scores(done: AnnData, stem: str = "bioverse") -> np.ndarray:
    return done.obsm[f"{stem}_scores"].to_numpy()


def test_it_is_the_default_and_the_record_says_how(cells: AnnData, pooled: BioVerse) -> None:
    done = _done(cells, pooled)
    record = read_record(done, "annotate")
    assert record["method"] == "cascade"
    assert record["markers"]["weight"] == 0.7
    assert record["temperature"] is None  # the pool's weights hold it
    assert record["pool"] == pool_record(pooled.config.calibration["cascade"])
    assert 0 < record["rows_read_by_llm"] <= cells.n_obs
    np.testing.assert_allclose(np.exp(_scores(done)).sum(axis=1), 1, atol=TOTALS)
    assert read_record(_done(cells, pooled, method="score"), "annotate")["pool"] is None


def test_neither_rows_nor_the_order_of_labels_matter(cells: AnnData, pooled: BioVerse) -> None:
    whole = _scores(_done(cells, pooled))
    np.testing.assert_allclose(_scores(_done(cells[7:8].copy(), pooled)), whole[7:8], atol=LOG_PROBS)
    turned = _done(cells[::-1].copy(), pooled, labels=LABELS[::-1])
    np.testing.assert_allclose(_scores(turned)[::-1, ::-1], whole, atol=LOG_PROBS)


def test_without_markers_and_with_genes_that_cannot_be_read(
    cells: AnnData, pooled: BioVerse, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = _done(cells, pooled, markers=False)
    assert np.abs(_scores(alone) - _scores(_done(cells, pooled))).max() > 1e-3

    def unreadable(*_: Any, **__: Any) -> None:
        raise InputError("no genes")

    monkeypatch.setattr("scbioverse.predict.embedding.CellEvidence.__call__", unreadable)
    blind = _done(cells, pooled)
    np.testing.assert_array_equal(_scores(blind), _scores(alone))
    assert read_record(blind, "annotate")["markers"]["left_out"] == "no genes"
    slots = set(cells.obs), set(cells.obsm), set(cells.uns)
    with pytest.raises(InputError, match="no genes"):
        sb.tl.annotate(cells, model=pooled, labels=LABELS, markers=True)
    assert (set(cells.obs), set(cells.obsm), set(cells.uns)) == slots


def test_groups_a_threshold_and_another_stem(cells: AnnData, pooled: BioVerse) -> None:
    done = _done(cells, pooled, groupby="cluster", unknown_threshold=1.0, parents=False, key_added="mine")
    assert (done.obs["mine_label"] == "unknown").all()
    for _, rows in done.obs.groupby("cluster", observed=True):
        assert rows["mine_confidence"].nunique() == 1
    assert "bioverse_label" not in done.obs
    assert read_record(done, "annotate_mine")["method"] == "cascade"


def test_a_label_without_a_term_and_an_empty_cell(cells: AnnData, pooled: BioVerse) -> None:
    counts = cells.X.tolil()
    counts[3] = 0
    cells.X = counts.tocsr()
    with (
        pytest.warns(UserWarning, match="match no Cell Ontology term"),
        pytest.warns(UserWarning, match="are empty"),
        pytest.warns(UserWarning, match="1 of 60 cells have no counts"),
    ):
        done = _done(cells, pooled, labels=[*LABELS, "zorblax"])
    assert done.obs["bioverse_label"].isna().tolist() == [i == 3 for i in range(60)]
    assert np.isfinite(_scores(done)).all()
    assert "bioverse_elsewhere" not in done.obs
