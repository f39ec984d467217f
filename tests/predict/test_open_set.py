from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import scbioverse as sb
from scbioverse.errors import InputError
from scbioverse.models import Calibration
from scbioverse.predict.candidates import own_labels
from scbioverse.predict.decide import Away, Called, compared_terms, decide, outside_terms, warn_of_even
from scbioverse.predict.groups import Groups
from tests._precision import LOG_PROBS

if TYPE_CHECKING:
    from anndata import AnnData

    from scbioverse.models import BioVerse

B, T, CD8, NK, PLATELET = "CL:0000236", "CL:0000084", "CL:0000625", "CL:0000623", "CL:0000233"
CD14, CD16, MONOCYTE = "CL:0001054", "CL:0002396", "CL:0000576"


def logs(*rows: list[float]) -> np.ndarray:
    return np.log(np.array(rows, dtype=np.float32))


def test_relatives_of_a_candidate_are_not_outside() -> None:
    assert outside_terms((B, T, CD8, NK, PLATELET), (CD8, B)) == (NK, PLATELET)
    assert outside_terms((CD8,), (T,)) == ()
    # Studies set the two monocytes against each other; a common parent is kin to both.
    assert outside_terms((CD14, CD16, MONOCYTE), (CD16,)) == (CD14,)
    assert outside_terms(("no term", NK), (B,)) == (NK,)


def test_a_term_that_lies_all_but_within_the_candidates_is_not_outside() -> None:
    naive_t, naive_cd4, naive_cd8, cd4, dc = ("CL:0000898", "CL:0000895", "CL:0000900", "CL:0000624", "CL:0000451")
    vocabulary = [naive_t, naive_cd4, naive_cd8, cd4, CD8, dc, NK]
    assert outside_terms(tuple(vocabulary), (cd4, CD8)) == (dc, NK)
    # Of the kinds of naive T cell in the vocabulary only one in three is a B cell or a CD8 T cell.
    assert naive_t in outside_terms((*vocabulary, "CL:0002677"), (CD8, B))


def test_beside_names_that_were_found_other_types_of_their_broad_type_are_not_outside() -> None:
    model, regulatory = sb.models.load("bioverse-small"), "CL:0000815"
    named = own_labels(["CL:0000624", CD8, B], model.config.names)
    given, found = (compared_terms(model, named, "cell", needed=True, found=one) for one in (False, True))
    assert given is not None
    assert found is not None
    assert {regulatory, PLATELET} <= set(given[1])
    assert regulatory not in found[1]
    assert PLATELET in found[1]


def test_many_cells_of_other_types_bring_a_warning() -> None:
    chance = np.array([0.9, 0.8, 0.6, 0.1, 0.2, 0.3], dtype=np.float32)
    with pytest.warns(UserWarning, match=r"50 % of the cells .*platelet, NK cell.*mine_elsewhere.*'auto'"):
        Away(chance, np.array([1, 1, 0, 0, 0, 0]), [NK, PLATELET]).warn("mine_elsewhere", auto=True)
    Away(chance[3:], np.zeros(3, int), [NK]).warn("mine_elsewhere", auto=True)  # a warning would be an error


