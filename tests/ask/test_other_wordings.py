"""One question in many wordings: each is answered alike, and what differs in meaning is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import scbioverse as sb
from benchmarks.ask import made

if TYPE_CHECKING:
    from anndata import AnnData


@pytest.fixture(scope="module")
def cells() -> tuple[AnnData, dict[str, Any]]:
    adata, truths, _ = made("cells")
    return adata, truths


def asked(cells: tuple[AnnData, dict[str, Any]], question: str) -> Any:
    return sb.tl.ask(cells[0], question, groupby="leiden", reader="rules")


ALIKE = {
    "How many B cells are in donor1?": [
        "Filter donor = donor1, then count the B cells",
        "Take only donor1; how many B cells are there?",
        "When I look at only donor1, how many B cells are there?",
        "The authors should state how many B cells are in donor1.",
        "Count B cells, only individual donor1.",
    ],
    "How many cells express both CD3D and CD8A?": [
        "number of CD3D+ CD8A+ double positive cells",
        "Count cells where CD3D > 0 and CD8A > 0",
        "count of cells with detectable expression of both genes, CD3D and CD8A",
        "In how many cells are the two genes CD3D and CD8A detected at once?",
    ],
    "How many cells express none of CD3D, CD79A and LYZ?": [
        "number of cells negative for all three genes CD3D, CD79A and LYZ",
        "In how many cells are CD3D, CD79A and LYZ all undetected?",
        "What is the number of cells without any of CD3D, CD79A and LYZ?",
        "CD3D- CD79A- LYZ- triple negative cells, how many of them do we have?",
    ],
    "How many cells express CD14 or FCGR3A?": [
        "How many cells show CD14, FCGR3A, or both of these?",
        "cells expressing CD14 and/or FCGR3A, how many?",
        "How many cells express either CD14 or FCGR3A, or both?",
        "How many cells express CD14 and FCGR3A or both?",
    ],
    "What fraction of the cells of donor2 is B cells?": [
        "Please compute the share of B cells within donor 2.",
        "In donor2, B cells make up what percentage of the cells?",
        "I am wondering how large the percentage of B cells is within donor 2.",
    ],
    "What fraction of B cells is from stim?": [
        "Taking only B cells, what percent of them are from stim?",
        "As for B cells, what percentage of them comes from stim?",
    ],
    "How many cells per cell type?": [
        "How many cells does each of the cell types have?",
        "breakdown of cell numbers across all annotated cell types",
        "Can you list the cell types with their cell counts?",
        "Group by cell_type and count cells.",
    ],
    "Which cell type has the highest mean n_genes?": [
        "Group by cell_type, take the mean of n_genes, return the top one.",
        "If you average n_genes within each cell type, which one comes out on top?",
    ],
    "Which cell type is the second most common?": [
        "If you rank the cell types by size, which one is in second place?",
        "Please name the cell type that ranks second in abundance.",
    ],
    "Which clusters are T cells?": [
        "T cell clusters?",
        "List the leiden clusters that correspond to T cells.",
        "What cluster numbers should I label as T cells?",
        "The clusters that are T cells, which ones are they?",
    ],
    "Is cluster 3 B cells?": [
        "cluster 3 = B cells, right?",
        "Can I label leiden cluster 3 as B cells?",
        "Please confirm whether cluster 3 is the B cell cluster.",
    ],
    "Are there any plasma cells?": [
        "Please check whether plasma cells are present among the cell types.",
        "Is plasma cell one of the annotated cell types here?",
        "any plasma cells annotated?",
    ],
    "Compare the number of B cells between ctrl and stim": [
        "How many B cells are in ctrl and how many are in stim?",
        "Break the B cell count down by condition (stim versus ctrl).",
        "B cell counts, ctrl vs stim",
    ],
    "What is the ratio of CD4 T cells to CD8 T cells?": [
        "For every CD8 T cell, how many CD4 T cells are there?",
        "What is the quotient of the CD4 T cell count over the CD8 T cell count?",
    ],
    "How many donors are there?": ["From how many donors were the cells taken?", "total of donors who gave cells"],
    "How many genes were measured?": ["Total gene count of the expression matrix, please.", "number of distinct genes"],
}


@pytest.mark.parametrize(("plain", "other"), [(plain, one) for plain, others in ALIKE.items() for one in others])
def test_a_question_is_answered_alike_in_other_words(
    cells: tuple[AnnData, dict[str, Any]], plain: str, other: str
) -> None:
    wanted, found = asked(cells, plain), asked(cells, other)
    assert wanted.computed
    assert found.computed, found.text
    assert found.value == wanted.value, found.text


@pytest.mark.parametrize(
    "question",
    [
        # None of them, or not all of them?
        "How many cells are there in which all three of CD3D, CD79A and LYZ are not expressed?",
        "How many cells are without all three of CD3D, CD79A and LYZ?",
        # A share of NK cells, or of all?
        "NK cells with both GNLY and NKG7, what percent is it",
        # Two genes, or three? And what is grouped how, and which two are wanted?
        "the two genes CD3D, CD8A and LYZ are expressed in how many cells",
        "Group by donor, count, return the top two",
        # Two means.
        "mean of LYZ and CD74 in B cells",
    ],
)
def test_what_has_two_meanings_is_refused(cells: tuple[AnnData, dict[str, Any]], question: str) -> None:
    found = asked(cells, question)
    assert not found.computed, found.text


def test_subsets_of_a_type_are_counted_not_their_cells(cells: tuple[AnnData, dict[str, Any]]) -> None:
    for question in ("number of T cell subsets", "How many kinds of T cells are there?"):
        assert asked(cells, question).value == 3


def test_lymphocytes_are_named_with_their_letter(cells: tuple[AnnData, dict[str, Any]]) -> None:
    assert (
        asked(cells, "How many cells are not T lymphocytes?").value
        == asked(cells, "How many cells are not T cells?").value
    )
    assert asked(cells, "How many T lymphocytes are there?").text.startswith("Cells labelled T cell (")
    assert asked(cells, "How many T and NK cells are there?").value == 1451 + 155


def test_most_often_is_a_share(cells: tuple[AnnData, dict[str, Any]]) -> None:
    _, truths = cells
    shares = truths["e"]("PPBP").groupby(truths["t"]["leiden"]).mean()
    assert asked(cells, "Which cluster is most often positive for PPBP?").value == [shares.idxmax()]


def test_the_end_of_a_name_is_no_plural(cells: tuple[AnnData, dict[str, Any]]) -> None:
    adata = cells[0].copy()
    adata.obs["site"] = ["ins" if i % 4 else "outs" for i in range(adata.n_obs)]
    found = sb.tl.ask(adata, "How many B cells in ins?", groupby="leiden", reader="rules")
    wanted = int(((adata.obs["cell_type"] == "B") & (adata.obs["site"] == "ins")).sum())
    assert (found.computed, found.value) in ((True, wanted), (False, None))


def test_a_statement_before_a_question_is_passed_over_and_said(cells: tuple[AnnData, dict[str, Any]]) -> None:
    found = asked(cells, "Several cell types are annotated in this data. How many of the cells are T cells?")
    assert found.value == 1451
    assert "Read without 'Several cell types are annotated in this data.'" in found.text


@pytest.mark.parametrize(
    "question",
    [
        "Stimulated cells died. How many cells are there?",
        "The cells come from several donors; how many are there exactly?",
        "Doublets were removed. How many cells are there?",
        "A cell counts as B if it has MS4A1. How many B cells are there?",
        "The experiment has four conditions. How many cells are in ctrl?",
        "Imagine twice as many B cells. How many B cells are there?",
    ],
)
def test_a_statement_that_says_more_than_the_question_is_not_passed_over(
    cells: tuple[AnnData, dict[str, Any]], question: str
) -> None:
    found = asked(cells, question)
    assert not found.computed, found.text


def test_an_answer_names_the_column_of_labels_where_there_are_several(cells: tuple[AnnData, dict[str, Any]]) -> None:
    adata = cells[0].copy()
    assert "Labels are those of" not in asked((adata, {}), "How many NK cells are there?").text
    adata.obs["published"] = adata.obs["cell_type"].cat.rename_categories({"NK": "Natural killer"})
    said = {one: asked((adata, {}), f"How many {one} are there?").text for one in ("NK", "Natural killer cells")}
    assert all("Labels are those of obs['" in text or "columns" in text for text in said.values()), said
