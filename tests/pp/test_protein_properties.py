from __future__ import annotations

import pytest

from scbioverse.pp._sequences import AMBIGUOUS, RESIDUE_MASSES, STANDARD, WATER, protein_mass


def test_masses() -> None:
    """Masses as catalogues give them: glycine 75.067, tryptophan 204.229, bradykinin 1060.2, glucagon 3482.8."""
    assert set(RESIDUE_MASSES) == set(STANDARD + AMBIGUOUS)
    assert protein_mass("G") == pytest.approx(75.067, abs=0.005)
    assert protein_mass("W") == pytest.approx(204.229, abs=0.005)
    assert protein_mass("RPPGFSPFR") == pytest.approx(1060.2, abs=0.05)
    assert protein_mass("HSQGTFTSDYSKYLDSRRAQDFVQWLMNT") == pytest.approx(3482.8, abs=0.1)
    assert protein_mass("MK") == pytest.approx(protein_mass("M") + protein_mass("K") - WATER)


def test_letters_that_stand_for_several() -> None:
    assert protein_mass("U") == pytest.approx(168.06, abs=0.02)  # selenocysteine
    assert protein_mass("O") == pytest.approx(255.32, abs=0.02)  # pyrrolysine
    assert protein_mass("J") == protein_mass("L") == protein_mass("I")
    assert protein_mass("D") > protein_mass("B") > protein_mass("N")
    assert protein_mass("E") > protein_mass("Z") > protein_mass("Q")
    assert protein_mass("G") < protein_mass("X") < protein_mass("W")
