"""Molecules and proteins by the same verb as cells."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse._slots import read_record
from scbioverse.encoders import KmerEncoder, MorganEncoder
from scbioverse.errors import InputError, MissingKeyError
from tests._precision import UNIT


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sb.settings, "progress", False)
    monkeypatch.setattr(sb.settings, "offline", True)


@pytest.fixture
def treated() -> ad.AnnData:
    cells = sb.datasets.toy_cells(n_obs=6, n_genes=40)
    cells.obs["smiles"] = pd.Categorical(["CCO", "OCC", None, "CCN", "CCO", None])
    cells.obs["sequence"] = ["MKV", "MKV", "", "ACD", "mkv*", ""]
    return cells


def test_molecules_attached_to_cells(treated: ad.AnnData, tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    assert sb.tl.embed(treated, modality="molecule", model="morgan", key="smiles") is None
    found = treated.obsm["X_bioverse_molecule"]
    assert found.shape == (6, 2048)
    assert np.isnan(found).all(axis=1).tolist() == [False, False, True, False, False, True]
    np.testing.assert_array_equal(found[0], found[1])
    record = read_record(treated, "embed_molecule")
    assert {"encoder": "morgan-2-2048", "n_distinct": 2, "n_missing": 2, "key": "smiles"}.items() <= record.items()
    treated.write_h5ad(tmp_path / "treated.h5ad")
    np.testing.assert_array_equal(ad.read_h5ad(tmp_path / "treated.h5ad").obsm["X_bioverse_molecule"], found)


def test_proteins_beside_them(treated: ad.AnnData, tmp_path: Path) -> None:
    before = treated.copy()
    out = sb.tl.embed(treated, modality="protein", model="kmer", copy=True)
    assert "X_bioverse_protein" not in treated.obsm
    assert out is not None
    np.testing.assert_array_equal(out.obsm["X_bioverse_protein"][0], out.obsm["X_bioverse_protein"][4])
    sb.tl.embed(treated, modality="protein", model=KmerEncoder().save(tmp_path / "encoder"))
    np.testing.assert_array_equal(treated.obsm["X_bioverse_protein"], out.obsm["X_bioverse_protein"])
    pd.testing.assert_frame_equal(treated.obs, before.obs)


def test_invalid_rows(treated: ad.AnnData) -> None:
    pytest.importorskip("rdkit")
    treated.obs["smiles"] = ["CCO", "bad", None, "CCN", "CCO", None]
    with pytest.raises(InputError, match=r"1 of 6 rows .*'bad' \(not a SMILES\)"):
        sb.tl.embed(treated, modality="molecule", model="morgan")
    assert "X_bioverse_molecule" not in treated.obsm
    sb.tl.embed(treated, modality="molecule", model="morgan", invalid="skip")
    assert np.isnan(treated.obsm["X_bioverse_molecule"]).all(axis=1).sum() == 3
    assert read_record(treated, "embed_molecule")["n_invalid"] == 1


def test_surface_proteins() -> None:
    cells = sb.datasets.toy_cells(n_obs=3, n_genes=40)
    counts = pd.DataFrame([[50, 1], [1, 50], [0, 0]], columns=["CD3", "CD19"], index=cells.obs_names)
    cells.obsm["protein_expression"] = counts
    table = sb.pp.proteins({"CD3": "MQSGTHWRVLGLCLLSVGVWGQ", "CD19": "MPPPRLLFFLLFLTPMEVRPEEPLVV"})
    sb.tl.embed(cells, modality="protein", model="kmer", sequences=table)
    found = cells.obsm["X_bioverse_protein"]
    np.testing.assert_allclose(found[:2], KmerEncoder().embed_texts(table.obs["sequence"].tolist()), atol=UNIT)
    assert np.isnan(found[2]).all()
    assert read_record(cells, "embed_protein")["source"] == "obsm/protein_expression"
    with pytest.raises(InputError, match="no column 'sequence'"):
        sb.tl.embed(cells, modality="protein", model="kmer", sequences=pd.DataFrame({"x": ["M"]}, index=["CD3"]))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_mudata(tmp_path: Path) -> None:
    mudata = pytest.importorskip("mudata")
    names = ["a", "b", "c"]
    rna = ad.AnnData(X=np.ones((3, 4), dtype=np.float32), obs=pd.DataFrame(index=names))
    counts = np.array([[50, 1], [1, 50], [2, 2]], dtype=np.float32)
    prot = ad.AnnData(X=counts, obs=pd.DataFrame(index=names), var=pd.DataFrame(index=["CD3", "CD19"]))
    rna.obs["smiles"] = ["CCO", "", "CCO"]
    mdata = mudata.MuData({"rna": rna, "prot": prot})
    table = {"CD3": "MQSGTHWRVLGLCLLSVGVWGQ", "CD19": "MPPPRLLFFLLFLTPMEVRPEEPLVV"}
    sb.tl.embed(mdata, modality="protein", model="kmer", sequences=table)
    found = mdata.mod["prot"].obsm["X_bioverse_protein"]
    np.testing.assert_allclose(found[2], KmerEncoder().embed_texts(list(table.values())).mean(axis=0), atol=UNIT)
    out = sb.tl.embed(mdata, modality="molecule", model=MorganEncoder(n_bits=64), copy=True)
    assert out.mod["rna"].obsm["X_bioverse_molecule"].shape == (3, 64)  # type: ignore[union-attr]
    assert "X_bioverse_molecule" not in mdata.mod["rna"].obsm
    mdata.write(tmp_path / "m.h5mu")
    back = mudata.read_h5mu(tmp_path / "m.h5mu")
    np.testing.assert_array_equal(back.mod["prot"].obsm["X_bioverse_protein"], found)
    with pytest.raises(InputError, match=r"no part for modality 'protein'.*found \['rna'\]"):
        sb.tl.embed(mudata.MuData({"rna": rna}), modality="protein", model="kmer", sequences=table)


def test_names_of_the_wrong_modality(treated: ad.AnnData, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the encoder in .* reads proteins, not molecules"):
        sb.tl.embed(treated, modality="molecule", model=KmerEncoder().save(tmp_path / "kmer"))
    with pytest.raises(InputError, match=r"'kmer' reads proteins, not molecules.*chemnet"):
        sb.tl.embed(treated, modality="molecule", model="kmer")
    with pytest.raises(InputError, match="reads molecules, not cells"):
        sb.tl.embed(treated, model="morgan")
    with pytest.raises(MissingKeyError, match="no column 'seq'"):
        sb.tl.embed(treated, modality="protein", model="kmer", key="seq")
    with pytest.raises(InputError, match="is for texts"):
        sb.tl.embed(treated, model=_Cells(), invalid="skip")


class _Cells:
    modality, name, dim, n_tokens = "cell", "cells", 1, 1

    def fingerprint(self) -> str:
        return ""

    def prepare(self, cells: object, rows: slice) -> None: ...

    def encode(self, batch: object) -> None: ...
