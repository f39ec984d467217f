"""Encoder candidates on one leave-one-study-out protocol: `python -m benchmarks.encoders`.

Every candidate is trained without the held-out studies, frozen, and read by the same multinomial logistic regression
on the same training cells; its probabilities over Cell Ontology terms are summed to the labels of the held-out study.
No test cell is seen in training and every cell is read by itself. Prints one table, writes a JSON file.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.preprocessing import StandardScaler

from benchmarks._encoder_candidates import CANDIDATES, Budget, Cells, Fitted, Fold
from benchmarks._rank_transformer import TransformerConfig
from recipes.bioverse_small import data
from recipes.bioverse_small.data import Profiles, Study
from recipes.bioverse_small.encoder import EncoderConfig, build_pool
from recipes.bioverse_small.terms import candidate_columns

logger = logging.getLogger("benchmarks.encoders")
RESULTS = Path(__file__).parent / "results" / "encoders.json"

# Studies that leave together: the three Zheng 2017 sets share cells, and so do the label means of the 68k set.
FOLDS: dict[str, tuple[str, ...]] = {
    "kang": ("kang_ifnb_pbmc",),
    "citeseq": ("citeseq_pbmc10k_4000g",),
    "zheng": ("pbmc_facs_zheng", "pbmc14k_facs_3500", "pbmc_sorted_mudan"),
    "fetal cortex": ("fetal_cortex_culture_4474_2000g",),
}
PROFILES_TOO = {"zheng": ("zheng68k_165",)}


@dataclass
class ReadoutCells:
    """Training cells of the readout, grouped by panel, with their terms."""

    groups: list[tuple[Cells, np.ndarray]]
    term: np.ndarray
    terms: list[str]


def readout_cells(fold: Fold, budget: Budget) -> ReadoutCells:
    """Draw training cells by the pool's probabilities, which balance studies and terms: the same for all candidates."""
    rng = np.random.default_rng(budget.seed)
    pool, terms = build_pool(fold.studies, fold.profiles, EncoderConfig(), rng)
    rows = rng.choice(len(pool.term), budget.readout_cells, p=pool.probability)
    groups = [
        (Cells(pool.counts[rows[at]], pool.panel[source]), at)
        for source in np.unique(pool.source[rows])
        for at in [np.flatnonzero(pool.source[rows] == source)]
    ]
    return ReadoutCells(groups, pool.term[rows], terms)


def fit_readout(fitted: Fitted, cells: ReadoutCells, budget: Budget) -> Callable[[np.ndarray], np.ndarray]:
    """Fit logistic regression; return embeddings to probabilities (n, n_terms)."""
    embedding = np.empty((len(cells.term), fitted.dim), np.float32)
    for group, at in cells.groups:
        embedding[at] = fitted.embed(group)
    scaler = StandardScaler().fit(embedding)
    readout = LogisticRegression(C=0.1, tol=1e-3, max_iter=budget.readout_iterations)
    readout.fit(scaler.transform(embedding), cells.term)

    def probabilities(test: np.ndarray) -> np.ndarray:
        out = np.zeros((len(test), len(cells.terms)))
        out[:, readout.classes_] = readout.predict_proba(scaler.transform(test))
        return out

    return probabilities


def call(
    probability: np.ndarray, candidates: list[str], terms: list[str], share: np.ndarray | None = None
) -> np.ndarray:
    """Candidate with the largest summed probability, (n,) int.

    With `share` (t,), each term's share of the readout's training cells, the sum is divided by the candidate's share:
    by Bayes' rule the call under equal priors, whatever the training cells happened to be.
    """
    score = []
    for at in candidate_columns(candidates, terms):
        prior = 1.0 if share is None else max(float(share[at].sum()), 1e-9)
        score.append(probability[:, at].sum(1) / prior)
    return np.stack(score, 1).argmax(1)


# ---------------------------------------------------------------------- protocol


@dataclass
class Test:
    """Cells of one held-out study with their candidate labels."""

    name: str
    cells: Cells
    candidates: list[str]
    truth: np.ndarray


