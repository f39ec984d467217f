"""Make `bioverse-small` from the data registry to the checkpoint folder: `python -m recipes.bioverse_small.make`.

Stages: data, encoder, embedding bank, projector (autoregressive, then contrastive), calibration on rehearsals that left
studies out, card. One seed decides everything; a graphics card is not needed. Rehearsals take most of the time and are
kept in a folder: each can be trained by itself (`--fold`), and those that are there are not trained again.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from recipes.bioverse_small import data
from recipes.bioverse_small.answers import AnswerConfig, take_codes, train_answers
from recipes.bioverse_small.calibration import CALIBRATORS, Answers, ask_weighers, fit
from recipes.bioverse_small.card import (
    CELL_ROLES,
    KEPT,
    LICENCE,
    LIMITS,
    Figures,
    data_rows,
    describe,
    renew_figures,
)
from recipes.bioverse_small.encoder import EncoderConfig, TrainedEncoder, build_pool, train_encoder
from recipes.bioverse_small.evaluate import evaluate
from recipes.bioverse_small.further import FurtherConfig, train_further
from recipes.bioverse_small.profile_sets import without_sets
from recipes.bioverse_small.projector import ProjectorConfig, embedding_bank, train_projector
from recipes.bioverse_small.rehearsals import (
    BYPASS,
    CALIBRATION_FOLDS,
    FOLDS,
    LeftOut,
    load_either,
    load_rehearsal,
    name_prototypes,
    save_rehearsal,
    share_cells,
)
from recipes.bioverse_small.renew import check_encoder, with_answers_of, with_cells_of
from recipes.bioverse_small.terms import is_within
from scbioverse.encoders.compact import CompactCellEncoder
from scbioverse.knowledge.phrases import answer_name
from scbioverse.llm import Backbone
from scbioverse.models import BioVerse, load
from scbioverse.predict.whole_ontology import keep_ontology
from scbioverse.train.tasks import begin_as_names

logger = logging.getLogger("recipes.bioverse_small")
TARGET = Path(__file__).parents[2] / "src/scbioverse/models/weights/bioverse-small"
REHEARSALS = Path(__file__).parents[2] / "build" / "rehearsals"


@dataclass(frozen=True)
class RecipeConfig:
    """Everything that decides a training, apart from data and seed."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    answers: AnswerConfig = field(default_factory=AnswerConfig)
    profiles: dict[str, float] = field(default_factory=lambda: data.PROFILES)
    """How much the profiles of each file count."""
    keep_ontology: bool = True
    """Let the language model read the descriptions of all Cell Ontology terms, and ship what it made of them."""
    further: FurtherConfig | None = None
    """How the encoder goes on with more profiles, once it is trained; None: it does not."""
    rehearsal_steps: int | None = 100
    """Autoregressive steps of a training that leaves something out, fewer to save time; None for as many as whole."""

    @property
    def counting(self) -> dict[str, float]:
        """How much the profiles of each file count in the end."""
        return self.profiles if self.further is None else dict(self.further.profiles)


# More of the body: tried, and not shipped yet (`benchmarks/README.md`, "More of the body in training").
BROAD = RecipeConfig(further=FurtherConfig())


def without(studies: list[data.Study], profiles: data.Profiles, left_out: LeftOut) -> tuple[list, data.Profiles]:
    """Take studies, sets of profiles, and cells and profiles of types, out of the training data."""

    def blank(cl_ids: np.ndarray) -> np.ndarray:
        gone = {i for i in set(cl_ids) - {""} if any(is_within(i, one) for one in left_out.types)}
        return np.array(["" if i in gone else i for i in cl_ids], dtype=object)

    kept = [replace(one, cl_ids=blank(one.cl_ids)) for one in studies if one.name not in left_out.studies]
    profiles = without_sets(profiles, left_out.profiles)
    held = profiles.take(blank(profiles.cl_ids) != "")
    return [one for one in kept if (one.cl_ids != "").any()], held


