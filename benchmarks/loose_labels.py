"""What cells express whose call is not the published label: `python -m benchmarks.loose_labels`.

A call that a benchmark counts as wrong may be right: labels of a study were given to clusters. For some such
differences of the first call, the share of cells in which each of a few genes is found: among the cells in question,
and as controls among others of the same label and others that are called so.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

import scbioverse as sb
from benchmarks.unknown import read_study

NAIVE_CD4, MEMORY_CD4, CD4, CD8 = "CL:0000895", "CL:0000897", "CL:0000624", "CL:0000625"
MONOCYTE, MACROPHAGE, NEUTROPHIL = "CL:0000576", "CL:0000235", "CL:0000775"
# Study; label and call in question; label and call of each control; genes.
ASKED = (
    ("pbmc3k", (NAIVE_CD4, CD8), ((NAIVE_CD4, CD4), (CD8, CD8)), ("CD8A", "CD8B", "CD4", "CD40LG", "CCR7")),
    ("pbmc3k", (MEMORY_CD4, CD8), ((MEMORY_CD4, CD4), (CD8, CD8)), ("CD8A", "CD8B", "CD4", "CD40LG", "CCR7")),
    (
        "colorectal_scmetalink_2850_4047g",
        (MONOCYTE, NEUTROPHIL),
        ((MACROPHAGE, NEUTROPHIL), (MACROPHAGE, MACROPHAGE)),
        ("CXCR2", "CXCR1", "ALPL", "CTSS", "CTSB", "CSF1R"),
    ),
)


def main() -> None:
    """Command line."""
    sb.settings.progress = False
    warnings.simplefilter("ignore", UserWarning)
    model, held = sb.models.load("bioverse-small"), {}
    for study, asked, controls, genes in ASKED:
        if study not in held:
            held[study] = sb.tl.annotate(read_study(study, 3000, 0), model=model, rationale=None, copy=True)
        adata = held[study]
        truth, called = (adata.obs[one].astype(str).to_numpy() for one in ("cl_id", "bioverse_cl_id"))
        shown = pd.DataFrame(np.asarray(adata[:, list(genes)].X.todense()) > 0, columns=list(genes))
        rows = {}
        for label, call in (asked, *controls):
            chosen = (truth == label) & (called == call)
            rows[f"{label} called {call}"] = {"cells": int(chosen.sum())} | shown[chosen].mean().round(2).to_dict()
        print(f"{study}\n{pd.DataFrame(rows).T.to_string()}")


if __name__ == "__main__":
    main()
