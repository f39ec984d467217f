"""The commonest confusions, and what spoke for them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from benchmarks.annotation_parts.mistakes import mistakes
from benchmarks.annotation_parts.ours import Raw
from benchmarks.annotation_parts.sections import commonest_mistakes
from recipes.bioverse_small.calibration import Calibration, Question, study_evidence
from recipes.bioverse_small.data import Study
from scbioverse.encoders._panel_share import GeneStats

CD4, B, NK = "CL:0000624", "CL:0000236", "CL:0000623"
GENES = ("CD3D", "CD4", "IL7R", "CD79A", "MS4A1", "CD79B", "GNLY", "NKG7", "ACTB", "GAPDH")
OF = {CD4: (0, 1, 2), B: (3, 4, 5), NK: (6, 7)}


@pytest.fixture
def asked() -> tuple[Raw, Study, GeneStats]:
    """Twenty cells of each type, of which seven CD4 T cells look like B cells, and two NK cells like CD4 T cells."""
    truth = np.repeat([0, 1, 2], 20)
    candidates = sorted([CD4, B, NK])
    looks = truth.copy()
    at = {one: np.flatnonzero(truth == candidates.index(one)) for one in candidates}
    looks[at[CD4][:7]] = candidates.index(B)
    looks[at[NK][:2]] = candidates.index(CD4)
    counts = np.ones((60, len(GENES)), np.float32)
    for cell, one in enumerate(looks):
        counts[cell, list(OF[candidates[one]])] += 20
    n = len(GENES)
    stats = GeneStats(GENES, np.full(n, 1.0), np.full(n, 0.5), np.ones(n), 100.0)
    labels = np.array(candidates, dtype=object)[truth]
    study = Study("toy", sparse.csr_matrix(counts), np.ones(n, bool), labels, labels)
    evidence = study_evidence(stats, study, np.arange(60), candidates)
    knows = np.log(np.eye(3)[truth] * 0.97 + 0.01)
    values = {"score": knows, "nearest": np.zeros((60, 3)), "attention": knows}
    question = Question("toy", candidates, np.zeros((60, 2), np.float32), evidence, truth)
    return Raw(question, values, np.empty((0, 3)), np.empty((0, 3)), np.arange(60)), study, stats


def test_they_are_counted_and_their_sources_told_apart(asked) -> None:
    raw, study, stats = asked
    pool = (0.0, 5.0, 2.0, 0.1)  # markers by far outweigh the attention
    first, second = mistakes(raw, Calibration(pool=pool), study, stats)
    column = {one: i for i, one in enumerate(raw.asked.candidates)}
    names = dict(zip(raw.asked.candidates, raw.asked.names, strict=True))
    assert (first["true"], first["called"], first["cells"], first["of"]) == (names[CD4], names[B], 7, 20)
    assert (second["true"], second["called"], second["cells"]) == (names[NK], names[CD4], 2)
    cells = np.flatnonzero(raw.asked.truth == column[CD4])[:7]
    gap = raw.asked.evidence[cells, column[B]] - raw.asked.evidence[cells, column[CD4]]
    assert first["markers"] == pytest.approx(2.0 * gap.mean(), abs=0.01)
    assert first["markers"] > 0
    assert first["nearest"] == 0
    assert first["attention"] == pytest.approx(0.1 * np.log(0.01 / 0.98), abs=0.01)  # outvoted
    assert set(first["genes"]) & {"CD79A", "MS4A1", "CD79B"}
    assert set(first["genes"]) <= {"CD79A", "MS4A1", "CD79B"} | {"CD3D", "CD4", "IL7R"}
    assert list(first["genes"].values()) == sorted(first["genes"].values(), reverse=True)
    assert mistakes(raw, Calibration(pool=pool), study, stats, most=1) == [first]


def test_without_a_pool_or_without_a_mistake_there_is_nothing_to_tell(asked) -> None:
    raw, study, stats = asked
    assert mistakes(raw, Calibration(), study, stats) == []
    assert mistakes(raw, Calibration(pool=(0.0, 0.0, 0.0, 1.0)), study, stats) == []


def test_the_page_tells_them(asked) -> None:
    raw, study, stats = asked
    found = mistakes(raw, Calibration(pool=(0.0, 5.0, 2.0, 0.1)), study, stats)
    text = commonest_mistakes({"tests": {"toy": {"mistakes": found}}})
    assert f"| `toy` | {found[0]['true']} | {found[0]['called']} | 7 of 20 | −0.5 | +0.0 |" in text
    assert ", ".join(found[0]["genes"]) in text
    assert commonest_mistakes({"tests": {"toy": {}}}) == ""
