"""What lies in a file or behind dask: read once, checked and embedded on the way, and the same to the last bit."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata.io import sparse_dataset

import scbioverse as sb
from scbioverse import _runs
from scbioverse.encoders import embed_rows
from scbioverse.encoders._panel_share import DiskRows, zeros
from scbioverse.errors import InputError
from scbioverse.io import Cells, Source
from scbioverse.io.cells import _edges_of_values

NAMES = ["B cell", "CD4 T cell", "CD8 T cell", "NK cell", "CD14 monocyte", "megakaryocyte"]
WAYS = ["h5ad", "h5ad dense", "zarr", "sharded zarr", "read_lazy", "dask"]


@pytest.fixture(scope="module")
def whole() -> ad.AnnData:
    adata = sb.datasets.pbmc3k()[::5].copy()
    # Two columns of one gene that about as many cells express: in the first rows another than in all.
    extra = np.zeros((adata.n_obs, 2), dtype=np.float32)
    extra[:12, 0], extra[200:220, 1] = 3, 2
    names = [*adata.var_names, "FAM21A", "FAM21B"]
    kept = [i for i, name in enumerate(names) if name not in ("FAM21A", "FAM21B", "WASHC2A") or i >= adata.n_vars]
    X = sp.csr_matrix(sp.hstack([adata.X, extra]).tocsr()[:, kept])
    return ad.AnnData(X, obs=adata.obs, var=pd.DataFrame(index=[names[i] for i in kept]))


pytestmark = [
    pytest.mark.filterwarnings("ignore:zarr v3 autosharding"),
    pytest.mark.filterwarnings("ignore:.* of the cells are more like"),
]


@pytest.fixture(scope="module")
def folder(whole: ad.AnnData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import h5py
    import zarr
    from anndata.io import write_elem

    place = tmp_path_factory.mktemp("stored")
    warnings.simplefilter("ignore", UserWarning)  # what anndata says of the next zarr
    whole.write_h5ad(place / "cells.h5ad")
    dense = whole.copy()
    dense.X = dense.X.toarray()
    with h5py.File(place / "dense.h5ad", "w") as file:
        write_elem(file, "/", dense, dataset_kwargs={})
    for name, options in (("cells", {"chunks": (9_000,)}), ("sharded", {"chunks": (4_000,), "shards": (40_000,)})):
        root = zarr.open_group(place / f"{name}.zarr", mode="w", zarr_format=3)
        write_elem(root, "/", ad.AnnData(obs=whole.obs, var=whole.var))
        write_elem(root, "X", whole.X, dataset_kwargs=options)
        zarr.consolidate_metadata(root.store)
    return place


def opened(way: str, folder: Path) -> ad.AnnData:
    import zarr

    if way.startswith("h5ad"):
        return ad.read_h5ad(folder / ("dense.h5ad" if "dense" in way else "cells.h5ad"), backed="r")
    if way == "read_lazy":
        pytest.importorskip("xarray")
        return ad.experimental.read_lazy(folder / "cells.zarr")
    root = zarr.open_group(folder / ("sharded.zarr" if "sharded" in way else "cells.zarr"), mode="r")
    X = ad.experimental.read_elem_lazy(root["X"], chunks=(100, root["X"].attrs["shape"][1]))
    X = X if way == "dask" else sparse_dataset(root["X"])
    return ad.AnnData(X, obs=ad.io.read_elem(root["obs"]), var=ad.io.read_elem(root["var"]))


class Reads:
    """Counts rows that are read from where they lie; what is cut from memory does not count."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows, read = 0, Source.read

        def count(source: Source, start: int, stop: int) -> sp.csr_array:
            self.rows += 0 if isinstance(source.matrix, np.ndarray | sp.csr_array) else stop - start
            return read(source, start, stop)

        monkeypatch.setattr(Source, "read", count)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scbioverse.io.cells._ROWS", 64)
    monkeypatch.setattr("scbioverse.io.cells._KEPT_CELLS", 0)


def annotated(adata: ad.AnnData, **options: Any) -> dict[str, Any]:
    sb.tl.annotate(adata, **options)
    scores = adata.obsm["bioverse_scores"]
    return {
        "embedding": np.asarray(adata.obsm["X_bioverse"]),
        "scores": np.asarray(scores.to_numpy() if hasattr(scores, "to_numpy") else scores),
        "label": np.asarray(adata.obs["bioverse_label"]).astype(str),
        "rationale": np.asarray(adata.obs["bioverse_rationale"]).astype(str),
    }


