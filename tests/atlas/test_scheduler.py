"""A scheduler that is killed: the call ends with an error that says what to do, and the same call goes on later."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest

import scbioverse as sb
from scbioverse import _runs, settings

distributed = pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")
pytestmark = pytest.mark.filterwarnings("ignore")
N, ROWS, DONE = 96, 8, 4
OPTIONS: dict[str, Any] = {"labels": ["B cell", "NK cell", "CD14 monocyte"], "method": "score", "rationale": None}
CLUSTER = """
import sys, dask
from distributed import LocalCluster
dask.config.set({"distributed.worker.daemon": True})
if __name__ == "__main__":
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None,
        protocol="tcp", host="127.0.0.1")
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""


@contextmanager
def cluster() -> Iterator[tuple[Any, str]]:
    """Start a scheduler, and a worker, in a process of their own."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_a_scheduler_that_is_killed_costs_the_block_at_hand(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(settings, "cache_dir", tmp_path / "cache")
    monkeypatch.setattr("scbioverse.io.cells._ROWS", ROWS)
    whole = sb.datasets.toy_cells(n_obs=N, n_genes=300)
    wanted = whole.copy()
    sb.tl.annotate(wanted, model=model_folder, batch_size=ROWS, **OPTIONS)
    monkeypatch.setattr(_runs, "LONG", 1)

    def lazily() -> ad.AnnData:
        out = whole.copy()
        out.X = da.from_array(whole.X.toarray(), chunks=(ROWS, whole.n_vars))
        return out

    result, seen = _runs.Workers._result, [0]
    with cluster() as (process, address), distributed.Client(address, timeout=10), monkeypatch.context() as patch:

        def killing(self: Any, future: Any) -> Any:
            seen[0] += 1
            if seen[0] == DONE:
                process.kill()
            return result(self, future)

        patch.setattr(_runs.Workers, "_result", killing)
        adata = lazily()
        with pytest.raises(_runs.WorkersError, match="run the same again: parts that are done are kept"):
            sb.tl.annotate(adata, model=model_folder, batch_size=ROWS, **OPTIONS)
    # Nothing of a part of the rows is in the data, and what was done is on the disk.
    assert "bioverse_label" not in adata.obs
    assert not adata.obsm
    held = len([*(tmp_path / "cache").rglob("*.safetensors")])
    assert DONE - 1 <= held < N // ROWS
    with cluster() as (_, address), distributed.Client(address, timeout=60), caplog.at_level("INFO", "scbioverse"):
        sb.tl.annotate(adata, model=model_folder, batch_size=ROWS, **OPTIONS)
    assert f"{held} parts of a run that was stopped are there" in caplog.text
    for name in ("X_bioverse", "bioverse_scores"):
        np.testing.assert_array_equal(np.asarray(adata.obsm[name]), np.asarray(wanted.obsm[name]))
    assert adata.obs["bioverse_label"].tolist() == wanted.obs["bioverse_label"].tolist()
    assert not [*(tmp_path / "cache").rglob("*.safetensors")]
