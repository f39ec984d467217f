"""Figures of a model on whole studies: every cell by itself, the study's own labels as candidates."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import f1_score

from recipes.bioverse_small.data import Study
from recipes.bioverse_small.encoder import TrainedEncoder, embed_study, head_scores
from scbioverse.knowledge.cards import label_card
from scbioverse.knowledge.phrases import phrases
from scbioverse.models import BioVerse
from scbioverse.train import expected_calibration_error


def metrics(scores: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Accuracy and macro-F1 of the highest score; `truth` holds columns."""
    called = scores.argmax(1)
    return {
        "accuracy": round(float((called == truth).mean()), 4),
        "macro_f1": round(float(f1_score(truth, called, average="macro")), 4),
    }


def calibration_gap(log_probs: np.ndarray, truth: np.ndarray) -> float:
    """Return the expected calibration error of the called label's probability."""
    sure = np.exp(log_probs.max(1).astype(np.float64))
    return round(expected_calibration_error(sure, log_probs.argmax(1) == truth), 4)


def evaluate(
    model: BioVerse, trained: TrainedEncoder, studies: list[Study], *, rng: int = 0, max_cells: int | None = None
) -> dict[str, dict[str, dict[str, float]]]:
    """Score, nearest, the classifier head that bypasses the language model, and score of shuffled embeddings."""
    out: dict[str, dict[str, dict[str, float]]] = {}
    generator = np.random.default_rng(rng)
    for study in studies:
        rows = np.flatnonzero(study.cl_ids != "")
        if max_cells is not None and len(rows) > max_cells:
            rows = np.sort(generator.choice(rows, max_cells, replace=False))
        candidates = sorted(set(study.cl_ids[rows]))
        truth = np.array([candidates.index(i) for i in study.cl_ids[rows]])
        embedding = embed_study(trained, study, rows)
        names = [phrases(i)[0] for i in candidates]
        scores = model.score(embedding, names, progress=False)
        nearest = model.nearest(embedding, [label_card(i) for i in candidates])
        order = generator.permutation(len(rows))
        out[study.name] = {
            "score": metrics(scores, truth) | {"ece": calibration_gap(scores, truth), "n": len(rows)},
            "nearest": metrics(nearest, truth),
            "bypass head": metrics(head_scores(trained, embedding, candidates), truth),
            "shuffled": metrics(scores[order], truth),
            "majority": {"accuracy": round(float(np.bincount(truth).max() / len(truth)), 4)},
        }
    return out
