"""Questions about many molecules or proteins, read right or refused: each number is computed here by other code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse.errors import InputError
from scbioverse.pp._molecule_properties import molecule_property

if TYPE_CHECKING:
    import anndata as ad

Chem = pytest.importorskip("rdkit.Chem")

SMILES = {
    "caffeine": "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "chlorpromazine": "CN(C)CCCN1c2ccccc2Sc2ccc(Cl)cc21",
    "choline": "C[N+](C)(C)CCO",
    "acetate": "CC(=O)[O-]",
    "fluoxetine": "CNCCC(Oc1ccc(cc1)C(F)(F)F)c1ccccc1",
    "haloperidol": "OC1(CCN(CCCC(=O)c2ccc(F)cc2)CC1)c1ccc(Cl)cc1",
    "halothane": "FC(F)(F)C(Cl)Br",
    "chloroform": "ClC(Cl)Cl",
    "hexane": "CCCCCC",
    "adamantane": "C1C2CC3CC1CC(C2)C3",
    "thiophene": "c1ccsc1",
    "cysteine": "NC(CS)C(=O)O",
    "methotrexate": "CN(Cc1cnc2nc(N)nc(N)c2n1)c1ccc(cc1)C(=O)NC(CCC(=O)O)C(=O)O",
    "iodobenzene": "Ic1ccccc1",
    "cortisol": "CC12CCC(=O)C=C1CCC1C2C(O)CC2(C)C1CCC2(O)C(=O)CO",
    "amiodarone": "CCCCc1oc2ccccc2c1C(=O)c1cc(I)c(OCCN(CC)CC)c(I)c1",
    "stearin": "CCCCCCCCCCCCCCCCCC(=O)OCC(OC(=O)CCCCCCCCCCCCCCCCC)COC(=O)CCCCCCCCCCCCCCCCC",
    "nitrogen": "N#N",
}
SEQUENCES = {
    "one": "M" + "C" * 12 + "L" * 7,
    "two": "MW" + "A" * 58,
    "three": "M" + "L" * 90 + "C" * 21,
    "four": "RPPGFSPFR",
    "five": "M" * 300,
}


def element(mol: Any, symbol: str) -> int:
    return sum(atom.GetSymbol() == symbol for atom in mol.GetAtoms())


@pytest.fixture(scope="module")
def drugs() -> ad.AnnData:
    table = pd.DataFrame({"smiles": list(SMILES.values())}, index=list(SMILES))
    table["phase"] = (["launched", "preclinical"] * 10)[: len(table)]
    table["area"] = (["oncology", "neurology", "oncology"] * 7)[: len(table)]
    return sb.pp.molecules(table)


@pytest.fixture(scope="module")
def proteins() -> ad.AnnData:
    return sb.pp.proteins(SEQUENCES)


@pytest.fixture(scope="module")
def values() -> pd.DataFrame:
    from rdkit.Chem import Crippen, Descriptors, rdMolDescriptors

    rows = {}
    for name, smiles in SMILES.items():
        mol = Chem.MolFromSmiles(smiles)
        rows[name] = {
            "w": Descriptors.MolWt(mol),
            "logp": Crippen.MolLogP(mol),
            "rings": len(Chem.GetSSSR(mol)),
            "aromatic": rdMolDescriptors.CalcNumAromaticRings(mol),
            "rot": rdMolDescriptors.CalcNumRotatableBonds(mol),
            "charge": Chem.GetFormalCharge(mol),
            "hbd": rdMolDescriptors.CalcNumHBD(mol),
            "hba": rdMolDescriptors.CalcNumHBA(mol),
            "nhoh": rdMolDescriptors.CalcNumLipinskiHBD(mol),
            "no": rdMolDescriptors.CalcNumLipinskiHBA(mol),
        } | {symbol: element(mol, symbol) for symbol in ("N", "O", "F", "Cl", "Br", "S", "I")}
    found = pd.DataFrame(rows).T
    found["five"] = (found.w <= 500) & (found.logp <= 5) & (found.nhoh <= 5) & (found.no <= 10)
    found["launched"] = np.arange(len(found)) % 2 == 0
    found["oncology"] = np.arange(len(found)) % 3 != 1
    return found


def ask(data: ad.AnnData, question: str, modality: str = "molecule") -> str:
    return sb.tl.ask(data, question, modality=modality, model="no-such-model", reader="rules").text


def counted(text: str) -> int:
    """The number that an answer begins with."""
    found = re.search(r": ([\d,]+) (?:of|molecules|proteins)", text)
    assert found is not None, text
    return int(found[1].replace(",", ""))


COUNTS: list[tuple[str, Any]] = [
    ("How many molecules are aromatic?", lambda v: v.aromatic > 0),
    ("How many molecules are not aromatic?", lambda v: v.aromatic == 0),
    ("How many non-aromatic molecules contain sulfur?", lambda v: (v.aromatic == 0) & (v.S > 0)),
    ("How many violate Lipinski's rule of five?", lambda v: ~v.five),
    ("How many do not violate Lipinski's rule of five?", lambda v: v.five),
    ("How many do not obey the rule of five?", lambda v: ~v.five),
    ("How many are charged?", lambda v: v.charge != 0),
    ("How many are not neutral?", lambda v: v.charge != 0),
    ("How many have a charge of -1?", lambda v: v.charge == -1),
    ("How many have a negative logP?", lambda v: v.logp < 0),
    ("How many have a weight not above 200?", lambda v: v.w <= 200),
    ("How many have a logP of not more than 3?", lambda v: v.logp <= 3),
    ("How many molecules have no more than 2 rings?", lambda v: v.rings <= 2),
    ("How many aromatic molecules weigh less than 200?", lambda v: (v.aromatic > 0) & (v.w < 200)),
    ("How many below 200 g/mol contain fluorine?", lambda v: (v.w < 200) & (v.F > 0)),
    ("How many molecules that weigh less than 0.2 kDa contain nitrogen?", lambda v: (v.w < 200) & (v.N > 0)),
    ("How many with logP above 1 and below 5 contain sulfur?", lambda v: (v.logp > 1) & (v.logp < 5) & (v.S > 0)),
    ("How many contain both chlorine and fluorine?", lambda v: (v.Cl > 0) & (v.F > 0)),
    ("How many contain chlorine but not fluorine?", lambda v: (v.Cl > 0) & (v.F == 0)),
    ("How many contain chlorine but no fluorine?", lambda v: (v.Cl > 0) & (v.F == 0)),
    ("How many contain sulfur, chlorine or iodine?", lambda v: (v.S > 0) | (v.Cl > 0) | (v.I > 0)),
    ("How many contain chlorine, fluorine and nitrogen?", lambda v: (v.Cl > 0) & (v.F > 0) & (v.N > 0)),
    ("How many contain no chlorine, fluorine or nitrogen?", lambda v: (v.Cl == 0) & (v.F == 0) & (v.N == 0)),
    ("How many do not contain nitrogen or oxygen?", lambda v: (v.N == 0) & (v.O == 0)),
    ("How many contain neither nitrogen nor oxygen?", lambda v: (v.N == 0) & (v.O == 0)),
    ("How many don't contain nitrogen?", lambda v: v.N == 0),
    ("How many contain F?", lambda v: v.F > 0),
    ("How many contain I or Br?", lambda v: (v.I > 0) | (v.Br > 0)),
    ("How many have MW>200 & logP>=3?", lambda v: (v.w > 200) & (v.logp >= 3)),
    ("How many have a logP above 5 or a weight below 100?", lambda v: (v.logp > 5) | (v.w < 100)),
    ("How many have at least 2 rings or contain sulfur?", lambda v: (v.rings >= 2) | (v.S > 0)),
    ("How many molecules without rings contain nitrogen?", lambda v: (v.rings == 0) & (v.N > 0)),
    ("How many without nitrogen contain oxygen?", lambda v: (v.N == 0) & (v.O > 0)),
    ("How many with no rings contain a chlorine atom?", lambda v: (v.rings == 0) & (v.Cl > 0)),
    ("How many contain sulfur or fluorine but no oxygen?", lambda v: ((v.S > 0) | (v.F > 0)) & (v.O == 0)),
    ("How many have 3 or more rings?", lambda v: v.rings >= 3),
    ("How many have 2 or 3 rings?", lambda v: v.rings.isin([2, 3])),
    ("How many have 2-4 rings?", lambda v: v.rings.between(2, 4)),
    ("How many have 5 or fewer rotatable bonds?", lambda v: v.rot <= 5),
    ("How many weigh 200 or less?", lambda v: v.w <= 200),
    ("How many have a logP between -1 and 1?", lambda v: v.logp.between(-1, 1)),
    ("How many have a weight of 100 to 200?", lambda v: v.w.between(100, 200)),
    ("How many are between 100 and 200 Da?", lambda v: v.w.between(100, 200)),
    ("How many are larger than 300 Da?", lambda v: v.w > 300),
    ("How many have HBD <= 2 and HBA <= 2?", lambda v: (v.hbd <= 2) & (v.hba <= 2)),
    ("How many have 3 rings or fewer?", lambda v: v.rings <= 3),
    ("How many with MW greater than or equal to 200?", lambda v: v.w >= 200),
    ("How many contain one or two iodine atoms?", lambda v: v.I.isin([1, 2])),
    ("How many have one ring and one sulfur atom?", lambda v: (v.rings == 1) & (v.S == 1)),
    ("How many weigh more than aspirin?", lambda v: v.w > v.w["aspirin"]),
    ("How many have a higher logP than caffeine?", lambda v: v.logp > v.logp["caffeine"]),
    ("How many molecules contain nitrogen?", lambda v: v.N > 0),
    ("Which molecules contain iodine and weigh less than 400?", lambda v: (v.I > 0) & (v.w < 400)),
    ("How many launched molecules contain nitrogen?", lambda v: v.launched & (v.N > 0)),
    ("How many molecules are not launched?", lambda v: ~v.launched),
    ("How many have 2 to 3 rings or 5 rings?", lambda v: v.rings.between(2, 3) | (v.rings == 5)),
    ("How many launched molecules for oncology are there?", lambda v: v.launched & v.oncology),
    ("How many launched molecules for oncology contain oxygen?", lambda v: v.launched & v.oncology & (v.O > 0)),
]


@pytest.mark.parametrize(("question", "rule"), COUNTS, ids=[one for one, _ in COUNTS])
def test_counts(drugs: ad.AnnData, values: pd.DataFrame, question: str, rule: Any) -> None:
    expected = rule(values)
    # A question that all or none fulfil would not tell a right reading from none.
    assert counted(ask(drugs, question)) == int(expected.sum())


def test_counts_tell_readings_apart(values: pd.DataFrame) -> None:
    shares = [rule(values).mean() for _, rule in COUNTS]
    assert min(shares) > 0
    assert max(shares) < 1


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("How many contain more nitrogen than oxygen?", "than"),
        ("How many do not contain chlorine and fluorine?", "and"),
        ("How many weigh over 200 or contain chlorine and nitrogen?", "or"),
        ("Which molecules are not antibiotics?", "not"),
        ("How many have 3?", "3"),
        ("How many contain only carbon and hydrogen?", "only"),
        ("How many weigh about 300?", "about"),
        ("How many are heavier than both aspirin and caffeine?", "than"),
        ("Mean weight of the 10 heaviest?", "Mean"),
        ("What is the boiling point of aspirin?", "boiling"),
        ("Which is the smallest and most polar?", "most polar"),
        ("How many atoms does caffeine have?", "atoms"),
    ],
)
def test_what_could_be_read_wrongly_is_refused(drugs: ad.AnnData, question: str, said: str) -> None:
    answer = sb.tl.ask(drugs, question, modality="molecule", model="no-such-model", reader="rules")
    assert not answer.computed
    assert answer.evidence.empty
    assert said in answer.text


def test_means_and_extremes_are_of_the_rows_asked_about(drugs: ad.AnnData, values: pd.DataFrame) -> None:
    v = values
    assert f"{v.w[v.N == 0].mean():.2f} g/mol" in ask(drugs, "What is the mean weight of molecules without nitrogen?")
    assert f": {v.logp[v.w > 300].mean():.2f} (" in ask(
        drugs, "What is the average logP of molecules heavier than 300?"
    )
    assert f"{v.w.sum():,.2f} g/mol" in ask(drugs, "What is the total molecular weight?")
    assert f"{v.w[v.launched].mean():.2f} g/mol" in ask(drugs, "What is the mean weight per phase?")
    assert f": {v.rings[v.aromatic > 0].mean():.2f} (" in ask(drugs, "Mean number of rings of aromatic molecules?")
    assert v.w[v.w < 200].idxmax() in ask(drugs, "heaviest molecule under 200 Da").split(";")[0]
    assert v.w[v.w > 300].idxmin() in ask(drugs, "lightest molecule heavier than 300").split(";")[0]
    assert (
        v.w[v.rings >= 2].idxmax() in ask(drugs, "Which molecule with at least 2 rings is the heaviest?").split(";")[0]
    )
    for question in ("List the 3 most lipophilic", "Which three molecules have the highest logP?", "top 3 by logP"):
        answer = sb.tl.ask(drugs, question, modality="molecule", model="no-such-model", reader="rules")
        assert answer.evidence["row"].tolist() == v.logp.sort_values(ascending=False).index[:3].tolist(), question
    held, both = int((v.N > 0).sum()), int(((v.N > 0) & (v.O > 0)).sum())
    answer = ask(drugs, "What fraction of molecules with nitrogen contains oxygen?")
    assert f"{100 * both / held:.1f} % ({both} of {held} molecules)" in answer


def test_yes_and_no_and_less(drugs: ad.AnnData) -> None:
    assert ask(drugs, "Is caffeine aromatic?").startswith("Yes: caffeine")
    assert ask(drugs, "Does aspirin contain chlorine?").startswith("No: aspirin")
    assert ask(drugs, "Does stearin pass the rule of five?").startswith("No: ")
    assert ask(drugs, "Is aspirin launched?").endswith("phase = preclinical.")
    assert ask(drugs, "Is aspirin launched?").startswith("No: aspirin")
    assert ask(drugs, "Which is lighter, caffeine or aspirin?").startswith("aspirin: molecular weight 180.16")


def test_rows_named_like_elements(drugs: ad.AnnData) -> None:
    assert "caffeine: nitrogen atoms 4." in ask(drugs, "How many nitrogen atoms does caffeine have?")
    assert "nitrogen: molecular weight 28.01 g/mol" in ask(drugs, "What is the weight of 'nitrogen'?")


def test_rings_are_the_smallest_set() -> None:
    assert [molecule_property(Chem.MolFromSmiles(SMILES[one]), "rings") for one in ("adamantane", "hexane")] == [3, 0]
    assert molecule_property(Chem.MolFromSmiles("C12C3C4C1C5C2C3C45.c1ccccc1"), "rings") == 6


def test_columns_called_as_the_rows_are(drugs: ad.AnnData) -> None:
    held = drugs.copy()
    held.obs["compound"] = [f"X{i}" for i in range(held.n_obs)]
    assert ask(held, "Which compound is the heaviest?") == ask(drugs, "Which compound is the heaviest?")
    assert counted(ask(held, "How many compounds weigh more than 300?")) > 0


@pytest.mark.parametrize("modality", ["molecules", "dna", ""])
def test_modality_is_one_of_three(drugs: ad.AnnData, modality: str) -> None:
    with pytest.raises(InputError, match="choose 'cell', 'molecule' or 'protein'"):
        ask(drugs, "How many molecules contain nitrogen?", modality)


def test_follow_ups(drugs: ad.AnnData, values: pd.DataFrame) -> None:
    v, chat = values, sb.Chat(drugs, modality="molecule", model="no-such-model", reader="rules")

    def said(question: str) -> str:
        return chat.ask(question).text

    assert counted(said("How many contain chlorine?")) == (v.Cl > 0).sum()
    assert counted(said("And how many of these contain fluorine?")) == ((v.Cl > 0) & (v.F > 0)).sum()
    assert v.w[(v.Cl > 0) & (v.F > 0)].idxmax() in said("Which of these is the heaviest?").split(";")[0]
    said("What is the logP of aspirin?")
    assert said("How many rings does it have?") == "aspirin: rings 1."
    assert said("Is it heavier than caffeine?").startswith("No: aspirin")
    assert counted(said("How many have a weight above 200?")) == (v.w > 200).sum()
    assert counted(said("And more than 300?")) == (v.w > 300).sum()


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How many proteins longer than 15 residues have more than 10 cysteines?", ["one", "three"]),
        ("How many shorter than 100 aa contain no tryptophan?", ["one", "four"]),
        ("How many are not longer than 60 residues?", ["one", "two", "four"]),
        ("How many have at least 35 % leucine?", ["one", "three"]),
        ("How many have a leucine content above 50 %?", ["three"]),
        ("How many have at least 50 % leucine or more than 10 cysteines?", ["one", "three"]),
        ("How many have 50 to 200 residues?", ["two", "three"]),
        ("How many have 60 residues?", ["two"]),
        ("How many are heavier than 10 kDa?", ["three", "five"]),
    ],
)
def test_proteins(proteins: ad.AnnData, question: str, expected: list[str]) -> None:
    assert counted(ask(proteins, question, "protein")) == len(expected)
    listed = ask(proteins, question.replace("How many", "Which proteins"), "protein")
    assert set(re.findall(r"\b(?:one|two|three|four|five)\b", listed)) == set(expected)


def test_elements_have_the_names_of_rdkit_but_for_words_of_every_day(drugs: ad.AnnData) -> None:
    for said in ("vanadium", "sulphur", "sulfur", "aluminum"):
        assert sb.tl.ask(drugs, f"How many molecules contain {said}?", modality="molecule").computed, said
    for said in ("lead", "helium"):
        assert not sb.tl.ask(drugs, f"How many molecules contain {said}?", modality="molecule").computed, said
