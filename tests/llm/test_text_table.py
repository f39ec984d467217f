from __future__ import annotations

import numpy as np
import pytest

from scbioverse.errors import InputError
from scbioverse.models.shared_space import TextTable
from tests._precision import UNIT

TEXTS = ["B cell", "T cell", "natürliche Killerzelle", ""]


@pytest.fixture
def vectors() -> np.ndarray:
    drawn = np.random.default_rng(0).normal(size=(4, 32)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_known_texts_are_found_in_any_order(vectors: np.ndarray) -> None:
    table = TextTable.build(TEXTS, vectors)
    known, rows = table.find(["T cell", "Zorblax", "", "B cell", "t cell"])
    assert known.tolist() == [True, False, True, True, False]
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=UNIT)
    assert ((rows * vectors[[1, 3, 0]]).sum(axis=1) > 0.9999).all()
    assert table.find(["Zorblax"])[1].shape == (0, 32)


def test_through_tensors(vectors: np.ndarray) -> None:
    table = TextTable.build(TEXTS, vectors)
    again = TextTable.from_tensors(table.tensors(), 32)
    assert len(again) == 4
    for one, other in zip(table.find(TEXTS), again.find(TEXTS), strict=True):
        np.testing.assert_array_equal(one, other)
    held = table.tensors()
    for wrong, dim in (
        ({"keys": held["keys"]}, 32),
        (held, 31),
        (held | {"codes": held["codes"][:2]}, 32),
        (held | {"codes": held["codes"].float()}, 32),
    ):
        with pytest.raises(ValueError, match="table of texts"):
            TextTable.from_tensors(wrong, dim)


def test_what_cannot_be_kept(vectors: np.ndarray) -> None:
    for texts in ([], ["a"] * 4, TEXTS[:3]):
        with pytest.raises(InputError, match="different texts and a row for each"):
            TextTable.build(texts, vectors)
