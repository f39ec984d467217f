"""The model's ways to call a cell, the head that bypasses the language model, markers alone, and the controls."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import log_softmax

from benchmarks.annotation_parts.measures import Meter, Row, by_chance, cost, measures
from benchmarks.annotation_parts.posing import Test
from recipes.bioverse_small.calibration import (
    Answers,
    Calibration,
    Question,
    attention,
    combine,
    said,
    said_with_markers,
    study_evidence,
)
from recipes.bioverse_small.encoder import TrainedEncoder, embed_study, head_scores
from scbioverse.models import BioVerse
from scbioverse.models.config import Calibration as TableRow
from scbioverse.predict.pool import pool_weights, worth_reading
from scbioverse.train.calibrate import candidate_rows

WAYS = {"score": "score", "nearest": "nearest", "head": "bypass head"}
# Soft tokens that say what a cell is among all that the projector knows, whatever is asked.
WHOLE = "score, no markers, not asked"


@dataclass
class Raw:
    """What a model says about a test before temperature and markers.

    Attributes
    ----------
    values
        By way, (n, m): log-probabilities, for `nearest` cosines.
    shuffled, zeroed
        What `score` says when asked about the embeddings of other cells, and about (1, m) an embedding of zeros.
    order
        int (n,): whose embedding each cell got.
    meters
        Time and memory of each step.
    """

    asked: Question
    values: dict[str, np.ndarray]
    shuffled: np.ndarray
    zeroed: np.ndarray
    order: np.ndarray
    meters: dict[str, Meter] = field(default_factory=dict)

    @property
    def answers(self) -> Answers:
        """What was asked and what was said, without the controls."""
        return self.asked, self.values


def ask(model: BioVerse, trained: TrainedEncoder, test: Test, seed: int, *, controls: bool = True) -> Raw:
    """Ask a model about a test in every way."""
    rows, meters = np.arange(len(test.truth)), {}
    embed_study(trained, test.study, rows[:16])
    with meters.setdefault("embed", Meter()):
        embedding = embed_study(trained, test.study, rows)
    with meters.setdefault("markers", Meter()):
        evidence = study_evidence(trained.stats, test.study, rows, test.candidates)
    asked = Question(test.name, test.candidates, embedding, evidence, test.truth, model.config.names)
    # What does not depend on the cells is computed once a label set, and not counted: the prompt's cache and the cards.
    said(model, replace(asked, embedding=embedding[:1]))
    cards = model.text_coordinates(asked.cards)
    with meters.setdefault("score", Meter()):
        scored = said(model, asked)
    with meters.setdefault("whole", Meter()):
        whole = model.score(embedding, asked.names, progress=False, calibrated=False)
    with meters.setdefault("nearest", Meter()):
        cosine = model.coordinates(embedding) @ cards.T
    with meters.setdefault("head", Meter()):
        head = log_softmax(head_scores(trained, embedding, test.candidates), axis=1)
    with meters.setdefault("attention", Meter()):
        attended = attention(model, asked)
    values = {"score": scored, "whole": whole, "nearest": cosine, "head": head, "attention": attended}
    order = np.random.default_rng(seed).permutation(len(rows))
    shuffled = zeroed = np.empty((0, len(test.candidates)), np.float32)
    if controls:
        shuffled, zeroed = ask_controls(model, asked, order)
    return Raw(asked, values, shuffled, zeroed, order, meters)


def ask_controls(model: BioVerse, asked: Question, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score the embeddings of other cells, and an embedding of zeros: (n, m) and (1, m)."""
    inputs = np.concatenate([asked.embedding[order], np.zeros_like(asked.embedding[:1])])
    values = said(model, replace(asked, embedding=inputs))
    return values[:-1], values[-1:]


def weigh_in(model: BioVerse, raw: Raw, weights: tuple[float, ...] | None, *, controls: bool = True) -> None:
    """Add what the language model says once markers are weighed in, and the control with embeddings of other cells."""
    table = {name: row for name, row in model.config.calibration.items() if not name.startswith("candidate_tokens")}
    model.config.calibration = table | ({} if weights is None else candidate_rows(*weights))
    with raw.meters.setdefault("asked", Meter()):
        found = said_with_markers(model, raw.asked)
    raw.values.update(found)
    if found and controls:
        others = replace(raw.asked, embedding=raw.asked.embedding[raw.order])
        raw.values["asked, embedding shuffled"] = said_with_markers(model, others)["asked"]


def answers_of(raws: list[Raw]) -> dict[str, Answers]:
    """By study, what was asked and what was said."""
    return {raw.asked.study: raw.answers for raw in raws}


def shipped_calibration(model: BioVerse) -> Calibration | None:
    """Return what the recipe wrote into the model, None for a model that was never calibrated."""
    held = (model.config.training or {}).get("calibration")
    return Calibration(**{way: None if one is None else tuple(one) for way, one in held.items()}) if held else None


