"""The recipe of the shipped checkpoint: no test cell in training, candidate sets without contradictions."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from recipes.bioverse_small import data
from recipes.bioverse_small.batches import AugmentConfig, Pool, draw
from recipes.bioverse_small.cuts import CutSampler
from recipes.bioverse_small.encoder import EncoderConfig, Normaliser, TrainedEncoder, head_scores, train_encoder
from recipes.bioverse_small.gates import refine_t_cells
from recipes.bioverse_small.self_training import BLOOD, self_labels
from recipes.bioverse_small.simulate import SimulationConfig, simulate
from recipes.bioverse_small.terms import candidate_columns, is_within, within_matrix
from scbioverse.datasets import list_datasets
from scbioverse.encoders.compact import CompactNet, GeneStats
from tests._dense_zscores import panel_zscores

CD4, CD8, NAIVE_CD4, NAIVE_CD8, T = "CL:0000624", "CL:0000625", "CL:0000895", "CL:0000900", "CL:0000084"
B, CD14, CD16 = "CL:0000236", "CL:0001054", "CL:0002396"


def test_development_tests_never_train():
    trained = {*data.STUDIES, *data.UNLABELLED, *data.LABEL_PROFILES, *data.PROFILES}
    assert not trained & set(data.DEV_TESTS)


def test_what_the_registry_bars_from_training_does_not_train():
    table = list_datasets()
    barred = set(table.index[table["note"].fillna("").str.contains("never train")])
    assert set(data.DEV_TESTS) <= barred
    assert not barred & {*data.STUDIES, *data.UNLABELLED, *data.LABEL_PROFILES, *data.PROFILES}


def test_published_names_keep_cd14_and_cd16_monocytes_apart():
    assert not is_within(CD16, CD14)
    assert is_within(NAIVE_CD4, CD4)
    assert is_within(NAIVE_CD4, T)
    assert not is_within(T, NAIVE_CD4)


def test_candidate_columns_give_each_term_to_its_finest_candidate():
    terms = [NAIVE_CD4, NAIVE_CD8, CD4, CD8, B]
    assert candidate_columns([T, CD8, B], terms) == [[0, 2], [1, 3], [4]]
    assert candidate_columns([CD14], terms) == [[]]


def test_within_matrix_reads_row_above_column():
    assert within_matrix([T, NAIVE_CD4]).tolist() == [[True, True], [False, True]]


def test_gates_split_only_clear_cells():
    proteins = pd.DataFrame(
        {"CD45RA": [3000, 10, 300], "CD45RO": [10, 2000, 100], "CD25": [5, 5, 5], "CD127": [90, 90, 90]}
    )
    assert refine_t_cells(np.array([CD4] * 3, object), proteins).tolist() == [NAIVE_CD4, "CL:0000897", CD4]
    assert refine_t_cells(np.array([B] * 3, object), proteins).tolist() == [B] * 3


def test_simulated_cells_are_counts_near_their_profile():
    rng = np.random.default_rng(0)
    profiles = rng.dirichlet(np.full(200, 0.3), 3).astype(np.float32)
    names = np.array(["a", "a", "b"], object)
    held = data.Profiles(profiles, np.ones((3, 200), bool), names, names, np.ones(3))
    counts, origin = simulate(held, SimulationConfig(cells_per_profile=60), rng)
    assert counts.shape == (180, 200)
    assert (counts.data == np.round(counts.data)).all()
    for i in range(3):
        mean = np.asarray(counts[origin == i].mean(0)).ravel()
        similarity = [np.corrcoef(mean, profile)[0, 1] for profile in profiles]
        assert int(np.argmax(similarity)) == i


@pytest.fixture
def pool() -> Pool:
    rng = np.random.default_rng(1)
    rates = np.where(np.arange(4)[:, None] == np.arange(400)[None] % 4, 6.0, 0.4)
    term = np.repeat(np.arange(4), 50)
    return Pool(
        sparse.csr_matrix(rng.poisson(rates[term]).astype(np.float32)),
        np.ones((1, 400), bool),
        np.zeros(200, int),
        term,
        np.full(200, 1 / 200),
    )


def test_draw_is_zero_outside_the_panel_and_repeats(pool):
    config = AugmentConfig(min_panel=20, max_panel=100, panel_probability=1.0)
    counts, panel, _ = draw(pool, 16, config, np.random.default_rng(3))
    again, *_ = draw(pool, 16, config, np.random.default_rng(3))
    assert (counts[~panel] == 0).all()
    assert panel.sum(1).max() <= 100
    np.testing.assert_array_equal(counts, again)


def test_normaliser_equals_the_shipped_preprocessing(pool):
    rng = np.random.default_rng(0)
    genes = [f"G{i}" for i in range(400)]
    stats = GeneStats(genes, rng.random(400), 0.2 + rng.random(400), rng.random(400), 1e4)
    vocab = np.arange(0, 400, 3)
    panel = np.zeros(400, bool)
    panel[vocab] = True
    counts = pool.counts[:7].toarray() * panel
    mine = Normaliser(stats)(counts.copy(), np.broadcast_to(panel, counts.shape).copy()).numpy()
    shipped = panel_zscores(counts[:, vocab], stats, vocab)
    np.testing.assert_allclose(mine if shipped.shape[1] == 400 else mine[:, vocab], shipped, atol=1e-4)


class _Model:
    config = SimpleNamespace(names="natural")
    reader = SimpleNamespace(answer_ids=lambda text: [*text.encode(), 0])


def test_cuts_hold_no_label_within_another_and_cells_belong_to_their_label():
    terms = sorted({NAIVE_CD4, NAIVE_CD8, CD4, CD8, B, CD14, CD16, T, "CL:0000623", "CL:0000057", "CL:0000115"})
    rng = np.random.default_rng(0)
    term = np.repeat(np.arange(len(terms)), 5)
    embeddings = np.eye(len(terms), dtype=np.float32)[term]
    sampler = CutSampler(_Model(), embeddings, term, terms, batch_size=32)
    coarse_seen = False
    for _ in range(40):
        nodes = [sampler.nodes[i] for i in sampler.cut(rng)]
        assert len(nodes) == len(set(nodes)) > 1
        assert not any(is_within(a, b) for a in nodes for b in nodes if a != b)
        batch = sampler(rng)
        assert set(batch["texts"]) <= set(batch["candidates"].names)
        for vector, group in zip(batch["embeddings"][:, 0], batch["groups"], strict=True):
            own, label = terms[int(vector.argmax())], sampler.nodes[group]
            assert is_within(own, label)
            coarse_seen |= own != label
    assert coarse_seen


def test_self_labels_follow_the_neighbourhood():
    rng = np.random.default_rng(0)
    centre = rng.normal(size=(2, 16)) * 5
    group = np.repeat([0, 1], 60)
    embedding = (centre[group] + rng.normal(size=(120, 16))).astype(np.float32)

    def score(_: np.ndarray) -> np.ndarray:
        logits = np.zeros((120, len(BLOOD)))
        logits[np.arange(120), group] = 4.0
        logits[0] = 0
        logits[0, 1] = 4.0  # one cell the network gets wrong
        return logits

    rows, labels = self_labels(embedding, score, [BLOOD[0], BLOOD[1]])
    assert rows.tolist() == list(range(120))
    assert labels[0] == 0
    assert (labels == group).all()


def test_training_learns_separable_types_and_repeats():
    rng = np.random.default_rng(0)
    genes = np.array([f"G{i}" for i in range(120)], object)
    terms = [B, NAIVE_CD4, CD14]
    rates = np.where(np.arange(3)[:, None] == np.arange(120)[None] % 3, 8.0, 0.3)
    label = np.repeat(np.arange(3), 60)
    study = data.Study(
        "kang_ifnb_pbmc",
        sparse.csr_matrix(rng.poisson(rates[label]).astype(np.float32)),
        np.ones(120, bool),
        np.array(terms, object)[label],
        label.astype(str).astype(object),
    )
    config = EncoderConfig(
        hidden=16, dim=8, steps=60, batch_size=32, augment=AugmentConfig(min_panel=60, max_panel=110)
    )
    one, two = (train_encoder(genes, [study], None, config, seed=3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.net.parameters(), two.net.parameters(), strict=True))
    from recipes.bioverse_small.encoder import embed_study

    called = head_scores(one, embed_study(one, study), terms).argmax(1)
    assert (called == label).mean() > 0.95


def test_head_scores_of_an_untrained_candidate_lose():
    trained = TrainedEncoder(CompactNet(4, 4, 4), None, [B], torch.eye(4)[:1], 10.0)
    assert head_scores(trained, np.eye(4, dtype=np.float32)[:1], [B, CD14]).argmax() == 0
