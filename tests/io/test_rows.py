from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scbioverse.errors import InputError, MissingKeyError
from scbioverse.io import gene_names, matrix_of, read_rows, row_blocks, row_source, var_of

DENSE = np.random.default_rng(0).poisson(0.7, (11, 6)).astype(np.float32)


def make(matrix: Any) -> ad.AnnData:
    var = pd.DataFrame({"symbol": list("ABCDEF")}, index=[f"g{i}" for i in range(6)])
    return ad.AnnData(matrix, obs=pd.DataFrame(index=[f"c{i}" for i in range(11)]), var=var)


def dense(block: Any) -> np.ndarray:
    return block.toarray() if sp.issparse(block) else block


class FakeDask:
    """As much of a dask array as is read: slicing, then `compute`."""

    def __init__(self, values: Any) -> None:
        self.values, self.shape = values, values.shape

    def __getitem__(self, rows: Any) -> FakeDask:
        return FakeDask(self.values[rows])

    def compute(self) -> Any:
        return self.values


@pytest.mark.parametrize("size", [1, 4, 11, 100])
def test_blocks_cover_each_row_once(size: int) -> None:
    blocks = list(row_blocks(DENSE, size))
    assert [i for block in blocks for i in range(block.start, block.stop)] == list(range(11))
    assert max(block.stop - block.start for block in blocks) <= size


def test_no_rows_give_no_blocks_and_size_zero_is_refused() -> None:
    assert list(row_blocks(DENSE[:0], 4)) == []
    with pytest.raises(InputError, match="at least one row"):
        list(row_blocks(DENSE, 0))


@pytest.mark.parametrize("rows", [slice(2, 7), slice(0, 0), np.array([9, 0, 3])], ids=["slice", "none", "positions"])
@pytest.mark.parametrize("columns", [None, [4, 0, 5], list(range(6))], ids=["all", "some", "every"])
@pytest.mark.parametrize("wrap", [np.array, sp.csr_matrix, sp.csr_array, sp.csc_matrix, FakeDask])
def test_rows_and_columns_are_those_asked_for(wrap: Any, columns: list[int] | None, rows: Any) -> None:
    expected = DENSE[rows] if columns is None else DENSE[rows][:, columns]
    found = read_rows(wrap(DENSE), rows, columns=columns)
    np.testing.assert_array_equal(dense(found), expected)
    if sp.issparse(found):
        assert isinstance(found, sp.csr_array)


@pytest.mark.parametrize("fmt", ["csr", "csc", "dense"])
@pytest.mark.parametrize("rows", [slice(3, 8), np.array([10, 2, 2])], ids=["slice", "positions"])
def test_backed_files_read_like_memory(tmp_path: Path, fmt: str, rows: Any) -> None:
    make(DENSE if fmt == "dense" else sp.csr_matrix(DENSE).asformat(fmt)).write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    try:
        np.testing.assert_array_equal(dense(read_rows(backed, rows)), DENSE[rows])
        view = backed[[9, 1, 4, 6]]
        np.testing.assert_array_equal(dense(read_rows(row_source(view), slice(1, 3))), DENSE[[1, 4]])
    finally:
        backed.file.close()


def test_real_dask_is_read_when_there() -> None:
    array = pytest.importorskip("dask.array")
    np.testing.assert_array_equal(read_rows(array.from_array(DENSE, chunks=3), slice(2, 7)), DENSE[2:7])


def test_view_reads_its_own_rows_and_stays_a_view() -> None:
    view = make(sp.csr_matrix(DENSE))[[7, 1, 5]]
    np.testing.assert_array_equal(dense(read_rows(view, slice(1, 3))), DENSE[[1, 5]])
    assert view.is_view


def test_duplicate_entries_are_summed_without_touching_the_source() -> None:
    twice = sp.csr_matrix((np.ones(3, np.float32), np.array([1, 1, 0]), np.array([0, 3])), shape=(1, 2))
    assert dense(read_rows(twice, slice(0, 1))).tolist() == [[1, 2]]
    assert twice.nnz == 3


def test_column_named_twice_is_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        read_rows(sp.csr_matrix(DENSE), slice(0, 2), columns=[1, 1])


def test_layers_and_raw_are_found() -> None:
    adata = make(DENSE)
    adata.layers["counts"] = DENSE + 1
    adata.raw = adata[:, :4].copy()
    np.testing.assert_array_equal(read_rows(adata, slice(0, 2), "counts"), DENSE[:2] + 1)
    np.testing.assert_array_equal(read_rows(adata, slice(0, 2), "raw"), DENSE[:2, :4])
    assert len(var_of(adata, "raw")) == 4
    assert gene_names(adata, layer="raw") == ["g0", "g1", "g2", "g3"]
    with pytest.raises(MissingKeyError, match=r"'lognorm'.*'counts'.*layer='raw'"):
        matrix_of(adata, "lognorm")


def test_absent_x_names_the_layers() -> None:
    adata = ad.AnnData(
        obs=pd.DataFrame(index=["a"]), var=pd.DataFrame(index=["g"]), layers={"raw_counts": DENSE[:1, :1]}
    )
    with pytest.raises(MissingKeyError, match="raw_counts"):
        matrix_of(adata)


def test_gene_names_from_a_column() -> None:
    adata = make(DENSE)
    assert gene_names(adata, key="symbol") == list("ABCDEF")
    with pytest.raises(MissingKeyError, match=r"'feature_name'.*symbol"):
        gene_names(adata, key="feature_name")


def test_only_column_storage_is_turned(tmp_path: Path) -> None:
    rows = make(sp.csr_matrix(DENSE))
    assert row_source(rows) is rows.X
    turned = row_source(make(sp.csc_matrix(DENSE)))
    assert turned.format == "csr"
    make(sp.csc_matrix(DENSE)).write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    try:
        np.testing.assert_array_equal(row_source(backed).toarray(), DENSE)
    finally:
        backed.file.close()
