from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse._slots import read_record
from scbioverse.errors import InputError, MissingKeyError, WeightsError
from scbioverse.knowledge.phrases import spoken_name
from scbioverse.llm import Backbone
from scbioverse.models import BioVerse
from tests._precision import LOG_PROBS, TOTALS

TYPES = ["B cell", "CD14 monocyte", "CD8 T cell", "NK cell", "platelet"]
OBS = ["bioverse_label", "bioverse_confidence", "bioverse_rationale", "bioverse_cl_id"]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sb.settings, "progress", False)


def annotate(adata: ad.AnnData, model: BioVerse, **options: Any) -> ad.AnnData:
    options = {"labels": TYPES, **options}
    done = sb.tl.annotate(adata, model=model, copy=True, **options)
    assert done is not None
    return done


def frozen(adata: ad.AnnData) -> dict[str, Any]:
    """Everything that a failed call might have changed."""
    return {
        "obs": adata.obs.copy(),
        "obsm": {key: np.asarray(value).copy() for key, value in adata.obsm.items()},
        "uns": {key: str(value) for key, value in adata.uns.items()},
        "X": adata.X.copy(),
        "var": adata.var.copy(),
    }


def assert_unchanged(adata: ad.AnnData, before: dict[str, Any]) -> None:
    pd.testing.assert_frame_equal(adata.obs, before["obs"])
    pd.testing.assert_frame_equal(adata.var, before["var"])
    assert set(adata.obsm) == set(before["obsm"])
    assert {key: str(value) for key, value in adata.uns.items()} == before["uns"]
    assert (before["X"] != adata.X).nnz == 0


# ------------------------------------------------------------------ what it writes


