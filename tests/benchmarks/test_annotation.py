from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from scipy import sparse

from benchmarks.annotation_parts import left_out_types, ours, peers, posing, tables
from benchmarks.annotation_parts.measures import Meter, by_chance, lineage_matrix, measures, recalls
from benchmarks.annotation_parts.page import page, write_page
from benchmarks.annotation_parts.posing import map_to_candidates, pose, reference_for, variable_genes
from benchmarks.annotation_parts.text_only import TextConfig, text_row, token_budget, top_genes, train_text, usual_share
from recipes.bioverse_small.batches import Pool
from recipes.bioverse_small.calibration import Calibration, Question
from recipes.bioverse_small.data import Study
from recipes.bioverse_small.projector import ProjectorConfig
from scbioverse.encoders import PrecomputedEncoder
from scbioverse.llm import Backbone
from scbioverse.models import BioVerse

T, CD4, NAIVE, B, MONO, CD16 = "CL:0000084", "CL:0000624", "CL:0000895", "CL:0000236", "CL:0001054", "CL:0002396"
N_GENES = 60


def make_study(name: str, labels: list[str], per_label: int = 12, seed: int = 0, panel: int = N_GENES) -> Study:
    """Each label has six genes of its own; genes from `panel` on are not measured."""
    rng = np.random.default_rng(seed)
    known = [CD4, NAIVE, B, MONO, T, CD16]
    counts = rng.poisson(0.5, (len(labels) * per_label, N_GENES)).astype(np.float32)
    cl_ids = np.repeat(np.array(labels, dtype=object), per_label)
    for i, one in enumerate(cl_ids):
        if one:
            at = 6 * known.index(one)
            counts[i, at : at + 6] += rng.poisson(6, 6)
    measured = np.arange(N_GENES) < panel
    counts[:, ~measured] = 0
    return Study(name, sparse.csr_matrix(counts), measured, cl_ids, cl_ids.copy())


# ---------------------------------------------------------------------- measures


def test_measures_of_a_known_confusion() -> None:
    truth, called = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 0])
    row = measures(called, truth, [CD4, B, MONO])
    assert row["accuracy"] == pytest.approx(4 / 6, abs=1e-4)
    # F1: 4/6, 4/5, 0.
    assert row["macro_f1"] == pytest.approx((4 / 6 + 4 / 5) / 3, abs=1e-4)
    assert row["ece"] is None


def test_macro_f1_leaves_out_labels_without_cells() -> None:
    row = measures(np.array([0, 1]), np.array([0, 1]), [CD4, B, MONO])
    assert row["macro_f1"] == 1.0


def test_a_cell_without_a_call_is_wrong() -> None:
    row = measures(np.array([-1, 1]), np.array([1, 1]), [CD4, B])
    assert row["accuracy"] == row["lineage_accuracy"] == 0.5


def test_lineage_counts_ancestor_and_descendant_but_no_sibling() -> None:
    kept = lineage_matrix([T, CD4, NAIVE, B, MONO, CD16])
    assert kept[0, 2]
    assert kept[2, 0]
    assert not kept[0, 3]
    assert not kept[4, 5], "studies set CD14 and CD16 monocytes against each other"
    assert kept.diagonal().all()
    row = measures(np.array([0, 3]), np.array([2, 2]), [T, CD4, NAIVE, B])
    assert (row["accuracy"], row["lineage_accuracy"]) == (0.0, 0.5)


def test_calibration_error_of_sure_and_half_right_calls() -> None:
    log_probs = np.log(np.array([[0.999, 0.001]] * 4))
    row = measures(np.zeros(4, int), np.array([0, 0, 1, 1]), [CD4, B], log_probs)
    assert row["ece"] == pytest.approx(0.499, abs=1e-3)


def test_recalls_and_chance() -> None:
    found = recalls(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)
    np.testing.assert_allclose(found[:2], [1.0, 0.5])
    assert np.isnan(found[2])
    assert by_chance(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), 2) == 0.5