def test_annotate_warns_of_other_types_and_advises_what_the_model_has(
    cells: AnnData, tiny_model: BioVerse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> Away:
        return Away(np.full(cells.n_obs, 0.9, np.float32), np.zeros(cells.n_obs, int), [PLATELET])

    monkeypatch.setattr("scbioverse.predict.decide.compare_outside", away)
    options = {"labels": ["B cell", "NK cell"], "model": tiny_model, "rationale": None, "copy": True}
    with pytest.warns(UserWarning, match=r"100 % of the cells are more like types.*unknown_threshold=0.02"):
        sb.tl.annotate(cells, **options)
    tiny_model.config.calibration["score"] = Calibration(thresholds={"auto": 0.02})
    with pytest.warns(UserWarning, match="unknown_threshold='auto'"):
        sb.tl.annotate(cells, **options)
    sb.tl.annotate(cells, unknown_threshold=0.1, **options)  # acted on, and so no warning


def test_labels_of_what_is_no_cell_that_fit_equally_bring_a_warning() -> None:
    labels = [Called(one) for one in ("analgesic", "stimulant", "sugar", "alcohol")]
    even, sure = logs(*[[0.21, 0.24, 0.25, 0.30]] * 3), logs(*[[0.7, 0.1, 0.1, 0.1]] * 3)
    with pytest.warns(UserWarning, match=r"4 labels fit about equally.*0\.30.*labels of a molecule"):
        warn_of_even(decide(even, labels), "molecule")
    warn_of_even(decide(sure, labels), "molecule")  # a warning would be an error
    warn_of_even(decide(even, labels), "cell")


def test_auto_is_the_threshold_of_the_model(cells: AnnData, tiny_model: BioVerse) -> None:
    options = {"labels": ["B cell", "NK cell"], "model": tiny_model, "rationale": None, "parents": False}
    tiny_model.config.calibration["score"] = Calibration(thresholds={"auto": 1.0})
    sb.tl.annotate(cells, unknown_threshold="auto", **options)
    assert (cells.obs["bioverse_label"] == "unknown").all()
    sb.tl.annotate(cells, **options)
    assert (cells.obs["bioverse_label"] != "unknown").all()
    tiny_model.config.calibration["score"] = Calibration(thresholds={"auto": 0.0})
    with pytest.raises(InputError, match="calibrated without one"):
        sb.tl.annotate(cells, unknown_threshold="auto", **options)
    with pytest.raises(InputError, match="'auto' or None, found 'often'"):
        sb.tl.annotate(cells, unknown_threshold="often", **options)


def test_a_sure_answer_for_a_type_that_was_not_asked_for_is_unknown() -> None:
    rows, away = logs([0.95, 0.05], [0.95, 0.05], [0.5, 0.5]), np.array([0.1, 0.9, 0.1], dtype=np.float32)
    labels = [Called("CD4 T cell", "CL:0000624"), Called("CD8 T cell", CD8)]
    found = decide(rows, labels, None, 0.6, elsewhere=away)
    assert found.known.tolist() == [True, False, True]
    assert found.called[found.codes[2]].name == "mature alpha-beta T cell"
    # The confidence stays the probability among the candidates.
    np.testing.assert_allclose(found.confidence[:2], 0.95, atol=LOG_PROBS)
    never = decide(rows, labels, None, 0.0, elsewhere=away)
    assert never.known.all()
    np.testing.assert_array_equal(never.elsewhere, away)


def test_a_parent_is_as_confident_as_its_candidates_together() -> None:
    labels = [Called("CD4 T cell", "CL:0000624"), Called("CD8 T cell", CD8)]
    found = decide(logs([0.5, 0.5], [0.4, 0.6]), labels, None, 0.02, elsewhere=np.float32([0.97, 0.1]))
    assert found.called[found.codes[0]].name == "mature alpha-beta T cell"
    assert found.known.all()
    np.testing.assert_allclose(found.confidence, [1.0, 0.6], atol=LOG_PROBS)


def test_auto_says_where_it_has_no_other_types_to_compare_with(cells: AnnData, tiny_model: BioVerse) -> None:
    tiny_model.config.calibration["score"] = Calibration(thresholds={"auto": 0.02})
    labels = {"B cell": "", "odd": "a cell that nobody has seen", "marked": "CD3D"}
    options = {"labels": labels, "model": tiny_model, "rationale": False, "copy": True}
    with pytest.warns(UserWarning, match=r"'auto' keeps back hardly any.*'odd', 'marked'"):
        sb.tl.annotate(cells, unknown_threshold="auto", **options)
    sb.tl.annotate(cells, unknown_threshold=0.02, **options)  # a warning would be an error


def test_groups_count_by_their_mean() -> None:
    groups = Groups(["a", "b"], np.array([0, 0, 1, -1]))
    away = np.array([0.2, 0.4, 0.9, 0.9], dtype=np.float32)
    found = decide(logs(*[[0.9, 0.1]] * 4), [Called("x"), Called("y")], groups, 0.5, elsewhere=away)
    np.testing.assert_allclose(found.elsewhere, [0.3, 0.3, 0.9, np.nan], atol=LOG_PROBS)
    assert found.known.tolist() == [True, True, False, True]
    assert [one["label"] for one in found.groups] == ["x", "unknown"]


def test_annotate_writes_it_where_it_is_cheap_or_needed(
    cells: AnnData, tiny_model: BioVerse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sb.settings, "progress", False)
    tiny_model.config.default_labels = [B, T, CD8, NK, PLATELET]
    options = {"labels": ["B cell", "NK cell"], "model": tiny_model}
    sb.tl.annotate(cells, **options)
    assert "bioverse_elsewhere" not in cells.obs
    sb.tl.annotate(cells, unknown_threshold=0.01, **options)
    needed = cells.obs["bioverse_elsewhere"].to_numpy()
    assert needed.dtype == np.float32
    assert ((needed > 0) & (needed < 1)).all()
    # Each cell by itself.
    part = sb.tl.annotate(cells[7:9].copy(), unknown_threshold=0.01, copy=True, **options)
    np.testing.assert_allclose(part.obs["bioverse_elsewhere"], needed[7:9], atol=LOG_PROBS)
    # Nothing outside, or a label that is no term: nothing to tell, and nothing stale is left.
    with pytest.warns(UserWarning, match="Zorblax"):
        sb.tl.annotate(cells, unknown_threshold=0.01, labels=["B cell", "Zorblax"], model=tiny_model)
    assert "bioverse_elsewhere" not in cells.obs
