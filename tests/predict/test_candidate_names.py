"""Candidates as users hand them in: what is the same gives the same, and what is not works or is refused."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse.predict.candidates import read_labels

if TYPE_CHECKING:
    from pathlib import Path

    from scbioverse.models import BioVerse

TYPES = ["B cell", "CD14 monocyte", "CD8 T cell", "NK cell", "platelet"]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sb.settings, "progress", False)


def called(cells: ad.AnnData, model: BioVerse, labels: Any) -> list[str]:
    done = sb.tl.annotate(cells, model=model, labels=labels, method="nearest", unknown_threshold=0, copy=True)
    return list(done.obs["bioverse_label"].astype(str))


@pytest.fixture
def model(tiny_model: BioVerse) -> BioVerse:
    cell = tiny_model.config.encoders["cell"]
    tiny_model.config.encoders["cell"] = replace(cell, methods=("nearest",))
    return tiny_model


@pytest.mark.parametrize(
    "given",
    [
        lambda: (one for one in TYPES),
        lambda: tuple(TYPES),
        lambda: pd.Index(TYPES),
        lambda: pd.Series(TYPES, index=range(5, 10)),
        lambda: pd.Categorical(TYPES),
        lambda: np.array(TYPES),
        lambda: np.array(TYPES, dtype=object),
        lambda: dict.fromkeys(TYPES, ""),
        lambda: dict.fromkeys(TYPES),
        lambda: dict.fromkeys(TYPES, float("nan")),
        lambda: [f"  {one.replace(' ', '   ')} " for one in TYPES],
    ],
    ids=["generator", "tuple", "Index", "Series", "Categorical", "str", "object", "''", "None", "NaN", "blanks"],
)
def test_any_iterable_of_the_same_names_is_the_same(cells: ad.AnnData, model: BioVerse, given: Any) -> None:
    assert called(cells, model, given()) == called(cells, model, TYPES)


def test_a_column_of_labels_is_its_different_names(cells: ad.AnnData, model: BioVerse) -> None:
    with pytest.warns(UserWarning, match="labels repeat and are used once each"):
        found = called(cells, model, cells.obs["cell_type"])
    assert found == called(cells, model, list(dict.fromkeys(cells.obs["cell_type"])))


@pytest.mark.parametrize("none", ["unknown", "Unknown", "nan", "NA", "unassigned"])
def test_what_stands_for_no_label_is_left_out(cells: ad.AnnData, model: BioVerse, none: str) -> None:
    with pytest.warns(UserWarning, match=f"'{none}' names no cell type and is left out"):
        found = called(cells, model, [*TYPES, none])
    assert found == called(cells, model, TYPES)


def test_of_nothing_but_those_nothing_is_left(cells: ad.AnnData, model: BioVerse) -> None:
    with pytest.raises(sb.errors.InputError, match="labels name no cell type"):
        called(cells, model, ["unknown", "nan"])


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (5, "labels is of type int"),
        (b"B cell", "labels is of type bytes"),
        ([b"B cell", "T cell"], "a value of type bytes"),
        ([{"B cell": 1}, "T cell"], "a value of type dict"),
        ([None, "T cell"], "missing value"),
        ([pd.NA, "T cell"], "missing value"),
        (["", "T cell"], "empty name"),
        (["B\x1b[2J", "T cell"], r"control character '\\x1b'"),
        (["B\ud800", "T cell"], r"control character '\\ud800'"),
        ({"B cell": 236, "T cell": ""}, "is of type int"),
        ({"B cell": "CL:0000236", "b cell": "CL:0000576"}, "twice, with different meanings"),
        (["T cell"], "nothing to decide"),
    ],
    ids=str,
)
def test_what_is_no_list_of_names_is_refused(cells: ad.AnnData, model: BioVerse, labels: Any, words: str) -> None:
    before = cells.copy()
    with pytest.raises(sb.errors.InputError, match=words):
        sb.tl.annotate(cells, model=model, labels=labels, method="nearest")
    pd.testing.assert_frame_equal(cells.obs, before.obs)
    assert set(cells.obsm) == set(before.obsm)
    assert cells.uns.keys() == before.uns.keys()


def test_a_column_of_a_hundred_thousand_cells_is_no_hundred_thousand_labels(cells: ad.AnnData, model: BioVerse) -> None:
    # Counting repeats by searching would take hours.
    with pytest.warns(UserWarning, match="labels repeat"):
        assert called(cells, model, TYPES * 20_000) == called(cells, model, TYPES)


def test_hundreds_of_labels(cells: ad.AnnData, model: BioVerse, tmp_path: Path) -> None:
    names = [f"type {n} of {n % 97}" for n in range(300)]
    with pytest.warns(UserWarning, match="300 of 300 labels match no Cell Ontology term") as told:
        done = sb.tl.annotate(cells[:5].copy(), model=model, labels=names, method="nearest", copy=True)
    assert all(len(str(one.message)) < 1000 for one in told)
    done.write_h5ad(tmp_path / "a.h5ad")
    assert list(ad.read_h5ad(tmp_path / "a.h5ad").obs["bioverse_label"]) == list(done.obs["bioverse_label"])


def test_ids_mapped_to_names_are_said_to_stand_the_wrong_way_round() -> None:
    from scbioverse.predict.candidates import read_names

    with pytest.warns(UserWarning, match=r"turn the mapping around: labels=\{'B cell': 'CL:0000236'\}"):
        read_names({"CL:0000236": "B cell", "CL:0000084": "T cell"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_names({"CL:0000236": "", "CL:0000084": ""})
        read_names({"CL:0000236": "CL:0000236", "CL:0000084": "CL:0000084"})
        read_names({"B": "CL:0000236", "T": "CL:0000084"})


def test_names_of_molecules_are_not_looked_up_among_cells(model: BioVerse) -> None:
    from scbioverse.predict.candidates import read_labels

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_labels(["PC", "B", "stimulant"], model, modality="molecule")
    assert [(one.name, one.text, one.cl_id) for one in found] == [(one, one, None) for one in ("PC", "B", "stimulant")]
    with pytest.warns(UserWarning, match="match no Cell Ontology term"):
        assert [one.cl_id for one in read_labels(["B", "stimulant"], model)] == ["CL:0000236", None]


@pytest.mark.parametrize(
    ("labels", "scored"),
    [
        (["Naive CD4+ T", "Effector CD4+ T", "NK"], ["CL:0000895", "CL:0000897", "CL:0000623"]),
        (["Naive CD8 T", "Effector CD8 T", "Effector CD4 T"], ["CL:0000900", "CL:0000909", "CL:0000897"]),
        (["naive T cell", "effector T cell"], ["CL:0000898", "CL:0000813"]),
        (["Naive CD8 T", "Effector CD8 T", "Exhausted CD8 T"], ["CL:0000900", "CL:0000909", "CL:0020031"]),
        (["Naive CD4 T", "Effector CD4 T", "Th1", "Th17"], ["CL:0000895", "CL:0000897", "CL:0000545", "CL:0000899"]),
        # Memory cells have a name of their own, or nothing parts naive cells from others.
        (["Naive CD8 T", "Effector CD8 T", "Memory CD8 T"], ["CL:0000900", "CL:0001050", "CL:0000909"]),
        (["Naive CD8 T", "Effector CD8 T", "TEMRA"], ["CL:0000900", "CL:0001050", "CL:4030002"]),
        (["Effector CD8 T", "B cell"], ["CL:0001050", "CL:0000236"]),
    ],
)
def test_effector_beside_naive_alone_is_all_that_is_not_naive(
    tiny_model: BioVerse, labels: list[str], scored: list[str]
) -> None:
    found = read_labels(labels, tiny_model)
    assert found.terms == scored
    # The label keeps the term that its name means.
    assert not {one.cl_id for one in found if "ffector" in one.name} & {"CL:0000897", "CL:0000909", "CL:0000813"}


@pytest.mark.parametrize(
    "labels",
    [
        ["naive T cell", "CL:0000911"],
        {"naive T cell": "CL:0000898", "E": "CL:0000911"},
        {"naive T cell": ["CCR7", "SELL"], "effector T cell": ["GZMB", "PRF1"]},
    ],
    ids=["id", "mapping", "genes"],
)
def test_who_gives_an_id_or_genes_for_effector_cells_means_these(tiny_model: BioVerse, labels: Any) -> None:
    assert read_labels(labels, tiny_model).terms == ["CL:0000898", "CL:0000911"]
