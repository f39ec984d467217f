"""Codes of answers: the language model learns to say what the attention among the names asked for says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recipes.bioverse_small.answers import AnswerConfig, AnswerSampler, AnswerTask, train_answers
from recipes.bioverse_small.cuts import CutConfig
from recipes.bioverse_small.teaching import TeachingConfig
from scbioverse.encoders import PrecomputedEncoder
from scbioverse.knowledge.ontology import load_ontology
from scbioverse.knowledge.phrases import answer_name
from scbioverse.models import BioVerse
from scbioverse.models.score import name_code
from tests._precision import LOG_PROBS, tolerance

TERMS = ["CL:0000788", "CL:0000787", "CL:0000895", "CL:0000900", "CL:0000623", "CL:0000860", "CL:0002396"]
CONFIG = AnswerConfig(
    steps=12, batch_size=16, lr=3e-2, teaching=TeachingConfig(cuts=CutConfig(min_size=3, max_size=5, other_name=0.0))
)


@pytest.fixture
def lessons(tiny_backbone) -> tuple[BioVerse, np.ndarray, np.ndarray]:
    model = BioVerse.new(PrecomputedEncoder("X_toy", dim=8), llm=tiny_backbone, n_soft=2, prototypes=[""] * len(TERMS))
    model.config.encoders["cell"] = replace(model.config.encoders["cell"], terms=tuple(TERMS))
    with torch.no_grad():
        projector = model.modules["projectors"]["cell"]
        projector.begin_as(torch.eye(8)[: len(TERMS)], projector.codes.detach().clone(), 8.0)
    term = np.repeat(np.arange(len(TERMS)), 20)
    cells = np.eye(8, dtype=np.float32)[term]
    return model, cells + np.random.default_rng(0).normal(scale=0.1, size=cells.shape).astype(np.float32), term


def test_nothing_but_the_codes_learns_and_they_do(lessons) -> None:
    model, cells, term = lessons
    before = {key: one.clone() for key, one in model.tensors().items()}
    history = train_answers(model, cells, term, TERMS, CONFIG, 0)
    assert history["loss"].tail(3).mean() < history["loss"].head(3).mean()
    after = model.tensors()
    assert {key for key in after if key not in before} == {"candidate_tokens.cell.codes"}
    assert all(torch.equal(one, after[key]) for key, one in before.items())
    asked = model.config.encoders["cell"].candidates
    assert set(TERMS) < set(asked)  # and broader ones
    begun = torch.stack([name_code(model.reader, answer_name(one, model.config.names)) for one in asked])
    moved = (model.candidate_reader().known.codes - begun).abs().amax(dim=(1, 2))
    assert (moved > 0).sum() > len(TERMS)


def test_a_seed_repeats_it(lessons) -> None:
    model, cells, term = lessons
    codes = []
    for seed in (1, 1, 2):
        train_answers(model, cells, term, TERMS, replace(CONFIG, steps=2), seed)
        codes.append(model.candidate_reader().known.codes.detach().clone())
    assert torch.equal(codes[0], codes[1])
    assert not torch.equal(codes[0], codes[2])


def test_soft_tokens_of_a_lesson_are_its_shares_of_its_names(lessons) -> None:
    model, cells, term = lessons
    train_answers(model, cells, term, TERMS, replace(CONFIG, steps=1), 0)
    sampler = AnswerSampler(model, cells, term, TERMS, config=replace(CONFIG, strangers=0))
    batch = sampler(np.random.default_rng(4))
    soft = AnswerTask(model).asked(batch).soft_tokens(batch["shares"])
    codes = model.candidate_reader().known.codes
    names = list(batch["candidates"].names)
    assert [
        answer_name(model.config.encoders["cell"].candidates[i], model.config.names) for i in batch["codes"]
    ] == names
    wanted = sum(float(batch["shares"][3, i]) * codes[at, 1] for i, at in enumerate(batch["codes"]))
    torch.testing.assert_close(
        soft[3, 1], wanted, atol=tolerance("float32", len(names), float(codes.detach().abs().max())), rtol=0
    )


def test_some_names_lie_within_others_and_take_their_terms_from_them(lessons) -> None:
    model, cells, term = lessons
    sampler = AnswerSampler(model, cells, term, TERMS, config=replace(CONFIG, batch_size=8, strangers=50))
    nested = alike = 0
    first = [names[0].split()[0] for names in sampler._names]
    for number in range(40):
        nodes = sampler.cut(np.random.default_rng(number))
        assert len(set(nodes)) == len(nodes)
        columns, _ = sampler.columns(nodes)
        pairs = [(i, j) for i, j in np.argwhere(sampler._clash[np.ix_(nodes, nodes)]) if i < j]
        assert all(not set(columns[i]) & set(columns[j]) for i, j in pairs)
        nested += bool(pairs)
        alike += len({first[node] for node in nodes}) < len(nodes)
    assert 8 < nested < 36
    assert alike > 8


def test_terms_that_were_never_trained_are_names_a_cell_could_be_called_but_never_are_drawn(lessons) -> None:
    model, cells, term = lessons
    train_answers(model, cells, term, TERMS, replace(CONFIG, steps=1), 0)
    sampler = AnswerSampler(model, cells, term, TERMS, config=replace(CONFIG, batch_size=8, strangers=50))
    assert len(sampler.strangers) == 50
    ontology = load_ontology()
    assert not any(one in ontology.ancestors(term) or one == term for one in sampler.strangers for term in TERMS)
    spoken = [answer_name(one, model.config.names) for one in sampler.strangers]
    codes = torch.stack([name_code(model.reader, name) for name in spoken])
    task, n, seen = AnswerTask(model, codes), len(sampler.nodes), 0
    for number in range(20):
        batch = sampler(np.random.default_rng(number))
        names = list(batch["candidates"].names)
        for at, i in enumerate(batch["codes"]):
            assert names[at] == (sampler._names[i][0] if i < n else spoken[i - n])
        strange = batch["codes"] >= n
        seen += int(strange.sum())
        asked = [sampler.nodes[i] if i < n else sampler.strangers[i - n] for i in batch["codes"]]
        likely = model.attention(batch["embeddings"][:, 0], asked)
        np.testing.assert_allclose(np.log(batch["shares"]), likely, atol=LOG_PROBS)  # as it will be asked
        if strange.any():
            held = torch.cat([model.candidate_reader().known.codes, codes])[torch.from_numpy(batch["codes"])]
            wanted = torch.einsum("nm,md->nd", torch.from_numpy(batch["shares"]).float(), held[:, 1])
            torch.testing.assert_close(
                task.asked(batch).soft_tokens(batch["shares"])[:, 1],
                wanted,
                atol=tolerance("float32", len(names), float(held.detach().abs().max())),
                rtol=0,
            )
    assert seen > 15
