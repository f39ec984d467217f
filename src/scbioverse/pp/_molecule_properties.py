"""What follows from a molecule's structure, by rdkit: functional groups, properties, and structures related to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

from ..errors import InputError
from ._smiles import uncharger

# Patterns (SMARTS) of functional groups; the first name is the one that answers use.
GROUPS = {
    "[CX3](=O)[OX2H1,OX1-]": ("carboxylic acid", "carboxyl group", "carboxylate"),
    "[CX3;$([CX3H1]),$(C[#6])](=O)[OX2H0][#6;!$([#6]=[O,N])]": ("ester", "carboxylic ester"),
    "[$([#6X3;R](=O)[#8X2;R][#6;R])]": ("lactone",),
    "[NX3;!$(N[#6](=O)[OX2,NX3])][CX3;!$(C([OX2])N);!$(C(N)N)]=[OX1]": ("amide",),
    "[NX3;R][CX3;R;!$(C(N)(N)=O);!$(C(O)N)]=[OX1]": ("lactam",),
    "[NX3][CX3](=[OX1])[NX3]": ("urea", "urea group"),
    "[NX3][CX3](=[OX1])[OX2]": ("carbamate",),
    "[NX3][SX4](=[OX1])(=[OX1])": ("sulfonamide", "sulphonamide"),
    "[#6][SX4](=O)(=O)[OX2H,OX1-]": ("sulfonic acid", "sulphonic acid", "sulfonate"),
    "[#6][SX4](=O)(=O)[#6]": ("sulfone", "sulphone"),
    "[OX2H]": ("hydroxyl group", "hydroxyl", "hydroxy group", "oh group"),
    "[OX2H][CX4]": ("alcohol",),
    "[OX2H]c": ("phenol",),
    "[NX3;H2,H1,H0;!$(N-C=[O,S,N]);!$(N-S=O);!$(N-[#7,#8]);!$(N-C#N)]": ("amine", "amino group"),
    "[NX4+;H0;!$(N=*)]([#6])([#6])([#6])[#6]": ("quaternary ammonium group", "quaternary ammonium"),
    "[NX3][CX3](=[NX2,NX3+])[NX3]": ("guanidine", "guanidino group"),
    "[#6;!$(C([OX2,NX3,SX2,F,Cl,Br,I])=O)][CX3](=O)[#6]": ("ketone",),
    "[CX3H1](=O)[#6]": ("aldehyde",),
    "[NX1]#[CX2]": ("nitrile", "cyano group"),
    "[$([NX3](=O)=O),$([NX3+](=O)[O-])]": ("nitro group", "nitro"),
    "[OD2]([#6;!$(C=O)])[#6;!$(C=O)]": ("ether",),
    "C1OC1": ("epoxide", "oxirane"),
    "[#16X2H]": ("thiol",),
    "[#6][SX2H0;!$(S-C=[O,S,N])][#6]": ("thioether", "sulfide"),
    "[#16X2][#16X2]": ("disulfide", "disulfide bond", "disulphide"),
    "c1ccccc1": ("benzene ring", "phenyl ring", "phenyl group", "benzene"),
    "c1ccncc1": ("pyridine ring", "pyridine"),
    "c1ncncc1": ("pyrimidine ring", "pyrimidine"),
    "c1cnc[nH0,nH]1": ("imidazole ring", "imidazole"),
    "c1ccc2c(c1)cc[nH0,nH]2": ("indole ring", "indole"),
    "[PX4](=O)([OX2,OX1-])([OX2,OX1-])[OX2,OX1-]": ("phosphate", "phosphate group"),
    "[#6][PX4](=O)([OX2H,OX1-])[OX2,OX1-]": ("phosphonic acid", "phosphonate"),
    "[#6][BX3]([OX2H])[OX2H]": ("boronic acid",),
    "[CX3]=[CX3]": ("alkene", "carbon carbon double bond"),
    "[CX2]#[CX2]": ("alkyne",),
}


def group_pattern(name: str) -> str | None:
    """Return the SMARTS pattern of a functional group, whatever the number of the word; None if there is none."""
    said = " ".join(name.lower().split())
    wanted = {said, said.removesuffix("s")}
    return next((smarts for smarts, names in GROUPS.items() if wanted & set(names)), None)


def holds_group(molecules: Sequence[Any], smarts: str) -> list[bool]:
    """Whether each rdkit molecule holds a pattern; False for None."""
    pattern = parsed(smarts)
    return [mol is not None and mol.HasSubstructMatch(pattern) for mol in molecules]


@lru_cache(maxsize=64)
def parsed(smarts: str) -> Any:
    """Return a pattern as rdkit has it."""
    from rdkit.Chem import MolFromSmarts

    return MolFromSmarts(smarts)


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
MOLECULE_PROPERTIES = (*_BY_RDKIT, "rings", "isotopes")


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
