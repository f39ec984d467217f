"""An encoder learns terms of more profiles, and is held to what it said before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse
from torch.nn import functional as F  # noqa: N812

from recipes.bioverse_small import data
from recipes.bioverse_small.batches import AugmentConfig
from recipes.bioverse_small.encoder import (
    EncoderConfig,
    Normaliser,
    TrainedEncoder,
    build_pool,
    embed_study,
    head_scores,
    train_encoder,
)
from recipes.bioverse_small.further import Average, Before, FurtherConfig, first_prototypes, train_further
from recipes.bioverse_small.simulate import SimulationConfig, cells_of_each

B, NAIVE_CD4, CD14, HEPATOCYTE = "CL:0000236", "CL:0000895", "CL:0001054", "CL:0000182"
GENES = np.array([f"G{i}" for i in range(120)], object)
RATES = np.where(np.arange(4)[:, None] == np.arange(120)[None] % 4, 8.0, 0.3)
CONFIG = EncoderConfig(
    hidden=16, dim=8, steps=60, batch_size=32, augment=AugmentConfig(min_panel=60, max_panel=110),
    simulation=SimulationConfig(cells_per_profile=20),
)  # fmt: skip


def _study(types: list[int], terms: list[str], seed: int = 0) -> data.Study:
    label = np.repeat(types, 60)
    counts = sparse.csr_matrix(np.random.default_rng(seed).poisson(RATES[label]).astype(np.float32))
    ids = np.array(terms, object)[label]
    return data.Study("kang_ifnb_pbmc", counts, np.ones(120, bool), ids, ids)


def _profiles(weights: list[float]) -> data.Profiles:
    matrix = (RATES / RATES.sum(1, keepdims=True)).astype(np.float32)
    ids = np.array([B, NAIVE_CD4, CD14, HEPATOCYTE], object)
    return data.Profiles(matrix, np.ones((4, 120), bool), ids, np.array(["a"] * 4, object), np.array(weights))


@pytest.fixture(scope="module")
def trained() -> TrainedEncoder:
    """An encoder that knows three of the four types."""
    return train_encoder(GENES, [_study([0, 1, 2], [B, NAIVE_CD4, CD14])], None, CONFIG, seed=3)


@pytest.fixture(scope="module")
def further(trained: TrainedEncoder) -> TrainedEncoder:
    """The same, once it has gone on with profiles of all four."""
    study = _study([0, 1, 2], [B, NAIVE_CD4, CD14])
    return train_further(trained, [study], _profiles([1, 1, 1, 0.3]), CONFIG, FurtherConfig(steps=60, lr=1e-3), seed=3)


def test_a_new_term_is_learned_and_the_others_are_still_known(further: TrainedEncoder) -> None:
    terms = [B, NAIVE_CD4, CD14, HEPATOCYTE]
    assert set(further.terms) == set(terms)
    tests = _study([0, 1, 2, 3], terms, seed=1)
    called = head_scores(further, embed_study(further, tests), terms).argmax(axis=1)
    truth = np.repeat(np.arange(4), 60)
    assert (called == truth).mean() > 0.9
    assert (called[truth == 3] == 3).mean() > 0.9


def test_training_repeats_and_the_first_encoder_stays(trained: TrainedEncoder, further: TrainedEncoder) -> None:
    before = [one.clone() for one in trained.net.parameters()]
    study = _study([0, 1, 2], [B, NAIVE_CD4, CD14])
    again = train_further(trained, [study], _profiles([1, 1, 1, 0.3]), CONFIG, FurtherConfig(steps=60, lr=1e-3), seed=3)
    assert all(torch.equal(a, b) for a, b in zip(again.net.parameters(), further.net.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(trained.net.parameters(), before, strict=True))


def test_it_is_held_to_what_it_said(trained: TrainedEncoder) -> None:
    study, tests = _study([0, 1, 2], [B, NAIVE_CD4, CD14]), _study([0, 1, 2], [B, NAIVE_CD4, CD14], seed=1)
    z = Normaliser(trained.stats)(tests.counts.toarray(), np.ones((180, 120), bool))
    far = []
    for held in (0.0, 20.0):
        config = FurtherConfig(steps=60, lr=1e-3, held=held)
        found = train_further(trained, [study], _profiles([1, 1, 1, 1]), CONFIG, config, seed=3)
        with torch.no_grad():
            logits = F.normalize(found.net(z), dim=1) @ found.prototypes.T * found.scale
        target = torch.tensor([found.terms.index(one) for one in tests.cl_ids])
        far.append(float(Before(trained, found.terms).divergence(z, logits, target)))
    assert far[1] < far[0] / 2


def test_cells_of_new_terms_are_not_held(trained: TrainedEncoder) -> None:
    before = Before(trained, [*trained.terms, HEPATOCYTE])
    z, logits = torch.zeros(2, 120), torch.randn(2, 4)
    assert float(before.divergence(z, logits, torch.tensor([3, 3]))) == 0
    assert float(before.divergence(z, logits, torch.tensor([0, 3]))) > 0


def test_the_average_lags_behind_and_is_put_in_place() -> None:
    one = torch.nn.Parameter(torch.zeros(1))
    averaged = Average([one], 0.5)
    for value in (1.0, 1.0, 1.0):
        one.data.fill_(value)
        averaged.update()
    averaged.put()
    assert 0.8 < one.item() < 1.0


def test_terms_of_profiles_of_little_weight_are_drawn_less() -> None:
    light = _profiles([1, 1, 1, 0.3])
    assert cells_of_each(light, CONFIG.simulation).tolist() == [20, 20, 20, 6]
    pool, terms = build_pool([], light, replace(CONFIG, simulated_share=1.0), np.random.default_rng(0))
    share = dict(zip(terms, np.bincount(pool.term, pool.probability), strict=True))
    assert share[HEPATOCYTE] == pytest.approx(0.3 / 3.3)
    assert share[B] == pytest.approx(1 / 3.3)


def test_a_new_term_without_cells_is_named(trained: TrainedEncoder) -> None:
    pool, terms = build_pool([_study([0, 1, 2], [B, NAIVE_CD4, CD14])], None, CONFIG, np.random.default_rng(0))
    assert torch.isfinite(first_prototypes(trained, pool, terms)).all()
    with pytest.raises(ValueError, match=f"no cells to learn {HEPATOCYTE} from"):
        first_prototypes(trained, pool, [*terms, HEPATOCYTE])
