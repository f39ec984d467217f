"""Types of numbers and the structure of sparse matrices: read right, or refused."""

from __future__ import annotations

from functools import cache
from typing import Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import scbioverse as sb
from scbioverse.errors import InputError
from scbioverse.io import Source, layer_names
from tests._precision import tolerance

TYPES = ["f2", ">f4", ">f8", "f8", "i1", "u1", ">i4", "i8", "u8", "?", "g"]


def cells() -> ad.AnnData:
    adata = sb.datasets.pbmc3k()[::90].copy()
    adata.X.data = np.minimum(adata.X.data, 100)
    return adata


def stored(X: Any, dtype: str, form: str) -> Any:
    """A matrix whose values are of this type whatever scipy thinks of it."""
    if form == "dense":
        return X.toarray().astype(dtype)
    out = X.tocsr() if form == "csr" else X.tocsc()
    return type(out)((out.data.astype(dtype), out.indices, out.indptr), shape=out.shape)


@cache
def embedding(presence: bool) -> np.ndarray:
    adata = cells()
    if presence:
        adata.X.data[:] = 1
    sb.tl.embed(adata)
    return adata.obsm["X_bioverse"]


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_of_real_number_is_read_as_what_it_is(dtype, form):
    adata = cells()
    if dtype == "?":
        adata.X.data[:] = 1
    for layer in (None, "counts"):
        other = adata.copy()
        held = stored(adata.X, dtype, form)
        if layer is None:
            other.X = held
        else:
            other.layers[layer] = held
        sb.tl.embed(other, layer=layer)
        held = embedding(dtype == "?")
        # The same kernels may sum in another order where the memory of a copy is aligned otherwise.
        near = tolerance("float32", adata.n_vars, float(np.abs(held).max()))
        np.testing.assert_allclose(other.obsm["X_bioverse"], held, rtol=0, atol=near)
        assert sb.pp.check_cells(other, layer=layer)["scale"] == "counts"


@pytest.mark.parametrize("dtype", ["f2", ">f4"])
def test_a_view_of_such_a_matrix_is_read_too(dtype):
    adata = cells()
    other = adata.copy()
    other.X = stored(adata.X, dtype, "csr")
    part = other[::2, ::-1]
    found = Source.of(part, None).read(0, 5)
    np.testing.assert_array_equal(found.toarray(), adata[::2, ::-1].X[:5].toarray())


def test_counts_beyond_what_float32_holds_exactly_are_rounded_not_refused():
    adata, rounded = cells(), cells()
    adata.X = stored(adata.X, "i8", "csr")
    adata.X.data[:3] += 2**53 // 1000
    rounded.X = adata.X.astype(np.float32)
    for one in (adata, rounded):
        sb.tl.embed(one)
    near = tolerance("float32", adata.n_vars, float(np.abs(rounded.obsm["X_bioverse"]).max()))
    np.testing.assert_allclose(adata.obsm["X_bioverse"], rounded.obsm["X_bioverse"], rtol=0, atol=near)


def spoil(matrix: Any, how: str) -> None:
    if how == "negative index":
        matrix.indices[5] = -3
    elif how == "index too large":
        matrix.indices[5] = 10**6
    elif how == "backwards":
        matrix.indptr[3] = matrix.indptr[2] - 20
    elif how == "far":
        matrix.indptr[3] = 2**30
    elif how == "below zero":
        matrix.indptr[4] = -7
    elif how == "beyond the end":
        matrix.indptr[-1] += 1000
    elif how == "not from zero":
        matrix.indptr[0] = 5
    elif how == "values missing":
        matrix.data = matrix.data[:-100]


HOW = [
    "negative index", "index too large", "backwards", "far", "below zero", "beyond the end", "not from zero",
    "values missing",
]  # fmt: skip


def place(adata: ad.AnnData, matrix: Any, where: str) -> tuple[ad.AnnData, str | None]:
    if where in ("X", "view"):
        adata.X = matrix
        return (adata if where == "X" else adata[::2]), None
    if where == "layer":
        adata.layers["bad"] = matrix
        return adata, "bad"
    whole = adata.copy()
    whole.X = matrix
    adata.raw = whole
    return adata, "raw"


