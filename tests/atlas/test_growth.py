"""Memory and time as cells grow; once a week (`make test-weekly`), since it takes minutes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    os.environ.get("SCBIOVERSE_WEEKLY", "") in ("", "0"), reason="takes minutes: SCBIOVERSE_WEEKLY=1"
)


def test_memory_grows_with_the_results_alone(tmp_path: Path) -> None:
    from benchmarks.atlas import make, measure

    options = {"labels": ["B cell", "CD4 T cell", "CD8 T cell", "NK cell", "CD14 monocyte"], "rationale": "group"}
    rows = {}
    for n in (10_000, 100_000):
        make(n, tmp_path)
        rows[n] = measure("zarr", n, tmp_path, options)
    few, many = rows[10_000], rows[100_000]
    held = {n: float(row["peak_mb"]) - float(row["results_mb"]) for n, row in rows.items()}
    assert held[100_000] <= 1.3 * held[10_000]
    assert (few["reads"], many["reads"]) == (1.0, 2.0)
    # With a fixed part, ten times as many cells take less than ten times as long.
    assert float(many["cpu_seconds"]) <= 11 * float(few["cpu_seconds"])
