"""How the benchmarks of unknown cells and of the whole ontology pose questions and count."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.ontology import kinship, shares
from benchmarks.unknown import SORTED_BY_CD4, THRESHOLDS, below, left_out, report, uncertainty
from scbioverse.knowledge import load_ontology

B, T, CD8, NK, NAIVE_B = "CL:0000236", "CL:0000084", "CL:0000625", "CL:0000623", "CL:0000788"


def test_a_label_leaves_with_what_is_below_it_and_stays_below_another() -> None:
    found = dict(left_out([B, T, CD8, NK]))
    assert found == {B: [T, CD8, NK], T: [B, NK], NK: [B, T, CD8]}
    assert left_out([B, T]) == []


def test_higher_means_less_likely_a_candidate() -> None:
    table = pd.DataFrame({"confidence": [0.9, 0.4], "margin": [0.8, 0.1], "entropy": [0.2, 1.0]})
    assert all(one[1] > one[0] for one in uncertainty(table).values())
    with_more = uncertainty(table.assign(elsewhere=[0.1, 0.9]))
    assert with_more["used"] == pytest.approx([-0.81, -0.04])


def test_kinship_and_shares() -> None:
    assert [kinship(one, T) for one in (T, CD8, "CL:0000542", "CL:0000000", B, "")] == [
        "same",
        "within",
        "above",
        "other",
        "other",
        "other",
    ]
    found = shares(np.array([T, CD8, B, NAIVE_B]), np.array([T, T, T, B]))
    assert found == {"same": 0.25, "within": 0.5, "above": 0.0, "match": 0.75}


def test_shares_below_the_thresholds() -> None:
    scores = uncertainty(pd.DataFrame({"confidence": [0.9, 0.12, 0.9], "margin": 0, "entropy": 0, "elsewhere": 0.0}))
    assert below(scores, np.array([True, True, False])) == [0.0 if one < 0.12 else 0.5 for one in THRESHOLDS]
    assert below(scores, np.zeros(3, bool)) is None
    elsewhere = uncertainty(pd.DataFrame({"confidence": [0.9], "margin": 0, "entropy": 0, "elsewhere": 0.9}))
    assert below(elsewhere, np.array([True])) == [float(one > 0.09) for one in THRESHOLDS]


def test_the_report_has_means_beside_the_targets() -> None:
    shares_below = [0.25] * len(THRESHOLDS)
    types = [
        {"label": name, "cl_id": "x", "cells": 10, "confidence": value, "elsewhere": 0.9, "below": shares_below}
        for name, value in (("a", 0.6), ("b", 0.8))
    ]
    row = {"study": "s", "cells": 20, "candidates": 2, "accuracy": 0.5, "ece": 0.1, "sent_elsewhere": None}
    wrong_below = [0.5] * len(THRESHOLDS)
    text = report([{**row, "right_below": [0.125] * len(THRESHOLDS), "wrong_below": wrong_below, "types": types}])
    assert "target: 0.85" in text
    mean = next(line for line in text.splitlines() if "mean of labels" in line)
    assert mean.split()[-2:] == ["0.7", "0.9"]
    assert text.splitlines()[-1].split() == ["0.50", "0.125", "0.5", "0.25"]


def test_cells_sorted_by_cd4_are_within_cd4_t_cells() -> None:
    assert all(load_ontology().is_within(one, "CL:0000624") for one in SORTED_BY_CD4.values())
