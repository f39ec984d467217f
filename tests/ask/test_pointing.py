"""Words that point back: refused, and named, where nothing is there to point at."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb


@pytest.fixture(scope="module")
def few() -> ad.AnnData:
    obs = pd.DataFrame(
        {"cell_type": pd.Categorical(["B", "B", "NK", "NK"]), "donor": pd.Categorical(["d1", "d2", "d1", "d2"])},
        index=list("abcd"),
    )
    counts = np.array([[3, 0], [2, 1], [0, 4], [0, 2]], dtype=np.float32)
    return ad.AnnData(counts, obs, pd.DataFrame(index=["MS4A1", "NKG7"]))


@pytest.fixture(scope="module")
def drugs() -> ad.AnnData:
    smiles = {"ethanol": "CCO", "solventa": "c1ccccc1", "toluene": "Cc1ccccc1", "chloroform": "ClC(Cl)Cl"}
    kinds = pd.Categorical(["alcohol", "arene", "arene", "halide"])
    table = pd.DataFrame({"smiles": list(smiles.values()), "class": kinds}, index=list(smiles))
    return sb.pp.molecules(table)


POINTING = [
    ("How many of them express NKG7?", "them"), ("What share of these is NKG7 positive?", "these"),
    ("How many of those express NKG7?", "those"), ("Do they express NKG7?", "they"), ("Does it express NKG7?", "it"),
    ("How many of the two express NKG7?", "the two"), ("How many of those three express NKG7?", "those"),
    ("How many of the former express NKG7?", "the former"), ("How many of the latter express NKG7?", "the latter"),
    ("How many of the others express NKG7?", "the others"), ("How many of the same express NKG7?", "the same"),
    ("Does that one express NKG7?", "that one"), ("How many of both express NKG7?", "both"),
    ("Do both express NKG7?", "both"), ("In d1, how many of them express NKG7?", "them"),
    ("What share of that expresses NKG7?", "of that"),
]  # fmt: skip


class Tempted:
    """A model that would answer anything."""

    def read(self, question, links, before=None):
        return sb.ask.Query(want="count")

    def settle(self, *, refused):
        pass


@pytest.mark.parametrize("model", [False, True])
@pytest.mark.parametrize(("question", "word"), POINTING)
def test_a_word_that_points_at_nothing_is_named(few, monkeypatch, question, word, model) -> None:
    monkeypatch.setattr("scbioverse.ask.model_reader.model_reader", lambda *_: Tempted())
    reader = {"reader": "both" if model else "rules"}
    chat = sb.Chat(few, groupby="cell_type", **reader)
    chat._asked.reader.settle(refused=True)  # what a refusal leaves behind
    for answer in (sb.tl.ask(few, question, groupby="cell_type", **reader), chat.ask(question)):
        assert answer.kind == "refusal"
        assert word in answer.text
        assert answer.value is None


def test_this_list_is_that_of_all_rows_until_something_was_asked(drugs) -> None:
    chat = sb.Chat(drugs, modality="molecule", reader="rules")
    assert chat.ask("How many of the compounds in this list contain oxygen?").value == 1
    assert chat.ask("How many arenes are there?").value == 2
    assert "points at" in chat.ask("How many of the compounds in this list contain oxygen?").text


@pytest.mark.parametrize("refused", ["How many wizards are there?", "How many B cells express CD79A?"])
def test_after_a_refusal_nothing_is_pointed_at(few, refused) -> None:
    chat = sb.Chat(few, groupby="cell_type")
    assert chat.ask("How many B cells are there?").value == 2
    assert chat.ask(refused).kind == "refusal"
    assert "points at nothing" in chat.ask("How many of them express NKG7?").text
    assert chat.ask("How many NK cells are there?").value == 2
    assert chat.ask("How many of them express MS4A1?").value == 0


def test_what_the_same_question_names_is_pointed_at(few) -> None:
    for question, n in [
        ("How many of those that express MS4A1 are B cells?", 2), ("NKG7: how many cells express it?", 3),
        ("NK cells, how many of them are there?", 2), ("How many cells express both MS4A1 and NKG7?", 1),
    ]:  # fmt: skip
        assert sb.tl.ask(few, question, groupby="cell_type").value == n, question


def test_the_two_are_the_last_that_were_named(drugs) -> None:
    chat = sb.Chat(drugs, modality="molecule")
    assert chat.ask("How many arenes are there?").value == 2
    assert chat.ask("Which of the two is heavier?").value == ["toluene"]
    assert chat.ask("How many arenes are there?").value == 2
    assert chat.ask("Which of the two is lighter?").value == ["solventa"]
    for words in ("the two", "the three", "those three"):
        alcohols = sb.Chat(drugs, modality="molecule")
        assert alcohols.ask("How many alcohols are there?").value == 1
        answer = alcohols.ask(f"Which of {words} is heavier?")
        assert answer.kind == "refusal"
        assert words in answer.text


def test_it_is_what_the_answer_named(drugs) -> None:
    chat = sb.Chat(drugs, modality="molecule")
    assert chat.ask("Which molecule is the heaviest?").value == ["chloroform"]
    assert chat.ask("How many rings does it have?").value == 0
    chat.ask("Which molecule is the heaviest?")
    assert chat.ask("How many of them contain chlorine?").kind == "refusal"  # one, or all that were looked through?
    assert chat.ask("two heaviest molecules").value == ["chloroform", "toluene"]
    assert chat.ask("How many of them contain chlorine?").value == 1


def test_groups_are_no_rows_to_point_at(few) -> None:
    for question in ("Which donor has the most B cells?", "Which cell types are there?"):
        chat = sb.Chat(few, groupby="cell_type")
        assert chat.ask(question).computed
        for follow in ("How many of them express NKG7?", "Does it express NKG7?", "How many NK cells does it have?"):
            assert chat.ask(follow).kind == "refusal"
            chat.ask(question)


def test_new_patterns_and_their_neighbours(drugs) -> None:
    def of(question):
        return sb.tl.ask(drugs, question, modality="molecule")

    assert of("two heaviest compounds by weight").value == ["chloroform", "toluene"]
    assert of("chlorinated compounds - how many?").value == 1
    assert of("non-chlorinated compounds - how many?").value == 3
    assert of("Is solventa fluorinated?").value is False
    assert of("does solventa obey lipinski's rule of 5").value is True
    assert of("compounds lighter than 80, list them please").value == ["ethanol", "solventa"]
    assert of("By the way, does ethanol contain oxygen?").value is True
    for neighbour in (
        "two heaviest compounds by TPSA", "perchlorinated compounds - how many?", "does solventa obey the rule of 3",
    ):  # fmt: skip
        assert of(neighbour).kind == "refusal", neighbour


def test_a_check_goes_on_with_another_row(drugs) -> None:
    chat = sb.Chat(drugs, modality="molecule")
    assert chat.ask("Does chloroform contain chlorine?").value is True
    assert chat.ask("And solventa?").value is False
    assert chat.ask("And nonsense?").kind == "refusal"
    assert chat.ask("And ethanol?").kind == "refusal"


def test_how_many_in_one_and_how_many_in_another(few) -> None:
    question = "How many B cells are in {} and how many in {}?"
    assert sb.tl.ask(few, question.format("d1", "d2"), groupby="cell_type").value == {"d1": 1, "d2": 1}
    for other in ("total", "NK cells", "all"):
        assert sb.tl.ask(few, question.format("d1", other), groupby="cell_type").kind == "refusal", other


def test_what_a_group_is_does_not_go_on_from_a_number(few) -> None:
    chat = sb.Chat(few, groupby="cell_type", reader="rules")
    assert chat.ask("How many cells are in d1?").value == 2
    assert chat.ask("What is B?").query == sb.tl.ask(few, "What is B?", groupby="cell_type", reader="rules").query
    assert chat.ask("How many cells are in d1?").value == 2
    assert chat.ask("What about B?").value == 1  # of those in d1


@pytest.mark.parametrize("reader", ["rules", "auto"])
@pytest.mark.parametrize(
    "question",
    ["How many of the young donors are ill?", "What share of the young donors is ill?",
     "Among the young donors, how many are ill?"],
)  # fmt: skip
def test_donors_are_not_counted_as_cells(question, reader) -> None:
    obs = pd.DataFrame(
        {"donor": list("aaabbc"), "age_group": ["young"] * 5 + ["old"], "state": ["ill"] * 3 + ["well"] * 3},
        index=[f"c{i}" for i in range(6)],
    ).astype("category")
    few = ad.AnnData(np.ones((6, 1), dtype=np.float32), obs, pd.DataFrame(index=["MS4A1"]))
    answer = sb.tl.ask(few, question, groupby="state", reader=reader)
    assert not answer.computed or answer.value in (1, 0.5)  # of the donors a and b, a


def test_it_is_the_gene_that_was_asked_about(few: ad.AnnData) -> None:
    chat = sb.Chat(few, reader="rules")
    chat.ask("Is NKG7 among the genes measured?")
    assert chat.ask("In how many B cells is it detected?").value == 1
    chat.ask("Is NKG7 measured?")
    assert chat.ask("How many NK cells express it?").value == 2
    chat.ask("What fraction of NK cells express NKG7?")
    assert chat.ask("Which cell type has it most often?").value == ["NK"]
    chat.ask("Mean count of NKG7 in NK cells?")
    assert chat.ask("How many B cells have it?").value == 1


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("Are MS4A1 and NKG7 measured?", "How many cells express it?"),
        ("Are MS4A1 and NKG7 measured?", "How many cells express them?"),
        ("How many B cells are there?", "How many NK cells express it?"),
        ("How many genes were measured?", "How many of them are in B cells?"),
        ("What are the markers of NK?", "How many cells express them?"),
        ("What is the weather?", "How many B cells express it?"),
    ],
)
def test_no_cells_are_what_others_express(few: ad.AnnData, first: str, then: str) -> None:
    chat = sb.Chat(few, reader="rules")
    chat.ask(first)
    assert not chat.ask(then).computed