def test_cells(study: Study, n: int, seed: int) -> Test:
    rows = np.flatnonzero(study.cl_ids != "")
    if len(rows) > n:
        rows = np.sort(np.random.default_rng(seed).choice(rows, n, replace=False))
    candidates = sorted(set(study.cl_ids[rows]))
    truth = np.array([candidates.index(one) for one in study.cl_ids[rows]])
    return Test(study.name, Cells(study.counts[rows], study.panel), candidates, truth)


def without_sources(profiles: Profiles, sources: tuple[str, ...]) -> Profiles:
    keep = ~np.isin(profiles.sources.astype(str), sources)
    return replace(
        profiles,
        matrix=profiles.matrix[keep],
        panel=profiles.panel[keep],
        cl_ids=profiles.cl_ids[keep],
        sources=profiles.sources[keep],
    )


def scores(truth: np.ndarray, called: np.ndarray) -> dict[str, float]:
    return {
        "accuracy": round(float(accuracy_score(truth, called)), 4),
        "macro_f1": round(float(f1_score(truth, called, labels=np.unique(truth), average="macro")), 4),
    }


def run_candidate(name: str, fold: Fold, tests: list[Test], cells: ReadoutCells, budget: Budget) -> dict[str, object]:
    """Train, read out and measure one candidate on one fold."""
    started = time.perf_counter()
    fitted = CANDIDATES[name][1](fold, budget)
    training = time.perf_counter() - started
    started = time.perf_counter()
    probabilities = fit_readout(fitted, cells, budget)
    reading = time.perf_counter() - started
    rng = np.random.default_rng(budget.seed)
    studies: dict[str, dict[str, float]] = {}
    embedding_seconds = 0.0
    share = np.bincount(cells.term, minlength=len(cells.terms)) / len(cells.term)
    for test in tests:
        fitted.embed(Cells(test.cells.counts[:64], test.cells.panel))
        started = time.perf_counter()
        embedding = fitted.embed(test.cells)
        embedding_seconds += time.perf_counter() - started
        probability = probabilities(embedding)
        called = call(probability, test.candidates, cells.terms)
        shuffled = scores(test.truth, called[rng.permutation(len(called))])
        even = scores(test.truth, call(probability, test.candidates, cells.terms, share))
        studies[test.name] = scores(test.truth, called) | {
            "even_accuracy": even["accuracy"],
            "even_macro_f1": even["macro_f1"],
            "shuffled_accuracy": shuffled["accuracy"],
        }
    n_test = sum(len(test.truth) for test in tests)
    kinds = ("accuracy", "macro_f1", "even_accuracy", "even_macro_f1", "shuffled_accuracy")
    result: dict[str, object] = {
        kind: round(float(np.mean([one[kind] for one in studies.values()])), 4) for kind in kinds
    }
    result |= {
        "studies": studies,
        "parameters": fitted.n_parameters,
        "megabytes_float16": round(2 * (fitted.n_parameters + fitted.n_statistics) / 1e6, 2),
        "dim": fitted.dim,
        "cells_per_second": round(n_test / embedding_seconds),
        "training_seconds": round(training, 1),
        "readout_seconds": round(reading, 1),
    }
    logger.info("%s, %s without: %s", name, fold.name, {kind: result[kind] for kind in kinds})
    return result


