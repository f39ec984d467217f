"""Writing of molecules is added to a model, and nothing else in it changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import torch

import scbioverse as sb
from recipes.bioverse_small import sequences, writing
from recipes.bioverse_small.sequence_card import LIMITS
from recipes.bioverse_small.writing import WritingConfig, add_writing, lesson_text, lessons_of, note_of, phrase_book_of
from scbioverse.encoders import PrecomputedEncoder
from scbioverse.llm.adapter import AdapterConfig
from scbioverse.models import BioVerse, load

if TYPE_CHECKING:
    from pathlib import Path

    from scbioverse.llm.backbone import Backbone

PHENOL = (
    "The molecule is a benzoate ester that is long. It has a role as an EC 3.1.1.7 inhibitor and a drug. It derives "
    "from a benzoic acid. It is a member of phenols and a L-alanine derivative."
)
SUGAR = "The molecule is a hexose. It has a role as a metabolite. It is an aldose."
SMALL = WritingConfig(
    rows={"kind": 1, "role": 1, "class": 1}, hidden=16, epochs=400, batch_size=16,
    adapter=AdapterConfig(rank=2), steps=2, lesson_batch=2,
)  # fmt: skip


@pytest.fixture
def table() -> pd.DataFrame:
    texts = [PHENOL, SUGAR] * 10
    return pd.DataFrame({"text": texts, "parent": [f"C{i}" for i in range(20)], "source": "toy", "row": "1"})


@pytest.fixture
def x() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (np.eye(2)[np.arange(20) % 2].repeat(3, axis=1) + 0.05 * rng.normal(size=(20, 6))).astype(np.float32)


@pytest.fixture
def reader(tiny_backbone: Backbone, x: np.ndarray) -> BioVerse:
    drugs = sb.datasets.toy_cells(n_obs=20, n_genes=40)
    drugs.obsm["X"] = x
    encoder = PrecomputedEncoder.from_adata(drugs, "X", modality="molecule")
    model = BioVerse.new(encoder, name="small", llm=tiny_backbone, hidden=16, rng=0)
    model.space.fit([f"text number {i}" for i in range(40)], dim=12)
    return model


def test_phrases_are_spelt_as_captions_do_and_have_articles() -> None:
    speech, held, told = phrase_book_of([PHENOL, SUGAR, "It is a salt."], SMALL)
    kinds, roles, classes = (one.phrases for one in speech.groups)
    assert kinds == ("a benzoate ester", "a hexose")
    assert roles == ("a drug", "an EC 3.1.1.7 inhibitor", "a metabolite")
    assert set(classes) == {"an aldose", "a L-alanine derivative", "a member of phenols", "a salt"}
    assert held.sum(dim=1).tolist() == [5, 3, 1]
    assert told.tolist() == [[1, 1, 1], [1, 1, 1], [0, 1, 1]]


def test_rare_phrases_are_left_out() -> None:
    config = replace(SMALL, rows={"kind": 2, "role": 1, "class": 1})
    speech, held, told = phrase_book_of([PHENOL, SUGAR, SUGAR], config)
    assert speech.groups[0].phrases == ("a hexose",)
    assert told[:, 0].tolist() == [0, 1, 1]
    assert held.shape == (3, len(speech.phrases))


def test_a_lesson_says_what_its_note_can_tell() -> None:
    assert "derives" not in lesson_text(PHENOL)
    assert lesson_text(SUGAR) == SUGAR
    note = "a benzoate ester; role: an EC 3.1.1.7 inhibitor, a drug; class: a member of phenols, a L-alanine derivative"
    assert note_of(PHENOL) == note
    assert note_of("The molecule is a hexose.") == ""
    assert note_of("It has a role as a drug. It is a salt.") == ""


def test_long_captions_are_no_lessons(table: pd.DataFrame) -> None:
    assert len(lessons_of(table, SMALL).examples) == 20
    assert len(lessons_of(table, replace(SMALL, longest_lesson=len(SUGAR))).examples) == 10
    assert len(lessons_of(table, replace(SMALL, longest_first=30)).examples) == 10
    assert {one.question for one in lessons_of(table, SMALL, smiles=True).examples} == set(table["parent"])


def test_the_examples_of_the_prompt_are_as_lessons_are() -> None:
    for note, text in writing.EXAMPLES:
        assert note_of(text) == note


def test_added_saved_and_nothing_else_changed(
    reader: BioVerse, table: pd.DataFrame, x: np.ndarray, tmp_path: Path
) -> None:
    new = add_writing(reader, table, x, SMALL, 0)
    assert "molecule" not in reader.phrase_books
    mine, theirs = reader.tensors(), new.tensors()
    assert {key for key in theirs if key not in mine} == {key for key in theirs if key.startswith("phrases.")}
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    notes = new.captioner("molecule").notes(x)
    assert [one.split(";")[0] for one in notes] == ["a benzoate ester", "a hexose"] * 10
    assert notes[1] == note_of(SUGAR)
    assert new.config.training["writing of molecules"]["lessons"] == 20
    again = load(new.save(tmp_path / "m"), llm=reader.backbone)
    assert again.fingerprint() == new.fingerprint()
    assert again.writing_adapters.keys() == {"molecule"}
    assert add_writing(reader, table, x, SMALL, 0).fingerprint() == new.fingerprint()
    reader.config.training = {"limits": ["Molecules are not written of.", "Cells are human."]}
    again.config.metrics = {"molecules, written texts": [{"bleu2": 0.1}], "cells": []}
    taken = sequences.taking_writing(reader, again)
    assert taken.fingerprint() == new.fingerprint()
    assert taken.config.training["limits"] == ["Cells are human.", LIMITS["molecule"]]
    assert taken.config.metrics == {"molecules, written texts": [{"bleu2": 0.1}]}
    figures = writing.written_measures(again, x, table["text"].tolist(), 0, n=6)
    assert set(figures) == {"written", "dealt"}
    assert "bleu4" in figures["written"]


def test_without_lessons_there_is_no_adapter(reader: BioVerse, table: pd.DataFrame, x: np.ndarray) -> None:
    new = add_writing(reader, table, x, replace(SMALL, steps=0, epochs=1), 0)
    assert not new.writing_adapters
    assert new.captioner("molecule").write(x[:2], max_new_tokens=3)[1].shape == (2,)
    with pytest.raises(SystemExit, match="not written"):
        sequences.taking_writing(new, reader)


def test_lessons_are_read_behind_the_opening_that_texts_are_written_behind(
    reader: BioVerse, table: pd.DataFrame, x: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = add_writing(reader, table, x, replace(SMALL, steps=0), 0)
    task = writing.CaptionTask(model, lessons_of(table, SMALL), AdapterConfig(rank=2), seed=0)
    read, seen = task.read, []
    monkeypatch.setattr(task, "read", lambda rows, ids, start: seen.append(list(start)) or read(rows, ids, start))
    task(writing.InstructionSampler(task.lessons, batch_size=2)(np.random.default_rng(0)))
    assert seen == [model.captioner("molecule").opening_ids]