@pytest.fixture(scope="module")
def wanted(whole: ad.AnnData) -> dict[str, Any]:
    return annotated(whole.copy(), labels=NAMES, rationale="template")


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("way", WAYS)
def test_every_storage_gives_the_same_bits_and_is_read_once_and_once_more_for_reasons(
    way: str, folder: Path, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    adata = opened(way, folder)
    reads = Reads(monkeypatch)
    found = annotated(adata, labels=NAMES, rationale="template")
    # One block stays in memory; read_lazy makes one of so few cells.
    assert reads.rows == (1 if way == "read_lazy" else 2) * adata.n_obs
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.usefixtures("small_blocks")
def test_without_reasons_each_row_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adata = opened("zarr", folder)
    reads = Reads(monkeypatch)
    sb.tl.annotate(adata, labels=NAMES, rationale=None)
    assert reads.rows == adata.n_obs


@pytest.mark.usefixtures("small_blocks")
def test_a_scale_that_the_first_rows_do_not_show_is_found(whole: ad.AnnData, tmp_path: Path) -> None:
    """The first block holds ones alone, which could be anything; what follows are logarithms."""
    logs = whole.copy()
    logs.X.data = np.log1p(logs.X.data * 1.7)
    logs.X[:80] = sp.csr_matrix((logs.X[:80] > 0).astype(np.float32))
    logs.write_h5ad(tmp_path / "logs.h5ad")
    encoder = sb.models.load("bioverse-small").encoders["cell"]
    stored = Cells.of(ad.read_h5ad(tmp_path / "logs.h5ad", backed="r"))
    assert stored.assume()
    assert stored.info.scale == "counts"
    stored.settle(None)
    np.testing.assert_array_equal(embed_rows(encoder, stored), embed_rows(encoder, Cells.of(logs)))
    assert stored.info == Cells.of(logs).info
    assert stored.info.scale == "log"


@pytest.mark.usefixtures("small_blocks")
def test_a_wrong_value_far_down_is_refused_and_nothing_is_left(whole: ad.AnnData, tmp_path: Path) -> None:
    bad = whole.copy()
    bad.X.data[-3] = np.nan
    bad.write_h5ad(tmp_path / "bad.h5ad")
    adata = ad.read_h5ad(tmp_path / "bad.h5ad", backed="r")
    with pytest.raises(InputError, match=f"NaN values, the first in row {adata.n_obs - 1}"):
        sb.tl.annotate(adata, labels=NAMES)
    assert not adata.obsm
    assert "bioverse_label" not in adata.obs


# Embedding, with the markers of all that the model knows; sums of genes by group; the markers of the names; of so few
# cells that they hear those like them, these are looked for.
@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(("sampled", "times"), [(True, 3), (False, 4)])
def test_names_are_found_from_a_sample_that_is_read_from_the_same_cells(
    sampled: bool, times: int, folder: Path, whole: ad.AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    for most in ("first_call.MOST_CELLS", "groups.MOST_CELLS", "groups.SAMPLE_CELLS") if sampled else ():
        monkeypatch.setattr(f"scbioverse.predict.{most}", 300)
    inside, adata = whole.copy(), opened("dask", folder)
    known = annotated(inside, rationale=None)
    reads = Reads(monkeypatch)
    found = annotated(adata, rationale=None)
    assert reads.rows == times * adata.n_obs
    for name, values in known.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.usefixtures("small_blocks")
def test_sums_that_lie_on_the_disk_are_the_same(
    folder: Path, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scbioverse.encoders._panel_share._MOST", 0)
    found = annotated(opened("zarr", folder), labels=NAMES, rationale="template")
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    table, plain = zeros(9, 3), np.zeros((9, 3), dtype=np.float32)
    assert isinstance(table, DiskRows)
    for rows in (slice(2, 5), slice(4, 4), slice(8, 9)):
        table[rows] = plain[rows] = np.arange(3) + rows.start
        np.testing.assert_array_equal(table[rows], plain[rows])
    np.testing.assert_array_equal(np.asarray(table), plain)


def test_blocks_end_where_chunks_of_values_do(folder: Path) -> None:
    matrix = opened("zarr", folder).X
    chunk, pointers = matrix.group["data"].chunks[0], np.asarray(matrix.group["indptr"][:])
    edges = _edges_of_values(matrix, pointers, 64)
    assert (edges[0], edges[-1]) == (0, matrix.shape[0])
    assert len(edges) > 3
    # No edge is further behind the end of a chunk than the row that crosses it.
    behind = pointers[edges[1:-1]] % chunk
    longest = np.diff(pointers).max()
    assert (behind < longest).all()


def test_few_rows_give_the_same_bits_as_many(whole: ad.AnnData) -> None:
    encoder, cells = sb.models.load("bioverse-small").encoders["cell"], Cells.of(whole)
    many = embed_rows(encoder, cells)
    for size in (1, 2, 3, 7):
        few = np.concatenate([encoder.encode(encoder.prepare(cells, slice(i, i + size))) for i in range(0, 42, size)])
        np.testing.assert_array_equal(few, many[:42])


@pytest.mark.parametrize("way", ["h5ad", "zarr"])
def test_a_block_from_a_file_has_indices_of_32_bits(folder: Path, whole: ad.AnnData, way: str) -> None:
    block = Source.of(opened(way, folder), None).read(3, 90)
    assert (block.indices.dtype, block.indptr.dtype) == (np.int32, np.int32)
    np.testing.assert_array_equal(block.toarray(), whole.X[3:90].toarray())


def test_blocks_are_read_ahead_in_the_context_of_who_asked() -> None:
    context, ended = ContextVar("context", default="none"), []

    def blocks() -> Iterator[str]:
        try:
            yield context.get()
            raise OSError("the second")
        finally:
            ended.append(True)

    context.set("asked")
    ahead = _runs._ahead(blocks())
    assert next(ahead) == "asked"
    with pytest.raises(OSError, match="the second"):
        next(ahead)
    assert ended
