"""Annotation without candidates: `python -m benchmarks.ontology --model FOLDER --studies a,b`.

Cells of studies with expert labels, each cell by itself and each expert group as one (`groupby`): against the whole
Cell Ontology (`tl.annotate(labels="cl")`), by the language model's ranking of each cell's nearest terms (`score`) and
by nearness alone (`nearest`); and by what the language model writes when no candidates are given (`generate`).
A call matches if it is the expert's term (same), lies within it, or holds it without being broader than 600 terms; what
is called by chance is beside it: the same calls dealt to the cells at random. Speed is without the one reading of the
ontology's descriptions, which is timed by itself (nothing for a model that brings their coordinates with it). Prints
tables, writes a JSON file.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import scbioverse as sb
from benchmarks.unknown import read_study
from recipes.bioverse_small.rehearsals import load_either
from recipes.bioverse_small.terms import is_within
from scbioverse.knowledge import load_ontology
from scbioverse.knowledge.levels import BROADEST
from scbioverse.predict.whole_ontology import ontology_coordinates

RESULTS = Path(__file__).parent / "results" / "ontology.json"
TARGET = 100.0
WAYS: dict[str, str | None] = {"score": "cl", "nearest": "cl", "generate": None}


def kinship(called: str, truth: str) -> str:
    """Return how a called term stands to the expert's: same, within, above, or none of these."""
    if called == truth:
        return "same"
    if called and is_within(called, truth):
        return "within"
    if called and is_within(truth, called) and len(load_ontology().descendants(called)) <= BROADEST:
        return "above"
    return "other"


def shares(called: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Shares of cells by kinship, and their sum."""
    pairs, counts = np.unique(np.stack([called, truth]).astype(str), axis=1, return_counts=True)
    found = dict.fromkeys(("same", "within", "above"), 0.0)
    for (one, other), n in zip(pairs.T, counts, strict=True):
        if (kind := kinship(one, other)) in found:
            found[kind] += float(n) / len(truth)
    return {name: round(value, 4) for name, value in found.items()} | {"match": round(sum(found.values()), 4)}


def measure(study: str, model: Any, max_cells: int, group_cells: int, seed: int) -> list[dict[str, Any]]:
    """One row for each way."""
    each = {None: read_study(study, max_cells, seed), "cl_id": read_study(study, group_cells, seed)}
    for adata in each.values():
        sb.tl.embed(adata, model=model)
    rows = []
    for method, labels in WAYS.items():
        for groupby, adata in each.items():
            truth = adata.obs["cl_id"].astype(str).to_numpy()
            first = np.unique(truth, return_index=True)[1]
            begin = time.perf_counter(), time.process_time()
            sb.tl.annotate(adata, model=model, labels=labels, method=method, groupby=groupby, rationale=None)
            took, busy = time.perf_counter() - begin[0], time.process_time() - begin[1]
            called = adata.obs["bioverse_cl_id"].astype(str).to_numpy()
            mixer = np.random.default_rng(seed)
            dealt = shares(mixer.permutation(called), truth)["match"]
            row = {"study": study, "method": method, "each": "cell" if groupby is None else "expert's group"}
            row |= {
                "cells": adata.n_obs,
                "terms called": len(set(called) - {""}),
                **shares(called, truth),
                "by chance": dealt,
            }
            if groupby is not None:
                groups = called[first], truth[first]
                row |= {"groups": len(first), "groups matched": shares(*groups)["match"]}
                # The groups' calls dealt to the groups, many times, since there are few.
                deals = [shares(mixer.permutation(groups[0]), groups[1])["match"] for _ in range(50)]
                row["groups by chance"] = round(float(np.mean(deals)), 4)
            speed = {"cells/s": round(adata.n_obs / took, 1), "cells/processor s": round(adata.n_obs / busy, 1)}
            rows.append(row | speed)
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model", default="bioverse-small", help="name of a model, or a folder such as a rehearsal's")
    parser.add_argument("--studies", default="kang_ifnb_pbmc", help="separated by commas")
    parser.add_argument("--max-cells", type=int, default=1000, help="of a study, each by itself")
    parser.add_argument("--group-cells", type=int, default=5000, help="of a study, from which groups are made")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    sb.settings.progress = False
    warnings.simplefilter("ignore", UserWarning)
    load = os.getloadavg()[0]
    model = load_either(args.model)
    _ = model.backbone
    begin = time.perf_counter(), time.process_time()
    terms = len(ontology_coordinates(model))
    reading = {
        "seconds": round(time.perf_counter() - begin[0], 1),
        "processor": round(time.process_time() - begin[1], 1),
    }

    def one(name: str) -> list[dict[str, Any]]:
        return measure(name, model, args.max_cells, args.group_cells, args.seed)

    rows = [row for name in args.studies.split(",") if name for row in one(name)]
    record = {
        "model": str(args.model),
        "fingerprint": model.fingerprint(),
        "terms": terms,
        "reading": reading,
        "cpus": os.cpu_count(),
        "load_when_started": round(load, 2),
        "target_cells_per_second": TARGET,
        "rows": rows,
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(record, indent=1) + "\n")
    speed = f"{reading['seconds']} s ({reading['processor']} s of processor time)"
    print(pd.DataFrame(rows).to_string(index=False))
    print(f"\n{terms} terms, descriptions there after {speed}; target {TARGET:g} cells/s; load {load:.1f} when started")
    print(f"written to {args.output}")


if __name__ == "__main__":
    main()