def combined(raw: Raw, calibration: Calibration, way: str, evidence: np.ndarray | None) -> tuple[np.ndarray, str]:
    """Log-probabilities by a way, with markers where evidence is given, and the step that they took.

    Where the language model was asked with markers weighed in, `score` is what it said.
    """
    weights = calibration.asked
    if way != "score" or weights is None or "asked" not in raw.values:
        return combine(raw.values[way], getattr(calibration, way), evidence), way
    if evidence is None:
        return combine(raw.values["score"], (weights[3], 0.0), None), "score"
    return combine(raw.values["asked"], (weights[2], 0.0), None), "asked"


def rows_of(raw: Raw, calibration: Calibration) -> dict[str, Row]:
    """Every way with and without markers, markers alone, and the controls."""
    asked, meters = raw.asked, raw.meters
    truth, n = asked.truth, asked.truth.size
    out: dict[str, Row] = {}
    for way, name in WAYS.items():
        for label, evidence in ((name, asked.evidence), (f"{name}, no markers", None)):
            values, step = combined(raw, calibration, way, evidence)
            seconds = meters["embed"].seconds + meters[step].seconds
            seconds += 0 if evidence is None else meters["markers"].seconds
            out[label] = measures(values.argmax(1), truth, asked.candidates, values) | cost(n, seconds, meters[step])
    whole = combine(raw.values["whole"], calibration.score, None)
    seconds = meters["embed"].seconds + meters["whole"].seconds
    out[WHOLE] = measures(whole.argmax(1), truth, asked.candidates, whole) | cost(n, seconds, meters["whole"])
    if calibration.pool is not None:
        out |= cascade_rows(raw, calibration)
    out["markers alone"] = measures(asked.evidence.argmax(1), truth, asked.candidates)
    out["markers alone"] |= cost(n, meters["markers"].seconds, meters["markers"])
    return out | control_rows(raw, calibration)


# What the cascade does without one of its sources, the weights of the others as they are.
WITHOUT = {"attention": "prototypes", "nearest": "nearest", "markers": "markers"}


def pooled_answer(answers: Answers, pool: TableRow) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities (n, m) of the cascade, and bool (n,) which rows the language model read."""
    asked, values = answers
    weights = pool_weights(pool)
    parts = {"prototypes": values["attention"], "nearest": values["nearest"], "markers": asked.evidence}
    joint = sum(pool.weight(name) * np.asarray(part, np.float64) for name, part in parts.items() if part is not None)
    read = worth_reading(joint, weights)
    joint[read] += pool.weight("language_model") * values["score"][read]
    return log_softmax(joint, axis=1), read


def cascade_rows(raw: Raw, calibration: Calibration) -> dict[str, Row]:
    """Measure the cascade, and what it does without each of its sources.

    Its time is that of its parts, the language model's by the share of cells it has to read.
    """
    asked, meters, n = raw.asked, raw.meters, raw.asked.truth.size
    pool = calibration.cascade
    if pool is None:
        raise ValueError("the calibration has no pool")
    quick = sum(meters[step].seconds for step in ("embed", "markers", "nearest", "attention"))
    out: dict[str, Row] = {}
    pools = {"cascade": pool} | {
        f"cascade, no {part}": replace(pool, weights={**pool.weights, source: 0.0}) for part, source in WITHOUT.items()
    }
    for name, one in pools.items():
        log_probs, read = pooled_answer(raw.answers, one)
        row = measures(log_probs.argmax(1), asked.truth, asked.candidates, log_probs)
        row |= cost(n, quick + read.mean() * meters["score"].seconds, meters["nearest"])
        out[name] = row | {"read_by_llm": round(float(read.mean()), 4)}
    return out


def control_rows(raw: Raw, calibration: Calibration) -> dict[str, Row]:
    """Score on permuted and zeroed inputs. Empty without controls."""
    asked = raw.asked
    if not len(raw.shuffled):
        return {}
    zeros = np.repeat(raw.zeroed, asked.truth.size, axis=0)
    inputs = {
        "score, embedding and markers shuffled": (raw.shuffled, asked.evidence[raw.order]),
        "score, no markers, embedding shuffled": (raw.shuffled, None),
        "score, embedding alone shuffled": (raw.shuffled, asked.evidence),
        "score, no markers, embedding zeroed": (zeros, None),
    }
    joint, weights = {}, calibration.asked
    if weights is not None and "asked" in raw.values:
        # A row's answer depends on that row alone: other cells' inputs get other cells' answers.
        joint = {
            "score, embedding and markers shuffled": raw.values["asked"][raw.order],
            "score, embedding alone shuffled": raw.values["asked, embedding shuffled"],
        }
    out = {}
    for name, (scores, evidence) in inputs.items():
        if weights is not None and name in joint:
            values = combine(joint[name], (weights[2], 0.0), None)
        else:
            values = combine(scores, calibration.score, evidence)
        called = values.argmax(1)
        out[name] = measures(called, asked.truth, asked.candidates, values)
        out[name]["by_chance"] = by_chance(called, asked.truth, len(asked.candidates))
    return out
