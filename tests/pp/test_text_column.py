"""Columns of texts, and FASTA files, as people have them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb

pytest.importorskip("rdkit")

SMILES = ["CCO", "CCN", "CCO"]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(SMILES, dtype="string"),
        pd.Series(SMILES, dtype="category"),
        pd.Series(SMILES, dtype=pd.CategoricalDtype(["CCN", "CCO", "unused", "CCC"])),
        pd.Series([one.encode() for one in SMILES], dtype=object),
        pd.Series(SMILES, dtype=object),
    ],
    ids=["string", "category", "unused categories", "bytes", "object"],
)
def test_any_kind_of_text_column_gives_the_same(column: pd.Series, tmp_path: Path) -> None:
    plain = sb.pp.molecules(SMILES)
    sb.tl.embed(plain, model="morgan", modality="molecule")
    table = sb.pp.molecules(pd.DataFrame({"smiles": column}))
    assert table.obs["canonical_smiles"].tolist() == plain.obs["canonical_smiles"].tolist()
    adata = ad.AnnData(obs=pd.DataFrame({"smiles": column.set_axis(["a", "b", "c"])}))
    sb.tl.embed(adata, model="morgan", modality="molecule")
    np.testing.assert_array_equal(adata.obsm["X_bioverse_molecule"], plain.obsm["X_bioverse_molecule"])
    table.write_h5ad(tmp_path / "a.h5ad")
    assert ad.read_h5ad(tmp_path / "a.h5ad").obs["smiles"].tolist() == SMILES


def test_pandas_strings_with_gaps_are_kept_and_written(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "smiles": pd.array(["CCO", None, "CCN"], dtype="string"),
            "name": pd.array(["ethanol", "none", "ethylamine"], dtype="string"),
        }
    )
    with pytest.warns(UserWarning, match=r"1 of 3 SMILES cannot be read: '1' \(empty\)"):
        drugs = sb.pp.molecules(table)
    drugs.write_h5ad(tmp_path / "a.h5ad")
    assert ad.read_h5ad(tmp_path / "a.h5ad").obs["name"].tolist() == table["name"].tolist()
    assert str(table["name"].dtype) == "string"


def test_mixed_cells_are_flagged_row_by_row() -> None:
    with pytest.warns(UserWarning, match="3 of 5 SMILES cannot be read: '1' .*'2' .*'3' "):
        drugs = sb.pp.molecules(["CCO", 5.0, None, float("nan"), b"CCN"])
    assert drugs.obs["valid"].tolist() == [True, False, False, False, True]
    assert drugs.obs["canonical_smiles"].tolist() == ["CCO", "", "", "", "CCN"]
    cells = ad.AnnData(obs=pd.DataFrame({"smiles": ["CCO", None, b"CCN", ""]}, index=list("abcd"), dtype=object))
    sb.tl.embed(cells, model="morgan", modality="molecule")
    assert np.isnan(cells.obsm["X_bioverse_molecule"]).any(axis=1).tolist() == [False, True, False, True]


def test_names_of_a_series_and_a_mapping_are_kept() -> None:
    series = pd.Series(["CCO", "CCN"], index=["ethanol", "ethylamine"])
    for given in (series, dict(series)):
        assert sb.pp.molecules(given).obs_names.tolist() == ["ethanol", "ethylamine"]
    # Read as SMILES, the name "CO" would be methanol.
    assert sb.pp.molecules({"CO": "[C-]#[O+]"}).obs["canonical_smiles"].tolist() == ["[C-]#[O+]"]
    assert sb.pp.proteins(pd.Series(["MKV"], index=["p"])).obs_names.tolist() == ["p"]
    assert sb.pp.molecules({"CCO", "CCN"}).obs["smiles"].tolist() == ["CCN", "CCO"]


@pytest.mark.parametrize("kind", ["list", "mixed", "dates", "numbers as objects"])
def test_columns_that_no_file_takes_are_named(kind: str, tmp_path: Path) -> None:
    extra: Any = {
        "list": [["a"], ["b"]],
        "mixed": ["a", 1.5],
        "dates": pd.to_datetime(["2020-01-01", "2020-01-02"]),
        "numbers as objects": pd.Series([1, 2], dtype=object),
    }[kind]
    for made in (sb.pp.molecules, sb.pp.proteins):
        table = pd.DataFrame({"text": ["CCC", "CCN"], "extra": extra})
        with pytest.warns(UserWarning, match="write_h5ad and write_zarr refuse columns .*'extra'"):
            adata = made(table, key="text")
        assert adata.obs["extra"].tolist() == table["extra"].tolist()
        adata.obs["extra"] = adata.obs["extra"].astype(str)  # what the message says
        adata.write_h5ad(tmp_path / "a.h5ad")


def test_texts_that_no_file_holds_are_written_as_escapes(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="2 of 3 SMILES cannot be read"):
        drugs = sb.pp.molecules(["CCO", "C\0C", "C\ud800"])
    assert drugs.obs["smiles"].tolist() == ["CCO", "C\\x00C", "C\\ud800"]
    assert "control character" in drugs.obs["problem"].iloc[1]
    drugs.write_h5ad(tmp_path / "a.h5ad")


def test_columns_of_one_name_are_refused() -> None:
    with pytest.raises(sb.errors.InputError, match="several columns called 'smiles'"):
        sb.pp.molecules(pd.DataFrame([["C", "CC"]], columns=["smiles", "smiles"]))


# ---------------------------------------------------------------- FASTA

BODY = ">a first protein\nmkv-l\n\nSPADX*\n>b\tafter a tab\nMKL*VL\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbf" + BODY.encode(),
        BODY.replace("\n", "\r\n").encode(),
        BODY.replace("\n", "\r").encode(),
        gzip.compress(b"\xef\xbb\xbf" + BODY.replace("\n", "\r\n").encode()),
        b"\n\n; a comment\n" + BODY.encode() + b"\n\n",
    ],
    ids=["BOM", "CRLF", "CR", "gzip, BOM, CRLF", "blank lines"],
)
def test_fasta_as_people_have_it(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "some.fasta"
    path.write_bytes(raw)
    obs = sb.pp.proteins(path).obs
    assert obs.index.tolist() == ["a", "b"]
    assert obs["sequence"].tolist() == ["MKVLSPADX", "MKLXVL"]
    assert obs["description"].tolist() == ["first protein", "after a tab"]
    assert obs["n_stops"].tolist() == [0, 1]


def test_a_million_residues() -> None:
    adata = sb.pp.proteins({"long": "MKVLA" * 200_000, "short": "MKV"})
    assert adata.obs["length"].tolist() == [1_000_000, 3]
    sb.tl.embed(adata, model="kmer", modality="protein")
    assert np.isfinite(adata.obsm["X_bioverse_protein"]).all()


def test_a_sequence_in_place_of_a_path_is_refused() -> None:
    for text in ("MKV" * 5000, "MK\0V"):
        with pytest.raises(sb.errors.InputError, match="there is no FASTA file"):
            sb.pp.proteins(text)


def test_a_small_file_that_unpacks_to_a_huge_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.fa.gz"
    with gzip.open(path, "wb") as file:
        file.write(b">a\n")
        for _ in range(12):
            file.write(b"M" * 1_000_000)
    assert path.stat().st_size < 100_000
    with pytest.raises(sb.errors.InputError, match="a line of more than 10,000,000 characters"):
        sb.pp.proteins(path)


def test_columns_of_arrays_are_kept_and_named() -> None:
    table = pd.DataFrame({"smiles": SMILES, "spectrum": [np.array([1.0, 2.0]), np.array([3.0]), np.array([0.0, 1.0])]})
    with pytest.warns(UserWarning, match=r"'spectrum' \(ndarray\)"):
        adata = sb.pp.molecules(table)
    assert [len(one) for one in adata.obs["spectrum"]] == [2, 1, 2]


@pytest.mark.parametrize("gap", [None, np.nan, np.float32("nan"), pd.NA, pd.NaT], ids=repr)
def test_a_gap_is_no_text_whatever_marks_it(gap: object) -> None:
    with pytest.warns(UserWarning, match="'1' \\(empty\\)"):
        assert sb.pp.molecules(["CCO", gap]).obs["smiles"].tolist() == ["CCO", ""]


def test_a_column_of_another_case_a_file_and_a_table_without_cells_are_told() -> None:
    with pytest.raises(sb.errors.MissingKeyError, match="Pass key='SMILES'"):
        sb.pp.molecules(pd.DataFrame({"SMILES": ["CCO"]}))
    with pytest.raises(sb.errors.MissingKeyError, match="Name it with key="):
        sb.pp.molecules(pd.DataFrame({"structure": ["CCO"]}))
    for file in ("drugs.csv", Path("drugs.tsv")):
        with pytest.raises(sb.errors.InputError, match=r"the name of a file, 'drugs.*read it first"):
            sb.pp.molecules(file)  # type: ignore[arg-type]
    with pytest.raises(sb.errors.MissingKeyError, match="modality='molecule'"):
        sb.pp.check_cells(sb.pp.molecules(["CCO"]))
