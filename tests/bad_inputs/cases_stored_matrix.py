"""Matrices that are damaged, of the wrong type, or scaled gene by gene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import scipy.sparse as sp

import scbioverse as sb

from . import Given, case
from ._inputs import blood

AREA = "Expression matrices"


def spoilt(form: str = "csr") -> Any:
    return sp.csr_matrix(blood().X) if form == "csr" else sp.csc_matrix(blood().X)


def scaled(**options: Any) -> ad.AnnData:
    import scanpy as sc

    adata = blood()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.scale(adata, zero_center=False, **options)
    return adata


@case(AREA, "a negative column index", "sb.tl.embed(adata)", says=["damaged", "column index -3"])
def negative_index(at: Path) -> Given:
    adata = blood()
    adata.X = spoilt()
    adata.X.indices[7] = -3
    return Given(lambda: sb.tl.embed(adata), {"adata": adata})


@case(
    AREA, "a row index beyond the rows, in a layer stored by columns", "sb.tl.embed(adata, layer='counts')",
    says=["layer 'counts'", "damaged", "row index 100000"],
)  # fmt: skip
def index_too_large(at: Path) -> Given:
    adata = blood()
    adata.layers["counts"] = spoilt("csc")
    adata.layers["counts"].indices[7] = 100_000
    return Given(lambda: sb.tl.embed(adata, layer="counts"), {"adata": adata})


@case(AREA, "row pointers that go backwards", "sb.tl.embed(adata)", says=["damaged", "row pointers (indptr)", "rise"])
def pointers_backwards(at: Path) -> Given:
    adata = blood()
    adata.X = spoilt()
    adata.X.indptr[3] = adata.X.indptr[2] - 50
    return Given(lambda: sb.tl.embed(adata), {"X": adata.X.indptr, "obs": adata.obs})


@case(
    AREA, "row pointers beyond the values, in a view", "sb.pp.check_cells(adata[::2])",
    says=["damaged", "row pointers (indptr)", "at most"],
)  # fmt: skip
def pointers_beyond(at: Path) -> Given:
    adata = blood()
    adata.X = spoilt()
    adata.X.indptr[-1] += 1000
    return Given(lambda: sb.pp.check_cells(adata[::2]), {"X": adata.X.indptr, "obs": adata.obs})


@case(
    AREA, "fewer values than indices, in `raw`", "sb.pp.check_cells(adata, layer='raw')",
    says=["damaged", "values (data) beside"],
)  # fmt: skip
def values_missing(at: Path) -> Given:
    whole, adata = blood(), blood()
    whole.X = spoilt()
    whole.X.data = whole.X.data[:-100]
    adata.raw = whole
    return Given(lambda: sb.pp.check_cells(adata, layer="raw"), {"X": adata.X, "obs": adata.obs})


@case(
    AREA, "a backed file whose row pointers do not begin with 0", "sb.tl.embed(ad.read_h5ad(file, backed='r'))",
    says=["damaged", "rise from 0"],
)  # fmt: skip
def backed_and_damaged(at: Path) -> Given:
    blood().write_h5ad(at / "cells.h5ad")
    with h5py.File(at / "cells.h5ad", "r+") as file:
        file["X/indptr"][0] = 5

    def run() -> None:
        adata = ad.read_h5ad(at / "cells.h5ad", backed="r")
        try:
            sb.tl.embed(adata)
        finally:
            adata.file.close()

    return Given(run, {"cells.h5ad": at / "cells.h5ad"})


@case(AREA, "genes scaled, not centred", "sb.tl.embed(adata)", says=["scaled gene by gene", "layer='counts'"])
def scaled_by_gene(at: Path) -> Given:
    adata = scaled()
    adata.layers["counts"] = blood().X
    return Given(lambda: sb.tl.embed(adata), {"adata": adata})


@case(
    AREA, "genes scaled and cut at 10, not centred", "sb.pp.check_cells(adata)",
    says=["scaled gene by gene", "before scanpy.pp.scale"],
)  # fmt: skip
def scaled_by_gene_and_cut(at: Path) -> Given:
    adata = scaled(max_value=10)
    return Given(lambda: sb.pp.check_cells(adata), {"adata": adata})


@case(AREA, "each gene divided by its largest value", "sb.tl.embed(adata)", says=["largest value", "gene by gene"])
def divided_by_the_largest(at: Path) -> Given:
    adata = blood()
    X = adata.X.toarray()
    adata.X = sp.csr_matrix(X / np.maximum(X.max(axis=0), 1) * np.float32(1))
    adata.X.data[0] *= np.float32(0.999)
    return Given(lambda: sb.tl.embed(adata), {"adata": adata})


@case(AREA, "complex numbers", "sb.pp.check_cells(adata)", says=["complex64", "expected numbers"])
def complex_numbers(at: Path) -> Given:
    adata = blood()
    adata.X = adata.X.astype(np.complex64)
    return Given(lambda: sb.pp.check_cells(adata), {"adata": adata})


@case(AREA, "numbers kept as Python objects", "sb.tl.embed(adata)", says=["type object", ".astype('float32')"])
def python_objects(at: Path) -> Given:
    adata = blood()[:, :2000].copy()
    adata.X = adata.X.toarray().astype(object)
    return Given(lambda: sb.tl.embed(adata), {"obs": adata.obs, "var": adata.var})


@case(
    AREA, "X holds the variable genes only, while `raw` holds all", "sb.pp.check_cells(adata)",
    says=["adata.raw has", "layer='raw' would serve better"], outcome="said",
)  # fmt: skip
def raw_holds_more(at: Path) -> Given:
    import scanpy as sc

    whole = blood()
    sc.pp.normalize_total(whole, target_sum=1e4)
    sc.pp.log1p(whole)
    adata = whole[:, ::8].copy()
    adata.raw = whole
    return Given(lambda: sb.pp.check_cells(adata), {"adata": adata})


@case(AREA, "square roots of counts", "sb.tl.embed(adata)", says=["adata.X holds square roots", "adata.X.power(2)"])
def square_roots_of_counts(at: Path) -> Given:
    adata = blood()
    adata.X = sp.csr_matrix(adata.X).sqrt()
    return Given(lambda: sb.tl.embed(adata), {"adata": adata})


@case(
    AREA, "counts in half of the cells and logarithms in the other", "sb.tl.embed(adata)",
    says=["two scales: about 50% of its cells hold whole numbers", "joining the counts"],
)  # fmt: skip
def two_scales(at: Path) -> Given:
    adata = blood()
    values = adata.X.toarray().astype(np.float32)
    values[1::2] = np.log1p(1e4 * values[1::2] / values[1::2].sum(axis=1, keepdims=True))
    adata.X = sp.csr_matrix(values)
    return Given(lambda: sb.tl.embed(adata), {"adata": adata})


@case(AREA, "logarithms taken twice", "sb.tl.embed(adata)", says=["logarithms of logarithms", "numpy.expm1"])
def logarithms_twice(at: Path) -> Given:
    adata = blood()
    adata.X = sp.csr_matrix(adata.X).log1p().log1p()
    return Given(lambda: sb.tl.embed(adata), {"adata": adata})


@case(AREA, "ranks of the genes in each cell", "sb.tl.embed(adata)", says=["adata.X has no zeros", "ranking", "counts"])
def ranks_in_place_of_values(at: Path) -> Given:
    from scipy.stats import rankdata

    adata = blood()
    adata.X = rankdata(adata.X.toarray(), axis=1).astype(np.float32)
    return Given(lambda: sb.tl.embed(adata), {"adata": adata})
