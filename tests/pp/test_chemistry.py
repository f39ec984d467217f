"""What chemists hand in: complexes, mixtures, isotopes, radicals, other notations; groups and properties."""

from __future__ import annotations

import warnings

import pandas as pd
import pytest

import scbioverse as sb
from scbioverse.errors import InputError

Chem = pytest.importorskip("rdkit.Chem")

from scbioverse.pp._molecule_properties import GROUPS, molecule_property, neutral_smiles, related  # noqa: E402
from scbioverse.pp._sequences import isoelectric_point, net_charge  # noqa: E402


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("InChI=1S/CH4/h1H4", "an InChI"),
        ("UFOQHFFGYKYMNT-UHFFFAOYSA-N", "an InChIKey"),
        ("50-78-2", "a CAS number"),
        ("aspirin", "looks like a name"),
        ("[#6]1~[#6]~[#6]1", "a SMARTS pattern"),
        ("[C,N]", "a SMARTS pattern"),
        ("[CX4]", "a SMARTS pattern"),
        ("CCO>>CC=O", "a reaction"),
        ("CC\nO", "control character"),
        ("C1CC", "not a SMILES"),
    ],
)
def test_what_is_no_smiles_is_said(text: str, said: str) -> None:
    with pytest.warns(UserWarning, match="cannot be read"):
        table = sb.pp.molecules([text, "C"])
    assert table.obs["valid"].tolist() == [False, True]
    assert said in table.obs["problem"].iloc[0]


