"""Properties of a molecule that follow from its structure, by rdkit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

MOLECULE_PROPERTIES = (
    "weight", "charge", "logp", "tpsa", "donors", "acceptors", "rings", "aromatic_rings", "rotatable_bonds",
    "heavy_atoms", "stereocentres", "lipinski_donors", "lipinski_acceptors",
    "exact_mass", "qed", "isotopes", "radical_electrons",
)  # fmt: skip


def molecule_property(mol: Any, name: str) -> float:
    """Compute one property of an rdkit molecule.

    Parameters
    ----------
    mol
        The molecule.
    name
        `"weight"`: average molecular weight, g/mol. `"charge"`: sum of formal charges, elementary charges. `"logp"`:
        decadic logarithm of the octanol-water partition coefficient by atom contributions (Wildman and Crippen 1999,
        doi:10.1021/ci990307l), an estimate. `"tpsa"`: topological polar surface area, Å² (Ertl et al. 2000,
        doi:10.1021/jm000942e). `"donors"`, `"acceptors"`: of hydrogen bonds, as rdkit counts them. `"rings"`: the
        smallest set of smallest rings; `"aromatic_rings"` of these. `"rotatable_bonds"`: rdkit's strict definition.
        `"heavy_atoms"`: other than hydrogen. `"stereocentres"`: tetrahedral, configured or not. `"lipinski_donors"`,
        `"lipinski_acceptors"`: N-H and O-H bonds, and nitrogens and oxygens, as the rule of five counts them.
        `"exact_mass"`: of the commonest isotopes, or of those that the SMILES names, Da. `"qed"`: quantitative estimate
        of drug-likeness, 0 to 1 (Bickerton et al. 2012, doi:10.1038/nchem.1243). `"isotopes"`: atoms with a mass
        number. `"radical_electrons"`: unpaired ones.

    Raises
    ------
    InputError
        There is no such property.
    """
    from rdkit.Chem import QED, Crippen, Descriptors, rdMolDescriptors

    known: dict[str, Callable[[Any], float]] = {
        "weight": Descriptors.MolWt,  # type: ignore[attr-defined]
        "charge": lambda one: sum(atom.GetFormalCharge() for atom in one.GetAtoms()),
        "logp": Crippen.MolLogP,  # type: ignore[attr-defined]
        "tpsa": rdMolDescriptors.CalcTPSA,
        "donors": rdMolDescriptors.CalcNumHBD,
        "acceptors": rdMolDescriptors.CalcNumHBA,
        "rings": _n_rings,
        "aromatic_rings": rdMolDescriptors.CalcNumAromaticRings,
        "lipinski_donors": rdMolDescriptors.CalcNumLipinskiHBD,
        "lipinski_acceptors": rdMolDescriptors.CalcNumLipinskiHBA,
        "rotatable_bonds": rdMolDescriptors.CalcNumRotatableBonds,
        "heavy_atoms": lambda one: one.GetNumHeavyAtoms(),
        "stereocentres": rdMolDescriptors.CalcNumAtomStereoCenters,
        "exact_mass": Descriptors.ExactMolWt,  # type: ignore[attr-defined]
        "qed": QED.qed,
        "isotopes": lambda one: sum(atom.GetIsotope() > 0 for atom in one.GetAtoms()),
        "radical_electrons": lambda one: sum(atom.GetNumRadicalElectrons() for atom in one.GetAtoms()),
    }
    if name not in known:
        raise InputError(f"{name!r} is no property of a molecule; choose {', '.join(MOLECULE_PROPERTIES)}.")
    return float(known[name](mol))


def _n_rings(mol: Any) -> int:
    """Size of the smallest set of smallest rings: bonds less atoms plus parts. rdkit's adds symmetric ones."""
    from rdkit.Chem import GetMolFrags

    return int(mol.GetNumBonds() - mol.GetNumAtoms() + len(GetMolFrags(mol)))


def molecule_formula(mol: Any) -> str:
    """Molecular formula in Hill's order, with the charge if there is one."""
    from rdkit.Chem.rdMolDescriptors import CalcMolFormula

    return str(CalcMolFormula(mol))


def element_count(mol: Any, symbol: str) -> int:
    """Atoms of one element, hydrogens that a SMILES leaves out included."""
    atoms = sum(atom.GetSymbol() == symbol for atom in mol.GetAtoms())
    return atoms + (sum(atom.GetTotalNumHs() for atom in mol.GetAtoms()) if symbol == "H" else 0)
