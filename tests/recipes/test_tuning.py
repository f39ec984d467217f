"""Stage 2 of the recipe: examples with their sources, cells held back, and a tuning that may not get worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import sparse

from recipes.bioverse_small import data, tune
from recipes.bioverse_small.data import Study
from recipes.bioverse_small.instructions import Held, LessonConfig, make_lessons
from recipes.bioverse_small.tune import TuneConfig, accuracies
from scbioverse.llm.adapter import AdapterConfig
from scbioverse.models import BioVerse
from tests.recipes._tiny import tiny_cells

if TYPE_CHECKING:
    from scbioverse.llm import Backbone
    from scbioverse.train.instructions import Lessons

B, NK = "CL:0000236", "CL:0000623"
GENES = np.array(["CD79A", "MS4A1", "NKG7", "GNLY", *(f"CD{i}" for i in (4, 14, 19, 22, 27, 33, 34, 38))], object)
SMALL = LessonConfig(cells_per_label=30, held_per_label=6, per_task=2, pairs_per_study=3, terms=5, noise=4)


@pytest.fixture
def study() -> Study:
    rng = np.random.default_rng(0)
    labels = np.array([B, NK] * 40, object)
    rate = np.full((80, len(GENES)), 0.5)
    rate[labels == B, :2] = 6.0
    rate[labels == NK, 2:4] = 6.0
    counts = sparse.csr_matrix(rng.poisson(rate).astype(np.float32))
    return Study("kang_ifnb_pbmc", counts, np.ones(len(GENES), bool), labels, labels)


@pytest.fixture
def model(tiny_backbone: Backbone) -> BioVerse:
    return tiny_cells(GENES, tiny_backbone)


@pytest.fixture
def made(model: BioVerse, study: Study) -> tuple[Lessons, list[Held]]:
    return make_lessons(model.encoders["cell"], [study], GENES, SMALL, 0, model.config.names)


def test_examples_name_their_source_and_repeat(made: tuple[Lessons, list[Held]], model: BioVerse, study: Study) -> None:
    lessons, (held,) = made
    sources = {one.source.split("/")[0].split("+")[0] for one in lessons.examples}
    assert {"kang_ifnb_pbmc", "noise"} <= sources
    assert all(source in data.STUDIES or source == "noise" or source.startswith("CL:") for source in sources)
    reasons = [one for one in lessons.examples if one.task in ("reason", "markers")]
    for one in reasons:
        assert ("CD79A" in one.answer and "MS4A1" in one.answer) == (f"/{B}/" in one.source)
    assert {"label", "identity", "lineage", "tissue", "compare", "not enough", "definition"} <= set(lessons.tasks)
    assert {one.answer for one in lessons.examples if one.task == "label"} >= {"B"}
    again, _ = make_lessons(model.encoders["cell"], [study], GENES, SMALL, 0, model.config.names)
    assert again.examples == lessons.examples
    # No example speaks of a cell that is held back.
    assert len(held.truth) == 12
    spoken = {row.tobytes() for row in lessons.embeddings["cell"]}
    assert not any(row.astype(np.float32).tobytes() in spoken for row in held.embeddings)


def test_the_adapter_is_judged_by_what_score_reads_with_it(
    made: tuple[Lessons, list[Held]], model: BioVerse, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.config.adapter_scores = False
    asked: list[bool] = []
    monkeypatch.setattr(tune, "accuracies", lambda one, _: asked.append(one.config.adapter_scores) or {"mean": 0.5})
    tune.tune(model, *made, TuneConfig(steps=1, batch_size=2, weights={}), 0)
    assert asked == [False, True]
    assert not model.config.adapter_scores


def test_development_tests_are_no_choice() -> None:
    assert not set(data.STUDIES) & set(data.DEV_TESTS)


def test_a_worse_model_is_refused(
    made: tuple[Lessons, list[Held]], model: BioVerse, monkeypatch: pytest.MonkeyPatch
) -> None:
    lessons, held = made
    config = TuneConfig(adapter=AdapterConfig(rank=2), steps=2, batch_size=4)
    before = accuracies(model, held)
    assert set(before) == {"kang_ifnb_pbmc", "mean"}
    values = iter([{"mean": 0.9}, {"mean": 0.8}, {"mean": 0.85}, {"mean": 0.86}])
    monkeypatch.setattr(tune, "accuracies", lambda *_: next(values))
    refused, figures, _ = tune.tune(model, lessons, held, config, 0)
    assert refused is None
    assert figures["after, strength 0.25"] == {"mean": 0.86}
    values = iter([{"mean": 0.9}, {"mean": 0.8}, {"mean": 0.896}])
    monkeypatch.setattr(tune, "accuracies", lambda *_: next(values))
    tuned, figures, history = tune.tune(model, lessons, held, config, 0, minutes=0.01)
    assert tuned is not None
    assert tuned.adapter is not None
    assert figures["strength"] == 0.5
    assert model.adapter is None
    assert len(history) == figures["steps"] == 2
