"""Rows found by words, against what experts say of them: `python -m benchmarks.retrieval [cells|molecules]`.

**Cells.** The queries of `retrieval_parts/cells.tsv`, written with the cell types that they mean before anything was
run, on studies that the models never trained on or that are new. A cell is right where its expert label is one of these
types or a kind of one, and is left out of account where its label is missing or says neither yes nor no: the two terms
have kinds in common, as "lymphocyte" and "T cell", or "CD8 T cell" and "memory T cell". Counted is the precision among
the first 30 cells that fit, or as many as there are right ones; `any_rank` asks for no fit. Beside it: the cosine of
the text space, which was the way before; the scores of `ours` dealt to the cells at random; the share of right cells.
Queries of the set `none` fit nothing: how many cells were returned.

**Molecules.** Words of drug classes against the Repurposing Hub (rows with a mechanism): every mechanism with ten or
more members, in the plural, and the words of `retrieval_parts/molecules.tsv`, written before anything was run. Counted
is the average precision over all drugs, by the model's phrase head, by the vote of the nearest training molecules, and
by both. Beside them: the cosine of the text space, the vote of the plain Tanimoto neighbours whose texts hold all words
as they stand, random order; and the same without drugs whose skeleton (first block of the InChIKey, of the largest
part) a training caption is of, be it as another salt, ion or stereoisomer.

Prints tables and writes a JSON file.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import scbioverse as sb
from benchmarks.retrieval_parts import molecules
from scbioverse.knowledge import load_ontology

if TYPE_CHECKING:
    from anndata import AnnData

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "retrieval.json"
QUERIES = HERE / "retrieval_parts" / "cells.tsv"
STUDIES = {
    "pbmc3k": "pbmc3k",
    "symphony": "pbmc_symphony_1200_1767g",
    "colorectal": "colorectal_scmetalink_2850_4047g",
    "lymphoid organs": "lymphoid_organs_330",
    "wang": "pancreas_wang_501_219g_log",
}
FIRST = 30


def queries() -> pd.DataFrame:
    """Read the queries with the types that they mean."""
    return pd.read_csv(QUERIES, sep="\t", dtype=str, keep_default_na=False)


def study(name: str) -> tuple[AnnData, pd.Series]:
    """Read a study, and the Cell Ontology id of each cell's expert label, `""` where there is none."""
    import anndata as ad

    folder = sb.settings.cache_dir / "cells"
    adata = ad.read_h5ad(folder / f"{name}.h5ad")
    maps = pd.concat(
        [
            pd.read_csv(folder / one, sep="\t", dtype=str).fillna("")
            for one in ("label_to_cl.tsv", "label_to_cl_added.tsv")
        ]
    )
    mine = maps[maps["dataset"] == name]
    return adata, adata.obs["cell_type"].astype(str).map(dict(zip(mine["label"], mine["cl_id"], strict=True))).fillna(
        ""
    )


def truth(ids: pd.Series, expected: str, excluded: str) -> np.ndarray:
    """1 for a right cell, 0 for a wrong one, NaN where the label does not say."""
    ontology = load_ontology()

    def shares(a: str, b: str) -> bool:
        return not {a, *ontology.descendants(a)}.isdisjoint((b, *ontology.descendants(b)))

    def of(cl_id: str) -> float:
        if not cl_id:
            return np.nan
        without, wanted = ([one for one in text.split("|") if one] for text in (excluded, expected))
        if any(ontology.is_within(cl_id, one) for one in without):
            return 0.0
        if any(shares(cl_id, one) for one in without):
            return np.nan
        if any(ontology.is_within(cl_id, one) for one in wanted):
            return 1.0
        return np.nan if any(shares(cl_id, one) for one in wanted) else 0.0

    return ids.map({one: of(one) for one in set(ids)}).to_numpy(dtype=float)


def precision(scores: np.ndarray, right: np.ndarray, *, fits: float | None = None) -> tuple[float, int]:
    """Share of right ones among the first of those whose label says it, and how many these are."""
    known = np.flatnonzero(np.isfinite(right) & np.isfinite(scores) & (scores >= (-np.inf if fits is None else fits)))
    first = known[np.argsort(-scores[known], kind="stable")][: min(FIRST, int(np.nansum(right)))]
    return (float(right[first].mean()) if first.size else 0.0), int(first.size)


