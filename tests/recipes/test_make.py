"""The recipe end to end, on a sliver of the data and a handful of steps: every stage runs and its output loads."""

from __future__ import annotations

import dataclasses
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import sparse

from recipes.bioverse_small import data, make, projector
from recipes.bioverse_small.answers import AnswerConfig, take_codes
from recipes.bioverse_small.encoder import EncoderConfig
from recipes.bioverse_small.further import FurtherConfig
from recipes.bioverse_small.rehearsals import FOLDS, STUDY_FOLDS, TYPE_FOLDS, LeftOut, load_rehearsal
from recipes.bioverse_small.renew import with_answers_of, with_cells_of
from scbioverse.datasets import fetch
from scbioverse.encoders import PrecomputedEncoder
from scbioverse.errors import BioverseError, MismatchError
from scbioverse.llm import Backbone
from scbioverse.models import Calibration, extend, load
from scbioverse.models.edit import forget_candidate_tokens
from tests._precision import HALF

TINY = make.RecipeConfig(
    encoder=EncoderConfig(steps=3, batch_size=32, hidden=32, dim=16),
    projector=projector.ProjectorConfig(
        bank=400, steps=2, batch_size=4, contrastive_steps=3, cards_per_term=1, other_cards=20, space=None
    ),
    answers=AnswerConfig(steps=2, batch_size=4),
    rehearsal_steps=1,
    keep_ontology=False,
)


def test_folds_leave_out_every_study_once_and_no_test_takes_part():
    left = [study for fold in STUDY_FOLDS.values() for study in fold.studies]
    assert len(left) == len(set(left))
    assert set(left) <= set(data.STUDIES)
    assert len({one for fold in TYPE_FOLDS.values() for one in fold.types}) >= 6
    # Studies that share cells leave together.
    sorted_blood = {"pbmc_facs_zheng", "pbmc14k_facs_3500", "pbmc_sorted_mudan"}
    assert [fold for fold in STUDY_FOLDS.values() if sorted_blood & set(fold.studies)] == [STUDY_FOLDS["sorted+mouse"]]


def _study(name: str, cl_ids: list[str]) -> data.Study:
    rng = np.random.default_rng(0)
    counts = sparse.csr_matrix(rng.poisson(0.5, (len(cl_ids), 12)).astype(np.float32))
    return data.Study(name, counts, np.ones(12, bool), np.array(cl_ids, object), np.array(cl_ids, object))


def test_without_takes_studies_types_and_all_that_lies_below_them():
    studies = [_study("one", ["CL:0000788", "CL:0000623", ""]), _study("two", ["CL:0000084"] * 3)]
    profiles = data.Profiles(
        np.ones((2, 12), np.float32),
        np.ones((2, 12), bool),
        np.array(["CL:0000236", "CL:0000623"], object),
        np.array(["a", "b"], object),
        np.ones(2),
    )
    kept, held = make.without(studies, profiles, LeftOut(studies=("two",), types=("CL:0000236",)))
    assert [one.name for one in kept] == ["one"]
    assert kept[0].cl_ids.tolist() == ["", "CL:0000623", ""]
    assert held.cl_ids.tolist() == ["CL:0000623"]
    assert studies[0].cl_ids.tolist() == ["CL:0000788", "CL:0000623", ""]


