"""The digest of a matrix: what it must tell apart, and what it must not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from scbioverse.errors import InputError
from scbioverse.io import Cells, MatrixDigest, array_digest, texts_digest

if TYPE_CHECKING:
    from collections.abc import Callable

N, M = 37, 53


def digest_of(adata: ad.AnnData, layer: str | None = None, key: str | None = None) -> str:
    return Cells.of(adata, layer, key).info.digest


@pytest.fixture
def counts() -> ad.AnnData:
    """Counts with three quarters of zeros and one empty row."""
    rng = np.random.default_rng(0)
    values = rng.poisson(0.3, size=(N, M)).astype(np.float32)
    values[5] = 0
    adata = ad.AnnData(sp.csr_matrix(values))
    adata.var_names = [f"G{i}" for i in range(M)]
    adata.var["symbol"] = [f"S{i}" for i in range(M)]
    return adata


def stored(adata: ad.AnnData, matrix: Any) -> ad.AnnData:
    return ad.AnnData(matrix, obs=adata.obs.copy(), var=adata.var.copy())


def unsorted(matrix: Any) -> Any:
    """Return the same matrix with the entries of each row back to front."""
    out = matrix.copy()
    for row in range(out.shape[0]):
        span = slice(out.indptr[row], out.indptr[row + 1])
        out.indices[span], out.data[span] = out.indices[span][::-1].copy(), out.data[span][::-1].copy()
    return sp.csr_matrix((out.data, out.indices, out.indptr), shape=out.shape)


def repeated(matrix: Any) -> Any:
    """Return the same matrix with its last entry in two halves, and a zero that is stored."""
    coo = matrix.tocoo()
    data, rows, columns = coo.data.copy(), coo.row, coo.col
    half = data[-1] / 2
    data[-1] = half
    empty = (np.append(data, [half, 0]), (np.append(rows, [rows[-1], 5]), np.append(columns, [columns[-1], 3])))
    order = np.argsort(empty[1][0], kind="stable")
    starts = np.concatenate(([0], np.cumsum(np.bincount(empty[1][0], minlength=N))))
    return sp.csr_matrix((empty[0][order], empty[1][1][order], starts), shape=matrix.shape)


SAME: dict[str, Callable[[Any], Any]] = {
    "csc": lambda X: X.tocsc(),
    "csr array": lambda X: sp.csr_array(X),
    "dense": lambda X: X.toarray(),
    "dense by columns": lambda X: np.asfortranarray(X.toarray()),
    "float64": lambda X: X.astype(np.float64),
    "int64": lambda X: X.astype(np.int64),
    "uint8 dense": lambda X: X.toarray().astype(np.uint8),
    "big-endian": lambda X: X.toarray().astype(">f4"),
    "minus zero": lambda X: np.where(X.toarray() == 0, np.float32(-0.0), X.toarray()),
    "long indices": lambda X: sp.csr_matrix((X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), X.shape),
    "unsorted": unsorted,
    "repeated": repeated,
}


@pytest.mark.parametrize("form", list(SAME))
def test_one_digest_however_it_is_stored(counts: ad.AnnData, form: str) -> None:
    other = stored(counts, SAME[form](counts.X))
    assert digest_of(other) == digest_of(counts)


def test_one_digest_of_layer_raw_view_and_blocks(counts: ad.AnnData) -> None:
    wanted = digest_of(counts)
    counts.layers["counts"] = counts.X.copy()
    counts.raw = counts.copy()
    counts.X = counts.X * 2
    assert digest_of(counts) != wanted
    assert digest_of(counts, layer="counts") == digest_of(counts, layer="raw") == wanted
    assert digest_of(counts[:], layer="counts") == wanted
    found = MatrixDigest(list(counts.var_names))
    for span in (slice(0, 1), slice(1, 20), slice(20, N)):
        found.add(counts.layers["counts"][span])
    assert found.hexdigest() == wanted


@pytest.mark.filterwarnings("ignore:Writing zarr v2:UserWarning")
@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_one_digest_of_files(counts: ad.AnnData, tmp_path: Path, form: str) -> None:
    held = counts if form == "csr" else stored(counts, counts.X.tocsc() if form == "csc" else counts.X.toarray())
    held.write_h5ad(tmp_path / "a.h5ad", compression="gzip")
    held.write_zarr(tmp_path / "a.zarr")
    wanted = digest_of(counts)
    assert digest_of(ad.read_h5ad(tmp_path / "a.h5ad")) == digest_of(ad.read_zarr(tmp_path / "a.zarr")) == wanted
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    try:
        assert digest_of(backed) == wanted
    finally:
        backed.file.close()


def test_columns_may_move_with_their_names(counts: ad.AnnData) -> None:
    order = np.random.default_rng(1).permutation(M)
    assert digest_of(counts[:, order].copy()) == digest_of(counts)


def changed(name: str, adata: ad.AnnData) -> None:
    X = adata.X.toarray()
    if name == "one value":
        X[20, 7] += 1
    elif name == "rows reversed":
        X = X[::-1]
    elif name == "two rows swapped":
        X[[3, 4]] = X[[4, 3]]
    elif name == "downsampled":
        X = np.random.default_rng(2).binomial(X.astype(int), 0.5)
    elif name == "log":
        X = np.log1p(X)
    elif name == "scaled":
        X = X * np.linspace(0.5, 1.5, M)
    elif name == "doubled":
        X = X * 2
    elif name == "values of two genes swapped":
        X[:, [0, 1]] = X[:, [1, 0]]
    elif name == "names permuted":
        adata.var_names = [*adata.var_names[1:], adata.var_names[0]]
    elif name == "one name corrected":
        adata.var_names = ["new", *adata.var_names[1:]]
    adata.X = sp.csr_matrix(X.astype(np.float32))


@pytest.mark.parametrize(
    "name",
    [
        "one value", "rows reversed", "two rows swapped", "downsampled", "log", "scaled", "doubled",
        "values of two genes swapped", "names permuted", "one name corrected",
    ],
)  # fmt: skip
def test_a_change_is_another_digest(counts: ad.AnnData, name: str) -> None:
    before = digest_of(counts)
    changed(name, counts)
    assert digest_of(counts) != before


def test_other_genes_rows_and_names_are_another_digest(counts: ad.AnnData) -> None:
    silent = counts.copy()
    X = silent.X.toarray()
    X[:, 9] = 0
    silent.X = sp.csr_matrix(X)
    cut = silent[:, np.arange(M) != 9].copy()  # a gene that no cell expresses is still a gene that was measured
    found = [counts, silent, cut, counts[:-1].copy(), counts[np.arange(N)[::-1]].copy()]
    assert len({digest_of(one) for one in found} | {digest_of(counts, key="symbol")}) == len(found) + 1


def test_names_that_are_no_text_have_a_digest(counts: ad.AnnData) -> None:
    counts.var["name"] = ["\ud800", *counts.var_names[1:]]
    assert digest_of(counts, key="name") != digest_of(counts)


def test_repeated_names_are_told_apart(counts: ad.AnnData) -> None:
    counts.var_names = ["A", "A", *counts.var_names[2:]]
    before = digest_of(counts)
    changed("values of two genes swapped", counts)
    assert digest_of(counts) != before


@pytest.mark.parametrize("what", ["indices", "negative", "indptr"])
def test_positions_outside_of_the_matrix_are_refused(counts: ad.AnnData, what: str) -> None:
    if what == "indptr":
        counts.X.indptr[4] = 10_000_000
    else:
        counts.X.indices[4] = -1 if what == "negative" else 10_000_000
    with pytest.raises(InputError, match="damaged"):
        digest_of(counts)


def test_digests_of_arrays_and_texts() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert array_digest(values) == array_digest(np.asfortranarray(values.astype(np.float64)))
    assert len({array_digest(one) for one in (values, values[::-1], values.reshape(3, 2), values + 1)}) == 4
    codes = np.array([0, 1, -1, 0])
    found = {
        texts_digest(["ab", "c"], codes),
        texts_digest(["a", "bc"], codes),
        texts_digest(["ab", "c"], codes[::-1]),
        texts_digest(["ab", "\ud800"], codes),
    }
    assert len(found) == 4