def cells_measured(model: Any, seed: int) -> list[dict[str, Any]]:
    """Measure every query on every study that has cells of it, and the queries that fit nothing on all."""
    rng, table, rows = np.random.default_rng(seed), queries(), []
    for short, name in STUDIES.items():
        adata, ids = study(name)
        texts = list(table["query"])
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sb.tl.retrieve(adata, dict(zip(texts, texts, strict=True)), model=model, name="ours")
            seconds = time.perf_counter() - started
            sb.tl.retrieve(adata, dict(zip(texts, texts, strict=True)), model=model, name="cosine", scale="cosine")
        ours, cosine = (adata.obsm[f"bioverse_retrieve_{one}"].to_numpy() for one in ("ours", "cosine"))
        said = {one["name"]: one["meaning"] for one in sb.get.records(adata)["retrieve_ours"]["texts"]}
        for at, row in enumerate(table.itertuples()):
            found = {"study": short, "set": row.set, "query": row.query, "meaning": said[row.query]}
            fit = int((ours[:, at] >= 0.5).sum())
            if row.set == "none":
                rows.append(found | {"fit": fit, "scored": int(np.isfinite(ours[:, at]).sum())})
                continue
            if np.isnan(ours[:, at]).all():
                rows.append(found | {"fit": fit, "not_measured": True})
                continue
            found["by"] = "gene" if "express" in said[row.query] else "type"
            right = truth(ids, row.expected, row.excluded)
            share, n = float(np.nanmean(right)), int(np.nansum(right))
            if not 0 < share < 1:
                rows.append(found | {"fit": fit, "n_right": n})
                continue
            value, first = precision(ours[:, at], right, fits=0.5)
            rows.append(
                found
                | {"fit": fit, "n_right": n, "first": first, "precision": value, "share": share}
                | {"any_rank": precision(ours[:, at], right)[0], "cosine": precision(cosine[:, at], right)[0]}
                | {"shuffled": precision(rng.permutation(ours[:, at]), right)[0]}
            )
        print(f"{short}: {len(texts)} queries of {adata.n_obs} cells in {seconds:.1f} s")
    return rows


def cells_shown(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Print and return means."""
    table = pd.DataFrame(rows)
    asked = table[table["set"].isin(["docs", "more"]) & table["share"].notna()]
    keys = ["precision", "any_rank", "cosine", "shuffled", "share"]
    of_types = asked[asked["by"] == "type"]
    print(asked.groupby("query", sort=False)[keys].mean().round(2).to_string())
    print("\nbelow .9:")
    low = asked[asked["precision"] < 0.9]
    print(
        low[["study", "query", "precision", "first", "fit", "n_right", "any_rank", "cosine", "meaning"]].to_string(
            max_colwidth=60
        )
    )
    by_query = of_types.groupby("query")["precision"].mean()
    none = table[table["set"] == "none"]
    absent = table[table["set"].isin(["docs", "more"]) & table["share"].isna() & (table["n_right"] == 0)]
    found = {one: float(of_types[one].mean()) for one in keys} | {
        "query_and_study": len(of_types),
        "at_least_.9": int((of_types["precision"] >= 0.9).sum()),
        "precision_of_genes": float(asked[asked["by"] == "gene"]["precision"].mean()),
        "queries": int(by_query.size),
        "queries_at_least_.9": int((by_query >= 0.9).sum()),
        "none_queries": int(none["query"].nunique()),
        "none_that_returned_cells": int(none[none["fit"] > 0]["query"].nunique()),
        "none_that_were_scored": int(none[none["scored"] > 0]["query"].nunique()),
        "absent_types_mean_cells_returned": float(absent["fit"].mean()),
    }
    print(
        "\n"
        + "\n".join(
            f"{name}: {value:.3f}" if isinstance(value, float) else f"{name}: {value}" for name, value in found.items()
        )
    )
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["cells", "molecules"], help="what to measure")
    parser.add_argument("--model", default="bioverse-small")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-drugs", type=int, default=10_000, help="a random part of the drugs")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    model = sb.models.load(args.model)
    found = json.loads(args.output.read_text()) if args.output.is_file() else {}
    if "cells" in args.parts:
        rows = cells_measured(model, args.seed)
        found["cells"] = {"model": model.name, "seed": args.seed, "means": cells_shown(rows), "rows": rows}
    if "molecules" in args.parts:
        measured = molecules.measured(model, args.max_drugs, args.seed)
        found["molecules"] = {"model": model.name, "seed": args.seed, "means": molecules.shown(measured), **measured}
    args.output.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\nwritten to {args.output}")


if __name__ == "__main__":
    main()