METERED = """
import gc
import json
import numpy as np
from benchmarks.annotation_parts.measures import Meter, cost

class Ring:
    def __init__(self):
        self.held, self.me = np.ones(30_000_000), self

Ring()  # 240 MB that nobody holds but itself
with Meter() as meter:
    gc.collect()  # as happens by itself at times
    held = np.ones(30_000_000)  # 240 MB
print(json.dumps(cost(10, meter.seconds, meter)))
"""


def test_meter_sees_memory_and_time() -> None:
    # A process of its own: what other tests' threads free meanwhile would be counted against the block.
    done = subprocess.run([sys.executable, "-c", METERED], capture_output=True, text=True, check=True)
    row = json.loads(done.stdout)
    assert row["cells_per_second"] > 0
    if row["added_mb"] is not None:
        assert row["added_mb"] > 150


# ---------------------------------------------------------------------- tests and references


def test_reference_labels_go_to_the_finest_candidate_they_lie_within() -> None:
    cl_ids = np.array([NAIVE, CD4, T, B, "", CD16], dtype=object)
    assert map_to_candidates(cl_ids, [CD4, B, MONO]).tolist() == [0, 0, -1, 1, -1, -1]
    assert map_to_candidates(cl_ids, [T, NAIVE]).tolist() == [1, 0, 0, -1, -1, -1]


def test_pose_keeps_rare_candidates_and_is_seeded() -> None:
    study = make_study("a", [CD4, B, ""], per_label=30)
    test = pose(study, "development", "full", 10, seed=3)
    assert len(test.truth) == 10
    assert test.candidates == sorted([CD4, B])
    assert [test.candidates[i] for i in test.truth] == list(test.study.cl_ids)
    again = pose(study, "development", "full", 10, seed=3)
    assert (again.study.counts != test.study.counts).nnz == 0


def test_reference_reports_missing_candidates_and_shares_genes(monkeypatch: pytest.MonkeyPatch) -> None:
    test = pose(make_study("test", [CD4, B, MONO]), "development", "full", 100, seed=0)
    others = [make_study("one", [NAIVE, CD4], seed=1, panel=40), make_study("two", [B, T], seed=2)]
    reference = reference_for(test, others, 8, seed=0)
    assert reference is not None
    assert reference.missing == [MONO]
    assert reference.genes.max() == N_GENES - 1, "too few genes are shared by all"
    monkeypatch.setattr(posing, "MIN_GENES", 30)
    strict = reference_for(test, others, 8, seed=0)
    assert strict is not None
    assert strict.genes.max() == 39
    assert len(reference.label) == 8 + 8
    assert set(reference.study) == {"one", "two"}
    assert reference_for(test, [make_study("none", [T])], 8, seed=0) is None


def test_variable_genes_ignore_differences_between_studies() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(5, 0.1, (40, 5)).astype(np.float32)
    x[:20, 0] += 10
    x[:, 3] += rng.normal(0, 2, 40).astype(np.float32)
    found = variable_genes(sparse.csr_matrix(x), np.repeat(["a", "b"], 20), 1)
    assert found.tolist() == [3]


@pytest.mark.parametrize("name", ["PCA + kNN", "logistic regression", "CellTypist"])
def test_peers_learn_and_cannot_call_what_is_missing(name: str) -> None:
    if name == "CellTypist" and find_spec("celltypist") is None:
        pytest.skip("needs celltypist: pip install 'scbioverse[bench]'")
    test = pose(make_study("test", [CD4, B, MONO]), "development", "full", 100, seed=0)
    reference = reference_for(test, [make_study("one", [CD4, B], seed=1)], 50, seed=0)
    assert reference is not None
    row = peers.peer_row(peers.PEERS[name], test, reference, seed=0)
    assert row["accuracy"] == pytest.approx(2 / 3, abs=0.06)
    assert 0 <= row["ece"] <= 1


