"""Wordings: what differs little and means the same, and what differs little and must not be answered alike."""

from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb

KINDS = np.array(["naive B cell", "memory B cell", "NK", "CD8 T", "CD4 T", "CD14+ Mono"])


@pytest.fixture(scope="module")
def study() -> ad.AnnData:
    """Return 240 cells with columns as studies have them; counts of three genes."""
    n = np.arange(240)
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(KINDS[n // 3 % 6]),
            "donor": pd.Categorical([f"d{i % 4 + 1}" for i in n]),
            "condition": pd.Categorical(np.where(n % 3, "ctrl", "stim")),
            "sex": pd.Categorical(np.where(n % 4 < 2, "female", "male")),
            "age": np.where(n % 10, 30.0 + 10 * (n % 4), np.nan),
            "predicted_doublet": n % 7 == 0,
        },
        index=[f"c{i}" for i in n],
    )
    X = np.stack([n % 3, n % 5, 1 + n % 2], axis=1).astype(np.float32)
    return ad.AnnData(X, obs=obs, var=pd.DataFrame(index=["CD3D", "MS4A1", "LYZ"]))


def ask(adata: ad.AnnData, question: str) -> Any:
    return sb.tl.ask(adata, question, groupby="donor", model="no-such-model", reader="rules")


def test_true_or_false_ages_and_what_is_missing(study: ad.AnnData) -> None:
    obs = study.obs
    b = obs["cell_type"].astype(str).str.contains("B cell")
    for question, rows in {
        "How many are doublets?": obs["predicted_doublet"],
        "How many B cells are not doublets?": b & ~obs["predicted_doublet"],
        "How many cells are older than 45?": obs["age"] > 45,
        "How many B cells are at least 40 years old?": b & (obs["age"] >= 40),
        "How many cells have a missing age?": obs["age"].isna(),
        "How many B cells come from women?": b & (obs["sex"] == "female"),
        "How many B cells are from donors over 45?": b & (obs["age"] > 45),
        "How many B cells are from male donors?": b & (obs["sex"] == "male"),
        "Without d1, how many NK cells are there?": (obs["cell_type"] == "NK") & (obs["donor"] != "d1"),
        "How many cells are neither B nor NK?": ~b & (obs["cell_type"] != "NK"),
        "How many naive and memory B cells are there?": b,
        "How common are B cells expressing MS4A1?": b & (study[:, "MS4A1"].X[:, 0] > 0),
    }.items():
        answer = ask(study, question)
        assert answer.computed, question
        assert answer.evidence["n"].tolist() == [int(rows.sum())], question


def test_two_columns_and_the_most_in_each_group(study: ad.AnnData) -> None:
    counted = ask(study, "How many cells per donor and condition?").evidence.set_index("group")["n"]
    sizes = study.obs.groupby(["donor", "condition"], observed=True).size()
    assert counted.to_dict() == {f"{a}, {b}": int(n) for (a, b), n in sizes.items()}
    answer = ask(study, "How many cell types are there per donor?")
    kinds = study.obs.groupby("donor", observed=True)["cell_type"].nunique()
    assert answer.evidence.set_index("group")["n"].to_dict() == {str(name): int(n) for name, n in kinds.items()}


def test_a_slip_of_the_pen_is_read_and_said(study: ad.AnnData) -> None:
    answer = ask(study, "How many monocyts are there?")
    assert answer.evidence["n"].tolist() == [int((study.obs["cell_type"] == "CD14+ Mono").sum())]
    assert "Read 'monocyts' as 'monocyte'." in answer.text
    # Another word is no slip.
    assert not ask(study, "How many marked cells are there?").computed


@pytest.mark.parametrize(
    "question",
    [
        "How many B cells per d1?",
        "How many women are there?",
        "How many donors over 45 are there?",
        "How many cells express one of CD3D and MS4A1?",
        "How many T cells but B cells are there?",
        "How many cells are neither B cells nor express CD3D?",
        "How many cells without both CD3D and MS4A1?",
        "How many cells express only CD3D?",
        "Rank the donors by CD3D and LYZ",
        "What is the mean of CD3D and LYZ in B cells?",
        "Compare the B cells and NK cells of ctrl and stim",
        "What is the fold change between ctrl and stim?",
        "Which donors have an age above 45?",
        "Does d1 have more B cells than ctrl?",
        "How many cell types per donor and condition?",
        "Second most common cell type in each donor?",
        "How many cells are old?",
    ],
)
def test_what_is_near_to_a_question_but_none_is_refused(study: ad.AnnData, question: str) -> None:
    assert not ask(study, question).computed


def test_the_side_that_is_asked_about_is_said_with_its_number(study: ad.AnnData) -> None:
    kinds = study.obs["cell_type"].astype(str)
    b, nk = kinds.str.contains("B cell").sum(), (kinds == "NK").sum()
    fewer = ask(study, "How many fewer NK cells than B cells are there?")
    assert fewer.text.startswith("Difference between")
    assert f": {b - nk}." in fewer.text
    more = ask(study, "Does d1 have more B cells than NK cells?").evidence["n"].tolist()
    d1 = study.obs["donor"] == "d1"
    assert more == [int((d1 & kinds.str.contains("B cell")).sum()), int((d1 & (kinds == "NK")).sum())]


def test_what_is_needed_is_not_counted(study: ad.AnnData) -> None:
    answer = ask(study, "How many NK cells do I need?")
    assert not answer.computed
    assert "'do I need' was not understood" in answer.text
    assert ask(study, "I need the number of NK cells").computed


def test_which_has_more_without_than_is_the_most(study: ad.AnnData) -> None:
    for said, meant in {
        "Which condition has more NK cells?": "Which condition has the most NK cells?",
        "Which donor has fewer NK cells?": "Which donor has the fewest NK cells?",
        "Which donor has a higher fraction of NK cells?": "Which donor has the highest fraction of NK cells?",
    }.items():
        assert ask(study, said).computed, said
        assert ask(study, said).text == ask(study, meant).text, said
    # More than where?
    assert not ask(study, "Which cell types have more cells in stim?").computed
    counts = study.obs.groupby(["cell_type", "condition"], observed=True).size().unstack(fill_value=0)
    more = counts.index[counts["stim"] > counts["ctrl"]]
    answer = ask(study, "Which cell types have more cells in stim than ctrl?")
    assert f": {len(more)} of {len(counts)} groups" in answer.text


def test_numbers_of_groups_are_said_plainly(study: ad.AnnData) -> None:
    small = study[:12].copy()
    answer = ask(small, "Which cell types have fewer than 4 cells?")
    assert answer.computed
    assert "of the cells are there" not in answer.text
    none = ask(study, "Is there any donor without NK cells?")
    assert none.computed
    assert none.text.startswith("No group of donor fits: there are no cells labelled NK; the lowest is d")
    assert (
        ask(study, "Which donors have more than 900 cells?").text
        == "No group of donor fits: > 900 cells; the highest is d1 (60 cells)."
    )
    assert ask(study, "Which donors are NK?").text.startswith(
        "No group of donor fits: more than half of the cells are labelled NK; the highest is d"
    )
