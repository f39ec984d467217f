from __future__ import annotations

import gzip
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse.errors import InputError, MissingKeyError
from scbioverse.pp._sequences import clean_sequence, read_fasta

FASTA = """>sp|P69905|HBA_HUMAN Hemoglobin subunit alpha OS=Homo sapiens
MVLSPADKTNVKAAWGKVGAHAGEYGAEALERMF
LSFPTTKTYFPHF*

; an old-style comment
>second
mvls-padX.*K
>second a copy
MVLSPADX XK
"""


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "proteins.fasta"
    path.write_text(FASTA)
    return path


def test_fasta(fasta: Path, tmp_path: Path) -> None:
    proteins = sb.pp.proteins(fasta)
    assert proteins.shape == (3, 0)
    assert proteins.obs_names.tolist() == ["P69905", "second", "second-1"]
    obs = proteins.obs
    assert obs["description"].iloc[0] == "Hemoglobin subunit alpha OS=Homo sapiens"
    assert obs["sequence"].tolist()[1:] == ["MVLSPADXXK", "MVLSPADXXK"]
    assert obs["length"].tolist() == [47, 10, 10]
    assert obs["n_stops"].tolist() == [0, 1, 0]
    assert obs["n_ambiguous"].tolist() == [0, 2, 2]
    assert obs["duplicate_of"].tolist() == ["", "", "second"]
    proteins.write_h5ad(tmp_path / "proteins.h5ad")
    assert ad.read_h5ad(tmp_path / "proteins.h5ad").obs["sequence"].tolist() == obs["sequence"].tolist()


def test_gzip_and_windows_line_ends(tmp_path: Path, fasta: Path) -> None:
    (tmp_path / "p.fa.gz").write_bytes(gzip.compress(FASTA.replace("\n", "\r\n").encode()))
    assert read_fasta(tmp_path / "p.fa.gz") == read_fasta(fasta)


def test_a_very_long_sequence_is_whole() -> None:
    proteins = sb.pp.proteins(["MKV" * 13_334])
    assert proteins.obs["length"].tolist() == [40_002]


def test_other_inputs() -> None:
    assert sb.pp.proteins({"a": "MKV"}).obs_names.tolist() == ["a"]
    table = pd.DataFrame({"seq": ["MKV"], "ec": ["1.1.1.1"]}, index=["P1"])
    proteins = sb.pp.proteins(table, key="seq")
    assert proteins.obs[["sequence", "ec"]].to_numpy().tolist() == [["MKV", "1.1.1.1"]]


@pytest.mark.parametrize("text", ["", "  ", "***", "--"])
def test_empty_sequences_are_named_and_kept(text: str) -> None:
    with pytest.warns(UserWarning, match=r"1 of 2 sequences cannot be read: 'b' .empty."):
        proteins = sb.pp.proteins({"a": "MKV", "b": text})
    assert proteins.obs["valid"].tolist() == [True, False]
    assert proteins.obs["length"].tolist() == [3, 0]
    with pytest.raises(InputError, match=r"none of 2 sequences can be read, the first is '.*': empty"):
        sb.pp.proteins({"a": text, "b": text})


def test_characters_that_are_no_residues_are_named_and_kept() -> None:
    with pytest.warns(UserWarning, match=r"'b' .character '1' at position 3"):
        proteins = sb.pp.proteins({"a": "MKV", "b": "mk1v*l", "c": "MK1V", "d": "MK1V"})
    assert proteins.obs["sequence"].tolist() == ["MKV", "mk1v*l", "MK1V", "MK1V"]
    assert proteins.obs["duplicate_of"].tolist() == [""] * 4  # what cannot be read is equal to nothing
    assert proteins.obs["n_stops"].tolist() == [0] * 4
    with pytest.raises(InputError, match=r"3 of 4 rows .* row 'b': 'mk1v\*l'"):
        sb.tl.embed(proteins, modality="protein")
    sb.tl.embed(proteins, modality="protein", invalid="skip")
    assert np.isnan(proteins.obsm["X_bioverse_protein"]).all(1).tolist() == [False, True, True, True]
    assert clean_sequence("mkbzxjuo*").text == "MKBZXJUO"


def test_nucleotides_are_suspected() -> None:
    with pytest.warns(UserWarning, match="nucleotide letters alone"):
        sb.pp.proteins({"gene": "ACGT" * 10})


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no FASTA file MKVL"):
        sb.pp.proteins("MKVL")
    (tmp_path / "x.fa").write_text("MKV\n>a\nMKV\n")
    with pytest.raises(InputError, match="line 1: expected a header"):
        sb.pp.proteins(tmp_path / "x.fa")
    (tmp_path / "y.fa").write_text("\n")
    with pytest.raises(InputError, match="no FASTA record"):
        sb.pp.proteins(tmp_path / "y.fa")
    (tmp_path / "z.fa.gz").write_bytes(gzip.compress(FASTA.encode())[:40])
    with pytest.raises(InputError, match="not a FASTA text file"):
        sb.pp.proteins(tmp_path / "z.fa.gz")
    (tmp_path / "w.fa").write_text(">a\n>b\n***\n")
    with pytest.raises(InputError, match=r"none of 2 sequences can be read, the first is '.*': empty"):
        sb.pp.proteins(tmp_path / "w.fa")
    with pytest.raises(InputError, match="no sequences"):
        sb.pp.proteins([])
    with pytest.raises(MissingKeyError, match="no column 'sequence'"):
        sb.pp.proteins(pd.DataFrame({"x": ["MKV"]}))
