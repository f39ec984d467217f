"""Marker evidence alone, by the rule that weighs it: `python -m benchmarks.markers`.

Calls cells by the marker tables and nothing else, with parts of the rule changed one at a time, on the training
studies and on cells simulated from sets of published profiles, whose own labels are the candidates. Nothing is trained
here but the genes' means and deviations. The mean with a doubt of 3 is what the package did before. Prints one table
and writes a JSON file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.metrics import f1_score

from recipes.bioverse_small.data import DEV_TESTS, STUDIES, Profiles, load_profiles, load_study
from recipes.bioverse_small.simulate import SimulationConfig, simulate
from scbioverse import models
from scbioverse.encoders._panel_share import GeneStats, Panel, panel_evidence
from scbioverse.encoders.compact import CompactCellEncoder
from scbioverse.knowledge import markers

RESULTS = Path(__file__).parent / "results" / "markers.json"
# Fewer kinds than this make no problem.
FEWEST_KINDS = 4
Weigh = Callable[..., sp.csr_array]


# So large that rows are divided by this and not by their lengths.
_UNDIVIDED = 1e6


def changed(cl_ids: list[str], genes: list[str], **constants: float) -> sp.csr_array:
    """Weights by the rule with other constants."""
    with contextlib.ExitStack() as stack:
        for name, value in constants.items():
            stack.enter_context(mock.patch.object(markers, name, value))
        return markers.marker_weights(cl_ids, genes)


def as_a_mean(cl_ids: list[str], genes: list[str], *, shrink: float, **constants: float) -> sp.csr_array:
    """Weights that make evidence a mean of z-scores: rows are divided by their sum plus `shrink`."""
    weights = changed(cl_ids, genes, SHRINK=_UNDIVIDED, **constants).tocsr()
    weights.data *= _UNDIVIDED
    sums = np.asarray(weights.sum(axis=1)).ravel()
    weights.data /= np.repeat(sums + shrink, np.diff(weights.indptr))
    return weights


RULES: dict[str, Weigh] = {
    "as shipped": changed,
    "a mean: divided by the sum": partial(as_a_mean, shrink=0.3),
    "a mean, doubt of 3, shared taken off whole": partial(as_a_mean, shrink=3.0, SHARED=1.0),
    "no descendants": partial(changed, DESCENDANT=0.0),
    "no ancestors": partial(changed, ANCESTOR=0.0),
    "shared markers kept": partial(changed, SHARED=0.0),
    "shared markers taken off whole": partial(changed, SHARED=1.0),
    "doubt of 3": partial(changed, SHRINK=3.0),
}


@dataclass
class Problem:
    """Cells to call, (n, p) counts over a panel's genes, among candidates."""

    name: str
    kind: str
    counts: sp.csr_matrix
    panel: Panel
    candidates: list[str]
    truth: np.ndarray


def study_problem(name: str, kind: str, stats: GeneStats, max_cells: int, seed: int) -> Problem:
    """Labelled cells of a study."""
    study = load_study(name, np.array(stats.genes, dtype=object))
    rows = np.flatnonzero(study.cl_ids != "")
    if len(rows) > max_cells:
        rows = np.sort(np.random.default_rng(seed).choice(rows, max_cells, replace=False))
    candidates, truth = np.unique(study.cl_ids[rows].astype(str), return_inverse=True)
    panel = stats.panel(np.flatnonzero(study.panel))
    return Problem(name, kind, study.counts[rows][:, panel.vocab], panel, list(candidates), truth)


def simulated_problems(profiles: Profiles, stats: GeneStats, max_cells: int, seed: int) -> list[Problem]:
    """Cells simulated from each set of profiles that has enough kinds."""
    found = []
    for source in sorted(set(profiles.sources)):
        rows = np.flatnonzero(profiles.sources == source)
        candidates, kind = np.unique(profiles.cl_ids[rows].astype(str), return_inverse=True)
        if len(candidates) < FEWEST_KINDS:
            continue
        config = SimulationConfig(cells_per_profile=int(np.clip(max_cells // len(rows), 3, 16)))
        counts, profile = simulate(profiles.take(rows), config, np.random.default_rng(seed))
        panel = stats.panel(np.flatnonzero(profiles.panel[rows].all(axis=0)))
        found.append(Problem(source, "simulated", counts[:, panel.vocab], panel, list(candidates), kind[profile]))
    return found


def figures(problem: Problem, stats: GeneStats, weigh: Weigh) -> dict[str, float]:
    """Accuracy and macro-F1 of the largest evidence."""
    weights = weigh(problem.candidates, [stats.genes[at] for at in problem.panel.vocab])
    called = panel_evidence(problem.counts, stats, problem.panel, weights).argmax(axis=1)
    kinds = np.unique(problem.truth)
    return {
        "accuracy": round(float((called == problem.truth).mean()), 4),
        "macro_f1": round(float(f1_score(problem.truth, called, labels=kinds, average="macro")), 4),
    }


def run(max_cells: int, seed: int) -> dict[str, object]:
    """All rules on all problems."""
    started = time.perf_counter()
    encoder = models.load("bioverse-small").encoders["cell"]
    if not isinstance(encoder, CompactCellEncoder):
        raise TypeError(f"bioverse-small has a {type(encoder).__name__}, which keeps no gene statistics")
    stats = encoder.stats
    problems = [study_problem(name, "development", stats, max_cells, seed) for name in DEV_TESTS]
    problems += [study_problem(name, "training studies", stats, max_cells, seed) for name in STUDIES]
    problems = [one for one in problems if len(one.candidates) >= FEWEST_KINDS]
    problems += simulated_problems(load_profiles(np.array(stats.genes, dtype=object)), stats, max_cells // 3, seed)
    rules = {
        rule: {problem.name: figures(problem, stats, weigh) | {"kind": problem.kind} for problem in problems}
        for rule, weigh in RULES.items()
    }
    return {
        "protocol": "marker tables alone, every cell by itself, the labels of its own study or set as candidates",
        "max_cells": max_cells,
        "seed": seed,
        "seconds": round(time.perf_counter() - started),
        "rules": rules,
    }


def report(result: dict[str, object]) -> str:
    """Means over problems of a kind, accuracy/macro-F1."""
    rows = []
    rules: dict[str, dict[str, dict[str, float]]] = result["rules"]  # type: ignore[assignment]
    for rule, by_problem in rules.items():
        frame = pd.DataFrame(by_problem.values())
        row: dict[str, object] = {"rule": rule}
        for kind, part in frame.groupby("kind", sort=False):
            row[f"{kind} ({len(part)})"] = f"{part['accuracy'].mean():.3f}/{part['macro_f1'].mean():.3f}"
        rows.append(row)
    return pd.DataFrame(rows).to_string(index=False)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--max-cells", type=int, default=600, help="of one study; a third of it of one set of profiles")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    result = run(args.max_cells, args.seed)
    print(f"accuracy/macro-F1, means\n\n{report(result)}\n")
    args.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {args.output}")


if __name__ == "__main__":
    main()
