"""Lessons for the language model: what the projector's attention says, and the names it is asked about."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recipes.bioverse_small.cuts import CutConfig
from recipes.bioverse_small.projector import CodesTask
from recipes.bioverse_small.teaching import TaughtSampler, TeachingConfig
from scbioverse.encoders import PrecomputedEncoder
from scbioverse.knowledge.ontology import load_ontology
from scbioverse.models import BioVerse
from tests._precision import FEW

TERMS = ["CL:0000788", "CL:0000787", "CL:0000895", "CL:0000900", "CL:0000623", "CL:0000860", "CL:0002396"]


@pytest.fixture
def sampler(tiny_backbone) -> TaughtSampler:
    model = BioVerse.new(PrecomputedEncoder("X_toy", dim=8), llm=tiny_backbone, n_soft=2, prototypes=[""] * len(TERMS))
    with torch.no_grad():
        projector = model.modules["projectors"]["cell"]
        projector.begin_as(torch.eye(8)[: len(TERMS)], projector.codes.detach().clone(), 8.0)
    rng = np.random.default_rng(0)
    term = np.repeat(np.arange(len(TERMS)), 20)
    cells = np.eye(8, dtype=np.float32)[term] + rng.normal(scale=0.1, size=(len(term), 8)).astype(np.float32)
    config = TeachingConfig(cuts=CutConfig(min_size=3, max_size=6, broadest=4, other_name=0.0))
    return TaughtSampler(model, cells, term, TERMS, batch_size=40, config=config)


def test_shares_are_what_the_attention_says_of_the_candidates(sampler) -> None:
    model, rng = sampler.model, np.random.default_rng(1)
    model.config.encoders["cell"] = type(model.config.encoders["cell"])(
        **{**vars(model.config.encoders["cell"]), "terms": tuple(TERMS)}
    )
    nodes = [sampler.nodes.index(one) for one in TERMS[:4]]
    x = sampler.lessons(nodes, rng)
    np.testing.assert_allclose(sampler.teach(x, nodes), np.exp(model.attention(x, TERMS[:4])), atol=FEW * 8)


def test_answers_are_drawn_by_the_shares_and_repeat(sampler) -> None:
    first, again = (sampler(np.random.default_rng(5)) for _ in range(2))
    assert first["texts"] == again["texts"]
    np.testing.assert_array_equal(first["shares"], again["shares"])
    held = []
    for number in range(60):
        batch = sampler(np.random.default_rng(number))
        np.testing.assert_allclose(batch["shares"].sum(1), 1, atol=FEW)
        at = batch["candidates"].index(batch["texts"])
        held.append(batch["shares"][np.arange(40), at])
        assert [sampler._names[group][0] for group in batch["groups"]] == batch["texts"]
    drawn = np.concatenate(held)
    # An answer of probability p is drawn with p: its own mean probability is that of the sum of squares.
    assert drawn.mean() > 0.6
    assert (drawn < 0.5).any()


def test_some_cells_are_no_candidates_and_some_lie_between(sampler) -> None:
    rng = np.random.default_rng(2)
    nodes = [sampler.nodes.index(one) for one in ("CL:0000788", "CL:0000623")]
    x = np.concatenate([sampler.lessons(nodes, rng) for _ in range(10)])
    nearest = x.argmax(1)
    foreign = ~np.isin(nearest, [0, 4])
    assert 0.05 < foreign.mean() < 0.25  # a fifth is drawn from all cells, of which two in seven are candidates
    between = (np.sort(x, axis=1)[:, -2] > 0.4) & ~foreign
    assert between.any()


def test_terms_above_the_trained_ones_are_asked_about(sampler) -> None:
    ontology = load_ontology()
    broad = {node for node in sampler.nodes if node not in TERMS}
    assert any("CL:0000788" in TERMS and node in ontology.ancestors("CL:0000788") for node in broad)
    seen = set()
    for number in range(80):
        seen |= {sampler.nodes[i] for i in sampler.cut(np.random.default_rng(number))}
    assert seen & broad
    assert seen & set(TERMS)


def test_keys_stay_as_they_are_while_codes_learn(sampler) -> None:
    task = CodesTask(sampler.model)
    task.train(True)
    names = {name for name, _ in task.named_parameters()}
    assert any(name.endswith("codes") for name in names)
    assert not any(name.endswith(("keys", "bias", "log_scale")) for name in names)
    loss = task(sampler(np.random.default_rng(0)))["loss"]
    loss.backward()
    assert sampler.model.modules["projectors"]["cell"].codes.grad.abs().sum() > 0
    task.train(False)
