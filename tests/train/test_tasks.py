from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from scbioverse.errors import InputError
from scbioverse.models import BioVerse
from scbioverse.train import AutoregressiveTask, CandidateSet, ContrastiveTask, LabelSampler, MixedTask
from tests._precision import LOG_PROBS, LOSS

Toy = tuple[NDArray[np.float32], NDArray[np.int64]]
GENERAL = ["The train leaves at nine.", "Rain is expected in the north.", "He poured a cup of tea."]


def batch_of(toy: Toy, names: list[str], n: int = 12) -> dict:
    X, labels = toy
    return {"embeddings": X[:n, None, :], "texts": [names[i] for i in labels[:n]], "groups": labels[:n]}


def gradients(model: BioVerse) -> dict[str, torch.Tensor]:
    return {k: p.grad.clone() for k, p in model.modules.named_parameters() if p.grad is not None}


def test_restricted_loss_is_what_scoring_computes(model: BioVerse, toy: Toy, names: list[str]) -> None:
    batch = batch_of(toy, names)
    candidates = CandidateSet.of(model, names)
    loss = AutoregressiveTask(model, candidates=candidates)(batch)["loss"]
    scores = model.score(batch["embeddings"], names, progress=False)
    own = scores[np.arange(12), batch["groups"]]
    assert float(loss.detach()) == pytest.approx(-own.mean(), abs=LOG_PROBS)


def test_answers_drawn_by_shares_teach_the_cross_entropy_against_them(
    model: BioVerse, toy: Toy, names: list[str]
) -> None:
    x = toy[0][:1, None, :]
    shares = np.random.default_rng(2).dirichlet(np.ones(len(names)))
    task = AutoregressiveTask(model, candidates=CandidateSet.of(model, names))
    expected = 0.0
    for i, name in enumerate(names):
        loss = task({"embeddings": x, "texts": [name], "groups": np.array([i]), "shares": shares[None]})["loss"]
        assert torch.isfinite(loss)
        expected += shares[i] * float(loss.detach())
    scores = model.score(x, names, progress=False)[0]
    assert expected == pytest.approx(-float(shares @ scores), abs=LOG_PROBS)


def test_shares_of_the_answer_alone_are_the_plain_loss(model: BioVerse, toy: Toy, names: list[str]) -> None:
    batch = batch_of(toy, names)
    task = AutoregressiveTask(model, candidates=CandidateSet.of(model, names))
    certain = np.eye(len(names))[batch["groups"]]
    plain, taught = task(batch)["loss"], task({**batch, "shares": certain})["loss"]
    assert float(taught.detach()) == pytest.approx(float(plain.detach()), abs=LOG_PROBS)
    with pytest.raises(InputError, match="own candidates"):
        AutoregressiveTask(model)({**batch, "shares": certain})
    # Rows and their shares stay together in parts.
    parts = task.split({**batch, "shares": certain}, 5)
    whole = sum(float(task(part)["loss"].detach()) * weight for part, weight in parts)
    assert whole == pytest.approx(float(plain.detach()), abs=LOG_PROBS)


def test_related_labels_are_taken_out_as_if_they_were_not_there(model: BioVerse, toy: Toy, names: list[str]) -> None:
    related = np.zeros((6, 6), bool)
    related[3, 4] = related[4, 3] = True  # B cell and its precursor
    batch = batch_of(toy, names)
    rows = np.flatnonzero(batch["groups"] == 3)
    part = {"embeddings": batch["embeddings"][rows], "texts": ["B cell"] * rows.size, "groups": batch["groups"][rows]}
    loss = AutoregressiveTask(model, candidates=CandidateSet.of(model, names, related=related))(part)["loss"]
    others = [name for name in names if name != "B cell precursor"]
    without = model.score(part["embeddings"], others, progress=False)[:, others.index("B cell")]
    assert float(loss.detach()) == pytest.approx(-without.mean(), abs=LOG_PROBS)


