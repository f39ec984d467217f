"""Functional groups as patterns."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

# Patterns (SMARTS) of functional groups; the first name is the one that answers use.
GROUPS = {
    "[CX3](=O)[OX2H1,OX1-]": ("carboxylic acid", "carboxyl group", "carboxylate"),
    "[#6][CX3](=O)[OX2H0][#6]": ("ester",),
    "[NX3][CX3](=[OX1])[#6]": ("amide",),
    "[NX3][SX4](=[OX1])(=[OX1])": ("sulfonamide", "sulphonamide"),
    "[OX2H]": ("hydroxyl group", "hydroxyl", "hydroxy group", "oh group"),
    "[OX2H][CX4]": ("alcohol",),
    "[OX2H]c": ("phenol",),
    "[NX3;H2,H1,H0;!$(N-C=[O,S]);!$(N-S=O);!$(N-[#7,#8]);!$(N-C#N)]": ("amine", "amino group"),
    "[#6][CX3](=O)[#6]": ("ketone",),
    "[CX3H1](=O)": ("aldehyde",),
    "[NX1]#[CX2]": ("nitrile", "cyano group"),
    "[$([NX3](=O)=O),$([NX3+](=O)[O-])]": ("nitro group", "nitro"),
    "[OD2]([#6])[#6]": ("ether",),
    "[#16X2H]": ("thiol",),
    "c1ccccc1": ("benzene ring", "phenyl ring", "phenyl group", "benzene"),
    "c1ccncc1": ("pyridine ring", "pyridine"),
    "P(=O)([OX2H,OX1-])": ("phosphate", "phosphate group"),
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
    pattern = _parsed(smarts)
    return [mol is not None and mol.HasSubstructMatch(pattern) for mol in molecules]


@lru_cache(maxsize=64)
def _parsed(smarts: str) -> Any:
    from rdkit.Chem import MolFromSmarts

    return MolFromSmarts(smarts)
