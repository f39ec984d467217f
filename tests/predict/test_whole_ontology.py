from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

import scbioverse as sb
from scbioverse.errors import InputError
from scbioverse.models import BioVerse
from scbioverse.predict import whole_ontology
from scbioverse.predict.embedding import Batch
from scbioverse.predict.pool import pool, weights_of
from tests._precision import LOG_PROBS, TOTALS

TERMS = ("CL:0000084", "CL:0000236", "CL:0000233", "CL:0000576", "CL:0000623", "CL:0000624", "CL:0000625", "CL:0000451",
         "CL:0000785", "CL:0000540", "CL:0000057", "CL:0000895")  # fmt: skip


@pytest.fixture(autouse=True)
def few_terms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(whole_ontology, "term_ids", lambda: TERMS)
    monkeypatch.setattr(whole_ontology, "SHORTLIST", 4)
    monkeypatch.setattr(sb.settings, "cache_dir", tmp_path)


def annotate(cells: ad.AnnData, model: BioVerse, **options: object) -> ad.AnnData:
    options = {"method": "score", **options}
    done = sb.tl.annotate(cells, model=model, labels="cl", copy=True, **options)  # type: ignore[arg-type]
    assert done is not None
    return done


def test_shortlist_then_rank(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    done = annotate(cells, tiny_model)
    scores = sb.get.scores(done)
    assert (np.isfinite(scores).sum(axis=1) == 4).all()
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, atol=TOTALS)
    cosine = tiny_model.coordinates(done.obsm["X_bioverse"]) @ whole_ontology.ontology_coordinates(tiny_model).T
    table = pd.DataFrame(sb.get.records(done)["annotate"]["labels"])
    for row in (0, 7, 31):
        own = {TERMS[i] for i in np.argsort(-cosine[row])[:4]}
        finite = np.isfinite(scores.iloc[row].to_numpy())
        assert set(table.loc[finite, "cl_id"]) == own
        # The same numbers as scoring these four alone.
        texts = list(table.loc[finite, "text"])
        alone = tiny_model.score(done.obsm["X_bioverse"][row : row + 1], texts, progress=False)
        np.testing.assert_allclose(scores.iloc[row].to_numpy()[finite], alone[0], atol=LOG_PROBS)


def test_rows_are_independent(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    whole, part = annotate(cells, tiny_model), annotate(cells[5:15].copy(), tiny_model, batch_size=3)
    assert (whole.obs["bioverse_cl_id"].astype(str)[5:15] == part.obs["bioverse_cl_id"].astype(str)).all()
    np.testing.assert_allclose(whole.obs["bioverse_confidence"][5:15], part.obs["bioverse_confidence"], atol=LOG_PROBS)


def test_groups_share_a_shortlist(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    done = annotate(cells, tiny_model, groupby="cluster")
    finite = np.isfinite(done.obsm["bioverse_scores"].to_numpy())
    for group in done.obs["cluster"].cat.categories:
        mine = finite[(done.obs["cluster"] == group).to_numpy()]
        assert (mine == mine[0]).all()
        assert mine[0].sum() == 4


def test_within_and_nearest(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    done = annotate(cells, tiny_model, within=["T cell"], method="nearest")
    assert set(done.obs["bioverse_cl_id"]) <= {"CL:0000084", "CL:0000624", "CL:0000625", "CL:0000895"}
    with pytest.raises(InputError, match="leaves 1 terms"):
        annotate(cells, tiny_model, within="platelet")
    with pytest.raises(InputError, match="no term"):
        annotate(cells, tiny_model, within="Zorblax")
    with pytest.raises(InputError, match="labels='cl'"):
        sb.tl.annotate(cells, model=tiny_model, labels=["B cell", "NK cell"], within="T cell")


def test_the_ontology_is_read_once(cells: ad.AnnData, tiny_model: BioVerse, monkeypatch: pytest.MonkeyPatch) -> None:
    first = whole_ontology.ontology_coordinates(tiny_model)
    files = list((Path(sb.settings.cache_dir) / "weights" / "ontology").iterdir())
    assert [path.suffix for path in files] == [".npy"]
    monkeypatch.setattr("scbioverse.llm.represent.represent", lambda *_, **__: pytest.fail("read again"))
    np.testing.assert_array_equal(whole_ontology.ontology_coordinates(tiny_model), first)
    monkeypatch.undo()
    files[0].write_bytes(b"damaged")
    monkeypatch.setattr(whole_ontology, "term_ids", lambda: TERMS)
    monkeypatch.setattr(sb.settings, "cache_dir", files[0].parents[2])
    np.testing.assert_allclose(whole_ontology.ontology_coordinates(tiny_model), first, atol=LOG_PROBS)


def test_a_model_may_bring_the_ontology_with_it(
    cells: ad.AnnData, tiny_model: BioVerse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = annotate(cells, tiny_model, method="nearest")
    exact, before = whole_ontology.ontology_coordinates(tiny_model), tiny_model.fingerprint()
    whole_ontology.keep_ontology(tiny_model)
    assert tiny_model.fingerprint() != before
    loaded = sb.models.load(tiny_model.save(tmp_path / "model"), llm=tiny_model.backbone)
    assert loaded.fingerprint() == tiny_model.fingerprint()
    monkeypatch.setattr(whole_ontology, "_states", lambda *_: pytest.fail("read again"))
    assert ((whole_ontology.ontology_coordinates(loaded) * exact).sum(axis=1) > 0.9995).all()
    done = annotate(cells, loaded, method="nearest")
    assert (done.obs["bioverse_cl_id"].astype(str) == plain.obs["bioverse_cl_id"].astype(str)).mean() > 0.9
    loaded.space.set(loaded.text_space, loaded.config.text_space)  # type: ignore[arg-type]
    assert loaded.text_table is None


def test_nearness_ranks_unless_told_otherwise(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    plain = sb.tl.annotate(cells, model=tiny_model, labels="cl", copy=True)
    near = annotate(cells, tiny_model, method="nearest")
    assert plain is not None
    pd.testing.assert_frame_equal(plain.obsm["bioverse_scores"], near.obsm["bioverse_scores"])
    batch = Batch(tiny_model, plain.obsm["X_bioverse"])
    candidates = whole_ontology.shortlisted(batch, None)
    both = pool(batch, candidates, weights_of(tiny_model, "cascade", candidates)).log_probs
    said = annotate(cells, tiny_model, method="score").obsm["bioverse_scores"].to_numpy()
    kept = np.isfinite(both)
    pooled = np.where(kept, said + near.obsm["bioverse_scores"].to_numpy(), -np.inf)
    pooled = pooled - np.logaddexp.reduce(pooled, axis=1, keepdims=True)
    np.testing.assert_allclose(both[kept], pooled[kept], atol=LOG_PROBS)


def test_too_little_memory_changes_nothing_but_speed(
    cells: ad.AnnData, tiny_model: BioVerse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from scbioverse.llm import score

    wanted, real, seen = annotate(cells, tiny_model), score.score_own_lists, []

    def tight(*args: object, batch_size: int, **more: object) -> np.ndarray:
        seen.append(batch_size)
        if batch_size > 10:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(*args, batch_size=batch_size, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(score, "score_own_lists", tight)
    with caplog.at_level("WARNING", logger="scbioverse"):
        found = annotate(cells, tiny_model, batch_size=32)
    assert seen[:3] == [32, 16, 8]
    assert "out of memory on 16 cells at once; going on with 8" in caplog.text
    np.testing.assert_allclose(sb.get.scores(found), sb.get.scores(wanted), atol=LOG_PROBS)
