"""Slots and records of the user's own, results that went stale, and MuData without the part that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np

import scbioverse as sb

from . import Given, case
from ._inputs import blood

RECORDS, STALE, MUDATA = "Records and slots", "Results that no longer fit", "MuData"
QUICK: dict[str, Any] = {"method": "nearest", "rationale": None, "markers": False}
LABELS = ["B cell", "T cell", "NK cell", "monocyte", "platelet", "dendritic cell"]


# ------------------------------------------------------------------ records and slots


@case(
    RECORDS,
    "uns['bioverse'] holds something of the user's",
    "sb.tl.embed(adata)",
    says=["adata.uns['bioverse'] is a str", "adata.uns.pop('bioverse')"],
)
def uns_is_no_mapping(at: Path) -> Given:
    adata = blood()
    adata.uns["bioverse"] = "my notes"
    return Given(lambda: sb.tl.embed(adata), {"adata": adata})


@case(
    RECORDS,
    "uns['bioverse'] is a list",
    "sb.tl.annotate(adata)",
    says=["adata.uns['bioverse'] is a list", "adata.uns.pop('bioverse')"],
)
def uns_is_a_list(at: Path) -> Given:
    adata = blood()
    adata.uns["bioverse"] = ["a", "b"]
    return Given(lambda: sb.tl.annotate(adata), {"adata": adata})


@case(
    RECORDS,
    "uns['bioverse'] is an array, and there is a column of cell types",
    "sb.tl.align(adata, text_key='cell_type')",
    says=["adata.uns['bioverse'] is a ndarray"],
)
def uns_is_an_array(at: Path) -> Given:
    adata = blood()
    adata.uns["bioverse"] = np.arange(3)
    return Given(lambda: sb.tl.align(adata, text_key="cell_type"), {"adata": adata})


@case(
    RECORDS,
    "a record in uns['bioverse'] was edited by hand and is no JSON any more",
    "sb.get.records(adata)",
    says=["adata.uns['bioverse']['annotate'] is no record of scbioverse", "delete it"],
)
def record_is_no_json(at: Path) -> Given:
    adata = blood()
    adata.uns["bioverse"] = {"annotate": "{'labels': }"}
    return Given(lambda: sb.get.records(adata), {"adata": adata})


@case(
    RECORDS,
    "a record in uns['bioverse'] is a list",
    "sb.get.labels(adata)",
    says=["adata.uns['bioverse']['annotate'] is no record of scbioverse", "list"],
)
def record_is_a_list(at: Path) -> Given:
    adata = blood()
    adata.obs["bioverse_label"] = "B cell"
    adata.uns["bioverse"] = {"annotate": "[1, 2]"}
    return Given(lambda: sb.get.labels(adata), {"adata": adata})


@case(
    RECORDS,
    "a stem with a slash, which no file takes as a name",
    "sb.tl.embed(adata, key_added='run/1')",
    says=["key_added='run/1'", "letters, digits"],
)
def stem_with_a_slash(at: Path) -> Given:
    adata = blood()
    return Given(lambda: sb.tl.embed(adata, key_added="run/1"), {"adata": adata})


@case(
    RECORDS,
    "an empty stem",
    "sb.tl.annotate(adata, key_added='')",
    says=["key_added=''", "letters, digits"],
)
def empty_stem(at: Path) -> Given:
    adata = blood()
    return Given(lambda: sb.tl.annotate(adata, key_added=""), {"adata": adata})


@case(
    RECORDS,
    "a view, adata[rows], whose parent gets no results",
    "sb.tl.embed(adata[:50])",
    says=["adata is a view of another AnnData", ".copy()"],
    outcome="said",
)
def a_view(at: Path) -> Given:
    adata = blood()
    part = adata[:50]

    def check() -> None:
        assert not part.is_view
        assert part.obsm["X_bioverse"].shape == (50, 128)

    return Given(lambda: _loud(lambda: sb.tl.embed(part)), {"adata": adata}, check)


@case(
    RECORDS,
    "obsm['bioverse_scores'] was replaced by an array",
    "sb.get.scores(adata)",
    says=["adata.obsm['bioverse_scores'] is ndarray", "Annotate again"],
)
def scores_are_an_array(at: Path) -> Given:
    adata = blood()
    adata.obsm["bioverse_scores"] = np.zeros((adata.n_obs, 2))
    return Given(lambda: sb.get.scores(adata), {"adata": adata})


def _loud(call: Any) -> None:
    """Turn a warning of anndata's own class into one that the page shows."""
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    for one in caught:
        if issubclass(one.category, UserWarning):
            warnings.warn(str(one.message), UserWarning, stacklevel=2)


# ------------------------------------------------------------------ results that no longer fit


def _embedded() -> ad.AnnData:
    adata = blood()
    sb.tl.embed(adata)
    return adata


def _fresh(adata: ad.AnnData) -> np.ndarray:
    bare = ad.AnnData(adata.X.copy(), obs=adata.obs[[]].copy(), var=adata.var[[]].copy())
    sb.tl.embed(bare)
    return np.asarray(bare.obsm["X_bioverse"])


