"""Malignant cells among the candidates of `annotate`: lines of lung adenocarcinoma, and what the user is told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

import scbioverse as sb
from scbioverse.errors import BioverseError
from scbioverse.knowledge import resolve_label
from scbioverse.predict.candidates import Candidates, Label
from scbioverse.predict.decide import outside_terms

if TYPE_CHECKING:
    from anndata import AnnData

    from scbioverse.models import BioVerse

MALIGNANT, HEPATOCYTE, MELANOCYTE, T, NK = "CL:0001064", "CL:0000182", "CL:0000148", "CL:0000084", "CL:0000623"


def test_origins_are_not_outside_of_a_malignant_candidate() -> None:
    vocabulary = [HEPATOCYTE, MELANOCYTE, T, NK]
    assert outside_terms(tuple(vocabulary), (T,)) == (HEPATOCYTE, MELANOCYTE, NK)
    assert outside_terms(tuple(vocabulary), (T, MALIGNANT)) == (NK,)


def test_the_user_is_told_what_the_label_stands_for(
    cells: AnnData, tiny_model: BioVerse, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"model": tiny_model, "rationale": None, "copy": True}
    with caplog.at_level(logging.WARNING, logger="scbioverse"):
        sb.tl.annotate(cells, labels=["B cell", "NK cell"], **options)
        assert "malignant" not in caplog.text
        sb.tl.annotate(cells, labels=["B cell", "Tumor"], **options)
        sb.tl.annotate(cells, labels=["NK cell", "melanoma"], **options)
        sb.tl.annotate(cells, labels=["B cell", "malignant B cell"], **options)
    assert "no gene marks malignant cells as such" in caplog.text
    assert "'Tumor' for epithelial cell, " in caplog.text
    assert "'melanoma' for melanocyte." in caplog.text
    assert "'malignant B cell' for nothing, since another label has its type." in caplog.text


def terms_of(*names: str) -> list[str | None]:
    labels = [Label(name, name, resolve_label(name).cl_id, name, "rule") for name in names]
    return Candidates(tuple(labels)).terms


def test_a_name_that_says_what_a_tumour_comes_from_is_judged_by_that() -> None:
    assert terms_of("Malignant", "T cell") == [MALIGNANT, T]
    assert terms_of("melanoma", "T cell") == [MELANOCYTE, T]
    assert terms_of("T cell lymphoma", "NK cell") == [T, NK]
    # A label for the healthy type, or one that holds it, keeps it.
    assert terms_of("T cell lymphoma", "T cell") == [None, T]
    assert terms_of("malignant hepatocytes", "epithelial cell") == [None, "CL:0000066"]
    assert terms_of("Cancer Epithelial", "hepatocyte") == ["CL:0000066", HEPATOCYTE]


def test_a_label_judged_by_nothing_leaves_elsewhere_as_it_is(cells: AnnData, tiny_model: BioVerse) -> None:
    tiny_model.config.default_labels = [T, NK, MELANOCYTE]
    options = {"model": tiny_model, "unknown_threshold": 0.01, "rationale": None, "copy": True}
    alone = sb.tl.annotate(cells, labels=["T cell", "B cell"], **options)
    beside = sb.tl.annotate(cells, labels=["T cell", "B cell", "malignant T cell"], **options)
    assert {"bioverse_elsewhere"} <= set(alone.obs) & set(beside.obs)


@pytest.mark.parametrize("method", ["cascade", "nearest"])
def test_tumour_lines_are_malignant_and_blood_is_not(method: str) -> None:
    ad = pytest.importorskip("anndata")
    try:
        lines = ad.read_h5ad(sb.datasets.fetch("sc_mixology_celllines"))
    except BioverseError as error:
        pytest.skip(f"needs the registry's data: {error}")
    lines = lines[::7].copy()
    blood = sb.datasets.pbmc3k()[::30].copy()
    both = ad.concat([lines, blood], join="inner")
    labels = ["malignant cell", "T cell", "B cell", "NK cell", "monocyte", "fibroblast", "endothelial cell"]
    sb.tl.annotate(both, labels=labels, method=method, unknown_threshold="auto")
    called = both.obs["bioverse_label"].astype(str).to_numpy() == "malignant cell"
    assert called[: lines.n_obs].mean() > 0.95
    assert called[lines.n_obs :].mean() < 0.02
    reasons = both.obs.loc[called, "bioverse_rationale"].unique()
    assert len(reasons) == 1
    assert "from which tumours come; no gene marks malignant cell itself" in reasons[0]
