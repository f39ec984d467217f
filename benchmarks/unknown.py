"""Confidence and unknown cells: `python -m benchmarks.unknown --model FOLDER --studies a,b`.

Calibration: expected calibration error of the confidence, with all of a study's labels as candidates. Unknown: each
label in turn, with everything below it, is left out of the candidates; AUROC of telling its cells from the others by
what `tl.annotate` writes. A label that lies within another candidate is not left out, since that candidate is a right
answer for its cells. `elsewhere` with the term hidden leaves the label and its kin out of the model's vocabulary, too.
Thresholds: shares of calls that would not be made, of right and of wrong calls among all labels, and of calls of cells
whose label was left out, with their term in the model's vocabulary and with the term hidden.

For figures on studies or types that no part of the model has seen, give a rehearsal that did without them: a folder
that `python -m recipes.bioverse_small.make --fold NAME` wrote; it is not calibrated, so name a model that is
(`--calibration`). Kang and baron are among the three studies that `bioverse-small` was calibrated on. Prints tables,
writes a JSON file.
"""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

import scbioverse as sb
from recipes.bioverse_small.data import label_map
from recipes.bioverse_small.rehearsals import load_either
from recipes.bioverse_small.terms import is_within
from scbioverse.knowledge.ontology import canonical_phrase
from scbioverse.train.calibrate import expected_calibration_error

RESULTS = Path(__file__).parent / "results" / "unknown.json"
TARGETS = {"ece": 0.05, "auroc": 0.85}
FEWEST = 10
THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
SCORES = ("confidence", "margin", "entropy", "elsewhere", "elsewhere, term hidden", "used")


# Cells that were sorted as CD4+ (Zheng 2017, doi:10.1038/ncomms14049). The table of labels has "regulatory T cell" and
# "helper T cell" for them, which by the ontology may be cells without CD4: "CD4 T cell" would count as wrong.
SORTED_BY_CD4 = {
    "CD4+/CD25 T Reg": "CL:0000792", "regulatoryt": "CL:0000792", "thelper": "CL:0000492",
}  # fmt: skip


def read_study(name: str, max_cells: int, seed: int) -> ad.AnnData:
    """Read labelled cells of a study, at most `max_cells`, with their term in `obs["cl_id"]`."""
    adata = ad.read_h5ad(sb.datasets.fetch(name))
    named, labels = label_map(), adata.obs["cell_type"].astype(str)
    terms = np.array([SORTED_BY_CD4.get(one, named.get((name, one), "")) for one in labels], dtype=object)
    rows = np.flatnonzero(terms != "")
    if len(rows) > max_cells:
        rows = np.sort(np.random.default_rng(seed).choice(rows, max_cells, replace=False))
    part = ad.AnnData(adata.X[rows], var=adata.var, obs=pd.DataFrame({"cl_id": terms[rows]}))
    part.obs_names = [f"cell{i}" for i in range(part.n_obs)]
    return part


def left_out(terms: list[str]) -> list[tuple[str, list[str]]]:
    """Return every label that may be left out, with the candidates that remain."""
    found = []
    for one in terms:
        kept = [other for other in terms if not is_within(other, one)]
        if len(kept) > 1 and not any(is_within(one, other) for other in kept):
            found.append((one, kept))
    return found


def annotated(adata: ad.AnnData, model: Any, terms: list[str], method: str) -> pd.DataFrame:
    """Return what `tl.annotate` writes into `obs` with these terms as candidates."""
    labels = {canonical_phrase(one): one for one in terms}
    # A threshold nobody falls below, so that everything is computed and nothing is called otherwise.
    options: dict[str, Any] = {"rationale": None, "unknown_threshold": 1e-9, "parents": False, "method": method}
    sb.tl.annotate(adata, model=model, labels=labels, **options)
    return adata.obs.filter(like="bioverse_").rename(columns=lambda name: name.removeprefix("bioverse_")).copy()