def training_data(left_out: LeftOut, counting: dict[str, float]) -> tuple[np.ndarray, list[data.Study], data.Profiles]:
    """Genes, studies and profiles of a training that leaves something out."""
    genes = data.vocabulary()
    return genes, *without(data.training_studies(genes), data.load_profiles(genes, counting), left_out)


def bank(
    trained: TrainedEncoder, studies: list[data.Study], profiles: data.Profiles, config: RecipeConfig, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings that the projector is trained on, and the term of each."""
    rng = np.random.default_rng(seed)
    pool, _ = build_pool(studies, profiles, config.encoder, rng)
    return embedding_bank(trained, pool, config.projector.bank, rng)


def train(
    config: RecipeConfig,
    seed: int,
    left_out: LeftOut | None = None,
    *,
    trained: TrainedEncoder | None = None,
    codes: BioVerse | None = None,
) -> tuple[BioVerse, TrainedEncoder, dict[str, object]]:
    """Train encoder and projector, uncalibrated; returns the model, the bypass head and a summary.

    With `trained`, the encoder of an earlier training with the same data and seed, the projector alone. With `codes`,
    those of that model are taken over, see :func:`recipes.bioverse_small.answers.take_codes`, which saves most of the
    time.
    """
    started = time.perf_counter()
    left_out = left_out or LeftOut()
    genes, studies, profiles = training_data(left_out, config.profiles)
    # A network that does not know a type would give its unlabelled cells another name.
    unlabelled = [] if left_out.types else [data.load_study(name, genes) for name in data.UNLABELLED]
    first = trained is None
    if trained is None:
        trained = train_encoder(genes, studies, profiles, config.encoder, seed, unlabelled=unlabelled)
    if config.further is not None:
        profiles = training_data(left_out, config.counting)[2]
        if first:
            trained = train_further(
                trained, studies, profiles, config.encoder, config.further, seed, unlabelled=unlabelled
            )
    embeddings, term = bank(trained, studies, profiles, config, seed)
    logger.info("encoder: %d terms, %.0f s", len(trained.terms), time.perf_counter() - started)
    model = BioVerse.new(
        CompactCellEncoder(trained.net, trained.stats, name="bioverse-small-cell"),
        name="bioverse-small",
        llm=Backbone.load("smollm2-135m-instruct"),
        n_soft=config.projector.n_soft,
        prototypes=trained.terms,
        template=config.projector.template,
        rng=seed,
    )
    model.config.names = config.projector.names
    names = [answer_name(one, model.config.names) for one in trained.terms]
    begin_as_names(model, trained.prototypes, names, trained.scale)
    history = train_projector(model, embeddings, term, trained.terms, config.projector, seed, codes=codes is None)
    cell = model.config.encoders["cell"]
    model.config.encoders["cell"] = replace(cell, methods=("score", "nearest", "generate"))
    model.config.default_labels = list(trained.terms)
    name_prototypes(model, trained.terms)
    if codes is None:
        train_answers(model, embeddings, term, trained.terms, config.answers, seed)
    else:
        known = take_codes(model, codes, trained.terms)
        logger.info("codes of %r: of %d of %d terms", codes.name, known, len(trained.terms))
    said = history.loc[history["stage"] == "autoregressive"]
    summary = {
        "seed": seed,
        "left_out": asdict(left_out),
        "studies": [study.name for study in studies],
        "seconds": round(time.perf_counter() - started),
        "torch_threads": torch.get_num_threads(),
        "n_terms": len(trained.terms),
        **({} if said.empty else {"final_loss": float(said["loss"].tail(50).mean())}),
        **asdict(config),
        "profiles": config.counting,
    }
    logger.info("projector: %.0f s", time.perf_counter() - started)
    return model, trained, summary


def rehearse(
    name: str, folder: Path, config: RecipeConfig, seed: int, *, again: bool = False, codes: BioVerse | None = None
) -> Path:
    """Train one fold of :data:`FOLDS`, unless it is there; returns its folder.

    With `again`, one that is there keeps its encoder and gets another projector; `codes` as in :func:`train`.
    """
    made = folder / f"{name}-{seed}"
    there = (made / BYPASS).is_file()
    if again or not there:
        if name != "full" and config.rehearsal_steps is not None:
            config = replace(config, projector=replace(config.projector, steps=config.rehearsal_steps))
        held = load_rehearsal(made)[1] if there else None
        model, trained, summary = train(config, seed, FOLDS[name], trained=held, codes=codes)
        model.config.training = json.loads(json.dumps(summary))
        save_rehearsal(model, trained, made)
    return made


def add_answers(name: str, folder: Path, config: RecipeConfig, seed: int) -> None:
    """Train the codes of answers of a fold that is there; everything else in it stays as it is."""
    made = folder / f"{name}-{seed}"
    model, trained = load_rehearsal(made)
    _, studies, profiles = training_data(FOLDS[name], config.counting)
    embeddings, term = bank(trained, studies, profiles, config, seed)
    train_answers(model, embeddings, term, trained.terms, config.answers, seed)
    model.config.training |= json.loads(json.dumps({"answers": asdict(config.answers)}))
    save_rehearsal(model, trained, made)


def study_figures(
    rehearsed: dict[str, tuple[BioVerse, TrainedEncoder]],
    answers: dict[str, Answers],
    seed: int,
) -> Figures:
    """Figures of the rehearsals on the studies they left out, each calibrated on studies other than the one at hand."""
    figures: Figures = {}
    for name, (model, trained) in rehearsed.items():
        genes = np.array(trained.stats.genes, dtype=object)
        for study in FOLDS[name].studies:
            others = {other: one for other, one in answers.items() if not share_cells(other, study)}
            if not set(others) & set(CALIBRATORS):
                logger.warning("no figures for %s: no other study to calibrate on", study)
                continue
            calibration = fit(others)
            calibration.apply(model)
            tests = [data.load_study(study, genes)]
            figures |= evaluate(model, trained, tests, calibration, rng=seed, max_cells=1500)
    return figures


def make(
    target: Path,
    *,
    seed: int = 0,
    rehearsals: Path = REHEARSALS,
    config: RecipeConfig | None = None,
    folds: tuple[str, ...] = CALIBRATION_FOLDS,
) -> dict[str, object]:
    """Run all stages and write the checkpoint; returns the summary on its card."""
    config = config or RecipeConfig()
    rehearsed, answers = _rehearsed(rehearsals, config, seed, folds)
    model, trained = load_rehearsal(rehearse("full", rehearsals, config, seed))
    summary = dict(model.config.training) | _calibrated(model, trained, rehearsed, answers, seed)
    describe(model, summary)
    if config.keep_ontology:
        keep_ontology(model)
    model.save(target, overwrite=True, dtype="float16")
    return summary


def recalibrate(
    target: Path,
    *,
    seed: int = 0,
    rehearsals: Path = REHEARSALS,
    config: RecipeConfig | None = None,
    folds: tuple[str, ...] = CALIBRATION_FOLDS,
    renew: bool = False,
    answers: bool = False,
) -> dict[str, object]:
    """Fit temperatures and weights of a checkpoint again and measure it again; its weights stay as they are.

    With `renew`, its cell encoder and projector are replaced first by those of the whole training, see
    :func:`recipes.bioverse_small.renew.with_cells_of`; its adapter is to be tuned further. With `answers`, it
    gets that training's codes of answers, and nothing else is replaced.

    Raises
    ------
    MismatchError
        The training whose classifier is measured beside it has another cell encoder than the checkpoint.
    """
    config = config or RecipeConfig()
    model = load(target)
    full, trained = load_rehearsal(rehearsals / f"full-{seed}")
    if renew:
        model = with_cells_of(model, full)
        kept = model.config.training
        cells = {key: full.config.training[key] for key in KEPT if key in full.config.training}
        sequences = [row for row in kept["data"] if row["role"] not in CELL_ROLES]
        rows = data_rows(full.config.training["studies"], full.config.training["profiles"]) + sequences
        model.config.training = kept | cells | {"data": rows, "licence": LICENCE}
    check_encoder(model, full)
    name_prototypes(model, trained.terms)
    if answers:
        model = with_answers_of(model, full)
        model.config.training |= {"answers": full.config.training["answers"]}
    rehearsed, said = _rehearsed(rehearsals, config, seed, folds)
    found = _calibrated(model, trained, rehearsed, said, seed)
    others = [one for one in model.config.training.get("limits", []) if one.startswith(("Molecules", "Proteins"))]
    model.config.training |= {"calibration": found["calibration"], "limits": [*LIMITS, *others]}
    renew_figures(model, found["figures"], found["left_out_figures"])  # type: ignore[arg-type]
    model.save(target, overwrite=True, dtype="float16")
    return found


def _rehearsed(
    folder: Path, config: RecipeConfig, seed: int, folds: tuple[str, ...]
) -> tuple[dict[str, tuple[BioVerse, TrainedEncoder]], dict[str, Answers]]:
    """Rehearsals by name, trained where they are not there yet, and their answers about studies to calibrate on."""
    found = {name: load_rehearsal(rehearse(name, folder, config, seed)) for name in folds}
    return found, ask_weighers(found, rng=seed)


def _calibrated(
    model: BioVerse,
    trained: TrainedEncoder,
    rehearsed: dict[str, tuple[BioVerse, TrainedEncoder]],
    answers: dict[str, Answers],
    seed: int,
) -> dict[str, object]:
    """Calibrate a model in place and measure it; `trained` is the head that bypasses its language model."""
    calibration = fit(answers)
    calibration.apply(model)
    tests = [data.load_study(name, np.array(trained.stats.genes, dtype=object)) for name in data.DEV_TESTS]
    return {
        "calibration": asdict(calibration),
        "figures": evaluate(model, trained, tests, calibration, rng=seed),
        "left_out_figures": study_figures(rehearsed, answers, seed),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=Path, default=TARGET)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rehearsals", type=Path, default=REHEARSALS, help="folder of trainings that leave things out")
    parser.add_argument("--fold", choices=sorted(FOLDS), help="train this rehearsal only")
    parser.add_argument("--again", action="store_true", help="with --fold: keep its encoder, train the projector anew")
    parser.add_argument(
        "--answers",
        action="store_true",
        help="train the codes of answers of a --fold anew, no more; or put the whole training's into the checkpoint",
    )
    parser.add_argument(
        "--renew", action="store_true", help="take the whole training's cell side, keep molecules and proteins"
    )
    parser.add_argument("--recalibrate", action="store_true", help="keep the weights, fit and measure again")
    parser.add_argument("--broad", action="store_true", help="with the Human Cell Landscape, see benchmarks/README.md")
    parser.add_argument("--codes-of", help="with --fold: a model to take codes of terms and of answers of")
    parser.add_argument("--space", help="a model to take the space of texts of, that --renew goes into")
    args = parser.parse_args()
    if args.again and not args.fold:
        parser.error("--again goes with --fold")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    config = BROAD if args.broad else RecipeConfig()
    if args.space:
        config = replace(config, projector=replace(config.projector, space=args.space))
    if args.answers and args.fold:
        add_answers(args.fold, args.rehearsals, config, args.seed)
        return
    if args.fold:
        codes = load_either(args.codes_of) if args.codes_of else None
        rehearse(args.fold, args.rehearsals, config, args.seed, again=args.again, codes=codes)
        return
    if args.recalibrate or args.renew or args.answers:
        summary = recalibrate(
            args.target,
            seed=args.seed,
            rehearsals=args.rehearsals,
            config=config,
            renew=args.renew,
            answers=args.answers,
        )
    else:
        summary = make(args.target, seed=args.seed, rehearsals=args.rehearsals, config=config)
    logger.info("%s", json.dumps({key: summary[key] for key in ("figures", "left_out_figures")}, indent=1))


if __name__ == "__main__":
    main()
