"""Cells that decide together, beside cells by themselves: `python -m benchmarks.neighbours`.

The cascade of `tl.annotate`, and the head that bypasses the language model with markers, as they are and after
`n_neighbors=`, on studies that were not trained on: accuracy, macro-F1 and expected calibration error. The same
trainings, tests and calibrations as `python -m benchmarks.annotation`; neighbours are sought among the cells asked
about, so that a test's size matters: each is asked whole, up to `--max-cells`, and cut to 300 cells. Prints a table,
writes a JSON file.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.annotation import Options, body_answers, calibrate, other_folds, tests_of
from benchmarks.annotation_parts.measures import measures
from benchmarks.annotation_parts.ours import Raw, ask, pooled_answer, shipped_calibration
from benchmarks.annotation_parts.tables import markdown
from recipes.bioverse_small import data
from recipes.bioverse_small.calibration import Calibration, combine
from recipes.bioverse_small.make import REHEARSALS
from recipes.bioverse_small.rehearsals import STUDY_FOLDS, load_rehearsal
from scbioverse.models import load
from scbioverse.predict.groups import propagate

RESULTS = Path(__file__).parent / "results" / "neighbours.json"
NEIGHBOURS = (5, 10, 15, 30)
FEW = 300
KEYS = ("accuracy", "macro_f1", "ece")


def answers(raw: Raw, calibration: Calibration) -> dict[str, np.ndarray]:
    """Log-probabilities (n, m) of the cells by themselves."""
    if calibration.cascade is None:
        raise SystemExit("these trainings have no calibrated pool; make all folds first")
    return {
        "cascade": pooled_answer(raw.answers, calibration.cascade)[0],
        "bypass head": combine(raw.values["head"], calibration.head, raw.asked.evidence),
    }


def rows_of(raw: Raw, calibration: Calibration, seed: int) -> list[dict[str, Any]]:
    """Measure one test, whole and cut."""
    whole = np.arange(raw.asked.truth.size)
    cut = np.sort(np.random.default_rng(seed).permutation(whole)[:FEW])
    rows: list[dict[str, Any]] = []
    alone = answers(raw, calibration)
    for cells in (whole, cut):
        truth = raw.asked.truth[cells]
        for method, log_probs in alone.items():
            for k in (0, *NEIGHBOURS):
                started = time.perf_counter()
                held = log_probs[cells].astype(np.float32)
                if k:
                    held = propagate(held, raw.asked.embedding[cells], k, seed)
                found = measures(held.argmax(1), truth, raw.asked.candidates, held)
                row = {"study": raw.asked.study, "cells": cells.size, "cut": cells is cut, "method": method}
                row |= {"n_neighbors": k, "seconds": round(time.perf_counter() - started, 3)}
                rows.append(row | {key: found[key] for key in KEYS})
    return rows


def table(rows: list[dict[str, Any]], groups: dict[str, list[str]], *, cut: bool) -> str:
    """Accuracy/macro-F1/calibration error by method and number of neighbours: means, and study by study."""
    studies = [name for names in groups.values() for name in names]
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        for k in (0, *NEIGHBOURS):
            found = {
                row["study"]: [row[key] for key in KEYS]
                for row in rows
                if (row["method"], row["n_neighbors"], row["cut"]) == (method, k, cut)
            }
            means = ["/".join(f"{x:.3f}" for x in np.mean([found[one] for one in held], 0)) for held in groups.values()]
            lines.append([method, k or "alone", *means, *("/".join(f"{x:.3f}" for x in found[s][:2]) for s in studies)])
    return markdown(["method", "neighbours", *(f"mean, {name}" for name in groups), *studies], lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rehearsals", type=Path, default=REHEARSALS, help="folder of trainings")
    parser.add_argument("--max-cells", type=int, default=2500, help="most cells of a test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    options = Options(
        args.rehearsals,
        args.seed,
        args.max_cells,
        ("controls",),
        0.0,
        0,
        text_tokens=None,
        scvi_seconds=0.0,
        per_label=0,
    )
    folds = [fold for fold in ("full", *STUDY_FOLDS) if options.made(fold)]
    if len(folds) < 2 or folds[0] != "full":
        raise SystemExit(f"too few trainings in {args.rehearsals}; run python -m recipes.bioverse_small.make first")
    raws, tests, training = {}, {}, {}
    for fold in folds:
        model, trained = load_rehearsal(options.folder(fold))
        genes = np.array(trained.stats.genes, dtype=object)
        training = training or {one.name: one for one in data.training_studies(genes)}
        tests[fold] = tests_of(fold, genes, training, options)
        raws |= {test.name: ask(model, trained, test, args.seed, controls=False) for test in tests[fold]}
    others = other_folds(tests, raws, body_answers(options))
    found = calibrate(folds, others, shipped_calibration(load("bioverse-small")))
    rows = [row for fold in folds for test in tests[fold] for row in rows_of(raws[test.name], found[fold], args.seed)]
    args.output.write_text(json.dumps({"seed": args.seed, "max_cells": args.max_cells, "rows": rows}, indent=1) + "\n")
    groups = {
        "development": [test.name for test in tests["full"]],
        "left out": [test.name for fold in folds[1:] for test in tests[fold]],
    }
    for cut, title in ((False, f"Up to {args.max_cells} cells of a study"), (True, f"Cut to {FEW} cells")):
        print(f"\n{title}: accuracy/macro-F1 (means: /calibration error)\n\n{table(rows, groups, cut=cut)}")
    print(f"\nwritten to {args.output}")


if __name__ == "__main__":
    main()