@pytest.mark.parametrize("form", ["csr", "csc"])
@pytest.mark.parametrize("where", ["X", "layer", "raw", "view"])
@pytest.mark.parametrize("how", HOW)
def test_a_damaged_matrix_is_refused_wherever_it_lies(how, where, form):
    adata = cells()
    matrix = getattr(adata.X, f"to{form}")().copy()
    spoil(matrix, how)
    adata, layer = place(adata, matrix, where)
    for verb in (sb.pp.check_cells, sb.tl.embed):
        with pytest.raises(sb.errors.InputError, match="damaged"):
            verb(adata, layer=layer)
    assert not adata.obsm


@pytest.mark.parametrize("form", ["csr", "csc"])
@pytest.mark.parametrize("how", HOW)
def test_a_damaged_file_is_refused_when_streamed(how, form, tmp_path):
    import h5py

    adata = cells()
    adata.X = getattr(adata.X, f"to{form}")()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    with h5py.File(tmp_path / "cells.h5ad", "r+") as file:
        parts = {name: file["X"][name][:] for name in ("data", "indices", "indptr")}
        held = sp.csr_matrix((1, 1))
        for name, part in parts.items():
            setattr(held, name, part)
        spoil(held, how)
        for name in parts:
            del file["X"][name]
            file["X"][name] = getattr(held, name)
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    try:
        with pytest.raises(sb.errors.InputError, match="damaged"):
            sb.tl.embed(backed)
    finally:
        backed.file.close()


class Newer(ad.AnnData):
    """As anndata 0.13 has it, for older ones: X is a layer too, under the key None."""

    @property
    def layers(self):
        return {None: self.X, **dict(super().layers.items())}


def newer() -> ad.AnnData:
    adata = cells()
    adata.layers["counts"] = adata.X.copy()
    adata.layers["a"] = adata.X.copy()
    if None not in adata.layers:
        adata.__class__ = Newer
    return adata


def test_layers_may_hold_x_under_none():
    adata = newer()
    assert None in adata.layers
    assert layer_names(adata) == ["a", "counts"]
    with pytest.raises(sb.errors.MissingKeyError, match=r"found: \['a', 'counts'\]"):
        sb.pp.check_cells(adata, layer="count")
    adata.X = adata.X.toarray() - 1
    with pytest.raises(sb.errors.InputError, match="layer='a' or layer='counts'"):
        sb.tl.embed(adata)
    adata.X = np.abs(adata.X) / 3 + np.linspace(0, 0.1, adata.n_vars)
    with pytest.warns(UserWarning, match="scale of adata.X was assumed, and layer 'a' has counts"):
        sb.pp.check_cells(adata)


@pytest.mark.parametrize("form", ["csr", "dense"])
def test_a_file_that_is_closed_while_it_is_read_is_named(form, tmp_path):
    held = cells()
    held.X = stored(held.X, "f4", form)
    path = tmp_path / "cells.h5ad"
    held.write_h5ad(path)
    adata = ad.read_h5ad(path, backed="r")
    source = Source.of(adata, None)
    assert source.read(0, 5).shape == (5, held.n_vars)
    adata.file.close()
    with pytest.raises(InputError, match=r"adata\.X was closed while it was read.*read_h5ad"):
        source.read(5, 10)


def test_a_file_that_is_closed_in_the_middle_of_a_call_leaves_the_data_as_they_were(tmp_path, monkeypatch):
    path = tmp_path / "cells.h5ad"
    cells().write_h5ad(path)
    adata = ad.read_h5ad(path, backed="r")
    read = Source._read

    def closing(self, start, stop):
        adata.file.close()
        return read(self, start, stop)

    monkeypatch.setattr(Source, "_read", closing)
    with pytest.raises(InputError, match="was closed while it was read"):
        sb.tl.embed(adata)
    assert not adata.obsm
    monkeypatch.undo()
    sb.tl.embed(adata)  # anndata opens the file again
    assert "X_bioverse" in adata.obsm


def test_a_matrix_of_chosen_genes_beside_raw_is_warned_of():
    whole = cells()
    narrow = whole[:, ::6].copy()
    narrow.raw = whole
    with pytest.warns(UserWarning, match=r"adata\.raw has \d+ of the genes, adata\.X only \d+: layer='raw'"):
        sb.tl.embed(narrow)
    sb.tl.embed(narrow, layer="raw")  # without a warning: these are errors in tests
