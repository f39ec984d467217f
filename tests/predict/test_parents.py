from __future__ import annotations

import numpy as np
import pytest

from scbioverse.predict.decide import Called, Parents, decide, entropy, margin
from scbioverse.predict.groups import Groups
from tests._precision import FEW

NAMES = ["CD4 T cell", "CD8 T cell", "B cell", "platelet"]
IDS = ["CL:0000624", "CL:0000625", "CL:0000236", "CL:0000233"]
LABELS = [Called(name, cl_id) for name, cl_id in zip(NAMES, IDS, strict=True)]


def logs(*rows: list[float]) -> np.ndarray:
    return np.log(np.array(rows, dtype=np.float32))


ROWS = logs([0.45, 0.40, 0.1, 0.05], [0.9, 0.05, 0.03, 0.02], [0.3, 0.1, 0.3, 0.3], [0.05, 0.05, 0.45, 0.45])


def test_the_parent_that_siblings_share() -> None:
    found = decide(ROWS, LABELS, None, 0.6)
    called = [found.called[code].name if fine else "?" for code, fine in zip(found.codes, found.known, strict=True)]
    assert called[:2] == ["mature alpha-beta T cell", "CD4 T cell"]
    assert found.confidence[0] == pytest.approx(0.85)
    assert called[2] == "lymphocyte"
    assert called[3] == "?"
    assert found.called[found.codes[0]].cl_id == "CL:0000791"


def test_sure_rows_do_not_change_and_it_can_be_switched_off() -> None:
    plain = decide(ROWS, LABELS, None, 0.0)
    for on in (True, False):
        found = decide(ROWS, LABELS, None, 0.6, parents=on)
        sure = plain.confidence >= 0.6
        np.testing.assert_array_equal(found.codes[sure], plain.codes[sure])
        np.testing.assert_array_equal(found.confidence[sure], plain.confidence[sure])
    off = decide(ROWS, LABELS, None, 0.6, parents=False)
    assert off.known.tolist() == [False, True, False, False]
    assert len(off.called) == 4


def test_a_candidate_that_is_the_parent_keeps_its_name() -> None:
    labels = [Called("T", "CL:0000084"), Called("CD4", IDS[0]), Called("B", IDS[2])]
    found = decide(logs([0.3, 0.4, 0.3]), labels, None, 0.6)
    assert found.called[found.codes[0]].name == "T"
    assert found.confidence[0] == pytest.approx(0.7)


def test_classical_and_other_monocytes_are_kept_apart() -> None:
    ids = ["CL:0002396", "CL:0001054"]
    shared = Parents(ids)
    assert "CL:0001054" not in shared.terms
    assert "CL:0000576" in shared.terms


def test_broad_terms_are_no_answer() -> None:
    assert Parents(["CL:0000236", "CL:0000540"]).terms == []
    assert Parents([None, "CL:0000236"]).terms == []


def test_groups() -> None:
    found = decide(ROWS, LABELS, Groups(["a", "b"], np.array([0, 1, -1, 0])), 0.6)
    table = {one["group"]: one for one in found.groups}
    assert table["b"]["label"] == "CD4 T cell"
    assert found.codes[2] == -1
    assert np.isnan(found.confidence[2])
    assert np.isnan(found.margin[2])
    assert found.codes[0] == found.codes[3]


def test_margin_and_entropy() -> None:
    values = logs([0.5, 0.3, 0.2], [1 / 3, 1 / 3, 1 / 3])
    np.testing.assert_allclose(margin(values), [0.2, 0.0], atol=FEW)
    np.testing.assert_allclose(entropy(values)[1], np.log(3), rtol=FEW)
    assert entropy(np.array([[0.0, -np.inf]], np.float32))[0] == 0
    assert margin(np.zeros((2, 1), np.float32)).tolist() == [1, 1]