def test_a_reference_of_one_label_calls_it() -> None:
    test = pose(make_study("test", [CD4, B]), "development", "full", 100, seed=0)
    reference = reference_for(test, [make_study("one", [B], seed=1)], 50, seed=0)
    assert reference is not None
    assert peers.peer_row(peers.fit_knn, test, reference, seed=0)["accuracy"] == 0.5


def test_top_genes_fall_and_leave_out_zeros() -> None:
    found = top_genes(np.array([[0, 3, 1, 3], [0, 0, 0, 0]], dtype=np.float32), np.ones(4), 3)
    assert found[0].tolist() == [1, 3, 2]
    assert found[1].size == 0


def test_genes_are_ranked_by_how_far_they_are_above_what_is_usual() -> None:
    counts = np.array([[90, 10, 0, 0], [80, 0, 20, 0], [180, 20, 0, 0]], dtype=np.float32)
    usual = usual_share(sparse.csr_matrix(counts))
    np.testing.assert_allclose(usual, [2.6 / 3, 0.1, 0.2, np.inf])
    found = top_genes(np.array([[100, 30, 15, 9]], dtype=np.float32), usual, 4)
    assert found[0].tolist() == [1, 0, 2]  # 300, 115 and 75 times; the fourth gene was never seen


def test_text_only_reads_the_same_cells_and_names(tiny_backbone: Backbone) -> None:
    encoder = PrecomputedEncoder("X_toy", dim=8)
    model = BioVerse.new(encoder, llm=tiny_backbone, n_soft=2, hidden=16, rng=0)
    study = make_study("one", [CD4, B], per_label=20)
    term = np.array([[CD4, B].index(one) for one in study.cl_ids])
    pool = Pool(study.counts, study.panel[None], np.zeros(40, int), term, np.full(40, 1 / 40))
    config = TextConfig(tokens=1500, seconds=20, cells=250)
    genes = [f"gene {i}" for i in range(N_GENES)]
    reader = train_text(model, genes, pool, [CD4, B], config, seed=0)
    assert reader.training["tokens"] >= 1500
    assert reader.training["token_budget"] == 1500
    assert reader.backbone is not model.backbone
    test = pose(make_study("test", [CD4, B], seed=1), "development", "full", 100, seed=0)
    row = text_row(reader, model, test, ["CD4 T cell", "B cell"], 10, seed=0)
    assert row["cells"] == 10
    assert 0 <= row["ece"] <= 1
    assert row == text_row(reader, model, test, ["CD4 T cell", "B cell"], 10, seed=0) | {
        key: row[key] for key in ("cells_per_second", "peak_mb", "added_mb")
    }
    steps = ProjectorConfig.steps * ProjectorConfig.batch_size
    plain = token_budget(model, ["CD4 T cell", "B cell"])
    assert plain > steps * len(model.reader.prompt("cell").head)
    # Codes of answers were trained through the language model, too.
    model.config.training = {**model.config.training, "answers": {"steps": ProjectorConfig.steps, "batch_size": 64}}
    assert token_budget(model, ["CD4 T cell", "B cell"]) == pytest.approx(2 * plain, abs=1)


# ---------------------------------------------------------------------- controls


class Listener:
    """Calls the label whose embedding dimension is largest, and keeps what it was asked."""

    def __init__(self) -> None:
        self.heard: list[np.ndarray] = []

    def score(self, embeddings: np.ndarray, names: list[str], **_: object) -> np.ndarray:
        self.heard.append(embeddings)
        values = np.asarray(embeddings, np.float64)[:, : len(names)]
        return (values - np.log(np.exp(values).sum(1, keepdims=True))).astype(np.float32)


def raw_answers(evidence_weight: float = 0.0) -> tuple[ours.Raw, Listener]:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=90)
    embedding = (8 * np.eye(3)[truth]).astype(np.float32) + rng.normal(0, 0.1, (90, 3)).astype(np.float32)
    evidence = (evidence_weight * np.eye(3)[truth]).astype(np.float32)
    asked = Question("toy", [CD4, B, MONO], embedding, evidence, truth)
    model, order = Listener(), rng.permutation(90)
    shuffled, zeroed = ours.ask_controls(model, asked, order)  # type: ignore[arg-type]
    scored = model.score(embedding, asked.names)
    meters = {key: Meter() for key in ("embed", "markers", "score", "whole", "nearest", "head", "attention")}
    for meter in meters.values():
        with meter:
            pass
    values = {"score": scored, "whole": scored[:, ::-1], "nearest": scored, "head": scored, "attention": scored}
    return ours.Raw(asked, values, shuffled, zeroed, order, meters), model


