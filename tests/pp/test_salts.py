"""Counter-ions are left out, complexes and salts of counter-ions stay whole, and numbers that a cut changed say so.

Weights that are compared with are of the whole structures: monographs, or sums by rdkit over all atoms.
"""

from __future__ import annotations

import logging

import pandas as pd
import pytest

import scbioverse as sb

Chem = pytest.importorskip("rdkit.Chem")

# name: SMILES, g/mol as literature gives it
WHOLE = {
    "ferrocene": ("[Fe+2].c1cc[cH-]c1.c1cc[cH-]c1", 186.04),
    "cisplatin": ("N.N.Cl[Pt]Cl", 300.05),
    "cisplatin, ions": ("[NH3].[NH3].[Cl-].[Cl-].[Pt+2]", 300.05),
    "carboplatin": ("N.N.O=C1O[Pt]OC(=O)C12CCC2", 371.25),
    "carboplatin, ions": ("[NH3].[NH3].[Pt+2].[O-]C(=O)C1(CCC1)C([O-])=O", 371.25),
    "cobalt of a corrin": ("[Co+3].[C-]#N.[O-]C(=O)CCC1=C2N=C(C=C3N=C(C1)C=C3)C=C2", None),
    "silver sulfadiazine": ("[Ag+].Nc1ccc(cc1)S(=O)(=O)[N-]c1ncccn1", 357.14),
    "zinc acetate": ("CC(=O)[O-].CC(=O)[O-].[Zn+2]", 183.48),
    "sodium acetate": ("CC(=O)[O-].[Na+]", 82.03),
    "magnesium stearate": ("[Mg+2].CCCCCCCCCCCCCCCCCC(=O)[O-].CCCCCCCCCCCCCCCCCC(=O)[O-]", 591.27),
    "lithium carbonate": ("[Li+].[Li+].[O-]C([O-])=O", 73.89),
    "sodium chloride": ("[Na+].[Cl-]", 58.44),
}
# name: SMILES, what is kept, what is left out
STRIPPED = {
    "fluoxetine hydrochloride": ("CNCCC(Oc1ccc(cc1)C(F)(F)F)c1ccccc1.Cl", "CNCCC(Oc1ccc(cc1)C(F)(F)F)c1ccccc1", "Cl"),
    "choline chloride": ("C[N+](C)(C)CCO.[Cl-]", "C[N+](C)(C)CCO", "[Cl-]"),
    "ibuprofen ammonium": ("CC(C)Cc1ccc(cc1)C(C)C(=O)[O-].[NH4+]", "CC(C)Cc1ccc(cc1)C(C)C(=O)[O-]", "[NH4+]"),
    "caffeine hydrate": ("Cn1c(=O)c2c(ncn2C)n(C)c1=O.O", "Cn1c(=O)c2c(ncn2C)n(C)c1=O", "O"),
    "valproate, hemicalcium": ("[Ca+2].CCCC(CCC)C([O-])=O.CCCC(CCC)C([O-])=O", "CCCC(CCC)C([O-])=O", None),
    # the acid is larger than the drug
    "pyrantel pamoate": (
        "CN1CCCN=C1C=Cc1cccs1.OC(=O)c1cc2ccccc2c(Cc2c(O)c(C(=O)O)cc3ccccc23)c1O", "CN1CCCN=C1C=Cc1cccs1", None,
    ),
    "piperazine citrate": ("C1CNCCN1.OC(=O)CC(O)(CC(=O)O)C(=O)O", "C1CNCCN1", "O=C(O)CC(O)(CC(=O)O)C(=O)O"),
    # mercury is bound: its salt with sodium is one of an organic acid
    "thiomersal": ("[Na+].CC[Hg]Sc1ccccc1C(=O)[O-]", "CC[Hg]Sc1ccccc1C(=O)[O-]", "[Na+]"),
    "two of one solvent": ("CS(C)=O.CS(C)=O", "CS(C)=O", "CS(C)=O"),
}  # fmt: skip
COCRYSTAL = "CC(=O)Oc1ccccc1C(=O)O.Cn1c(=O)c2c(ncn2C)n(C)c1=O"


def canonical(smiles: str) -> str:
    return str(Chem.MolToSmiles(Chem.MolFromSmiles(smiles)))


def weight_of_all(smiles: str) -> float:
    """Sum over all atoms of all parts."""
    table = Chem.GetPeriodicTable()
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    return float(sum(table.GetAtomicWeight(atom.GetAtomicNum()) for atom in mol.GetAtoms()))


