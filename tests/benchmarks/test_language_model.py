"""The page on the language model: intervals, the weight that its word gets, and that figures come from the file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.language_model import RESULTS
from benchmarks.language_model_parts.groups import BOTH, counted, split, with_its_word
from benchmarks.language_model_parts.page import interval, write_page


def test_wilson() -> None:
    # Newcombe 1998, table I: 81 of 263.
    assert interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert interval(0, 20)[0] == pytest.approx(0, abs=1e-12)


def test_its_word_gets_the_weight_that_other_studies_give_it() -> None:
    rng = np.random.default_rng(0)
    truth = {name: rng.integers(3, size=200) for name in "abc"}
    without = {name: np.log(rng.dirichlet(np.ones(3), 200)) for name in truth}
    right = {name: np.log(0.05 + 0.85 * np.eye(3)[truth[name]]) for name in truth}
    noise = {name: np.log(rng.dirichlet(np.full(3, 0.1), 200) + 1e-9) for name in truth}
    every = {name: {"without": without[name], "knows": right[name], "guesses": noise[name]} for name in truth}
    knows, guesses = (with_its_word(every, truth, way) for way in ("knows", "guesses"))
    assert set(knows["weights"].values()) == {1.0}
    assert set(guesses["weights"].values()) == {0.0}
    for name, scores in guesses["scores"].items():
        np.testing.assert_allclose(scores, without[name], atol=1e-12)
        assert (knows["scores"][name].argmax(1) == truth[name]).mean() > 0.9


def test_small_groups_hold_cells_of_one_type_and_none_is_left_over() -> None:
    truth = np.array([0] * 7 + [1] * 2)
    small = split(truth, 3, np.random.default_rng(0))
    assert np.bincount(small).tolist() == [4, 3, 2]
    assert all(len(set(truth[small == i])) == 1 for i in range(3))
    assert split(truth, None, np.random.default_rng(0)).tolist() == truth.tolist()


def test_what_its_word_makes_right_and_wrong_is_counted() -> None:
    sure, unsure = np.log([[0.9, 0.1]]), np.log([[0.45, 0.55]])
    every = {name: {"without": unsure, BOTH: sure} for name in "ab"}
    found = counted(every, {name: np.array([0]) for name in "ab"})
    assert found["counts"] == {"without": [0, 2], BOTH: [2, 2], "with": [2, 2]}
    assert found["made right, made wrong"] == [2, 0]
    assert found["nats"]["without"] == pytest.approx(np.log(0.45), abs=1e-4)


def test_the_page_is_that_of_the_file(tmp_path: Path) -> None:
    write_page(json.loads(RESULTS.read_text(encoding="utf-8")), tmp_path / "page.md")
    page = Path(__file__).parents[2] / "docs" / "language_model.md"
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == page.read_text(encoding="utf-8")
