"""The benchmark of cells that decide together, on two blobs with a few stray calls."""

from __future__ import annotations

import numpy as np

from benchmarks.annotation_parts import ours
from benchmarks.neighbours import FEW, NEIGHBOURS, rows_of, table
from recipes.bioverse_small.calibration import Calibration, Question


def test_stray_calls_are_overruled_and_measured() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 200)
    embedding = (np.eye(2, 6)[truth] + rng.normal(0, 0.05, (400, 6))).astype(np.float32)
    called = np.where(rng.random(400) < 0.1, 1 - truth, truth)
    said = np.log(np.where(np.eye(2)[called] == 1, 0.8, 0.2)).astype(np.float32)
    asked = Question("toy", ["CL:0000236", "CL:0000084"], embedding, np.zeros((400, 2), np.float32), truth)
    nothing = np.empty((0, 2), np.float32)
    values = dict.fromkeys(("score", "nearest", "head", "attention"), said)
    raw = ours.Raw(asked, values, nothing, nothing, np.arange(400))
    rows = rows_of(raw, Calibration(pool=(0.0, 1.0, 0.0, 1.0)), seed=0)
    assert {row["cells"] for row in rows} == {400, FEW}
    held = {(row["method"], row["n_neighbors"]): row["accuracy"] for row in rows if not row["cut"]}
    assert len(held) == 2 * (1 + len(NEIGHBOURS))
    for method in ("cascade", "bypass head"):
        assert held[method, 0] == np.round((called == truth).mean(), 4)
        assert held[method, 15] > 0.99
    text = table(rows, {"development": ["toy"]}, cut=False)
    assert f"{held['cascade', 0]:.3f}/" in text
