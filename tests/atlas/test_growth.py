"""Memory and time as cells grow: few cells in every run, more once a week (`make test-weekly`), which takes minutes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

weekly = pytest.mark.skipif(
    os.environ.get("SCBIOVERSE_WEEKLY", "") in ("", "0"), reason="takes minutes: SCBIOVERSE_WEEKLY=1"
)


@pytest.mark.parametrize(
    ("few", "many", "reads"), [(21_000, 42_000, (2.0, 2.0)), pytest.param(10_000, 100_000, (1.0, 2.0), marks=weekly)]
)
def test_memory_grows_with_the_results_alone(tmp_path: Path, few: int, many: int, reads: tuple[float, float]) -> None:
    from benchmarks.atlas import make, measure

    options = {"labels": ["B cell", "CD4 T cell", "CD8 T cell", "NK cell", "CD14 monocyte"], "rationale": "group"}
    rows = []
    for n in (few, many):
        make(n, tmp_path)
        rows.append(measure("zarr", n, tmp_path, options))
    held = [float(row["peak_mb"]) - float(row["results_mb"]) for row in rows]
    assert held[1] <= 1.3 * held[0]
    assert (rows[0]["reads"], rows[1]["reads"]) == reads
    # With a fixed part, so many times as many cells take less than so many times as long.
    assert float(rows[1]["cpu_seconds"]) <= 1.1 * many / few * float(rows[0]["cpu_seconds"])