@pytest.fixture
def sliver(monkeypatch, tiny_llm):
    """Two studies, few profiles, read from the registry; a tiny language model reads them."""
    try:
        for name in (
            "label_to_cl",
            "label_to_cl_added",
            "kang_ifnb_pbmc",
            "pancreas_baron_human",
            *data.PROFILES,
            *data.LABEL_PROFILES,
        ):
            fetch(name)
    except BioverseError as error:
        pytest.skip(f"the recipe's data are not here: {error}")
    load_profiles, load_study, genes = data.load_profiles, data.load_study, data.vocabulary()

    @cache
    def some():
        return load_profiles(genes).take(slice(0, None, 20))

    @cache
    def few(name):
        study = load_study(name, genes)
        rows = np.random.default_rng(0).permutation(len(study.cl_ids))[:80]
        return dataclasses.replace(
            study, counts=study.counts[rows], cl_ids=study.cl_ids[rows], labels=study.labels[rows]
        )

    def study_of(name, asked):
        assert (asked == genes).all()
        return few(name)

    monkeypatch.setattr(data, "vocabulary", lambda: genes)
    tiny = SimpleNamespace(load=lambda name: Backbone.load(str(tiny_llm), dtype="float32"))
    monkeypatch.setattr(make, "Backbone", tiny)
    monkeypatch.setattr(data, "load_study", study_of)
    monkeypatch.setattr(data, "STUDIES", {"kang_ifnb_pbmc": 1.0, "pancreas_baron_human": 1.0})
    monkeypatch.setattr(data, "UNLABELLED", ())
    monkeypatch.setattr(data, "DEV_TESTS", ("pbmc3k",))
    monkeypatch.setattr(data, "load_profiles", lambda asked, counting=None: some())
    monkeypatch.setattr(projector, "general_texts", lambda: [f"A sentence about thing number {i}." for i in range(12)])
    monkeypatch.setitem(FOLDS, "kang", LeftOut(studies=("kang_ifnb_pbmc",)))
    monkeypatch.setitem(FOLDS, "baron", LeftOut(studies=("pancreas_baron_human",)))
    monkeypatch.setattr("recipes.bioverse_small.calibration.load_study", study_of)


def test_the_recipe_makes_a_checkpoint_that_says_how(sliver, tmp_path, monkeypatch):
    summary = make.make(tmp_path / "model", seed=3, rehearsals=tmp_path / "kept", config=TINY, folds=("kang", "baron"))
    model = load(tmp_path / "model")
    assert model.config.training["seed"] == 3
    assert _pair(model) == tuple(summary["calibration"]["score"])
    assert set(summary["figures"]) == {"pbmc3k"}
    assert set(summary["left_out_figures"]) == {"kang_ifnb_pbmc", "pancreas_baron_human"}
    assert "kang_ifnb_pbmc, left out of training and calibration" in (tmp_path / "model" / "README.md").read_text()
    rehearsed, head = load_rehearsal(tmp_path / "kept" / "kang-3")
    assert rehearsed.config.training["left_out"]["studies"] == ["kang_ifnb_pbmc"]
    assert "kang_ifnb_pbmc" not in rehearsed.config.training["studies"]
    assert head.prototypes.shape == (len(head.terms), 16)
    del model.config.calibration["cascade"]
    weights = {file.name: file.read_bytes() for file in (tmp_path / "model").glob("*.safetensors")}
    model.config.calibration["score"] = Calibration({"markers": 33.0}, 7.0)
    model.config.metrics = {"Something else": [{"n": 1}], **model.config.metrics}
    model.save(tmp_path / "model", overwrite=True, dtype="float16")
    used: list[set[str]] = []
    fit = make.fit

    def noted(answers):
        used.append(set(answers))
        return fit(answers)

    monkeypatch.setattr(make, "fit", noted)
    make.recalibrate(tmp_path / "model", seed=3, rehearsals=tmp_path / "kept", config=TINY, folds=("kang", "baron"))
    again = load(tmp_path / "model")
    assert again.config.calibration["score"].temperature == pytest.approx(summary["calibration"]["score"][0], rel=0.05)
    assert _pair(again) == tuple(again.config.training["calibration"]["score"])
    assert "cascade" in again.config.calibration
    # All for the model itself; for the figures of a study, the others.
    assert used == [{"kang_ifnb_pbmc", "pancreas_baron_human"}, {"pancreas_baron_human"}, {"kang_ifnb_pbmc"}]
    assert set(again.config.metrics) == set(model.config.metrics)
    assert {file.name: file.read_bytes() for file in (tmp_path / "model").glob("*.safetensors")} == weights
    _renews(tmp_path)
    _answers_anew(tmp_path)
    _goes_further(tmp_path)


