from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

import scbioverse as sb
from scbioverse.errors import InputError, MismatchError, MissingKeyError
from scbioverse.models.config import Calibration
from scbioverse.train.instructions import Instruction, Lessons
from scbioverse.train.lessons import NOT_ENOUGH, Group, comparison_lesson, group_lessons, term_lessons

if TYPE_CHECKING:
    from anndata import AnnData

    from scbioverse.models import BioVerse

GENES = pd.DataFrame(
    {"gene": ["CD79A", "MS4A1", "CD74"], "fraction_in": [0.9, 0.8, 1.0], "fraction_out": [0.1, 0.05, 0.4]}
)


def test_tune(cells: AnnData, tiny_model: BioVerse, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in tiny_model.backbone.model.state_dict().items()}
    tiny_model.config.calibration["cascade"] = Calibration({"nearest": 1.0})
    identity, obs = tiny_model.fingerprint(), cells.obs.copy()
    options = {"text_key": "cell_type", "model": tiny_model, "steps": 3, "batch_size": 4, "rank": 2, "rng": 1}
    tuned = sb.tl.tune(cells, state=tmp_path / "run", save_every=2, **options)
    assert tuned.adapter is not None
    assert "cascade" not in tuned.config.calibration  # it weighed the language model without adapter
    assert tiny_model.adapter is None
    assert tiny_model.fingerprint() == identity != tuned.fingerprint()
    assert all(np.array_equal(v, before[k]) for k, v in tiny_model.backbone.model.state_dict().items())
    pd.testing.assert_frame_equal(cells.obs, obs)
    record = json.loads(cells.uns["bioverse"]["tune"])
    assert record["fingerprint"] == tuned.fingerprint()
    assert len(record["history"]["loss"]) == 3
    assert {"label", "identity", "lineage", "not enough", "definition"} <= set(record["tasks"])
    # The same seed gives the same model, and a run that was finished goes on to the same end.
    again = sb.tl.tune(cells, state=tmp_path / "run", **options)
    assert again.adapter is not None
    assert again.adapter.fingerprint == tuned.adapter.fingerprint
    relabelled = cells.copy()
    relabelled.obs["cell_type"] = relabelled.obs["cell_type"].to_numpy()[::-1]
    for data, more in ((relabelled, {}), (cells, {"alpha": 8.0}), (cells, {"batch_size": 5})):
        with pytest.raises(MismatchError, match="it is another run, or of other data"):
            sb.tl.tune(data, state=tmp_path / "run", **{**options, **more})
    other = sb.tl.tune(cells, **{**options, "rng": 2}, train_projector=False)
    assert other.adapter.fingerprint != tuned.adapter.fingerprint
    assert all(np.array_equal(v, tiny_model.modules.state_dict()[k]) for k, v in other.modules.state_dict().items())
    loaded = sb.models.load(tuned.save(tmp_path / "tuned"), llm=tiny_model.backbone)
    values = np.asarray(cells.obsm["X_bioverse"])[:4]
    names = ["B cell", "platelet"]
    np.testing.assert_array_equal(
        loaded.score(values, names, progress=False), tuned.score(values, names, progress=False)
    )
    cells.write_h5ad(tmp_path / "a.h5ad")
    data = ad.read_h5ad(tmp_path / "a.h5ad")
    figure = sb.pl.training_history(data, return_fig=True)
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert lines["loss"].get_xdata().tolist() == [0, 1, 2]
    assert "label" in lines or "identity" in lines
    plt.close(figure)


def test_an_adapter_with_dropout_is_gone_on_from(cells: AnnData, tiny_model: BioVerse) -> None:
    options = {"text_key": "cell_type", "steps": 2, "batch_size": 4, "rank": 2, "dropout": 0.5, "lr": 0.1, "rng": 1}
    first = sb.tl.tune(cells, model=tiny_model, **options)
    second = sb.tl.tune(cells, model=first, **options)
    assert second.adapter.fingerprint != first.adapter.fingerprint


def test_a_model_whose_adapter_only_writes_scores_with_the_tuned_one(cells: AnnData, tiny_model: BioVerse) -> None:
    options = {"text_key": "cell_type", "batch_size": 4, "rank": 2, "rng": 1}
    writes = sb.tl.tune(cells, model=tiny_model, steps=1, **options)
    writes.config.adapter_scores = False
    tuned = sb.tl.tune(cells, model=writes, steps=2, **options)
    assert tuned.config.adapter_scores
    assert tuned.reader is tuned.writing_reader
    assert not writes.config.adapter_scores


