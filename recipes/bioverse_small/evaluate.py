"""Figures of a model on whole studies: every cell by itself, the study's own labels as candidates."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax
from sklearn.metrics import f1_score

from recipes.bioverse_small.calibration import Calibration, combine, question, raw_log_probs
from recipes.bioverse_small.data import Study
from recipes.bioverse_small.encoder import TrainedEncoder
from scbioverse.models import BioVerse
from scbioverse.predict.candidates import own_labels
from scbioverse.predict.embedding import Batch
from scbioverse.predict.pool import pool, weights_of
from scbioverse.train import expected_calibration_error


def metrics(log_probs: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Accuracy, macro-F1 and calibration gap of the most probable label; `truth` holds columns."""
    called = log_probs.argmax(1)
    sure = np.exp(log_probs.max(1).astype(np.float64))
    return {
        "accuracy": round(float((called == truth).mean()), 4),
        "macro_f1": round(float(f1_score(truth, called, average="macro")), 4),
        "ece": round(expected_calibration_error(sure, called == truth), 4),
    }


def evaluate(
    model: BioVerse,
    trained: TrainedEncoder,
    studies: list[Study],
    calibration: Calibration,
    *,
    rng: int = 0,
    max_cells: int | None = None,
) -> dict[str, dict[str, dict[str, float]]]:
    """Score, nearest and the head that bypasses the language model, with and without markers, and the controls."""
    out: dict[str, dict[str, dict[str, float]]] = {}
    generator, weights = np.random.default_rng(rng), calibration.asked
    for study in studies:
        asked = question(trained, study, generator, max_cells, model.config.names)
        truth, n = asked.truth, asked.truth.size
        rows: dict[str, dict[str, float]] = {}
        values = raw_log_probs(model, trained, asked)
        for way, label in (("score", "score"), ("nearest", "nearest"), ("head", "bypass head")):
            if way == "score" and weights is not None and "asked" in values:
                alone = combine(values["score"], (weights[3], 0.0), None)
                both = combine(values["asked"], (weights[2], 0.0), None)
            else:
                said, pair = values["whole" if way == "score" else way], getattr(calibration, way)
                alone, both = (combine(said, pair, evidence) for evidence in (None, asked.evidence))
            rows[label] = metrics(both, truth)
            rows[f"{label}, no markers"] = metrics(alone, truth)
            if way == "score":
                rows["score, no markers, shuffled"] = metrics(alone[generator.permutation(n)], truth)
        if "cascade" in model.config.calibration:
            candidates = own_labels(asked.candidates, asked.form)
            batch = Batch(model, asked.embedding, evidence=lambda _, evidence=asked.evidence: evidence, progress=False)
            answer = pool(batch, candidates, weights_of(model, "cascade", candidates))
            rows["cascade"] = metrics(answer.log_probs, truth) | {"read_by_llm": round(answer.read / n, 4)}
        rows["markers alone"] = metrics(log_softmax(asked.evidence, axis=1), truth)
        share = float(np.bincount(truth).max() / n)
        rows["majority"] = {"accuracy": round(share, 4)}
        out[study.name] = {name: row | {"n": n} for name, row in rows.items()}
    return out
