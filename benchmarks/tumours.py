"""Malignant cells among the candidates: `python -m benchmarks.tumours`.

Cells that are malignant by their origin, and that no training saw: cells of five lung adenocarcinoma lines, read
together with blood cells of pbmc3k as a tumour's leukocytes, and cells of an oligodendroglioma beside its
oligodendrocytes and microglia (the healthy ones were trained on). Recall of "malignant cell", and the share of the
other cells that get this name: as the package does it, where malignant cells stand for the types that they come from,
and without that (`origins` no), where nothing is known of them. Then what it costs: the name is offered to studies
without malignant cells, beside all of their labels, and beside all but an epithelial one. Prints tables, writes a JSON
file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import anndata as ad
import numpy as np

import scbioverse as sb
from benchmarks.annotation_parts.tables import markdown
from scbioverse.models import BioVerse, load

RESULTS = Path(__file__).parent / "results" / "tumours.json"
MALIGNANT = "malignant cell"
METHODS = ("cascade", "score", "nearest")
STROMA = ["T cell", "B cell", "macrophage", "mast cell", "dendritic cell", "fibroblast", "endothelial cell"]
LUNG = [MALIGNANT, "monocyte", "natural killer cell", "muscle cell", *STROMA]
BRAIN = [MALIGNANT, "oligodendrocyte", "microglial cell", "endothelial cell"]
# Studies without malignant cells, and the epithelial label that is left out of one.
HEALTHY = {"pbmc3k": "", "pbmc_symphony_1200_1767g": "", "pancreas_wang_501_219g_log": "pancreatic ductal cell"}
NO_TYPE = {"unassigned", "unknown", "nan"}


def labelled(name: str) -> ad.AnnData:
    """Return the cells of a study that have an expert's label."""
    adata = ad.read_h5ad(sb.datasets.fetch(name))
    adata.var_names_make_unique()
    return adata[~adata.obs["cell_type"].astype(str).isin(NO_TYPE)].copy()


def lung(n_blood: int, seed: int) -> ad.AnnData:
    """Tumour lines and blood, the genes that both have; `obs["malignant"]` says which is which."""
    lines = ad.read_h5ad(sb.datasets.fetch("sc_mixology_celllines"))
    blood = labelled("pbmc3k")
    blood = blood[np.sort(np.random.default_rng(seed).permutation(blood.n_obs)[:n_blood])].copy()
    lines.var_names_make_unique()
    joined = ad.concat([lines, blood], join="inner")
    joined.obs["malignant"] = joined.obs["cell_type"].str.contains("adenocarcinoma")
    return joined


def brain() -> ad.AnnData:
    """Cells of an oligodendroglioma."""
    adata = ad.read_h5ad(sb.datasets.fetch("oligodendroglioma_184_smartseq"))
    adata.obs["malignant"] = adata.obs["cell_type"].str.contains("malignant")
    return adata


def called(
    adata: ad.AnnData, labels: list[str], model: BioVerse, method: str | None = None, *, origins: bool = True
) -> np.ndarray:
    """Names of the calls, each cell by itself; by the model's own method if None."""
    nothing = mock.patch("scbioverse.knowledge.ontology._from_origins", return_value=frozenset())
    with contextlib.nullcontext() if origins else nothing, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = sb.tl.annotate(adata, labels=labels, model=model, method=method, rationale=None, copy=True)
    return found.obs["bioverse_label"].astype(str).to_numpy()


def recalls(model: BioVerse, n_blood: int, seed: int) -> list[dict[str, Any]]:
    """Recall of malignant cells, the share of other cells called so, and what the lost ones are called."""
    tests = [
        ("lung adenocarcinoma lines and blood", lung(n_blood, seed), LUNG),
        ("the same, epithelial cell offered", lung(n_blood, seed), [*LUNG, "epithelial cell"]),
        ("oligodendroglioma", brain(), BRAIN),
    ]
    rows: list[dict[str, Any]] = []
    for name, adata, labels in tests:
        truth = adata.obs["malignant"].to_numpy(bool)
        for origins in (False, True):
            for method in METHODS:
                calls = called(adata, labels, model, method, origins=origins)
                others, counts = np.unique(calls[truth & (calls != MALIGNANT)], return_counts=True)
                row = {"test": name, "candidates": len(labels), "origins": origins, "method": method}
                row |= {"malignant": int(truth.sum()), "recall": round(float((calls[truth] == MALIGNANT).mean()), 4)}
                row |= {"others": int((~truth).sum()), "wrongly": round(float((calls[~truth] == MALIGNANT).mean()), 4)}
                rows.append(row | {"instead": str(others[counts.argmax()]) if others.size else ""})
    return rows


def costs(model: BioVerse) -> list[dict[str, Any]]:
    """Accuracy with and without the name among a healthy study's labels, and who gets it."""
    rows: list[dict[str, Any]] = []
    for study, hidden in HEALTHY.items():
        adata = labelled(study)
        truth = adata.obs["cell_type"].astype(str).to_numpy()
        labels = sorted(set(truth))
        for method in METHODS:
            plain = called(adata, labels, model, method)
            more = called(adata, [*labels, MALIGNANT], model, method)
            row = {"study": study, "cells": truth.size, "method": method}
            row |= {"accuracy": round(float((plain == truth).mean()), 4)}
            row |= {"accuracy_with": round(float((more == truth).mean()), 4)}
            row |= {"wrongly": round(float((more == MALIGNANT).mean()), 4), "hidden": hidden, "hidden_called_so": None}
            if hidden:
                fewer = called(adata, [*(one for one in labels if one != hidden), MALIGNANT], model, method)
                row["hidden_called_so"] = round(float((fewer[truth == hidden] == MALIGNANT).mean()), 4)
            rows.append(row)
    return rows


def tables(found: list[dict[str, Any]], paid: list[dict[str, Any]]) -> str:
    """Both tables, in Markdown."""
    first = [
        [r["test"], "yes" if r["origins"] else "no", r["method"], r["recall"], r["wrongly"], r["instead"]]
        for r in found
    ]
    second = [
        [r["study"], r["method"], r["accuracy"], r["accuracy_with"], r["wrongly"], r["hidden"], r["hidden_called_so"]]
        for r in paid
    ]
    heads = [
        ["test", "origins", "method", "recall", "others called malignant", "most of the lost are called"],
        ["study", "method", "accuracy", "malignant offered", "called so", "label left out", "its cells called so"],
    ]
    return "\n\n".join(
        markdown(head, [["" if value is None else value for value in row] for row in rows])
        for head, rows in zip(heads, (first, second), strict=True)
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bioverse-small", help="name or folder of a model")
    parser.add_argument("--blood", type=int, default=1500, help="blood cells beside the tumour lines")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    model = load(args.model)
    found, paid = recalls(model, args.blood, args.seed), costs(model)
    held = {"model": model.name, "seed": args.seed, "recalls": found, "costs": paid}
    args.output.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    print(f"\n{tables(found, paid)}\n\nwritten to {args.output}")


if __name__ == "__main__":
    main()
