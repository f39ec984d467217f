"""The benchmark's part on simulated cells of the whole body: nothing is calibrated on itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from benchmarks.annotation_parts import body
from benchmarks.annotation_parts.sections import whole_body
from recipes.bioverse_small.calibration import CALIBRATORS, Answers, Calibration, Question

B, NK, T = "CL:0000236", "CL:0000623", "CL:0000084"


def answers(study: str, seed: int) -> Answers:
    """Markers know the labels, the rest is noise."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=200)
    values = {way: rng.standard_normal((200, 3)) for way in ("score", "whole", "nearest", "head", "attention")}
    evidence = (rng.standard_normal((200, 3)) + 4 * np.eye(3)[truth]).astype(np.float32)
    asked = Question(study, [B, NK, T], np.zeros((200, 2), np.float32), evidence, truth)
    return asked, {way: log_softmax(one, axis=1) for way, one in values.items()}


def test_each_set_is_calibrated_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[list[str]] = []

    def fitted(others: dict[str, Answers]) -> Calibration:
        used.append(sorted(others))
        return Calibration(nearest=(1.0, 2.0), head=(1.0, 0.5), pool=(0.0, 0.1, 2.0, 0.1))

    monkeypatch.setattr(body, "fit", fitted)
    sets = {name: answers(name, i) for i, name in enumerate(("lung", "liver"))}
    rows = body.body_rows(sets, {"kang": answers("kang", 9)})
    assert used == [["kang", "liver"], ["kang", "lung"]]
    for found in rows.values():
        assert found["cascade"]["accuracy"] > 0.9
        assert found["nearest"]["accuracy"] > 0.9
        assert found["markers alone"]["accuracy"] > 0.9
        assert found["bypass head, no markers"]["accuracy"] < 0.5


def test_the_page_says_that_they_are_simulated() -> None:
    studies = {study: answers(study, i) for i, study in enumerate(CALIBRATORS)}
    sets = {"lung": answers("lung", 7), "liver": answers("liver", 8)}
    found = body.body_rows(sets, studies)
    result = {"body": {name: {"cells": 200, "candidates": [B, NK, T], "methods": found[name]} for name in found}}
    text = whole_body(result)
    assert "They are **not cells**" in text
    assert "| mean |" in text
    assert f"| lung | 200 | 3 | {found['lung']['cascade']['accuracy']:.3f}/" in text
    assert whole_body({}) == ""
