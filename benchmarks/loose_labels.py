"""What cells express whose call is not the published label: `python -m benchmarks.loose_labels`.

A call that a benchmark counts as wrong may be right: labels of a study were given to clusters. For some such
differences of the first call, the share of cells in which each of a few genes is found: among the cells in question,
and as controls among others of the same label and others that are called so.

Which labels of single cells their genes speak against is said once, by label and genes alone, whatever the call
(:data:`LOOSE`): `benchmarks.first_call` shows its figures with these cells and without.
"""

from __future__ import annotations

import warnings
from typing import Any

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
VASCULAR_MUSCLE, NK, DENDRITIC, PROGENITOR = "CL:0000359", "CL:0000623", "CL:0000451", "CL:0000037"
# Labels; genes of which a cell shows at least one; genes of which it shows all; genes of which it shows none. Labels of
# clusters hold other cells: naive CD8 T cells among naive CD4 T cells, fibroblasts among the muscle cells of vessels
# (the study's own note), B cells and T cells among others, neutrophils without genes of monocytes. A gate by surface
# CD4 and CD8 takes MAIT cells for CD8 T cells. Of the cells sorted by CD34, 45 % had it (Zheng 2017).
CD8_AMONG_CD4 = ((NAIVE_CD4, MEMORY_CD4, CD4), ("CD8A", "CD8B"), (), ("CD4", "CD40LG"))
MAIT = ((CD4, CD8), ("SLC4A10", "NCR3", "LTK"), ("KLRB1", "GZMK", "IL7R"), ())
LOOSE: dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...]] = {
    "pbmc3k": (CD8_AMONG_CD4,),
    "pbmc_symphony_1200_1767g": (CD8_AMONG_CD4,),
    "kang_ifnb_pbmc": (CD8_AMONG_CD4,),
    "citeseq_pbmc10k_4000g": (MAIT,),
    "colorectal_scmetalink_2850_4047g": (((MONOCYTE,), (), (), ("CTSB", "CSF1R")),),
    "lymphoid_organs_330": (
        ((VASCULAR_MUSCLE,), ("DCN", "PDGFRA"), (), ("MYH11",)),
        ((NK,), (), ("CD3D", "CD3E"), ()),
        ((DENDRITIC, MONOCYTE, MACROPHAGE), ("MS4A1",), ("CD79A",), ("LYZ",)),
    ),
    "pbmc_facs_zheng": (
        ((PROGENITOR,), ("S100A8",), ("CST3", "LYZ"), ("CD34", "SPINK2")),
        ((PROGENITOR,), ("CD79A",), ("HLA-DRA",), ("CD34", "SPINK2", "VPREB1")),
    ),
}


def loose(study: str, adata: Any) -> np.ndarray:
    """Cells whose genes speak against their label, bool (n,), by the term in `obs["cl_id"]`."""
    labels, out = adata.obs["cl_id"].astype(str).to_numpy(), np.zeros(adata.n_obs, dtype=bool)

    def shown(genes: tuple[str, ...]) -> np.ndarray:
        held = [one for one in genes if one in adata.var_names]
        return np.asarray((adata[:, held].X > 0).todense())

    for of, some, every, none in LOOSE.get(study, ()):
        here = np.isin(labels, of) & shown(every).all(axis=1) & ~shown(none).any(axis=1)
        out |= here & (shown(some).any(axis=1) if some else True)
    return out


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
