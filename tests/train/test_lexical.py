"""The warm start: soft tokens that begin as words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scbioverse.train import LabelSampler, LexicalTask, fit


@pytest.fixture
def labelled(model):
    rng = np.random.default_rng(0)
    texts = ["B cell", "naive CD4 T cell of the blood", "monocyte"]
    made = next(iter(model.config.encoders.values()))
    centres = rng.normal(size=(3, made.n_tokens, made.dim)).astype(np.float32)
    labels = np.repeat(np.arange(3), 20)
    return centres[labels] + 0.05 * rng.normal(size=(60, made.n_tokens, made.dim)).astype(np.float32), labels, texts


def test_target_places_tokens_in_order_and_averages_what_shares_a_slot(model):
    task, n_soft = LexicalTask(model), model.config.n_soft
    ids = model.reader.answer_ids("B cell")[:-1]
    words = model.backbone.embed_tokens(torch.tensor(ids)).float()
    target = task.target("B cell")
    assert target.shape == (n_soft, model.backbone.d_llm)
    if len(ids) <= n_soft:
        torch.testing.assert_close(target[: len(ids)], words)
        torch.testing.assert_close(target[len(ids) :], words[-1:].expand(n_soft - len(ids), -1))
    long = task.target("naive CD4 T cell of the blood and of the bone marrow")
    ids = model.reader.answer_ids("naive CD4 T cell of the blood and of the bone marrow")[:-1]
    assert len(ids) > n_soft
    words = model.backbone.embed_tokens(torch.tensor(ids)).float()
    torch.testing.assert_close(long[:-1], words[: n_soft - 1])
    torch.testing.assert_close(long[-1], words[n_soft - 1 :].mean(dim=0))


def test_soft_tokens_come_near_their_own_words_and_nothing_else_moves(model, labelled):
    values, labels, texts = labelled
    task = LexicalTask(model)
    before = {key: value.clone() for key, value in model.tensors().items()}
    llm = {key: value.clone() for key, value in model.backbone.model.state_dict().items()}
    history = fit(task, LabelSampler(values, labels, texts, batch_size=16), steps=150, lr=3e-3, progress=False)
    assert history["loss"].iloc[-10:].mean() < 0.5 * history["loss"].iloc[:10].mean()
    with torch.no_grad():
        soft = model.project(values)
    wanted = torch.stack([task.target(text) for text in texts])
    distance = (soft[:, None] - wanted[None]).pow(2).sum(dim=(2, 3))
    assert (distance.argmin(dim=1).numpy() == labels).all()
    moved = {key for key, value in model.tensors().items() if not torch.equal(value, before[key])}
    assert moved
    assert all(key.startswith("projectors.cell.") for key in moved)
    assert all(torch.equal(value, llm[key]) for key, value in model.backbone.model.state_dict().items())
