"""Temperatures and marker weights, fitted on studies that rehearsals had left out of training."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from recipes.bioverse_small.data import Study, load_study
from recipes.bioverse_small.encoder import TrainedEncoder, embed_study, head_scores
from recipes.bioverse_small.rehearsals import FOLDS
from scbioverse.encoders._panel_share import GeneStats
from scbioverse.encoders.marker_evidence import panel_evidence
from scbioverse.knowledge.cards import label_card
from scbioverse.knowledge.marker_weights import marker_weights
from scbioverse.knowledge.spoken import answer_name
from scbioverse.models import BioVerse
from scbioverse.models.config import PoolConfig
from scbioverse.train import fit_combination, fit_pool

logger = logging.getLogger("recipes.bioverse_small")

# Left-out studies that temperatures are fitted on: human tissue with labels by experts or proteins. Labels of cells
# sorted by beads are wrong too often, and cultured or murine cells are too far from what users bring, to say how sure
# to be.
CALIBRATORS = ("kang_ifnb_pbmc", "pancreas_baron_human", "citeseq_pbmc10k_4000g")

# From this probability on, nearness and markers are taken at their word.
SURE = 0.9


@dataclass(frozen=True)
class Calibration:
    """Temperature and marker weight of each way to score.

    The temperature divides log-probabilities (for `nearest`: cosines), the weight multiplies marker evidence.
    """

    score: tuple[float, float] = (1.0, 0.0)
    nearest: tuple[float, float] = (0.07, 0.0)
    head: tuple[float, float] = (1.0, 0.0)
    pool: tuple[float, float, float] | None = None
    """Weights of the language model's log-probabilities, of cosines and of markers, where all three are pooled."""

    def apply(self, model: BioVerse) -> None:
        """Put temperatures and weights into a model's configuration."""
        model.config.temperature, model.config.marker_weight = self.score
        model.config.nearest_temperature, model.config.nearest_marker_weight = self.nearest
        model.config.pool = None if self.pool is None else PoolConfig(*self.pool, sure=SURE)


@dataclass(frozen=True)
class Question:
    """A study as an annotation problem: its labelled cells and its own labels as candidates.

    Attributes
    ----------
    embedding
        float32 (n, dim).
    evidence
        float32 (n, m): marker evidence.
    truth
        int (n,): columns.
    form
        Form of the names, as the model's configuration says.
    """

    study: str
    candidates: list[str]
    embedding: np.ndarray
    evidence: np.ndarray
    truth: np.ndarray
    form: str = "natural"

    @property
    def names(self) -> list[str]:
        """What the language model is asked to say."""
        return [answer_name(one, self.form) for one in self.candidates]

    @property
    def cards(self) -> list[str]:
        """Descriptions of the candidates."""
        return [label_card(one) for one in self.candidates]


def study_evidence(stats: GeneStats, study: Study, rows: np.ndarray, candidates: list[str]) -> np.ndarray:
    """Marker evidence of cells of a study, float32 (n, m), as `annotate` computes it from an AnnData."""
    panel = stats.panel(np.flatnonzero(study.panel))
    weights = marker_weights(candidates, [stats.genes[at] for at in panel.vocab])
    return panel_evidence(study.counts[rows][:, panel.vocab], stats, panel, weights)


def question(
    trained: TrainedEncoder,
    study: Study,
    generator: np.random.Generator,
    max_cells: int | None = None,
    form: str = "natural",
) -> Question:
    """Pose a study's labelled cells, at most `max_cells` of them."""
    rows = np.flatnonzero(study.cl_ids != "")
    if max_cells is not None and len(rows) > max_cells:
        rows = np.sort(generator.choice(rows, max_cells, replace=False))
    candidates = sorted(set(study.cl_ids[rows]))
    truth = np.array([candidates.index(one) for one in study.cl_ids[rows]])
    evidence = study_evidence(trained.stats, study, rows, candidates)
    return Question(study.name, candidates, embed_study(trained, study, rows), evidence, truth, form)


def raw_log_probs(model: BioVerse, trained: TrainedEncoder, asked: Question) -> dict[str, np.ndarray]:
    """Log-probabilities by each way, before temperature and markers; for `nearest`, cosines."""
    cosine = model.coordinates(asked.embedding) @ model.text_coordinates(asked.cards).T
    return {
        "score": model.score(asked.embedding, asked.names, progress=False, calibrated=False),
        "nearest": cosine,
        "head": log_softmax(head_scores(trained, asked.embedding, asked.candidates), axis=1),
    }


Answers = tuple[Question, Mapping[str, np.ndarray]]
"""A question and what a model says to it by each way, before temperature and markers."""


def ask_calibrators(
    rehearsed: Mapping[str, tuple[BioVerse, TrainedEncoder]], *, rng: int = 0, max_cells: int = 800
) -> dict[str, Answers]:
    """Ask each rehearsal about the :data:`CALIBRATORS` that it left out; by study."""
    generator = np.random.default_rng(rng)
    found: dict[str, Answers] = {}
    for name, (model, trained) in rehearsed.items():
        genes = np.array(trained.stats.genes, dtype=object)
        for study in (one for one in FOLDS[name].studies if one in CALIBRATORS):
            asked = question(trained, load_study(study, genes), generator, max_cells, model.config.names)
            found[study] = asked, raw_log_probs(model, trained, asked)
    return found


def fit(answers: Iterable[Answers]) -> Calibration:
    """Fit on studies that took no part in training; each counts the same."""
    answers = list(answers)
    pairs = {
        way: fit_combination(
            [(values[way], asked.evidence, asked.truth) for asked, values in answers],
            bounds=(0.005, 1.0) if way == "nearest" else (0.2, 10.0),
        )
        for way in ("score", "nearest", "head")
    }
    pool = fit_pool([((values["score"], values["nearest"], asked.evidence), asked.truth) for asked, values in answers])
    logger.info("calibration: %s, pool %s", pairs, pool)
    return Calibration(**pairs, pool=pool)  # type: ignore[arg-type]