def test_controls_ask_about_permuted_and_zeroed_inputs() -> None:
    raw, model = raw_answers()
    heard = model.heard[0]
    np.testing.assert_array_equal(heard[:-1], raw.asked.embedding[raw.order])
    assert not heard[-1].any()
    rows = ours.rows_of(raw, Calibration())
    assert rows["score"]["accuracy"] == 1.0
    # What is said of soft tokens that do not depend on the question stands beside it.
    assert rows[ours.WHOLE]["accuracy"] == pytest.approx((raw.asked.truth == 1).mean(), abs=1e-4)
    shuffled = rows["score, no markers, embedding shuffled"]
    assert shuffled["accuracy"] == pytest.approx(shuffled["by_chance"], abs=0.15)
    assert rows["score, no markers, embedding zeroed"]["accuracy"] == pytest.approx(
        (raw.asked.truth == 0).mean(), abs=1e-4
    )


def test_shuffling_moves_markers_with_the_embedding_unless_said() -> None:
    raw, _ = raw_answers(evidence_weight=50.0)
    rows = ours.rows_of(raw, Calibration(score=(1.0, 1.0)))
    assert rows["score, embedding alone shuffled"]["accuracy"] == 1.0
    assert rows["score, embedding and markers shuffled"]["accuracy"] < 0.6
    assert rows["markers alone"]["accuracy"] == 1.0


def test_the_cascade_and_what_it_does_without_each_source() -> None:
    raw, _ = raw_answers(evidence_weight=1.0)
    blind = np.zeros_like(raw.values["nearest"])
    raw = replace(raw, values={**raw.values, "nearest": blind, "attention": blind})
    rows = ours.rows_of(raw, Calibration(pool=(0.0, 1.0, 5.0, 1.0)))
    assert rows["cascade"]["accuracy"] == 1.0
    assert rows["cascade"]["read_by_llm"] == 0.0
    # Nothing is left to go by: the first candidate for all.
    assert rows["cascade, no markers"]["accuracy"] == pytest.approx((raw.asked.truth == 0).mean(), abs=1e-4)
    assert rows["cascade, no attention"]["accuracy"] == 1.0
    # The language model has a say where it has a weight and could change the label.
    heard = ours.rows_of(raw, Calibration(pool=(1.0, 0.0, 0.0, 0.0)))["cascade"]
    assert heard["read_by_llm"] == 1.0
    assert heard["accuracy"] == 1.0


def test_left_out_type_rows() -> None:
    full, _ = raw_answers()
    called = np.where(full.asked.truth == 1, 0, full.asked.truth)  # B cells are called CD4
    values = np.log(np.eye(3)[called] * 0.98 + 0.01)
    fold = replace(full, values=dict.fromkeys(("score", "nearest", "head", "attention"), values))
    calibration = Calibration(pool=(0.0, 1.0, 1.0, 1.0))
    (row,) = left_out_types.type_rows("B+beta", (B,), fold, full, calibration)
    assert row["recall"]["cascade"] == 0.0
    assert row["label"] == B
    assert row["recall"]["score"] == 0.0
    assert row["full_recall"]["score"] == 1.0
    assert row["others_change"]["score"] == 0.0
    assert left_out_types.untrained([T, NAIVE, B], (CD4,)) == [1]


# ---------------------------------------------------------------------- page


