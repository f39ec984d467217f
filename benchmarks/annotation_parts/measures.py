"""What is measured of a method: how right it is, how sure, how fast, and how much memory it takes."""

from __future__ import annotations

import gc
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import f1_score

from recipes.bioverse_small.terms import is_within
from scbioverse.train import expected_calibration_error

Row = dict[str, Any]


class Meter:
    """Time and peak memory of a block.

    The kernel's high-water mark of the process's resident memory is set back at the start (Linux: writing 5 to
    `/proc/self/clear_refs`) and read at the end, so `peak_mb` is the whole process while the method ran and `added_mb`
    what it took beyond the start. Both are None where the kernel does not allow it. What earlier work left is collected
    first: freed inside the block, it would hide what the method takes.
    """

    def __enter__(self) -> Meter:
        gc.collect()
        self._possible = _reset_peak()
        self._before = _status("VmRSS") if self._possible else None
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._started
        peak = _status("VmHWM") if self._possible else None
        self.peak_mb = peak
        self.added_mb = None if peak is None or self._before is None else max(0, peak - self._before)


def _reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status(key: str) -> int | None:
    try:
        found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return None if found is None else round(int(found[1]) / 1024)


def lineage_matrix(candidates: list[str]) -> np.ndarray:
    """Which calls keep the lineage, bool (m, m): the called term is the true one, lies within it, or holds it.

    By the ontology's `is_a` closure, except for pairs that studies set against each other (CD14 and CD16 monocyte).
    Where no candidate lies within another, this is accuracy.
    """
    return np.array([[is_within(a, b) or is_within(b, a) for b in candidates] for a in candidates])


def measures(called: np.ndarray, truth: np.ndarray, candidates: list[str], log_probs: np.ndarray | None = None) -> Row:
    """Accuracy, macro-F1 over the labels that occur, lineage accuracy and, with probabilities, calibration error.

    Parameters
    ----------
    called, truth
        int (n,): columns of `candidates`; -1 for a cell without a call.
    candidates
        Cell Ontology ids.
    log_probs
        (n, m).
    """
    right = called == truth
    kept = np.where(called < 0, False, lineage_matrix(candidates)[truth, np.maximum(called, 0)])
    present = np.unique(truth)
    row: Row = {
        "accuracy": round(float(right.mean()), 4),
        "macro_f1": round(float(f1_score(truth, called, labels=present, average="macro", zero_division=0)), 4),
        "lineage_accuracy": round(float(kept.mean()), 4),
        "ece": None,
    }
    if log_probs is not None:
        sure = np.exp(np.asarray(log_probs, np.float64).max(1))
        row["ece"] = round(expected_calibration_error(np.clip(sure, 0, 1), right), 4)
    return row


def recalls(called: np.ndarray, truth: np.ndarray, n_candidates: int) -> np.ndarray:
    """Recall of each candidate, float (m,); NaN where the truth has none."""
    return np.array([(called[truth == i] == i).mean() if (truth == i).any() else np.nan for i in range(n_candidates)])


def cost(n: int, seconds: float, meter: Meter | None = None) -> Row:
    """Cells per second of prediction, and memory."""
    return {
        "cells_per_second": round(n / max(seconds, 1e-9), 1),
        "peak_mb": None if meter is None else meter.peak_mb,
        "added_mb": None if meter is None else meter.added_mb,
    }


def by_chance(called: np.ndarray, truth: np.ndarray, n_candidates: int) -> float:
    """Accuracy to expect of these calls when dealt to cells at random: the product of both shares, summed."""
    p = np.bincount(truth, minlength=n_candidates) / truth.size
    q = np.bincount(called, minlength=n_candidates) / called.size
    return round(float(p @ q), 4)
