"""Captions put together from neighbours: sentences, names of parts, conjugates, votes."""

from __future__ import annotations

import numpy as np
import pytest

from scbioverse.knowledge.captions import bare, read_caption
from scbioverse.metrics import extract_classes, extract_roles

Chem = pytest.importorskip("rdkit.Chem")

from scbioverse.predict.compose import CaptionComposer, is_caption  # noqa: E402
from scbioverse.predict.known_molecules import NamedMolecules  # noqa: E402

CAPTION = (
    "The molecule is a benzoic acid ester. It has been isolated from willow. It has a role as a drug and a plant "
    "metabolite. It is a member of phenols, an ester and a drug. It derives from a benzoic acid. It is a conjugate "
    "acid of a benzoate."
)


def test_a_caption_is_read_and_put_together_again() -> None:
    held = read_caption(CAPTION)
    assert held.more == ("It has been isolated from willow.",)
    assert held.roles == ("a drug", "a plant metabolite")
    assert held.classes == ("a member of phenols", "an ester", "a drug")
    assert held.derives == ("It derives from a benzoic acid.",)
    assert held.related == ("It is a conjugate acid of a benzoate.",)
    assert held.text() == CAPTION
    assert extract_roles(CAPTION) == {"drug", "plant metabolite"}
    assert extract_classes(CAPTION) == {"phenols", "ester", "drug"}
    assert bare("a member of the class of phenols") == "phenols"
    assert is_caption(CAPTION)


NAMED = {
    "acetic acid": "CC(=O)O", "octanoic acid": "CCCCCCCC(=O)O", "decanoic acid": "CCCCCCCCCC(=O)O",
    "octanoate": "CCCCCCCC(=O)[O-]", "L-alanine": "C[C@H](N)C(=O)O", "D-alanine": "C[C@@H](N)C(=O)O",
    "L-alanine zwitterion": "C[C@H]([NH3+])C(=O)[O-]", "methyl octanoate": "CCCCCCCC(=O)OC",
}  # fmt: skip


def parsed(*smiles: str) -> list:
    return [Chem.MolFromSmiles(one) for one in smiles]


def test_relatives_are_found_by_structure() -> None:
    named = NamedMolecules(parsed(*NAMED.values()), list(NAMED))
    assert named.of(parsed(NAMED["octanoic acid"])[0]).ions == {"conjugate acid": "octanoate"}
    assert named.of(parsed(NAMED["octanoate"])[0]).ions == {"conjugate base": "octanoic acid"}
    alanine = named.of(parsed(NAMED["L-alanine"])[0]).ions
    assert alanine == {"tautomer": "L-alanine zwitterion", "enantiomer": "D-alanine"}
    assert named.of(parsed("CCCCCCCC(=O)OC")[0]).parts == {"CCCCCCCC(=O)O": "octanoic acid"}


def test_the_molecules_own_part_takes_the_place_of_the_neighbours() -> None:
    texts = [
        "The molecule is a fatty acid ester obtained by condensation of the carboxy group of octanoic acid with "
        "ethanol. It has a role as a flavouring agent. It is a fatty acid ester and an octanoate ester.",
        *["The molecule is an acid."] * (len(NAMED) - 1),
    ]
    known = parsed("CCCCCCCC(=O)OCC", *list(NAMED.values())[1:])
    names = ["ethyl octanoate", *list(NAMED)[1:]]
    said, place = CaptionComposer(texts, known, names).compose(
        parsed("CCCCCCCCCC(=O)OCC")[0], np.array([0]), np.array([0.8], dtype=np.float32)
    )
    assert place == 0
    assert said.startswith(
        "The molecule is a fatty acid ester obtained by condensation of the carboxy group of decanoic"
    )
    assert "octanoic" not in said
    assert "It derives from a decanoic acid." in said
    assert "It has a role as a flavouring agent." in said
    unnamed, _ = CaptionComposer(texts, known, [""] * len(names)).compose(
        parsed("CCCCCCCCCC(=O)OCC")[0], np.array([0]), np.array([0.8], dtype=np.float32)
    )
    assert "octanoic acid with ethanol" in unnamed


def test_salts_and_complexes_have_relatives_or_none() -> None:
    from scbioverse.pp._smiles import parse_smiles

    texts = [
        "CC(=O)[O-].[Na+]",
        "[NH3+]CC.[O-]C(=O)c1ccccc1.[K+]",
        "N.N.Cl[Pt]Cl.[K+]",
        "[Fe+2].[cH-]1cccc1.[cH-]1cccc1",
    ]
    mols = [one.mol for one in parse_smiles(texts)]
    named = NamedMolecules(mols, texts)
    assert [named.of(mol).ions for mol in mols] == [{}] * 4
    said, _ = CaptionComposer(["The molecule is a salt."] * 4, mols, texts).compose(
        mols[3], np.array([0, 1, 2]), np.array([0.8, 0.7, 0.6], dtype=np.float32)
    )
    assert said == "The molecule is a salt."


def test_roles_are_those_of_enough_neighbours() -> None:
    texts = [
        "The molecule is a drug. It has a role as a sedative.",
        "The molecule is a drug. It has a role as a sedative.",
        "The molecule is a drug. It has a role as a dye.",
    ]
    composer = CaptionComposer(texts, parsed("CCO", "CCCO", "CCCCO"), ["", "", ""])
    said, _ = composer.compose(parsed("CCCCCO")[0], np.array([2, 1, 0]), np.array([0.8, 0.79, 0.79], dtype=np.float32))
    assert "sedative" in said
    far, _ = composer.compose(parsed("CCCCCO")[0], np.array([2, 1, 0]), np.array([0.9, 0.5, 0.5], dtype=np.float32))
    assert "dye" in far
    assert "sedative" not in far
