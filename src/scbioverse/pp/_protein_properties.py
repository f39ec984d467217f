"""Properties of a protein that follow from its sequence."""

from __future__ import annotations

from scipy.optimize import brentq

from ._sequences import STANDARD

# Standard atomic weights, abridged (IUPAC 2021, Prohaska et al. 2022, doi:10.1515/pac-2019-0603), g/mol.
ATOMIC_WEIGHTS = {"C": 12.011, "H": 1.008, "N": 14.007, "O": 15.999, "S": 32.06, "Se": 78.971}
WATER = 2 * ATOMIC_WEIGHTS["H"] + ATOMIC_WEIGHTS["O"]
# Atoms of each residue: the amino acid less the water that a peptide bond sets free. C, H, N, O, S.
_ATOMS = {
    "A": (3, 5, 1, 1, 0), "C": (3, 5, 1, 1, 1), "D": (4, 5, 1, 3, 0), "E": (5, 7, 1, 3, 0), "F": (9, 9, 1, 1, 0),
    "G": (2, 3, 1, 1, 0), "H": (6, 7, 3, 1, 0), "I": (6, 11, 1, 1, 0), "K": (6, 12, 2, 1, 0), "L": (6, 11, 1, 1, 0),
    "M": (5, 9, 1, 1, 1), "N": (4, 6, 2, 2, 0), "P": (5, 7, 1, 1, 0), "Q": (5, 8, 2, 2, 0), "R": (6, 12, 4, 1, 0),
    "S": (3, 5, 1, 2, 0), "T": (4, 7, 1, 2, 0), "V": (5, 9, 1, 1, 0), "W": (11, 10, 2, 1, 0), "Y": (9, 9, 1, 2, 0),
}  # fmt: skip


def _masses() -> dict[str, float]:
    known = {
        letter: sum(n * ATOMIC_WEIGHTS[atom] for n, atom in zip(atoms, "CHNOS", strict=True))
        for letter, atoms in _ATOMS.items()
    }
    # Selenocysteine has selenium where cysteine has sulphur; pyrrolysine is C12H21N3O3 as an amino acid.
    known["U"] = known["C"] - ATOMIC_WEIGHTS["S"] + ATOMIC_WEIGHTS["Se"]
    known["O"] = sum(n * ATOMIC_WEIGHTS[atom] for n, atom in zip((12, 19, 3, 2), "CHNO", strict=True))
    known["J"] = known["L"]
    known["B"], known["Z"] = (known["D"] + known["N"]) / 2, (known["E"] + known["Q"]) / 2
    known["X"] = sum(known[letter] for letter in STANDARD) / len(STANDARD)
    return known


RESIDUE_MASSES = _masses()


def protein_mass(sequence: str) -> float:
    """Average mass of a protein in Da: its residues' masses and one water.

    Residue masses are sums of IUPAC's standard atomic weights (doi:10.1515/pac-2019-0603). Nothing is cut off, and no
    modification or disulphide bridge counted. B and Z count as the mean of the two that they may be, X as that of the
    twenty. Letters are in upper case; that of bradykinin, `"RPPGFSPFR"`, is 1060.2.
    """
    return WATER + sum(RESIDUE_MASSES[letter] * sequence.count(letter) for letter in set(sequence))


# Dissociation constants (pKa) of EMBOSS 6.6 (Rice et al. 2000, doi:10.1016/S0168-9525(00)02024-2): N-terminus and the
# side chains that carry a positive charge, C-terminus and those that carry a negative one.
_POSITIVE = {"H": 6.5, "K": 10.8, "R": 12.5}
_NEGATIVE = {"C": 8.5, "D": 3.9, "E": 4.1, "Y": 10.1}
_N_TERMINUS, _C_TERMINUS = 8.6, 3.6


def net_charge(sequence: str, ph: float) -> float:
    """Mean net charge of an unfolded protein at a pH, elementary charges (Henderson and Hasselbalch's equation).

    Ambiguous residues carry no charge; no disulphide bridge is counted.
    """
    bases = [(1, _N_TERMINUS), *((sequence.count(letter), pka) for letter, pka in _POSITIVE.items())]
    acids = [(1, _C_TERMINUS), *((sequence.count(letter), pka) for letter, pka in _NEGATIVE.items())]
    positive = sum(n / (1 + 10 ** (ph - pka)) for n, pka in bases)
    return positive - sum(n / (1 + 10 ** (pka - ph)) for n, pka in acids)


def isoelectric_point(sequence: str) -> float:
    """PH at which a protein has no net charge, see :func:`net_charge`; NaN of an empty sequence."""
    return float(brentq(lambda ph: net_charge(sequence, ph), 0, 14)) if sequence else float("nan")
