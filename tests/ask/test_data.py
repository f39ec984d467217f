"""Answers rest on the data as they are: changed between questions, unreadable, on any scale, or without labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scbioverse as sb

if TYPE_CHECKING:
    from anndata import AnnData


def dense(adata: AnnData) -> np.ndarray[Any, Any]:
    return np.asarray(sp.csr_array(adata.X).toarray(), dtype=np.float32)


def n_expressing(adata: AnnData, gene: str) -> int:
    return int((dense(adata)[:, adata.var_names.get_loc(gene)] > 0).sum())


@pytest.fixture
def many() -> AnnData:
    """Toy cells, enough for markers."""
    return sb.datasets.toy_cells(n_obs=400, n_genes=1500)


# ---------------------------------------------------------------- data changed between questions


def test_a_column_replaced_between_questions_is_read_anew(cells: AnnData) -> None:
    chat = sb.Chat(cells, groupby="cell_type")
    assert chat.ask("How many B cells are there?").evidence["n"][0] == (cells.obs["cell_type"] == "B cell").sum()
    cells.obs["cell_type"] = pd.Categorical(["B cell"] * 50 + ["NK cell"] * 10)
    assert chat.ask("How many B cells are there?").evidence["n"][0] == 50
    cells.obs.loc[cells.obs_names[:7], "cell_type"] = "NK cell"
    assert chat.ask("And NK cells?").evidence["n"][0] == 17
    cells.obs["score"] = np.arange(60.0)
    assert chat.ask("What is the mean score?").evidence["mean"][0] == pytest.approx(29.5)
    cells.obs["score"].to_numpy()  # reading changes nothing
    cells.obs["score"] = cells.obs["score"] * 2
    assert chat.ask("What is the mean score?").evidence["mean"][0] == pytest.approx(59)


@pytest.mark.parametrize("layer", [None, "made"])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_a_matrix_changed_between_questions_is_read_anew(cells: AnnData, kind: str, layer: str | None) -> None:
    gene, at = cells.var_names[0], 0

    def put(values: np.ndarray[Any, Any]) -> None:
        made = values.copy() if kind == "dense" else sp.csr_matrix(values)
        if layer is None:
            cells.X = made
        else:
            cells.layers[layer] = made

    values = dense(cells)
    put(values)
    chat = sb.Chat(cells, layer=layer)
    question = f"How many cells express {gene}?"
    assert chat.ask(question).evidence["n"][0] == (values[:, at] > 0).sum()
    values[:, at] = 0
    values[:11, at] = 1
    put(values)
    assert chat.ask(question).evidence["n"][0] == 11
    held = cells.X if layer is None else cells.layers[layer]
    if kind == "dense":  # in place: the object is the same
        held[11:20, at] = 3
        assert chat.ask(question).evidence["n"][0] == 20
    else:
        held.data[:] = held.data * 2
        assert chat.ask(f"What is the mean of {gene}?").evidence["mean"][0] == pytest.approx(22 / 60)


def test_names_of_genes_changed_between_questions(cells: AnnData) -> None:
    chat, (a, b) = sb.Chat(cells), cells.var_names[:2]
    n = {one: n_expressing(cells, one) for one in (a, b)}
    assert chat.ask(f"How many cells express {a}?").evidence["n"][0] == n[a]
    cells.var_names = [b, a, *cells.var_names[2:]]
    assert chat.ask(f"How many cells express {a}?").evidence["n"][0] == n[b]


def test_data_left_alone_are_read_once(cells: AnnData) -> None:
    for data in (cells, cells[:40]):
        chat = sb.Chat(data)
        before = chat._asked
        chat.ask("How many cells are there?")
        chat.ask(f"How many cells express {cells.var_names[0]}?")
        assert chat._asked is before


# ---------------------------------------------------------------- a matrix that cannot be read


def repeated(cells: AnnData) -> AnnData:
    cells.var_names = [cells.var_names[0], cells.var_names[0], *cells.var_names[2:]]
    return cells


def ranked(cells: AnnData) -> AnnData:
    cells.X = pd.DataFrame(dense(cells)).rank(axis=1).to_numpy(np.float32)
    return cells


def scaled(cells: AnnData) -> AnnData:
    values = dense(cells)
    spread = values.std(axis=0, ddof=1)
    cells.X = values / np.where(spread > 0, spread, 1)
    return cells


@pytest.mark.parametrize("spoil", [repeated, ranked, scaled])
def test_genes_of_a_matrix_that_cannot_be_read_are_refused(many: AnnData, spoil: Any) -> None:
    made = spoil(many)
    gene = made.var_names[0]
    for question in (f"How many cells express {gene}?", "What are the markers of B cells?"):
        answer = sb.tl.ask(made, question, groupby="cell_type")
        assert (answer.kind, answer.computed) == ("refusal", False), answer.text
        assert answer.text.startswith("That cannot be computed: ")
    counted = sb.tl.ask(made, "How many B cells are there?", groupby="cell_type")
    assert counted.evidence["n"][0] == (made.obs["cell_type"] == "B cell").sum()


# ---------------------------------------------------------------- scales


def change(linear: np.ndarray[Any, Any], inside: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    per = 1e4 * linear / np.maximum(linear.sum(axis=1, keepdims=True), 1e-12)
    return np.log2(per[inside].mean(axis=0) + 0.1) - np.log2(per[~inside].mean(axis=0) + 0.1)


@pytest.mark.parametrize("scale", ["counts", "fractions", "ln", "log2", "log10", "cpm"])
def test_fold_changes_are_the_same_on_any_scale(many: AnnData, scale: str) -> None:
    counts = dense(many).astype(np.float64)
    shares = counts / counts.sum(axis=1, keepdims=True)
    many.X = {
        "counts": counts, "fractions": shares, "ln": np.log1p(1e4 * shares), "log2": np.log2(1 + 1e4 * shares),
        "log10": np.log10(1 + 1e4 * shares), "cpm": np.log1p(1e6 * shares),
    }[scale].astype(np.float32)  # fmt: skip
    table = sb.tl.ask(many, "What are the markers of B cells?", groupby="cell_type").evidence
    assert len(table)
    expected = change(counts, np.asarray(many.obs["cell_type"] == "B cell"))
    at = many.var_names.get_indexer(table["gene"])
    np.testing.assert_allclose(table["log_fold_change"], expected[at], rtol=1e-3)


def test_one_scale_for_all_blocks(many: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = dense(many).astype(np.float64)
    linear = counts / counts.sum(axis=1, keepdims=True) * 90  # below 50 in most cells, above in one
    linear[0] = 0
    linear[0, 0] = 90
    many.X = linear.astype(np.float32)
    from scbioverse.io import Cells

    whole = Cells.blocks

    def by_fifties(self: Cells, columns: Any = None) -> Any:
        if columns is not None:
            yield from whole(self, columns)
            return
        for start in range(0, self.n_obs, 50):
            yield slice(start, start + 50), self.read(slice(start, start + 50))

    monkeypatch.setattr(Cells, "blocks", by_fifties)
    table = sb.tl.ask(many, "What are the markers of B cells?", groupby="cell_type").evidence
    expected = change(linear, np.asarray(many.obs["cell_type"] == "B cell"))
    at = many.var_names.get_indexer(table["gene"])
    assert len(table)
    np.testing.assert_allclose(table["log_fold_change"], expected[at], rtol=1e-3)


# ---------------------------------------------------------------- cells without a label


@pytest.fixture
def unlabelled(many: AnnData) -> AnnData:
    """Toy cells of which half the B cells, and a few others, have no label; and clusters of several types."""
    types = many.obs["cell_type"].astype(object)
    at = np.flatnonzero(types == "B cell")
    types.iloc[at[:40]] = None
    types.iloc[np.flatnonzero(types == "NK cell")[:10]] = "  "
    many.obs["leiden"] = pd.Categorical(np.where(np.isin(np.arange(400), at), "0", "1"))
    many.obs["cell_type"] = pd.Categorical(types)
    return many


def labels(adata: AnnData) -> pd.Series:
    return adata.obs["cell_type"].astype(object).where(lambda one: one.fillna("").str.strip() != "")


def test_markers_compare_with_cells_known_to_be_others(unlabelled: AnnData) -> None:
    label = labels(unlabelled)
    inside, outside = np.asarray(label == "B cell"), np.asarray(label.notna() & (label != "B cell"))
    found = sb.tl.ask(unlabelled, "What are the markers of B cells?", groupby="cell_type")
    expressed = dense(unlabelled) > 0
    at = unlabelled.var_names.get_indexer(found.evidence["gene"])
    assert len(at)
    np.testing.assert_allclose(found.evidence["fraction_in"], expressed[inside].mean(axis=0)[at])
    np.testing.assert_allclose(found.evidence["fraction_out"], expressed[outside].mean(axis=0)[at])
    assert "Left out for want of a value: 50 cells." in found.text
    gene = unlabelled.var_names.get_loc("MS4A1")
    said = sb.tl.ask(unlabelled, "Is MS4A1 a marker of B cells?", groupby="cell_type").text
    assert f"{100 * expressed[outside, gene].mean():.1f} % of others" in said


def test_markers_of_selected_cells_are_not_compared_with_their_like(many: AnnData) -> None:
    label = np.asarray(many.obs["cell_type"])
    chosen = np.flatnonzero(label == "B cell")[:30]
    found = sb.tl.ask(many, "What are the markers of B cells?", groupby="cell_type", cells=[*chosen, 0, 1, 2, 3, 4])
    expressed = dense(many) > 0
    at = many.var_names.get_indexer(found.evidence["gene"])
    np.testing.assert_allclose(found.evidence["fraction_out"], expressed[label != "B cell"].mean(axis=0)[at])


def test_shares_are_of_cells_whose_label_is_known(unlabelled: AnnData) -> None:
    label = labels(unlabelled)
    known = label[unlabelled.obs["leiden"] == "0"].dropna()
    which = sb.tl.ask(unlabelled, "Which clusters are mostly B cells?").evidence.set_index("group")
    assert which.loc["0", "fraction"] == pytest.approx((known == "B cell").mean())
    assert which.loc["0", "n_in"] == len(known)
    whole = sb.tl.ask(unlabelled, "What is the composition of the cells by cell_type?", groupby="cell_type")
    if "fraction" in whole.evidence:
        expected = label.value_counts(normalize=True)
        table = whole.evidence.set_index("group")
        assert set(table.index) == set(expected.index)
        np.testing.assert_allclose(table["fraction"], expected[table.index])
    parts = sb.tl.ask(unlabelled, "What is the composition of cluster 0?", groupby="cell_type")
    np.testing.assert_allclose(parts.evidence["fraction"], [1.0])
    assert "Not counted, without a value in 'cell_type': 40 cells." in parts.text


# ---------------------------------------------------------------- groupby, infinite values


@pytest.mark.parametrize("name", ["measured", "empty", "blank"])
def test_groupby_that_names_no_groups_is_refused(cells: AnnData, name: str) -> None:
    cells.obs["measured"] = np.random.default_rng(0).random(60)
    cells.obs["empty"] = pd.Categorical([None] * 60)
    cells.obs["blank"] = [" "] * 60
    with pytest.raises(sb.errors.InputError, match=name):
        sb.tl.ask(cells, "How many groups are there?", groupby=name)
    with pytest.raises(sb.errors.InputError, match=name):
        sb.Chat(cells, groupby=name)


def test_a_mean_says_that_infinite_values_are_not_in_it(cells: AnnData) -> None:
    cells.obs["score"] = [np.inf, -np.inf, *range(58)]
    answer = sb.tl.ask(cells, "What is the mean score?")
    assert answer.evidence["mean"][0] == pytest.approx(np.mean(range(58)))
    assert "obs['score'] is infinite in 2 cells" in answer.text
    cells.obs["score"] = range(60)
    assert "infinite" not in sb.tl.ask(cells, "What is the mean score?").text


@pytest.mark.parametrize("reader", ["rules", "auto"])
def test_singlets_are_no_slip_for_single(reader: str) -> None:
    cells = sb.datasets.pbmc3k()[:300].copy()
    cells.obs["sample_id"] = np.resize(["S1", "S2", "S2"], 300)
    answer = sb.tl.ask(cells, "how many singlets in S2", reader=reader)
    # Read as a word that says nothing, it would be left out without a trace.
    assert not answer.computed
    assert "'singlets' was not understood" in answer.text