def uncertainty(found: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return what is higher for cells that are less likely one of the candidates."""
    out = {"confidence": -found["confidence"], "margin": -found["margin"], "entropy": found["entropy"]}
    if "elsewhere" in found:
        out |= {"elsewhere": found["elsewhere"], "used": -found["confidence"] * (1 - found["elsewhere"])}
    return {name: np.asarray(values, dtype=np.float64) for name, values in out.items()}


def below(scores: dict[str, np.ndarray], rows: np.ndarray) -> list[float] | None:
    """Share of some rows that falls below each threshold; None for no rows."""
    used = -scores.get("used", scores["confidence"])[rows]
    return [round(float((used < one).mean()), 4) for one in THRESHOLDS] if used.size else None


def measure(adata: ad.AnnData, model: Any, study: str, method: str) -> dict[str, Any]:
    """Calibration of one study, and one row for each label left out."""
    truth = adata.obs["cl_id"].astype(str).to_numpy()
    terms = sorted(set(truth))
    full = annotated(adata, model, terms, method)
    right = full["cl_id"].astype(str).to_numpy() == truth
    result: dict[str, Any] = {
        "study": study,
        "cells": adata.n_obs,
        "candidates": len(terms),
        "accuracy": round(float(right.mean()), 4),
        "ece": round(expected_calibration_error(full["confidence"].to_numpy(np.float64).clip(0, 1), right), 4),
        "sent_elsewhere": round(float((full["elsewhere"] > 0.5).mean()), 4) if "elsewhere" in full else None,
        "right_below": below(uncertainty(full), right),
        "wrong_below": below(uncertainty(full), ~right),
        "types": [],
    }
    vocabulary = list(model.config.default_labels or [])
    for one, kept in left_out(terms):
        unknown = np.array([is_within(label, one) for label in truth])
        if unknown.sum() < FEWEST:
            continue
        found = annotated(adata, model, kept, method)
        scores = uncertainty(found)
        try:
            model.config.default_labels = [v for v in vocabulary if not (is_within(v, one) or is_within(one, v))]
            hidden = annotated(adata, model, kept, "nearest")  # the same `elsewhere`, sooner
        finally:
            model.config.default_labels = vocabulary
        row: dict[str, Any] = {"label": canonical_phrase(one), "cl_id": one, "cells": int(unknown.sum())}
        row["below"] = below(scores, unknown)
        if "elsewhere" in hidden:
            scores["elsewhere, term hidden"] = hidden["elsewhere"].to_numpy(np.float64)
            row["below, term hidden"] = below(uncertainty(found.assign(elsewhere=hidden["elsewhere"])), unknown)
        result["types"].append(
            row | {name: round(float(roc_auc_score(unknown, values)), 4) for name, values in scores.items()}
        )
    return result


def report(results: list[dict[str, Any]]) -> str:
    """Tables of calibration and of unknown cells, with the mean over all labels left out."""
    calibration = pd.DataFrame(results)[["study", "cells", "candidates", "accuracy", "ece", "sent_elsewhere"]]
    types = pd.DataFrame([{"study": one["study"]} | row for one in results for row in one["types"]])
    shown = [name for name in SCORES if name in types]
    mean = types[shown].mean().round(4)
    kept_back = {
        "right calls": [one["right_below"] for one in results],
        "wrong calls": [one["wrong_below"] for one in results],
        "label left out": types["below"].tolist(),
        "its term hidden": types["below, term hidden"].tolist() if "below, term hidden" in types else [],
    }
    thresholds = pd.DataFrame({"threshold": THRESHOLDS})
    for name, each in kept_back.items():
        if found := [one for one in each if one is not None]:
            thresholds[name] = np.mean(found, axis=0).round(3)
    types = types.drop(columns=[name for name in types if name.startswith("below")])
    types.loc[len(types)] = {"study": "mean of labels", "label": "", "cells": types["cells"].sum(), **mean}
    return (
        f"Calibration, all labels as candidates (target: ece at most {TARGETS['ece']})\n"
        f"{calibration.to_string(index=False)}"
        f"\n\nAUROC of unknown cells, one label left out (target: {TARGETS['auroc']})\n"
        f"{types[['study', 'label', 'cells', *shown]].to_string(index=False)}"
        f"\n\nShare of calls below a threshold, means\n{thresholds.to_string(index=False)}"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model", default="bioverse-small", help="name of a model, or a folder such as a rehearsal's")
    parser.add_argument("--calibration", default="", help="model to take temperatures and marker weights from")
    parser.add_argument("--method", choices=("score", "nearest", "cascade"), default="cascade")
    parser.add_argument("--studies", default="kang_ifnb_pbmc,pancreas_baron_human", help="separated by commas")
    parser.add_argument("--max-cells", type=int, default=600, help="of a study")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    sb.settings.progress = False
    warnings.simplefilter("ignore", UserWarning)
    model = load_either(args.model)
    if args.calibration:
        model.config.calibration = dict(sb.models.load(args.calibration).config.calibration)
    results = [
        measure(read_study(name, args.max_cells, args.seed), model, name, args.method)
        for name in args.studies.split(",")
        if name
    ]
    config = model.config
    record = {
        "model": str(args.model),
        "fingerprint": model.fingerprint(),
        "calibration": args.calibration or str(args.model),
        "table": {name: asdict(row) for name, row in config.calibration.items()},
        "method": args.method,
        "thresholds": THRESHOLDS,
        "seed": args.seed,
        "targets": TARGETS,
        "studies": results,
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{report(results)}\n\nwritten to {args.output}")


if __name__ == "__main__":
    main()
