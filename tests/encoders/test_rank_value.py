"""The tokeniser against the published definition, written here once more with plain loops."""

from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import scbioverse as sb
from scbioverse.encoders._rank_value import RankVocabulary, find_columns, rank_tokens
from scbioverse.encoders._unpickle import load_table
from scbioverse.errors import InputError, MissingKeyError, OfflineError, WeightsError
from scbioverse.io import Cells


def slow_tokens(
    matrix: Any, names: list[str], tokens: dict[str, int], medians: dict[str, float], longest: int
) -> list[list[int]]:
    """Tokens of every row: no vectorised step, nothing shared with the package."""
    found = []
    for row in matrix:
        total = float(row.sum())
        ranked = []
        for column in np.flatnonzero(row).tolist():
            name, count = names[column], float(row[column])
            if name in tokens and name in medians:
                ranked.append((-(count / total * 10_000 / medians[name]), tokens[name]))
        ranked.sort()
        found.append([token for _, token in ranked[:longest]])
    return found


@pytest.fixture(scope="module")
def official() -> dict[str, dict[str, Any]]:
    """Return the V1 dictionaries, which are real."""
    try:
        names = {"tokens": "token_dictionary", "medians": "gene_median", "symbols": "symbol_to_ensembl"}
        return {name: load_table(sb.datasets.fetch(f"geneformer_{file}")) for name, file in names.items()}
    except OfflineError as error:
        pytest.skip(str(error))


def toy_vocabulary(**symbols: str) -> RankVocabulary:
    tokens = {"<pad>": 0, "<mask>": 1, "ENSG00000000003": 2, "ENSG00000000005": 3, "ENSG00000000419": 4}
    return RankVocabulary.from_tables(tokens, {name: 1.0 for name in tokens if name[0] == "E"}, symbols)


def test_official_dictionaries_have_the_published_size(official: dict[str, dict[str, Any]]) -> None:
    vocabulary = RankVocabulary.from_tables(**official)
    assert len(official["tokens"]) == 25_426
    assert len(vocabulary.genes) == 25_424
    assert (vocabulary.pad, vocabulary.cls, vocabulary.eos, vocabulary.largest_token) == (0, None, None, 25_425)
    assert vocabulary.tokens.dtype == np.int32
    assert (np.diff(vocabulary.tokens) > 0).all()


def test_ids_equal_the_slow_reference_on_real_cells(official: dict[str, dict[str, Any]]) -> None:
    from scbioverse.encoders.geneformer import GeneformerEncoder

    cells = sb.datasets.pbmc3k()[:1100].copy()
    ensembl = [official["symbols"].get(name, name) for name in cells.var_names]
    # One column a gene, so that the reference need not decide what to do with two.
    first = list({name: i for i, name in reversed(list(enumerate(ensembl)))}.values())[::-1]
    cells, ensembl = cells[:, first].copy(), [ensembl[i] for i in first]
    cells.var_names = ensembl
    encoder = object.__new__(GeneformerEncoder)  # the tokeniser needs no weights
    encoder.vocabulary, encoder.input_size, encoder.min_genes = RankVocabulary.from_tables(**official), 512, 100
    held = Cells.of(cells)
    fast, columns = encoder.tokenize(held, slice(0, 1100)), find_columns(held, encoder.vocabulary)
    # What the gene table alone finds is not part of the published definition.
    direct = [i for i, name in enumerate(ensembl) if name in official["tokens"]]
    known = [encoder.vocabulary.genes[i] for i in columns.genes]
    names = [""] * len(ensembl)
    for column, place in zip(columns.columns, columns.places, strict=True):
        names[column] = known[place]
    assert len(direct) > 10_000
    slow = slow_tokens(cells.X.toarray(), names, official["tokens"], official["medians"], 512)
    assert fast.lengths.tolist() == [len(one) for one in slow]
    assert (fast.lengths == 512).sum() > 500  # truncation was seen, and cells without it
    assert (fast.lengths < 512).any()
    assert fast.ids.tolist() == [token for one in slow for token in one]
    assert fast.cell(7).tolist() == slow[7]


def test_columns_batches_and_rows_do_not_change_a_cell(official: dict[str, dict[str, Any]]) -> None:
    from scbioverse.encoders.geneformer import GeneformerEncoder

    cells = sb.datasets.pbmc3k()[:60].copy()
    encoder = object.__new__(GeneformerEncoder)
    encoder.vocabulary, encoder.input_size, encoder.min_genes = RankVocabulary.from_tables(**official), 2048, 100
    whole = encoder.tokenize(Cells.of(cells), slice(0, 60))
    rng = np.random.default_rng(0)
    shuffled = cells[:, rng.permutation(cells.n_vars)].copy()
    np.testing.assert_array_equal(encoder.tokenize(Cells.of(shuffled), slice(0, 60)).ids, whole.ids)
    logs = cells.copy()
    sums = np.asarray(cells.X.sum(axis=1)).ravel()
    logs.X = sp.csr_matrix(sp.diags(1e4 / sums) @ cells.X).log1p()
    same = encoder.tokenize(Cells.of(logs), slice(0, 60))
    assert (same.ids == whole.ids).mean() > 0.99  # equal but for near ties that float32 logarithms break
    dense = cells.copy()
    dense.X = cells.X.toarray()
    np.testing.assert_array_equal(encoder.tokenize(Cells.of(dense), np.array([3, 1])).cell(1), whole.cell(1))


