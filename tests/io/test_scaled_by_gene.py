"""Values scaled gene by gene are refused, and real ones never are, however few cells or genes there are."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp

import scbioverse as sb


def logged() -> ad.AnnData:
    adata = sb.datasets.pbmc3k()[::3].copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    return adata


def parts(adata: ad.AnnData) -> dict[str, ad.AnnData]:
    order = np.argsort(-np.asarray(adata.X.sum(axis=0)).ravel(), kind="stable")
    return {
        "all": adata,
        "every third cell": adata[::3].copy(),
        "219 genes": adata[:, np.sort(order[:219])].copy(),
        "every 60th gene": adata[:, ::60].copy(),
    }


@pytest.mark.parametrize("max_value", [None, 10])
def test_scaled_genes_are_refused_in_every_part(max_value):
    adata = logged()
    sc.pp.scale(adata, zero_center=False, max_value=max_value)
    for part in parts(adata).values():
        for X in (part.X, sp.csc_matrix(part.X), part.X.toarray()):
            other = part.copy()
            other.X = X
            with pytest.raises(sb.errors.InputError, match="scaled gene by gene"):
                sb.pp.check_cells(other)


def test_genes_scaled_to_a_largest_value_of_one_are_refused():
    adata = logged()
    adata.X = sp.csr_matrix(adata.X.multiply(1 / np.maximum(adata.X.max(axis=0).toarray().ravel(), 1e-9)))
    for part in parts(adata).values():
        with pytest.raises(sb.errors.InputError, match="largest value"):
            sb.pp.check_cells(part)


@pytest.mark.parametrize("kind", ["log", "normalised", "counts"])
def test_real_values_are_read_in_every_part(kind):
    adata = logged()
    if kind == "counts":
        adata = sb.datasets.pbmc3k()[::3].copy()
    elif kind == "normalised":
        adata.X.data = np.expm1(adata.X.data)
    few = {f"{n} cells": adata[:n].copy() for n in (2, 5, 12, 30)}
    for name, part in (parts(adata) | few).items():
        assert sb.pp.check_cells(part, min_genes=50)["n_obs"] == part.n_obs, name
