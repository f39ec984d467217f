"""Cells of which only an order of genes is known: `python -m benchmarks.ranked_genes`.

First CellVerse's published task: the 100 highest genes of each of 350 cells of a CITE-seq study in order, seven
candidates; beside what language models reach that were given the same lists as text (figures of the CellVerse paper).
Controls: the answers dealt to other cells, the genes of each list in random order, "effector" read by its own term
where no list of candidates parts effector from memory cells; and the last on whole cells of pbmc3k, labels renamed.
Then whole cells against lists of their first genes, in studies that no training saw, and groups of cells named by lists
of their marker genes (the genes that differ most from the other cells): of real studies among the study's labels, and
of tissues of the Human Cell Landscape, on which the model that ships was not trained, without any candidates. Of the
latter there are published profiles only: cells are simulated from them, to find markers by a test. Some lists of the
marker tables come from the Landscape: without them is a control. Prints tables, writes a JSON file.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp

import scbioverse as sb
from benchmarks.annotation_parts.tables import markdown
from benchmarks.first_call import landscape, simulated
from benchmarks.ontology import kinship
from benchmarks.tumours import called, labelled
from scbioverse.knowledge import markers as marker_tables
from scbioverse.knowledge.markers import load_markers
from scbioverse.models import BioVerse, load

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path(__file__).parent / "results" / "ranked_genes.json"
CELLVERSE = "cellverse_cta_cite_100"
# Accuracy of language models that read the same lists as text, as published with the benchmark.
PUBLISHED = {"GPT-4.1": 0.614, "DeepSeek-R1": 0.583, "Qwen2.5-7B": 0.309}
STUDIES = ("pbmc3k", "pbmc_symphony_1200_1767g")
MARKED = (*STUDIES, "pancreas_wang_501_219g_log")
RENAMED = {"Naive CD4 T": "Naive CD4+ T", "Memory CD4 T": "Effector CD4+ T", "CD8 T": "Effector CD8+ T"}
LENGTHS = (30, 100, 300)
N_MARKERS = (10, 20, 50)
FEWEST_GROUPS = 3
ONCE = 20


def cellverse() -> tuple[list[list[str]], np.ndarray, list[str]]:
    """Return lists of genes, answers and candidates."""
    tasks = json.loads(gzip.decompress(Path(sb.datasets.fetch(CELLVERSE)).read_bytes()))
    asked = [task["messages"][1]["content"] for task in tasks]
    answers = np.array([task["messages"][2]["content"] for task in tasks])
    lists = [text.split("{gene_names}:")[1].split("{cell_types}")[0].strip(" .\n").split() for text in asked]
    candidates = asked[0].rsplit("{cell_types}:", 1)[1].split("'")[1::2]
    if set(answers) - set(candidates):
        raise SystemExit(f"answers that are no candidates: {sorted(set(answers) - set(candidates))}")
    return lists, answers, candidates


def as_cells(lists: Any, **options: Any) -> ad.AnnData:
    """Rows of an AnnData; names of genes that are not known here are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return sb.pp.ranked_genes(lists, **options)


def published_task(model: BioVerse, seed: int) -> list[dict[str, Any]]:
    """Accuracy on CellVerse's lists, peers and controls."""
    lists, answers, candidates = cellverse()
    rng = np.random.default_rng(seed)
    cells = as_cells(lists)
    calls = called(cells, candidates, model)
    rows = [
        ("annotate", calls),
        ("language model reads every cell (`score`)", called(cells, candidates, model, "score")),
    ]
    rows += [("encoder and texts (`nearest`)", called(cells, candidates, model, "nearest"))]
    with mock.patch("scbioverse.predict.candidates._MEMORY_OF", {}):
        rows.append(('control: "effector" by its own term', called(cells, candidates, model)))
    mixed = as_cells([list(rng.permutation(some)) for some in lists])
    rows.append(("control: genes of each list in random order", called(mixed, candidates, model)))
    rows.append(("control: calls dealt to other cells", rng.permutation(calls)))
    names, counts = np.unique(answers, return_counts=True)
    found = [{"who": who, "accuracy": round(float((some == answers).mean()), 4)} for who, some in rows]
    found.append({"who": "control: the commonest answer", "accuracy": round(float(counts.max() / counts.sum()), 4)})
    found += [{"who": f"{who}, the list as text (published)", "accuracy": value} for who, value in PUBLISHED.items()]
    recall = {str(name): round(float((calls[answers == name] == name).mean()), 4) for name in names}
    return [{**row, "recall": recall if row["who"] == "annotate" else None} for row in found]


def renamed(model: BioVerse) -> list[dict[str, Any]]:
    """Accuracy on whole cells of pbmc3k whose T cells are called naive and effector, by the rule and without."""
    adata = labelled("pbmc3k")
    truth = adata.obs["cell_type"].astype(str).replace(RENAMED).to_numpy()
    labels = sorted(set(truth))
    by_rule = called(adata, labels, model)
    with mock.patch("scbioverse.predict.candidates._MEMORY_OF", {}):
        by_term = called(adata, labels, model)
    calls = {"by the rule": by_rule, '"effector" by its own term': by_term}
    return [
        {"pbmc3k, renamed": how, "accuracy": round(float((some == truth).mean()), 4)} for how, some in calls.items()
    ]


def first_genes(adata: ad.AnnData, n: int) -> list[list[str]]:
    """Return the `n` highest genes of each cell, in order, as far as it expresses so many."""
    values = sp.csr_array(adata.X)
    lists = []
    for row in range(adata.n_obs):
        held = slice(values.indptr[row], values.indptr[row + 1])
        order = np.lexsort((values.indices[held], -values.data[held]))[:n]
        lists.append(adata.var_names[values.indices[held][order]].tolist())
    return lists