def csr(rows: list[list[float]]) -> sp.csr_array:
    return sp.csr_array(np.array(rows, dtype=np.float64))


def test_order_ties_zeros_and_truncation() -> None:
    counts = csr([[4, 1, 2, 2], [0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 5]])
    medians, tokens = np.array([4.0, 1.0, 0.5, 1.0]), np.array([10, 11, 12, 13], dtype=np.int32)
    totals = np.array([9.0, 3.0, 4.0, 5.0])
    found = rank_tokens(counts, totals, medians, tokens, max_genes=10)
    # Values of the first cell: 1, 1, 4, 2, times one factor: the tie goes to the smaller token.
    assert [found.cell(i).tolist() for i in range(4)] == [[12, 13, 10, 11], [], [12, 11, 13, 10], [13]]
    assert found.ids.dtype == np.int32
    short = rank_tokens(counts, totals, medians, tokens, max_genes=2)
    assert [short.cell(i).tolist() for i in range(4)] == [[12, 13], [], [12, 11], [13]]
    stored = csr([[4, 1, 2, 2]])
    stored.data[1] = 0
    before = stored.data.copy()
    assert rank_tokens(stored, totals[:1], medians, tokens, max_genes=9).ids.tolist() == [12, 13, 10]
    np.testing.assert_array_equal(stored.data, before)
    assert rank_tokens(csr([[0.0]])[:0], totals[:0], medians[:1], tokens[:1], max_genes=9).ids.size == 0


def named(*names: str, key: str | None = None, **columns: list[str]) -> Cells:
    adata = ad.AnnData(np.ones((2, len(names)), dtype=np.float32))
    adata.var_names = list(names)
    for column, values in columns.items():
        adata.var[column] = values
    return Cells.of(adata, key=key)


def test_names_are_found_by_id_dictionary_and_gene_table() -> None:
    vocabulary = toy_vocabulary(OLDNAME="ENSG00000000003", NOWHERE="ENSG09")
    found = find_columns(named("ENSG00000000419.12", "x", "OLDNAME", "TNMD"), vocabulary, min_genes=1)
    assert found.columns.tolist() == [0, 2, 3]  # TNMD is ENSG00000000005 in the bundled table
    assert found.genes[found.places].tolist() == [2, 0, 1]
    assert (found.n_dictionary, found.n_alias) == (2, 1)
    assert "3 of 3 vocabulary genes found among 4 (2 by Ensembl id or the model's own dictionary, 1" in found.describe(
        3
    )
    by_key = find_columns(named("a", "b", ids=["ENSG00000000005", "-"], key="ids"), vocabulary, min_genes=1)
    assert by_key.columns.tolist() == [0]


def test_columns_of_one_gene_are_summed_unless_only_an_alias_says_so() -> None:
    vocabulary = toy_vocabulary(A="ENSG00000000003")
    found = find_columns(named("A", "TSPAN6", "ENSG00000000003"), vocabulary, min_genes=1)
    assert found.columns.tolist() == [0, 2]
    assert found.places.tolist() == [0, 0]
    assert "1 columns summed" in found.describe(3)


def test_too_few_genes_say_what_to_do() -> None:
    vocabulary = toy_vocabulary()
    with pytest.raises(InputError, match=r"0 of 2 genes match .*pass key='ids'"):
        find_columns(named("a", "b", ids=["ENSG00000000005", "-"]), vocabulary, min_genes=1)
    with pytest.raises(MissingKeyError, match="'ids'"):
        find_columns(named("a", "b", key="ids"), vocabulary, min_genes=1)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"ENSG00000000003": 2.5}, "whole number"),
        ({"ENSG00000000003": "x"}, "invalid literal"),
        ({"ENSG00000000003": 3}, "two genes have one token"),
        ({"<cls>": 9}, "without the other"),
    ],
)
def test_damaged_dictionaries_are_refused(change: dict[str, Any], match: str) -> None:
    tokens = {"<pad>": 0, "ENSG00000000003": 2.0, "ENSG00000000005": 3.0}
    medians = {"ENSG00000000003": 1.0, "ENSG00000000005": 2.0}
    assert len(RankVocabulary.from_tables(tokens, medians).genes) == 2
    with pytest.raises(WeightsError, match=match):
        RankVocabulary.from_tables(tokens | change, medians)
    with pytest.raises(WeightsError, match="not positive"):
        RankVocabulary.from_tables(tokens, medians | {"ENSG00000000005": 0.0})


def test_vocabulary_survives_its_file(tmp_path: Any) -> None:
    vocabulary = toy_vocabulary(A="ENSG00000000003")
    file = tmp_path / "v.json"
    file.write_bytes(vocabulary.to_json())
    again = RankVocabulary.from_json(file)
    assert again.fingerprint() == vocabulary.fingerprint()
    assert again.to_json() == vocabulary.to_json()
    assert toy_vocabulary().fingerprint() != vocabulary.fingerprint()
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(WeightsError, match=r"cannot read the vocabulary|v\.json is damaged"):
        RankVocabulary.from_json(file)