def test_full_loss_reads_answer_tokens_and_the_end_token_only(model: BioVerse, toy: Toy, names: list[str]) -> None:
    batch = batch_of(toy, names, n=5)
    loss = AutoregressiveTask(model)(batch)["loss"]
    prompt, backbone = model.reader.prompt(), model.backbone
    each = []
    for x, text in zip(batch["embeddings"], batch["texts"], strict=True):
        answer = model.reader.answer_ids(text)
        assert answer[-1] == backbone.eos_id
        ids = [*prompt.prefix, *prompt.head, *answer]
        embeds = model.reader.composer.compose([ids], {"cell": model.project(x[None])}).inputs_embeds
        logits = backbone.logits(backbone.hidden(embeds)[0])[0].log_softmax(dim=-1)
        start = len(ids) - len(answer)
        each.append(-np.mean([float(logits[start + i - 1, token].detach()) for i, token in enumerate(answer)]))
    assert float(loss.detach()) == pytest.approx(np.mean(each), abs=LOG_PROBS)


def test_loss_does_not_depend_on_batch_or_order(model: BioVerse, toy: Toy, names: list[str]) -> None:
    task = AutoregressiveTask(model, candidates=CandidateSet.of(model, names))
    batch = batch_of(toy, names)
    task(batch)["loss"].backward()
    whole = gradients(model)
    model.modules.zero_grad()
    order = np.random.default_rng(1).permutation(12)
    mixed = {
        "embeddings": batch["embeddings"][order],
        "texts": [batch["texts"][i] for i in order],
        "groups": batch["groups"][order],
    }
    parts = task.split(mixed, 5)
    assert len(parts) == 3
    assert sum(weight for _, weight in parts) == pytest.approx(1.0)
    for part, weight in parts:
        (task(part)["loss"] * weight).backward()
    split = gradients(model)
    assert set(split) == set(whole)
    for key, value in whole.items():
        torch.testing.assert_close(split[key], value, atol=LOG_PROBS, rtol=LOG_PROBS)


def test_parts_hold_answers_of_like_length(model: BioVerse, toy: Toy, names: list[str]) -> None:
    task = AutoregressiveTask(model)
    parts = task.split(batch_of(toy, names), 4)
    spans = [[len(model.reader.answer_ids(text)) for text in part["texts"]] for part, _ in parts]
    assert all(max(a) <= min(b) for a, b in itertools.pairwise(spans))


def test_gradient_goes_to_projector_and_tokens_only(model: BioVerse, toy: Toy, names: list[str]) -> None:
    task = AutoregressiveTask(model, candidates=CandidateSet.of(model, names))
    task(batch_of(toy, names))["loss"].backward()
    with_gradient = set(gradients(model))
    assert "tokens.trained" in with_gradient
    assert "tokens.fixed" not in with_gradient
    assert any(key.startswith("projectors.cell.") for key in with_gradient)
    assert all(value.dtype == torch.float32 for value in gradients(model).values())
    assert all(param.grad is None for param in model.backbone.model.parameters())
    assert {key for key, _ in task.named_parameters()} >= with_gradient


def test_answer_outside_the_candidates(model: BioVerse, toy: Toy, names: list[str]) -> None:
    task = AutoregressiveTask(model, candidates=CandidateSet.of(model, names[:2]))
    with pytest.raises(KeyError, match=names[2]):
        task(batch_of(toy, names))


def test_contrastive_needs_a_text_space(model: BioVerse) -> None:
    with pytest.raises(InputError, match="has no text space"):
        ContrastiveTask(model)