def _goes_further(folder):
    """An encoder goes on with more profiles; codes of a training that is there are taken over, nothing is said anew."""
    held, _ = load_rehearsal(folder / "kept" / "full-3")
    config = dataclasses.replace(TINY, further=FurtherConfig(steps=2))
    model, trained, summary = make.train(config, 3, codes=held)
    assert trained.terms == list(held.config.encoders["cell"].terms)
    assert "final_loss" not in summary
    assert summary["profiles"]["profile_hcl_1393x5467"] > 0
    assert model.config.encoders["cell"].fingerprint != held.config.encoders["cell"].fingerprint
    mine, theirs = (one.tensors() for one in (model, held))
    for part in ("projectors.cell.codes", "candidate_tokens.cell.codes"):
        torch.testing.assert_close(mine[part], theirs[part])
    forget_candidate_tokens(held, "cell")
    with pytest.raises(MismatchError, match="no codes of"):
        take_codes(model, held, trained.terms)


def _pair(model):
    """Temperature and marker weight of `score`."""
    row = model.config.calibration["score"]
    return row.temperature, row.weight("markers")


def _answers_anew(folder):
    """Codes of answers trained anew on the same attention go into the checkpoint, and nothing else changes."""
    shelf, old = folder / "kept", load(folder / "both")
    longer = dataclasses.replace(TINY, answers=AnswerConfig(steps=5, batch_size=4, spread=(0.5, 1.0)))
    make.add_answers("full", shelf, longer, 3)
    make.recalibrate(folder / "both", seed=3, rehearsals=shelf, config=TINY, folds=("kang", "baron"), answers=True)
    new, (fresh, _) = load(folder / "both"), load_rehearsal(shelf / "full-3")
    assert new.config.training["answers"]["steps"] == 5
    assert new.config.encoders["cell"].spread == (0.5, 1.0)
    before, after, found = (one.tensors() for one in (old, new, fresh))
    assert {key for key in after if not torch.equal(after[key], before[key])} == {"candidate_tokens.cell.codes"}
    torch.testing.assert_close(
        after["candidate_tokens.cell.codes"], found["candidate_tokens.cell.codes"], atol=HALF, rtol=HALF
    )
    stranger, _ = load_rehearsal(shelf / "kang-3")
    with pytest.raises(MismatchError, match="fingerprint"):
        with_answers_of(new, stranger)
    forget_candidate_tokens(fresh, "cell")
    with pytest.raises(MismatchError, match="0 answers"):
        with_answers_of(new, fresh)


def _renews(folder):
    """A cell side trained anew goes into the checkpoint, beside what else that reads."""
    old = load(folder / "model")
    shelf = folder / "kept"
    other = dataclasses.replace(TINY, projector=dataclasses.replace(TINY.projector, steps=4))
    make.rehearse("full", shelf, other, 3, again=True)
    fresh, _ = load_rehearsal(shelf / "full-3")
    assert fresh.config.encoders["cell"].fingerprint == old.config.encoders["cell"].fingerprint
    both = extend(old, PrecomputedEncoder("X_m", dim=4, modality="molecule"))
    both.save(folder / "both", dtype="float16")
    make.recalibrate(folder / "both", seed=3, rehearsals=shelf, config=TINY, folds=("kang", "baron"), renew=True)
    new = load(folder / "both")
    assert new.modalities == ["cell", "molecule"]
    held = [one.modules["projectors"]["cell"].state_dict() for one in (new, fresh, old)]
    for key, value in held[0].items():
        torch.testing.assert_close(value, held[1][key], atol=HALF, rtol=HALF)
    assert not torch.equal(held[0]["codes"], held[2]["codes"])
    for part in ("projectors", "shared"):
        mine, theirs = (one.modules[part]["molecule"].state_dict() for one in (new, both))
        assert all(torch.allclose(value, theirs[key], atol=HALF) for key, value in mine.items())
    stranger, _ = load_rehearsal(shelf / "kang-3")
    with pytest.raises(MismatchError, match="text spaces"):
        with_cells_of(new, stranger)