def run(candidates: list[str], folds: list[str], budget: Budget) -> dict[str, object]:
    """All candidates on all folds."""
    started = time.perf_counter()
    genes = data.vocabulary()
    studies, profiles = data.training_studies(genes), data.load_profiles(genes)
    logger.info("data read in %.0f s", time.perf_counter() - started)
    table: dict[str, dict[str, object]] = {name: {} for name in candidates}
    about: dict[str, object] = {}
    for key in folds:
        out = FOLDS[key]
        held = [study for study in studies if study.name in out]
        rest = [study for study in studies if study.name not in out]
        fold = Fold(key, genes, rest, without_sources(profiles, PROFILES_TOO.get(key, ())), held)
        tests = [test_cells(study, budget.test_cells // len(held), budget.seed) for study in held]
        cells = readout_cells(fold, budget)
        about[key] = {
            test.name: {
                "n_cells": len(test.truth),
                "candidates": test.candidates,
                "not_trained": [
                    one
                    for one, at in zip(test.candidates, candidate_columns(test.candidates, cells.terms), strict=True)
                    if not at
                ],
                "majority_accuracy": round(float(np.bincount(test.truth).max() / len(test.truth)), 4),
            }
            for test in tests
        }
        for name in candidates:
            table[name][key] = run_candidate(name, fold, tests, cells, budget)
    return {
        "protocol": "leave one study out; logistic regression on frozen embeddings; every cell by itself",
        "budget": vars(budget),
        "machine": {"torch_threads": torch.get_num_threads(), "torch": torch.__version__, "cpu": platform.machine()},
        "seconds": round(time.perf_counter() - started),
        "folds": about,
        "candidates": {name: {"what": CANDIDATES[name][0], "folds": table[name]} for name in candidates},
    }


def report(result: dict[str, object]) -> str:
    """One line a candidate: accuracy / macro-F1 for each fold and their mean, size and speed."""
    rows = []
    candidates: dict[str, dict[str, dict[str, dict[str, float]]]] = result["candidates"]  # type: ignore[assignment]
    kinds = ("accuracy", "macro_f1", "even_accuracy", "even_macro_f1")
    for name, one in candidates.items():
        folds = one["folds"]
        means = {kind: np.mean([fold[kind] for fold in folds.values()]) for kind in kinds}
        row: dict[str, object] = {"candidate": name}
        row |= {key: f"{fold['accuracy']:.3f}/{fold['macro_f1']:.3f}" for key, fold in folds.items()}
        last = list(folds.values())[-1]
        row |= {
            "mean": f"{means['accuracy']:.3f}/{means['macro_f1']:.3f}",
            "mean, even": f"{means['even_accuracy']:.3f}/{means['even_macro_f1']:.3f}",
            "shuffled": f"{np.mean([fold['shuffled_accuracy'] for fold in folds.values()]):.3f}",
            "parameters": f"{last['parameters'] / 1e6:.2f} M",
            "fp16 MB": last["megabytes_float16"],
            "cells/s": f"{np.median([fold['cells_per_second'] for fold in folds.values()]):,.0f}",
            "train s": f"{np.mean([fold['training_seconds'] for fold in folds.values()]):.0f}",
        }
        rows.append(row)
    about: dict[str, dict[str, dict[str, float]]] = result["folds"]  # type: ignore[assignment]
    majority = {key: np.mean([test["majority_accuracy"] for test in fold.values()]) for key, fold in about.items()}
    largest: dict[str, object] = {"candidate": "largest label"}
    largest |= {key: f"{value:.3f}" for key, value in majority.items()} | {
        "mean": f"{np.mean(list(majority.values())):.3f}"
    }
    rows.append(largest)
    return pd.DataFrame(rows).fillna("").to_string(index=False)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--candidates", nargs="+", choices=list(CANDIDATES), default=list(CANDIDATES))
    parser.add_argument("--folds", nargs="+", choices=list(FOLDS), default=list(FOLDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compact-steps", type=int, default=800)
    parser.add_argument("--transformer-steps", type=int, default=TransformerConfig.steps)
    parser.add_argument("--scvi-steps", type=int, default=1500)
    parser.add_argument("--scvi-seconds", type=int, default=90, help="stop scVI after this time, whatever its steps")
    parser.add_argument("--readout-cells", type=int, default=12000)
    parser.add_argument("--readout-iterations", type=int, default=60)
    parser.add_argument("--test-cells", type=int, default=2000, help="most test cells in a fold")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("scbioverse").setLevel(logging.WARNING)
    candidates, folds, output = args.pop("candidates"), args.pop("folds"), args.pop("output")
    result = run(candidates, folds, Budget(**args))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\naccuracy/macro-F1, studies left out\n\n{report(result)}\n\nwritten to {output}")


if __name__ == "__main__":
    main()