def test_an_adapter_of_another_shape_is_begun_anew_or_refused(cells: AnnData, tiny_model: BioVerse) -> None:
    options = {"text_key": "cell_type", "batch_size": 4, "rng": 1, "steps": 1}
    first = sb.tl.tune(cells, model=tiny_model, rank=2, train_projector=False, **options)
    kept = dict(cells.uns)
    for wrong in ({"rank": 4}, {"rank": 2, "alpha": 32.0}):
        with pytest.raises(MismatchError, match="start='fresh'"):
            sb.tl.tune(cells, model=first, **wrong, **options)
    with pytest.raises(InputError, match="start"):
        sb.tl.tune(cells, model=first, start="anew", **options)
    assert dict(cells.uns) == kept
    # Nothing of the first is in it: from the untuned model, the same seed gives the same.
    options |= {"rank": 4, "train_projector": False, "start": "fresh"}
    after, plain = (sb.tl.tune(cells, model=one, **options).adapter for one in (first, tiny_model))
    assert after is not None
    assert plain is not None
    assert after.config.rank == 4
    for name, value in plain.tensors.items():
        assert torch.equal(after.tensors[name], value), name
    assert json.loads(cells.uns["bioverse"]["tune"])["start"] == "fresh"


def test_history_of_a_data_frame_and_errors(cells: AnnData, tiny_model: BioVerse) -> None:
    history = pd.DataFrame({"step": [0, 1], "loss": [2.0, 1.0], "loss_label": [np.nan, 1.0]})
    (axis,) = sb.pl.training_history(history, show=False, smooth=1)
    assert axis.get_lines()[0].get_ydata().tolist() == [2.0, 1.0]
    plt.close(axis.figure)
    with pytest.raises(InputError, match="no values of"):
        sb.pl.training_history(history, columns=["other"], show=False)
    with pytest.raises(MissingKeyError, match="no record of 'tune'"):
        sb.pl.training_history(cells, show=False)
    with pytest.raises(InputError, match="found BioVerse"):
        sb.pl.training_history(tiny_model, show=False)
    (axis,) = sb.pl.training_history(history, show=False, palette=["#aa0000", "#00aa00"])
    assert [line.get_color() for line in axis.get_lines() if line.get_label()[0] != "_"] == ["#aa0000", "#00aa00"]
    plt.close(axis.figure)


def test_own_lessons_and_wrong_options(cells: AnnData, tiny_model: BioVerse) -> None:
    lessons = Lessons([Instruction("mine", "What is it?", "A cell.", "me")], {})
    tuned = sb.tl.tune(cells, text_key="cell_type", model=tiny_model, lessons=lessons, steps=1, batch_size=2)
    assert json.loads(cells.uns["bioverse"]["tune"])["tasks"] == ["mine"]
    assert tuned.adapter is not None
    untouched = cells.copy()
    for wrong in ({"steps": 0}, {"lr": 0.0}, {"rank": 0}, {"targets": "nothing"}, {"weights": {"other": 1.0}}):
        with pytest.raises(InputError):
            sb.tl.tune(cells, text_key="cell_type", model=tiny_model, **{"steps": 1, **wrong})
    with pytest.raises(MissingKeyError):
        sb.tl.tune(cells, text_key="nothing", model=tiny_model)
    assert dict(cells.uns) == dict(untouched.uns)


def test_the_label_prompt_is_answered_as_annotate_asks() -> None:
    naive = Group("naive B cell", "CL:0000788", [0], GENES, "study", said="B naive")
    made = group_lessons(naive, np.random.default_rng(0), per_task=2)
    assert {one.answer for one in made if one.task == "label"} == {"B naive"}
    assert all("naive B cell" in one.answer for one in made if one.task == "identity")


def test_lessons_say_nothing_but_facts() -> None:
    b = Group("B cell", "CL:0000236", [0, 1, 2], GENES, "study", "blood")
    nk = Group("NK cell", "CL:0000623", [3, 4], GENES.assign(gene=["GNLY", "NKG7", "CD74"]), "study")
    rng = np.random.default_rng(0)
    made = group_lessons(b, rng, per_task=6) + group_lessons(nk, rng, per_task=6) + term_lessons("CL:0000786", rng)
    assert all(one.source for one in made)
    assert len({one.question for one in made if one.task == "identity"}) > 2
    for one in made:
        if one.task == "label":
            assert one.answer in ("B cell", "NK cell")
        if one.task == "tissue":
            assert "blood" in one.answer
        if one.task == "not enough":
            assert one.answer == NOT_ENOUGH
        if one.task in ("reason", "markers"):
            genes = GENES["gene"] if one.source.startswith("study/CL:0000236") else ["GNLY", "NKG7", "CD74"]
            assert any(gene in one.answer for gene in genes)
            assert one.evidence
    assert not any(one.task == "tissue" and "NK" in one.source for one in made)
    assert {one.task for one in made} >= {"definition", "synonym", "lineage", "known markers"}
    pair = comparison_lesson(b, nk, rng)
    assert pair is not None
    assert pair.answer == "CD79A and MS4A1 are higher in A; GNLY and NKG7 are higher in B."
    assert [name for _, _, name in pair.objects] == ["A", "B"]
    assert comparison_lesson(b, b, rng) is None
