"""Annotation without training on the study: `python -m benchmarks.annotation`.

Test studies × methods, every cell by itself, the study's own labels as candidates; the same cells, candidates and
reference for all. Needs the trainings that `python -m recipes.bioverse_small.make` leaves in `build/rehearsals`.
Prints one table, writes a JSON file, and with `--docs` writes the documentation page from that file alone.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.annotation_parts.body import body_rows
from benchmarks.annotation_parts.left_out_types import type_rows, untrained
from benchmarks.annotation_parts.marker_scores import marker_rows
from benchmarks.annotation_parts.measures import Row
from benchmarks.annotation_parts.mistakes import mistakes
from benchmarks.annotation_parts.ours import (
    Raw,
    answers_of,
    ask,
    rows_of,
    shipped_calibration,
    weigh_in,
)
from benchmarks.annotation_parts.page import write_page
from benchmarks.annotation_parts.peers import PEERS, fit_scvi, majority_row, peer_row
from benchmarks.annotation_parts.posing import Reference, Test, pose, reference_for
from benchmarks.annotation_parts.tables import plain_table
from benchmarks.annotation_parts.text_only import TextConfig, text_row, token_budget, train_text
from recipes.bioverse_small import data
from recipes.bioverse_small.calibration import (
    CALIBRATORS,
    WEIGHERS,
    Answers,
    Calibration,
    ask_weighers,
    fit,
    share_weights,
)
from recipes.bioverse_small.data import Study
from recipes.bioverse_small.encoder import EncoderConfig, build_pool
from recipes.bioverse_small.make import REHEARSALS
from recipes.bioverse_small.rehearsals import BODY, BYPASS, FOLDS, STUDY_FOLDS, TYPE_FOLDS, LeftOut, load_rehearsal
from scbioverse.encoders._panel_share import GeneStats
from scbioverse.models import BioVerse, load

logger = logging.getLogger("benchmarks.annotation")
RESULTS = Path(__file__).parent / "results" / "annotation.json"
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
SKIPPABLE = ("text", "scvi", "celltypist", "peers", "controls", "left-out", "types")


@dataclass(frozen=True)
class Options:
    """What the command line decides."""

    rehearsals: Path
    seed: int
    max_cells: int
    skip: tuple[str, ...]
    text_seconds: float
    text_cells: int
    text_tokens: int | None
    scvi_seconds: float
    per_label: int
    ablations: dict[str, Path] = field(default_factory=dict)

    def folder(self, fold: str) -> Path:
        """Where the training of a fold is kept."""
        return self.rehearsals / f"{fold}-{self.seed}"

    def made(self, fold: str) -> bool:
        """Whether it is there."""
        found = (self.folder(fold) / BYPASS).is_file()
        if not found:
            logger.warning("%s is not there: its part is left out", self.folder(fold))
        return found


def tests_of(fold: str, genes: np.ndarray, training: dict[str, Study], options: Options) -> list[Test]:
    """Development tests for the full model, the left-out studies for a fold's."""
    if fold == "full":
        studies = [data.load_study(name, genes) for name in data.DEV_TESTS]
        return [pose(one, "development", fold, options.max_cells, options.seed) for one in studies]
    names = STUDY_FOLDS[fold].studies
    return [pose(training[name], "left out", fold, options.max_cells, options.seed) for name in names]


def peer_rows(test: Test, studies: list[Study], genes: list[str], options: Options) -> tuple[dict[str, Row], Row]:
    """Rows of the peers, and what their reference was."""
    rows: dict[str, Row] = {"majority": majority_row(test)} | marker_rows(test, genes, options.seed)
    reference = reference_for(test, studies, options.per_label, options.seed)
    if reference is None:
        return rows, {"cells": 0, "genes": 0, "studies": [], "missing": test.candidates}
    fits: dict[str, Callable[[Reference, int, int], Any]] = dict(PEERS)
    if "celltypist" in options.skip:
        del fits["CellTypist"]
    if "scvi" not in options.skip:
        fits["scVI + kNN"] = partial(fit_scvi, seconds=options.scvi_seconds)
    for name, trainer in fits.items():
        rows[name] = peer_row(trainer, test, reference, options.seed)
    about = {
        "cells": len(reference.label),
        "genes": len(reference.genes),
        "studies": sorted(set(reference.study)),
        "missing": reference.missing,
    }
    return rows, about


