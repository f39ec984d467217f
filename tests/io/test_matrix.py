from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import scbioverse as sb
from scbioverse.errors import InputError
from scbioverse.io import Cells, MatrixInfo, to_counts_like


def info_of(data: Any) -> MatrixInfo:
    """What the first pass finds, of an AnnData or of a bare matrix."""
    return Cells.of(data if isinstance(data, ad.AnnData) else ad.AnnData(data)).info


@pytest.fixture
def adata() -> ad.AnnData:
    return sb.datasets.toy_cells(n_obs=30, n_genes=60)


@pytest.mark.parametrize("wrap", [sp.csr_matrix, sp.csc_array, np.asarray], ids=["csr", "csc", "dense"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint16"])
def test_counts_are_counts_in_any_storage(adata: ad.AnnData, wrap: Any, dtype: str) -> None:
    info = info_of(wrap(adata.X.toarray().astype(dtype)))
    assert (info.n_obs, info.n_vars, info.scale, info.log_base) == (30, 60, "counts", None)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("wrap", [sp.csr_matrix, np.asarray], ids=["csr", "dense"])
def test_values_that_are_no_numbers_are_located(adata: ad.AnnData, wrap: Any, value: float) -> None:
    values = adata.X.toarray()
    values[7, 3] = value
    kind = "NaN" if np.isnan(value) else "infinite"
    with pytest.raises(InputError, match=rf"adata\.X has 1 {kind} values, the first in row 7, column 3"):
        info_of(wrap(values))


@pytest.mark.parametrize("wrap", [sp.csr_matrix, np.asarray], ids=["csr", "dense"])
def test_a_negative_value_is_located(adata: ad.AnnData, wrap: Any) -> None:
    values = adata.X.toarray()
    values[4, 5] = -2
    with pytest.raises(InputError, match=r"negative values \(-2 in row 4, column 5\)"):
        info_of(wrap(values))


def test_bad_value_in_a_later_block_is_located(monkeypatch: pytest.MonkeyPatch, adata: ad.AnnData) -> None:
    monkeypatch.setattr("scbioverse.io.cells._VALUES", 60 * 4)
    values = adata.X.toarray()
    values[23, 1] = np.nan
    with pytest.raises(InputError, match="row 23, column 1"):
        info_of(values)


def scaled(adata: ad.AnnData) -> ad.AnnData:
    values = adata.X.toarray()
    adata.X = (values - values.mean(axis=0)) / (values.std(axis=0) + 1e-6)
    return adata


def test_scaled_values_name_the_layers_that_may_hold_the_unscaled(adata: ad.AnnData) -> None:
    adata.layers["counts"] = adata.X.copy()
    adata.raw = adata
    with pytest.raises(InputError, match=r"looks scaled.*layer='counts' or layer='raw'"):
        info_of(scaled(adata))


def test_scaled_values_without_a_way_back_say_how_to_keep_one(adata: ad.AnnData) -> None:
    with pytest.raises(InputError, match=r"looks scaled.*adata\.raw = adata before"):
        info_of(scaled(adata))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_an_empty_matrix_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=f"is empty: {shape[0]} cells x {shape[1]} genes"):
        info_of(sp.csr_matrix(shape, dtype=np.float32))


def test_nothing_but_zeros_is_refused() -> None:
    with pytest.raises(InputError, match="nothing but zeros"):
        info_of(sp.csr_matrix((5, 6), dtype=np.float32))


@pytest.mark.parametrize("dtype", ["complex64", object, "U3"])
def test_what_holds_no_numbers_is_refused(dtype: Any) -> None:
    with pytest.raises(InputError, match="expected numbers"):
        info_of(np.ones((3, 4)).astype(dtype))


def test_one_cell_is_enough(adata: ad.AnnData) -> None:
    assert info_of(adata[:1]).n_obs == 1


def test_raw_and_backed_and_view_are_read(tmp_path: Path, adata: ad.AnnData) -> None:
    adata.raw = adata
    narrow = adata[:, :50].copy()
    assert Cells.of(narrow, "raw").info.n_vars == 60
    assert info_of(narrow[3:9]).n_obs == 6
    adata.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    try:
        assert info_of(backed) == info_of(adata)
    finally:
        backed.file.close()


def test_nothing_is_changed(adata: ad.AnnData) -> None:
    adata.X.data[0] = 0  # an explicit zero, which a careless check would drop
    before = adata.X.copy()
    info_of(adata)
    assert adata.X.nnz == before.nnz
    np.testing.assert_array_equal(adata.X.data, before.data)


@pytest.mark.parametrize("base", [math.e, 2.0, 10.0])
@pytest.mark.parametrize("wrap", [sp.csr_array, np.asarray], ids=["csr", "dense"])
def test_logs_are_undone(adata: ad.AnnData, base: float, wrap: Any) -> None:
    counts = adata.X.toarray()
    logs = (np.log1p(counts) / np.log(base)).astype(np.float32)
    back = to_counts_like(wrap(logs), MatrixInfo(30, 60, "log", base))
    np.testing.assert_allclose(back.toarray(), counts, rtol=1e-4)
    assert back.dtype == np.float32


def test_counts_stand_as_they_are(adata: ad.AnnData) -> None:
    back = to_counts_like(adata.X, MatrixInfo(30, 60, "counts"))
    assert (back != sp.csr_array(adata.X)).nnz == 0


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (MatrixInfo(1, 1, "counts", None, None, "whole numbers"), "linear values (counts) (whole numbers)"),
        (MatrixInfo(1, 1, "log", 2.0, 1e4, "x"), "log2 values, turned back to a linear scale, 10000 a cell (x)"),
        (MatrixInfo(1, 1, "log", math.e), "natural-log"),
    ],
)
def test_the_log_line_names_the_scale(info: MatrixInfo, words: str) -> None:
    assert words in info.describe()
