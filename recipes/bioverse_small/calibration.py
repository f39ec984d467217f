"""Temperatures and marker weights, fitted on studies that rehearsals had left out of training."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from recipes.bioverse_small.data import Study, load_profiles, load_study
from recipes.bioverse_small.encoder import TrainedEncoder, embed_study, head_scores
from recipes.bioverse_small.profile_sets import simulated_study
from recipes.bioverse_small.rehearsals import BODY_FOLD, FOLDS, SORTED, LeftOut, share_cells
from scbioverse.encoders._panel_share import GeneStats, panel_evidence
from scbioverse.knowledge.markers import marker_weights
from scbioverse.knowledge.phrases import answer_name, label_card
from scbioverse.models import BioVerse
from scbioverse.models.config import Calibration as Row
from scbioverse.train import fit_pool
from scbioverse.train.calibrate import candidate_rows

logger = logging.getLogger("recipes.bioverse_small")

# Left-out studies that temperatures are fitted on: human tissue with labels by experts or proteins. Labels of cells
# sorted by beads are wrong too often, and cultured or murine cells are too far from what users bring, to say how sure
# to be.
CALIBRATORS = ("kang_ifnb_pbmc", "pancreas_baron_human", "citeseq_pbmc10k_4000g")
# Sources are weighed against each other on these, too, and on the sets of profiles of the whole body that a rehearsal
# left out: sorted and simulated cells have a say in what to go by, none in how sure to be. Three studies, of blood and
# pancreas, are few for four weights, and leave them to chance.
WEIGHERS = (*CALIBRATORS, *SORTED, *BODY_FOLD.profiles)

# From this probability on, the quick sources are taken at their word.
SURE = 0.9
# What `unknown_threshold="auto"` means: chosen with `benchmarks.unknown` on two studies that rehearsals left out and on
# the development tests, where it keeps back at most 1.2 % of a study's right calls.
AUTO_THRESHOLD = 0.02
# Evidence and attention are pooled to shares that are as sure as calibration has it, times this: the language model was
# taught to read shares that are surer than those of studies it never saw. Of 1, 2, 3, 4 and 6: more makes development
# tests better, studies of other folds worse, and confidence less calibrated (`benchmarks/README.md`).
SURER = 3.0
# Weights below this are the optimiser's zero.
NO_WEIGHT = 1e-4
# The language model is pooled only if its word makes the right labels likelier by so many nats a cell: to read a cell
# takes a hundred times as long as the other sources take together.
WORTH_READING = 0.01


@dataclass(frozen=True)
class Calibration:
    """Temperature and marker weight of each way to score.

    The temperature divides log-probabilities (for `nearest`: cosines), the weight multiplies marker evidence.
    """

    score: tuple[float, float] = (1.0, 0.0)
    nearest: tuple[float, float] = (0.07, 0.0)
    head: tuple[float, float] = (1.0, 0.0)
    asked: tuple[float, float, float, float] | None = None
    """Weights of attention and markers in the shares that are read, and the temperatures of the answer with and without
    markers."""
    pool: tuple[float, float, float, float] | None = None
    """Weights of the language model's log-probabilities, cosines, markers and attention, where they are pooled."""

    def apply(self, model: BioVerse) -> None:
        """Put temperatures and weights into a model's configuration."""
        model.config.calibration = self.table

    @property
    def table(self) -> dict[str, Row]:
        """The table as a model's configuration has it."""
        auto = {"auto": AUTO_THRESHOLD}
        rows = {"score": self.score, "nearest": self.nearest}
        table = {name: Row({"markers": markers}, temperature, auto) for name, (temperature, markers) in rows.items()}
        if self.pool is not None:
            score, nearest, markers, attention = self.pool
            weights = {"prototypes": attention, "nearest": nearest, "markers": markers, "language_model": score}
            table["cascade"] = Row(weights, 1.0, {**auto, "sure": SURE})
        return table | ({} if self.asked is None else candidate_rows(*self.asked))

    @property
    def cascade(self) -> Row | None:
        """The pool, where there is one."""
        return self.table.get("cascade")


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
    """Log-probabilities by each way, before temperature and markers; for `nearest`, cosines.

    `score` is asked about the candidates, `asked` the same with their markers where the model has weights for them, and
    where it has none `whole`, of soft tokens that do not depend on the candidates. `attention` is zero where the
    projector cannot tell the candidates apart.
    """
    cosine = model.coordinates(asked.embedding) @ model.text_coordinates(asked.cards).T
    more = said_with_markers(model, asked)
    if not more:
        more = {"whole": model.score(asked.embedding, asked.names, progress=False, calibrated=False)}
    return more | {
        "score": said(model, asked),
        "nearest": cosine,
        "head": log_softmax(head_scores(trained, asked.embedding, asked.candidates), axis=1),
        "attention": attention(model, asked),
    }


def said(model: BioVerse, asked: Question, evidence: np.ndarray | None = None) -> np.ndarray:
    """Return what the language model says of shares of the candidates, before any temperature."""
    return model.score(
        asked.embedding, asked.names, terms=asked.candidates, evidence=evidence, progress=False, calibrated=False
    )


def said_with_markers(model: BioVerse, asked: Question) -> dict[str, np.ndarray]:
    """Return what it says of shares by attention and markers, as `asked`; nothing where the model has no weights."""
    return {"asked": said(model, asked, asked.evidence)} if model.weighs(asked.candidates) else {}


