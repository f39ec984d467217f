"""Cell types that a training never saw: how often they are called by their name all the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.annotation_parts.measures import recalls
from benchmarks.annotation_parts.ours import Raw, combined, pooled_answer
from recipes.bioverse_small.calibration import Calibration, combine
from recipes.bioverse_small.terms import is_within


def untrained(candidates: list[str], types: tuple[str, ...]) -> list[int]:
    """Columns of the candidates that are one of `types` or lie within it."""
    return [i for i, one in enumerate(candidates) if any(is_within(one, held) for held in types)]


def calls(raw: Raw, calibration: Calibration) -> dict[str, np.ndarray]:
    """Return the columns (n,) that every way calls."""
    nearest, head = raw.values["nearest"], raw.values["head"]
    evidence = raw.asked.evidence
    pool = calibration.cascade
    pooled = {} if pool is None else {"cascade": pooled_answer(raw.answers, pool)[0].argmax(1)}
    return pooled | {
        "score": combined(raw, calibration, "score", evidence)[0].argmax(1),
        "score, no markers": combined(raw, calibration, "score", None)[0].argmax(1),
        "nearest": combine(nearest, calibration.nearest, evidence).argmax(1),
        "nearest, no markers": combine(nearest, calibration.nearest, None).argmax(1),
        "bypass head": combine(head, calibration.head, evidence).argmax(1),
        "bypass head, no markers": combine(head, calibration.head, None).argmax(1),
        "markers alone": evidence.argmax(1),
    }


def type_rows(fold: str, types: tuple[str, ...], raw: Raw, full: Raw, calibration: Calibration) -> list[dict[str, Any]]:
    """One row for each untrained label of a test.

    `recall` of the untrained label by each way; `others_change`, the mean change of the other labels' recall against
    the model that was trained on all types; `full_recall`, the recall of the label by that model.
    """
    asked = raw.asked
    m, left = len(asked.candidates), untrained(asked.candidates, types)
    before, after = calls(full, calibration), calls(raw, calibration)
    rows = []
    for column in left:
        if not (asked.truth == column).any():
            continue
        row: dict[str, Any] = {
            "fold": fold,
            "study": asked.study,
            "label": asked.candidates[column],
            "name": asked.names[column],
            "cells": int((asked.truth == column).sum()),
            "candidates": m,
            "chance": round(1 / m, 4),
            "recall": {},
            "full_recall": {},
            "others_change": {},
        }
        others = [i for i in range(m) if i not in left]
        for way in after:
            now, then = recalls(after[way], asked.truth, m), recalls(before[way], asked.truth, m)
            row["recall"][way] = round(float(now[column]), 4)
            row["full_recall"][way] = round(float(then[column]), 4)
            row["others_change"][way] = round(float(np.nanmean(now[others] - then[others])), 4)
        rows.append(row)
    return rows
