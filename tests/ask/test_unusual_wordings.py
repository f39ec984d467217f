"""Unusual wordings: answered where one query alone accounts for every word, else not at all."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse.ask import Query, Where
from scbioverse.ask.chunks import linked
from scbioverse.ask.read import Grammar
from scbioverse.tl._ask import asked_rows

GENES = ["CD3D", "LYZ", "NKG7", "MS4A1"]


@pytest.fixture(scope="module")
def adata():
    rng, n = np.random.default_rng(0), 90
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(rng.choice(["T cell", "B cell", "monocyte"], n, p=[0.6, 0.25, 0.15])),
            "leiden": pd.Categorical(rng.choice(["0", "1", "2"], n, p=[0.5, 0.3, 0.2])),
            "donor": pd.Categorical(rng.choice(["donor1", "donor2"], n)),
            "n_genes": rng.integers(300, 900, n).astype(float),
        },
        index=[f"c{i}" for i in range(n)],
    )
    adata = ad.AnnData(rng.poisson(0.8, (n, len(GENES))).astype(np.float32), obs=obs)
    adata.var_names = GENES
    return adata


@pytest.fixture(scope="module")
def asked(adata):
    return asked_rows(adata, groupby="leiden", cells=None, model="", modality="cell", key=None, layer=None,
                      key_added="bioverse", device="cpu", reference=None, text_key="text")  # fmt: skip


@pytest.fixture(scope="module")
def tables(adata):
    t = adata.obs.astype({"cell_type": str, "leiden": str, "donor": str})
    return t, pd.DataFrame(adata.X, index=t.index, columns=GENES)


def read(asked, question):
    return Grammar(asked.names).read(question, linked(question, asked.names))


# Each with the number that pandas gives.
NUMBERS = [
    ("How many B cells did donor1 give?", lambda t, x: ((t.cell_type == "B cell") & (t.donor == "donor1")).sum()),
    ("Is the majority of cluster 1 made of B cells?", lambda t, x: (t.cell_type == "B cell")[t.leiden == "1"].mean()),
    ("Are more than half of the cells T cells?", lambda t, x: (t.cell_type == "T cell").mean()),
    ("Only donor2 please: how many cells?", lambda t, x: (t.donor == "donor2").sum()),
    ("How many B cells do not show any LYZ?", lambda t, x: ((t.cell_type == "B cell") & (x["LYZ"] == 0)).sum()),
    ("What percent of the data set is made up of B cells?", lambda t, x: (t.cell_type == "B cell").mean()),
]  # fmt: skip


@pytest.mark.parametrize(("question", "truth"), NUMBERS)
def test_one_number_is_that_of_pandas(asked, tables, question, truth):
    answer = asked.answer(question)
    assert answer.computed
    value = answer.evidence["n"][0] if answer.kind == "count" else answer.evidence["fraction"][0]
    # A mean of at most 90 zeros and ones differs by rounding alone.
    assert value == pytest.approx(truth(*tables), rel=1e-12)


def test_the_group_with_the_highest_mean(asked, tables):
    t, x = tables
    answer = asked.answer("In which cluster is NKG7 strongest?")
    means = x["NKG7"].groupby(t.leiden).mean()
    assert answer.text.startswith(f"leiden {means.idxmax()}")


def test_the_most_complex_group_has_the_most_genes(asked, tables):
    t, _ = tables
    answer = asked.answer("Which cluster is most complex?")
    assert answer.value == [t.groupby("leiden")["n_genes"].mean().idxmax()]


def test_a_follow_up_by_two_columns_is_no_error(adata):
    talk = sb.Chat(adata, model="none-is-loaded", reader="rules", groupby="leiden")
    talk.ask("How many B cells are there per cluster?")
    assert not talk.ask("And per donor and cluster?").computed


@pytest.mark.parametrize("sides", [("T cells", "B cells"), ("B cells", "T cells")])
def test_sides_keep_their_order(asked, tables, sides):
    t, _ = tables
    n = t.cell_type.value_counts()
    more = n[sides[0][:-1]] > n[sides[1][:-1]]
    for question in (f"Do we have more {sides[0]} than {sides[1]}?", f"Do {sides[0]} exceed {sides[1]}?"):
        answer = asked.answer(question)
        assert answer.text.startswith("Yes" if more else "No")


@pytest.mark.parametrize(
    "question",
    [
        "How many B cells are in the largest cluster?",
        "What is the mean LYZ in the largest cluster?",
        "What share of the largest cluster are B cells?",
        "List B cells in the largest cluster",
        "Which cluster is largest and how many B cells are there?",
        "Which clusters are largest and smallest?",
        "How many times more B cells than T cells are there per donor?",
        "Which donor gave LYZ?",
        "Which gene is highest in B cells?",
        "Which cell type has the most LYZ?",
        "Are most B cells, in donor1, in cluster 1?",
        "Do B cells and T cells both make more LYZ?",
        "Is cluster 1 not mostly B cells of donor1?",
        "How many sick B cells did donor1 give?",
        "List clusters with LYZ",
        "What distinguishes B cells from cells in donor1?",
        "by donor, please",
        "how many, in percent",
        "How many B cells and T cells with no LYZ are there?",
        "Only B cells: what is the mean age?",
    ],
)
def test_what_has_no_single_reading_is_refused(asked, question):
    assert not isinstance(read(asked, question), sb.ask.Query)


def test_a_share_in_a_group_is_of_its_cells(asked):
    # "What share of B cells is in donor1" is another question.
    made = read(asked, "What is the share of B cells in donor1?")
    assert (made.where.column, made.among.column) == ("cell_type", "donor")
    other = read(asked, "What share of B cells is in donor1?")
    assert (other.where.column, other.among.column) == ("donor", "cell_type")


def test_what_goes_on_from_another_question_is_not_read_alone(adata):
    talk = sb.Chat(adata, model="none-is-loaded", reader="rules", groupby="leiden")
    assert talk.ask("How many B cells are there?").computed
    inside = (adata.obs["cell_type"] == "B cell") & (adata.obs["donor"] == "donor1")
    assert talk.ask("From them, donor1 gave how many?").value == inside.sum()


def test_groups_with_more_of_one_side(asked, tables):
    t, _ = tables
    answer = asked.answer("Which clusters have more cells in donor1 than in donor2?")
    counts = t.groupby(["leiden", "donor"]).size().unstack(fill_value=0)
    more = counts.index[counts["donor1"] > counts["donor2"]]
    assert answer.computed
    assert f": {len(more)} of 3 groups" in answer.text
    assert all(f"{name}: {counts.loc[name, 'donor1']} cells and" in answer.text for name in more)


def test_spread_and_correlation(asked, tables):
    t, x = tables
    b = t.cell_type == "B cell"
    answer = asked.answer("What is the standard deviation of n_genes of B cells?")
    assert answer.evidence["std"].tolist() == [pytest.approx(t.n_genes[b].std())]
    answer = asked.answer("What is the correlation of LYZ and NKG7 in B cells?")
    assert answer.evidence["correlation"].tolist() == [pytest.approx(x.LYZ[b].corr(x.NKG7[b]), rel=1e-5)]
    assert not asked.answer("What is the correlation of LYZ?").computed


def test_what_has_no_value_is_neither_first_nor_compared(adata):
    lone = adata[adata.obs["leiden"] != "2"].copy()
    lone.obs["leiden"] = ["lone", *lone.obs["leiden"].astype(str)[1:]]
    lone.obs["measured"] = lone.obs["n_genes"].where(lone.obs["donor"] == "donor2")

    def ask(question):
        return sb.tl.ask(lone, question, groupby="leiden", model="none-is-loaded", reader="rules")

    # One cell has no spread: it is said to have none, and is not the group with the highest.
    spread = lone.obs.groupby("leiden")["n_genes"].std()
    assert ask("Which cluster has the highest standard deviation of n_genes?").text.startswith(
        f"leiden {spread.idxmax()}: the highest"
    )
    assert ask("What is the standard deviation of n_genes per cluster?").text.endswith("lone: no value.")
    for question in ("Which of donor1 and donor2 has the highest mean measured?",
                     "Is the mean measured higher in donor2 than in donor1?"):  # fmt: skip
        answer = ask(question)
        assert not answer.computed
        assert "there is no value for donor1" in answer.text
    assert ask("Compare the mean measured of donor1 and donor2").computed


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("What is the correlation of LYZ and NKG7?", "And n_genes?"),
        ("What is the correlation of LYZ and NKG7?", "And the mean?"),
        ("What is the ratio of B cells to T cells?", "And per donor?"),
        ("What distinguishes B cells from T cells?", "And per donor?"),
    ],
)
def test_a_follow_up_that_makes_no_number_is_refused(adata, first, then):
    talk = sb.Chat(adata, model="none-is-loaded", reader="rules", groupby="leiden")
    assert talk.ask(first).computed
    assert not talk.ask(then).computed


def test_what_there_is_none_of_is_said(asked):
    for question in ("List the 0 B cells with the highest n_genes", "List the 90th cell by n_genes of B cells"):
        assert not asked.answer(question).computed
    parts = tuple(Where(op="is", field="obs:donor", values=(one,)) for one in ("donor1", "donor2"))
    empty = asked.answer(Query(want="markers", by="leiden", where=Where(op="and", parts=parts)))
    assert not empty.computed
    assert "no cells" in empty.text
    n = "no number 2 by n_genes: 1 have a value"
    lone = Query(
        want="list", where=Where(op="is", field="row", values=("c3",)), of=("obs:n_genes",), show="rank", nth=2
    )
    assert n in asked.answer(lone).text
    none = asked.answer("What is the ratio of B cells to platelets?")
    assert "inf" not in none.text


def test_a_group_is_known_by_its_letter_and_number(asked, tables):
    t, _ = tables
    answer = asked.answer("How many cells are in D1?")
    assert answer.evidence["n"].tolist() == [(t.donor == "donor1").sum()]
    assert "Read 'D1' as 'donor1'." in answer.text
    assert not asked.answer("How many cells are in D3?").computed