@pytest.fixture
def result() -> dict:
    rng = np.random.default_rng(1)
    names = {"own_a": "development", "own_b": "left out"}
    wanted = [*tables.ORDER, *tables.CONTROLS]

    def row() -> dict:
        return {
            "accuracy": round(float(rng.uniform(0.1, 0.9)), 4),
            "macro_f1": round(float(rng.uniform(0.1, 0.9)), 4),
            "lineage_accuracy": round(float(rng.uniform(0.1, 0.9)), 4),
            "ece": round(float(rng.uniform(0.01, 0.2)), 4),
            "by_chance": 0.1234,
            "cells": 9,
            "cells_per_second": round(float(rng.uniform(10, 9000)), 1),
            "added_mb": int(rng.integers(1, 500)),
        }

    tests = {
        name: {
            "group": group,
            "fold": "full",
            "cells": 77,
            "candidates": [CD4, B],
            "names": ["CD4 T cell", "B cell"],
            "reference": {"cells": 321, "genes": 654, "studies": ["x"], "missing": [B]},
            "methods": {method: row() for method in wanted if method != "cascade"},
        }
        for name, group in names.items()
    }
    recall = dict.fromkeys(("score", "markers alone"), 0.4321)
    return {
        "tests": tests,
        "text": {
            "full": {"tokens": 1234, "token_budget": 99999, "examples": 56, "seconds": 7.8}
            | {"first_loss": 2.345, "last_loss": 1.987}
        },
        "ablations": {"contrastive only": {"own_a": {method: row() for method in tables.ABLATION}}},
        "left_out_types": [
            {"fold": "B+beta", "study": "own_a", "label": B, "name": "B cell", "cells": 5, "candidates": 2}
            | {"chance": 0.5, "recall": recall, "full_recall": recall, "others_change": dict.fromkeys(recall, -0.0123)}
        ],
        "budget": {"seed": 0, "skipped": []},
        "machine": {"torch_threads": 1},
        "seconds": 4321,
    }


def test_page_shows_the_figures_of_the_file(result: dict, tmp_path) -> None:
    file = tmp_path / "page.md"
    write_page(json.loads(json.dumps(result)), file)
    text = file.read_text()
    for name, one in result["tests"].items():
        table = next(
            part
            for part in re.split(r"\n\n", text.split("## Study by study")[1])
            if part.startswith("| method") and f"`{name}`" in part
        )
        lines = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in table.splitlines()[2:]}
        for method in tables.methods(result):
            held = one["methods"][method]
            assert lines[method] == f"{held['accuracy']:.3f}/{held['macro_f1']:.3f}"
    for figure in ("1,234", "99,999", "0.432", "**−1.2**", "4,321 s", "2.345", "321", "654"):
        assert figure in text


def test_page_names_every_loss(result: dict) -> None:
    text = page(result)
    below = tables.losses(result, "score", "accuracy")
    expected = {
        (study, peer)
        for study, one in result["tests"].items()
        for peer in tables.PEERS
        if one["methods"][peer]["accuracy"] > one["methods"]["score"]["accuracy"]
    }
    assert {(study, peer) for study, peer, *_ in below} == expected
    assert expected
    section = text.split("### score")[1].split("###")[0]
    for study, peer, own, other in below:
        assert f"- `{study}`: {peer} {other:.3f}, `score` {own:.3f}" in section


def test_a_loss_is_bold_and_the_best_peer_is_the_best(result: dict) -> None:
    assert tables.points(-0.0321) == "**−3.2**"
    assert tables.points(0.0321) == "+3.2"
    name, best = tables.best_peer(result, "own_a", "accuracy") or ("", 0.0)
    held = {peer: result["tests"]["own_a"]["methods"][peer]["accuracy"] for peer in tables.PEERS}
    assert (name, best) == max(held.items(), key=lambda pair: pair[1])


def test_page_without_optional_parts(result: dict) -> None:
    del result["left_out_types"], result["ablations"]
    for one in result["tests"].values():
        del one["methods"]["text only"], one["reference"]
    text = page(result)
    assert "Labels never trained" not in text
    assert "on gene names" not in text
    assert "nan" not in text
    assert "| score |" in tables.plain_table(result) or "score" in tables.plain_table(result)