@pytest.mark.parametrize("text", ["[NH3]->[Pt](Cl)(Cl)<-[NH3]", "[13CH4]", "C[N+](C)(C)C.[Cl-]", "CCO ethanol", "*C"])
def test_what_is_one_stays_one(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sb.pp.molecules([text]).obs["valid"].all()


def test_complexes_and_mixtures() -> None:
    with pytest.warns(UserWarning, match="several substances"):
        table = sb.pp.molecules(["N.N.Cl[Pt]Cl", "[Fe+2].[cH-]1cccc1.[cH-]1cccc1", "CCN(CC)CC.CC(=O)Oc1ccccc1C(=O)O",
                                 "c1ccncc1CC.OCCc1ccccc1"])  # fmt: skip
    assert table.obs["left_out"].astype(bool).tolist() == [False, False, True, True]
    assert table.obs["canonical_smiles"].iloc[2] == "CC(=O)Oc1ccccc1C(=O)O"


def test_isotopes_radicals_and_extensions() -> None:
    texts = {"heavy water": "[2H]O[2H]", "methyl": "[CH3]", "marked": "CCO |$;;R$|", "plain": "CCO"}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        table = sb.pp.molecules(texts)
    assert table.obs["n_isotopes"].tolist() == [2, 0, 0, 0]
    assert table.obs["n_radical_electrons"].tolist() == [0, 1, 0, 0]
    held = " ".join(str(one.message) for one in said)
    assert "unpaired electrons" in held
    assert "'methyl'" in held
    assert "CXSMILES" in held
    assert "'marked'" in held
    assert molecule_property(Chem.MolFromSmiles("[2H]O[2H]"), "exact_mass") == pytest.approx(20.0231, abs=1e-4)


def test_no_column_of_the_user_is_changed() -> None:
    table = pd.DataFrame({"smiles": ["CCO", "CCN"], "valid": ["bought", "sold"], "n_stereo": [0, 0]})
    with pytest.warns(UserWarning, match="columns of its own called valid"):
        made = sb.pp.molecules(table)
    assert made.obs["valid"].tolist() == ["bought", "sold"]
    assert made.obs["bioverse_valid"].tolist() == [True, True]
    assert list(made.obs).count("n_stereo") == 1
    with pytest.raises(InputError, match="beside the one to read"):
        sb.pp.molecules(table.assign(written=table["smiles"]), key="written")
    with pytest.warns(UserWarning, match="called length"):
        proteins = sb.pp.proteins(pd.DataFrame({"sequence": ["MKTAYI"], "length": [350]}))
    assert (proteins.obs["length"].iloc[0], proteins.obs["bioverse_length"].iloc[0]) == (350, 6)


@pytest.mark.parametrize(
    ("smiles", "groups"),
    [
        ("CC(=O)Oc1ccccc1C(=O)O", {"carboxylic acid", "ester", "hydroxyl group", "benzene ring"}),
        ("COC=O", {"ester"}),
        ("CCOCC", {"ether"}),
        ("CC(=O)OC(C)=O", set()),
        ("CC(C)=O", {"ketone"}),
        ("CN(C)C=O", {"amide"}),
        ("NC(N)=O", {"urea"}),
        ("CCOC(N)=O", {"carbamate"}),
        ("O=C1CCCO1", {"ester", "lactone"}),
        ("C[N+](C)(C)CCO", {"hydroxyl group", "alcohol", "quaternary ammonium group"}),
        ("NCCc1c[nH]cn1", {"amine", "imidazole ring"}),
        ("CSSC", {"disulfide"}),
    ],
)
def test_groups(smiles: str, groups: set[str]) -> None:
    """Read off the structural formulas."""
    mol = Chem.MolFromSmiles(smiles)
    assert {names[0] for smarts, names in GROUPS.items() if mol.HasSubstructMatch(Chem.MolFromSmarts(smarts))} == groups


def test_drug_likeness() -> None:
    """Aspirin's published QED is 0.55 (Bickerton et al. 2012, by rdkit's weights)."""
    assert molecule_property(Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O"), "qed") == pytest.approx(0.55, abs=0.01)


def test_isoelectric_point() -> None:
    assert net_charge("GGG", 7.0) == pytest.approx(0, abs=0.05)
    assert abs(net_charge("RPPGFSPFR", isoelectric_point("RPPGFSPFR"))) < 1e-3
    assert isoelectric_point("DDDD") < 4 < 9 < isoelectric_point("KKKK")


def test_rna_and_lines_are_said() -> None:
    with pytest.warns(UserWarning, match="nucleotide letters alone"):
        sb.pp.proteins({"let-7": "UGAGGUAGUAGGUUGUAUAGUU"})
    with pytest.warns(UserWarning, match="hold line breaks"):
        made = sb.pp.proteins(["MKTAYI\nAKQR"])
    assert made.obs["sequence"].tolist() == ["MKTAYIAKQR"]


def test_relatives_by_structure() -> None:
    aspirin = related(Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)[O-]"))
    assert aspirin.neutral == "CC(=O)Oc1ccccc1C(=O)O"
    assert set(aspirin.parts) == {"CC(=O)O", "O=C(O)c1ccccc1O"}
    arbutin = related(Chem.MolFromSmiles("OC[C@H]1O[C@@H](Oc2ccc(O)cc2)[C@H](O)[C@@H](O)[C@@H]1O"))
    assert "Oc1ccc(O)cc1" in arbutin.parts
    assert related(Chem.MolFromSmiles("C[C@H](N)C(=O)O")).enantiomer == "C[C@@H](N)C(=O)O"
    assert related(Chem.MolFromSmiles("NCC(=O)O")).enantiomer == ""
    assert "Clc1ccccc1" in related(Chem.MolFromSmiles("Clc1ccc(Cl)cc1")).parents
    assert neutral_smiles(Chem.MolFromSmiles("[NH3+]CC(=O)[O-]"), "[NH3+]CC(=O)[O-]") == "NCC(=O)O"
    assert neutral_smiles(Chem.MolFromSmiles("OC(=O)CN"), "NCC(=O)O") == "NCC(=O)O"
    assert neutral_smiles(Chem.MolFromSmiles("[NH3+]CC(=O)[O-]")) == "NCC(=O)O"