def text_rows(
    model: BioVerse,
    raws: dict[str, Raw],
    tests: list[Test],
    studies: list[Study],
    genes: np.ndarray,
    options: Options,
    seconds: float,
) -> tuple[dict[str, Row], Row]:
    """Train the text-only model on a fold's cells and measure it; rows by test, and its training."""
    pool, terms = build_pool(studies, data.load_profiles(genes), EncoderConfig(), np.random.default_rng(options.seed))
    names = sorted({name for raw in raws.values() for name in raw.asked.names})
    config = TextConfig(options.text_tokens or token_budget(model, names), seconds)
    reader = train_text(model, list(genes), pool, terms, config, options.seed)
    logger.info("text only, %s: %s", tests[0].fold, reader.training)
    rows = {
        test.name: text_row(reader, model, test, raws[test.name].asked.names, options.text_cells, options.seed)
        for test in tests
    }
    return rows, reader.training


def ablation_rows(
    options: Options, tests: list[Test], calibration: Calibration
) -> dict[str, dict[str, dict[str, Row]]]:
    """Other checkpoints (for example of one objective only) on the development tests, under one calibration."""
    out: dict[str, dict[str, dict[str, Row]]] = {}
    for name, folder in options.ablations.items():
        model, trained = load_rehearsal(folder)
        raws = {test.name: ask(model, trained, test, options.seed, controls=False) for test in tests}
        for raw in raws.values():
            weigh_in(model, raw, calibration.asked, controls=False)
        out[name] = {test: rows_of(raw, calibration) for test, raw in raws.items()}
    return out


def describe(test: Test, raw: Raw) -> Row:
    """Return what was asked."""
    return {
        "group": test.group,
        "fold": test.fold,
        "cells": len(test.truth),
        "candidates": test.candidates,
        "names": raw.asked.names,
    }


def run(options: Options) -> dict[str, Any]:
    """Everything that is not skipped."""
    started = time.perf_counter()
    folds = ["full", *(() if "left-out" in options.skip else STUDY_FOLDS)]
    folds = [fold for fold in folds if options.made(fold)]
    if not folds:
        raise SystemExit(f"no training in {options.rehearsals}; run python -m recipes.bioverse_small.make first")
    _, trained = load_rehearsal(options.folder(folds[0]))
    genes = np.array(trained.stats.genes, dtype=object)
    studies = data.training_studies(genes)
    training = {one.name: one for one in studies}
    logger.info("data read in %.0f s", time.perf_counter() - started)
    tests = {fold: tests_of(fold, genes, training, options) for fold in folds}
    raws: dict[str, Raw] = {}
    stats: dict[str, GeneStats] = {}
    rows: dict[str, dict[str, Row]] = {}
    result: dict[str, Any] = {"tests": {}, "text": {}, "calibration": {}}
    shipped: Calibration | None = None
    for fold in folds:
        model, trained = load_rehearsal(options.folder(fold))
        stats[fold] = trained.stats
        if fold == "full":
            shipped = shipped_calibration(load("bioverse-small"))
        rest = [one for one in studies if one.name not in FOLDS.get(fold, LeftOut()).studies]
        for test in tests[fold]:
            raw = raws[test.name] = ask(model, trained, test, options.seed, controls="controls" not in options.skip)
            result["tests"][test.name] = describe(test, raw)
            rows[test.name] = {}
            if "peers" not in options.skip:
                rows[test.name], result["tests"][test.name]["reference"] = peer_rows(test, rest, list(genes), options)
            logger.info("%s: %.0f s", test.name, time.perf_counter() - started)
        if "text" not in options.skip:
            seconds = options.text_seconds / len(folds)
            held = {test.name: raws[test.name] for test in tests[fold]}
            found, result["text"][fold] = text_rows(model, held, tests[fold], rest, genes, options, seconds)
            for name, row in found.items():
                rows[name]["text only"] = row
        del model, trained
        gc.collect()
    body = body_answers(options)
    others = other_folds(tests, raws, body)
    for fold in folds:
        model, _ = load_rehearsal(options.folder(fold))
        if fold == "full" and shipped is not None:
            weights = shipped.asked
        else:
            weights = share_weights(others[fold]) if fold in others else None
        for test in tests[fold]:
            weigh_in(model, raws[test.name], weights, controls="controls" not in options.skip)
    calibrations = calibrate(folds, others, shipped)
    result["calibration"] = {fold: asdict(one) for fold, one in calibrations.items()}
    for fold in folds:
        for test in tests[fold]:
            asked = result["tests"][test.name]
            asked["methods"] = rows_of(raws[test.name], calibrations[fold]) | rows[test.name]
            asked["mistakes"] = mistakes(raws[test.name], calibrations[fold], test.study, stats[fold])
    if body and "full" in others:
        studies_asked = {name: one for name, one in others["full"].items() if name not in body}
        result["body"] = {
            name: {"cells": int(body[name][0].truth.size), "candidates": body[name][0].candidates, "methods": found}
            for name, found in body_rows(body, studies_asked).items()
        }
    if "full" in folds:
        result["ablations"] = ablation_rows(options, tests["full"], calibrations["full"])
        if "types" not in options.skip:
            result["left_out_types"] = types(options, tests["full"], raws, calibrations["full"])
    return header(options, time.perf_counter() - started) | result


