from __future__ import annotations

import pytest

from scbioverse.errors import InputError
from scbioverse.pp._molecule_properties import MOLECULE_PROPERTIES, element_count, molecule_formula, molecule_property

Chem = pytest.importorskip("rdkit.Chem")


def test_aspirin() -> None:
    """Counted on paper: C9H8O4, one ring, one O-H, four oxygens."""
    aspirin = Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O")
    assert molecule_formula(aspirin) == "C9H8O4"
    assert [element_count(aspirin, one) for one in ("C", "H", "O", "N")] == [9, 8, 4, 0]
    values = {name: molecule_property(aspirin, name) for name in MOLECULE_PROPERTIES}
    assert values["weight"] == pytest.approx(9 * 12.011 + 8 * 1.008 + 4 * 15.999, abs=0.01)
    expected = {"charge": 0, "rings": 1, "aromatic_rings": 1, "donors": 1, "heavy_atoms": 13, "stereocentres": 0}
    assert {name: values[name] for name in expected} == expected
    assert (values["lipinski_donors"], values["lipinski_acceptors"]) == (1, 4)
    assert values["tpsa"] == pytest.approx(63.6, abs=0.05)  # published by Ertl's method
    assert 1 < values["logp"] < 2


def test_ions_and_stereo() -> None:
    glycine = Chem.MolFromSmiles("[NH3+]CC(=O)[O-]")
    assert molecule_property(glycine, "charge") == 0
    assert molecule_property(Chem.MolFromSmiles("C[N+](C)(C)C"), "charge") == 1
    assert molecule_property(Chem.MolFromSmiles("C[C@H](N)C(=O)O"), "stereocentres") == 1
    assert element_count(glycine, "H") == 5
    with pytest.raises(InputError, match="no property"):
        molecule_property(glycine, "colour")
