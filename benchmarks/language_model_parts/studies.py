"""The studies that the language model is asked about: none was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

import scbioverse as sb
from scbioverse.errors import InputError
from scbioverse.knowledge.genes import harmonise

STUDIES = (
    "pbmc3k",
    "pbmc_symphony_1200_1767g",
    "pancreas_wang_501_219g_log",
    "colorectal_scmetalink_2850_4047g",
    "lymphoid_organs_330",
)
# Of these sources of the Accordion table our own marker table is made, or they say nothing about single types.
_OURS = {"CellMarker2.0", "PanglaoDB", "ASCT+B", "Celltypist_v2", "Azimuth", "MSigDB", "Sctyper.db"}


@dataclass
class Asked:
    """Labelled cells of one study.

    Attributes
    ----------
    adata
        The cells; counts.
    terms
        Cell Ontology ids of the study's labels.
    truth
        int (n,): which of them each cell is.
    """

    name: str
    adata: ad.AnnData
    terms: list[str]
    truth: np.ndarray


def found(name: str, file: str) -> Path:
    """Where a data set of the registry is, or one that lies in the cache folder only."""
    try:
        return sb.datasets.fetch(name)
    except InputError:
        return Path(sb.settings.cache_dir) / file


def read(name: str, most: int | None, seed: int) -> Asked:
    """Read a study's labelled cells: as many of each label, about `most` in all; all of them without `most`."""
    adata = ad.read_h5ad(found(name, f"cells/{name}.h5ad"))
    tables = [("label_to_cl", "knowledge"), ("label_to_cl_added", "cells")]
    rows = [pd.read_csv(found(one, f"cells/{one}.tsv"), sep="\t", dtype=str).fillna("") for one, _ in tables]
    named = {(one.dataset, one.label): one.cl_id for one in pd.concat(rows).itertuples()}
    ids = np.array([named.get((name, str(label)), "") for label in adata.obs["cell_type"]], dtype=object)
    terms = sorted(set(ids) - {""})
    rng, each = np.random.default_rng(seed), len(ids) if most is None else max(most // len(terms), 8)
    picked = [rng.permutation(np.flatnonzero(ids == term))[:each] for term in terms]
    at = np.sort(np.concatenate(picked))
    matrix = sparse.csr_matrix(adata.X[at]).astype(np.float32)
    if name.endswith("_log"):
        matrix.data = np.exp2(matrix.data) - 1
    genes = [new or old for old, new in zip(adata.var_names, harmonise(adata.var_names), strict=True)]
    part = ad.AnnData(matrix, var=pd.DataFrame(index=genes), obs=pd.DataFrame(index=[f"cell{i}" for i in at]))
    part.var_names_make_unique()
    return Asked(name, part, terms, np.array([terms.index(one) for one in ids[at]]))


def accordion() -> dict[str, set[str]]:
    """Markers by term from the sources of the Cell Marker Accordion that our own table is not made of."""
    table = pd.read_csv(
        found("markers_accordion_human", "knowledge/markers_accordion_human.tsv.gz"),
        sep="\t",
        usecols=["CL_ID", "marker", "marker_type", "resource"],
    )
    table = table[(table["marker_type"] == "positive") & ~table["resource"].isin(_OURS)]
    return table.groupby("CL_ID")["marker"].agg(set).to_dict()
