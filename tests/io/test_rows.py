from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scbioverse.errors import MissingKeyError
from scbioverse.io import Source, gene_names, matrix_of, row_blocks, take_columns, var_of

DENSE = np.random.default_rng(0).poisson(0.7, (11, 6)).astype(np.float32)


def make(matrix: Any) -> ad.AnnData:
    var = pd.DataFrame({"symbol": list("ABCDEF")}, index=[f"g{i}" for i in range(6)])
    return ad.AnnData(matrix, obs=pd.DataFrame(index=[f"c{i}" for i in range(11)]), var=var)


class FakeDask:
    """As much of a dask array as is read: slicing, then `compute`."""

    def __init__(self, values: Any) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def __getitem__(self, rows: Any) -> FakeDask:
        return FakeDask(self.values[rows])

    def compute(self) -> Any:
        return self.values


@pytest.mark.parametrize("size", [1, 4, 11, 100])
def test_blocks_cover_each_row_once(size: int) -> None:
    blocks = list(row_blocks(DENSE, size))
    assert [i for block in blocks for i in range(block.start, block.stop)] == list(range(11))
    assert max(block.stop - block.start for block in blocks) <= size
    assert list(row_blocks(DENSE[:0], 4)) == []


@pytest.mark.parametrize(
    "wrap", [np.array, np.asfortranarray, sp.csr_array, FakeDask, lambda X: FakeDask(sp.csc_array(X))]
)
def test_rows_are_read_as_csr(wrap: Any) -> None:
    found = Source(wrap(DENSE)).read(2, 7)
    assert isinstance(found, sp.csr_array)
    np.testing.assert_array_equal(found.toarray(), DENSE[2:7])
    assert Source(wrap(DENSE)).read(3, 3).shape == (0, 6)


@pytest.mark.parametrize("columns", [[4, 0, 5], [1, 2], list(range(6))])
def test_columns_are_those_asked_for_in_their_order(columns: list[int]) -> None:
    found = take_columns(sp.csr_array(DENSE), np.array(columns))
    np.testing.assert_array_equal(found.toarray(), DENSE[:, columns])
    assert found.has_sorted_indices


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_backed_files_read_like_memory(tmp_path: Path, form: str) -> None:
    make(DENSE if form == "dense" else sp.csr_matrix(DENSE).asformat(form)).write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    try:
        np.testing.assert_array_equal(Source.of(backed, None).read(3, 8).toarray(), DENSE[3:8])
        view = backed[[1, 4, 6, 9]]
        np.testing.assert_array_equal(Source.of(view, None).read(1, 3).toarray(), DENSE[[4, 6]])
    finally:
        backed.file.close()


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_a_view_reads_its_own_rows_and_columns_and_stays_a_view(form: str) -> None:
    whole = make(DENSE if form == "dense" else sp.csr_matrix(DENSE).asformat(form))
    whole.raw = whole.copy()
    view = whole[[7, 1, 5]][:, ["g4", "g0"]]
    np.testing.assert_array_equal(Source.of(view, None).read(1, 3).toarray(), DENSE[[1, 5]][:, [4, 0]])
    np.testing.assert_array_equal(Source.of(view, "raw").read(0, 2).toarray(), DENSE[[7, 1]])
    assert view.is_view


def test_duplicate_entries_are_summed_without_touching_the_source() -> None:
    twice = sp.csr_matrix((np.ones(3, np.float32), np.array([1, 1, 0]), np.array([0, 3])), shape=(1, 2))
    assert Source.of(ad.AnnData(twice), None).read(0, 1).toarray().tolist() == [[1, 2]]
    assert twice.nnz == 3


def test_layers_and_raw_are_found() -> None:
    adata = make(DENSE)
    adata.layers["counts"] = DENSE + 1
    adata.raw = adata[:, :4].copy()
    np.testing.assert_array_equal(Source.of(adata, "counts").read(0, 2).toarray(), DENSE[:2] + 1)
    np.testing.assert_array_equal(Source.of(adata, "raw").read(0, 2).toarray(), DENSE[:2, :4])
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
