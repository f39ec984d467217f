"""Structures that stand in a simple relation to a molecule: its enantiomer, its parts, what it is a derivative of."""

from __future__ import annotations

from typing import Any, NamedTuple

from ._functional_groups import parsed
from ._smiles import uncharger

# A bond that water splits, and where the oxygen of water goes: to the first atom; the second gets the hydrogen.
_SPLIT = (
    "[CX3;$(C=O);!$(C(=O)([O,N,S])[O,N,S])]!@[OX2,NX3,SX2;!$([OH]);!$([NH2]);!$([SH])]",  # esters, amides, thioesters
    "[CX4;R;$(C([O;R])[#6])]!@[OX2;$(O[#6;!$(C=O)])]",  # glycosides
    "[PX4;$(P=O)]!@[OX2;$(O[#6])]",  # phosphates
    "[SX4;$(S(=O)(=O)[OX2])]!@[OX2;$(O[#6])]",  # sulfates
)
# A substituent that hydrogen can take the place of: the atom that stays, and the one that goes.
_OFF = ("[#6;!$(C=[O,N,S])]-[OX2H]", "[#6]-[F,Cl,Br,I]", "[O,N]-[CH3]", "[#6]-[NX3H2]")
_MOST_BONDS = 24  # of a longer chain of amino acids or sugars no part is looked for


class Related(NamedTuple):
    """Canonical SMILES of structures related to one molecule, all without charge."""

    neutral: str  # the molecule itself without charge
    enantiomer: str  # its mirror image, `""` where it is its own
    # What water makes of it: of the split of one bond after the other, and of all at once; larger parts first.
    parts: tuple[str, ...]
    # The molecule with hydrogen in place of one hydroxy, halogen, amino, or (on oxygen or nitrogen) methyl group.
    parents: tuple[str, ...]


def related(mol: Any) -> Related:
    """Work out the structures related to an rdkit molecule. Configurations are kept."""
    from rdkit import Chem
    from rdkit.rdBase import BlockLogs

    plain = Chem.Mol(_uncharged(mol))
    Chem.GetSymmSSSR(plain)  # parts of a salt that were put together again have no rings yet
    own = Chem.MolToSmiles(plain)
    with BlockLogs():  # what is taken apart may have a valence that rdkit does not know, and says so on stderr
        return Related(own, _mirror(plain, own), _parts(plain, own), _parents(plain, own))


def neutral_smiles(mol: Any, own: str = "") -> str:
    """Canonical SMILES of a molecule without charge: equal for an acid, its anions and its zwitterion.

    `own` is its canonical SMILES as it is, where that is known: one without a sign of charge is the answer.
    """
    from rdkit import Chem

    if own and "+" not in own and "-" not in own:
        return own
    return str(Chem.MolToSmiles(_uncharged(mol)))


def _uncharged(mol: Any) -> Any:
    if not any(atom.GetFormalCharge() for atom in mol.GetAtoms()):
        return mol
    from rdkit.rdBase import BlockLogs

    with BlockLogs():
        return uncharger().uncharge(mol)


def _mirror(mol: Any, own: str) -> str:
    from rdkit import Chem

    turned = Chem.Mol(mol)
    for atom in turned.GetAtoms():
        atom.InvertChirality()
    found = str(Chem.MolToSmiles(turned))
    return "" if found == own else found


def _parts(mol: Any, own: str) -> tuple[str, ...]:
    pairs = {pair for smarts in _SPLIT for pair in mol.GetSubstructMatches(parsed(smarts))}
    bonds = {mol.GetBondBetweenAtoms(first, second).GetIdx(): (first, second) for first, second in pairs}
    if not bonds or len(bonds) > _MOST_BONDS:
        return ()
    cuts = [[one] for one in bonds] + ([list(bonds)] if len(bonds) > 1 else [])
    found = dict.fromkeys(part for cut in cuts for part in _hydrolysed(mol, {bond: bonds[bond] for bond in cut}))
    found.pop(own, None)
    return tuple(sorted(found, key=lambda one: (-len(one), one)))


def _hydrolysed(mol: Any, cut: dict[int, tuple[int, int]]) -> list[str]:
    from rdkit import Chem

    labels = [(1, 2) if mol.GetBondWithIdx(bond).GetBeginAtomIdx() == second else (2, 1)
              for bond, (_, second) in cut.items()]  # fmt: skip
    # A dummy marked 1 stands on the atom that takes the oxygen, one marked 2 on that which takes the hydrogen.
    open_ = Chem.RWMol(Chem.FragmentOnBonds(mol, list(cut), dummyLabels=labels))
    for atom in open_.GetAtoms():
        if atom.GetAtomicNum() == 0 and atom.GetIsotope() in (1, 2):
            atom.SetAtomicNum(8 if atom.GetIsotope() == 1 else 1)
            atom.SetIsotope(0)
            atom.SetNoImplicit(False)
    try:
        whole = Chem.RemoveHs(open_.GetMol())
        return [str(Chem.MolToSmiles(part)) for part in Chem.GetMolFrags(whole, asMols=True)]
    except (ValueError, RuntimeError):  # a valence that rdkit does not know
        return []


def _parents(mol: Any, own: str) -> tuple[str, ...]:
    from rdkit import Chem

    found: dict[str, None] = {}
    for smarts in _OFF:
        for _, gone in mol.GetSubstructMatches(parsed(smarts)):
            less = Chem.RWMol(mol)
            atom = less.GetAtomWithIdx(gone)
            # Put hydrogen there, so that the configuration of the atom that stays is kept where it still is one.
            atom.SetAtomicNum(1)
            atom.SetNoImplicit(True)
            atom.SetNumExplicitHs(0)
            try:
                plain = Chem.RemoveHs(less.GetMol())
                Chem.AssignStereochemistry(plain, cleanIt=True, force=True)
                found[str(Chem.MolToSmiles(plain))] = None
            except (ValueError, RuntimeError):
                continue
    found.pop(own, None)
    return tuple(found)
