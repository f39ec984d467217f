"""Properties of a molecule that follow from its structure, by rdkit."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..errors import InputError

# Name, and the function of rdkit.Chem.
_BY_RDKIT = {
    "weight": "Descriptors.MolWt",  # average molecular weight, g/mol
    "charge": "rdmolops.GetFormalCharge",  # elementary charges
    # Decadic logarithm of the octanol-water partition coefficient by atom contributions (Wildman and Crippen 1999,
    # doi:10.1021/ci990307l), an estimate.
    "logp": "Crippen.MolLogP",
    "tpsa": "rdMolDescriptors.CalcTPSA",  # topological polar surface area, Å² (Ertl et al. 2000, doi:10.1021/jm000942e)
    "donors": "rdMolDescriptors.CalcNumHBD",  # of hydrogen bonds, as rdkit counts them
    "acceptors": "rdMolDescriptors.CalcNumHBA",
    "aromatic_rings": "rdMolDescriptors.CalcNumAromaticRings",
    "rotatable_bonds": "rdMolDescriptors.CalcNumRotatableBonds",  # by rdkit's strict definition
    "heavy_atoms": "rdMolDescriptors.CalcNumHeavyAtoms",  # other than hydrogen
    "stereocentres": "rdMolDescriptors.CalcNumAtomStereoCenters",  # tetrahedral, configured or not
    # N-H and O-H bonds, and nitrogens and oxygens, as the rule of five counts them.
    "lipinski_donors": "rdMolDescriptors.CalcNumLipinskiHBD",
    "lipinski_acceptors": "rdMolDescriptors.CalcNumLipinskiHBA",
    "exact_mass": "Descriptors.ExactMolWt",  # of the commonest isotopes, or of those that the SMILES names, Da
    # Quantitative estimate of drug-likeness, 0 to 1 (Bickerton et al. 2012, doi:10.1038/nchem.1243).
    "qed": "QED.qed",
    "radical_electrons": "Descriptors.NumRadicalElectrons",  # unpaired ones
}
MOLECULE_PROPERTIES = (
    "weight", "charge", "logp", "tpsa", "donors", "acceptors", "rings", "aromatic_rings", "rotatable_bonds",
    "heavy_atoms", "stereocentres", "lipinski_donors", "lipinski_acceptors",
    "exact_mass", "qed", "isotopes", "radical_electrons",
)  # fmt: skip


def molecule_property(mol: Any, name: str) -> float:
    """Compute one of :data:`MOLECULE_PROPERTIES` of an rdkit molecule."""
    if name == "isotopes":  # atoms with a mass number
        return float(sum(atom.GetIsotope() > 0 for atom in mol.GetAtoms()))
    if name == "rings":  # smallest set of smallest rings: bonds less atoms plus parts; rdkit's adds symmetric ones
        from rdkit.Chem import GetMolFrags

        return float(mol.GetNumBonds() - mol.GetNumAtoms() + len(GetMolFrags(mol)))
    if name not in _BY_RDKIT:
        raise InputError(f"{name!r} is no property of a molecule; choose {', '.join(MOLECULE_PROPERTIES)}.")
    module, _, function = _BY_RDKIT[name].partition(".")
    return float(getattr(import_module(f"rdkit.Chem.{module}"), function)(mol))


def molecule_formula(mol: Any) -> str:
    """Molecular formula in Hill's order, with the charge if there is one."""
    from rdkit.Chem.rdMolDescriptors import CalcMolFormula

    return str(CalcMolFormula(mol))


def element_count(mol: Any, symbol: str) -> int:
    """Atoms of one element, hydrogens that a SMILES leaves out included."""
    atoms = sum(atom.GetSymbol() == symbol for atom in mol.GetAtoms())
    return atoms + (sum(atom.GetTotalNumHs() for atom in mol.GetAtoms()) if symbol == "H" else 0)
