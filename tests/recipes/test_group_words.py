"""Groups are simulated with the words of their genes, and an adapter learns what `weigh` computes, among candidates."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy import sparse

from recipes.bioverse_small.cuts import CutConfig
from recipes.bioverse_small.data import Profiles
from recipes.bioverse_small.group_words import (
    QUESTION,
    GroupConfig,
    Groups,
    GroupSampler,
    GroupTask,
    genes_of_group,
    judged,
    lessons_of,
    mean_share,
    simulate_groups,
    train_groups,
)
from scbioverse.llm.adapter import Adapter, AdapterConfig
from scbioverse.models import BioVerse
from tests.recipes._tiny import tiny_cells

if TYPE_CHECKING:
    from pathlib import Path

    from scbioverse.llm import Backbone

TERMS = ("CL:0000236", "CL:0000540", "CL:0000115", "CL:0000182")
GENES = tuple(f"GENE{i}" for i in range(24))
SMALL = GroupConfig(
    rounds=2, cells=6, genes=3, narrow=0.0, cuts=CutConfig(min_size=3, max_size=4, other_name=0.0),
    adapter=AdapterConfig(rank=2), steps=2, batch_size=4, lr=1e-2,
)  # fmt: skip


@pytest.fixture
def model(tiny_backbone: Backbone) -> BioVerse:
    return tiny_cells(GENES, tiny_backbone)


@pytest.fixture
def groups(model: BioVerse) -> Groups:
    matrix = np.full((8, len(GENES)), 1.0, np.float32)
    for i in range(8):
        matrix[i, 3 * (i % 4) : 3 * (i % 4) + 3] = 40
    matrix /= matrix.sum(axis=1, keepdims=True)
    sources = np.array(["file:one"] * 4 + ["file:two"] * 4, object)
    profiles = Profiles(matrix, np.ones(matrix.shape, bool), np.array(TERMS * 2, object), sources, np.full(8, 0.3))
    return simulate_groups(model.encoders["cell"], profiles, SMALL, np.random.default_rng(0))


def test_genes_are_said_by_how_many_times_their_share_is_what_is_usual_where_enough_cells_show_them() -> None:
    group = np.array([[50, 30, 20, 0, 0, 0]] * 9 + [[0, 0, 0, 0, 0, 100]], dtype=np.float32)
    rest = np.array([[50, 0, 10, 40, 0, 0]] * 10, dtype=np.float32)
    matrix = sparse.csr_matrix(np.concatenate([group, rest]))
    usual = mean_share(matrix)
    np.testing.assert_allclose(usual, [0.475, 0.135, 0.14, 0.2, 0, 0.05], rtol=1e-6)
    chosen, shown = genes_of_group(matrix[:10], usual, 4)
    assert chosen.tolist() == [1, 2]  # 2 and 1.29 times; the first is below what is usual, the last shown by one
    np.testing.assert_allclose(shown, [0.9, 0.9])
    usual[1] = np.inf
    assert genes_of_group(matrix[:10], usual, 4)[0].tolist() == [2]


def test_a_group_is_said_by_the_genes_that_its_profile_has_above_the_others(groups: Groups) -> None:
    assert set(groups.source) == {"one", "two"}
    assert len(groups) == 16
    for words, term in zip(groups.words, groups.term, strict=True):
        at = TERMS.index(groups.terms[term])
        assert {one.rstrip(".") for one in words.split()} == set(GENES[3 * at : 3 * at + 3])


def test_the_loss_is_what_the_model_gives_the_answer_among_the_candidates(model: BioVerse, groups: Groups) -> None:
    task = GroupTask(model, lessons_of(groups), SMALL.adapter, train_projector=False)
    task.train(False)
    batch = GroupSampler(model, groups, replace(SMALL, words_only=0.3, soft_only=0.3))(np.random.default_rng(3))
    with torch.inference_mode():
        loss = float(task(batch)["loss"])
    wanted = []
    for row, text in zip(batch["examples"], batch["texts"], strict=True):
        one = task.lessons.examples[row]
        prompt = model.text_writer.prompt(
            QUESTION, objects=[(m, name) for m, _, name in one.objects], evidence=one.evidence
        )
        given = {"cell": groups.embeddings[[at for _, at, _ in one.objects]][:, None]} if one.objects else {}
        (said,) = model.text_writer.weigh([prompt], [given], [batch["candidates"].names])
        wanted.append(-said[batch["candidates"].names.index(text)])
    assert {len(task.lessons.examples[row].objects) for row in batch["examples"]} == {0, 1}
    assert loss == pytest.approx(np.mean(wanted), rel=0.02)


def test_the_adapter_that_is_kept_is_the_one_that_was_best_on_groups_held_back(
    model: BioVerse, groups: Groups, tmp_path: Path
) -> None:
    figures = train_groups(model, groups, groups, SMALL, 0, folder=tmp_path, every=1, batches=2)
    assert [one["step"] for one in figures["judged"]] == [1, 2]
    best = figures["best"]
    assert best["held_loss"] == min(one["held_loss"] for one in [figures["before"], *figures["judged"]])
    assert best["step"] > 0
    assert json.loads((tmp_path / "figures.json").read_text())["steps"] == 2
    kept = Adapter.load(tmp_path / "adapter")
    task = GroupTask(model, lessons_of(groups), SMALL.adapter, train_projector=False, start=kept)
    again = judged(task, GroupSampler(model, groups, SMALL, held=True), 2, 0)
    assert again["held_loss"] == pytest.approx(best["held_loss"], abs=2e-4)
    # A run that has ended stays as it is.
    assert train_groups(model, groups, groups, SMALL, 0, folder=tmp_path, every=1, batches=2) == figures
