"""Columns of groups, texts and samples that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

import scbioverse as sb

from . import Given, case
from ._inputs import blood

GROUPS = "Groups"
QUICK: dict[str, Any] = {"method": "nearest", "rationale": None, "markers": False}
LABELS = ["B cell", "T cell", "NK cell", "monocyte", "platelet", "dendritic cell"]


def _grouped(adata: ad.AnnData, groupby: Any) -> Given:
    return Given(lambda: sb.tl.annotate(adata, labels=LABELS, groupby=groupby, **QUICK), {"adata": adata})


@case(
    GROUPS,
    "a list of columns to group by",
    "sb.tl.annotate(adata, groupby=['leiden', 'sample'])",
    says=["groupby takes the name of one column", "a list", "adata.obs['both']"],
)
def groupby_a_list(at: Path) -> Given:
    return _grouped(blood(), ["leiden", "sample"])


@case(
    GROUPS,
    "a column of lists to group by",
    "sb.tl.annotate(adata, groupby='clones')",
    says=["groupby='clones'", "values of type list", "one name a row", "' | '.join"],
)
def groupby_a_column_of_lists(at: Path) -> Given:
    adata = blood()
    adata.obs["clones"] = pd.Series([["a", "b"], ["a"]] * (adata.n_obs // 2), index=adata.obs_names)
    return _grouped(adata, "clones")


@case(
    GROUPS,
    "a column of lists as texts",
    "sb.tl.align(adata, text_key='types')",
    says=["text_key='types'", "values of type list", "one name a row"],
)
def texts_in_lists(at: Path) -> Given:
    adata = blood()
    adata.obs["types"] = pd.Series([["B cell"], ["T cell", "naive"]] * (adata.n_obs // 2), index=adata.obs_names)
    return Given(lambda: sb.tl.align(adata, text_key="types", steps=1), {"adata": adata})


@case(
    GROUPS,
    "a question about the groups of two columns",
    "sb.tl.ask(adata, 'How many cells are there?', groupby=['leiden', 'sample'])",
    says=["groupby takes the name of one column", "a list", "adata.obs['both']"],
)
def question_by_a_list(at: Path) -> Given:
    adata = blood()
    adata.obs["leiden"] = adata.obs["sample"] = "a"
    return Given(
        lambda: sb.tl.ask(adata, "How many cells are there?", groupby=["leiden", "sample"]),  # type: ignore[arg-type]
        {"adata": adata},
    )


@case(
    GROUPS,
    "a measurement to group by",
    "sb.tl.annotate(adata, groupby='pct_mito')",
    says=["groupby='pct_mito'", "100 different numbers", "not groups", "pandas.cut"],
)
def groupby_a_measurement(at: Path) -> Given:
    adata = blood()
    adata.obs["pct_mito"] = np.random.default_rng(0).random(adata.n_obs)
    return _grouped(adata, "pct_mito")


@case(
    GROUPS,
    "a count for each cell to group by",
    "sb.tl.annotate(adata, groupby='total_counts')",
    says=["groupby='total_counts'", "different numbers", "not groups"],
)
def groupby_counts(at: Path) -> Given:
    adata = blood()
    adata.obs["total_counts"] = np.asarray(adata.X.sum(axis=1)).ravel().astype(int)
    return _grouped(adata, "total_counts")


@case(
    GROUPS,
    "two columns of obs have the name to group by",
    "sb.tl.annotate(adata, groupby='leiden')",
    says=["adata.obs has 2 columns called 'leiden'"],
)
def groupby_a_repeated_name(at: Path) -> Given:
    adata = blood()
    twice = pd.DataFrame({"a": ["0"] * adata.n_obs, "b": ["1"] * adata.n_obs}, index=adata.obs_names)
    adata.obs = twice.set_axis(["leiden", "leiden"], axis=1)
    return _grouped(adata, "leiden")


@case(
    GROUPS,
    "a cluster of cells that are of several types",
    "sb.tl.annotate(adata, groupby='leiden')",
    says=["cells of 1 of 2 groups disagree", "'mixed'", "smaller groups"],
    outcome="said",
)
def groupby_mixed_clusters(at: Path) -> Given:
    adata = blood()
    adata.obs["leiden"] = np.where(adata.obs["cell_type"].isin(["B", "CD8 T", "CD14+ Mono"]), "mixed", "rest")
    return Given(
        lambda: sb.tl.annotate(adata, labels=LABELS, groupby="leiden", **QUICK),
        {"adata.X": adata.X, "adata.var": adata.var},
    )