def test_labels_set_by_hand_are_not_written_over(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    from scbioverse.app.shown import Shown
    from scbioverse.app.visitor import Visitor

    cells.obsm["X_umap"] = np.random.default_rng(0).normal(size=(cells.n_obs, 2))
    who = Visitor(Shown(annotate(cells, tiny_model, rationale=None)))
    who.corrections.set(np.arange(cells.n_obs) < 2, "odd cell")
    corrected = who.adata().copy()
    before = frozen(corrected)
    with pytest.raises(InputError, match="set by hand, in 2 rows"):
        annotate(corrected, tiny_model, rationale=None)
    assert_unchanged(corrected, before)
    again = annotate(corrected, tiny_model, rationale=None, key_added="again")
    assert again.obs["bioverse_label"].tolist()[:2] == ["odd cell"] * 2
    assert again.obs["bioverse_label_corrected"].sum() == 2
    # Given up, nothing of them is left to be taken for what is there now.
    del corrected.obs["bioverse_label_corrected"]
    found = annotate(corrected, tiny_model, rationale=None)
    assert "bioverse_label_before" not in found.obs
    assert "correct" not in found.uns["bioverse"]


def test_slots(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    assert sb.tl.annotate(cells, model=tiny_model, labels=TYPES) is None
    label, confidence, rationale, cl_id = (cells.obs[slot] for slot in OBS)
    assert isinstance(label.dtype, pd.CategoricalDtype)
    assert set(label) <= set(TYPES)
    assert list(label.cat.categories) == [name for name in TYPES if name in set(label)]
    assert confidence.dtype == np.float32
    assert confidence.between(0.2, 1).all()
    assert all(isinstance(text, str) and text for text in rationale)
    scores = cells.obsm["bioverse_scores"]
    assert list(scores.columns) == TYPES
    assert scores.index.equals(cells.obs_names)
    np.testing.assert_allclose(np.exp(scores.to_numpy()).sum(axis=1), 1, atol=TOTALS)
    np.testing.assert_allclose(confidence, np.exp(scores.max(axis=1)), rtol=1e-4)
    assert (scores.idxmax(axis=1) == label.astype(str)).all()
    ids = {"B cell": "CL:0000236", "CD14 monocyte": "CL:0001054", "CD8 T cell": "CL:0000625"}
    ids |= {"NK cell": "CL:0000623", "platelet": "CL:0000233"}
    assert (cl_id.astype(str) == label.astype(str).map(ids)).all()
    assert cells.obsm["X_bioverse"].shape == (60, 16)
    assert cells.obsm["X_bioverse_aligned"].shape == (60, tiny_model.space.dim)
    record = read_record(cells, "annotate")
    assert record["model"] == "tiny"
    assert record["fingerprint"] == tiny_model.fingerprint()
    assert record["llm_sha256"] == tiny_model.backbone.sha256
    assert [one["cl_id"] for one in record["labels"]] == [ids[name] for name in TYPES]
    assert "torch" in record["versions"]
    assert read_record(cells, "embed")["fingerprint"] == tiny_model.encoders["cell"].fingerprint()


def test_copy_leaves_the_original(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    before = frozen(cells)
    done = annotate(cells, tiny_model)
    assert_unchanged(cells, before)
    assert set(OBS) <= set(done.obs)


def test_columns_of_the_user_stay(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    """Slots that this run does not fill go only where an earlier run had filled them."""
    own = {f"my_{one}": [f"{one} {i % 3}" for i in range(cells.n_obs)] for one in ("group", "text", "elsewhere")}
    for name, values in own.items():
        cells.obs[name] = values
    options: dict = {
        "model": tiny_model,
        "labels": ["B cell", "NK cell", "T cell"],
        "key_added": "my",
        "rationale": None,
    }
    sb.tl.annotate(cells, method="nearest", groupby="my_group", **options)
    assert {name: list(cells.obs[name]) for name in own if name in cells.obs} == own
    sb.tl.annotate(cells, method="generate", **options)
    assert list(cells.obs["my_text"]) != own["my_text"]
    sb.tl.annotate(cells, method="nearest", **options)
    assert "my_text" not in cells.obs


@pytest.mark.parametrize("slot", ["label", "cl_id", "text"])
def test_a_column_of_the_users_is_not_written_over(cells: ad.AnnData, tiny_model: BioVerse, slot: str) -> None:
    cells.obs[f"bioverse_{slot}"] = "mine"
    before = frozen(cells)
    with pytest.raises(InputError, match=f"bioverse_{slot}.*would be lost.*key_added="):
        sb.tl.annotate(cells, model=tiny_model, labels=TYPES, method="generate", rationale=None)
    assert_unchanged(cells, before)
    done = annotate(cells, tiny_model, key_added="other")
    assert (done.obs[f"bioverse_{slot}"] == "mine").all()


@pytest.mark.parametrize(
    ("slot", "options"),
    [
        ("group", {}),
        ("elsewhere", {}),
        ("elsewhere", {"labels": TYPES}),
        ("text", {"labels": TYPES, "method": "generate"}),
    ],
)
def test_a_column_of_the_users_is_refused_before_anything_is_computed(
    slot: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = sb.datasets.pbmc3k()[:20].copy()
    cells.obs[f"bioverse_{slot}"] = "mine"
    before = frozen(cells)
    monkeypatch.setattr("scbioverse.tl._annotate.represent_rows", None)
    with pytest.raises(InputError, match=f"bioverse_{slot}.*would be lost.*key_added="):
        sb.tl.annotate(cells, **options)
    assert_unchanged(cells, before)


@pytest.mark.parametrize(
    ("slot", "options"), [("group", {"labels": TYPES}), ("group", {"groupby": "cell_type"}), ("text", {})]
)
@pytest.mark.filterwarnings("ignore:.* of the cells are more like types:UserWarning")
def test_a_column_of_the_users_stays_where_it_is_not_filled(slot: str, options: dict[str, Any]) -> None:
    cells = sb.datasets.pbmc3k()[:60].copy()
    cells.obs[f"bioverse_{slot}"] = "mine"
    sb.tl.annotate(cells, rationale=None, **options)
    assert (cells.obs[f"bioverse_{slot}"] == "mine").all()


def test_joined_data_whose_records_went_are_annotated_again(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    done = annotate(cells, tiny_model, rationale=None)
    joined = ad.concat([done[:30].copy(), done[30:].copy()])
    assert "bioverse" not in joined.uns
    again = annotate(joined, tiny_model, rationale=None)
    assert (again.obs["bioverse_label"].astype(str) == done.obs["bioverse_label"].astype(str)).all()


def test_key_added(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    done = annotate(cells, tiny_model, key_added="mine")
    assert {"mine_label", "mine_confidence", "mine_rationale", "mine_cl_id"} <= set(done.obs)
    assert {"mine_scores", "X_mine", "X_mine_aligned"} <= set(done.obsm)
    assert set(done.uns["bioverse"]) == {"annotate_mine", "embed_mine", "evidence_mine"}
    assert sb.get.annotation(done, key="mine")["label"].equals(done.obs["mine_label"])
    again = annotate(done, tiny_model)  # the second stem stands beside the first
    assert {"mine_label", "bioverse_label"} <= set(again.obs)


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_results_survive_files(cells: ad.AnnData, tiny_model: BioVerse, tmp_path: Path, kind: str) -> None:
    names = ["B cell", "CD14 Mono/Mk", "CD8 T cell", "NK/T|x", "NK|T|x"]
    with pytest.warns(UserWarning, match="labels"):
        done = annotate(cells, tiny_model, labels=names, groupby="cluster")
    path = tmp_path / f"cells.{kind}"
    expected = sb.get.annotation(done), sb.get.scores(done), sb.get.labels(done), sb.get.groups(done)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Writing zarr v2")  # anndata's notice about its own default
        done.write_h5ad(path) if kind == "h5ad" else done.write_zarr(path)
    back = ad.read_h5ad(path) if kind == "h5ad" else ad.read_zarr(path)
    found = sb.get.annotation(back), sb.get.scores(back), sb.get.labels(back), sb.get.groups(back)
    for one, two in zip(expected, found, strict=True):
        pd.testing.assert_frame_equal(one.astype(str), two.astype(str))
    assert back.obs["bioverse_label"].dtype == "category"
    assert list(expected[1].columns) == names
    assert sb.get.records(back)["annotate"] == sb.get.records(done)["annotate"]


def asked(done: ad.AnnData) -> dict[str, str]:
    """What the language model was asked for, by label."""
    return {one["name"]: one["text"] for one in sb.get.records(done)["annotate"]["labels"]}


def test_resolved_names_are_scored_and_given_names_returned(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    names = ["B", "CD14+ Monocytes", "CD8 T", "NK cells", "Platelets"]
    done = annotate(cells, tiny_model, labels=names)
    table = sb.get.labels(done)
    assert list(table["name"]) == names
    assert list(asked(done).values()) == [spoken_name(one) for one in table["cl_id"]]
    assert set(done.obs["bioverse_label"]) <= set(names)
    plain = annotate(cells, tiny_model)
    np.testing.assert_array_equal(done.obsm["bioverse_scores"].to_numpy(), plain.obsm["bioverse_scores"].to_numpy())
    assert table["n"].sum() == 60


def test_own_vocabulary(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    done = annotate(cells, tiny_model, labels=None)
    assert list(done.obsm["bioverse_scores"].columns) == TYPES
    tiny_model.config.default_labels = ["CL:0000236", "CL:0000623"]
    done = annotate(cells, tiny_model, labels=None)
    assert set(done.obs["bioverse_label"]) <= {"B cell", "NK cell"}
    tiny_model.config.default_labels = []
    with pytest.raises(InputError, match="no vocabulary of its own"):
        annotate(cells, tiny_model, labels=None)


def test_nearest(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    done = annotate(cells, tiny_model, method="nearest")
    np.testing.assert_allclose(np.exp(done.obsm["bioverse_scores"]).sum(axis=1), 1, atol=TOTALS)
    assert read_record(done, "annotate")["method"] == "nearest"


def test_method_follows_the_training(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    cell = tiny_model.config.encoders["cell"]
    tiny_model.config.encoders["cell"] = replace(cell, methods=("nearest",))
    assert read_record(annotate(cells, tiny_model), "annotate")["method"] == "nearest"
    with pytest.raises(InputError, match=r"trained for nearest, not for method='score'.*loss='autoregressive'"):
        annotate(cells, tiny_model, method="score")
    with pytest.raises(InputError, match="method='guess'"):
        annotate(cells, tiny_model, method="guess")


def test_log_says_what_happened(cells: ad.AnnData, tiny_model: BioVerse, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="scbioverse"):
        annotate(cells, tiny_model, labels=["B", "NK cells"])
    assert "B -> CL:0000236 (B cell" in caplog.text
    assert "obs: bioverse_label, " in caplog.text
    assert "60 rows labelled" in caplog.text


# ------------------------------------------------------------------ what it must not depend on


@pytest.mark.parametrize("method", ["score", "nearest"])
def test_row_order_and_batch_size(cells: ad.AnnData, tiny_model: BioVerse, method: str) -> None:
    one = annotate(cells, tiny_model, method=method)
    order = np.random.default_rng(0).permutation(60)
    two = annotate(cells[order].copy(), tiny_model, method=method, batch_size=7)[one.obs_names]
    assert (one.obs["bioverse_label"].astype(str) == two.obs["bioverse_label"].astype(str)).all()
    assert (one.obs["bioverse_rationale"] == two.obs["bioverse_rationale"]).all()
    np.testing.assert_allclose(one.obsm["bioverse_scores"], two.obsm["bioverse_scores"], atol=LOG_PROBS)


def test_label_order(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    one, two = annotate(cells, tiny_model), annotate(cells, tiny_model, labels=TYPES[::-1])
    np.testing.assert_allclose(one.obsm["bioverse_scores"][TYPES], two.obsm["bioverse_scores"][TYPES], atol=LOG_PROBS)


def test_other_cells_do_not_matter(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    one, two = annotate(cells, tiny_model), annotate(cells[:10].copy(), tiny_model)
    np.testing.assert_allclose(one.obsm["bioverse_scores"][:10], two.obsm["bioverse_scores"], atol=LOG_PROBS)


# ------------------------------------------------------------------ embeddings that are there already


def test_current_embedding_is_used(cells: ad.AnnData, tiny_model: BioVerse, monkeypatch: pytest.MonkeyPatch) -> None:
    sb.tl.embed(cells, model=tiny_model)
    monkeypatch.setattr("scbioverse.predict.embedding.embed_rows", lambda *_, **__: pytest.fail("embedded anew"))
    annotate(cells, tiny_model)
    annotate(cells, tiny_model, key_added="mine")  # the default stem's embedding serves it


def test_stale_embedding_is_made_anew(
    cells: ad.AnnData, tiny_model: BioVerse, make_encoder: Callable[[int], Any], caplog: pytest.LogCaptureFixture
) -> None:
    fresh = annotate(cells, tiny_model)
    sb.tl.embed(cells, model=make_encoder(1))
    stale = cells.obsm["X_bioverse"].copy()
    with caplog.at_level(logging.INFO, logger="scbioverse"):
        done = annotate(cells, tiny_model)
    assert "is of another encoder" in caplog.text
    assert tiny_model.encoders["cell"].fingerprint()[:16] in caplog.text
    assert not np.allclose(done.obsm["X_bioverse"], stale)
    pd.testing.assert_frame_equal(done.obsm["bioverse_scores"], fresh.obsm["bioverse_scores"])
    np.testing.assert_array_equal(cells.obsm["X_bioverse"], stale)  # copy=True


@pytest.mark.parametrize("spoil", ["no record", "nan", "shape", "layer"])
def test_unusable_embedding_is_made_anew(cells: ad.AnnData, tiny_model: BioVerse, spoil: str) -> None:
    fresh = annotate(cells, tiny_model)
    cells.layers["double"] = cells.X * 2
    sb.tl.embed(cells, model=tiny_model, layer="double" if spoil == "layer" else None)
    if spoil == "no record":
        del cells.uns["bioverse"]
        cells.obsm["X_bioverse"] = np.zeros((60, 16), np.float32)
    elif spoil == "nan":
        cells.obsm["X_bioverse"][3] = np.nan
    elif spoil == "shape":
        cells.obsm["X_bioverse"] = np.zeros((60, 3), np.float32)
    options = {"layer": "double"} if spoil == "layer" else {}
    done = annotate(cells, tiny_model, **options)
    np.testing.assert_allclose(done.obsm["X_bioverse"], fresh.obsm["X_bioverse"], atol=LOG_PROBS)


# ------------------------------------------------------------------ groups


def test_groups_get_one_label(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    each, done = annotate(cells, tiny_model), annotate(cells, tiny_model, groupby="cluster")
    assert (done.obs.groupby("cluster", observed=True)["bioverse_label"].nunique() == 1).all()
    table = sb.get.groups(done).set_index("group")
    own = each.obsm["bioverse_scores"].to_numpy().astype(float)
    for group in ("0", "3"):
        rows = (cells.obs["cluster"] == group).to_numpy()
        mean = own[rows].mean(axis=0)
        wanted = mean - np.log(np.exp(mean).sum())
        np.testing.assert_allclose(done.obsm["bioverse_scores"].to_numpy()[rows][0], wanted, atol=LOG_PROBS)
        best = TYPES[int(wanted.argmax())]
        assert table.loc[group, "label"] == best
        assert table.loc[group, "n"] == rows.sum() == 12
        assert table.loc[group, "confidence"] == pytest.approx(np.exp(wanted.max()), abs=LOG_PROBS)
        share = (each.obs["bioverse_label"][rows].astype(str) == best).mean()
        assert table.loc[group, "agreement"] == pytest.approx(share, abs=LOG_PROBS)


def test_unused_categories_and_small_groups(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    cells.obs["cluster"] = cells.obs["cluster"].cat.add_categories(["nobody", "alone"])
    cells.obs.loc[cells.obs_names[7], "cluster"] = "alone"
    done = annotate(cells, tiny_model, groupby="cluster")
    table = sb.get.groups(done).set_index("group")
    assert "nobody" not in table.index
    assert table.loc["alone", "n"] == 1
    assert table.loc["alone", "agreement"] == 1.0


def test_numbers_as_groups(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    cells.obs["number"] = np.arange(60) % 3
    assert list(sb.get.groups(annotate(cells, tiny_model, groupby="number"))["group"]) == ["0", "1", "2"]


def test_cells_in_no_group(cells: ad.AnnData, tiny_model: BioVerse, tmp_path: Path) -> None:
    cells.obs.loc[cells.obs_names[:4], "cluster"] = np.nan
    with pytest.warns(UserWarning, match="4 cells have no value"):
        done = annotate(cells, tiny_model, groupby="cluster")
    assert done.obs["bioverse_label"].isna().to_numpy().nonzero()[0].tolist() == [0, 1, 2, 3]
    assert done.obs["bioverse_confidence"][:4].isna().all()
    assert (done.obs["bioverse_cl_id"][:4] == "").all()
    assert done.obs["bioverse_rationale"][:4].str.contains("in no group").all()
    done.write_h5ad(tmp_path / "x.h5ad")
    assert ad.read_h5ad(tmp_path / "x.h5ad").obs["bioverse_label"].isna().sum() == 4
    cells.obs["cluster"] = pd.Categorical([np.nan] * 60)
    with pytest.raises(InputError, match="missing \\(NaN\\) for every cell"):
        annotate(cells, tiny_model, groupby="cluster")


def test_missing_group_column(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    before = frozen(cells)
    with pytest.raises(MissingKeyError, match=r"groupby='leiden'.*cell_type.*cluster.*scanpy"):
        sb.tl.annotate(cells, model=tiny_model, labels=TYPES, groupby="leiden")
    assert_unchanged(cells, before)


# ------------------------------------------------------------------ few cells, few labels


def test_one_cell(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    done = annotate(cells[:1].copy(), tiny_model)
    assert done.n_obs == 1
    assert "the only cell, so no gene sets it apart" in done.obs["bioverse_rationale"].iloc[0]
    assert done.obs["bioverse_confidence"].iloc[0] > 0
    annotate(cells[:1].copy(), tiny_model, groupby="cluster")


def test_no_cells(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    with pytest.raises(InputError, match="no rows"):
        annotate(cells[:0].copy(), tiny_model)


def test_unknown_is_an_answer(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    plain = annotate(cells, tiny_model)
    cut = float(plain.obs["bioverse_confidence"].median())
    done = annotate(cells, tiny_model, unknown_threshold=cut, parents=False)
    below = plain.obs["bioverse_confidence"] < cut
    assert below.any()
    assert (done.obs["bioverse_label"][below] == "unknown").all()
    assert (done.obs["bioverse_cl_id"][below] == "").all()
    assert done.obs["bioverse_rationale"][below].str.contains("below the threshold|Not called").all()
    assert (done.obs["bioverse_label"][~below].astype(str) == plain.obs["bioverse_label"][~below].astype(str)).all()
    grouped = annotate(cells, tiny_model, groupby="cluster", unknown_threshold=1.0, parents=False)
    assert set(grouped.obs["bioverse_label"]) == {"unknown"}


# ------------------------------------------------------------------ reasons


def perfect(cells: ad.AnnData, monkeypatch: pytest.MonkeyPatch) -> pd.Series:
    """Let every model score the true type with 0.92."""
    truth = cells.obs["cell_type"].astype(str)
    scores = np.log(np.full((60, 5), 0.02, np.float32))
    scores[np.arange(60), [TYPES.index(name) for name in truth]] = np.log(0.92)
    monkeypatch.setattr(BioVerse, "score", lambda *_, **__: scores)
    return truth


def test_reasons_name_only_genes_the_data_bear_out(
    cells: ad.AnnData, monkeypatch: pytest.MonkeyPatch, tiny_model: BioVerse
) -> None:
    truth = perfect(cells, monkeypatch)
    done = annotate(cells, tiny_model)
    assert (done.obs["bioverse_label"].astype(str) == truth).all()
    sentence = done.obs.loc[truth == "B cell", "bioverse_rationale"].unique()
    assert len(sentence) == 1
    genes = re.findall(r"([\w-]+) \([<>]?\d+ %", sentence[0])
    assert genes
    for gene in genes:
        expressed = np.asarray((cells[:, gene].X > 0).todense()).ravel()
        assert expressed[(truth == "B cell").to_numpy()].mean() > expressed[(truth != "B cell").to_numpy()].mean()


def test_reasons_without_readable_counts(
    cells: ad.AnnData, tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    perfect(cells, monkeypatch)
    cells.obsm["X_mine"] = np.random.default_rng(0).normal(size=(cells.n_obs, 4)).astype(np.float32)
    encoder = sb.encoders.PrecomputedEncoder.from_adata(cells, "X_mine")
    model = BioVerse.new(encoder, name="mine", llm=tiny_backbone, n_soft=2, hidden=32)
    cells.X = cells.X.copy()
    cells.X.data -= 5.0  # scaled after the representation was computed, as people do
    with pytest.warns(UserWarning, match="no gene could be checked"):
        done = annotate(cells, model, method="score")
    assert done.obs["bioverse_rationale"].str.contains("No gene was checked").all()


# ------------------------------------------------------------------ bad input: one clear error, nothing changed


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"labels": []}, InputError, "labels is empty"),
        ({"labels": ["B cell"]}, InputError, "only 'B cell'"),
        ({"labels": ["B cell", None]}, InputError, "missing value"),
        ({"labels": ["B cell", float("nan")]}, InputError, "missing value"),
        ({"labels": ["B cell", "  "]}, InputError, "empty name"),
        ({"labels": ["0", "1", "2"]}, InputError, "cluster numbers name no cell type.*groupby"),
        ({"labels": [0, 1]}, InputError, "cluster numbers"),
        ({"labels": "B cell"}, InputError, "one string"),
        ({"labels": {"a": "CL:9999999", "b": "CL:0000236"}}, InputError, "'CL:9999999' is not a term"),
        (
            {"labels": {f"thing {i}": "a thing" for i in range(1200)}, "method": "score"},
            InputError,
            "too many for method='score'",
        ),
        ({"modality": "protein"}, InputError, "not 'protein'"),
        ({"layer": "nothing"}, MissingKeyError, "layer 'nothing'"),
        ({"key": "nothing"}, MissingKeyError, "'nothing' is not a column"),
        ({"unknown_threshold": 1.5}, InputError, "unknown_threshold"),
        ({"batch_size": 0}, InputError, "batch_size"),
    ],
)
def test_bad_options(
    cells: ad.AnnData, tiny_model: BioVerse, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    before = frozen(cells)
    with pytest.raises(error, match=message):
        sb.tl.annotate(cells, model=tiny_model, **{"labels": TYPES, **options})
    assert_unchanged(cells, before)


@pytest.mark.parametrize("kind", ["negative", "nan", "empty", "names", "mouse", "strange"])
def test_bad_matrices(cells: ad.AnnData, tiny_model: BioVerse, kind: str) -> None:
    cells.X = cells.X.copy()
    if kind == "negative":
        cells.X.data[0] = -1
    elif kind == "nan":
        cells.X.data[0] = np.nan
    elif kind == "empty":
        cells.X.data[:] = 0
    elif kind == "names":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # anndata's own
            cells.var_names = ["MS4A1"] * 2 + list(cells.var_names[2:])
    elif kind == "mouse":
        cells.var_names = [name.capitalize() for name in cells.var_names]
    else:
        cells.var_names = [f"gene{i}" for i in range(cells.n_vars)]
    before = frozen(cells)
    with pytest.raises(InputError):
        sb.tl.annotate(cells, model=tiny_model, labels=TYPES)
    after = frozen(cells)
    assert after["uns"] == before["uns"]
    assert set(after["obsm"]) == set(before["obsm"])
    pd.testing.assert_frame_equal(after["obs"], before["obs"])


def test_error_after_embedding_changes_nothing(
    cells: ad.AnnData, tiny_model: BioVerse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise WeightsError("gone")

    before = frozen(cells)
    monkeypatch.setattr(BioVerse, "score", fail)
    with pytest.raises(WeightsError, match="gone"):
        sb.tl.annotate(cells, model=tiny_model, labels=TYPES)
    assert_unchanged(cells, before)


def test_not_an_anndata(tiny_model: BioVerse) -> None:
    with pytest.raises(InputError, match="expected an AnnData, found list"):
        sb.tl.annotate([1], model=tiny_model, labels=TYPES)  # type: ignore[arg-type]


def test_unknown_model(cells: ad.AnnData) -> None:
    with pytest.raises(WeightsError, match="no model 'nothing'"):
        sb.tl.annotate(cells, model="nothing", labels=TYPES)


# ------------------------------------------------------------------ labels


def test_repeated_labels_are_used_once(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    with pytest.warns(UserWarning, match="labels repeat"):
        done = annotate(cells, tiny_model, labels=["B cell", "NK cell", "B cell", "b  cell"])
    assert list(done.obsm["bioverse_scores"].columns) == ["B cell", "NK cell"]


def test_labels_that_mean_the_same_term(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    with pytest.warns(UserWarning, match="'NK cells' and 'Natural killer cell' both mean"):
        done = annotate(cells, tiny_model, labels=["NK cells", "Natural killer cell", "B cell"])
    table = sb.get.labels(done).set_index("name")
    texts = asked(done)
    assert len(set(texts.values())) == 3
    assert texts["Natural killer cell"] == "NK"
    assert texts["NK cells"] == "NK cells"
    assert table.loc["NK cells", "cl_id"] == table.loc["Natural killer cell", "cl_id"] == "CL:0000623"
    with pytest.warns(UserWarning, match="same term"):
        nearest = annotate(cells, tiny_model, labels=["NK cells", "Natural killer cell", "B cell"], method="nearest")
    table = nearest.obsm["bioverse_scores"]
    assert not np.allclose(table["NK cells"], table["Natural killer cell"])


def test_unresolved_label_is_used_as_it_stands(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    with pytest.warns(UserWarning, match=r"1 of 3 labels match no Cell Ontology term.*Zorblax"):
        done = annotate(cells, tiny_model, labels=["B cell", "NK cell", "Zorblax"])
    table = sb.get.labels(done).set_index("name")
    assert asked(done)["Zorblax"] == "Zorblax"
    assert table.loc["Zorblax", "cl_id"] is None or pd.isna(table.loc["Zorblax", "cl_id"])


def test_any_iterable_of_names(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    wanted = annotate(cells, tiny_model, labels=sorted(TYPES)).obsm["bioverse_scores"]
    for labels in (set(TYPES), pd.Categorical(sorted(TYPES)), pd.Series(sorted(TYPES)), (x for x in sorted(TYPES))):
        pd.testing.assert_frame_equal(annotate(cells, tiny_model, labels=labels).obsm["bioverse_scores"], wanted)


def test_mapping_to_ids_and_descriptions(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    labels = {"c1": "CL:0000236", "c2": "CL_0000623", "blast": "large cells of the marrow", "platelet": ""}
    done = annotate(cells, tiny_model, labels=labels, method="nearest")
    table = sb.get.labels(done).set_index("name")
    assert list(asked(done).values())[:2] == ["B", "NK"]
    assert table.loc["blast", "description"] == "large cells of the marrow"
    assert table.loc["platelet", "cl_id"] == "CL:0000233"
    assert set(done.obs["bioverse_label"]) <= set(labels)


def test_long_or_unreadable_label(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    before = frozen(cells)
    with pytest.warns(UserWarning, match="no Cell Ontology"), pytest.raises(InputError, match="characters"):
        sb.tl.annotate(cells, model=tiny_model, labels=["B cell", "q" * 500])
    assert_unchanged(cells, before)


# ------------------------------------------------------------------ views, backed files


def test_view(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    view = cells[::2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sb.tl.annotate(view, model=tiny_model, labels=TYPES)
    assert "bioverse_label" in view.obs
    assert "bioverse_label" not in cells.obs


def test_backed(cells: ad.AnnData, tiny_model: BioVerse, tmp_path: Path) -> None:
    wanted = annotate(cells, tiny_model)
    cells.write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    done = annotate(backed, tiny_model)
    np.testing.assert_allclose(done.obsm["bioverse_scores"], wanted.obsm["bioverse_scores"], atol=LOG_PROBS)
    assert (done.obs["bioverse_rationale"] == wanted.obs["bioverse_rationale"]).all()
    backed.file.close()


@pytest.mark.filterwarnings("ignore:.* rows are empty in what encoder:UserWarning")
@pytest.mark.parametrize("labels", [TYPES, None], ids=["given", "found"])
def test_a_cell_without_counts_gets_no_label(cells: ad.AnnData, tiny_model: BioVerse, labels: list[str] | None) -> None:
    whole = annotate(cells, tiny_model, labels=labels)
    assert whole.obs["bioverse_label"].notna().all()
    cells.X.data[np.isin(cells.X.nonzero()[0], [3, 7])] = 0
    sb.tl.embed(cells, model=tiny_model)
    with pytest.warns(UserWarning, match="2 of 60 cells have no counts in the genes that the model reads"):
        done = annotate(cells, tiny_model, labels=labels)
    assert np.flatnonzero(done.obs["bioverse_label"].isna()).tolist() == [3, 7]
    assert done.obs["bioverse_confidence"].isna().sum() == 2
    assert done.obs["bioverse_rationale"].iloc[3].startswith("No counts were found")
    assert sum(sb.get.labels(done)["n"]) == 58


@pytest.mark.filterwarnings("ignore:.* rows are empty in what encoder:UserWarning")
@pytest.mark.parametrize("labels", [TYPES, None], ids=["given", "found"])
def test_cells_without_counts_count_for_no_group(
    cells: ad.AnnData, tiny_model: BioVerse, labels: list[str] | None
) -> None:
    # Most cells of one group, and all of another, hold nothing.
    cluster = cells.obs["cluster"].astype(str).to_numpy().copy()
    most = np.flatnonzero(cluster == cluster[0])[2:]
    gone = np.setdiff1d(np.arange(0, 60, 9), most)
    cluster[gone] = "gone"
    empty = np.concatenate([most, gone])
    cells.obs["cluster"] = cluster
    kept = np.setdiff1d(np.arange(60), empty)
    wanted = annotate(cells[kept].copy(), tiny_model, labels=labels, groupby="cluster")
    cells.X.data[np.isin(cells.X.nonzero()[0], empty)] = 0
    with pytest.warns(UserWarning, match=f"{empty.size} of 60 cells have no counts in the genes that the model reads"):
        done = annotate(cells, tiny_model, labels=labels, groupby="cluster")
    assert np.flatnonzero(done.obs["bioverse_label"].isna()).tolist() == sorted(empty)
    assert done.obs["bioverse_confidence"].isna().sum() == empty.size
    assert (done.obs["bioverse_rationale"].iloc[empty].str.startswith("No counts were found")).all()
    held = done.obs.iloc[kept]
    assert held["bioverse_label"].astype(str).tolist() == wanted.obs["bioverse_label"].astype(str).tolist()
    assert held["bioverse_rationale"].tolist() == wanted.obs["bioverse_rationale"].tolist()
    groups, known = sb.get.groups(done), sb.get.groups(wanted)
    assert groups[["group", "n", "label"]].equals(known[["group", "n", "label"]])
    assert "gone" not in set(groups["group"])
    np.testing.assert_allclose(groups["confidence"], known["confidence"], atol=LOG_PROBS)
    np.testing.assert_allclose(groups["agreement"], known["agreement"])
