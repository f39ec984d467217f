"""Cells are the same however they are stored, and what is stored in a file is read no more often than it must be."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import scbioverse as sb
from scbioverse.errors import InputError, MissingKeyError
from scbioverse.io import Cells

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STORED = [
    "csr", "csc", "dense", "view", "backed csr", "backed csc", "backed dense", "backed view", "zarr", "dask", "raw",
]  # fmt: skip
SYMBOLS = ["CD3D", "MS4A1", "NKG7", "LYZ", "GNLY", "CST3"]


@pytest.fixture(scope="module")
def whole() -> ad.AnnData:
    return sb.datasets.pbmc3k()[::30].copy()


@contextmanager
def stored(adata: ad.AnnData, how: str, folder: Path) -> Iterator[Cells]:
    """The same cells, stored in another way."""
    adata, layer, file = adata.copy(), None, folder / "cells.h5ad"
    form = how.split()[-1]
    if form in ("csc", "dense"):
        adata.X = adata.X.tocsc() if form == "csc" else adata.X.toarray()
    if how == "view":
        adata = ad.concat([adata, adata])[: adata.n_obs]
    elif how == "raw":
        adata.raw, layer = adata.copy(), "raw"
        adata = adata[:, :50].copy()
    elif how == "zarr":
        adata.write_zarr(folder / "cells.zarr")
        adata = ad.read_zarr(folder / "cells.zarr")
    elif how == "dask":
        array = pytest.importorskip("dask.array")
        adata.X = array.from_array(adata.X.toarray(), chunks=(7, 5000))
    elif how.startswith("backed"):
        adata.write_h5ad(file)
        adata = ad.read_h5ad(file, backed="r")
        yield Cells.of(adata[:] if form == "view" else adata)
        adata.file.close()
        return
    yield Cells.of(adata, layer)


@pytest.mark.filterwarnings("ignore:Writing zarr v2:UserWarning")
@pytest.mark.filterwarnings("ignore:Observation names are not unique")
@pytest.mark.parametrize("how", STORED)
def test_storage_changes_nothing(whole: ad.AnnData, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, dense = Cells.of(whole), whole.X.toarray()
    monkeypatch.setattr("scbioverse.io.cells._ROWS", 8)
    with stored(whole, how, tmp_path) as cells:
        assert cells.info == wanted.info
        np.testing.assert_array_equal(cells.info.n_expressing, (dense > 0).sum(axis=0))
        rows = np.array([70, 3, 3, 25, 0])
        for got, at in ((cells.read(rows), rows), (cells.read(slice(5, 29)), slice(5, 29))):
            assert isinstance(got, sp.csr_array)
            np.testing.assert_array_equal(got.toarray(), dense[at])
        np.testing.assert_array_equal(cells.read(slice(4, 20), [9, 0]).toarray(), dense[4:20, [9, 0]])
        assert cells.read(slice(3, 3)).shape == (0, dense.shape[1])
        assert cells.read(np.zeros(0, dtype=int)).shape == (0, dense.shape[1])
        spans, blocks = zip(*cells.blocks(), strict=True)
        assert [i for span in spans for i in range(span.start, span.stop)] == list(range(cells.n_obs))
        np.testing.assert_array_equal(sp.vstack(blocks).toarray(), dense)
        assert cells.match(SYMBOLS, min_genes=1).vocab.size == len(SYMBOLS)
        found, held = cells.sample(), wanted.sample()
        assert (found.symbols, found.columns) == (held.symbols, held.columns)
        np.testing.assert_array_equal(found.values.toarray(), held.values.toarray())


def test_the_part_of_a_mudata_and_cells_themselves(whole: ad.AnnData) -> None:
    both = SimpleNamespace(mod={"rna": whole, "prot": whole[:, :9]}, obsmap={})
    cells = Cells.of(both)  # type: ignore[arg-type]
    assert cells.adata is whole
    assert Cells.of(cells) is cells


@contextmanager
def counted(adata: ad.AnnData) -> Iterator[Counter[str]]:
    """Count the values read from a backed `X`."""
    import h5py

    read, whole = Counter[str](), h5py.Dataset.__getitem__

    def count(self: Any, *arguments: Any) -> Any:
        found = whole(self, *arguments)
        read[self.name] += getattr(found, "size", 1)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(h5py.Dataset, "__getitem__", count)
        yield read


@pytest.mark.parametrize(("kept", "times"), [(50_000, 1), (10, 2)])
@pytest.mark.parametrize("form", ["csr", "dense"])
def test_a_file_is_read_once_or_twice(
    whole: ad.AnnData, form: str, kept: int, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scbioverse.io.cells._KEPT_CELLS", kept)
    monkeypatch.setattr("scbioverse.io.cells._ROWS", 16)
    with stored(whole, f"backed {form}", tmp_path) as cells, counted(cells.adata) as read:
        name = "/X/data" if form == "csr" else "/X"
        size = cells.adata.file[name].size
        match = cells.match(SYMBOLS, min_genes=1)
        for start in range(0, cells.n_obs, 5):  # smaller than a block, and across its borders
            cells.linear(slice(start, start + 5), match.columns)
        if times == 1:
            cells.sample()
        assert read[name] == times * size


def test_too_many_values_are_not_kept(whole: ad.AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scbioverse.io.cells._ROWS", 16)
    monkeypatch.setattr("scbioverse.io.cells._KEPT_VALUES", whole.X.nnz // 2)
    with stored(whole, "backed csr", tmp_path) as cells:
        wanted = Cells.of(whole)
        assert cells.info == wanted.info
        assert len(cells._held) == 1
        np.testing.assert_array_equal(cells.read(slice(0, 50)).toarray(), whole.X[:50].toarray())


def test_chunks_of_dask_are_computed_once(whole: ad.AnnData) -> None:
    array = pytest.importorskip("dask.array")
    calls: list[int] = []

    def load(block: np.ndarray) -> np.ndarray:
        calls.append(block.shape[0])
        return block

    lazy = whole.copy()
    lazy.X = array.from_array(whole.X.toarray(), chunks=(20, whole.n_vars)).map_blocks(load, dtype=np.float32)
    calls.clear()  # dask tries the function on nothing first
    cells = Cells.of(lazy)
    cells.match(SYMBOLS, min_genes=1)
    for start in range(0, cells.n_obs, 7):
        cells.linear(slice(start, start + 7))
    cells.sample()
    assert sorted(calls) == [10, 20, 20, 20, 20]


def test_what_is_asked_for_twice_is_made_once(whole: ad.AnnData) -> None:
    cells, calls = Cells.of(whole), []

    def make(given: Cells) -> int:
        calls.append(given)
        return len(calls)

    assert [cells.once(make), cells.once(make)] == [1, 1]
    assert calls == [cells]


def test_nothing_is_read_before_it_is_asked_for(whole: ad.AnnData) -> None:
    cells = Cells.of(whole, "no such layer", "no such column")
    with pytest.raises(MissingKeyError, match="no such column"):
        _ = cells.names
    with pytest.raises(MissingKeyError, match="no such layer"):
        cells.match(SYMBOLS)


def test_a_sample_is_drawn_by_name(whole: ad.AnnData) -> None:
    few = whole[:60].copy()
    codes = np.array([0] * 50 + [1] * 7 + [2] * 2 + [-1])
    rows = Cells.of(few).sample(codes, most=20).rows
    assert np.bincount(codes[rows]).tolist() == [11, 7, 2]
    order = np.random.default_rng(0).permutation(60)
    turned = Cells.of(few[order].copy()).sample(codes[order], most=20).rows
    assert set(few.obs_names[order][turned]) == set(few.obs_names[rows])


def test_a_sample_needs_one_gene(whole: ad.AnnData) -> None:
    strange = whole[:, :5].copy()
    strange.var_names = [f"x{i}" for i in range(5)]
    with pytest.raises(InputError, match="0 of 5 genes match"):
        Cells.of(strange).sample()


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_a_column_that_a_view_holds_twice_and_a_step_over_rows(form: str) -> None:
    whole = sb.datasets.toy_cells(n_obs=40, n_genes=300)
    whole.X = whole.X.toarray() if form == "dense" else whole.X.asformat(form)
    plain = np.asarray(whole.X if form == "dense" else whole.X.toarray())
    columns = [3, 7, 3, 0]
    cells = Cells.of(whole[:, columns])
    np.testing.assert_array_equal(cells.read(slice(0, 40)).toarray(), plain[:, columns])
    np.testing.assert_array_equal(Cells.of(whole).read(slice(2, 20, 3), [5, 5, 1]).toarray(), plain[2:20:3, [5, 5, 1]])
