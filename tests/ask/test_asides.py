"""What an asker says of himself, what is named before it is asked about, and other ways of writing."""

from __future__ import annotations

import pytest

import scbioverse as sb


@pytest.fixture(scope="module")
def cells():
    adata = sb.datasets.pbmc3k()
    adata.obs["time_point"] = ["day0", "day7"] * (adata.n_obs // 2)
    adata.obs["smoking"] = ["never", "current", "former"] * (adata.n_obs // 3)
    adata.obs["Phase"] = ["G1", "S", "G2M"] * (adata.n_obs // 3)
    return adata


def _of(adata, text):
    return sb.tl.ask(adata, text, groupby="cell_type", reader="rules")


def test_an_aside_is_left_out_and_told(cells):
    plain = _of(cells, "How many B cells express CD79A?")
    for aside in ("Sorry, bit of a rush - ", "Hi! I have a meeting at noon. ", "We stained for tryptase last week. "):
        answer = _of(cells, f"{aside}how many B cells express CD79A?")
        assert answer.computed
        assert answer.value == plain.value
        assert f"Read without {aside.strip(' -')!r}." in answer.text


@pytest.mark.parametrize(
    "text",
    [
        "I am looking at smokers: how many B cells are there?",
        "We removed the infected ones. How many B cells are there?",
        "I only care about women. How many B cells are there?",
        "My NK cells are fine. How many B cells are there?",
        "Vaccinated: how many B cells are there?",
    ],
)
def test_what_says_of_which_cells_is_no_aside(cells, text):
    assert not _of(cells, text).computed


def test_what_is_named_first_is_it(cells):
    plain = _of(cells, "What percent of B cells express LYZ?")
    assert _of(cells, "LYZ: what percent of B cells express it?").value == plain.value
    assert _of(cells, "LYZ - what percent of B cells have it?").value == plain.value


@pytest.mark.parametrize(
    ("text", "alike"),
    [
        ("hw many B cells are there?", "How many B cells are there?"),
        ("no. of B cells?", "How many B cells are there?"),
        ("B cells, n = ?", "How many B cells are there?"),
        ("How many cells are from time point day7?", "How many cells have time_point day7?"),
        ("How many current smokers' cells are there?", "How many cells are from smoking current?"),
        ("How many cells are cycling (S or G2M)?", "How many cells are in S or G2M?"),
        ("What share of cells is proliferating?", "What share of cells is in S or G2M?"),
    ],
)
def test_other_ways_of_writing(cells, text, alike):
    answer, plain = _of(cells, text), _of(cells, alike)
    assert plain.computed
    assert answer.value == plain.value


def test_smokers_alone_are_no_group(cells):
    assert not _of(cells, "How many smokers are there?").computed


def test_nothing_on_either_side_is_not_compared(cells):
    answer = _of(cells, "Are there more plasma cells in day0 than in day7?")
    assert not answer.computed
    assert "none on either side" in answer.text


def test_the_column_of_the_labels_found_is_named(cells):
    adata = cells[:300].copy()
    adata.obs["bioverse_label"] = adata.obs["cell_type"].astype(str).replace({"NK": "natural killer cell"})
    text = "Which {} expresses GNLY most often?"
    assert "the labels found are in 'bioverse_label'" in sb.tl.ask(adata, text.format("cell type")).text
    assert sb.tl.ask(adata, text.format("predicted type")).value == ["natural killer cell"]