@pytest.mark.parametrize("name", list(WHOLE))
def test_complexes_and_salts_of_counter_ions_stay_whole(name: str) -> None:
    smiles, literature = WHOLE[name]
    obs = sb.pp.molecules([smiles]).obs.iloc[0]
    assert obs["canonical_smiles"] == canonical(smiles)
    assert obs["left_out"] == ""
    assert obs["formal_charge"] == Chem.GetFormalCharge(Chem.MolFromSmiles(smiles))
    assert obs["n_heavy_atoms"] == Chem.MolFromSmiles(smiles).GetNumHeavyAtoms()
    drugs = sb.pp.molecules(pd.DataFrame({"smiles": [smiles, "C"]}, index=["asked", "methane"]))
    answer = sb.tl.ask(drugs, "What is the molecular weight of asked?", modality="molecule")
    assert answer.evidence["property:weight"].iloc[0] == pytest.approx(weight_of_all(smiles), abs=0.01)
    if literature is not None:
        assert answer.evidence["property:weight"].iloc[0] == pytest.approx(literature, abs=0.05)
    assert "left out" not in answer.text


@pytest.mark.parametrize("name", list(STRIPPED))
def test_counter_ions_and_solvents_are_left_out_and_it_is_said(name: str) -> None:
    smiles, kept, lost = STRIPPED[name]
    drugs = sb.pp.molecules(pd.DataFrame({"smiles": [smiles, "C"]}, index=["asked", "methane"]))
    assert drugs.obs["canonical_smiles"].iloc[0] == canonical(kept)
    assert lost is None or drugs.obs["left_out"].iloc[0] == canonical(lost)
    assert sorted([canonical(kept), *drugs.obs["left_out"].iloc[0].split(".")]) == sorted(
        canonical(part) for part in smiles.split(".")
    )
    for question in (
        "What is the molecular weight of asked?",
        "What is the formula of asked?",
        "How many contain nitrogen?",
        "Which is the heaviest?",
        "What is the average molecular weight?",
        "Compare asked with methane.",
        "Which have fewer than 3 rings?",
    ):
        answer = sb.tl.ask(drugs, question, modality="molecule")
        assert "Counter-ions or solvents were left out of asked" in answer.text, question
        assert "numbers are of what is left" in answer.text, question


def test_nitrogen_of_a_complex_counts() -> None:
    drugs = sb.pp.molecules(pd.DataFrame({"smiles": ["N.N.Cl[Pt]Cl", "CCO"]}, index=["cisplatin", "ethanol"]))
    answer = sb.tl.ask(drugs, "How many contain nitrogen?", modality="molecule")
    assert answer.evidence["n"].tolist() == [1]
    two = sb.tl.ask(drugs, "How many contain chlorine and platinum?", modality="molecule")
    assert two.evidence["n"].tolist() == [1]


def test_of_two_drugs_one_is_kept_and_the_row_is_named() -> None:
    table = pd.DataFrame({"smiles": [COCRYSTAL, "CCO"]}, index=["both", "ethanol"])
    with pytest.warns(UserWarning, match=r"1 of 2 SMILES hold several substances, of which one is kept: 'both'"):
        drugs = sb.pp.molecules(table)
    assert drugs.obs["left_out"].tolist() == [canonical(COCRYSTAL.split(".")[0]), ""]
    answer = sb.tl.ask(drugs, 'What is the weight of "both"?', modality="molecule")
    assert "One part alone was read of both" in answer.text
    kept = sb.pp.molecules(table, salts="keep")
    whole = sb.tl.ask(kept, 'What is the weight of "both"?', modality="molecule")
    assert whole.evidence["property:weight"].iloc[0] == pytest.approx(weight_of_all(COCRYSTAL), abs=0.01)
    assert "read of" not in whole.text


def test_a_table_read_by_the_rule_of_before_is_answered_by_it_and_says_so() -> None:
    table = pd.DataFrame({"smiles": ["N.N.Cl[Pt]Cl"]}, index=["cisplatin"])
    with pytest.warns(UserWarning, match="several substances"):
        drugs = sb.pp.molecules(table, salts="largest")
    answer = sb.tl.ask(drugs, "What is the formula of cisplatin?", modality="molecule")
    assert "Cl2Pt" in answer.text
    assert "One part alone was read of cisplatin (not read: N.N)" in answer.text


def test_morgan_reads_a_complex_whole_and_chemnet_says_that_it_does_not(caplog: pytest.LogCaptureFixture) -> None:
    import numpy as np

    pytest.importorskip("fcd_torch")
    drugs = sb.pp.molecules(["N.N.Cl[Pt]Cl", "Cl[Pt]Cl", "CCO.Cl", "CCO"])
    sb.tl.embed(drugs, model="morgan", modality="molecule")
    bits = drugs.obsm["X_bioverse_molecule"]
    assert not np.array_equal(bits[0], bits[1])
    with caplog.at_level(logging.WARNING, logger="scbioverse"):
        sb.tl.embed(drugs, model="chemnet", modality="molecule")
    assert "of 2 of 4 distinct SMILES (first: 'N.N.Cl[Pt]Cl') more belongs to it" in caplog.text
