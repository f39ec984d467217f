"""The whole line on real cells: counts to labels, reasons and pictures, measured against the experts.

    python demo/run.py [MODEL]        # or: make demo

Reads the 2,700 blood cells in the wheel, which no shipped weights were trained on. Prints one table and leaves
pbmc3k_annotated.h5ad, alignment_umap.png and annotation_umap.png beside this file.
"""

from __future__ import annotations

import logging
import re
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.metrics import accuracy_score, f1_score

import scbioverse as sb

HERE = Path(__file__).parent
MODEL = sys.argv[1] if len(sys.argv) > 1 else "bioverse-small"
N_SHUFFLED = 900
CITED = re.compile(r"([A-Z0-9][\w.-]+) \([<>]?\d+ %")  # a gene, then the share of cells that express it
seconds: dict[str, float] = {}


@contextmanager
def timed(step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - start


def main() -> None:
    mpl.use("Agg")
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    logging.getLogger("scbioverse").setLevel(logging.INFO)

    adata = sb.datasets.pbmc3k()
    expert = adata.obs["cell_type"].astype(str)
    known = (expert != "unassigned").to_numpy()
    names = [name for name in adata.obs["cell_type"].cat.categories if name != "unassigned"]

    with timed("load the model"):
        model = sb.models.load(MODEL)
        _ = model.backbone
    with timed("embed"):
        sb.tl.embed(adata, model=model)
    with timed("annotate"):
        sb.tl.annotate(adata, model=model, labels=names)
    logging.getLogger("scbioverse").setLevel(logging.WARNING)  # the rest would say the same again
    with timed("score every cell"):
        every = adata.copy()
        sb.tl.annotate(every, model=model, labels=names, method="score", rationale=None)
    with timed("score, shuffled"):
        shuffled = shuffle(adata, model, names)
    with timed("pictures"):
        pictures(adata, model)
    with timed("write"):
        adata.write_h5ad(HERE / "pbmc3k_annotated.h5ad", compression="gzip")

    label = adata.obs["bioverse_label"].astype(str)
    print(f"\n{table(adata, expert, label).to_string(index=False, justify='left')}\n")
    report("annotate", expert[known], label[known], names)
    report("score", expert[known], every.obs["bioverse_label"].astype(str)[known], names)
    control = [name for name in shuffled.index if expert[name] != "unassigned"]
    report("shuffled", expert[control], shuffled[control], names)
    shares = [part[control].value_counts(normalize=True) for part in (expert, shuffled)]
    print(
        f"{'by chance':<12}accuracy {shares[0].mul(shares[1], fill_value=0).sum():.3f}   (shares of labels multiplied)"
    )
    print(f"\n{model.name} with {model.config.llm.name}; {known.sum()} of {adata.n_obs} cells have an expert label\n")
    for step, spent in seconds.items():
        rate = f"   {adata.n_obs / spent:,.0f} cells/s" if step in ("embed", "annotate", "score every cell") else ""
        print(f"{step:<20}{spent:6.1f} s{rate}")
    # Linux counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform != "darwin" else 2**30)
    print(f"{'all':<20}{sum(seconds.values()):6.1f} s   peak memory {peak:.2f} GiB\n")
    for name in ("pbmc3k_annotated.h5ad", "alignment_umap.png", "annotation_umap.png"):
        print(f"{HERE.name}/{name}")


def shuffle(adata: AnnData, model: sb.models.BioVerse, names: list[str]) -> pd.Series:
    """Label some cells by embedding and counts of another one: what is right now is right by chance."""
    generator = np.random.default_rng(0)
    rows = np.sort(generator.choice(adata.n_obs, min(N_SHUFFLED, adata.n_obs), replace=False))
    other = generator.permutation(rows)
    control = AnnData(
        adata.X[other],
        obs=adata.obs.iloc[rows][[]].copy(),
        var=adata.var[[]].copy(),
        uns={"bioverse": adata.uns["bioverse"]},
    )
    control.obsm["X_bioverse"] = adata.obsm["X_bioverse"][other]
    sb.tl.annotate(control, model=model, labels=names, method="score")
    return control.obs["bioverse_label"].astype(str)


def table(adata: AnnData, expert: pd.Series, label: pd.Series) -> pd.DataFrame:
    """One row a label, largest first."""
    rows = []
    for name in label.value_counts().index:
        cells = (label == name).to_numpy()
        theirs = (expert == name).to_numpy()
        rationale = str(adata.obs["bioverse_rationale"].iloc[int(np.flatnonzero(cells)[0])])
        rows.append(
            {
                "label": name,
                "cells": int(cells.sum()),
                "confidence": f"{adata.obs['bioverse_confidence'].to_numpy()[cells].mean():.2f}",
                "expert": int(theirs.sum()),
                "accuracy": f"{(cells & theirs).sum() / max(theirs.sum(), 1):.2f}",
                "genes cited": ", ".join(CITED.findall(rationale)[:4]) or "none",
            }
        )
    found = pd.DataFrame(rows)
    for text in ("label", "genes cited"):  # pandas would set text to the right
        found[text] = found[text].str.ljust(found[text].str.len().max())
    return found


def report(what: str, expert: pd.Series, label: pd.Series, names: list[str]) -> None:
    macro = f1_score(expert, label, labels=names, average="macro", zero_division=0)
    print(f"{what:<12}accuracy {accuracy_score(expert, label):.3f}   macro-F1 {macro:.3f}")


def pictures(adata: AnnData, model: sb.models.BioVerse) -> None:
    figure = sb.pl.alignment_umap(adata, model=model, label_key="cell_type", return_fig=True)
    figure.savefig(HERE / "alignment_umap.png", dpi=150, bbox_inches="tight", facecolor="white")
    figure = sb.pl.annotation_umap(adata, return_fig=True)
    figure.savefig(HERE / "annotation_umap.png", dpi=150, bbox_inches="tight", facecolor="white")


if __name__ == "__main__":
    main()