def body_answers(options: Options) -> dict[str, Answers]:
    """Answers about the sets of profiles that a training left out; nothing where it is skipped or not there."""
    if "left-out" in options.skip or not options.made(BODY):
        return {}
    return ask_weighers({BODY: load_rehearsal(options.folder(BODY))}, rng=options.seed)


def other_folds(
    tests: dict[str, list[Test]], raws: dict[str, Raw], body: dict[str, Answers]
) -> dict[str, dict[str, Answers]]:
    """By fold, answers that its model is calibrated on: about studies that other folds left out, and sets of profiles.

    A fold without a study to say how sure to be is not in it.
    """
    found: dict[str, dict[str, Answers]] = {}
    for fold in tests:
        others = [test.name for other in tests if other not in (fold, "full") for test in tests[other]]
        if set(others) & set(CALIBRATORS):
            found[fold] = answers_of([raws[name] for name in others if name in WEIGHERS]) | body
    return found


def calibrate(
    folds: Iterable[str], others: dict[str, dict[str, Answers]], shipped: Calibration | None
) -> dict[str, Calibration]:
    """Calibration of each fold's tests, without its own studies; the full model's is the shipped one."""
    found: dict[str, Calibration] = {}
    for fold in folds:
        if fold == "full" and shipped is not None:
            found[fold] = shipped
        elif fold in others:
            found[fold] = fit(others[fold])
        else:
            logger.warning("%s: no left-out study to calibrate on", fold)
            found[fold] = Calibration()
    return found


def types(options: Options, tests: list[Test], raws: dict[str, Raw], calibration: Calibration) -> list[Row]:
    """Leave-one-cell-type-out on the development tests."""
    out: list[Row] = []
    for fold, left_out in TYPE_FOLDS.items():
        if not options.made(fold):
            continue
        model, trained = load_rehearsal(options.folder(fold))
        for test in tests:
            if untrained(test.candidates, left_out.types):
                raw = ask(model, trained, test, options.seed, controls=False)
                weigh_in(model, raw, calibration.asked, controls=False)
                out += type_rows(fold, left_out.types, raw, raws[test.name], calibration)
        logger.info("types left out, %s: done", fold)
    return out


def header(options: Options, seconds: float) -> dict[str, Any]:
    """Protocol, budget and machine."""
    return {
        "protocol": "every cell by itself; the study's own labels as candidates; no study tested was trained on",
        "budget": {
            "seed": options.seed,
            "max_cells": options.max_cells,
            "skipped": list(options.skip),
            "text_seconds": options.text_seconds,
            "text_cells": options.text_cells,
            "scvi_seconds": options.scvi_seconds,
            "reference_cells_per_label_and_study": options.per_label,
        },
        "machine": {"torch": torch.__version__, "torch_threads": torch.get_num_threads(), "cpu": platform.machine()},
        "seconds": round(seconds),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rehearsals", type=Path, default=REHEARSALS, help="folder of trainings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-cells", type=int, default=800, help="most cells of a test")
    parser.add_argument("--skip", nargs="*", choices=SKIPPABLE, default=[])
    parser.add_argument("--text-seconds", type=float, default=240, help="training of the text-only models, all folds")
    parser.add_argument("--text-cells", type=int, default=150, help="most cells of a test for the text-only model")
    parser.add_argument("--text-tokens", type=int, help="tokens it trains on; the projector's own number if not given")
    parser.add_argument("--scvi-seconds", type=float, default=10, help="training of scVI for each test")
    parser.add_argument("--per-label", type=int, default=200, help="most reference cells of a label and study")
    parser.add_argument("--ablation", nargs="*", default=[], metavar="NAME=FOLDER", help="further checkpoints")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--docs", action="store_true", help="write the page from the JSON file; measure nothing")
    parser.add_argument("--page", type=Path, default=PAGE)
    return parser


def main() -> None:
    """Command line."""
    args = _parser().parse_args()
    if args.docs:
        write_page(json.loads(args.output.read_text()), args.page)
        print(f"{args.page} written from {args.output}")
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("scbioverse").setLevel(logging.WARNING)
    result = run(
        Options(
            rehearsals=args.rehearsals,
            seed=args.seed,
            max_cells=args.max_cells,
            skip=tuple(args.skip),
            text_seconds=args.text_seconds,
            text_cells=args.text_cells,
            text_tokens=args.text_tokens,
            scvi_seconds=args.scvi_seconds,
            per_label=args.per_label,
            ablations={name: Path(folder) for name, folder in (one.split("=", 1) for one in args.ablation)},
        )
    )
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\naccuracy/macro-F1\n\n{plain_table(result)}\n\nwritten to {args.output}")


if __name__ == "__main__":
    main()