def _inputs(adata: ad.AnnData) -> dict[str, Any]:
    return {"adata.X": adata.X, "adata.var": adata.var}


def _made_anew(adata: ad.AnnData) -> Given:
    wanted = _fresh(adata)

    def check() -> None:
        np.testing.assert_allclose(adata.obsm["X_bioverse"], wanted, atol=1e-3)

    return Given(
        lambda: sb.tl.annotate(adata, labels=LABELS, **QUICK), {"adata.X": adata.X, "adata.var": adata.var}, check
    )


@case(
    STALE,
    "the rows of X were reversed after tl.embed",
    "sb.tl.annotate(adata)",
    says=["the data have changed since adata.obsm['X_bioverse'] was made from them: embedding anew"],
    outcome="said",
)
def rows_reversed_after_embedding(at: Path) -> Given:
    adata = _embedded()
    adata.X = adata.X[::-1].copy()
    return _made_anew(adata)


@case(
    STALE,
    "wrong gene names were put right after tl.embed",
    "sb.tl.annotate(adata)",
    says=["the data have changed since adata.obsm['X_bioverse'] was made from them: embedding anew"],
    outcome="said",
)
def names_corrected_after_embedding(at: Path) -> Given:
    adata = blood()
    right = list(adata.var_names)
    adata.var_names = np.random.default_rng(0).permutation(right)
    sb.tl.embed(adata)
    adata.var_names = right
    return _made_anew(adata)


@case(
    STALE,
    "an embedding made by a version that kept no digest",
    "sb.tl.annotate(adata)",
    says=["a record that does not say from which values it was made: embedding anew"],
    outcome="said",
)
def record_without_a_digest(at: Path) -> Given:
    import json

    adata = _embedded()
    record = json.loads(adata.uns["bioverse"]["embed"])
    del record["input_digest"]
    adata.uns["bioverse"]["embed"] = json.dumps(record)
    return _made_anew(adata)


@case(
    STALE,
    "counts were annotated, then scaled, then annotated again",
    "sb.tl.annotate(adata)",
    says=["negative values", "scaled"],
)
def scaled_after_embedding(at: Path) -> Given:
    adata = _embedded()
    X = adata.X.toarray()
    adata.X = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-3)
    return Given(lambda: sb.tl.annotate(adata, labels=LABELS, **QUICK), {"adata": adata})


def _annotated(**options: Any) -> ad.AnnData:
    import warnings

    adata = blood()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sb.tl.annotate(adata, labels=LABELS, **QUICK, **options)
    return adata


@case(
    STALE,
    "two annotated data sets were joined; uns is of the first",
    "sb.get.scores(adata)",
    says=["no scores of", "no longer sum to one", "annotate the joined data again"],
    outcome="said",
)
def joined_scores(at: Path) -> Given:
    one, other = _annotated(), _annotated()
    other.obsm["bioverse_scores"] = other.obsm["bioverse_scores"][LABELS[:4]]
    both = ad.concat([one, other], index_unique="-", uns_merge="first")
    return Given(lambda: sb.get.scores(both), {"adata": both})


@case(
    STALE,
    "annotated data were joined, which drops uns",
    "sb.get.groups(adata)",
    says=["their record in adata.uns is gone", "uns_merge='first'"],
)
def joined_without_records(at: Path) -> Given:
    one = _annotated(groupby="cell_type")
    both = ad.concat([one, one], index_unique="-")
    return Given(lambda: sb.get.groups(both), {"adata": both})


@case(
    STALE,
    "cells were left out after clusters were annotated",
    "sb.get.groups(adata)",
    says=["not as scbioverse.tl.annotate left them", "Annotate again"],
    outcome="said",
)
def cut_groups(at: Path) -> Given:
    part = _annotated(groupby="cell_type")[::2].copy()
    return Given(lambda: sb.get.groups(part), {"adata": part})


# ------------------------------------------------------------------ MuData


@case(
    MUDATA,
    "a MuData without a part for cells",
    "sb.tl.annotate(mdata)",
    says=["the MuData has no part for modality 'cell'", "mdata.mod[...]"],
)
def mudata_without_cells(at: Path) -> Given:
    mdata = _mudata("atac")
    return Given(lambda: sb.tl.annotate(mdata), {"mdata": mdata})


@case(
    MUDATA,
    "a MuData without a part for proteins",
    "sb.tl.ask(mdata, 'Which is the longest?', modality='protein')",
    says=["the MuData has no part for modality 'protein'", "mdata.mod[...]"],
)
def mudata_without_proteins(at: Path) -> Given:
    mdata = _mudata("rna")
    return Given(lambda: sb.tl.ask(mdata, "Which is the longest?", modality="protein"), {"mdata": mdata})


def _mudata(name: str) -> Any:
    import mudata

    mudata.set_options(pull_on_update=False)
    return mudata.MuData({name: blood()})
