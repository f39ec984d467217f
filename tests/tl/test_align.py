from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

import scbioverse as sb
from scbioverse._slots import read_record
from scbioverse.errors import InputError, MissingKeyError
from scbioverse.models import BioVerse, load
from scbioverse.models.config import Calibration
from scbioverse.predict.pool import pick_method
from scbioverse.tl._align_training import read_texts, split_rows
from tests._precision import FEW

TYPES = ["B cell", "CD14 monocyte", "CD8 T cell", "NK cell", "platelet"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few sentences as negatives in place of hundreds."""
    monkeypatch.setattr(sb.settings, "progress", False)
    sentences = [f"Train number {i} is late." for i in range(12)]
    monkeypatch.setattr("scbioverse.tl._align_training.general_texts", lambda: sentences)


def hash_of(backbone: Any) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(backbone.model.state_dict().items()):
        digest.update(key.encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("loss", ["contrastive", "autoregressive", "both"])
def test_it_learns_the_labels_and_the_language_model_stays(
    cells: ad.AnnData, tiny_model: BioVerse, loss: str, tmp_path: Path
) -> None:
    before, encoder = hash_of(tiny_model.backbone), tiny_model.encoders["cell"].fingerprint()
    steps = {"contrastive": 150, "autoregressive": 120, "both": 120}[loss]
    model = sb.tl.align(cells, text_key="cell_type", model=tiny_model, loss=loss, steps=steps, lr=5e-3, n_soft=2)
    assert hash_of(tiny_model.backbone) == before
    assert model.encoders["cell"].fingerprint() == encoder
    assert model.fingerprint() != tiny_model.fingerprint()
    again = load(model.save(tmp_path / "m"), llm=tiny_model.backbone)
    done = sb.tl.annotate(cells, model=again, copy=True)
    assert (done.obs["bioverse_label"].astype(str) == cells.obs["cell_type"].astype(str)).mean() > 0.9
    width = tiny_model.backbone.d_llm if loss == "autoregressive" else model.space.dim
    assert cells.obsm["X_bioverse_aligned"].shape == (60, width)
    assert cells.obsm["X_bioverse_aligned"].dtype == np.float32
    assert cells.obsm["X_bioverse"].shape == (60, 16)
    record = read_record(cells, "align")
    assert record["fingerprint"] == model.fingerprint()
    assert record["loss_last"] < record["loss_first"]
    assert record["n_train"] == 60
    for key in ("align", None):
        assert len(sb.pl.training_history(cells, key=key, show=False)[0].lines[0].get_xdata()) == record["steps"]
    assert record["labels"][0]["cl_id"] == "CL:0000236"
    assert (
        model.config.encoders["cell"].chooses_by
        == {"contrastive": ["nearest"], "autoregressive": ["score"], "both": ["score", "nearest"]}[loss]
    )


def test_a_seed_reproduces(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    prints = []
    for seed in (3, 3, 4):
        data = cells.copy()
        model = sb.tl.align(data, text_key="cell_type", model=tiny_model, steps=5, n_soft=2, rng=seed)
        prints.append((model.fingerprint(), data.obsm["X_bioverse_aligned"].tobytes()))
    assert prints[0] == prints[1]
    assert prints[0][0] != prints[2][0]


def test_use_rep_alone(cells: ad.AnnData, tiny_model: BioVerse, tiny_llm: Path, tmp_path: Path) -> None:
    codes = cells.obs["cell_type"].cat.codes.to_numpy()
    cells.obsm["X_mine"] = np.eye(5, dtype=np.float32)[codes] + np.random.default_rng(0).normal(0, 0.1, (60, 5))
    before = set(cells.obsm)
    model = sb.tl.align(
        cells, text_key="cell_type", model=None, use_rep="X_mine", llm=str(tiny_llm), steps=60, lr=5e-3, n_soft=2
    )
    assert set(cells.obsm) == before | {"X_bioverse_aligned"}
    assert "embed" not in cells.uns["bioverse"]
    again = load(model.save(tmp_path / "m"))
    done = sb.tl.annotate(cells, model=again, copy=True)
    assert (done.obs["bioverse_label"].astype(str) == cells.obs["cell_type"].astype(str)).mean() > 0.9
    assert "X_bioverse" not in done.obsm
    # What the user changes in obsm is read as it is now.
    cells.obsm["X_mine"] = cells.obsm["X_mine"][::-1].copy()
    turned = sb.tl.annotate(cells, model=again, copy=True)
    assert not (turned.obs["bioverse_label"].astype(str) == done.obs["bioverse_label"].astype(str)).all()
    with pytest.raises(MissingKeyError, match="X_gone"):
        sb.tl.align(cells, text_key="cell_type", model=tiny_model, use_rep="X_gone")


def test_go_on_from_a_models_own_projector(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    tiny_model.config.calibration["cascade"] = Calibration({"nearest": 1.0})
    before = tiny_model.fingerprint()
    model = sb.tl.align(
        cells, text_key="cell_type", model=tiny_model, start="model", loss="autoregressive", steps=1, lr=1e-9
    )
    assert "cascade" not in model.config.calibration  # it weighed another projector, and would be the default method
    assert tiny_model.fingerprint() == before
    for key, value in tiny_model.modules["projectors"].state_dict().items():
        np.testing.assert_allclose(model.modules["projectors"].state_dict()[key], value, atol=FEW)


def test_held_out_rows_fit_the_temperature(tiny_model: BioVerse) -> None:
    data = sb.datasets.toy_cells(n_obs=220, n_genes=300)
    model = sb.tl.align(data, text_key="cell_type", model=tiny_model, steps=40, lr=5e-3, n_soft=2)
    record = read_record(data, "align")
    assert (record["n_train"], record["n_held_out"]) == (200, 20)
    assert any("held out" in key for key in model.config.metrics)
    raw = 1 / float(model.space.head("cell").log_scale.detach().exp())
    assert model.config.calibration["nearest"].temperature != pytest.approx(raw)
    assert "held out" in str(record["metrics"])


def test_split_keeps_every_text_and_repeats() -> None:
    codes = np.array([0] * 200 + [1] * 30 + [2] + [-1] * 5)
    train, held = split_rows(codes, 0)
    assert np.intersect1d(train, held).size == 0
    assert np.union1d(train, held).size == 231
    assert np.bincount(codes[held], minlength=3).tolist() == [20, 3, 0]
    np.testing.assert_array_equal(split_rows(codes, 0)[1], held)
    assert not np.array_equal(split_rows(codes, 1)[1], held)
    assert split_rows(codes[195:], 0)[1].size == 0  # too few to learn a temperature from


def test_rows_without_text_are_left_out(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    cells.obs["half"] = cells.obs["cell_type"].astype(object)
    cells.obs.loc[cells.obs_names[:30], "half"] = None
    sb.tl.align(cells, text_key="half", model=tiny_model, steps=1, n_soft=2)
    assert read_record(cells, "align")["n_train"] == 30
    assert cells.obsm["X_bioverse_aligned"].shape[0] == 60


def test_unassigned_is_no_name(cells: ad.AnnData) -> None:
    cells.obs["name"] = np.resize(["B cell", "Unassigned", "NK cell", "unknown", "n/a"], 60)
    texts = read_texts(cells, "name")
    assert texts.names == ["B cell", "NK cell"]
    assert texts.codes[:5].tolist() == [0, -1, 1, -1, -1]


def test_texts_of_a_column(cells: ad.AnnData) -> None:
    cells.obs["name"] = pd.Categorical(
        np.resize(["NK cells", "Natural killer cell", "T cell", "CD8 T", "a cell  seen once under the moon"], 60),
        categories=["nobody", "NK cells", "Natural killer cell", "T cell", "CD8 T", "a cell  seen once under the moon"],
    )
    texts = read_texts(cells, "name")
    assert texts.names == sorted(
        ["NK cells", "Natural killer cell", "T cell", "CD8 T", "a cell seen once under the moon"]
    )
    assert len(set(texts.answers)) == 5
    at = texts.names.index
    assert texts.answers[at("CD8 T")] == "CD8"
    assert texts.answers[at("NK cells")] == "NK cells"  # shares its term with another
    assert texts.related[at("NK cells"), at("Natural killer cell")]
    assert texts.related[at("T cell"), at("CD8 T")]
    assert not texts.related[at("T cell"), at("NK cells")]
    assert not texts.related.diagonal().any()
    cells.obs["caption"] = [f"drawn on day {i}" for i in range(cells.n_obs)]
    assert read_texts(cells, "caption").related is None  # of many texts this is no small table
    assert [texts.names[code] for code in texts.codes[:5]] == [" ".join(str(x).split()) for x in cells.obs["name"][:5]]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"text_key": "nothing"}, MissingKeyError, "text_key='nothing'.*cell_type"),
        ({"text_key": "cluster"}, InputError, "only numbers"),
        ({"text_key": "same"}, InputError, "1 different texts"),
        ({"text_key": "none"}, InputError, "0 different texts"),
        ({"steps": 0}, InputError, "must be positive"),
        ({"loss": "l2"}, InputError, "loss='l2'"),
        ({"start": "anew"}, InputError, "start='anew'"),
        ({"start": "model", "use_rep": "X_bioverse"}, InputError, "fits neither"),
        ({"model": None}, InputError, "nothing to embed with"),
        ({"steps": -1}, InputError, "must be positive"),
        ({"batch_size": 0}, InputError, "batch_size must be at least 1"),
        ({"rng": -1}, InputError, "a seed is a whole number from 0 up"),
        ({"modality": "protein"}, InputError, "not 'protein'"),
        ({"layer": "gone"}, MissingKeyError, "gone"),
    ],
)
def test_bad_input_changes_nothing(
    cells: ad.AnnData, tiny_model: BioVerse, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    cells.obs["same"] = "B cell"
    cells.obs["none"] = pd.Categorical([None] * 60)
    obs = cells.obs.copy()
    with pytest.raises(error, match=message):
        sb.tl.align(cells, **{"text_key": "cell_type", "model": tiny_model, "n_soft": 2, "steps": 1, **options})
    pd.testing.assert_frame_equal(cells.obs, obs)
    assert len(cells.obsm) == 0
    assert "bioverse" not in cells.uns


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_results_survive_files(cells: ad.AnnData, tiny_model: BioVerse, tmp_path: Path, kind: str) -> None:
    sb.tl.align(cells, text_key="cell_type", model=tiny_model, steps=1, n_soft=2, key_added="mine")
    path = tmp_path / f"x.{kind}"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Writing zarr v2")  # anndata's notice about its own default
        cells.write_h5ad(path) if kind == "h5ad" else cells.write_zarr(path)
    back = ad.read_h5ad(path) if kind == "h5ad" else ad.read_zarr(path)
    np.testing.assert_array_equal(back.obsm["X_mine_aligned"], cells.obsm["X_mine_aligned"])
    assert sb.get.records(back)["align_mine"] == sb.get.records(cells)["align_mine"]


@pytest.mark.parametrize("loss", ["autoregressive", "contrastive"])
def test_a_second_modality_leaves_the_first_as_it_was(tiny_model: BioVerse, loss: str) -> None:
    from scbioverse.encoders import KmerEncoder
    from scbioverse.models import extend

    both = extend(tiny_model, KmerEncoder(), hidden=8, rng=1)
    both.config.calibration |= {"cascade": Calibration({"nearest": 1.0}), "score": Calibration(temperature=3.0)}
    both.config.default_labels, both.config.metrics = ["CL:0000236"], {"kept": 1.0}
    proteins = ad.AnnData(
        obs=pd.DataFrame(
            {"sequence": ["MKTAYIAKQR" * 2, "GGGGSGGGGS"] * 20, "text": ["an enzyme", "a linker"] * 20},
            index=[f"p{i}" for i in range(40)],
        )
    )
    x = np.random.default_rng(0).normal(size=(5, both.config.encoders["cell"].dim)).astype(np.float32)
    names = ["B cell", "NK cell"]
    before = both.score(x, names, progress=False)
    new = sb.tl.align(
        proteins, text_key="text", model=both, modality="protein", start="model", loss=loss, steps=4, lr=1e-2
    )
    np.testing.assert_array_equal(new.score(x, names, progress=False), before)
    for field in ("default_labels", "calibration"):
        assert getattr(new.config, field) == getattr(both.config, field), field
    assert new.config.metrics["kept"] == 1.0
    assert new.config.training["aligned protein"]["loss"] == loss
    old, trained = (one.modules["projectors"]["protein"].state_dict() for one in (both, new))
    assert not all(torch.equal(value, trained[key]) for key, value in old.items())
    assert pick_method(new, None, "protein") == {"contrastive": "nearest", "autoregressive": "score"}[loss]
    assert pick_method(new, None, "cell") == "cascade"
    width = new.space.dim if loss == "contrastive" else new.config.llm.d_llm
    assert proteins.obsm["X_bioverse_aligned"].shape == (40, width)


def test_the_first_modality_leaves_the_token_that_all_share(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    from scbioverse.encoders import KmerEncoder
    from scbioverse.models import extend

    both = extend(tiny_model, KmerEncoder(), hidden=8, rng=1)
    options = {"text_key": "cell_type", "start": "model", "loss": "autoregressive", "steps": 3, "lr": 1e-2}
    new, alone = (sb.tl.align(cells, model=one, **options) for one in (both, tiny_model))
    kept = both.tokens.trained.detach()
    assert torch.equal(new.tokens.trained.detach(), kept)
    # The prompt of one modality ends with the task token, which a model of cells alone learns.
    moved = (alone.tokens.trained.detach() != tiny_model.tokens.trained.detach()).any(dim=1).tolist()
    assert moved == [False, True]


def test_prototypes_have_every_part_of_the_shipped_model(tiny_model: BioVerse, tmp_path: Path) -> None:
    cells = sb.datasets.toy_cells(n_obs=240, n_genes=300)
    made = sb.tl.align(
        cells, text_key="cell_type", model=tiny_model, projector="prototypes", loss="both", n_soft=2, steps=3, rng=0
    )
    shipped = sb.models.load("bioverse-small").config
    mine, theirs = (one.encoders["cell"] for one in (made.config, shipped))
    for part in ("terms", "candidates", "spread", "methods"):
        assert bool(getattr(mine, part)) == bool(getattr(theirs, part)), part
    assert set(mine.methods) == set(theirs.methods)
    assert (mine.spread, set(mine.candidates)) == (theirs.spread, set(mine.terms) - {""})
    assert set(made.config.calibration) == set(shipped.calibration)
    parts = {key.split(".")[0] for key in made.tensors()}
    assert {"projectors", "candidate_tokens", "tokens", "shared", "text_space"} <= parts
    terms = [one["cl_id"] for one in sb.get.records(cells)["align"]["labels"]]
    values = np.asarray(cells.obsm["X_bioverse"])
    called = np.asarray(terms)[made.attention(values, terms).argmax(axis=1)]  # type: ignore[union-attr]
    truth = dict(zip((one["name"] for one in sb.get.records(cells)["align"]["labels"]), terms, strict=True))
    assert (called == cells.obs["cell_type"].astype(str).map(truth)).mean() > 0.9
    again = sb.models.load(made.save(tmp_path / "mine"), llm=made.backbone)
    assert again.fingerprint() == made.fingerprint()
    assert again.weighs(terms)
    for method in (None, "score", "nearest", "cascade", "generate"):
        sb.tl.annotate(cells, model=again, method=method, rationale=None)
        assert cells.obs["bioverse_label"].notna().all()
    assert sb.get.records(cells)["annotate"]["method"] == "generate"


@pytest.mark.parametrize(
    "wrong", [{"projector": "cnn"}, {"projector": "prototypes", "start": "model"}, {"projector": "prototypes"}]
)
def test_projectors_that_cannot_be(tiny_model: BioVerse, cells: ad.AnnData, wrong: dict[str, str]) -> None:
    cells.obs["text"] = np.where(np.arange(cells.n_obs) % 2, "Zorblax", "Quuxon")
    with pytest.raises(InputError, match="projector="):
        sb.tl.align(cells, text_key="text", model=tiny_model, steps=1, **wrong)
    assert not cells.uns.get("bioverse")
