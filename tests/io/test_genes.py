from __future__ import annotations

import numpy as np
import pytest

from scbioverse.errors import InputError
from scbioverse.io import _genes, match_genes
from scbioverse.io._genes import looks_like_mouse
from scbioverse.knowledge.genes import load_genes

VOCABULARY = ["CD3E", "MS4A1", "LYZ", "CAVIN2", "HLA-DRA", "NKG7", "SLIRP"]


def found(names: list[str], vocabulary: list[str] = VOCABULARY) -> dict[str, str]:
    match = match_genes(names, vocabulary, min_genes=1)
    return {names[c]: vocabulary[v] for c, v in zip(match.columns, match.vocab, strict=True)}


def test_symbols_older_symbols_and_ids_with_and_without_version() -> None:
    ids = {symbol: one for one, symbol in load_genes().ensembl.items()}
    lyz, cd3e = ids["LYZ"], ids["CD3E"]
    names = [f"{cd3e}.12", lyz, "SDPR", "MS4A1", "nonsense"]
    assert found(names) == {f"{cd3e}.12": "CD3E", lyz: "LYZ", "SDPR": "CAVIN2", "MS4A1": "MS4A1"}
    match = match_genes(names, VOCABULARY, min_genes=1)
    assert (match.n_symbol, match.n_alias, match.n_ensembl, match.n_collisions) == (1, 1, 2, 0)
    assert (match.n_input, match.n_vocab) == (5, 7)


def test_names_rewritten_by_r_and_by_mixed_references() -> None:
    assert found(["HLA.DRA", "GRCh38_CD3E"]) == {"HLA.DRA": "HLA-DRA", "GRCh38_CD3E": "CD3E"}


def test_a_vocabulary_of_older_symbols_is_reached_too() -> None:
    assert found(["CAVIN2", "LYZ"], ["SDPR", "LYZ"]) == {"CAVIN2": "SDPR", "LYZ": "LYZ"}


@pytest.mark.parametrize("names", [["SDPR", "CAVIN2", "LYZ"], ["CAVIN2", "SDPR", "LYZ"]])
def test_the_symbol_itself_wins_over_its_alias(names: list[str]) -> None:
    match = match_genes(names, VOCABULARY, min_genes=1)
    assert [names[c] for c in match.columns] == ["CAVIN2", "LYZ"]
    assert match.n_collisions == 1
    assert "1 columns name a gene that another column holds" in match.describe()


def test_the_symbol_itself_wins_behind_the_name_of_a_genome_too() -> None:
    names = [f"GRCh38_{one}" for one in ("SDPR", "CAVIN2", "LYZ")]
    match = match_genes(names, VOCABULARY, min_genes=1)
    # More cells express what goes by the older name.
    settled = match.settle(np.array([900, 500, 500]))
    assert [names[c] for c in settled.columns] == ["GRCh38_CAVIN2", "GRCh38_LYZ"]
    assert (match.n_symbol, match.n_alias) == (2, 0)


def test_positions_are_aligned_and_unique() -> None:
    rng = np.random.default_rng(0)
    symbols = load_genes().symbols
    vocabulary = [symbols[i] for i in rng.choice(len(symbols), 500, replace=False)]
    names = [vocabulary[i] for i in rng.permutation(500)[:300]] + ["x1", "x2"]
    match = match_genes(names, vocabulary, min_genes=300)
    assert [names[c] for c in match.columns] == [vocabulary[v] for v in match.vocab]
    assert match.columns.size == 300
    assert (np.diff(match.columns) > 0).all()
    assert match.columns.dtype == match.vocab.dtype == np.int64


def test_names_that_repeat_are_refused_with_a_way_out() -> None:
    with pytest.raises(InputError, match=r"1 gene names occur more than once: 'LYZ'.*var_names_make_unique"):
        match_genes(["LYZ", "CD3E", "LYZ"], VOCABULARY, min_genes=1)


def test_too_few_matches_show_the_names_found() -> None:
    with pytest.raises(InputError, match=r"1 of 3 genes match.*at least 2.*'LYZ', 'foo', 'bar'.*ENSG"):
        match_genes(["LYZ", "foo", "bar"], VOCABULARY, min_genes=2)


def test_mouse_symbols_are_named_as_such() -> None:
    with pytest.raises(InputError, match=r"look like mouse genes.*orthologues.*3 would then match"):
        match_genes(["Cd3e", "Ms4a1", "Nkg7", "H2-Aa"], VOCABULARY, min_genes=1)


def test_mouse_ids_are_named_as_such() -> None:
    with pytest.raises(InputError, match="look like mouse genes"):
        match_genes(["ENSMUSG00000032093", "ENSMUSG00000024673.3"], VOCABULARY, min_genes=1)


def test_human_names_do_not_look_like_mouse() -> None:
    assert not looks_like_mouse(["CD3E", "C1orf112", "HLA-DRA", "MT-CO1", "AL627309.1", "ENSG00000198851"])
    assert not looks_like_mouse([])


def test_numbers_for_names_are_named_as_such() -> None:
    with pytest.raises(InputError, match="They are numbers"):
        match_genes([str(i) for i in range(20)], VOCABULARY, min_genes=1)


def test_the_second_match_is_the_first_and_the_callers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["MS4A1", "SDPR", "LYZ", "CD3E"]
    first = match_genes(names, VOCABULARY, min_genes=1)
    kept = first.vocab.copy()
    first.vocab[:] = 0  # what one caller does to its match is not what the next one gets
    monkeypatch.setattr(_genes, "harmonise", lambda names: pytest.fail("matched anew"))
    again = match_genes(list(names), list(VOCABULARY), min_genes=1)
    np.testing.assert_array_equal(again.vocab, kept)
    assert again.describe() == first.describe()