def test_contrastive_ignores_equal_texts_and_relations(new_model: Callable[..., BioVerse], toy: Toy) -> None:
    model = new_model()
    model.space.fit([*GENERAL, "a cell", "another cell", "B cell", "T cell"], dim=4)
    model.modules.eval()
    task = ContrastiveTask(model)
    X, _ = toy
    # Two texts only: with every pair of unequal texts related, no negative is left.
    batch = {"embeddings": X[:4, None, :], "texts": ["B cell", "T cell"] * 2, "groups": np.array([0, 1, 0, 1])}
    first = task(batch)["loss"]
    assert float(first.detach()) > 0
    masked = task({**batch, "related": np.ones((4, 4), bool)})["loss"]
    assert float(masked.detach()) == pytest.approx(0.0, abs=LOG_PROBS)
    same = task({**batch, "texts": ["B cell"] * 4, "groups": np.zeros(4, int)})["loss"]
    assert float(same.detach()) == pytest.approx(0.0, abs=LOG_PROBS)


def test_contrastive_general_text_counts_against(
    new_model: Callable[..., BioVerse], toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scbioverse.train.tasks.NEGATIVES", 2)
    model = new_model()
    model.space.fit([*GENERAL, "a cell", "another cell", "B cell", "T cell"], dim=4)
    model.modules.eval()
    X, _ = toy
    batch = {"embeddings": X[:4, None, :], "texts": ["B cell", "T cell"] * 2, "groups": np.array([0, 1, 0, 1])}
    alone = ContrastiveTask(model)(batch)["loss"]
    task = ContrastiveTask(model, negatives=GENERAL)
    losses = set()
    for seed in range(6):
        torch.manual_seed(seed)
        losses.add(round(float(task(batch)["loss"].detach()), 6))
    assert min(losses) > float(alone.detach())
    assert len(losses) > 1  # two of three are drawn each time


def test_contrastive_reads_cards_where_given(new_model: Callable[..., BioVerse], toy: Toy) -> None:
    model = new_model()
    model.space.fit([*GENERAL, "a cell", "another cell", "B cell", "T cell"], dim=4)
    task = ContrastiveTask(model)
    batch = {
        "embeddings": toy[0][:2, None, :],
        "texts": ["x", "y"],
        "cards": ["B cell", "T cell"],
        "groups": np.arange(2),
    }
    task(batch)
    assert set(task._texts) == {"B cell", "T cell"}


def test_mixed_task_adds_its_parts(new_model: Callable[..., BioVerse], toy: Toy, names: list[str]) -> None:
    model = new_model()
    model.space.fit([*GENERAL, *names], dim=4)
    one, two = AutoregressiveTask(model, candidates=CandidateSet.of(model, names)), ContrastiveTask(model)
    batch = batch_of(toy, names)
    model.modules.eval()
    both = MixedTask([(one, 1.0), (two, 0.3)])
    wanted = float(one(batch)["loss"].detach()) + 0.3 * float(two(batch)["loss"].detach())
    assert float(both(batch)["loss"].detach()) == pytest.approx(wanted, abs=LOSS)
    parts = both.split(batch, 5)
    assert [part["part"] for part, _ in parts] == [0, 0, 0, 1]
    split = sum(float(both(part)["loss"].detach()) * weight for part, weight in parts)
    assert split == pytest.approx(wanted, abs=LOSS)
    listed = [key for key, _ in both.named_parameters()]
    assert len(listed) == len(set(listed))
    assert any(key.startswith("shared.cell.") for key in listed)


def test_training_mode_is_the_projectors_alone(model: BioVerse, names: list[str]) -> None:
    task = AutoregressiveTask(model, candidates=CandidateSet.of(model, names))
    task.train(True)
    assert model.modules.training
    assert not model.backbone.model.training
    task.train(False)
    assert not model.modules.training


def test_sampler_feeds_the_task(model: BioVerse, toy: Toy, names: list[str]) -> None:
    X, labels = toy
    batch = LabelSampler(X, labels, names, batch_size=4)(np.random.default_rng(0))
    values = AutoregressiveTask(model, candidates=CandidateSet.of(model, names))(batch)
    assert np.isfinite(float(values["loss"].detach()))