def shortened(model: BioVerse) -> list[dict[str, Any]]:
    """Accuracy of whole cells, and of lists of their first genes."""
    rows = []
    for name in STUDIES:
        adata = labelled(name)
        truth = adata.obs["cell_type"].astype(str).to_numpy()
        labels = sorted(set(truth))
        row = {"study": name, "cells": truth.size, "whole": float((called(adata, labels, model) == truth).mean())}
        for n in LENGTHS:
            cells = as_cells(first_genes(adata, n), genes=adata.var_names)
            row[f"first {n}"] = float((called(cells, labels, model) == truth).mean())
        rows.append({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()})
    return rows


def markers(adata: ad.AnnData, key: str, method: str) -> dict[str, list[str]]:
    """Return the genes of each group that differ most from the other cells, by falling score."""
    adata.obs[key] = adata.obs[key].astype(str).astype("category")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.PerformanceWarning)
        sc.tl.rank_genes_groups(adata, key, method=method)
    table = sc.get.rank_genes_groups_df(adata, None)
    return {
        str(group): some["names"].head(max(N_MARKERS)).tolist() for group, some in table.groupby("group", observed=True)
    }


def by_markers(model: BioVerse) -> list[dict[str, Any]]:
    """Name groups by lists of their marker genes; count those that get their own label among the study's."""
    rows = []
    for name in MARKED:
        adata = labelled(name)
        if adata.X.max() > 30:
            sc.pp.normalize_total(adata, target_sum=1e4)
            sc.pp.log1p(adata)
        every = markers(adata, "cell_type", "wilcoxon")
        row: dict[str, Any] = {"study": name, "groups": len(every)}
        for n in N_MARKERS:
            lists = {group: names[:n] for group, names in every.items()}
            cells = as_cells(lists)
            row[f"{n} markers"] = int((called(cells, list(lists), model) == np.array(list(lists))).sum())
        rows.append(row)
    return rows


@contextlib.contextmanager
def other_markers() -> Iterator[None]:
    """Leave out of the marker table whatever the source names that has lists of the Landscape among others."""
    table = load_markers()
    kept = table[~table["sources"].str.contains("G")]
    cached = [one for one in vars(marker_tables).values() if hasattr(one, "cache_clear") and one.__name__ != "_load"]
    with mock.patch("scbioverse.knowledge.markers._load", return_value=kept):
        for one in cached:
            one.cache_clear()
        yield
    for one in cached:
        one.cache_clear()


def named(lists: dict[str, Any], n: int, model: BioVerse) -> dict[str, np.ndarray]:
    """Terms that the groups of each tissue are called, by their first `n` markers."""
    found = {}
    for name, some in lists.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            cells = as_cells({term: names[:n] for term, names in some.items()})
            sb.tl.annotate(cells, model=model, rationale=None)
        found[name] = cells.obs["bioverse_cl_id"].astype(str).to_numpy()
    return found


def related(found: dict[str, np.ndarray], lists: dict[str, Any]) -> float:
    """Share of the groups whose call is related to the expert's term."""
    pairs = [pair for name, calls in found.items() for pair in zip(calls, lists[name], strict=True)]
    return float(np.mean([kinship(*pair) != "other" for pair in pairs]))


def without_candidates(model: BioVerse, seed: int) -> list[dict[str, Any]]:
    """Share of groups whose name is related to the expert's term, no candidates given; and controls.

    Some lists of the marker tables come from the Landscape. What the model knows without them, and without all other
    genes that lists of the same source name, is one of the controls; the other is names dealt to other groups.
    """
    lists: dict[str, Any] = {}
    for name in landscape(model):
        adata = simulated(name, model, seed)
        adata = adata[adata.obs["cl_id"].astype(str).str.startswith("CL:")].copy()
        if adata.obs["cl_id"].nunique() < FEWEST_GROUPS:
            continue
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
        lists[name] = markers(adata, "cl_id", "t-test")
    rng, rows = np.random.default_rng(seed), []
    for n in N_MARKERS:
        found = named(lists, n, model)
        dealt = {name: rng.permutation(calls) for name, calls in found.items()}
        row: dict[str, Any] = {"markers": n, "tissues": len(lists), "groups": sum(map(len, lists.values()))}
        row |= {"related": related(found, lists), "dealt to other groups": related(dealt, lists)}
        with other_markers():
            row["no gene that lists of its source name"] = related(named(lists, n, model), lists) if n == ONCE else ""
        rows.append(row)
    return [{key: round(float(one), 4) if isinstance(one, float) else one for key, one in row.items()} for row in rows]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bioverse-small", help="name or folder of a model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    model = load(args.model)
    held: dict[str, Any] = {"model": model.name, "seed": args.seed, "cellverse": published_task(model, args.seed)}
    print(
        markdown(
            ["350 lists of 100 genes, 7 candidates", "accuracy"], [[r["who"], r["accuracy"]] for r in held["cellverse"]]
        )
    )
    held |= {"renamed": renamed(model), "shortened": shortened(model), "markers": by_markers(model)}
    held["without_candidates"] = without_candidates(model, args.seed)
    for part in ("renamed", "shortened", "markers", "without_candidates"):
        print("\n" + markdown(list(held[part][0]), [list(row.values()) for row in held[part]]))
    args.output.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten to {args.output}")


if __name__ == "__main__":
    main()
