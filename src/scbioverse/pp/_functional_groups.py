"""Functional groups as patterns."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

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
