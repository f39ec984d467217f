from __future__ import annotations

from pathlib import Path

import anndata as ad
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse._slots import read_record
from scbioverse.errors import InputError, MissingKeyError

pytest.importorskip("rdkit")

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


def test_canonical_form_and_report() -> None:
    drugs = sb.pp.molecules(["OC(=O)c1ccccc1OC(C)=O", "C[C@H](N)C(=O)O", "CC(N)C(=O)O", "C/C=C/C", "[NH4+].[Cl-]"])
    assert drugs.shape == (5, 0)
    obs = drugs.obs
    assert obs["smiles"].iloc[0] == "OC(=O)c1ccccc1OC(C)=O"
    assert obs["canonical_smiles"].iloc[0] == ASPIRIN
    assert obs["n_stereo"].tolist() == [0, 1, 1, 1, 0]
    assert obs["n_stereo_unset"].tolist() == [0, 0, 1, 0, 0]
    assert obs["n_fragments"].tolist() == [1, 1, 1, 1, 2]
    assert obs["canonical_smiles"].iloc[4] == "[Cl-].[NH4+]"  # nothing but counter-ions: they are the substance
    assert obs["formal_charge"].tolist() == [0, 0, 0, 0, 0]
    assert obs["left_out"].tolist() == [""] * 5
    assert obs["valid"].all()


def test_salts_and_charges() -> None:
    texts = ["[Na+].CC(=O)[O-]", "C[NH3+].F[P-](F)(F)(F)(F)F"]
    stripped = sb.pp.molecules(texts).obs
    assert stripped["canonical_smiles"].tolist() == ["CC(=O)[O-].[Na+]", "C[NH3+]"]
    assert stripped["left_out"].tolist() == ["", "F[P-](F)(F)(F)(F)F"]
    with pytest.warns(UserWarning, match=r"1 of 2 SMILES hold several substances, of which one is kept: '0'"):
        largest = sb.pp.molecules(texts, salts="largest").obs
    assert largest["canonical_smiles"].tolist() == ["CC(=O)[O-]", "C[NH3+]"]  # carbon before size
    assert largest["formal_charge"].tolist() == [-1, 1]
    with pytest.warns(UserWarning, match="several substances"):
        neutral = sb.pp.molecules(texts, salts="largest", charges="neutralise").obs
    assert neutral["canonical_smiles"].tolist() == ["CC(=O)O", "CN"]
    kept = sb.pp.molecules(texts, salts="keep").obs
    assert kept["canonical_smiles"].iloc[0] == "CC(=O)[O-].[Na+]"
    assert kept["formal_charge"].tolist() == [0, 0]
    with pytest.raises(InputError, match="salts='all'; choose 'strip', 'largest' or 'keep'"):
        sb.pp.molecules(texts, salts="all")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="charges='none'; choose"):
        sb.pp.molecules(texts, charges="none")  # type: ignore[arg-type]


def test_order_of_parts_does_not_matter() -> None:
    texts = ["CCOC.CCN", "CCN.CCOC"]
    with pytest.warns(UserWarning, match="2 of 2 SMILES hold several substances"):
        obs = sb.pp.molecules(texts).obs
    assert obs["canonical_smiles"].nunique() == 1
    assert obs["duplicate_of"].tolist() == ["", "0"]


def test_unreadable_rows_are_named_and_kept(capfd: pytest.CaptureFixture[str]) -> None:
    table = pd.DataFrame({"smiles": ["CCO", "C1CC", "FC(F)(F)(F)F", None, "OCC"]}, index=["a", "b", "c", "d", "e"])
    with pytest.warns(UserWarning, match=r"3 of 5 SMILES cannot be read: 'b' \(not a SMILES\), 'c' .*'d' \(empty\)"):
        drugs = sb.pp.molecules(table)
    assert capfd.readouterr().err == ""  # rdkit's own messages stay away from the terminal
    assert drugs.obs["valid"].tolist() == [True, False, False, False, True]
    assert "valence" in drugs.obs.loc["c", "problem"]
    assert drugs.obs.loc["e", "duplicate_of"] == "a"
    assert drugs.obs.loc[["b", "c", "d"], "duplicate_of"].tolist() == ["", "", ""]
    assert read_record(drugs, "molecules")["n_invalid"] == 3
    assert list(table.columns) == ["smiles"]


def test_a_table_keeps_its_columns(tmp_path: Path) -> None:
    table = pd.DataFrame({"drug": ["ethanol"], "structure": ["OCC"], "valid": ["old"]})
    with pytest.warns(UserWarning, match="called valid"):
        drugs = sb.pp.molecules(table, key="structure")
    assert drugs.obs["drug"].tolist() == ["ethanol"]
    assert drugs.obs["smiles"].tolist() == ["OCC"]
    assert drugs.obs["valid"].tolist() == ["old"]
    assert drugs.obs["bioverse_valid"].tolist() == [True]
    drugs.write_h5ad(tmp_path / "drugs.h5ad")
    back = ad.read_h5ad(tmp_path / "drugs.h5ad")
    assert back.obs["canonical_smiles"].tolist() == ["CCO"]
    assert read_record(back, "molecules")["salts"] == "strip"


def test_errors() -> None:
    with pytest.raises(InputError, match="expected a list"):
        sb.pp.molecules("CCO")
    with pytest.raises(InputError, match="no SMILES"):
        sb.pp.molecules([])
    with pytest.raises(InputError, match="none of 2 SMILES"):
        sb.pp.molecules(["?", "!"])
    with pytest.raises(MissingKeyError, match=r"no column 'smiles' \(found: \['x'\]\)"):
        sb.pp.molecules(pd.DataFrame({"x": ["C"]}))
    with pytest.raises(InputError, match="row names must be unique"):
        sb.pp.molecules(pd.DataFrame({"smiles": ["C", "C"]}, index=["a", "a"]))
