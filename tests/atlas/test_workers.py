"""Two processes of dask: in order, the same to the last bit, and a worker that is killed costs its block alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse import _runs
from scbioverse.encoders._run import _encode, embed_blocks
from scbioverse.explain.reasons import reasons
from scbioverse.io import Cells
from scbioverse.knowledge import resolve_label
from scbioverse.models import BioVerse

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore")
LABELS = ["B cell", "NK cell", "CD14 monocyte"]


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as found,
    ):
        yield found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ad.AnnData:
    return sb.datasets.toy_cells(n_obs=90, n_genes=300)


def lazily(adata: ad.AnnData) -> ad.AnnData:
    import dask.array as da

    out = adata.copy()
    out.X = da.from_array(adata.X.toarray(), chunks=(16, adata.n_vars))
    return out


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scbioverse.io.cells._ROWS", 16)


def test_workers_embed_and_score_as_one_process_does(
    client: Any, whole: ad.AnnData, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, shared, done = whole.copy(), lazily(whole), []
    options: dict[str, Any] = {"model": model_folder, "labels": LABELS, "method": "score", "batch_size": 16}
    with monkeypatch.context() as patch:
        patch.setattr(_runs, "_client", lambda: None)
        sb.tl.annotate(alone, rationale=None, **options)
    each = _runs.Workers.each

    def counting(self: Any, job: Any, given: Any) -> Any:
        done.append(type(job).__name__)
        return each(self, job, given)

    monkeypatch.setattr(_runs.Workers, "each", counting)
    sb.tl.annotate(shared, rationale=None, **options)
    assert done == ["BlockJob", "ScoreJob"]
    for name in ("X_bioverse", "bioverse_scores"):
        np.testing.assert_array_equal(np.asarray(shared.obsm[name]), np.asarray(alone.obsm[name]))
    assert shared.obs["bioverse_label"].tolist() == alone.obs["bioverse_label"].tolist()
    # Nothing stays on the workers.
    assert not any(client.run(lambda dask_worker: [n for n in dask_worker.plugins if n.startswith("scb")]).values())


def test_workers_add_up_what_reasons_rest_on(client: Any, whole: ad.AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scbioverse.explain.reasons.SAMPLE_CELLS", 20)
    codes, names = whole.obs["cell_type"].cat.codes.to_numpy(), [*whole.obs["cell_type"].cat.categories]
    ids = [resolve_label(name).cl_id for name in names]
    alone = reasons(whole, names, ids, codes)
    with _runs.used(True) as workers:
        assert workers is not None
        shared = reasons(lazily(whole), names, ids, codes)
    assert alone.measured["auc_error"] > 0
    assert shared.measured == alone.measured
    assert shared.sentences == alone.sentences
    assert len(alone.table)
    pd.testing.assert_frame_equal(shared.table, alone.table)


def test_a_worker_that_is_killed_costs_its_block_alone(
    client: Any, whole: ad.AnnData, model_folder: Path, tmp_path: Path
) -> None:
    encoder, flag = BioVerse.from_pretrained(model_folder).encoders["cell"], str(tmp_path / "died")

    def run(encoder: Any, cells: Cells) -> Any:
        try:
            os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            from scbioverse.encoders._run import _encode

            return _encode(encoder, cells, batch_size=512)
        os._exit(9)

    cells, before = Cells.of(lazily(whole)), {*client.run(os.getpid).values()}
    with _runs.used(True):
        found, bad, empty = embed_blocks(encoder, cells, run, lambda n: None)
    wanted, *_ = _encode(encoder, Cells.of(whole), batch_size=512)
    np.testing.assert_array_equal(found, wanted)
    assert (bad, empty) == (0, 0)
    assert Path(flag).exists()
    assert {*client.run(os.getpid).values()} != before
    assert cells.info == Cells.of(whole).info


def test_data_in_memory_are_computed_here(client: Any, whole: ad.AnnData, model_folder: Path) -> None:
    with _runs.used(Cells.of(whole).lazy() is not None) as workers:
        assert workers is None