def combine(values: np.ndarray, pair: tuple[float, float], evidence: np.ndarray | None) -> np.ndarray:
    """Log-probabilities after temperature, and marker evidence where given."""
    alone = log_softmax(np.asarray(values, np.float64) / pair[0], axis=1)
    return alone if evidence is None else log_softmax(alone + pair[1] * evidence, axis=1)


def attention(model: BioVerse, asked: Question) -> np.ndarray:
    """Log-probabilities by the projector's attention, zeros where it says nothing about these candidates."""
    found = model.attention(asked.embedding, asked.candidates)
    return np.zeros_like(asked.evidence) if found is None else found


Answers = tuple[Question, Mapping[str, np.ndarray]]
"""A question and what a model says to it by each way, before temperature and markers."""


def ask_weighers(
    rehearsed: Mapping[str, tuple[BioVerse, TrainedEncoder]], *, rng: int = 0, max_cells: int = 800
) -> dict[str, Answers]:
    """Ask each rehearsal about the :data:`WEIGHERS` that it left out; by study or set of profiles."""
    generator = np.random.default_rng(rng)
    found: dict[str, Answers] = {}
    for name, (model, trained) in rehearsed.items():
        for study in left_out_weighers(FOLDS[name], np.array(trained.stats.genes, dtype=object), rng):
            asked = question(trained, study, generator, max_cells, model.config.names)
            found[study.name] = asked, raw_log_probs(model, trained, asked)
    for name, (model, _) in rehearsed.items():
        for study in (one for one in FOLDS[name].studies if one in WEIGHERS):
            others = {other: one for other, one in found.items() if not share_cells(other, study)}
            if any(other in CALIBRATORS for other in others):
                model.config.calibration |= candidate_rows(*share_weights(others))
                asked, values = found[study]
                found[study] = asked, dict(values) | said_with_markers(model, asked)
    return found


def left_out_weighers(left_out: LeftOut, genes: np.ndarray, seed: int) -> Iterator[Study]:
    """Yield the :data:`WEIGHERS` among what a rehearsal left out; sets of profiles as simulated cells."""
    for one in left_out.studies:
        if one in WEIGHERS:
            yield load_study(one, genes)
    if sets := [one for one in left_out.profiles if one in WEIGHERS]:
        profiles = load_profiles(genes)
        for one in sets:
            # By its own seed: a set is the same, whatever else is left out.
            yield simulated_study(profiles, one, np.random.default_rng([seed, *one.encode()]))


def share_weights(answers: Mapping[str, Answers]) -> tuple[float, float]:
    """Fit weights of attention and markers in the shares that are read; how sure to be, on the :data:`CALIBRATORS`."""
    attention, markers = fit_pool(
        [((values["attention"], asked.evidence), asked.truth) for asked, values in answers.values()],
        own_scale=[study not in CALIBRATORS for study in answers],
    )
    return SURER * attention, SURER * markers


def pool_weights(answers: Mapping[str, Answers]) -> tuple[float, float, float, float]:
    """Fit the pool; the language model has no weight in it where its word is not :data:`WORTH_READING`."""
    own_scale = [study not in CALIBRATORS for study in answers]
    quick = [(values["nearest"], asked.evidence, values["attention"]) for asked, values in answers.values()]
    spoken = [(values["score"], *rest) for (_, values), rest in zip(answers.values(), quick, strict=True)]
    truths = [asked.truth for asked, _ in answers.values()]
    without, with_it = (fit_pool(list(zip(some, truths, strict=True)), own_scale=own_scale) for some in (quick, spoken))

    def loss(weights: tuple[float, ...], sets: list[tuple[np.ndarray, ...]]) -> float:
        held = []
        for sources, truth, free in zip(sets, truths, own_scale, strict=True):
            joint = sum(weight * source for weight, source in zip(weights, sources, strict=True))
            found = log_softmax(joint, axis=1)[np.arange(truth.size), truth]
            held += [] if free else [-found.mean()]
        return float(np.mean(held))

    gain = loss(without, quick) - loss(with_it, spoken)
    logger.info("the language model's word in the pool: %.4f nats a cell", gain)
    score, nearest, markers, attention = with_it if gain >= WORTH_READING else (0.0, *without)
    held = tuple(0.0 if one < NO_WEIGHT else one for one in (score, nearest, markers, attention))
    return held  # type: ignore[return-value]


def fit(answers: Mapping[str, Answers]) -> Calibration:
    """Fit on studies that took no part in training, by name; each counts the same.

    Temperatures come from the :data:`CALIBRATORS` alone, the weights of the pool from the others, too.
    """
    sure = [one for study, one in answers.items() if study in CALIBRATORS]
    pairs = {}
    for way in ("whole", "nearest", "head"):
        both = [((values[way], asked.evidence), asked.truth) for asked, values in sure]
        # Of cosines a weight of 200, which is a temperature of 0.005.
        inverse, weight = fit_pool(both, most=200.0)
        pairs[way] = (1 / max(inverse, 1e-3), weight)
    pairs["score"] = pairs.pop("whole")
    asked_about = None
    if all("asked" in values for _, values in sure):
        inverses = [
            fit_pool([((values[way],), asked.truth) for asked, values in sure])[0] for way in ("asked", "score")
        ]
        asked_about = (*share_weights(answers), *(1 / max(one, 1e-3) for one in inverses))
    pool = pool_weights(answers)
    logger.info("calibration: %s, asked %s, pool %s", pairs, asked_about, pool)
    return Calibration(**pairs, asked=asked_about, pool=pool)  # type: ignore[arg-type]
