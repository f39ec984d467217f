from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pytest

import scbioverse as sb
from scbioverse.errors import InputError
from scbioverse.models import BioVerse
from tests._precision import UNIT


def test_one_text(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    sb.tl.retrieve(cells, "cells that secrete antibodies", model=tiny_model)
    score = cells.obs["bioverse_retrieve_0"]
    assert score.dtype == np.float32
    wanted = (
        tiny_model.coordinates(cells.obsm["X_bioverse"])
        @ tiny_model.text_coordinates(["cells that secrete antibodies"]).T
    )
    np.testing.assert_allclose(score, wanted[:, 0], atol=UNIT)
    sb.tl.retrieve(cells, "platelets", model=tiny_model)
    assert "bioverse_retrieve_1" in cells.obs
    assert sb.get.records(cells)["retrieve_1"]["texts"] == [{"name": "platelets", "text": "platelets"}]


def test_several_texts_and_text_by_cell(cells: ad.AnnData, tiny_model: BioVerse, tmp_path: Path) -> None:
    texts = {"b/c": "B cells make antibodies.", "pl": "Platelets clot."}
    sb.tl.retrieve(cells, texts, model=tiny_model, name="two", direction="text")
    table = cells.obsm["bioverse_retrieve_two"]
    assert list(table.columns) == ["b|c", "pl"]
    best = cells.obs["bioverse_retrieve_two"].astype(str)
    assert (best == np.array(["b/c", "pl"])[table.to_numpy().argmax(axis=1)]).all()
    np.testing.assert_allclose(cells.obs["bioverse_retrieve_two_score"], table.max(axis=1))
    cells.write_h5ad(tmp_path / "x.h5ad")
    assert ad.read_h5ad(tmp_path / "x.h5ad").obsm["bioverse_retrieve_two"].shape == (60, 2)


def test_standardised_and_row_order(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    done = sb.tl.retrieve(cells, ["B cell", "platelet"], model=tiny_model, scale="zscore", copy=True)
    assert done is not None
    np.testing.assert_allclose(done.obsm["bioverse_retrieve_0"].mean(), 0, atol=UNIT)
    np.testing.assert_allclose(done.obsm["bioverse_retrieve_0"].std(ddof=0), 1, atol=UNIT)
    order = np.random.default_rng(0).permutation(60)
    turned = sb.tl.retrieve(cells[order].copy(), "B cell", model=tiny_model, copy=True)
    plain = sb.tl.retrieve(cells, "B cell", model=tiny_model, copy=True)
    assert turned is not None
    assert plain is not None
    np.testing.assert_allclose(
        turned.obs["bioverse_retrieve_0"][cells.obs_names], plain.obs["bioverse_retrieve_0"], atol=UNIT
    )


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "no readable character"),
        ("x" * 10_000, {}, "characters"),
        ([], {}, "must hold one"),
        ("B cell", {"direction": "text"}, "two or more"),
        (["B cell", "B  cell"], {}, "same name"),
        ("B cell", {"scale": "x"}, "scale"),
        ("B cell", {"name": "a/b"}, "slot's name"),
    ],
)
def test_bad_texts(cells: ad.AnnData, tiny_model: BioVerse, text: object, options: dict, message: str) -> None:
    before = set(cells.obs) | set(cells.obsm)
    with pytest.raises(InputError, match=message):
        sb.tl.retrieve(cells, text, model=tiny_model, **options)  # type: ignore[arg-type]
    assert set(cells.obs) | set(cells.obsm) == before
